package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/postgres"
	"soakd/internal/probes/redis"
)

// side is one server with its two readers.
type side struct {
	title string
	probe probes.Probe
	// exporter is where its metrics are.
	exporter string
	table    table
}

// stand is everything that runs for the comparison, apart from the work.
type stand struct {
	database       *localservices.Postgres
	cache, replica *localservices.Redis
	sides          []side
	// stops ends what was started, the last first.
	stops []func() error
}

func (s *stand) stop() error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	s.stops = nil
	return errors.Join(errs...)
}

// startStand starts the servers with a replica each, and the exporters. What it
// returns must be stopped also when there is an error.
func startStand(ctx context.Context) (*stand, error) {
	s := &stand{}
	for _, step := range []func(context.Context) error{s.startServers, s.addPostgres, s.addRedis} {
		if err := step(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *stand) startServers(ctx context.Context) error {
	var err error
	s.database, err = localservices.StartPostgres(ctx, localservices.Options{
		Mode: localservices.System, Settings: map[string]string{"deadlock_timeout": "50ms"},
	})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, s.database.Stop)
	s.cache, err = localservices.StartRedis(ctx, localservices.Options{Mode: localservices.System, MaxMemory: "8mb", Settings: map[string]string{"appendonly": "yes"}})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, s.cache.Stop)
	address, err := url.Parse(s.cache.URL().Value())
	if err != nil {
		return err
	}
	password, _ := address.User.Password()
	s.replica, err = localservices.StartRedis(ctx, localservices.Options{
		Mode: localservices.System, Settings: map[string]string{"replicaof": address.Hostname() + " " + address.Port(), "masterauth": password},
	})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, s.replica.Stop)
	if err := s.addDatabase(ctx); err != nil {
		return err
	}
	return s.replicate(ctx)
}

// addDatabase makes a second database, which soakd is told to watch too.
func (s *stand) addDatabase(ctx context.Context) (err error) {
	conn, err := pgx.Connect(ctx, s.database.AdminURL().Value())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return execAll(ctx, conn, "CREATE DATABASE shop OWNER app")
}

// replicate runs a real replica of the database, as the user and with the programs
// of its primary.
func (s *stand) replicate(ctx context.Context) error {
	_, bin, ok := strings.Cut(s.database.Kind(), " from ")
	if !ok {
		return fmt.Errorf("no folder of programs in %q", s.database.Kind())
	}
	dir, err := os.MkdirTemp("", "soakd-compare-")
	if err != nil {
		return err
	}
	s.stops = append(s.stops, func() error { return os.RemoveAll(dir) })
	info, err := os.Stat(fmt.Sprintf("/proc/%d", s.database.PID()))
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	command := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, program), args...) //nolint:noctx // ended by stop
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
		if int(owner.Uid) != os.Getuid() {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
		}
		return cmd
	}
	data := filepath.Join(dir, "data")
	copying := command("pg_basebackup", "-D", data, "-R", "-X", "stream", "-c", "fast", "-d", s.database.AdminURL().Value())
	if output, err := copying.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the database for its replica: %w\n%s", err, output)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	return s.start(ctx, "a replica of the database", command("postgres", "-D", data, "-c", "port="+port), syscall.SIGINT)
}

// freeAddress is a loopback address whose port is free for the moment it takes to
// use it.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// start runs a program until the stand is stopped, by a signal.
func (s *stand) start(ctx context.Context, name string, command *exec.Cmd, end syscall.Signal) error {
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s (make compare-exporters installs it): %w", name, err)
	}
	done := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer close(done)
		_ = command.Wait()
	})
	s.stops = append(s.stops, func() error {
		select {
		case <-done:
			return fmt.Errorf("%s ended by itself: %s\n%s", name, command.ProcessState, &output)
		default:
		}
		_ = command.Process.Signal(end)
		kill := time.AfterFunc(5*time.Second, func() { _ = command.Process.Kill() })
		defer kill.Stop()
		waiting.Wait()
		return nil
	})
	return ctx.Err()
}

func (s *stand) addPostgres(ctx context.Context) error {
	config := postgres.Kind().Config.(*postgres.Config)
	config.URL = s.database.MonitorURL()
	config.Applications = []string{"api", "worker"}
	config.Databases = []string{"shop"}
	exporter, err := s.startExporter(ctx, "prometheus-postgres-exporter", []string{"--web.listen-address="}, "DATA_SOURCE_NAME="+s.database.MonitorURL().Value())
	if err != nil {
		return err
	}
	return s.add("PostgreSQL: "+s.database.Kind(), postgres.Kind(), config, exporter, postgresTable())
}

func (s *stand) addRedis(ctx context.Context) error {
	config := redis.Kind().Config.(*redis.Config)
	config.URL = s.cache.URL()
	address, err := url.Parse(s.cache.URL().Value())
	if err != nil {
		return err
	}
	password, _ := address.User.Password()
	exporter, err := s.startExporter(ctx, "prometheus-redis-exporter", []string{"-web.listen-address="}, "REDIS_ADDR=redis://"+address.Host, "REDIS_PASSWORD="+password)
	if err != nil {
		return err
	}
	return s.add("Redis: "+s.cache.Kind(), redis.Kind(), config, exporter, redisTable())
}

// add opens soakd's probe of a server.
func (s *stand) add(title string, kind probes.Kind, config probes.Config, exporter string, t table) error {
	if err := config.Validate(); err != nil {
		return err
	}
	opened, err := config.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for _, probe := range opened {
		s.stops = append(s.stops, func() error { probe.Close(); return nil })
	}
	if len(opened) != 1 {
		return fmt.Errorf("%s: %d probes, want one", kind.Name, len(opened))
	}
	s.sides = append(s.sides, side{title: title, probe: opened[0], exporter: exporter, table: t})
	return nil
}

// startExporter runs an exporter on a free port, waits for its metrics and
// returns their address. The last of args gets the port's address appended.
func (s *stand) startExporter(ctx context.Context, program string, args []string, env ...string) (string, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return "", err
	}
	args[len(args)-1] += address
	command := exec.Command(program, args...) //nolint:noctx // ended by stop
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}, env...)
	if err := s.start(ctx, program, command, syscall.SIGTERM); err != nil {
		return "", err
	}
	metrics := "http://" + address + "/metrics"
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		if _, err = scrape(ctx, metrics); err == nil {
			return metrics, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for %s to answer: %w", program, err)
		case <-pause.C:
		}
	}
}

// scrape reads the metrics of an exporter.
func scrape(ctx context.Context, address string) (text []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, response.Status)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}
