package answers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

func begin() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }

// kind is one case of the traffic of the tests, rate in requests a second.
type kind struct {
	name, class string
	rate        float64
	invalid     bool
}

// traffic is like that of the built-in workload at 50 requests a second.
func traffic() []kind {
	list := []kind{
		{"complex_analysis", "complex", 1.6, false},
		{"forecast", "standard", 16, false},
		{"forecast_monte_carlo", "monte_carlo", 3.2, false},
		{"get_scenario", "standard", 4.8, false},
		{"health", "health", 8, false},
		{"history", "standard", 4.8, false},
		{"history_filtered", "standard", 1.6, false},
		{"list_scenarios", "standard", 8, false},
		{"save_scenario", "standard", 3.2, false},
		{"sensitivity", "sensitivity", 1.6, false},
	}
	list = append(list, kind{foreignCase, "invalid", 0.055, true})
	for i := range 27 {
		list = append(list, kind{fmt.Sprintf("invalid_%02d", i), "invalid", 0.055, true})
	}
	slices.SortFunc(list, func(a, b kind) int { return strings.Compare(a.name, b.name) })
	return list
}

// world makes windows.
type world struct {
	rng   *rand.Rand
	kinds []kind
	at    time.Time
	det   *Detector
	// stray is the share of requests that fail for no reason.
	stray float64
	// spoil changes the counts of a case in a window: n requests, all of them in
	// outcomes, failed checks in checks.
	spoil func(w *world, k kind, outcomes, checks map[string]int64)
	// shape changes the window.
	shape func(w *window.Window)
	// found are all symptoms by key, as they were last; first is when each was reported.
	found map[string]finding.Symptom
	first map[string]time.Time
	order []string
}

func newWorld(seed uint64) *world {
	return &world{
		rng: rand.New(rand.NewPCG(seed, 5)), kinds: traffic(), at: begin(), det: New(Config{}), stray: 1. / 50_000,
		found: map[string]finding.Symptom{}, first: map[string]time.Time{},
	}
}

func (w *world) poisson(mean float64) int64 {
	if mean > 30 {
		return max(0, int64(math.Round(mean+math.Sqrt(mean)*w.rng.NormFloat64())))
	}
	n, p := int64(0), w.rng.Float64()
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= w.rng.Float64()
	}
	return n
}

// some is how many of n happen that have the probability p.
func (w *world) some(n int64, p float64) int64 {
	switch {
	case n == 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	}
	return min(n, w.poisson(float64(n)*p))
}

// move lets a share of what was ok become another outcome.
func (w *world) move(outcomes map[string]int64, to string, share float64) {
	n := w.some(outcomes["ok"], share)
	outcomes["ok"] -= n
	outcomes[to] += n
}

// failing lets a share of the answers fail a check.
func (w *world) failing(outcomes, checks map[string]int64, check string, share float64) {
	before := outcomes["check_failed"]
	w.move(outcomes, "check_failed", share)
	checks[check] += outcomes["check_failed"] - before
}

func (w *world) window() *window.Window {
	win := &window.Window{Start: w.at, Length: window.Short, Covered: window.Short, Fit: window.Short, Rate: 50}
	for _, k := range w.kinds {
		n := w.poisson(k.rate * 10)
		if n == 0 {
			continue
		}
		outcomes, checks := map[string]int64{"ok": n}, map[string]int64{}
		w.move(outcomes, "server_error", w.stray)
		if w.spoil != nil {
			w.spoil(w, k, outcomes, checks)
		}
		win.Cases = append(win.Cases, window.Case{
			Name: k.name, Class: k.class, Invalid: k.invalid, Outcomes: window.Counts(outcomes), Checks: window.Counts(checks),
		})
	}
	if w.shape != nil {
		w.shape(win)
	}
	return win
}

// run lets time pass.
func (w *world) run(t testing.TB, d time.Duration) {
	t.Helper()
	for end := w.at.Add(d); w.at.Before(end); w.at = w.at.Add(window.Short) {
		w.take(t, w.det.Observe(w.window()))
	}
}

