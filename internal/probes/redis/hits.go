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
	points []hitPoint
}

// hitPoint is what one poll read.
type hitPoint struct {
	at           time.Time
	hits, misses float64
}

// clear forgets the points: those of counters that have begun anew since.
func (w *hitWindow) clear() { w.points = w.points[:0] }

// add takes in the counters of a poll and returns the ratio over the window. It
// has none on the first poll, after the counters fell, and when nothing was
// looked up.
func (w *hitWindow) add(point hitPoint) (ratio float64, ok bool) {
	if n := len(w.points); n > 0 && (point.hits < w.points[n-1].hits || point.misses < w.points[n-1].misses) {
		w.clear()
	}
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
