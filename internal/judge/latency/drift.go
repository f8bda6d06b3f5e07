package latency

import (
	"math"
	"slices"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
)

const (
	// bin is over how many minutes, or points when they are rarer, means are taken
	// for what is slow; each series is looked at as often.
	bin = 10
	// driftZ is how many standard errors a slope must have, the best of some hundred
	// moments at which it may begin, looked at for weeks.
	driftZ = 6.5
	// lateZ is the same for a step that did not come as a jump.
	lateZ = 6
	// leastBins is how many bins a step has to last, leastSlope over how many a slope has to go on.
	leastBins, leastSlope = 6, 9
	// commonFactor is by how much more a step of all traffic must stand out.
	commonFactor = 1.15
	// unlike is by how much the logarithm of the likelihood of one shape must be above
	// that of the other to be named.
	unlike = 2
	// burstPoints is how many points a burst lasts at most that is taken out for that.
	burstPoints = 6
)

// drifts looks for what changes slowly, in each series every [bin] minutes in turn.
func (d *Detector) drifts() []suspicion {
	var found []suspicion
	if d.now%bin == 0 && !d.allOpen() {
		if s, ok := d.slow(&d.all, nil); ok {
			found = append(found, s)
		}
	}
	for i, c := range d.cases {
		if (d.now+int64(i))%bin != 0 || d.setAside(c) {
			continue
		}
		series, _ := c.judgedBy()
		if s, ok := d.slow(series, c); ok {
			found = append(found, s)
		}
	}
	return found
}

// slow looks for a slope or a step over the whole day.
func (d *Detector) slow(s *series, c *traffic) (suspicion, bool) {
	n := s.noise
	if !n.ok {
		return suspicion{}, false
	}
	// Whatever is found must be there now, by half at least: mostly that ends it here.
	back := int64(max(30, 6*n.step))
	level, count := s.mean(d.now-back, d.now)
	if count == 0 || level < math.Log1p(min(d.cfg.LeastDrift, d.cfg.LeastStep))/2 {
		return suspicion{}, false
	}
	n.long *= n.banded
	points := d.bins(s, &n)
	if len(points) < leastBins+leastSlope || !d.rising(points) {
		return suspicion{}, false
	}
	// Means of bins hardly depend on one another; what is left of that is in n.long.
	length := points[1].t - points[0].t
	for i := 2; i < len(points); i++ {
		length = min(length, points[i].t-points[i-1].t)
	}
	white := noise{step: length, ok: true, sigma: max(n.meanError(length), n.long/math.Sqrt(length), leastNoise)}
	white.spread = white.sigma
	w := whiten(points, &white)
	slope := w.bestSlope(0, len(points)-leastSlope)
	step := w.bestStep(leastBins, len(points)-2)
	found := suspicion{trigger: c}
	ahead := d.likelier(s)
	switch {
	case ahead > unlike && d.drifting(points, &slope) && lasting(w, &slope):
		found.kind, found.change = finding.LatencyDrift, slope
		found.rise = slope.size * (points[len(points)-1].t - slope.at)
	case ahead < -unlike && d.stepped(points, &step, c == nil):
		found.kind, found.change, found.rise = finding.Latency, step, step.size
		d.date(&found, s, length)
	default:
		return suspicion{}, false
	}
	if level < found.rise/2 || c != nil && !d.reallySlower(c, d.now-back) {
		return suspicion{}, false // it is over
	}
	found.windows = after(points, found.at)
	return found, true
}

// likelier is by how much the logarithm of the likelihood of a slope is above that of a
// step that was there for some time, among all points of the day: noise wanders up as
// slowly as a drift does, and only from point to point it is seen whether it jumped.
// Running medians take bursts out, which would be jumps too, and keep steps and slopes.
func (d *Detector) likelier(s *series) float64 {
	points := s.points(d.scratch.points[:0], d.now-kept+1, d.now)
	d.scratch.points = points
	smooth := make([]point, len(points))
	var around [2*burstPoints + 1]float64
	for i := range points {
		// At the ends fewer, as many on both sides.
		reach := min(burstPoints, i, len(points)-1-i)
		values := around[:0]
		for _, p := range points[i-reach : i+reach+1] {
			values = append(values, p.x)
		}
		slices.Sort(values)
		smooth[i] = point{points[i].t, values[reach]}
	}
	w := whiten(smooth, &s.noise)
	slope := w.bestSlope(0, len(points)-stepsAfter)
	step := w.bestStep(stepsBefore, len(points)-2*burstPoints)
	return (slope.z*slope.z - step.z*step.z) / 2
}

