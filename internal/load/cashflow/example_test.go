package cashflow

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"soakd/internal/load"
)

// failing is a target that takes so many saves and then fails whatever it is asked. It
// keeps the requests by their trace.
type failing struct {
	saves atomic.Int64
	mu    sync.Mutex
	got   map[string][]sentRequest
}

// sentRequest is all of a request that its target sees.
type sentRequest struct {
	method, uri, host string
	header            http.Header
	body              string
	length            int64
}

// enoughSaves is one for each of the users' openings.
const enoughSaves = exampleUsers * openingSaves

const exampleUsers = 3

func (f *failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte(err.Error())
	}
	trace := r.Header.Get("Traceparent")
	f.mu.Lock()
	f.got[trace] = append(f.got[trace], sentRequest{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body), r.ContentLength})
	f.mu.Unlock()
	var saved struct {
		Name string `json:"name"`
	}
	if !strings.HasSuffix(r.URL.Path, "/scenario/save") || json.Unmarshal(body, &saved) != nil || f.saves.Add(1) > enoughSaves {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]string{
		"id": fmt.Sprintf("00000000-0000-4000-8000-%012d", f.saves.Load()), "name": saved.Name, "user_id": r.Header.Get("X-User-Id"),
	})
}

// take returns the requests with a trace.
func (f *failing) take(trace string) []sentRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	for parent, all := range f.got {
		if strings.Contains(parent, trace) {
			return all
		}
	}
	return nil
}

// exampleToken gives tokens that must not stand in a command.
func exampleToken(_ load.User, credentials load.Credentials) (string, error) {
	return map[load.Credentials]string{load.UserToken: "secret-good", load.ExpiredToken: "secret-expired", load.ForgedToken: "secret-forged"}[credentials], nil
}

// driveExamples sends every case to a target that fails, until each has failed.
func driveExamples(t *testing.T, target string, w *load.Workload) []load.Example {
	t.Helper()
	client, err := load.NewClient(load.ClientConfig{
		Target: target + "/base", UserAgent: "soakd/test (soak test)", MaxResponseBytes: 1 << 20, Compression: true,
		Token: exampleToken,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.Cases { // each soon comes
		c.Weight, c.MinInterval = 1, 0
	}
	mix, err := load.NewMix(w, exampleUsers, 5)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	failed := make(chan *load.Case, 100_000)
	recorder := load.NewRecorder(w, time.Now())
	engine, err := load.NewEngine(load.EngineConfig{
		Closed: &load.ClosedConfig{Users: exampleUsers}, Mix: mix, Client: client, User: testUser,
		MaxInFlight: exampleUsers, Grace: 10 * time.Second, Sink: failures(failed), Lag: recorder, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer cancel()
		for seen := map[*load.Case]bool{}; len(seen) < len(w.Cases); {
			select {
			case c := <-failed:
				seen[c] = true
			case <-ctx.Done():
				return
			}
		}
	})
	engine.Run(ctx)
	waiting.Wait()
	return engine.Examples()
}

// failures tells the cases of results that failed.
type failures chan *load.Case

func (f failures) Done(r *load.Result) {
	if r.Failed() {
		select {
		case f <- r.Case:
		default:
		}
	}
}

// The command for each case, run by a shell as a reader of the report would, sends byte
// for byte what soakd sent: with the right token or the wrong one, with a body that is
// right or that is none.
func TestCommandsOfEveryCaseSendTheSameAgain(t *testing.T) {
	server := &failing{got: map[string][]sentRequest{}}
	target := httptest.NewServer(server)
	defer target.Close()
	w := newBench(t, Config{CanMint: true, Seed: 7, Users: exampleUsers}).Workload
	tried := map[string]bool{}
	for _, example := range driveExamples(t, target.URL, w) {
		name := example.Case.Name
		if strings.Contains(example.Curl, "secret-") {
			t.Errorf("%s: a token in %s", name, example.Curl)
		}
		tried[name] = true
		t.Run(name, func(t *testing.T) {
			if name == "invalid_body_big" {
				if want := fmt.Sprintf("# the body of %d bytes is left out", bigBody); !strings.Contains(example.Curl, want) {
					t.Errorf("want %q in %.2000s", want, example.Curl)
				}
				return
			}
			shell := exec.CommandContext(t.Context(), "bash", "-c", example.Curl)
			shell.Dir = t.TempDir()
			shell.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TOKEN=secret-good", "EXPIRED_TOKEN=secret-expired", "FORGED_TOKEN=secret-forged"}
			if out, err := shell.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s\n%.3000s", err, out, example.Curl)
			}
			got := server.take(example.TraceID.String())
			if len(got) != 2 || !reflect.DeepEqual(got[0], got[1]) {
				t.Errorf("soakd sent, and the command:\n%.3000q\n%.3000s", fmt.Sprint(got), example.Curl)
			}
		})
	}
	for _, c := range w.Cases {
		if !tried[c.Name] {
			t.Errorf("there is no example of %s", c.Name)
		}
	}
}
