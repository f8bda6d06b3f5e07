package postgres

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

func openCanary(t *testing.T, address secret.String) probes.Probe {
	t.Helper()
	config := CanaryKind().Config.(*CanaryConfig)
	config.URL = address
	return probetest.OpenOne(t, config)
}

// as returns address for another role.
func as(t *testing.T, address secret.String, role, password string) secret.String {
	t.Helper()
	parsed, err := url.Parse(address.Value())
	must(t, err)
	parsed.User = url.UserPassword(role, password)
	return secret.New(parsed.String())
}

// scalar runs a query that gives one number.
func scalar(t *testing.T, conn *pgx.Conn, query string) int {
	t.Helper()
	var n int
	must(t, conn.QueryRow(t.Context(), query).Scan(&n))
	return n
}

const canaryRows = "SELECT count(*)::int FROM soakd_canary.canary"

func canaryCount(operation string) string {
	return `soakd_postgres_canary_seconds{operation="` + operation + `"}`
}

func canaryFailures(operation string) string {
	return `soakd_postgres_canary_failures_total{operation="` + operation + `"}`
}

func canaryWrong(cause string) string {
	return `soakd_postgres_canary_wrong_reads_total{cause="` + cause + `"}`
}

// wantFailure polls once and wants a failure for a reason, with a text.
func wantFailure(t *testing.T, probe probes.Probe, reason probes.Reason, text string) probetest.Values {
	t.Helper()
	values, err := probetest.Poll(t, probe, 2*time.Second)
	if probes.ReasonOf(err) != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("failed for %q with %v; want %q with %q", probes.ReasonOf(err), err, reason, text)
	}
	return values
}

func wantValues(t *testing.T, got probetest.Values, want map[string]float64) {
	t.Helper()
	for series, value := range want {
		if found, ok := got[series]; !ok || found != value {
			t.Errorf("%s is %v (there: %v), want %v", series, found, ok, value)
		}
	}
}

func TestRealCanary(t *testing.T) {
	server := startServer(t)
	t.Run("needs a table that it may not make", func(t *testing.T) { testCanaryRights(t, server) })
	t.Run("read-only role", func(t *testing.T) { testCanaryReadOnly(t, server) })
	t.Run("values", func(t *testing.T) { testCanaryValues(t, server) })
	t.Run("what others left", func(t *testing.T) { testCanarySweep(t, server) })
	t.Run("what it left itself", func(t *testing.T) { testCanaryOwnRow(t, server) })
	t.Run("wrong reads", func(t *testing.T) { testCanaryWrongReads(t, server) })
	t.Run("table dropped", func(t *testing.T) { testCanaryDropped(t, server) })
	t.Run("several at once", func(t *testing.T) { testCanaries(t, server) })
	t.Run("a thousand polls", func(t *testing.T) { testCanaryThousand(t, server) })
	t.Run("wrong password", func(t *testing.T) { testCanaryPassword(t, server) })
	t.Run("changed password", func(t *testing.T) { testCanaryNewPassword(t, server) })
	t.Run("away, hung, back", func(t *testing.T) { testCanaryOutage(t, server) })
}

// psql runs a file of deploy.
func psql(t *testing.T, address secret.String, file string, variables ...string) {
	t.Helper()
	args := []string{"-X", "-q", "-d", address.Value(), "-f", "../../../deploy/" + file}
	for _, variable := range variables {
		args = append(args, "-v", variable)
	}
	output, err := exec.CommandContext(t.Context(), "psql", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("psql (Debian: postgresql-client) with %s: %v\n%s", file, err, output)
	}
}

// wantNotShown: pg_stat_statements keeps statements that make roles as they were
// typed, and shows them to every role with pg_monitor.
func wantNotShown(t *testing.T, admin *pgx.Conn, text string) {
	t.Helper()
	var shown string
	must(t, admin.QueryRow(t.Context(), "SELECT coalesce(string_agg(query, '; '), '') FROM pg_stat_statements WHERE strpos(query, $1) > 0", text).Scan(&shown))
	if shown != "" {
		t.Errorf("pg_stat_statements shows %s", shown)
	}
}

