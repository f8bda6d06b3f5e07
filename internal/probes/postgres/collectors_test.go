package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// testChain lets one session wait for another that itself waits for a third.
func testChain(t *testing.T, server *localservices.Postgres) {
	probe := open(t, server.MonitorURL(), func(c *Config) { c.Applications = []string{"first", "second", "third"} })
	first, second, third := connect(t, server.URL(), "first"), connect(t, server.URL(), "second"), connect(t, server.URL(), "third")
	run(t, first, "CREATE TABLE chained (id int PRIMARY KEY, n int); INSERT INTO chained VALUES (1, 0), (2, 0)")
	run(t, first, "BEGIN; UPDATE chained SET n = 1 WHERE id = 1")
	run(t, second, "BEGIN; UPDATE chained SET n = 1 WHERE id = 2")
	done := make(chan error, 2)
	for conn, id := range map[*pgx.Conn]int{second: 1, third: 2} {
		go func() {
			_, err := conn.Exec(context.Background(), "UPDATE chained SET n = 2 WHERE id = $1", pgx.QueryExecModeExec, id)
			done <- err
		}()
	}
	values := probetest.Eventually(t, probe, "both wait", func(v probetest.Values, err error) bool {
		return err == nil && v["soakd_postgres_blocked_backends"] == 2 && v["soakd_postgres_blocking_pairs"] == 2
	})
	for series, want := range map[string]float64{
		"soakd_postgres_blocked_backends": 2, "soakd_postgres_root_blockers": 1, "soakd_postgres_blocking_chain_depth": 2,
		`soakd_postgres_blocking{blocked_application="second",blocker_application="first",blocker_state="idle_in_transaction"}`: 1,
		`soakd_postgres_blocking{blocked_application="third",blocker_application="second",blocker_state="active"}`:              1,
		`soakd_postgres_waiting_locks{mode="share"}`:            2, // for the end of a transaction
		`soakd_postgres_waiting_locks{mode="access_exclusive"}`: 0,
	} {
		if got, ok := values[series]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", series, got, ok, want)
		}
	}
	run(t, first, "COMMIT")
	must(t, <-done) // the second's: the third still waits for it
	run(t, second, "COMMIT")
	must(t, <-done)
	after := mustPoll(t, probe)
	if after["soakd_postgres_root_blockers"] != 0 || after["soakd_postgres_blocking_chain_depth"] != 0 {
		t.Errorf("after the wait: %v roots, depth %v", after["soakd_postgres_root_blockers"], after["soakd_postgres_blocking_chain_depth"])
	}
	run(t, first, "DROP TABLE chained")
}

// testPrepared lets a session wait for a prepared transaction, which belongs to
// no session.
func testPrepared(t *testing.T, server *localservices.Postgres) {
	probe := open(t, server.MonitorURL(), func(c *Config) { c.Applications = []string{"waiter"} })
	before := mustPoll(t, probe)
	if n, ok := before["soakd_postgres_prepared_transactions"]; !ok || n != 0 {
		t.Errorf("%v prepared transactions (%v), want 0", n, ok)
	}
	if age, ok := before["soakd_postgres_prepared_transaction_oldest_seconds"]; ok {
		t.Errorf("the oldest of none is %v s old", age)
	}
	owner, waiter := connect(t, server.URL(), "owner"), connect(t, server.URL(), "waiter")
	run(t, owner, "CREATE TABLE held (id int)")
	run(t, owner, "BEGIN")
	run(t, owner, "LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
	run(t, owner, "PREPARE TRANSACTION 'forgotten'")
	leave(t, owner)
	done := make(chan error, 1)
	go func() {
		_, err := waiter.Exec(context.Background(), "SELECT * FROM held")
		done <- err
	}()
	const blocking = `soakd_postgres_blocking{blocked_application="waiter",blocker_application="prepared",blocker_state="prepared"}`
	values := probetest.Eventually(t, probe, "a session waits", func(v probetest.Values, err error) bool { return err == nil && v[blocking] == 1 })
	if values["soakd_postgres_prepared_transactions"] != 1 || values["soakd_postgres_prepared_transaction_oldest_seconds"] <= 0 || values["soakd_postgres_root_blockers"] != 1 {
		t.Errorf("%v", values)
	}
	owner = connect(t, server.URL(), "owner")
	run(t, owner, "ROLLBACK PREPARED 'forgotten'")
	must(t, <-done)
	run(t, owner, "DROP TABLE held")
}

// testSlots keeps log for a receiver that never comes.
func testSlots(t *testing.T, server *localservices.Postgres) {
	probe := open(t, server.MonitorURL(), nil)
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "SELECT pg_create_physical_replication_slot('away', true), pg_create_physical_replication_slot('mine_4711', true, true)")
	slot := func(name, of string) string {
		return fmt.Sprintf(`soakd_postgres_replication_slot_%s{slot=%q}`, name, of)
	}
	before := mustPoll(t, probe)
	for series, want := range map[string]float64{
		slot("active", "away"): 0, slot("lost", "away"): 0,
		slot("active", other): 1, // the temporary one, of this very session
	} {
		if got, ok := before[series]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", series, got, ok, want)
		}
	}
	run(t, admin, "CREATE TABLE logged AS SELECT generate_series(1, 10000) AS id")
	// The log is written a moment after the transaction.
	probetest.Eventually(t, probe, "the slot keeps the log of 10000 rows", func(v probetest.Values, err error) bool {
		return err == nil && v[slot("retained_bytes", "away")]-before[slot("retained_bytes", "away")] >= 100000
	})
	run(t, admin, "DROP TABLE logged; SELECT pg_drop_replication_slot('away'), pg_drop_replication_slot('mine_4711')")
	if left, ok := mustPoll(t, probe)[slot("active", "away")]; ok {
		t.Errorf("a slot that is gone is %v", left)
	}
}

