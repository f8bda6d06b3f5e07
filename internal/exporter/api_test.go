package exporter

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge"
	"soakd/internal/judge/window"
)

// judgedMinutes is a judge that saw some minutes of one case.
func judgedMinutes(t *testing.T, minutes int) *judge.Judge {
	t.Helper()
	j, err := judge.New(judge.Config{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for i := range minutes * 6 {
		times := new(histogram.Histogram)
		for range 99 {
			times.Observe(20 * time.Millisecond)
		}
		times.Observe(time.Second)
		j.Window(&window.Window{
			Start: start.Add(time.Duration(i) * window.Short), Length: window.Short, Covered: window.Short, Fit: window.Short, Rate: 10, Version: "v1", Sent: 100,
			Cases: []window.Case{{Name: "forecast", Class: "standard", Outcomes: []window.Count{{Name: "check_failed", N: 1}, {Name: "ok", N: 99}}, Checks: []window.Count{{Name: "status", N: 1}}, Times: times}},
		})
	}
	return j
}

// served asks an API of a judge.
func served(t *testing.T, j Judgement, writable bool) func(method, path, body string) (int, map[string]any) {
	t.Helper()
	mux := http.NewServeMux()
	handleAPI(mux, API{Judgement: j, Status: func() any { return map[string]string{"target": "http://127.0.0.1:1"} }, Writable: writable})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return func(method, path, body string) (int, map[string]any) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		if err := json.Unmarshal(text, &document); err != nil || answer.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
		return answer.StatusCode, document
	}
}

func TestAPIWindows(t *testing.T) {
	ask := served(t, judgedMinutes(t, 3), false)
	_, d := ask(http.MethodGet, "/api/v1/windows?level=1m&n=2&case=forecast", "")
	windows, _ := d["windows"].([]any)
	if len(windows) != 2 || d["level_seconds"] != 60.0 {
		t.Fatalf("%v", d)
	}
	last, _ := windows[1].(map[string]any)
	if last["start"] != "2026-01-02T03:02:00Z" || last["fit_seconds"] != 60.0 || last["version"] != "v1" || last["sent"] != 600.0 {
		t.Errorf("window %v", last)
	}
	cases, _ := last["cases"].([]any)
	one, _ := cases[0].(map[string]any)
	p50, _ := one["p50_seconds"].(float64)
	if one["requests"] != 600.0 || one["failed"] != 6.0 || one["timed"] != 600.0 || p50 < 0.0198 || p50 > 0.0202 || one["max_seconds"] != 1.0 {
		t.Errorf("case %v", one)
	}
	if _, d := ask(http.MethodGet, "/api/v1/windows?level=10s&case=other", ""); len(d["windows"].([]any)) != 18 {
		t.Errorf("%v", d)
	}
}

func TestAPIVerdict(t *testing.T) {
	ask := served(t, judgedMinutes(t, 1), false)
	_, d := ask(http.MethodGet, "/api/v1/verdict?whole=true", "")
	if d["windows"] != 6.0 || d["fit_windows"] != 6.0 || d["requests"] != 600.0 || d["failed"] != 6.0 || d["version"] != "v1" || d["text"] == "" {
		t.Errorf("%v", d)
	}
	if checks, _ := d["checks"].([]any); len(checks) < 6 {
		t.Errorf("checks %v", checks)
	}
}

func TestAPIOutagesAndComparison(t *testing.T) {
	ask := served(t, judgedMinutes(t, 2), false)
	if _, d := ask(http.MethodGet, "/api/v1/outages", ""); len(d["outages"].([]any)) != 0 {
		t.Errorf("%v", d)
	}
	if _, d := ask(http.MethodGet, "/api/v1/comparison", ""); d["comparison"] != nil || d["final"] != false {
		t.Errorf("%v", d)
	}
	if status, _ := ask(http.MethodGet, "/api/v1/outages?x=1", ""); status != 400 {
		t.Errorf("status %d", status)
	}
}

func TestAPISaysWhatIsWrong(t *testing.T) {
	ask := served(t, judgedMinutes(t, 1), true)
	for path, want := range map[string]string{
		"/api/v1/windows?level=2m":   `level: "2m" must be 10s, 1m, 5m or 1h`,
		"/api/v1/windows?n=0":        `n: "0" is not a whole number from 1 to 1000`,
		"/api/v1/events?after=-1":    `after: "-1" is not a whole number`,
		"/api/v1/findings?open=yes":  `open: "yes" is neither true nor false`,
		"/api/v1/findings?opne=true": `parameter "opne" is not known`,
		"/api/v1/verdict?whole=2":    `whole: "2" is neither`,
	} {
		if status, d := ask(http.MethodGet, path, ""); status != 400 || !strings.Contains(d["error"].(string), want) {
			t.Errorf("%s: %d %v, want %q", path, status, d, want)
		}
	}
	for body, want := range map[string]string{
		`{}`: "text: it must be one line of 1 to 500 bytes", `{"text":"a\nb"}`: "text: it must be one line", `{"txt":"x"}`: `unknown field "txt"`,
		`{"text":"x","at":"2001-01-01T00:00:00Z"}`: "at: it must be within 24h0m0s of now", `no`: "the body must be JSON such as",
		`{"text":"x","version":"` + strings.Repeat("v", 65) + `"}`: "version: it must be one line of at most 64 bytes",
		`{"text":"x"}{"text":"y"}`:                                 "the body goes on after the event", `{"text":"x"} y`: "the body goes on after the event",
		`{"text":"x","kind":"deploy"}`: `kind: "deploy" must be annotation or drill`, `{"text":"x","duration":"1m"}`: "they belong to a drill",
		`{"text":"x","kind":"drill","version":"v2"}`: "a drill brings none", `{"text":"x","kind":"drill","duration":"ten"}`: `"ten" is not one such as 10m`,
		`{"text":"x","kind":"drill","duration":"-1m"}`: "more than nothing", `{"text":"x","kind":"drill","duration":"25h"}`: "at most 24h0m0s",
		`{"text":"x","kind":"drill","duration":"0s"}`:                                "more than nothing",
		`{"text":"x","kind":"drill","duration":"1m","until":"2026-01-01T00:00:00Z"}`: "give one of them",
		`{"text":"a\u0085b"}`: "text: it must be one line", `{"text":"a\u2028b"}`: "text: it must be one line",
		`{"text":"` + strings.Repeat("x", 9000) + `"}`: "request body too large",
	} {
		if status, d := ask(http.MethodPost, "/api/v1/events", body); status != 400 || !strings.Contains(d["error"].(string), want) {
			t.Errorf("%.40s: %d %v, want %q", body, status, d, want)
		}
	}
}

func TestEventsCanBePostedWhereThatIsEnabled(t *testing.T) {
	j := judgedMinutes(t, 0)
	if status, d := served(t, j, false)(http.MethodPost, "/api/v1/events", `{"text":"deployed"}`); status != 403 || len(j.Events(0)) != 0 {
		t.Errorf("%d %v", status, d)
	}
	ask := served(t, j, true)
	if status, _ := ask(http.MethodPost, "/api/v1/events", `{"text":"deployed v2","version":"v2"}`); status != 201 {
		t.Errorf("status %d", status)
	}
	_, d := ask(http.MethodGet, "/api/v1/events?after=0", "")
	events, _ := d["events"].([]any)
	one, _ := events[len(events)-1].(map[string]any)
	if one["kind"] != "annotation" || one["text"] != "deployed v2" || one["version"] != "v2" || one["seq"] != 1.0 {
		t.Errorf("%v", d)
	}
	if _, d := ask(http.MethodGet, "/api/v1/events?after=1", ""); len(d["events"].([]any)) != 0 {
		t.Errorf("%v", d)
	}
}

// A page of another site cannot make a browser post events.
func TestEventsFromAnotherSiteAreRefused(t *testing.T) {
	j := judgedMinutes(t, 0)
	mux := http.NewServeMux()
	handleAPI(mux, API{Judgement: j, Writable: true})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/events", strings.NewReader(`{"text":"x"}`))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || len(j.Events(0)) != 0 {
		t.Errorf("status %d, %d events", w.Code, len(j.Events(0)))
	}
}