func (w *world) take(t testing.TB, list []finding.Symptom) {
	t.Helper()
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s.Key()] {
			t.Errorf("%s of %s twice in one window", s.Kind, s.Subject)
		}
		seen[s.Key()] = true
		if _, known := w.first[s.Key()]; !known {
			w.first[s.Key()] = w.at.Add(window.Short)
			w.order = append(w.order, s.Key())
		}
		if s.Text == "" || s.Onset.IsZero() || s.Confidence <= 0.99 || s.OnsetFrom.After(s.Onset) || s.OnsetTo.Before(s.Onset) {
			t.Errorf("incomplete: %+v", s)
		}
		w.found[s.Key()] = s
	}
	for key, s := range w.found {
		if !s.Over && !seen[key] {
			t.Errorf("%s of %s is not mentioned any more and was not over", s.Kind, s.Subject)
			s.Over = true
			w.found[key] = s
		}
	}
}

// only expects one symptom in all and returns it.
func (w *world) only(t testing.TB, kind finding.Kind, subject finding.Subject) finding.Symptom {
	t.Helper()
	want := finding.Symptom{Kind: kind, Subject: subject}
	for _, key := range w.order {
		if s := w.found[key]; key != want.Key() {
			t.Errorf("also found: %s of %s: %s", s.Kind, s.Subject, s.Text)
		}
	}
	s, is := w.found[want.Key()]
	if !is {
		t.Errorf("%s of %s is not found", kind, subject)
	}
	return s
}

// spoiler is a fault.
type spoiler = func(w *world, k kind, outcomes, checks map[string]int64)

func onCases(then spoiler, names ...string) spoiler {
	return func(w *world, k kind, outcomes, checks map[string]int64) {
		if slices.Contains(names, k.name) {
			then(w, k, outcomes, checks)
		}
	}
}

func outcome(to string, share float64) spoiler {
	return func(w *world, _ kind, outcomes, _ map[string]int64) { w.move(outcomes, to, share) }
}

func check(name string, share float64) spoiler {
	return func(w *world, _ kind, outcomes, checks map[string]int64) { w.failing(outcomes, checks, name, share) }
}

func both(a, b spoiler) spoiler {
	return func(w *world, k kind, outcomes, checks map[string]int64) {
		a(w, k, outcomes, checks)
		b(w, k, outcomes, checks)
	}
}

func onInvalid(then spoiler) spoiler {
	return func(w *world, k kind, outcomes, checks map[string]int64) {
		if k.invalid {
			then(w, k, outcomes, checks)
		}
	}
}

func onValid(then spoiler) spoiler {
	return func(w *world, k kind, outcomes, checks map[string]int64) {
		if !k.invalid {
			then(w, k, outcomes, checks)
		}
	}
}

// Every fault makes one symptom with its name, in time, and nothing else; and ends.
func TestFaults(t *testing.T) {
	class := func(name string) finding.Subject { return finding.Subject{Class: name} }
	forecasts := []string{"forecast", "forecast_monte_carlo", "sensitivity", "complex_analysis"}
	for _, test := range []struct {
		name    string
		fault   spoiler
		kind    finding.Kind
		subject finding.Subject
		within  time.Duration
	}{
		{"accepts invalid", onInvalid(outcome("accepted_invalid", 1)), finding.AcceptedInvalid, class("invalid"), 20 * time.Second},
		{"accepts a third of it", onInvalid(outcome("accepted_invalid", 0.3)), finding.AcceptedInvalid, class("invalid"), time.Minute},
		{
			"accepts one kind of it", onCases(outcome("accepted_invalid", 1), "invalid_07"), finding.AcceptedInvalid,
			finding.Subject{Case: "invalid_07", Class: "invalid"},
			4 * time.Minute,
		},
		{"500 on invalid", onInvalid(outcome("server_error", 1)), finding.InvalidServerError, class("invalid"), 20 * time.Second},
		{
			"500 on one kind of invalid", onCases(outcome("server_error", 1), "invalid_07"), finding.InvalidServerError,
			finding.Subject{Case: "invalid_07", Class: "invalid"},
			4 * time.Minute,
		},
		{"leaks a stack trace", onInvalid(outcome("leaked_internals", 1)), finding.LeakedInternals, class("invalid"), 20 * time.Second},
		{
			"wrong Monte Carlo", onCases(both(check("mc_seed", 0.5), check("mc_order", 0.3)), "forecast_monte_carlo", "complex_analysis"),
			finding.WrongAnswer,
			finding.Subject{Check: "monte_carlo"},
			20 * time.Second,
		},
		{
			"wrong totals", onCases(check("totals_match", 0.01), "forecast"),
			finding.WrongAnswer,
			finding.Subject{Case: "forecast", Class: "standard", Check: "totals_match"},
			2 * time.Minute,
		},
		{
			"lost scenario", both(onCases(check("in_list", 0.02), "list_scenarios"), onCases(check("scenario_found", 0.02), "get_scenario")),
			finding.DataLost, class("standard"), 2 * time.Minute,
		},
		{
			"stale read", onCases(check("stale_read", 0.05), "list_scenarios", "get_scenario", "history"),
			finding.StaleRead, class("standard"), 3 * time.Minute,
		},
		{
			"other user's scenario", onCases(check("foreign_scenario", 0.02), "list_scenarios", "get_scenario"),
			finding.ForeignData, class("standard"), 2 * time.Minute,
		},
		{
			"other user's scenario, also for those who ask", both(
				onCases(check("foreign_scenario", 0.02), "list_scenarios", "get_scenario"), onCases(outcome("accepted_invalid", 1), foreignCase)),
			finding.ForeignData, class("standard"), 2 * time.Minute,
		},
		{
			"other user's scenario for those who ask", onCases(outcome("accepted_invalid", 1), foreignCase),
			finding.ForeignData,
			finding.Subject{Case: foreignCase, Class: "invalid"},
			4 * time.Minute,
		},
		{"errors 0.5 %", onCases(outcome("server_error", 0.005), forecasts...), finding.Errors, class("all"), 10 * time.Minute},
		{"errors 2 %", onCases(outcome("server_error", 0.02), forecasts...), finding.Errors, class("all"), 5 * time.Minute},
		{"errors 2 % of all", onValid(outcome("timeout", 0.02)), finding.Errors, class("all"), 5 * time.Minute},
		{
			"errors of one class", onCases(outcome("server_error", 0.05), "forecast_monte_carlo"), finding.Errors,
			finding.Subject{Case: "forecast_monte_carlo", Class: "monte_carlo"},
			10 * time.Minute,
		},
		{
			"errors of the standard class", func(w *world, k kind, outcomes, _ map[string]int64) {
				if k.class == "standard" {
					w.move(outcomes, "rejected_valid", 0.01)
				}
			}, finding.Errors, class("standard"), 10 * time.Minute,
		},
		{
			"429 bursts", func(w *world, _ kind, outcomes, _ map[string]int64) {
				if w.at.Unix()%300 < 20 {
					w.move(outcomes, "rate_limited", 0.8)
				}
			}, finding.RateLimited, class("all"), 6 * time.Minute,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(2) {
				w := newWorld(seed)
				w.run(t, 2*time.Hour)
				since := w.at
				w.spoil = test.fault
				w.run(t, time.Hour)
				s := w.only(t, test.kind, test.subject)
				if took := w.first[s.Key()].Sub(since); took > test.within {
					t.Errorf("seed %d: found after %v, want within %v", seed, took, test.within)
				} else if seed == 0 {
					t.Logf("found after %v, dated %v after its beginning: %s", took, s.Onset.Sub(since), s.Text)
				}
				if off := s.Onset.Sub(since); off < -2*time.Minute || off > 4*time.Minute {
					t.Errorf("seed %d: dated %v after it began", seed, off)
				}
				if s.Over {
					t.Errorf("seed %d: over while it lasts", seed)
				}
				w.spoil = nil
				until := w.at
				w.run(t, 40*time.Minute)
				s = w.only(t, test.kind, test.subject)
				if off := s.Ended.Sub(until).Abs(); !s.Over || off > 6*time.Minute {
					t.Errorf("seed %d: it ended at %v, over %v, ended %v", seed, until, s.Over, s.Ended)
				}
			}
		})
	}
}

