package dashboards

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/localservices"
)

// fault is one of the reference API, with the query that has data once a server
// that scrapes soakd shows what it does.
type fault struct{ name, parameters, seen string }

// meanTime is the mean time of a case over the last 10 s.
func meanTime(cases string) string {
	const of = `{job="soakd",case=~"%s"}[10s]))`
	return fmt.Sprintf("sum(rate(soakd_http_response_time_seconds_sum"+of+" / sum(rate(soakd_http_response_time_seconds_count"+of, cases, cases)
}

// grew asks whether a counter of soakd grew within 10 s. That is not its rate: a
// series that appears with its first failure has none before its second one, and of
// rare requests that may take a minute.
func grew(name, selector string) string {
	series := name + `{job="soakd",` + selector + `}`
	return "sum(" + series + ") - (sum(" + series + " offset 10s) or vector(0)) > 0"
}

func outcome(name string) string { return grew("soakd_http_requests_total", `outcome="`+name+`"`) }

func failedCheck(names string) string {
	return grew("soakd_check_failures_total", `check=~"`+names+`"`)
}

// visits are all faults of the reference API, in groups that are on together:
// those of a group do not hide one another.
func visits() [][]fault {
	return [][]fault{
		{
			{"memory_leak", `{"bytes_per_second": 33554432, "most_bytes": 268435456}`, `delta(soakd_api_resident_memory_bytes{job="soakd"}[10s]) > 5e7`},
			{"goroutine_leak", `{"per_second": 500, "most": 10000}`, `delta(soakd_api_goroutines{job="soakd"}[10s]) > 1000`},
			{"file_leak", `{"per_second": 50, "most": 600}`, `delta(soakd_api_open_fds{job="soakd"}[10s]) > 100`},
			{"connection_leak", `{"per_minute": 240, "most": 20}`, `sum(soakd_postgres_backends{job="soakd",application="cashflow-api"}) - sum(soakd_postgres_backends{job="soakd",application="cashflow-api"} offset 8s) > 5`},
			{"gc_pauses", `{"every": "1s", "pause": "100ms"}`, `rate(soakd_api_gc_pause_seconds_total{job="soakd"}[10s]) > 0.02`},
			{"evictions", "", `rate(soakd_redis_evicted_keys_total{job="soakd"}[10s]) > 100`},
			{"accept_invalid", `{"ratio": 0.2}`, outcome("accepted_invalid")},
			{"invalid_500", `{"ratio": 0.2}`, grew("soakd_http_requests_total", `class="invalid",outcome="server_error"`)},
			{"leak_trace", `{"ratio": 0.2}`, outcome("leaked_internals")},
			{"wrong_monte_carlo", "", failedCheck("mc_.*")},
			{"lost_scenario", `{"ratio": 0.3}`, failedCheck("scenario_found|read_back|in_list")},
			{"stale_read", `{"delay": "5s"}`, failedCheck("stale_read")},
			{"foreign_scenario", `{"ratio": 0.3}`, failedCheck("foreign_scenario")},
			{"hang", `{"route": "health", "ratio": 0.5}`, outcome("timeout")},
		},
		{
			{"slow_endpoint", `{"route": "forecast", "factor": 1, "add": "300ms"}`, meanTime("forecast") + " > 0.25"},
			{"latency_tail", `{"route": "save", "share": 0.5, "factor": 200, "base": "2ms"}`, meanTime("save_scenario") + " > 0.1"},
			{"latency_drift", `{"route": "history", "per_hour": 100, "speed": 1000, "base": "2ms"}`, meanTime("history.*") + " > 0.25"},
			{"lock_contention", `{"hold": "1500ms", "every": "2s"}`, `max_over_time(soakd_postgres_blocked_backends{job="soakd"}[10s]) > 0`},
		},
		{
			{"slow_all", `{"factor": 1, "add": "150ms"}`, meanTime("list_scenarios") + " > 0.12"},
			{"errors", `{"route": "history", "ratio": 0.3}`, grew("soakd_http_requests_total", `case=~"history.*",outcome="server_error"`)},
			{"cache_off", "", `sum(rate(soakd_api_cache_misses_total{job="soakd"}[5s])) > 0 unless sum(rate(soakd_api_cache_hits_total{job="soakd"}[5s])) > 0`},
			{"rate_limit", `{"route": "save", "every": "4s", "burst": "1s"}`, outcome("rate_limited")},
			{"pool_exhaustion", "", `soakd_api_pool_connections{job="soakd",state="in_use"} >= ignoring (state) soakd_api_pool_connections{job="soakd",state="max"} - 1`},
		},
		{
			{"dependency_down", `{"dependency": "redis"}`, `sum(rate(soakd_api_cache_misses_total{job="soakd"}[5s])) == 0`},
		},
		{
			{"restart", `{"every": "3s"}`, `increase(soakd_api_restarts_total{job="soakd"}[10s]) > 0`},
		},
		// The last one: soakd's circuit lets next to nothing through after it.
		{
			{"dependency_down", `{"dependency": "postgres"}`, grew("soakd_http_requests_total", `code="503"`)},
		},
	}
}

