package api

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/probes"
	"soakd/internal/probes/exposition"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

// open makes a validated probe.
func open(t *testing.T, config Config) probes.Probe {
	t.Helper()
	return probetest.OpenOne(t, &config)
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/metrics"
}

// page serves text as a page of metrics: OpenMetrics when it ends like one.
func page(text string) http.HandlerFunc {
	contentType := "text/plain; version=0.0.4; charset=utf-8"
	if strings.HasSuffix(text, "# EOF\n") {
		contentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, text)
	}
}

func poll(t *testing.T, probe probes.Probe) (map[string]float64, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	reading, err := probe.Poll(ctx)
	return values(t, probe, reading), err
}

// values shortens the series' names: pool_connections[pgxpool idle]. It leaves
// out the replica, of which there is one, and the series about replicas.
func values(t *testing.T, probe probes.Probe, reading probes.Reading) map[string]float64 {
	t.Helper()
	found := map[string]float64{}
	for series, value := range probetest.ValuesOf(t, probe, reading) {
		if strings.HasPrefix(series, "soakd_api_replica") {
			continue
		}
		name, labels, _ := strings.Cut(strings.TrimPrefix(series, "soakd_api_"), "{")
		var rest []string
		for _, label := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(labels, -1) {
			if label[1] != "replica" {
				rest = append(rest, label[2])
			}
		}
		if len(rest) > 0 {
			name += "[" + strings.Join(rest, " ") + "]"
		}
		found[name] = value
	}
	return found
}

