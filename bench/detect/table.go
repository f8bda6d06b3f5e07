package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxFalseAlarms is how many findings there may be in twenty weeks without a fault:
// fewer than one.
const maxFalseAlarms = 1.0 / 20

// report writes the tables and says which targets are missed.
func report(results []result) (text string, missed []string) {
	var b strings.Builder
	single := group(results, func(r *result) bool { return len(r.faults) == 1 })
	if len(single) > 0 {
		b.WriteString("## Each fault\n\n" +
			"Found: runs in which it was found under its right name, in time. After: from the fault to the finding, median and worst. " +
			"Dated: how far off the onset is, median and worst. Over: runs in which the finding had ended an hour after the fault.\n\n" +
			"| fault | does | named | found | after | allowed | dated | over | others |\n|---|---|---|---|---|---|---|---|---|\n")
	}
	for _, runs := range single {
		missed = append(missed, row(&b, runs)...)
	}
	pairs := group(results, func(r *result) bool { return len(r.faults) > 1 })
	if len(pairs) > 0 {
		fmt.Fprintf(&b, "\n## Pairs\n\nThe second fault comes %s after the first.\n\n| pair | found | after | others |\n|---|---|---|---|\n", span(apart))
	}
	for _, runs := range pairs {
		missed = append(missed, pairRow(&b, runs)...)
	}
	missed = append(missed, clean(&b, results)...)
	b.WriteString("\n## Targets\n\n")
	if len(missed) == 0 {
		b.WriteString("All are met.\n")
	}
	for _, m := range missed {
		b.WriteString("- missed: " + m + "\n")
	}
	return b.String(), missed
}

// group puts the runs of the same faults together, in the order in which they come.
func group(results []result, keep func(*result) bool) [][]*result {
	var groups [][]*result
	for i := range results {
		r := &results[i]
		if !keep(r) {
			continue
		}
		k := slices.IndexFunc(groups, func(g []*result) bool { return g[0].name() == r.name() })
		if k < 0 {
			groups = append(groups, nil)
			k = len(groups) - 1
		}
		groups[k] = append(groups[k], r)
	}
	return groups
}

// row writes the line of one fault, and says what is missed.
func row(b *strings.Builder, runs []*result) (missed []string) {
	fault := runs[0].faults[0]
	found, over := 0, 0
	var after, dated []time.Duration
	var others []string
	for _, r := range runs {
		v, _ := r.judgeFault(0)
		if v.found && v.inTime {
			found++
		}
		if v.found {
			after, dated = append(after, v.after), append(dated, v.dated)
		}
		if v.ended {
			over++
		}
		if o := r.others(); len(o) > 0 {
			others = append(others, fmt.Sprintf("%s (seed %d)", names(o), r.seed))
		}
	}
	allowed := fault.Lasts + late
	if fault.Within > 0 {
		allowed = fault.Within
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %d of %d | %s | %s | %s | %d | %s |\n", fault.Name, fault.Does, fault.Kind,
		found, len(runs), medianAndWorst(after), span(allowed), medianAndWorst(dated), over, strings.Join(others, "; "))
	if found < len(runs) {
		missed = append(missed, fmt.Sprintf("%s found in %d of %d runs", fault.Name, found, len(runs)))
	}
	if len(others) > 0 {
		missed = append(missed, fmt.Sprintf("%s: other findings in %d of %d runs", fault.Name, len(others), len(runs)))
	}
	return missed
}

func pairRow(b *strings.Builder, runs []*result) (missed []string) {
	for _, r := range runs {
		found := 0
		var after []string
		for i := range r.faults {
			v, _ := r.judgeFault(i)
			text := "missed"
			if v.found {
				text = span(v.after)
				found++
			}
			after = append(after, text)
		}
		fmt.Fprintf(b, "| `%s` | %d of %d | %s | %s |\n", r.name(), found, len(r.faults), strings.Join(after, ", "), names(r.others()))
		if found < len(r.faults) || len(r.others()) > 0 {
			missed = append(missed, "the pair "+r.name())
		}
	}
	return missed
}

// clean writes the line of the runs without a fault.
func clean(b *strings.Builder, results []result) (missed []string) {
	weeks, alarms := 0.0, 0
	var list []string
	for i := range results {
		if r := &results[i]; len(r.faults) == 0 {
			weeks += r.length.Hours() / week.Hours()
			alarms += len(r.findings)
			if len(r.findings) > 0 {
				list = append(list, fmt.Sprintf("seed %d: %s", r.seed, names(r.findings)))
			}
		}
	}
	if weeks == 0 {
		return nil
	}
	fmt.Fprintf(b, "\n## Without a fault\n\n%.4g weeks, half of them with a rate that goes from 40 %% to 160 %% of the mean each day: %d findings, %.3g a week.\n", weeks, alarms, float64(alarms)/weeks)
	for _, text := range list {
		b.WriteString("- " + text + "\n")
	}
	if float64(alarms) >= maxFalseAlarms*max(weeks, 20) {
		missed = append(missed, fmt.Sprintf("%d findings in %.4g weeks without a fault", alarms, weeks))
	}
	return missed
}

// simulated is how long all runs took in their own time.
func simulated(results []result) time.Duration {
	sum := time.Duration(0)
	for i := range results {
		sum += results[i].length
	}
	return sum
}

func medianAndWorst(list []time.Duration) string {
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	worst := list[len(list)-1]
	if -list[0] > worst {
		worst = list[0]
	}
	median := list[len(list)/2]
	if median == worst {
		return span(median)
	}
	return span(median) + ", " + span(worst)
}

// span writes a duration as a person does.
func span(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%s%d s", sign, int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%s%.3g min", sign, d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%s%.3g h", sign, d.Hours())
	}
	return fmt.Sprintf("%s%.3g weeks", sign, d.Hours()/week.Hours())
}
