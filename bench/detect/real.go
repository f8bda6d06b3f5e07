package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/finding"
)

// onReal is a fault of the reference API, with strengths and slopes that show in
// minutes, and what soakd has to call it.
type onReal struct {
	name, parameters string
	kind             finding.Kind
	about            func(finding.Subject) bool
	// within is how long it may take.
	within time.Duration
}

// realFaults are those that are tried, the quickest first: a leak needs the time
// before it as well.
func realFaults() []onReal {
	anything := func(finding.Subject) bool { return true }
	forecasts := func(s finding.Subject) bool { return s.Case == "forecast" || s.Class == "standard" }
	signal := func(part string) func(finding.Subject) bool {
		return func(s finding.Subject) bool { return strings.Contains(s.Signal, part) }
	}
	const soon, leaks = 12 * time.Minute, 40 * time.Minute
	return []onReal{
		{"accept_invalid", `{}`, finding.AcceptedInvalid, anything, soon},
		{"wrong_monte_carlo", `{}`, finding.WrongAnswer, anything, soon},
		{"lost_scenario", `{}`, finding.DataLost, anything, soon},
		{"errors", `{"ratio": 0.02}`, finding.Errors, func(s finding.Subject) bool { return s.Class == finding.AllTraffic }, soon},
		{"slow_endpoint", `{"route": "forecast", "factor": 3}`, finding.Latency, forecasts, soon},
		{"lock_contention", `{}`, finding.LockContention, anything, soon},
		{"pool_exhaustion", `{}`, finding.PoolExhausted, anything, soon},
		{"cache_off", `{}`, finding.CacheIneffective, anything, soon},
		{"restart", `{"every": "1m"}`, finding.Restarts, anything, soon},
		{"file_leak", `{"per_second": 1}`, finding.Leak, signal("fds"), leaks},
		{"memory_leak", `{"slope": "fast"}`, finding.Leak, signal("memory"), leaks},
	}
}

const (
	// usualSettle is for how long the demo runs before the first fault; between two
	// of them it runs for a third of that.
	usualSettle  = 15 * time.Minute
	realRate     = "200"
	adminTimeout = 20 * time.Second
)

// demo is a running `soakd demo`.
type demo struct {
	// soakd and api are the addresses of soakd and of the reference API.
	soakd, api, token string
	client            http.Client
	// every is how often the findings are read.
	every time.Duration
}

// realRun switches the faults on in a running demo, one after the other, and waits
// for soakd to find them.
func realRun(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	process := exec.CommandContext(ctx, o.soakd, "demo", "--rate", realRate, "--listen", "127.0.0.1:0", "--progress-interval", "0")
	process.Cancel = func() error { return process.Process.Signal(syscall.SIGTERM) }
	process.WaitDelay = time.Minute
	process.Stderr = io.Discard
	output, err := process.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read the demo's output: %w", err)
	}
	if err := process.Start(); err != nil {
		return fmt.Errorf("start the demo (make build makes it): %w", err)
	}
	d, err := readBanner(bufio.NewScanner(output))
	if err == nil {
		err = d.tryAll(ctx, o, stdout, stderr)
	}
	stop()
	_ = process.Wait() // it was told to end
	return err
}

// readBanner waits for the addresses that the demo prints.
func readBanner(lines *bufio.Scanner) (*demo, error) {
	d := &demo{client: http.Client{Timeout: adminTimeout}, every: 5 * time.Second}
	admin := regexp.MustCompile(`Bearer (\S+)' .* (http://\S+)/admin/faults/`)
	page := regexp.MustCompile(`^\s*page\s+(http://\S+?)/?\s*$`)
	for lines.Scan() {
		if m := admin.FindStringSubmatch(lines.Text()); m != nil {
			d.token, d.api = m[1], m[2]
		}
		if m := page.FindStringSubmatch(lines.Text()); m != nil {
			d.soakd = m[1]
		}
		if d.soakd != "" && d.api != "" {
			return d, nil
		}
	}
	err := lines.Err()
	if err == nil {
		err = io.EOF
	}
	return nil, fmt.Errorf("read where the demo serves and how its faults are switched: %w", err)
}

