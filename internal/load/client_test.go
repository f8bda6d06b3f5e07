package load

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/load/wire"
)

func newTestClient(t *testing.T, target string, change func(*ClientConfig)) *Client {
	t.Helper()
	cfg := ClientConfig{
		Target: target, UserAgent: "soakd/test", MaxResponseBytes: 1 << 20,
		Token: func(u User, c Credentials) (string, error) {
			if c == NoToken {
				return "", nil
			}
			return "token-of-" + u.ID, nil
		},
	}
	if change != nil {
		change(&cfg)
	}
	client, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestClientSendsWhatTheContractAsksFor(t *testing.T) {
	defer goleak.VerifyNone(t)
	var got *http.Request
	var gotBody string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, gotBody = r, string(content)
	}))
	defer server.Close()
	client := newTestClient(t, server.URL+"/base/", nil)
	user := User{Index: 1, ID: "soakd-0002"}
	ids, traces := map[string]bool{}, map[string]bool{}
	conn := connect(t, client)
	post := &Request{Method: "POST", Path: "/api/v1/x?y=1", Body: []byte(`{"a":1}`), ContentType: "application/json"}
	for range 3 {
		f := send(t, client, conn, user, post)
		if got.Method != http.MethodPost || got.URL.RequestURI() != "/base/api/v1/x?y=1" || gotBody != `{"a":1}` {
			t.Errorf("got %s %s %s", got.Method, got.URL.RequestURI(), gotBody)
		}
		for name, want := range map[string]string{
			"User-Agent": "soakd/test", "Authorization": "Bearer token-of-soakd-0002", "X-User-Id": "soakd-0002", "Content-Type": "application/json",
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
			}
		}
		parent := got.Header.Get("Traceparent")
		if !regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`).MatchString(parent) || parent[3:35] != f.result.TraceID.String() {
			t.Errorf("traceparent %q does not carry the trace id %q", parent, f.result.TraceID)
		}
		ids[got.Header.Get("X-Request-Id")], traces[f.result.TraceID.String()] = true, true
	}
	if len(ids) != 3 || len(traces) != 3 {
		t.Errorf("request ids %v and trace ids %v must be unique", ids, traces)
	}
	if transfer := client.Transfer(); transfer.ConnectionsOpened != 1 || transfer.ConnectionsReused != 2 || transfer.BytesSent == 0 || transfer.BytesReceived == 0 {
		t.Errorf("want one connection, reused twice: %+v", transfer)
	}
	send(t, client, conn, user, &Request{Method: "GET", Path: "/", Credentials: NoToken})
	if got.Header.Get("Authorization") != "" || got.Header.Get("X-User-Id") != "" || got.Header.Get("Content-Type") != "" {
		t.Errorf("a request without a token identifies itself: %v", got.Header)
	}
}

func TestClientOutcomesOfTheNetwork(t *testing.T) {
	defer goleak.VerifyNone(t)
	quiet := func(s *httptest.Server) *httptest.Server {
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		return s
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := quiet(httptest.NewUnstartedServer(http.NotFoundHandler()))
	secure.StartTLS()
	defer secure.Close()
	var listen net.ListenConfig
	refusing, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + refusing.Addr().String()
	if err := refusing.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		target string
		dial   func(context.Context, string, string) (net.Conn, error)
		want   Outcome
	}{
		"refused":           {target: closed, want: Connect},
		"unknown authority": {target: secure.URL, want: TLS},
		"TLS to plain":      {target: strings.Replace(plain.URL, "http:", "https:", 1), want: TLS},
		"unknown name": {target: "http://name.invalid", want: DNS, dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "name.invalid", IsNotFound: true}}
		}},
		"black hole": {target: "http://hole.test", want: Connect, dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			client := newTestClient(t, test.target, func(cfg *ClientConfig) { cfg.Dial = test.dial })
			c := testCase("one", 1)
			c.Timeout = 50 * time.Millisecond
			if name != "black hole" {
				c.Timeout = 10 * time.Second
			}
			result, err := TryOnce(t.Context(), client, mixOf(t, c), c, User{})
			if err != nil || result.Outcome != test.want || result.Status != 0 || result.Timed() {
				t.Errorf("got %s (%s), status %d, timed %v, want %s", result.Outcome, result.Reason, result.Status, result.Timed(), test.want)
			}
		})
	}
}

// The size of an answer is that of its body as it is read, packed or not; what broke
// off counts for what came, and what never came for nothing.
func TestResultsTellTheSizeOfAnswers(t *testing.T) {
	defer goleak.VerifyNone(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/plain":
			_, _ = w.Write(make([]byte, 300))
		case "/packed":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 5000))
			_ = z.Close()
		case "/broken":
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(make([]byte, 10))
		case "/none":
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	client := newTestClient(t, server.URL, nil)
	for path, want := range map[string]int64{"/plain": 300, "/packed": 5000, "/empty": 0, "/broken": 10, "/none": 0} {
		c := testCase("one", 1)
		c.Build = func(Draw) (*Request, error) { return &Request{Method: "POST", Path: path, Body: []byte("x")}, nil }
		result, err := TryOnce(t.Context(), client, mixOf(t, c), c, User{})
		if err != nil || result.Bytes != want || (result.Status == 0) != (path == "/none") {
			t.Errorf("%s: %d bytes with status %d (%s), want %d", path, result.Bytes, result.Status, result.Reason, want)
		}
	}
}

func TestLeaksOfTheTargetsOwnPath(t *testing.T) {
	x := func(body string) *Exchange {
		return &Exchange{Request: &Request{Path: "/api/v1/x"}, Response: &Response{Status: 404, Body: []byte(body)}}
	}
	if what := leaked(x(`{"instance":"/app/api/v1/x"}`), "/app"); what != "" {
		t.Errorf("the request's own path below the base path is %s", what)
	}
	if what := leaked(x(`{"detail":"/app/main.py"}`), ""); what == "" {
		t.Error("a file of the server is not found")
	}
}

// connect makes a connection that ends with the test.
func connect(t *testing.T, client *Client) wire.Link {
	t.Helper()
	link, err := client.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.hangUp(link) })
	return link
}

func mixOf(t *testing.T, cases ...*Case) *Mix {
	t.Helper()
	mix, err := NewMix(&Workload{Name: "test", Cases: cases}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	return mix
}

// send sends one request over a connection and returns its flight, judged.
func send(t *testing.T, client *Client, link wire.Link, user User, request *Request) *flight {
	t.Helper()
	c := testCase("one", 1)
	c.Build = func(Draw) (*Request, error) { return request, nil }
	f := client.take(Arrival{Case: c}, user)
	if err := client.prepare(f, mixOf(t, c)); err != nil {
		t.Fatal(err)
	}
	f.sent = time.Now()
	done, err := client.exchange(t.Context(), link, f)
	if err != nil {
		t.Fatal(err)
	}
	client.judge(f, done, err)
	return f
}

func TestTokenErrorsAreNoTraffic(t *testing.T) {
	client := newTestClient(t, "http://127.0.0.1:1", func(cfg *ClientConfig) {
		cfg.Token = func(User, Credentials) (string, error) { return "", errors.New("no key") }
	})
	c := testCase("one", 1)
	if err := client.prepare(client.take(Arrival{Case: c}, User{}), mixOf(t, c)); err == nil || err.Error() != "case one: get a token: no key" {
		t.Errorf("got %v", err)
	}
}

func TestParseTarget(t *testing.T) {
	for _, good := range []string{"http://127.0.0.1:8000", "https://api.staging.test", "http://[::1]:80/base/path"} {
		if _, err := ParseTarget(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "127.0.0.1:8000", "api.test", "ftp://api.test", "http://", "http:///x", "http://user:hunter2@api.test",
		"http://api.test?x=1", "http://api.test#x", "http://api.test:port", "http://hunter2:\x7f@x", "://hunter2",
	} {
		_, err := ParseTarget(bad)
		if err == nil {
			t.Errorf("%q was taken", bad)
			continue
		}
		if !strings.Contains(err.Error(), "http://host:port") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v must say what would be right and no password", bad, err)
		}
	}
}
