package baseline

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

func TestRegressionsAreNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	t.Parallel()
	for _, c := range []struct {
		name    string
		change  func(w *world)
		minutes int
		want    string
	}{
		{"nothing", func(*world) {}, 60, ""},
		{"one case", func(w *world) { w.slower = only("forecast", 1.2, 1) }, 20, "latency case forecast false"},
		{"all", func(w *world) { w.slower = everywhere(1.5) }, 40, "latency class all false"},
		{"a class", func(w *world) {
			w.slower = func(name string) float64 {
				if name == "list" || name == "get" || name == "forecast" {
					return 1.4
				}
				return 1
			}
			w.cases = append(w.cases, simulated{"h2", "health", false, 2, 0.001, 0.3}, simulated{"h3", "health", false, 2, 0.001, 0.3}, simulated{"mc2", "monte_carlo", false, 2, 0.2, 0.3})
		}, 20, "latency class standard false"},
		{"the tail", func(w *world) { w.tail = everywhere(0.01) }, 60, "latency_tail class all false"},
		{"the tail of a case", func(w *world) { w.tail = only("forecast", 0.01, 0) }, 40, "latency_tail case forecast false"},
		{"errors", func(w *world) { w.failing = everywhere(0.02) }, 40, "errors class all false"},
		{"errors of a case", func(w *world) { w.failing = only("get", 0.02, 0) }, 40, "errors case get false"},
		{"failures of invalid input, which others find", func(w *world) { w.cases[6].rate = 3; w.failing = only("invalid_rate", 0.5, 0) }, 40, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, story, _ := deployed(3, 120, c.minutes, c.change)
			want := []string{c.want}
			if c.want == "" {
				want = nil
			}
			if !slices.Equal(story, want) {
				t.Errorf("%q, want %q", story, want)
			}
		})
	}
}

// deployed has a tracker see a version for some minutes, and then another, changed;
// cases that the change adds are there from the beginning. The story is what it saw, once
// each.
func deployed(seed uint64, before, after int, change func(w *world)) (w *world, t *Tracker, story []string, last []finding.Symptom) {
	model := newWorld(seed)
	change(model)
	w, t = newWorld(seed), NewTracker(TrackerConfig{})
	w.cases, w.deviation = model.cases, model.deviation
	for range before {
		t.Observe(w.minute())
	}
	w.version, w.slower, w.failing, w.tail = "v2", model.slower, model.failing, model.tail
	seen := map[string]bool{}
	for range after {
		last = t.Observe(w.minute())
		for _, s := range last {
			if key := fmt.Sprint(s.Kind, " ", s.Subject, " ", s.Over); !seen[key] {
				seen[key] = true
				story = append(story, key)
			}
		}
	}
	return w, t, story, last
}

// A symptom says everything that a finding needs, and is over when another version comes.
func TestSymptomIsWhole(t *testing.T) {
	w, tracker, _, last := deployed(3, 120, 30, func(w *world) { w.deviation, w.slower = 0.01, only("forecast", 1.3, 1) })
	if len(last) != 1 {
		t.Fatalf("%d symptoms", len(last))
	}
	s := last[0]
	start := time.Unix(1_800_000_000, 0).UTC().Truncate(time.Hour).Add(2 * time.Hour)
	if s.Kind != finding.Latency || s.Subject != (finding.Subject{Case: "forecast"}) || !s.Onset.Equal(start) || !s.OnsetFrom.Equal(start) || !s.OnsetTo.Equal(start) ||
		s.Unit != "seconds" || s.What != "median response time" || s.Against != "baseline v1" || s.Confidence < 0.99 || s.Windows < 20 || s.Requests < 18_000 || s.Over {
		t.Errorf("%+v", s)
	}
	if math.Abs(s.Ratio()-1.3) > 0.06 || math.Abs(s.Before-0.02) > 0.002 {
		t.Errorf("from %g to %g", s.Before, s.After)
	}
	if !strings.HasPrefix(s.Text, "median response time of forecast: worse against v1") {
		t.Error(s.Text)
	}
	w.version, w.slower = "v3", nil
	over := tracker.Observe(w.minute())
	if len(over) != 1 || !over[0].Over || !over[0].Ended.Equal(start.Add(30*time.Minute)) || over[0].Key() != s.Key() {
		t.Errorf("%+v", over)
	}
	if p := tracker.Reference(); p.Version != "v2" || p.Windows != 27 {
		t.Errorf("the reference is %s of %d windows", p.Version, p.Windows)
	}
	for range 5 {
		if more := tracker.Observe(w.minute()); len(more) > 0 {
			t.Errorf("%+v", more)
		}
	}
}

