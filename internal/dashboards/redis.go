package dashboards

import "strings"

func redisDashboard() Dashboard {
	return Dashboard{
		UID: redisUID, File: "redis.json", Title: "soakd / Redis",
		Description: "The cache of computed results: does it hit, does it fit, does it answer; then what it is asked, who asks, what it keeps, and who has copies. Read by soakd's Redis probe, one line a node.",
		Variables: []Variable{
			{Name: "node", Title: "Node", Selector: `soakd_redis_memory_used_bytes{job=~"$job",instance=~"$instance"}`, Label: "node", All: ".*"},
		},
		Rows: []Row{
			{Title: "Now", Panels: redisTiles()},
			{Title: "Does it hit?", Panels: redisHitPanels()},
			{Title: "Does it fit?", Panels: append(redisMemoryPanels(), redisMemoryUsePanels()...)},
			{Title: "Does it answer?", Panels: append(redisServicePanels(), redisSlowPanels()...)},
			{Title: "A write and a read of soakd's own (SOAKD_REDIS_CANARY_URL)", Panels: redisCanaryPanels()},
			{Title: "Commands (SOAKD_REDIS_COMMANDS)", Panels: redisCommandPanels()},
			{Title: "Clients", Panels: redisClientPanels()},
			{Title: "Keys", Panels: redisKeyPanels()},
			{Title: "Does it keep what it has?", Panels: append(redisSnapshotPanels(), redisAppendOnlyPanels()...)},
			{Title: "Replicas", Panels: append(redisMasterPanels(), redisReplicaPanels()...)},
			{Title: "Which server, and since when?", Panels: redisServerPanels()},
			{Title: "Sentinel and Cluster", Panels: append(redisClusterPanels(), redisSentinelPanels()...)},
		},
	}
}

// nodeSel selects the series of a metric for the chosen nodes.
func nodeSel(metric string, matchers ...string) string {
	return sel(metric, append([]string{`node=~"$node"`}, matchers...)...)
}

// ofNode reads a gauge of the Redis probe, one line a node, or one a node and
// value of the label by.
func ofNode(metric, legend string, by ...string) Target {
	return Target{Query: worst(nodeSel(metric), append([]string{"node"}, by...)...), Legend: nodeLegend(legend, by...)}
}

// rateOfNode reads the increase a second of a counter of the Redis probe, as
// ofNode does a gauge.
func rateOfNode(metric, legend string, by ...string) Target {
	return Target{Query: worst(rate(nodeSel(metric)), append([]string{"node"}, by...)...), Legend: nodeLegend(legend, by...)}
}

// limitOfNode is a line that is not to be reached.
func limitOfNode(metric, legend string) Target {
	t := ofNode(metric, legend)
	t.Dashed = true
	return t
}

// sinceOfNode is the time since a moment.
func sinceOfNode(metric, legend string, by ...string) Target {
	t := ofNode(metric, legend, by...)
	t.Query = "time() - " + t.Query
	return t
}

func nodeLegend(legend string, by ...string) string {
	var words []string
	if legend != "" {
		words = append(words, legend)
	}
	for _, label := range append(by, "node") {
		words = append(words, "{{"+label+"}}")
	}
	return strings.Join(words, " ")
}

// redisMainThread is the share of a core that the thread of the commands uses.
func redisMainThread() string {
	return sum(rate(nodeSel("soakd_redis_main_thread_cpu_seconds_total")), "job", "instance", "node")
}

