package window

import (
	"cmp"
	"slices"
	"time"

	"soakd/internal/histogram"
)

// Roller puts windows of the level [Short] together to those of the levels above.
// Windows must come in order. A level's window is done as soon as a window of a
// later one comes: what is missing in between is a gap, and no window is made of
// nothing. It keeps one unfinished window a level.
type Roller struct {
	open [3]*builder // Minute, Five, Hour
}

// builder is a window under way.
type builder struct {
	w        Window
	cases    map[string]*Case
	outcomes map[string]map[string]int64
	checks   map[string]map[string]int64
	signals  map[Signal]*Signal // by name, labels and kind alone
	probes   map[string]*Probe
	versions map[string]bool
	phases   map[string]time.Duration
	rate     float64 // rate times seconds
	// own tells that the histogram of a case belongs to this window.
	own map[string]bool
	// all tells that the traffic of parts that were not fit counts too.
	all bool
}

// Add takes the next window of the level [Short] in, and returns the windows of
// the higher levels that are done now, shortest first.
func (r *Roller) Add(w *Window) []*Window {
	var done []*Window
	parts := []*Window{w}
	for i, length := range Levels()[1:] {
		var ended []*Window
		for _, part := range parts {
			start := part.Start.Truncate(length)
			if open := r.open[i]; open != nil && !open.w.Start.Equal(start) {
				ended = append(ended, open.finish())
				r.open[i] = nil
			}
			if r.open[i] == nil {
				r.open[i] = newBuilder(start, length)
			}
			r.open[i].add(part)
			// The last part of a whole ends it: nobody has to wait for the next one.
			if !part.End().Before(start.Add(length)) {
				ended = append(ended, r.open[i].finish())
				r.open[i] = nil
			}
		}
		done = append(done, ended...)
		parts = ended
	}
	return done
}

// Flush returns the windows under way as they are, shortest first, and forgets them.
func (r *Roller) Flush() []*Window {
	var done []*Window
	var below []*Window
	for i := range r.open {
		if len(below) > 0 {
			if r.open[i] == nil {
				r.open[i] = newBuilder(below[0].Start.Truncate(Levels()[i+1]), Levels()[i+1])
			}
			for _, part := range below {
				r.open[i].add(part)
			}
		}
		below = nil
		if r.open[i] != nil {
			below = []*Window{r.open[i].finish()}
			r.open[i] = nil
			done = append(done, below...)
		}
	}
	return done
}

// Join puts windows that follow one another into one of the given start and length, to be shown: the
// traffic of all parts counts, fit or not.
func Join(start time.Time, length time.Duration, parts []*Window) *Window {
	b := newBuilder(start, length)
	b.all = true
	for _, part := range parts {
		b.add(part)
	}
	return b.finish()
}

// Merge puts windows that follow one another into one of the given start and length,
// to be judged by: the traffic of parts that were not fit is left out.
func Merge(start time.Time, length time.Duration, parts []*Window) *Window {
	b := newBuilder(start, length)
	for _, part := range parts {
		b.add(part)
	}
	return b.finish()
}

func newBuilder(start time.Time, length time.Duration) *builder {
	return &builder{
		w: Window{Start: start, Length: length}, cases: map[string]*Case{}, outcomes: map[string]map[string]int64{}, checks: map[string]map[string]int64{},
		signals: map[Signal]*Signal{}, probes: map[string]*Probe{}, versions: map[string]bool{}, phases: map[string]time.Duration{}, own: map[string]bool{},
	}
}

func (b *builder) add(part *Window) {
	b.w.Covered += part.Covered
	b.w.Fit += part.Fit
	b.w.Scheduled += part.Scheduled
	b.w.Sent += part.Sent
	b.w.Dropped += part.Dropped
	b.rate += part.Rate * part.Covered.Seconds()
	b.phases[part.Phase] += part.Covered
	for _, reason := range part.Unfit {
		if !slices.Contains(b.w.Unfit, reason) {
			b.w.Unfit = append(b.w.Unfit, reason)
		}
	}
	if part.Version != "" {
		b.versions[part.Version] = true
	}
	if b.all || part.Length > Short || part.IsFit() {
		for i := range part.Cases {
			b.addCase(&part.Cases[i])
		}
	}
	for _, s := range part.Signals {
		b.addSignal(s)
	}
	for _, p := range part.Probes {
		b.addProbe(p)
	}
}

