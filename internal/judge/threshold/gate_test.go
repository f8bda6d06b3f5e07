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
		"many are missing":          {sending, "p95<=300ms; dropped<=10", []stretch{{n: 17, requests: 500}, {n: 1, requests: 500, dropped: 200}}, "pass unknown fail"},
		"slow and missing":          {sending, "p95<=300ms", []stretch{{n: 18, requests: 500, slow: 50, slowest: time.Second, dropped: 100}}, "fail fail"},
		"nothing came":              {sending, "rate>=1; p95<=1s; error_rate<=0.1", []stretch{{n: 18}}, "unknown unknown unknown"},
		"no window at all":          {sending, "rate>=1; p95<=1s", nil, "unknown unknown"},
		"all is warm-up":            {Config{WarmUp: time.Hour}, "p95<=1s; error_rate<=1%; rate>=1", []stretch{good}, "unknown unknown unknown"},
		"another class":             {sending, "p95{class=health}<=1s; error_rate{case=health}<=1%", []stretch{good}, "unknown unknown"},
		"its class":                 {sending, "p95{class=standard}<=10ms; p95{case=forecast}<=1s", []stretch{good}, "fail fail pass pass"},
		"soakd was late":            {sending, "p95<=300ms; rate>=50; error_rate<=1%", []stretch{{n: 9, requests: 500}, {n: 9, requests: 100, slow: 100, slowest: 9 * time.Second, unfit: []string{"late"}}}, "unknown unknown unknown unknown pass pass"},
		"soakd was late once":       {sending, "p95<=300ms; rate>=50", []stretch{{n: 17, requests: 500}, {n: 1, requests: 400, slow: 400, slowest: 9 * time.Second, unfit: []string{"cpu"}}}, "pass pass pass pass"},
		"it had no ports":           {sending, "error_rate<=1%", []stretch{{n: 18, requests: 500, failed: 200, outcome: "connect", unfit: []string{"ports"}}}, "pass pass"},
		"errors while late":         {sending, "error_rate<=1%", []stretch{{n: 18, requests: 500, failed: 200, unfit: []string{"late"}}}, "fail fail"},
		"somebody paused it":        {sending, "rate>=50", []stretch{{n: 12, requests: 500}, {n: 6, unfit: []string{"paused"}}}, "pass pass"},
		"no failures of nothing":    {sending, "failures<=0; dropped<=0; requests<=5; rate<=5", []stretch{{n: 18}}, "unknown unknown unknown unknown"},
		"all of it was paused":      {sending, "rate>=50; rate<=50", []stretch{{n: 18, requests: 1, unfit: []string{"paused"}}}, "unknown unknown"},
		"nothing came for 30 s":     {sending, "rate>=40", []stretch{{n: 9, requests: 500}, {n: 3}, {n: 6, requests: 500}}, "pass fail"},
		"nothing was fit":           {sending, "p95<=1s; max<=1s", []stretch{{n: 18, requests: 500, unfit: []string{"cpu"}}}, "unknown unknown"},
		"the first of 100 never":    {sending, "error_rate<1%", []stretch{{n: 1, requests: 34, failed: 1}, {n: 17, requests: 33}}, "pass pass"}, // 1 of 100 is not below 1 %
		"two of 100 do":             {sending, "error_rate<1%", []stretch{{n: 1, requests: 34, failed: 2}, {n: 17, requests: 33}}, "pass fail"},
		"one short window for all":  {Config{Sending: 30 * time.Second}, "p95{over=window}<=300ms", []stretch{{n: 3, requests: 500}}, "pass"},
		"a lower limit of a time":   {sending, "p50>=10ms; min>=60ms; mean>40ms", []stretch{good}, "pass pass fail pass pass"},
		"the rate is too high":      {sending, "rate<=49", []stretch{good}, "fail pass"},
		"drops while soakd is late": {sending, "p99<=300ms; dropped<=100", []stretch{{n: 17, requests: 500}, {n: 1, requests: 100, dropped: 400, unfit: []string{"dropped", "late"}}}, "unknown unknown fail"},
		// Of 1000 with 4 missing, p99.5 is number 1000 - 0.005*1004 = 999 from below, and there.
		"as many as may be missing": {sending, "p99.5{over=run}<=300ms", []stretch{{n: 2, requests: 500, dropped: 2}}, "pass"},
		"one more than may be":      {sending, "p99.5{over=run}<=300ms", []stretch{{n: 2, requests: 500, dropped: 3}}, "unknown"},
		"the target throttles":      {sending, "rate>=50", []stretch{{n: 12, requests: 500}, {n: 6, requests: 10, unfit: []string{"throttled"}}}, "fail fail"},
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
		"rate of all traffic was 50 a second (9000 requests), at least 50 a second",
		"rate of all traffic was 50 a second in the window 10:00:00 to 10:00:30 (1500 requests), at least 50 a second",
		"error_rate of all traffic was 0.167 % (9000 requests), above 0.1 %",
		"error_rate of all traffic was 1 % in the window 10:02:30 to 10:03:00 (1500 requests), above 0.1 %",
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

