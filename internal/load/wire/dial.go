package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/proxy"
)

// Version says which HTTP is spoken.
type Version string

// The versions. Auto lets TLS agree on HTTP/2 or HTTP/1.1 (ALPN) and speaks
// HTTP/1.1 without TLS; HTTP2 without TLS is prior knowledge (h2c).
const (
	Auto  Version = "auto"
	HTTP1 Version = "1.1"
	HTTP2 Version = "2"
)

// Config says whom connections go to and within which bounds.
type Config struct {
	// Target is the URL that request paths are appended to: http or https, a
	// host, perhaps a base path.
	Target *url.URL
	// Socket is the path of a unix socket that is connected to instead of the
	// target's host; "" means TCP. It excludes Proxy.
	Socket string
	// Proxy is an http or socks5 URL, perhaps with user and password; nil means
	// none. Proxies of the environment are never used.
	Proxy *url.URL
	// TLS is used for https; nil means the system's authorities and no client
	// certificate.
	TLS     *tls.Config
	Version Version
	// Compression asks for gzip. Answers that come packed are unpacked either way.
	Compression bool
	UserAgent   string
	// MaxResponseBytes bounds the body of an answer, packed and unpacked; > 0.
	MaxResponseBytes int64
	// DialTimeout bounds the making of a connection, TLS and proxy included; > 0.
	DialTimeout time.Duration
	// MaxRequests and MaxAge bound what one connection is used for; 0 means no bound.
	MaxRequests int
	MaxAge      time.Duration
	// Allow refuses addresses that must not be connected to; nil allows all.
	Allow func(netip.Addr) error
	// Dial makes a connection; nil means the system's. It is given the target's
	// name, unless LookUp is set too.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// LookUp resolves a name; nil means the system's resolver.
	LookUp func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Dialer makes connections to one target.
type Dialer struct {
	cfg      Config
	resolver *resolver // nil when there is nothing to resolve
	// prefix goes before each request's path, always is the block of headers that
	// never change.
	prefix, always string
	tls            *tls.Config
	memory         Memory
	decoders       sync.Pool
}

// NewDialer returns a dialer. Nothing is resolved or connected yet.
func NewDialer(cfg Config) (*Dialer, error) {
	if cfg.Target == nil || cfg.MaxResponseBytes < 1 || cfg.DialTimeout <= 0 {
		return nil, errors.New("wire: a target, at least one byte of answer and a time limit for connections are needed")
	}
	if cfg.Socket != "" && cfg.Proxy != nil {
		return nil, errors.New("wire: a unix socket cannot be reached through a proxy")
	}
	d := &Dialer{cfg: cfg, prefix: strings.TrimRight(cfg.Target.EscapedPath(), "/")}
	d.memory.Limit = max(minMemory, 4*cfg.MaxResponseBytes)
	if d.cfg.Dial == nil {
		d.cfg.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	_, err := netip.ParseAddr(cfg.Target.Hostname())
	if named := err != nil && cfg.Socket == "" && cfg.Proxy == nil; named && (cfg.Dial == nil || cfg.LookUp != nil) {
		d.resolver = newResolver(cfg.Target.Hostname(), cfg.LookUp)
	}
	d.setTLS()
	d.setHeaders()
	return d, nil
}

// minMemory is what all answers in flight may hold together at least, in bytes:
// far more than they need, unless the target sends nonsense.
const minMemory = 64 << 20

func (d *Dialer) setTLS() {
	if d.cfg.Target.Scheme != "https" {
		return
	}
	d.tls = new(tls.Config)
	if d.cfg.TLS != nil {
		d.tls = d.cfg.TLS.Clone()
	}
	if d.tls.ServerName == "" {
		d.tls.ServerName = d.cfg.Target.Hostname()
	}
	if d.tls.ClientSessionCache == nil {
		d.tls.ClientSessionCache = tls.NewLRUClientSessionCache(16)
	}
	switch d.cfg.Version {
	case HTTP1:
		d.tls.NextProtos = []string{"http/1.1"}
	case HTTP2:
		d.tls.NextProtos = []string{"h2"}
	default:
		d.tls.NextProtos = []string{"h2", "http/1.1"}
	}
}

func (d *Dialer) setHeaders() {
	var b strings.Builder
	fmt.Fprintf(&b, "Host: %s\r\nUser-Agent: %s\r\nAccept: application/json\r\n", d.cfg.Target.Host, d.cfg.UserAgent)
	if d.cfg.Compression {
		b.WriteString("Accept-Encoding: gzip\r\n")
	}
	if d.forwards() {
		// A proxy of plain HTTP is asked for the whole URL (RFC 9112, 3.2.2).
		d.prefix = "http://" + d.cfg.Target.Host + d.prefix
		if credentials := proxyCredentials(d.cfg.Proxy); credentials != "" {
			fmt.Fprintf(&b, "Proxy-Authorization: %s\r\n", credentials)
		}
	}
	d.always = b.String()
}

// forwards reports whether requests themselves go to an HTTP proxy, instead of
// through a tunnel.
func (d *Dialer) forwards() bool {
	return d.cfg.Proxy != nil && d.cfg.Proxy.Scheme == "http" && d.cfg.Target.Scheme == "http" && d.cfg.Version != HTTP2
}

func proxyCredentials(u *url.URL) string {
	if u.User == nil {
		return ""
	}
	password, _ := u.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
}

// Memory is the budget that all answers share.
func (d *Dialer) Memory() *Memory { return &d.memory }

// Path is the target's base path.
func (d *Dialer) Path() string { return strings.TrimRight(d.cfg.Target.Path, "/") }

// Link is a connection that was made: one of HTTP/1.1 or one of HTTP/2.
type Link struct {
	Conn  *Conn
	HTTP2 *HTTP2Conn
}

// Dial makes a connection within the dial timeout. Errors are of type [*Error].
func (d *Dialer) Dial(ctx context.Context) (Link, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.DialTimeout)
	defer cancel()
	socket, address, err := d.connect(ctx)
	if err != nil {
		return Link{}, dialError(err)
	}
	raw := quiet(socket)
	if d.tls == nil {
		if d.cfg.Version == HTTP2 {
			counted := &countedConn{Conn: raw}
			return d.speakHTTP2(ctx, counted, counted, address)
		}
		return Link{Conn: newConn(d, raw, raw, address)}, nil
	}
	counted := &countedConn{Conn: raw}
	stream, err := handshake(ctx, counted, d.tls)
	if err != nil {
		return Link{}, err
	}
	if stream.ConnectionState().NegotiatedProtocol == "h2" {
		return d.speakHTTP2(ctx, counted, stream, address)
	}
	if d.cfg.Version == HTTP2 {
		_ = stream.Close()
		return Link{}, &Error{Kind: TLS, Unsent: true, Silent: true, Err: errors.New("the target does not speak HTTP/2 (ALPN agreed on nothing)")}
	}
	conn := newConn(d, raw, stream, address)
	conn.counted = counted
	return Link{Conn: conn}, nil
}

// connect makes the connection below TLS, through a proxy where one is set.
func (d *Dialer) connect(ctx context.Context) (net.Conn, string, error) {
	target := hostPort(d.cfg.Target)
	if ip, err := netip.ParseAddr(d.cfg.Target.Hostname()); err == nil && d.cfg.Socket == "" {
		if err := d.allowed(ip); err != nil {
			return nil, "", err
		}
	}
	switch {
	case d.cfg.Socket != "":
		conn, err := d.cfg.Dial(ctx, "unix", d.cfg.Socket)
		return conn, d.cfg.Socket, err
	case d.cfg.Proxy == nil:
		return d.connectTo(ctx, target)
	case d.cfg.Proxy.Scheme == "socks5":
		conn, err := d.throughSOCKS(ctx, target)
		return conn, target, err
	}
	conn, err := d.cfg.Dial(ctx, "tcp", hostPort(d.cfg.Proxy))
	if err != nil {
		return nil, "", fmt.Errorf("connect to the proxy: %w", err)
	}
	if !d.forwards() {
		if err := tunnel(ctx, conn, target, d.cfg.UserAgent, proxyCredentials(d.cfg.Proxy)); err != nil {
			_ = conn.Close()
			return nil, "", err
		}
	}
	return conn, target, nil
}

// connectTo connects to the target itself, trying its addresses in turn.
func (d *Dialer) connectTo(ctx context.Context, target string) (net.Conn, string, error) {
	if d.resolver == nil {
		conn, err := d.cfg.Dial(ctx, "tcp", target)
		return conn, target, err
	}
	addresses, err := d.resolver.addresses(ctx)
	if err != nil {
		return nil, "", err
	}
	_, port, _ := net.SplitHostPort(target)
	var errs []error
	for i, ip := range addresses {
		if err := d.allowed(ip); err != nil {
			errs = append(errs, err)
			continue
		}
		address := net.JoinHostPort(ip.String(), port)
		conn, err := d.dialWithin(ctx, address, len(addresses)-i)
		if err == nil {
			return conn, address, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, "", errors.Join(errs...)
}

// dialWithin dials one of so many addresses that are left to try, within its part
// of the time, so that one that swallows everything leaves time for the others.
func (d *Dialer) dialWithin(ctx context.Context, address string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		part, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
		ctx = part
	}
	return d.cfg.Dial(ctx, "tcp", address)
}

func (d *Dialer) allowed(ip netip.Addr) error {
	if d.cfg.Allow == nil {
		return nil
	}
	return d.cfg.Allow(ip.Unmap()) // ::ffff:10.0.0.1 is 10.0.0.1
}

// Refresh resolves the target's name again. It reports whether connections to
// address should be given up, because the name does not stand for it any more.
// A name that cannot be resolved keeps the addresses it had.
func (d *Dialer) Refresh(ctx context.Context) (moved func(address string) bool, err error) {
	stay := func(string) bool { return false }
	if d.resolver == nil {
		return stay, nil
	}
	now, err := d.resolver.refresh(ctx)
	if err != nil {
		return stay, err
	}
	return func(address string) bool {
		known, err := netip.ParseAddrPort(address)
		if err != nil {
			return false
		}
		for _, ip := range now {
			if ip == known.Addr() {
				return false
			}
		}
		return true
	}, nil
}

func (d *Dialer) throughSOCKS(ctx context.Context, target string) (net.Conn, error) {
	var auth *proxy.Auth
	if user := d.cfg.Proxy.User; user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	forward, err := proxy.SOCKS5("tcp", hostPort(d.cfg.Proxy), auth, contextDialer(d.cfg.Dial))
	if err != nil {
		return nil, fmt.Errorf("socks5 proxy: %w", err)
	}
	conn, err := forward.(proxy.ContextDialer).DialContext(ctx, "tcp", target) // what SOCKS5 returns is one
	if err != nil {
		return nil, fmt.Errorf("through the socks5 proxy: %w", err)
	}
	return conn, nil
}

// contextDialer is a proxy.ContextDialer by its function.
type contextDialer func(ctx context.Context, network, address string) (net.Conn, error)

func (f contextDialer) Dial(network, address string) (net.Conn, error) {
	return f(context.Background(), network, address)
}

func (f contextDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

// tunnel asks an HTTP proxy for a connection to the target (RFC 9110, 9.3.6).
func tunnel(ctx context.Context, conn net.Conn, target, userAgent, credentials string) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a closed connection: the write says so
	}
	ended := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := askForTunnel(conn, target, userAgent, credentials)
	if !ended() && err == nil {
		err = ctx.Err()
	}
	_ = conn.SetDeadline(time.Time{}) // likewise
	return err
}

func askForTunnel(conn net.Conn, target, userAgent, credentials string) error {
	request := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n", target, target, userAgent)
	if credentials != "" {
		request += "Proxy-Authorization: " + credentials + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return fmt.Errorf("ask the proxy for a tunnel: %w", err)
	}
	var answer fasthttp.ResponseHeader
	// What follows the answer is the target's, so not a byte too much may be read.
	if err := answer.Read(bufio.NewReaderSize(bytewise{conn}, 4096)); err != nil {
		return fmt.Errorf("ask the proxy for a tunnel: %w", err)
	}
	switch status := answer.StatusCode(); {
	case status == http.StatusProxyAuthRequired:
		return fmt.Errorf("the proxy refused the tunnel to %s: status 407: it wants a user and a password, or others", target)
	case status/100 != 2:
		return fmt.Errorf("the proxy refused the tunnel to %s: status %d", target, status)
	}
	return nil
}

// bytewise reads one byte at a time.
type bytewise struct{ io.Reader }

func (b bytewise) Read(p []byte) (int, error) { return b.Reader.Read(p[:min(len(p), 1)]) }

// hostPort returns host:port of a URL, with the port of its scheme by default.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "socks5": "1080"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
