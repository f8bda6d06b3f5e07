// Package redis watches Redis (or Valkey, KeyDB, Dragonfly) servers with PING,
// INFO, SLOWLOG GET, LATENCY LATEST and, where wanted, CONFIG GET: nothing that
// looks up a key, scans keys or counts in the hit ratio.
//
// The least rights it needs are in deploy/redis-acl.txt.
package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

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
	URL        secret.String `envconfig:"REDIS_URL" desc:"Redis to watch, as redis://user:password@host:port/0 (rediss:// with TLS); empty: not watched. Rights needed: deploy/redis-acl.txt."`
	URLFile    string        `envconfig:"REDIS_URL_FILE" desc:"File that holds the URL of the Redis to watch."`
	HitWindow  time.Duration `envconfig:"REDIS_HIT_WINDOW" default:"1m" desc:"Time over which the hit ratio is computed, 1s to 24h."`
	Commands   []string      `envconfig:"REDIS_COMMANDS" default:"get,set,mget,mset,setex,del,unlink,exists,expire,ttl,incr,incrby,decr,hget,hset,hmget,hgetall,hdel,lpush,rpush,lpop,rpop,lrange,blpop,brpop,sadd,srem,smembers,zadd,zrem,zrange,xadd,xread,xreadgroup,xack,publish,eval,evalsha,multi,exec,scan,info,ping" desc:"Commands of Redis that get series of their own, in lower case, at most 50; config|get names a subcommand. All others are counted as other."`
	ReadConfig bool          `envconfig:"REDIS_READ_CONFIG" default:"false" desc:"Whether to read the thresholds of the slow log and of the latency monitor with CONFIG GET: a right that also shows the server's passwords to whoever has it."`

	options *goredis.Options
	url     secret.String
}

// Kind returns the kind with its defaults.
func Kind() probes.Kind {
	return probes.Kind{Name: Name, Config: &Config{HitWindow: defaultHitWindow, Commands: strings.Split(defaultCommands, ",")}}
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
	resolved, err := secret.Resolve(c.URL, c.URLFile)
	variable := "SOAKD_REDIS_URL"
	if c.URLFile != "" {
		variable = "SOAKD_REDIS_URL_FILE"
	}
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("%s: %w", variable, err))...)
	}
	if resolved.IsSet() {
		options, err := goredis.ParseURL(resolved.Value())
		if err != nil {
			// The parser's own message could hold a part of the password.
			errs = append(errs, fmt.Errorf("%s: is not a Redis URL; want redis://user:password@host:port/0 or rediss://..., with special characters in the password percent-encoded", variable))
		}
		c.options, c.url = options, resolved
	}
	return errors.Join(errs...)
}

// Summary says what is watched.
func (c *Config) Summary() string {
	if c.options == nil {
		return ""
	}
	if c.options.Username != "" {
		return c.options.Addr + " as " + c.options.Username
	}
	return c.options.Addr
}

// Open makes the one probe. Validate must have been called.
func (c *Config) Open(*slog.Logger) ([]probes.Probe, error) {
	if c.options == nil {
		return nil, errors.New("open redis probe: the configuration has not been validated")
	}
	opened := newProbe(*c.options, c.url, c.HitWindow)
	opened.metrics.configure(c)
	return []probes.Probe{opened}, nil
}
