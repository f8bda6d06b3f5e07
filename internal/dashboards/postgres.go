package dashboards

import "strings"

func postgresDashboard() Dashboard {
	return Dashboard{
		UID: postgresUID, File: "postgres.json", Title: "soakd / Postgres",
		Description: "The API's database as soakd's Postgres probe reads it from the server's own statistics, one line a server and, where the server counts so, a database. Read it from the top: does it answer, who is connected, who waits for whom, what work it does, what goes to disk, which table and statement, are the replicas well. The pool in the last row is the probe's own, never the API's.",
		Variables: []Variable{
			{Name: "server", Title: "Server", Selector: `soakd_postgres_start_time_seconds{job=~"$job",instance=~"$instance"}`, Label: "server", All: ".*"},
		},
		Rows: []Row{
			{Title: "Does it answer?", Panels: postgresAnswerPanels()},
			{Title: "Connections", Panels: postgresConnectionPanels()},
			{Title: "Locks and transactions", Panels: append(postgresLockPanels(), postgresTransactionPanels()...)},
			{Title: "Work", Panels: postgresWorkPanels()},
			{Title: "Write-ahead log and checkpoints", Panels: append(postgresLogPanels(), postgresCheckpointPanels()...)},
			{Title: "Input and output (from Postgres 16)", Panels: postgresIOPanels()},
			{Title: "Tables (SOAKD_POSTGRES_TABLES)", Panels: append(postgresTablePanels(), postgresVacuumPanels()...)},
			{Title: "Statements (SOAKD_POSTGRES_STATEMENTS)", Panels: postgresStatementPanels()},
			{Title: "Server and replicas", Panels: append(postgresServerPanels(), postgresReplicaPanels()...)},
			{Title: "soakd's own way to Postgres", Panels: postgresProbePanels()},
		},
	}
}

// serverSel selects the series of a metric for the chosen servers.
func serverSel(metric string, matchers ...string) string {
	return sel(metric, append([]string{`server=~"$server"`}, matchers...)...)
}

// ofServer reads a gauge of the Postgres probe, one line a server and each
// combination of the labels by.
func ofServer(metric, legend string, by ...string) Target {
	return lineOfServer(serverSel(metric), legend, by...)
}

// rateOfServer reads the increase a second of a counter of the Postgres probe.
func rateOfServer(metric, legend string, by ...string) Target {
	return lineOfServer(rate(serverSel(metric)), legend, by...)
}

// rateOfDatabase is rateOfServer for a counter of the server's databases.
func rateOfDatabase(metric, legend string, by ...string) Target {
	return rateOfServer(metric, legend, append(by, "database")...)
}

// lineOfServer takes the worst of what several instances of soakd read of a
// server. The legend has the text, then the labels by, then the server.
func lineOfServer(query, text string, by ...string) Target {
	return Target{Query: worst(query, append([]string{"server"}, by...)...), Legend: serverLegend(text, by...)}
}

func serverLegend(text string, by ...string) string {
	var words []string
	if text != "" {
		words = append(words, text)
	}
	for _, label := range append(by, "server") {
		words = append(words, "{{"+label+"}}")
	}
	return strings.Join(words, " ")
}

// sumOfServer adds up what one instance of soakd reads of a server over all but
// the labels by, and takes the worst of several instances.
func sumOfServer(query, text string, by ...string) Target {
	return lineOfServer(sum(query, append([]string{"job", "instance", "server"}, by...)...), text, by...)
}

const canaryUnset = "where SOAKD_POSTGRES_CANARY_URL names no database for the canary"

// postgresCanaryQuantile is a quantile of the time of the canary's operations.
// It has no label server: there is one canary.
func postgresCanaryQuantile(q, legend string) Target {
	return Target{Query: quantile(q, sel("soakd_postgres_canary_seconds_bucket"), "operation"), Legend: legend + " {{operation}}"}
}

