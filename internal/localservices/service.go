package localservices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"soakd/internal/secret"
)

// service is what the servers have in common.
type service struct {
	kind        string
	notMeasured []string
	url         secret.String
	logger      *slog.Logger

	dir   *workDir // nil where there are no files to remove
	proc  *process // nil for an in-process server
	steps []step   // how to ask proc to end

	closeInProcess func() // ends an in-process server
	done           chan struct{}

	stopOnce sync.Once
	stopErr  error
}

// URL returns the address with user and password, ready for a client.
func (s *service) URL() secret.String { return s.url }

// Kind says which server it is and where it came from, for people.
func (s *service) Kind() string { return s.kind }

// NotMeasured lists, for people, what cannot be measured on this server or
// would mean little. It is empty for a full one.
func (s *service) NotMeasured() []string { return s.notMeasured }

// PID returns the process id of the server, or 0 when it runs inside this process.
func (s *service) PID() int {
	if s.proc == nil {
		return 0
	}
	return s.proc.cmd.Process.Pid
}

// Done is closed once the server has ended, by itself or by Stop; Err tells
// which. Stop must be called in both cases.
func (s *service) Done() <-chan struct{} { return s.done }

// Err returns why the server ended by itself, with the end of its output. It
// is nil while the server runs and when it ended because of Stop.
func (s *service) Err() error {
	if s.proc == nil || !s.proc.ended() || s.proc.asked.Load() {
		return nil
	}
	return s.proc.failure()
}

// Stop ends the server, in an orderly way if it lets itself be ended within
// some seconds, waits for it and removes its files. It may be called more than
// once and returns the same result each time: an error when files could not be
// removed.
func (s *service) Stop() error {
	s.stopOnce.Do(func() {
		crashed := s.Err()
		s.stopErr = s.stop()
		switch {
		case crashed != nil && s.dir != nil:
			s.logger.Warn("removed what a local server left that had ended by itself", "server", s.kind)
		case crashed == nil && s.stopErr == nil:
			s.logger.Debug("stopped a local server", "server", s.kind)
		}
	})
	return s.stopErr
}

func (s *service) stop() error {
	if s.proc == nil {
		s.closeInProcess()
		close(s.done)
		return nil
	}
	if !s.proc.ended() {
		s.proc.stop(s.steps)
	}
	if s.dir == nil {
		return nil
	}
	removeSharedMemory(s.dir.path)
	if err := s.dir.remove(); err != nil {
		return fmt.Errorf("stop %s: %w", s.kind, err)
	}
	return nil
}

// portTries is how many free ports are tried. Another process can take a port
// between its choice and the server's own bind.
const portTries = 5

// freePort returns a loopback port that was free a moment ago.
func freePort() (int, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // does not block
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}

// launch describes how to start one server process.
type launch struct {
	command func(port int) (command, error)
	// ready makes one attempt to reach the server; nil means it is up.
	ready func(ctx context.Context, port int) error
	steps []step
}

// start runs the server on a free port and waits until it answers. On failure
// nothing is left running.
func (l launch) start(ctx context.Context, choose func() (int, error)) (*process, int, error) {
	for try := 1; ; try++ {
		port, err := choose()
		if err != nil {
			return nil, 0, err
		}
		c, err := l.command(port)
		if err != nil {
			return nil, 0, err
		}
		proc, err := startProcess(c)
		if err != nil {
			return nil, 0, err
		}
		if err = l.await(ctx, proc, port); err == nil {
			return proc, port, nil
		}
		lostPort := proc.ended() && portTaken(proc.output)
		if !proc.ended() {
			proc.stop(l.steps)
		}
		if !lostPort || try == portTries {
			return nil, 0, err
		}
	}
}

// portTaken reports whether a server says that its port was in use already.
// Postgres, Redis and Prometheus all print the system's text (LC_ALL=C).
func portTaken(output *ring) bool {
	return output.contains("ddress already in use")
}

// attemptTimeout and attemptPause bound and space the attempts to reach a starting server.
const (
	attemptTimeout = 2 * time.Second
	attemptPause   = 20 * time.Millisecond
)

// await returns nil when the server answers, and an error when it has ended
// or ctx has.
func (l launch) await(ctx context.Context, proc *process, port int) error {
	pause := time.NewTicker(attemptPause)
	defer pause.Stop()
	// An attempt that waits for a stranger on the port ends when the server has
	// ended because of that stranger.
	alive, giveUp := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer giveUp()
	watch.Go(func() {
		select {
		case <-proc.done:
			giveUp()
		case <-alive.Done():
		}
	})
	for {
		attempt, cancel := context.WithTimeout(alive, attemptTimeout)
		err := l.ready(attempt, port)
		cancel()
		switch {
		case proc.ended(): // then another server may have answered on the port
			return proc.failure()
		case err == nil:
			return nil
		}
		select {
		case <-proc.done:
			return proc.failure()
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for the server to answer: %w", context.Cause(ctx)), err)
		case <-pause.C:
		}
	}
}
