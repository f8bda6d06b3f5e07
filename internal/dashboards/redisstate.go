package dashboards

func redisClientPanels() []Panel {
	return []Panel{
		{
			Title: "Clients", Unit: "short", Width: 8,
			Description: "Connected clients, those that wait in a blocking command, and how many are allowed. Connected that climbs at the same load: a client that leaks connections.",
			Targets: []Target{
				ofNode("soakd_redis_connected_clients", "connected"), ofNode("soakd_redis_blocked_clients", "blocked"),
				limitOfNode("soakd_redis_max_clients", "allowed"),
			},
			Log: true,
		},
		{
			Title: "Connections", Unit: "ops", Width: 8,
			Description: "Connections a second that were accepted, and refused because there were too many. Any refused: raise maxclients or shrink the API's Redis pools. Many accepted: the API does not keep connections.",
			Targets:     []Target{rateOfNode("soakd_redis_connections_received_total", "accepted"), rateOfNode("soakd_redis_rejected_connections_total", "refused")},
		},
		{
			Title: "Largest client buffers", Unit: "bytes", Width: 8,
			Description: "Largest input and output buffer of any client in the last seconds. Output that grows: a client reads more slowly than it asks, or asks for very large values; the buffers count as memory of Redis.",
			Targets: []Target{
				ofNode("soakd_redis_client_max_input_buffer_bytes", "input"), ofNode("soakd_redis_client_max_output_buffer_bytes", "output"),
			},
		},
		{
			Title: "Clients evicted", Unit: "ops", Width: 8,
			Description: "Clients a second that were cut off because the buffers of all took more than maxmemory-clients. Find who asks for so much with CLIENT LIST (tot-mem). Before Redis 7 not known.",
			Targets:     []Target{rateOfNode("soakd_redis_evicted_clients_total", "")},
		},
		{
			Title: "Clients cut off for their buffers", Unit: "ops", Width: 8,
			Description: "Clients a second whose own input or output buffer grew over its limit. output: a subscriber or a replica that does not keep up (client-output-buffer-limit); input: one request larger than client-query-buffer-limit.",
			Targets:     []Target{rateOfNode("soakd_redis_buffer_limit_disconnections_total", "", "buffer")},
			EmptyWhen:   "before Redis 7.4 and Valkey 8",
		},
		{
			Title: "Subscriptions", Unit: "short", Width: 8,
			Description: "Channels and patterns that have a subscriber. Patterns cost time at each message: many of them make PUBLISH slow. Ones that climb: a client that subscribes and never leaves.",
			Targets:     []Target{ofNode("soakd_redis_pubsub_subscriptions", "", "kind")},
		},
		{
			Title: "Client-side caches", Unit: "short",
			Description: "Clients that have their reads tracked, and the keys that the server tracks for them. Near tracking-table-max-keys the server invalidates keys that did not change, which empties the clients' caches.",
			Targets:     []Target{ofNode("soakd_redis_tracking_clients", "clients"), ofNode("soakd_redis_tracked_keys", "keys")},
		},
		{
			Title: "Subscribed and watching clients", Unit: "short",
			Description: "Clients that are subscribed, and that watch a key for a transaction. Watching that stays high: transactions that are not ended, or that fail and are tried again.",
			Targets:     []Target{ofNode("soakd_redis_pubsub_clients", "subscribed"), ofNode("soakd_redis_watching_clients", "watching")},
			EmptyWhen:   "before Redis 7.4 and Valkey 8",
		},
	}
}

func redisKeyPanels() []Panel {
	return []Panel{
		{
			Title: "Keys", Unit: "short", Width: 8,
			Description: "Keys, and those of them with a TTL. Keys without a TTL in a cache never go away by themselves: find who writes them.",
			Targets: []Target{
				{Query: worst(nodeSel("soakd_redis_keys"), "node", "db"), Legend: "keys {{db}} {{node}}"},
				{Query: worst(nodeSel("soakd_redis_expiring_keys"), "node", "db"), Legend: "with a TTL {{db}} {{node}}"},
			},
		},
		{
			Title: "Time left to live", Unit: "s", Width: 8,
			Description: "The server's estimate of the mean time that keys with a TTL have left, by database; absent where there is none. About half of the TTL that is set when keys come evenly; lower: a shorter TTL was set, or nothing new is written.",
			Targets:     []Target{ofNode("soakd_redis_average_ttl_seconds", "database", "db")},
		},
		{
			Title: "Expired keys that take memory", Unit: "percentunit", Limits: ZeroToOne, Width: 8,
			Description: "Estimated share of the keys with a TTL whose time is over and that are still there. Above 10 %: more expire at once than the server finds: spread the TTLs by chance, or raise active-expire-effort.",
			Targets:     []Target{ofNode("soakd_redis_expired_stale_ratio", "")},
		},
		{
			Title: "Time spent on expiry", Unit: "percentunit", Width: 8,
			Description: "Share of time in which the one thread searched for expired keys, when it ran no commands. It may take a quarter: at that height latency shows it.",
			Targets:     []Target{rateOfNode("soakd_redis_expire_cycle_seconds_total", "")},
		},
		{
			Title: "Searches for expired keys cut short", Unit: "ops", Width: 8,
			Description: "Searches a second that ended because of their time limit and not because they were done. More than 0 for long: expired keys pile up: see 'Expired keys that take memory'.",
			Targets:     []Target{rateOfNode("soakd_redis_expire_cycles_cut_short_total", "")},
		},
		{
			Title: "Hash fields expired", Unit: "ops", Width: 8,
			Description: "Fields of hashes a second whose time was over (HEXPIRE). None where the API uses it: the TTL of fields is not set, or a write removed it.",
			Targets:     []Target{rateOfNode("soakd_redis_expired_hash_fields_total", "")},
			EmptyWhen:   "before Redis 7.4 and Valkey 9",
		},
	}
}

func redisSnapshotPanels() []Panel {
	return []Panel{
		{
			Title: "Saves that worked", Unit: "none", Limits: ZeroToOne, Texts: map[int]string{0: "failed", 1: "worked"}, Width: 8,
			Description: "Whether the last save worked; 1 also when there was none. At 0 Redis by default refuses all writes (MISCONF): look at the disk's free space and rights, and at vm.overcommit_memory for a fork that failed.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_rdb_last_save_success"), "node"), Legend: "{{node}}"}},
		},
		{
			Title: "Since the last save", Unit: "s", Width: 8,
			Description: "Time since the last save, or since the server's start when there was none: what a crash now would lose, where there is no append-only file. For a cache alone no save is needed: save \"\" ends the forks.",
			Targets:     []Target{sinceOfNode("soakd_redis_rdb_last_save_timestamp_seconds", "")},
		},
		{
			Title: "Changes not saved", Unit: "short", Width: 8,
			Description: "Changes since the last save. A saw tooth is usual; one that only climbs: saves are off, or fail.",
			Targets:     []Target{ofNode("soakd_redis_rdb_unsaved_changes", "")},
		},
		{
			Title: "Saves and forks", Unit: "ops", Width: 8,
			Description: "Saves and forks a second, and 1 while a save runs. Each fork stops Redis for a moment and may double its memory: frequent ones call for rarer save points.",
			Targets: []Target{
				rateOfNode("soakd_redis_rdb_saves_total", "saves"), rateOfNode("soakd_redis_forks_total", "forks"), ofNode("soakd_redis_rdb_save_in_progress", "one runs"),
			},
		},
		{
			Title: "Memory copied by a save", Unit: "bytes", Width: 8,
			Description: "Memory that changed, and was therefore copied, during the last save. Keep as much free beside maxmemory, or the kernel ends Redis in the middle of a save.",
			Targets:     []Target{ofNode("soakd_redis_rdb_last_save_copied_bytes", "")},
		},
		{
			Title: "Standstill at a fork", Unit: "s", Width: 8,
			Description: "How long the server stood still for its last fork: every request of that moment waited so long. About 10 ms a GiB are usual; much more: transparent huge pages are on, or the virtual machine forks slowly.",
			Targets:     []Target{ofNode("soakd_redis_last_fork_seconds", "")},
			EmptyWhen:   "while there was no fork",
		},
		{
			Title: "Duration of saves", Unit: "s", Width: 24, Height: 6,
			Description: "How long the last save took, and how long the one that runs has been at it. Longer than the time between two save points: Redis saves all the time; a disk that is too slow or shared.",
			Targets: []Target{
				ofNode("soakd_redis_rdb_last_save_duration_seconds", "last"), ofNode("soakd_redis_rdb_current_save_duration_seconds", "running"),
			},
			EmptyWhen: "while there was no save in the background",
		},
	}
}

const withoutAppendOnly = "while appendonly is off, as it is by default"

