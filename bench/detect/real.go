package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
	// stops is part of the name of the server that is stopped in place of a fault of
	// the API, which could only cut itself off: the probe would see nothing.
	stops string
}

// realFaults are those that are tried, the quickest first: a leak needs the time
// before it as well. None follows one that would explain it: what begins within
// minutes of an outage is part of it.
func realFaults() []onReal {
	anything := func(finding.Subject) bool { return true }
	forecasts := func(s finding.Subject) bool { return s.Case == "forecast" || s.Class == "standard" }
	signal := func(part string) func(finding.Subject) bool {
		return func(s finding.Subject) bool { return strings.Contains(s.Signal, part) }
	}
	target := func(name string) func(finding.Subject) bool {
		return func(s finding.Subject) bool { return s.Target == name }
	}
	const soon, leaks = 12 * time.Minute, 40 * time.Minute
	return []onReal{
		{name: "redis_down", stops: "redis", kind: finding.Outage, about: target("redis"), within: soon},
		{name: "accept_invalid", kind: finding.AcceptedInvalid, about: anything, within: soon},
		{name: "wrong_monte_carlo", kind: finding.WrongAnswer, about: anything, within: soon},
		{name: "lost_scenario", kind: finding.DataLost, about: anything, within: soon},
		{name: "errors", parameters: `{"ratio": 0.02}`, kind: finding.Errors, about: func(s finding.Subject) bool { return s.Class == finding.AllTraffic }, within: soon},
		{name: "slow_endpoint", parameters: `{"route": "forecast", "factor": 3}`, kind: finding.Latency, about: forecasts, within: soon},
		// Not in step with the polls of the probe.
		{name: "lock_contention", parameters: `{"hold": "1500ms", "every": "5300ms"}`, kind: finding.LockContention, about: anything, within: soon},
		{name: "pool_exhaustion", kind: finding.PoolExhausted, about: anything, within: soon},
		{name: "cache_off", kind: finding.CacheIneffective, about: anything, within: soon},
		{name: "gc_pauses", parameters: `{"every": "2s", "pause": "200ms"}`, kind: finding.GCPauses, about: anything, within: soon},
		{name: "hang", kind: finding.Hang, about: target("api"), within: soon},
		{name: "restart", parameters: `{"every": "1m"}`, kind: finding.Restarts, about: target("api"), within: soon},
		// From here on it takes more than 20 minutes: the shortest horizon of leaks.
		{name: "file_leak", parameters: `{"per_second": 1}`, kind: finding.Leak, about: signal("fds"), within: leaks},
		{name: "goroutine_leak", parameters: `{"per_second": 1}`, kind: finding.Leak, about: signal("goroutines"), within: leaks},
		{name: "connection_leak", parameters: `{"per_minute": 2}`, kind: finding.Leak, about: signal("_backends"), within: leaks},
		{name: "memory_leak", parameters: `{"slope": "fast"}`, kind: finding.Leak, about: signal("memory"), within: leaks},
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
	// pid is its process.
	pid    int
	client http.Client
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
		d.pid = process.Process.Pid
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
	healthy, err := d.findings(ctx)
	if err != nil {
		return err
	}
	missed := len(healthy)
	fmt.Fprint(stdout, "Found after: from the fault on; about: what the finding names; others: findings between this fault and the next.\n\n"+
		"| fault | named | about | found after | others |\n|---|---|---|---|---|\n")
	fmt.Fprintf(stdout, "| none, for %s | | | | %s |\n", span(o.settle), names(healthy))
	var left []string
	for _, f := range realFaults() {
		if o.fault != "" && !slices.Contains(strings.Split(o.fault, ","), f.name) {
			left = append(left, f.name)
			continue
		}
		row, ok, err := d.try(ctx, &f, o.settle/3)
		if err != nil {
			return err
		}
		fmt.Fprint(stdout, row)
		fmt.Fprintln(stderr, strings.TrimSpace(row))
		if !ok {
			missed++
		}
	}
	if len(left) > 0 {
		fmt.Fprintf(stdout, "\nNot tried here: %s.\n", strings.Join(left, ", "))
	}
	if missed > 0 {
		return fmt.Errorf("%d faults of the running API were not found, or not alone", missed)
	}
	return nil
}

// try switches one fault on until it is found or its time is over, and off again.
// What else is found until the rest is over belongs to it too.
func (d *demo) try(ctx context.Context, f *onReal, rest time.Duration) (row string, ok bool, err error) {
	before, err := d.findings(ctx)
	if err != nil {
		return "", false, err
	}
	fresh := func() ([]judge.Finding, error) {
		now, err := d.findings(ctx)
		return slices.DeleteFunc(now, func(x judge.Finding) bool {
			return slices.ContainsFunc(before, func(b judge.Finding) bool { return b.ID == x.ID })
		}), err
	}
	if err := d.change(ctx, f, true); err != nil {
		return "", false, fmt.Errorf("switch %s on: %w", f.name, err)
	}
	on, after := time.Now(), time.Duration(-1)
	var found []judge.Finding
	for after < 0 && time.Since(on) < f.within && err == nil {
		if err = wait(ctx, d.every); err != nil {
			break
		}
		if found, err = fresh(); slices.ContainsFunc(found, f.is) {
			after = time.Since(on)
		}
	}
	// Off again even when that failed: a server that is stopped would not end.
	if off := d.change(context.WithoutCancel(ctx), f, false); off != nil {
		err = errors.Join(err, fmt.Errorf("switch %s off: %w", f.name, off))
	}
	if err == nil {
		err = wait(ctx, rest)
	}
	if err == nil {
		found, err = fresh()
	}
	if err != nil {
		return "", false, err
	}
	about, text := "", "missed"
	if i := slices.IndexFunc(found, f.is); i >= 0 && after >= 0 {
		about, text = found[i].Subject.String(), span(after)
		found = slices.Delete(found, i, i+1)
	}
	return fmt.Sprintf("| %#q | %s | %s | %s | %s |\n", f.name, f.kind, about, text, names(found)), about != "" && len(found) == 0, nil
}

// change switches a fault on or off, or stops a server and lets it go on.
func (d *demo) change(ctx context.Context, f *onReal, on bool) error {
	if f.stops != "" {
		signal := syscall.SIGCONT
		if on {
			signal = syscall.SIGSTOP
		}
		pid, err := childOf(d.pid, f.stops)
		if err != nil {
			return err
		}
		return syscall.Kill(pid, signal)
	}
	path, method := d.api+"/admin/faults/"+f.name, http.MethodDelete
	if on {
		method = http.MethodPut
	}
	return d.ask(ctx, method, path, f.parameters, nil)
}

// childOf finds the child of a process with that part in the name of its program,
// as Linux tells of it.
func childOf(pid int, part string) (int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // gone when its thread has ended
		for child := range strings.FieldsSeq(string(text)) {
			name, err := os.ReadFile("/proc/" + child + "/comm")
			if err == nil && strings.Contains(string(name), part) {
				return strconv.Atoi(child)
			}
		}
	}
	return 0, fmt.Errorf("the demo has no %s of its own; it takes Linux and an installed server", part)
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