// visitPatience bounds the wait for a group of faults to be seen.
const visitPatience = time.Minute

// visit switches the groups on and off one after the other, each once all of its
// faults are seen.
func visit(ctx context.Context, t *testing.T, s *server, a *admin) {
	t.Helper()
	for _, group := range visits() {
		start := time.Now()
		var names []string
		for _, f := range await(ctx, t, s, group, false) {
			t.Errorf("%s: before it is switched on there is data\n  %s", f.name, f.seen)
		}
		quiet := time.Since(start)
		for _, f := range group {
			if _, err := a.ask(ctx, "PUT", "faults/"+f.name, f.parameters); err != nil {
				t.Fatalf("switch %s on: %v", f.name, err)
			}
			names = append(names, f.name)
		}
		for _, f := range await(ctx, t, s, group, true) {
			t.Errorf("%s is not seen within %v\n  %s", f.name, visitPatience, f.seen)
		}
		for _, f := range group {
			if _, err := a.ask(ctx, "DELETE", "faults/"+f.name, ""); err != nil {
				t.Fatalf("switch %s off: %v", f.name, err)
			}
		}
		t.Logf("%v: after %v quiet, all seen after %v", names, quiet.Round(time.Second), time.Since(start).Round(time.Second))
	}
}

// await waits until all faults are seen, or none is any more, and returns those of
// which it waited in vain.
func await(ctx context.Context, t *testing.T, s *server, group []fault, seen bool) []fault {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, visitPatience)
	defer cancel()
	left := slices.Clone(group)
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		left = slices.DeleteFunc(left, func(f fault) bool {
			found, err := s.hasData(ctx, f.seen)
			if err != nil && ctx.Err() == nil {
				t.Fatalf("%s: %v\n  %s", f.name, err, f.seen)
			}
			return found == seen
		})
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return left
		case <-ticker.C:
		}
	}
}

// checkAllVisited asserts that the table above leaves out no fault that there is.
func checkAllVisited(ctx context.Context, t *testing.T, a *admin) {
	t.Helper()
	text, err := a.ask(ctx, "GET", "faults", "")
	if err != nil {
		t.Fatal(err)
	}
	var faults []struct{ Name string }
	if err := json.Unmarshal([]byte(text), &faults); err != nil {
		t.Fatal(err)
	}
	visited := map[string]bool{}
	for _, group := range visits() {
		for _, f := range group {
			visited[f.name] = true
		}
	}
	for _, f := range faults {
		if !visited[f.Name] {
			t.Errorf("the fault %s is not visited", f.Name)
		}
	}
	if len(faults) < len(visited) {
		t.Errorf("there are %d faults, %d are visited", len(faults), len(visited))
	}
}

// pause stops the Redis of the cluster, which the API does not need, until soakd
// takes it for away, and lets it go on: an outage and a recovery.
func (s *stand) pause(ctx context.Context, t *testing.T, server *server) {
	t.Helper()
	pid := s.large.alone.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}()
	outage := fault{name: "a Redis that stands still", seen: `soakd_outage_in_progress{job="cluster",target="redis"} == 1`}
	for range await(ctx, t, server, []fault{outage}, true) {
		t.Errorf("%s is not seen as an outage", outage.name)
	}
}

