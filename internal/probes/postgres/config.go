// Package postgres watches one PostgreSQL server through its statistics views.
//
// The role it connects as needs pg_monitor and nothing else:
//
//	CREATE ROLE soakd LOGIN PASSWORD '...'; GRANT pg_monitor TO soakd;
//
// It must reach the server itself: a pooler such as PgBouncer refuses the
// session's limits or hides the sessions behind it.
package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// Name is the name of this kind and of its probe, and the application_name of
// its sessions is ownApplication.
const (
	Name           = "postgres"
	ownApplication = "soakd"
)

// Limits of the configuration.
const (
	maxApplications         = 50
	maxDatabases            = 20
	maxStatements           = 50
	maxTables               = 50
	minStatementTimeout     = 10 * time.Millisecond
	maxStatementTimeout     = time.Minute
	defaultStatementTimeout = time.Second
)

// maxName is the length of the longest name, in bytes: Postgres cuts longer ones
// (NAMEDATALEN - 1).
const maxName = 63

const (
	// poolSize is how many connections the probe may hold.
	poolSize = 2
	// connectTimeout bounds a connect that goes on in the background after the
	// poll's own deadline; the URL's connect_timeout wins, up to its maximum.
	connectTimeout    = 2 * time.Second
	maxConnectTimeout = 10 * time.Second
	// pingTimeout bounds the pool's look at an idle connection.
	pingTimeout = time.Second
	// closeTimeout bounds the good-bye to a server that does not answer.
	closeTimeout = 500 * time.Millisecond
	// maxMessage bounds one message of the server, in bytes.
	maxMessage = 16 << 20
)

// Config is the configuration of the Postgres probe.
type Config struct {
	URL              secret.String `envconfig:"POSTGRES_URL" desc:"Postgres to watch, as postgres://user:password@host:port/database or as a DSN; empty: not watched. The role needs pg_monitor; connect to the server itself, not to a pooler."`
	URLFile          string        `envconfig:"POSTGRES_URL_FILE" desc:"File that holds the URL of the Postgres to watch."`
	Applications     []string      `envconfig:"POSTGRES_APPLICATIONS" desc:"Values of application_name that get their own label, separated by commas, at most 50; all others become other, none when empty."`
	Databases        []string      `envconfig:"POSTGRES_DATABASES" desc:"Databases whose statistics are watched beside those of the one in the URL, separated by commas, at most 20."`
	Statements       Statements    `envconfig:"POSTGRES_STATEMENTS" desc:"Statements to watch in pg_stat_statements, as name=text or name=~regexp, separated by semicolons, at most 50; the text is looked for in the normalised statement."`
	Tables           []string      `envconfig:"POSTGRES_TABLES" desc:"Tables whose dead rows and sequential scans are watched, as table or schema.table, separated by commas, at most 50."`
	StatementTimeout time.Duration `envconfig:"POSTGRES_STATEMENT_TIMEOUT" default:"1s" desc:"Longest time for one query of the probe, 10ms to 1m; waiting for a lock may take half of it."`

	pool   *pgxpool.Config
	url    secret.String
	tables []tableName
}

// Kind returns the kind with its defaults.
func Kind() probes.Kind {
	return probes.Kind{Name: Name, Config: &Config{StatementTimeout: defaultStatementTimeout}}
}

// Enabled reports whether there is a server to watch.
func (c *Config) Enabled() bool { return c.URL.IsSet() || c.URLFile != "" }

// Validate returns every mistake, joined, and loads the URL.
func (c *Config) Validate() error {
	var errs []error
	if c.StatementTimeout < minStatementTimeout || c.StatementTimeout > maxStatementTimeout {
		errs = append(errs, fmt.Errorf("SOAKD_POSTGRES_STATEMENT_TIMEOUT: %v is not from %v to %v", c.StatementTimeout, minStatementTimeout, maxStatementTimeout))
	}
	errs = append(errs, c.validateApplications(), c.validateDatabases(), c.validateTables())
	if n := len(c.Statements.list); n > maxStatements {
		errs = append(errs, fmt.Errorf("SOAKD_POSTGRES_STATEMENTS: has %d entries; at most %d are taken", n, maxStatements))
	}
	errs = append(errs, c.validateURL())
	return errors.Join(errs...)
}

func (c *Config) validateURL() error {
	variable := "SOAKD_POSTGRES_URL"
	if c.URLFile != "" {
		variable = "SOAKD_POSTGRES_URL_FILE"
	}
	resolved, err := secret.Resolve(c.URL, c.URLFile)
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	if !resolved.IsSet() {
		return nil
	}
	pool, err := pgxpool.ParseConfig(resolved.Value())
	if err != nil {
		// The parser's own message could hold a part of the password.
		return fmt.Errorf("%s: is not a Postgres URL or DSN; want postgres://user:password@host:port/database, with special characters in the password percent-encoded", variable)
	}
	c.pool, c.url = pool, resolved
	c.limit()
	return nil
}

