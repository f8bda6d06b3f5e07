package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes the test's own program play the part of a target.
const roleVariable = "SOAKD_API_TEST_ROLE"

// play does what each line of the standard input says and answers with one line,
// until the input ends, which it does with the test at the latest.
func play(role string) int {
	if role == "page" {
		return playPage()
	}
	var child *helper
	var files []*os.File
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		number, _ := strconv.Atoi(argument)
		answer := "ok"
		switch command {
		case "burn": // ms of CPU time
			for end := cpuTime(syscall.RUSAGE_SELF) + time.Duration(number)*time.Millisecond; cpuTime(syscall.RUSAGE_SELF) < end; {
			}
		case "open":
			for range number {
				file, err := os.Open(os.DevNull)
				if err != nil {
					return 1
				}
				files = append(files, file)
			}
		case "allocate": // MiB
			// Not from Go's heap, of which the race detector keeps a shadow.
			block, err := syscall.Mmap(-1, 0, number<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
			if err != nil {
				return 1
			}
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1
			}
		case "child":
			child = &helper{}
			if err := child.start(exec.Command(os.Args[0]), "family"); err != nil {
				return 1
			}
		case "child:":
			answer = child.ask(argument)
		case "wait":
			child.end()
		case "used": // CPU time in ms, with that of the children that were waited for
			answer = strconv.Itoa(int((cpuTime(syscall.RUSAGE_SELF) + cpuTime(syscall.RUSAGE_CHILDREN)).Milliseconds()))
		}
		fmt.Println(answer)
	}
	_ = files
	if child != nil {
		child.end()
	}
	return 0
}

// playPage serves a page and says where.
func playPage() int {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	fmt.Println(listener.Addr())
	go func() { _ = http.Serve(listener, page("process_open_fds 3\n")) }() //nolint:gosec // a test's server
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func cpuTime(who int) time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(who, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// helper is the test's own program in another process.
type helper struct {
	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
}

func (h *helper) start(command *exec.Cmd, role string) error {
	h.command = command
	command.Env = append(os.Environ(), roleVariable+"="+role)
	command.Stderr = os.Stderr
	var err error
	if h.input, err = command.StdinPipe(); err != nil {
		return err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	h.output = bufio.NewReader(output)
	return command.Start()
}

// ask gives a command and returns the answer.
func (h *helper) ask(command string) string {
	if _, err := io.WriteString(h.input, command+"\n"); err != nil {
		return err.Error()
	}
	return h.line()
}

func (h *helper) line() string {
	line, err := h.output.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

func (h *helper) end() {
	_ = h.input.Close()
	_ = h.command.Wait()
}

func (h *helper) pid() int { return h.command.Process.Pid }

// startHelper starts a helper under the name of a program that no other has. It
// ends with the test.
func startHelper(t *testing.T, role, name string) *helper {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	h := &helper{}
	if err := h.start(exec.Command(link), role); err != nil {
		t.Fatal(err)
	}
	if role == "family" {
		h.do(t, "open 1") // it is up, and has what opening files needs
	}
	t.Cleanup(func() {
		_ = h.command.Process.Signal(syscall.SIGCONT)
		h.end()
	})
	return h
}

// do gives a command that answers ok.
func (h *helper) do(t *testing.T, command string) {
	t.Helper()
	if answer := h.ask(command); answer != "ok" {
		t.Fatalf("%s: %s", command, answer)
	}
}
