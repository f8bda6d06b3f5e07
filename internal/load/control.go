package load

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"soakd/internal/load/schedule"
)

// Manners say how the engine treats a target that is unwell or asks to be left
// alone. The zero Manners know neither.
type Manners struct {
	// Circuit lowers the load while too many requests fail; nil never does.
	Circuit *Circuit
	// Retry says how Retry-After and 429 are obeyed; the zero policy does not.
	Retry RetryPolicy
	// SharedIdentity tells that the target cannot tell the virtual users apart: what
	// it asks of one it asks of all.
	SharedIdentity bool
	// Ceiling is the highest rate that can ever be set, and in closed mode the rate
	// that all users together keep below; 0 means none.
	Ceiling schedule.Rate
}

// Throttle is what holds the load back at one moment.
type Throttle struct {
	Paused bool
	// Factor is the share of the schedule's rate that is sent, or in closed mode of
	// the users that are active, 0..1.
	Factor float64
	// Circuit is the zero status when there is no circuit.
	Circuit CircuitStatus
	// HeldUsers is how many virtual users are being left alone, Holds how often
	// the target asked for it.
	HeldUsers int
	Holds     HoldCounts
}

// Active reports whether less is sent than the schedule says.
func (t Throttle) Active() bool {
	return t.Paused || t.HeldUsers > 0 || (t.Circuit.State != CircuitClosed && t.Circuit.State != "")
}

// gate makes the users of closed mode wait while their load is lowered.
type gate struct {
	mu sync.Mutex
	// active is how many users may go on: those with the lowest numbers.
	active  int
	changed chan struct{}
}

func newGate(users int) *gate { return &gate{active: users, changed: make(chan struct{})} }

func (g *gate) set(active int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.active == active {
		return
	}
	g.active = active
	close(g.changed)
	g.changed = make(chan struct{})
}

// closedFor returns nil when a user may go on, or a channel that is closed when
// it should ask again.
func (g *gate) closedFor(user int) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if user < g.active {
		return nil
	}
	return g.changed
}

// SetRate makes the schedule a steady one of the given rate from now on. What had
// come together of the next arrival is kept, so that there is neither a gap nor a
// burst. It fails above the ceiling, for a rate of 0 and in closed mode.
func (e *Engine) SetRate(rate schedule.Rate) error {
	switch ceiling := e.cfg.Manners.Ceiling; {
	case e.cfg.Arrivals == nil:
		return errors.New("closed mode has users and no rate that could be set")
	case ceiling > 0 && rate > ceiling:
		return fmt.Errorf("%v arrivals a second are above the ceiling of %v", rate, ceiling)
	}
	shape, err := schedule.Steady(rate)
	if err != nil {
		return err
	}
	e.pacing.Lock()
	defer e.pacing.Unlock()
	if err := e.cfg.Arrivals.SetShape(e.changeAt(), shape); err != nil {
		return err
	}
	e.cfg.Log.Info("the rate was set", "rate", rate.PerSecond())
	e.cfg.Sleeper.Wake() // the next arrival may be due long before the one waited for
	return e.applyFactor()
}

// Pause sends nothing more until Resume; what is in flight finishes. It is no
// error to pause twice.
func (e *Engine) Pause() error { return e.setPaused(true) }

// Resume goes on after Pause: where the schedule is by then, not where it was.
func (e *Engine) Resume() error { return e.setPaused(false) }

func (e *Engine) setPaused(paused bool) error {
	e.pacing.Lock()
	defer e.pacing.Unlock()
	if e.paused != paused {
		e.cfg.Log.Info("the load changes", "paused", paused)
	}
	e.paused = paused
	return e.applyFactor()
}

// Throttle returns what holds the load back now.
func (e *Engine) Throttle() Throttle {
	e.pacing.Lock()
	t := Throttle{Paused: e.paused, Factor: float64(e.factor) / float64(FullFactor)}
	e.pacing.Unlock()
	if e.cfg.Manners.Circuit != nil {
		t.Circuit = e.cfg.Manners.Circuit.Status()
	}
	t.HeldUsers, t.Holds = e.holds.Users(e.now()), e.holds.Counts()
	return t
}

