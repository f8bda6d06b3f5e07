package api

import (
	"math"
	"testing"
)

func TestTallyNeverFallsAndCountsNothingTwice(t *testing.T) {
	id := func(pid int) processID { return processID{pid: pid, start: uint64(pid)} }
	at := func(pid, parent int, own, inherited float64) usage {
		return usage{id: id(pid), parent: id(parent), own: own, inherited: inherited}
	}
	nobody := func(processID) bool { return false }
	type step struct {
		scan  []usage
		lives func(processID) bool
		want  float64
	}
	for name, steps := range map[string][]step{
		"one process": {{[]usage{at(1, 0, 3, 2)}, nobody, 5}, {[]usage{at(1, 0, 4, 2)}, nobody, 6}},
		"a child that is waited for passes its time on": {
			{[]usage{at(1, 0, 1, 0), at(2, 1, 5, 0)}, nobody, 6},
			{[]usage{at(1, 0, 1, 7)}, nobody, 8}, // it had used 2 more
			{[]usage{at(1, 0, 1, 7)}, nobody, 8},
		},
		"a child that lived between two scans": {
			{[]usage{at(1, 0, 1, 0)}, nobody, 1}, {[]usage{at(1, 0, 1, 4)}, nobody, 5},
		},
		"a child that nobody waits for": {
			{[]usage{at(1, 0, 1, 0), at(2, 1, 5, 0)}, nobody, 6},
			{[]usage{at(1, 0, 2, 0)}, nobody, 7},
			{[]usage{at(1, 0, 2, 0)}, nobody, 7},
			{[]usage{at(1, 0, 2, 3)}, nobody, 10}, // what others have used later is not lost
		},
		"the parent is read before it waits": {
			{[]usage{at(1, 0, 1, 0), at(2, 1, 5, 0)}, nobody, 6},
			{[]usage{at(1, 0, 1, 0)}, nobody, 6},
			{[]usage{at(1, 0, 1, 5)}, nobody, 6},
		},
		"two generations end together": {
			{[]usage{at(1, 0, 1, 0), at(2, 1, 2, 0), at(3, 2, 4, 0)}, nobody, 7},
			{[]usage{at(1, 0, 1, 7)}, nobody, 8}, // 6 that were counted, and 1 more
		},
		"a grandchild is waited for by its own parent": {
			{[]usage{at(1, 0, 1, 0), at(2, 1, 2, 0), at(3, 2, 4, 0)}, nobody, 7},
			{[]usage{at(1, 0, 1, 0), at(2, 1, 2, 4)}, nobody, 7},
			{[]usage{at(1, 0, 1, 6)}, nobody, 7},
		},
		"a child leaves the family alive": {
			{[]usage{at(1, 0, 1, 0), at(2, 1, 5, 0)}, nobody, 6},
			{[]usage{at(1, 0, 1, 2)}, func(p processID) bool { return p == id(2) }, 8},
		},
		"a number is used again": {
			{[]usage{at(1, 0, 1, 0), at(2, 1, 5, 0)}, nobody, 6},
			{[]usage{at(1, 0, 1, 5), {id: processID{pid: 2, start: 99}, parent: id(1), own: 3}}, nobody, 9},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var sum tally
			for i, s := range steps {
				if got := sum.add(s.scan, s.lives); math.Abs(got-s.want) > 1e-9 {
					t.Fatalf("step %d: %v, want %v", i, got, s.want)
				}
			}
			if len(sum.last) != len(steps[len(steps)-1].scan) {
				t.Errorf("keeps %d processes", len(sum.last))
			}
		})
	}
}

func TestGeneration(t *testing.T) {
	var g generation
	for i, s := range []struct {
		starts   []uint64
		anew     bool
		restarts int
	}{
		{[]uint64{10, 12}, false, 0},
		{[]uint64{12, 20}, false, 0}, // one was replaced
		{[]uint64{20, 25}, true, 1},
		{[]uint64{25}, false, 1},
		{[]uint64{30}, true, 2},
	} {
		if anew := g.observe(s.starts); anew != s.anew || g.restarts != s.restarts {
			t.Errorf("step %d: %v and %d restarts", i, anew, g.restarts)
		}
	}
}
