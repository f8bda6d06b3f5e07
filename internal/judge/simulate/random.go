package simulate

import (
	"math"
	"math/rand/v2"
)

// random draws the figures of a world.
type random struct{ *rand.Rand }

func newRandom(seed, stream uint64) random {
	return random{rand.New(rand.NewPCG(seed, stream))}
}

// normalFrom is the mean from which on a Poisson count is drawn as a rounded normal one.
const normalFrom = 40

// poisson draws a count with that mean.
func (r random) poisson(mean float64) int {
	switch {
	case mean <= 0:
		return 0
	case mean > normalFrom:
		return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	// Knuth, The Art of Computer Programming 2 (1969), 3.4.1: arrivals in unit time.
	limit, n := math.Exp(-mean), 0
	for product := r.Float64(); product > limit; product *= r.Float64() {
		n++
	}
	return n
}

// binomial draws how many of n happen that have probability p each: the distances
// between them are geometric.
func (r random) binomial(n int, p float64) int {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	}
	hits := 0
	for i := r.skip(p); i < n; i += 1 + r.skip(p) {
		hits++
	}
	return hits
}

// skip draws how many misses come before the next hit.
func (r random) skip(p float64) int {
	return int(min(math.Log(1-r.Float64())/math.Log1p(-p), 1e9))
}

// between draws evenly.
func (r random) between(low, high float64) float64 { return low + (high-low)*r.Float64() }

// wander is a first-order autoregression in steps of fixed length: it has mean 0,
// standard deviation sd, and forgets with the time constant tau (in steps).
type wander struct {
	keep, push, x float64
}

func newWander(r random, sd, tau float64) *wander {
	keep := math.Exp(-1 / tau)
	return &wander{keep: keep, push: sd * math.Sqrt(1-keep*keep), x: sd * r.NormFloat64()}
}

func (w *wander) next(r random) float64 {
	w.x = w.keep*w.x + w.push*r.NormFloat64()
	return w.x
}
