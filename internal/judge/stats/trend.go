package stats

import (
	"math"
	"slices"
)

// Slope is a robust line through points: y = Intercept + Slope*x. Low..High is the
// interval of the slope at the confidence that was asked for, per unit of x.
type Slope struct{ Slope, Low, High, Intercept float64 }

// TheilSen returns the median of the slopes of all pairs of points with different
// x (Theil 1950, Sen 1968), its confidence interval, and as the intercept the
// median of y - slope*x.
//
// The interval is that of Sen 1968 in the form of Gilbert 1987 (Statistical Methods
// for Environmental Pollution Monitoring, section 16.5): of the N' ordered slopes
// number (N'-C)/2 and number (N'+C)/2 + 1, interpolated, with
// C = z*sqrt(Var(S)) and Var(S) corrected for ties in y and in x. It takes points as
// independent: with autocorrelated ones it is too narrow. Where there are too few points for
// the confidence it is the range of all slopes.
//
// It is false with fewer than three points, or when all x are the same. It takes
// O(n^2) time and memory: give at most some 400 points. confidence is 0..1.
func TheilSen(x, y []float64, confidence float64) (Slope, bool) {
	xs, ys := finitePairs(x, y)
	if len(xs) < 3 {
		return Slope{}, false
	}
	slopes := pairSlopes(xs, ys)
	if len(slopes) == 0 {
		return Slope{}, false
	}
	_, tiesX := ranks(xs)
	_, tiesY := ranks(ys)
	c := normalQuantile(confidence) * math.Sqrt(kendallVariance(len(xs), tiesX, tiesY))
	n := float64(len(slopes))
	s := Slope{Low: orderStatistic(slopes, (n-c)/2), High: orderStatistic(slopes, (n+c)/2+1), Slope: medianOf(slopes)}
	rest := make([]float64, len(xs))
	for i := range xs {
		rest[i] = ys[i] - s.Slope*xs[i]
	}
	s.Intercept = medianOf(finite(rest))
	return s, isFinite(s.Intercept)
}

// finitePairs returns the pairs of which both are finite.
func finitePairs(x, y []float64) (xs, ys []float64) {
	n := min(len(x), len(y))
	xs, ys = make([]float64, 0, n), make([]float64, 0, n)
	for i := range n {
		if isFinite(x[i]) && isFinite(y[i]) {
			xs, ys = append(xs, x[i]), append(ys, y[i])
		}
	}
	return xs, ys
}

// pairSlopes returns the slopes of all pairs with different x. A slope that does not
// fit into a float64 is left out.
func pairSlopes(x, y []float64) []float64 {
	slopes := make([]float64, 0, len(x)*(len(x)-1)/2)
	for i := range x {
		for j := range i {
			if x[i] == x[j] {
				continue
			}
			if slope := (y[i] - y[j]) / (x[i] - x[j]); isFinite(slope) {
				slopes = append(slopes, slope)
			}
		}
	}
	return slopes
}

// orderStatistic returns number at, counted from 1, of y in ascending order,
// interpolated, the least and greatest for what lies outside. It reorders y.
func orderStatistic(y []float64, at float64) float64 {
	at = min(max(at, 1), float64(len(y)))
	below := int(at)
	low := selectAt(y, below-1)
	part := at - float64(below)
	if part == 0 || below >= len(y) {
		return low
	}
	high := slices.Min(y[below:])
	return low + part*(high-low)
}

// kendallVariance is the variance of Kendall's S without a trend, with groups of
// equal x (sizes u) and of equal y (sizes t): Kendall 1975, as Gilbert 1987 gives it
// in equation 16.5.
func kendallVariance(n int, tiesX, tiesY []int) float64 {
	sums := func(ties []int) (a, b, c float64) {
		for _, size := range ties {
			t := float64(size)
			a += t * (t - 1) * (2*t + 5)
			b += t * (t - 1) * (t - 2)
			c += t * (t - 1)
		}
		return a, b, c
	}
	m := float64(n)
	x1, x2, x3 := sums(tiesX)
	y1, y2, y3 := sums(tiesY)
	variance := (m*(m-1)*(2*m+5) - x1 - y1) / 18
	if n > 2 {
		variance += x2 * y2 / (9 * m * (m - 1) * (m - 2))
	}
	if n > 1 {
		variance += x3 * y3 / (2 * m * (m - 1))
	}
	return max(0, variance)
}

// Trend is the outcome of a test for a monotonic trend. S counts the pairs that
// rise less those that fall, Tau is S as a share of the pairs (tau-b: of those that
// are not equal, -1..1), Z is S in standard deviations with continuity correction,
// and P the two-sided probability of such a Z when there is no trend.
type Trend struct {
	S         int
	Tau, Z, P float64
}

