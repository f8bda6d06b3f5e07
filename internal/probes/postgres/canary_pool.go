package postgres

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// canaryStatementTimeout ends on the server what the canary no longer waits for.
// The deadline of the poll comes first and cancels the statement; this is for a
// cancellation that is lost.
const canaryStatementTimeout = 10 * time.Second

// canaryConnector knows how the next session is made. Sessions are made in the
// background, so it is guarded.
type canaryConnector struct {
	urlFile string

	mu sync.Mutex
	// pooler means that a pooler such as PgBouncer is in between, which refuses
	// parameters of the session that it does not know.
	pooler bool
	// hidden are passwords that came with a new content of the file.
	hidden []secret.String
}

// pool makes the pool one of a single session that works through a pooler too,
// because the API may: no prepared statement outlives its round trip.
func (c *canaryConnector) pool(pool *pgxpool.Config) *pgxpool.Config {
	pool = pool.Copy()
	pool.MinConns, pool.MinIdleConns, pool.MaxConns = 0, 0, 1
	pool.PingTimeout = pingTimeout
	pool.BeforeConnect = c.beforeConnect
	pool.BeforeClose = func(conn *pgx.Conn) {
		_ = conn.PgConn().Conn().SetDeadline(time.Now().Add(closeTimeout))
	}
	conn := pool.ConnConfig
	if conn.ConnectTimeout <= 0 {
		conn.ConnectTimeout = connectTimeout
	}
	conn.ConnectTimeout = min(conn.ConnectTimeout, maxConnectTimeout)
	conn.MaxProtocolMessageBodyLen = maxMessage
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn.RuntimeParams["application_name"] = ownApplication
	return pool
}

// beforeConnect sets the limit on statements, and takes user and password from the
// file as it is now: a password that was changed needs no restart.
func (c *canaryConnector) beforeConnect(_ context.Context, conn *pgx.ConnConfig) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pooler {
		conn.RuntimeParams["statement_timeout"] = strconv.FormatInt(canaryStatementTimeout.Milliseconds(), 10)
	}
	if c.urlFile == "" {
		return nil
	}
	url, err := secret.ReadFile(c.urlFile)
	if err != nil {
		return nil //nolint:nilerr // what the file held before may still do
	}
	fresh, err := pgx.ParseConfig(url.Value())
	if err != nil {
		return nil //nolint:nilerr // as above; the parser's message could hold a part of the password
	}
	if fresh.Password != conn.Password {
		c.hidden = []secret.String{secret.New(fresh.Password), url}
	}
	conn.User, conn.Password = fresh.User, fresh.Password
	return nil
}

// failed takes in why a connection could not be made, and reports whether the
// next attempt differs.
func (c *canaryConnector) failed(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pooler || !refusesParameter(err) {
		return false
	}
	c.pooler = true
	return true
}

// secrets are those that came after the start.
func (c *canaryConnector) secrets() []secret.String {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hidden
}

// refusesParameter reports whether a pooler does not know a parameter of the
// session: "unsupported startup parameter: statement_timeout" (PgBouncer).
func refusesParameter(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && strings.HasPrefix(refused.Message, "unsupported startup parameter")
}

// stateReason classifies an error of the server by its SQLSTATE, see appendix A of
// the PostgreSQL documentation; the two first characters are its class.
func stateReason(state string) probes.Reason {
	switch state {
	case "42501": // insufficient_privilege
		return probes.ReasonPermission
	case "57014", "55P03", "25P03", "57P05": // query_canceled, lock_not_available, timeouts of idle sessions
		return probes.ReasonTimeout
	case "25006": // read_only_sql_transaction
		return probes.ReasonUnavailable
	case "42P01", "3D000", "3F000", "42703": // no such table, database, schema, column
		return probes.ReasonMissing
	}
	if len(state) < 2 {
		return probes.ReasonOther
	}
	switch state[:2] {
	case "28": // invalid authorization
		return probes.ReasonAuth
	case "53", "57", "58": // resources, intervention of the operator, system
		return probes.ReasonUnavailable
	case "08": // connection
		return probes.ReasonProtocol
	}
	return probes.ReasonOther
}
