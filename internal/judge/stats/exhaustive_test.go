package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// permutations calls f with every order of y.
func permutations(y []float64, f func([]float64)) {
	var walk func(k int)
	walk = func(k int) {
		if k == len(y) {
			f(y)
			return
		}
		for i := k; i < len(y); i++ {
			y[k], y[i] = y[i], y[k]
			walk(k + 1)
			y[k], y[i] = y[i], y[k]
		}
	}
	walk(0)
}

// kendallS by its definition.
func kendallS(x, y []float64) (s int) {
	sign := func(v float64) int {
		switch {
		case v > 0:
			return 1
		case v < 0:
			return -1
		}
		return 0
	}
	for i := range y {
		for j := range i {
			s += sign(y[i]-y[j]) * sign(x[i]-x[j])
		}
	}
	return s
}

// The variance of S over all orders is the formula, with ties in either or both.
func TestKendallVarianceIsThatOverAllOrders(t *testing.T) {
	for _, c := range []struct {
		x, y         []float64
		tiesX, tiesY []int
	}{
		{[]float64{1, 2, 3, 4, 5, 6}, []float64{1, 2, 3, 4, 5, 6}, nil, nil},
		{[]float64{1, 2, 3, 4, 5, 6}, []float64{1, 1, 3, 4, 4, 4}, nil, []int{2, 3}},
		{[]float64{1, 1, 2, 3, 3, 3}, []float64{1, 1, 1, 2, 2, 7}, []int{2, 3}, []int{3, 2}},
		{[]float64{1, 1}, []float64{1, 1}, []int{2}, []int{2}},
	} {
		sum, n := 0.0, 0.0
		permutations(slices.Clone(c.y), func(y []float64) {
			s := float64(kendallS(c.x, y))
			sum, n = sum+s*s, n+1
		})
		near(t, "variance", kendallVariance(len(c.x), c.tiesX, c.tiesY), sum/n, 1e-9)
	}
}

func TestMannKendallCountsPairs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for n := range 70 {
		x, y := make([]float64, n), make([]float64, n)
		for i := range y {
			x[i], y[i] = float64(i), float64(random.IntN(12)) // with ties
		}
		if got, want := MannKendall(y).S, kendallS(x, y); n > 2 && got != want {
			t.Errorf("S of %d values is %d, want %d", n, got, want)
		}
	}
}

// selections calls f with every choice of k of y, and with the rest.
func selections(y []float64, k int, f func(chosen, rest []float64)) {
	for mask := range 1 << len(y) {
		var chosen, rest []float64
		for i, v := range y {
			if mask>>i&1 == 1 {
				chosen = append(chosen, v)
			} else {
				rest = append(rest, v)
			}
		}
		if len(chosen) == k {
			f(chosen, rest)
		}
	}
}

func TestMannWhitneyIsExact(t *testing.T) {
	all := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}
	var us []float64
	selections(all, 4, func(a, b []float64) {
		u, _ := MannWhitney(a, b)
		us = append(us, u)
	})
	selections(all, 4, func(a, b []float64) {
		u, p := MannWhitney(a, b)
		below, above := 0.0, 0.0
		for _, other := range us {
			if other <= u {
				below++
			}
			if other >= u {
				above++
			}
		}
		near(t, "p", p, min(1, 2*min(below, above)/float64(len(us))), 1e-12)
	})
}

func TestVarianceOfUIsThatOverAllSelections(t *testing.T) {
	all := []float64{1, 1, 2, 3, 3, 3, 4, 5}
	sum, n := 0.0, 0.0
	selections(all, 3, func(a, b []float64) {
		u, _ := MannWhitney(a, b)
		sum, n = sum+(u-7.5)*(u-7.5), n+1
	})
	near(t, "variance", uVariance(3, 5, []int{2, 3}), sum/n, 1e-9)
}