// testCanaryRights runs the role through: nothing there, the file of deploy, and
// only the rights that this gives.
func testCanaryRights(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CREATE ROLE plain LOGIN PASSWORD 'pw'")
	probe := openCanary(t, as(t, server.URL(), "plain", "pw"))
	values := wantFailure(t, probe, probes.ReasonPermission, "run deploy/postgres-canary.sql as the database's owner")
	wantValues(t, values, map[string]float64{
		canaryFailures("prepare"): 1, canaryFailures("connect"): 0, canaryFailures("write"): 0, canaryFailures("read"): 0, canaryFailures("delete"): 0,
		canaryCount("write"): 0, canaryCount("read"): 0, canaryCount("delete"): 0, canaryWrong("missing"): 0, canaryWrong("mismatch"): 0,
	})
	for range 2 { // it may be run again
		psql(t, server.AdminURL(), "postgres-canary.sql", "role=plain")
	}
	values = mustPoll(t, probe)
	wantValues(t, values, map[string]float64{canaryFailures("prepare"): 1, canaryCount("write"): 1, canaryCount("read"): 1, canaryCount("delete"): 1})
	run(t, admin, "DROP OWNED BY plain; DROP ROLE plain; DROP SCHEMA soakd_canary CASCADE")

	psql(t, server.AdminURL(), "postgres-canary.sql", "password=it's")
	wantNotShown(t, admin, "PASSWORD 'it''s'")
	mustPoll(t, openCanary(t, as(t, server.URL(), "soakd_canary", "it's")))
	run(t, admin, "DROP OWNED BY soakd_canary; DROP ROLE soakd_canary; DROP SCHEMA soakd_canary CASCADE")
}

func testCanaryReadOnly(t *testing.T, server *localservices.Postgres) {
	wantFailure(t, openCanary(t, server.MonitorURL()), probes.ReasonUnavailable, "give the primary and a role that may write")
}

func testCanaryValues(t *testing.T, server *localservices.Postgres) {
	probe := openCanary(t, server.URL())
	probetest.CheckDescriptions(t, probe)
	mustPoll(t, probe)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	start := time.Now()
	reading, err := probe.Poll(ctx)
	took := time.Since(start)
	must(t, err)
	if reading.Cost.Queries != 3 || reading.Cost.Time <= 0 || reading.Cost.Time > took {
		t.Errorf("a poll of %v cost %+v, want three queries", took, reading.Cost)
	}
	for _, sample := range reading.Samples {
		if sample.Times == nil {
			continue
		}
		if n, sum := sample.Times.Histogram.Count(), sample.Times.Histogram.Sum(); n != 2 || sum <= 0 {
			t.Errorf("%s %v: %d times, together %v", sample.Desc.Name, sample.Labels, n, sum)
		}
	}
	observer := connect(t, server.AdminURL(), "observer")
	if n := scalar(t, observer, canaryRows); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if n := scalar(t, observer, "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'soakd'"); n != 1 {
		t.Errorf("%d sessions, want one", n)
	}
	watching := open(t, server.MonitorURL(), nil)
	for range 3 {
		mustPoll(t, watching)
		mustPoll(t, probe)
	}
	if n := scalar(t, observer, "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'soakd'"); n != 2 {
		t.Errorf("%d sessions beside the reading probe, want two", n)
	}
}

func testCanarySweep(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, `INSERT INTO soakd_canary.canary (id, instance, value, written) VALUES
		(-1, 'killed', 'x', now() - interval '61 minutes'), (-2, 'killed', 'y', now() - interval '2 days'), (-3, 'alive', 'z', now() - interval '59 minutes')`)
	values := mustPoll(t, openCanary(t, server.URL()))
	wantValues(t, values, map[string]float64{"soakd_postgres_canary_swept_rows_total": 2})
	if n := scalar(t, admin, "SELECT min(id)::int FROM soakd_canary.canary"); n != -3 || scalar(t, admin, canaryRows) != 1 {
		t.Errorf("the row of an instance that may live is gone: %d", n)
	}
	run(t, admin, "DELETE FROM soakd_canary.canary")
}

