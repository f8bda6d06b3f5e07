package redis

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// waiting is how many tests run at the same time: most of their time servers wait
// for one another, on whatever number of processors.
const waiting = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) { // the default
		_ = flag.Set("test.parallel", waiting)
	}
	goleak.VerifyTestMain(m)
}

// labelGoroutines marks the goroutines that the test starts from here on, whoever
// starts them for it.
func labelGoroutines(t *testing.T) {
	t.Helper()
	pprof.SetGoroutineLabels(pprof.WithLabels(t.Context(), pprof.Labels("test", t.Name())))
}

// goroutinesOf counts the goroutines that [labelGoroutines] marked.
func goroutinesOf(t *testing.T) int {
	t.Helper()
	var text strings.Builder
	must(t, pprof.Lookup("goroutine").WriteTo(&text, 1))
	own, sum, count := fmt.Sprintf("%q:%q", "test", t.Name()), 0, 0
	for line := range strings.Lines(text.String()) {
		if n, _, ok := strings.Cut(line, " @ "); ok { // as 3 @ 0x1 0x2: three with the same stack and labels
			count, _ = strconv.Atoi(n)
		} else if strings.HasPrefix(line, "# labels: ") && strings.Contains(line, own) {
			sum += count
		}
	}
	if sum == 0 {
		t.Fatalf("the test's own goroutine is not in\n%s", text.String())
	}
	return sum
}