// limit makes the pool one that cannot harm the server.
func (c *Config) limit() {
	pool := c.pool
	pool.MinConns, pool.MinIdleConns, pool.MaxConns = 0, 0, poolSize
	pool.PingTimeout = pingTimeout
	pool.BeforeClose = func(conn *pgx.Conn) {
		_ = conn.PgConn().Conn().SetDeadline(time.Now().Add(closeTimeout))
	}
	conn := pool.ConnConfig
	if conn.ConnectTimeout <= 0 {
		conn.ConnectTimeout = connectTimeout
	}
	conn.ConnectTimeout = min(conn.ConnectTimeout, maxConnectTimeout)
	conn.MaxProtocolMessageBodyLen = maxMessage
	// No prepared statements that an upgrade of the server or of an extension
	// could make invalid; one round trip a query all the same.
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	milliseconds := func(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }
	conn.RuntimeParams["application_name"] = ownApplication
	conn.RuntimeParams["default_transaction_read_only"] = "on"
	conn.RuntimeParams["statement_timeout"] = milliseconds(c.StatementTimeout)
	conn.RuntimeParams["lock_timeout"] = milliseconds(c.StatementTimeout / 2)
}

// Summary says what is watched.
func (c *Config) Summary() string {
	if c.pool == nil {
		return ""
	}
	conn := c.pool.ConnConfig
	return fmt.Sprintf("%s/%s as %s", net.JoinHostPort(conn.Host, strconv.Itoa(int(conn.Port))), conn.Database, conn.User)
}

// Open makes the one probe. Validate must have been called.
func (c *Config) Open(*slog.Logger) ([]probes.Probe, error) {
	if c.pool == nil {
		return nil, errors.New("open postgres probe: the configuration has not been validated")
	}
	opened, err := newProbe(c)
	if err != nil {
		return nil, err
	}
	return []probes.Probe{opened}, nil
}

// validateApplications trims the names and refuses those that cannot be.
func (c *Config) validateApplications() error {
	const variable = "SOAKD_POSTGRES_APPLICATIONS"
	var errs []error
	seen := map[string]bool{}
	for i, name := range c.Applications {
		name = strings.TrimSpace(name)
		c.Applications[i] = name
		switch {
		case name == "" || len(name) > maxName:
			errs = append(errs, fmt.Errorf("%s: %.80q is not 1 to %d bytes long", variable, name, maxName))
		case name == other || name == none:
			errs = append(errs, fmt.Errorf("%s: %q has a meaning of its own here", variable, name))
		case seen[name]:
			errs = append(errs, fmt.Errorf("%s: %q is there twice", variable, name))
		}
		seen[name] = true
	}
	if n := len(c.Applications); n > maxApplications {
		errs = append(errs, fmt.Errorf("%s: has %d names; at most %d are taken", variable, n, maxApplications))
	}
	return errors.Join(errs...)
}

// validateDatabases trims the names.
func (c *Config) validateDatabases() error {
	const variable = "SOAKD_POSTGRES_DATABASES"
	var errs []error
	seen := map[string]bool{}
	for i, name := range c.Databases {
		name = strings.TrimSpace(name)
		c.Databases[i] = name
		switch {
		case name == "" || len(name) > maxName:
			errs = append(errs, fmt.Errorf("%s: %.80q is not 1 to %d bytes long", variable, name, maxName))
		case seen[name]:
			errs = append(errs, fmt.Errorf("%s: %q is there twice", variable, name))
		}
		seen[name] = true
	}
	if n := len(c.Databases); n > maxDatabases {
		errs = append(errs, fmt.Errorf("%s: has %d names; at most %d are taken", variable, n, maxDatabases))
	}
	return errors.Join(errs...)
}

// tableName is a table of the operator's list.
type tableName struct{ schema, name string }

func (t tableName) String() string {
	if t.schema == "public" {
		return t.name
	}
	return t.schema + "." + t.name
}

var tablePattern = regexp.MustCompile(`^(?:([^\s.",]{1,63})\.)?([^\s.",]{1,63})$`)

func (c *Config) validateTables() error {
	const variable = "SOAKD_POSTGRES_TABLES"
	var errs []error
	c.tables = nil
	seen := map[tableName]bool{}
	for _, text := range c.Tables {
		parts := tablePattern.FindStringSubmatch(strings.TrimSpace(text))
		if parts == nil {
			errs = append(errs, fmt.Errorf("%s: %.80q is not table or schema.table", variable, text))
			continue
		}
		table := tableName{schema: parts[1], name: parts[2]}
		if table.schema == "" {
			table.schema = "public"
		}
		if seen[table] {
			errs = append(errs, fmt.Errorf("%s: %q is there twice", variable, text))
			continue
		}
		seen[table] = true
		c.tables = append(c.tables, table)
	}
	if n := len(c.tables); n > maxTables {
		errs = append(errs, fmt.Errorf("%s: has %d tables; at most %d are taken", variable, n, maxTables))
	}
	return errors.Join(errs...)
}
