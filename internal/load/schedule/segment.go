package schedule

import (
	"math"
	"math/bits"
	"time"

	"lukechampine.com/uint128"
)

// unitsPerArrival is how many units of half a millionth a second times a
// nanosecond make one arrival.
const unitsPerArrival = 2 * microsPerArrival * uint64(time.Second)

// maxSlope is how long a segment whose rate changes may be. It keeps the largest
// product, (a+b)*D*D with a and b up to 10^12 and D of 3.6*10^12, under 2^125.
const maxSlope = time.Hour

// segment is a stretch of a shape over which the rate changes evenly.
type segment struct {
	start    time.Duration
	length   time.Duration
	before   uint128.Uint128 // units let through before start
	from, to Rate
}

// units returns how many units the whole segment lets through.
func (s *segment) units() uint128.Uint128 {
	return uint128.From64(uint64(s.from + s.to)).Mul64(uint64(s.length))
}

// unitsAt returns how many whole units have been let through x ns after the start
// of the segment.
func (s *segment) unitsAt(x uint64) uint128.Uint128 {
	switch length := uint64(s.length); {
	case s.from == s.to:
		return uint128.From64(2 * uint64(s.from)).Mul64(x)
	case s.from < s.to:
		return area(s.from, s.to-s.from, length, x).Div64(length)
	default:
		// What is left counts from the end; rounding it up rounds the rest down.
		left := area(s.to, s.from-s.to, length, length-x)
		return s.units().Sub(left.Add64(length - 1).Div64(length))
	}
}

// rateAt returns the rate x ns after the start of the segment, rounded towards
// the rate at its start.
func (s *segment) rateAt(x uint64) Rate {
	part := func(change Rate) Rate {
		high, low := bits.Mul64(uint64(change), x)
		// change is below 2^40 and x at most the length, so the quotient fits.
		quotient, _ := bits.Div64(high, low, uint64(s.length))
		return Rate(quotient)
	}
	switch {
	case s.from < s.to:
		return s.from + part(s.to-s.from)
	case s.from > s.to:
		return s.from - part(s.from-s.to)
	default:
		return s.from
	}
}

// due returns floor(x) of the x at which S(x) = p, in ns after the start of the
// segment; false when that is not within the range of the clock. p must be less than
// the units of the segment.
func (s *segment) due(p uint128.Uint128) (uint64, bool) {
	switch {
	case s.from == s.to:
		twice := 2 * uint64(s.from)
		if p.Hi >= twice {
			return 0, false
		}
		x, _ := bits.Div64(p.Hi, p.Lo, twice)
		return x, x <= math.MaxInt64
	case s.from < s.to:
		return lastWithin(s.from, s.to-s.from, uint64(s.length), p), true
	default:
		// A falling rate is a rising one seen from the end, where the root below has
		// no cancellation. The floor from the start is the ceiling from the end.
		return uint64(s.length) - firstReaching(s.to, s.from-s.to, uint64(s.length), s.units().Sub(p)), true
	}
}

// area returns S(x)*D of a rate that rises from a by gain over D ns.
func area(a, gain Rate, length, x uint64) uint128.Uint128 {
	return uint128.From64(2 * uint64(a)).Mul64(length).Add(uint128.From64(uint64(gain)).Mul64(x)).Mul64(x)
}

// lastWithin returns the last x with S(x) <= p.
func lastWithin(a, gain Rate, length uint64, p uint128.Uint128) uint64 {
	x, limit := root(a, gain, length, p), p.Mul64(length)
	for area(a, gain, length, x).Cmp(limit) > 0 {
		x--
	}
	for area(a, gain, length, x+1).Cmp(limit) <= 0 {
		x++
	}
	return x
}

// firstReaching returns the first x with S(x) >= p; p > 0.
func firstReaching(a, gain Rate, length uint64, p uint128.Uint128) uint64 {
	x, limit := root(a, gain, length, p), p.Mul64(length)
	for area(a, gain, length, x).Cmp(limit) < 0 {
		x++
	}
	for x > 0 && area(a, gain, length, x-1).Cmp(limit) >= 0 {
		x--
	}
	return x
}

// root solves S(x) = p of a rising rate in floating point, in the form without
// cancellation:
//
//	x = p / (a + sqrt(a*a + gain*p/D))
//
// No step loses more than a few units in the last place, and x is at most
// 3.6*10^12, so that it is less than 0.01 ns off: integers correct it by one step
// at most, and how a machine rounds does not matter.
func root(a, gain Rate, length uint64, p uint128.Uint128) uint64 {
	if p.IsZero() {
		return 0
	}
	units := float64(p.Hi)*(1<<64) + float64(p.Lo)
	first := float64(a)
	x := units / (first + math.Sqrt(first*first+float64(gain)*units/float64(length)))
	return min(uint64(x), length)
}
