package redis

import "time"

// maxPoints bounds the points of a window, should polls come much faster than it
// is long.
const maxPoints = 100

// window remembers what polls read over a length of time, for changes over it.
type window[T any] struct {
	length time.Duration
	points []point[T]
}

// point is what one poll read.
type point[T any] struct {
	at    time.Time
	value T
}

// clear forgets the points: those of counters that have begun anew since.
func (w *window[T]) clear() { w.points = w.points[:0] }

// last returns what the last poll read.
func (w *window[T]) last() (value T, ok bool) {
	if len(w.points) == 0 {
		return value, false
	}
	return w.points[len(w.points)-1].value, true
}

// add takes in what a poll read and returns what to compare it with: the newest
// point that is a window old or older, so that the window is covered whole, or
// the oldest there is; on the first poll the point itself. One that is more than
// two windows old, from before an outage, counts only while there is no newer one:
// the hours of the outage would hide what happens now.
func (w *window[T]) add(at time.Time, value T) (first T) {
	n := len(w.points)
	if n >= 2 && w.points[n-1].at.Sub(w.points[n-2].at) < w.length/maxPoints {
		w.points = w.points[:n-1] // too close to the one before it to be kept
	}
	w.points = append(w.points, point[T]{at, value})
	start := at.Add(-w.length)
	drop := 0
	for drop+1 < len(w.points) && !w.points[drop+1].at.After(start) {
		drop++
	}
	if len(w.points)-drop > 2 && w.points[drop].at.Before(start.Add(-w.length)) {
		drop++
	}
	w.points = append(w.points[:0], w.points[drop:]...)
	return w.points[0].value
}
