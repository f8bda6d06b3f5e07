package cashflow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"soakd/internal/load"
	"soakd/internal/load/auth"
	"soakd/internal/localservices"
	"soakd/internal/refapi"
	"soakd/internal/secret"
)

const apiKey = "a key for the tests of the workload"

// startAPI runs the reference API on a real Postgres and a real Redis.
func startAPI(t testing.TB) *httptest.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	options := localservices.Options{Mode: localservices.System}
	postgres, err := localservices.StartPostgres(ctx, options)
	if err != nil {
		t.Fatalf("this test needs a real Postgres; on Debian: apt-get install postgresql\n%v", err)
	}
	t.Cleanup(func() {
		if err := postgres.Stop(); err != nil {
			t.Error(err)
		}
	})
	redis, err := localservices.StartRedis(ctx, options)
	if err != nil {
		t.Fatalf("this test needs a real Redis; on Debian: apt-get install redis-server\n%v", err)
	}
	t.Cleanup(func() {
		if err := redis.Stop(); err != nil {
			t.Error(err)
		}
	})
	api, err := refapi.New(ctx, refapi.Config{
		PostgresURL: postgres.URL(), RedisURL: redis.URL(), JWTSecret: secret.New(apiKey), CalculationQueue: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	server := httptest.NewServer(api.Handler())
	t.Cleanup(server.Close)
	return server
}

// driver sends the workload's requests, as the engine does.
type driver struct {
	*bench
	server *httptest.Server
	source *auth.Source

	mu     sync.Mutex
	counts map[string]int
}

// send makes one request of a case and checks its answer.
func (d *driver) send(t testing.TB, c *load.Case, draw func() load.Draw) {
	r, err := c.Build(draw())
	if errors.Is(err, load.ErrNoState) && c.Fallback != nil {
		c = c.Fallback
		r, err = c.Build(draw())
	}
	if err != nil {
		t.Errorf("build %s: %v", c.Name, err)
		return
	}
	user := draw().User
	ctx, cancel := context.WithTimeout(t.Context(), c.Timeout)
	defer cancel()
	sent := time.Now()
	response, body, err := d.do(ctx, user, r)
	if err != nil {
		if c.Name == "invalid_body_big" {
			return // the API may answer and close before it has read all
		}
		t.Errorf("%s: %v", c.Name, err)
		return
	}
	x := &load.Exchange{User: user, Request: r, Response: response, Sent: sent, Received: time.Now()}
	response.Body = body
	if !slices.Contains(c.Statuses, response.Status) {
		t.Errorf("%s: status %d, want %v: %.300s\nsent %.600s", c.Name, response.Status, c.Statuses, body, r.Body)
		return
	}
	if failed, messages := d.verify(c.Name, x); len(failed) > 0 {
		t.Errorf("%s: %s\nsent %s %.600s\ngot %d %.600s", c.Name, messages, r.Path, r.Body, response.Status, body)
	}
	d.mu.Lock()
	d.counts[c.Name]++
	d.mu.Unlock()
}

func (d *driver) do(ctx context.Context, user load.User, r *load.Request) (*load.Response, []byte, error) {
	var content io.Reader
	if r.Body != nil {
		content = bytes.NewReader(r.Body)
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, d.server.URL+r.Path, content)
	if err != nil {
		return nil, nil, err
	}
	token, err := d.source.Token(user, r.Credentials)
	if err != nil {
		return nil, nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if r.ContentType != "" {
		request.Header.Set("Content-Type", r.ContentType)
	}
	if r.Credentials == load.UserToken {
		request.Header.Set("X-User-ID", user.ID)
	}
	response, err := d.server.Client().Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	return &load.Response{Status: response.StatusCode, Header: response.Header, Closing: response.Close}, body, err
}

// Every case against the reference API, many users' requests at the same time:
// each gives its expected status and no check fails. Users get more than a full
// page of scenarios and of history.
func TestReferenceAPI(t *testing.T) {
	server := startAPI(t)
	const users = 3
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": "one-for-all", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(apiKey))
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]auth.Config{
		"minted": {JWTSecret: secret.New(apiKey)},
		"shared": {Token: secret.New(token)},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := auth.New(cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			b := newBench(t, Config{Users: users, Seed: 11, Today: time.Now, CanMint: source.CanMint(), SharedIdentity: source.SharedIdentity()})
			mix, err := load.NewMix(b.Workload, users, 11)
			if err != nil {
				t.Fatal(err)
			}
			d := &driver{bench: b, server: server, source: source, counts: map[string]int{}}
			const arrivals = 1500
			var next atomic.Int64
			parallel(6, func() {
				for n := next.Add(1) - 1; n < arrivals; n = next.Add(1) - 1 {
					user := source.User(int(n % users))
					draw := func() load.Draw { return load.Draw{User: user, Rand: mix.Rand(n)} }
					d.send(t, b.at(n), draw)
				}
			})
			for _, c := range b.Cases {
				if d.counts[c.Name] < 5 {
					t.Errorf("%s was sent %d times", c.Name, d.counts[c.Name])
				}
			}
			if d.counts["list_scenarios"] < 100 || d.counts["history"] < 100 || d.counts["forecast"] < 300 {
				t.Errorf("too few for full pages: %v", d.counts)
			}
		})
	}
}

