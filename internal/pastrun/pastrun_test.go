package pastrun

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/history"
	"soakd/internal/judge"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/simulate"
	"soakd/internal/judge/window"
)

// A judge that takes the stored run up knows of the leak what the run knew.
func TestStoredRunIsTakenUp(t *testing.T) {
	cfg := Config{
		URL:    filepath.Join(t.TempDir(), "history.db"),
		Series: history.Series{Target: "http://api:8000", Instance: "soakd"},
		World:  simulate.Config{Seed: 7, Rate: 20, Episodes: []simulate.Episode{{Fault: "memory_leak_fast", At: 30 * time.Minute}}},
		Long:   90 * time.Minute, Until: time.Date(2026, 3, 4, 12, 0, 7, 0, time.UTC),
	}
	found, err := Store(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	leaks := func(list []judge.Finding) bool {
		return slices.ContainsFunc(list, func(f judge.Finding) bool { return f.Kind == finding.Leak && f.Open() })
	}
	if !leaks(found) {
		t.Fatalf("no leak in %+v", found)
	}
	location, err := history.Locate(cfg.URL, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	store, err := history.Open(t.Context(), history.Config{Location: location})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // read only
	state, err := store.State(t.Context(), cfg.Series, stateKey)
	if err != nil {
		t.Fatal(err)
	}
	j, err := judge.New(judge.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Restore(state.Data); err != nil {
		t.Fatal(err)
	}
	minutes := 0
	for stored, err := range store.Windows(t.Context(), history.WindowQuery{Series: cfg.Series, Level: window.Minute, From: cfg.Until.Add(-24 * time.Hour)}) {
		if err != nil {
			t.Fatal(err)
		}
		w, err := window.Decode(stored.Data)
		if err != nil {
			t.Fatal(err)
		}
		j.Replay(w)
		minutes++
	}
	if minutes < 85 || !leaks(j.Findings()) {
		t.Errorf("%d minutes, findings %+v", minutes, j.Findings())
	}
	runs, err := store.Runs(t.Context(), history.RunFilter{})
	if err != nil || len(runs) != 1 || runs[0].Ended.IsZero() {
		t.Errorf("runs %+v, %v", runs, err)
	}
}

func TestWrongConfig(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"short":    {Config{Long: time.Second}, "too short"},
		"no fault": {Config{URL: filepath.Join(t.TempDir(), "a.db"), Long: time.Hour, World: simulate.Config{Rate: 1, Episodes: []simulate.Episode{{Fault: "bad"}}}}, `no fault "bad"`},
	} {
		if _, err := Store(t.Context(), c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
