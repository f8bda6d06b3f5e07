package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// CanaryName is the name of the kind of the canary and of its probe.
const CanaryName = "postgres_canary"

// defaultCanarySchema holds the canary's one table.
const defaultCanarySchema = "soakd_canary"

// CanaryConfig is the configuration of the canary, which writes, reads and
// deletes a row of its own: the time that the database takes, without the API.
type CanaryConfig struct {
	URL     secret.String `envconfig:"POSTGRES_CANARY_URL" desc:"Postgres in which a row is written, read and deleted at each poll, as postgres://user:password@host:port/database; empty: none. Not the role that watches: this one may write in its own schema, see deploy/postgres-canary.sql."`
	URLFile string        `envconfig:"POSTGRES_CANARY_URL_FILE" desc:"File that holds the URL of the Postgres of the canary."`
	Schema  string        `envconfig:"POSTGRES_CANARY_SCHEMA" default:"soakd_canary" desc:"Schema of the canary's table, in lower case; nothing else belongs in there. It is made where the role may."`

	pool *pgxpool.Config
	url  secret.String
}

// CanaryKind returns the kind of the canary with its defaults: off.
func CanaryKind() probes.Kind {
	return probes.Kind{Name: CanaryName, Config: &CanaryConfig{Schema: defaultCanarySchema}}
}

// Enabled reports whether there is a server to write to.
func (c *CanaryConfig) Enabled() bool { return c.URL.IsSet() || c.URLFile != "" }

// schemaPattern needs no quotes in SQL; 63 bytes is what Postgres keeps.
var schemaPattern = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Validate returns every mistake, joined, and loads the URL.
func (c *CanaryConfig) Validate() error {
	return errors.Join(c.validateSchema(), c.validateURL())
}

func (c *CanaryConfig) validateSchema() error {
	const variable = "SOAKD_POSTGRES_CANARY_SCHEMA"
	switch {
	case !schemaPattern.MatchString(c.Schema):
		return fmt.Errorf("%s: %.80q must be 1 to 63 lower-case letters, digits and underscores, and not start with a digit", variable, c.Schema)
	case c.Schema == "public" || c.Schema == "information_schema" || strings.HasPrefix(c.Schema, "pg_"):
		return fmt.Errorf("%s: %q is not the canary's own; give a schema that nothing else uses, such as %s", variable, c.Schema, defaultCanarySchema)
	}
	return nil
}

func (c *CanaryConfig) validateURL() error {
	variable := "SOAKD_POSTGRES_CANARY_URL"
	if c.URLFile != "" {
		variable = "SOAKD_POSTGRES_CANARY_URL_FILE"
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
	return nil
}

// Summary says where the canary lives.
func (c *CanaryConfig) Summary() string {
	if c.pool == nil {
		return ""
	}
	conn := c.pool.ConnConfig
	return fmt.Sprintf("%s/%s as %s, schema %s", net.JoinHostPort(conn.Host, strconv.Itoa(int(conn.Port))), conn.Database, conn.User, c.Schema)
}

// Open makes the one probe. Validate must have been called.
func (c *CanaryConfig) Open(*slog.Logger) ([]probes.Probe, error) {
	if c.pool == nil {
		return nil, errors.New("open postgres canary: the configuration has not been validated")
	}
	opened, err := newCanary(c)
	if err != nil {
		return nil, err
	}
	return []probes.Probe{opened}, nil
}
