package load

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"soakd/internal/shard"
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
	// DropRetryAfter: the target had asked not to be called yet.
	DropRetryAfter DropReason = "retry_after"
)

// DropReasons lists every reason.
func DropReasons() []DropReason {
	return []DropReason{DropQueueFull, DropLate, DropShutdown, DropNotBuilt, DropRetryAfter}
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

// ledger counts what becomes of each arrival. Nothing but events is counted, each
// by one addition, on the core where it happens; how many wait and are in flight
// are differences.
type ledger struct {
	shards *shard.Set[events]
	// reasons are the reasons for a drop, by their index in events.
	reasons []DropReason
	// substituted holds a *substitutions by *Case: only cases that were ever
	// replaced by another one are in it.
	substituted sync.Map
}

// The events, in the order in which a snapshot reads them: the reverse of the one
// in which an arrival goes through them. The reasons for a drop follow eventSent.
const (
	eventFinished = iota
	eventCut
	eventSent
	eventDropped
	eventScheduled = eventDropped + maxDropReasons
	eventKinds     = eventScheduled + 1
	// maxDropReasons is how many reasons there is room for.
	maxDropReasons = 12
)

// events are the counts of one core.
type events [eventKinds]atomic.Int64

// substitutions counts by the index of the reason in [SubstituteReasons].
type substitutions [2]atomic.Int64

func newLedger() *ledger {
	return &ledger{shards: shard.New[events](nil), reasons: DropReasons()}
}

func (l *ledger) count(event int) {
	mine := l.shards.Take()
	mine.Value[event].Add(1)
	l.shards.Give(mine)
}

// scheduled counts an arrival that fell due. It comes before everything else that
// happens to the arrival.
func (l *ledger) scheduled() { l.count(eventScheduled) }

// sent counts an arrival that is handed to the client; after scheduled.
func (l *ledger) sent() { l.count(eventSent) }

// finished counts a request that has a result; after sent.
func (l *ledger) finished() { l.count(eventFinished) }

// cut counts a request that was given up; after sent.
func (l *ledger) cut() { l.count(eventCut) }

// drop counts an arrival that will not be sent; after scheduled.
func (l *ledger) drop(reason DropReason) {
	i := slices.Index(l.reasons, reason)
	if i < 0 {
		panic("load: DropReasons does not list " + string(reason)) // it would count as something else
	}
	l.count(eventDropped + i)
}

// substitute counts an arrival of a case that is made with another one.
func (l *ledger) substitute(c *Case, reason SubstituteReason) {
	counts, known := l.substituted.Load(c)
	if !known {
		counts, _ = l.substituted.LoadOrStore(c, new(substitutions))
	}
	i := 0
	if reason == SubstituteNoState {
		i = 1
	}
	counts.(*substitutions)[i].Add(1)
}

// totals reads each event on all cores before the next one. Since an arrival is
// counted as scheduled before it is counted as sent or dropped, and as sent before
// it is counted as finished or cut, and each event is read before the one that
// comes before it, whatever is in an event is also in those before it:
//
//	finished + cut <= sent and sent + dropped <= scheduled
//
// for every reading, whatever happens meanwhile.
func (l *ledger) totals() (sums [eventKinds]int64) {
	for event := range sums {
		for _, one := range l.shards.All() {
			sums[event] += one[event].Load()
		}
	}
	return sums
}

// settledReadings bounds how often the totals are read to find them settled.
const settledReadings = 8

// settled reads the totals until two readings agree. No count ever falls, so
// nothing happened between the end of the one and the start of the other, and
// what was read is the account of that moment. A reading that was held up while
// arrivals passed by would show these as waiting. When traffic leaves no pause of
// the some 100 ns that it takes, the last reading has to do: its sums hold all the same.
func (l *ledger) settled() [eventKinds]int64 {
	last := l.totals()
	for range settledReadings {
		next := l.totals()
		if next == last {
			break
		}
		last = next
	}
	return last
}

// snapshot returns the account; its sums hold at every moment.
func (l *ledger) snapshot() Counts {
	sums := l.settled()
	counts := Counts{
		Scheduled: sums[eventScheduled], Sent: sums[eventSent], Finished: sums[eventFinished], Cut: sums[eventCut],
		Dropped: make(map[DropReason]int64, len(l.reasons)),
	}
	for i, reason := range l.reasons {
		counts.Dropped[reason] = sums[eventDropped+i]
	}
	counts.Waiting = counts.Scheduled - counts.Sent - counts.TotalDropped()
	counts.InFlight = counts.Sent - counts.Finished - counts.Cut
	l.substituted.Range(func(c, perReason any) bool {
		for i, reason := range SubstituteReasons() {
			if n := perReason.(*substitutions)[i].Load(); n > 0 {
				counts.Substituted = append(counts.Substituted, Substitution{Case: c.(*Case), Reason: reason, Count: n})
			}
		}
		return true
	})
	return counts
}

// LagSink takes the lag of the schedule: how long after an arrival fell due
// soakd had noticed. It grows when soakd itself is starved.
type LagSink interface{ Lag(time.Duration) }
