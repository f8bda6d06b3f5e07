package latency

import (
	"math"
	"math/rand/v2"
	"testing"
)

// autoregressive are points a minute apart, some of them missing.
func autoregressive(random *rand.Rand, n int, phi, sigma, missing float64) []point {
	var points []point
	x := sigma / math.Sqrt(1-phi*phi) * random.NormFloat64()
	for i := range n {
		if random.Float64() >= missing {
			points = append(points, point{float64(29_000_000 + i), x})
		}
		x = phi*x + sigma*random.NormFloat64()
	}
	return points
}

// The sums that serve all moments give what the fit of each moment gives.
func TestBestIsTheBestOfAllFits(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		points := autoregressive(random, 60+random.IntN(100), 0.9, 0.02, 0.2)
		n := noise{phi: 0.85, step: 1, sigma: 0.02, spread: 0.02 / math.Sqrt(1-0.85*0.85), ok: true}
		w := whiten(points, &n)
		for _, kind := range []struct {
			shape func(float64) func(float64) float64
			best  change
		}{{stepAt, w.bestStep(10, len(points)-3)}, {slopeFrom, w.bestSlope(10, len(points)-3)}} {
			var want fitted
			at := 0.0
			for i := 10; i <= len(points)-3; i++ {
				if f := w.fit(kind.shape(points[i].t)); f.size > 0 && f.z > want.z {
					want, at = f, points[i].t
				}
			}
			got := kind.best
			if got.at != at || math.Abs(got.z-want.z) > 1e-6 || math.Abs(got.size-want.size) > 1e-6 || math.Abs(got.base-want.base) > 1e-6 {
				t.Errorf("%+v, want %+v at %v", got, want, at)
			}
		}
	}
}

// The noise that is fitted is the noise that there is: of white noise, of noise with a
// memory of 10 points, and with points missing. The correlation is believed to be a
// little more than it is, on purpose.
func TestNoiseIsRecovered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ phi, sigma, missing float64 }{{0, 0.03, 0}, {0.5, 0.03, 0}, {0.9, 0.02, 0}, {0.9, 0.02, 0.2}, {0.9, 0.5, 0}} {
		const runs = 40
		var phi, sigma, spread, long float64
		for seed := range uint64(runs) {
			n := fitNoise(autoregressive(rand.New(rand.NewPCG(seed, 3)), kept, c.phi, c.sigma, c.missing), kept)
			if !n.ok || n.step != 1 {
				t.Fatalf("%+v", n)
			}
			phi += n.phi / runs
			sigma += n.sigma / runs
			spread += n.spread / runs
			long += n.long / runs
		}
		near := func(what string, got, want, below, above float64) {
			if got < want*below || got > want*above {
				t.Errorf("%+v: %s is %.4f, and was %.4f", c, what, got, want)
			}
		}
		if phi < c.phi || phi > c.phi+0.07 {
			t.Errorf("%+v: phi is %.3f", c, phi)
		}
		near("sigma", sigma, c.sigma, 0.93, 1.1)
		near("spread", spread, c.sigma/math.Sqrt(1-c.phi*c.phi), 0.93, 1.35)
		near("long", long, c.sigma/(1-c.phi), 0.9, 1.5)
	}
}

// Too little is no noise, and outliers and a level of long ago do not count as noise.
func TestNoiseIsRobust(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	points := autoregressive(random, kept, 0.8, 0.02, 0)
	if n := fitNoise(points[:leastPoints-1], kept); n.ok {
		t.Errorf("%d points gave %+v", leastPoints-1, n)
	}
	clean := fitNoise(points, kept)
	for i := range points {
		if i%360 < 4 {
			points[i].x += 0.26
		}
		if i >= 700 {
			points[i].x += 0.5
		}
	}
	if n := fitNoise(points, kept); n.sigma > 1.3*clean.sigma || n.long > 1.6*clean.long {
		t.Errorf("%+v with bursts and a step, %+v without", n, clean)
	}
}

// planted adds a shape to noise and fits shapes, many times.
func planted(size float64, shape func(float64) func(float64) float64, fit func(*whitened) change) (fits []change, at float64) {
	const phi, sigma, onset = 0.9, 0.02, 200
	n := noise{phi: phi, step: 1, sigma: sigma, spread: sigma / math.Sqrt(1-phi*phi), ok: true}
	for seed := range uint64(200) {
		points := autoregressive(rand.New(rand.NewPCG(seed, 5)), 300, phi, sigma, 0)
		at = points[onset].t
		for i := range points {
			points[i].x += 0.3 + size*shape(at)(points[i].t)
		}
		fits = append(fits, fit(whiten(points, &n)))
	}
	return fits, at
}

