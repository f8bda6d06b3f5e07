package blackbox

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
)

// shakes starts a server that makes the handshake and no more.
func shakes(t testing.TB, config *tls.Config) *server {
	t.Helper()
	return serve(t, shakeWith(config))
}

func shake(pair tls.Certificate) func(net.Conn) {
	return shakeWith(&tls.Config{Certificates: []tls.Certificate{pair}})
}

func shakeWith(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		secured := tls.Server(conn, config)
		if secured.Handshake() == nil {
			_, _ = io.Copy(io.Discard, secured)
		}
	}
}

func TestCertificateExpiry(t *testing.T) {
	ca := newAuthority(t)
	soon, gone := inDays(3), inDays(-3)
	one := func(pair tls.Certificate) string {
		return shakes(t, &tls.Config{Certificates: []tls.Certificate{pair}}).address()
	}
	// A server that still sends an authority of old beside a chain that is good.
	crossed := ca.issue("127.0.0.1", soon)
	old := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, NotBefore: gone.Add(-time.Hour), NotAfter: gone}
	oldCert, _ := ca.sign(old)
	crossed.Certificate = append(crossed.Certificate, oldCert.Raw)

	const verified = `soakd_certificate_verified{probe="certificate/a"}`
	expiry := func(of string) string {
		return `soakd_certificate_expiry_timestamp_seconds{probe="certificate/a",of="` + of + `"}`
	}
	for _, c := range []struct {
		what, entry string
		leaf, shown time.Time
		wrong       string // why the certificate is not verified
	}{
		{"good", one(ca.issue("127.0.0.1", soon)) + " ca=" + ca.file, soon, soon, ""},
		{"outlives its authority", one(ca.issue("127.0.0.1", inDays(2000))) + " ca=" + ca.file, inDays(2000), ca.cert.NotAfter, ""},
		{"one that is expired beside", one(crossed) + " ca=" + ca.file, soon, gone, ""},
		{"expired", one(ca.issue("127.0.0.1", gone)) + " ca=" + ca.file, gone, gone, "certificate has expired or is not yet valid"},
		{"for another", one(ca.issue("shop.example", soon)) + " ca=" + ca.file, soon, soon, "cannot validate certificate for 127.0.0.1"},
		{"for another that is wanted", one(ca.issue("shop.example", soon)) + " server_name=shop.example ca=" + ca.file, soon, soon, ""},
		{"unknown authority", one(ca.issue("127.0.0.1", soon)), soon, soon, "certificate signed by unknown authority"},
	} {
		values, err := probetest.Poll(t, opened(t, certificateKind, "a="+c.entry), 5*time.Second)
		near := func(of string, want time.Time) {
			if got, ok := values[expiry(of)]; !ok || got < float64(want.Unix())-60 || got > float64(want.Unix())+60 {
				t.Errorf("%s: %s expires %v (%v), want %v", c.what, of, got, ok, want.Unix())
			}
		}
		near("leaf", c.leaf)
		near("shown", c.shown)
		wants(t, values, map[string]float64{`soakd_certificate_tls_version_info{probe="certificate/a",version="1.3"}`: 1})
		if c.wrong == "" {
			wants(t, values, map[string]float64{verified: 1})
			if end := c.leaf; err != nil {
				t.Errorf("%s: %v", c.what, err)
			} else if end.Before(ca.cert.NotAfter) {
				near("chain", end)
			} else {
				near("chain", ca.cert.NotAfter)
			}
			continue
		}
		wants(t, values, map[string]float64{verified: 0})
		if _, ok := values[expiry("chain")]; ok || probes.ReasonOf(err) != probes.ReasonTLS || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %q, %v, a chain %v", c.what, probes.ReasonOf(err), err, ok)
		}
	}
}

func TestCertificateVersions(t *testing.T) {
	ca := newAuthority(t)
	for version, name := range map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"} {
		address := shakes(t, &tls.Config{Certificates: []tls.Certificate{ca.issue("127.0.0.1", inDays(1))}, MaxVersion: version}).address()
		values, err := probetest.Poll(t, opened(t, certificateKind, "a="+address+" ca="+ca.file), 5*time.Second)
		if err != nil {
			t.Error(err)
		}
		wants(t, values, map[string]float64{`soakd_certificate_tls_version_info{probe="certificate/a",version="` + name + `"}`: 1})
	}
	if got := tlsVersion(0x300) + tlsVersion(tls.VersionTLS10) + tlsVersion(tls.VersionTLS11); got != "other1.01.1" {
		t.Error(got)
	}
}

