package latency_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"soakd/internal/judge/finding"
)

// told is what a run says in the end of each symptom, and when it said so first.
type told struct {
	kind    finding.Kind
	subject finding.Subject
	onset   int
	first   int
	ratio   float64
	over    bool
}

// changed runs a world in which one case, a tail and all traffic change one after the
// other, with all times multiplied and all windows moved.
func changed(t *testing.T, times float64, moved time.Duration) []told {
	t.Helper()
	w := newWorld(21)
	for i := range w.cases {
		w.cases[i].median *= times
	}
	w.slowed = func(c *kindOfCase, at float64) (float64, float64) {
		switch {
		case at > 300 && at < 340 && c.name == "forecast":
			return 1.4, 0
		case at > 400 && at < 440 && c.name == "list_scenarios":
			return 1, 0.02
		case at > 500 && at < 540:
			return 1.5, 0
		}
		return 1, 0
	}
	d := detector(t)
	var all []told
	for w.minute < 570 {
		x := w.step()
		x.Start = x.Start.Add(moved)
		for _, s := range d.Observe(x) {
			onset := minutesOf(s.Onset.Add(-moved))
			i := slices.IndexFunc(all, func(a told) bool { return a.kind == s.Kind && a.subject == s.Subject && a.onset == onset })
			if i < 0 {
				i = len(all)
				all = append(all, told{kind: s.Kind, subject: s.Subject, onset: onset, first: w.minute})
			}
			all[i].ratio, all[i].over = s.Ratio(), s.Over
		}
	}
	return all
}

// A target that is twice or half as fast, or a run on another day, has the same
// symptoms: nothing depends on how long answers take.
func TestOnlyRatiosCount(t *testing.T) {
	t.Parallel()
	want := changed(t, 1, 0)
	if len(want) != 3 {
		t.Fatalf("%+v", want)
	}
	for _, c := range []struct {
		times float64
		moved time.Duration
	}{{2, 0}, {0.5, 0}, {8, 0}, {1, 137 * 24 * time.Hour}} {
		got := changed(t, c.times, c.moved)
		same := slices.EqualFunc(got, want, func(a, b told) bool {
			near := math.Abs(a.ratio-b.ratio) < 0.01*b.ratio
			b.ratio = a.ratio
			return near && a == b
		})
		if !same {
			t.Errorf("times x%v, moved by %v: %+v, want %+v", c.times, c.moved, got, want)
		}
	}
}
