package refapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"soakd/internal/secret"
)

const (
	// databaseTimeout bounds one use of Postgres, with the wait for a connection.
	databaseTimeout = 5 * time.Second
	// connectRetry is the pause between attempts while Postgres is starting.
	connectRetry = 250 * time.Millisecond
	// schemaLock is the advisory lock under which the schema is made; any number.
	schemaLock = 0x736f616b64
)

// What is kept of a user; see trim.
const (
	keptScenarios = 500
	keptHistory   = 1000
)

// errAway is returned when Postgres cannot be used now.
var errAway = errors.New("postgres is away")

// errNotFound is returned for a scenario that is not there, or not the user's.
var errNotFound = errors.New("no such scenario")

// store keeps scenarios and history in Postgres.
type store struct {
	pool     *pgxpool.Pool
	postgres *dependency
	links    *links
	waiting  atomic.Int64 // callers that wait for a connection now
}

// openStore connects, waiting within ctx for a server that is starting, and
// makes the schema. Its errors do not hold the URL, which may hold a password.
func openStore(ctx context.Context, url secret.String, maxConns int32, name string, logger *slog.Logger) (*store, error) {
	config, err := pgxpool.ParseConfig(url.Value())
	if err != nil {
		return nil, errors.New("postgres URL: want postgres://user:password@host:port/database")
	}
	config.MaxConns = maxConns
	config.PingTimeout = databaseTimeout
	config.ConnConfig.ConnectTimeout = databaseTimeout
	parameters := config.ConnConfig.RuntimeParams
	parameters["application_name"] = name
	parameters["statement_timeout"] = strconv.FormatInt(databaseTimeout.Milliseconds(), 10)
	links := newLinks()
	config.ConnConfig.DialFunc = pgconn.DialFunc(links.dialed(dialer(config.ConnConfig.DialFunc)))
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the postgres pool: %w", err)
	}
	s := &store{pool: pool, links: links, postgres: &dependency{name: "postgres", logger: logger}}
	if err := s.await(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// await makes the schema as soon as the server answers.
func (s *store) await(ctx context.Context) error {
	last := errAway
	for {
		err := s.with(ctx, makeSchema)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("wait for postgres: %w (last error: %w)", ctx.Err(), last)
		case !errors.Is(err, errAway) || refused(err):
			return fmt.Errorf("make the schema in postgres: %w", err)
		}
		last = err
		select {
		case <-ctx.Done():
		case <-time.After(connectRetry):
		}
	}
}

// refused reports an answer that waiting does not change: wrong credentials
// (class 28) or no such database (3D000).
func refused(err error) bool {
	var answered *pgconn.PgError
	return errors.As(err, &answered) && (strings.HasPrefix(answered.Code, "28") || answered.Code == "3D000")
}

// with lends use a connection. Errors that mean that Postgres cannot be used
// now are errAway.
func (s *store) with(ctx context.Context, use func(context.Context, *pgxpool.Conn) error) error {
	limited, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	s.waiting.Add(1)
	conn, err := s.pool.Acquire(limited)
	s.waiting.Add(-1)
	if err == nil {
		err = use(limited, conn)
		conn.Release()
	}
	if err != nil && ctx.Err() != nil { // the caller's own end says nothing about Postgres
		return fmt.Errorf("use postgres: %w", ctx.Err())
	}
	if !away(err) {
		s.postgres.observe(nil)
		return err
	}
	if !saturated(s.pool, err) {
		s.postgres.observe(err)
	}
	return fmt.Errorf("%w: %w", errAway, err)
}

// saturated reports an error that comes of a full pool, not of the server.
func saturated(pool *pgxpool.Pool, err error) bool {
	stat := pool.Stat()
	return errors.Is(err, context.DeadlineExceeded) && stat.AcquiredConns() >= stat.MaxConns()
}

// away reports whether err says that Postgres cannot be used now: no
// connection, no answer in time, or an answer that says so itself (classes 08
// connection, 53 resources, 57 operator intervention, 58 system error, and
// 28 and 3D on connecting).
func away(err error) bool {
	var answered *pgconn.PgError
	if errors.As(err, &answered) {
		switch answered.Code[:min(2, len(answered.Code))] {
		case "08", "28", "3D", "53", "57", "58":
			return true
		}
		return false
	}
	return err != nil && !errors.Is(err, errNotFound)
}

// makeSchema is idempotent; the lock is for several instances that start at once.
func makeSchema(ctx context.Context, conn *pgxpool.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, schemaLock); err != nil {
			return fmt.Errorf("lock the schema: %w", err)
		}
		for _, statement := range schema() {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("make the schema: %w", err)
			}
		}
		return nil
	})
}

// schema makes two tables. forecast_params is text, because jsonb would change
// how numbers are written and refuse some strings. The indexes are in the order
// in which a user's rows are listed and trimmed.
func schema() []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS public.cashflow_scenarios (
			id uuid PRIMARY KEY,
			user_id text NOT NULL,
			name text NOT NULL,
			description text NOT NULL,
			forecast_params text NOT NULL,
			created_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
		`CREATE INDEX IF NOT EXISTS cashflow_scenarios_by_user
			ON public.cashflow_scenarios (user_id, created_at DESC, id DESC)`,
		`CREATE TABLE IF NOT EXISTS public.cashflow_history (
			id uuid PRIMARY KEY,
			user_id text NOT NULL,
			created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
			npv double precision NOT NULL,
			irr double precision,
			loans integer NOT NULL,
			forecast_months integer NOT NULL,
			monte_carlo boolean NOT NULL,
			cached boolean NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS cashflow_history_by_user
			ON public.cashflow_history (user_id, created_at DESC, id DESC)`,
	}
}

