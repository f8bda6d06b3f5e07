package dashboards

import (
	"strconv"
	"time"
)

// The limits that several places show.
const (
	// lagLimit: from here on soakd's own delay is a visible part of the
	// latencies that are measured from the due time.
	lagLimit = 50 * time.Millisecond
	// unfitLimit: where half of the windows are lost, a judgement takes twice as long.
	unfitLimit = 0.5
	// heldLimit: with a tenth of the users kept away the load is not the one that was set.
	heldLimit = 0.1
	// cpuLimit is the default of SOAKD_CPU_LIMIT.
	cpuLimit = 0.9
	// errorRatioLimit: one request in a hundred, as the default objective has it.
	errorRatioLimit = 0.01
	// latencyLimit holds for cases that read, write or calculate a few
	// loans. It is a tenth of their time limit.
	latencyLimit = time.Second
	// calculationLimit holds for Monte Carlo, sensitivities and the complex
	// analysis, which may take 30 s and 60 s.
	calculationLimit = 10 * time.Second
	// calculations are these classes, as a regular expression.
	calculations = "monte_carlo|sensitivity|complex"
	// pollFailureLimit: one poll in ten.
	pollFailureLimit = 0.1
	// idleInTransactionLimitSeconds: no call of the API lasts a minute.
	idleInTransactionLimitSeconds = 60
	// replicationLagLimitSeconds: far above a usual lag of well below a second.
	replicationLagLimitSeconds = 30
	// lockWaitLimitSeconds: no call of the API holds a lock for a minute.
	lockWaitLimitSeconds = 60
	// redisMemoryLimit is a share of maxmemory.
	redisMemoryLimit = 0.9
	// certificateLimitSeconds: 14 days. Certificates of 90 days are renewed a month
	// before their end, so that a renewal has failed for two weeks by then.
	certificateLimitSeconds = 14 * 24 * 60 * 60
	// hitRatioFloor: below it most look-ups miss anyway, and a third of it is lost
	// and won by chance.
	hitRatioFloor = 0.1
)

func above(limit float64) string { return "> " + strconv.FormatFloat(limit, 'g', -1, 64) }

// milliseconds writes a time below a second: "50 ms"; longer ones as they are.
func milliseconds(d time.Duration) string {
	if d >= time.Second {
		return d.String()
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'g', -1, 64) + " ms"
}

// percent writes a share: 0.005 as 0.5%.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'g', 4, 64) + "%" }

// findingWindow is how long a single event keeps its alert up.
const findingWindow = "15m"

// How far back the last value before a gap is looked for. It costs as many
// samples a series, of which findings have one a case.
const (
	gapOfCounter = "1d"
	gapOfFinding = "2h"
)

// seeing is 1 for the probes, of those that the matcher selects, whose latest poll
// read all it should, else 0. A probe that was never polled has no success; it is
// just as blind.
func seeing(matcher string) string {
	return "soakd_probe_success{" + matcher + "}\nor\n0 * soakd_probe_polls_total{" + matcher + "}"
}

// gained counts what a counter has gained in the last 15 minutes. increase()
// alone misses what happened in a gap of the series that is longer than its
// window, an outage of 20 minutes: it needs a value from before the gap. So the
// present value is held against the last one that was known 15 minutes ago. Less
// than that is a counter that was reset, of which increase() knows what it gained
// since.
func gained(counter, reach string) string {
	return counter + " - last_over_time(" + counter + "[" + reach + "] offset " + findingWindow + ") > 0\n" +
		"or\nincrease(" + counter + "[" + findingWindow + "])"
}

// recent counts what a recording made by findings has gained in the last 15
// minutes. Of a soakd that is younger than that it is the whole count: what was
// found before the first scrape is in no increase.
func recent(recording string) string {
	return recording + "\nand on (job, instance)\ntime() - process_start_time_seconds < 900\nor\n" + gained(recording, gapOfFinding)
}