// trigger makes one that is there until the test is over or off is called.
func trigger(t *testing.T, conn *pgx.Conn, event, body string) (off func()) {
	t.Helper()
	run(t, conn, "CREATE FUNCTION soakd_canary.spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "+body+" END $$")
	run(t, conn, "CREATE TRIGGER spoil BEFORE "+event+" ON soakd_canary.canary FOR EACH ROW EXECUTE FUNCTION soakd_canary.spoil()")
	return func() { t.Helper(); run(t, conn, "DROP FUNCTION soakd_canary.spoil CASCADE") }
}

func testCanaryOwnRow(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "INSERT INTO soakd_canary.canary (id, instance, value) VALUES (-1, 'another', 'x')")
	for _, end := range []string{"the next poll", "the end"} {
		probe := openCanary(t, server.URL())
		mustPoll(t, probe)
		off := trigger(t, admin, "DELETE", "RAISE 'not today';")
		values := wantFailure(t, probe, probes.ReasonOther, "delete: ERROR: not today")
		wantValues(t, values, map[string]float64{canaryFailures("delete"): 1, canaryCount("delete"): 1, canaryCount("read"): 2})
		values = wantFailure(t, probe, probes.ReasonOther, "prepare: ERROR: not today") // and writes no second row
		wantValues(t, values, map[string]float64{canaryFailures("prepare"): 1, canaryCount("write"): 2})
		if n := scalar(t, admin, canaryRows); n != 2 {
			t.Fatalf("%d rows, want the one that cannot be deleted and that of another", n)
		}
		off()
		if end == "the end" {
			probe.Close()
		} else {
			mustPoll(t, probe)
		}
		if n := scalar(t, admin, canaryRows); n != 1 {
			t.Errorf("%s left %d rows, want that of another alone", end, n)
		}
	}
	run(t, admin, "DELETE FROM soakd_canary.canary")
}