func TestReadsEveryLanguage(t *testing.T) {
	cases := map[string]map[string]float64{
		"python": {
			"cpu_seconds_total": 0.12000000000000001, "resident_memory_bytes": 24891392, "open_fds": 6, "max_fds": 20000,
			"gc_runs_total": 44, "in_flight_requests": 3, "cache_hits_total": 120, "cache_misses_total": 30,
			"pool_connections[sqlalchemy in_use]": 3, "pool_connections[sqlalchemy idle]": 2, "pool_connections[sqlalchemy max]": 10,
			"start_time_seconds": 1795453456.52,
		},
		"go": {
			"cpu_seconds_total": 0, "resident_memory_bytes": 11501568, "heap_bytes": 361840, "open_fds": 9, "max_fds": 20000,
			"threads": 7, "goroutines": 5, "gc_pause_seconds_total": 0.000226997, "gc_runs_total": 1, "in_flight_requests": 7,
			"thread_pool_threads": 8, "thread_pool_busy_threads": 5, "thread_pool_queued_tasks": 2,
			"pool_connections[pgxpool in_use]": 4, "pool_connections[pgxpool idle]": 6, "pool_connections[pgxpool max]": 10, "pool_connections[pgxpool waiting]": 1,
			// No maximum: database/sql says 0 for "no limit".
			"pool_waits_total[database_sql]": 0, "pool_wait_seconds_total[database_sql]": 0,
			"pool_connections[database_sql in_use]": 0, "pool_connections[database_sql idle]": 0,
			"start_time_seconds": 1795453459.01,
		},
		"micrometer": {
			// No maximum of files: -1 says "unknown".
			"cpu_seconds_total": 25, "heap_bytes": 3000000, "open_fds": 77, "threads": 33,
			"gc_pause_seconds_total": 0.75, "gc_runs_total": 13, "in_flight_requests": 5,
			"thread_pool_threads": 10, "thread_pool_busy_threads": 7, "thread_pool_queued_tasks": 11,
			"pool_connections[hikaricp in_use]": 9, "pool_connections[hikaricp idle]": 1, "pool_connections[hikaricp max]": 10, "pool_connections[hikaricp waiting]": 4,
			"cache_hits_total": 900, "cache_misses_total": 100, "start_time_seconds": 1795453456.52,
		},
		"client_java": {
			"cpu_seconds_total": 1.63, "resident_memory_bytes": 78577664, "heap_bytes": 9051232, "open_fds": 28, "max_fds": 524288,
			"threads": 10, "gc_pause_seconds_total": 0.5, "gc_runs_total": 12, "start_time_seconds": 1795453456.439,
		},
		"node": {
			"cpu_seconds_total": 12.5, "resident_memory_bytes": 65310720, "heap_bytes": 9123456, "open_fds": 23, "max_fds": 1048576,
			"event_loop_lag_seconds": 0.0042, "gc_pause_seconds_total": 0.01, "gc_runs_total": 7, "start_time_seconds": 1795453456,
		},
		// prometheus_client 0.16, as it wrote it.
		"python_openmetrics": {
			"version_info[1]":   1,
			"cpu_seconds_total": 0.11, "resident_memory_bytes": 24776704, "open_fds": 7, "max_fds": 20000, "gc_runs_total": 44,
			"in_flight_requests": 2, "start_time_seconds": 1795625943.12,
		},
		// Two workers write to one directory: no start time, no process metrics.
		"python_multiprocess": {
			"in_flight_requests": 4, "cache_hits_total": 20, "pool_connections[sqlalchemy in_use]": 6, "pool_wait_seconds_total[sqlalchemy]": 1,
		},
		// prom-client 15.1, as it wrote it.
		"node_openmetrics": {
			"cpu_seconds_total": 0.014759, "resident_memory_bytes": 54755328, "heap_bytes": 4786432, "open_fds": 19, "max_fds": 20000,
			"event_loop_lag_seconds": 0, "start_time_seconds": 1795625942,
		},
		// @opentelemetry/exporter-prometheus and instrumentation-runtime-node, as they wrote it.
		"opentelemetry_node": {
			"cpu_seconds_total": 2, "resident_memory_bytes": 5e7, "heap_bytes": 120832 + 6459408 + 486608 + 262160, "event_loop_lag_seconds": 0.011070595801980197,
			"gc_runs_total": 1, "gc_pause_seconds_total": 0.0230888400003314, "in_flight_requests": 2,
			"pool_connections[opentelemetry in_use]": 3, "pool_connections[opentelemetry idle]": 2, "pool_connections[opentelemetry max]": 5,
			"pool_connections[opentelemetry waiting]": 4, "pool_timeouts_total[opentelemetry]": 6,
			"pool_wait_seconds_total[opentelemetry]": 0.25, "pool_waits_total[opentelemetry]": 1,
		},
		"prometheus_net": {
			"cpu_seconds_total": 4.25, "resident_memory_bytes": 90177536, "heap_bytes": 5242880, "open_fds": 171, "threads": 27, "gc_runs_total": 30,
			"in_flight_requests": 3, "thread_pool_threads": 9, "thread_pool_queued_tasks": 5,
			"pool_connections[npgsql in_use]": 4, "pool_connections[npgsql idle]": 6, "start_time_seconds": 1795453456.52,
		},
		"opentelemetry_dotnet": {
			"cpu_seconds_total": 4, "resident_memory_bytes": 91226112, "heap_bytes": 4001000, "gc_runs_total": 25, "gc_pause_seconds_total": 0.125,
			"in_flight_requests": 6, "thread_pool_threads": 8, "thread_pool_queued_tasks": 13,
			"pool_connections[opentelemetry in_use]": 7, "pool_connections[opentelemetry idle]": 3, "pool_connections[opentelemetry max]": 100,
			"pool_connections[opentelemetry waiting]": 2, "pool_timeouts_total[opentelemetry]": 1,
		},
		"opentelemetry_java": {
			"cpu_seconds_total": 12.5, "heap_bytes": 4e7, "threads": 17, "gc_runs_total": 8, "gc_pause_seconds_total": 0.0625, "open_fds": 61,
			"pool_connections[opentelemetry in_use]": 9, "pool_connections[opentelemetry idle]": 1,
			"pool_waits_total[opentelemetry]": 50, "pool_wait_seconds_total[opentelemetry]": 2.5,
		},
		"jmx_exporter": {
			"cpu_seconds_total": 7.5, "resident_memory_bytes": 268435456, "heap_bytes": 8388608, "open_fds": 90, "max_fds": 1048576, "threads": 31,
			"gc_runs_total": 15, "gc_pause_seconds_total": 0.375, "thread_pool_threads": 25, "thread_pool_busy_threads": 4, "start_time_seconds": 1795453456.439,
			"pool_connections[hikaricp in_use]": 6, "pool_waits_total[hikaricp]": 40, "pool_wait_seconds_total[hikaricp]": 0.5, "pool_timeouts_total[hikaricp]": 2,
		},
		"rust": {
			"cpu_seconds_total": 1.5, "resident_memory_bytes": 9437184, "open_fds": 18, "max_fds": 1024, "threads": 5, "in_flight_requests": 4,
			"thread_pool_threads": 4, "thread_pool_queued_tasks": 6, "start_time_seconds": 1795453456,
			"pool_connections[sqlx in_use]": 7, "pool_connections[sqlx idle]": 3, "pool_connections[deadpool in_use]": 4, "pool_connections[deadpool idle]": 1,
			"pool_connections[deadpool max]": 8, "pool_connections[deadpool waiting]": 2,
		},
		"pools": {
			"pool_connections[psycopg_pool in_use]": 5, "pool_connections[psycopg_pool idle]": 3, "pool_connections[psycopg_pool max]": 20, "pool_connections[psycopg_pool waiting]": 4,
			"pool_waits_total[psycopg_pool]": 15, "pool_wait_seconds_total[psycopg_pool]": 2.5, "pool_timeouts_total[psycopg_pool]": 1,
			"pool_waits_total[pgxpool]": 9, "pool_wait_seconds_total[pgxpool]": 1.5, "pool_timeouts_total[pgxpool]": 2,
			"pool_waits_total[hikaricp]": 70, "pool_wait_seconds_total[hikaricp]": 3.5, "pool_timeouts_total[hikaricp]": 5,
			"pool_waits_total[database_sql]": 11, "pool_wait_seconds_total[database_sql]": 0.75,
			"pool_connections[r2dbc in_use]": 6, "pool_connections[r2dbc max]": 10,
			// Of asyncpg more are idle than there are: read at different moments.
			"pool_connections[asyncpg idle]":  12,
			"pool_connections[prisma in_use]": 2, "pool_waits_total[prisma]": 30, "pool_wait_seconds_total[prisma]": 1.25,
		},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := want["start_time_seconds"]; ok {
				want["restarts_total"], want["observed_workers"] = 0, 1
			}
			got, err := poll(t, open(t, Config{MetricsURL: serve(t, page(string(text)))}))
			if err != nil {
				t.Fatal(err)
			}
			if !maps.EqualFunc(got, want, near) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

// A page of prometheus_client's multi-process mode, as gunicorn with three workers
// serves it after one of them was killed and another started. Such a page has
// nothing of the processes themselves, and a gauge has its value per worker, by
// the label pid, or one value for all, as its multiprocess_mode says.
func TestReadsAPageOfSeveralProcesses(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "python_gunicorn.txt"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := poll(t, open(t, Config{MetricsURL: serve(t, page(string(text)))}))
	want := map[string]float64{
		"cache_hits_total": 45, "cache_misses_total": 0, // of all, also of the one that was killed
		"in_flight_requests": 0, "pool_connections[sqlalchemy max]": 30, // livesum
		"pool_connections[sqlalchemy in_use]": 9, // liveall: of the three that live
		// The mode all, which is the default, keeps what those had that are gone: 2 each
		// of four. Nothing on the page tells that one of them is.
		"pool_connections[sqlalchemy idle]": 8,
		"threads":                           4, // max
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v\ngot  %v\nwant %v", err, got, want)
	}
}

// Every name of the table is read when it is the only one, so that none is
// spelled wrong on one side only, or is hidden by another.
func TestReadsEveryAlias(t *testing.T) {
	for _, a := range knownAliases() {
		labels := ""
		for name, value := range a.match {
			labels = fmt.Sprintf("{%s=%q}", name, value)
		}
		text, want := a.target+labels+" 70\n", 70.0
		if a.minus != "" {
			text, want = text+a.minus+labels+" 20\n", 50
		}
		if a.scale != 0 {
			want *= a.scale
		}
		source := &pageSource{known: newMetrics(nil, nil).known}
		page, err := exposition.Read("", strings.NewReader(text), source.known.names)
		if err != nil {
			t.Fatal(err)
		}
		values, err := source.values(page, time.Unix(100, 0))
		if err != nil {
			t.Errorf("%s: %v", a.target, err)
		}
		if !slices.ContainsFunc(values, func(v value) bool {
			return v.desc.Name == a.metric && slices.Equal(v.labels, a.labels) && near(v.amount, want)
		}) {
			t.Errorf("%s: %v, want %s%q with %v", text, values, a.metric, a.labels, want)
		}
	}
}

func TestTableIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range knownAliases() {
		if key := fmt.Sprint(a.metric, a.labels, a.target, a.match, a.minus); seen[key] {
			t.Errorf("%s is there twice", key)
		} else {
			seen[key] = true
		}
		for _, language := range strings.Split(a.languages, ", ") {
			if !slices.Contains(languages(), language) {
				t.Errorf("%s: %q is none of the languages of the documentation", a.target, language)
			}
		}
		if a.library == "" {
			t.Errorf("%s: nobody exports it", a.target)
		}
	}
}

func near(a, b float64) bool { return a == b || a-b < 1e-9*b && b-a < 1e-9*b }

func TestDescriptions(t *testing.T) {
	probetest.CheckDescriptions(t, open(t, Config{MetricsURL: "http://127.0.0.1/metrics"}))
}

func TestAsksForTextWithTheToken(t *testing.T) {
	var got http.Header
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		page("process_open_fds 3\n")(w, r)
	})
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("abc.def\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := poll(t, open(t, Config{MetricsURL: target, TokenFile: file})); err != nil {
		t.Fatal(err)
	}
	if got.Get("Authorization") != "Bearer abc.def" || !strings.HasPrefix(got.Get("Accept"), "text/plain;version=0.0.4") || got.Get("User-Agent") != "soakd" {
		t.Errorf("header %v", got)
	}
	if _, err := poll(t, open(t, Config{MetricsURL: target})); err != nil || got.Get("Authorization") != "" {
		t.Errorf("without a token: %v, %v", err, got)
	}
}

