package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/load/wire"
)

// arrived is a request as a server got it.
type arrived struct {
	method, uri, host, proto string
	header                   http.Header
	body                     string
	length                   int64
}

// catcher is a server that keeps what arrives.
type catcher struct {
	mu     sync.Mutex
	all    []arrived
	answer func(http.ResponseWriter, *http.Request)
}

func (c *catcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte(err.Error())
	}
	c.mu.Lock()
	c.all = append(c.all, arrived{r.Method, r.RequestURI, r.Host, r.Proto, r.Header.Clone(), string(body), r.ContentLength})
	c.mu.Unlock()
	if c.answer != nil {
		c.answer(w, r)
		return
	}
	w.WriteHeader(http.StatusInternalServerError)
}

// take returns what arrived since the last call.
func (c *catcher) take() []arrived {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

// runShell runs a line as a user would.
func runShell(t *testing.T, line string, variables ...string) string {
	t.Helper()
	shell := exec.CommandContext(t.Context(), "bash", "-c", line)
	shell.Dir = t.TempDir()
	shell.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + shell.Dir, "LC_ALL=C"}, variables...)
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%.2000s", err, out, line)
	}
	return string(out)
}

// tokensOfTests gives each kind of token a text that must not be found in a command.
func tokensOfTests(_ User, credentials Credentials) (string, error) {
	return map[Credentials]string{UserToken: "secret-good", ExpiredToken: "secret-expired", ForgedToken: "secret-forged", NoToken: ""}[credentials], nil
}

func variablesOfTests() []string {
	return []string{"TOKEN=secret-good", "EXPIRED_TOKEN=secret-expired", "FORGED_TOKEN=secret-forged", "PROXY_USER=name:secret-word"}
}

// resend sends a request with the client and again with the command for it, and holds
// what arrived against one another. It returns the command.
func resend(t *testing.T, server *catcher, client *Client, request *Request, user User) string {
	t.Helper()
	c := testCase("one", 1)
	c.Timeout = 10 * time.Second
	client.cfg.Token = tokensOfTests
	c.Build = func(Draw) (*Request, error) { return request, nil }
	f := client.take(Arrival{Case: c, User: user.Index}, user)
	defer client.giveBack(f)
	if err := client.prepare(f, mixOf(t, c)); err != nil {
		t.Fatal(err)
	}
	f.sent = time.Now()
	link := connect(t, client)
	defer client.hangUp(link)
	if _, err := client.exchange(t.Context(), link, f); err != nil {
		t.Fatal(err)
	}
	line := client.curl(f)
	if strings.Contains(line, "secret-") || strings.ContainsAny(line, "\n\r") {
		t.Errorf("a secret, or more than a line: %s", line)
	}
	out := runShell(t, line, variablesOfTests()...)
	got := server.take()
	if len(got) != 2 {
		t.Fatalf("%d requests arrived\n%s\n%s", len(got), out, line)
	}
	if !reflect.DeepEqual(got[0], got[1]) {
		t.Errorf("soakd sent\n%.2000q\nand the command\n%.2000q\n%.2000s", fmt.Sprint(got[0]), fmt.Sprint(got[1]), line)
	}
	return line
}

