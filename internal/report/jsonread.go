package report

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/load"
	"soakd/internal/probes"
)

// run is the run that a document tells of.
func (d *runDocument) run() (*Run, error) {
	m := &mismatches{}
	r := &Run{
		Tool: d.Tool, ToolVersion: d.ToolVersion, Target: d.Target, Workload: d.Workload, TargetVersion: d.TargetVersion, Model: d.Model, Rate: d.Rate, Users: d.Users,
		Start: d.Start, Elapsed: m.span("elapsed_seconds", d.Elapsed), Duration: m.span("duration_seconds", d.Duration), WarmUp: m.span("warm_up_seconds", d.WarmUp),
		Conclusion: d.Conclusion, All: d.All.traffic(m, "all"), Thresholds: d.Thresholds, Verdict: d.Verdict, Findings: d.Findings, Baseline: d.Baseline, Comparison: d.Comparison, Notes: d.Notes,
	}
	m.result("conclusion", r.Conclusion.Result)
	for i := range d.Classes {
		r.Classes = append(r.Classes, d.Classes[i].traffic(m, fmt.Sprintf("classes[%d]", i)))
	}
	for i := range d.Cases {
		r.Cases = append(r.Cases, d.Cases[i].traffic(m, fmt.Sprintf("cases[%d]", i)))
	}
	for i := range d.Points {
		r.Points = append(r.Points, d.Points[i].point(m, fmt.Sprintf("points[%d]", i)))
	}
	for _, e := range d.Examples {
		r.Examples = append(r.Examples, Example(e))
	}
	r.Windows = windowsOf(d.Windows, m)
	d.judged(m)
	if d.Own != nil {
		r.Status = d.Own.status(r, m)
	}
	return r, m.err()
}

// judged checks what was judged.
func (d *runDocument) judged(m *mismatches) {
	for i := range d.Thresholds {
		switch d.Thresholds[i].Result {
		case threshold.Met, threshold.Missed, threshold.Unknown:
		default:
			m.add("thresholds[%d].result is %q: pass, fail or unknown would be right", i, shorten(string(d.Thresholds[i].Result), 40))
		}
	}
	if d.Verdict != nil {
		m.result("verdict", d.Verdict.Result)
	}
}

func windowsOf(encoded [][]byte, m *mismatches) []*window.Window {
	if len(encoded) > MaxWindows {
		m.add("windows has %d entries, %d at most would be right", len(encoded), MaxWindows)
		return nil
	}
	var list []*window.Window
	for i, data := range encoded {
		one, err := window.Decode(data)
		if err != nil {
			m.add("windows[%d]: %w", i, err)
			return nil
		}
		if one.Length <= 0 || i > 0 && !one.Start.After(list[i-1].Start) {
			m.add("windows[%d] does not come after the one before it", i)
			return nil
		}
		list = append(list, one)
	}
	return list
}

func (d *trafficDocument) traffic(m *mismatches, where string) Traffic {
	t := Traffic{Name: d.Case, Class: d.Class, Method: d.Method, Invalid: d.Invalid, Requests: d.Requests, Failed: d.Failed, Bytes: -1}
	if d.Bytes != nil {
		t.Bytes = *d.Bytes
	}
	if d.Requests < 0 || d.Failed < 0 || d.Failed > d.Requests || d.Bytes != nil && *d.Bytes < 0 {
		m.add("%s has %d requests, %d of them failed", where, d.Requests, d.Failed)
	}
	for _, f := range d.Failures {
		t.Failures = append(t.Failures, Failure(f))
	}
	t.ResponseTime, t.ServiceTime = d.ResponseTime.times(m, where+".response_time"), d.ServiceTime.times(m, where+".service_time")
	return t
}

func (d *timesDocument) times(m *mismatches, where string) threshold.Times {
	if d.Histogram != nil {
		h := &histogram.Histogram{}
		if err := h.UnmarshalBinary(d.Histogram.Binary); err != nil {
			m.add("%s.histogram: %w", where, err)
		} else if int64(h.Count()) != d.Timed {
			m.add("%s says that %d were timed, its histogram holds %d", where, d.Timed, h.Count())
		}
		t := threshold.FromHistogram(h)
		t.AtLeast = d.AtLeast
		return t
	}
	t := threshold.Times{
		Count: d.Timed, AtLeast: d.AtLeast, Mean: m.known(where+".mean_seconds", d.Mean), Min: m.known(where+".min_seconds", d.Min), Max: m.known(where+".max_seconds", d.Max),
	}
	if d.Timed < 0 {
		m.add("%s.timed is below 0", where)
	}
	for name, at := range d.Quantiles {
		q, err := quantileOf(name)
		if err != nil {
			m.add("%s: %w", where, err)
			continue
		}
		t.Known = append(t.Known, threshold.Quantile{Q: q, At: m.span(where+"."+name, at)})
	}
	slices.SortFunc(t.Known, func(a, b threshold.Quantile) int { return cmp.Compare(a.Q, b.Q) })
	if !slices.IsSortedFunc(t.Known, func(a, b threshold.Quantile) int { return cmp.Compare(a.At, b.At) }) {
		m.add("%s: a quantile is longer than a higher one", where)
	}
	return t
}

