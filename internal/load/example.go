package load

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Example is a request that failed, in a form in which it can be sent again. It holds
// no secret.
type Example struct {
	Case    *Case
	Outcome Outcome
	// Reason is what was wrong; see [Result.Reason].
	Reason string
	// Curl is the command that sends the request again, in one line for a shell; see
	// [Client.curl] for what stands in the place of secrets.
	Curl string
	// At is when it failed.
	At      time.Time
	TraceID TraceID
}

// examples keeps the first failed request of each case and outcome: there are never
// more of them than cases times outcomes. It is safe for concurrent use. A failure of
// a kind that it has costs a look at a map, and no allocation.
type examples struct {
	cases    map[*Case]int
	outcomes []Outcome
	kept     [][maxOutcomes]atomic.Pointer[Example]
}

func newExamples(workload *Workload) *examples {
	e := &examples{cases: make(map[*Case]int, len(workload.Cases)), outcomes: Outcomes(), kept: make([][maxOutcomes]atomic.Pointer[Example], len(workload.Cases))}
	for i, c := range workload.Cases {
		e.cases[c] = i
	}
	return e
}

// keep keeps the request of a flight that failed, unless there is one of its kind.
func (e *examples) keep(cfg *EngineConfig, f *flight, result *Result) {
	i, known := e.cases[f.c]
	outcome := slices.Index(e.outcomes, result.Outcome)
	if !known || outcome < 0 {
		return
	}
	if slot := &e.kept[i][outcome]; slot.Load() == nil && rebuild(cfg, f) {
		slot.CompareAndSwap(nil, &Example{
			// The result, and what its texts are parts of, is gone after this call.
			Case: f.c, Outcome: result.Outcome, Reason: strings.Clone(result.Reason),
			Curl: cfg.Client.curl(f), At: result.Done, TraceID: result.TraceID,
		})
	}
}

// rebuild builds the request of a flight that never had one, because no connection
// could be had for it. It keeps the ids that its result names.
func rebuild(cfg *EngineConfig, f *flight) bool {
	if f.request != nil {
		return true
	}
	trace, span, id := f.wire.Trace, f.wire.Span, f.wire.ID
	err := cfg.Client.prepare(f, cfg.Mix)
	f.wire.Trace, f.wire.Span, f.wire.ID = trace, span, id
	return err == nil // else another of its kind may be built
}

// list returns what there is.
func (e *examples) list() []Example {
	var list []Example
	for i := range e.kept {
		for outcome := range e.kept[i] {
			if kept := e.kept[i][outcome].Load(); kept != nil {
				list = append(list, *kept)
			}
		}
	}
	return list
}
