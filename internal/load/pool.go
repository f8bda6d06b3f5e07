package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"soakd/internal/load/wire"
)

// pool holds the connections of the open loop and the arrivals that wait for one.
// Connections are dialled ahead, are never more than the cap, and grow at a
// limited rate; one that replaces another is not growth.
type pool struct {
	e *Engine
	// requests ends when requests in flight are cut, dials when no connection is
	// wanted any more.
	requests, dials context.Context
	stopDials       func()
	members         sync.WaitGroup

	mu sync.Mutex
	// idle is a stack: the connection that was used last is used next, so that
	// no more are kept busy than needed.
	idle    []*slot
	all     map[*slot]struct{}
	waiting queue
	// again holds requests that met a closed connection: they go first.
	again []*flight
	// busy counts arrivals that are waiting or in flight.
	busy int
	// dialling counts connections that are being made, each for one slot at least.
	dialling int
	// tokens are the connections by which the pool may grow now, replaceable those
	// that may take the place of one that ended.
	tokens      float64
	replaceable int
	refilled    time.Time
	// spareAt is when a connection may be dialled ahead again after one failed.
	spareAt  time.Time
	failures int
	// starved tells that the last connection failed because soakd's own machine ran
	// out of ports, files or memory.
	starved bool
	// ended tells that nothing further is begun.
	ended bool
	// primed is closed once nothing is being dialled; nil when nobody waits.
	primed chan struct{}
	// drained is closed once nothing is busy, after drain was called.
	draining bool
	drained  chan struct{}
}

func newPool(requests context.Context, e *Engine) *pool {
	dials, stopDials := context.WithCancel(requests)
	return &pool{
		dials: dials, stopDials: stopDials,
		e: e, requests: requests, all: map[*slot]struct{}{}, waiting: queue{limit: max(e.cfg.MaxWaiting, 1)},
		tokens: float64(e.cfg.Ahead), refilled: time.Now(), drained: make(chan struct{}),
	}
}