// at gives arrival n its case: the opening, then saves so that lists are full,
// then each case in turn, and forecasts, lists and histories between them.
func (b *bench) at(n int64) *load.Case {
	const saves = 330
	if n < saves {
		return b.cases["save_scenario"]
	}
	between := []string{"forecast", "history", "forecast", "list_scenarios", "get_scenario", "forecast"}
	n -= saves
	if n%3 > 0 {
		return b.cases[between[(n-n/3-1)%int64(len(between))]]
	}
	return b.Cases[int(n/3)%len(b.Cases)]
}

func parallel(n int, work func()) {
	var group sync.WaitGroup
	for range n {
		group.Go(work)
	}
	group.Wait()
}

// The API's own answers, spoiled, are found out: the checks work on what a real
// target sends and not only on the answers of the tests' model.
func TestReferenceAPISpoiled(t *testing.T) {
	server := startAPI(t)
	source, err := auth.New(auth.Config{JWTSecret: secret.New(apiKey), UserPrefix: "vu"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Config{Users: 1, Seed: 3, Today: time.Now, CanMint: true})
	d := &driver{bench: b, server: server, source: source}
	for name, spoil := range map[string]map[string]func(o object){
		"forecast": {
			"principal_conserved": func(o object) { add(o, 1, "loans", 0, "total_principal") },
			"totals_match":        func(o object) { add(o, 50, "summary", "total_interest") },
			"balance_falls":       func(o object) { add(o, 1e8, "periods", 5, "balance") },
			"shape":               func(o object) { put(o, nil, "periods", 5, "total") },
		},
		"complex_analysis": {
			"mc_iterations":  func(o object) { put(o, 1.0, "monte_carlo", "iterations") },
			"mc_order":       func(o object) { put(o, 1e12, "monte_carlo", "p5") },
			"zero_shift":     func(o object) { add(o, 1, "sensitivity", "base_npv") },
			"shift_monotone": func(o object) { put(o, -1e12, "sensitivity", "interest_rate", 3, "npv") },
		},
	} {
		r := find(t, b, name, covers)
		response, body, err := d.do(t.Context(), testUser(0), r)
		if err != nil || response.Status != 200 {
			t.Fatalf("%s: %v, %v", name, response, err)
		}
		x := &load.Exchange{User: testUser(0), Request: r, Response: response, Sent: time.Now(), Received: time.Now()}
		x.Response.Body = body
		b.expect(t, name, name, x)
		for check, alter := range spoil {
			o := reread(t, rawJSON(body))
			alter(o)
			x.Response.Body = toJSON(t, o)
			b.expect(t, fmt.Sprint(name, ": ", check), name, x, check)
		}
	}
}

type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }
