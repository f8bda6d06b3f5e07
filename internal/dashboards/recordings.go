package dashboards

import "fmt"

// The names of the recordings.
const (
	failedRatio      = "instance:soakd_http_requests_failed:ratio_rate5m"
	latencyP99       = "instance_class:soakd_http_response_time_seconds:p99_rate5m"
	scheduleLagP99   = "instance:soakd_schedule_lag_seconds:p99_rate5m"
	acceptedInvalid  = "instance_case:soakd_invalid_accepted:sum"
	invalidBroke     = "instance_case:soakd_invalid_server_error:sum"
	internalsLeaked  = "instance_case:soakd_internals_leaked:sum"
	dataLost         = "instance:soakd_data_lost:sum"
	foreignDataShown = "instance:soakd_foreign_data:sum"
	hitRatio         = "instance_node:soakd_redis_keyspace_hits:ratio_rate10m"
)

// The checks of the cashflow workload that find data lost, and shown to others.
const (
	lostChecks    = "scenario_found|read_back|in_list|forecast_in_history"
	foreignChecks = "foreign_scenario|foreign_history"
)

func recordings() []Recording {
	const total = "sum by (job, instance) (rate(soakd_http_requests_total{" + valid + "}[5m]))"
	const hits = "sum by (job, instance, node) (rate(soakd_redis_keyspace_hits_total[10m]))"
	const misses = "sum by (job, instance, node) (rate(soakd_redis_keyspace_misses_total[10m]))"
	return []Recording{
		{failedRatio, fmt.Sprintf("(\n    sum by (job, instance) (rate(soakd_http_requests_total{%s,%s}[5m]))\n  or\n    0 * %s\n)\n/\n(%s > 0)", valid, failing, total, total)},
		{latencyP99, "histogram_quantile(0.99, sum by (job, instance, class, le) (rate(" + responseBuckets + "[5m])))"},
		{scheduleLagP99, "histogram_quantile(0.99, sum by (job, instance, le) (rate(soakd_schedule_lag_seconds_bucket[5m])))"},
		{acceptedInvalid, findings("job, instance, case", `soakd_http_requests_total{outcome="accepted_invalid"}`, everyCase)},
		{invalidBroke, findings("job, instance, case", `soakd_http_requests_total{`+invalid+`,outcome="server_error"}`, everyCase+"{"+invalid+"}")},
		{internalsLeaked, findings("job, instance, case", `soakd_http_requests_total{outcome="leaked_internals"}`, everyCase)},
		{dataLost, findings("job, instance", `soakd_check_failures_total{check=~"`+lostChecks+`"}`, everyCase)},
		{foreignDataShown, findings("job, instance", `soakd_check_failures_total{check=~"`+foreignChecks+`"}`, everyCase)},
		// Absent, and not NaN, while nothing is looked up.
		{hitRatio, hits + "\n/\n(" + hits + " + " + misses + " > 0)"},
	}
}

// findings counts since the start of soakd, with a 0 before the first one. A
// series of soakd_http_requests_total or soakd_check_failures_total comes into
// being with the value 1, which increase() cannot see; the recording goes from 0
// to 1, which it can. Summing counters of one process keeps resets visible: they
// all fall at the same moment.
func findings(by, found, always string) string {
	return fmt.Sprintf("sum by (%s) (%s)\nor\n0 * sum by (%s) (%s)", by, found, by, always)
}
