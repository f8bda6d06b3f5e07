// Package histogram counts durations in buckets so narrow that quantiles are
// within 0.55 % of the truth, from 1 ns to 292 years. Histograms merge exactly
// (a bucket is a bucket), take no samples, and are at the same time Prometheus'
// native histograms, without anything being moved from one bucket to another.
package histogram

import (
	"iter"
	"math"
	"time"
)

// Histogram is a count of durations. The zero value is empty and ready. It is
// not safe for concurrent use, see [Atomic] for that, and a copy of it shares
// buckets with the original: copy one only when neither is changed any more.
//
// It takes 512 bytes and another 512 for each doubling of time in which something
// was observed.
type Histogram struct {
	blocks [blocks]*[perDouble]uint64
	// zeros counts what is not above 0.
	zeros uint64
	count uint64
	sum   uint64
	max   time.Duration
}

// Observe counts one duration; below 0 counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	h.count++
	if d <= 0 {
		h.zeros++
		return
	}
	bucket := bucketOf(d)
	h.block(bucket / perDouble)[bucket%perDouble]++
	h.sum += uint64(d)
	h.max = max(h.max, d)
}

// block returns a block to count in.
func (h *Histogram) block(i int) *[perDouble]uint64 {
	if h.blocks[i] == nil {
		h.blocks[i] = new([perDouble]uint64)
	}
	return h.blocks[i]
}

// Merge adds what another histogram has counted, exactly.
func (h *Histogram) Merge(other *Histogram) {
	for i, block := range &other.blocks {
		if block == nil {
			continue
		}
		into := h.block(i)
		for j, n := range block {
			into[j] += n
		}
	}
	h.zeros += other.zeros
	h.count += other.count
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// Sub returns what was counted after older, an earlier state of the same counts:
// exactly, but for the longest duration. That is exact when it is longer than
// all before it, and else, like a quantile, within 0.55 %.
func (h *Histogram) Sub(older *Histogram) Histogram {
	since := Histogram{zeros: h.zeros - older.zeros, count: h.count - older.count, sum: h.sum - older.sum}
	highest := -1
	for i, block := range &h.blocks {
		if block == nil {
			continue
		}
		var before [perDouble]uint64
		if older.blocks[i] != nil {
			before = *older.blocks[i]
		}
		for j, n := range block {
			if n != before[j] {
				since.block(i)[j] = n - before[j]
				highest = i*perDouble + j
			}
		}
	}
	switch {
	case highest < 0:
	case h.max > older.max:
		since.max = h.max
	default:
		since.max = min(middle(highest), h.max)
	}
	return since
}

// Count returns how many durations were observed.
func (h *Histogram) Count() uint64 { return h.count }

// Zeros returns how many of them were not above 0.
func (h *Histogram) Zeros() uint64 { return h.zeros }

// Sum returns the sum of all durations in nanoseconds. It starts again at 0 after
// 2^64 ns = 584 years of added-up time: a year with 584 requests in flight at
// every moment. A difference of two sums is right all the same.
func (h *Histogram) Sum() uint64 { return h.sum }

// Max returns the longest duration, 0 when there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the duration that a part q, 0..1, of all durations does not
// exceed: number ceil(q*count) in ascending order, within 0.55 %, and the exact
// longest one for q >= 1. It returns 0 when nothing was observed.
func (h *Histogram) Quantile(q float64) time.Duration {
	if q >= 1 {
		return h.max
	}
	rank := max(1, uint64(math.Ceil(max(q, 0)*float64(h.count))))
	seen := h.zeros
	if seen >= rank || h.count == 0 {
		return 0
	}
	for i, block := range &h.blocks {
		if block == nil {
			continue
		}
		for j, n := range block {
			if seen += n; seen >= rank {
				return min(middle(i*perDouble+j), h.max)
			}
		}
	}
	return h.max
}

// CountUpTo returns how many durations are at most d, where d counts as the upper
// bound of its bucket: exact when it is one (1 s, 500 ms, 250 ms and every other
// 2^k s are), else as if d were up to 1.09 % longer. So the counts of histograms
// add up to the count of what they are merged to. Below 0 it is 0.
func (h *Histogram) CountUpTo(d time.Duration) uint64 {
	if d < 0 {
		return 0
	}
	count := h.zeros
	if d == 0 {
		return count
	}
	last := bucketOf(d)
	for i, block := range h.blocks[:last/perDouble+1] {
		if block == nil {
			continue
		}
		for j, n := range block {
			if i*perDouble+j > last {
				return count
			}
			count += n
		}
	}
	return count
}

// Native returns the buckets that are not empty, in ascending order, as the keys
// and counts of a Prometheus native histogram with a schema of 0 to [Schema].
// Each bucket of a lower schema is 2, 4, 8, ... whole buckets of this one, so
// nothing is estimated. What is not above 0 is in [Histogram.Zeros] alone.
func (h *Histogram) Native(schema int) iter.Seq2[int, uint64] {
	shift := Schema - schema
	return func(yield func(int, uint64) bool) {
		key, sum := 0, uint64(0)
		for i, block := range &h.blocks {
			if block == nil {
				continue
			}
			for j, n := range block {
				if n == 0 {
					continue
				}
				// The upper bound of bucket k lies in bucket ceil(k / 2^shift).
				coarse := (firstKey + i*perDouble + j + 1<<shift - 1) >> shift
				if coarse != key && sum > 0 {
					if !yield(key, sum) {
						return
					}
					sum = 0
				}
				key, sum = coarse, sum+n
			}
		}
		if sum > 0 {
			yield(key, sum)
		}
	}
}
