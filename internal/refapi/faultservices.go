package refapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

func serviceFaults() []fault {
	return []fault{
		{
			name: "evictions", does: "fills Redis with keys of its own (" + junkPrefix + "...) until others are evicted; needs a Redis with a maxmemory",
			parameters: []parameter{
				whole("bytes_per_second", 4<<20, 1<<10, 256<<20, "how fast"),
				whole("value_bytes", 16<<10, 64, 1<<20, "the size of a value"),
				span("ttl", time.Minute, time.Second, time.Hour, "the keys' time to live, should the API die before it deletes them"),
			},
			start: fillRedis,
		},
		{
			name: "lock_contention", does: "locks a table against writes from a session of its own, again and again",
			parameters: []parameter{
				span("hold", 300*time.Millisecond, time.Millisecond, time.Minute, "how long each time; writes give up after 5 s"),
				span("every", time.Second, 10*time.Millisecond, time.Hour, "from one lock to the next; at least hold"),
				word("table", "scenarios: saves wait; history: forecasts wait; both", "scenarios", "history", "both"),
			},
			start: contend,
		},
		{
			name: "restart", does: "restarts the process on the same listening socket; the faults that are on come back on, the version stays",
			parameters: []parameter{
				span("every", time.Minute, 100*time.Millisecond, longest, "how long each process serves"),
				choice("graceful", "running requests may end first; else they are cut off, as in a crash"),
			},
			start: restartRepeatedly,
		},
		{
			name: "dependency_down", does: "cuts the API's connections to a dependency and refuses new ones. The server itself stays up, so a probe sees nothing: stop the server (SIGSTOP, or its end) for a real outage",
			parameters: []parameter{word("dependency", "which", "postgres", "redis")},
			start:      cutDependency,
		},
		{
			name: "hang", does: "takes requests and does not answer them until it is switched off; those whose client has not left are answered then",
			parameters: []parameter{
				share("ratio", 1, "of the requests"),
				word("route", "the operation; all: every one, health too", everything, opForecast, opSave, opScenarios, opScenario, opHistory, opHealth),
			},
			start: hang,
		},
		{
			name: "rate_limit", does: "answers 429 with Retry-After in bursts; the first begins at once",
			parameters: []parameter{
				routeParameter(everything), span("every", time.Minute, time.Millisecond, longest, "from burst to burst"),
				span("burst", 5*time.Second, time.Millisecond, longest, "how long a burst is; every or more: all the time"),
				span("retry_after", time.Second, 0, time.Hour, "what is asked for, in whole seconds"),
			},
			start: rateLimit,
		},
	}
}

const (
	// junkPrefix is of the keys that evictions makes.
	junkPrefix = "cashflow:junk:"
	// maxJunk bounds what it writes at a time, in bytes.
	maxJunk = 256 << 20
	// junkTimeout bounds one use of Redis.
	junkTimeout = 5 * time.Second
	// deleteBatch is how many keys one command deletes.
	deleteBatch = 500
)

// junk is what evictions writes: a ring of keys that together are twice as large
// as what Redis may hold.
type junk struct {
	client *redis.Client
	value  string
	keys   int64
	ttl    time.Duration
	next   int64
}

func fillRedis(ctx context.Context, a *API, s settings) (effect, error) {
	if a.cache == nil {
		return effect{}, &impossibleError{"this API has no Redis"}
	}
	limited, cancel := context.WithTimeout(ctx, junkTimeout)
	defer cancel()
	memory, err := a.cache.client.Info(limited, "memory").Result()
	if err != nil {
		return effect{}, &impossibleError{"Redis does not tell of its memory (INFO memory)"}
	}
	_, rest, _ := strings.Cut(memory, "maxmemory:")
	text, _, _ := strings.Cut(rest, "\r")
	most, _ := strconv.ParseInt(text, 10, 64)
	if most <= 0 || 2*most > maxJunk {
		return effect{}, &impossibleError{fmt.Sprintf("Redis needs a maxmemory of at most %d MiB, so that keys are evicted and this machine survives", maxJunk>>21)}
	}
	size := s.whole("value_bytes")
	j := &junk{value: strings.Repeat("x", int(size)), keys: 2*most/size + 1, ttl: s.span("ttl")}
	return effect{run: func(ctx context.Context) {
		j.client = a.cache.another(junkTimeout)
		defer j.client.Close() //nolint:errcheck // it has no work left
		defer j.remove()
		accrue(ctx, float64(s.whole("bytes_per_second"))/float64(size), 1<<62, func(n int64) { j.write(ctx, n) })
	}}, nil
}

