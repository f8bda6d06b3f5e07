// Package history is the database of runs: what they were, what their windows
// brought, what was found and what happened, the baselines, and the state of the
// judgement. It stores documents with the columns that one looks for, and knows
// nothing of what is in them; whoever calls it converts.
//
// It is a file of SQLite, or a schema of a Postgres that several soakds share. Each
// batch is one transaction: what was acknowledged outlives a kill -9 and a loss of
// power, and nothing is stored by halves. Times are kept to the nanosecond, in UTC.
package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// What callers tell apart.
var (
	// ErrUnusable is an error of the place itself: it cannot be made or written, is
	// damaged, or belongs to something else or to a newer soakd. A person has to act.
	ErrUnusable = errors.New("the history cannot be used")
	// ErrNotFound is given for a run, baseline or state that is not there.
	ErrNotFound = errors.New("not found")
)

// Config says which history, and how much of it is kept.
type Config struct {
	// Location is required; see [Locate].
	Location Location
	// Schema is the schema in Postgres, "soakd" when empty.
	Schema string
	// Retention is what [Store.Prune] keeps; the zero value is [DefaultRetention].
	Retention Retention
	// MaxBytes bounds what [Store.Prune] leaves, in bytes; 0 is no bound.
	MaxBytes int64
	// MustExist makes it an error when there is no history yet.
	MustExist bool
}

// Store is an open history. Its methods may be called at the same time.
type Store struct {
	cfg Config
	dialect
	// write is for transactions that write, of SQLite one at a time; read for the
	// rest. They are the same for Postgres.
	write, read *sql.DB
	packer      *zstd.Encoder
	unpacker    *zstd.Decoder
}

// dialect is what differs between the two databases.
type dialect interface {
	// rebind turns the placeholders ? into the database's own.
	rebind(query string) string
	// explain says what an error means to a person and marks those of the place
	// with [ErrUnusable]. It may be given nil.
	explain(error) error
	// size returns how many bytes are in use and how many are taken on the disk.
	size(ctx context.Context, s *Store) (used, taken int64, err error)
	// snapshot is the isolation under which a transaction sees one moment.
	snapshot() sql.IsolationLevel
	// compact gives the disk back what is free.
	compact(ctx context.Context, s *Store) error
}

// maxUnpacked bounds what one packed value may unpack to, in bytes.
const maxUnpacked = 256 << 20

// Open opens the history, makes it when there is none, and brings an older one up
// to date. The caller closes it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Retention == (Retention{}) {
		cfg.Retention = DefaultRetention()
	}
	if cfg.Schema == "" {
		cfg.Schema = "soakd"
	}
	s := &Store{cfg: cfg}
	var err error
	if s.packer, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if s.unpacker, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxUnpacked)); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	switch {
	case cfg.Location.None():
		return nil, errors.New("history: no location was given")
	case cfg.Location.path != "":
		err = openSQLite(ctx, s)
	default:
		err = openPostgres(ctx, s)
	}
	if err != nil {
		return nil, fmt.Errorf("history %s: %w", cfg.Location, errors.Join(err, s.Close()))
	}
	return s, nil
}

// Close ends the use of the history.
func (s *Store) Close() error {
	var errs []error
	if s.read != nil && s.read != s.write {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	s.unpacker.Close()
	return errors.Join(errs...)
}

// Location says where the history lies, without the password.
func (s *Store) Location() string { return s.cfg.Location.String() }

// Size returns how many bytes the history takes on the disk.
func (s *Store) Size(ctx context.Context) (int64, error) {
	_, taken, err := s.size(ctx, s)
	return taken, s.wrap("read its size", err)
}

// wrap says what was being done where.
func (s *Store) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("history %s: %s: %w", s.cfg.Location, doing, s.explain(err))
}

// transact does the work in one transaction that writes.
func (s *Store) transact(ctx context.Context, doing string, work func(*transaction) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.wrap(doing, err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if err := work(&transaction{ctx: ctx, tx: tx, rebind: s.rebind}); err != nil {
		return s.wrap(doing, err)
	}
	return s.wrap(doing, tx.Commit())
}

// transaction runs statements with placeholders of either database.
type transaction struct {
	ctx    context.Context // lives as long as the transaction of one call
	tx     *sql.Tx
	rebind func(string) string
}

// exec returns how many rows changed.
func (t *transaction) exec(query string, args ...any) (int64, error) {
	result, err := t.tx.ExecContext(t.ctx, t.rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t *transaction) row(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, t.rebind(query), args...)
}

// each runs a statement for each row of values.
func each[T any](t *transaction, query string, rows []T, values func(T) []any) error {
	if len(rows) == 0 {
		return nil
	}
	statement, err := t.tx.PrepareContext(t.ctx, t.rebind(query))
	if err != nil {
		return err
	}
	defer statement.Close() //nolint:errcheck // it ends with the transaction
	for _, row := range rows {
		if _, err := statement.ExecContext(t.ctx, values(row)...); err != nil {
			return err
		}
	}
	return nil
}

// then goes on while there is no mistake.
func then(err error, steps ...func() error) error {
	for _, step := range steps {
		if err != nil {
			return err
		}
		err = step()
	}
	return err
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// rows calls one for each row that a query returns, until it returns false.
func (s *Store) rows(ctx context.Context, from querier, one func(*sql.Rows) (bool, error), query string, args ...any) error {
	rows, err := from.QueryContext(ctx, s.rebind(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err says what went wrong
	for rows.Next() {
		if more, err := one(rows); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// nanos is how a time is stored; the zero time is NULL.
func nanos(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixNano(), Valid: !t.IsZero()}
}

// moment is the time that was stored.
func moment(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.Unix(0, n.Int64).UTC()
}

// clean returns a text that both databases take: valid UTF-8 without NUL, which
// Postgres refuses.
func clean(text string) string {
	if utf8.ValidString(text) && !strings.Contains(text, "\x00") {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

func (s *Store) pack(data []byte) []byte {
	return s.packer.EncodeAll(data, make([]byte, 0, len(data)/2))
}

func (s *Store) unpack(packed []byte) ([]byte, error) {
	data, err := s.unpacker.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return data, nil
}
