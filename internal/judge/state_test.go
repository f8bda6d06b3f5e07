package judge

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/objective"
	"soakd/internal/judge/window"
)

// traffic makes windows of ten seconds of one valid and one invalid case.
func traffic(start time.Time, n int, change func(i int, w *window.Window)) []*window.Window {
	list := make([]*window.Window, n)
	for i := range list {
		times := new(histogram.Histogram)
		for k := range 100 {
			times.Observe(20*time.Millisecond + time.Duration((i*37+k*101)%200)*10*time.Microsecond)
		}
		list[i] = &window.Window{
			Start: start.Add(time.Duration(i) * window.Short), Length: window.Short, Covered: window.Short, Fit: window.Short, Rate: 10, Version: "v1", Scheduled: 110, Sent: 110,
			Cases: []window.Case{
				{Name: "forecast", Class: "standard", Outcomes: []window.Count{{Name: "ok", N: 100}}, Times: times},
				{Name: "invalid_term", Class: "invalid", Invalid: true, Outcomes: []window.Count{{Name: "ok", N: 10}}},
			},
		}
		if change != nil {
			change(i, list[i])
		}
	}
	return list
}

// A judge that was restarted goes on where the other was: what lasts is the same
// finding, what ended meanwhile ends, and nothing is found twice.
func TestARestartLosesNothing(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	accepted := func(_ int, w *window.Window) {
		w.Cases[1].Outcomes = []window.Count{{Name: "accepted_invalid", N: 3}, {Name: "ok", N: 7}}
	}
	for name, goesOn := range map[string]bool{"it lasts": true, "it ended": false} {
		first, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		var minutes []*window.Window
		for _, w := range traffic(start, 12*6, accepted) {
			for _, done := range first.Window(w) {
				if done.Length == window.Minute {
					minutes = append(minutes, done)
				}
			}
		}
		before := first.Findings()
		if len(before) != 1 || before[0].Kind != finding.AcceptedInvalid {
			t.Fatalf("%s: before: %+v", name, before)
		}
		data, err := first.State()
		if err != nil {
			t.Fatal(err)
		}

		second, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Restore(data); err != nil {
			t.Fatal(err)
		}
		for _, w := range minutes {
			second.Replay(w)
		}
		if got := second.Findings(); len(got) != 1 || got[0].ID != before[0].ID || !got[0].Open() {
			t.Fatalf("%s: restored: %+v", name, got)
		}
		change := accepted
		if !goesOn {
			change = nil
		}
		away := start.Add(12*time.Minute + 3*time.Minute)
		for _, w := range traffic(away, 40*6, change) {
			second.Window(w)
		}
		got := second.Findings()
		if len(got) != 1 || got[0].ID != before[0].ID || got[0].Open() != goesOn || !got[0].Found.Equal(before[0].Found) {
			t.Errorf("%s: %d findings, %+v", name, len(got), got)
		}
		gaps := 0
		for _, e := range second.Events(0) {
			if e.Kind == Gap {
				gaps++
			}
		}
		if gaps != 1 {
			t.Errorf("%s: %d gaps", name, gaps)
		}
	}
}

