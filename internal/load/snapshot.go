package load

import (
	"time"

	"soakd/internal/histogram"
)

// Snapshot is all that a recorder has counted, at one moment.
type Snapshot struct {
	// Start is when counting began.
	Start time.Time
	// Cases has an entry a case, in the workload's order.
	Cases []CaseSnapshot
	// Lag is how late arrivals were noticed; it has no exemplars.
	Lag Times
}

// CaseSnapshot is what was counted of one case.
type CaseSnapshot struct {
	Case *Case
	// Requests has an entry for each outcome and code that came.
	Requests []RequestCount
	// FailedChecks has an entry for each check that failed.
	FailedChecks []CheckCount
	// ResponseTime runs from the due time, Duration from the send. There are never
	// more of them than requests.
	ResponseTime, Duration Times
	// Bytes is how much the bodies of all answers had together, unpacked, those of
	// wrong answers included.
	Bytes int64
}

// RequestCount is how often requests ended with an outcome and a code.
type RequestCount struct {
	Outcome Outcome
	// Code is the status in decimal, [CodeNone] when there was no answer, "other"
	// for a status that HTTP does not know.
	Code  string
	Count uint64
	// Reason is the first reason of the outcome, "" for OK. First and Last are when
	// the outcome was seen first and last, whatever the code; zero for OK.
	Reason      string
	First, Last time.Time
}

// CheckCount is how often a check failed. Check is "other" for all that are not
// among the names of the case or [BuiltinChecks].
type CheckCount struct {
	Check string
	Count uint64
}

// Folded counts the values of labels that became "other".
func (s *Snapshot) Folded() uint64 {
	var sum uint64
	for i := range s.Cases {
		for _, r := range s.Cases[i].Requests {
			if r.Code == otherLabel {
				sum += r.Count
			}
		}
		for _, c := range s.Cases[i].FailedChecks {
			if c.Check == otherLabel {
				sum += c.Count
			}
		}
	}
	return sum
}

// Times are the times of one kind.
type Times struct {
	Histogram histogram.Histogram
	// Bounds are the upper bounds of the classic buckets; UpTo[i] is exactly how
	// many times are at most Bounds[i], and never more than the histogram's count.
	Bounds []time.Duration
	UpTo   []uint64
	// Exemplars has at most one for each classic bucket, in ascending order.
	Exemplars []Exemplar
}

// Exemplar is one request whose time lies in a classic bucket.
type Exemplar struct {
	// Bucket is the index of the bucket's upper bound; len(Bounds) is the last,
	// which has none.
	Bucket  int
	TraceID TraceID
	Value   time.Duration
	// At is when the request came to its end.
	At time.Time
}

// Snapshot returns what was counted so far. Results that come in meanwhile may
// be in or not.
func (r *Recorder) Snapshot() Snapshot {
	s := Snapshot{Start: r.start, Cases: make([]CaseSnapshot, len(r.order)), Lag: newTimes(r.lagBounds)}
	var table codeSums
	for i, record := range r.order {
		s.Cases[i] = r.caseSnapshot(record, &table)
	}
	for _, one := range r.shards.All() {
		one.lag.addTo(&s.Lag)
	}
	s.Lag.accumulate()
	return s
}

// Lags returns how late arrivals were noticed so far.
func (r *Recorder) Lags() *histogram.Histogram {
	lags := new(histogram.Histogram)
	for _, one := range r.shards.All() {
		one.lag.grid.AddTo(lags)
	}
	return lags
}

// codeSums are the sums of codeCounts, by outcome.
type codeSums [maxOutcomes][maxCodes]uint64

// caseSnapshot reads a case. It uses the table to add up in.
func (r *Recorder) caseSnapshot(record *caseRecord, table *codeSums) CaseSnapshot {
	*table = codeSums{}
	s := CaseSnapshot{Case: record.c, ResponseTime: newTimes(r.timeBounds), Duration: newTimes(r.timeBounds)}
	s.ResponseTime.Exemplars, s.Duration.Exemplars = record.responseTime.all(), record.duration.all()
	for _, one := range r.shards.All() {
		if mine := one.cases[record.index].Load(); mine != nil {
			mine.responseTime.addTo(&s.ResponseTime)
			mine.duration.addTo(&s.Duration)
			mine.addTo(table)
			s.Bytes += mine.bytes.Load()
		}
	}
	s.ResponseTime.accumulate()
	s.Duration.accumulate()
	s.Requests = r.requestCounts(record, table)
	for i, name := range record.checks {
		if n := record.failed[i].Load(); n > 0 {
			s.FailedChecks = append(s.FailedChecks, CheckCount{Check: name, Count: n})
		}
	}
	return s
}

// requestCounts lists what is not 0 in the table.
func (r *Recorder) requestCounts(record *caseRecord, table *codeSums) []RequestCount {
	var counts []RequestCount
	for i, outcome := range r.outcomes {
		for slot, code := range r.codes.labels {
			if table[i][slot] == 0 {
				continue
			}
			count := RequestCount{Outcome: outcome, Code: code, Count: table[i][slot]}
			kind := &record.kinds[i]
			if reason := kind.reason.Load(); reason != nil {
				count.Reason = *reason
			}
			count.First, count.Last = kind.times(r.start)
			counts = append(counts, count)
		}
	}
	return counts
}

// addTo adds the requests to a table.
func (c *caseShard) addTo(table *codeSums) {
	for outcome := range c.requests {
		if counts := c.requests[outcome].Load(); counts != nil {
			for slot := range counts {
				table[outcome][slot] += counts[slot].Load()
			}
		}
	}
}

func newTimes(bounds []time.Duration) Times {
	return Times{Bounds: bounds, UpTo: make([]uint64, len(bounds))}
}

// addTo adds one core's times. The classic buckets are read before the grid, and
// written after it, so that no time is in them that is not in the grid.
func (t *timing) addTo(times *Times) {
	for i := range times.UpTo {
		times.UpTo[i] += t.classic[i].Load()
	}
	t.grid.AddTo(&times.Histogram)
}

// accumulate turns the counts of single classic buckets into those up to a bound.
func (t *Times) accumulate() {
	for i := 1; i < len(t.UpTo); i++ {
		t.UpTo[i] += t.UpTo[i-1]
	}
}