// The environment's proxy is not used. No request can show it here: net/http sends
// none to a proxy when the target is on the loopback, and reads the variables once.
func TestUsesNoProxy(t *testing.T) {
	opened := open(t, Config{MetricsURL: "http://metrics.invalid/metrics"})
	transport, ok := opened.(*probe).members.(fixed)[0].sources[0].(*pageSource).client.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Error("the probe may go through a proxy")
	}
}

func TestBadAnswersAreClearErrors(t *testing.T) {
	const token = "s3cr3t-token"
	typed := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, body)
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/login?token="+token)
			w.WriteHeader(code)
		}
	}
	cases := map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"html":             {typed("text/html; charset=utf-8", "<html>"), "answered text/html; charset=utf-8, not Prometheus text"},
		"json":             {typed("application/json", "{}"), "answered application/json, not Prometheus text"},
		"openmetrics cut":  {typed("application/openmetrics-text; version=1.0.0", "process_open_fds 3\n"), "its last line is not # EOF"},
		"broken type":      {typed("text/plain; ;;=", "x 1\n"), "not Prometheus text"},
		"html as text":     {typed("text/plain", "<html><body>hello</body></html>\n"), "line 1"},
		"redirect":         {status(302), "answered 302, a redirect"},
		"unauthorized":     {status(401), "answered 401; see SOAKD_API_METRICS_TOKEN"},
		"unavailable":      {status(503), "answered 503, not 200"},
		"broken line":      {page("process_open_fds 3\nprocess_max_fds many\n"), "line 2"},
		"invalid UTF-8":    {page("# TYPE process_open_fds gauge\nprocess_open_fds{a=\"\xff\"} 1\n"), "line 2"},
		"cut off":          {page("process_open_fds{a=\"b"), "unexpected end"},
		"duplicate series": {page("process_open_fds{a=\"1\",b=\"2\"} 3\nprocess_open_fds{b=\"2\",a=\"1\"} 3\n"), "process_open_fds is there twice with the same labels"},
		"infinite":         {page("process_open_fds +Inf\n"), "read soakd_api_open_fds: process_open_fds is infinite"},
		"nothing known":    {page("some_total 1\n"), "none of the metric names that soakd knows"},
		"empty":            {page(""), "none of the metric names that soakd knows"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := poll(t, open(t, Config{MetricsURL: serve(t, c.handler), Token: secret.New(token)}))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want one with %q", fmt.Sprint(err), c.want)
			}
			if len(got) != 0 {
				t.Errorf("and values %v", got)
			}
			if err != nil && (strings.Contains(err.Error(), token) || len(err.Error()) > 320) {
				t.Errorf("error %q holds the token or is too long", err)
			}
		})
	}
}

