package dashboards

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Severity says whom an alert reaches.
type Severity string

// The severities.
const (
	// Page: somebody looks now.
	Page Severity = "page"
	// Ticket: somebody looks on the next working day.
	Ticket Severity = "ticket"
	// Info: nobody looks; it is there to keep other alerts quiet.
	Info Severity = "info"
)

// Group is a group of rules that Prometheus evaluates in order, one after the
// other: an alert sees what the recordings before it have just written.
type Group struct {
	Name string
	// Interval is the time between two evaluations, in Prometheus' notation; "" for
	// that of the server.
	Interval   string
	Recordings []Recording
	Alerts     []Alert
}

// Recording is a query whose result is kept under a name of its own:
// level:metric:operation.
type Recording struct {
	Record, Query string
}

// Alert is a signal and the condition under which somebody is told.
type Alert struct {
	// Name is unique; it is also the heading of the runbook's section.
	Name string
	// Signal is PromQL that has data on a healthy system.
	Signal string
	// Condition is the comparison that makes the signal an alert: "> 0.8".
	Condition string
	// Only narrows an alert down to the series for which it makes sense: "and on
	// (...) ..." or "unless on (...) ...", "" for all. It may have no data on a
	// healthy system.
	Only string
	// For is how long the condition must hold, in Prometheus' notation; "" means
	// that once is enough.
	For      string
	Severity Severity
	// Summary is one line, Description has the figure and what to do first; both
	// are Prometheus templates.
	Summary, Description string
	// Dashboard is the UID of the dashboard to look at.
	Dashboard string
	// GrafanaURL and RunbookURL are those of the [Settings].
	GrafanaURL, RunbookURL string
}

// runbook is where the sections stand, seen from the root of the repository. Its
// head tells how the paths in the annotations become addresses.
const runbook = "docs/runbook.md"

// Anchor is the runbook's section, as GitHub makes anchors of headings.
func (a Alert) Anchor() string { return strings.ToLower(a.Name) }

// Expr is the query that Prometheus evaluates.
func (a Alert) Expr() string {
	expr := condition(a.Signal, a.Condition)
	if strings.Contains(a.Signal, "\n") {
		expr = "(\n  " + strings.ReplaceAll(a.Signal, "\n", "\n  ") + "\n)\n" + a.Condition
	}
	if a.Only != "" {
		expr += "\n" + a.Only
	}
	return expr
}

// Rules returns the groups of rules that fit the settings.
func (s Settings) Rules() []Group {
	s = s.resolved()
	all := s.fittingGroups(s.everyGroup())
	for i := range all {
		for j := range all[i].Alerts {
			all[i].Alerts[j].GrafanaURL, all[i].Alerts[j].RunbookURL = s.GrafanaURL, s.RunbookURL
		}
		if s.Native {
			all[i] = all[i].inNative()
		}
	}
	return all
}

func (s Settings) everyGroup() []Group {
	return append([]Group{
		{Name: "soakd.recordings", Recordings: recordings()},
		{Name: "soakd.self", Alerts: s.selfAlerts()},
		{Name: "soakd.target", Alerts: s.targetAlerts()},
		{Name: "soakd.postgres", Alerts: append(postgresAlerts(), postgresStateAlerts()...)},
		{Name: "soakd.redis", Alerts: append(redisAlerts(), redisStateAlerts()...)},
		{Name: "soakd.dependencies", Alerts: dependencyAlerts()},
		{Name: "soakd.judgement", Alerts: s.judgementAlerts()},
	}, panelGroups()...)
}

// Alerts returns the alerts of all groups.
func (s Settings) Alerts() []Alert {
	var all []Alert
	for _, group := range s.Rules() {
		all = append(all, group.Alerts...)
	}
	return all
}

// The rule file as Prometheus reads it.
type (
	ruleFile struct {
		Groups []ruleGroup `yaml:"groups"`
	}
	ruleGroup struct {
		Name     string `yaml:"name"`
		Interval string `yaml:"interval,omitempty"`
		Rules    []rule `yaml:"rules"`
	}
	rule struct {
		Record      string       `yaml:"record,omitempty"`
		Alert       string       `yaml:"alert,omitempty"`
		Expr        string       `yaml:"expr"`
		For         string       `yaml:"for,omitempty"`
		Labels      *labels      `yaml:"labels,omitempty"`
		Annotations *annotations `yaml:"annotations,omitempty"`
	}
	labels struct {
		Severity Severity `yaml:"severity"`
	}
	annotations struct {
		Summary     string `yaml:"summary"`
		Description string `yaml:"description"`
		Dashboard   string `yaml:"dashboard"`
		Runbook     string `yaml:"runbook,omitempty"`
		RunbookURL  string `yaml:"runbook_url,omitempty"`
	}
)

func (a Alert) rule() rule {
	written := rule{
		Alert: a.Name, Expr: a.Expr(), For: a.For, Labels: &labels{Severity: a.Severity},
		Annotations: &annotations{
			Summary: a.Summary, Description: a.Description,
			Dashboard: a.GrafanaURL + "/d/" + a.Dashboard,
		},
	}
	if a.RunbookURL == "" {
		written.Annotations.Runbook = runbook + "#" + a.Anchor()
	} else {
		written.Annotations.RunbookURL = a.RunbookURL + "#" + a.Anchor()
	}
	return written
}

// rulesHead says where the file comes from.
const rulesHead = "# Written by `soakd rules` from internal/dashboards: change it there, or by soakd's settings.\n" +
	"# Thresholds are explained in docs/runbook.md, one section an alert.\n"

// IsRules reports whether a file was written by [RulesYAML].
func IsRules(content []byte) bool {
	first, _, _ := strings.Cut(rulesHead, " from ")
	return bytes.HasPrefix(content, []byte(first))
}

// RulesYAML writes the groups as a Prometheus rule file.
func RulesYAML(groups []Group) ([]byte, error) {
	var file ruleFile
	for _, group := range groups {
		out := ruleGroup{Name: group.Name, Interval: group.Interval}
		for _, r := range group.Recordings {
			out.Rules = append(out.Rules, rule{Record: r.Record, Expr: r.Query})
		}
		for _, a := range group.Alerts {
			out.Rules = append(out.Rules, a.rule())
		}
		file.Groups = append(file.Groups, out)
	}
	return marshalYAML(rulesHead, file)
}

func marshalYAML(head string, content any) ([]byte, error) {
	b := bytes.NewBufferString(head)
	encoder := yaml.NewEncoder(b)
	encoder.SetIndent(2)
	if err := encoder.Encode(content); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}