func postgresAnswerPanels() []Panel {
	return []Panel{
		{
			Title: "soakd's round trip", Unit: "s", Width: 8,
			Description: "Time of a SELECT 1 on soakd's open connection. It rises with the network and with a server that is out of CPU; the API feels the same.",
			Targets:     []Target{ofServer("soakd_postgres_round_trip_seconds", "")},
		},
		{
			Title: "Canary", Unit: "s", Width: 8, Log: true, EmptyWhen: canaryUnset,
			Description: "Time of the canary's write, read and delete of one row by its key. The API slow and this not: look at the API. write and delete slow, read not: the log's disk, or a commit that waits for a replica.",
			Targets:     []Target{postgresCanaryQuantile("0.5", "p50"), postgresCanaryQuantile("0.99", "p99")},
		},
		{
			Title: "Canary failures", Unit: "ops", Width: 8, EmptyWhen: canaryUnset,
			Description: "Steps of the canary a second that failed, reads that did not bring what was just written, and rows that it swept up after an instance of soakd that ended without. A wrong read is data lost or a read from a replica: stop and look.",
			Targets: []Target{
				{Query: sum(rate(sel("soakd_postgres_canary_failures_total")), "operation"), Legend: "failed: {{operation}}"},
				{Query: sum(rate(sel("soakd_postgres_canary_wrong_reads_total")), "cause"), Legend: "wrong read: {{cause}}"},
				{Query: sum(rate(sel("soakd_postgres_canary_swept_rows_total"))), Legend: "rows swept up"},
			},
		},
	}
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
				sumOfServer(serverSel("soakd_postgres_backends"), "", "application"),
				{Query: worst(serverSel("soakd_postgres_max_connections"), "server"), Legend: serverLegend("available"), Dashed: true},
			},
		},
		{
			Title: "Connections by state", Unit: "short", Stack: true, Width: 8,
			Description: "What the connections do. Many idle: pools larger than needed. idle_in_transaction: the API waits for something else while it holds a transaction open.",
			Targets:     []Target{sumOfServer(serverSel("soakd_postgres_backends"), "", "state")},
		},
		{
			Title: "Waiting by what for", Unit: "short", Stack: true, Width: 8,
			Description: "Active connections that wait, by wait_event_type. lock: other transactions; io: the disk or a cold cache; lwlock: contention inside the server; client: the API reads slowly.",
			Targets:     []Target{ofServer("soakd_postgres_waiting_backends", "", "wait_event_type")},
		},
		{
			Title: "Sessions at work", Unit: "short", Width: 8,
			Description: "Mean number of sessions that were connected, that were executing, and that were idle in a transaction, each counted when its transaction ends; from Postgres 14. Executing near the cores of the server: it is CPU or disk that is missing, not connections.",
			Targets: []Target{
				rateOfDatabase("soakd_postgres_session_seconds_total", "connected"),
				rateOfDatabase("soakd_postgres_active_seconds_total", "executing"),
				rateOfDatabase("soakd_postgres_idle_in_transaction_seconds_total", "idle in transaction"),
			},
		},
		{
			Title: "Connections by database", Unit: "short", Stack: true, Width: 8,
			Description: "Connections to the watched databases. When the saturation climbs and these do not, another database of the same server takes them: name it in SOAKD_POSTGRES_DATABASES.",
			Targets:     []Target{ofServer("soakd_postgres_database_backends", "", "database")},
		},
		{
			Title: "Size on disk", Unit: "bytes", Width: 8,
			Description: "Size of the watched databases, read once a minute. A soak that saves as much as it deletes levels out; a steady climb is data that nobody deletes, or dead rows that vacuum cannot remove.",
			Targets:     []Target{ofServer("soakd_postgres_database_bytes", "", "database")},
		},
		{
			Title: "Connections made", Unit: "ops", Width: 8,
			Description: "Connections a second that were begun; from Postgres 14. In a steady soak nearly none: many say that the API opens one for each request, or that its pool's idle or life time is too short.",
			Targets:     []Target{rateOfDatabase("soakd_postgres_sessions_total", "")},
		},
		{
			Title: "Connections lost", Unit: "ops", Width: 8,
			Description: "Connections a second that ended without a good-bye, by cause. abandoned: the API's process or network died; fatal and killed: the server's log says why.",
			Targets:     []Target{rateOfDatabase("soakd_postgres_sessions_ended_total", "", "cause")},
		},
	}
}

// orZeroWhere gives 0 for an age that is absent because there is nothing of that
// age, which another metric of the same poll tells.
func orZeroWhere(age, count string) string { return age + " or 0 * (" + count + " == 0)" }

// oldestTransaction is the age of the oldest transaction, 0 while every session
// but soakd's own is idle outside of one; selected selects the series.
func oldestTransaction(selected func(string, ...string) string, legend string) Target {
	return Target{
		Query:  transactionAgeOf(selected, "server"),
		Legend: serverLegend(legend),
	}
}

func transactionAgeOf(selected func(string, ...string) string, by ...string) string {
	return orZeroWhere(worst(selected("soakd_postgres_oldest_transaction_seconds"), by...),
		sum(selected("soakd_postgres_backends", `application!="soakd"`, `state!="idle"`), by...))
}

func postgresLockPanels() []Panel {
	const none = "while nobody waits for a lock"
	return []Panel{
		{
			Title: "Blocked backends", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Connections that wait for a lock, pairs of one that waits and one that holds, the holders that wait for nobody themselves, and the longest chain. A few at a glance are traffic, waits that grow old are not: see 'Oldest wait for a lock'. One holder and many that wait: end that one transaction.",
			Targets: []Target{
				ofServer("soakd_postgres_blocked_backends", "blocked"), ofServer("soakd_postgres_blocking_pairs", "pairs"),
				ofServer("soakd_postgres_root_blockers", "holders at the root"), ofServer("soakd_postgres_blocking_chain_depth", "longest chain"),
			},
		},
		{
			Title: "Who blocks whom", Unit: "short", Stack: true, Width: 8, EmptyWhen: none + ", and with more than 50 that wait",
			Description: "Pairs of a connection that waits and one that holds, by their applications and by what the holder does. A holder idle_in_transaction forgot to commit; an active one is slow; prepared is a prepared transaction without an end.",
			Targets: []Target{{
				Query:  worst(serverSel("soakd_postgres_blocking"), "server", "blocked_application", "blocker_application", "blocker_state"),
				Legend: "{{blocked_application}} waits for {{blocker_application}}, {{blocker_state}} {{server}}",
			}},
		},
		{
			Title: "Oldest wait for a lock", Unit: "s", Width: 8, Thresholds: badAt(lockWaitLimitSeconds),
			Description: "How long the oldest wait for a lock has lasted; 0 while nobody waits, absent before Postgres 14. Beyond a second requests stand still: set lock_timeout, and shorten the transaction that holds the lock.",
			Targets: []Target{{
				Query: orZeroWhere(worst(serverSel("soakd_postgres_lock_wait_oldest_seconds"), "server"),
					worst(serverSel("soakd_postgres_blocked_backends"), "server")),
				Legend: serverLegend(""),
			}},
		},
		{
			Title: "Locks waited for", Unit: "short", Stack: true, Width: 8,
			Description: "Locks that are waited for, by mode. share and exclusive: two transactions change the same row; row_exclusive behind access_exclusive: an ALTER TABLE or a TRUNCATE runs beside the traffic.",
			Targets:     []Target{ofServer("soakd_postgres_waiting_locks", "", "mode")},
		},
		{
			Title: "Locks held", Unit: "short", Stack: true, Width: 8,
			Description: "Locks that are held, by mode, in all databases of the server. Those of a steady load stay level: a climb is transactions that last longer or touch more tables (partitions); near max_locks_per_transaction times max_connections the server refuses more.",
			Targets:     []Target{ofServer("soakd_postgres_held_locks", "", "mode")},
		},
		{
			Title: "Deadlocks", Unit: "short", Width: 8,
			Description: "Deadlocks that the server has counted since its statistics were reset: each step up failed a transaction. Take locks in the same order everywhere.",
			Targets:     []Target{ofServer("soakd_postgres_deadlocks_total", "", "database")},
		},
	}
}

