package postgres

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// makeRole runs the script that the operator runs, and returns what it said.
func makeRole(t *testing.T, server *localservices.Postgres, arguments ...string) (string, error) {
	t.Helper()
	script, err := filepath.Abs("../../../deploy/postgres-role.sql")
	must(t, err)
	arguments = append([]string{"--no-psqlrc", "--quiet", "--file", script, "--dbname", server.AdminURL().Value()}, arguments...)
	said, err := exec.CommandContext(t.Context(), filepath.Join(binFolder(t, server), "psql"), arguments...).CombinedOutput()
	return string(said), err
}

// TestRole: the role of deploy/postgres-role.sql is enough for everything that
// the probe reads and is good for nothing else.
func TestRole(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "DROP EXTENSION pg_stat_statements; DROP ROLE soakd_monitor")
	password := write(t, filepath.Join(t.TempDir(), "password"), "it's \"50 %\"\n")
	for range 2 { // the second time nothing is left to do
		if said, err := makeRole(t, server, "-v", "password_file="+password); err != nil || said != "" {
			t.Fatalf("%v: %s", err, said)
		}
	}
	if said, err := makeRole(t, server, "-v", "password_file="+password+".missing"); err == nil || !strings.Contains(said, "the password is empty") {
		t.Errorf("without the file: %v: %s", err, said)
	}
	if said, err := makeRole(t, server, "-v", "role=Other role", "-v", "password=pw of another"); err != nil || said != "" {
		t.Fatalf("%v: %s", err, said)
	}
	wantNotShown(t, admin, `PASSWORD 'it''s "50 %"'`)
	wantNotShown(t, admin, `PASSWORD 'pw of another'`)
	address := secret.New(withUser(t, server.URL(), "soakd", `it's "50 %"`))
	owner := connect(t, server.URL(), "api")
	run(t, owner, "CREATE TABLE watched (id int); INSERT INTO watched VALUES (1); SELECT id FROM watched")
	opened := open(t, address, func(c *Config) {
		c.Tables = []string{"watched"}
		must(t, c.Statements.Decode("read=SELECT id FROM watched"))
	})
	mustPoll(t, opened)
	values := probetest.Eventually(t, opened, "all is read", func(v probetest.Values, err error) bool {
		_, statements := v[`soakd_postgres_statement_calls_total{statement="read"}`]
		return err == nil && statements
	})
	for _, series := range []string{backends("other", "idle"), "soakd_postgres_blocked_backends", "soakd_postgres_replicas", "soakd_postgres_connection_saturation_ratio", `soakd_postgres_table_live_rows{table="watched"}`} {
		if _, ok := values[series]; !ok {
			t.Errorf("%s is absent", series)
		}
	}
	var connections int
	must(t, admin.QueryRow(t.Context(), "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'soakd'").Scan(&connections))
	if connections != 4 {
		t.Errorf("connection limit %d", connections)
	}
	conn := connect(t, address, "soakd")
	for _, statement := range []string{
		"SELECT * FROM watched", "SET default_transaction_read_only = off", "CREATE TABLE mine (id int)", "INSERT INTO watched VALUES (2)",
		"SELECT rolpassword FROM pg_authid", "COPY (SELECT 1) TO '/tmp/soakd-role'",
	} {
		_, err := conn.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol)
		if allowed := strings.HasPrefix(statement, "SET "); allowed && err != nil || !allowed && probes.ReasonOf(explained(err)) != probes.ReasonPermission {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if _, err := connect(t, address, "soakd").Exec(t.Context(), "CREATE TEMPORARY TABLE mine (id int)", pgx.QueryExecModeSimpleProtocol); probes.ReasonOf(explained(err)) != probes.ReasonUnavailable {
		t.Errorf("read-only by default: %v", err)
	}
	if _, err := probetest.Poll(t, open(t, secret.New(withUser(t, server.URL(), "Other role", "pw of another")), nil), 5*time.Second); err != nil {
		t.Errorf("a role of another name: %v", err)
	}
}

// TestComposeRoles runs what deploy/compose.yaml lets the image of Postgres run.
func TestComposeRoles(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	admin, err := url.Parse(server.AdminURL().Value())
	must(t, err)
	admin.Path = "/postgres"
	run(t, connect(t, secret.New(admin.String()), "admin"), "DROP DATABASE app")
	run(t, connect(t, secret.New(admin.String()), "admin"), "DROP ROLE app")
	secrets := t.TempDir()
	password, _ := admin.User.Password()
	for name, text := range map[string]string{"postgres_password": password, "app_password": "a", "monitor_password": "m"} {
		write(t, filepath.Join(secrets, name), text)
	}
	cmd := exec.CommandContext(t.Context(), "../../../deploy/postgres/roles.sh")
	cmd.Env = append(os.Environ(), "SECRETS_DIR="+secrets, "ROLE_SQL=../../../deploy/postgres-role.sql", "POSTGRES_USER="+admin.User.Username(), "PGHOST="+admin.Hostname(), "PGPORT="+admin.Port(),
		"PATH="+binFolder(t, server)+":"+os.Getenv("PATH"))
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	observer := connect(t, secret.New(withUser(t, server.URL(), admin.User.Username(), password)), "admin")
	wantNotShown(t, observer, "PASSWORD 'a'")
	wantNotShown(t, observer, "PASSWORD 'm'")
	mustPoll(t, open(t, secret.New(withUser(t, server.URL(), "soakd", "m")), func(c *Config) { must(t, c.Statements.Decode("x=x")) }))
	run(t, connect(t, secret.New(withUser(t, server.URL(), "app", "a")), "api"), "CREATE TABLE mine (id int)")
}
