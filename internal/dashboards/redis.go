package dashboards

func redisDashboard() Dashboard {
	return Dashboard{
		UID: redisUID, File: "redis.json", Title: "soakd / Redis",
		Description: "The cache of computed results: does it hit, does it fit, does it answer. Read from INFO by soakd's Redis probe, one line a node.",
		Variables: []Variable{
			{Name: "node", Title: "Node", Selector: `soakd_redis_memory_used_bytes{job=~"$job",instance=~"$instance"}`, Label: "node", All: ".*"},
		},
		Rows: []Row{
			{Title: "Does it hit?", Panels: redisHitPanels()},
			{Title: "Does it fit?", Panels: redisMemoryPanels()},
			{Title: "Does it answer?", Panels: redisServicePanels()},
		},
	}
}

// nodeSel selects the series of a metric for the chosen nodes.
func nodeSel(metric string, matchers ...string) string {
	return sel(metric, append([]string{`node=~"$node"`}, matchers...)...)
}

// ofNode reads a gauge of the Redis probe, one line a node.
func ofNode(metric, legend string) Target {
	return Target{Query: worst(nodeSel(metric), "node"), Legend: nodeLegend(legend)}
}

// rateOfNode reads the increase a second of a counter of the Redis probe.
func rateOfNode(metric, legend string) Target {
	return Target{Query: worst(rate(nodeSel(metric)), "node"), Legend: nodeLegend(legend)}
}

func nodeLegend(legend string) string {
	if legend == "" {
		return "{{node}}"
	}
	return legend + " {{node}}"
}

func redisHitPanels() []Panel {
	return []Panel{
		{
			Title: "Hit ratio", Unit: "percentunit", Limits: ZeroToOne,
			Description: "Share of look-ups that found their key, over the window that soakd is set to; absent while nothing is looked up. Compare it with earlier: a fall by a third below the median of six hours raises SoakdRedisHitRatioFell. With evictions: more memory; without: a longer TTL, or what changed in the keys.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_keyspace_hit_ratio"), "node"), Legend: "{{node}}"}},
		},
		{
			Title: "Look-ups", Unit: "ops",
			Description: "Hits and misses a second, by all clients of this Redis. Misses that rise at the same traffic are calculations that the API does again.",
			Targets:     []Target{rateOfNode("soakd_redis_keyspace_hits_total", "hits"), rateOfNode("soakd_redis_keyspace_misses_total", "misses")},
		},
		{
			Title: "Keys lost", Unit: "ops",
			Description: "Keys a second that were evicted (memory ran out) and that expired (their TTL was over). Evictions where none were: the working set has outgrown maxmemory.",
			Targets:     []Target{rateOfNode("soakd_redis_evicted_keys_total", "evicted"), rateOfNode("soakd_redis_expired_keys_total", "expired")},
		},
		{
			Title: "Keys", Unit: "short",
			Description: "Keys, and those of them with a TTL. Keys without a TTL in a cache never go away by themselves: find who writes them.",
			Targets: []Target{
				{Query: worst(nodeSel("soakd_redis_keys"), "node", "db"), Legend: "keys {{db}} {{node}}"},
				{Query: worst(nodeSel("soakd_redis_expiring_keys"), "node", "db"), Legend: "with a TTL {{db}} {{node}}"},
			},
		},
	}
}

func redisMemoryPanels() []Panel {
	return []Panel{
		{
			Title: "Memory", Unit: "bytes",
			Description: "Memory that Redis has allocated, its resident memory, and its limit; no limit line means maxmemory is 0 and the machine is the limit. At the limit the policy decides what goes.",
			Targets: []Target{
				ofNode("soakd_redis_memory_used_bytes", "used"), ofNode("soakd_redis_memory_rss_bytes", "resident"),
				{Query: worst(nodeSel("soakd_redis_memory_limit_bytes"), "node"), Legend: "limit {{node}}", Dashed: true},
			},
		},
		{
			Title: "Memory in use", Unit: "percentunit", Limits: ZeroToOne, Thresholds: badAt(redisMemoryLimit),
			Description: "Used memory as a share of the limit; absent without a limit. Above 90 %: more maxmemory, a shorter TTL, or smaller values. Under an allkeys policy a cache lives there by design, and SoakdRedisMemoryHigh leaves it alone: look at its hit ratio.",
			Targets: []Target{{
				Query:  worst(share(nodeSel("soakd_redis_memory_used_bytes"), nodeSel("soakd_redis_memory_limit_bytes")), "node"),
				Legend: "{{node}}",
			}},
		},
		{
			Title: "Fragmentation", Unit: "bytes", Limits: Free, Width: 8,
			Description: "Resident memory beyond what Redis has allocated. Large and growing: activedefrag, or a restart in a quiet hour. Negative: the machine swaps, which ruins latency.",
			Targets:     []Target{ofNode("soakd_redis_memory_fragmentation_bytes", "")},
		},
		{
			Title: "Policy at the limit", Unit: "none", Width: 8, Texts: map[int]string{1: "in force"},
			Description: "What Redis does when its memory is full. noeviction refuses writes: for a cache set allkeys-lru or allkeys-lfu.",
			Targets:     []Target{{Query: worst(nodeSel("soakd_redis_maxmemory_policy"), "node", "policy"), Legend: "{{policy}} {{node}}"}},
		},
		{
			Title: "Uptime", Unit: "s", Width: 8,
			Description: "Time since the server started. A fall is a restart: the cache is cold, so that latency and CPU of the API rise until it is warm again.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_uptime_seconds"), "node"), Legend: "{{node}}"}},
		},
	}
}