// Events that are posted without end do not push out what was found.
func TestEventsAreNotPostedWithoutEnd(t *testing.T) {
	j := judgedMinutes(t, 0)
	ask := served(t, j, true)
	for i := range 2 * maxEvents {
		status, d := ask(http.MethodPost, "/api/v1/events", `{"text":"x","at":"`+time.Now().In(time.FixedZone("", 3600)).Format(time.RFC3339)+`"}`)
		switch {
		case i < maxEvents && (status != 201 || !strings.HasSuffix(d["at"].(string), "Z")):
			t.Fatalf("%d: %d %v", i, status, d)
		case i > maxEvents && (status != 429 || !strings.Contains(d["error"].(string), "more than 60 events in 1h0m0s")):
			t.Fatalf("%d: %d %v", i, status, d)
		}
	}
}

func TestBudget(t *testing.T) {
	var b budget
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	taken := 0
	for i := range 10 * 3600 { // ten hours of one each second
		if b.take(now.Add(time.Duration(i) * time.Second)) {
			taken++
		}
	}
	if taken != 11*maxEvents-1 && taken != 11*maxEvents {
		t.Errorf("%d were taken", taken)
	}
	b.take(now) // a clock that is set back
	if !b.take(now.Add(eventsPer)) {
		t.Error("nothing is left an hour later")
	}
}

// A drill is posted with its end, or with how long it lasts, or with neither.
func TestDrillsCanBePosted(t *testing.T) {
	j := judgedMinutes(t, 0)
	ask := served(t, j, true)
	at := time.Now().UTC().Truncate(time.Second)
	for body, lasts := range map[string]time.Duration{
		`"duration":"10m"`: 10 * time.Minute, `"until":"` + at.Add(time.Hour).Format(time.RFC3339) + `"`: time.Hour, `"version":""`: 0,
	} {
		status, d := ask(http.MethodPost, "/api/v1/events", `{"kind":"drill","text":"Redis stopped","at":"`+at.Format(time.RFC3339)+`",`+body+`}`)
		events := j.Events(0)
		e := events[len(events)-1]
		if status != 201 || d["kind"] != "drill" || e.Kind != judge.Drill || e.Text != "Redis stopped" || !e.At.Equal(at) {
			t.Errorf("%s: %d %v, %+v", body, status, d, e)
		}
		if lasts == 0 && !e.Until.IsZero() || lasts > 0 && !e.Until.Equal(at.Add(lasts)) {
			t.Errorf("%s: until %v", body, e.Until)
		}
	}
}