func postgresTransactionPanels() []Panel {
	return []Panel{
		{
			Title: "Longest idle in transaction", Unit: "s", Width: 8, Thresholds: badAt(idleInTransactionLimitSeconds),
			Description: "How long the worst connection has held a transaction open while doing nothing; 0 while there is none. Set idle_in_transaction_session_timeout, and find the call that the API makes inside a transaction.",
			Targets: []Target{{
				Query: orZeroWhere(worst(serverSel("soakd_postgres_idle_in_transaction_oldest_seconds"), "server"),
					sum(serverSel("soakd_postgres_backends", idleInTransaction), "server")),
				Legend: serverLegend(""),
			}},
		},
		{
			Title: "Oldest transaction", Unit: "s", Width: 8,
			Description: "Age of the oldest open transaction, of the oldest query that runs and of the oldest prepared transaction; 0 while there is none. Minutes old: it holds locks and keeps dead rows from being removed. A transaction much older than any query: it waits for the API.",
			Targets: []Target{
				oldestTransaction(serverSel, "transaction"),
				{
					Query: orZeroWhere(worst(serverSel("soakd_postgres_oldest_query_seconds"), "server"),
						sum(serverSel("soakd_postgres_backends", `application!="soakd"`, `state="active"`), "server")),
					Legend: serverLegend("query"),
				},
				{
					Query: orZeroWhere(worst(serverSel("soakd_postgres_prepared_transaction_oldest_seconds"), "server"),
						worst(serverSel("soakd_postgres_prepared_transactions"), "server")),
					Legend: serverLegend("prepared"),
				},
			},
		},
		{
			Title: "Prepared transactions", Unit: "short", Width: 8,
			Description: "Transactions that were prepared and neither committed nor rolled back. One that stays keeps its locks even through a restart: find it in pg_prepared_xacts and end it with ROLLBACK PREPARED.",
			Targets:     []Target{ofServer("soakd_postgres_prepared_transactions", "")},
		},
		{
			Title: "Transactions to freeze", Unit: "short", Width: 8, Thresholds: warnAt(frozenLateTransactions, frozenFailsafeTransactions),
			Description: "Transactions since the oldest that is not frozen yet. From 200 million on autovacuum freezes and this falls again; above a billion it does not come through: an old transaction, a slot or a replica holds it back. Near 2^31 the server refuses writes.",
			Targets:     []Target{ofServer("soakd_postgres_transaction_id_age", "")},
		},
	}
}

const (
	// frozenLateTransactions is five times the usual autovacuum_freeze_max_age.
	frozenLateTransactions = 1e9
	// frozenFailsafeTransactions is the usual vacuum_failsafe_age, from which on
	// vacuum drops all else.
	frozenFailsafeTransactions = 1.6e9
)

func postgresWorkPanels() []Panel {
	hits, reads := rate(serverSel("soakd_postgres_blocks_hit_total")), rate(serverSel("soakd_postgres_blocks_read_total"))
	commits, rollbacks := rate(serverSel("soakd_postgres_commits_total")), rate(serverSel("soakd_postgres_rollbacks_total"))
	return []Panel{
		{
			Title: "Transactions", Unit: "ops", Width: 8,
			Description: "Commits and rollbacks a second. More at the same arrivals: the API asks more often for one request (a query in a loop), or tries again.",
			Targets: []Target{
				rateOfDatabase("soakd_postgres_commits_total", "commits"), rateOfDatabase("soakd_postgres_rollbacks_total", "rollbacks"),
			},
		},
		{
			Title: "Rollbacks", Unit: "percentunit", Width: 8,
			Description: "Share of transactions that were rolled back. A steady base may be how the driver ends reads; a rise goes with errors: see deadlocks, timeouts and the API's log.",
			Targets:     []Target{lineOfServer(share(rollbacks, commits+" + "+rollbacks), "", "database")},
		},
		{
			Title: "Rows by what was done", Unit: "ops", Width: 8, Log: true,
			Description: "Rows a second that were read by scans (returned), found through an index (fetched), inserted, updated and deleted. returned far above fetched: whole tables are read for a few rows.",
			Targets:     []Target{rateOfDatabase("soakd_postgres_rows_total", "", "operation")},
		},
		{
			Title: "Cache hit ratio", Unit: "percentunit", Width: 8, Limits: ZeroToOne,
			Description: "Share of blocks found in the server's cache. A fall: tables have outgrown shared_buffers, or a query began to read a whole table: see sequential scans.",
			Targets:     []Target{{Query: lowest(share(hits, hits+" + "+reads), "server", "database"), Legend: serverLegend("", "database")}},
		},
		{
			Title: "Blocks read", Unit: "ops", Width: 8,
			Description: "Blocks of 8 KiB a second that came from outside the server's cache: from the kernel's or from the disk. Climbing with the tables: an index is missing.",
			Targets:     []Target{rateOfDatabase("soakd_postgres_blocks_read_total", "")},
		},
		{
			Title: "Sessions busy with blocks", Unit: "short", Width: 8,
			Description: "Mean number of sessions that were reading and writing blocks. Near that of 'Sessions at work': it is the disk that they wait for. Absent while the server's track_io_timing is off.",
			Targets:     []Target{rateOfDatabase("soakd_postgres_block_seconds_total", "", "operation")},
		},
		{
			Title: "Temporary files", Unit: "Bps",
			Description: "Bytes a second that queries wrote to temporary files. Above 0: sorts or hashes do not fit into work_mem; an index that gives the order is the better cure.",
			Targets:     []Target{rateOfDatabase("soakd_postgres_temp_bytes_total", "")},
		},
		{
			Title: "Temporary files made", Unit: "ops",
			Description: "Temporary files a second. Many small ones: raise work_mem a little; few large ones: look at the query's plan.",
			Targets:     []Target{rateOfDatabase("soakd_postgres_temp_files_total", "")},
		},
	}
}

