package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// exchange2 is exchange over HTTP/2.
func exchange2(h *HTTP2Conn, r *Request, a *Answer, limit time.Duration) error {
	if !h.Reserve(time.Now()) {
		return &Error{Kind: Reset, Unsent: true, Silent: true, Err: errors.New("not reserved")}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return h.Exchange(ctx, r, a)
}

// speaking2 starts a server of HTTP/2 without TLS.
func speaking2(t testing.TB, streams int, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func dial2(t testing.TB, d *Dialer) *HTTP2Conn {
	t.Helper()
	link, err := d.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.HTTP2.Close)
	return link.HTTP2
}

func h2c(change func(*Config)) func(*Config) {
	return func(cfg *Config) {
		cfg.Version = HTTP2
		if change != nil {
			change(cfg)
		}
	}
}

func TestHTTP2Answers(t *testing.T) {
	gz := packed(t, "hello")
	server := speaking2(t, 10, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/echo":
			content, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %s %s %d %s", r.Method, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), r.ContentLength, content)
		case "/base/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, gz)
		case "/base/nogzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "hello")
		case "/base/accepts":
			_, _ = io.WriteString(w, r.Header.Get("Accept-Encoding"))
		case "/base/large":
			_, _ = w.Write(make([]byte, 1<<20+1))
		case "/base/headers":
			for i := range 2 * headerBytes >> 10 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1<<10))
			}
		case "/base/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/base/abort":
			panic(http.ErrAbortHandler)
		case "/base/abort-later":
			_, _ = io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	d := newDialer(t, server.URL+"/base", h2c(func(cfg *Config) { cfg.Compression = true }))
	h := dial2(t, d)
	if h.Streams() != 10 {
		t.Errorf("%d streams, want the 10 that the server allows", h.Streams())
	}
	for _, test := range []struct {
		path, method, body string
		kind               Kind
		status             int
		want               string
	}{
		{path: "/echo", method: "POST", body: "{}", status: 200, want: "POST application/json Bearer t 2 {}"},
		{path: "/echo", method: "POST", status: 200, want: "POST application/json Bearer t 0 "},
		{path: "/echo", method: "HEAD", status: 200},
		{path: "/gzip", method: "GET", status: 200, want: "hello"},
		{path: "/gzip", method: "HEAD", status: 200},
		{path: "/nogzip", method: "GET", status: 200, kind: Protocol},
		{path: "/accepts", method: "GET", status: 200, want: "gzip"},
		{path: "/large", method: "GET", status: 200, kind: TooLarge},
		{path: "/headers", method: "GET", status: 200, kind: TooLarge},
		{path: "/redirect", method: "HEAD", status: 302},
		{path: "/abort", method: "GET", kind: Reset},
		{path: "/abort-later", method: "GET", status: 200, kind: Reset},
		{path: "/echo", method: "DELETE", status: 200, want: "DELETE application/json Bearer t 0 "},
	} {
		var a Answer
		r := &Request{Method: test.method, Path: test.path, ContentType: "application/json", Token: "t"}
		if test.body != "" {
			r.Body = []byte(test.body)
		}
		err := exchange2(h, r, &a, patience)
		if kindOf(t, err) != test.kind || a.Status != test.status || (err == nil && string(a.Body) != test.want) {
			t.Errorf("%s %s: kind %d (%v), status %d, %q", test.method, test.path, kindOf(t, err), err, a.Status, a.Body)
		}
		a.Release()
	}
	if !h.Usable(time.Now()) || h.Used() != 13 || d.Memory().Held() != 0 {
		t.Errorf("usable %v, %d used, %d bytes held", h.Usable(time.Now()), h.Used(), d.Memory().Held())
	}
}

// Requests that run into their time limit leave the connection to the others.
func TestHTTP2TimeoutsLeaveTheConnection(t *testing.T) {
	var inside atomic.Int64
	server := speaking2(t, 4, func(w http.ResponseWriter, r *http.Request) {
		inside.Add(1)
		defer inside.Add(-1)
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
		}
	})
	h := dial2(t, newDialer(t, server.URL, h2c(nil)))
	for range 3 {
		var members sync.WaitGroup
		for range 4 {
			members.Go(func() {
				var a Answer
				if err := exchange2(h, &Request{Method: "POST", Path: "/hang", Body: make([]byte, 100)}, &a, 20*time.Millisecond); kindOf(t, err) != Timeout {
					t.Errorf("got %v, want a timeout", err)
				}
			})
		}
		members.Wait()
		var a Answer
		if err := exchange2(h, get("/"), &a, patience); err != nil || a.Status != 200 || !h.Usable(time.Now()) {
			t.Errorf("after four timeouts: status %d, %v", a.Status, err)
		}
	}
}

func TestHTTP2KeepsItsLimits(t *testing.T) {
	server := speaking2(t, 100, func(http.ResponseWriter, *http.Request) {})
	h := dial2(t, newDialer(t, server.URL, h2c(func(cfg *Config) { cfg.MaxRequests, cfg.MaxAge = 20, time.Hour })))
	var sent atomic.Int64
	var members sync.WaitGroup
	for range 50 {
		members.Go(func() {
			var a Answer
			if exchange2(h, get("/"), &a, patience) == nil {
				sent.Add(1)
			}
		})
	}
	members.Wait()
	if sent.Load() != 20 || h.Usable(time.Now()) || h.Used() != 20 {
		t.Errorf("%d of 50 went over a connection for 20, used %d", sent.Load(), h.Used())
	}
	h = dial2(t, newDialer(t, server.URL, h2c(func(cfg *Config) { cfg.MaxAge = time.Hour })))
	if !h.Usable(h.Opened.Add(time.Hour-1)) || h.Usable(h.Opened.Add(time.Hour)) || h.Reserve(h.Opened.Add(time.Hour)) {
		t.Error("the age of an hour is not kept")
	}
}

