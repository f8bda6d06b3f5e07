package api

import "slices"

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
	// languages, separated by commas, and library say who exports target: for the
	// documentation.
	languages, library string
}

// knownAliases is the one table of names that services export; docs/api-metrics.md
// is made from it. Of several aliases of one metric the first that the target has
// wins. Sources: the default collectors and the documentation of the libraries
// named, and the OpenTelemetry semantic conventions as Prometheus exporters write
// them: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
func knownAliases() []alias {
	return slices.Concat(processAliases(), threadAliases(), heapAliases(), servingAliases(), poolAliases())
}

// processAliases are about the process as the system sees it.
func processAliases() []alias {
	return []alias{
		{metric: cpuSeconds, target: "process_cpu_seconds_total", languages: "Python, Go, JVM, Node, .NET, Rust", library: "client libraries"},
		{metric: cpuSeconds, target: "process_cpu_time_ns_total", scale: 1e-9, languages: "JVM", library: "Micrometer"},
		{metric: cpuSeconds, target: "process_cpu_time_seconds_total", languages: "OpenTelemetry, .NET, Python", library: "process instrumentation"},
		{metric: cpuSeconds, target: "process_cpu_time_total", languages: "OpenTelemetry, Node", library: "process instrumentation, where the exporter adds no unit"},
		{metric: cpuSeconds, target: "dotnet_process_cpu_time_seconds_total", languages: ".NET", library: "System.Runtime (.NET 9)"},
		{metric: cpuSeconds, target: "jvm_cpu_time_seconds_total", languages: "JVM", library: "OpenTelemetry Java"},
		{metric: residentMemory, target: "process_resident_memory_bytes", languages: "Python, Go, JVM, Node, Rust", library: "client libraries"},
		{metric: residentMemory, target: "process_memory_rss_bytes", languages: "JVM", library: "micrometer-jvm-extras"},
		{metric: residentMemory, target: "process_working_set_bytes", languages: ".NET", library: "prometheus-net"},
		{metric: residentMemory, target: "dotnet_process_memory_working_set_bytes", languages: ".NET", library: "System.Runtime (.NET 9)"},
		{metric: residentMemory, target: "process_memory_usage_bytes", languages: "OpenTelemetry, .NET, Python", library: "process instrumentation"},
		{metric: residentMemory, target: "process_memory_usage", languages: "OpenTelemetry, Node", library: "process instrumentation, where the exporter adds no unit"},
		{metric: openFDs, target: "process_open_fds", languages: "Python, Go, JVM, Node, Rust", library: "client libraries"},
		{metric: openFDs, target: "process_files_open_files", languages: "JVM", library: "Micrometer"},
		{metric: openFDs, target: "jvm_file_descriptor_count", languages: "JVM", library: "OpenTelemetry Java"},
		{metric: openFDs, target: "process_unix_file_descriptor_count", languages: "OpenTelemetry", library: "process instrumentation"},
		{metric: openFDs, target: "process_open_file_descriptor_count", languages: "OpenTelemetry, Python", library: "process instrumentation, up to 2025"},
		{metric: openFDs, target: "process_open_handles", languages: ".NET", library: "prometheus-net; on Linux the open files"},
		{metric: maxFDs, target: "process_max_fds", languages: "Python, Go, JVM, Node, Rust", library: "client libraries"},
		{metric: maxFDs, target: "process_files_max_files", languages: "JVM", library: "Micrometer"},
		{metric: maxFDs, target: "jvm_file_descriptor_limit", languages: "JVM", library: "OpenTelemetry Java"},
		{metric: startTime, target: "process_start_time_seconds", languages: "Python, Go, JVM, Node, .NET, Rust", library: "client libraries, Micrometer"},
	}
}

