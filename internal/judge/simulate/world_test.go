package simulate

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/histogram"
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

// take takes so many windows of a world.
func take(w *World, n int) []*window.Window {
	var list []*window.Window
	for range n {
		list = append(list, w.Next())
	}
	return list
}

func TestWindowsAreAsMeasuredOnesAre(t *testing.T) {
	w := newWorld(t, Config{Seed: 3, Day: true, Episodes: []Episode{{Fault: "hang", At: time.Hour, For: 3 * time.Minute}}})
	last := time.Time{}
	for w.Age() < 26*time.Hour {
		x := w.Next()
		if !x.Start.After(last) || !x.Start.Equal(x.Start.Truncate(window.Short)) || x.Length != window.Short {
			t.Fatalf("a window of %v at %v after one at %v", x.Length, x.Start, last)
		}
		last = x.Start
		for i := 1; i < len(x.Cases); i++ {
			if x.Cases[i-1].Name >= x.Cases[i].Name {
				t.Fatalf("cases are not in order: %s, %s", x.Cases[i-1].Name, x.Cases[i].Name)
			}
		}
		for i := 1; i < len(x.Signals); i++ {
			if a, b := x.Signals[i-1].ID(), x.Signals[i].ID(); a == b || x.Signals[i-1].Name > x.Signals[i].Name {
				t.Fatalf("signals are not in order: %s, %s", a, b)
			}
		}
		ok, failed := int64(0), int64(0)
		for i := range x.Cases {
			c := &x.Cases[i]
			if c.Times != nil && c.Times.Count() > uint64(c.Requests()) {
				t.Fatalf("%s: %d times of %d requests", c.Name, c.Times.Count(), c.Requests())
			}
			if !c.Invalid {
				ok, failed = ok+window.Of(c.Outcomes, window.OK), failed+c.Failed()
			}
		}
		for _, s := range x.Seconds {
			ok, failed = ok-int64(s.OK), failed-int64(s.Failed)
		}
		if ok != 0 || failed != 0 {
			t.Fatalf("at %v the seconds lack %d good and %d failed requests", x.Start, ok, failed)
		}
	}
}

func TestNamesAreThoseOfTheProbes(t *testing.T) {
	known, err := os.ReadFile("../../../METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range allSeries() {
		row := regexp.MustCompile("`" + s.name + "` \\| (\\w+) \\| ([^|]*) \\|").FindStringSubmatch(string(known))
		if row == nil {
			t.Errorf("%s is no metric of soakd", s.name)
			continue
		}
		if kind := map[bool]string{true: "gauge", false: "counter"}[s.gauge != nil]; row[1] != kind {
			t.Errorf("%s is a %s, simulated as a %s", s.name, row[1], kind)
		}
		want := regexp.MustCompile(`\w+`).FindAllString(row[2], -1)
		slices.Sort(want)
		var got []string
		for _, pair := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(s.labels, -1) {
			got = append(got, pair[1])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has the labels %v, want %v in this order", s.name, got, want)
		}
	}
}

// figure is what a fault changes, read from windows.
type figure func(list []*window.Window) float64

func mean(name, part string) figure {
	return func(list []*window.Window) float64 {
		sum, n := 0.0, 0
		for _, w := range list {
			for _, s := range w.Named(name) {
				if strings.Contains(s.Labels, part) && s.Kind == window.Gauge {
					sum, n = sum+s.Sum, n+s.N
				}
			}
		}
		return sum / float64(max(n, 1))
	}
}

func gain(name string) figure {
	return func(list []*window.Window) float64 {
		sum := 0.0
		for _, w := range list {
			for _, s := range w.Named(name) {
				sum += s.Increase
			}
		}
		return sum / float64(len(list)) * 6 // a minute
	}
}

func median(name string) figure {
	return func(list []*window.Window) float64 {
		var times histogram.Histogram
		for _, w := range list {
			if c := w.Case(name); c != nil && c.Times != nil {
				times.Merge(c.Times)
			}
		}
		return times.Quantile(0.5).Seconds()
	}
}

// outcome is the share of requests with that outcome, of invalid ones or of valid ones.
func outcome(name string, invalid bool) figure {
	return func(list []*window.Window) float64 {
		n, all := int64(0), int64(0)
		for _, w := range list {
			for i := range w.Cases {
				if c := &w.Cases[i]; c.Invalid == invalid {
					n, all = n+window.Of(c.Outcomes, name), all+c.Requests()
				}
			}
		}
		return float64(n) / float64(max(all, 1))
	}
}

func check(name string) figure {
	return func(list []*window.Window) float64 {
		n := int64(0)
		for _, w := range list {
			for i := range w.Cases {
				n += window.Of(w.Cases[i].Checks, name)
			}
		}
		return float64(n) / float64(len(list)) * 6 // a minute
	}
}

func failedPolls(probe string) figure {
	return func(list []*window.Window) float64 {
		n := 0
		for _, w := range list {
			for _, p := range w.Probes {
				if p.Name == probe {
					n += p.Failed
				}
			}
		}
		return float64(n) / float64(len(list)) * 6 // a minute
	}
}

