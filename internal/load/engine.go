package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"soakd/internal/load/schedule"
)

// EngineConfig says what the engine sends and within which bounds.
type EngineConfig struct {
	// Arrivals are those of the open loop; nil in closed mode.
	Arrivals *schedule.Arrivals
	// Closed describes the users of closed mode; nil in the open loop.
	Closed *ClosedConfig
	Mix    *Mix
	Client *Client
	// User gives the identity of a virtual user by its index.
	User func(int) User
	// MaxInFlight bounds the requests that are in flight at the same time, and
	// with HTTP/1.1 the connections; > 0.
	MaxInFlight int
	// MaxWaiting bounds the arrivals that wait for a place in flight; >= 0. One
	// more is dropped.
	MaxWaiting int
	// MaxLateness is how long after its due time an arrival may still be sent;
	// 0 means the time limit of its case.
	MaxLateness time.Duration
	// Ahead is how many connections are kept idle, dialled before they are needed;
	// 0 means one for each 1 000 arrivals a second of the shape's peak, 2 at least.
	// It is at most MaxInFlight.
	Ahead int
	// Growth is by how many connections a second the pool may grow; 0 means 100.
	// A connection that takes the place of one that ended is no growth.
	Growth float64
	// IdleTimeout closes connections beyond Ahead that were idle for so long; 0 never.
	IdleTimeout time.Duration
	// ResolveEvery is how often the target's name is resolved again; 0 never.
	ResolveEvery time.Duration
	// Duration ends the schedule; 0 means never.
	Duration time.Duration
	// Grace is how long requests may go on once the run was told to stop; >= 0.
	Grace   time.Duration
	Manners Manners
	Sink    Sink
	Lag     LagSink
	// Sleeper waits for due times; nil means the runtime's timers, up to 1 ms late.
	Sleeper Sleeper
	Log     *slog.Logger
}

// Engine sends arrivals and accounts for every one of them. In the open loop they
// come when the schedule says, whether or not earlier ones have been answered; in
// closed mode each user sends its next when the last was answered.
type Engine struct {
	cfg    EngineConfig
	ledger *ledger
	pool   *pool
	// cutting is set once requests in flight are broken off.
	cutting atomic.Bool
	// lastNotBuilt is when a request that could not be built was last logged, in
	// nanoseconds since the start; 0 is never.
	lastNotBuilt atomic.Int64
	// start is nil until Run begins.
	start atomic.Pointer[time.Time]

	// examples keeps one failed request of each kind.
	examples *examples
	// holds knows which virtual users are left alone, gate which users of closed
	// mode may go on, ceiling how fast they may together (nil: as they can).
	holds   *Holds
	gate    *gate
	ceiling *Ceiling
	// moved tells the users of closed mode which addresses the target has left;
	// nil until its name was resolved again.
	moved atomic.Pointer[func(address string) bool]
	// unwell counts the requests that failed because the target is unwell.
	unwell atomic.Int64
	// lastHold is when a hold was last logged; 0 is never.
	lastHold atomic.Int64

	// pacing guards the arrivals, which the pacer and those who change the rate
	// use, and what they are lowered by.
	pacing sync.Mutex
	paused bool
	factor uint32 // ppm
	// ended is set when the schedule is over.
	ended atomic.Bool
}

const (
	leastAhead    = 2
	aheadEvery    = 1000 // arrivals a second
	defaultGrowth = 100
)

