package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/history"
	"soakd/internal/judge/window"
)

// historyAt is the start of the first run of the tests.
var historyAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// minuteOf is a minute of traffic with response times around a median.
func minuteOf(start time.Time, version string, median time.Duration) *window.Window {
	times := new(histogram.Histogram)
	for i := range 3000 {
		times.Observe(median*time.Duration(70+i%61)/100 + time.Duration(start.Minute()%7)*median/200)
	}
	return &window.Window{
		Start: start, Length: window.Minute, Covered: window.Minute, Fit: window.Minute, Rate: 50, Version: version, Scheduled: 3000, Sent: 3000,
		Cases: []window.Case{{Name: "list", Class: "simple", Outcomes: []window.Count{{Name: window.OK, N: 3000}}, Times: times}},
	}
}

// storedRun stores a run of an hour in the history at a path and returns its id.
func storedRun(t *testing.T, path string, start time.Time, version string, median time.Duration) string {
	t.Helper()
	location, err := history.Locate(path, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	s, err := history.Open(t.Context(), history.Config{Location: location})
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.BeginRun(t.Context(), history.Run{
		Series: history.Series{Target: "http://api.example", Instance: "soakd"}, Workload: "cashflow", Started: start, Settings: json.RawMessage(`{"SOAKD_RATE":"50"}`),
		Versions: []history.Version{{Name: version, Since: start}},
	})
	if err != nil {
		t.Fatal(err)
	}
	batch := history.Batch{
		Run: id, At: start.Add(time.Hour),
		Findings: []history.Finding{{ID: "f1", Kind: "leak", Subject: "signal soakd_api_open_fds", Onset: start, Found: start.Add(time.Minute), Document: json.RawMessage(`{"text":"open files grow by 5 an hour"}`)}},
		Events:   []history.Event{{ID: "1", At: start, Kind: "version", Text: "the target answers with " + version}},
	}
	for i := range 60 {
		w := minuteOf(start.Add(time.Duration(i)*time.Minute), version, median)
		batch.Windows = append(batch.Windows, history.Window{Level: w.Length, Start: w.Start, Version: w.Version, Data: w.AppendBinary(nil)})
	}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.EndRun(t.Context(), id, batch.At, history.Passed, nil), s.Close()); err != nil {
		t.Fatal(err)
	}
	return id
}

// historyOf runs `soakd history` on the file at a path.
func historyOf(t *testing.T, path string, args ...string) (string, error) {
	t.Helper()
	t.Setenv("SOAKD_HISTORY_URL", path)
	var stdout bytes.Buffer
	err := historyCommand(t.Context(), args, strings.NewReader(""), &stdout)
	return stdout.String(), err
}

