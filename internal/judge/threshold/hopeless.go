package threshold

import (
	"fmt"
	"math"
	"time"
)

// Hopeless returns the first threshold that cannot be met any more, whatever comes, with
// a sentence that says why. It is silent about times and rates while soakd itself is in
// trouble too often to say anything about them.
func (g *Gate) Hopeless() (text string, hopeless bool) {
	for i := range g.watches {
		t := &g.watches[i]
		if g.seen.many() && t.doubtful() {
			continue
		}
		if t.worst != nil && t.worst.Result == Missed && t.run.requests > 0 {
			return t.worst.Text, true
		}
		if t.over != WorstWindow && g.lost(t) {
			return fmt.Sprintf("%s can no longer be met: so far %s", t, t.overRun().Text), true
		}
	}
	return "", false
}

// margin is how much longer than a limit a time has to be to be longer for certain:
// histograms are exact within 1.1 %.
const margin = 1.02

// lost reports whether the run as a whole has missed a threshold, even if all that still
// comes is as good as can be.
func (g *Gate) lost(t *watch) bool {
	f := t.run.figures(&t.Threshold)
	if f.Requests == 0 {
		return false
	}
	if t.upper() {
		return g.over(t, &f)
	}
	switch t.figure.name {
	case "rate":
		return g.tooFew(t, &f)
	case "requests":
		return g.cfg.Total > 0 && !t.keeps(float64(f.Requests+g.rest()))
	case "min":
		return f.Times.Count > 0 && margin*f.Times.Min.Seconds() < t.limit
	}
	return false
}

// rest is the most that may still come to an end of arrivals of which the number is known.
func (g *Gate) rest() int64 { return max(0, g.cfg.Total-g.ended-g.dropped) }

// over reports whether an upper limit is exceeded for good. All that comes at most are
// the arrivals of the schedule: the shares of errors and of slow requests are least when all
// of these are good.
func (g *Gate) over(t *watch, f *Figures) bool {
	total := float64(f.Requests + g.rest())
	switch t.figure.name {
	case "failures":
		return !t.keeps(float64(f.Failed))
	case "requests":
		return !t.keeps(float64(f.Requests))
	case "dropped":
		return !t.keeps(float64(f.Missing))
	case "max":
		return f.Times.Count > 0 && f.Times.Max.Seconds() > margin*t.limit
	case "rate":
		most := g.cfg.Sending.Seconds() + runSlack.Seconds()
		return most > 0 && g.cfg.Sending > 0 && float64(f.Requests) > t.limit*most+1
	case "error_rate":
		return g.cfg.Total > 0 && !t.keeps(float64(f.Failed)/total)
	case quantileName:
		total = float64(f.Times.Count + g.rest())
		slower := f.Times.Count - int64(t.run.times.CountUpTo(time.Duration(margin*t.limit*1e9)))
		return g.cfg.Total > 0 && float64(slower) > total-math.Ceil(t.q*total)
	}
	return false
}

// tooFew reports whether a rate can no longer be reached with all that may still come.
// Time in which soakd is in trouble does not count, but with more than a fifth of it
// the rate is not met either: so at least three quarters of the time count.
func (g *Gate) tooFew(t *watch, f *Figures) bool {
	least := (g.cfg.Sending - g.cfg.WarmUp).Seconds() * 3 / 4
	if g.cfg.Total == 0 || least <= 0 {
		return false
	}
	least = max(least, f.sending().Seconds())
	return float64(f.Requests+g.rest())+1+t.limit*runSlack.Seconds() < t.limit*least*(1-rounding)
}
