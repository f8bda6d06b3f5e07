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

// failureShare is the share of valid traffic that went wrong.
func failureShare() string {
	all := sum(rate(sel("soakd_http_requests_total", valid)))
	return share(orZero(sum(rate(sel("soakd_http_requests_total", valid, failing))), all), all)
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

func (s Settings) overviewDashboard() Dashboard {
	return Dashboard{
		UID: overviewUID, File: "overview.json", Title: "soakd / Overview",
		Description: "The load, what it does to the API, its Postgres and its Redis, on one time axis. Read it from the top: is the target well; what was found, which version and which load was that; did latency or failures move, and which dependency moved at the same moment?",
		Rows: []Row{
			{Title: "Is the target well?", Panels: s.overviewTiles()},
			{Title: "What happened?", Panels: []Panel{findingsPanel(), outagesPanel(8), versionPanel(8), phasePanel(8)}},
			{Title: "Traffic", Panels: overviewTraffic()},
			{Title: "Postgres", Panels: overviewPostgres()},
			{Title: "Redis", Panels: overviewRedis()},
			{Title: "API", Panels: []Panel{apiCPUPanel(8), apiMemoryPanel(8), apiPoolPanel(8)}},
			{Title: "Can soakd see?", Panels: []Panel{probeStatePanel(12), fitPanel(12)}},
		},
	}
}

// overviewTiles are two lines of tiles: the verdict and what users feel, then what
// most often is the reason.
func (s Settings) overviewTiles() []Panel {
	return []Panel{
		verdictPanel(), openFindingsTile(), s.failuresTile(), p99Tile(), sentTile(), budgetTile(),
		{
			Title: "Findings on invalid input", Kind: Stat, Unit: "none", Thresholds: badAt(1), Detail: invalidUID,
			Description: "Invalid requests since soakd started that were accepted, answered with 5xx or answered with internals. Each is a defect of the API's validation.",
			Targets:     []Target{{Query: invalidFindings()}},
		},
		failedChecksTile(),
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
			Title: "API restarts", Kind: Stat, Unit: "none", Thresholds: badAt(1), Detail: apiUID,
			Description: "Restarts of all replicas of the API since soakd started. Any that nobody ordered is a crash: look at its log and at its memory before.",
			Targets:     []Target{{Query: ofAllReplicas(sel("soakd_api_restarts_total"))}},
		},
		{
			Title: "Probes", Kind: Stat, Unit: "none", Thresholds: badBelow(1), Texts: map[int]string{0: "blind", 1: "all see"}, Detail: selfUID,
			Description: "Whether every probe read all it should at its latest poll; one that was never polled is blind. Blind: see 'Can soakd see?' below for which, and soakd's log for why.",
			Targets:     []Target{{Query: lowest(sel("soakd_probe_success") + " or 0 * " + sel("soakd_probe_polls_total"))}},
		},
	}
}

func overviewTraffic() []Panel {
	heatmap := latencyHeatmap(sum(overStep("avg", sel(responseBucketsByClass)), "le"), sel(responseBuckets))
	heatmap.Detail = trafficUID
	return []Panel{
		arrivalsPanel(),
		outcomesPanel(requestsByOutcome),
		{
			Title: "Latency from the intended start", Unit: "s", Log: true, Detail: trafficUID,
			Description: "Time from the moment an arrival was due to the end of its answer, all cases of the soakd and the two minutes that are worst in each step. Dots are single requests with their trace id. When it rises, look below for what rose at the same moment.",
			Targets: []Target{
				{Query: worstOf(sel(responseP50)), Legend: "p50"},
				{Query: worstOf(sel(responseP95)), Legend: "p95"},
				{Query: withExemplars(worstOf(sel(responseP99)), sel(responseBuckets)), Legend: "p99", Exemplars: true},
			},
		},
		heatmap,
	}
}

func overviewPostgres() []Panel {
	return []Panel{
		{
			Title: "Postgres saturation", Unit: "percentunit", Width: 8, Limits: ZeroToOne, Thresholds: warnAt(0.8, 0.95), Detail: postgresUID,
			Description: "Client connections as a share of those that Postgres has for clients. When it climbs with latency: transactions last longer (locks, missing index) or the API's pools are too large together.",
			Targets:     []Target{{Query: worst(sel("soakd_postgres_connection_saturation_ratio"), "server"), Legend: "{{server}}"}},
		},
		{
			Title: "Postgres blocked backends", Unit: "short", Width: 8, Thresholds: badAt(1), Detail: postgresUID,
			Description: "Backends that wait for a lock that another holds. Above 0 for longer than a moment: find the holder in pg_blocking_pids() and shorten its transaction.",
			Targets:     []Target{{Query: worst(sel("soakd_postgres_blocked_backends"), "server"), Legend: "{{server}}"}},
		},
		{
			Title: "Postgres oldest transaction", Unit: "s", Width: 8, Detail: postgresUID,
			Description: "Age of the oldest open transaction; 0 while no session is in one. One that grows without end holds locks and keeps dead rows from being removed.",
			Targets:     []Target{oldestTransaction(sel, "")},
		},
	}
}

func overviewRedis() []Panel {
	return []Panel{
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
			Title: "Redis round trip", Unit: "s", Width: 8, Log: true, Detail: redisUID,
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
