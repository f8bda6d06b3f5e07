package stats

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.10g, want %.10g", what, got, want)
	}
}

// Sen 1968 (JASA 63), section 6: seven points; the slope is 4.
func TestTheilSenOfSen(t *testing.T) {
	s, ok := TheilSen([]float64{1, 2, 3, 4, 10, 12, 18}, []float64{9, 15, 19, 20, 45, 55, 78}, 0.93)
	if !ok {
		t.Fatal("no slope")
	}
	near(t, "slope", s.Slope, 4, 1e-12)
	near(t, "intercept", s.Intercept, 6, 1)
	if s.Low >= 4 || s.High <= 4 {
		t.Errorf("the interval is %g..%g", s.Low, s.High)
	}
}

// Hollander & Wolfe 1973, page 69: permeability of the human chorioamnion, at term
// (x) and between 12 and 26 weeks (y). R's wilcox.test gives W = 35, one-sided p =
// 0.1272, and 0.305 for the difference, with -0.15..0.76 at 95 %.
func TestMannWhitneyOfHollanderAndWolfe(t *testing.T) {
	x := []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}
	y := []float64{1.15, 0.88, 0.90, 0.74, 1.21}
	u, p := MannWhitney(x, y)
	near(t, "U", u, 35, 0)
	near(t, "p", p, 2*0.1272, 1e-4)
	shift, low, high := HodgesLehmann(y, x, 0.95)
	near(t, "shift", shift, 0.305, 1e-12)
	near(t, "low", low, -0.15, 1e-12)
	near(t, "high", high, 0.76, 1e-12)
}

// Fisher's tea, and the convictions of like-sex twins of criminals (Fisher 1962), as
// R's fisher.test gives them.
func TestProportionsOfFisher(t *testing.T) {
	near(t, "tea", Proportions(3, 4, 1, 4), 0.4857142857, 1e-9)
	near(t, "twins", Proportions(2, 12, 15, 18), 0.0005367, 5e-8)
}

// Newcombe 1998 (Statistics in Medicine 17), table I, method 3.
func TestWilsonOfNewcombe(t *testing.T) {
	for _, row := range []struct {
		bad, n    int64
		low, high float64
	}{{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}} {
		low, high := Wilson(row.bad, row.n, 0.95)
		near(t, "low", low, row.low, 5e-5)
		near(t, "high", high, row.high, 5e-5)
	}
}

// Benjamini & Hochberg 1995 (JRSS B 57), section 3.2: fifteen comparisons, of which
// their procedure takes four at 0.05, and the stepwise Bonferroni ones three.
func TestCorrectionsOfBenjaminiAndHochberg(t *testing.T) {
	p := []float64{0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000}
	count := func(p []float64) (n int) {
		for _, v := range p {
			if v <= 0.05 {
				n++
			}
		}
		return n
	}
	if bh, holm := count(BenjaminiHochberg(p)), count(Holm(p)); bh != 4 || holm != 3 {
		t.Errorf("%d by Benjamini and Hochberg, want 4; %d by Holm, want 3", bh, holm)
	}
	// R: p.adjust(c(.01, .04, .03, .005), "holm") and "BH"
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		near(t, "Holm", Holm([]float64{0.01, 0.04, 0.03, 0.005})[i], want, 1e-12)
	}
	for i, want := range []float64{0.02, 0.04, 0.04, 0.02} {
		near(t, "BH", BenjaminiHochberg([]float64{0.01, 0.04, 0.03, 0.005})[i], want, 1e-12)
	}
}

func TestPoisson(t *testing.T) {
	near(t, "P(X>=5), mean 2", PoissonAtLeast(5, 2), 1-math.Exp(-2)*(1+2+2+8.0/6+16.0/24), 1e-12)
	near(t, "P(X>=0)", PoissonAtLeast(0, 0), 1, 0)
	near(t, "P(X>=1), mean 0", PoissonAtLeast(1, 0), 0, 0)
	near(t, "P(X>=1e9), mean 1e9", PoissonAtLeast(1e9, 1e9), 0.5, 1e-4)
	near(t, "far", PoissonAtLeast(1000, 10), 0, 1e-300)
}

func TestDescriptions(t *testing.T) {
	y := []float64{7, 1, math.NaN(), 3, math.Inf(1), 100}
	near(t, "median", Median(y), 5, 0)
	near(t, "quantile", Quantile([]float64{1, 2, 3, 4, 10}, 0.9), 7.6, 1e-12) // as R has it
	near(t, "MAD", MAD([]float64{1, 2, 3, 4, 100}), 1.4826, 1e-12)            // as R has it
	near(t, "lag 1", Autocorrelation([]float64{1, 2, 3, 4, 5}, 1), 0.4, 1e-12)
	near(t, "lag 2", Autocorrelation([]float64{1, 2, 3, 4, 5}, 2), -0.1, 1e-12)
}

func TestChangesAreFound(t *testing.T) {
	y := make([]float64, 60)
	for i := range y {
		y[i] = math.Mod(1e4*math.Sin(float64(i+1)), 1)
		if i >= 40 {
			y[i] += 3
		}
	}
	if got := ChangePoints(y, 5, 3); len(got) != 1 || got[0] != 40 {
		t.Errorf("PELT: %v, want 40", got)
	}
	if got := EDivisive(y, 5, 0.05, 199, 1); len(got) != 1 || got[0] != 40 {
		t.Errorf("E-divisive: %v, want 40", got)
	}
	rising := MannKendall(y)
	if rising.S <= 0 || rising.P > 0.001 || MannKendallCorrected(y).P < rising.P {
		t.Errorf("%+v, corrected %+v", rising, MannKendallCorrected(y))
	}
}
