// Package objective judges service level objectives: which share of the requests
// is good, how much of the error budget is left, and how fast it burns.
package objective

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// Kind is what an objective promises.
type Kind string

// The kinds.
const (
	// Availability: requests get the right answer.
	Availability Kind = "availability"
	// Latency: requests are answered within a threshold. A request without any
	// answer within its time limit is late; one that could not be sent or whose
	// connection broke took no time and belongs to availability alone.
	Latency Kind = "latency"
)

// Invalid is the class that stands for deliberately invalid input of whatever class.
const Invalid = "invalid"

// Objective is a promise about a share of the requests.
type Objective struct {
	// Name is a label value: [a-z0-9_], 1 to 40 characters.
	Name string
	// Class is the class of valid cases that it is about, [finding.AllTraffic] for
	// all of them, or [Invalid] for the refusals of invalid input.
	Class string
	Kind  Kind
	// Target is the share of requests that must be good, 0 < Target < 1.
	Target float64
	// Threshold is how long a good request takes at most, counted in buckets of
	// 1.09 %; 1 ms to 1 h, and 0 for [Availability].
	Threshold time.Duration
}

// Budget is the share of requests that may be bad: 1 - Target.
func (o *Objective) Budget() float64 { return 1 - o.Target }

// enough is how many requests are needed before one that is bad leaves the
// objective met: n with 1/n <= 1 - Target.
func (o *Objective) enough() int64 { return int64(math.Ceil(1/o.Budget() - 1e-9)) }

// String writes the objective as [Parse] reads it.
func (o *Objective) String() string {
	text := o.Name + ": "
	if o.Class != finding.AllTraffic {
		text += "class=" + o.Class + " "
	}
	if o.Kind == Latency {
		return text + "latency<=" + o.Threshold.String() + " for " + percent(o.Target)
	}
	return text + "availability>=" + percent(o.Target)
}

// percent writes a share, without what a float cannot hold exactly.
func percent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e11)/1e9, 'f', -1, 64) + "%"
}

// MarshalJSON writes the threshold in seconds.
func (o Objective) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name      string  `json:"name"`
		Class     string  `json:"class"`
		Kind      Kind    `json:"kind"`
		Target    float64 `json:"target"`
		Threshold float64 `json:"threshold_seconds,omitempty"`
	}{o.Name, o.Class, o.Kind, o.Target, o.Threshold.Seconds()})
}

var validName = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)

// Validate returns every mistake, joined.
func (o *Objective) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("objective %.50q: "+format, append([]any{o.Name}, args...)...))
		}
	}
	check(validName.MatchString(o.Name), "the name must be 1 to 40 of a-z, 0-9 and _")
	check(o.Class != "", "the class is missing; %q stands for all valid requests", finding.AllTraffic)
	check(o.Target > 0 && o.Target < 1, "%v of the requests cannot be aimed at: it must be above 0%% and below 100%%", percent(o.Target))
	switch o.Kind {
	case Availability:
		check(o.Threshold == 0, "an availability has no threshold, and %v is given", o.Threshold)
	case Latency:
		check(o.Threshold >= time.Millisecond && o.Threshold <= time.Hour, "the threshold %v must be 1ms to 1h", o.Threshold)
	default:
		check(false, "the kind %.20q must be %q or %q", o.Kind, Availability, Latency)
	}
	return errors.Join(errs...)
}

// about reports whether the objective is about the requests of a case.
func (o *Objective) about(c *window.Case) bool {
	if c.Invalid {
		return o.Class == Invalid
	}
	return o.Class == finding.AllTraffic || o.Class == c.Class
}

// Uncounted lists the outcomes that do not count as requests of an availability
// objective. A refusal can be right or wrong only where there was an answer, and
// the rate limit answers before it looks at the input: the rest is what the
// availability of valid requests tells already.
func (o *Objective) Uncounted() []string {
	if o.Class == Invalid && o.Kind == Availability {
		return []string{"connect", "dns", "rate_limited", "reset", timeout, "tls"}
	}
	return nil
}

const timeout = "timeout"

// count returns how many requests of a window the objective is about, and how many
// of them were bad.
func (o *Objective) count(w *window.Window) (events, bad int64) {
	uncounted := o.Uncounted()
	for i := range w.Cases {
		c := &w.Cases[i]
		if !o.about(c) {
			continue
		}
		if o.Kind == Latency {
			n, late := o.late(c)
			events, bad = events+n, bad+late
			continue
		}
		for _, outcome := range c.Outcomes {
			if slices.Contains(uncounted, outcome.Name) {
				continue
			}
			events += outcome.N
			if outcome.Name != window.OK {
				bad += outcome.N
			}
		}
	}
	return events, bad
}

// late counts the timed requests of a case and those above the threshold. A
// timeout is late also where the time limit of the case is below the threshold.
func (o *Objective) late(c *window.Case) (events, bad int64) {
	if c.Times == nil {
		return 0, 0
	}
	events = int64(c.Times.Count())
	slow := events - int64(c.Times.CountUpTo(o.Threshold))
	return events, min(events, max(slow, window.Of(c.Outcomes, timeout)))
}

// classDefault is what a class of the built-in workload is held to.
type classDefault struct {
	class     string
	threshold time.Duration
	target    float64
}

// classDefaults are well within the time limits of the classes (2 s, 10 s, 30 s,
// 30 s, 1 min), so that requests become late long before they time out: a client
// who waits, and not one who has given up, is what an objective is for. The two
// that a person waits for are held to 99 %; the heavy ones, of which there are a
// fifteenth as many and whose time depends on what is asked, to 95 %.
func classDefaults() []classDefault {
	return []classDefault{
		{"health", 250 * time.Millisecond, 0.99},
		{"standard", time.Second, 0.99},
		{"monte_carlo", 5 * time.Second, 0.95},
		{"sensitivity", 5 * time.Second, 0.95},
		{"complex", 20 * time.Second, 0.95},
	}
}

// Defaults returns the objectives for a workload with the given classes: the
// availability of all valid traffic, the latency of each class of the built-in
// workload, and that invalid input is refused rightly. A class that nobody knows
// has no latency to be held to.
func Defaults(classes []string) []Objective {
	all := []Objective{{Name: "availability", Class: finding.AllTraffic, Kind: Availability, Target: 0.99}}
	for _, d := range classDefaults() {
		if slices.Contains(classes, d.class) {
			all = append(all, Objective{Name: d.class + "_latency", Class: d.class, Kind: Latency, Target: d.target, Threshold: d.threshold})
		}
	}
	if slices.Contains(classes, Invalid) {
		all = append(all, Objective{Name: "invalid_refused", Class: Invalid, Kind: Availability, Target: 0.999})
	}
	return all
}
