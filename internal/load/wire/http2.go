package wire

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// HTTP2Conn is one connection that carries many requests at the same time. It is
// safe for concurrent use.
type HTTP2Conn struct {
	dialer  *Dialer
	conn    *http.ClientConn
	counted *countedConn
	frames  *frameWatch
	Address string
	Opened  time.Time
	used    atomic.Int64
}

// countedConn counts the bytes of a connection below TLS.
type countedConn struct {
	net.Conn
	sent, received atomic.Int64
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

const (
	// streamBytes and connectionBytes bound what the target may send ahead of
	// what is read (flow control): on one stream, and on all of a connection.
	streamBytes     = 256 << 10
	connectionBytes = 2 << 20
	// silence is for how long a connection may be silent before it is asked for a
	// sign of life, signTime how long that may take. A target that vanished would
	// else let every request on it run into its time limit, for ever.
	silence  = 10 * time.Second
	signTime = 5 * time.Second
	// looseHeaderBytes is from which size of headers on net/http gives up the
	// connection, and all that is under way on it. Below it, headers beyond
	// headerBytes cost only the one request.
	looseHeaderBytes = 8 * headerBytes
)

// speakHTTP2 begins HTTP/2 on a connection, which is one of TLS or counted itself.
// It waits for the target's settings, which say how many requests it takes.
func (d *Dialer) speakHTTP2(ctx context.Context, counted *countedConn, stream net.Conn, address string) (Link, error) {
	h := &HTTP2Conn{dialer: d, Address: address, Opened: time.Now(), counted: counted, frames: watchFrames(stream)}
	// TLS, where there is any, is done: to net/http this is a connection without.
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols:              protocols,
		DisableCompression:     true, // the answer unpacks, within its bounds
		MaxResponseHeaderBytes: looseHeaderBytes,
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return h.frames, nil },
		HTTP2: &http.HTTP2Config{
			StrictMaxConcurrentRequests: true, MaxReceiveBufferPerStream: streamBytes, MaxReceiveBufferPerConnection: connectionBytes,
			SendPingTimeout: silence, PingTimeout: signTime,
		},
	}
	var err error
	if h.conn, err = transport.NewClientConn(ctx, "http", hostPort(d.cfg.Target)); err != nil {
		_ = stream.Close()
		return Link{}, dialError(fmt.Errorf("begin HTTP/2: %w", err))
	}
	select {
	case <-h.frames.begun:
		err = h.frames.beginError()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		h.Close()
		return Link{}, dialError(fmt.Errorf("begin HTTP/2: %w", err))
	}
	return Link{HTTP2: h}, nil
}

// Streams returns how many requests the target takes at the same time.
func (h *HTTP2Conn) Streams() int { return int(h.frames.limit.Load()) }

// Usable reports whether the connection takes further requests.
func (h *HTTP2Conn) Usable(now time.Time) bool {
	cfg := &h.dialer.cfg
	return !h.frames.leaving.Load() && h.conn.Err() == nil && (cfg.MaxRequests == 0 || h.used.Load() < int64(cfg.MaxRequests)) &&
		(cfg.MaxAge == 0 || now.Sub(h.Opened) < cfg.MaxAge)
}

// Reserve counts one more request, to be sent with Exchange, and reports whether
// the connection takes it. It must be called before every Exchange.
func (h *HTTP2Conn) Reserve(now time.Time) bool {
	if n, limit := h.used.Add(1), h.dialer.cfg.MaxRequests; limit > 0 && n > int64(limit) {
		h.used.Add(-1)
		return false
	}
	if h.frames.leaving.Load() || h.conn.Err() != nil || (h.dialer.cfg.MaxAge > 0 && now.Sub(h.Opened) >= h.dialer.cfg.MaxAge) {
		h.used.Add(-1)
		return false
	}
	return true
}

// Unreserve gives back what Reserve counted and no Exchange used.
func (h *HTTP2Conn) Unreserve() { h.used.Add(-1) }