func TestComparisonBecomesFinal(t *testing.T) {
	t.Parallel()
	_, tracker, _, _ := deployed(3, 120, 20, func(*world) {})
	if c, final := tracker.Comparison(); c == nil || final {
		t.Errorf("%v, final %v after twenty minutes", c, final)
	}
	w, tracker, _, last := deployed(3, 60, 250, func(w *world) { w.quieter(4).slower = only("get", 1.5, 1) })
	c, final := tracker.Comparison()
	if c == nil || !final || c.Result != Worse || c.BaseVersion != "v1" || c.Version != "v2" || len(last) != 1 {
		t.Fatalf("final %v, %d symptoms", final, len(last))
	}
	// What is final stays, with what it rests on.
	again := tracker.Observe(w.minute())
	if kept, _ := tracker.Comparison(); kept != c || !reflect.DeepEqual(again, last) {
		t.Error("what is final changed")
	}
}

// A rollout: while both versions answer nothing is counted, and the time until the
// new one answers alone is when it may have begun.
func TestRollingDeployment(t *testing.T) {
	w, tracker := newWorld(5), NewTracker(TrackerConfig{})
	for range 60 {
		tracker.Observe(w.minute())
	}
	ended := w.at
	w.version, w.slower = window.Mixed, everywhere(1.5)
	for range 6 {
		tracker.Observe(w.minute())
	}
	if p := tracker.Profile(); p.Version != "v1" || p.Windows != 57 {
		t.Errorf("%s of %d windows", p.Version, p.Windows)
	}
	begun := w.at
	w.version, w.slower = "v2", only("forecast", 1.5, 1)
	var last []finding.Symptom
	for range 15 {
		last = tracker.Observe(w.minute())
	}
	if len(last) != 1 || !last[0].OnsetFrom.Equal(ended) || !last[0].OnsetTo.Equal(begun) {
		t.Errorf("%+v", last)
	}
}

// A version that was there for a moment is no reference, and what was before goes on.
func TestMomentaryVersion(t *testing.T) {
	w, tracker := newWorld(5), NewTracker(TrackerConfig{})
	for range 60 {
		tracker.Observe(w.minute())
	}
	for i := range 4 {
		w.version = []string{"v2", "v2", "", "v2"}[i]
		tracker.Observe(w.minute())
	}
	if r := tracker.Reference(); r == nil || r.Version != "v1" {
		t.Fatalf("the reference is %v", r)
	}
	w.version = "v1"
	for range 5 {
		tracker.Observe(w.minute())
	}
	if p := tracker.Profile(); p.Version != "v1" || p.Windows < 60 || tracker.Reference() != nil {
		t.Errorf("%s of %d windows goes on, with a reference %v", p.Version, p.Windows, tracker.Reference())
	}
	// Two that take turns never give a comparison of too few windows.
	for i := range 40 {
		w.version = fmt.Sprint("v", 1+i/2%2)
		tracker.Observe(w.minute())
		if c, _ := tracker.Comparison(); c != nil {
			t.Fatal(c.Result)
		}
	}
}

