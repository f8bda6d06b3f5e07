package push

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"soakd/internal/lockedbuffer"
	"soakd/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hidden = "hunter2-hunter2"

// one is a registry with one gauge.
func one() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "soakd_one", Help: "One."})
	gauge.Set(1)
	registry.MustRegister(gauge)
	return registry
}

func config(url string, timeout time.Duration) Config {
	to := Destination{URL: url, Token: secret.New(hidden)}
	return Config{Pushgateway: to, RemoteWrite: to, Job: "soakd", Instance: "staging", Timeout: timeout}
}

func pusher(t *testing.T, cfg Config) *Pusher {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// What can go wrong is told for both destinations, without the token, in time; a redirect
// is not followed, and what cannot succeed is not tried again.
func TestPushFails(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	release := make(chan struct{})
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
		// calls is how often each destination is asked.
		calls int64
	}{
		"password": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "bad credentials "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		}, `it answered 401 ("bad credentials Bearer [redacted]"): the user or the token`, 1},
		"not there": {http.NotFound, "it answered 404", 1},
		"refused":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of order", http.StatusBadRequest) }, `it answered 400 ("out of order")`, 1},
		"broken":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "it answered 502", 3},
		"redirect": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://user:"+hidden+"@elsewhere.example/push?token="+hidden)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, `"https://elsewhere.example/push", which is not followed`, 1},
		"slow": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-release
		}, "it did not answer in time", 1},
		"unreachable": {nil, "connection refused", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, calls := "http://"+closed.Addr().String()+"/api/v1/write", atomic.Int64{}
			if test.handler != nil {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					calls.Add(1)
					test.handler(w, r)
				}))
				defer server.Close()
				url = server.URL + "/api/v1/write"
			}
			p := pusher(t, config(url, 2*time.Second))
			start := time.Now()
			err := p.Push(t.Context(), one())
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			if name == "slow" {
				close(release)
			}
			if err == nil || strings.Count(err.Error(), test.want) != 2 {
				t.Fatalf("got %v, want twice %q", err, test.want)
			}
			if strings.Contains(err.Error(), hidden) || strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte(hidden))) {
				t.Errorf("the token shows in %v", err)
			}
			if got := calls.Load(); got != 2*test.calls {
				t.Errorf("%d calls, want %d", got, 2*test.calls)
			}
			for to, figure := range p.Figures() {
				if figure != (Figure{Pushes: 1, Failures: 1}) {
					t.Errorf("%s: the account is %+v", to, figure)
				}
			}
		})
	}
}

// One destination that fails does not keep the other from getting what it should; a
// failure that passes is tried again.
func TestPushGoesOn(t *testing.T) {
	var turns atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if turns.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	cfg := config(server.URL+"/api/v1/write", 5*time.Second)
	cfg.Pushgateway.URL = "http://127.0.0.1:1"
	p := pusher(t, cfg)
	err := p.Push(t.Context(), one())
	if err == nil || !strings.Contains(err.Error(), "push to pushgateway (127.0.0.1:1)") || strings.Contains(err.Error(), "remote_write") {
		t.Errorf("got %v", err)
	}
	if figures := p.Figures(); turns.Load() != 2 || figures[RemoteWrite] != (Figure{Pushes: 1}) || figures[Pushgateway] != (Figure{1, 1}) {
		t.Errorf("%d calls, %+v", turns.Load(), figures)
	}
}

// Between its pushes the pauses double, a longer one that is asked for is kept, and the
// time limit is not overstepped.
func TestRetries(t *testing.T) {
	passing := &answerError{status: 503, text: "503"}
	for name, test := range map[string]struct {
		errs  []error
		limit time.Duration
		calls int
		took  time.Duration
		fails bool
	}{
		"at once":   {[]error{nil}, time.Minute, 1, 0, false},
		"second":    {[]error{passing, nil}, time.Minute, 2, 500 * time.Millisecond, false},
		"third":     {[]error{errors.New("reset"), passing, nil}, time.Minute, 3, 1500 * time.Millisecond, false},
		"never":     {[]error{passing, passing, passing, nil}, time.Minute, 3, 1500 * time.Millisecond, true},
		"for good":  {[]error{&answerError{status: 400}, nil}, time.Minute, 1, 0, true},
		"asked":     {[]error{&answerError{status: 429, after: 3 * time.Second}, nil}, time.Minute, 2, 3 * time.Second, false},
		"too long":  {[]error{&answerError{status: 429, after: time.Hour}, nil}, time.Minute, 1, 0, true},
		"no time":   {[]error{passing, nil}, 400 * time.Millisecond, 1, 0, true},
		"cut short": {[]error{passing, passing, nil}, 1200 * time.Millisecond, 2, 500 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.limit)
				defer cancel()
				start, calls := time.Now(), 0
				err := retried(ctx, func(context.Context) error {
					calls++
					return test.errs[calls-1]
				})
				if calls != test.calls || time.Since(start) != test.took || (err != nil) != test.fails {
					t.Errorf("%d calls in %v, %v; want %d in %v", calls, time.Since(start), err, test.calls, test.took)
				}
			})
		})
	}
}

// While a run goes on every failure is counted and only the first one said.
func TestRunSaysOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedbuffer.Buffer
		var broken atomic.Bool
		broken.Store(true)
		p := pusher(t, Config{Job: "soakd", Instance: "x", Log: slog.New(slog.NewTextHandler(&log, nil))})
		p.targets = []*target{{name: "test", host: "host", close: func() {}, send: func(context.Context, []*family, time.Time) error {
			if broken.Load() {
				return &answerError{status: 400, text: "no"}
			}
			return nil
		}}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.Run(ctx, one(), 5*time.Second)
		}()
		time.Sleep(16 * time.Second)
		broken.Store(false)
		time.Sleep(10 * time.Second)
		cancel()
		<-ended
		if got := p.Figures()["test"]; got != (Figure{Pushes: 5, Failures: 3}) {
			t.Errorf("the account is %+v", got)
		}
		if text := log.String(); strings.Count(text, "cannot be pushed") != 1 || strings.Count(text, "pushed again") != 1 {
			t.Errorf("the log is\n%s", text)
		}
	})
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://push:9091": "http://push:9091", "https://x.example/base/": "https://x.example/base",
		"http://ci:" + hidden + "@push": "", "ci:" + hidden + "@push": "", "push:9091": "", "": "", "ftp://x": "", "http://": "",
		"http://x?token=" + hidden: "", "http://x#" + hidden: "", "http://x\n" + hidden: "",
	} {
		u, err := ParseURL(text)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q is taken", text)
		case want != "" && (err != nil || u.String() != want):
			t.Errorf("%q: %v, %v", text, u, err)
		case err != nil && strings.Contains(err.Error(), hidden):
			t.Errorf("a secret shows in %v", err)
		}
	}
	if _, err := New(Config{RemoteWrite: Destination{URL: "http://x"}, Job: "soakd"}); err == nil {
		t.Error("no instance, and no error")
	}
}
