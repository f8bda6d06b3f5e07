package history_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"soakd/internal/history"
)

func TestRunIsKept(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		run := history.Run{
			Series: series, Workload: "cashflow", SoakdVersion: "1.2.3", Settings: json.RawMessage(`{"rate": 50, "x": "\u0000"}`), Started: at,
			Versions: []history.Version{{Name: "v1", Since: at}},
		}
		id, err := s.BeginRun(t.Context(), run)
		if err != nil || len(id) != 36 || id[14] != '7' {
			t.Fatalf("%q, %v: no UUID of version 7", id, err)
		}
		later := at.Add(time.Minute)
		appendBatch(t, s, history.Batch{Run: id, At: later, Verdict: "fail", Summary: json.RawMessage(`{"a":1}`), Versions: []history.Version{{Name: "v2", Since: later}, {Name: "v1", Since: later}}})
		run.ID, run.Seen, run.Verdict, run.Summary = id, later, "fail", json.RawMessage(`{"a":1}`)
		run.Versions = append(run.Versions, history.Version{Name: "v2", Since: later})
		got, err := s.Run(t.Context(), id)
		if err != nil || !reflect.DeepEqual(got, run) {
			t.Errorf("%v\n%+v, want\n%+v", err, got, run)
		}
		if err := s.EndRun(t.Context(), id, later.Add(1), history.Passed, nil); err != nil {
			t.Fatal(err)
		}
		run.Ended, run.Seen, run.Verdict = later.Add(1), later.Add(1), history.Passed
		if got, err = s.Run(t.Context(), id); err != nil || !reflect.DeepEqual(got, run) {
			t.Errorf("%v\n%+v, want\n%+v", err, got, run)
		}
		if _, err := s.BeginRun(t.Context(), run); err == nil {
			t.Error("a run began twice")
		}
	})
}

func TestBatchIsKeptAndReplaces(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		id := begin(t, s, history.Run{})
		found := history.Finding{ID: "f1", Kind: "leak", Subject: "signal x", Onset: at, Found: at.Add(time.Hour), Document: json.RawMessage(`{"slope":1}`)}
		event := history.Event{ID: "e1", At: at, Kind: "restart", Text: "the API\x00 restarted \xff", Document: json.RawMessage(`[1, 2]`)}
		batch := history.Batch{Run: id, Windows: minutes(at, 3), Findings: []history.Finding{found}, Events: []history.Event{event}, States: []history.State{{Key: "judge", Updated: at, Data: []byte("one")}}}
		appendBatch(t, s, batch)
		appendBatch(t, s, batch) // as after a commit whose answer was lost
		found.Ended = at.Add(2 * time.Hour)
		appendBatch(t, s, history.Batch{Run: id, Findings: []history.Finding{found, {ID: "f2", Kind: "errors", Onset: at, Found: at.Add(2 * time.Hour)}}, States: []history.State{{Key: "judge", Updated: at.Add(1), Data: nil}}})
		appendBatch(t, s, history.Batch{Run: id, States: []history.State{{Key: "judge", Updated: at, Data: []byte("older")}}})

		windows := collect(t, s, history.WindowQuery{Series: series, Level: time.Minute})
		want := minutes(at, 3)
		for i := range want {
			want[i].Run = id
		}
		if !reflect.DeepEqual(windows, want) {
			t.Errorf("%+v, want\n%+v", windows, want)
		}
		findings, err := s.Findings(t.Context(), history.Query{Run: id})
		if err != nil || len(findings) != 2 || findings[0].ID != "f2" || !reflect.DeepEqual(findings[1], found) {
			t.Errorf("%+v, %v", findings, err)
		}
		event.Text = "the API\uFFFD restarted \uFFFD"
		events, err := s.Events(t.Context(), history.Query{Series: series})
		if err != nil || !reflect.DeepEqual(events, []history.Event{event}) {
			t.Errorf("%+v, %v", events, err)
		}
		if state, err := s.State(t.Context(), series, "judge"); err != nil || len(state.Data) != 0 || !state.Updated.Equal(at.Add(1)) {
			t.Errorf("%+v, %v", state, err)
		}
		if _, err := s.State(t.Context(), series, "other"); !errors.Is(err, history.ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestBatchIsAllOrNothing(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		id := begin(t, s, history.Run{})
		for name, batch := range map[string]history.Batch{
			"needs its time":  {Run: id, Windows: minutes(at, 1)},
			"whole seconds":   {Run: id, At: at, Windows: append(minutes(at, 1), history.Window{Level: 1500 * time.Millisecond, Start: at, Data: []byte("x")})},
			"no JSON":         {Run: id, At: at, Windows: minutes(at, 1), Events: []history.Event{{ID: "e", At: at, Kind: "k", Document: json.RawMessage("{")}}},
			"needs an id":     {Run: id, At: at, Windows: minutes(at, 1), Findings: []history.Finding{{Kind: "leak"}}},
			"needs a key":     {Run: id, At: at, Windows: minutes(at, 1), States: []history.State{{}}},
			"needs a name":    {Run: id, At: at, Windows: minutes(at, 1), Versions: []history.Version{{}}},
			`run "none": not`: {Run: "none", At: at, Windows: minutes(at, 1)},
		} {
			if err := s.Append(t.Context(), batch); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%v, want %q", err, name)
			}
		}
		if n := len(collect(t, s, history.WindowQuery{Run: id, Level: time.Minute})); n != 0 {
			t.Errorf("%d windows of batches that failed are there", n)
		}
	})
}

func TestWindowsAcrossRuns(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		first := begin(t, s, history.Run{Started: at})
		second := begin(t, s, history.Run{Started: at.Add(time.Hour)})
		other := begin(t, s, history.Run{Series: history.Series{Target: series.Target, Instance: "soakd-2"}})
		start := at.Truncate(time.Minute)
		appendBatch(t, s, history.Batch{Run: second, Windows: minutes(start.Add(2*time.Minute), 3)})
		appendBatch(t, s, history.Batch{Run: first, Windows: minutes(start, 3)})
		appendBatch(t, s, history.Batch{Run: other, Windows: minutes(start, 5)})
		appendBatch(t, s, history.Batch{Run: first, Windows: []history.Window{{Level: time.Hour, Start: start, Data: []byte("hour")}}})
		for name, one := range map[string]struct {
			query history.WindowQuery
			want  []int // minutes after start
		}{
			"series": {history.WindowQuery{Series: series, Level: time.Minute}, []int{0, 1, 2, 2, 3, 4}},
			"run":    {history.WindowQuery{Run: second, Level: time.Minute}, []int{2, 3, 4}},
			"part":   {history.WindowQuery{Series: series, Level: time.Minute, From: start.Add(time.Minute), To: start.Add(3 * time.Minute)}, []int{1, 2, 2}},
			"hours":  {history.WindowQuery{Series: series, Level: time.Hour}, []int{0}},
			"none":   {history.WindowQuery{Series: history.Series{Target: "x", Instance: "y"}, Level: time.Minute}, nil},
		} {
			var got []int
			for _, w := range collect(t, s, one.query) {
				got = append(got, int(w.Start.Sub(start)/time.Minute))
			}
			if !slices.Equal(got, one.want) {
				t.Errorf("%s: minutes %v, want %v", name, got, one.want)
			}
		}
		for _, err := range s.Windows(t.Context(), history.WindowQuery{Series: series, Level: time.Minute}) {
			if err != nil {
				t.Error(err)
			}
			break // gives back its connection
		}
		if err := s.Append(t.Context(), history.Batch{Run: first, At: at}); err != nil {
			t.Error(err)
		}
	})
}

func TestFindRun(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		if _, err := s.FindRun(t.Context(), "last", history.RunFilter{}); !errors.Is(err, history.ErrNotFound) {
			t.Error(err)
		}
		ids := []string{"01980000-0000-7000-8000-000000000001", "01980000-0000-7000-8000-000000000002", "01990000-0000-7000-8000-000000000003"}
		for i, id := range ids {
			begin(t, s, history.Run{ID: id, Started: at.Add(time.Duration(i) * time.Hour), Versions: []history.Version{{Name: fmt.Sprintf("v%d", i%2), Since: at}}})
		}
		if err := s.EndRun(t.Context(), ids[1], at.Add(5*time.Hour), history.Passed, nil); err != nil {
			t.Fatal(err)
		}
		for what, want := range map[string]string{
			"last": ids[2], "last-passed": ids[1], "version=v0": ids[2], "version=v1": ids[1], "0199": ids[2], "01980000-0000-7000-8000-000000000002": ids[1], "01990000-0000-7": ids[2],
		} {
			if run, err := s.FindRun(t.Context(), what, history.RunFilter{}); err != nil || run.ID != want {
				t.Errorf("%s: %s, %v, want %s", what, run.ID, err, want)
			}
		}
		for what, filter := range map[string]history.RunFilter{"last": {Target: "http://other"}, "0199": {Instance: "other"}, "last-passed": {Workload: "other"}} {
			if _, err := s.FindRun(t.Context(), what, filter); !errors.Is(err, history.ErrNotFound) {
				t.Errorf("%s of %+v: %v", what, filter, err)
			}
		}
		for what, want := range map[string]string{
			"0198": "several runs: " + ids[1] + ", " + ids[0], "version=v9": "not found", "abcd": "not found", "%%%%": "names no run", "": "names no run", "01": "names no run",
		} {
			if _, err := s.FindRun(t.Context(), what, history.RunFilter{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
	})
}

func TestRunsFilter(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		var ids []string
		for i := range 3 {
			ids = append(ids, begin(t, s, history.Run{
				Series: history.Series{Target: []string{"http://a", "http://b"}[i%2], Instance: "i"}, Started: at.Add(time.Duration(i) * time.Hour),
				Versions: []history.Version{{Name: []string{"v1", "v2"}[i/2], Since: at}},
			}))
		}
		for _, one := range []struct {
			filter history.RunFilter
			want   []int
		}{
			{history.RunFilter{}, []int{2, 1, 0}},
			{history.RunFilter{Target: "http://a"}, []int{2, 0}},
			{history.RunFilter{Version: "v1"}, []int{1, 0}},
			{history.RunFilter{Limit: 1}, []int{2}},
			{history.RunFilter{From: at.Add(1), To: at.Add(2 * time.Hour)}, []int{1}},
			{history.RunFilter{Verdict: "pass"}, nil},
			{history.RunFilter{Instance: "i", Workload: "cashflow", Target: "http://b"}, []int{1}},
		} {
			runs, err := s.Runs(t.Context(), one.filter)
			var got []int
			for _, run := range runs {
				got = append(got, slices.Index(ids, run.ID))
			}
			if err != nil || !slices.Equal(got, one.want) {
				t.Errorf("%+v: runs %v, %v, want %v", one.filter, got, err, one.want)
			}
		}
	})
}

