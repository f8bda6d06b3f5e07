package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/judge"
	"soakd/internal/load"
	"soakd/internal/lockedbuffer"
	"soakd/internal/report"
)

// A bounded run passes only when it ran its time and the target answered rightly
// at all.
func TestRunIsNeverBetterThanTheTruth(t *testing.T) {
	for name, test := range map[string]struct {
		handler   http.HandlerFunc
		interrupt bool
		want      int
		message   string
	}{
		"answers HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>502 Bad Gateway</html>")
		}, false, exitFailed, "not one of 20 requests was answered rightly"},
		"speaks no HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "220 smtp.test ESMTP\r\n")
				_ = conn.Close()
			}
		}, false, exitNotRun, "never answered: 20 of 20 requests failed"},
		"is interrupted": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
		}, true, exitNotRun, "of 1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			server := httptest.NewServer(test.handler)
			defer server.Close()
			t.Setenv("SOAKD_TARGET_URL", server.URL)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			duration := "200ms"
			var stdout, stderr lockedbuffer.Buffer
			if test.interrupt {
				duration = "1h"
				go func() {
					// The first line of the log tells that traffic has begun.
					for !strings.Contains(stderr.String(), "request failed") && ctx.Err() == nil {
						time.Sleep(time.Millisecond) // polls a condition
					}
					cancel()
				}()
			}
			err := run(ctx, []string{"run", "--duration", duration, "--rate", "100", "--listen", "127.0.0.1:0", "--users", "1"}, &stdout, &stderr)
			if exitCode(err) != test.want || err == nil || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %v, exit code %d; want %q, %d\n%s", err, exitCode(err), test.message, test.want, &stdout)
			}
		})
	}
}

// Where no token is sent, a request without one is no invalid input.
func TestTokenCasesNeedATarget(t *testing.T) {
	for secret, want := range map[string]int{"": 0, "0123456789abcdef0123456789abcdef": 3} {
		t.Setenv("SOAKD_TARGET_URL", "http://127.0.0.1:1")
		t.Setenv("SOAKD_JWT_SECRET", secret)
		cfg, err := readConfig(command{name: "run"}, nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		made, err := newTraffic(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		cases := 0
		for _, c := range made.workload.Cases {
			if strings.HasPrefix(c.Name, "invalid_token_") {
				cases++
			}
		}
		if cases != want || (want == 0) != (len(made.workload.Notes) > 0) {
			t.Errorf("with the key %q: %d token cases, want %d; notes %q", secret, cases, want, made.workload.Notes)
		}
	}
}

// A run of which nothing is known has not passed.
func TestAnUnknownVerdictIsNoPass(t *testing.T) {
	c, valid, invalid, start := collected(t)
	for name, test := range map[string]struct {
		of   *load.Case
		want int
	}{"valid requests": {valid, exitOK}, "invalid ones alone": {invalid, exitNotRun}} {
		c.before = c.recorder.Snapshot()
		made, err := newJudgement(c, judge.Config{})
		if err != nil {
			t.Fatal(err)
		}
		c.done(&load.Result{Case: test.of, Outcome: load.OK, Status: 200, Done: start, ResponseTime: time.Millisecond, Duration: time.Millisecond})
		made.windowEnded(closing{start: start, end: start.Add(windowLength), sent: 1, counts: true})
		verdict := made.Verdict(true)
		conclusion := report.Conclude(&report.Run{All: report.Traffic{Requests: 1}, Verdict: &verdict}, &report.Circumstances{Answered: true, OK: 1})
		if err := outcome(&conclusion); exitCode(err) != test.want {
			t.Errorf("%s: %d, %v", name, exitCode(err), err)
		}
	}
}