// logIO reads a metric of the write-ahead log's input and output, which moved in
// Postgres 18 from a view of its own into that of all input and output.
func logIO(until17, from18 string) Target {
	all := sum(rate(serverSel(from18, `object="wal"`, `operation=~"write|fsync"`)), "job", "instance", "server", "operation")
	return Target{
		Query:  worst(rate(serverSel(until17)), "server", "operation") + "\nor\n" + worst(all, "server", "operation"),
		Legend: serverLegend("", "operation"),
	}
}

func postgresLogPanels() []Panel {
	return []Panel{
		{
			Title: "Write-ahead log", Unit: "Bps", Width: 8,
			Description: "Bytes a second of write-ahead log. It follows the saves; much more than the data saved: full-page writes after each checkpoint, or indexes that nobody needs.",
			Targets:     []Target{rateOfServer("soakd_postgres_wal_bytes_total", "")},
		},
		{
			Title: "Records of the log", Unit: "ops", Width: 8, Log: true,
			Description: "Records a second in the log, whole pages among them, and how often the log's buffers were full. Whole pages that come in bursts: checkpoints are too close together. Buffers full: raise wal_buffers.",
			Targets: []Target{
				rateOfServer("soakd_postgres_wal_records_total", "records"), rateOfServer("soakd_postgres_wal_full_page_images_total", "whole pages"),
				rateOfServer("soakd_postgres_wal_buffers_full_total", "buffers full"),
			},
		},
		{
			Title: "Log archived", Unit: "ops", Width: 8,
			Description: "Files of log a second that were archived and that could not be. While it fails the log stays and fills the disk: mend archive_command; the server's log has its output.",
			Targets:     []Target{rateOfServer("soakd_postgres_wal_archived_total", "", "result")},
		},
		{
			Title: "Writes and syncs of the log", Unit: "ops",
			Description: "How often the log was written and synced. Each commit needs one sync, or shares one: as many as commits means that there is nothing to share, and the disk's sync time bounds the commits.",
			Targets:     []Target{logIO("soakd_postgres_wal_io_operations_total", "soakd_postgres_io_operations_total")},
		},
		{
			Title: "Time in writes and syncs of the log", Unit: "percentunit",
			Description: "Seconds a second that sessions spent in them. Near 100 %: commits queue for the log's disk; a faster disk, fewer and larger transactions. Until Postgres 17 it is 0 while track_wal_io_timing is off.",
			EmptyWhen:   "from Postgres 18 on while track_wal_io_timing is off",
			Targets:     []Target{logIO("soakd_postgres_wal_io_seconds_total", "soakd_postgres_io_seconds_total")},
		},
	}
}

func postgresCheckpointPanels() []Panel {
	return []Panel{
		{
			Title: "Checkpoints", Unit: "short", Width: 8,
			Description: "Checkpoints that the server has counted, by kind. requested that climbs beside timed: raise max_wal_size, or latency will saw with the checkpoints.",
			Targets:     []Target{ofServer("soakd_postgres_checkpoints_total", "", "kind")},
		},
		{
			Title: "Time in checkpoints", Unit: "percentunit", Width: 8,
			Description: "Share of the time that a checkpoint was writing, which is spread out on purpose, and syncing, which is not. Latency that peaks with sync: the disk's cache is overrun; a lower checkpoint_flush_after, a faster disk.",
			Targets:     []Target{rateOfServer("soakd_postgres_checkpoint_seconds_total", "", "phase")},
		},
		{
			Title: "Restart points", Unit: "short", Width: 8, EmptyWhen: "before Postgres 17",
			Description: "Restart points that a replica has counted, by kind; 0 on a primary. They are its checkpoints: without any for long, a restart of the replica replays all since the last.",
			Targets:     []Target{ofServer("soakd_postgres_restartpoints_total", "", "kind")},
		},
		{
			Title: "Buffers written", Unit: "ops",
			Description: "Blocks a second that were written, by whom. backend, which is there until Postgres 16, above the others: sessions must write before they can read; a busier background writer (bgwriter_lru_maxpages) or more shared_buffers.",
			Targets:     []Target{rateOfServer("soakd_postgres_buffers_written_total", "", "by")},
		},
		{
			Title: "Buffers taken and writer's stops", Unit: "ops",
			Description: "Blocks of the cache a second that were taken for something new, and how often the background writer stopped at its limit. With stops: raise bgwriter_lru_maxpages. Many taken at a steady load: the working set does not fit the cache.",
			Targets: []Target{
				rateOfServer("soakd_postgres_buffers_allocated_total", "taken"), rateOfServer("soakd_postgres_background_writer_stops_total", "stops"),
			},
		},
	}
}

