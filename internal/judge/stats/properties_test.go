package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// series returns n values of an autoregressive process of order one, with normal steps.
func series(random *rand.Rand, n int, dependence float64) []float64 {
	y := make([]float64, n)
	last := random.NormFloat64() / math.Sqrt(1-dependence*dependence)
	for i := range y {
		y[i] = last
		last = dependence*last + random.NormFloat64()
	}
	return y
}

func mapped(y []float64, f func(float64) float64) []float64 {
	z := make([]float64, len(y))
	for i, v := range y {
		z[i] = f(v)
	}
	return z
}

func shifted(by float64) func(float64) float64 { return func(v float64) float64 { return v + by } }
func scaled(by float64) func(float64) float64  { return func(v float64) float64 { return v * by } }
func reversed(y []float64) []float64 {
	z := slices.Clone(y)
	slices.Reverse(z)
	return z
}

// each runs f with pairs of series of several sizes.
func each(f func(a, b []float64)) {
	random := rand.New(rand.NewPCG(11, 7))
	for _, m := range []int{3, 8, 25, 40} {
		for _, n := range []int{5, 24, 60} {
			f(series(random, m, 0.3), series(random, n, 0.3))
		}
	}
}

func TestRankTestsSeeRanksAlone(t *testing.T) {
	each(func(a, b []float64) {
		if got, want := MannKendall(mapped(b, math.Exp)), MannKendall(b); got != want {
			t.Errorf("Mann-Kendall of exp(y): %+v, want %+v", got, want)
		}
		u, p := MannWhitney(a, b)
		u2, p2 := MannWhitney(mapped(a, math.Exp), mapped(b, math.Exp))
		if u != u2 || p != p2 {
			t.Errorf("Mann-Whitney of exp(y): %g, %g, want %g, %g", u2, p2, u, p)
		}
	})
}

func TestReversal(t *testing.T) {
	each(func(a, b []float64) {
		up, down := MannKendall(b), MannKendall(reversed(b))
		if up.S != -down.S || up.P != down.P || up.Z != -down.Z || up.Tau != -down.Tau {
			t.Errorf("%+v, and in reverse %+v", up, down)
		}
		near(t, "corrected P in reverse", MannKendallCorrected(reversed(b)).P, MannKendallCorrected(b).P, 1e-9)
		near(t, "effective size in reverse", EffectiveSize(reversed(b)), EffectiveSize(b), 1e-9)
		u, p := MannWhitney(a, b)
		other, q := MannWhitney(b, a)
		near(t, "both U", u+other, float64(len(a)*len(b)), 1e-9)
		near(t, "p the other way", q, p, 1e-12)
		shift, low, high := HodgesLehmann(a, b, 0.9)
		back, backLow, backHigh := HodgesLehmann(b, a, 0.9)
		near(t, "shift back", back, -shift, 1e-12)
		if backLow != -high || backHigh != -low {
			t.Errorf("%g..%g, and back %g..%g", low, high, backLow, backHigh)
		}
	})
}

func TestShiftAndScale(t *testing.T) {
	each(func(a, b []float64) {
		shift, low, high := HodgesLehmann(a, b, 0.9)
		by, byLow, byHigh := HodgesLehmann(a, mapped(b, shifted(4)), 0.9)
		near(t, "shift", by, shift+4, 1e-9)
		times, _, _ := HodgesLehmann(mapped(a, scaled(3)), mapped(b, scaled(3)), 0.9)
		near(t, "scaled shift", times, 3*shift, 1e-9)
		if !math.IsInf(low, 0) {
			near(t, "low", byLow, low+4, 1e-9)
			near(t, "high", byHigh, high+4, 1e-9)
		}
		x := make([]float64, len(b))
		for i := range x {
			x[i] = float64(i)
		}
		s, _ := TheilSen(x, b, 0.9)
		turned, _ := TheilSen(mapped(x, scaled(2)), mapped(b, func(v float64) float64 { return 10*v + 7 }), 0.9)
		for _, pair := range [][2]float64{{s.Slope * 5, turned.Slope}, {s.Low * 5, turned.Low}, {s.High * 5, turned.High}, {s.Intercept*10 + 7, turned.Intercept}} {
			near(t, "slope", pair[1], pair[0], 1e-9)
		}
		if s.Low > s.Slope || s.High < s.Slope {
			t.Errorf("%+v", s)
		}
		for i := range b {
			b[i] += x[i]
		}
		steeper, _ := TheilSen(x, b, 0.9)
		near(t, "slope and 1", steeper.Slope, s.Slope+1, 1e-9)
		near(t, "MAD", MAD(mapped(b, func(v float64) float64 { return 5 - 2*v })), 2*MAD(b), 1e-9)
		near(t, "quantile", Quantile(mapped(b, scaled(-1)), 0.3), -Quantile(b, 0.7), 1e-9)
		near(t, "autocorrelation", Autocorrelation(mapped(b, func(v float64) float64 { return 5 - 2*v }), 2), Autocorrelation(b, 2), 1e-9)
	})
}

func TestCorrectedTrendIsNeverSurer(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for _, dependence := range []float64{-0.8, 0, 0.5, 0.95} {
		for range 20 {
			y := series(random, 60, dependence)
			if plain, careful := MannKendall(y), MannKendallCorrected(y); careful.P < plain.P || careful.S != plain.S {
				t.Errorf("%+v, corrected %+v", plain, careful)
			}
		}
	}
}