// threadAliases are about what runs inside of the process.
func threadAliases() []alias {
	return []alias{
		{metric: threads, target: "go_threads", languages: "Go", library: "client_golang"},
		{metric: threads, target: "jvm_threads_live_threads", languages: "JVM", library: "Micrometer"},
		{metric: threads, target: "jvm_threads_current", languages: "JVM", library: "client_java, simpleclient, JMX exporter"},
		{metric: threads, target: "jvm_thread_count", languages: "JVM", library: "OpenTelemetry Java"},
		{metric: threads, target: "process_threads", languages: "Rust, Python", library: "metrics-process, rust-prometheus; by custom"},
		{metric: threads, target: "process_num_threads", languages: ".NET", library: "prometheus-net"},
		{metric: threads, target: "process_thread_count", languages: "OpenTelemetry, .NET, Python", library: "process instrumentation"},
		{metric: goroutines, target: "go_goroutines", languages: "Go", library: "client_golang"},
		{metric: goroutines, target: "go_goroutine_count", languages: "Go", library: "OpenTelemetry Go"},
		{metric: eventLoopLag, target: "nodejs_eventloop_lag_seconds", languages: "Node", library: "prom-client"},
		{metric: eventLoopLag, target: "nodejs_eventloop_delay_mean_seconds", languages: "Node", library: "OpenTelemetry JS"},
		{metric: eventLoopLag, target: "nodejs_eventloop_delay_mean", languages: "Node", library: "OpenTelemetry JS, its own exporter"},
		{metric: poolThreads, target: "calculation_pool_threads", languages: "Go", library: "Credit Cashflow Engine"},
		{metric: poolThreads, target: "executor_pool_size_threads", languages: "JVM", library: "Micrometer"},
		{metric: poolThreads, target: "tomcat_threads_current_threads", languages: "JVM", library: "Micrometer"},
		{metric: poolThreads, target: "jetty_threads_current", languages: "JVM", library: "Micrometer"},
		{metric: poolThreads, target: "tomcat_threadpool_currentthreadcount", languages: "JVM", library: "JMX exporter, its example for Tomcat"},
		{metric: poolThreads, target: "dotnet_thread_pool_thread_count", languages: ".NET", library: "System.Runtime (.NET 9)"},
		{metric: poolThreads, target: "dotnet_thread_pool_thread_count_total", languages: ".NET", library: "System.Runtime (.NET 9), as the ASP.NET exporter names it"},
		{metric: poolThreads, target: "process_runtime_dotnet_thread_pool_threads_count", languages: ".NET", library: "OpenTelemetry .NET before .NET 9"},
		{metric: poolThreads, target: "dotnet_threadpool_num_threads", languages: ".NET", library: "prometheus-net.DotNetRuntime"},
		{metric: poolThreads, target: "system_runtime_threadpool_thread_count", languages: ".NET", library: "prometheus-net, event counters"},
		{metric: poolThreads, target: "tokio_workers_count", languages: "Rust", library: "tokio-metrics"},
		{metric: poolThreads, target: "rust_tokio_workers_count", languages: "Rust", library: "tokio-metrics-collector"},
		{metric: poolBusyThreads, target: "calculation_pool_threads_busy", languages: "Go", library: "Credit Cashflow Engine"},
		{metric: poolBusyThreads, target: "executor_active_threads", languages: "JVM", library: "Micrometer"},
		{metric: poolBusyThreads, target: "tomcat_threads_busy_threads", languages: "JVM", library: "Micrometer"},
		{metric: poolBusyThreads, target: "jetty_threads_busy", languages: "JVM", library: "Micrometer"},
		{metric: poolBusyThreads, target: "tomcat_threadpool_currentthreadsbusy", languages: "JVM", library: "JMX exporter, its example for Tomcat"},
		{metric: poolQueuedTasks, target: "calculation_pool_queue_length", languages: "Go", library: "Credit Cashflow Engine"},
		{metric: poolQueuedTasks, target: "executor_queued_tasks", languages: "JVM", library: "Micrometer"},
		{metric: poolQueuedTasks, target: "jetty_threads_jobs", languages: "JVM", library: "Micrometer"},
		{metric: poolQueuedTasks, target: "dotnet_thread_pool_queue_length", languages: ".NET", library: "System.Runtime (.NET 9)"},
		{metric: poolQueuedTasks, target: "dotnet_thread_pool_queue_length_total", languages: ".NET", library: "System.Runtime (.NET 9), as the ASP.NET exporter names it"},
		{metric: poolQueuedTasks, target: "process_runtime_dotnet_thread_pool_queue_length", languages: ".NET", library: "OpenTelemetry .NET before .NET 9"},
		{metric: poolQueuedTasks, target: "system_runtime_threadpool_queue_length", languages: ".NET", library: "prometheus-net, event counters"},
		{metric: poolQueuedTasks, target: "tokio_global_queue_depth", languages: "Rust", library: "tokio-metrics"},
		{metric: poolQueuedTasks, target: "rust_tokio_global_queue_depth", languages: "Rust", library: "tokio-metrics-collector"},
	}
}