func TestCommandsSendTheSameAgain(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, request := range map[string]*Request{
		"a GET":                               {Method: "GET", Path: "/a?b=c&d=%20e"},
		"a GET without a token":               {Method: "GET", Path: "/a", Credentials: NoToken},
		"an expired token":                    {Method: "GET", Path: "/a", Credentials: ExpiredToken},
		"a forged token":                      {Method: "GET", Path: "/a", Credentials: ForgedToken},
		"a GET with a body":                   {Method: "GET", Path: "/a", Body: []byte(`{}`), ContentType: "application/json"},
		"a HEAD":                              {Method: "HEAD", Path: "/a"},
		"a DELETE":                            {Method: "DELETE", Path: "/a"},
		"a PUT of nothing":                    {Method: "PUT", Path: "/a"},
		"a PATCH of nothing":                  {Method: "PATCH", Path: "/a"},
		"a POST of nothing":                   {Method: "POST", Path: "/a"},
		"an empty body":                       {Method: "POST", Path: "/a", Body: []byte{}, ContentType: "application/json"},
		"characters of the shell and of curl": {Method: "GET", Path: "/a/$HOME/`id`/'x'/{1,2}/[1-3]/;|&<>()*?\"!\\"},
		"a path with dots":                    {Method: "GET", Path: "/a/../b/./c"},
		"JSON":                                {Method: "POST", Path: "/a", Body: []byte(`{"a":"it's \"$TOKEN\" \\n ` + "`id`" + ` !! é 日本 🎲"}`), ContentType: "application/json"},
		"a body like a file":                  {Method: "POST", Path: "/a", Body: []byte("@/etc/passwd"), ContentType: "text/plain"},
		"a body like an option":               {Method: "POST", Path: "/a", Body: []byte("--help"), ContentType: "text/plain"},
		"lines":                               {Method: "POST", Path: "/a", Body: []byte("a\r\nb\n\tc'd\\e\n"), ContentType: "text/plain"},
		"no type":                             {Method: "POST", Path: "/a", Body: []byte("x")},
		"a strange type":                      {Method: "POST", Path: "/a", Body: []byte("x"), ContentType: `text/plain; x='$HOME'`},
		"controls, and what turns the text around": {Method: "POST", Path: "/a", Body: []byte("\x01\x1b[31m\u202e\u200b\u00a0\u0085\ufeff\ufffd"), ContentType: "text/plain"},
		"no UTF-8":   {Method: "POST", Path: "/a", Body: every[1:], ContentType: "application/octet-stream"},
		"any byte":   {Method: "POST", Path: "/a", Body: slices.Concat([]byte("-%d%%\\n"), every, every), ContentType: "application/octet-stream"},
		"a long one": {Method: "POST", Path: "/a", Body: bytes.Repeat([]byte(`{"a":1.5},`), 6000), ContentType: "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := new(catcher)
			target := httptest.NewServer(server)
			defer target.Close()
			client := newTestClient(t, target.URL+"/base/", func(cfg *ClientConfig) {
				cfg.Compression, cfg.UserAgent = true, "soakd/test (it's a test)"
			})
			line := resend(t, server, client, request, User{ID: `it's "$HOME"`})
			if request.Credentials == UserToken && !strings.Contains(line, `-H "Authorization: Bearer $TOKEN"`) {
				t.Errorf("no token: %.2000s", line)
			}
		})
	}
}

// Any body, over the pipe and as an argument.
func TestCommandsQuoteAnyBody(t *testing.T) {
	defer goleak.VerifyNone(t)
	server := new(catcher)
	target := httptest.NewServer(server)
	defer target.Close()
	client := newTestClient(t, target.URL, nil)
	for seed := range uint64(30) {
		body := randomBody(seed)
		resend(t, server, client, &Request{Method: "POST", Path: "/", Body: body, ContentType: "x/y"}, User{})
	}
}

// randomBody mixes what is special to one quotation or another.
func randomBody(seed uint64) []byte {
	parts := []string{"'", "\\", "%", "%s", "\x00", "\n", "\r", "\t", "0", "7", "a", "f", "\"", "$x", "`", "!", "@", "é", "\xc3", "\xff", "\u202e", "\\x41", "\\101", "-", "#", " "}
	var b []byte
	rng := mixNumber(int64(seed))
	for range 40 {
		rng = mixNumber(int64(rng))
		b = append(b, parts[rng%uint64(len(parts)-int(seed%2))]...)
	}
	if seed%3 > 0 {
		b = bytes.ReplaceAll(b, []byte{0}, nil)
	}
	return b
}

