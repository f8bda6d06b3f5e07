package load

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// ClientConfig says what the client sends to and within which bounds.
type ClientConfig struct {
	// Target is the URL that request paths are appended to: http or https, a
	// host, perhaps a base path; no query, no fragment, no user.
	Target string
	// UserAgent says what soakd is to whoever reads the target's logs.
	UserAgent string
	// MaxConnections bounds the connections that are open at the same time; > 0.
	MaxConnections int
	// MaxResponseBytes bounds the body of an answer, after decompression; > 0.
	// All answers that are being read hold at most the larger of 64 MiB and four
	// times that together.
	MaxResponseBytes int64
	// Token gives the bearer token of a user; "" means none is sent.
	Token func(User, Credentials) (string, error)
	// Dial makes a connection; nil means TCP to the target's address.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client sends single requests over kept connections. It follows no redirects,
// uses no proxy of the environment and does not try again by itself, apart from
// what HTTP itself calls for on a kept connection that the target has closed.
type Client struct {
	cfg       ClientConfig
	base      string
	http      *http.Client
	transport *http.Transport
	opened    atomic.Int64
	reused    atomic.Int64
	sent      atomic.Int64
	received  atomic.Int64
	// held counts the bytes of the answers in flight, up to budget.
	held   atomic.Int64
	budget int64
	// path is the target's base path.
	path string
}

// Transfer counts what went over the client's connections since the start.
type Transfer struct {
	// ConnectionsOpened and ConnectionsReused count connections made, and
	// requests that found one already open.
	ConnectionsOpened, ConnectionsReused int64
	// BytesSent and BytesReceived count on the connection: headers and bodies,
	// within TLS where there is TLS (handshakes included).
	BytesSent, BytesReceived int64
}

// dialTimeout bounds the making of a connection, whatever the case allows.
const dialTimeout = 10 * time.Second

// ParseTarget checks the URL of a target: http or https, a host, no user, query
// or fragment.
func ParseTarget(target string) (*url.URL, error) {
	const right = "give http://host:port or https://host, perhaps with a base path"
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a URL: %s", right) // err would repeat what may hold a password
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the scheme is %q: %s", u.Scheme, right)
	case u.Hostname() == "":
		return nil, fmt.Errorf("no host: %s", right)
	case u.User != nil:
		return nil, fmt.Errorf("a user or password in the URL: give tokens with SOAKD_AUTH_TOKEN; %s", right)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("a query or fragment in the URL: %s", right)
	}
	return u, nil
}

// NewClient returns a client for one target. Nothing is sent yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	u, err := ParseTarget(cfg.Target)
	if err != nil {
		return nil, fmt.Errorf("target URL: %w", err)
	}
	if cfg.MaxConnections < 1 || cfg.MaxResponseBytes < 1 {
		return nil, errors.New("the client needs at least one connection and one byte of answer")
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	c := &Client{
		cfg: cfg, base: strings.TrimRight(u.String(), "/"), path: strings.TrimRight(u.Path, "/"),
		budget: max(minBudget, 4*cfg.MaxResponseBytes),
	}
	c.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := cfg.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			c.opened.Add(1)
			return countedConn{Conn: conn, client: c}, nil
		},
		MaxConnsPerHost:        cfg.MaxConnections,
		MaxIdleConns:           cfg.MaxConnections,
		MaxIdleConnsPerHost:    cfg.MaxConnections,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    dialTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	c.http = &http.Client{
		Transport:     c.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// countedConn counts the bytes of a connection.
type countedConn struct {
	net.Conn
	client *Client
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.client.received.Add(int64(n))
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.client.sent.Add(int64(n))
	return n, err
}

// Transfer returns the counts so far.
func (c *Client) Transfer() Transfer {
	return Transfer{
		ConnectionsOpened: c.opened.Load(), ConnectionsReused: c.reused.Load(),
		BytesSent: c.sent.Load(), BytesReceived: c.received.Load(),
	}
}

// Close closes the kept connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// minBudget is what all answers in flight may hold together at least, in bytes:
// far more than they need, unless the target sends nonsense.
const minBudget = 64 << 20

// errTooLarge reports an answer beyond MaxResponseBytes, or beyond what is left
// of the budget that all answers in flight share.
var errTooLarge = errors.New("the answer is larger than the limit")

// attempt is what one send came to.
type attempt struct {
	response Response
	// traceID is the trace id that was sent in traceparent.
	traceID TraceID
	// connected tells whether a connection was had at all.
	connected bool
	// held is how many bytes of the client's budget the answer holds.
	held int64
	err  error
}

// prepare builds the request of a case with its token.
func (c *Client) prepare(one *Case, draw Draw) (*Request, error) {
	request, err := one.Build(draw)
	if err != nil {
		return nil, fmt.Errorf("case %s: %w", one.Name, err)
	}
	if request.token, err = c.cfg.Token(draw.User, request.Credentials); err != nil {
		return nil, fmt.Errorf("case %s: get a token: %w", one.Name, err)
	}
	return request, nil
}

// do sends one request and reads its whole answer into body. The context bounds
// all of it. An answer that is too large is not drained: its connection is
// closed.
func (c *Client) do(ctx context.Context, user User, r *Request, body *bytes.Buffer) (a attempt) {
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		a.connected = true
		if info.Reused {
			c.reused.Add(1)
		}
	}}
	request, err := c.request(httptrace.WithClientTrace(ctx, trace), user, r, &a)
	if err != nil {
		a.err = err
		return a
	}
	response, err := c.http.Do(request)
	if err != nil {
		a.err = unwrapURL(err)
		return a
	}
	defer response.Body.Close() //nolint:errcheck // read to its end or given up
	a.response = Response{Status: response.StatusCode, Header: response.Header, Closing: response.Close}
	a.err = c.read(response, body, &a)
	a.response.Body = body.Bytes()
	return a
}

