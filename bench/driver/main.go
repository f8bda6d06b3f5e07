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
	"sync"
	"syscall"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"soakd/internal/load"
)

// options are the flags.
type options struct {
	url, workload, body string
	rate                load.Rate
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
	// The first four run from the due time, the Send ones from the send.
	P50      float64 `json:"p50"`
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
	flags.TextVar(&o.rate, "rate", load.Rate(0), "arrivals a second, in the open loop")
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
	d.client.Close()
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(d.outcome(o.duration)))
}

func (d *driver) outcome(duration time.Duration) outcome {
	_, all := d.recorder.Summary()
	counts := d.engine.Counts()
	d.seen.mu.Lock()
	defer d.seen.mu.Unlock()
	at := func(h *hdr.Histogram, quantile float64) float64 { return float64(h.ValueAtQuantile(quantile)) / 1e3 }
	due, send, lag := d.seen.fromDue, d.seen.fromSend, d.seen.lag
	return outcome{
		Requests: all.Finished, OK: all.OK, Errors: all.Failed() + counts.Cut, Dropped: counts.TotalDropped(),
		Rate: float64(all.Finished) / duration.Seconds(),
		P50:  at(due, 50), P99: at(due, 99), P999: at(due, 99.9), Max: float64(due.Max()) / 1e3,
		SendP50: at(send, 50), SendP99: at(send, 99), SendP999: at(send, 99.9),
		LagP50: at(lag, 50), LagP99: at(lag, 99),
	}
}

// seen keeps what the recorder does not give: quantiles at 99.9 % and of the lag.
type seen struct {
	mu sync.Mutex
	// The times are in nanoseconds.
	fromDue, fromSend, lag *hdr.Histogram
}

func newSeen() *seen {
	histogram := func() *hdr.Histogram { return hdr.New(1, int64(10*time.Minute), 3) }
	return &seen{fromDue: histogram(), fromSend: histogram(), lag: histogram()}
}

// Done implements [load.Sink].
func (s *seen) Done(r *load.Result) {
	if !r.Timed() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Times lie within the bounds, which is all that RecordValue can refuse.
	_ = s.fromDue.RecordValue(max(1, int64(r.ResponseTime)))
	_ = s.fromSend.RecordValue(max(1, int64(r.Duration)))
}

// Lag implements [load.LagSink].
func (s *seen) Lag(lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.lag.RecordValue(max(1, int64(lag))) // within the bounds
}
