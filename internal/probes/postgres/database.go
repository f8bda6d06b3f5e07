package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"soakd/internal/probes"
)

// database reads the row of the connected database in pg_stat_database. Its
// counters fall when the statistics are reset; Prometheus knows that from
// restarts.
type database struct {
	columns []column
	// sessions are columns that are new in 14.
	sessions []column
}

// column is an expression that is a metric as it stands.
type column struct {
	expression string
	desc       *probes.Desc
	labels     []string
}

func newDatabase(d *probes.Descs) *database {
	ended := d.Counter("soakd_postgres_sessions_ended_total", "Sessions of the database that did not end by a good-bye: lost by the client, by a fatal error, or killed.", "cause")
	return &database{
		columns: []column{
			{"xact_commit", d.Counter("soakd_postgres_commits_total", "Transactions of the database that were committed."), nil},
			{"xact_rollback", d.Counter("soakd_postgres_rollbacks_total", "Transactions of the database that were rolled back."), nil},
			{"deadlocks", d.Counter("soakd_postgres_deadlocks_total", "Deadlocks found in the database."), nil},
			{"conflicts", d.Counter("soakd_postgres_recovery_conflicts_total", "Queries of the database cancelled because of recovery; on replicas only."), nil},
			{"temp_files", d.Counter("soakd_postgres_temp_files_total", "Temporary files that queries of the database made."), nil},
			{"temp_bytes", d.Counter("soakd_postgres_temp_bytes_total", "Bytes that queries of the database wrote to temporary files."), nil},
			{"blks_hit", d.Counter("soakd_postgres_blocks_hit_total", "Blocks of the database found in the server's cache."), nil},
			{"blks_read", d.Counter("soakd_postgres_blocks_read_total", "Blocks of the database read from outside the server's cache."), nil},
		},
		sessions: []column{
			{"active_time / 1000", d.Counter("soakd_postgres_active_seconds_total", "Time that sessions of the database spent executing; from Postgres 14."), nil},
			{"idle_in_transaction_time / 1000", d.Counter("soakd_postgres_idle_in_transaction_seconds_total", "Time that sessions of the database spent idle in a transaction; from Postgres 14."), nil},
			{"sessions_abandoned", ended, []string{"abandoned"}},
			{"sessions_fatal", ended, []string{"fatal"}},
			{"sessions_killed", ended, []string{"killed"}},
		},
	}
}

func (d *database) collector() collector { return collector{"database", d.read} }

func (d *database) read(ctx context.Context, s *session, reading *probes.Reading) error {
	columns := d.columns
	if s.version >= 140000 {
		columns = append(columns[:len(columns):len(columns)], d.sessions...)
	}
	return readColumns(ctx, s, reading, columns, "pg_stat_database WHERE datname = current_database()")
}

// readColumns reads columns of the one row of from. NULL is no value.
func readColumns(ctx context.Context, s *session, reading *probes.Reading, columns []column, from string) error {
	query := ""
	values := make([]*float64, len(columns))
	targets := make([]any, len(columns))
	for i, c := range columns {
		if i > 0 {
			query += ", "
		}
		query += fmt.Sprintf("(%s)::float8", c.expression)
		targets[i] = &values[i]
	}
	err := s.row(ctx, "SELECT "+query+" FROM "+from, targets...)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%s gave no row", from)
	}
	if err != nil {
		return err
	}
	for i, c := range columns {
		addIf(reading, c.desc, values[i], c.labels...)
	}
	return nil
}
