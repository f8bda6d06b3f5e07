package dashboards

import "testing"

// Two soakds read the same two replicas, of which one is busy and one calm, and a
// third soakd reads one of its own that has the same name as the calm one.
func TestReplicasAreNotMixed(t *testing.T) {
	var all []inputSeries
	add := func(name, instance, labels, values string) {
		all = append(all, inputSeries{Series: name + `{job="soakd",instance="` + instance + `",` + labels + `}`, Values: values})
	}
	const busy, calm = `replica="a:8080"`, `replica="b:8080"`
	for _, instance := range []string{"one:9470", "two:9470"} {
		add("soakd_api_pool_connections", instance, busy+`,pool="p",state="in_use"`, "8+0x60")
		add("soakd_api_pool_connections", instance, busy+`,pool="p",state="max"`, "10+0x60")
		add("soakd_api_pool_connections", instance, calm+`,pool="p",state="in_use"`, "1+0x60")
		add("soakd_api_pool_connections", instance, calm+`,pool="p",state="max"`, "10+0x60")
		add("soakd_api_open_fds", instance, busy, "75+0x60")
		add("soakd_api_max_fds", instance, busy, "100+0x60")
		add("soakd_api_cache_hits_total", instance, busy, "0+9x60")
		add("soakd_api_cache_misses_total", instance, busy, "0+1x60")
		add("soakd_api_cpu_seconds_total", instance, busy, "0+1x60")
		add("soakd_api_cpu_seconds_total", instance, calm, "0+0.5x60")
		add("soakd_arrivals_sent_total", instance, `scenario="all"`, "0+30x60")
		add("soakd_api_pool_wait_seconds_total", instance, busy+`,pool="p"`, "0+2x60")
		add("soakd_api_pool_waits_total", instance, busy+`,pool="p"`, "0+40x60")
	}
	add("soakd_api_open_fds", "three:9470", calm, "100+0x60")
	add("soakd_api_max_fds", "three:9470", calm, "1000+0x60")
	add("soakd_api_cache_hits_total", "three:9470", busy, "0+100x60")
	add("soakd_api_cache_misses_total", "three:9470", busy, "0+300x60")
	wants := func(title string, samples ...sample) queryTest {
		return queryTest{panelQuery(t, apiUID, title), "50s", samples}
	}
	checkQueries(t, queryTestFile{EvaluationInterval: "1s", Tests: []queryTestGroup{{
		Name: "replicas", Interval: "1s", InputSeries: all, Queries: []queryTest{
			// 8 and 1 of one soakd, not of two.
			wants("API's database pool", sample{`{pool="p", state="in_use"}`, 9}, sample{`{pool="p", state="max"}`, 20}),
			wants("API's database pool in use", sample{"{" + busy + `, pool="p"}`, 0.8}, sample{"{" + calm + `, pool="p"}`, 0.1}),
			wants("API's open files", sample{"{" + busy + "}", 0.75}, sample{"{" + calm + "}", 0.1}),
			wants("API's cache hit ratio", sample{"{" + busy + "}", 0.25}),
			wants("CPU a request", sample{`{instance="one:9470"}`, 0.05}, sample{`{instance="two:9470"}`, 0.05}),
			wants("Wait for a pool connection", sample{"{" + busy + `, pool="p"}`, 0.05}),
			wants("Requests waiting for the pool", sample{"{" + busy + `, pool="p"}`, 2}),
		},
	}}})
}
