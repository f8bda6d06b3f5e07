package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"soakd/internal/load/wire"
)

// ClientConfig says what the client sends to and within which bounds.
type ClientConfig struct {
	// Target is the URL that request paths are appended to: http or https, a
	// host, perhaps a base path; no query, no fragment, no user.
	Target string
	// Socket is the path of a unix socket to connect to instead of the target's
	// host; "" means TCP.
	Socket string
	// Proxy is an http or socks5 URL; "" means none. The environment's proxies
	// are never used.
	Proxy string
	// TLS holds authorities, client certificate and the like for https; nil
	// means the system's authorities.
	TLS *tls.Config
	// CAFile, CertFile and KeyFile are the files that TLS was made from, "" for none:
	// what is said of a request that can be sent again names them.
	CAFile, CertFile, KeyFile string
	// HTTPVersion is auto (the zero value; by ALPN), 1.1 or 2.
	HTTPVersion wire.Version
	// Compression asks the target for gzip.
	Compression bool
	// UserAgent says what soakd is to whoever reads the target's logs.
	UserAgent string
	// MaxResponseBytes bounds the body of an answer, packed and unpacked; > 0.
	// All answers that are being read hold at most the larger of 64 MiB and four
	// times that together.
	MaxResponseBytes int64
	// MaxRequestsPerConnection and MaxConnectionAge bound the use of one
	// connection; 0 means no bound.
	MaxRequestsPerConnection int
	MaxConnectionAge         time.Duration
	// Allow refuses addresses that must not be connected to; nil allows all.
	Allow func(netip.Addr) error
	// Token gives the bearer token of a user; "" means none is sent.
	Token func(User, Credentials) (string, error)
	// Dial makes a connection; nil means the system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// LookUp resolves the target's name; nil means the system's resolver.
	LookUp func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Client makes connections to one target and sends single requests over them. It
// follows no redirects, uses no proxy of the environment, and repeats nothing
// but what certainly never reached the target or may be repeated (RFC 9110,
// 9.2.2), when a kept connection turns out to be closed.
type Client struct {
	cfg ClientConfig
	// target and proxy are those of cfg; proxy is nil when there is none.
	target, proxy *url.URL
	dialer        *wire.Dialer
	flights       sync.Pool

	opened, dialErrors atomic.Int64
	// gone counts the bytes and requests of connections that are closed.
	gone struct{ sent, received, used atomic.Int64 }
	mu   sync.Mutex
	open map[meter]struct{}
	// system counts what soakd's own machine ran out of.
	system map[SystemKind]int64
}

// meter is a connection that counts.
type meter interface {
	Bytes() (sent, received int64)
	Used() int
}

// Transfer counts what went over the client's connections since the start.
type Transfer struct {
	// ConnectionsOpened and ConnectionsReused count connections made, and
	// requests that found one already open and used.
	ConnectionsOpened, ConnectionsReused int64
	// ConnectionsOpen is how many are open now.
	ConnectionsOpen int64
	// DialErrors counts the attempts to connect that failed, SystemErrors those of
	// them that soakd's own machine had no room for.
	DialErrors   int64
	SystemErrors map[SystemKind]int64
	// BytesSent and BytesReceived count on the connection: headers and bodies,
	// with TLS what TLS makes of them.
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

// ParseProxy checks the URL of a proxy: http or socks5, a host, no path. Errors
// never repeat it, because it may hold a password.
func ParseProxy(text string) (*url.URL, error) {
	const right = "give http://host:port or socks5://host:port, perhaps with user:password@"
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a URL: %s", right)
	case u.Scheme != "http" && u.Scheme != "socks5":
		return nil, fmt.Errorf("the scheme must be http or socks5: %s", right)
	case u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("more or less than a host and a port: %s", right)
	}
	return u, nil
}

// NewClient returns a client for one target. Nothing is connected or sent yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	target, err := ParseTarget(cfg.Target)
	if err != nil {
		return nil, fmt.Errorf("target URL: %w", err)
	}
	var proxy *url.URL
	if cfg.Proxy != "" {
		if proxy, err = ParseProxy(cfg.Proxy); err != nil {
			return nil, fmt.Errorf("proxy URL: %w", err)
		}
	}
	if cfg.Token == nil {
		return nil, errors.New("the client needs a source of tokens")
	}
	dialer, err := wire.NewDialer(wire.Config{
		Target: target, Socket: cfg.Socket, Proxy: proxy, TLS: cfg.TLS, Version: cfg.HTTPVersion, Compression: cfg.Compression,
		UserAgent: cfg.UserAgent, MaxResponseBytes: cfg.MaxResponseBytes, DialTimeout: dialTimeout,
		MaxRequests: cfg.MaxRequestsPerConnection, MaxAge: cfg.MaxConnectionAge, Allow: cfg.Allow, Dial: cfg.Dial, LookUp: cfg.LookUp,
	})
	if err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, target: target, proxy: proxy, dialer: dialer, open: map[meter]struct{}{}, system: map[SystemKind]int64{}}, nil
}

