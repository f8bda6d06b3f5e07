package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/history"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/window"
	"soakd/internal/lockedbuffer"
)

// gateRun is a bounded run in a history, with its log.
type gateRun struct {
	*chronicle
	log *lockedbuffer.Buffer
	at  time.Time
}

// openGateRun begins a run of three minutes in the history at a path.
func openGateRun(t *testing.T, path string, at time.Time) *gateRun {
	t.Helper()
	t.Setenv("SOAKD_TARGET_URL", "http://127.0.0.1:1")
	t.Setenv("SOAKD_HISTORY_URL", path)
	cfg, err := readConfig(command{name: "run"}, []string{"--duration", "3m"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	r := &gateRun{log: new(lockedbuffer.Buffer), at: at}
	r.chronicle, err = openChronicle(t.Context(), cfg, "cashflow", at, slog.New(slog.NewTextHandler(r.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	return r
}

// compareRun feeds a run of some windows whose times are around a median, from a
// start, into a comparison with a reference.
func compareRun(start time.Time, windows int, version string, median time.Duration, reference *baseline.Profile) *gateComparison {
	g := newGateComparison(gateComparisonConfig{Duration: time.Duration(windows) * window.Short, WarmUp: window.Short}, reference)
	random := rand.New(rand.NewPCG(uint64(start.Unix()), 1))
	for i := range windows {
		w := &window.Window{
			Start: start.Add(time.Duration(i) * window.Short), Length: window.Short, Covered: window.Short, Fit: window.Short, Rate: 50, Phase: "steady", Version: version,
		}
		for _, name := range []string{"get", "list", "save", "search"} {
			times := new(histogram.Histogram)
			for range 125 {
				times.Observe(time.Duration(float64(median) * (0.7 + 0.6*random.Float64())))
			}
			w.Cases = append(w.Cases, window.Case{Name: name, Class: "standard", Outcomes: []window.Count{{Name: window.OK, N: 125}}, Times: times})
		}
		g.window(w)
	}
	return g
}

// named are the baselines of the history.
func (r *gateRun) named(t *testing.T) map[string]history.Baseline {
	t.Helper()
	all, err := r.store.Baselines(t.Context(), r.series.Target)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]history.Baseline{}
	for _, b := range all {
		by[b.Name] = b
	}
	return by
}

// A pipeline: the first run has nothing to compare with, and each later one the last
// that passed.
func TestRunsAreComparedWithTheLastThatPassed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	for i, one := range []struct {
		version string
		median  time.Duration
		// against is the version that it is compared with, "" for none.
		against string
		want    baseline.Result
	}{
		{"v1", 20 * time.Millisecond, "", ""},
		{"v2", 20 * time.Millisecond, "v1", baseline.Same},
		{"v3", 36 * time.Millisecond, "v2", baseline.Worse},
		{"v4", 20 * time.Millisecond, "v2", baseline.Same},
		{"v5", 9 * time.Millisecond, "v4", baseline.Improved},
	} {
		r := openGateRun(t, path, historyAt.Add(time.Duration(i)*time.Hour))
		reference, label, err := r.gateReference(t.Context(), lastPassed)
		if err != nil || label != "last-passed" || (reference == nil) != (one.against == "") {
			t.Fatalf("%s: %v, %q, %v", one.version, reference, label, err)
		}
		g := compareRun(r.at, 18, one.version, one.median, reference)
		var result baseline.Result
		if c := g.comparison(); c != nil {
			result = c.Result
			if c.BaseVersion != one.against || c.Version != one.version {
				t.Errorf("%s is compared with %s", c.Version, c.BaseVersion)
			}
			if result == baseline.Worse && !strings.Contains(c.Rows[0].Text, "median response time of all traffic: worse against v2, from") {
				t.Error(c.Rows[0].Text)
			}
		}
		if result != one.want {
			t.Errorf("%s: %q, want %q", one.version, result, one.want)
		}
		r.keepGate(t.Context(), g.profile(), result != baseline.Worse, r.at.Add(3*time.Minute))
		if err := r.store.Close(); err != nil || r.log.String() != "" {
			t.Fatal(err, r.log)
		}
	}
	text, err := historyOf(t, path, "baseline", "list")
	if err != nil {
		t.Fatal(err)
	}
	has(t, text, "last-passed", "version=v3", "version=v5", "until the retention")
}

// What did not pass, was interrupted before it can tell anything, or is of several
// versions, is not what a later run is held to.
func TestOnlyWhatPassedIsKept(t *testing.T) {
	r := openGateRun(t, filepath.Join(t.TempDir(), "h.db"), historyAt)
	later := r.at.Add(time.Hour)
	r.keepGate(t.Context(), compareRun(r.at, 18, "v1", 20*time.Millisecond, nil).profile(), false, later)
	if by := r.named(t); len(by) != 1 || by["version=v1"].Run != r.run {
		t.Errorf("a run that failed: %v", by)
	}
	if p := compareRun(r.at, leastProfile, "v2", 20*time.Millisecond, nil).profile(); p != nil {
		t.Errorf("a run with %d windows after its warm-up", p.Windows)
	}
	r.keepGate(t.Context(), nil, true, later)
	// Interrupted: the context is over, and what there is is kept all the same.
	ended, end := context.WithCancel(t.Context())
	end()
	r.keepGate(ended, compareRun(r.at, 12, "v3", 20*time.Millisecond, nil).profile(), false, later)
	mixed := compareRun(r.at, 18, "v4", 20*time.Millisecond, nil).profile()
	mixed.Version = window.Mixed
	r.keepGate(t.Context(), mixed, true, later)
	if by := r.named(t); len(by) != 2 || by["version=v3"].Name == "" {
		t.Errorf("%v", by)
	}
	var none *chronicle
	none.keepGate(t.Context(), mixed, true, later)
}

// A version that hours tell of is not forgotten for minutes.
func TestAShortRunDoesNotReplaceALongOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	first := openGateRun(t, path, historyAt)
	builder := baseline.NewBuilder(baseline.Config{WarmUp: -1})
	for i := range 60 {
		builder.Observe(minuteOf(historyAt.Add(time.Duration(i)*time.Minute), "v1", 20*time.Millisecond))
	}
	first.setBaseline(t.Context(), "version=v1", builder.Profile(), historyAt.Add(time.Hour))
	short := compareRun(historyAt, 18, "v1", 20*time.Millisecond, nil).profile()

	second := openGateRun(t, path, historyAt.Add(2*time.Hour))
	second.keepGate(t.Context(), short, true, historyAt.Add(2*time.Hour))
	by := second.named(t)
	if by["version=v1"].Run != first.run || by["last-passed"].Run != second.run {
		t.Errorf("%v", by)
	}
	// One of its own kind does, and so does what the same run knows later.
	second.setBaseline(t.Context(), "version=v1", short, historyAt)
	third := openGateRun(t, path, historyAt.Add(3*time.Hour))
	third.keepGate(t.Context(), short, true, historyAt.Add(3*time.Hour))
	if by := third.named(t); by["version=v1"].Run != third.run {
		t.Errorf("%v", by)
	}
	first.keepGate(t.Context(), short, false, historyAt)
	// What cannot be read is of no use.
	if err := first.store.SetBaseline(t.Context(), history.Baseline{Target: first.series.Target, Workload: "cashflow", Name: "version=v1", Created: historyAt, Profile: []byte("rubbish")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := first.gateReference(t.Context(), "version=v1"); err == nil || !strings.Contains(err.Error(), `read "version=v1"`) {
		t.Error(err)
	}
	first.keepGate(t.Context(), short, false, historyAt)
	if _, _, err := first.gateReference(t.Context(), "version=v1"); err != nil {
		t.Error(err)
	}
}

// A baseline that is not there is a mistake, and told with those that are.
func TestGateReferences(t *testing.T) {
	r := openGateRun(t, filepath.Join(t.TempDir(), "h.db"), historyAt)
	short := compareRun(historyAt, 18, "v1", 20*time.Millisecond, nil).profile()
	mistaken := func(name, want string) {
		t.Helper()
		profile, _, err := r.gateReference(t.Context(), name)
		var usage usageError
		if profile != nil || !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	mistaken("release-1", "there is none yet (soakd history baseline set NAME RUN makes one)")
	r.keepGate(t.Context(), short, true, historyAt)
	mistaken("release-1", `no baseline "release-1" of http://127.0.0.1:1 with the workload cashflow: there are last-passed, version=v1`)
	mistaken("version=v2", "there are last-passed, version=v1")
	for i := range 12 {
		r.setBaseline(t.Context(), "n"+string(rune('a'+i)), short, historyAt.Add(time.Minute))
	}
	mistaken("version=v2", "there are na, nb, nc, nd, ne, nf, ng, nh, ni, nj and 4 more")
	if profile, label, err := r.gateReference(t.Context(), "version=v1"); err != nil || label != "version v1" || profile.Version != "v1" || profile.Window != window.Short {
		t.Errorf("%v, %q, %v", profile, label, err)
	}
	if _, label, err := r.gateReference(t.Context(), "na"); err != nil || label != "na" {
		t.Errorf("%q, %v", label, err)
	}
	other := &chronicle{store: r.store, series: r.series, workload: "another"}
	if profile, _, err := other.gateReference(t.Context(), lastPassed); profile != nil || err != nil {
		t.Errorf("of another workload: %v, %v", profile, err)
	}
	var none *chronicle
	if _, _, err := none.gateReference(t.Context(), lastPassed); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "SOAKD_HISTORY_URL") {
		t.Error(err)
	}
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.gateReference(t.Context(), "release-1"); err == nil || exitCode(err) == exitUsage {
		t.Errorf("a history that is away: %v", err)
	}
}

// A run of an hour is compared by minutes, and one of minutes with a profile of hours.
func TestGateOfLongerRuns(t *testing.T) {
	long := compareRun(historyAt, 270, "v1", 20*time.Millisecond, nil).profile()
	if long.Window != window.Minute || long.Windows < 40 {
		t.Fatalf("%d windows of %v", long.Windows, long.Window)
	}
	for _, one := range []struct {
		median time.Duration
		want   baseline.Result
	}{{20 * time.Millisecond, baseline.Same}, {32 * time.Millisecond, baseline.Worse}} {
		if c := compareRun(historyAt.Add(5*time.Hour), 18, "v2", one.median, long).comparison(); c.Result != one.want {
			t.Errorf("a short one: %s, want %s: %v", c.Result, one.want, c.Unknown)
		}
		if c := compareRun(historyAt.Add(5*time.Hour), 200, "v2", one.median, long).comparison(); c.Result != one.want {
			t.Errorf("a long one: %s, want %s: %v", c.Result, one.want, c.Unknown)
		}
	}
}

// What a bounded run is compared with is no business of the judgement, and what
// minutes told none of a run without end.
func TestTheJudgementComparesHours(t *testing.T) {
	r := openGateRun(t, filepath.Join(t.TempDir(), "h.db"), historyAt)
	r.keepGate(t.Context(), compareRun(historyAt, 18, "v1", 20*time.Millisecond, nil).profile(), true, historyAt)
	j := &judgement{}
	if err := r.references(t.Context(), j, "cashflow", lastPassed); err != nil {
		t.Error(err)
	}
	if err := r.references(t.Context(), j, "cashflow", "not-there"); exitCode(err) != exitUsage {
		t.Error(err)
	}
	r.bounded = false
	err := r.references(t.Context(), j, "cashflow", lastPassed)
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "is of a run of some minutes") {
		t.Error(err)
	}
	if err := r.references(t.Context(), j, "cashflow", ""); err != nil || len(j.stored) != 0 {
		t.Errorf("%v, %d stored", err, len(j.stored))
	}
}

// What a run of some minutes was like is in its baselines alone, and can be kept
// under another name, and compared, from there.
func TestAShortRunCanBeKeptUnderAName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	for i, median := range []time.Duration{20 * time.Millisecond, 30 * time.Millisecond} {
		r := openGateRun(t, path, historyAt.Add(time.Duration(i)*time.Hour))
		r.keepGate(t.Context(), compareRun(r.at, 18, []string{"v1", "v2"}[i], median, nil).profile(), true, r.at)
		batch := history.Batch{Run: r.run, At: r.at.Add(3 * time.Minute)}
		for k := range 3 {
			w := minuteOf(r.at.Add(time.Duration(k)*time.Minute), []string{"v1", "v2"}[i], median)
			batch.Windows = append(batch.Windows, history.Window{Level: w.Length, Start: w.Start, Version: w.Version, Data: w.AppendBinary(nil)})
			batch.Versions = []history.Version{{Name: w.Version, Since: r.at}}
		}
		err := errors.Join(r.store.Append(t.Context(), batch), r.store.EndRun(t.Context(), r.run, batch.At, history.Passed, nil), r.store.Close())
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := historyOf(t, path, "baseline", "set", "release-1", "version=v1")
	if err != nil {
		t.Fatal(err)
	}
	has(t, text, "baseline release-1 of http://127.0.0.1:1: run ", ": version v1, 17 windows of 10s")
	text, err = historyOf(t, path, "compare", "baseline=release-1", "last-passed")
	if exitCode(err) != exitFailed {
		t.Errorf("%v\n%s", err, text)
	}
	has(t, text, "version v2, 17 windows of 10s", "\nworse\n")
	text, err = historyOf(t, path, "compare", "--json", "version=v1", "baseline=last-passed")
	var compared comparedRuns
	if exitCode(err) != exitFailed || json.Unmarshal([]byte(text), &compared) != nil || compared.Result != baseline.Worse {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := historyOf(t, path, "baseline", "set", "last-passed", "last"); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "last-passed is the name that soakd itself keeps") {
		t.Error(err)
	}
}
