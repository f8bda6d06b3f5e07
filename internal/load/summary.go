package load

import (
	"cmp"
	"slices"
	"time"

	"soakd/internal/histogram"
)

// Quantiles are times at 50, 95, 99, 99.9 and 100 %, each within 1 % and the
// longest of a whole run exact; all 0 when nothing was timed.
type Quantiles struct {
	Timed                    int64
	P50, P95, P99, P999, Max time.Duration
	// AtLeast tells that slow answers are missing, because arrivals were dropped
	// or requests cut: the true times are these or longer.
	AtLeast bool
}

func quantiles(h *histogram.Histogram) Quantiles {
	return Quantiles{
		Timed: int64(h.Count()), P50: h.Quantile(0.5), P95: h.Quantile(0.95), P99: h.Quantile(0.99), P999: h.Quantile(0.999), Max: h.Max(),
	}
}

// OutcomeCount is how often an outcome came.
type OutcomeCount struct {
	Outcome Outcome
	Count   int64
	// Reason is the first reason seen, "" for OK and for all cases together.
	Reason string
	// First and Last are when it was seen first and last; zero for OK, and in a window.
	First, Last time.Time
}

// CaseSummary is what one case, or all of them together, came to.
type CaseSummary struct {
	// Name is the case's name; "" for all together.
	Name  string
	Class Class
	// Method is the HTTP method of the case; "" when there are several, and for all.
	Method string
	// Finished counts the requests with a result.
	Finished int64
	// OK counts those with the outcome OK, Answered those that the target
	// answered in HTTP at all, rightly or wrongly.
	OK, Answered int64
	// Bytes is how much the bodies of the answers had together, unpacked.
	Bytes int64
	// Failures are the other outcomes, most frequent first.
	Failures []OutcomeCount
	// ResponseTime runs from the due time, Duration from the send.
	ResponseTime, Duration Quantiles
}

// Failed counts the requests with another outcome than OK.
func (s CaseSummary) Failed() int64 { return s.Finished - s.OK }

// totals are the counts of one case or of several together.
type totals struct {
	outcomes               map[Outcome]OutcomeCount
	answered, bytes        int64
	responseTime, duration histogram.Histogram
}

func newTotals() totals { return totals{outcomes: map[Outcome]OutcomeCount{}} }

// add adds a case, with its first reasons when they are wanted.
func (t *totals) add(c *CaseSnapshot, reasons bool) {
	for _, r := range c.Requests {
		sum := t.outcomes[r.Outcome]
		sum.Add(&r)
		if reasons {
			sum.Reason = r.Reason
		}
		t.outcomes[r.Outcome] = sum
		if r.Code != CodeNone {
			t.answered += int64(r.Count)
		}
	}
	t.bytes += c.Bytes
	t.responseTime.Merge(&c.ResponseTime.Histogram)
	t.duration.Merge(&c.Duration.Histogram)
}

// Add adds requests of the same outcome, but for their reason, and widens the time in which
// it was seen.
func (o *OutcomeCount) Add(r *RequestCount) {
	o.Outcome, o.Count = r.Outcome, o.Count+int64(r.Count)
	if r.First.IsZero() {
		return
	}
	if o.First.IsZero() || r.First.Before(o.First) {
		o.First = r.First
	}
	if r.Last.After(o.Last) {
		o.Last = r.Last
	}
}

// sub returns what came after older.
func (t *totals) sub(older *totals) totals {
	since := newTotals()
	since.answered, since.bytes = t.answered-older.answered, t.bytes-older.bytes
	for outcome, sum := range t.outcomes {
		if n := sum.Count - older.outcomes[outcome].Count; n > 0 {
			since.outcomes[outcome] = OutcomeCount{Outcome: outcome, Count: n}
		}
	}
	since.responseTime = t.responseTime.Sub(&older.responseTime)
	since.duration = t.duration.Sub(&older.duration)
	return since
}

func (t *totals) summary() CaseSummary {
	s := CaseSummary{Answered: t.answered, Bytes: t.bytes, ResponseTime: quantiles(&t.responseTime), Duration: quantiles(&t.duration)}
	for outcome, sum := range t.outcomes {
		s.Finished += sum.Count
		if outcome == OK {
			s.OK = sum.Count
			continue
		}
		s.Failures = append(s.Failures, sum)
	}
	slices.SortFunc(s.Failures, func(a, b OutcomeCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Outcome, b.Outcome))
	})
	return s
}

// Summary returns one row for each case in the workload's order and one for all
// of them together, over the whole run.
func (r *Recorder) Summary() (cases []CaseSummary, all CaseSummary) {
	snapshot, whole := r.Snapshot(), newTotals()
	for i := range snapshot.Cases {
		one := newTotals()
		one.add(&snapshot.Cases[i], true)
		row := one.summary()
		c := snapshot.Cases[i].Case
		row.Name, row.Class, row.Method = c.Name, c.Class, c.Method
		cases = append(cases, row)
		whole.add(&snapshot.Cases[i], false)
	}
	return cases, whole.summary()
}

// Window is what finished within a stretch of time.
type Window struct {
	Length time.Duration
	CaseSummary
	// Dropped counts the arrivals that were dropped in the window, Cut the requests
	// that were cut; with either, the times of the window are lower bounds.
	Dropped, Cut int64
	// Lag is how late the arrivals of the window were noticed.
	Lag Quantiles
}

// windowStart is the state of all counts at the start of a window.
type windowStart struct {
	at     time.Time
	totals totals
	lag    histogram.Histogram
	counts Counts
}

// NextWindow returns what finished since the last call (or the start) and
// begins a new window at now. counts is the account of all arrivals now.
func (r *Recorder) NextWindow(now time.Time, counts Counts) Window {
	r.mu.Lock()
	defer r.mu.Unlock()
	snapshot := r.Snapshot()
	end := windowStart{at: now, totals: newTotals(), lag: snapshot.Lag.Histogram, counts: counts}
	for i := range snapshot.Cases {
		end.totals.add(&snapshot.Cases[i], false)
	}
	w := end.since(&r.window)
	r.window = end
	return w
}

func (end *windowStart) since(start *windowStart) Window {
	difference, lag := end.totals.sub(&start.totals), end.lag.Sub(&start.lag)
	w := Window{
		Length: end.at.Sub(start.at), CaseSummary: difference.summary(), Lag: quantiles(&lag),
		Dropped: end.counts.TotalDropped() - start.counts.TotalDropped(), Cut: end.counts.Cut - start.counts.Cut,
	}
	w.ResponseTime.AtLeast = w.Dropped > 0 || w.Cut > 0
	w.Duration.AtLeast = w.ResponseTime.AtLeast
	return w
}
