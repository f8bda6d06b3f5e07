package leak

import (
	"cmp"
	"math"
	"slices"

	"soakd/internal/judge/stats"
)

// The thresholds of the decision, beside Config.
const (
	// persistence is how many of the last looks have to agree; lastLooks has a bit for
	// each of these three.
	persistence, lastLooks = 2, 0b111
	// ahead is in how many horizons the limit has to be reached, at most: what a
	// short horizon sees only matters when it is fast; the slower is left to a longer one.
	// 60 times 90 minutes are 90 hours, as a leak of 1 % an hour takes from nearly nothing.
	// From longHorizon (minutes) on, which has time for slower ones, it is aheadLong.
	ahead, aheadLong = 60, 25
	longHorizon      = 6 * 60
	// aheadDouble is the same for what has no limit and doubles.
	aheadDouble = 20
	// aheadShort and aheadDoubleShort are the same for horizons below shortHorizon, in
	// minutes: they are there for what cannot wait, and are as long as a tooth.
	aheadShort, aheadDoubleShort = 8, 4
	shortHorizon                 = 90
	// aheadYoung is the same while it is not known how the series behaves.
	aheadYoung = 1.5
	// sureYoung is the horizon, in minutes, from which on nothing need be known.
	sureYoung = 24 * 60
	// clear of noise: growth over the scale of the residuals, when the behaviour is known or not.
	clearKnown, clearYoung = 6, 10
	// leastSurprise is the least factor by which the size of growth lowers its p.
	leastSurprise = 0.001
	// coverage is the share of a horizon that has to have values.
	coverage = 0.75
)

// horizon is a stretch of time to look back over. All in minutes: step is the shortest
// block, cadence how often it is looked at.
type horizon struct{ length, step, cadence int64 }

func horizons() []horizon {
	return []horizon{
		{20, 1, 3},
		{30, 1, 3},
		{45, 1, 5},
		{90, coarse, 5},
		{150, coarse, 5},
		{210, coarse, 5},
		{6 * 60, coarse, 20},
		{12 * 60, 10, 40},
		{24 * 60, 20, 60},
		{3 * 24 * 60, 60, 180},
		{7 * 24 * 60, 120, 360},
	}
}

// point is a block: its middle in hours before the end of what is looked at, the
// least value, and the mean rate of the load.
type point struct{ x, y, rate float64 }

// points reads the blocks of a series from..to, in minutes, oldest first. A block of
// which less than half is known is left out.
func (d *Detector) points(s *series, from, to, block int64, into []point) []point {
	values, rates, step := s.coarse, d.coarse, int64(coarse)
	if block < coarse {
		values, rates, step = s.fine, d.fine, 1
	}
	into = into[:0]
	for start := to - (to-from)/block*block; start+block <= to; start += block {
		least, rate, known, rated := math.Inf(1), 0.0, 0.0, 0.0
		for i := start / step; i < (start+block)/step; i++ {
			if v := values.at(i); !math.IsNaN(v) {
				least = min(least, v)
				known++
			}
			if v := rates.at(i); !math.IsNaN(v) {
				rate += v
				rated++
			}
		}
		if known*2 < float64(block/step) || known == 0 {
			continue
		}
		x := (float64(start) + float64(block)/2 - float64(to)) / 60
		into = append(into, point{x, least, rate / max(rated, 1)})
	}
	return into
}

func split(points []point) (x, y []float64) {
	x, y = make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		x[i], y[i] = p.x, p.y
	}
	return x, y
}

// verdict is what a look over a horizon says.
type verdict struct {
	leak   bool
	why    string      // it is none
	slope  stats.Slope // per hour
	p      float64     // of so clear a trend by chance, at any look of a week
	points int
	width  int64 // of the running least value, in blocks
	load   adjuster
}

