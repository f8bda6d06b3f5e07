package dashboards

func apiDashboard() Dashboard {
	return Dashboard{
		UID: apiUID, File: "api.json", Title: "soakd / API resources",
		Description: "What the API itself says it uses, read from its own /metrics by soakd's API probe. What it does not export is absent. Only the database pool that the API reports is shown here; soakd's own is on the Postgres dashboard.",
		Rows: []Row{
			{Title: "Processor and calculation threads", Panels: []Panel{
				apiCPUPanel(12), apiThreadPoolPanel(12), apiCPUPerRequestPanel(), apiInFlightPanel(),
			}},
			{Title: "Memory and files", Panels: []Panel{
				apiMemoryPanel(8), apiThreadsPanel(8), apiFilesPanel(), apiGCPausePanel(), apiGCRunsPanel(), apiEventLoopPanel(),
			}},
			{Title: "Database pool and cache of the API", Panels: []Panel{
				apiPoolPanel(12), apiPoolUsePanel(), apiCachePanel(12), apiCacheLookupsPanel(),
			}},
			{Title: "Process", Panels: []Panel{apiUptimePanel(), apiRestartsPanel(), apiWorkersPanel()}},
		},
	}
}

// ofAPI reads a metric of the API probe, one line an instance of soakd.
func ofAPI(metric, legend string) Target {
	if legend != "" {
		legend += " "
	}
	return Target{Query: worst(sel(metric), "instance"), Legend: legend + "{{instance}}"}
}

func apiCPUPanel(width int) Panel {
	return Panel{
		Title: "API CPU", Unit: "none", Width: width, Detail: apiUID,
		Description: "Cores that the API keeps busy. Flat at a whole number while latency rises: that many workers are out of CPU; raise WORKERS up to the cores there are, then add instances. Absent while several workers answer in turn.",
		Targets:     []Target{{Query: worst(rate(sel("soakd_api_cpu_seconds_total")), "instance"), Legend: "{{instance}}"}},
	}
}

func apiMemoryPanel(width int) Panel {
	return Panel{
		Title: "API memory", Unit: "bytes", Width: width, Detail: apiUID,
		Description: "Resident memory, and the heap in use where the runtime reports one. Resident climbs for hours and the heap with it: a leak in the code; resident alone: fragmentation or a library outside the heap.",
		Targets:     []Target{ofAPI("soakd_api_resident_memory_bytes", "resident"), ofAPI("soakd_api_heap_bytes", "heap")},
	}
}

func apiPoolPanel(width int) Panel {
	return Panel{
		Title: "API's database pool", Unit: "short", Width: width, Detail: apiUID,
		Description: "Connections of the pool that the API reports: in_use, idle, max, and waiting for one. Waiting above 0 with in_use at max: a larger pool if Postgres has room (saturation below 80 %), else shorter transactions. This is not soakd's own pool.",
		Targets:     []Target{{Query: worst(sel("soakd_api_pool_connections"), "pool", "state"), Legend: "{{pool}} {{state}}"}},
	}
}

func apiThreadPoolPanel(width int) Panel {
	return Panel{
		Title: "API's calculation threads", Unit: "short", Width: width, Detail: apiUID,
		Description: "Threads of the calculation pool, those that are busy, and tasks that wait for one. Queued above 0 with CPU to spare: raise CALCULATION_THREAD_POOL_SIZE; without: it is CPU that is missing.",
		Targets: []Target{
			ofAPI("soakd_api_thread_pool_busy_threads", "busy"),
			ofAPI("soakd_api_thread_pool_queued_tasks", "queued"),
			{Query: worst(sel("soakd_api_thread_pool_threads"), "instance"), Legend: "threads {{instance}}", Dashed: true},
		},
	}
}

func apiThreadsPanel(width int) Panel {
	return Panel{
		Title: "API threads", Unit: "short", Width: width, Detail: apiUID,
		Description: "Threads of the process, and goroutines where there are any. They follow the load and come back; a climb that stays is a leak of threads or of requests that never end.",
		Targets:     []Target{ofAPI("soakd_api_threads", "threads"), ofAPI("soakd_api_goroutines", "goroutines")},
	}
}

// apiCacheShare is the share of the API's own cache look-ups that hit.
func apiCacheShare() string {
	hits, misses := rate(sel("soakd_api_cache_hits_total")), rate(sel("soakd_api_cache_misses_total"))
	return share(worst(hits, "instance"), worst(hits+" + "+misses, "instance"))
}

func apiCachePanel(width int) Panel {
	return Panel{
		Title: "API's cache hit ratio", Unit: "percentunit", Width: width, Limits: ZeroToOne, Detail: apiUID,
		Description: "Share of look-ups that the API's own count says its cache answered. Lower than Redis' ratio: other clients use that Redis too. Falling: a longer cache TTL, or the key has come to hold something that changes.",
		Targets:     []Target{{Query: apiCacheShare(), Legend: "{{instance}}"}},
	}
}

func apiCacheLookupsPanel() Panel {
	return Panel{
		Title: "API's cache look-ups", Unit: "ops",
		Description: "Hits and misses a second as the API counts them. Misses are what has to be calculated: their rate times the time of a calculation is the CPU needed.",
		Targets: []Target{
			{Query: worst(rate(sel("soakd_api_cache_hits_total")), "instance"), Legend: "hits {{instance}}"},
			{Query: worst(rate(sel("soakd_api_cache_misses_total")), "instance"), Legend: "misses {{instance}}"},
		},
	}
}

func apiCPUPerRequestPanel() Panel {
	return Panel{
		Title: "CPU a request", Unit: "s",
		Description: "CPU time of the API for one request that soakd sent, right where soakd is the only one who sends. Rising at the same mix: the work grows (colder cache, longer lists) or a new version costs more.",
		Targets: []Target{{
			Query:  share(worst(rate(sel("soakd_api_cpu_seconds_total")), "instance"), sum(rate(sel("soakd_arrivals_sent_total")), "instance")),
			Legend: "{{instance}}",
		}},
	}
}

func apiInFlightPanel() Panel {
	return Panel{
		Title: "Requests in flight", Unit: "short",
		Description: "Requests that the API says it is serving, and those that soakd has in flight. More at soakd than at the API: they wait before the API (accept queue, proxy).",
		Targets: []Target{
			ofAPI("soakd_api_in_flight_requests", "API"),
			{Query: sum(sel("soakd_http_in_flight_requests"), "instance"), Legend: "soakd {{instance}}"},
		},
	}
}

func apiFilesPanel() Panel {
	return Panel{
		Title: "API's open files", Unit: "percentunit", Width: 8, Thresholds: warnAt(0.8, 0.95),
		Description: "Open file descriptors as a share of those allowed. A steady climb is a leak of sockets or files; near 1 new connections fail: raise the limit to win time, find the leak.",
		Targets: []Target{{
			Query:  share(worst(sel("soakd_api_open_fds"), "instance"), worst(sel("soakd_api_max_fds"), "instance")),
			Legend: "{{instance}}",
		}},
	}
}

func apiGCPausePanel() Panel {
	return Panel{
		Title: "Time in garbage collection", Unit: "percentunit", Width: 8,
		Description: "Share of time that the API was paused for garbage collection. Above a few per cent it shows in p99: a larger heap, or less garbage a request.",
		Targets:     []Target{{Query: worst(rate(sel("soakd_api_gc_pause_seconds_total")), "instance"), Legend: "{{instance}}"}},
	}
}

func apiGCRunsPanel() Panel {
	return Panel{
		Title: "Garbage collections", Unit: "ops", Width: 8,
		Description: "Collections a second. They follow the load; more at the same load means a fuller heap: look at the memory beside.",
		Targets:     []Target{{Query: worst(rate(sel("soakd_api_gc_runs_total")), "instance"), Legend: "{{instance}}"}},
	}
}

func apiEventLoopPanel() Panel {
	return Panel{
		Title: "Event-loop lag", Unit: "s", Width: 8, Thresholds: badAt(0.1),
		Description: "How late the API's event loop comes to what is due. Above 100 ms something blocks the loop: move calculations to the thread pool.",
		Targets:     []Target{ofAPI("soakd_api_event_loop_lag_seconds", "")},
		EmptyWhen:   "where the API has no event loop or does not report its lag, as the reference API, which is written in Go",
	}
}

func apiPoolUsePanel() Panel {
	inUse := worst(sel("soakd_api_pool_connections", `state="in_use"`), "instance", "pool")
	most := worst(sel("soakd_api_pool_connections", `state="max"`), "instance", "pool")
	return Panel{
		Title: "API's database pool in use", Unit: "percentunit", Thresholds: warnAt(0.8, 0.95),
		Description: "Connections in use as a share of the pool. At 1 requests queue inside the API: a larger pool where Postgres has room, else shorter transactions, an index, or a read replica.",
		Targets:     []Target{{Query: share(inUse, most), Legend: "{{pool}} {{instance}}"}},
	}
}

func apiUptimePanel() Panel {
	return Panel{
		Title: "Time since the API's start", Unit: "s", Width: 8,
		Description: "It climbs in a straight line; a fall is a restart. With several workers behind one port it jumps between their ages.",
		Targets:     []Target{{Query: "time() - " + worst(sel("soakd_api_start_time_seconds"), "instance"), Legend: "{{instance}}"}},
	}
}

func apiRestartsPanel() Panel {
	return Panel{
		Title: "API restarts", Unit: "short", Width: 8, Thresholds: badAt(1),
		Description: "Restarts that soakd saw since it started. Unwanted ones: out of memory (see memory before it), a crash, a failing liveness check.",
		Targets:     []Target{ofAPI("soakd_api_restarts_total", "")},
	}
}

func apiWorkersPanel() Panel {
	return Panel{
		Title: "Workers that answered", Unit: "short", Width: 8,
		Description: "Different processes that answered the last 12 polls. Above 1 the counters of this page (CPU, cache, collections) are absent, since each answer is another process's: give every worker its own metrics port or one common registry.",
		Targets:     []Target{ofAPI("soakd_api_observed_workers", "")},
	}
}
