// Package refapi is the reference Credit Cashflow Engine: a small and honest
// implementation of the API that soakd drives, on a real Postgres and a real
// Redis. The demo and the tests use it; a soak of a real target never does.
// CONTRACT.md beside this file says what it answers.
package refapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"soakd/internal/secret"
)

// Defaults of [Config].
const (
	DefaultCacheTTL        = time.Minute
	DefaultPoolMaxConns    = 10
	DefaultApplicationName = "cashflow-api"
	DefaultVersion         = "dev"
	// DefaultQueuePerThread times the threads is the default queue.
	DefaultQueuePerThread = 16
)

const (
	// drainGrace is how long running requests may take to end.
	drainGrace = 15 * time.Second
	// watchInterval is how old the last news of a dependency may be.
	watchInterval = 2 * time.Second

	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = requestTimeout + 15*time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Config says how the API runs. PostgresURL and JWTSecret are needed; what else
// is left at its zero value gets a default.
type Config struct {
	PostgresURL secret.String
	RedisURL    secret.String // not set: there is no cache
	JWTSecret   secret.String // the key of the tokens (HS256)
	Audience    string        // tokens must be meant for it, when set

	CacheTTL           time.Duration // of computed answers; default DefaultCacheTTL
	CalculationThreads int           // default: one a CPU
	CalculationQueue   int           // requests that may wait for a thread; default DefaultQueuePerThread a thread
	PoolMaxConns       int32         // connections to Postgres; default DefaultPoolMaxConns

	ApplicationName string // seen in pg_stat_activity and CLIENT LIST; default DefaultApplicationName
	Version         string // default DefaultVersion
	Logger          *slog.Logger

	// AdminToken lets who knows it switch faults under /admin; not set: there is
	// no such path.
	AdminToken secret.String
	// Faults are those to start with: parameters in JSON by name.
	Faults map[string]json.RawMessage

	// restart has the process start anew; nil where that cannot be.
	restart func(graceful bool)
	// restarted is when a process began that took over from itself; see startedAnew.
	restarted *incarnation
}

// complete returns the configuration with its defaults, or all that is wrong with it.
func (c Config) complete() (Config, error) {
	var wrong []error
	if !c.PostgresURL.IsSet() {
		wrong = append(wrong, errors.New("the Postgres URL is needed"))
	}
	if !c.JWTSecret.IsSet() {
		wrong = append(wrong, errors.New("the JWT secret is needed"))
	}
	if c.CacheTTL < 0 || c.CalculationThreads < 0 || c.CalculationQueue < 0 || c.PoolMaxConns < 0 {
		wrong = append(wrong, errors.New("cache TTL, threads, queue and connections must not be below 0"))
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.CacheTTL = orDefault(c.CacheTTL, DefaultCacheTTL)
	c.CalculationThreads = orDefault(c.CalculationThreads, runtime.NumCPU())
	c.CalculationQueue = orDefault(c.CalculationQueue, c.CalculationThreads*DefaultQueuePerThread)
	c.PoolMaxConns = orDefault(c.PoolMaxConns, DefaultPoolMaxConns)
	c.ApplicationName = orDefault(c.ApplicationName, DefaultApplicationName)
	c.Version = orDefault(c.Version, DefaultVersion)
	return c, errors.Join(wrong...)
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// API is a running reference API. Its methods may be called from any goroutine.
type API struct {
	config       Config
	logger       *slog.Logger
	verifier     *verifier
	store        *store
	cache        *cache // nil without Redis
	calculations *calculations
	metrics      *metrics
	handler      http.Handler
	faults       *board
	version      atomic.Pointer[[]string] // one text: what the header holds

	stop       context.CancelFunc
	background sync.WaitGroup
	closing    sync.Once
}

// New connects to Postgres, makes the schema and starts the calculation pool
// and the retention. It waits within ctx for a Postgres that is still starting;
// a Redis that is away is not waited for. The caller must call Close.
func New(ctx context.Context, cfg Config) (*API, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("configure the reference API: %w", err)
	}
	a := &API{config: cfg, logger: cfg.Logger, verifier: newVerifier(cfg.JWTSecret, cfg.Audience)}
	a.SetVersion(cfg.Version)
	a.faults = newBoard(a)
	if cfg.RedisURL.IsSet() {
		if a.cache, err = openCache(cfg.RedisURL, cfg.CacheTTL, cfg.ApplicationName, cfg.Logger); err != nil {
			return nil, fmt.Errorf("configure the reference API: %w", err)
		}
	}
	if a.store, err = openStore(ctx, cfg.PostgresURL, cfg.PoolMaxConns, cfg.ApplicationName, cfg.Logger); err != nil {
		if a.cache != nil {
			err = errors.Join(err, a.cache.close())
		}
		return nil, fmt.Errorf("start the reference API: %w", err)
	}
	a.start()
	for _, name := range slices.Sorted(maps.Keys(cfg.Faults)) {
		if err := a.SwitchOn(name, cfg.Faults[name]); err != nil {
			a.Close()
			return nil, fmt.Errorf("start the reference API: %s: %w", name, err)
		}
	}
	return a, nil
}

// SetVersion changes, from the next answer on, what /health, app_info and the
// header X-App-Version say, as a deployment without a restart does. It may be
// called at any time.
func (a *API) SetVersion(version string) { a.version.Store(&[]string{version}) }

// Version is what the API calls its version now.
func (a *API) Version() string { return (*a.version.Load())[0] }

// start starts all goroutines that the API owns.
func (a *API) start() {
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	a.calculations = startCalculations(a.config.CalculationThreads, a.config.CalculationQueue)
	a.metrics = newMetrics(a)
	a.handler = a.routes()
	a.background.Go(func() { a.retain(ctx) })
	a.background.Go(func() { a.store.postgres.watch(ctx, watchInterval, a.store.ping) })
	if a.cache != nil {
		a.background.Go(func() { a.cache.redis.watch(ctx, watchInterval, a.cache.ping) })
	}
}

// Close ends all goroutines of the API and its connections. Requests that are
// still running get 503. It may be called more than once.
func (a *API) Close() {
	a.closing.Do(func() {
		a.faults.close()
		a.stop()
		a.calculations.stop()
		a.background.Wait()
		if a.cache != nil {
			if err := a.cache.close(); err != nil {
				a.logger.Warn("the cache could not be closed", "error", err)
			}
		}
		a.store.pool.Close()
	})
}

// Handler answers the API's requests, until Close.
func (a *API) Handler() http.Handler { return a.handler }

// Serve answers requests on l until ctx ends, lets the running ones end for up
// to 15 s, and returns when all its goroutines have ended. The error is that of
// a listener that broke, or of requests that did not end in time. It closes l.
func (a *API) Serve(ctx context.Context, l net.Listener) error {
	// Requests outlive ctx by the grace, and no longer.
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	gate := &gate{next: a.handler}
	server := &http.Server{
		Handler:           gate,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(a.logger.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	var err error
	select {
	case err = <-ended:
		err = fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
		a.faults.switchAllOff() // what hangs or waits for what a fault holds must end
		err = a.drain(server)
		<-ended //nolint:errcheck // always http.ErrServerClosed
	}
	cancel()
	err = errors.Join(err, server.Close())
	gate.close()
	return err
}

// drain waits for running requests.
func (a *API) drain(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainGrace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("let requests end: %w", err)
	}
	return nil
}

// gate counts the requests inside, so that Serve can join their goroutines,
// which [http.Server.Close] does not.
type gate struct {
	next   http.Handler
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

// ServeHTTP implements [http.Handler].
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	closed := g.closed
	if !closed {
		g.inside.Add(1)
	}
	g.mu.Unlock()
	if closed {
		panic(http.ErrAbortHandler) // the connection is already closed
	}
	defer g.inside.Done()
	g.next.ServeHTTP(w, r)
}

// close lets no request in any more and waits for those inside.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}
