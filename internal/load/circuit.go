package load

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"soakd/internal/load/schedule"
)

// FullFactor is the whole rate, in ppm.
const FullFactor = uint32(schedule.FullFactor)

// CircuitConfig says when the load is lowered for a target that is unwell, and
// how it comes back.
type CircuitConfig struct {
	// ErrorRatio is the share of failed requests, above 0 and up to 1, at which
	// the target counts as unwell; 0 turns the circuit off.
	ErrorRatio float64
	// For is how long the ratio must hold before the circuit opens; > 0.
	For time.Duration
	// MinRequests is how many requests must have finished before their ratio
	// means anything; > 0.
	MinRequests int64
	// Trickle is the share of the rate that is left while the circuit is open, in
	// ppm, 1..[FullFactor].
	Trickle uint32
	// MinTrickle is the rate that is left at the least, so that somebody notices
	// when the target is well again; never more than the shape's own.
	MinTrickle schedule.Rate
	// Steps are the shares of the rate on the way back, in ppm, rising.
	Steps []uint32
	// StepFor is how long the trickle and each step must go well; > 0.
	StepFor time.Duration
}

// DefaultCircuit opens when half of the requests fail for 30 s, leaves 1 % of the
// rate or 0.2 requests a second, and comes back over 10, 25, 50 and 100 %.
func DefaultCircuit() CircuitConfig {
	return CircuitConfig{
		ErrorRatio: 0.5, For: 30 * time.Second, MinRequests: 20,
		Trickle: 10_000, MinTrickle: 200_000,
		Steps: []uint32{100_000, 250_000, 500_000, FullFactor}, StepFor: 10 * time.Second,
	}
}

// Validate returns every mistake. Nothing of a circuit that is off matters.
func (c CircuitConfig) Validate() error {
	if c.ErrorRatio == 0 {
		return nil
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("circuit: "+format, args...))
		}
	}
	check(c.ErrorRatio > 0 && c.ErrorRatio <= 1, "the error ratio %v must be above 0 and up to 1, or 0 for no circuit", c.ErrorRatio)
	check(c.For > 0, "the time for which the ratio must hold, %v, must be above 0s", c.For)
	check(c.MinRequests > 0, "%d requests are too few to judge by; at least 1 is needed", c.MinRequests)
	check(c.Trickle > 0 && c.Trickle <= FullFactor, "a trickle of %d ppm must be 1 to %d", c.Trickle, FullFactor)
	check(c.StepFor > 0, "the time of a step, %v, must be above 0s", c.StepFor)
	for i, step := range c.Steps {
		check(step > 0 && step <= FullFactor, "step %d of %d ppm must be 1 to %d", i+1, step, FullFactor)
		check(i == 0 || step > c.Steps[i-1], "step %d of %d ppm must be above the one before", i+1, step)
	}
	return errors.Join(errs...)
}

// CircuitState is where a circuit stands. It is a label value.
type CircuitState string

// The states of a circuit.
const (
	// CircuitClosed: the whole load flows.
	CircuitClosed CircuitState = "closed"
	// CircuitOpen: a trickle is left.
	CircuitOpen CircuitState = "open"
	// CircuitRecovering: the load comes back in steps.
	CircuitRecovering CircuitState = "recovering"
)

// CircuitStates lists every state.
func CircuitStates() []CircuitState {
	return []CircuitState{CircuitClosed, CircuitOpen, CircuitRecovering}
}

// CircuitStatus is a circuit at one moment.
type CircuitStatus struct {
	State CircuitState
	// Step is the number of the step while recovering, from 0.
	Step int
	// Since is when the state or step began, since the start of the run.
	Since time.Duration
	// Trips counts how often the circuit opened from closed; Relapses how often
	// a step went wrong and the load fell to the trickle again.
	Trips, Relapses int64
}

// CircuitEvent is a change of state or step.
type CircuitEvent struct {
	At   time.Duration
	From CircuitState
	To   CircuitState
	// Text says for the log what happened and why.
	Text string
}

