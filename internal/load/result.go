package load

import (
	"encoding/hex"
	"time"
)

// Result is what one request came to. It is only valid during the call that
// hands it over.
type Result struct {
	Case *Case
	User User
	// Outcome is what became of the request.
	Outcome Outcome
	// Status is the HTTP status, or 0 when there was no answer at all. An answer whose body broke off has one.
	Status int
	// Bytes is how much came of the body of the answer, unpacked; 0 when there was none.
	Bytes int64
	// FailedChecks names the checks that failed, when Outcome is CheckFailed.
	FailedChecks []string
	// Reason says what was wrong, for people, in one line of at most some 300
	// bytes; "" when nothing was. It holds no secret, but may hold ids and what
	// the target wrote: it is never a label.
	Reason string
	// TraceID is what was sent in traceparent.
	TraceID TraceID
	// Done is when the answer was complete or the request failed.
	Done time.Time
	// ResponseTime runs from the moment the arrival was due, Duration from the send.
	ResponseTime, Duration time.Duration
}

// Timed reports whether the times of the result say how long the target took:
// there was an answer, or the time limit passed without one. A connection that
// was refused or broken, or that did not speak HTTP, took no time worth counting.
func (r *Result) Timed() bool { return r.Answered() || r.Outcome == Timeout }

// Answered reports whether the target answered in HTTP at all.
func (r *Result) Answered() bool { return r.Status != 0 }

// Failed reports whether the outcome is any other than OK.
func (r *Result) Failed() bool { return r.Outcome != OK }

// Sink takes results. It is called by many goroutines at the same time and must
// return quickly.
type Sink interface{ Done(*Result) }

// Sinks hands each result to several sinks in turn.
type Sinks []Sink

// Done implements [Sink].
func (s Sinks) Done(r *Result) {
	for _, sink := range s {
		sink.Done(r)
	}
}

// TraceID is a W3C trace id (https://www.w3.org/TR/trace-context/#trace-id).
type TraceID [16]byte

// String returns the 32 lower-case hex digits that stand in traceparent.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }
