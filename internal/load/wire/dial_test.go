package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const secret = "hunter2"

// httpProxy is a small HTTP proxy: it answers in its own name to what is sent to
// it whole, and connects to where CONNECT asks for.
func httpProxy(t *testing.T, want string) (address string, seen *sync.Map) {
	t.Helper()
	seen = new(sync.Map)
	return serve(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		for {
			request, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, request.Body)
			seen.Store(request.Method+" "+request.RequestURI, request.Header.Get("Proxy-Authorization"))
			switch {
			case request.Header.Get("Proxy-Authorization") != want:
				_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			case request.Method == http.MethodConnect:
				pass(conn, request.RequestURI, br)
				return
			default:
				_, _ = io.WriteString(conn, sized("", "by the proxy"))
			}
		}
	}), seen
}

// pass connects to address and carries everything to and fro.
func pass(conn net.Conn, address string, from io.Reader) {
	onward, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer onward.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	carry(conn, from, onward)
}

func carry(conn net.Conn, from io.Reader, onward net.Conn) {
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, onward)
		_ = conn.Close()
	})
	_, _ = io.Copy(onward, from)
	_ = onward.Close()
	back.Wait()
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// speak sends a request over whatever the dialer gives.
func speak(d *Dialer, a *Answer) error {
	link, err := d.Dial(context.Background())
	if err != nil {
		return err
	}
	if link.HTTP2 != nil {
		defer link.HTTP2.Close()
		return exchange2(link.HTTP2, get("/x?y=1"), a, patience)
	}
	defer link.Conn.Close()
	return exchange(link.Conn, get("/x?y=1"), a, patience)
}

func TestHTTPProxy(t *testing.T) {
	const right = "Basic dXNlcjpodW50ZXIy" // user:hunter2
	one, both := secure(t, false, nil), secure(t, true, nil)
	prior := speaking2(t, 10, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	closed := serve(t, func(net.Conn) {})
	address, seen := httpProxy(t, right)
	for name, test := range map[string]struct {
		target string
		server *httptest.Server
		user   string
		proxy  string
		h2     bool
		kind   Kind
		text   string
		body   string
		seen   string
	}{
		"plain":            {target: "http://target.test/base", user: "user:" + secret, body: "by the proxy", seen: "GET http://target.test/base/x?y=1"},
		"plain, port":      {target: "http://target.test:81", user: "user:" + secret, body: "by the proxy", seen: "GET http://target.test:81/x?y=1"},
		"plain, refused":   {target: "http://target.test", user: "user:wrong" + secret, kind: Connect, text: "407"},
		"plain, no user":   {target: "http://target.test", kind: Connect, text: "user and a password"},
		"tunnel":           {target: one.URL, server: one, user: "user:" + secret, body: "HTTP/1.1", seen: "CONNECT " + strings.TrimPrefix(one.URL, "https://")},
		"tunnel, HTTP/2":   {target: both.URL, server: both, user: "user:" + secret, body: "HTTP/2.0"},
		"tunnel for h2c":   {target: prior.URL, h2: true, user: "user:" + secret, body: "HTTP/2.0", seen: "CONNECT " + strings.TrimPrefix(prior.URL, "http://")},
		"tunnel, refused":  {target: one.URL, server: one, user: "user:wrong" + secret, kind: Connect, text: "407"},
		"tunnel, no user":  {target: one.URL, server: one, kind: Connect, text: "user and a password"},
		"tunnel, no way":   {target: "https://127.0.0.1:1", user: "user:" + secret, kind: Connect, text: "status 502"},
		"no proxy there":   {target: one.URL, server: one, proxy: "127.0.0.1:1", user: "user:" + secret, kind: Connect, text: "connect to the proxy"},
		"closes at once":   {target: one.URL, server: one, proxy: closed, user: "user:" + secret, kind: Connect, text: "ask the proxy for a tunnel"},
		"wrong authority":  {target: one.URL, user: "user:" + secret, kind: TLS, text: "unknown authority"},
		"speaks otherwise": {target: one.URL, proxy: serve(t, waits(func(conn net.Conn) { _, _ = io.WriteString(conn, "220 smtp.test\r\n\r\n") })), user: "user:" + secret, kind: Connect, text: "ask the proxy for a tunnel"},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := address
			if test.proxy != "" {
				proxy = test.proxy
			}
			if test.user != "" {
				proxy = test.user + "@" + proxy
			}
			d := newDialer(t, test.target, func(cfg *Config) {
				cfg.Proxy = parse(t, "http://"+proxy)
				if test.server != nil {
					cfg.TLS = trusting(test.server)
				}
				if test.h2 {
					cfg.Version = HTTP2
				}
			})
			var a Answer
			err := speak(d, &a)
			if kindOf(t, err) != test.kind || (err == nil && string(a.Body) != test.body) {
				t.Fatalf("%q, %v, want kind %d and %q", a.Body, err, test.kind, test.body)
			}
			if err != nil && (!strings.Contains(err.Error(), test.text) || holdsSecret(err)) {
				t.Errorf("the error must say %q and no password: %v", test.text, err)
			}
			if test.seen != "" {
				if credentials, ok := seen.Load(test.seen); !ok || credentials != right {
					t.Errorf("the proxy did not see %q with the credentials", test.seen)
				}
			}
		})
	}
}