// circuitParts is into how many parts For is divided. Each of them must be bad by
// itself: an outage that is clearly shorter than For does not open the circuit,
// though it may be most of what failed within it.
const circuitParts = 6

// maxObserveGap is how far two observations may lie apart. Over a longer gap
// soakd itself stood still, and what failed says nothing about the target.
const maxObserveGap = 10 * time.Second

// tally counts the requests that finished since a moment.
type tally struct {
	since            time.Duration
	finished, failed int64
}

func (t *tally) add(finished, failed int64) {
	t.finished += finished
	t.failed += failed
}

// bad reports whether the share of failures is at or above a ratio; false when
// nothing finished.
func (t tally) bad(ratio float64) bool {
	return t.finished > 0 && float64(t.failed) >= ratio*float64(t.finished)
}

// over prints the figures of a tally.
func (t tally) over(now time.Duration) string {
	percent := 0.0
	if t.finished > 0 {
		percent = 100 * float64(t.failed) / float64(t.finished)
	}
	return fmt.Sprintf("%.0f %% of %d requests failed over %v", percent, t.finished, (now - t.since).Round(time.Second))
}

// Circuit lowers the load for a target that is unwell. It knows no clock: its
// state follows from what it observed.
//
//	closed      every part of the last For was bad          -> open
//	open        StepFor went well, with at least one answer -> recovering, step 0
//	recovering  StepFor went well                           -> next step, at last closed
//	            MinRequests in a row, or the step, were bad -> open
//
// Bad means a share of failures of ErrorRatio or more. A time in which nothing
// finished is neither good nor bad, so a black hole keeps the circuit open until
// probes run into their time limit, which counts as failure, or succeed.
//
// It may be used by several goroutines at the same time.
type Circuit struct {
	cfg CircuitConfig

	mu     sync.Mutex
	status CircuitStatus
	// at, finished and failed are those of the last observation.
	at               time.Duration
	finished, failed int64
	// part is what is being collected: while closed a part of For, while
	// recovering the last MinRequests.
	part tally
	// whole is, while closed, the bad parts in a row; otherwise the whole stage.
	whole tally
}

// NewCircuit returns a closed circuit at the start of a run.
func NewCircuit(cfg CircuitConfig) (*Circuit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Steps = slices.Clone(cfg.Steps)
	return &Circuit{cfg: cfg, status: CircuitStatus{State: CircuitClosed}}, nil
}

// Status returns where the circuit stands.
func (c *Circuit) Status() CircuitStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// State returns the state alone.
func (c *Circuit) State() CircuitState { return c.Status().State }

// Factor returns the share of a shape's rate that may be sent now, in ppm.
func (c *Circuit) Factor(shape schedule.Rate) uint32 {
	status := c.Status()
	switch status.State {
	case CircuitOpen:
		return c.atLeastTrickle(c.cfg.Trickle, shape)
	case CircuitRecovering:
		return c.atLeastTrickle(c.cfg.Steps[status.Step], shape)
	}
	return FullFactor
}

// atLeastTrickle raises a factor to where MinTrickle remains of a rate:
//
//	ceil(MinTrickle * 10^6 / rate) ppm, at most 10^6
func (c *Circuit) atLeastTrickle(factor uint32, rate schedule.Rate) uint32 {
	if rate == 0 {
		return factor
	}
	// Below 10^12 millionths a second (a million arrivals) the product fits.
	least := (uint64(c.cfg.MinTrickle)*uint64(FullFactor) + uint64(rate) - 1) / uint64(rate)
	return max(factor, uint32(min(least, uint64(FullFactor))))
}

