package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// chart is a picture over time as the page's template writes it. Its own code, because
// what libraries for charts offer in Go draws each with a size, fonts and colours of its
// own, that neither follow the page's colours nor stay within its size.
type chart struct {
	// ID is unique in the page, Title and Desc are read to those who do not see it.
	ID, Title, Desc string
	Width, Height   int
	// Legend explains the lines.
	Legend []legend
	// Grid, Areas, Lines and Marks are drawn in this order; Hits are invisible and say
	// what is under the pointer.
	Grid, Areas, Lines []shape
	Labels             []label
	Hits               []hit
}

// legend is one entry; Class is that of its line.
type legend struct{ Name, Class string }

// D is the sample beside the name: a line, or a field.
func (l legend) D() string {
	if strings.HasPrefix(l.Class, "line") {
		return "M0 5H22"
	}
	return "M1 1H21V9H1Z"
}

// shape is a path with its class; Title is shown under the pointer.
type shape struct{ D, Class, Title string }

// label is text in a chart.
type label struct {
	X, Y         string
	Anchor, Text string
	Class        string
}

// hit is a field that says what is under the pointer.
type hit struct{ X, Y, Width, Height, Title string }

// The size of a chart in units of its own, and what its axes take of it.
const (
	chartWidth   = 600
	chartHeight  = 210
	smallWidth   = 300
	smallHeight  = 120
	marginLeft   = 58
	marginRight  = 10
	marginTop    = 18
	marginBottom = 22
)

// frame is where in a chart its field lies and the time that it shows.
type frame struct {
	width, height float64
	from, to      time.Time
	// step is the length of a point: points further apart have a gap between them.
	step time.Duration
}

// newFrame shows the points of a run from its start on.
func newFrame(r *Run, points []Point, width, height float64) frame {
	f := frame{width: width, height: height, from: r.Start, to: r.Start.Add(r.Elapsed), step: stepOf(points)}
	if len(points) > 0 {
		first, last := points[0], points[len(points)-1]
		if r.Start.IsZero() || first.Start.Before(f.from) {
			f.from = first.Start
		}
		if end := last.Start.Add(max(last.Length, f.step)); end.After(f.to) {
			f.to = end
		}
	}
	if !f.to.After(f.from) {
		f.to = f.from.Add(time.Second)
	}
	return f
}

// stepOf is the least distance of two points, or the length of the only one.
func stepOf(points []Point) time.Duration {
	if len(points) == 0 {
		return time.Second
	}
	step := time.Duration(math.MaxInt64)
	for i := 1; i < len(points); i++ {
		if d := points[i].Start.Sub(points[i-1].Start); d > 0 {
			step = min(step, d)
		}
	}
	if step == math.MaxInt64 {
		step = points[0].Length
	}
	return max(step, time.Millisecond)
}

// x is where a moment is, within the field.
func (f frame) x(t time.Time) float64 {
	share := float64(t.Sub(f.from)) / float64(f.to.Sub(f.from))
	return marginLeft + min(max(share, 0), 1)*(f.width-marginLeft-marginRight)
}

// bottom is where the field ends below.
func (f frame) bottom() float64 { return f.height - marginBottom }

// scale says how high in the field a value is, 0..1, and where its ticks are.
type scale struct {
	low, high float64
	log       bool
	ticks     []float64
}