// NewEngine checks the configuration and returns an engine that has sent nothing.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	switch {
	case cfg.Mix == nil || cfg.Client == nil || cfg.User == nil || cfg.Sink == nil || cfg.Lag == nil || cfg.Log == nil:
		return nil, errors.New("load engine: a part is missing")
	case (cfg.Arrivals == nil) == (cfg.Closed == nil):
		return nil, errors.New("load engine: it needs either arrivals or closed users")
	case cfg.MaxInFlight < 1:
		return nil, fmt.Errorf("load engine: %d requests in flight: at least 1 is needed", cfg.MaxInFlight)
	case cfg.MaxWaiting < 0 || cfg.MaxLateness < 0 || cfg.Duration < 0 || cfg.Grace < 0 || cfg.Ahead < 0 || cfg.Growth < 0 || cfg.IdleTimeout < 0 || cfg.ResolveEvery < 0:
		return nil, errors.New("load engine: a bound is negative")
	}
	if cfg.Closed != nil {
		if err := cfg.Closed.validate(cfg.MaxInFlight); err != nil {
			return nil, err
		}
	}
	if cfg.Ahead == 0 && cfg.Arrivals != nil {
		// With answers within a millisecond that is as many as will be busy.
		cfg.Ahead = max(int(cfg.Arrivals.Shape().Peak().PerSecond()/aheadEvery), leastAhead)
	}
	cfg.Ahead = min(cfg.Ahead, cfg.MaxInFlight)
	if cfg.Growth == 0 {
		cfg.Growth = defaultGrowth
	}
	if cfg.Sleeper == nil {
		cfg.Sleeper = NewTimerSleeper()
	}
	e := &Engine{cfg: cfg, ledger: newLedger(), examples: newExamples(cfg.Mix.workload), holds: NewHolds(cfg.Mix.users), factor: FullFactor}
	if cfg.Closed == nil {
		if err := e.checkPeak(); err != nil {
			return nil, err
		}
		return e, nil
	}
	e.gate = newGate(cfg.Closed.Users)
	if cfg.Manners.Ceiling > 0 {
		var err error
		if e.ceiling, err = NewCeiling(cfg.Manners.Ceiling); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// checkPeak refuses a shape that rises above the ceiling.
func (e *Engine) checkPeak() error {
	ceiling, peak := e.cfg.Manners.Ceiling, e.cfg.Arrivals.Shape().Peak()
	if ceiling > 0 && peak > ceiling {
		return fmt.Errorf("load engine: the shape rises to %v arrivals a second, above the ceiling of %v", peak, ceiling)
	}
	return nil
}

// Counts returns the account of all arrivals at this moment.
func (e *Engine) Counts() Counts { return e.ledger.snapshot() }

// Examples returns the first failed request of each case and outcome so far, in the
// order of the workload's cases.
func (e *Engine) Examples() []Example { return e.examples.list() }

// TargetRate returns the rate that is aimed at now, in arrivals a second, of a
// shard its part; 0 before the start, after the end, and in closed mode, which
// aims at none.
func (e *Engine) TargetRate() float64 {
	if e.start.Load() == nil || e.ended.Load() || e.cfg.Arrivals == nil {
		return 0
	}
	e.pacing.Lock()
	defer e.pacing.Unlock()
	return e.cfg.Arrivals.RateAt(e.sinceStart()).PerSecond() / float64(e.cfg.Arrivals.Shards())
}

// Phase is where a load is on its way.
type Phase string

// The phases of a load.
const (
	// PhaseRising, PhaseFalling: the rate grows or shrinks, or in closed mode users
	// still begin.
	PhaseRising  Phase = "rising"
	PhaseFalling Phase = "falling"
	// PhaseSteady: neither.
	PhaseSteady Phase = "steady"
	// PhaseEnded: the schedule is over.
	PhaseEnded Phase = "ended"
)

// Phases lists every phase.
func Phases() []Phase { return []Phase{PhaseRising, PhaseSteady, PhaseFalling, PhaseEnded} }

// Phase returns where the load is on its way, by its schedule: that it is paused, or
// lowered by the circuit, changes nothing; "" before the start.
func (e *Engine) Phase() Phase {
	if e.start.Load() == nil {
		return ""
	}
	now := e.sinceStart()
	if e.ended.Load() || (e.cfg.Duration > 0 && now >= e.cfg.Duration) {
		return PhaseEnded
	}
	if closed := e.cfg.Closed; closed != nil {
		if closed.SpawnRate > 0 && now.Seconds() < float64(closed.Users-1)/closed.SpawnRate {
			return PhaseRising
		}
		return PhaseSteady
	}
	e.pacing.Lock()
	defer e.pacing.Unlock()
	switch e.cfg.Arrivals.PhaseAt(now) {
	case schedule.Rising:
		return PhaseRising
	case schedule.Falling:
		return PhaseFalling
	default:
		return PhaseSteady
	}
}

// sinceStart returns the time since Run began.
func (e *Engine) sinceStart() time.Duration { return time.Since(*e.start.Load()) }

// Run sends until the schedule ends or ctx does. When the schedule ends, what
// still waits is sent and everything may finish, each within its own time limit.
// When ctx ends, what waits is dropped, and requests in flight have the grace
// period to finish and are cut after it. Run returns when all of its goroutines
// have ended.
func (e *Engine) Run(ctx context.Context) {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	if e.cfg.Closed != nil {
		e.runClosed(ctx, requests, cut)
		return
	}
	defer e.cfg.Sleeper.Close()
	e.pool = newPool(requests, e)
	e.pool.prime(ctx)
	start := time.Now()
	e.start.Store(&start)

	defer e.startTending(ctx)()
	e.pace(ctx)
	e.ended.Store(true)
	e.end(ctx, cut)
	e.pool.close()
}

// startTending starts tend and returns what ends and joins it.
func (e *Engine) startTending(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var tender sync.WaitGroup
	tender.Go(func() { e.tend(ctx) })
	return func() {
		cancel()
		tender.Wait()
	}
}

// end lets everything finish; see Run.
func (e *Engine) end(ctx context.Context, cut func()) {
	drained := e.pool.drain()
	select {
	case <-drained:
		return
	case <-ctx.Done():
	}
	e.pool.refuse()
	grace := time.NewTimer(e.cfg.Grace)
	defer grace.Stop()
	select {
	case <-drained:
	case <-grace.C:
		e.cutAll(cut)
		e.pool.cut()
		<-drained
	}
}

func (e *Engine) cutAll(cut func()) {
	e.cfg.Log.Warn("cutting the requests that are still in flight", "in_flight", e.Counts().InFlight, "grace", e.cfg.Grace)
	e.cutting.Store(true)
	cut()
}

// tendEvery is how often the pool is looked after.
const tendEvery = 100 * time.Millisecond

// tend looks after the pool and the circuit until ctx ends.
func (e *Engine) tend(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	resolved, watched := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if now.Sub(watched) >= circuitEvery {
				watched = now
				e.watchCircuit()
			}
			if e.pool != nil {
				e.pool.tend(now)
			}
			if e.cfg.ResolveEvery > 0 && now.Sub(resolved) >= e.cfg.ResolveEvery {
				resolved = now
				e.followTarget(ctx)
			}
		}
	}
}

