package dashboards

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// kind is what a unit test of an alert shows.
type kind string

// Every alert has at least one test of each kind, in this order.
const (
	// fires: the fault is there, just beyond the limit.
	fires kind = "fires"
	// quiet: all is well, just below the limit, with look-alikes that must not count.
	quiet kind = "quiet"
	// absent: the series do not exist.
	absent kind = "absent"
	// reset: counters fall to 0 or processes start anew, and nothing else is wrong.
	reset kind = "counter reset"
)

func kinds() []kind { return []kind{fires, quiet, absent, reset} }

// ruleTest is one unit test of one alert.
type ruleTest struct {
	alert string
	kind  kind
	// about tells tests of one kind apart.
	about string
	// series are the input: a series without job and instance, and its values a
	// minute apart in promtool's notation.
	series [][2]string
	// at is when the alert is looked at.
	at string
	// pending is when the fault is there already, but not for long enough; of
	// tests that fire.
	pending string
	// calm are further moments at which the alert is not up.
	calm []string
	// want are the alerts expected then.
	want []wanted
}

// wanted is one alert that fires: its labels beside job, instance and severity,
// and its texts with the figure.
type wanted struct {
	labels               map[string]string
	summary, description string
	// global marks an alert without job and instance.
	global bool
}

// The file as promtool reads it.
type (
	ruleTestFile struct {
		RuleFiles          []string    `yaml:"rule_files"`
		EvaluationInterval string      `yaml:"evaluation_interval"`
		Tests              []testGroup `yaml:"tests"`
	}
	testGroup struct {
		Name           string        `yaml:"name"`
		Interval       string        `yaml:"interval"`
		InputSeries    []inputSeries `yaml:"input_series"`
		AlertRuleTests []alertTest   `yaml:"alert_rule_test"`
	}
	inputSeries struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	alertTest struct {
		EvalTime  string          `yaml:"eval_time"`
		AlertName string          `yaml:"alertname"`
		ExpAlerts []expectedAlert `yaml:"exp_alerts"`
	}
	expectedAlert struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations annotations       `yaml:"exp_annotations"`
	}
)

const (
	testJob      = "soakd"
	testInstance = "soakd:9470"
)

// withOrigin adds job and instance to a series that does not name them.
func withOrigin(series string) string {
	if strings.Contains(series, "job=") {
		return series
	}
	origin := `job="` + testJob + `",instance="` + testInstance + `"`
	if name, rest, ok := strings.Cut(series, "{"); ok {
		return name + "{" + origin + "," + rest
	}
	return series + "{" + origin + "}"
}

func (rt ruleTest) group(a Alert) testGroup {
	name := rt.alert + " " + string(rt.kind)
	if rt.about != "" {
		name += ": " + rt.about
	}
	g := testGroup{Name: name, Interval: "1m", InputSeries: []inputSeries{
		// Something else is always there: the storage is never empty.
		{Series: `up{job="prometheus",instance="127.0.0.1:9090"}`, Values: "1+0x500"},
	}}
	for _, s := range rt.series {
		g.InputSeries = append(g.InputSeries, inputSeries{Series: withOrigin(s[0]), Values: s[1]})
	}
	expected := []expectedAlert{}
	for _, w := range rt.want {
		all := map[string]string{"severity": string(a.Severity)}
		if !w.global {
			all["job"], all["instance"] = testJob, testInstance
		}
		maps.Copy(all, w.labels)
		texts := a.rule().Annotations
		expected = append(expected, expectedAlert{Labels: all, Annotations: annotations{
			Summary: w.summary, Description: w.description, Dashboard: texts.Dashboard, Runbook: texts.Runbook,
		}})
	}
	g.AlertRuleTests = []alertTest{{EvalTime: rt.at, AlertName: rt.alert, ExpAlerts: expected}}
	calm := rt.calm
	if rt.pending != "" {
		calm = append([]string{rt.pending}, calm...)
	}
	for _, at := range calm {
		g.AlertRuleTests = append(g.AlertRuleTests, alertTest{EvalTime: at, AlertName: rt.alert, ExpAlerts: []expectedAlert{}})
	}
	return g
}

// ruleTestGroups are all unit tests as promtool reads them.
func ruleTestGroups(t *testing.T) []testGroup {
	t.Helper()
	byName := map[string]Alert{}
	for _, a := range Default().Alerts() {
		byName[a.Name] = a
	}
	var groups []testGroup
	for _, rt := range ruleTests() {
		a, ok := byName[rt.alert]
		if !ok {
			t.Fatalf("a unit test names the alert %s, which does not exist", rt.alert)
		}
		groups = append(groups, rt.group(a))
	}
	return groups
}

// ruleTestsYAML writes these unit tests of the rules in a file for promtool.
func ruleTestsYAML(t *testing.T, rules string, groups []testGroup) []byte {
	t.Helper()
	file := ruleTestFile{RuleFiles: []string{rules}, EvaluationInterval: "1m", Tests: groups}
	head := "# Written by `go test ./internal/dashboards -run Current -update` from internal/dashboards/ruletests_test.go.\n" +
		"# Run with `promtool test rules`. In a folder of its own: Prometheus would take it for rules.\n"
	content, err := marshalYAML(head, file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestEveryAlertHasItsUnitTests(t *testing.T) {
	found, pending, names := map[string][]kind{}, map[string]bool{}, map[string]bool{}
	for _, rt := range ruleTests() {
		name := rt.alert + " " + string(rt.kind) + rt.about
		if names[name] {
			t.Errorf("%s %s: two tests are about %q", rt.alert, rt.kind, rt.about)
		}
		names[name] = true
		found[rt.alert] = append(found[rt.alert], rt.kind)
		pending[rt.alert] = pending[rt.alert] || rt.pending != ""
		switch {
		case rt.kind == fires && len(rt.want) == 0:
			t.Errorf("%s %s: expects no alert", rt.alert, rt.kind)
		case rt.kind == quiet && len(rt.want) > 0, rt.kind == reset && len(rt.want) > 0:
			t.Errorf("%s %s: expects an alert", rt.alert, rt.kind)
		case rt.kind == absent && len(rt.series) > 0:
			t.Errorf("%s %s: has series", rt.alert, rt.kind)
		case rt.kind != absent && len(rt.series) == 0:
			t.Errorf("%s %s: has no series", rt.alert, rt.kind)
		}
	}
	for _, a := range Default().Alerts() {
		if pending[a.Name] != (a.For != "") {
			t.Errorf("%s waits %q: pending tested %v", a.Name, a.For, pending[a.Name])
		}
		if !slices.Equal(slices.Compact(found[a.Name]), kinds()) {
			t.Errorf("%s has the unit tests %q, want %q", a.Name, found[a.Name], kinds())
		}
	}
}