func (d *pointDocument) point(m *mismatches, where string) Point {
	p := Point{
		Start: d.Start, Length: m.span(where+".length_seconds", d.Length), Requests: d.Requests, Failed: d.Failed, Dropped: d.Dropped, Users: d.Users,
		P50: m.known(where, d.P50), P95: m.known(where, d.P95), P99: m.known(where, d.P99), Max: m.known(where, d.Max), Outcomes: window.Counts(d.Outcomes), Unfit: d.Unfit,
	}
	if d.Requests < 0 || d.Failed < 0 || d.Failed > d.Requests || d.Dropped < 0 {
		m.add("%s has %d requests, %d of them failed, %d dropped", where, d.Requests, d.Failed, d.Dropped)
	}
	for _, c := range d.Cases {
		p.Cases = append(p.Cases, PointCase{c.Case, c.Requests, c.Failed, m.known(where, c.P50), m.known(where, c.P95), m.known(where, c.P99)})
	}
	return p
}

// status is what is known of soakd's own account of a run.
func (d *ownDocument) status(r *Run, m *mismatches) *Status {
	s := &Status{
		Target: r.Target, Workload: r.Workload, Rate: r.Rate, Closed: r.Model == "closed", Users: r.Users, Start: r.Start, Elapsed: r.Elapsed, Duration: r.Duration,
		Counts: load.Counts{
			Scheduled: d.Arrivals.Scheduled, Sent: d.Arrivals.Sent, Waiting: d.Arrivals.Waiting, InFlight: d.Arrivals.InFlight, Cut: d.Arrivals.Cut,
			Finished: r.All.Requests, Dropped: map[load.DropReason]int64{},
		},
		Fitness: load.FitnessStatus{Windows: d.Fitness.Windows, Unfit: d.Fitness.Unfit, ByReason: map[load.UnfitReason]int64{}},
		Throttle: load.Throttle{
			Circuit: load.CircuitStatus{Trips: d.HeldBack.Trips, Relapses: d.HeldBack.Relapses},
			Holds:   load.HoldCounts{User: d.HeldBack.User, Everybody: d.HeldBack.Everybody, Capped: d.HeldBack.Capped},
		},
	}
	for reason, n := range d.Arrivals.Dropped {
		s.Counts.Dropped[load.DropReason(reason)] = n
	}
	for reason, n := range d.Fitness.ByReason {
		s.Fitness.ByReason[load.UnfitReason(reason)] = n
	}
	if d.Arrivals.Scheduled < 0 || d.Fitness.Windows < 0 || d.Fitness.Unfit > d.Fitness.Windows {
		m.add("soakd has %d arrivals, %d windows and %d unfit ones", d.Arrivals.Scheduled, d.Fitness.Windows, d.Fitness.Unfit)
	}
	for _, p := range d.Probes {
		one := probes.Status{Probe: p.Probe, Known: p.Polls > 0, Success: p.Success, Stale: p.Stale, Reason: probes.Reason(p.Reason), Polls: p.Polls, LastSuccess: p.LastSuccess}
		if p.Error != "" {
			one.Err = errors.New(p.Error)
		}
		s.Probes = append(s.Probes, one)
	}
	if r.Verdict != nil {
		s.Verdict = *r.Verdict
	}
	s.Findings = r.Findings
	return s
}

// maxMismatches bounds what is told of a report that is wrong everywhere.
const maxMismatches = 10

// mismatches collects what a report contradicts itself in.
type mismatches struct{ list []error }

func (m *mismatches) add(format string, args ...any) {
	if len(m.list) < maxMismatches {
		m.list = append(m.list, fmt.Errorf(format, args...))
	}
}

func (m *mismatches) err() error { return errors.Join(m.list...) }

// span is a time of so many seconds, which are not below 0 and not above 292 years.
func (m *mismatches) span(where string, s float64) time.Duration {
	ns := math.Round(s * 1e9)
	if !(ns >= 0 && ns < math.MaxInt64) {
		m.add("%s is %g: a time in seconds, 0 or more, would be right", where, s)
		return 0
	}
	return time.Duration(ns)
}

// known is the time, below 0 for nil.
func (m *mismatches) known(where string, s *float64) time.Duration {
	if s == nil {
		return -1
	}
	return m.span(where, *s)
}

func (m *mismatches) result(where string, got judge.Result) {
	switch got {
	case judge.Pass, judge.Fail, judge.Unknown:
	default:
		m.add("%s.result is %q: pass, fail or unknown would be right", where, shorten(string(got), 40))
	}
}
