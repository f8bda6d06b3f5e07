package api

// alias says that the value of one soakd metric stands in the target's sample
// of that name. Several series that match are added up: heap pools, methods,
// executors.
type alias struct {
	// metric and labels are soakd's metric and its label values.
	metric string
	labels []string
	// target is the sample's name as it stands in the text format, with _sum and
	// _count for summaries and histograms.
	target string
	// match are label values that the series must have.
	match map[string]string
	// minus is a second sample, with the same labels, that is subtracted.
	minus string
	// scale converts to base units; 0 means 1.
	scale float64
	// zeroIsNone tells that 0 means "no limit" and not a value.
	zeroIsNone bool
}

// knownAliases is the one table of names that services export. Of several
// aliases of one metric the first that the target has wins. Sources: the
// default collectors of prometheus_client (Python), client_golang, Micrometer,
// client_java and its forerunner simpleclient, prom-client (Node), and the
// OpenTelemetry semantic conventions as a Prometheus exporter writes them.
func knownAliases() []alias {
	heap := map[string]string{"area": "heap"}
	return append([]alias{
		{metric: cpuSeconds, target: "process_cpu_seconds_total"},                                     // Python, Go, Node, client_java
		{metric: cpuSeconds, target: "process_cpu_time_ns_total", scale: 1e-9},                        // Micrometer
		{metric: residentMemory, target: "process_resident_memory_bytes"},                             // Python, Go, Node, client_java
		{metric: residentMemory, target: "process_memory_rss_bytes"},                                  // Micrometer (jvm-extras)
		{metric: heapBytes, target: "go_memstats_heap_alloc_bytes"},                                   // Go
		{metric: heapBytes, target: "jvm_memory_used_bytes", match: heap},                             // Micrometer, client_java
		{metric: heapBytes, target: "jvm_memory_bytes_used", match: heap},                             // simpleclient
		{metric: heapBytes, target: "nodejs_heap_size_used_bytes"},                                    // Node
		{metric: openFDs, target: "process_open_fds"},                                                 // Python, Go, Node, client_java
		{metric: openFDs, target: "process_files_open_files"},                                         // Micrometer
		{metric: maxFDs, target: "process_max_fds"},                                                   // Python, Go, Node, client_java
		{metric: maxFDs, target: "process_files_max_files"},                                           // Micrometer
		{metric: threads, target: "go_threads"},                                                       // Go: threads of the system
		{metric: threads, target: "jvm_threads_live_threads"},                                         // Micrometer
		{metric: threads, target: "jvm_threads_current"},                                              // client_java
		{metric: threads, target: "process_threads"},                                                  // by custom, Python
		{metric: goroutines, target: "go_goroutines"},                                                 // Go
		{metric: gcPauses, target: "go_gc_duration_seconds_sum"},                                      // Go
		{metric: gcPauses, target: "jvm_gc_pause_seconds_sum"},                                        // Micrometer
		{metric: gcPauses, target: "jvm_gc_collection_seconds_sum"},                                   // client_java
		{metric: gcPauses, target: "nodejs_gc_duration_seconds_sum"},                                  // Node
		{metric: gcRuns, target: "go_gc_duration_seconds_count"},                                      // Go
		{metric: gcRuns, target: "jvm_gc_pause_seconds_count"},                                        // Micrometer
		{metric: gcRuns, target: "jvm_gc_collection_seconds_count"},                                   // client_java
		{metric: gcRuns, target: "nodejs_gc_duration_seconds_count"},                                  // Node
		{metric: gcRuns, target: "python_gc_collections_total"},                                       // Python
		{metric: eventLoopLag, target: "nodejs_eventloop_lag_seconds"},                                // Node
		{metric: inFlight, target: "http_requests_in_flight"},                                         // Go, by custom
		{metric: inFlight, target: "http_requests_inprogress"},                                        // prometheus-fastapi-instrumentator
		{metric: inFlight, target: "starlette_requests_in_progress"},                                  // starlette_exporter
		{metric: inFlight, target: "http_server_requests_active_seconds_gcount"},                      // Micrometer with histograms
		{metric: inFlight, target: "http_server_requests_active_seconds_active_count"},                // Micrometer up to 1.12
		{metric: inFlight, target: "http_server_requests_active_seconds_count"},                       // Micrometer from 1.13
		{metric: inFlight, target: "http_server_active_requests"},                                     // OpenTelemetry
		{metric: poolThreads, target: "calculation_pool_threads"},                                     // Credit Cashflow Engine
		{metric: poolThreads, target: "executor_pool_size_threads"},                                   // Micrometer
		{metric: poolThreads, target: "tomcat_threads_current_threads"},                               // Micrometer
		{metric: poolBusyThreads, target: "calculation_pool_threads_busy"},                            // Credit Cashflow Engine
		{metric: poolBusyThreads, target: "executor_active_threads"},                                  // Micrometer
		{metric: poolBusyThreads, target: "tomcat_threads_busy_threads"},                              // Micrometer
		{metric: poolQueuedTasks, target: "calculation_pool_queue_length"},                            // Credit Cashflow Engine
		{metric: poolQueuedTasks, target: "executor_queued_tasks"},                                    // Micrometer
		{metric: cacheHits, target: "cache_hits_total"},                                               // by custom
		{metric: cacheHits, target: "cache_gets_total", match: map[string]string{"result": "hit"}},    // Micrometer
		{metric: cacheMisses, target: "cache_misses_total"},                                           // by custom
		{metric: cacheMisses, target: "cache_gets_total", match: map[string]string{"result": "miss"}}, // Micrometer
		{metric: startTime, target: "process_start_time_seconds"},                                     // all
	}, poolAliases()...)
}

