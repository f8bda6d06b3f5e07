package postgres

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// TestThousandFailures: whatever fails, and however often, soakd keeps its one
// session for reading and no goroutine more.
func TestThousandFailures(t *testing.T) {
	server := startServer(t)
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CREATE ROLE full LOGIN PASSWORD 'pw' CONNECTION LIMIT 0; GRANT pg_monitor TO full")
	at := func(host string) secret.String { return secret.New(withHost(t, server.MonitorURL(), host)) }
	for _, kind := range []struct {
		name    string
		address secret.String
		times   int
		// timeout is that of the i-th poll.
		timeout func(i int) time.Duration
		reason  probes.Reason
	}{
		{"wrong password", secret.New(withUser(t, server.MonitorURL(), "soakd_monitor", "wrong")), 120, nil, probes.ReasonAuth},
		{"no room", secret.New(withUser(t, server.MonitorURL(), "full", "pw")), 100, nil, probes.ReasonUnavailable},
		{"no such database", secret.New(strings.Replace(server.MonitorURL().Value(), "/app", "/nowhere", 1)), 80, nil, probes.ReasonMissing},
		{"refused", at("127.0.0.1:" + freePort(t)), 200, nil, probes.ReasonConnect},
		{"garbage", at(garbage(t, []byte("\x01\x02\x03\x04\x05\x06\x07\x08"))), 200, nil, probes.ReasonProtocol},
		{"cut in an answer", at(cutting(t, hostOf(t, server.MonitorURL()))), 150, nil, probes.ReasonReset},
		{"too slow", server.MonitorURL(), 200, func(i int) time.Duration { return time.Duration(i%100) * 20 * time.Microsecond }, probes.ReasonTimeout},
	} {
		t.Run(kind.name, func(t *testing.T) {
			failOften(t, server, open(t, kind.address, nil), kind.times, kind.timeout, kind.reason)
		})
	}
	t.Run("statement timeout", func(t *testing.T) {
		opened := open(t, server.MonitorURL(), func(c *Config) {
			c.StatementTimeout = minStatementTimeout
			must(t, c.Statements.Decode("x=x"))
		})
		run(t, admin, "BEGIN; LOCK TABLE pg_extension IN ACCESS EXCLUSIVE MODE")
		failOften(t, server, opened, 50, nil, probes.ReasonTimeout)
		run(t, admin, "ROLLBACK")
	})
}

// failOften polls until it has failed that often for that reason and no other, and
// then no growth.
func failOften(t *testing.T, server *localservices.Postgres, opened probes.Probe, times int, timeout func(int) time.Duration, reason probes.Reason) {
	before := runtime.NumGoroutine()
	failed, other := 0, map[probes.Reason]error{}
	polls := 0
	for ; failed < times && polls < 3*times; polls++ {
		limit := 2 * time.Second
		if timeout != nil {
			limit = timeout(polls)
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		_, err := opened.Poll(ctx)
		cancel()
		if got := probes.ReasonOf(err); got == reason {
			failed++
		} else if err != nil {
			other[got] = err
		}
	}
	if failed < times || len(other) > 0 {
		t.Errorf("%d of %d polls failed for %v; others: %v", failed, polls, reason, other)
	}
	wait(t, "sessions and goroutines to end", func() string {
		n, s := runtime.NumGoroutine(), sessionsOf(t, server)
		if total := opened.(*probe).pool.Stat().TotalConns(); s > readConnections || total > readConnections || n > before+4 {
			return fmt.Sprintf("%d sessions, %d connections of the pool, %d goroutines (%d before)", s, total, n, before)
		}
		return ""
	})
	if timeout == nil {
		return
	}
	probetest.Eventually(t, opened, "reads again", func(_ probetest.Values, err error) bool { return err == nil })
}
