package exporter

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/exporter/push"
	"soakd/internal/load"
	"soakd/internal/localservices"
	"soakd/internal/secret"
)

// aRun has results of 30 ms and 1 s of one case.
func aRun() full {
	m := fullMetrics()
	forecast := m.workload.Cases[0]
	for _, took := range []time.Duration{30 * time.Millisecond, time.Second} {
		m.recorder.Done(&load.Result{
			Case: forecast, Outcome: load.OK, Status: 200, ResponseTime: took, Duration: took, TraceID: load.TraceID{1, 2, 3}, Done: time.Now(),
		})
	}
	return m
}

func newPusher(t *testing.T, cfg push.Config) *push.Pusher {
	t.Helper()
	cfg.Job, cfg.Instance, cfg.Labels = "soakd", "staging 1/2", map[string]string{"environment": "test"}
	p, err := push.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func fetched(t *testing.T, address string, answer any) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read only
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	if answer != nil {
		if err := json.Unmarshal(text.Bytes(), answer); err != nil {
			t.Fatalf("%v in %s", err, text.Bytes())
		}
	}
	return text.String()
}

// query returns the value of the only series that an expression gives, as Prometheus
// writes it; "" when there is none.
func query(t *testing.T, server, expression string) string {
	t.Helper()
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Value []any }
		}
	}
	fetched(t, server+"/api/v1/query?query="+url.QueryEscape(expression), &answer)
	if answer.Error != "" || len(answer.Data.Result) > 1 {
		t.Fatalf("%s: %q, %d series", expression, answer.Error, len(answer.Data.Result))
	}
	if len(answer.Data.Result) == 0 || len(answer.Data.Result[0].Value) != 2 {
		return ""
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	return text
}

// Everything that soakd counts can be queried in Prometheus after one push, histograms in
// both forms too, and a second push goes on where the first ended.
func TestRemoteWriteArrives(t *testing.T) {
	server, err := localservices.StartPrometheus(t.Context(), "", localservices.Options{
		Mode: localservices.System, Settings: map[string]string{"web.enable-remote-write-receiver": "true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	m := aRun()
	p := newPusher(t, push.Config{RemoteWrite: push.Destination{URL: server.URL() + "/api/v1/write"}, Histograms: push.Both})
	m.WatchPushes(p.Figures)
	for where, err := range p.Check(t.Context()) {
		if err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	if err := m.Push(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for expression, want := range map[string]string{
		`soakd_arrivals_scheduled_total`:                                                "10",
		`soakd_load_target_rate{job="soakd",instance="staging 1/2",environment="test"}`: "12.5",
		`soakd_http_requests_total{case="forecast"}`:                                    "2",
		`soakd_http_response_time_seconds_sum{case="forecast"}`:                         "1.03",
		`soakd_http_response_time_seconds_count{case="forecast"}`:                       "2",
		`soakd_http_response_time_seconds_bucket{case="forecast",le="0.025"}`:           "0",
		`soakd_http_response_time_seconds_bucket{case="forecast",le="1.0"}`:             "2",
		`soakd_http_response_time_seconds_bucket{case="forecast",le="+Inf"}`:            "2",
		`histogram_count(soakd_http_response_time_seconds{case="forecast"})`:            "2",
		`histogram_sum(soakd_http_response_time_seconds{case="forecast"})`:              "1.03",
		`histogram_quantile(1, soakd_http_response_time_seconds{case="forecast"})`:      "1",
		`count(go_gc_duration_seconds{quantile="0.5"})`:                                 "1",
		`soakd_pushes_total{destination="remote_write"}`:                                "0",
	} {
		if got := query(t, server.URL(), expression); got != want {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}
	m.recorder.Done(&load.Result{Case: m.workload.Cases[0], Outcome: load.OK, Status: 200})
	if err := m.Push(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := query(t, server.URL(), `soakd_http_requests_total{case="forecast"}`); got != "3" {
		t.Errorf("after the second push %s requests, want 3", got)
	}
	if got := p.Figures()[push.RemoteWrite]; got != (push.Figure{Pushes: 2}) {
		t.Errorf("the account is %+v", got)
	}
}

// A Pushgateway behind a password shows what was pushed, and of several pushes the last.
func TestPushgatewayArrives(t *testing.T) {
	server, err := localservices.StartPushgateway(t.Context(), localservices.Options{Mode: localservices.System})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	at, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	behind := httputil.NewSingleHostReverseProxy(at)
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "ci" || password != "hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.Header.Del("Authorization")
		behind.ServeHTTP(w, r)
	}))
	defer guard.Close()
	m := aRun()
	p := newPusher(t, push.Config{Pushgateway: push.Destination{URL: guard.URL + "/", User: "ci", Token: secret.New("hunter2")}})
	for where, err := range p.Check(t.Context()) {
		if err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	for range 2 {
		m.recorder.Done(&load.Result{Case: m.workload.Cases[0], Outcome: load.OK, Status: 200})
		if err := m.Push(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	has(
		t, fetched(t, server.URL()+"/metrics", nil),
		`soakd_http_requests_total{case="forecast",class="standard",code="200",environment="test",instance="staging 1/2",job="soakd",outcome="ok"} 4`,
		`soakd_http_response_time_seconds_bucket{case="forecast",class="standard",environment="test",instance="staging 1/2",job="soakd",le="1"} 4`,
		`soakd_http_response_time_seconds_count{case="forecast",class="standard",environment="test",instance="staging 1/2",job="soakd"} 4`,
		`push_failure_time_seconds{instance="staging 1/2",job="soakd"} 0`,
	)
}

// promtool reads the snapshot and makes blocks of it; exemplars are in it.
func TestSnapshotIsOpenMetrics(t *testing.T) {
	m := aRun()
	path := filepath.Join(t.TempDir(), "metrics.om")
	var text bytes.Buffer
	if err := m.Snapshot(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(text.String(), "\n# EOF\n") || !strings.Contains(text.String(), `# {trace_id="0102030`) {
		t.Errorf("no end or no exemplars in\n%s", text.String())
	}
	blocks := t.TempDir()
	if err := os.Mkdir(filepath.Join(blocks, "wal"), 0o700); err != nil { // without which promtool reads none
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"tsdb", "create-blocks-from", "openmetrics", path, blocks},
		{"tsdb", "dump", "--match={__name__=~\"soakd_http_response_time_seconds_(count|bucket)\",case=\"forecast\"}", blocks},
	} {
		output, err := exec.CommandContext(t.Context(), "promtool", command...).CombinedOutput()
		if err != nil {
			t.Fatalf("promtool %s: %v\n%s", command, err, output)
		}
		if command[1] == "dump" && (!strings.Contains(string(output), `case="forecast", class="standard"} 2 `) || !strings.Contains(string(output), `le="+Inf"} 2 `)) {
			t.Errorf("the values are not in the blocks:\n%s", output)
		}
	}
}

// A snapshot that cannot be written says so.
func TestSnapshotDiskFull(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full on this system")
	}
	defer full.Close() //nolint:errcheck // nothing is in it
	if err := aRun().Snapshot(full); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}