// has checks that a text holds others.
func has(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestHistoryListAndShow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	first := storedRun(t, path, historyAt, "v1", 20*time.Millisecond)
	second := storedRun(t, path, historyAt.Add(24*time.Hour), "v2", 20*time.Millisecond)

	text, err := historyOf(t, path, "list")
	lines := strings.Split(text, "\n")
	if err != nil || len(lines) != 4 || !strings.HasPrefix(lines[1], second[:shortID]) {
		t.Fatalf("%v\n%s", err, text)
	}
	if want := first[:shortID] + "  2026-03-01 12:00:00  1h0m0s  pass     v1       http://api.example  soakd     cashflow"; lines[2] != want {
		t.Errorf("%s, want\n%s", lines[2], want)
	}
	if _, err := historyOf(t, path, "show", "last", "--target", "http://other"); !errors.Is(err, history.ErrNotFound) {
		t.Error(err)
	}
	if text, err := historyOf(t, path, "list", "--limit", "1"); err != nil || strings.Contains(text, first[:shortID]) {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = historyOf(t, path, "list", "--json", "--target=http://other")
	if err != nil || text != "[]\n" {
		t.Errorf("%q, %v", text, err)
	}

	text, err = historyOf(t, path, "show", "version=v1")
	if err != nil {
		t.Fatal(err)
	}
	has(t, text, first, "http://api.example", `{"SOAKD_RATE":"50"}`, "leak", "open files grow by 5 an hour", "open", "the target answers with v1")
	text, err = historyOf(t, path, "show", "--json", first)
	var shown shownRun
	if err != nil || json.Unmarshal([]byte(text), &shown) != nil || shown.Run.ID != first || len(shown.Findings) != 1 || shown.Events[0].Kind != "version" {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestHistoryExportAndImport(t *testing.T) {
	folder := t.TempDir()
	path, other, file := filepath.Join(folder, "h.db"), filepath.Join(folder, "other.db"), filepath.Join(folder, "x.jsonl.gz")
	storedRun(t, path, historyAt, "v1", 20*time.Millisecond)
	want, err := historyOf(t, path, "show", "last")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := historyOf(t, path, "export", file, "last"); err != nil {
		t.Fatal(err)
	}
	text, err := historyOf(t, other, "import", file)
	if err != nil || text != "read 1 runs, 60 windows, 1 findings, 1 events, 0 baselines\n" {
		t.Errorf("%q, %v", text, err)
	}
	if got, err := historyOf(t, other, "show", "last"); err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	exported, err := historyOf(t, path, "export", "-")
	if err != nil {
		t.Fatal(err)
	}
	// A window whose data is no window, and one of another time.
	for name, change := range map[string][2]string{"line 3: window: the encoding": {`"data":"A`, `"data":"B`}, "holds that of": {`"start":"2026-03-01T12:00:00Z"`, `"start":"2026-03-01T13:30:00Z"`}} {
		var stdout bytes.Buffer
		t.Setenv("SOAKD_HISTORY_URL", other)
		err := historyCommand(t.Context(), []string{"import", "-"}, strings.NewReader(strings.Replace(exported, change[0], change[1], 1)), &stdout)
		if err == nil || !strings.Contains(err.Error(), name) || exitCode(err) != exitUsage {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

func TestHistoryMistakes(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "h.db")
	storedRun(t, path, historyAt, "v1", 20*time.Millisecond)
	for _, one := range []struct {
		args []string
		want string
	}{
		{nil, "history needs a command"},
		{[]string{"lsit"}, `"lsit" is no command of history`},
		{[]string{"show"}, "use: soakd history show RUN"},
		{[]string{"list", "x"}, "use: soakd history list"},
		{[]string{"baseline"}, "history baseline needs a command"},
		{[]string{"baseline", "remove", "none"}, `baseline "none": not found`},
		{[]string{"show", "ffff"}, "not found"},
		{[]string{"show", "last", "--jsn"}, "see `soakd history --help`"},
		{[]string{"list", "--limit", "-1"}, "LIMIT: -1 must be 0 (all) or more"},
		{[]string{"list", "--history-max-bytes", "5"}, "SOAKD_HISTORY_MAX_BYTES: 5 must be"},
		{[]string{"list", "--history-schema", "A B"}, "SOAKD_HISTORY_SCHEMA"},
		{[]string{"list", "--history-retention", "soon"}, "--history-retention: \"soon\" must be a time"},
		{[]string{"import", filepath.Join(folder, "none")}, "no such file"},
	} {
		if text, err := historyOf(t, path, one.args...); err == nil || !strings.Contains(err.Error(), one.want) || exitCode(err) != exitUsage || text != "" {
			t.Errorf("%v: %v (exit code %d), want %q", one.args, err, exitCode(err), one.want)
		}
	}
	for url, want := range map[string]string{
		"none": "there is no history", filepath.Join(folder, "not.db"): "soakd run makes it", "mysql://u:hunter2@h": "is not known", folder: "is a directory",
	} {
		if _, err := historyOf(t, url, "list"); err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitUsage || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "not.db")); err == nil {
		t.Error("`history list` made a history")
	}
	t.Setenv("SOAKD_HISTRY_URL", "x")
	if _, err := historyOf(t, path, "list"); err == nil || !strings.Contains(err.Error(), "did you mean SOAKD_HISTORY_URL?") {
		t.Error(err)
	}
}

func TestHistoryHelp(t *testing.T) {
	text, err := historyOf(t, "none", "list", "--help")
	if exitCode(err) != exitOK {
		t.Error(err)
	}
	has(t, text, "soakd history compare A B", "-history-retention", "-limit")
	if strings.Contains(text, "-history-url ") {
		t.Error("the URL, which may hold a password, is a flag")
	}
}

// The settings of a target that is not there are none of the history's business.
func TestHistoryIgnoresOtherSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	storedRun(t, path, historyAt, "v1", 20*time.Millisecond)
	t.Setenv("SOAKD_TARGET_URL", "rubbish")
	if _, err := historyOf(t, path, "list"); err != nil {
		t.Error(err)
	}
}