// The same way: sockets, proxies, versions of HTTP, TLS with its files.
func TestCommandsTakeTheSameWay(t *testing.T) {
	post := &Request{Method: "POST", Path: "/x", Body: []byte(`{"a":1}`), ContentType: "application/json"}
	t.Run("unix socket", func(t *testing.T) {
		server := new(catcher)
		target := httptest.NewUnstartedServer(server)
		var listen net.ListenConfig
		socket := filepath.Join(t.TempDir(), "it's a socket")
		listener, err := listen.Listen(t.Context(), "unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		_ = target.Listener.Close()
		target.Listener = listener
		target.Start()
		defer target.Close()
		resend(t, server, newTestClient(t, "http://api.test:81/base", func(cfg *ClientConfig) { cfg.Socket = socket }), post, User{ID: "u"})
	})
	t.Run("HTTP/2 by prior knowledge", func(t *testing.T) {
		server := new(catcher)
		target := httptest.NewUnstartedServer(server)
		target.Config.Protocols = new(http.Protocols)
		target.Config.Protocols.SetUnencryptedHTTP2(true)
		target.Start()
		defer target.Close()
		line := resend(t, server, newTestClient(t, target.URL, func(cfg *ClientConfig) { cfg.HTTPVersion = wire.HTTP2 }), post, User{ID: "u"})
		if !strings.Contains(line, "--http2-prior-knowledge") {
			t.Error(line)
		}
	})
	t.Run("proxy", func(t *testing.T) {
		server := new(catcher)
		proxy := httptest.NewServer(server)
		defer proxy.Close()
		at, err := url.Parse(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		line := resend(t, server, newTestClient(t, "http://api.test/base", func(cfg *ClientConfig) { cfg.Proxy = "http://name:secret-word@" + at.Host }), post, User{ID: "u"})
		if !strings.Contains(line, `--proxy-user "$PROXY_USER"`) {
			t.Error(line)
		}
	})
	for name, version := range map[string]wire.Version{"TLS with HTTP/2": wire.HTTP2, "TLS with HTTP/1.1": wire.HTTP1, "TLS as it agrees": wire.Auto} {
		t.Run(name, func(t *testing.T) {
			server := new(catcher)
			target := httptest.NewUnstartedServer(server)
			target.EnableHTTP2 = true
			target.StartTLS()
			defer target.Close()
			file := filepath.Join(t.TempDir(), "ca.pem")
			authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: target.Certificate().Raw})
			if err := os.WriteFile(file, authority, 0o600); err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(target.Certificate())
			for _, serverName := range []string{"", "example.com"} { // both are in the certificate of httptest
				client := newTestClient(t, target.URL, func(cfg *ClientConfig) {
					cfg.TLS, cfg.CAFile, cfg.HTTPVersion = &tls.Config{RootCAs: roots, ServerName: serverName}, file, version
				})
				resend(t, server, client, post, User{ID: "u"})
			}
			client := newTestClient(t, target.URL, func(cfg *ClientConfig) {
				cfg.TLS, cfg.HTTPVersion = &tls.Config{InsecureSkipVerify: true}, version
			})
			resend(t, server, client, post, User{ID: "u"})
		})
	}
}

func TestCommandsSayTheWay(t *testing.T) {
	for name, test := range map[string]struct {
		target string
		change func(*ClientConfig)
		want   string
	}{
		"client certificate": {"https://api.test", func(cfg *ClientConfig) { cfg.CertFile, cfg.KeyFile = "c.pem", "k.pem" }, "--cert 'c.pem' --key 'k.pem'"},
		"not without TLS":    {"http://api.test", func(cfg *ClientConfig) { cfg.CAFile = "c.pem" }, "'http://api.test/x' -A 'soakd/test'"},
		"SOCKS":              {"http://api.test", func(cfg *ClientConfig) { cfg.Proxy = "socks5://127.0.0.1" }, "--proxy 'socks5h://127.0.0.1:1080'"},
		"a proxy's port":     {"http://api.test", func(cfg *ClientConfig) { cfg.Proxy = "http://proxy.test" }, "--proxy 'http://proxy.test:80'"},
		"IPv6":               {"http://[::1]:80", nil, "'http://[::1]:80/x' --globoff"},
		"another name": {
			"https://[::1]/base", func(cfg *ClientConfig) { cfg.TLS = &tls.Config{ServerName: "api.test"} },
			"'https://api.test/base/x' --connect-to 'api.test:443:[::1]:443' -H 'Host: [::1]'",
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := newTestClient(t, test.target, test.change)
			if line := commandOf(t, client, &Request{Method: "GET", Path: "/x"}); !strings.Contains(line, test.want) {
				t.Errorf("want %s in\n%s", test.want, line)
			}
		})
	}
}

