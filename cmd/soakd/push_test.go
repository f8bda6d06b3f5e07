package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"soakd/internal/localservices"
	"soakd/internal/lockedbuffer"
)

// The metrics of a run that is over are in a Pushgateway and in Prometheus, also when the
// run did not pass; the verdict is among them.
func TestMetricsOfARunArrive(t *testing.T) {
	gateway, err := localservices.StartPushgateway(t.Context(), localservices.Options{Mode: localservices.System})
	if err != nil {
		t.Fatal(err)
	}
	prometheus, err := localservices.StartPrometheus(t.Context(), "", localservices.Options{
		Mode: localservices.System, Settings: map[string]string{"web.enable-remote-write-receiver": "true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, stop := range []func() error{gateway.Stop, prometheus.Stop} {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Setenv("SOAKD_HISTORY_URL", "none")
	t.Setenv("SOAKD_TARGET_URL", serveHandler(t, http.HandlerFunc(anything)))
	t.Setenv("SOAKD_PUSHGATEWAY_URL", gateway.URL())
	t.Setenv("SOAKD_REMOTE_WRITE_URL", prometheus.URL()+"/api/v1/write")
	t.Setenv("SOAKD_PUSH_LABELS", "environment=test, pipeline=7")
	var stdout, stderr lockedbuffer.Buffer
	_ = run(t.Context(), []string{"check", "--listen", "127.0.0.1:0"}, &stdout, &stderr) // the target answers no case rightly
	for _, url := range []string{gateway.URL(), prometheus.URL()} {
		if host := strings.TrimPrefix(url, "http://"); !strings.Contains(stdout.String(), "("+host+"): ok\n") {
			t.Errorf("soakd check says nothing of %s:\n%s", host, &stdout)
		}
	}
	err = run(t.Context(), []string{"run", "--duration", "1s", "--rate", "100", "--listen", "127.0.0.1:0", "--users", "1", "--target-name", "staging", "--shard", "2/2"}, &stdout, &stderr)
	if exitCode(err) != exitFailed || !strings.Contains(stderr.String(), "the metrics of this run are pushed") {
		t.Fatalf("%v, log:\n%s", err, &stderr)
	}
	kept := sum(families(t, gateway.URL()+"/metrics"), "soakd_arrivals_sent_total", "instance")
	if kept["staging-2"] != 50 {
		t.Errorf("the Pushgateway has %v arrivals, want 50 of staging-2", kept)
	}
	var answer struct {
		Data struct {
			Result []struct{ Value []any }
		}
	}
	text := page(t, prometheus.URL()+"/api/v1/query?query="+url.QueryEscape(`soakd_http_response_time_seconds_bucket{le="+Inf",class!="invalid",job="soakd",instance="staging-2",pipeline="7"} > 0`))
	if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer.Data.Result) == 0 {
		t.Errorf("%v: no buckets in %s", err, text)
	}
}

// That nobody takes the metrics is said and changes no exit code: it says nothing about
// the target.
func TestAPushThatFailsChangesNoResult(t *testing.T) {
	const token = "hunter2-hunter2"
	var refused atomic.Int64
	gateway := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refused.Add(1)
		http.Error(w, token, http.StatusBadRequest)
	}))
	t.Setenv("SOAKD_HISTORY_URL", "none")
	t.Setenv("SOAKD_PUSHGATEWAY_TOKEN", token)
	cfg, err := configOf(t, "--target-url", serveHandler(t, http.HandlerFunc(anything)), "--duration", "1s", "--rate", "20", "--users", "1", "--listen", "127.0.0.1:0", "--pushgateway-url", gateway, "--log-level", "error")
	if err != nil {
		t.Fatal(err)
	}
	cfg.PushInterval = 50 * time.Millisecond // less than may be set
	var stdout, stderr lockedbuffer.Buffer
	d, err := newDaemon(t.Context(), cfg, cfg.newProgress(&stdout), cfg.logger(&stderr))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = d.run(ctx)
	if exitCode(err) != exitFailed || !strings.Contains(err.Error(), "answered rightly") {
		t.Errorf("got %v, exit code %d", err, exitCode(err))
	}
	if text := stderr.String(); strings.Count(text, "could not be pushed; its result stands") != 1 || strings.Contains(text, token) {
		t.Errorf("the log is\n%s", text)
	}
	figure := d.pusher.Figures()["pushgateway"]
	if figure.Failures < 3 || figure.Failures != figure.Pushes || refused.Load() < figure.Failures {
		t.Errorf("%+v, refused %d times", figure, refused.Load())
	}
	if got := sum(metricsOf(t, d), "soakd_push_failures_total", "destination"); got["pushgateway"] != float64(figure.Failures) {
		t.Errorf("the metrics say %v, want %d", got, figure.Failures)
	}
}

func TestPushSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		set  map[string]string
		want string
	}{
		"fine": {map[string]string{
			"SOAKD_PUSHGATEWAY_URL": "http://x:9091", "SOAKD_REMOTE_WRITE_URL": "https://x/write", "SOAKD_REMOTE_WRITE_USER": "ci", "SOAKD_REMOTE_WRITE_TOKEN_FILE": file,
			"SOAKD_PUSH_LABELS": "a=b,_c=d e", "SOAKD_PUSH_INTERVAL": "15s",
		}, ""},
		"password in the URL": {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://ci:hunter2@x:9091"}, "SOAKD_PUSHGATEWAY_URL: it holds a user or a password"},
		"no path":             {map[string]string{"SOAKD_REMOTE_WRITE_URL": "http://x:9090"}, "SOAKD_REMOTE_WRITE_URL: it has no path: give all of it, such as http://prometheus:9090/api/v1/write"},
		"user alone":          {map[string]string{"SOAKD_REMOTE_WRITE_URL": "http://x/w", "SOAKD_REMOTE_WRITE_USER": "ci"}, "SOAKD_REMOTE_WRITE_TOKEN: not set"},
		"token alone":         {map[string]string{"SOAKD_PUSHGATEWAY_TOKEN": "hunter2"}, "SOAKD_PUSHGATEWAY_URL: not set"},
		"token twice":         {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSHGATEWAY_TOKEN": "hunter2", "SOAKD_PUSHGATEWAY_TOKEN_FILE": file}, "SOAKD_PUSHGATEWAY_TOKEN, SOAKD_PUSHGATEWAY_TOKEN_FILE: give the value or the file, not both"},
		"line in a token":     {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSHGATEWAY_TOKEN": "hunter2\nhunter2"}, "SOAKD_PUSHGATEWAY_TOKEN: it holds line ends"},
		"colon in a user":     {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSHGATEWAY_USER": "a:b", "SOAKD_PUSHGATEWAY_TOKEN": "hunter2"}, "SOAKD_PUSHGATEWAY_USER: it holds a colon"},
		"interval alone":      {map[string]string{"SOAKD_PUSH_INTERVAL": "15s"}, "mean nothing without SOAKD_PUSHGATEWAY_URL or SOAKD_REMOTE_WRITE_URL"},
		"interval":            {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSH_INTERVAL": "1s"}, "SOAKD_PUSH_INTERVAL: 1s must be 0s"},
		"timeout":             {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSH_TIMEOUT": "1h"}, "SOAKD_PUSH_TIMEOUT: 1h0m0s must be 1s to 2m0s"},
		"form":                {map[string]string{"SOAKD_REMOTE_WRITE_HISTOGRAMS": "sparse"}, `SOAKD_REMOTE_WRITE_HISTOGRAMS: "sparse" must be classic, native or both`},
		"job":                 {map[string]string{"SOAKD_PUSH_JOB": "a b"}, `SOAKD_PUSH_JOB: "a b" must be`},
		"instance":            {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSH_INSTANCE": "a/b"}, `SOAKD_PUSH_INSTANCE: "a/b" must be`},
		"no label":            {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSH_LABELS": "a"}, `SOAKD_PUSH_LABELS: "a" must be name=value`},
		"own label":           {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSH_LABELS": "class=x"}, `soakd's own metrics have a label`},
		"label twice":         {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSH_LABELS": "a=x,a=y"}, `"a" is given twice`},
		"Prometheus' label":   {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSH_LABELS": "__name__=x"}, `must be name=value`},
		"long value":          {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSH_LABELS": "a=" + strings.Repeat("x", 129)}, `must be text of 1 to 128 bytes`},
		"many labels":         {map[string]string{"SOAKD_PUSHGATEWAY_URL": "http://x", "SOAKD_PUSH_LABELS": "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1"}, `11 labels, and at most 10`},
		"no authorities":      {map[string]string{"SOAKD_PUSHGATEWAY_URL": "https://x", "SOAKD_PUSH_CA_FILE": file}, "SOAKD_PUSH_CA_FILE: "},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range test.set {
				t.Setenv(name, value)
			}
			_, err := configOf(t, "--target-url", "http://127.0.0.1:1")
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("a secret shows in %v", err)
			}
		})
	}
}

// `soakd check` tells a destination that is away from one that refuses.
func TestCheckOfPushes(t *testing.T) {
	target := serveHandler(t, http.HandlerFunc(anything))
	t.Setenv("SOAKD_HISTORY_URL", "none")
	t.Setenv("SOAKD_TARGET_URL", target)
	t.Setenv("SOAKD_PUSHGATEWAY_URL", "http://127.0.0.1:1")
	t.Setenv("SOAKD_REMOTE_WRITE_URL", serveHandler(t, http.NotFoundHandler())+"/api/v1/write")
	var stdout, stderr lockedbuffer.Buffer
	err := run(t.Context(), []string{"check"}, &stdout, &stderr)
	for _, want := range []string{"push to pushgateway (127.0.0.1:1): ", "connection refused", "it answered 404", "--web.enable-remote-write-receiver"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%v: no %q in\n%s", err, want, &stdout)
		}
	}
	if exitCode(err) != exitNotRun || !strings.Contains(err.Error(), "1 of the checks could not reach") {
		t.Errorf("got %v", err)
	}
}
