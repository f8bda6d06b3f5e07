package results

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/report"
)

// The files of Locust, by what follows the prefix. Up to 0.12 the totals stand in two:
// what else _stats.csv holds, and the percentiles.
const (
	statsFile        = "_stats.csv"
	historyFile      = "_stats_history.csv"
	failuresFile     = "_failures.csv"
	exceptionsFile   = "_exceptions.csv"
	requestsFile     = "_requests.csv"
	distributionFile = "_distribution.csv"
)

// locustTool is the name of the tool in reports.
const locustTool = "locust"

// maxLocustNames bounds the rows that are kept of a Locust file; Locust itself holds all in
// memory, so a file beyond is none of its.
const maxLocustNames = 20_000

// maxLocustCount bounds the requests of a row, so that all rows together can be counted.
const maxLocustCount = 1 << 45

// locustRow is a row of the totals.
type locustRow struct {
	report.Traffic
	// aggregated marks the sum of all others.
	aggregated bool
	rate       float64
}

// locust is a set of Locust's files that is being read.
type locust struct {
	prefix string
	rows   []locustRow
	// several are the names that have several methods, kept the cases that are.
	several, kept map[string]bool
	result        *Result
}

// Locust reads the CSV files that Locust writes with --csv PREFIX: PREFIX_stats.csv, and
// of _stats_history.csv, _failures.csv and _exceptions.csv what is there. It takes the files of
// all versions from 0.8 on: columns are found by their names, and percentiles may be
// missing or N/A. The row Aggregated (once Total) is the sum of the others and is taken as it is.
// Times are Locust's own, which it rounds to two digits above 100 ms.
func Locust(prefix string) (*Result, error) {
	l := &locust{prefix: prefix, result: &Result{}}
	l.result.Run.Tool = locustTool
	if err := l.readTotals(); err != nil {
		return nil, err
	}
	if err := l.optional(failuresFile, "why requests failed is not known", l.readFailures); err != nil {
		return nil, err
	}
	if err := l.optional(exceptionsFile, "", l.readExceptions); err != nil {
		return nil, err
	}
	l.totals()
	if err := l.optional(historyFile, "when it ran and how it went in windows of time is not known", l.readHistory); err != nil {
		return nil, err
	}
	return l.result, nil
}

// open opens one of the files.
func (l *locust) open(suffix string) (*os.File, *table, error) {
	file, err := os.Open(l.prefix + suffix)
	if err != nil {
		return nil, nil, fmt.Errorf("read Locust's results: %w", err)
	}
	t, err := openTable(l.prefix+suffix, bufio.NewReaderSize(file, 64<<10), true)
	if err != nil {
		_ = file.Close() // only read
		return nil, nil, err
	}
	return file, t, nil
}