// commandOf is the command for a request that is not sent.
func commandOf(t *testing.T, client *Client, request *Request) string {
	t.Helper()
	c := testCase("one", 1)
	c.Build = func(Draw) (*Request, error) { return request, nil }
	f := client.take(Arrival{Case: c}, User{})
	if err := client.prepare(f, mixOf(t, c)); err != nil {
		t.Fatal(err)
	}
	return client.curl(f)
}

// A large body is described, also one that only becomes large when it is written down.
func TestCommandsLeaveLargeBodiesOut(t *testing.T) {
	client := newTestClient(t, "http://api.test", nil)
	for name, test := range map[string]struct {
		body []byte
		out  bool
	}{
		"all there is room for":         {bytes.Repeat([]byte("x"), maxCurlBody-len("--data-raw ''")), false},
		"one byte more":                 {bytes.Repeat([]byte("x"), maxCurlBody-len("--data-raw ''")+1), true},
		"large":                         {make([]byte, 1<<20), true},
		"large as it is written":        {bytes.Repeat([]byte{0xff}, maxCurlBody/3), true},
		"large as it goes into a pipe":  {make([]byte, maxCurlBody/3), true},
		"small enough in quotations":    {bytes.Repeat([]byte{0xff}, maxCurlBody/5), false},
		"small enough to go into pipes": {make([]byte, maxCurlBody/5), false},
	} {
		line := commandOf(t, client, &Request{Method: "POST", Path: "/", Body: test.body, ContentType: "x/y"})
		remark := fmt.Sprintf("--data-binary @body # the body of %d bytes is left out: it would be in the file body", len(test.body))
		if strings.HasSuffix(line, remark) != test.out || len(line) > maxCurlBody+1000 {
			t.Errorf("%s: left out %v, want %v; %d bytes", name, !test.out, test.out, len(line))
		}
	}
}

// runUntil runs an engine on a target until done says so.
func runUntil(t *testing.T, client *Client, mix *Mix, done func(e *Engine, finished int64) bool) *Engine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var finished atomic.Int64
	var engine *Engine
	seen := sinkFunc(func(*Result) {
		if done(engine, finished.Add(1)) {
			cancel()
		}
	})
	engine, err := NewEngine(EngineConfig{
		Closed: &ClosedConfig{Users: 3}, Mix: mix, Client: client, User: func(i int) User { return User{Index: i, ID: fmt.Sprintf("u-%d", i)} },
		MaxInFlight: 8, Grace: 10 * time.Second, Sink: seen, Lag: new(collector), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	engine.Run(ctx)
	return engine
}

type sinkFunc func(*Result)

func (f sinkFunc) Done(r *Result) { f(r) }

// Each case and outcome has one example: the first request that came to that.
func TestExamplesAreTheFirstOfEachKind(t *testing.T) {
	defer goleak.VerifyNone(t)
	one, two := testCase("one", 1), testCase("two", 1)
	two.Statuses = []int{201}
	var n atomic.Int64
	var mu sync.Mutex
	traces := map[string]bool{}
	server := &catcher{answer: func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		traces[r.Header.Get("Traceparent")[3:35]] = true
		mu.Unlock()
		status := 500 + int(n.Add(1)%2)*3
		if r.URL.Path == "/two" {
			status = []int{201, 404, 429}[n.Load()%3]
		}
		w.WriteHeader(status)
	}}
	target := httptest.NewServer(server)
	defer target.Close()
	engine := runUntil(t, newTestClient(t, target.URL, func(cfg *ClientConfig) { cfg.Token = tokensOfTests }), mixOf(t, one, two), func(_ *Engine, finished int64) bool { return finished > 300 })
	var kinds []string
	for _, example := range engine.Examples() {
		kinds = append(kinds, example.Case.Name+" "+string(example.Outcome))
		mu.Lock()
		known := traces[example.TraceID.String()]
		mu.Unlock()
		if !known || example.At.IsZero() || !strings.HasPrefix(example.Reason, "status ") ||
			!strings.Contains(example.Curl, target.URL+"/"+example.Case.Name+"'") || !strings.Contains(example.Curl, example.TraceID.String()) || strings.Contains(example.Curl, "secret") {
			t.Errorf("%+v", example)
		}
	}
	if want := []string{"one server_error", "two rejected_valid", "two rate_limited"}; !slices.Equal(kinds, want) {
		t.Errorf("examples of %q, want %q", kinds, want)
	}
}

