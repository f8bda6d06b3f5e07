package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/load/wire"
)

// socketTarget serves on 127.0.0.1 and counts connections.
type socketTarget struct {
	address string
	open    atomic.Int64
	most    atomic.Int64
	made    atomic.Int64
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	stop    func()
}

func newSocketTarget(t *testing.T, serve func(net.Conn)) *socketTarget {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := &socketTarget{address: listener.Addr().String(), conns: map[net.Conn]struct{}{}}
	var members sync.WaitGroup
	members.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			target.enter(conn)
			members.Go(func() {
				defer target.leave(conn)
				serve(conn)
			})
		}
	})
	target.stop = sync.OnceFunc(func() {
		_ = listener.Close()
		target.breakAll()
		members.Wait()
	})
	t.Cleanup(target.stop)
	return target
}

func (s *socketTarget) enter(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = struct{}{}
	s.made.Add(1)
	s.most.Store(max(s.most.Load(), s.open.Add(1)))
}

func (s *socketTarget) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = conn.Close()
	delete(s.conns, conn)
	s.open.Add(-1)
}

// breakAll resets every connection.
func (s *socketTarget) breakAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

const emptyAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// keeping answers every request, after what delay does.
func keeping(delay func()) func(net.Conn) {
	return func(conn net.Conn) {
		br := bufio.NewReader(conn)
		for {
			request, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, request.Body)
			if delay != nil {
				delay()
			}
			if _, err := io.WriteString(conn, emptyAnswer); err != nil {
				return
			}
		}
	}
}

// closing answers one request and closes, without saying so.
func closing(conn net.Conn) {
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, request.Body)
	_, _ = io.WriteString(conn, emptyAnswer)
}

// socketRun is newRun against a target on real sockets.
func socketRun(t *testing.T, target, rate string, c *Case, client func(*ClientConfig), change func(*EngineConfig)) run {
	t.Helper()
	return newRun(t, &pipeTarget{}, rate, c, func(cfg *EngineConfig) {
		cfg.Client = newTestClient(t, target, client)
		cfg.Duration = time.Second
		if change != nil {
			change(cfg)
		}
	})
}

// begin runs the engine and returns what waits for its end.
func (r run) begin(ctx context.Context) (wait func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.engine.Run(ctx)
	}()
	return func() { <-ended }
}

func posting(c *Case) *Case {
	body(c, "{}")
	return c
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for start := time.Now(); !condition(); time.Sleep(time.Millisecond) { // a pause between looks, not a wait for something
		if time.Since(start) > 20*time.Second {
			t.Fatalf("never came: %s", what)
		}
	}
}

// checkEnd asserts the account of a run that is over: nothing is left, and every
// request that was not cut has its result.
func checkEnd(t *testing.T, r run) Counts {
	t.Helper()
	counts := r.engine.Counts()
	checkAccount(t, counts)
	if counts.Waiting != 0 || counts.InFlight != 0 || int(counts.Finished) != len(r.seen.results) {
		t.Errorf("want nothing left and %d results: %+v", len(r.seen.results), counts)
	}
	if r.engine.pool != nil {
		r.engine.pool.mu.Lock()
		defer r.engine.pool.mu.Unlock()
		if p := r.engine.pool; len(p.all) != 0 || len(p.idle) != 0 || p.busy != 0 || p.dialling != 0 || len(p.again) != 0 {
			t.Errorf("the pool holds %d slots, %d idle, %d busy, %d dialling, %d to send again", len(p.all), len(p.idle), p.busy, p.dialling, len(p.again))
		}
	}
	if transfer := r.engine.cfg.Client.Transfer(); transfer.ConnectionsOpen != 0 {
		t.Errorf("%d connections are open after the end", transfer.ConnectionsOpen)
	}
	return counts
}

