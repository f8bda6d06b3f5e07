package main

import "slices"

const (
	whySampled = "sessions change their state between two readings: two of the work do, and so do the readers"
	whyMillis  = "Postgres counts milliseconds, soakd gives seconds"
)

func postgresTable() table {
	return table{
		rows:    slices.Concat(postgresSessions(), postgresDatabase("app"), postgresDatabase("shop"), postgresServer(), postgresReplication()),
		without: postgresWithout(),
	}
}

func postgresSessions() []row {
	state := func(theirs, ours string) row {
		return row{
			signal: "sessions: " + theirs, theirs: pick("pg_stat_activity_count", "state", theirs),
			ours: pick("soakd_postgres_backends", "state", ours), slack: 3, why: whySampled,
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

// postgresDatabase compares the columns of pg_stat_database of one database.
func postgresDatabase(name string) []row {
	plain := func(signal, column, ours string, labels ...string) row {
		return row{
			signal: name + ": " + signal, theirs: pick("pg_stat_database_"+column, "datname", name),
			ours: pick("soakd_postgres_"+ours, append([]string{"database", name}, labels...)...),
		}
	}
	seconds := func(signal, column, ours string, labels ...string) row {
		r := plain(signal, column, ours, labels...)
		r.scale, r.why = 0.001, whyMillis
		return r
	}
	backends := plain("sessions", "numbackends", "database_backends")
	backends.slack, backends.why = 1, "the exporter opens a session for a scrape"
	rows := []row{
		backends,
		plain("commits", "xact_commit", "commits_total"),
		plain("rollbacks", "xact_rollback", "rollbacks_total"),
		plain("deadlocks", "deadlocks", "deadlocks_total"),
		plain("recovery conflicts", "conflicts", "recovery_conflicts_total"),
		plain("temporary files", "temp_files", "temp_files_total"),
		plain("temporary bytes", "temp_bytes", "temp_bytes_total"),
		plain("blocks hit", "blks_hit", "blocks_hit_total"),
		plain("blocks read", "blks_read", "blocks_read_total"),
		seconds("time reading blocks", "blk_read_time", "block_seconds_total", "operation", "read"),
		seconds("time writing blocks", "blk_write_time", "block_seconds_total", "operation", "write"),
		plain("sessions begun", "sessions", "sessions_total"),
		seconds("time of sessions", "session_time", "session_seconds_total"),
		seconds("time executing", "active_time", "active_seconds_total"),
		seconds("time idle in transaction", "idle_in_transaction_time", "idle_in_transaction_seconds_total"),
		plain("sessions lost by the client", "sessions_abandoned", "sessions_ended_total", "cause", "abandoned"),
		plain("sessions ended by an error", "sessions_fatal", "sessions_ended_total", "cause", "fatal"),
		plain("sessions killed", "sessions_killed", "sessions_ended_total", "cause", "killed"),
	}
	for _, operation := range []string{"returned", "fetched", "inserted", "updated", "deleted"} {
		rows = append(rows, plain("rows "+operation, "tup_"+operation, "rows_total", "operation", operation))
	}
	return rows
}

func postgresServer() []row {
	writer := func(signal, theirs, ours string, labels ...string) row {
		return row{signal: signal, theirs: pick("pg_stat_bgwriter_" + theirs), ours: pick("soakd_postgres_"+ours, labels...)}
	}
	seconds := func(r row) row {
		r.scale, r.why = 0.001, whyMillis
		return r
	}
	return []row{
		writer("checkpoints, timed", "checkpoints_timed_total", "checkpoints_total", "kind", "timed"),
		writer("checkpoints, requested", "checkpoints_req_total", "checkpoints_total", "kind", "requested"),
		seconds(writer("checkpoints, writing", "checkpoint_write_time_total", "checkpoint_seconds_total", "phase", "write")),
		seconds(writer("checkpoints, syncing", "checkpoint_sync_time_total", "checkpoint_seconds_total", "phase", "sync")),
		writer("buffers written by checkpoints", "buffers_checkpoint_total", "buffers_written_total", "by", "checkpointer"),
		writer("buffers written in the background", "buffers_clean_total", "buffers_written_total", "by", "background_writer"),
		writer("buffers written by sessions", "buffers_backend_total", "buffers_written_total", "by", "backend"),
		writer("buffers allocated", "buffers_alloc_total", "buffers_allocated_total"),
		writer("background writer stopped", "maxwritten_clean_total", "background_writer_stops_total"),
		wholeSeconds(writer("reset of these statistics", "stats_reset_total", "statistics_reset_timestamp_seconds", "view", "pg_stat_bgwriter")),
		wholeSeconds(row{signal: "reset of the database's", theirs: pick("pg_stat_database_stats_reset", "datname", "app"), ours: pick("soakd_postgres_statistics_reset_timestamp_seconds", "view", "pg_stat_database")}),
		{signal: "log archived", theirs: pick("pg_stat_archiver_archived_count"), ours: pick("soakd_postgres_wal_archived_total", "result", "ok")},
		{signal: "log not archived", theirs: pick("pg_stat_archiver_failed_count"), ours: pick("soakd_postgres_wal_archived_total", "result", "failed")},
		{signal: "server version", theirs: pick("pg_static"), ours: pick("soakd_postgres_server_info")},
	}
}

func wholeSeconds(r row) row {
	r.slack, r.why = 1, "the exporter gives whole seconds"
	return r
}

func postgresReplication() []row {
	return []row{{
		signal: "lag of the replica in bytes", theirs: pick("pg_stat_replication_pg_wal_lsn_diff"), ours: pick("soakd_postgres_replica_lag_bytes", "stage", "replay"),
		slack: 1 << 20, why: "goes up with each write and down with each word of the replica",
	}}
}

func postgresWithout() []absence {
	return []absence{
		without("pg_exporter_.*|pg_scrape_collector_.*|postgres_exporter_.*|go_.*|process_.*|promhttp_.*", "of the exporter itself; of soakd there are soakd_probe_* and the like"),
		without("pg_settings_.*", "the server's configuration: soakd reads what it needs for a judgement, the connections that are allowed"),
		without("pg_locks_count", "locks by mode, held or not, say nothing of waiting; soakd has the locks that are waited for, for how long, and who blocks whom"),
		without("pg_database_size_bytes", "reading the size of all files of a database costs much on a large one; soakd has none"),
		without("pg_stat_database_conflicts_confl_.*", "conflicts on a replica by their cause; both have their sum"),
		without("pg_stat_database_checksum_.*", "no number on either side where checksums are off, as here"),
		without("pg_stat_archiver_last_archive_age", "no number where nothing was archived, as here; the rate of the files that are archived tells the same"),
		without("pg_stat_bgwriter_buffers_backend_fsync_total", "gone from Postgres 17 on; soakd has who syncs what in soakd_postgres_io_operations_total, from Postgres 16 on"),
		without("pg_stat_replication_pg_current_wal_lsn_bytes", "a position in the log; its rate is that of soakd_postgres_wal_bytes_total"),
		without("pg_stat_replication_reply_time", "when the replica last spoke; soakd has its lag in seconds, and whether it streams"),
	}
}
