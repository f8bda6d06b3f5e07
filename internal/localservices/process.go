package localservices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// outputDelay bounds the wait for the output of a process that has ended: its
// own children hold the same pipe until they have ended too.
const outputDelay = 5 * time.Second

// errorLines is how many lines of a server's output go into an error.
const errorLines = 12

// command says what to run and as whom.
type command struct {
	path string
	args []string
	// dir is the working directory and the HOME of the process.
	dir string
	// env is added to the few variables every child gets.
	env []string
	// account is the user to run as; nil means the current one.
	account *account
	// orphaned is the signal the process gets when its parent is killed (Linux).
	orphaned syscall.Signal
	// files are handed over as file descriptors 3, 4, ...
	files []*os.File
	// lines gets the output too, line by line; may be nil.
	lines *lineWriter
}

// process is a running child in its own process group, so that a terminal's
// Ctrl-C does not reach it and the parent orders the shutdown.
type process struct {
	cmd    *exec.Cmd
	output *ring
	asked  atomic.Bool   // true once the parent wants it to end
	done   chan struct{} // closed when it has ended and its output is read
	err    error         // why it ended; readable after done
}

// startProcess starts c. The goroutine that waits for it ends with it.
func startProcess(c command) (*process, error) {
	cmd := exec.Command(c.path, c.args...) //nolint:noctx // ends by signals in a set order, not by a context
	p := &process{cmd: cmd, output: new(ring), done: make(chan struct{})}
	cmd.Dir = c.dir
	cmd.Env = append(baseEnv(c.dir), c.env...)
	cmd.Stdout = p.output
	if c.lines != nil {
		cmd.Stdout = io.MultiWriter(p.output, c.lines)
	}
	cmd.Stderr = cmd.Stdout // the same: one pipe, one writer at a time
	cmd.ExtraFiles = c.files
	cmd.WaitDelay = outputDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.account.credential()}
	setOrphanSignal(cmd.SysProcAttr, c.orphaned)

	started := make(chan error, 1)
	go func() {
		// The kernel sends the orphan signal when the thread that forked ends,
		// not when the process does: keep that thread until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		if c.lines != nil {
			c.lines.end()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s as %s: %w", c.path, c.account, err)
	}
	return p, nil
}

// baseEnv is the whole environment of a child. Nothing else is passed on: the
// parent's may hold secrets, and PG* variables that change what a server does.
func baseEnv(home string) []string {
	env := []string{"HOME=" + home, "LC_ALL=C", "TZ=UTC"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// runProcess runs c to its end. When ctx ends first the process and its
// children are killed.
func runProcess(ctx context.Context, c command) error {
	p, err := startProcess(c)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.asked.Store(true)
		p.kill()
		<-p.done
		return fmt.Errorf("run %s: %w", filepath.Base(c.path), context.Cause(ctx))
	}
	if p.err != nil {
		return p.failure()
	}
	return nil
}

// failure tells how the process ended, with the end of its output.
func (p *process) failure() error {
	reason := p.err
	if reason == nil {
		reason = errors.New("exit status 0")
	}
	name := filepath.Base(p.cmd.Path)
	if text := strings.TrimSpace(p.output.lastLines(errorLines)); text != "" {
		return fmt.Errorf("%s ended: %w; its last output:\n%s", name, reason, text)
	}
	return fmt.Errorf("%s ended: %w", name, reason)
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// step is one way to ask a process to end, and how long to wait for it.
type step struct {
	signal syscall.Signal
	wait   time.Duration
}

// stop asks the process to end, step by step, kills it at last, and returns
// when it has ended.
func (p *process) stop(steps []step) {
	p.asked.Store(true)
	for _, s := range steps {
		if p.ended() {
			return
		}
		_ = p.cmd.Process.Signal(s.signal) // only fails when it has just ended
		timer := time.NewTimer(s.wait)
		select {
		case <-p.done:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
	p.kill()
	<-p.done
}

// kill ends the process and what is left of its group at once.
func (p *process) kill() {
	if p.ended() {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.cmd.Process.Kill()
}
