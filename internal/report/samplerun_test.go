package report

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/load"
	"soakd/internal/probes"
)

// sampleStart is when the sample runs begin: a whole multiple of 10 s.
func sampleStart() time.Time { return time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC) }

// sampleRuns are runs of every kind that a report has to cope with.
func sampleRuns(t testing.TB) map[string]*Run {
	t.Helper()
	return map[string]*Run{
		"passed": passedRun(), "failed": sampleRun(), "unknown": unknownRun(), "empty": emptyRun(),
		"foreign": foreignRun(), "hostile": hostileRun(), "minimal": {},
	}
}

// sampleCase is a case of the sample runs: so many requests in a window, of which the
// typical one takes so long.
type sampleCase struct {
	name, class, method string
	invalid             bool
	requests            int
	typical             time.Duration
}

func sampleCases() []sampleCase {
	return []sampleCase{
		{"forecast", "standard", "POST", false, 300, 12 * time.Millisecond},
		{"history", "standard", "GET", false, 120, 4 * time.Millisecond},
		{"monte_carlo", "monte_carlo", "POST", false, 20, 900 * time.Millisecond},
		{"negative_income", "invalid", "POST", true, 60, 3 * time.Millisecond},
	}
}

// times spreads n requests around a typical time: a lognormal shape by its quantiles,
// without chance.
func times(n int, typical time.Duration) *histogram.Histogram {
	h := &histogram.Histogram{}
	for i := range n {
		u := (float64(i) + 0.5) / float64(n)
		h.Observe(time.Duration(float64(typical) * math.Exp(0.5*math.Log(u/(1-u)))))
	}
	return h
}

// sampleWindow is window k; ill makes one class slow and failing.
func sampleWindow(k int, ill bool) *window.Window {
	w := &window.Window{
		Start: sampleStart().Add(time.Duration(k) * window.Short), Length: window.Short, Covered: window.Short, Fit: window.Short,
		Rate: 50, Version: "v1.4.2", Scheduled: 500, Sent: 500,
	}
	for _, c := range sampleCases() {
		typical, outcomes := c.typical, map[string]int64{"ok": int64(c.requests)}
		if ill && c.class != "invalid" {
			typical *= 4
			outcomes = map[string]int64{"ok": int64(c.requests - c.requests/10), "server_error": int64(c.requests/10 - c.requests/20), "timeout": int64(c.requests / 20)}
		}
		w.Cases = append(w.Cases, window.Case{Name: c.name, Class: c.class, Invalid: c.invalid, Outcomes: window.Counts(outcomes), Times: times(c.requests, typical)})
	}
	busy, hits := 4.0+float64(k%3), 0.9
	if ill {
		busy, hits = 10, 0.3
	}
	w.Signals = []window.Signal{
		gauge("soakd_api_pool_connections", `pool="pgxpool",state="in_use"`, busy),
		gauge("soakd_api_resident_memory_bytes", "", 9e7+1e6*float64(k)),
		gauge("soakd_postgres_connections", `state="active"`, busy+1),
		gauge("soakd_redis_keyspace_hit_ratio", `node="n:1"`, hits),
		gauge("soakd_redis_memory_used_bytes", `node="n:1"`, 3e6+1e4*float64(k)),
	}
	w.Probes = []window.Probe{{Name: "api", Polls: 2, LastSuccess: w.Start.Add(5 * time.Second), FirstSuccess: w.Start}, {Name: "postgres", Polls: 2, LastSuccess: w.Start.Add(5 * time.Second), FirstSuccess: w.Start}}
	return w
}

func gauge(name, labels string, value float64) window.Signal {
	return window.Signal{Name: name, Labels: labels, N: 2, Min: value, Max: value, Sum: 2 * value, Last: value}
}

