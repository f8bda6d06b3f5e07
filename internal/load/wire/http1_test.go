package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func packed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sized(head, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

func TestAnswersOfEveryForm(t *testing.T) {
	gz := packed(t, strings.Repeat("hello ", 1000))
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, test := range map[string]struct {
		method string
		answer string
		// hold keeps the connection open after the answer.
		hold   bool
		kind   Kind
		status int
		body   string
		reuse  bool
	}{
		"content length":         {answer: sized("", "hello"), hold: true, status: 200, body: "hello", reuse: true},
		"empty":                  {answer: sized("", ""), hold: true, status: 200, reuse: true},
		"chunked":                {answer: chunked + "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", hold: true, status: 200, body: "hello world", reuse: true},
		"chunk extensions":       {answer: chunked + "5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n", hold: true, status: 200, body: "hello", reuse: true},
		"trailers":               {answer: chunked + "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n", hold: true, status: 200, body: "hello", reuse: true},
		"chunked and empty":      {answer: chunked + "0\r\n\r\n", hold: true, status: 200, reuse: true},
		"too many trailers":      {answer: chunked + "0\r\n" + strings.Repeat("X: 1\r\n", 100) + "\r\n", hold: true, status: 200, kind: TooLarge},
		"a huge trailer":         {answer: chunked + "0\r\nX: " + strings.Repeat("x", headerBytes) + "\r\n\r\n", hold: true, status: 200, kind: TooLarge},
		"no chunk size":          {answer: chunked + "zz\r\nhello\r\n0\r\n\r\n", hold: true, status: 200, kind: Protocol},
		"a chunk beyond measure": {answer: chunked + "fffffffffffffffff\r\nhello\r\n", hold: true, status: 200, kind: Protocol},
		"until the end":          {answer: "HTTP/1.1 200 OK\r\n\r\nhello", status: 200, body: "hello"},
		"HTTP/1.0":               {answer: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", hold: true, status: 200, body: "hello"},
		"HTTP/1.0 kept":          {answer: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", hold: true, status: 200, body: "hello", reuse: true},
		"close":                  {answer: sized("Connection: close\r\n", "hello"), hold: true, status: 200, body: "hello"},
		"close, in capitals":     {answer: sized("CONNECTION: Close\r\n", "hello"), hold: true, status: 200, body: "hello"},
		"HEAD":                   {method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", hold: true, status: 200, reuse: true},
		"HEAD of a packed one":   {method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n", hold: true, status: 200, reuse: true},
		"HEAD, chunked":          {method: "HEAD", answer: chunked, hold: true, status: 200, reuse: true},
		"204":                    {answer: "HTTP/1.1 204 No Content\r\n\r\n", hold: true, status: 204, reuse: true},
		"304":                    {answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", hold: true, status: 304, reuse: true},
		"redirect":               {answer: "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", hold: true, status: 302, reuse: true},
		"100 first":              {answer: "HTTP/1.1 100 Continue\r\n\r\n" + sized("", "hello"), hold: true, status: 200, body: "hello", reuse: true},
		"103 and 100 first":      {answer: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + sized("", "hello"), hold: true, status: 200, body: "hello", reuse: true},
		"101":                    {answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", hold: true, status: 101},
		"gzip":                   {answer: sized("Content-Encoding: gzip\r\n", gz), hold: true, status: 200, body: strings.Repeat("hello ", 1000), reuse: true},
		"x-gzip in chunks":       {answer: "HTTP/1.1 200 OK\r\nContent-Encoding: X-GZIP\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(gz), gz), hold: true, status: 200, body: strings.Repeat("hello ", 1000), reuse: true},
		"gzip until the end":     {answer: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gz, status: 200, body: strings.Repeat("hello ", 1000)},
		"gzip of nothing":        {answer: sized("Content-Encoding: gzip\r\n", ""), hold: true, status: 200, reuse: true},
		"no gzip":                {answer: sized("Content-Encoding: gzip\r\n", "hello, this is no gzip"), hold: true, status: 200, kind: Protocol},
		"no gzip, short":         {answer: sized("Content-Encoding: gzip\r\n", "he"), hold: true, status: 200, kind: Protocol},
		"no gzip until the end":  {answer: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nhe", status: 200, kind: Protocol},
		"gzip cut off":           {answer: sized("Content-Encoding: gzip\r\n", gz[:len(gz)-9]), hold: true, status: 200, kind: Protocol},
		"gzip with a bad sum":    {answer: sized("Content-Encoding: gzip\r\n", gz[:len(gz)-8]+"\x00\x00\x00\x00\x00\x00\x00\x00"), hold: true, status: 200, kind: Protocol},
		"other coding is kept":   {answer: sized("Content-Encoding: br\r\n", "hello"), hold: true, status: 200, body: "hello", reuse: true},
		"too large":              {answer: sized("", strings.Repeat("x", 1<<20+1)), status: 200, kind: TooLarge},
		"largest":                {answer: sized("", strings.Repeat("x", 1<<20)), hold: true, status: 200, body: strings.Repeat("x", 1<<20), reuse: true},
		"largest until the end":  {answer: "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 1<<20), status: 200, body: strings.Repeat("x", 1<<20)},
		"too large to the end":   {answer: "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 1<<20+1), status: 200, kind: TooLarge},
		"length beyond measure":  {answer: "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", hold: true, status: 200, kind: TooLarge},
		"headers too large":      {answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", headerBytes) + "\r\n\r\n", hold: true, kind: TooLarge},
		"headers without end":    {answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", headerBytes), hold: true, kind: TooLarge},
		"two lengths":            {answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", hold: true, kind: Protocol},
		"negative length":        {answer: "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", hold: true, kind: Protocol},
		"garbage":                {answer: "220 smtp.test ESMTP\r\n", hold: true, kind: Protocol},
		"garbage and the end":    {answer: "220 smtp.test ESMTP\r\n", kind: Protocol},
		"left over":              {answer: sized("", "hello") + "more", hold: true, status: 200, body: "hello"},
		"nothing":                {answer: "", kind: Reset},
	} {
		t.Run(name, func(t *testing.T) {
			server := answering(test.answer)
			if test.hold {
				server = waits(server)
			}
			for name, begin := range map[string]func(*Conn, *Request, time.Time) error{"start": (*Conn).Start, "ask": (*Conn).Ask} {
				d := newDialer(t, serve(t, server), nil)
				c := dial(t, d)
				var a Answer
				request := get("/")
				if test.method != "" {
					request.Method = test.method
				}
				err := exchangeBy(begin, c, request, &a, patience)
				if kind := kindOf(t, err); kind != test.kind || a.Status != test.status {
					t.Fatalf("%s: kind %d (%v), status %d, want %d, %d", name, kind, err, a.Status, test.kind, test.status)
				}
				if err != nil {
					continue
				}
				if string(a.Body) != test.body {
					t.Errorf("%s: a body of %d bytes, %.40q, want %d bytes", name, len(a.Body), a.Body, len(test.body))
				}
				if reuse := c.Reusable(&a, time.Now()); reuse != test.reuse {
					t.Errorf("%s: reusable: %v, want %v", name, reuse, test.reuse)
				}
				a.Release()
				if held := d.Memory().Held(); held != 0 {
					t.Errorf("%s: %d bytes are held after the release", name, held)
				}
			}
		})
	}
}

// A connection is used again and again: nothing of an answer shows in the next.
func TestAnswersInTurn(t *testing.T) {
	c := dial(t, newDialer(t, serve(t, waits(answering(
		sized("X-One: 1\r\n", "first"), "HTTP/1.1 204 No Content\r\n\r\n", sized("Content-Encoding: gzip\r\n", packed(t, "third")), sized("X-Four: 4\r\n", "4"),
	))), nil))
	var a Answer
	for i, want := range []string{"first", "", "third", "4"} {
		begin := (*Conn).Start
		if i%2 == 1 {
			begin = (*Conn).Ask
		}
		if err := exchangeBy(begin, c, get("/"), &a, patience); err != nil || string(a.Body) != want || !c.Reusable(&a, time.Now()) {
			t.Fatalf("answer %d is %q, %v, want %q on a connection that can be used again", i, a.Body, err, want)
		}
	}
	if a.Get("X-One") != "" || a.Get("x-four") != "4" {
		t.Errorf("the headers of another answer: %q, %q", a.Get("X-One"), a.Get("x-four"))
	}
	if sent, received := c.Bytes(); c.Used() != 4 || sent == 0 || received == 0 {
		t.Errorf("%d used, %d bytes sent, %d received", c.Used(), sent, received)
	}
}

// What is cut off anywhere is a broken connection, never an answer and never a
// wait until the time is over.
func TestAnswersCutOffAtEveryByte(t *testing.T) {
	for name, whole := range map[string]string{
		"sized":   sized("X: y\r\n", "hello"),
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n",
		"interim": "HTTP/1.1 100 Continue\r\n\r\n" + sized("", "hello"),
		"gzip":    sized("Content-Encoding: gzip\r\n", packed(t, "hello")),
	} {
		t.Run(name, func(t *testing.T) {
			var next atomic.Int64
			d := newDialer(t, serve(t, func(conn net.Conn) { answering(whole[:next.Add(1)-1])(conn) }), nil)
			var a Answer
			for n := range len(whole) {
				c := dial(t, d)
				err := exchange(c, get("/"), &a, patience)
				if kind := kindOf(t, err); kind != Reset {
					t.Errorf("%d bytes of %q: kind %d (%v), want a reset", n, whole[:n], kind, err)
				}
				var failed *Error
				if errors.As(err, &failed) && failed.Silent != (n == 0) {
					t.Errorf("%d bytes: silent is %v", n, failed.Silent)
				}
				c.Close()
			}
		})
	}
}

func TestConnectionLimits(t *testing.T) {
	answers := []string{sized("", "1"), sized("", "2"), sized("", "3")}
	address := serve(t, waits(answering(answers...)))
	var a Answer
	c := dial(t, newDialer(t, address, func(cfg *Config) { cfg.MaxRequests = 2 }))
	for i, want := range []bool{true, false} {
		if err := exchange(c, get("/"), &a, patience); err != nil || c.Reusable(&a, time.Now()) != want {
			t.Errorf("after request %d of 2: %v, reusable %v, want %v", i+1, err, !want, want)
		}
	}
	c = dial(t, newDialer(t, address, func(cfg *Config) { cfg.MaxAge = time.Minute }))
	if err := exchange(c, get("/"), &a, patience); err != nil {
		t.Fatal(err)
	}
	if !c.Reusable(&a, c.Opened.Add(time.Minute-1)) || c.Reusable(&a, c.Opened.Add(time.Minute)) {
		t.Error("the age of a minute is not kept")
	}
}

// A bomb of 1 GiB of zeros, packed to 1 MiB, may cost no more than the limit.
func TestGzipBombCostsTheLimit(t *testing.T) {
	// 64 members of 16 MiB: packing 1 GiB at once takes long.
	bombs := strings.Repeat(packed(t, strings.Repeat("\x00", 16<<20)), 64)
	const limit = 4 << 20
	bomb := sized("Content-Encoding: gzip\r\n", bombs)
	c := dial(t, newDialer(t, serve(t, waits(answering(bomb))), func(cfg *Config) { cfg.MaxResponseBytes = limit }))
	before := liveHeap()
	var a Answer
	err := exchange(c, get("/"), &a, time.Minute)
	grown := liveHeap() - before
	if kindOf(t, err) != TooLarge {
		t.Errorf("a bomb gave %v", err)
	}
	// The packed body, the unpacked one up to the limit, and what a decoder needs.
	if most := int64(len(bombs) + limit + 1<<20); grown > most {
		t.Errorf("the live heap grew by %d bytes, want %d at most", grown, most)
	}
	a.Release()
	if a.Body != nil || a.packed != nil {
		t.Error("large buffers are kept")
	}
	runtime.KeepAlive(c)
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// All answers that are being read share one budget, beyond 32 KiB of each.
func TestAllAnswersAreBoundedTogether(t *testing.T) {
	const each = freeBytes + 8<<10
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, each))
		w.(http.Flusher).Flush()
		if r.URL.Path == "/stall" {
			<-release
		}
	}))
	defer server.Close()
	d := newDialer(t, server.URL, nil)
	d.memory.Limit = 12 << 10
	first, second := dial(t, d), dial(t, d)
	var stalled, beside Answer
	ended := make(chan error, 1)
	go func() { ended <- exchange(first, get("/stall"), &stalled, time.Minute) }()
	for start := time.Now(); d.Memory().Held() < 8<<10; runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatal("the first answer never came")
		}
	}
	if err := exchange(second, get("/"), &beside, patience); kindOf(t, err) != TooLarge {
		t.Errorf("8 KiB beside 8 KiB in a budget of 12: %v", err)
	}
	beside.Release()
	close(release)
	if err := <-ended; err != nil || len(stalled.Body) != each {
		t.Errorf("the first answer: %d bytes, %v", len(stalled.Body), err)
	}
	stalled.Release()
	third := dial(t, d)
	if err := exchange(third, get("/"), &beside, patience); err != nil || d.Memory().Held() != 8<<10 {
		t.Errorf("after both are gone: %v, %d bytes held, want 8 KiB", err, d.Memory().Held())
	}
	beside.Release()
	if held := d.Memory().Held(); held != 0 {
		t.Errorf("%d bytes held at the end", held)
	}
}

// The packed body counts as much as the unpacked one.
func TestPackedBodiesCount(t *testing.T) {
	noise := make([]byte, 100<<10)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	gz := packed(t, string(noise))
	d := newDialer(t, serve(t, waits(answering(sized("Content-Encoding: gzip\r\n", gz)))), nil)
	var a Answer
	if err := exchange(dial(t, d), get("/"), &a, patience); err != nil || !bytes.Equal(a.Body, noise) {
		t.Fatalf("%d bytes, %v", len(a.Body), err)
	}
	if want := int64(len(gz)+len(noise)) - freeBytes; d.Memory().Held() != want {
		t.Errorf("%d bytes held, want %d", d.Memory().Held(), want)
	}
	a.Release()
}

// A target may reject a large body before it has read it: the answer counts, the
// connection does not, and nobody waits for ever.
func TestAnswerBeforeTheRequestIsWritten(t *testing.T) {
	over := make(chan struct{})
	c := dial(t, newDialer(t, serve(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 512))
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		<-over // the rest is never read
	}), nil))
	defer close(over)
	var a Answer
	err := exchange(c, &Request{Method: "POST", Path: "/", Body: make([]byte, 32<<20)}, &a, patience)
	if err != nil || a.Status != 413 || string(a.Body) != "no" {
		t.Errorf("status %d, %q, %v, want the 413", a.Status, a.Body, err)
	}
	if c.Reusable(&a, time.Now()) {
		t.Error("a connection is used again whose last request was never written whole")
	}
}

// A large body is written whole beside the reading; the connection can be used on,
// at any later time.
func TestLargeBodies(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	}))
	defer server.Close()
	c := dial(t, newDialer(t, server.URL, nil))
	var a Answer
	for _, size := range []int{0, 1, directBytes - 400, directBytes, directBytes + 1, 1 << 20, 8 << 20, 10} {
		err := exchange(c, &Request{Method: "POST", Path: "/", Body: make([]byte, size)}, &a, patience)
		if err != nil || string(a.Body) != fmt.Sprint(size) || !c.Reusable(&a, time.Now()) {
			t.Fatalf("a body of %d bytes: %q, %v", size, a.Body, err)
		}
	}
	if c.Used() != 8 {
		t.Errorf("%d requests went over the connection, want 8", c.Used())
	}
}

// After an early answer whose request was written in time all the same, the write
// deadline that Settle set must be gone.
func TestSettleLeavesNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := newConn(newDialer(t, "target.test", nil), ours, ours, "target.test")
		c.direct = true
		body := make([]byte, directBytes)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			br := bufio.NewReaderSize(theirs, 16)
			_, _ = br.ReadByte()
			_, _ = io.WriteString(theirs, sized("", "early"))
			time.Sleep(settleTime - time.Millisecond)
			for range 2 {
				request, err := http.ReadRequest(br)
				if err != nil {
					// The first byte is gone: the line begins in the method.
					t.Errorf("read the rest of the request: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
			}
			_, _ = io.WriteString(theirs, sized("", "second"))
		}()
		var a Answer
		if err := exchange(c, &Request{Method: "POST", Path: "/", Body: body}, &a, patience); err != nil || string(a.Body) != "early" || a.Closing {
			t.Fatalf("%q, %v, closing %v", a.Body, err, a.Closing)
		}
		time.Sleep(time.Second)
		if err := exchange(c, get("/"), &a, patience); err != nil || string(a.Body) != "second" {
			t.Errorf("the next request meets an old deadline: %q, %v", a.Body, err)
		}
		c.Close()
		<-ended
	})
}

