package leak

import "testing"

func TestTen(t *testing.T) {
	w := newWorld(10, 2)
	for _, rep := range w.replicas {
		rep.memory.slowSD, rep.toothLength = 0.003, 2+0.4*rep.toothLength
	}
	w.restart = w.minute + 1400
	start := w.minute
	found, at := run(t, detector(t), w, 2000)
	for i, symptom := range found {
		t.Logf("minute %d: %s", at[i]-start, symptom.Text)
	}
}
