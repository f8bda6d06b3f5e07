package latency

import (
	"math"
	"slices"

	"soakd/internal/judge/finding"
)

// suspicion is a change that was found in one series.
type suspicion struct {
	kind finding.Kind
	// trigger is the case, nil for what all traffic has in common.
	trigger *traffic
	change
	// rise is the change so far: the logarithm of a ratio, of a tail the share of
	// requests that came to be slow.
	rise float64
	// windows is how many points are in the new state.
	windows int
}

const (
	// stepsBefore and stepsAfter are how many points are needed on both sides of a step.
	stepsBefore, stepsAfter = 12, 7
	// stepsSearched is how many points back a step is looked for, and stepsUsed how
	// many points are used.
	stepsSearched, stepsUsed = 60, 120
	// stepZ is how many standard errors a step must have. Each case is looked at each
	// minute: 40 cases for 20 weeks are 8 million looks, and 6 standard errors leave
	// 0.008 false ones of normal noise.
	stepZ = 6
	// commonZ is the same for what all traffic has in common, one series.
	commonZ = 5.6
	// hurried is by how much more than the least effect a step must rise that has not
	// lasted for patient minutes: nightly jobs of 20 minutes with 10 % are no finding.
	hurried = 1.4
	patient = 45
	// longestBurst is how many minutes a burst lasts at most that nobody wants to hear of.
	longestBurst = 6
	// outlasting is how many minutes a step of all traffic has lasted that is no nightly job of 20.
	outlasting = 30
)

// judge looks for what began and what ended.
func (d *Detector) judge() {
	d.endThose()
	var found []suspicion
	if s, ok := d.step(&d.all, nil); ok && !d.allOpen() {
		found = append(found, s)
	}
	for _, c := range d.cases {
		if c.latest != d.now || d.setAside(c) {
			continue
		}
		series, _ := c.judgedBy()
		if s, ok := d.step(series, c); ok {
			found = append(found, s)
		}
	}
	found = append(found, d.drifts()...)
	found = append(found, d.tails()...)
	for i := range found {
		d.suspect(&found[i])
	}
}

// step looks for a step up in a series of which the latest point is new.
func (d *Detector) step(s *series, c *traffic) (suspicion, bool) {
	n := &s.noise
	if !n.ok || !known(s.x[slot(d.now)]) || !d.raised(s, n) {
		return suspicion{}, false
	}
	points := s.points(d.scratch.points[:0], d.now-int64(min(1.5*n.step*stepsUsed, kept-1)), d.now)
	d.scratch.points = points
	points = points[max(0, len(points)-stepsUsed):]
	if len(points) < stepsBefore+stepsAfter {
		return suspicion{}, false
	}
	step := sharpest(points, n)
	points, ok := d.withoutBursts(points, n, &step)
	if !ok || !d.steep(points, n, &step, c == nil) {
		return suspicion{}, false
	}
	if c != nil && !d.reallySlower(c, int64(step.at)) {
		return suspicion{}, false
	}
	return suspicion{kind: finding.Latency, trigger: c, change: step, rise: step.size, windows: after(points, step.at)}, true
}

// raised is a quick look whether there can be a step: 6 of the last 8 points are up.
func (d *Detector) raised(s *series, n *noise) bool {
	up, seen := 0, 0
	least := math.Log1p(d.cfg.LeastStep) / 2
	for m := d.now; m > d.now-int64(min(24*n.step, kept)) && seen < 8; m-- {
		if x := s.x[slot(m)]; known(x) {
			seen++
			if float64(x) > least {
				up++
			}
		}
	}
	return up >= 6
}

