package report

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"soakd/internal/load"
	"soakd/internal/probes"
)

func sample(name string, value float64, labels ...string) probes.Sample {
	return probes.Sample{Desc: &probes.Desc{Name: name}, Labels: labels, Value: value}
}

func testStatus() Status {
	failed := load.CaseSummary{
		Name: "forecast", Class: "standard", Finished: 10, OK: 7,
		Failures:     []load.OutcomeCount{{Outcome: load.ServerError, Count: 2, Reason: "status 500, expected [200]"}, {Outcome: load.Timeout, Count: 1}},
		ResponseTime: load.Quantiles{Timed: 10, P50: 1500 * time.Microsecond, P95: 250 * time.Millisecond, P99: 2 * time.Second, Max: 100 * time.Second},
		Duration:     load.Quantiles{Timed: 10, P50: 900 * time.Microsecond, P99: 1900 * time.Millisecond},
	}
	unused := load.CaseSummary{Name: "history", Class: "standard"}
	all := failed
	all.Name = ""
	return Status{
		Target: "http://127.0.0.1:8000", Workload: "cashflow", Rate: 12.5, Elapsed: 61 * time.Second, Duration: 2 * time.Minute,
		Counts: load.Counts{Scheduled: 20, Sent: 12, Waiting: 3, InFlight: 2, Finished: 10, Dropped: map[load.DropReason]int64{load.DropLate: 5}},
		Cases:  []load.CaseSummary{failed, unused}, All: all,
		Probes: []probes.Status{
			{Probe: "postgres", Known: true, Err: errors.New("connection refused")},
			{Probe: "redis", Known: true, Success: true, LastPoll: time.Now(), LastSuccess: time.Now(), Samples: []probes.Sample{sample("soakd_redis_keyspace_hit_ratio", 0.874, "n:1")}},
			{Probe: "api", Known: true, Success: true, Samples: []probes.Sample{
				sample("soakd_api_pool_connections", 3, "pgxpool", "in_use"), sample("soakd_api_pool_connections", 7, "pgxpool", "idle"),
				sample("soakd_api_pool_connections", 10, "pgxpool", "max"),
			}},
		},
	}
}

func TestBanner(t *testing.T) {
	got := Banner(testStatus(), Heading{
		URL: "http://127.0.0.1:9470", Auth: "tokens minted", Users: 20,
		Load: "open model, 12.5 arrivals a second, even spacing", Connection: "HTTP/1.1, through the proxy http://proxy.test:3128",
	}, []Watched{{"postgres", "127.0.0.1:5432/x as y"}, {"redis", "off"}})
	want := `soakd dev
  target          http://127.0.0.1:8000
  traffic         cashflow, 20 virtual users (tokens minted), for 2m0s
  load            open model, 12.5 arrivals a second, even spacing
  connections     HTTP/1.1, through the proxy http://proxy.test:3128
  probe postgres  127.0.0.1:5432/x as y
  probe redis     off
  metrics         http://127.0.0.1:9470/metrics
  page            http://127.0.0.1:9470/

`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestProgressLine(t *testing.T) {
	window := load.Window{Length: 5 * time.Second, CaseSummary: testStatus().All, Dropped: 5}
	window.ResponseTime.AtLeast = true
	got := ProgressLine(testStatus(), window)
	want := "   1m1s     2.0/s  in flight 2  p50/p95/p99 ≥1.5ms/250ms/2s  errors server_error=2 timeout=1  dropped 5  waiting 3  hit ratio 87%  pool 3/10  probe down: postgres\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	quiet := Status{Elapsed: 5 * time.Second}
	got = ProgressLine(quiet, load.Window{})
	want = "     5s     0.0/s  in flight 0  p50/p95/p99 -  errors 0  dropped 0  hit ratio -  pool -\n"
	if got != want {
		t.Errorf("with nothing known, got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTable(t *testing.T) {
	got := Table(testStatus())
	want := `
cashflow at 12.5 arrivals a second against http://127.0.0.1:8000, 1m1s; times from the intended start, sent: from the send

      case  requests  ok  failed    p50    p95  p99   max  sent p50  sent p99
  forecast        10   7       3  1.5ms  250ms   2s  100s     900µs      1.9s
       all        10   7       3  1.5ms  250ms   2s  100s     900µs      1.9s

arrivals: 20 scheduled = 12 sent + 3 waiting + 5 dropped (late 5)
requests: 12 sent = 10 finished + 2 in flight + 0 cut
what was dropped or cut is missing above, and it is the slowest: the times are lower bounds
failures:
  forecast: 2 server_error, first: status 500, expected [200]
  forecast: 1 timeout, first: -
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if empty := Table(Status{}); !strings.Contains(empty, "no failures") || !strings.Contains(empty, "all         0") {
		t.Errorf("an empty run:\n%s", empty)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0µs", 12 * time.Microsecond: "12µs", 999 * time.Microsecond: "999µs", time.Millisecond: "1ms", 1234 * time.Microsecond: "1.23ms",
		999_999 * time.Microsecond: "999ms", time.Second: "1s", 12_345 * time.Millisecond: "12.3s", 123_456 * time.Millisecond: "123s",
	} {
		if got := span(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func TestPage(t *testing.T) {
	status := testStatus()
	status.Cases[0].Failures[0].Reason = "<script>alert(1)</script>"
	recorder := httptest.NewRecorder()
	Page(func() Status { return status }).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	text := recorder.Body.String()
	if recorder.Code != http.StatusOK {
		t.Fatalf("status %d: %s", recorder.Code, text)
	}
	for _, want := range []string{"12.5 arrivals a second", "connection refused", "server_error × 2", "≥ 250ms", "87%", "3/10", "soakd_api_pool_connections", "30 %"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "<script") || strings.Contains(text, "history") {
		t.Error("the page holds what a target wrote as markup, or a case without requests")
	}
	if policy := recorder.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("policy %q", policy)
	}
}
