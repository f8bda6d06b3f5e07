package outage

import (
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
	"soakd/internal/judge/window"
)

const (
	// chance is how unlikely it must be that so many requests fail by chance at the
	// rate at which they failed before: a few questions a second for 20 weeks.
	chance = 1e-9
	// leastShare is what that rate counts as at the least.
	leastShare = 0.01
	// breaks is the share of failed requests from which on the traffic suffers.
	breaks = 0.1
	// nearly is the part of the share that must have failed from the start up to now,
	// the moments with answers included.
	nearly = 0.9
	// most is the share of requests with which, together with its probe, the API
	// counts as away.
	most = 0.5
	// calmWindows is from how much calm traffic before an outage it is known how
	// things are when all is well: 5 minutes.
	calmWindows = 30
	// apart is how long there may be no requests between two that belong together,
	// and how long before a spell tells what it began from.
	apart = 30 * time.Second
	// hangBefore bounds how long before the first failure a hang can have begun: the
	// longest time limit of a request.
	hangBefore = time.Minute
)

// bin counts the valid requests that ended in a second, or in the whole window
// where the seconds are not known.
type bin struct {
	start, end time.Time
	ok, failed int64
}

func (b *bin) share() float64 { return float64(b.failed) / float64(max(1, b.failed+b.ok)) }

// view is what a window says of the valid requests.
type view struct {
	w          *window.Window
	start, end time.Time
	// trouble tells that soakd itself was unfit: failures without an answer may be
	// its own. Such failures are not counted then.
	trouble    bool
	ok, failed int64
	// counts are the failed ones by outcome.
	counts []window.Count
	bins   []bin
	// confined tells that some cases failed, without a right answer, and others did not.
	confined bool
	times    []*histogram.Histogram
}

// unanswered reports an outcome without an answer of the target.
func unanswered(outcome string) bool {
	switch outcome {
	case "timeout", "connect", "reset", "tls", "dns":
		return true
	}
	return false
}

// ownTrouble reports a reason for being unfit that makes requests or polls fail. To
// be late, to have dropped arrivals or to have throttled the load does not; the
// last two are what soakd does when the target is away.
func ownTrouble(reason string) bool {
	switch reason {
	case "stalled", "cpu", "ports", "files", "memory":
		return true
	}
	return false
}

func look(w *window.Window) *view {
	v := &view{w: w, start: w.Start, end: w.End(), trouble: slices.ContainsFunc(w.Unfit, ownTrouble)}
	var lost, inFailing int64
	failing := false
	counts := map[string]int64{}
	for i := range w.Cases {
		c := &w.Cases[i]
		if c.Invalid {
			continue
		}
		right, wrong := window.Of(c.Outcomes, window.OK), int64(0)
		for _, o := range c.Outcomes {
			switch {
			case o.Name == window.OK:
			case v.trouble && unanswered(o.Name):
				lost += o.N
			default:
				counts[o.Name] += o.N
				wrong += o.N
			}
		}
		v.ok += right
		v.failed += wrong
		if wrong > 0 {
			failing = true
			inFailing += right
		}
		if c.Times != nil {
			v.times = append(v.times, c.Times)
		}
	}
	v.counts = window.Counts(counts)
	v.confined = failing && inFailing == 0 && v.ok >= 3
	v.bins = binsOf(w, v, lost)
	return v
}

func binsOf(w *window.Window, v *view, lost int64) []bin {
	if len(w.Seconds) == 0 {
		return []bin{{start: v.start, end: v.end, ok: v.ok, failed: v.failed}}
	}
	// The seconds do not tell an answer from none: where soakd may be the reason,
	// failures are taken only when nearly all of them were answers.
	doubtful := lost > 0 && 9*lost > v.failed
	bins := make([]bin, 0, len(w.Seconds))
	for i, s := range w.Seconds {
		start := v.start.Add(time.Duration(i) * time.Second)
		b := bin{start: start, end: start.Add(time.Second), ok: int64(s.OK), failed: int64(s.Failed)}
		if doubtful {
			b.failed = 0
		}
		bins = append(bins, b)
	}
	return bins
}

// hangs reports that most of the failed requests timed out.
func (v *view) hangs() bool { return 2*window.Of(v.counts, "timeout") > v.failed }

// suffers reports that requests fail, more than chance and how it was before explain.
func (d *Detector) suffers(v *view, share float64) bool {
	n := v.ok + v.failed
	return v.failed >= d.cfg.MinFailed && float64(v.failed) >= share*float64(n) && unlikely(v.failed, n, d.calm.until(v.start).share)
}

