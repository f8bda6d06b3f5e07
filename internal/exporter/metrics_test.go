package exporter

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"soakd/internal/load"
	"soakd/internal/probes"
)

// fixedProbe describes a gauge and a counter.
type fixedProbe struct{ gauge, counter *probes.Desc }

func newFixedProbe() fixedProbe {
	return fixedProbe{
		&probes.Desc{Name: "soakd_fixed_size_bytes", Help: "A size.", Labels: []string{"node"}},
		&probes.Desc{Name: "soakd_fixed_events_total", Help: "Events.", Type: probes.Counter},
	}
}

func (fixedProbe) Name() string                                 { return "fixed" }
func (p fixedProbe) Describe() []*probes.Desc                   { return []*probes.Desc{p.gauge, p.counter} }
func (fixedProbe) Poll(context.Context) (probes.Reading, error) { return probes.Reading{}, nil }
func (fixedProbe) Close()                                       {}

func testWorkload() *load.Workload {
	return &load.Workload{Name: "test", Cases: []*load.Case{
		{Name: "forecast", Class: "standard", Weight: 1, Timeout: time.Second, Statuses: []int{200}, Checks: []string{"totals_match"}},
		{Name: "invalid_term", Class: "invalid", Weight: 1, Timeout: time.Second, Statuses: []int{422}, Invalid: true},
	}}
}

// full is everything that a run has metrics of.
type full struct {
	*Metrics
	recorder *load.Recorder
	workload *load.Workload
	board    *probes.Board
	probe    fixedProbe
}

func fullMetrics() full {
	workload := testWorkload()
	recorder := load.NewRecorder(workload, time.Now())
	m := NewMetrics(recorder)
	m.WatchTraffic(Traffic{
		Counts: func() load.Counts {
			return load.Counts{
				Scheduled: 10, Sent: 6, Waiting: 1, Dropped: map[load.DropReason]int64{load.DropLate: 3}, InFlight: 2, Finished: 3, Cut: 1,
				Substituted: []load.Substitution{{Case: workload.Cases[0], Reason: load.SubstituteLimit, Count: 4}},
			}
		},
		TargetRate: func() float64 { return 12.5 },
		Transfer: func() load.Transfer {
			return load.Transfer{
				ConnectionsOpened: 5, ConnectionsReused: 7, BytesSent: 100, BytesReceived: 200,
				ConnectionsOpen: 3, DialErrors: 9, SystemErrors: map[load.SystemKind]int64{load.SystemFiles: 4},
			}
		},
		Users: 20,
		Phase: func() load.Phase { return load.PhaseFalling },
		Run:   RunInfo{Target: "staging", Model: "open", Shape: "day", Workload: "test", Shard: "2/5"},
		Throttle: func() load.Throttle {
			return load.Throttle{
				Factor: 0.25, HeldUsers: 2, Holds: load.HoldCounts{User: 6, Everybody: 1, Capped: 5},
				Circuit: load.CircuitStatus{State: load.CircuitRecovering, Step: 1, Trips: 3, Relapses: 2},
			}
		},
		Fitness: func() load.FitnessStatus {
			return load.FitnessStatus{
				Windows: 7, Unfit: 2, ByReason: map[load.UnfitReason]int64{load.UnfitLate: 2, load.UnfitCPU: 1}, Latest: []load.UnfitReason{load.UnfitLate},
			}
		},
		CPUShare: func() (float64, bool) { return 0.75, true },
	})
	probe := newFixedProbe()
	board := probes.NewBoard([]string{"fixed"}, time.Minute)
	m.WatchProbes([]probes.Probe{probe}, board)
	return full{m, recorder, workload, board, probe}
}

