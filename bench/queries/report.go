package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// goal is the longest that a query may take.
const goal = 50 * time.Millisecond

// report prints the worst queries of each dashboard, and how many miss the goal.
func report(all []result) {
	fmt.Println("\n| dashboard | queries | over 50 ms when opened | worst when opened, ms | over 50 ms at a day | worst | over 50 ms at 14 days | worst |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	var names []string
	for _, r := range all {
		if !slices.Contains(names, r.dashboard) {
			names = append(names, r.dashboard)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		own := slices.DeleteFunc(slices.Clone(all), func(r result) bool { return r.dashboard != name })
		fmt.Printf("| %s | %d", name, len(own))
		for _, of := range []func(result) time.Duration{result.worst, func(r result) time.Duration { return r.day }, func(r result) time.Duration { return r.fortnight }} {
			over, worst := summary(own, of)
			fmt.Printf(" | %d | %s", over, milliseconds(worst))
		}
		fmt.Println(" |")
	}
	fmt.Println("\n| query | when opened, ms | one case | a day | 14 days |")
	fmt.Println("|---|---|---|---|---|")
	slices.SortStableFunc(all, func(a, b result) int { return cmp.Compare(max(b.worst(), b.fortnight), max(a.worst(), a.fortnight)) })
	for i, r := range all {
		if i < 10 || max(r.worst(), r.day, r.fortnight) > goal {
			fmt.Printf("| %s / %s: %s | %s | %s | %s | %s |\n", r.dashboard, r.panel, r.legend,
				milliseconds(r.opened), milliseconds(r.oneCase), milliseconds(r.day), milliseconds(r.fortnight))
		}
	}
}

func summary(all []result, of func(result) time.Duration) (over int, worst time.Duration) {
	for _, r := range all {
		worst = max(worst, of(r))
		if of(r) > goal {
			over++
		}
	}
	return over, worst
}

// milliseconds writes a time, "-" for none.
func milliseconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
}
