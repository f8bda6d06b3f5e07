package history

import (
	"context"
	"fmt"
	"testing"
)

// Execute runs a statement on the database itself.
func Execute(ctx context.Context, s *Store, query string, args ...any) error {
	_, err := s.write.ExecContext(ctx, s.rebind(query), args...)
	return err
}

// HoldWriter begins a transaction that writes, as a long import does, and returns
// what ends it.
func HoldWriter(ctx context.Context, s *Store) (release func() error, err error) {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM events")
	return tx.Rollback, err
}

// LatestVersion returns the version of the schema that this soakd makes.
func LatestVersion(t *testing.T) int64 {
	t.Helper()
	files, err := migrations.ReadDir("migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	others, err := migrations.ReadDir("migrations/postgres")
	if err != nil || len(files) != len(others) {
		t.Fatalf("%d migrations of SQLite and %d of Postgres, %v", len(files), len(others), err)
	}
	for i := range files {
		if files[i].Name() != others[i].Name() {
			t.Errorf("%s is %s of Postgres", files[i].Name(), others[i].Name())
		}
	}
	return int64(len(files))
}

// Fixture makes a history as an older soakd left it.
func Fixture(t *testing.T, cfg Config, version int64) {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	provider, err := newProvider(s)
	if err != nil {
		t.Fatal(err)
	}
	tables := []string{"events", "findings", "windows", "run_versions", "runs", "state", "baselines", "series", "schema_versions"}
	for _, table := range tables {
		if err := Execute(t.Context(), s, "DROP TABLE "+table+cascade(s)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := provider.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	const id = "01980000-0000-7000-8000-000000000001"
	for _, statement := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO series (target, instance) VALUES ('http://old', 'soakd')", nil},
		{fmt.Sprintf("INSERT INTO runs (id, series, workload, soakd_version, settings, started, seen, ended, verdict, summary) VALUES ('%s', 1, 'cashflow', '1', '{}', 1000, 2000, 3000, 'pass', NULL)", id), nil},
		{"INSERT INTO run_versions (run, version, since) VALUES (1, 'v1', 1000)", nil},
		{"INSERT INTO windows (series, level, start, run, version, data) VALUES (1, 60, 60000000000, 1, 'v1', ?)", []any{s.pack([]byte("data"))}},
		{"INSERT INTO findings (run, id, kind, subject, onset, found) VALUES (1, 'f', 'leak', 'x', 1, 2)", nil},
		{"INSERT INTO events (run, id, at, kind, text) VALUES (1, 'e', 1, 'restart', 'x')", nil},
	} {
		if err := Execute(t.Context(), s, statement.query, statement.args...); err != nil {
			t.Fatalf("%s: %v", statement.query, err)
		}
	}
}

func cascade(s *Store) string {
	if s.cfg.Location.path == "" {
		return " CASCADE"
	}
	return ""
}
