// Command detect measures the judgement: it simulates each fault in several worlds
// and many weeks without any (internal/judge/simulate), hands the windows to the
// judge, and prints as Markdown what was found, when, and under which name. It
// ends with exit code 1 when a target is missed. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"soakd/internal/judge/simulate"
)

// options are the flags.
type options struct {
	seeds, weeks, pairs, parallel int
	// short is how many pairs of short runs are compared; above 0 nothing else is done.
	short            int
	first            uint64
	fault, out       string
	story, day, real bool
	soakd            string
	settle           time.Duration
	rate             float64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-detect:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench-detect", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.seeds, "seeds", 5, "worlds in which each fault is tried")
	flags.Uint64Var(&o.first, "first", 1, "the first seed")
	flags.IntVar(&o.weeks, "weeks", 20, "weeks without a fault, in runs of two")
	flags.IntVar(&o.pairs, "pairs", 20, "random pairs of faults")
	flags.IntVar(&o.short, "short", 0, "compare so many pairs of runs of 3 minutes for each change, as the gate of a pipeline does, and nothing else; -fault chooses")
	flags.StringVar(&o.fault, "fault", "", "only these, separated by commas; two with a plus between them are a pair; none: no fault")
	flags.BoolVar(&o.day, "day", false, "let the rate go up and down with the day in the worlds with faults too (without, every other clean run does)")
	flags.Float64Var(&o.rate, "rate", 50, "mean of the arrivals a second")
	flags.BoolVar(&o.story, "v", false, "tell what was found in each run")
	flags.IntVar(&o.parallel, "parallel", runtime.GOMAXPROCS(0), "runs at the same time")
	flags.StringVar(&o.out, "out", "", "file that gets the tables as well")
	flags.BoolVar(&o.real, "real", false, "no simulation: switch some faults of a running reference API on (soakd demo) and wait for soakd to find them, 2 to 4 hours; -fault chooses")
	flags.DurationVar(&o.settle, "settle", usualSettle, "how long the demo of -real runs before the first fault; a third of it between two")
	flags.StringVar(&o.soakd, "soakd", "bin/soakd", "the binary for -real")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is no flag; -h lists them", flags.Arg(0))
	case o.seeds < 0 || o.weeks < 0 || o.pairs < 0 || o.short < 0 || o.parallel < 1 || o.rate <= 0:
		return o, errors.New("-seeds, -weeks, -pairs and -short must be 0 or more, -parallel 1 or more, -rate above 0")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.real {
		return realRun(ctx, o, stdout, stderr)
	}
	if o.short > 0 {
		return compareShort(ctx, &o, stdout)
	}
	jobs, err := o.jobs()
	if err != nil {
		return err
	}
	began := time.Now()
	results, err := runAll(ctx, jobs, o.parallel, func(done int, r *result) {
		fmt.Fprintf(stderr, "%d/%d %s\n", done, len(jobs), r.line())
	})
	if err != nil {
		return err
	}
	if o.story {
		for i := range results {
			fmt.Fprint(stdout, results[i].story())
		}
	}
	text, missed := report(results)
	text += fmt.Sprintf("\n%s of windows judged in %v.\n", span(simulated(results)), time.Since(began).Round(time.Second))
	return o.conclude(text, missed, stdout)
}

// conclude prints the tables, and into the file where one is named. Missed targets are an error.
func (o *options) conclude(text string, missed []string, stdout io.Writer) error {
	fmt.Fprint(stdout, text)
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(text), 0o644); err != nil { //nolint:gosec // a document that anybody may read
			return fmt.Errorf("write the tables: %w", err)
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("%d of the targets are missed: %s", len(missed), strings.Join(missed, "; "))
	}
	return nil
}

// compareShort compares short runs.
func compareShort(ctx context.Context, o *options, stdout io.Writer) error {
	began := time.Now()
	all, err := shortRuns(ctx, o)
	if err != nil {
		return err
	}
	text, missed := shortReport(all)
	if o.story {
		for i := range all {
			for _, line := range all[i].texts {
				text += all[i].name + ": " + line + "\n"
			}
		}
	}
	text += fmt.Sprintf("\n%d pairs of each, seeds from %d, in %v.\n", o.short, o.first, time.Since(began).Round(time.Second))
	return o.conclude(text, missed, stdout)
}

// jobs are the runs that the flags ask for.
func (o *options) jobs() ([]job, error) {
	var jobs []job
	add := func(names ...string) error {
		for seed := o.first; seed < o.first+uint64(o.seeds); seed++ {
			j, err := newJob(seed, o.rate, o.day, names)
			if err != nil {
				return err
			}
			jobs = append(jobs, j)
		}
		return nil
	}
	if o.fault != "" {
		for name := range strings.SplitSeq(o.fault, ",") {
			if name == "none" {
				continue
			}
			if err := add(strings.Split(name, "+")...); err != nil {
				return nil, err
			}
		}
		if !strings.Contains(","+o.fault+",", ",none,") {
			return jobs, nil
		}
		return append(jobs, o.cleanJobs()...), nil
	}
	if o.seeds > 0 {
		for _, f := range simulate.Faults() {
			if err := add(f.Name); err != nil {
				return nil, err
			}
		}
	}
	for i, pair := range randomPairs(o.pairs, o.first) {
		j, err := newJob(o.first+uint64(i), o.rate, o.day, pair)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return append(jobs, o.cleanJobs()...), nil
}

// cleanJobs are runs of two weeks, or what is left, without a fault.
func (o *options) cleanJobs() []job {
	var jobs []job
	for left := o.weeks; left > 0; left -= cleanWeeks {
		seed := o.first + uint64(len(jobs))
		jobs = append(jobs, job{
			seed: seed, worldSeed: seed, rate: o.rate, day: seed%2 == 0, start: monday(seed), length: week * time.Duration(min(left, cleanWeeks)),
		})
	}
	return jobs
}

const (
	week       = 7 * 24 * time.Hour
	cleanWeeks = 2
)
