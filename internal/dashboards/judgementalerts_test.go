package dashboards

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/objective"
)

// The policies are the one that ships, those of shorter and longer soaks, and one
// that is so short that two of its windows are the same.
func policies() []objective.Policy {
	var all []objective.Policy
	for _, period := range []time.Duration{0, time.Hour, 10 * time.Hour, 7 * 24 * time.Hour, 90 * 24 * time.Hour} {
		all = append(all, objective.Policy{Period: period})
	}
	return all
}

// The alerts have the factors, windows and severities of whatever policy they are
// made from.
func TestBurnAlertsFollowThePolicy(t *testing.T) {
	for _, policy := range policies() {
		alerts, names, exprs := burnAlerts(policy), map[string]bool{}, map[string]bool{}
		if len(alerts) != len(policy.Burns()) {
			t.Fatalf("%v: %d alerts for the burns %+v", policy.Period, len(alerts), policy.Burns())
		}
		for i, b := range policy.Burns() {
			a, expr := alerts[i], alerts[i].Expr()
			factor := fmt.Sprintf("> %v", b.Factor)
			long, short := "["+brief(b.Long)+"]", "["+brief(b.Short)+"]"
			if string(a.Severity) != string(b.Severity) || a.Condition != factor || strings.Count(expr, factor) != 2 || strings.Count(expr, "14.4") != map[bool]int{true: 2}[b.Factor == 14.4] {
				t.Errorf("%v: %s is a %s with\n%s\nwant a %s with %s twice", policy.Period, a.Name, a.Severity, expr, b.Severity, factor)
			}
			if strings.Count(expr, long) != 3 || strings.Count(expr, short) != 2 || len(regexp.MustCompile(`\[\w+\]`).FindAllString(expr, -1)) != 5 {
				t.Errorf("%v: %s has\n%s\nwant the windows %s and %s", policy.Period, a.Name, expr, long, short)
			}
			if exprs[expr] || names[a.Name] {
				t.Errorf("%v: %s is there twice:\n%s", policy.Period, a.Name, expr)
			}
			exprs[expr], names[a.Name] = true, true
		}
	}
	if a := burnAlerts(objective.Policy{}); !slices.EqualFunc(a, Default().resolved().judgementAlerts()[:len(a)], func(x, y Alert) bool { return x == y }) {
		t.Errorf("the alerts that ship are not those of the default policy")
	}
}

// Over a whole window a burn above the factor is told, with the rate, and one below
// is not, with every policy.
func TestBurnsOverWholeWindows(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector, which has nothing to find here; make test runs it without")
	}
	file := queryTestFile{EvaluationInterval: "1h"} // promtool looks at whole ones
	for _, policy := range policies() {
		for i, a := range burnAlerts(policy) {
			b := policy.Burns()[i]
			if b.Long > 3*24*time.Hour {
				continue // those of 90 days have windows of more than a week
			}
			for _, rate := range []float64{0.9 * b.Factor, 1.1 * b.Factor} {
				file.Tests = append(file.Tests, wholeWindow(fmt.Sprintf("%v: %s at %v", policy.Period, a.Name, rate), a, b, rate))
			}
		}
	}
	checkQueries(t, file)
}

// wholeWindow expects the alert, or not, where the budget of an objective of 98 %
// has burned at the rate for longer than the long window.
func wholeWindow(name string, a Alert, b objective.Burn, rate float64) queryTestGroup {
	const labels = `{job="soakd",instance="soakd:9470",slo="x"}`
	const step, requests = 30 * time.Second, 1000
	at := (b.Long + 2*time.Hour).Truncate(time.Hour)
	of := func(metric string, start, each float64) inputSeries {
		return inputSeries{Series: metric + labels, Values: fmt.Sprintf("%g+%gx%d", start, each, at/step)}
	}
	test := queryTest{Expr: "round(" + a.Expr() + ", 0.001)", EvalTime: brief(at)}
	if rate > b.Factor {
		test.Samples = []sample{{labels, math.Round(rate*1000) / 1000}}
	}
	return queryTestGroup{
		Name: name, Interval: "30s", Queries: []queryTest{test},
		InputSeries: []inputSeries{
			of("soakd_slo_objective_ratio", 0.98, 0), of("soakd_slo_events_total", 0, requests), of("soakd_slo_bad_events_total", 0, rate*0.02*requests),
		},
	}
}

// What the runbook says of the burns is what they are.
func TestRunbookHasTheNumbersOfTheBurns(t *testing.T) {
	sections, _ := runbookSections(t, runbookText(t), "## ")
	for i, a := range burnAlerts(objective.Policy{}) {
		b := objective.Policy{}.Burns()[i]
		for _, number := range []string{fmt.Sprintf(" %v times what", b.Factor), "last " + brief(b.Long), "last " + brief(b.Short), " " + spent(b, objective.Policy{})} {
			if !strings.Contains(strings.ReplaceAll(sections[a.Name], "\n", " "), number) {
				t.Errorf("%s: section %s does not say %q", runbook, a.Name, number)
			}
		}
	}
	for _, name := range []string{"objectives.go", "judgementalerts.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "14.4") {
			t.Errorf("%s writes a factor of objective.Policy a second time", filepath.Base(name))
		}
	}
}

// Each kind of finding raises an alert: its own, which exists, or SoakdFinding.
func TestEveryKindOfFindingRaisesAnAlert(t *testing.T) {
	own, names := ownAlerts(), map[string]Alert{}
	for _, a := range Default().Alerts() {
		names[a.Name] = a
	}
	for kind, alerts := range own {
		if !slices.Contains(finding.Kinds(), kind) || len(alerts) == 0 {
			t.Errorf("there is no kind %q, or it has no alert: %q", kind, alerts)
		}
		for _, name := range alerts {
			if _, ok := names[name]; !ok {
				t.Errorf("%s: there is no alert %s", kind, name)
			}
		}
	}
	left := regexp.MustCompile(`kind!~"([^"]*)"`).FindStringSubmatch(names["SoakdFinding"].Signal)
	if left == nil {
		t.Fatalf("SoakdFinding leaves no kind out: %s", names["SoakdFinding"].Signal)
	}
	excluded := strings.Split(left[1], "|")
	slices.Sort(excluded)
	if want := slices.Sorted(slices.Values(texts(slices.Collect(maps.Keys(own))))); !slices.Equal(excluded, want) {
		t.Errorf("SoakdFinding leaves out %q, want those with alerts of their own %q", excluded, want)
	}
}

// A change of the target's version is marked, and neither the first version that a
// soakd sees nor one that stays.
func TestVersionChangesAreMarked(t *testing.T) {
	signal := ""
	for _, a := range Annotations() {
		if a.Name == "Version of the target" {
			signal = substituted(a.Signal)
		}
	}
	of := func(version, values string) inputSeries {
		return inputSeries{Series: `soakd_target_info{job="soakd",instance="soakd:9470",version="` + version + `"}`, Values: values}
	}
	labels := func(version string) string { return `{job="soakd",instance="soakd:9470",version="` + version + `"}` }
	checkQueries(t, queryTestFile{EvaluationInterval: "1s", Tests: []queryTestGroup{{
		Name: "a version after another", Interval: "1s",
		InputSeries: []inputSeries{of("1", "_x5 1+0x25 stale"), of("2", "_x31 1+0x30")},
		Queries: []queryTest{
			{signal, "8s", nil}, // it was not known before that there was one
			{signal, "20s", []sample{{labels("1"), 0}}},
			{signal, "35s", []sample{{labels("2"), 1}}},
			{signal, "50s", []sample{{labels("2"), 0}}},
		},
	}}})
}
