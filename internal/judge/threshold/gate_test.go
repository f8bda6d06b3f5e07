package threshold

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// stretch describes windows of a test: n of them, each with so many requests of one
// case, so many of which fail or are slow.
type stretch struct {
	n, requests, failed, slow int
	slowest                   time.Duration
	dropped                   int64
	unfit                     []string
	outcome                   string
}

// gated runs stretches through a gate, 50 ms for each request that is not slow.
func gated(t *testing.T, cfg Config, thresholds string, stretches ...stretch) *Gate {
	t.Helper()
	var list List
	if err := list.UnmarshalText([]byte(thresholds)); err != nil {
		t.Fatal(err)
	}
	g := NewGate(list, cfg)
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for _, s := range stretches {
		for range s.n {
			g.Add(s.window(start))
			start = start.Add(window.Short)
		}
	}
	return g
}

func (s stretch) window(start time.Time) *window.Window {
	times := new(histogram.Histogram)
	for i := range s.requests {
		if i < s.slow {
			times.Observe(s.slowest)
		} else {
			times.Observe(50 * time.Millisecond)
		}
	}
	outcome := s.outcome
	if outcome == "" {
		outcome = "server_error"
	}
	w := &window.Window{Start: start, Length: window.Short, Covered: window.Short, Dropped: s.dropped, Unfit: s.unfit}
	if s.requests > 0 {
		w.Cases = []window.Case{{
			Name: "forecast", Class: "standard", Times: times,
			Outcomes: window.Counts(map[string]int64{"ok": int64(s.requests - s.failed), outcome: int64(s.failed)}),
		}}
	}
	return w
}

// results writes what the thresholds came to: the run, then the worst window.
func results(g *Gate) string {
	var all []string
	for _, j := range g.Judged() {
		all = append(all, string(j.Result))
	}
	return strings.Join(all, " ")
}

func TestGate(t *testing.T) {
	good := stretch{n: 18, requests: 500}
	sending := Config{Sending: 3 * time.Minute}
	late := stretch{n: 3, requests: 500, slow: 100, slowest: 2 * time.Second}
	for name, test := range map[string]struct {
		cfg        Config
		thresholds string
		stretches  []stretch
		want       string
	}{
		"all is well":       {sending, "rate>=50; error_rate<=0.01; p95<=300ms; max<=1s; failures<=0; dropped<=0; requests>=9000", []stretch{good}, "pass pass pass pass pass pass pass pass pass pass"},
		"the rate is below": {sending, "rate>=51", []stretch{good}, "fail pass"}, // windows have a slack of 5 %
		// 497 of 500 in one window, made up for in the next: nothing is wrong with the rate.
		"requests cross the edge of a window": {sending, "rate>=50", []stretch{{n: 9, requests: 497}, {n: 9, requests: 503}}, "pass pass"},
		"one request is on its way":           {sending, "rate>=50", []stretch{{n: 17, requests: 500}, {n: 1, requests: 499}}, "pass pass"},
		"requests of the end count":           {sending, "rate>=50", []stretch{{n: 17, requests: 500}, {n: 1, requests: 460}, {n: 1, requests: 40}}, "pass pass"},
		"the rate falls for 30 s":             {sending, "rate>=45", []stretch{{n: 15, requests: 500}, {n: 3, requests: 400}}, "pass fail"},
		// 100 of 500 are slow in 30 s: 300 of 9000 in all.
		"a late failure does not hide":     {sending, "p95<=300ms", []stretch{{n: 15, requests: 500}, late}, "pass fail"},
		"nor does an early one":            {sending, "p95<=300ms", []stretch{late, {n: 15, requests: 500}}, "pass fail"},
		"unless it is in the warm-up":      {Config{WarmUp: 30 * time.Second, Sending: 3 * time.Minute}, "p95<=300ms; rate>=50", []stretch{late, {n: 15, requests: 500}}, "pass pass pass pass"},
		"only the run was asked for":       {sending, "p95{over=run}<=300ms", []stretch{{n: 15, requests: 500}, late}, "pass"},
		"only the window was":              {sending, "p95{over=window}<=300ms", []stretch{{n: 15, requests: 500}, late}, "fail"},
		"errors in 30 s":                   {sending, "error_rate<=1%", []stretch{{n: 15, requests: 500}, {n: 3, requests: 500, failed: 10}}, "pass fail"},
		"one failure of few never decides": {sending, "error_rate<=1%", []stretch{{n: 17, requests: 7}, {n: 1, requests: 7, failed: 1}}, "pass"},
		"too few for windows, asked for":   {sending, "p99{over=window}<=1s", []stretch{{n: 18, requests: 5}}, "unknown"},
		"the run is one window":            {sending, "p95<=1s", []stretch{{n: 3, requests: 500}}, "pass"},
		"an odd end joins the last window": {sending, "p95<=300ms", []stretch{{n: 15, requests: 500}, {n: 1, requests: 500, slow: 30, slowest: time.Second}}, "pass pass"},
		// 9000 timed, p95 is number 8550 of them; with 100 missing number 8645 of 9100.
		"few are missing": {sending, "p95<=300ms; max<=1s", []stretch{{n: 17, requests: 500}, {n: 1, requests: 500, dropped: 5}}, "pass pass unknown"},
		// In the worst window 200 of 1700 are missing: 12 %.
		"many are missing":     {sending, "p95<=300ms; dropped<=10", []stretch{{n: 17, requests: 500}, {n: 1, requests: 500, dropped: 200}}, "pass unknown fail"},
		"slow and missing":     {sending, "p95<=300ms", []stretch{{n: 18, requests: 500, slow: 50, slowest: time.Second, dropped: 100}}, "fail fail"},
		"nothing came":         {sending, "rate>=1; p95<=1s; error_rate<=0.1", []stretch{{n: 18}}, "fail fail unknown unknown"},
		"no window at all":     {sending, "rate>=1; p95<=1s", nil, "unknown unknown"},
		"all is warm-up":       {Config{WarmUp: time.Hour}, "p95<=1s; error_rate<=1%; rate>=1", []stretch{good}, "unknown unknown unknown"},
		"another class":        {sending, "p95{class=health}<=1s; error_rate{case=health}<=1%", []stretch{good}, "unknown unknown"},
		"its class":            {sending, "p95{class=standard}<=10ms; p95{case=forecast}<=1s", []stretch{good}, "fail fail pass pass"},
		"soakd was late":       {sending, "p95<=300ms; rate>=50; error_rate<=1%", []stretch{{n: 9, requests: 500}, {n: 9, requests: 100, slow: 100, slowest: 9 * time.Second, unfit: []string{"late"}}}, "unknown pass unknown pass pass pass"},
		"soakd was late once":  {sending, "p95<=300ms; rate>=50", []stretch{{n: 17, requests: 500}, {n: 1, requests: 400, slow: 400, slowest: 9 * time.Second, unfit: []string{"cpu"}}}, "pass pass pass pass"},
		"it had no ports":      {sending, "error_rate<=1%", []stretch{{n: 18, requests: 500, failed: 200, outcome: "connect", unfit: []string{"ports"}}}, "pass pass"},
		"errors while late":    {sending, "error_rate<=1%", []stretch{{n: 18, requests: 500, failed: 200, unfit: []string{"late"}}}, "fail fail"},
		"somebody paused it":   {sending, "rate>=50", []stretch{{n: 12, requests: 500}, {n: 6, unfit: []string{"paused"}}}, "pass pass"},
		"the target throttles": {sending, "rate>=50", []stretch{{n: 12, requests: 500}, {n: 6, requests: 10, unfit: []string{"throttled"}}}, "fail fail"},
	} {
		if got := results(gated(t, test.cfg, test.thresholds, test.stretches...)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
			for _, j := range gated(t, test.cfg, test.thresholds, test.stretches...).Judged() {
				t.Logf("  %s over the %s: %s", j.Threshold, j.Over, j.Text)
			}
		}
	}
}

