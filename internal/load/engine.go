package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// EngineConfig says what the engine sends and within which bounds.
type EngineConfig struct {
	Schedule Schedule
	Mix      *Mix
	Client   *Client
	// User gives the identity of a virtual user by its index.
	User func(int) User
	// MaxInFlight bounds the requests that are in flight at the same time; > 0.
	MaxInFlight int
	// MaxWaiting bounds the arrivals that wait for a place in flight; >= 0. One
	// more is dropped.
	MaxWaiting int
	// MaxLateness is how long after its due time an arrival may still be sent;
	// 0 means the time limit of its case.
	MaxLateness time.Duration
	// Duration ends the schedule; 0 means never.
	Duration time.Duration
	// Grace is how long requests may go on once the run was told to stop; >= 0.
	Grace time.Duration
	Sink  Sink
	Lag   LagSink
	// FineSleep sleeps the last part of a wait, at most fineSleep long; nil
	// leaves it to the runtime's timers, which are late by up to 1 ms.
	FineSleep func(time.Duration)
	Log       *slog.Logger
}

// Engine is the open loop: arrivals come when the schedule says, whether or not
// earlier ones have been answered.
type Engine struct {
	cfg    EngineConfig
	ledger *ledger
	queue  chan Arrival
	bodies sync.Pool
	// lastNotBuilt is when a request that could not be built was last logged, in
	// nanoseconds since the start; 0 is never.
	lastNotBuilt atomic.Int64
	// start is nil until Run begins.
	start atomic.Pointer[time.Time]
}

// NewEngine checks the configuration and returns an engine that has sent nothing.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	switch {
	case cfg.Schedule == nil || cfg.Mix == nil || cfg.Client == nil || cfg.User == nil || cfg.Sink == nil || cfg.Lag == nil || cfg.Log == nil:
		return nil, errors.New("load engine: a part is missing")
	case cfg.MaxInFlight < 1:
		return nil, fmt.Errorf("load engine: %d requests in flight: at least 1 is needed", cfg.MaxInFlight)
	case cfg.MaxWaiting < 0 || cfg.MaxLateness < 0 || cfg.Duration < 0 || cfg.Grace < 0:
		return nil, errors.New("load engine: a bound is negative")
	}
	// A channel without a buffer would drop whenever no worker stands ready; one
	// place is the hand-over itself.
	return &Engine{cfg: cfg, ledger: newLedger(), queue: make(chan Arrival, max(cfg.MaxWaiting, 1))}, nil
}

// Counts returns the account of all arrivals at this moment.
func (e *Engine) Counts() Counts { return e.ledger.snapshot() }

// TargetRate returns the rate that the schedule aims at now, in arrivals a
// second; 0 before the start and after the end.
func (e *Engine) TargetRate() float64 {
	start := e.start.Load()
	if start == nil {
		return 0
	}
	at := time.Since(*start)
	if e.cfg.Duration > 0 && at >= e.cfg.Duration {
		return 0
	}
	return e.cfg.Schedule.RateAt(at).PerSecond()
}

// sinceStart returns the time since Run began.
func (e *Engine) sinceStart() time.Duration { return time.Since(*e.start.Load()) }

// Run sends the schedule until it ends or ctx does. When the schedule ends, what
// still waits is sent and everything may finish, each within its own time limit.
// When ctx ends, what waits is dropped, and requests in flight have the grace
// period to finish and are cut after it. Run returns when all of its goroutines
// have ended.
func (e *Engine) Run(ctx context.Context) {
	start := time.Now()
	e.start.Store(&start)
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var workers sync.WaitGroup
	for range e.cfg.MaxInFlight {
		workers.Go(func() { e.work(ctx, requests) })
	}
	e.pace(ctx)
	close(e.queue)

	finished := make(chan struct{})
	go func() {
		workers.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return
	case <-ctx.Done():
	}
	grace := time.NewTimer(e.cfg.Grace)
	defer grace.Stop()
	select {
	case <-finished:
	case <-grace.C:
		e.cfg.Log.Warn("cutting the requests that are still in flight", "in_flight", e.Counts().InFlight, "grace", e.cfg.Grace)
		cut()
		<-finished
	}
}

// pace gives each arrival to the queue when it falls due.
func (e *Engine) pace(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for n := int64(0); ; n++ {
		due, ok := e.cfg.Schedule.Due(n)
		if !ok || (e.cfg.Duration > 0 && due >= e.cfg.Duration) {
			// The run lasts as long as was asked for, not until its last arrival.
			if ok {
				e.waitUntil(ctx, timer, e.cfg.Duration)
			}
			return
		}
		if !e.waitUntil(ctx, timer, due) {
			return
		}
		e.cfg.Lag.Lag(max(0, e.sinceStart()-due))
		e.admit(n, due)
	}
}

