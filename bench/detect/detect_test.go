package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/finding"
)

// tried is a run of one fault in which these were found so long after it.
func tried(t *testing.T, fault string, findings ...judge.Finding) result {
	t.Helper()
	j, err := newJob(1, 50, false, []string{fault})
	if err != nil {
		t.Fatal(err)
	}
	r := result{job: &j, seen: []time.Duration{-1}}
	on := j.start.Add(j.episodes[0].At)
	for _, f := range findings {
		// Times in the test are distances from the fault.
		f.Onset, f.Found = on.Add(f.Onset.Sub(time.Time{})), on.Add(f.Found.Sub(time.Time{}))
		r.findings = append(r.findings, f)
		r.note(f.Found.Sub(j.start), r.findings)
	}
	return r
}

func found(kind finding.Kind, s finding.Subject, onset, after time.Duration) judge.Finding {
	return judge.Finding{Kind: kind, Subject: s, Onset: time.Time{}.Add(onset), Found: time.Time{}.Add(after)}
}

func TestReport(t *testing.T) {
	forecast := finding.Subject{Case: "forecast", Class: "standard"}
	all := finding.Subject{Class: finding.AllTraffic}
	tests := map[string]struct {
		result result
		row    string
		missed []string
	}{
		"found": {
			tried(t, "slow_endpoint_20", found(finding.Latency, forecast, time.Minute, 7*time.Minute)),
			"| 1 of 1 | 7 min | 10 min | 1 min | 0 |  |", nil,
		},
		"too late": {
			tried(t, "slow_endpoint_20", found(finding.Latency, forecast, 0, 11*time.Minute)),
			"| 0 of 1 | 11 min | 10 min | 0 s | 0 |  |",
			[]string{"slow_endpoint_20 found in 0 of 1 runs"},
		},
		"another name": {
			tried(t, "slow_endpoint_20", found(finding.Latency, all, 0, 7*time.Minute)),
			"| 0 of 1 |  | 10 min |  | 0 | latency (class all) (seed 1) |",
			[]string{"slow_endpoint_20 found in 0 of 1 runs", "slow_endpoint_20: other findings in 1 of 1 runs"},
		},
		"there before": {
			tried(t, "slow_endpoint_20", found(finding.Latency, forecast, -2*time.Minute, -time.Minute)),
			"| 0 of 1 |  | 10 min |  | 0 | latency (class standard, case forecast) (seed 1) |",
			[]string{"slow_endpoint_20 found in 0 of 1 runs", "slow_endpoint_20: other findings in 1 of 1 runs"},
		},
		"twice": {
			tried(t, "errors_2", found(finding.Errors, all, 0, 2*time.Minute), found(finding.Errors, all, 0, 20*time.Minute)),
			"| 1 of 1 | 2 min | 50 min | 0 s | 0 | errors (class all) (seed 1) |",
			[]string{"errors_2: other findings in 1 of 1 runs"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text, missed := report([]result{test.result})
			if !strings.Contains(text, test.row) {
				t.Errorf("the report has no %q:\n%s", test.row, text)
			}
			if !slices.Equal(missed, test.missed) {
				t.Errorf("missed are %q, want %q", missed, test.missed)
			}
		})
	}
}

func TestFalseAlarms(t *testing.T) {
	run := func(weeks int, findings ...judge.Finding) result {
		return result{job: &job{length: time.Duration(weeks) * week}, findings: findings}
	}
	alarm := found(finding.Latency, finding.Subject{Class: finding.AllTraffic}, 0, 0)
	for _, test := range []struct {
		results []result
		missed  bool
	}{
		{[]result{run(10), run(10)}, false},
		{[]result{run(10), run(10, alarm)}, true},
		{[]result{run(30), run(10, alarm)}, false},
		{[]result{run(2, alarm)}, true},
	} {
		if _, missed := report(test.results); len(missed) > 0 != test.missed {
			t.Errorf("%d runs: missed are %q", len(test.results), missed)
		}
	}
}

func TestPairsAreApart(t *testing.T) {
	pairs := randomPairs(20, 1)
	if len(pairs) != 20 || !slices.EqualFunc(pairs, randomPairs(20, 1), slices.Equal) {
		t.Fatal("not the same 20 pairs")
	}
	for _, p := range pairs {
		j, err := newJob(1, 50, false, p)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := j.faults[0], j.faults[1]; a.Area == b.Area || a.Away || b.Away || j.episodes[1].At-j.episodes[0].At != apart {
			t.Errorf("%s: areas %q and %q, %v apart", j.name(), a.Area, b.Area, j.episodes[1].At-j.episodes[0].At)
		}
	}
}

func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "tables.md")
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{"-fault", "accept_invalid", "-seeds", "1", "-v", "-out", out}, &stdout, &stderr)
	text, readErr := os.ReadFile(out)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if !strings.Contains(stdout.String(), "accept_invalid is on from") || !strings.HasSuffix(stdout.String(), string(text)) || !strings.Contains(string(text), "| `accept_invalid` |") {
		t.Errorf("it printed\n%s\nand wrote\n%s", &stdout, text)
	}
	if failed := strings.Contains(string(text), "- missed:"); failed != (err != nil) {
		t.Errorf("the error is %v beside\n%s", err, text)
	}
}

func TestRunRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		`there is no fault "fire"`: {"-fault", "fire"},
		"-parallel 1 or more":      {"-parallel", "0"},
		`"5" is no flag`:           {"5"},
	} {
		if err := run(t.Context(), args, new(bytes.Buffer), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("run(%q) = %v, want %q in it", args, err, want)
		}
	}
}
