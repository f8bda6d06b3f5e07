package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"soakd/internal/lockedbuffer"
)

// change asks a soakd for a change of its load.
func change(t *testing.T, method, url, body string) (code int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// anything answers every request.
func anything(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// running starts a daemon on a free port and returns it and what ends it.
func running(t *testing.T, log io.Writer, args ...string) (d *daemon, stop func()) {
	t.Helper()
	cfg, err := configOf(t, append(args, "--listen", "127.0.0.1:0")...)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = newDaemon(t.Context(), cfg, cfg.newProgress(io.Discard), cfg.logger(log)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	return d, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// The load of a running soakd is changed over HTTP, and follows.
func TestLoadIsChangedOverHTTP(t *testing.T) {
	defer goleak.VerifyNone(t)
	target := httptest.NewServer(http.HandlerFunc(anything))
	defer target.Close()
	var log lockedbuffer.Buffer
	d, stop := running(t, &log, "--target-url", target.URL,
		"--rate", "1", "--max-rate", "1000", "--enable-lifecycle", "--progress-interval", "0s", "--circuit-error-ratio", "0")
	defer stop()
	wait(t, "the rate that is set", func() bool { return d.engine.TargetRate() == 1 }, &log)

	code, text := change(t, http.MethodPut, d.server.URL()+"/-/rate", `{"rate":500}`)
	if code != http.StatusOK || d.engine.TargetRate() != 500 || text != `{"target_rate":500,"factor":1,"paused":false}`+"\n" {
		t.Errorf("%d, rate %v: %s", code, d.engine.TargetRate(), text)
	}
	// At the first rate 200 arrivals would take more than three minutes.
	wait(t, "the arrivals to follow", func() bool { return d.engine.Counts().Scheduled >= 200 }, &log)

	for body, want := range map[string]struct {
		code int
		text string
	}{
		"1001": {http.StatusConflict, "1001 arrivals a second are above the ceiling of 1000\n"},
		"0":    {http.StatusBadRequest, `"0" is not a rate: give arrivals a second`},
	} {
		if code, text := change(t, http.MethodPut, d.server.URL()+"/-/rate", body); code != want.code || !strings.HasPrefix(text, want.text) {
			t.Errorf("%s: %d %s", body, code, text)
		}
	}
	if rate := d.engine.TargetRate(); rate != 500 {
		t.Errorf("after rates that were refused it is %v", rate)
	}

	code, text = change(t, http.MethodPost, d.server.URL()+"/-/pause", "")
	if code != http.StatusOK || text != `{"target_rate":0,"factor":0,"paused":true}`+"\n" || !d.engine.Throttle().Paused {
		t.Errorf("%d %s, %+v", code, text, d.engine.Throttle())
	}
	wait(t, "what is in flight to finish", func() bool { return d.engine.Counts().InFlight == 0 }, &log)
	paused := d.engine.Counts().Scheduled
	code, text = change(t, http.MethodPost, d.server.URL()+"/-/resume", "")
	if code != http.StatusOK || text != `{"target_rate":500,"factor":1,"paused":false}`+"\n" {
		t.Errorf("%d %s", code, text)
	}
	wait(t, "the arrivals to go on", func() bool { return d.engine.Counts().Scheduled >= paused+100 }, &log)
	for _, said := range []string{`msg="the rate was set" rate=500`, `msg="the load changes" paused=true`, `msg="the load changes" paused=false`} {
		if strings.Count(log.String(), said) != 1 {
			t.Errorf("the log does not say %s once:\n%s", said, &log)
		}
	}
}

// Users have no rate, and without the setting nothing can be changed.
func TestLoadThatCannotBeChanged(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name, test := range map[string]struct {
		args []string
		code int
		text string
	}{
		"closed model": {[]string{"--model", "closed", "--users", "1", "--think-time", "1h", "--enable-lifecycle"}, http.StatusConflict, "closed mode has users and no rate that could be set\n"},
		"not enabled":  {nil, http.StatusForbidden, "the load cannot be changed over HTTP: start soakd with SOAKD_ENABLE_LIFECYCLE=true\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedbuffer.Buffer
			d, stop := running(t, &log, append(test.args, "--target-url", serveHandler(t, http.HandlerFunc(anything)))...)
			if code, text := change(t, http.MethodPut, d.server.URL()+"/-/rate", "5"); code != test.code || text != test.text {
				t.Errorf("%d %s", code, text)
			}
			stop()
		})
	}
}