func redisTiles() []Panel {
	return []Panel{
		{
			Title: "Slowest round trip", Kind: Stat, Unit: "s",
			Description: "Time of a PING to the node that is slowest now. Where it is high and commands are fast by themselves: the network, a fork, or one command that blocks all others.",
			Targets:     []Target{{Query: worst(nodeSel("soakd_redis_ping_seconds"))}},
		},
		{
			Title: "Lowest hit ratio", Kind: Stat, Unit: "percentunit", Limits: ZeroToOne,
			Description: "Share of look-ups that the node found that finds fewest, over soakd's window. Unknown while nothing is looked up. Compare it with earlier in 'Hit ratio' below.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_keyspace_hit_ratio"))}},
		},
		{
			Title: "Fullest memory", Kind: Stat, Unit: "percentunit", Limits: ZeroToOne,
			Description: "Used memory as a share of the limit, of the fullest node; unknown where maxmemory is 0. Under an allkeys policy a cache is full by design; under any other writes will be refused.",
			Targets:     []Target{{Query: worst(share(nodeSel("soakd_redis_memory_used_bytes"), nodeSel("soakd_redis_memory_limit_bytes")))}},
		},
		{
			Title: "Clients of those allowed", Kind: Stat, Unit: "percentunit", Thresholds: warnAt(0.8, 0.95),
			Description: "Connections as a share of maxclients, of the worst node. From 80 % on: smaller Redis pools in the API, fewer workers, or a higher maxclients; at 100 % clients are refused.",
			Targets:     []Target{{Query: worst(share(nodeSel("soakd_redis_connected_clients"), nodeSel("soakd_redis_max_clients")))}},
		},
		{
			Title: "Busiest main thread", Kind: Stat, Unit: "percentunit", Thresholds: warnAt(0.7, 0.9),
			Description: "Share of a core that the thread uses that runs all commands, of the busiest node; unknown before Redis 6.2. Near 100 % the node is at its end, whatever cores the machine has left.",
			Targets:     []Target{{Query: worst(redisMainThread())}},
		},
		{
			Title: "Restarts", Kind: Stat, Unit: "none", Thresholds: badAt(1),
			Description: "Restarts of the worst node that soakd saw since it started. Any that nobody ordered is a crash or the kernel's out-of-memory killer: look at its log and at 'Memory' before.",
			Targets:     []Target{{Query: worst(nodeSel("soakd_redis_restarts_total"))}},
		},
	}
}

func redisHitPanels() []Panel {
	return []Panel{
		{
			Title: "Hit ratio", Unit: "percentunit", Limits: ZeroToOne, Width: 8,
			Description: "Share of look-ups that found their key, over the window that soakd is set to; absent while nothing is looked up. Compare it with earlier: a fall by a third below the median of six hours raises SoakdRedisHitRatioFell. With evictions: more memory; without: a longer TTL, or what changed in the keys.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_keyspace_hit_ratio"), "node"), Legend: "{{node}}"}},
		},
		{
			Title: "Look-ups", Unit: "ops", Width: 8,
			Description: "Hits and misses a second, by all clients of this Redis. Misses that rise at the same traffic are calculations that the API does again.",
			Targets:     []Target{rateOfNode("soakd_redis_keyspace_hits_total", "hits"), rateOfNode("soakd_redis_keyspace_misses_total", "misses")},
		},
		{
			Title: "Keys lost", Unit: "ops", Width: 8,
			Description: "Keys a second that were evicted (memory ran out) and that expired (their TTL was over). Evictions where none were: the working set has outgrown maxmemory.",
			Targets:     []Target{rateOfNode("soakd_redis_evicted_keys_total", "evicted"), rateOfNode("soakd_redis_expired_keys_total", "expired")},
		},
	}
}

