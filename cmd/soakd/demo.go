package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"soakd/internal/load"
	"soakd/internal/localservices"
	"soakd/internal/secret"
)

// demoOptions are what the demo has beyond the common settings.
type demoOptions struct{ postgres, redis string }

// broughtByDemo are the settings that the demo makes itself, and those that tell
// how other servers than its own are reached.
var broughtByDemo = []string{ //nolint:gochecknoglobals // never changed
	"SOAKD_TARGET_URL", "SOAKD_POSTGRES_URL", "SOAKD_POSTGRES_URL_FILE", "SOAKD_REDIS_URL", "SOAKD_REDIS_URL_FILE",
	"SOAKD_POSTGRES_CANARY_URL", "SOAKD_POSTGRES_CANARY_URL_FILE", "SOAKD_REDIS_CANARY_URL", "SOAKD_REDIS_CANARY_URL_FILE",
	"SOAKD_API_METRICS_URL", "SOAKD_AUTH_TOKEN", "SOAKD_AUTH_TOKEN_FILE", "SOAKD_JWT_SECRET", "SOAKD_JWT_SECRET_FILE", "SOAKD_API_VERSION",
	"SOAKD_TARGET_SOCKET", "SOAKD_PROXY_URL", "SOAKD_PROXY_URL_FILE", "SOAKD_TLS_CA_FILE", "SOAKD_TLS_CERT_FILE", "SOAKD_TLS_KEY_FILE",
	"SOAKD_TLS_SERVER_NAME", "SOAKD_TLS_INSECURE_SKIP_VERIFY",
	"SOAKD_POSTGRES_SERVERS", "SOAKD_POSTGRES_SERVERS_FILE",
	"SOAKD_REDIS_MODE", "SOAKD_REDIS_SENTINEL_USERNAME", "SOAKD_REDIS_SENTINEL_PASSWORD", "SOAKD_REDIS_SENTINEL_PASSWORD_FILE", "SOAKD_REDIS_ADDRESS_MAP",
	"SOAKD_REDIS_TLS_CA_FILE", "SOAKD_REDIS_TLS_CERT_FILE", "SOAKD_REDIS_TLS_KEY_FILE", "SOAKD_REDIS_TLS_SERVER_NAME",
	"SOAKD_REDIS_CANARY_MODE", "SOAKD_REDIS_CANARY_SENTINEL_USERNAME", "SOAKD_REDIS_CANARY_SENTINEL_PASSWORD", "SOAKD_REDIS_CANARY_SENTINEL_PASSWORD_FILE",
	"SOAKD_REDIS_CANARY_ADDRESS_MAP", "SOAKD_REDIS_CANARY_TLS_CA_FILE", "SOAKD_REDIS_CANARY_TLS_CERT_FILE", "SOAKD_REDIS_CANARY_TLS_KEY_FILE",
	"SOAKD_REDIS_CANARY_TLS_SERVER_NAME",
	"SOAKD_API_METRICS_DNS", "SOAKD_API_METRICS_CA_FILE", "SOAKD_API_METRICS_TOKEN", "SOAKD_API_METRICS_TOKEN_FILE",
}

// demoCommand is `soakd demo`: everything that `soakd run` needs, private and on
// this machine, and then the same run.
func demoCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var options demoOptions
	cfg, err := readConfig(command{
		name: "demo",
		flags: func(flags *flag.FlagSet) {
			const usage = ": auto (installed binaries, else embedded), system or embedded"
			flags.StringVar(&options.postgres, "postgres", "auto", "where Postgres comes from"+usage)
			flags.StringVar(&options.redis, "redis", "auto", "where Redis comes from"+usage)
		},
		adjust: func(cfg *config) error { return adjustDemo(cfg, options) },
	}, args, stdout)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer followGoRun(stop)()

	shown, log := cfg.shown(stdout, stderr)
	services, err := startServices(ctx, options, log)
	if err != nil {
		return err
	}
	return errors.Join(runDemo(ctx, cfg, services, shown, log), services.stop())
}

