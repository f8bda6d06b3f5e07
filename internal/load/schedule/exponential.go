package schedule

import (
	"math"
	"math/bits"
)

// exponential turns 64 random bits into a draw from the exponential distribution
// with mean 1: -ln(v/2^53) for v evenly from 1 to 2^53, so at most 36.8.
//
// It gives the same bits on every machine. math.Log would not: it is assembly on
// amd64 and s390x, and where it is Go, some compilers fuse multiplication and
// addition. The conversions below forbid that (Go specification, Floating point
// operators), and all else is exact or rounded as IEEE 754 says.
func exponential(random uint64) float64 {
	v := random>>11 + 1
	// v = m * 2^exponent with m in [sqrt(1/2), sqrt(2)).
	exponent := bits.Len64(v)
	m := float64(v) / float64(uint64(1)<<exponent)
	if m < math.Sqrt2/2 {
		m, exponent = 2*m, exponent-1
	}
	return float64(float64(53-exponent)*math.Ln2) - logarithm(m)
}

// logarithm returns ln(m) for m from sqrt(1/2) to sqrt(2):
//
//	ln(m) = 2*artanh(s) = 2*(s + s^3/3 + s^5/5 + ...),  s = (m-1)/(m+1)
//
// As s^2 is at most 0.0295, the first term left out, s^23/23, is below 10^-18 of
// the sum.
func logarithm(m float64) float64 {
	s := (m - 1) / (m + 1)
	square := float64(s * s)
	sum := 1.0 / 21
	sum = float64(sum*square) + 1.0/19
	sum = float64(sum*square) + 1.0/17
	sum = float64(sum*square) + 1.0/15
	sum = float64(sum*square) + 1.0/13
	sum = float64(sum*square) + 1.0/11
	sum = float64(sum*square) + 1.0/9
	sum = float64(sum*square) + 1.0/7
	sum = float64(sum*square) + 1.0/5
	sum = float64(sum*square) + 1.0/3
	sum = float64(sum*square) + 1
	return float64(2 * s * sum)
}

// exponentialUnits is a gap of mean 1 arrival in whole units.
func exponentialUnits(random uint64) uint64 {
	return uint64(float64(exponential(random)*float64(unitsPerArrival)) + 0.5)
}
