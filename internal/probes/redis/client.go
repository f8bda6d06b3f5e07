package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"soakd/internal/probes"
)

const (
	// poolSize is how many connections the probe may hold.
	poolSize = 2
	// dialTimeout bounds what the poll's own deadline does not: the client dials in
	// the background.
	dialTimeout = 2 * time.Second
	// noLimit is the client's word for none: the context of each poll has a deadline,
	// which is SOAKD_PROBE_TIMEOUT's.
	noLimit = -1
	// maxAnswer bounds the bytes read after one command.
	maxAnswer = 2 * maxInfo
)

// errLargeAnswer is what reading more than maxAnswer bytes ends with.
var errLargeAnswer = errors.New("the answer is too large")

// newClient makes a client that sends nothing but what the probe asks for:
// no CLIENT SETINFO, no CLIENT MAINT_NOTIFICATIONS, no retries, which would
// need rights and would hide that the server is away.
func newClient(options goredis.Options) *goredis.Client {
	// The client writes failed dials to stderr through a logger of its whole
	// process. They are errors of the poll, which the poller logs once.
	logging.Disable()
	options.PoolSize, options.MaxActiveConns = poolSize, poolSize
	options.MinIdleConns = 0
	options.PipelinePoolSize = -1
	options.MaxRetries = -1
	options.DialerRetries = 1
	options.DialTimeout = dialTimeout
	options.ReadTimeout, options.WriteTimeout = noLimit, noLimit
	options.ContextTimeoutEnabled = true
	options.DisableIdentity = true
	options.ClientName = ""
	options.DB = 0 // INFO tells of the whole server; SELECT would need a right
	options.Protocol = 2
	options.OnConnect = noteConnect
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	dial := options.Dialer
	if dial == nil {
		dial = dialer(options.TLSConfig)
	}
	// The client reads a whole answer into memory, whatever length the server
	// says it has.
	options.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return bound(conn), nil
	}
	return goredis.NewClient(&options)
}

// connectedKey is the key of the *time.Time of a context that [noteConnect] sets.
type connectedKey struct{}

// noteConnect takes down when a connection was ready, after the login.
func noteConnect(ctx context.Context, _ *goredis.Conn) error {
	if at, ok := ctx.Value(connectedKey{}).(*time.Time); ok {
		*at = time.Now()
	}
	return nil
}

// roundTrip is what is known of commands that were sent together.
type roundTrip struct {
	// took is the time from the sending to the last answer, without connecting.
	took time.Duration
	// sent tells that there was a connection to send them on, connected that it
	// was made for them.
	sent, connected bool
}

// goRound calls send, which sends commands with the client in one round trip.
func goRound(ctx context.Context, client commander, send func(context.Context)) roundTrip {
	var ready time.Time
	missed, start := client.PoolStats().Misses, time.Now()
	send(context.WithValue(ctx, connectedKey{}, &ready))
	end := time.Now()
	if !ready.IsZero() {
		return roundTrip{took: end.Sub(ready), sent: true, connected: true}
	}
	return roundTrip{took: end.Sub(start), sent: client.PoolStats().Misses == missed}
}

// execute sends the commands of pipe and counts what they cost. The error is that
// none of them was sent; else each has its own.
func execute(ctx context.Context, client commander, pipe goredis.Pipeliner, cost *probes.Cost) error {
	var asked []goredis.Cmder
	var err error
	trip := goRound(ctx, client, func(ctx context.Context) { asked, err = pipe.Exec(ctx) })
	if !trip.sent {
		return err
	}
	cost.Plus(probes.Cost{Queries: len(asked), Time: trip.took})
	return nil
}

// dialFunc makes a connection.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer makes connections, with TLS unless config is nil. Unlike the client's
// own, it ends with its context in the handshake too.
func dialer(config *tls.Config) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
		if err != nil || config == nil {
			return conn, err
		}
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS handshake with %s: %w", address, err), conn.Close())
		}
		return secure, nil
	}
}

// link is the way to one server. Its client is made when it is needed and made
// anew after a poll that got no answer: the client's pool, once it failed to
// connect, would knock by itself once a second until it is closed, and give the
// old error meanwhile.
type link struct {
	// name is the name in the server's certificate, where it is known.
	name    string
	options goredis.Options
	client  *goredis.Client
	// stop ends what the client still dials in the background.
	stop context.CancelFunc
}

// get returns the client.
func (l *link) get() *goredis.Client {
	if l.client != nil {
		return l.client
	}
	alive, stop := context.WithCancel(context.Background())
	options, dial := l.options, dialer(l.options.TLSConfig)
	options.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(alive, cancel)()
		return dial(ctx, network, address)
	}
	l.client, l.stop = newClient(options), stop
	return l.client
}

// settle takes in how the use of the client ended: it is kept when the server
// answered.
func (l *link) settle(err error) {
	if _, replied := replyOf(err); err != nil && !replied {
		l.close()
	}
}

func (l *link) close() {
	if l.client == nil {
		return
	}
	l.stop()
	_ = l.client.Close()
	l.client, l.stop = nil, nil
}

// bound puts a limit on what is read from conn after one command.
func bound(conn net.Conn) net.Conn {
	limited := &boundedConn{Conn: conn}
	if raw, ok := conn.(syscall.Conn); ok {
		return &boundedSocket{boundedConn: limited, raw: raw}
	}
	return limited
}

// boundedSocket keeps the socket in reach of the client, which looks there
// whether a pooled connection is still alive.
type boundedSocket struct {
	*boundedConn
	raw syscall.Conn
}

func (s *boundedSocket) SyscallConn() (syscall.RawConn, error) { return s.raw.SyscallConn() }

// boundedConn fails once more than maxAnswer bytes were read since the last
// write.
type boundedConn struct {
	net.Conn
	read atomic.Int64
}

func (c *boundedConn) Read(p []byte) (int, error) {
	left := maxAnswer - c.read.Load()
	if left <= 0 {
		return 0, errLargeAnswer
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), left)])
	c.read.Add(int64(n))
	return n, err
}

func (c *boundedConn) Write(p []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(p)
}
