package leak

import (
	"math"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
)

const (
	// followPoints is into how many blocks what a leak did since its onset is put, at most.
	followPoints = 72
	// endedSlope is the share of its slope below which a leak has stopped, and
	// endedLooks how many looks in a row, five minutes apart, have to say so.
	endedSlope = 0.25
	endedLooks = 3
	// fullShare is how much of its limit a resource holds when it cannot grow further.
	fullShare = 0.95
)

// suspicion is a leak that is present.
type suspicion struct {
	h                       *horizon
	width                   int
	onset, earliest, latest int64 // minutes
	before                  float64
	slope                   stats.Slope
	confidence              float64
	points                  int
	full                    bool
	flat                    int
	load                    adjuster
	symptom                 finding.Symptom
}

// endedLeak is one that has to be reported as over.
type endedLeak struct {
	symptom finding.Symptom
	ended   int64
	why     string
}

// begin turns a verdict into a leak that is followed.
func (d *Detector) begin(s *series, h *horizon, v verdict) {
	clear(s.hits)
	s.leak = &suspicion{h: h, width: int(v.width), slope: v.slope, confidence: 1 - v.p, points: v.points, load: v.load, onset: d.end - h.length}
	s.saved = nil // the same finding goes on
	d.dateOnset(s)
	d.refit(s)
	s.leak.symptom = d.symptom(s)
	d.trendsAt = -1
}

// dateOnset fits a level that turns into a line to the time before: the onset is
// where the turn leaves the least absolute error, and it lies where that is at most a tenth more.
func (d *Detector) dateOnset(s *series) {
	l := s.leak
	from := max(d.end-3*l.h.length, s.current().from+warmLeast, s.coarse.oldest()*coarse)
	points, block := d.lower(s, from, math.MaxInt)
	if len(points) < 8 {
		l.earliest, l.latest, l.before = l.onset, l.onset, s.last
		return
	}
	cost, level := make([]float64, len(points)-4), make([]float64, len(points)-4)
	best := 0
	for k := range cost {
		cost[k], level[k] = hinge(points, k)
		if cost[k] < cost[best] {
			best = k
		}
	}
	first, last := best, best
	for first > 0 && cost[first-1] <= 1.1*cost[best] {
		first--
	}
	for last < len(cost)-1 && cost[last+1] <= 1.1*cost[best] {
		last++
	}
	minute := func(k int) int64 { return d.end/block*block + int64(math.Round(points[k].x*60)) - block/2 }
	l.onset, l.earliest, l.latest, l.before = minute(best), minute(first), minute(last), level[best]
}

// lower is the lower envelope of a leak from a minute on, of at most so many points,
// and the length of its blocks in minutes.
func (d *Detector) lower(s *series, from int64, most int) (points []point, block int64) {
	l := s.leak
	block = l.h.step
	if from < d.end-fineSteps {
		block = max(block, coarse)
	}
	for (d.end-from)/block > int64(most) {
		block *= 2
	}
	points = l.load.apply(d.points(s, from, d.end/block*block, block, nil))
	return floor(points, min(int((int64(l.width)*l.h.step+block-1)/block), len(points)/2)), block
}

// hinge is the absolute error of a level that turns at point k into a line, and the level.
func hinge(points []point, k int) (cost, level float64) {
	_, y := split(points)
	// The line starts at the level, which takes three points to know.
	if k < 3 {
		x, _ := split(points)
		line, ok := stats.TheilSen(x, y, 0.9)
		if !ok {
			return math.Inf(1), 0
		}
		for i := range y {
			cost += math.Abs(y[i] - line.Intercept - line.Slope*x[i])
		}
		return cost, line.Intercept + line.Slope*x[0]
	}
	level = stats.Median(y[:k])
	slopes := make([]float64, 0, len(points)-k)
	for _, p := range points[k+1:] {
		slopes = append(slopes, (p.y-level)/(p.x-points[k].x))
	}
	slope := stats.Median(slopes)
	for i, p := range points {
		cost += math.Abs(y[i] - level - slope*max(0, p.x-points[k].x))
	}
	return cost, level
}

// refit takes what came since the onset into the figures.
func (d *Detector) refit(s *series) {
	l := s.leak
	points, _ := d.lower(s, max(l.onset, s.coarse.oldest()*coarse), followPoints)
	if len(points) < 8 {
		return
	}
	x, y := split(points)
	if line, ok := fit(x, y); ok && line.Slope > 0 {
		l.slope, l.points = line, len(points)
	}
}

// follow refreshes a leak, and ends it when the series stands still or fell back.
func (d *Detector) follow(s *series) {
	l := s.leak
	if d.end%coarse != 0 && l.h.step >= coarse {
		return
	}
	l.full = s.limited() && s.last >= fullShare*s.limit
	if d.end%coarse == 0 {
		if d.stopped(s) {
			l.flat++
		} else {
			l.flat = 0
		}
		if l.flat >= endedLooks && !l.full {
			s.end(d.end-max(l.h.length, 45), "it no longer rises")
			return
		}
	}
	if l.flat == 0 && !l.full {
		d.refit(s)
	}
	l.symptom = d.symptom(s)
}

// stopped tells whether the series hardly rises any more over a horizon, or gave
// back half of what it had gained.
func (d *Detector) stopped(s *series) bool {
	l := s.leak
	length := max(l.h.length, 45)
	points, _ := d.lower(s, max(d.end-length, s.current().from), followPoints)
	if len(points) < 6 {
		return false
	}
	x, y := split(points)
	line, ok := stats.TheilSen(x, y, 0.99)
	gained := l.slope.Slope * float64(d.end-l.onset) / 60
	recent := y[len(y)-3:]
	return ok && (line.Slope < endedSlope*l.slope.Slope || max(recent[0], recent[1], recent[2]) < l.before+gained/2)
}

// end ends the leak that is present.
func (s *series) end(ended int64, why string) {
	s.over = append(s.over, endedLeak{symptom: s.leak.symptom, ended: max(ended, s.leak.onset), why: why})
	s.leak = nil
	clear(s.hits)
}

// report gives the symptoms of a series: a leak that is present, and those that have ended.
func (d *Detector) report(s *series) []finding.Symptom {
	var found []finding.Symptom
	if len(s.over) > 0 {
		d.trendsAt = -1
	}
	for _, ended := range s.over {
		symptom := ended.symptom
		symptom.Over, symptom.Ended = true, at(ended.ended)
		symptom.Text += "; " + ended.why
		found = append(found, symptom)
	}
	s.over = nil
	switch {
	case s.leak != nil:
		found = append(found, s.leak.symptom)
	case s.saved != nil:
		found = append(found, s.saved.symptom)
	}
	return found
}