func testCheckpoints(t *testing.T, server *localservices.Postgres) {
	probe := open(t, server.MonitorURL(), nil)
	admin := connect(t, server.AdminURL(), "admin")
	before := mustPoll(t, probe)
	const requested, written = `soakd_postgres_checkpoints_total{kind="requested"}`, `soakd_postgres_buffers_written_total{by="checkpointer"}`
	run(t, admin, "CREATE TABLE dirty AS SELECT generate_series(1, 10000) AS id")
	run(t, admin, "CHECKPOINT")
	after := probetest.Eventually(t, probe, "the checkpoint is counted", func(v probetest.Values, err error) bool {
		return err == nil && v[requested] == before[requested]+1 && v[written] > before[written]
	})
	if pages := after[written] - before[written]; pages < 40 { // 10000 rows are 45 pages
		t.Errorf("%v pages were written, want those of the table", pages)
	}
	for _, phase := range []string{"write", "sync"} {
		series := fmt.Sprintf(`soakd_postgres_checkpoint_seconds_total{phase=%q}`, phase)
		if now, ok := after[series]; !ok || now < before[series] {
			t.Errorf("%s is %v (%v), was %v", series, now, ok, before[series])
		}
	}
	run(t, admin, "DROP TABLE dirty")
}

// testViews takes a view of the server away while it is watched: first the right
// to it, then the view itself, as on a server that never had it.
func testViews(t *testing.T, server *localservices.Postgres) {
	opened := open(t, server.MonitorURL(), nil).(*probe)
	admin := connect(t, server.AdminURL(), "admin")
	const archived, wal, commits = `soakd_postgres_wal_archived_total{result="ok"}`, "soakd_postgres_wal_bytes_total", `soakd_postgres_commits_total{database="app"}`
	poll := func(what, wantErr string, want ...bool) {
		t.Helper()
		values, err := probetest.Poll(t, opened, 5*time.Second)
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%s: error %v, want %q", what, err, wantErr)
		}
		for i, series := range []string{archived, wal, commits} {
			if _, ok := values[series]; ok != want[i] {
				t.Errorf("%s: %s is there: %v", what, series, ok)
			}
		}
	}
	poll("as it is", "", true, true, true)
	run(t, admin, "REVOKE SELECT ON pg_stat_archiver FROM public")
	poll("denied", "cluster: ERROR: permission denied for view pg_stat_archiver", false, false, true)
	run(t, admin, "GRANT SELECT ON pg_stat_archiver TO public")
	poll("granted", "", true, true, true)
	run(t, admin, "SET allow_system_table_mods = on; ALTER VIEW pg_catalog.pg_stat_archiver RENAME TO pg_stat_away")
	poll("gone", `cluster: ERROR: relation "pg_stat_archiver" does not exist`, false, false, true)
	poll("known to be gone", "", false, true, true)
	run(t, admin, "ALTER VIEW pg_catalog.pg_stat_away RENAME TO pg_stat_archiver")
	opened.offers.expire() // as after a minute
	poll("back", "", true, true, true)
}

func TestErrorsOfTheCatalogue(t *testing.T) {
	answer := func(code string) error { return fmt.Errorf("statements: %w", &pgconn.PgError{Code: code}) }
	if got := probes.ReasonOf(explained(notLoaded(answer("55000")))); got != probes.ReasonMissing {
		t.Errorf("a library that is not loaded is %q", got)
	}
	if err := answer("42501"); notLoaded(err) != err { //nolint:errorlint // the very same
		t.Error("another error was changed")
	}
	for code, want := range map[string]bool{"42P01": true, "42703": true, "42883": true, "42501": false, "57014": false} {
		if got := contradicts(errors.Join(errors.New("x"), answer(code))); got != want {
			t.Errorf("%s contradicts the catalogue: %v", code, got)
		}
	}
	if contradicts(errNoStatements) {
		t.Error("what the catalogue itself says contradicts it")
	}
}

