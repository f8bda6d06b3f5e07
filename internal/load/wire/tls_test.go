package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// secure starts an https server, of HTTP/2 too when h2 is set.
func secure(t *testing.T, h2 bool, change func(*tls.Config)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.EnableHTTP2 = h2
	server.TLS = new(tls.Config)
	if change != nil {
		change(server.TLS)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// trusting trusts the server's certificate.
func trusting(server *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return &tls.Config{RootCAs: pool}
}

func TestTLSFailures(t *testing.T) {
	server := secure(t, false, nil)
	plain := serve(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "220 smtp.test ESMTP\r\n") })
	closing := serve(t, func(net.Conn) {})
	for name, test := range map[string]struct {
		target string
		tls    *tls.Config
		kind   Kind
		text   string
	}{
		"unknown authority":   {server.URL, nil, TLS, "unknown authority"},
		"wrong name":          {server.URL, &tls.Config{RootCAs: trusting(server).RootCAs, ServerName: "other.test"}, TLS, "other.test"},
		"plain server":        {"https://" + plain, nil, TLS, "does not look like a TLS handshake"},
		"old versions only":   {server.URL, &tls.Config{MaxVersion: tls.VersionTLS10, RootCAs: trusting(server).RootCAs}, TLS, "version"},
		"closes at once":      {"https://" + closing, nil, Connect, "TLS handshake"},
		"hangs in the middle": {"https://" + serve(t, waits(func(net.Conn) {})), nil, Connect, "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDialer(t, test.target, func(cfg *Config) { cfg.TLS = test.tls })
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if strings.HasPrefix(name, "hangs") {
				ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
				defer cancel()
			}
			_, err := d.Dial(ctx)
			if kindOf(t, err) != test.kind || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want kind %d and %q", err, test.kind, test.text)
			}
		})
	}
}

func TestTLSWithOwnAuthority(t *testing.T) {
	server := secure(t, false, nil)
	c := dial(t, newDialer(t, server.URL, func(cfg *Config) { cfg.TLS = trusting(server) }))
	var a Answer
	for range 3 {
		if err := exchange(c, get("/"), &a, patience); err != nil || string(a.Body) != "HTTP/1.1" || !c.Reusable(&a, time.Now()) {
			t.Fatalf("%q, %v", a.Body, err)
		}
	}
	if sent, received := c.Bytes(); sent < 1000 || received < 1000 {
		t.Errorf("%d bytes sent, %d received: the handshake counts too", sent, received)
	}
}