// look decides whether a series leaks over a horizon.
func (d *Detector) look(s *series, index int) verdict {
	h := &d.horizons[index]
	from, l := d.end-h.length, s.current()
	if from < l.ready {
		return verdict{why: "warming up"}
	}
	load := d.loadOf(index)
	needed := d.needed(s, h, ahead, aheadDouble)
	switch {
	case h.length < shortHorizon:
		needed = d.needed(s, h, aheadShort, aheadDoubleShort)
	case h.length >= longHorizon:
		needed = d.needed(s, h, aheadLong, aheadDouble)
	}
	// Most looks end here: nothing rises. What follows is dear.
	if load.steady && s.roughRise(from, d.end, h.step)*1.5 < needed {
		return verdict{why: "does not rise"}
	}
	points := d.points(s, from, d.end, h.step, nil)
	adjust := d.adjusterOf(s, index, points)
	if adjust.unknown {
		return verdict{why: "the rate cannot be told from time"}
	}
	points = adjust.apply(points)
	if float64(len(points)) < coverage*float64(h.length/h.step) || !mayRise(points, needed/1.5) {
		return verdict{why: "does not rise enough, or has gaps"}
	}
	points, width := envelope(points)
	v := d.significant(s, h, points)
	v.width, v.load = int64(width), adjust
	growth := v.slope.Slope * float64(h.length) / 60
	if !v.leak || growth < needed {
		return verdict{why: cmp.Or(v.why, "too slow to matter")}
	}
	if v.leak = d.unlikeBefore(s, h, &v, growth, points); !v.leak {
		v.why = "like before"
		return v
	}
	if v.leak = v.p <= 1-d.cfg.Confidence; !v.leak {
		v.why = "not significant"
	}
	return v
}

// roughRise is how much the last quarter lies above the first.
func (s *series) roughRise(from, to, step int64) float64 {
	values, size := s.coarse, int64(coarse)
	if step < coarse {
		values, size = s.fine, 1
	}
	quarter := (to - from) / 4
	mean := func(from, to int64) float64 {
		sum, n := 0.0, 0.0
		for i := from / size; i < to/size; i++ {
			if v := values.at(i); !math.IsNaN(v) {
				sum += v
				n++
			}
		}
		return sum / n
	}
	rise := mean(to-quarter, to) - mean(from, from+quarter)
	if math.IsNaN(rise) {
		return 0
	}
	return rise
}

// mayRise tells whether the last quarter lies above the first by at least so much.
func mayRise(points []point, least float64) bool {
	quarter := len(points) / 4
	if quarter == 0 {
		return false
	}
	rise := 0.0
	for i := range quarter {
		rise += points[len(points)-1-i].y - points[i].y
	}
	return rise/float64(quarter) >= least
}

// needed is the growth over the horizon that matters: so much that, going on, the limit
// is reached, or what has none doubles, within the configured time and within so many horizons.
func (d *Detector) needed(s *series, h *horizon, limited, double float64) float64 {
	hours := float64(h.length) / 60
	room, within, times := s.last, d.cfg.DoubleWithin.Hours(), double
	if s.limited() {
		room, within, times = max(s.limit-s.last, 0.01*s.limit), d.cfg.Within.Hours(), limited
	}
	return max(room*max(hours/within, 1/times), s.spec.least())
}

func (s *series) limited() bool { return !math.IsNaN(s.limit) }

// envelope takes the lower envelope: the running least value of as many blocks as it
// takes to span a tooth. It is only taken where it scatters much less than it would with mere
// noise: the least of so many independent normal values has the standard deviation that
// stands beside the width (Harter 1961), and of dependent ones a greater one.
func envelope(points []point) (lower []point, width int) {
	widths := []struct {
		width  int
		normal float64
	}{{1, 1}, {2, 0.826}, {3, 0.748}, {4, 0.701}, {6, 0.645}, {8, 0.611}, {11, 0.575}, {14, 0.553}}
	var scatter []float64
	for _, w := range widths {
		if w.width > 1 && w.width > len(points)/4 {
			break
		}
		scatter = append(scatter, roughSpread(floor(points, w.width))/w.normal)
	}
	best := slices.Min(scatter)
	if best >= 0.7*scatter[0] {
		return points, 1
	}
	for i, w := range widths {
		if scatter[i] <= 1.15*best {
			return floor(points, w.width), w.width
		}
	}
	return points, 1
}

// floor is the running least value of so many points.
func floor(points []point, width int) []point {
	if width <= 1 || len(points) < width {
		return points
	}
	lower := make([]point, len(points)-width+1)
	for i := range lower {
		p := points[i]
		for _, q := range points[i+1 : i+width] {
			p.y = min(p.y, q.y)
		}
		p.x, p.rate = (p.x+points[i+width-1].x)/2, points[i+width/2].rate
		lower[i] = p
	}
	return lower
}

// roughSpread is the root mean square around a line through the medians of the outer
// thirds: unlike a robust measure it sees the few troughs that short blocks miss.
func roughSpread(points []point) float64 {
	x, y := split(points)
	third := len(points) / 3
	if third == 0 {
		return 0
	}
	x1, x2 := stats.Median(x[:third]), stats.Median(x[len(x)-third:])
	y1, y2 := stats.Median(y[:third]), stats.Median(y[len(y)-third:])
	slope := (y2 - y1) / (x2 - x1)
	sum, squares, n := 0.0, 0.0, float64(len(y))
	for i := range y {
		rest := y[i] - y1 - slope*(x[i]-x1)
		sum += rest
		squares += rest * rest
	}
	return math.Sqrt(max(0, squares/n-sum*sum/n/n))
}

