package leak

import (
	"math"

	"soakd/internal/judge/stats"
)

const (
	// curvedSure is how many standard errors below zero the curvature of what flattens
	// lies, and curvedLeast the share of its first slope below which it ends.
	curvedSure, curvedLeast = 2.5, 0.75
	// lineOverSteps is by how much the BIC of a line has to be below that of steps:
	// strong evidence (Kass & Raftery 1995, Bayes Factors, section 3.2).
	lineOverSteps = 6
)

// risesThroughout tells whether the medians of the four quarters rise about alike. Of a
// step at least one of the three rises is next to nothing, and of a cache that fills
// up the last is much smaller than the first; the first may be small, as the leak may
// have begun within the horizon. A short horizon leaves room for a
// tooth, as it has no lower envelope to speak of; of a step it is too few points to
// be significant.
func risesThroughout(points []point, short bool) bool {
	n := len(points)
	if n < 8 {
		return false
	}
	least, most := 0.3, 2.0
	if short {
		least, most = 0.15, 2.2
	}
	level := quarters(points)
	mean := (level[3] - level[0]) / 3
	for q := range 3 {
		low := least
		if q == 0 {
			low = -0.2
		}
		if rise := level[q+1] - level[q]; rise <= low*mean || rise > most*mean {
			return false
		}
	}
	return mean > 0
}

// flattens tells whether the rise between the last quarters is smaller than that between
// the first, as when a process still warms up.
func flattens(points []point) bool {
	level := quarters(points)
	return level[3]-level[2] < 0.8*(level[1]-level[0])
}

// quarters are the medians of the four quarters.
func quarters(points []point) (level [4]float64) {
	n := len(points)
	for q := range level {
		_, y := split(points[q*n/4 : (q+1)*n/4])
		level[q] = stats.Median(y)
	}
	return level
}

// saturates tells whether the points surely bend towards a level, as a cache does that
// fills until its keys expire as fast as new ones come. The first quarter may
// be from before it began to fill, so the rest is looked at by itself too.
func saturates(points []point) bool {
	return bendsDown(points) || bendsDown(points[len(points)/4:])
}

// bendsDown fits a parabola by least squares, its terms made orthogonal to each
// other so that the curvature and its standard error stand alone; the error is
// widened for autocorrelation.
func bendsDown(points []point) bool {
	n := len(points)
	if n < 8 {
		return false
	}
	x, y := split(points)
	half := (x[n-1] - x[0]) / 2
	linear, curved := make([]float64, n), make([]float64, n)
	for i := range x {
		linear[i] = (x[i]-x[0])/half - 1
	}
	center(linear)
	for i, u := range linear {
		curved[i] = u * u
	}
	center(curved)
	tilt, _ := project(curved, linear)
	center(y)
	slope, _ := project(y, linear)
	curvature, weight := project(y, curved)
	squares := 0.0
	for _, rest := range y {
		squares += rest * rest
	}
	deviation := math.Sqrt(squares / float64(n-3) / weight * float64(n) / effectiveSize(y))
	// The derivative of slope*u + curvature*(u^2 - tilt*u) at both ends.
	first, last := slope-curvature*(tilt+2), slope-curvature*(tilt-2)
	return curvature < -curvedSure*deviation && last < curvedLeast*first
}

// center takes the mean off.
func center(y []float64) {
	mean := 0.0
	for _, v := range y {
		mean += v / float64(len(y))
	}
	for i := range y {
		y[i] -= mean
	}
}

// project takes what y has of the base off it; weight is the base's sum of squares.
func project(y, base []float64) (factor, weight float64) {
	for i, b := range base {
		factor += y[i] * b
		weight += b * b
	}
	factor /= weight
	for i, b := range base {
		y[i] -= factor * b
	}
	return factor, weight
}

// effectiveSize is how many independent values residuals of a fit are worth. Short
// series hide their autocorrelation, so it is at most that of a dependence of order
// one, n*(1-r)/(1+r), with the first r corrected for its bias, (2+4r)/n, as in
// [stats.MannKendallCorrected].
func effectiveSize(residuals []float64) float64 {
	n := float64(len(residuals))
	size := stats.EffectiveSize(residuals)
	if n > 8 {
		if r := (n*stats.Autocorrelation(residuals, 1) + 2) / (n - 4); r > 0 {
			size = min(size, n*(1-min(r, 0.98))/(1+min(r, 0.98)))
		}
	}
	return max(size, 1)
}

// steps tells whether one step or two explain the points about as well as a line: a
// pool that opens more connections at once does not leak them. It compares the
// Bayesian information criterion, n*ln(SSE/n) + k*ln(n), of the line (k = 2) with
// those of two levels (3) and three (5), n being the effective size of the line's residuals.
func steps(points []point, line stats.Slope) bool {
	_, y := split(points)
	rest := make([]float64, len(points))
	for i, p := range points {
		rest[i] = p.y - line.Slope*p.x
	}
	center(rest)
	straight := 0.0
	for _, r := range rest {
		straight += r * r
	}
	n := effectiveSize(rest)
	one, two := stepSquares(y)
	better := func(squares, more float64) float64 {
		if straight == 0 {
			return math.Inf(1)
		}
		return n*math.Log(squares/straight) + more*math.Log(n)
	}
	return min(better(one, 1), better(two, 3)) < lineOverSteps
}

// stepSquares are the least sums of squares around two and around three levels.
func stepSquares(y []float64) (one, two float64) {
	n := len(y)
	sum, square := make([]float64, n+1), make([]float64, n+1)
	for i, v := range y {
		v -= y[0] // smaller numbers, smaller errors
		sum[i+1], square[i+1] = sum[i]+v, square[i]+v*v
	}
	within := func(from, to int) float64 {
		s := sum[to] - sum[from]
		return max(0, square[to]-square[from]-s*s/float64(to-from))
	}
	one, two = math.Inf(1), math.Inf(1)
	for i := 1; i < n; i++ {
		one = min(one, within(0, i)+within(i, n))
		for j := i + 1; j < n; j++ {
			two = min(two, within(0, i)+within(i, j)+within(j, n))
		}
	}
	return one, two
}
