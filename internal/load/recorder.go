package load

import (
	"cmp"
	"slices"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// The histograms hold 1 us .. 10 min with two significant digits: a quantile is
// within 1 % of the true one. What lies outside counts as the nearest bound.
const (
	lowestTime  = int64(1)                                   // us
	highestTime = int64(10 * time.Minute / time.Microsecond) // us
	digits      = 2
)

// Recorder counts results for people: the progress line, the live page and the
// table at the end. Its memory depends on the number of cases alone.
type Recorder struct {
	mu     sync.Mutex
	cases  map[*Case]*caseRecord
	order  []*Case
	window windowRecord
}

type caseRecord struct {
	outcomes map[Outcome]int64
	answered int64
	// fromDue and fromSend hold microseconds of the timed results.
	fromDue, fromSend *hdr.Histogram
	checks            map[string]int64
	reasons           map[Outcome]string
}

type windowRecord struct {
	start    time.Time
	outcomes map[Outcome]int64
	fromDue  *hdr.Histogram
}

func newHistogram() *hdr.Histogram { return hdr.New(lowestTime, highestTime, digits) }

// NewRecorder returns a recorder for the cases of a workload. The first window
// starts at now.
func NewRecorder(workload *Workload, now time.Time) *Recorder {
	r := &Recorder{cases: map[*Case]*caseRecord{}, order: slices.Clone(workload.Cases)}
	for _, c := range workload.Cases {
		r.cases[c] = &caseRecord{
			outcomes: map[Outcome]int64{}, checks: map[string]int64{}, reasons: map[Outcome]string{},
			fromDue: newHistogram(), fromSend: newHistogram(),
		}
	}
	r.window = windowRecord{start: now, outcomes: map[Outcome]int64{}, fromDue: newHistogram()}
	return r
}

// Done implements [Sink].
func (r *Recorder) Done(result *Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.cases[result.Case]
	record.outcomes[result.Outcome]++
	r.window.outcomes[result.Outcome]++
	for _, check := range result.FailedChecks {
		record.checks[check]++
	}
	if _, known := record.reasons[result.Outcome]; result.Failed() && !known {
		record.reasons[result.Outcome] = result.Reason
	}
	if result.Answered() {
		record.answered++
	}
	if result.Timed() {
		recordTime(record.fromDue, result.ResponseTime)
		recordTime(record.fromSend, result.Duration)
		recordTime(r.window.fromDue, result.ResponseTime)
	}
}

func recordTime(h *hdr.Histogram, d time.Duration) {
	// The value lies within the bounds, which is all that RecordValue can refuse.
	_ = h.RecordValue(min(max(int64(d/time.Microsecond), lowestTime), highestTime))
}

// Quantiles are times at 50, 95, 99 and 100 %; all 0 when nothing was timed.
type Quantiles struct {
	Timed              int64
	P50, P95, P99, Max time.Duration
}

func quantiles(h *hdr.Histogram) Quantiles {
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond }
	if h.TotalCount() == 0 {
		return Quantiles{}
	}
	return Quantiles{Timed: h.TotalCount(), P50: at(50), P95: at(95), P99: at(99), Max: time.Duration(h.Max()) * time.Microsecond}
}

// OutcomeCount is how often an outcome came.
type OutcomeCount struct {
	Outcome Outcome
	Count   int64
	// Reason is the first reason seen, "" for OK.
	Reason string
}

// CaseSummary is what one case, or all of them together, came to.
type CaseSummary struct {
	// Name is the case's name; "" for all together.
	Name  string
	Class Class
	// Finished counts the requests with a result.
	Finished int64
	// OK counts those with the outcome OK, Answered those that the target
	// answered in HTTP at all, rightly or wrongly; a window does not count it.
	OK, Answered int64
	// Failures are the other outcomes, most frequent first.
	Failures []OutcomeCount
	// ResponseTime runs from the due time, Duration from the send.
	ResponseTime, Duration Quantiles
}

// Failed counts the requests with another outcome than OK.
func (s CaseSummary) Failed() int64 { return s.Finished - s.OK }

// Summary returns one row for each case in the workload's order and one for all
// of them together, over the whole run.
func (r *Recorder) Summary() (cases []CaseSummary, all CaseSummary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	due, send, outcomes, answered := newHistogram(), newHistogram(), map[Outcome]int64{}, int64(0)
	for _, c := range r.order {
		record := r.cases[c]
		row := summarise(record.outcomes, record.reasons)
		row.Name, row.Class, row.Answered = c.Name, c.Class, record.answered
		answered += record.answered
		row.ResponseTime, row.Duration = quantiles(record.fromDue), quantiles(record.fromSend)
		cases = append(cases, row)
		due.Merge(record.fromDue)
		send.Merge(record.fromSend)
		for outcome, n := range record.outcomes {
			outcomes[outcome] += n
		}
	}
	all = summarise(outcomes, nil)
	all.Answered = answered
	all.ResponseTime, all.Duration = quantiles(due), quantiles(send)
	return cases, all
}

func summarise(outcomes map[Outcome]int64, reasons map[Outcome]string) CaseSummary {
	var s CaseSummary
	for outcome, n := range outcomes {
		s.Finished += n
		if outcome == OK {
			s.OK = n
			continue
		}
		s.Failures = append(s.Failures, OutcomeCount{Outcome: outcome, Count: n, Reason: reasons[outcome]})
	}
	slices.SortFunc(s.Failures, func(a, b OutcomeCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Outcome, b.Outcome))
	})
	return s
}

// Window is what finished within a stretch of time.
type Window struct {
	Length time.Duration
	CaseSummary
}

// NextWindow returns what finished since the last call (or the start) and
// begins a new window at now.
func (r *Recorder) NextWindow(now time.Time) Window {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := Window{Length: now.Sub(r.window.start), CaseSummary: summarise(r.window.outcomes, nil)}
	w.ResponseTime = quantiles(r.window.fromDue)
	r.window.start = now
	clear(r.window.outcomes)
	r.window.fromDue.Reset()
	return w
}