// Transfer returns the counts so far.
func (c *Client) Transfer() Transfer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := Transfer{
		ConnectionsOpened: c.opened.Load(), ConnectionsOpen: int64(len(c.open)), DialErrors: c.dialErrors.Load(),
		SystemErrors: maps.Clone(c.system), ConnectionsReused: c.gone.used.Load(), BytesSent: c.gone.sent.Load(), BytesReceived: c.gone.received.Load(),
	}
	for m := range c.open {
		sent, received := m.Bytes()
		t.BytesSent += sent
		t.BytesReceived += received
		t.ConnectionsReused += int64(max(m.Used()-1, 0))
	}
	return t
}

// dial makes a connection and counts it.
func (c *Client) dial(ctx context.Context) (wire.Link, error) {
	link, err := c.dialer.Dial(ctx)
	if errors.Is(err, context.Canceled) {
		return link, err // it was not wanted any more
	}
	if err != nil {
		c.dialErrors.Add(1)
		if kind, own := SystemError(err); own {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.system[kind]++
		}
		return link, err
	}
	c.opened.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[meterOf(link)] = struct{}{}
	return link, nil
}

func meterOf(link wire.Link) meter {
	if link.HTTP2 != nil {
		return link.HTTP2
	}
	return link.Conn
}

// addressOf returns whom a connection goes to.
func addressOf(link wire.Link) string {
	if link.HTTP2 != nil {
		return link.HTTP2.Address
	}
	return link.Conn.Address
}

// hangUp closes a connection and keeps what it counted.
func (c *Client) hangUp(link wire.Link) {
	if link.HTTP2 != nil {
		link.HTTP2.Close()
	} else {
		link.Conn.Close()
	}
	m := meterOf(link)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, open := c.open[m]; !open {
		return
	}
	delete(c.open, m)
	sent, received := m.Bytes()
	c.gone.sent.Add(sent)
	c.gone.received.Add(received)
	c.gone.used.Add(int64(max(m.Used()-1, 0)))
}

// exchange sends the flight's request over a connection that nobody else uses and
// reads its answer, within the time limit of its case. When ctx ends, whoever
// called must close an HTTP/1.1 connection.
func (c *Client) exchange(ctx context.Context, link wire.Link, f *flight) (done time.Time, err error) {
	deadline := f.sent.Add(f.c.Timeout)
	if link.HTTP2 != nil {
		if !link.HTTP2.Reserve(f.sent) {
			return time.Now(), &wire.Error{Kind: wire.Reset, Unsent: true, Silent: true, Err: errors.New("the connection takes no further request")}
		}
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		err = link.HTTP2.Exchange(ctx, &f.wire, &f.answer)
		return time.Now(), err
	}
	if err = link.Conn.Ask(&f.wire, deadline); err == nil {
		err = link.Conn.Finish(&f.answer)
	}
	done = time.Now()
	link.Conn.Settle(&f.answer, err != nil)
	return done, err
}

// Peer is whom a connection was made to.
type Peer struct {
	// Address is the target's, or the path of its unix socket.
	Address string
	// Protocol is what was agreed on: HTTP/1.1 or HTTP/2.
	Protocol string
}

// Reach makes one connection, sends nothing over it, and says whom it reached.
func Reach(ctx context.Context, client *Client) (Peer, error) {
	link, err := client.dial(ctx)
	if err != nil {
		return Peer{}, err
	}
	defer client.hangUp(link)
	if link.HTTP2 != nil {
		return Peer{Address: link.HTTP2.Address, Protocol: "HTTP/2"}, nil
	}
	return Peer{Address: link.Conn.Address, Protocol: "HTTP/1.1"}, nil
}

// TryOnce sends one request of a case for a user over a connection of its own and
// returns its result, outside any schedule. The payload is that of arrival 0.
func TryOnce(ctx context.Context, client *Client, mix *Mix, c *Case, user User) (Result, error) {
	f := client.take(Arrival{Case: c, User: user.Index}, user)
	defer client.giveBack(f)
	if err := client.prepare(f, mix); err != nil {
		return Result{}, err
	}
	f.sent = time.Now()
	dialling, cancel := context.WithDeadline(ctx, f.sent.Add(c.Timeout))
	defer cancel()
	link, err := client.dial(dialling)
	done := time.Now()
	if err == nil {
		defer client.hangUp(link)
		defer context.AfterFunc(ctx, func() { client.hangUp(link) })()
		done, err = client.exchange(ctx, link, f)
	}
	return *client.judge(f, done, err), nil
}
