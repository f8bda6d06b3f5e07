package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

	"soakd/internal/refapi"
)

// families reads a /metrics page.
func families(t *testing.T, url string) map[string]*dto.MetricFamily {
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
	return parse(t, response.Body)
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
	stdout *lines
	stderr *lines
}

// lines keeps what a process wrote.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// binary builds soakd once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "soakd-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "soakd")
	output, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w: %s", err, output)
	}
	return path, nil
})

func start(t *testing.T, args ...string) *soakdProcess {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &soakdProcess{cmd: exec.CommandContext(t.Context(), path, args...), stdout: &lines{}, stderr: &lines{}}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
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

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// The demo of the built binary: its figures add up at every scrape and at the
// end, it ends by itself with 0, and leaves nothing running.
func TestDemoEndToEnd(t *testing.T) {
	p := start(t, "demo", "--duration", "8s", "--rate", "100", "--listen", "127.0.0.1:0", "--progress-interval", "1s", "--probe-interval", "1s", "--probe-timeout", "1s")
	url := p.find(t, `metrics +(http://\S+/metrics)`)
	servers := children(t, p.cmd.Process.Pid)
	if len(servers) < 2 {
		t.Errorf("the demo has %d children, want Postgres and Redis; log:\n%s", len(servers), p.stderr)
	}
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
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the demo ended with %v; log:\n%s", err, p.stderr)
	}
	checkEnd(t, p)
	for _, pid := range servers {
		if alive(pid) {
			t.Errorf("process %d was left running", pid)
		}
	}
}

// checkEnd reads the account at the end of the table.
func checkEnd(t *testing.T, p *soakdProcess) {
	t.Helper()
	text := p.stdout.String()
	match := regexp.MustCompile(`arrivals: (\d+) scheduled = (\d+) sent \+ 0 waiting \+ (\d+) dropped.*\nrequests: (\d+) sent = (\d+) finished \+ 0 in flight \+ 0 cut\nno failures\n`).FindStringSubmatch(text)
	if len(match) != 6 || match[1] != "800" || match[2] != "800" || match[3] != "0" || match[5] != "800" {
		t.Errorf("the end of the run is not 800 of 800 without a failure:\n%s\nlog:\n%s", text, p.stderr)
	}
	if lines := regexp.MustCompile(`(?m)^ +\d+s +\S+/s +in flight `).FindAllString(text, -1); len(lines) < 6 {
		t.Errorf("%d progress lines in 8 s, want one a second", len(lines))
	}
}

func TestDemoEndsOnSignals(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			p := start(t, "demo", "--listen", "127.0.0.1:0", "--progress-interval", "1s")
			p.find(t, `(\d+\.\d)/s`)
			servers := children(t, p.cmd.Process.Pid)
			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("ended with %v; log:\n%s", err, p.stderr)
			}
			if !strings.Contains(p.stdout.String(), "0 waiting") {
				t.Errorf("no table at the end:\n%s", p.stdout)
			}
			for _, pid := range servers {
				if alive(pid) {
					t.Errorf("process %d was left running", pid)
				}
			}
		})
	}
}

// bench is a reference API on real servers, and a run of soakd against it within
// this process, so that both sides can be read once everything has ended.
type bench struct {
	services *services
	log      *lines
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{log: &lines{}}
	var err error
	b.services, err = startServices(t.Context(), demoOptions{"system", "system"}, slog.New(slog.NewTextHandler(b.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) daemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	for name, value := range map[string]string{
		"SOAKD_TARGET_URL": b.services.url(), "SOAKD_API_METRICS_URL": b.services.url() + "/metrics",
		"SOAKD_POSTGRES_URL": b.services.postgres.MonitorURL().Value(), "SOAKD_REDIS_URL": b.services.redis.URL().Value(),
		"SOAKD_JWT_SECRET": b.services.jwtSecret.Value(),
	} {
		t.Setenv(name, value)
	}
	cfg, err := readConfig(command{name: "run"}, append([]string{"--listen", "127.0.0.1:0", "--probe-interval", "1s", "--probe-timeout", "1s"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(t.Context(), cfg, b.log, cfg.logger(b.log))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// toEnd runs a daemon to its end and returns the last metrics of both sides.
func (b *bench) toEnd(t *testing.T, d *daemon) (soakd, api map[string]*dto.MetricFamily) {
	t.Helper()
	if err := d.run(t.Context()); err != nil {
		t.Fatalf("%v; log:\n%s", err, b.log)
	}
	page := httptest.NewRecorder()
	d.metrics.Handler().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	return parse(t, page.Body), families(t, b.services.url()+"/metrics")
}

func TestBothSidesCountTheSame(t *testing.T) {
	defer goleak.VerifyNone(t)
	b := newBench(t)
	d := b.daemon(t, "--duration", "6s", "--rate", "60", "--users", "4")
	soakd, api := b.toEnd(t, d)
	if err := b.services.stop(); err != nil {
		t.Error(err)
	}
	checkSums(t, soakd)
	ours, theirs := sum(soakd, "soakd_http_requests_total", "code"), sum(api, "http_requests_total", "code")
	for code := range theirs {
		if ours[code] != theirs[code] {
			t.Errorf("status %s: soakd counts %v, the API %v", code, ours[code], theirs[code])
		}
	}
	if len(ours) != len(theirs) || ours["200"] == 0 || ours["422"] == 0 {
		t.Errorf("by status, soakd: %v, the API: %v", ours, theirs)
	}
	if outcomes := sum(soakd, "soakd_http_requests_total", "outcome"); outcomes["ok"] != 360 || len(outcomes) != 1 {
		t.Errorf("outcomes %v, want 360 ok; log:\n%s", outcomes, b.log)
	}
	if timed := sum(soakd, "soakd_http_response_time_seconds", "")[""]; timed != 360 {
		t.Errorf("%v response times, want 360", timed)
	}
}

// A fault in one operation is found there, by its name, and nowhere else.
func TestFaultIsFoundAndNothingElse(t *testing.T) {
	defer goleak.VerifyNone(t)
	b := newBench(t)
	b.services.api.SetFaults(refapi.Faults{ErrorRatio: 1})
	d := b.daemon(t, "--duration", "4s", "--rate", "60", "--users", "2")
	soakd, _ := b.toEnd(t, d)
	if err := b.services.stop(); err != nil {
		t.Error(err)
	}
	found := map[string]float64{}
	for _, metric := range soakd["soakd_http_requests_total"].GetMetric() {
		labels := map[string]string{}
		for _, pair := range metric.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		if labels["outcome"] != "ok" {
			found[labels["case"]+" "+labels["outcome"]] += metric.GetCounter().GetValue()
		}
	}
	if found["forecast server_error"] == 0 {
		t.Errorf("no failing forecast was found: %v", found)
	}
	for what := range found {
		switch what {
		case "forecast server_error", "forecast_monte_carlo server_error", "sensitivity server_error", "complex_analysis server_error":
		default:
			t.Errorf("%s was found, which is not the fault", what)
		}
	}
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
	var stdout, stderr lines
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