func scrape(t *testing.T, m *Metrics, accept string) string {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	request.Header.Set("Accept", accept)
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		t.Fatalf("status %d: %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}

func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

func TestMetricsValues(t *testing.T) {
	m := fullMetrics()
	forecast, invalid := m.workload.Cases[0], m.workload.Cases[1]
	m.recorder.Done(&load.Result{Case: forecast, Outcome: load.OK, Status: 200, ResponseTime: 30 * time.Millisecond, Duration: 20 * time.Millisecond})
	m.recorder.Done(&load.Result{Case: forecast, Outcome: load.CheckFailed, Status: 200, FailedChecks: []string{"totals_match", "made_up"}, ResponseTime: time.Second, Duration: time.Second})
	m.recorder.Done(&load.Result{Case: invalid, Outcome: load.AcceptedInvalid, Status: 799})
	m.recorder.Done(&load.Result{Case: invalid, Outcome: load.Connect})
	m.recorder.Done(&load.Result{Case: invalid, Outcome: load.Timeout, ResponseTime: 2 * time.Second, Duration: 2 * time.Second})
	m.recorder.Lag(70 * time.Microsecond)
	m.board.Put(probes.Result{Probe: "fixed", Start: time.Now(), Duration: 250 * time.Millisecond, Reading: probes.Reading{
		Samples: []probes.Sample{{Desc: m.probe.gauge, Labels: []string{"a:1"}, Value: 42}, {Desc: m.probe.counter, Value: 7}}, Overflow: 2,
	}})
	has(
		t, scrape(t, m.Metrics, "text/plain"),
		`soakd_arrivals_scheduled_total 10`, `soakd_arrivals_sent_total 6`, `soakd_arrivals_waiting 1`, `soakd_arrivals_dropped_total{reason="late"} 3`,
		`soakd_arrivals_substituted_total{case="forecast",reason="limit"} 4`, `soakd_http_requests_cut_total 1`, `soakd_http_in_flight_requests 2`,
		`soakd_load_phase{phase="falling"} 1`, `soakd_load_phase{phase="steady"} 0`,
		`soakd_run_info{model="open",shape="day",shard="2/5",target="staging",workload="test"} 1`,
		`soakd_load_target_rate 12.5`, `soakd_load_virtual_users 20`, `soakd_http_connections_opened_total 5`, `soakd_http_connections_reused_total 7`,
		`soakd_http_sent_bytes_total 100`, `soakd_http_received_bytes_total 200`,
		`soakd_arrivals_dropped_total{reason="retry_after"} 0`, `soakd_http_connections_open 3`, `soakd_http_dial_errors_total 9`,
		`soakd_http_dial_system_errors_total{kind="files"} 4`, `soakd_http_dial_system_errors_total{kind="ports"} 0`,
		`soakd_load_factor_ratio 0.25`, `soakd_load_paused 0`, `soakd_load_held_users 2`,
		`soakd_retry_after_holds_total{scope="user"} 6`, `soakd_retry_after_holds_total{scope="everybody"} 1`, `soakd_retry_after_capped_total 5`,
		`soakd_circuit_state{state="closed"} 0`, `soakd_circuit_state{state="open"} 0`, `soakd_circuit_state{state="recovering"} 1`,
		`soakd_circuit_step 2`, `soakd_circuit_trips_total 3`, `soakd_circuit_relapses_total 2`,
		`soakd_windows_total{verdict="fit"} 5`, `soakd_windows_total{verdict="unfit"} 2`, `soakd_window_fit 0`, `soakd_window_cpu_ratio 0.75`,
		`soakd_windows_unfit_total{reason="late"} 2`, `soakd_windows_unfit_total{reason="cpu"} 1`, `soakd_windows_unfit_total{reason="paused"} 0`,
		`soakd_http_requests_total{case="forecast",class="standard",code="200",outcome="ok"} 1`,
		`soakd_http_requests_total{case="forecast",class="standard",code="200",outcome="check_failed"} 1`,
		`soakd_http_requests_total{case="invalid_term",class="invalid",code="other",outcome="accepted_invalid"} 1`,
		`soakd_http_requests_total{case="invalid_term",class="invalid",code="none",outcome="connect"} 1`,
		`soakd_check_failures_total{case="forecast",check="totals_match"} 1`, `soakd_check_failures_total{case="forecast",check="other"} 1`,
		`soakd_http_response_time_seconds_sum{case="forecast",class="standard"} 1.03`,
		`soakd_http_request_duration_seconds_bucket{case="forecast",class="standard",le="0.025"} 1`,
		`soakd_http_response_time_seconds_count{case="invalid_term",class="invalid"} 2`,
		`soakd_schedule_lag_seconds_bucket{le="0.0001"} 1`, `soakd_schedule_lag_seconds_bucket{le="5e-05"} 0`,
		`soakd_label_overflow_total{source="traffic"} 2`, `soakd_label_overflow_total{source="fixed"} 2`,
		`soakd_probe_success{probe="fixed"} 1`, `soakd_probe_duration_seconds{probe="fixed"} 0.25`, `soakd_probe_polls_total{probe="fixed"} 1`,
		`soakd_fixed_size_bytes{node="a:1"} 42`, `soakd_fixed_events_total 7`,
	)
}

// Before anything has happened the series of every reason, kind and state are
// there, so that their first event is an increase; only what is not known is absent.
func TestMetricsBeforeAnythingHappened(t *testing.T) {
	m := NewMetrics(load.NewRecorder(testWorkload(), time.Now()))
	throttle, fitness := load.Throttle{Factor: 1, Paused: true}, load.FitnessStatus{}
	m.WatchTraffic(Traffic{
		Counts: func() load.Counts { return load.Counts{} }, TargetRate: func() float64 { return 0 },
		Transfer: func() load.Transfer { return load.Transfer{} },
		Throttle: func() load.Throttle { return throttle }, Fitness: func() load.FitnessStatus { return fitness },
		CPUShare: func() (float64, bool) { return 0, false },
	})
	text := scrape(t, m, "text/plain")
	want := []string{
		`soakd_load_paused 1`, `soakd_circuit_state{state="closed"} 1`, `soakd_circuit_state{state="open"} 0`, `soakd_circuit_step 0`,
		`soakd_windows_total{verdict="fit"} 0`, `soakd_windows_total{verdict="unfit"} 0`,
	}
	for _, reason := range load.DropReasons() {
		want = append(want, `soakd_arrivals_dropped_total{reason="`+string(reason)+`"} 0`)
	}
	for _, reason := range load.UnfitReasons() {
		want = append(want, `soakd_windows_unfit_total{reason="`+string(reason)+`"} 0`)
	}
	for _, kind := range load.SystemKinds() {
		want = append(want, `soakd_http_dial_system_errors_total{kind="`+string(kind)+`"} 0`)
	}
	has(t, text, want...)
	if strings.Contains(text, "soakd_window_fit") || strings.Contains(text, "soakd_window_cpu_ratio") {
		t.Error("there is a verdict before the first window")
	}
	fitness.Windows = 1
	throttle.Circuit.State = load.CircuitOpen
	text = scrape(t, m, "text/plain")
	has(t, text, `soakd_window_fit 1`, `soakd_circuit_state{state="closed"} 0`, `soakd_circuit_state{state="open"} 1`, `soakd_circuit_step 0`)
	if strings.Contains(text, "soakd_window_cpu_ratio") {
		t.Error("the CPU share is not known and has a value")
	}
}

// A poll that fails takes its values with it: absent, not 0 and not the last.
func TestFailedAndStaleProbesHaveNoValues(t *testing.T) {
	m := fullMetrics()
	if text := scrape(t, m.Metrics, "text/plain"); strings.Contains(text, "soakd_probe_success") || strings.Contains(text, "soakd_fixed") {
		t.Error("a probe that was never polled has values")
	}
	reading := probes.Reading{
		Samples: []probes.Sample{{Desc: m.probe.counter, Value: 7}},
		Cost:    probes.Cost{Queries: 3, Time: 250 * time.Millisecond},
	}
	succeeded := time.Now().Add(-30 * time.Second)
	m.board.Put(probes.Result{Probe: "fixed", Start: succeeded, Reading: reading})
	m.board.Put(probes.Result{Probe: "fixed", Start: time.Now(), Err: probes.Because(probes.ReasonConnect, errors.New("away"))})
	text := scrape(t, m.Metrics, "text/plain")
	has(t, text, `soakd_probe_success{probe="fixed"} 0`, `soakd_probe_failures_total{probe="fixed",reason="connect"} 1`,
		`soakd_probe_failures_total{probe="fixed",reason="auth"} 0`, `soakd_probe_failing{probe="fixed",reason="connect"} 1`,
		`soakd_probe_queries_total{probe="fixed"} 3`, `soakd_probe_query_seconds_total{probe="fixed"} 0.25`)
	if strings.Contains(text, "soakd_fixed") || !strings.Contains(text, "soakd_probe_last_success_timestamp_seconds{probe=\"fixed\"}") {
		t.Error("a failed poll must have no values but the time of the last success")
	}
	m.board.Put(probes.Result{Probe: "fixed", Start: time.Now().Add(-time.Hour), Reading: reading})
	text = scrape(t, m.Metrics, "text/plain")
	has(t, text, `soakd_probe_success{probe="fixed"} 0`, `soakd_probe_failing{probe="fixed",reason="hung"} 1`)
	if strings.Contains(text, "soakd_fixed") {
		t.Error("a stale poll has values")
	}
}

func TestExemplarsCarryTheTraceID(t *testing.T) {
	m := fullMetrics()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	var id load.TraceID
	if _, err := hex.Decode(id[:], []byte(trace)); err != nil {
		t.Fatal(err)
	}
	done := time.Now()
	m.recorder.Done(&load.Result{
		Case: m.workload.Cases[0], Outcome: load.OK, Status: 200, TraceID: id, Done: done, ResponseTime: 90 * time.Second, Duration: 20 * time.Millisecond,
	})
	text := scrape(t, m.Metrics, "application/openmetrics-text; version=1.0.0")
	at := strconv.FormatFloat(float64(done.UnixMilli()/1000), 'e', -1, 64)
	at, _, _ = strings.Cut(at, "e") // the seconds, whatever follows
	for _, want := range []string{
		`soakd_http_response_time_seconds_bucket{case="forecast",class="standard",le="+Inf"} 1 # {trace_id="` + trace + `"} 90.0 ` + at,
		`soakd_http_request_duration_seconds_bucket{case="forecast",class="standard",le="0.025"} 1 # {trace_id="` + trace + `"} 0.02 ` + at,
		"# EOF",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("OpenMetrics lacks %q", want)
		}
	}
	for _, d := range []Definition{responseTime, requestDuration} {
		exemplars := histogramOf(t, m, d, "forecast").GetExemplars()
		if len(exemplars) != 1 || exemplars[0].GetLabel()[0].GetValue() != trace || !exemplars[0].GetTimestamp().AsTime().Equal(done) {
			t.Errorf("%s: the native exemplars are %v", d.Name, exemplars)
		}
	}
}

// histogramOf gathers the histogram of a case; "" is the one without a case.
func histogramOf(t *testing.T, m full, d Definition, name string) *dto.Histogram {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == d.Name && (name == "" || metric.GetLabel()[0].GetValue() == name) {
				return metric.GetHistogram()
			}
		}
	}
	t.Fatalf("no histogram %s of %q", d.Name, name)
	return nil
}

