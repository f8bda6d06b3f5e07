// Package redis watches Redis (or Valkey, KeyDB, Dragonfly) servers with PING,
// INFO, SLOWLOG GET, LATENCY LATEST and, where wanted, CONFIG GET: nothing that
// looks up a key, scans keys or counts in the hit ratio.
//
// The least rights it needs are in deploy/redis-acl.txt.
package redis

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"soakd/internal/authorities"
	"soakd/internal/probes"
	"soakd/internal/secret"
)

// Name is the name of this kind and of its probe.
const Name = "redis"

// Limits of [Config.HitWindow].
const (
	minHitWindow     = time.Second
	maxHitWindow     = 24 * time.Hour
	defaultHitWindow = time.Minute
)

// Config is the configuration of the Redis probe.
type Config struct {
	URL                  secret.String `envconfig:"REDIS_URL" desc:"Redis to watch, as redis://user:password@host:port/0 (rediss:// with TLS) or unix://user:password@/path; with SOAKD_REDIS_MODE=cluster redis://user:password@host:port?addr=host2:port2, with sentinel redis://sentinel-user:sentinel-password@host:port?addr=host2:port2&master_name=name&username=user&password=password; empty: not watched. Rights needed: deploy/redis-acl.txt."`
	URLFile              string        `envconfig:"REDIS_URL_FILE" desc:"File that holds the URL of the Redis to watch; it is read again when a password is refused."`
	Mode                 string        `envconfig:"REDIS_MODE" default:"single" desc:"What is behind the URL: single, a server; sentinel, sentinels that know a master and its replicas; cluster, servers of a Redis cluster."`
	SentinelUsername     string        `envconfig:"REDIS_SENTINEL_USERNAME" desc:"User for the sentinels. With it or a password for them, the user and password before the host of SOAKD_REDIS_URL are those of the servers."`
	SentinelPassword     secret.String `envconfig:"REDIS_SENTINEL_PASSWORD" desc:"Password for the sentinels, instead of the one before the host of SOAKD_REDIS_URL."`
	SentinelPasswordFile string        `envconfig:"REDIS_SENTINEL_PASSWORD_FILE" desc:"File that holds the password for the sentinels; it is read again when a password is refused."`
	TLSCAFile            string        `envconfig:"REDIS_TLS_CA_FILE" desc:"PEM file with the authorities that sign the certificates of Redis; empty: those of the system. TLS itself is on with rediss://."`
	TLSCertFile          string        `envconfig:"REDIS_TLS_CERT_FILE" desc:"PEM file with the client certificate for Redis; it is read at each connection."`
	TLSKeyFile           string        `envconfig:"REDIS_TLS_KEY_FILE" desc:"PEM file with the key of the client certificate for Redis."`
	TLSServerName        string        `envconfig:"REDIS_TLS_SERVER_NAME" desc:"Name that the certificates of all the Redis servers have; empty: the host of each."`
	AddressMap           []string      `envconfig:"REDIS_ADDRESS_MAP" desc:"Where soakd reaches servers whose announced address it cannot, as behind NAT or in containers: announced-host:port=reachable-host:port pairs, at most 128."`
	HitWindow            time.Duration `envconfig:"REDIS_HIT_WINDOW" default:"1m" desc:"Time over which the hit ratio is computed, 1s to 24h."`
	Commands             []string      `envconfig:"REDIS_COMMANDS" default:"get,set,mget,mset,setex,del,unlink,exists,expire,ttl,incr,incrby,decr,hget,hset,hmget,hgetall,hdel,lpush,rpush,lpop,rpop,lrange,blpop,brpop,sadd,srem,smembers,zadd,zrem,zrange,xadd,xread,xreadgroup,xack,publish,eval,evalsha,multi,exec,scan,info,ping" desc:"Commands of Redis that get series of their own, in lower case, at most 50; config|get names a subcommand. All others are counted as other."`
	ReadConfig           bool          `envconfig:"REDIS_READ_CONFIG" default:"false" desc:"Whether to read the thresholds of the slow log and of the latency monitor with CONFIG GET: a right that also shows the server's passwords to whoever has it."`

	// target is what Validate made of it; target.mode is empty before.
	target target
}

// Kind returns the kind with its defaults.
func Kind() probes.Kind {
	return probes.Kind{Name: Name, Config: &Config{Mode: modeSingle, HitWindow: defaultHitWindow, Commands: strings.Split(defaultCommands, ",")}}
}

// Enabled reports whether there is a server to watch.
func (c *Config) Enabled() bool { return c.URL.IsSet() || c.URLFile != "" }

// Validate returns every mistake, joined, and loads the URL.
func (c *Config) Validate() error {
	var errs []error
	if c.HitWindow < minHitWindow || c.HitWindow > maxHitWindow {
		errs = append(errs, fmt.Errorf("SOAKD_REDIS_HIT_WINDOW: %v is not from %v to %v", c.HitWindow, minHitWindow, maxHitWindow))
	}
	errs = append(errs, validateCommands(c.Commands))
	c.Mode = cmp.Or(c.Mode, modeSingle)
	loaded, err := c.way().validate()
	if err == nil {
		c.target = loaded
	}
	return errors.Join(append(errs, err)...)
}