// A server that wants a client certificate ends the handshake of TLS 1.2; what
// it has shown is known all the same.
func TestCertificateOfAServerThatRefusesUs(t *testing.T) {
	ca := newAuthority(t)
	expires := inDays(9)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue("127.0.0.1", expires)}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
	address := shakes(t, config).address()
	values, err := probetest.Poll(t, opened(t, certificateKind, "a="+address+" ca="+ca.file), 5*time.Second)
	if probes.ReasonOf(err) != probes.ReasonTLS {
		t.Errorf("%q, %v", probes.ReasonOf(err), err)
	}
	wants(t, values, map[string]float64{
		`soakd_certificate_verified{probe="certificate/a"}`:                           1,
		`soakd_certificate_expiry_timestamp_seconds{probe="certificate/a",of="leaf"}`: float64(expires.Unix()),
	})
	cert, key := writePair(t, ca.issue("soakd", inDays(1)))
	if _, err := probetest.Poll(t, opened(t, certificateKind, "a="+address+" ca="+ca.file+" cert="+cert+" key="+key), 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestCertificateAfterStartTLS(t *testing.T) {
	ca := newAuthority(t)
	pair := ca.issue("127.0.0.1", inDays(5))
	for protocol, s := range map[string]*server{
		"smtp": speaker(t, "220 hi\r\n", map[string]string{"EHLO soakd": "250-a\r\n250 b\r\n", "STARTTLS": "220 go\r\n"}, "STARTTLS", &pair),
		"imap": speaker(t, "* OK hi\r\n", map[string]string{"a1 STARTTLS": "a1 OK go\r\n"}, "a1 STARTTLS", &pair),
		"pop3": speaker(t, "+OK hi\r\n", map[string]string{"STLS": "+OK go\r\n"}, "STLS", &pair),
		"ftp":  speaker(t, "220 hi\r\n", map[string]string{"AUTH TLS": "234 go\r\n"}, "AUTH TLS", &pair),
		"postgres": serve(t, func(conn net.Conn) {
			request := make([]byte, 8)
			if _, err := io.ReadFull(conn, request); err == nil && string(request) == "\x00\x00\x00\x08\x04\xd2\x16\x2f" {
				_, _ = io.WriteString(conn, "S")
				_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
			}
		}),
	} {
		values, err := probetest.Poll(t, opened(t, certificateKind, "a="+s.address()+" starttls="+protocol+" ca="+ca.file), 5*time.Second)
		if err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
		wants(t, values, map[string]float64{`soakd_certificate_verified{probe="certificate/a"}`: 1})
	}
}

// TestCertificateOfARealPostgres asks a server that has no TLS for it.
func TestCertificateOfARealPostgres(t *testing.T) {
	postgres, err := localservices.StartPostgres(t.Context(), localservices.Options{Mode: localservices.System})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := postgres.Stop(); err != nil {
			t.Error(err)
		}
	}()
	where, err := url.Parse(postgres.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	_, err = probetest.Poll(t, opened(t, certificateKind, "a="+where.Host+" starttls=postgres"), 5*time.Second)
	wantReason(t, err, probes.ReasonCheck, "starttls: step 2 of 2: expect: the answer is byte 0x4e, not 0x53")
}

func TestCertificateFaults(t *testing.T) {
	silent := serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }).address()
	for what, c := range map[string]struct {
		entry  string
		reason probes.Reason
	}{
		"refused":     {closedPort(t), probes.ReasonConnect},
		"no answer":   {silent + " timeout=200ms", probes.ReasonTimeout},
		"no greeting": {silent + " starttls=smtp timeout=200ms", probes.ReasonTimeout},
		"garbage":     {serve(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n") }).address(), probes.ReasonTLS},
		"closes":      {serve(t, func(net.Conn) {}).address(), probes.ReasonReset},
	} {
		values, err := probetest.Poll(t, opened(t, certificateKind, "a="+c.entry), 5*time.Second)
		if probes.ReasonOf(err) != c.reason {
			t.Errorf("%s: %q, want %q: %v", what, probes.ReasonOf(err), c.reason, err)
		}
		if _, ok := values[`soakd_certificate_verified{probe="certificate/a"}`]; ok {
			t.Errorf("%s: judged without a certificate", what)
		}
	}
}
