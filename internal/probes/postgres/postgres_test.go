package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func startServer(t *testing.T) *localservices.Postgres {
	t.Helper()
	server, err := localservices.StartPostgres(t.Context(), localservices.Options{Mode: localservices.System, Settings: map[string]string{"deadlock_timeout": "20ms", "max_prepared_transactions": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// connect opens a session as another application would.
func connect(t *testing.T, url secret.String, application string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url.Value())
	must(t, err)
	config.RuntimeParams["application_name"] = application
	config.ConnectTimeout = 20 * time.Second // a server that hangs must not look like a probe that does
	conn, err := pgx.ConnectConfig(t.Context(), config)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// leave ends sessions. A session that stays publishes its statistics only after
// up to 10 s.
func leave(t *testing.T, conns ...*pgx.Conn) {
	t.Helper()
	for _, conn := range conns {
		must(t, conn.Close(t.Context()))
	}
}

func run(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// open opens the probe of one server, without the label that names the server.
func open(t *testing.T, url secret.String, change func(*Config)) probes.Probe {
	t.Helper()
	return openWhole(t, url, change).(*labelled).Probe
}

// openWhole opens the probe of one server as soakd does.
func openWhole(t *testing.T, url secret.String, change func(*Config)) probes.Probe {
	t.Helper()
	config := Kind().Config.(*Config)
	config.URL = url
	if change != nil {
		change(config)
	}
	return probetest.OpenOne(t, config)
}

// through returns address with host and port of proxy.
func through(t *testing.T, address secret.String, proxy *probetest.Proxy) secret.String {
	t.Helper()
	parsed, err := url.Parse(address.Value())
	must(t, err)
	parsed.Host = proxy.Address()
	return secret.New(parsed.String())
}

func hostOf(t *testing.T, address secret.String) string {
	t.Helper()
	parsed, err := url.Parse(address.Value())
	must(t, err)
	return parsed.Host
}

func mustPoll(t *testing.T, probe probes.Probe) probetest.Values {
	t.Helper()
	values, err := probetest.Poll(t, probe, 10*time.Second)
	must(t, err)
	return values
}

// ofApp is a series of the database app.
func ofApp(name string) string { return `soakd_postgres_` + name + `{database="app"}` }

func backends(application, state string) string {
	return fmt.Sprintf(`soakd_postgres_backends{application=%q,state=%q}`, application, state)
}

func TestRealPostgres(t *testing.T) {
	server := startServer(t)
	t.Run("values of a quiet server", func(t *testing.T) { testQuiet(t, server) })
	t.Run("sessions by application and state", func(t *testing.T) { testBackends(t, server) })
	t.Run("a worker that has just begun", func(t *testing.T) { testNewWorker(t, server) })
	t.Run("locks", func(t *testing.T) { testLocks(t, server) })
	t.Run("a chain of locks", func(t *testing.T) { testChain(t, server) })
	t.Run("a prepared transaction", func(t *testing.T) { testPrepared(t, server) })
	t.Run("a replica that replays ahead", func(t *testing.T) { testReplayAhead(t, server) })
	t.Run("slots", func(t *testing.T) { testSlots(t, server) })
	t.Run("checkpoints", func(t *testing.T) { testCheckpoints(t, server) })
	t.Run("a view that is denied, one that is gone", func(t *testing.T) { testViews(t, server) })
	t.Run("deadlocks, commits, rollbacks, temp files", func(t *testing.T) { testDatabase(t, server) })
	t.Run("statements", func(t *testing.T) { testStatements(t, server) })
	t.Run("more statements than are looked at", func(t *testing.T) { testManyStatements(t, server) })
	t.Run("texts that take too long", func(t *testing.T) { testSlowTexts(t, server) })
	t.Run("tables", func(t *testing.T) { testTables(t, server) })
	t.Run("too few rights", func(t *testing.T) { testRights(t, server) })
	t.Run("one query blocked", func(t *testing.T) { testBlockedQuery(t, server) })
	t.Run("wrong password", func(t *testing.T) { testWrongPassword(t, server) })
	t.Run("away, up, away, up", func(t *testing.T) { testOutage(t, server) })
	t.Run("sessions killed", func(t *testing.T) { testKilled(t, server) })
	t.Run("hung", func(t *testing.T) { testHung(t, server) })
	t.Run("read only", func(t *testing.T) { testReadOnly(t, server) })
	t.Run("statistics reset", func(t *testing.T) { testResets(t, server) })
	t.Run("several databases", func(t *testing.T) { testDatabases(t, server) })
	t.Run("sizes", func(t *testing.T) { testSizes(t, server) })
	t.Run("lists on another server", func(t *testing.T) { testListsElsewhere(t, server) })
}

func testQuiet(t *testing.T, server *localservices.Postgres) {
	probe := open(t, server.MonitorURL(), nil)
	probetest.CheckDescriptions(t, probe)
	first, second := mustPoll(t, probe), mustPoll(t, probe)
	for series, want := range map[string]float64{
		"soakd_postgres_max_connections":  57, // 60 less the 3 reserved for superusers
		"soakd_postgres_blocked_backends": 0, "soakd_postgres_blocking_pairs": 0, "soakd_postgres_in_recovery": 0, "soakd_postgres_replicas": 0,
		backends("soakd", "active"): 1, backends("soakd", "idle"): 0, "soakd_postgres_pool_max_connections": 1, "soakd_postgres_behind_pooler": 0,
		`soakd_postgres_pool_connections{state="idle"}`: 1, `soakd_postgres_pool_connections{state="in_use"}`: 0, `soakd_postgres_pool_connections{state="constructing"}`: 0,
		`soakd_postgres_waiting_backends{wait_event_type="lock"}`: 0,
	} {
		if got, ok := second[series]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", series, got, ok, want)
		}
	}
	if got := first[`soakd_postgres_pool_connections{state="idle"}`]; got != 0 {
		t.Errorf("idle before the first poll: %v", got)
	}
	for _, series := range []string{"soakd_postgres_round_trip_seconds", "soakd_postgres_acquire_seconds", ofApp("commits_total"), ofApp("blocks_hit_total"), "soakd_postgres_wal_bytes_total"} {
		if second[series] <= 0 {
			t.Errorf("%s is %v", series, second[series])
		}
	}
	for _, series := range []string{"soakd_postgres_oldest_transaction_seconds", "soakd_postgres_idle_in_transaction_oldest_seconds", "soakd_postgres_lock_wait_oldest_seconds", "soakd_postgres_replication_lag_seconds", "soakd_postgres_replica_max_lag_bytes"} {
		if value, ok := second[series]; ok {
			t.Errorf("%s is %v, want absent", series, value)
		}
	}
	started := time.Unix(int64(second["soakd_postgres_start_time_seconds"]), 0)
	if age := time.Since(started); age < 0 || age > 10*time.Minute {
		t.Errorf("started %v ago", age)
	}
	info := 0.0
	for series, value := range second {
		if strings.HasPrefix(series, `soakd_postgres_server_info{version="1`) {
			info += value
		}
	}
	if info != 1 {
		t.Errorf("server_info: %v", second)
	}
}

func testBackends(t *testing.T, server *localservices.Postgres) {
	probe := open(t, server.MonitorURL(), func(c *Config) { c.Applications = []string{"cashflow-api", "worker"} })
	idle, inTransaction := connect(t, server.URL(), "cashflow-api"), connect(t, server.URL(), "cashflow-api")
	aborted, _, _ := connect(t, server.URL(), "cashflow-api"), connect(t, server.URL(), "somebody"), connect(t, server.URL(), "")
	_ = connect(t, server.URL(), "somebody else")
	run(t, idle, "SELECT 1")
	run(t, inTransaction, "BEGIN; SELECT 1")
	run(t, aborted, "BEGIN")
	_, _ = aborted.Exec(t.Context(), "SELECT 1/0", pgx.QueryExecModeSimpleProtocol)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	reading, err := probe.Poll(ctx)
	must(t, err)
	values := probetest.ValuesOf(t, probe, reading)
	total := 0.0
	for series, want := range map[string]float64{
		backends("cashflow-api", "idle"): 1, backends("cashflow-api", "idle_in_transaction"): 1, backends("cashflow-api", "idle_in_transaction_aborted"): 1,
		backends("cashflow-api", "active"): 0, backends("worker", "idle"): 0, backends("other", "idle"): 2, backends("none", "idle"): 1, backends("soakd", "active"): 1,
	} {
		total += want
		if got, ok := values[series]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", series, got, ok, want)
		}
	}
	if got := values["soakd_postgres_connection_saturation_ratio"]; got != total/57 {
		t.Errorf("saturation %v, want %v of 57", got, total)
	}
	if reading.Overflow != 2 {
		t.Errorf("overflow %d, want the 2 that are not on the list", reading.Overflow)
	}
	first := values["soakd_postgres_idle_in_transaction_oldest_seconds"]
	later := probetest.Eventually(t, probe, "the ages grow", func(v probetest.Values, err error) bool {
		return err == nil && v["soakd_postgres_idle_in_transaction_oldest_seconds"] > first+0.2
	})
	if age := later["soakd_postgres_oldest_transaction_seconds"]; age < later["soakd_postgres_idle_in_transaction_oldest_seconds"]-0.1 || age > 60 {
		t.Errorf("oldest transaction %v s, idle in transaction %v s", age, later["soakd_postgres_idle_in_transaction_oldest_seconds"])
	}
	run(t, inTransaction, "ROLLBACK")
	run(t, aborted, "ROLLBACK")
	after := mustPoll(t, probe)
	if _, ok := after["soakd_postgres_oldest_transaction_seconds"]; ok {
		t.Error("the oldest transaction is still there after all have ended")
	}
}

func testLocks(t *testing.T, server *localservices.Postgres) {
	probe := open(t, server.MonitorURL(), func(c *Config) { c.Applications = []string{"waiter"} })
	holder := connect(t, server.URL(), "holder")
	run(t, holder, "CREATE TABLE locked (id int)")
	run(t, holder, "BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
	done := make(chan error, 2)
	for range 2 {
		waiter := connect(t, server.URL(), "waiter")
		go func() {
			_, err := waiter.Exec(context.Background(), "SELECT * FROM locked")
			done <- err
		}()
	}
	values := probetest.Eventually(t, probe, "two sessions wait", func(v probetest.Values, err error) bool {
		return err == nil && v["soakd_postgres_blocked_backends"] == 2 && v["soakd_postgres_lock_wait_oldest_seconds"] > 0.1
	})
	for series, want := range map[string]float64{
		"soakd_postgres_root_blockers": 1, "soakd_postgres_blocking_chain_depth": 1, `soakd_postgres_waiting_locks{mode="access_share"}`: 2,
		`soakd_postgres_held_locks{mode="access_exclusive"}`:                                                                    1,
		`soakd_postgres_blocking{blocked_application="waiter",blocker_application="other",blocker_state="idle_in_transaction"}`: 2,
		"soakd_postgres_blocking_pairs": 2, `soakd_postgres_waiting_backends{wait_event_type="lock"}`: 2, backends("waiter", "active"): 2,
	} {
		if values[series] != want {
			t.Errorf("%s is %v, want %v", series, values[series], want)
		}
	}
	run(t, holder, "COMMIT; DROP TABLE locked")
	for range 2 {
		if err := <-done; err != nil && !strings.Contains(err.Error(), "does not exist") {
			t.Error(err)
		}
	}
	after := mustPoll(t, probe)
	if _, ok := after["soakd_postgres_lock_wait_oldest_seconds"]; ok || after["soakd_postgres_blocked_backends"] != 0 || after["soakd_postgres_blocking_pairs"] != 0 || after["soakd_postgres_blocking_chain_depth"] != 0 || after["soakd_postgres_root_blockers"] != 0 {
		t.Errorf("after the wait: %v", after)
	}
}

func testDatabase(t *testing.T, server *localservices.Postgres) {
	probe := open(t, server.MonitorURL(), nil)
	before := mustPoll(t, probe)
	one, two := connect(t, server.URL(), "one"), connect(t, server.URL(), "two")
	run(t, one, "CREATE TABLE deadlock (id int PRIMARY KEY, n int); INSERT INTO deadlock VALUES (1, 0), (2, 0)")
	run(t, one, "BEGIN; UPDATE deadlock SET n = 1 WHERE id = 1")
	run(t, two, "BEGIN; UPDATE deadlock SET n = 1 WHERE id = 2")
	done := make(chan error, 1)
	go func() {
		_, err := one.Exec(context.Background(), "UPDATE deadlock SET n = 2 WHERE id = 2")
		done <- err
	}()
	_, err := two.Exec(t.Context(), "UPDATE deadlock SET n = 2 WHERE id = 1")
	if other := <-done; (err == nil) == (other == nil) {
		t.Fatalf("no deadlock: %v, %v", err, other)
	}
	run(t, one, "ROLLBACK")
	run(t, two, "ROLLBACK")
	run(t, one, "SET work_mem = '64kB'; SELECT count(*) FROM (SELECT g FROM generate_series(1, 100000) AS g ORDER BY md5(g::text)) AS sorted")
	run(t, one, "DROP TABLE deadlock")
	leave(t, one, two)
	after := probetest.Eventually(t, probe, "the deadlock is counted", func(v probetest.Values, err error) bool {
		return err == nil && v[ofApp("deadlocks_total")] == before[ofApp("deadlocks_total")]+1 && v[ofApp("temp_bytes_total")] > before[ofApp("temp_bytes_total")] &&
			v[ofApp("rollbacks_total")] >= before[ofApp("rollbacks_total")]+2
	})
	if after[ofApp("commits_total")] <= before[ofApp("commits_total")] || after["soakd_postgres_wal_bytes_total"] <= before["soakd_postgres_wal_bytes_total"] || after[ofApp("temp_files_total")] <= before[ofApp("temp_files_total")] {
		t.Errorf("before %v\nafter %v", before, after)
	}
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CHECKPOINT")
	const requested = `soakd_postgres_checkpoints_total{kind="requested"}`
	probetest.Eventually(t, probe, "the checkpoint is counted", func(v probetest.Values, err error) bool { return err == nil && v[requested] > after[requested] })
}

func testStatements(t *testing.T, server *localservices.Postgres) {
	api := connect(t, server.URL(), "api")
	run(t, api, "CREATE TABLE watched (id int)")
	run(t, api, "INSERT INTO watched VALUES (1)") // before soakd: does not count
	opened := open(t, server.MonitorURL(), func(c *Config) {
		must(t, c.Statements.Decode("insert=INSERT INTO watched;read=~(?i)^select .* from watched;never=no such text"))
	})
	clock := time.Now()
	statementsOf(opened).now = func() time.Time { return clock }
	value := func(v probetest.Values, kind, name string) float64 {
		got, ok := v[fmt.Sprintf("soakd_postgres_statement_%s_total{statement=%q}", kind, name)]
		if !ok {
			return -1
		}
		return got
	}
	first := mustPoll(t, opened)
	if value(first, "calls", "insert") != 0 || value(first, "calls", "read") != 0 || value(first, "calls", "never") != 0 {
		t.Errorf("first poll: %v", first)
	}
	for range 3 {
		run(t, api, "INSERT INTO watched VALUES (2), (3)")
	}
	run(t, api, "INSERT INTO watched VALUES (2)")
	for range 5 {
		run(t, api, "SELECT id FROM watched")
	}
	clock = clock.Add(resolveInterval) // new texts are looked for
	second := mustPoll(t, opened)
	if got := fmt.Sprint(value(second, "calls", "insert"), value(second, "rows", "insert"), value(second, "calls", "read"), value(second, "rows", "read"), value(second, "calls", "never")); got != "4 7 5 40 0" {
		t.Errorf("insert calls and rows, read calls and rows, never: %s, want 4 7 5 40 0", got)
	}
	if value(second, "seconds", "read") <= 0 || value(second, "seconds", "read") > 1 {
		t.Errorf("seconds: %v", value(second, "seconds", "read"))
	}
	run(t, connect(t, server.AdminURL(), "admin"), "SELECT pg_stat_statements_reset()")
	run(t, api, "SELECT id FROM watched")
	third := mustPoll(t, opened)
	if got := fmt.Sprint(value(third, "calls", "insert"), value(third, "calls", "read")); got != "4 6" {
		t.Errorf("after a reset: %s, want 4 6", got)
	}
	run(t, api, "DROP TABLE watched")

	run(t, connect(t, server.AdminURL(), "admin"), "DROP EXTENSION pg_stat_statements")
	clock = clock.Add(resolveInterval)
	_, _ = probetest.Poll(t, opened, 5*time.Second) // finds it gone
	values, err := probetest.Poll(t, opened, 5*time.Second)
	if err == nil || probes.ReasonOf(err) != probes.ReasonMissing || !strings.Contains(err.Error(), "statements: the extension pg_stat_statements is not in this database") || len(values) < 40 {
		t.Errorf("without the extension: %v, %d values", err, len(values))
	}
	if quiet := mustPoll(t, open(t, server.MonitorURL(), nil)); len(quiet) < 40 {
		t.Errorf("not asked for: %d values", len(quiet))
	}
	run(t, connect(t, server.AdminURL(), "admin"), "CREATE EXTENSION pg_stat_statements")
}

func testManyStatements(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	api := connect(t, server.URL(), "api")
	run(t, admin, "SELECT pg_stat_statements_reset()")
	run(t, api, "CREATE TABLE busy (id int)")
	run(t, api, "CREATE TABLE idle (id int)")
	run(t, api, "SELECT id FROM idle")
	opened := open(t, server.MonitorURL(), func(c *Config) {
		must(t, c.Statements.Decode("busy=SELECT id FROM busy;idle=SELECT id FROM idle"))
	})
	st := statementsOf(opened)
	clock := time.Now()
	st.now, st.maxTexts = func() time.Time { return clock }, 1
	poll := func() (probes.Reading, probetest.Values) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		reading, err := opened.Poll(ctx)
		must(t, err)
		return reading, probetest.ValuesOf(t, opened, reading)
	}
	const busyCalls, idleCalls = `soakd_postgres_statement_calls_total{statement="busy"}`, `soakd_postgres_statement_calls_total{statement="idle"}`
	for range 500 { // by far the most of all
		run(t, api, "SELECT id FROM busy")
	}
	first, values := poll()
	if len(st.matched) != 1 || values[busyCalls] != 0 {
		t.Errorf("matched %v, %v calls; want the one executed most often, and none", st.matched, values[busyCalls])
	}
	clock = clock.Add(resolveInterval / 2)
	quiet, _ := poll()
	if first.Overflow-quiet.Overflow != 1 {
		t.Errorf("overflow %d with a look at the texts, %d without; want one more", first.Overflow, quiet.Overflow)
	}
	for range 3 {
		run(t, api, "SELECT id FROM busy")
	}
	clock = clock.Add(resolveInterval)
	st.maxTexts = maxTexts
	all, values := poll()
	if values[busyCalls] != 3 || values[idleCalls] != 0 || all.Overflow != quiet.Overflow {
		t.Errorf("busy %v, idle %v, overflow %d; want 3, 0 (its call was before soakd) and %d", values[busyCalls], values[idleCalls], all.Overflow, quiet.Overflow)
	}
	run(t, api, "SELECT id FROM idle")
	if _, values = poll(); values[idleCalls] != 1 {
		t.Errorf("idle %v, want 1", values[idleCalls])
	}
	run(t, api, "DROP TABLE busy, idle")
}

func statementsOf(opened probes.Probe) *statements { return opened.(*probe).statements }

func testTables(t *testing.T, server *localservices.Postgres) {
	api := connect(t, server.URL(), "api")
	run(t, api, "CREATE SCHEMA s; CREATE TABLE loans (id int PRIMARY KEY); CREATE TABLE s.loans (id int); ALTER TABLE loans SET (autovacuum_enabled = off)")
	run(t, api, "INSERT INTO loans SELECT generate_series(1, 100)")
	run(t, api, "DELETE FROM loans WHERE id <= 30")
	run(t, api, "SELECT count(*) FROM s.loans")
	leave(t, api)
	api = connect(t, server.URL(), "api")
	probe := open(t, server.MonitorURL(), func(c *Config) { c.Tables = []string{"loans", " s.loans"} })
	values := probetest.Eventually(t, probe, "the rows are counted", func(v probetest.Values, err error) bool {
		return err == nil && v[`soakd_postgres_table_dead_rows{table="loans"}`] == 30
	})
	if values[`soakd_postgres_table_live_rows{table="loans"}`] != 70 || values[`soakd_postgres_table_sequential_scans_total{table="s.loans"}`] != 1 {
		t.Errorf("%v", values)
	}
	if _, ok := values[`soakd_postgres_table_index_scans_total{table="s.loans"}`]; ok {
		t.Error("index scans of a table without an index")
	}
	const pages, ofEmpty = `soakd_postgres_table_pages{table="loans"}`, `soakd_postgres_table_pages{table="s.loans"}`
	for _, series := range []string{pages, ofEmpty} {
		if n, ok := values[series]; ok {
			t.Errorf("%s is %v, though neither vacuum nor analyze has looked", series, n)
		}
	}
	run(t, api, "VACUUM loans")
	run(t, api, "VACUUM s.loans")
	values = probetest.Eventually(t, probe, "the pages that vacuum found", func(v probetest.Values, err error) bool {
		n, ok := v[ofEmpty]
		return err == nil && ok && n == 0
	})
	if values[pages] != 1 {
		t.Errorf("%v pages, want 1", values[pages])
	}
	run(t, api, "DROP TABLE s.loans")
	values, err := probetest.Poll(t, probe, 5*time.Second)
	if err == nil || !strings.Contains(err.Error(), "tables: not in this database: s.loans") || values[`soakd_postgres_table_live_rows{table="loans"}`] != 70 {
		t.Errorf("a table that is gone: %v, %v", err, values)
	}
	run(t, api, "DROP TABLE loans; DROP SCHEMA s")
}

func testRights(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CREATE ROLE nobody_special LOGIN PASSWORD 'pw'")
	address, err := url.Parse(server.MonitorURL().Value())
	must(t, err)
	address.User = url.UserPassword("nobody_special", "pw")
	probe := open(t, secret.New(address.String()), func(c *Config) { must(t, c.Statements.Decode("x=x")) })
	values, err := probetest.Poll(t, probe, 5*time.Second)
	if err == nil || !strings.Contains(err.Error(), "activity: "+errHidden.Error()) || !strings.Contains(err.Error(), "statements: the role does not see other roles' statements") {
		t.Errorf("error %v", err)
	}
	if _, ok := values["soakd_postgres_connection_saturation_ratio"]; ok || values["soakd_postgres_max_connections"] != 57 || values[ofApp("commits_total")] <= 0 {
		t.Errorf("values %v", values)
	}
	for series := range values {
		if strings.HasPrefix(series, "soakd_postgres_backends") {
			t.Errorf("%s though most sessions are hidden", series)
		}
	}
	run(t, admin, "GRANT pg_monitor TO nobody_special")
	if _, err := probetest.Poll(t, probe, 5*time.Second); err != nil {
		t.Errorf("with pg_monitor only: %v", err)
	}
}

func testBlockedQuery(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	opened := open(t, server.MonitorURL(), func(c *Config) { c.StatementTimeout = 2 * time.Second })
	mustPoll(t, opened)
	opened.(*probe).offers.expire()
	run(t, admin, "BEGIN; LOCK TABLE pg_extension IN ACCESS EXCLUSIVE MODE")
	start := time.Now()
	values, err := probetest.Poll(t, opened, 10*time.Second)
	if err == nil || !strings.Contains(err.Error(), "catalogue: ERROR: canceling statement due to lock timeout") || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if values["soakd_postgres_max_connections"] != 57 || values[ofApp("commits_total")] <= 0 {
		t.Errorf("the others are lost: %v", values)
	}
	run(t, admin, "ROLLBACK")
	if after := mustPoll(t, opened); after[`soakd_postgres_pool_connections{state="idle"}`] != 1 {
		t.Errorf("the connection was lost over a lock: %v", after)
	}
}

func testWrongPassword(t *testing.T, server *localservices.Postgres) {
	for name, address := range map[string]string{
		"URL": "postgres://soakd_monitor:wr%2Fng-s3cr3t@" + hostOf(t, server.MonitorURL()) + "/app?sslmode=disable",
		"DSN": func() string {
			host, port, _ := strings.Cut(hostOf(t, server.MonitorURL()), ":")
			return fmt.Sprintf("host=%s port=%s user=soakd_monitor password=wr/ng-s3cr3t dbname=app sslmode=disable", host, port)
		}(),
	} {
		_, err := probetest.Poll(t, open(t, secret.New(address), nil), 5*time.Second)
		if err == nil || !strings.Contains(err.Error(), "password authentication failed") || strings.Contains(fmt.Sprintf("%v %+v", err, err), "s3cr3t") || len(err.Error()) > 300 {
			t.Errorf("%s: %v", name, err)
		}
		var connectErr interface{ Unwrap() error }
		if errors.As(err, &connectErr) {
			t.Errorf("%s: the driver's error, which holds the configuration, can be reached", name)
		}
	}
}

func testOutage(t *testing.T, server *localservices.Postgres) {
	proxy := probetest.NewProxy(t, hostOf(t, server.MonitorURL()))
	proxy.Down()
	probe := open(t, through(t, server.MonitorURL(), proxy), nil)
	for range 2 {
		for range 5 {
			if values, err := probetest.Poll(t, probe, time.Second); err == nil || !strings.Contains(err.Error(), "refused") || len(values) != 0 {
				t.Fatalf("away: %v, %v", err, values)
			}
		}
		proxy.Up(hostOf(t, server.MonitorURL()))
		mustPoll(t, probe) // at once: no failed poll after it came back
		mustPoll(t, probe)
		if n := proxy.Connections(); n != 1 {
			t.Errorf("%d connections", n)
		}
		proxy.Down()
		// A cut connection is noticed: by the first poll or before it.
		if _, err := probetest.Poll(t, probe, time.Second); err == nil {
			t.Error("no error though it is away")
		}
	}
}

func testKilled(t *testing.T, server *localservices.Postgres) {
	probe := open(t, server.MonitorURL(), nil)
	mustPoll(t, probe)
	run(t, connect(t, server.AdminURL(), "admin"), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'soakd'")
	probetest.Eventually(t, probe, "a new session", func(_ probetest.Values, err error) bool { return err == nil })
}

func testHung(t *testing.T, server *localservices.Postgres) {
	opened := open(t, server.MonitorURL(), nil)
	mustPoll(t, opened)
	var pid int
	must(t, connect(t, server.AdminURL(), "admin").QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = 'soakd' AND state = 'idle'").Scan(&pid))
	// The postmaster, so that nobody new gets in, and the probe's own session.
	signal := func(s syscall.Signal) {
		t.Helper()
		must(t, syscall.Kill(server.PID(), s))
		must(t, syscall.Kill(pid, s))
	}
	signal(syscall.SIGSTOP)
	stopped := true
	defer func() {
		if stopped {
			signal(syscall.SIGCONT)
		}
	}()
	for range 4 {
		start := time.Now()
		if _, err := probetest.Poll(t, opened, 300*time.Millisecond); err == nil || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
			t.Errorf("hung: %v after %v", err, time.Since(start))
		}
	}
	if total := opened.(*probe).pool.Stat().TotalConns(); total > readConnections {
		t.Errorf("%d connections pile up", total)
	}
	signal(syscall.SIGCONT)
	stopped = false
	probetest.Eventually(t, opened, "goes on", func(_ probetest.Values, err error) bool { return err == nil })
}

// wait waits until found has nothing to tell.
func wait(t *testing.T, what string, found func() string) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left := found()
		if left == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited 20 s for %s: %s", what, left)
		}
	}
}

func testReadOnly(t *testing.T, server *localservices.Postgres) {
	opened := open(t, server.URL(), nil).(*probe) // the owner's role: only the session's settings hold it back
	_, err := opened.pool.Exec(t.Context(), "CREATE TABLE mine (id int)")
	if err == nil || !strings.Contains(err.Error(), "read-only transaction") {
		t.Errorf("a write: %v", err)
	}
	_, err = opened.pool.Exec(t.Context(), "SELECT pg_sleep(60)")
	if err == nil || !strings.Contains(err.Error(), "statement timeout") {
		t.Errorf("a long query: %v", err)
	}
}

// testResets resets every kind of statistics between two polls: counters fall or
// go on, and soakd's own totals neither fall nor jump.
func testResets(t *testing.T, server *localservices.Postgres) {
	admin, api := connect(t, server.AdminURL(), "admin"), connect(t, server.URL(), "api")
	run(t, api, "CREATE TABLE counted (id int)")
	opened := open(t, server.MonitorURL(), func(c *Config) {
		must(t, c.Statements.Decode("insert=INSERT INTO counted"))
		c.Tables = []string{"counted"}
	})
	for range 3 {
		run(t, api, "INSERT INTO counted VALUES (1)")
	}
	before := mustPoll(t, opened)
	for range 5 {
		run(t, api, "INSERT INTO counted VALUES (1)")
	}
	const calls = `soakd_postgres_statement_calls_total{statement="insert"}`
	if grown := mustPoll(t, opened)[calls] - before[calls]; grown != 5 {
		t.Fatalf("the statement's calls grew by %v, want 5", grown)
	}
	before = mustPoll(t, opened)
	run(t, admin, "SELECT pg_stat_statements_reset()")
	for _, what := range []string{"bgwriter", "archiver", "wal"} {
		run(t, admin, "SELECT pg_stat_reset_shared('"+what+"')")
	}
	run(t, admin, "SELECT pg_stat_reset()")
	// More calls than before the reset: only the time of the reset tells of it.
	for range 20 {
		run(t, api, "INSERT INTO counted VALUES (1)")
	}
	after := probetest.Eventually(t, opened, "the resets are seen", func(v probetest.Values, err error) bool {
		return err == nil && v[`soakd_postgres_statistics_resets_total{view="pg_stat_database"}`] == 1
	})
	for _, view := range []string{"pg_stat_statements_info", "pg_stat_bgwriter", "pg_stat_archiver", "pg_stat_wal", "pg_stat_database"} {
		label := `{view="` + view + `"}`
		if got := after["soakd_postgres_statistics_resets_total"+label]; got != 1 {
			t.Errorf("%s: %v resets seen, want 1", view, got)
		}
		if at := after["soakd_postgres_statistics_reset_timestamp_seconds"+label]; at <= before["soakd_postgres_statistics_reset_timestamp_seconds"+label] || at > float64(time.Now().Unix()+1) {
			t.Errorf("%s was reset at %v", view, at)
		}
	}
	if grown := after[calls] - before[calls]; grown != 20 {
		t.Errorf("over the reset the statement's calls grew by %v, want 20", grown)
	}
	for series, value := range after {
		if value < 0 {
			t.Errorf("%s is %v", series, value)
		}
	}
	run(t, api, "DROP TABLE counted")
}

func testDatabases(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CREATE DATABASE second")
	probe := open(t, server.MonitorURL(), func(c *Config) { c.Databases = []string{" second", "third"} })
	values, err := probetest.Poll(t, probe, 5*time.Second)
	if err == nil || !strings.Contains(err.Error(), "databases: not on this server: third") || probes.ReasonOf(err) != probes.ReasonMissing {
		t.Errorf("a database that is not there: %v, reason %s", err, probes.ReasonOf(err))
	}
	for _, name := range []string{"app", "second"} {
		if _, ok := values[`soakd_postgres_commits_total{database="`+name+`"}`]; !ok {
			t.Errorf("no commits of %s", name)
		}
	}
	if _, ok := values[`soakd_postgres_commits_total{database="postgres"}`]; ok {
		t.Error("a database that nobody asked for")
	}
	run(t, admin, "DROP DATABASE second")
}

func testSizes(t *testing.T, server *localservices.Postgres) {
	opened := open(t, server.MonitorURL(), nil)
	clock := time.Now()
	for _, one := range opened.(*probe).parts {
		if z, ok := one.(*sizes); ok {
			z.now = func() time.Time { return clock }
		}
	}
	const series = `soakd_postgres_database_bytes{database="app"}`
	before := mustPoll(t, opened)[series]
	api := connect(t, server.URL(), "api")
	run(t, api, "CREATE TABLE large AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 2000)")
	if again := mustPoll(t, opened)[series]; again != before {
		t.Errorf("read again within a minute: %v after %v", again, before)
	}
	clock = clock.Add(sizesInterval)
	var want float64
	must(t, api.QueryRow(t.Context(), "SELECT pg_database_size('app')").Scan(&want))
	if after := mustPoll(t, opened)[series]; after != want || after < before+2e6 {
		t.Errorf("%v, want %v, 2 MB more than %v", after, want, before)
	}
	run(t, api, "DROP TABLE large")
}

// What the lists name is missed on the main server, and not on one beside it.
func testListsElsewhere(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CREATE DATABASE elsewhere TEMPLATE template0")
	address, err := url.Parse(server.MonitorURL().Value())
	must(t, err)
	address.Path = "/elsewhere" // without the extension and the table
	config := Kind().Config.(*Config)
	config.URL, config.Servers = secret.New(address.String()), secret.New("beside="+address.String())
	config.Tables = []string{"nowhere"}
	must(t, config.Statements.Decode("x=SELECT"))
	opened := probetest.Open(t, config)
	_, missing := probetest.Poll(t, opened[0], 5*time.Second)
	if missing == nil || !strings.Contains(missing.Error(), "nowhere") || !strings.Contains(missing.Error(), "pg_stat_statements") {
		t.Errorf("on the main server: %v", missing)
	}
	values, err := probetest.Poll(t, opened[1], 5*time.Second)
	if err != nil || values[`soakd_postgres_max_connections{server="beside"}`] != 57 {
		t.Errorf("beside it: %v, %v", err, values)
	}
	for _, probe := range opened {
		probe.Close()
	}
	run(t, admin, "DROP DATABASE elsewhere")
}
