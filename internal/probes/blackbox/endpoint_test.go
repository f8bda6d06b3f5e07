package blackbox

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
)

// website starts an HTTP server; with a certificate it speaks TLS and HTTP/2.
func website(t testing.TB, handler http.HandlerFunc, certificates ...tls.Certificate) *httptest.Server {
	t.Helper()
	site := httptest.NewUnstartedServer(handler)
	site.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if len(certificates) == 0 {
		site.Start()
	} else {
		site.TLS = &tls.Config{Certificates: certificates}
		site.EnableHTTP2 = true
		site.StartTLS()
	}
	t.Cleanup(site.Close)
	return site
}

func TestEndpointReadsAnAnswer(t *testing.T) {
	var got *http.Request
	var body string
	site := website(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"status": "ok"}`)
	})
	token := writeFile(t, "token", "first\n")
	probe := opened(t, endpointKind, `a=POST `+site.URL+`/x?y=1 status=201 matches='"status": "ok"' absent=error body='{"a b": 1}' header='Content-Type: application/json' header='Host: shop.example' token_file=`+token)
	values, err := probetest.Poll(t, probe, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, values, map[string]float64{
		`soakd_endpoint_status_code{probe="endpoint/a"}`: 201, `soakd_endpoint_body_bytes{probe="endpoint/a"}`: 16, `soakd_endpoint_http_version{probe="endpoint/a"}`: 1.1,
		`soakd_endpoint_redirects{probe="endpoint/a"}`: 0, `soakd_endpoint_response_seconds{probe="endpoint/a"}`: 1,
	})
	sum := 0.0
	for _, phase := range []string{"connect", "first_byte", "transfer"} {
		took, ok := values[`soakd_endpoint_phase_seconds{probe="endpoint/a",phase="`+phase+`"}`]
		if !ok || took < 0 || took > 5 {
			t.Errorf("phase %s took %v (%v)", phase, took, ok)
		}
		sum += took
	}
	if sum <= 0 || len(values) != 8 { // no dns, no tls, no expiry
		t.Errorf("phases sum up to %v; all: %v", sum, values)
	}
	if got.Method != http.MethodPost || got.URL.String() != "/x?y=1" || got.Host != "shop.example" || body != `{"a b": 1}` ||
		got.Header.Get("Authorization") != "Bearer first" || got.Header.Get("Content-Type") != "application/json" || got.Header.Get("User-Agent") != "soakd" {
		t.Errorf("the server got %s %s for %s: %v %q", got.Method, got.URL, got.Host, got.Header, body)
	}
	if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := probetest.Poll(t, probe, 5*time.Second); err != nil || got.Header.Get("Authorization") != "Bearer second" {
		t.Errorf("after the token was renewed: %v, %q", err, got.Header.Get("Authorization"))
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	_, err = probetest.Poll(t, probe, 5*time.Second)
	wantReason(t, err, probes.ReasonAuth, "read secret: open "+token+": no such file or directory")
}

func TestEndpointResolvesNames(t *testing.T) {
	site := website(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(site.Listener.Addr().String())
	values, err := probetest.Poll(t, opened(t, endpointKind, "a=http://localhost:"+port+" ip=4"), 5*time.Second)
	if _, ok := values[`soakd_endpoint_phase_seconds{probe="endpoint/a",phase="dns"}`]; err != nil || !ok {
		t.Errorf("%v, %v", values, err)
	}
	_, err = probetest.Poll(t, opened(t, endpointKind, "a=http://name.invalid:"+port), 5*time.Second)
	// Where there is no resolver at all the name is not refused but unreachable.
	if reason := probes.ReasonOf(err); reason != probes.ReasonDNS && reason != probes.ReasonTimeout {
		t.Errorf("%q: %v", reason, err)
	}
}

func TestEndpointJudgesTheAnswer(t *testing.T) {
	site := website(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write(make([]byte, maxBody+1))
		case "/full":
			_, _ = w.Write(make([]byte, maxBody))
		case "/to/302":
			w.WriteHeader(http.StatusFound)
		default:
			var status int
			_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "an error: hunter2")
		}
	})
	for entry, want := range map[string]struct {
		reason probes.Reason
		text   string
	}{
		"/200":                           {},
		"/204":                           {},
		"/full":                          {},
		"/404 status=404":                {},
		"/301 status=200,301":            {},
		"/500":                           {probes.ReasonCheck, "answered 500"},
		"/401":                           {probes.ReasonAuth, "answered 401"},
		"/403":                           {probes.ReasonPermission, "answered 403"},
		"/429":                           {probes.ReasonUnavailable, "answered 429"},
		"/503":                           {probes.ReasonUnavailable, "answered 503"},
		"/200 status=201":                {probes.ReasonCheck, "answered 200"},
		"/301":                           {probes.ReasonCheck, "answered 301, a redirect; give the URL that it leads to, or option redirects"},
		"/200 matches='^hunter'":         {probes.ReasonCheck, "the body does not match option matches"},
		"/200 absent='hunter.'":          {probes.ReasonCheck, "the body matches option absent"},
		"/500 absent=error":              {probes.ReasonCheck, "answered 500 the body matches option absent"},
		"/large":                         {probes.ReasonCheck, "read the body: it is larger than 1048576 bytes"},
		"/200 matches=error absent=no:t": {},
	} {
		values, err := probetest.Poll(t, opened(t, endpointKind, "a="+site.URL+entry), 5*time.Second)
		if want.reason == "" {
			if err != nil {
				t.Errorf("%s: %v", entry, err)
			}
		} else {
			wantReason(t, err, want.reason, want.text)
		}
		if _, ok := values[`soakd_endpoint_status_code{probe="endpoint/a"}`]; !ok {
			t.Errorf("%s: no status among %v", entry, values)
		}
	}
}

func TestEndpointFollowsRedirectsToTheSameHostOnly(t *testing.T) {
	var elsewhere atomic.Int32
	other := website(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	site := website(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/3", "/2", "/1":
			http.Redirect(w, r, fmt.Sprintf("/%c", r.URL.Path[1]-1), http.StatusFound)
		}
	})
	values, err := probetest.Poll(t, opened(t, endpointKind, "a="+site.URL+"/3 redirects=3"), 5*time.Second)
	if err != nil {
		t.Error(err)
	}
	wants(t, values, map[string]float64{`soakd_endpoint_redirects{probe="endpoint/a"}`: 3, `soakd_endpoint_status_code{probe="endpoint/a"}`: 200})
	values, err = probetest.Poll(t, opened(t, endpointKind, "a="+site.URL+"/3 redirects=2"), 5*time.Second)
	wantReason(t, err, probes.ReasonCheck, "answered 302, a redirect; give the URL that it leads to, or option redirects")
	wants(t, values, map[string]float64{`soakd_endpoint_redirects{probe="endpoint/a"}`: 2, `soakd_endpoint_status_code{probe="endpoint/a"}`: 302})
	_, err = probetest.Poll(t, opened(t, endpointKind, "a="+site.URL+"/away redirects=3"), 5*time.Second)
	wantReason(t, err, probes.ReasonCheck, "the server redirects to another host, where soakd does not go")
	_, err = probetest.Poll(t, opened(t, endpointKind, "a="+site.URL+"/away"), 5*time.Second)
	wantReason(t, err, probes.ReasonCheck, "answered 302, a redirect; give the URL that it leads to, or option redirects")
	if elsewhere.Load() != 0 {
		t.Error("soakd went where it was sent")
	}
}

// Hosts have no case, and the port of the scheme may be left out.
func TestEndpointKnowsItsHostInOtherWords(t *testing.T) {
	for from, targets := range map[string]map[string]bool{
		"http://shop.example/":       {"http://SHOP.example/x": true, "http://shop.example:80/x": true, "http://shop.example:8080/x": false, "https://shop.example/x": false},
		"https://shop.example:443/a": {"https://shop.example/x": true, "https://shop.example:80/x": false, "https://other.example:443/": false},
		"http://[::1]:80/":           {"http://[::1]/x": true, "http://[::2]/x": false},
	} {
		for to, same := range targets {
			first, err := http.NewRequestWithContext(t.Context(), http.MethodGet, from, nil)
			if err != nil {
				t.Fatal(err)
			}
			next, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := (&exchange{}).follow(1)(next, []*http.Request{first}); (err == nil) != same {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
}

func TestEndpointUsesNoProxyOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://"+closedPort(t))
	}
	site := website(t, func(http.ResponseWriter, *http.Request) {})
	if _, err := probetest.Poll(t, opened(t, endpointKind, "a="+site.URL), 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestEndpointChecksCertificates(t *testing.T) {
	ca := newAuthority(t)
	ok := func(http.ResponseWriter, *http.Request) {}
	good := website(t, ok, ca.issue("127.0.0.1", inDays(30)))
	expired := website(t, ok, ca.issue("127.0.0.1", inDays(-2)))
	misnamed := website(t, ok, ca.issue("shop.example", inDays(30)))
	const status, version = `soakd_endpoint_status_code{probe="endpoint/a"}`, `soakd_endpoint_http_version{probe="endpoint/a"}`
	const expiry = `soakd_endpoint_certificate_expiry_timestamp_seconds{probe="endpoint/a"}`
	for entry, end := range map[string]time.Time{
		good.URL + " ca=" + ca.file:                              inDays(30),
		good.URL + " insecure=true":                              inDays(30),
		expired.URL + " insecure=true":                           inDays(-2),
		misnamed.URL + " server_name=shop.example ca=" + ca.file: inDays(30),
	} {
		values, err := probetest.Poll(t, opened(t, endpointKind, "a="+entry), 5*time.Second)
		if err != nil {
			t.Errorf("%s: %v", entry, err)
		}
		wants(t, values, map[string]float64{status: 200, version: 2})
		if at := values[expiry]; at < float64(end.Unix())-60 || at > float64(end.Unix()) {
			t.Errorf("%s: expires %v, want %v", entry, at, end.Unix())
		}
		if _, ok := values[`soakd_endpoint_phase_seconds{probe="endpoint/a",phase="tls"}`]; !ok {
			t.Errorf("%s: no time of TLS among %v", entry, values)
		}
	}
	for entry, text := range map[string]string{
		good.URL:                        "x509: certificate signed by unknown authority",
		expired.URL + " ca=" + ca.file:  "x509: certificate has expired or is not yet valid",
		misnamed.URL + " ca=" + ca.file: "x509: cannot validate certificate for 127.0.0.1",
		"https://" + website(t, ok).Listener.Addr().String(): "tls: first record does not look like a TLS handshake",
	} {
		values, err := probetest.Poll(t, opened(t, endpointKind, "a="+entry), 5*time.Second)
		if probes.ReasonOf(err) != probes.ReasonTLS || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %q, %v; want %s", entry, probes.ReasonOf(err), err, text)
		}
		if _, shown := values[expiry]; shown == strings.Contains(text, "first record") {
			t.Errorf("%s: expiry shown %v", entry, shown)
		}
		if _, ok := values[status]; ok {
			t.Errorf("%s: a status without an answer", entry)
		}
	}
}

func TestEndpointShowsAClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	site.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	site.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue("127.0.0.1", inDays(1))}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	site.StartTLS()
	t.Cleanup(site.Close)
	cert, key := writePair(t, ca.issue("soakd", inDays(1)))
	if _, err := probetest.Poll(t, opened(t, endpointKind, "a="+site.URL+" ca="+ca.file+" cert="+cert+" key="+key), 5*time.Second); err != nil {
		t.Error(err)
	}
	_, err := probetest.Poll(t, opened(t, endpointKind, "a="+site.URL+" ca="+ca.file), 5*time.Second)
	if probes.ReasonOf(err) != probes.ReasonTLS {
		t.Errorf("without one: %q, %v", probes.ReasonOf(err), err)
	}
}

func TestEndpointKeepsSecretsOutOfErrors(t *testing.T) {
	// What the server says of the request must not come back in an error.
	echo := serve(t, func(conn net.Conn) {
		buffer := make([]byte, 4096)
		n, _ := conn.Read(buffer)
		line, _, _ := strings.Cut(string(buffer[:n]), "\r\n")
		_, _ = io.WriteString(conn, "HTTP/1.1 "+line+" hunter2 hunter4\r\n\r\n")
	})
	for _, address := range []string{echo.address(), closedPort(t)} {
		entry := "a=http://user:hunter2@" + address + "/?token=hunter3&b=" + url.QueryEscape("hunter 5") + " header='X-Key: hunter4' body=hunter6"
		_, err := probetest.Poll(t, opened(t, endpointKind, entry), 5*time.Second)
		if err == nil || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "HTTP") && !strings.Contains(err.Error(), "refused") {
			t.Errorf("%v", err)
		}
	}
}

// A certificate of the client that is renewed may be away for a moment: that is no
// fault of the way to the server.
func TestClientCertificateThatCannotBeRead(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue("127.0.0.1", inDays(1))}, ClientAuth: tls.RequireAnyClientCert}
	address := shakes(t, config).address()
	cert, key := writePair(t, ca.issue("soakd", inDays(1)))
	options := " ca=" + ca.file + " cert=" + cert + " key=" + key
	all := []probes.Probe{
		opened(t, endpointKind, "a=https://"+address+options),
		opened(t, tcpKind, "a="+address+" tls=true"+options),
		opened(t, certificateKind, "a="+address+options),
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	for _, probe := range all {
		_, err := probetest.Poll(t, probe, 5*time.Second)
		wantReason(t, err, probes.ReasonTLS, "TLS handshake: options cert, key: open "+key+": no such file or directory")
	}
}

// TestEndpointFaults has the reason of each way in which a server can fail.
func TestEndpointFaults(t *testing.T) {
	answer := func(text string) string {
		return "a=http://" + serve(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, text)
			if strings.HasSuffix(text, "hang") {
				_, _ = io.Copy(io.Discard, conn)
			}
			if strings.HasSuffix(text, "reset") {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
		}).address()
	}
	head := "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
	for _, c := range []struct {
		what, entry string
		reason      probes.Reason
		status      bool
	}{
		{"refused", "a=http://" + closedPort(t), probes.ReasonConnect, false},
		{"no answer", answer("hang"), probes.ReasonTimeout, false},
		{"no answer over TLS", strings.Replace(answer("hang"), "http", "https", 1), probes.ReasonTimeout, false},
		{"half a header", answer("HTTP/1.1 200 OK\r\nhang"), probes.ReasonTimeout, false},
		{"slow body", answer(head + "hang"), probes.ReasonTimeout, true},
		{"reset in the body", answer(head + "reset"), probes.ReasonReset, true},
		{"cut in the body", answer(head), probes.ReasonReset, true},
		{"nothing", answer(""), probes.ReasonReset, false},
		{"garbage", answer("\x00\x01\x02garbage\r\n\r\n"), probes.ReasonProtocol, false},
		{"large header", answer("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 2*maxHeader) + "\r\n\r\n"), probes.ReasonProtocol, false},
		{"garbage in a chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), probes.ReasonProtocol, true},
	} {
		start := time.Now()
		if c.reason == probes.ReasonTimeout { // the others end by themselves
			c.entry += " timeout=300ms"
		}
		values, err := probetest.Poll(t, opened(t, endpointKind, c.entry), 10*time.Second)
		if probes.ReasonOf(err) != c.reason {
			t.Errorf("%s: %q, want %q: %v", c.what, probes.ReasonOf(err), c.reason, err)
		}
		if _, ok := values[`soakd_endpoint_status_code{probe="endpoint/a"}`]; ok != c.status {
			t.Errorf("%s: status %v, want %v; all: %v", c.what, ok, c.status, values)
		}
		if took := time.Since(start); took > 9*time.Second {
			t.Errorf("%s: took %v", c.what, took)
		}
	}
}