// spread is the scatter around a line, as a standard deviation.
func spread(points []point, line stats.Slope) float64 {
	residuals := make([]float64, len(points))
	for i, p := range points {
		residuals[i] = p.y - line.Intercept - line.Slope*p.x
	}
	return stats.MAD(residuals)
}

// significant tests the trend: the shape first, which costs little.
func (d *Detector) significant(s *series, h *horizon, points []point) verdict {
	if !risesThroughout(points, h.length < shortHorizon) {
		return verdict{why: "a step, or it flattens"}
	}
	x, y := split(points)
	trend := stats.MannKendallCorrected(y)
	// Two-sided P; the looks of a week that do not overlap, at all series, at all horizons.
	looks := float64(len(d.order)*len(d.horizons)) * max(1, 7*24*60/float64(h.length))
	p := min(1, trend.P/2*looks)
	if trend.S <= 0 || p*leastSurprise > 1-d.cfg.Confidence {
		return verdict{why: "not significant"}
	}
	slope, ok := fit(x, y)
	if !ok || slope.Low <= 0 {
		return verdict{why: "the slope is not sure"}
	}
	if saturates(points) {
		return verdict{why: "it fills up"}
	}
	if s.spec.Unit == Count && steps(points, slope) {
		return verdict{why: "it is one step, or two"}
	}
	return verdict{leak: true, slope: slope, p: p, points: len(points)}
}

// fit is the Theil-Sen line with its interval at 99 %, which is widened by the root of how
// much fewer independent values there are than points (Bayley & Hammersley 1946).
func fit(x, y []float64) (stats.Slope, bool) {
	line, ok := stats.TheilSen(x, y, 0.99)
	if !ok {
		return line, false
	}
	residuals := make([]float64, len(y))
	for i := range y {
		residuals[i] = y[i] - line.Intercept - line.Slope*x[i]
	}
	wider := math.Sqrt(float64(len(y)) / effectiveSize(residuals))
	line.Low = line.Slope - wider*(line.Slope-line.Low)
	line.High = line.Slope + wider*(line.High-line.Slope)
	return line, true
}

// unlikeBefore tells whether the growth is more than what the series did before
// within as long a time. What goes on since before the horizon as it does in it does
// not count, so that a leak that was missed at first is not held for usual. The more is known of it, the closer growth may be to it.
func (d *Detector) unlikeBefore(s *series, h *horizon, v *verdict, growth float64, points []point) bool {
	scatter := spread(points, v.slope)
	p := d.before(s, h, v, growth)
	rises := p.rises
	again := s.lastSlope > 0 && v.slope.Slope > s.lastSlope/2 && v.slope.Slope < 2*s.lastSlope
	known := again || (len(rises) > 0 && s.current().steady)
	if !known && (!d.urgent(s, h, growth) || flattens(points) || growth < clearYoung*scatter || !d.higherThanEver(s, h, growth)) {
		return false
	}
	factor := 3.0
	switch {
	case !v.load.none && len(rises) >= 4:
		factor = 3 // what is known of the effect of the rate is not exact
	case !v.load.none:
		factor = 4
	case len(rises) >= 8 && h.length >= shortHorizon:
		factor = 1.5
	case len(rises) >= 4:
		factor = 2
	case len(rises) >= 2:
		factor = 2.5
	}
	usual := 0.0
	if len(rises) > 0 {
		slices.Sort(rises)
		usual = rises[len(rises)-1]
		// One of several may be a step, a deployment, an accident.
		if len(rises) >= 4 {
			usual = rises[len(rises)-2]
		}
	}
	// It also has to leave the levels of before: a tooth and a day curve come back to them.
	last := v.slope.Intercept - v.slope.Slope*float64(h.length)/60/8
	if len(p.levels) > 0 && last-stats.Quantile(p.levels, 0.95) < growth/2 {
		return false
	}
	v.p *= surprise(growth, rises)
	return growth >= factor*usual && growth >= clearKnown*scatter
}

