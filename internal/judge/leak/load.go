package leak

import (
	"math"
	"slices"

	"soakd/internal/judge/stats"
)

const (
	// steadyRate is by how much of its median the rate may vary and be called steady.
	steadyRate = 0.05
	// elasticity is by how much more than the rate a resource may grow with it:
	// twice the rate takes at most twice the memory and a little more.
	elasticity = 1.5
	// rateBand is the width of the bands within which rates are alike: 10 %.
	rateBand = 0.1
	// bandLeast is how many blocks a band needs before the horizon.
	bandLeast = 4
	// learnLeast is how many minutes have to be known before the horizon for the effect
	// of the rate to be taken from there: a day, in which a day curve is seen whole.
	learnLeast = 24 * 60
	// learnedLeast is the horizon, in minutes, from which on what was learned is taken off;
	// in a shorter one its own noise is as large as what is looked for.
	learnedLeast = 150
	// withinLeast is the horizon, in minutes, from which on like rates within it are
	// compared: in a shorter one they are next to one another, or the load goes up and down fast.
	withinLeast = 12 * 60
	// learnBlock is the length of the blocks that are learned from, in minutes.
	learnBlock = 20
)

// loadView is what the rate did over a horizon.
type loadView struct {
	steady bool
	// rise is by how much of its median the rate rose from the first quarter to the last.
	rise float64
}

// loadOf is cached for the minute: it is the same for all series.
func (d *Detector) loadOf(index int) loadView {
	if view, known := d.looks[index]; known {
		return view
	}
	h := &d.horizons[index]
	rates, step := d.coarse, int64(coarse)
	if h.step < coarse {
		rates, step = d.fine, 1
	}
	var values []float64
	for i := (d.end - h.length) / step; i < d.end/step; i++ {
		if v := rates.at(i); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	view := loadView{steady: true}
	if median := stats.Median(values); len(values) >= 4 && median > 0 {
		quarter := len(values) / 4
		view.rise = (stats.Median(values[len(values)-quarter:]) - stats.Median(values[:quarter])) / median
		view.steady = stats.Quantile(values, 0.95)-stats.Quantile(values, 0.05) <= steadyRate*median && math.Abs(view.rise) <= steadyRate
	}
	d.looks[index] = view
	return view
}

// adjuster takes the effect of the rate out of a series: what the series usually is
// at that rate is taken off.
type adjuster struct {
	// none leaves the series as it is; unknown means that rate and time cannot be
	// told apart.
	none, unknown bool
	usual         map[int]float64
	level         float64 // is added again
}

func band(rate float64) int { return int(math.Floor(math.Log(max(rate, 1e-3)) / rateBand)) }

// apply returns the points at like rates; those at rates of which nothing is known
// are left out.
func (a adjuster) apply(points []point) []point {
	if a.none {
		return points
	}
	kept := points[:0:0]
	for _, p := range points {
		if usual, known := a.usual[band(p.rate)]; known {
			p.y += a.level - usual
			kept = append(kept, p)
		}
	}
	return kept
}

// adjusterOf decides how the rate is taken out of the horizon: not at all when it is steady or
// changed too little to explain the growth; by what was seen at like rates before;
// or by comparing like rates within a long horizon when they come in its early and late
// parts. A short horizon is fast growth or none: the first way is all it has.
func (d *Detector) adjusterOf(s *series, index int, points []point) adjuster {
	load := d.loadOf(index)
	if load.steady {
		return adjuster{none: true}
	}
	h := &d.horizons[index]
	if rise := s.roughRise(d.end-h.length, d.end, h.step); rise > 0 && len(points) > 0 && elasticity*math.Abs(load.rise)*points[0].y < rise/2 {
		return adjuster{none: true}
	}
	if h.length >= learnedLeast {
		if a, ok := d.learned(s, index, points); ok {
			return a
		}
	}
	if h.length >= withinLeast {
		if a, ok := within(points, float64(h.length)/60); ok {
			return a
		}
	}
	return adjuster{unknown: true}
}

// profile is what is usual at each rate, as it was learned at a time.
type profile struct {
	at    int64 // minute; 0 for never
	usual map[int]float64
}

// learned takes what is usual at each rate from the time before the horizon.
func (d *Detector) learned(s *series, index int, points []point) (adjuster, bool) {
	h, p := &d.horizons[index], &s.profiles[index]
	if p.at == 0 || d.end-p.at >= max(60, h.length/8) {
		p.at, p.usual = d.end, d.learn(s, d.end-h.length)
	}
	a := adjuster{usual: p.usual}
	var levels []float64
	for _, point := range points {
		if usual, ok := a.usual[band(point.rate)]; ok {
			levels = append(levels, usual)
		}
	}
	if len(levels) == 0 || float64(len(levels)) < coverage*float64(len(points)) {
		return adjuster{}, false
	}
	a.level = stats.Median(levels)
	return a, true
}

// learn takes the medians of the bands of all that is known up to a minute; nil when
// that is less than learnLeast.
func (d *Detector) learn(s *series, to int64) map[int]float64 {
	to = to / learnBlock * learnBlock
	oldest := s.coarse.oldest() * coarse
	byBand := map[int][]float64{}
	known := int64(0)
	var points []point
	for i := len(s.lives) - 1; i >= 0; i-- {
		l := &s.lives[i]
		if from := max(l.ready, oldest); from < to {
			known += to - from
			points = d.points(s, from, to, learnBlock, points)
			for _, p := range points {
				key := band(p.rate)
				byBand[key] = append(byBand[key], p.y)
			}
		}
		to = min(to, l.from/learnBlock*learnBlock)
	}
	if known < learnLeast {
		return nil
	}
	usual := map[int]float64{}
	for key, values := range byBand {
		if len(values) >= bandLeast {
			usual[key] = stats.Median(values)
		}
	}
	return usual
}

// within fits y = f(band of the rate) + slope*x: the slope is the median of the slopes
// of all pairs within a band (Hirsch, Slack & Smith 1982 compare like seasons so), f the median of
// what remains. It is false when most blocks have no like one a third of the horizon away.
func within(points []point, hours float64) (adjuster, bool) {
	byBand := map[int][]point{}
	for _, p := range points {
		byBand[band(p.rate)] = append(byBand[band(p.rate)], p)
	}
	var slopes []float64
	apart := 0
	for _, alike := range byBand {
		if alike[len(alike)-1].x-alike[0].x >= hours/3 {
			apart += len(alike)
		}
		for i, p := range alike {
			for _, q := range alike[i+1:] {
				slopes = append(slopes, (q.y-p.y)/(q.x-p.x))
			}
		}
	}
	if float64(apart) < 0.6*float64(len(points)) {
		return adjuster{}, false
	}
	slices.Sort(slopes) // the order of a map must not matter
	slope := stats.Median(slopes)
	a := adjuster{usual: map[int]float64{}}
	var levels []float64
	for key, alike := range byBand {
		rest := make([]float64, len(alike))
		for i, p := range alike {
			rest[i] = p.y - slope*p.x
		}
		a.usual[key] = stats.Median(rest)
		for range alike {
			levels = append(levels, a.usual[key])
		}
	}
	a.level = stats.Median(levels)
	return a, true
}
