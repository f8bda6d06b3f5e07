package main

import (
	"log/slog"
	"sync"
	"time"

	"soakd/internal/load"
)

// failureLog logs the first failure of each case and outcome, and again at most
// once in repeatAfter with the number of those in between: weeks of failures
// make a bounded log.
type failureLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	seen map[failureKind]*failureCount
}

// repeatAfter is the least time between two lines on the same kind of failure.
const repeatAfter = 5 * time.Minute

type failureKind struct {
	c       *load.Case
	outcome load.Outcome
}

type failureCount struct {
	last  time.Time
	quiet int
}

func newFailureLog(log *slog.Logger) *failureLog {
	return &failureLog{log: log, seen: map[failureKind]*failureCount{}}
}

// Done implements [load.Sink].
func (f *failureLog) Done(r *load.Result) {
	if !r.Failed() {
		return
	}
	if quiet, due := f.due(failureKind{r.Case, r.Outcome}, r.Done); due {
		f.log.Warn("request failed", "case", r.Case.Name, "outcome", r.Outcome, "status", r.Status, "reason", r.Reason,
			"trace_id", r.TraceID.String(), "not_logged_before", quiet)
	}
}

// due reports whether a failure is to be logged, and how many of its kind were
// not logged since the last line.
func (f *failureLog) due(kind failureKind, at time.Time) (quiet int, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count, known := f.seen[kind]
	if known && at.Sub(count.last) < repeatAfter {
		count.quiet++
		return 0, false
	}
	if known {
		quiet = count.quiet
	}
	f.seen[kind] = &failureCount{last: at}
	return quiet, true
}
