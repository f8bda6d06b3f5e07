package dashboards

func postgresDashboard() Dashboard {
	return Dashboard{
		UID: postgresUID, File: "postgres.json", Title: "soakd / Postgres",
		Description: "The API's database as soakd's Postgres probe reads it from the server's own statistics: connections, locks, transactions, work, tables. The pool in the last row is the probe's own, never the API's.",
		Rows: []Row{
			{Title: "Connections", Panels: postgresConnectionPanels()},
			{Title: "Locks and transactions", Panels: postgresLockPanels()},
			{Title: "Work", Panels: postgresWorkPanels()},
			{Title: "Tables (SOAKD_POSTGRES_TABLES)", Panels: postgresTablePanels()},
			{Title: "Statements (SOAKD_POSTGRES_STATEMENTS)", Panels: postgresStatementPanels()},
			{Title: "Server and replicas", Panels: postgresServerPanels()},
			{Title: "soakd's own way to Postgres", Panels: postgresProbePanels()},
		},
	}
}

// ofServer reads a gauge of the Postgres probe, one line an instance of soakd.
func ofServer(metric, legend string) Target {
	return Target{Query: worst(sel(metric), "instance"), Legend: instanceLegend(legend)}
}

// rateOfServer reads the increase a second of a counter of the Postgres probe.
func rateOfServer(metric, legend string) Target {
	return Target{Query: worst(rate(sel(metric)), "instance"), Legend: instanceLegend(legend)}
}

func instanceLegend(legend string) string {
	if legend == "" {
		return "{{instance}}"
	}
	return legend + " {{instance}}"
}

const idleInTransaction = `state=~"idle_in_transaction|idle_in_transaction_aborted"`

func postgresConnectionPanels() []Panel {
	return []Panel{
		{
			Title: "Saturation", Unit: "percentunit", Limits: ZeroToOne, Thresholds: warnAt(0.8, 0.95),
			Description: "Client connections as a share of those for ordinary roles. From 80 %: WORKERS times the pool size is too much for this server; smaller pools, fewer workers, or a pooler (PgBouncer) before a higher max_connections.",
			Targets:     []Target{ofServer("soakd_postgres_connection_saturation_ratio", "")},
		},
		{
			Title: "Connections by application", Unit: "short", Stack: true,
			Description: "Connections by application_name: those that SOAKD_POSTGRES_APPLICATIONS names, none, and other. One that climbs alone leaks connections.",
			Targets: []Target{
				{Query: worst("sum by (job, instance, application) ("+sel("soakd_postgres_backends")+")", "application"), Legend: "{{application}}"},
				{Query: worst(sel("soakd_postgres_max_connections")), Legend: "available", Dashed: true},
			},
		},
		{
			Title: "Connections by state", Unit: "short", Stack: true, Width: 8,
			Description: "What the connections do. Many idle: pools larger than needed. idle_in_transaction: the API waits for something else while it holds a transaction open.",
			Targets:     []Target{{Query: worst("sum by (job, instance, state) ("+sel("soakd_postgres_backends")+")", "state"), Legend: "{{state}}"}},
		},
		{
			Title: "Waiting by what for", Unit: "short", Stack: true, Width: 8,
			Description: "Active connections that wait, by wait_event_type. lock: other transactions; io: the disk or a cold cache; lwlock: contention inside the server; client: the API reads slowly.",
			Targets:     []Target{{Query: worst(sel("soakd_postgres_waiting_backends"), "wait_event_type"), Legend: "{{wait_event_type}}"}},
		},
		{
			Title: "Connections lost", Unit: "ops", Width: 8,
			Description: "Connections a second that ended without a good-bye, by cause. abandoned: the API's process or network died; fatal and killed: the server's log says why.",
			Targets:     []Target{{Query: worst(rate(sel("soakd_postgres_sessions_ended_total")), "cause"), Legend: "{{cause}}"}},
		},
	}
}

// orZeroWhere gives 0 for an age that is absent because there is nothing of that
// age, which another metric of the same poll tells.
func orZeroWhere(age, count string) string { return age + " or 0 * (" + count + " == 0)" }

// oldestTransaction is the age of the oldest transaction, 0 while every session
// but soakd's own is idle outside of one.
func oldestTransaction() Target {
	return Target{
		Query: orZeroWhere(worst(sel("soakd_postgres_oldest_transaction_seconds"), "instance"),
			sum(sel("soakd_postgres_backends", `application!="soakd"`, `state!="idle"`), "instance")),
		Legend: "{{instance}}",
	}
}

