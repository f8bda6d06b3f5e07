package api

import (
	"math"
	"slices"
	"time"
)

const (
	// recentPolls is how many polls the workers are counted over.
	recentPolls = 12
	// sideBySide is for how many polls in a row processes must have answered in
	// turn to be taken for workers, and no more for a replacement that goes on.
	sideBySide = 5 * recentPolls
	// sideBySidePolls takes the place of recentPolls from then on. Of two workers
	// that answer at random, with a poll every 5 s, a given one answers 12 polls in
	// a row twice a day (17280 polls * 2^-13), 36 polls not in a thousand years.
	sideBySidePolls = 3 * recentPolls
	// clockSlack allows for the whole seconds of the Date header and for start
	// times that are taken from a boot time in whole seconds.
	clockSlack = 2 * time.Second
)

// workers tells from the start time of the process that answered whether it was
// restarted or whether several processes answer in turn behind one port.
//
// There are two ways to see a restart. Where one process answered so far, one
// that was born after that was last seen alive has taken its place. Where the
// old one still answers for a while, as behind a proxy that replaces one
// instance after the other, it is a restart once all that answer were born after
// the old ones were known: then none of these is left. A process that was there
// from the beginning is another worker, whichever of them answers.
type workers struct {
	recent []float64
	// crowded counts the polls in a row at which more than one was in recent.
	crowded  int
	lastSeen time.Time
	// known is when the last restart was seen, or soakd's first poll, in seconds
	// since 1970 by the target's clock: who was born later is new.
	known    float64
	restarts int

	// used is the CPU time of the process that answered last, in seconds; NaN when
	// its page has none.
	used float64
	// twins is for how many polls more several of one start are taken to answer.
	twins int
}

// spend takes in the CPU time of the process that answers, before observe. Workers
// that are started together may have the same start: its resolution is 0.01 s, and
// a whole second in Node. The CPU time of one process never falls.
func (w *workers) spend(start, used float64) {
	const resolution = 0.01 // of the tick, which user and system time are rounded to
	fell := len(w.recent) > 0 && sameProcess(start, w.recent[len(w.recent)-1]) && used < w.used-resolution
	switch {
	case fell:
		w.twins = sideBySidePolls
	case w.twins > 0:
		w.twins--
	}
	w.used = used
}

// observe takes in the start of the process that answered, in seconds since
// 1970, and the target's time of its answer. It returns how many different
// processes answered in the last polls.
func (w *workers) observe(start float64, now time.Time) int {
	firstPoll := len(w.recent) == 0
	replaced := !firstPoll && w.isReplacement(start, now)
	if replaced {
		w.recent, w.crowded, w.twins = w.recent[:0], 0, 0
	}
	w.remember(start)
	w.lastSeen = now
	restarted := replaced || !firstPoll && w.allNew()
	if restarted {
		w.restarts++
	}
	if firstPoll || restarted {
		// Not before the youngest: without a Date header now is by soakd's clock.
		w.known = max(unixSeconds(now), slices.Max(w.recent))
	}
	if w.twins > 0 {
		return max(2, distinct(w.recent))
	}
	return distinct(w.recent)
}

// isReplacement reports whether the process of that start was born after the
// only one that answered so far was last seen. One that is born only after now
// shows that the two clocks cannot be compared.
func (w *workers) isReplacement(start float64, now time.Time) bool {
	last := w.recent[len(w.recent)-1]
	bornBetween := start >= unixSeconds(w.lastSeen.Add(-clockSlack)) && start <= unixSeconds(now.Add(clockSlack))
	return bornBetween && start > last && !sameProcess(start, last) && distinct(w.recent) == 1
}

// allNew reports whether all that answered lately were born after the others
// were known.
func (w *workers) allNew() bool {
	return slices.Min(w.recent) > w.known+clockSlack.Seconds()
}

// remember adds start to the recent ones and forgets the oldest of them.
func (w *workers) remember(start float64) {
	w.recent = append(w.recent, start)
	size := recentPolls
	if w.crowded >= sideBySide {
		size = sideBySidePolls
	}
	if excess := len(w.recent) - size; excess > 0 {
		w.recent = slices.Delete(w.recent, 0, excess)
	}
	w.crowded++
	if distinct(w.recent) == 1 {
		w.crowded = 0
	}
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

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