// unlikely reports that chance does not explain so many failures of n requests
// where that share failed before.
func unlikely(failed, n int64, share float64) bool {
	return stats.ChernoffAtLeast(failed, n, max(leastShare, share)) <= chance
}

// shareBefore returns the share of failed requests just before a spell: where half
// of a few requests fail, five in a row soon do.
func (d *Detector) shareBefore(s *spell, v *view) float64 {
	var before bin
	for _, one := range slices.Concat(d.recent, []*view{v}) {
		for i := range one.bins {
			if b := &one.bins[i]; b.start.Before(s.from) && s.from.Sub(b.start) <= apart {
				before.ok, before.failed = before.ok+b.ok, before.failed+b.failed
			}
		}
	}
	return before.share()
}

// calm keeps the latest windows in which nothing was away.
type calm struct{ views []*view }

func (c *calm) add(v *view) {
	if len(c.views) == calmWindows {
		c.views = slices.Delete(c.views, 0, 1)
	}
	c.views = append(c.views, &view{end: v.end, ok: v.ok, failed: v.failed, times: v.times})
}

// usual is how things are when all is well.
type usual struct {
	// share of requests that failed, and how many requests that is of.
	share float64
	n     int64
	views []*view
}

// until returns how things were in the calm windows that ended by then.
func (c *calm) until(at time.Time) usual {
	var u usual
	failed := int64(0)
	for i, v := range c.views {
		if v.end.After(at) {
			break
		}
		u.n += v.ok + v.failed
		failed += v.failed
		u.views = c.views[:i+1]
	}
	if u.n > 0 {
		u.share = float64(failed) / float64(u.n)
	}
	return u
}

// p95 returns the 95 % quantile of the response times; 0 when there are too few.
func (u *usual) p95() time.Duration {
	var sum histogram.Histogram
	for _, v := range u.views {
		for _, h := range v.times {
			sum.Merge(h)
		}
	}
	return p95(&sum)
}

// enoughTimes is how many response times a 95 % quantile needs to be one and not the maximum.
const enoughTimes = 20

func p95(h *histogram.Histogram) time.Duration {
	if h.Count() < enoughTimes {
		return 0
	}
	return h.Quantile(0.95)
}

// spell is a time in which nearly all requests fail.
type spell struct {
	// after is the end of the latest second before it with a right answer; from and
	// to are the start of its first and the end of its last second with failures.
	after, from, to time.Time
	ok, failed      int64
}

// readTraffic follows the API by its requests.
func (d *Detector) readTraffic(v *view) {
	for i := range v.bins {
		b := &v.bins[i]
		if b.ok+b.failed == 0 {
			continue
		}
		d.extendSpell(b)
		if o := d.open[API]; o != nil && o.End.IsZero() {
			if b.ok > b.failed {
				o.end(b.start)
			} else {
				o.unseen = false
			}
		}
		if d.spell != nil && d.spell.to.Sub(d.spell.from) >= d.cfg.MinLength && d.spell.failed >= d.cfg.MinFailed {
			d.spellIsOutage(v)
		}
		if b.ok > 0 {
			d.lastOK = b.end
		}
	}
}

// extendSpell adds a second with requests to the spell, begins or ends it.
func (d *Detector) extendSpell(b *bin) {
	if d.spell != nil && b.start.Sub(d.spell.to) > apart {
		d.spell = nil
	}
	if b.share() < d.cfg.FailedShare {
		d.spell = nil
		return
	}
	if d.spell == nil {
		d.spell = &spell{after: d.lastOK, from: b.start}
	}
	d.spell.to = b.end
	d.spell.ok += b.ok
	d.spell.failed += b.failed
}

// spellIsOutage opens an outage of the API, or goes on with one that seemed over.
func (d *Detector) spellIsOutage(v *view) {
	o, s := d.open[API], d.spell
	if o != nil && o.resume() {
		return
	}
	_, spoilt := d.spoilt()
	share := max(d.calm.until(s.from).share, d.shareBefore(s, v), spoilt)
	if v.confined || !unlikely(s.failed, s.ok+s.failed, share) {
		return
	}
	if o != nil {
		d.close(o)
	}
	kind, start := finding.Outage, s.from
	if v.hangs() {
		kind = finding.Hang
		if !s.after.IsZero() && s.from.Sub(s.after) <= hangBefore && v.w.Rate >= 1 {
			start = s.after
		}
	}
	d.begin(API, kind, s.after, start, v).least = nearly * d.cfg.FailedShare
}
