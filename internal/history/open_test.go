package history_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"soakd/internal/history"
)

// openError opens what must not open.
func openError(t *testing.T, cfg history.Config) error {
	t.Helper()
	s, err := history.Open(t.Context(), cfg)
	if err == nil {
		t.Error("it opened", errors.Join(s.Close()))
		return errors.New("")
	}
	return err
}

func TestOpenKeepsWhatIsThere(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s, err := history.Open(t.Context(), p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		id := begin(t, s, history.Run{})
		appendBatch(t, s, history.Batch{Run: id, Windows: minutes(at, 2)})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		p.cfg.MustExist = true
		again := p.open(t)
		if n := len(collect(t, again, history.WindowQuery{Run: id, Level: 60e9})); n != 2 {
			t.Errorf("%d windows came back, want 2", n)
		}
	})
}

// `soakd history list` does not wait for a soakd that writes, or for an import.
func TestOpenDoesNotWaitForAWriter(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		first := p.open(t)
		id := begin(t, first, history.Run{})
		release, err := history.HoldWriter(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		run, err := p.open(t).FindRun(t.Context(), "last", history.RunFilter{})
		const less = 5 * time.Second // than one would wait for the lock
		if took := time.Since(began); err != nil || run.ID != id || took > less {
			t.Errorf("%+v, %v, after %v", run, err, took)
		}
		if err := release(); err != nil {
			t.Error(err)
		}
	})
}

func TestMustExist(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		p.cfg.MustExist = true
		if err := openError(t, p.cfg); !errors.Is(err, history.ErrNotFound) || !errors.Is(err, history.ErrUnusable) || !strings.Contains(err.Error(), "soakd run makes it") {
			t.Error(err)
		}
		p.cfg.MustExist = false
		if err := p.open(t).Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestFileIsNobodyElsesBusiness(t *testing.T) {
	p := sqlitePlace(t)
	s := p.open(t)
	begin(t, s, history.Run{})
	for _, end := range []string{"", "-wal"} {
		info, err := os.Stat(s.Location() + end)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", end, info.Mode(), err)
		}
	}
}

// A path may hold what means something in a URL.
func TestOddPaths(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"a b.db", "a?mode=memory", "a#b", "a%20b", "ä:b"} {
		p := place{history.Config{Location: locate(t, filepath.Join(folder, name))}}
		begin(t, p.open(t), history.Run{})
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestUnusableFiles(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(folder, "foreign.db")
	db, err := sql.Open("sqlite", foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (x)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ path, want string }{
		"a folder":        {folder, "is a directory"},
		"below a file":    {filepath.Join(write("file", nil), "x.db"), "not a directory"},
		"no database":     {write("text.db", bytes.Repeat([]byte("no database "), 1000)), "the file is damaged: move " + filepath.Join(folder, "text.db")},
		"somebody else's": {foreign, "of something else"},
	}
	if os.Geteuid() != 0 {
		readOnly := write("read-only.db", nil)
		if err := os.Chmod(readOnly, 0o400); err != nil {
			t.Fatal(err)
		}
		cases["read-only"] = struct{ path, want string }{readOnly, "permission denied"}
	}
	for name, one := range cases {
		err := openError(t, history.Config{Location: locate(t, one.path)})
		if !errors.Is(err, history.ErrUnusable) || !strings.Contains(err.Error(), one.want) || !strings.Contains(err.Error(), one.path) {
			t.Errorf("%s: %v, want %q", name, err, one.want)
		}
	}
	if data, err := os.ReadFile(filepath.Join(folder, "text.db")); err != nil || !bytes.HasPrefix(data, []byte("no database")) {
		t.Errorf("the file was changed: %q, %v", data[:20], err)
	}
}

// Pages that are overwritten with rubbish are an error of which a person can make
// something, whatever is read.
func TestDamagedPages(t *testing.T) {
	p := sqlitePlace(t)
	s, err := history.Open(t.Context(), p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	id := begin(t, s, history.Run{})
	for range 20 {
		appendBatch(t, s, history.Batch{Run: id, Windows: minutes(at, 2000)})
	}
	path := s.Location()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for i := 20 * page; i < len(data); i++ {
		data[i] = 0xa5
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := p.open(t)
	var last error
	for _, err := range damaged.Windows(t.Context(), history.WindowQuery{Series: series, Level: 60e9}) {
		last = err
	}
	if !errors.Is(last, history.ErrUnusable) || !strings.Contains(last.Error(), "the file is damaged: move "+path) {
		t.Errorf("%v, want that the file is damaged", last)
	}
}

func TestNewerHistoryIsRefused(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		if err := history.Execute(t.Context(), s, "INSERT INTO schema_versions (version_id, is_applied) VALUES (999, '1')"); err != nil {
			t.Fatal(err)
		}
		if err := openError(t, p.cfg); !errors.Is(err, history.ErrUnusable) || !strings.Contains(err.Error(), "of a newer soakd (schema 999, and this soakd knows 2)") {
			t.Error(err)
		}
	})
}

// What an older soakd has stored is there after each step up to this one.
func TestMigrationFromEachVersion(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		for version := int64(1); version < history.LatestVersion(t); version++ {
			old := p
			if old.cfg.Schema != "" {
				old.cfg.Schema += "_old"
			} else {
				old = sqlitePlace(t)
			}
			history.Fixture(t, old.cfg, version)
			s := old.open(t)
			run, err := s.FindRun(t.Context(), "last", history.RunFilter{})
			if err != nil || run.Verdict != history.Passed || run.Target != "http://old" || len(run.Versions) != 1 {
				t.Errorf("from version %d: %+v, %v", version, run, err)
			}
			if got := collect(t, s, history.WindowQuery{Run: run.ID, Level: 60e9}); len(got) != 1 || string(got[0].Data) != "data" {
				t.Errorf("from version %d: windows %+v", version, got)
			}
			findings, err := s.Findings(t.Context(), history.Query{Run: run.ID})
			if err != nil || len(findings) != 1 || findings[0].Kind != "leak" {
				t.Errorf("from version %d: findings %+v, %v", version, findings, err)
			}
			if events, err := s.Events(t.Context(), history.Query{Run: run.ID}); err != nil || len(events) != 1 {
				t.Errorf("from version %d: events %+v, %v", version, events, err)
			}
			if err := s.SetBaseline(t.Context(), history.Baseline{Name: "x", Target: "http://old", Created: at, Profile: []byte("p")}); err != nil {
				t.Errorf("from version %d: %v", version, err)
			}
		}
	})
}