// A window covers some milliseconds more or less than 10 s. Neither do rates of high
// throughput change by it, nor the windows of which the worst counts.
func TestTicksThatComeLate(t *testing.T) {
	const perSecond = 1000
	var list List
	if err := list.UnmarshalText([]byte("rate>=1000; rate<=1000; p95<=300ms")); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 5))
	for range 10 {
		g := NewGate(list, Config{Sending: 3 * time.Minute, WarmUp: 20 * time.Second})
		start, before := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), time.Duration(0)
		ended := 0
		for i := range 20 {
			tick := time.Duration(i+1)*window.Short + time.Duration(random.IntN(40))*time.Millisecond
			upTo := int(perSecond * min(tick, 3*time.Minute).Seconds())
			w := stretch{requests: upTo - ended}.window(start.Add(time.Duration(i) * window.Short))
			w.Covered = tick - before
			ended, before = upTo, tick
			g.Add(w)
		}
		if got := results(g); got != "pass pass pass pass pass pass" {
			t.Fatalf("%s: %+v", got, g.Judged())
		}
		if closed := g.watches[2].closed; closed != 5 { // 160 s: five of 30 s, and 10 s
			t.Fatalf("%d windows of 30 s in 160 s", closed)
		}
	}
}

// Requests that were cut at the end have no time, and are missing. How many there were
// follows from what was sent.
func TestCutAtTheEnd(t *testing.T) {
	for cut, want := range map[int]string{1: "pass", 400: "unknown"} { // 5 % of 3000 are 150
		var list List
		if err := list.Add("p95{over=run}<=300ms"); err != nil {
			t.Fatal(err)
		}
		g := NewGate(list, Config{Sending: time.Minute})
		start := time.Unix(1000, 0).UTC()
		for i := range 6 {
			s := stretch{requests: 500}
			if i == 5 {
				s.requests -= cut
			}
			w := s.window(start.Add(time.Duration(i) * window.Short))
			w.Scheduled, w.Sent = 500, 500
			g.Add(w)
		}
		last := stretch{unfit: []string{"dropped"}}.window(start.Add(time.Minute))
		last.Covered = 3 * time.Second
		g.Add(last)
		if got := results(g); got != want || g.watches[0].run.missing != int64(cut) {
			t.Errorf("%d were cut: %s with %d missing, want %s", cut, got, g.watches[0].run.missing, want)
		}
	}
}

