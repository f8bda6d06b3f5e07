package report

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/threshold"
)

func TestAConclusionIsNeverBetterThanTheTruth(t *testing.T) {
	good := func() (*Run, *Circumstances) {
		return &Run{
			Tool: Own, Target: "http://api.test", All: Traffic{Requests: 100, Failed: 1}, Verdict: &judge.Verdict{Result: judge.Pass, Text: "passed: 100 requests"},
			Thresholds: []threshold.Judged{{Result: threshold.Met, Text: "p95 was 20 ms"}},
			Baseline:   "last-passed", Comparison: &baseline.Comparison{Result: baseline.Same},
		}, &Circumstances{Answered: true, OK: 99, Compared: true}
	}
	missed := func(r *Run, _ *Circumstances) {
		r.Thresholds[0] = threshold.Judged{Result: threshold.Missed, Text: "p95 was 9 s"}
	}
	for name, test := range map[string]struct {
		change func(*Run, *Circumstances)
		code   int
		text   string
	}{
		"all is well":            {func(*Run, *Circumstances) {}, 0, "passed"},
		"a threshold is missed":  {missed, 1, "p95 was 9 s"},
		"a threshold is unknown": {func(r *Run, _ *Circumstances) { r.Thresholds[0].Result = threshold.Unknown }, 3, "p95 was 20 ms"},
		"the verdict is bad": {func(r *Run, _ *Circumstances) {
			r.Verdict = &judge.Verdict{Result: judge.Fail, Text: "failed: errors: many"}
		}, 1, "failed: errors: many"},
		"the verdict is unknown": {func(r *Run, _ *Circumstances) {
			r.Verdict = &judge.Verdict{Result: judge.Unknown, Text: "not known: x"}
		}, 3, "could not judge: x"},
		"it is worse": {func(r *Run, _ *Circumstances) {
			r.Comparison = &baseline.Comparison{Result: baseline.Worse, Rows: []baseline.Row{{Result: baseline.Worse, Text: "forecast took twice as long"}}}
		}, 1, "worse than last-passed: forecast took twice as long"},
		"too little to compare":  {func(r *Run, _ *Circumstances) { r.Comparison.Result = baseline.NotEnoughData }, 3, "too little to compare with last-passed"},
		"nothing to compare":     {func(r *Run, _ *Circumstances) { r.Comparison = nil }, 3, "nothing could be compared"},
		"the first run of all":   {func(r *Run, c *Circumstances) { r.Comparison, c.NoBaseline = nil, "no run has passed yet" }, 0, "passed"},
		"not asked to compare":   {func(r *Run, c *Circumstances) { r.Comparison, c.Compared = nil, false }, 0, "passed"},
		"it is interrupted":      {func(_ *Run, c *Circumstances) { c.Ended = "interrupted after 1m0s of 3m0s" }, 3, "interrupted after 1m0s"},
		"interrupted and failed": {func(r *Run, c *Circumstances) { missed(r, c); c.Ended = "interrupted" }, 3, "until then: p95 was 9 s"},
		"it ended early":         {func(_ *Run, c *Circumstances) { c.GaveUp = "ended after 20s: p95 was 9 s" }, 3, "ended after 20s"},
		"early and failed":       {func(r *Run, c *Circumstances) { missed(r, c); c.GaveUp = "ended after 20s" }, 1, "p95 was 9 s"},
		"soakd was not fit":      {func(_ *Run, c *Circumstances) { c.Unfit = "10 of 18 windows were not fit" }, 3, "10 of 18"},
		"never fit": {func(r *Run, c *Circumstances) {
			r.Verdict, c.Unfit, c.NoneFit = &judge.Verdict{Result: judge.Fail, Text: "failed: errors: many"}, "0 of 18 windows were fit", true
		}, 3, "could not judge: 0 of 18"},
		"never fit and missed":   {func(r *Run, c *Circumstances) { missed(r, c); c.Unfit, c.NoneFit = "0 of 18", true }, 1, "p95 was 9 s"},
		"not fit and failed":     {func(r *Run, c *Circumstances) { missed(r, c); c.Unfit = "10 of 18" }, 1, "p95 was 9 s"},
		"it is empty":            {func(r *Run, _ *Circumstances) { r.All = Traffic{} }, 3, "no request came to an end"},
		"empty, of another tool": {func(r *Run, c *Circumstances) { r.All, c.Foreign = Traffic{}, true }, 3, "no request in the results"},
		"it never answered":      {func(r *Run, c *Circumstances) { missed(r, c); c.Answered = false }, 3, "never answered"},
		"nothing was right":      {func(_ *Run, c *Circumstances) { c.OK = 0 }, 1, "not one of 100"},
		"one case never works":   {func(r *Run, _ *Circumstances) { r.Cases = []Traffic{{Name: "history", Requests: 3, Failed: 3}} }, 1, "not one request was answered rightly of history (3)"},
		"not of another tool": {func(r *Run, _ *Circumstances) {
			r.Tool, r.Cases = "k6", []Traffic{{Name: "missing", Requests: 3, Failed: 3}}
		}, 0, "passed"},
		"a single request failed": {func(r *Run, _ *Circumstances) { r.Cases = []Traffic{{Name: "history", Requests: 2, Failed: 2}} }, 0, "passed"},
		"another reason":          {func(_ *Run, c *Circumstances) { c.Open = []string{"nobody was there"} }, 3, "nobody was there"},
		"something else failed":   {func(_ *Run, c *Circumstances) { c.Failed = []error{errors.New("the server ended")} }, 3, "the server ended"},
		"nothing to judge by": {func(r *Run, c *Circumstances) {
			r.Verdict, r.Thresholds, r.Comparison, c.Compared = nil, nil, nil, false
		}, 3, "nothing to judge by"},
	} {
		r, c := good()
		test.change(r, c)
		got := Conclude(r, c)
		want := map[int]judge.Result{0: judge.Pass, 1: judge.Fail, 3: judge.Unknown}[test.code]
		if got.ExitCode != test.code || got.Result != want || !strings.Contains(got.Text, test.text) {
			t.Errorf("%s: %+v, want %d with %q", name, got, test.code, test.text)
		}
		if (got.Result == judge.Fail) != (len(got.Against) > 0 && c.Ended == "") {
			t.Errorf("%s: %+v does not agree with itself", name, got)
		}
	}
}

// A run with hundreds of worse cases has a conclusion that can be read.
func TestAConclusionIsBounded(t *testing.T) {
	rows := slices.Repeat([]baseline.Row{{Result: baseline.Worse, Text: "slower"}, {Result: baseline.Same, Text: "alike"}}, 100)
	r := &Run{All: Traffic{Requests: 1}, Baseline: "v1", Comparison: &baseline.Comparison{Result: baseline.Worse, Rows: rows}}
	got := Conclude(r, &Circumstances{Answered: true, OK: 1, Compared: true})
	if want := "failed: worse than v1: slower; slower; slower; slower; slower; and 95 more"; got.Text != want {
		t.Errorf("%q, want %q", got.Text, want)
	}
}

func TestInterrupted(t *testing.T) {
	if got, want := Interrupted("interrupted", 61*time.Second, 3*time.Minute), "interrupted after 1m1s of 3m0s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
