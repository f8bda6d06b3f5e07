package load

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/load/schedule"
)

// patient feeds a circuit once a second.
type patient struct {
	circuit          *Circuit
	now              time.Duration
	finished, failed int64
	events           []string
}

func newPatient(t *testing.T, cfg CircuitConfig) *patient {
	t.Helper()
	circuit, err := NewCircuit(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &patient{circuit: circuit}
}

// lasts lets some seconds pass in each of which so many requests finish and fail.
func (p *patient) lasts(seconds int, finished, failed int64) {
	for range seconds {
		p.now += time.Second
		p.finished, p.failed = p.finished+finished, p.failed+failed
		if e, changed := p.circuit.Observe(p.now, p.finished, p.failed); changed {
			p.events = append(p.events, fmt.Sprintf("%v %s>%s %s", e.At, e.From, e.To, e.Text))
		}
	}
}

func (p *patient) check(t *testing.T, state CircuitState, step int, trips, relapses int64) {
	t.Helper()
	got := p.circuit.Status()
	if got.State != state || got.Step != step || got.Trips != trips || got.Relapses != relapses {
		t.Errorf("at %v the circuit is %s, step %d, after %d trips and %d relapses; want %s, %d, %d, %d",
			p.now, got.State, got.Step, got.Trips, got.Relapses, state, step, trips, relapses)
	}
	if p.circuit.State() != state {
		t.Errorf("State is %s, want %s", p.circuit.State(), state)
	}
}

func (p *patient) checkEvents(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(p.events, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(p.events, "\n"), strings.Join(want, "\n"))
	}
}

func TestCircuitTripsAndComesBackInSteps(t *testing.T) {
	p := newPatient(t, DefaultCircuit())
	p.lasts(60, 100, 10)
	p.lasts(29, 27, 17)
	p.check(t, CircuitClosed, 0, 0, 0)
	p.lasts(1, 27, 17)
	p.check(t, CircuitOpen, 0, 1, 0)
	if got := p.circuit.Status().Since; got != 90*time.Second {
		t.Errorf("open since %v, want 1m30s", got)
	}
	p.lasts(20, 1, 1)
	p.lasts(10, 1, 0)
	p.check(t, CircuitRecovering, 0, 1, 0)
	p.lasts(39, 30, 3)
	p.check(t, CircuitRecovering, 3, 1, 0)
	p.lasts(1, 30, 3)
	p.check(t, CircuitClosed, 0, 1, 0)
	p.checkEvents(t,
		"1m30s closed>open load lowered to a trickle: 63 % of 810 requests failed over 30s",
		"2m0s open>recovering load raised to 10 %: 0 % of 10 requests failed over 10s",
		"2m10s recovering>recovering load raised to 25 %: 10 % of 300 requests failed over 10s",
		"2m20s recovering>recovering load raised to 50 %: 10 % of 300 requests failed over 10s",
		"2m30s recovering>recovering load raised to 100 %: 10 % of 300 requests failed over 10s",
		"2m40s recovering>closed the whole load is back: 10 % of 300 requests failed over 10s",
	)
}

func TestCircuitFallsBackFromAStep(t *testing.T) {
	p := newPatient(t, DefaultCircuit())
	p.lasts(30, 100, 100)
	p.lasts(20, 2, 0) // the trickle and the first step go well
	p.check(t, CircuitRecovering, 1, 1, 0)
	p.lasts(3, 25, 0)
	p.lasts(1, 25, 13) // 20 in a row are enough to judge by, whatever came before
	p.check(t, CircuitOpen, 0, 1, 1)
	p.lasts(20, 2, 0)
	p.check(t, CircuitRecovering, 1, 1, 1)
	p.lasts(9, 1, 1)
	p.check(t, CircuitRecovering, 1, 1, 1)
	p.lasts(1, 1, 1) // fewer than 20 are judged at the end of the step
	p.check(t, CircuitOpen, 0, 1, 2)
	p.checkEvents(t,
		"30s closed>open load lowered to a trickle: 100 % of 3000 requests failed over 30s",
		"40s open>recovering load raised to 10 %: 0 % of 20 requests failed over 10s",
		"50s recovering>recovering load raised to 25 %: 0 % of 20 requests failed over 10s",
		"54s recovering>open load lowered to a trickle again: 52 % of 25 requests failed over 1s with 25 % of the load back",
		"1m4s open>recovering load raised to 10 %: 0 % of 20 requests failed over 10s",
		"1m14s recovering>recovering load raised to 25 %: 0 % of 20 requests failed over 10s",
		"1m24s recovering>open load lowered to a trickle again: 100 % of 10 requests failed over 10s with 25 % of the load back",
	)
}

