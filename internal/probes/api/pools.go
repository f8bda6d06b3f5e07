package api

import "slices"

// poolAliases are the names of database connection pools. Some pools have no
// exporter of their own: theirs are the names of the pools' methods or fields,
// which services use by custom.
func poolAliases() []alias {
	return slices.Concat(
		goPools(),
		pythonPools(),
		jvmPools(),
		nodePools(),
		rustPools(),
		dotnetPools(),
		openTelemetryPools(),
	)
}

// exportedBy is who exports the metrics of a pool.
type exportedBy struct{ pool, languages, library string }

// of makes the pool's alias of a target for what: a state of its connections, or
// waits, wait (the seconds) or timeouts.
func (s exportedBy) of(what, target string, changes ...func(*alias)) alias {
	a := alias{metric: poolConnections, labels: []string{s.pool, what}, target: target, languages: s.languages, library: s.library}
	switch what {
	case "waits":
		a.metric, a.labels = poolWaits, a.labels[:1]
	case "wait":
		a.metric, a.labels = poolWaitSeconds, a.labels[:1]
	case "timeouts":
		a.metric, a.labels = poolTimeouts, a.labels[:1]
	}
	for _, change := range changes {
		change(&a)
	}
	return a
}

// less subtracts a second sample: of all connections, those that are idle.
func less(target string) func(*alias) { return func(a *alias) { a.minus = target } }

// with wants a label value.
func with(name, value string) func(*alias) {
	return func(a *alias) { a.match = map[string]string{name: value} }
}

// in gives the unit, in seconds.
func in(seconds float64) func(*alias) { return func(a *alias) { a.scale = seconds } }

// zeroIsNoLimit says that 0 is no number of connections.
func zeroIsNoLimit(a *alias) { a.zeroIsNone = true }

func goPools() []alias {
	pgx := exportedBy{"pgxpool", "Go", "pgxpoolprometheus, pgxpool-prometheus and by custom"}
	sql := exportedBy{"database_sql", "Go", "client_golang's DBStatsCollector; otelsql"}
	return []alias{
		pgx.of("in_use", "pgxpool_acquired_conns"),
		pgx.of("idle", "pgxpool_idle_conns"),
		pgx.of("max", "pgxpool_max_conns"),
		pgx.of("waiting", "pgxpool_waiting_acquires"),
		pgx.of("waits", "pgxpool_empty_acquire"),
		pgx.of("waits", "pgxpool_empty_acquire_total"),
		pgx.of("waits", "pgxpool_empty_acquire_count_total"),
		pgx.of("wait", "pgxpool_empty_acquire_wait_time_seconds_total"),
		pgx.of("wait", "pgxpool_empty_acquire_wait_time_ns", in(1e-9)),
		pgx.of("wait", "pgxpool_acquire_duration_seconds_total"),
		pgx.of("wait", "pgxpool_acquire_duration_ns", in(1e-9)),
		pgx.of("timeouts", "pgxpool_canceled_acquire_count"),
		pgx.of("timeouts", "pgxpool_canceled_acquire_count_total"),
		sql.of("in_use", "go_sql_in_use_connections"),
		sql.of("idle", "go_sql_idle_connections"),
		sql.of("max", "go_sql_max_open_connections", zeroIsNoLimit),
		sql.of("waits", "go_sql_wait_count_total"),
		sql.of("wait", "go_sql_wait_duration_seconds_total"),
		sql.of("in_use", "db_sql_connection_open", with("status", "inuse")),
		sql.of("idle", "db_sql_connection_open", with("status", "idle")),
		sql.of("max", "db_sql_connection_max_open", zeroIsNoLimit),
		sql.of("waits", "db_sql_connection_wait_total"),
		sql.of("wait", "db_sql_connection_wait_duration_milliseconds_total", in(1e-3)),
	}
}

