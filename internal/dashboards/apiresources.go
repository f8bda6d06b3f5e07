package dashboards

func apiDashboard() Dashboard {
	return Dashboard{
		UID: apiUID, File: "api.json", Title: "soakd / API resources",
		Description: "What the API uses, replica by replica, read by soakd's API probe from the API's own /metrics and, where that lacks something, from its processes or its control group. What nobody tells is absent. Only the database pool that the API reports is shown here; soakd's own is on the Postgres dashboard.",
		Rows: []Row{
			{Title: "Are all replicas there?", Panels: apiReplicaPanels()},
			{Title: "Processor and calculation threads", Panels: []Panel{
				apiCPUPanel(12), apiThreadPoolPanel(12), apiCPUPerRequestPanel(), apiInFlightPanel(), apiEventLoopPanel(),
			}},
			{Title: "Memory and files", Panels: []Panel{
				apiMemoryPanel(8), apiThreadsPanel(8), apiFilesPanel(), apiGCPausePanel(), apiGCRunsPanel(),
			}},
			{Title: "Database pool and cache of the API", Panels: []Panel{
				apiPoolPanel(12), apiPoolUsePanel(), apiPoolWaitsPanel(), apiPoolWaitingPanel(), apiPoolWaitPanel(), apiPoolTimeoutsPanel(), apiCachePanel(12), apiCacheLookupsPanel(),
			}},
			{Title: "Limits of the control group (SOAKD_API_CGROUP)", Panels: apiLimitPanels()},
			{Title: "Processes on soakd's machine (SOAKD_API_PID)", Panels: apiProcessPanels()},
		},
	}
}

// ofReplica reads a gauge of the API probe, one line a replica.
func ofReplica(metric, legend string) Target {
	return Target{Query: worst(sel(metric), "replica"), Legend: replicaLegend(legend)}
}

// rateOfReplica reads the increase a second of a counter of the API probe.
func rateOfReplica(metric, legend string) Target {
	return Target{Query: worst(rate(sel(metric)), "replica"), Legend: replicaLegend(legend)}
}

// rateByKind is rateOfReplica for a counter with the label kind.
func rateByKind(metric, legend string) Target {
	return Target{Query: worst(rate(sel(metric)), "replica", "kind"), Legend: replicaLegend(legend + "{{kind}}")}
}

func replicaLegend(legend string) string {
	if legend == "" {
		return "{{replica}}"
	}
	return legend + " {{replica}}"
}

// ofAllReplicas adds up the replicas that one soakd reads, by the given labels:
// two soakds that read the same replicas are not added up.
func ofAllReplicas(query string, by ...string) string {
	return worst(sum(query, append([]string{"job", "instance"}, by...)...), by...)
}

func apiReplicaPanels() []Panel {
	return []Panel{
		{
			Title: "Replicas", Unit: "short", Width: 8,
			Description: "Replicas that are known, those that were read at the latest poll, and left_out, those too many to be read. Read below known: 'Replicas that were read' says which. Known below what was deployed: the name in the DNS does not tell of all, or one does not start.",
			Targets:     []Target{{Query: worst(sel("soakd_api_replicas"), "state"), Legend: "{{state}}"}},
		},
		{
			Title: "Replicas that were read", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "not read", 1: "read"},
			Description: "1 while all that should be read of the replica is. At 0 it is down, slower than its share of SOAKD_PROBE_TIMEOUT, or lacks a part: soakd's log says why. Its lines below have gaps meanwhile, and sums over replicas are too low.",
			Targets:     []Target{{Query: lowest(sel("soakd_api_replica_up"), "replica"), Legend: "{{replica}}"}},
		},
		{
			Title: "API restarts", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Restarts that soakd saw since it started. Unwanted ones: out of memory (see memory before it), a crash, a failing liveness check.",
			Targets:     []Target{ofReplica("soakd_api_restarts_total", "")},
		},
		{
			Title: "Time since the API's start", Unit: "s",
			Description: "It climbs in a straight line; a fall is a restart. With several workers behind one port it jumps between their ages.",
			Targets:     []Target{{Query: "time() - " + worst(sel("soakd_api_start_time_seconds"), "replica"), Legend: "{{replica}}"}},
		},
		{
			Title: "Version by the metrics page", Unit: "none", Limits: ZeroToOne,
			Description: "The version that the page of each replica gives. Two at the same time for long: a deployment that got stuck half-way, and nothing is compared with the version before until it ends.",
			EmptyWhen:   "where the page gives no version (SOAKD_API_METRICS_URL)",
			Targets:     []Target{{Query: worst(sel("soakd_api_version_info"), "version"), Legend: "{{version}}"}},
		},
		{
			Title: "Workers that answered", Unit: "short",
			Description: "Different processes that answered the latest polls. Above 1 the counters of the /metrics page (CPU, cache, pool waits, collections) are absent, since each answer is another process's: give every worker its own metrics port or one common registry, or let soakd read the processes themselves.",
			Targets:     []Target{ofReplica("soakd_api_observed_workers", "")},
		},
	}
}

