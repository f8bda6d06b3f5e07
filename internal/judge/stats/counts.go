package stats

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// PoissonAtLeast returns P(X >= k) of a Poisson variable with that mean: the
// regularised lower incomplete gamma function P(k, mean) (Abramowitz & Stegun 26.4.21).
// It is 1 for k <= 0, and 0 for a mean that is not above 0; NaN for a NaN.
func PoissonAtLeast(k int64, mean float64) float64 {
	switch {
	case math.IsNaN(mean):
		return mean
	case k <= 0 || math.IsInf(mean, 1):
		return 1
	case mean <= 0:
		return 0
	}
	return mathext.GammaIncReg(float64(k), mean)
}

// Proportions tests whether bad1 of n1 and bad2 of n2 are shares of the same size:
// the two-sided P of Fisher's exact test (1935), the sum of all outcomes that are
// not more likely than the one that was seen, as R does. The probabilities follow from their
// neighbours, without a factorial, so nothing is lost with numbers up to 1e9 and more. It takes
// about 40 standard deviations of the count at most. It is 1 when there is
// nothing to compare or a number cannot be (bad < 0, bad > n).
func Proportions(bad1, n1, bad2, n2 int64) float64 {
	if bad1 < 0 || bad2 < 0 || n1 < bad1 || n2 < bad2 || n1 == 0 || n2 == 0 || n1 > math.MaxInt64-n2 {
		return 1
	}
	h := hypergeometric{n1: float64(n1), n2: float64(n2), bad: float64(bad1) + float64(bad2)}
	return h.twoSided(float64(bad1))
}

// hypergeometric is how many of bad fall to the first of two groups.
type hypergeometric struct{ n1, n2, bad float64 }

// next is the probability of k+1 as a multiple of that of k.
func (h hypergeometric) next(k float64) float64 {
	return (h.n1 - k) / (k + 1) * ((h.bad - k) / (h.n2 - h.bad + k + 1))
}

// twoSided walks from the most likely count, whose weight is 1, to both ends, first
// to where seen lies: what is less than 1e-17 of the weight of seen does not count.
func (h hypergeometric) twoSided(seen float64) float64 {
	lowest, highest := max(0, h.bad-h.n2), min(h.bad, h.n1)
	mode := min(max(math.Floor((h.bad+1)*((h.n1+1)/(h.n1+h.n2+2))), lowest), highest)
	// Equally likely ones differ by rounding.
	const equal = 1 + 1e-7
	seenWeight := h.weight(mode, seen)
	if seenWeight*equal >= 1 {
		return 1
	}
	all, rare := 1.0, 0.0
	count := func(weight float64) bool {
		all += weight
		if weight <= seenWeight*equal {
			rare += weight
		}
		return weight > max(seenWeight*1e-17, tiny)
	}
	weight := 1.0
	for k := mode; k < highest; k++ {
		weight *= h.next(k)
		if !count(weight) {
			break
		}
	}
	weight = 1
	for k := mode; k > lowest; k-- {
		weight /= h.next(k - 1)
		if !count(weight) {
			break
		}
	}
	return min(1, rare/all)
}

// tiny is what counts as nothing: the least numbers of a float64 do not get
// smaller any more when they are multiplied by 0.9.
const tiny = 1e-300

// weight is the probability of k as a multiple of that of the mode; 0 when it is
// tiny.
func (h hypergeometric) weight(mode, k float64) float64 {
	weight := 1.0
	for at := mode; at < k && weight > tiny; at++ {
		weight *= h.next(at)
	}
	for at := mode; at > k && weight > tiny; at-- {
		weight /= h.next(at - 1)
	}
	if weight <= tiny {
		return 0
	}
	return weight
}

// Wilson returns the interval of a share of which bad of n are known, at that
// confidence (Wilson 1927): 0..1 of nothing.
func Wilson(bad, n int64, confidence float64) (low, high float64) {
	if n <= 0 || bad < 0 || bad > n {
		return 0, 1
	}
	z, size := normalQuantile(confidence), float64(n)
	share := float64(bad) / size
	middle := (share + z*z/(2*size)) / (1 + z*z/size)
	half := z / (1 + z*z/size) * math.Sqrt(share*(1-share)/size+z*z/(4*size*size))
	low, high = max(0, middle-half), min(1, middle+half)
	if bad == 0 {
		low = 0 // what rounding leaves
	}
	if bad == n {
		high = 1
	}
	return low, high
}
