package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// row is what all rounds of one entry came to.
type row struct {
	entry
	samples []sample
	// failed are the errors of rounds that came to nothing; missing says why the
	// tool was never run.
	failed  []error
	missing error
}

// over returns the median and the extremes of a figure over the rounds.
func (r row) over(figure func(sample) float64) spread {
	values := make([]float64, len(r.samples))
	for i, s := range r.samples {
		values[i] = figure(s)
	}
	return spreadOf(values)
}

// These are single figures of a run.
func cpuOf(s sample) float64      { return s.cpu }
func residentOf(s sample) float64 { return s.resident }
func errorsOf(s sample) float64   { return float64(s.claim.Errors) }
func droppedOf(s sample) float64  { return float64(s.claim.Dropped) }
func answeredOf(s sample) float64 { return float64(s.answered) }

// column is one column of a table.
type column struct {
	title string
	cell  func(r row, soakd row) string
}

// number prints three significant digits at least, and "-" for what is not known.
func number(f float64) string {
	switch a := math.Abs(f); {
	case math.IsNaN(f):
		return "-"
	case a >= 100:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

// known turns 0, which stands for what a tool does not tell, into NaN.
func known(f float64) float64 {
	if f == 0 {
		return math.NaN()
	}
	return f
}

// median is a column with the median of a figure.
func median(title string, figure func(sample) float64) column {
	return column{title, func(r, _ row) string { return number(r.over(figure).median) }}
}

// spreadColumn is a column with the median and the extremes.
func spreadColumn(title string, figure func(sample) float64) column {
	return column{title, func(r, _ row) string {
		s := r.over(figure)
		return fmt.Sprintf("%s (%s..%s)", number(s.median), number(s.low), number(s.high))
	}}
}

// count is a column with the median of a whole number.
func count(title string, figure func(sample) float64) column {
	return column{title, func(r, _ row) string { return strconv.FormatFloat(r.over(figure).median, 'f', -1, 64) }}
}

func ratioColumn() column {
	return column{"x soakd", func(r, soakd row) string { return number(r.over(cpuOf).median / soakd.over(cpuOf).median) }}
}

// off returns how far reported is off the truth, in per cent.
func off(reported, truth float64) float64 { return 100 * (known(reported) - truth) / truth }

// columns are those of a kind of scenario.
func columns(k kind) []column {
	switch k {
	case kindClosed:
		return append(cpuColumns(),
			column{"answers a second", func(r, _ row) string {
				return number(r.over(func(s sample) float64 { return float64(s.answered) / r.job.duration.Seconds() }).median)
			}},
			count("errors", errorsOf), median("target busy, %", func(s sample) float64 { return 100 * s.busy }),
		)
	case kindPaced:
		return append(cpuColumns(), pacedColumns()...)
	case kindStall:
		return stallColumns()
	case kindLatency:
		return latencyColumns()
	}
	return sweepColumns()
}

func cpuColumns() []column {
	return []column{
		spreadColumn("CPU us a request", cpuOf), ratioColumn(), median("with start", func(s sample) float64 { return s.whole }),
		median("resident MiB", residentOf),
	}
}

// answeredOfDue shows how much of what was due was answered.
func answeredOfDue() column {
	return column{"answered of due", func(r, _ row) string {
		return fmt.Sprintf("%.0f of %d", r.over(answeredOf).median, r.job.due())
	}}
}

func pacedColumns() []column {
	return []column{
		answeredOfDue(), count("dropped", droppedOf),
		count("errors", errorsOf),
		median("< 100 us after the one before, %", func(s sample) float64 { return 100 * s.pacing.together }),
		median("lag p99, own, us", func(s sample) float64 { return known(s.claim.LagP99) }),
		median("late p99, target's clock, us", func(s sample) float64 { return s.pacing.late }),
		median("p50 us", func(s sample) float64 { return known(s.claim.P50) }),
		median("p99 us", func(s sample) float64 { return known(s.claim.P99) }),
	}
}

func stallColumns() []column {
	return []column{
		median("true p95 ms", func(s sample) float64 { return s.truth.P95 / 1e3 }),
		median("reported", func(s sample) float64 { return known(s.claim.P95) / 1e3 }),
		median("off, %", func(s sample) float64 { return off(s.claim.P95, s.truth.P95) }),
		median("true p99 ms", func(s sample) float64 { return s.truth.P99 / 1e3 }),
		median("reported", func(s sample) float64 { return known(s.claim.P99) / 1e3 }),
		median("off, %", func(s sample) float64 { return off(s.claim.P99, s.truth.P99) }),
		median("true p99.9 ms", func(s sample) float64 { return s.truth.P999 / 1e3 }),
		median("reported", func(s sample) float64 { return known(s.claim.P999) / 1e3 }),
		median("off, %", func(s sample) float64 { return off(s.claim.P999, s.truth.P999) }),
		answeredOfDue(), count("dropped", droppedOf),
	}
}

func latencyColumns() []column {
	var list []column
	for _, q := range []struct {
		name string
		at   func(times) float64
	}{
		{"p50", func(t times) float64 { return t.P50 }},
		{"p99", func(t times) float64 { return t.P99 }},
		{"p99.9", func(t times) float64 { return t.P999 }},
	} {
		list = append(list,
			median("target's "+q.name+" us", func(s sample) float64 { return q.at(s.truth) }),
			median("reported", func(s sample) float64 { return known(q.at(s.claim.fromSend())) }),
			median("off us", func(s sample) float64 { return known(q.at(s.claim.fromSend())) - q.at(s.truth) }),
		)
	}
	return list
}

func sweepColumns() []column {
	return []column{
		{"set", func(r, _ row) string { return number(r.job.rate) }},
		median("arrived a second", func(s sample) float64 { return s.pacing.rate }),
		{"off, %", func(r, _ row) string {
			return strconv.FormatFloat(r.over(func(s sample) float64 { return off(s.pacing.rate, r.job.rate) }).median, 'f', 3, 64)
		}},
		answeredOfDue(), count("dropped", droppedOf),
		median("CPU us a request", cpuOf),
		median("lag p99, own, us", func(s sample) float64 { return known(s.claim.LagP99) }),
	}
}

// table prints a scenario as Markdown, with a line below it for every tool that
// is missing, failed, or says something else than the target counted.
func table(s scenario, rows []row) string {
	var b strings.Builder
	list := columns(s.kind)
	fmt.Fprintf(&b, "### %s\n\n| |", s.title)
	for _, c := range list {
		fmt.Fprintf(&b, " %s |", c.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(list)) + "\n")
	for _, r := range rows {
		if len(r.samples) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s |", r.label)
		for _, c := range list {
			fmt.Fprintf(&b, " %s |", c.cell(r, rows[0]))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for _, r := range rows {
		for _, note := range r.notes() {
			fmt.Fprintf(&b, "- %s: %s\n", r.label, note)
		}
	}
	return b.String()
}

// notes say what a figure alone would hide.
func (r row) notes() []string {
	if r.missing != nil {
		return []string{"skipped: " + r.missing.Error()}
	}
	var notes []string
	if n := len(r.failed); n > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d runs failed, the last with: %v", n, n+len(r.samples), r.failed[n-1]))
	}
	for _, s := range r.samples {
		sent := float64(s.claim.Requests)
		if math.Abs(sent-float64(s.arrived)) > 0.01*sent+float64(r.job.connections) {
			notes = append(notes, fmt.Sprintf("says that it sent %d requests; %d arrived at the target", s.claim.Requests, s.arrived))
			break
		}
	}
	return notes
}
