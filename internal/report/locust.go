package report

import (
	"cmp"
	"encoding/csv"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
)

// The columns are those of Locust 2.12 (locust/stats.py, class StatsCSV); of the
// failures those that newer ones have too (https://github.com/locustio/locust/pull/3403),
// which come last, so that readers of the older columns find theirs.
const (
	locustQuantiles  = "50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%"
	locustStats      = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,Max Response Time,Average Content Size,Requests/s,Failures/s," + locustQuantiles
	locustHistory    = "Timestamp,User Count,Type,Name,Requests/s,Failures/s," + locustQuantiles + ",Total Request Count,Total Failure Count,Total Median Response Time,Total Average Response Time,Total Min Response Time,Total Max Response Time,Total Average Content Size"
	locustFailures   = "Method,Name,Error,Occurrences,First Seen,Last Seen"
	locustExceptions = "Count,Message,Traceback,Nodes"
	// aggregated is the name of the row of all traffic.
	aggregated = "Aggregated"
	// notKnown is what Locust writes for a percentile of nothing.
	notKnown = "N/A"
)

// reportedQuantiles are those of Locust's columns.
func reportedQuantiles() []float64 {
	return []float64{0.5, 0.66, 0.75, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999, 1}
}

func locustOutputs(prefix string, fullHistory bool) []output {
	return []output{
		{prefix + "_stats.csv", LocustStats},
		{prefix + "_stats_history.csv", func(w io.Writer, r *Run) error { return LocustHistory(w, fullHistory, r) }},
		{prefix + "_failures.csv", LocustFailures},
		{prefix + "_exceptions.csv", LocustExceptions},
	}
}

// table writes a CSV file as Python's csv module does by default: \r\n ends a row, and
// only what needs quotes has them.
func table(w io.Writer, header string, rows [][]string) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	if err := c.Write(strings.Split(header, ",")); err != nil {
		return err
	}
	return c.WriteAll(rows)
}

// LocustStats writes Locust's PREFIX_stats.csv: a row a case, sorted by name, and last
// the sum, named Aggregated. Times are milliseconds from the intended start, rates are
// over the whole run.
func LocustStats(w io.Writer, r *Run) error {
	rows := make([][]string, 0, len(r.Cases)+1)
	for i := range r.Cases {
		rows = append(rows, statsRow(r, &r.Cases[i]))
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return cmp.Or(cmp.Compare(a[1], b[1]), cmp.Compare(a[0], b[0])) })
	all := r.All
	all.Name, all.Method = aggregated, ""
	return table(w, locustStats, append(rows, statsRow(r, &all)))
}

func statsRow(r *Run, t *Traffic) []string {
	row := append([]string{oneLine(t.Method), oneLine(t.Name)}, totalFields(t)...)
	row = append(row, floating(perSecond(t.Requests, r.Elapsed)), floating(perSecond(t.Failed, r.Elapsed)))
	return append(row, quantileFields(&t.ResponseTime)...)
}

// totalFields are the seven columns that the statistics and their history both have.
func totalFields(t *Traffic) []string {
	times := &t.ResponseTime
	return []string{
		count(t.Requests), count(t.Failed), medianField(times), milliseconds(times.Mean), milliseconds(times.Min), milliseconds(times.Max),
		floating(max(ratio(t.Bytes, t.Requests), 0)),
	}
}

// medianField is the median in whole milliseconds, but not beyond the extremes, which
// are exact: so does Locust.
func medianField(t *threshold.Times) string {
	median, known := t.Quantile(0.5)
	switch rounded := median.Round(time.Millisecond); {
	case t.Count == 0:
		return "0"
	case !known:
		return notKnown
	case t.Max >= 0 && rounded > t.Max:
		return milliseconds(t.Max)
	case rounded < t.Min:
		return milliseconds(t.Min)
	default:
		return count(rounded.Milliseconds())
	}
}

func quantileFields(t *threshold.Times) []string {
	var fields []string
	for _, q := range reportedQuantiles() {
		at, known := t.Quantile(q)
		if q == 1 && !known && t.Max >= 0 {
			at, known = t.Max, t.Count > 0
		}
		if !known {
			fields = append(fields, notKnown)
			continue
		}
		fields = append(fields, count(at.Round(time.Millisecond).Milliseconds()))
	}
	return fields
}

// LocustFailures writes Locust's PREFIX_failures.csv: a row for each kind of failure of
// a case, with the first reason that was seen.
func LocustFailures(w io.Writer, r *Run) error {
	var rows [][]string
	for i := range r.Cases {
		t := &r.Cases[i]
		for _, f := range t.Failures {
			rows = append(rows, []string{oneLine(t.Method), oneLine(t.Name), failureText(r, &f), count(f.Count), locustTime(f.First), locustTime(f.Last)})
		}
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return cmp.Or(cmp.Compare(a[1], b[1]), cmp.Compare(a[0], b[0])) })
	return table(w, locustFailures, rows)
}

// maxError bounds the error of a row, in runes.
const maxError = 1000

// failureText is the error of a failure; Locust's own says all by itself.
func failureText(r *Run, f *Failure) string {
	text := f.Outcome + ": " + f.Reason
	switch {
	case f.Reason == "":
		text = f.Outcome
	case r.Tool == "locust":
		text = f.Reason
	}
	return shorten(oneLine(text), maxError)
}

func locustTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// LocustExceptions writes Locust's PREFIX_exceptions.csv, which has no rows: it is for
// errors in a Locust file's own code, and there is no such code.
func LocustExceptions(w io.Writer, _ *Run) error { return table(w, locustExceptions, nil) }