// seconds are the bounds as Prometheus has them.
func seconds(bounds []time.Duration) []float64 {
	list := make([]float64, len(bounds))
	for i, bound := range bounds {
		list[i] = bound.Seconds()
	}
	return list
}

// What is exposed is what client_golang's own histogram exposes for the same
// times, in both forms: buckets, spans, deltas, sum, count and zeros.
func TestHistogramsAreWhatPrometheusWouldCount(t *testing.T) {
	m := fullMetrics()
	own := func(bounds []time.Duration) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "x", Buckets: seconds(bounds), NativeHistogramBucketFactor: 1.1, NativeHistogramMaxExemplars: -1,
		})
	}
	response, duration, lag := own(load.TimeBounds()), own(load.TimeBounds()), own(load.LagBounds())
	rng := rand.New(rand.NewPCG(1, 2))
	observe := func(d time.Duration) {
		m.recorder.Done(&load.Result{Case: m.workload.Cases[0], Outcome: load.OK, Status: 200, ResponseTime: d, Duration: d / 2})
		m.recorder.Lag(d / 1000)
		response.Observe(d.Seconds())
		duration.Observe((d / 2).Seconds())
		lag.Observe((d / 1000).Seconds())
	}
	for range 20_000 {
		observe(time.Duration(30e6 * math.Exp(2*rng.NormFloat64())))
	}
	for _, bound := range load.TimeBounds() {
		observe(bound)
		observe(bound + 1)
	}
	observe(0)
	for _, test := range []struct {
		d    Definition
		name string
		own  prometheus.Histogram
	}{{responseTime, "forecast", response}, {requestDuration, "forecast", duration}, {scheduleLag, "", lag}} {
		var out dto.Metric
		if err := test.own.Write(&out); err != nil {
			t.Fatal(err)
		}
		got, want := histogramOf(t, m, test.d, test.name), out.GetHistogram()
		if sum := got.GetSampleSum(); math.Abs(sum-want.GetSampleSum()) > 1e-9*sum {
			t.Errorf("%s: sum %v, want %v", test.d.Name, sum, want.GetSampleSum())
		}
		if started := got.GetCreatedTimestamp().AsTime(); !started.Equal(m.recorder.Snapshot().Start) {
			t.Errorf("%s: created at %v", test.d.Name, started)
		}
		got.SampleSum, want.SampleSum, got.CreatedTimestamp, want.CreatedTimestamp = nil, nil, nil, nil
		if got.String() != want.String() {
			t.Errorf("%s:\n%v\nwant\n%v", test.d.Name, got, want)
		}
	}
	if schema := histogramOf(t, m, scheduleLag, "").GetSchema(); schema != nativeSchema {
		t.Errorf("schema %d", schema)
	}
}

