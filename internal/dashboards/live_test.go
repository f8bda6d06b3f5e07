package dashboards

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/localservices"
	"soakd/internal/lockedbuffer"
)

// patience bounds how long the queries are waited for. On an idle machine all
// have data within half a minute.
const patience = 2 * time.Minute

// Every query of every dashboard, every recording and every alert's signal has
// data on a Prometheus that scrapes a healthy demo, every rule evaluates without
// error, and no alert fires. Native histograms are off, as they are by default.
func TestEveryQueryHasDataOnADemo(t *testing.T) {
	defer goleak.VerifyNone(t)
	around := startSurroundings(t)
	defer around.stop()
	demo := startDemo(t, around)
	defer demo.stop(t)
	prometheus := startPrometheus(t, demo.metricsURL(t))
	defer func() {
		if err := prometheus.Stop(); err != nil {
			t.Error(err)
		}
	}()
	client := &apiClient{base: prometheus.URL(), http: &http.Client{Timeout: 10 * time.Second}}
	defer client.http.CloseIdleConnections()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	missing := client.waitForAll(ctx, t, append(dashboardQueries(), ruleQueries()...), demo)
	for _, q := range missing {
		t.Errorf("no data: %s\n  %s", q.where, q.text)
	}
	client.checkExemplars(t)
	client.checkRules(t)
	if t.Failed() {
		t.Logf("the demo said:\n%s\n%s", demo.stdout, demo.stderr)
	}
}

// demoProcess is the built binary at work.
type demoProcess struct {
	cmd            *exec.Cmd
	stdout, stderr *lockedbuffer.Buffer
	ended          chan struct{}
	err            error
}

func startDemo(t *testing.T, around *surroundings) *demoProcess {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "soakd")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary, "./cmd/soakd")
	build.Dir = filepath.Join("..", "..")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build soakd: %v\n%s", err, text)
	}
	d := &demoProcess{stdout: &lockedbuffer.Buffer{}, stderr: &lockedbuffer.Buffer{}, ended: make(chan struct{})}
	// The duration is a bound for the case that this test cannot stop it.
	d.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), binary, "demo", "--duration", "10m", "--rate", "100", //nolint:gosec // built above
		"--listen", "127.0.0.1:0", "--probe-interval", "1s", "--probe-timeout", "1s", "--progress-interval", "5s",
		// Statements that run on every demo from its first second on: soakd's own.
		"--postgres-statements", "activity=pg_stat_activity",
		// The thresholds of the slow log and the latency monitor.
		"--redis-read-config")
	d.cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "SOAKD_") })
	d.cmd.Env = append(d.cmd.Env, around.env()...)
	// Other than demos do, this one keeps what it sees.
	d.cmd.Env = append(d.cmd.Env, "SOAKD_HISTORY_URL="+filepath.Join(t.TempDir(), "history.db"))
	d.cmd.Stdout, d.cmd.Stderr = d.stdout, d.stderr
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The reference API runs in the demo's own process.
	around.write(t, filepath.Base(around.pidFile()), strconv.Itoa(d.cmd.Process.Pid))
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	return d
}

// metricsURL waits for the demo's banner.
func (d *demoProcess) metricsURL(t *testing.T) *url.URL {
	t.Helper()
	line := regexp.MustCompile(`(?m)^\s*metrics\s+(http://\S+)$`)
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if match := line.FindStringSubmatch(d.stdout.String()); match != nil {
			found, err := url.Parse(match[1])
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		select {
		case <-d.ended:
			t.Fatalf("the demo ended: %v\n%s\n%s", d.err, d.stdout, d.stderr)
		case <-deadline.C:
			t.Fatalf("no banner after a minute\n%s\n%s", d.stdout, d.stderr)
		case <-ticker.C:
		}
	}
}

// stop asks the demo to end and waits until it has, with all that it started.
func (d *demoProcess) stop(t *testing.T) {
	t.Helper()
	select {
	case <-d.ended:
		t.Errorf("the demo ended by itself: %v\n%s", d.err, d.stderr)
		return
	default:
	}
	if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	select {
	case <-d.ended:
		// A bounded run that is interrupted could not run to its end, which is 3.
		if code := d.cmd.ProcessState.ExitCode(); code != 3 {
			t.Errorf("the demo ended with exit code %d, %v\n%s", code, d.err, d.stderr)
		}
	case <-deadline.C:
		_ = d.cmd.Process.Kill()
		<-d.ended
		t.Errorf("the demo did not end within a minute of being asked to\n%s", d.stderr)
	}
}