// heapAliases are about the heap and its collector. Collections of several
// generations are added up where a library counts each once.
func heapAliases() []alias {
	return []alias{
		{metric: heapBytes, target: "go_memstats_heap_alloc_bytes", languages: "Go", library: "client_golang"},
		{metric: heapBytes, target: "go_memory_used_bytes", match: map[string]string{"go_memory_type": "other"}, languages: "Go", library: "OpenTelemetry Go; all but stacks"},
		{metric: heapBytes, target: "jvm_memory_used_bytes", match: map[string]string{"area": "heap"}, languages: "JVM", library: "Micrometer, client_java, JMX exporter 1.x"},
		{metric: heapBytes, target: "jvm_memory_used_bytes", match: map[string]string{"jvm_memory_type": "heap"}, languages: "JVM", library: "OpenTelemetry Java"},
		{metric: heapBytes, target: "jvm_memory_bytes_used", match: map[string]string{"area": "heap"}, languages: "JVM", library: "simpleclient, JMX exporter 0.x"},
		{metric: heapBytes, target: "process_runtime_jvm_memory_usage_bytes", match: map[string]string{"type": "heap"}, languages: "JVM", library: "OpenTelemetry Java 1.x"},
		{metric: heapBytes, target: "nodejs_heap_size_used_bytes", languages: "Node", library: "prom-client"},
		{metric: heapBytes, target: "v8js_memory_heap_used_bytes", languages: "Node", library: "OpenTelemetry JS"},
		{metric: heapBytes, target: "v8js_memory_heap_used", languages: "Node", library: "OpenTelemetry JS, its own exporter"},
		{metric: heapBytes, target: "dotnet_total_memory_bytes", languages: ".NET", library: "prometheus-net"},
		{metric: heapBytes, target: "dotnet_gc_last_collection_heap_size_bytes", languages: ".NET", library: "System.Runtime (.NET 9)"},
		{metric: heapBytes, target: "process_runtime_dotnet_gc_heap_size_bytes", languages: ".NET", library: "OpenTelemetry .NET before .NET 9"},
		{metric: heapBytes, target: "dotnet_gc_heap_size_bytes", languages: ".NET", library: "prometheus-net.DotNetRuntime"},
		{metric: gcPauses, target: "go_gc_duration_seconds_sum", languages: "Go", library: "client_golang"},
		{metric: gcPauses, target: "jvm_gc_pause_seconds_sum", languages: "JVM", library: "Micrometer"},
		{metric: gcPauses, target: "jvm_gc_collection_seconds_sum", languages: "JVM", library: "client_java, simpleclient, JMX exporter"},
		{metric: gcPauses, target: "jvm_gc_duration_seconds_sum", languages: "JVM", library: "OpenTelemetry Java"},
		{metric: gcPauses, target: "nodejs_gc_duration_seconds_sum", languages: "Node", library: "prom-client"},
		{metric: gcPauses, target: "v8js_gc_duration_seconds_sum", languages: "Node", library: "OpenTelemetry JS"},
		{metric: gcPauses, target: "v8js_gc_duration_sum", languages: "Node", library: "OpenTelemetry JS, its own exporter"},
		{metric: gcPauses, target: "dotnet_gc_pause_time_seconds_total", languages: ".NET", library: "System.Runtime (.NET 9)"},
		{metric: gcPauses, target: "process_runtime_dotnet_gc_duration_nanoseconds_total", scale: 1e-9, languages: ".NET", library: "OpenTelemetry .NET before .NET 9"},
		{metric: gcPauses, target: "dotnet_gc_pause_seconds_sum", languages: ".NET", library: "prometheus-net.DotNetRuntime"},
		{metric: gcRuns, target: "go_gc_duration_seconds_count", languages: "Go", library: "client_golang"},
		{metric: gcRuns, target: "jvm_gc_pause_seconds_count", languages: "JVM", library: "Micrometer"},
		{metric: gcRuns, target: "jvm_gc_collection_seconds_count", languages: "JVM", library: "client_java, simpleclient, JMX exporter"},
		{metric: gcRuns, target: "jvm_gc_duration_seconds_count", languages: "JVM", library: "OpenTelemetry Java"},
		{metric: gcRuns, target: "nodejs_gc_duration_seconds_count", languages: "Node", library: "prom-client"},
		{metric: gcRuns, target: "v8js_gc_duration_seconds_count", languages: "Node", library: "OpenTelemetry JS"},
		{metric: gcRuns, target: "v8js_gc_duration_count", languages: "Node", library: "OpenTelemetry JS, its own exporter"},
		{metric: gcRuns, target: "python_gc_collections_total", languages: "Python", library: "prometheus_client"},
		{metric: gcRuns, target: "cpython_gc_collections_total", languages: "Python", library: "OpenTelemetry Python"},
		{metric: gcRuns, target: "dotnet_gc_collections_total", languages: ".NET", library: "System.Runtime (.NET 9)"},
		{metric: gcRuns, target: "process_runtime_dotnet_gc_collections_count_total", languages: ".NET", library: "OpenTelemetry .NET before .NET 9"},
		{metric: gcRuns, target: "dotnet_gc_pause_seconds_count", languages: ".NET", library: "prometheus-net.DotNetRuntime"},
		{metric: gcRuns, target: "dotnet_collection_count_total", match: map[string]string{"generation": "0"}, languages: ".NET", library: "prometheus-net; its generation 0 counts all"},
	}
}

