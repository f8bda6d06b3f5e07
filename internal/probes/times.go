package probes

import (
	"slices"
	"time"

	"soakd/internal/histogram"
)

// Times is a histogram of times that a probe keeps from poll to poll. Like the
// probe it belongs to, it is not for concurrent use; what [Reading.AddTimes]
// hands out is a copy.
type Times struct {
	// Start is when counting began.
	Start time.Time
	// Histogram counts on the fine grid.
	Histogram histogram.Histogram
	// Bounds are the upper bounds of the classic buckets, ascending; UpTo[i] is
	// how many times are at most Bounds[i].
	Bounds []time.Duration
	UpTo   []uint64
}

// NewTimes returns an empty histogram with the bounds of round trips to a
// database, 0.1 ms to 10 s.
func NewTimes() *Times {
	const us, ms = time.Microsecond, time.Millisecond
	bounds := []time.Duration{
		100 * us, 250 * us, 500 * us, 1 * ms, 2500 * us, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms, 500 * ms,
		time.Second, 2500 * ms, 5 * time.Second, 10 * time.Second,
	}
	return &Times{Start: time.Now(), Bounds: bounds, UpTo: make([]uint64, len(bounds))}
}

// Observe counts one time.
func (t *Times) Observe(d time.Duration) {
	t.Histogram.Observe(d)
	for i := len(t.Bounds) - 1; i >= 0 && d <= t.Bounds[i]; i-- {
		t.UpTo[i]++
	}
}

func (t *Times) clone() *Times {
	copied := &Times{Start: t.Start, Bounds: t.Bounds, UpTo: slices.Clone(t.UpTo)}
	copied.Histogram.Merge(&t.Histogram)
	return copied
}