// ping asks Postgres for a sign of life.
func (s *store) ping(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	return s.pool.Ping(limited)
}

// scenario is a scenario without what it asks for.
type scenario struct {
	ID          uuid.UUID `json:"id"`
	UserID      string    `json:"user_id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	CreatedAt   time.Time `json:"created_at"`
}

// storedScenario is a whole scenario.
type storedScenario struct {
	scenario
	params []byte
}

// historyRow is one forecast that was made.
type historyRow struct {
	ID             uuid.UUID `json:"id"`
	UserID         string    `json:"user_id"`
	CreatedAt      time.Time `json:"created_at"`
	NPV            float64   `json:"npv"`
	IRR            *float64  `json:"irr"`
	Loans          int       `json:"loans"`
	ForecastMonths int       `json:"forecast_months"`
	MonteCarlo     bool      `json:"monte_carlo"`
	Cached         bool      `json:"cached"`
}

// newID returns an id that grows with time, so that rows are added at one end of an index.
func newID() (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.UUID{}, fmt.Errorf("make an id: %w", err)
	}
	return id, nil
}

func (s *store) saveScenario(ctx context.Context, user string, r scenarioRequest) (scenario, error) {
	id, err := newID()
	if err != nil {
		return scenario{}, err
	}
	saved := scenario{ID: id, UserID: user, Name: r.name, Description: r.description}
	err = s.with(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `INSERT INTO public.cashflow_scenarios (id, user_id, name, description, forecast_params)
			VALUES ($1, $2, $3, $4, $5) RETURNING created_at`,
			id, user, r.name, r.description, string(r.params)).Scan(&saved.CreatedAt)
	})
	saved.CreatedAt = saved.CreatedAt.UTC()
	return saved, wrap(err, "save a scenario")
}

func (s *store) scenarios(ctx context.Context, user string, limit int) ([]scenario, error) {
	return collect(ctx, s, "list scenarios",
		func(row pgx.CollectableRow) (r scenario, err error) {
			err = row.Scan(&r.ID, &r.UserID, &r.Name, &r.Description, &r.CreatedAt)
			r.CreatedAt = r.CreatedAt.UTC()
			return r, err
		},
		`SELECT id, user_id, name, description, created_at FROM public.cashflow_scenarios
			WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2`, user, limit)
}

func (s *store) scenario(ctx context.Context, user string, id uuid.UUID) (storedScenario, error) {
	found := storedScenario{scenario: scenario{ID: id, UserID: user}}
	err := s.with(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		err := conn.QueryRow(ctx, `SELECT name, description, forecast_params, created_at FROM public.cashflow_scenarios
			WHERE id = $1 AND user_id = $2`, id, user).
			Scan(&found.Name, &found.Description, &found.params, &found.CreatedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNotFound
		}
		return err
	})
	found.CreatedAt = found.CreatedAt.UTC()
	return found, wrap(err, "read a scenario")
}

// foreignScenario returns a scenario that is not the user's: the one with the id,
// or else, with newest, the newest; nil when there is none. Only a fault asks for it.
func (s *store) foreignScenario(ctx context.Context, user string, id uuid.UUID, newest bool) (*storedScenario, error) {
	var found storedScenario
	err := s.with(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		err := conn.QueryRow(ctx, `SELECT id, user_id, name, description, forecast_params, created_at FROM public.cashflow_scenarios
			WHERE user_id <> $1 AND (id = $2 OR $3) ORDER BY id = $2 DESC, id DESC LIMIT 1`, user, id, newest).
			Scan(&found.ID, &found.UserID, &found.Name, &found.Description, &found.params, &found.CreatedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNotFound
		}
		return err
	})
	switch {
	case errors.Is(err, errNotFound):
		return nil, nil //nolint:nilnil // there is none, which is no error
	case err != nil:
		return nil, wrap(err, "read another's scenario")
	}
	found.CreatedAt = found.CreatedAt.UTC()
	return &found, nil
}

func (s *store) addHistory(ctx context.Context, r historyRow) error {
	err := s.with(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, `INSERT INTO public.cashflow_history
			(id, user_id, npv, irr, loans, forecast_months, monte_carlo, cached)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			r.ID, r.UserID, r.NPV, r.IRR, r.Loans, r.ForecastMonths, r.MonteCarlo, r.Cached)
		return err
	})
	return wrap(err, "add to the history")
}

// history lists what was made at or after since; the zero time is all.
func (s *store) history(ctx context.Context, user string, since time.Time, limit int) ([]historyRow, error) {
	return collect(ctx, s, "list the history",
		func(row pgx.CollectableRow) (r historyRow, err error) {
			err = row.Scan(&r.ID, &r.UserID, &r.CreatedAt, &r.NPV, &r.IRR,
				&r.Loans, &r.ForecastMonths, &r.MonteCarlo, &r.Cached)
			r.CreatedAt = r.CreatedAt.UTC()
			return r, err
		},
		`SELECT id, user_id, created_at, npv, irr, loans, forecast_months, monte_carlo, cached
			FROM public.cashflow_history WHERE user_id = $1 AND created_at >= $2
			ORDER BY created_at DESC, id DESC LIMIT $3`, user, since, limit)
}

// collect runs a query and reads its rows; no rows are an empty list.
func collect[T any](ctx context.Context, s *store, doing string, scan pgx.RowToFunc[T], query string, args ...any) ([]T, error) {
	list := []T{}
	err := s.with(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		list, err = pgx.AppendRows(list, rows, scan)
		return err
	})
	return list, wrap(err, doing)
}

// wrap says what was being done; nil stays nil.
func wrap(err error, doing string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