// One wrong answer is enough; one failed request and one server error are not.
func TestOneOccurrence(t *testing.T) {
	for _, test := range []struct {
		name    string
		once    spoiler
		kind    finding.Kind
		subject finding.Subject
	}{
		{"accepted", onCases(outcome("accepted_invalid", 1e9), "invalid_03"), finding.AcceptedInvalid, finding.Subject{Case: "invalid_03", Class: "invalid"}},
		{"leaked", onCases(outcome("leaked_internals", 1e9), "forecast"), finding.LeakedInternals, finding.Subject{Case: "forecast", Class: "standard"}},
		{"lost", onCases(check("forecast_in_history", 1e9), "history"), finding.DataLost, finding.Subject{Case: "history", Class: "standard"}},
		{"foreign", onCases(check("foreign_history", 1e9), "history"), finding.ForeignData, finding.Subject{Case: "history", Class: "standard"}},
		{"own check of a workload", onCases(check("my_check", 1e9), "health"), finding.WrongAnswer, finding.Subject{Case: "health", Class: "health", Check: "my_check"}},
		{"failed", onCases(outcome("server_error", 1e9), "complex_analysis"), "", finding.Subject{}},
		{"invalid failed", onCases(outcome("server_error", 1e9), "invalid_03"), "", finding.Subject{}},
		{"soakd's own check broke", onCases(check("soakd_check_panic", 1e9), "history"), "", finding.Subject{}},
	} {
		w := newWorld(1)
		w.stray = 0
		w.kinds = slices.DeleteFunc(w.kinds, func(k kind) bool { return k.invalid && k.name != "invalid_03" })
		w.run(t, time.Hour)
		w.spoil = func(w *world, k kind, outcomes, checks map[string]int64) {
			before := outcomes["ok"]
			outcomes["ok"] = min(before, 1)
			test.once(w, k, outcomes, checks)
			outcomes["ok"] += max(0, before-1)
		}
		for w.run(t, window.Short); test.kind == finding.AcceptedInvalid && w.det.wrong.groups == nil; {
			w.run(t, window.Short) // until the rare case comes
		}
		w.spoil = nil
		w.run(t, 2*time.Minute)
		if test.kind == "" {
			if len(w.order) > 0 {
				t.Errorf("%s: found %v", test.name, w.found)
			}
			continue
		}
		if s := w.only(t, test.kind, test.subject); s.Over || s.After != 1 {
			t.Errorf("%s: %+v", test.name, s)
		}
		w.run(t, 12*time.Minute)
		if s := w.only(t, test.kind, test.subject); s.Over {
			t.Errorf("%s: over after 14 minutes", test.name)
		}
		w.run(t, 2*time.Minute)
		if s := w.only(t, test.kind, test.subject); !s.Over {
			t.Errorf("%s: not over after 16 minutes", test.name)
		}
	}
}

// Losses show as stale reads first: they are one symptom, dated from the first of these.
func TestLossBeginsAsStaleRead(t *testing.T) {
	w := newWorld(1)
	w.run(t, time.Hour)
	since := w.at
	w.spoil = onCases(check("stale_read", 0.05), "list_scenarios")
	w.run(t, 40*time.Second)
	w.spoil = both(w.spoil, onCases(check("in_list", 0.01), "list_scenarios"))
	w.run(t, time.Hour)
	s := w.only(t, finding.DataLost, finding.Subject{Case: "list_scenarios", Class: "standard"})
	if off := s.Onset.Sub(since); off > 20*time.Second {
		t.Errorf("dated %v after the first stale read", off)
	}
	w.spoil = nil
	w.run(t, 20*time.Minute)
	if s := w.only(t, s.Kind, s.Subject); !s.Over {
		t.Error("not over")
	}
}

