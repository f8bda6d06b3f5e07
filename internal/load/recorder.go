package load

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/shard"
)

// Recorder counts results and lags, once for everybody who wants to know: the
// progress line, the page, the table at the end and Prometheus.
//
// A result costs no lock and no allocation: each core counts for itself, and
// whoever reads adds the cores up. Memory depends on the number of cases, the
// number of cores and the spread of the times, not on the number of results.
//
// At a few thousand results a second most of the cost is waiting for memory that
// other work has pushed out of the caches. Arrays of a fixed size instead of slices
// save a step each; what few results need is kept apart.
type Recorder struct {
	start    time.Time
	cases    map[*Case]*caseRecord
	order    []*caseRecord
	outcomes []Outcome
	codes    codeTable
	shards   *shard.Set[recorderShard]
	// timeBounds and lagBounds are TimeBounds and LagBounds.
	timeBounds, lagBounds []time.Duration

	mu sync.Mutex
	// window is the state at the start of the window, guarded by mu.
	window windowStart
}

// What there is room for; a test compares it with what there is.
const (
	maxOutcomes = 16
	maxCodes    = 72
	maxBounds   = 16
)

// caseRecord is what is kept once for a case. It is seldom written to.
type caseRecord struct {
	c                      *Case
	index                  int
	responseTime, duration exemplars
	// checks names the checks that are counted, the last stands for all others.
	checks []string
	failed []atomic.Uint64
	// kinds is what is known of each kind of failure, by the outcome's index.
	kinds [maxOutcomes]failureKind
}

// failureKind is what is kept of one kind of failure of a case.
type failureKind struct {
	// reason is the first that came.
	reason atomic.Pointer[string]
	// first and last are when it was seen, in ns since the start of the run.
	first, last atomic.Int64
}

// unseen is first of a kind that was never seen; its last is -unseen.
const unseen = math.MaxInt64

// seen takes note of a failure that was seen at a time since the start. Results come
// from many cores, and not in the order of their times.
func (k *failureKind) seen(since time.Duration) {
	at := int64(since)
	for first := k.first.Load(); at < first && !k.first.CompareAndSwap(first, at); {
		first = k.first.Load()
	}
	for last := k.last.Load(); at > last && !k.last.CompareAndSwap(last, at); {
		last = k.last.Load()
	}
}

// times returns when the kind was seen first and last; zero when it was not.
func (k *failureKind) times(start time.Time) (first, last time.Time) {
	from, to := k.first.Load(), k.last.Load()
	if from == unseen || to == -unseen { // or not quite yet
		return time.Time{}, time.Time{}
	}
	return start.Add(time.Duration(from)), start.Add(time.Duration(to))
}

// recorderShard is what one core counts.
type recorderShard struct {
	// cases is by the index of the case; nil until its first result.
	cases []atomic.Pointer[caseShard]
	lag   timing
}

// caseShard is what one core counts of one case.
type caseShard struct {
	// requests counts by outcome, nil until the first, and by code.
	requests [maxOutcomes]atomic.Pointer[codeCounts]
	// bytes is how much the bodies of the answers had.
	bytes                  atomic.Int64
	responseTime, duration timing
}

// codeCounts counts by the slot of the code.
type codeCounts [maxCodes]atomic.Uint64

// NewRecorder returns a recorder for the cases of a workload. The first window
// starts at now.
func NewRecorder(workload *Workload, now time.Time) *Recorder {
	r := &Recorder{
		start: now, cases: make(map[*Case]*caseRecord, len(workload.Cases)),
		outcomes: Outcomes(), codes: newCodeTable(), timeBounds: TimeBounds(), lagBounds: LagBounds(), window: windowStart{at: now},
	}
	for i, c := range workload.Cases {
		record := &caseRecord{c: c, index: i, checks: slices.Concat(BuiltinChecks(), c.Checks, []string{otherLabel})}
		record.failed = make([]atomic.Uint64, len(record.checks))
		for k := range record.kinds {
			record.kinds[k].first.Store(unseen)
			record.kinds[k].last.Store(-unseen)
		}
		r.cases[c], r.order = record, append(r.order, record)
	}
	r.shards = shard.New(func(s *recorderShard) {
		s.cases = make([]atomic.Pointer[caseShard], len(r.order))
	})
	return r
}

// Done implements [Sink]. The result must be of a case of the workload.
//
// The request is counted before its times, and [Recorder.Snapshot] reads in the
// opposite order: it never holds more times than requests.
func (r *Recorder) Done(result *Result) {
	record, outcome := r.cases[result.Case], r.outcomeIndex(result.Outcome)
	mine := r.shards.Take()
	counts := mine.Value.of(record.index)
	counts.ofOutcome(outcome)[r.codes.slot(result.Status)].Add(1)
	if result.Bytes > 0 {
		counts.bytes.Add(result.Bytes)
	}
	if result.Timed() {
		since := result.Done.Sub(r.start)
		record.responseTime.offer(counts.responseTime.observe(r.timeBounds, result.ResponseTime), since, result.ResponseTime, result)
		record.duration.offer(counts.duration.observe(r.timeBounds, result.Duration), since, result.Duration, result)
	}
	r.shards.Give(mine)
	if result.Failed() {
		record.note(outcome, result, result.Done.Sub(r.start))
	}
}

