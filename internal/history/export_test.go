package history_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/history"
)

// filled returns a history with something of each kind, and the ids of its runs.
func filled(t *testing.T, p place) (s *history.Store, first, second string) {
	t.Helper()
	s = p.open(t)
	first = begin(t, s, history.Run{Settings: json.RawMessage(`{"rate":50}`), Versions: []history.Version{{Name: "v1", Since: at}}})
	second = begin(t, s, history.Run{Started: at.Add(time.Hour)})
	appendBatch(t, s, history.Batch{
		Run: first, Windows: append(minutes(at, 3), history.Window{Level: time.Hour, Start: at.Truncate(time.Hour), Data: []byte{0, 1, 0xff}}),
		Findings: []history.Finding{{ID: "f", Kind: "leak", Subject: "<x>", Onset: at, Found: at.Add(1), Document: json.RawMessage(`{"a":1}`)}},
		Events:   []history.Event{{ID: "e1", Kind: "restart", At: at, Text: "x"}, {ID: "e2", Kind: "deploy", At: at.Add(1)}},
		States:   []history.State{{Key: "judge", Updated: at, Data: []byte("state")}}, Verdict: "fail",
	})
	if err := s.EndRun(t.Context(), first, at.Add(time.Hour), history.Passed, json.RawMessage(`{"b":2}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.SetBaseline(t.Context(), history.Baseline{Name: "b", Target: "http://a", Workload: "w", Run: first, Created: at, Pinned: true, Profile: []byte("profile")}); err != nil {
		t.Fatal(err)
	}
	return s, first, second
}

func export(t *testing.T, s *history.Store, options history.ExportOptions) string {
	t.Helper()
	var b bytes.Buffer
	options.At = at
	if err := s.Export(t.Context(), &b, options); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What is exported from either database and imported into either is the same, also
// a second time.
func TestExportAndImport(t *testing.T) {
	both(t, func(t *testing.T, from place) {
		source, _, _ := filled(t, from)
		text := export(t, source, history.ExportOptions{})
		both(t, func(t *testing.T, to place) {
			s := to.open(t)
			for range 2 {
				imported, err := s.Import(t.Context(), strings.NewReader(text), history.ImportOptions{})
				if want := (history.Imported{Runs: 2, Windows: 4, Findings: 1, Events: 2, Baselines: 1, States: 1}); err != nil || imported != want {
					t.Fatalf("%+v, %v, want %+v", imported, err, want)
				}
				if again := export(t, s, history.ExportOptions{}); again != text {
					t.Fatalf("exported again:\n%s\nwant\n%s", again, text)
				}
			}
		})
	})
}

func TestExportOfARun(t *testing.T) {
	s, first, second := filled(t, sqlitePlace(t))
	text := export(t, s, history.ExportOptions{Runs: []string{second}})
	if strings.Contains(text, first) || !strings.Contains(text, second) || strings.Count(text, "\n") != 3 {
		t.Error(text)
	}
	if err := s.Export(t.Context(), &bytes.Buffer{}, history.ExportOptions{Runs: []string{"x"}}); !errors.Is(err, history.ErrNotFound) {
		t.Error(err)
	}
}

// Of what is there and what is imported the newer stays, whichever came first.
func TestImportKeepsTheNewer(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		id := begin(t, s, history.Run{})
		finding := history.Finding{ID: "f", Kind: "leak", Onset: at, Found: at}
		appendBatch(t, s, history.Batch{Run: id, At: at.Add(time.Minute), Findings: []history.Finding{finding}})
		before := export(t, s, history.ExportOptions{})
		finding.Ended = at.Add(time.Hour)
		appendBatch(t, s, history.Batch{Run: id, At: at.Add(time.Hour), Findings: []history.Finding{finding}, Verdict: "fail"})
		if err := s.EndRun(t.Context(), id, at.Add(2*time.Hour), "", nil); err != nil {
			t.Fatal(err)
		}
		after := export(t, s, history.ExportOptions{})
		other := postgresPlace(t).open(t)
		for _, text := range []string{before, after, before} {
			if _, err := other.Import(t.Context(), strings.NewReader(text), history.ImportOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if got := export(t, other, history.ExportOptions{}); got != after {
			t.Errorf("%s\nwant\n%s", got, after)
		}
	})
}

func TestImportRefusesRubbish(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		source, first, _ := filled(t, sqlitePlace(t))
		text := export(t, source, history.ExportOptions{})
		lines := strings.SplitAfter(text, "\n")
		with := func(n int, line string) string {
			changed := append([]string{}, lines...)
			changed[n-1] = line + "\n"
			return strings.Join(changed, "")
		}
		s := p.open(t)
		empty := export(t, s, history.ExportOptions{})
		for name, one := range map[string]struct{ text, want string }{
			"nothing":         {"", "after line 0: the end is missing"},
			"no JSON":         {with(4, "rubbish"), "line 4: this is no line of an export"},
			"no header":       {strings.Join(lines[1:], ""), "line 1: an export starts with"},
			"two headers":     {with(2, strings.TrimSpace(lines[0])), "line 2: an export starts with"},
			"another version": {with(1, `{"soakd_history":{"version":7,"exported":"2026-03-01T00:00:00Z"}}`), "line 1: the export is of version 7"},
			"unknown":         {with(3, `{"mystery":1}`), `line 3: this is no line of an export: json: unknown field "mystery"`},
			"nothing on it":   {with(3, `{}`), "line 3: it holds 0 things"},
			"two things":      {with(3, `{"event":{},"finding":{}}`), "line 3: it holds 2 things"},
			"two objects":     {with(3, `{"end":{"lines":2}}{}`), "line 3: more than one object"},
			"cut":             {strings.Join(lines[:len(lines)-2], ""), "the end is missing"},
			"a line missing":  {strings.Join(append(append([]string{}, lines[:3]...), lines[4:]...), ""), "there should be"},
			"more":            {text + lines[1], "there is more after the end"},
			"a bad run":       {with(2, `{"run":{"id":"x"}}`), `line 2: "x" is no id of a run`},
			"the run twice":   {with(3, strings.TrimSpace(lines[1])), "line 3: run \"" + first + "\" comes twice"},
			"an unknown run":  {with(3, `{"event":{"run":"y","id":"e","kind":"k","at":"2026-03-01T00:00:00Z"}}`), `line 3: run "y" has not come before`},
			"a bad window":    {with(3, fmt.Sprintf(`{"window":{"run":%q,"seconds":0,"start":"2026-03-01T00:00:00Z","data":"eA=="}}`, first)), "line 3: a window needs"},
			"a bad time":      {with(3, fmt.Sprintf(`{"window":{"run":%q,"seconds":60,"start":"yesterday","data":"eA=="}}`, first)), "line 3: this is no line"},
			"a bad event":     {with(3, fmt.Sprintf(`{"event":{"run":%q}}`, first)), "line 3: event \"\" needs"},
			"a bad finding":   {with(3, fmt.Sprintf(`{"finding":{"run":%q,"id":"x"}}`, first)), "line 3: finding \"x\" needs"},
			"a bad baseline":  {with(3, `{"baseline":{"name":"x"}}`), "line 3: baseline \"x\" needs"},
			"a bad state":     {with(3, `{"state":{"key":"x"}}`), "line 3: state needs a target"},
			"a bad settings":  {with(2, `{"run":{"settings":}}`), "line 2: "},
		} {
			_, err := s.Import(t.Context(), strings.NewReader(one.text), history.ImportOptions{})
			if err == nil || !strings.Contains(err.Error(), one.want) {
				t.Errorf("%s: %v, want %q", name, err, one.want)
			}
			if got := export(t, s, history.ExportOptions{}); got != empty {
				t.Fatalf("%s: was imported by halves:\n%s", name, got)
			}
		}
		_, err := s.Import(t.Context(), strings.NewReader(text), history.ImportOptions{CheckWindow: func(w history.Window) error {
			return fmt.Errorf("window of %v is odd", w.Level)
		}})
		if err == nil || !strings.Contains(err.Error(), "line 3: window of 1m0s is odd") {
			t.Error(err)
		}
		_, err = s.Import(t.Context(), strings.NewReader(text), history.ImportOptions{CheckBaseline: func(b history.Baseline) error {
			return fmt.Errorf("baseline %s is odd", b.Name)
		}})
		if err == nil || !strings.Contains(err.Error(), ": baseline b is odd") {
			t.Error(err)
		}
	})
}

func TestExportFile(t *testing.T) {
	s, _, _ := filled(t, sqlitePlace(t))
	folder := t.TempDir()
	for _, name := range []string{"x.jsonl", "x.jsonl.gz"} {
		path := filepath.Join(folder, name)
		if err := s.ExportFile(t.Context(), path, history.ExportOptions{At: at}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if packed := bytes.HasPrefix(data, []byte{0x1f, 0x8b}); err != nil || packed != strings.HasSuffix(name, ".gz") {
			t.Errorf("%s: packed: %t, %v", name, packed, err)
		}
		other := sqlitePlace(t).open(t)
		if imported, err := other.ImportFile(t.Context(), path, history.ImportOptions{}); err != nil || imported.Windows != 4 {
			t.Errorf("%s: %+v, %v", name, imported, err)
		}
		if got := export(t, other, history.ExportOptions{}); got != export(t, s, history.ExportOptions{}) {
			t.Errorf("%s: something else came back", name)
		}
	}
	// A mistake leaves the file of before, and no part of a new one.
	if err := s.ExportFile(t.Context(), filepath.Join(folder, "x.jsonl"), history.ExportOptions{Runs: []string{"none"}}); !errors.Is(err, history.ErrNotFound) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
	cut := filepath.Join(folder, "cut.gz")
	data, _ := os.ReadFile(filepath.Join(folder, "x.jsonl.gz"))
	for name, content := range map[string][]byte{"no gzip file": []byte("rubbish"), "unexpected EOF": data[:len(data)-20]} {
		if err := os.WriteFile(cut, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ImportFile(t.Context(), cut, history.ImportOptions{}); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), cut) {
			t.Errorf("%v, want %q", err, name)
		}
	}
	if _, err := s.ImportFile(t.Context(), filepath.Join(folder, "none"), history.ImportOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzImport(f *testing.F) {
	f.Add(`{"soakd_history":{"version":1,"exported":"2026-03-01T00:00:00Z"}}` + "\n" + `{"end":{"lines":1}}` + "\n")
	f.Add(`{"soakd_history":{"version":1,"exported":"2026-03-01T00:00:00Z"}}` + "\n" +
		`{"run":{"id":"01980000-0000-7000-8000-000000000001","target":"t","instance":"i","workload":"w","soakd_version":"1","started":"2026-03-01T00:00:00Z","seen":"2026-03-01T00:00:00Z"}}` + "\n" +
		`{"window":{"run":"01980000-0000-7000-8000-000000000001","seconds":60,"start":"2026-03-01T00:00:00Z","data":"eA=="}}` + "\n" + `{"end":{"lines":3}}` + "\n")
	s := sqlitePlace(f).open(f)
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = s.Import(t.Context(), strings.NewReader(text), history.ImportOptions{})
		if err := s.Export(t.Context(), &bytes.Buffer{}, history.ExportOptions{}); err != nil {
			t.Error(err)
		}
	})
}
