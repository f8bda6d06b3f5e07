package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

func TestBannerOfTheDemo(t *testing.T) {
	const banner = `The API can be made worse while it is watched: this slows all of it for two minutes.
  curl -X PUT -H 'Authorization: Bearer token' -d '{"factor": 3, "for": "2m"}' http://127.0.0.1:4000/admin/faults/slow_all

soakd v1
  metrics                http://127.0.0.1:9470/metrics
  page                   http://127.0.0.1:9470/
`
	d, err := readBanner(bufio.NewScanner(strings.NewReader(banner)))
	if err != nil || d.soakd != "http://127.0.0.1:9470" || d.api != "http://127.0.0.1:4000" || d.token != "token" {
		t.Errorf("the banner was read as %+v, %v", d, err)
	}
	if _, err := readBanner(bufio.NewScanner(strings.NewReader("soakd v1\n"))); err == nil {
		t.Error("a demo that says nothing is no error")
	}
}

// A running soakd finds a fault, and nothing else.
func TestTry(t *testing.T) {
	on, was := false, false
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/findings", func(w http.ResponseWriter, _ *http.Request) {
		found := `{"id":"old","kind":"leak"}`
		if was {
			found += `,{"id":"new","kind":"errors","subject":{"class":"all"}}`
		}
		fmt.Fprintf(w, `{"findings":[%s]}`, found)
	})
	mux.HandleFunc("/admin/faults/errors", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		on = r.Method == http.MethodPut
		was = was || on
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	d := demo{soakd: server.URL, api: server.URL, token: "token", every: time.Millisecond}
	for _, f := range realFaults() {
		if f.name != "errors" {
			continue
		}
		row, ok, err := d.try(t.Context(), &f, 0)
		if want := "| `errors` | errors | class all | 0 s |  |\n"; err != nil || !ok || row != want || on {
			t.Errorf("the fault became %q, %v, %v, still on: %v; want %q", row, ok, err, on, want)
		}
	}
}

// A server of the demo is found among its children by its name.
func TestChildOf(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc")
	}
	command := exec.CommandContext(t.Context(), "sleep", "60")
	if err := command.Start(); err != nil {
		t.Skip("there is no sleep:", err)
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	if pid, err := childOf(os.Getpid(), "sleep"); err != nil || pid != command.Process.Pid {
		t.Errorf("found %d, %v, want %d", pid, err, command.Process.Pid)
	}
	if _, err := childOf(os.Getpid(), "redis"); err == nil {
		t.Error("a child was found that is none")
	}
}
