package load

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// microsPerArrival is the resolution of a Rate.
const microsPerArrival = 1_000_000

// MaxRate is the highest rate that can be set: a million arrivals a second.
const MaxRate = Rate(1_000_000 * microsPerArrival)

// Rate is a number of arrivals a second, exact to a millionth. It is an integer
// count of millionths so that due times can be computed without rounding errors
// that add up.
type Rate uint64

// ParseRate reads a decimal number of arrivals a second, such as "200" or
// "0.5": more than 0, at most a million, at most six decimals.
func ParseRate(text string) (Rate, error) {
	whole, fraction, hasPoint := strings.Cut(text, ".")
	bad := func() (Rate, error) {
		return 0, fmt.Errorf("%q is not a rate: give arrivals a second as a decimal number above 0 and up to 1000000, with at most six decimals, such as 50 or 0.5", text)
	}
	if len(whole) > 7 || len(fraction) > 6 || (hasPoint && fraction == "") || !isDigits(whole) || !isDigits(fraction) || whole+fraction == "" {
		return bad()
	}
	micros, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", 6-len(fraction)), 10, 64)
	if err != nil || micros == 0 || Rate(micros) > MaxRate {
		return bad()
	}
	return Rate(micros), nil
}

func isDigits(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// PerSecond returns the rate in arrivals a second.
func (r Rate) PerSecond() float64 { return float64(r) / microsPerArrival }

// String prints the rate as ParseRate reads it.
func (r Rate) String() string { return strconv.FormatFloat(r.PerSecond(), 'f', -1, 64) }

// UnmarshalText makes Rate readable from flags and the environment.
func (r *Rate) UnmarshalText(text []byte) error {
	rate, err := ParseRate(string(text))
	if err == nil {
		*r = rate
	}
	return err
}

// MarshalText prints the rate as ParseRate reads it.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Schedule says when each arrival is due. It is pure: the same number always
// gives the same time, whatever has happened meanwhile.
type Schedule interface {
	// Due returns when arrival n (0, 1, 2, ...) is due, counted from the start,
	// and false when the schedule has no such arrival. It never falls with n.
	Due(n int64) (time.Duration, bool)
	// RateAt returns the rate that is aimed at, at a time since the start.
	RateAt(at time.Duration) Rate
}

// Steady is a constant rate with even spacing: arrival n is due at
//
//	floor(n * 10^9 / rate) ns
//
// computed in 128-bit integers, so that it is exact to the nanosecond for every
// n and does not drift.
type Steady struct{ rate Rate }

// NewSteady returns the schedule of a constant rate above 0.
func NewSteady(rate Rate) (Steady, error) {
	if rate == 0 || rate > MaxRate {
		return Steady{}, errors.New("a steady schedule needs a rate above 0 and up to a million a second")
	}
	return Steady{rate: rate}, nil
}

// Due implements [Schedule]. It is false for negative n and beyond 292 years.
func (s Steady) Due(n int64) (time.Duration, bool) {
	if n < 0 || s.rate == 0 {
		return 0, false
	}
	// n arrivals * 10^6 millionths * 10^9 ns, divided by millionths a second.
	high, low := bits.Mul64(uint64(n), microsPerArrival*uint64(time.Second))
	if high >= uint64(s.rate) {
		return 0, false
	}
	due, _ := bits.Div64(high, low, uint64(s.rate))
	if due > math.MaxInt64 {
		return 0, false
	}
	return time.Duration(due), true
}

// RateAt implements [Schedule].
func (s Steady) RateAt(time.Duration) Rate { return s.rate }
