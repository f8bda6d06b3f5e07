package judge

import (
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/finding"
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
	if got := j.Windows(window.Short, 1000); len(got) != 360 || got[359].Case("forecast").Times.Count() != 100 {
		t.Errorf("%d windows of 10 s", len(got))
	}
	if got := j.Windows(window.Minute, 2); len(got) != 2 || got[1].Case("forecast").Times.Count() != 600 || !got[0].End().Equal(got[1].Start) {
		t.Errorf("minutes %+v", got)
	}
}
