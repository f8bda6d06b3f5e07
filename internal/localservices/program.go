package localservices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"soakd/internal/secret"
)

// programGrace is how long a program may take to end after SIGTERM.
const programGrace = 5 * time.Second

// ProgramConfig says how to run a program of one's own that serves HTTP. Name,
// Path, ListenEnv and ReadyPath are needed.
type ProgramConfig struct {
	// Name says what it is, for people, such as "reference API".
	Name string
	// Path and Args are what is run, as the current user and in the folder "/".
	Path string
	Args []string
	// Env is added, as NAME=value, to the few variables every child gets (HOME,
	// LC_ALL, TZ, PATH). Nothing else of the parent's environment is passed on.
	Env []string
	// Secrets are variables too, by name. They are never printed.
	Secrets map[string]secret.String
	// ListenEnv names the variable that is set to fd:3, where the program finds
	// a socket that listens on the loopback interface already. So no port can be
	// lost to another process between its choice and its use.
	ListenEnv string
	// ReadyPath is asked for until it answers 200, such as "/health".
	ReadyPath string
	// Output gets each line of the program's output, at most 16 KiB of it and at
	// most 20 a second; what is left out is counted in a line of its own. It is
	// called from one goroutine at a time. May be nil.
	Output func(line string)
	// Logger gets a line about the end; nil drops it.
	Logger *slog.Logger
}

// Program is a program of one's own that runs as a child.
type Program struct{ *service }

// URL returns the base address, without a slash at its end.
func (p *Program) URL() string { return p.url.Value() }

// StartProgram starts a program and returns when it is ready. ctx bounds the
// start only; call Stop to end it: with SIGTERM, and after 5 s with SIGKILL. It
// gets a process group of its own, and on Linux it is killed when the process
// that started it ends in whatever way. When the start fails or ctx ends first,
// nothing is left running, and the error holds the end of the program's output.
func StartProgram(ctx context.Context, cfg ProgramConfig) (*Program, error) {
	if cfg.Name == "" || cfg.Path == "" || cfg.ListenEnv == "" || !strings.HasPrefix(cfg.ReadyPath, "/") {
		return nil, errors.New("start a program: name, path, listen variable and ready path are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	program, err := cfg.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
	}
	return program, nil
}

func (c ProgramConfig) start(ctx context.Context) (*Program, error) {
	socket, port, err := listeningSocket()
	if err != nil {
		return nil, err
	}
	proc, err := startProcess(c.command(socket))
	// Only the program may hold the socket: when it dies, its port must refuse
	// connections instead of letting them wait for ever.
	if err = errors.Join(err, socket.Close()); err != nil {
		if proc != nil {
			proc.stop(nil)
		}
		return nil, err
	}
	steps := []step{{syscall.SIGTERM, programGrace}}
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ready := launch{ready: func(ctx context.Context, _ int) error { return askReady(ctx, address+c.ReadyPath) }}
	if err := ready.await(ctx, proc, port); err != nil {
		if !proc.ended() {
			proc.stop(steps)
		}
		return nil, err
	}
	return &Program{&service{
		kind: fmt.Sprintf("%s, process %d", c.Name, proc.cmd.Process.Pid), url: secret.New(address),
		logger: c.Logger, proc: proc, steps: steps, done: proc.done,
	}}, nil
}

// command returns how the program is run with the socket.
func (c ProgramConfig) command(socket *os.File) command {
	env := append([]string{c.ListenEnv + "=fd:3"}, c.Env...)
	for name, value := range c.Secrets {
		env = append(env, name+"="+value.Value())
	}
	out := command{path: c.Path, args: c.Args, dir: "/", env: env, orphaned: syscall.SIGKILL, files: []*os.File{socket}}
	if c.Output != nil {
		out.lines = newLineWriter(c.Output)
	}
	return out
}

// listeningSocket returns a socket that listens on a free loopback port.
func listeningSocket() (*os.File, int, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // does not block
	if err != nil {
		return nil, 0, fmt.Errorf("listen for it: %w", err)
	}
	tcp := listener.(*net.TCPListener)
	socket, err := tcp.File() // a duplicate, so that the original can be closed
	if err = errors.Join(err, tcp.Close()); err != nil {
		if socket != nil {
			_ = socket.Close() // the first error says it
		}
		return nil, 0, fmt.Errorf("listen for it: %w", err)
	}
	return socket, tcp.Addr().(*net.TCPAddr).Port, nil
}

// askReady makes one request, which must be answered with 200.
func askReady(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<10))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, response.Status)
	}
	return nil
}
