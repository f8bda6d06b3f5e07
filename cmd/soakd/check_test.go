package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"soakd/internal/load/cashflow"
	"soakd/internal/localservices"
	"soakd/internal/lockedbuffer"
	"soakd/internal/refapi"
	"soakd/internal/secret"
)

const checkKey = "a key for the tests of soakd check"

// checked is what `soakd check` can reach: the reference API on real servers.
type checked struct {
	api       *refapi.API
	target    string
	postgres  *localservices.Postgres
	redis     *localservices.Redis
	plainRole string
}

func startChecked(t *testing.T) *checked {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var (
		c       checked
		err     error
		options = localservices.Options{Mode: localservices.System}
	)
	stop := func(stop func() error) func() {
		return func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
	}
	if c.postgres, err = localservices.StartPostgres(ctx, options); err != nil {
		t.Fatalf("this test needs a real Postgres; on Debian: apt-get install postgresql\n%v", err)
	}
	t.Cleanup(stop(c.postgres.Stop))
	if c.redis, err = localservices.StartRedis(ctx, options); err != nil {
		t.Fatalf("this test needs a real Redis; on Debian: apt-get install redis-server\n%v", err)
	}
	t.Cleanup(stop(c.redis.Stop))
	c.api, err = refapi.New(ctx, refapi.Config{PostgresURL: c.postgres.URL(), RedisURL: c.redis.URL(), JWTSecret: secret.New(checkKey)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.api.Close)
	c.target = serveHandler(t, c.api.Handler())
	c.plainRole = addRole(t, c.postgres)
	return &c
}

// serveHandler returns the URL of a server that ends with the test.
func serveHandler(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// addRole makes a role that may do nothing special and returns its URL.
func addRole(t *testing.T, postgres *localservices.Postgres) string {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), postgres.AdminURL().Value())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(t.Context()) //nolint:errcheck // only used for one statement
	if _, err := connection.Exec(t.Context(), "CREATE ROLE plain LOGIN PASSWORD 'plain'"); err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(postgres.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	at.User = url.UserPassword("plain", "plain")
	return at.String()
}

// settings are those that let every check pass; changes come on top.
func (c *checked) settings(changes map[string]string) map[string]string {
	all := map[string]string{
		"SOAKD_TARGET_URL": c.target, "SOAKD_JWT_SECRET": checkKey, "SOAKD_API_METRICS_URL": c.target + "/metrics",
		"SOAKD_POSTGRES_URL": c.postgres.MonitorURL().Value(), "SOAKD_REDIS_URL": c.redis.URL().Value(),
	}
	for name, value := range changes {
		all[name] = value
	}
	return all
}

// runCheck runs `soakd check` and returns its exit code, what it printed and its error.
func runCheck(t *testing.T, settings map[string]string, args ...string) (code int, stdout, message string) {
	t.Helper()
	for name, value := range settings {
		t.Setenv(name, value)
	}
	var out, log lockedbuffer.Buffer
	err := run(t.Context(), append([]string{"check"}, args...), &out, &log)
	if err != nil {
		message = err.Error()
	}
	return exitCode(err), out.String(), message
}

// triedCase is one line about a case that was sent.
var triedCase = regexp.MustCompile(`(?m)^case (\w+)(?: of virtual user 2)?: (\w+)`)

// triedOutcomes counts the outcomes of each case that was tried.
func triedOutcomes(stdout string) map[string]map[string]int {
	all := map[string]map[string]int{}
	for _, match := range triedCase.FindAllStringSubmatch(stdout, -1) {
		if all[match[1]] == nil {
			all[match[1]] = map[string]int{}
		}
		all[match[1]][match[2]]++
	}
	return all
}

func TestCheck(t *testing.T) {
	c := startChecked(t)
	workload, err := cashflow.New(cashflow.Config{Users: 2, CanMint: true})
	if err != nil {
		t.Fatal(err)
	}

	t.Run("reading", func(t *testing.T) {
		code, stdout, message := runCheck(t, c.settings(nil))
		if code != exitOK || message != "" || !strings.HasSuffix(stdout, "all reached\n") {
			t.Errorf("exit code %d, %s:\n%s", code, message, stdout)
		}
		tried := triedOutcomes(stdout)
		for _, one := range workload.Cases {
			switch found := tried[one.Name]; {
			case one.Name == "get_scenario" || one.Name == "invalid_foreign_scenario":
				if found["not"] != 1 {
					t.Errorf("%s cannot be tried while nothing is saved: %v", one.Name, found)
				}
			case one.ReadOnly != (found["ok"] == 1) || len(found) > 1:
				t.Errorf("%s, read-only %v: %v", one.Name, one.ReadOnly, found)
			}
		}
		if saved := savedScenarios(t, c.postgres); saved != 0 {
			t.Errorf("%d scenarios were saved by a check that changes nothing", saved)
		}
	})

	t.Run("writing", func(t *testing.T) {
		// As many users as there can be: two of them do.
		code, stdout, message := runCheck(t, c.settings(map[string]string{"SOAKD_USERS": "100000"}), "--write")
		if code != exitOK || message != "" {
			t.Errorf("exit code %d, %s", code, message)
		}
		tried := triedOutcomes(stdout)
		for _, one := range workload.Cases {
			want := 1
			if one.Name == "save_scenario" {
				want = 2
			}
			if found := tried[one.Name]; found["ok"] != want || len(found) != 1 {
				t.Errorf("%s: %v, want %d x ok", one.Name, found, want)
			}
		}
		if len(tried) != len(workload.Cases) || t.Failed() {
			t.Errorf("%d cases were tried, the workload has %d:\n%s", len(tried), len(workload.Cases), stdout)
		}
		for _, want := range []string{" 100000 virtual users ", "probe postgres: ok,", "probe redis: ok,", "probe api: ok,"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("standard output does not hold %q:\n%s", want, stdout)
			}
		}
	})

	for name, settings := range map[string]map[string]string{
		"no token":      {"SOAKD_JWT_SECRET": ""},
		"another key":   {"SOAKD_JWT_SECRET": "a key that the target does not know"},
		"a stale token": {"SOAKD_JWT_SECRET": "", "SOAKD_AUTH_TOKEN": "opaque"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, message := runCheck(t, c.settings(settings), "--write")
			if code != exitFailed || !strings.Contains(message, "of the checks failed") {
				t.Errorf("exit code %d, %s", code, message)
			}
			tried := triedOutcomes(stdout)
			if tried["health"]["ok"] != 1 || tried["forecast"]["unauthorized"] != 1 || tried["save_scenario"]["unauthorized"] != 2 || tried["get_scenario"]["not"] != 1 {
				t.Errorf("standard output:\n%s", stdout)
			}
		})
	}

	t.Run("a role without pg_monitor", func(t *testing.T) {
		code, stdout, message := runCheck(t, c.settings(map[string]string{"SOAKD_POSTGRES_URL": c.plainRole}))
		if code != exitFailed || message != "1 of the checks failed" {
			t.Errorf("exit code %d, %s", code, message)
		}
		if !regexp.MustCompile(`probe postgres: .*: [1-9]\d* values, but not all: .*GRANT pg_monitor`).MatchString(stdout) {
			t.Errorf("standard output:\n%s", stdout)
		}
	})

	t.Run("a dependency is away", func(t *testing.T) {
		code, stdout, message := runCheck(t, c.settings(map[string]string{"SOAKD_REDIS_URL": "redis://127.0.0.1:1/0"}))
		if code != exitNotRun || message != "1 of the checks could not reach what they check" || !strings.Contains(stdout, "probe postgres: ok") {
			t.Errorf("exit code %d, %s:\n%s", code, message, stdout)
		}
	})

	t.Run("the API's metrics are away", func(t *testing.T) {
		code, stdout, message := runCheck(t, c.settings(map[string]string{"SOAKD_API_METRICS_URL": "http://127.0.0.1:1/metrics"}))
		if code != exitNotRun || message != "1 of the checks could not reach what they check" || !strings.Contains(stdout, "probe api: http://127.0.0.1:1/metrics: read the target's metrics: dial ") {
			t.Errorf("exit code %d, %s:\n%s", code, message, stdout)
		}
	})

	t.Run("the target is away", func(t *testing.T) {
		for _, args := range [][]string{nil, {"--write"}} {
			code, stdout, message := runCheck(t, c.settings(map[string]string{"SOAKD_TARGET_URL": "http://127.0.0.1:1"}), args...)
			if code != exitNotRun || message != "2 of the checks could not reach what they check" {
				t.Errorf("exit code %d, %s", code, message)
			}
			if strings.Count(stdout, ": connect: dial ") != patience || !strings.Contains(stdout, "the other cases were not tried") || !strings.Contains(stdout, "probe postgres: ok") {
				t.Errorf("standard output:\n%s", stdout)
			}
		}
	})

	t.Run("one operation breaks its connections", func(t *testing.T) {
		broken := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/history") {
				panic(http.ErrAbortHandler)
			}
			c.api.Handler().ServeHTTP(w, r)
		}))
		code, stdout, message := runCheck(t, c.settings(map[string]string{"SOAKD_TARGET_URL": broken}))
		if code != exitFailed || message != "2 of the checks failed" || strings.Count(stdout, ": reset: ") != 2 {
			t.Errorf("exit code %d, %s:\n%s", code, message, stdout)
		}
	})

	t.Run("interrupted", func(t *testing.T) {
		for name, value := range c.settings(nil) {
			t.Setenv(name, value)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var out, log lockedbuffer.Buffer
		if err := run(ctx, []string{"check"}, &out, &log); exitCode(err) != exitNotRun || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("%v:\n%s", err, &out)
		}
	})
}

