package dashboards

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/objective"
)

// Whatever parts are missing, nothing of them is left, and what is left hangs
// together.
func TestMissingPartsLeaveNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector, which has nothing to find here; make test runs it without")
	}
	parts := Parts()
	for set := range 1 << len(parts) {
		if one := set & (set - 1); set%7 != 0 && one != 0 { // each alone, and every seventh of the rest
			continue
		}
		s := Settings{}
		for i, part := range parts {
			if set&(1<<i) != 0 {
				s.Without = append(s.Without, part)
			}
		}
		checkFitting(t, s)
		if t.Failed() {
			t.Fatalf("without %q", s.Without)
		}
	}
}

func checkFitting(t *testing.T, s Settings) {
	t.Helper()
	all := s.All()
	there := func(uid string) bool {
		return slices.ContainsFunc(all, func(d Dashboard) bool { return d.UID == uid })
	}
	for _, d := range all {
		for _, row := range d.Rows {
			for _, p := range row.Panels {
				if p.Kind != Text && len(p.Targets) == 0 {
					t.Errorf("%s / %s has no query", d.UID, p.Title)
				}
				if p.Detail != "" && !there(p.Detail) {
					t.Errorf("%s / %s links to %s, which is not there", d.UID, p.Title, p.Detail)
				}
				checkColumns(t, d.UID+" / "+p.Title, p)
			}
		}
	}
	for _, a := range s.Alerts() {
		if !there(a.Dashboard) {
			t.Errorf("%s names the dashboard %s, which is not there", a.Name, a.Dashboard)
		}
	}
	for _, q := range append(s.queries(), s.ruleQueries()...) {
		if s.gone(q.text) {
			t.Errorf("%s asks what is not there: %s", q.where, q.text)
		}
	}
}

// A soakd without Redis has neither its dashboard nor its alerts, and all of
// Postgres.
func TestWithoutRedis(t *testing.T) {
	s := Settings{Without: []Part{Redis, RedisCanary}}
	for _, q := range append(s.queries(), s.ruleQueries()...) {
		if strings.Contains(q.text, "soakd_redis_") {
			t.Errorf("%s asks for Redis: %s", q.where, q.text)
		}
	}
	with := func(s Settings, word string) (names []string) {
		for _, a := range s.Alerts() {
			if strings.Contains(a.Name, word) {
				names = append(names, a.Name)
			}
		}
		return names
	}
	if left := with(s, "Redis"); len(left) > 0 {
		t.Errorf("the alerts %q are left", left)
	}
	if got, want := with(s, "Postgres"), with(Default(), "Postgres"); !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("the alerts of Postgres are %q, want %q", got, want)
	}
}

// Every query that asks several parts can do without any of them, or the parts are
// one server's: otherwise it would stay and be empty.
func TestQueriesOfSeveralPartsAreAlternatives(t *testing.T) {
	for _, q := range append(dashboardQueries(), ruleQueries()...) {
		var asked []string
		for _, found := range ofPart.FindAllStringSubmatch(q.text, -1) {
			asked = append(asked, found[1])
		}
		slices.Sort(asked)
		if asked = slices.Compact(asked); len(asked) > 1 && !regexp.MustCompile(`\bor\b`).MatchString(q.text) {
			t.Errorf("%s asks %q together: %s", q.where, asked, q.text)
		}
	}
}

// partOf knows what ofPart finds.
func TestEveryPartHasMetrics(t *testing.T) {
	var found []Part
	for _, name := range strings.Split(regexp.MustCompile(`\((.*)\)`).FindStringSubmatch(ofPart.String())[1], "|") {
		found = append(found, partOf(name))
	}
	all := Parts()
	slices.Sort(found)
	found = slices.Compact(found) // pushes have metrics of two beginnings
	slices.Sort(all)
	if !slices.Equal(found, all) {
		t.Errorf("metrics are known of %q, want %q", found, all)
	}
}

// A table keeps the columns of the queries that are left.
func TestTableWithoutAPart(t *testing.T) {
	p := Panel{Kind: Table, Targets: []Target{{Query: "sum by (server) (soakd_postgres_a)"}, {Query: "sum by (server) (soakd_redis_b)"}, {Query: "sum by (server) (up)"}}, Columns: []Column{
		{Title: "Server", Label: "server"}, {Title: "A"}, {Title: "B", Target: 1}, {Title: "C", Target: 2},
	}}
	left := Settings{Without: []Part{Postgres}}.fittingPanel(p)
	var columns []string
	for _, c := range left.Columns {
		columns = append(columns, c.Title+" "+left.Targets[c.Target].Query)
	}
	want := []string{"Server sum by (server) (soakd_redis_b)", "B sum by (server) (soakd_redis_b)", "C sum by (server) (up)"}
	if !slices.Equal(columns, want) {
		t.Errorf("columns %q, want %q", columns, want)
	}
}

func TestLimitsFollowTheSettings(t *testing.T) {
	s := Settings{
		LagLimit: 250 * time.Millisecond, LatencyLimit: 2500 * time.Millisecond, CalculationLimit: 30 * time.Second,
		CPULimit: 0.5, ErrorRatioLimit: 0.05, Policy: objective.Policy{Period: 24 * time.Hour},
	}
	conditions, texts := map[string]string{}, map[string]string{}
	for _, a := range s.Alerts() {
		conditions[a.Name], texts[a.Name] = a.Condition, a.Description
	}
	for name, want := range map[string][2]string{
		"SoakdLate": {"> 0.25", "(limit 250 ms)"}, "SoakdTargetLatencyHigh": {"> 2.5", "(limit 2.5s)"},
		"SoakdTargetCalculationLatencyHigh": {"> 30", "(limit 30s)"}, "SoakdTargetErrorRatioHigh": {"> 0.05", "(limit 5%)"},
	} {
		if conditions[name] != want[0] || !strings.Contains(texts[name], want[1]) {
			t.Errorf("%s: %s in %q, want %s and %s", name, conditions[name], texts[name], want[0], want[1])
		}
	}
	limits := map[string]float64{}
	for _, d := range s.All() {
		for _, row := range d.Rows {
			for _, p := range row.Panels {
				if len(p.Thresholds) > 0 {
					limits[p.Title] = p.Thresholds[0].Value
				}
			}
		}
	}
	for title, want := range map[string]float64{"Schedule lag": 0.25, "soakd's share of its CPUs": 0.5, "Failures by case": 0.05} {
		if limits[title] != want {
			t.Errorf("%s has the limit %v, want %v", title, limits[title], want)
		}
	}
	for _, a := range s.Alerts() {
		if a.Name == "SoakdErrorBudgetBurnsSlowly" && !strings.Contains(a.Signal, "[144m]") {
			t.Errorf("the slow burn of a day looks back over 3 days: %s", a.Signal)
		}
	}
}

func TestLinksFollowTheSettings(t *testing.T) {
	got := *Default().Alerts()[0].rule().Annotations
	if got.Dashboard != "/d/soakd-overview" || got.Runbook != "docs/runbook.md#soakddown" || got.RunbookURL != "" {
		t.Errorf("without addresses: %+v", got)
	}
	s := Settings{GrafanaURL: "https://grafana.example/g/", RunbookURL: "https://git.example/runbook.md"}
	got = *s.Alerts()[0].rule().Annotations
	if got.Dashboard != "https://grafana.example/g/d/soakd-overview" || got.RunbookURL != "https://git.example/runbook.md#soakddown" || got.Runbook != "" {
		t.Errorf("with addresses: %+v", got)
	}
}
