package latency

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"soakd/internal/judge/finding"
)

const (
	// together is how far apart, in minutes, the onsets of one change may seem to be.
	together = 15
	// togetherDrift is the same for a drift, which has hardly begun when it begins.
	togetherDrift = 4 * 60
	// belowTo is over how many points a change has to be gone to be over.
	belowTo = 10
	// looks is about how many independent looks the confidence is corrected for.
	looks = 1e6
)

// symptom is a change that is reported.
type symptom struct {
	scope
	kind            finding.Kind
	onset, low, top int64 // minutes
	// rise is the logarithm of the change, for a tail the share of requests that came
	// to be slow; slope is per hour, of a drift.
	rise, slope float64
	// peak is the most that was seen of a tail, in all cases that it is about.
	peak       float64
	confidence float64
	windows    int
	requests   int64
	over       bool
	ended      int64
	shown      finding.Symptom
}

// slower tells a change of typical response times from one of the tail.
func (s *symptom) slower() bool { return s.kind != finding.LatencyTail }

// held reports whether the reference of a case is kept as it is.
func (d *Detector) held(c *traffic) bool {
	return slices.ContainsFunc(d.open, func(s *symptom) bool { return s.slower() && s.covers(c) })
}

// setAside reports whether a case is known to be slower than others, and so says
// nothing about what all have in common.
func (d *Detector) setAside(c *traffic) bool {
	return slices.ContainsFunc(d.open, func(s *symptom) bool { return s.slower() && !s.all && s.covers(c) })
}

func (d *Detector) allOpen() bool {
	return slices.ContainsFunc(d.open, func(s *symptom) bool { return s.slower() && s.all && !s.over })
}

// suspect opens a symptom for a change, unless that is known.
func (d *Detector) suspect(s *suspicion) {
	found, ok := d.scopeOf(s)
	if !ok {
		return
	}
	onset := int64(math.Round(s.at))
	if ended := d.endOf(s.trigger); s.kind != finding.LatencyTail && onset < ended {
		return // what is left of a change that has ended
	}
	near := int64(together)
	if s.kind == finding.LatencyDrift {
		near = togetherDrift
	}
	for _, o := range d.open {
		if o.over || !sameMatter(o, s) {
			continue
		}
		if o.subject() == found.subject() {
			return
		}
		if abs(o.onset-onset) <= near && includes(&o.scope, &found) {
			return
		}
	}
	for _, o := range d.open {
		// What was taken for a change of a case proves to be one of its class, or of all.
		if o.slower() == (s.kind != finding.LatencyTail) && abs(o.onset-onset) <= near && includes(&found, &o.scope) {
			onset = min(onset, o.onset)
			d.end(o, d.now)
		}
	}
	d.open = append(d.open, d.newSymptom(s, found, onset))
	d.hold()
}

// endOf is when the last change of a case, or of all traffic, was over.
func (d *Detector) endOf(c *traffic) int64 {
	if c == nil {
		return d.ended
	}
	return c.ended
}

// sameMatter reports whether an open symptom may be what is suspected. A tail that
// comes with a step is part of it.
func sameMatter(o *symptom, s *suspicion) bool { return o.slower() || s.kind == finding.LatencyTail }

// includes reports whether one scope is about all that another is about.
func includes(a, b *scope) bool {
	switch {
	case b.all:
		return a.all
	case b.class != "":
		return a.all || a.class == b.class
	}
	return a.covers(b.one)
}

func abs(x int64) int64 { return max(x, -x) }

func (d *Detector) newSymptom(s *suspicion, found scope, onset int64) *symptom {
	n := &symptom{scope: found, kind: s.kind, onset: onset, rise: s.rise, low: int64(s.low), top: int64(math.Ceil(s.high)) + 1}
	if s.kind == finding.LatencyDrift {
		n.slope = math.Expm1(s.size * 60)
	}
	if s.trigger != nil && s.kind != finding.LatencyTail {
		// A point of several minutes is of its last one.
		span := int64(s.trigger.raw.noise.step) - 1
		n.onset -= span
		n.low -= span
	}
	n.low, n.top = min(n.low, n.onset), max(n.top, n.onset)
	n.confidence = 1 - min(1, looks*2*distuv.UnitNormal.Survival(s.z))
	for _, c := range d.cases {
		if !found.covers(c) {
			continue
		}
		points := 0
		for m := max(n.onset, d.now-kept+1); m < d.now; m++ {
			if i := slot(m); known(c.typical[i]) {
				n.requests += int64(c.n[i])
				points++
			}
		}
		n.windows = max(n.windows, points)
	}
	return n
}

// endThose ends what is over.
func (d *Detector) endThose() {
	for _, s := range d.open {
		if s.over {
			continue
		}
		if s.slower() {
			d.endLevel(s)
		} else {
			d.endTail(s)
		}
	}
	d.hold()
}

