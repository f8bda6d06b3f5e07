// Command queries measures what the dashboards cost a Prometheus that holds two
// weeks of three soakds with 40 cases each: every query of every dashboard, as
// Grafana asks it, over the time the dashboard opens with, a day and two weeks.
// `make bench-queries` builds it and what it needs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"soakd/internal/dashboards"
	"soakd/internal/localservices"
)

// options are the command line.
type options struct {
	soakd, blocks, dir string
	page               string
	native, keep, cpu  bool
	day, fortnight     bool
	step               time.Duration
	runs               int
}

// span is the time that the data spans.
const span = 14 * 24 * time.Hour

func main() {
	var o options
	flag.StringVar(&o.soakd, "soakd", ".cache/bench/soakd", "the soakd whose demo gives the page of metrics")
	flag.StringVar(&o.blocks, "blocks", ".cache/bench/blocks", "the program that writes blocks")
	flag.StringVar(&o.dir, "dir", ".cache/bench/queries", "folder of the data, about 3 GB")
	flag.StringVar(&o.page, "page", "", "file with a page of metrics instead of a demo's")
	flag.BoolVar(&o.native, "native", false, "native histograms in place of classic ones")
	flag.BoolVar(&o.keep, "keep", false, "use the data of the run before, with its recordings")
	flag.BoolVar(&o.cpu, "cpu", false, "measure the CPU time of Prometheus and not the time of its answers: on a machine that has other work")
	flag.BoolVar(&o.day, "day", true, "ask over a day too")
	flag.BoolVar(&o.fortnight, "fortnight", true, "ask over two weeks too, which takes most of the time; stopped by SIGINT it prints what it has")
	flag.DurationVar(&o.step, "step", 15*time.Second, "time between two scrapes")
	flag.IntVar(&o.runs, "n", 5, "runs of each query after the first, of which the median counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench-queries:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func (o options) run(ctx context.Context) error {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if !o.keep {
		if err := o.makeData(ctx, dir, data); err != nil {
			return err
		}
	}
	return o.withPrometheus(ctx, dir, data, func(server *prometheus) error {
		results, err := o.measureAll(ctx, server)
		if err != nil {
			return err
		}
		report(results)
		return nil
	})
}

// settings are those of the dashboards and rules that are measured.
func (o options) settings() dashboards.Settings {
	s := dashboards.Default()
	s.Native = o.native
	return s
}

// withPrometheus runs a Prometheus on the data, which leaves the blocks as they are.
func (o options) withPrometheus(ctx context.Context, dir, data string, use func(*prometheus) error) (err error) {
	service, err := localservices.StartPrometheus(ctx, "global: {scrape_interval: 15s}\n", localservices.Options{
		Dir: dir,
		Settings: map[string]string{
			"storage.tsdb.path": data, "storage.tsdb.retention.time": "90d",
			"storage.tsdb.min-block-duration": "18h", "storage.tsdb.max-block-duration": "18h",
		},
	})
	if err != nil {
		return err
	}
	defer func() {
		if stopping := service.Stop(); err == nil {
			err = stopping
		}
	}()
	server := &prometheus{base: service.URL()}
	if server.end, err = server.lastMoment(ctx); err != nil {
		return err
	}
	if o.cpu {
		if server.pid, err = processWith("--storage.tsdb.path=" + data); err != nil {
			return err
		}
	}
	return use(server)
}
