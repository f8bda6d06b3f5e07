package latency

import "math"

// whitened are points freed of what each takes over from the one before, so that
// what is left is independent and of variance 1: least squares on it are
// generalised least squares on the points.
type whitened struct {
	points []point
	// keep[i] is the share that point i takes over from the one before, scale[i] what
	// the rest is multiplied with.
	keep, scale []float64
	// x and one are the points and a constant, whitened.
	x, one []float64
}

func whiten(points []point, n *noise) *whitened {
	size := len(points)
	all := make([]float64, 4*size)
	w := &whitened{points: points, keep: all[:size], scale: all[size : 2*size], x: all[2*size : 3*size], one: all[3*size:]}
	for i, p := range points {
		if i > 0 && n.phi > 0 {
			w.keep[i] = math.Pow(n.phi, (p.t-points[i-1].t)/n.step)
		}
		w.scale[i] = 1 / (n.spread * math.Sqrt(1-w.keep[i]*w.keep[i]))
		w.x[i], w.one[i] = p.x*w.scale[i], w.scale[i]
		if i > 0 {
			w.x[i] -= w.keep[i] * points[i-1].x * w.scale[i]
			w.one[i] -= w.keep[i] * w.scale[i]
		}
	}
	return w
}

// fitted is a constant plus a multiple of a shape.
type fitted struct {
	// size is the multiple, z how many of its standard errors it is. z^2 / 2 is by how
	// much the logarithm of the likelihood is above that of the constant alone.
	size, z float64
	// base is the constant.
	base float64
}

// fit fits a constant plus a multiple of a shape of time to the points.
func (w *whitened) fit(shape func(t float64) float64) fitted {
	var all sums
	before := 0.0
	for i := range w.points {
		now := shape(w.points[i].t)
		s := (now - w.keep[i]*before) * w.scale[i]
		before = now
		o, x := w.one[i], w.x[i]
		all.oo += o * o
		all.os += o * s
		all.ss += s * s
		all.ox += o * x
		all.sx += s * x
	}
	return all.fitted()
}

func stepAt(at float64) func(float64) float64 {
	return func(t float64) float64 {
		if t >= at {
			return 1
		}
		return 0
	}
}

func slopeFrom(at float64) func(float64) float64 {
	return func(t float64) float64 { return max(0, t-at) }
}

// change is a shape with its moment.
type change struct {
	fitted
	// at is the first point of the new level, or the last before the slope begins;
	// with 95 % confidence it happened after the point at low, and at high at the latest.
	at, low, high float64
}

// likely is by how much z^2 may fall short of the best one for a moment that is
// still in the interval of 95 % (Wilks 1938: the quantile of chi-squared with one
// degree of freedom).
const likely = 3.84

// sums are what [whitened.fit] adds up, for the shapes of one kind of every moment.
type sums struct{ oo, os, ss, ox, sx float64 }

// fitted solves the normal equations.
func (s *sums) fitted() fitted {
	rest := s.ss - s.os*s.os/s.oo // what of the shape is no constant
	if rest <= 1e-12*s.ss || s.oo == 0 {
		return fitted{}
	}
	size := (s.sx - s.os*s.ox/s.oo) / rest
	return fitted{size: size, z: size * math.Sqrt(rest), base: (s.ox - size*s.os) / s.oo}
}

// bestStep searches the moment for which a step up fits best, among the points first..last.
//
// A step at point i is, whitened, the constant at each point after i, and scale[i] at
// i itself; so the sums from the end serve all moments.
func (w *whitened) bestStep(first, last int) change {
	gains := make([]fitted, len(w.points))
	var total, after sums
	for i := range w.points {
		total.oo += w.one[i] * w.one[i]
		total.ox += w.one[i] * w.x[i]
	}
	for i := len(w.points) - 1; i >= first; i-- {
		o, x, scale := w.one[i], w.x[i], w.scale[i]
		now := sums{oo: total.oo, ox: total.ox, os: after.oo + o*scale, ss: after.oo + scale*scale, sx: after.ox + x*scale}
		gains[i] = now.fitted()
		after.oo += o * o
		after.ox += o * x
	}
	return w.likeliest(gains, first, last)
}

// bestSlope is the same for a slope that begins at a point: at each point after i it
// is, whitened, the time itself less the constant times that of point i.
func (w *whitened) bestSlope(first, last int) change {
	gains := make([]fitted, len(w.points))
	if len(w.points) == 0 {
		return change{}
	}
	var total sums
	for i := range w.points {
		total.oo += w.one[i] * w.one[i]
		total.ox += w.one[i] * w.x[i]
	}
	// Times count from the end, so that the sums keep their digits.
	end := w.points[len(w.points)-1].t
	var oo, ou, uu, ox, ux float64
	for i := len(w.points) - 1; i >= first; i-- {
		begin := w.points[i].t - end
		now := sums{oo: total.oo, ox: total.ox, os: ou - begin*oo, ss: uu - 2*begin*ou + begin*begin*oo, sx: ux - begin*ox}
		gains[i] = now.fitted()
		o, x, u := w.one[i], w.x[i], begin*w.scale[i]
		if i > 0 {
			u -= w.keep[i] * (w.points[i-1].t - end) * w.scale[i]
		}
		oo += o * o
		ou += o * u
		uu += u * u
		ox += o * x
		ux += u * x
	}
	return w.likeliest(gains, first, last)
}

// likeliest is the best of the fits that go up, and for which other moments it may
// be as well.
func (w *whitened) likeliest(fits []fitted, first, last int) change {
	best := change{}
	for i := first; i <= last; i++ {
		if fits[i].size > 0 && fits[i].z > best.z {
			best.fitted, best.at = fits[i], w.points[i].t
		}
	}
	best.low, best.high = best.at, best.at
	for i := first; i <= last; i++ {
		if f := &fits[i]; f.size > 0 && f.z > 0 && f.z*f.z >= best.z*best.z-likely {
			best.low, best.high = min(best.low, w.points[max(0, i-1)].t), max(best.high, w.points[i].t)
		}
	}
	return best
}

// without returns the points but for one.
func without(points []point, t float64) []point {
	rest := make([]point, 0, len(points))
	for _, p := range points {
		if p.t != t {
			rest = append(rest, p)
		}
	}
	return rest
}

// burst is the last stretch first..next-1 of points from a moment on that fell back at
// its end: by more than limit standard errors in one point, or in two that follow one
// another, when a fit is taken out. next is 0 when there is none.
func (w *whitened) burst(f fitted, shape func(t float64) float64, from, limit float64) (first, next int) {
	before, last := 0.0, 0.0
	for i, p := range w.points {
		now := shape(p.t)
		rest := w.x[i] - f.base*w.one[i] - f.size*(now-w.keep[i]*before)*w.scale[i]
		before = now
		switch {
		case p.t <= from:
		case rest < -limit:
			next = i
		case (rest+last)/math.Sqrt2 < -limit:
			next = i
			if last < rest && w.points[i-1].t > from {
				next = i - 1
			}
		}
		last = rest
	}
	if next == 0 {
		return 0, 0
	}
	// It goes back as far as points are nearer to its height than to what came after it,
	// before the next one; the minute in which it began is partly its own.
	after := min(w.points[next].x, meanOf(w.points[next:min(next+3, len(w.points))]))
	height := max(w.points[next-1].x, w.points[max(next-2, 0)].x) - after
	for first = next; first > 0 && (first == next || w.points[first-1].x > after+height/2); {
		first--
	}
	return max(first-1, 0), next
}
