package stats

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// numbers reads float64s, of which one in some is NaN, Inf or huge.
func numbers(data []byte) []float64 {
	var y []float64
	for len(data) >= 8 && len(y) < 40 {
		y = append(y, math.Float64frombits(binary.LittleEndian.Uint64(data)))
		data = data[8:]
	}
	return y
}

func FuzzNothingPanics(f *testing.F) {
	var seed []byte
	for _, v := range []float64{1, 2, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 0, math.SmallestNonzeroFloat64, 5, 5, 5, 3, 8} {
		seed = binary.LittleEndian.AppendUint64(seed, math.Float64bits(v))
	}
	f.Add(seed, 3, 0.95, int64(3), int64(9))
	f.Add([]byte{}, 0, math.NaN(), int64(-1), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, data []byte, cut int, share float64, k, n int64) {
		y := numbers(data)
		given := slices.Clone(y)
		cut = min(max(cut, 0), len(y))
		a, b := y[:cut], y[cut:]
		probability := func(what string, p float64) {
			if !(p >= 0 && p <= 1) {
				t.Errorf("%s is %g", what, p)
			}
		}
		if s, ok := TheilSen(a, b, share); ok && !(s.Low <= s.Slope && s.Slope <= s.High) {
			t.Errorf("%+v", s)
		}
		probability("Mann-Kendall", MannKendall(y).P)
		probability("Mann-Kendall, corrected", MannKendallCorrected(y).P)
		u, p := MannWhitney(a, b)
		probability("Mann-Whitney", p)
		if !(u >= 0 && u <= float64(len(a)*len(b))) {
			t.Errorf("U is %g", u)
		}
		HodgesLehmann(a, b, share)
		probability("autocorrelation", math.Abs(Autocorrelation(y, cut)))
		if size := EffectiveSize(y); !(size >= 0 && size <= float64(len(y))) {
			t.Errorf("effective size %g", size)
		}
		Median(y)
		Quantile(y, share)
		MAD(y)
		Holm(y)
		BenjaminiHochberg(y)
		PoissonAtLeast(k, share)
		probability("proportions", Proportions(k%1000, n%1000, cut64(k), cut64(n)))
		low, high := Wilson(k, n, share)
		if !(low >= 0 && low <= high && high <= 1) {
			t.Errorf("Wilson %g..%g", low, high)
		}
		for _, changes := range [][]int{ChangePoints(y, cut, share), EDivisive(y, cut, 0.2, 9, 1)} {
			if !slices.IsSorted(changes) || (len(changes) > 0 && (changes[0] <= 0 || changes[len(changes)-1] >= len(y))) {
				t.Errorf("changes at %v of %d", changes, len(y))
			}
		}
		for i := range y {
			if math.Float64bits(y[i]) != math.Float64bits(given[i]) {
				t.Fatal("an argument was changed")
			}
		}
	})
}

func cut64(n int64) int64 { return n >> 33 }

func BenchmarkTheilSen400(b *testing.B) {
	x, y := sample(400)
	for b.Loop() {
		TheilSen(x, y, 0.95)
	}
}

func BenchmarkMannKendallCorrected400(b *testing.B) {
	_, y := sample(400)
	for b.Loop() {
		MannKendallCorrected(y)
	}
}

func BenchmarkHodgesLehmann240(b *testing.B) {
	x, y := sample(240)
	for b.Loop() {
		HodgesLehmann(x, y, 0.95)
	}
}

func BenchmarkMannWhitney240(b *testing.B) {
	x, y := sample(240)
	for b.Loop() {
		MannWhitney(x, y)
	}
}

func BenchmarkChangePoints1440(b *testing.B) {
	_, y := sample(1440)
	for b.Loop() {
		ChangePoints(y, 5, 3)
	}
}

func BenchmarkEDivisive200(b *testing.B) {
	_, y := sample(200)
	for b.Loop() {
		EDivisive(y, 5, 0.05, 199, 1)
	}
}

func BenchmarkProportions(b *testing.B) {
	for b.Loop() {
		Proportions(1_000_000, 1_000_000_000, 1_002_000, 1_000_000_000)
	}
}

// sample is a line with noise that never repeats.
func sample(n int) (x, y []float64) {
	x, y = make([]float64, n), make([]float64, n)
	for i := range y {
		x[i], y[i] = float64(i), math.Mod(1e4*math.Sin(float64(i+1)), 1)
	}
	return x, y
}