// With TLS 1.3 the server says only after the handshake that it wants a
// certificate: that is a matter of TLS all the same, and not sent again.
func TestClientCertificates(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			server := secure(t, false, func(cfg *tls.Config) {
				cfg.ClientAuth, cfg.MaxVersion = tls.RequireAnyClientCert, version
			})
			without := trusting(server)
			d := newDialer(t, server.URL, func(cfg *Config) { cfg.TLS = without })
			link, err := d.Dial(context.Background())
			if err == nil {
				var a Answer
				err = exchange(link.Conn, get("/"), &a, patience)
				link.Conn.Close()
			}
			if kindOf(t, err) != TLS || !strings.Contains(err.Error(), map[uint16]string{tls.VersionTLS12: "handshake failure", tls.VersionTLS13: "certificate required"}[version]) {
				t.Errorf("without a certificate: %v", err)
			}
			with := trusting(server)
			with.Certificates = server.TLS.Certificates
			c := dial(t, newDialer(t, server.URL, func(cfg *Config) { cfg.TLS = with }))
			var a Answer
			if err := exchange(c, get("/"), &a, patience); err != nil || a.Status != 200 {
				t.Errorf("with a certificate: %d, %v", a.Status, err)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	both, one := secure(t, true, nil), secure(t, false, nil)
	h2c := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	h2c.Config.Protocols = new(http.Protocols)
	h2c.Config.Protocols.SetHTTP1(true)
	h2c.Config.Protocols.SetUnencryptedHTTP2(true)
	h2c.Start()
	defer h2c.Close()
	plain := serve(t, waits(answering("")))
	for name, test := range map[string]struct {
		target  string
		server  *httptest.Server
		version Version
		want    string
		kind    Kind
		text    string
	}{
		"auto, both":       {both.URL, both, Auto, "HTTP/2.0", 0, ""},
		"zero, both":       {both.URL, both, "", "HTTP/2.0", 0, ""},
		"auto, one":        {one.URL, one, Auto, "HTTP/1.1", 0, ""},
		"1.1, both":        {both.URL, both, HTTP1, "HTTP/1.1", 0, ""},
		"2, both":          {both.URL, both, HTTP2, "HTTP/2.0", 0, ""},
		"2, one":           {one.URL, one, HTTP2, "", TLS, ""},
		"2 without TLS":    {h2c.URL, nil, HTTP2, "HTTP/2.0", 0, ""},
		"auto without TLS": {h2c.URL, nil, Auto, "HTTP/1.1", 0, ""},
		"2, one, no TLS":   {"http://" + serve(t, speaksNoHTTP2), nil, HTTP2, "", Connect, "does not speak HTTP/2"},
		"2, closed, no TLS": {"http://" + serve(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1))
		}), nil, HTTP2, "", Connect, "HTTP/2"},
		"2, silent, no TLS": {"http://" + plain, nil, HTTP2, "", Connect, "HTTP/2"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDialer(t, test.target, func(cfg *Config) {
				cfg.Version = test.version
				if test.server != nil {
					cfg.TLS = trusting(test.server)
				}
				if strings.Contains(name, "silent") {
					cfg.DialTimeout = 20 * time.Millisecond
				}
			})
			link, err := d.Dial(context.Background())
			if kindOf(t, err) != test.kind {
				t.Fatalf("got %v, want kind %d", err, test.kind)
			}
			if err != nil {
				if !strings.Contains(err.Error(), test.text) {
					t.Errorf("%v does not say %q", err, test.text)
				}
				return
			}
			var a Answer
			if link.HTTP2 != nil {
				defer link.HTTP2.Close()
				err = exchange2(link.HTTP2, get("/"), &a, patience)
			} else {
				defer link.Conn.Close()
				err = exchange(link.Conn, get("/"), &a, patience)
			}
			if err != nil || string(a.Body) != test.want {
				t.Errorf("spoke %q, %v, want %q", a.Body, err, test.want)
			}
		})
	}
}

func speaksNoHTTP2(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 24))
	_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn)
}

// An idle TLS connection gets session tickets, which are no end, and an end that
// is announced by a message, which is.
func TestAliveOverTLS(t *testing.T) {
	server := secure(t, false, nil)
	end := make(chan struct{})
	address := serve(t, func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: server.TLS.Certificates})
		br := bufio.NewReader(conn)
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		_, _ = io.WriteString(conn, sized("", "ok"))
		<-end
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, raw)
	})
	c := dial(t, newDialer(t, "https://"+address, func(cfg *Config) {
		cfg.TLS = trusting(server)
		cfg.TLS.ServerName = "example.com"
	}))
	// The handshake is over when it is on the other side: its tickets are here then.
	if !c.Alive() {
		t.Error("a new connection is taken to be closed")
	}
	var a Answer
	if err := exchange(c, get("/"), &a, patience); err != nil || !c.Reusable(&a, time.Now()) {
		t.Fatal(err)
	}
	if !c.Alive() {
		t.Error("an open connection is taken to be closed")
	}
	close(end)
	for start := time.Now(); c.Alive(); runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatal("the announced end is not seen")
		}
	}
}

func TestErrorsKnowTheirKind(t *testing.T) {
	for text, want := range map[string]Kind{
		"http2: client connection lost": Reset, "http2: client conn not usable": Reset, "net/http: HTTP/1.x transport connection broken": Protocol,
		"stream error: stream ID 5; REFUSED_STREAM; received from peer": Reset,
		"http2: Transport received Server's graceful shutdown GOAWAY":   Reset,
		"http2: response header list larger than advertised limit":      TooLarge,
	} {
		if got := kindOf(t, exchangeError(errors.New(text))); got != want {
			t.Errorf("%s: kind %d, want %d", text, got, want)
		}
	}
	refused := exchangeError(errors.New("stream error: stream ID 5; REFUSED_STREAM; received from peer"))
	if !refused.Unsent {
		t.Error("a refused stream may be sent again")
	}
}
