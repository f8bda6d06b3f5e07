package threshold

import (
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// Config says how a run is judged.
type Config struct {
	// Window is the length of the windows of which the worst counts, whole tens of
	// seconds, 30 s by default. One with too few requests for a figure goes on until it
	// has enough, and what is left over at the end joins the last.
	Window time.Duration
	// WarmUp is how much of the start is left out: windows that begin within it.
	WarmUp time.Duration
	// Sending is for how long requests are sent, 0 for ever: what is measured after it
	// is the end of requests, and no time in which there should be more.
	Sending time.Duration
	// Total is how many arrivals the schedule has, the warm-up included; 0 when that is
	// not known.
	Total int64
}

// Gate holds a run to thresholds while it goes on. Its memory does not grow with the
// run. It is not safe for concurrent use.
type Gate struct {
	cfg     Config
	watches []watch
	// elapsed is how much the windows have covered since the start, by the clock that
	// also the schedule goes by. Windows begin on a grid of tens of seconds, and what
	// they cover is some milliseconds more or less.
	elapsed time.Duration
	// seen are the windows after the warm-up in which requests were sent.
	seen doubts
	// sent, ended and dropped count arrivals since the start, ended all those that need
	// no longer be waited for.
	// sent, ended and dropped count arrivals since the start, the warm-up included.
	sent, ended, dropped int64
}

// NewGate returns a gate that has seen nothing.
func NewGate(list List, cfg Config) *Gate {
	if cfg.Window <= 0 {
		cfg.Window = 3 * window.Short
	}
	g := &Gate{cfg: cfg}
	for _, t := range list {
		g.watches = append(g.watches, watch{Threshold: t})
	}
	return g
}

// watch is one threshold with what was measured for it.
type watch struct {
	Threshold
	// run is all since the warm-up. pending is the window under way and last the one
	// before, which takes in what is left over at the end; worst is the worst before.
	run, pending, last tally
	worst              *Judged
	// closed counts windows that had enough requests.
	closed int64
}

// tally adds up what windows had of the traffic that a threshold is about.
type tally struct {
	// start and end are by the clock, length by the grid of windows.
	start, end time.Time
	length     time.Duration
	// counted is the time that rates are of.
	counted                   time.Duration
	requests, failed, missing int64
	times                     histogram.Histogram
}

// part is a window with what a gate knows of it.
type part struct {
	*window.Window

	// sending is for how much of it requests were sent; draining that it is only
	// the end of those that were sent before.
	sending  time.Duration
	draining bool
	// missing are the arrivals that have no time.
	missing int64
	// troubled tells that soakd had trouble of its own.
	troubled bool
}

// crack is by how much a window may begin before the end of the warm-up, or of the
// schedule, and still count as one after it: ticks come some milliseconds early or late.
const crack = 200 * time.Millisecond

// Add takes the next window of 10 s, or the shorter last one.
func (g *Gate) Add(w *window.Window) {
	began := g.elapsed
	g.elapsed += w.Covered
	p := part{Window: w, sending: w.Covered, troubled: own(w.Unfit)}
	if g.cfg.Sending > 0 {
		p.sending = max(0, min(w.Covered, g.cfg.Sending-began))
		p.draining = g.cfg.Sending-began < crack
	}
	p.missing = g.missing(w)
	if g.cfg.WarmUp-began > crack {
		return
	}
	if !p.draining {
		g.seen.count(w.Unfit)
	}
	for i := range g.watches {
		g.watches[i].add(&p, g.cfg.Window)
	}
}

// missing counts the arrivals of a window that have no time: those that were dropped,
// and requests that were cut at the end of the run. How many those are is not said, but
// that there were some is, by the reason dropped; they are then all that have not ended.
func (g *Gate) missing(w *window.Window) int64 {
	g.sent += w.Sent
	g.dropped += w.Dropped
	for i := range w.Cases {
		g.ended += w.Cases[i].Requests()
	}
	cut := int64(0)
	if slices.Contains(w.Unfit, "dropped") && g.cfg.Sending > 0 && g.elapsed > g.cfg.Sending+crack {
		cut = max(0, g.sent-g.ended)
	}
	if w.Dropped+cut == 0 && slices.Contains(w.Unfit, "dropped") {
		return 1
	}
	return w.Dropped + cut
}

// add takes a window in.
func (t *watch) add(p *part, length time.Duration) {
	t.run.add(&t.Threshold, p)
	if !t.overWindows() {
		return
	}
	t.pending.add(&t.Threshold, p)
	if p.draining || t.pending.length < length || (t.figure.name == "rate" && t.pending.counted < length-length/20) {
		return
	}
	if f := t.pending.figures(&t.Threshold); !t.enough(&f) {
		return
	}
	t.settle()
	t.last, t.pending = t.pending, tally{}
	t.closed++
}

// settle compares the last window with the worst.
func (t *watch) settle() {
	if t.closed == 0 {
		return
	}
	t.worst = t.worseOf(t.worst, &t.last)
}

// worseOf returns the worse of a judgement, which may be nil, and that of a tally.
func (t *watch) worseOf(worst *Judged, of *tally) *Judged {
	f := of.figures(&t.Threshold)
	j := t.judge(&f, true, WorstWindow)
	if worst == nil || t.worse(&j, worst) {
		return &j
	}
	return worst
}

// add takes a window in. Times of windows in which soakd had trouble of its own say
// nothing about the target, and a rate says nothing about it either in those and while
// somebody had paused the load. Wrong answers, timeouts and broken connections count all
// the same, for soakd does not make them by being late; refused connections do not
// where soakd's own machine had no port, file or memory for them: those are told as
// connections that failed, and which of them is whose cannot be told.
func (s *tally) add(t *Threshold, p *part) {
	if s.start.IsZero() {
		s.start = p.Start
	}
	s.end = p.Start.Add(p.Covered)
	s.length = p.End().Sub(s.start)
	if t.figure.name == "rate" && (p.troubled || slices.Contains(p.Unfit, "paused")) {
		return
	}
	s.counted += p.sending
	s.missing += p.missing
	for i := range p.Cases {
		c := &p.Cases[i]
		if (t.class != "" && c.Class != t.class) || (t.name != "" && c.Name != t.name) {
			continue
		}
		requests, failed := c.Requests(), c.Failed()
		if wanting(p.Unfit) {
			notMade := window.Of(c.Outcomes, "connect")
			requests, failed = requests-notMade, failed-notMade
		}
		s.requests += requests
		s.failed += failed
		if c.Times != nil && !p.troubled {
			s.times.Merge(c.Times)
		}
	}
}

// figures are what the tally comes to for a threshold.
func (s *tally) figures(t *Threshold) Figures {
	f := Figures{Start: s.start, Length: s.end.Sub(s.start), Requests: s.requests, Failed: s.failed, Missing: s.missing, Sending: s.counted}
	if s.counted == 0 {
		f.Sending = -1
	}
	if t.figure.unit == seconds {
		f.Times = FromHistogram(&s.times)
	}
	return f
}

// join adds what came after.
func (s *tally) join(after *tally) tally {
	sum := *s
	sum.end = after.end
	sum.length += after.length
	sum.counted += after.counted
	sum.requests += after.requests
	sum.failed += after.failed
	sum.missing += after.missing
	sum.times = histogram.Histogram{}
	sum.times.Merge(&s.times)
	sum.times.Merge(&after.times)
	return sum
}

// Judged returns what the thresholds come to by now: first each over the run, then over
// its worst window, where there are several.
func (g *Gate) Judged() []Judged {
	var all []Judged
	for i := range g.watches {
		t := &g.watches[i]
		if t.over != WorstWindow {
			all = append(all, g.seen.on(&t.Threshold, t.overRun()))
		}
		if t.overWindows() {
			several := t.run.requests > 0 && t.run.length >= 2*g.cfg.Window
			all = t.addWindows(all, t.worstNow(), &g.seen, several && t.closed == 0)
		}
	}
	return all
}

// overRun judges the run as a whole.
func (t *watch) overRun() Judged {
	f := t.run.figures(&t.Threshold)
	return t.judge(&f, !t.run.start.IsZero(), Run)
}

// worstNow is the worst window so far, nil while there are fewer than two, of which the
// run would be the only one, unless windows alone were asked for.
func (t *watch) worstNow() *Judged {
	if t.run.requests == 0 || t.closed == 0 || (t.closed == 1 && t.over != WorstWindow) {
		return nil
	}
	last := t.last
	if !t.pending.start.IsZero() {
		last = last.join(&t.pending)
	}
	return t.worseOf(t.worst, &last)
}
