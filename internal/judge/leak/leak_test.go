package leak

import (
	"testing"

	"soakd/internal/judge/finding"
)

// run feeds minutes of a world and returns each symptom as it was first reported.
func run(tb testing.TB, d *Detector, w *world, minutes int64) (first []finding.Symptom, at []int64) {
	tb.Helper()
	open := map[string]bool{}
	for end := w.minute + minutes; w.minute < end; {
		win := w.next()
		if win == nil {
			continue
		}
		for _, symptom := range d.Observe(win) {
			key := symptom.Key()
			if !symptom.Over && !open[key] {
				first, at = append(first, symptom), append(at, win.Start.Unix()/60+1)
			}
			open[key] = !symptom.Over
		}
	}
	return first, at
}

func detector(tb testing.TB) *Detector {
	tb.Helper()
	d, err := New(Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func TestCleanWeeksRaiseNoAlarm(t *testing.T) {
	const weeks = 8
	alarms := 0
	for seed := range uint64(weeks) {
		w := newWorld(seed, 3)
		found, at := run(t, detector(t), w, 7*24*60)
		for i, symptom := range found {
			alarms++
			t.Logf("seed %d, day curve %t, minute %d: %s", seed, w.dayCurve, at[i]-w.replicas[0].born, symptom.Text)
		}
	}
	if alarms > 0 {
		t.Errorf("%d false alarms in %d weeks", alarms, weeks)
	}
}
