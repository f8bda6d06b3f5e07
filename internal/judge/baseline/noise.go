package baseline

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"soakd/internal/judge/stats"
)

// point is a value at a time, in the units of its profile: minutes but in short runs.
type point struct {
	at    int32
	value float64
}

// shift is by how much one series of logarithms lies above another.
type shift struct {
	// by is the shift, and low..high its interval at 95 %; p is the two-sided
	// probability of such a shift without a difference.
	by, low, high, p float64
	// known tells that there are enough values; minutes is how long the later series is.
	known   bool
	minutes int
	// above and below are the shares of later values that lie at least half the
	// minimum effect above, or below, the middle of the earlier ones.
	above, below float64
}

// noise is what the values of a series do while nothing changes: part of their
// variance goes with that of the minutes around,
//
//	correlation of two values d minutes apart = together * exp(-d / memory)
//
// and the rest is each value's own, as that of a quantile of few requests.
type noise struct{ variance, together float64 }

const (
	// memory is the time constant of the dependence in minutes: that of other load on
	// a machine. It is assumed, since a comparison of ten minutes cannot show it; a
	// part of the variance is what is estimated.
	memory = 10
	// prior is how many minutes of data the assumption about noise weighs: that all of it
	// depends on the minutes around. It keeps a comparison with a short
	// baseline from being sure of itself.
	prior = 20
	// bucket is the width of a bucket of a histogram as a logarithm: all values of a
	// series may lie in one, and their middle at either end of it.
	bucket = math.Ln2 / 64
	// near is up to how many minutes apart values tell the dependence.
	near = 6
)

// compareSeries compares what came later with what was before. assumed is the
// standard deviation that is assumed as long as there is little data, minimum the
// effect that counts, as a logarithm. Both series are in the order of time.
//
// The shift is that of Hodges and Lehmann; its standard error follows from the noise of
// the earlier series with the effective sizes of both. p is that of Student's t
// or of the rank test (Mann and Whitney), whichever is greater: the one knows of
// autocorrelation, the other of outliers.
func compareSeries(before, after []point, assumed, minimum float64, enough int) shift {
	s := shift{p: 1, low: math.Inf(-1), high: math.Inf(1)}
	if len(before) < enough || len(after) < enough {
		return s
	}
	a, b := values(before), values(after)
	s.known, s.minutes = true, int(after[len(after)-1].at-after[0].at)+1
	s.by = stats.Shift(a, b)
	n := noiseOf(before, stats.Median(a), assumed)
	varianceBefore, varianceAfter := n.ofMean(before), n.ofMean(after)
	// pi/3 is what the median of differences is less efficient than their mean.
	deviation := math.Sqrt((varianceBefore+varianceAfter)*math.Pi/3 + 2*bucket*bucket/12)
	// The variance is known from as many values as the earlier series is worth, and from the prior.
	freedom := n.variance/varianceBefore + prior/2
	s.test(a, b, freedom, deviation)
	s.count(a, b, minimum)
	return s
}

// test finds p and the interval of a shift with that deviation, which is known from
// so many degrees of freedom. Student's t and the ranks both have to see it.
func (s *shift) test(a, b []float64, freedom, deviation float64) {
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}
	s.p = 2 * t.Survival(math.Abs(s.by)/deviation)
	_, ranks := stats.MannWhitney(a, b)
	s.p = min(1, max(s.p, ranks))
	half := t.Quantile(0.975) * deviation
	s.low, s.high = s.by-half, s.by+half
}

// count counts the values of b that lie half the minimum effect above or below the middle of a.
func (s *shift) count(a, b []float64, minimum float64) {
	middle := stats.Median(a)
	for _, v := range b {
		if v-middle >= minimum/2 {
			s.above += 1 / float64(len(b))
		}
		if v-middle <= -minimum/2 {
			s.below += 1 / float64(len(b))
		}
	}
}

func values(points []point) []float64 {
	y := make([]float64, len(points))
	for i, p := range points {
		y[i] = p.value
	}
	return y
}

// spread is how many standard deviations of normal data lie between their quantiles
// 0.1 and 0.9.
const spread = 2.5631

// noiseOf estimates the noise of a series around its middle, robustly: a minute in
// ten may be anything.
func noiseOf(points []point, middle, assumed float64) noise {
	y := values(points)
	deviation := (stats.Quantile(y, 0.9) - stats.Quantile(y, 0.1)) / spread
	size := float64(len(points))
	n := noise{together: 1}
	if together, known := dependence(points, middle, deviation); known {
		n.together = (size*together + prior) / (size + prior)
	}
	n.variance = (size*deviation*deviation + prior*assumed*assumed) / (size + prior)
	return n
}

// dependence estimates which part of the variance goes with that of the minutes
// around, from all pairs of values up to [near] minutes apart.
func dependence(points []point, middle, deviation float64) (together float64, known bool) {
	const few = 20
	if deviation <= 0 {
		return 0, false
	}
	rest := make([]float64, len(points))
	square := 0.0
	for i, p := range points {
		rest[i] = min(max((p.value-middle)/deviation, -3), 3)
		square += rest[i] * rest[i] / float64(len(points))
	}
	by := decay()
	sum, weight, pairs := 0.0, 0.0, 0
	for i := range points {
		for j := i + 1; j < len(points); j++ {
			d := points[j].at - points[i].at
			if d > near {
				break
			}
			// Least squares through products that are expected to be together * expected.
			expected := by[d]
			sum += rest[i] * rest[j] / square * expected
			weight += expected * expected
			pairs++
		}
	}
	if pairs < few {
		return 0, false
	}
	return min(max(sum/weight, 0), 1), true
}

// far is from how many minutes apart on values are taken as independent.
const far = 8 * memory

// decay is exp(-d / memory) by the minutes d.
func decay() (by [far]float64) {
	for d := range by {
		by[d] = math.Exp(-float64(d) / memory)
	}
	return by
}

// ofMean is the variance of the mean of values at these minutes.
func (n noise) ofMean(points []point) float64 {
	by := decay()
	sum := float64(len(points))
	for i := range points {
		for j := i + 1; j < len(points); j++ {
			d := points[j].at - points[i].at
			if d >= far {
				break
			}
			sum += 2 * n.together * by[d]
		}
	}
	return n.variance * sum / float64(len(points)) / float64(len(points))
}

// sortPoints puts points in the order of time.
func sortPoints(points []point) {
	slices.SortFunc(points, func(a, b point) int { return int(a.at - b.at) })
}
