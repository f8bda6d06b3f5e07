package exporter

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/load"
	"soakd/internal/load/schedule"
)

// fakeLoad remembers what it was told, and refuses rates above 100.
type fakeLoad struct {
	rate   schedule.Rate
	paused bool
	calls  int
}

func (f *fakeLoad) SetRate(rate schedule.Rate) error {
	f.calls++
	if rate > 100_000_000 {
		return errors.New("that is above the ceiling of 100")
	}
	f.rate = rate
	return nil
}

func (f *fakeLoad) Pause() error {
	f.calls++
	f.paused = true
	return nil
}

func (f *fakeLoad) Resume() error {
	f.calls++
	f.paused = false
	return nil
}

func (f *fakeLoad) TargetRate() float64 { return f.rate.PerSecond() }

func (f *fakeLoad) Throttle() load.Throttle {
	return load.Throttle{Paused: f.paused, Factor: 1, Circuit: load.CircuitStatus{State: load.CircuitClosed}}
}

// lifecycleHandler serves nothing but the changes of a load.
func lifecycleHandler(control LoadControl) http.Handler {
	mux := http.NewServeMux()
	handleLifecycle(mux, control)
	return mux
}

func ask(t *testing.T, handler http.Handler, method, url, body string, header ...string) (code int, text string, headers http.Header) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.String(), recorder.Header()
}

func TestSetRateReadsEveryForm(t *testing.T) {
	for _, test := range []struct {
		url, body string
		want      schedule.Rate
	}{
		{"/-/rate", "20", 20_000_000},
		{"/-/rate", " 0.5\n", 500_000},
		{"/-/rate", `{"rate":12.000001}`, 12_000_001},
		{"/-/rate", ` {"rate": "30"} `, 30_000_000},
		{"/-/rate?value=100", "", 100_000_000},
	} {
		control := &fakeLoad{}
		code, text, headers := ask(t, lifecycleHandler(control), http.MethodPut, test.url, test.body)
		if code != http.StatusOK || control.rate != test.want || headers.Get("Content-Type") != "application/json" {
			t.Errorf("%s %q: %d, rate %v, want %v: %s", test.url, test.body, code, control.rate, test.want, text)
		}
		if want := `{"target_rate":` + test.want.String() + `,"factor":1,"paused":false,"circuit":"closed"}` + "\n"; text != want {
			t.Errorf("got %s want %s", text, want)
		}
	}
}

func TestBadRatesSayWhatIsRight(t *testing.T) {
	const right = `; the rate is the body, as text or as {"rate":200}, or ?value=200` + "\n"
	for _, test := range []struct{ url, body, want string }{
		{"/-/rate", "", `"" is not a rate: give arrivals a second`},
		{"/-/rate", "many", `"many" is not a rate: give arrivals a second`},
		{"/-/rate", "0", `"0" is not a rate: give arrivals a second`},
		{"/-/rate", "-5", `"-5" is not a rate`},
		{"/-/rate", "2000000", `"2000000" is not a rate`},
		{"/-/rate", `{"rate":"fast"}`, "read the JSON: "},
		{"/-/rate", `{"rate":null}`, `"" is not a rate`},
		{"/-/rate", `{"rat":5}`, `read the JSON: json: unknown field "rat"`},
		{"/-/rate", `{"rate":5}{}`, "there is more behind the JSON"},
		{"/-/rate", strings.Repeat(" ", maxRateBody+1), "a body of more than 1024 bytes is no rate"},
		{"/-/rate?value=5", "5", "the rate is given twice: give it once"},
		{"/-/rate?value=5&value=6", "", "the rate is given twice: give it once"},
		{"/-/rate?vlaue=5", "5", "the query has more than a value"},
		{"/-/rate?value=%zz", "", "the query cannot be read"},
	} {
		control := &fakeLoad{}
		code, text, _ := ask(t, lifecycleHandler(control), http.MethodPut, test.url, test.body)
		if code != http.StatusBadRequest || !strings.HasPrefix(text, test.want) || !strings.HasSuffix(text, right) || control.calls > 0 {
			t.Errorf("%s %q: %d %s, %d calls", test.url, test.body, code, text, control.calls)
		}
	}
}

func TestLifecycleStatuses(t *testing.T) {
	control := &fakeLoad{}
	enabled, disabled := lifecycleHandler(control), lifecycleHandler(nil)
	if code, text, _ := ask(t, enabled, http.MethodPut, "/-/rate", "101"); code != http.StatusConflict || text != "that is above the ceiling of 100\n" {
		t.Errorf("above the ceiling: %d %s", code, text)
	}
	if code, text, _ := ask(t, enabled, http.MethodPost, "/-/pause", ""); code != http.StatusOK || !control.paused || !strings.Contains(text, `"paused":true`) {
		t.Errorf("pause: %d %s", code, text)
	}
	if code, text, _ := ask(t, enabled, http.MethodPost, "/-/resume", ""); code != http.StatusOK || control.paused || !strings.Contains(text, `"paused":false`) {
		t.Errorf("resume: %d %s", code, text)
	}
	calls := control.calls
	for path, right := range map[string]string{"/-/rate": http.MethodPut, "/-/pause": http.MethodPost, "/-/resume": http.MethodPost} {
		for _, handler := range []http.Handler{enabled, disabled} {
			if code, _, headers := ask(t, handler, http.MethodGet, path, ""); code != http.StatusMethodNotAllowed || headers.Get("Allow") != right {
				t.Errorf("GET %s: %d, Allow %q", path, code, headers.Get("Allow"))
			}
		}
		if code, text, _ := ask(t, disabled, right, path, "5"); code != http.StatusForbidden || !strings.Contains(text, "SOAKD_ENABLE_LIFECYCLE=true") {
			t.Errorf("not enabled: %s: %d %s", path, code, text)
		}
		// A page elsewhere makes the browser of somebody who may send this.
		if code, text, _ := ask(t, enabled, right, path, "5", "Sec-Fetch-Site", "cross-site", "Origin", "http://evil.test"); code != http.StatusForbidden {
			t.Errorf("from another site: %s: %d %s", path, code, text)
		}
	}
	if control.calls != calls {
		t.Errorf("%d changes were made by requests that were refused", control.calls-calls)
	}
}

// What changes the load is behind the same password as everything else.
func TestLifecycleIsBehindThePassword(t *testing.T) {
	// bcrypt of "open sesame" at the least cost.
	const hash = "$2a$04$00tNVMeT12VjZxsdcOj9MelYUMWAZwhbttkyb1nIe09rPnGBGK1aG"
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte("basic_auth_users: {operator: "+hash+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	control := &fakeLoad{}
	recorder := load.NewRecorder(&load.Workload{Name: "none"}, time.Now())
	server, err := NewServer(t.Context(), ServerConfig{
		Listen: "127.0.0.1:0", WebConfigFile: file, Metrics: NewMetrics(recorder), Page: http.NotFoundHandler(),
		Load: control, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- server.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for password, want := range map[string]int{"": http.StatusUnauthorized, "wrong": http.StatusUnauthorized, "open sesame": http.StatusOK} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL()+"/-/rate", strings.NewReader("7"))
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			request.SetBasicAuth("operator", password)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != want {
			t.Errorf("with %q: %s %s (%v), want %d", password, response.Status, text, err, want)
		}
		_ = response.Body.Close()
	}
	if control.calls != 1 || control.rate != 7_000_000 {
		t.Errorf("%d changes, rate %v; want one, to 7", control.calls, control.rate)
	}
}
