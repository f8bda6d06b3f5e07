// Package threshold judges what was measured against limits that somebody set, such
// as p95{class=monte_carlo}<=5s: on the whole run, and on its worst window, so that a
// failure late in a long run does not hide among what was well before it.
package threshold

import (
	"math"
	"time"

	"soakd/internal/histogram"
)

// Times say how long requests took.
type Times struct {
	// Count is how many were timed.
	Count int64
	// Mean, Min and Max are below 0 where they are not known.
	Mean, Min, Max time.Duration
	// Histogram holds them all; nil where only some quantiles are known, which then
	// are in Known, sorted by Q.
	Histogram *histogram.Histogram
	Known     []Quantile
	// AtLeast tells that slow requests are missing: the true times are these or longer.
	AtLeast bool
}

// Quantile is the time that a share Q of the requests did not exceed, 0..1.
type Quantile struct {
	Q  float64
	At time.Duration
}

// unknown stands for a time that is not known.
const unknown = -1

// FromHistogram returns the times of a histogram, the shortest within its 1 %; nil is
// one of nothing.
func FromHistogram(h *histogram.Histogram) Times {
	if h == nil || h.Count() == 0 {
		return Times{Mean: unknown, Min: unknown, Max: unknown}
	}
	return Times{
		Count: int64(h.Count()), Mean: time.Duration(h.Sum() / h.Count()), Min: h.Quantile(0), Max: h.Max(), Histogram: h,
	}
}

// Quantile returns the quantile q, 0..1, and false where it is not known exactly.
func (t *Times) Quantile(q float64) (time.Duration, bool) {
	low, high := t.Bounds(q)
	return low, low == high && t.Count > 0
}

// Bounds returns between what the quantile q lies, 0..1: twice the same where it is
// known, else the nearest known ones; 0 and [math.MaxInt64] where nothing is known.
func (t *Times) Bounds(q float64) (low, high time.Duration) {
	if t.Count == 0 {
		return 0, math.MaxInt64
	}
	if t.Histogram != nil {
		at := t.Histogram.Quantile(q)
		return at, at
	}
	high = math.MaxInt64
	for _, known := range t.Known {
		switch {
		case math.Abs(known.Q-q) < 1e-9:
			return known.At, known.At
		case known.Q < q:
			low = max(low, known.At)
		default:
			high = min(high, known.At)
		}
	}
	if t.Max >= 0 {
		high = min(high, t.Max)
	}
	return low, high
}

// Figures are what one case, one class or all traffic came to in one stretch of time.
type Figures struct {
	// Start is when the stretch began, Length how long it was.
	Start  time.Time
	Length time.Duration
	// Sending is for how much of it requests were sent, which is what rates are of; 0
	// for all of it, below 0 for none.
	Sending time.Duration
	// Requests came to an end in it, Failed of them not rightly.
	Requests, Failed int64
	// FailedUnknown tells that it is not known how many failed.
	FailedUnknown bool
	// Missing are arrivals that were dropped or cut. They may all have been of it, and
	// slower than all others.
	Missing int64
	// Times run from the intended start where that is known, else from the send.
	Times Times
	// Unfit are the reasons why soakd was not fit to judge by it; see load.UnfitReasons.
	Unfit []string
}

// sending is the time that rates are of, 0 for none.
func (f *Figures) sending() time.Duration {
	if f.Sending == 0 {
		return f.Length
	}
	return max(0, f.Sending)
}

// Stretch is a whole run or one window of it, as thresholds look at it. Of returns
// the figures of a case, of a class, or with two times "" of all traffic, and false
// where there are none.
type Stretch interface {
	Of(name, class string) (Figures, bool)
}
