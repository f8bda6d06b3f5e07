package leak

import "math"

// ring keeps the last values of equal steps of time, numbered since the Unix epoch.
// A step without a value is NaN: a gap stays a gap.
type ring struct {
	values []float64
	counts []uint8
	next   int64 // number after the newest step
}

func newRing(size int) *ring {
	r := &ring{values: make([]float64, size), counts: make([]uint8, size)}
	for i := range r.values {
		r.values[i] = math.NaN()
	}
	return r
}

func (r *ring) slot(step int64) int {
	return int(((step % int64(len(r.values))) + int64(len(r.values))) % int64(len(r.values)))
}

// open makes room for the step; false when the ring has gone past it.
func (r *ring) open(step int64) bool {
	if step < r.next-1 {
		return false
	}
	for n := max(r.next, step+1-int64(len(r.values))); n <= step; n++ {
		i := r.slot(n)
		r.values[i], r.counts[i] = math.NaN(), 0
	}
	r.next = max(r.next, step+1)
	return true
}

// least keeps the smallest value of the step.
func (r *ring) least(step int64, value float64) {
	if !r.open(step) {
		return
	}
	if i := r.slot(step); r.counts[i] == 0 || value < r.values[i] {
		r.values[i], r.counts[i] = value, 1
	}
}

// mean keeps the mean of the step's values.
func (r *ring) mean(step int64, value float64) {
	if !r.open(step) {
		return
	}
	i := r.slot(step)
	if r.counts[i] == 0 {
		r.values[i] = 0
	}
	if r.counts[i] < math.MaxUint8 {
		r.counts[i]++
	}
	r.values[i] += (value - r.values[i]) / float64(r.counts[i])
}

// at returns the value of a step, NaN when there is none.
func (r *ring) at(step int64) float64 {
	if step >= r.next || step < r.next-int64(len(r.values)) {
		return math.NaN()
	}
	return r.values[r.slot(step)]
}

// oldest is the first step that the ring can still hold.
func (r *ring) oldest() int64 { return max(r.next-int64(len(r.values)), 0) }