// trouble is what the servers of the large installation can be made to do, until
// ctx ends: sessions that block one another, deadlocks, slow and refused commands.
func (in *installation) trouble(ctx context.Context, t *testing.T) (wait func()) {
	t.Helper()
	var running sync.WaitGroup
	if _, err := connect(t, in.postgres.AdminURL().Value()).Exec(ctx, "VACUUM ANALYZE cashflow_scenarios, cashflow_history"); err != nil {
		t.Error(err)
	}
	holder, waiter := connect(t, in.postgres.URL().Value()), connect(t, in.postgres.URL().Value())
	one, other := connect(t, in.postgres.URL().Value()), connect(t, in.postgres.URL().Value())
	if _, err := holder.Exec(ctx, "CREATE TABLE IF NOT EXISTS pairs (n int PRIMARY KEY); INSERT INTO pairs VALUES (1), (2) ON CONFLICT DO NOTHING; CREATE TABLE held (n int)"); err != nil {
		t.Error(err)
	}
	running.Go(func() { // holds a lock and does nothing, and another waits for it
		_, _ = holder.Exec(ctx, "BEGIN; LOCK TABLE held")
		_, _ = waiter.Exec(ctx, "SELECT * FROM held") // until ctx ends
	})
	running.Go(func() {
		for ctx.Err() == nil {
			deadlock(ctx, one, other)
		}
	})
	in.redisTrouble(ctx, t, &running)
	return running.Wait
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// deadlock lets two transactions take two rows in opposite order. The server ends
// one of them after its deadlock_timeout, 1 s.
func deadlock(ctx context.Context, one, other *pgx.Conn) {
	const take = "SELECT n FROM pairs WHERE n = $1 FOR UPDATE"
	var both sync.WaitGroup
	for i, conn := range []*pgx.Conn{one, other} {
		if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
			return
		}
		_, _ = conn.Exec(ctx, take, i+1)
	}
	for i, conn := range []*pgx.Conn{one, other} {
		both.Go(func() { _, _ = conn.Exec(ctx, take, 2-i) })
	}
	both.Wait()
	for _, conn := range []*pgx.Conn{one, other} {
		_, _ = conn.Exec(ctx, "ROLLBACK")
	}
}

// slowScript keeps Redis busy for some 20 ms.
const slowScript = `local n = 0; for i = 1, 2000000 do n = n + i end; redis.call('SET', KEYS[1], n, 'PX', 500); return n`

// slowSaves lets a save take some 3 s, so that the polls of a probe, one a second,
// see it run: one of so few keys is over in milliseconds.
func slowSaves(ctx context.Context, t *testing.T, server *localservices.Redis) {
	t.Helper()
	keys, err := redisClient(t, server).DBSize(ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	redisDo(t, server, "CONFIG", "SET", "rdb-key-save-delay", 3*time.Second.Microseconds()/max(keys, 1))
}

func (in *installation) redisTrouble(ctx context.Context, t *testing.T, running *sync.WaitGroup) {
	t.Helper()
	client, blocked, replica := redisClient(t, in.master), redisClient(t, in.master), redisClient(t, in.copy)
	subscriber := client.Subscribe(ctx, "news")
	t.Cleanup(func() { _ = subscriber.Close() })
	stranger := goredis.NewClient(&goredis.Options{Addr: client.Options().Addr, Username: "nobody", Password: "wrong", MaxRetries: -1})
	t.Cleanup(func() { _ = stranger.Close() })
	redisDo(t, in.master, "ACL", "SETUSER", "reader", "on", ">reader", "~public:*", "+get")
	slowSaves(ctx, t, in.master)
	reader := goredis.NewClient(&goredis.Options{Addr: client.Options().Addr, Username: "reader", Password: "reader", MaxRetries: -1})
	t.Cleanup(func() { _ = reader.Close() })
	running.Go(func() {
		for ctx.Err() == nil {
			_ = blocked.BLPop(ctx, 2*time.Second, "queue").Err()
		}
	})
	running.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for i := 0; ; i++ {
			_ = client.Eval(ctx, slowScript, []string{"sum"}).Err()
			_ = client.Publish(ctx, "news", i).Err()
			_ = stranger.Ping(ctx).Err()
			_ = reader.Get(ctx, "private").Err()
			_ = reader.Set(ctx, "public:a", 1, 0).Err()
			_ = client.Do(ctx, "NOCOMMAND").Err()
			switch i % 20 {
			case 0:
				_ = client.BgRewriteAOF(ctx).Err()
			case 3, 7, 15:
				_ = client.BgSave(ctx).Err()
			case 10: // the replica is cut off for ten seconds
				_ = replica.ConfigSet(ctx, "masterauth", "wrong").Err()
				_ = replica.ClientKillByFilter(ctx, "TYPE", "master").Err()
			case 19:
				_ = replica.ConfigSet(ctx, "masterauth", redisPassword).Err()
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
}
