package dashboards

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// healthyPatience bounds how long the queries of a healthy demo are waited for. On
// an idle machine all have data within half a minute. visitedPatience is for those
// that nothing but the faults can give data, from their start on.
const healthyPatience, visitedPatience = 3 * time.Minute, 4 * time.Minute

// Every query of every dashboard, every recording and every alert's signal has data
// on a Prometheus that scrapes a healthy demo, every rule evaluates without error,
// and no alert fires. Then the demo visits all faults, beside a larger installation
// and another kind of API, and hardly any query is left that has never had data.
// The same with native histograms, which another Prometheus scrapes from the same
// soakds, and, where it is installed, on VictoriaMetrics.
func TestEveryQueryHasDataOnADemo(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	t.Cleanup(func() { goleak.VerifyNone(t) })
	s := startStand(t)
	classic := startPrometheus(t, s.soakds, "classic", Default())
	native := startPrometheus(t, s.soakds, "native", Settings{Native: true})
	victoria := startVictoria(t, s.soakds)
	servers := []*server{classic, native}
	if victoria != nil {
		servers = append(servers, victoria)
	}
	for _, server := range servers {
		t.Logf("%s: %s", server.name, server.kind)
	}
	s.checkHealthy(t, classic, native)
	healthy := time.Now().Truncate(time.Second)
	s.checkVisited(t, servers)
	if victoria != nil {
		compareServers(t, classic, victoria, healthy)
	}
	for _, server := range []*server{classic, native} {
		server.checkRules(t, "")
	}
	checkNativeOnly(t, native)
	if t.Failed() {
		t.Logf("the demo said:\n%s\n%s", s.demo.stdout, s.demo.stderr)
	}
}

// checkHealthy waits until all queries have had data of the demo alone.
func (s *stand) checkHealthy(t *testing.T, servers ...*server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), healthyPatience)
	defer cancel()
	start := time.Now()
	optional := append(mayBeEmpty(), rulesMayBeEmpty()...)
	covers := startCovers(ctx, servers, demoJob)
	covers.await(ctx, t, s, optional)
	cancel()
	covers.wait()
	covers.check(t, optional)
	covers.logSeen(t, rulesMayBeEmpty())
	for _, server := range servers {
		server.checkRules(t, demoJob)
	}
	servers[0].checkExemplars(t, responseBuckets, durationBuckets)
	t.Logf("healthy: all have had data after %v", time.Since(start).Round(time.Second))
}

// checkVisited visits all faults and waits until all queries have had data of any soakd.
func (s *stand) checkVisited(t *testing.T, servers []*server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), visitedPatience)
	defer cancel()
	start := time.Now()
	covers := startCovers(ctx, servers, "")
	troubled := s.large.trouble(ctx, t)
	s.around.ill.Store(true)
	a := s.demo.admin(t)
	s.pause(ctx, t, servers[0])
	checkAllVisited(ctx, t, a)
	visit(ctx, t, servers[0], a)
	s.around.ill.Store(false)
	covers.await(ctx, t, s, neverSeen())
	cancel()
	covers.wait()
	troubled()
	a.http.CloseIdleConnections()
	covers.check(t, neverSeen())
	t.Logf("all faults visited, and all have had data after %v", time.Since(start).Round(time.Second))
}

// covers ask several servers at the same time.
type covers struct {
	all     []*coverage
	running sync.WaitGroup
}

func startCovers(ctx context.Context, servers []*server, job string) *covers {
	c := &covers{}
	for _, server := range servers {
		one := cover(server, job, queriesOf(server.settings))
		c.all = append(c.all, one)
		c.running.Go(func() { one.run(ctx) })
	}
	return c
}

func (c *covers) wait() { c.running.Wait() }

// await returns when nothing is missing that may not be, or ctx ends.
func (c *covers) await(ctx context.Context, t *testing.T, s *stand, optional []string) {
	t.Helper()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		missing := 0
		for _, one := range c.all {
			missing += len(one.required(append(optional, one.server.differs()...)))
		}
		if missing == 0 {
			return
		}
		select {
		case <-s.demo.ended:
			t.Fatalf("the demo ended: %v\n%s", s.demo.err, s.demo.stderr)
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// logSeen says which of the rules that may be empty have had data: they need not be
// on their list where that is so on every run.
func (c *covers) logSeen(t *testing.T, optional []string) {
	t.Helper()
	for _, one := range c.all {
		missing := map[string]bool{}
		for _, q := range one.missing() {
			missing[q.where] = true
		}
		seen := slices.DeleteFunc(slices.Clone(optional), func(where string) bool { return missing[where] })
		t.Logf("%s: of the rules that may be empty these have had data: %q", one.server.name, seen)
	}
}

func (c *covers) check(t *testing.T, optional []string) {
	t.Helper()
	for _, one := range c.all {
		one.check(t, append(optional, one.server.differs()...))
	}
}

// queriesOf lists what dashboards and rules ask with these settings.
func queriesOf(s Settings) []query {
	return append(s.queries(), s.ruleQueries()...)
}

// neverSeen lists the queries that have no data even when all faults are visited,
// each with the reason.
func neverSeen() []string {
	return []string{
		// These need a newer Postgres than Debian 12 has, 15: restart points are counted
		// from 17 on, pg_stat_io is from 16 on.
		postgresUID + " / Write-ahead log and checkpoints / Restart points",
		postgresUID + " / Input and output (from Postgres 16) / Operations",
		postgresUID + " / Input and output (from Postgres 16) / Bytes by whom",
		postgresUID + " / Input and output (from Postgres 16) / Time by whom",
		// These need a newer Redis than Debian 12 has, 7.0: 7.2 and 7.4.
		redisUID + " / Does it fit? / Scripts evicted",
		redisUID + " / Does it answer? / Refused by access control",
		redisUID + " / Does it answer? / Busy event loop",
		redisUID + " / Does it answer? / Round of the event loop",
		redisUID + " / Clients / Clients cut off for their buffers",
		redisUID + " / Clients / Subscribed and watching clients",
		redisUID + " / Keys / Hash fields expired",
		// These are compared between two versions alone, and the stored run has one.
		regressionsUID + " / What got worse? / Cases against what they were",
		regressionsUID + " / Against earlier or the baseline / p95 against what it was",
		regressionsUID + " / Against earlier or the baseline / Errors against what they were",
	}
}

// checkNativeOnly asserts that this server has no classic series of the histograms
// that it takes as native ones: what it answers comes from those alone.
func checkNativeOnly(t *testing.T, s *server) {
	t.Helper()
	for _, metric := range []string{"soakd_http_response_time_seconds", "soakd_http_request_duration_seconds", "soakd_schedule_lag_seconds"} {
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if series, err := s.ask(t.Context(), metric+suffix); err != nil || len(series) > 0 {
				t.Errorf("%s has %d series of %s, %v: the scrape must be one of native histograms", s.name, len(series), metric+suffix, err)
			}
		}
		if series, err := s.ask(t.Context(), "histogram_count("+metric+")"); err != nil || len(series) == 0 {
			t.Errorf("%s has no native histogram %s, %v", s.name, metric, err)
		}
	}
}

// What is listed as never seen is there, and may be empty on a healthy demo too.
func TestNeverSeenIsDescribed(t *testing.T) {
	known := map[string]bool{}
	for _, q := range queriesOf(Default()) {
		known[q.where] = true
	}
	for _, where := range neverSeen() {
		if !known[where] || !slices.Contains(mayBeEmpty(), where) {
			t.Errorf("%q is no query that may be empty", where)
		}
	}
}