// Observe takes how many requests have finished and failed (see
// [Outcome.Unwell]) since the start of the run, at a time since that start. It is
// called about once a second, at least every 10 s. It returns what changed and
// whether anything did.
func (c *Circuit) Observe(now time.Duration, finished, failed int64) (CircuitEvent, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cfg.ErrorRatio == 0 {
		return CircuitEvent{}, false
	}
	gap, newlyFinished, newlyFailed := now-c.at, finished-c.finished, failed-c.failed
	c.at, c.finished = now, finished
	if gap < 0 || gap > maxObserveGap || newlyFinished < 0 || newlyFailed < 0 {
		c.failed = failed
		c.forget(now)
		return CircuitEvent{}, false
	}
	// A request may be counted as failed a moment before it counts as finished:
	// what is ahead belongs to the next observation.
	newlyFailed = min(newlyFailed, newlyFinished)
	c.failed += newlyFailed
	c.part.add(newlyFinished, newlyFailed)
	if c.status.State == CircuitClosed {
		return c.watch(now)
	}
	c.whole.add(newlyFinished, newlyFailed)
	return c.recover(now)
}

// forget starts the current state's observations anew.
func (c *Circuit) forget(now time.Duration) {
	c.part, c.whole = tally{since: now}, tally{since: now}
}

// watch looks for a target that becomes unwell.
func (c *Circuit) watch(now time.Duration) (CircuitEvent, bool) {
	if now-c.part.since < c.cfg.For/circuitParts {
		return CircuitEvent{}, false
	}
	if c.part.finished == 0 {
		c.part.since = now
		return CircuitEvent{}, false
	}
	if c.part.finished < (c.cfg.MinRequests+circuitParts-1)/circuitParts {
		return CircuitEvent{}, false
	}
	part := c.part
	c.part = tally{since: now}
	if !part.bad(c.cfg.ErrorRatio) {
		c.whole = tally{since: now}
		return CircuitEvent{}, false
	}
	if c.whole.finished == 0 {
		c.whole.since = part.since
	}
	c.whole.add(part.finished, part.failed)
	if now-c.whole.since < c.cfg.For || c.whole.finished < c.cfg.MinRequests {
		return CircuitEvent{}, false
	}
	c.status.Trips++
	return c.enter(now, CircuitOpen, 0, "load lowered to a trickle: "+c.whole.over(now)), true
}

// recover watches the trickle and the steps.
func (c *Circuit) recover(now time.Duration) (CircuitEvent, bool) {
	recovering := c.status.State == CircuitRecovering
	if c.part.finished >= c.cfg.MinRequests {
		part := c.part
		c.part = tally{since: now}
		if recovering && part.bad(c.cfg.ErrorRatio) {
			return c.relapse(now, part), true
		}
	}
	if now-c.whole.since < c.cfg.StepFor || c.whole.finished == 0 {
		return CircuitEvent{}, false
	}
	switch bad := c.whole.bad(c.cfg.ErrorRatio); {
	case bad && recovering:
		return c.relapse(now, c.whole), true
	case bad:
		c.forget(now) // still unwell: the next probes count by themselves
		return CircuitEvent{}, false
	}
	return c.advance(now), true
}

func (c *Circuit) relapse(now time.Duration, why tally) CircuitEvent {
	c.status.Relapses++
	text := fmt.Sprintf("load lowered to a trickle again: %s with %s of the load back", why.over(now), percent(c.cfg.Steps[c.status.Step]))
	return c.enter(now, CircuitOpen, 0, text)
}

// advance goes from the trickle to the first step, and from each to the next.
func (c *Circuit) advance(now time.Duration) CircuitEvent {
	next := 0
	if c.status.State == CircuitRecovering {
		next = c.status.Step + 1
	}
	if next == len(c.cfg.Steps) {
		return c.enter(now, CircuitClosed, 0, "the whole load is back: "+c.whole.over(now))
	}
	return c.enter(now, CircuitRecovering, next, fmt.Sprintf("load raised to %s: %s", percent(c.cfg.Steps[next]), c.whole.over(now)))
}

func (c *Circuit) enter(now time.Duration, to CircuitState, step int, text string) CircuitEvent {
	event := CircuitEvent{At: now, From: c.status.State, To: to, Text: text}
	c.status.State, c.status.Step, c.status.Since = to, step, now
	c.forget(now)
	return event
}

// percent prints a factor in ppm.
func percent(ppm uint32) string {
	return fmt.Sprintf("%v %%", math.Round(float64(ppm)/100)/100)
}
