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
				sample("soakd_api_pool_connections", 3, "api:8000", "pgxpool", "in_use"), sample("soakd_api_pool_connections", 7, "api:8000", "pgxpool", "idle"),
				sample("soakd_api_pool_connections", 10, "api:8000", "pgxpool", "max"),
			}},
		},
	}
}

func TestBanner(t *testing.T) {
	got := Banner(testStatus(), Heading{
		Judged: "its own past, 7 objectives", Kept: "none",
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
  judged by       its own past, 7 objectives
  history         none
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

// strained is a run that was held back and was not fit to judge.
func strained() Status {
	status := testStatus()
	status.TargetRate = 3.125
	status.Throttle = load.Throttle{
		Factor: 0.25, HeldUsers: 2, Holds: load.HoldCounts{User: 4, Everybody: 1, Capped: 1},
		Circuit: load.CircuitStatus{State: load.CircuitRecovering, Step: 1, Trips: 3, Relapses: 2},
	}
	status.Fitness = load.FitnessStatus{
		Windows: 6, Unfit: 2, ByReason: map[load.UnfitReason]int64{load.UnfitCPU: 1, load.UnfitLate: 2},
		Latest: []load.UnfitReason{load.UnfitLate, load.UnfitCPU},
	}
	return status
}

func TestWhatHoldsTheLoadBackIsSaid(t *testing.T) {
	status := strained()
	line := ProgressLine(status, load.Window{})
	if want := "  circuit recovering (25 % of the load), 2 users held  unfit for judgement: late, cpu  probe down: postgres\n"; !strings.HasSuffix(line, want) {
		t.Errorf("got %q, want at its end %q", line, want)
	}
	status.Throttle.Paused = true
	if line := ProgressLine(status, load.Window{}); !strings.Contains(line, "  paused, circuit recovering, 2 users held  ") {
		t.Errorf("paused: %q", line)
	}
	table := Table(status)
	for _, want := range []string{
		"\nwindows: 2 of 6 not fit to pass a judgement (late 2, cpu 1)\n",
		"\nheld back: circuit opened 3, relapsed 2; the target asked to be left alone 5 (one user 4, everybody 1, capped 1)\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	status.Closed, status.Users = true, 40
	if table := Table(status); !strings.HasPrefix(table, "\ncashflow in closed mode with 40 users against http://127.0.0.1:8000, 1m1s;") {
		t.Errorf("closed mode:\n%s", table)
	}
	status = testStatus()
	status.Fitness.Windows = 6
	if table := Table(status); !strings.Contains(table, "\nwindows: all 6 fit to pass a judgement\n") || strings.Contains(table, "held back") {
		t.Errorf("a fit run that was not held back:\n%s", table)
	}
}

func TestPageShowsTheStateOfTheLoad(t *testing.T) {
	page := func(status Status) string {
		recorder := httptest.NewRecorder()
		Page(func() Status { return status }).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		return recorder.Body.String()
	}
	fresh, paused, closed, fit := testStatus(), strained(), strained(), testStatus()
	fresh.Throttle.Factor = 1
	paused.Throttle.Paused = true
	closed.Closed, closed.Users = true, 40
	fit.Fitness.Windows = 1
	for name, test := range map[string]struct {
		status        Status
		want, without []string
	}{
		"fresh": {fresh, []string{`<b class="good">100 %</b><span>of the load allowed, circuit closed</span>`, `<b class="">-</b><span>to pass a judgement</span>`}, []string{"windows were not fit"}},
		"strained": {strained(), []string{
			`<b>3.125/s</b><span>aimed at now, 12.5/s configured</span>`, `<b class="bad">25 %</b><span>of the load allowed, circuit recovering, 2 users held</span>`,
			`<b class="bad">not fit</b><span>to pass a judgement: late, cpu</span>`, `2 of 6 windows were not fit to pass a judgement: late 2, cpu 1.`,
		}, nil},
		"paused": {paused, []string{`<b class="bad">paused</b>`}, []string{"25 %"}},
		"closed": {closed, []string{"cashflow in closed mode with 40 users against", `<b>closed</b><span>mode: 40 users, no set rate</span>`}, []string{"aimed at now"}},
		"fit":    {fit, []string{`<b class="good">fit</b><span>to pass a judgement</span>`}, nil},
	} {
		text := page(test.status)
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the page lacks %q", name, want)
			}
		}
		for _, not := range test.without {
			if strings.Contains(text, not) {
				t.Errorf("%s: the page has %q", name, not)
			}
		}
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
