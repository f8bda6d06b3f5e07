package schedule

import (
	"fmt"
	"strconv"
	"strings"
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
	rate, ok := parseMillionths(text)
	if !ok || rate == 0 {
		return 0, fmt.Errorf("%q is not a rate: give arrivals a second as a decimal number above 0 and up to 1000000, with at most six decimals, such as 50 or 0.5", text)
	}
	return rate, nil
}

// parseMillionths reads a decimal number from 0 to a million with at most six
// decimals.
func parseMillionths(text string) (Rate, bool) {
	whole, fraction, hasPoint := strings.Cut(text, ".")
	if len(whole) > 7 || len(fraction) > 6 || (hasPoint && fraction == "") || !isDigits(whole) || !isDigits(fraction) || whole+fraction == "" {
		return 0, false
	}
	micros, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", 6-len(fraction)), 10, 64)
	return Rate(micros), err == nil && Rate(micros) <= MaxRate
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
