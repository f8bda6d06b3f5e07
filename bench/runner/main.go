//go:build linux

// Command runner compares soakd with other tools that send load: each in turn,
// pinned to one CPU, against a fresh target on the other, for several rounds in
// alternating order. It prints Markdown: the machine, a table a scenario with
// medians and ratios, and the goals. Counts come from the target, CPU times and
// memory from the kernel; only quantiles are the tools' own word. See
// bench/README.md.
package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	only, bin, peers string
	rounds           int
	length, scrape   time.Duration
	quick            bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-peers:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench-peers", flag.ContinueOnError)
	flags.StringVar(&o.only, "scenarios", "", "only these, separated by commas: full, 2000, 10000, stall64, stall600, cashflow, latency1ms, latency10ms, latency100ms, lognormal, sweep")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; the medians are taken over them")
	flags.DurationVar(&o.length, "length", 5*time.Second, "how long a tool runs in a round, in whole seconds; at a stalling target it is always 10s")
	flags.DurationVar(&o.scrape, "scrape", 15*time.Second, "how often soakd's metrics are scraped")
	flags.BoolVar(&o.quick, "quick", false, "one round of 2 s, to see that everything runs")
	flags.StringVar(&o.bin, "bin", ".cache/bench", "the folder with the benchmark's own programs")
	flags.StringVar(&o.peers, "peers", ".cache/peers", "the folder with the pinned tools")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.rounds, o.length = 1, 2*time.Second
	}
	if o.rounds < 1 || o.length < time.Second || o.length%time.Second != 0 || o.scrape <= 0 {
		return o, errors.New("-rounds must be 1 or more, -length whole seconds, -scrape above 0")
	}
	var errs [2]error
	o.bin, errs[0] = filepath.Abs(o.bin)
	o.peers, errs[1] = filepath.Abs(o.peers)
	return o, errors.Join(errs[:]...)
}

// bench is one run of the whole.
type bench struct {
	options
	machine machine
	tools   map[string]tool
	results results
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if runtime.NumCPU() < 2 && !many() {
		return errors.New("two CPUs are needed: one for the target and one for the tool")
	}
	if _, err := exec.LookPath("taskset"); err != nil {
		return errors.New("no taskset on PATH: apt-get install util-linux")
	}
	body, err := writeBody()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(body)) }()
	b := &bench{
		options: o, tools: tools(o.bin, o.peers), results: results{},
		machine: machine{bin: o.bin, targetCPU: 0, toolCPU: 1, body: body, scrapeEvery: o.scrape},
	}
	fmt.Print(b.header(ctx, args))
	return b.all(ctx)
}

// many reports whether the machine has a second CPU, which this process itself
// may be kept from.
func many() bool {
	_, err := os.Stat("/sys/devices/system/cpu/cpu1")
	return err == nil
}

// bodyBytes is the size of the request's body.
const bodyBytes = 800

func writeBody() (string, error) {
	file, err := os.CreateTemp("", "soakd-bench-body-")
	if err != nil {
		return "", fmt.Errorf("write the body: %w", err)
	}
	const head, tail = `{"payload":"`, `"}`
	_, err = file.WriteString(head + strings.Repeat("x", bodyBytes-len(head)-len(tail)) + tail)
	if err := errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("write the body: %w", err)
	}
	return file.Name(), nil
}

// wanted reports whether a scenario was asked for.
func (o options) wanted(name string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), name)
}

// all runs every scenario that is wanted and prints its table when it is done.
func (b *bench) all(ctx context.Context) error {
	for _, s := range scenarioList(b.length) {
		if !b.wanted(s.name) {
			continue
		}
		if err := b.scenario(ctx, s); err != nil {
			return err
		}
	}
	if b.wanted("sweep") {
		most, err := b.most(ctx)
		if err != nil {
			return err
		}
		if err := b.scenario(ctx, sweep(b.length, most)); err != nil {
			return err
		}
	}
	fmt.Println(goalTable(b.results.goals()))
	return nil
}