// Every fault changes the figure by which it shows.
func TestFaultsShow(t *testing.T) {
	const rss, fds = "soakd_api_resident_memory_bytes", "soakd_api_open_fds"
	tests := map[string]struct {
		figure figure
		// more is by how much it grows at least and at most; ratio tells that it is a factor.
		least, most float64
		ratio       bool
	}{
		"memory_leak_slow":   {mean(rss, ""), 0.0015 * MemoryLimit, 0.025 * MemoryLimit, false},
		"memory_leak_fast":   {mean(rss, ""), 0.14 * MemoryLimit, 0.17 * MemoryLimit, false},
		"goroutine_leak":     {mean("soakd_api_goroutines", ""), 465, 495, false},
		"file_leak":          {mean(fds, ""), 14, 22, false},
		"connection_leak":    {mean("soakd_postgres_backends", `"idle"`), 3, 5, false}, // of 4 applications
		"slow_endpoint_20":   {median(CaseForecast), 1.15, 1.25, true},
		"slow_endpoint_50":   {median(CaseForecast), 1.4, 1.6, true},
		"slow_endpoint_x3":   {median(CaseForecast), 2.8, 3.2, true},
		"slow_all_20":        {median("health"), 1.15, 1.25, true},
		"slow_all_50":        {median("history"), 1.4, 1.6, true},
		"latency_tail":       {median(CaseForecast), 0.95, 1.05, true},
		"latency_drift":      {median("health"), 1.005, 1.03, true},
		"gc_pauses":          {gain("soakd_api_gc_pause_seconds_total"), 1.1, 1.3, false},
		"errors_0.5":         {outcome("server_error", false), 0.004, 0.006, false},
		"errors_2":           {outcome("server_error", false), 0.018, 0.022, false},
		"errors_class":       {outcome("server_error", false), 0.0008, 0.003, false},
		"errors_standard":    {outcome("server_error", false), 0.005, 0.009, false},
		"rate_limit":         {outcome("rate_limited", false), 0.02, 0.08, false},
		"hang":               {outcome("timeout", false), 0.2, 1, false},
		"restart":            {gain("soakd_api_restarts_total"), 0.09, 0.11, false},
		"accept_invalid":     {outcome("accepted_invalid", true), 0.99, 1, false},
		"accept_invalid_one": {outcome("accepted_invalid", true), 0.01, 0.06, false},
		"invalid_500":        {outcome("server_error", true), 0.99, 1, false},
		"leak_trace":         {outcome("leaked_internals", true), 0.99, 1, false},
		"wrong_monte_carlo":  {check("mc_order"), 150, 260, false},
		"wrong_seed":         {check("mc_seed"), 40, 80, false},
		"lost_scenario":      {check("scenario_found"), 8, 20, false},
		"stale_read":         {check(StaleCheck), 12, 35, false},
		"foreign_scenario":   {check("foreign_scenario"), 3, 12, false},
		"pool_exhaustion":    {mean("soakd_api_pool_connections", "waiting"), 5, 7, false},
		"cache_off":          {median(CaseForecast), 1.3, 2, true},
		"cache_misses":       {gain("soakd_redis_keyspace_misses_total"), 1.8, 2.6, true},
		"evictions":          {gain("soakd_redis_evicted_keys_total"), 1000, 1500, false},
		"lock_contention":    {mean("soakd_postgres_blocked_backends", ""), 2, 6, false},
		"postgres_down":      {failedPolls("postgres"), 12, 12, false},
		"redis_down":         {failedPolls("redis"), 12, 12, false},
	}
	for _, f := range Faults() {
		test, known := tests[f.Name]
		if !known {
			t.Errorf("%s is not tested", f.Name)
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			// The same world with and without the fault, an hour after the start.
			with, without := newWorld(t, Config{Seed: 8, Episodes: []Episode{{Fault: f.Name, At: 61 * time.Minute}}}), newWorld(t, Config{Seed: 8})
			take(with, 6*62)
			take(without, 6*62)
			a, b := take(with, 6*30), take(without, 6*30)
			got := test.figure(a) - test.figure(b)
			if test.ratio {
				got = test.figure(a) / test.figure(b)
			}
			if got < test.least || got > test.most {
				t.Errorf("the figure grew by %v, want %v to %v", got, test.least, test.most)
			}
		})
	}
}

// Without faults nothing in the world grows without end or fails for long.
func TestCleanWorldIsClean(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	w := newWorld(t, Config{Seed: 5})
	day := take(w, 24*360)
	hours := func(from, to int) []*window.Window { return day[from*360 : to*360] }
	for _, test := range []struct {
		name    string
		figure  figure
		low, up float64 // as a ratio of the last hours to earlier ones
	}{
		{"memory", mean("soakd_api_resident_memory_bytes", ""), 0.97, 1.05},
		{"forecast", median(CaseForecast), 0.9, 1.1},
		{"files", mean("soakd_api_open_fds", ""), 0.9, 1.1},
		{"redis", mean("soakd_redis_memory_used_bytes", ""), 0.95, 1.05},
	} {
		if ratio := test.figure(hours(16, 24)) / test.figure(hours(6, 14)); ratio < test.low || ratio > test.up {
			t.Errorf("%s: the last hours are %v of earlier ones, want %v to %v", test.name, ratio, test.low, test.up)
		}
	}
	if share := outcome("ok", false)(day); share < 0.9999 {
		t.Errorf("only %v of the valid requests were answered rightly", share)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, cfg := range map[string]Config{
		"there is no fault \"fire\"": {Rate: 50, Episodes: []Episode{{Fault: "fire"}}},
		"it must be above 0":         {},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %v, want an error with %q", cfg, err, want)
		}
	}
}
