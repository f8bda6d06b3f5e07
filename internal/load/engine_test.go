package load

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"soakd/internal/load/schedule"
)

// pipeTarget is an HTTP server over in-memory connections, so that the whole
// engine runs on the fake clock of a synctest bubble.
type pipeTarget struct {
	connections chan net.Conn
	open        atomic.Int64
	server      *http.Server
	closed      chan struct{}
	ended       chan struct{}
}

func newPipeTarget(handler http.HandlerFunc) *pipeTarget {
	target := &pipeTarget{
		connections: make(chan net.Conn), closed: make(chan struct{}), ended: make(chan struct{}),
		server: &http.Server{Handler: handler, ReadHeaderTimeout: time.Hour, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)},
	}
	target.server.ConnState = target.countState
	go func() {
		_ = target.server.Serve(target)
		close(target.ended)
	}()
	return target
}

func (p *pipeTarget) Accept() (net.Conn, error) {
	select {
	case conn := <-p.connections:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// openConnections is how many connections the server has not closed or seen closed.
func (p *pipeTarget) openConnections() int64 { return p.open.Load() }

func (p *pipeTarget) countState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		p.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		p.open.Add(-1)
	}
}

func (p *pipeTarget) Close() error {
	close(p.closed)
	return nil
}

func (p *pipeTarget) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipeTarget) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.connections <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipeTarget) stop() {
	_ = p.server.Close()
	<-p.ended
}

// collector keeps every result and lag.
type collector struct {
	mu      sync.Mutex
	results []Result
	lags    []time.Duration
}

func (c *collector) Done(r *Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.results = append(c.results, *r)
}

func (c *collector) Lag(lag time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lags = append(c.lags, lag)
}

func (c *collector) outcomes() map[Outcome]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := map[Outcome]int{}
	for _, r := range c.results {
		count[r.Outcome]++
	}
	return count
}

// run is one engine against one target, within a bubble.
type run struct {
	engine *Engine
	seen   *collector
	log    *bytes.Buffer
}

func newRun(t *testing.T, target *pipeTarget, rate string, c *Case, change func(*EngineConfig)) run {
	t.Helper()
	mix, err := NewMix(&Workload{Name: "test", Cases: []*Case{c}}, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	client, err := NewClient(ClientConfig{
		Target: "http://target.test", UserAgent: "soakd/test", MaxResponseBytes: 1 << 16,
		Token: func(User, Credentials) (string, error) { return "t", nil }, Dial: target.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := run{seen: &collector{}, log: &bytes.Buffer{}}
	cfg := EngineConfig{
		Arrivals: steady(t, rate), Mix: mix, Client: client, User: func(i int) User { return User{Index: i, ID: "u"} },
		MaxInFlight: 8, MaxWaiting: 100, Grace: time.Second, Duration: 10 * time.Second,
		Sink: r.seen, Lag: r.seen, Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	if r.engine, err = NewEngine(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

// steady returns the arrivals of a constant rate.
func steady(t testing.TB, rate string) *schedule.Arrivals {
	t.Helper()
	parsed, err := schedule.ParseRate(rate)
	if err != nil {
		t.Fatal(err)
	}
	shape, err := schedule.Steady(parsed)
	if err != nil {
		t.Fatal(err)
	}
	arrivals, err := schedule.NewArrivals(shape, schedule.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return arrivals
}

// checkAccount asserts what must hold at every moment.
func checkAccount(t *testing.T, c Counts) {
	t.Helper()
	if c.Scheduled != c.Sent+c.Waiting+c.TotalDropped() {
		t.Errorf("%d scheduled is not %d sent + %d waiting + %d dropped", c.Scheduled, c.Sent, c.Waiting, c.TotalDropped())
	}
	if c.Sent != c.InFlight+c.Finished+c.Cut {
		t.Errorf("%d sent is not %d in flight + %d finished + %d cut", c.Sent, c.InFlight, c.Finished, c.Cut)
	}
}

func TestEngineKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Millisecond) })
		defer target.stop()
		r := newRun(t, target, "50", testCase("one", 1), nil)
		start := time.Now()
		r.engine.Run(t.Context())
		if took := time.Since(start); took < 10*time.Second || took > 10*time.Second+20*time.Millisecond {
			t.Errorf("a run of 10 s took %v", took)
		}
		counts := r.engine.Counts()
		checkAccount(t, counts)
		if counts.Scheduled != 500 || counts.Finished != 500 || r.seen.outcomes()[OK] != 500 {
			t.Errorf("want 500 scheduled, finished and ok: %+v, %v", counts, r.seen.outcomes())
		}
		for i, result := range r.seen.results {
			if result.ResponseTime != 20*time.Millisecond || result.Duration != 20*time.Millisecond {
				t.Fatalf("request %d: %v from the due time, %v from the send, want 20ms for both", i, result.ResponseTime, result.Duration)
			}
			if at := result.Done.Sub(start) - result.ResponseTime; at != time.Duration(i)*20*time.Millisecond {
				t.Fatalf("request %d was due at %v, want %v", i, at, time.Duration(i)*20*time.Millisecond)
			}
		}
		for _, lag := range r.seen.lags {
			if lag != 0 {
				t.Fatalf("lag %v on an idle clock", lag)
			}
		}
	})
}

// What a shard aims at is its part of the schedule, so that the sum over all
// shards is the rate that is set.
func TestEngineSendsItsShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) {})
		defer target.stop()
		r := newRun(t, target, "50", testCase("one", 1), func(cfg *EngineConfig) {
			arrivals, err := schedule.NewArrivals(cfg.Arrivals.Shape(), schedule.Options{Shard: 1, Shards: 4})
			if err != nil {
				t.Fatal(err)
			}
			cfg.Arrivals = arrivals
		})
		middle := make(chan float64, 1)
		time.AfterFunc(5*time.Second, func() { middle <- r.engine.TargetRate() }) // by the bubble's clock
		r.engine.Run(t.Context())
		if aimed := <-middle; aimed != 12.5 || r.engine.Counts().Scheduled != 125 {
			t.Errorf("a quarter of 50 a second for 10 s: aimed at %v, %d scheduled", aimed, r.engine.Counts().Scheduled)
		}
	})
}