// The order of what is within one window, and a clock that runs half as fast, change nothing.
func TestInvariance(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 4))
	for range 60 {
		var some []stretch
		for range 18 {
			some = append(some, stretch{
				n: 1, requests: 100 + random.IntN(400), failed: random.IntN(8), slow: random.IntN(30), dropped: int64(random.IntN(3)),
				slowest: time.Duration(100+random.IntN(800)) * time.Millisecond,
			})
		}
		const limits = "p95<=300ms; p50<=100ms; max<=800ms; error_rate<=1%; rate>=28; dropped<=15; failures<=60"
		cfg := Config{Sending: 3 * time.Minute}
		want := results(gated(t, cfg, limits, some...))
		for i := 0; i < len(some); i += 3 {
			random.Shuffle(3, func(a, b int) { some[i+a], some[i+b] = some[i+b], some[i+a] })
		}
		if got := results(gated(t, cfg, limits, some...)); got != want {
			t.Fatalf("%s became %s in another order", want, got)
		}
		random.Shuffle(len(some), func(a, b int) { some[a], some[b] = some[b], some[a] })
		const overRun = "p95{over=run}<=300ms; error_rate{over=run}<=1%; failures<=60"
		want = results(gated(t, cfg, overRun, some...))
		random.Shuffle(len(some), func(a, b int) { some[a], some[b] = some[b], some[a] })
		if got := results(gated(t, cfg, overRun, some...)); got != want {
			t.Fatalf("over the run %s became %s in another order", want, got)
		}
		for i := range some {
			some[i].slowest *= 2
		}
		const twice = "p95{over=run}<=600ms; error_rate{over=run}<=1%; failures<=60"
		if got := results(gated(t, cfg, twice, some...)); got != want {
			t.Fatalf("%s became %s in twice the time", want, got)
		}
	}
}

// What a text must say beside the figures.
func TestTextsSayOnWhatTheyRest(t *testing.T) {
	for name, test := range map[string]struct {
		thresholds string
		stretches  []stretch
		want       string
	}{
		"few for the run":      {"p99<=1s", []stretch{{n: 18, requests: 5}}, "p99 of all traffic was 50 ms (90 requests), within 1s; it rests on 90 times, and needs 100 to be more than the longest; no windows have the 100 requests that it needs"},
		"few for windows":      {"error_rate<=0.1%", []stretch{{n: 18, requests: 5}}, "error_rate of all traffic was 0 % (90 requests), within 0.1 %; no windows have the 1000 requests that it needs"},
		"short by one":         {"rate{over=run}>=50", []stretch{{n: 17, requests: 500}, {n: 1, requests: 499}}, "rate of all traffic was 49.99 a second (8999 requests), which is 50 a second but for requests at the edges"},
		"not below":            {"failures<1", []stretch{{n: 18, requests: 10, failed: 1}}, "failures of all traffic was 18 (180 requests), not below 1"},
		"times left out":       {"p50{over=run}<=1s", []stretch{{n: 15, requests: 10}, {n: 3, requests: 10, unfit: []string{"late"}}}, "p50 of all traffic was 50 ms (150 timed of 180 requests), within 1s"},
		"too many times so":    {"p50{over=run}<=1s", []stretch{{n: 14, requests: 10}, {n: 4, requests: 10, unfit: []string{"late"}}}, "p50 of all traffic is not known: soakd itself was late or starved in 4 of 18 windows; in the others it was 50 ms"},
		"no request of a case": {"rate{case=other}>=1", []stretch{{n: 18, requests: 10}}, "rate of case other is not known: no request of it came to an end"},
		"all windows paused":   {"rate>=1", []stretch{{n: 18, requests: 10, unfit: []string{"paused"}}}, "rate of all traffic is not known: no request of it came to an end"},
	} {
		got := gated(t, Config{Sending: 3 * time.Minute}, test.thresholds, test.stretches...).Judged()
		if len(got) != 1 || got[0].Text != test.want {
			t.Errorf("%s: %+v, want %q", name, got, test.want)
		}
	}
}