// The deadline is kept lazily: the socket is told when it would wake too late. It
// must be exact all the same, whatever the limits before were.
func TestDeadlinesOfChangingLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := []time.Duration{10 * time.Second, 50 * time.Millisecond, 10 * time.Second, 50 * time.Millisecond, time.Hour, time.Second}
		for slow := range limits {
			ours, theirs := net.Pipe()
			d := newDialer(t, "target.test", nil)
			c := newConn(d, ours, ours, "target.test")
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for i := range limits {
					if _, err := theirs.Read(make([]byte, 4096)); err != nil {
						return
					}
					if i == slow {
						_, _ = theirs.Read(make([]byte, 1)) // until it is closed
						return
					}
					time.Sleep(limits[i] - time.Millisecond)
					_, _ = io.WriteString(theirs, sized("", "ok"))
				}
			}()
			var a Answer
			for i, limit := range limits[:slow+1] {
				time.Sleep(3 * time.Second) // idle: the last deadline passes, or not
				start := time.Now()
				err := exchange(c, get("/"), &a, limit)
				if i < slow && err != nil {
					t.Fatalf("request %d of limit %v: %v after %v", i, limit, err, time.Since(start))
				}
				if i == slow && (kindOf(t, err) != Timeout || time.Since(start) != limit) {
					t.Errorf("request %d of limit %v ended with %v after %v", i, limit, err, time.Since(start))
				}
			}
			c.Close()
			_ = theirs.Close()
			<-ended
		}
	})
}

