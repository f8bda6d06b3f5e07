package probes_test

import (
	"context"
	"log/slog"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/postgres"
	"soakd/internal/probes/redis"
)

// TestRealServersOneHangs polls a real Postgres and a real Redis while the
// Redis is stopped and while it goes on, and shuts down while it is stopped.
func TestRealServersOneHangs(t *testing.T) {
	database, err := localservices.StartPostgres(t.Context(), localservices.Options{Mode: localservices.System})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, database.Stop)
	cache, err := localservices.StartRedis(t.Context(), localservices.Options{Mode: localservices.System})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, cache.Stop)
	before := goleak.IgnoreCurrent()

	databaseConfig, cacheConfig := postgres.Kind().Config.(*postgres.Config), redis.Kind().Config.(*redis.Config)
	databaseConfig.URL, cacheConfig.URL = database.MonitorURL(), cache.URL()
	settings := probes.Settings{Interval: 250 * time.Millisecond, Timeout: 200 * time.Millisecond, MaxBackoff: 300 * time.Millisecond}
	board := probes.NewBoard([]string{postgres.Name, redis.Name}, settings.Staleness())
	changed := make(chan struct{}, 100)
	poller, err := probes.New([]probes.Probe{opened(t, databaseConfig), opened(t, cacheConfig)}, settings, func(result probes.Result) {
		board.Put(result)
		select {
		case changed <- struct{}{}:
		default:
		}
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- poller.Run(ctx) }()
	await := func(what string, ok func(database, cache probes.Status) bool) {
		t.Helper()
		deadline := time.NewTimer(30 * time.Second)
		defer deadline.Stop()
		for {
			statuses := board.Snapshot(time.Now())
			if ok(statuses[0], statuses[1]) {
				return
			}
			select {
			case <-changed:
			case <-deadline.C:
				t.Fatalf("%s: not within 30 s; last: %+v", what, statuses)
			}
		}
	}
	reads := func(s probes.Status) bool { return s.Success && len(s.Samples) > 10 }

	await("both are read", func(d, c probes.Status) bool { return reads(d) && reads(c) })
	signal(t, cache, syscall.SIGSTOP)
	var polls uint64
	await("only the Redis fails", func(d, c probes.Status) bool {
		polls = d.Polls
		return reads(d) && !c.Success && c.Samples == nil
	})
	await("the Postgres is polled on", func(d, c probes.Status) bool { return reads(d) && d.Polls > polls+5 && !c.Success })
	signal(t, cache, syscall.SIGCONT)
	await("the Redis is back", func(_, c probes.Status) bool { return reads(c) })

	signal(t, cache, syscall.SIGSTOP)
	await("the Redis fails again", func(_, c probes.Status) bool { return !c.Success })
	cancel()
	start := time.Now()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Run took %v to return", took)
	}
	signal(t, cache, syscall.SIGCONT)
	goleak.VerifyNone(t, before)
}

func opened(t *testing.T, config probes.Config) probes.Probe {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	all, err := config.Open(slog.New(slog.DiscardHandler))
	if err != nil || len(all) != 1 {
		t.Fatalf("%d probes, %v", len(all), err)
	}
	probe := all[0] // the poller closes it
	if names := probe.Describe(); !slices.ContainsFunc(names, func(d *probes.Desc) bool { return d.Type == probes.Counter }) {
		t.Errorf("%s describes no counter", probe.Name())
	}
	return probe
}

func signal(t *testing.T, server *localservices.Redis, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(server.PID(), s); err != nil {
		t.Fatal(err)
	}
}

func stop(t *testing.T, stop func() error) {
	t.Helper()
	if err := stop(); err != nil {
		t.Error(err)
	}
}
