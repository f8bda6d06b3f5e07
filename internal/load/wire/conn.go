package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// headerBytes bounds the headers of an answer; it is the size of the buffer
	// that a connection reads into.
	headerBytes = 16 << 10
	// directBytes is the largest request that may be written by someone who must
	// not wait: it fits into the empty send buffer of any socket, whose least
	// default size on Linux is 16 KiB (tcp_wmem).
	directBytes = 12 << 10
)

// Conn is one connection that carries one HTTP/1.1 request at a time. Start may
// be called while another goroutine waits in Await; everything else belongs to
// one goroutine at a time.
type Conn struct {
	dialer *Dialer
	raw    net.Conn // the socket, below TLS
	stream net.Conn
	br     *bufio.Reader
	out    []byte
	// direct tells that a write of directBytes does not wait.
	direct bool
	// Address is whom the connection goes to.
	Address string
	// Opened is when it was made, used how many requests it has carried.
	Opened time.Time
	used   atomic.Int64
	method string

	// sent and received count bytes where there is no TLS, counted where there is.
	sent, received atomic.Int64
	counted        *countedConn
	// broken is the last error of the network on reading.
	broken error

	mu sync.Mutex
	// deadline is when the present request must be answered, zero when there is
	// none; armed is what the socket has been told.
	deadline, armed time.Time

	// writing is the write of a large body that goes on beside the reading.
	writing sync.WaitGroup
	// written tells how far that write is.
	written atomic.Int32
}

const (
	writeEnded int32 = iota
	writeRuns
	writeFailed
)

func newConn(d *Dialer, raw, stream net.Conn, address string) *Conn {
	c := &Conn{dialer: d, raw: raw, stream: stream, Address: address, Opened: time.Now()}
	_, c.direct = raw.(syscall.Conn) // a socket of the system
	c.br = bufio.NewReaderSize(c, headerBytes)
	return c
}

// Read reads from the connection, within the deadline of the present request. It
// is what the buffered reader calls.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		n, err := c.stream.Read(p)
		c.received.Add(int64(n))
		if n > 0 || err == nil {
			return n, nil
		}
		if !isTimeout(err) || c.expired() {
			c.broken = err
			return 0, err
		}
	}
}

// expired reports whether the present request's time is over. If not, the socket
// had been told an earlier time, and is told the right one.
func (c *Conn) expired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return true
	}
	c.arm()
	return false
}

// arm tells the socket the deadline. It is called with mu held.
func (c *Conn) arm() {
	c.armed = c.deadline
	_ = c.stream.SetReadDeadline(c.armed) // a closed connection: the read says so
}

// expect sets the deadline of the next answer. The socket is only told when it
// would wake up too late: with equal time limits that is once per limit and not
// once per request.
func (c *Conn) expect(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = deadline
	if c.armed.IsZero() || (!deadline.IsZero() && deadline.Before(c.armed)) {
		c.arm()
	}
}

// Start sends a request that must be answered by deadline. It does not wait for
// the target: what does not fit into the socket's buffer is written by a
// goroutine that Settle joins. An error means that the connection is of no more use.
func (c *Conn) Start(r *Request, deadline time.Time) error {
	c.used.Add(1)
	c.method = r.Method
	c.out = r.appendHead(c.out[:0], c.dialer.prefix, c.dialer.always)
	c.expect(deadline)
	small := len(c.out)+len(r.Body) <= directBytes
	if small {
		c.out = append(c.out, r.Body...)
	}
	if small && c.direct {
		return c.write(c.out)
	}
	c.written.Store(writeRuns)
	body := r.Body
	if small {
		body = nil
	}
	c.writing.Go(func() {
		err := c.write(c.out)
		if err == nil && len(body) > 0 {
			err = c.write(body)
		}
		if err != nil {
			c.written.Store(writeFailed)
			return
		}
		c.written.Store(writeEnded)
	})
	return nil
}

// Ask is Start for whoever calls Finish next, without anybody in Await: what is
// small enough is then written by the read that waits for the answer.
func (c *Conn) Ask(r *Request, deadline time.Time) error {
	quiet, ok := c.stream.(*socket)
	if !ok || len(r.Body) > directBytes/2 {
		return c.Start(r, deadline)
	}
	c.used.Add(1)
	c.method = r.Method
	c.out = append(r.appendHead(c.out[:0], c.dialer.prefix, c.dialer.always), r.Body...)
	c.expect(deadline)
	c.sent.Add(int64(len(c.out)))
	quiet.postpone(c.out)
	return nil
}

// unsent reports whether Ask's request never went out.
func (c *Conn) unsent() bool {
	quiet, ok := c.stream.(*socket)
	return ok && quiet.unsent
}

// write writes the whole request, or its head, or its body.
func (c *Conn) write(p []byte) error {
	n, err := c.stream.Write(p)
	c.sent.Add(int64(n))
	if err == nil {
		return nil
	}
	failed := exchangeError(err)
	failed.Unsent, failed.Silent = n == 0, true
	return failed
}

// Await waits until something of an answer has come. While no request is under
// way it returns only when the connection is of no more use.
func (c *Conn) Await() error {
	_, err := c.br.Peek(1)
	return err
}