func pythonPools() []alias {
	sqlalchemy := exportedBy{"sqlalchemy", "Python", "by custom, after the methods of its pool"}
	asyncpg := exportedBy{"asyncpg", "Python", "by custom, after the methods of its pool"}
	psycopg := exportedBy{"psycopg_pool", "Python", "by custom, after the keys of its get_stats()"}
	return []alias{
		sqlalchemy.of("in_use", "sqlalchemy_pool_checkedout"),
		sqlalchemy.of("idle", "sqlalchemy_pool_checkedin"),
		sqlalchemy.of("max", "sqlalchemy_pool_size"),
		sqlalchemy.of("waiting", "sqlalchemy_pool_waiting"),
		sqlalchemy.of("waits", "sqlalchemy_pool_waits_total"),
		sqlalchemy.of("wait", "sqlalchemy_pool_wait_seconds_sum"),
		sqlalchemy.of("timeouts", "sqlalchemy_pool_timeouts_total"),
		asyncpg.of("in_use", "asyncpg_pool_in_use"),
		asyncpg.of("in_use", "asyncpg_pool_size", less("asyncpg_pool_idle_size")),
		asyncpg.of("in_use", "asyncpg_pool_size", less("asyncpg_pool_idle")),
		asyncpg.of("idle", "asyncpg_pool_idle"),
		asyncpg.of("idle", "asyncpg_pool_idle_size"),
		asyncpg.of("max", "asyncpg_pool_max_size"),
		asyncpg.of("waiting", "asyncpg_pool_waiting"),
		asyncpg.of("waits", "asyncpg_pool_waits_total"),
		asyncpg.of("wait", "asyncpg_pool_wait_seconds_sum"),
		asyncpg.of("timeouts", "asyncpg_pool_timeouts_total"),
		psycopg.of("in_use", "psycopg_pool_pool_size", less("psycopg_pool_pool_available")),
		psycopg.of("idle", "psycopg_pool_pool_available"),
		psycopg.of("max", "psycopg_pool_pool_max"),
		psycopg.of("waiting", "psycopg_pool_requests_waiting"),
		psycopg.of("waits", "psycopg_pool_requests_queued"),
		psycopg.of("waits", "psycopg_pool_requests_queued_total"),
		psycopg.of("wait", "psycopg_pool_requests_wait_ms", in(1e-3)),
		psycopg.of("wait", "psycopg_pool_requests_wait_ms_total", in(1e-3)),
		psycopg.of("timeouts", "psycopg_pool_requests_errors"),
		psycopg.of("timeouts", "psycopg_pool_requests_errors_total"),
	}
}

func jvmPools() []alias {
	hikari := exportedBy{"hikaricp", "JVM", "Micrometer; simpleclient"}
	r2dbc := exportedBy{"r2dbc", "JVM", "Micrometer, Spring Boot"}
	agroal := exportedBy{"agroal", "JVM", "Micrometer, Quarkus"}
	jdbc := exportedBy{"jdbc", "JVM", "Micrometer, Spring Boot: pools of other kinds"}
	return []alias{
		hikari.of("in_use", "hikaricp_connections_active"),
		hikari.of("idle", "hikaricp_connections_idle"),
		hikari.of("max", "hikaricp_connections_max"),
		hikari.of("waiting", "hikaricp_connections_pending"),
		hikari.of("waits", "hikaricp_connections_acquire_seconds_count"),
		hikari.of("wait", "hikaricp_connections_acquire_seconds_sum"),
		hikari.of("timeouts", "hikaricp_connections_timeout_total"),
		hikari.of("in_use", "hikaricp_active_connections"),
		hikari.of("idle", "hikaricp_idle_connections"),
		hikari.of("max", "hikaricp_max_connections"),
		hikari.of("waiting", "hikaricp_pending_threads"),
		hikari.of("waits", "hikaricp_connection_acquired_nanos_count"),
		hikari.of("wait", "hikaricp_connection_acquired_nanos_sum", in(1e-9)),
		hikari.of("timeouts", "hikaricp_connection_timeout_total"),
		r2dbc.of("in_use", "r2dbc_pool_acquired_connections"),
		r2dbc.of("idle", "r2dbc_pool_idle_connections"),
		r2dbc.of("max", "r2dbc_pool_max_allocated_connections"),
		r2dbc.of("waiting", "r2dbc_pool_pending_connections"),
		agroal.of("in_use", "agroal_active_count"),
		agroal.of("idle", "agroal_available_count"),
		agroal.of("waiting", "agroal_awaiting_count"),
		jdbc.of("in_use", "jdbc_connections_active"),
		jdbc.of("idle", "jdbc_connections_idle"),
		jdbc.of("max", "jdbc_connections_max", zeroIsNoLimit),
	}
}