// Used returns how many requests the connection has carried or was reserved for.
func (h *HTTP2Conn) Used() int { return int(h.used.Load()) }

// Bytes returns what went over the connection so far, TLS
// included.
func (h *HTTP2Conn) Bytes() (sent, received int64) {
	return h.counted.sent.Load(), h.counted.received.Load()
}

// Close closes the connection and whatever is under way on it.
func (h *HTTP2Conn) Close() {
	_ = h.conn.Close()
	_ = h.frames.Close()
}

// Exchange sends a request and reads its answer, within ctx.
func (h *HTTP2Conn) Exchange(ctx context.Context, r *Request, a *Answer) error {
	a.reset(&h.dialer.memory)
	request, content, err := h.request(ctx, r)
	if err != nil {
		return &Error{Kind: Protocol, Unsent: true, Silent: true, Err: err}
	}
	if content != nil {
		defer content.Close() //nolint:errcheck // it only ends the reading
	}
	response, err := h.conn.RoundTrip(request)
	if err != nil {
		failed := exchangeError(err)
		failed.Silent = true
		return failed
	}
	defer response.Body.Close() //nolint:errcheck // read to its end or given up
	a.Status, a.headers = response.StatusCode, response.Header
	if err := h.read(response, a); err != nil {
		failed := exchangeError(err)
		failed.Unsent = false
		return failed
	}
	return nil
}

// headerSize is what the headers would take in HTTP/1.1, in bytes.
func headerSize(header http.Header) (size int) {
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(": \r\n") + len(value)
		}
	}
	return size
}

// read reads the body of an answer, whose headers have come.
func (h *HTTP2Conn) read(response *http.Response, a *Answer) (err error) {
	limit := h.dialer.cfg.MaxResponseBytes
	if headerSize(response.Header) > headerBytes {
		return fmt.Errorf("headers of more than %d bytes: %w", headerBytes, ErrTooLarge)
	}
	if response.Request.Method != http.MethodHead && isGzip([]byte(response.Header.Get("Content-Encoding"))) {
		if a.packed, err = a.readAll(a.packed, response.Body, -1, limit); err != nil {
			return err
		}
		return a.unpack(limit, &h.dialer.decoders)
	}
	a.Body, err = a.readAll(a.Body, response.Body, -1, limit)
	return err
}

// content is the body of a request. net/http may read it after RoundTrip has
// returned; after Close it reads no more, and the bytes may be used again.
type content struct {
	mu     sync.Mutex
	r      bytes.Reader
	closed bool
}

func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, io.ErrClosedPipe
	}
	return c.r.Read(p)
}

func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (h *HTTP2Conn) request(ctx context.Context, r *Request) (*http.Request, *content, error) {
	target := h.dialer.cfg.Target
	request, err := http.NewRequestWithContext(ctx, r.Method, target.Scheme+"://"+target.Host+h.dialer.prefix+r.Path, http.NoBody)
	if err != nil {
		return nil, nil, fmt.Errorf("build the request: %w", err)
	}
	h.setHeaders(request.Header, r)
	if len(r.Body) == 0 {
		return request, nil, nil
	}
	body := new(content)
	body.r.Reset(r.Body)
	request.Body, request.ContentLength = body, int64(len(r.Body))
	return request, body, nil
}

func (h *HTTP2Conn) setHeaders(header http.Header, r *Request) {
	header.Set("User-Agent", h.dialer.cfg.UserAgent)
	header.Set("Accept", "application/json")
	if h.dialer.cfg.Compression {
		header.Set("Accept-Encoding", "gzip")
	}
	header.Set("X-Request-Id", string(r.uuid(nil)))
	header.Set("Traceparent", "00-"+hex.EncodeToString(r.Trace[:])+"-"+hex.EncodeToString(r.Span[:])+"-01")
	for name, value := range map[string]string{"Content-Type": r.ContentType, "X-User-Id": r.UserID} {
		if value != "" {
			header.Set(name, value)
		}
	}
	if r.Token != "" {
		header.Set("Authorization", "Bearer "+r.Token)
	}
}