func postgresLockPanels() []Panel {
	return []Panel{
		{
			Title: "Blocked backends", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Connections that wait for a lock, and pairs of one that waits and one that holds. A few at a glance are traffic, waits that grow old are not: see 'Oldest wait for a lock'. Look into pg_blocking_pids() for the holder.",
			Targets:     []Target{ofServer("soakd_postgres_blocked_backends", "blocked"), ofServer("soakd_postgres_blocking_pairs", "pairs")},
		},
		{
			Title: "Oldest wait for a lock", Unit: "s", Width: 8, Thresholds: badAt(lockWaitLimitSeconds),
			Description: "How long the oldest wait has lasted; 0 while nobody waits. Above a minute: SoakdPostgresBlocked. A straight climb is one holder that does not let go: a migration, a forgotten session, a transaction around a slow call.",
			Targets: []Target{{
				Query: orZeroWhere(worst(sel("soakd_postgres_lock_wait_oldest_seconds"), "instance"),
					worst(sel("soakd_postgres_blocked_backends"), "instance")),
				Legend: "{{instance}}",
			}},
		},
		{
			Title: "Deadlocks", Unit: "short", Width: 8,
			Description: "Deadlocks that the server has counted since its statistics were reset: each step up failed a transaction. Take locks in the same order everywhere.",
			Targets:     []Target{ofServer("soakd_postgres_deadlocks_total", "")},
		},
		{
			Title: "Oldest transaction", Unit: "s", Width: 8,
			Description: "Age of the oldest open transaction; 0 while no session is in one. Minutes old: it holds locks and keeps dead rows from being removed.",
			Targets:     []Target{oldestTransaction()},
		},
		{
			Title: "Longest idle in transaction", Unit: "s", Width: 8, Thresholds: badAt(idleInTransactionLimitSeconds),
			Description: "How long the worst connection has held a transaction open while doing nothing; 0 while there is none. Set idle_in_transaction_session_timeout, and find the call that the API makes inside a transaction.",
			Targets: []Target{{
				Query: orZeroWhere(worst(sel("soakd_postgres_idle_in_transaction_oldest_seconds"), "instance"),
					sum(sel("soakd_postgres_backends", idleInTransaction), "instance")),
				Legend: "{{instance}}",
			}},
		},
		{
			Title: "Sessions at work", Unit: "short", Width: 8,
			Description: "Mean number of sessions that were executing, and that were idle in a transaction. Executing near the cores of the server: it is CPU or disk that is missing, not connections.",
			Targets: []Target{
				rateOfServer("soakd_postgres_active_seconds_total", "executing"),
				rateOfServer("soakd_postgres_idle_in_transaction_seconds_total", "idle in transaction"),
			},
		},
	}
}

func postgresWorkPanels() []Panel {
	hits, reads := rate(sel("soakd_postgres_blocks_hit_total")), rate(sel("soakd_postgres_blocks_read_total"))
	commits, rollbacks := rate(sel("soakd_postgres_commits_total")), rate(sel("soakd_postgres_rollbacks_total"))
	return []Panel{
		{
			Title: "Transactions", Unit: "ops", Width: 8,
			Description: "Commits and rollbacks a second. More at the same arrivals: the API asks more often for one request (a query in a loop), or tries again.",
			Targets: []Target{
				rateOfServer("soakd_postgres_commits_total", "commits"), rateOfServer("soakd_postgres_rollbacks_total", "rollbacks"),
			},
		},
		{
			Title: "Rollbacks", Unit: "percentunit", Width: 8,
			Description: "Share of transactions that were rolled back. A steady base may be how the driver ends reads; a rise goes with errors: see deadlocks, timeouts and the API's log.",
			Targets:     []Target{{Query: share(worst(rollbacks, "instance"), worst(commits+" + "+rollbacks, "instance")), Legend: "{{instance}}"}},
		},
		{
			Title: "Cache hit ratio", Unit: "percentunit", Width: 8, Limits: ZeroToOne,
			Description: "Share of blocks found in the server's cache. A fall: tables have outgrown shared_buffers, or a query began to read a whole table: see sequential scans.",
			Targets:     []Target{{Query: share(worst(hits, "instance"), worst(hits+" + "+reads, "instance")), Legend: "{{instance}}"}},
		},
		{
			Title: "Blocks read", Unit: "ops", Width: 8,
			Description: "Blocks of 8 KiB a second that came from outside the server's cache: from the kernel's or from the disk. Climbing with the tables: an index is missing.",
			Targets:     []Target{rateOfServer("soakd_postgres_blocks_read_total", "")},
		},
		{
			Title: "Temporary files", Unit: "Bps", Width: 8,
			Description: "Bytes a second that queries wrote to temporary files. Above 0: sorts or hashes do not fit into work_mem; an index that gives the order is the better cure.",
			Targets:     []Target{rateOfServer("soakd_postgres_temp_bytes_total", "")},
		},
		{
			Title: "Temporary files made", Unit: "ops", Width: 8,
			Description: "Temporary files a second. Many small ones: raise work_mem a little; few large ones: look at the query's plan.",
			Targets:     []Target{rateOfServer("soakd_postgres_temp_files_total", "")},
		},
		{
			Title: "Write-ahead log", Unit: "Bps",
			Description: "Bytes a second of write-ahead log. It follows the saves; much more than the data saved: full-page writes after each checkpoint, or indexes that nobody needs.",
			Targets:     []Target{rateOfServer("soakd_postgres_wal_bytes_total", "")},
		},
		{
			Title: "Checkpoints", Unit: "short",
			Description: "Checkpoints that the server has counted, by kind. requested that climbs beside timed: raise max_wal_size, or latency will saw with the checkpoints.",
			Targets:     []Target{{Query: worst(sel("soakd_postgres_checkpoints_total"), "kind"), Legend: "{{kind}}"}},
		},
	}
}

