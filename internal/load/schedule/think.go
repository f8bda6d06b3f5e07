package schedule

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// maxThink bounds a think time.
const maxThink = 24 * time.Hour

// exponentialCap is how many times its mean an exponential think time may be; one
// draw in 22 026 is longer and is cut to that.
const exponentialCap = 10

type thinkKind int

const (
	thinkConstant thinkKind = iota
	thinkUniform
	thinkExponential
)

// Think is how long a user in closed mode pauses between two requests. The zero
// Think does not pause.
type Think struct {
	kind thinkKind
	// low is the constant or the mean, or the shortest of an even spread up to high.
	low, high time.Duration
}

// ParseThink reads "1s" (always), "1s..5s" (evenly between, both included) or
// "exp:2s" (exponential with that mean, cut at ten times it).
func ParseThink(text string) (Think, error) {
	bad := func() (Think, error) {
		return Think{}, fmt.Errorf("%q is not a think time: give a time such as 1s, a range such as 1s..5s, or an exponential mean such as exp:2s, each up to 24h", text)
	}
	mean, isExponential := strings.CutPrefix(text, "exp:")
	from, to, isRange := strings.Cut(text, "..")
	var t Think
	var ok bool
	switch {
	case isExponential:
		t.kind = thinkExponential
		t.low, ok = parseThinkTime(mean)
	case isRange:
		t.kind = thinkUniform
		var fromOK, toOK bool
		t.low, fromOK = parseThinkTime(from)
		t.high, toOK = parseThinkTime(to)
		ok = fromOK && toOK && t.low <= t.high
	default:
		t.low, ok = parseThinkTime(text)
	}
	if !ok {
		return bad()
	}
	return t, nil
}

func parseThinkTime(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0 && d <= maxThink
}

// Draw returns one pause.
func (t Think) Draw(random *rand.Rand) time.Duration {
	switch t.kind {
	case thinkUniform:
		return t.low + time.Duration(random.Int64N(int64(t.high-t.low)+1))
	case thinkExponential:
		return time.Duration(min(exponential(random.Uint64()), exponentialCap) * float64(t.low))
	default:
		return t.low
	}
}

// Mean returns the mean pause. For an exponential pause of mean m that is cut at
// c*m it is m*(1-exp(-c)): 0.005 % less than m.
func (t Think) Mean() time.Duration {
	switch t.kind {
	case thinkUniform:
		return t.low + (t.high-t.low)/2
	case thinkExponential:
		return time.Duration(float64(t.low) * -math.Expm1(-exponentialCap))
	default:
		return t.low
	}
}

// String returns the think time as [ParseThink] reads it.
func (t Think) String() string {
	switch t.kind {
	case thinkUniform:
		return shortDuration(t.low) + ".." + shortDuration(t.high)
	case thinkExponential:
		return "exp:" + shortDuration(t.low)
	default:
		return shortDuration(t.low)
	}
}
