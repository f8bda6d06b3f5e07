package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"soakd/internal/lockedbuffer"
)

// families reads a /metrics page.
func families(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	return parse(t, strings.NewReader(page(t, url)))
}

// page reads a page as it is, for when several have to be of almost the same moment.
func page(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t *testing.T, page io.Reader) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(page)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sum adds the values of a metric, by the value of one label ("" for all).
func sum(all map[string]*dto.MetricFamily, name, label string) map[string]float64 {
	sums := map[string]float64{}
	for _, metric := range all[name].GetMetric() {
		key := ""
		for _, pair := range metric.GetLabel() {
			if pair.GetName() == label {
				key = pair.GetValue()
			}
		}
		sums[key] += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
	}
	return sums
}

// checkSums asserts what must hold at every scrape.
func checkSums(t *testing.T, all map[string]*dto.MetricFamily) {
	t.Helper()
	one := func(name string) float64 { return sum(all, name, "")[""] }
	scheduled, sent, waiting, dropped := one("soakd_arrivals_scheduled_total"), one("soakd_arrivals_sent_total"), one("soakd_arrivals_waiting"), one("soakd_arrivals_dropped_total")
	if scheduled != sent+waiting+dropped {
		t.Errorf("%v scheduled is not %v sent + %v waiting + %v dropped", scheduled, sent, waiting, dropped)
	}
	// What was sent and has no outcome is in flight or was cut.
	if requests := one("soakd_http_requests_total"); requests > sent-one("soakd_http_requests_cut_total") {
		t.Errorf("%v requests by outcome, but only %v sent", requests, sent)
	}
}

// soakdProcess is the built binary at work.
type soakdProcess struct {
	cmd    *exec.Cmd
	stdout *lockedbuffer.Buffer
	stderr *lockedbuffer.Buffer
}

// binaryFolder holds what binary built; "" when nothing was.
var binaryFolder string

// binary builds soakd once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "soakd-e2e-")
	if err != nil {
		return "", err
	}
	binaryFolder = dir
	path := filepath.Join(dir, "soakd")
	output, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w: %s", err, output)
	}
	return path, nil
})

// start starts the built binary after a change to how.
func start(t *testing.T, change func(*exec.Cmd), args ...string) *soakdProcess {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &soakdProcess{cmd: exec.CommandContext(t.Context(), path, args...), stdout: &lockedbuffer.Buffer{}, stderr: &lockedbuffer.Buffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	change(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // for a test that fails; the test's context has ended, which is a SIGTERM
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Wait()
		}
	})
	return p
}

// find waits until a pattern is on standard output and returns its first group.
func (p *soakdProcess) find(t *testing.T, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	var match []string
	wait(t, "standard output to hold "+pattern, func() bool {
		match = expression.FindStringSubmatch(p.stdout.String())
		return match != nil
	}, p.stderr)
	return match[1]
}

// wait polls a condition until it holds; it fails after a minute.
func wait(t *testing.T, what string, condition func() bool, log fmt.Stringer) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("waited a minute for %s; log:\n%s", what, log)
		case <-ticker.C:
		}
	}
}

// children lists the processes below one, by /proc.
func children(t *testing.T, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, task := range tasks {
		content, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(content)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, child)
		}
	}
	return pids
}

// alive reports whether a process exists and is more than a zombie, which is what
// stays of an orphan where nobody waits for orphans.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ") // the name before may hold anything
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// started is what a demo has started: its processes and its temporary folder.
type started struct {
	folder string
	pids   []int
	api    int // pid of the reference API
}

// temporary gives a demo a folder of its own for temporary files. The users that
// its servers run as can reach it.
func temporary(t *testing.T) (folder string, change func(*exec.Cmd)) {
	t.Helper()
	folder = t.TempDir()
	for _, path := range []string{folder, filepath.Dir(folder)} {
		if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // made for this test
			t.Fatal(err)
		}
	}
	return folder, func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), "TMPDIR="+folder) }
}

// startedBy looks at a demo that has said that it runs.
func startedBy(t *testing.T, p *soakdProcess, folder string) started {
	t.Helper()
	s := started{folder: folder, pids: children(t, p.cmd.Process.Pid)}
	for _, pid := range s.pids {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(line), "\x00"+referenceAPI+"\x00") {
			s.api = pid
		}
	}
	if len(s.pids) != 3 || s.api == 0 {
		t.Fatalf("the demo has the children %v, the API being %d; want Postgres, Redis and the API; log:\n%s", s.pids, s.api, p.stderr)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 {
		t.Fatalf("%s holds %v (%v), want a folder of Postgres and one of Redis", folder, entries, err)
	}
	return s
}