func (d *demo) tryAll(ctx context.Context, o options, stdout, stderr io.Writer) error {
	fmt.Fprintf(stderr, "%s settles for %v\n", d.soakd, o.settle)
	if err := wait(ctx, o.settle); err != nil {
		return err
	}
	missed := 0
	fmt.Fprint(stdout, "| fault | named | found after | other findings |\n|---|---|---|---|\n")
	for _, f := range realFaults() {
		if o.fault != "" && !slices.Contains(strings.Split(o.fault, ","), f.name) {
			continue
		}
		row, ok, err := d.try(ctx, &f)
		if err != nil {
			return err
		}
		fmt.Fprint(stdout, row)
		fmt.Fprintln(stderr, strings.TrimSpace(row))
		if !ok {
			missed++
		}
		if err := wait(ctx, o.settle/3); err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d faults of the running API were not found, or not alone", missed)
	}
	return nil
}

// try switches one fault on until it is found or its time is over, and off again.
func (d *demo) try(ctx context.Context, f *onReal) (row string, ok bool, err error) {
	before, err := d.findings(ctx)
	if err != nil {
		return "", false, err
	}
	path := d.api + "/admin/faults/" + f.name
	if err := d.ask(ctx, http.MethodPut, path, f.parameters, nil); err != nil {
		return "", false, fmt.Errorf("switch %s on: %w", f.name, err)
	}
	on, after := time.Now(), time.Duration(-1)
	var fresh []judge.Finding
	for after < 0 && time.Since(on) < f.within {
		if err := wait(ctx, d.every); err != nil {
			return "", false, err
		}
		now, err := d.findings(ctx)
		if err != nil {
			return "", false, err
		}
		fresh = slices.DeleteFunc(now, func(x judge.Finding) bool {
			return slices.ContainsFunc(before, func(b judge.Finding) bool { return b.ID == x.ID })
		})
		if slices.ContainsFunc(fresh, f.is) {
			after = time.Since(on)
		}
	}
	if err := d.ask(ctx, http.MethodDelete, path, "", nil); err != nil {
		return "", false, fmt.Errorf("switch %s off: %w", f.name, err)
	}
	others := slices.DeleteFunc(fresh, f.is)
	text := "missed"
	if after >= 0 {
		text = span(after)
	}
	return fmt.Sprintf("| %#q | %s | %s | %s |\n", f.name, f.kind, text, names(others)), after >= 0 && len(others) == 0, nil
}

func (f *onReal) is(x judge.Finding) bool { return x.Kind == f.kind && f.about(x.Subject) }

// findings reads what soakd has found.
func (d *demo) findings(ctx context.Context) ([]judge.Finding, error) {
	var answer struct {
		Findings []judge.Finding `json:"findings"`
	}
	if err := d.ask(ctx, http.MethodGet, d.soakd+"/api/v1/findings", "", &answer); err != nil {
		return nil, fmt.Errorf("read soakd's findings: %w", err)
	}
	return answer.Findings, nil
}

// ask sends a request, with the admin token when it is for the API, and decodes
// the answer. The API may be restarting: it is asked again for a while.
func (d *demo) ask(ctx context.Context, method, url, body string, into any) error {
	var err error
	for range 5 {
		var again bool
		if again, err = d.askOnce(ctx, method, url, body, into); err == nil || !again {
			return err
		}
		if wait(ctx, time.Second) != nil {
			break
		}
	}
	return err
}

func (d *demo) askOnce(ctx context.Context, method, url, body string, into any) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewBufferString(body))
	if err != nil {
		return false, err
	}
	if strings.HasPrefix(url, d.api) {
		request.Header.Set("Authorization", "Bearer "+d.token)
	}
	response, err := d.client.Do(request)
	if err != nil {
		return true, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	switch {
	case err != nil:
		return true, err
	case response.StatusCode != http.StatusOK:
		return response.StatusCode >= 500, fmt.Errorf("%s: %.200s", response.Status, text)
	case into == nil:
		return false, nil
	}
	return false, json.Unmarshal(text, into)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
