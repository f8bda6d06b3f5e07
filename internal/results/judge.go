package results

import (
	"time"

	"soakd/internal/judge/threshold"
)

// countWindow is how long windows are by which counts are judged. Locust writes times in
// whole seconds, which is a tenth of a window of 10 s, and within the slack of a rate for one
// of 30 s.
const countWindow = 30 * time.Second

// Judge holds results that are totals to thresholds: over the run, and over the worst of
// its windows, as far as they are known. Windows that begin within the warm-up are left
// out; of the run itself it cannot be taken away.
func (r *Result) Judge(list threshold.List, warmUp time.Duration) []threshold.Judged {
	var windows []threshold.Stretch
	for _, w := range r.Windows {
		if f, _ := w.Of("", ""); f.Start.Sub(r.Run.Start) >= warmUp {
			windows = append(windows, timed{w})
		}
	}
	counts := joinedTo(countWindow, windows)
	var all []threshold.Judged
	for i := range list {
		of := windows
		if !list[i].OfTime() {
			of = counts
		}
		all = append(all, threshold.JudgeAll(list[i:i+1], r.Whole, of)...)
	}
	return all
}

// timed is a window in which nothing counts as timed where no percentile is known: it
// then says nothing about times, and the run alone is judged by them.
type timed struct{ threshold.Stretch }

// Of implements [threshold.Stretch].
func (t timed) Of(name, class string) (threshold.Figures, bool) {
	f, found := t.Stretch.Of(name, class)
	if f.Times.Known == nil && f.Times.Histogram == nil {
		f.Times = threshold.Times{Mean: unknown, Min: unknown, Max: unknown}
	}
	return f, found
}

// several are windows one after another as one, without their times.
type several []threshold.Stretch

// Of implements [threshold.Stretch].
func (s several) Of(name, class string) (sum threshold.Figures, found bool) {
	for i, part := range s {
		whole, _ := part.Of("", "")
		f, has := part.Of(name, class)
		if i == 0 {
			sum.Start = whole.Start
		}
		// Also where the case had no request the time has gone by.
		sum.Length = whole.Start.Add(whole.Length).Sub(sum.Start)
		sum.Requests += f.Requests
		sum.Failed += f.Failed
		sum.Missing += f.Missing
		found = found || has
	}
	sum.Times = threshold.Times{Mean: unknown, Min: unknown, Max: unknown}
	return sum, found
}

// joinedTo puts windows together until they are that long; the last takes in what is left.
func joinedTo(length time.Duration, windows []threshold.Stretch) []threshold.Stretch {
	var all []threshold.Stretch
	var part several
	for _, w := range windows {
		part = append(part, w)
		if f, _ := part.Of("", ""); f.Length >= length {
			all, part = append(all, part), nil
		}
	}
	if last := len(all) - 1; part != nil && last >= 0 {
		before, _ := all[last].(several)
		all[last] = append(before, part...)
	} else if part != nil {
		all = append(all, part)
	}
	return all
}