func TestBaselines(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		b := history.Baseline{Target: "http://a", Workload: "cashflow", Name: "release", Run: "r", Version: "v1", Created: at, Pinned: true, Profile: []byte("profile")}
		other := history.Baseline{Target: "http://b", Workload: "cashflow", Name: "release", Created: at.Add(1), Profile: []byte("x")}
		for _, one := range []history.Baseline{{Target: "http://a", Workload: "cashflow", Name: "release", Created: at, Profile: []byte("first")}, b, other} {
			if err := s.SetBaseline(t.Context(), one); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Baseline(t.Context(), "http://a", "cashflow", "release"); err != nil || !reflect.DeepEqual(got, b) {
			t.Errorf("%+v, %v", got, err)
		}
		b.Profile, other.Profile = nil, nil
		if all, err := s.Baselines(t.Context(), ""); err != nil || !reflect.DeepEqual(all, []history.Baseline{other, b}) {
			t.Errorf("%+v, %v", all, err)
		}
		if all, err := s.Baselines(t.Context(), "http://a"); err != nil || !reflect.DeepEqual(all, []history.Baseline{b}) {
			t.Errorf("%+v, %v", all, err)
		}
		if err := s.RemoveBaseline(t.Context(), "http://a", "cashflow", "release"); err != nil {
			t.Error(err)
		}
		if err := s.RemoveBaseline(t.Context(), "http://a", "cashflow", "release"); !errors.Is(err, history.ErrNotFound) {
			t.Error(err)
		}
		if _, err := s.Baseline(t.Context(), "http://a", "cashflow", "release"); !errors.Is(err, history.ErrNotFound) {
			t.Error(err)
		}
		if err := s.SetBaseline(t.Context(), history.Baseline{Name: "x"}); err == nil {
			t.Error("a baseline without a profile was taken")
		}
	})
}

// Two soakds share a history, also one file: both begin at once, on a history that
// is not there yet, and nothing of either is lost.
func TestTwoSoakdsShareAHistory(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		const batches = 20
		var all sync.WaitGroup
		for i := range 2 {
			all.Go(func() {
				s, err := history.Open(t.Context(), p.cfg)
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close() //nolint:errcheck // what counts is read below
				id, err := s.BeginRun(t.Context(), history.Run{Series: history.Series{Target: series.Target, Instance: fmt.Sprint(i)}, Started: at})
				for n := 0; n < batches && err == nil; n++ {
					err = s.Append(t.Context(), history.Batch{Run: id, At: at, Windows: minutes(at.Add(time.Duration(n)*time.Minute), 1)})
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		s := p.open(t)
		for i := range 2 {
			if n := len(collect(t, s, history.WindowQuery{Series: history.Series{Target: series.Target, Instance: fmt.Sprint(i)}, Level: time.Minute})); n != batches {
				t.Errorf("soakd %d has %d windows, want %d", i, n, batches)
			}
		}
	})
}

// A long read, such as an export, keeps nobody from writing.
func TestReadersDoNotBlockTheWriter(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		s := p.open(t)
		id := begin(t, s, history.Run{})
		appendBatch(t, s, history.Batch{Run: id, Windows: minutes(at, 100)})
		read := 0
		for _, err := range s.Windows(t.Context(), history.WindowQuery{Run: id, Level: time.Minute}) {
			if err != nil {
				t.Fatal(err)
			}
			if read++; read == 1 {
				appendBatch(t, s, history.Batch{Run: id, Windows: minutes(at.Add(1000*time.Minute), 1)})
			}
		}
		if read != 100 {
			t.Errorf("%d windows were read while another was stored, want the 100 of the start", read)
		}
	})
}
