package histogram

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestCountUpTo(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{-1, 0, 1, time.Millisecond, 250 * time.Millisecond, 250*time.Millisecond + 1, time.Second, time.Second + 1, math.MaxInt64} {
		h.Observe(d)
	}
	for _, c := range []struct {
		d    time.Duration
		want uint64
	}{
		{-1, 0},
		{0, 2},
		{1, 3},
		{time.Microsecond, 3},
		{time.Millisecond, 4},
		{250*time.Millisecond - 1, 5}, // in the bucket that ends with 250 ms
		{250 * time.Millisecond, 5},
		{250*time.Millisecond + 1, 6},
		{time.Second, 7},
		{time.Second + 1, 8},
		{time.Hour, 8},
		{math.MaxInt64, 9},
	} {
		if got := h.CountUpTo(c.d); got != c.want {
			t.Errorf("up to %v: %d, want %d", c.d, got, c.want)
		}
	}
	if got := new(Histogram).CountUpTo(time.Hour); got != 0 {
		t.Errorf("%d in an empty one", got)
	}
}

// Whatever the threshold, the count lies between the exact ones of d and of
// d * 2^(1/64), and parts add up to the whole.
func TestCountUpToIsWithinABucketAndAddsUp(t *testing.T) {
	for name, draw := range distributions() {
		random := rand.New(rand.NewPCG(5, 6))
		var times []time.Duration
		var parts [2]Histogram
		for i := range 5000 {
			d := draw(random)
			times = append(times, d)
			parts[i%2].Observe(d)
		}
		var whole Histogram
		whole.Merge(&parts[0])
		whole.Merge(&parts[1])
		for range 200 {
			d := logUniform(random, time.Microsecond, time.Hour)
			low, high := uint64(0), uint64(0)
			for _, one := range times {
				if one <= d {
					low++
				}
				if float64(one) <= float64(d)*math.Exp2(1./perDouble)+1 {
					high++
				}
			}
			got := whole.CountUpTo(d)
			if got < low || got > high {
				t.Errorf("%s: %d up to %v, want %d..%d", name, got, d, low, high)
			}
			if sum := parts[0].CountUpTo(d) + parts[1].CountUpTo(d); sum != got {
				t.Errorf("%s: the parts have %d, the whole %d", name, sum, got)
			}
		}
	}
}
