package latency

import (
	"math"
	"math/rand/v2"
	"testing"
)

// autoregressive are points a minute apart, some of them missing.
func autoregressive(random *rand.Rand, n int, phi, sigma, missing float64) []point {
	var points []point
	x := sigma / math.Sqrt(1-phi*phi) * random.NormFloat64()
	for i := range n {
		if random.Float64() >= missing {
			points = append(points, point{float64(29_000_000 + i), x})
		}
		x = phi*x + sigma*random.NormFloat64()
	}
	return points
}

// The sums that serve all moments give what the fit of each moment gives.
func TestBestIsTheBestOfAllFits(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		points := autoregressive(random, 60+random.IntN(100), 0.9, 0.02, 0.2)
		n := noise{phi: 0.85, step: 1, sigma: 0.02, spread: 0.02 / math.Sqrt(1-0.85*0.85), ok: true}
		w := whiten(points, &n)
		for _, kind := range []struct {
			shape func(float64) func(float64) float64
			best  change
		}{{stepAt, w.bestStep(10, len(points)-3)}, {slopeFrom, w.bestSlope(10, len(points)-3)}} {
			var want fitted
			at := 0.0
			for i := 10; i <= len(points)-3; i++ {
				if f := w.fit(kind.shape(points[i].t)); f.size > 0 && f.z > want.z {
					want, at = f, points[i].t
				}
			}
			got := kind.best
			if got.at != at || math.Abs(got.z-want.z) > 1e-6 || math.Abs(got.size-want.size) > 1e-6 || math.Abs(got.base-want.base) > 1e-6 {
				t.Errorf("%+v, want %+v at %v", got, want, at)
			}
		}
	}
}
