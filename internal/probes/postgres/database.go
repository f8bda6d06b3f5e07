package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"soakd/internal/probes"
)

// databases reads the rows of the watched databases in pg_stat_database. Their
// counters fall when the statistics are reset; Prometheus knows that from
// restarts.
type databases struct {
	// names are those of the operator's list; the connected one always is watched.
	names []string
	stats table
}

// databaseRows selects the databases of $1 and the connected one.
const databaseRows = " WHERE (datname = current_database() OR datname = ANY($1::text[]))"

func newDatabases(d *probes.Descs, names []string) *databases {
	of := func(name string, desc *probes.Desc, labels ...string) column {
		return column{view: "pg_stat_database", name: name, desc: desc, labels: labels}
	}
	milliseconds := func(c column) column { c.scale = " / 1000"; return c }
	counter := func(name, help string, labels ...string) *probes.Desc {
		return d.Counter("soakd_postgres_"+name, help, append([]string{"database"}, labels...)...)
	}
	ended := counter("sessions_ended_total", "Sessions of the database that did not end by a good-bye: lost by the client, by a fatal error, or killed.", "cause")
	rows := counter("rows_total", "Rows of the database, by what was done with them: returned (read by scans), fetched (by index scans), inserted, updated, deleted.", "operation")
	blockTime := counter("block_seconds_total", "Time that sessions of the database spent reading and writing blocks; absent while the server's track_io_timing is off.", "operation")
	io := func(name, operation string) column {
		return column{
			view: "pg_stat_database", expression: "CASE WHEN current_setting('track_io_timing')::bool THEN " + name + " / 1000 END", needs: []string{name},
			desc: blockTime, labels: []string{operation},
		}
	}
	return &databases{
		names: names,
		stats: table{
			labels: []string{"datname::text"}, from: "pg_stat_database" + databaseRows,
			columns: []column{
				of("numbackends", d.Gauge("soakd_postgres_database_backends", "Sessions that are connected to the database.", "database")),
				of("xact_commit", counter("commits_total", "Transactions of the database that were committed.")),
				of("xact_rollback", counter("rollbacks_total", "Transactions of the database that were rolled back.")),
				of("deadlocks", counter("deadlocks_total", "Deadlocks found in the database.")),
				of("conflicts", counter("recovery_conflicts_total", "Queries of the database cancelled because of recovery; on replicas only.")),
				of("temp_files", counter("temp_files_total", "Temporary files that queries of the database made.")),
				of("temp_bytes", counter("temp_bytes_total", "Bytes that queries of the database wrote to temporary files.")),
				of("blks_hit", counter("blocks_hit_total", "Blocks of the database found in the server's cache.")),
				of("blks_read", counter("blocks_read_total", "Blocks of the database read from outside the server's cache.")),
				of("checksum_failures", counter("checksum_failures_total", "Pages of the database whose checksum was wrong; absent where checksums are off.")),
				of("tup_returned", rows, "returned"), of("tup_fetched", rows, "fetched"), of("tup_inserted", rows, "inserted"),
				of("tup_updated", rows, "updated"), of("tup_deleted", rows, "deleted"),
				io("blk_read_time", "read"), io("blk_write_time", "write"),
				// From Postgres 14.
				of("sessions", counter("sessions_total", "Sessions of the database that were begun.")),
				milliseconds(of("session_time", counter("session_seconds_total", "Time that sessions of the database lasted."))),
				milliseconds(of("active_time", counter("active_seconds_total", "Time that sessions of the database spent executing."))),
				milliseconds(of("idle_in_transaction_time", counter("idle_in_transaction_seconds_total", "Time that sessions of the database spent idle in a transaction."))),
				of("sessions_abandoned", ended, "abandoned"), of("sessions_fatal", ended, "fatal"), of("sessions_killed", ended, "killed"),
			},
		},
	}
}

func (*databases) name() string { return "databases" }

func (d *databases) read(ctx context.Context, s *session, reading *probes.Reading) error {
	missing := map[string]bool{}
	for _, name := range d.names {
		missing[name] = true
	}
	if !s.catalogue.has("pg_stat_database") {
		return errNoViews
	}
	err := d.stats.read(ctx, s, reading, func(labels []string) bool {
		delete(missing, labels[0])
		return true
	}, d.names)
	if err != nil {
		return err
	}
	return notThere("not on this server", d.names, missing, func(name string) string { return name })
}

// notThere is the error for what the operator's list names and the server lacks,
// in the order of the list.
func notThere[T comparable](what string, list []T, missing map[T]bool, text func(T) string) error {
	var names []string
	for _, one := range list {
		if missing[one] {
			names = append(names, text(one))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return probes.Because(probes.ReasonMissing, fmt.Errorf("%s: %s", what, strings.Join(names, ", ")))
}

// errNoViews is what a server without the usual statistics fails with.
var errNoViews = probes.Because(probes.ReasonPermission, errors.New("the statistics views of pg_catalog cannot be seen by this role"))