// checkGone asserts that nothing is left of what was started.
func (s started) checkGone(t *testing.T) {
	t.Helper()
	for _, pid := range s.pids {
		if alive(pid) {
			t.Errorf("process %d was left running", pid)
		}
	}
	if entries, err := os.ReadDir(s.folder); err != nil || len(entries) != 0 {
		t.Errorf("temporary files were left: %v (%v)", entries, err)
	}
}

// end waits for the process and asserts the exit code 0.
func (p *soakdProcess) end(t *testing.T) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("ended with %v; log:\n%s", err, p.stderr)
	}
}

// The demo of the built binary: its figures add up at every scrape and at the
// end, it measures everything, the API and not itself, and leaves nothing running.
func TestDemoEndToEnd(t *testing.T) {
	folder, change := temporary(t)
	p := start(t, change, "demo", "--rate", "50", "--listen", "127.0.0.1:0", "--probe-interval", "1s", "--probe-timeout", "1s")
	url := p.find(t, `metrics +(http://\S+/metrics)`)
	services := startedBy(t, p, folder)
	for _, name := range []string{
		"soakd_postgres_backends", "soakd_postgres_max_connections", "soakd_postgres_connection_saturation_ratio", "soakd_postgres_blocked_backends",
		"soakd_postgres_deadlocks_total", "soakd_postgres_pool_connections", "soakd_redis_keyspace_hits_total", "soakd_redis_keyspace_misses_total",
		"soakd_redis_keyspace_hit_ratio", "soakd_redis_evicted_keys_total", "soakd_redis_memory_used_bytes", "soakd_redis_memory_limit_bytes",
		"soakd_api_cpu_seconds_total", "soakd_api_resident_memory_bytes", "soakd_api_open_fds", "soakd_api_threads", "soakd_api_pool_connections",
		"soakd_api_restarts_total", "soakd_schedule_lag_seconds", "soakd_http_response_time_seconds",
	} {
		wait(t, name, func() bool {
			all := families(t, url)
			checkSums(t, all)
			return len(all[name].GetMetric()) > 0
		}, p.stderr)
	}
	checkAPIIsApart(t, families(t, url), families(t, p.find(t, `target +(http://\S+)`)+"/metrics"))
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.end(t)
	if a := p.account(t); a.scheduled != a.sent+a.dropped || a.sent != a.finished+a.cut || a.finished == 0 {
		t.Errorf("the account does not add up: %+v", a)
	}
	services.checkGone(t)
}

// A demo for a set time ends by itself with a table and 0.
func TestDemoEndsByItself(t *testing.T) {
	folder, change := temporary(t)
	p := start(t, change, "demo", "--duration", "4s", "--rate", "20", "--users", "2", "--listen", "127.0.0.1:0", "--progress-interval", "500ms")
	p.find(t, `target +(http://\S+)`)
	services := startedBy(t, p, folder)
	p.end(t)
	if got := p.account(t); got != (account{scheduled: 80, sent: 80, finished: 80}) || !strings.Contains(p.stdout.String(), "no failures\n") {
		t.Errorf("want 80 of 80 without a failure, got %+v:\n%s\nlog:\n%s", got, p.stdout, p.stderr)
	}
	if lines := regexp.MustCompile(`(?m)^ +\d+s +\S+/s +in flight `).FindAllString(p.stdout.String(), -1); len(lines) < 4 {
		t.Errorf("%d progress lines in 4 s, want one each half second", len(lines))
	}
	services.checkGone(t)
}

// checkAPIIsApart asserts that what is measured on the API is not soakd.
func checkAPIIsApart(t *testing.T, soakd, api map[string]*dto.MetricFamily) {
	t.Helper()
	one := func(all map[string]*dto.MetricFamily, name string) float64 {
		value, ok := sum(all, name, "")[""]
		if !ok || value <= 0 {
			t.Errorf("%s is %v", name, value)
		}
		return value
	}
	const memory, begin = "process_resident_memory_bytes", "process_start_time_seconds"
	if measured, own := one(soakd, "soakd_api_resident_memory_bytes"), one(soakd, memory); measured == own {
		t.Errorf("the API has %v bytes, exactly as soakd itself", measured)
	}
	// soakd starts it after a Postgres, which takes longer than the hundredth of
	// a second that start times are rounded to.
	if theirs, ours := one(api, begin), one(soakd, begin); theirs <= ours {
		t.Errorf("the API has started at %v, soakd at %v", theirs, ours)
	}
}