func TestABadValueKeepsTheOthers(t *testing.T) {
	got, err := poll(t, open(t, Config{MetricsURL: serve(t, page("process_open_fds +Inf\nprocess_max_fds 9\nprocess_resident_memory_bytes NaN\n"))}))
	if err == nil || !strings.Contains(err.Error(), "process_open_fds is infinite") {
		t.Errorf("error %v", err)
	}
	if !maps.Equal(got, map[string]float64{"max_fds": 9}) {
		t.Errorf("values %v", got)
	}
}

func TestBodyIsBounded(t *testing.T) {
	line := strings.Repeat("# a comment of some length, which is cheap to read\n", 1000)
	var sent atomic.Int64
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil && sent.Load() < 4*exposition.MaxBody {
			n, err := io.WriteString(w, line)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}
	_, err := poll(t, open(t, Config{MetricsURL: serve(t, endless)}))
	if err == nil || !strings.Contains(err.Error(), "larger than 10 MiB") {
		t.Errorf("endless body: %v", err)
	}
	if sent.Load() >= 4*exposition.MaxBody {
		t.Error("the whole body was read")
	}
	oneLine := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "x{a=\"")
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, line[:1000]); err != nil {
				return
			}
		}
	}
	if _, err := poll(t, open(t, Config{MetricsURL: serve(t, oneLine)})); err == nil {
		t.Error("an endless line was taken")
	}
}