func nodePools() []alias {
	pg := exportedBy{"pg_pool", "Node", "node-postgres by custom, after the properties of its pool"}
	knex := exportedBy{"knex", "Node", "tarn, which knex and sequelize use, by custom"}
	prisma := exportedBy{"prisma", "Node", "Prisma's metrics"}
	return []alias{
		pg.of("in_use", "pg_pool_total_count", less("pg_pool_idle_count")),
		pg.of("idle", "pg_pool_idle_count"),
		pg.of("max", "pg_pool_max"),
		pg.of("waiting", "pg_pool_waiting_count"),
		knex.of("in_use", "knex_pool_used"),
		knex.of("idle", "knex_pool_free"),
		knex.of("max", "knex_pool_max"),
		knex.of("waiting", "knex_pool_pending_acquires"),
		prisma.of("in_use", "prisma_pool_connections_busy"),
		prisma.of("idle", "prisma_pool_connections_idle"),
		prisma.of("waiting", "prisma_client_queries_wait"),
		prisma.of("waits", "prisma_client_queries_wait_histogram_ms_count"),
		prisma.of("wait", "prisma_client_queries_wait_histogram_ms_sum", in(1e-3)),
	}
}

func rustPools() []alias {
	sqlx := exportedBy{"sqlx", "Rust", "by custom, after the methods of its pool"}
	deadpool := exportedBy{"deadpool", "Rust", "by custom, after the fields of its status"}
	bb8 := exportedBy{"bb8", "Rust", "by custom, after the fields of its state"}
	return []alias{
		sqlx.of("in_use", "sqlx_pool_size", less("sqlx_pool_num_idle")),
		sqlx.of("in_use", "sqlx_pool_connections_open", less("sqlx_pool_connections_idle")),
		sqlx.of("idle", "sqlx_pool_num_idle"),
		sqlx.of("idle", "sqlx_pool_connections_idle"),
		sqlx.of("max", "sqlx_pool_max_connections"),
		deadpool.of("in_use", "deadpool_size", less("deadpool_available")),
		deadpool.of("idle", "deadpool_available"),
		deadpool.of("max", "deadpool_max_size"),
		deadpool.of("waiting", "deadpool_waiting"),
		bb8.of("in_use", "bb8_connections", less("bb8_idle_connections")),
		bb8.of("idle", "bb8_idle_connections"),
		bb8.of("max", "bb8_max_size"),
		bb8.of("waits", "bb8_get_waited_total"),
		bb8.of("wait", "bb8_get_wait_time_seconds_total"),
		bb8.of("timeouts", "bb8_get_timed_out_total"),
	}
}

func dotnetPools() []alias {
	npgsql := exportedBy{"npgsql", ".NET", "prometheus-net, event counters (up to Npgsql 7)"}
	return []alias{
		npgsql.of("in_use", "npgsql_busy_connections"),
		npgsql.of("idle", "npgsql_idle_connections"),
	}
}

func openTelemetryPools() []alias {
	otel := exportedBy{"opentelemetry", "OpenTelemetry, JVM, .NET, Python, Node, Go", "database instrumentation, Npgsql 8 and later"}
	return []alias{
		otel.of("in_use", "db_client_connection_count", with("db_client_connection_state", "used")),
		otel.of("in_use", "db_client_connection_count", with("state", "used")),
		otel.of("in_use", "db_client_connections_usage", with("state", "used")),
		otel.of("idle", "db_client_connection_count", with("db_client_connection_state", "idle")),
		otel.of("idle", "db_client_connection_count", with("state", "idle")),
		otel.of("idle", "db_client_connections_usage", with("state", "idle")),
		otel.of("max", "db_client_connection_max"),
		otel.of("max", "db_client_connections_max"),
		otel.of("waiting", "db_client_connection_pending_requests"),
		otel.of("waiting", "db_client_connections_pending_requests"),
		otel.of("waits", "db_client_connection_wait_time_seconds_count"),
		otel.of("waits", "db_client_connection_wait_time_count"),
		otel.of("waits", "db_client_connections_wait_time_milliseconds_count"),
		otel.of("wait", "db_client_connection_wait_time_seconds_sum"),
		otel.of("wait", "db_client_connection_wait_time_sum"),
		otel.of("wait", "db_client_connections_wait_time_milliseconds_sum", in(1e-3)),
		otel.of("timeouts", "db_client_connection_timeouts_total"),
		otel.of("timeouts", "db_client_connections_timeouts_total"),
	}
}