// account is what the end of the table says became of all arrivals.
type account struct{ scheduled, sent, dropped, finished, cut int }

// account reads the end of the table.
func (p *soakdProcess) account(t *testing.T) (a account) {
	t.Helper()
	text := p.stdout.String()
	match := regexp.MustCompile(`arrivals: (\d+) scheduled = (\d+) sent \+ 0 waiting \+ (\d+) dropped.*\nrequests: \d+ sent = (\d+) finished \+ 0 in flight \+ (\d+) cut\n`).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no account at the end:\n%s\nlog:\n%s", text, p.stderr)
	}
	for i, field := range []*int{&a.scheduled, &a.sent, &a.dropped, &a.finished, &a.cut} {
		value, err := strconv.Atoi(match[i+1])
		if err != nil {
			t.Fatal(err)
		}
		*field = value
	}
	return a
}

func TestDemoEndsOnSignals(t *testing.T) {
	for _, one := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(one.String(), func(t *testing.T) {
			// What is caught here is not ignored by a child, even when the tests
			// themselves were started with nohup or in the background.
			caught := make(chan os.Signal, 1)
			signal.Notify(caught, one)
			defer signal.Stop(caught)
			folder, change := temporary(t)
			p := start(t, change, "demo", "--listen", "127.0.0.1:0", "--progress-interval", "1s")
			p.find(t, `(\d+\.\d)/s`)
			services := startedBy(t, p, folder)
			if err := p.cmd.Process.Signal(one); err != nil {
				t.Fatal(err)
			}
			p.end(t)
			if !strings.Contains(p.stdout.String(), "0 waiting") {
				t.Errorf("no table at the end:\n%s", p.stdout)
			}
			services.checkGone(t)
		})
	}
}

// Under nohup a terminal that closes does not end soakd.
func TestNohupIsRespected(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}, "run", "--target-url", "http://127.0.0.1:1", "--rate", "5", "--listen", "127.0.0.1:0", "--progress-interval", "100ms")
	p.find(t, `(\d+\.\d)/s`)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	progress := func() int { return strings.Count(p.stdout.String(), "in flight") }
	seen := progress()
	wait(t, "the run to go on", func() bool { return progress() > seen+3 }, p.stderr)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.end(t)
}

// `soakd demo | head -3` runs to its end in good order.
func TestDemoOutlivesItsReader(t *testing.T) {
	folder, change := temporary(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, func(cmd *exec.Cmd) {
		change(cmd)
		cmd.Stdout = writer
	}, "demo", "--duration", "3s", "--listen", "127.0.0.1:0", "--progress-interval", "100ms")
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	head := bufio.NewScanner(reader)
	for range 3 {
		if !head.Scan() {
			t.Fatalf("the output ended: %v; log:\n%s", head.Err(), p.stderr)
		}
	}
	services := startedBy(t, p, folder)
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	p.end(t)
	services.checkGone(t)
}

