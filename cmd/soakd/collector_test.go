package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/window"
	"soakd/internal/load"
	"soakd/internal/probes"
	"soakd/internal/probes/api"
)

func testWorkload() *load.Workload {
	return &load.Workload{Cases: []*load.Case{{Name: "forecast", Class: "standard"}, {Name: "invalid_x", Class: "invalid", Invalid: true}}, Versions: new(load.Versions)}
}

// collected is a collector of a workload with one valid and one invalid case.
func collected(t *testing.T) (c *collector, valid, invalid *load.Case, start time.Time) {
	t.Helper()
	workload := testWorkload()
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	valid, invalid = workload.Cases[0], workload.Cases[1]
	return newCollector(load.NewRecorder(workload, start), workload.Versions, "", start), valid, invalid, start
}

func (c *collector) done(results ...*load.Result) {
	for _, r := range results {
		c.recorder.Done(r)
		c.seconds.Done(r)
	}
}

func TestAWindowHoldsWhatCameInIt(t *testing.T) {
	c, valid, invalid, start := collected(t)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	result := func(k *load.Case, outcome load.Outcome, s float64, took time.Duration, checks ...string) *load.Result {
		return &load.Result{Case: k, Outcome: outcome, Status: 200, Done: at(s), ResponseTime: took, Duration: took, FailedChecks: checks}
	}
	c.done(result(valid, load.OK, 0.5, 20*time.Millisecond), result(valid, load.CheckFailed, 3.2, 30*time.Millisecond, "status"), result(invalid, load.AcceptedInvalid, 4, time.Millisecond))
	c.versions.Note([]byte("v1"))
	w := c.window(closing{start: start, end: at(10), scheduled: 4, sent: 3, dropped: 1, rate: 0.3, counts: true})
	if w.Version != "v1" || !w.IsFit() || w.Covered != 10*time.Second || w.Rate != 0.3 || w.Phase != "steady" || w.Dropped != 1 {
		t.Errorf("window %+v", w)
	}
	f := w.Case("forecast")
	if f == nil || f.Requests() != 2 || f.Failed() != 1 || window.Of(f.Checks, "status") != 1 || f.Times.Count() != 2 || f.Times.Max() != 30*time.Millisecond {
		t.Fatalf("case %+v", f)
	}
	if i := w.Case("invalid_x"); i == nil || !i.Invalid || window.Of(i.Outcomes, "accepted_invalid") != 1 {
		t.Errorf("invalid case %+v", i)
	}
	if len(w.Seconds) != 10 || w.Seconds[0].OK != 1 || w.Seconds[3].Failed != 1 || w.Seconds[4] != (window.Second{}) {
		t.Errorf("seconds %v", w.Seconds)
	}

	c.done(result(valid, load.OK, 11, 40*time.Millisecond))
	c.versions.Note([]byte("v1"))
	c.versions.Note([]byte("v2"))
	w = c.window(closing{start: at(10), end: at(20), rate: 0.4, counts: true, unfit: []load.UnfitReason{load.UnfitLate}})
	if w.Version != window.Mixed || w.IsFit() || w.Phase != "rising" || w.Unfit[0] != "late" {
		t.Errorf("second window %+v", w)
	}
	if f := w.Case("forecast"); f == nil || f.Requests() != 1 || f.Times.Count() != 1 || len(w.Cases) != 1 || w.Seconds[1].OK != 1 {
		t.Errorf("what came before is in it: %+v", w.Cases)
	}
}

func TestSignalsOfAWindow(t *testing.T) {
	c, _, _, start := collected(t)
	var descs probes.Descs
	gauge, counter := descs.Gauge("soakd_g", "G.", "replica"), descs.Counter("soakd_c_total", "C.")
	poll := func(s int, err error, values ...float64) {
		var r probes.Reading
		for i, v := range values {
			if i == 0 {
				r.Add(gauge, v, "a")
			} else {
				r.Add(counter, v)
			}
		}
		c.probe(probes.Result{Probe: "api", Start: start.Add(time.Duration(s) * time.Second), Reading: r, Err: err})
	}
	poll(1, nil, 5, 100)
	poll(6, nil, 3, 130)
	w := c.window(closing{start: start, end: start.Add(10 * time.Second)})
	g := w.Signal("soakd_g", `replica="a"`)
	if g == nil || g.N != 2 || g.Min != 3 || g.Max != 5 || g.Mean() != 4 || g.Last != 3 {
		t.Fatalf("gauge %+v", g)
	}
	if s := w.Signal("soakd_c_total", ""); s == nil || s.Kind != window.Counter || s.Increase != 30 {
		t.Errorf("counter %+v", s)
	}
	poll(11, probes.Because(probes.ReasonTimeout, errors.New("slow")))
	poll(16, nil, 4, 20) // it began anew
	w = c.window(closing{start: start.Add(10 * time.Second), end: start.Add(20 * time.Second)})
	if s := w.Signal("soakd_c_total", ""); s == nil || s.Increase != 20 {
		t.Errorf("after a reset %+v", s)
	}
	want := window.Probe{Name: "api", Polls: 2, Failed: 1, Reason: "timeout", FirstFailure: start.Add(11 * time.Second), FirstSuccess: start.Add(16 * time.Second), LastSuccess: start.Add(16 * time.Second)}
	if len(w.Probes) != 1 || w.Probes[0] != want {
		t.Errorf("probes %+v, want %+v", w.Probes, want)
	}
	if w = c.window(closing{start: start.Add(20 * time.Second), end: start.Add(30 * time.Second)}); len(w.Signals)+len(w.Probes) != 0 {
		t.Errorf("what was not read is there: %+v %+v", w.Signals, w.Probes)
	}
}