func redisMemoryPanels() []Panel {
	return []Panel{
		{
			Title: "Memory", Unit: "bytes",
			Description: "Memory that Redis has allocated, the most that it was, its resident memory, and its limit; no limit line means maxmemory is 0 and the machine is the limit. At the limit the policy decides what goes.",
			Targets: []Target{
				ofNode("soakd_redis_memory_used_bytes", "used"), ofNode("soakd_redis_memory_peak_bytes", "peak"),
				ofNode("soakd_redis_memory_rss_bytes", "resident"), limitOfNode("soakd_redis_memory_limit_bytes", "limit"),
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
			Title: "Share of the machine's memory", Unit: "percentunit", Limits: ZeroToOne, Width: 8, Thresholds: warnAt(0.7, 0.9),
			Description: "Resident memory as a share of what the machine has. Above 70 % a save, which copies what changes meanwhile, may not fit: the kernel then ends Redis. In a container its own limit is lower than that.",
			Targets: []Target{{
				Query:  worst(share(nodeSel("soakd_redis_memory_rss_bytes"), nodeSel("soakd_redis_memory_system_bytes")), "node"),
				Legend: "{{node}}",
			}},
		},
		{
			Title: "Policy at the limit", Unit: "none", Width: 8, Texts: map[int]string{1: "in force"},
			Description: "What Redis does when its memory is full. noeviction refuses writes: for a cache set allkeys-lru or allkeys-lfu.",
			Targets:     []Target{ofNode("soakd_redis_maxmemory_policy", "", "policy")},
		},
		{
			Title: "Over the limit", Unit: "s", Width: 8,
			Description: "How long more than maxmemory has been in use now, 0 while it is not, and in all since the statistics began. One that grows: eviction does not keep up with the writes, or buffers of clients fill the memory. Before Redis 7 not known.",
			Targets: []Target{
				ofNode("soakd_redis_memory_limit_exceeded_seconds", "now"), ofNode("soakd_redis_memory_limit_exceeded_seconds_total", "in all"),
			},
		},
	}
}

func redisMemoryUsePanels() []Panel {
	return []Panel{
		{
			Title: "What memory is used for", Unit: "bytes", Width: 8,
			Description: "dataset and overhead are all of the memory, the other lines are parts of these. A part that grows while the keys do not is what to look at: clients: they read too slowly; replication_backlog and replica_clients: replicas that lag.",
			Targets:     []Target{ofNode("soakd_redis_memory_part_bytes", "", "part")},
		},
		{
			Title: "Fragmentation", Unit: "bytes", Limits: Free, Width: 8,
			Description: "Resident memory beyond what Redis has allocated. Large and growing: activedefrag, or a restart in a quiet hour. Negative: the machine swaps, which ruins latency.",
			Targets:     []Target{ofNode("soakd_redis_memory_fragmentation_bytes", "")},
		},
		{
			Title: "Allocator", Unit: "bytes", Width: 8,
			Description: "What the allocator has given out, the pages that hold some of it, and what is resident. active far above allocated: values of many sizes leave holes, which activedefrag closes; resident above active: memory not yet given back, which Redis does by itself.",
			Targets:     []Target{ofNode("soakd_redis_memory_allocator_bytes", "", "state")},
		},
		{
			Title: "Defragmentation", Unit: "percentunit", Limits: ZeroToOne, Width: 8,
			Description: "Share of the CPU time that the defragmentation may take now, 0 while it does not run. It works in the thread of the commands: when latency rises with it, lower active-defrag-cycle-max.",
			Targets:     []Target{ofNode("soakd_redis_active_defragmentation_effort_ratio", "")},
		},
		{
			Title: "Freed in the background", Unit: "short", Width: 8,
			Description: "Objects that wait to be freed, and freed a second. Waiting that grows: large keys are deleted faster than their memory is given back, so that used memory stays high after a FLUSHALL or UNLINK.",
			Targets:     []Target{ofNode("soakd_redis_lazyfree_pending_objects", "waiting"), rateOfNode("soakd_redis_lazyfreed_objects_total", "freed a second")},
		},
		{
			Title: "Memory of scripts", Unit: "bytes", Width: 8,
			Description: "Memory of the Lua engines, which maxmemory does not limit, and of cached scripts and functions. One that grows without end: scripts with values written into their text; pass them as arguments.",
			Targets:     []Target{ofNode("soakd_redis_memory_lua_bytes", "engines"), ofNode("soakd_redis_memory_scripts_bytes", "scripts and functions")},
		},
		{
			Title: "Scripts and functions", Unit: "short", Width: 12,
			Description: "EVAL scripts that the server keeps, and functions that are loaded. A handful is usual; thousands are scripts whose text differs from call to call.",
			Targets:     []Target{ofNode("soakd_redis_cached_scripts", "scripts"), ofNode("soakd_redis_functions", "functions")},
		},
		{
			Title: "Scripts evicted", Unit: "ops", Width: 12,
			Description: "EVAL scripts a second that the server dropped because it had too many. With any, EVALSHA will fail with NOSCRIPT: make the text of scripts constant.",
			Targets:     []Target{rateOfNode("soakd_redis_evicted_scripts_total", "")},
			EmptyWhen:   "before Redis 7.4 and Valkey 8",
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
			Title: "Main thread", Unit: "percentunit", Limits: ZeroToOne, Width: 8, Thresholds: warnAt(0.7, 0.9),
			Description: "Share of a core that the thread uses that runs all commands. Near 100 % this node is at its end: see 'Time by command' for what costs most, or shard it.",
			Targets:     []Target{{Query: worst(redisMainThread(), "node"), Legend: "{{node}}"}},
		},
		{
			Title: "CPU", Unit: "none", Width: 8,
			Description: "Cores that the server keeps busy, by mode: its threads, and the children that save to disk. Much in the children: saves are frequent or large; much sys: many small requests, which pipelining or MGET make fewer.",
			Targets:     []Target{rateOfNode("soakd_redis_cpu_seconds_total", "", "mode")},
		},
		{
			Title: "Commands", Unit: "ops", Width: 8,
			Description: "Commands a second by all clients, soakd's few among them. More at the same traffic: a client that polls or tries again.",
			Targets:     []Target{rateOfNode("soakd_redis_commands_processed_total", "")},
		},
		{
			Title: "Network", Unit: "Bps", Width: 8,
			Description: "Bytes a second into and out of Redis. Out divided by hits is the size of an answer: values of many KiB are worth compressing.",
			Targets:     []Target{rateOfNode("soakd_redis_net_input_bytes_total", "in"), rateOfNode("soakd_redis_net_output_bytes_total", "out")},
		},
		{
			Title: "Errors", Unit: "ops", Width: 8,
			Description: "Error replies a second, all and by kind; 'none' at 0 while there are none. OOM: noeviction and full; NOPERM: a missing right, perhaps soakd's; LOADING: it has just started. Replication and append-only file: see the server's log at once.",
			Targets: []Target{
				{
					Query: orNone("kind", worst(rate(nodeSel("soakd_redis_errors_total")), "node", "kind"),
						worst(rate(nodeSel("soakd_redis_commands_processed_total")), "node")),
					Legend: "{{kind}} {{node}}",
				},
				rateOfNode("soakd_redis_error_replies_total", "all"),
				rateOfNode("soakd_redis_unexpected_error_replies_total", "replication and append-only file"),
			},
		},
	}
}

func redisSlowPanels() []Panel {
	return []Panel{
		{
			Title: "Slow log", Unit: "ops", Width: 8,
			Description: "Commands a second that were slower than slowlog-log-slower-than. Read them with SLOWLOG GET: most often KEYS, SMEMBERS of a large set, or a large value.",
			Targets:     []Target{rateOfNode("soakd_redis_slowlog_entries_total", "")},
		},
		{
			Title: "Refused by access control", Unit: "ops", Width: 8,
			Description: "Logins, commands, keys, channels and databases a second that the ACL refused. auth: a wrong password after a rotation, or a stranger; command and key: rights that the API or soakd lacks: ACL LOG says whose.",
			Targets:     []Target{rateOfNode("soakd_redis_acl_denied_total", "", "kind")},
			EmptyWhen:   "before Redis 7.2",
		},
		{
			Title: "Busy event loop", Unit: "percentunit", Limits: ZeroToOne, Width: 8,
			Description: "Share of time in which the event loop was not idle, and ran commands. Busy without commands: reading and writing sockets, expiry or rehashing; near 100 % requests wait in line.",
			Targets: []Target{
				rateOfNode("soakd_redis_event_loop_seconds_total", "not idle"), rateOfNode("soakd_redis_event_loop_commands_seconds_total", "commands"),
			},
			EmptyWhen: "before Redis 7.2",
		},
		{
			Title: "Round of the event loop", Unit: "s", Width: 8,
			Description: "Mean time of a round: what a request that arrives meanwhile waits at most, on average. When it rises: slow commands, or many clients that all send at once.",
			Targets: []Target{{
				Query:  worst(share(rate(nodeSel("soakd_redis_event_loop_seconds_total")), rate(nodeSel("soakd_redis_event_loop_cycles_total"))), "node"),
				Legend: "{{node}}",
			}},
			EmptyWhen: "before Redis 7.2",
		},
		{
			Title: "Slow events", Unit: "s", Width: 8,
			Description: "How long the latest and the longest event of a kind took, of those over latency-monitor-threshold (the dashed line where soakd may read it). fork: see 'Standstill at a fork'; aof-...: the disk is slow; expire-cycle and eviction-...: many keys go at once; command: see 'Slow log'.",
			Targets: []Target{
				ofNode("soakd_redis_latency_event_last_seconds", "latest", "event"), ofNode("soakd_redis_latency_event_max_seconds", "longest", "event"),
				limitOfNode("soakd_redis_latency_monitor_threshold_seconds", "slow from"),
			},
			EmptyWhen: "while latency-monitor-threshold is 0, as it is by default, or nothing was as slow",
		},
		{
			Title: "Since the latest slow event", Unit: "s", Width: 8,
			Description: "Time since the latest event of a kind. A line that keeps falling to 0 is an event that happens again and again: hold the moments against the latency of the API.",
			Targets:     []Target{sinceOfNode("soakd_redis_latency_event_last_timestamp_seconds", "", "event")},
			EmptyWhen:   "while latency-monitor-threshold is 0, as it is by default, or nothing was as slow",
		},
	}
}

// redisCanaryQuantile is a quantile of the time of the canary's operations.
func redisCanaryQuantile(q, legend string) Target {
	return Target{Query: quantile(q, nodeSel("soakd_redis_canary_seconds_bucket"), "node", "operation"), Legend: nodeLegend(legend, "operation")}
}

const withoutRedisCanary = "without SOAKD_REDIS_CANARY_URL"

func redisCanaryPanels() []Panel {
	return []Panel{
		{
			Title: "Time of a write, a read and a delete", Unit: "s", Log: true, Width: 8,
			Description: "p50 and p99 of one key of soakd's own, on an open connection. When the API is slow and this is not, Redis and the network are not the cause: look at the API and its pool. When both are, look above for what Redis was doing.",
			Targets:     []Target{redisCanaryQuantile("0.5", "p50"), redisCanaryQuantile("0.99", "p99")},
			EmptyWhen:   withoutRedisCanary,
		},
		{
			Title: "Failures", Unit: "ops", Width: 8,
			Description: "Operations a second that failed. Writes alone: OOM under noeviction, a replica (READONLY), or a disk that is full (MISCONF); all: the server is away. soakd's log says which.",
			Targets:     []Target{rateOfNode("soakd_redis_canary_failures_total", "", "operation")},
			EmptyWhen:   withoutRedisCanary,
		},
		{
			Title: "Wrong reads", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Reads since soakd started that did not bring what was written just before. evicted: memory is so short that new keys go at once; missing: FLUSHALL, a fail-over or a loss; mismatch: another writer with the same prefix.",
			Targets:     []Target{ofNode("soakd_redis_canary_wrong_reads_total", "", "cause")},
			EmptyWhen:   withoutRedisCanary,
		},
	}
}

func redisCommandPanels() []Panel {
	calls, seconds := rate(nodeSel("soakd_redis_command_calls_total")), rate(nodeSel("soakd_redis_command_seconds_total"))
	took := func(percentile string) Target {
		return Target{
			Query:  worst(nodeSel("soakd_redis_command_latency_seconds", `percentile="`+percentile+`"`), "node", "command"),
			Legend: "{{command}} {{node}}",
		}
	}
	return []Panel{
		{
			Title: "Calls by command", Unit: "ops", Stack: true, Width: 8,
			Description: "Calls a second by command. One that grew with a release of the API: look-ups that could be one MGET, or a cache that is asked in a loop.",
			Targets:     []Target{rateOfNode("soakd_redis_command_calls_total", "", "command")},
		},
		{
			Title: "Time by command", Unit: "percentunit", Stack: true, Width: 8,
			Description: "Share of time in which the one thread ran each command: the sum cannot be above 100 %. The largest is what to make cheaper or rarer first. Commands that block, as BLPOP, are counted without their wait.",
			Targets:     []Target{rateOfNode("soakd_redis_command_seconds_total", "", "command")},
		},
		{
			Title: "Mean time of a call", Unit: "s", Log: true, Width: 8,
			Description: "Time that a call ran, on average, without waiting in line and the network; absent while it is not called. One that climbs with the keys reads a structure that grows: KEYS, SMEMBERS, LRANGE of all.",
			Targets:     []Target{{Query: worst(share(seconds, calls), "node", "command"), Legend: "{{command}} {{node}}"}},
		},
		{
			Title: "p99 by command", Unit: "s", Log: true, Width: 8,
			Description: "99 of 100 calls of soakd's window ran for at most this long, up to twice too high; the dashed line is where the slow log starts, shown with SOAKD_REDIS_READ_CONFIG. One call that is long holds up all others. Before Redis 7 not known.",
			Targets:     []Target{took("99"), limitOfNode("soakd_redis_slowlog_threshold_seconds", "slow log from")},
		},
		{
			Title: "p50 and p99.9 by command", Unit: "s", Log: true, Width: 8,
			Description: "Half of the calls, and 999 of 1000, ran for at most this long. p99.9 far above p50: a few keys are much larger than the others: find them with redis-cli --bigkeys.",
			Targets: []Target{
				{Query: took("50").Query, Legend: "p50 " + took("50").Legend}, {Query: took("99.9").Query, Legend: "p99.9 " + took("99.9").Legend},
			},
		},
		{
			Title: "Failed and refused calls", Unit: "ops", Width: 8,
			Description: "Calls a second that ended with an error, and that were refused before they ran. Failed: the wrong type of key, a script's error; refused: a missing right, OOM, READONLY: see 'Errors' for the kind. Before Redis 6.2 not known.",
			Targets: []Target{
				rateOfNode("soakd_redis_command_failed_calls_total", "failed", "command"), rateOfNode("soakd_redis_command_rejected_calls_total", "refused", "command"),
			},
		},
	}
}
