package blackbox

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
)

// speaker is a server of lines: it sends the greeting and then answers each line
// that it knows; upgrade is the line after whose answer TLS starts.
func speaker(t testing.TB, greeting string, answers map[string]string, upgrade string, certificate *tls.Certificate) *server {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, greeting)
		lines := bufio.NewReader(conn)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(line, "\r\n")
			_, _ = io.WriteString(conn, answers[line])
			if certificate != nil && line == upgrade {
				conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*certificate}})
				lines = bufio.NewReader(conn)
			}
		}
	})
}

// A greeting without a line end is an answer all the same.
func TestTCPAnswerWithoutALineEnd(t *testing.T) {
	address := serve(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "busy") }).address()
	_, err := probetest.Poll(t, opened(t, tcpKind, "a="+address+" expect=^ready"), 5*time.Second)
	wantReason(t, err, probes.ReasonCheck, "step 1 of 1: expect: no line matches among 1, and the server has ended the connection")
	_, err = probetest.Poll(t, opened(t, tcpKind, "a="+address+" expect=^busy expect=^ready"), 5*time.Second)
	wantReason(t, err, probes.ReasonReset, "step 2 of 2: expect: no line matches among 0: EOF")
	if _, err = probetest.Poll(t, opened(t, tcpKind, "a="+address+" expect=^busy$"), 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestTCPConnects(t *testing.T) {
	silent := serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	probe := opened(t, tcpKind, "a="+silent.address())
	for polls := range 3 {
		values, err := probetest.Poll(t, probe, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, values, map[string]float64{`soakd_tcp_connect_seconds{probe="tcp/a"}`: float64(polls + 1)})
		if took, ok := values[`soakd_tcp_phase_seconds{probe="tcp/a",phase="connect"}`]; !ok || took <= 0 || len(values) != 2 {
			t.Errorf("%v", values)
		}
	}
	silent.awaitAccepted(t, 3)
}

func TestTCPSpeaks(t *testing.T) {
	mail := speaker(t, "220-mail\r\n220 ready\r\n", map[string]string{"EHLO a b": "250-x\r\n250 y\r\n", "QUIT": "221 bye"}, "", nil)
	values, err := probetest.Poll(t, opened(t, tcpKind, "a="+mail.address()+` expect='^220 ' send='EHLO a b' expect='^250 y$'`), 5*time.Second)
	if _, ok := values[`soakd_tcp_phase_seconds{probe="tcp/a",phase="dialogue"}`]; err != nil || !ok {
		t.Errorf("%v, %v", values, err)
	}
	line := func(text string) string {
		return "a=" + serve(t, func(conn net.Conn) { _, _ = io.WriteString(conn, text) }).address()
	}
	if _, err := probetest.Poll(t, opened(t, tcpKind, line("no end")+" expect='^no end$'"), 5*time.Second); err != nil {
		t.Errorf("a last line without its end: %v", err)
	}
	for entry, want := range map[string]struct {
		reason probes.Reason
		text   string
	}{
		line("hunter2\nno\n") + " expect=yes":                   {probes.ReasonCheck, "step 1 of 1: expect: no line matches among 2, and the server has ended the connection"},
		line("") + " expect=yes":                                {probes.ReasonReset, "step 1 of 1: expect: no line matches among 0: EOF"},
		line(strings.Repeat("x", maxLine+1)) + " expect=yes":    {probes.ReasonProtocol, "step 1 of 1: expect: a line is longer than 4096 bytes"},
		line(strings.Repeat("x\n", maxLines+9)) + " expect=yes": {probes.ReasonCheck, "step 1 of 1: expect: no line matches among the first 200"},
	} {
		values, err := probetest.Poll(t, opened(t, tcpKind, entry), 5*time.Second)
		wantReason(t, err, want.reason, want.text)
		if _, ok := values[`soakd_tcp_phase_seconds{probe="tcp/a",phase="connect"}`]; !ok {
			t.Errorf("%s: the time of connecting is lost: %v", entry, values)
		}
	}
	_, err = probetest.Poll(t, opened(t, tcpKind, "a="+mail.address()+" expect=never timeout=200ms"), 5*time.Second)
	if probes.ReasonOf(err) != probes.ReasonTimeout || !strings.HasPrefix(err.Error(), "step 1 of 1: expect: no line matches among 2: read tcp ") {
		t.Errorf("%q: %v", probes.ReasonOf(err), err)
	}
}

func TestTCPSpeaksOverTLS(t *testing.T) {
	ca := newAuthority(t)
	expires := inDays(5)
	pair := ca.issue("127.0.0.1", expires)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	direct := serveOn(t, listener, func(conn net.Conn) { _, _ = io.WriteString(conn, "hello\n") })
	mail := speaker(t, "220 hi\r\n", map[string]string{"EHLO soakd": "250-a\r\n250 b\r\n", "STARTTLS": "220 go\r\n", "NOOP": "250 fine\r\n"}, "STARTTLS", &pair)
	for _, entry := range []string{
		direct.address() + " tls=true expect=hello ca=" + ca.file,
		direct.address() + " tls=true expect=hello insecure=true",
		mail.address() + " starttls=smtp send=NOOP expect='^250 fine$' ca=" + ca.file,
	} {
		values, err := probetest.Poll(t, opened(t, tcpKind, "a="+entry), 5*time.Second)
		if err != nil {
			t.Errorf("%s: %v", entry, err)
		}
		wants(t, values, map[string]float64{`soakd_tcp_certificate_expiry_timestamp_seconds{probe="tcp/a"}`: float64(expires.Unix())})
	}
	values, err := probetest.Poll(t, opened(t, tcpKind, "a="+direct.address()+" tls=true expect=hello"), 5*time.Second)
	if probes.ReasonOf(err) != probes.ReasonTLS {
		t.Errorf("an unknown authority: %q, %v", probes.ReasonOf(err), err)
	}
	wants(t, values, map[string]float64{`soakd_tcp_certificate_expiry_timestamp_seconds{probe="tcp/a"}`: float64(expires.Unix())})
}

// A server may put words before TLS that would be taken for what comes after it
// (CVE-2011-0411).
func TestTCPTakesNothingFromBeforeTLS(t *testing.T) {
	ca := newAuthority(t)
	pair := ca.issue("127.0.0.1", inDays(5))
	mail := speaker(t, "220 hi\r\n", map[string]string{"EHLO soakd": "250 b\r\n", "STARTTLS": "220 go\r\n250 injected\r\n"}, "STARTTLS", &pair)
	_, err := probetest.Poll(t, opened(t, tcpKind, "a="+mail.address()+" starttls=smtp expect=injected ca="+ca.file), 5*time.Second)
	wantReason(t, err, probes.ReasonProtocol, "the server goes on to speak where TLS must start")
}

// TestTCPOnARealRedis speaks the inline commands of a real server.
func TestTCPOnARealRedis(t *testing.T) {
	redis, err := localservices.StartRedis(t.Context(), localservices.Options{Mode: localservices.System})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := redis.Stop(); err != nil {
			t.Error(err)
		}
	}()
	where, err := url.Parse(redis.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	proxy := probetest.NewProxy(t, where.Host)
	probe := opened(t, tcpKind, "a="+proxy.Address()+` send=PING expect='^\+PONG$|^-NOAUTH'`)
	if _, err := probetest.Poll(t, probe, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	proxy.Down()
	if _, err := probetest.Poll(t, probe, 5*time.Second); probes.ReasonOf(err) != probes.ReasonConnect {
		t.Errorf("down: %q, %v", probes.ReasonOf(err), err)
	}
	proxy.Up(where.Host)
	if _, err := probetest.Poll(t, probe, 5*time.Second); err != nil {
		t.Errorf("up again: %v", err)
	}
	// The kernel takes connections for a process that hangs.
	values, err := hung(t, redis.PID(), probe)
	if _, connected := values[`soakd_tcp_phase_seconds{probe="tcp/a",phase="connect"}`]; probes.ReasonOf(err) != probes.ReasonTimeout || !connected {
		t.Errorf("hung: %q, %v, %v", probes.ReasonOf(err), err, values)
	}
	if _, err := probetest.Poll(t, probe, 5*time.Second); err != nil {
		t.Errorf("after it hung: %v", err)
	}
}

func TestTCPKeepsSecretsOutOfErrors(t *testing.T) {
	_, err := probetest.Poll(t, opened(t, tcpKind, "a="+closedPort(t)+" send=hunter2 expect=hunter3"), 5*time.Second)
	if err == nil || strings.Contains(err.Error(), "hunter") {
		t.Error(err)
	}
}

// FuzzDialogue reads lines from anybody.
func FuzzDialogue(f *testing.F) {
	f.Add([]byte("220-a\r\n220 b\r\n"), "^220 ")
	f.Add([]byte("\x00\n\n\r"), "^$")
	f.Fuzz(func(t *testing.T, input []byte, expression string) {
		wanted, err := compile(expression)
		if err != nil {
			return
		}
		d := &dialogue{lines: bufio.NewReaderSize(bytes.NewReader(input), maxLine)}
		if err := d.run([]step{{expect: wanted}}); err == nil && !slices.ContainsFunc(bytes.SplitAfter(input, []byte("\n")), func(line []byte) bool { return wanted.Match(trimEnd(line)) }) {
			t.Errorf("%q matches no line of %q", expression, input)
		}
	})
}
