package dashboards

// Selectors that several dashboards use.
const (
	notOK   = `outcome!="ok"`
	valid   = `class!="invalid"`
	invalid = `class="invalid"`
	// failing are the outcomes of valid traffic that speak against the target. A
	// 429 is the target protecting itself, as it should.
	failing = `outcome!~"ok|rate_limited"`
)

const (
	responseBuckets = "soakd_http_response_time_seconds_bucket"
	durationBuckets = "soakd_http_request_duration_seconds_bucket"
	// everyCase has a series for every case from soakd's start on, so that 0 times
	// it stands in for failures that have not happened yet.
	everyCase = "soakd_http_response_time_seconds_count"
)

func (s Settings) overviewDashboard() Dashboard {
	return Dashboard{
		UID: overviewUID, File: "overview.json", Title: "soakd / Overview",
		Description: "The load, what it does to the API, its Postgres and its Redis, on one time axis. Read it from the top: is the load what was asked for, did latency or failures move, which dependency moved at the same moment?",
		Rows: []Row{
			{Title: "Is the target well?", Panels: verdictTiles()},
			{Title: "Now", Panels: overviewTiles()},
			{Title: "Traffic", Panels: s.overviewTraffic()},
			{Title: "Postgres and Redis", Panels: overviewDependencies()},
			{Title: "API", Panels: overviewAPI()},
			{Title: "Can soakd see?", Panels: []Panel{probesPanel(), fitPanel(12)}},
		},
	}
}

// failureShare is the share of valid traffic that went wrong.
func failureShare() string {
	all := sum(rate(sel("soakd_http_requests_total", valid)))
	return share(orZero(sum(rate(sel("soakd_http_requests_total", valid, failing))), all), all)
}

func overviewTiles() []Panel {
	return append(trafficTiles(), []Panel{
		{
			Title: "Postgres saturation", Kind: Stat, Unit: "percentunit", Thresholds: warnAt(0.8, 0.95), Detail: postgresUID,
			Description: "Client connections as a share of those that Postgres has for clients. From 80 % on: fewer workers, smaller pools, or a pooler before Postgres.",
			Targets:     []Target{{Query: worst(sel("soakd_postgres_connection_saturation_ratio"))}},
		},
		{
			Title: "Redis hit ratio", Kind: Stat, Unit: "percentunit", Limits: ZeroToOne, Detail: redisUID,
			Description: "Share of look-ups that Redis answered, over soakd's window. Compare it with earlier: what is right depends on the traffic. Unknown while nothing is looked up.",
			Targets:     []Target{{Query: lowest(sel("soakd_redis_keyspace_hit_ratio"))}},
		},
		{
			Title: "API CPU", Kind: Stat, Unit: "none", Detail: apiUID,
			Description: "Cores that the busiest replica of the API uses. Near the cores that it has: it is out of CPU; near 1 with a Python worker: that worker is (raise WORKERS).",
			Targets:     []Target{{Query: worst(rate(sel("soakd_api_cpu_seconds_total")))}},
		},
		{
			Title: "API memory", Kind: Stat, Unit: "bytes", Detail: apiUID,
			Description: "Resident memory of the API's largest replica. In a soak it has to find a level: look at the graph over hours.",
			Targets:     []Target{{Query: worst(sel("soakd_api_resident_memory_bytes"))}},
		},
		{
			Title: "API restarts", Kind: Stat, Unit: "none", Thresholds: badAt(1), Detail: apiUID,
			Description: "Restarts of all replicas of the API since soakd started. Any that nobody ordered is a crash: look at its log and at its memory before.",
			Targets:     []Target{{Query: ofAllReplicas(sel("soakd_api_restarts_total"))}},
		},
		{
			Title: "Probes", Kind: Stat, Unit: "none", Thresholds: badBelow(1), Texts: map[int]string{0: "blind", 1: "all see"},
			Description: "Whether every probe read all it should at its latest poll. Blind: see 'Can soakd see?' below for which, and soakd's log for why.",
			Targets:     []Target{{Query: lowest(sel("soakd_probe_success"))}},
		},
	}...)
}