// holdsSecret looks for the password in an error and in what it stands for in a header.
func holdsSecret(err error) bool {
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		text += fmt.Sprintf("%v %#v", inner, inner)
	}
	return strings.Contains(text, secret) || strings.Contains(text, "dXNlcj")
}

// A proxy that never answers is given up when the dial is, not at its time limit.
func TestTunnelEndsWithTheDial(t *testing.T) {
	asked := make(chan struct{})
	address := serve(t, waits(func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1))
		close(asked)
	}))
	d := newDialer(t, "https://target.test", func(cfg *Config) {
		cfg.Proxy, cfg.DialTimeout = parse(t, "http://"+address), time.Hour
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := d.Dial(ctx); kindOf(t, err) != Connect {
		t.Errorf("got %v", err)
	}
}

// socksProxy is a small SOCKS5 server (RFC 1928, RFC 1929).
func socksProxy(t *testing.T, user, password string, names *sync.Map) (address string) {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		field := func() []byte { // a length and as many bytes
			n, err := br.ReadByte()
			if err != nil {
				return nil
			}
			b := make([]byte, n)
			_, _ = io.ReadFull(br, b)
			return b
		}
		_, _ = br.ReadByte() // version 5
		methods := field()
		method := byte(0)
		if user != "" {
			method = 2
		}
		if !strings.Contains(string(methods), string(rune(method))) {
			_, _ = conn.Write([]byte{5, 0xff})
			return
		}
		_, _ = conn.Write([]byte{5, method})
		if user != "" {
			_, _ = br.ReadByte() // version 1
			if string(field()) != user || string(field()) != password {
				_, _ = conn.Write([]byte{1, 1})
				return
			}
			_, _ = conn.Write([]byte{1, 0})
		}
		var head [4]byte
		_, _ = io.ReadFull(br, head[:])
		var host string
		if head[3] == 3 {
			host = string(field())
		} else {
			var ip [4]byte
			_, _ = io.ReadFull(br, ip[:])
			host = net.IP(ip[:]).String()
		}
		var port [2]byte
		_, _ = io.ReadFull(br, port[:])
		names.Store(host, true)
		if host == "target.test" {
			host = "127.0.0.1"
		}
		onward, err := new(net.Dialer).DialContext(context.Background(), "tcp", net.JoinHostPort(host, fmt.Sprint(int(port[0])<<8|int(port[1]))))
		if err != nil {
			_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}) // refused
			return
		}
		_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		carry(conn, br, onward)
	})
}