// When a loss comes late, what was called stale is over and the loss has its time.
func TestStaleReadTurnsOutToBeALoss(t *testing.T) {
	w := newWorld(1)
	w.spoil = onCases(check("stale_read", 0.05), "list_scenarios")
	w.run(t, 4*time.Minute)
	subject := finding.Subject{Case: "list_scenarios", Class: "standard"}
	w.only(t, finding.StaleRead, subject)
	w.spoil = onCases(check("in_list", 0.05), "list_scenarios")
	w.run(t, 2*time.Minute)
	stale, lost := w.found[(&finding.Symptom{Kind: finding.StaleRead, Subject: subject}).Key()], w.found[(&finding.Symptom{Kind: finding.DataLost, Subject: subject}).Key()]
	if !stale.Over || lost.Over || !lost.Onset.Equal(stale.Onset) {
		t.Errorf("stale %+v\nlost %+v", stale, lost)
	}
}

// Errors that strike everything are no matter of invalid input.
func TestErrorsOfAllAreNotOfInvalidInput(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(seed)
		w.run(t, 2*time.Hour)
		w.spoil = outcome("server_error", 0.02)
		w.run(t, 3*time.Hour)
		w.only(t, finding.Errors, finding.Subject{Class: finding.AllTraffic})
	}
}

// Without a past an absolute level counts; a lower one becomes what is usual.
func TestFirstMinutes(t *testing.T) {
	w := newWorld(1)
	w.spoil = onValid(outcome("server_error", 0.03))
	w.run(t, 30*time.Minute)
	s := w.only(t, finding.Errors, finding.Subject{Class: finding.AllTraffic})
	if took := w.first[s.Key()].Sub(begin()); took > 4*time.Minute || s.Onset.Sub(begin()) > time.Minute || s.Against != "" || s.Before != 0 {
		t.Errorf("found after %v: %+v", took, s)
	}
	w.spoil = nil
	w.run(t, 30*time.Minute)
	if s := w.only(t, s.Kind, s.Subject); !s.Over {
		t.Errorf("not over: %+v", s)
	}

	w = newWorld(1)
	w.spoil = onValid(outcome("server_error", 0.004))
	w.run(t, 6*time.Hour)
	if len(w.order) > 0 {
		t.Errorf("0.4 %% from the beginning: %+v", w.found)
	}
	w.spoil = onValid(outcome("server_error", 0.012))
	w.run(t, 30*time.Minute)
	if s := w.only(t, finding.Errors, finding.Subject{Class: finding.AllTraffic}); math.Abs(s.Before-0.004) > 0.0005 || s.Against == "" {
		t.Errorf("three times as many: %+v", s)
	}
}

// A burst is no level, and an outage is judged elsewhere.
func TestBurstsAndOutages(t *testing.T) {
	w := newWorld(1)
	w.run(t, 2*time.Hour)
	for range 5 {
		w.spoil = onValid(outcome("reset", 0.3))
		w.run(t, 20*time.Second)
		w.spoil = nil
		w.run(t, 40*time.Minute)
		w.spoil = outcome("connect", 1)
		w.run(t, 5*time.Minute)
		w.spoil = nil
		w.run(t, 40*time.Minute)
	}
	if len(w.order) > 0 {
		t.Errorf("found %+v", w.found)
	}
	w.spoil = onCases(outcome("server_error", 0.02), "forecast") // and what it did does not hide what comes
	w.run(t, 10*time.Minute)
	w.only(t, finding.Errors, finding.Subject{Case: "forecast", Class: "standard"})
}

