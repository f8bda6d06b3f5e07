package redis

import "soakd/internal/probes"

// metrics are the descriptions of what is not a plain field of INFO.
type metrics struct {
	fields                                           []field
	hitRatio, limit, policy, restarts, ping, slowlog *probes.Desc
	keys, expiring, errors, cpu, masterLink          *probes.Desc
}

// field is a field of INFO that is a metric as it stands.
type field struct {
	name string
	desc *probes.Desc
}

// describe makes the descriptions of all metrics. Each has the label node: the
// configured host:port.
func describe(descs *probes.Descs) metrics {
	gauge := func(name, help string, labels ...string) *probes.Desc {
		return descs.Gauge("soakd_redis_"+name, help, append([]string{"node"}, labels...)...)
	}
	counter := func(name, help string, labels ...string) *probes.Desc {
		return descs.Counter("soakd_redis_"+name, help, append([]string{"node"}, labels...)...)
	}
	return metrics{
		fields: []field{
			{"keyspace_hits", counter("keyspace_hits_total", "Lookups of a key that was there.")},
			{"keyspace_misses", counter("keyspace_misses_total", "Lookups of a key that was not there.")},
			{"evicted_keys", counter("evicted_keys_total", "Keys removed because memory ran out.")},
			{"expired_keys", counter("expired_keys_total", "Keys removed because their time was over.")},
			{"used_memory", gauge("memory_used_bytes", "Memory that the server has allocated.")},
			{"used_memory_rss", gauge("memory_rss_bytes", "Resident memory of the server.")},
			{"mem_fragmentation_bytes", gauge("memory_fragmentation_bytes", "Resident memory beyond what is allocated; negative when memory is swapped out.")},
			{"connected_clients", gauge("connected_clients", "Client connections, soakd's own among them.")},
			{"blocked_clients", gauge("blocked_clients", "Clients that wait in a blocking command.")},
			{"maxclients", gauge("max_clients", "Client connections that the server allows.")},
			{"rejected_connections", counter("rejected_connections_total", "Connections refused because there were too many.")},
			{"total_connections_received", counter("connections_received_total", "Connections accepted.")},
			{"total_commands_processed", counter("commands_processed_total", "Commands processed.")},
			{"total_net_input_bytes", counter("net_input_bytes_total", "Bytes received from the network.")},
			{"total_net_output_bytes", counter("net_output_bytes_total", "Bytes sent to the network.")},
			{"uptime_in_seconds", gauge("uptime_seconds", "Time since the server started.")},
			{"connected_slaves", gauge("connected_replicas", "Replicas connected to this server.")},
		},
		hitRatio:   gauge("keyspace_hit_ratio", "Share of the lookups of the last window (SOAKD_REDIS_HIT_WINDOW) that found their key, 0 to 1; absent when nothing was looked up, and for a poll after a restart or a reset of the statistics."),
		limit:      gauge("memory_limit_bytes", "The server's maxmemory; absent when there is no limit."),
		policy:     gauge("maxmemory_policy", "1 for the policy that chooses the keys to evict.", "policy"),
		restarts:   counter("restarts_total", "Restarts of the server seen since soakd started."),
		ping:       gauge("ping_seconds", "Round trip of a PING on an open connection."),
		slowlog:    counter("slowlog_entries_total", "Entries that the slow log got since soakd started; absent without the right to SLOWLOG GET."),
		keys:       gauge("keys", "Keys, by database.", "db"),
		expiring:   gauge("expiring_keys", "Keys that have a time to live, by database.", "db"),
		errors:     counter("errors_total", "Error replies, by the error's first word.", "kind"),
		cpu:        counter("cpu_seconds_total", "CPU time of the server, in user and system mode.", "mode"),
		masterLink: gauge("master_link_up", "On a replica, whether its link to the master is up (1) or not (0)."),
	}
}