// optional reads a file that need not be there; without says what is not known then.
func (l *locust) optional(suffix, without string, read func(*table) error) error {
	file, t, err := l.open(suffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if without != "" {
			l.result.note("there is no %s%s: %s", l.prefix, suffix, without)
		}
		return nil
	case err != nil:
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	if err := read(t); err != nil {
		return err
	}
	l.noteCut(t)
	return nil
}

func (l *locust) noteCut(t *table) {
	if t.cut && l.result.Cut == "" {
		l.result.Cut = fmt.Sprintf("%s ends in the midst of a line: the run was cut short", t.file)
	}
}

func (l *locust) readTotals() error {
	file, t, err := l.open(statsFile)
	if errors.Is(err, fs.ErrNotExist) {
		var before error
		if file, t, before = l.open(requestsFile); before != nil {
			if errors.Is(before, fs.ErrNotExist) {
				return err
			}
			return before
		}
	}
	if err != nil && t == nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	if err := l.readStats(t); err != nil {
		return err
	}
	l.noteCut(t)
	if strings.HasSuffix(t.file, requestsFile) {
		return l.optional(distributionFile, "the percentiles are not known", l.readDistribution)
	}
	return nil
}

// locustColumns are where the columns of the totals stand, in the names of all versions.
type locustColumns struct {
	method, name, requests, failed, median, mean, least, most, size, rate int
	quantiles                                                             []quantileColumn
}

type quantileColumn struct {
	column int
	q      float64
	name   string
}

func (t *table) locustColumns(prefix string) locustColumns {
	return locustColumns{
		method: t.column("type", "method"), name: t.column("name"),
		requests: t.column(prefix+"request count", "# requests"), failed: t.column(prefix+"failure count", "# failures"),
		median: t.column(prefix+"median response time", "median response time"), mean: t.column(prefix+"average response time", "average response time"),
		least: t.column(prefix+"min response time", "min response time"), most: t.column(prefix+"max response time", "max response time"),
		size: t.column(prefix+"average content size", "average content size"), rate: t.column("requests/s"), quantiles: t.quantileColumns(),
	}
}

// quantileColumns finds columns named 50%, 99.9% and so on, sorted by quantile. 0.13 forgot the
// percent sign of 99.999.
func (t *table) quantileColumns() []quantileColumn {
	var found []quantileColumn
	for name, column := range t.columns {
		text, percent := strings.CutSuffix(name, "%")
		if !percent && name != "99.999" {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err == nil && value > 0 && value <= 100 {
			found = append(found, quantileColumn{column, math.Round(1e7*value) / 1e9, name})
		}
	}
	slices.SortFunc(found, func(a, b quantileColumn) int { return cmp.Compare(a.q, b.q) })
	return found
}

func (l *locust) readStats(t *table) error {
	c := t.locustColumns("")
	if c.name < 0 || c.requests < 0 {
		return wrong(t.file, 1, "it has no columns Name and Request Count (or # requests): it is no file of Locust's totals")
	}
	if c.failed < 0 {
		return wrong(t.file, 1, "it has no column Failure Count (or # failures): which requests failed is not known")
	}
	for {
		more, err := t.next(t.width())
		if err != nil {
			return err
		}
		if !more {
			return l.checkSum(t.file)
		}
		row, err := t.locustRow(&c)
		if err != nil {
			return err
		}
		if l.rows = append(l.rows, row); len(l.rows) > maxLocustNames {
			return wrong(t.file, t.line, "more than %d names: give requests with an id in their path one name (name=...)", maxLocustNames)
		}
	}
}

// checkSum refuses a second aggregated row, and one that knows of fewer failures than the
// others have.
func (l *locust) checkSum(file string) error {
	sums, failed, sum := 0, int64(0), int64(0)
	for i := range l.rows {
		if l.rows[i].aggregated {
			sums++
			sum = l.rows[i].Failed
		} else {
			failed += l.rows[i].Failed
		}
	}
	switch {
	case sums > 1:
		return wrong(file, 0, "it has %d rows Aggregated: it must hold one run", sums)
	case sums == 1 && failed > sum:
		return wrong(file, 0, "its row Aggregated has %d failures, and the others have %d: it must hold one run, as Locust wrote it", sum, failed)
	}
	return nil
}

// aggregatedNames are what the row of the sum is called, without a method.
func aggregatedNames() []string { return []string{"Aggregated", "Total"} }

// isAggregated tells the row of the sum from a request that is called so: that has a method.
func isAggregated(method, name string) bool {
	return (method == "" || method == "None") && slices.Contains(aggregatedNames(), name)
}

// locustRow reads a row of totals.
func (t *table) locustRow(c *locustColumns) (row locustRow, err error) {
	row.Method, row.Name = clean(t.field(c.method)), clean(t.field(c.name))
	row.aggregated = isAggregated(row.Method, row.Name)
	if row.Method == "None" {
		row.Method = ""
	}
	if row.Requests, err = t.count(c.requests, "Request Count"); err != nil {
		return row, err
	}
	if c.failed >= 0 {
		if row.Failed, err = t.count(c.failed, "Failure Count"); err != nil {
			return row, err
		}
	}
	if row.Requests > maxLocustCount || row.Failed > maxLocustCount {
		return row, wrong(t.file, t.line, "%d requests, %d of them failed: more than %d are no run", row.Requests, row.Failed, maxLocustCount)
	}
	if row.Failed > row.Requests {
		// Before 1.0 a request that failed without an answer was not counted as one.
		row.Requests = row.Failed
	}
	if row.rate, _, err = t.number(c.rate, "Requests/s"); err != nil {
		return row, err
	}
	size, known, err := t.number(c.size, "Average Content Size")
	if err != nil {
		return row, err
	}
	row.Bytes = -1
	if known && size >= 0 && size*float64(row.Requests) < 1<<60 {
		row.Bytes = int64(math.Round(size * float64(row.Requests)))
	}
	row.ResponseTime, err = t.locustTimes(c, row.Requests)
	row.ServiceTime = row.ResponseTime
	return row, err
}

// locustTimes reads the times of a row of so many requests.
func (t *table) locustTimes(c *locustColumns, requests int64) (threshold.Times, error) {
	times := threshold.Times{Count: requests, Mean: unknown, Min: unknown, Max: unknown}
	if requests == 0 {
		return times, nil
	}
	for _, one := range []struct {
		column int
		name   string
		into   *time.Duration
	}{
		{c.mean, "Average Response Time", &times.Mean}, {c.least, "Min Response Time", &times.Min}, {c.most, "Max Response Time", &times.Max},
	} {
		ms, known, err := t.number(one.column, one.name)
		if err != nil {
			return times, err
		}
		if known {
			*one.into = millis(ms)
		}
	}
	known, err := t.quantiles(c)
	times.Known = known
	return times, err
}

// quantiles reads the percentiles of a row, ascending as the true ones are. The median
// stands alone where Locust wrote no percentiles.
func (t *table) quantiles(c *locustColumns) ([]threshold.Quantile, error) {
	var known []threshold.Quantile
	add := func(q float64, column int, name string) error {
		ms, there, err := t.number(column, name)
		if err != nil || !there || millis(ms) < 0 {
			return err
		}
		known = append(known, threshold.Quantile{Q: q, At: millis(ms)})
		return nil
	}
	for _, one := range c.quantiles {
		if err := add(one.q, one.column, one.name); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(known, func(k threshold.Quantile) bool { return k.Q == 0.5 }) {
		if err := add(0.5, c.median, "Median Response Time"); err != nil {
			return nil, err
		}
		slices.SortFunc(known, func(a, b threshold.Quantile) int { return cmp.Compare(a.Q, b.Q) })
	}
	for i := 1; i < len(known); i++ {
		known[i].At = max(known[i].At, known[i-1].At)
	}
	return known, nil
}

// readDistribution adds the percentiles, which up to 0.12 have a file of their own. Its
// names are "GET /path" there.
func (l *locust) readDistribution(t *table) error {
	c := t.locustColumns("")
	if c.name < 0 {
		return wrong(t.file, 1, "it has no column Name: it is no file of Locust's percentiles")
	}
	for {
		more, err := t.next(t.width())
		if err != nil || !more {
			return err
		}
		name := clean(t.field(c.name))
		known, err := t.quantiles(&c)
		if err != nil {
			return err
		}
		for i := range l.rows {
			row := &l.rows[i]
			if row.Requests > 0 && (name == row.Method+" "+row.Name || name == row.Name || name == "None "+row.Name) {
				row.ResponseTime.Known, row.ServiceTime.Known = known, known
			}
		}
	}
}

// readFailures adds the reasons of failures, by name and method.
func (l *locust) readFailures(t *table) error {
	method, name, text := t.column("method", "type"), t.column("name"), t.column("error")
	times := t.column("occurrences", "occurences") //nolint:misspell // as 0.11 wrote it
	first, last := t.column("first seen"), t.column("last seen")
	if name < 0 || text < 0 || times < 0 {
		return wrong(t.file, 1, "it has no columns Name, Error and Occurrences: it is no file of Locust's failures")
	}
	for lines := 0; ; lines++ {
		more, err := t.next(t.width())
		if err != nil || !more {
			return err
		}
		if lines >= maxLocustNames {
			l.result.note("%s has more than %d failures: what follows is left out", t.file, maxLocustNames)
			return nil
		}
		t.rejoin(text)
		n, err := t.count(times, "Occurrences")
		if err != nil {
			return err
		}
		outcome, reason := failedOutcome(0, t.field(text))
		f := report.Failure{Outcome: outcome, Count: n, Reason: reason, First: seen(t.field(first)), Last: seen(t.field(last))}
		for i := range l.rows {
			row := &l.rows[i]
			if row.Name == clean(t.field(name)) && !row.aggregated && (row.Method == t.field(method) || t.field(method) == "None" && row.Method == "") {
				row.Failures = append(row.Failures, f)
			}
		}
	}
}

// rejoin puts a field together again that was split: before 1.0 Locust did not double the
// quotes in its texts, so that one before a comma looks like an end.
func (t *table) rejoin(column int) {
	more := len(t.record) - t.width()
	if more <= 0 || column+more >= len(t.record) {
		return
	}
	joined := strings.Join(t.record[column:column+more+1], "\",")
	t.record = append(append(slices.Clone(t.record[:column]), joined), t.record[column+more+1:]...)
}

// seen reads when a failure was seen, as newer versions say; zero where they do not.
func seen(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || !plausible(t) {
		return time.Time{}
	}
	return t.UTC()
}

// readExceptions counts the exceptions of the tasks.
func (l *locust) readExceptions(t *table) error {
	count, message := t.column("count"), t.column("message")
	if count < 0 {
		return wrong(t.file, 1, "it has no column Count: it is no file of Locust's exceptions")
	}
	sum, first := int64(0), ""
	for {
		more, err := t.next(t.width())
		if err != nil {
			return err
		}
		if !more {
			break
		}
		n, err := t.count(count, "Count")
		if err != nil {
			return err
		}
		if sum += n; first == "" {
			first = redact(t.field(message))
		}
	}
	if sum > 0 {
		l.result.note("%d exceptions in the Locust file itself, first: %s", sum, first)
	}
	return nil
}

// totals makes the rows of the report. What has one name and several methods gets names
// of its own: "GET /path", "POST /path".
func (l *locust) totals() {
	run := &l.result.Run
	count := map[string]int{}
	for i := range l.rows {
		if !l.rows[i].aggregated {
			count[l.rows[i].Name]++
		}
	}
	l.several, l.kept = map[string]bool{}, map[string]bool{}
	for name, n := range count {
		l.several[name] = n > 1
	}
	var sum *locustRow
	for i := range l.rows {
		row := &l.rows[i]
		row.mergeFailures()
		if row.aggregated {
			sum = row
			continue
		}
		row.Name = l.named(row.Method, row.Name)
		if row.Requests > 0 {
			run.Cases = append(run.Cases, row.Traffic)
		}
	}
	slices.SortFunc(run.Cases, func(a, b report.Traffic) int { return cmp.Compare(a.Name, b.Name) })
	l.whole(sum)
	if len(run.Cases) > maxCases {
		l.boundCases()
	}
	for i := range run.Cases {
		l.kept[run.Cases[i].Name] = true
	}
	l.result.Whole = totals{run}
	l.noteRounding()
}

// named is the name of the case of a request.
func (l *locust) named(method, name string) string {
	if l.several[name] {
		return method + " " + name
	}
	return name
}

// caseName is the name of the case of a row of the history, "" when it is none of those
// that are kept.
func (l *locust) caseName(method, name string) string {
	if name = l.named(method, name); l.kept[name] {
		return name
	}
	return ""
}

// boundCases keeps those cases that have the most requests.
func (l *locust) boundCases() {
	run := &l.result.Run
	slices.SortStableFunc(run.Cases, func(a, b report.Traffic) int { return cmp.Compare(b.Requests, a.Requests) })
	l.result.note("there are %d names: only the %d with the most requests have rows of their own", len(run.Cases), maxCases)
	run.Cases = run.Cases[:maxCases]
	slices.SortFunc(run.Cases, func(a, b report.Traffic) int { return cmp.Compare(a.Name, b.Name) })
}

// mergeFailures puts failures of one outcome together and names what is left as not known.
func (r *locustRow) mergeFailures() {
	all := report.Traffic{}
	for _, f := range r.Failures {
		reason := f.Reason
		addTo(&all, &report.Traffic{Failures: []report.Failure{f}})
		for i := range all.Failures {
			if have := &all.Failures[i]; have.Outcome == f.Outcome && have.Reason == "" {
				have.Reason = reason
			}
		}
	}
	named := int64(0)
	for _, f := range all.Failures {
		named += f.Count
	}
	if r.Failed > named && !r.aggregated {
		outcome, _ := failedOutcome(0, "")
		addTo(&all, &report.Traffic{Failures: []report.Failure{{Outcome: outcome, Count: r.Failed - named}}})
	}
	sortFailures(all.Failures)
	r.Failures = all.Failures
}

// whole makes all traffic: the row of the sum, or where it is missing what the others add up to, whose times are not
// known then.
func (l *locust) whole(sum *locustRow) {
	run := &l.result.Run
	all := report.Traffic{}
	rate := 0.0
	for i := range l.rows {
		if row := &l.rows[i]; !row.aggregated {
			addTo(&all, &row.Traffic)
			rate += row.rate
		}
	}
	all.ResponseTime = threshold.Times{Count: all.Requests, Mean: unknown, Min: unknown, Max: unknown}
	sortFailures(all.Failures)
	switch {
	case sum == nil:
		l.result.note("%s has no row Aggregated: the times of all traffic are not known", l.prefix+statsFile)
		if l.result.Cut == "" { // Locust writes it last
			l.result.Cut = fmt.Sprintf("%s ends before its row Aggregated: the run was cut short", l.prefix+statsFile)
		}
	default:
		rate = sum.rate
		failures := all.Failures
		all = sum.Traffic
		all.Name, all.Method, all.Failures = "", "", failures
	}
	all.ServiceTime = all.ResponseTime
	run.All = all
	// Locust divides by the time from its start to the last request.
	if seconds := float64(all.Requests) / rate; rate > 0 && seconds < 1e9 {
		run.Elapsed = time.Duration(seconds * float64(time.Second))
	}
}

// noteRounding says that Locust's percentiles are rounded, where that can be seen.
func (l *locust) noteRounding() {
	for _, known := range l.result.Run.All.ResponseTime.Known {
		if known.At >= 100*time.Millisecond && known.Q < 1 {
			l.result.note("Locust rounds percentiles: to 10 ms from 100 ms on, to 100 ms from 1 s on, to 1 s from 10 s on")
			return
		}
	}
}

// totals are the figures of a whole run, from its totals.
type totals struct{ run *report.Run }

// Of implements [threshold.Stretch].
func (t totals) Of(name, class string) (threshold.Figures, bool) {
	of := &t.run.All
	switch {
	case name != "":
		i := slices.IndexFunc(t.run.Cases, func(c report.Traffic) bool { return c.Name == name })
		if i < 0 {
			return threshold.Figures{}, false
		}
		of = &t.run.Cases[i]
	case class != "":
		return threshold.Figures{}, false
	}
	return threshold.Figures{Start: t.run.Start, Length: t.run.Elapsed, Requests: of.Requests, Failed: of.Failed, Times: of.ResponseTime}, true
}