// endLevel ends a change of typical times when they are back within half of it for
// [belowTo] points.
func (d *Detector) endLevel(s *symptom) {
	points := d.current(s, d.now-min(kept-1, int64(4*belowTo*s.step())))
	if len(points) < belowTo || points[len(points)-1].t != float64(d.now) {
		return
	}
	if s.kind == finding.LatencyDrift {
		recent := points[max(0, len(points)-30):]
		s.rise = max(s.rise, meanOf(recent))
	}
	last := points[len(points)-belowTo:]
	below := 0
	for _, p := range last {
		if p.x < s.rise/2 {
			below++
		}
	}
	if below < belowTo-1 || meanOf(last) >= s.rise/2 || last[belowTo-1].x >= s.rise/2 {
		return
	}
	// The noise of all traffic goes below half of a small change by itself: then it
	// has to have come down in a jump, or to have stayed there.
	if s.all && meanOf(points) > s.rise/3 && !d.fell(points) {
		return
	}
	d.end(s, int64(last[0].t))
}

func meanOf(points []point) float64 {
	sum := 0.0
	for _, p := range points {
		sum += p.x
	}
	return sum / float64(len(points))
}

// fell reports whether points have a significant step down.
func (d *Detector) fell(points []point) bool {
	if len(points) < stepsBefore+stepsAfter || !d.all.noise.ok {
		return false
	}
	down := slices.Clone(points)
	for i := range down {
		down[i].x = -down[i].x
	}
	return sharpest(down, &d.all.noise).z > 4.5
}

// step is how many minutes a point of the symptom's traffic stands for.
func (s *symptom) step() float64 {
	if s.one != nil {
		return max(1, math.Round(s.one.spans))
	}
	return 1
}

// current are the points of what a symptom is about, from a minute on.
func (d *Detector) current(s *symptom, from int64) []point {
	points := d.scratch.points[:0]
	switch {
	case s.all:
		points = d.all.points(points, from, d.now)
	case s.one != nil:
		series, _ := s.one.judgedBy()
		points = series.points(points, from, d.now)
	default:
		for m := from; m <= d.now; m++ {
			sum, weight := 0.0, 0.0
			for _, c := range d.cases {
				series, _ := c.judgedBy()
				if x := series.x[slot(m)]; s.covers(c) && known(x) {
					n := float64(c.n[slot(m)])
					sum += n / (n + 200) * float64(x)
					weight += n / (n + 200)
				}
			}
			if weight > 0 {
				points = append(points, point{float64(m), sum / weight})
			}
		}
	}
	d.scratch.points = points
	return points
}

// endTail ends a change of the tail when in each case that it is about there are at
// most half as many slow requests too many.
func (d *Detector) endTail(s *symptom) {
	var sum excess
	longest := int64(0)
	fresh := false
	for _, c := range d.cases {
		t := &c.tail
		j, ok := t.threshold()
		if !ok || !s.covers(c) || len(t.recent) < blocksJudged {
			continue
		}
		fresh = fresh || t.fresh && c.latest == d.now
		last := t.recent[len(t.recent)-blocksJudged:]
		if last[0].first <= s.onset {
			continue
		}
		e := t.since(last[0].first, j)
		sum.n += e.n
		sum.slow += e.slow
		sum.expected += e.expected
		longest = max(longest, d.now-last[0].first)
	}
	s.peak = max(s.peak, sum.share())
	if fresh && sum.n > 0 && longest >= belowTo-1 && sum.share() < min(s.rise, s.peak)/2 {
		d.end(s, d.tailEnd(s))
	}
}

// tailEnd is the minute in which the tail is most likely to have become as before: up
// to it the blocks are likelier with the change than without (of Poisson counts).
func (d *Detector) tailEnd(s *symptom) int64 {
	type gain struct {
		minute int64
		by     float64
	}
	var gains []gain
	for _, c := range d.cases {
		j, ok := c.tail.threshold()
		if !ok || !s.covers(c) {
			continue
		}
		for i := range c.tail.recent {
			b := &c.tail.recent[i]
			if e, dispersion, ok := c.tail.expected(b, j); ok && b.first > s.onset {
				more := s.rise * float64(b.n)
				gains = append(gains, gain{(b.first + b.last + 1) / 2, (float64(b.slow[j])*math.Log1p(more/e) - more) / dispersion})
			}
		}
	}
	slices.SortFunc(gains, func(a, b gain) int { return cmp.Compare(a.minute, b.minute) })
	ended, best, sum := s.onset+1, 0.0, 0.0
	for i, g := range gains {
		if sum += g.by; i == 0 || sum > best {
			ended, best = g.minute, sum
		}
	}
	return ended
}

// end ends a symptom, and forgets what it brought: that is no reference.
func (d *Detector) end(s *symptom, minute int64) {
	s.over, s.ended = true, max(minute, s.onset+1)
	if !s.slower() {
		for _, c := range d.cases {
			if s.covers(c) {
				c.tail.forget(s.onset, s.ended)
			}
		}
		return
	}
	if s.all {
		d.ended = s.ended
	}
	for _, c := range d.cases {
		if !s.covers(c) {
			continue
		}
		c.ended = s.ended
		for m := max(s.onset, d.now-kept+1); m < s.ended; m++ {
			c.clear(m)
			if s.all {
				d.all.clear(m)
			}
		}
	}
}

