package latency

import (
	"math"
	"slices"

	"soakd/internal/judge/stats"
)

// kept is how many minutes back points are kept: a day, so that each rate of a day
// curve was seen before.
const kept = 24 * 60

// settling is how many of the latest minutes make no reference yet: what changed
// in them is to be found, not learned.
const settling = 10

func missing() float32 { return float32(math.NaN()) }

func known(x float32) bool { return x == x }

// slot is the place of a minute in a ring.
func slot(minute int64) int { return int(minute % kept) }

// point is a value at a minute: a difference of logarithms.
type point struct{ t, x float64 }

// series is a ring of values at minutes, NaN where there is none, and the noise that it has.
type series struct {
	x     [kept]float32
	noise noise
}

func (s *series) reset() {
	for i := range s.x {
		s.x[i] = missing()
	}
}

func (s *series) clear(minute int64) { s.x[slot(minute)] = missing() }

// points appends the values of the minutes from..to.
func (s *series) points(into []point, from, to int64) []point {
	for m := from; m <= to; m++ {
		if x := s.x[slot(m)]; known(x) {
			into = append(into, point{float64(m), float64(x)})
		}
	}
	return into
}

// mean is the mean of the values of the minutes from..to, and how many there are.
func (s *series) mean(from, to int64) (mean float64, n int) {
	for m := max(from, to-kept+1); m <= to; m++ {
		if x := s.x[slot(m)]; known(x) {
			n++
			mean += (float64(x) - mean) / float64(n)
		}
	}
	return mean, n
}

// noise is an autoregressive process of first order about 0 at the distance of two
// points, and how much means over long stretches vary.
type noise struct {
	// phi is the correlation of two points that follow one another, step minutes apart.
	phi, step float64
	// sigma is the standard deviation of what is new in each point, spread that of the points.
	sigma, spread float64
	// long is such that a mean over m minutes varies by long/sqrt(m), for m well above step.
	long float64
	// banded is by how much more long means vary because there are several bands, each
	// with a reference that has as much noise as what is compared with it.
	banded float64
	// ok is set when there was enough to tell.
	ok bool
}

const (
	// leastNoise is the least standard deviation that is believed: what is measured
	// is in buckets 1 % wide.
	leastNoise = 0.004
	// leastPoints is from how many points noise is fitted.
	leastPoints = 24
	// detrended is over how many points what is slower than noise is taken out.
	detrended = 120
	// clipped is where outliers are cut off, in standard deviations.
	clipped = 3
)

// fitNoise fits the noise of points in their order, which had their level taken out
// in stretches of about so many points.
//
// Bursts and what changes slowly must not pass for noise: the level is taken out in
// stretches, and outliers are clipped (Huber 1981). In stretches of n the estimate of
// phi is too small by (1 + 3 phi) / n (Kendall 1954), which is put right; one standard
// error is added, so that points are rather taken to say the same again than to agree.
func fitNoise(points []point, stretch float64) noise {
	if len(points) < leastPoints {
		return noise{}
	}
	rest := make([]float64, len(points))
	gaps := make([]float64, 0, len(points))
	for i, p := range points {
		rest[i] = p.x
		if i > 0 {
			gaps = append(gaps, p.t-points[i-1].t)
		}
	}
	n := noise{step: max(1, stats.Median(gaps)), ok: true}
	stretch = max(10, min(stretch, float64(detrend(rest))))
	clip(rest, clipped*max(stats.MAD(rest), leastNoise))
	var product, square, fair float64
	for i := 1; i < len(rest); i++ {
		if gaps[i-1] < 1.5*n.step {
			product += rest[i] * rest[i-1]
			square += (rest[i]*rest[i] + rest[i-1]*rest[i-1]) / 2
		}
	}
	if square > 0 {
		phi := product / square
		fair = min(max(phi+(1+3*phi)/stretch, 0), 0.95)
		n.phi = min(fair+math.Sqrt(max(0, 1-phi*phi)/float64(len(rest))), 0.97)
	}
	n.sigma = max(news(rest, gaps, &n), leastNoise)
	n.spread = n.sigma / math.Sqrt(1-n.phi*n.phi)
	n.long = longNoise(points, &n, fair)
	return n
}

// news is the standard deviation of what is new in each value.
func news(rest, gaps []float64, n *noise) float64 {
	fresh := make([]float64, 0, len(rest))
	for i := 1; i < len(rest); i++ {
		if gaps[i-1] < 1.5*n.step {
			fresh = append(fresh, rest[i]-n.phi*rest[i-1])
		}
	}
	if len(fresh) < leastPoints/2 {
		return deviation(rest) * math.Sqrt(1-n.phi*n.phi)
	}
	clip(fresh, clipped*max(stats.MAD(fresh), leastNoise))
	return deviation(fresh)
}

