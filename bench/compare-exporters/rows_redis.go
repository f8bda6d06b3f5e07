package main

import "slices"

const (
	whyMoving  = "goes up and down with each command"
	whyExpiry  = "keys come and expire between two readings"
	whyPercent = "Redis gives a share in percent, soakd as a ratio"
)

func redisTable() table {
	return table{
		rows: slices.Concat(
			redisServer(), redisClients(), redisMemory(), redisTraffic(), redisCPU(), redisLookups(), redisKeys(),
			redisErrors(), redisCommands(), redisLatency(), redisSnapshots(), redisReplication(),
		),
		without: redisWithout(),
	}
}

// redisRow is a row of metrics that mean the same on both sides.
func redisRow(signal, theirs, ours string, labels ...string) row {
	return row{signal: signal, theirs: pick("redis_" + theirs), ours: pick("soakd_redis_"+ours, labels...)}
}

// moving lets a row's value be off by a share of it.
func moving(r row) row {
	r.share, r.why = 0.05, whyMoving
	return r
}

func redisServer() []row {
	return []row{
		{signal: "server answers", theirs: pick("redis_up"), ours: pick("soakd_probe_success")},
		{signal: "a master", theirs: pick("redis_instance_info", "role", "master"), ours: pick("soakd_redis_role", "role", "master")},
		{signal: "standalone", theirs: pick("redis_instance_info", "redis_mode", "standalone"), ours: pick("soakd_redis_server_info", "mode", "standalone")},
		redisRow("uptime", "uptime_in_seconds", "uptime_seconds"),
		redisRow("threads for input and output", "io_threads_active", "io_threads_active"),
	}
}

func redisClients() []row {
	return []row{
		{signal: "clients", theirs: pick("redis_connected_clients"), ours: pick("soakd_redis_connected_clients"), offset: -1, why: "the exporter connects for its scrape and counts itself; soakd's connection is in both"},
		redisRow("clients, blocked", "blocked_clients", "blocked_clients"),
		redisRow("clients, tracking", "tracking_clients", "tracking_clients"),
		redisRow("keys tracked", "tracking_total_keys", "tracked_keys"),
		redisRow("clients allowed", "config_maxclients", "max_clients"),
		redisRow("largest input buffer", "client_recent_max_input_buffer_bytes", "client_max_input_buffer_bytes"),
		redisRow("largest output buffer", "client_recent_max_output_buffer_bytes", "client_max_output_buffer_bytes"),
		redisRow("connections refused", "rejected_connections_total", "rejected_connections_total"),
		redisRow("connections accepted", "connections_received_total", "connections_received_total"),
		redisRow("channels subscribed", "pubsub_channels", "pubsub_subscriptions", "kind", "channel"),
		redisRow("patterns subscribed", "pubsub_patterns", "pubsub_subscriptions", "kind", "pattern"),
	}
}

