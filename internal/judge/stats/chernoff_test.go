package stats

import (
	"math"
	"testing"
)

// binomialAtLeast is the definition, summed up.
func binomialAtLeast(k, n int64, p float64) float64 {
	sum := 0.0
	for i := k; i <= n; i++ {
		choose, _ := math.Lgamma(float64(n + 1))
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(choose - a - b + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}

func TestChernoffBoundsTheBinomial(t *testing.T) {
	for _, n := range []int64{1, 2, 10, 100, 300} {
		for _, p := range []float64{0.001, 0.01, 0.3, 0.9} {
			last := 1.0
			for k := int64(1); k <= n; k++ {
				got := ChernoffAtLeast(k, n, p)
				if exact := binomialAtLeast(k, n, p); got < exact*(1-1e-9) {
					t.Fatalf("at least %d of %d at %v: the bound %v is below %v", k, n, p, got, exact)
				}
				if got > last {
					t.Fatalf("at least %d of %d at %v: %v is more than for one less", k, n, p, got)
				}
				last = got
			}
			// All of n: the bound is exact.
			if want := math.Pow(p, float64(n)); math.Abs(last-want) > 1e-9*want {
				t.Errorf("all of %d at %v: %v, want %v", n, p, last, want)
			}
		}
	}
	for _, c := range [][3]float64{{0, 10, 0.5}, {5, 0, 0.5}, {5, 10, 0.5}, {5, 10, 0}, {5, 10, 1}, {5, 10, math.NaN()}} {
		if got := ChernoffAtLeast(int64(c[0]), int64(c[1]), c[2]); got != 1 {
			t.Errorf("%v: %v, want 1", c, got)
		}
	}
}
