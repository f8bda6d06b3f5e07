package load

import (
	"errors"
	"sync/atomic"
	"time"

	"soakd/internal/load/schedule"
)

// Ceiling is a rate that closed-mode users do not exceed together, however fast
// the target answers. It is the generic cell rate algorithm (ITU-T I.371, annex
// A) on two integers, without a lock: one gives out the times at which users may
// send, the other judges when they really do.
//
//	for {
//		sleepUntil(ceiling.Next(now()))
//		if ceiling.Admit(now()) {
//			break // and send
//		}
//	}
//
// The interval between two sends is 10^15 / rate ns, rate in millionths a second,
// rounded up: the ceiling lies at most 0.1 % below a rate of up to a million a
// second, and never above it.
type Ceiling struct {
	interval int64 // ns
	// next is the earliest time that was not given out yet, due the time at which
	// the next send is due after those that were made; both in ns since the start.
	next, due atomic.Int64
}

// ceilingTolerance is how late users may wake up and still find their time: the
// runtime's timers are up to 1 ms late on an idle machine. Any stretch of time T
// sees at most (T + tolerance) / interval + 1 sends.
const ceilingTolerance = int64(2 * time.Millisecond)

// NewCeiling returns a ceiling at a rate above 0.
func NewCeiling(rate schedule.Rate) (*Ceiling, error) {
	if rate == 0 {
		return nil, errors.New("a ceiling needs a rate above 0; without one, make none")
	}
	const nanosPerMillionth = uint64(1_000_000_000_000_000)
	return &Ceiling{interval: int64((nanosPerMillionth + uint64(rate) - 1) / uint64(rate))}, nil
}

// Next takes the next free time and returns it: now or later. It is the caller's
// alone.
func (c *Ceiling) Next(now time.Duration) time.Duration {
	for {
		next := c.next.Load()
		at := max(next, int64(now))
		if c.next.CompareAndSwap(next, at+c.interval) {
			return time.Duration(at)
		}
	}
}

// Admit reports whether a send may be made now, and counts it if so. Whoever
// wakes within the tolerance after its time is always admitted. After a stall of
// soakd, in which the times of many users passed, it lets them go at the rate and
// not all at once; the others ask Next for another time.
func (c *Ceiling) Admit(now time.Duration) bool {
	for {
		due := c.due.Load()
		if int64(now) < due-ceilingTolerance {
			return false
		}
		if c.due.CompareAndSwap(due, max(due, int64(now))+c.interval) {
			return true
		}
	}
}
