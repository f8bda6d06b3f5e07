package results

import (
	"cmp"
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/report"
)

// sample is one request that came to an end.
type sample struct {
	// name is its case, method its HTTP method, "" where that is not known.
	name, method string
	// end is when it came to its end, took how long that took from the send.
	end  time.Time
	took time.Duration
	// outcome is "ok" or how it failed, reason in what way.
	outcome, reason string
	// bytes is the size of the answer, below 0 where it is not known.
	bytes int64
}

// The bounds of a collector.
const (
	// maxCases bounds the cases; the requests of further names are of the case [Others].
	maxCases = 200
	// late is how many windows behind the newest sample others are still put where they belong:
	// tools write what several threads did nearly in order.
	late = 6
	// longest is the longest time without a request, or of one request, in a run.
	longest = 24 * time.Hour
	// longestRun is how long a run may be: each 10 s of it are a window, also where nothing is.
	longestRun = 366 * 24 * time.Hour
)

// Others is the case of the requests whose own name came after 200 others.
const Others = "other"

// collector makes windows and totals of samples, in memory bounded by the number of
// cases alone.
type collector struct {
	file string
	give func(*window.Window)
	// cases are the totals by name.
	cases map[string]*caseTotal
	// open are the windows under way by number, the number of a window being its start in
	// windows since the Unix epoch; next is the oldest, newest the latest of them.
	open         map[int64]*openWindow
	next, newest int64
	given        bool
	// start and end are when the first request was sent and the last one ended.
	start, end time.Time
	// dropped counts arrivals that never were sent, tooLate the samples that came after
	// their window was given out, others those of the case [Others].
	dropped, tooLate, others int64
}

// caseTotal is what a case came to.
type caseTotal struct {
	name, method string
	failures     map[string]*report.Failure
	requests     int64
	times        histogram.Histogram
	bytes        int64
}

// openWindow is a window under way.
type openWindow struct {
	cases   map[string]*openCase
	dropped int64
}

type openCase struct {
	outcomes map[string]int64
	times    *histogram.Histogram
}

func newCollector(file string, give func(*window.Window)) *collector {
	if give == nil {
		give = func(*window.Window) {}
	}
	return &collector{file: file, give: give, cases: map[string]*caseTotal{}, open: map[int64]*openWindow{}}
}

// number is the number of the window of a moment.
func number(t time.Time) int64 {
	n := t.Unix() / int64(window.Short/time.Second)
	if t.Unix() < 0 && t.Unix()%int64(window.Short/time.Second) != 0 {
		n--
	}
	return n
}

// startOf is when a window begins.
func startOf(number int64) time.Time {
	return time.Unix(number*int64(window.Short/time.Second), 0).UTC()
}

// plausible bounds the moments of a run, so that no arithmetic of times overflows.
func plausible(t time.Time) bool { return t.Year() >= 1990 && t.Year() < 2200 }

// add counts a sample that the given line holds.
func (c *collector) add(line int, s *sample) error {
	if s.took < 0 || s.took > longest {
		return wrong(c.file, line, "a request took %v: it must be 0 to %v", s.took, longest)
	}
	w, err := c.at(line, s.end, s.took)
	if err != nil {
		return err
	}
	total := c.total(s)
	total.count(s)
	one := w.cases[total.name]
	if one == nil {
		one = &openCase{outcomes: map[string]int64{}, times: new(histogram.Histogram)}
		w.cases[total.name] = one
	}
	one.outcomes[s.outcome]++
	one.times.Observe(s.took)
	return nil
}

// drop counts arrivals that never were sent.
func (c *collector) drop(line int, at time.Time, n int64) error {
	if n < 0 || n > 1<<40 {
		return wrong(c.file, line, "%d dropped: it must be at least 0", n)
	}
	w, err := c.at(line, at, 0)
	if err != nil {
		return err
	}
	w.dropped += n
	c.dropped += n
	return nil
}

// at returns the window of a moment, and takes note that something of that length ended in it.
func (c *collector) at(line int, end time.Time, took time.Duration) (*openWindow, error) {
	if !plausible(end) {
		return nil, wrong(c.file, line, "the time %v: it must be a moment of the years 1990 to 2199", end)
	}
	begun := end.Add(-took)
	const furthest = int64(longest / window.Short)
	n := number(end)
	switch {
	case c.start.IsZero():
		c.start, c.end, c.next, c.newest = begun, end, number(begun), n
	case n > c.newest+furthest || n < c.newest-furthest:
		return nil, wrong(c.file, line, "the time %v lies more than %v from that of the lines before: a file must hold one run",
			end.UTC().Format(time.RFC3339), longest)
	}
	if begun.Before(c.start) {
		c.start = begun
	}
	if end.After(c.end) {
		c.end = end
	}
	if !c.given {
		c.next = min(c.next, number(c.start))
	}
	if c.end.Sub(c.start) > longestRun {
		return nil, wrong(c.file, line, "the time %v lies more than %v from the first: a file must hold one run", end.UTC().Format(time.RFC3339), longestRun)
	}
	c.newest = max(c.newest, n)
	for ; c.next < c.newest-late; c.next++ {
		c.close(c.next)
	}
	if n < c.next {
		c.tooLate++
		n = c.next
	}
	w := c.open[n]
	if w == nil {
		w = &openWindow{cases: map[string]*openCase{}}
		c.open[n] = w
	}
	return w, nil
}

