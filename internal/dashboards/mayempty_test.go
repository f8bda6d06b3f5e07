package dashboards

import (
	"slices"
	"strings"
	"testing"
)

// mayBeEmpty lists the only queries that a healthy demo cannot give data for.
func mayBeEmpty() []string {
	return append([]string{
		apiUID + " / Database pool and cache of the API / Pool timeouts",              // the reference API's pool counts none
		apiUID + " / Database pool and cache of the API / Wait for a pool connection", // nobody may have to wait
		apiUID + " / Processor and calculation threads / Event-loop lag",              // the reference API has no event loop
		dependenciesUID + " / Do they answer? / Why they fail",                        // none fails
		// The demo of the test is too short for trends and comparisons, and nothing recovers.
		trendsUID + " / Does anything leak? / Resources that leak",
		trendsUID + " / Does anything leak? / First limit is reached in",
		trendsUID + " / Does anything leak? / Suspected leaks",
		trendsUID + " / Leaks and trends / Every resource",
		trendsUID + " / Leaks and trends / Time to the limit",
		trendsUID + " / Leaks and trends / Slope an hour",
		regressionsUID + " / What got worse? / Cases against what they were",
		regressionsUID + " / What got worse? / Regressions",
		regressionsUID + " / Against earlier or the baseline / Median against what it was",
		regressionsUID + " / Against earlier or the baseline / p95 against what it was",
		regressionsUID + " / Against earlier or the baseline / p99 against what it was",
		regressionsUID + " / Against earlier or the baseline / Errors against what they were",
		recoveryUID + " / Outages and recovery / Time to detect",
		recoveryUID + " / Outages and recovery / Time to recover",
		recoveryUID + " / Outages and recovery / Every target since the start of soakd",
		postgresUID + " / Locks and transactions / Who blocks whom", // nobody blocks anybody
		// These need a newer Postgres than 15, or a setting of 18 that the demo leaves off.
		postgresUID + " / Write-ahead log and checkpoints / Time in writes and syncs of the log",
		postgresUID + " / Write-ahead log and checkpoints / Restart points",
		postgresUID + " / Input and output (from Postgres 16) / Operations",
		postgresUID + " / Input and output (from Postgres 16) / Bytes by whom",
		postgresUID + " / Input and output (from Postgres 16) / Time by whom",
		postgresUID + " / Tables (SOAKD_POSTGRES_TABLES) / Time since vacuum and analyze", // perhaps not before the test ends
		postgresUID + " / Server and replicas / Broken pages",                             // no checksums
		// The demo's Postgres is no replica and has neither replicas nor slots.
		postgresUID + " / Server and replicas / Link to the primary",
		postgresUID + " / Server and replicas / Replay paused",
		postgresUID + " / Server and replicas / Lag of each replica",
		postgresUID + " / Server and replicas / Lag of each replica in bytes",
		postgresUID + " / Server and replicas / State of each replica",
		postgresUID + " / Server and replicas / Log kept for replication slots",
		postgresUID + " / Server and replicas / State of replication slots",
		selfUID + " / Do the probes see, and what do they cost? / Why probes fail", // none fails
		selfUID + " / History, annotations and pushes / Size of the history",       // known after an hour
		trendsUID + " / soakd for comparison / Size of the history",
	}, redisMayBeEmpty()...)
}

// rulesMayBeEmpty lists the rules that have no data before the faults. Rules ask of
// all soakds of the stand, so that the history of the large one gives those of leaks
// and regressions data at once.
func rulesMayBeEmpty() []string {
	return []string{
		// Nothing recovers.
		"instance_target:soakd_recovery_seconds:p50_increase1d", "instance_target:soakd_recovery_seconds:p100_increase1d",
	}
}

// A panel that may be empty says so, and one that says so is on the short list,
// apart from those that need a setting, which the demo of this test has.
func TestPanelsSayWhenTheyAreEmpty(t *testing.T) {
	var said []string
	for _, d := range Default().All() {
		for _, row := range d.Rows {
			for _, p := range row.Panels {
				where := d.UID + " / " + row.Title + " / " + p.Title
				if p.EmptyWhen != "" && !strings.Contains(p.EmptyWhen, "SOAKD_") {
					said = append(said, where)
				}
				if p.EmptyWhen != "" && !strings.HasSuffix(p.about(), "Empty "+p.EmptyWhen+".") {
					t.Errorf("%s: its description does not say when it is empty", where)
				}
			}
		}
	}
	slices.Sort(said)
	if !slices.Equal(said, slices.Sorted(slices.Values(mayBeEmpty()))) {
		t.Errorf("may be empty: %q, the list has %q", said, mayBeEmpty())
	}
}
