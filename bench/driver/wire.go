package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"soakd/internal/exporter"
	"soakd/internal/load"
	"soakd/internal/load/auth"
	"soakd/internal/load/cashflow"
	"soakd/internal/load/schedule"
	"soakd/internal/report"
	"soakd/internal/secret"
)

// driver is one run, wired as `soakd run` wires it, without probes.
type driver struct {
	recorder *load.Recorder
	engine   *load.Engine
	server   *exporter.Server
}

// wire makes the run: the only place that knows the load engine's interface. It
// follows newDaemon in cmd/soakd/run.go.
func wire(ctx context.Context, o options, log *slog.Logger) (*driver, error) {
	source, err := auth.New(auth.Config{JWTSecret: secret.New(os.Getenv("BENCH_JWT_SECRET")), UserPrefix: "bench"}, log)
	if err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	workload, err := o.newWorkload(source)
	if err != nil {
		return nil, err
	}
	mix, err := load.NewMix(workload, max(virtualUsers, o.users), 1)
	if err != nil {
		return nil, err
	}
	client, err := load.NewClient(load.ClientConfig{
		Target: o.url, UserAgent: "soakd/bench (soak test)", Token: source.Token, MaxResponseBytes: 4 << 20,
	})
	if err != nil {
		return nil, err
	}
	d := &driver{recorder: load.NewRecorder(workload, time.Now())}
	cfg := load.EngineConfig{
		Mix: mix, Client: client, User: source.User, MaxInFlight: o.connections, MaxWaiting: 1000,
		Duration: o.duration, Grace: 10 * time.Second, Sink: load.Sinks{d.recorder}, Lag: d.recorder, Log: log,
	}
	if err := o.pace(&cfg); err != nil {
		return nil, err
	}
	if d.engine, err = load.NewEngine(cfg); err != nil {
		return nil, err
	}
	metrics := exporter.NewMetrics(d.recorder)
	metrics.WatchTraffic(exporter.Traffic{
		Counts: d.engine.Counts, TargetRate: d.engine.TargetRate, Transfer: client.Transfer, Users: virtualUsers,
	})
	d.server, err = exporter.NewServer(ctx, exporter.ServerConfig{
		Listen: "127.0.0.1:0", Metrics: metrics, Page: report.Page(func() report.Status { return d.status(o) }), Log: log,
	})
	return d, err
}

// pace gives the engine its arrivals, or its users in closed mode.
func (o options) pace(cfg *load.EngineConfig) error {
	if o.users > 0 {
		cfg.Closed = &load.ClosedConfig{Users: o.users}
		return nil
	}
	shape, err := schedule.Steady(o.rate)
	if err != nil {
		return err
	}
	if cfg.Arrivals, err = schedule.NewArrivals(shape, schedule.Options{Tick: o.tick}); err != nil {
		return err
	}
	cfg.Sleeper, err = load.NewSleeper()
	return err
}

func (d *driver) status(o options) report.Status {
	cases, all := d.recorder.Summary()
	return report.Status{Target: o.url, Workload: o.workload, Rate: o.rate.PerSecond(), Counts: d.engine.Counts(), Cases: cases, All: all}
}

// virtualUsers is how many identities the requests are spread over.
const virtualUsers = 20

// newWorkload returns the one case of the comparison with other tools, or the
// built-in workload.
func (o options) newWorkload(source *auth.Source) (*load.Workload, error) {
	switch o.workload {
	case "fixed":
		body, err := os.ReadFile(o.body)
		if err != nil {
			return nil, fmt.Errorf("read the body: %w", err)
		}
		return fixed(body), nil
	case "cashflow":
		return cashflow.New(cashflow.Config{Users: virtualUsers, Seed: 1, CanMint: source.CanMint()})
	}
	return nil, fmt.Errorf("-workload %q must be fixed or cashflow", o.workload)
}

// fixed is a workload of one case: a POST with a fixed body, whose status is checked.
func fixed(body []byte) *load.Workload {
	return &load.Workload{Name: "fixed", Cases: []*load.Case{{
		Name: "fixed", Class: "fixed", Weight: 1, Timeout: 10 * time.Second, Statuses: []int{200},
		Build: func(d load.Draw) (*load.Request, error) {
			r := d.NewRequest()
			r.Method, r.Path, r.Body, r.ContentType, r.Credentials = "POST", "/bench", body, "application/json", load.NoToken
			return r, nil
		},
	}}}
}