// A server that shuts down lets what it has taken finish, and takes nothing more.
func TestHTTP2LeavingTarget(t *testing.T) {
	inside, finish := make(chan struct{}), make(chan struct{})
	server := speaking2(t, 10, func(w http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	h := dial2(t, newDialer(t, server.URL, h2c(nil)))
	var a Answer
	ended := make(chan error, 1)
	go func() { ended <- exchange2(h, get("/"), &a, time.Minute) }()
	<-inside
	shut := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() { shut <- server.Config.Shutdown(ctx) }()
	waitFor(t, func() bool { return !h.Usable(time.Now()) })
	if h.Reserve(time.Now()) {
		t.Error("a connection that was told to go away takes another request")
	}
	// Who does not ask first is told so, and may send it elsewhere.
	var failed *Error
	var late Answer
	if err := h.Exchange(ctx, get("/"), &late); !errors.As(err, &failed) || failed.Kind != Reset || !failed.Unsent || !failed.Silent {
		t.Errorf("a request after the notice: %#v", err)
	}
	close(finish)
	if err := <-ended; err != nil || string(a.Body) != "done" {
		t.Errorf("the request under way: %q, %v", a.Body, err)
	}
	h.Close()
	if err := <-shut; err != nil {
		t.Error(err)
	}
}

func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	for start := time.Now(); !condition(); time.Sleep(100 * time.Microsecond) { // a pause between looks, not a wait for something
		if time.Since(start) > patience {
			t.Fatal("what was waited for never came")
		}
	}
}

func frame(kind, flags byte, payload ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return append(append(b, flags, 0, 0, 0, 0), payload...)
}

// The watch finds what it looks for, in whatever pieces it comes.
func TestFrameWatch(t *testing.T) {
	streams := func(n byte) []byte { return []byte{0, 4, 0, 1, 0, 0, 0, 3, 0, 0, 0, n} }
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	for name, test := range map[string]struct {
		input   []byte
		begun   bool
		failure bool
		limit   int64
		leaving bool
	}{
		"nothing":            {nil, false, false, unlimitedStreams, false},
		"empty settings":     {frame(4, 0), true, false, unlimitedStreams, false},
		"settings":           {frame(4, 0, streams(7)...), true, false, 7, false},
		"cut off":            {frame(4, 0, streams(7)...)[:20], false, false, unlimitedStreams, false},
		"changed later":      {join(frame(4, 0, streams(7)...), frame(4, 1), frame(0, 0, streams(9)...), frame(4, 0, streams(8)...)), true, false, 8, false},
		"an odd length":      {join(frame(4, 0, 0, 3, 0), frame(4, 0, streams(8)...)), true, false, 8, false},
		"leaving":            {join(frame(4, 0), frame(6, 0, 0, 0, 0, 0, 0, 0, 0, 0), frame(7, 0, 0, 0, 0, 1, 0, 0, 0, 0)), true, false, unlimitedStreams, true},
		"data is no frame":   {join(frame(4, 0), frame(0, 0, frame(7, 0)...)), true, false, unlimitedStreams, false},
		"something else":     {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), true, true, unlimitedStreams, false},
		"something else too": {frame(0, 0, 1), true, true, unlimitedStreams, false},
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size <= len(test.input)+1; size++ {
				f := watchFrames(nil)
				for rest := test.input; len(rest) > 0; {
					n := min(size, len(rest))
					f.watch(rest[:n])
					rest = rest[n:]
				}
				begun := false
				select {
				case <-f.begun:
					begun = true
				default:
				}
				if begun != test.begun || (begun && (f.beginError() != nil) != test.failure) || f.limit.Load() != test.limit || f.leaving.Load() != test.leaving {
					t.Fatalf("in pieces of %d: begun %v, limit %d, leaving %v, %v", size, begun, f.limit.Load(), f.leaving.Load(), f.failure)
				}
			}
		})
	}
}

func FuzzFrameWatch(f *testing.F) {
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 3)
	f.Add(append(frame(4, 0, 0, 3, 0, 0, 0, 9), frame(7, 0)...), 1)
	f.Fuzz(func(t *testing.T, input []byte, size int) {
		whole, pieces := watchFrames(nil), watchFrames(nil)
		whole.watch(input)
		size = max(size, 1)
		for len(input) > 0 {
			n := min(size, len(input))
			pieces.watch(input[:n])
			input = input[n:]
		}
		if whole.limit.Load() != pieces.limit.Load() || whole.leaving.Load() != pieces.leaving.Load() || (whole.failure == nil) != (pieces.failure == nil) {
			t.Errorf("the whole gives %d, %v, the pieces %d, %v", whole.limit.Load(), whole.leaving.Load(), pieces.limit.Load(), pieces.leaving.Load())
		}
	})
}

// The bytes of a request's body may be used again as soon as Exchange returns.
func TestHTTP2LetsGoOfTheBody(t *testing.T) {
	server := speaking2(t, 100, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/early" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		<-r.Context().Done()
	})
	h := dial2(t, newDialer(t, server.URL, h2c(nil)))
	body := make([]byte, 1<<20)
	for i := range 20 {
		path := "/early"
		if i%2 == 1 {
			path = "/hang"
		}
		var a Answer
		err := exchange2(h, &Request{Method: "POST", Path: path, Body: body}, &a, 5*time.Millisecond)
		if err != nil && kindOf(t, err) != Timeout && kindOf(t, err) != Reset {
			t.Errorf("%s: %v", path, err)
		}
		clear(body) // the race detector tells when someone still reads it
	}
}

var _ net.Conn = (*frameWatch)(nil)
