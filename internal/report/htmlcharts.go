package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
)

// mark draws into a chart what is known of the time itself: windows in which soakd was
// not fit are hatched, and findings are spans with their letters.
func (f frame) mark(c *chart, r *Run, points []Point) {
	c.Areas = append(c.Areas, f.unfit(points)...)
	free := 0.0 // where the next letter has room
	for i := range min(len(r.Findings), maxLetters) {
		found := &r.Findings[i]
		end := found.Ended
		if end.IsZero() {
			end = f.to
		}
		left, right := f.x(found.Onset), f.x(end)
		right = max(right, left+2)
		y := marginTop - 3
		c.Lines = append(
			c.Lines,
			shape{D: fmt.Sprintf("M%s %dH%s", short(left), y, short(right)), Class: "finding", Title: letter(i) + ": " + string(found.Kind) + " from " + when(found.Onset)},
			shape{D: fmt.Sprintf("M%s %dV%s", short(left), y, short(f.bottom())), Class: "onset"},
		)
		// The letter of one that begins with another is written beside that one's; where
		// there is no room nearby, the pointer and the table tell.
		if at := max(left, free); at < left+30 && at < f.width-9 {
			c.Labels = append(c.Labels, label{X: short(at), Y: short(marginTop - 6), Anchor: "start", Text: letter(i), Class: "letter"})
			free = at + 11
		}
	}
}

// maxLetters bounds the findings that are marked in charts: A to Z.
const maxLetters = 26

// letter names a finding in the charts; those after Z have a number.
func letter(i int) string {
	if i < maxLetters {
		return string(rune('A' + i))
	}
	return fmt.Sprint(i + 1)
}

// unfit joins windows in a row that have the same reasons.
func (f frame) unfit(points []Point) []shape {
	var list []shape
	for i := 0; i < len(points); i++ {
		if len(points[i].Unfit) == 0 {
			continue
		}
		first := i
		for i+1 < len(points) && slices.Equal(points[i+1].Unfit, points[first].Unfit) && points[i+1].Start.Sub(points[i].Start) <= f.step*3/2 {
			i++
		}
		left, right := f.x(points[first].Start), f.x(points[i].Start.Add(f.step))
		list = append(list, shape{
			D: fmt.Sprintf("M%s %dH%sV%sH%sZ", short(left), marginTop, short(right), short(f.bottom()), short(left)), Class: "hatch",
			Title: "soakd was not fit to judge from " + when(points[first].Start) + ": " + strings.Join(points[first].Unfit, ", "),
		})
	}
	return list
}

// hits say what is under the pointer, point by point.
func (f frame) hits(c *chart, points []Point, text func(p *Point) string) {
	for i := range points {
		p := &points[i]
		left := f.x(p.Start)
		c.Hits = append(c.Hits, hit{
			X: short(left), Y: short(marginTop), Width: short(max(f.x(p.Start.Add(f.step))-left, 0.5)), Height: short(f.bottom() - marginTop),
			Title: p.Start.UTC().Format("2 Jan 15:04:05Z") + " " + text(p),
		})
	}
}

func each(points []Point, value func(p *Point) float64) func(int) float64 {
	return func(i int) float64 { return value(&points[i]) }
}

// largest is the largest known value, 0 where none is.
func largest(n int, value func(int) float64) float64 {
	most := 0.0
	for i := range n {
		if v := value(i); v > most {
			most = v
		}
	}
	return most
}

// secondsOf is a time in seconds, and a gap where it is not known.
func secondsOf(d time.Duration) float64 {
	if d < 0 {
		return unknownValue()
	}
	return d.Seconds()
}

// rateOf is how many a second there were of a point.
// What is left of a window at the end of a run, below a second, has no rate: one request more
// or less would be any.
func rateOf(p *Point, n int64) float64 {
	if p.Length < time.Second {
		return unknownValue()
	}
	return float64(n) / p.Length.Seconds()
}

func perSecondText(x float64) string { return number(significant(x, 3)) + "/s" }

