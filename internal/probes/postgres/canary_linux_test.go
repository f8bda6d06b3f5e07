package postgres

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// at returns address with another host:port.
func at(t *testing.T, address secret.String, host string) secret.String {
	t.Helper()
	parsed, err := url.Parse(address.Value())
	must(t, err)
	parsed.Host = host
	return secret.New(parsed.String())
}

// TestCanaryOnReplica gives the canary a real replica, which takes no writes
// whether the table is there or not.
func TestCanaryOnReplica(t *testing.T) {
	primary := startServer(t)
	replica := openCanary(t, at(t, primary.URL(), startReplica(t, primary)))
	const advice = "it is a replica, or the role is read-only"
	probetest.Eventually(t, replica, "no table", func(v probetest.Values, err error) bool {
		return probes.ReasonOf(err) == probes.ReasonUnavailable && v[canaryFailures("prepare")] > 0
	})
	mustPoll(t, openCanary(t, primary.URL()))
	observer := connect(t, primary.AdminURL(), "observer")
	wait(t, "the replica to have the table", func() string {
		if scalar(t, observer, "SELECT count(*)::int FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()") != 1 {
			return "it is behind"
		}
		return ""
	})
	wantFailure(t, replica, probes.ReasonUnavailable, advice)
}

// startPooler runs PgBouncer in transaction mode before server, as the user of
// server, and returns its host:port.
func startPooler(t *testing.T, server *localservices.Postgres) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil { // /usr/sbin is not on everybody's PATH
		program, err = exec.LookPath("/usr/sbin/pgbouncer")
	}
	if err != nil {
		t.Fatalf("no PgBouncer: make test-deps installs it (Debian: pgbouncer): %v", err)
	}
	owner, err := os.Stat(fmt.Sprintf("/proc/%d", server.PID()))
	must(t, err)
	uid, gid := owner.Sys().(*syscall.Stat_t).Uid, owner.Sys().(*syscall.Stat_t).Gid
	dir, err := os.MkdirTemp("", "soakd-pooler-") //nolint:usetesting // the server's user cannot enter the parent of t.TempDir
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close()) // the port stays free for the moment it takes
	_, port, _ := net.SplitHostPort(address)
	upstream, err := url.Parse(server.URL().Value())
	must(t, err)
	password, _ := upstream.User.Password()
	config := filepath.Join(dir, "pgbouncer.ini")
	must(t, os.WriteFile(config, []byte(fmt.Sprintf(`[databases]
app = host=127.0.0.1 port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = plain
auth_file = %s
pool_mode = transaction
`, upstream.Port(), port, filepath.Join(dir, "users"))), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "users"), []byte(fmt.Sprintf("%q %q\n", upstream.User.Username(), password)), 0o600))
	for _, path := range []string{dir, config, filepath.Join(dir, "users")} {
		must(t, os.Chown(path, int(uid), int(gid)))
	}
	var output bytes.Buffer
	pooler := exec.CommandContext(t.Context(), program, config)
	pooler.Dir, pooler.Stdout, pooler.Stderr = dir, &output, &output
	pooler.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if int(uid) != os.Getuid() {
		pooler.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	must(t, pooler.Start())
	t.Cleanup(func() {
		_ = pooler.Process.Kill()
		_ = pooler.Wait()
		if t.Failed() {
			t.Logf("output of PgBouncer:\n%s", &output)
		}
	})
	wait(t, "PgBouncer to listen", func() string {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err.Error()
		}
		_ = conn.Close()
		return ""
	})
	return address
}

// TestCanaryThroughPooler goes the way that the API may go: through PgBouncer,
// where each statement may run in another session.
func TestCanaryThroughPooler(t *testing.T) {
	server := startServer(t)
	address := at(t, server.URL(), startPooler(t, server))
	probe := openCanary(t, address)
	for range 20 {
		mustPoll(t, probe) // also the first, for which PgBouncer refuses a parameter
	}
	values := mustPoll(t, probe)
	wantValues(t, values, map[string]float64{canaryCount("write"): 21, canaryCount("read"): 21, canaryCount("delete"): 21, canaryFailures("connect"): 0})
	if n := scalar(t, connect(t, server.AdminURL(), "observer"), canaryRows); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
