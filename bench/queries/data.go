package main

import (
	"bufio"
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"soakd/internal/dashboards"
)

// demoTime is how long a demo runs before its page is read: by then every case has
// been sent, and every probe has read what it reads.
const demoTime = 75 * time.Second

// recordingStep is the time between two evaluations of the recordings' past; what
// is between is drawn straight. Each evaluation at the recordings' own interval
// would take an hour.
const recordingStep = time.Hour

// makeData writes the data of the soakds and then, in blocks beside, what the
// recordings would have made of it.
func (o options) makeData(ctx context.Context, dir, data string) error {
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o755); err != nil { //nolint:gosec // no secret
		return err
	}
	page := o.page
	if page == "" {
		page = filepath.Join(dir, "page.txt")
		if err := o.demoPage(ctx, page); err != nil {
			return fmt.Errorf("get a page of metrics from a demo: %w", err)
		}
	}
	end := time.Now().Truncate(2 * time.Hour)
	if err := o.write(ctx, data, end, o.step, "-page", page); err != nil {
		return err
	}
	past := filepath.Join(dir, "recordings.json")
	for _, part := range o.recordings() {
		err := o.withPrometheus(ctx, dir, data, func(server *prometheus) error { return recordPast(ctx, server, part.recordings, past) })
		if err != nil {
			return fmt.Errorf("evaluate the recordings: %w", err)
		}
		if err := o.write(ctx, data, end, part.step, "-recordings", past); err != nil {
			return err
		}
	}
	return nil
}

// part are recordings whose past is made together.
type part struct {
	recordings []dashboards.Recording
	step       time.Duration
}

// recordings are those of all rules: of each group first those of scraped series,
// then those of other recordings, which must have a past by then.
func (o options) recordings() []part {
	var all []part
	for _, group := range o.settings().Rules() {
		step, err := time.ParseDuration(group.Interval)
		if err != nil { // it has none of its own
			step = o.step
		}
		var first, then []dashboards.Recording
		for _, r := range group.Recordings {
			if strings.Contains(r.Query, ":soakd_") {
				then = append(then, r)
			} else {
				first = append(first, r)
			}
		}
		for _, some := range [][]dashboards.Recording{first, then} {
			if len(some) > 0 {
				all = append(all, part{some, step})
			}
		}
	}
	return all
}

// write runs the program that writes blocks.
func (o options) write(ctx context.Context, data string, end time.Time, step time.Duration, more ...string) error {
	args := append([]string{
		"-out", data, "-end", strconv.FormatInt(end.Unix(), 10), "-span", span.String(), "-step", step.String(),
		"-native=" + strconv.FormatBool(o.native),
	}, more...)
	command := exec.CommandContext(ctx, o.blocks, args...) //nolint:gosec // from the command line
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}

// demoPage runs a demo with all its probes for a while and keeps its page.
func (o options) demoPage(ctx context.Context, path string) error {
	command := exec.CommandContext(ctx, o.soakd, "demo", "--duration", "3m", "--rate", "100", "--listen", "127.0.0.1:0", //nolint:gosec // from the command line
		"--probe-interval", "1s", "--probe-timeout", "1s", "--postgres-statements", "activity=pg_stat_activity", "--redis-read-config")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGINT) }
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	address, err := addressIn(output)
	if err == nil {
		select {
		case <-time.After(demoTime):
			err = fetch(ctx, address, path)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	err = errors.Join(err, command.Process.Signal(syscall.SIGINT))
	_, _ = io.Copy(io.Discard, output)
	_ = command.Wait() // it was told to stop, which it takes for a run that did not end
	return err
}

// addressIn waits for the line of a demo's banner that says where its page is.
func addressIn(output io.Reader) (string, error) {
	line := regexp.MustCompile(`^\s*metrics\s+(http://\S+)$`)
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if found := line.FindStringSubmatch(lines.Text()); found != nil {
			return found[1], nil
		}
	}
	return "", errors.Join(errors.New("the demo ended without saying where its metrics are"), lines.Err())
}

func fetch(ctx context.Context, address, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// recordPast asks for the recordings over the whole time.
func recordPast(ctx context.Context, server *prometheus, recordings []dashboards.Recording, path string) error {
	var all []json.RawMessage
	for _, r := range recordings {
		series, err := server.overRange(ctx, r.Query, span, recordingStep)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Record, err)
		}
		for _, s := range series {
			s.Metric["__name__"] = r.Record
			text, err := json.Marshal(s)
			if err != nil {
				return err
			}
			all = append(all, text)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
