package refapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"soakd/internal/secret"
)

// DefaultListen is where [Main] listens when REFAPI_LISTEN is not set.
const DefaultListen = "127.0.0.1:8000"

// Main runs the API until ctx ends; it is all of a program but the signals and
// the exit code. getenv is os.Getenv or its like; logs go to stderr as JSON.
//
// REFAPI_POSTGRES_URL and REFAPI_JWT_SECRET are needed. Both, and
// REFAPI_REDIS_URL, may come from a file named by the variable with _FILE
// added. The others are REFAPI_LISTEN (host:port, or fd:N for a listening socket
// that the parent left open as file descriptor N), REFAPI_AUDIENCE,
// REFAPI_CACHE_TTL, REFAPI_CALCULATION_THREADS, REFAPI_CALCULATION_QUEUE,
// REFAPI_POOL_MAX_CONNS, REFAPI_APPLICATION_NAME, REFAPI_VERSION,
// REFAPI_LOG_LEVEL (info), REFAPI_ADMIN_TOKEN (with which faults are switched
// under /admin; also from a file), REFAPI_FAULTS (faults to start with: a JSON
// object of names, each with an object of parameters), and, shorter, for two of
// them REFAPI_FAULT_LATENCY (added to forecasts) and REFAPI_FAULT_ERROR_RATIO
// (of forecasts).
//
// The fault "restart" ends Main by replacing the process.
func Main(ctx context.Context, getenv func(string) string, stderr io.Writer) error {
	env := environment{get: getenv}
	cfg := env.config()
	level := env.level("REFAPI_LOG_LEVEL")
	if err := errors.Join(env.wrong...); err != nil {
		return fmt.Errorf("read the environment: %w", err)
	}
	cfg.Logger = slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))
	restarts := make(chan bool, 1)
	cfg.restart = func(graceful bool) { restarts <- graceful }
	cfg.restarted = startedAnew(getenv)
	api, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	defer api.Close()
	listener, err := listen(ctx, orDefault(getenv("REFAPI_LISTEN"), DefaultListen))
	if err != nil {
		return err
	}
	cfg.Logger.Info("serving", "address", listener.Addr().String(), "version", api.Version())
	child := strings.HasPrefix(getenv("REFAPI_LISTEN"), inheritedSocket) && getenv(restartedEnv) != alone
	return serveAndRestart(ctx, api, listener, child, restarts)
}

// serveAndRestart serves until ctx ends, or until the process is to start anew.
func serveAndRestart(ctx context.Context, api *API, listener net.Listener, child bool, restarts <-chan bool) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	var next *successor
	var failed error
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-serving.Done():
			return
		case graceful := <-restarts:
			if next, failed = newSuccessor(listener, api, child); failed == nil && !graceful {
				failed = next.takeOver()
			}
			stop()
		}
	})
	err := api.Serve(serving, listener)
	stop()
	watch.Wait()
	if err = errors.Join(err, failed); err != nil || next == nil || ctx.Err() != nil {
		return err
	}
	api.Close()
	return next.takeOver()
}

// inheritedSocket begins an address that is a descriptor.
const inheritedSocket = "fd:"

// listen opens an address, or takes over the socket that fd:N names.
func listen(ctx context.Context, address string) (net.Listener, error) {
	number, inherited := strings.CutPrefix(address, inheritedSocket)
	if !inherited {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		return listener, nil
	}
	descriptor, err := strconv.ParseUint(number, 10, 16)
	if err != nil || descriptor < 3 { // 0 to 2 are the standard streams
		return nil, fmt.Errorf("listen on %s: want fd:N with N from 3 to 65535", address)
	}
	file := os.NewFile(uintptr(descriptor), address)
	listener, err := net.FileListener(file)
	// The listener has a duplicate of its own.
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener, nil
}

// environment reads variables and collects all that is wrong with them.
type environment struct {
	get   func(string) string
	wrong []error
}

func (e *environment) config() Config {
	return Config{
		PostgresURL:        e.secret("REFAPI_POSTGRES_URL", true),
		RedisURL:           e.secret("REFAPI_REDIS_URL", false),
		JWTSecret:          e.secret("REFAPI_JWT_SECRET", true),
		Audience:           e.get("REFAPI_AUDIENCE"),
		CacheTTL:           e.duration("REFAPI_CACHE_TTL"),
		CalculationThreads: e.count("REFAPI_CALCULATION_THREADS"),
		CalculationQueue:   e.count("REFAPI_CALCULATION_QUEUE"),
		PoolMaxConns:       int32(e.count("REFAPI_POOL_MAX_CONNS")), //nolint:gosec // count is at most 10 000
		ApplicationName:    e.get("REFAPI_APPLICATION_NAME"),
		Version:            e.get("REFAPI_VERSION"),
		AdminToken:         e.secret("REFAPI_ADMIN_TOKEN", false),
		Faults:             e.faults(),
	}
}

// faults reads the faults to start with; what they say is checked when they are
// switched on.
func (e *environment) faults() map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	if text := e.get("REFAPI_FAULTS"); text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			e.fail("REFAPI_FAULTS", `a JSON object such as {"slow_all": {"factor": 3}}`)
		}
	}
	add := func(variable, fault, parameters string) {
		if _, twice := all[fault]; twice {
			e.fail(variable, "it not to be set when REFAPI_FAULTS has "+fault)
		}
		all[fault] = json.RawMessage(parameters)
	}
	if latency := e.duration("REFAPI_FAULT_LATENCY"); latency > 0 {
		add("REFAPI_FAULT_LATENCY", "slow_endpoint", fmt.Sprintf(`{"route": "forecast", "factor": 1, "add": "%v"}`, latency))
	}
	if ratio := e.ratio("REFAPI_FAULT_ERROR_RATIO"); ratio > 0 {
		add("REFAPI_FAULT_ERROR_RATIO", "errors", fmt.Sprintf(`{"route": "forecast", "ratio": %g}`, ratio))
	}
	return all
}

func (e *environment) fail(name, want string) {
	e.wrong = append(e.wrong, fmt.Errorf("%s: want %s", name, want))
}

func (e *environment) secret(name string, needed bool) secret.String {
	value, err := secret.Resolve(secret.New(e.get(name)), e.get(name+"_FILE"))
	switch {
	case err != nil:
		e.wrong = append(e.wrong, fmt.Errorf("%s: %w", name, err))
	case needed && !value.IsSet():
		e.fail(name, "it, or "+name+"_FILE, to be set")
	}
	return value
}

func (e *environment) duration(name string) time.Duration {
	text := e.get(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		e.fail(name, "a duration above 0, such as 60s")
	}
	return d
}

// count reads a number from 1 to 10 000; 0 means not set.
func (e *environment) count(name string) int {
	const most = 10_000
	text := e.get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		e.fail(name, "a whole number from 1 to "+strconv.Itoa(most))
		return 0
	}
	return n
}

func (e *environment) ratio(name string) float64 {
	text := e.get(name)
	if text == "" {
		return 0
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= 0 && x <= 1) {
		e.fail(name, "a number from 0 to 1")
	}
	return x
}

func (e *environment) level(name string) slog.Level {
	var level slog.Level
	if text := e.get(name); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			e.fail(name, "debug, info, warn or error")
		}
	}
	return level
}