// What is not a number changes nothing.
func TestNaNIsLeftOut(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 5))
	y := series(random, 40, 0.2)
	x := make([]float64, 40)
	for i := range x {
		x[i] = float64(i)
	}
	holed, holedX := slices.Insert(slices.Clone(y), 10, math.NaN(), math.Inf(1)), slices.Insert(slices.Clone(x), 10, 9.5, 9.7)
	want, _ := TheilSen(x, y, 0.9)
	if got, ok := TheilSen(holedX, holed, 0.9); !ok || got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if MannKendall(holed) != MannKendall(y) || MannKendallCorrected(holed) != MannKendallCorrected(y) {
		t.Error("a trend changed")
	}
	u, p := MannWhitney(y[:20], y[20:])
	if u2, p2 := MannWhitney(holed[:22], holed[22:]); u != u2 || p != p2 {
		t.Error("a difference changed")
	}
	for i := range 20 {
		y[20+i] += 9
		holed[22+i] += 9
	}
	if got := ChangePoints(holed, 5, 3); !slices.Equal(got, []int{22}) {
		t.Errorf("PELT: %v, want 22", got)
	}
	if got := EDivisive(holed, 5, 0.05, 99, 1); !slices.Equal(got, []int{22}) {
		t.Errorf("E-divisive: %v, want 22", got)
	}
	// A gap keeps its length.
	wave := make([]float64, 60)
	for i := range wave {
		wave[i] = float64(i % 2)
	}
	copy(wave[20:], []float64{math.NaN(), math.NaN(), math.NaN()})
	near(t, "lag 2 over a gap", Autocorrelation(wave, 2), 1, 0.12)
	near(t, "lag 1 over a gap", Autocorrelation(wave, 1), -1, 0.12)
}

func TestEffectiveSize(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 5))
	mean := func(dependence float64) (sum float64) {
		for range 50 {
			sum += EffectiveSize(series(random, 400, dependence)) / 50
		}
		return sum
	}
	near(t, "of independent values", mean(0), 400, 30)
	near(t, "at 0.5", mean(0.5), 400/3.0, 30) // n * (1-r)/(1+r)
	near(t, "at 0.8", mean(0.8), 400/9.0, 20)
	near(t, "of a constant", EffectiveSize([]float64{2, 2, 2, 2}), 4, 0)
	near(t, "of nothing", EffectiveSize(nil), 0, 0)
	near(t, "of one", EffectiveSize([]float64{1, math.NaN()}), 1, 0)
}

// Corrections keep the order and are never below what they correct; Holm is never
// below Benjamini and Hochberg.
func TestCorrectionsAreOrdered(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 5))
	for n := range 20 {
		p := make([]float64, n)
		for i := range p {
			p[i] = math.Pow(random.Float64(), 3)
		}
		given := slices.Clone(p)
		holm, bh := Holm(p), BenjaminiHochberg(p)
		if !slices.Equal(p, given) {
			t.Fatal("the argument was changed")
		}
		for i := range p {
			if holm[i] > 1 || bh[i] < p[i] || holm[i] < bh[i]-1e-15 {
				t.Errorf("%g: %g by Holm, %g by Benjamini and Hochberg", p[i], holm[i], bh[i])
			}
			for j := range p {
				if p[i] < p[j] && (holm[i] > holm[j] || bh[i] > bh[j]) {
					t.Errorf("%g and %g changed places", p[i], p[j])
				}
			}
		}
	}
	with, without := Holm([]float64{0.01, math.NaN(), 0.2}), Holm([]float64{0.01, 0.2})
	if with[0] != without[0] || with[2] != without[1] || !math.IsNaN(with[1]) {
		t.Errorf("a NaN counts: %v", with)
	}
}

func TestNothingIsClaimedOfNothing(t *testing.T) {
	if u, p := MannWhitney(nil, []float64{1}); u != 0 || p != 1 {
		t.Error("Mann-Whitney", u, p)
	}
	if shift, low, high := HodgesLehmann(nil, nil, 0.95); !math.IsNaN(shift) || !math.IsInf(low, -1) || !math.IsInf(high, 1) {
		t.Error("Hodges-Lehmann", shift, low, high)
	}
	if _, low, high := HodgesLehmann([]float64{1, 2}, []float64{3, 4}, 0.95); !math.IsInf(low, -1) || !math.IsInf(high, 1) {
		t.Error("two and two values say too little", low, high)
	}
	if _, ok := TheilSen([]float64{1, 2, math.NaN()}, []float64{1, 2, 3}, 0.95); ok {
		t.Error("a slope of two points")
	}
	if _, ok := TheilSen([]float64{1, 1, 1}, []float64{1, 2, 3}, 0.95); ok {
		t.Error("a slope at one x")
	}
	for _, y := range [][]float64{nil, {1}, {1, 2}, {3, 3, 3, 3}} {
		if a, b := MannKendall(y), MannKendallCorrected(y); a.P != 1 || b.P != 1 {
			t.Error("a trend of", y, a, b)
		}
		if ChangePoints(y, 1, 2) != nil || EDivisive(y, 2, 0.05, 99, 1) != nil {
			t.Error("a change in", y)
		}
	}
	for _, v := range []float64{Median(nil), MAD(nil), Quantile(nil, 0.5), Quantile([]float64{1}, 2), Quantile([]float64{1}, math.NaN())} {
		if !math.IsNaN(v) {
			t.Errorf("%g of nothing", v)
		}
	}
	if low, high := Wilson(0, 0, 0.95); low != 0 || high != 1 {
		t.Error("Wilson", low, high)
	}
	if EDivisive([]float64{0, 0, 0, 9, 9, 9, 0.1, 9.1}, 2, 0.05, 5, 1) != nil {
		t.Error("significant with too few permutations")
	}
}