// prime dials the first connections and waits for them, but not long.
func (p *pool) prime(ctx context.Context) {
	p.mu.Lock()
	p.grow(time.Now())
	if p.dialling == 0 {
		p.mu.Unlock()
		return
	}
	primed := make(chan struct{})
	p.primed = primed
	p.mu.Unlock()
	limit := time.NewTimer(primeTime)
	defer limit.Stop()
	select {
	case <-primed:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// dialled ends the making of one connection. The lock is held.
func (p *pool) dialled() {
	p.dialling--
	if p.dialling == 0 && p.primed != nil {
		close(p.primed)
		p.primed = nil
	}
}

// primeTime bounds how long the schedule waits for its first connections.
const primeTime = time.Second

// admit takes an arrival that has fallen due: it is sent at once where a
// connection is idle, waits where none is, or is dropped.
func (p *pool) admit(a Arrival) {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		p.e.ledger.drop(DropShutdown)
		return
	}
	s := p.takeIdle()
	if s == nil {
		accepted := p.waiting.push(a)
		if accepted {
			p.busy++
			p.grow(time.Now())
		}
		p.mu.Unlock()
		if !accepted {
			p.e.ledger.drop(DropQueueFull)
		}
		return
	}
	p.busy++
	p.mu.Unlock()
	if !p.begin(s, a) && !p.free(s) {
		p.dismiss(s)
	}
}

// takeIdle returns the slot that was used last, with its lock held and its use
// reserved, or nil. The pool's lock is held.
func (p *pool) takeIdle() *slot {
	for n := len(p.idle) - 1; n >= 0; n-- {
		s := p.idle[n]
		if !s.reserve() {
			p.discard(s)
			continue
		}
		p.idle[n] = nil
		p.idle = p.idle[:n]
		s.idle = false
		s.mu.Lock()
		return s
	}
	return nil
}

// takeFresh is takeIdle for a slot whose connection has carried nothing.
func (p *pool) takeFresh() *slot {
	for i := len(p.idle) - 1; i >= 0; i-- {
		s := p.idle[i]
		if !s.fresh() {
			continue
		}
		if !s.reserve() {
			p.discard(s)
			continue
		}
		p.unlist(s)
		s.mu.Lock()
		return s
	}
	return nil
}

// begin sends an arrival over a reserved slot whose lock is held, and releases it.
// It returns false when nothing was sent: the slot is then still the caller's, and
// not reserved.
func (p *pool) begin(s *slot, a Arrival) bool {
	if late := p.e.sinceStart() - a.Due; late > p.e.allowedLateness(a.Case) {
		s.unreserve()
		s.mu.Unlock()
		p.e.ledger.drop(DropLate)
		return false
	}
	f, ok := p.e.build(a)
	if !ok {
		s.unreserve()
		s.mu.Unlock()
		return false
	}
	p.e.ledger.sent()
	p.launch(s, f)
	return true
}

// launch sends a flight over a slot whose lock is held, and releases it.
func (p *pool) launch(s *slot, f *flight) {
	defer s.mu.Unlock()
	f.sent = time.Now()
	s.flight = f
	if s.jobs != nil {
		s.jobs <- f
		return
	}
	if s.startErr = start(s.link.Conn, f); s.startErr != nil {
		s.link.Conn.Close() // its goroutine wakes up and says what came of the flight
	}
}

// start writes a request. A target that closes after each answer, without a word,
// shows that before the second: a request that cannot be sent again is not written
// then. Later ones are not looked at, which costs a system call.
func start(conn *wire.Conn, f *flight) error {
	if conn.Used() == 1 && !repeatable(f.wire.Method) && conn.Ended() {
		return &wire.Error{Kind: wire.Reset, Unsent: true, Silent: true, Err: errors.New("the target had closed the connection")}
	}
	return conn.Start(&f.wire, f.sent.Add(f.c.Timeout))
}

// free ends one busy arrival and gives its slot the next that waits. It returns
// false when the slot must be retired.
func (p *pool) free(s *slot) bool {
	for {
		p.mu.Lock()
		p.busy--
		if p.ended || s.last || !s.reserve() {
			p.checkDrained()
			p.mu.Unlock()
			return false
		}
		if n := len(p.again) - 1; n >= 0 && (s.fresh() || p.failures > 0) {
			f := p.again[n]
			p.again = p.again[:n]
			s.mu.Lock()
			p.mu.Unlock()
			p.launch(s, f)
			return true
		}
		a, ok := p.waiting.pop()
		if !ok {
			s.unreserve()
			s.idle, s.since = true, time.Now()
			p.idle = append(p.idle, s)
			p.checkDrained()
			p.mu.Unlock()
			return true
		}
		s.mu.Lock()
		p.mu.Unlock()
		if p.begin(s, a) {
			return true
		}
	}
}

// spread gives idle slots what must be sent again, over connections that have
// carried nothing: what one has met, another that was used before may meet too.
// New ones are dialled where there is none. The pool's lock is held.
func (p *pool) spread() {
	for n := len(p.again) - 1; n >= 0; n-- {
		s := p.takeFresh()
		if s == nil {
			p.grow(time.Now())
			return
		}
		f := p.again[n]
		p.again = p.again[:n]
		p.launch(s, f)
	}
}

// leave ends one busy arrival whose slot is not free.
func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.checkDrained()
}

// withdraw takes a slot from the idle ones; false when someone has taken it.
func (p *pool) withdraw(s *slot) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.idle {
		return false
	}
	p.unlist(s)
	return true
}

// unlist removes an idle slot from the stack. The pool's lock is held.
func (p *pool) unlist(s *slot) {
	for i, one := range p.idle {
		if one == s {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			break
		}
	}
	s.idle = false
}

// retire gives a slot's connection up, and lets another be dialled for it.
func (p *pool) retire(s *slot) {
	closed := s.streams == nil || s.streams.leave()
	if closed {
		p.e.cfg.Client.hangUp(s.link)
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, s)
	if closed && !s.surplus {
		p.replaceable = min(p.replaceable+1, p.e.cfg.MaxInFlight)
	}
	if closed && !s.last && !s.proven && s.young(now) {
		// A target that accepts connections and closes them at once is not to be
		// asked for another as fast as it can.
		p.backOff(now)
	}
	p.grow(now)
}

// backOff puts off dialling ahead, longer with each failure. The lock is held.
func (p *pool) backOff(now time.Time) {
	p.failures++
	p.spareAt = now.Add(min(100*time.Millisecond<<min(p.failures, 10), maxSpareBackoff))
}

// prove notes that a new connection has brought its first answer.
func (p *pool) prove(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.proven = true
	p.failures, p.spareAt = 0, time.Time{}
}

// grow dials as many connections as are wanted and allowed. The lock is held.
func (p *pool) grow(now time.Time) {
	if p.ended {
		return
	}
	growth := p.e.cfg.Growth
	p.tokens = min(p.tokens+now.Sub(p.refilled).Seconds()*growth, max(growth*growthBurst.Seconds(), p.tokens, 1))
	p.refilled = now
	needed := max(p.waiting.len()+len(p.again)-p.dialling, 0)
	spare := p.e.cfg.Ahead - len(p.idle) - max(p.dialling-p.waiting.len(), 0)
	if now.Before(p.spareAt) {
		spare = 0
	}
	room := p.e.cfg.MaxInFlight - len(p.all) - p.dialling
	for range min(needed+max(spare, 0), room) {
		switch {
		case p.replaceable > 0:
			p.replaceable--
		case p.tokens >= 1:
			p.tokens--
		default:
			return
		}
		p.dialling++
		p.members.Go(p.dial)
	}
}