// rateChart shows requests a second, the rate that was aimed at, and failures.
func rateChart(r *Run, points []Point) *chart {
	f := newFrame(r, points, chartWidth, chartHeight)
	c := &chart{ID: "rate", Title: "Requests a second", Desc: "Requests that came to an end a second, and those that failed, over the time of the run.", Width: chartWidth, Height: chartHeight}
	done := each(points, func(p *Point) float64 { return rateOf(p, p.Requests) })
	failed := each(points, func(p *Point) float64 { return rateOf(p, p.Failed) })
	target := targetRate(r, points)
	s := linear(1.05 * max(largest(len(points), done), largest(len(points), target)))
	f.axes(c, s, perSecondText)
	c.Areas = append(c.Areas, shape{D: f.bars(points, s, func(i int) (float64, float64) { return 0, failed(i) }), Class: "bad"})
	if d := f.line(points, s, target); d != "" {
		c.Lines = append(c.Lines, shape{D: d, Class: "line target"})
		c.Legend = append(c.Legend, legend{"aimed at", "line target"})
	}
	c.Lines = append(c.Lines, shape{D: f.line(points, s, done), Class: "line c1"})
	c.Legend = append(c.Legend, legend{"requests", "line c1"}, legend{"failed", "bad"})
	f.mark(c, r, points)
	f.hits(c, points, func(p *Point) string {
		text := fmt.Sprintf("%d requests, %d failed", p.Requests, p.Failed)
		if rate := rateOf(p, p.Requests); !math.IsNaN(rate) {
			text = perSecondText(rate) + ", " + text
		}
		if p.Dropped > 0 {
			text += fmt.Sprintf(", %d dropped", p.Dropped)
		}
		return text
	})
	return c
}

// targetRate is the rate that was aimed at, a gap where it is not known.
func targetRate(r *Run, points []Point) func(int) float64 {
	at := map[int64]float64{}
	for _, w := range r.Windows {
		if w.Rate > 0 && r.Model != "closed" {
			at[w.Start.UnixNano()] = w.Rate
		}
	}
	return func(i int) float64 {
		if rate, known := at[points[i].Start.UnixNano()]; known {
			return rate
		}
		return unknownValue()
	}
}