// net/http asks for gzip and undoes it; the bound is on what comes out.
func TestGzip(t *testing.T) {
	zipped := func(text string, times int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				t.Errorf("asks for %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "text/plain")
			out := gzip.NewWriter(w)
			for range times {
				if _, err := io.WriteString(out, text); err != nil {
					return
				}
			}
			_ = out.Close()
		}
	}
	if got, err := poll(t, open(t, Config{MetricsURL: serve(t, zipped("process_open_fds 3\n", 1))})); err != nil || got["open_fds"] != 3 {
		t.Errorf("%v, %v", got, err)
	}
	bomb := zipped(strings.Repeat("# a\n", 1<<18), 200) // 200 MiB out of 200 KiB
	if _, err := poll(t, open(t, Config{MetricsURL: serve(t, bomb)})); err == nil || !strings.Contains(err.Error(), "larger than 10 MiB") {
		t.Errorf("bomb: %v", err)
	}
}

func TestDeadlineIsKept(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for name, handler := range map[string]http.HandlerFunc{
		"no answer": func(http.ResponseWriter, *http.Request) { <-release },
		"slow body": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "process_open_fds 3\n")
			w.(http.Flusher).Flush()
			<-release
		},
	} {
		server := httptest.NewServer(handler)
		probe := open(t, Config{MetricsURL: server.URL})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		reading, err := probe.Poll(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "deadline exceeded") || len(values(t, probe, reading)) != 0 || reading.Cost.Queries != 1 {
			t.Errorf("%s: %v, %v", name, reading, err)
		}
		t.Cleanup(server.Close)
	}
}

func TestAwayThenBack(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	probe := open(t, Config{MetricsURL: "http://" + address + "/metrics"})
	for range 100 {
		if _, err := poll(t, probe); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Fatalf("away: %v", err)
		}
	}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: page("process_open_fds 3\n")}}
	server.Start()
	defer server.Close()
	if got, err := poll(t, probe); err != nil || got["open_fds"] != 3 {
		t.Errorf("back: %v, %v", got, err)
	}
}

func TestSeveralWorkersHideTheCountersAndAreNoRestarts(t *testing.T) {
	starts := []float64{1000.12, 1000.31}
	n := 0
	probe := open(t, Config{MetricsURL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		worker := n % 2
		n++
		page(fmt.Sprintf("process_start_time_seconds %v\nprocess_cpu_seconds_total %d\nprocess_open_fds %d\n", starts[worker], 10*worker, 5+worker))(w, r)
	})})
	first, err := poll(t, probe)
	if err != nil || first["observed_workers"] != 1 {
		t.Fatalf("first poll: %v, %v", first, err)
	}
	for i := range 5 {
		got, err := poll(t, probe)
		if err != nil {
			t.Fatal(err)
		}
		if _, has := got["cpu_seconds_total"]; has || got["observed_workers"] != 2 || got["restarts_total"] != 0 || got["open_fds"] == 0 {
			t.Errorf("poll %d: %v", i, got)
		}
	}
}

// Start times have a resolution of 0.01 s or, of Node, a whole second: workers that
// are started together have the same. What tells them apart is CPU time that falls.
func TestWorkersOfOneStart(t *testing.T) {
	start, used, unsteady := time.Now().Unix()-3600, []int{100, 200}, true
	n := 0
	probe := open(t, Config{MetricsURL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		worker := 0
		if unsteady {
			worker = n % 2
		}
		page(fmt.Sprintf("process_start_time_seconds %d\nprocess_cpu_seconds_total %d\nprocess_open_fds 5\n", start, used[worker]+n))(w, r)
	})})
	polls := func(count int, observed, restarts float64) {
		t.Helper()
		for range count {
			got, err := poll(t, probe)
			if err != nil {
				t.Fatal(err)
			}
			if _, has := got["cpu_seconds_total"]; has != (observed == 1) || got["observed_workers"] != observed || got["restarts_total"] != restarts || got["open_fds"] != 5 {
				t.Errorf("poll %d: %v, want %v workers and %v restarts", n, got, observed, restarts)
			}
		}
	}
	polls(1, 1, 0)
	polls(10, 2, 0)
	unsteady = false
	polls(sideBySidePolls, 2, 0) // as long as chance may let one of them answer alone
	polls(1, 1, 0)
	// A restart is one, whatever the CPU time of the new process.
	unsteady = true
	polls(1, 1, 0)
	polls(1, 2, 0)
	start, used, unsteady = time.Now().Unix(), []int{0, 0}, false
	polls(3, 1, 1)
}

func TestRestartIsCounted(t *testing.T) {
	start := float64(time.Now().Unix() - 3600)
	probe := open(t, Config{MetricsURL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		page(fmt.Sprintf("process_start_time_seconds %v\nprocess_cpu_seconds_total 1\n", start))(w, r)
	})})
	for i, want := range []float64{0, 0, 1, 1} {
		if i == 2 {
			start = float64(time.Now().Unix())
		}
		got, err := poll(t, probe)
		if _, has := got["cpu_seconds_total"]; err != nil || got["restarts_total"] != want || got["observed_workers"] != 1 || !has {
			t.Errorf("poll %d: %v, %v", i, got, err)
		}
	}
}

