package drills

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// pages are what else is watched: a page, one that fails again and again, the
// metrics of an API, and a certificate.
type pages struct {
	plain, secure *httptest.Server
	authorities   string // a file with those of the certificates

	frontDown, flaps, metricsDown, expires atomic.Bool
	asked                                  atomic.Int64
}

func openPages(t *testing.T, api string) *pages {
	t.Helper()
	p := &pages{}
	target, err := url.Parse(api)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	mux := http.NewServeMux()
	fails := func(w http.ResponseWriter) { http.Error(w, "not now", http.StatusServiceUnavailable) }
	mux.HandleFunc("/front", func(w http.ResponseWriter, _ *http.Request) {
		if p.frontDown.Load() {
			fails(w)
		}
	})
	mux.HandleFunc("/flapping", func(w http.ResponseWriter, _ *http.Request) {
		if p.flaps.Load() && p.asked.Add(1)%3 == 0 {
			fails(w)
		}
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		if p.metricsDown.Load() {
			fails(w)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	p.plain = httptest.NewServer(mux)
	t.Cleanup(p.plain.Close)
	p.openTLS(t)
	return p
}

// openTLS serves one of two certificates: for 90 days, or for 5 more.
func (p *pages) openTLS(t *testing.T) {
	t.Helper()
	const day = 24 * time.Hour
	long, longPEM := certificate(t, 90*day)
	short, shortPEM := certificate(t, 5*day)
	p.authorities = filepath.Join(t.TempDir(), "authorities.pem")
	must(t, os.WriteFile(p.authorities, append(longPEM, shortPEM...), 0o600))
	p.secure = httptest.NewUnstartedServer(http.NotFoundHandler())
	p.secure.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		shown := long
		if p.expires.Load() {
			shown = short
		}
		return &tls.Config{Certificates: []tls.Certificate{shown}, MinVersion: tls.VersionTLS12}, nil
	}}
	p.secure.StartTLS()
	t.Cleanup(p.secure.Close)
}

// certificate makes one that signs itself.
func certificate(t *testing.T, left time.Duration) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(left)), Subject: pkix.Name{CommonName: left.String()}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(left),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	var text bytes.Buffer
	must(t, pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: made}))
	return tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key}, text.Bytes()
}

// url is the address of a page.
func (p *pages) url(name string) string { return p.plain.URL + "/" + name }

// tlsAddress is where the certificate is shown.
func (p *pages) tlsAddress() string { return p.secure.Listener.Addr().String() }
