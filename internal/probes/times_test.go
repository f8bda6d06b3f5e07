package probes

import (
	"testing"
	"time"
)

func TestTimesCountUpToEachBound(t *testing.T) {
	times := NewTimes()
	for _, d := range []time.Duration{0, 100 * time.Microsecond, 101 * time.Microsecond, time.Second, time.Minute} {
		times.Observe(d)
	}
	var reading Reading
	reading.AddTimes(&Desc{Name: "x_seconds", Type: Histogram}, times)
	times.Observe(time.Millisecond)
	copied := reading.Samples[0].Times
	for i, bound := range copied.Bounds {
		want := uint64(3)
		switch {
		case bound == 100*time.Microsecond:
			want = 2
		case bound >= time.Second:
			want = 4
		}
		if copied.UpTo[i] != want {
			t.Errorf("up to %v: %d, want %d", bound, copied.UpTo[i], want)
		}
	}
	if copied.Histogram.Count() != 5 || times.Histogram.Count() != 6 {
		t.Errorf("the copy has %d and the original %d; want 5 and 6", copied.Histogram.Count(), times.Histogram.Count())
	}
}