func postgresIOPanels() []Panel {
	const before = "before Postgres 16"
	return []Panel{
		{
			Title: "Operations", Unit: "ops", Width: 8, Log: true, EmptyWhen: before,
			Description: "Operations a second by kind, all sessions and objects together: hit is a block found in the cache, evict one thrown out for another. evict that climbs with read: the cache is too small for the working set.",
			Targets:     []Target{sumOfServer(rate(serverSel("soakd_postgres_io_operations_total")), "", "operation")},
		},
		{
			Title: "Bytes by whom", Unit: "Bps", Width: 8, EmptyWhen: before,
			Description: "Bytes a second that were read, written and added to files, by whom. client that writes does the background writer's work; autovacuum that reads as much as the clients: raise its cost limits, or give it quieter hours.",
			Targets:     []Target{sumOfServer(rate(serverSel("soakd_postgres_io_bytes_total")), "", "backend", "operation")},
		},
		{
			Title: "Time by whom", Unit: "percentunit", Width: 8, EmptyWhen: before + ", and while track_io_timing is off",
			Description: "Seconds a second that were spent in input and output, by whom and on what. client on relation: queries wait for the disk; on temporary: temporary tables do not fit temp_buffers.",
			Targets:     []Target{sumOfServer(rate(serverSel("soakd_postgres_io_seconds_total")), "", "backend", "object", "operation")},
		},
	}
}

func postgresTablePanels() []Panel {
	return []Panel{
		{
			Title: "Rows", Unit: "short", Width: 8,
			Description: "Estimated live rows. A table that grows through the whole soak makes everything that reads it slower: retention, partitions, or an index for what is read.",
			Targets:     []Target{ofServer("soakd_postgres_table_live_rows", "", "table")},
		},
		{
			Title: "Dead rows", Unit: "short", Width: 8,
			Description: "Estimated dead rows. A saw is autovacuum at work; a climb means that it does not keep up, or that an old transaction holds it back.",
			Targets:     []Target{ofServer("soakd_postgres_table_dead_rows", "", "table")},
		},
		{
			Title: "Pages", Unit: "short", Width: 8,
			Description: "Pages of 8 KiB as the last vacuum or analyze found them. Growing faster than 'Rows' is bloat: vacuum more often, a lower fillfactor for updates, or pg_repack.",
			Targets:     []Target{ofServer("soakd_postgres_table_pages", "", "table")},
		},
		{
			Title: "Scans", Unit: "ops", Width: 8,
			Description: "Index scans and sequential scans a second. Sequential scans of a table that grows: an index is missing or is not used.",
			Targets: []Target{
				rateOfServer("soakd_postgres_table_index_scans_total", "index", "table"),
				rateOfServer("soakd_postgres_table_sequential_scans_total", "sequential", "table"),
			},
		},
		{
			Title: "Rows read by sequential scans", Unit: "ops", Width: 8,
			Description: "Rows a second that sequential scans read: the work that an index would save. It grows with the table even at steady traffic.",
			Targets:     []Target{rateOfServer("soakd_postgres_table_sequential_rows_total", "", "table")},
		},
		{
			Title: "Rows changed", Unit: "ops", Width: 8,
			Description: "Rows a second that were inserted, updated and deleted. hot_updated far below updated: each update touches every index too; drop those that nobody needs, or lower the fillfactor.",
			Targets:     []Target{rateOfServer("soakd_postgres_table_rows_changed_total", "", "operation", "table")},
		},
	}
}

func postgresVacuumPanels() []Panel {
	return []Panel{
		{
			Title: "Vacuums", Unit: "short", Width: 8,
			Description: "Vacuums that the server has counted, by who began them. None while 'Dead rows' climbs: lower autovacuum_vacuum_scale_factor for the table, and look for the oldest transaction.",
			Targets:     []Target{ofServer("soakd_postgres_table_vacuums_total", "", "kind", "table")},
		},
		{
			Title: "Time since vacuum and analyze", Unit: "s", Width: 8, EmptyWhen: "for a table that was never vacuumed or analyzed",
			Description: "Time since the last vacuum of a table and since its statistics were made, by whomever. A straight line through the whole soak on a table that is written to: autovacuum does not come by.",
			Targets: []Target{
				ofServer("soakd_postgres_table_last_vacuum_seconds", "vacuum", "table"), ofServer("soakd_postgres_table_last_analyze_seconds", "analyze", "table"),
			},
		},
		{
			Title: "Rows changed since analyze", Unit: "short", Width: 8,
			Description: "Estimated rows that were changed since the planner's statistics were made. As many as 'Rows' has: plans are made for another table; ANALYZE it, and lower autovacuum_analyze_scale_factor.",
			Targets:     []Target{ofServer("soakd_postgres_table_rows_changed_since_analyze", "", "table")},
		},
	}
}