func TestPoolNeverExceedsItsCap(t *testing.T) {
	defer goleak.VerifyNone(t)
	target := newSocketTarget(t, keeping(func() { time.Sleep(20 * time.Millisecond) }))
	r := socketRun(t, "http://"+target.address, "1000", testCase("one", 1), nil, func(cfg *EngineConfig) {
		cfg.MaxInFlight, cfg.MaxWaiting, cfg.Growth = 5, 1000, 1000
	})
	r.engine.Run(t.Context())
	target.stop()
	counts := checkEnd(t, r)
	if target.most.Load() != 5 {
		t.Errorf("%d connections were open at the same time, want the cap of 5", target.most.Load())
	}
	if counts.Scheduled != 1000 || r.seen.outcomes()[OK] == 0 {
		t.Errorf("%+v, %v", counts, r.seen.outcomes())
	}
}

// While the target stalls, every arrival wants a connection; they come no faster
// than the growth allows.
func TestPoolGrowsAtItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		defer target.stop()
		const growth, ahead = 10, 3
		slow := testCase("one", 1)
		slow.Timeout = time.Hour
		r := newRun(t, target, "100", slow, func(cfg *EngineConfig) {
			cfg.MaxInFlight, cfg.MaxWaiting, cfg.Growth, cfg.Ahead, cfg.Duration = 500, 10_000, growth, ahead, 0
		})
		ctx, cancel := context.WithCancel(t.Context())
		wait := r.begin(ctx)
		for i := 1; i <= 100; i++ {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			opened := int(r.engine.cfg.Client.opened.Load())
			most := ahead + growth*i/10 + 1
			if opened > most || opened < ahead+growth*i*8/100 {
				t.Fatalf("after %d ms %d connections, want about %d and no more", 100*i, opened, most)
			}
		}
		cancel()
		wait()
		checkEnd(t, r)
	})
}

// The first arrivals find a connection: nobody waits for a dial.
func TestPoolDialsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) { time.Sleep(30 * time.Millisecond) })
		defer target.stop()
		r := newRun(t, target, "50", testCase("one", 1), func(cfg *EngineConfig) {
			cfg.Ahead = 4
			cfg.Client = newTestClient(t, "http://target.test", func(client *ClientConfig) {
				client.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					time.Sleep(40 * time.Millisecond)
					return target.dial(ctx, network, address)
				}
			})
		})
		r.engine.Run(t.Context())
		checkEnd(t, r)
		for i, result := range r.seen.results {
			if result.ResponseTime != 30*time.Millisecond {
				t.Fatalf("arrival %d took %v from its due time, want 30 ms: no connection was ready", i, result.ResponseTime)
			}
		}
	})
}

// A server that closes after each answer, with or without a word: the rate is
// kept, and nobody sees a reset.
func TestServerThatClosesAfterEachAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		serve func(net.Conn)
		post  bool
	}{
		"silent, GET":  {closing, false},
		"silent, POST": {closing, true},
		"announced, POST": {func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			target := newSocketTarget(t, test.serve)
			c := testCase("one", 1)
			if test.post {
				c = posting(c)
			}
			r := socketRun(t, "http://"+target.address, "500", c, nil, func(cfg *EngineConfig) {
				cfg.MaxInFlight, cfg.MaxWaiting, cfg.Ahead, cfg.Growth = 50, 1000, 4, 50
			})
			r.engine.Run(t.Context())
			target.stop()
			counts := checkEnd(t, r)
			// A request that is written between the answer and the end of a connection,
			// while a busy machine has the server wait, may have been seen: it is no
			// error to send a GET again, and one to send a POST again. Without a look at the
			// connection before its use nearly all would be.
			lost := 0
			if name == "silent, POST" {
				lost = 100
			}
			if outcomes := r.seen.outcomes(); counts.Scheduled != 500 || outcomes[OK] < 500-lost || outcomes[OK]+outcomes[Reset] != 500 {
				t.Errorf("want 500 ok, %d of them perhaps reset: %+v, %v", lost, counts, outcomes)
			}
		})
	}
}