// MannKendall tests evenly or unevenly spaced values, in their order, for a trend
// (Mann 1945, Kendall 1975), corrected for ties. It takes the values as independent. With
// fewer than three values P is 1. The normal approximation that it uses is good from
// some ten values on (Gilbert 1987, section 16.4).
func MannKendall(y []float64) Trend {
	return mannKendall(finite(y), 1)
}

// mannKendall is the test with a variance that is inflated by a factor.
func mannKendall(y []float64, inflation float64) Trend {
	n := len(y)
	if n < 3 {
		return Trend{P: 1}
	}
	_, ties := ranks(y)
	pairs := n * (n - 1) / 2
	equal := 0
	for _, t := range ties {
		equal += t * (t - 1) / 2
	}
	t := Trend{S: pairs - equal - 2*inversions(y), P: 1}
	if equal == pairs {
		return t
	}
	t.Tau = float64(t.S) / math.Sqrt(float64(pairs)*float64(pairs-equal))
	deviation := math.Sqrt(kendallVariance(n, nil, ties) * inflation)
	switch {
	case t.S > 0:
		t.Z = float64(t.S-1) / deviation
	case t.S < 0:
		t.Z = float64(t.S+1) / deviation
	}
	t.P = normalP(t.Z)
	return t
}

// inversions counts the pairs of which the later one is smaller, by merging
// (Knight 1966): O(n log n).
func inversions(y []float64) int {
	from, to := slices.Clone(y), make([]float64, len(y))
	count := 0
	for width := 1; width < len(y); width *= 2 {
		for start := 0; start < len(y); start += 2 * width {
			middle, end := min(start+width, len(y)), min(start+2*width, len(y))
			count += mergeCounting(to[start:end], from[start:middle], from[middle:end])
		}
		from, to = to, from
	}
	return count
}

// mergeCounting merges two ascending runs into one and counts the pairs of which
// the one of the second run is smaller.
func mergeCounting(into, a, b []float64) int {
	count, i, j := 0, 0, 0
	for k := range into {
		if i < len(a) && (j == len(b) || a[i] <= b[j]) {
			into[k] = a[i]
			i++
			continue
		}
		into[k] = b[j]
		j++
		count += len(a) - i
	}
	return count
}

// MannKendallCorrected is [MannKendall] for values that depend on those before
// them. The variance of S is inflated by
//
//	1 + 2/(n(n-1)(n-2)) * sum over lags i of (n-i)(n-i-1)(n-i-2) r(i)
//
// with the significant (5 %) autocorrelations r(i) of the ranks of the series less
// its Theil-Sen trend (Hamed & Rao 1998, A modified Mann-Kendall trend test for
// autocorrelated data, Journal of Hydrology 204). Short series estimate r too low,
// and the test as published is wrong twice as often as it says: of 60 values with a
// dependence of 0.5 in 11 % at P < 0.05. So the inflation is also at least that of
// a dependence of order one, r(i) = r^i, with r from the first lag corrected for its bias,
// r(1) = r - (2+4r)/n once a trend was taken out (Kendall 1954; van Giersbergen
// 2005 for a trend). And it is never below 1: autocorrelation
// makes the test more careful, never less. The values are taken as evenly spaced;
// it takes O(n^2) time.
func MannKendallCorrected(y []float64) Trend {
	kept := finite(y)
	n := len(kept)
	if n < 5 {
		return mannKendall(kept, 1)
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(i)
	}
	slopes := pairSlopes(x, kept)
	if len(slopes) == 0 {
		return mannKendall(kept, 1)
	}
	slope := medianOf(slopes)
	rest := make([]float64, n)
	for i := range rest {
		rest[i] = kept[i] - slope*x[i]
	}
	rank, _ := ranks(rest)
	return mannKendall(kept, inflation(rank))
}

// inflation is the factor by which autocorrelation of the ranks inflates the variance of S.
func inflation(rank []float64) float64 {
	n := float64(len(rank))
	limit := normalQuantile(0.95) / math.Sqrt(n)
	significant, firstOrder := 0.0, 0.0
	dependence, power := 0.0, 1.0
	for lag := 1; lag < len(rank)-2; lag++ {
		r := Autocorrelation(rank, lag)
		if lag == 1 && r > limit {
			dependence = min((n*r+2)/(n-4), 1)
		}
		i := float64(lag)
		weight := (n - i) * (n - i - 1) * (n - i - 2)
		if math.Abs(r) > limit {
			significant += weight * r
		}
		power *= dependence
		firstOrder += weight * power
	}
	return max(1, 1+2/(n*(n-1)*(n-2))*max(significant, firstOrder))
}
