package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// writeReport prints all as Markdown and returns how much is unexplained.
func writeReport(out io.Writer, all []outcome) (problems int) {
	for _, o := range all {
		problems += o.problems()
		fmt.Fprintf(out, "## %s\n\n", o.title)
		fmt.Fprintln(out, "| signal | exporter | value | soakd | before, after | difference | explanation |\n|---|---|---|---|---|---|---|")
		for _, v := range o.rows {
			fmt.Fprintln(out, v.line())
		}
		fmt.Fprintln(out, "\nThe exporter's metrics that are not compared:")
		for _, why := range slices.Sorted(maps.Keys(o.explained)) {
			fmt.Fprintf(out, "- %s (%s)\n", why, shorten(o.explained[why]))
		}
		for _, name := range o.unknown {
			fmt.Fprintf(out, "- **%s: no table knows it**\n", name)
		}
		fmt.Fprintf(out, "\nsoakd alone has %d metrics here: %s\n\n", len(o.onlyOurs), strings.Join(o.onlyOurs, ", "))
	}
	return problems
}

// line is the row of the table.
func (v verdict) line() string {
	theirs, value := v.row.theirs.String(), number(v.theirs)
	if v.row.minus.name != "" {
		theirs, value = theirs+" - "+v.row.minus.String(), value+" - "+number(v.minus)
	}
	ours := number(v.before)
	if v.before != v.after {
		ours += ", " + number(v.after)
	}
	explanation, difference := v.why, number(v.difference())
	if v.problem != "" {
		explanation = strings.TrimSpace(fmt.Sprintf("**%s** %s", v.problem, v.why))
	}
	if explanation == "" && v.before != v.after {
		explanation = "moves; between"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |", v.signal, code(theirs), value, code(v.ours.String()), ours, difference, explanation)
}

func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

// number writes whole numbers in full, times of day in milliseconds, and others
// with six digits.
func number(value float64) string {
	if value == float64(int64(value)) {
		return strconv.FormatInt(int64(value), 10)
	}
	if value > 1e9 {
		return strconv.FormatFloat(value, 'f', 3, 64)
	}
	return strconv.FormatFloat(value, 'g', 6, 64)
}

// shorten lists a few names and says how many there are besides.
func shorten(names []string) string {
	const most = 6
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