func TestSentences(t *testing.T) {
	g := gated(t, Config{Sending: 3 * time.Minute}, "p95{class=standard}<=300ms; rate>=50; error_rate<=0.1%",
		stretch{n: 15, requests: 500}, stretch{n: 3, requests: 500, slow: 100, failed: 5, slowest: 2 * time.Second})
	want := []string{
		"p95 of class standard was 50.1 ms (9000 requests), within 300ms",
		"p95 of class standard was 1.99 s in the window 10:02:30 to 10:03:00 (1500 requests), above 300ms",
		"rate of all traffic was 50 a second (9000 requests), at least 50",
		"rate of all traffic was 50 a second in the window 10:00:00 to 10:00:30 (1500 requests), at least 50",
		"error_rate of all traffic was 0.167 % (9000 requests), above 0.001",
		"error_rate of all traffic was 1 % in the window 10:02:30 to 10:03:00 (1500 requests), above 0.001",
	}
	for i, j := range g.Judged() {
		if j.Text != want[i] {
			t.Errorf("%q, want %q", j.Text, want[i])
		}
		if j.Measured == nil || j.Requests == 0 || j.From.IsZero() || !j.To.After(j.From) || j.Unit == "" {
			t.Errorf("%+v lacks something", j)
		}
	}
}