// detrend takes the mean out of stretches of about [detrended] values, and returns
// how long they are.
func detrend(y []float64) int {
	parts := max(1, len(y)/detrended)
	for i := range parts {
		part := y[len(y)*i/parts : len(y)*(i+1)/parts]
		middle := stats.Median(part)
		for j := range part {
			part[j] -= middle
		}
	}
	return len(y) / parts
}

func clip(y []float64, limit float64) {
	for i := range y {
		y[i] = min(max(y[i], -limit), limit)
	}
}

func deviation(y []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range y {
		sum += v
		squares += v * v
	}
	mean := sum / float64(len(y))
	return math.Sqrt(max(0, squares/float64(len(y))-mean*mean))
}

// longNoise is by how much long means vary: what the process of first order says,
// or what means of batches say when that is more, for there may be slower noise
// beneath faster one. The differences of batches that follow one another
// (von Neumann 1941) do not see a trend, and their median not a few jumps.
func longNoise(points []point, n *noise, phi float64) float64 {
	long := n.sigma * math.Sqrt(n.step) / (1 - phi)
	for _, length := range []float64{15 * n.step, 30 * n.step, 60 * n.step} {
		var differences []float64
		last, lastAt := 0.0, math.Inf(-1)
		for i := 0; i < len(points); {
			batch := math.Floor(points[i].t / length)
			sum, count := 0.0, 0
			for ; i < len(points) && math.Floor(points[i].t/length) == batch; i++ {
				sum += points[i].x
				count++
			}
			if float64(count) < length/n.step/2 {
				continue
			}
			if batch == lastAt+1 {
				differences = append(differences, math.Abs(sum/float64(count)-last))
			}
			last, lastAt = sum/float64(count), batch
		}
		if len(differences) >= 8 {
			long = max(long, 1.4826/math.Sqrt2*stats.Median(differences)*math.Sqrt(length))
		}
	}
	return long
}

// meanError is the standard error of a mean over m minutes.
func (n *noise) meanError(m float64) float64 {
	return min(n.long/math.Sqrt(max(m, 1)), n.spread)
}

// level is what points at about one rate and of one phase are like.
type level struct {
	key int32
	// rate is the mean logarithm of the rate, highest the highest; typical is the
	// median of the points.
	rate, highest, typical float64
	// minutes is how many minutes it was seen, points how many points these made.
	minutes, points int
}

// levels are ordered by their keys.
type levels []level

const (
	// narrow and wide are how far rates of one band differ, as a logarithm: up to
	// 10 %, and up to 35 % for rare cases, which have few points a day.
	narrow = 0.0953
	wide   = 0.3
	// farBelow is how far below the known rates another is still compared with
	// them: a lower rate is no reason to be slower.
	farBelow = 0.27
	// sameRate is by how much rates may differ that are the same, as a logarithm.
	sameRate = 0.01
	// phaseKeys sets the keys of the phases apart.
	phaseKeys = 1 << 16
)

func bandKey(phase int8, rate, width float64) int32 {
	return int32(phase)*phaseKeys + int32(min(max(math.Floor(rate/width), -1000), 1000))
}

// usual is what a point at a rate is expected to be, with over how many minutes
// that was learned.
func (l levels) usual(phase int8, rate, width float64) (typical float64, minutes int, ok bool) {
	key := bandKey(phase, rate, width)
	i, found := slices.BinarySearchFunc(l, key, func(v level, key int32) int { return int(v.key - key) })
	below, above := i-1, i
	if found {
		if rate >= l[i].rate {
			below, above = i, i+1
		}
		switch {
		case above < len(l) && below >= 0 && l[above].key-l[below].key == 1:
			return between(&l[below], &l[above], rate), l[i].minutes, true
		case rate > l[i].highest+sameRate:
			return 0, 0, false
		}
		return l[i].typical, l[i].minutes, true
	}
	if above < len(l) && l[above].key < int32(phase)*phaseKeys+2000 {
		if below >= 0 && l[above].key-l[below].key == 2 {
			return between(&l[below], &l[above], rate), min(l[below].minutes, l[above].minutes), true
		}
		if l[above].rate-rate <= farBelow {
			return l[above].typical, l[above].minutes, true
		}
	}
	return 0, 0, false
}

// between interpolates: response times change with the rate within a band too.
func between(a, b *level, rate float64) float64 {
	if b.rate-a.rate < 1e-6 {
		return a.typical
	}
	share := min(max((rate-a.rate)/(b.rate-a.rate), 0), 1)
	return a.typical + share*(b.typical-a.typical)
}
