package dashboards

import (
	"os"
	"path/filepath"
	"testing"
)

// The file of promtool that evaluates queries on given series.
type (
	queryTestFile struct {
		// The rules are those of the repository: some panels read recordings.
		RuleFiles          []string         `yaml:"rule_files"`
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
	for _, d := range Default().All() {
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
	const statement, node = `server="main",statement="list"`, `node="redis:6379"`
	const database = `server="main",database="app"`
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
			series("soakd_postgres_commits_total", "busy:9470", database, "0+99x60"),
			series("soakd_postgres_rollbacks_total", "busy:9470", database, "0+1x60"),
			series("soakd_postgres_commits_total", "calm:9470", database, "0+1x60"),
			series("soakd_postgres_rollbacks_total", "calm:9470", database, "0+1x60"),
			series("soakd_postgres_blocks_hit_total", "busy:9470", database, "0+90x60"),
			series("soakd_postgres_blocks_read_total", "busy:9470", database, "0+10x60"),
			series("soakd_postgres_blocks_hit_total", "calm:9470", database, "0+4x60"),
			series("soakd_postgres_blocks_read_total", "calm:9470", database, "0+6x60"),
			series("soakd_redis_memory_used_bytes", "small:9470", node, "75+0x60"),
			series("soakd_redis_memory_limit_bytes", "small:9470", node, "100+0x60"),
			series("soakd_redis_memory_used_bytes", "large:9470", node, "100+0x60"),
			series("soakd_redis_memory_limit_bytes", "large:9470", node, "1000+0x60"),
		},
		Queries: []queryTest{
			{panelQuery(t, postgresUID, "Time of a statement"), "50s", []sample{{"{" + statement + "}", 0.5}}},
			{panelQuery(t, postgresUID, "Rows of a statement"), "50s", []sample{{"{" + statement + "}", 8}}},
			{panelQuery(t, postgresUID, "Rollbacks"), "50s", []sample{{"{" + database + "}", 0.5}}},
			{panelQuery(t, postgresUID, "Cache hit ratio"), "50s", []sample{{"{" + database + "}", 0.4}}},
			{panelQuery(t, redisUID, "Memory in use"), "50s", []sample{{"{" + node + "}", 0.75}}},
		},
	}}}
	checkQueries(t, file)
}

// checkQueries evaluates the queries on the given series.
func checkQueries(t *testing.T, file queryTestFile) {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(folder, filepath.FromSlash(RulesFile)))
	if err != nil {
		t.Fatal(err)
	}
	file.RuleFiles = []string{rules}
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

// The write-ahead log's own input and output is read where the server has it:
// until Postgres 17 in a view of its own, from 18 on in that of all.
func TestPanelsReadTheLogOfEachVersion(t *testing.T) {
	const of = `{job="soakd",instance="soakd:9470",`
	file := queryTestFile{EvaluationInterval: "1s", Tests: []queryTestGroup{{
		Name: "the log of Postgres 15 and 18", Interval: "1s",
		InputSeries: []inputSeries{
			{Series: "soakd_postgres_wal_io_operations_total" + of + `server="old",operation="sync"}`, Values: "0+5x60"},
			{Series: "soakd_postgres_io_operations_total" + of + `server="new",backend="client",object="wal",operation="fsync"}`, Values: "0+3x60"},
			{Series: "soakd_postgres_io_operations_total" + of + `server="new",backend="wal_writer",object="wal",operation="fsync"}`, Values: "0+4x60"},
			{Series: "soakd_postgres_io_operations_total" + of + `server="new",backend="client",object="wal",operation="hit"}`, Values: "0+9x60"},
			{Series: "soakd_postgres_io_operations_total" + of + `server="old",backend="client",object="relation",operation="fsync"}`, Values: "0+9x60"},
		},
		Queries: []queryTest{{panelQuery(t, postgresUID, "Writes and syncs of the log"), "50s", []sample{
			{`{server="old",operation="sync"}`, 5}, {`{server="new",operation="fsync"}`, 7},
		}}},
	}}}
	checkQueries(t, file)
}

