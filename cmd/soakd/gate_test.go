package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/lockedbuffer"
)

// wellTarget is a target whose health checks are well until it is told otherwise.
type wellTarget struct {
	*httptest.Server

	// mode is how it answers: "", "slow", "broken" or "dead".
	mode  atomic.Value
	asked atomic.Int64
}

func newWellTarget(t *testing.T) *wellTarget {
	t.Helper()
	w := &wellTarget{}
	w.mode.Store("")
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (w *wellTarget) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	switch w.mode.Load() {
	case "slow":
		select {
		case <-time.After(150 * time.Millisecond): // the target's own work
		case <-r.Context().Done():
		}
	case "broken":
		rw.WriteHeader(http.StatusInternalServerError)
		return
	case "hangs":
		<-r.Context().Done()
		return
	case "dead":
		if conn, _, err := rw.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(rw, `{"status":"ok","version":"v1"}`)
}

// gateArgs are those of a short run of health checks. Busy test machines make soakd
// late, which is judged elsewhere.
func gateArgs(more ...string) []string {
	return append([]string{
		"run", "--tags", "health", "--duration", "2s", "--rate", "50", "--users", "1", "--listen", "127.0.0.1:0",
		"--lag-limit", "1m", "--cpu-limit", "1", "--max-lateness", "1m", "--objectives", "none",
	}, more...)
}

// reported is what the tests look at in a report.json.
type reported struct {
	Conclusion struct {
		Result   string `json:"result"`
		ExitCode int    `json:"exit_code"`
		Text     string `json:"text"`
	} `json:"conclusion"`
}

func readReport(t *testing.T, dir string) (r reported) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each cause has its exit code, and the reports say the same.
func TestGateExitCodes(t *testing.T) {
	for name, test := range map[string]struct {
		// mode is that of the target, laterMode the one after 20 requests.
		mode, laterMode string
		args            []string
		code            int
		text            string
	}{
		"passes":                        {args: []string{"--threshold", "rate>=50", "--threshold", "error_rate<=1%", "--threshold-p95", "10000", "--threshold", "p99{class=health}<=1m"}, code: exitOK, text: "passed"},
		"misses a threshold":            {mode: "slow", args: []string{"--threshold", "p95{case=health}<=100ms"}, code: exitFailed, text: "p95 of case health was "},
		"misses the first of two flags": {mode: "slow", args: []string{"--threshold-p95", "100", "--thresholds", "rate>=1"}, code: exitFailed, text: ", above 100ms"},
		"misses by an alias":            {mode: "slow", args: []string{"--threshold-p95", "100"}, code: exitFailed, text: ", above 100ms"},
		"fails half-way":                {laterMode: "dead", args: []string{"--threshold-error-rate", "0.01"}, code: exitFailed, text: "error_rate of all traffic was"},
		"answers wrongly":               {mode: "broken", code: exitFailed, text: "not one of 100 requests was answered rightly"},
		"is never up":                   {mode: "dead", args: []string{"--threshold", "rate>=1000"}, code: exitNotRun, text: "never answered: 100 of 100 requests failed"},
		"starves":                       {args: []string{"--lag-limit", "1ns", "--threshold", "p95<=10s"}, code: exitNotRun, text: "soakd itself was late or starved"},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			target := newWellTarget(t)
			defer target.Close()
			target.mode.Store(test.mode)
			if test.laterMode != "" {
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				defer func() { cancel(); <-ended }()
				go func() {
					defer close(ended)
					for target.asked.Load() < 20 && ctx.Err() == nil {
						time.Sleep(time.Millisecond) // polls a condition
					}
					target.mode.Store(test.laterMode)
				}()
			}
			out := filepath.Join(t.TempDir(), "results")
			t.Setenv("SOAKD_TARGET_URL", target.URL)
			var stdout, stderr lockedbuffer.Buffer
			err := run(t.Context(), gateArgs(append(test.args, "--out", out)...), &stdout, &stderr)
			if exitCode(err) != test.code {
				t.Errorf("exit code %d, %v; want %d\n%s", exitCode(err), err, test.code, &stdout)
			}
			report := readReport(t, out)
			if report.Conclusion.ExitCode != test.code || !strings.Contains(report.Conclusion.Text, test.text) {
				t.Errorf("the report says %+v; want %d with %q", report.Conclusion, test.code, test.text)
			}
			if test.code != exitOK && !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v does not say %q", err, test.text)
			}
			for _, file := range []string{"report.html", "report.md", "junit.xml", "metrics.txt", "metrics.om", "locust_stats.csv", "locust_stats_history.csv", "locust_failures.csv", "locust_exceptions.csv"} {
				if info, err := os.Stat(filepath.Join(out, file)); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v", file, err)
				}
			}
		})
	}
}