// samplePoints are the windows in figures.
func samplePoints(windows []*window.Window) []Point {
	points := make([]Point, len(windows))
	for i, w := range windows {
		p := &points[i]
		*p = Point{Start: w.Start, Length: w.Length, Dropped: w.Dropped, Users: 20, Unfit: w.Unfit}
		all, outcomes := &histogram.Histogram{}, map[string]int64{}
		for j := range w.Cases {
			c := &w.Cases[j]
			p.Requests += c.Requests()
			p.Failed += c.Failed()
			all.Merge(c.Times)
			for _, o := range c.Outcomes {
				outcomes[o.Name] += o.N
			}
			p.Cases = append(p.Cases, PointCase{Name: c.Name, Requests: c.Requests(), Failed: c.Failed(), P50: c.Times.Quantile(0.5), P95: c.Times.Quantile(0.95), P99: c.Times.Quantile(0.99)})
		}
		p.Outcomes = window.Counts(outcomes)
		p.P50, p.P95, p.P99, p.Max = all.Quantile(0.5), all.Quantile(0.95), all.Quantile(0.99), all.Max()
	}
	return points
}

// sampleTraffic adds the windows up into rows, those picked by the function.
func sampleTraffic(windows []*window.Window, pick func(*window.Case) bool) Traffic {
	row, due, counts := Traffic{}, &histogram.Histogram{}, map[string]int64{}
	for _, w := range windows {
		for i := range w.Cases {
			c := &w.Cases[i]
			if !pick(c) {
				continue
			}
			row.Requests += c.Requests()
			row.Failed += c.Failed()
			row.Bytes += 1000 * c.Requests()
			due.Merge(c.Times)
			for _, o := range c.Outcomes {
				counts[o.Name] += o.N
			}
		}
	}
	delete(counts, window.OK)
	for _, o := range window.Counts(counts) {
		row.Failures = append(row.Failures, Failure{Outcome: o.Name, Count: o.N, First: sampleStart().Add(61 * time.Second), Last: sampleStart().Add(119500 * time.Millisecond)})
	}
	slices.SortStableFunc(row.Failures, func(a, b Failure) int { return int(b.Count - a.Count) })
	row.ResponseTime, row.ServiceTime = threshold.FromHistogram(due), threshold.FromHistogram(due)
	return row
}

// ofWindows is a run of 18 windows of 10 s, those from..to-1 of them ill.
func ofWindows(from, to int) *Run {
	r := &Run{
		Tool: "soakd", ToolVersion: "dev", Target: "http://api.test:8000", Workload: "cashflow", TargetVersion: "v1.4.2", Model: "open", Rate: 50, Users: 20,
		Start: sampleStart(), Elapsed: 181500 * time.Millisecond, Duration: 3 * time.Minute, WarmUp: 20 * time.Second,
	}
	for k := range 18 {
		r.Windows = append(r.Windows, sampleWindow(k, k >= from && k < to))
	}
	r.Points = samplePoints(r.Windows)
	r.All = sampleTraffic(r.Windows, func(*window.Case) bool { return true })
	for _, one := range sampleCases() {
		row := sampleTraffic(r.Windows, func(c *window.Case) bool { return c.Name == one.name })
		row.Name, row.Class, row.Method, row.Invalid = one.name, one.class, one.method, one.invalid
		for i := range row.Failures {
			row.Failures[i].Reason = "status 500, expected [200]"
			if row.Failures[i].Outcome == "timeout" {
				row.Failures[i].Reason = "no answer within 30s"
			}
		}
		r.Cases = append(r.Cases, row)
	}
	for _, class := range []string{"invalid", "monte_carlo", "standard"} {
		row := sampleTraffic(r.Windows, func(c *window.Case) bool { return c.Class == class })
		row.Class, row.Invalid = class, class == "invalid"
		r.Classes = append(r.Classes, row)
	}
	r.Status = sampleStatus(r)
	r.Baseline = "last-passed"
	return r
}

func sampleStatus(r *Run) *Status {
	s := &Status{
		Target: r.Target, Workload: r.Workload, Rate: r.Rate, Users: r.Users, Start: r.Start, Elapsed: r.Elapsed, Duration: r.Duration,
		Counts:  load.Counts{Scheduled: r.All.Requests, Sent: r.All.Requests, Finished: r.All.Requests, Dropped: map[load.DropReason]int64{}},
		Fitness: load.FitnessStatus{Windows: 18, ByReason: map[load.UnfitReason]int64{}},
		All:     load.CaseSummary{Finished: r.All.Requests, OK: r.All.Requests - r.All.Failed},
		Probes: []probes.Status{
			{Probe: "api", Known: true, Success: true, Polls: 36, LastSuccess: r.Start.Add(3 * time.Minute)},
			{Probe: "postgres", Known: true, Success: true, Polls: 36, LastSuccess: r.Start.Add(3 * time.Minute)},
			{Probe: "redis", Known: true, Polls: 36, Reason: "connect", Err: errors.New("dial tcp 127.0.0.1:6379: connection refused"), LastSuccess: r.Start.Add(time.Minute)},
		},
	}
	for _, reason := range load.DropReasons() {
		s.Counts.Dropped[reason] = 0
	}
	for _, reason := range load.UnfitReasons() {
		s.Fitness.ByReason[reason] = 0
	}
	return s
}