func (c *Config) way() way {
	return way{
		prefix: "SOAKD_REDIS_", url: c.URL, urlFile: c.URLFile, mode: c.Mode,
		sentinelUsername: c.SentinelUsername, sentinelPassword: c.SentinelPassword, sentinelPasswordFile: c.SentinelPasswordFile,
		tlsCAFile: c.TLSCAFile, tlsCertFile: c.TLSCertFile, tlsKeyFile: c.TLSKeyFile, tlsServerName: c.TLSServerName,
		addressMap: c.AddressMap,
	}
}

// way is how servers are reached, as the settings of one kind of probe say: those
// that this kind and the canary both have.
type way struct {
	// prefix starts the names of the settings, for errors.
	prefix        string
	url           secret.String
	urlFile, mode string

	sentinelUsername, sentinelPasswordFile string
	sentinelPassword                       secret.String

	tlsCAFile, tlsCertFile, tlsKeyFile, tlsServerName string
	addressMap                                        []string
}

// validate returns the target, or every mistake, joined.
func (w way) validate() (target, error) {
	if !slices.Contains([]string{modeSingle, modeSentinel, modeCluster}, w.mode) {
		return target{}, fmt.Errorf("%sMODE: %.40q is not single, sentinel or cluster", w.prefix, w.mode)
	}
	var misplaced error
	if w.mode != modeSentinel && (w.sentinelUsername != "" || w.sentinelPassword.IsSet() || w.sentinelPasswordFile != "") {
		misplaced = fmt.Errorf("%[1]sSENTINEL_USERNAME, %[1]sSENTINEL_PASSWORD: need %[1]sMODE=sentinel", w.prefix)
	}
	t, err := w.load()
	return t, errors.Join(misplaced, err)
}

// load makes the target, with what stands in files now. It has no mode when there
// is no URL.
func (w way) load() (target, error) {
	resolved, err := secret.Resolve(w.url, w.urlFile)
	if err != nil {
		return target{}, fmt.Errorf("%s: %w", w.urlVariable(), err)
	}
	addresses, addressErr := parseAddresses(w.addressMap)
	if addressErr != nil {
		addressErr = fmt.Errorf("%sADDRESS_MAP: %w", w.prefix, addressErr)
	}
	password, passwordErr := secret.Resolve(w.sentinelPassword, w.sentinelPasswordFile)
	if passwordErr != nil {
		passwordErr = fmt.Errorf("%[1]sSENTINEL_PASSWORD, %[1]sSENTINEL_PASSWORD_FILE: %[2]w", w.prefix, passwordErr)
	}
	if err := errors.Join(addressErr, passwordErr); err != nil || !resolved.IsSet() {
		return target{}, err
	}
	t, err := parseTarget(w.mode, resolved.Value())
	if err != nil {
		return target{}, fmt.Errorf("%s: %w", w.urlVariable(), err)
	}
	t.useSentinelLogin(login{w.sentinelUsername, password.Value()})
	t.addresses, t.secrets = addresses, [2]secret.String{resolved, password}
	err = w.loadTLS(&t)
	return t, err
}

func (w way) urlVariable() string {
	if w.urlFile != "" {
		return w.prefix + "URL_FILE"
	}
	return w.prefix + "URL"
}

// loadTLS adds to the target what the settings of TLS say.
func (w way) loadTLS(t *target) error {
	if w.tlsCAFile+w.tlsCertFile+w.tlsKeyFile+w.tlsServerName == "" {
		return nil
	}
	if t.tls == nil {
		return fmt.Errorf("%sTLS_...: %s has no TLS; want rediss://", w.prefix, w.urlVariable())
	}
	t.serverName = w.tlsServerName
	return errors.Join(w.loadAuthorities(t.tls), w.loadCertificate(t.tls))
}

func (w way) loadAuthorities(config *tls.Config) (err error) {
	if w.tlsCAFile == "" {
		return nil
	}
	if config.RootCAs, err = authorities.Read(w.tlsCAFile); err != nil {
		return fmt.Errorf("%sTLS_CA_FILE: %w", w.prefix, err)
	}
	return nil
}

// loadCertificate lets each handshake read the client certificate anew: it may be
// renewed during a soak of weeks.
func (w way) loadCertificate(config *tls.Config) error {
	if w.tlsCertFile == "" && w.tlsKeyFile == "" {
		return nil
	}
	read := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(w.tlsCertFile, w.tlsKeyFile)
		if err != nil {
			return nil, fmt.Errorf("%[1]sTLS_CERT_FILE, %[1]sTLS_KEY_FILE: %[2]w", w.prefix, err)
		}
		return &pair, nil
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	_, err := read()
	return err
}

// Summary says what is watched.
func (c *Config) Summary() string { return c.target.summary() }

// Open makes the one probe. Validate must have been called.
func (c *Config) Open(*slog.Logger) ([]probes.Probe, error) {
	if c.target.mode == "" {
		return nil, errors.New("open redis probe: the configuration has not been validated")
	}
	return []probes.Probe{newProbe(c)}, nil
}