func redisMemory() []row {
	rows := []row{
		moving(redisRow("memory used", "memory_used_bytes", "memory_used_bytes")),
		moving(redisRow("memory, resident", "memory_used_rss_bytes", "memory_rss_bytes")),
		redisRow("memory, most used", "memory_used_peak_bytes", "memory_peak_bytes"),
		moving(redisRow("memory, fragmentation", "mem_fragmentation_bytes", "memory_fragmentation_bytes")),
		redisRow("memory limit", "memory_max_bytes", "memory_limit_bytes"),
		{
			signal: "policy of eviction", theirs: pick("redis_instance_info", "maxmemory_policy", "allkeys-lru"),
			ours: pick("soakd_redis_maxmemory_policy", "policy", "allkeys-lru"),
		},
		moving(redisRow("allocator, allocated", "allocator_allocated_bytes", "memory_allocator_bytes", "state", "allocated")),
		moving(redisRow("allocator, active", "allocator_active_bytes", "memory_allocator_bytes", "state", "active")),
		moving(redisRow("allocator, resident", "allocator_resident_bytes", "memory_allocator_bytes", "state", "resident")),
		{
			signal: "defragmentation", theirs: pick("redis_active_defrag_running"), ours: pick("soakd_redis_active_defragmentation_effort_ratio"),
			scale: 0.01, why: whyPercent,
		},
		redisRow("memory of Lua", "memory_used_lua_bytes", "memory_lua_bytes"),
		redisRow("scripts cached", "number_of_cached_scripts", "cached_scripts"),
		redisRow("memory of scripts", "memory_used_scripts_bytes", "memory_scripts_bytes"),
		redisRow("objects to be freed", "lazyfree_pending_objects", "lazyfree_pending_objects"),
	}
	// Redis 7 has memory of all its engines beside that of EVAL alone.
	for i, r := range rows {
		if r.signal == "memory of Lua" {
			rows[i].share, rows[i].why = 1, "the exporter has the engine of EVAL alone, soakd that of functions too"
		}
	}
	for _, part := range [][2]string{
		{"memory_used_dataset_bytes", "dataset"},
		{"memory_used_overhead_bytes", "overhead"},
		{"memory_used_startup_bytes", "startup"},
		{"mem_clients_normal", "clients"},
		{"mem_clients_slaves", "replica_clients"},
		{"mem_not_counted_for_eviction_bytes", "not_counted_for_eviction"},
	} {
		r := moving(redisRow("memory of "+part[1], part[0], "memory_part_bytes", "part", part[1]))
		r.slack = 100_000 // the buffers of the exporter's own connection, 16 KiB to 64 KiB
		rows = append(rows, r)
	}
	return rows
}

func redisTraffic() []row {
	return []row{
		redisRow("commands", "commands_processed_total", "commands_processed_total"),
		redisRow("bytes in", "net_input_bytes_total", "net_input_bytes_total"),
		redisRow("bytes out", "net_output_bytes_total", "net_output_bytes_total"),
	}
}

func redisCPU() []row {
	var rows []row
	for _, mode := range []string{"user", "sys"} {
		rows = append(rows,
			redisRow("CPU, "+mode, "cpu_"+mode+"_seconds_total", "cpu_seconds_total", "mode", mode),
			redisRow("CPU of children, "+mode, "cpu_"+mode+"_children_seconds_total", "cpu_seconds_total", "mode", mode+"_children"),
			redisRow("CPU of the main thread, "+mode, "cpu_"+mode+"_main_thread_seconds_total", "main_thread_cpu_seconds_total", "mode", mode))
	}
	return rows
}

func redisLookups() []row {
	return []row{
		redisRow("lookups that found", "keyspace_hits_total", "keyspace_hits_total"),
		redisRow("lookups that did not", "keyspace_misses_total", "keyspace_misses_total"),
		redisRow("keys evicted", "evicted_keys_total", "evicted_keys_total"),
		redisRow("keys expired", "expired_keys_total", "expired_keys_total"),
		{
			signal: "keys over their time", theirs: pick("redis_expired_stale_percentage"), ours: pick("soakd_redis_expired_stale_ratio"),
			scale: 0.01, slack: 0.05, why: whyPercent + "; an estimate that moves ten times a second",
		},
		redisRow("searches for them cut short", "expired_time_cap_reached_total", "expire_cycles_cut_short_total"),
	}
}

func redisKeys() []row {
	var rows []row
	for _, db := range []string{"0", "1", "3"} {
		rows = append(rows,
			row{signal: "keys of database " + db, theirs: pick("redis_db_keys", "db", "db"+db), ours: pick("soakd_redis_keys", "db", db), slack: 10, why: whyExpiry},
			row{signal: "keys that expire, of database " + db, theirs: pick("redis_db_keys_expiring", "db", "db"+db), ours: pick("soakd_redis_expiring_keys", "db", db), slack: 10, why: whyExpiry})
	}
	return append(rows, row{
		signal: "time that keys have left, of database 0", theirs: pick("redis_db_avg_ttl_seconds", "db", "db0"), ours: pick("soakd_redis_average_ttl_seconds", "db", "0"),
		share: 0.1, why: "an estimate that moves ten times a second",
	})
}

