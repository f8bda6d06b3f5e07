package api

import "soakd/internal/probes"

// The metrics, also as the left side of an alias.
const (
	cpuSeconds      = "soakd_api_cpu_seconds_total"
	residentMemory  = "soakd_api_resident_memory_bytes"
	heapBytes       = "soakd_api_heap_bytes"
	openFDs         = "soakd_api_open_fds"
	maxFDs          = "soakd_api_max_fds"
	threads         = "soakd_api_threads"
	goroutines      = "soakd_api_goroutines"
	gcPauses        = "soakd_api_gc_pause_seconds_total"
	gcRuns          = "soakd_api_gc_runs_total"
	eventLoopLag    = "soakd_api_event_loop_lag_seconds"
	inFlight        = "soakd_api_in_flight_requests"
	poolThreads     = "soakd_api_thread_pool_threads"
	poolBusyThreads = "soakd_api_thread_pool_busy_threads"
	poolQueuedTasks = "soakd_api_thread_pool_queued_tasks"
	poolConnections = "soakd_api_pool_connections"
	poolWaits       = "soakd_api_pool_waits_total"
	poolWaitSeconds = "soakd_api_pool_wait_seconds_total"
	poolTimeouts    = "soakd_api_pool_timeouts_total"
	cacheHits       = "soakd_api_cache_hits_total"
	cacheMisses     = "soakd_api_cache_misses_total"
	startTime       = "soakd_api_start_time_seconds"
)

// mapped makes the descriptions of the metrics that are read by alias.
func mapped(descs *probes.Descs) map[string]*probes.Desc {
	found := map[string]*probes.Desc{}
	for _, desc := range []*probes.Desc{
		descs.Counter(cpuSeconds, "CPU time that the target has used; absent while several workers answer in turn."),
		descs.Gauge(residentMemory, "Resident memory of the target."),
		descs.Gauge(heapBytes, "Heap of the target that is in use."),
		descs.Gauge(openFDs, "Open file descriptors of the target."),
		descs.Gauge(maxFDs, "File descriptors that the target may open."),
		descs.Gauge(threads, "Threads of the target."),
		descs.Gauge(goroutines, "Goroutines of the target."),
		descs.Counter(gcPauses, "Time that the target has paused for garbage collection; absent while several workers answer in turn."),
		descs.Counter(gcRuns, "Garbage collections of the target; absent while several workers answer in turn."),
		descs.Gauge(eventLoopLag, "Lag of the target's event loop."),
		descs.Gauge(inFlight, "Requests that the target is serving."),
		descs.Gauge(poolThreads, "Threads of the target's thread pools."),
		descs.Gauge(poolBusyThreads, "Threads of the target's thread pools that are busy."),
		descs.Gauge(poolQueuedTasks, "Tasks that wait in the target's thread pools."),
		descs.Gauge(poolConnections, "Connections of the target's own database pool; waiting counts those who wait for one.", "pool", "state"),
		descs.Counter(poolWaits, "Requests for a connection of the target's own database pool that waited; where a library counts only all requests, those. Absent while several workers answer in turn.", "pool"),
		descs.Counter(poolWaitSeconds, "Time that requests for a connection of the target's own database pool took; absent while several workers answer in turn.", "pool"),
		descs.Counter(poolTimeouts, "Requests for a connection of the target's own database pool that were given up; absent while several workers answer in turn.", "pool"),
		descs.Counter(cacheHits, "Lookups that the target's cache answered; absent while several workers answer in turn."),
		descs.Counter(cacheMisses, "Lookups that the target's cache did not answer; absent while several workers answer in turn."),
		descs.Gauge(startTime, "When the target's process started, in seconds since 1970."),
	} {
		found[desc.Name] = desc
	}
	return found
}