// byTable reads a metric of the tables that the probe is told to watch.
func byTable(query, legend string) Target {
	return Target{Query: worst(query, "table"), Legend: legend + "{{table}}"}
}

func postgresTablePanels() []Panel {
	return []Panel{
		{
			Title: "Rows", Unit: "short", Width: 8,
			Description: "Estimated live rows. A table that grows through the whole soak makes everything that reads it slower: retention, partitions, or an index for what is read.",
			Targets:     []Target{byTable(sel("soakd_postgres_table_live_rows"), "")},
		},
		{
			Title: "Dead rows", Unit: "short", Width: 8,
			Description: "Estimated dead rows. A saw is autovacuum at work; a climb means that it does not keep up, or that an old transaction holds it back.",
			Targets:     []Target{byTable(sel("soakd_postgres_table_dead_rows"), "")},
		},
		{
			Title: "Scans", Unit: "ops", Width: 8,
			Description: "Index scans and sequential scans a second. Sequential scans of a table that grows: an index is missing or is not used.",
			Targets: []Target{
				byTable(rate(sel("soakd_postgres_table_index_scans_total")), "index "),
				byTable(rate(sel("soakd_postgres_table_sequential_scans_total")), "sequential "),
			},
		},
		{
			Title: "Rows read by sequential scans", Unit: "ops", Width: 24, Height: 6,
			Description: "Rows a second that sequential scans read: the work that an index would save. It grows with the table even at steady traffic.",
			Targets:     []Target{byTable(rate(sel("soakd_postgres_table_sequential_rows_total")), "")},
		},
	}
}

func postgresStatementPanels() []Panel {
	const unset = "where SOAKD_POSTGRES_STATEMENTS names no statements"
	calls := rate(sel("soakd_postgres_statement_calls_total"))
	// Each server's own mean, and of these the worst: the highest time of one server
	// over the highest calls of another would be the mean of neither.
	mean := func(counter string) string { return worst(share(rate(sel(counter)), calls), "statement") }
	return []Panel{
		{
			Title: "Statements", Unit: "ops", Width: 8, EmptyWhen: unset,
			Description: "Executions a second of each named statement. More at the same arrivals: it is called in a loop.",
			Targets:     []Target{{Query: worst(calls, "statement"), Legend: "{{statement}}"}},
		},
		{
			Title: "Time of a statement", Unit: "s", Width: 8, EmptyWhen: unset,
			Description: "Mean execution time, at the slowest of several servers. A climb with the table's rows: an index; with the load: locks or CPU. Run EXPLAIN (ANALYZE, BUFFERS) on it.",
			Targets:     []Target{{Query: mean("soakd_postgres_statement_seconds_total"), Legend: "{{statement}}"}},
		},
		{
			Title: "Rows of a statement", Unit: "short", Width: 8, EmptyWhen: unset,
			Description: "Mean rows returned or changed by one execution, at the server with the most. A climb: a list without a limit.",
			Targets:     []Target{{Query: mean("soakd_postgres_statement_rows_total"), Legend: "{{statement}}"}},
		},
	}
}