func redisErrors() []row {
	rows := []row{
		redisRow("errors", "total_error_replies", "error_replies_total"),
		redisRow("errors of replication", "unexpected_error_replies", "unexpected_error_replies_total"),
	}
	for _, kind := range [][2]string{{"ERR", "err"}, {"NOAUTH", "noauth"}, {"NOSCRIPT", "noscript"}, {"WRONGTYPE", "wrongtype"}} {
		rows = append(rows, row{signal: "errors: " + kind[0], theirs: pick("redis_errors_total", "err", kind[0]), ours: pick("soakd_redis_errors_total", "kind", kind[1])})
	}
	return rows
}

// redisCommands compares some commands by name, and the sum of all.
func redisCommands() []row {
	var rows []row
	for _, of := range []struct{ what, theirs, ours string }{
		{"calls", "redis_commands_total", "soakd_redis_command_calls_total"},
		{"time", "redis_commands_duration_seconds_total", "soakd_redis_command_seconds_total"},
		{"calls refused", "redis_commands_rejected_calls_total", "soakd_redis_command_rejected_calls_total"},
		{"calls failed", "redis_commands_failed_calls_total", "soakd_redis_command_failed_calls_total"},
	} {
		rows = append(rows, row{signal: "all commands: " + of.what, theirs: pick(of.theirs), ours: pick(of.ours)})
		for _, command := range []string{"get", "set", "lpush", "eval", "evalsha", "blpop", "ping"} {
			rows = append(rows, row{signal: command + ": " + of.what, theirs: pick(of.theirs, "cmd", command), ours: pick(of.ours, "command", command)})
		}
	}
	return rows
}

func redisLatency() []row {
	return []row{
		{
			signal: "slow log", theirs: pick("redis_slowlog_last_id"), ours: pick("soakd_redis_slowlog_entries_total"), offset: 1,
			why: "ids start from 0; soakd counts the entries since it looks, here since the server's start",
		},
		{signal: "latest slow command", theirs: pick("redis_latency_spike_duration_seconds", "event_name", "command"), ours: pick("soakd_redis_latency_event_last_seconds", "event", "command")},
		{signal: "when it was", theirs: pick("redis_latency_spike_last", "event_name", "command"), ours: pick("soakd_redis_latency_event_last_timestamp_seconds", "event", "command")},
	}
}

func redisSnapshots() []row {
	return []row{
		redisRow("loading", "loading_dump_file", "loading"),
		redisRow("changes not saved", "rdb_changes_since_last_save", "rdb_unsaved_changes"),
		redisRow("save runs", "rdb_bgsave_in_progress", "rdb_save_in_progress"),
		redisRow("last save", "rdb_last_save_timestamp_seconds", "rdb_last_save_timestamp_seconds"),
		redisRow("last save worked", "rdb_last_bgsave_status", "rdb_last_save_success"),
		redisRow("last save took", "rdb_last_bgsave_duration_sec", "rdb_last_save_duration_seconds"),
		redisRow("last save copied", "rdb_last_cow_size_bytes", "rdb_last_save_copied_bytes"),
		redisRow("last fork", "latest_fork_seconds", "last_fork_seconds"),
		redisRow("append-only file", "aof_enabled", "aof_enabled"),
		redisRow("its rewrite runs", "aof_rewrite_in_progress", "aof_rewrite_in_progress"),
		redisRow("its last rewrite worked", "aof_last_bgrewrite_status", "aof_last_rewrite_success"),
		redisRow("its size", "aof_current_size_bytes", "aof_size_bytes"),
		redisRow("its size after the rewrite", "aof_base_size_bytes", "aof_base_size_bytes"),
		{signal: "bytes that wait for it", theirs: pick("redis_aof_buffer_length"), ours: pick("soakd_redis_aof_buffer_bytes"), slack: 10_000, why: whyMoving},
		redisRow("calls of fsync that wait", "aof_pending_bio_fsync", "aof_pending_fsyncs"),
		redisRow("writes that waited for one", "aof_delayed_fsync", "aof_delayed_fsyncs_total"),
		redisRow("its last write worked", "aof_last_write_status", "aof_last_write_success"),
	}
}

