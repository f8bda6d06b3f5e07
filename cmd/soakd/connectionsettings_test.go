package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"soakd/internal/load"
	"soakd/internal/lockedbuffer"
)

// authority signs certificates for a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	folder      string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{folder: t.TempDir()}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate = a.sign(t, template, a.key, template)
	a.write(t, "ca.pem", "CERTIFICATE", a.certificate.Raw)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey, parent *x509.Certificate) *x509.Certificate {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// issue writes NAME.pem and NAME.key, for clients of that name and for the server
// api.test.
func (a *authority) issue(t *testing.T, file, name string) (certFile, keyFile string) {
	t.Helper()
	key := newKey(t)
	certificate := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"api.test"},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, key, a.certificate)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return a.write(t, file+".pem", "CERTIFICATE", certificate.Raw), a.write(t, file+".key", "PRIVATE KEY", encoded)
}

// write replaces a file, as a rotation does.
func (a *authority) write(t *testing.T, name, kind string, content []byte) string {
	t.Helper()
	path := filepath.Join(a.folder, name)
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: kind, Bytes: content}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// seen counts requests by who sent them over which HTTP.
type seen struct {
	mu sync.Mutex
	by map[string]int
}

func (s *seen) count(by string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[by]
}

// serveTLS serves a handler to clients with a certificate of the authority alone.
func (a *authority) serveTLS(t *testing.T, handler http.Handler) (target string, s *seen) {
	t.Helper()
	s = &seen{by: map[string]int{}}
	certFile, keyFile := a.issue(t, "server", "api.test")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.by[r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.Proto]++
		s.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, s
}