// selfAlerts are about soakd: while one of them is up the others cannot be
// trusted to be quiet for a good reason.
func (s Settings) selfAlerts() []Alert {
	return []Alert{
		{
			Name: "SoakdDown", Severity: Page, For: "2m", Dashboard: overviewUID,
			// The instance is known to be soakd by the build information that it gave
			// within the last day, whatever its job is called.
			Signal:    "up\nand on (job, instance)\nlast_over_time(soakd_build_info[1d])",
			Condition: "== 0",
			Summary:   "soakd {{ $labels.instance }} cannot be scraped",
			Description: "Prometheus has not been able to scrape soakd at {{ $labels.instance }} for 2 minutes. " +
				"Nothing is known of the target meanwhile.",
		},
		{
			Name: "SoakdAbsent", Severity: Page, For: "10m", Dashboard: overviewUID,
			Signal: "count(soakd_build_info) or vector(0)", Condition: "== 0",
			Summary: "No soakd is being scraped",
			Description: "Prometheus has seen no soakd at all for 10 minutes: it does not run, or no scrape configuration finds it. " +
				"Remove these rules where no soak is meant to run.",
		},
		{
			Name: "SoakdNoTraffic", Severity: Page, For: "2m", Dashboard: selfUID,
			// The schedule's rate goes on while the load is paused, and while the circuit
			// leaves a hundredth of it: what soakd aims at is the share that it lets
			// through. Below one arrival in 20 s five minutes say nothing.
			Signal: "rate(soakd_arrivals_sent_total[5m])\n/\n(soakd_load_target_rate * avg_over_time(soakd_load_factor_ratio[5m]) > 0.05)\nor\n" + closedModeSends, Condition: "< 0.01",
			// While the target keeps every user away, which SoakdHeld tells, soakd
			// does as it was asked.
			Only:    "unless on (job, instance)\nsoakd_load_held_users == soakd_load_virtual_users\n" + exceptThinking,
			Summary: "soakd {{ $labels.instance }} is up but sends nothing",
			Description: "soakd sent {{ $value | humanizePercentage }} of the rate that it aims at over 5 minutes. " +
				"The soak says nothing about the target until it sends again.",
		},
		pausedAlert(),
		{
			Name: "SoakdLate", Severity: Ticket, For: "10m", Dashboard: selfUID,
			Signal: scheduleLagP99, Condition: above(s.LagLimit.Seconds()),
			Summary: "soakd {{ $labels.instance }} falls behind its own schedule",
			Description: "One arrival in a hundred was noticed {{ $value | humanizeDuration }} late or more (limit " + milliseconds(s.LagLimit) + "). " +
				"soakd is starved, and its latencies from the intended start hold that delay.",
		},
		{
			Name: "SoakdDropping", Severity: Ticket, Dashboard: selfUID,
			Signal: `sum by (job, instance) (increase(soakd_arrivals_dropped_total{reason!~"shutdown|retry_after"}[10m]))`, Condition: "> 0",
			Summary: "soakd {{ $labels.instance }} drops arrivals",
			Description: "About {{ printf \"%.0f\" $value }} arrivals were dropped in 10 minutes. " +
				"Quantiles of that time are lower bounds, and no judgement can pass on it.",
		},
		{
			Name: "SoakdUnfit", Severity: Ticket, For: "5m", Dashboard: selfUID,
			Signal: "sum by (job, instance, reason) (increase(soakd_windows_unfit_total[10m]))\n/ on (job, instance) group_left ()\n" +
				"(sum by (job, instance) (increase(soakd_windows_total[10m])) > 0)",
			Condition: above(unfitLimit),
			Summary:   "soakd {{ $labels.instance }} is not fit to judge its target: {{ $labels.reason }}",
			Description: "{{ $value | humanizePercentage }} of the windows of 10 minutes were not fit to pass a judgement for the reason {{ $labels.reason }} (limit 50%). " +
				"soakd's log says what would help.",
		},
		{
			Name: "SoakdOutOfPortsOrFiles", Severity: Ticket, Dashboard: trafficUID,
			Signal: "sum by (job, instance, kind) (increase(soakd_http_dial_system_errors_total[10m]))", Condition: "> 0",
			Summary: "soakd's own machine is out of {{ $labels.kind }}",
			Description: "About {{ printf \"%.0f\" $value }} connections of {{ $labels.instance }} failed in 10 minutes because its own machine had no {{ $labels.kind }} left. " +
				"They say nothing against the target.",
		},
		{
			Name: "SoakdCircuitOpen", Severity: Ticket, For: "5m", Dashboard: selfUID,
			Signal: "soakd_load_factor_ratio", Condition: "< 1",
			Only:    "and on (job, instance)\nsoakd_circuit_state{state=\"closed\"} == 0",
			Summary: "soakd {{ $labels.instance }} has lowered its load for an unwell target",
			Description: "soakd has sent less than was set for 5 minutes, {{ $value | humanizePercentage }} now, because too many requests failed. " +
				"The load comes back in steps once the target answers rightly.",
		},
		{
			Name: "SoakdHeld", Severity: Ticket, For: "5m", Dashboard: selfUID,
			Signal: "avg_over_time(soakd_load_held_users[10m])\n/\nsoakd_load_virtual_users", Condition: above(heldLimit),
			Summary: "The target keeps soakd {{ $labels.instance }} away",
			Description: "{{ $value | humanizePercentage }} of the users were left alone over 10 minutes because the target asked for it with 429 or Retry-After (limit 10%). " +
				"The load is not the one that was set.",
		},
		{
			Name: "SoakdProbeBlind", Severity: Ticket, For: "2m", Dashboard: selfUID,
			// SoakdDependencyDown tells of the others.
			Signal: seeing(`probe!~"` + genericProbes + `"`), Condition: "== 0",
			Summary: "soakd's {{ $labels.probe }} probe reads nothing or only a part",
			Description: "No poll of the {{ $labels.probe }} probe of {{ $labels.instance }} has read all it should for 2 minutes. " +
				"What it could not read is absent, so that alerts on it stay quiet.",
		},
		{
			Name: "SoakdProbeFlapping", Severity: Ticket, For: "15m", Dashboard: selfUID,
			Signal: "sum without (reason) (increase(soakd_probe_failures_total[15m]))\n/\nincrease(soakd_probe_polls_total[15m])", Condition: above(pollFailureLimit),
			Summary: "soakd's {{ $labels.probe }} probe fails again and again",
			Description: "{{ $value | humanizePercentage }} of the polls of the {{ $labels.probe }} probe of {{ $labels.instance }} failed in whole or in part over 15 minutes (limit 10%). " +
				"Its graphs have gaps.",
		},
	}
}

