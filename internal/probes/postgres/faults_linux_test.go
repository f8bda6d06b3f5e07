package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// board polls probes as soakd does, until the test ends.
type board struct {
	t     *testing.T
	board *probes.Board
}

func watch(t *testing.T, config *Config) *board {
	t.Helper()
	return &board{t: t, board: probetest.Run(t, config, nil)}
}

// expect waits until the probe has failed for that reason, or with "" until it
// has read all, in a poll that is over after the call.
func (b *board) expect(probe, what string, reason probes.Reason) probes.Status {
	b.t.Helper()
	asked := time.Now()
	var last probes.Status
	wait(b.t, fmt.Sprintf("%s: reason %q", what, reason), func() string {
		for _, status := range b.board.Snapshot(time.Now()) {
			last = status
			if status.Probe == probe && status.Known && status.LastPoll.After(asked) && status.Reason == reason && status.Success == (reason == "") {
				return ""
			}
		}
		return fmt.Sprintf("%s success %v, reason %q, %v", last.Probe, last.Success, last.Reason, last.Err)
	})
	return last
}

// failures counts the polls that failed, for whatever reason.
func failures(status probes.Status) (sum uint64) {
	for _, n := range status.Reasons {
		sum += n
	}
	return sum
}

// value is that of the first series of a name.
func value(status probes.Status, name string) float64 {
	for _, sample := range status.Samples {
		if sample.Desc.Name == name {
			return sample.Value
		}
	}
	return -1
}

// replace changes a file as orchestrators do: at once.
func replace(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.Rename(write(t, path+".new", text), path))
}

// answering serves each connection with what serve does.
func answering(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close() //nolint:errcheck // a test's server
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return listener.Addr().String()
}

// garbage answers whatever comes first with bytes and hangs up.
func garbage(t *testing.T, answer []byte) string {
	return answering(t, func(conn net.Conn) {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write(answer)
		_, _ = io.Copy(io.Discard, conn)
	})
}

// cutting passes connections on to target and cuts each after some bytes of
// the answer, more of them each time.
func cutting(t *testing.T, target string) string {
	var mu sync.Mutex
	size := int64(0)
	return answering(t, func(client net.Conn) {
		mu.Lock()
		size = (size + 97) % 4000
		limit := size
		mu.Unlock()
		server, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		var upward sync.WaitGroup
		upward.Go(func() { _, _ = io.Copy(server, client) })
		_, _ = io.CopyN(client, server, limit)
		_ = client.Close()
		_ = server.Close()
		upward.Wait()
	})
}

func withHost(t *testing.T, of secret.String, host string) string {
	t.Helper()
	parsed, err := url.Parse(of.Value())
	must(t, err)
	parsed.Host = host
	return parsed.String()
}

func withUser(t *testing.T, of secret.String, role, password string) string {
	t.Helper()
	parsed, err := url.Parse(of.Value())
	must(t, err)
	parsed.User = url.UserPassword(role, password)
	return parsed.String()
}