func TestSecondsAfterAStall(t *testing.T) {
	s := newSecondCounts(time.Unix(1000, 0))
	one := &load.Result{Case: &load.Case{}, Outcome: load.OK, Done: time.Unix(1001, 0)}
	s.Done(one)
	if got := s.take(time.Unix(1000+600, 0)); got != nil {
		t.Errorf("%v", got)
	}
	s.Done(one) // long ago
	s.Done(&load.Result{Case: &load.Case{}, Outcome: load.Timeout, Done: time.Unix(1601, 5)})
	if got := s.take(time.Unix(1610, 0)); len(got) != 10 || got[0] != (window.Second{}) || got[1].Failed != 1 {
		t.Errorf("%v", got)
	}
}

// Ticks are late, more so on a busy machine, and some are lost: windows follow one
// another all the same, without cracks or overlaps, and the seconds are where they
// belong.
func TestWindowsFollowOneAnother(t *testing.T) {
	c, valid, _, made := collected(t)
	start := made.Add(2300 * time.Millisecond) // what was kept was read first
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	line := made.Add(2 * time.Second)
	c.done(&load.Result{Case: valid, Outcome: load.OK, Done: made.Add(time.Second)}) // in no window
	from := start
	for _, step := range []struct {
		to, request float64 // seconds after the start
		begins      int     // seconds on the line
		second, of  int     // where the request is counted, -1 for nowhere
	}{
		{to: 10.002, request: 9.5, begins: 0, second: 9, of: 10},
		{to: 19.999, request: 10, begins: 10, second: 0, of: 10},
		{to: 33, request: 27.8, begins: 20, second: 8, of: 10}, // late
		{to: 40, request: 34, begins: 30, second: 4, of: 10},
		{to: 59.5, request: 57, begins: 40, second: -1, of: 10}, // later: the request belongs to the next
		{to: 60.1, request: 59.6, begins: 50, second: 9, of: 10},
		{to: 81, request: 79, begins: 60, second: 19, of: 20}, // a tick was lost
		{to: 90, request: 89, begins: 80, second: 9, of: 10},
		{to: 390, request: 380, begins: 90, second: -1, of: 0}, // a stall
		{to: 400, request: 395, begins: 390, second: 5, of: 10},
	} {
		c.done(&load.Result{Case: valid, Outcome: load.OK, Done: at(step.request)})
		w := c.window(closing{start: from, end: at(step.to)})
		from = at(step.to)
		if want := line.Add(time.Duration(step.begins) * time.Second); !w.Start.Equal(want) || len(w.Seconds) != step.of {
			t.Errorf("until %v: begins at %v with %d seconds, want %v and %d", step.to, w.Start, len(w.Seconds), want, step.of)
		}
		for i, s := range w.Seconds {
			want := uint32(0)
			if i == step.second || (step.begins == 50 && i == 7) {
				want = 1
			}
			if s.OK != want {
				t.Errorf("until %v: second %d has %d, want %d", step.to, i, s.OK, want)
			}
		}
	}
	back := at(-3600)
	if w := c.window(closing{start: back, end: back.Add(window.Short)}); !w.Start.Equal(back) {
		t.Errorf("after the clock was set back it begins at %v, want %v", w.Start, back)
	}
}

// What a metrics page said once is forgotten with its window, also while answers give
// the version.
func TestAVersionOfLongAgoIsForgotten(t *testing.T) {
	c, _, _, start := collected(t)
	var descs probes.Descs
	info := descs.Gauge(api.VersionInfo, "V.", "replica", "version")
	says := func(version string) {
		var r probes.Reading
		r.Add(info, 1, "main", version)
		c.probe(probes.Result{Probe: "api", Start: start, Reading: r})
	}
	next := func() string {
		from := start
		start = start.Add(window.Short)
		return c.window(closing{start: from, end: start, counts: true}).Version
	}
	says("v1")
	c.versions.Note([]byte("v1"))
	if got := next(); got != "v1" {
		t.Errorf("%q", got)
	}
	says("v2")
	if got := next(); got != "v2" {
		t.Errorf("%q", got)
	}
	if got := next(); got != "" {
		t.Errorf("%q", got)
	}
}

// That signals are left out is told once.
func TestSignalsThatAreLeftOutAreTold(t *testing.T) {
	c, _, _, start := collected(t)
	var log bytes.Buffer
	c.log = slog.New(slog.NewTextHandler(&log, nil))
	var descs probes.Descs
	gauge := descs.Gauge("soakd_g", "G.", "replica")
	var r probes.Reading
	for i := range maxSeries + 2 {
		r.Add(gauge, 1, strconv.Itoa(i))
	}
	c.probe(probes.Result{Probe: "api", Start: start, Reading: r})
	if n := strings.Count(log.String(), "first_left_out"); n != 1 || !strings.Contains(log.String(), `1024`) {
		t.Errorf("told %d times: %s", n, &log)
	}
	if w := c.window(closing{start: start, end: start.Add(window.Short), counts: true}); len(w.Signals) != maxSeries {
		t.Errorf("%d signals", len(w.Signals))
	}
}
