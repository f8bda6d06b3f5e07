package dashboards

// trendsDashboard is about what grows without end.
func trendsDashboard() Dashboard {
	return Dashboard{
		UID: trendsUID, File: "trends.json", Title: "soakd / Leaks and trends",
		Description: "What grows without end, over days: which resource, how fast, and when it reaches its limit; below it the resources themselves on the same time axis. A climb that stops at every restart and begins anew is a leak of that process; one that goes on is data.",
		Range:       "now-7d", Refresh: "5m",
		Rows: []Row{
			{Title: "Does anything leak?", Panels: trendTiles()},
			{Title: "Leaks and trends", Panels: trendPanels()},
			{Title: "The API side by side", Panels: []Panel{
				apiMemoryPanel(8), apiThreadsPanel(8), apiFilesPanel(), apiPoolPanel(8), apiCPUPerRequestPanel(), apiReplicaRestarts(),
			}},
			{Title: "Postgres and Redis side by side", Panels: dependencyTrendPanels()},
			{Title: "soakd for comparison", Panels: []Panel{selfMemoryPanel(), selfGoroutinesPanel(), historySizePanel()}},
		},
	}
}

// noTrend is when nothing is known of trends yet.
const noTrend = "while nothing has been watched for 45 minutes"

// toTheLimit is red where SoakdLeakUrgent pages, below 6 hours, and orange below a day.
func toTheLimit() []Threshold {
	return []Threshold{{Value: urgentLeakSeconds, Color: red, Below: true}, {Value: 86400, Color: orange, Below: true}}
}

func trendTiles() []Panel {
	return []Panel{
		{
			Title: "Resources that leak", Kind: Stat, Unit: "none", Thresholds: badAt(1), EmptyWhen: noTrend,
			Description: "How many resources grow without end as far as can be told. With any: 'Every resource' names them and says how long there is.",
			Targets:     []Target{{Query: sum(worst(sel("soakd_leak_suspected"), "signal"))}},
		},
		{
			Title: "First limit is reached in", Kind: Stat, Unit: "s", Limits: Free, Thresholds: toTheLimit(), EmptyWhen: "while nothing leaks",
			Description: "Time until the first of the resources that leak reaches its limit. Below 6 hours SoakdLeakUrgent pages: keep a profile of the process and restart it before then.",
			Targets:     []Target{{Query: lowest(sel("soakd_leak_seconds_to_limit"))}},
		},
		{
			Title: "Suspected leaks", Kind: StateTimeline, Unit: "none", Width: 16, Height: 8, Limits: ZeroToOne, Thresholds: badAt(1),
			Texts: map[int]string{0: "steady", 1: "leaks"}, EmptyWhen: noTrend,
			Description: "When each resource grew without end; raises SoakdLeak. Look at the resource itself below over the same time, and at what was deployed where it began.",
			Targets:     []Target{{Query: worst(sel("soakd_leak_suspected"), "signal"), Legend: "{{signal}}"}},
		},
	}
}

