package redis

import "time"

// hitWindow computes the share of lookups that found their key over a window of
// time. The lifetime ratio that hits/(hits+misses) of the counters themselves
// would be hides a cache that stopped working an hour ago.
type hitWindow struct{ window[lookups] }

// lookups are the counters of one poll.
type lookups struct{ hits, misses float64 }

// add takes in the counters of a poll and returns the ratio over the window. It
// has none on the first poll, after the counters fell, and when nothing was
// looked up.
func (w *hitWindow) add(at time.Time, now lookups) (ratio float64, ok bool) {
	if last, ok := w.last(); ok && (now.hits < last.hits || now.misses < last.misses) {
		w.clear()
	}
	first := w.window.add(at, now)
	hits, misses := now.hits-first.hits, now.misses-first.misses
	if hits+misses <= 0 {
		return 0, false
	}
	return hits / (hits + misses), true
}
