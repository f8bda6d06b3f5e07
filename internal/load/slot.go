package load

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"soakd/internal/load/wire"
)

// slot is a place in flight: an HTTP/1.1 connection, or one of the streams of an
// HTTP/2 connection. Its goroutine reads the answers; whoever has an arrival for
// it writes the request, so that no goroutine has to be woken between the moment
// an arrival is due and the socket.
type slot struct {
	link wire.Link
	// streams is shared by all slots of an HTTP/2 connection.
	streams *streams
	// jobs hands flights to the goroutine of an HTTP/2 slot.
	jobs chan *flight

	// mu is held by whoever begins a request, from the moment the slot is taken
	// from the idle ones (under the pool's lock) until it was written.
	mu     sync.Mutex
	flight *flight
	// startErr is why the request could not be written.
	startErr error

	// idle and since are guarded by the pool's lock.
	idle  bool
	since time.Time
	// last is set when the connection must not be used any further, surplus when
	// no other is to take its place; proven once it has brought an answer.
	last, surplus, proven bool
}

// reserve counts a use of the slot's connection where it carries many requests,
// and reports whether it takes one more.
func (s *slot) reserve() bool { return s.jobs == nil || s.link.HTTP2.Reserve(time.Now()) }

// unreserve takes back what reserve counted.
func (s *slot) unreserve() {
	if s.jobs != nil {
		s.link.HTTP2.Unreserve()
	}
}

// fresh reports whether what met a closed connection may be sent over this one:
// it has carried nothing, or says when it is about to end, as HTTP/2 does.
func (s *slot) fresh() bool { return s.jobs != nil || s.link.Conn.Used() == 0 }

// usable reports whether the idle slot may still be used.
func (s *slot) usable(now time.Time) bool {
	if s.jobs != nil {
		return s.link.HTTP2.Usable(now)
	}
	return s.link.Conn.Young(now)
}

// youth is for how long a connection is new: if it breaks then, that is the
// target's doing, and not the end of a long idle time.
const youth = time.Second

// young reports whether the slot's connection is new.
func (s *slot) young(now time.Time) bool { return isYoung(s.link, now) }

func isYoung(link wire.Link, now time.Time) bool {
	if link.HTTP2 != nil {
		return now.Sub(link.HTTP2.Opened) < youth
	}
	return now.Sub(link.Conn.Opened) < youth
}

// streams counts the slots of one HTTP/2 connection.
type streams struct {
	mu   sync.Mutex
	open int
}

// leave takes one slot away and reports whether it was the last.
func (s *streams) leave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	return s.open == 0
}

// serve reads the answers of an HTTP/1.1 slot until its connection ends.
func (p *pool) serve(s *slot) {
	for {
		err := s.link.Conn.Await()
		s.mu.Lock()
		f := s.flight
		s.mu.Unlock()
		stale := false
		if f == nil {
			// The target closed an idle connection, or sent what nobody asked for.
			if p.withdraw(s) {
				p.retire(s)
				return
			}
			// Someone has taken it and holds its lock until the request is out.
			s.mu.Lock()
			f = s.flight
			s.mu.Unlock()
			stale = err != nil
		}
		if f == nil {
			continue // nothing was sent after all: look again
		}
		if !p.finish(s, f, err, stale) {
			p.retire(s)
			return
		}
	}
}

// finish reads the answer to a flight and makes the slot ready for another. err is
// what waiting for the answer came to; stale tells that it came to that before the
// request was written. It returns false when the connection is of no more use.
func (p *pool) finish(s *slot, f *flight, err error, stale bool) bool {
	conn := s.link.Conn
	if err == nil || s.startErr == nil {
		err = conn.Finish(&f.answer)
	}
	if s.startErr != nil {
		err = s.startErr
	}
	done := time.Now()
	conn.Settle(&f.answer, err != nil)
	usable := err == nil && conn.Reusable(&f.answer, done)
	if stale {
		err = unsent(err)
	}
	s.flight, s.startErr = nil, nil
	if p.sendAgain(f, err, s.link) {
		return false
	}
	if err == nil && !s.proven {
		p.prove(s)
	}
	p.e.finish(f, done, err)
	if !usable {
		p.leave()
		return false
	}
	return p.free(s)
}

// unsent says of a connection that broke without an answer that the target had
// closed it before the request was written, and so cannot have acted on it.
func unsent(err error) error {
	var failed *wire.Error
	if !errors.As(err, &failed) || failed.Kind != wire.Reset || !failed.Silent {
		return err
	}
	closed := *failed
	closed.Unsent = true
	return &closed
}

// serveStreams sends and reads for one slot of an HTTP/2 connection.
func (p *pool) serveStreams(s *slot) {
	for f := range s.jobs {
		ctx, cancel := context.WithDeadline(p.requests, f.sent.Add(f.c.Timeout))
		err := s.link.HTTP2.Exchange(ctx, &f.wire, &f.answer)
		cancel()
		done := time.Now()
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		if p.sendAgain(f, err, s.link) {
			if !s.link.HTTP2.Usable(done) || !p.employ(s) {
				break
			}
			continue
		}
		if err == nil && !s.proven {
			p.prove(s)
		}
		p.e.finish(f, done, err)
		if !s.link.HTTP2.Usable(done) {
			p.leave()
			break
		}
		if !p.free(s) {
			break
		}
	}
	p.retire(s)
}

// sendAgain gives a request that met a closed connection another one.
func (p *pool) sendAgain(f *flight, err error, link wire.Link) bool {
	if err == nil || p.e.cutting.Load() || !mayRepeat(f, err, link) {
		return false
	}
	f.again = true
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.again = append(p.again, f)
	p.spread()
	return true
}

// mayRepeat reports whether a request that came to nothing on a connection that
// the target had closed may be sent again: if it certainly never reached the
// target, or may be repeated (RFC 9110, 9.2.2). A new connection that breaks is
// the target's doing.
func mayRepeat(f *flight, err error, link wire.Link) bool {
	if err == nil || f.again {
		return false // before failed is made, which is on the heap
	}
	var failed *wire.Error
	if !errors.As(err, &failed) || failed.Kind != wire.Reset || !failed.Silent {
		return false
	}
	if failed.Unsent {
		return true
	}
	return link.Conn != nil && repeatable(f.wire.Method) && (link.Conn.Used() > 1 || !isYoung(link, f.sent))
}

func repeatable(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
