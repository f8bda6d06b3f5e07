package refapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"soakd/internal/secret"
)

const (
	// cacheTimeout bounds one use of Redis: a cache slower than this is not worth waiting for.
	cacheTimeout = 250 * time.Millisecond
	// cacheRest is how long a cache that failed is left alone.
	cacheRest = time.Second
	// maxCached is the largest answer that is cached, in bytes.
	maxCached = 1 << 20
)

// cache keeps computed answers in Redis. It never fails: without Redis there
// are no hits. A nil cache is always empty.
type cache struct {
	client *redis.Client
	ttl    time.Duration
	redis  *dependency
	links  *links

	hits, misses, failures atomic.Int64
}

// openCache connects lazily; only a URL that cannot be read is an error. Its
// text does not hold the URL, which may hold a password.
func openCache(url secret.String, ttl time.Duration, name string, logger *slog.Logger) (*cache, error) {
	options, err := redis.ParseURL(url.Value())
	if err != nil {
		return nil, errors.New("redis URL: want redis://[user:password@]host:port[/db]")
	}
	options.ClientName = name
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = cacheTimeout, cacheTimeout, cacheTimeout
	options.PoolTimeout = cacheTimeout
	options.MaxRetries = -1
	options.DialerRetries = 1
	options.ContextTimeoutEnabled = true
	options.DisableIdentity = true // CLIENT SETINFO is an error for servers before 7.2
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	links := newLinks()
	options.Dialer = links.dialed(redis.NewDialer(options))
	return &cache{
		client: redis.NewClient(options),
		links:  links,
		ttl:    ttl,
		redis:  &dependency{name: "redis", logger: logger},
	}, nil
}

func (c *cache) close() error {
	if err := c.client.Close(); err != nil {
		return fmt.Errorf("close redis: %w", err)
	}
	return nil
}

// another opens a client of its own, for a fault, whose uses may take longer.
func (c *cache) another(timeout time.Duration) *redis.Client {
	options := *c.client.Options()
	options.ReadTimeout, options.WriteTimeout, options.PoolTimeout = timeout, timeout, timeout
	return redis.NewClient(&options)
}

func (c *cache) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	return c.client.Ping(ctx).Err()
}

// get returns the answer kept under key, if there is one.
func (c *cache) get(ctx context.Context, key string) (computed, bool) {
	if c == nil || c.redis.failedWithin(cacheRest) {
		return computed{}, false
	}
	limited, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	data, err := c.client.Get(limited, key).Bytes()
	if errors.Is(err, redis.Nil) {
		c.redis.observe(nil)
		c.misses.Add(1)
		return computed{}, false
	}
	if c.failed(ctx, err) {
		return computed{}, false
	}
	answer, err := decodeComputed(data)
	if err != nil {
		c.failures.Add(1)
		return computed{}, false
	}
	c.hits.Add(1)
	return answer, true
}

// put keeps an answer for the time to live.
func (c *cache) put(ctx context.Context, key string, answer computed) {
	if c == nil || c.redis.failedWithin(cacheRest) {
		return
	}
	data := answer.encode()
	if len(data) > maxCached {
		return
	}
	limited, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	c.failed(ctx, c.client.Set(limited, key, data, c.ttl).Err())
}

// failed takes note of the outcome of one use and reports whether it failed.
// The caller's own end says nothing about Redis.
func (c *cache) failed(ctx context.Context, err error) bool {
	var answered redis.Error
	switch {
	case ctx.Err() != nil:
		return err != nil
	case err == nil:
		c.redis.observe(nil)
		return false
	case errors.As(err, &answered): // such as OOM: it is there, and refuses
		c.redis.observe(nil)
	default:
		c.redis.observe(err)
	}
	c.failures.Add(1)
	return true
}