// growthBurst is for how long unused growth is saved up.
const growthBurst = 100 * time.Millisecond

// dial makes one connection and serves it until it ends.
func (p *pool) dial() {
	link, err := p.e.cfg.Client.dial(p.dials)
	if err != nil {
		p.dialFailed(err)
		return
	}
	for _, s := range p.join(link) {
		if s.jobs != nil {
			p.members.Go(func() { p.enter(s, p.serveStreams) })
			continue
		}
		p.enter(s, p.serve)
	}
}

// join makes the slots of a new connection.
func (p *pool) join(link wire.Link) []*slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialled()
	p.starved = false
	if link.HTTP2 == nil {
		s := &slot{link: link}
		p.all[s] = struct{}{}
		return []*slot{s}
	}
	shared := new(streams)
	slots := make([]*slot, max(1, min(link.HTTP2.Streams(), p.e.cfg.MaxInFlight-len(p.all)-p.dialling)))
	for i := range slots {
		slots[i] = &slot{link: link, streams: shared, jobs: make(chan *flight, 1)}
		p.all[slots[i]] = struct{}{}
		shared.open++
	}
	return slots
}

// enter gives a new slot its first work, and serves it.
func (p *pool) enter(s *slot, serve func(*slot)) {
	if !p.employ(s) {
		p.retire(s)
		return
	}
	serve(s)
}

// employ gives a slot that carries nothing work, or makes it idle. It returns
// false when the slot must be retired.
func (p *pool) employ(s *slot) bool {
	p.mu.Lock()
	p.busy++ // free ends one
	p.mu.Unlock()
	return p.free(s)
}

// maxSpareBackoff bounds how long no connection is dialled ahead after failures.
const maxSpareBackoff = 5 * time.Second

// dialFailed lets the arrival that has waited longest end with what the attempt
// came to: it was made for its sake. While there is no connection at all, and
// none is being made, that is true of all that wait. What soakd's own machine has
// no room for is not the target's failure: arrivals then wait on.
func (p *pool) dialFailed(err error) {
	p.mu.Lock()
	p.dialled()
	p.backOff(time.Now())
	victims := 1
	var again []*flight
	if _, p.starved = SystemError(err); p.starved {
		victims = 0
	} else if len(p.all) == 0 && p.dialling == 0 {
		victims = p.waiting.len()
		again, p.again = p.again, nil
	}
	var lost []Arrival
	for range victims {
		if a, ok := p.waiting.pop(); ok {
			lost = append(lost, a)
		}
	}
	p.mu.Unlock()
	now := time.Now()
	for _, a := range lost {
		p.e.lost(a, now, err)
		p.leave()
	}
	p.giveUp(again, err)
}

// giveUp ends requests that were to be sent again and cannot.
func (p *pool) giveUp(again []*flight, err error) {
	for _, f := range again {
		p.e.finish(f, time.Now(), err)
		p.leave()
	}
}

// tend does what time brings: it drops what waited too long, lets the pool grow
// as its rate allows, and gives up connections that are idle for too long.
func (p *pool) tend(now time.Time) {
	p.expire()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grow(now)
	limit := p.e.cfg.IdleTimeout
	for i := 0; limit > 0 && i < len(p.idle) && len(p.idle) > p.e.cfg.Ahead; {
		// The bottom of the stack is what has been idle longest.
		s := p.idle[i]
		if now.Sub(s.since) < limit {
			break
		}
		s.surplus = true
		p.discard(s)
	}
	for i := len(p.idle) - 1; i >= 0; i-- {
		if s := p.idle[i]; !s.usable(now) {
			p.discard(s)
		}
	}
}

// discard ends an idle slot: its goroutine retires it. The lock is held.
func (p *pool) discard(s *slot) {
	p.unlist(s)
	s.last = true
	if s.jobs != nil {
		close(s.jobs)
		return
	}
	s.idle = true // so that its goroutine withdraws it; see serve
	s.link.Conn.Close()
}

// dismiss ends a slot that is not idle and carries nothing.
func (p *pool) dismiss(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.discard(s)
}

