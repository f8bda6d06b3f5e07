package dashboards

import (
	"strconv"
	"strings"
	"testing"
)

// requestsOf is a case of which 40 requests end every 15 s, half of them within
// 50 ms and all within 100 ms, until soakd starts anew after five minutes.
func requestsOf(name, class, instance string) []inputSeries {
	of := func(metric, labels, values string) inputSeries {
		return inputSeries{Series: metric + `{job="soakd",instance="` + instance + `",case="` + name + `",class="` + class + `"` + labels + `}`, Values: values}
	}
	const all, half = "0+40x20 0+40x20", "0+20x20 0+20x20"
	return []inputSeries{
		of("soakd_http_requests_total", `,outcome="ok",code="200"`, all),
		of(everyCase, "", all),
		of(responseBuckets, `,le="0.05"`, half), of(responseBuckets, `,le="0.1"`, all), of(responseBuckets, `,le="+Inf"`, all),
		of(durationBuckets, `,le="0.05"`, all), of(durationBuckets, `,le="0.1"`, all), of(durationBuckets, `,le="+Inf"`, all),
	}
}

const ofA = `{job="soakd",instance="a:1"}`

// at is a query with a result of one series.
func at(moment, expr, labels string, value float64) queryTest {
	return queryTest{Expr: "round(" + expr + ", 1e-6)", EvalTime: moment, Samples: []sample{{labels, value}}}
}

// Quantiles are read as histogram_quantile interpolates, a restart of soakd does
// not show, and without requests there is nothing rather than a 0 or NaN.
func TestPanelRecordings(t *testing.T) {
	none := func(expr string) queryTest { return queryTest{Expr: expr, EvalTime: "4m"} }
	restarted := []queryTest{}
	for _, moment := range []string{"4m", "6m", "9m"} {
		restarted = append(restarted,
			at(moment, responseP50, ofA, 0.05), at(moment, responseP95, ofA, 0.095), at(moment, responseP99, ofA, 0.099),
			at(moment, responseP99ByCase, `{job="soakd",instance="a:1",case="x",class="read"}`, 0.099),
			at(moment, responseP50ByCase, `{job="soakd",instance="a:1",case="x",class="read"}`, 0.05),
			at(moment, durationP99ByCase, `{job="soakd",instance="a:1",case="x",class="read"}`, 0.0495),
			at(moment, failedNow, ofA, 0),
		)
	}
	steady := []queryTest{
		at("4m", requestsByCase, `{job="soakd",instance="a:1",case="x",class="read"}`, 2.666667),
		at("4m", requestsByClass, `{job="soakd",instance="a:1",class="read",outcome="ok",code="200"}`, 2.666667),
		at("4m", requestsByOutcome, `{job="soakd",instance="a:1",outcome="ok"}`, 2.666667),
		at("4m", responseBucketsByClass+`{le="0.05"}`, `{job="soakd",instance="a:1",class="read",le="0.05"}`, 1.333333),
		at("4m", durationBucketsByClass+`{le="0.05"}`, `{job="soakd",instance="a:1",class="read",le="0.05"}`, 2.666667),
	}
	failing := append(requestsOf("x", "read", "a:1"),
		// A quarter as many more fail; what invalid input gets and a 429 do not count.
		inputSeries{`soakd_http_requests_total{job="soakd",instance="a:1",case="x",class="read",outcome="timeout",code="none"}`, "0+10x40"},
		inputSeries{`soakd_http_requests_total{job="soakd",instance="a:1",case="x",class="read",outcome="rate_limited",code="429"}`, "0+50x40"},
		inputSeries{`soakd_http_requests_total{job="soakd",instance="a:1",case="y",class="invalid",outcome="server_error",code="500"}`, "0+70x40"})
	idle := []inputSeries{
		{`soakd_http_requests_total{job="soakd",instance="a:1",case="x",class="read",outcome="ok",code="200"}`, "40+0x40"},
		{responseBuckets + `{job="soakd",instance="a:1",case="x",class="read",le="+Inf"}`, "40+0x40"},
	}
	absent := []queryTest{}
	for _, r := range panelRecordings() {
		absent = append(absent, none(r.Record))
	}
	for _, r := range panelRecordingsOfDays() {
		absent = append(absent, none(r.Record))
	}
	checkQueries(t, queryTestFile{EvaluationInterval: "15s", Tests: []queryTestGroup{
		{Name: "counter reset", Interval: "15s", InputSeries: requestsOf("x", "read", "a:1"), Queries: append(restarted, steady...)},
		{Name: "failures", Interval: "15s", InputSeries: failing, Queries: []queryTest{at("4m", failedNow, ofA, 0.1)}},
		{Name: "nothing is sent", Interval: "15s", InputSeries: idle, Queries: []queryTest{none(failedNow)}},
		{Name: "absent", Interval: "15s", InputSeries: []inputSeries{{"up", "1+0x40"}}, Queries: absent},
	}})
}