// Counters of a soakd that was restarted begin at 0, whatever was counted before.
func TestCountersBeginAnewAfterARestart(t *testing.T) {
	objectives, err := objective.Parse("answers: availability>=99%", nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	made := func() *Judge {
		j, err := New(Config{Objectives: objectives})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	first := made()
	for _, w := range traffic(start, 30, nil) {
		first.Window(w)
	}
	if o := first.Readings().Objectives[0]; o.Events != 3000 {
		t.Fatalf("before: %+v", o)
	}
	data, err := first.State()
	if err != nil {
		t.Fatal(err)
	}
	second := made()
	if err := second.Restore(data); err != nil {
		t.Fatal(err)
	}
	if o := second.Readings().Objectives[0]; o.Events != 0 {
		t.Errorf("after the restart: %+v", o)
	}
	for _, w := range traffic(start.Add(6*time.Minute), 12, nil) {
		second.Window(w)
	}
	if o := second.Readings().Objectives[0]; o.Events != 1200 || o.BudgetRemaining != 1 {
		t.Errorf("two minutes later: %+v", o)
	}
}

func TestRestoreRefuses(t *testing.T) {
	for _, data := range []string{"", "no", `{"version":2}`, `{"version":1,"findings":[null]}`, `{"version":1,"findings":[{}]}`, `{"version":1,"outage":7}`} {
		j, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Restore([]byte(data)); err == nil {
			t.Errorf("%q was taken", data)
		}
		if len(j.Findings()) != 0 {
			t.Errorf("%q left findings", data)
		}
	}
}

// What is kept does not grow with time.
func TestWindowsInMemoryAreBounded(t *testing.T) {
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range traffic(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), 500, nil) {
		j.Window(w)
	}
	if got := slices.Collect(j.Windows(window.Short, 1000)); len(got) != 360 || got[359].Case("forecast").Times.Count() != 100 {
		t.Errorf("%d windows of 10 s", len(got))
	}
	if got := slices.Collect(j.Windows(window.Minute, 2)); len(got) != 2 || got[1].Case("forecast").Times.Count() != 600 || !got[0].End().Equal(got[1].Start) {
		t.Errorf("minutes %+v", got)
	}
}

// The verdict of a run is about that run: what was over before it began, in an
// earlier run of the same soakd, does not count against it.
func TestAVerdictIsAboutItsOwnRun(t *testing.T) {
	objectives, err := objective.Parse("availability: availability>=99%", []string{"standard"})
	if err != nil {
		t.Fatal(err)
	}
	made := func() *Judge {
		j, err := New(Config{Objectives: objectives, Policy: objective.PolicyFor(0)})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	first, minutes := made(), []*window.Window(nil)
	for _, w := range traffic(start, 40*6, func(i int, w *window.Window) {
		if i < 10*6 {
			w.Cases[0].Outcomes = []window.Count{{Name: "ok", N: 50}, {Name: "server_error", N: 50}}
		}
		if i >= 39*6 {
			w.Cases[1].Outcomes = []window.Count{{Name: "accepted_invalid", N: 3}, {Name: "ok", N: 7}}
		}
	}) {
		for _, done := range first.Window(w) {
			if done.Length == window.Minute {
				minutes = append(minutes, done)
			}
		}
	}
	if v := first.Verdict(true); v.Result != Fail {
		t.Fatalf("%+v", v)
	}
	data, err := first.State()
	if err != nil {
		t.Fatal(err)
	}
	second := made()
	if err := second.Restore(data); err != nil {
		t.Fatal(err)
	}
	for _, w := range minutes {
		second.Replay(w)
	}
	for _, w := range traffic(start.Add(24*time.Hour), 60*6, nil) {
		second.Window(w)
	}
	v := second.Verdict(true)
	if v.Result != Pass {
		t.Errorf("a good run after a bad one: %s", v.Text)
	}
	for _, f := range second.Findings() {
		if v.Concerns(&f) {
			t.Errorf("it concerns %s, %v..%v", f.Kind, f.Onset, f.Ended)
		}
	}
}

// A target that fails half of what it should serve, from the first request on, is
// never well, also without objectives.
func TestATargetThatWasNeverWellDoesNotPass(t *testing.T) {
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range traffic(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), 10*6, func(_ int, w *window.Window) {
		w.Cases[0].Outcomes = []window.Count{{Name: "ok", N: 50}, {Name: "server_error", N: 50}}
	}) {
		j.Window(w)
	}
	if v := j.Verdict(true); v.Result != Fail {
		t.Errorf("%s", v.Text)
	}
}

// Words of a verdict that nothing could be judged for: one reason, not one for each check.
func TestAnUnknownVerdictIsOneReason(t *testing.T) {
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if v := j.Verdict(true); v.Text != "not known: no window of 10 s is over yet" {
		t.Errorf("%q", v.Text)
	}
}

// A clock that is set back, windows that come twice and figures that are no numbers
// must not hurt: no finding, no panic, and a state that can be written.
func TestOddWindowsDoNoHarm(t *testing.T) {
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	odd := func(i int, w *window.Window) {
		w.Signals = []window.Signal{
			{Name: "soakd_api_open_fds", Labels: `replica="main"`, N: 1, Min: math.Inf(1), Max: math.Inf(1), Sum: math.Inf(1), Last: math.Inf(1)},
			{Name: "soakd_api_resident_memory_bytes", Labels: `replica="main"`, N: 1, Min: math.NaN(), Max: math.NaN(), Sum: math.NaN(), Last: math.NaN()},
			{Name: "soakd_redis_keyspace_hits_total", Kind: window.Counter, N: 1, Increase: math.Inf(1)},
		}
	}
	for _, from := range []time.Time{start, start.Add(-time.Hour), start.Add(-time.Hour), start.Add(48 * time.Hour)} {
		for _, w := range traffic(from, 90*6, odd) {
			j.Window(w)
		}
	}
	if _, err := j.State(); err != nil {
		t.Error(err)
	}
	if _, err := json.Marshal(j.Findings()); err != nil {
		t.Error(err)
	}
	if found := j.Findings(); len(found) > 0 {
		t.Errorf("%+v", found)
	}
	j.Readings()
}

// Windows can be read while others come: nobody has to hold up the judge for it.
func TestWindowsAreReadBesideOthers(t *testing.T) {
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, w := range traffic(start, 400, nil) {
		j.Window(w)
	}
	windows := j.Windows(window.Short, 1000)
	done := make(chan int)
	go func() {
		n := 0
		for w := range windows {
			if w.Start.Equal(start.Add(time.Duration(40+n)*window.Short)) && w.Case("forecast").Times.Count() == 100 {
				n++
			}
		}
		done <- n
	}()
	for _, w := range traffic(start.Add(400*window.Short), 100, nil) {
		j.Window(w)
	}
	if n := <-done; n != 360 {
		t.Errorf("%d windows as they were", n)
	}
}

// A reader that knows events of an earlier soakd misses nothing.
func TestEventsAfterAnotherSoakd(t *testing.T) {
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	j.Annotate(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), "deployed", "")
	if got := j.Events(1); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if got := j.Events(7); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// An outage that was there when an earlier run ended, and of which a run saw nothing, is
// not against it; one that it saw the last seconds of is.
func TestAnOutageOfAnEarlierRun(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	// seconds has the valid requests of a window: failing ones up to a second, none in it, and then right ones.
	seconds := func(w *window.Window, failing int) {
		w.Seconds = make([]window.Second, 10)
		for i := range w.Seconds {
			switch {
			case i < failing:
				w.Seconds[i].Failed = 10
			case i > failing:
				w.Seconds[i].OK = 10
			}
		}
		right := int64(10 * max(0, 9-failing))
		w.Cases[0].Outcomes = window.Counts(map[string]int64{"ok": right, "server_error": 10 * int64(failing)})
	}
	first, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range traffic(start, 4, func(_ int, w *window.Window) { seconds(w, 10) }) {
		first.Window(w)
	}
	if v := first.Verdict(true); v.Result != Fail || len(first.Findings()) == 0 {
		t.Fatalf("%+v", v)
	}
	data, err := first.State()
	if err != nil {
		t.Fatal(err)
	}
	for _, windows := range []int{1, 2, 12} {
		for failing, want := range map[int]Result{0: Pass, 2: Fail} {
			second, err := New(Config{})
			if err != nil {
				t.Fatal(err)
			}
			if err := second.Restore(data); err != nil {
				t.Fatal(err)
			}
			for _, w := range traffic(start.Add(time.Minute), windows, func(i int, w *window.Window) {
				if i == 0 {
					seconds(w, failing)
				} else {
					seconds(w, 0)
				}
			}) {
				second.Window(w)
			}
			second.Finish()
			if v := second.Verdict(true); v.Result != want {
				t.Errorf("%d windows, %d s of it: %s", windows, failing, v.Text)
			}
		}
	}
}
