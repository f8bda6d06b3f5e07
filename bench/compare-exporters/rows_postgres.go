package main

// ofDatabase picks a column of pg_stat_database of the database that soakd is
// connected to.
func ofDatabase(column string) selector { return pick("pg_stat_database_"+column, "datname", "app") }

const (
	whySampled = "sessions change their state between two readings: two of the work do, and so do the readers"
	whyMillis  = "Postgres counts milliseconds, soakd gives seconds"
)

func postgresTable() table {
	return table{rows: append(append(postgresSessions(), postgresDatabase()...), postgresServer()...), without: postgresWithout()}
}

func postgresSessions() []row {
	state := func(theirs, ours string) row {
		return row{
			signal: "sessions: " + theirs, theirs: pick("pg_stat_activity_count", "state", theirs),
			ours: pick("soakd_postgres_backends", "state", ours), slack: 2, why: whySampled,
		}
	}
	return []row{
		{signal: "server answers", theirs: pick("pg_up"), ours: pick("soakd_probe_success")},
		{signal: "sessions, all", theirs: pick("pg_stat_activity_count"), ours: pick("soakd_postgres_backends"), slack: 1, why: "the exporter opens a session for a scrape"},
		state("active", "active"),
		state("idle", "idle"),
		state("idle in transaction", "idle_in_transaction"),
		state("idle in transaction (aborted)", "idle_in_transaction_aborted"),
		state("fastpath function call", "fastpath"),
		state("disabled", "disabled"),
		{signal: "oldest transaction", theirs: pick("pg_stat_activity_max_tx_duration", "datname", "app", "state", "idle in transaction"), ours: pick("soakd_postgres_oldest_transaction_seconds")},
		{
			signal: "connections allowed", theirs: pick("pg_settings_max_connections"), minus: pick("pg_settings_superuser_reserved_connections"),
			ours: pick("soakd_postgres_max_connections"), why: "soakd takes off those that ordinary roles cannot have",
		},
	}
}

func postgresDatabase() []row {
	plain := func(signal, column, ours string, labels ...string) row {
		return row{signal: signal, theirs: ofDatabase(column), ours: pick("soakd_postgres_"+ours, labels...)}
	}
	seconds := func(signal, column, ours string) row {
		r := plain(signal, column, ours)
		r.scale, r.why = 0.001, whyMillis
		return r
	}
	return []row{
		plain("commits", "xact_commit", "commits_total"),
		plain("rollbacks", "xact_rollback", "rollbacks_total"),
		plain("deadlocks", "deadlocks", "deadlocks_total"),
		plain("recovery conflicts", "conflicts", "recovery_conflicts_total"),
		plain("temporary files", "temp_files", "temp_files_total"),
		plain("temporary bytes", "temp_bytes", "temp_bytes_total"),
		plain("blocks hit", "blks_hit", "blocks_hit_total"),
		plain("blocks read", "blks_read", "blocks_read_total"),
		seconds("time executing", "active_time", "active_seconds_total"),
		seconds("time idle in transaction", "idle_in_transaction_time", "idle_in_transaction_seconds_total"),
		plain("sessions lost by the client", "sessions_abandoned", "sessions_ended_total", "cause", "abandoned"),
		plain("sessions ended by an error", "sessions_fatal", "sessions_ended_total", "cause", "fatal"),
		plain("sessions killed", "sessions_killed", "sessions_ended_total", "cause", "killed"),
	}
}

func postgresServer() []row {
	return []row{
		{signal: "checkpoints, timed", theirs: pick("pg_stat_bgwriter_checkpoints_timed_total"), ours: pick("soakd_postgres_checkpoints_total", "kind", "timed")},
		{signal: "checkpoints, requested", theirs: pick("pg_stat_bgwriter_checkpoints_req_total"), ours: pick("soakd_postgres_checkpoints_total", "kind", "requested")},
		{signal: "server version", theirs: pick("pg_static"), ours: pick("soakd_postgres_server_info")},
	}
}

func postgresWithout() []absence {
	return []absence{
		without("pg_exporter_.*|pg_scrape_collector_.*|postgres_exporter_.*|go_.*|process_.*|promhttp_.*", "of the exporter itself; of soakd there are soakd_probe_* and the like"),
		without("pg_settings_.*", "the server's configuration: soakd reads what it needs for a judgement, the connections that are allowed"),
		without("pg_locks_count", "locks that are held, by mode, say nothing of waiting; soakd has who waits for how long, and who blocks"),
		without("pg_database_size_bytes", "reading the size of all files of a database costs much on a large one; soakd has none"),
	}
}