func apiCPUPanel(width int) Panel {
	return Panel{
		Title: "API CPU", Unit: "none", Width: width, Detail: apiUID,
		Description: "Cores that each replica of the API keeps busy. Flat at a whole number while latency rises: that many workers are out of CPU; raise WORKERS up to the cores there are, then add instances. One replica far above the others: the balancer does not spread the requests. Absent while several workers answer in turn.",
		Targets:     []Target{rateOfReplica("soakd_api_cpu_seconds_total", "")},
	}
}

func apiMemoryPanel(width int) Panel {
	return Panel{
		Title: "API memory", Unit: "bytes", Width: width, Detail: apiUID,
		Description: "Resident memory, and the heap in use where the runtime reports one. Resident climbs for hours and the heap with it: a leak in the code; resident alone: fragmentation or a library outside the heap.",
		Targets:     []Target{ofReplica("soakd_api_resident_memory_bytes", "resident"), ofReplica("soakd_api_heap_bytes", "heap")},
	}
}

func apiThreadPoolPanel(width int) Panel {
	threads := ofReplica("soakd_api_thread_pool_threads", "threads")
	threads.Dashed = true
	return Panel{
		Title: "API's calculation threads", Unit: "short", Width: width, Detail: apiUID,
		Description: "Threads of the calculation pool, those that are busy, and tasks that wait for one. Queued above 0 with CPU to spare: raise CALCULATION_THREAD_POOL_SIZE; without: it is CPU that is missing.",
		Targets: []Target{
			ofReplica("soakd_api_thread_pool_busy_threads", "busy"),
			ofReplica("soakd_api_thread_pool_queued_tasks", "queued"),
			threads,
		},
	}
}

func apiThreadsPanel(width int) Panel {
	return Panel{
		Title: "API threads", Unit: "short", Width: width, Detail: apiUID,
		Description: "Threads of the process, and goroutines where there are any. They follow the load and come back; a climb that stays is a leak of threads or of requests that never end.",
		Targets:     []Target{ofReplica("soakd_api_threads", "threads"), ofReplica("soakd_api_goroutines", "goroutines")},
	}
}

func apiCPUPerRequestPanel() Panel {
	return Panel{
		Title: "CPU a request", Unit: "s", Width: 8,
		Description: "CPU time of all replicas for one request that soakd sent, right where soakd is the only one who sends and every replica is read. Rising at the same mix: the work grows (colder cache, longer lists) or a new version costs more.",
		Targets: []Target{{
			Query:  share(sum(rate(sel("soakd_api_cpu_seconds_total")), "instance"), sum(rate(sel("soakd_arrivals_sent_total")), "instance")),
			Legend: "{{instance}}",
		}},
	}
}

func apiInFlightPanel() Panel {
	return Panel{
		Title: "Requests in flight", Unit: "short", Width: 8,
		Description: "Requests that all replicas say they are serving, and those that soakd has in flight. More at soakd than at the API: they wait before the API (accept queue, proxy).",
		Targets: []Target{
			{Query: sum(sel("soakd_api_in_flight_requests"), "instance"), Legend: "API {{instance}}"},
			{Query: sum(sel("soakd_http_in_flight_requests"), "instance"), Legend: "soakd {{instance}}"},
		},
	}
}