// A connection that the server closes while it is idle is noticed, and never used.
func TestIdleConnectionsThatEnd(t *testing.T) {
	defer goleak.VerifyNone(t)
	target := newSocketTarget(t, keeping(nil))
	c := posting(testCase("one", 1))
	r := socketRun(t, "http://"+target.address, "0.0001", c, nil, func(cfg *EngineConfig) {
		cfg.Duration, cfg.Ahead = 0, 3
	})
	ctx, cancel := context.WithCancel(t.Context())
	wait := r.begin(ctx)
	for round := int64(1); round <= 5; round++ {
		waitFor(t, "a request", func() bool { return r.engine.Counts().Finished == round })
		waitFor(t, "three connections", func() bool {
			r.engine.pool.mu.Lock()
			defer r.engine.pool.mu.Unlock()
			return len(r.engine.pool.idle) >= 3
		})
		made := target.made.Load()
		target.breakAll()
		waitFor(t, "a new one for each", func() bool { return target.made.Load() >= made+3 })
		r.engine.ledger.scheduled()
		r.engine.pool.admit(Arrival{Case: c, Due: r.engine.sinceStart()})
	}
	waitFor(t, "the last request", func() bool { return r.engine.Counts().Finished == 6 })
	cancel()
	wait()
	target.stop()
	checkEnd(t, r)
	if outcomes := r.seen.outcomes(); outcomes[OK] != 6 {
		t.Errorf("want nothing but ok: %v", outcomes)
	}
}

// The target goes away and comes back.
func TestTargetRestarts(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.StartTLS()
			defer server.Close()
			target := newSocketTarget(t, func(conn net.Conn) {
				if scheme == "https" {
					conn = tls.Server(conn, &tls.Config{Certificates: server.TLS.Certificates})
				}
				keeping(nil)(conn)
			})
			address := scheme + "://" + target.address
			change := func(cfg *ClientConfig) {
				pool := x509.NewCertPool()
				pool.AddCert(server.Certificate())
				cfg.TLS = &tls.Config{RootCAs: pool, ServerName: "example.com"}
			}
			r := socketRun(t, address, "200", testCase("one", 1), change, func(cfg *EngineConfig) { cfg.Duration = 0 })
			ctx, cancel := context.WithCancel(t.Context())
			wait := r.begin(ctx)
			finished := func() int64 { return r.engine.Counts().Finished }
			for range 3 {
				before := finished()
				waitFor(t, "traffic", func() bool { return finished() > before+20 })
				target.breakAll()
			}
			before := r.seen.outcomes()[OK]
			waitFor(t, "traffic after the restart", func() bool { return r.seen.outcomes()[OK] > before+20 })
			cancel()
			wait()
			target.stop()
			checkEnd(t, r)
			for outcome := range r.seen.outcomes() {
				if outcome != OK && outcome != Reset {
					t.Errorf("outcomes %v: want none but ok and, in the moment of the restart, reset", r.seen.outcomes())
				}
			}
		})
	}
}

// A target that refuses: every arrival ends at once, and dials keep within bounds.
func TestTargetThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		r := newRun(t, &pipeTarget{}, "500", testCase("one", 1), func(cfg *EngineConfig) {
			cfg.MaxInFlight, cfg.Duration, cfg.Growth = 100, 10*time.Second, 20
			cfg.Client = newTestClient(t, "http://target.test", func(client *ClientConfig) {
				client.Dial = func(context.Context, string, string) (net.Conn, error) {
					dials.Add(1)
					time.Sleep(time.Millisecond)
					return nil, errors.New("connection refused")
				}
			})
		})
		r.engine.Run(t.Context())
		counts := checkEnd(t, r)
		if outcomes := r.seen.outcomes(); counts.Scheduled != 5000 || outcomes[Connect] != 5000 {
			t.Errorf("want 5000 that could not connect: %+v, %v", counts, outcomes)
		}
		for i, result := range r.seen.results {
			if result.ResponseTime > 100*time.Millisecond {
				t.Fatalf("arrival %d ended %v after its due time", i, result.ResponseTime)
			}
		}
		if most := int64(2 + 20*10 + 2); dials.Load() > most {
			t.Errorf("%d dials in 10 s, want %d at most: 2 ahead and 20 a second", dials.Load(), most)
		}
	})
}

