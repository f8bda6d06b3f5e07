package postgres

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"soakd/internal/localservices"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// TestReplica watches a real replica and its primary.
func TestReplica(t *testing.T) {
	t.Parallel()
	primary := startServer(t)
	address := startReplica(t, primary)
	onReplica := func(of secret.String) secret.String {
		parsed, err := url.Parse(of.Value())
		must(t, err)
		parsed.Host = address
		return secret.New(parsed.String())
	}
	replicaProbe, primaryProbe := open(t, onReplica(primary.MonitorURL()), nil), open(t, primary.MonitorURL(), nil)

	level := probetest.Eventually(t, replicaProbe, "the replica has replayed all", func(v probetest.Values, err error) bool {
		lag, ok := v["soakd_postgres_replication_lag_bytes"]
		return err == nil && ok && lag == 0
	})
	if level["soakd_postgres_in_recovery"] != 1 || level["soakd_postgres_replication_lag_seconds"] != 0 {
		t.Errorf("in recovery %v, lag %v s", level["soakd_postgres_in_recovery"], level["soakd_postgres_replication_lag_seconds"])
	}
	probetest.Eventually(t, replicaProbe, "the receiver streams", func(v probetest.Values, err error) bool {
		lag, ok := v["soakd_postgres_replication_lag_seconds"]
		return err == nil && v[receiverUp] == 1 && ok && lag == 0
	})
	if _, ok := level["soakd_postgres_replicas"]; ok {
		t.Error("a replica tells of replicas as a primary would")
	}

	admin, onPrimary := connect(t, onReplica(primary.AdminURL()), "admin"), connect(t, primary.URL(), "writer")
	// Until a first transaction was replayed there is no age of one.
	run(t, onPrimary, "CREATE TABLE ahead (id int)")
	wait(t, "the first transaction to be replayed", func() string {
		var replayed bool
		must(t, admin.QueryRow(t.Context(), "SELECT to_regclass('ahead') IS NOT NULL AND pg_last_xact_replay_timestamp() IS NOT NULL").Scan(&replayed))
		if !replayed {
			return "it is not there"
		}
		return ""
	})
	run(t, admin, "SELECT pg_wal_replay_pause()")
	run(t, onPrimary, "CREATE TABLE behind AS SELECT generate_series(1, 10000) AS id")
	behind := probetest.Eventually(t, replicaProbe, "the replica falls behind", func(v probetest.Values, err error) bool {
		return err == nil && v["soakd_postgres_replication_lag_bytes"] > 100000
	})
	if _, ok := behind["soakd_postgres_replication_lag_seconds"]; !ok {
		t.Errorf("no lag in seconds: %v", behind)
	}
	seen := probetest.Eventually(t, primaryProbe, "the primary sees it", func(v probetest.Values, err error) bool {
		return err == nil && v["soakd_postgres_replicas"] == 1 && v["soakd_postgres_replica_max_lag_bytes"] > 100000
	})
	for series, want := range map[string]float64{
		`soakd_postgres_replica_streaming{replica="walreceiver"}`: 1, `soakd_postgres_replica_synchronous{replica="walreceiver"}`: 0,
	} {
		if got, ok := seen[series]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", series, got, ok, want)
		}
	}
	if worst, replay := seen["soakd_postgres_replica_max_lag_bytes"], seen[replicaLag("replay")]; replay != worst {
		t.Errorf("the one replica lags by %v, the worst by %v", replay, worst)
	}
	// It has all of the log and replays none.
	probetest.Eventually(t, primaryProbe, "the log is flushed there", func(v probetest.Values, err error) bool {
		flushed, ok := v[replicaLag("flush")]
		return err == nil && ok && flushed == 0 && v[replicaLag("sent")] == 0 && v[replicaLag("write")] == 0 && v[replicaLag("replay")] > 100000
	})
	if paused := mustPoll(t, replicaProbe)["soakd_postgres_replay_paused"]; paused != 1 {
		t.Errorf("replay paused: %v", paused)
	}
	if seen["soakd_postgres_in_recovery"] != 0 {
		t.Error("the primary is in recovery")
	}
	if up, ok := seen[receiverUp]; ok {
		t.Errorf("%s is %v on the primary", receiverUp, up)
	}
	run(t, admin, "SELECT pg_wal_replay_resume()")
	probetest.Eventually(t, replicaProbe, "the replica catches up", func(v probetest.Values, err error) bool {
		return err == nil && v["soakd_postgres_replication_lag_bytes"] == 0 && v["soakd_postgres_replication_lag_seconds"] == 0
	})

	run(t, onPrimary, "DROP TABLE ahead, behind")
	run(t, connect(t, primary.AdminURL(), "admin"), "CREATE ROLE nobody_special LOGIN PASSWORD 'pw'")
	hidden, err := url.Parse(onReplica(primary.MonitorURL()).Value())
	must(t, err)
	hidden.User = url.UserPassword("nobody_special", "pw")
	// It sees that there is a receiver, not what that does.
	probetest.Eventually(t, open(t, secret.New(hidden.String()), nil), "a role without rights reads the lag", func(v probetest.Values, err error) bool {
		if up, ok := v[receiverUp]; ok {
			t.Errorf("%s is %v though its state is hidden", receiverUp, up)
		}
		_, ok := v["soakd_postgres_replication_lag_seconds"]
		return ok && strings.Contains(fmt.Sprint(err), errHidden.Error()) && !strings.Contains(fmt.Sprint(err), "replication")
	})

	must(t, primary.Stop())
	cut := probetest.Eventually(t, replicaProbe, "the replica is cut off", func(v probetest.Values, err error) bool {
		up, ok := v[receiverUp]
		return err == nil && ok && up == 0
	})
	if lag, ok := cut["soakd_postgres_replication_lag_seconds"]; ok {
		t.Errorf("a lag of %v s though it is cut off", lag)
	}
	if cut["soakd_postgres_in_recovery"] != 1 {
		t.Errorf("in recovery %v", cut["soakd_postgres_in_recovery"])
	}
}

