package refapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"soakd/internal/lockedbuffer"
	"soakd/internal/secret"
)

func noSecret() secret.String { return secret.String{} }

// metric scrapes the API and returns one value; a series that is not there is -1.
func (c *client) metric(series string) float64 {
	c.t.Helper()
	answered, err := c.http.Get(c.url + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer answered.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(answered.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			x, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				c.t.Fatal(err)
			}
			return x
		}
	}
	return -1
}

func TestMetrics(t *testing.T) {
	c := serve(t, func(c *Config) { c.CalculationThreads, c.CalculationQueue, c.PoolMaxConns = 3, 7, 4 })
	text := body(t, "discount_rate", fmt.Sprintf("0.0%d", time.Now().UnixNano()))
	for range 3 {
		c.forecast(text)
	}
	c.post(forecastPath, "{}").is(422)
	saved := c.save("a", "", body(t))
	for range 2 {
		c.get(scenarioPath + saved.ID.String()).is(200)
	}
	c.get(scenarioPath + uuid.NewString()).is(404)
	c.get("/somewhere/" + uuid.NewString()).is(404)
	c.do(c.request("BREW", "/health", "", nil)).is(405)
	for series, want := range map[string]float64{
		`http_requests_total{code="200",method="POST",route="/api/v1/cashflow/forecast"}`:      3,
		`http_requests_total{code="422",method="POST",route="/api/v1/cashflow/forecast"}`:      1,
		`http_requests_total{code="201",method="POST",route="/api/v1/cashflow/scenario/save"}`: 1,
		`http_requests_total{code="200",method="GET",route="/api/v1/cashflow/scenario/{id}"}`:  2,
		`http_requests_total{code="404",method="GET",route="/api/v1/cashflow/scenario/{id}"}`:  1,
		`http_requests_total{code="404",method="GET",route="unmatched"}`:                       1,
		`http_requests_total{code="405",method="other",route="/health"}`:                       1,
		`http_requests_total{code="200",method="GET",route="/metrics"}`:                        -1,
		`http_request_duration_seconds_count{method="POST",route="/api/v1/cashflow/forecast"}`: 4,
		`http_request_duration_seconds_bucket{method="GET",route="unmatched",le="+Inf"}`:       1,
		`http_requests_in_flight`:         0,
		`cache_hits_total`:                2,
		`cache_misses_total`:              1,
		`cache_errors_total`:              0,
		`calculation_pool_threads`:        3,
		`calculation_pool_threads_busy`:   0,
		`calculation_pool_queue_length`:   0,
		`calculation_pool_rejected_total`: 0,
		`pgxpool_max_conns`:               4,
		`pgxpool_acquired_conns`:          0,
		`pgxpool_waiting_acquires`:        0,
		`app_info{version="v-test"}`:      1,
	} {
		if got := c.metric(series); got != want {
			t.Errorf("%s = %v, want %v", series, got, want)
		}
	}
	for _, series := range []string{
		"pgxpool_total_conns", "pgxpool_idle_conns", "pgxpool_acquire_count_total", "pgxpool_acquire_duration_seconds_total",
		"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds",
		"go_goroutines", "go_memstats_heap_alloc_bytes",
	} {
		if got := c.metric(series); !(got > 0) {
			t.Errorf("%s = %v", series, got)
		}
	}
	problems, err := testutil.GatherAndLint(c.api.metrics.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %+v", err, problems)
	}
}

func TestPoolMetricsSeeWaiters(t *testing.T) {
	c := serve(t, func(c *Config) { c.PoolMaxConns = 1 })
	held, err := c.api.store.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release := sync.OnceFunc(held.Release)
	defer release() // also when the test fails: the pool's end waits for its connections
	request := c.request("GET", listPath, "", nil)
	status := make(chan int, 1)
	go func() {
		answered, err := c.http.Do(request)
		if err != nil {
			status <- 0
			return
		}
		_ = answered.Body.Close()
		status <- answered.StatusCode
	}()
	eventually(t, "a waiter", func() bool { return c.metric("pgxpool_waiting_acquires") == 1 })
	if got := c.metric("pgxpool_acquired_conns"); got != 1 {
		t.Errorf("acquired %v", got)
	}
	if got := c.metric("http_requests_in_flight"); got != 1 {
		t.Errorf("in flight %v", got)
	}
	release()
	if got := <-status; got != 200 {
		t.Errorf("status %d", got)
	}
	if got := c.metric("pgxpool_empty_acquire_total"); !(got >= 1) {
		t.Errorf("empty acquires %v", got)
	}
}

