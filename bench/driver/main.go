// Command driver is soakd's side of the benchmark: the real load engine with all
// metrics on and served, wired as `soakd run` wires it, but with a workload of
// one fixed case, so that it sends just what the other tools send. It prints its
// address first and what it saw, as one line of JSON, at the end.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"soakd/internal/load/schedule"
)

// options are the flags.
type options struct {
	url, workload, body string
	rate                schedule.Rate
	users, connections  int
	duration, tick      time.Duration
}

// outcome is what is printed at the end; times are in microseconds.
type outcome struct {
	Requests int64 `json:"requests"`
	OK       int64 `json:"ok"`
	Errors   int64 `json:"errors"`
	Dropped  int64 `json:"dropped"`
	// Rate is requests a second over the set duration.
	Rate float64 `json:"rate"`
	// The first five run from the due time, the Send ones from the send.
	P50      float64 `json:"p50"`
	P95      float64 `json:"p95"`
	P99      float64 `json:"p99"`
	P999     float64 `json:"p999"`
	Max      float64 `json:"max"`
	SendP50  float64 `json:"send_p50"`
	SendP99  float64 `json:"send_p99"`
	SendP999 float64 `json:"send_p999"`
	LagP50   float64 `json:"lag_p50"`
	LagP99   float64 `json:"lag_p99"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("driver", flag.ContinueOnError)
	flags.StringVar(&o.url, "url", "", "the target")
	flags.StringVar(&o.workload, "workload", "fixed", "fixed (one POST), or cashflow against the reference API")
	flags.StringVar(&o.body, "body", "", "the file with the body of the fixed POST")
	flags.TextVar(&o.rate, "rate", schedule.Rate(0), "arrivals a second, in the open loop")
	flags.IntVar(&o.users, "users", 0, "users without a pause, in closed mode")
	flags.IntVar(&o.connections, "connections", 64, "requests in flight and connections at most")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long to send")
	flags.DurationVar(&o.tick, "tick", 0, "round due times up to this; 0 keeps them exact")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if (o.users > 0) == (o.rate > 0) {
		return o, errors.New("give either -rate or -users")
	}
	if o.tick < 0 || o.duration <= 0 {
		return o, errors.New("-duration must be above 0 and -tick not below")
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d, err := wire(ctx, o, log)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- d.server.Run(serving) }()
	fmt.Println(d.server.URL() + "/metrics")
	d.engine.Run(ctx)
	stop()
	err = <-served
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(d.outcome(o.duration)))
}

func (d *driver) outcome(duration time.Duration) outcome {
	_, all := d.recorder.Summary()
	counts, lags := d.engine.Counts(), d.recorder.Lags()
	due, send := all.ResponseTime, all.Duration
	return outcome{
		Requests: all.Finished, OK: all.OK, Errors: all.Failed() + counts.Cut, Dropped: counts.TotalDropped(),
		Rate: float64(all.Finished) / duration.Seconds(),
		P50:  micros(due.P50), P95: micros(due.P95), P99: micros(due.P99), P999: micros(due.P999), Max: micros(due.Max),
		SendP50: micros(send.P50), SendP99: micros(send.P99), SendP999: micros(send.P999),
		LagP50: micros(lags.Quantile(0.5)), LagP99: micros(lags.Quantile(0.99)),
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