// hold keeps the references of tails as they are while there is a symptom.
func (d *Detector) hold() {
	for _, c := range d.cases {
		c.tail.held = slices.ContainsFunc(d.open, func(s *symptom) bool { return !s.over && s.covers(c) })
	}
}

// report returns what is open, with the figures of now, and forgets what is over.
func (d *Detector) report() []finding.Symptom {
	if len(d.open) == 0 {
		return nil
	}
	shown := make([]finding.Symptom, 0, len(d.open))
	for _, s := range d.open {
		d.refresh(s)
		shown = append(shown, s.shown)
	}
	d.open = slices.DeleteFunc(d.open, func(s *symptom) bool { return s.over })
	return shown
}

// refresh brings the figures of a symptom up to date.
func (d *Detector) refresh(s *symptom) {
	news := false
	for _, c := range d.cases {
		if s.covers(c) && c.latest == d.now && known(c.typical[slot(d.now)]) {
			s.requests += int64(c.n[slot(d.now)])
			news = true
		}
	}
	if news {
		s.windows++
	}
	f := finding.Symptom{
		Kind: s.kind, Subject: s.subject(), Onset: at(s.onset), OnsetFrom: at(s.low), OnsetTo: at(s.top), Against: "earlier in this run",
		Confidence: s.confidence, Windows: s.windows, Requests: s.requests, Over: s.over, SlopePerHour: s.slope,
	}
	if s.over {
		f.Before, f.After, f.Unit, f.What, f.Text = s.shown.Before, s.shown.After, s.shown.Unit, s.shown.What, s.shown.Text
		f.Ended = at(s.ended)
		s.shown = f
		return
	}
	switch {
	case s.slower():
		d.levelFigures(s, &f)
	default:
		d.tailFigures(s, &f)
	}
	s.shown = f
}

func (d *Detector) levelFigures(s *symptom, f *finding.Symptom) {
	from := d.now - int64(60*s.step())
	if s.kind == finding.LatencyDrift {
		from = d.now - int64(20*s.step())
	}
	points := d.current(s, max(from, s.onset))
	ratio := math.Exp(s.rise)
	if len(points) > 0 {
		ratio = math.Exp(meanOf(points))
	}
	f.Before, f.After, f.Unit, f.What = 1, ratio, "ratio", "median response time as a multiple of the earlier one"
	figures := fmt.Sprintf("%.2f times as long", ratio)
	if s.one != nil {
		f.Unit, f.What = "seconds", "median response time"
		f.After = s.one.medianOf(d.now)
		f.Before = f.After / ratio
		figures += fmt.Sprintf(" (median %s, before %s)", duration(f.After), duration(f.Before))
	}
	how := "since " + at(s.onset).Format(time.DateTime) + " UTC"
	if s.kind == finding.LatencyDrift {
		f.Text = fmt.Sprintf("%s: requests take longer and longer %s, by %.1f %% an hour; they now take %s as earlier in this run.", s.whose(), how, 100*s.slope, figures)
		return
	}
	f.Text = fmt.Sprintf("%s: requests take %s as earlier in this run %s.", s.whose(), figures, how)
}

// medianOf is the geometric mean of the medians of the last points, in seconds.
func (c *traffic) medianOf(now int64) float64 {
	sum, n := 0.0, 0
	for m := now; m > now-kept && n < 10; m-- {
		if i := slot(m); known(c.typical[i]) {
			sum += float64(c.median[i])
			n++
		}
	}
	return math.Exp(sum / float64(max(n, 1)))
}

func duration(seconds float64) time.Duration {
	d := time.Duration(seconds * 1e9)
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

func (d *Detector) tailFigures(s *symptom, f *finding.Symptom) {
	var sum excess
	multiple := 0.0
	for _, c := range d.cases {
		t := &c.tail
		j, ok := t.threshold()
		if !ok || !s.covers(c) {
			continue
		}
		from := s.onset
		if len(t.recent) >= blocksJudged {
			from = max(from, t.recent[len(t.recent)-blocksJudged].first)
		}
		e := t.since(from, j)
		sum.n += e.n
		sum.slow += e.slow
		sum.expected += e.expected
		multiple = math.Exp(float64(j+1) * tailStep)
	}
	f.Unit, f.What = "ratio", "share of slow requests"
	if s.one != nil {
		f.What = fmt.Sprintf("share of requests slower than %.1f times the median", multiple)
	}
	if sum.n > 0 {
		f.Before, f.After = sum.expected/float64(sum.n), float64(sum.slow)/float64(sum.n)
	} else {
		f.Before, f.After = s.shown.Before, s.shown.After
	}
	f.Text = fmt.Sprintf("%s: %.2g %% of requests are slow, and were %.2g %% earlier in this run, since %s UTC; typical ones are as fast as before.",
		s.whose(), 100*f.After, 100*f.Before, at(s.onset).Format(time.DateTime))
}

func (s *symptom) whose() string {
	switch {
	case s.all:
		return "All traffic"
	case s.class != "":
		return "Class " + s.class
	}
	return "Case " + s.one.name
}