// The two ways to a p agree where one hands over to the other, as long as p is not
// far below what anybody asks for.
func TestMannWhitneyApproximationMeetsTheExactOne(t *testing.T) {
	for _, shift := range []float64{0, 0.05, 0.1, 0.15, 0.2} {
		a, b := make([]float64, exactSize), make([]float64, exactSize)
		for i := range a {
			a[i], b[i] = float64(i)/exactSize, float64(i)/exactSize+shift+0.001
		}
		u, exact := MannWhitney(a, b)
		away := math.Abs(u-exactSize*exactSize/2.0) - 0.5
		approximate := normalP(away / math.Sqrt(uVariance(len(a), len(b), nil)))
		if math.Abs(exact-approximate) > 0.06*exact {
			t.Errorf("shift %g: %g exactly, %g by the normal distribution", shift, exact, approximate)
		}
	}
}

// logChoose is log(n over k).
func logChoose(n, k int64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

func TestProportionsAreFishersForAllSmallTables(t *testing.T) {
	for n1 := int64(1); n1 <= 7; n1++ {
		for n2 := int64(1); n2 <= 9; n2++ {
			for bad1 := range n1 + 1 {
				for bad2 := range n2 + 1 {
					chance := func(k int64) float64 {
						return math.Exp(logChoose(n1, k) + logChoose(n2, bad1+bad2-k) - logChoose(n1+n2, bad1+bad2))
					}
					want := 0.0
					for k := max(0, bad1+bad2-n2); k <= min(n1, bad1+bad2); k++ {
						if c := chance(k); c <= chance(bad1)*(1+1e-7) {
							want += c
						}
					}
					near(t, "p", Proportions(bad1, n1, bad2, n2), want, 1e-10)
				}
			}
		}
	}
}

func TestProportionsOfHugeNumbers(t *testing.T) {
	// Against the normal approximation, which is good here.
	z := func(bad1, n1, bad2, n2 float64) float64 {
		pooled := (bad1 + bad2) / (n1 + n2)
		return normalP((math.Abs(bad1/n1-bad2/n2) - (1/n1+1/n2)/2) / math.Sqrt(pooled*(1-pooled)*(1/n1+1/n2)))
	}
	for _, c := range [][4]int64{
		{500_000_000, 1_000_000_000, 500_050_000, 1_000_000_000},
		{1_000_000, 1_000_000_000, 1_002_000, 1_000_000_000},
		{100_000, 50_000_000, 2_004_000, 1_000_000_000},
	} {
		got, want := Proportions(c[0], c[1], c[2], c[3]), z(float64(c[0]), float64(c[1]), float64(c[2]), float64(c[3]))
		if math.Abs(got-want) > 0.01*want {
			t.Errorf("%v: p %g, want %g", c, got, want)
		}
	}
	// A rare error: the conditional binomial, 0 of 10 in a half.
	near(t, "0 of 1e9 and 10 of 1e9", Proportions(0, 1e9, 10, 1e9), math.Pow(2, -9), 1e-8)
	near(t, "worlds apart", Proportions(0, 1e9, 1e9, 1e9), 0, 0)
	near(t, "alike", Proportions(1e8, 1e9, 1e8, 1e9), 1, 0)
	for _, c := range [][4]int64{{0, 0, 1, 2}, {-1, 2, 1, 2}, {3, 2, 1, 2}, {1, math.MaxInt64, 1, math.MaxInt64}} {
		near(t, "nonsense", Proportions(c[0], c[1], c[2], c[3]), 1, 0)
	}
}

// optimum is the least cost of any segmentation, by trying them all.
func optimum(y []float64, minSize int, penalty float64) (float64, []int) {
	noise := differenceNoise(y)
	best, at := math.Inf(1), []int(nil)
	for mask := range 1 << (len(y) - 1) {
		cost, start := 0.0, 0
		var changes []int
		for end := 1; end <= len(y); end++ {
			if end < len(y) && mask>>(end-1)&1 == 0 {
				continue
			}
			if end-start < minSize {
				cost = math.Inf(1)
				break
			}
			cost += squares(y[start:end]) / noise / noise
			if start > 0 {
				changes = append(changes, start)
				cost += penalty * math.Log(float64(len(y)))
			}
			start = end
		}
		if cost < best-1e-9 {
			best, at = cost, changes
		}
	}
	return best, at
}

func squares(y []float64) (sum float64) {
	mean := 0.0
	for _, v := range y {
		mean += v / float64(len(y))
	}
	for _, v := range y {
		sum += (v - mean) * (v - mean)
	}
	return sum
}

func TestPELTFindsTheOptimum(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	several := 0
	for trial := range 120 {
		y := make([]float64, 6+trial%8)
		level := 0.0
		for i := range y {
			if random.IntN(4) == 0 {
				level = 6 * random.NormFloat64()
			}
			y[i] = level + random.NormFloat64()
		}
		minSize, penalty := 1+trial%3, 0.3+2*random.Float64()
		_, want := optimum(y, minSize, penalty)
		if len(want) > 1 {
			several++
		}
		if got := ChangePoints(y, minSize, penalty); !slices.Equal(got, want) {
			t.Errorf("%v, at least %d, penalty %g: %v, want %v", y, minSize, penalty, got, want)
		}
	}
	if several < 20 {
		t.Errorf("only %d series have several changes: the test tests nothing", several)
	}
}

// bestSplitByDefinition is equations 5 to 7 of Matteson & James 2014, term by term.
func bestSplitByDefinition(y []float64, minSize int) (best split) {
	for tau := minSize; tau <= len(y)-minSize; tau++ {
		for kappa := tau + minSize; kappa <= len(y); kappa++ {
			x, z := y[:tau], y[tau:kappa]
			n, m := float64(len(x)), float64(len(z))
			between, withinX, withinZ := 0.0, 0.0, 0.0
			for i := range x {
				for j := range z {
					between += math.Abs(x[i] - z[j])
				}
				for j := range i {
					withinX += math.Abs(x[i] - x[j])
				}
			}
			for i := range z {
				for j := range i {
					withinZ += math.Abs(z[i] - z[j])
				}
			}
			energy := 2/(m*n)*between - withinX/(n*(n-1)/2) - withinZ/(m*(m-1)/2)
			if q := m * n / (m + n) * energy; q > best.energy {
				best = split{tau, q}
			}
		}
	}
	return best
}

func TestBestSplitIsItsDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 1))
	for trial := range 30 {
		y := make([]float64, 4+trial)
		for i := range y {
			y[i] = random.NormFloat64() * float64(1+i*3/len(y))
		}
		got, want := bestSplit(y, 2), bestSplitByDefinition(y, 2)
		if got.at != want.at || math.Abs(got.energy-want.energy) > 1e-9 {
			t.Errorf("%d values: %+v, want %+v", len(y), got, want)
		}
	}
}

func TestSelectionIsThatOfSorting(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 1))
	for n := 1; n < 40; n++ {
		y := make([]float64, n)
		for i := range y {
			y[i] = float64(random.IntN(n))
		}
		sorted := slices.Clone(y)
		sort.Float64s(sorted)
		for k := range y {
			if got := selectAt(slices.Clone(y), k); got != sorted[k] {
				t.Errorf("number %d of %v is %g", k, sorted, got)
			}
		}
		middle := sorted[n/2]
		if n%2 == 0 {
			middle = (sorted[n/2] + sorted[n/2-1]) / 2
		}
		near(t, "median", Median(y), middle, 1e-12)
		for at := 0.5; at < float64(n)+1; at += 0.25 {
			c := min(max(at, 1), float64(n))
			low := int(c)
			want := sorted[low-1] + (c-float64(low))*(sorted[min(low, n-1)]-sorted[low-1])
			near(t, "order statistic", orderStatistic(slices.Clone(y), at), want, 1e-12)
		}
	}
}
