package dashboards

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"soakd/internal/judge/finding"
)

// promtool runs Prometheus' own tool.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("no promtool on this machine: it comes with Prometheus, e.g. `apt-get install prometheus` (Debian, Ubuntu), `brew install prometheus` (macOS)")
	}
	if output, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// Prometheus is told to load dashboards/rules/*.yaml: each of them must be rules.
func TestPromtoolCheckRules(t *testing.T) {
	for folder := range committed() {
		files, err := filepath.Glob(filepath.Join(folder, "rules", "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("found the rule files %q: %v", files, err)
		}
		promtool(t, append([]string{"check", "rules"}, files...)...)
	}
}

// promtool takes one test of a file after the other, and evaluates all rules for
// each: parts of the file, which TestRulesAreCurrent compares with these tests, run at the
// same time, as many as go test allows.
func TestPromtoolTestRules(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector, which has nothing to find here; make test runs it without")
	}
	const parts = 8
	rules, err := filepath.Abs(filepath.Join(folder, filepath.FromSlash(RulesFile)))
	if err != nil {
		t.Fatal(err)
	}
	split := make([][]testGroup, parts)
	for i, group := range ruleTestGroups(t) {
		split[i%parts] = append(split[i%parts], group)
	}
	for i, groups := range split {
		path := filepath.Join(t.TempDir(), "rules_test.yaml")
		if err := os.WriteFile(path, ruleTestsYAML(t, rules, groups), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprintf("part %d of %d", i+1, parts), func(t *testing.T) {
			t.Parallel()
			promtool(t, "test", "rules", path)
		})
	}
}

// The queries of the dashboards parse, as rules that are never loaded.
func TestPromtoolParsesDashboards(t *testing.T) {
	group := Group{Name: "dashboards"}
	for i, q := range append(dashboardQueries(), Settings{Native: true}.queries()...) {
		group.Recordings = append(group.Recordings, Recording{Record: fmt.Sprintf("query%d", i), Query: substituted(q.text)})
	}
	content, err := RulesYAML([]Group{group})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dashboards.yaml")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

// substituted puts in place of Grafana's variables what Grafana would.
func substituted(query string) string {
	return strings.NewReplacer(
		"$__rate_interval", "10s", "$__interval", "5s", "$__range", "1m",
		"$job", ".*", "$target", ".*", "$instance", ".*", "$case", ".*", "$class", ".*", "$node", ".*", "$server", ".*", "$probe", ".*", "$slo", ".*", "$version", ".*",
	).Replace(query)
}

var duration = regexp.MustCompile(`^([1-9][0-9]*m)?$`)

func TestAlertsAreComplete(t *testing.T) {
	names := map[string]bool{}
	for _, a := range Default().Alerts() {
		if !strings.HasPrefix(a.Name, "Soakd") || names[a.Name] {
			t.Errorf("alert %q: its name must start with Soakd and be its own", a.Name)
		}
		names[a.Name] = true
		if a.Summary == "" || !strings.HasSuffix(a.Description, ".") {
			t.Errorf("%s: summary %q, description %q", a.Name, a.Summary, a.Description)
		}
		if a.Severity != Page && a.Severity != Ticket && a.Severity != Info {
			t.Errorf("%s: severity %q", a.Name, a.Severity)
		}
		if !duration.MatchString(a.For) {
			t.Errorf("%s: for %q", a.Name, a.For)
		}
		if !regexp.MustCompile(`^(<|>|==) [0-9.]+$`).MatchString(a.Condition) {
			t.Errorf("%s: the condition %q is not a comparison with a number", a.Name, a.Condition)
		}
		if !regexp.MustCompile(`^((and|unless) on \([a-z, ]+\)\s.+)?$`).MatchString(strings.ReplaceAll(a.Only, "\n", " ")) {
			t.Errorf("%s: %q does not narrow it down", a.Name, a.Only)
		}
		if !slices.ContainsFunc(Default().All(), func(d Dashboard) bool { return d.UID == a.Dashboard }) {
			t.Errorf("%s: there is no dashboard %q", a.Name, a.Dashboard)
		}
	}
}

// The template of a description must name the figure, unless the alert says all.
func TestDescriptionsHaveTheFigure(t *testing.T) {
	without := []string{"SoakdLoadPaused", "SoakdPostgresSlotLost", "SoakdDown", "SoakdAbsent", "SoakdProbeBlind", "SoakdPostgresReplicaCutOff", "SoakdDependencyDown", "SoakdOutage"} // 0 or 1
	for _, a := range Default().Alerts() {
		if strings.Contains(a.Description, "| query }}") {
			continue // the unit tests have the figure of another metric
		}
		if strings.Contains(a.Description, "$value") == slices.Contains(without, a.Name) {
			t.Errorf("%s: description %q", a.Name, a.Description)
		}
	}
}

// runbookSections gives the sections of the runbook by their heading, and the
// headings in order. Headings of sections start with the mark, "## " or "### ".
func runbookSections(t *testing.T, text, mark string) (sections map[string]string, order []string) {
	t.Helper()
	sections = map[string]string{}
	for _, part := range regexp.MustCompile(`(?m)^`+mark).Split(text, -1)[1:] {
		title, body, _ := strings.Cut(part, "\n")
		title = strings.TrimSpace(title)
		sections[title] = body
		order = append(order, title)
	}
	return sections, order
}

func runbookText(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(runbook)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// runbookParts are in each section.
func runbookParts() []string { return []string{"**Means**", "**Look at**", "**Likely**", "**Turn**"} }

const kindsSection = "Kinds of findings"

func TestRunbookHasEverySection(t *testing.T) {
	sections, order := runbookSections(t, runbookText(t), "## ")
	var wanted []string
	for _, a := range Default().Alerts() {
		wanted = append(wanted, a.Name)
		body, ok := sections[a.Name]
		if !ok {
			t.Errorf("%s has no section %s", runbook, a.Name)
			continue
		}
		for _, part := range runbookParts() {
			if !strings.Contains(body, part) {
				t.Errorf("%s: section %s has no %s", runbook, a.Name, part)
			}
		}
		if !strings.Contains(body, "**Means** ("+string(a.Severity)+")") {
			t.Errorf("%s: section %s does not say that it is a %s", runbook, a.Name, a.Severity)
		}
		if !strings.Contains(body, "/d/"+a.Dashboard) {
			t.Errorf("%s: section %s does not name the alert's dashboard /d/%s", runbook, a.Name, a.Dashboard)
		}
	}
	if wanted = append(wanted, kindsSection); !slices.Equal(order, wanted) {
		t.Errorf("%s has the sections %q, want those of the alerts in their order, and that on kinds: %q", runbook, order, wanted)
	}
}

func TestRunbookHasEveryKindOfFinding(t *testing.T) {
	all, _ := runbookSections(t, runbookText(t), "## ")
	sections, order := runbookSections(t, all[kindsSection], "### ")
	if wanted := texts(finding.Kinds()); !slices.Equal(order, wanted) {
		t.Errorf("%s explains the kinds %q, want %q", runbook, order, wanted)
	}
	for _, kind := range order {
		var at []int
		for _, part := range runbookParts() {
			at = append(at, strings.Index(sections[kind], part))
		}
		if at[0] != 0 || !slices.IsSorted(at) {
			t.Errorf("%s: the section on %s must have %q in this order", runbook, kind, runbookParts())
		}
		if strings.Contains(strings.TrimSpace(sections[kind]), "\n\n") {
			t.Errorf("%s: the section on %s is more than a paragraph", runbook, kind)
		}
	}
}
