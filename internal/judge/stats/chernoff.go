package stats

import "math"

// ChernoffAtLeast returns an upper bound of the probability that at least k of n
// independent events come true which do so with probability p each, 0 < p < 1:
//
//	P(X >= k) <= exp(-n KL(k/n || p)),  KL(a || p) = a ln(a/p) + (1-a) ln((1-a)/(1-p))
//
// (Hoeffding, "Probability inequalities for sums of bounded random variables",
// 1963, theorem 1). It needs no table and no approximation for any n, and errs on
// the side of chance. It is 1 where k is not above what is expected, or n is 0.
func ChernoffAtLeast(k, n int64, p float64) float64 {
	if n <= 0 || k <= 0 || !(p > 0) || p >= 1 || float64(k) <= p*float64(n) {
		return 1
	}
	a := min(1, float64(k)/float64(n))
	divergence := a * math.Log(a/p)
	if a < 1 {
		divergence += (1 - a) * math.Log((1-a)/(1-p))
	}
	return math.Exp(-float64(n) * divergence)
}
