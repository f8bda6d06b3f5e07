package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// connections is how many sessions one soakd has at most, and none when idle for
	// longer than idleConnection: it has something to say once a minute.
	connections    = 4
	idleConnection = 5 * time.Minute
	// defaultConnect bounds how long the making of a session takes, unless the URL
	// says it.
	defaultConnect = 10 * time.Second
)

// inPostgres is a schema of a Postgres database.
type inPostgres struct{}

func openPostgres(ctx context.Context, s *Store) error {
	s.dialect = inPostgres{}
	cfg, err := pgx.ParseConfig(s.cfg.Location.url.Value())
	if err != nil {
		return errors.New("this is no URL of a Postgres") // the cause may hold the password
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = defaultConnect
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "soakd history"
	}
	cfg.RuntimeParams["search_path"] = pgx.Identifier{s.cfg.Schema}.Sanitize()
	s.write = stdlib.OpenDB(*cfg)
	s.write.SetMaxOpenConns(connections)
	s.write.SetConnMaxIdleTime(idleConnection)
	s.read = s.write
	if err := prepareSchema(ctx, s); err != nil {
		return s.explain(err)
	}
	return s.explain(migrate(ctx, s))
}

// prepareSchema makes the schema. It looks first: a role that may use it need not
// be one that may make schemas.
func prepareSchema(ctx context.Context, s *Store) error {
	var found bool
	if err := s.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", s.cfg.Schema).Scan(&found); err != nil {
		return err
	}
	switch {
	case found:
		return nil
	case s.cfg.MustExist:
		return fmt.Errorf("%w: %w: there is no schema %q yet: soakd run makes it", ErrUnusable, ErrNotFound, s.cfg.Schema)
	}
	_, err := s.write.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{s.cfg.Schema}.Sanitize())
	var failed *pgconn.PgError
	const uniqueViolation, duplicateSchema = "23505", "42P06"
	if errors.As(err, &failed) && (failed.Code == uniqueViolation || failed.Code == duplicateSchema) {
		return nil // another soakd made it at the same time
	}
	return err
}

// rebind numbers the placeholders. No statement of this package has a ? of its own.
func (inPostgres) rebind(query string) string {
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}

func (inPostgres) snapshot() sql.IsolationLevel { return sql.LevelRepeatableRead }

func (inPostgres) explain(err error) error {
	var failed *pgconn.PgError
	if err == nil || !errors.As(err, &failed) || errors.Is(err, ErrUnusable) {
		return err
	}
	const insufficientPrivilege = "42501"
	if failed.Code == insufficientPrivilege {
		return fmt.Errorf("%w: the role needs CREATE on the database, or to own the schema: %w", ErrUnusable, err)
	}
	return err
}

// size counts what the values take: what the tables take shrinks only when
// autovacuum has been there.
func (inPostgres) size(ctx context.Context, s *Store) (used, taken int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT
		COALESCE((SELECT SUM(octet_length(data)) FROM windows), 0) + COALESCE((SELECT SUM(octet_length(profile)) FROM baselines), 0),
		(SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r')`,
		s.cfg.Schema).Scan(&used, &taken)
	return used, taken, err
}

// compact leaves the work to autovacuum.
func (inPostgres) compact(context.Context, *Store) error { return nil }
