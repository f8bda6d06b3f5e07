package localservices

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// startTestPostgres starts a server that is stopped at the end of the test.
func startTestPostgres(t *testing.T, opts Options) *Postgres {
	t.Helper()
	server, err := StartPostgres(t.Context(), opts)
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

// query returns the one text value that sql gives.
func query(t *testing.T, address, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // read only
	var value string
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestPostgresTwiceInARow(t *testing.T) {
	dir := sharedDir(t)
	for range 2 {
		server := startTestPostgres(t, Options{Dir: dir, Mode: System})
		if got := query(t, server.URL().Value(), "SELECT 'up'"); got != "up" {
			t.Errorf("got %q", got)
		}
		if !strings.HasPrefix(server.Kind(), "PostgreSQL ") || !strings.Contains(server.Kind(), " from /") {
			t.Errorf("Kind() = %q", server.Kind())
		}
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := server.Stop(); err != nil {
			t.Errorf("second Stop: %v", err)
		}
		if err := server.Err(); err != nil {
			t.Errorf("Err() after Stop = %v", err)
		}
		select {
		case <-server.Done():
		default:
			t.Error("Done is open after Stop")
		}
		assertNothingLeft(t, dir)
	}
}

func TestPostgresSettingsAndRoles(t *testing.T) {
	server := startTestPostgres(t, Options{
		Dir: sharedDir(t), Mode: System,
		Settings: map[string]string{"max_connections": "33", "search_path": `"it's", public`},
	})
	app, monitor, admin := server.URL().Value(), server.MonitorURL().Value(), server.AdminURL().Value()
	for _, c := range []struct{ address, sql, want string }{
		{app, "SHOW max_connections", "33"},
		{app, "SHOW search_path", `"it's", public`},
		{app, "SHOW fsync", "off"},
		{app, "SHOW listen_addresses", "127.0.0.1"},
		{app, "SHOW unix_socket_directories", ""},
		{app, "SHOW shared_preload_libraries", "pg_stat_statements"},
		{app, "SELECT count(*)::text FROM pg_stat_statements WHERE query = 'no such query'", "0"},
		{app, "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user", "false"},
		{admin, "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user", "true"},
		{monitor, "SELECT pg_has_role('pg_monitor', 'member')::text", "true"},
		{monitor, "SHOW transaction_read_only", "on"},
		{admin, "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname = 'app'", "SCRAM-SHA-256"},
	} {
		if got := query(t, c.address, c.sql); got != c.want {
			t.Errorf("%s: got %q, want %q", c.sql, got, c.want)
		}
	}
	if err := execSQL(t.Context(), app, "CREATE DATABASE other"); err != nil {
		t.Errorf("the owner makes a database: %v", err)
	}
	config, err := pgx.ParseConfig(app)
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "wrong"
	if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a wrong password is accepted")
	}
}

func TestPostgresRunsUnprivileged(t *testing.T) {
	server := startTestPostgres(t, Options{Dir: sharedDir(t), Mode: System})
	info, err := os.Stat("/proc/" + strconv.Itoa(server.PID()))
	if err != nil {
		t.Skip("no /proc to see the server's user in")
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 {
		t.Error("the server runs as root")
	}
	group, err := syscall.Getpgid(server.PID())
	if err != nil || group != server.PID() {
		t.Errorf("process group %d (%v), want its own, %d", group, err, server.PID())
	}
	data, err := os.Stat(filepath.Join(server.dir.path, dataFolder))
	if err != nil || data.Mode().Perm() != 0o700 {
		t.Errorf("data folder: mode %v, error %v, want 0700", data.Mode(), err)
	}
}

func TestPostgresTwoAtOnce(t *testing.T) {
	dir := sharedDir(t)
	var servers [2]*Postgres
	var errs [2]error
	var group sync.WaitGroup
	for i := range servers {
		group.Go(func() { servers[i], errs[i] = StartPostgres(t.Context(), Options{Dir: dir, Mode: System}) })
	}
	group.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	if a, b := servers[0].URL().Value(), servers[1].URL().Value(); a == b {
		t.Errorf("both have the address %s", a)
	}
	if err := servers[0].Stop(); err != nil {
		t.Error(err)
	}
	if got := query(t, servers[1].URL().Value(), "SELECT 'up'"); got != "up" {
		t.Errorf("the second server after the first was stopped: %q", got)
	}
	if err := servers[1].Stop(); err != nil {
		t.Error(err)
	}
	assertNothingLeft(t, dir)
}

func TestPostgresCrashIsSeen(t *testing.T) {
	dir := sharedDir(t)
	server := startTestPostgres(t, Options{Dir: dir, Mode: System})
	if err := server.Err(); err != nil {
		t.Fatalf("Err() while it runs = %v", err)
	}
	segment := sharedMemoryID(t, server)
	if err := syscall.Kill(server.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	if err := server.Err(); err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("Err() = %v, want one that says it was killed", err)
	}
	if err := server.Stop(); err != nil {
		t.Errorf("Stop after the crash: %v", err)
	}
	if err := server.Err(); err == nil {
		t.Error("Stop made the crash forgotten")
	}
	assertNothingLeft(t, dir)
	if sharedMemoryExists(t, segment) {
		t.Errorf("shared memory segment %d is left", segment)
	}
}

func TestPostgresHungIsKilled(t *testing.T) {
	dir := sharedDir(t)
	server := startTestPostgres(t, Options{Dir: dir, Mode: System})
	server.steps = []step{{syscall.SIGINT, 1}, {syscall.SIGQUIT, 1}}
	if err := syscall.Kill(server.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := server.Err(); err != nil {
		t.Errorf("Err() after Stop = %v", err)
	}
	assertNothingLeft(t, dir)
}

func TestPostgresStartCancelled(t *testing.T) {
	// One case for each stage: before initdb, in initdb, while the server starts.
	for _, stage := range []string{"", "data", "data/postmaster.opts"} {
		t.Run("at "+stage, func(t *testing.T) {
			dir := sharedDir(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() {
				server, err := StartPostgres(ctx, Options{Dir: dir, Mode: System})
				if err == nil {
					err = errors.Join(errors.New("started"), server.Stop())
				}
				result <- err
			}()
			eventually(t, "the stage is reached", func() bool {
				found, _ := filepath.Glob(filepath.Join(dir, dirPrefix+"*", stage))
				return len(found) > 0
			})
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			assertNothingLeft(t, dir)
		})
	}
}

func TestPostgresStartFailureTellsTheServersWords(t *testing.T) {
	dir := sharedDir(t)
	_, err := StartPostgres(t.Context(), Options{
		Dir: dir, Mode: System, Settings: map[string]string{"shared_buffers": "a lot"},
	})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("got %v, want the server's own reason", err)
	}
	assertNothingLeft(t, dir)
}

func TestPostgresLostPortIsTriedAgain(t *testing.T) {
	taken := startTestPostgres(t, Options{Dir: sharedDir(t), Mode: System})
	config, err := pgx.ParseConfig(taken.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	server := startTestPostgres(t, Options{Dir: sharedDir(t), Mode: System, port: func() (int, error) {
		if calls++; calls == 1 {
			return int(config.Port), nil
		}
		return freePort()
	}})
	if calls != 2 {
		t.Errorf("chose a port %d times, want 2", calls)
	}
	if got := query(t, server.URL().Value(), "SELECT 'up'"); got != "up" {
		t.Errorf("got %q", got)
	}
}

func TestPostgresPortsExhausted(t *testing.T) {
	taken := startTestPostgres(t, Options{Dir: sharedDir(t), Mode: System})
	config, err := pgx.ParseConfig(taken.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	dir := sharedDir(t)
	_, err = StartPostgres(t.Context(), Options{
		Dir: dir, Mode: System, port: func() (int, error) { return int(config.Port), nil },
	})
	if err == nil || !strings.Contains(err.Error(), "ddress already in use") {
		t.Errorf("got %v, want address already in use", err)
	}
	assertNothingLeft(t, dir)
}

func TestPostgresNotInstalled(t *testing.T) {
	dir := sharedDir(t)
	_, err := StartPostgres(t.Context(), Options{Dir: dir, Mode: System, searchPath: []string{t.TempDir()}})
	if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("got %v, want what to install", err)
	}
	assertNothingLeft(t, dir)
}
