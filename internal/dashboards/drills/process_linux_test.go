package drills

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"soakd/internal/lockedbuffer"
)

const (
	// patience bounds the wait for one thing. Most take seconds; a busy machine may
	// need many times as long.
	patience = 3 * time.Minute
	// glance is the time between two looks at what is waited for.
	glance = 100 * time.Millisecond
)

// await waits until a condition holds.
func await(ctx context.Context, what string, condition func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		case <-ticker.C:
		}
	}
	return nil
}

// freeAddress is a loopback address whose port is free for the moment it takes to
// use it.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// program is a server that keeps its address when it is stopped and started again.
type program struct {
	path, ready string
	args, env   []string
	address     string

	mu      sync.Mutex
	cmd     *exec.Cmd
	output  *lockedbuffer.Buffer
	ended   chan struct{}
	stopped bool // it was asked to end
}

// start runs it and waits until it is ready.
func (p *program) start(ctx context.Context) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.path, p.args...) //nolint:gosec // built by the test
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/", "TZ=UTC"}, p.env...)
	output, ended := &lockedbuffer.Buffer{}, make(chan struct{})
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait() // however it ends, it is told by ended
		close(ended)
	}()
	p.mu.Lock()
	p.cmd, p.output, p.ended, p.stopped = cmd, output, ended, false
	p.mu.Unlock()
	return await(ctx, "an answer of "+p.path+" at "+p.address, func() bool {
		_, status, err := ask(ctx, http.MethodGet, "http://"+p.address+p.ready, "", "")
		return err == nil && status == http.StatusOK
	})
}

// signal sends a signal to it.
func (p *program) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Signal(s)
}

// stop ends it, in good order where it lets itself be.
func (p *program) stop() {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.stopped = true
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGCONT) // in case a drill froze it
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	kill := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	<-ended
}

// died reports whether it ended though nobody asked it to, and its output.
func (p *program) died() (bool, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false, ""
	}
	select {
	case <-p.ended:
		return !p.stopped, p.output.String()
	default:
		return false, p.output.String()
	}
}

// limitFiles sets how many files it may have open: so many more than it has, or
// as many as it may for 0.
func (p *program) limitFiles(more int) error {
	p.mu.Lock()
	pid := p.cmd.Process.Pid
	p.mu.Unlock()
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if more > 0 {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			return err
		}
		limit.Cur = uint64(len(open) + more) //nolint:gosec // small
	}
	return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil)
}

// ask sends a request and returns the answer.
func ask(ctx context.Context, method, url, body, token string) (text string, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", 0, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answered, err := client.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer answered.Body.Close() //nolint:errcheck // read to its end
	read, err := io.ReadAll(answered.Body)
	return string(read), answered.StatusCode, err
}
