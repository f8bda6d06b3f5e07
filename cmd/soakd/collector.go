package main

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"soakd/internal/judge/window"
	"soakd/internal/load"
	"soakd/internal/probes"
	"soakd/internal/probes/api"
)

// collector puts what was measured into windows for the judgement: traffic from
// the recorder, signals from the probes as they are polled, and soakd's own fitness.
type collector struct {
	recorder *load.Recorder
	// versions may be nil: the workload's answers give none.
	versions *load.Versions
	// version is the target's where it is set; it goes before what answers say.
	version string
	// noted is the version that somebody posted last; it counts where it takes the
	// place of the one that is set, or where answers give none.
	noted   atomic.Pointer[string]
	seconds *secondCounts

	mu sync.Mutex
	// series are the signals of the window under way, counters those that were seen
	// before; guarded by mu.
	series   map[seriesKey]*window.Signal
	counters map[seriesKey]*counterState
	polls    map[string]*window.Probe
	// said are the versions that metrics pages gave; guarded by mu.
	said map[string]bool
	// log may be nil; told tells that it was told of signals that are left out; guarded by mu.
	log  *slog.Logger
	told bool

	// before is what the recorder had counted when the window began.
	before load.Snapshot
	rate   rateTrend
	// next is where the next window begins if none is missing; zero before the first.
	next time.Time
}

// maxSaid bounds the versions of one window.
const maxSaid = 8

// maxSeries bounds the signals that are judged.
const maxSeries = 1024

type seriesKey struct{ name, labels string }

// counterState is the last value of a counter.
type counterState struct {
	value float64
	at    time.Time
}

// forgetCounter is for how long the last value of a counter that is not read any
// more is kept: an outage is shorter, a replica that has gone is not.
const forgetCounter = 6 * time.Hour

func newCollector(recorder *load.Recorder, versions *load.Versions, version string, start time.Time) *collector {
	return &collector{
		recorder: recorder, versions: versions, version: version, seconds: newSecondCounts(start),
		series: map[seriesKey]*window.Signal{}, counters: map[seriesKey]*counterState{}, polls: map[string]*window.Probe{}, said: map[string]bool{},
		before: recorder.Snapshot(),
	}
}

// probe takes the result of a poll in.
func (c *collector) probe(result probes.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countPoll(result)
	for _, sample := range result.Reading.Samples {
		if sample.Times != nil {
			continue // a histogram of soakd's own times; what it is about has a gauge too
		}
		if sample.Desc.Name == api.VersionInfo && len(c.said) < maxSaid {
			c.said[sample.Labels[len(sample.Labels)-1]] = true
			continue
		}
		key := seriesKey{sample.Desc.Name, labelText(sample.Desc.Labels, sample.Labels)}
		signal := c.series[key]
		if signal == nil {
			if len(c.series) >= maxSeries {
				c.leaveOut(key)
				continue
			}
			signal = &window.Signal{Name: key.name, Labels: key.labels}
			c.series[key] = signal
		}
		if sample.Desc.Type == probes.Counter {
			signal.Kind = window.Counter
			signal.N++
			signal.Increase += c.gain(key, sample.Value, result.Start)
			continue
		}
		addGauge(signal, sample.Value)
	}
}

// leaveOut says once that there are more signals than are judged.
func (c *collector) leaveOut(key seriesKey) {
	if c.log != nil && !c.told {
		c.log.Warn("there are more signals than are judged: leaks and changes of those beyond are not seen; watch fewer replicas, tables or statements", "judged", maxSeries, "first_left_out", window.SignalID(key.name, key.labels))
	}
	c.told = true
}

func (c *collector) countPoll(result probes.Result) {
	poll := c.polls[result.Probe]
	if poll == nil {
		poll = &window.Probe{Name: result.Probe}
		c.polls[result.Probe] = poll
	}
	poll.Polls++
	if result.Err == nil {
		poll.LastSuccess = result.Start.UTC()
		if poll.FirstSuccess.IsZero() {
			poll.FirstSuccess = poll.LastSuccess
		}
		return
	}
	poll.Failed++
	poll.Reason = string(probes.ReasonOf(result.Err))
	if poll.FirstFailure.IsZero() {
		poll.FirstFailure = result.Start.UTC()
	}
}