func trafficTiles() []Panel {
	return []Panel{
		{
			Title: "Arrivals sent", Kind: Stat, Unit: "reqps", Detail: trafficUID,
			Description: "Requests a second that soakd sends. Below the target rate: see 'Arrivals against the target rate'.",
			Targets:     []Target{{Query: sum(rate(sel("soakd_arrivals_sent_total")))}},
		},
		{
			Title: "p99 from the intended start", Kind: Stat, Unit: "s", Thresholds: warnAt(1, 5), Detail: trafficUID,
			Description: "99 of 100 requests were answered within this time of the moment they were due: what users would have felt, all cases together.",
			Targets:     []Target{{Query: quantile("0.99", sel(responseBuckets)), Exemplars: false}},
		},
		{
			Title: "Failures", Kind: Stat, Unit: "percentunit", Thresholds: warnAt(0.001, 0.01), Detail: trafficUID,
			Description: "Share of valid requests that did not get a right answer; 429 does not count. Above 1 %: see 'Outcomes other than ok' for the kind.",
			Targets:     []Target{{Query: failureShare()}},
		},
		{
			Title: "Findings on invalid input", Kind: Stat, Unit: "none", Thresholds: badAt(1), Detail: trafficUID,
			Description: "Invalid requests since soakd started that were accepted, answered with 5xx or answered with internals. Each is a defect of the API's validation.",
			Targets: []Target{{Query: orZero(
				sum(sel("soakd_http_requests_total", invalid, `outcome=~"accepted_invalid|server_error|leaked_internals"`)),
				sum(sel(everyCase, invalid)))}},
		},
		{
			Title: "Failed checks", Kind: Stat, Unit: "none", Thresholds: badAt(1), Detail: trafficUID,
			Description: "Checks since soakd started that found an answer to be wrong: its status, its size, or what it says. 'Failed checks since the start of soakd' on the traffic dashboard says which.",
			Targets:     []Target{{Query: orZero(sum(sel("soakd_check_failures_total")), sum(sel(everyCase)))}},
		},
		{
			Title: "Arrivals dropped", Kind: Stat, Unit: "none", Thresholds: badAt(1), Detail: trafficUID,
			Description: "Arrivals since soakd started that were never sent, but for those that the target asked not to be sent. With any, quantiles are lower bounds: the target was too slow for the places in flight, or soakd was starved.",
			Targets:     []Target{{Query: sum(sel("soakd_arrivals_dropped_total", `reason!~"shutdown|retry_after"`))}},
		},
	}
}

func (s Settings) overviewTraffic() []Panel {
	return []Panel{
		arrivalsPanel(),
		{
			Title: "Latency from the intended start", Unit: "s", Log: true, Detail: trafficUID,
			Description: "Time from the moment an arrival was due to the end of its answer, all cases. Dots are single requests with their trace id. When it rises, look below for what rose at the same moment.",
			Targets: []Target{
				{Query: quantile("0.5", sel(responseBuckets)), Legend: "p50"},
				{Query: quantile("0.95", sel(responseBuckets)), Legend: "p95"},
				{Query: quantile("0.99", sel(responseBuckets)), Legend: "p99", Exemplars: true},
			},
		},
		latencyHeatmap(sel(responseBuckets)),
		outcomesPanel(sel),
		unsentPanel(),
		s.lagPanel(),
		phasePanel(),
	}
}

func arrivalsPanel() Panel {
	return Panel{
		Title: "Arrivals against the target rate", Unit: "reqps",
		Description: "Arrivals that fell due and that were sent, and the rate that the schedule aims at. Sent below scheduled: arrivals wait or are dropped. Scheduled below the target: soakd is starved of CPU.",
		Targets: []Target{
			{Query: sum(rate(sel("soakd_arrivals_scheduled_total"))), Legend: "scheduled"},
			{Query: sum(rate(sel("soakd_arrivals_sent_total"))), Legend: "sent"},
			{Query: sum(sel("soakd_load_target_rate")), Legend: "target rate", Dashed: true},
		},
	}
}

