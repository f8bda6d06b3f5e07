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
	"sync"
	"testing"
	"time"

	"soakd/internal/localservices"
)

// server is a Prometheus or VictoriaMetrics that scrapes the stand, with what is
// asked of it.
type server struct {
	name     string
	settings Settings
	// kind says which server it is, with its version.
	kind string
	// old tells a Prometheus before 3.
	old bool
	*apiClient
}

// apiClient asks Prometheus' HTTP API.
type apiClient struct {
	base string
	http *http.Client
}

func newClient(t *testing.T, base string) *apiClient {
	t.Helper()
	client := &apiClient{base: base, http: &http.Client{Timeout: 10 * time.Second}}
	t.Cleanup(client.http.CloseIdleConnections)
	return client
}

// scrapeConfig scrapes each soakd of the stand each second. native is whether the
// server is told in its scrape configuration to take native histograms.
func scrapeConfig(t *testing.T, soakds map[string]*process, native bool) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("scrape_configs:\n")
	for _, job := range slices.Sorted(maps.Keys(soakds)) {
		target := soakds[job].metricsURL(t)
		fmt.Fprintf(&text, "  - job_name: %s\n    metrics_path: %q\n    static_configs: [{targets: [%q]}]\n", job, target.Path, target.Host)
		if native {
			text.WriteString("    scrape_native_histograms: true\n")
		}
	}
	return text.String()
}

const everySecond = "global: {scrape_interval: 1s, scrape_timeout: 1s%s}\n"

// majorVersion is that of the Prometheus that is found first.
func majorVersion(t *testing.T) int {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "prometheus", "--version").CombinedOutput()
	if err != nil {
		t.Fatalf("prometheus --version: %v\n%s", err, text)
	}
	found := regexp.MustCompile(`version (\d+)\.`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("prometheus --version: no version in %q", text)
	}
	major, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return major
}

// atOnce are the groups without intervals of their own: all are evaluated as often
// as the server says.
func atOnce(groups []Group) []Group {
	for i := range groups {
		groups[i].Interval = ""
	}
	return groups
}

// startPrometheus scrapes the stand and evaluates the rules each second. Native
// histograms are a feature of the server up to Prometheus 2, and a matter of the
// scrape configuration from 3 on.
func startPrometheus(t *testing.T, soakds map[string]*process, name string, settings Settings) *server {
	t.Helper()
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	content, err := RulesYAML(atOnce(settings.Rules()))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rules, content, 0o600); err != nil {
		t.Fatal(err)
	}
	features := []string{"exemplar-storage"}
	current := majorVersion(t) >= 3
	if settings.Native && !current {
		features = append(features, "native-histograms")
	}
	config := fmt.Sprintf(everySecond, ", evaluation_interval: 1s") + fmt.Sprintf("rule_files: [%q]\n", rules) + scrapeConfig(t, soakds, settings.Native && current)
	prometheus, err := localservices.StartPrometheus(t.Context(), config, localservices.Options{
		Dir: t.TempDir(), Settings: map[string]string{"enable-feature": strings.Join(features, ",")},
	})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, prometheus)
	return &server{name: name, settings: settings, kind: prometheus.Kind(), old: !current, apiClient: newClient(t, prometheus.URL())}
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

// instant is one series of an answer at a moment: a number or a native histogram.
type instant struct {
	Metric    map[string]string
	Value     [2]any
	Histogram [2]any
}

// isNumber reports whether there is one. An empty histogram is none.
func (i *instant) isNumber() bool {
	if document, ok := i.Histogram[1].(map[string]any); ok {
		return document["count"] != "0" && document["count"] != "NaN"
	}
	text, ok := i.Value[1].(string)
	return ok && text != "NaN"
}

// ask returns the series that a query gives now.
func (c *apiClient) ask(ctx context.Context, text string) ([]instant, error) {
	var data struct{ Result []instant }
	err := c.get(ctx, "/api/v1/query", url.Values{"query": {text}}, &data)
	return data.Result, err
}

// hasData reports whether a query gives a number.
func (c *apiClient) hasData(ctx context.Context, text string) (bool, error) {
	series, err := c.ask(ctx, text)
	return slices.ContainsFunc(series, func(s instant) bool { return s.isNumber() }), err
}

// ofJob is a query with the variables of dashboards replaced, for one job alone;
// an empty job is all of them.
func ofJob(text, job string) string {
	if job != "" {
		text = strings.ReplaceAll(text, "$job", job)
	}
	return substituted(text)
}