// startPrometheus scrapes the demo each second and loads the rules.
func startPrometheus(t *testing.T, target *url.URL) *localservices.Prometheus {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(folder, filepath.FromSlash(RulesFile)))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: soakd
    metrics_path: %q
    static_configs: [{targets: [%q]}]
`, rules, target.Path, target.Host)
	server, err := localservices.StartPrometheus(t.Context(), config, localservices.Options{
		Dir: t.TempDir(), Settings: map[string]string{"enable-feature": "exemplar-storage"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// apiClient asks Prometheus' HTTP API.
type apiClient struct {
	base string
	http *http.Client
}

// get decodes the data of an answer.
func (c *apiClient) get(ctx context.Context, path string, query url.Values, data any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Error string
		Data  json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s answered %s: %.300s", path, response.Status, body)
	}
	if answer.Error != "" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// hasData reports whether a query gives a value that is a number.
func (c *apiClient) hasData(ctx context.Context, text string) (bool, error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := c.get(ctx, "/api/v1/query", url.Values{"query": {substituted(text)}}, &data); err != nil {
		return false, err
	}
	return slices.ContainsFunc(data.Result, func(r struct{ Value [2]any }) bool { return r.Value[1] != "NaN" }), nil
}

// waitForAll asks each query again and again until it has had data once, and
// returns those that never had. Queries that may be empty are asked too: they
// must at least be answered.
func (c *apiClient) waitForAll(ctx context.Context, t *testing.T, queries []query, demo *demoProcess) []query {
	t.Helper()
	optional := append(mayBeEmpty(), rulesMayBeEmpty()...)
	open := slices.Clone(queries)
	start := time.Now()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		open = slices.DeleteFunc(open, func(q query) bool {
			found, err := c.hasData(ctx, q.text)
			if err != nil && ctx.Err() == nil {
				t.Fatalf("%s: %v\n  %s", q.where, err, q.text)
			}
			if found && time.Since(start) > 30*time.Second {
				t.Logf("only after %v: %s", time.Since(start).Round(time.Second), q.where)
			}
			return found
		})
		required := slices.DeleteFunc(slices.Clone(open), func(q query) bool {
			return slices.Contains(optional, q.where) || !readsProcesses() && strings.Contains(q.where, "(SOAKD_API_")
		})
		if len(required) == 0 {
			return nil
		}
		select {
		case <-demo.ended:
			t.Fatalf("the demo ended: %v\n%s", demo.err, demo.stderr)
		case <-ctx.Done():
			return required
		case <-ticker.C:
		}
	}
}

// checkExemplars asks for single requests with their trace ids, as the latency
// panels do.
func (c *apiClient) checkExemplars(t *testing.T) {
	t.Helper()
	for _, metric := range []string{responseBuckets, durationBuckets} {
		var series []struct {
			Exemplars []struct{ Labels map[string]string }
		}
		now := time.Now()
		err := c.get(t.Context(), "/api/v1/query_exemplars", url.Values{
			"query": {metric}, "start": {now.Add(-time.Hour).Format(time.RFC3339)}, "end": {now.Format(time.RFC3339)},
		}, &series)
		if err != nil {
			t.Fatal(err)
		}
		if len(series) == 0 || len(series[0].Exemplars) == 0 || len(series[0].Exemplars[0].Labels["trace_id"]) != 32 {
			t.Errorf("%s has no exemplars with a trace id: %+v", metric, series)
		}
	}
}

// checkRules asserts that every rule evaluates without error and none fires.
func (c *apiClient) checkRules(t *testing.T) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError, State string
				Alerts                         []struct {
					Annotations map[string]string
				}
			}
		}
	}
	if err := c.get(t.Context(), "/api/v1/rules", nil, &data); err != nil {
		t.Fatal(err)
	}
	evaluated := map[string]bool{}
	for _, group := range data.Groups {
		for _, r := range group.Rules {
			evaluated[r.Name] = true
			if r.Health != "ok" || r.LastError != "" {
				t.Errorf("rule %s: health %s, %s", r.Name, r.Health, r.LastError)
			}
			if r.State == "firing" {
				t.Errorf("%s fires on a healthy demo: %+v", r.Name, r.Alerts)
			}
		}
	}
	want := map[string]bool{}
	for _, group := range Default().Rules() {
		for _, r := range group.Recordings {
			want[r.Record] = true
		}
		for _, a := range group.Alerts {
			want[a.Name] = true
		}
	}
	if !maps.Equal(evaluated, want) {
		t.Errorf("Prometheus evaluates %v, want %v", evaluated, want)
	}
}
