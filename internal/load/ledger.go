package load

import (
	"sync"
	"time"
)

// DropReason says why an arrival was never sent. It is a label value.
type DropReason string

// The reasons for a drop.
const (
	// DropQueueFull: as many arrivals were waiting as may wait.
	DropQueueFull DropReason = "queue_full"
	// DropLate: it had waited longer than it may.
	DropLate DropReason = "late"
	// DropShutdown: soakd was told to stop while it waited.
	DropShutdown DropReason = "shutdown"
	// DropNotBuilt: the case could not build its request.
	DropNotBuilt DropReason = "not_built"
)

// DropReasons lists every reason.
func DropReasons() []DropReason {
	return []DropReason{DropQueueFull, DropLate, DropShutdown, DropNotBuilt}
}

// SubstituteReason says why an arrival was made with another case than the one
// drawn. It is a label value.
type SubstituteReason string

// The reasons for a substitution.
const (
	// SubstituteLimit: no virtual user may have the limited case again yet.
	SubstituteLimit SubstituteReason = "limit"
	// SubstituteNoState: the virtual user has nothing saved to ask for.
	SubstituteNoState SubstituteReason = "no_state"
)

// SubstituteReasons lists every reason.
func SubstituteReasons() []SubstituteReason {
	return []SubstituteReason{SubstituteLimit, SubstituteNoState}
}

// Substitution counts the arrivals of one case that were made with another.
type Substitution struct {
	Case   *Case
	Reason SubstituteReason
	Count  int64
}

// Counts is the account of every arrival at one moment. Always
// Scheduled = Sent + Waiting + sum of Dropped, and
// Sent = InFlight + Finished + Cut.
type Counts struct {
	// Scheduled counts the arrivals that have fallen due.
	Scheduled int64
	// Sent counts those that were handed to the client.
	Sent int64
	// Waiting is how many wait for a free place in flight.
	Waiting int64
	// Dropped counts those that were never sent.
	Dropped map[DropReason]int64
	// InFlight is how many were sent and are not finished.
	InFlight int64
	// Finished counts the requests that have a Result.
	Finished int64
	// Cut counts the requests that were given up at the end of the grace period;
	// they have no Result.
	Cut int64
	// Substituted counts the arrivals made with another case than was drawn.
	Substituted []Substitution
}

// TotalDropped returns the sum over all reasons.
func (c Counts) TotalDropped() int64 {
	var sum int64
	for _, n := range c.Dropped {
		sum += n
	}
	return sum
}

// Incomplete reports whether slow answers are missing, because arrivals were
// dropped or requests cut: quantiles are then lower bounds.
func (c Counts) Incomplete() bool { return c.TotalDropped() > 0 || c.Cut > 0 }

// ledger keeps Counts true at every moment: each arrival changes several of its
// numbers at once.
type ledger struct {
	mu          sync.Mutex
	counts      Counts
	dropped     map[DropReason]int64
	substituted map[substitution]int64
}

type substitution struct {
	c      *Case
	reason SubstituteReason
}

func newLedger() *ledger {
	l := &ledger{dropped: map[DropReason]int64{}, substituted: map[substitution]int64{}}
	for _, reason := range DropReasons() {
		l.dropped[reason] = 0
	}
	return l
}

func (l *ledger) change(f func(*Counts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.counts)
}

func (l *ledger) scheduled() { l.change(func(c *Counts) { c.Scheduled++; c.Waiting++ }) }

func (l *ledger) sent() { l.change(func(c *Counts) { c.Waiting--; c.Sent++; c.InFlight++ }) }

func (l *ledger) finished() { l.change(func(c *Counts) { c.InFlight--; c.Finished++ }) }

func (l *ledger) cut() { l.change(func(c *Counts) { c.InFlight--; c.Cut++ }) }

func (l *ledger) drop(reason DropReason) {
	l.change(func(c *Counts) { c.Waiting--; l.dropped[reason]++ })
}

func (l *ledger) substitute(c *Case, reason SubstituteReason) {
	l.change(func(*Counts) { l.substituted[substitution{c, reason}]++ })
}

func (l *ledger) snapshot() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := l.counts
	counts.Dropped = make(map[DropReason]int64, len(l.dropped))
	for reason, n := range l.dropped {
		counts.Dropped[reason] = n
	}
	for key, n := range l.substituted {
		counts.Substituted = append(counts.Substituted, Substitution{Case: key.c, Reason: key.reason, Count: n})
	}
	return counts
}

// LagSink takes the lag of the schedule: how long after an arrival fell due
// soakd had noticed. It grows when soakd itself is starved.
type LagSink interface{ Lag(time.Duration) }
