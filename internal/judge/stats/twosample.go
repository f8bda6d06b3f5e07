package stats

import (
	"math"
	"slices"
)

// exactSize is up to how many values a side the distribution of U is counted out
// when there are no ties; above, the normal approximation is good to three digits.
const exactSize = 25

// MannWhitney tests whether values of a tend to be greater or smaller than those of
// b (Wilcoxon 1945, Mann & Whitney 1947). u is the number of pairs with a > b, ties
// counted half (R's W), 0..len(a)*len(b), and p the two-sided probability of a u as
// far from the middle. It is exact for at most 25 values a side without ties, and
// else a normal approximation with correction for ties and continuity. It takes the values
// as independent. With nothing on a side u is 0 and p is 1.
func MannWhitney(a, b []float64) (u, p float64) {
	x, y := finite(a), finite(b)
	if len(x) == 0 || len(y) == 0 {
		return 0, 1
	}
	rank, ties := ranks(append(slices.Clone(x), y...))
	m, n := len(x), len(y)
	u = -float64(m) * float64(m+1) / 2
	for _, r := range rank[:m] {
		u += r
	}
	if len(ties) == 0 && m <= exactSize && n <= exactSize {
		return u, exactU(m, n, u)
	}
	deviation := math.Sqrt(uVariance(m, n, ties))
	if deviation == 0 {
		return u, 1
	}
	away := math.Abs(u - float64(m)*float64(n)/2)
	return u, normalP(max(0, away-0.5) / deviation)
}

// uVariance is the variance of U without a difference, with groups of equal values
// of the sizes ties (Hollander & Wolfe 1999, equation 4.13).
func uVariance(m, n int, ties []int) float64 {
	total := float64(m + n)
	sum := 0.0
	for _, size := range ties {
		t := float64(size)
		sum += t * (t - 1) * (t + 1)
	}
	return max(0, float64(m)*float64(n)/12*(total+1-sum/(total*(total-1))))
}

// exactU is the two-sided P of u.
func exactU(m, n int, u float64) float64 {
	low := int(math.Min(u, float64(m*n)-u))
	sum := 0.0
	for _, share := range uDistribution(m, n, low) {
		sum += share
	}
	return min(1, 2*sum)
}

// uDistribution returns the probabilities of U = 0..last. The number of ways to
// get u is the coefficient of q^u in the Gaussian binomial coefficient
//
//	product over i = 1..m of (1 - q^(n+i)) / (1 - q^i)
//
// (Mann & Whitney 1947). The coefficient of a low power depends on lower ones
// alone, so tails are small whole numbers and exact.
func uDistribution(m, n, last int) []float64 {
	ways := make([]float64, last+1)
	ways[0] = 1
	for i := 1; i <= m; i++ {
		for u := last; u >= n+i; u-- {
			ways[u] -= ways[u-n-i]
		}
		for u := i; u <= last; u++ {
			ways[u] += ways[u-i]
		}
	}
	all := 1.0 // m+n over m
	for i := 1; i <= m; i++ {
		all *= float64(n+i) / float64(i)
	}
	for u := range ways {
		ways[u] /= all
	}
	return ways
}

// HodgesLehmann returns by how much b lies above a: the median of all differences
// b - a (Hodges & Lehmann 1963), and its confidence interval from the ordered
// differences (Moses; Hollander & Wolfe 1999, section 4.3), exact or approximate as in
// [MannWhitney]. Where there are too few values for the confidence, low and high are
// infinite. With nothing on a side shift is NaN. It takes
// O(len(a)*len(b)) time and memory.
func HodgesLehmann(a, b []float64, confidence float64) (shift, low, high float64) {
	x, y := finite(a), finite(b)
	if len(x) == 0 || len(y) == 0 {
		return math.NaN(), math.Inf(-1), math.Inf(1)
	}
	differences := differencesOf(x, y)
	low, high = math.Inf(-1), math.Inf(1)
	if k := intervalRank(x, y, confidence); k >= 1 {
		low = selectAt(differences, k-1)
		high = selectAt(differences, len(differences)-k)
	}
	return medianOf(differences), low, high
}

// Shift is the estimate of [HodgesLehmann] alone, without its interval, which takes
// values as independent; NaN with nothing on a side.
func Shift(a, b []float64) float64 { return Median(differencesOf(finite(a), finite(b))) }

// differencesOf returns all differences y - x.
func differencesOf(x, y []float64) []float64 {
	differences := make([]float64, 0, len(x)*len(y))
	for _, v := range y {
		for _, w := range x {
			differences = append(differences, v-w)
		}
	}
	return differences
}

// intervalRank returns k such that number k and the last but k-1 of the ordered
// differences enclose the shift with at least the confidence; 0 when no
// differences do.
func intervalRank(x, y []float64, confidence float64) int {
	m, n := len(x), len(y)
	_, ties := ranks(append(slices.Clone(x), y...))
	half := m * n / 2
	if len(ties) == 0 && m <= exactSize && n <= exactSize {
		outside := (1 - confidence) / 2
		sum := 0.0
		for u, share := range uDistribution(m, n, half) {
			if sum += share; !(sum <= outside) {
				return u
			}
		}
		return half
	}
	k := float64(m)*float64(n)/2 - normalQuantile(confidence)*math.Sqrt(uVariance(m, n, ties))
	return int(min(max(0, math.Floor(k)), float64(half)))
}
