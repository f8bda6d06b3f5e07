package wire

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve listens on 127.0.0.1 and runs serve for each connection, which it closes.
// Everything has ended when the test has.
func serve(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, listener, serve)
	return listener.Addr().String()
}

func serveOn(t testing.TB, listener net.Listener, serve func(net.Conn)) {
	t.Helper()
	var (
		members sync.WaitGroup
		mu      sync.Mutex
		open    []net.Conn
	)
	members.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			members.Go(func() {
				defer conn.Close() //nolint:errcheck // it may be closed already
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		members.Wait()
	})
}

// answering serves requests, each with the next of the answers, and then closes.
func answering(answers ...string) func(net.Conn) {
	return func(conn net.Conn) {
		br := bufio.NewReader(conn)
		for _, answer := range answers {
			request, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_ = request.Body.Close()
			if _, err := conn.Write([]byte(answer)); err != nil {
				return
			}
		}
	}
}

// waits reads until the other side closes, so that what was answered is not lost.
func waits(serve func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		serve(conn)
		buffer := make([]byte, 4096)
		for {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
		}
	}
}

func config(t testing.TB, target string, change func(*Config)) Config {
	t.Helper()
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Target: u, UserAgent: "soakd/test", MaxResponseBytes: 1 << 20, DialTimeout: 10 * time.Second}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func newDialer(t testing.TB, target string, change func(*Config)) *Dialer {
	t.Helper()
	d, err := NewDialer(config(t, target, change))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dial makes a connection of HTTP/1.1 that ends with the test.
func dial(t testing.TB, d *Dialer) *Conn {
	t.Helper()
	link, err := d.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if link.Conn == nil {
		t.Fatal("the connection is not one of HTTP/1.1")
	}
	t.Cleanup(link.Conn.Close)
	return link.Conn
}

// exchange sends a request and reads its answer, as a slot of the pool does.
func exchange(c *Conn, r *Request, a *Answer, limit time.Duration) error {
	return exchangeBy((*Conn).Start, c, r, a, limit)
}

// exchangeBy is exchange with Start or Ask.
func exchangeBy(begin func(*Conn, *Request, time.Time) error, c *Conn, r *Request, a *Answer, limit time.Duration) error {
	err := begin(c, r, time.Now().Add(limit))
	if err == nil {
		err = c.Finish(a)
	}
	c.Settle(a, err != nil)
	return err
}

const patience = 10 * time.Second

func get(path string) *Request { return &Request{Method: http.MethodGet, Path: path} }

// kindOf returns the kind of an error, 0 without one.
func kindOf(t testing.TB, err error) Kind {
	t.Helper()
	if err == nil {
		return 0
	}
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("%v is no *Error", err)
	}
	return failed.Kind
}