// surprise is by how much the size of the growth makes it less likely that chance
// made it: 4/9/(1+t^2), the one-sided inequality of Vysochanskij & Petunin (1985), which holds
// for any distribution with one mode, t being the growth over the root mean square of the
// rises of before. Each of these is the largest within its stretch, so t is on the low side.
// Mann-Kendall sees ranks alone, so the size is evidence of its own. It is never below
// leastSurprise, and nothing is said of fewer than two stretches.
func surprise(growth float64, rises []float64) float64 {
	if len(rises) < 2 {
		return 1
	}
	squares := 0.0
	for _, rise := range rises {
		squares += rise * rise / float64(len(rises))
	}
	return max(4./9/(1+growth*growth/squares), leastSurprise)
}

// urgent is asked while it is not known how the series behaves: growth from the start
// on is a leak only when it is fast for its horizon, or has gone on for long.
func (d *Detector) urgent(s *series, h *horizon, growth float64) bool {
	if h.length >= sureYoung {
		return true
	}
	if !s.limited() && h.length < shortHorizon {
		return false
	}
	return growth >= d.needed(s, h, aheadYoung, 1)
}

// higherThanEver tells whether the troughs now lie above all that was since the
// start of the process and before the horizon, by at least half of the growth: a tooth comes back to
// where it was.
func (d *Detector) higherThanEver(s *series, h *horizon, growth float64) bool {
	begin := (d.end - h.length) / coarse
	highest := math.Inf(-1)
	for step := max(s.coarse.oldest(), (s.current().from+warmLeast)/coarse+1); step < begin; step++ {
		if v := s.coarse.at(step); v > highest {
			highest = v
		}
	}
	now := s.trough(d.end/coarse*coarse-max(h.length/4/coarse*coarse, coarse), d.end/coarse*coarse)
	return now-highest >= growth/2
}

// past is what a series did before a horizon, in stretches of its length.
type past struct {
	// rises are by how much it rose at most within each.
	rises []float64
	// levels are the lower envelope in the life of now, of the last day or three horizons.
	levels []float64
}

// before lists what the series did before the horizon, without warm-ups and restarts.
// The stretches that end with the horizon's own rise, without a fall between, are left
// out. The first may be shorter, when there is no whole one.
func (d *Detector) before(s *series, h *horizon, v *verdict, growth float64) past {
	var p past
	later := v.slope.Intercept - v.slope.Slope*float64(h.length)/60 // where the later stretch begins
	same := true                                                    // is it still the rise that the horizon ends
	oldest := s.coarse.oldest() * coarse
	to := (d.end - h.length) / coarse * coarse
	if from := max(s.current().ready, oldest, to-max(24*60, 3*h.length)); from < to {
		_, p.levels = split(d.envelopeWithin(s, h, v, from, to))
	}
	for i := len(s.lives) - 1; i >= 0; i-- {
		l := &s.lives[i]
		first := max(l.ready, oldest)
		if !l.steady {
			first = max(l.from+warmUnknown, oldest)
		}
		for to > first {
			from := max(to-h.length, first)
			part := float64(to-from) / float64(h.length)
			if part < 1 && (len(p.rises) > 0 || part < 0.5) {
				break
			}
			points := d.envelopeWithin(s, h, v, from, to)
			to = from
			if len(points) < 3 {
				continue
			}
			begin, end := ends(points)
			same = same && (end-begin)*1.5/part >= growth/2 && end <= later+growth/4
			later = begin
			if same {
				continue
			}
			p.rises = append(p.rises, largestRise(points)/part*(1+1/float64(len(points)-1)))
		}
		to, same = min(to, l.from), false
	}
	return p
}

// envelopeWithin is the lower envelope of a stretch, made as that of the horizon; none
// when most of it, or of the rates in it, is not known.
func (d *Detector) envelopeWithin(s *series, h *horizon, v *verdict, from, to int64) []point {
	// The short ring holds nothing from before a short horizon.
	block := max(h.step, coarse)
	points := v.load.apply(d.points(s, from, to, block, nil))
	if float64(len(points)) < coverage/2*float64((to-from)/block) {
		return nil
	}
	return floor(points, int((v.width*h.step+block-1)/block))
}

// ends are the medians of the first and the last third.
func ends(points []point) (begin, end float64) {
	_, y := split(points)
	third := len(y) / 3
	return stats.Median(y[:third]), stats.Median(y[len(y)-third:])
}

// largestRise is by how much a value at most exceeds an earlier one.
func largestRise(points []point) float64 {
	least, rise := math.Inf(1), 0.0
	for _, p := range points {
		least = min(least, p.y)
		rise = max(rise, p.y-least)
	}
	return rise
}
