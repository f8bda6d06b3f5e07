package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/load/schedule"
)

// closedRun is newRun in closed mode.
func closedRun(t *testing.T, target *pipeTarget, closed ClosedConfig, mix *Mix, change func(*EngineConfig)) run {
	t.Helper()
	return newRun(t, target, "1", testCase("one", 1), func(cfg *EngineConfig) {
		cfg.Arrivals, cfg.Closed, cfg.Mix = nil, &closed, mix
		if change != nil {
			change(cfg)
		}
	})
}

// dues returns when each user's requests were due, in whole milliseconds since start.
func dues(r run, start time.Time) map[int][]int64 {
	due := map[int][]int64{}
	for _, result := range r.seen.results {
		at := result.Done.Add(-result.ResponseTime).Sub(start)
		due[result.User.Index] = append(due[result.User.Index], at.Milliseconds())
	}
	for _, one := range due {
		slices.Sort(one)
	}
	return due
}

func think(t *testing.T, text string) schedule.Think {
	t.Helper()
	pause, err := schedule.ParseThink(text)
	if err != nil {
		t.Fatal(err)
	}
	return pause
}

// Users begin at the spawn rate; each sends its next request when the last was
// answered and its think time or its pacing is over, whichever is later.
func TestClosedUsersKeepTime(t *testing.T) {
	for name, test := range map[string]struct {
		closed ClosedConfig
		want   [][]int64
	}{
		"all at once": {ClosedConfig{Users: 2, Think: think(t, "1s")}, [][]int64{{0, 1200, 2400, 3600, 4800}, {0, 1200, 2400, 3600, 4800}}},
		"two a second": {ClosedConfig{Users: 3, SpawnRate: 2, Think: think(t, "1800ms")}, [][]int64{
			{0, 2000, 4000}, {500, 2500, 4500}, {1000, 3000},
		}},
		"slower than the run": {ClosedConfig{Users: 3, SpawnRate: 0.3, Think: think(t, "1m")}, [][]int64{{0}, {3333}}},
		"pacing":              {ClosedConfig{Users: 1, Pacing: 2 * time.Second}, [][]int64{{0, 2000, 4000}}},
		"pacing is the least": {ClosedConfig{Users: 1, Pacing: time.Second, Think: think(t, "2300ms")}, [][]int64{{0, 2500}}},
		"as fast as they can": {ClosedConfig{Users: 1}, [][]int64{{0, 200, 400, 600, 800, 1000, 1200, 1400, 1600, 1800, 2000, 2200, 2400, 2600, 2800, 3000, 3200, 3400, 3600, 3800, 4000, 4200, 4400, 4600, 4800}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := newPipeTarget(func(http.ResponseWriter, *http.Request) { time.Sleep(200 * time.Millisecond) })
				defer target.stop()
				r := closedRun(t, target, test.closed, mixOf(t, testCase("one", 1)), func(cfg *EngineConfig) { cfg.Duration = 5*time.Second - time.Millisecond })
				start := time.Now()
				r.engine.Run(t.Context())
				checkEnd(t, r)
				got := dues(r, start)
				if len(got) != len(test.want) {
					t.Fatalf("%d users sent, want %d: %v", len(got), len(test.want), got)
				}
				for user, want := range test.want {
					if !slices.Equal(got[user], want) {
						t.Errorf("user %d sent at %v ms, want %v", user, got[user], want)
					}
				}
				if opened := r.engine.cfg.Client.Transfer().ConnectionsOpened; opened != int64(len(got)) {
					t.Errorf("%d connections for %d users", opened, len(got))
				}
			})
		})
	}
}

func TestClosedThinkTimesAreDrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(answerOK)
		defer target.stop()
		r := closedRun(t, target, ClosedConfig{Users: 2, Think: think(t, "100ms..900ms"), Seed: 7}, mixOf(t, testCase("one", 1)), func(cfg *EngineConfig) {
			cfg.Duration = 100 * time.Second
		})
		start := time.Now()
		r.engine.Run(t.Context())
		got := dues(r, start)
		for user, at := range got {
			// A mean of 500 ms, whose standard deviation is 231 ms: 200 of them are
			// 100 s with a deviation of 3.3 s.
			if len(at) < 180 || len(at) > 220 {
				t.Errorf("user %d sent %d requests in 100 s with pauses of 0.5 s in the mean", user, len(at))
			}
			for i := 1; i < len(at); i++ {
				if pause := at[i] - at[i-1]; pause < 99 || pause > 901 {
					t.Errorf("user %d paused for %d ms, want 100 to 900", user, pause)
				}
			}
		}
		if slices.Equal(got[0], got[1]) {
			t.Error("both users draw the same pauses")
		}
	})
}

// First the opening, then cases by weight; a limited case no sooner than its
// interval allows, for each user alone.
func TestClosedOpeningAndLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newPipeTarget(answerOK)
		defer target.stop()
		save, simple, complexCase := testCase("save", 0), testCase("simple", 1), testCase("complex", 5)
		complexCase.MinInterval = 10 * time.Second
		mix, err := NewMix(&Workload{Name: "test", Cases: []*Case{save, simple, complexCase}, Opening: &Opening{Case: save, Times: 2}}, 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		r := closedRun(t, target, ClosedConfig{Users: 3, Think: think(t, "500ms")}, mix, func(cfg *EngineConfig) { cfg.Duration = 60 * time.Second })
		r.engine.Run(t.Context())
		counts := checkEnd(t, r)
		seen := map[int][]Result{}
		for _, result := range r.seen.results {
			seen[result.User.Index] = append(seen[result.User.Index], result)
		}
		for user, results := range seen {
			var last time.Time
			had := 0
			for i, result := range results {
				if (result.Case == save) != (i < 2) {
					t.Errorf("user %d: request %d is %s", user, i, result.Case.Name)
				}
				if result.Case != complexCase {
					continue
				}
				if !last.IsZero() && result.Done.Sub(last) < complexCase.MinInterval {
					t.Errorf("user %d had the limited case again after %v", user, result.Done.Sub(last))
				}
				last = result.Done
				had++
			}
			if had != 6 { // at most every 10 s, at least every 10 s and a few draws
				t.Errorf("user %d had the limited case %d times in 60 s, want 6", user, had)
			}
		}
		if len(seen) != 3 || len(counts.Substituted) != 1 || counts.Substituted[0].Case != complexCase {
			t.Errorf("%d users; substituted %+v", len(seen), counts.Substituted)
		}
	})
}

// The end of the duration lets the last requests finish; being told to stop gives
// them the grace, and cuts what is left.
func TestClosedEnds(t *testing.T) {
	slow := testCase("one", 1)
	slow.Timeout = time.Minute
	for name, test := range map[string]struct {
		answer         time.Duration
		duration, stop time.Duration
		took           time.Duration
		finished, cut  int64
	}{
		"the duration":          {answer: 7 * time.Second, duration: 10 * time.Second, took: 14 * time.Second, finished: 8},
		"told, all finish":      {answer: 2 * time.Second, stop: 3 * time.Second, took: 4 * time.Second, finished: 8},
		"told, all are cut":     {answer: 30 * time.Second, stop: 3 * time.Second, took: 8 * time.Second, cut: 4},
		"told after the end":    {answer: 30 * time.Second, duration: time.Second, stop: 3 * time.Second, took: 8 * time.Second, cut: 4},
		"the duration, timeout": {answer: 2 * time.Minute, duration: 10 * time.Second, took: time.Minute, finished: 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := newPipeTarget(func(_ http.ResponseWriter, r *http.Request) {
					select {
					case <-time.After(test.answer):
					case <-r.Context().Done():
					}
				})
				defer target.stop()
				r := closedRun(t, target, ClosedConfig{Users: 4}, mixOf(t, slow), func(cfg *EngineConfig) {
					cfg.Duration, cfg.Grace = test.duration, 5*time.Second
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.stop > 0 {
					time.AfterFunc(test.stop, cancel)
				}
				start := time.Now()
				wait := r.begin(ctx)
				watching, watched := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(watched)
					for {
						select {
						case <-watching:
							return
						case <-time.After(73 * time.Millisecond):
							if r.engine.start.Load() != nil {
								checkAccount(t, r.engine.Counts())
							}
						}
					}
				}()
				wait()
				took := time.Since(start)
				close(watching)
				<-watched
				counts := checkEnd(t, r)
				if took != test.took || counts.Finished != test.finished || counts.Cut != test.cut {
					t.Errorf("after %v: %+v, want %v, %d finished, %d cut", took, counts, test.took, test.finished, test.cut)
				}
			})
		})
	}
}

