package main

import (
	"strings"
	"testing"

	"soakd/internal/judge/baseline"
	"soakd/internal/judge/finding"
)

// A few pairs of the real thing: what changed a lot is found under its name, and what
// did not is the same.
func TestShortRuns(t *testing.T) {
	o := options{short: 4, first: 10, parallel: 2, rate: 50, fault: "none,forecast_50,errors_2"}
	all, err := shortRuns(t.Context(), &o)
	if err != nil {
		t.Fatal(err)
	}
	text, missed := shortReport(all)
	if len(missed) > 0 {
		t.Errorf("missed: %v\n%s", missed, text)
	}
	for _, want := range []string{
		"| `none`: nothing changed, on the same machine | 4 | 0 % | 0 % | 0 % |",
		"| `none`: nothing changed, on the same machine, against 2 h | 4 | 0 % | 0 % | 0 % | 100 % | 0 % |",
		"| `forecast_50`: forecasts take 50 % longer | 4 | 100 % | 100 % |",
		"| `errors_2`: 2 % of the valid requests fail, against 2 h | 4 | 100 % | 100 % | 0 % |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestShortReport(t *testing.T) {
	c := compared{change: change{name: "x", does: "does y", expected: timeOf("get")}, results: map[baseline.Result]int{}}
	for _, rows := range [][]baseline.Row{
		{{Case: "get", Signal: baseline.P95Time, Result: baseline.Worse}},
		{{Case: "list", Signal: baseline.P95Time, Result: baseline.Worse, Text: "the list"}, {Class: finding.AllTraffic, Signal: baseline.MedianTime}},
		{{Case: "get", Signal: baseline.ErrorRatio, Result: baseline.Worse, Text: "failures"}},
		{},
	} {
		result := baseline.Same
		if len(rows) > 0 {
			result = rows[0].Result
		}
		c.note(&baseline.Comparison{Result: result, Rows: rows})
	}
	text, missed := shortReport([]compared{c})
	if !strings.Contains(text, "| `x`: does y | 4 | 75 % | 25 % | 50 % | 25 % | 0 % |") || len(missed) != 0 || len(c.texts) != 2 {
		t.Errorf("%v, %v\n%s", missed, c.texts, text)
	}
	c.expected = nil
	if _, missed = shortReport([]compared{c}); len(missed) != 1 || missed[0] != "x: called worse in 2 of 4 pairs" {
		t.Error(missed)
	}
}