// What is called hopeless is missed at the end, however good the rest of the run is.
func TestHopelessIsMissed(t *testing.T) {
	const windows, requests = 18, 500
	random := rand.New(rand.NewPCG(7, 7))
	called := 0
	for range 1000 {
		thresholds := []string{
			fmt.Sprintf("p%d<=300ms", 50+random.IntN(50)), fmt.Sprintf("error_rate<=%.4f", 0.2*random.Float64()), fmt.Sprintf("failures<=%d", random.IntN(200)),
			"max<=1s", fmt.Sprintf("rate>=%d", 30+random.IntN(30)), fmt.Sprintf("p95{case=forecast,over=window}<=%dms", 100+random.IntN(400)), fmt.Sprintf("dropped<=%d", random.IntN(50)),
		}
		threshold := thresholds[random.IntN(len(thresholds))]
		bad := stretch{
			n: 1 + random.IntN(8), requests: requests, failed: random.IntN(requests), slow: random.IntN(requests),
			slowest: time.Duration(random.IntN(3000)) * time.Millisecond, dropped: int64(random.IntN(20)),
		}
		total := int64(windows*requests) + int64(bad.n)*bad.dropped
		cfg := Config{Sending: windows * window.Short, Total: total}
		g := gated(t, cfg, threshold, bad)
		text, hopeless := g.Hopeless()
		if !hopeless {
			continue
		}
		called++
		rest := gated(t, cfg, threshold, bad, stretch{n: windows - bad.n, requests: requests})
		if got := results(rest); !strings.Contains(got, "fail") {
			t.Fatalf("%s was called hopeless (%s) after %+v, and came to %s", threshold, text, bad, got)
		}
	}
	if called < 100 {
		t.Errorf("only %d of 1000 were called hopeless: the test shows little", called)
	}
	if text, hopeless := gated(t, Config{Sending: 3 * time.Minute, Total: 9000}, "p95<=300ms;error_rate<=1%;rate>=50", stretch{n: 9, requests: 500}).Hopeless(); hopeless {
		t.Errorf("a good run is hopeless: %s", text)
	}
	if _, hopeless := gated(t, Config{Sending: 3 * time.Minute, Total: 1800}, "rate>=50", stretch{n: 1, requests: 100}).Hopeless(); !hopeless {
		t.Error("10 a second never become 50")
	}
}

// More good windows at the end do not make a run worse.
func TestGoodWindowsDoNoHarm(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		some := []stretch{{n: 3 * (1 + random.IntN(5)), requests: 500, failed: random.IntN(8), slow: random.IntN(40), slowest: time.Second}}
		const thresholds = "p95{over=run}<=300ms; error_rate{over=run}<=1%; mean{over=run}<=100ms"
		before := strings.Fields(results(gated(t, Config{}, thresholds, some...)))
		after := strings.Fields(results(gated(t, Config{}, thresholds, append(some, stretch{n: 6, requests: 500})...)))
		for i := range before {
			if before[i] == "pass" && after[i] != "pass" {
				t.Fatalf("%+v: %v becomes %v", some, before, after)
			}
		}
	}
}

// Results of other tools are judged alike, by what they know.
func TestForeignFigures(t *testing.T) {
	var list List
	if err := list.UnmarshalText([]byte("p95<=300ms; p97<=300ms; p99<=300ms; p99.9<=1s; mean<=100ms; rate>=50; error_rate<=1%")); err != nil {
		t.Fatal(err)
	}
	run := fixed{Figures{
		Length: 100 * time.Second, Requests: 5000, Failed: 10,
		Times: Times{Count: 5000, Mean: 80 * time.Millisecond, Min: unknown, Max: 900 * time.Millisecond, Known: []Quantile{{0.5, 60 * time.Millisecond}, {0.95, 200 * time.Millisecond}, {0.98, 400 * time.Millisecond}}},
	}}
	var got []string
	for _, j := range JudgeAll(list, run, nil) {
		got = append(got, string(j.Result))
	}
	if want := "pass unknown fail pass pass pass pass"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	slow := fixed{Figures{Start: time.Unix(0, 0), Length: 10 * time.Second, Requests: 500, Times: Times{Count: 500, Known: []Quantile{{0.95, time.Second}}, Max: unknown}}}
	few := fixed{Figures{Length: 10 * time.Second, Requests: 5, Times: Times{Count: 5, Known: []Quantile{{0.95, time.Hour}}, Max: unknown}}}
	all := JudgeAll(list[:1], run, []Stretch{run, slow, few})
	if len(all) != 2 || all[1].Result != Missed || *all[1].Measured != 1 || all[1].Over != WorstWindow {
		t.Errorf("%+v", all)
	}
}

// fixed is a stretch in which all traffic has the same figures.
type fixed struct{ Figures }

func (f fixed) Of(string, string) (Figures, bool) { return f.Figures, true }

// A month has no more in memory than an hour.
func TestAMonthIsNoMore(t *testing.T) {
	list := List{}
	if err := list.Add("p95<=300ms"); err != nil {
		t.Fatal(err)
	}
	g := NewGate(list, Config{})
	w := stretch{requests: 20}.window(time.Unix(0, 0))
	allocated := testing.AllocsPerRun(10, func() {
		for range 30 * 24 * 360 / 10 {
			g.Add(w)
		}
	})
	if one := &g.watches[0]; one.run.requests < 250_000 || allocated > 60_000 {
		t.Errorf("%d requests, %v allocations", one.run.requests, allocated)
	}
}