// What is wrong is said before anything is sent.
func TestGateRefusesMistakes(t *testing.T) {
	target := newWellTarget(t)
	t.Setenv("SOAKD_TARGET_URL", target.URL)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no unit":           {[]string{"--threshold", "p95<=300"}, "300ms"},
		"no such class":     {[]string{"--threshold", "p95{class=monte}<=5s"}, "monte"},
		"ambiguous share":   {[]string{"--threshold-error-rate", "1"}, "is it 1% or a share?"},
		"no rate":           {[]string{"--threshold-rps", "many"}, "not a number"},
		"out is a file":     {[]string{"--out", file}, "SOAKD_OUT"},
		"csv below a file":  {[]string{"--csv", filepath.Join(file, "x")}, "SOAKD_CSV"},
		"without end":       {[]string{"--duration", "0s", "--threshold", "rate>=1"}, "--duration 3m"},
		"all warm-up":       {[]string{"--warm-up", "1m", "--duration", "30s"}, "leaves nothing"},
		"century":           {[]string{"--warm-up", "2562047h47m", "--duration", "30s"}, "leaves nothing"},
		"all ramp-up":       {[]string{"--ramp-up", "30s", "--duration", "30s", "--threshold", "rate>=1"}, "leaves nothing"},
		"abort without":     {[]string{"--abort-early"}, "no threshold"},
		"odd window":        {[]string{"--threshold-window", "15s"}, "whole tens of seconds"},
		"unknown baseline":  {[]string{"--baseline", "nobody"}, "nobody"},
		"users and arrival": {[]string{"--spawn-rate", "5"}, "SPAWN_RATE"},
	} {
		var stdout, stderr lockedbuffer.Buffer
		err := run(t.Context(), gateArgs(test.args...), &stdout, &stderr)
		if err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: exit code %d, %v; want %q", name, exitCode(err), err, test.want)
		}
	}
	if n := target.asked.Load(); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// Locust's words make a run of users, and its files.
func TestRunAsLocust(t *testing.T) {
	defer goleak.VerifyNone(t)
	target := newWellTarget(t)
	defer target.Close()
	prefix := filepath.Join(t.TempDir(), "results", "staging")
	var stdout, stderr lockedbuffer.Buffer
	err := run(t.Context(), []string{
		"run", "--headless", "--host", target.URL, "-u", "3", "-r", "3", "-t", "1", "--tags", "health", "read", "--csv", prefix,
		"--think-time", "50ms", "--listen", "127.0.0.1:0", "--objectives", "none", "--lag-limit", "1m", "--cpu-limit", "1", "-E", "scenarios", "standard",
	}, &stdout, &stderr)
	if err != nil || !strings.Contains(stdout.String(), "closed model, 3 users, 3 more a second") {
		t.Errorf("%v\n%s\n%s", err, &stdout, &stderr)
	}
	for _, name := range []string{"stats", "stats_history", "failures", "exceptions"} {
		text, err := os.ReadFile(prefix + "_" + name + ".csv")
		if err != nil || (name == "stats" && !strings.Contains(string(text), "GET,health,")) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// A run that failed leaves nothing behind that fails the next one, and is not what the
// next one is compared with.
func TestGateAfterGate(t *testing.T) {
	target := newWellTarget(t)
	t.Setenv("SOAKD_TARGET_URL", target.URL)
	t.Setenv("SOAKD_HISTORY_URL", filepath.Join(t.TempDir(), "history.db"))
	one := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr lockedbuffer.Buffer
		err := run(t.Context(), gateArgs(append(args, "--baseline", "last-passed")...), &stdout, &stderr)
		if exitCode(err) != want {
			t.Fatalf("exit code %d, %v; want %d\n%s", exitCode(err), err, want, &stdout)
		}
		if err == nil {
			return stdout.String()
		}
		return err.Error()
	}
	target.mode.Store("broken")
	one(exitFailed)
	target.mode.Store("")
	// The first that passes has nothing to compare with, and is too short to be compared with.
	for _, note := range []string{notCompared(lastPassed), notKept()} {
		if said := one(exitOK); !strings.Contains(said, note) {
			t.Errorf("no note %q in\n%s", note, said)
		}
	}
	listed, err := historyOf(t, os.Getenv("SOAKD_HISTORY_URL"), "list")
	if err != nil || !strings.Contains(listed, "fail") || !strings.Contains(listed, "pass") {
		t.Errorf("%v\n%s", err, listed)
	}
}

// started starts soakd as a process against a target, with its own environment.
func startGate(t *testing.T, target *wellTarget, args ...string) *soakdProcess {
	t.Helper()
	return start(t, func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(), "SOAKD_TARGET_URL="+target.URL, "SOAKD_HISTORY_URL=none")
	}, args...)
}