// phasePanel shows what the schedule does.
func phasePanel() Panel {
	return Panel{
		Title: "Phase of the load", Unit: "none", Limits: ZeroToOne,
		Description: "1 for what the schedule does: rising, steady, falling, ended. Compare a change of latency with it before looking for a cause in the target.",
		Targets: []Target{{
			Query:  worst(sel("soakd_load_phase")+" * on (job, instance) group_left (target, shape) "+sel("soakd_run_info"), "target", "shape", "phase"),
			Legend: "{{target}} {{shape}}: {{phase}}",
		}},
	}
}

func latencyHeatmap(buckets string) Panel {
	return Panel{
		Title: "All latencies from the intended start", Kind: Heatmap, Unit: "s",
		Description: "How many requests took how long. Two bands are two kinds of request, or hits and misses of the cache; a band that climbs is a queue that grows.",
		Targets:     []Target{{Query: "sum by (le) (increase(" + buckets + "[$__rate_interval]))", Legend: "{{le}}", Exemplars: true}},
	}
}

// outcomesPanel shows every outcome but ok; selected selects the series.
func outcomesPanel(selected func(string, ...string) string) Panel {
	return Panel{
		Title: "Outcomes other than ok", Unit: "reqps", Stack: true, Detail: trafficUID,
		Description: "Requests a second that did not end well, by what became of them; 'none' is drawn at 0 while there are none. timeout and connect: the API is overloaded or away; server_error: its log; rate_limited: its limits.",
		Targets: []Target{{
			Query: orNone("outcome", sum(rate(selected("soakd_http_requests_total", notOK)), "outcome"), sum(rate(selected(everyCase)))),
			// The label is there in either case.
			Legend: "{{outcome}}",
		}},
	}
}

func unsentPanel() Panel {
	return Panel{
		Title: "Waiting, dropped, in flight", Unit: "short",
		Description: "Arrivals that wait for a place in flight, arrivals a second that were dropped, requests in flight. Waiting that stays above 0 says that the target does not keep up: more WORKERS or instances, or a higher SOAKD_MAX_IN_FLIGHT if the target is well.",
		Targets: []Target{
			{Query: sum(sel("soakd_arrivals_waiting")), Legend: "waiting"},
			{Query: sum(rate(sel("soakd_arrivals_dropped_total")), "reason"), Legend: "dropped a second: {{reason}}"},
			{Query: sum(sel("soakd_http_in_flight_requests")), Legend: "in flight"},
		},
	}
}

func (s Settings) lagPanel() Panel {
	return Panel{
		Title: "Schedule lag", Unit: "s", Log: true, Thresholds: badAt(s.LagLimit.Seconds()),
		Description: "How late soakd noticed that arrivals were due. It is soakd's own delay: above " + milliseconds(s.LagLimit) + " give soakd more CPU, or more shards, before judging the target. A window whose p99 is above SOAKD_LAG_LIMIT is not fit to pass a judgement.",
		Targets: []Target{
			{Query: quantile("0.5", sel("soakd_schedule_lag_seconds_bucket")), Legend: "p50"},
			{Query: quantile("0.99", sel("soakd_schedule_lag_seconds_bucket")), Legend: "p99"},
		},
	}
}