// A restart every ten minutes loses requests of all cases: that is judged elsewhere.
// What comes every four minutes is a level.
func TestRecurringBursts(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	for _, test := range []struct {
		every time.Duration
		found bool
	}{{10 * time.Minute, false}, {4 * time.Minute, true}} {
		for seed := range uint64(5) {
			w := newWorld(seed)
			w.run(t, 3*time.Hour)
			w.spoil = onValid(func(w *world, _ kind, outcomes, _ map[string]int64) {
				switch at := w.at.Sub(begin()) % test.every; at {
				case 0:
					w.move(outcomes, "connect", 0.25)
				case window.Short:
					w.move(outcomes, "reset", 0.03)
				}
			})
			w.run(t, 3*time.Hour)
			if test.found {
				w.only(t, finding.Errors, finding.Subject{Class: finding.AllTraffic})
			} else if len(w.order) > 0 {
				t.Errorf("seed %d: found %+v", seed, w.found)
			}
		}
	}
}

// When soakd was not fit, what got no answer does not count, and what did does.
func TestUnfitWindows(t *testing.T) {
	unfit := func(w *window.Window) { w.Fit, w.Unfit = 0, []string{"cpu"} }
	w := newWorld(1)
	w.run(t, time.Hour)
	w.shape, w.spoil = unfit, onValid(both(outcome("timeout", 0.2), outcome("connect", 0.1)))
	w.run(t, time.Hour)
	if len(w.order) > 0 {
		t.Errorf("found %+v", w.found)
	}
	w.spoil = onValid(outcome("server_error", 0.2))
	w.run(t, 10*time.Minute)
	w.only(t, finding.Errors, finding.Subject{Class: finding.AllTraffic})

	w = newWorld(1)
	w.shape, w.spoil = unfit, onInvalid(outcome("accepted_invalid", 1))
	w.run(t, time.Minute)
	w.only(t, finding.AcceptedInvalid, finding.Subject{Class: "invalid"})
}

// A gap is a gap: nothing ends in it and nothing is made up.
func TestGap(t *testing.T) {
	for _, gap := range []time.Duration{time.Minute, 20 * time.Minute, 3 * time.Hour, 40 * 24 * time.Hour} {
		w := newWorld(1)
		w.run(t, 2*time.Hour)
		w.spoil = both(onCases(outcome("server_error", 0.03), "forecast"), onInvalid(outcome("accepted_invalid", 1)))
		w.run(t, 10*time.Minute)
		w.at = w.at.Add(gap)
		w.run(t, 10*time.Minute)
		w.spoil = nil
		for _, s := range w.found {
			if s.Over {
				t.Errorf("gap of %v: %s of %s was over", gap, s.Kind, s.Subject)
			}
		}
		if len(w.found) != 2 {
			t.Errorf("gap of %v: %d symptoms", gap, len(w.found))
		}
		w.at = w.at.Add(gap)
		w.run(t, time.Hour)
		for _, s := range w.found {
			if !s.Over {
				t.Errorf("gap of %v: %s of %s is not over", gap, s.Kind, s.Subject)
			}
		}
		if len(w.found) != 2 {
			t.Errorf("gap of %v: %d symptoms in the end", gap, len(w.found))
		}
	}
}