// bins are the medians of stretches of the day, as points in their middle.
func (d *Detector) bins(s *series, n *noise) []point {
	length := int64(max(bin, math.Ceil(2*n.step)))
	least := max(1, int(float64(length)/n.step*0.4))
	points := d.scratch.more[:0]
	values := make([]float64, 0, length)
	first := d.now - kept + 1
	first += length - first%length
	for ; first+length-1 <= d.now; first += length {
		values = values[:0]
		for m := first; m < first+length; m++ {
			if x := s.x[slot(m)]; known(x) {
				values = append(values, float64(x))
			}
		}
		if len(values) >= least {
			points = append(points, point{float64(first) + float64(length-1)/2, stats.Median(values)})
		}
	}
	d.scratch.more = points
	return points
}

// rising is a quick look whether there can be anything: the end is above what was before.
func (d *Detector) rising(points []point) bool {
	last, lowest := 0.0, math.Inf(1)
	for i := 0; i+3 <= len(points); i++ {
		last = (points[i].x + points[i+1].x + points[i+2].x) / 3
		lowest = min(lowest, last)
	}
	return last-lowest > 0.8*math.Log1p(min(d.cfg.LeastDrift, d.cfg.LeastStep))
}

// drifting reports whether a slope is steep and high enough, and still goes on.
func (d *Detector) drifting(points []point, slope *change) bool {
	end := points[len(points)-1].t
	total := slope.size * (end - slope.at)
	if slope.z < driftZ || slope.size*60 < math.Log1p(d.cfg.LeastSlope) || total < math.Log1p(d.cfg.LeastDrift) {
		return false
	}
	var since []float64
	for _, p := range points {
		if p.t >= slope.at {
			since = append(since, p.x)
		}
	}
	if len(since) < leastSlope || stats.MannKendall(since).P > 0.01 {
		return false
	}
	// From third to third it rises by a good part of what the slope says.
	third := len(since) / 3
	begin, middle, last := stats.Median(since[:third]), stats.Median(since[third:2*third]), stats.Median(since[2*third:])
	return middle-begin > 0.25*total/3 && last-middle > 0.4*total/3
}

// stepped reports whether a step is large and lasting enough that did not come as a jump.
func (d *Detector) stepped(points []point, step *change, common bool) bool {
	leastZ := float64(lateZ)
	if common {
		leastZ *= commonFactor
	}
	end := points[len(points)-1].t
	least := math.Log1p(d.cfg.LeastStep)
	if step.z < leastZ || step.at > points[len(points)-leastBins].t || step.size < least || end-step.at < patient {
		return false
	}
	count, up, sum := 0, 0, 0.0
	for _, p := range points {
		if p.t >= step.at {
			count++
			sum += p.x
			if p.x > step.size/2 {
				up++
			}
		}
	}
	return 10*up >= 8*count && sum/float64(count) > least && points[len(points)-1].x > step.size/2
}

// date finds the onset of a step to the minute, among the points around the first
// bin of the new level.
func (d *Detector) date(found *suspicion, s *series, length float64) {
	from, to := int64(found.at-6*length), int64(found.at+6*length)
	points := s.points(nil, max(from, d.now-kept+1), min(to, d.now))
	if len(points) < 6 {
		return
	}
	if best := whiten(points, &s.noise).bestStep(2, len(points)-2); best.z > 0 {
		found.at, found.low, found.high = best.at, best.low, best.high
	}
}

// lasting reports whether a slope is there without the last bins too: a job of 20
// minutes at the end makes none.
func lasting(w *whitened, slope *change) bool {
	earlier := whitened{points: w.points[:len(w.points)-3], keep: w.keep, scale: w.scale, x: w.x, one: w.one}
	f := earlier.fit(slopeFrom(slope.at))
	return f.size >= 0.6*slope.size && f.z >= 0.7*driftZ
}
