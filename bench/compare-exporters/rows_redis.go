package main

const (
	whyMoving = "goes up and down with each command"
	whyExpiry = "keys come and expire between two readings"
)

func redisTable() table {
	return table{rows: append(redisServer(), redisKeys()...), without: redisWithout()}
}

func redisServer() []row {
	plain := func(signal, theirs, ours string) row {
		return row{signal: signal, theirs: pick("redis_" + theirs), ours: pick("soakd_redis_" + ours)}
	}
	moving := func(signal, theirs, ours string) row {
		r := plain(signal, theirs, ours)
		r.share, r.why = 0.05, whyMoving
		return r
	}
	return []row{
		{signal: "server answers", theirs: pick("redis_up"), ours: pick("soakd_probe_success")},
		moving("memory used", "memory_used_bytes", "memory_used_bytes"),
		moving("memory, resident", "memory_used_rss_bytes", "memory_rss_bytes"),
		moving("memory, fragmentation", "mem_fragmentation_bytes", "memory_fragmentation_bytes"),
		plain("memory limit", "memory_max_bytes", "memory_limit_bytes"),
		{
			signal: "policy of eviction", theirs: pick("redis_instance_info", "maxmemory_policy", "allkeys-lru"),
			ours: pick("soakd_redis_maxmemory_policy", "policy", "allkeys-lru"),
		},
		{signal: "clients", theirs: pick("redis_connected_clients"), ours: pick("soakd_redis_connected_clients"), offset: -1, why: "the exporter connects for its scrape and counts itself; soakd's connection is in both"},
		plain("clients, blocked", "blocked_clients", "blocked_clients"),
		plain("clients allowed", "config_maxclients", "max_clients"),
		plain("connections refused", "rejected_connections_total", "rejected_connections_total"),
		plain("connections accepted", "connections_received_total", "connections_received_total"),
		plain("commands", "commands_processed_total", "commands_processed_total"),
		plain("bytes in", "net_input_bytes_total", "net_input_bytes_total"),
		plain("bytes out", "net_output_bytes_total", "net_output_bytes_total"),
		plain("uptime", "uptime_in_seconds", "uptime_seconds"),
		plain("replicas", "connected_slaves", "connected_replicas"),
		{signal: "CPU, user", theirs: pick("redis_cpu_user_seconds_total"), ours: pick("soakd_redis_cpu_seconds_total", "mode", "user")},
		{signal: "CPU, system", theirs: pick("redis_cpu_sys_seconds_total"), ours: pick("soakd_redis_cpu_seconds_total", "mode", "sys")},
	}
}

func redisKeys() []row {
	rows := []row{
		{signal: "lookups that found", theirs: pick("redis_keyspace_hits_total"), ours: pick("soakd_redis_keyspace_hits_total")},
		{signal: "lookups that did not", theirs: pick("redis_keyspace_misses_total"), ours: pick("soakd_redis_keyspace_misses_total")},
		{signal: "keys evicted", theirs: pick("redis_evicted_keys_total"), ours: pick("soakd_redis_evicted_keys_total")},
		{signal: "keys expired", theirs: pick("redis_expired_keys_total"), ours: pick("soakd_redis_expired_keys_total")},
		{
			signal: "slow log", theirs: pick("redis_slowlog_last_id"), ours: pick("soakd_redis_slowlog_entries_total"), offset: 1,
			why: "ids start from 0; soakd counts the entries since it looks, here since the server's start",
		},
	}
	for _, db := range []string{"0", "1", "3"} {
		rows = append(rows, row{
			signal: "keys of database " + db, theirs: pick("redis_db_keys", "db", "db"+db), ours: pick("soakd_redis_keys", "db", db), slack: 10, why: whyExpiry,
		}, row{
			signal: "keys that expire, of database " + db, theirs: pick("redis_db_keys_expiring", "db", "db"+db), ours: pick("soakd_redis_expiring_keys", "db", db), slack: 10, why: whyExpiry,
		})
	}
	for theirs, ours := range map[string]string{"ERR": "err", "NOSCRIPT": "noscript", "WRONGTYPE": "wrongtype"} {
		rows = append(rows, row{signal: "errors: " + theirs, theirs: pick("redis_errors_total", "err", theirs), ours: pick("soakd_redis_errors_total", "kind", ours)})
	}
	return rows
}

func redisWithout() []absence {
	return []absence{
		without("redis_exporter_.*|redis_target_scrape_.*|go_.*|process_.*|promhttp_.*|redis_last_key_groups_.*", "of the exporter itself; of soakd there are soakd_probe_* and the like"),
	}
}