func TestCircuitStaysClosed(t *testing.T) {
	off := DefaultCircuit()
	off.ErrorRatio = 0
	for name, c := range map[string]struct {
		cfg   CircuitConfig
		feeds func(*patient)
	}{
		"just below the ratio": {DefaultCircuit(), func(p *patient) { p.lasts(600, 1000, 499) }},
		"too few requests":     {DefaultCircuit(), func(p *patient) { p.lasts(60, 0, 0); p.lasts(3, 1, 1); p.lasts(600, 0, 0) }},
		"outages of 20 s": {DefaultCircuit(), func(p *patient) {
			for range 20 {
				p.lasts(20, 50, 50)
				p.lasts(20, 50, 0)
			}
		}},
		"one bad second of many requests": {DefaultCircuit(), func(p *patient) {
			for range 20 {
				p.lasts(29, 10, 0)
				p.lasts(1, 10_000, 10_000)
			}
		}},
		"off": {off, func(p *patient) { p.lasts(600, 100, 100) }},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t, c.cfg)
			c.feeds(p)
			p.check(t, CircuitClosed, 0, 0, 0)
			p.checkEvents(t)
		})
	}
}

// At half a request a second 30 s hold too few requests to judge by.
func TestCircuitTakesLongerAtALowRate(t *testing.T) {
	p := newPatient(t, DefaultCircuit())
	for range 100 {
		p.lasts(1, 0, 0)
		p.lasts(1, 1, 1)
	}
	p.checkEvents(t, "40s closed>open load lowered to a trickle: 100 % of 20 requests failed over 40s")
}

// A good answer among two bad ones does not stand for a good time by itself: at
// a low rate the parts grow until they hold 4 requests, a sixth of 20.
func TestCircuitAtALowRateWithGoodAnswers(t *testing.T) {
	p := newPatient(t, DefaultCircuit())
	for i := range 20 {
		p.lasts(5, 0, 0)
		failed := int64(1)
		if i%3 == 2 {
			failed = 0
		}
		p.lasts(1, 1, failed)
	}
	p.checkEvents(t, "2m0s closed>open load lowered to a trickle: 70 % of 20 requests failed over 1m55s")
}

// A pause before the first failure is no time of failure.
func TestCircuitAfterAPause(t *testing.T) {
	p := newPatient(t, DefaultCircuit())
	p.lasts(3600, 0, 0)
	p.lasts(29, 10, 10)
	p.checkEvents(t)
	p.lasts(1, 10, 10)
	p.checkEvents(t, "1h0m30s closed>open load lowered to a trickle: 100 % of 300 requests failed over 30s")
}

func TestCircuitOverABlackHole(t *testing.T) {
	p := newPatient(t, DefaultCircuit())
	p.lasts(60, 100, 0)
	p.lasts(30, 0, 0) // nothing is answered, nothing has timed out yet
	p.check(t, CircuitClosed, 0, 0, 0)
	p.lasts(30, 100, 100)
	p.check(t, CircuitOpen, 0, 1, 0)
	p.lasts(3600, 0, 0) // not even probes finish
	p.check(t, CircuitOpen, 0, 1, 0)
	p.lasts(3600, 1, 1) // probes time out
	p.check(t, CircuitOpen, 0, 1, 0)
	p.lasts(11, 1, 0) // the first of them ends a bad stretch
	p.check(t, CircuitRecovering, 0, 1, 0)
	p.lasts(3600, 0, 0) // a step in which nothing finishes does not end
	p.check(t, CircuitRecovering, 0, 1, 0)
	p.lasts(1, 5, 5)
	p.check(t, CircuitOpen, 0, 1, 1)
}

// What failed while soakd's machine was suspended says nothing about the target.
func TestCircuitForgetsWhatAGapHeld(t *testing.T) {
	p := newPatient(t, DefaultCircuit())
	p.lasts(29, 100, 100)
	p.now += time.Hour
	p.lasts(1, 5000, 5000)
	p.lasts(29, 100, 100)
	p.check(t, CircuitClosed, 0, 0, 0)
	p.lasts(1, 100, 100)
	p.check(t, CircuitOpen, 0, 1, 0)
}

