package main

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	s := full(5 * time.Second)
	rows := []row{
		{entry: s.entries[0], samples: []sample{{cpu: 10, answered: 500}, {cpu: 12, answered: 700}, {cpu: 11, answered: 600}}},
		{entry: s.entries[1], samples: []sample{{cpu: 22, answered: 100, arrived: 100, claim: claim{Requests: 900}}}, failed: []error{errors.New("it broke")}},
		{entry: entry{label: "k6"}, missing: errors.New("no k6 on PATH")},
	}
	text := table(s, rows)
	for _, want := range []string{
		"| soakd | 11.0 (10.0..12.0) | 1.00 |", "| wrk | 22.0 (22.0..22.0) | 2.00 |",
		"- wrk: 1 of 2 runs failed, the last with: it broke\n",
		"- wrk: says that it sent 900 requests; 100 arrived at the target\n",
		"- k6: skipped: no k6 on PATH\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestGoals(t *testing.T) {
	r := results{"full": {
		{entry: entry{label: "soakd"}, samples: []sample{{cpu: 12, resident: 31}}},
		{entry: entry{label: "wrk"}, samples: []sample{{cpu: 10}}},
		{entry: entry{label: "bombardier"}, samples: []sample{{cpu: 9}, {cpu: 11}, {cpu: 12}}},
	}}
	got := map[string]goal{}
	for _, g := range r.goals() {
		got[g.what] = g
	}
	for what, want := range map[string]float64{
		"full speed: CPU in wrk's":                                1.2,
		"full speed: CPU in bombardier's, at its highest":         1,
		"full speed: resident MiB":                                31,
		"full speed: CPU in k6's":                                 math.NaN(),
		"latency1ms: worst quantile off, in parts of 1 % + 50 us": math.NaN(),
	} {
		if g, found := got[what]; !found || (g.measured != want && !(math.IsNaN(g.measured) && math.IsNaN(want))) {
			t.Errorf("%s: %v, want %v", what, g.measured, want)
		}
	}
	text := goalTable(r.goals())
	for _, want := range []string{"| full speed: CPU in wrk's | 1.20 | 1.30 | reached |", "| full speed: resident MiB | 31.0 | 30.0 | missed |", "| full speed: CPU in k6's | - | 0.154 | not measured |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