func apiEventLoopPanel() Panel {
	return Panel{
		Title: "Event-loop lag", Unit: "s", Width: 8, Thresholds: badAt(0.1),
		Description: "How late the API's event loop comes to what is due. Above 100 ms something blocks the loop: move calculations to the thread pool.",
		Targets:     []Target{ofReplica("soakd_api_event_loop_lag_seconds", "")},
		EmptyWhen:   "where the API has no event loop or does not report its lag, as the reference API, which is written in Go",
	}
}

func apiFilesPanel() Panel {
	return Panel{
		Title: "API's open files", Unit: "percentunit", Width: 8, Thresholds: warnAt(0.8, 0.95),
		Description: "Open file descriptors as a share of those allowed. A steady climb is a leak of sockets or files; near 1 new connections fail: raise the limit to win time, find the leak.",
		Targets:     []Target{{Query: worst(share(sel("soakd_api_open_fds"), sel("soakd_api_max_fds")), "replica"), Legend: "{{replica}}"}},
	}
}

func apiGCPausePanel() Panel {
	return Panel{
		Title: "Time in garbage collection", Unit: "percentunit",
		Description: "Share of time that the API was paused for garbage collection. Above a few per cent it shows in p99: a larger heap, or less garbage a request.",
		Targets:     []Target{rateOfReplica("soakd_api_gc_pause_seconds_total", "")},
	}
}

func apiGCRunsPanel() Panel {
	return Panel{
		Title: "Garbage collections", Unit: "ops",
		Description: "Collections a second. They follow the load; more at the same load means a fuller heap: look at the memory above.",
		Targets:     []Target{rateOfReplica("soakd_api_gc_runs_total", "")},
	}
}

func apiPoolPanel(width int) Panel {
	return Panel{
		Title: "API's database pool", Unit: "short", Width: width, Detail: apiUID,
		Description: "Connections of the pools that the replicas report, added up: in_use, idle, max, and requests that are waiting for one. Waiting above 0 with in_use at max: a larger pool if Postgres has room (saturation below 80 %), else shorter transactions. This is not soakd's own pool.",
		Targets:     []Target{{Query: ofAllReplicas(sel("soakd_api_pool_connections"), "pool", "state"), Legend: "{{pool}} {{state}}"}},
	}
}

func apiPoolUsePanel() Panel {
	inUse := "sum without (state) (" + sel("soakd_api_pool_connections", `state="in_use"`) + ")"
	most := "sum without (state) (" + sel("soakd_api_pool_connections", `state="max"`) + ")"
	return Panel{
		Title: "API's database pool in use", Unit: "percentunit", Thresholds: warnAt(0.8, 0.95),
		Description: "Connections in use as a share of the pool of each replica. At 1 requests queue inside the API: a larger pool where Postgres has room, else shorter transactions, an index, or a read replica.",
		Targets:     []Target{{Query: worst(share(inUse, most), "replica", "pool"), Legend: "{{pool}} {{replica}}"}},
	}
}

func apiPoolWaitsPanel() Panel {
	return Panel{
		Title: "Requests for a pool connection", Unit: "ops",
		Description: "Requests a second for a connection of the pool that had to wait; where the API's library counts no waits, all requests. It sees what happens between two polls, which the number of those waiting now does not: a rise with the load says that the pool is too small.",
		Targets:     []Target{{Query: worst(rate(sel("soakd_api_pool_waits_total")), "replica", "pool"), Legend: "{{pool}} {{replica}}"}},
	}
}

func apiPoolWaitingPanel() Panel {
	return Panel{
		Title: "Requests waiting for the pool", Unit: "short",
		// Little's law: the time that they waited for, a second, is how many waited at
		// a time.
		Description: "How many requests waited for a connection at a time, from the time that all of them waited for. Above a tenth of those in flight the pool is a part of the latency: a larger one where Postgres has room, else shorter transactions.",
		Targets:     []Target{{Query: worst(rate(sel("soakd_api_pool_wait_seconds_total")), "replica", "pool"), Legend: "{{pool}} {{replica}}"}},
	}
}

