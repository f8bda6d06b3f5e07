package results

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/report"
)

// Profiler makes what a result is compared by, while its file is read.
type Profiler struct{ builder *baseline.Builder }

// anyLoad stands for the load of both results, whose likeness [Compare] sees to itself: the
// rate of a tool scatters from window to window, as no set one does.
const anyLoad = 1

// NewProfiler returns a profiler that leaves that much of the start out.
func NewProfiler(warmUp time.Duration) *Profiler {
	if warmUp <= 0 {
		warmUp = -1 // 0 would stand for a default
	}
	return &Profiler{baseline.NewBuilder(baseline.Config{WarmUp: warmUp, Users: anyLoad})}
}

// Window takes the next window of a file with samples.
func (p *Profiler) Window(w *window.Window) { p.builder.Observe(w) }

// Profile returns the profile of what was read, by that name. nil where nothing is known of windows.
func (p *Profiler) Profile(r *Result, name string) *baseline.Profile {
	for _, w := range likeWindows(r) {
		p.builder.Observe(w)
	}
	if p.builder.Windows() == 0 {
		return nil
	}
	profile := p.builder.Profile()
	profile.Version = name
	return profile
}

// likeWindows makes windows of the stretches of totals, only to compare them: in each the quantiles
// that are known are those of the stretch, and others lie between them.
func likeWindows(r *Result) []*window.Window {
	var windows []*window.Window
	first := r.Run.Start.Truncate(window.Short)
	for i, s := range r.Windows {
		of, _ := s.Of("", "")
		covered := min(of.Length, window.Short)
		w := &window.Window{Start: first.Add(time.Duration(i) * window.Short), Length: window.Short, Covered: covered, Fit: covered, Rate: anyLoad}
		for j := range r.Run.Cases {
			name := r.Run.Cases[j].Name
			if f, found := s.Of(name, ""); found && f.Requests > 0 {
				w.Cases = append(w.Cases, likeCase(name, &f, failureName(&r.Run.Cases[j])))
			}
		}
		// Where names have no rows, all traffic is one case.
		if len(w.Cases) == 0 && of.Requests > 0 {
			w.Cases = append(w.Cases, likeCase(wholeTraffic, &of, failureName(&r.Run.All)))
		}
		w.Sent, w.Scheduled = of.Requests, of.Requests
		windows = append(windows, w)
	}
	return windows
}

// wholeTraffic is the case of all traffic where cases are not known.
const wholeTraffic = "all traffic"

func likeCase(name string, f *threshold.Figures, failed string) window.Case {
	return window.Case{
		Name: name, Outcomes: window.Counts(map[string]int64{okOutcome: f.Requests - f.Failed, failed: f.Failed}), Times: likeTimes(f),
	}
}

// mostLike bounds the requests of a histogram that is made of quantiles.
const mostLike = 10_000

// likeTimes makes a histogram of which the known quantiles are as known; nil where none is.
func likeTimes(f *threshold.Figures) *histogram.Histogram {
	n := int(min(f.Requests, mostLike))
	known := f.Times.Known
	if len(known) == 0 || n == 0 {
		return nil
	}
	h := new(histogram.Histogram)
	rank, at := 0, known[0].At
	for _, k := range known {
		// Number ceil(q*n) is the quantile; those before it rise to it evenly.
		upTo := min(n, max(1, int(math.Ceil(k.Q*float64(n)-1e-9))))
		for i := rank + 1; i <= upTo; i++ {
			h.Observe(at + time.Duration(float64(k.At-at)*float64(i-rank)/float64(upTo-rank)))
		}
		if upTo > rank {
			rank, at = upTo, k.At
		}
	}
	for ; rank < n; rank++ {
		h.Observe(max(at, f.Times.Max))
	}
	return h
}

// alike is by how much the loads of two results may differ, as a ratio: the width of the
// rate bands of soakd's own comparisons.
const alike = 1.15

// Comparable returns an error when two results are of so different a load that nothing
// follows from their difference: neither the rates nor the numbers of users are within 15 %.
func Comparable(base, current *report.Run) error {
	near := func(a, b float64) bool { return a > 0 && b > 0 && max(a, b) <= alike*min(a, b) }
	before, after := meanRate(base), meanRate(current)
	if near(before, after) || near(float64(base.Users), float64(current.Users)) {
		return nil
	}
	return fmt.Errorf("the loads differ too much to compare: %.3g and %.3g requests a second, %d and %d users; run both with the same load",
		before, after, base.Users, current.Users)
}

// meanRate is the requests a second of a run, 0 where that is not known.
func meanRate(r *report.Run) float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.All.Requests) / r.Elapsed.Seconds()
}

// Compare compares a result with an earlier one by their profiles, as the gate of soakd's own runs does
// (see [baseline.Gate]). Where one has no windows only failures are compared, by Fisher's exact test over the
// whole runs. A difference that Locust's rounding can make by itself is none.
func Compare(base, current *Result, before, after *baseline.Profile) baseline.Comparison {
	if before == nil || after == nil {
		return compareTotals(&base.Run, &current.Run)
	}
	c := baseline.Gate(before, after, baseline.Limits{})
	if base.Run.Tool == locustTool || current.Run.Tool == locustTool {
		beyondRounding(&c)
	}
	return c
}