// Of two servers that one soakd watches, each has its own line, and a server of
// whose ages there are none because there is nothing of that age has 0.
func TestPanelsTellServersApart(t *testing.T) {
	const one, two = `{job="soakd",instance="a:9470",server="main"`, `{job="soakd",instance="a:9470",server="replica"`
	const again = `{job="soakd",instance="b:9470",server="main"`
	const idle = `,application="api",state="idle_in_transaction"}`
	file := queryTestFile{EvaluationInterval: "1s", Tests: []queryTestGroup{{
		Name: "two servers, one of them watched twice", Interval: "1s",
		InputSeries: []inputSeries{
			{Series: "soakd_postgres_backends" + one + idle, Values: "2+0x60"},
			{Series: "soakd_postgres_backends" + again + idle, Values: "3+0x60"},
			{Series: "soakd_postgres_backends" + two + idle, Values: "0+0x60"},
			{Series: "soakd_postgres_idle_in_transaction_oldest_seconds" + one + "}", Values: "7+0x60"},
			{Series: "soakd_postgres_replication_lag_seconds" + two + "}", Values: "4+0x60"},
			{Series: "soakd_postgres_replicas" + one + "}", Values: "0+0x60"},
		},
		Queries: []queryTest{
			{panelQuery(t, postgresUID, "Longest idle in transaction"), "50s", []sample{{`{server="main"}`, 7}, {`{server="replica"}`, 0}}},
			{panelQuery(t, postgresUID, "Connections by state"), "50s", []sample{
				{`{server="main",state="idle_in_transaction"}`, 3}, {`{server="replica",state="idle_in_transaction"}`, 0},
			}},
			{panelQuery(t, postgresUID, "Replication lag"), "50s", []sample{{`{server="main"}`, 0}, {`{server="replica"}`, 4}}},
		},
	}}}
	checkQueries(t, file)
}

// The states over time have one bar and a word for each situation: a load that is
// paused is not steady, no finding is a bar of its own, and a version that is seen
// beside another gets the same figure.
func TestPanelsShowStates(t *testing.T) {
	of := func(name, instance, labels, values string) inputSeries {
		return inputSeries{Series: name + `{job="soakd",instance="` + instance + `"` + labels + `}`, Values: values}
	}
	phases := func(instance, present string) []inputSeries {
		var all []inputSeries
		for _, phase := range []string{"rising", "steady", "falling", "ended"} {
			value := "0+0x60"
			if phase == present {
				value = "1+0x60"
			}
			all = append(all, of("soakd_load_phase", instance, `,phase="`+phase+`"`, value))
		}
		return append(all, of("soakd_run_info", instance, `,target="api of `+instance+`",model="open",shape="ramp",workload="cashflow",shard="1/1"`, "1+0x60"))
	}
	series := append(phases("a:1", "falling"), phases("b:1", "steady")...)
	series = append(series,
		of("soakd_load_paused", "a:1", "", "0+0x60"), of("soakd_load_paused", "b:1", "", "1+0x60"),
		of("soakd_findings", "a:1", `,kind="leak"`, "0+0x20 2+0x40"), of("soakd_findings", "a:1", `,kind="outage"`, "0+0x60"),
		of("soakd_target_info", "a:1", `,version="1"`, "1+0x60"), of("soakd_target_info", "a:1", `,version="2"`, "1+0x60"),
		of("soakd_http_requests_total", "a:1", `,case="x",class="read",outcome="ok",code="200"`, "0+3x60"),
		of("soakd_http_requests_total", "a:1", `,case="x",class="read",outcome="timeout",code="none"`, "0+1x60"),
		of(everyCase, "a:1", `,case="x",class="read"`, "0+4x60"),
		// One probe sees, another has not been polled even once.
		of("soakd_probe_success", "a:1", `,probe="redis"`, "1+0x60"), of("soakd_probe_polls_total", "a:1", `,probe="redis"`, "1+1x60"),
		of("soakd_probe_polls_total", "a:1", `,probe="postgres"`, "0+0x60"),
		of("soakd_regression", "a:1", `,case="x",signal="error_ratio"`, "0+0x20 1+0x40"),
		of("soakd_regression", "a:1", `,case="y",signal="error_ratio"`, "0+0x60"),
	)
	file := queryTestFile{EvaluationInterval: "1s", Tests: []queryTestGroup{{
		Name: "states", Interval: "1s", InputSeries: series,
		Queries: []queryTest{
			{panelQuery(t, overviewUID, "Phase of the load"), "50s", []sample{{`{target="api of a:1",shape="ramp"}`, 3}, {`{target="api of b:1",shape="ramp"}`, 0}}},
			{panelQuery(t, overviewUID, "Findings that last"), "10s", []sample{{`{kind="none"}`, 0}}},
			{panelQuery(t, overviewUID, "Probes"), "50s", []sample{{"{}", 0}}},
			{panelQuery(t, overviewUID, "Findings that last"), "50s", []sample{{`{kind="leak"}`, 2}}},
			{panelQuery(t, regressionsUID, "Failures under each version"), "50s", []sample{{`{version="1"}`, 0.25}, {`{version="2"}`, 0.25}}},
			{panelQuery(t, regressionsUID, "Regressions"), "10s", []sample{{`{case="none"}`, 0}}},
			{panelQuery(t, regressionsUID, "Regressions"), "50s", []sample{{`{case="x",signal="error_ratio"}`, 1}}},
			{panelQuery(t, trafficUID, "Failures by class"), "50s", []sample{{`{class="read"}`, 0.25}}},
		},
	}}}
	checkQueries(t, file)
}

