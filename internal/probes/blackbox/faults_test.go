package blackbox

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
)

// overTCP are entries for a server at an address, one of each kind.
func overTCP(address string) map[string]string {
	return map[string]string{
		endpointKind: "a=http://" + address, exporterKind: "a=http://" + address, tcpKind: "a=" + address, certificateKind: "a=" + address,
		dnsKind: "a=x.example transport=tcp server=" + address,
	}
}

func TestBlackHole(t *testing.T) {
	for kind, entry := range overTCP(probetest.BlackHole(t)) {
		start := time.Now()
		values, err := probetest.Poll(t, opened(t, kind, entry), 300*time.Millisecond)
		if probes.ReasonOf(err) != probes.ReasonTimeout || len(values) != 0 {
			t.Errorf("%s: %q, %v, %v", kind, probes.ReasonOf(err), err, values)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v for 300 ms", kind, took)
		}
	}
}

// A poll that is told to stop does so at once, wherever it is.
func TestPollEndsWithItsContext(t *testing.T) {
	held := make(chan struct{}, 10)
	silent := serve(t, func(conn net.Conn) {
		held <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	})
	entries := overTCP(silent.address())
	entries[tcpKind] += " expect=x"
	for kind, entry := range entries {
		probe := opened(t, kind, entry)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		done := make(chan error, 1)
		go func() {
			_, err := probe.Poll(ctx)
			done <- err
		}()
		<-held
		cancel()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s: succeeded", kind)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: goes on", kind)
		}
	}
}

// openFiles counts the file descriptors of the process, 0 where /proc is not.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// TestThousandFailuresLeaveNothing lets each kind fail in several ways, then
// succeed, and counts what is left.
func TestThousandFailuresLeaveNothing(t *testing.T) {
	var failing atomic.Bool
	var served atomic.Int32
	faults := []func(net.Conn){
		func(net.Conn) {},
		func(conn net.Conn) { _, _ = io.WriteString(conn, "\x00\x05garbage\n\n") },
		func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) },
		func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
		},
	}
	ca := newAuthority(t)
	good := good(t, ca)
	for kind, entry := range overTCP("ADDRESS") {
		s := serve(t, func(conn net.Conn) {
			if failing.Load() {
				faults[int(served.Add(1))%len(faults)](conn)
				return
			}
			good[kind](conn)
		})
		entry = strings.ReplaceAll(entry, "ADDRESS", s.address())
		if kind == tcpKind {
			entry += " send=hi expect=^hello$"
		}
		if kind == certificateKind {
			entry += " ca=" + ca.file
		}
		probe := opened(t, kind, entry)
		failing.Store(false)
		probetest.Eventually(t, probe, kind+" works", func(_ probetest.Values, err error) bool { return err == nil })
		goroutines, files := runtime.NumGoroutine(), openFiles()
		failing.Store(true)
		for range 1000 {
			if _, err := probetest.Poll(t, probe, 5*time.Second); err == nil {
				t.Fatalf("%s: succeeds with a server that fails", kind)
			}
		}
		failing.Store(false)
		probetest.Eventually(t, probe, kind+" works again and has left nothing", func(_ probetest.Values, err error) bool {
			_, open := s.counts()
			return err == nil && open <= 1 && runtime.NumGoroutine() <= goroutines+3 && openFiles() <= files+3
		})
	}
}

// good answers a connection as each kind wants it.
func good(t testing.TB, ca *authority) map[string]func(net.Conn) {
	t.Helper()
	pair := ca.issue("127.0.0.1", inDays(9))
	return map[string]func(net.Conn){
		endpointKind: func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		},
		exporterKind: func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n")
		},
		tcpKind: func(conn net.Conn) {
			_, _ = io.WriteString(conn, "hello\r\n")
			_, _ = io.Copy(io.Discard, conn)
		},
		certificateKind: shake(pair),
		dnsKind: func(conn net.Conn) {
			answerStream(t, conn, func(question dnsmessage.Message, _ string) []byte {
				return packed(reply(question, 0, record(9, address4(1))))
			})
		},
	}
}

// TestRecovery cuts the way and mends it: no restart is needed.
func TestRecovery(t *testing.T) {
	ca := newAuthority(t)
	for kind, serveGood := range good(t, ca) {
		s := serve(t, serveGood)
		proxy := probetest.NewProxy(t, s.address())
		entry := overTCP(proxy.Address())[kind]
		if kind == certificateKind {
			entry += " ca=" + ca.file
		}
		probe := opened(t, kind, entry)
		works := func(_ probetest.Values, err error) bool { return err == nil }
		probetest.Eventually(t, probe, kind+" works", works)
		proxy.Down()
		if values, err := probetest.Poll(t, probe, 5*time.Second); probes.ReasonOf(err) != probes.ReasonConnect || len(values) != 0 {
			t.Errorf("%s: %q, %v, %v", kind, probes.ReasonOf(err), err, values)
		}
		proxy.Up(s.address())
		probetest.Eventually(t, probe, kind+" works again", works)
		if open := proxy.Connections(); open > 1 {
			t.Errorf("%s: %d connections are open", kind, open)
		}
	}
}

// TestCostIsCounted asserts the requests and the time that a poll reports.
func TestCostIsCounted(t *testing.T) {
	ca := newAuthority(t)
	for kind, serveGood := range good(t, ca) {
		entry := overTCP(serve(t, serveGood).address())[kind]
		if kind == certificateKind {
			entry += " ca=" + ca.file
		}
		reading, err := opened(t, kind, entry).Poll(t.Context())
		if err != nil || reading.Cost.Queries != 1 || reading.Cost.Time <= 0 || reading.Cost.Time > 5*time.Second {
			t.Errorf("%s: %+v, %v", kind, reading.Cost, err)
		}
	}
}

// Only requests that were sent cost anything: neither the way to a server that is
// away, nor one request for several that a redirect leads to.
func TestCostIsOfRequestsThatWereSent(t *testing.T) {
	redirects := website(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusFound)
		}
	})
	for _, c := range []struct {
		kind, entry string
		queries     int
	}{
		{endpointKind, "a=http://" + closedPort(t), 0},
		{endpointKind, "a=https://" + closedPort(t), 0},
		{exporterKind, "a=http://" + closedPort(t), 0},
		{endpointKind, "a=" + redirects.URL, 1},
		{endpointKind, "a=" + redirects.URL + " redirects=1", 2},
	} {
		reading, _ := opened(t, c.kind, c.entry).Poll(t.Context())
		if reading.Cost.Queries != c.queries || (reading.Cost.Time > 0) != (c.queries > 0) {
			t.Errorf("%s %s: %+v, want %d requests", c.kind, c.entry, reading.Cost, c.queries)
		}
	}
}
