package blackbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"sync"
	"time"

	"soakd/internal/probes"
)

// phase is a part of a poll: a label value.
type phase string

// The phases in their order.
const (
	// phaseDNS: the resolution of the name; absent for an address.
	phaseDNS phase = "dns"
	// phaseConnect: the TCP handshake.
	phaseConnect phase = "connect"
	// phaseTLS: the TLS handshake.
	phaseTLS phase = "tls"
	// phaseFirstByte: from the end of the request to the first byte of the answer.
	phaseFirstByte phase = "first_byte"
	// phaseTransfer: from there to the end of the answer.
	phaseTransfer phase = "transfer"
	// phaseDialogue: the lines of a TCP probe.
	phaseDialogue phase = "dialogue"
)

// way is how one poll reaches its thing. It takes the time of each phase and
// closes every connection at the end. HTTP's transport connects from goroutines
// of its own, so that it is safe for concurrent use.
type way struct {
	// ctx is that of the poll: nothing goes on after it.
	ctx     context.Context //nolint:containedctx // the transport's own contexts outlive the poll
	network string          // tcp, tcp4 or tcp6

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
	stops  []func() bool
	times  map[phase]time.Duration
	state  *tls.ConnectionState
}

func newWay(ctx context.Context, network string) *way {
	if network == "" {
		network = "tcp"
	}
	return &way{ctx: ctx, network: network, times: map[phase]time.Duration{}}
}

// spent adds to the time of a phase, which HTTP goes through again for each
// redirect.
func (w *way) spent(p phase, since time.Time) {
	took := time.Since(since)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.times[p] += took
}

// connect makes a connection to host:port that ends with the poll.
func (w *way) connect(address string) (net.Conn, error) {
	start := time.Now()
	resolved := start
	ctx := httptrace.WithClientTrace(w.ctx, &httptrace.ClientTrace{DNSDone: func(done httptrace.DNSDoneInfo) {
		w.mu.Lock()
		defer w.mu.Unlock()
		resolved = time.Now()
		if done.Err == nil {
			w.times[phaseDNS] += resolved.Sub(start)
		}
	}})
	// No probes of an idle connection: it does not live that long.
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, w.network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	w.times[phaseConnect] += time.Since(resolved)
	w.conns = append(w.conns, conn)
	w.stops = append(w.stops, context.AfterFunc(w.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }))
	return conn, nil
}

// listenLater is a connection on which nothing is read before something was
// written. HTTP's transport reads from the start, and would write of a server
// that speaks first to the log of the whole process.
type listenLater struct {
	net.Conn
	ctx     context.Context //nolint:containedctx // a Read knows no other way to end
	written chan struct{}
	once    sync.Once
}

func (c *listenLater) Read(p []byte) (int, error) {
	select {
	case <-c.written:
		return c.Conn.Read(p)
	case <-c.ctx.Done():
		return 0, c.ctx.Err()
	}
}

func (c *listenLater) Write(p []byte) (int, error) {
	c.once.Do(func() { close(c.written) })
	return c.Conn.Write(p)
}

// secure makes the TLS handshake. The state of the connection is kept as soon as
// there are certificates, also when the handshake fails later.
func (w *way) secure(conn net.Conn, settings *tlsSettings, address string, protocols ...string) (*tls.Conn, error) {
	start := time.Now()
	config := settings.config(address, func(state tls.ConnectionState) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.state = &state
	})
	config.NextProtos = protocols
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(w.ctx); err != nil {
		return nil, handshakeError(err)
	}
	w.spent(phaseTLS, start)
	return secured, nil
}

// handshakeError gives the errors of a handshake their reason where the packages
// of the standard library have no type for them.
func handshakeError(err error) error {
	err = fmt.Errorf("TLS handshake: %w", err)
	if probes.ReasonOf(err) == probes.ReasonOther {
		return probes.Because(probes.ReasonTLS, err)
	}
	return err
}

// close closes every connection.
func (w *way) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, stop := range w.stops {
		stop()
	}
	for _, conn := range w.conns {
		_ = conn.Close()
	}
}

// add adds the phases that came to their end.
func (w *way) add(reading *probes.Reading, desc *probes.Desc, label string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range []phase{phaseDNS, phaseConnect, phaseTLS, phaseFirstByte, phaseTransfer, phaseDialogue} {
		if took, ok := w.times[p]; ok {
			reading.Add(desc, took.Seconds(), label, string(p))
		}
	}
}

// certificates returns the state of the latest connection with TLS, nil when
// there was none or it brought no certificate.
func (w *way) certificates() *tls.ConnectionState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == nil || len(w.state.PeerCertificates) == 0 {
		return nil
	}
	return w.state
}

// address takes host:port with a port of 1 to 65535.
func address(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	n, ok := digits(port)
	if err != nil || host == "" || !ok || n < 1 || n > 65535 {
		return "", errors.New("want host:port, such as db.example:5432 or [::1]:5432")
	}
	return net.JoinHostPort(host, port), nil
}