// timesChart shows response times on a log axis with the thresholds of all traffic.
func timesChart(r *Run, points []Point) *chart {
	f := newFrame(r, points, chartWidth, chartHeight)
	c := &chart{ID: "times", Title: timesTitle(r), Desc: "Quantiles of the response time in each window, on a log axis, over the time of the run.", Width: chartWidth, Height: chartHeight}
	series := []struct {
		name, class string
		value       func(int) float64
	}{
		{"max", "line c4", each(points, func(p *Point) float64 { return secondsOf(p.Max) })},
		{"p99", "line c3", each(points, func(p *Point) float64 { return secondsOf(p.P99) })},
		{"p95", "line c2", each(points, func(p *Point) float64 { return secondsOf(p.P95) })},
		{"p50", "line c1", each(points, func(p *Point) float64 { return secondsOf(p.P50) })},
	}
	low, high := math.Inf(1), 0.0
	for _, one := range series {
		for i := range points {
			if v := one.value(i); v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if high == 0 {
		return nil
	}
	limits := limitsOf(r, "seconds", "")
	for _, limit := range limits {
		low, high = min(low, max(limit.Limit, low/1000)), max(high, min(limit.Limit, 1000*high))
	}
	s := logarithmic(low, high)
	f.axes(c, s, secondsText)
	for _, one := range series {
		if d := f.line(points, s, one.value); d != "" {
			c.Lines = append(c.Lines, shape{D: d, Class: one.class})
			c.Legend = append(c.Legend, legend{one.name, one.class})
		}
	}
	f.limits(c, s, limits)
	f.atLeast(c, points)
	f.mark(c, r, points)
	f.hits(c, points, timesText)
	return c
}

// timesTitle says from when times are counted where that is known.
func timesTitle(r *Run) string {
	if r.Tool == "soakd" {
		return "Response time from the intended start"
	}
	return "Response time"
}

func timesText(p *Point) string {
	var parts []string
	bound := ""
	if p.Dropped > 0 {
		bound = "≥"
	}
	for _, one := range []struct {
		name string
		at   time.Duration
	}{{"p50", p.P50}, {"p95", p.P95}, {"p99", p.P99}, {"max", p.Max}} {
		if one.at >= 0 {
			parts = append(parts, one.name+" "+bound+span(one.at))
		}
	}
	return strings.Join(parts, ", ")
}

// atLeast marks windows with dropped arrivals: their times are lower bounds.
func (f frame) atLeast(c *chart, points []Point) {
	last := math.Inf(-1)
	for i := range points {
		if points[i].Dropped == 0 {
			continue
		}
		if x := f.x(points[i].Start.Add(f.step / 2)); x > last+12 {
			last = x
			c.Labels = append(c.Labels, label{X: short(x), Y: short(marginTop + 12), Anchor: "middle", Text: "≥", Class: "letter"})
		}
	}
}

// limitsOf are the thresholds with that unit of a case, of all traffic with "", each limit once.
func limitsOf(r *Run, unit, name string) []threshold.Judged {
	var list []threshold.Judged
	for _, one := range r.Thresholds {
		of := !strings.Contains(one.Threshold, "{")
		if name != "" {
			of = strings.Contains(one.Threshold, "{case="+name+"}")
		}
		known := slices.ContainsFunc(list, func(other threshold.Judged) bool { return other.Threshold == one.Threshold })
		if of && !known && one.Unit == unit && one.Limit > 0 && len(list) < 4 {
			list = append(list, one)
		}
	}
	return list
}

// limits draws thresholds as lines with their names.
func (f frame) limits(c *chart, s scale, list []threshold.Judged) {
	for _, one := range list {
		y := f.y(s, one.Limit)
		c.Lines = append(c.Lines, shape{D: fmt.Sprintf("M%d %sH%s", marginLeft, short(y), short(f.width-marginRight)), Class: "limit", Title: shorten(oneLine(one.Threshold), 80)})
		c.Labels = append(c.Labels, label{X: short(f.width - marginRight - 2), Y: short(y - 3), Anchor: "end", Text: shorten(oneLine(one.Threshold), 30), Class: "limittext"})
	}
}

// outcomeChart stacks the outcomes of requests other than ok.
func outcomeChart(r *Run, points []Point) *chart {
	names := outcomeNames(points)
	if len(names) == 0 {
		return nil
	}
	f := newFrame(r, points, chartWidth, chartHeight)
	c := &chart{ID: "outcomes", Title: "Outcomes of requests", Desc: "Requests a second by outcome, stacked, over the time of the run.", Width: chartWidth, Height: chartHeight}
	s := linear(largest(len(points), each(points, func(p *Point) float64 { return rateOf(p, p.Requests) })))
	f.axes(c, s, perSecondText)
	below := make([]float64, len(points))
	for k, name := range names {
		class := fmt.Sprintf("area o%d", k)
		if name == window.OK {
			class = "area ok"
		}
		c.Areas = append(c.Areas, shape{Class: class, D: f.bars(points, s, func(i int) (float64, float64) {
			low := below[i]
			if n := outcomeCount(&points[i], name, names); n > 0 {
				below[i] += rateOf(&points[i], n)
			}
			return low, below[i]
		})})
		c.Legend = append(c.Legend, legend{shorten(oneLine(name), 30), class})
	}
	f.mark(c, r, points)
	f.hits(c, points, func(p *Point) string {
		var parts []string
		for _, o := range p.Outcomes[:min(len(p.Outcomes), 8)] {
			parts = append(parts, fmt.Sprintf("%s %d", shorten(oneLine(o.Name), 30), o.N))
		}
		return strings.Join(parts, ", ")
	})
	return c
}

// otherOutcomes stands for those that have no colour of their own.
const otherOutcomes = "others"

// outcomeNames are the outcomes with most failures first, then ok: at most seven, the rest in others.
func outcomeNames(points []Point) []string {
	counts := map[string]int64{}
	for i := range points {
		for _, o := range points[i].Outcomes {
			counts[o.Name] += o.N
		}
	}
	list := window.Counts(counts)
	slices.SortStableFunc(list, func(a, b window.Count) int { return cmp.Compare(b.N, a.N) })
	var names []string
	rest := false
	for _, o := range list {
		switch {
		case o.Name == window.OK:
		case len(names) < 5:
			names = append(names, o.Name)
		default:
			rest = true
		}
	}
	if rest {
		names = append(names, otherOutcomes)
	}
	if counts[window.OK] > 0 {
		names = append(names, window.OK)
	}
	return names
}

func outcomeCount(p *Point, name string, names []string) int64 {
	sum := int64(0)
	for _, o := range p.Outcomes {
		if o.Name == name || (name == otherOutcomes && !slices.Contains(names, o.Name)) {
			sum += o.N
		}
	}
	return sum
}

// errorChart shows the share of failed requests with its thresholds.
func errorChart(r *Run, points []Point) *chart {
	f := newFrame(r, points, chartWidth, chartHeight)
	c := &chart{ID: "errors", Title: "Share of failed requests", Desc: "Failed requests divided by all that came to an end in each window, over the time of the run.", Width: chartWidth, Height: chartHeight}
	share := each(points, func(p *Point) float64 { return shareOf(p.Failed, p.Requests) })
	limits := limitsOf(r, "ratio", "")
	high := largest(len(points), share)
	for _, limit := range limits {
		high = max(high, min(1, 1.2*limit.Limit))
	}
	if high == 0 {
		high = 0.01
	}
	s := linear(high)
	s.high = min(s.high, 1)
	s.ticks = slices.DeleteFunc(s.ticks, func(tick float64) bool { return tick > s.high*(1+1e-9) })
	f.axes(c, s, percentOf)
	c.Areas = append(c.Areas, shape{D: f.bars(points, s, func(i int) (float64, float64) { return 0, share(i) }), Class: "bad"})
	c.Legend = []legend{{"failed", "bad"}}
	f.limits(c, s, limits)
	f.mark(c, r, points)
	f.hits(c, points, func(p *Point) string {
		return fmt.Sprintf("%d of %d failed (%s)", p.Failed, p.Requests, percent(p.Failed, p.Requests))
	})
	return c
}

func shareOf(part, whole int64) float64 {
	if whole == 0 {
		return unknownValue()
	}
	return float64(part) / float64(whole)
}

// caseChart is a small chart of one case: its p95, with windows in which requests failed
// below. A case that was timed in one window alone, and of which none failed, has no course.
func caseChart(r *Run, points []Point, name string, id int) *chart {
	f := newFrame(r, points, smallWidth, smallHeight)
	title := shorten(oneLine(name), 48)
	c := &chart{ID: fmt.Sprintf("case-%d", id), Title: title, Desc: "p95 of the response time of this case on a log axis, and its share of failed requests as bars from below.", Width: smallWidth, Height: smallHeight}
	of := make([]*PointCase, len(points))
	for i := range points {
		if k, found := slices.BinarySearchFunc(points[i].Cases, name, func(c PointCase, name string) int { return cmp.Compare(c.Name, name) }); found {
			of[i] = &points[i].Cases[k]
		}
	}
	low, high, timed, failed := math.Inf(1), 0.0, 0, false
	p95 := func(i int) float64 {
		if of[i] == nil {
			return unknownValue()
		}
		return secondsOf(of[i].P95)
	}
	for i := range points {
		if v := p95(i); v > 0 {
			low, high = min(low, v), max(high, v)
			timed++
		}
		failed = failed || (of[i] != nil && of[i].Failed > 0)
	}
	if high == 0 || (timed == 1 && len(points) > 1 && !failed) {
		return nil
	}
	s := logarithmic(low, high)
	f.axes(c, s, secondsText)
	c.Areas = append(c.Areas, shape{Class: "bad", D: f.bars(points, linear(1), func(i int) (float64, float64) {
		if of[i] == nil || of[i].Failed == 0 {
			return 0, 0
		}
		return 0, shareOf(of[i].Failed, of[i].Requests)
	})})
	c.Lines = append(c.Lines, shape{D: f.line(points, s, p95), Class: "line c1"})
	f.limits(c, s, slices.DeleteFunc(limitsOf(r, "seconds", name), func(one threshold.Judged) bool { return !strings.HasPrefix(one.Threshold, "p95{") }))
	f.mark(c, r, points)
	return c
}
