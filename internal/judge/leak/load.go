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
// rose too little to explain the growth; by what was seen at like rates before;
// or by comparing like rates within the horizon when they come in its early and late
// parts.
func (d *Detector) adjusterOf(s *series, index int, block int64, points []point) adjuster {
	load := d.loadOf(index)
	if load.steady {
		return adjuster{none: true}
	}
	h := &d.horizons[index]
	if rise := s.roughRise(d.end-h.length, d.end, h.step); rise > 0 && elasticity*math.Abs(load.rise)*s.last < rise/2 {
		return adjuster{none: true}
	}
	if a, ok := d.learned(s, h, block, points); ok {
		return a
	}
	if a, ok := within(points, float64(h.length)/60); ok {
		return a
	}
	return adjuster{unknown: true}
}

// learned takes what is usual at each rate from the time before the horizon.
func (d *Detector) learned(s *series, h *horizon, block int64, points []point) (adjuster, bool) {
	block = max(block, coarse)
	oldest := s.coarse.oldest() * coarse
	to := (d.end - h.length) / coarse * coarse
	byBand := map[int][]float64{}
	known := int64(0)
	for i := len(s.lives) - 1; i >= 0; i-- {
		l := &s.lives[i]
		if from := max(l.ready, oldest); from < to {
			known += to - from
			for _, p := range d.points(s, from, to, block, nil) {
				byBand[band(p.rate)] = append(byBand[band(p.rate)], p.y)
			}
		}
		to = min(to, l.from)
	}
	if known < learnLeast {
		return adjuster{}, false
	}
	a := adjuster{usual: map[int]float64{}}
	var levels []float64
	for key, values := range byBand {
		if len(values) >= bandLeast {
			a.usual[key] = stats.Median(values)
		}
	}
	for _, p := range points {
		if usual, ok := a.usual[band(p.rate)]; ok {
			levels = append(levels, usual)
		}
	}
	if float64(len(levels)) < coverage*float64(len(points)) {
		return adjuster{}, false
	}
	a.level = stats.Median(levels)
	return a, true
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