func postgresStatementPanels() []Panel {
	const unset = "where SOAKD_POSTGRES_STATEMENTS names no statements"
	calls := rate(serverSel("soakd_postgres_statement_calls_total"))
	// What several instances of soakd read is divided before the worst is taken:
	// the highest time of one over the highest calls of another would be the mean
	// of neither.
	mean := func(counter, legend string) Target {
		return lineOfServer(share(rate(serverSel("soakd_postgres_statement_"+counter)), calls), legend, "statement")
	}
	return []Panel{
		{
			Title: "Statements", Unit: "ops", Width: 8, EmptyWhen: unset,
			Description: "Executions a second of each named statement. More at the same arrivals: it is called in a loop.",
			Targets:     []Target{lineOfServer(calls, "", "statement")},
		},
		{
			Title: "Time of a statement", Unit: "s", Width: 8, EmptyWhen: unset,
			Description: "Mean execution time. A climb with the table's rows: an index; with the load: locks or CPU. Run EXPLAIN (ANALYZE, BUFFERS) on it.",
			Targets:     []Target{mean("seconds_total", "")},
		},
		{
			Title: "Rows of a statement", Unit: "short", Width: 8, EmptyWhen: unset,
			Description: "Mean rows returned or changed by one execution. A climb: a list without a limit.",
			Targets:     []Target{mean("rows_total", "")},
		},
		{
			Title: "Blocks of a statement", Unit: "short", Width: 8, EmptyWhen: unset,
			Description: "Mean blocks that one execution found in the cache, read from outside of it and made dirty. Hits that climb with the table at the same rows returned: it scans; reads: it does not fit the cache.",
			Targets:     []Target{mean("blocks_hit_total", "hit"), mean("blocks_read_total", "read"), mean("blocks_dirtied_total", "dirtied")},
		},
		{
			Title: "Temporary blocks of a statement", Unit: "short", Width: 8, EmptyWhen: unset,
			Description: "Mean temporary blocks that one execution wrote and read. Above 0: its sort or hash does not fit work_mem; an index that gives the order, or more work_mem for this role.",
			Targets:     []Target{mean("temp_blocks_written_total", "written"), mean("temp_blocks_read_total", "read")},
		},
		{
			Title: "Time of a statement in reads", Unit: "s", Width: 8, EmptyWhen: unset,
			Description: "Mean time that one execution waited for blocks from outside the cache: the part of 'Time of a statement' that a larger cache or a faster disk would save. It is 0 while the server's track_io_timing is off.",
			Targets:     []Target{mean("block_read_seconds_total", "")},
		},
		{
			Title: "Log of a statement", Unit: "bytes", EmptyWhen: unset,
			Description: "Mean bytes of write-ahead log that one execution made. Much more than the row it saves: many indexes, or whole pages after each checkpoint.",
			Targets:     []Target{mean("wal_bytes_total", "")},
		},
		{
			Title: "Statements forgotten", Unit: "short", EmptyWhen: unset,
			Description: "How often the server dropped the statements that it counts and that are used least, for want of room. It climbs: raise pg_stat_statements.max, or look for an API that writes values into its statements; rare ones are undercounted.",
			Targets:     []Target{ofServer("soakd_postgres_statements_dropped_total", "")},
		},
	}
}

func postgresServerPanels() []Panel {
	return []Panel{
		{
			Title: "Time since the start", Unit: "s", Width: 8,
			Description: "It climbs in a straight line; a fall is a restart, after which caches are cold and the API's pools reconnect.",
			Targets:     []Target{{Query: "time() - " + worst(serverSel("soakd_postgres_start_time_seconds"), "server"), Legend: serverLegend("")}},
		},
		{
			Title: "Version", Kind: Stat, Unit: "none", Width: 8, Height: 8, Texts: map[int]string{1: "in use"},
			Description: "The server's version. A change in the middle of a soak makes what came before hard to compare.",
			Targets:     []Target{ofServer("soakd_postgres_server_info", "", "version")},
		},
		{
			Title: "Role and replicas", Unit: "short", Width: 8,
			Description: "Whether the server is a replica (1) or takes writes (0), and how many replicas are connected to it. A change of role in a soak is a failover.",
			Targets:     []Target{ofServer("soakd_postgres_in_recovery", "replica"), ofServer("soakd_postgres_replicas", "connected replicas")},
		},
		{
			Title: "Statistics reset", Unit: "short", Width: 8,
			Description: "Resets of the server's statistics that soakd has seen, by view. A step is somebody's pg_stat_reset or a crash of the server; the graphs of that view began at 0 then.",
			Targets:     []Target{ofServer("soakd_postgres_statistics_resets_total", "", "view")},
		},
		{
			Title: "Time since the statistics were reset", Unit: "s", Width: 8,
			Description: "How long each view has counted; absent for one that was never reset. Totals of servers that began at different times do not compare: their rates do.",
			Targets: []Target{{
				Query:  "time() - " + worst(serverSel("soakd_postgres_statistics_reset_timestamp_seconds"), "server", "view"),
				Legend: serverLegend("", "view"),
			}},
		},
		{
			Title: "Broken pages", Unit: "short", Width: 8, Thresholds: badAt(1), EmptyWhen: "where the server has no data checksums",
			Description: "Pages whose checksum was wrong. Any: the disk or the memory is broken. Stop, keep what there is, and restore from a backup on other hardware.",
			Targets:     []Target{ofServer("soakd_postgres_checksum_failures_total", "", "database")},
		},
	}
}

// replicationLag joins a replica's own lag, that of a primary's furthest replica,
// and that a primary without replicas has none.
func replicationLag(own, furthest, replicas string) string {
	return own + "\nor\n" + furthest + "\nor\n0 * (" + replicas + " == 0)"
}

