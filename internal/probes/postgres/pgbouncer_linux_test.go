package postgres

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// TestPgBouncer reads through a real PgBouncer, which refuses parameters of a
// session unless it is told to ignore them.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	for name, test := range map[string]struct {
		mode     string
		settings []string
	}{
		"transaction":          {mode: "transaction"},
		"session":              {mode: "session"},
		"parameters ignored":   {mode: "transaction", settings: []string{"ignore_startup_parameters = statement_timeout,lock_timeout,default_transaction_read_only"}},
		"several to a session": {mode: "transaction", settings: []string{"default_pool_size = 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			at := startPgBouncer(t, server, test.mode, test.settings...)
			opened := open(t, at, func(c *Config) {
				c.StatementTimeout = 300 * time.Millisecond
				must(t, c.Statements.Decode("any=SELECT"))
			}).(*probe)
			direct := mustPoll(t, open(t, server.MonitorURL(), func(c *Config) { must(t, c.Statements.Decode("any=SELECT")) }))
			for range 3 {
				pooled := mustPoll(t, opened)
				if pooled["soakd_postgres_behind_pooler"] != 1 || direct["soakd_postgres_behind_pooler"] != 0 {
					t.Errorf("behind a pooler: %v, direct %v", pooled["soakd_postgres_behind_pooler"], direct["soakd_postgres_behind_pooler"])
				}
				for series := range direct {
					if _, ok := pooled[series]; !ok {
						t.Errorf("%s is absent behind the pooler", series)
					}
				}
			}
			checkLimits(t, opened)
			if after := mustPoll(t, opened); after["soakd_postgres_behind_pooler"] != 1 {
				t.Error("lost after a limit worked")
			}
		})
	}
	t.Run("taken away", func(t *testing.T) {
		file := write(t, filepath.Join(t.TempDir(), "url"), startPgBouncer(t, server, "transaction").Value())
		config := Kind().Config.(*Config)
		config.URLFile = file
		opened := probetest.OpenOne(t, config)
		const pooler = `soakd_postgres_behind_pooler{server="main"}`
		if values := mustPoll(t, opened); values[pooler] != 1 {
			t.Errorf("behind PgBouncer: %v", values[pooler])
		}
		replace(t, file, server.MonitorURL().Value())
		opened.(*labelled).Probe.(*probe).pool.Reset() // as when PgBouncer ends
		if values := mustPoll(t, opened); values[pooler] != 0 {
			t.Errorf("without PgBouncer: %v", values[pooler])
		}
	})
	t.Run("reasons", func(t *testing.T) {
		at := startPgBouncer(t, server, "transaction")
		for address, want := range map[string]probes.Reason{
			withUser(t, at, "soakd_monitor", "wrong"):            probes.ReasonAuth,
			withUser(t, at, "stranger", "pw"):                    probes.ReasonAuth,
			strings.Replace(at.Value(), "/app", "/nowhere", 1):   probes.ReasonMissing,
			at.Value() + "&options=-c%20geqo%3Doff":              "", // left out with the rest that it refuses
			strings.Replace(at.Value(), "disable", "require", 1): probes.ReasonTLS,
		} {
			if _, err := probetest.Poll(t, open(t, secret.New(address), nil), 5*time.Second); probes.ReasonOf(err) != want {
				t.Errorf("%v, want %q", err, want)
			}
		}
	})
}

// checkLimits: no statement of the probe takes longer than it may or writes.
func checkLimits(t *testing.T, p *probe) {
	t.Helper()
	conn, pooled, err := p.acquire(t.Context())
	must(t, err)
	defer conn.Release()
	s := &session{conn: conn.Conn(), limit: 5 * time.Second, cost: new(probes.Cost), pooled: pooled, begin: p.limits.begin()}
	for statement, want := range map[string]probes.Reason{
		"SELECT pg_sleep(60)":       probes.ReasonTimeout,
		"CREATE TABLE mine (i int)": probes.ReasonUnavailable, // read-only
		"SELECT 1":                  "",
	} {
		err := s.within(t.Context(), func() error { return s.exec(t.Context(), statement) })
		if got := probes.ReasonOf(explained(err)); got != want {
			t.Errorf("%s: %v, want %q", statement, err, want)
		}
	}
	if n := s.cost.Queries; n != 9 {
		t.Errorf("%d queries counted, want 9: each with its begin and commit", n)
	}
}
