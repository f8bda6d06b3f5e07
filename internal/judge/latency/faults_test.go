package latency_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"soakd/internal/judge/finding"
)

// fault is a change of the target that must be found, by its name, and nothing else.
type fault struct {
	name    string
	hits    func(c *kindOfCase) bool
	factor  func(minutes float64) float64 // since the onset
	tenfold float64
	kind    finding.Kind
	subject finding.Subject
	// within is how many minutes after the onset it must be found.
	within int
	// misses is how many of five may be found later: the noise of all traffic alike has
	// a standard deviation of 5 %, that of a case 2 % a minute.
	misses int
}

func only(name string) func(*kindOfCase) bool {
	return func(c *kindOfCase) bool { return c.name == name }
}

func all(*kindOfCase) bool { return true }

func by(factor float64) func(float64) float64 { return func(float64) float64 { return factor } }

func drift(hourly float64) func(float64) float64 {
	return func(minutes float64) float64 { return math.Pow(1+hourly, minutes/60) }
}

func faults() []fault {
	standard := func(c *kindOfCase) bool { return c.class == "standard" }
	one, class, everything := finding.Subject{Case: "forecast"}, finding.Subject{Class: "standard"}, finding.Subject{Class: finding.AllTraffic}
	return []fault{
		{"forecast +20 %", only("forecast"), by(1.2), 0, finding.Latency, one, 10, 1},
		{"forecast +50 %", only("forecast"), by(1.5), 0, finding.Latency, one, 10, 0},
		{"forecast x3", only("forecast"), by(3), 0, finding.Latency, one, 10, 0},
		{"sensitivity +50 %", only("sensitivity"), by(1.5), 0, finding.Latency, finding.Subject{Case: "sensitivity"}, 12, 0},
		{"health +20 %", only("health"), by(1.2), 0, finding.Latency, finding.Subject{Case: "health"}, 12, 0},
		{"class +20 %", standard, by(1.2), 0, finding.Latency, class, 12, 0},
		{"class x3", standard, by(3), 0, finding.Latency, class, 12, 0},
		{"all +20 %", all, by(1.2), 0, finding.Latency, everything, 120, 1},
		{"all +50 %", all, by(1.5), 0, finding.Latency, everything, 10, 0},
		{"all x3", all, by(3), 0, finding.Latency, everything, 10, 0},
		{"tail of forecast", only("forecast"), by(1), 0.01, finding.LatencyTail, one, 15, 0},
		{"tail of class", standard, by(1), 0.01, finding.LatencyTail, class, 30, 0},
		{"tail of all", all, by(1), 0.01, finding.LatencyTail, everything, 30, 0},
		{"drift of forecast", only("forecast"), drift(0.05), 0, finding.LatencyDrift, one, 180, 0},
		{"drift of class", standard, drift(0.05), 0, finding.LatencyDrift, class, 180, 0},
		{"drift of all", all, drift(0.05), 0, finding.LatencyDrift, everything, 12 * 60, 0},
	}
}

// story is what became of one run with a fault.
type story struct {
	found  int // minutes after the onset, -1 when it was not
	dating int // minutes between the onset and what was taken for it
	others []string
}

// tell runs a world with a fault that begins within a minute.
func tell(t testing.TB, seed uint64, f *fault, before, after int, change func(*world)) story {
	w := newWorld(seed)
	onset := float64(before) + w.random.Float64()
	w.slowed = func(c *kindOfCase, at float64) (float64, float64) {
		if at < onset || !f.hits(c) {
			return 1, 0
		}
		return f.factor(at - onset), f.tenfold
	}
	if change != nil {
		change(w)
	}
	d := detector(t)
	s := story{found: -1}
	for w.minute < before+after {
		for _, x := range d.Observe(w.step()) {
			if x.Kind == f.kind && x.Subject == f.subject && float64(w.minute) > onset {
				if x.Over {
					s.others = append(s.others, "over")
				} else if s.found < 0 {
					s.found = w.minute - int(math.Round(onset))
					s.dating = int(math.Round(float64(x.Onset.Unix()/60-startMinute) - onset))
				}
				continue
			}
			if other := fmt.Sprintf("%s %v", x.Kind, x.Subject); !slices.Contains(s.others, other) {
				s.others = append(s.others, other)
			}
		}
	}
	return s
}
