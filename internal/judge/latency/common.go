package latency

import (
	"cmp"
	"math"
	"slices"

	"soakd/internal/judge/window"
)

// class is a class of cases.
type class struct {
	name string
	// control is what the valid cases of the other classes have in common.
	control series
}

// apart is how far a case is from its reference, in one minute.
type apart struct {
	x, weight float64
	class     string
	// limit is how far from the others it counts in full.
	limit float64
}

type scratch struct {
	cells   []cell
	placed  []placed
	apart   []apart
	points  []point
	more    []point
	touched []*traffic
}

// take takes the points of a minute in.
func (d *Detector) take(w *window.Window) {
	rate, phase := logOf(w.Rate), phaseOf(w.Phase)
	d.scratch.touched = d.scratch.touched[:0]
	for i := range w.Cases {
		wc := &w.Cases[i]
		// Errors are fast, or as slow as the time limit: neither says how long answers take.
		if wc.Times == nil || wc.Times.Count() == 0 || 2*window.Of(wc.Outcomes, window.OK) < wc.Requests() {
			continue
		}
		c := d.traffic(wc)
		if c != nil && c.add(d.now, wc.Times, rate, phase, &d.scratch.cells) {
			c.place(d.now)
			d.scratch.touched = append(d.scratch.touched, c)
		}
	}
	d.added++
	d.known = min(d.known+1, kept)
	if d.added >= max(5, d.known/8) {
		d.relearn()
		return
	}
	d.compare(d.now, d.scratch.touched)
}

// traffic returns the case of that name, nil when there are too many.
func (d *Detector) traffic(wc *window.Case) *traffic {
	if c := d.byName[wc.Name]; c != nil {
		return c
	}
	if len(d.cases) == MostCases {
		return nil
	}
	c := newTraffic(wc)
	d.byName[c.name] = c
	d.cases = append(d.cases, c)
	if d.classOf(c.class) == nil {
		k := &class{name: c.class}
		k.control.reset()
		d.classes = append(d.classes, k)
	}
	return c
}

func (d *Detector) classOf(name string) *class {
	for _, k := range d.classes {
		if k.name == name {
			return k
		}
	}
	return nil
}

// relearn makes the references and the noise anew, and compares all points with them.
func (d *Detector) relearn() {
	d.added = 0
	first := d.now - kept + 1
	for _, c := range d.cases {
		if d.held(c) {
			continue
		}
		c.learn(first, d.now-settling, &d.scratch.placed)
	}
	for m := first; m <= d.now; m++ {
		d.scratch.touched = d.scratch.touched[:0]
		for _, c := range d.cases {
			if c.place(m); known(c.raw.x[slot(m)]) {
				d.scratch.touched = append(d.scratch.touched, c)
			}
		}
		d.compare(m, d.scratch.touched)
	}
	// Within a band the level was taken out of its own points.
	stretch := float64(kept)
	for _, c := range d.cases {
		if len(c.usual) > 1 && c.spans <= sparse {
			stretch = min(stretch, float64(d.known)/float64(len(c.usual)))
		}
	}
	if !d.allOpen() {
		d.fit(&d.all, first, stretch)
	}
	for _, c := range d.cases {
		if !d.held(c) {
			d.fit(&c.raw, first, stretch)
			d.fit(&c.apart, first, stretch)
		}
	}
}

func (d *Detector) fit(s *series, first int64, stretch float64) {
	d.scratch.points = s.points(d.scratch.points[:0], first, d.now-settling)
	s.noise = fitNoise(d.scratch.points, stretch)
	s.noise.banded = 1
	if stretch < kept {
		s.noise.banded = math.Sqrt2
	}
}

// compare finds what the cases have in common in a minute, and how far each of the
// touched is apart from that.
func (d *Detector) compare(minute int64, touched []*traffic) {
	i := slot(minute)
	all := d.scratch.apart[:0]
	for _, c := range touched {
		if x := c.raw.x[i]; known(x) && !c.invalid && c.span[i] <= 2 && !d.setAside(c) {
			n := float64(c.n[i])
			all = append(all, apart{float64(x), n / (n + 200), c.class, huber * (0.02 + 0.5/math.Sqrt(n))})
		}
	}
	d.scratch.apart = all
	sortApart(all)
	d.all.x[i] = missing()
	if middle, n := center(all, ""); n > 0 {
		d.all.x[i] = float32(middle)
	}
	for _, k := range d.classes {
		k.control.x[i] = missing()
		middle, n := center(all, k.name)
		// Two others at least; in a workload of one class, what the class has in common.
		if n < 2 && len(all) >= 4 {
			middle, n = center(all, "")
		}
		if n >= 2 {
			k.control.x[i] = float32(middle)
		}
	}
	for _, c := range touched {
		c.apart.x[i] = missing()
		if !known(c.raw.x[i]) {
			continue
		}
		if control, n := d.classOf(c.class).control.mean(minute-int64(c.span[i])+1, minute); n > 0 {
			c.apart.x[i] = c.raw.x[i] - float32(control)
		}
	}
}

// huber is from how many standard deviations on a value counts as if it were no
// farther away; those are about 50 % of one request's, and 2 % of what cases have
// of their own.
const huber = 1.5

// center is what sorted values of other classes than without have in common: one step
// from their weighted median to Huber's estimate (Huber 1964), which no case can move
// far, and which has half of the noise of the median; and how many values there were.
func center(sorted []apart, without string) (middle float64, n int) {
	middle, n = weightedMedian(sorted, without)
	total, sum := 0.0, 0.0
	for _, a := range sorted {
		if without == "" || a.class != without {
			total += a.weight
			sum += a.weight * min(max(a.x-middle, -a.limit), a.limit)
		}
	}
	if n == 0 {
		return 0, 0
	}
	return middle + sum/total, n
}

// weightedMedian is the median of sorted values of other classes than without, and
// of how many.
func weightedMedian(sorted []apart, without string) (median float64, n int) {
	total := 0.0
	for _, a := range sorted {
		if without == "" || a.class != without {
			total += a.weight
			n++
		}
	}
	seen := 0.0
	for _, a := range sorted {
		if without == "" || a.class != without {
			if seen += a.weight; seen >= total/2 {
				return a.x, n
			}
		}
	}
	return 0, 0
}

func sortApart(all []apart) {
	slices.SortFunc(all, func(a, b apart) int { return cmp.Compare(a.x, b.x) })
}

func logOf(rate float64) float64 { return math.Log(max(rate, 1e-6)) }