func TestSOCKSProxy(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host+r.RequestURI) }))
	defer server.Close()
	https := secure(t, true, nil)
	named := "target.test:" + parse(t, server.URL).Port()
	names := new(sync.Map)
	open, guarded := socksProxy(t, "", "", names), socksProxy(t, "user", secret, names)
	for name, test := range map[string]struct {
		target, proxy string
		kind          Kind
		text, body    string
	}{
		"by name":            {"http://" + named, "socks5://" + open, 0, "", named + "/x?y=1"},
		"with a user":        {"http://" + named, "socks5://user:" + secret + "@" + guarded, 0, "", named + "/x?y=1"},
		"TLS through it":     {https.URL, "socks5://" + open, 0, "", "HTTP/2.0"},
		"wrong user":         {"http://" + named, "socks5://user:x" + secret + "@" + guarded, Connect, "socks5 proxy", ""},
		"no user":            {"http://" + named, "socks5://" + guarded, Connect, "socks5 proxy", ""},
		"target refuses":     {"http://127.0.0.1:1", "socks5://user:" + secret + "@" + guarded, Connect, "refused", ""},
		"no proxy there":     {"http://" + named, "socks5://user:" + secret + "@127.0.0.1:1", Connect, "refused", ""},
		"proxy ends at once": {"http://" + named, "socks5://user:" + secret + "@" + serve(t, func(net.Conn) {}), Connect, "socks5 proxy", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDialer(t, test.target, func(cfg *Config) { cfg.Proxy, cfg.TLS = parse(t, test.proxy), trusting(https) })
			var a Answer
			err := speak(d, &a)
			if kindOf(t, err) != test.kind || (err == nil && string(a.Body) != test.body) {
				t.Fatalf("%q, %v, want kind %d and %q", a.Body, err, test.kind, test.body)
			}
			if err != nil && (!strings.Contains(err.Error(), test.text) || holdsSecret(err)) {
				t.Errorf("the error must say %q and no password: %v", test.text, err)
			}
		})
	}
	if _, ok := names.Load("target.test"); !ok {
		t.Error("the proxy was not given the name to resolve")
	}
}

func TestUnixSocket(t *testing.T) {
	// Not below t.TempDir, whose path may be too long for a socket.
	folder, err := os.MkdirTemp("", "soakd")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, listener, waits(answering(sized("", "one"), sized("", "two"))))
	d := newDialer(t, "http://target.test/base", func(cfg *Config) {
		cfg.Socket = path
		cfg.Allow = func(netip.Addr) error { return errors.New("not asked") }
	})
	c := dial(t, d)
	var a Answer
	for _, want := range []string{"one", "two"} {
		if err := exchange(c, get("/"), &a, patience); err != nil || string(a.Body) != want || !c.Alive() {
			t.Errorf("%q, %v", a.Body, err)
		}
	}
	if c.Address != path {
		t.Errorf("the connection goes to %q", c.Address)
	}
	gone := newDialer(t, "http://target.test", func(cfg *Config) { cfg.Socket = path + "x" })
	if _, err := gone.Dial(t.Context()); kindOf(t, err) != Connect || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a socket that is not there: %v", err)
	}
}

func addresses(texts ...string) (ips []netip.Addr) {
	for _, text := range texts {
		ips = append(ips, netip.MustParseAddr(text))
	}
	return ips
}

// dialled collects whom connections are made to; those in dead are refused.
type dialled struct {
	mu   sync.Mutex
	to   []string
	dead map[string]bool
}

func (d *dialled) dial(_ context.Context, _, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = append(d.to, address)
	if d.dead[address] {
		return nil, errors.New("connection refused by " + address)
	}
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	return ours, nil
}