// LocustHistory writes Locust's PREFIX_stats_history.csv: a row a window of the run, at
// its end, of all traffic, and with full before it one of each case. The rates are of the
// window. The percentiles are of the run until then, and with full of the window: so
// does Locust (https://github.com/locustio/locust/issues/2718). The average content size
// is that of the whole run. What a run without windows cannot tell is N/A.
func LocustHistory(w io.Writer, full bool, r *Run) error {
	h := history{run: r, full: full, totals: map[string]*Traffic{}}
	if len(r.Windows) == 0 {
		for i := range r.Points {
			h.point(&r.Points[i])
		}
	}
	users := usersAt(r.Points)
	for _, one := range r.Windows {
		h.window(one, cmp.Or(users[one.Start.Unix()], r.Users))
	}
	return table(w, locustHistory, h.rows)
}

func usersAt(points []Point) map[int64]int {
	users := map[int64]int{}
	for i := range points {
		users[points[i].Start.Unix()] = points[i].Users
	}
	return users
}

// history adds windows up to rows.
type history struct {
	run    *Run
	full   bool
	totals map[string]*Traffic
	rows   [][]string
}

// stretch is what a row of the history says of its window.
type stretch struct {
	end              time.Time
	length           time.Duration
	users            int
	requests, failed int64
	times            threshold.Times
}

func (h *history) window(w *window.Window, users int) {
	all, sum := stretch{end: h.end(w.End()), length: cmp.Or(w.Covered, w.Length), users: users}, &histogram.Histogram{}
	for i := range w.Cases {
		c := &w.Cases[i]
		one := all
		one.requests, one.failed, one.times = c.Requests(), c.Failed(), threshold.FromHistogram(c.Times)
		all.requests += one.requests
		all.failed += one.failed
		if c.Times != nil {
			sum.Merge(c.Times)
		}
		if h.full {
			h.add(c.Name, &one)
		}
	}
	all.times = threshold.FromHistogram(sum)
	h.add("", &all)
}

// point adds a window of which only figures are known.
func (h *history) point(p *Point) {
	all := stretch{end: h.end(p.Start.Add(p.Length)), length: p.Length, users: p.Users}
	if h.full {
		for _, c := range p.Cases {
			one := all
			one.requests, one.failed = c.Requests, c.Failed
			one.times = someTimes(c.Requests, map[float64]time.Duration{0.5: c.P50, 0.95: c.P95, 0.99: c.P99})
			h.add(c.Name, &one)
		}
	}
	all.requests, all.failed = p.Requests, p.Failed
	all.times = someTimes(p.Requests, map[float64]time.Duration{0.5: p.P50, 0.95: p.P95, 0.99: p.P99, 1: p.Max})
	h.add("", &all)
}

// someTimes are times of which only the quantiles that are not below 0 are known.
func someTimes(n int64, at map[float64]time.Duration) threshold.Times {
	t := threshold.Times{Count: n, Mean: -1, Min: -1, Max: -1}
	for q, d := range at {
		if d >= 0 {
			t.Known = append(t.Known, threshold.Quantile{Q: q, At: d})
		}
	}
	slices.SortFunc(t.Known, func(a, b threshold.Quantile) int { return cmp.Compare(a.Q, b.Q) })
	return t
}

// end is when a window ended: the last one, when the run did.
func (h *history) end(t time.Time) time.Time {
	if over := h.run.Start.Add(h.run.Elapsed); h.run.Elapsed > 0 && over.Before(t) {
		return over
	}
	return t
}

// add adds a row of a case, of all traffic for "".
func (h *history) add(name string, s *stretch) {
	total := h.total(name)
	total.Requests += s.requests
	total.Failed += s.failed
	total.Bytes = int64(ratio(h.row(name).Bytes, h.row(name).Requests) * float64(total.Requests))
	if s.times.Histogram != nil {
		sum := &histogram.Histogram{}
		if total.ResponseTime.Histogram != nil {
			sum = total.ResponseTime.Histogram
		}
		sum.Merge(s.times.Histogram)
		total.ResponseTime = threshold.FromHistogram(sum)
	}
	quantiles := total.ResponseTime
	if h.full {
		quantiles = s.times
	}
	row := []string{
		count(s.end.Unix()), count(int64(s.users)), oneLine(total.Method), oneLine(total.Name), sixDigits(perSecond(s.requests, s.length)), sixDigits(perSecond(s.failed, s.length)),
	}
	h.rows = append(h.rows, slices.Concat(row, quantileFields(&quantiles), totalFields(total)))
}

// total is what a case came to so far.
func (h *history) total(name string) *Traffic {
	if t := h.totals[name]; t != nil {
		return t
	}
	t := &Traffic{Name: cmp.Or(name, aggregated), Method: h.row(name).Method, ResponseTime: threshold.FromHistogram(nil)}
	if name == "" {
		t.Method = ""
	}
	h.totals[name] = t
	return t
}

// row is what a case came to in the end.
func (h *history) row(name string) *Traffic {
	if name == "" {
		return &h.run.All
	}
	for i := range h.run.Cases {
		if h.run.Cases[i].Name == name {
			return &h.run.Cases[i]
		}
	}
	return &Traffic{}
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// floating writes a number as Python does: shortest, but with a point.
func floating(x float64) string {
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// sixDigits is Python's format "2f".
func sixDigits(x float64) string { return strconv.FormatFloat(x, 'f', 6, 64) }

// milliseconds writes a time; 0 where it is not known, as Locust does.
func milliseconds(d time.Duration) string {
	if d <= 0 {
		return "0"
	}
	return floating(float64(d) / 1e6)
}

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// ratio is part / whole, 0 of nothing.
func ratio(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// significant rounds to so many digits.
func significant(x float64, digits int) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', digits, 64), 64)
	if err != nil || math.IsNaN(x) {
		return x
	}
	return rounded
}
