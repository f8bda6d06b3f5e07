package localservices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"soakd/internal/secret"
)

// programEnv makes the test binary play a program that StartProgram runs; its
// value says how it behaves.
const programEnv = "LOCALSERVICES_TEST_PROGRAM"

// playProgram serves HTTP on file descriptor 3 until SIGTERM.
func playProgram(how string) error {
	if how == "fails" {
		return errors.New("no such database")
	}
	listener, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if how == "deaf" {
		signal.Ignore(syscall.SIGTERM)
		ctx = context.Background()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if how == "never ready" {
			fmt.Println("asked whether ready")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) {
		folder, _ := os.Getwd()
		_, _ = io.WriteString(w, strings.Join(append(os.Environ(), "in "+folder), "\n"))
	})
	fmt.Println("to standard output")
	fmt.Fprintln(os.Stderr, "to standard error")
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case <-ctx.Done():
		fmt.Print("asked to end")
		return server.Close()
	case err := <-ended:
		return err
	}
}

// heard keeps the lines of a program.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) add(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line)
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

func testProgram(how string) ProgramConfig {
	return ProgramConfig{
		Name: "test program", Path: os.Args[0], Env: []string{programEnv + "=" + how},
		Secrets:   map[string]secret.String{"A_SECRET": secret.New("hunter2")},
		ListenEnv: "LISTEN_ON", ReadyPath: "/ready",
	}
}

func get(t *testing.T, address string) string {
	t.Helper()
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProgramIsAChildOfItsOwn(t *testing.T) {
	t.Setenv("NOT_FOR_CHILDREN", "hunter3")
	var output heard
	cfg := testProgram("well")
	cfg.Output = output.add
	program, err := StartProgram(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Stop() //nolint:errcheck // asserted below
	if group, err := syscall.Getpgid(program.PID()); err != nil || group != program.PID() {
		t.Errorf("its process group is %d (%v), want %d", group, err, program.PID())
	}
	environment := strings.Split(get(t, program.URL()+"/environment"), "\n")
	for _, want := range []string{programEnv + "=well", "A_SECRET=hunter2", "LISTEN_ON=fd:3", "HOME=/", "LC_ALL=C", "TZ=UTC", "in /"} {
		if !slices.Contains(environment, want) {
			t.Errorf("its environment has no %s: %q", want, environment)
		}
	}
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		if !slices.Contains([]string{"in /", programEnv, "A_SECRET", "LISTEN_ON", "HOME", "LC_ALL", "TZ", "PATH", "LD_LIBRARY_PATH"}, name) {
			t.Errorf("%s was passed on", name)
		}
	}
	if err := program.Stop(); err != nil || program.Err() != nil {
		t.Errorf("stop: %v, %v", err, program.Err())
	}
	if running(program.PID()) {
		t.Error("it still runs")
	}
	if want := []string{"to standard output", "to standard error", "asked to end"}; !slices.Equal(output.all(), want) {
		t.Errorf("its output was %q, want %q", output.all(), want)
	}
}

// A program that dies leaves a port that refuses connections, not one that lets
// them wait.
func TestProgramThatDies(t *testing.T) {
	program, err := StartProgram(t.Context(), testProgram("well"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(program.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-program.Done()
	if err := program.Err(); err == nil || !strings.Contains(err.Error(), "signal: killed") || !strings.Contains(err.Error(), "to standard error") {
		t.Errorf("got %v", err)
	}
	connection, err := net.Dial("tcp", strings.TrimPrefix(program.URL(), "http://"))
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, %v", connection, err)
	}
	if err := program.Stop(); err != nil {
		t.Error(err)
	}
}

func TestProgramThatDoesNotEnd(t *testing.T) {
	program, err := StartProgram(t.Context(), testProgram("deaf"))
	if err != nil {
		t.Fatal(err)
	}
	program.steps = []step{{syscall.SIGTERM, 50 * time.Millisecond}}
	if err := program.Stop(); err != nil || running(program.PID()) {
		t.Errorf("stop: %v, running: %v", err, running(program.PID()))
	}
}

func TestProgramThatDoesNotStart(t *testing.T) {
	before := len(processesIn(os.Args[0]))
	gone := testProgram("well")
	gone.Path = "/nowhere/program"
	for name, test := range map[string]struct {
		cfg  ProgramConfig
		want []string
	}{
		"fails":        {testProgram("fails"), []string{"start test program: ", "exit status 1", "error: no such database"}},
		"is not there": {gone, []string{"start test program: start /nowhere/program as the current user: ", "no such file"}},
		"never ready":  {testProgram("never ready"), []string{"start test program: wait for the server to answer: context canceled"}},
		"not complete": {ProgramConfig{Name: "x", Path: "y"}, []string{"name, path, listen variable and ready path are needed"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			asked := 0
			test.cfg.Output = func(line string) {
				if line == "asked whether ready" {
					asked++
				}
				if asked == 3 {
					cancel()
				}
			}
			program, err := StartProgram(ctx, test.cfg)
			if program != nil {
				t.Error("there is a program")
			}
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells a secret: %v", err)
			}
			if now := len(processesIn(os.Args[0])); now != before {
				t.Errorf("%d processes, before %d", now, before)
			}
		})
	}
}
