package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"soakd/internal/lockedbuffer"
)

// session is soakd in a terminal.
type session struct {
	*soakdProcess
	master, slave *os.File
	// screen is all that was written to the terminal.
	screen *lockedbuffer.Buffer
	before *unix.Termios
	read   sync.WaitGroup
}

// answering returns a target that answers every request with an error, which soakd logs.
func answering(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "\x1b]0;evil\x07\x1b[2J", http.StatusInternalServerError)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// inTerminal starts `soakd run` in a new terminal of so many columns and rows.
func inTerminal(t *testing.T, columns, rows uint16, environment []string, args ...string) *session {
	t.Helper()
	master, slave := openTerminal(t)
	s := &session{master: master, slave: slave, screen: &lockedbuffer.Buffer{}}
	s.resize(t, columns, rows)
	s.before = s.modes(t)
	url := answering(t)
	if i := slices.Index(args, "--target-url"); i >= 0 {
		url = args[i+1]
	}
	s.soakdProcess = start(t, func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		for _, variable := range os.Environ() {
			name, _, _ := strings.Cut(variable, "=")
			if !slices.Contains(ciVariables, name) && name != "NO_COLOR" && name != "CLICOLOR" && name != "TERM" {
				cmd.Env = append(cmd.Env, variable)
			}
		}
		cmd.Env = append(append(cmd.Env, "TERM=xterm-256color"), environment...)
	}, append([]string{"run", "--target-url", url, "--rate", "40", "--listen", "127.0.0.1:0", "--progress-interval", "200ms", "--circuit-error-ratio", "0"}, args...)...)
	s.read.Go(func() {
		buffer := make([]byte, 1<<16)
		for {
			n, err := master.Read(buffer)
			_, _ = s.screen.Write(buffer[:n])
			if err != nil { // EIO: the last one who had it open has closed it
				return
			}
		}
	})
	t.Cleanup(func() { _ = master.Close() })
	return s
}

func (s *session) resize(t *testing.T, columns, rows uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(s.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
}

func (s *session) modes(t *testing.T) *unix.Termios {
	t.Helper()
	modes, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return modes
}

// shows waits until a pattern was written to the terminal.
func (s *session) shows(t *testing.T, pattern string) {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	wait(t, "the terminal to show "+pattern, func() bool { return expression.MatchString(s.screen.String()) }, s.screen)
}

// ends waits for the process and checks that the terminal is as it was before. It
// returns all that was written, and the exit code.
func (s *session) ends(t *testing.T) (written string, code int) {
	t.Helper()
	_ = s.cmd.Wait() // the exit code is the caller's
	if after := s.modes(t); !reflect.DeepEqual(after, s.before) {
		t.Errorf("the modes of the terminal are %+v, and were %+v", after, s.before)
	}
	if err := s.slave.Close(); err != nil {
		t.Fatal(err)
	}
	s.read.Wait()
	written = s.screen.String()
	if strings.LastIndex(written, "\x1b[?25l") > strings.LastIndex(written, "\x1b[?25h") {
		t.Error("the cursor is hidden in the end")
	}
	// The alternate screen, pasting in brackets, the mouse, shapes of the cursor, titles,
	// keyboards, and questions that the terminal would answer into the shell.
	if found := regexp.MustCompile(`\x1b(\[\?(47|1047|1049|2004|100[0-6])[hl]|\[\d q|\]|\[[<>=]|\[\?\d*u|\[6n|\[c|\[\?2026\$p)`).FindString(written); found != "" {
		t.Errorf("%q was written to the terminal", found)
	}
	return written, s.cmd.ProcessState.ExitCode()
}

// finalTable is what the end of a run prints.
const finalTable = "arrivals: "

func TestTableInTerminal(t *testing.T) {
	t.Parallel()
	s := inTerminal(t, 100, 30, nil, "--duration", "4s")
	written, code := s.ends(t)
	live, end, found := strings.Cut(written, finalTable)
	if !found || code == 0 || !strings.Contains(end, "soakd: ") {
		t.Errorf("exit code %d, and the end is %q", code, end)
	}
	for _, want := range []string{"soakd ", s.cmd.Args[3], "of 4s", "in flight ", "p95", "server_error=", "save_scenario", "█", "verdict so far", "\x1b[31;1m", "\x1b[?25h"} {
		if !strings.Contains(live, want) {
			t.Errorf("the table has no %q:\n%q", want, live)
		}
	}
	// The log is on lines of its own.
	if !regexp.MustCompile(`(?m)^(\x1b\[[0-9;]*[A-Za-z])*time=\S+ level=WARN msg="request failed"`).MatchString(strings.ReplaceAll(live, "\r", "")) {
		t.Errorf("the log is not above the table:\n%q", live)
	}
	if strings.Contains(written, "evil\x07") {
		t.Error("what the target wrote reached the terminal as it was")
	}
}

func TestTableEndsWithSignals(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM, "SIGHUP": syscall.SIGHUP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := inTerminal(t, 80, 24, nil, "--duration", "1h")
			s.shows(t, "in the last")
			if err := s.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if written, code := s.ends(t); code != exitNotRun || !strings.Contains(written, finalTable) {
				t.Errorf("exit code %d, want %d and the final table:\n%q", code, exitNotRun, written)
			}
		})
	}
}

