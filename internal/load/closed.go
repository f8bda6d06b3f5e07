package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"soakd/internal/load/schedule"
	"soakd/internal/load/wire"
)

// ClosedConfig describes the users of closed mode. Each has a connection of its
// own and sends its next request when the last was answered, after its think time.
type ClosedConfig struct {
	// Users is how many there are in the end; 1 to MaxInFlight.
	Users int
	// SpawnRate is how many begin a second; 0 means all at once.
	SpawnRate float64
	// Think is the pause between an answer and the user's next request.
	Think schedule.Think
	// Pacing is the least time from one request of a user to its next, whatever the
	// answer took; 0 means none.
	Pacing time.Duration
	// Seed seeds the think times.
	Seed uint64
}

func (c *ClosedConfig) validate(maxInFlight int) error {
	switch {
	case c.Users < 1:
		return fmt.Errorf("load engine: %d users: at least 1 is needed", c.Users)
	case c.Users > maxInFlight:
		return fmt.Errorf("load engine: %d users need a connection each, and only %d requests may be in flight", c.Users, maxInFlight)
	case c.SpawnRate < 0 || c.Pacing < 0:
		return errors.New("load engine: a spawn rate or a pacing is negative")
	}
	return nil
}

// thinkStream separates the random numbers of think times from all others.
const thinkStream = 0x7468696e6b

// closedUser is one user of closed mode.
type closedUser struct {
	e        *Engine
	requests context.Context
	mix      *UserMix
	rng      *rand.Rand
	timer    *time.Timer
	link     wire.Link
	release  func() bool
	// used is when the connection last carried something.
	used time.Time
	// moved is what the user last looked at of the engine's.
	moved *func(address string) bool
}

// runClosed is Run in closed mode.
func (e *Engine) runClosed(ctx, requests context.Context, cut func()) {
	start := time.Now()
	e.start.Store(&start)
	sending, stop := context.WithCancel(ctx)
	defer stop()
	if e.cfg.Duration > 0 {
		sending, stop = context.WithDeadline(sending, start.Add(e.cfg.Duration))
		defer stop()
	}
	defer e.startTending(ctx)()
	var users sync.WaitGroup
	for i := range e.cfg.Closed.Users {
		users.Go(func() { e.newUser(requests, i).live(sending, i) })
	}
	finished := make(chan struct{})
	go func() {
		users.Wait()
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
		e.cutAll(cut)
		<-finished
	}
}

func (e *Engine) newUser(requests context.Context, i int) *closedUser {
	timer := time.NewTimer(0)
	<-timer.C
	return &closedUser{
		e: e, requests: requests, mix: e.cfg.Mix.ForUser(i, e.cfg.Closed.Users), timer: timer,
		rng: rand.New(rand.NewPCG(e.cfg.Closed.Seed^thinkStream, uint64(i))),
	}
}

// live is the user's life: it begins when its turn to spawn has come.
func (u *closedUser) live(ctx context.Context, i int) {
	defer u.timer.Stop()
	defer u.hangUp()
	cfg := u.e.cfg.Closed
	next, now := time.Duration(0), u.e.sinceStart()
	if cfg.SpawnRate > 0 {
		next = time.Duration(float64(i) / cfg.SpawnRate * float64(time.Second))
	}
	for {
		began, ok := u.waitUntil(ctx, next, now)
		if !ok {
			return
		}
		u.e.cfg.Lag.Lag(max(0, began-next))
		if began, ok = u.mayGo(ctx, i, began); !ok {
			return
		}
		var sent bool
		now, sent = u.iterate(began)
		next = max(now+cfg.Think.Draw(u.rng), began+cfg.Pacing)
		if !sent {
			next = max(next, now+idlePause)
		}
	}
}

// idlePause keeps a user that cannot connect, or cannot build its request, from
// trying as fast as it can.
const idlePause = 100 * time.Millisecond

// waitUntil waits until a time since the start, given what time it is now. It
// returns the time then, and whether the user goes on.
func (u *closedUser) waitUntil(ctx context.Context, at, now time.Duration) (time.Duration, bool) {
	if at > now {
		u.timer.Reset(at - now)
		select {
		case <-ctx.Done():
			return 0, false
		case <-u.timer.C:
		}
		now = u.e.sinceStart()
	}
	return now, ctx.Err() == nil
}