func apiPoolWaitPanel() Panel {
	each := share(rate(sel("soakd_api_pool_wait_seconds_total")), rate(sel("soakd_api_pool_waits_total")))
	return Panel{
		Title: "Wait for a pool connection", Unit: "s",
		Description: "Mean time that one of these requests took to get a connection. It is a part of the latency: compare it with the p99. Long with the pool in use below 1: making new connections is slow (see the connect times of Postgres); at 1: a larger pool or shorter transactions.",
		Targets:     []Target{{Query: worst(each, "replica", "pool"), Legend: "{{pool}} {{replica}}"}},
		EmptyWhen:   "while no request for a connection is counted",
	}
}

func apiPoolTimeoutsPanel() Panel {
	return Panel{
		Title: "Pool timeouts", Unit: "ops", Thresholds: badAt(0.01),
		Description: "Requests a second for a connection that were given up: each is a failed request of the API. The pool is far too small, or something holds its connections: look for long transactions and locks on the Postgres dashboard.",
		Targets:     []Target{{Query: worst(rate(sel("soakd_api_pool_timeouts_total")), "replica", "pool"), Legend: "{{pool}} {{replica}}"}},
		EmptyWhen:   "where the API's pool counts none, as that of the reference API",
	}
}

func apiCachePanel(width int) Panel {
	hits, misses := rate(sel("soakd_api_cache_hits_total")), rate(sel("soakd_api_cache_misses_total"))
	return Panel{
		Title: "API's cache hit ratio", Unit: "percentunit", Width: width, Limits: ZeroToOne, Detail: apiUID,
		Description: "Share of look-ups that the API's own count says its cache answered. Lower than Redis' ratio: other clients use that Redis too. Falling: a longer cache TTL, or the key has come to hold something that changes. One replica below the others: it has a cache of its own that is cold.",
		Targets:     []Target{{Query: lowest(share(hits, "("+hits+" + "+misses+")"), "replica"), Legend: "{{replica}}"}},
	}
}

func apiCacheLookupsPanel() Panel {
	return Panel{
		Title: "API's cache look-ups", Unit: "ops",
		Description: "Hits and misses a second as the API counts them. Misses are what has to be calculated: their rate times the time of a calculation is the CPU needed.",
		Targets:     []Target{rateOfReplica("soakd_api_cache_hits_total", "hits"), rateOfReplica("soakd_api_cache_misses_total", "misses")},
	}
}

