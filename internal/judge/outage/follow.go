package outage

import (
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// outage is a record that is not closed.
type outage struct {
	Record
	// told tells that the symptom was reported, over that nothing of it is any more.
	told, over bool
	// unseen tells that soakd was away since the last sign of the outage.
	unseen bool
	// confirmed tells that it is sure to be one. least is the share of requests that
	// must have failed for that; between and after count those between two parts of
	// the outage, and those since its end.
	confirmed      bool
	least          float64
	between, after bin
	// usualShare is the share of requests that failed before, of usualRequests, and
	// usualP95 the 95 % quantile of the times; 0 when it is not known.
	usualShare    float64
	usualRequests int64
	usualP95      time.Duration
	// failTimes are the times of cases that nearly always failed, times those of all.
	failTimes, times histogram.Histogram
	// wellSince is since when the service has been well again, wellTimes what it
	// took since then.
	wellSince time.Time
	wellTimes []*view
}

// slowFailure is from when on a failure does not come soon any more.
const slowFailure = 2 * time.Second

func (o *outage) compare(u usual) { o.usualShare, o.usualRequests, o.usualP95 = u.share, u.n, u.p95() }

// end takes note of the first success.
func (o *outage) end(at time.Time) {
	if at.Before(o.Start) {
		at = o.Start
	}
	o.End, o.EndApproximate = at, o.unseen
}

// resume goes on with an outage that seemed over, and reports whether it could: not
// when it was already told to be over.
func (o *outage) resume() bool {
	if o.over {
		return false
	}
	o.End, o.EndApproximate, o.Recovered, o.TimeToRecover, o.unseen = time.Time{}, false, time.Time{}, 0, false
	o.wellSince, o.wellTimes = time.Time{}, nil
	o.between.ok += o.after.ok
	o.between.failed += o.after.failed
	o.after = bin{}
	return true
}

// follow counts what a window brings for an outage.
func (d *Detector) follow(o *outage, v *view) {
	if o.End.IsZero() || o.End.After(v.start) {
		o.count(v)
	}
	o.Mode = o.mode(d.cfg)
	if o.End.IsZero() {
		return
	}
	for i := range v.bins {
		if b := &v.bins[i]; !b.start.Before(o.End) {
			o.after.ok += b.ok
			o.after.failed += b.failed
		}
	}
	if o.Target == API && o.brief() && !d.restarted.Before(o.Start.Add(-window.Short)) {
		o.Restart = true
	}
	if o.Recovered.IsZero() {
		o.recover(v, d.cfg)
	}
}

// count adds the requests of a window that belong to the outage.
func (o *outage) count(v *view) {
	for i := range v.bins {
		b := &v.bins[i]
		if b.end.After(o.Start) && (o.End.IsZero() || b.start.Before(o.End)) {
			o.Failed += b.failed
			o.OK += b.ok
		}
	}
	for _, c := range v.counts {
		o.Outcomes[c.Name] += c.N
	}
	for _, h := range v.times {
		o.times.Merge(h)
	}
	if v.trouble {
		return
	}
	for i := range v.w.Cases {
		c := &v.w.Cases[i]
		if n := c.Requests(); !c.Invalid && c.Times != nil && n > 0 && float64(c.Failed()) >= 0.9*float64(n) {
			o.failTimes.Merge(c.Times)
		}
	}
	o.FailureSeconds = o.failTimes.Quantile(0.5).Seconds()
}

// allowed is the share of requests that may fail when all is well.
func (o *outage) allowed(cfg Config) float64 { return max(cfg.ErrorShare, 2*o.usualShare) }

// mode says what the API did: how most of the requests that failed did so, if more
// did than may.
func (o *outage) mode(cfg Config) Mode {
	n := o.Failed + o.OK
	if n == 0 {
		return ""
	}
	if float64(o.Failed) > o.allowed(cfg)*float64(n) {
		return o.failing()
	}
	if slowest := p95(&o.times); o.usualP95 > 0 && float64(slowest) > cfg.Slowdown*float64(o.usualP95) {
		return Degraded
	}
	return Unaffected
}

func (o *outage) failing() Mode {
	var late, wrong, soon int64
	for name, n := range o.Outcomes {
		switch name {
		case "timeout":
			late += n
		case "check_failed", "accepted_invalid":
			wrong += n
		default:
			soon += n
		}
	}
	median := o.failTimes.Quantile(0.5)
	switch {
	case late >= wrong && late >= soon:
		return Hangs
	case wrong >= soon:
		return WrongAnswers
	case median >= slowFailure && median > 2*o.usualP95:
		return Hangs
	}
	return FailFast
}

// recover looks whether the service is as it was before.
func (o *outage) recover(v *view, cfg Config) {
	since, well := o.wellFrom(v, cfg)
	if !well {
		o.wellSince, o.wellTimes = time.Time{}, nil
		return
	}
	if o.wellSince.IsZero() || since.After(v.start) {
		o.wellSince, o.wellTimes = since, nil
	}
	if !since.After(v.start) { // else some of its times are those of the outage
		o.wellTimes = append(o.wellTimes, v)
	}
	if v.end.Sub(o.wellSince) < cfg.Settled {
		return
	}
	if o.slow(cfg) {
		o.slide(v.end, cfg)
		return
	}
	o.Recovered, o.wellTimes = o.wellSince, nil
	o.TimeToRecover = o.Recovered.Sub(o.Start).Seconds()
}

// wellFrom returns since when in the window no more requests fail than may: its
// start, or the first success, or the end of the last second in which some failed.
func (o *outage) wellFrom(v *view, cfg Config) (since time.Time, well bool) {
	since = v.start
	if o.End.After(since) {
		since = o.End
	}
	var right, wrong int64
	last := since
	for i := range v.bins {
		b := &v.bins[i]
		if b.end.After(since) {
			right, wrong = right+b.ok, wrong+b.failed
			if b.failed > 0 {
				last = b.end
			}
		}
	}
	if float64(wrong) > o.allowed(cfg)*float64(right+wrong) {
		since = last
	}
	return since, !v.trouble && since.Before(v.end)
}

// slow reports that requests take longer than before; false where too few tell.
func (o *outage) slow(cfg Config) bool {
	u := usual{views: o.wellTimes}
	return o.usualP95 > 0 && float64(u.p95()) > cfg.Slowdown*float64(o.usualP95)
}

// slide leaves out the first windows, so that less than the time that must be well is left at end.
func (o *outage) slide(end time.Time, cfg Config) {
	o.wellSince = end.Add(window.Short - cfg.Settled)
	for len(o.wellTimes) > 0 && o.wellTimes[0].start.Before(o.wellSince) {
		o.wellTimes = o.wellTimes[1:]
	}
	if o.wellSince.Before(o.End) {
		o.wellSince = o.End
	}
}

// finished reports that nothing of the outage changes any more.
func (o *outage) finished(now time.Time, cfg Config) bool {
	return o.over && (!o.Recovered.IsZero() || now.Sub(o.End) > cfg.GiveUp)
}
