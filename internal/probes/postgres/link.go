package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// link is soakd's way to one server: a pool whose connections are made from
// what the secret's file holds at that time, so that a changed password, host
// or certificate needs no restart; and that does without parameters of the
// session where a pooler refuses them.
type link struct {
	pool   *pgxpool.Pool
	target *server
	limits limits
	// cut closes all connections, also those that only carry a cancellation;
	// whenCut calls a function then, unless what it returns is called before.
	cut     context.CancelFunc
	whenCut func(func()) (stop func() bool)

	mu sync.Mutex
	// bare tells that a pooler refuses parameters of the session.
	bare bool
	// address and config are those that the latest connection was tried with.
	address secret.String
	config  *pgx.ConnConfig
}

// openLink makes the link of a resolved server; it does not reach it.
func openLink(s *server, l limits) (*link, error) {
	ended, cut := context.WithCancel(context.Background())
	whenCut := func(do func()) func() bool { return context.AfterFunc(ended, do) }
	k := &link{target: s, limits: l, cut: cut, whenCut: whenCut, address: s.address, config: s.pool.ConnConfig}
	config := s.pool.Copy()
	config.MaxConns = l.connections
	config.BeforeConnect, config.AfterConnect = k.beforeConnect, k.afterConnect
	// The context bounds only what the pool does at once, which is nothing: it
	// keeps no connection ahead.
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		cut()
		return nil, k.brief(fmt.Errorf("open the pool to Postgres: %w", err))
	}
	k.pool = pool
	return k, nil
}

// Close ends the sessions. The driver would give a server that does not answer
// 15 s for a cancellation and as much for the rest; its connections are cut.
func (k *link) Close() {
	late := time.AfterFunc(closeTimeout, k.cut)
	defer late.Stop()
	k.pool.Close()
	k.cut()
}

// cuttable makes dial's connections such that cut closes them.
func (k *link) cuttable(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer k.whenCut(cancel)()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &cuttableConn{Conn: conn, stop: k.whenCut(func() { _ = conn.Close() })}, nil
	}
}

type cuttableConn struct {
	net.Conn
	stop func() bool
}

func (c *cuttableConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// brief is [probes.Brief] with the reason and without the secrets of the link.
func (k *link) brief(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return probes.Brief(explained(err), k.target.address, k.address, secret.New(k.config.Password))
}

// beforeConnect puts what the secret says now into conn. What cannot be read is
// no reason to be blind: the last one may still be right. Another address may do
// without a pooler.
func (k *link) beforeConnect(_ context.Context, conn *pgx.ConnConfig) error {
	address, err := k.target.read()
	var fresh *pgxpool.Config
	if err == nil {
		fresh, err = poolOf(address, k.limits)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.bare = k.bare && address == k.address
		k.address, k.config = address, fresh.ConnConfig
	}
	*conn = *k.config.Copy()
	conn.DialFunc = k.cuttable(conn.DialFunc)
	if k.bare {
		maps.DeleteFunc(conn.RuntimeParams, func(name, _ string) bool { return name != "application_name" })
	}
	return nil
}

// pooledKey is where a connection remembers that it leads to a pooler.
const pooledKey = "soakd.pooled"

// afterConnect finds out whether a pooler stands between: it gives a process id
// of its own, as there is no process of the server that is the client's. The
// pool's context has no deadline.
func (k *link) afterConnect(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, conn.Config().ConnectTimeout)
	defer cancel()
	var pid uint32
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return fmt.Errorf("ask for the session's process: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	conn.PgConn().CustomData()[pooledKey] = k.bare || pid != conn.PgConn().PID()
	return nil
}

// acquire takes a connection and tells whether it leads to a pooler; the caller
// releases it. Behind a pooler limits hold only within a transaction that
// starts with limits.begin.
func (k *link) acquire(ctx context.Context) (conn *pgxpool.Conn, pooled bool, err error) {
	conn, err = k.pool.Acquire(ctx)
	if refused := refusesParameters(err); refused {
		k.mu.Lock()
		k.bare = true
		k.mu.Unlock()
		conn, err = k.pool.Acquire(ctx)
	}
	if err != nil {
		return nil, false, err
	}
	pooled, _ = conn.Conn().PgConn().CustomData()[pooledKey].(bool)
	return conn, pooled, nil
}

// refusesParameters tells whether err is PgBouncer's answer to a parameter of
// the session that it does not know and that its ignore_startup_parameters does
// not list.
func refusesParameters(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "08P01" && strings.Contains(answer.Message, "unsupported startup parameter")
}

// within runs work in a transaction with the limits when the session cannot
// have them, else as it is.
func (s *session) within(ctx context.Context, work func() error) error {
	if !s.pooled {
		return work()
	}
	if err := s.exec(ctx, s.begin); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err := work()
	if s.conn.IsClosed() {
		return err
	}
	// It only read: what fails is rolled back by the server at this as well.
	return errors.Join(err, s.exec(ctx, "COMMIT"))
}

// exec runs statements that give nothing, in one round trip.
func (s *session) exec(ctx context.Context, statements string) error {
	defer s.cost.Add(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	return s.conn.PgConn().Exec(ctx, statements).Close()
}