// Invalid input is counted by what became of it, with a 0 for what never happened,
// and internals that an answer to valid input showed are counted too.
func TestPanelsCountInvalidInput(t *testing.T) {
	of := func(name, labels, values string) inputSeries {
		return inputSeries{Series: name + `{job="soakd",instance="a:1",` + labels + `}`, Values: values}
	}
	file := queryTestFile{EvaluationInterval: "1s", Tests: []queryTestGroup{{
		Name: "invalid input", Interval: "1s",
		InputSeries: []inputSeries{
			of(everyCase, `case="bad",class="invalid"`, "0+4x60"), of(everyCase, `case="odd",class="invalid"`, "0+4x60"), of(everyCase, `case="good",class="read"`, "0+4x60"),
			of("soakd_http_requests_total", `case="bad",class="invalid",outcome="ok",code="422"`, "0+3x60"),
			of("soakd_http_requests_total", `case="bad",class="invalid",outcome="accepted_invalid",code="200"`, "0+1x60"),
			of("soakd_http_requests_total", `case="odd",class="invalid",outcome="ok",code="422"`, "0+4x60"),
			of("soakd_http_requests_total", `case="good",class="read",outcome="leaked_internals",code="500"`, "2+0x60"),
			of("soakd_http_requests_total", `case="good",class="read",outcome="ok",code="200"`, "0+4x60"),
		},
		Queries: []queryTest{
			{panelQuery(t, invalidUID, "Accepted"), "50s", []sample{{"{}", 50}}},
			{panelQuery(t, invalidUID, "Answered with 5xx"), "50s", []sample{{"{}", 0}}},
			{panelQuery(t, invalidUID, "Internals leaked"), "50s", []sample{{"{}", 2}}},
			{panelQuery(t, invalidUID, "Refused rightly now"), "50s", []sample{{"{}", 0.875}}},
			{panelQuery(t, invalidUID, "Accepted since the start of soakd"), "50s", []sample{{`{case="bad"}`, 50}, {`{case="odd"}`, 0}}},
		},
	}}}
	checkQueries(t, file)
}