// startServer starts a real Redis for one test.
func startServer(t *testing.T, settings map[string]string) *localservices.Redis {
	t.Helper()
	server, err := localservices.StartRedis(t.Context(), localservices.Options{Mode: localservices.System, Settings: settings, MaxMemory: "4mb"})
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

// clientOf is a client beside the probe, as the API would have one.
func clientOf(t *testing.T, url secret.String) *goredis.Client {
	t.Helper()
	options, err := goredis.ParseURL(url.Value())
	if err != nil {
		t.Fatal(err)
	}
	options.MaxRetries = -1
	client := goredis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func open(t *testing.T, url secret.String) probes.Probe {
	t.Helper()
	config := Kind().Config.(*Config)
	config.URL = url
	return probetest.OpenOne(t, config)
}

// through returns url with the address of proxy.
func through(t *testing.T, url secret.String, proxy *probetest.Proxy) secret.String {
	t.Helper()
	return secret.New(strings.Replace(url.Value(), addressOf(t, url), proxy.Address(), 1))
}

func addressOf(t *testing.T, url secret.String) string {
	t.Helper()
	options, err := goredis.ParseURL(url.Value())
	if err != nil {
		t.Fatal(err)
	}
	return options.Addr
}

// reader gives the values of one node without its label.
type reader struct {
	probetest.Values
	node string
}

func (r reader) get(name string) float64 {
	value, ok := r.Values[r.series(name)]
	if !ok {
		return -1
	}
	return value
}

func (r reader) has(name string) bool {
	_, ok := r.Values[r.series(name)]
	return ok
}

// series turns keys{db="0"} into the full name with the node.
func (r reader) series(name string) string {
	name, rest, labelled := strings.Cut(name, "{")
	full := fmt.Sprintf("soakd_redis_%s{node=%q", name, r.node)
	if labelled {
		return full + "," + rest
	}
	return full + "}"
}

func poll(t *testing.T, probe probes.Probe) (reader, error) {
	t.Helper()
	values, err := probetest.Poll(t, probe, 5*time.Second)
	return reader{values, nodeOf(probe)}, err
}

func nodeOf(opened probes.Probe) string { return opened.(*probe).target.seeds[0] }

func mustPoll(t *testing.T, probe probes.Probe) reader {
	t.Helper()
	got, err := poll(t, probe)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRealValues(t *testing.T) {
	server := startServer(t, map[string]string{"slowlog-log-slower-than": "-1"})
	client, probe := clientOf(t, server.URL()), open(t, server.URL())
	probetest.CheckDescriptions(t, probe)
	ctx := t.Context()

	must(t, client.Set(ctx, "there", "x", time.Hour).Err())
	must(t, client.Set(ctx, "stays", "x", 0).Err())
	first := mustPoll(t, probe)
	if first.has("keyspace_hit_ratio") {
		t.Error("a ratio on the first poll")
	}
	for _, c := range []struct {
		name string
		want float64
	}{
		{`keys{db="0"}`, 2},
		{`expiring_keys{db="0"}`, 1},
		{"memory_limit_bytes", 4 << 20},
		{`maxmemory_policy{policy="allkeys-lru"}`, 1},
		{"blocked_clients", 0},
		{"rejected_connections_total", 0},
		{"restarts_total", 0},
		{"slowlog_entries_total", 0},
		{"evicted_keys_total", 0},
		{"connected_replicas", 0},
		{"connected_clients", 2},
	} {
		if got := first.get(c.name); got != c.want {
			t.Errorf("%s is %v, want %v", c.name, got, c.want)
		}
	}
	for _, name := range []string{"memory_used_bytes", "memory_rss_bytes", "ping_seconds", "commands_processed_total", "max_clients"} {
		if first.get(name) <= 0 {
			t.Errorf("%s is %v", name, first.get(name))
		}
	}
	// A server that has just started can have used no CPU time by its clock's ticks.
	if !first.has(`cpu_seconds_total{mode="user"}`) || !first.has(`cpu_seconds_total{mode="sys"}`) || !first.has("uptime_seconds") || !first.has("memory_fragmentation_bytes") || first.has("master_link_up") {
		t.Errorf("first poll: %v", first.Values)
	}

	// 3 lookups that find, 1 that does not: 0.75 over the window, nothing else counts.
	for range 3 {
		must(t, client.Get(ctx, "there").Err())
	}
	if err := client.Get(ctx, "missing").Err(); !errors.Is(err, goredis.Nil) {
		t.Fatal(err)
	}
	must(t, client.ConfigSet(ctx, "slowlog-log-slower-than", "0").Err())
	must(t, client.Echo(ctx, "slow").Err())
	must(t, client.ConfigSet(ctx, "slowlog-log-slower-than", "-1").Err())
	_ = client.Do(ctx, "LPUSH", "there", "x").Err() // WRONGTYPE
	_ = client.Do(ctx, "NOSUCHCOMMAND").Err()       // ERR
	second := mustPoll(t, probe)
	for _, c := range []struct {
		name string
		want float64
	}{
		{"keyspace_hit_ratio", 0.75},
		{"keyspace_hits_total", first.get("keyspace_hits_total") + 3},
		{"keyspace_misses_total", first.get("keyspace_misses_total") + 1},
		{`errors_total{kind="wrongtype"}`, 1},
		{`errors_total{kind="err"}`, max(0, first.get(`errors_total{kind="err"}`)) + 1},
		{"slowlog_entries_total", 2}, // CONFIG SET that turned it on, and ECHO
	} {
		if got := second.get(c.name); got != c.want {
			t.Errorf("%s is %v, want %v", c.name, got, c.want)
		}
	}
}

// A log that was emptied before soakd started has ids that go on from there: they
// say nothing of how many entries came since.
func TestSlowlogThatWasResetBefore(t *testing.T) {
	server := startServer(t, nil)
	client := clientOf(t, server.URL())
	ctx := t.Context()
	slow := func(n int) {
		t.Helper()
		must(t, client.ConfigSet(ctx, "slowlog-log-slower-than", "0").Err()) // is the first that is slow
		for range n - 1 {
			must(t, client.Echo(ctx, "slow").Err())
		}
		must(t, client.ConfigSet(ctx, "slowlog-log-slower-than", "-1").Err())
	}
	reset := func() {
		t.Helper()
		must(t, client.Do(ctx, "SLOWLOG", "RESET").Err())
	}
	must(t, client.ConfigSet(ctx, "slowlog-log-slower-than", "-1").Err())
	slow(500)
	before := open(t, server.URL()) // sees the full log at its first poll
	if got := mustPoll(t, before); got.get("slowlog_entries_total") != 0 {
		t.Errorf("what was there before soakd counts: %v", got.get("slowlog_entries_total"))
	}
	reset()
	after := open(t, server.URL())
	for i, step := range []struct {
		change        func()
		before, after float64
	}{
		{func() {}, 0, 0},
		{func() { slow(3) }, 3, 3},
		{func() {}, 3, 3},
		{func() { slow(300) }, 303, 303}, // more than the log holds
		{reset, 303, 303},
		{func() { slow(2) }, 305, 305},
	} {
		step.change()
		for name, c := range map[string]struct {
			probe probes.Probe
			want  float64
		}{"before": {before, step.before}, "after": {after, step.after}} {
			if got := mustPoll(t, c.probe).get("slowlog_entries_total"); got != c.want {
				t.Errorf("step %d, started %s the reset: %v entries, want %v", i, name, got, c.want)
			}
		}
	}
}

func TestSlowlog(t *testing.T) {
	// ids gives entries from newest down to oldest.
	ids := func(newest, oldest int64) []goredis.SlowLog {
		var entries []goredis.SlowLog
		for id := newest; id >= oldest; id-- {
			entries = append(entries, goredis.SlowLog{ID: id})
		}
		return entries
	}
	type step struct {
		entries       []goredis.SlowLog
		wanted, total int64
	}
	for name, steps := range map[string][]step{
		"an old log":                      {{ids(500, 500), 1, 0}, {ids(500, 500), 1, 0}, {ids(503, 503), 1, 3}},
		"empty, then the first":           {{nil, 1, 0}, {nil, maxSlowlog, 0}, {ids(4, 0), maxSlowlog, 5}, {ids(5, 5), 1, 6}},
		"emptied before":                  {{nil, 1, 0}, {ids(501, 500), maxSlowlog, 2}, {ids(502, 502), 1, 3}},
		"emptied meanwhile":               {{ids(500, 500), 1, 0}, {nil, 1, 0}, {ids(502, 502), 1, 2}},
		"ids from 0 without a new run id": {{ids(500, 500), 1, 0}, {ids(501, 501), 1, 1}, {ids(3, 3), 1, 1}, {ids(4, 4), 1, 2}},
	} {
		var s slowlog
		for i, step := range steps {
			wanted := s.wanted()
			if s.add(step.entries); wanted != step.wanted || s.total != step.total {
				t.Errorf("%s, step %d: asked for %d, total %d; want %d and %d", name, i, wanted, s.total, step.wanted, step.total)
			}
		}
	}
}

// Another server behind the same address, as after a failover, has had slow
// commands of its own before.
func TestSlowlogOfAnotherServer(t *testing.T) {
	first, second := startServer(t, map[string]string{"slowlog-log-slower-than": "-1"}), startServer(t, nil)
	ctx := t.Context()
	admin := clientOf(t, second.URL())
	must(t, admin.ConfigSet(ctx, "requirepass", clientOf(t, first.URL()).Options().Password).Err())
	must(t, admin.ConfigSet(ctx, "slowlog-log-slower-than", "0").Err())
	for range 50 {
		must(t, admin.Echo(ctx, "slow").Err())
	}
	must(t, admin.ConfigSet(ctx, "slowlog-log-slower-than", "-1").Err())
	proxy := probetest.NewProxy(t, addressOf(t, first.URL()))
	probe := open(t, through(t, first.URL(), proxy))
	mustPoll(t, probe)
	proxy.Down()
	proxy.Up(addressOf(t, second.URL()))
	values := probetest.Eventually(t, probe, "the other server is read", func(_ probetest.Values, err error) bool { return err == nil })
	got := reader{values, proxy.Address()}
	// Both started at about the same time: which of the two it was cannot be told.
	if n := got.get("restarts_total") + got.get("server_changes_total"); n != 1 || got.get("slowlog_entries_total") != 0 {
		t.Errorf("other servers %v, entries %v; want 1 and 0", n, got.get("slowlog_entries_total"))
	}
}

func TestEvictionsAreSeen(t *testing.T) {
	server := startServer(t, nil)
	client, probe := clientOf(t, server.URL()), open(t, server.URL())
	if got := mustPoll(t, probe); got.get("evicted_keys_total") != 0 {
		t.Fatalf("evicted before: %v", got.Values)
	}
	value := strings.Repeat("x", 64<<10)
	for i := range 200 { // 12.5 MiB into 4 MiB
		must(t, client.Set(t.Context(), fmt.Sprint("key", i), value, 0).Err())
	}
	got := mustPoll(t, probe)
	if evicted, keys := got.get("evicted_keys_total"), got.get(`keys{db="0"}`); evicted < 100 || evicted+keys != 200 {
		t.Errorf("evicted %v, left %v, of 200", evicted, keys)
	}
}

func TestNoLimitIsNoMetric(t *testing.T) {
	server := startServer(t, map[string]string{"maxmemory": "0", "maxmemory-policy": "noeviction"})
	got := mustPoll(t, open(t, server.URL()))
	if got.has("memory_limit_bytes") || got.get(`maxmemory_policy{policy="noeviction"}`) != 1 {
		t.Errorf("%v", got.Values)
	}
}

func TestAwayAtStartThenUpThenRestarted(t *testing.T) {
	first, second := startServer(t, nil), startServer(t, nil)
	proxy := probetest.NewProxy(t, addressOf(t, first.URL()))
	proxy.Down()
	// The second server gets the first one's password, as after a restart.
	password := clientOf(t, first.URL()).Options().Password
	must(t, clientOf(t, second.URL()).ConfigSet(t.Context(), "requirepass", password).Err())
	probe := open(t, through(t, first.URL(), proxy))

	for range 3 {
		if got, err := poll(t, probe); err == nil || !strings.Contains(err.Error(), "refused") || len(got.Values) != 0 {
			t.Fatalf("away: %v, %v", got.Values, err)
		}
	}
	proxy.Up(addressOf(t, first.URL()))
	probetest.Eventually(t, probe, "up after being away at the start", func(_ probetest.Values, err error) bool { return err == nil })

	proxy.Down()
	if _, err := poll(t, probe); err == nil {
		t.Fatal("down: no error")
	}
	proxy.Up(addressOf(t, second.URL()))
	values := probetest.Eventually(t, probe, "up after a restart", func(_ probetest.Values, err error) bool { return err == nil })
	got := reader{values, proxy.Address()}
	if got.get("restarts_total")+got.get("server_changes_total") != 1 || got.has("keyspace_hit_ratio") {
		t.Errorf("after the restart: %v", values)
	}
	if n := proxy.Connections(); n > poolSize {
		t.Errorf("%d connections are open", n)
	}
}

func TestHungServerKeepsTheDeadline(t *testing.T) {
	t.Parallel() // mostly waits
	server := startServer(t, nil)
	probe := open(t, server.URL())
	mustPoll(t, probe)
	must(t, syscall.Kill(server.PID(), syscall.SIGSTOP))
	defer syscall.Kill(server.PID(), syscall.SIGCONT) //nolint:errcheck // also ends the stop when the test fails
	for range 3 {
		start := time.Now()
		_, err := probetest.Poll(t, probe, 200*time.Millisecond)
		if took := time.Since(start); err == nil || took > 2*time.Second {
			t.Errorf("hung: %v after %v", err, took)
		}
	}
	must(t, syscall.Kill(server.PID(), syscall.SIGCONT))
	probetest.Eventually(t, probe, "goes on", func(_ probetest.Values, err error) bool { return err == nil })
}

func TestWrongPasswordIsShortAndSecret(t *testing.T) {
	server := startServer(t, nil)
	address := addressOf(t, server.URL())
	const password = "s3cr3t/p@ss"
	probe := open(t, secret.New("redis://:s3cr3t%2Fp%40ss@"+address))
	_, err := poll(t, probe)
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") || len(err.Error()) > 300 || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("%v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)); strings.Contains(text, password) {
		t.Errorf("the password shows in %s", text)
	}
}

func TestAThousandFailuresLeaveNothing(t *testing.T) {
	t.Parallel() // mostly waits
	labelGoroutines(t)
	server := startServer(t, nil)
	proxy := probetest.NewProxy(t, addressOf(t, server.URL()))
	wrong := open(t, secret.New("redis://:wrong@"+proxy.Address()))
	proxyAway := probetest.NewProxy(t, addressOf(t, server.URL()))
	proxyAway.Down()
	away := open(t, secret.New("redis://"+proxyAway.Address()))
	for range 10 { // let everything that is made once be made
		_, _ = poll(t, wrong)
		_, _ = poll(t, away)
	}
	before := goroutinesOf(t)
	for range 500 {
		for name, probe := range map[string]probes.Probe{"wrong password": wrong, "away": away} {
			if got, err := poll(t, probe); err == nil || len(got.Values) != 0 {
				t.Fatalf("%s: %v", name, got.Values)
			}
		}
	}
	waitFor(t, "connections to end", func() bool { return proxy.Connections() == 0 })
	waitFor(t, "goroutines to end", func() bool { return goroutinesOf(t) <= before+2 })
	admin := clientOf(t, server.URL())
	clients, err := admin.ClientList(t.Context()).Result()
	if err != nil || strings.Count(clients, "\n") != 1 {
		t.Errorf("clients of the server, %v:\n%s", err, clients)
	}
}

// waitFor waits for a condition that nothing signals.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited for %s for 10 s", what)
		}
	}
}

