package leak

import (
	"math"
	"math/rand/v2"
	"testing"

	"soakd/internal/judge/stats"
)

// shaped samples a shape over 0..1 with noise.
func shaped(seed uint64, n int, sd float64, value func(x float64) float64) []point {
	r := rand.New(rand.NewPCG(seed, 2))
	points := make([]point, n)
	for i := range points {
		x := float64(i) / float64(n-1)
		points[i] = point{x: x, y: value(x) + sd*r.NormFloat64()}
	}
	return points
}

func TestFillsAndSteps(t *testing.T) {
	for _, test := range []struct {
		name               string
		value              func(x float64) float64
		saturates, stepped bool
	}{
		{"line", func(x float64) float64 { return x }, false, false},
		{"fills up", func(x float64) float64 { return 1 - math.Exp(-2*x) }, true, false},
		{"stands, then fills up", func(x float64) float64 { return 1 - math.Exp(-3*math.Max(0, x-0.25)) }, true, false},
		{"gathers speed", func(x float64) float64 { return x * x }, false, false},
		{"step", func(x float64) float64 { return math.Floor(x + 0.5) }, false, true},
		{"two steps", func(x float64) float64 { return math.Floor(x*2.9) / 2 }, false, true},
	} {
		for seed := range uint64(20) {
			points := shaped(seed, 60, 0.02, test.value)
			if test.name != "step" && test.name != "two steps" && saturates(points) != test.saturates {
				t.Errorf("%s, seed %d: saturates %t", test.name, seed, !test.saturates)
			}
			x, y := split(points)
			line, ok := stats.TheilSen(x, y, 0.99)
			if test.saturates || test.name == "gathers speed" {
				continue
			}
			if got := steps(points, line); !ok || got != test.stepped {
				t.Errorf("%s, seed %d: steps %t", test.name, seed, got)
			}
		}
	}
}

func TestSurprise(t *testing.T) {
	for _, test := range []struct {
		growth float64
		rises  []float64
		want   float64
	}{
		{10, []float64{1}, 1},
		{2, []float64{1, 1, 1}, 4. / 9 / 5},
		{1e6, []float64{1, 1, 1}, leastSurprise},
		{1, []float64{0, 0}, leastSurprise},
	} {
		if got := surprise(test.growth, test.rises); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("surprise(%g, %v) is %g, want %g", test.growth, test.rises, got, test.want)
		}
	}
}
