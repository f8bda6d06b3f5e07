package main

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What the demo prints switches a fault of its API, in the API as the demo runs it:
// one that restarts, on the port that soakd knows, and that still ends with soakd.
func TestDemoSaysHowToSwitchFaults(t *testing.T) {
	folder, change := temporary(t)
	p := start(t, change, "demo", "--listen", "127.0.0.1:0", "--progress-interval", "1s")
	token := p.find(t, `Authorization: Bearer (\w+)'`)
	url := p.find(t, `(http://127\.0\.0\.1:\d+)/admin/faults/slow_all\n`)
	p.find(t, `(in flight) `)
	s := startedBy(t, p, folder)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, path, body string) (status int, text string) {
		request, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answered, err := client.Do(request)
		if err != nil {
			return 0, err.Error()
		}
		defer answered.Body.Close() //nolint:errcheck // read to its end
		read, err := io.ReadAll(answered.Body)
		if err != nil {
			return 0, err.Error()
		}
		return answered.StatusCode, string(read)
	}
	begun := func() string {
		_, text := ask(http.MethodGet, "/metrics", "")
		_, rest, _ := strings.Cut(text, "\nprocess_start_time_seconds ")
		line, _, _ := strings.Cut(rest, "\n")
		return line
	}
	if status, text := ask(http.MethodPut, "/admin/faults/slow_all", `{"factor": 3, "for": "2m"}`); status != http.StatusOK || !strings.Contains(text, `"on":true`) {
		t.Errorf("what is printed answers %d %s", status, text)
	}
	first := begun()
	if status, text := ask(http.MethodPut, "/admin/faults/restart", `{"every": "500ms"}`); status != http.StatusOK {
		t.Errorf("restart: %d %s", status, text)
	}
	wait(t, "the API to restart", func() bool { next := begun(); return next != "" && next != first }, p.stderr)
	wait(t, "the restarts to end", func() bool {
		status, _ := ask(http.MethodDelete, "/admin/faults/restart", "")
		return status == http.StatusOK
	}, p.stderr)
	if !alive(s.api) {
		t.Errorf("the API's process %d is gone", s.api)
	}
	if status, text := ask(http.MethodGet, "/admin/faults/slow_all", ""); status != http.StatusOK || !strings.Contains(text, `"on":true`) {
		t.Errorf("after the restart: %d %s", status, text)
	}
	if strings.Contains(p.stderr.String(), token) {
		t.Error("the token is in the log")
	}
	if strings.Contains(p.stderr.String(), "has ended by itself") {
		t.Errorf("the demo saw its API end:\n%s", p.stderr)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	wait(t, "all processes to end", func() bool { return !slices.ContainsFunc(s.pids, alive) }, p.stderr)
}