// read reads the body of an answer to its end, or to where it becomes too large.
func (c *Client) read(response *http.Response, body *bytes.Buffer, a *attempt) error {
	body.Reset()
	if response.ContentLength > c.cfg.MaxResponseBytes {
		return errTooLarge
	}
	for {
		body.Grow(bytes.MinRead)
		free := body.AvailableBuffer()
		n, err := response.Body.Read(free[:cap(free)])
		body.Write(free[:n])
		a.held += int64(n)
		if held := c.held.Add(int64(n)); held > c.budget || int64(body.Len()) > c.cfg.MaxResponseBytes {
			return errTooLarge
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the answer: %w", err)
		}
	}
}

// release gives back what an answer held of the budget.
func (c *Client) release(a *attempt) { c.held.Add(-a.held) }

func (c *Client) request(ctx context.Context, user User, r *Request, a *attempt) (*http.Request, error) {
	var content io.Reader
	if r.Body != nil {
		content = bytes.NewReader(r.Body)
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, c.base+r.Path, content)
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", unwrapURL(err))
	}
	var parent string
	parent, a.traceID = traceparent()
	h := request.Header
	h.Set("User-Agent", c.cfg.UserAgent)
	h.Set("Accept", "application/json")
	h.Set("X-Request-Id", uuid.NewString())
	h.Set("Traceparent", parent)
	if r.ContentType != "" {
		h.Set("Content-Type", r.ContentType)
	}
	if r.token != "" {
		h.Set("Authorization", "Bearer "+r.token)
	}
	if user.ID != "" && r.Credentials == UserToken {
		h.Set("X-User-Id", user.ID)
	}
	return request, nil
}

// traceparent returns a sampled W3C trace context with random ids, and its
// trace id (https://www.w3.org/TR/trace-context/#traceparent-header).
func traceparent() (header string, traceID TraceID) {
	var raw [24]byte
	for i := 0; i < len(raw); i += 8 {
		word := rand.Uint64() | 1 // an id of zeros is not allowed
		for j := range 8 {
			raw[i+j] = byte(word >> (8 * j))
		}
	}
	var text [55]byte
	copy(text[:], "00-")
	hex.Encode(text[3:35], raw[:16])
	text[35] = '-'
	hex.Encode(text[36:52], raw[16:])
	copy(text[52:], "-01")
	return string(text[:]), TraceID(raw[:16])
}

// unwrapURL removes the URL that net/http puts in front of its errors: what was
// asked for is known, and an id must not end up in a message that is counted.
func unwrapURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
