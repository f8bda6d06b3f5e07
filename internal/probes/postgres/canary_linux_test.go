package postgres

import (
	"net/url"
	"testing"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// at returns address with another host:port.
func at(t *testing.T, address secret.String, host string) secret.String {
	t.Helper()
	parsed, err := url.Parse(address.Value())
	must(t, err)
	parsed.Host = host
	return secret.New(parsed.String())
}

// TestCanaryOnReplica gives the canary a real replica, which takes no writes
// whether the table is there or not.
func TestCanaryOnReplica(t *testing.T) {
	primary := startServer(t)
	replica := openCanary(t, at(t, primary.URL(), startReplica(t, primary)))
	const advice = "it is a replica, or the role is read-only"
	probetest.Eventually(t, replica, "no table", func(v probetest.Values, err error) bool {
		return probes.ReasonOf(err) == probes.ReasonUnavailable && v[canaryFailures("prepare")] > 0
	})
	mustPoll(t, openCanary(t, primary.URL()))
	observer := connect(t, primary.AdminURL(), "observer")
	wait(t, "the replica to have the table", func() string {
		if scalar(t, observer, "SELECT count(*)::int FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()") != 1 {
			return "it is behind"
		}
		return ""
	})
	wantFailure(t, replica, probes.ReasonUnavailable, advice)
}

// TestCanaryThroughPooler goes the way that the API may go: through PgBouncer,
// where each statement may run in another session.
func TestCanaryThroughPooler(t *testing.T) {
	server := startServer(t)
	// The pooler knows the monitoring role alone.
	run(t, connect(t, server.AdminURL(), "admin"), "ALTER ROLE soakd_monitor SET default_transaction_read_only = off; GRANT CREATE ON DATABASE app TO soakd_monitor")
	probe := openCanary(t, startPgBouncer(t, server, "transaction"))
	for range 20 {
		mustPoll(t, probe) // also the first, for which PgBouncer refuses a parameter
	}
	values := mustPoll(t, probe)
	wantValues(t, values, map[string]float64{canaryCount("write"): 21, canaryCount("read"): 21, canaryCount("delete"): 21, canaryFailures("connect"): 0})
	if n := scalar(t, connect(t, server.AdminURL(), "observer"), canaryRows); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
