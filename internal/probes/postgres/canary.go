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

// CanaryName is the name of the kind of the canary and of its probe.
const CanaryName = "postgres_canary"

// defaultCanarySchema holds the canary's one table.
const defaultCanarySchema = "soakd_canary"

// CanaryConfig is the configuration of the canary, which writes, reads and
// deletes a row of its own: the time that the database takes, without the API.
type CanaryConfig struct {
	URL     secret.String `envconfig:"POSTGRES_CANARY_URL" desc:"Postgres in which a row is written, read and deleted at each poll, as postgres://user:password@host:port/database; empty: none. Not the role that watches: this one may write in its own schema, see deploy/postgres-canary.sql (secret)."`
	URLFile string        `envconfig:"POSTGRES_CANARY_URL_FILE" desc:"File that holds the URL of the Postgres of the canary, read again at each new connection."`
	Schema  string        `envconfig:"POSTGRES_CANARY_SCHEMA" default:"soakd_canary" desc:"Schema of the canary's table, in lower case; nothing else belongs in there. It is made where the role may."`

	server *server
}

// canaryLimits are those of the canary's one session. The deadline of the poll
// comes before that on a statement, and cancels it; this one is for a cancellation
// that is lost. Behind a pooler it does not hold: each statement is a transaction
// of its own, as the API's are.
func canaryLimits() limits { return limits{connections: 1, statement: 10 * time.Second} }

// CanaryKind returns the kind of the canary with its defaults: off.
func CanaryKind() probes.Kind {
	return probes.Kind{Name: CanaryName, Config: &CanaryConfig{Schema: defaultCanarySchema}}
}

// Enabled reports whether there is a server to write to.
func (c *CanaryConfig) Enabled() bool { return c.URL.IsSet() || c.URLFile != "" }

// Writes says that the canary writes; see [probes.Writer].
func (*CanaryConfig) Writes() {}

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
	found := &server{
		name: "canary", probe: CanaryName, variable: variableOf("SOAKD_POSTGRES_CANARY_URL", c.URLFile),
		read: func() (secret.String, error) { return secret.Resolve(c.URL, c.URLFile) },
	}
	var err error
	if found.address, err = found.read(); err == nil && !found.address.IsSet() {
		return nil
	}
	if err == nil {
		found.pool, err = poolOf(found.address, canaryLimits())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", found.variable, err)
	}
	c.server = found
	return nil
}

// Summary says where the canary lives.
func (c *CanaryConfig) Summary() string {
	if c.server == nil {
		return ""
	}
	return fmt.Sprintf("%s, schema %s", summary(c.server.pool.ConnConfig), c.Schema)
}

// Open makes the one probe. Validate must have been called.
func (c *CanaryConfig) Open(*slog.Logger) ([]probes.Probe, error) {
	if c.server == nil {
		return nil, errors.New("open postgres canary: the configuration has not been validated")
	}
	opened, err := newCanary(c)
	if err != nil {
		return nil, err
	}
	return []probes.Probe{opened}, nil
}