// expire ends what has waited longer than it may. When there is no connection at
// all it was the target that could not be reached; else the cap is the limit.
func (p *pool) expire() {
	at, now := p.e.sinceStart(), time.Now()
	p.mu.Lock()
	late := p.waiting.remove(func(a *Arrival) bool { return at-a.Due > p.e.allowedLateness(a.Case) })
	var again, kept []*flight
	for _, f := range p.again {
		if now.Sub(f.sent) > f.c.Timeout {
			again = append(again, f)
		} else {
			kept = append(kept, f)
		}
	}
	p.again = kept
	none := len(p.all) == 0 && !p.starved
	p.mu.Unlock()
	for _, a := range late {
		if none {
			p.e.lost(a, now, &wire.Error{
				Kind: wire.Connect, Unsent: true, Silent: true,
				Err: fmt.Errorf("no connection could be made within %v", p.e.allowedLateness(a.Case)),
			})
		} else {
			p.e.ledger.drop(DropLate)
		}
		p.leave()
	}
	p.giveUp(again, errNotAgain("no other connection could be had in time"))
}

// errNotAgain is what a request comes to that met a closed connection and could
// not be sent again.
func errNotAgain(why string) error {
	return &wire.Error{
		Kind: wire.Reset, Unsent: true, Silent: true,
		Err: fmt.Errorf("the target had closed the connection, and %s", why),
	}
}

// moveAway lets go of connections to addresses that the target's name does not
// stand for any more: idle ones at once, the others after their request.
func (p *pool) moveAway(moved func(address string) bool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.all {
		if s.last || !moved(addressOf(s.link)) {
			continue
		}
		n++
		if s.idle {
			p.discard(s)
			continue
		}
		s.last = true
	}
	return n
}

// drain returns a channel that is closed once nothing waits and nothing is in
// flight.
func (p *pool) drain() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draining = true
	p.checkDrained()
	return p.drained
}

// checkDrained closes drained when the time has come. The lock is held.
func (p *pool) checkDrained() {
	if !p.draining || p.busy > 0 {
		return
	}
	p.draining = false
	close(p.drained)
}

// refuse drops what waits and lets nothing further begin.
func (p *pool) refuse() {
	p.stopDials()
	p.mu.Lock()
	p.ended = true
	for {
		if _, ok := p.waiting.pop(); !ok {
			break
		}
		p.e.ledger.drop(DropShutdown)
		p.busy--
	}
	again := p.again
	p.again = nil
	p.checkDrained()
	p.mu.Unlock()
	p.giveUp(again, errNotAgain("soakd was told to stop before it could be sent again"))
}

// cut breaks off whatever is in flight.
func (p *pool) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.all {
		if s.link.Conn != nil {
			s.link.Conn.Close()
		}
	}
}

// close ends all connections and waits for their goroutines.
func (p *pool) close() {
	p.stopDials()
	p.mu.Lock()
	p.ended = true
	for s := range p.all {
		switch {
		case s.jobs != nil && s.idle:
			p.unlist(s)
			close(s.jobs)
		case s.jobs == nil:
			s.link.Conn.Close()
		}
	}
	p.mu.Unlock()
	p.members.Wait()
}

// queue is a first-in-first-out queue of bounded length whose room grows as
// needed.
type queue struct {
	limit int
	ring  []Arrival
	first int
	n     int
}

func (q *queue) len() int { return q.n }

// push returns false when the queue is full.
func (q *queue) push(a Arrival) bool {
	if q.n == q.limit {
		return false
	}
	if q.n == len(q.ring) {
		grown := make([]Arrival, min(max(2*len(q.ring), 16), q.limit))
		for i := range q.n {
			grown[i] = q.ring[(q.first+i)%len(q.ring)]
		}
		q.ring, q.first = grown, 0
	}
	q.ring[(q.first+q.n)%len(q.ring)] = a
	q.n++
	return true
}

func (q *queue) pop() (Arrival, bool) {
	if q.n == 0 {
		return Arrival{}, false
	}
	a := q.ring[q.first]
	q.ring[q.first] = Arrival{}
	q.first = (q.first + 1) % len(q.ring)
	q.n--
	return a, true
}

// remove takes out what gone names, and keeps the order of the others.
func (q *queue) remove(gone func(*Arrival) bool) (removed []Arrival) {
	kept := 0
	for i := range q.n {
		a := &q.ring[(q.first+i)%len(q.ring)]
		if gone(a) {
			removed = append(removed, *a)
			continue
		}
		q.ring[(q.first+kept)%len(q.ring)] = *a
		kept++
	}
	for i := kept; i < q.n; i++ {
		q.ring[(q.first+i)%len(q.ring)] = Arrival{}
	}
	q.n = kept
	return removed
}