func addGauge(s *window.Signal, value float64) {
	if s.N == 0 {
		s.Min, s.Max = value, value
	}
	s.N++
	s.Min, s.Max, s.Sum, s.Last = min(s.Min, value), max(s.Max, value), s.Sum+value, value
}

// gain is what a counter has gained since it was read last, 0 at the first time.
// One that fell began anew.
func (c *collector) gain(key seriesKey, value float64, at time.Time) float64 {
	last := c.counters[key]
	if last == nil {
		if len(c.counters) < 2*maxSeries {
			c.counters[key] = &counterState{value, at}
		}
		return 0
	}
	gained := value - last.value
	if gained < 0 {
		gained = value
	}
	last.value, last.at = value, at
	return gained
}

// labelText writes labels as Prometheus does: a="x",b="y".
func labelText(names, values []string) string {
	var b strings.Builder
	for i, name := range names {
		if i >= len(values) {
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name + "=" + strconv.Quote(values[i]))
	}
	return b.String()
}

// closing is what is known of soakd's own work in a window that is over.
type closing struct {
	start, end time.Time
	// scheduled, sent and dropped count arrivals in it.
	scheduled, sent, dropped int64
	// rate is what is aimed at now, of a closed model what was sent a second.
	rate float64
	// unfit are the reasons against it; counts tells that it is one to judge times by.
	unfit  []load.UnfitReason
	counts bool
}

// begin returns the start of a window that was measured from a moment on. A window
// begins where the one before ends: ticks come some milliseconds late, or some
// seconds on a busy machine, and detectors would take each such crack for a gap, and
// each overlap for a window out of order. Only where a whole window is missing is
// there a gap; where the clock was set back by one or more the windows follow it.
// Windows begin with a whole second of the counts by second.
func (c *collector) begin(start time.Time) time.Time {
	begins := start.UTC().Round(0)
	switch lag := begins.Sub(c.next); {
	case c.next.IsZero():
		begins = c.seconds.begin(start).UTC().Round(0)
	case lag >= window.Short:
		begins = c.next.Add(lag.Truncate(window.Short))
	case lag > -window.Short:
		begins = c.next
	}
	c.next = begins.Add(window.Short)
	return begins
}

// window ends the window under way and begins the next.
func (c *collector) window(end closing) *window.Window {
	covered := end.end.Sub(end.start)
	w := &window.Window{
		Start: c.begin(end.start), Length: window.Short, Covered: covered, Rate: end.rate, Phase: c.rate.phase(end.rate),
		Scheduled: end.scheduled, Sent: end.sent, Dropped: end.dropped, Version: c.targetVersion(), Seconds: c.seconds.take(end.end),
	}
	for _, reason := range end.unfit {
		w.Unfit = append(w.Unfit, string(reason))
	}
	slices.Sort(w.Unfit)
	if end.counts && len(w.Unfit) == 0 {
		w.Fit = covered
	}
	now := c.recorder.Snapshot()
	w.Cases = casesSince(&c.before, &now)
	c.before = now
	c.takeProbes(w, end.end)
	return w
}

func (c *collector) targetVersion() string {
	seen, said, noted := c.versions.Take(), c.takeSaid(), c.noted.Load()
	if len(seen) == 0 {
		seen = said
	}
	switch {
	case c.version != "" && noted == nil:
		return c.version
	case c.version == "" && len(seen) > 1:
		return window.Mixed
	case c.version == "" && len(seen) == 1:
		return seen[0]
	case noted != nil:
		return *noted
	}
	return ""
}

// takeSaid returns the versions that the target's metrics pages gave in this window.
func (c *collector) takeSaid() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	said := slices.Sorted(maps.Keys(c.said))
	clear(c.said)
	return said
}

// takeProbes moves what the probes read into the window.
func (c *collector) takeProbes(w *window.Window, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.series {
		w.Signals = append(w.Signals, *s)
	}
	for _, p := range c.polls {
		w.Probes = append(w.Probes, *p)
	}
	clear(c.series)
	clear(c.polls)
	for key, last := range c.counters {
		if now.Sub(last.at) > forgetCounter {
			delete(c.counters, key)
		}
	}
	slices.SortFunc(w.Signals, func(a, b window.Signal) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Labels, b.Labels))
	})
	slices.SortFunc(w.Probes, func(a, b window.Probe) int { return cmp.Compare(a.Name, b.Name) })
}

