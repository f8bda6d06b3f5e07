package stats

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// share counts in how many of 1000 trials something was claimed.
func share(trials int, claimed func(random *rand.Rand) bool) float64 {
	random := rand.New(rand.NewPCG(2026, 5))
	n := 0
	for range trials {
		if claimed(random) {
			n++
		}
	}
	return float64(n) / float64(trials)
}

// How often a trend is seen at 5 % where there is none. With a dependence of 0.5 the
// plain test is wrong one time in four; the corrected one keeps nearly to its word.
func TestMannKendallFalseAlarms(t *testing.T) {
	for _, c := range []struct {
		n                  int
		dependence         float64
		plainMin, plainMax float64
		carefulMax         float64
	}{
		{60, 0, 0.03, 0.07, 0.06},
		{60, 0.5, 0.2, 0.35, 0.09},
		{200, 0.5, 0.2, 0.35, 0.075},
	} {
		plain := share(1000, func(random *rand.Rand) bool { return MannKendall(series(random, c.n, c.dependence)).P < 0.05 })
		careful := share(1000, func(random *rand.Rand) bool { return MannKendallCorrected(series(random, c.n, c.dependence)).P < 0.05 })
		t.Logf("n %d, dependence %g: %.3f plain, %.3f corrected", c.n, c.dependence, plain, careful)
		if plain < c.plainMin || plain > c.plainMax || careful > c.carefulMax {
			t.Errorf("n %d, dependence %g: %.3f plain (want %g..%g), %.3f corrected (want at most %g)", c.n, c.dependence, plain, c.plainMin, c.plainMax, careful, c.carefulMax)
		}
	}
}

// The correction still sees a trend that is there.
func TestMannKendallCorrectedSees(t *testing.T) {
	seen := share(200, func(random *rand.Rand) bool {
		y := series(random, 120, 0.5)
		for i := range y {
			y[i] += 0.03 * float64(i)
		}
		return MannKendallCorrected(y).P < 0.01
	})
	if seen < 0.9 {
		t.Errorf("seen in %.2f", seen)
	}
}

// Intervals hold what they say of independent values.
func TestIntervalsCover(t *testing.T) {
	x := make([]float64, 30)
	for i := range x {
		x[i] = float64(i)
	}
	slope := share(2000, func(random *rand.Rand) bool {
		s, _ := TheilSen(x, series(random, 30, 0), 0.9)
		return s.Low <= 0 && s.High >= 0
	})
	near(t, "coverage of the slope", slope, 0.9, 0.025)
	for _, sizes := range [][2]int{{7, 9}, {12, 60}} {
		shift := share(2000, func(random *rand.Rand) bool {
			_, low, high := HodgesLehmann(series(random, sizes[0], 0), series(random, sizes[1], 0), 0.9)
			return low <= 0 && high >= 0
		})
		near(t, "coverage of the shift", shift, 0.91, 0.03)
	}
	proportions := share(2000, func(random *rand.Rand) bool {
		bad := int64(0)
		for range 50 {
			if random.Float64() < 0.1 {
				bad++
			}
		}
		low, high := Wilson(bad, 50, 0.95)
		return low <= 0.1 && high >= 0.1
	})
	near(t, "coverage of the share", proportions, 0.95, 0.03)
}

// Both searches keep quiet in noise and find a step of two deviations.
func TestChangePointRates(t *testing.T) {
	quiet := share(500, func(random *rand.Rand) bool { return ChangePoints(series(random, 200, 0), 5, 3) != nil })
	if quiet > 0.02 {
		t.Errorf("PELT sees a change in %.3f of noise", quiet)
	}
	quiet = share(200, func(random *rand.Rand) bool {
		return EDivisive(series(random, 40, 0), 5, 0.05, 39, random.Uint64()) != nil
	})
	if quiet > 0.09 {
		t.Errorf("E-divisive sees a change in %.3f of noise", quiet)
	}
	step := func(random *rand.Rand) []float64 {
		y := series(random, 80, 0)
		for i := 50; i < len(y); i++ {
			y[i] += 2
		}
		return y
	}
	placed := func(found []int) bool { return len(found) == 1 && found[0] >= 46 && found[0] <= 54 }
	if seen := share(200, func(random *rand.Rand) bool { return placed(ChangePoints(step(random), 5, 3)) }); seen < 0.9 {
		t.Errorf("PELT places the step in %.2f", seen)
	}
	if seen := share(40, func(random *rand.Rand) bool { return placed(EDivisive(step(random), 5, 0.05, 39, random.Uint64())) }); seen < 0.75 {
		t.Errorf("E-divisive places the step in %.2f", seen)
	}
}

// E-divisive sees a change of the spread that leaves the mean where it is, and the
// same seed gives the same answer.
func TestEDivisiveSeesSpread(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 5))
	y := series(random, 120, 0)
	for i := 60; i < len(y); i++ {
		y[i] *= 6
	}
	first := EDivisive(y, 10, 0.05, 99, 3)
	if len(first) == 0 || first[0] < 55 || first[0] > 70 {
		t.Errorf("%v, want about 60", first)
	}
	if again := EDivisive(y, 10, 0.05, 99, 3); !slices.Equal(first, again) {
		t.Errorf("%v, and again %v", first, again)
	}
}