// A second fault of other cases is a second symptom.
func TestTwoProblems(t *testing.T) {
	w := newWorld(1)
	w.run(t, 2*time.Hour)
	first := onCases(outcome("server_error", 0.03), "sensitivity")
	w.spoil = first
	w.run(t, time.Hour)
	w.spoil = both(first, onCases(outcome("timeout", 0.03), "list_scenarios"))
	w.run(t, time.Hour)
	var got []string
	for _, key := range w.order {
		got = append(got, w.found[key].Subject.Case)
	}
	if want := []string{"sensitivity", "list_scenarios"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

// Clean traffic with single failures, short bursts at deployments and a day curve
// raises nothing.
func TestCleanWeeks(t *testing.T) {
	weeks := 2
	if testing.Short() {
		weeks = 1
	}
	for seed := range uint64(weeks) {
		w := newWorld(100 + seed)
		deploy := w.at.Add(time.Duration(20+w.rng.IntN(20)) * time.Hour)
		base := traffic()
		w.spoil = func(w *world, _ kind, outcomes, _ map[string]int64) {
			if w.at.Before(deploy) {
				return
			}
			w.move(outcomes, "reset", 0.1)
			w.move(outcomes, "connect", 0.1)
			if w.at.After(deploy.Add(20 * time.Second)) {
				deploy = w.at.Add(time.Duration(20+w.rng.IntN(20)) * time.Hour)
			}
		}
		for range 7 * 24 {
			for i := range w.kinds {
				w.kinds[i].rate = base[i].rate * (1 + 0.6*math.Sin(2*math.Pi*float64(w.at.Hour())/24))
			}
			w.run(t, time.Hour)
		}
		for _, key := range w.order {
			s := w.found[key]
			t.Errorf("week %d: %s of %s: %s", seed, s.Kind, s.Subject, s.Text)
		}
	}
}

// Stored windows of a minute do as well.
func TestMinutes(t *testing.T) {
	w := newWorld(1)
	var parts []*window.Window
	det, keys := New(Config{}), map[string]bool{}
	pass := func(d time.Duration) {
		for end := w.at.Add(d); w.at.Before(end); w.at = w.at.Add(window.Short) {
			parts = append(parts, w.window())
			if len(parts) < 6 {
				continue
			}
			for _, s := range det.Observe(window.Merge(parts[0].Start, window.Minute, parts)) {
				keys[s.Key()] = true
			}
			parts = nil
		}
	}
	pass(3 * time.Hour)
	if len(keys) > 0 {
		t.Errorf("found %v", keys)
	}
	w.spoil = onCases(outcome("server_error", 0.03), "forecast")
	pass(20 * time.Minute)
	want := finding.Symptom{Kind: finding.Errors, Subject: finding.Subject{Case: "forecast", Class: "standard"}}
	if len(keys) != 1 || !keys[want.Key()] {
		t.Errorf("found %v", keys)
	}
}

// Memory does not grow with time, nor with what comes in.
func TestBounded(t *testing.T) {
	w := newWorld(1)
	w.kinds = nil
	for i := range 300 {
		w.kinds = append(w.kinds, kind{fmt.Sprintf("case_%03d", i), fmt.Sprintf("class_%d", i%7), 1, i%2 == 0})
	}
	w.spoil = func(w *world, _ kind, outcomes, checks map[string]int64) {
		w.failing(outcomes, checks, fmt.Sprintf("check_%d", w.rng.IntN(10_000)), 0.5)
		w.move(outcomes, "timeout", 0.3)
	}
	w.run(t, 10*time.Minute)
	if n := len(w.det.wrong.groups); n > maxGroups {
		t.Errorf("%d groups", n)
	}
	for _, g := range w.det.wrong.groups {
		if len(g.cases) > maxNames || len(g.checks) > maxNames {
			t.Errorf("%d cases, %d checks", len(g.cases), len(g.checks))
		}
	}
	if n := len(w.det.failed.cases); n > maxCases {
		t.Errorf("%d cases", n)
	}
}

func FuzzDetector(f *testing.F) {
	f.Add(uint64(1), []byte{1, 2, 3, 250, 4, 5, 6})
	f.Fuzz(func(t *testing.T, seed uint64, steps []byte) {
		w := newWorld(seed)
		w.kinds = w.kinds[:6]
		faults := []spoiler{
			nil, outcome("server_error", 0.3), outcome("rate_limited", 1), check("in_list", 0.1), check("stale_read", 0.1),
			onInvalid(outcome("server_error", 1)), outcome("timeout", 1), onCases(outcome("connect", 0.05), "forecast"),
		}
		for _, step := range steps[:min(len(steps), 24)] {
			w.spoil = faults[int(step)%len(faults)]
			w.run(t, time.Duration(step%24)*window.Short)
			if step > 240 {
				w.at = w.at.Add(time.Duration(step) * time.Hour)
			}
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	w := newWorld(1)
	list := make([]*window.Window, 1000)
	for i := range list {
		list[i] = w.window()
		w.at = w.at.Add(window.Short)
	}
	b.ReportAllocs()
	at := begin()
	for i := 0; b.Loop(); i++ {
		win := *list[i%len(list)]
		win.Start = at
		at = at.Add(window.Short)
		w.det.Observe(&win)
	}
}
