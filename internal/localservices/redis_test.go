package localservices

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func startTestRedis(t *testing.T, opts Options) *Redis {
	t.Helper()
	server, err := StartRedis(t.Context(), opts)
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

func redisClient(t *testing.T, server *Redis) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(server.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestRedisEvictsAndTakesSettings(t *testing.T) {
	dir := sharedDir(t)
	server := startTestRedis(t, Options{
		Dir: dir, Mode: System, MaxMemory: "3mb",
		Settings: map[string]string{"client-output-buffer-limit": "normal 0 0 0", "hz": "20"},
	})
	client := redisClient(t, server)
	config := client.ConfigGet(t.Context(), "*").Val()
	for name, want := range map[string]string{
		"maxmemory": strconv.Itoa(3 << 20), "maxmemory-policy": "allkeys-lru", "save": "",
		"appendonly": "no", "bind": "127.0.0.1", "protected-mode": "yes", "hz": "20",
	} {
		if config[name] != want {
			t.Errorf("%s = %q, want %q", name, config[name], want)
		}
	}
	value := strings.Repeat("x", 10_000)
	for i := range 500 { // 5 MB into 3 MB
		if err := client.Set(t.Context(), "key"+strconv.Itoa(i), value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if info := client.Info(t.Context(), "stats").Val(); strings.Contains(info, "\nevicted_keys:0\r") {
		t.Error("nothing was evicted")
	}
	if len(server.NotMeasured()) != 0 {
		t.Errorf("NotMeasured() = %v", server.NotMeasured())
	}
	if info, err := os.Stat("/proc/" + strconv.Itoa(server.PID())); err == nil {
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 {
			t.Error("the server runs as root")
		}
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	assertNothingLeft(t, dir)
}

func TestRedisNeedsThePassword(t *testing.T) {
	server := startTestRedis(t, Options{Dir: sharedDir(t), Mode: System})
	address, err := url.Parse(server.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: address.Host})
	defer client.Close() //nolint:errcheck // nothing to lose
	if err := client.Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("ping without a password: %v, want NOAUTH", err)
	}
}

func TestRedisCrashIsSeen(t *testing.T) {
	dir := sharedDir(t)
	server := startTestRedis(t, Options{Dir: dir, Mode: System})
	if err := syscall.Kill(server.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	if err := server.Err(); err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("Err() = %v, want one that says it was killed", err)
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	assertNothingLeft(t, dir)
}

func TestRedisStartCancelled(t *testing.T) {
	dir := sharedDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := StartRedis(ctx, Options{Dir: dir, Mode: System, port: func() (int, error) {
		cancel()
		return freePort()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	assertNothingLeft(t, dir)
}

func TestRedisLostPortIsTriedAgain(t *testing.T) {
	stranger, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close() //nolint:errcheck // nothing to lose
	calls := 0
	server := startTestRedis(t, Options{Dir: sharedDir(t), Mode: System, port: func() (int, error) {
		if calls++; calls == 1 {
			return stranger.Addr().(*net.TCPAddr).Port, nil
		}
		return freePort()
	}})
	if calls != 2 {
		t.Errorf("chose a port %d times, want 2", calls)
	}
	if err := redisClient(t, server).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

func TestRedisStartFailureTellsTheServersWords(t *testing.T) {
	dir := sharedDir(t)
	_, err := StartRedis(t.Context(), Options{Dir: dir, Mode: System, MaxMemory: "plenty"})
	if err == nil || !strings.Contains(err.Error(), "maxmemory plenty") {
		t.Errorf("got %v, want the server's own reason", err)
	}
	assertNothingLeft(t, dir)
}

func TestEmbeddedRedis(t *testing.T) {
	// An empty search path: the embedded server is also what Auto falls back to.
	server := startTestRedis(t, Options{searchPath: []string{t.TempDir()}})
	client := redisClient(t, server)
	if err := client.Set(t.Context(), "key", "value", 20*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the key expires by the clock", func() bool {
		return errors.Is(client.Get(t.Context(), "key").Err(), redis.Nil)
	})
	if server.PID() != 0 || !strings.HasPrefix(server.Kind(), "embedded") {
		t.Errorf("PID() = %d, Kind() = %q", server.PID(), server.Kind())
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	if conn, err := net.Dial("tcp4", client.Options().Addr); err == nil {
		_ = conn.Close()
		t.Error("the port is open after Stop")
	}
}

// TestEmbeddedRedisNotMeasured keeps NotMeasured true to what the embedded
// server really lacks.
func TestEmbeddedRedisNotMeasured(t *testing.T) {
	server := startTestRedis(t, Options{Mode: Embedded})
	client := redisClient(t, server)
	info := client.Info(t.Context()).Val()
	for _, field := range []string{
		"used_memory", "maxmemory", "evicted_keys", "expired_keys", "keyspace_hits", "keyspace_misses",
		"blocked_clients", "rejected_connections", "errorstat_", "cmdstat_", "db0:", "role:", "run_id", "redis_version", "uptime",
	} {
		if strings.Contains(info, field) {
			t.Errorf("INFO has %s, which NotMeasured denies", field)
		}
	}
	for _, command := range [][]any{{"CONFIG", "GET", "maxmemory"}, {"SLOWLOG", "GET"}, {"LATENCY", "LATEST"}} {
		if err := client.Do(t.Context(), command...).Err(); err == nil {
			t.Errorf("%v works, which NotMeasured denies", command)
		}
	}
	if len(server.NotMeasured()) == 0 {
		t.Error("NotMeasured is empty")
	}
}

func TestRedisNotInstalled(t *testing.T) {
	_, err := StartRedis(t.Context(), Options{Mode: System, searchPath: []string{t.TempDir()}})
	if err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Errorf("got %v, want what to install", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, opts := range map[string]Options{
		"mode":       {Mode: "docker"},
		"setting":    {Settings: map[string]string{"a b": "c"}},
		"line break": {Settings: map[string]string{"hz": "1\nrequirepass x"}},
		"repository": {RepositoryURL: "repo.example.com"},
	} {
		if _, err := StartRedis(t.Context(), opts); err == nil || !strings.HasPrefix(err.Error(), "start Redis: ") {
			t.Errorf("%s: got %v, want an error of StartRedis", name, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "absent")
	if _, err := StartRedis(t.Context(), Options{Dir: dir, Mode: System}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent folder: %v", err)
	}
}