// A target that stalls for 2 s must show in the latency of every arrival that
// fell due meanwhile: the true response time of the n-th is what is left of the
// stall, though each took no time once it was sent.
func TestEngineHidesNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		stallEnd := start.Add(5 * time.Second)
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) {
			if now := time.Now(); !now.Before(start.Add(3*time.Second)) && now.Before(stallEnd) {
				time.Sleep(stallEnd.Sub(now))
			}
		})
		defer target.stop()
		patient := testCase("one", 1)
		patient.Timeout = time.Minute
		r := newRun(t, target, "10", patient, func(cfg *EngineConfig) { cfg.MaxInFlight = 1 })
		r.engine.Run(t.Context())
		checkAccount(t, r.engine.Counts())
		if len(r.seen.results) != 100 {
			t.Fatalf("%d results, want 100", len(r.seen.results))
		}
		stalled := 0
		for i, result := range r.seen.results {
			due := start.Add(time.Duration(i) * 100 * time.Millisecond)
			want := time.Duration(0)
			if due.Compare(start.Add(3*time.Second)) >= 0 && due.Before(stallEnd) {
				want = stallEnd.Sub(due)
			}
			if result.ResponseTime != want {
				t.Errorf("arrival %d: response time %v, want %v", i, result.ResponseTime, want)
			}
			if result.Duration > 0 {
				stalled++
			}
		}
		if stalled != 1 {
			t.Errorf("%d requests took time from the send, want the one that met the stall", stalled)
		}
	})
}

func TestEngineDropsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) })
		defer target.stop()
		// 2 in flight for 1 s each are 2 a second of the 20 that come: the queue
		// of 5 fills, what waits there longer than 1.5 s is dropped.
		r := newRun(t, target, "20", testCase("one", 1), func(cfg *EngineConfig) {
			cfg.MaxInFlight, cfg.MaxWaiting, cfg.MaxLateness = 2, 5, 1500*time.Millisecond
			cfg.Grace = time.Minute
		})
		ended := make(chan struct{})
		go func() {
			r.engine.Run(t.Context())
			close(ended)
		}()
		for range 99 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			counts := r.engine.Counts()
			checkAccount(t, counts)
			if counts.InFlight > 2 || counts.Waiting > 5 {
				t.Fatalf("bounds exceeded: %+v", counts)
			}
		}
		<-ended
		counts := r.engine.Counts()
		checkAccount(t, counts)
		if counts.Scheduled != 200 || counts.Waiting != 0 || counts.InFlight != 0 {
			t.Errorf("want 200 scheduled and nothing left: %+v", counts)
		}
		if counts.Dropped[DropQueueFull] == 0 || counts.Dropped[DropLate] == 0 {
			t.Errorf("want drops for a full queue and for lateness: %v", counts.Dropped)
		}
		if counts.Sent < 18 || counts.Sent > 26 {
			t.Errorf("%d sent: two at a time for 1 s in 10 s are about 20", counts.Sent)
		}
		for _, result := range r.seen.results {
			if wait := result.ResponseTime - result.Duration; wait > 1500*time.Millisecond {
				t.Errorf("an arrival was sent %v after its due time", wait)
			}
		}
	})
}