// `soakd check` and `soakd run` of the built binary reach an API behind mutual
// TLS, behind a proxy and on a unix socket, and say how.
func TestWaysToTheTarget(t *testing.T) {
	c := startChecked(t)
	a := newAuthority(t)
	secure, clients := a.serveTLS(t, c.api.Handler())
	certFile, keyFile := a.issue(t, "client", "soakd of the test")
	command := func(t *testing.T, settings map[string]string, args ...string) (stdout string) {
		t.Helper()
		p := start(t, func(cmd *exec.Cmd) {
			cmd.Env = append(os.Environ(), "SOAKD_JWT_SECRET="+checkKey, "SOAKD_TARGET_URL="+c.target)
			for name, value := range settings {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
		}, args...)
		p.end(t)
		if text := p.stdout.String() + p.stderr.String(); strings.Contains(text, "hunter2") {
			t.Errorf("a password shows:\n%s", text)
		}
		return p.stdout.String()
	}
	has := func(t *testing.T, text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("standard output does not hold %q:\n%s", want, text)
			}
		}
	}

	withTLS := map[string]string{
		"SOAKD_TARGET_URL": secure, "SOAKD_TLS_CA_FILE": filepath.Join(a.folder, "ca.pem"),
		"SOAKD_TLS_CERT_FILE": certFile, "SOAKD_TLS_KEY_FILE": keyFile, "SOAKD_TLS_SERVER_NAME": "api.test",
	}
	t.Run("mutual TLS", func(t *testing.T) {
		text := command(t, withTLS, "check")
		has(t, text, "connections: HTTP/2 or 1.1, as TLS agrees, client certificate "+certFile+"\n",
			"connection: to "+strings.TrimPrefix(secure, "https://")+", HTTP/2\n", "case health: ok,", "all reached\n")
		text = command(t, withTLS, "run", "--duration", "1s", "--rate", "20", "--users", "1", "--http-version", "1.1", "--listen", "127.0.0.1:0")
		has(t, text, "requests: 20 sent = 20 finished + 0 in flight + 0 cut\nno failures\n")
		if one, two := clients.count("soakd of the test HTTP/1.1"), clients.count("soakd of the test HTTP/2.0"); one != 20 || two < 5 {
			t.Errorf("%d requests over HTTP/1.1, want 20; %d over HTTP/2", one, two)
		}
	})
	t.Run("unix socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "api")
		var listen net.ListenConfig
		listener, err := listen.Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(c.api.Handler())
		_ = server.Listener.Close() // another takes its place
		server.Listener = listener
		server.Start()
		defer server.Close()
		text := command(t, map[string]string{"SOAKD_TARGET_URL": "http://api.test", "SOAKD_TARGET_SOCKET": path}, "check")
		has(t, text, "connections: HTTP/1.1, unix socket "+path+"\n", "connection: to "+path+", HTTP/1.1\n", "all reached\n")
	})
	t.Run("proxy", func(t *testing.T) {
		var asked lockedbuffer.Buffer
		proxy := serveHandler(t, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			_, _ = asked.Write([]byte(r.In.URL.Host + " " + r.In.Header.Get("Proxy-Authorization") + "\n"))
			r.SetURL(mustParse(t, c.target))
		}})
		text := command(t, map[string]string{
			"SOAKD_TARGET_URL": "http://api.test", "SOAKD_PROXY_URL": strings.Replace(proxy, "http://", "http://soakd:hunter2@", 1),
		}, "check")
		has(t, text, "connections: HTTP/1.1, through the proxy "+proxy+"\n", "all reached\n")
		// base64 of soakd:hunter2
		if !strings.HasPrefix(asked.String(), "api.test Basic c29ha2Q6aHVudGVyMg==\n") {
			t.Errorf("the proxy was asked for %s", &asked)
		}
	})
	t.Run("closed model", func(t *testing.T) {
		p := start(t, func(cmd *exec.Cmd) {
			cmd.Env = append(os.Environ(), "SOAKD_JWT_SECRET="+checkKey, "SOAKD_TARGET_URL="+c.target)
		}, "run", "--model", "closed", "--users", "5", "--think-time", "10ms", "--duration", "2s", "--listen", "127.0.0.1:0")
		p.end(t)
		has(t, p.stdout.String(), "closed model, 5 users, all at once, think time 10ms\n", "cashflow in closed mode with 5 users against ", "no failures\n")
		if got := p.account(t); got.scheduled != got.sent || got.sent != got.finished || got.cut != 0 || got.finished < 20 {
			t.Errorf("the account is %+v; want all that were sent, and more than the first of each user", got)
		}
	})
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A certificate that is replaced while soakd runs is used by the next connection,
// and half of a replacement by none.
func TestClientCertificateIsFollowed(t *testing.T) {
	a := newAuthority(t)
	target, clients := a.serveTLS(t, http.HandlerFunc(anything))
	certFile, keyFile := a.issue(t, "client", "first")
	cfg, err := configOf(t, "--target-url", target, "--tls-ca-file", filepath.Join(a.folder, "ca.pem"), "--tls-server-name", "api.test",
		"--tls-cert-file", certFile, "--tls-key-file", keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var log lockedbuffer.Buffer
	made, err := newTraffic(cfg, cfg.logger(&log))
	if err != nil {
		t.Fatal(err)
	}
	send := func(want string) {
		t.Helper()
		before := clients.count(want + " HTTP/2.0")
		one := made.workload.Cases[0]
		if result, err := load.TryOnce(t.Context(), made.client, made.mix, one, made.source.User(0)); err != nil || !result.Answered() {
			t.Fatalf("%v: %+v", err, result)
		}
		if got := clients.count(want+" HTTP/2.0") - before; got != 1 {
			t.Errorf("%d requests as %s, want 1: %v", got, want, clients.by)
		}
	}
	send("first")
	send("first")
	lostKey := filepath.Join(a.folder, "kept.key")
	if err := os.Rename(keyFile, lostKey); err != nil {
		t.Fatal(err)
	}
	send("first")
	send("first")
	if got := strings.Count(log.String(), "the client certificate cannot be read again: the last good one stays in use"); got != 1 {
		t.Errorf("a key that is away is said %d times:\n%s", got, &log)
	}
	a.issue(t, "client", "second")
	send("second")
	if !strings.Contains(log.String(), "the client certificate changed: new connections use it") {
		t.Errorf("the log does not say that it changed:\n%s", &log)
	}
}

// A certificate that nobody vouches for is refused, and taken with a warning
// where that was asked for.
func TestUnverifiedTarget(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(anything))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	for _, unverified := range []bool{false, true} {
		cfg, err := configOf(t, "--target-url", server.URL, fmt.Sprintf("--tls-insecure-skip-verify=%v", unverified))
		if err != nil {
			t.Fatal(err)
		}
		var log lockedbuffer.Buffer
		made, err := newTraffic(cfg, cfg.logger(&log))
		if err != nil {
			t.Fatal(err)
		}
		peer, err := load.Reach(t.Context(), made.client)
		if reached := err == nil && peer.Protocol == "HTTP/1.1"; reached != unverified {
			t.Errorf("not verified %v: %+v, %v", unverified, peer, err)
		}
		if warned := strings.Contains(log.String(), "level=WARN msg=\"the target's certificate is not verified"); warned != unverified {
			t.Errorf("not verified %v: the log says\n%s", unverified, &log)
		}
	}
}