// sharpest is the step that fits best. The point in which it came may be of both
// levels: then it is left out.
func sharpest(points []point, n *noise) change {
	first := max(stepsBefore, len(points)-stepsSearched)
	best := whiten(points, n).bestStep(first, len(points)-2)
	if best.z == 0 {
		return best
	}
	for i := first; i < len(points)-1; i++ {
		if math.Abs(points[i].t-best.at) > 1.5*n.step {
			continue
		}
		rest := without(points, points[i].t)
		if f := whiten(rest, n).fit(stepAt(points[i+1].t)); f.size > 0 && f.z > best.z {
			best.fitted = f
			best.low, best.high = min(best.low, points[i-1].t), max(best.high, points[i].t)
		}
	}
	return best
}

// steep reports whether a step is large, significant and lasting enough.
func (d *Detector) steep(points []point, n *noise, step *change, common bool) bool {
	least := math.Log1p(d.cfg.LeastStep)
	latest := points[len(points)-1].t
	size, z, lasting, sure := least, float64(stepZ), 4.0, 5.0
	if common {
		z, lasting, sure = commonZ, 5, 3
	}
	if latest-step.at < patient {
		// Surely more than the least effect.
		size = max(math.Log1p(hurried*d.cfg.LeastStep), least+sure*step.size/step.z)
		if !common {
			size = max(size, least+3*n.meanError(latest-step.at+n.step))
		}
		if common {
			lasting = 2.5
		}
	}
	if common && latest-step.at >= outlasting {
		size = max(math.Log1p(1.2*d.cfg.LeastStep), least+2*step.size/step.z)
		z, lasting = 5, 2
	}
	if step.z < z || step.size < size {
		return false
	}
	// A jump of the noise on top of a drift is no step of all traffic.
	if common && step.base > 0.6*least {
		return false
	}
	if !standing(points, step, least, lasting*n.meanError(latest-step.at+n.step), common) {
		return false
	}
	w := whiten(points, n)
	slope := w.bestSlope(0, len(points)-stepsAfter)
	return slope.z*slope.z < step.z*step.z
}

// standing reports whether the points since a step are up by least on average, by enough
// to be told from noise, and still.
func standing(points []point, step *change, least, enough float64, common bool) bool {
	from := max(0, step.base)
	half := from + step.size/2
	since := points[len(points)-after(points, step.at):]
	if len(since) < stepsAfter {
		return false
	}
	mean := meanOf(since)
	if common && since[len(since)-1].t-step.at >= outlasting {
		// The noise of all traffic may have taken much of the step back: what counts is
		// what is left of it after a burst would be over.
		later := points[len(points)-after(points, step.at+longestBurst):]
		mean = min(mean, meanOf(later))
		half = min(half, mean/2)
	} else if mean-from < step.size/2 {
		return false
	}
	up, late := 0, 0
	for i, p := range since[len(since)-min(len(since), 8):] {
		if p.x > half {
			up++
			if i >= min(len(since), 8)-4 {
				late++
			}
		}
	}
	return up >= 6 && late >= 3 && mean >= least && mean >= enough
}

// reallySlower reports whether a case is slower than its reference in its own right,
// and not only others are faster.
func (d *Detector) reallySlower(c *traffic, since int64) bool {
	mean, n := c.raw.mean(since, d.now)
	return n > 0 && mean > math.Log1p(d.cfg.LeastStep)/2
}

func after(points []point, at float64) int {
	n := 0
	for _, p := range points {
		if p.t >= at {
			n++
		}
	}
	return n
}

// withoutBursts takes out what jumped up and fell back since a step: what is left
// has to have a step all the same. ok is false when it is all bursts.
func (d *Detector) withoutBursts(points []point, n *noise, step *change) (rest []point, ok bool) {
	for range 4 {
		if step.z == 0 {
			return nil, false
		}
		shape := stepAt(step.at)
		first, next := whiten(points, n).burst(step.fitted, shape, step.at, max(4.5, step.size/2/n.sigma))
		if next == 0 {
			return points, true
		}
		points = slices.Delete(slices.Clone(points), first, next)
		*step = sharpest(points, n)
	}
	return nil, false
}