func TestWorkers(t *testing.T) {
	at := func(second float64) time.Time { return time.Unix(0, int64(second*1e9)) }
	type step struct {
		start, now     float64
		count, restart int
	}
	for name, steps := range map[string][]step{
		"one process":                                   {{100, 200, 1, 0}, {100, 205, 1, 0}},
		"restart, and another":                          {{100, 200, 1, 0}, {203, 205, 1, 1}, {203, 210, 1, 1}, {212, 215, 1, 2}},
		"started together, answer in turn":              {{100.1, 200, 1, 0}, {100.3, 205, 2, 0}, {100.1, 210, 2, 0}},
		"the older one second":                          {{100.3, 200, 1, 0}, {100.1, 205, 2, 0}},
		"one is replaced among several":                 {{100.1, 200, 1, 0}, {100.3, 205, 2, 0}, {207, 210, 3, 0}, {100.1, 215, 3, 0}},
		"boot time moves by a second":                   {{100.25, 200, 1, 0}, {101.25, 205, 1, 0}, {100.25, 210, 1, 0}},
		"scaled up: counted until the first comes back": {{100, 200, 1, 0}, {203, 205, 1, 1}, {100, 210, 2, 1}, {203, 215, 2, 1}},
	} {
		var w workers
		for i, s := range steps {
			if count := w.observe(s.start, at(s.now)); count != s.count || w.restarts != s.restart {
				t.Errorf("%s, step %d: %d workers and %d restarts, want %d and %d", name, i, count, w.restarts, s.count, s.restart)
			}
		}
	}
	var w workers
	w.observe(1.1, at(100))
	w.observe(1.2, at(101))
	for i := range recentPolls {
		if count := w.observe(1.2, at(102+float64(i))); i == recentPolls-1 && count != 1 {
			t.Errorf("a worker that is gone still counts after %d polls", recentPolls)
		}
	}
	if len(w.recent) != recentPolls {
		t.Errorf("remembers %d polls", len(w.recent))
	}
}

// seen is that one process answers a number of polls, of which count processes
// and restarts are known after the last.
type seen struct {
	start          float64
	polls          int
	count, restart int
}

func TestReplacements(t *testing.T) {
	// Polls are 5 s apart from 1000 on; soakd's first is at 1000.
	const old, older = 930.5, 900.1
	// inTurn gives that both answer in turn, rounds times each.
	inTurn := func(a, b float64, rounds, count, restart int) []seen {
		var steps []seen
		for range rounds {
			steps = append(steps, seen{a, 1, count, restart}, seen{b, 1, count, restart})
		}
		return steps
	}
	join := slices.Concat[[]seen]
	for name, steps := range map[string][]seen{
		// Born at 1060 and first seen at 1070, the old one last at 1090.
		"rolling: counted once when the old one is out of the window": {
			{old, 14, 1, 0}, {1060.2, 1, 2, 0}, {old, 1, 2, 0}, {1060.2, 1, 2, 0}, {old, 2, 2, 0}, {1060.2, 11, 2, 0}, {1060.2, 1, 1, 1}, {1060.2, 500, 1, 1},
		},
		"rolling: seen right after its birth, counted once": {
			{old, 12, 1, 0}, {1057.5, 1, 1, 1}, {old, 1, 2, 1}, {1057.5, 1, 2, 1}, {old, 3, 2, 1}, {1057.5, 11, 2, 1}, {1057.5, 500, 1, 1},
		},
		"two, one after the other": {
			{old, 14, 1, 0},
			{1060.2, 1, 2, 0},
			{old, 4, 2, 0},
			{1060.2, 11, 2, 0},
			{1060.2, 1, 1, 1},
			{1060.2, 18, 1, 1},
			{1230.4, 1, 2, 1},
			{1060.2, 4, 2, 1},
			{1230.4, 11, 2, 1},
			{1230.4, 1, 1, 2},
			{1230.4, 500, 1, 2},
		},
		"the new one is taken back": {{old, 14, 1, 0}, {1060.2, 1, 2, 0}, {old, 11, 2, 0}, {old, 500, 1, 0}},
		"an old worker is left alone": join(
			inTurn(older, older, 1, 1, 0), inTurn(old, older, 3, 2, 0), []seen{{old, 11, 2, 0}, {old, 100, 1, 0}, {older, 1, 2, 0}, {old, 11, 2, 0}, {old, 1, 1, 0}}),
		"workers in turn, then one for a while by chance": join(
			[]seen{{old, 1, 1, 0}}, inTurn(older, old, 200, 2, 0), []seen{{older, 35, 2, 0}, {old, 35, 2, 0}, {older, 35, 2, 0}}, inTurn(old, older, 200, 2, 0)),
		// Of two side by side for long, one is gone only after a longer silence.
		"scaled up, then one for a while by chance": join(
			[]seen{{old, 14, 1, 0}, {1060.2, 1, 2, 0}}, inTurn(old, 1060.2, 30, 2, 0), []seen{{1060.2, 34, 2, 0}}, inTurn(old, 1060.2, 100, 2, 0),
			[]seen{{1060.2, 34, 2, 0}, {1060.2, 1, 1, 1}, {1060.2, 11, 1, 1}, {old, 1, 2, 1}, {1060.2, 11, 2, 1}, {1060.2, 100, 1, 1}}),
		"all of several workers are replaced": join(
			inTurn(old, old, 1, 1, 0), inTurn(older, old, 50, 2, 0), []seen{{1400.1, 1, 3, 0}, {1400.3, 1, 4, 0}, {old, 1, 4, 0}},
			inTurn(1400.1, 1400.3, 16, 4, 0)[:31], inTurn(1400.3, 1400.1, 2, 3, 0), []seen{{1400.3, 1, 2, 1}}, inTurn(1400.1, 1400.3, 100, 2, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			var w workers
			polls := 0
			for i, s := range steps {
				count := 0
				for range s.polls {
					if w.restarts > s.restart {
						t.Fatalf("step %d: %d restarts before its end, want %d", i, w.restarts, s.restart)
					}
					count = w.observe(s.start, time.Unix(1000+5*int64(polls), 0))
					polls++
				}
				if count != s.count || w.restarts != s.restart {
					t.Fatalf("step %d, poll %d: %d workers and %d restarts, want %d and %d", i, polls, count, w.restarts, s.count, s.restart)
				}
			}
			if len(w.recent) > sideBySidePolls {
				t.Errorf("remembers %d polls", len(w.recent))
			}
		})
	}
}