func TestFullCalculationPool(t *testing.T) {
	c := serve(t, func(c *Config) { c.CalculationThreads, c.CalculationQueue = 1, 1; c.RedisURL = noSecret() })
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free() // also when the test fails: the pool's end waits for its calculations
	var held sync.WaitGroup
	held.Go(func() {
		_ = c.api.calculations.do(t.Context(), func(context.Context) error { <-release; return nil })
	})
	eventually(t, "busy", func() bool { return c.metric("calculation_pool_threads_busy") == 1 })
	held.Go(func() { _ = c.api.calculations.do(t.Context(), func(context.Context) error { return nil }) })
	eventually(t, "queued", func() bool { return c.metric("calculation_pool_queue_length") == 1 })
	refused := c.post(forecastPath, body(t)).is(503)
	if refused.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", refused.header.Get("Retry-After"))
	}
	c.get(listPath).is(200) // which needs no calculation
	free()
	held.Wait()
	c.post(forecastPath, body(t)).is(200)
	if got := c.metric("calculation_pool_rejected_total"); got != 1 {
		t.Errorf("rejected %v", got)
	}
}

func TestCalculations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := startCalculations(2, 3)
		release := make(chan struct{})
		var running, ended sync.WaitGroup
		for range 2 {
			running.Go(func() {
				if err := pool.do(t.Context(), func(context.Context) error { <-release; return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			ended.Go(func() {
				err := pool.do(ctx, func(context.Context) error { t.Error("a calculation that was given up ran"); return nil })
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
			})
		}
		synctest.Wait()
		if busy, queued := pool.busy.Load(), pool.queued.Load(); busy != 2 || queued != 3 {
			t.Errorf("busy %d, queued %d", busy, queued)
		}
		if err := pool.do(t.Context(), nil); !errors.Is(err, errBusy) {
			t.Errorf("with a full queue: %v", err)
		}
		cancel()
		ended.Wait()
		if queued := pool.queued.Load(); queued != 0 {
			t.Errorf("queued %d after all were given up", queued)
		}
		close(release)
		running.Wait()
		wanted := errors.New("wanted")
		if err := pool.do(t.Context(), func(context.Context) error { return wanted }); !errors.Is(err, wanted) {
			t.Errorf("error %v", err)
		}
		var broken *panicked
		if err := pool.do(t.Context(), func(context.Context) error { panic("oops") }); !errors.As(err, &broken) || broken.cause != "oops" || !bytes.Contains(broken.stack, []byte("TestCalculations")) {
			t.Errorf("after a panic: %v", err)
		}
		if err := pool.do(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("the pool is lost: %v", err)
		}
		if rejected := pool.rejected.Load(); rejected != 1 {
			t.Errorf("rejected %d", rejected)
		}
		pool.stop()
		if err := pool.do(t.Context(), nil); !errors.Is(err, errStopped) {
			t.Errorf("after the stop: %v", err)
		}
	})
}

func TestPanicIsAnsweredCleanly(t *testing.T) {
	var logged lockedbuffer.Buffer
	c := serve(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
	broken := c.api.identified(c.api.observed(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Pattern = "/broken"
		panic("secret cause")
	})))
	answered := httptest.NewRecorder()
	broken.ServeHTTP(answered, httptest.NewRequestWithContext(t.Context(), "GET", "/x", nil))
	if answered.Code != 500 || answered.Body.String() != `{"detail":"internal error"}` {
		t.Errorf("%d %s", answered.Code, answered.Body)
	}
	if !strings.Contains(logged.String(), "secret cause") || !strings.Contains(logged.String(), "operation_test.go") {
		t.Errorf("log %s", logged.String())
	}
	if got := c.metric(`http_requests_total{code="500",method="GET",route="/broken"}`); got != 1 {
		t.Errorf("counted %v", got)
	}
	late := c.api.identified(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic("late")
	}))
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler { //nolint:errorlint // the very value
			t.Errorf("a late panic became %v", cause)
		}
	}()
	late.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/x", nil))
}