func TestPostgresThatIsNotThere(t *testing.T) {
	for name, text := range map[string]string{
		"nobody listens": "postgres://u:secret-word@127.0.0.1:1/d", "a wrong password": withPassword(t, postgres(t).URL().Value(), "secret-word"),
	} {
		err := openError(t, history.Config{Location: locate(t, text)})
		if strings.Contains(err.Error(), "secret-word") || !strings.Contains(err.Error(), "127.0.0.1") || errors.Is(err, history.ErrUnusable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The role of a history need not be one that may make schemas, when the schema is
// there; without it the error says what is missing.
func TestPostgresRights(t *testing.T) {
	admin, err := pgx.Connect(t.Context(), postgres(t).AdminURL().Value())
	if err != nil {
		t.Fatal(err)
	}
	role, schema := unique("modest"), unique("given")
	_, err = admin.Exec(t.Context(), fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'modest'; CREATE SCHEMA %s AUTHORIZATION %s", role, schema, role))
	if err := errors.Join(err, admin.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(postgres(t).URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "modest")
	begin(t, place{history.Config{Location: locate(t, u.String()), Schema: schema}}.open(t), history.Run{})
	err = openError(t, history.Config{Location: locate(t, u.String()), Schema: "other"})
	if !errors.Is(err, history.ErrUnusable) || !strings.Contains(err.Error(), "the role needs CREATE on the database") {
		t.Error(err)
	}
}

// Sessions that the server ended, as in a restart or a failover, cost one batch at
// most, which can be appended again.
func TestPostgresSessionsThatEnd(t *testing.T) {
	s := postgresPlace(t).open(t)
	id := begin(t, s, history.Run{})
	if err := history.Execute(t.Context(), s, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(t.Context(), postgres(t).AdminURL().Value())
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'soakd history'")
	if err := errors.Join(err, admin.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	batch := history.Batch{Run: id, At: at, Windows: minutes(at, 3)}
	if err := s.Append(t.Context(), batch); err != nil {
		if err := s.Append(t.Context(), batch); err != nil {
			t.Error(err)
		}
	}
	if n := len(collect(t, s, history.WindowQuery{Run: id, Level: 60e9})); n != 3 {
		t.Errorf("%d windows, want 3", n)
	}
}

func TestCancelledBatchIsNotStored(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		id := begin(t, s, history.Run{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Append(ctx, history.Batch{Run: id, At: at, Windows: minutes(at, 1)}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if n := len(collect(t, s, history.WindowQuery{Run: id, Level: 60e9})); n != 0 {
			t.Errorf("%d windows are there", n)
		}
	})
}