// BenchmarkPollOfABusyServer polls a server that has 1000 other sessions, of
// which each has one of 20 names.
func BenchmarkPollOfABusyServer(b *testing.B) {
	server, err := localservices.StartPostgres(b.Context(), localservices.Options{Mode: localservices.System, Settings: map[string]string{"max_connections": "1050"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	})
	config, err := pgx.ParseConfig(server.URL().Value())
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		config.RuntimeParams["application_name"] = fmt.Sprintf("worker-%d", i%20)
		conn, err := pgx.ConnectConfig(b.Context(), config)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	kind := Kind().Config.(*Config)
	kind.URL, kind.Tables = server.MonitorURL(), []string{"pgbench_accounts"}
	probe := probetest.OpenOne(b, kind)
	reading := probes.Reading{}
	for b.Loop() {
		reading, _ = probe.Poll(b.Context()) // the table is not there, which costs as much
		if len(reading.Samples) < 40 {
			b.Fatal("hardly anything was read")
		}
	}
	b.ReportMetric(float64(reading.Cost.Queries), "queries/op")
	b.ReportMetric(float64(reading.Cost.Time.Microseconds()), "µs-in-queries/op")
}

// testReplayAhead: a replica that begins to receive again does so from the start
// of a segment that it may have replayed in part. What it replayed last may be
// old on a quiet primary, and is no lag.
func testReplayAhead(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, `CREATE SCHEMA ahead;
CREATE FUNCTION ahead.pg_last_wal_receive_lsn() RETURNS pg_lsn LANGUAGE sql AS $$ SELECT '0/3000000'::pg_lsn $$;
CREATE FUNCTION ahead.pg_last_wal_replay_lsn() RETURNS pg_lsn LANGUAGE sql AS $$ SELECT '0/3000148'::pg_lsn $$;
CREATE FUNCTION ahead.pg_last_xact_replay_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT now() - interval '1 day' $$;
SET search_path = ahead, pg_catalog`)
	r := newReplication(new(probes.Descs))
	for _, c := range r.replica {
		if c.desc.Name != "soakd_postgres_replication_lag_seconds" {
			continue
		}
		var lag float64
		must(t, admin.QueryRow(t.Context(), "SELECT coalesce("+c.sql()+", -1) FROM (SELECT 1 AS streaming, 0 AS hidden) AS receiver").Scan(&lag))
		if lag != 0 {
			t.Errorf("the lag is %v, want 0", lag)
		}
	}
	run(t, admin, "RESET search_path; DROP SCHEMA ahead CASCADE")
}

// testSlowTexts: texts that cannot be read in time are tried again after a
// minute, not at each poll, and the statements that are known go on.
func testSlowTexts(t *testing.T, server *localservices.Postgres) {
	admin, api := connect(t, server.AdminURL(), "admin"), connect(t, server.URL(), "api")
	run(t, api, "CREATE TABLE slow (id int)")
	run(t, api, "SELECT id FROM slow")
	opened := open(t, server.MonitorURL(), func(c *Config) {
		c.StatementTimeout = 100 * time.Millisecond
		must(t, c.Statements.Decode("slow=SELECT id FROM slow"))
	})
	clock := time.Now()
	statementsOf(opened).now = func() time.Time { return clock }
	poll := func(want probes.Reason) (values probetest.Values, queries int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		reading, err := opened.Poll(ctx)
		if probes.ReasonOf(err) != want {
			t.Errorf("%v, want reason %q", err, want)
		}
		return probetest.ValuesOf(t, opened, reading), reading.Cost.Queries
	}
	const calls = `soakd_postgres_statement_calls_total{statement="slow"}`
	first, _ := poll("")
	run(t, admin, "BEGIN; LOCK TABLE pg_stat_statements IN ACCESS EXCLUSIVE MODE")
	run(t, api, "SELECT id FROM slow")
	clock = clock.Add(resolveInterval)
	blocked, tried := poll(probes.ReasonTimeout)
	if grown := blocked[calls] - first[calls]; grown != 1 {
		t.Errorf("without the texts the calls grew by %v, want 1", grown)
	}
	clock = clock.Add(resolveInterval / 2)
	if _, queries := poll(probes.ReasonTimeout); queries != tried-1 {
		t.Errorf("%d queries after one of %d: the texts were asked for again", queries, tried)
	}
	run(t, admin, "ROLLBACK")
	clock = clock.Add(resolveInterval / 2)
	if _, queries := poll(""); queries != tried {
		t.Errorf("%d queries, want %d", queries, tried)
	}
	run(t, api, "DROP TABLE slow")
}

// testNewWorker: a background worker has no backend_type for a moment, until the
// postmaster has noted its process; that is no lack of rights.
func testNewWorker(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, `CREATE SCHEMA worker;
CREATE VIEW worker.pg_stat_activity AS SELECT pid, application_name, state, wait_event_type, xact_start, query_start, state_change, query,
	nullif(backend_type, 'checkpointer') AS backend_type FROM pg_catalog.pg_stat_activity;
GRANT USAGE ON SCHEMA worker TO PUBLIC; GRANT SELECT ON worker.pg_stat_activity TO PUBLIC`)
	values := mustPoll(t, open(t, secret.New(server.MonitorURL().Value()+"&search_path=worker,pg_catalog"), nil))
	if n := values[backends("soakd", "active")]; n != 1 {
		t.Errorf("%v active sessions of soakd, want 1", n)
	}
	run(t, admin, "DROP SCHEMA worker CASCADE")
}