func TestAddressesInTurn(t *testing.T) {
	found := addresses("10.0.0.2", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.3")
	network := &dialled{dead: map[string]bool{"10.0.0.2:80": true}}
	var lookUps atomic.Int64
	d := newDialer(t, "http://target.test", func(cfg *Config) {
		cfg.Dial = network.dial
		cfg.LookUp = func(_ context.Context, host string) ([]netip.Addr, error) {
			lookUps.Add(1)
			if host != "target.test" {
				t.Errorf("looked up %q", host)
			}
			return found, nil
		}
	})
	var to []string
	for range 6 {
		link, err := d.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		to = append(to, link.Conn.Address)
		link.Conn.Close()
	}
	// In turn, and the one behind a dead one instead of it.
	if want := "10.0.0.1:80 10.0.0.3:80 10.0.0.3:80 10.0.0.1:80 10.0.0.3:80 10.0.0.3:80"; strings.Join(to, " ") != want {
		t.Errorf("connected to %v, want %s", to, want)
	}
	if lookUps.Load() != 1 {
		t.Errorf("%d look-ups for 6 connections, want 1", lookUps.Load())
	}
	if found[0] != netip.MustParseAddr("10.0.0.2") {
		t.Error("what was looked up has been changed under the eyes of its owner")
	}
	network.dead = map[string]bool{"10.0.0.1:80": true, "10.0.0.2:80": true, "10.0.0.3:80": true}
	_, err := d.Dial(t.Context())
	if kindOf(t, err) != Connect || strings.Count(err.Error(), "refused by") != 3 {
		t.Errorf("all dead: %v", err)
	}
}

// An address that swallows everything takes its part of the time, not all of it.
func TestBlackHoleAmongTheAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := new(dialled)
		d := newDialer(t, "http://target.test", func(cfg *Config) {
			cfg.Dial = func(ctx context.Context, kind, address string) (net.Conn, error) {
				if address == "10.0.0.1:80" {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return network.dial(ctx, kind, address)
			}
			cfg.LookUp = func(context.Context, string) ([]netip.Addr, error) { return addresses("10.0.0.1", "10.0.0.2"), nil }
		})
		start := time.Now()
		link, err := d.Dial(t.Context())
		if err != nil || link.Conn.Address != "10.0.0.2:80" || time.Since(start) != d.cfg.DialTimeout/2 {
			t.Errorf("%v after %v, want the second address after half of the time", err, time.Since(start))
		}
		if err == nil {
			link.Conn.Close()
		}
	})
}

func TestRefreshFindsWhoMoved(t *testing.T) {
	network := new(dialled)
	found, failure := addresses("10.0.0.1", "fe80::1"), error(nil)
	d := newDialer(t, "http://target.test:8080", func(cfg *Config) {
		cfg.Dial = network.dial
		cfg.LookUp = func(context.Context, string) ([]netip.Addr, error) { return found, failure }
	})
	link, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link.Conn.Close()
	moved, err := d.Refresh(t.Context())
	if err != nil || moved("10.0.0.1:8080") || moved("[fe80::1]:8080") || !moved("10.0.0.9:8080") {
		t.Errorf("nothing has moved: %v", err)
	}
	found = addresses("10.0.0.2")
	if moved, err = d.Refresh(t.Context()); err != nil || !moved("10.0.0.1:8080") || moved("10.0.0.2:8080") || moved("target.test:8080") {
		t.Errorf("10.0.0.1 has moved to 10.0.0.2: %v", err)
	}
	for _, failure = range []error{errors.New("no resolver"), nil} {
		found = nil
		moved, err = d.Refresh(t.Context())
		if err == nil || moved("10.0.0.1:8080") || moved("10.0.0.2:8080") {
			t.Errorf("a failed look-up moves nobody: %v", err)
		}
	}
	if link, err = d.Dial(t.Context()); err != nil || link.Conn.Address != "10.0.0.2:8080" {
		t.Errorf("a failed look-up keeps the addresses: %v", err)
	} else {
		link.Conn.Close()
	}
}