func (s Settings) targetAlerts() []Alert {
	return append([]Alert{
		{
			Name: "SoakdTargetErrorRatioHigh", Severity: Page, For: "5m", Dashboard: trafficUID,
			Signal: failedRatio, Condition: above(s.ErrorRatioLimit),
			Summary: "The target fails valid requests",
			Description: "{{ $value | humanizePercentage }} of the valid requests of {{ $labels.instance }} got no right answer over 5 minutes (limit " + percent(s.ErrorRatioLimit) + "); 429 does not count. " +
				"'Outcomes other than ok' says which kind.",
		},
		{
			Name: "SoakdTargetLatencyHigh", Severity: Ticket, For: "10m", Dashboard: trafficUID,
			Signal: latencyP99 + `{class!~"` + calculations + `"}`, Condition: above(s.LatencyLimit.Seconds()),
			Summary: "Class {{ $labels.class }} is slow",
			Description: "p99 of class {{ $labels.class }} from the intended start is {{ $value | humanizeDuration }} (limit " + s.LatencyLimit.String() + "). " +
				"Look which resource of the API, Postgres or Redis moved at the same moment.",
		},
		{
			Name: "SoakdTargetCalculationLatencyHigh", Severity: Ticket, For: "10m", Dashboard: trafficUID,
			Signal: latencyP99 + `{class=~"` + calculations + `"}`, Condition: above(s.CalculationLimit.Seconds()),
			Summary: "Calculations of class {{ $labels.class }} are slow",
			Description: "p99 of class {{ $labels.class }} from the intended start is {{ $value | humanizeDuration }} (limit " + s.CalculationLimit.String() + "). " +
				"Look at the API's calculation threads and CPU.",
		},
		{
			Name: "SoakdTargetRestarted", Severity: Ticket, Dashboard: apiUID,
			// The probe keeps the count from 0 on: the first restart is an increase.
			Signal: gained("soakd_api_restarts_total", gapOfCounter), Condition: "> 0",
			Summary: "The target restarted",
			Description: "About {{ printf \"%.0f\" $value }} restarts of the target's replica {{ $labels.replica }} in 15 minutes, as {{ $labels.instance }} saw it, " +
				"or since it was last seen before that.",
		},
	}, append(apiAlerts(), findingAlerts()...)...)
}