func TestServerThatLacksMostFields(t *testing.T) {
	server := miniredis.RunT(t)
	got := mustPoll(t, open(t, secret.New("redis://"+server.Addr())))
	if !got.has("ping_seconds") || got.has("memory_used_bytes") || got.has("keyspace_hits_total") || got.has("slowlog_entries_total") || got.has("memory_limit_bytes") {
		t.Errorf("%v", got.Values)
	}
}

// fakeServer answers every command with one reply.
func fakeServer(t *testing.T, reply string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 4096)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			for {
				if _, err := conn.Read(buffer); err != nil {
					break
				}
				if _, err := conn.Write([]byte(reply)); err != nil {
					break
				}
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestHostileServers(t *testing.T) {
	t.Parallel() // mostly waits
	for name, reply := range map[string]string{
		"HTTP":           "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>",
		"endless string": "$999999999\r\n" + strings.Repeat("x", 8<<20),
		"garbage":        "\xff\xfe\x00",
		"wrong type":     ":1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := probetest.Poll(t, open(t, secret.New("redis://"+fakeServer(t, reply))), time.Second)
			if err == nil || len(got) != 0 || len(err.Error()) > 300 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	probetest.CheckConfig(t, Kind)
	for url, secretPart := range map[string]string{
		"localhost:6379": "", "http://h": "", "redis://:hunter2%zz@h": "hunter2", "redis://:hun/ter2@h": "ter2", "redis://h/x/y": "", "redis://h?hunter=2": "hunter",
	} {
		config := Kind().Config.(*Config)
		config.URL = secret.New(url)
		err := config.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "SOAKD_REDIS_URL: ") || secretPart != "" && strings.Contains(err.Error(), secretPart) {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := config.Open(nil); err == nil {
			t.Errorf("%s: opened", url)
		}
	}
	file := filepath.Join(t.TempDir(), "url")
	must(t, os.WriteFile(file, []byte("rediss://me:hunter2@example.com:7000/1\n"), 0o600))
	config := Kind().Config.(*Config)
	config.URLFile = file
	if err := config.Validate(); err != nil || config.Summary() != "example.com:7000 as me" || !config.Enabled() {
		t.Errorf("%v, %q", err, config.Summary())
	}
	config = &Config{URLFile: file + ".none", HitWindow: time.Millisecond}
	err := config.Validate()
	for _, part := range []string{"SOAKD_REDIS_URL_FILE: ", "SOAKD_REDIS_HIT_WINDOW: 1ms is not"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %q", err, part)
		}
	}
	if off := Kind().Config; off.Enabled() || off.Validate() != nil || off.Summary() != "" {
		t.Error("the defaults must be off and valid")
	}
}
