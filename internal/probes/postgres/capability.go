package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// catalogueAge is after how long the catalogue is read again though the server
// has not been restarted: an extension may have been made or updated.
const catalogueAge = time.Minute

// catalogue says what statistics a server offers, as its own system catalogue
// tells: forks, managed services and betas have columns that no version number
// gives away.
type catalogue struct {
	// columns are those of each view; a view that is not there has none.
	columns map[string]map[string]bool
	// extension is the quoted schema of pg_stat_statements, "" without it.
	extension string
}

// statementsName and statementsInfo are the views of the extension
// pg_stat_statements, wherever it was put.
const (
	statementsName = "pg_stat_statements"
	statementsInfo = "pg_stat_statements_info"
)

// catalogueViews are the views of pg_catalog that are read only as far as they
// are there.
func catalogueViews() []string {
	return []string{
		"pg_locks", "pg_prepared_xacts", "pg_replication_slots", "pg_stat_activity", "pg_stat_archiver", "pg_stat_bgwriter", "pg_stat_checkpointer",
		"pg_stat_database", "pg_stat_io", "pg_stat_replication", "pg_stat_user_tables", "pg_stat_wal", "pg_stat_wal_receiver",
	}
}

// has reports whether a view is there with all of those columns.
func (c *catalogue) has(view string, columns ...string) bool {
	found := c.columns[view]
	return found != nil && !slices.ContainsFunc(columns, func(column string) bool { return !found[column] })
}

// The views of the extension are looked for in its own schema: somebody else's
// table of that name is another thing.
const catalogueQuery = `
SELECT '', relname::text, attname::text
FROM pg_catalog.pg_class JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = 'pg_catalog'::regnamespace AND relname = ANY($1::text[]) AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT nspname::text, relname::text, attname::text
FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace ON pg_namespace.oid = extnamespace
JOIN pg_catalog.pg_class ON relnamespace = extnamespace JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid
WHERE extname = 'pg_stat_statements' AND relname IN ('pg_stat_statements', 'pg_stat_statements_info') AND attnum > 0 AND NOT attisdropped`

// readCatalogue asks the server what it offers.
func readCatalogue(ctx context.Context, s *session) (*catalogue, error) {
	found := &catalogue{columns: map[string]map[string]bool{}}
	var schema, view, column string
	err := s.rows(ctx, catalogueQuery, []any{catalogueViews()}, []any{&schema, &view, &column}, func() error {
		if schema != "" {
			found.extension = pgx.Identifier{schema}.Sanitize()
		}
		if found.columns[view] == nil {
			found.columns[view] = map[string]bool{}
		}
		found.columns[view][column] = true
		return nil
	})
	return found, err
}

// capabilities keeps the catalogue from poll to poll.
type capabilities struct {
	catalogue *catalogue
	start     float64
	readAt    time.Time
}

// of returns the catalogue of the server that started at start, in seconds since
// 1970. When it cannot be read again, that of before comes with the error.
func (c *capabilities) of(ctx context.Context, s *session, start float64, now time.Time) (*catalogue, error) {
	if c.catalogue != nil && c.start == start && now.Sub(c.readAt) < catalogueAge {
		return c.catalogue, nil
	}
	found, err := readCatalogue(ctx, s)
	if err != nil {
		return c.catalogue, fmt.Errorf("catalogue: %w", err)
	}
	c.catalogue, c.start, c.readAt = found, start, now
	return found, nil
}

// expire makes the next poll read the catalogue again.
func (c *capabilities) expire() { c.readAt = time.Time{} }

// contradicts reports whether err says that the catalogue is out of date: a
// table, a column or a function that it has is not there (SQLSTATE 42P01, 42703,
// 42883). No other error is a reason to read it before its time.
func contradicts(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && slices.Contains([]string{"42P01", "42703", "42883"}, answer.Code)
}