func redisAppendOnlyPanels() []Panel {
	return []Panel{
		{
			Title: "Append-only file", Unit: "none", Limits: ZeroToOne, Width: 8, Texts: map[int]string{0: "off", 1: "on"},
			Description: "Whether the append-only file is on. A cache does not need it; a Redis that holds what cannot be calculated again does, or a crash loses all since the last save.",
			Targets:     []Target{ofNode("soakd_redis_aof_enabled", "")},
		},
		{
			Title: "Append-only writes", Unit: "none", Limits: ZeroToOne, Width: 8, Texts: map[int]string{0: "failed or no", 1: "worked or yes"},
			Description: "Whether the last write to the file and its last rewrite worked, and whether it is being rewritten. A write at 0: Redis refuses writes: the disk is full or broken. A rewrite at 0: the file grows until one works.",
			Targets: []Target{
				{Query: lowest(nodeSel("soakd_redis_aof_last_write_success"), "node"), Legend: "last write {{node}}"},
				{Query: lowest(nodeSel("soakd_redis_aof_last_rewrite_success"), "node"), Legend: "last rewrite {{node}}"},
				ofNode("soakd_redis_aof_rewrite_in_progress", "being rewritten"),
			},
			EmptyWhen: withoutAppendOnly,
		},
		{
			Title: "Size of the append-only file", Unit: "bytes", Width: 8,
			Description: "Its size now and after its last rewrite, and what waits to be written to it. Size far above the base without a rewrite: auto-aof-rewrite-percentage; a buffer that grows: the disk does not keep up.",
			Targets: []Target{
				ofNode("soakd_redis_aof_size_bytes", "now"), ofNode("soakd_redis_aof_base_size_bytes", "after the last rewrite"), ofNode("soakd_redis_aof_buffer_bytes", "waiting"),
			},
			EmptyWhen: withoutAppendOnly,
		},
		{
			Title: "Waiting for the disk", Unit: "short",
			Description: "Calls of fsync that wait, and writes a second that had to wait for one. Any delayed is latency of the API: a faster or an own disk, or no-appendfsync-on-rewrite when it happens during rewrites.",
			Targets:     []Target{ofNode("soakd_redis_aof_pending_fsyncs", "waiting"), rateOfNode("soakd_redis_aof_delayed_fsyncs_total", "delayed a second")},
			EmptyWhen:   withoutAppendOnly,
		},
		{
			Title: "Duration of the last rewrite", Unit: "s",
			Description: "How long the last rewrite of the append-only file took. Minutes: the disk is slow or the data large; writes wait meanwhile unless no-appendfsync-on-rewrite is set.",
			Targets:     []Target{ofNode("soakd_redis_aof_last_rewrite_duration_seconds", "")},
			EmptyWhen:   withoutAppendOnly + ", or there was no rewrite",
		},
	}
}

const withoutReplicas = "on a node without replicas"

func redisMasterPanels() []Panel {
	return []Panel{
		{
			Title: "Replicas connected", Unit: "short", Width: 8,
			Description: "Replicas connected to each node. One less: that replica is away: see its own lines below, and its log. One that comes and goes syncs anew each time, which costs memory and time.",
			Targets:     []Target{ofNode("soakd_redis_connected_replicas", "")},
		},
		{
			Title: "Synchronizations", Unit: "ops", Width: 8,
			Description: "Synchronizations a second that replicas asked for. partial_refused: the backlog was too short for how long they were away: raise repl-backlog-size. full: each is a fork and a copy of all data.",
			Targets:     []Target{rateOfNode("soakd_redis_replication_syncs_total", "", "kind")},
		},
		{
			Title: "Replication traffic", Unit: "Bps", Width: 8,
			Description: "Bytes a second from the master and to the replicas, and how fast the position in the stream moves: the same on the master and its replicas, or these fall behind.",
			Targets: []Target{
				rateOfNode("soakd_redis_net_replication_input_bytes_total", "in"), rateOfNode("soakd_redis_net_replication_output_bytes_total", "out"),
				{Query: worst(rate(nodeSel("soakd_redis_replication_offset_bytes")), "node"), Legend: "stream {{node}}"},
			},
		},
		{
			Title: "Lag of replicas", Unit: "s", Width: 8,
			Description: "Time since each replica last acknowledged, by its place in the master's list. 0 and 1 are usual; more: the network, or a replica that is busy or stopped.",
			Targets:     []Target{ofNode("soakd_redis_replica_lag_seconds", "replica", "replica")},
			EmptyWhen:   withoutReplicas,
		},
		{
			Title: "Bytes behind", Unit: "bytes", Width: 8,
			Description: "Bytes of the stream that each replica has not acknowledged, and the size of the backlog: a replica that falls behind by more while it is away needs a full copy. The filled part of the backlog is shown too.",
			Targets: []Target{
				ofNode("soakd_redis_replica_lag_bytes", "replica", "replica"), ofNode("soakd_redis_replication_backlog_used_bytes", "backlog used"),
				limitOfNode("soakd_redis_replication_backlog_size_bytes", "backlog"),
			},
			EmptyWhen: withoutReplicas,
		},
		{
			Title: "Replicas in step", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "being synchronized", 1: "in step"},
			Description: "Whether each replica follows the stream or is still being given a copy. At 0 for long: the copy does not get through: client-output-buffer-limit for replicas, or the network.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_replica_online"), "node", "replica"), Legend: "replica {{replica}} {{node}}"}},
			EmptyWhen:   withoutReplicas,
		},
		{
			Title: "Replicas that count for writes", Unit: "short", Width: 24, Height: 5,
			Description: "Replicas that are near enough for min-replicas-to-write. Below that number the master refuses writes (NOREPLICAS) rather than risk losing them.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_good_replicas"), "node"), Legend: "{{node}}"}},
			EmptyWhen:   "while min-replicas-to-write is 0, as it is by default",
		},
	}
}

