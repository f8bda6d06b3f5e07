package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// HTTP2Conn is one connection that carries many requests at the same time. It is
// safe for concurrent use.
type HTTP2Conn struct {
	dialer    *Dialer
	transport *http.Transport
	conn      *http.ClientConn
	counted   *countedConn
	Address   string
	Opened    time.Time
	used      atomic.Int64
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

// speakHTTP2 begins HTTP/2 on a connection, which is one of TLS or counted itself.
func (d *Dialer) speakHTTP2(ctx context.Context, counted *countedConn, stream net.Conn, address string) (Link, error) {
	h := &HTTP2Conn{dialer: d, Address: address, Opened: time.Now(), counted: counted}
	protocols := new(http.Protocols)
	h.transport = &http.Transport{
		Protocols:              protocols,
		DisableCompression:     !d.cfg.Compression,
		MaxResponseHeaderBytes: headerBytes,
		Proxy:                  nil,
	}
	scheme := "http"
	made := func(context.Context, string, string) (net.Conn, error) { return stream, nil }
	if _, ok := stream.(*tls.Conn); ok {
		scheme = "https"
		protocols.SetHTTP2(true)
		h.transport.DialTLSContext = made
	} else {
		protocols.SetUnencryptedHTTP2(true)
		h.transport.DialContext = made
	}
	var err error
	if h.conn, err = h.transport.NewClientConn(ctx, scheme, hostPort(d.cfg.Target)); err != nil {
		_ = counted.Close()
		return Link{}, dialError(fmt.Errorf("begin HTTP/2: %w", err))
	}
	return Link{HTTP2: h}, nil
}

// Streams returns how many requests the target takes at the same time.
func (h *HTTP2Conn) Streams() int { return h.conn.Available() + h.conn.InFlight() }

// Usable reports whether the connection takes further requests.
func (h *HTTP2Conn) Usable(now time.Time) bool {
	cfg := &h.dialer.cfg
	return h.conn.Err() == nil && (cfg.MaxRequests == 0 || h.used.Load() < int64(cfg.MaxRequests)) &&
		(cfg.MaxAge == 0 || now.Sub(h.Opened) < cfg.MaxAge)
}

// Used returns how many requests the connection has carried.
func (h *HTTP2Conn) Used() int { return int(h.used.Load()) }

// Bytes returns what went over the connection so far, TLS
// included.
func (h *HTTP2Conn) Bytes() (sent, received int64) {
	return h.counted.sent.Load(), h.counted.received.Load()
}

// Close closes the connection and whatever is under way on it.
func (h *HTTP2Conn) Close() {
	_ = h.conn.Close()
	_ = h.counted.Close()
}

// Exchange sends a request and reads its answer, within ctx.
func (h *HTTP2Conn) Exchange(ctx context.Context, r *Request, a *Answer) error {
	h.used.Add(1)
	a.reset(&h.dialer.memory)
	request, err := h.request(ctx, r)
	if err != nil {
		return &Error{Kind: Protocol, Unsent: true, Silent: true, Err: err}
	}
	response, err := h.conn.RoundTrip(request)
	if err != nil {
		failed := exchangeError(err)
		failed.Silent = true
		return failed
	}
	defer response.Body.Close() //nolint:errcheck // read to its end or given up
	a.Status, a.headers = response.StatusCode, response.Header
	if a.Body, err = a.readAll(a.Body, response.Body, -1, h.dialer.cfg.MaxResponseBytes); err != nil {
		return exchangeError(err)
	}
	return nil
}

func (h *HTTP2Conn) request(ctx context.Context, r *Request) (*http.Request, error) {
	var content io.Reader
	if r.Body != nil {
		content = bytes.NewReader(r.Body)
	}
	target := h.dialer.cfg.Target
	request, err := http.NewRequestWithContext(ctx, r.Method, target.Scheme+"://"+target.Host+h.dialer.prefix+r.Path, content)
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	header := request.Header
	header.Set("User-Agent", h.dialer.cfg.UserAgent)
	header.Set("Accept", "application/json")
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
	return request, nil
}
