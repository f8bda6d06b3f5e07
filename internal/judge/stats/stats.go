// Package stats holds the statistics that the judgement rests on: robust slopes
// and trends, rank tests, counts, corrections for many comparisons and for
// autocorrelation, change points. Everything is a pure function of numbers.
//
// What is not a finite number (NaN, Inf) is left out, in pairs where values come
// in pairs; only [Autocorrelation] and [EffectiveSize] keep its place, as a gap,
// and [ChangePoints] and [EDivisive] return indices of the slice as it was given.
// Nothing panics, whatever is given, and no function changes its arguments.
// Where an answer does not exist (the median of nothing), it is NaN or a result
// that claims nothing (p = 1, an infinite interval); each function says which.
package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// finite returns a copy of y without NaN and Inf.
func finite(y []float64) []float64 {
	kept := make([]float64, 0, len(y))
	for _, v := range y {
		if isFinite(v) {
			kept = append(kept, v)
		}
	}
	return kept
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// normalQuantile is the two-sided quantile of the standard normal distribution:
// 1.96 for a confidence of 0.95. A confidence outside 0..1 is taken as the nearest
// one inside, NaN as 1; for 1 the quantile is a large number, and not infinite.
func normalQuantile(confidence float64) float64 {
	if math.IsNaN(confidence) {
		confidence = 1
	}
	return min(distuv.UnitNormal.Quantile(0.5+min(max(confidence, 0), 1)/2), 40)
}

// normalP is the two-sided P of a standard normal z; 1 for NaN.
func normalP(z float64) float64 {
	if math.IsNaN(z) {
		return 1
	}
	return min(1, math.Erfc(math.Abs(z)/math.Sqrt2))
}

// Median returns the median, NaN of nothing.
func Median(y []float64) float64 { return medianOf(finite(y)) }

// medianOf is the median of finite numbers, which it reorders.
func medianOf(y []float64) float64 {
	n := len(y)
	if n == 0 {
		return math.NaN()
	}
	high := selectAt(y, n/2)
	if n%2 == 1 {
		return high
	}
	// The lower half now lies before n/2.
	low := slices.Max(y[:n/2])
	return low + (high-low)/2
}

// Quantile returns the quantile q, 0..1, interpolated between the order statistics
// around 1 + (n-1)*q: type 7 of Hyndman & Fan 1996, as R does by default. NaN of
// nothing and for a q outside 0..1.
func Quantile(y []float64, q float64) float64 {
	kept := finite(y)
	if len(kept) == 0 || math.IsNaN(q) || q < 0 || q > 1 {
		return math.NaN()
	}
	slices.Sort(kept)
	at := q * float64(len(kept)-1)
	low := int(at)
	if low+1 >= len(kept) {
		return kept[len(kept)-1]
	}
	return kept[low] + (at-float64(low))*(kept[low+1]-kept[low])
}

// madScale makes the median absolute deviation of normal data their standard
// deviation: 1 / Phi^-1(3/4).
const madScale = 1.4826

// MAD returns the median absolute deviation from the median, times 1.4826 so that
// it estimates the standard deviation of normal data; NaN of nothing.
func MAD(y []float64) float64 {
	kept := finite(y)
	center := medianOf(kept)
	for i := range kept {
		kept[i] = math.Abs(kept[i] - center)
	}
	return madScale * medianOf(kept)
}

// selectAt returns the element that would stand at k, 0 <= k < len(y), were y in
// ascending order, and partitions y around it (Hoare's FIND, 1961; the pivot is the
// median of three). It takes O(n) where sorting takes O(n log n): the callers have
// tens of thousands of pairwise slopes or differences.
func selectAt(y []float64, k int) float64 {
	low, high := 0, len(y)-1
	for low < high {
		pivot := medianOfThree(y[low], y[low+(high-low)/2], y[high])
		i, j := low, high
		for i <= j {
			for y[i] < pivot {
				i++
			}
			for pivot < y[j] {
				j--
			}
			if i <= j {
				y[i], y[j] = y[j], y[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			high = j
		case k >= i:
			low = i
		default:
			return y[k]
		}
	}
	return y[k]
}

func medianOfThree(a, b, c float64) float64 { return max(min(a, b), min(max(a, b), c)) }

// ranks returns the ranks 1..n of finite numbers, equal ones sharing their mean
// rank, and the sizes of the groups of equal numbers of two or more.
func ranks(y []float64) (rank []float64, ties []int) {
	order := make([]int, len(y))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case y[a] < y[b]:
			return -1
		case y[a] > y[b]:
			return 1
		}
		return a - b
	})
	rank = make([]float64, len(y))
	for first := 0; first < len(order); {
		last := first
		for last+1 < len(order) && y[order[last+1]] == y[order[first]] {
			last++
		}
		for i := first; i <= last; i++ {
			rank[order[i]] = float64(first+last)/2 + 1
		}
		if last > first {
			ties = append(ties, last-first+1)
		}
		first = last + 1
	}
	return rank, ties
}
