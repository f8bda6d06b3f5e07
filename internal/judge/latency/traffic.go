package latency

import (
	"cmp"
	"math"
	"slices"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

const (
	// enough is how many requests make a point. A case that has fewer in a minute
	// gets a point for several; at most longest minutes, and at least few requests.
	enough  = 30
	few     = 10
	longest = 60
	// sparse is from how many minutes a point on a case is compared in wide bands.
	sparse = 4
)

// traffic is one case: its points, their reference, and how far they are apart from it.
type traffic struct {
	name, class string
	invalid     bool
	typical     [kept]float32
	median      [kept]float32
	rate        [kept]float32 // logarithm of arrivals a second in all
	n           [kept]uint32
	span        [kept]uint8 // minutes that the point stands for
	phase       [kept]int8
	// spans is the mean of the spans, of late.
	spans  float64
	usual  levels
	waits  pending
	tail   tail
	raw    series // distance from the reference
	apart  series // the same, less that of the traffic of other classes
	latest int64  // the minute of the latest point
	ended  int64  // the minute in which its last change was over
}

// pending are requests that do not make a point yet.
type pending struct {
	times   histogram.Histogram
	minutes int
	first   int64
	rate    float64
	phase   int8
}

func newTraffic(c *window.Case) *traffic {
	t := &traffic{name: c.Name, class: c.Class, invalid: c.Invalid}
	t.raw.reset()
	t.apart.reset()
	for i := range t.typical {
		t.typical[i] = missing()
	}
	return t
}

func (c *traffic) clear(minute int64) {
	c.typical[slot(minute)] = missing()
	c.n[slot(minute)] = 0
	c.raw.clear(minute)
	c.apart.clear(minute)
}

// phaseOf numbers the phases that a rate may be in.
func phaseOf(name string) int8 {
	switch name {
	case "", "steady":
		return 0
	case "rising":
		return 1
	case "falling":
		return 2
	}
	return 3
}

// add takes a minute's times in, and reports whether that made a point.
func (c *traffic) add(minute int64, times *histogram.Histogram, rate float64, phase int8, buckets *[]cell) bool {
	p := &c.waits
	if p.minutes > 0 && (phase != p.phase || minute-p.first >= longest) {
		*p = pending{} // too old, or not alike
	}
	if p.minutes == 0 {
		p.first, p.phase = minute, phase
	}
	p.minutes++
	p.rate += (rate - p.rate) / float64(p.minutes)
	h := times
	if p.minutes > 1 || times.Count() < enough {
		p.times.Merge(times)
		h = &p.times
	}
	span := minute - p.first + 1
	if h.Count() < enough && (span < longest || h.Count() < few) {
		return false
	}
	f := measure(h, buckets)
	i := slot(minute)
	c.typical[i], c.median[i], c.rate[i] = float32(f.typical), float32(f.median), float32(p.rate)
	c.n[i], c.span[i], c.phase[i] = uint32(f.n), uint8(span), phase
	if c.spans == 0 {
		c.spans = float64(span)
	}
	c.spans += (float64(span) - c.spans) / 16
	c.latest = minute
	c.tail.add(minute, int(span), &f, bandKey(phase, p.rate, wide))
	*p = pending{}
	return true
}

func (c *traffic) width() float64 {
	if c.spans > sparse {
		return wide
	}
	return narrow
}

// place compares the point of a minute with its reference.
func (c *traffic) place(minute int64) {
	i := slot(minute)
	c.raw.x[i] = missing()
	if !known(c.typical[i]) {
		return
	}
	if usual, _, ok := c.usual.usual(c.phase[i], float64(c.rate[i]), c.width()); ok {
		c.raw.x[i] = float32(float64(c.typical[i]) - usual)
	}
}

// placed is a point with its band.
type placed struct {
	key           int32
	span          uint8
	typical, rate float32
}

// learn makes the reference anew from the points of the minutes from..to.
func (c *traffic) learn(from, to int64, work *[]placed) {
	all := (*work)[:0]
	width := c.width()
	for m := from; m <= to; m++ {
		if i := slot(m); known(c.typical[i]) {
			all = append(all, placed{bandKey(c.phase[i], float64(c.rate[i]), width), c.span[i], c.typical[i], c.rate[i]})
		}
	}
	*work = all
	slices.SortFunc(all, func(a, b placed) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.typical, b.typical)) })
	least := 10
	if c.spans > sparse {
		least = 4
	}
	c.usual = c.usual[:0]
	for first := 0; first < len(all); {
		next := first
		l := level{key: all[first].key, highest: math.Inf(-1)}
		for ; next < len(all) && all[next].key == l.key; next++ {
			l.rate += float64(all[next].rate)
			l.highest = max(l.highest, float64(all[next].rate))
			l.minutes += int(all[next].span)
		}
		l.points = next - first
		l.rate /= float64(l.points)
		l.typical = float64(all[first+l.points/2].typical+all[first+(l.points-1)/2].typical) / 2
		if l.points >= least {
			c.usual = append(c.usual, l)
		}
		first = next
	}
}

// level is how far the case is from its reference of late.
func (c *traffic) level(now int64) (float64, bool) {
	back := int64(max(10, math.Ceil(3*c.spans)))
	mean, n := c.raw.mean(now-back+1, now)
	return mean, n >= 3 && now-c.latest <= back
}

// judgedBy is the series that tells changes of this case best: apart from others
// where there are others, else by itself.
func (c *traffic) judgedBy() (s *series, alone bool) {
	if c.apart.noise.ok {
		return &c.apart, false
	}
	return &c.raw, true
}
