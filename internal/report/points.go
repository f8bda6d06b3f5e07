package report

import (
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// Points returns windows in figures, as they are drawn.
func Points(windows []*window.Window) []Point {
	points := make([]Point, len(windows))
	for i, w := range windows {
		points[i] = pointOf(w)
	}
	return points
}

func pointOf(w *window.Window) Point {
	p := Point{Start: w.Start, Length: w.Length, Dropped: w.Dropped, Unfit: w.Unfit}
	if w.Covered > 0 {
		p.Length = w.Covered
	}
	var all histogram.Histogram
	outcomes := map[string]int64{}
	for i := range w.Cases {
		c := &w.Cases[i]
		one := PointCase{Name: c.Name, Requests: c.Requests(), Failed: c.Failed()}
		one.P50, one.P95, one.P99, _ = quantilesOf(c.Times)
		p.Cases = append(p.Cases, one)
		p.Requests += one.Requests
		p.Failed += one.Failed
		if c.Times != nil {
			all.Merge(c.Times)
		}
		for _, o := range c.Outcomes {
			outcomes[o.Name] += o.N
		}
	}
	p.Outcomes = window.Counts(outcomes)
	p.P50, p.P95, p.P99, p.Max = quantilesOf(&all)
	return p
}

// quantilesOf returns times below 0 where there are none.
func quantilesOf(h *histogram.Histogram) (p50, p95, p99, longest time.Duration) {
	if h == nil || h.Count() == 0 {
		return -1, -1, -1, -1
	}
	return h.Quantile(0.5), h.Quantile(0.95), h.Quantile(0.99), h.Max()
}
