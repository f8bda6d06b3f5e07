package api

import "soakd/internal/probes"

// localMetrics are the descriptions of what only a process of this machine or a
// control group gives. Their label replica is added with all others'.
type localMetrics struct {
	// Of processes.
	processes, fdSaturation, contextSwitches *probes.Desc
	// Of both.
	storageBytes *probes.Desc
	// Of control groups.
	throttled, throttledPeriods, periods, cpuLimit        *probes.Desc
	memoryUsed, workingSet, fileMemory, memoryLimit, ooms *probes.Desc
	maxThreads                                            *probes.Desc
	cpuPressure, memoryPressure, ioPressure               *probes.Desc
}

func newLocalMetrics(descs *probes.Descs) localMetrics {
	const kindHelp = "kind is some, when at least one task waited, or full, when all did."
	return localMetrics{
		processes:        descs.Gauge("soakd_api_processes", "Processes of the target: the one that is configured, with its children."),
		fdSaturation:     descs.Gauge("soakd_api_fd_saturation_ratio", "Open file descriptors of that process of the target that is nearest to its limit, as a share of the limit."),
		contextSwitches:  descs.Counter("soakd_api_context_switches_total", "Context switches of the target's threads as they were seen; kind is voluntary or involuntary.", "kind"),
		storageBytes:     descs.Counter("soakd_api_storage_bytes_total", "Bytes that the target has had read from or written to storage; direction is read or written.", "direction"),
		throttled:        descs.Counter("soakd_api_cpu_throttled_seconds_total", "Time for which the target's control group was throttled by its CPU limit."),
		throttledPeriods: descs.Counter("soakd_api_cpu_throttled_periods_total", "Periods of the CPU limit in which the target's control group was throttled."),
		periods:          descs.Counter("soakd_api_cpu_periods_total", "Periods of the CPU limit in which the target's control group ran."),
		cpuLimit:         descs.Gauge("soakd_api_cpu_limit_cores", "CPUs that the target's control group may use; absent when there is no limit."),
		memoryUsed:       descs.Gauge("soakd_api_memory_used_bytes", "Memory that is charged to the target's control group, with its page cache: what the limit is compared with."),
		workingSet:       descs.Gauge("soakd_api_memory_working_set_bytes", "Memory of the target's control group less the part of its page cache that has not been used lately."),
		fileMemory:       descs.Gauge("soakd_api_memory_file_bytes", "Page cache of the target's control group."),
		memoryLimit:      descs.Gauge("soakd_api_memory_limit_bytes", "Memory that the target's control group may use; absent when there is no limit."),
		ooms:             descs.Counter("soakd_api_oom_kills_total", "Processes of the target's control group that the kernel has killed for want of memory."),
		maxThreads:       descs.Gauge("soakd_api_max_threads", "Threads that the target's control group may have; absent when there is no limit."),
		cpuPressure:      descs.Counter("soakd_api_cpu_pressure_seconds_total", "Time for which tasks of the target's control group waited for a CPU; "+kindHelp, "kind"),
		memoryPressure:   descs.Counter("soakd_api_memory_pressure_seconds_total", "Time for which tasks of the target's control group waited for memory; "+kindHelp, "kind"),
		ioPressure:       descs.Counter("soakd_api_io_pressure_seconds_total", "Time for which tasks of the target's control group waited for storage; "+kindHelp, "kind"),
	}
}