func testCanaryWrongReads(t *testing.T, server *localservices.Postgres) {
	admin, probe := connect(t, server.AdminURL(), "admin"), openCanary(t, server.URL())
	mustPoll(t, probe)
	off := trigger(t, admin, "INSERT", "NEW.value := 'another'; RETURN NEW;")
	values := wantFailure(t, probe, probes.ReasonCheck, "does not hold what was just written")
	wantValues(t, values, map[string]float64{canaryWrong("mismatch"): 1, canaryWrong("missing"): 0, canaryFailures("read"): 0, canaryCount("read"): 2})
	off()
	off = trigger(t, admin, "INSERT", "RETURN NULL;")
	values = wantFailure(t, probe, probes.ReasonCheck, "is not there")
	wantValues(t, values, map[string]float64{canaryWrong("mismatch"): 1, canaryWrong("missing"): 1, canaryFailures("read"): 0, canaryCount("delete"): 3})
	off()
	mustPoll(t, probe)
	if n := scalar(t, admin, canaryRows); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func testCanaryDropped(t *testing.T, server *localservices.Postgres) {
	admin, probe := connect(t, server.AdminURL(), "admin"), openCanary(t, server.URL())
	mustPoll(t, probe)
	run(t, admin, "DROP SCHEMA soakd_canary CASCADE")
	wantFailure(t, probe, probes.ReasonMissing, "write: ")
	mustPoll(t, probe)
}

// testCanaries lets several instances poll at the same time, some of which
// begin by making the table.
func testCanaries(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "DROP SCHEMA soakd_canary CASCADE")
	all := []probes.Probe{openCanary(t, server.URL()), openCanary(t, server.URL()), openCanary(t, server.URL())}
	var running sync.WaitGroup
	for _, probe := range all {
		running.Go(func() {
			for range 100 {
				if _, err := probetest.Poll(t, probe, 10*time.Second); err != nil {
					t.Errorf("beside others: %v", err)
				}
			}
		})
	}
	running.Wait()
	if n := scalar(t, admin, canaryRows); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// testCanaryThousand polls on a server whose dead rows nothing removes for the
// time.
func testCanaryThousand(t *testing.T, server *localservices.Postgres) {
	admin, probe := connect(t, server.AdminURL(), "admin"), openCanary(t, server.URL())
	mustPoll(t, probe)
	run(t, admin, "ALTER TABLE soakd_canary.canary SET (autovacuum_enabled = off)")
	run(t, admin, "VACUUM soakd_canary.canary")
	for range 1000 {
		mustPoll(t, probe)
	}
	probe.Close() // publishes the session's statistics
	if n := scalar(t, admin, canaryRows); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	// 1000 rows of 100 bytes would fill 13 pages of 8 KiB, and 13 bits more a key.
	size := scalar(t, admin, "SELECT pg_total_relation_size('soakd_canary.canary')::int")
	t.Logf("%d bytes after 1000 polls without a vacuum", size)
	if size > 256<<10 {
		t.Errorf("the table has %d bytes after 1000 polls", size)
	}
	run(t, admin, "VACUUM soakd_canary.canary")
	if n := scalar(t, admin, "SELECT pg_relation_size('soakd_canary.canary')::int"); n != 0 {
		t.Errorf("the table has %d bytes after a vacuum", n)
	}
	wait(t, "the statistics", func() string {
		run(t, admin, "VACUUM soakd_canary.canary") // those of a session that ended may come after it
		inserted := scalar(t, admin, "SELECT n_tup_ins::int FROM pg_stat_user_tables WHERE relid = 'soakd_canary.canary'::regclass")
		live := scalar(t, admin, "SELECT (n_live_tup + n_dead_tup)::int FROM pg_stat_user_tables WHERE relid = 'soakd_canary.canary'::regclass")
		if inserted < 1000 || live != 0 {
			return strconv.Itoa(inserted) + " inserted, live and dead " + strconv.Itoa(live)
		}
		return ""
	})
	run(t, admin, "ALTER TABLE soakd_canary.canary RESET (autovacuum_enabled)")
}

func testCanaryPassword(t *testing.T, server *localservices.Postgres) {
	probe := openCanary(t, as(t, server.URL(), "app", "wr/ng-s3cr3t"))
	values := wantFailure(t, probe, probes.ReasonAuth, "password authentication failed")
	wantValues(t, values, map[string]float64{canaryFailures("connect"): 1})
	if _, err := probetest.Poll(t, probe, time.Second); strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("the password is in %v", err)
	}
}

// testCanaryNewPassword changes the password, and then the file that has it.
func testCanaryNewPassword(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CREATE ROLE rotated LOGIN PASSWORD 'first-s3cr3t'; GRANT CREATE ON DATABASE app TO rotated; GRANT ALL ON SCHEMA soakd_canary TO rotated; GRANT ALL ON soakd_canary.canary TO rotated")
	file := filepath.Join(t.TempDir(), "url")
	put := func(password string) {
		t.Helper()
		must(t, os.WriteFile(file, []byte(as(t, server.URL(), "rotated", password).Value()+"\n"), 0o600))
	}
	put("first-s3cr3t")
	config := CanaryKind().Config.(*CanaryConfig)
	config.URLFile = file
	probe := probetest.OpenOne(t, config)
	mustPoll(t, probe)
	run(t, admin, "ALTER ROLE rotated PASSWORD 'second-s3cr3t'")
	kill := "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'rotated'"
	run(t, admin, kill)
	probetest.Eventually(t, probe, "the old password is refused", func(_ probetest.Values, err error) bool { return probes.ReasonOf(err) == probes.ReasonAuth })
	put("second-s3cr3t")
	mustPoll(t, probe)
	must(t, os.WriteFile(file, []byte("postgres://[nonsense"), 0o600)) // being written: what was there before does
	mustPoll(t, probe)
	put("third-s3cr3t")
	run(t, admin, kill)
	probetest.Eventually(t, probe, "a wrong password is refused", func(_ probetest.Values, err error) bool {
		return probes.ReasonOf(err) == probes.ReasonAuth && !strings.Contains(err.Error(), "s3cr3t")
	})
	run(t, admin, "DROP OWNED BY rotated; DROP ROLE rotated")
}

