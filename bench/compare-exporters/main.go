// Command compare-exporters reads one PostgreSQL and one Redis, both private and
// with work to do, at the same time with soakd's probes and with Prometheus'
// exporters for them, and prints both side by side as Markdown. Each difference
// must be explained by the tables of this program, and each metric of the exporters must be
// in one of them: else it is marked and the exit code is 1.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// errUnexplained is what a comparison ends with that has something to look at.
var errUnexplained = errors.New("something is unexplained: see the rows marked with **")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare-exporters:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("compare-exporters", flag.ContinueOnError)
	rounds := flags.Int("rounds", 5, "how often both are read; a row is right when every round is")
	dump := flags.String("dump", "", "folder to write what was read into, for a new row of the tables")
	pause := flags.Duration("pause", time.Second, "time between two rounds; Postgres publishes a session's statistics once a second")
	limit := flags.Duration("timeout", 3*time.Minute, "longest time for the whole")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	all, err := compare(ctx, plan{*rounds, *pause, *dump})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	unexplained := writeReport(out, all)
	if err := out.Flush(); err != nil {
		return err
	}
	if unexplained > 0 {
		return fmt.Errorf("%d: %w", unexplained, errUnexplained)
	}
	return nil
}

// plan says how often both are read.
type plan struct {
	rounds int
	pause  time.Duration
	// dump is a folder for what was read; empty means none.
	dump string
}

// compare starts everything, reads it and judges.
func compare(ctx context.Context, p plan) (all []outcome, err error) {
	stand, err := startStand(ctx)
	if stand != nil {
		defer func() { err = errors.Join(err, stand.stop()) }()
	}
	if err != nil {
		return nil, err
	}
	for _, side := range stand.sides { // what is counted from the first poll on starts from 0
		if _, err := side.poll(ctx); err != nil {
			return nil, err
		}
	}
	work, err := startWork(ctx, stand)
	if work != nil {
		defer func() { err = errors.Join(err, work.stop()) }()
	}
	if err != nil {
		return nil, err
	}
	for _, side := range stand.sides {
		readings, err := side.read(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, judge(side.title, side.table, readings))
	}
	return all, nil
}