func replicaLag(stage string) string {
	return fmt.Sprintf(`soakd_postgres_replica_lag_bytes{replica="walreceiver",stage=%q}`, stage)
}

const receiverUp = "soakd_postgres_wal_receiver_up"

// startReplica copies primary and runs the copy as its replica, as the user and
// with the binaries of primary. It returns its host:port.
func startReplica(t *testing.T, primary *localservices.Postgres) string {
	t.Helper()
	bin := binFolder(t, primary)
	uid, gid := ownerOf(t, primary)
	dir, err := os.MkdirTemp("", "soakd-replica-") //nolint:usetesting // the server's user cannot enter the parent of t.TempDir
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chown(dir, int(uid), int(gid)))
	data := filepath.Join(dir, "data")

	var output bytes.Buffer
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, name), args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &output, &output
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
		if int(uid) != os.Getuid() {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
		}
		return cmd
	}
	if err := command("pg_basebackup", "-D", data, "-R", "-X", "stream", "-c", "fast", "-d", primary.AdminURL().Value()).Run(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, &output)
	}
	for range 5 {
		address := freeAddress(t)
		_, port, _ := net.SplitHostPort(address)
		server := command("postgres", "-D", data, "-c", "port="+port)
		server.Cancel = func() error { return server.Process.Signal(syscall.SIGINT) }
		server.WaitDelay = 10 * time.Second
		must(t, server.Start())
		ended := make(chan struct{})
		go func() {
			_ = server.Wait()
			close(ended)
		}()
		t.Cleanup(func() {
			_ = server.Process.Signal(syscall.SIGINT)
			<-ended
			if t.Failed() {
				t.Logf("output of the replica:\n%s", &output)
			}
		})
		if listens(t, data, ended) {
			return address
		}
	}
	t.Fatalf("the replica does not start; its output:\n%s", &output)
	return ""
}

// freeAddress returns a loopback address that nobody listens on at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, listener.Close()) }()
	return listener.Addr().String()
}

// listens waits until the server of that folder listens, and returns false when
// it has ended instead, as when somebody else took its port meanwhile. The
// server writes the eighth line of its file once it has its sockets.
func listens(t *testing.T, data string, ended <-chan struct{}) bool {
	t.Helper()
	over := false
	wait(t, "the replica to listen", func() string {
		select {
		case <-ended:
			over = true
			return ""
		default:
		}
		text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if err != nil || strings.Count(string(text), "\n") < 8 {
			return fmt.Sprintf("%q, %v", text, err)
		}
		return ""
	})
	return !over
}