// Without a Date header the time is soakd's own, which may be wrong.
func TestAWrongClockMakesNoRestarts(t *testing.T) {
	for name, offset := range map[string]int64{"an hour slow": -3600, "an hour fast": 3600} {
		var w workers
		for i := range int64(200) {
			start := []float64{9000.1, 9001.3}[i%2]
			if i >= 100 {
				start = 9001.3 // the younger is left
			}
			w.observe(start, time.Unix(10000+offset+5*i, 0))
		}
		if w.restarts != 0 {
			t.Errorf("%s: %d restarts", name, w.restarts)
		}
	}
}

func TestOperatorsAliasesComeFirst(t *testing.T) {
	var aliases Aliases
	err := aliases.Decode(`soakd_api_open_fds=my_fds{kind="open, all",host=a}, soakd_api_pool_connections{pool="aiopg",state="idle"}=my_total{state="all"}-my_busy,soakd_api_pool_waits_total{pool=aiopg}=my_waits,soakd_api_pool_connections{pool="aiopg",state="in_use"}=my_pool{state="busy"},soakd_api_threads=my_threads`)
	if err != nil {
		t.Fatal(err)
	}
	text := "process_open_fds 3\nprocess_threads 4\nmy_fds{kind=\"open, all\",host=\"a\"} 30\nmy_fds{kind=\"open, all\",host=\"b\"} 9\nmy_pool{state=\"busy\"} 7\nmy_pool{state=\"idle\"} 8\n" +
		"my_total{state=\"all\"} 12\nmy_busy{state=\"all\"} 7\nmy_busy{state=\"none\"} 1\nmy_waits 44\n"
	got, err := poll(t, open(t, Config{MetricsURL: serve(t, page(text)), Aliases: aliases}))
	want := map[string]float64{"open_fds": 30, "pool_connections[aiopg in_use]": 7, "pool_connections[aiopg idle]": 5, "pool_waits_total[aiopg]": 44, "threads": 4}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestAliasesRefused(t *testing.T) {
	for text, want := range map[string]string{
		"soakd_api_open_fds":                                    "want soakd_name=target_name",
		"soakd_api_open_fds=a=b":                                "want soakd_name=target_name",
		"soakd_api_open_fds{pool=\"x\"}=a":                      "has no labels",
		"soakd_api_pool_connections=a":                          "wants {pool=",
		`soakd_api_pool_connections{pool="X y",state="idle"}=a`: "wants {pool=",
		`soakd_api_pool_connections{pool="x",state="broken"}=a`: "wants {pool=",
		"soakd_api_pool_waits_total=a":                          `wants {pool="name"}`,
		"soakd_api_pool_waits_total{pool=\"X\"}=a":              `wants {pool="name"}`,
		"soakd_api_open_fds=a-b-c":                              "at most one name that is subtracted",
		"soakd_api_open_fds=a-b{c=d}":                           "want none of its own",
		"soakd_api_open_fds=a-":                                 "is not a metric name",
		"soakd_api_open_fds=a b":                                "is not a metric name",
		"soakd_api_open_fds=a{x}":                               `is not label="value"`,
		"soakd_api_open_fds=a{":                                 "is not a metric name",
	} {
		var aliases Aliases
		if err := aliases.Decode(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	var aliases Aliases
	if err := aliases.Decode("soakd_api_open_file=a"); err != nil {
		t.Fatal(err)
	}
	config := Config{Aliases: aliases}
	if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "SOAKD_API_METRICS_ALIASES: soakd_api_open_file is none of") {
		t.Errorf("unknown metric: %v", err)
	}
}

func TestConfigRefused(t *testing.T) {
	probetest.CheckConfig(t, Kind)
	for text, want := range map[string]string{
		"localhost:8000/metrics":     "must start with http",
		"ftp://host/metrics":         "must start with http",
		"http:///metrics":            "has no host",
		"http://u:hunter2@h/metrics": "must not hold a user or password",
		"http://h:hunter2/metrics":   "is not a URL",
		"http://h/metrics#x":         "fragment",
	} {
		config := Config{MetricsURL: text}
		err := config.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "SOAKD_API_METRICS_URL: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if _, err := config.Open(nil); err == nil {
			t.Errorf("%s: opened", text)
		}
	}
	config := Config{Token: secret.New("a"), TokenFile: "b"}
	if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "SOAKD_API_METRICS_TOKEN_FILE: ") {
		t.Errorf("both tokens: %v", err)
	}
	config = Config{Token: secret.New("with\nline")}
	if err := config.Validate(); err == nil || strings.Contains(err.Error(), "line\n") {
		t.Errorf("token with a line end: %v", err)
	}
	config = Config{MetricsURL: "https://h:1/m?key=hunter2"}
	if err := config.Validate(); err != nil || config.Summary() != "https://h:1/m" || !config.Enabled() {
		t.Errorf("summary %q, %v", config.Summary(), err)
	}
	if off := Kind().Config; off.Enabled() || off.Validate() != nil {
		t.Error("the defaults must be off and valid")
	}
}