// write writes the next n keys of the ring. A Redis that is away or refuses
// (OOM) is tried again with the next ones.
func (j *junk) write(ctx context.Context, n int64) {
	pipe := j.client.Pipeline()
	for range min(n, j.keys) {
		pipe.Set(ctx, j.key(j.next), j.value, j.ttl)
		j.next++
	}
	_, _ = pipe.Exec(ctx)
}

func (j *junk) key(n int64) string { return junkPrefix + strconv.FormatInt(n%j.keys, 10) }

// remove deletes what was written; what cannot be deleted has a time to live.
func (j *junk) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), junkTimeout)
	defer cancel()
	for first := int64(0); first < min(j.next, j.keys); first += deleteBatch {
		var keys []string
		for n := first; n < min(first+deleteBatch, j.next, j.keys); n++ {
			keys = append(keys, j.key(n))
		}
		if j.client.Del(ctx, keys...).Err() != nil {
			return
		}
	}
}

func contend(_ context.Context, a *API, s settings) (effect, error) {
	tables := map[string]string{
		"scenarios": "public.cashflow_scenarios", "history": "public.cashflow_history",
		"both": "public.cashflow_scenarios, public.cashflow_history",
	}[s.word("table")]
	hold, every := s.span("hold"), s.span("every")
	return effect{run: func(ctx context.Context) {
		for ctx.Err() == nil {
			conn, err := a.store.connect(ctx)
			if err != nil {
				pause(ctx, connectRetry)
				continue
			}
			for err == nil && ctx.Err() == nil {
				start := time.Now()
				err = lockFor(ctx, conn, tables, hold)
				pause(ctx, every-time.Since(start))
			}
			disconnect(conn)
		}
	}}, nil
}

// lockFor keeps a lock that lets others read, but not write.
// https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
func lockFor(ctx context.Context, conn *pgx.Conn, tables string, hold time.Duration) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE `+tables+` IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("lock %s: %w", tables, err)
		}
		pause(ctx, hold)
		return nil
	})
}

func restartRepeatedly(_ context.Context, a *API, s settings) (effect, error) {
	if a.config.restart == nil {
		return effect{}, &impossibleError{"this API is not a process of its own, so it cannot restart itself"}
	}
	return effect{run: func(ctx context.Context) {
		pause(ctx, s.span("every"))
		if ctx.Err() == nil {
			a.config.restart(s.chosen("graceful"))
		}
	}}, nil
}

func cutDependency(_ context.Context, a *API, s settings) (effect, error) {
	links, forget := a.store.links, a.store.pool.Reset
	if s.word("dependency") == "redis" {
		if a.cache == nil {
			return effect{}, &impossibleError{"this API has no Redis"}
		}
		links, forget = a.cache.links, func() {} // go-redis looks whether an idle connection lives
	}
	return effect{run: func(ctx context.Context) {
		links.cut()
		forget() // or those that nobody used meanwhile would fail once it is mended
		<-ctx.Done()
		links.mend()
	}}, nil
}

func hang(ctx context.Context, _ *API, s settings) (effect, error) {
	route := s.word("route")
	return effect{arrive: func(w *recorder, r *http.Request, operation string) error {
		if (route != everything && route != operation) || !happens(s.number("ratio")) {
			return nil
		}
		if err := takeBody(r); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return r.Context().Err()
		case <-w.request.Context().Done(): // the client's, which knows no deadline
			return fmt.Errorf("hang: %w", context.Canceled)
		}
	}}, nil
}

// takeBody reads the body ahead: net/http notices that a client leaves only
// when its request has been read.
func takeBody(r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fail(http.StatusBadRequest, "the body could not be read to its end")
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	return nil
}
