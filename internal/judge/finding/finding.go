// Package finding names what the judgement may find: its kinds, its subjects, and
// the facts that every finding has to give.
package finding

import (
	"cmp"
	"strings"
	"time"
)

// Kind is what is wrong. It is a label value.
type Kind string

// The kinds.
const (
	// Outage: the API, Postgres, Redis or another dependency was away.
	Outage Kind = "outage"
	// Restarts: the target restarted.
	Restarts Kind = "restarts"
	// Hang: requests get no answer at all within their limit while others do, or
	// all for a time.
	Hang Kind = "hang"
	// PoolExhausted: requests wait for a connection of the API's own database pool.
	PoolExhausted Kind = "pool_exhausted"
	// LockContention: sessions of the database wait for locks.
	LockContention Kind = "lock_contention"
	// CacheIneffective: the hit ratio of the cache fell.
	CacheIneffective Kind = "cache_ineffective"
	// Evictions: Redis throws out keys, and did not before.
	Evictions Kind = "evictions"
	// GCPauses: the API pauses for garbage collection more than before.
	GCPauses Kind = "gc_pauses"
	// Leak: a resource grows without end.
	Leak Kind = "leak"
	// RateLimited: the target answers 429, more than before.
	RateLimited Kind = "rate_limited"
	// Errors: valid requests fail more than before, or than is allowed.
	Errors Kind = "errors"
	// AcceptedInvalid, InvalidServerError, LeakedInternals: the three mistakes with invalid input.
	AcceptedInvalid    Kind = "accepted_invalid"
	InvalidServerError Kind = "invalid_server_error"
	LeakedInternals    Kind = "leaked_internals"
	// WrongAnswer: an answer that fails a check of its content.
	WrongAnswer Kind = "wrong_answer"
	// DataLost: what was saved is not there any more.
	DataLost Kind = "data_lost"
	// StaleRead: what is read back is not what was saved last, but is older.
	StaleRead Kind = "stale_read"
	// ForeignData: one user is shown another's data.
	ForeignData Kind = "foreign_data"
	// Latency: typical requests got slower at once.
	Latency Kind = "latency"
	// LatencyTail: the slowest requests got slower, typical ones did not.
	LatencyTail Kind = "latency_tail"
	// LatencyDrift: requests get slower and slower.
	LatencyDrift Kind = "latency_drift"
	// Objective: an objective is missed (its error budget burns too fast or is spent).
	Objective Kind = "objective"
)

// Kinds lists every kind, causes before what they cause: of several that begin
// together the first explains the others.
func Kinds() []Kind {
	return []Kind{
		Outage, Restarts, Hang, Leak, LockContention, PoolExhausted, Evictions, CacheIneffective, GCPauses, RateLimited,
		AcceptedInvalid, InvalidServerError, LeakedInternals, ForeignData, DataLost, StaleRead, WrongAnswer,
		Errors, LatencyTail, LatencyDrift, Latency, Objective,
	}
}

// Subject is what a finding is about. Fields that do not apply are "".
type Subject struct {
	// Case, Class: of the traffic. All of it together is Class "all".
	Case  string `json:"case,omitempty"`
	Class string `json:"class,omitempty"`
	// Signal is a series: name{labels}.
	Signal string `json:"signal,omitempty"`
	// Target is "api", "postgres", "redis" or a probe's name.
	Target string `json:"target,omitempty"`
	// Check names a check of answers, Objective an objective.
	Check     string `json:"check,omitempty"`
	Objective string `json:"objective,omitempty"`
}

// AllTraffic is the class that stands for all valid cases together.
const AllTraffic = "all"

// String writes the subject as a person reads it.
func (s Subject) String() string {
	var parts []string
	for _, part := range []struct{ name, value string }{
		{"target", s.Target}, {"class", s.Class}, {"case", s.Case}, {"check", s.Check}, {"signal", s.Signal}, {"objective", s.Objective},
	} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	return strings.Join(parts, ", ")
}

// Symptom is one thing that a detector sees now.
type Symptom struct {
	Kind    Kind    `json:"kind"`
	Subject Subject `json:"subject"`
	// Onset is when it began, as well as can be told, and OnsetFrom..OnsetTo the
	// stretch in which that lies.
	Onset     time.Time `json:"onset"`
	OnsetFrom time.Time `json:"onset_from,omitzero"`
	OnsetTo   time.Time `json:"onset_to,omitzero"`
	// Before and After are the figures compared, in Unit ("seconds", "ratio",
	// "bytes", "bytes per hour", "count", "per second", ...); never NaN: Before is 0
	// when there is nothing to compare with, and then Against is "".
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	Unit   string  `json:"unit,omitempty"`
	// What is the figure that is compared: "median response time", "p99 response
	// time", "share of failed requests", "slope", ...
	What string `json:"what,omitempty"`
	// Against says what it is compared with: "earlier in this run", "baseline v1.4.2", "limit".
	Against string `json:"against,omitempty"`
	// Confidence is 1 - p, p corrected for the comparisons that were made; 1 for what
	// is a fact and no estimate.
	Confidence float64 `json:"confidence"`
	// Windows is how many windows speak for it, Requests how many requests.
	Windows  int   `json:"windows,omitempty"`
	Requests int64 `json:"requests,omitempty"`
	// SlopePerHour and SecondsToLimit belong to leaks and drifts; both 0 where they
	// do not apply or there is no limit.
	SlopePerHour   float64 `json:"slope_per_hour,omitempty"`
	SecondsToLimit float64 `json:"seconds_to_limit,omitempty"`
	// Over is set when it has ended: it then ended at Ended. A detector reports that once.
	Over  bool      `json:"over,omitempty"`
	Ended time.Time `json:"ended,omitzero"`
	// Text is one sentence with the figures, for people.
	Text string `json:"text"`
}

// Key identifies a symptom: the same kind of the same subject is the same symptom.
func (s *Symptom) Key() string { return string(s.Kind) + "\xff" + s.Subject.String() }

// Ratio is After / Before, 0 when there is nothing to compare with.
func (s *Symptom) Ratio() float64 {
	if s.Before == 0 {
		return 0
	}
	return s.After / s.Before
}

// Compare orders symptoms: causes first, of one kind those about all traffic, then
// by onset and subject.
func Compare(a, b *Symptom) int {
	return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(narrow(a), narrow(b)), a.Onset.Compare(b.Onset), cmp.Compare(a.Subject.String(), b.Subject.String()))
}

// narrow is 0 for all traffic, 1 for a class, 2 for a case.
func narrow(s *Symptom) int {
	switch {
	case s.Subject.Case != "":
		return 2
	case s.Subject.Class != "" && s.Subject.Class != AllTraffic:
		return 1
	}
	return 0
}

func rank(kind Kind) int {
	for i, k := range Kinds() {
		if k == kind {
			return i
		}
	}
	return len(Kinds())
}

// Hint is a signal that moved with a finding. It is no proof of anything.
type Hint struct {
	// Signal is the series, name{labels}.
	Signal string `json:"signal"`
	// Before and After are its level before and after it moved: the mean of a gauge,
	// what a counter gained a second.
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	Unit   string  `json:"unit,omitempty"`
	// Score says how clearly it moved and how near in time, 0..1.
	Score float64 `json:"score"`
	// Moved is when it moved, LagSeconds how long after the onset; below 0 before it.
	Moved      time.Time `json:"moved"`
	LagSeconds float64   `json:"lag_seconds"`
	// Text says it for people.
	Text string `json:"text"`
}