// state waits for the end of a process.
func (p *soakdProcess) state(t *testing.T) *os.ProcessState {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.cmd.Wait() // its state says more
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatalf("it does not end\n%s\n%s", p.stdout, p.stderr)
	}
	return p.cmd.ProcessState
}

// A run that is interrupted writes what it has, and has not passed.
func TestInterruptedRunWritesItsReports(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		target, out := newWellTarget(t), filepath.Join(t.TempDir(), "results")
		args := gateArgs("--threshold", "p95<=10s", "--out", out)
		args[slices.Index(args, "2s")] = "1h"
		p := startGate(t, target, args...)
		wait(t, "some requests", func() bool { return target.asked.Load() > 30 }, p.stderr)
		for range 2 { // as timeout(1) does
			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
		}
		if code := p.state(t).ExitCode(); code != exitNotRun {
			t.Errorf("%v: exit code %d\n%s", signal, code, p.stderr)
		}
		if report := readReport(t, out); report.Conclusion.Result != "unknown" || !strings.Contains(report.Conclusion.Text, "interrupted after") || !strings.Contains(report.Conclusion.Text, "of 1h0m0s") {
			t.Errorf("%v: %+v", signal, report)
		}
	}
}

// status is that of a page.
func status(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// Who asks twice does not wait for the requests in flight.
func TestTwoSignalsEndAtOnce(t *testing.T) {
	t.Parallel()
	target := newWellTarget(t)
	target.mode.Store("hangs")
	args := gateArgs("--shutdown-grace", "1h", "--progress", "lines", "--progress-interval", "100ms")
	args[slices.Index(args, "2s")] = "1h"
	p := startGate(t, target, args...)
	wait(t, "some requests", func() bool { return target.asked.Load() > 5 }, p.stderr)
	ready := p.find(t, `page +(http://\S+/)`) + "-/ready"
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	// It goes on waiting for its requests, and says so.
	wait(t, "the end of the schedule", func() bool { return status(t, ready) == http.StatusServiceUnavailable }, p.stderr)
	second := time.AfterFunc(2*sameSignal, func() { _ = p.cmd.Process.Signal(os.Interrupt) }) // else it does not end
	defer second.Stop()
	end, ok := p.state(t).Sys().(syscall.WaitStatus)
	if !ok || !end.Signaled() || end.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v", p.cmd.ProcessState)
	}
}

// A run that can only fail does not go on for an hour.
func TestHopelessRunEndsEarly(t *testing.T) {
	t.Parallel()
	target, out := newWellTarget(t), filepath.Join(t.TempDir(), "results")
	target.mode.Store("broken")
	args := gateArgs("--threshold", "failures<=3", "--abort-early", "--warm-up", "0s", "--out", out)
	args[slices.Index(args, "2s")] = "1h"
	p := startGate(t, target, args...)
	if code := p.state(t).ExitCode(); code != exitFailed {
		t.Errorf("exit code %d\n%s", code, p.stderr)
	}
	if text := readReport(t, out).Conclusion.Text; !strings.Contains(text, "failures of all traffic was") {
		t.Errorf("the report says %q", text)
	}
	if !strings.Contains(p.stdout.String(), "of 1h0m0s, since it could only fail: failures<=3") {
		t.Errorf("it does not say why it ended\n%s", p.stdout)
	}
}