func trendPanels() []Panel {
	return []Panel{
		{
			Title: "Every resource", Kind: Table, Unit: "short", Height: 9, EmptyWhen: noTrend,
			Description: "Each resource that soakd watches for a trend: whether it leaks, its slope an hour in its own unit, and when it reaches its limit; no time where it does not leak or has no limit. Begin with the shortest time.",
			Columns: []Column{
				{Title: "Resource", Label: "signal"},
				{Title: "Leaks", Target: 0, Texts: map[int]string{0: "steady", 1: "leaks"}, Thresholds: badAt(1), Sort: HighestFirst},
				{Title: "Slope an hour", Target: 1},
				{Title: "Time to the limit", Target: 2, Unit: "s", Thresholds: toTheLimit()},
			},
			Targets: []Target{
				{Query: worst(sel("soakd_leak_suspected"), "signal")},
				{Query: worst(sel("soakd_trend_slope_per_hour"), "signal")},
				{Query: lowest(sel("soakd_leak_seconds_to_limit"), "signal")},
			},
		},
		{
			Title: "Time to the limit", Unit: "s", Log: true, Thresholds: toTheLimit(), EmptyWhen: "while nothing leaks",
			Description: "When a resource that leaks reaches its limit at its present slope. Red below 6 hours, where SoakdLeakUrgent pages: keep a profile of the target and restart it before then.",
			Targets:     []Target{{Query: lowest(sel("soakd_leak_seconds_to_limit"), "signal"), Legend: "{{signal}}"}},
		},
		{
			Title: "Slope an hour", Unit: "short", Limits: Free, EmptyWhen: noTrend,
			Description: "By how much the lower envelope of each resource rises an hour, in its own unit, without the effect of the load. Slopes come and go within the noise; what counts is 'Suspected leaks'.",
			Targets:     []Target{{Query: worst(sel("soakd_trend_slope_per_hour"), "signal"), Legend: "{{signal}}"}},
		},
	}
}

func apiReplicaRestarts() Panel {
	return Panel{
		Title: "Restarts of each replica", Unit: "short", Width: 8, Detail: apiUID,
		Description: "Restarts that soakd has seen since it started. A restart resets what leaks: steps at equal distances are a process that the kernel or a supervisor ends each time it is full.",
		Targets:     []Target{ofReplica("soakd_api_restarts_total", "")},
	}
}

func dependencyTrendPanels() []Panel {
	return []Panel{
		{
			Title: "Postgres connections", Unit: "short", Width: 8, Detail: postgresUID,
			Description: "Connections of each application. One that climbs through the whole soak and falls when the API restarts: the API loses connections, or its pool has no limit.",
			Targets:     []Target{{Query: worstOf(sel(backends), "server", "application"), Legend: "{{application}} {{server}}"}},
		},
		{
			Title: "Postgres databases on disk", Unit: "bytes", Width: 8, Detail: postgresUID,
			Description: "Size of the watched databases. A soak that deletes as much as it saves levels out; a steady climb is data without retention, or dead rows that vacuum cannot remove.",
			Targets:     []Target{{Query: worst(sel("soakd_postgres_database_bytes"), "server", "database"), Legend: "{{database}} {{server}}"}},
		},
		{
			Title: "Postgres oldest transaction", Unit: "s", Width: 8, Detail: postgresUID,
			Description: "Age of the oldest open transaction; 0 while no session is in one. One that grows without end holds locks and keeps dead rows from being removed.",
			Targets:     []Target{{Query: worstOf(sel(transactionAge), "server"), Legend: serverLegend("")}},
		},
		{
			Title: "Redis memory", Unit: "bytes", Width: 8, Detail: redisUID,
			Description: "Memory that Redis uses, and its limit where it has one. A climb to the limit: keys without a TTL, or a key that holds something that changes with each request.",
			Targets: []Target{
				{Query: worst(sel("soakd_redis_memory_used_bytes"), "node"), Legend: "used {{node}}"},
				{Query: worst(sel("soakd_redis_memory_limit_bytes"), "node"), Legend: "limit {{node}}", Dashed: true},
			},
		},
		{
			Title: "Redis clients", Unit: "short", Width: 8, Detail: redisUID,
			Description: "Connections of clients. A climb that falls when the API restarts: the API makes clients and does not close them.",
			Targets:     []Target{{Query: worst(sel("soakd_redis_connected_clients"), "node"), Legend: "{{node}}"}},
		},
		{
			Title: "Redis evictions", Unit: "ops", Width: 8, Detail: redisUID,
			Description: "Keys a second that Redis threw out to stay below its limit. Steady on a full cache; new on one that had none: the working set has outgrown the memory.",
			Targets:     []Target{{Query: worst(rate(sel("soakd_redis_evicted_keys_total")), "node"), Legend: "{{node}}"}},
		},
	}
}