func TestRetention(t *testing.T) {
	c := serve(t, nil)
	other := c.another()
	pool := c.api.store.pool
	fill := func(user string, scenarios, history int) {
		t.Helper()
		for statement, rows := range map[string]int{
			`INSERT INTO public.cashflow_scenarios (id, user_id, name, description, forecast_params, created_at)
				SELECT gen_random_uuid(), $1, n::text, '', '{}', now() - n * interval '1 s' FROM generate_series(1, $2) n`: scenarios,
			`INSERT INTO public.cashflow_history (id, user_id, npv, loans, forecast_months, monte_carlo, cached, created_at)
				SELECT gen_random_uuid(), $1, n, 1, 1, false, false, now() - n * interval '1 s' FROM generate_series(1, $2) n`: history,
		} {
			if _, err := pool.Exec(t.Context(), statement, user, rows); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(c.user, 620, 2*trimBatch+1500)
	fill(other.user, 500, 1000)
	if deleted, err := c.api.store.trim(t.Context()); err != nil || deleted < 120+2*trimBatch+500 {
		t.Fatalf("%d rows deleted, %v", deleted, err)
	}
	for _, user := range []string{c.user, other.user} {
		var scenarios, oldest, rows int
		var highest float64
		if err := pool.QueryRow(t.Context(), `SELECT count(*), max(name::int) FROM public.cashflow_scenarios WHERE user_id = $1`, user).Scan(&scenarios, &oldest); err != nil {
			t.Fatal(err)
		}
		if err := pool.QueryRow(t.Context(), `SELECT count(*), max(npv) FROM public.cashflow_history WHERE user_id = $1`, user).Scan(&rows, &highest); err != nil {
			t.Fatal(err)
		}
		if scenarios != 500 || oldest != 500 || rows != 1000 || highest != 1000 {
			t.Errorf("kept %d scenarios up to %d, %d rows up to %v", scenarios, oldest, rows, highest)
		}
	}
}

// proxy stands before a server and can be cut.
type proxy struct {
	t      *testing.T
	target string
	listen string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	joined   sync.WaitGroup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, target: target, listen: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	p.mend()
	t.Cleanup(p.cut)
	return p
}

// in returns address with the proxy's host and port.
func (p *proxy) in(address secret.String) secret.String {
	p.t.Helper()
	u, err := url.Parse(address.Value())
	if err != nil {
		p.t.Fatal(err)
	}
	u.Host = p.listen
	return secret.New(u.String())
}

func (p *proxy) mend() {
	p.t.Helper()
	listener, err := net.Listen("tcp", p.listen)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.listener, p.listen = listener, listener.Addr().String()
	p.mu.Unlock()
	p.joined.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.join(client)
		}
	})
}

func (p *proxy) join(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		p.joined.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = client.Close(), server.Close()
		})
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	_ = p.listener.Close()
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.joined.Wait()
}

