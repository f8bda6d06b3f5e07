package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge"
)

// result is what came of a run.
type result struct {
	*job
	// seen is when each fault was first there under its right name, after it was
	// switched on; below 0 when it never was.
	seen     []time.Duration
	findings []judge.Finding
	events   []judge.Event
}

// note looks for the faults in the findings of one moment.
func (r *result) note(age time.Duration, findings []judge.Finding) {
	for i := range r.faults {
		if r.seen[i] < 0 && r.match(i, findings) >= 0 {
			r.seen[i] = age - r.episodes[i].At
		}
	}
}

// match returns which of the findings is the fault, -1 for none. One that was there
// before the fault cannot be it.
func (r *result) match(i int, findings []judge.Finding) int {
	on := r.start.Add(r.episodes[i].At)
	return slices.IndexFunc(findings, func(f judge.Finding) bool {
		return !f.Found.Before(on) && !f.Onset.After(on.Add(r.episodes[i].For)) && r.faults[i].Named(f.Kind, f.Subject)
	})
}

// verdict is what is to be said of one fault of a run.
type verdict struct {
	// found under its right name, in time.
	found, inTime bool
	// after is how long after it was switched on, dated by how much the onset is off.
	after, dated time.Duration
	// ended tells that the finding was over an hour after the fault.
	ended bool
}

// judgeFault says what became of a fault: what counts is the name at the end of the
// run, and when it was first there.
func (r *result) judgeFault(i int) (verdict, int) {
	k := r.match(i, r.findings)
	if k < 0 || r.seen[i] < 0 {
		return verdict{}, k
	}
	f, fault := &r.findings[k], r.faults[i]
	v := verdict{found: true, after: r.seen[i], dated: f.Onset.Sub(r.start.Add(r.episodes[i].At)), ended: !f.Open()}
	limit := cmp.Or(fault.Within, fault.Lasts+late)
	v.inTime = v.after <= limit
	return v, k
}

// others are the findings that are none of the faults.
func (r *result) others() []judge.Finding {
	var right []int
	for i := range r.faults {
		if _, k := r.judgeFault(i); k >= 0 {
			right = append(right, k)
		}
	}
	var others []judge.Finding
	for k := range r.findings {
		if !slices.Contains(right, k) {
			others = append(others, r.findings[k])
		}
	}
	return others
}

// line is the result in one line.
func (r *result) line() string {
	var parts []string
	for i := range r.faults {
		v, _ := r.judgeFault(i)
		if v.found {
			parts = append(parts, fmt.Sprintf("found after %v, dated %+v", v.after.Round(time.Second), v.dated.Round(time.Second)))
		} else {
			parts = append(parts, "MISSED")
		}
	}
	if others := r.others(); len(others) > 0 {
		parts = append(parts, "OTHERS: "+names(others))
	}
	return fmt.Sprintf("%-28s seed %-4d %s", r.name(), r.seed, strings.Join(parts, "; "))
}

// short is how a finding is named in a table.
func short(f *judge.Finding) string {
	subject := f.Subject.String()
	if subject == "" {
		return string(f.Kind)
	}
	return string(f.Kind) + " (" + subject + ")"
}

func names(findings []judge.Finding) string {
	var list []string
	for i := range findings {
		list = append(list, short(&findings[i]))
	}
	return strings.Join(list, ", ")
}

// story tells all of a run.
func (r *result) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\nStart %s, rate %v, day %v.\n", r.line(), r.start.Format(time.DateTime), r.rate, r.day)
	for i, e := range r.episodes {
		fmt.Fprintf(&b, "%s is on from %s for %v: %s.\n", e.Fault, clock(r.start.Add(e.At)), e.For, r.faults[i].Does)
	}
	for i := range r.findings {
		f := &r.findings[i]
		ended := "open"
		if !f.Open() {
			ended = "ended " + clock(f.Ended)
		}
		fmt.Fprintf(&b, "- %s: onset %s, found %s, %s\n", short(f), clock(f.Onset), clock(f.Found), ended)
		for k := range f.Symptoms {
			s := &f.Symptoms[k]
			fmt.Fprintf(&b, "  - %s %s: onset %s, over %v: %s\n", s.Kind, s.Subject, clock(s.Onset), s.Over, s.Text)
		}
		for _, h := range f.Hints {
			fmt.Fprintf(&b, "  - hint %s: %s\n", h.Signal, h.Text)
		}
	}
	for _, e := range r.events {
		fmt.Fprintf(&b, "  %s %s %s\n", clock(e.At), e.Kind, e.Text)
	}
	return b.String()
}

func clock(t time.Time) string { return t.UTC().Format("02 15:04:05") }