// servingAliases are about requests and the cache.
func servingAliases() []alias {
	return []alias{
		{metric: inFlight, target: "http_requests_in_flight", languages: "Go, Node, Rust", library: "by custom"},
		{metric: inFlight, target: "http_requests_inprogress", languages: "Python", library: "prometheus-fastapi-instrumentator"},
		{metric: inFlight, target: "starlette_requests_in_progress", languages: "Python", library: "starlette_exporter"},
		{metric: inFlight, target: "http_server_requests_active_seconds_gcount", languages: "JVM", library: "Micrometer with histograms"},
		{metric: inFlight, target: "http_server_requests_active_seconds_active_count", languages: "JVM", library: "Micrometer up to 1.12"},
		{metric: inFlight, target: "http_server_requests_active_seconds_count", languages: "JVM", library: "Micrometer from 1.13"},
		{metric: inFlight, target: "http_server_active_requests", languages: "OpenTelemetry, .NET, Python, Go, Node", library: "HTTP server instrumentation, ASP.NET Core 8"},
		{metric: inFlight, target: "http_requests_in_progress", languages: ".NET", library: "prometheus-net"},
		{metric: inFlight, target: "http_requests_in_progress_total", languages: "Go", library: "fiberprometheus"},
		{metric: inFlight, target: "microsoft_aspnetcore_hosting_current_requests", languages: ".NET", library: "prometheus-net, event counters"},
		{metric: inFlight, target: "axum_http_requests_pending", languages: "Rust", library: "axum-prometheus"},
		{metric: cacheHits, target: "cache_hits_total", languages: "Python, Go, Node, .NET, Rust", library: "by custom"},
		{metric: cacheHits, target: "cache_gets_total", match: map[string]string{"result": "hit"}, languages: "JVM", library: "Micrometer"},
		{metric: cacheHits, target: "caffeine_cache_hit_total", languages: "JVM", library: "client_java, simpleclient"},
		{metric: cacheHits, target: "guava_cache_hit_total", languages: "JVM", library: "client_java, simpleclient"},
		{metric: cacheHits, target: "django_cache_get_hits_total", languages: "Python", library: "django-prometheus"},
		{metric: cacheMisses, target: "cache_misses_total", languages: "Python, Go, Node, .NET, Rust", library: "by custom"},
		{metric: cacheMisses, target: "cache_gets_total", match: map[string]string{"result": "miss"}, languages: "JVM", library: "Micrometer"},
		{metric: cacheMisses, target: "caffeine_cache_miss_total", languages: "JVM", library: "client_java, simpleclient"},
		{metric: cacheMisses, target: "guava_cache_miss_total", languages: "JVM", library: "client_java, simpleclient"},
		{metric: cacheMisses, target: "django_cache_get_misses_total", languages: "Python", library: "django-prometheus"},
	}
}