// A pinned baseline counts from the first window, also of a target without a version.
func TestPinnedReference(t *testing.T) {
	base := newWorld(6).profile(120)
	base.Version = "v1.4.2"
	w, tracker := newWorld(7), NewTracker(TrackerConfig{})
	tracker.SetReference(base)
	w.version, w.slower = "", only("list", 1.4, 1)
	var last []finding.Symptom
	for range 20 {
		last = tracker.Observe(w.minute())
	}
	if len(last) != 1 || last[0].Against != "baseline v1.4.2" || last[0].Subject.Case != "list" {
		t.Fatalf("%+v", last)
	}
	tracker.SetReference(nil)
	over := tracker.Observe(w.minute())
	if len(over) != 1 || !over[0].Over {
		t.Errorf("%+v", over)
	}
	if c, final := tracker.Comparison(); c != nil || final {
		t.Error("something is compared with nothing")
	}
	// A version that becomes known is the one that was there, as long as nothing was counted.
	fresh := NewTracker(TrackerConfig{})
	fresh.Observe(w.minute())
	w.version = "v9"
	fresh.Observe(w.minute())
	if p := fresh.Profile(); p.Version != "v9" || fresh.Reference() != nil {
		t.Errorf("%q", p.Version)
	}
	if NewTracker(TrackerConfig{}).Profile() != nil {
		t.Error("a profile of nothing")
	}
}

// Deployments that change nothing raise nothing, though the machine has other things
// to do for some minutes now and then.
func TestDeploymentsThatChangeNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	t.Parallel()
	w, tracker := newWorld(77).quieter(8), NewTracker(TrackerConfig{Longest: 150})
	results := map[Result]int{}
	left := 0
	for d := range 8 {
		w.version = fmt.Sprint("v", d)
		for range 160 {
			if left == 0 && w.random.Float64() < 4.0/1440 {
				left = 1 + w.random.IntN(5)
			}
			w.slower = nil
			if left > 0 {
				left--
				w.slower = everywhere(1.3)
			}
			for _, s := range tracker.Observe(w.minute()) {
				t.Errorf("deployment %d: %s", d, s.Text)
			}
		}
		if c, final := tracker.Comparison(); c != nil && final {
			results[c.Result]++
		}
	}
	t.Log(results)
	if results[Same] < 4 {
		t.Errorf("%v of 7 deployments that changed nothing", results)
	}
}

// What was found stays while it is there, and does not come and go with the noise.
func TestWhatWasFoundStays(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	t.Parallel()
	for seed := range uint64(5) {
		_, _, story, last := deployed(seed+50, 120, 100, func(w *world) {
			w.slower = everywhere(1.2)
			w.cases = w.cases[:5]
			for i := range w.cases {
				w.cases[i].rate /= 4
			}
		})
		if !slices.Equal(story, []string{"latency class all false"}) {
			t.Errorf("seed %d: %q", seed, story)
		}
		if len(last) == 1 && (last[0].Ratio() < 1.05 || strings.Contains(last[0].Text, "not enough")) {
			t.Errorf("seed %d: %s", seed, last[0].Text)
		}
	}
}

// A day between 20 and 80 requests a second, with times that depend on the rate: a
// deployment at any hour is compared with the same rates of the day before.
func TestDayCurve(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	t.Parallel()
	w, tracker := newWorld(12).quieter(16), NewTracker(TrackerConfig{})
	minute := 0
	step := func(factor float64) []finding.Symptom {
		at := 2 * math.Pi * float64(minute) / 1440
		minute++
		w.rate, w.phase = 50+30*math.Sin(at), "rising"
		if math.Cos(at) < 0 {
			w.phase = "falling"
		}
		busy := 1 / (1 - w.rate/160)
		w.slower = func(name string) float64 { return busy * only("forecast", factor, 1)(name) }
		return tracker.Observe(w.minute())
	}
	for range 1440 {
		step(1)
	}
	day := tracker.Profile()
	for d := range 2 { // every seven hours
		w.version = fmt.Sprint("v", 2+d)
		for range 420 {
			for _, s := range step(1) {
				t.Errorf("deployment %d: %s", d, s.Text)
			}
		}
		if c, final := tracker.Comparison(); d == 0 && (c == nil || !final || len(c.Rows) == 0) {
			t.Errorf("the first deployment is not compared: final %v", final)
		}
	}
	found := false
	w.version = "slow"
	tracker.SetReference(day)
	for range 420 {
		for _, s := range step(1.4) {
			found = found || (s.Kind == finding.Latency && s.Subject.Case == "forecast")
			if s.Kind != finding.Latency || s.Subject.Case != "forecast" {
				t.Error(s.Text)
			}
		}
	}
	if !found {
		t.Error("a case that is slower by 40 % was not found against the day before")
	}
}
