package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge"
)

// maxListed bounds the findings that the page and the table list.
const maxListed = 20

// latest returns the newest findings first, those that last before the others.
func latest(all []judge.Finding) []judge.Finding {
	list := slices.Clone(all)
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b judge.Finding) int {
		switch {
		case a.Open() == b.Open():
			return 0
		case a.Open():
			return -1
		}
		return 1
	})
	return list[:min(len(list), maxListed)]
}

// when writes a moment in UTC, to the second.
func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// Judgement writes the verdict of a run and what was found in it, for the end of it;
// "" when nothing was judged.
func Judgement(v judge.Verdict, findings []judge.Finding) string {
	if v.Windows == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nverdict: %s\n", v.Text)
	findings = slices.DeleteFunc(slices.Clone(findings), func(f judge.Finding) bool { return !v.Concerns(&f) })
	for _, f := range latest(findings) {
		state := "lasts"
		if !f.Open() {
			state = "until " + when(f.Ended)
		}
		fmt.Fprintf(&b, "  found %s, %s (from %s, %s): %s\n", f.Kind, f.Subject, when(f.Onset), state, f.Text)
		for _, e := range f.Nearby {
			what := e.Text
			if e.Kind == judge.Drill {
				what = "drill: " + what
			}
			fmt.Fprintf(&b, "    near its start: %s\n", what)
		}
		for _, h := range f.Hints {
			fmt.Fprintf(&b, "    moved with it: %s\n", h.Text)
		}
	}
	if v.Result == judge.Pass {
		for _, unknown := range v.Unknown {
			fmt.Fprintf(&b, "  not known: %s\n", unknown)
		}
	}
	return b.String()
}