func testCanaryOutage(t *testing.T, server *localservices.Postgres) {
	proxy := probetest.NewProxy(t, hostOf(t, server.URL()))
	probe, observer := openCanary(t, through(t, server.URL(), proxy)), connect(t, server.AdminURL(), "observer")
	mustPoll(t, probe)
	proxy.Down()
	probetest.Eventually(t, probe, "away", func(v probetest.Values, err error) bool {
		return probes.ReasonOf(err) == probes.ReasonConnect && v[canaryFailures("connect")] > 0
	})
	proxy.Up(hostOf(t, server.URL()))
	mustPoll(t, probe)

	pid := scalar(t, observer, "SELECT pid FROM pg_stat_activity WHERE application_name = 'soakd'")
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	start := time.Now()
	_, err := probetest.Poll(t, probe, 300*time.Millisecond)
	if probes.ReasonOf(err) != probes.ReasonTimeout || time.Since(start) > time.Second {
		t.Errorf("hung: %q after %v: %v", probes.ReasonOf(err), time.Since(start), err)
	}
	must(t, syscall.Kill(pid, syscall.SIGCONT))
	probetest.Eventually(t, probe, "goes on", func(_ probetest.Values, err error) bool { return err == nil })
	wait(t, "the hung session to end", func() string {
		if n := scalar(t, observer, "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'soakd'"); n != 1 {
			return strconv.Itoa(n) + " sessions"
		}
		return ""
	})
	if n := scalar(t, observer, canaryRows); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// The file of deploy and the program must make the same table.
func TestCanaryTableIsTheDeployedOne(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/postgres-canary.sql")
	must(t, err)
	want := strings.Replace(newCanarySQL("SCHEMA").createTable, "SCHEMA.", `:"schema".`, 1) + ";"
	if !strings.Contains(string(text), want) {
		t.Errorf("deploy/postgres-canary.sql lacks:\n%s", want)
	}
}

func TestCanaryConfig(t *testing.T) {
	probetest.CheckConfig(t, CanaryKind)
	if off := CanaryKind().Config; off.Enabled() || off.Validate() != nil || off.Summary() != "" {
		t.Error("the defaults must be off and valid")
	}
	for schema, part := range map[string]string{
		"": "1 to 63", "Canary": "lower-case", "a b": "lower-case", `a"; DROP TABLE x`: "lower-case", "1a": "digit", strings.Repeat("a", 64): "63",
		"public": "own", "pg_temp": "own", "information_schema": "own",
	} {
		err := (&CanaryConfig{Schema: schema}).Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "SOAKD_POSTGRES_CANARY_SCHEMA: ") || !strings.Contains(err.Error(), part) {
			t.Errorf("schema %q: %v", schema, err)
		}
	}
	config := &CanaryConfig{Schema: "s", URL: secret.New("postgres://me:hunter2@[::1:x/db")}
	err := config.Validate()
	if err == nil || !strings.HasPrefix(err.Error(), "SOAKD_POSTGRES_CANARY_URL: ") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	if _, err := config.Open(nil); err == nil {
		t.Error("opened though it is not valid")
	}
	config = &CanaryConfig{Schema: "s", URL: secret.New("postgres://me:hunter2@db.example.com:6543/shop")}
	must(t, config.Validate())
	if got, want := config.Summary(), "db.example.com:6543/shop as me, schema s"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
}
