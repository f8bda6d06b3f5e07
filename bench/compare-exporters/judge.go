package main

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
)

// table is what is known of one exporter.
type table struct {
	rows []row
	// without are metrics of the exporter that soakd has no counterpart of.
	without []absence
}

// row is one signal that both read. soakd is read before and after the exporter,
// and the exporter's value must lie between:
//
//	min(before, after) - slack <= (theirs - minus) * scale + offset <= max(before, after) + slack
type row struct {
	signal       string
	theirs, ours selector
	// minus is taken off theirs; none when its name is empty.
	minus selector
	// scale turns their unit into soakd's; 0 stands for 1.
	scale float64
	// offset is what soakd's value has more by its definition.
	offset float64
	// slack is how far a value that goes up and down may lie outside, and share is
	// the same as a share of theirs; the larger counts.
	slack, share float64
	// why explains minus, scale, offset and slack.
	why string
}

// expected is what soakd's value must be, and how far it may be off.
func (r row) expected(theirs, minus float64) (value, slack float64) {
	scale := r.scale
	if scale == 0 {
		scale = 1
	}
	value = (theirs-minus)*scale + r.offset
	// Sums and units leave differences in the last digits of a double.
	rounding := 1e-12 * math.Abs(value)
	return value, max(r.slack, r.share*math.Abs(value), rounding)
}

// isPlain reports whether the values must be the same without an explanation.
func (r row) isPlain() bool {
	return r.minus.name == "" && (r.scale == 0 || r.scale == 1) && r.offset == 0 && r.slack == 0 && r.share == 0
}

// absence says why soakd has no counterpart of metrics whose whole name matches.
type absence struct {
	pattern *regexp.Regexp
	why     string
}

func without(pattern, why string) absence {
	return absence{regexp.MustCompile("^(?:" + pattern + ")$"), why}
}

// round is what was read in one round: soakd before and after the exporter.
type round struct{ before, theirs, after []series }

// verdict is a row with what was seen in a round: the first that was wrong, or
// the last.
type verdict struct {
	row
	theirs, minus, before, after float64
	// problem is empty when the row is right.
	problem string
}

// difference is the expected value less the nearer of soakd's two; 0 when it
// lies between.
func (v verdict) difference() float64 {
	value, _ := v.expected(v.theirs, v.minus)
	low, high := min(v.before, v.after), max(v.before, v.after)
	switch {
	case math.IsNaN(value):
		return value
	case value < low:
		return value - low
	case value > high:
		return value - high
	}
	return 0
}

// judgeRow looks at every round.
func judgeRow(r row, rounds []round) verdict {
	v := verdict{row: r, problem: "nothing was read"}
	for _, one := range rounds {
		v = judgeRound(r, one)
		if v.problem != "" {
			return v
		}
	}
	return v
}

func judgeRound(r row, one round) verdict {
	v := verdict{row: r}
	var theirs, minus, before, after bool
	v.theirs, theirs = r.theirs.sum(one.theirs)
	v.minus, minus = r.minus.sum(one.theirs)
	v.before, before = r.ours.sum(one.before)
	v.after, after = r.ours.sum(one.after)
	switch {
	case !theirs || r.minus.name != "" && !minus:
		v.problem = "the exporter has it not"
	case !before || !after:
		v.problem = "soakd has it not"
	case !r.isPlain() && r.why == "":
		v.problem = "the row allows a difference that it does not explain"
	default:
		_, slack := r.expected(v.theirs, v.minus)
		if difference := v.difference(); math.IsNaN(difference) || math.Abs(difference) > slack {
			v.problem = fmt.Sprintf("off by more than %.4g", slack)
		}
	}
	return v
}

// coverage says for every metric of the exporter that is in no row why, and which
// are in no table at all.
type coverage struct {
	// explained are the names by the reason.
	explained map[string][]string
	unknown   []string
	// onlyOurs are soakd's metrics that no row compares.
	onlyOurs []string
}

func (t table) coverage(rounds []round) coverage {
	theirs, ours := map[string]bool{}, map[string]bool{}
	for _, one := range rounds {
		for _, s := range one.theirs {
			theirs[s.name] = true
		}
		for _, s := range one.after {
			ours[s.name] = true
		}
	}
	for _, r := range t.rows {
		delete(theirs, r.theirs.name)
		delete(theirs, r.minus.name)
		delete(ours, r.ours.name)
	}
	c := coverage{explained: map[string][]string{}, onlyOurs: slices.Sorted(maps.Keys(ours))}
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		i := slices.IndexFunc(t.without, func(a absence) bool { return a.pattern.MatchString(name) })
		if i < 0 {
			c.unknown = append(c.unknown, name)
			continue
		}
		c.explained[t.without[i].why] = append(c.explained[t.without[i].why], name)
	}
	return c
}

// outcome is what the comparison of one server came to.
type outcome struct {
	// title names the server and the exporter.
	title string
	rows  []verdict
	coverage
}

// judge compares what was read of one server.
func judge(title string, t table, rounds []round) outcome {
	o := outcome{title: title, coverage: t.coverage(rounds)}
	for _, r := range t.rows {
		o.rows = append(o.rows, judgeRow(r, rounds))
	}
	return o
}

// problems counts what is unexplained.
func (o outcome) problems() int {
	n := len(o.unknown)
	for _, v := range o.rows {
		if v.problem != "" {
			n++
		}
	}
	return n
}
