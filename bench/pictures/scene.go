package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// scene is a demo with a Prometheus that scrapes it.
type scene struct {
	// soakd and api are URLs, token switches the faults of the API.
	soakd, api, token, prometheus string
}

// startScene starts both. The caller calls end, which waits for them.
func startScene(ctx context.Context, soakd, folder string) (*scene, func(), error) {
	listen, err := free(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := &scene{soakd: "http://" + listen}
	demo := exec.Command(soakd, "demo", "--listen", listen, "--enable-lifecycle", "--progress-interval", "0s", "--rate", "40", "--circuit-error-ratio", "0") //nolint:gosec,noctx // told to end below
	stdout, err := demo.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	endDemo, err := begin(demo)
	if err != nil {
		return nil, nil, err
	}
	if err := s.read(stdout); err != nil {
		endDemo()
		return nil, nil, err
	}
	var rest sync.WaitGroup
	rest.Go(func() { _, _ = io.Copy(io.Discard, stdout) }) // so that the demo is never held up
	endPrometheus, err := s.scrape(ctx, listen, folder)
	if err != nil {
		endDemo()
		rest.Wait()
		return nil, nil, err
	}
	return s, func() { endPrometheus(); endDemo(); rest.Wait() }, nil
}

// begin starts a process and returns what ends it and waits.
func begin(command *exec.Cmd) (end func(), err error) {
	if err := command.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = command.Wait()                          // how it ended does not matter
	}, nil
}

var (
	tokenLine = regexp.MustCompile(`Authorization: Bearer (\w+)'`)
	faultLine = regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/admin/faults/`)
)

// read takes what the demo says about its faults.
func (s *scene) read(stdout io.Reader) error {
	lines := bufio.NewReader(stdout)
	for s.api == "" || s.token == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the demo did not say how to switch its faults: %w", err)
		}
		if found := tokenLine.FindStringSubmatch(line); found != nil {
			s.token = found[1]
		}
		if found := faultLine.FindStringSubmatch(line); found != nil {
			s.api = found[1]
		}
	}
	return nil
}

// free returns an address on the loopback that nothing listens on.
func free(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// scrape starts Prometheus.
func (s *scene) scrape(ctx context.Context, target, folder string) (end func(), err error) {
	listen, err := free(ctx)
	if err != nil {
		return nil, err
	}
	rules, err := filepath.Abs("dashboards/rules/soakd.yaml")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(folder, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 5s, evaluation_interval: 5s}\nrule_files: [%q]\nscrape_configs: [{job_name: soakd, static_configs: [{targets: [%q]}]}]\n", rules, target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s.prometheus = "http://" + listen
	return begin(exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+listen, "--log.level=error")) //nolint:gosec,noctx // told to end by the caller
}

// act is a fault for a part of the time, from and to as shares of it.
type act struct {
	from, to               float64
	fault, parameters, say string
}

func acts() []act {
	return []act{
		{0.15, 1, "memory_leak", `{}`, "memory leaks"},
		{0.2, 0.35, "slow_all", `{"factor": 8}`, "everything is slow"},
		{0.45, 0.55, "errors", `{"ratio": 0.3}`, "a third of the answers are errors"},
		{0.6, 0.7, "accept_invalid", `{}`, "invalid input is accepted"},
		{0.75, 0.85, "dependency_down", `{"dependency": "redis"}`, "Redis is away"},
	}
}

// play visits the faults, each with a drill, and returns at the end.
func (s *scene) play(ctx context.Context, length time.Duration) error {
	type moment struct {
		at time.Duration
		do func(context.Context) error
	}
	var moments []moment
	for _, a := range acts() {
		share := func(part float64) time.Duration { return time.Duration(part * float64(length)) }
		moments = append(moments,
			moment{share(a.from), func(ctx context.Context) error {
				drill := fmt.Sprintf(`{"kind": "drill", "text": %q, "duration": %q}`, a.say, share(a.to-a.from).Round(time.Second))
				return errors.Join(s.call(ctx, http.MethodPut, s.api+"/admin/faults/"+a.fault, a.parameters), s.call(ctx, http.MethodPost, s.soakd+"/api/v1/events", drill))
			}},
			moment{share(a.to), func(ctx context.Context) error {
				return s.call(ctx, http.MethodDelete, s.api+"/admin/faults/"+a.fault, "")
			}})
	}
	start := time.Now()
	for len(moments) > 0 {
		first := 0
		for i := range moments {
			if moments[i].at < moments[first].at {
				first = i
			}
		}
		next := moments[first]
		moments = append(moments[:first], moments[first+1:]...)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(next.at - time.Since(start)):
		}
		if err := next.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *scene) call(ctx context.Context, method, url, body string) error {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	if strings.HasPrefix(url, s.api) {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read as far as it counts
	if response.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500)) // for the message only
		return fmt.Errorf("%s %s: %s %s", method, url, response.Status, text)
	}
	return nil
}