// followTarget resolves the target's name again and moves to where it now is.
func (e *Engine) followTarget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	moved, err := e.cfg.Client.dialer.Refresh(ctx)
	if err != nil {
		e.cfg.Log.Warn("the target's name could not be resolved again: its addresses stay as they were", "err", err)
		return
	}
	if e.pool == nil {
		e.moved.Store(&moved)
		return
	}
	if n := e.pool.moveAway(moved); n > 0 {
		e.cfg.Log.Info("the target has moved: connections to its old addresses end", "connections", n)
	}
}

// wakeEvery is the least time from one wake-up of the pacer to the next. Above
// 4 000 arrivals a second it sends several at once, each up to this late; a wake-up
// costs more than a request.
const wakeEvery = 250 * time.Microsecond

// pace admits each arrival when it falls due.
func (e *Engine) pace(ctx context.Context) {
	defer context.AfterFunc(ctx, e.cfg.Sleeper.Wake)()
	woke := -wakeEvery
	for ctx.Err() == nil {
		n, due, ok := e.peek()
		last := !ok || (e.cfg.Duration > 0 && due >= e.cfg.Duration)
		if last {
			due = e.cfg.Duration
			if due == 0 {
				due = e.sinceStart() + time.Hour // nothing is due: wait for a change
			}
		}
		if now := e.sinceStart(); now < due {
			e.cfg.Sleeper.Until(e.start.Load().Add(max(due, woke+wakeEvery)))
			woke = e.sinceStart()
			continue // something may have changed meanwhile
		} else if !last {
			e.cfg.Lag.Lag(now - due)
		}
		// The run lasts as long as was asked for, not until its last arrival.
		if last && e.cfg.Duration > 0 {
			return
		}
		if e.advance(n, due) {
			e.admit(n, due)
		}
	}
}

