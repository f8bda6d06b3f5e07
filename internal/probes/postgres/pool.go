package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

const (
	// readConnections is how many sessions the reading probe may hold on one
	// server. With the canary's one it makes the two that soakd may have there.
	readConnections = 1
	// connectTimeout bounds a connect that goes on in the background after the
	// poll's own deadline; the URL's connect_timeout wins, up to its maximum.
	connectTimeout    = 2 * time.Second
	maxConnectTimeout = 10 * time.Second
	// pingTimeout bounds the pool's look at an idle connection.
	pingTimeout = time.Second
	// checkPeriod is how often the pool looks for sessions that are too old; the
	// driver panics at 0.
	checkPeriod = time.Minute
	// closeTimeout bounds the good-bye to a server that does not answer.
	closeTimeout = 500 * time.Millisecond
	// maxMessage bounds one message of the server, in bytes.
	maxMessage = 16 << 20
	// maxHosts bounds the hosts of one URL, which are tried one after another.
	maxHosts = 8
)

// limits bound what the sessions of one pool can do to a server.
type limits struct {
	// connections is how many sessions there may be.
	connections int32
	// statement bounds one statement; waiting for a lock may take half of it.
	statement time.Duration
	// readOnly makes the server refuse writes of these sessions.
	readOnly bool
}

// settings are the limits as parameters of a session.
func (l limits) settings() map[string]string {
	milliseconds := func(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }
	settings := map[string]string{
		"statement_timeout": milliseconds(l.statement),
		"lock_timeout":      milliseconds(l.statement / 2),
	}
	if l.readOnly {
		settings["default_transaction_read_only"] = "on"
	}
	return settings
}

// begin is how a transaction starts that has the limits where the session
// cannot have them: behind a pooler that gives each transaction a session of
// another client.
func (l limits) begin() string {
	var text strings.Builder
	text.WriteString("BEGIN")
	if l.readOnly {
		text.WriteString(" READ ONLY")
	}
	settings := l.settings()
	delete(settings, "default_transaction_read_only")
	// A session of others must not stay in our transaction when soakd stalls.
	settings["idle_in_transaction_session_timeout"] = settings["statement_timeout"]
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "; SET LOCAL %s = %s", name, settings[name])
	}
	return text.String()
}

// errAddress never quotes: the parser's own message could hold a part of the
// password.
var errAddress = errors.New("is not a Postgres URL or DSN; want postgres://user:password@host:port/database, with special characters in the password percent-encoded, and files of certificates that can be read")

// poolOf returns the configuration of a pool for address that cannot harm the
// server. Its errors hold nothing of address.
func poolOf(address secret.String, l limits) (*pgxpool.Config, error) {
	explicit, err := withoutEnvironment(address.Value())
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.ParseConfig(explicit)
	if err != nil {
		return nil, errAddress
	}
	if n := len(hostsOf(pool.ConnConfig)); n > maxHosts {
		return nil, fmt.Errorf("has %d hosts; at most %d are taken", n, maxHosts)
	}
	pool.MinConns, pool.MinIdleConns, pool.MaxConns = 0, 0, l.connections
	pool.PingTimeout, pool.HealthCheckPeriod = pingTimeout, checkPeriod
	pool.BeforeClose = func(conn *pgx.Conn) {
		_ = conn.PgConn().Conn().SetDeadline(time.Now().Add(closeTimeout))
	}
	limitConn(pool.ConnConfig, l)
	return pool, nil
}

func limitConn(conn *pgx.ConnConfig, l limits) {
	if conn.ConnectTimeout <= 0 {
		conn.ConnectTimeout = connectTimeout
	}
	conn.ConnectTimeout = min(conn.ConnectTimeout, maxConnectTimeout)
	conn.MaxProtocolMessageBodyLen = maxMessage
	if conn.ValidateConnect != nil {
		conn.ValidateConnect = byRole(conn.ValidateConnect, l.readOnly)
	}
	// No prepared statements that an upgrade of the server or of an extension
	// could make invalid or that a pooler does not know; one round trip a query
	// all the same.
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	if conn.RuntimeParams["options"] == "" {
		delete(conn.RuntimeParams, "options")
	}
	conn.RuntimeParams["application_name"] = ownApplication
	maps.Copy(conn.RuntimeParams, l.settings())
}

// byRole is what the driver does for a target_session_attrs. It asks for
// read-write and read-only sessions by whether they may write; ours may not, by
// our own wish. There the server's role decides, as for primary and standby.
func byRole(check pgconn.ValidateConnectFunc, readOnly bool) pgconn.ValidateConnectFunc {
	same := func(other pgconn.ValidateConnectFunc) bool {
		return reflect.ValueOf(check).Pointer() == reflect.ValueOf(other).Pointer()
	}
	switch {
	case readOnly && same(pgconn.ValidateConnectTargetSessionAttrsReadWrite):
		check = pgconn.ValidateConnectTargetSessionAttrsPrimary
	case readOnly && same(pgconn.ValidateConnectTargetSessionAttrsReadOnly):
		check = pgconn.ValidateConnectTargetSessionAttrsStandby
	}
	return func(ctx context.Context, conn *pgconn.PgConn) (err error) {
		// The driver takes the answer's first value unseen, in a goroutine of the
		// pool, where a panic would end soakd.
		defer func() {
			if value := recover(); value != nil {
				err = probes.Because(probes.ReasonProtocol, errors.New("the server does not say whether it is a primary or a standby"))
			}
		}()
		return check(ctx, conn)
	}
}
