package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/report"
)

// print prints what the analysis came to: a table, or the report as JSON.
func (a *analyst) print() error {
	if a.json {
		return report.JSON(a.stdout, &a.result.Run)
	}
	run := &a.result.Run
	a.printf("%s\n\n", a.heading())
	a.printTraffic()
	a.printFailures()
	a.printf("%s", judgedText(run))
	if a.out != "" {
		a.printf("\nreports are in %s\n", a.out)
	}
	a.printf("\n%s\n", printable(run.Conclusion.Text))
	if len(a.Thresholds) == 0 && a.against == "" && a.Baseline == "" && len(run.Thresholds) == 0 && run.Verdict == nil {
		a.printf("judge it by --threshold 'p95<=300ms', or compare it with --against EARLIER\n")
	}
	return nil
}

func (a *analyst) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stdout, format, args...) // nobody reads: the exit code says it
}

// heading says what was measured, when and against what.
func (a *analyst) heading() string {
	run := &a.result.Run
	parts := []string{"measured by " + run.Tool}
	if run.Target != "" {
		parts = append(parts, "against "+printable(run.Target))
	}
	if !run.Start.IsZero() {
		parts = append(parts, "from "+run.Start.UTC().Format(stamp)+" UTC")
	}
	if run.Elapsed > 0 {
		parts = append(parts, fmt.Sprintf("for %v", run.Elapsed.Round(time.Second)))
	}
	if run.Users > 0 {
		parts = append(parts, fmt.Sprintf("%d users", run.Users))
	}
	return strings.Join(parts, ", ")
}

// printTraffic prints a row a case and one of all.
func (a *analyst) printTraffic() {
	run := &a.result.Run
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = io.WriteString(w, "case\trequests\ta second\tfailed\tmean\tp50\tp95\tp99\tmax\t\n") // as printf
	row := func(name string, t *report.Traffic) {
		rate := "-"
		if run.Elapsed > 0 {
			rate = fmt.Sprintf("%.3g", float64(t.Requests)/run.Elapsed.Seconds())
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", printable(name), t.Requests, rate, t.Failed, // as printf
			duration(t.ResponseTime.Mean), quantileText(&t.ResponseTime, 0.5), quantileText(&t.ResponseTime, 0.95), quantileText(&t.ResponseTime, 0.99), duration(t.ResponseTime.Max))
	}
	for i := range run.Cases {
		row(run.Cases[i].Name, &run.Cases[i])
	}
	row("all", &run.All)
	_ = w.Flush() // as printf
}

// duration writes a time with three digits, "-" for one that is not known.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < time.Second:
		return fmt.Sprintf("%.3gms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.3gs", d.Seconds())
}

func quantileText(t *threshold.Times, q float64) string {
	at, known := t.Quantile(q)
	if !known {
		return "-"
	}
	if t.AtLeast {
		return "≥" + duration(at)
	}
	return duration(at)
}

// printFailures prints the kinds of failures with their first reasons.
func (a *analyst) printFailures() {
	first := true
	for i := range a.result.Run.Cases {
		c := &a.result.Run.Cases[i]
		for _, f := range c.Failures {
			if first {
				a.printf("\nfailures:\n")
				first = false
			}
			a.printf("  %s: %d %s, first: %s\n", printable(c.Name), f.Count, f.Outcome, printable(cmp.Or(f.Reason, "-")))
		}
	}
}