// lagOfServer is replicationLag of each server, by the ends of the metrics' names.
func lagOfServer(unit string) Target {
	of := func(metric string) string { return worst(serverSel(metric), "server") }
	return Target{
		Query:  replicationLag(of("soakd_postgres_replication_lag_"+unit), of("soakd_postgres_replica_max_lag_"+unit), of("soakd_postgres_replicas")),
		Legend: serverLegend(""),
	}
}

func postgresReplicaPanels() []Panel {
	const alone, noSlots = "on a server without replicas", "where there are no replication slots"
	yesNo := map[int]string{0: "no", 1: "yes"}
	return []Panel{
		{
			Title: "Replication lag", Unit: "s", Width: 8, Thresholds: badAt(replicationLagLimitSeconds),
			Description: "How far this replica, or the furthest of this primary's replicas, is behind; 0 where there are no replicas, absent on a replica that is cut off. Reads from a replica that lags do not see what was just saved.",
			Targets:     []Target{lagOfServer("seconds")},
		},
		{
			Title: "Replication lag in bytes", Unit: "bytes", Width: 8,
			Description: "Log that this replica has received, or that the furthest of this primary's replicas was sent, and not replayed; 0 where there are no replicas. A replica that is cut off receives nothing and looks as if it were up to date: see 'Link to the primary'.",
			Targets:     []Target{lagOfServer("bytes")},
		},
		{
			Title: "Queries cancelled by recovery", Unit: "ops", Width: 8,
			Description: "Queries a second that a replica cancelled because they stood in the way of what it had to replay; always 0 on a primary. Above 0: raise max_standby_streaming_delay, or shorten the reads.",
			Targets:     []Target{rateOfDatabase("soakd_postgres_recovery_conflicts_total", "")},
		},
		{
			Title: "Link to the primary", Unit: "none", Width: 12, Limits: ZeroToOne, Texts: map[int]string{0: "cut off", 1: "receives"},
			Description: "On a replica, whether it receives the primary's log. While it is cut off, reads from it give what it had then, without any error.",
			Targets:     []Target{{Query: lowest(serverSel("soakd_postgres_wal_receiver_up"), "server"), Legend: serverLegend("")}},
			EmptyWhen:   "on a primary, and where soakd's role may not read pg_stat_wal_receiver",
		},
		{
			Title: "Replay paused", Unit: "none", Width: 12, Limits: ZeroToOne, Texts: yesNo, EmptyWhen: "on a primary",
			Description: "On a replica, whether somebody has paused its replay. It stays paused until pg_wal_replay_resume(), and reads from it grow old meanwhile.",
			Targets:     []Target{ofServer("soakd_postgres_replay_paused", "")},
		},
		{
			Title: "Lag of each replica", Unit: "s", Width: 8, EmptyWhen: alone + ", and while they are idle",
			Description: "Time until each of a primary's replicas had written, flushed and replayed recent log. write high: the network; flush above write: its disk; replay above flush: its CPU, or a read that stands in the way.",
			Targets:     []Target{ofServer("soakd_postgres_replica_lag_seconds", "", "replica", "stage")},
		},
		{
			Title: "Lag of each replica in bytes", Unit: "bytes", Width: 8, EmptyWhen: alone,
			Description: "Log that each of a primary's replicas was not sent, or has not written, flushed or replayed yet. sent that climbs: the network or the replica does not take it; replay alone: it cannot keep up with replaying.",
			Targets:     []Target{ofServer("soakd_postgres_replica_lag_bytes", "", "replica", "stage")},
		},
		{
			Title: "State of each replica", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: yesNo, EmptyWhen: alone,
			Description: "Whether each of a primary's replicas streams, or still catches up, and whether commits wait for it. A synchronous one that is slow makes every commit of the API slow; with none left, commits stand still.",
			Targets: []Target{
				{Query: lowest(serverSel("soakd_postgres_replica_streaming"), "server", "replica"), Legend: serverLegend("streams:", "replica")},
				ofServer("soakd_postgres_replica_synchronous", "synchronous:", "replica"),
			},
		},
		{
			Title: "Log kept for replication slots", Unit: "bytes", Width: 12, EmptyWhen: noSlots,
			Description: "Log that the server keeps for each replication slot. One that climbs without end fills the disk, and the server stops: bring its receiver back, drop the slot, or set max_slot_wal_keep_size.",
			Targets:     []Target{ofServer("soakd_postgres_replication_slot_retained_bytes", "", "slot")},
		},
		{
			Title: "State of replication slots", Unit: "none", Width: 12, Limits: ZeroToOne, Texts: yesNo, EmptyWhen: noSlots,
			Description: "Whether somebody receives from a slot, and whether log that it needed is lost. Not in use: it only holds log back. Lost: its replica has to be built anew.",
			Targets: []Target{
				{Query: lowest(serverSel("soakd_postgres_replication_slot_active"), "server", "slot"), Legend: serverLegend("in use:", "slot")},
				ofServer("soakd_postgres_replication_slot_lost", "lost:", "slot"),
			},
		},
	}
}