func measured(x float64) *float64 { return &x }

// passedRun is a healthy run that was compared with an earlier one.
func passedRun() *Run {
	r := ofWindows(0, 0)
	r.Conclusion = Conclusion{Result: judge.Pass, ExitCode: ExitPassed, Text: "passed"}
	r.Thresholds = []threshold.Judged{
		{Threshold: "rate>=50", Over: threshold.Run, Result: threshold.Met, Limit: 50, Measured: measured(50), Unit: "per second", From: r.Start.Add(r.WarmUp), To: r.Start.Add(r.Duration), Requests: 8000, Text: "the rate was 50 a second (8000 requests), at least 50 a second as it should be"},
		{Threshold: "p95<=300ms", Over: threshold.WorstWindow, Result: threshold.Met, Limit: 0.3, Measured: measured(0.05), Unit: "seconds", From: r.Start.Add(30 * time.Second), To: r.Start.Add(time.Minute), Requests: 1500, Text: "p95 was 50 ms in the window 10:00:30-10:01:00 (1500 requests), within 300 ms"},
	}
	r.Verdict = &judge.Verdict{
		Result: judge.Pass, From: r.Start, To: r.Start.Add(r.Duration), Version: "v1.4.2", Windows: 18, FitWindows: 18, Requests: r.All.Requests,
		Checks: []judge.Check{{Name: "errors", Result: judge.Pass, Text: "no more requests failed than before", Windows: 18, WindowSeconds: 10}},
		Text:   "pass: nothing was found",
	}
	r.Comparison = &baseline.Comparison{
		BaseVersion: "v1.4.1", Version: "v1.4.2", Result: baseline.Same,
		Rows: []baseline.Row{
			{Class: "all", Signal: baseline.P95Time, Result: baseline.Same, Before: 0.05, After: 0.051, Ratio: 1.02, Low: 0.98, High: 1.06, P: 0.4, PAdjusted: 1, Windows: 16, Requests: 8000, Text: "p95 of all traffic went from 50 ms to 51 ms", Bands: []string{"50/s"}},
			{Case: "forecast", Class: "standard", Signal: baseline.MedianTime, Result: baseline.Improved, Before: 0.02, After: 0.012, Ratio: 0.6, Low: 0.55, High: 0.65, P: 1e-6, PAdjusted: 1e-5, Windows: 16, Requests: 4800, Relative: true, Text: "the median of forecast went from 20 ms to 12 ms", Bands: []string{"50/s"}},
		},
	}
	return r
}