// The end of the schedule cuts nothing: each request has its own time limit.
func TestEngineLetsTheLastRequestsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Second) })
		defer target.stop()
		patient := testCase("one", 1)
		patient.Timeout = 30 * time.Second
		r := newRun(t, target, "2", patient, func(cfg *EngineConfig) { cfg.Duration, cfg.MaxInFlight = 2*time.Second, 3 })
		start := time.Now()
		r.engine.Run(t.Context())
		counts := r.engine.Counts()
		checkAccount(t, counts)
		// Three at a time: the fourth, due at 1.5 s, is sent at 20 s.
		if counts.Finished != 4 || counts.Cut != 0 || time.Since(start) != 40*time.Second {
			t.Errorf("want 4 finished after 40 s: %+v after %v", counts, time.Since(start))
		}
	})
}

func TestEngineStopsWithinTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(_ http.ResponseWriter, request *http.Request) {
			if strings.HasSuffix(request.URL.Path, "slow") {
				<-request.Context().Done()
			}
		})
		defer target.stop()
		slow := testCase("slow", 1)
		slow.Timeout = time.Hour
		r := newRun(t, target, "10", slow, func(cfg *EngineConfig) { cfg.MaxInFlight, cfg.Duration, cfg.Grace = 4, 0, 3*time.Second })
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second+50*time.Millisecond, cancel)
		start := time.Now()
		r.engine.Run(ctx)
		if took := time.Since(start); took != 5*time.Second+50*time.Millisecond {
			t.Errorf("stopped after %v, want 2.05 s and the grace of 3 s", took)
		}
		counts := r.engine.Counts()
		checkAccount(t, counts)
		if counts.Cut != 4 || counts.Dropped[DropShutdown] != 17 || counts.InFlight != 0 || counts.Waiting != 0 {
			t.Errorf("want 4 cut and 17 dropped at the shutdown: %+v", counts)
		}
		if len(r.seen.results) != 0 {
			t.Errorf("a cut request gave a result: %+v", r.seen.results)
		}
		if !strings.Contains(r.log.String(), "in_flight=4") {
			t.Errorf("the log does not say how many were cut: %s", r.log)
		}
	})
}