func hostOf(t *testing.T, address secret.String) string {
	t.Helper()
	u, err := url.Parse(address.Value())
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestPostgresGoesAwayAndComesBack(t *testing.T) {
	between := startProxy(t, hostOf(t, running(t).postgres.URL()))
	c := serve(t, func(c *Config) { c.PostgresURL = between.in(c.PostgresURL); c.Logger = nil })
	saved := c.save("kept", "", body(t))
	between.cut()
	for _, away := range []reply{
		c.post(forecastPath, body(t)), c.get(listPath), c.get(historyPath), c.get(scenarioPath + saved.ID.String()),
	} {
		if away.is(503).header.Get("Retry-After") != "1" || string(away.body) != `{"detail":"the database is away"}` {
			t.Errorf("%v %s", away.header, away.body)
		}
	}
	c.post(forecastPath, "{}").is(422)
	if got := c.get("/health").is(200); !strings.Contains(string(got.body), `"postgres":"down"`) {
		t.Errorf("%s", got.body)
	}
	between.mend()
	eventually(t, "back without a request", func() bool {
		return strings.Contains(string(c.get("/health").body), `"postgres":"up"`)
	})
	c.get(scenarioPath + saved.ID.String()).is(200)
	c.forecast(body(t))
}

func TestRedisGoesAwayAndComesBack(t *testing.T) {
	between := startProxy(t, hostOf(t, running(t).redis.URL()))
	c := serve(t, func(c *Config) { c.RedisURL = between.in(c.RedisURL); c.Logger = nil })
	text := body(t, "discount_rate", fmt.Sprintf("0.0%d", time.Now().UnixNano()))
	want := c.forecast(text).Summary.NPV
	if !c.forecast(text).Cached {
		t.Fatal("not cached")
	}
	between.cut()
	for range 3 {
		if f := c.forecast(text); f.Cached || f.Summary.NPV != want {
			t.Errorf("without Redis: cached %v, NPV %v", f.Cached, f.Summary.NPV)
		}
	}
	if got := c.metric("cache_errors_total"); !(got >= 1 && got <= 2) { // then it is left alone
		t.Errorf("errors %v", got)
	}
	if got := c.get("/health"); !strings.Contains(string(got.body), `"redis":"down"`) {
		t.Errorf("%s", got.body)
	}
	between.mend()
	eventually(t, "hits again", func() bool { return c.forecast(text).Cached })
}

func TestServeLetsRequestsEnd(t *testing.T) {
	api, err := New(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	if err := api.SwitchOn("slow_endpoint", []byte(`{"factor":1,"add":"300ms"}`)); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- api.Serve(ctx, listener) }()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &client{t: t, api: api, url: "http://" + listener.Addr().String(), http: &http.Client{Transport: transport}, user: "u"}
	request := c.request("POST", forecastPath, body(t), nil)
	status := make(chan int, 1)
	go func() {
		answered, err := c.http.Do(request)
		if err != nil {
			status <- 0
			return
		}
		_ = answered.Body.Close()
		status <- answered.StatusCode
	}()
	eventually(t, "in flight", func() bool { return c.metric("http_requests_in_flight") == 1 })
	cancel()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if got := <-status; got != 200 {
		t.Errorf("status %d", got)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
	api.Close() // twice is fine
}

func TestServeReportsABrokenListener(t *testing.T) {
	api, err := New(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	if err := api.Serve(t.Context(), listener); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestNewFails(t *testing.T) {
	const password = "hunter2hunter2"
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no configuration": {func(c *Config) { *c = Config{CacheTTL: -1} }, "the Postgres URL is needed\nthe JWT secret is needed\ncache TTL"},
		"not a URL":        {func(c *Config) { c.PostgresURL = secret.New("postgres://u:" + password + "@h:port/") }, "postgres URL: want postgres://"},
		"not a Redis URL":  {func(c *Config) { c.RedisURL = secret.New("http://u:" + password + "@h:1") }, "redis URL: want redis://"},
		"nobody there": {func(c *Config) {
			c.PostgresURL = secret.New("postgres://u:" + password + "@" + free.Addr().String() + "/d")
		}, "wait for postgres: context deadline exceeded"},
		"wrong password":   {func(c *Config) { c.PostgresURL = withUser(t, c.PostgresURL, password) }, "password authentication failed"},
		"no such database": {func(c *Config) { c.PostgresURL = withDatabase(t, c.PostgresURL, "nosuch") }, `database "nosuch" does not exist`},
	} {
		cfg := config(t)
		cfg.Logger = nil
		test.change(&cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		api, err := New(ctx, cfg)
		switch {
		case err == nil:
			api.Close()
			t.Errorf("%s: no error", name)
		case !strings.Contains(err.Error(), test.want):
			t.Errorf("%s: %v, want %s", name, err, test.want)
		case strings.Contains(err.Error(), password):
			t.Errorf("%s: the password shows in %v", name, err)
		case name != "nobody there" && ctx.Err() != nil:
			t.Errorf("%s: waited in vain", name)
		}
		cancel()
	}
}

func withUser(t *testing.T, address secret.String, password string) secret.String {
	t.Helper()
	u, err := url.Parse(address.Value())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return secret.New(u.String())
}

func withDatabase(t *testing.T, address secret.String, name string) secret.String {
	t.Helper()
	u, err := url.Parse(address.Value())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return secret.New(u.String())
}

// Several instances that start at once on an empty database make one schema.
func TestSchemaIsMadeOnce(t *testing.T) {
	const name = "fresh"
	s := running(t)
	conn, err := pgx.Connect(t.Context(), s.postgres.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			cfg := config(t)
			cfg.PostgresURL, cfg.PoolMaxConns, cfg.ApplicationName = withDatabase(t, cfg.PostgresURL, name), 2, "fresh-api"
			api, err := New(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			defer api.Close()
			var seen int
			err = api.store.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fresh-api'`).Scan(&seen)
			if err != nil || seen < 1 {
				t.Errorf("application name seen %d times, %v", seen, err)
			}
		})
	}
	starting.Wait()
}

func TestMainServesUntilItIsStopped(t *testing.T) {
	s := running(t)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(testKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"REFAPI_LISTEN": "127.0.0.1:0", "REFAPI_POSTGRES_URL": s.postgres.URL().Value(), "REFAPI_REDIS_URL": s.redis.URL().Value(),
		"REFAPI_JWT_SECRET_FILE": key, "REFAPI_VERSION": "v9", "REFAPI_CALCULATION_THREADS": "3", "REFAPI_LOG_LEVEL": "info",
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	defer reader.Close() //nolint:errcheck // lets a Main that logs go on when the test fails
	ended := make(chan error, 1)
	go func() {
		ended <- Main(ctx, func(name string) string { return env[name] }, writer)
		_ = writer.Close()
	}()
	var logs lockedbuffer.Buffer
	address := ""
	buffer := make([]byte, 4096)
	for address == "" {
		n, err := reader.Read(buffer)
		if err != nil {
			t.Fatalf("%v after %s", err, logs.String())
		}
		_, _ = logs.Write(buffer[:n])
		if _, rest, ok := strings.Cut(logs.String(), `"msg":"serving","address":"`); ok {
			address, _, _ = strings.Cut(rest, `"`)
		}
	}
	go func() { _, _ = io.Copy(&logs, reader) }()
	transport := &http.Transport{}
	c := &client{t: t, url: "http://" + address, http: &http.Client{Transport: transport}, user: "main-" + uuid.NewString()}
	c.forecast(body(t))
	if got := c.metric(`app_info{version="v9"}`); got != 1 {
		t.Errorf("version %v", got)
	}
	if got := c.metric("calculation_pool_threads"); got != 3 {
		t.Errorf("threads %v", got)
	}
	transport.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMainNamesEveryMistake(t *testing.T) {
	env := map[string]string{
		"REFAPI_JWT_SECRET": "hunter2hunter2", "REFAPI_JWT_SECRET_FILE": "/nowhere", "REFAPI_CACHE_TTL": "60", "REFAPI_CALCULATION_THREADS": "0",
		"REFAPI_POOL_MAX_CONNS": "99999", "REFAPI_FAULT_ERROR_RATIO": "NaN", "REFAPI_FAULTS": "x", "REFAPI_LOG_LEVEL": "loud", "REFAPI_FAULT_LATENCY": "-1s",
	}
	err := Main(t.Context(), func(name string) string { return env[name] }, io.Discard)
	want := `read the environment: REFAPI_POSTGRES_URL: want it, or REFAPI_POSTGRES_URL_FILE, to be set
REFAPI_JWT_SECRET: give the value or the file, not both
REFAPI_CACHE_TTL: want a duration above 0, such as 60s
REFAPI_CALCULATION_THREADS: want a whole number from 1 to 10000
REFAPI_POOL_MAX_CONNS: want a whole number from 1 to 10000
REFAPI_FAULTS: want a JSON object such as {"slow_all": {"factor": 3}}
REFAPI_FAULT_LATENCY: want a duration above 0, such as 60s
REFAPI_FAULT_ERROR_RATIO: want a number from 0 to 1
REFAPI_LOG_LEVEL: want debug, info, warn or error`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