func (e *Engine) peek() (n int64, due time.Duration, ok bool) {
	e.pacing.Lock()
	defer e.pacing.Unlock()
	return e.cfg.Arrivals.Peek()
}

// advance takes the arrival that was peeked at, unless a change of the rate has
// moved it meanwhile.
func (e *Engine) advance(n int64, due time.Duration) bool {
	e.pacing.Lock()
	defer e.pacing.Unlock()
	if now, at, ok := e.cfg.Arrivals.Peek(); !ok || now != n || at != due {
		return false
	}
	e.cfg.Arrivals.Advance()
	return true
}

func (e *Engine) admit(n int64, due time.Duration) {
	arrival := e.cfg.Mix.Next(n, due)
	if arrival.InsteadOf != nil {
		e.ledger.substitute(arrival.InsteadOf, SubstituteLimit)
	}
	e.ledger.scheduled()
	if e.holds.Held(arrival.User, due) {
		e.ledger.drop(DropRetryAfter)
		return
	}
	e.pool.admit(arrival)
}

func (e *Engine) allowedLateness(c *Case) time.Duration {
	if e.cfg.MaxLateness > 0 {
		return e.cfg.MaxLateness
	}
	return c.Timeout
}

// build makes the request of an arrival, or the one of its case's fallback when
// the virtual user lacks the state for it. When neither can be built the arrival
// is dropped and false returned.
func (e *Engine) build(a Arrival) (*flight, bool) {
	f := e.cfg.Client.take(a, e.cfg.User(a.User))
	err := e.cfg.Client.prepare(f, e.cfg.Mix)
	if errors.Is(err, ErrNoState) && f.c.Fallback != nil {
		e.ledger.substitute(f.c, SubstituteNoState)
		f.forget()
		f.c = f.c.Fallback
		err = e.cfg.Client.prepare(f, e.cfg.Mix)
	}
	if err != nil {
		e.cfg.Client.giveBack(f)
		e.notBuilt(a, err)
		return nil, false
	}
	return f, true
}

// finish judges what came of a flight that was sent, hands the result on and
// gives the flight back.
func (e *Engine) finish(f *flight, done time.Time, err error) {
	defer e.cfg.Client.giveBack(f)
	if err != nil && e.cutting.Load() {
		e.ledger.cut()
		return
	}
	result := e.cfg.Client.judge(f, done, err)
	result.ResponseTime = done.Sub(e.start.Load().Add(f.arrival.Due))
	if result.Failed() {
		e.examples.keep(&e.cfg, f, result)
	}
	e.heed(f, result, err)
	e.cfg.Sink.Done(result)
	e.ledger.finished()
}

// lost ends an arrival for which no connection could be had.
func (e *Engine) lost(a Arrival, now time.Time, err error) {
	f := e.cfg.Client.take(a, e.cfg.User(a.User))
	f.sent = now
	f.wire.Identify()
	e.ledger.sent()
	e.finish(f, now, err)
}

// notBuilt counts an arrival whose request could not be built and logs the first
// of them, and then one a minute: a token that cannot be had concerns them all.
func (e *Engine) notBuilt(arrival Arrival, err error) {
	e.ledger.drop(DropNotBuilt)
	now := e.sinceStart()
	last := e.lastNotBuilt.Load()
	if (last != 0 && now-time.Duration(last) < time.Minute) || !e.lastNotBuilt.CompareAndSwap(last, max(int64(now), 1)) {
		return
	}
	e.cfg.Log.Error("a request could not be built; the next such line comes in a minute at the earliest",
		"case", arrival.Case.Name, "arrival", arrival.N, "not_built", e.Counts().Dropped[DropNotBuilt], "err", err)
}