// Nothing has to be restored when the process is killed.
func TestTableIsKilled(t *testing.T) {
	t.Parallel()
	s := inTerminal(t, 80, 24, nil)
	s.shows(t, "in the last")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ends(t)
}

// press presses a key.
func (s *session) press(t *testing.T, key string) {
	t.Helper()
	if _, err := s.master.WriteString(key); err != nil {
		t.Fatal(err)
	}
}

const ctrlC = "\x03"

// Keys do what they always do: Ctrl-C ends the run in good order.
func TestTableLeavesKeysAlone(t *testing.T) {
	t.Parallel()
	s := inTerminal(t, 80, 24, nil)
	s.shows(t, "in the last")
	if modes := s.modes(t); !reflect.DeepEqual(modes, s.before) {
		t.Errorf("the terminal is in modes %+v while the table is shown, and was in %+v", modes, s.before)
	}
	s.press(t, ctrlC)
	if written, code := s.ends(t); code != exitOK || !strings.Contains(written, finalTable) {
		t.Errorf("exit code %d of a run without end that was stopped:\n%q", code, written)
	}
}

// A second Ctrl-C leaves at once, whatever is still in flight.
func TestTableSecondCtrlC(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	s := inTerminal(t, 80, 24, nil, "--target-url", server.URL, "--shutdown-grace", "1h")
	s.shows(t, "in flight [1-9]")
	ended := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(ended) }()
	presses := 0
	wait(t, "soakd to leave", func() bool {
		select {
		case <-ended:
			return true
		default:
			presses++
			s.press(t, ctrlC)
			return false
		}
	}, s.screen)
	written, _ := s.ends(t)
	state, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || state.Signal() != syscall.SIGINT || presses < 2 || strings.Contains(written, finalTable) {
		t.Errorf("after %d times Ctrl-C it ended with %v:\n%q", presses, s.cmd.ProcessState, written)
	}
}

func TestTableFollowsTheSize(t *testing.T) {
	t.Parallel()
	s := inTerminal(t, 40, 12, nil)
	s.shows(t, "in flight")
	if strings.Contains(s.screen.String(), "in the last") {
		t.Errorf("12 rows show what takes more:\n%q", s.screen)
	}
	s.resize(t, 120, 40)
	s.shows(t, "in the last")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ends(t)
}

// Once it was stopped and goes on, the table is drawn anew below what the shell wrote.
func TestTableIsDrawnAnewAfterAStop(t *testing.T) {
	t.Parallel()
	s := inTerminal(t, 80, 24, nil)
	s.shows(t, "in the last")
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := s.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	s.shows(t, `(?s)soakd \x1b\[mhttp.*soakd \x1b\[mhttp.*`)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ends(t)
}