func redisReplication() []row {
	return []row{
		redisRow("replicas", "connected_slaves", "connected_replicas"),
		redisRow("position in the stream", "master_repl_offset", "replication_offset_bytes"),
		redisRow("size of the backlog", "replication_backlog_bytes", "replication_backlog_size_bytes"),
		redisRow("bytes in the backlog", "repl_backlog_history_bytes", "replication_backlog_used_bytes"),
		redisRow("full copies", "replica_resyncs_full", "replication_syncs_total", "kind", "full"),
		redisRow("partial copies", "replica_partial_resync_accepted", "replication_syncs_total", "kind", "partial"),
		redisRow("partial copies refused", "replica_partial_resync_denied", "replication_syncs_total", "kind", "partial_refused"),
		{
			signal: "lag of the replica", theirs: pick("redis_connected_slave_lag_seconds"), ours: pick("soakd_redis_replica_lag_seconds"), slack: 1,
			why: "whole seconds since the last word of a replica that speaks once a second",
		},
		{
			signal: "lag of the replica in bytes", theirs: pick("redis_master_repl_offset"), minus: pick("redis_connected_slave_offset_bytes"),
			ours: pick("soakd_redis_replica_lag_bytes"), slack: 100_000, why: "the exporter has both positions, soakd their difference; it moves with each write",
		},
	}
}

func redisWithout() []absence {
	return []absence{
		without("redis_exporter_.*|redis_target_scrape_.*|go_.*|process_.*|promhttp_.*|redis_last_key_groups_.*", "of the exporter itself; of soakd there are soakd_probe_* and the like"),
		without("redis_.*_ratio", "ratios of two metrics that both have"),
		without("redis_allocator_(frag|rss)_bytes", "differences of the allocator's three sizes, which both have"),
		without("redis_latency_percentiles_usec.*", "quantiles over the whole life of the server, which hide what happened an hour ago; soakd_redis_command_latency_seconds has those of a window"),
		without("redis_config_maxmemory", "the same as redis_memory_max_bytes, which is compared"),
		without("redis_config_io_threads|redis_process_id|redis_cluster_enabled", "configuration, or known by other means: soakd_redis_server_info has the mode"),
		without("redis_start_time_seconds", "now less the uptime, which is compared"),
		without("redis_slowlog_length|redis_last_slow_execution_duration_seconds", "the length stops at slowlog-max-len and says nothing then; soakd counts entries by their id, and has the worst of the latency events"),
		without("redis_aof_current_rewrite_duration_sec|redis_rdb_current_bgsave_duration_sec|redis_aof_last_rewrite_duration_sec", "-1 where there was none: soakd has them when there is one"),
		without("redis_aof_last_cow_size_bytes|redis_aof_(rewrite_scheduled|pending_rewrite)|redis_module_fork_.*", "details of forks beside the copy of the save and the time of a fork"),
		without("redis_(defrag_.*|io_threaded_.*|dump_payload_sanitizations|migrate_cached_sockets_total|clients_in_timeout_table|cluster_connections|total_reads_processed|total_writes_processed)", "inner counters that no judgement of a soak needs"),
		without("redis_(repl_backlog_first_byte_offset|repl_backlog_is_active|second_repl_offset|slave_expires_tracked_keys)", "inner state of replication; both have the backlog's size and fill"),
		without("redis_tracking_total_(items|prefixes)", "beside the clients that track and the keys that are tracked"),
	}
}