func postgresProbePanels() []Panel {
	return []Panel{
		{
			Title: "soakd's wait for a connection", Unit: "s", Width: 8,
			Description: "Time that soakd's probe waited for a connection of its own pool, with the connect when none was open. High again and again: the server accepts slowly, or closes soakd's connections.",
			Targets:     []Target{ofServer("soakd_postgres_acquire_seconds", "")},
		},
		{
			Title: "soakd's own pool", Unit: "short", Width: 8,
			Description: "Connections of soakd's probe itself: not the API's pool, which is on the API dashboard. in_use that stays above 0 between polls is a defect of soakd.",
			Targets: []Target{
				ofServer("soakd_postgres_pool_connections", "soakd", "state"),
				{Query: worst(serverSel("soakd_postgres_pool_max_connections"), "server"), Legend: serverLegend("soakd max"), Dashed: true},
			},
		},
		{
			Title: "Through a pooler", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "no", 1: "yes"},
			Description: "Whether soakd reaches the server through a pooler such as PgBouncer. Then applications, states and waits above are those of the pooler's connections: give soakd the server's own address.",
			Targets:     []Target{ofServer("soakd_postgres_behind_pooler", "")},
		},
	}
}

func postgresAlerts() []Alert {
	const saturation = "soakd_postgres_connection_saturation_ratio"
	return []Alert{
		{
			Name: "SoakdPostgresConnectionsHigh", Severity: Ticket, For: "5m", Dashboard: postgresUID,
			Signal: saturation, Condition: "> 0.8",
			Summary: "Postgres {{ $labels.server }} is running out of connections",
			Description: "{{ $value | humanizePercentage }} of the connections that Postgres {{ $labels.server }} has for ordinary roles are taken (limit 80%). " +
				"At 100% the API cannot connect.",
		},
		{
			Name: "SoakdPostgresConnectionsExhausted", Severity: Page, For: "1m", Dashboard: postgresUID,
			Signal: saturation, Condition: "> 0.95",
			Summary: "Postgres {{ $labels.server }} has hardly any connection left",
			Description: "{{ $value | humanizePercentage }} of the connections that Postgres {{ $labels.server }} has for ordinary roles are taken (limit 95%). " +
				"New connections of the API fail or are about to.",
		},
		{
			Name: "SoakdPostgresBlocked", Severity: Ticket, Dashboard: postgresUID,
			Signal:    "soakd_postgres_lock_wait_oldest_seconds\nor\n0 * (soakd_postgres_blocked_backends == 0)",
			Condition: above(lockWaitLimitSeconds),
			Summary:   "A connection to Postgres {{ $labels.server }} waits for a lock",
			Description: "A connection to Postgres {{ $labels.server }} has waited for a lock for {{ $value | humanizeDuration }} (limit 1 minute). " +
				"Requests of the API stand still behind it.",
		},
		{
			Name: "SoakdPostgresBlockedAtEachLook", Severity: Ticket, For: "1m", Dashboard: postgresUID,
			Signal: "soakd_postgres_blocked_backends", Condition: "> 0",
			// From Postgres 14 on a wait has an age, apart from its first moment.
			Only:    "unless on (job, instance, server)\nlast_over_time(soakd_postgres_lock_wait_oldest_seconds[5m])",
			Summary: "Connections to Postgres {{ $labels.server }} wait for locks at each look",
			Description: "{{ $value }} connections to Postgres {{ $labels.server }} wait for a lock, and at each look for a minute there were some. " +
				"Before Postgres 14 nobody can tell whether it is one long wait or many short ones.",
		},
		{
			Name: "SoakdPostgresIdleInTransaction", Severity: Ticket, Dashboard: postgresUID,
			Signal:    "soakd_postgres_idle_in_transaction_oldest_seconds\nor\n0 * (sum by (job, instance, server) (soakd_postgres_backends{" + idleInTransaction + "}) == 0)",
			Condition: above(idleInTransactionLimitSeconds),
			Summary:   "A transaction of Postgres {{ $labels.server }} is held open by a connection that does nothing",
			Description: "A connection to Postgres {{ $labels.server }} has been idle in a transaction for {{ $value | humanizeDuration }} (limit 1 minute). " +
				"It keeps its locks, and dead rows cannot be removed.",
		},
		{
			Name: "SoakdPostgresDeadlocks", Severity: Ticket, Dashboard: postgresUID,
			// The server counts from 0 on: the first deadlock is an increase.
			Signal: gained("soakd_postgres_deadlocks_total", gapOfCounter), Condition: "> 0",
			Summary: "Postgres {{ $labels.server }} broke deadlocks",
			Description: "About {{ printf \"%.0f\" $value }} deadlocks in database {{ $labels.database }} of Postgres {{ $labels.server }} in 15 minutes, or since it was last seen before that, each of which failed a transaction. " +
				"Two code paths take the same locks in another order.",
		},
		{
			Name: "SoakdPostgresReplicationLag", Severity: Ticket, For: "5m", Dashboard: postgresUID,
			Signal:    replicationLag("soakd_postgres_replication_lag_seconds", "soakd_postgres_replica_max_lag_seconds", "soakd_postgres_replicas"),
			Condition: above(replicationLagLimitSeconds),
			Summary:   "Postgres {{ $labels.server }} or one of its replicas is behind",
			Description: "Postgres {{ $labels.server }}, or the furthest of its replicas, is {{ $value | humanizeDuration }} behind its primary (limit 30s). " +
				"What is read from it is that old.",
		},
		{
			Name: "SoakdPostgresReplicaCutOff", Severity: Ticket, For: "2m", Dashboard: postgresUID,
			// A primary needs no receiver. A replica of which it is not known stays absent.
			Signal:    "soakd_postgres_wal_receiver_up\nor\n1 + (soakd_postgres_in_recovery == 0)",
			Condition: "== 0",
			Summary:   "Postgres {{ $labels.server }} is cut off from its primary",
			Description: "The replica {{ $labels.server }} that {{ $labels.instance }} watches has received nothing from its primary for 2 minutes. " +
				"It goes on answering with what it had, and no lag tells.",
		},
	}
}