// A request that was never sent, for want of a connection, can be sent all the same.
func TestExamplesOfWhatCouldNotBeSent(t *testing.T) {
	defer goleak.VerifyNone(t)
	dial := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	}
	client := newTestClient(t, "http://api.test", func(cfg *ClientConfig) { cfg.Dial, cfg.Token = dial, tokensOfTests })
	c := testCase("one", 1)
	c.Build = func(d Draw) (*Request, error) {
		return &Request{Method: "POST", Path: "/saved", Body: []byte(d.User.ID)}, nil
	}
	mix := mixOf(t, c)
	engine, err := NewEngine(EngineConfig{
		Arrivals: steady(t, "100"), Mix: mix, Client: client, User: func(i int) User { return User{Index: i, ID: "me"} },
		MaxInFlight: 4, MaxWaiting: 100, Duration: 200 * time.Millisecond, Grace: time.Second, Sink: sinkFunc(func(*Result) {}), Lag: new(collector), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	engine.Run(t.Context())
	examples := engine.Examples()
	if len(examples) != 1 || examples[0].Outcome != Connect || !strings.Contains(examples[0].Curl, "'http://api.test/saved'") ||
		!strings.Contains(examples[0].Curl, "--data-raw 'me'") || !strings.Contains(examples[0].Curl, examples[0].TraceID.String()) {
		t.Errorf("got %+v", examples)
	}
}

// A failure of a kind of which there is an example allocates nothing.
func TestFurtherFailuresCostNothing(t *testing.T) {
	client := newTestClient(t, "http://api.test", nil)
	c := testCase("one", 1)
	workload := &Workload{Name: "test", Cases: []*Case{c}}
	cfg := &EngineConfig{Client: client, Mix: mixOf(t, c)}
	kept := newExamples(workload)
	f := client.take(Arrival{Case: c}, User{})
	if err := client.prepare(f, cfg.Mix); err != nil {
		t.Fatal(err)
	}
	f.result = Result{Case: c, Outcome: Reset, Reason: "broken"}
	kept.keep(cfg, f, &f.result)
	if n := testing.AllocsPerRun(1000, func() { kept.keep(cfg, f, &f.result) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if list := kept.list(); len(list) != 1 || list[0].Reason != "broken" {
		t.Errorf("got %+v", list)
	}
}

// BenchmarkKeepExample tells what a failure costs whose kind has an example.
func BenchmarkKeepExample(b *testing.B) {
	c := testCase("one", 1)
	kept := newExamples(&Workload{Name: "bench", Cases: []*Case{c}})
	f := &flight{c: c}
	result := &Result{Case: c, Outcome: Reset}
	kept.kept[0][slices.Index(kept.outcomes, Reset)].Store(&Example{})
	b.ReportAllocs()
	for b.Loop() {
		kept.keep(nil, f, result)
	}
}
