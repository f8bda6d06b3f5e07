package history_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/history"
	"soakd/internal/localservices"
)

// childEnv makes the test binary play a soakd that is killed, or whose disk is full.
// schemaEnv is the schema of its Postgres.
const (
	childEnv  = "HISTORY_TEST_CHILD"
	schemaEnv = "HISTORY_TEST_SCHEMA"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(childEnv); how != "" {
		if err := playChild(how, os.Args[len(os.Args)-1]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(stopping{m})
}

// stopping ends the one Postgres that the tests share.
type stopping struct{ *testing.M }

var shared struct {
	once   sync.Once
	server *localservices.Postgres
	err    error
}

func (s stopping) Run() int {
	code := s.M.Run()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return code
}

func postgres(t testing.TB) *localservices.Postgres {
	t.Helper()
	shared.once.Do(func() {
		shared.server, shared.err = localservices.StartPostgres(context.Background(), localservices.Options{})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// at is a moment of all tests.
var at = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func locate(t testing.TB, text string) history.Location {
	t.Helper()
	location, err := history.Locate(text, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// place is where the history of a test lies.
type place struct {
	cfg history.Config
}

func (p place) open(t testing.TB) *history.Store {
	t.Helper()
	s, err := history.Open(t.Context(), p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sqlitePlace(t testing.TB) place {
	return place{history.Config{Location: locate(t, filepath.Join(t.TempDir(), "h", "history.db"))}}
}

func postgresPlace(t testing.TB) place {
	return place{history.Config{Location: locate(t, postgres(t).URL().Value()), Schema: unique("history")}}
}

var schemas atomic.Int64

// unique returns a name that no other test has, nor this one when it is run again.
func unique(name string) string { return fmt.Sprintf("%s_%d", name, schemas.Add(1)) }

// both runs a test on either database.
func both(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, sqlitePlace(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, postgresPlace(t)) })
}

var series = history.Series{Target: "http://api.example:8000", Instance: "soakd"}

func begin(t testing.TB, s *history.Store, run history.Run) string {
	t.Helper()
	if run.Target == "" {
		run.Series = series
	}
	if run.Started.IsZero() {
		run.Started = at
	}
	run.Workload = "cashflow"
	id, err := s.BeginRun(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func appendBatch(t testing.TB, s *history.Store, batch history.Batch) {
	t.Helper()
	if batch.At.IsZero() {
		batch.At = at
	}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// minutes returns n windows of a minute from a moment.
func minutes(from time.Time, n int) []history.Window {
	windows := make([]history.Window, n)
	for i := range windows {
		windows[i] = history.Window{Level: time.Minute, Start: from.Truncate(time.Minute).Add(time.Duration(i) * time.Minute), Version: "v1", Data: fmt.Appendf(nil, "minute %d", i)}
	}
	return windows
}

func collect(t testing.TB, s *history.Store, query history.WindowQuery) []history.Window {
	t.Helper()
	var all []history.Window
	for w, err := range s.Windows(t.Context(), query) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

// withPassword returns a URL with another password.
func withPassword(t testing.TB, text, password string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}