func TestWithoutColours(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"NO_COLOR=yes", "CLICOLOR=0"} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			s := inTerminal(t, 80, 24, []string{variable}, "--duration", "1s")
			written, _ := s.ends(t)
			if found := regexp.MustCompile(`\x1b\[[\d;]+m`).FindString(written); found != "" || !strings.Contains(written, "of 1s") {
				t.Errorf("%q in\n%q", found, written)
			}
		})
	}
}

// Where a table makes no sense, or is not wanted, there are lines without any control.
func TestLinesInTerminal(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ environment, args []string }{
		"CI":             {environment: []string{"CI=true"}},
		"dumb and asked": {environment: []string{"TERM=dumb"}, args: []string{"--progress", "table"}},
		"headless":       {args: []string{"--headless"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := inTerminal(t, 80, 24, test.environment, append(test.args, "--duration", "600ms")...)
			written, _ := s.ends(t)
			if strings.Contains(written, "\x1b") || !regexp.MustCompile(`/s  in flight \d`).MatchString(written) || !strings.Contains(written, finalTable) {
				t.Errorf("%q", written)
			}
		})
	}
}

func TestTableInCIWhenAskedFor(t *testing.T) {
	t.Parallel()
	s := inTerminal(t, 80, 24, []string{"CI=true"}, "--progress", "table", "--duration", "1s")
	if written, _ := s.ends(t); !strings.Contains(written, "of 1s") {
		t.Errorf("no table:\n%q", written)
	}
}

func TestNoProgress(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--progress", "none"}, {"--progress-interval", "0s"}} {
		s := inTerminal(t, 80, 24, nil, append(args, "--duration", "400ms")...)
		if written, _ := s.ends(t); strings.Contains(written, "\x1b") || strings.Contains(written, "in flight 0  p50") || !strings.Contains(written, finalTable) {
			t.Errorf("%v: %q", args, written)
		}
	}
}

// Quiet is quiet, but for the result, and for errors.
func TestQuiet(t *testing.T) {
	t.Parallel()
	p := start(t, func(*exec.Cmd) {}, "run", "--target-url", answering(t), "--listen", "127.0.0.1:0", "--duration", "1s", "--rate", "20", "--quiet")
	_ = p.cmd.Wait()
	if text := p.stdout.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "answered rightly") {
		t.Errorf("standard output: %q", text)
	}
	if text := p.stderr.String(); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "soakd: ") {
		t.Errorf("standard error: %q", text)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

// With JSON every line of standard output is an object with a time and a kind.
func TestProgressAsJSON(t *testing.T) {
	t.Parallel()
	p := start(t, func(*exec.Cmd) {}, "run", "--target-url", answering(t), "--listen", "127.0.0.1:0", "--duration", "2s", "--rate", "20",
		"--log-format", "json", "--progress-interval", "300ms")
	_ = p.cmd.Wait()
	var kinds []string
	requests := 0.0
	for line := range strings.Lines(p.stdout.String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if object["time"] == nil {
			t.Errorf("no time in %q", line)
		}
		kind := fmt.Sprint(object["kind"])
		kinds = append(kinds, kind)
		if n, ok := object["requests"].(float64); ok && kind == "progress" {
			requests += n
		}
		if code := object["exit_code"]; kind == "end" && (code != float64(exitFailed) || object["result"] != "fail") {
			t.Errorf("the end is %q", line)
		}
	}
	if n := len(kinds); n < 4 || kinds[0] != "start" || kinds[n-1] != "end" || slices.Contains(kinds[1:n-1], "start") || slices.Contains(kinds[:n-1], "end") {
		t.Errorf("the lines are %v", kinds)
	}
	if requests < 20 || requests > 40 {
		t.Errorf("%v requests in the windows of a run of 40", requests)
	}
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.HasPrefix(line, "soakd: ") && !json.Valid([]byte(line)) {
			t.Errorf("the log has %q", line)
		}
	}
	if code := p.cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}