// mayGo waits for as long as the load is lowered, the target wants to be left
// alone or the ceiling is reached. It returns the time then, and whether the
// user goes on.
func (u *closedUser) mayGo(ctx context.Context, i int, now time.Duration) (_ time.Duration, ok bool) {
	for {
		if changed := u.e.gate.closedFor(i); changed != nil {
			select {
			case <-ctx.Done():
				return 0, false
			case <-changed:
			}
			now = u.e.sinceStart()
			continue
		}
		if u.e.holds.Held(i, now) {
			if now, ok = u.waitUntil(ctx, u.e.holds.Until(i), now); !ok {
				return 0, false
			}
			continue
		}
		if u.e.ceiling == nil {
			return now, true
		}
		if now, ok = u.waitUntil(ctx, u.e.ceiling.Next(now), now); !ok {
			return 0, false
		}
		if u.e.ceiling.Admit(now) {
			return now, true
		}
	}
}

// iterate sends one request, due now. It returns when it was over and whether it
// went out.
func (u *closedUser) iterate(due time.Duration) (over time.Duration, sent bool) {
	a := u.mix.Next(due)
	if a.InsteadOf != nil {
		u.e.ledger.substitute(a.InsteadOf, SubstituteLimit)
	}
	u.e.ledger.scheduled()
	f, ok := u.e.build(a)
	if !ok {
		return u.e.sinceStart(), false
	}
	f.sent = time.Now()
	u.e.ledger.sent()
	var done time.Time
	err := u.connect(f)
	if sent = err == nil; sent {
		done, err = u.exchange(f)
	} else {
		done = time.Now()
	}
	u.e.finish(f, done, err)
	return done.Sub(*u.e.start.Load()), sent
}

// connect sees to it that the user has a connection, within the time limit of
// the flight's case.
func (u *closedUser) connect(f *flight) error {
	if moved := u.e.moved.Load(); moved != u.moved {
		u.moved = moved
		if u.connected() && (*moved)(addressOf(u.link)) {
			u.hangUp()
		}
	}
	if u.connected() {
		// After a pause the target may have closed the connection.
		if f.sent.Sub(u.used) < trustedIdle || u.usable(f.sent) {
			return nil
		}
		u.hangUp()
	}
	ctx, cancel := context.WithDeadline(u.requests, f.sent.Add(f.c.Timeout))
	defer cancel()
	link, err := u.e.cfg.Client.dial(ctx)
	if err != nil {
		return err
	}
	u.link = link
	if link.Conn != nil {
		u.release = context.AfterFunc(u.requests, link.Conn.Close)
	}
	return nil
}

// usable reports whether the idle connection can still be used.
func (u *closedUser) usable(now time.Time) bool {
	if u.link.HTTP2 != nil {
		return u.link.HTTP2.Usable(now)
	}
	return u.link.Conn.Young(now) && u.link.Conn.Alive()
}

// trustedIdle is for how long an idle connection is taken to be open unseen.
const trustedIdle = time.Millisecond

func (u *closedUser) connected() bool { return u.link != (wire.Link{}) }

// exchange sends the flight, a second time when its connection turned out to be
// closed and that is safe.
func (u *closedUser) exchange(f *flight) (time.Time, error) {
	for {
		done, err := u.e.cfg.Client.exchange(u.requests, u.link, f)
		u.used = done
		again := mayRepeat(f, err, u.link)
		if !u.reusable(f, done, err) {
			u.hangUp()
		}
		if !again || u.e.cutting.Load() {
			return done, err
		}
		f.again = true
		if err := u.connect(f); err != nil {
			return time.Now(), err
		}
	}
}

func (u *closedUser) reusable(f *flight, now time.Time, err error) bool {
	if u.link.HTTP2 != nil {
		return u.link.HTTP2.Usable(now)
	}
	return err == nil && u.link.Conn.Reusable(&f.answer, now)
}

func (u *closedUser) hangUp() {
	if !u.connected() {
		return
	}
	if u.release != nil {
		u.release()
		u.release = nil
	}
	u.e.cfg.Client.hangUp(u.link)
	u.link = wire.Link{}
}
