package dashboards

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const alertmanagerExample = "../../deploy/alertmanager.yml"

func TestAmtoolChecksTheExample(t *testing.T) {
	path, err := exec.LookPath("amtool")
	if err != nil {
		t.Fatal("no amtool on this machine: it comes with Alertmanager, e.g. `apt-get install prometheus-alertmanager` (Debian, Ubuntu), `brew install alertmanager` (macOS)")
	}
	if output, err := exec.CommandContext(t.Context(), path, "check-config", alertmanagerExample).CombinedOutput(); err != nil {
		t.Errorf("amtool check-config %s: %v\n%s", alertmanagerExample, err, output)
	}
}

// inhibition is what is read of a rule of the example.
type inhibition struct {
	Source []string `yaml:"source_matchers"`
	Target []string `yaml:"target_matchers"`
	Equal  []string `yaml:"equal"`
}

// namesIn are the alerts that a matcher names; none of a pattern for all.
func namesIn(matcher string) []string {
	_, values, ok := strings.Cut(matcher, "\"")
	if !ok || !strings.HasPrefix(matcher, "alertname") || strings.HasSuffix(values, `.+"`) {
		return nil
	}
	return strings.Split(strings.TrimSuffix(values, "\""), "|")
}

// An inhibition by a name that no alert has, or by a label that it does not bear, is silent
// about it: Alertmanager takes labels that both lack for equal.
func TestInhibitionsNameWhatExists(t *testing.T) {
	content, err := os.ReadFile(alertmanagerExample)
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		Rules []inhibition `yaml:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(content, &example); err != nil || len(example.Rules) == 0 {
		t.Fatalf("%s has %d inhibitions: %v", alertmanagerExample, len(example.Rules), err)
	}
	borne := labelsInTests()
	for _, rule := range example.Rules {
		wanted := rule.Equal
		for _, matcher := range append(rule.Source, rule.Target...) {
			if label := regexp.MustCompile(`^[a-z]+`).FindString(matcher); label != "alertname" {
				continue
			}
			for _, name := range namesIn(matcher) {
				if borne[name] == nil {
					t.Errorf("%s: there is no alert %q", alertmanagerExample, name)
				}
				for _, label := range wanted {
					if name != "SoakdAbsent" && !borne[name][label] {
						t.Errorf("%s: %s has no label %q that has to be equal", alertmanagerExample, name, label)
					}
				}
			}
		}
		for _, side := range [][]string{rule.Source, rule.Target} {
			bearsItsLabels(t, side, borne)
		}
	}
}

// bearsItsLabels asserts that the alerts of one side have the labels it is narrowed by.
func bearsItsLabels(t *testing.T, side []string, borne map[string]map[string]bool) {
	t.Helper()
	for _, matcher := range side[1:] {
		label := regexp.MustCompile(`^[a-z]+`).FindString(matcher)
		for _, name := range namesIn(side[0]) {
			if label != "alertname" && !borne[name][label] {
				t.Errorf("%s: %s has no label of %s", alertmanagerExample, name, matcher)
			}
		}
	}
}

// labelsInTests are the labels that each alert has when it fires in its unit tests.
func labelsInTests() map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, rt := range ruleTests() {
		for _, w := range rt.want {
			if all[rt.alert] == nil {
				all[rt.alert] = map[string]bool{"alertname": true, "severity": true, "job": !w.global, "instance": !w.global}
			}
			for label := range w.labels {
				all[rt.alert][label] = true
			}
		}
	}
	return all
}

// The board is red where somebody is paged, and not only once there is an hour left.
func TestTimeToTheLimitIsRedWhereItPages(t *testing.T) {
	if red := toTheLimit()[0]; red.Value != urgentLeakSeconds || !red.Below {
		t.Errorf("the first threshold is %+v, want below %d s", red, urgentLeakSeconds)
	}
}

// Every severity has a route of its own.
func TestRoutesForEverySeverity(t *testing.T) {
	content, err := os.ReadFile(alertmanagerExample)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range Default().Alerts() {
		if route := `matchers: [severity="` + string(a.Severity) + `"]`; !strings.Contains(string(content), route) {
			t.Errorf("%s has no route %s, for %s", alertmanagerExample, route, a.Name)
		}
	}
}