// total returns the total of the case of a sample.
func (c *collector) total(s *sample) *caseTotal {
	name := s.name
	total := c.cases[name]
	if total == nil && len(c.cases) >= maxCases-1 && name != Others {
		name = Others
		total = c.cases[name]
	}
	if name == Others && s.name != Others {
		c.others++
	}
	if total == nil {
		total = &caseTotal{name: name, method: s.method, failures: map[string]*report.Failure{}}
		c.cases[name] = total
	}
	return total
}

func (t *caseTotal) count(s *sample) {
	t.requests++
	t.times.Observe(s.took)
	if s.bytes < 0 {
		t.bytes = -1
	}
	if t.bytes >= 0 {
		t.bytes += s.bytes
	}
	if t.method != s.method {
		t.method = ""
	}
	if s.outcome == window.OK {
		return
	}
	f := t.failures[s.outcome]
	if f == nil {
		f = &report.Failure{Outcome: s.outcome, First: s.end.UTC(), Last: s.end.UTC()}
		t.failures[s.outcome] = f
	}
	f.Count++
	if f.Reason == "" {
		f.Reason = s.reason
	}
	if s.end.Before(f.First) {
		f.First = s.end.UTC()
	}
	if s.end.After(f.Last) {
		f.Last = s.end.UTC()
	}
}

// close gives a window out, also one in which nothing ended: it tells that nothing did.
func (c *collector) close(n int64) {
	begin := startOf(n)
	w := &window.Window{Start: begin, Length: window.Short}
	from, to := begin, w.End()
	if c.start.After(from) {
		from = c.start
	}
	if c.end.Before(to) {
		to = c.end
	}
	w.Covered = max(to.Sub(from), time.Millisecond) // what ended in an instant was seen
	w.Fit = w.Covered
	if open := c.open[n]; open != nil {
		w.Dropped = open.dropped
		for name, one := range open.cases {
			w.Cases = append(w.Cases, window.Case{Name: name, Outcomes: window.Counts(one.outcomes), Times: one.times})
		}
		slices.SortFunc(w.Cases, func(a, b window.Case) int { return cmp.Compare(a.Name, b.Name) })
		delete(c.open, n)
	}
	for i := range w.Cases {
		w.Sent += w.Cases[i].Requests()
	}
	w.Scheduled = w.Sent + w.Dropped
	w.Rate = float64(w.Scheduled) / w.Covered.Seconds()
	c.given = true
	c.give(w)
}

// finish gives the last windows out and returns what all came to.
func (c *collector) finish(tool string) *Result {
	r := &Result{Sampled: true}
	if !c.start.IsZero() {
		for ; c.next <= c.newest; c.next++ {
			c.close(c.next)
		}
		r.Run.Start, r.Run.Elapsed = c.start.UTC(), c.end.Sub(c.start)
	}
	r.Run.Tool = tool
	var whole histogram.Histogram
	all := report.Traffic{Bytes: 0}
	for _, total := range c.cases {
		t := total.traffic()
		r.Run.Cases = append(r.Run.Cases, t)
		whole.Merge(&total.times)
		addTo(&all, &t)
	}
	if len(c.cases) == 0 {
		all.Bytes = -1
	}
	slices.SortFunc(r.Run.Cases, func(a, b report.Traffic) int { return cmp.Compare(a.Name, b.Name) })
	all.ResponseTime = threshold.FromHistogram(&whole)
	all.ServiceTime = all.ResponseTime
	sortFailures(all.Failures)
	r.Run.All = all
	if c.dropped > 0 {
		r.note("%d arrivals were dropped by the tool and never sent: true times are these or longer", c.dropped)
		markAtLeast(&r.Run)
	}
	if c.tooLate > 0 {
		r.note("%d of %d requests stand more than %v behind others in %s: they count in later windows than they belong to", c.tooLate, all.Requests, late*window.Short, c.file)
	}
	if c.others > 0 {
		r.note("there are more than %d names: %d requests of the further ones are in the case %q", maxCases-1, c.others, Others)
	}
	return r
}

// markAtLeast marks all times as lower bounds.
func markAtLeast(r *report.Run) {
	mark := func(t *report.Traffic) { t.ResponseTime.AtLeast, t.ServiceTime.AtLeast = true, true }
	mark(&r.All)
	for i := range r.Cases {
		mark(&r.Cases[i])
	}
}

func (t *caseTotal) traffic() report.Traffic {
	times := threshold.FromHistogram(&t.times)
	done := report.Traffic{Name: t.name, Method: t.method, Requests: t.requests, Bytes: t.bytes, ResponseTime: times, ServiceTime: times}
	for _, f := range t.failures {
		done.Failed += f.Count
		done.Failures = append(done.Failures, *f)
	}
	sortFailures(done.Failures)
	return done
}

// addTo adds a case to the sum of all, but for its times.
func addTo(all, t *report.Traffic) {
	all.Requests += t.Requests
	all.Failed += t.Failed
	switch {
	case t.Bytes < 0:
		all.Bytes = -1
	case all.Bytes >= 0:
		all.Bytes += t.Bytes
	}
	for _, f := range t.Failures {
		i := slices.IndexFunc(all.Failures, func(have report.Failure) bool { return have.Outcome == f.Outcome })
		if i < 0 {
			f.Reason = "" // of one case
			all.Failures = append(all.Failures, f)
			continue
		}
		sum := &all.Failures[i]
		sum.Count += f.Count
		if !f.First.IsZero() && (sum.First.IsZero() || f.First.Before(sum.First)) {
			sum.First = f.First
		}
		if f.Last.After(sum.Last) {
			sum.Last = f.Last
		}
	}
}

// sortFailures puts the most frequent first.
func sortFailures(list []report.Failure) {
	slices.SortFunc(list, func(a, b report.Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Outcome, b.Outcome))
	})
}