func redisServicePanels() []Panel {
	return []Panel{
		{
			Title: "Round trip", Unit: "s", Width: 8,
			Description: "Time of a PING on an open connection. It rises when one command blocks all others (KEYS, a large DEL, a Lua script), when a fork is slow, or with the network.",
			Targets:     []Target{ofNode("soakd_redis_ping_seconds", "")},
		},
		{
			Title: "Commands", Unit: "ops", Width: 8,
			Description: "Commands a second by all clients, soakd's few among them. More at the same traffic: a client that polls or tries again.",
			Targets:     []Target{rateOfNode("soakd_redis_commands_processed_total", "")},
		},
		{
			Title: "CPU", Unit: "none", Width: 8,
			Description: "Cores that the server keeps busy, by mode. Redis executes commands in one thread: near 1 it is at its end; shard it, or make commands cheaper.",
			Targets:     []Target{{Query: worst(rate(nodeSel("soakd_redis_cpu_seconds_total")), "node", "mode"), Legend: "{{mode}} {{node}}"}},
		},
		{
			Title: "Clients", Unit: "short", Width: 8,
			Description: "Connected clients, those that wait in a blocking command, and how many are allowed. Connected that climbs at the same load: a client that leaks connections.",
			Targets: []Target{
				ofNode("soakd_redis_connected_clients", "connected"), ofNode("soakd_redis_blocked_clients", "blocked"),
				{Query: worst(nodeSel("soakd_redis_max_clients"), "node"), Legend: "allowed {{node}}", Dashed: true},
			},
			Log: true,
		},
		{
			Title: "Connections", Unit: "ops", Width: 8,
			Description: "Connections a second that were accepted, and refused because there were too many. Any refused: raise maxclients or shrink the API's Redis pools. Many accepted: the API does not keep connections.",
			Targets:     []Target{rateOfNode("soakd_redis_connections_received_total", "accepted"), rateOfNode("soakd_redis_rejected_connections_total", "refused")},
		},
		{
			Title: "Errors", Unit: "ops", Width: 8,
			Description: "Error replies a second by kind; 'none' at 0 while there are none. OOM: noeviction and full; NOPERM: a missing right, perhaps soakd's; LOADING: it has just started.",
			Targets: []Target{{
				Query: orNone("kind", worst(rate(nodeSel("soakd_redis_errors_total")), "node", "kind"),
					worst(rate(nodeSel("soakd_redis_commands_processed_total")), "node")),
				Legend: "{{kind}} {{node}}",
			}},
		},
		{
			Title: "Slow log", Unit: "ops", Width: 8,
			Description: "Commands a second that were slower than slowlog-log-slower-than. Read them with SLOWLOG GET: most often KEYS, SMEMBERS of a large set, or a large value.",
			Targets:     []Target{rateOfNode("soakd_redis_slowlog_entries_total", "")},
		},
		{
			Title: "Network", Unit: "Bps", Width: 8,
			Description: "Bytes a second into and out of Redis. Out divided by hits is the size of an answer: values of many KiB are worth compressing.",
			Targets:     []Target{rateOfNode("soakd_redis_net_input_bytes_total", "in"), rateOfNode("soakd_redis_net_output_bytes_total", "out")},
		},
		{
			Title: "Restarts and replicas", Unit: "short", Width: 8,
			Description: "Restarts that soakd saw since it started, and replicas connected. A replica that comes and goes syncs anew each time, which costs memory and time.",
			Targets:     []Target{ofNode("soakd_redis_restarts_total", "restarts"), ofNode("soakd_redis_connected_replicas", "replicas")},
		},
		{
			Title: "Link to the master", Unit: "none", Width: 24, Height: 5, Limits: ZeroToOne, Texts: map[int]string{0: "down", 1: "up"},
			Description: "On a replica, whether it hears its master. While it is down the replica answers with what it had.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_master_link_up"), "node"), Legend: "{{node}}"}},
			EmptyWhen:   "on a node that is no replica",
		},
	}
}
