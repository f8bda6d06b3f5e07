package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/history"
	"soakd/internal/judge"
	"soakd/internal/judge/window"
	"soakd/internal/lockedbuffer"
)

// versioned answers health checks and nothing else.
func versioned(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-App-Version", "v7")
		if r.URL.Path != "/health" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write([]byte(`{"status":"ok"}`))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A run is in the history with its verdict and its settings, and the next run goes
// on where it was. No secret is in it.
func TestRunsAreKept(t *testing.T) {
	target := versioned(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	file := filepath.Join(t.TempDir(), "history.db")
	const key = "a-secret-of-32-bytes-or-more-0123456789"
	t.Setenv("SOAKD_TARGET_URL", target)
	t.Setenv("SOAKD_HISTORY_URL", file)
	t.Setenv("SOAKD_JWT_SECRET", key)
	var logs string
	for range 2 {
		var stdout, stderr lockedbuffer.Buffer
		err := run(t.Context(), []string{"run", "--duration", "300ms", "--rate", "100", "--listen", "127.0.0.1:0", "--users", "1"}, &stdout, &stderr)
		if exitCode(err) != exitFailed || !strings.Contains(err.Error(), "failed: ") {
			t.Fatalf("%v\n%s\n%s", err, &stdout, &stderr)
		}
		logs = stderr.String()
	}
	if !strings.Contains(logs, "took up the judgement of an earlier run") {
		t.Errorf("the second run began anew:\n%s", logs)
	}

	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"history", "list", "--json"}, &stdout, &stdout); err != nil {
		t.Fatal(err)
	}
	var listed []history.Run
	if err := json.Unmarshal(stdout.Bytes(), &listed); err != nil || len(listed) != 2 {
		t.Fatalf("%v: %s", err, &stdout)
	}
	for _, r := range listed {
		if r.Verdict != "fail" || r.Ended.IsZero() || r.Workload != "cashflow" || len(r.Versions) != 1 || r.Versions[0].Name != "v7" || r.Versions[0].Since.Before(r.Started) {
			t.Errorf("run %+v", r)
		}
		if !strings.Contains(string(r.Settings), `"SOAKD_RATE": "100"`) {
			t.Errorf("settings %s", r.Settings)
		}
	}
	for _, name := range []string{file, file + "-wal"} {
		if data, err := os.ReadFile(name); err == nil && bytes.Contains(data, []byte(key)) { //nolint:gosec // made above
			t.Errorf("%s holds the secret", filepath.Base(name))
		}
	}
}

// A history that was asked for and cannot be had is a mistake.
func TestAHistoryThatCannotBeHadIsToldAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOAKD_TARGET_URL", versioned(t))
	t.Setenv("SOAKD_HISTORY_URL", file)
	var stdout, stderr lockedbuffer.Buffer
	err := run(t.Context(), []string{"run", "--duration", "1s", "--listen", "127.0.0.1:0"}, &stdout, &stderr)
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "SOAKD_HISTORY_URL") || !strings.Contains(err.Error(), file) {
		t.Errorf("%d: %v", exitCode(err), err)
	}
	t.Setenv("SOAKD_HISTORY_URL", filepath.Join(t.TempDir(), "new.db"))
	err = run(t.Context(), []string{"run", "--duration", "1s", "--listen", "127.0.0.1:0", "--baseline", "last-good"}, &stdout, &stderr)
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), `the history has no baseline "last-good"`) {
		t.Errorf("%d: %v", exitCode(err), err)
	}
}

// While the history is away, what is new waits for it in bounded memory, and what
// was dropped is counted.
func TestWindowsWaitForTheHistory(t *testing.T) {
	t.Setenv("SOAKD_TARGET_URL", "http://127.0.0.1:1")
	t.Setenv("SOAKD_HISTORY_URL", filepath.Join(t.TempDir(), "history.db"))
	cfg, err := readConfig(command{name: "run"}, nil, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var log lockedbuffer.Buffer
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	c, err := openChronicle(t.Context(), cfg, "cashflow", start, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	collector, _, _, _ := collected(t)
	cfgJudge, err := cfg.judgeConfig(testWorkload())
	if err != nil {
		t.Fatal(err)
	}
	j, err := newJudgement(collector, cfgJudge)
	if err != nil {
		t.Fatal(err)
	}
	minute := func(i int) *window.Window {
		return &window.Window{Start: start.Add(time.Duration(i) * time.Minute), Length: window.Minute, Covered: window.Minute, Fit: window.Minute}
	}
	away, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range maxPending + 7 {
		c.keep([]*window.Window{minute(i), {Length: window.Short}})
	}
	c.flush(away, j, start)
	if h := c.figures(); h.Failed != 1 || h.Pending != maxPending || h.Dropped != 7 {
		t.Errorf("while it is away: %+v", h)
	}
	c.flush(t.Context(), j, start)
	if h := c.figures(); h.Stored != 1 || h.Pending != 0 || h.Dropped != 7 {
		t.Errorf("when it is back: %+v", h)
	}
	if text := log.String(); strings.Count(text, "cannot be written") != 1 || strings.Count(text, "can be written again") != 1 {
		t.Errorf("log %s", text)
	}
	n := 0
	for _, err := range c.store.Windows(t.Context(), history.WindowQuery{Series: c.series, Level: window.Minute}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != maxPending {
		t.Errorf("%d windows are stored", n)
	}
	c.end(t.Context(), j, start.Add(time.Hour), judge.Pass)
}

// The history has the findings of a run under that run: not those that were over
// before, and none lasts there that the judgement does not know any more.
func TestFindingsAreKeptWithTheirRun(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	c := &chronicle{began: start, stored: map[string]storedFinding{}, seed: maphash.MakeSeed()}
	write := func(at time.Time, findings ...judge.Finding) string {
		t.Helper()
		b := history.Batch{At: at}
		stored, err := c.addFindings(&b, findings)
		if err != nil {
			t.Fatal(err)
		}
		c.stored = stored
		var list []string
		for _, f := range b.Findings {
			var document judge.Finding
			if err := json.Unmarshal(f.Document, &document); err != nil || !document.Ended.Equal(f.Ended) {
				t.Errorf("%v: %s ended %v", err, f.Document, f.Ended)
			}
			list = append(list, fmt.Sprintf("%s %v", f.ID, !f.Ended.IsZero()))
		}
		return strings.Join(list, ", ")
	}
	old := judge.Finding{ID: "old", Found: start.Add(-2 * time.Hour), Ended: start.Add(-time.Hour)}
	lasts, ended := judge.Finding{ID: "lasts"}, judge.Finding{ID: "ended", Ended: start.Add(time.Minute)}
	absorbed := judge.Finding{ID: "absorbed"}
	for i, want := range []string{"lasts false, absorbed false, ended true", "", "absorbed true", ""} {
		all := []judge.Finding{old, lasts, absorbed, ended}
		if i >= 2 {
			all = []judge.Finding{old, lasts}
		}
		if got := write(start.Add(time.Duration(i)*time.Minute), all...); got != want {
			t.Errorf("batch %d: %q, want %q", i, got, want)
		}
	}
}
