package api

import "slices"

// processID tells a process from all others of one boot: a number that is used
// again has another start.
type processID struct {
	pid   int
	start uint64 // ticks since boot
}

// usage is what one process has used of something since its birth: by itself,
// and by those of its children that it has waited for, with theirs.
type usage struct {
	id, parent     processID
	own, inherited float64
}

// tally adds up what a process and its descendants use. A sum over those that
// live would fall when one of them ends unwaited for, or is taken over by init;
// the total only rises.
//
// A child's use passes to its parent when the parent waits for it (wait4(2)):
// from then on the parent's inherited holds all of what the child's own held.
// What was counted of the child is therefore taken off the parent's gain.
type tally struct {
	total float64
	last  map[processID]usage
	// owed is what was counted of children that are gone and has not turned up
	// with their parents yet. A scan of /proc takes time: the parent may be read
	// before it waits and the child looked for after. It shows at the next scan or
	// never does, when nobody waits.
	owed map[processID]float64
}

// add takes in one scan and returns the total. lives reports whether a process
// that is no longer among them lives elsewhere.
func (t *tally) add(scan []usage, lives func(processID) bool) float64 {
	now := make(map[processID]usage, len(scan))
	for _, process := range scan {
		now[process.id] = process
	}
	gone := map[processID]float64{}
	for id, before := range t.last {
		if _, here := now[id]; !here && !lives(id) {
			gone[t.heir(before, now)] += before.own + before.inherited
		}
	}
	owed := map[processID]float64{}
	for id, process := range now {
		before := t.last[id]
		t.total += max(0, process.own-before.own)
		gain := max(0, process.inherited-before.inherited) - gone[id] - t.owed[id]
		t.total += max(0, gain)
		if gain < 0 && gone[id] > 0 {
			owed[id] = min(-gain, gone[id])
		}
	}
	t.last, t.owed = now, owed
	return t.total
}

// heir returns the nearest ancestor of a process that is gone that is there now.
func (t *tally) heir(process usage, now map[processID]usage) processID {
	for range len(t.last) {
		if _, here := now[process.parent]; here {
			return process.parent
		}
		next, known := t.last[process.parent]
		if !known {
			break
		}
		process = next
	}
	return process.parent
}

// generation tells from the starts of the processes at the top whether all of
// them were started anew.
type generation struct {
	// youngest is the latest start when the present generation was first seen;
	// 0 before the first scan.
	youngest uint64
	restarts int
}

// observe takes in the starts of a scan, at least one, in ticks since boot, and
// reports whether it is a new generation: all were born after the youngest of
// the one before.
func (g *generation) observe(starts []uint64) bool {
	anew := g.youngest != 0 && slices.Min(starts) > g.youngest
	if anew {
		g.restarts++
	}
	if anew || g.youngest == 0 {
		g.youngest = slices.Max(starts)
	}
	return anew
}