func (b *builder) addCase(c *Case) {
	sum := b.cases[c.Name]
	if sum == nil {
		sum = &Case{Name: c.Name, Class: c.Class, Invalid: c.Invalid}
		b.cases[c.Name], b.outcomes[c.Name], b.checks[c.Name] = sum, map[string]int64{}, map[string]int64{}
	}
	for _, o := range c.Outcomes {
		b.outcomes[c.Name][o.Name] += o.N
	}
	for _, o := range c.Checks {
		b.checks[c.Name][o.Name] += o.N
	}
	switch {
	case c.Times == nil:
	case sum.Times == nil:
		sum.Times = c.Times // shared until there is a second one
	default:
		if !b.own[c.Name] {
			first := sum.Times
			sum.Times, b.own[c.Name] = new(histogram.Histogram), true
			sum.Times.Merge(first)
		}
		sum.Times.Merge(c.Times)
	}
}

func (b *builder) addSignal(s Signal) {
	key := Signal{Name: s.Name, Labels: s.Labels, Kind: s.Kind}
	sum := b.signals[key]
	if sum == nil {
		b.signals[key] = &s
		return
	}
	if s.N > 0 && s.Kind == Gauge {
		if sum.N == 0 {
			sum.Min, sum.Max = s.Min, s.Max
		}
		sum.Min, sum.Max, sum.Sum, sum.Last = min(sum.Min, s.Min), max(sum.Max, s.Max), sum.Sum+s.Sum, s.Last
	}
	sum.N += s.N
	sum.Increase += s.Increase
}

func (b *builder) addProbe(p Probe) {
	sum := b.probes[p.Name]
	if sum == nil {
		b.probes[p.Name] = &p
		return
	}
	sum.Polls += p.Polls
	sum.Failed += p.Failed
	if sum.FirstFailure.IsZero() {
		sum.FirstFailure = p.FirstFailure
	}
	if sum.FirstSuccess.IsZero() {
		sum.FirstSuccess = p.FirstSuccess
	}
	if !p.LastSuccess.IsZero() {
		sum.LastSuccess = p.LastSuccess
	}
	sum.Reason = cmp.Or(p.Reason, sum.Reason)
}

func (b *builder) finish() *Window {
	w := &b.w
	if seconds := w.Covered.Seconds(); seconds > 0 {
		w.Rate = b.rate / seconds
	}
	slices.Sort(w.Unfit)
	for version := range b.versions {
		w.Version = version
	}
	if len(b.versions) > 1 {
		w.Version = Mixed
	}
	longest := time.Duration(-1)
	for phase, length := range b.phases {
		if length > longest || (length == longest && phase < w.Phase) {
			w.Phase, longest = phase, length
		}
	}
	for name, c := range b.cases {
		c.Outcomes, c.Checks = Counts(b.outcomes[name]), Counts(b.checks[name])
		w.Cases = append(w.Cases, *c)
	}
	slices.SortFunc(w.Cases, func(a, b Case) int { return cmp.Compare(a.Name, b.Name) })
	for _, s := range b.signals {
		w.Signals = append(w.Signals, *s)
	}
	slices.SortFunc(w.Signals, compareSignals)
	for _, p := range b.probes {
		w.Probes = append(w.Probes, *p)
	}
	slices.SortFunc(w.Probes, func(a, b Probe) int { return cmp.Compare(a.Name, b.Name) })
	return w
}

// Counts turns a map into sorted counts without zeros.
func Counts(m map[string]int64) []Count {
	var counts []Count
	for name, n := range m {
		if n != 0 {
			counts = append(counts, Count{name, n})
		}
	}
	slices.SortFunc(counts, func(a, b Count) int { return cmp.Compare(a.Name, b.Name) })
	return counts
}