// That the API dies is what soakd is there to see.
func TestDemoShowsThatTheAPIDied(t *testing.T) {
	folder, change := temporary(t)
	p := start(t, change, "demo", "--rate", "50", "--listen", "127.0.0.1:0", "--probe-interval", "1s", "--probe-timeout", "1s")
	url := p.find(t, `metrics +(http://\S+/metrics)`)
	services := startedBy(t, p, folder)
	up := func(probe string, want float64) func() bool {
		return func() bool {
			value, ok := sum(families(t, url), "soakd_probe_success", "probe")[probe]
			return ok && value == want
		}
	}
	wait(t, "the API probe to be up", up("api", 1), p.stderr)
	if err := syscall.Kill(services.api, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, "the API probe to be down", up("api", 0), p.stderr)
	wait(t, "refused connections", func() bool {
		return sum(families(t, url), "soakd_http_requests_total", "outcome")["connect"] > 20
	}, p.stderr)
	wait(t, "the Postgres probe to be up", up("postgres", 1), p.stderr)
	if log := p.stderr.String(); !strings.Contains(log, `msg="the private reference API has ended by itself" err="soakd ended: signal: killed`) {
		t.Errorf("the log does not say it:\n%s", log)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.end(t)
	services.checkGone(t)
}

// Even when soakd is killed, what it started ends.
func TestKilledDemoLeavesNothingRunning(t *testing.T) {
	folder, change := temporary(t)
	p := start(t, change, "demo", "--listen", "127.0.0.1:0", "--progress-interval", "1s")
	p.find(t, `(\d+\.\d)/s`)
	services := startedBy(t, p, folder)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	wait(t, "all processes to end", func() bool { return !slices.ContainsFunc(services.pids, alive) }, p.stderr)
}

// A start that is told to stop could not run: exit code 3, nothing left.
func TestStartIsInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t)
	folder, _ := temporary(t)
	t.Setenv("TMPDIR", folder)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log lockedbuffer.Buffer
	var seen started
	stderr := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("started a private Redis")) {
			seen = started{folder: folder, pids: children(t, os.Getpid())}
			cancel()
		}
		return log.Write(p)
	})
	err := run(ctx, []string{"demo", "--listen", "127.0.0.1:0"}, io.Discard, stderr)
	if !errors.Is(err, errStopped) || exitCode(err) != exitNotRun || err.Error() != errStopped.Error() {
		t.Errorf("got %v, exit code %d; log:\n%s", err, exitCode(err), &log)
	}
	if len(seen.pids) != 2 {
		t.Errorf("%v ran when the start was interrupted, want Postgres and Redis", seen.pids)
	}
	seen.checkGone(t)
}

// textFunc is what is known at the time of printing.
type textFunc func() string

func (f textFunc) String() string { return f() }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// bench is a reference API on real servers, for runs of soakd against it: within
// this process, or of the built binary.
type bench struct {
	services *services
	log      *lockedbuffer.Buffer
	before   map[string]float64 // what the API had counted already, by code
}

// newBench starts one. faults are REFAPI_FAULT_... variables.
func newBench(t *testing.T, faults ...string) *bench {
	t.Helper()
	b := &bench{log: &lockedbuffer.Buffer{}}
	var err error
	b.services, err = startServices(t.Context(), demoOptions{"system", "system"}, slog.New(slog.NewTextHandler(b.log, nil)), faults...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.services.stop(); err != nil { // the same again unless the test has failed
			t.Error(err)
		}
		// The API is this test binary too, race detector and all.
		if strings.Contains(b.log.String(), "DATA RACE") {
			t.Errorf("the API has a data race; log:\n%s", b.log)
		}
	})
	b.before = sum(families(t, b.services.url()+"/metrics"), "http_requests_total", "code")
	return b
}

// environment is that of a soakd that is to run against the bench.
func (b *bench) environment() map[string]string {
	return map[string]string{
		"SOAKD_TARGET_URL": b.services.url(), "SOAKD_API_METRICS_URL": b.services.url() + "/metrics",
		"SOAKD_POSTGRES_URL": b.services.postgres.MonitorURL().Value(), "SOAKD_REDIS_URL": b.services.redis.URL().Value(),
		"SOAKD_JWT_SECRET": b.services.jwtSecret.Value(),
	}
}

