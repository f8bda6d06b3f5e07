package dashboards

// gauged is what the tests of an alert on one gauge need.
type gauged struct {
	alert, series string
	// calm, limit and bad are values: of a healthy system, the highest that is none
	// of an alert, and one that is. pending and at are moments: the fault begins at minute 5.
	calm, limit, bad string
	pending, at      string
	want             wanted
}

func (g gauged) tests() []ruleTest {
	return []ruleTest{
		{alert: g.alert, kind: fires, at: g.at, pending: g.pending, calm: []string{"4m"}, series: [][2]string{{g.series, g.calm + "+0x4 " + g.bad + "+0x40"}}, want: []wanted{g.want}},
		{alert: g.alert, kind: quiet, at: g.at, series: [][2]string{{g.series, g.limit + "+0x40"}}},
		nothing(g.alert),
		{alert: g.alert, kind: reset, at: "40m", series: [][2]string{{g.series, g.bad + "+0x4 stale _ " + g.calm + "+0x40"}}},
	}
}

// counted is what the tests of an alert on one counter need.
type counted struct {
	alert, series string
	// other is a series of the same metric that must not count.
	other string
	want  wanted
}

func (c counted) tests() []ruleTest {
	return []ruleTest{
		{alert: c.alert, kind: fires, at: "12m", calm: []string{"10m", "27m"}, series: [][2]string{{c.series, "0+0x10 2+0x30"}}, want: []wanted{c.want}},
		{alert: c.alert, kind: fires, about: gap, at: "32m", calm: []string{"29m", "47m"}, series: [][2]string{{c.series, overAGap("0", "2+0x40")}}, want: []wanted{c.want}},
		{alert: c.alert, kind: quiet, at: "30m", series: [][2]string{{c.series, "3+0x60"}, {c.other, "0+7x60"}}},
		nothing(c.alert),
		{alert: c.alert, kind: reset, at: "12m", series: [][2]string{{c.series, "3+0x10 0+0x20"}}},
		{alert: c.alert, kind: reset, about: gap, at: "32m", calm: []string{"31m", "46m"}, series: [][2]string{{c.series, overAGap("3", "0+0x40")}}},
	}
}

func stateRuleTests() []ruleTest {
	var all []ruleTest
	for _, g := range gaugedCases() {
		all = append(all, g.tests()...)
	}
	for _, c := range countedCases() {
		all = append(all, c.tests()...)
	}
	return append(all, queueRuleTests()...)
}

func gaugedCases() []gauged {
	return []gauged{
		{
			"SoakdLoadPaused", "soakd_load_paused", "0", "0", "1", "", "10m",
			wanted{nil, "The load of soakd soakd:9470 is paused", "Somebody has paused the load of soakd:9470: nothing is sent until it is resumed.", false},
		},
		{
			"SoakdTargetPoolExhausted", `soakd_api_pool_connections{replica="api:8080",pool="main",state="waiting"}`, "0", "0", "3", "9m", "11m",
			wanted{
				map[string]string{"replica": "api:8080", "pool": "main"},
				"The target's database pool main is exhausted",
				"3 requests of replica api:8080 wait for a connection of pool main, and at each look for 5 minutes there were some. Postgres may have room that the pool does not use.", false,
			},
		},
		{
			"SoakdTargetFilesHigh", `soakd_api_fd_saturation_ratio{replica="api:8080"}`, "0.1", "0.8", "0.82", "9m", "11m",
			wanted{
				map[string]string{"replica": "api:8080"},
				"The target is running out of file descriptors",
				"82% of the file descriptors that replica api:8080 may open are in use (limit 80%). At 100% it can accept no connection.", false,
			},
		},
		{
			"SoakdPostgresSlotLost", `soakd_postgres_replication_slot_lost{server="main",slot="standby"}`, "0", "0", "1", "", "10m",
			wanted{
				map[string]string{"server": "main", "slot": "standby"},
				"Replication slot standby of Postgres main is lost",
				"Postgres main has removed log that replication slot standby needed. Its receiver gets nothing more and must be made anew.", false,
			},
		},
		{
			"SoakdPostgresFreezeLate", `soakd_postgres_transaction_id_age{server="main"}`, "200000000", "1000000000", "1100000000", "", "10m",
			wanted{
				map[string]string{"server": "main"},
				"Postgres main is late in freezing transaction ids",
				"The oldest row that Postgres main has not frozen is 1.1G transactions old (limit 1G). Near 2.1G the server takes no more writes.", false,
			},
		},
	}
}