// The two counts are not read at the same moment: a failure may be seen before
// its request counts as finished.
func TestCircuitCountsAFailureThatIsAhead(t *testing.T) {
	p := newPatient(t, DefaultCircuit())
	p.lasts(1, 0, 3)
	p.lasts(29, 10, 10)
	p.checkEvents(t, "30s closed>open load lowered to a trickle: 100 % of 290 requests failed over 30s")
}

func TestCircuitFactor(t *testing.T) {
	cfg := DefaultCircuit()
	open := newPatient(t, cfg)
	open.lasts(30, 100, 100)
	recovering := newPatient(t, cfg)
	recovering.lasts(30, 100, 100)
	recovering.lasts(10, 1, 0)
	for _, c := range []struct {
		rate                           string
		closed, whileOpen, inFirstStep uint32
	}{
		{"1000000", 1_000_000, 10_000, 100_000},
		{"100", 1_000_000, 10_000, 100_000},
		{"20", 1_000_000, 10_000, 100_000},
		{"3", 1_000_000, 66_667, 100_000}, // 0.2 / 3, rounded up
		{"1", 1_000_000, 200_000, 200_000},
		{"0.2", 1_000_000, 1_000_000, 1_000_000},
		{"0.1", 1_000_000, 1_000_000, 1_000_000}, // never above the shape
	} {
		rate, err := schedule.ParseRate(c.rate)
		if err != nil {
			t.Fatal(err)
		}
		if got := newPatient(t, cfg).circuit.Factor(rate); got != c.closed {
			t.Errorf("closed at %s/s: %d ppm, want %d", c.rate, got, c.closed)
		}
		if got := open.circuit.Factor(rate); got != c.whileOpen {
			t.Errorf("open at %s/s: %d ppm, want %d", c.rate, got, c.whileOpen)
		}
		if got := recovering.circuit.Factor(rate); got != c.inFirstStep {
			t.Errorf("first step at %s/s: %d ppm, want %d", c.rate, got, c.inFirstStep)
		}
	}
	if got := open.circuit.Factor(0); got != 10_000 {
		t.Errorf("open at a rate of 0: %d ppm, want 10000", got)
	}
}

func TestCircuitWithoutStepsReturnsAtOnce(t *testing.T) {
	cfg := DefaultCircuit()
	cfg.Steps = nil
	p := newPatient(t, cfg)
	p.lasts(30, 100, 100)
	p.lasts(10, 1, 0)
	p.check(t, CircuitClosed, 0, 1, 0)
}

// A target that fails at random a little more often than the ratio allows opens
// the circuit soon, one that fails clearly less often does not within a day.
func TestCircuitAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	failures := func(n int64, ratio float64) (failed int64) {
		for range n {
			if random.Float64() < ratio {
				failed++
			}
		}
		return failed
	}
	p := newPatient(t, DefaultCircuit())
	for range 86_400 {
		p.lasts(1, 27, failures(27, 0.4))
	}
	p.check(t, CircuitClosed, 0, 0, 0)
	for p.now < 25*time.Hour && p.circuit.State() == CircuitClosed {
		p.lasts(1, 27, failures(27, 0.63))
	}
	if since := p.now - 24*time.Hour; since < 25*time.Second || since > 65*time.Second {
		t.Errorf("the circuit opened after %v, want some 30 s", since)
	}
}

func TestCircuitConfigValidate(t *testing.T) {
	if err := DefaultCircuit().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	bad := CircuitConfig{ErrorRatio: 1.5, Trickle: 2_000_000, Steps: []uint32{0, 500_000, 100_000}}
	_, err := NewCircuit(bad)
	want := `circuit: the error ratio 1.5 must be above 0 and up to 1, or 0 for no circuit
circuit: the time for which the ratio must hold, 0s, must be above 0s
circuit: 0 requests are too few to judge by; at least 1 is needed
circuit: a trickle of 2000000 ppm must be 1 to 1000000
circuit: the time of a step, 0s, must be above 0s
circuit: step 1 of 0 ppm must be 1 to 1000000
circuit: step 3 of 100000 ppm must be above the one before`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	if err := (CircuitConfig{}).Validate(); err != nil {
		t.Errorf("a circuit that is off: %v", err)
	}
}