// now is the time since the start; 0 before it.
func (e *Engine) now() time.Duration {
	if start := e.start.Load(); start != nil {
		return time.Since(*start)
	}
	return 0
}

// changeAt is from when on a change of the schedule holds: now, or when an arrival
// fell due that the pacer has not got to yet. A change at a later time would move
// that arrival's due time there and so hide how late it is. pacing is held.
func (e *Engine) changeAt() time.Duration {
	now := e.now()
	if _, due, ok := e.cfg.Arrivals.Peek(); ok {
		return min(now, due)
	}
	return now
}

// applyFactor makes the load what pause and circuit leave of it. pacing is held.
func (e *Engine) applyFactor() error {
	now := e.now()
	e.factor = FullFactor
	if c := e.cfg.Manners.Circuit; c != nil {
		var rate schedule.Rate
		if e.cfg.Arrivals != nil {
			rate = e.cfg.Arrivals.Shape().RateAt(now)
		}
		e.factor = c.Factor(rate)
	}
	if e.paused {
		e.factor = 0
	}
	if e.cfg.Arrivals == nil {
		// At least one user stays, to notice when the target is well again.
		active := int(uint64(e.cfg.Closed.Users) * uint64(e.factor) / uint64(FullFactor))
		if e.factor > 0 {
			active = max(active, 1)
		}
		e.gate.set(active)
		return nil
	}
	if e.cfg.Arrivals.Factor() == e.factor {
		return nil
	}
	if err := e.cfg.Arrivals.SetFactor(e.changeAt(), e.factor); err != nil {
		return err
	}
	e.cfg.Sleeper.Wake()
	return nil
}

// circuitEvery is how often the circuit looks at what became of the requests.
const circuitEvery = time.Second

// watchCircuit lets the circuit look at the requests so far and do what follows.
func (e *Engine) watchCircuit() {
	c := e.cfg.Manners.Circuit
	if c == nil {
		return
	}
	event, changed := c.Observe(e.now(), e.Counts().Finished, e.unwell.Load())
	if changed {
		e.cfg.Log.Warn("circuit: "+event.Text, "from", string(event.From), "to", string(event.To))
	}
	e.pacing.Lock()
	defer e.pacing.Unlock()
	if err := e.applyFactor(); err != nil { // cannot happen: time does not run backwards
		e.cfg.Log.Error("the load could not be changed", "err", err)
	}
}

// heed takes note of what a result says about how the target wants to be treated.
func (e *Engine) heed(f *flight, result *Result, err error) {
	if result.Outcome.Unwell() {
		if _, own := SystemError(err); !own {
			e.unwell.Add(1)
		}
	}
	if result.Status != http.StatusTooManyRequests && result.Status != http.StatusServiceUnavailable {
		return
	}
	asked := f.answer.Get("Retry-After")
	hold, ok := e.cfg.Manners.Retry.HoldFor(result.Status, asked, targetTime(f.answer.Get("Date"), result.Done), e.cfg.Manners.SharedIdentity)
	if !ok {
		return
	}
	now := e.now()
	e.holds.Apply(hold, f.user.Index, now)
	if last := e.lastHold.Load(); last == 0 || int64(now)-last >= int64(time.Minute) {
		if e.lastHold.CompareAndSwap(last, max(int64(now), 1)) {
			e.cfg.Log.Warn("the target asks to be left alone; the next such line comes in a minute at the earliest",
				"status", result.Status, "retry_after", brief(asked), "for", hold.For, "everybody", hold.Everybody, "capped", hold.Capped)
		}
	}
}

// targetTime is when an answer was made by the target's own clock, so that a date
// in Retry-After means the same to both; else when it came.
func targetTime(date string, came time.Time) time.Time {
	if made, err := http.ParseTime(date); err == nil {
		return made
	}
	return came
}