const noReplica = "on a node that is no replica"

func redisReplicaPanels() []Panel {
	return []Panel{
		{
			Title: "Link to the master", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "down or no", 1: "up or yes"},
			Description: "On a replica, whether it hears its master, and whether it takes a copy from it. While the link is down the replica answers with what it had.",
			Targets: []Target{
				{Query: lowest(nodeSel("soakd_redis_master_link_up"), "node"), Legend: "up {{node}}"}, ofNode("soakd_redis_master_sync_in_progress", "takes a copy"),
			},
			EmptyWhen: noReplica,
		},
		{
			Title: "Master not heard", Unit: "s", Width: 8,
			Description: "On a replica, time since it heard its master, or since when the link is down: so old is what it answers, at worst. Above repl-timeout (60 s) the link is given up and made anew.",
			Targets: []Target{
				ofNode("soakd_redis_master_last_io_seconds", "not heard for"), ofNode("soakd_redis_master_link_down_seconds", "down for"),
			},
			EmptyWhen: noReplica,
		},
		{
			Title: "Received and not applied", Unit: "bytes", Width: 8,
			Description: "On a replica, bytes of the stream that it has received and not applied. More than a moment above 0: the replica is busy, with slow commands of its own clients or a save.",
			Targets:     []Target{ofNode("soakd_redis_replication_unapplied_bytes", "")},
			EmptyWhen:   noReplica,
		},
	}
}

func redisServerPanels() []Panel {
	return []Panel{
		{
			Title: "Uptime", Unit: "s", Width: 8,
			Description: "Time since the server started. A fall is a restart: the cache is cold, so that latency and CPU of the API rise until it is warm again.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_uptime_seconds"), "node"), Legend: "{{node}}"}},
		},
		{
			Title: "Restarts, changes and resets", Unit: "short", Width: 8,
			Description: "Since soakd started: restarts of the server, times that another server answered at its address, and resets of its statistics. At each the counters above start anew or jump, so that their rates of that moment say little.",
			Targets: []Target{
				ofNode("soakd_redis_restarts_total", "restarts"), ofNode("soakd_redis_server_changes_total", "other servers"), ofNode("soakd_redis_statistics_resets_total", "resets"),
			},
		},
		{
			Title: "Loading", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "no", 1: "yes"},
			Description: "Whether the server loads its data and answers nothing (LOADING), loads anew while it serves the old, and whether its threads for input and output run. Loading takes as long as the data is large: the API must bear it.",
			Targets: []Target{
				ofNode("soakd_redis_loading", "loads"), ofNode("soakd_redis_async_loading", "loads beside"), ofNode("soakd_redis_io_threads_active", "I/O threads"),
			},
		},
		{
			Title: "Role", Unit: "none", Texts: map[int]string{1: "is"},
			Description: "What each node says it is. A line that ends where another begins is a fail-over: clients that did not follow write to a replica (READONLY).",
			Targets:     []Target{ofNode("soakd_redis_role", "", "role")},
		},
		{
			Title: "Server and version", Unit: "none", Texts: map[int]string{1: "runs"},
			Description: "What runs at each node. More than one version for longer than an upgrade takes: a node was forgotten, and a replica older than its master may not understand its file.",
			Targets:     []Target{ofNode("soakd_redis_server_info", "", "server", "version", "mode")},
		},
	}
}