// A target that refuses does not make the users spin.
func TestClosedUsersOfATargetThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		r := closedRun(t, &pipeTarget{}, ClosedConfig{Users: 5}, mixOf(t, testCase("one", 1)), func(cfg *EngineConfig) {
			cfg.Duration = 10 * time.Second
			cfg.Client = newTestClient(t, "http://target.test", func(client *ClientConfig) {
				client.Dial = func(context.Context, string, string) (net.Conn, error) {
					dials.Add(1)
					return nil, errors.New("connection refused")
				}
			})
		})
		r.engine.Run(t.Context())
		counts := checkEnd(t, r)
		if want := int64(5 * 10 * 10); dials.Load() != want || counts.Finished != want || r.seen.outcomes()[Connect] != int(want) {
			t.Errorf("%d dials, %+v, want %d: each of 5 users 10 times a second", dials.Load(), counts, want)
		}
	})
}

// A server that closes connections while the users think is noticed before the
// next request, with TLS too: none that cannot be sent again is lost.
func TestClosedUsersWhoseConnectionsEndMeanwhile(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.StartTLS()
			defer server.Close()
			target := newSocketTarget(t, func(raw net.Conn) {
				conn := raw
				if scheme == "https" {
					conn = tls.Server(raw, &tls.Config{Certificates: server.TLS.Certificates})
				}
				request, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				_, _ = io.WriteString(conn, emptyAnswer)
				_ = conn.Close() // with TLS it says so first
			})
			c := posting(testCase("one", 1))
			r := socketRun(t, scheme+"://"+target.address, "1", c, func(cfg *ClientConfig) {
				pool := x509.NewCertPool()
				pool.AddCert(server.Certificate())
				cfg.TLS = &tls.Config{RootCAs: pool, ServerName: "example.com"}
			}, func(cfg *EngineConfig) {
				cfg.Arrivals, cfg.Closed = nil, &ClosedConfig{Users: 3, Think: think(t, "100ms")}
			})
			r.engine.Run(t.Context())
			target.stop()
			checkEnd(t, r)
			if outcomes := r.seen.outcomes(); outcomes[OK] != len(r.seen.results) || outcomes[OK] < 3 {
				t.Errorf("want nothing but ok: %v", outcomes)
			}
		})
	}
}

// Users speak HTTP/2 too, each over its own connection.
func TestClosedUsersOverHTTP2(t *testing.T) {
	defer goleak.VerifyNone(t)
	server := speaking2(t, 10, answerOK)
	r := socketRun(t, server.URL, "1", posting(testCase("one", 1)), func(cfg *ClientConfig) {
		overHTTP2(cfg)
		cfg.MaxRequestsPerConnection = 7
	}, func(cfg *EngineConfig) {
		cfg.Arrivals, cfg.Closed, cfg.Duration = nil, &ClosedConfig{Users: 3}, 200*time.Millisecond
	})
	r.engine.Run(t.Context())
	server.Close()
	counts := checkEnd(t, r)
	if r.seen.outcomes()[OK] != len(r.seen.results) {
		t.Errorf("want nothing but ok: %v", r.seen.outcomes())
	}
	transfer := r.engine.cfg.Client.Transfer()
	if least := (counts.Finished + 6) / 7; transfer.ConnectionsOpened < least || transfer.ConnectionsOpened > least+3 {
		t.Errorf("%d connections for %d requests, 7 on each", transfer.ConnectionsOpened, counts.Finished)
	}
}
