package threshold

import (
	"fmt"
	"math"
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// Config says how a run is judged.
type Config struct {
	// Window is the least length of the windows of which the worst counts; 30 s by
	// default.
	Window time.Duration
	// WarmUp is how much of the start is left out: windows that begin within it.
	WarmUp time.Duration
	// Sending is for how long requests are sent, 0 for ever: what is measured after it
	// is the end of requests, and no time in which there should be more.
	Sending time.Duration
	// Total is how many arrivals the schedule has, 0 when that is not known.
	Total int64
}

// mostOwn is the share of windows in which soakd had trouble of its own above which
// nothing is said about times and rates.
const mostOwn = 0.2

// Gate holds a run to thresholds while it goes on. Its memory does not grow with the
// run. The zero value has no thresholds.
type Gate struct {
	cfg     Config
	watches []watch
	// start is when the first window began; windows counts those after the warm-up, and
	// troubled those of them in which soakd had trouble of its own.
	start             time.Time
	windows, troubled int64
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
	start, end time.Time
	// counted is the time that rates are of.
	counted                   time.Duration
	requests, failed, missing int64
	times                     histogram.Histogram
}

// Add takes the next window of 10 s.
func (g *Gate) Add(w *window.Window) {
	if g.start.IsZero() {
		g.start = w.Start
	}
	since := w.Start.Sub(g.start)
	if since < g.cfg.WarmUp {
		return
	}
	draining := g.cfg.Sending > 0 && since >= g.cfg.Sending
	if !draining {
		g.windows++
		if own(w.Unfit) {
			g.troubled++
		}
	}
	sending := w.Covered
	if g.cfg.Sending > 0 {
		sending = max(0, min(sending, g.cfg.Sending-since))
	}
	for i := range g.watches {
		g.watches[i].add(w, sending, draining, g.cfg.Window)
	}
}

// add takes a window in of which so much was for sending.
func (t *watch) add(w *window.Window, sending time.Duration, draining bool, length time.Duration) {
	t.run.add(&t.Threshold, w, sending)
	if !t.figure.windows || t.over == Run {
		return
	}
	t.pending.add(&t.Threshold, w, sending)
	pending := t.pending.figures()
	if draining || t.pending.end.Sub(t.pending.start) < length || (t.figure.name == "rate" && t.pending.counted < length) || !t.enough(&pending) {
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
	f := of.figures()
	j := t.judge(&f, true, WorstWindow)
	if worst == nil || t.worse(&j, worst) {
		return &j
	}
	return worst
}

// add takes a window in. Times of windows in which soakd had trouble of its own say
// nothing about the target, and a rate says nothing about it either in those and while
// somebody had paused the load. Failures count all the same, but for connections that
// soakd's own machine could not make.
func (s *tally) add(t *Threshold, w *window.Window, sending time.Duration) {
	troubled := own(w.Unfit)
	if s.start.IsZero() {
		s.start = w.Start
	}
	s.end = w.Start.Add(w.Covered)
	if t.figure.name == "rate" {
		if troubled || slices.Contains(w.Unfit, "paused") {
			return
		}
		s.counted += sending
	}
	s.missing += missing(w)
	for i := range w.Cases {
		c := &w.Cases[i]
		if (t.class != "" && c.Class != t.class) || (t.name != "" && c.Name != t.name) {
			continue
		}
		requests, failed := c.Requests(), c.Failed()
		if wanting(w.Unfit) {
			notMade := window.Of(c.Outcomes, "connect")
			requests, failed = requests-notMade, failed-notMade
		}
		s.requests += requests
		s.failed += failed
		if c.Times != nil && !troubled {
			s.times.Merge(c.Times)
		}
	}
}

// missing counts the arrivals of a window that have no time: those that were dropped.
// Requests that were cut at the end are told by the reason alone, and are one at least.
func missing(w *window.Window) int64 {
	if w.Dropped == 0 && slices.Contains(w.Unfit, "dropped") {
		return 1
	}
	return w.Dropped
}

// figures are what the tally comes to.
func (s *tally) figures() Figures {
	f := Figures{Start: s.start, Length: s.end.Sub(s.start), Requests: s.requests, Failed: s.failed, Missing: s.missing, Times: FromHistogram(&s.times)}
	if s.counted > 0 {
		f.Length = s.counted
	}
	return f
}

// join adds what came after.
func (s *tally) join(after *tally) tally {
	sum := *s
	sum.end = after.end
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
			all = append(all, g.doubt(t, t.judge(ptr(t.run.figures()), !t.run.start.IsZero(), Run)))
		}
		if t.over == Run || !t.figure.windows {
			continue
		}
		all = t.addWindows(all, t.worstNow())
	}
	return all
}

func ptr(f Figures) *Figures { return &f }

// worstNow is the worst window so far, nil while there are fewer than two.
func (t *watch) worstNow() *Judged {
	if t.closed < 2 {
		return nil
	}
	last := t.last
	if !t.pending.start.IsZero() {
		last = last.join(&t.pending)
	}
	return t.worseOf(t.worst, &last)
}

// doubt takes back what cannot be said because soakd itself was in trouble.
func (g *Gate) doubt(t *watch, j Judged) Judged {
	if g.troubled == 0 || float64(g.troubled) <= mostOwn*float64(g.windows) || (t.figure.unit != seconds && t.figure.name != "rate") {
		return j
	}
	j.Result = Unknown
	j.Text += fmt.Sprintf("; soakd itself was late or starved in %d of %d windows", g.troubled, g.windows)
	return j
}

// Hopeless returns the first threshold that can no longer be met, whatever comes.
func (g *Gate) Hopeless() (text string, hopeless bool) {
	for i := range g.watches {
		t := &g.watches[i]
		if t.worst != nil && t.worst.Result == Missed {
			return t.worst.Text, true
		}
		if t.over != WorstWindow && g.lost(t) {
			j := t.judge(ptr(t.run.figures()), true, Run)
			return j.Text + ": no more than " + fmt.Sprint(g.cfg.Total) + " arrivals will come", true
		}
	}
	return "", false
}

// margin is how much longer than a limit a time has to be to be longer for certain:
// histograms are exact within 1.1 %.
const margin = 1.02

// lost reports whether the run as a whole has missed a threshold already, even if all
// that still comes is as good as can be.
func (g *Gate) lost(t *watch) bool {
	f := t.run.figures()
	if t.upper() {
		switch t.figure.name {
		case "failures":
			return !t.keeps(float64(f.Failed))
		case "dropped":
			return !t.keeps(float64(f.Missing))
		case "max":
			return f.Times.Count > 0 && f.Times.Max.Seconds() > margin*t.limit
		case "error_rate":
			return g.cfg.Total > 0 && !t.keeps(float64(f.Failed)/float64(max(g.cfg.Total, f.Requests)))
		case quantileName:
			if g.cfg.Total == 0 {
				return false
			}
			slower := f.Times.Count - int64(t.run.times.CountUpTo(time.Duration(margin*t.limit*1e9)))
			total := float64(max(g.cfg.Total, f.Times.Count))
			return float64(slower) > total-math.Ceil(t.q*total)
		}
		return false
	}
	if t.figure.name != "rate" || g.cfg.Total == 0 || g.cfg.Sending <= g.cfg.WarmUp || t.class+t.name != "" {
		return false
	}
	const spare = 1.1 // windows do not begin with the schedule
	return spare*float64(g.cfg.Total) < t.limit*(g.cfg.Sending-g.cfg.WarmUp).Seconds()
}
