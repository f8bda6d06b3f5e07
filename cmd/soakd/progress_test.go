package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/threshold"
	"soakd/internal/load"
	"soakd/internal/report"
)

func TestInCI(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "CI=true": true, "CI=1": true, "CI=false": false, "CI=": false, "CI=0": false, "GITHUB_ACTIONS=true": true, "GITLAB_CI=true": true,
		"TEAMCITY_VERSION=2026.1": true, "TF_BUILD=True": true, "JENKINS_URL=http://x": true, "BUILDKITE=true": true, "CIRCUS=true": false, "CI=false GITLAB_CI=true": true,
	} {
		got := inCI(func(name string) (string, bool) {
			for _, variable := range strings.Fields(text) {
				if value, found := strings.CutPrefix(variable, name+"="); found {
					return value, true
				}
			}
			return "", false
		})
		if got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestColoursWanted(t *testing.T) {
	for name, want := range map[string]bool{"": true, "NO_COLOR=1": false, "NO_COLOR=false": false, "NO_COLOR=": true, "CLICOLOR=0": false, "CLICOLOR=1": true} {
		key, value, _ := strings.Cut(name, "=")
		got := coloursWanted(func(asked string) string {
			if asked == key {
				return value
			}
			return ""
		})
		if got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestProgressSettings(t *testing.T) {
	good := progressSettings{Progress: "auto", LogLevel: "info", LogFormat: "text", ProgressInterval: time.Second}
	for want, change := range map[string]func(*progressSettings){
		"":                                     func(*progressSettings) {},
		`SOAKD_PROGRESS: "x" must be auto`:     func(s *progressSettings) { s.Progress = "x" },
		"SOAKD_PROGRESS: a table is no JSON":   func(s *progressSettings) { s.Progress, s.LogFormat = "table", "json" },
		"SOAKD_PROGRESS: a table is not what":  func(s *progressSettings) { s.Progress, s.Headless = "table", true },
		"SOAKD_PROGRESS_INTERVAL: -1s must be": func(s *progressSettings) { s.ProgressInterval = -time.Second },
		`SOAKD_LOG_FORMAT: "xml" must be text`: func(s *progressSettings) { s.LogFormat = "xml" },
		`SOAKD_LOG_LEVEL: "loud" must be`:      func(s *progressSettings) { s.LogLevel = "loud" },
	} {
		s := good
		change(&s)
		var m mistakes
		s.validate(&m)
		if (want == "") != (len(m) == 0) || len(m) > 1 || (want != "" && !strings.HasPrefix(m[0].Error(), want)) {
			t.Errorf("%v, want %q", m, want)
		}
	}
}

// A run without end that somebody stops has no result but its verdict.
func TestResultOfARun(t *testing.T) {
	failed := report.Conclusion{Result: judge.Fail, ExitCode: exitFailed, Text: "failed: it did"}
	verdict := judge.Verdict{Result: judge.Pass, Text: "passed"}
	for _, test := range []struct {
		run  report.Run
		want ended
	}{
		{report.Run{Duration: time.Minute, Conclusion: failed, Verdict: &verdict}, ended{"fail", 1, "failed: it did"}},
		{report.Run{Conclusion: failed, Verdict: &verdict}, ended{"pass", 0, "passed"}},
	} {
		if got := result(&test.run); got != test.want {
			t.Errorf("%+v, want %+v", got, test.want)
		}
	}
}

// The end of a bounded run shows what it was held to, and how it ended: a verdict that
// passed is not all of it.
func TestTheEndSaysWhatThresholdsCameTo(t *testing.T) {
	run := report.Run{
		Duration: time.Minute, Status: &report.Status{}, Verdict: &judge.Verdict{Result: judge.Pass, Text: "passed", Windows: 6}, Notes: []string{"not compared"},
		Thresholds: []threshold.Judged{{Threshold: "p95<=1s", Over: threshold.Run, Result: threshold.Missed, Text: "p95 was 2 s"}},
		Conclusion: report.Conclusion{Result: judge.Fail, Text: "failed: p95 was 2 s"},
	}
	for want, duration := range map[string]time.Duration{"\nnotes:\n  not compared\n\nresult: failed\n": time.Minute, "\nnotes:\n  not compared\n\nwritten: a, b\n": 0} {
		var b strings.Builder
		run.Duration = duration
		(&lineProgress{w: &b}).finish(&run, []string{"a", "b"})
		for _, want := range []string{"verdict: passed", "  fail     p95<=1s, run: p95 was 2 s\n", want} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%v: no %q in %q", duration, want, b.String())
			}
		}
	}
}

// A line comes once an interval, about what was in it, and none at the end.
func TestLinesOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		p := lineProgress{w: &b, interval: 2 * time.Second}
		start := time.Now()
		var at []time.Duration
		r := course{window: func(now time.Time) (report.Status, load.Window) {
			at = append(at, now.Sub(start))
			return report.Status{}, load.Window{Length: 2 * time.Second, CaseSummary: load.CaseSummary{Finished: 10}}
		}}
		ctx, stop := context.WithTimeout(t.Context(), 7*time.Second)
		defer stop()
		p.follow(ctx, r)
		if want := []time.Duration{2 * time.Second, 4 * time.Second, 6 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("lines at %v, want %v", at, want)
		}
		if strings.Count(b.String(), "   5.0/s  in flight 0") != 3 {
			t.Errorf("%q", b.String())
		}
	})
}