func apiLimitPanels() []Panel {
	const empty = "where SOAKD_API_CGROUP names no control group, or the group has no such limit"
	limit := func(metric, legend string) Target {
		target := ofReplica(metric, legend)
		target.Dashed = true
		return target
	}
	return []Panel{
		{
			Title: "CPU and its limit", Unit: "none", Width: 8, EmptyWhen: empty,
			Description: "Cores that the API keeps busy and those that its control group may use. At the limit it is throttled: 'Throttled by the CPU limit' says how much; raise the limit, or run fewer WORKERS than it has cores.",
			Targets:     []Target{rateOfReplica("soakd_api_cpu_seconds_total", "used"), limit("soakd_api_cpu_limit_cores", "limit")},
		},
		{
			Title: "Throttled by the CPU limit", Unit: "percentunit", Width: 8, Thresholds: warnAt(0.05, 0.25), EmptyWhen: empty,
			Description: "Share of the periods (usually 100 ms each) in which the group had used up its CPU and stood still until the next. It makes p99 jump by up to a period though the mean CPU is below the limit: raise the limit, or lower the number of threads that work at once.",
			Targets: []Target{{
				Query:  worst(share(rate(sel("soakd_api_cpu_throttled_periods_total")), rate(sel("soakd_api_cpu_periods_total"))), "replica"),
				Legend: "{{replica}}",
			}},
		},
		{
			Title: "Time throttled", Unit: "s", Width: 8, EmptyWhen: empty,
			Description: "Seconds a second for which the group was throttled. Where it rises with the load, the limit and not the code is what makes the API slow.",
			Targets:     []Target{rateOfReplica("soakd_api_cpu_throttled_seconds_total", "")},
		},
		{
			Title: "Memory and its limit", Unit: "bytes", Width: 8, EmptyWhen: empty,
			Description: "Memory that is charged to the group, its working set, its page cache (file) and the limit. What is charged may stand at the limit, for page cache gives way; the working set may not: when it gets there the kernel kills. Raise the limit to win time and look for the leak in the heap above.",
			Targets: []Target{
				ofReplica("soakd_api_memory_used_bytes", "charged"),
				ofReplica("soakd_api_memory_working_set_bytes", "working set"),
				ofReplica("soakd_api_memory_file_bytes", "file"),
				limit("soakd_api_memory_limit_bytes", "limit"),
			},
		},
		{
			Title: "Killed for want of memory", Unit: "short", Width: 8, Thresholds: badAt(1), EmptyWhen: empty,
			Description: "Processes of the group that the kernel has killed because memory ran out, since the group was made. Each is requests that failed: raise the limit or lower WORKERS, then look for what grew.",
			Targets:     []Target{ofReplica("soakd_api_oom_kills_total", "")},
		},
		{
			Title: "Threads and their limit", Unit: "short", Width: 8, EmptyWhen: empty,
			Description: "Threads that the API reports and those that its group may have. At the limit no thread can be started, which programs seldom survive: raise pids.max, or find the pool that grows.",
			Targets:     []Target{ofReplica("soakd_api_threads", "threads"), limit("soakd_api_max_threads", "limit")},
		},
		{
			Title: "Pressure", Unit: "percentunit", Width: 24, EmptyWhen: empty,
			Description: "Share of time for which tasks of the group waited for a CPU, for memory or for storage: some, when at least one waited, full, when all did. It tells of want before any limit is reached. cpu some above a third: more CPU. memory full above 0: the group thrashes, more memory. io: a slow disk or too much logging.",
			Targets: []Target{
				rateByKind("soakd_api_cpu_pressure_seconds_total", "cpu "),
				rateByKind("soakd_api_memory_pressure_seconds_total", "memory "),
				rateByKind("soakd_api_io_pressure_seconds_total", "io "),
			},
		},
	}
}

func apiProcessPanels() []Panel {
	const empty = "where none of SOAKD_API_PID, SOAKD_API_PID_FILE and SOAKD_API_PROCESS names the process"
	return []Panel{
		{
			Title: "Processes", Unit: "short", EmptyWhen: empty,
			Description: "The process that is configured and all its children. It stays as it is: a number that goes up and down is workers that die and come back, one that climbs is children that nobody waits for.",
			Targets:     []Target{ofReplica("soakd_api_processes", "")},
		},
		{
			Title: "Open files of the fullest process", Unit: "percentunit", Thresholds: warnAt(0.8, 0.95), EmptyWhen: empty,
			Description: "Open file descriptors as a share of the limit, of the process that is nearest to its own. It shows one leaking worker that the sum over all workers hides.",
			Targets:     []Target{ofReplica("soakd_api_fd_saturation_ratio", "")},
		},
		{
			Title: "Context switches", Unit: "ops", EmptyWhen: empty,
			Description: "Switches a second. Voluntary: a thread waits for a lock, a socket or a disk. Involuntary: it was stopped for others, so that more threads want to work than there are cores. Rising involuntary ones with latency: fewer threads or more cores.",
			Targets:     []Target{rateByKind("soakd_api_context_switches_total", "")},
		},
		{
			Title: "Storage of the API", Unit: "Bps",
			Description: "Bytes a second that the API had read from and written to storage. An API that keeps its data in Postgres writes little but logs: a rise is a log level left on debug, a core dump, or swapping.",
			Targets:     []Target{{Query: worst(rate(sel("soakd_api_storage_bytes_total")), "replica", "direction"), Legend: "{{direction}} {{replica}}"}},
			EmptyWhen:   "where neither one of SOAKD_API_PID, SOAKD_API_PID_FILE and SOAKD_API_PROCESS nor SOAKD_API_CGROUP is set",
		},
	}
}
