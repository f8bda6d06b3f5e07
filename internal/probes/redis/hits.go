package redis

import "time"

// maxPoints bounds the window's points, should polls come much faster than the
// window is long.
const maxPoints = 1000

// hitWindow computes the share of lookups that found their key over a window of
// time. The lifetime ratio that hits/(hits+misses) of the counters themselves
// would be hides a cache that stopped working an hour ago.
type hitWindow struct {
	window time.Duration
	run    string
	points []hitPoint
}

// hitPoint is what one poll read.
type hitPoint struct {
	at           time.Time
	hits, misses float64
}

// add takes in the counters of a poll of the server run with that id and
// returns the ratio over the window. It has none on the first poll of a run,
// after the counters were reset, and when nothing was looked up.
func (w *hitWindow) add(run string, point hitPoint) (ratio float64, ok bool) {
	if n := len(w.points); n > 0 {
		last := w.points[n-1]
		// A restart has a new run id. CONFIG RESETSTAT keeps it: the counters fall.
		if run != w.run || point.hits < last.hits || point.misses < last.misses {
			w.points = w.points[:0]
		}
	}
	w.run = run
	w.points = append(w.points, point)
	w.trim(point.at)
	first := w.points[0]
	hits, misses := point.hits-first.hits, point.misses-first.misses
	if hits+misses <= 0 {
		return 0, false
	}
	return hits / (hits + misses), true
}

// trim leaves the newest point that is a window old or older, so that the
// window is covered whole, and all after it.
func (w *hitWindow) trim(now time.Time) {
	start := now.Add(-w.window)
	drop := max(0, len(w.points)-maxPoints)
	for drop+1 < len(w.points) && !w.points[drop+1].at.After(start) {
		drop++
	}
	w.points = append(w.points[:0], w.points[drop:]...)
}