// Finish reads the answer to the request that was started. After an error the
// connection is of no more use. Settle must be called next.
func (c *Conn) Finish(a *Answer) error {
	err := c.finish(a)
	c.expect(time.Time{})
	return err
}

// settleTime is how long the rest of a request may still take once its answer
// has come.
const settleTime = 100 * time.Millisecond

// Settle joins what Start left behind: the write of a large body, which a target
// that rejects it may answer before it has all of it. The connection is then of
// no more use, because the rest would be taken for the next request.
func (c *Conn) Settle(a *Answer, failed bool) {
	if c.written.Load() == writeRuns {
		if failed {
			c.Close()
		} else {
			_ = c.stream.SetWriteDeadline(time.Now().Add(settleTime)) // a closed connection: the write ends at once
			defer c.stream.SetWriteDeadline(time.Time{})              //nolint:errcheck // likewise
		}
	}
	c.writing.Wait()
	if c.written.Swap(writeEnded) == writeFailed {
		a.Closing = true
	}
}

func (c *Conn) finish(a *Answer) error {
	a.reset(&c.dialer.memory)
	if err := c.Await(); err != nil {
		failed := exchangeError(c.reason(err))
		failed.Silent, failed.Unsent = true, c.unsent()
		return failed
	}
	if err := a.read(c.br, c.method, c.dialer.cfg.MaxResponseBytes, &c.dialer.decoders); err != nil {
		return exchangeError(c.reason(err))
	}
	if a.Status == http.StatusProxyAuthRequired && c.dialer.forwards() {
		return &Error{Kind: Connect, Err: errors.New("the proxy refused the request: status 407: it wants a user and a password, or others")}
	}
	return nil
}

// reason prefers what the network said to what a parser made of it.
func (c *Conn) reason(err error) error {
	var known *Error
	if c.broken == nil || errors.Is(err, ErrTooLarge) || errors.As(err, &known) {
		return err
	}
	if errors.Is(c.broken, io.EOF) && c.br.Buffered() > 0 {
		return err // the target said something that is no HTTP, and closed
	}
	if isTimeout(c.broken) {
		return fmt.Errorf("no complete answer in time: %w", c.broken)
	}
	return fmt.Errorf("the connection broke: %w", c.broken)
}

// Reusable reports whether the connection can carry another request after an
// answer, now.
func (c *Conn) Reusable(a *Answer, now time.Time) bool {
	cfg := &c.dialer.cfg
	return !a.Closing && c.br.Buffered() == 0 && c.broken == nil &&
		(cfg.MaxRequests == 0 || c.used.Load() < int64(cfg.MaxRequests)) &&
		c.Young(now)
}

// Used returns how many requests the connection has carried.
func (c *Conn) Used() int { return int(c.used.Load()) }

// Young reports whether the connection is below the age up to which it may be used.
func (c *Conn) Young(now time.Time) bool {
	return c.dialer.cfg.MaxAge == 0 || now.Sub(c.Opened) < c.dialer.cfg.MaxAge
}

// Alive looks whether the target has closed the idle connection, without
// waiting for the target. What cannot be looked at counts as alive. It must not
// be called while another goroutine waits in Await.
func (c *Conn) Alive() bool {
	state := c.look()
	if state == peekBytes && c.stream != c.raw {
		return c.digest()
	}
	return state == peekNothing
}

// Ended looks whether the target has certainly closed the idle connection, or has
// spoken unasked. It may be called while another goroutine waits in Await.
func (c *Conn) Ended() bool {
	state := c.look()
	// TLS has messages of its own, such as session tickets, that nobody asked for.
	return state == peekEnd || (state == peekBytes && c.stream == c.raw)
}

// look looks into the socket; there is nothing to see where there is none.
func (c *Conn) look() peeked {
	socket, ok := c.raw.(syscall.Conn)
	if !ok {
		return peekNothing
	}
	access, err := socket.SyscallConn()
	if err != nil {
		return peekEnd
	}
	state := peekNothing
	if access.Control(func(fd uintptr) { state = peek(fd) }) != nil {
		return peekEnd
	}
	return state
}

// digestTime is how long reading what has come already may take.
const digestTime = time.Millisecond

// digest reads what has come unasked over TLS: session tickets, after which the
// connection is as good as before, or its end, which TLS announces.
func (c *Conn) digest() bool {
	c.expect(time.Now().Add(digestTime))
	defer c.expect(time.Time{})
	if err := c.Await(); err == nil || !isTimeout(err) {
		return false
	}
	c.broken = nil // nothing further came, that is all
	return true
}

// peeked is what an idle socket holds.
type peeked int

const (
	peekNothing peeked = iota
	peekBytes
	peekEnd
)

// Close closes the connection. It may be called by anyone at any time.
func (c *Conn) Close() { _ = c.stream.Close() }

// Bytes returns what went over the connection so far, TLS included.
func (c *Conn) Bytes() (sent, received int64) {
	if c.counted != nil {
		return c.counted.sent.Load(), c.counted.received.Load()
	}
	return c.sent.Load(), c.received.Load()
}

// handshake makes a TLS connection of a plain one.
func handshake(ctx context.Context, raw net.Conn, cfg *tls.Config) (*tls.Conn, error) {
	stream := tls.Client(raw, cfg)
	if err := stream.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, tlsError(err)
	}
	return stream, nil
}