func TestEngineOutcomes(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, text)
				_ = conn.Close()
			}
		}
	}
	invalid := func(c *Case) { c.Invalid, c.Statuses = true, []int{400, 422} }
	bad := func(c *Case) {
		c.Verify = func(_ *Exchange, fail func(string, error)) { fail("balance", io.EOF); fail("totals", io.EOF) }
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		change  func(*Case)
		want    Outcome
		status  int
		checks  string
	}{
		"ok":                          {answer(200, "{}"), nil, OK, 200, ""},
		"other status":                {answer(404, "{}"), nil, RejectedValid, 404, ""},
		"redirect is not followed":    {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, nil, RejectedValid, 302, ""},
		"401":                         {answer(401, "{}"), nil, Unauthorized, 401, ""},
		"403":                         {answer(403, "{}"), nil, Unauthorized, 403, ""},
		"429":                         {answer(429, "{}"), nil, RateLimited, 429, ""},
		"500":                         {answer(500, "{}"), nil, ServerError, 500, ""},
		"503":                         {answer(503, "{}"), nil, ServerError, 503, ""},
		"stack trace":                 {answer(500, `{"detail":"Traceback (most recent call last):\n"}`), nil, LeakedInternals, 500, ""},
		"goroutines":                  {answer(500, "goroutine 17 [running]:"), nil, LeakedInternals, 500, ""},
		"SQL":                         {answer(422, `{"detail":"SELECT id, name FROM scenarios"}`), invalid, LeakedInternals, 422, ""},
		"a path":                      {answer(400, `{"detail":"/usr/lib/python3/x.py"}`), invalid, LeakedInternals, 400, ""},
		"a path in data is data":      {answer(200, `{"name":"/usr/lib/python3"}`), nil, OK, 200, ""},
		"quoted input is no leak":     {answer(422, `{"detail":"SELECT 1 FROM t is not a number"}`), func(c *Case) { invalid(c); body(c, "SELECT 1 FROM t") }, OK, 422, ""},
		"English is no SQL":           {answer(422, `{"detail":"Please select a rate from the list"}`), invalid, OK, 422, ""},
		"quoted input and a leak":     {answer(422, `{"detail":"SELECT 1 FROM t: SELECT id FROM users"}`), func(c *Case) { invalid(c); body(c, "SELECT 1 FROM t") }, LeakedInternals, 422, ""},
		"headers without end":         {raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n"), nil, CheckFailed, 0, "response_size"},
		"a huge line that is no HTTP": {raw(strings.Repeat("\x00\n", 1<<10) + strings.Repeat("é", 1<<19)), nil, CheckFailed, 0, "http_protocol"},
		"invalid rejected":            {answer(422, "{}"), invalid, OK, 422, ""},
		"invalid accepted":            {answer(200, "{}"), invalid, AcceptedInvalid, 200, ""},
		"invalid breaks it":           {answer(500, "{}"), invalid, ServerError, 500, ""},
		"invalid, other 4xx":          {answer(404, "{}"), invalid, CheckFailed, 404, "status"},
		"invalid without a token":     {answer(403, "{}"), func(c *Case) { invalid(c); credentials(c, NoToken) }, CheckFailed, 403, "status"},
		"checks":                      {answer(200, "{}"), bad, CheckFailed, 200, "balance totals"},
		"no checks on a wrong status": {answer(500, "{}"), bad, ServerError, 500, ""},
		"a check that panics":         {answer(200, "{}"), func(c *Case) { c.Verify = func(*Exchange, func(string, error)) { panic("x") } }, CheckFailed, 200, "soakd_check_panic"},
		"too large":                   {answer(200, strings.Repeat("x", 1<<16+1)), nil, CheckFailed, 200, "response_size"},
		"exactly the limit":           {answer(200, strings.Repeat("x", 1<<16)), nil, OK, 200, ""},
		"hangs":                       {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil, Timeout, 0, ""},
		"hangs in the body": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, nil, Timeout, 200, ""},
		"endless body": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, nil, CheckFailed, 200, "response_size"},
		"closes at once":    {raw(""), nil, Reset, 0, ""},
		"breaks off":        {raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"), nil, Reset, 200, ""},
		"not HTTP":          {raw("220 smtp.test ESMTP\r\n"), nil, CheckFailed, 0, "http_protocol"},
		"not a status line": {raw("HTTP/1.1 abc\r\n\r\n"), nil, CheckFailed, 0, "http_protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := newPipeTarget(test.handler)
				defer target.stop()
				c := testCase("one", 1)
				c.Timeout = 2 * time.Second
				if test.change != nil {
					test.change(c)
				}
				r := newRun(t, target, "1", c, func(cfg *EngineConfig) { cfg.Duration = time.Second })
				r.engine.Run(t.Context())
				checkAccount(t, r.engine.Counts())
				if len(r.seen.results) != 1 {
					t.Fatalf("%d results, want 1: %+v", len(r.seen.results), r.engine.Counts())
				}
				got := r.seen.results[0]
				if got.Outcome != test.want || got.Status != test.status || strings.Join(got.FailedChecks, " ") != test.checks {
					t.Errorf("got %s, status %d, checks %v (%s), want %s, %d, %q", got.Outcome, got.Status, got.FailedChecks, got.Reason, test.want, test.status, test.checks)
				}
				if got.Failed() != (got.Reason != "") {
					t.Errorf("outcome %s with the reason %q", got.Outcome, got.Reason)
				}
				if len(got.Reason) > 310 || !utf8.ValidString(got.Reason) || strings.ContainsAny(got.Reason, "\n\x00") {
					t.Errorf("a reason of %d bytes: %.400q", len(got.Reason), got.Reason)
				}
				if test.want == Timeout && got.Duration != 2*time.Second {
					t.Errorf("timed out after %v, want the case's 2 s", got.Duration)
				}
			})
		})
	}
}

func body(c *Case, text string) {
	c.Build = func(Draw) (*Request, error) {
		return &Request{Method: "POST", Path: "/", Body: []byte(text), ContentType: "application/json"}, nil
	}
}

func credentials(c *Case, credentials Credentials) {
	c.Build = func(Draw) (*Request, error) { return &Request{Method: "GET", Path: "/", Credentials: credentials}, nil }
}