// rounding is the step to which Locust rounds a time of so many seconds (locust/stats.py,
// _log_response_time).
func rounding(seconds float64) float64 {
	switch {
	case seconds < 0.1:
		return 1e-3
	case seconds < 1:
		return 1e-2
	case seconds < 10:
		return 0.1
	}
	return 1
}

// beyondRounding takes back changes that may be steps of rounding.
func beyondRounding(c *baseline.Comparison) {
	least := map[string]float64{baseline.MedianTime: 0.10, baseline.P95Time: 0.15, baseline.P99Time: 0.25}
	taken, worse := false, false
	for i := range c.Rows {
		r := &c.Rows[i]
		effect, isTime := least[r.Signal]
		changed := r.Result == baseline.Worse || r.Result == baseline.Improved
		if step := rounding(max(r.Before, r.After)); isTime && changed && math.Abs(r.After-r.Before)-step < effect*r.Before {
			r.Text = fmt.Sprintf("%s: not enough data, Locust rounds times to %.3g ms here", r.Text, 1e3*step)
			taken = taken || r.Result == baseline.Worse
			r.Result = baseline.NotEnoughData
			c.Unknown = append(c.Unknown, r.Text)
		}
		worse = worse || r.Result == baseline.Worse
	}
	if taken && !worse {
		c.Result = baseline.NotEnoughData
	}
}

// The least change of a share of failures, and the greatest corrected p, as [baseline.Limits] has them
// by default.
const (
	errorPoints  = 0.002
	errorFactor  = 2
	significance = 0.01
	leastCounted = 100
)

// compareTotals compares the failures of whole runs. Their times are not compared: of one number a side nothing follows.
func compareTotals(base, current *report.Run) baseline.Comparison {
	c := baseline.Comparison{Result: baseline.NotEnoughData, Rows: []baseline.Row{errorsRow("", &base.All, &current.All)}}
	for i := range current.Cases {
		now := &current.Cases[i]
		old, found := slices.BinarySearchFunc(base.Cases, now.Name, func(t report.Traffic, name string) int { return cmp.Compare(t.Name, name) })
		if !found {
			c.Unknown = append(c.Unknown, now.Name+": the earlier result does not have it")
			continue
		}
		c.Rows = append(c.Rows, errorsRow(now.Name, &base.Cases[old], now))
	}
	p := make([]float64, len(c.Rows))
	for i := range c.Rows {
		p[i] = c.Rows[i].P
	}
	for i, adjusted := range stats.Holm(p) {
		r := &c.Rows[i]
		r.PAdjusted = adjusted
		r.Result = errorsResult(r)
		r.Text = fmt.Sprintf("share of failed requests of %s: %s, from %.3g %% to %.3g %% (%d requests)",
			cmp.Or(r.Case, "all traffic"), resultText(r.Result), 100*r.Before, 100*r.After, r.Requests)
		if r.Result == baseline.Worse {
			c.Result = baseline.Worse
		}
	}
	text := "response times: not enough data, one of the results does not tell how it went in windows of time"
	c.Unknown = append(c.Unknown, text)
	c.Rows = append(c.Rows, baseline.Row{Class: finding.AllTraffic, Signal: baseline.P95Time, Result: baseline.NotEnoughData, P: 1, PAdjusted: 1, Requests: current.All.Requests, Text: text})
	return c
}

func resultText(r baseline.Result) string {
	if r == baseline.NotEnoughData {
		return "not enough data"
	}
	return string(r)
}

func errorsRow(name string, before, after *report.Traffic) baseline.Row {
	r := baseline.Row{Case: name, Signal: baseline.ErrorRatio, Requests: after.Requests, P: stats.Proportions(after.Failed, after.Requests, before.Failed, before.Requests)}
	if name == "" {
		r.Class = finding.AllTraffic
	}
	if before.Requests < leastCounted || after.Requests < leastCounted {
		r.P = 1
		return r
	}
	r.Before, r.After = float64(before.Failed)/float64(before.Requests), float64(after.Failed)/float64(after.Requests)
	// The logarithm of the ratio, with half a request added to each count (Walter 1976).
	bad1, n1, bad2, n2 := float64(before.Failed)+0.5, float64(before.Requests)+0.5, float64(after.Failed)+0.5, float64(after.Requests)+0.5
	deviation := math.Sqrt(max(0, 1/bad1-1/n1+1/bad2-1/n2))
	r.Ratio = bad2 / n2 / (bad1 / n1)
	r.Low, r.High = r.Ratio*math.Exp(-1.96*deviation), r.Ratio*math.Exp(1.96*deviation)
	return r
}

// errorsResult decides a row of failures.
func errorsResult(r *baseline.Row) baseline.Result {
	if r.Ratio == 0 {
		return baseline.NotEnoughData
	}
	_, highest := stats.Wilson(int64(math.Round(r.After*float64(r.Requests))), r.Requests, 0.95)
	switch significant := r.PAdjusted < significance; {
	case significant && r.After-r.Before >= errorPoints && r.After >= errorFactor*r.Before:
		return baseline.Worse
	case significant && r.Before-r.After >= errorPoints && r.Before >= errorFactor*r.After:
		return baseline.Improved
	case highest < max(r.Before+errorPoints, errorFactor*r.Before):
		return baseline.Same
	}
	return baseline.NotEnoughData
}
