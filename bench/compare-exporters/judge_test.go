package main

import (
	"math"
	"strings"
	"testing"
)

func one(name string, value float64, labels ...string) series {
	return series{name, pick(name, labels...).labels, value}
}

func TestJudgeRow(t *testing.T) {
	plain := row{theirs: pick("x"), ours: pick("o")}
	with := func(change func(*row)) row {
		r := plain
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		row                   row
		theirs, before, after float64
		problem               string
		difference            float64
	}{
		"the same":            {plain, 5, 5, 5, "", 0},
		"between":             {plain, 5, 4, 6, "", 0},
		"between, falling":    {plain, 5, 6, 4, "", 0},
		"below":               {plain, 3, 4, 6, "off by more than", -1},
		"above":               {plain, 8, 4, 6, "off by more than", 2},
		"a clock's last bits": {plain, 1.7e9, 1.7e9 + 1e-6, 1.7e9 + 1e-6, "", -1e-6},
		"a clock":             {plain, 1.7e9, 1.7e9 + 1, 1.7e9 + 1, "off by more than", -1},
		"no number":           {plain, math.NaN(), 1, 1, "off by more than", math.NaN()},
		"unit":                {with(func(r *row) { r.scale, r.why = 0.001, "ms" }), 1500, 1.5, 1.5, "", 0},
		"wrong unit":          {with(func(r *row) { r.scale, r.why = 0.001, "ms" }), 1500, 1500, 1500, "off by more than", 1.5 - 1500},
		"offset":              {with(func(r *row) { r.offset, r.why = 1, "ids from 0" }), 7, 8, 8, "", 0},
		"no offset":           {with(func(r *row) { r.offset, r.why = 1, "ids from 0" }), 7, 7, 7, "off by more than", 1},
		"minus":               {with(func(r *row) { r.minus, r.why = pick("m"), "reserved" }), 60, 57, 57, "", 0},
		"slack":               {with(func(r *row) { r.slack, r.why = 2, "moves" }), 8, 6, 6, "", 2},
		"more than the slack": {with(func(r *row) { r.slack, r.why = 2, "moves" }), 9, 6, 6, "off by more than 2", 3},
		"share":               {with(func(r *row) { r.share, r.why = 0.05, "moves" }), 100, 95, 95, "", 5},
		"unexplained":         {with(func(r *row) { r.slack = 2 }), 5, 5, 5, "does not explain", 0},
	} {
		all := round{before: []series{one("o", c.before)}, theirs: []series{one("x", c.theirs), one("m", 3)}, after: []series{one("o", c.after)}}
		right := round{before: []series{one("o", 0)}, theirs: []series{one("x", 0), one("m", 0)}, after: []series{one("o", 0)}}
		got := judgeRound(c.row, all)
		if (c.problem == "") != (got.problem == "") || !strings.Contains(got.problem, c.problem) {
			t.Errorf("%s: problem %q, want %q", name, got.problem, c.problem)
		}
		if d := got.difference(); math.Abs(d-c.difference) > 1e-7 || math.IsNaN(d) != math.IsNaN(c.difference) {
			t.Errorf("%s: difference %v, want %v", name, d, c.difference)
		}
		// A round that is wrong is not made up for by those that are right.
		if later := judgeRow(c.row, []round{all, right}); c.problem != "" && later.problem == "" {
			t.Errorf("%s: forgotten in the next round", name)
		}
	}
	absent := round{before: []series{one("o", 1)}, theirs: []series{one("x", 1)}, after: nil}
	if got := judgeRound(plain, absent); got.problem != "soakd has it not" {
		t.Errorf("absent in soakd: %q", got.problem)
	}
	if got := judgeRound(plain, round{before: absent.before, after: absent.before}); got.problem != "the exporter has it not" {
		t.Errorf("absent in the exporter: %q", got.problem)
	}
	if got := judgeRow(plain, nil); got.problem == "" {
		t.Error("right though nothing was read")
	}
}

func TestSelectorAddsUpWhatItPicks(t *testing.T) {
	all := []series{one("n", 1, "a", "x", "b", "1"), one("n", 2, "a", "x", "b", "2"), one("n", 4, "a", "y"), one("other", 8, "a", "x")}
	for _, c := range []struct {
		selector selector
		want     float64
		ok       bool
	}{
		{pick("n"), 7, true},
		{pick("n", "a", "x"), 3, true},
		{pick("n", "a", "x", "b", "2"), 2, true},
		{pick("n", "b", "1", "a", "y"), 0, false},
		{pick("none"), 0, false},
		{selector{}, 0, false},
	} {
		if got, ok := c.selector.sum(all); got != c.want || ok != c.ok {
			t.Errorf("%v: %v, %v", c.selector, got, ok)
		}
	}
}

func TestMetricsInNoTableAreProblems(t *testing.T) {
	known := table{
		rows:    []row{{theirs: pick("x"), minus: pick("m"), ours: pick("o"), why: "reserved"}},
		without: []absence{without("go_.*", "its own"), without("x", "never reached")},
	}
	readings := []round{{
		before: []series{one("o", 1), one("alone", 1)}, after: []series{one("o", 1), one("alone", 1)},
		theirs: []series{one("x", 3), one("m", 2), one("go_gc", 1), one("going", 1), one("new_total", 1)},
	}}
	got := judge("title", known, readings)
	if strings.Join(got.unknown, " ") != "going new_total" || strings.Join(got.explained["its own"], " ") != "go_gc" ||
		strings.Join(got.onlyOurs, " ") != "alone" || got.problems() != 2 {
		t.Errorf("%+v, %d problems", got.coverage, got.problems())
	}
	var text strings.Builder
	if n := writeReport(&text, []outcome{got, judge("empty", known, nil)}); n != 3 {
		t.Errorf("%d problems, want two unknown metrics and a row without values:\n%s", n, &text)
	}
	for _, part := range []string{"## title", "| `x - m` | 3 - 2 | `o` | 1 | 0 | reserved |", "- **new_total: no table knows it**", "- its own (go_gc)", "**nothing was read** reserved", "soakd alone has 1 metrics here: alone"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the report lacks %q:\n%s", part, &text)
		}
	}
}

// Each table explains what it leaves out and names no signal twice.
func TestTables(t *testing.T) {
	for name, known := range map[string]table{"postgres": postgresTable(), "redis": redisTable()} {
		seen := map[string]bool{}
		for _, r := range known.rows {
			if seen[r.signal] || r.theirs.name == "" || r.ours.name == "" || !strings.HasPrefix(r.ours.name, "soakd_") {
				t.Errorf("%s: row %q is twice there or lacks a name", name, r.signal)
			}
			seen[r.signal] = true
			if !r.isPlain() && r.why == "" {
				t.Errorf("%s: row %q allows a difference that it does not explain", name, r.signal)
			}
		}
		for _, a := range known.without {
			if len(a.why) < 15 {
				t.Errorf("%s: %v is left out without a reason", name, a.pattern)
			}
		}
	}
}