// A target that accepts and closes at once is not asked for connections as fast
// as it gives them.
func TestTargetThatClosesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		r := newRun(t, &pipeTarget{}, "1", testCase("one", 1), func(cfg *EngineConfig) {
			cfg.Duration, cfg.Ahead = 60*time.Second, 2
			cfg.Client = newTestClient(t, "http://target.test", func(client *ClientConfig) {
				client.Dial = func(context.Context, string, string) (net.Conn, error) {
					dials.Add(1)
					ours, theirs := net.Pipe()
					go func() { // a moment later
						time.Sleep(time.Millisecond)
						_ = theirs.Close()
					}()
					return ours, nil
				}
			})
		})
		r.engine.Run(t.Context())
		counts := checkEnd(t, r)
		if outcomes := r.seen.outcomes(); counts.Scheduled != 60 || outcomes[Reset] != 60 {
			t.Errorf("want 60 resets: %+v, %v", counts, outcomes)
		}
		if dials.Load() > 300 {
			t.Errorf("%d dials for 60 arrivals in 60 s", dials.Load())
		}
	})
}

// Each arrival that finds no connection ends at its own time limit, whatever is
// before it in the queue, or is dropped when the queue is full.
func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, fast := testCase("slow", 1), testCase("fast", 1)
		slow.Timeout, fast.Timeout = 20*time.Second, 2*time.Second
		r := newRun(t, &pipeTarget{}, "10", slow, func(cfg *EngineConfig) {
			cfg.Mix, cfg.MaxWaiting, cfg.Duration = mixOf(t, slow, fast), 30, 8*time.Second
			cfg.Client = newTestClient(t, "http://target.test", func(client *ClientConfig) {
				client.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
		})
		start := time.Now()
		r.engine.Run(t.Context())
		counts := checkEnd(t, r)
		if took := time.Since(start); took > 35*time.Second {
			t.Errorf("it took %v", took)
		}
		if counts.Scheduled != 80 || counts.Finished+counts.Dropped[DropQueueFull] != 80 || counts.Dropped[DropQueueFull] == 0 {
			t.Errorf("%+v", counts)
		}
		for _, result := range r.seen.results {
			if result.Outcome != Connect || result.ResponseTime > result.Case.Timeout+tendEvery {
				t.Errorf("%s: %s after %v, want connect after %v at most", result.Case.Name, result.Outcome, result.ResponseTime, result.Case.Timeout)
			}
		}
	})
}

// Told to stop, the engine ends within the grace, whatever state the target is in.
func TestShutdownInEveryState(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // until then the server does not look for an end
		<-r.Context().Done()
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		dial    func(ctx context.Context, network, address string) (net.Conn, error)
	}{
		"well":   {handler: func(http.ResponseWriter, *http.Request) {}},
		"stalls": {handler: hang},
		"refuses": {dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("connection refused")
		}},
		"black hole": {dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		"deaf": {dial: func(context.Context, string, string) (net.Conn, error) {
			ours, _ := net.Pipe() // nobody reads the other end
			return ours, nil
		}},
	} {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, closed %v", name, closed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					target := newPipeTarget(test.handler)
					defer target.stop()
					slow := posting(testCase("one", 1))
					slow.Timeout = time.Hour
					r := newRun(t, target, "20", slow, func(cfg *EngineConfig) {
						cfg.Duration, cfg.Grace, cfg.MaxWaiting, cfg.Ahead = 0, 3*time.Second, 1000, 4
						if closed {
							cfg.Arrivals, cfg.Closed = nil, &ClosedConfig{Users: 5, SpawnRate: 5}
						}
						if test.dial != nil {
							cfg.Client = newTestClient(t, "http://target.test", func(client *ClientConfig) { client.Dial = test.dial })
						}
						if closed && test.handler != nil && name == "well" {
							cfg.Closed.Pacing = 50 * time.Millisecond
						}
					})
					ctx, cancel := context.WithCancel(t.Context())
					wait := r.begin(ctx)
					for range 50 {
						time.Sleep(100*time.Millisecond + 3*time.Microsecond)
						checkAccount(t, r.engine.Counts())
					}
					told := time.Now()
					cancel()
					wait()
					if took := time.Since(told); took > 3*time.Second {
						t.Errorf("it ended %v after it was told to, with a grace of 3 s", took)
					}
					checkEnd(t, r)
				})
			})
		}
	}
}