// savedScenarios counts the scenarios in the API's database.
func savedScenarios(t *testing.T, postgres *localservices.Postgres) (n int) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), postgres.URL().Value())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(t.Context()) //nolint:errcheck // only used for one query
	if err := connection.QueryRow(t.Context(), "SELECT count(*) FROM cashflow_scenarios").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// The health check of a container needs nothing but where soakd listens.
func TestCheckSelf(t *testing.T) {
	status := http.StatusOK
	listen := strings.TrimPrefix(serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/-/healthy" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
	})), "http://")
	absent := filepath.Join(t.TempDir(), "absent")
	settings := map[string]string{
		"SOAKD_LISTEN": listen, "SOAKD_JWT_SECRET_FILE": absent, "SOAKD_POSTGRES_URL_FILE": absent, "SOAKD_AUTH_TOKEN_FILE": absent,
	}
	if code, stdout, message := runCheck(t, settings, "--self"); code != exitOK || stdout != "healthy\n" {
		t.Errorf("exit code %d, %s, %q", code, message, stdout)
	}
	if code, _, _ := runCheck(t, settings); code != exitUsage {
		t.Errorf("the whole check takes the same settings: exit code %d", code)
	}
	status = http.StatusUnauthorized
	if code, _, message := runCheck(t, settings, "--self"); code != exitOK {
		t.Errorf("behind authentication: exit code %d, %s", code, message)
	}
	status = http.StatusServiceUnavailable
	if code, _, message := runCheck(t, settings, "--self"); code != exitFailed || !strings.Contains(message, "503") {
		t.Errorf("not healthy: exit code %d, %s", code, message)
	}
	settings["SOAKD_LISTEN"] = unusedAddress(t)
	if code, _, message := runCheck(t, settings, "--self"); code != exitNotRun || !strings.Contains(message, "no soakd answers") {
		t.Errorf("not there: exit code %d, %s", code, message)
	}
	for name, value := range map[string]string{"SOAKD_LISTEN": "9470", "SOAKD_WEB_CONFIG_FILE": absent} {
		t.Run(name, func(t *testing.T) {
			code, _, message := runCheck(t, map[string]string{name: value}, "--self")
			if code != exitUsage || !strings.Contains(message, name+": ") {
				t.Errorf("exit code %d, %s", code, message)
			}
		})
	}
}

// unusedAddress returns an address that nothing listens at.
func unusedAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}
