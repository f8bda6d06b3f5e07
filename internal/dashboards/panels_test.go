package dashboards

import (
	"os"
	"path/filepath"
	"testing"
)

// The file of promtool that evaluates queries on given series.
type (
	queryTestFile struct {
		EvaluationInterval string           `yaml:"evaluation_interval"`
		Tests              []queryTestGroup `yaml:"tests"`
	}
	queryTestGroup struct {
		Name        string        `yaml:"name"`
		Interval    string        `yaml:"interval"`
		InputSeries []inputSeries `yaml:"input_series"`
		Queries     []queryTest   `yaml:"promql_expr_test"`
	}
	queryTest struct {
		Expr     string   `yaml:"expr"`
		EvalTime string   `yaml:"eval_time"`
		Samples  []sample `yaml:"exp_samples"`
	}
	sample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
)

// panelQuery is the only query of a panel.
func panelQuery(t *testing.T, uid, title string) string {
	t.Helper()
	for _, d := range All() {
		for _, row := range d.Rows {
			for _, p := range row.Panels {
				if d.UID == uid && p.Title == title && len(p.Targets) == 1 {
					return substituted(p.Targets[0].Query)
				}
			}
		}
	}
	t.Fatalf("%s has no panel %q with one query", uid, title)
	return ""
}

// Of two servers, one is called often and fast and the other seldom and slowly:
// the panel shows the mean of the slow one, not a quotient of both. The same
// with two Redis of one name that differ in size.
func TestPanelsDoNotMixServers(t *testing.T) {
	series := func(name, instance, labels, values string) inputSeries {
		return inputSeries{Series: name + `{job="soakd",instance="` + instance + `",` + labels + `}`, Values: values}
	}
	const statement, node = `statement="list"`, `node="redis:6379"`
	file := queryTestFile{EvaluationInterval: "1s", Tests: []queryTestGroup{{
		Name: "two servers", Interval: "1s",
		InputSeries: []inputSeries{
			series("soakd_postgres_statement_calls_total", "busy:9470", statement, "0+100x60"),
			series("soakd_postgres_statement_seconds_total", "busy:9470", statement, "0+4x60"),
			series("soakd_postgres_statement_rows_total", "busy:9470", statement, "0+200x60"),
			series("soakd_postgres_statement_calls_total", "calm:9470", statement, "0+2x60"),
			series("soakd_postgres_statement_seconds_total", "calm:9470", statement, "0+1x60"),
			series("soakd_postgres_statement_rows_total", "calm:9470", statement, "0+16x60"),
			series("soakd_postgres_statement_calls_total", "idle:9470", statement, "7+0x60"),
			series("soakd_postgres_statement_seconds_total", "idle:9470", statement, "9+0x60"),
			series("soakd_postgres_statement_rows_total", "idle:9470", statement, "9+0x60"),
			series("soakd_redis_memory_used_bytes", "small:9470", node, "75+0x60"),
			series("soakd_redis_memory_limit_bytes", "small:9470", node, "100+0x60"),
			series("soakd_redis_memory_used_bytes", "large:9470", node, "100+0x60"),
			series("soakd_redis_memory_limit_bytes", "large:9470", node, "1000+0x60"),
		},
		Queries: []queryTest{
			{panelQuery(t, postgresUID, "Time of a statement"), "50s", []sample{{"{" + statement + "}", 0.5}}},
			{panelQuery(t, postgresUID, "Rows of a statement"), "50s", []sample{{"{" + statement + "}", 8}}},
			{panelQuery(t, redisUID, "Memory in use"), "50s", []sample{{"{" + node + "}", 0.75}}},
		},
	}}}
	evaluate(t, file)
}

// evaluate has promtool evaluate the queries.
func evaluate(t *testing.T, file queryTestFile) {
	t.Helper()
	content, err := marshalYAML("", file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "panels.yaml")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", path)
}
