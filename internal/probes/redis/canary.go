package redis

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// CanaryName is the name of the kind of the canary and of its probe.
const CanaryName = "redis_canary"

const defaultCanaryPrefix = "soakd:canary:"

// CanaryConfig is the configuration of the canary, which writes, reads and
// deletes a key of its own: the time that the cache takes, without the API.
//
// Its settings of the way to the servers are its own and not those of [Config]: the
// canary may live elsewhere, or be reached another way, than what is watched. They
// mean the same.
type CanaryConfig struct {
	URL                  secret.String `envconfig:"REDIS_CANARY_URL" desc:"Redis in which a key is written, read and deleted at each poll, as redis://user:password@host:port (rediss:// with TLS), or for SOAKD_REDIS_CANARY_MODE as SOAKD_REDIS_URL is for its mode; empty: none. It lives in database 0. Not the user that watches: rights needed are in deploy/redis-canary-acl.txt (secret)."`
	URLFile              string        `envconfig:"REDIS_CANARY_URL_FILE" desc:"File that holds the URL of the Redis of the canary; users and passwords are read again at each new connection."`
	Mode                 string        `envconfig:"REDIS_CANARY_MODE" default:"single" desc:"What is behind the canary's URL: single, a server (of a cluster any: each master gets a key); sentinel, sentinels that know the master, which gets a key; cluster, servers of a Redis cluster, whose masters get a key each. This and the settings below are not taken from those of SOAKD_REDIS_URL: the canary may live elsewhere."`
	SentinelUsername     string        `envconfig:"REDIS_CANARY_SENTINEL_USERNAME" desc:"User for the canary's sentinels, as SOAKD_REDIS_SENTINEL_USERNAME is."`
	SentinelPassword     secret.String `envconfig:"REDIS_CANARY_SENTINEL_PASSWORD" desc:"Password for the canary's sentinels, instead of the one before the host of SOAKD_REDIS_CANARY_URL (secret)."`
	SentinelPasswordFile string        `envconfig:"REDIS_CANARY_SENTINEL_PASSWORD_FILE" desc:"File that holds the password for the canary's sentinels; it is read again at each new connection."`
	TLSCAFile            string        `envconfig:"REDIS_CANARY_TLS_CA_FILE" desc:"PEM file with the authorities that sign the certificates of the canary's Redis; empty: those of the system. TLS itself is on with rediss://."`
	TLSCertFile          string        `envconfig:"REDIS_CANARY_TLS_CERT_FILE" desc:"PEM file with the client certificate for the canary's Redis; it is read at each connection."`
	TLSKeyFile           string        `envconfig:"REDIS_CANARY_TLS_KEY_FILE" desc:"PEM file with the key of the client certificate for the canary's Redis."`
	TLSServerName        string        `envconfig:"REDIS_CANARY_TLS_SERVER_NAME" desc:"Name that the certificates of all of the canary's servers have; empty: the host of each."`
	AddressMap           []string      `envconfig:"REDIS_CANARY_ADDRESS_MAP" desc:"Where the canary reaches servers whose announced address soakd cannot reach, as SOAKD_REDIS_ADDRESS_MAP: announced-host:port=reachable-host:port pairs, at most 128."`
	Prefix               string        `envconfig:"REDIS_CANARY_PREFIX" default:"soakd:canary:" desc:"Start of the canary's keys, 1 to 100 letters, digits and any of : . _ / -; nothing else may use it."`

	// target is what Validate made of it; target.mode is empty before.
	target target
}

// CanaryKind returns the kind of the canary with its defaults: off.
func CanaryKind() probes.Kind {
	return probes.Kind{Name: CanaryName, Config: &CanaryConfig{Mode: modeSingle, Prefix: defaultCanaryPrefix}}
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
	c.Mode = cmp.Or(c.Mode, modeSingle)
	loaded, err := c.way().validate()
	if err == nil {
		c.target = loaded
	}
	return errors.Join(append(errs, err)...)
}

func (c *CanaryConfig) way() way {
	return way{
		prefix: "SOAKD_REDIS_CANARY_", url: c.URL, urlFile: c.URLFile, mode: c.Mode,
		sentinelUsername: c.SentinelUsername, sentinelPassword: c.SentinelPassword, sentinelPasswordFile: c.SentinelPasswordFile,
		tlsCAFile: c.TLSCAFile, tlsCertFile: c.TLSCertFile, tlsKeyFile: c.TLSKeyFile, tlsServerName: c.TLSServerName,
		addressMap: c.AddressMap,
	}
}

// Summary says where the canary lives.
func (c *CanaryConfig) Summary() string {
	if c.target.mode == "" {
		return ""
	}
	return fmt.Sprintf("%s, keys %s*", c.target.summary(), c.Prefix)
}

// Open makes the one probe. Validate must have been called.
func (c *CanaryConfig) Open(*slog.Logger) ([]probes.Probe, error) {
	if c.target.mode == "" {
		return nil, errors.New("open redis canary: the configuration has not been validated")
	}
	return []probes.Probe{newCanary(c)}, nil
}
