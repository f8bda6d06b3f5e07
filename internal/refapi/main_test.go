package refapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"soakd/internal/localservices"
	"soakd/internal/secret"
)

const (
	testKey    = "a key for tests"
	adminToken = "an admin token for tests"
)

// services are the servers that all tests share. They are started by the first
// test that needs them, so that a fuzz worker starts none.
type services struct {
	once     sync.Once
	postgres *localservices.Postgres
	redis    *localservices.Redis
	err      error
}

var shared services

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(program())
	}
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the servers:", err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (s *services) start() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if s.postgres, s.err = localservices.StartPostgres(ctx, localservices.Options{Mode: localservices.System}); s.err == nil {
		s.redis, s.err = localservices.StartRedis(ctx, localservices.Options{Mode: localservices.System})
	}
}

func (s *services) stop() error {
	if s.redis != nil {
		if err := s.redis.Stop(); err != nil {
			return err
		}
	}
	if s.postgres != nil {
		return s.postgres.Stop()
	}
	return nil
}

// running returns the shared servers.
func running(t testing.TB) *services {
	t.Helper()
	shared.once.Do(shared.start)
	if shared.err != nil {
		t.Fatalf("these tests need a real Postgres and Redis; on Debian: apt-get install postgresql redis-server\n%v", shared.err)
	}
	return &shared
}

// config is that of a test's API.
func config(t testing.TB) Config {
	t.Helper()
	s := running(t)
	return Config{
		PostgresURL: s.postgres.URL(),
		RedisURL:    s.redis.URL(),
		JWTSecret:   secret.New(testKey),
		Version:     "v-test",
		AdminToken:  secret.New(adminToken),
		Logger:      slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// client speaks to a running API as one user nobody else is.
type client struct {
	t    testing.TB
	api  *API
	url  string
	http *http.Client
	user string
}

// serve starts an API that ends with the test.
func serve(t testing.TB, change func(*Config)) *client {
	t.Helper()
	cfg := config(t)
	if change != nil {
		change(&cfg)
	}
	api, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- api.Serve(ctx, listener) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		api.Close()
	})
	return &client{
		t: t, api: api, url: "http://" + listener.Addr().String(),
		http: &http.Client{Transport: transport, Timeout: 30 * time.Second},
		user: "user-" + uuid.NewString(),
	}
}

// another is another user of the same API.
func (c *client) another() *client {
	other := *c
	other.user = "user-" + uuid.NewString()
	return &other
}

// token mints a token for the user, which change may spoil.
func (c *client) token(change func(jwt.MapClaims)) string {
	return mint(c.t, jwt.SigningMethodHS256, []byte(testKey), c.user, change)
}

func mint(t testing.TB, method jwt.SigningMethod, key any, user string, change func(jwt.MapClaims)) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{"sub": user, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	if change != nil {
		change(claims)
	}
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// reply is a whole answer.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
	closed bool // the server announced to close the connection
}

// request makes a request with a good token; change may spoil it.
func (c *client) request(method, path, body string, change func(*http.Request)) *http.Request {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body == "" {
		r.Body = http.NoBody
	}
	if body != "" || method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+c.token(nil))
	if change != nil {
		change(r)
	}
	return r
}

func (c *client) do(r *http.Request) reply {
	c.t.Helper()
	answered, err := c.http.Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer answered.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(answered.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{c.t, answered.StatusCode, answered.Header, body, answered.Close}
}

func (c *client) get(path string) reply {
	c.t.Helper()
	return c.do(c.request(http.MethodGet, path, "", nil))
}

func (c *client) post(path, body string) reply {
	c.t.Helper()
	return c.do(c.request(http.MethodPost, path, body, nil))
}

// is fails unless the answer has the status and is JSON.
func (r reply) is(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %.300s", r.status, status, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		r.t.Errorf("Content-Type %q", got)
	}
	if !json.Valid(r.body) {
		r.t.Errorf("not JSON: %.300s", r.body)
	}
	return r
}

// into reads the answer strictly: a member that to does not have is an error.
func (r reply) into(to any) {
	r.t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		r.t.Fatalf("read the answer: %v\n%.300s", err, r.body)
	}
}

// eventually waits for a condition; the test's own time limit bounds it.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}
