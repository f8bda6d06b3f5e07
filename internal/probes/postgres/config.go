// Package postgres watches PostgreSQL servers through their statistics views,
// each with one session.
//
// The role it connects as needs pg_monitor and nothing else;
// deploy/postgres-role.sql makes it.
//
// It should reach the server itself. Behind a pooler such as PgBouncer it works
// too, with a transaction for each group of values, because the limits that its
// own session would have are refused there; and the sessions that it then sees
// on the server are the pooler's.
package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

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
	maxName                 = 63 // NAMEDATALEN - 1, in bytes
	maxStatements           = 50
	maxTables               = 50
	minStatementTimeout     = 10 * time.Millisecond
	maxStatementTimeout     = time.Minute
	defaultStatementTimeout = time.Second
)

// Config is the configuration of the Postgres probe.
type Config struct {
	URL              secret.String `envconfig:"POSTGRES_URL" desc:"Postgres to watch, as postgres://user:password@host:port/database or as a DSN, with libpq's parameters; empty: not watched. The role needs pg_monitor, see deploy/postgres-role.sql; without a user it is soakd (secret)."`
	URLFile          string        `envconfig:"POSTGRES_URL_FILE" desc:"File that holds the URL of the Postgres to watch, read again at each new connection."`
	MainName         string        `envconfig:"POSTGRES_NAME" default:"main" desc:"Value of the label server for the server of SOAKD_POSTGRES_URL, of a-z, 0-9, _ and -, up to 40 characters."`
	Servers          secret.String `envconfig:"POSTGRES_SERVERS" desc:"More servers to watch, such as replicas, as name=url separated by semicolons or ends of lines, at most 16; the names are as in SOAKD_POSTGRES_NAME. Tables and statements that such a server does not have are not missed there (secret)."`
	ServersFile      string        `envconfig:"POSTGRES_SERVERS_FILE" desc:"File that holds the servers of SOAKD_POSTGRES_SERVERS; their URLs are read again at each new connection, new names at the next start."`
	Databases        []string      `envconfig:"POSTGRES_DATABASES" desc:"Databases of the servers that get values of their own besides the one connected to, separated by commas, at most 20."`
	Applications     []string      `envconfig:"POSTGRES_APPLICATIONS" desc:"Values of application_name that get their own label, separated by commas, at most 50; all others become other, none when empty."`
	Statements       Statements    `envconfig:"POSTGRES_STATEMENTS" desc:"Statements to watch in pg_stat_statements, as name=text or name=~regexp, separated by semicolons, at most 50; the text is looked for in the normalised statement."`
	Tables           []string      `envconfig:"POSTGRES_TABLES" desc:"Tables whose dead rows and sequential scans are watched, as table or schema.table, separated by commas, at most 50."`
	StatementTimeout time.Duration `envconfig:"POSTGRES_STATEMENT_TIMEOUT" default:"1s" desc:"Longest time for one query of the probe, 10ms to 1m; waiting for a lock may take half of it."`

	servers []*server
	tables  []tableName
}

// Kind returns the kind with its defaults.
func Kind() probes.Kind {
	return probes.Kind{Name: Name, Config: &Config{MainName: defaultServer, StatementTimeout: defaultStatementTimeout}}
}

// Enabled reports whether there is a server to watch.
func (c *Config) Enabled() bool {
	return c.URL.IsSet() || c.URLFile != "" || c.Servers.IsSet() || c.ServersFile != ""
}

// Validate returns every mistake, joined, and loads the URLs.
func (c *Config) Validate() error {
	var errs []error
	if c.StatementTimeout < minStatementTimeout || c.StatementTimeout > maxStatementTimeout {
		errs = append(errs, fmt.Errorf("SOAKD_POSTGRES_STATEMENT_TIMEOUT: %v is not from %v to %v", c.StatementTimeout, minStatementTimeout, maxStatementTimeout))
	}
	errs = append(errs, c.validateApplications(), c.validateDatabases(), c.validateTables())
	if n := len(c.Statements.list); n > maxStatements {
		errs = append(errs, fmt.Errorf("SOAKD_POSTGRES_STATEMENTS: has %d entries; at most %d are taken", n, maxStatements))
	}
	if !serverName.MatchString(c.MainName) {
		errs = append(errs, fmt.Errorf("SOAKD_POSTGRES_NAME: %.80q is not of a-z, 0-9, _ and -, 1 to 40 characters", c.MainName))
	}
	found, err := c.findServers()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	c.servers = found
	return errors.Join(errs...)
}

// limits are those of the reading sessions.
func (c *Config) limits() limits {
	return limits{connections: readConnections, statement: c.StatementTimeout, readOnly: true}
}

// Summary says what is watched.
func (c *Config) Summary() string {
	texts := make([]string, 0, len(c.servers))
	for _, s := range c.servers {
		text := summary(s.pool.ConnConfig)
		if len(c.servers) > 1 {
			text = s.name + " " + text
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

// Open makes one probe a server. Validate must have been called.
func (c *Config) Open(*slog.Logger) ([]probes.Probe, error) {
	if len(c.servers) == 0 {
		return nil, errors.New("open postgres probe: the configuration has not been validated")
	}
	var opened []probes.Probe
	for _, s := range c.servers {
		inner, err := newProbe(c, s)
		if err != nil {
			for _, before := range opened {
				before.Close()
			}
			return nil, err
		}
		opened = append(opened, withServer(inner, s.probe, s.name))
	}
	return opened, nil
}

// validateDatabases trims the names and refuses those that cannot be.
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
