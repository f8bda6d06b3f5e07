package leak

import "testing"

func TestManyWeeks(t *testing.T) {
	alarms := 0
	for seed := uint64(100); seed < 140; seed++ {
		w := newWorld(seed, 3)
		found, at := run(t, detector(t), w, 7*24*60)
		for i, symptom := range found {
			alarms++
			t.Logf("seed %d, day curve %t, minute %d: %s", seed, w.dayCurve, at[i]-(29540160), symptom.Text)
		}
	}
	t.Logf("%d alarms", alarms)
}
