package stats

import (
	"cmp"
	"math"
	"slices"
)

// ascending returns the indices of the p that are numbers, the smallest p first.
func ascending(p []float64) []int {
	var order []int
	for i, v := range p {
		if !math.IsNaN(v) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	return order
}

// Holm returns p corrected for as many comparisons, in the order given: whoever
// calls those below 0.05 significant is wrong about any with a probability of at
// most 0.05 (Holm 1979). It needs no independence. A NaN stays one and does not count
// as a comparison.
func Holm(p []float64) []float64 {
	adjusted := slices.Clone(p)
	order := ascending(p)
	highest := 0.0
	for i, at := range order {
		highest = max(highest, min(1, p[at]*float64(len(order)-i)))
		adjusted[at] = highest
	}
	return adjusted
}

// BenjaminiHochberg returns p corrected so that of those below 0.05 at most a share
// of 0.05 is expected to be wrong (Benjamini & Hochberg 1995), in the order given.
// A NaN stays one and does not count as a comparison.
func BenjaminiHochberg(p []float64) []float64 {
	adjusted := slices.Clone(p)
	order := ascending(p)
	lowest := 1.0
	for i := len(order) - 1; i >= 0; i-- {
		lowest = min(lowest, p[order[i]]*(float64(len(order))/float64(i+1)))
		adjusted[order[i]] = lowest
	}
	return adjusted
}
