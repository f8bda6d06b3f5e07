package leak

import (
	"math"

	"soakd/internal/judge/window"
)

// Of the warm-up of a process. Times are in minutes.
const (
	// warmLeast is left out in any case.
	warmLeast = 20
	// plateau is how long a series has to stand still at least for the warm-up to be
	// over, and plateauRise by how much of its level it may still rise in an hour: half a
	// per cent an hour is a doubling only in eight days.
	plateau     = 60
	plateauRise = 0.005
	// warmUnknown is taken for the warm-up of a process that never stood still.
	warmUnknown = 180
	// warmMost ends any warm-up: what rises for longer is none.
	warmMost = 24 * 60
	// keptLives bounds the processes that are remembered.
	keptLives = 32
)

// series is one resource of one owner.
type series struct {
	spec       *Spec
	id, labels string
	limit      float64 // NaN when there is none
	last       float64
	seen       int64 // minute
	fine       *ring
	coarse     *ring
	lives      []life  // oldest first
	hits       []uint8 // a bit for each look, the last one the lowest: did it see a leak
	profiles   []profile
	leak       *suspicion
	saved      *savedLeak
	lastSlope  float64 // per hour of the last leak that a restart ended
	over       []endedLeak

	// of the minute under way
	polls    int
	sum, min float64

	limitLabels, lifeLabels     string
	limitKnown, lifeKnown, born bool
	lifeValue                   float64
}

// life is a process between two restarts. Times are minutes.
type life struct {
	from, to int64
	// ready is when its warm-up was over: surely when steady is set, else not before.
	ready  int64
	steady bool
	trend  lifeTrend
}

func newSeries(spec *Spec, labels string, horizons int) *series {
	return &series{
		spec: spec, labels: labels, id: window.SignalID(spec.Metric, labels), limit: math.NaN(), seen: -1,
		fine: newRing(fineSteps), coarse: newRing(coarseSteps), hits: make([]uint8, horizons), profiles: make([]profile, horizons),
	}
}

// take adds one of the signals of the minute.
func (s *series) take(signal *window.Signal) {
	s.sum += signal.Sum
	if s.polls == 0 || signal.Min < s.min {
		s.min = signal.Min
	}
	s.polls = max(s.polls, signal.N)
}

// close ends the minute. A single series gives its least value. Of several that are
// added up the least values need not have come together, so it is the mean; one that
// was there at some polls only counts for these.
func (s *series) close(minute int64) {
	value := s.min
	if len(s.spec.Sum) > 0 {
		value = s.sum / float64(s.polls)
	}
	s.polls, s.sum = 0, 0
	if !s.born {
		s.born = true
		s.startLife(minute)
	}
	s.seen, s.last = minute, value
	s.fine.least(minute, value)
	s.coarse.least(minute/coarse, value)
}

// readOwner looks up the limit, and whether the process is a new one.
func (s *series) readOwner(w *window.Window, minute int64) {
	if s.spec.Limit != "" {
		if limit := sibling(w, s.spec.Limit, s.spec.LimitOnly, s.labels, &s.limitLabels, &s.limitKnown); limit != nil && limit.N > 0 && limit.Last > 0 {
			s.limit = limit.Last * s.spec.share()
		}
	}
	if s.spec.Lifetime == "" {
		return
	}
	life := sibling(w, s.spec.Lifetime, "", s.labels, &s.lifeLabels, &s.lifeKnown)
	if life == nil {
		return
	}
	fresh := life.Kind == window.Counter && life.Increase > 0
	if life.Kind == window.Gauge && life.N > 0 {
		// A start time comes from a clock that may be set a little.
		fresh = s.lifeValue != 0 && math.Abs(life.Last-s.lifeValue) > 1
		s.lifeValue = life.Last
	}
	if fresh && s.born {
		s.endLife(minute)
		s.startLife(minute)
	}
}

// sibling finds the series of a metric that belongs to the same owner, and keeps its labels.
func sibling(w *window.Window, metric, only, labels string, found *string, known *bool) *window.Signal {
	if *known {
		if signal := w.Signal(metric, *found); signal != nil {
			return signal
		}
	}
	all := w.Named(metric)
	for i := range all {
		if belongs(all[i].Labels, only, labels) {
			*found, *known = all[i].Labels, true
			return &all[i]
		}
	}
	return nil
}

func (s *series) startLife(minute int64) {
	if len(s.lives) == keptLives {
		s.lives = append(s.lives[:0], s.lives[1:]...)
	}
	s.lives = append(s.lives, life{from: minute, ready: minute + warmLeast})
	clear(s.hits)
}

// current is the life of now; there is one as soon as there is a value.
func (s *series) current() *life { return &s.lives[len(s.lives)-1] }

// warmUp looks whether the warm-up of the process is over: whether in the last half of
// its life, and at least in an hour after warmLeast, the lower envelope stood no
// higher in the second part than in the first. Half of the life is as long for a
// cache that takes hours to fill up as it has to be, and spans long teeth in the end.
func (s *series) warmUp(end int64) {
	l := s.current()
	if l.steady {
		return
	}
	if end-l.from > warmMost {
		l.steady, l.ready = true, (end-plateau)/coarse*coarse
		return
	}
	length := max(plateau, (end-l.from)/2)
	from := (end - length) / coarse * coarse
	if from < l.from+warmLeast {
		return
	}
	middle := from + length/2/coarse*coarse
	first, second := s.trough(from, middle), s.trough(middle, end)
	rise := (second - first) * 2 * 60 / float64(length)
	still := plateauRise * first
	if s.spec.Unit == Count {
		still = max(still, 1) // one step
	}
	if rise <= still {
		l.steady, l.ready = true, from
	}
}

// collapsed begins a new life when the series falls by a tenth at once to where it
// was not for a day: what it held is gone, as after a flush, and fills up anew.
func (s *series) collapsed(end int64) bool {
	last := end/coarse - 1
	from := max(s.current().from/coarse, last-24*60/coarse)
	value, before := s.coarse.at(last), math.Inf(1)
	if last-from < plateau/coarse {
		return false
	}
	for step := from; step < last; step++ {
		if v := s.coarse.at(step); !math.IsNaN(v) {
			before = min(before, v)
		}
	}
	if math.IsInf(before, 1) || math.IsNaN(value) || value >= 0.9*before || before-value < s.spec.least() {
		return false
	}
	s.current().to = end - coarse
	s.startLife(end - coarse)
	return true
}

// trough is the least value of a stretch, NaN when less than three quarters of it are known.
func (s *series) trough(from, to int64) float64 {
	least, known := math.Inf(1), 0.0
	for step := from / coarse; step < to/coarse; step++ {
		if v := s.coarse.at(step); !math.IsNaN(v) {
			least = min(least, v)
			known++
		}
	}
	if known < 0.75*float64((to-from)/coarse) {
		return math.NaN()
	}
	return least
}