// An arrival that is too late already when its connection is there leaves the
// connection usable, and the run able to end.
func TestLateArrivalsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(func(http.ResponseWriter, *http.Request) {})
		defer target.stop()
		impatient := testCase("one", 1)
		r := newRun(t, target, "10", impatient, func(cfg *EngineConfig) { cfg.MaxLateness, cfg.Duration = time.Second, 0 })
		ctx, cancel := context.WithCancel(t.Context())
		wait := r.begin(ctx)
		time.Sleep(550 * time.Millisecond)
		synctest.Wait()
		// As if the pacer had been held up for an hour, while the name moved.
		p := r.engine.pool
		p.mu.Lock()
		idle := len(p.idle)
		for s := range p.all {
			s.last = true
		}
		p.mu.Unlock()
		for range idle {
			r.engine.ledger.scheduled()
			p.admit(Arrival{Case: impatient, Due: -time.Hour})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		cancel()
		wait()
		counts := checkEnd(t, r)
		if counts.Dropped[DropLate] != int64(idle) {
			t.Errorf("%d dropped as late, want %d", counts.Dropped[DropLate], idle)
		}
	})
}

// The target moves to other addresses: traffic follows without an error, and the
// connections to the old ones end.
func TestPoolFollowsATargetThatMoves(t *testing.T) {
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprint("closed ", closed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old, fresh := newPipeTarget(answerOK), newPipeTarget(answerOK)
				defer old.stop()
				defer fresh.stop()
				var atOld, atFresh, refused atomic.Int64
				var moved, broken atomic.Bool
				r := newRun(t, old, "50", posting(testCase("one", 1)), func(cfg *EngineConfig) {
					// Growth is slow: those of the old address must be replaced, not grown anew.
					cfg.ResolveEvery, cfg.Duration, cfg.Ahead, cfg.Growth = time.Second, 20*time.Second, 5, 0.01
					if closed {
						cfg.Arrivals, cfg.Closed = nil, &ClosedConfig{Users: 5, Pacing: 100 * time.Millisecond}
					}
					cfg.Client = newTestClient(t, "http://target.test", func(client *ClientConfig) {
						client.LookUp = func(context.Context, string) ([]netip.Addr, error) {
							switch {
							case broken.Load():
								return nil, errors.New("no resolver")
							case moved.Load():
								return []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}, nil
							}
							return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
						}
						client.Allow = func(ip netip.Addr) error {
							if ip == netip.MustParseAddr("10.0.0.3") {
								refused.Add(1)
								return errors.New("not allowed")
							}
							return nil
						}
						client.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
							switch address {
							case "10.0.0.1:80":
								atOld.Add(1)
								return old.dial(ctx, network, address)
							case "10.0.0.2:80":
								atFresh.Add(1)
								return fresh.dial(ctx, network, address)
							}
							t.Errorf("%s was dialled", address)
							return nil, errors.New("not there")
						}
					})
				})
				wait := r.begin(t.Context())
				time.Sleep(5*time.Second + 10*time.Millisecond)
				broken.Store(true) // for a while nothing can be resolved: nothing changes
				time.Sleep(5 * time.Second)
				if atFresh.Load() != 0 {
					t.Errorf("while no name is resolved: %d at the new address", atFresh.Load())
				}
				before := atOld.Load()
				broken.Store(false)
				moved.Store(true)
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if atOld.Load() != before || atFresh.Load() < 1 || refused.Load() == 0 {
					t.Errorf("%d dials to the old address before and %d after, %d to the new, %d refused", before, atOld.Load(), atFresh.Load(), refused.Load())
				}
				if open := old.openConnections(); open != 0 {
					t.Errorf("%d connections to the old address are still open", open)
				}
				wait()
				counts := checkEnd(t, r)
				if !strings.Contains(r.log.String(), "no resolver") {
					t.Errorf("the log does not say that the name could not be resolved: %s", r.log)
				}
				if outcomes := r.seen.outcomes(); outcomes[OK] != len(r.seen.results) || counts.TotalDropped() != 0 || (!closed && outcomes[OK] != 1000) {
					t.Errorf("want nothing but ok: %v, %+v", outcomes, counts)
				}
			})
		})
	}
}