func countedCases() []counted {
	return []counted{
		{
			"SoakdTargetOutOfMemory", `soakd_api_oom_kills_total{replica="api:8080"}`, `soakd_api_restarts_total{replica="api:8080"}`,
			wanted{
				map[string]string{"replica": "api:8080"},
				"The target was killed for want of memory",
				"The kernel killed about 2 processes of replica api:8080 in 15 minutes, or since it was last seen before that, because its memory limit was reached. Requests in flight were lost.", false,
			},
		},
		{
			"SoakdPostgresCanaryWrong", `soakd_postgres_canary_wrong_reads_total{cause="missing"}`, `soakd_postgres_canary_failures_total{operation="read"}`,
			wanted{
				map[string]string{"cause": "missing"},
				"Postgres does not give back what was written",
				"About 2 times in 15 minutes, or since it was last seen before that, soakd:9470 read from Postgres something else than it had just written (missing). The API's data may be lost as well.", false,
			},
		},
		{
			"SoakdRedisCanaryWrong", `soakd_redis_canary_wrong_reads_total{node="redis:6379",cause="mismatch"}`, `soakd_redis_canary_wrong_reads_total{node="redis:6379",cause="evicted"}`,
			wanted{
				map[string]string{"node": "redis:6379", "cause": "mismatch"},
				"Redis redis:6379 does not give back what was written",
				"About 2 times in 15 minutes, or since it was last seen before that, Redis redis:6379 gave back something else than soakd:9470 had just written (mismatch). The API may get wrong results from its cache.", false,
			},
		},
	}
}

func queueRuleTests() []ruleTest {
	const alert = "SoakdTargetTasksQueued"
	series := func(queued string) [][2]string {
		return [][2]string{{`soakd_api_thread_pool_queued_tasks{replica="api:8080"}`, queued}, {`soakd_api_thread_pool_threads{replica="api:8080"}`, "4+0x60"}}
	}
	return []ruleTest{
		{
			alert: alert, kind: fires, at: "16m", pending: "14m", series: series("0+0x4 10+0x40"),
			want: []wanted{{
				labels: map[string]string{"replica": "api:8080"}, summary: "Calculations queue up in the target",
				description: "2.5 tasks wait for each calculation thread of replica api:8080 (limit 1), for 10 minutes. A calculation waits for longer than it lasts.",
			}},
		},
		{alert: alert, kind: quiet, at: "30m", series: series("4+0x60")}, // one a thread
		nothing(alert),
		{alert: alert, kind: reset, at: "30m", series: series("10+0x8 0+0x40")}, // the target restarted
	}
}

// closedSeries are those of a soakd in closed mode, with values of what it has sent,
// of the share of its users that are active and of whether its schedule has ended.
func closedSeries(sent, factor, ended string) [][2]string {
	return [][2]string{
		{"soakd_arrivals_sent_total", sent},
		{"soakd_load_target_rate", "0+0x60"},
		{`soakd_run_info{model="closed",target="api"}`, "1+0x60"},
		{"soakd_load_factor_ratio", factor},
		{`soakd_load_phase{phase="ended"}`, ended},
	}
}

func closedFires() ruleTest {
	return ruleTest{
		alert: "SoakdNoTraffic", kind: fires, about: "closed mode", at: "15m", pending: "11m",
		series: closedSeries("0+600x5 3000+0x50", "1+0x60", "0+0x60"),
		want: []wanted{{
			summary:     "soakd soakd:9470 is up but sends nothing",
			description: "soakd sent 0% of the rate that it aims at over 5 minutes. The soak says nothing about the target until it sends again.",
		}},
	}
}

// closedStuck is about users who think for long after their first request, but never
// sent it.
func closedStuck() ruleTest {
	stuck := closedFires()
	stuck.about, stuck.pending = "closed mode, never began", ""
	stuck.series = append(closedSeries("0+0x60", "1+0x60", "0+0x60"), [2]string{"process_start_time_seconds", "0+0x60"})
	return stuck
}

// openCircuitFires is about a trickle that should be left and is not.
func openCircuitFires() ruleTest {
	dry := closedFires()
	dry.about, dry.pending = "open circuit", ""
	dry.series = [][2]string{
		{"soakd_arrivals_sent_total", "0+600x5 3000+0x50"}, {"soakd_load_target_rate", "10+0x60"}, {"soakd_load_factor_ratio", "1+0x5 0.01+0x50"},
	}
	return dry
}

func closedQuiet() []ruleTest {
	quietly := func(about string, series [][2]string) ruleTest {
		return ruleTest{alert: "SoakdNoTraffic", kind: quiet, about: "closed mode, " + about, at: "15m", calm: []string{"30m"}, series: series}
	}
	return []ruleTest{
		quietly("slow users", closedSeries("0+1x60", "1+0x60", "0+0x60")),
		quietly("paused and resumed", closedSeries("0+600x5 3000+0x15 3600+600x30", "1+0x5 0+0x15 1+0x40", "0+0x60")),
		quietly("one request in half an hour", append(closedSeries("1+0x25 2+0x35", "1+0x60", "0+0x60"), [2]string{"process_start_time_seconds", "0+0x60"})),
		quietly("ended", closedSeries("0+600x5 3000+0x50", "1+0x60", "0+0x5 1+0x50")),
	}
}