// A case that nothing came of yet has histograms all the same, with the zero
// threshold that tells a scraper that they are native.
func TestEmptyHistogramsAreNativeToo(t *testing.T) {
	m := fullMetrics()
	for _, d := range []Definition{responseTime, requestDuration} {
		h := histogramOf(t, m, d, "invalid_term")
		if h.GetSampleCount() != 0 || h.Schema == nil || h.GetZeroThreshold() != prometheus.DefNativeHistogramZeroThreshold || len(h.GetBucket()) != 15 {
			t.Errorf("%s: %v", d.Name, h)
		}
	}
}

func TestMetricsLint(t *testing.T) {
	m := fullMetrics()
	for _, outcome := range load.Outcomes() {
		m.recorder.Done(&load.Result{Case: m.workload.Cases[0], Outcome: outcome, Status: 200})
	}
	m.board.Put(probes.Result{Probe: "fixed", Start: time.Now(), Reading: probes.Reading{Samples: []probes.Sample{{Desc: m.probe.counter, Value: 7}}}})
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

// Every soakd_ metric that is served must be defined with the labels it has.
func TestEveryMetricIsDefined(t *testing.T) {
	m := fullMetrics()
	m.board.Put(probes.Result{Probe: "fixed", Start: time.Now(), Reading: probes.Reading{Samples: []probes.Sample{{Desc: m.probe.gauge, Labels: []string{"x"}}}}})
	defined := map[string]Definition{}
	for _, d := range Definitions([]probes.Probe{m.probe}) {
		if _, twice := defined[d.Name]; twice {
			t.Errorf("%s is defined twice", d.Name)
		}
		defined[d.Name] = d
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		name := family.GetName()
		if !strings.HasPrefix(name, "soakd_") || name == "soakd_build_info" {
			continue
		}
		if d, ok := defined[name]; !ok || !strings.EqualFold(d.Type, family.GetType().String()) {
			t.Errorf("%s %s is not what the definitions say: %+v", family.GetType(), name, d)
		}
	}
	text := Markdown(Definitions([]probes.Probe{m.probe}))
	for name := range defined {
		if !strings.Contains(text, "| `"+name+"` |") {
			t.Errorf("METRICS.md lacks %s", name)
		}
	}
}

func TestProbeSampleThatDoesNotFitSpoilsNothingElse(t *testing.T) {
	m := fullMetrics()
	m.board.Put(probes.Result{Probe: "fixed", Start: time.Now(), Reading: probes.Reading{Samples: []probes.Sample{
		{Desc: m.probe.gauge, Value: 1}, {Desc: m.probe.counter, Value: 7},
	}}})
	has(t, scrape(t, m.Metrics, "text/plain"), `soakd_fixed_events_total 7`, `soakd_arrivals_sent_total 6`)
	if _, err := m.registry.Gather(); err == nil {
		t.Error("a sample with a label missing is not reported")
	}
}

func newTestServer(t *testing.T, webConfig string) *Server {
	t.Helper()
	m := fullMetrics()
	s, err := NewServer(t.Context(), ServerConfig{
		Listen: "127.0.0.1:0", WebConfigFile: webConfig, Metrics: m.Metrics, Log: slog.New(slog.DiscardHandler),
		Page: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the page") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, client *http.Client, url, user, password string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		request.SetBasicAuth(user, password)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func TestServer(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := newTestServer(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{}}
	expect := func(path string, status int, text string) {
		t.Helper()
		if got, content := get(t, client, s.URL()+path, "", ""); got != status || !strings.Contains(content, text) {
			t.Errorf("%s: %d %q, want %d with %q", path, got, content, status, text)
		}
	}
	expect("/-/healthy", 200, "healthy")
	expect("/-/ready", 503, "not ready")
	s.SetReady(true)
	expect("/-/ready", 200, "ready")
	expect("/metrics", 200, "soakd_arrivals_sent_total 6")
	expect("/", 200, "the page")
	expect("/nothing", 404, "")
	client.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestServerWithTLSAndPassword(t *testing.T) {
	defer goleak.VerifyNone(t)
	certificates := httptest.NewTLSServer(http.NotFoundHandler())
	defer certificates.Close()
	config := writeWebConfig(t, certificates)
	s := newTestServer(t, config)
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Errorf("the URL is %s", s.URL())
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	client := certificates.Client()
	if status, _ := get(t, client, s.URL()+"/metrics", "", ""); status != 401 {
		t.Errorf("without a password: %d", status)
	}
	if status, text := get(t, client, s.URL()+"/metrics", "prometheus", "soak"); status != 200 || !strings.Contains(text, "soakd_") {
		t.Errorf("with the password: %d", status)
	}
	client.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestServerSaysWhatIsWrong(t *testing.T) {
	taken := newTestServer(t, "")
	defer taken.listener.Close() //nolint:errcheck // it only holds the address
	bad := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(bad, []byte("tls_server_config: {cert_fil: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]ServerConfig{
		"SOAKD_LISTEN " + taken.Address():  {Listen: taken.Address()},
		"SOAKD_LISTEN nonsense":            {Listen: "nonsense"},
		"SOAKD_WEB_CONFIG_FILE " + bad:     {Listen: "127.0.0.1:0", WebConfigFile: bad},
		"SOAKD_WEB_CONFIG_FILE /none/here": {Listen: "127.0.0.1:0", WebConfigFile: "/none/here"},
	} {
		cfg.Metrics, cfg.Page, cfg.Log = NewMetrics(load.NewRecorder(testWorkload(), time.Now())), http.NotFoundHandler(), slog.New(slog.DiscardHandler)
		if _, err := NewServer(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLocalAddress(t *testing.T) {
	for in, want := range map[string]string{
		":9470": "127.0.0.1:9470", "0.0.0.0:1": "127.0.0.1:1", "[::]:2": "127.0.0.1:2", "10.1.2.3:4": "10.1.2.3:4", "[::1]:5": "[::1]:5",
	} {
		if got := LocalAddress(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// However busy the traffic: within one scrape there are never more requests with
// an outcome than were sent, because they are read first and as they are then; nor
// more times than requests; and the classic buckets never hold more than the count.
func TestScrapeIsConsistentUnderTraffic(t *testing.T) {
	workload := testWorkload()
	recorder := load.NewRecorder(workload, time.Now())
	m := NewMetrics(recorder)
	var sent atomic.Int64
	m.WatchTraffic(Traffic{
		Counts:     func() load.Counts { return load.Counts{Scheduled: sent.Load(), Sent: sent.Load()} },
		TargetRate: func() float64 { return 0 }, Transfer: func() load.Transfer { return load.Transfer{} },
	})
	done := make(chan struct{})
	var traffic sync.WaitGroup
	for range 2 {
		traffic.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					sent.Add(1)
					recorder.Done(&load.Result{Case: workload.Cases[0], Outcome: load.OK, Status: 200, ResponseTime: time.Second, Duration: time.Second})
				}
			}
		})
	}
	defer traffic.Wait()
	defer close(done)
	for range 300 {
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values, timed := map[string]float64{}, uint64(0)
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				values[family.GetName()] += metric.GetCounter().GetValue()
				h := metric.GetHistogram()
				timed = max(timed, h.GetSampleCount())
				for _, bucket := range h.GetBucket() {
					if bucket.GetCumulativeCount() > h.GetSampleCount() {
						t.Fatalf("%d up to %v of %d", bucket.GetCumulativeCount(), bucket.GetUpperBound(), h.GetSampleCount())
					}
				}
			}
		}
		requests, sent := values["soakd_http_requests_total"], values["soakd_arrivals_sent_total"]
		if requests > sent || float64(timed) > requests {
			t.Fatalf("%d times of %v requests with an outcome of %v sent", timed, requests, sent)
		}
	}
}
