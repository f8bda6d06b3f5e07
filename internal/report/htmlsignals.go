package report

import (
	"cmp"
	"fmt"
	"slices"

	"soakd/internal/judge/window"
)

// panel is a chart of signals that belong together and have one unit: "", "ratio",
// "bytes", "seconds", or "per second" of counters.
type panel struct {
	title, unit string
	names       []string
}

// panels are the signals that the page shows beside the traffic, in this order. Those
// that a run does not have are left out.
func panels() []panel {
	return []panel{
		{"Postgres: connections", "", []string{"soakd_postgres_backends", "soakd_postgres_connections", "soakd_postgres_max_connections"}},
		{"Postgres: saturation of connections", "ratio", []string{"soakd_postgres_connection_saturation_ratio"}},
		{"Postgres: sessions that wait for a lock", "", []string{"soakd_postgres_blocked_backends"}},
		{"Postgres: oldest transaction and query", "seconds", []string{"soakd_postgres_oldest_transaction_seconds", "soakd_postgres_oldest_query_seconds"}},
		{"Redis: hit ratio", "ratio", []string{"soakd_redis_keyspace_hit_ratio"}},
		{"Redis: memory", "bytes", []string{"soakd_redis_memory_used_bytes", "soakd_redis_memory_limit_bytes"}},
		{"Redis: evictions", "per second", []string{"soakd_redis_evicted_keys_total"}},
		{"Redis: clients", "", []string{"soakd_redis_connected_clients", "soakd_redis_blocked_clients"}},
		{"API: CPU time a second", "per second", []string{"soakd_api_cpu_seconds_total", "soakd_api_cpu_throttled_seconds_total"}},
		{"API: memory", "bytes", []string{"soakd_api_resident_memory_bytes", "soakd_api_memory_working_set_bytes", "soakd_api_heap_bytes"}},
		{"API: threads and goroutines", "", []string{"soakd_api_threads", "soakd_api_goroutines", "soakd_api_thread_pool_busy_threads", "soakd_api_thread_pool_queued_tasks"}},
		{"API: its database pool", "", []string{"soakd_api_pool_connections"}},
		{"API: open files", "", []string{"soakd_api_open_fds"}},
	}
}

// maxSeries bounds the lines of a chart.
const maxSeries = 6

// signalCharts draws the panels that the windows have signals for.
func signalCharts(r *Run, points []Point) []*chart {
	var charts []*chart
	for i, p := range panels() {
		if c := signalChart(r, points, p, i); c != nil {
			charts = append(charts, c)
		}
	}
	return charts
}

// series is one line: what each window had of a signal.
type series struct {
	// id is how it is written, cut where it is long.
	id, name, labels string

	values []float64
	most   float64
}

func signalChart(r *Run, points []Point, p panel, id int) *chart {
	list := seriesOf(r.Windows, p.names)
	if len(list) == 0 {
		return nil
	}
	f := newFrame(r, points, chartWidth, chartHeight)
	f.step = r.Windows[0].Length
	at := make([]Point, len(r.Windows))
	for i, w := range r.Windows {
		at[i] = Point{Start: w.Start, Length: w.Length, Unfit: w.Unfit}
	}
	c := &chart{ID: fmt.Sprintf("signal-%d", id), Title: p.title, Desc: "What the probes read over the time of the run. What could not be read is a gap.", Width: chartWidth, Height: chartHeight}
	high := 0.0
	for _, one := range list {
		high = max(high, one.most)
	}
	s := linear(high)
	if p.unit == "bytes" {
		s = inBytes(high)
	}
	f.axes(c, s, unitText(p.unit))
	names := legendNames(list)
	shown := list[:min(len(list), maxSeries)]
	for len(list) > maxSeries && len(shown) > 1 && shown[len(shown)-1].most == 0 { // which there are more of, not drawn
		shown = shown[:len(shown)-1]
	}
	for k, one := range shown {
		class := fmt.Sprintf("line c%d", k+1)
		c.Lines = append(c.Lines, shape{D: f.line(at, s, func(i int) float64 { return one.values[i] }), Class: class, Title: one.id})
		c.Legend = append(c.Legend, legend{names[k], class})
	}
	if more := len(list) - len(shown); more > 0 {
		c.Legend = append(c.Legend, legend{fmt.Sprintf("%d more, none above these, are not drawn", more), ""})
	}
	f.mark(c, r, at)
	return c
}

// seriesOf collects signals by name, those with the largest values first.
func seriesOf(windows []*window.Window, names []string) []series {
	found := map[string]*series{}
	for _, name := range names {
		for i, w := range windows {
			for _, signal := range w.Named(name) {
				value, known := signalValue(&signal, w)
				if !known {
					continue
				}
				one := found[signal.ID()]
				if one == nil {
					one = &series{id: shorten(oneLine(signal.ID()), 90), name: signal.Name, labels: signal.Labels, values: make([]float64, len(windows))}
					for k := range one.values {
						one.values[k] = unknownValue()
					}
					found[signal.ID()] = one
				}
				one.values[i], one.most = value, max(one.most, value)
			}
		}
	}
	list := make([]series, 0, len(found))
	for _, one := range found {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b series) int { return cmp.Or(cmp.Compare(b.most, a.most), cmp.Compare(a.id, b.id)) })
	return list
}

// signalValue is the mean of a gauge and what a counter gained a second; false where
// it was not read.
func signalValue(s *window.Signal, w *window.Window) (float64, bool) {
	switch {
	case s.N == 0:
		return 0, false
	case s.Kind == window.Gauge:
		return s.Mean(), true
	case w.Covered <= 0:
		return 0, false
	}
	return s.Increase / w.Covered.Seconds(), true
}

func unitText(unit string) func(float64) string {
	switch unit {
	case "ratio":
		return percentOf
	case "bytes":
		return bytesText
	case "seconds":
		return secondsText
	case "per second":
		return perSecondText
	}
	return func(x float64) string { return number(significant(x, 4)) }
}

// inBytes is a linear scale with round ticks in the unit that [bytesText] writes.
func inBytes(high float64) scale {
	unit := 1.0
	for high/unit >= 1024 {
		unit *= 1024
	}
	s := linear(high / unit)
	s.high *= unit
	for i := range s.ticks {
		s.ticks[i] *= unit
	}
	return s
}

// bytesText writes bytes with a binary unit.
func bytesText(x float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if x < 1024 {
			return number(significant(x, 3)) + " " + unit
		}
		x /= 1024
	}
	return number(significant(x, 3)) + " TiB"
}