// adjustDemo refuses what the demo brings itself and keeps to the loopback.
func adjustDemo(cfg *config, options demoOptions) error {
	cfg.ownTarget = true
	var errs []error
	for _, s := range cfg.settings() {
		for _, name := range broughtByDemo {
			if s.Name == name && s.isSet() {
				errs = append(errs, fmt.Errorf("%s: the demo brings this itself; unset it, or use `soakd run`", name))
			}
		}
	}
	if !load.Allowed(cfg.AllowedHosts, &url.URL{Scheme: "http", Host: "127.0.0.1"}) {
		errs = append(errs, errors.New("SOAKD_ALLOWED_HOSTS: leaves out 127.0.0.1, where the demo runs; add it, or unset this"))
	}
	for name, mode := range map[string]string{"--postgres": options.postgres, "--redis": options.redis} {
		switch localservices.Mode(mode) {
		case localservices.Auto, localservices.System, localservices.Embedded:
		default:
			errs = append(errs, fmt.Errorf("%s: %q must be auto, system or embedded", name, mode))
		}
	}
	if strings.HasPrefix(cfg.Listen, ":") {
		cfg.Listen = "127.0.0.1" + cfg.Listen
	}
	return errors.Join(errs...)
}

// runDemo points the configuration at the services and runs soakd.
func runDemo(ctx context.Context, cfg *config, services *services, shown progress, log *slog.Logger) error {
	err := configureDemo(cfg, map[string]string{
		"SOAKD_TARGET_URL":      services.url(),
		"SOAKD_API_METRICS_URL": services.url() + "/metrics",
		"SOAKD_POSTGRES_URL":    services.postgres.MonitorURL().Value(),
		"SOAKD_REDIS_URL":       services.redis.URL().Value(),
		// The servers are the demo's own: canaries may write there.
		"SOAKD_POSTGRES_CANARY_URL": services.postgres.URL().Value(),
		"SOAKD_REDIS_CANARY_URL":    services.redis.URL().Value(),
		"SOAKD_JWT_SECRET":          services.jwtSecret.Value(),
	})
	if err != nil {
		return err
	}
	if err := cfg.validate(); err != nil {
		return usageError{err}
	}
	cfg.Listen = freeAddress(ctx, cfg.Listen, log)
	d, err := newDaemon(ctx, cfg, shown, log)
	if err != nil {
		return err
	}
	d.note = services.howToFault()
	return d.run(ctx)
}

// configureDemo sets what the demo brings, and chooses what to watch of it where
// the user has not.
func configureDemo(cfg *config, brought map[string]string) error {
	for name, value := range brought {
		if err := cfg.override(name, value); err != nil {
			return err
		}
	}
	chosen := map[string]string{
		"SOAKD_HISTORY_URL":           "none", // the demo leaves nothing behind
		"SOAKD_POSTGRES_APPLICATIONS": applicationName,
		"SOAKD_POSTGRES_TABLES":       "cashflow_scenarios,cashflow_history",
		"SOAKD_POSTGRES_STATEMENTS": "save_scenario=INSERT INTO public.cashflow_scenarios; add_history=INSERT INTO public.cashflow_history; " +
			"read_scenarios=FROM public.cashflow_scenarios; read_history=FROM public.cashflow_history",
	}
	for _, s := range cfg.settings() {
		if value, ok := chosen[s.Name]; ok && !s.isSet() {
			if err := s.set(value); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
		}
	}
	return nil
}

// freeAddress returns the address, or one with a free port when something else
// (another demo, say) already listens there.
func freeAddress(ctx context.Context, address string, log *slog.Logger) string {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err == nil {
		_ = listener.Close() // only tried
		return address
	}
	host, _, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return address // NewServer says what is wrong
	}
	log.Info("the address is taken; a free port is used instead", "address", address)
	return net.JoinHostPort(host, "0")
}