func TestUnknownName(t *testing.T) {
	d := newDialer(t, "http://target.test", func(cfg *Config) {
		cfg.LookUp = func(_ context.Context, host string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
	})
	if _, err := d.Dial(t.Context()); kindOf(t, err) != DNS || !strings.Contains(err.Error(), "target.test") {
		t.Errorf("got %v", err)
	}
	d = newDialer(t, "http://target.test", func(cfg *Config) {
		cfg.LookUp = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
	})
	if _, err := d.Dial(t.Context()); kindOf(t, err) != DNS {
		t.Errorf("a name of no address: %v", err)
	}
}

func TestForbiddenAddressesAreNotDialled(t *testing.T) {
	forbidden := netip.MustParseAddr("10.0.0.1")
	allow := func(ip netip.Addr) error {
		if ip == forbidden {
			return fmt.Errorf("%v is not allowed", ip)
		}
		return nil
	}
	for name, test := range map[string]struct {
		target, proxy string
		found         []netip.Addr
		to            string
	}{
		"by name":         {target: "http://target.test", found: addresses("10.0.0.1")},
		"one of two":      {target: "http://target.test", found: addresses("10.0.0.1", "10.0.0.2"), to: "10.0.0.2:80"},
		"in another form": {target: "http://target.test", found: addresses("::ffff:10.0.0.1")},
		"itself":          {target: "http://10.0.0.1"},
		"itself, mapped":  {target: "http://[::ffff:10.0.0.1]"},
		"through a proxy": {target: "http://10.0.0.1", proxy: "http://10.0.0.9:3128"},
		"another":         {target: "http://10.0.0.2:81", to: "10.0.0.2:81"},
	} {
		t.Run(name, func(t *testing.T) {
			network := new(dialled)
			d := newDialer(t, test.target, func(cfg *Config) {
				cfg.Dial, cfg.Allow = network.dial, allow
				if test.proxy != "" {
					cfg.Proxy = parse(t, test.proxy)
				}
				if test.found != nil {
					cfg.LookUp = func(context.Context, string) ([]netip.Addr, error) { return test.found, nil }
				}
			})
			link, err := d.Dial(t.Context())
			if err == nil {
				link.Conn.Close()
			}
			if strings.Join(network.to, " ") != test.to || (err == nil) != (test.to != "") {
				t.Errorf("dialled %v (%v), want %q", network.to, err, test.to)
			}
			if err != nil && (kindOf(t, err) != Connect || !strings.Contains(err.Error(), "not allowed")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNewDialerRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no target":        func(cfg *Config) { cfg.Target = nil },
		"no answer":        func(cfg *Config) { cfg.MaxResponseBytes = 0 },
		"no time":          func(cfg *Config) { cfg.DialTimeout = 0 },
		"socket and proxy": func(cfg *Config) { cfg.Socket, cfg.Proxy = "/x", cfg.Target },
	} {
		if _, err := NewDialer(config(t, "target.test", change)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRequestCheck(t *testing.T) {
	good := Request{Method: "GET", Path: "/x?y=%20", ContentType: "text/plain; charset=x", Token: "a.b-c", UserID: "user 1"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Request){
		"no path":             func(r *Request) { r.Path = "" },
		"no slash":            func(r *Request) { r.Path = "x" },
		"a space in the path": func(r *Request) { r.Path = "/a b" },
		"a line in the path":  func(r *Request) { r.Path = "/a\r\nX: y" },
		"no method":           func(r *Request) { r.Method = "" },
		"two methods":         func(r *Request) { r.Method = "GET /" },
		"a line in the type":  func(r *Request) { r.ContentType = "x\r\nY: z" },
		"a line in the token": func(r *Request) { r.Token = "x\ny" },
		"no ASCII":            func(r *Request) { r.UserID = "é" },
	} {
		bad := good
		change(&bad)
		if err := bad.Check(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
