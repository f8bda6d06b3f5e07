package history_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"soakd/internal/history"
)

// noise is data that cannot be packed.
func noise(n int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 0, n)
	for len(data) < n {
		data = binary.LittleEndian.AppendUint64(data, random.Uint64())
	}
	return data
}

const day = 24 * time.Hour

func TestPruneKeepsTheRetention(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		now := at.Add(500 * day)
		old := begin(t, s, history.Run{Started: at})
		long := begin(t, s, history.Run{Started: at, Series: history.Series{Target: "http://long", Instance: "x"}})
		var windows []history.Window
		for _, level := range []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, time.Hour} {
			for _, age := range []time.Duration{day, 7 * day, 9 * day, 34 * day, 36 * day, 399 * day, 401 * day} {
				windows = append(windows, history.Window{Level: level, Start: now.Add(-age), Data: []byte("x")})
			}
		}
		event := func(age time.Duration) history.Event {
			return history.Event{ID: fmt.Sprint(age), Kind: "k", At: now.Add(-age)}
		}
		finding := func(age, ended time.Duration) history.Finding {
			f := history.Finding{ID: fmt.Sprint(age, ended), Kind: "k", Onset: now.Add(-age), Found: now.Add(-age)}
			if ended > 0 {
				f.Ended = now.Add(-ended)
			}
			return f
		}
		appendBatch(t, s, history.Batch{Run: old, At: now.Add(-401 * day), Windows: minutes(now.Add(-day), 1), Events: []history.Event{event(1)}, States: []history.State{{Key: "k", Updated: at}}})
		appendBatch(t, s, history.Batch{
			Run: long, At: now, Windows: windows, Events: []history.Event{event(399 * day), event(401 * day)},
			Findings: []history.Finding{finding(399*day, 0), finding(410*day, 399*day), finding(410*day, 401*day), finding(401*day, 0)},
			States:   []history.State{{Key: "k", Updated: at}},
		})
		for _, b := range []history.Baseline{{Name: "pinned", Pinned: true, Created: at}, {Name: "old", Created: at}, {Name: "new", Created: now}} {
			b.Target, b.Profile = "http://long", []byte("x")
			if err := s.SetBaseline(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		removed, err := s.Prune(t.Context(), now)
		if want := (history.Pruned{Windows: 5 + 5 + 3 + 1, Runs: 1, Findings: 2, Events: 1, Baselines: 1}); err != nil || removed != want {
			t.Errorf("removed %+v, %v, want %+v", removed, err, want)
		}
		if runs, err := s.Runs(t.Context(), history.RunFilter{}); err != nil || len(runs) != 1 || runs[0].ID != long {
			t.Errorf("left: %+v, %v", runs, err)
		}
		if n := len(collect(t, s, history.WindowQuery{Series: series, Level: time.Minute})); n != 0 {
			t.Errorf("%d windows of a run that is gone", n)
		}
		if _, err := s.State(t.Context(), series, "k"); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("the state of a series that is gone: %v", err)
		}
		if _, err := s.State(t.Context(), history.Series{Target: "http://long", Instance: "x"}, "k"); err != nil {
			t.Errorf("the state of a series that goes on: %v", err)
		}
		if again, err := s.Prune(t.Context(), now); err != nil || again != (history.Pruned{}) {
			t.Errorf("a second time: %+v, %v", again, err)
		}
	})
}

// A year of a soakd that stores more than its bound: neither the values nor the
// file grow beyond it, the newest windows of each length stay, and the run too.
func TestSizeIsBounded(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		const bound = 2 << 20
		p.cfg.MaxBytes = bound
		s := p.open(t)
		id := begin(t, s, history.Run{})
		gone := begin(t, s, history.Run{Series: history.Series{Target: "http://gone", Instance: "x"}})
		if err := s.EndRun(t.Context(), gone, at, history.Passed, json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		largest, now := int64(0), at
		for hour := range 40 {
			batch := history.Batch{Run: id}
			for i := range 60 {
				now = now.Add(time.Minute)
				batch.Windows = append(batch.Windows, history.Window{Level: time.Minute, Start: now, Data: noise(4096, uint64(hour*60+i))})
				if i%5 == 0 {
					batch.Windows = append(batch.Windows, history.Window{Level: 5 * time.Minute, Start: now, Data: noise(4096, uint64(i))})
				}
			}
			batch.At = now
			appendBatch(t, s, batch)
			if _, err := s.Prune(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(s.Location()); err == nil {
				largest = max(largest, info.Size())
				if log, err := os.Stat(s.Location() + "-wal"); err == nil && log.Size() > 16<<20 {
					t.Errorf("the log has %d bytes", log.Size())
				}
			}
		}
		if largest > bound+bound/2 {
			t.Errorf("the file had %d bytes, and the bound is %d", largest, bound)
		}
		for _, level := range []time.Duration{time.Minute, 5 * time.Minute} {
			got := collect(t, s, history.WindowQuery{Run: id, Level: level})
			if len(got) < 50 || now.Sub(got[len(got)-1].Start) >= level {
				t.Errorf("%d windows of %v are left, the newest of %v, now is %v", len(got), level, got[len(got)-1].Start, now)
			}
		}
		if _, err := s.Run(t.Context(), gone); err != nil {
			t.Errorf("a run went before the windows did: %v", err)
		}
	})
}

// When there is nothing else left, runs that are over go, and never one that goes on.
func TestSizeIsBoundedByRuns(t *testing.T) {
	p := sqlitePlace(t)
	p.cfg.MaxBytes = 1 << 20
	s := p.open(t)
	for i := range 60 {
		id := begin(t, s, history.Run{Started: at.Add(time.Duration(i) * time.Hour)})
		var text []byte
		for len(text) < 40_000 {
			text = fmt.Appendf(text, "%d ", i)
		}
		appendBatch(t, s, history.Batch{Run: id, At: at.Add(time.Duration(i) * time.Hour), Events: []history.Event{{ID: "e", At: at, Kind: "k", Text: string(text)}}})
	}
	now := at.Add(59*time.Hour + time.Minute)
	removed, err := s.Prune(t.Context(), now)
	if err != nil || removed.Runs == 0 {
		t.Fatalf("%+v, %v", removed, err)
	}
	runs, err := s.Runs(t.Context(), history.RunFilter{})
	if err != nil || len(runs) != 60-int(removed.Runs) || len(runs) < 10 || !runs[0].Started.Equal(at.Add(59*time.Hour)) {
		t.Errorf("%d runs are left, %v", len(runs), err)
	}
	if size, err := s.Size(t.Context()); err != nil || size > p.cfg.MaxBytes {
		t.Errorf("%d bytes, %v", size, err)
	}
}
