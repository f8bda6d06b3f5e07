package simulate

import (
	"reflect"
	"testing"
	"time"

	"soakd/internal/judge/window"
)

func start() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }

func newWorld(tb testing.TB, cfg Config) *World {
	tb.Helper()
	if cfg.Start.IsZero() {
		cfg.Start = start()
	}
	if cfg.Rate == 0 {
		cfg.Rate = 50
	}
	w, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func TestSameSeedSameWindows(t *testing.T) {
	a, b, c := newWorld(t, Config{Seed: 1}), newWorld(t, Config{Seed: 1}), newWorld(t, Config{Seed: 2})
	for range 100 {
		x, y, z := a.Next(), b.Next(), c.Next()
		if !reflect.DeepEqual(x, y) {
			t.Fatal("the same seed gave different windows")
		}
		if reflect.DeepEqual(x, z) {
			t.Fatal("another seed gave the same window")
		}
	}
}

func BenchmarkNext(b *testing.B) {
	w := newWorld(b, Config{Seed: 1})
	b.ReportAllocs()
	for b.Loop() {
		w.Next()
	}
}

func BenchmarkNextAndRoll(b *testing.B) {
	w := newWorld(b, Config{Seed: 1})
	var r window.Roller
	b.ReportAllocs()
	for b.Loop() {
		r.Add(w.Next())
	}
}
