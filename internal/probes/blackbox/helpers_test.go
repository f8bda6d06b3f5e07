package blackbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened opens the only probe that a setting of a kind lists.
func opened(t testing.TB, kind, entries string) probes.Probe {
	t.Helper()
	return probetest.OpenOne(t, configOf(kind, entries))
}

func configOf(kind, entries string) probes.Config {
	switch kind {
	case endpointKind:
		return &EndpointConfig{Probes: secret.New(entries)}
	case tcpKind:
		return &TCPConfig{Probes: secret.New(entries)}
	case dnsKind:
		return &DNSConfig{Probes: entries}
	case exporterKind:
		return &ExporterConfig{Probes: secret.New(entries), Series: "v=a:up"}
	}
	return &CertificateConfig{Probes: entries}
}

// wants fails the test unless a poll gives the value of each series named.
func wants(t testing.TB, values probetest.Values, want map[string]float64) {
	t.Helper()
	for series, value := range want {
		if got, ok := values[series]; !ok || got != value {
			t.Errorf("%s is %v (%v), want %v; all: %v", series, got, ok, value, values)
		}
	}
}

// wantReason fails the test unless err has that reason and text.
func wantReason(t testing.TB, err error, reason probes.Reason, text string) {
	t.Helper()
	if err == nil || probes.ReasonOf(err) != reason || err.Error() != text {
		t.Errorf("failed with %q: %v; want %q: %s", probes.ReasonOf(err), err, reason, text)
	}
}

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// file holds its certificate.
	file string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: inDays(1000),
	}
	a.cert, a.key = a.sign(template)
	a.file = writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
	return a
}

// inDays is in so many days, on a whole second.
func inDays(days int) time.Time {
	return time.Now().Add(time.Duration(days) * 24 * time.Hour).Truncate(time.Second)
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// issue makes a certificate for a name that expires then; it is sent with that
// of the authority.
func (a *authority) issue(name string, expires time.Time) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: inDays(-100), NotAfter: expires,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	cert, key := a.sign(template)
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key, Leaf: cert}
}

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writePair writes a certificate and its key as files.
func writePair(t testing.TB, pair tls.Certificate) (cert, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))),
		writeFile(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// server serves connections one function call each, and counts those open.
type server struct {
	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]bool
	accepted int
}

// serve starts a server on a free loopback port that ends with the test, all its
// connections cut.
func serve(t testing.TB, handle func(net.Conn)) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener, handle)
}

func serveOn(t testing.TB, listener net.Listener, handle func(net.Conn)) *server {
	t.Helper()
	s := &server{listener: listener, conns: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.accepted++
			s.mu.Unlock()
			running.Go(func() {
				handle(conn)
				_ = conn.Close()
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.conns, conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for conn := range s.conns {
			_ = conn.Close()
		}
		s.mu.Unlock()
		running.Wait()
	})
	return s
}

func (s *server) address() string { return s.listener.Addr().String() }

// awaitAccepted waits until the server has taken so many connections: to the
// client one is made before.
func (s *server) awaitAccepted(t testing.TB, want int) {
	t.Helper()
	deadline, tick := time.NewTimer(20*time.Second), time.NewTicker(time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for {
		accepted, _ := s.counts()
		if accepted == want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d connections, want %d", accepted, want)
		}
	}
}

// counts returns how many connections there were and how many are open.
func (s *server) counts() (accepted, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted, len(s.conns)
}

// closedPort is an address on which nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	return listener.Addr().String()
}

// hung polls once while a process is stopped. A stopped process may go on for a
// moment: polls that succeed are made again.
func hung(t testing.TB, pid int, probe probes.Probe) (values probetest.Values, err error) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if values, err = probetest.Poll(t, probe, 300*time.Millisecond); err != nil {
			break
		}
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	return values, err
}