func FuzzPage(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds: ", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("# TYPE process_open_fds histogram\nprocess_open_fds_bucket{le=\"1\"} 2\nprocess_open_fds_sum 3\n")
	f.Fuzz(func(t *testing.T, text string) {
		config := Config{MetricsURL: "http://127.0.0.1/metrics"}
		probe := open(t, config).(*probe)
		page, err := exposition.Read("", strings.NewReader(text), probe.metrics.known.names)
		if err != nil {
			return
		}
		read, _ := probe.members.(fixed)[0].sources[0].(*pageSource).values(page, time.Unix(1e9, 0))
		for _, v := range read {
			if v.amount < 0 || v.amount-v.amount != 0 {
				t.Errorf("%s is %v", v.key(), v.amount)
			}
		}
	})
}

func FuzzAliases(f *testing.F) {
	f.Add(`soakd_api_open_fds=my_fds{kind="open, all",host=a}`)
	f.Add(`soakd_api_pool_connections{pool="x",state="idle"}=y`)
	f.Fuzz(func(_ *testing.T, text string) {
		var aliases Aliases
		if aliases.Decode(text) == nil {
			_ = aliases.validate()
		}
	})
}

// A page behind an authority of one's own is read with its certificate, and with
// no other.
func TestReadsAPageOfAnOwnAuthority(t *testing.T) {
	server := httptest.NewTLSServer(page("process_open_fds 7\n"))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	address := server.URL + "/metrics"
	if got, err := poll(t, open(t, Config{MetricsURL: address, CAFile: file})); err != nil || got["open_fds"] != 7 {
		t.Errorf("with the authority: %v, %v", got, err)
	}
	if _, err := poll(t, open(t, Config{MetricsURL: address})); probes.ReasonOf(err) != probes.ReasonTLS {
		t.Errorf("without it: %v, reason %s", err, probes.ReasonOf(err))
	}
	for _, c := range []struct{ url, file, want string }{
		{"http://h/metrics", file, "SOAKD_API_METRICS_CA_FILE: no URL of SOAKD_API_METRICS_URL starts with https://"},
		{address, "/no/such/file", "SOAKD_API_METRICS_CA_FILE: read the authorities: open /no/such/file: no such file or directory"},
		{address, os.Args[0], "SOAKD_API_METRICS_CA_FILE: " + os.Args[0] + " holds no certificate: give a file of PEM blocks"},
	} {
		config := Config{MetricsURL: c.url, CAFile: c.file}
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
