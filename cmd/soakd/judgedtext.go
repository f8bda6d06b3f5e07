package main

import (
	"fmt"
	"strings"

	"soakd/internal/judge/baseline"
	"soakd/internal/report"
)

// judgedText says what thresholds and the comparison of a run came to, and its notes, for
// a terminal; "" where there are none.
func judgedText(run *report.Run) string {
	var b strings.Builder
	if len(run.Thresholds) > 0 {
		b.WriteString("\nthresholds:\n")
		for _, one := range run.Thresholds {
			fmt.Fprintf(&b, "  %-7s  %s, %s: %s\n", one.Result, one.Threshold, one.Over, printable(one.Text))
		}
	}
	comparisonText(&b, run)
	if len(run.Notes) > 0 {
		b.WriteString("\nnotes:\n")
		for _, note := range run.Notes {
			fmt.Fprintf(&b, "  %s\n", printable(note))
		}
	}
	return b.String()
}

// comparisonText writes what is better or worse.
func comparisonText(b *strings.Builder, run *report.Run) {
	c := run.Comparison
	if c == nil {
		return
	}
	fmt.Fprintf(b, "\ncompared with %s: %s\n", printable(run.Baseline), strings.ReplaceAll(string(c.Result), "_", " "))
	for i := range c.Rows {
		if r := &c.Rows[i]; r.Result == baseline.Worse || r.Result == baseline.Improved {
			fmt.Fprintf(b, "  %s\n", printable(r.Text))
		}
	}
	const most = 10
	for i, text := range c.Unknown {
		if i == most {
			fmt.Fprintf(b, "  not known: and %d more\n", len(c.Unknown)-most)
			break
		}
		fmt.Fprintf(b, "  not known: %s\n", printable(text))
	}
}
