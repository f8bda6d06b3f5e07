package simulate

import (
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

const secondsPerWindow = int(window.Short / time.Second)

// deferred are requests that were sent in earlier windows and end in later ones,
// by case: those of a target that hangs end when their time is over.
type deferred struct {
	byCase []([]int) // counts of the windows to come
}

// put lets n requests of a case end some windows later.
func (d *deferred) put(i, later, n int) {
	for len(d.byCase) <= i {
		d.byCase = append(d.byCase, nil)
	}
	for len(d.byCase[i]) < later {
		d.byCase[i] = append(d.byCase[i], 0)
	}
	d.byCase[i][later-1] += n
}

// due returns how many of a case end in this window.
func (d *deferred) due(i int) int {
	if i >= len(d.byCase) || len(d.byCase[i]) == 0 {
		return 0
	}
	n := d.byCase[i][0]
	d.byCase[i] = d.byCase[i][1:]
	return n
}

// send draws the requests of a window.
func (w *World) send(m *moment, out *window.Window) {
	total := 0.0
	for i := range w.flows {
		total += w.flows[i].weight
	}
	rate := w.rate() * m.sent
	seconds := make([]window.Second, secondsPerWindow)
	for i := range w.flows {
		f := &w.flows[i]
		n := w.traffic.poisson(rate * window.Short.Seconds() * f.weight / total)
		out.Scheduled += int64(n)
		late := w.deferred.due(i)
		if n == 0 && late == 0 {
			continue
		}
		d := drawing{w: w, m: m, f: f, i: i, seconds: seconds, failing: make([]float64, secondsPerWindow)}
		d.run(n, late)
		if c, some := d.done(); some {
			out.Cases = append(out.Cases, c)
		}
		if !f.invalid {
			m.ended += d.ended
			m.failed += d.failed
		}
	}
	out.Sent = out.Scheduled
	slices.SortFunc(out.Cases, func(a, b window.Case) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	out.Seconds = seconds
}

// drawing is the traffic of one case in one window.
type drawing struct {
	w        *World
	m        *moment
	f        *flow
	i        int
	times    histogram.Histogram
	outcomes map[string]int64
	checks   map[string]int64
	seconds  []window.Second
	// failing is the share of the requests that fails, by second.
	failing       []float64
	ok            int
	ended, failed int
}

func (d *drawing) run(n, late int) {
	good := n
	for k := range d.m.failures {
		if f := &d.m.failures[k]; f.cases(d.f) {
			good -= d.fail(f, good)
		}
	}
	if late > 0 {
		d.failure("timeout", "", late, d.f.timeout.Seconds(), share{1, 0, 1})
	}
	d.succeed(good)
}

// fail lets some of good requests fail, and returns how many.
func (d *drawing) fail(f *failure, good int) int {
	hit := d.w.traffic.binomial(good, f.share*f.when.of)
	if hit == 0 {
		return 0
	}
	if f.outcome == "timeout" {
		later := int(d.f.timeout / window.Short)
		if later > 0 {
			d.w.deferred.put(d.i, later, hit)
			return hit
		}
		d.failure(f.outcome, "", hit, d.f.timeout.Seconds(), f.when)
		return hit
	}
	d.failure(f.outcome, f.check, hit, f.takes, f.when)
	return hit
}

// failure counts n failures.
func (d *drawing) failure(outcome, check string, n int, takes float64, when share) {
	if d.outcomes == nil {
		d.outcomes = map[string]int64{}
	}
	d.outcomes[outcome] += int64(n)
	if check != "" {
		if d.checks == nil {
			d.checks = map[string]int64{}
		}
		d.checks[check] += int64(n)
	}
	d.ended += n
	d.failed += n
	for range n {
		switch {
		case takes == 0:
			d.times.Observe(d.time())
		case takes > 0:
			d.times.Observe(time.Duration(takes * 1e9 * d.w.traffic.between(1, 1.05)))
		}
		if !d.f.invalid {
			s := int(d.w.traffic.between(when.from, when.to) * float64(secondsPerWindow))
			s = min(s, secondsPerWindow-1)
			d.seconds[s].Failed++
			d.failing[s]++
		}
	}
}

// succeed counts n good answers. They do not fall into seconds in which all fails.
func (d *drawing) succeed(n int) {
	d.ok = n
	d.ended += n
	for range n {
		d.times.Observe(d.time())
	}
	if d.f.invalid || n == 0 {
		return
	}
	var open []int
	for s := range d.failing {
		if !d.m.away(d.f, s) {
			open = append(open, s)
		}
	}
	if len(open) == 0 {
		open = []int{secondsPerWindow - 1}
	}
	for range n {
		d.seconds[open[d.w.traffic.IntN(len(open))]].OK++
	}
}

// away reports whether every request of the case fails in that second.
func (m *moment) away(f *flow, second int) bool {
	from, to := float64(second)/float64(secondsPerWindow), float64(second+1)/float64(secondsPerWindow)
	for i := range m.failures {
		b := &m.failures[i]
		if b.share >= 1 && b.when.from <= from && b.when.to >= to && b.cases(f) {
			return true
		}
	}
	return false
}

// time draws one response time.
func (d *drawing) time() time.Duration {
	r := &d.w.traffic
	grid := d.w.grids[d.i]
	bits := r.Uint64()
	t := grid[bits&uint64(len(grid)-1)] * d.m.slow[d.i]
	if d.f.cached && float64(bits>>40)/(1<<24) < d.m.hitRatio*d.m.lookups {
		t *= hitFactor
	}
	for i := range d.m.tails {
		x := &d.m.tails[i]
		if x.cases(d.f) && r.Float64() < x.share {
			t *= x.factor
			if x.add > 0 {
				t += x.add * 1e9 * r.Float64()
			}
		}
	}
	return time.Duration(min(t, float64(d.f.timeout)))
}

// done returns the case of the window, and false when nothing ended.
func (d *drawing) done() (window.Case, bool) {
	if d.ended == 0 {
		return window.Case{}, false
	}
	c := window.Case{Name: d.f.name, Class: d.f.class, Invalid: d.f.invalid}
	if len(d.outcomes) == 0 {
		c.Outcomes = []window.Count{{Name: window.OK, N: int64(d.ok)}}
	} else {
		d.outcomes[window.OK] += int64(d.ok)
		c.Outcomes, c.Checks = window.Counts(d.outcomes), window.Counts(d.checks)
	}
	if d.times.Count() > 0 {
		times := d.times
		c.Times = &times
	}
	return c, true
}
