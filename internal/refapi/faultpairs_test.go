package refapi

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

// quickly are parameters with which a fault does much in little time.
func quickly(name string) string {
	switch name {
	case "memory_leak":
		return `{"bytes_per_second":8388608,"bytes_per_request":65536}`
	case "goroutine_leak", "file_leak":
		return `{"per_second":500}`
	case "connection_leak":
		return `{"per_minute":600}`
	case "gc_pauses":
		return `{"every":"10ms","pause":"3ms"}`
	case "slow_endpoint", "slow_all", "latency_tail", "latency_drift":
		return `{"base":"1ms"}`
	case "errors", "lost_scenario", "foreign_scenario":
		return `{"ratio":0.5}`
	case "lock_contention":
		return `{"hold":"10ms","every":"15ms","table":"both"}`
	case "evictions":
		return `{"bytes_per_second":16777216}`
	case "hang":
		return `{"ratio":0.2}`
	case "rate_limit":
		return `{"every":"20ms","burst":"5ms"}`
	case "restart":
		return `{"every":"100ms"}`
	}
	return ""
}

// Every two faults can be on together, without a panic or a deadlock, and leave
// nothing behind.
func TestEveryPairOfFaults(t *testing.T) {
	var restarts atomic.Int64
	c := serve(t, func(c *Config) {
		c.PoolMaxConns, c.ApplicationName = 4, "api-"+uuid.NewString()
		c.restart = func(bool) { restarts.Add(1) }
	})
	saved := c.save("s", "", body(t))
	requests := func() []*http.Request {
		return []*http.Request{
			c.request("POST", forecastPath, body(t, "run_monte_carlo", "true", "monte_carlo_iterations", "10", "seed", "1"), nil),
			c.request("POST", savePath, `{"name":"n","forecast_params":`+body(t)+`}`, nil),
			c.request("GET", scenarioPath+saved.ID.String(), "", nil), c.request("GET", listPath, "", nil), c.request("POST", forecastPath, "{}", nil),
		}
	}
	right := func() {
		t.Helper()
		for i, status := range []int{200, 201, 200, 200, 422} {
			c.do(requests()[i]).is(status)
		}
	}
	right()
	goroutines, files, heap := c.metric("go_goroutines"), c.metric("process_open_fds"), c.metric("go_memstats_heap_inuse_bytes")
	table := faultTable()
	for i, first := range table {
		for _, second := range table[i+1:] {
			c.on(first.name, quickly(first.name))
			c.on(second.name, quickly(second.name))
			var asking sync.WaitGroup
			for _, r := range requests() {
				asking.Go(func() { c.whatever(r) })
			}
			asking.Wait()
			c.admin("DELETE", adminPath+"faults", "", nil).is(200)
			if c.api.effects() != nil {
				t.Fatalf("%s and %s are not off", first.name, second.name)
			}
			eventually(t, "connections are given back after "+first.name+" and "+second.name, func() bool {
				return c.api.store.pool.Stat().AcquiredConns() == 0
			})
		}
	}
	eventually(t, "Postgres and Redis are taken for up", func() bool {
		return c.api.store.postgres.state() == "up" && c.api.cache.redis.state() == "up"
	})
	right()
	if n := c.junkKeys(); n > 0 {
		t.Errorf("%d keys are left in Redis", n)
	}
	eventually(t, "sessions are closed", func() bool { return c.backends("true") <= 4 })
	c.http.CloseIdleConnections()
	eventually(t, "goroutines and files are given back", func() bool {
		return c.metric("go_goroutines") <= goroutines+15 && c.metric("process_open_fds") <= files+15
	})
	runtime.GC()
	if now := c.metric("go_memstats_heap_inuse_bytes"); now > heap+32<<20 {
		t.Errorf("%.0f MiB in use, %.0f before", now/(1<<20), heap/(1<<20))
	}
}

// whatever makes a request whose answer may be anything, or none in time.
func (c *client) whatever(r *http.Request) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 100*time.Millisecond)
	defer cancel()
	answered, err := c.http.Do(r.WithContext(ctx))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, answered.Body)
	_ = answered.Body.Close()
}