func postgresServerPanels() []Panel {
	return []Panel{
		{
			Title: "Time since the start", Unit: "s", Width: 6,
			Description: "It climbs in a straight line; a fall is a restart, after which caches are cold and the API's pools reconnect.",
			Targets:     []Target{{Query: "time() - " + worst(sel("soakd_postgres_start_time_seconds"), "instance"), Legend: "{{instance}}"}},
		},
		{
			Title: "Version", Kind: Stat, Unit: "none", Width: 6, Height: 8, Texts: map[int]string{1: "in use"},
			Description: "The server's version. A change in the middle of a soak makes what came before hard to compare.",
			Targets:     []Target{{Query: worst(sel("soakd_postgres_server_info"), "version"), Legend: "{{version}}"}},
		},
		{
			Title: "Role and replicas", Unit: "short", Width: 6,
			Description: "Whether the server is a replica (1) or takes writes (0), and how many replicas are connected to it. A change of role in a soak is a failover.",
			Targets:     []Target{ofServer("soakd_postgres_in_recovery", "replica"), ofServer("soakd_postgres_replicas", "connected replicas")},
		},
		{
			Title: "Replication lag", Unit: "s", Width: 6, Thresholds: badAt(replicationLagLimitSeconds),
			Description: "How far this replica, or the furthest of this primary's replicas, is behind; 0 where there are no replicas, absent on a replica that is cut off. Reads from a replica that lags do not see what was just saved.",
			Targets:     []Target{{Query: replicationLag(worst(sel("soakd_postgres_replication_lag_seconds"), "instance"), worst(sel("soakd_postgres_replica_max_lag_seconds"), "instance"), worst(sel("soakd_postgres_replicas"), "instance")), Legend: "{{instance}}"}},
		},
		{
			Title: "Replication lag in bytes", Unit: "bytes", Width: 8,
			Description: "Log that this replica has received, or that the furthest of this primary's replicas was sent, and not replayed; 0 where there are no replicas. A replica that is cut off receives nothing and looks as if it were up to date: see 'Link to the primary'.",
			Targets:     []Target{{Query: replicationLag(worst(sel("soakd_postgres_replication_lag_bytes"), "instance"), worst(sel("soakd_postgres_replica_max_lag_bytes"), "instance"), worst(sel("soakd_postgres_replicas"), "instance")), Legend: "{{instance}}"}},
		},
		{
			Title: "Link to the primary", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "cut off", 1: "receives"},
			Description: "On a replica, whether it receives the primary's log. While it is cut off, reads from it give what it had then, without any error.",
			Targets:     []Target{{Query: lowest(sel("soakd_postgres_wal_receiver_up"), "instance"), Legend: "{{instance}}"}},
			EmptyWhen:   "on a primary, and where soakd's role may not read pg_stat_wal_receiver",
		},
		{
			Title: "Queries cancelled by recovery", Unit: "ops", Width: 8,
			Description: "Queries a second that a replica cancelled because they stood in the way of what it had to replay; always 0 on a primary. Above 0: raise max_standby_streaming_delay, or shorten the reads.",
			Targets:     []Target{rateOfServer("soakd_postgres_recovery_conflicts_total", "")},
		},
	}
}

// replicationLag joins a replica's own lag, that of a primary's furthest replica,
// and that a primary without replicas has none.
func replicationLag(own, furthest, replicas string) string {
	return own + "\nor\n" + furthest + "\nor\n0 * (" + replicas + " == 0)"
}

func postgresProbePanels() []Panel {
	return []Panel{
		{
			Title: "soakd's round trip", Unit: "s", Width: 8,
			Description: "Time of a SELECT 1 on soakd's open connection. It rises with the network and with a server that is out of CPU; the API feels the same.",
			Targets:     []Target{ofServer("soakd_postgres_round_trip_seconds", "")},
		},
		{
			Title: "soakd's wait for a connection", Unit: "s", Width: 8,
			Description: "Time that soakd's probe waited for a connection of its own pool, with the connect when none was open. High again and again: the server accepts slowly, or closes soakd's connections.",
			Targets:     []Target{ofServer("soakd_postgres_acquire_seconds", "")},
		},
		{
			Title: "soakd's own pool", Unit: "short", Width: 8,
			Description: "Connections of soakd's probe itself, at most two: not the API's pool, which is on the API dashboard. in_use that stays above 0 between polls is a defect of soakd.",
			Targets: []Target{
				{Query: worst(sel("soakd_postgres_pool_connections"), "state"), Legend: "soakd {{state}}"},
				{Query: worst(sel("soakd_postgres_pool_max_connections")), Legend: "soakd max", Dashed: true},
			},
		},
	}
}

