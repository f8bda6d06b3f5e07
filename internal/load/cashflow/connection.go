package cashflow

import (
	"fmt"
	"sync"
	"sync/atomic"

	"soakd/internal/load"
)

// Invalid input must not cost the connection. But targets and the proxies before
// them close connections for reasons of their own: their age, a number of
// requests (keepalive_requests), a restart, or because they keep none at all. All
// of these fall on valid traffic as well, so that is what a case of invalid input
// is held against. It fails when
//
//   - its last closingsInRow answers all closed their connection, and
//   - valid traffic had at least leastValid answers since the first of them, and
//   - closed fewer than one connection in validShare of these.
//
// A target that closes with probability p after any answer, whatever was sent,
// is wrongly accused with probability p^5 (1-p)^100 an answer when there were just
// 100 valid ones: at most 2 in 10^9, at p = 1/21. With more of them, as a case
// that has 1 answer in 1 000 sees, it is 10^-10 at p = 0.01 and vanishes above.
const (
	closingsInRow = 5
	leastValid    = 100
	validShare    = 100
)

// validTraffic counts the right answers to valid input. It is safe for
// concurrent use.
type validTraffic struct{ answers, closed atomic.Uint64 }

// validCount is what was counted up to a moment.
type validCount struct{ answers, closed uint64 }

func (v *validTraffic) now() validCount {
	return validCount{answers: v.answers.Load(), closed: v.closed.Load()}
}

// watch makes a case of valid input count its answers.
func (v *validTraffic) watch(c *load.Case) {
	verify := c.Verify
	c.Verify = func(x *load.Exchange, fail func(string, error)) {
		v.answers.Add(1)
		if x.Response.Closing {
			v.closed.Add(1)
		}
		if verify != nil {
			verify(x, fail)
		}
	}
}

// closings remembers the last answers of one case of invalid input, as long as
// they closed their connection. It is safe for concurrent use.
type closings struct {
	valid *validTraffic

	mu sync.Mutex
	// run is how many of the last answers closed, one after the other.
	run uint64
	// at is a ring: what valid traffic had come to at each of the newest of them.
	at [closingsInRow]validCount
}

// answered takes the next answer of the case and returns an error when the case
// costs connections and valid traffic does not.
func (c *closings) answered(closing bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.valid.now() // under the lock, so that the ring's counts rise
	if !closing {
		c.run = 0
		return nil
	}
	c.at[c.run%closingsInRow] = now
	c.run++
	if c.run < closingsInRow {
		return nil
	}
	first := c.at[c.run%closingsInRow]
	answers, closed := now.answers-first.answers, now.closed-first.closed
	if answers < leastValid || closed*validShare >= answers {
		return nil
	}
	return fmt.Errorf("the target closed the connection after the last %d of these, and after %d of %d valid requests meanwhile",
		closingsInRow, closed, answers)
}
