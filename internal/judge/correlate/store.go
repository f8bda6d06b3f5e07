// Package correlate keeps what every signal did in the last day, and says of a finding
// which signals moved with it. What it says are hints, for a person to look at: that
// two things move together does not tell which of them moves the other, if either.
package correlate

import (
	"cmp"
	"math"
	"slices"
	"time"

	"soakd/internal/judge/window"
)

const (
	// kept is how many minutes are kept of each series: a day.
	kept = 24 * 60
	// DefaultSeries is how many series are kept when nothing else is said.
	DefaultSeries = 512
	// loadRate is the name under which the rate of the load is kept beside the signals.
	loadRate = "soakd_load_target_rate"
)

// Store keeps a day of minutes of each series, as float32: about 6 kB a series. It
// is not safe for concurrent use.
type Store struct {
	most   int
	series map[key]*series
	order  []*series // by ID
	end    int64     // minute after the newest window, since the Unix epoch
	tidied int64
}

type key struct{ name, labels string }

// series is one signal: means of a gauge, gains a second of a counter. NaN is a gap.
type series struct {
	name, labels, id string
	kind             window.SignalKind
	values           []float32
	first, next      int64 // minutes that may have a value: first <= minute < next
}

// New makes a store of at most so many series; 0 is [DefaultSeries]. Series beyond are
// not kept until one has not been seen for a day.
func New(most int) *Store {
	if most <= 0 {
		most = DefaultSeries
	}
	return &Store{most: most, series: map[key]*series{}}
}

// Observe takes the next window of the level [window.Minute] in. Windows of other
// levels and windows that are not after the last one are ignored.
func (s *Store) Observe(w *window.Window) {
	minute := w.Start.Unix() / 60
	seconds := w.Covered.Seconds()
	if w.Length != window.Minute || minute < s.end || seconds <= 0 {
		return
	}
	s.end = minute + 1
	for i := range w.Signals {
		signal := &w.Signals[i]
		if signal.N == 0 {
			continue
		}
		value := signal.Mean()
		if signal.Kind == window.Counter {
			value = signal.Increase / seconds
		}
		s.put(signal.Name, signal.Labels, signal.Kind, minute, value)
	}
	if w.Rate > 0 {
		s.put(loadRate, "", window.Gauge, minute, w.Rate)
	}
}

func (s *Store) put(name, labels string, kind window.SignalKind, minute int64, value float64) {
	k := key{name, labels}
	one := s.series[k]
	if one == nil {
		if len(s.order) >= s.most && !s.tidy() {
			return
		}
		one = &series{name: name, labels: labels, id: window.SignalID(name, labels), kind: kind, values: make([]float32, kept), first: minute, next: minute}
		s.series[k] = one
		at, _ := slices.BinarySearchFunc(s.order, one, compareSeries)
		s.order = slices.Insert(s.order, at, one)
	}
	for gap := max(one.next, minute-kept); gap < minute; gap++ {
		one.values[gap%kept] = float32(math.NaN())
	}
	one.values[minute%kept] = float32(value)
	one.next = minute + 1
	one.first = max(one.first, one.next-kept)
}

func compareSeries(a, b *series) int { return cmp.Compare(a.id, b.id) }

// tidy forgets series that have not been seen for a day, at most once an hour; it
// tells whether there is room.
func (s *Store) tidy() bool {
	if s.end < s.tidied+60 {
		return false
	}
	s.tidied = s.end
	stale := func(one *series) bool { return one.next < s.end-kept }
	for k, one := range s.series {
		if stale(one) {
			delete(s.series, k)
		}
	}
	s.order = slices.DeleteFunc(s.order, stale)
	return len(s.order) < s.most
}

// at is the value of a minute, NaN when there is none.
func (one *series) at(minute int64) float64 {
	if minute < one.first || minute >= one.next {
		return math.NaN()
	}
	return float64(one.values[minute%kept])
}

// stretch returns the values of the minutes from..to-1 in means of so many minutes,
// and the minute at which each begins, without gaps.
func (one *series) stretch(from, to, step int64) (values []float64, minutes []int64) {
	for minute := from; minute+step <= to; minute += step {
		sum, n := 0.0, 0.0
		for m := minute; m < minute+step; m++ {
			if v := one.at(m); !math.IsNaN(v) && !math.IsInf(v, 0) {
				sum += v
				n++
			}
		}
		if n > 0 {
			values, minutes = append(values, sum/n), append(minutes, minute)
		}
	}
	return values, minutes
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

func timeOf(minute int64) time.Time { return time.Unix(minute*60, 0).UTC() }