// Lag implements [LagSink].
func (r *Recorder) Lag(lag time.Duration) {
	mine := r.shards.Take()
	mine.Value.lag.observe(r.lagBounds, lag)
	r.shards.Give(mine)
}

// outcomeIndex returns the place of an outcome in [Outcomes], which begins with
// the usual one.
func (r *Recorder) outcomeIndex(outcome Outcome) int {
	if outcome == r.outcomes[0] {
		return 0
	}
	return slices.Index(r.outcomes, outcome)
}

// of returns the counts of a case. Another core may use this shard too, and may
// have made them just now.
func (s *recorderShard) of(index int) *caseShard {
	if counts := s.cases[index].Load(); counts != nil {
		return counts
	}
	s.cases[index].CompareAndSwap(nil, new(caseShard))
	return s.cases[index].Load()
}

// ofOutcome returns the counts by code of an outcome.
func (c *caseShard) ofOutcome(outcome int) *codeCounts {
	if counts := c.requests[outcome].Load(); counts != nil {
		return counts
	}
	c.requests[outcome].CompareAndSwap(nil, new(codeCounts))
	return c.requests[outcome].Load()
}

// note keeps what only failures have.
func (c *caseRecord) note(outcome int, result *Result, since time.Duration) {
	for _, check := range result.FailedChecks {
		i := slices.Index(c.checks, check)
		if i < 0 {
			i = len(c.checks) - 1
		}
		c.failed[i].Add(1)
	}
	kind := &c.kinds[outcome]
	if kind.reason.Load() == nil {
		// The result, and what its texts are parts of, is gone after this call.
		reason := strings.Clone(result.Reason)
		kind.reason.CompareAndSwap(nil, &reason)
	}
	kind.seen(since)
}

// otherLabel stands for all values of a label that are not known beforehand, so
// that a broken target cannot make series.
const otherLabel = "other"

// CodeNone is the code of a request that had no answer.
const CodeNone = "none"

// codeTable numbers the codes that requests are counted by: none at all, any that
// HTTP does not know, and those that it knows.
type codeTable struct {
	labels []string
	slots  [600]uint8
}

const (
	slotNone = iota
	slotOther
)

func newCodeTable() codeTable {
	t := codeTable{labels: []string{slotNone: CodeNone, slotOther: otherLabel}}
	for status := range t.slots {
		t.slots[status] = slotOther
		if http.StatusText(status) != "" {
			t.slots[status] = uint8(len(t.labels))
			t.labels = append(t.labels, strconv.Itoa(status))
		}
	}
	t.slots[0] = slotNone
	return t
}

func (t *codeTable) slot(status int) uint8 {
	if status < 0 || status >= len(t.slots) {
		return slotOther
	}
	return t.slots[status]
}

// TimeBounds are the upper bounds of the classic buckets of response times and
// durations; they span the time limits of the cases.
func TimeBounds() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{
		1 * ms, 2500 * time.Microsecond, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms, 500 * ms,
		time.Second, 2500 * ms, 5 * time.Second, 10 * time.Second, 30 * time.Second, 60 * time.Second,
	}
}

// LagBounds are the upper bounds of the classic buckets of the lag; they span a
// healthy schedule (tens of microseconds) to a starved one.
func LagBounds() []time.Duration {
	const us, ms = time.Microsecond, time.Millisecond
	return []time.Duration{
		50 * us, 100 * us, 250 * us, 500 * us, 1 * ms, 2500 * us, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms, 500 * ms,
		time.Second, 2500 * ms, 10 * time.Second,
	}
}

// timing counts times, on the fine grid and in classic buckets: the bounds of
// these, such as 1 ms, are no bounds of the grid.
type timing struct {
	classic [maxBounds]atomic.Uint64
	grid    histogram.Atomic
}

// observe counts a time and returns its classic bucket; len(bounds) is the one
// without an upper bound. The grid comes first, see [timing.addTo].
func (t *timing) observe(bounds []time.Duration, d time.Duration) (bucket int) {
	t.grid.Observe(d)
	for i, bound := range bounds {
		if d <= bound {
			t.classic[i].Add(1)
			return i
		}
	}
	return len(bounds)
}

// exemplarInterval is how long an exemplar stands at least: a bucket that is hit
// thousands of times a second is written to once.
const exemplarInterval = time.Second

// exemplars keeps the latest example of each classic bucket.
type exemplars struct {
	slots [maxBounds + 1]exemplarSlot
	mu    sync.Mutex
}

type exemplarSlot struct {
	// next is when the example may be replaced, in ns since the start of the run.
	next atomic.Int64
	// latest is guarded by exemplars.mu.
	latest Exemplar
}

// offer replaces the example of a bucket when it has stood long enough. A result
// without a trace id is none.
func (e *exemplars) offer(bucket int, since, value time.Duration, result *Result) {
	slot := &e.slots[bucket]
	next := slot.next.Load()
	if int64(since) < next || result.TraceID == (TraceID{}) || !slot.next.CompareAndSwap(next, int64(since+exemplarInterval)) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	slot.latest = Exemplar{Bucket: bucket, TraceID: result.TraceID, Value: value, At: result.Done}
}

// all returns the examples there are, by bucket.
func (e *exemplars) all() []Exemplar {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Exemplar
	for i := range e.slots {
		if latest := e.slots[i].latest; latest.TraceID != (TraceID{}) {
			list = append(list, latest)
		}
	}
	return list
}