// linear is a scale from 0 to at least high, with 3 to 6 round ticks.
func linear(high float64) scale {
	if high <= 0 || math.IsNaN(high) || math.IsInf(high, 0) {
		high = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, part := range []float64{0.2, 0.5, 1, 2} {
		if high/(step*part) <= 5 {
			step *= part
			break
		}
	}
	s := scale{}
	for n := 0.0; ; n++ {
		s.ticks = append(s.ticks, n*step)
		if n*step >= high*(1-1e-9) {
			s.high = n * step
			return s
		}
	}
}

// logarithmic is a scale whose ends are 1, 2 or 5 times a power of ten; its ticks are
// powers of ten, of less than two decades 2 and 5 times these too.
func logarithmic(low, high float64) scale {
	low = math.Max(low, 1e-6)
	high = math.Max(high, low*2)
	s := scale{log: true}
	parts := []float64{1, 2, 5}
	for exponent := math.Floor(math.Log10(low)); exponent <= math.Ceil(math.Log10(high)); exponent++ {
		for _, part := range parts {
			tick := part * math.Pow(10, exponent)
			switch {
			case tick <= low*(1+1e-9):
				s.low, s.ticks = tick, []float64{tick}
				continue
			case s.high == 0:
				s.ticks = append(s.ticks, tick)
			}
			if s.high == 0 && tick >= high*(1-1e-9) {
				s.high = tick
			}
		}
	}
	if s.high > 50*s.low {
		s.ticks = slices.DeleteFunc(s.ticks, func(tick float64) bool {
			exponent := math.Log10(tick)
			return math.Abs(exponent-math.Round(exponent)) > 1e-6
		})
	}
	return s
}

// share is how high a value is, 0 at the bottom and 1 at the top.
func (s scale) share(v float64) float64 {
	if s.log {
		v = math.Log(math.Max(v, s.low)/s.low) / math.Log(s.high/s.low)
	} else {
		v = (v - s.low) / (s.high - s.low)
	}
	return min(max(v, 0), 1)
}

func (f frame) y(s scale, v float64) float64 {
	return f.bottom() - s.share(v)*(f.bottom()-marginTop)
}

// unknownValue is the value of a point of which nothing is known: a gap.
func unknownValue() float64 { return math.NaN() }

// line is a path through the values of the points. It breaks where one is not known and
// where points are missing; a value alone is a dash.
func (f frame) line(points []Point, s scale, value func(i int) float64) string {
	var b strings.Builder
	open, alone := false, false
	var last time.Time
	for i := range points {
		v := value(i)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			open = false
			continue
		}
		if open && points[i].Start.Sub(last) > f.step*3/2 {
			open = false
		}
		if !open && alone {
			b.WriteString("m-1.5 0h3")
		}
		x, y := short(f.x(points[i].Start.Add(f.step/2))), short(f.y(s, v))
		command := "L"
		if !open {
			command = "M"
		}
		b.WriteString(command + x + " " + y)
		alone, open, last = !open, true, points[i].Start
	}
	if alone {
		b.WriteString("m-1.5 0h3")
	}
	return b.String()
}

// bars is a path of a bar a point from the value below to the one above.
func (f frame) bars(points []Point, s scale, value func(i int) (low, high float64)) string {
	var b strings.Builder
	for i := range points {
		low, high := value(i)
		if !(high > low) {
			continue
		}
		left, right := f.x(points[i].Start), f.x(points[i].Start.Add(f.step))
		top, bottom := f.y(s, high), f.y(s, low)
		fmt.Fprintf(&b, "M%s %sH%sV%sH%sZ", short(left), short(bottom), short(right), short(min(top, bottom-0.7)), short(left))
	}
	return b.String()
}

// short writes a coordinate to a tenth.
func short(x float64) string { return strconv.FormatFloat(math.Round(10*x)/10, 'f', -1, 64) }

// axes draws both axes of a chart; unit writes a tick.
func (f frame) axes(c *chart, s scale, unit func(float64) string) {
	var grid strings.Builder
	for _, tick := range s.ticks {
		y := f.y(s, tick)
		fmt.Fprintf(&grid, "M%d %sH%s", marginLeft, short(y), short(f.width-marginRight))
		c.Labels = append(c.Labels, label{X: short(marginLeft - 5), Y: short(y + 4), Anchor: "end", Text: unit(tick)})
	}
	most := 6
	if f.width < chartWidth {
		most = 3
	}
	step, layout := timeStep(f.to.Sub(f.from), most)
	for at := f.from.UTC().Truncate(step); !at.After(f.to); at = at.Add(step) {
		if at.Before(f.from) {
			continue
		}
		x := f.x(at)
		fmt.Fprintf(&grid, "M%s %sv4", short(x), short(f.bottom()))
		anchor := "middle"
		if x > f.width-marginRight-20 {
			anchor = "end"
		}
		c.Labels = append(c.Labels, label{X: short(x), Y: short(f.height - 5), Anchor: anchor, Text: at.Format(layout)})
	}
	c.Grid = append(c.Grid, shape{D: grid.String(), Class: "grid"})
}

// timeStep is the distance of ticks that gives at most so many, and how they are written.
func timeStep(length time.Duration, most int) (step time.Duration, layout string) {
	const day = 24 * time.Hour
	for _, step = range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 28 * day,
	} {
		if length/step < time.Duration(most) {
			break
		}
	}
	for length/step >= time.Duration(most) {
		step *= 2
	}
	switch {
	case step < time.Minute:
		return step, "15:04:05"
	case step < day:
		return step, "15:04"
	}
	return step, "2 Jan"
}