// sessionsOf counts those of soakd.
func sessionsOf(t *testing.T, server *localservices.Postgres) (n int) {
	t.Helper()
	observer := connect(t, server.AdminURL(), "observer")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	must(t, observer.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'soakd'").Scan(&n))
	leave(t, observer)
	return n
}

// TestFaults lets one probe go through everything that can be wrong with a
// server, told of by the file with its address and by the server.
func TestFaults(t *testing.T) {
	server := startServer(t)
	t.Run("of the address", func(t *testing.T) { testFaultyAddress(t, server) })
	t.Run("a hung server", func(t *testing.T) { testHungServer(t, server) })
	t.Run("an end while the server hangs", func(t *testing.T) { testEndWhileHung(t, server) })
	t.Run("a crashed server", func(t *testing.T) { testCrash(t, server) })
	t.Run("a password that changes", func(t *testing.T) { testChangedPassword(t, server) })
	t.Run("a file that goes", func(t *testing.T) { testFileGone(t, server) })
	t.Run("no room", func(t *testing.T) { testNoRoom(t, server) })
	t.Run("several servers", func(t *testing.T) { testSeveral(t, server) })
}

func testFaultyAddress(t *testing.T, server *localservices.Postgres) {
	good := server.MonitorURL().Value()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	random := make([]byte, 4096)
	_, _ = rand.Read(random)
	random[0] = 0x01 // no letter: no message begins so
	nobody := "127.0.0.1:" + freePort(t)
	file := write(t, filepath.Join(t.TempDir(), "url"), good)
	config := Kind().Config.(*Config)
	config.URLFile = file
	b := watch(t, config)
	b.expect(Name, "at first", "")
	before := runtime.NumGoroutine()
	admin := connect(t, server.AdminURL(), "admin")
	const soon = "&connect_timeout=1" // what was begun goes on that long
	for _, fault := range []struct {
		what, address string
		reason        probes.Reason
	}{
		{"a web server that waits for more", withHost(t, server.MonitorURL(), strings.TrimPrefix(web.URL, "http://")) + soon, probes.ReasonTimeout},
		{"a web server that answers", withHost(t, server.MonitorURL(), garbage(t, []byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))), probes.ReasonProtocol},
		{"random bytes", withHost(t, server.MonitorURL(), garbage(t, random)), probes.ReasonProtocol},
		{"a huge length", withHost(t, server.MonitorURL(), garbage(t, []byte("R\x7f\xff\xff\xff"))), probes.ReasonProtocol},
		{"a negative length", withHost(t, server.MonitorURL(), garbage(t, []byte("R\xff\xff\xff\xff"))), probes.ReasonProtocol},
		{"nothing at all", withHost(t, server.MonitorURL(), answering(t, func(net.Conn) {})), probes.ReasonReset},
		{"a black hole", withHost(t, server.MonitorURL(), probetest.BlackHole(t)) + soon, probes.ReasonTimeout},
		{"nobody there", withHost(t, server.MonitorURL(), nobody), probes.ReasonConnect},
		{"a wrong password", withUser(t, server.MonitorURL(), "soakd_monitor", "wrong"), probes.ReasonAuth},
		{"no such role", withUser(t, server.MonitorURL(), "stranger", "pw"), probes.ReasonAuth},
		{"no such database", strings.Replace(good, "/app", "/nowhere", 1), probes.ReasonMissing},
		{"no TLS", strings.Replace(good, "sslmode=disable", "sslmode=require", 1), probes.ReasonTLS},
	} {
		replace(t, file, fault.address)
		run(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'soakd'")
		b.expect(Name, fault.what, fault.reason)
		replace(t, file, good)
		b.expect(Name, "after "+fault.what, "")
	}
	// What is no address, or no file, does not blind a probe that could connect.
	for _, text := range []string{"http://x", ""} {
		replace(t, file, text)
		run(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'soakd'")
		b.expect(Name, "the last address that was right", "")
	}
	wait(t, "no growth", func() string {
		if n, s := runtime.NumGoroutine(), sessionsOf(t, server); s > readConnections || n > before+8 {
			return fmt.Sprintf("%d sessions, %d goroutines (%d before)", s, n, before)
		}
		return ""
	})
}

func testHungServer(t *testing.T, server *localservices.Postgres) {
	config := Kind().Config.(*Config)
	config.URL = server.MonitorURL()
	b := watch(t, config)
	b.expect(Name, "at first", "")
	admin := connect(t, server.AdminURL(), "admin")
	var pid int
	must(t, admin.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = 'soakd'").Scan(&pid))
	signal := func(s syscall.Signal) {
		_ = syscall.Kill(server.PID(), s)
		_ = syscall.Kill(pid, s)
	}
	defer signal(syscall.SIGCONT)
	signal(syscall.SIGSTOP)
	for range 4 {
		b.expect(Name, "hung", probes.ReasonTimeout)
	}
	signal(syscall.SIGCONT)
	b.expect(Name, "goes on", "")
	wait(t, "the sessions of the hung time to end", func() string {
		if n := sessionsOf(t, server); n > readConnections {
			return fmt.Sprint(n)
		}
		return ""
	})
}

// testEndWhileHung: soakd ends in time, and with nothing left behind, though
// nobody answers its cancellations and good-byes.
func testEndWhileHung(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	var pid int
	signal := func(s syscall.Signal) {
		_ = syscall.Kill(server.PID(), s)
		_ = syscall.Kill(pid, s)
	}
	t.Cleanup(func() { signal(syscall.SIGCONT) }) // after the end of the poller
	config := Kind().Config.(*Config)
	config.URL = server.MonitorURL()
	b := watch(t, config) // fails the test when the poller's time for it is over
	b.expect(Name, "at first", "")
	must(t, admin.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = 'soakd'").Scan(&pid))
	signal(syscall.SIGSTOP)
	for range 2 {
		b.expect(Name, "hung", probes.ReasonTimeout)
	}
}

// testCrash kills a session's process: the server then ends all others and
// recovers.
func testCrash(t *testing.T, server *localservices.Postgres) {
	config := Kind().Config.(*Config)
	config.URL = server.MonitorURL()
	b := watch(t, config)
	first := b.expect(Name, "at first", "")
	victim := connect(t, server.AdminURL(), "victim")
	must(t, syscall.Kill(int(victim.PgConn().PID()), syscall.SIGKILL))
	wait(t, "a failed poll", func() string {
		for _, status := range b.board.Snapshot(time.Now()) {
			if failures(status) > failures(first) {
				return ""
			}
		}
		return "none failed"
	})
	failed := b.board.Snapshot(time.Now())[0].Reasons
	if failed[probes.ReasonUnavailable]+failed[probes.ReasonReset] == 0 {
		t.Errorf("reasons %v", failed)
	}
	b.expect(Name, "recovered", "")
}

func testChangedPassword(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CREATE ROLE rotated LOGIN PASSWORD 'first'; GRANT pg_monitor TO rotated")
	host, port, _ := strings.Cut(hostOf(t, server.MonitorURL()), ":")
	dir := t.TempDir()
	line := func(password string) string { return fmt.Sprintf("%s:%s:*:rotated:%s\n", host, port, password) }
	entry := func(password string) string { return "one=" + withUser(t, server.MonitorURL(), "rotated", password) }
	passfile, servers := write(t, filepath.Join(dir, "pass"), line("first")), write(t, filepath.Join(dir, "servers"), entry("first"))
	config := Kind().Config.(*Config)
	config.URL = secret.New(fmt.Sprintf("host=%s port=%s user=rotated dbname=app sslmode=disable passfile=%s", host, port, passfile))
	config.ServersFile = servers
	b := watch(t, config)
	names := []string{Name, Name + "/one"}
	for _, name := range names {
		b.expect(name, "at first", "")
	}
	run(t, admin, "ALTER ROLE rotated PASSWORD 'second'")
	for _, name := range names {
		b.expect(name, "a session goes on with the old password", "")
	}
	run(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'")
	for _, name := range names {
		status := b.expect(name, "the old password", probes.ReasonAuth)
		if status.Err != nil && strings.Contains(status.Err.Error(), "'first'") {
			t.Errorf("%v", status.Err)
		}
	}
	replace(t, passfile, line("second"))
	replace(t, servers, entry("second"))
	for _, name := range names {
		b.expect(name, "the new password", "")
	}
}

// testFileGone: without the file the latest address counts, not the first.
func testFileGone(t *testing.T, server *localservices.Postgres) {
	file := write(t, filepath.Join(t.TempDir(), "url"), withUser(t, server.MonitorURL(), "soakd_monitor", "not yet"))
	config := Kind().Config.(*Config)
	config.URLFile = file
	b := watch(t, config)
	b.expect(Name, "the first password", probes.ReasonAuth)
	replace(t, file, server.MonitorURL().Value())
	b.expect(Name, "the second password", "")
	must(t, os.Remove(file))
	run(t, connect(t, server.AdminURL(), "admin"), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'soakd'")
	b.expect(Name, "the second password without its file", "")
}

func testNoRoom(t *testing.T, server *localservices.Postgres) {
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CREATE ROLE crowded LOGIN PASSWORD 'pw' CONNECTION LIMIT 1; GRANT pg_monitor TO crowded")
	at := secret.New(withUser(t, server.MonitorURL(), "crowded", "pw"))
	other := connect(t, at, "other")
	config := Kind().Config.(*Config)
	config.URL = at
	b := watch(t, config)
	b.expect(Name, "no room", probes.ReasonUnavailable)
	leave(t, other)
	b.expect(Name, "room", "")
}

func testSeveral(t *testing.T, server *localservices.Postgres) {
	proxy := probetest.NewProxy(t, hostOf(t, server.MonitorURL()))
	config := Kind().Config.(*Config)
	config.URL, config.MainName = server.MonitorURL(), "primary"
	config.Servers = secret.New("replica-1=" + through(t, server.MonitorURL(), proxy).Value())
	b := watch(t, config)
	if want := "primary " + hostOf(t, server.MonitorURL()) + "/app as soakd_monitor; replica-1 " + proxy.Address() + "/app as soakd_monitor"; config.Summary() != want {
		t.Errorf("summary %s, want %s", config.Summary(), want)
	}
	for name, label := range map[string]string{"postgres": "primary", "postgres/replica-1": "replica-1"} {
		status := b.expect(name, "both", "")
		for _, sample := range status.Samples {
			if sample.Desc.Labels[0] != "server" || sample.Labels[0] != label || len(sample.Labels) != len(sample.Desc.Labels) {
				t.Errorf("%s: %v of %v", sample.Desc.Name, sample.Labels, sample.Desc.Labels)
			}
		}
	}
	proxy.Down()
	b.expect("postgres/replica-1", "away", probes.ReasonConnect)
	b.expect("postgres", "the other goes on", "")
	proxy.Up(hostOf(t, server.MonitorURL()))
	b.expect("postgres/replica-1", "back", "")
}

// TestFailOver follows the primary with an address that has both servers, while
// each is watched by itself as well.
func TestFailOver(t *testing.T) {
	t.Parallel()
	primary := startServer(t)
	first, second := hostOf(t, primary.MonitorURL()), startReplica(t, primary)
	onReplica := secret.New(withHost(t, primary.AdminURL(), second))
	for _, attributes := range []string{"read-write", "primary"} {
		config := Kind().Config.(*Config)
		config.URL = secret.New(withHost(t, primary.MonitorURL(), second+","+first) + "&target_session_attrs=" + attributes)
		opened := open(t, config.URL, nil)
		probetest.Eventually(t, opened, attributes+" finds the primary", func(v probetest.Values, err error) bool {
			return err == nil && v["soakd_postgres_in_recovery"] == 0
		})
	}
	config := Kind().Config.(*Config)
	config.URL = secret.New(withHost(t, primary.MonitorURL(), first+","+second) + "&target_session_attrs=primary")
	config.Servers = secret.New("a=" + withHost(t, primary.MonitorURL(), first) + "; b=" + withHost(t, primary.MonitorURL(), second))
	b := watch(t, config)
	if status := b.expect(Name, "the primary", ""); value(status, "soakd_postgres_in_recovery") != 0 {
		t.Errorf("not the primary: %+v", status)
	}
	if status := b.expect(Name+"/b", "the replica", ""); value(status, "soakd_postgres_in_recovery") != 1 {
		t.Errorf("not a replica: %+v", status)
	}
	must(t, primary.Stop())
	b.expect(Name, "no primary", probes.ReasonUnavailable)
	b.expect(Name+"/a", "stopped", probes.ReasonConnect)
	b.expect(Name+"/b", "the replica goes on", "")
	run(t, connect(t, onReplica, "admin"), "SELECT pg_promote()")
	for _, name := range []string{Name, Name + "/b"} {
		wait(t, name+" sees the new primary", func() string {
			status := b.expect(name, "promoted", "")
			if value(status, "soakd_postgres_in_recovery") != 0 {
				return "still in recovery"
			}
			return ""
		})
	}
}