// services is what the demo starts: two servers and the reference API, each a
// process of its own (but for an embedded Redis).
type services struct {
	log       *slog.Logger
	postgres  *localservices.Postgres
	redis     *localservices.Redis
	jwtSecret secret.String
	// adminToken is what switches the API's faults.
	adminToken secret.String
	api        *localservices.Program
	cancel     context.CancelFunc
	tasks      sync.WaitGroup
}

// errStopped is the reason when a signal came before the demo ran.
var errStopped = errors.New("stopped before everything had started")

// demoRedisMemory is less than the results that the reference API caches within
// their time to live at the demo's rate, so that evictions can be seen.
const demoRedisMemory = "6mb"

// startServices starts everything or nothing. ctx bounds the start alone. faults
// are REFAPI_FAULT_... variables for the API.
func startServices(ctx context.Context, options demoOptions, log *slog.Logger, faults ...string) (_ *services, err error) {
	s := &services{log: log, jwtSecret: secret.New(rand.Text()), adminToken: secret.New(rand.Text())}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	defer func() {
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			err = interrupted(err)
		}
		err = errors.Join(err, s.stop())
	}()
	local := func(mode string) localservices.Options {
		return localservices.Options{Mode: localservices.Mode(mode), Logger: log, MaxMemory: demoRedisMemory}
	}
	if s.postgres, err = localservices.StartPostgres(ctx, local(options.postgres)); err != nil {
		return nil, fmt.Errorf("start a private Postgres: %w", err)
	}
	s.watch(background, "Postgres", s.postgres)
	if s.redis, err = localservices.StartRedis(ctx, local(options.redis)); err != nil {
		return nil, fmt.Errorf("start a private Redis: %w", err)
	}
	s.watch(background, "Redis", s.redis)
	if err := s.startAPI(ctx, faults); err != nil {
		return nil, err
	}
	s.watch(background, "reference API", s.api)
	return s, nil
}

// interrupted is what remains of the error of a start that was told to stop:
// how far it had come says nothing, files that it left do.
func interrupted(err error) error {
	var left *localservices.NotRemovedError
	if errors.As(err, &left) {
		return errors.Join(errStopped, left)
	}
	return errStopped
}

// server is what is common to the private servers.
type server interface {
	Kind() string
	NotMeasured() []string
	Done() <-chan struct{}
	Err() error
}

// watch says which server it is, what cannot be measured on it, and when it ends
// by itself. soakd then goes on: that a dependency dies is what it is there to see.
func (s *services) watch(ctx context.Context, name string, server server) {
	s.log.Info("started a private "+name, "server", server.Kind())
	if missing := server.NotMeasured(); len(missing) > 0 {
		s.log.Warn("not measured on this "+name, "what", strings.Join(missing, "; "))
	}
	s.tasks.Go(func() {
		select {
		case <-ctx.Done():
		case <-server.Done():
			if err := server.Err(); err != nil {
				s.log.Error("the private "+name+" has ended by itself", "err", err)
			}
		}
	})
}

// url is where the reference API answers.
func (s *services) url() string { return s.api.URL() }

// stop ends everything that was started, the API first, and waits for it.
func (s *services) stop() error {
	s.cancel()
	s.tasks.Wait()
	var errs []error
	if s.api != nil {
		errs = append(errs, s.api.Stop())
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Stop())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	return errors.Join(errs...)
}

// followGoRun ends the demo when it was started by `go run` and that process is
// killed: `go run` passes no SIGTERM on, and the servers would stay. It returns
// a function that ends the watch.
func followGoRun(stop context.CancelFunc) (end func()) {
	parent := os.Getppid()
	name, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/comm")
	if err != nil || strings.TrimSpace(string(name)) != "go" {
		return func() {}
	}
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if os.Getppid() != parent {
					stop()
					return
				}
			}
		}
	})
	return func() {
		close(done)
		watch.Wait()
	}
}