// scenario runs one scenario and prints it.
func (b *bench) scenario(ctx context.Context, s scenario) (err error) {
	if s.name == "cashflow" {
		stop, err := b.machine.startReference(ctx)
		if err != nil {
			fmt.Printf("### %s\n\n- skipped: %v\n\n", s.title, err)
			return ctx.Err()
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	rows := make([]row, len(s.entries))
	order := make([]int, len(rows))
	for i, e := range s.entries {
		rows[i].entry, order[i] = e, i
		_, rows[i].missing = b.tools[e.tool].find()
	}
	for round := range b.rounds {
		for _, i := range order {
			if rows[i].missing == nil {
				fmt.Fprintf(os.Stderr, "%s, round %d: %s\n", s.name, round+1, rows[i].label)
				b.once(ctx, s, &rows[i])
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		slices.Reverse(order)
	}
	b.results[s.name] = rows
	fmt.Println(table(s, rows))
	return nil
}

// once runs one tool once.
func (b *bench) once(ctx context.Context, s scenario, r *row) {
	t := b.tools[r.tool]
	program, err := t.find()
	if err != nil {
		r.failed = append(r.failed, err)
		return
	}
	result, err := b.machine.run(ctx, t, program, s, r.job)
	if err != nil {
		r.failed = append(r.failed, err)
		return
	}
	r.samples = append(r.samples, result)
}

// most returns how many answers a second soakd gets in the open loop when more
// arrivals are set than closed mode gets answered at full speed.
func (b *bench) most(ctx context.Context) (float64, error) {
	highest := func(s scenario, e entry) (float64, error) {
		r := row{entry: e}
		for range b.rounds {
			b.once(ctx, s, &r)
		}
		if len(r.samples) == 0 {
			return 0, fmt.Errorf("find soakd's highest rate: %w", errors.Join(r.failed...))
		}
		return r.over(answeredOf).median / r.job.duration.Seconds(), nil
	}
	s := full(b.length)
	closed, err := highest(s, s.entries[0])
	if err != nil {
		return 0, err
	}
	over := s.entries[0]
	over.job = job{rate: closed, connections: sweepInFlight, duration: b.length}
	return highest(s, over)
}

// header says where and how the figures were made.
func (b *bench) header(ctx context.Context, args []string) string {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, "- "+format+"\n", args...) }
	fmt.Fprint(&text, "## soakd beside other tools\n\nRatios are the tool's CPU time a request in soakd's: above 1, soakd takes less. Medians, in brackets the least and the most.\n\n")
	line("command: `make bench-peers ARGS='%s'`: %d rounds of %v", strings.Join(args, " "), b.rounds, b.length)
	line("date: %s", time.Now().UTC().Format("2006-01-02 15:04 MST"))
	line("machine: %s, kernel %s, load before the start %s", cpuModel(), word("/proc/sys/kernel/osrelease"), word("/proc/loadavg"))
	line("target on CPU %d, tools on CPU %d, %s", b.machine.targetCPU, b.machine.toolCPU, runtime.Version())
	line("tools: %s", strings.Join(b.versions(ctx), "; "))
	fmt.Fprintln(&text)
	return text.String()
}

// word returns the first word of a file, "unknown" when it cannot be read.
func word(path string) string {
	text, err := os.ReadFile(path)
	fields := strings.Fields(string(text))
	if err != nil || len(fields) == 0 {
		return "unknown"
	}
	return fields[0]
}

// cpuModel returns the model of the processor and how many there are.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // empty where there is none
	model, count := "unknown CPU", 0
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "model name":
			model = strings.TrimSpace(value)
		case "processor":
			count++
		}
	}
	return fmt.Sprintf("%d x %s", count, model)
}

// versions lists the tools that are there.
func (b *bench) versions(ctx context.Context) []string {
	var list []string
	for name, t := range b.tools {
		program, err := t.find()
		if err != nil || strings.HasPrefix(name, "bare") || name == "soakd" {
			continue
		}
		list = append(list, name+" "+t.describe(ctx, program))
	}
	slices.Sort(list)
	return list
}

// describe returns a tool's version: a Go program holds that of its module, what
// came from Debian has one as a package, others are asked.
func (t tool) describe(ctx context.Context, program string) string {
	if info, err := buildinfo.ReadFile(program); err == nil && t.version == nil {
		return info.Main.Version
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	args := append([]string{program}, t.version...)
	if t.debian != "" {
		if query, err := exec.LookPath("dpkg-query"); err == nil {
			args = []string{query, "-W", "-f", "${Version}", t.debian}
		}
	}
	out, _ := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput() // wrk prints its version and ends with 1
	first, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	return strings.TrimSpace(string(first))
}