// poolAliases are the names of database connection pools. SQLAlchemy and
// asyncpg have no exporter of their own: theirs are the names of the pools'
// methods, which services use by custom.
func poolAliases() []alias {
	return []alias{
		pool("pgxpool", "in_use", "pgxpool_acquired_conns"),
		pool("pgxpool", "idle", "pgxpool_idle_conns"),
		pool("pgxpool", "max", "pgxpool_max_conns"),
		pool("pgxpool", "waiting", "pgxpool_waiting_acquires"),
		pool("sqlalchemy", "in_use", "sqlalchemy_pool_checkedout"),
		pool("sqlalchemy", "idle", "sqlalchemy_pool_checkedin"),
		pool("sqlalchemy", "max", "sqlalchemy_pool_size"),
		pool("asyncpg", "in_use", "asyncpg_pool_in_use"),
		pool("asyncpg", "idle", "asyncpg_pool_idle"),
		pool("asyncpg", "max", "asyncpg_pool_max_size"),
		pool("asyncpg", "waiting", "asyncpg_pool_waiting"),
		pool("psycopg_pool", "idle", "psycopg_pool_pool_available"),
		pool("psycopg_pool", "max", "psycopg_pool_pool_max"),
		pool("psycopg_pool", "waiting", "psycopg_pool_requests_waiting"),
		pool("hikaricp", "in_use", "hikaricp_connections_active"),
		pool("hikaricp", "idle", "hikaricp_connections_idle"),
		pool("hikaricp", "max", "hikaricp_connections_max"),
		pool("hikaricp", "waiting", "hikaricp_connections_pending"),
		// HikariCP's own collector of simpleclient.
		pool("hikaricp", "in_use", "hikaricp_active_connections"),
		pool("hikaricp", "idle", "hikaricp_idle_connections"),
		pool("hikaricp", "max", "hikaricp_max_connections"),
		pool("hikaricp", "waiting", "hikaricp_pending_threads"),
		// client_golang's DBStatsCollector; it has no gauge of those that wait.
		pool("database_sql", "in_use", "go_sql_in_use_connections"),
		pool("database_sql", "idle", "go_sql_idle_connections"),
		{metric: poolConnections, labels: []string{"database_sql", "max"}, target: "go_sql_max_open_connections", zeroIsNone: true},
		// OpenTelemetry, also SQLAlchemy's and Npgsql's.
		{metric: poolConnections, labels: []string{"opentelemetry", "in_use"}, target: "db_client_connections_usage", match: map[string]string{"state": "used"}},
		{metric: poolConnections, labels: []string{"opentelemetry", "idle"}, target: "db_client_connections_usage", match: map[string]string{"state": "idle"}},
		pool("opentelemetry", "max", "db_client_connections_max"),
		pool("opentelemetry", "waiting", "db_client_connections_pending_requests"),
	}
}

func pool(name, state, target string) alias {
	return alias{metric: poolConnections, labels: []string{name, state}, target: target}
}