func answerOK(http.ResponseWriter, *http.Request) {}

// speaking2 starts a server of HTTP/2 without TLS.
func speaking2(t *testing.T, streams int, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func overHTTP2(cfg *ClientConfig) { cfg.HTTPVersion = wire.HTTP2 }

// Many requests at the same time over few connections, never more on one than
// the target takes.
func TestPoolOverHTTP2(t *testing.T) {
	defer goleak.VerifyNone(t)
	var mu sync.Mutex
	inside, most := map[string]int{}, 0
	server := speaking2(t, 10, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		inside[r.RemoteAddr]++
		most = max(most, inside[r.RemoteAddr])
		mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		mu.Lock()
		inside[r.RemoteAddr]--
		mu.Unlock()
	})
	r := socketRun(t, server.URL, "500", posting(testCase("one", 1)), overHTTP2, func(cfg *EngineConfig) {
		cfg.MaxInFlight, cfg.MaxWaiting = 25, 1000
	})
	r.engine.Run(t.Context())
	server.Close()
	counts := checkEnd(t, r)
	if counts.Finished != 500 || r.seen.outcomes()[OK] != 500 {
		t.Errorf("want 500 ok: %+v, %v", counts, r.seen.outcomes())
	}
	if most < 2 || most > 10 || len(inside) > 10 {
		t.Errorf("%d at the same time on one of %d connections, want 2 to 10 on few", most, len(inside))
	}
	if transfer := r.engine.cfg.Client.Transfer(); transfer.ConnectionsReused < 480 {
		t.Errorf("%+v: want few connections, used again and again", transfer)
	}
}

func TestPoolOverHTTP2KeepsTheUsesOfAConnection(t *testing.T) {
	defer goleak.VerifyNone(t)
	var mu sync.Mutex
	uses := map[string]int{}
	server := speaking2(t, 50, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		uses[r.RemoteAddr]++
	})
	r := socketRun(t, server.URL, "500", testCase("one", 1), func(cfg *ClientConfig) {
		overHTTP2(cfg)
		cfg.MaxRequestsPerConnection = 20
	}, func(cfg *EngineConfig) { cfg.MaxInFlight, cfg.MaxWaiting = 40, 1000 })
	r.engine.Run(t.Context())
	server.Close()
	checkEnd(t, r)
	if r.seen.outcomes()[OK] != 500 {
		t.Errorf("want 500 ok: %v", r.seen.outcomes())
	}
	for address, n := range uses {
		if n > 20 {
			t.Errorf("%d requests over the connection from %s, want 20 at most", n, address)
		}
	}
}