// A planted step is found where it is, as large as it is, and no surer than it is.
func TestStepIsRecovered(t *testing.T) {
	t.Parallel()
	fits, at := planted(0.2, stepAt, func(w *whitened) change { return w.bestStep(12, 290) })
	exact, covered, within, mean := 0, 0, 0, 0.0
	for _, f := range fits {
		mean += f.size / float64(len(fits))
		if f.at == at {
			exact++
		}
		if f.low < at && f.high >= at {
			covered++
		}
		if math.Abs(f.size-0.2) < 2*f.size/f.z {
			within++
		}
	}
	if exact < 190 || covered < 190 || within < 180 || math.Abs(mean-0.2) > 0.006 {
		t.Errorf("of 200: %d exact, %d in the interval, %d within two standard errors; %.4f on average", exact, covered, within, mean)
	}
	fits, _ = planted(0, stepAt, func(w *whitened) change { return w.bestStep(12, 290) })
	high := 0
	for _, f := range fits {
		if f.z > 4 {
			high++
		}
	}
	if high > 4 {
		t.Errorf("%d of 200 without a step have more than 4 standard errors", high)
	}
}

// The same of a slope.
func TestSlopeIsRecovered(t *testing.T) {
	t.Parallel()
	const size = 0.01
	fits, at := planted(size, slopeFrom, func(w *whitened) change { return w.bestSlope(0, 290) })
	near, covered, mean := 0, 0, 0.0
	for _, f := range fits {
		mean += f.size / float64(len(fits))
		if math.Abs(f.at-at) <= 15 {
			near++
		}
		if f.low <= at && f.high >= at {
			covered++
		}
	}
	if near < 180 || covered < 180 || math.Abs(mean-size) > 0.001 {
		t.Errorf("of 200: %d within 15 minutes, %d in the interval; %.5f on average", near, covered, mean)
	}
}

// With the points, size and base scale, and z and the moment stay; a shift only moves
// the base.
func TestFitsShiftAndScale(t *testing.T) {
	t.Parallel()
	points := autoregressive(rand.New(rand.NewPCG(6, 6)), 200, 0.9, 0.02, 0.1)
	n := fitNoise(points, kept)
	changed := make([]point, len(points))
	for i, p := range points {
		changed[i] = point{p.t + 5000, 3*p.x + 7}
	}
	m := n
	m.sigma, m.spread, m.long = 3*n.sigma, 3*n.spread, 3*n.long
	a, b := whiten(points, &n), whiten(changed, &m)
	for _, pair := range [][2]change{{a.bestStep(5, len(points)-3), b.bestStep(5, len(points)-3)}, {a.bestSlope(5, len(points)-3), b.bestSlope(5, len(points)-3)}} {
		want, got := pair[0], pair[1]
		if math.Abs(got.z-want.z) > 1e-6 || math.Abs(got.size-3*want.size) > 1e-6 || math.Abs(got.base-3*want.base-7) > 1e-6 || got.at != want.at+5000 {
			t.Errorf("%+v, want %+v scaled", got, want)
		}
	}
}

// What all have in common goes with all, and hardly with one that is far away.
func TestCenter(t *testing.T) {
	t.Parallel()
	list := func(xs ...float64) (all []apart) {
		for _, x := range xs {
			all = append(all, apart{x: x, weight: 1, class: "a", limit: 0.05})
		}
		return all
	}
	for _, c := range []struct {
		of   []apart
		want float64
	}{
		{list(0.2), 0.2},
		{list(0.1, 0.1, 0.1), 0.1},
		{list(-0.01, 0, 0.02), 0.01 / 3},
		{list(0, 0, 0, 0, 5), 0.01},
	} {
		if got, n := center(c.of, ""); math.Abs(got-c.want) > 1e-12 || n != len(c.of) {
			t.Errorf("%v of %d, want %v of %d", got, n, c.want, len(c.of))
		}
	}
	if _, n := center(list(1, 2), "a"); n != 0 {
		t.Errorf("%d of other classes", n)
	}
}