func overviewDependencies() []Panel {
	return []Panel{
		{
			Title: "Postgres saturation", Unit: "percentunit", Width: 6, Limits: ZeroToOne, Thresholds: warnAt(0.8, 0.95), Detail: postgresUID,
			Description: "Client connections as a share of those that Postgres has for clients. When it climbs with latency: transactions last longer (locks, missing index) or the API's pools are too large together.",
			Targets:     []Target{{Query: worst(sel("soakd_postgres_connection_saturation_ratio"), "server"), Legend: "{{server}}"}},
		},
		{
			Title: "Postgres blocked backends", Unit: "short", Width: 6, Thresholds: badAt(1), Detail: postgresUID,
			Description: "Backends that wait for a lock that another holds. Above 0 for longer than a moment: find the holder in pg_blocking_pids() and shorten its transaction.",
			Targets:     []Target{{Query: worst(sel("soakd_postgres_blocked_backends"), "server"), Legend: "{{server}}"}},
		},
		{
			Title: "Postgres oldest transaction", Unit: "s", Width: 6, Detail: postgresUID,
			Description: "Age of the oldest open transaction; 0 while no session is in one. One that grows without end holds locks and keeps dead rows from being removed.",
			Targets:     []Target{oldestTransaction(sel, "")},
		},
		{
			Title: "Postgres canary", Unit: "s", Width: 6, Log: true, Detail: postgresUID, EmptyWhen: canaryUnset,
			Description: "p99 of the time of soakd's own write, read and delete of one row. When latency rises and this does not, it is the API that is slow and not its database.",
			Targets:     []Target{postgresCanaryQuantile("0.99", "p99")},
		},
		{
			Title: "Redis hit ratio", Unit: "percentunit", Width: 8, Limits: ZeroToOne, Detail: redisUID,
			Description: "Share of look-ups that Redis answered. A fall at the same moment as evictions: more memory or a shorter TTL; without evictions: the TTL is too short for the traffic, or Redis was emptied.",
			Targets:     []Target{{Query: lowest(sel("soakd_redis_keyspace_hit_ratio"), "node"), Legend: "{{node}}"}},
		},
		{
			Title: "Redis evictions", Unit: "ops", Width: 8, Detail: redisUID,
			Description: "Keys a second that Redis threw out to stay below its limit. Steady on a full cache; new on one that had none: the working set has outgrown the memory.",
			Targets:     []Target{{Query: worst(rate(sel("soakd_redis_evicted_keys_total")), "node"), Legend: "{{node}}"}},
		},
		{
			Title: "Redis memory", Unit: "bytes", Width: 8, Detail: redisUID,
			Description: "Memory that Redis uses, and its limit where it has one. At the limit the policy decides: eviction or refused writes.",
			Targets: []Target{
				{Query: worst(sel("soakd_redis_memory_used_bytes"), "node"), Legend: "used {{node}}"},
				{Query: worst(sel("soakd_redis_memory_limit_bytes"), "node"), Legend: "limit {{node}}", Dashed: true},
			},
		},
		{
			Title: "Redis round trip", Unit: "s", Width: 12, Log: true, Detail: redisUID,
			Description: "Time of a PING, and p99 of the write and the read of soakd's own key where SOAKD_REDIS_CANARY_URL is set. When the API is slow and these are not, Redis and the network are not the cause.",
			Targets: []Target{
				{Query: worst(sel("soakd_redis_ping_seconds"), "node"), Legend: "PING {{node}}"},
				{
					Query:  quantile("0.99", sel("soakd_redis_canary_seconds_bucket", `operation!="delete"`), "node", "operation"),
					Legend: "p99 {{operation}} {{node}}",
				},
			},
		},
	}
}

func overviewAPI() []Panel {
	return []Panel{
		apiCPUPanel(8), apiMemoryPanel(8), apiPoolPanel(8), apiThreadPoolPanel(8), apiThreadsPanel(8), apiCachePanel(8),
	}
}

func probesPanel() Panel {
	return Panel{
		Title: "Probes", Unit: "none", Width: 12, Height: 5, Limits: ZeroToOne, Texts: map[int]string{0: "blind", 1: "sees"}, Detail: dependenciesUID,
		Description: "1 while the probe reads all it should. At 0 the graphs of that dependency have gaps or lack a part: soakd's log says once why. A probe with the kind before its name (endpoint/, tcp/, dns/, certificate/, exporter/) is at 0 also when what it watches does not answer as it should: 'Why they fail' says which.",
		Targets:     []Target{{Query: lowest(sel("soakd_probe_success"), "probe", "instance"), Legend: "{{probe}} {{instance}}"}},
	}
}