func TestEngineFallsBackWithoutState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) {})
		defer target.stop()
		needy, other := testCase("needy", 1), testCase("other", 0)
		needy.Build = func(Draw) (*Request, error) { return nil, ErrNoState }
		needy.Fallback = other
		r := newRun(t, target, "1", testCase("any", 1), func(cfg *EngineConfig) {
			cfg.Duration = 3 * time.Second
			mix, err := NewMix(&Workload{Name: "test", Cases: []*Case{needy, other}}, 1, 1)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Mix = mix
		})
		r.engine.Run(t.Context())
		counts := r.engine.Counts()
		if len(counts.Substituted) != 1 || counts.Substituted[0] != (Substitution{Case: needy, Reason: SubstituteNoState, Count: 3}) {
			t.Errorf("substituted: %+v", counts.Substituted)
		}
		if len(r.seen.results) != 3 || r.seen.results[0].Case != other {
			t.Errorf("want 3 results of the fallback: %+v", r.seen.results)
		}
		needy.Fallback = nil
		r = newRun(t, target, "10", needy, func(cfg *EngineConfig) { cfg.Duration = 90 * time.Second })
		r.engine.Run(t.Context())
		counts = r.engine.Counts()
		checkAccount(t, counts)
		if counts.Dropped[DropNotBuilt] != 900 || strings.Count(r.log.String(), "case=needy") != 2 {
			t.Errorf("want 900 drops, which the log names once a minute: %+v\n%s", counts, r.log)
		}
	})
}

func TestNewEngineRefusesBadBounds(t *testing.T) {
	good := func() EngineConfig {
		mix, err := NewMix(testWorkload(), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		return EngineConfig{
			Arrivals: steady(t, "1"), Mix: mix, Client: &Client{}, User: func(int) User { return User{} }, MaxInFlight: 1,
			Sink: &collector{}, Lag: &collector{}, Log: slog.New(slog.DiscardHandler),
		}
	}
	if _, err := NewEngine(good()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*EngineConfig){
		"no schedule":       func(c *EngineConfig) { c.Arrivals = nil },
		"no log":            func(c *EngineConfig) { c.Log = nil },
		"nothing in flight": func(c *EngineConfig) { c.MaxInFlight = 0 },
		"negative queue":    func(c *EngineConfig) { c.MaxWaiting = -1 },
		"negative grace":    func(c *EngineConfig) { c.Grace = -1 },
	} {
		cfg := good()
		change(&cfg)
		if _, err := NewEngine(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Connections are dialled ahead by the rate, where nothing else is set.
func TestConnectionsAheadFollowThePeak(t *testing.T) {
	for rate, want := range map[string]int{"1": 2, "2999": 2, "10000": 10, "1000000": 64} {
		mix, err := NewMix(testWorkload(), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewEngine(EngineConfig{
			Arrivals: steady(t, rate), Mix: mix, Client: &Client{}, User: func(int) User { return User{} }, MaxInFlight: 64,
			Sink: &collector{}, Lag: &collector{}, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if e.cfg.Ahead != want {
			t.Errorf("at %s a second %d connections are dialled ahead, want %d", rate, e.cfg.Ahead, want)
		}
	}
}

// A change of the rate hides no lateness: an arrival that has fallen due and was
// not sent yet keeps its due time.
func TestAChangeHidesNoLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) {})
		defer target.stop()
		r := newRun(t, target, "10", testCase("one", 1), nil)
		start := time.Now()
		r.engine.start.Store(&start)
		time.Sleep(time.Second) // in which the pacer did nothing: ten arrivals are overdue
		if err := r.engine.SetRate(20_000_000); err != nil {
			t.Fatal(err)
		}
		for n, want := range []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond} {
			if _, due, ok := r.engine.cfg.Arrivals.Peek(); !ok || due != want {
				t.Errorf("arrival %d is due at %v (%v), want %v", n, due, ok, want)
			}
			r.engine.cfg.Arrivals.Advance()
		}
	})
}

// A pacer that waits for a far arrival takes note of a new rate at once.
func TestANewRateIsNoticedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) {})
		defer target.stop()
		r := newRun(t, target, "0.001", testCase("one", 1), func(cfg *EngineConfig) { cfg.Duration = 0 })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			r.engine.Run(ctx)
			close(ended)
		}()
		time.Sleep(time.Second)
		if err := r.engine.SetRate(10_000_000); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := r.engine.Counts().Scheduled; n < 20 || n > 21 {
			t.Errorf("%d arrivals after 2 s at 10 a second, want 20 and the one at the start", n)
		}
		cancel()
		<-ended
	})
}
