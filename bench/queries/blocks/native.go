package main

import (
	"math"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/histogram"
)

// nativeSchema has buckets that are 2^(1/8) = 1.09 apart, as soakd's.
const nativeSchema = 3

// nativeOf makes a native histogram of a classic one: what a classic bucket holds
// is spread evenly over the native ones between its bounds.
func (m *maker) nativeOf(key string, h *dto.Histogram) func(float64) *histogram.Histogram {
	rates := map[int]float64{}
	below, lower := 0.0, 0.0
	for _, bucket := range h.Bucket {
		upper := bucket.GetUpperBound()
		count := float64(bucket.GetCumulativeCount()) - below
		below += count
		if count > 0 && !math.IsInf(upper, 1) {
			if lower == 0 {
				lower = upper / 2
			}
			first, last := nativeIndex(lower)+1, nativeIndex(upper)
			for i := first; i <= last; i++ {
				rates[i] += count / float64(max(last-first+1, 1)) / m.age
			}
		}
		lower = upper
	}
	spans, order := spansOf(rates)
	at, begin := phase(key), float64(m.begin.Unix())
	origin := worked(begin, at)
	mean := h.GetSampleSum() / max(float64(h.GetSampleCount()), 1)
	return func(seconds float64) *histogram.Histogram {
		grown := worked(seconds, at) - origin
		out := &histogram.Histogram{Schema: nativeSchema, ZeroThreshold: 1e-9, PositiveSpans: spans, PositiveBuckets: make([]int64, len(order))}
		before := int64(0)
		for i, index := range order {
			count := int64(rates[index] * grown)
			out.PositiveBuckets[i] = count - before // each by its distance from the one before
			before = count
			out.Count += uint64(max(count, 0))
		}
		out.Sum = mean * float64(out.Count)
		return out
	}
}

// nativeIndex is the number of the bucket that a value is in: the bucket i ends at
// 2^(i/2^schema). https://prometheus.io/docs/specs/native_histograms/#schema
func nativeIndex(v float64) int {
	return int(math.Ceil(math.Log2(v) * (1 << nativeSchema)))
}

// spansOf says where buckets follow one another and lists them in that order.
func spansOf(rates map[int]float64) (spans []histogram.Span, order []int) {
	if len(rates) == 0 {
		return nil, nil
	}
	first, last := math.MaxInt, math.MinInt
	for i := range rates {
		first, last = min(first, i), max(last, i)
	}
	for i := first; i <= last; i++ {
		order = append(order, i)
	}
	return []histogram.Span{{Offset: int32(first), Length: uint32(len(order))}}, order
}
