package probetest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"soakd/internal/probes"
)

// Run polls the probes of a configuration until the test ends, as soakd does but
// every 200 ms. The board has what came; changed, unless nil, is called after
// each poll, from several goroutines.
func Run(t testing.TB, config probes.Config, changed func()) *probes.Board {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	opened, err := config.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	settings := probes.Settings{Interval: 200 * time.Millisecond, Timeout: 200 * time.Millisecond, MaxBackoff: 300 * time.Millisecond}
	names := make([]string, 0, len(opened))
	for _, one := range opened {
		names = append(names, one.Name())
	}
	board := probes.NewBoard(names, settings.Staleness())
	poller, err := probes.New(opened, settings, func(result probes.Result) {
		board.Put(result)
		if changed != nil {
			changed()
		}
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- poller.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return board
}