// coverage asks a server each query again and again until it has had data once.
type coverage struct {
	server *server
	job    string

	mu   sync.Mutex
	open []query
	errs []string
}

func cover(s *server, job string, queries []query) *coverage {
	return &coverage{server: s, job: job, open: slices.Clone(queries)}
}

// run asks until all have had data or ctx ends.
func (c *coverage) run(ctx context.Context) {
	// Some 700 queries to each of three servers: more often would be most of the load.
	ticker := time.NewTicker(3 * time.Second)
	defer ticker.Stop()
	for c.pass(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// pass asks what is open once, and reports whether anything still is.
func (c *coverage) pass(ctx context.Context) bool {
	var left []query
	for _, q := range c.missing() {
		found, err := c.server.hasData(ctx, ofJob(q.text, c.job))
		switch {
		case ctx.Err() != nil:
			return true
		case err != nil:
			c.mu.Lock()
			c.errs = append(c.errs, fmt.Sprintf("%s: %s: %v\n  %s", c.server.name, q.where, err, q.text))
			c.mu.Unlock()
		case !found:
			left = append(left, q)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = left
	return len(left) > 0
}

// missing are the queries that never had data.
func (c *coverage) missing() []query {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.open)
}

// required are those that are missing and may not be.
func (c *coverage) required(optional []string) []query {
	return slices.DeleteFunc(c.missing(), func(q query) bool {
		return slices.Contains(optional, q.where) || !readsProcesses() && strings.Contains(q.where, "(SOAKD_API_")
	})
}

// check fails the test for queries that were refused or never had data, and for
// places that may be empty and are not.
func (c *coverage) check(t *testing.T, optional []string) {
	t.Helper()
	for _, text := range c.errs {
		t.Error(text)
	}
	for _, q := range c.required(optional) {
		t.Errorf("%s: no data: %s\n  %s", c.server.name, q.where, q.text)
	}
}

// checkExemplars asks for single requests with their trace ids, as the latency
// panels do.
func (c *apiClient) checkExemplars(t *testing.T, metrics ...string) {
	t.Helper()
	for _, metric := range metrics {
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

// liveRule is a rule as the server evaluates it.
type liveRule struct {
	Name, Health, LastError, State string
	Alerts                         []liveAlert
}

type liveAlert struct {
	State               string
	Labels, Annotations map[string]string
}

// rounds reports whether this is the error of old servers, seen on 2.42, about a
// native histogram's rate that is recorded: they refuse one whose buckets sum to more
// than its count by no more than rounding, and leave out that sample.
// https://github.com/prometheus/prometheus/issues/12713
func (s *server) rounds(problem string) bool {
	found := regexp.MustCompile(`^([0-9.]+) observations found in buckets, but the Count field is ([0-9.]+):`).FindStringSubmatch(problem)
	return s.settings.Native && found != nil && found[1] == found[2]
}

// checkRules asserts that every rule evaluates without error and, if healthy is a
// job, that none fires for it.
func (s *server) checkRules(t *testing.T, healthy string) {
	t.Helper()
	var data struct {
		Groups []struct{ Rules []liveRule }
	}
	if err := s.get(t.Context(), "/api/v1/rules", nil, &data); err != nil {
		t.Fatal(err)
	}
	evaluated := map[string]bool{}
	for _, group := range data.Groups {
		for _, r := range group.Rules {
			evaluated[r.Name] = true
			if (r.Health != "ok" || r.LastError != "") && !s.rounds(r.LastError) {
				t.Errorf("%s: rule %s: health %s, %s", s.name, r.Name, r.Health, r.LastError)
			}
			for _, a := range r.Alerts {
				if healthy != "" && a.State == "firing" && (a.Labels["job"] == healthy || a.Labels["job"] == "") {
					t.Errorf("%s: %s fires on a healthy demo: %+v", s.name, r.Name, a)
				}
			}
		}
	}
	want := map[string]bool{}
	for _, group := range s.settings.Rules() {
		for _, r := range group.Recordings {
			want[r.Record] = true
		}
		for _, a := range group.Alerts {
			want[a.Name] = true
		}
	}
	if !maps.Equal(evaluated, want) {
		t.Errorf("%s evaluates %v, want %v", s.name, evaluated, want)
	}
}