// sampleRun is a run that failed for several reasons.
func sampleRun() *Run {
	r := ofWindows(6, 12)
	r.Status.Counts.Scheduled += 25
	r.Status.Counts.Dropped[load.DropLate] = 25
	r.Windows[8].Dropped, r.Points[8].Dropped = 25, 25
	r.Windows[8].Unfit, r.Points[8].Unfit = []string{"late"}, []string{"late"}
	r.Windows[8].Fit = 0
	r.All.ResponseTime.AtLeast, r.All.ServiceTime.AtLeast = true, true
	r.Status.Fitness.Unfit, r.Status.Fitness.ByReason[load.UnfitLate] = 1, 1
	r.Status.Throttle = load.Throttle{Factor: 1, Holds: load.HoldCounts{User: 3, Everybody: 1, Capped: 1}, Circuit: load.CircuitStatus{State: load.CircuitClosed, Trips: 1, Relapses: 2}}
	from, to := r.Start.Add(70*time.Second), r.Start.Add(100*time.Second)
	r.Thresholds = []threshold.Judged{
		{Threshold: "error_rate<=1%", Over: threshold.Run, Result: threshold.Missed, Limit: 0.01, Measured: measured(0.035), Unit: "ratio", From: r.Start.Add(r.WarmUp), To: r.Start.Add(r.Duration), Requests: 8000, Text: "the error rate was 3.5 % (8000 requests), above 1 %"},
		{Threshold: "p95<=300ms", Over: threshold.Run, Result: threshold.Met, Limit: 0.3, Measured: measured(0.12), Unit: "seconds", From: r.Start.Add(r.WarmUp), To: r.Start.Add(r.Duration), Requests: 8000, Text: "p95 was 120 ms (8000 requests), within 300 ms"},
		{Threshold: "p99{class=monte_carlo}<=5s", Over: threshold.WorstWindow, Result: threshold.Missed, Limit: 5, Measured: measured(6.2), Unit: "seconds", From: from, To: to, Requests: 60, Text: "p99 of class monte_carlo was 6.2 s in the window 10:01:10-10:01:40 (60 requests), above 5 s"},
		{Threshold: "p99.9{case=history}<=1s", Over: threshold.Run, Result: threshold.Unknown, Limit: 1, Unit: "seconds", Requests: 0, Text: "p99.9 of case history is not known: 25 arrivals were dropped"},
	}
	r.Notes = []string{"a note on what this run rests on"}
	r.Findings = sampleFindings(r)
	r.Verdict = &judge.Verdict{
		Result: judge.Fail, From: r.Start, To: r.Start.Add(r.Duration), Version: "v1.4.2", Windows: 18, FitWindows: 17, Requests: r.All.Requests, Failed: r.All.Failed,
		Checks: []judge.Check{
			{Name: "load", Result: judge.Pass, Text: "soakd was fit in 17 of 18 windows", Windows: 18, WindowSeconds: 10},
			{Name: "errors", Result: judge.Fail, Text: "1 finding", Windows: 18, WindowSeconds: 10, Confidence: 0.999, Findings: []string{"f1"}},
			{Name: "resources", Result: judge.Unknown, Text: "a leak takes 30 minutes to see"},
		},
		Unknown: []string{"leaks: a run of 3 minutes is too short to see one"}, Text: "fail: 2 findings",
	}
	r.Comparison = &baseline.Comparison{
		BaseVersion: "v1.4.1", Version: "v1.4.2", Result: baseline.Worse, Unknown: []string{"monte_carlo: 6 windows, 8 are needed"},
		Rows: []baseline.Row{
			{Class: "all", Signal: baseline.P99Time, Result: baseline.Same, Before: 1, After: 1.02, Ratio: 1.02, Low: 0.95, High: 1.1, P: 0.3, PAdjusted: 1, Windows: 16, Requests: 8000, Text: "p99 of all traffic is the same", Bands: []string{"50/s"}},
			{Case: "forecast", Class: "standard", Signal: baseline.ErrorRatio, Result: baseline.Worse, Before: 0.0001, After: 0.035, Ratio: 350, Low: 90, High: 1300, P: 1e-9, PAdjusted: 1e-8, Windows: 16, Requests: 4800, Text: "failed requests of forecast went from 0.01 % to 3.5 %", Bands: []string{"50/s"}},
			{Case: "monte_carlo", Class: "monte_carlo", Signal: baseline.MedianTime, Result: baseline.NotEnoughData, Text: "monte_carlo: 6 windows, 8 are needed", Bands: []string{}},
		},
	}
	r.Examples = []Example{
		{Case: "forecast", Outcome: "server_error", Reason: "status 500, expected [200]", Curl: `curl -sS -X POST 'http://api.test:8000/api/v1/forecast' -H "Authorization: Bearer $TOKEN" --data '{"months":12}'`, At: from, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736"},
		{Case: "history", Outcome: "timeout", Reason: "no answer within 30s", Curl: `curl -sS 'http://api.test:8000/api/v1/history?user=7' -H "Authorization: Bearer $TOKEN"`, At: to},
	}
	r.Conclusion = Conclude(r, &Circumstances{Answered: true, OK: r.All.Requests - r.All.Failed, Compared: true})
	return r
}

func sampleFindings(r *Run) []judge.Finding {
	onset := r.Start.Add(time.Minute)
	symptom := finding.Symptom{
		Kind: finding.Errors, Subject: finding.Subject{Case: "forecast", Class: "standard"}, Onset: onset, Before: 0.0001, After: 0.1, Unit: "ratio",
		What: "share of failed requests", Against: "earlier in this run", Confidence: 0.999, Windows: 6, Requests: 1800, Text: "10 % of forecast failed, 0.01 % before",
	}
	return []judge.Finding{
		{
			ID: "f1", Kind: finding.PoolExhausted, Subject: finding.Subject{Target: "api", Signal: `soakd_api_pool_connections{pool="pgxpool",state="in_use"}`},
			Onset: onset, OnsetFrom: onset.Add(-5 * time.Second), OnsetTo: onset.Add(5 * time.Second), Found: onset.Add(30 * time.Second), Ended: onset.Add(time.Minute),
			Text: "requests waited for a connection of the pool: 10 of 10 in use", Confidence: 0.999, Symptoms: []finding.Symptom{symptom},
			Nearby: []judge.Event{{At: onset.Add(-10 * time.Second), Kind: judge.VersionChanged, Text: "v1.4.1 to v1.4.2", Version: "v1.4.2", Seq: 3}, {At: onset, Until: onset.Add(time.Minute), Kind: judge.Drill, Text: "postgres locked", Seq: 4}},
			Hints:  []finding.Hint{{Signal: `soakd_redis_keyspace_hit_ratio{node="n:1"}`, Before: 0.9, After: 0.3, Unit: "ratio", Score: 0.8, Moved: onset, LagSeconds: 2, Text: "the hit ratio of n:1 fell from 90 % to 30 %"}},
		},
		{
			ID: "f2", Kind: finding.LatencyTail, Subject: finding.Subject{Class: "monte_carlo"}, Onset: onset, Found: onset.Add(40 * time.Second),
			Text: "p99 of class monte_carlo went from 4 s to 16 s", Confidence: 0.99, Symptoms: []finding.Symptom{symptom},
		},
	}
}

// unknownRun was interrupted.
func unknownRun() *Run {
	r := ofWindows(0, 0)
	r.Windows, r.Points, r.Elapsed = r.Windows[:4], r.Points[:4], 40*time.Second
	r.Baseline = ""
	r.Thresholds = []threshold.Judged{{Threshold: "p95<=300ms", Over: threshold.Run, Result: threshold.Unknown, Limit: 0.3, Unit: "seconds", Text: "p95 is not known"}}
	r.Conclusion = Conclude(r, &Circumstances{Ended: Interrupted("interrupted", r.Elapsed, r.Duration), Answered: true, OK: 1})
	return r
}

// emptyRun is one in which nothing was measured.
func emptyRun() *Run {
	r := &Run{
		Tool: "soakd", ToolVersion: "dev", Target: "http://api.test:8000", Workload: "cashflow", Model: "closed", Users: 3, Start: sampleStart(), Elapsed: time.Second, Duration: time.Minute,
		All: Traffic{ResponseTime: threshold.FromHistogram(nil), ServiceTime: threshold.FromHistogram(nil)},
	}
	r.Status = &Status{Target: r.Target, Workload: r.Workload, Closed: true, Users: 3, Start: r.Start, Elapsed: r.Elapsed, Duration: r.Duration}
	r.Conclusion = Conclude(r, &Circumstances{Answered: true})
	return r
}

// foreignRun is what Locust's totals tell: quantiles, some of which are missing, and no
// histogram.
func foreignRun() *Run {
	known := threshold.Times{
		Count: 1000, Mean: 41200 * time.Microsecond, Min: 3 * time.Millisecond, Max: 2100 * time.Millisecond,
		Known: []threshold.Quantile{{Q: 0.5, At: 31 * time.Millisecond}, {Q: 0.95, At: 120 * time.Millisecond}, {Q: 0.99, At: 900 * time.Millisecond}},
	}
	none := threshold.Times{Mean: -1, Min: -1, Max: -1}
	r := &Run{
		Tool: "locust", ToolVersion: "2.12.1", Start: sampleStart(), Elapsed: time.Minute, Users: 10, Model: "closed",
		All: Traffic{Requests: 1000, Failed: 7, Bytes: -1, ResponseTime: known, ServiceTime: known},
		Cases: []Traffic{
			{Name: "/api/forecast", Method: "POST", Requests: 1000, Failed: 7, Bytes: 512000, Failures: []Failure{{Outcome: "failed", Count: 7, Reason: "CatchResponseError('boom')"}}, ResponseTime: known, ServiceTime: known},
			{Name: "/never/timed", Method: "GET", Bytes: -1, ResponseTime: none, ServiceTime: none},
		},
	}
	for k := range 6 {
		r.Points = append(r.Points, Point{
			Start: r.Start.Add(time.Duration(k) * 10 * time.Second), Length: 10 * time.Second, Requests: 160, Failed: 1, Users: 10,
			P50: 30 * time.Millisecond, P95: 120 * time.Millisecond, P99: -1, Max: -1, Outcomes: []window.Count{{Name: "failed", N: 1}, {Name: "ok", N: 159}},
		})
	}
	r.Thresholds = []threshold.Judged{{Threshold: "p97<=200ms", Over: threshold.Run, Result: threshold.Unknown, Limit: 0.2, Unit: "seconds", Requests: 1000, Text: "p97 lies between 120 ms and 900 ms"}}
	r.Conclusion = Conclude(r, &Circumstances{Foreign: true})
	return r
}

// hostileText is what a target could send to do harm in a report.
func hostileText() string {
	return "</script><script>alert(1)</script> <img src=x onerror=alert(1)> | pipe `tick` ``` @everyone #1 [link](javascript:alert(1)) ![i](http://evil.test/x.png) http://evil.test/ ]]> &amp; \"q\" 'a' =cmd|' /C calc'!A0\r\n| a | b |\n\n# heading\n\x00\x01\x1b[31m\x7f\xff\xfe\u2028\u202e\ufffe"
}

// hostileRun has that text wherever a target or a file can put one, and much of it.
func hostileRun() *Run {
	r := sampleRun()
	bad := hostileText()
	r.Target, r.Workload, r.TargetVersion, r.Baseline = bad, bad, bad, bad
	long := bad + strings.Repeat("ä<|`", 3000)
	for i := range r.Cases {
		r.Cases[i].Name = fmt.Sprintf("%s %d", bad, i)
		for j := range r.Cases[i].Failures {
			r.Cases[i].Failures[j].Reason = long
		}
	}
	for i := range r.Thresholds {
		r.Thresholds[i].Threshold, r.Thresholds[i].Text = bad, long
	}
	for i := range r.Findings {
		r.Findings[i].Text, r.Findings[i].Subject.Case, r.Findings[i].Nearby = long, bad, []judge.Event{{At: r.Start, Kind: judge.Annotation, Text: long}}
	}
	for i := range r.Comparison.Rows {
		r.Comparison.Rows[i].Case, r.Comparison.Rows[i].Text = bad, long
	}
	for i := range 50 {
		r.Examples = append(r.Examples, Example{Case: fmt.Sprintf("%s %d", bad, i%4), Outcome: "server_error", Reason: long, Curl: "curl '" + long + "'", At: r.Start})
	}
	for i := range 200 {
		r.Findings = append(r.Findings, judge.Finding{ID: fmt.Sprintf("x%d", i), Kind: finding.Errors, Onset: r.Start, Found: r.Start, Text: long})
	}
	r.Notes = []string{bad, long}
	r.Status.Target, r.Status.Probes[2].Err = bad, errors.New(bad)
	r.Conclusion = Conclude(r, &Circumstances{Answered: true, OK: 1, Compared: true})
	return r
}

func TestSampleRunsAreWhatTheySay(t *testing.T) {
	runs := sampleRuns(t)
	for name, want := range map[string]judge.Result{"passed": judge.Pass, "failed": judge.Fail, "unknown": judge.Unknown, "empty": judge.Unknown, "foreign": judge.Unknown, "hostile": judge.Fail} {
		if got := runs[name].Conclusion.Result; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if r := runs["failed"]; r.All.Requests != 18*500 || r.All.Failed == 0 || r.Status.Counts.Scheduled != r.Status.Counts.Sent+25 {
		t.Errorf("failed: %d requests, %d failed", r.All.Requests, r.All.Failed)
	}
}
