package localservices

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"

	"soakd/internal/secret"
)

// Redis is a private Redis (or Valkey) server: a small maxmemory with the
// policy allkeys-lru, so that evictions can be seen; nothing is written to disk.
type Redis struct{ *service }

// StartRedis starts a private Redis and returns when it answers. ctx bounds
// the start only; call Stop to end the server. When the start fails or ctx
// ends first, nothing is left running or on disk. As root the server runs as
// the user redis, else nobody.
func StartRedis(ctx context.Context, opts Options) (*Redis, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	server, err := chooseRedis(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	opts.Logger.Debug("started a private Redis", "server", server.kind, "pid", server.PID())
	return server, nil
}

// StartSentinel starts a private Redis Sentinel that watches no master yet: SENTINEL
// MONITOR tells it of one. It keeps what it learns in its folder, and is otherwise
// like a server of [StartRedis] with the mode [System].
func StartSentinel(ctx context.Context, opts Options) (*Redis, error) {
	opts.Mode, opts.sentinel = System, true
	return StartRedis(ctx, opts)
}

// errNoRedis says what to do where there is no Redis.
var errNoRedis = errors.New("no Redis server on this machine (looked on PATH and in the usual folders): " +
	"install it, e.g. `apt-get install redis-server` (Debian, Ubuntu), `dnf install redis` or `dnf install valkey` " +
	"(Fedora, RHEL), `brew install redis` (macOS)")

func chooseRedis(ctx context.Context, opts Options) (*Redis, error) {
	if opts.Mode == Embedded {
		return embeddedRedis(opts)
	}
	dirs := searchPath(opts.searchPath, "/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin",
		"/opt/homebrew/bin", "/opt/homebrew/opt/redis*/bin", "/opt/local/bin")
	path, ok := findProgram(dirs, "redis-server", "valkey-server")
	switch {
	case ok:
		return systemRedis(ctx, path, opts)
	case opts.Mode == System:
		return nil, errNoRedis
	default:
		opts.Logger.Info("no Redis on this machine, using an embedded one", "reason", errNoRedis)
		return embeddedRedis(opts)
	}
}

// systemRedis starts the server at path.
func systemRedis(ctx context.Context, path string, opts Options) (*Redis, error) {
	version, err := programVersion(ctx, path, "--version")
	if err != nil {
		return nil, err
	}
	runAs, err := unprivileged("redis", "valkey", "nobody")
	if err != nil {
		return nil, err
	}
	dir, err := newWorkDir(opts.Dir, "redis", runAs, opts.Logger)
	if err != nil {
		return nil, err
	}
	password := cmp.Or(opts.Settings["requirepass"], newPassword())
	steps := []step{{syscall.SIGTERM, 5 * time.Second}}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	proc, port, err := launch{
		command: redisCommand(path, dir, runAs, password, opts),
		ready:   func(ctx context.Context, port int) error { return pingRedis(ctx, port, password) },
		steps:   steps,
	}.start(ctx, opts.port)
	if err != nil {
		return nil, errors.Join(err, dir.remove())
	}
	name := "Redis"
	if filepath.Base(path) == "valkey-server" {
		name = "Valkey"
	}
	return &Redis{&service{
		kind: name + " " + version + " from " + path, url: redisURL(password, port),
		logger: opts.Logger, dir: dir, proc: proc, steps: steps, done: proc.done,
	}}, nil
}

// redisCommand returns the command that runs Redis in dir on a port. The
// password is in a file, because the arguments of a process can be seen by all.
func redisCommand(path string, dir *workDir, runAs *account, password string, opts Options) func(int) (command, error) {
	return func(port int) (command, error) {
		data := dir.join(dataFolder)
		if err := dir.ensure(dataFolder, runAs); err != nil {
			return command{}, fmt.Errorf("make the data folder: %w", err)
		}
		// A sentinel writes its file anew, in the same folder.
		config, err := dir.writeFile(filepath.Join(dataFolder, "redis.conf"), redisConf(port, data, password, opts), runAs)
		if err != nil {
			return command{}, fmt.Errorf("write redis.conf: %w", err)
		}
		args := []string{config}
		if opts.sentinel {
			args = append(args, "--sentinel")
		}
		return command{path: path, args: args, dir: data, account: runAs, orphaned: syscall.SIGKILL}, nil
	}
}

// redisConf writes redis.conf. The values are not quoted: some settings have
// several words.
func redisConf(port int, data, password string, opts Options) string {
	settings := map[string]string{
		"bind":             "127.0.0.1",
		"protected-mode":   "yes",
		"daemonize":        "no",
		"maxmemory":        opts.MaxMemory,
		"maxmemory-policy": "allkeys-lru",
		"save":             `""`,
		"appendonly":       "no",
		"requirepass":      password,
		"dir":              strconv.Quote(data),
		"databases":        "16",
		// A demo lasts minutes: have the slow log and LATENCY LATEST say something.
		"latency-monitor-threshold": "10",
		"slowlog-log-slower-than":   "5000",
	}
	if opts.sentinel {
		settings = map[string]string{
			"bind": "127.0.0.1", "protected-mode": "yes", "daemonize": "no", "requirepass": password, "dir": strconv.Quote(data),
		}
	}
	maps.Copy(settings, opts.Settings)
	settings["port"] = strconv.Itoa(port)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s %s\n", name, settings[name])
	}
	return text.String()
}

// pingRedis logs in and sends a PING. Only the server that was started knows
// the password, so a stranger on the port is not taken for it.
func pingRedis(ctx context.Context, port int, password string) (err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // long ago: ends the wait
	defer stop()
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", password); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for _, want := range []string{"+OK", "+PONG"} {
		line, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		if got := strings.TrimSpace(line); got != want {
			return fmt.Errorf("redis answered %q, want %q", got, want)
		}
	}
	return nil
}

func redisURL(password string, port int) secret.String {
	address := url.URL{
		Scheme: "redis", User: url.UserPassword("default", password),
		Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/0",
	}
	return secret.New(address.String())
}

// embeddedRedis starts a server in this process. Expiry follows the clock, as
// a cache needs; there is no memory limit.
func embeddedRedis(opts Options) (*Redis, error) {
	server := miniredis.NewMiniRedis()
	password := newPassword()
	server.RequireAuth(password)
	server.ClockTTL(true)
	port, err := opts.port()
	if err != nil {
		return nil, err
	}
	if err := server.StartAddr(net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err != nil {
		return nil, fmt.Errorf("start the embedded server: %w", err)
	}
	return &Redis{&service{
		kind: "embedded miniredis (in this process)", url: redisURL(password, port),
		notMeasured: []string{
			"memory, its limit and fragmentation (INFO has no memory section, maxmemory is not known)",
			"evictions and expired keys (there is no memory limit; neither is counted)",
			"the hit ratio (keyspace hits and misses are not counted)",
			"blocked and rejected clients, errors by kind and commands by name (INFO has the sections clients and stats only)",
			"keys by database, replication, version, uptime and restarts (INFO has no such sections)",
			"the slow log, LATENCY LATEST and CONFIG (unknown commands)",
			"the latency of a real server (it shares this process, its CPU and its memory)",
		},
		logger: opts.Logger, closeInProcess: server.Close, done: make(chan struct{}),
	}}, nil
}