// What looks back over days: increases of counters through a restart, ages that are
// 0 while no transaction is open, and the worst of a minute.
func TestPanelRecordingsOfDays(t *testing.T) {
	of := func(metric, labels, values string) inputSeries {
		return inputSeries{metric + `{job="soakd",instance="a:1",` + labels + `}`, values}
	}
	checkQueries(t, queryTestFile{EvaluationInterval: "30m", Tests: []queryTestGroup{
		{
			Name: "a day", Interval: "30m",
			InputSeries: []inputSeries{
				of("soakd_outages_total", `target="api"`, "0 1 2+0x20 0 1+0x40"), of("soakd_findings_total", `kind="leak"`, "0+0x60"),
				of("soakd_recovery_seconds_bucket", `target="api",le="10"`, "0 1+0x60"), of("soakd_recovery_seconds_bucket", `target="api",le="20"`, "0 2+0x60"),
				of("soakd_recovery_seconds_bucket", `target="api",le="+Inf"`, "0 2+0x60"),
			},
			Queries: []queryTest{
				at("24h", outagesOfADay, `{job="soakd",instance="a:1",target="api"}`, 3), at("24h", findingsOfADay, `{job="soakd",instance="a:1",kind="leak"}`, 0),
				at("24h", recoveryMedian, `{job="soakd",instance="a:1",target="api"}`, 10), at("24h", recoverySlowest, `{job="soakd",instance="a:1",target="api"}`, 20),
			},
		},
	}})
	checkQueries(t, queryTestFile{EvaluationInterval: "1m", Tests: []queryTestGroup{
		{
			Name: "minutes", Interval: "15s",
			InputSeries: []inputSeries{
				of("soakd_slo_burn_rate", `slo="reads",window="1h"`, "1+0x10 7 1+0x40"),
				of("soakd_slo_events_total", `slo="reads"`, "0+30x40"), of("soakd_slo_bad_events_total", `slo="reads"`, "0+3x40"), of("soakd_slo_objective_ratio", `slo="reads"`, "0.99+0x40"),
				of("soakd_postgres_backends", `server="main",application="api",database="app",state="idle"`, "2+0x40"),
				of("soakd_postgres_backends", `server="main",application="api",database="app",state="active"`, "0+0x40"),
			},
			Queries: []queryTest{
				at("3m", burnsOfMinutes, `{job="soakd",instance="a:1",slo="reads",window="1h"}`, 7), at("6m", burnsOfMinutes, `{job="soakd",instance="a:1",slo="reads",window="1h"}`, 1),
				at("8m", sloEvents, `{job="soakd",instance="a:1",slo="reads"}`, 2), at("8m", sloBadEvents, `{job="soakd",instance="a:1",slo="reads"}`, 0.2),
				at("8m", sloPromised, `{job="soakd",instance="a:1",slo="reads"}`, 0.99),
				at("8m", backends, `{job="soakd",instance="a:1",server="main",application="api"}`, 2), at("8m", transactionAge, `{job="soakd",instance="a:1",server="main"}`, 0),
			},
		},
	}})
}

// A graph of weeks has a point every 20 minutes, and a minute of slow requests
// between two of them is still seen.
func TestPanelsKeepTheWorstOfAStep(t *testing.T) {
	of := func(le, values string) inputSeries {
		return inputSeries{responseBuckets + `{job="soakd",instance="a:1",case="x",class="read",le="` + le + `"}`, values}
	}
	query := strings.ReplaceAll(worstOf(caseSel(responseP99ByCase), "case"), "$__rate_interval", "20m")
	checkQueries(t, queryTestFile{EvaluationInterval: "15s", Tests: []queryTestGroup{{
		Name: "a minute of 20", Interval: "15s",
		InputSeries: []inputSeries{of("0.1", "0+10x20 200+0x4 200+10x100"), of("5", "0+10x200"), of("+Inf", "0+10x200")},
		Queries:     []queryTest{at("20m", substituted(query)+" > bool 4", `{case="x"}`, 1), at("30m", substituted(query)+" > bool 4", `{case="x"}`, 0)},
	}}})
}

// With all cases chosen a panel reads what is recorded of all, with some chosen
// what is scraped of these.
func TestPanelsReadTheChosenCases(t *testing.T) {
	series := append(requestsOf("x", "read", "a:1"), requestsOf("y", "read", "a:1")...)
	series = append(series, requestsOf("z", "save", "b:1")...)
	rates := ofChosen(requestsByClass, "soakd_http_requests_total", []string{"outcome"})
	chosen := func(cases string) string {
		return "(" + strings.NewReplacer("$case", cases, "$__rate_interval", "1m", "$class", ".*", "$job", ".*", "$instance", ".*").Replace(rates) + ")"
	}
	const each = 40. / 15
	expect := func(cases string, n float64) queryTest {
		return at("4m", chosen(cases)+" - "+strconv.FormatFloat(n*each, 'g', -1, 64), `{outcome="ok"}`, 0)
	}
	// A recording alone shows that it, and not what is scraped, is read.
	recorded := []inputSeries{{requestsByClass + `{job="soakd",instance="c:1",class="read",outcome="ok",code="200"}`, "8+0x40"}}
	checkQueries(t, queryTestFile{EvaluationInterval: "15s", Tests: []queryTestGroup{
		{Name: "scraped", Interval: "15s", InputSeries: series, Queries: []queryTest{
			expect(".*", 3), expect("x", 1), expect("(x|z)", 2), {Expr: chosen("w"), EvalTime: "4m"},
		}},
		{Name: "recorded", Interval: "15s", InputSeries: recorded, Queries: []queryTest{at("4m", chosen(".*"), `{outcome="ok"}`, 8), {Expr: chosen("x"), EvalTime: "4m"}}},
	}})
}
