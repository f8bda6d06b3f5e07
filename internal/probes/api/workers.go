package api

import (
	"math"
	"time"
)

const (
	// recentPolls is how many polls the number of workers is counted over.
	recentPolls = 12
	// clockSlack allows for the whole seconds of the Date header and for start
	// times that are taken from a boot time in whole seconds.
	clockSlack = 2 * time.Second
)

// workers tells from the start time of the process that answered whether it was
// restarted or whether several processes answer in turn behind one port.
//
// A start time that is later than the moment at which the last process was seen
// alive is a restart. One that is earlier belongs to a process that was already
// there: another worker.
type workers struct {
	recent   []float64
	current  float64
	lastSeen time.Time
	restarts int
}

// observe takes in the start of the process that answered, in seconds since
// 1970, and the target's time of its answer. It returns how many different
// processes answered in the last polls.
func (w *workers) observe(start float64, now time.Time) int {
	if len(w.recent) > 0 && !sameProcess(start, w.current) && w.isRestart(start) {
		w.restarts++
		w.recent = w.recent[:0]
	}
	w.current, w.lastSeen = start, now
	w.recent = append(w.recent, start)
	if excess := len(w.recent) - recentPolls; excess > 0 {
		w.recent = append(w.recent[:0], w.recent[excess:]...)
	}
	return distinct(w.recent)
}

func (w *workers) isRestart(start float64) bool {
	bornAfter := start >= float64(w.lastSeen.Add(-clockSlack).UnixNano())/1e9
	return start > w.current && bornAfter && distinct(w.recent) == 1
}

func distinct(starts []float64) int {
	n := 0
	for i, start := range starts {
		if !contains(starts[:i], start) {
			n++
		}
	}
	return n
}

func contains(starts []float64, start float64) bool {
	for _, other := range starts {
		if sameProcess(other, start) {
			return true
		}
	}
	return false
}

// sameProcess reports whether two start times are of one process. They may
// differ by a whole second: Linux gives a start as ticks since boot, and some
// libraries add the boot time anew at each read, which the kernel rounds to
// seconds and which moves when the clock is set.
func sameProcess(a, b float64) bool {
	const resolution = 0.0015 // below one tick (0.01 s), above float64's error at 1e9 (1e-7)
	difference := math.Abs(a - b)
	return math.Abs(difference-math.Round(difference)) < resolution && math.Round(difference) <= 1
}
