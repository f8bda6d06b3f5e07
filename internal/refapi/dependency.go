package refapi

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// dependency is what was last seen of Postgres or Redis.
type dependency struct {
	name   string
	logger *slog.Logger

	mu   sync.Mutex
	up   bool
	seen time.Time // the zero time: never
}

// observe takes note of the outcome of one use; nil is success.
func (d *dependency) observe(err error) {
	d.mu.Lock()
	changed := d.up != (err == nil) || d.seen.IsZero()
	d.up, d.seen = err == nil, time.Now()
	d.mu.Unlock()
	switch {
	case !changed:
	case err == nil:
		d.logger.Info("dependency is up", "dependency", d.name)
	default:
		d.logger.Warn("dependency is down", "dependency", d.name, "error", err)
	}
}

// state returns "up" or "down".
func (d *dependency) state() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.up {
		return "up"
	}
	return "down"
}

// failedWithin reports whether the last use failed, and that lately.
func (d *dependency) failedWithin(age time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.up && !d.seen.IsZero() && time.Since(d.seen) < age
}

// stale reports whether the last use is older than age.
func (d *dependency) stale(age time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.seen) >= age
}

// watch pings the dependency whenever it was not used for a while, until ctx
// ends, so that its state is known without traffic too.
func (d *dependency) watch(ctx context.Context, every time.Duration, ping func(context.Context) error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if d.stale(every / 2) {
			if err := ping(ctx); ctx.Err() == nil {
				d.observe(err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