// waitUntil waits until a time since the start and reports whether ctx still
// runs. A time that has passed takes no wait, so that arrivals which fell due
// together are handed over together.
func (e *Engine) waitUntil(ctx context.Context, timer *time.Timer, at time.Duration) bool {
	coarse := at - e.sinceStart()
	if e.cfg.FineSleep != nil {
		coarse -= fineSleep
	}
	if coarse > 0 {
		timer.Reset(coarse)
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
	}
	if left := at - e.sinceStart(); left > 0 && e.cfg.FineSleep != nil {
		e.cfg.FineSleep(left)
	}
	return ctx.Err() == nil
}

// fineSleep is a little more than the runtime's timers are late.
const fineSleep = 1500 * time.Microsecond

func (e *Engine) admit(n int64, due time.Duration) {
	arrival := e.cfg.Mix.Next(n, due)
	if arrival.InsteadOf != nil {
		e.ledger.substitute(arrival.InsteadOf, SubstituteLimit)
	}
	e.ledger.scheduled()
	select {
	case e.queue <- arrival:
	default:
		e.ledger.drop(DropQueueFull)
	}
}

// work sends arrivals from the queue until it is closed and empty.
func (e *Engine) work(ctx, requests context.Context) {
	for arrival := range e.queue {
		switch lateness := e.sinceStart() - arrival.Due; {
		case ctx.Err() != nil || requests.Err() != nil:
			e.ledger.drop(DropShutdown)
		case lateness > e.allowedLateness(arrival.Case):
			e.ledger.drop(DropLate)
		default:
			e.send(requests, arrival)
		}
	}
}

// keepBodyBytes is the largest buffer that is kept between requests, so that one
// large answer does not stay in memory for weeks.
const keepBodyBytes = 256 << 10

// borrow returns a buffer for an answer and the function that gives it back. The
// buffers are shared: there are as many as requests in flight, not as workers.
func (e *Engine) borrow() (body *bytes.Buffer, giveBack func()) {
	body, ok := e.bodies.Get().(*bytes.Buffer)
	if !ok {
		body = new(bytes.Buffer)
	}
	return body, func() {
		if body.Cap() <= keepBodyBytes {
			e.bodies.Put(body)
		}
	}
}

func (e *Engine) allowedLateness(c *Case) time.Duration {
	if e.cfg.MaxLateness > 0 {
		return e.cfg.MaxLateness
	}
	return c.Timeout
}

func (e *Engine) send(requests context.Context, arrival Arrival) {
	user := e.cfg.User(arrival.User)
	c, request, err := e.build(arrival, user)
	if err != nil {
		e.notBuilt(arrival, err)
		return
	}
	body, giveBack := e.borrow()
	defer giveBack()
	e.ledger.sent()
	result, err := exchange(requests, e.cfg.Client, c, user, request, body)
	if err != nil && requests.Err() != nil {
		e.ledger.cut()
		return
	}
	result.ResponseTime = result.Done.Sub(e.start.Load().Add(arrival.Due))
	e.cfg.Sink.Done(&result)
	e.ledger.finished()
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

// exchange sends one request, within the time limit of its case, and judges what
// came of it. The error is that of the attempt; the result stands either way.
func exchange(ctx context.Context, client *Client, c *Case, user User, request *Request, body *bytes.Buffer) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	sent := time.Now()
	a := client.do(ctx, user, request, body)
	defer client.release(&a)
	done := time.Now()
	var judged judgement
	if a.err != nil {
		judged = judgeError(&a)
	} else {
		judged = judgeAnswer(c, &Exchange{User: user, Request: request, Response: &a.response, Sent: sent, Received: done}, client.path)
	}
	return Result{
		Case: c, User: user, Outcome: judged.outcome, Status: a.response.Status, FailedChecks: judged.failed,
		Reason: judged.reason, TraceID: a.traceID, Done: done, ResponseTime: done.Sub(sent), Duration: done.Sub(sent),
	}, a.err
}

// build makes the request of an arrival, or the one of its case's fallback when
// the virtual user lacks the state for it.
func (e *Engine) build(arrival Arrival, user User) (*Case, *Request, error) {
	c := arrival.Case
	request, err := e.cfg.Client.prepare(c, Draw{User: user, Rand: e.cfg.Mix.Rand(arrival.N)})
	if errors.Is(err, ErrNoState) && c.Fallback != nil {
		e.ledger.substitute(c, SubstituteNoState)
		c = c.Fallback
		request, err = e.cfg.Client.prepare(c, Draw{User: user, Rand: e.cfg.Mix.Rand(arrival.N)})
	}
	return c, request, err
}

// TryOnce sends one request of a case for a user and returns its result, outside
// any schedule. The payload is that of arrival 0.
func TryOnce(ctx context.Context, client *Client, mix *Mix, c *Case, user User) (Result, error) {
	request, err := client.prepare(c, Draw{User: user, Rand: mix.Rand(0)})
	if err != nil {
		return Result{}, err
	}
	result, _ := exchange(ctx, client, c, user, request, new(bytes.Buffer))
	return result, nil
}