// findingAlerts are about single answers: one is enough.
func findingAlerts() []Alert {
	return []Alert{
		{
			Name: "SoakdInvalidInputAccepted", Severity: Ticket, Dashboard: invalidUID,
			Signal: recent(acceptedInvalid), Condition: "> 0",
			Summary: "The target accepts invalid input: {{ $labels.case }}",
			Description: "About {{ printf \"%.0f\" $value }} requests of case {{ $labels.case }} were answered with 2xx in 15 minutes. " +
				"They should have been refused.",
		},
		{
			Name: "SoakdInvalidInputServerError", Severity: Ticket, Dashboard: invalidUID,
			Signal: recent(invalidBroke), Condition: "> 0",
			Summary: "Invalid input breaks the target: {{ $labels.case }}",
			Description: "About {{ printf \"%.0f\" $value }} requests of case {{ $labels.case }} were answered with 5xx in 15 minutes. " +
				"They should have been refused with 4xx.",
		},
		{
			Name: "SoakdInternalsLeaked", Severity: Ticket, Dashboard: invalidUID,
			Signal: recent(internalsLeaked), Condition: "> 0",
			Summary: "The target shows its internals: {{ $labels.case }}",
			Description: "About {{ printf \"%.0f\" $value }} error answers of case {{ $labels.case }} showed a stack trace, SQL or a path in 15 minutes. " +
				"soakd's log has one of them.",
		},
		{
			Name: "SoakdDataLost", Severity: Page, Dashboard: trafficUID,
			Signal: recent(dataLost), Condition: "> 0",
			Summary: "The target lost what was saved",
			Description: "About {{ printf \"%.0f\" $value }} times in 15 minutes something saved through {{ $labels.instance }} was not there or not the same when read back. " +
				"'Failed checks' says which check.",
		},
		{
			Name: "SoakdForeignDataShown", Severity: Page, Dashboard: trafficUID,
			Signal: recent(foreignDataShown), Condition: "> 0",
			Summary: "The target shows one user's data to another",
			Description: "About {{ printf \"%.0f\" $value }} answers to {{ $labels.instance }} in 15 minutes held a scenario of another user. " +
				"Treat it as a breach until it is explained.",
		},
	}
}

// sameRedis leaves out a node at whose address another server has answered
// lately, as after a fail-over: that one's counters are its own, and a higher
// count is no event. 20 minutes are longer than the signals look back.
const sameRedis = "unless on (job, instance, node)\nincrease(soakd_redis_server_changes_total[20m]) > 0"