func (b *bench) daemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	for name, value := range b.environment() {
		t.Setenv(name, value)
	}
	cfg, err := readConfig(command{name: "run"}, append([]string{"--listen", "127.0.0.1:0", "--probe-interval", "1s", "--probe-timeout", "1s"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(t.Context(), cfg, cfg.newProgress(b.log), cfg.logger(b.log))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// toEnd runs a daemon to its end and returns its last metrics.
func (b *bench) toEnd(t *testing.T, d *daemon) map[string]*dto.MetricFamily {
	t.Helper()
	if err := d.run(t.Context()); err != nil {
		t.Fatalf("%v; log:\n%s", err, b.log)
	}
	return metricsOf(t, d)
}

// metricsOf reads the metrics of a daemon.
func metricsOf(t *testing.T, d *daemon) map[string]*dto.MetricFamily {
	t.Helper()
	recorder := httptest.NewRecorder()
	d.metrics.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	return parse(t, recorder.Body)
}

// counted is what the API has counted since the bench was started, by code.
func (b *bench) counted(t *testing.T) map[string]float64 {
	t.Helper()
	return b.countedOn(t, page(t, b.services.url()+"/metrics"))
}

// countedOn is what a metrics page of the API says of it.
func (b *bench) countedOn(t *testing.T, page string) map[string]float64 {
	t.Helper()
	codes := sum(parse(t, strings.NewReader(page)), "http_requests_total", "code")
	for code, before := range b.before {
		codes[code] -= before
	}
	maps.DeleteFunc(codes, func(_ string, n float64) bool { return n == 0 })
	return codes
}

func TestBothSidesCountTheSame(t *testing.T) {
	defer goleak.VerifyNone(t)
	b := newBench(t)
	d := b.daemon(t, "--duration", "6s", "--rate", "60", "--users", "4")
	soakd := b.toEnd(t, d)
	ours := sum(soakd, "soakd_http_requests_total", "code")
	var theirs map[string]float64
	wait(t, "the API to count what soakd counts", func() bool { // it counts after it has answered
		theirs = b.counted(t)
		return total(theirs) >= total(ours)
	}, b.log)
	if err := b.services.stop(); err != nil {
		t.Error(err)
	}
	checkSums(t, soakd)
	if !maps.Equal(ours, theirs) || ours["200"] == 0 || ours["422"] == 0 {
		t.Errorf("by status, soakd: %v, the API: %v", ours, theirs)
	}
	if outcomes := sum(soakd, "soakd_http_requests_total", "outcome"); outcomes["ok"] != 360 || len(outcomes) != 1 {
		t.Errorf("outcomes %v, want 360 ok; log:\n%s", outcomes, b.log)
	}
	if timed := sum(soakd, "soakd_http_response_time_seconds", "")[""]; timed != 360 {
		t.Errorf("%v response times, want 360", timed)
	}
}

func total(by map[string]float64) float64 {
	all := 0.0
	for _, n := range by {
		all += n
	}
	return all
}

// `soakd run` of the built binary against an API that it did not start: in a
// moment when nothing is in flight both sides have counted the same, and so they
// have at the end.
func TestRunAgreesWithTheAPI(t *testing.T) {
	b := newBench(t)
	p := start(t, func(cmd *exec.Cmd) {
		cmd.Env = os.Environ()
		for name, value := range b.environment() {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		// Arrivals 67 ms apart: out of step with the polls below.
	}, "run", "--duration", "20s", "--rate", "15", "--users", "2", "--listen", "127.0.0.1:0")
	url := p.find(t, `metrics +(http://\S+/metrics)`)
	if started := children(t, p.cmd.Process.Pid); len(started) > 0 {
		t.Errorf("`soakd run` has started %v", started)
	}
	var ours, theirs map[string]float64
	wait(t, "both sides to agree", func() bool {
		pages := [...]string{page(t, url), page(t, b.services.url()+"/metrics"), page(t, url)}
		before, after := parse(t, strings.NewReader(pages[0])), parse(t, strings.NewReader(pages[2]))
		checkSums(t, after)
		theirs = b.countedOn(t, pages[1])
		sent, outcomes := sum(after, "soakd_arrivals_sent_total", "")[""], sum(after, "soakd_http_requests_total", "outcome")
		ours = sum(after, "soakd_http_requests_total", "code")
		quiet := sum(before, "soakd_arrivals_sent_total", "")[""] == sent && sum(after, "soakd_http_in_flight_requests", "")[""] == 0
		return sent >= 50 && quiet && total(outcomes) == sent && maps.Equal(ours, theirs)
	}, textFunc(func() string { return fmt.Sprintf("soakd: %v, the API: %v\n%s", ours, theirs, p.stderr) }))
	p.end(t)
	match := regexp.MustCompile(`\nrequests: (\d+) sent = (\d+) finished \+ 0 in flight \+ 0 cut\nno failures\n`).FindStringSubmatch(p.stdout.String())
	if len(match) != 3 || match[1] != "300" || match[2] != "300" {
		t.Errorf("the end of the run is not 300 of 300 without a failure:\n%s\nlog:\n%s", p.stdout, p.stderr)
	}
	wait(t, "the API to have counted 300", func() bool { return total(b.counted(t)) >= 300 }, b.log)
	if theirs := b.counted(t); total(theirs) != 300 || theirs["200"] < ours["200"] || theirs["422"] < ours["422"] {
		t.Errorf("the API has counted %v, want 300 with %v among them", theirs, ours)
	}
	if err := b.services.stop(); err != nil {
		t.Error(err)
	}
}

// A fault in one operation is found there, by its name, and nowhere else.
func TestFaultIsFoundAndNothingElse(t *testing.T) {
	defer goleak.VerifyNone(t)
	b := newBench(t, "REFAPI_FAULT_ERROR_RATIO=1", "REFAPI_FAULT_LATENCY=300ms")
	d := b.daemon(t, "--duration", "4s", "--rate", "60", "--users", "2")
	if err := d.run(t.Context()); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "availability") {
		t.Fatalf("ended with %v; log:\n%s", err, b.log)
	}
	soakd := metricsOf(t, d)
	if err := b.services.stop(); err != nil {
		t.Error(err)
	}
	faulty := []string{"forecast", "forecast_monte_carlo", "sensitivity", "complex_analysis"}
	found := map[string]float64{}
	for _, metric := range soakd["soakd_http_requests_total"].GetMetric() {
		if labels := labelsOf(metric); labels["outcome"] != "ok" {
			found[labels["case"]+" "+labels["outcome"]] += metric.GetCounter().GetValue()
		}
	}
	if found["forecast server_error"] == 0 {
		t.Errorf("no failing forecast was found: %v", found)
	}
	for what := range found {
		name, outcome, _ := strings.Cut(what, " ")
		if outcome != "server_error" || !slices.Contains(faulty, name) {
			t.Errorf("%s was found, which is not the fault", what)
		}
	}
	for _, metric := range soakd["soakd_http_request_duration_seconds"].GetMetric() {
		name, times := labelsOf(metric)["case"], metric.GetHistogram()
		if times.GetSampleCount() == 0 {
			continue
		}
		mean := times.GetSampleSum() / float64(times.GetSampleCount())
		if slow := mean >= 0.3; slow != slices.Contains(faulty, name) {
			t.Errorf("%s took %.3f s on average, with 0.3 s added to forecasts alone", name, mean)
		}
	}
}

func labelsOf(metric *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, pair := range metric.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	return labels
}

// A dependency that goes away stops neither the traffic nor the other probes.
func TestDependencyGoesAway(t *testing.T) {
	// go-redis tries a lost server once a second from a goroutine that nobody can
	// wait for; it ends within a second of the client's close.
	defer goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
	b := newBench(t)
	d := b.daemon(t, "--rate", "20", "--users", "2")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	url := d.server.URL() + "/metrics"
	up := func(probe string, want float64) func() bool {
		return func() bool {
			value, ok := sum(families(t, url), "soakd_probe_success", "probe")[probe]
			return ok && value == want
		}
	}
	wait(t, "the Redis probe to be up", up("redis", 1), b.log)
	if err := b.services.redis.Stop(); err != nil {
		t.Error(err)
	}
	wait(t, "the Redis probe to be down", up("redis", 0), b.log)
	if value, ok := sum(families(t, url), "soakd_redis_memory_used_bytes", "")[""]; ok {
		t.Errorf("Redis is away and has %v bytes", value)
	}
	wait(t, "the Postgres probe to be up", up("postgres", 1), b.log)
	before := d.engine.Counts().Finished
	wait(t, "traffic to go on", func() bool { return d.engine.Counts().Finished > before+20 }, b.log)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := b.services.stop(); err != nil {
		t.Error(err)
	}
}

// A bounded run whose target never answers could not run: exit code 3.
func TestTargetNeverAnswers(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("SOAKD_TARGET_URL", "http://127.0.0.1:1")
	var stdout, stderr lockedbuffer.Buffer
	err := run(t.Context(), []string{"run", "--duration", "500ms", "--rate", "20", "--listen", "127.0.0.1:0"}, &stdout, &stderr)
	if err == nil || exitCode(err) != exitNotRun || !strings.Contains(err.Error(), "http://127.0.0.1:1 never answered: 10 of 10 requests failed") {
		t.Errorf("got %v, exit code %d", err, exitCode(err))
	}
	if !strings.Contains(stdout.String(), "10 connect, first: dial tcp 127.0.0.1:1: connect: connection refused") {
		t.Errorf("the table does not say why:\n%s", &stdout)
	}
	scanner := bufio.NewScanner(strings.NewReader(stderr.String()))
	failures := 0
	for scanner.Scan() {
		if strings.Contains(scanner.Text(), "request failed") {
			failures++
		}
	}
	if failures > 2 {
		t.Errorf("%d log lines for 10 failures of one kind:\n%s", failures, &stderr)
	}
}

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		exitOK: nil, exitUsage: fmt.Errorf("x: %w", usageError{errors.New("y")}), exitFailed: failedError{errors.New("z")}, exitNotRun: errors.New("w"),
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}
