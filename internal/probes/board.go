package probes

import (
	"maps"
	"sync"
	"time"
)

// Status is what is known of one probe at one moment.
type Status struct {
	// Probe is the name of the probe.
	Probe string
	// Known tells that the probe was polled at least once.
	Known bool
	// Success tells that the latest poll read all it should and is not stale.
	Success bool
	// Stale tells that the latest result is too old to count.
	Stale bool
	// Err is why the latest poll failed, nil when it did not.
	Err error
	// Duration is how long the latest poll took.
	Duration time.Duration
	// LastPoll is the end of the latest poll, LastSuccess of the latest one that
	// succeeded; zero when there was none.
	LastPoll, LastSuccess time.Time
	// Samples are those of the latest poll only; nil when it read nothing or is
	// stale. They must not be changed.
	Samples []Sample
	// Polls counts the polls so far.
	Polls uint64
	// Reason is why the latest poll failed, "" when it did not.
	Reason Reason
	// Reasons counts the polls so far that failed, by reason.
	Reasons map[Reason]uint64
	// Cost is what all polls so far cost the dependency.
	Cost Cost
	// Overflow counts label values folded into "other" so far.
	Overflow uint64
}

// Board keeps the latest result of each probe. It is safe for concurrent use.
type Board struct {
	staleness time.Duration

	mu     sync.Mutex
	order  []string
	latest map[string]*entry
}

type entry struct {
	result          Result
	lastSuccess     time.Time
	polls, overflow uint64
	reasons         map[Reason]uint64
	cost            Cost
}

// NewBoard makes a board for the probes of those names, in that order, whose
// values count for the time of staleness after the start of their poll; see
// [Settings.Staleness].
func NewBoard(names []string, staleness time.Duration) *Board {
	board := &Board{staleness: staleness, latest: make(map[string]*entry, len(names))}
	for _, name := range names {
		board.entry(name)
	}
	return board
}

// entry returns the entry of the probe of that name, made when it is new.
func (b *Board) entry(name string) *entry {
	found, ok := b.latest[name]
	if !ok {
		found = &entry{reasons: map[Reason]uint64{}}
		b.latest[name] = found
		b.order = append(b.order, name)
	}
	return found
}

// Put takes the result of a poll in.
func (b *Board) Put(result Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entry(result.Probe)
	e.result = result
	e.polls++
	e.overflow += uint64(max(0, result.Reading.Overflow))
	e.cost.Plus(Cost{Queries: max(0, result.Reading.Cost.Queries), Time: result.Reading.Cost.Time})
	if result.Err == nil {
		e.lastSuccess = result.End()
		return
	}
	e.reasons[ReasonOf(result.Err)]++
}

// Snapshot returns the status of every probe as it is at the time now.
func (b *Board) Snapshot(now time.Time) []Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	statuses := make([]Status, 0, len(b.order))
	for _, name := range b.order {
		statuses = append(statuses, b.latest[name].status(name, now, b.staleness))
	}
	return statuses
}

func (e *entry) status(name string, now time.Time, staleness time.Duration) Status {
	if e.polls == 0 {
		return Status{Probe: name, Reasons: maps.Clone(e.reasons)}
	}
	stale := now.Sub(e.result.Start) > staleness
	status := Status{
		Probe: name, Known: true, Success: e.result.Err == nil && !stale, Stale: stale, Err: e.result.Err,
		Duration: e.result.Duration, LastPoll: e.result.End(), LastSuccess: e.lastSuccess,
		Polls: e.polls, Overflow: e.overflow,
		Reason: ReasonOf(e.result.Err), Reasons: maps.Clone(e.reasons), Cost: e.cost,
	}
	if stale && status.Reason == "" {
		status.Reason = ReasonHung // no poll has ended for too long
	}
	if !stale {
		status.Samples = e.result.Reading.Samples
	}
	return status
}