// The server shuts down, which lets everything under way finish, and another
// takes its place: nobody sees an error.
func TestServerOfHTTP2IsReplaced(t *testing.T) {
	defer goleak.VerifyNone(t)
	slow := func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) }
	first, second := speaking2(t, 20, slow), speaking2(t, 20, slow)
	var to atomic.Pointer[string]
	firstAddress, secondAddress := first.Listener.Addr().String(), second.Listener.Addr().String()
	to.Store(&firstAddress)
	r := socketRun(t, "http://target.test", "300", posting(testCase("one", 1)), func(cfg *ClientConfig) {
		overHTTP2(cfg)
		cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, *to.Load())
		}
	}, func(cfg *EngineConfig) { cfg.MaxInFlight, cfg.MaxWaiting, cfg.Duration, cfg.Ahead = 30, 1000, 0, 4 })
	ctx, cancel := context.WithCancel(t.Context())
	wait := r.begin(ctx)
	waitFor(t, "traffic", func() bool { return r.engine.Counts().Finished > 50 })
	to.Store(&secondAddress)
	shutting, enough := context.WithTimeout(t.Context(), 20*time.Second)
	defer enough()
	if err := first.Config.Shutdown(shutting); err != nil {
		t.Errorf("the first server cannot shut down, connections stay: %v", err)
	}
	before := r.engine.Counts().Finished
	waitFor(t, "traffic to the second", func() bool { return r.engine.Counts().Finished > before+50 })
	cancel()
	wait()
	first.Close()
	second.Close()
	checkEnd(t, r)
	if outcomes := r.seen.outcomes(); outcomes[OK] != len(r.seen.results) {
		t.Errorf("want nothing but ok: %v", outcomes)
	}
}

// Requests over HTTP/2 that hang are cut at the end of the grace.
func TestShutdownOverHTTP2(t *testing.T) {
	defer goleak.VerifyNone(t)
	server := speaking2(t, 10, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	slow := testCase("one", 1)
	slow.Timeout = time.Hour
	r := socketRun(t, server.URL, "100", slow, overHTTP2, func(cfg *EngineConfig) {
		cfg.MaxInFlight, cfg.MaxWaiting, cfg.Duration, cfg.Grace = 15, 1000, 0, 10*time.Millisecond
	})
	ctx, cancel := context.WithCancel(t.Context())
	wait := r.begin(ctx)
	waitFor(t, "15 in flight and some that wait", func() bool {
		counts := r.engine.Counts()
		return counts.InFlight == 15 && counts.Waiting > 5
	})
	cancel()
	wait()
	server.Close()
	counts := checkEnd(t, r)
	if counts.Cut != 15 || counts.Dropped[DropShutdown] == 0 {
		t.Errorf("want 15 cut and the others dropped: %+v", counts)
	}
}

func TestQueue(t *testing.T) {
	q := queue{limit: 20}
	var want []int64
	next := int64(0)
	push := func(n int) {
		for range n {
			if q.push(Arrival{N: next}) != (len(want) < 20) {
				t.Fatalf("push at %d of 20", len(want))
			}
			if len(want) < 20 {
				want = append(want, next)
			}
			next++
		}
	}
	check := func() {
		t.Helper()
		if q.len() != len(want) {
			t.Fatalf("%d in the queue, want %d", q.len(), len(want))
		}
		for i, n := range want {
			if got := q.ring[(q.first+i)%len(q.ring)].N; got != n {
				t.Fatalf("place %d holds %d, want %d", i, got, n)
			}
		}
	}
	for round := range 50 {
		push(1 + round%7)
		check()
		if round%3 == 0 {
			var kept []int64
			for _, n := range want {
				if n%5 != 0 {
					kept = append(kept, n)
				}
			}
			if removed := q.remove(func(a *Arrival) bool { return a.N%5 == 0 }); len(removed) != len(want)-len(kept) {
				t.Fatalf("%d removed, want %d", len(removed), len(want)-len(kept))
			}
			want = kept
			check()
		}
		for range round % 5 {
			a, ok := q.pop()
			if ok != (len(want) > 0) || (ok && a.N != want[0]) {
				t.Fatalf("popped %d, %v", a.N, ok)
			}
			if ok {
				want = want[1:]
			}
		}
		check()
	}
}