func redisAlerts() []Alert {
	return []Alert{
		{
			Name: "SoakdRedisMemoryHigh", Severity: Ticket, For: "10m", Dashboard: redisUID,
			// Without a limit (maxmemory 0) there is no limit metric and no ratio.
			Signal: "soakd_redis_memory_used_bytes\n/\nsoakd_redis_memory_limit_bytes", Condition: above(redisMemoryLimit),
			// A cache that may throw out any key is full by design.
			Only:    "unless on (job, instance, node)\nsoakd_redis_maxmemory_policy{policy=~\"allkeys-.*\"} == 1",
			Summary: "Redis {{ $labels.node }} is nearly full",
			Description: "Redis {{ $labels.node }} uses {{ $value | humanizePercentage }} of its memory limit (limit 90%), and its policy is none that may evict any key. " +
				"When nothing is left that it may evict, it refuses writes.",
		},
		{
			Name: "SoakdRedisHitRatioFell", Severity: Ticket, For: "5m", Dashboard: redisUID,
			// What was usual is the median of six hours that end half an hour ago, so that
			// a fall is not in it, nor a burst or a lull. Where nothing is known of then, or
			// it was too low to fall, the ratio is held against itself.
			Signal: hitRatio + "\n/\n(\n  quantile_over_time(0.5, " + hitRatio + "[6h] offset 30m) " + above(hitRatioFloor) + "\n  or\n  " + hitRatio + "\n)",
			// Half an hour at least has to be known of what was usual.
			Only:      "and on (job, instance, node)\nsoakd_redis_keyspace_hits_total offset 1h",
			Condition: "< 0.667",
			Summary:   "The hit ratio of Redis {{ $labels.node }} fell by a third",
			Description: "Over 10 minutes the hit ratio of Redis {{ $labels.node }} was {{ $value | humanizePercentage }} of its median in the hours before (limit 66.7%). " +
				"The API calculates again what it had.",
		},
		{
			Name: "SoakdRedisEvictionsStarted", Severity: Ticket, Dashboard: redisUID,
			// The factor is 1 when the hour before had none, 0 when it had some or is not
			// known. What is known of the hour has to reach back to its start: neither a soak
			// that starts beside a full cache nor a cache that fills for the first time is
			// news.
			Signal: "increase(soakd_redis_evicted_keys_total[10m])\n*\n" +
				"(\n  increase(soakd_redis_evicted_keys_total[1h] offset 10m) == bool 0\n  or\n  0 * soakd_redis_evicted_keys_total\n)",
			Only:      "and on (job, instance, node)\nsoakd_redis_evicted_keys_total offset 70m\n" + sameRedis,
			Condition: "> 0",
			Summary:   "Redis {{ $labels.node }} began to evict keys",
			Description: "Redis {{ $labels.node }} evicted about {{ printf \"%.0f\" $value }} keys in 10 minutes and none in the hour before. " +
				"The working set has outgrown maxmemory.",
		},
		{
			Name: "SoakdRedisRejectedConnections", Severity: Ticket, Dashboard: redisUID,
			Signal: gained("soakd_redis_rejected_connections_total", gapOfCounter), Condition: "> 0",
			Only:    sameRedis,
			Summary: "Redis {{ $labels.node }} refuses clients",
			Description: "Redis {{ $labels.node }} refused about {{ printf \"%.0f\" $value }} connections in 15 minutes, or since it was last seen before that, because maxclients was reached. " +
				"Requests of the API run without its cache.",
		},
	}
}

func dependencyAlerts() []Alert {
	return []Alert{
		{
			Name: "SoakdDependencyDown", Severity: Ticket, For: "5m", Dashboard: dependenciesUID,
			Signal: seeing(`probe=~"` + genericProbes + `"`), Condition: "== 0",
			Summary: "{{ $labels.probe }} does not answer as it should",
			Description: "For 5 minutes the probe {{ $labels.probe }} of {{ $labels.instance }} has got no answer, or not the one that is wanted. " +
				"'Why they fail' says which.",
		},
		{
			Name: "SoakdCertificateExpires", Severity: Ticket, Dashboard: dependenciesUID,
			// The first to expire of all that a server shows, and of the chain that
			// clients need.
			Signal: "min by (job, instance, probe) (\n  soakd_certificate_expiry_timestamp_seconds\n  or\n  soakd_endpoint_certificate_expiry_timestamp_seconds\n  or\n" +
				"  soakd_tcp_certificate_expiry_timestamp_seconds\n)\n-\ntime()",
			Condition: "< " + strconv.Itoa(certificateLimitSeconds),
			Summary:   "A certificate that {{ $labels.probe }} is shown expires soon",
			Description: "A certificate that the probe {{ $labels.probe }} of {{ $labels.instance }} is shown has {{ $value | humanizeDuration }} left (limit 14d); below 0 it has expired. " +
				"From then on clients refuse to connect.",
		},
	}
}
