package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// CanaryName is the name of the kind of the canary and of its probe.
const CanaryName = "redis_canary"

const defaultCanaryPrefix = "soakd:canary:"

// CanaryConfig is the configuration of the canary, which writes, reads and
// deletes a key of its own: the time that the cache takes, without the API.
type CanaryConfig struct {
	URL     secret.String `envconfig:"REDIS_CANARY_URL" desc:"Redis in which a key is written, read and deleted at each poll, as redis://user:password@host:port (rediss:// with TLS); empty: none. Of a cluster any server: each master gets a key. It lives in database 0. Not the user that watches: rights needed are in deploy/redis-canary-acl.txt (secret)."`
	URLFile string        `envconfig:"REDIS_CANARY_URL_FILE" desc:"File that holds the URL of the Redis of the canary; user and password are read again at each new connection."`
	Prefix  string        `envconfig:"REDIS_CANARY_PREFIX" default:"soakd:canary:" desc:"Start of the canary's keys, 1 to 100 letters, digits and any of : . _ / -; nothing else may use it."`

	options *goredis.Options
	url     secret.String
}

// CanaryKind returns the kind of the canary with its defaults: off.
func CanaryKind() probes.Kind {
	return probes.Kind{Name: CanaryName, Config: &CanaryConfig{Prefix: defaultCanaryPrefix}}
}

// Enabled reports whether there is a server to write to.
func (c *CanaryConfig) Enabled() bool { return c.URL.IsSet() || c.URLFile != "" }

// Writes says that the canary writes; see [probes.Writer].
func (*CanaryConfig) Writes() {}

// prefixPattern has no braces: in a cluster they choose the slot.
var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9:._/-]{1,100}$`)

// Validate returns every mistake, joined, and loads the URL.
func (c *CanaryConfig) Validate() error {
	var errs []error
	if !prefixPattern.MatchString(c.Prefix) {
		errs = append(errs, fmt.Errorf("SOAKD_REDIS_CANARY_PREFIX: %.80q must be 1 to 100 letters, digits and any of : . _ / -", c.Prefix))
	}
	return errors.Join(append(errs, c.validateURL())...)
}

func (c *CanaryConfig) validateURL() error {
	variable := "SOAKD_REDIS_CANARY_URL"
	if c.URLFile != "" {
		variable = "SOAKD_REDIS_CANARY_URL_FILE"
	}
	resolved, err := secret.Resolve(c.URL, c.URLFile)
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	if !resolved.IsSet() {
		return nil
	}
	options, err := goredis.ParseURL(resolved.Value())
	if err != nil {
		// The parser's own message could hold a part of the password.
		return fmt.Errorf("%s: is not a Redis URL; want redis://user:password@host:port or rediss://..., with special characters in the password percent-encoded", variable)
	}
	c.options, c.url = options, resolved
	return nil
}

// Summary says where the canary lives.
func (c *CanaryConfig) Summary() string {
	if c.options == nil {
		return ""
	}
	if c.options.Username != "" {
		return fmt.Sprintf("%s as %s, keys %s*", c.options.Addr, c.options.Username, c.Prefix)
	}
	return fmt.Sprintf("%s, keys %s*", c.options.Addr, c.Prefix)
}

// Open makes the one probe. Validate must have been called.
func (c *CanaryConfig) Open(*slog.Logger) ([]probes.Probe, error) {
	if c.options == nil {
		return nil, errors.New("open redis canary: the configuration has not been validated")
	}
	return []probes.Probe{newCanary(c)}, nil
}