// What is called hopeless is missed at the end, however good the rest of the run is.
func TestHopelessIsMissed(t *testing.T) {
	const windows, requests = 18, 500
	random := rand.New(rand.NewPCG(7, 7))
	called := 0
	for range 500 {
		thresholds := []string{
			fmt.Sprintf("p%d<=300ms", 50+random.IntN(50)), fmt.Sprintf("error_rate<=%.4f", 0.2*random.Float64()), fmt.Sprintf("failures<=%d", random.IntN(200)),
			"max<=1s", fmt.Sprintf("requests>=%d", 8000+random.IntN(1500)), fmt.Sprintf("requests<=%d", 500*random.IntN(10)), fmt.Sprintf("min>=%dms", 1+random.IntN(100)),
			fmt.Sprintf("rate<=%d", 1+random.IntN(30)), fmt.Sprintf("error_rate{class=standard}<%.4f", 0.01+0.2*random.Float64()), fmt.Sprintf("rate>=%d", 30+random.IntN(30)), fmt.Sprintf("p95{case=forecast,over=window}<=%dms", 100+random.IntN(400)), fmt.Sprintf("dropped<=%d", random.IntN(50)),
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
	if called < 50 {
		t.Errorf("only %d of 500 were called hopeless: the test shows little", called)
	}
	if text, hopeless := gated(t, Config{Sending: 3 * time.Minute, Total: 9000}, "p95<=300ms;error_rate<=1%;rate>=50", stretch{n: 9, requests: 500}).Hopeless(); hopeless {
		t.Errorf("a good run is hopeless: %s", text)
	}
	// 17 of 18 windows have gone by at 45 a second, and the schedule has no more than 50.
	if _, hopeless := gated(t, Config{Sending: 3 * time.Minute, Total: 9000}, "rate>=50", stretch{n: 17, requests: 450, dropped: 50}).Hopeless(); !hopeless {
		t.Error("45 a second do not become 50 in 10 s")
	}
	late := stretch{n: 9, requests: 500, slow: 500, slowest: time.Second, unfit: []string{"late"}}
	if text, hopeless := gated(t, Config{Sending: 3 * time.Minute, Total: 9000}, "p95<=300ms", stretch{n: 9, requests: 500, slow: 400, slowest: time.Second}, late).Hopeless(); hopeless {
		t.Errorf("soakd is in trouble, and calls %s", text)
	}
	if _, hopeless := gated(t, Config{Sending: 3 * time.Minute, Total: 1800}, "rate>=50", stretch{n: 1, requests: 100}).Hopeless(); !hopeless {
		t.Error("10 a second never become 50")
	}
}

// More good windows at the end do not make a run worse.
func TestGoodWindowsDoNoHarm(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
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
	run.Times.AtLeast = true // so many slow ones are missing
	for _, j := range JudgeAll(list[:1], run, nil) {
		if j.Result != Unknown {
			t.Errorf("a lower bound passes: %+v", j)
		}
	}
	run.Times.AtLeast = false
	starved := fixed{Figures{Length: 10 * time.Second, Requests: 500, Unfit: []string{"cpu"}, Times: Times{Count: 500, Known: []Quantile{{0.95, time.Hour}}, Max: unknown}}}
	if all := JudgeAll(list[:1], run, []Stretch{run, run, run, run, run, starved}); len(all) != 2 || all[0].Result != Met || all[1].Result != Met {
		t.Errorf("one of six windows in which soakd was starved: %+v", all)
	}
	if all := JudgeAll(list[:1], run, []Stretch{run, starved}); len(all) != 2 || all[0].Result != Unknown || all[1].Result != Unknown {
		t.Errorf("one of two windows in which soakd was starved: %+v", all)
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

// Where soakd was hardly ever fit, no figure stands beside the limit as if it had been missed.
func TestTroubleIsNoMiss(t *testing.T) {
	late := stretch{n: 5, requests: 500, unfit: []string{"late"}}
	for name, test := range map[string]struct {
		rest []stretch
		want string
	}{
		"in all":  {nil, "rate of all traffic is not known: soakd itself was late or starved in 5 of 5 windows"},
		"nothing": {[]stretch{{n: 1}}, "rate of all traffic is not known: soakd itself was late or starved in 5 of 6 windows"},
		"a few":   {[]stretch{{n: 1, requests: 100}}, "rate of all traffic is not known: soakd itself was late or starved in 5 of 6 windows; in the others it was 10 a second; no window alone could be judged"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gated(t, Config{}, "rate>=50", append([]stretch{late}, test.rest...)...)
			for _, one := range g.Judged() {
				if one.Result != Unknown || (one.Measured == nil) != (name != "a few") {
					t.Errorf("%s over the %s: %v", one.Result, one.Over, one.Measured)
				}
				if one.Text != test.want {
					t.Errorf("%s: %q, want %q", one.Over, one.Text, test.want)
				}
			}
		})
	}
}