// Byte by byte: each byte in time, the answer not.
func TestSlowAnswerMeetsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := newConn(newDialer(t, "target.test", nil), ours, ours, "target.test")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = theirs.Read(make([]byte, 4096))
			for _, b := range []byte(sized("", strings.Repeat("x", 1000))) {
				time.Sleep(100 * time.Millisecond)
				if _, err := theirs.Write([]byte{b}); err != nil {
					return
				}
			}
		}()
		start := time.Now()
		var a Answer
		err := exchange(c, get("/"), &a, 10*time.Second)
		if took := time.Since(start); kindOf(t, err) != Timeout || a.Status != 200 || took != 10*time.Second {
			t.Errorf("%v, status %d after %v, want a timeout after 10 s", err, a.Status, took)
		}
		c.Close()
		<-ended
	})
}

func TestDeadlineOnASocket(t *testing.T) {
	var a Answer
	c := dial(t, newDialer(t, serve(t, waits(answering(sized("", "1")))), nil))
	if err := exchange(c, get("/"), &a, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := exchange(c, get("/"), &a, 50*time.Millisecond)
	if took := time.Since(start); kindOf(t, err) != Timeout || took < 50*time.Millisecond || took > 5*time.Second {
		t.Errorf("%v after %v, want a timeout after 50 ms", err, took)
	}
}

func TestAliveSeesAnEnd(t *testing.T) {
	for name, test := range map[string]struct {
		send  string
		close bool
		want  bool
	}{
		"open":       {want: true},
		"closed":     {close: true},
		"unasked":    {send: "HTTP/1.1 408 Request Timeout\r\n\r\n"},
		"and closed": {send: "HTTP/1.1 408 Request Timeout\r\n\r\n", close: true},
	} {
		t.Run(name, func(t *testing.T) {
			acted := make(chan struct{})
			c := dial(t, newDialer(t, serve(t, waits(func(conn net.Conn) {
				_, _ = io.WriteString(conn, test.send)
				if test.close {
					_ = conn.Close()
				}
				close(acted)
			})), nil))
			<-acted
			for start := time.Now(); c.Alive() != test.want; runtime.Gosched() {
				if time.Since(start) > patience {
					t.Fatalf("alive stays %v", !test.want)
				}
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		sized("", "hello"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 No\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nx", "HTTP/1.1 200\r\nContent-Length: 99999999999\r\n\r\n",
		sized("Content-Encoding: gzip\r\n", packed(f, "hello")), "\r\n\r\nHTTP/1.1 200 OK\r\n :\r\n\r\n",
	} {
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, input []byte, head bool) {
		const limit = 1 << 10
		d := newDialer(t, "target.test", func(cfg *Config) { cfg.MaxResponseBytes = limit })
		raw := &replay{r: bytes.NewReader(input)}
		c := newConn(d, raw, raw, "target.test")
		c.method = http.MethodGet
		if head {
			c.method = http.MethodHead
		}
		var a Answer
		err := c.Finish(&a)
		if len(a.Body) > limit+1 || cap(a.Body) > 2*limit || cap(a.packed) > 2*limit {
			t.Errorf("a body of %d bytes in %d, %d packed, beyond the limit of %d", len(a.Body), cap(a.Body), cap(a.packed), limit)
		}
		if err == nil && (len(a.Body) > limit || a.Status < 101 || a.Status > 999) {
			t.Errorf("status %d with %d bytes", a.Status, len(a.Body))
		}
		if err != nil && kindOf(t, err) == 0 {
			t.Errorf("an error of no kind: %v", err)
		}
		a.Release()
		if held := d.Memory().Held(); held != 0 {
			t.Errorf("%d bytes stay held", held)
		}
	})
}

// replay is a connection that gives what it is told to.
type replay struct {
	net.Conn
	r *bytes.Reader
}

func (r *replay) Read(p []byte) (int, error)       { return r.r.Read(p) }
func (r *replay) SetReadDeadline(time.Time) error  { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }
func (r *replay) Close() error                     { return nil }