// A report that cannot be written turns a pass into no result, and all that is written says so.
func TestUnwrittenReportIsNoPass(t *testing.T) {
	target := newWellTarget(t)
	t.Setenv("SOAKD_TARGET_URL", target.URL)
	t.Setenv("SOAKD_HISTORY_URL", filepath.Join(t.TempDir(), "h.db"))
	summary := filepath.Join(t.TempDir(), "summary.md")
	for name, test := range map[string]struct{ folder, summary, said string }{
		"a file":      {"junit.xml", summary, "junit.xml: "},
		"the summary": {"other", filepath.Join(summary, "x"), "GITHUB_STEP_SUMMARY"},
	} {
		t.Setenv("GITHUB_STEP_SUMMARY", test.summary)
		out := t.TempDir()
		if err := os.Mkdir(filepath.Join(out, test.folder), 0o700); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr lockedbuffer.Buffer
		err := run(t.Context(), gateArgs("--out", out, "--log-format", "json"), &stdout, &stderr)
		if exitCode(err) != exitNotRun || !strings.Contains(err.Error(), test.said) {
			t.Errorf("%s: exit code %d, %v", name, exitCode(err), err)
		}
		if c := readReport(t, out).Conclusion; c.ExitCode != exitNotRun || !strings.Contains(c.Text, test.said) {
			t.Errorf("%s: the report says %+v", name, c)
		}
		lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
		var end endDocument
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end.ExitCode != exitNotRun {
			t.Errorf("%s: the last line says %+v, %v", name, end, err)
		}
	}
	if text, err := os.ReadFile(summary); err != nil || !strings.Contains(string(text), "not judged") {
		t.Errorf("the summary says %s, %v", text, err)
	}
	if listed, err := historyOf(t, os.Getenv("SOAKD_HISTORY_URL"), "list"); err != nil || strings.Contains(listed, "pass") {
		t.Errorf("%v\n%s", err, listed)
	}
}

// What an earlier run has left is not taken for what this one came to.
func TestReportsOfAnEarlierRunAreGone(t *testing.T) {
	target := newWellTarget(t)
	t.Setenv("SOAKD_TARGET_URL", target.URL)
	t.Setenv("SOAKD_HISTORY_URL", filepath.Join(t.TempDir(), "history.db"))
	out := t.TempDir()
	for _, name := range []string{"junit.xml", "report.json", "locust_stats.csv", "x_stats.csv", "mine.txt"} {
		if err := os.WriteFile(filepath.Join(out, name), []byte("passed"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr lockedbuffer.Buffer
	if err := run(t.Context(), gateArgs("--out", out, "--csv", filepath.Join(out, "x"), "--baseline", "nobody"), &stdout, &stderr); exitCode(err) != exitUsage {
		t.Errorf("%v", err)
	}
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 1 || entries[0].Name() != "mine.txt" {
		t.Errorf("%v, %v", entries, err)
	}
}

// A disk that is full turns a pass into no result, and leaves a failure one. What can be
// written is.
func TestFullDiskIsNoPass(t *testing.T) {
	t.Parallel()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("unshare (util-linux) is not installed")
	}
	dir := t.TempDir()
	if output, err := exec.CommandContext(t.Context(), unshare, "-rm", "mount", "-t", "tmpfs", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no file system of one's own can be had here: %v: %s", err, output)
	}
	soakd, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[string]int{"": exitNotRun, "broken": exitFailed} {
		target := newWellTarget(t)
		target.mode.Store(mode)
		// 24 KiB: some files have their place, others have not.
		script := `mount -t tmpfs -o size=24k tmpfs "$1" && dir=$1 && shift && { "$@"; code=$?; grep -l '"exit_code": 0\|soakd ✅' "$dir"/* | sed 's/^/it says passed: /'; exit $code; }`
		cmd := exec.CommandContext(t.Context(), unshare, slices.Concat([]string{"-rm", "sh", "-c", script, "sh", dir, soakd}, gateArgs("--out", dir))...)
		cmd.Env = append(os.Environ(), "SOAKD_TARGET_URL="+target.URL, "SOAKD_HISTORY_URL=none")
		output, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want || !strings.Contains(string(output), "no space left on device") || strings.Contains(string(output), "it says passed: ") {
			t.Errorf("%q: exit code %d, want %d\n%s", mode, code, want, output)
		}
	}
}