func postgresAlerts() []Alert {
	const saturation = "soakd_postgres_connection_saturation_ratio"
	return []Alert{
		{
			Name: "SoakdPostgresConnectionsHigh", Severity: Ticket, For: "5m", Dashboard: postgresUID,
			Signal: saturation, Condition: "> 0.8",
			Summary: "Postgres is running out of connections",
			Description: "{{ $value | humanizePercentage }} of the connections that Postgres has for ordinary roles are taken (limit 80%). " +
				"At 100% the API cannot connect.",
		},
		{
			Name: "SoakdPostgresConnectionsExhausted", Severity: Page, For: "1m", Dashboard: postgresUID,
			Signal: saturation, Condition: "> 0.95",
			Summary: "Postgres has hardly any connection left",
			Description: "{{ $value | humanizePercentage }} of the connections that Postgres has for ordinary roles are taken (limit 95%). " +
				"New connections of the API fail or are about to.",
		},
		{
			Name: "SoakdPostgresBlocked", Severity: Ticket, Dashboard: postgresUID,
			Signal:    "soakd_postgres_lock_wait_oldest_seconds\nor\n0 * (soakd_postgres_blocked_backends == 0)",
			Condition: above(lockWaitLimitSeconds),
			Summary:   "A Postgres connection waits for a lock",
			Description: "A connection to Postgres has waited for a lock for {{ $value | humanizeDuration }} (limit 1 minute). " +
				"Requests of the API stand still behind it.",
		},
		{
			Name: "SoakdPostgresBlockedAtEachLook", Severity: Ticket, For: "1m", Dashboard: postgresUID,
			Signal: "soakd_postgres_blocked_backends", Condition: "> 0",
			// From Postgres 14 on a wait has an age, apart from its first moment.
			Only:    "unless on (job, instance)\nlast_over_time(soakd_postgres_lock_wait_oldest_seconds[5m])",
			Summary: "Postgres connections wait for locks at each look",
			Description: "{{ $value }} connections wait for a lock, and at each look for a minute there were some. " +
				"Before Postgres 14 nobody can tell whether it is one long wait or many short ones.",
		},
		{
			Name: "SoakdPostgresIdleInTransaction", Severity: Ticket, Dashboard: postgresUID,
			Signal:    "soakd_postgres_idle_in_transaction_oldest_seconds\nor\n0 * (sum by (job, instance) (soakd_postgres_backends{" + idleInTransaction + "}) == 0)",
			Condition: above(idleInTransactionLimitSeconds),
			Summary:   "A transaction is held open by a connection that does nothing",
			Description: "A connection to Postgres has been idle in a transaction for {{ $value | humanizeDuration }} (limit 1 minute). " +
				"It keeps its locks, and dead rows cannot be removed.",
		},
		{
			Name: "SoakdPostgresDeadlocks", Severity: Ticket, Dashboard: postgresUID,
			// The server counts from 0 on: the first deadlock is an increase.
			Signal: gained("soakd_postgres_deadlocks_total", gapOfCounter), Condition: "> 0",
			Summary: "Postgres broke deadlocks",
			Description: "About {{ printf \"%.0f\" $value }} deadlocks in 15 minutes, or since Postgres was last seen before that, each of which failed a transaction. " +
				"Two code paths take the same locks in another order.",
		},
		{
			Name: "SoakdPostgresReplicationLag", Severity: Ticket, For: "5m", Dashboard: postgresUID,
			Signal:    replicationLag("soakd_postgres_replication_lag_seconds", "soakd_postgres_replica_max_lag_seconds", "soakd_postgres_replicas"),
			Condition: above(replicationLagLimitSeconds),
			Summary:   "A Postgres replica is behind",
			Description: "A replica is {{ $value | humanizeDuration }} behind its primary (limit 30s). " +
				"What is read from it is that old.",
		},
		{
			Name: "SoakdPostgresReplicaCutOff", Severity: Ticket, For: "2m", Dashboard: postgresUID,
			// A primary needs no receiver. A replica of which it is not known stays absent.
			Signal:    "soakd_postgres_wal_receiver_up\nor\n1 + (soakd_postgres_in_recovery == 0)",
			Condition: "== 0",
			Summary:   "A Postgres replica is cut off from its primary",
			Description: "The replica that {{ $labels.instance }} watches has received nothing from its primary for 2 minutes. " +
				"It goes on answering with what it had, and no lag tells.",
		},
	}
}