// casesSince is what each case had between two moments.
func casesSince(before, now *load.Snapshot) []window.Case {
	var cases []window.Case
	for i := range now.Cases {
		c, older := &now.Cases[i], &before.Cases[i]
		outcomes := map[string]int64{}
		for _, r := range c.Requests {
			outcomes[string(r.Outcome)] += int64(r.Count)
		}
		for _, r := range older.Requests {
			outcomes[string(r.Outcome)] -= int64(r.Count)
		}
		one := window.Case{Name: c.Case.Name, Class: string(c.Case.Class), Invalid: c.Case.Invalid, Outcomes: window.Counts(outcomes)}
		if len(one.Outcomes) == 0 {
			continue
		}
		checks := map[string]int64{}
		for _, f := range c.FailedChecks {
			checks[f.Check] += int64(f.Count)
		}
		for _, f := range older.FailedChecks {
			checks[f.Check] -= int64(f.Count)
		}
		one.Checks = window.Counts(checks)
		if times := c.ResponseTime.Histogram.Sub(&older.ResponseTime.Histogram); times.Count() > 0 {
			one.Times = &times
		}
		cases = append(cases, one)
	}
	slices.SortFunc(cases, func(a, b window.Case) int { return cmp.Compare(a.Name, b.Name) })
	return cases
}

// rateTrend says what the rate does from one window to the next.
type rateTrend struct{ last float64 }

// steadyShare: a change by less from one window to the next is none.
const steadyShare = 0.02

func (t *rateTrend) phase(rate float64) string {
	last := t.last
	t.last = rate
	switch {
	case last == 0 || max(rate, last)-min(rate, last) <= steadyShare*last:
		return "steady"
	case rate > last:
		return "rising"
	}
	return "falling"
}

// secondCounts counts valid requests by the second in which they ended, for the
// start and end of outages. It is a [load.Sink] and costs no lock.
type secondCounts struct {
	start time.Time
	// counts is a ring: second n since the start is at n modulo its length.
	counts [secondsKept]struct{ ok, failed atomic.Uint32 }
	// first is the second that the next window begins with.
	first atomic.Int64
}

// secondsKept is for how many seconds counts are kept; a window has 10.
const secondsKept = 128

func newSecondCounts(start time.Time) *secondCounts { return &secondCounts{start: start} }

// Done implements [load.Sink].
func (s *secondCounts) Done(r *load.Result) {
	at := int64(r.Done.Sub(s.start) / time.Second)
	if first := s.first.Load(); r.Case.Invalid || at < first || at >= first+secondsKept {
		return
	}
	slot := &s.counts[at%secondsKept]
	if r.Failed() {
		slot.failed.Add(1)
	} else {
		slot.ok.Add(1)
	}
}

// begin leaves out what was before the first window, and returns when the second
// begins that it starts in.
func (s *secondCounts) begin(at time.Time) time.Time {
	n := max(0, int64(at.Sub(s.start)/time.Second))
	s.first.Store(n)
	return s.start.Add(time.Duration(n) * time.Second)
}

// take returns the seconds of the window that ended about then, and of those after it
// that are missing, and begins anew behind them. After a stall nothing is known.
func (s *secondCounts) take(end time.Time) []window.Second {
	const length = int64(window.Short / time.Second)
	from := s.first.Load()
	to := from + max(length, (int64(end.Sub(s.start)/time.Second)-from)/length*length)
	if to-from > secondsKept {
		for i := range s.counts {
			s.counts[i].ok.Store(0)
			s.counts[i].failed.Store(0)
		}
		s.first.Store(to)
		return nil
	}
	counts := make([]window.Second, 0, to-from)
	for at := from; at < to; at++ {
		slot := &s.counts[at%secondsKept]
		counts = append(counts, window.Second{OK: slot.ok.Swap(0), Failed: slot.failed.Swap(0)})
	}
	s.first.Store(to)
	return counts
}
