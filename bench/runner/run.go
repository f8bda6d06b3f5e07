//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machine says where the programs are and which CPUs they get.
type machine struct {
	bin                   string
	targetCPU, toolCPU    int
	body                  string
	scrapeEvery           time.Duration
	reference, referenceK string
}

// sample is one run of one tool.
type sample struct {
	claim claim
	// answered and arrived are the target's own counts.
	answered, arrived int64
	// cpu is the tool's user and system time in microseconds a request answered,
	// from the first request that arrived on: what a tool takes to start is left
	// out. whole is the same from the start of the process on.
	cpu, whole float64
	// resident is the largest resident memory in MiB.
	resident float64
	// busy is the share of its CPU that the target was busy, 0..1, while the tool ran.
	busy   float64
	pacing pacing
	// truth are the true times: what the target took, or with a stalling target
	// what a punctual client must see from the due time.
	truth times
}

// toolLimit is how much longer than its job a tool may run before it is ended.
const toolLimit = 45 * time.Second

// served is a running target.
type served struct {
	process *exec.Cmd
	url     string
	first   func()
	lines   chan string
	record  string
}

// summary is what the target prints at its end.
type summary struct{ Arrived, Answered int64 }

// pinned returns a command bound to one CPU. The affinity is set before the
// program begins, so that Go programs run with GOMAXPROCS=1.
func pinned(ctx context.Context, cpu int, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(cpu)}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	// A target does not outlive a runner that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd
}

// serve starts a target; onFirst is called when its first request has arrived.
func (m machine) serve(ctx context.Context, scratch string, flags []string, onFirst func()) (*served, error) {
	s := &served{first: onFirst, lines: make(chan string, 4), record: filepath.Join(scratch, "record")}
	args := append([]string{filepath.Join(m.bin, "target"), "-record", s.record}, flags...)
	s.process = pinned(ctx, m.targetCPU, args...)
	s.process.Stderr = os.Stderr
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the target: %w", err)
	}
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start the target: %w", err)
	}
	go s.listen(out)
	url, ok := <-s.lines
	if !ok {
		return nil, fmt.Errorf("the target did not start: %w", s.process.Wait())
	}
	s.url = url
	return s, nil
}

// listen passes the lines of the target on, and ends with it.
func (s *served) listen(out io.Reader) {
	defer close(s.lines)
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		if scanner.Text() == "first" {
			s.first()
			continue
		}
		s.lines <- scanner.Text()
	}
}

// stop ends the target and returns what it counted and its times.
func (s *served) stop() (summary, []arrival, error) {
	var counted summary
	err := s.process.Process.Signal(syscall.SIGTERM)
	for line := range s.lines {
		err = errors.Join(err, json.Unmarshal([]byte(line), &counted))
	}
	if err := errors.Join(err, s.process.Wait()); err != nil {
		return counted, nil, fmt.Errorf("stop the target: %w", err)
	}
	arrivals, err := readArrivals(s.record)
	return counted, arrivals, err
}

// readArrivals reads the target's file of pairs.
func readArrivals(path string) ([]arrival, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the target's times: %w", err)
	}
	arrivals := make([]arrival, len(data)/16)
	for i := range arrivals {
		pair := data[16*i:]
		arrivals[i].at = time.Duration(binary.LittleEndian.Uint64(pair))       // written as int64
		arrivals[i].held = time.Duration(binary.LittleEndian.Uint64(pair[8:])) // written as int64
	}
	return arrivals, nil
}

// watched is a tool that runs: its CPU time at the first request, its memory.
type watched struct {
	mu       sync.Mutex
	pid      int
	atFirst  time.Duration
	resident float64
}

// cpuClock returns the id of the clock of a process's CPU time: see
// clock_getcpuclockid(3) and the kernel's include/linux/posix-timers.h.
func cpuClock(pid int) int32 {
	const schedClock = 2
	return int32(^pid)<<3 | schedClock // a process id has 22 bits
}

// first notes the CPU time that the tool took until its first request.
func (w *watched) first() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var now unix.Timespec
	if w.pid != 0 && unix.ClockGettime(cpuClock(w.pid), &now) == nil {
		w.atFirst = time.Duration(now.Nano())
	}
}

// look notes the memory. ru_maxrss would not do: across fork and exec a child
// inherits the largest memory of its parent (setmax_mm_hiwater_rss in fs/exec.c).
func (w *watched) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.pid))
	if err != nil {
		return // it has ended
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err == nil {
				w.resident = kib / 1024
			}
		}
	}
}

// output keeps what a tool prints and hands the first line on as soon as it is there.
type output struct {
	bytes.Buffer
	line func(string)
}

// Write implements [io.Writer].
func (o *output) Write(p []byte) (int, error) {
	n, err := o.Buffer.Write(p)
	if line, _, found := bytes.Cut(o.Bytes(), []byte("\n")); found && o.line != nil {
		o.line(string(line))
		o.line = nil
	}
	return n, err
}

// run lets one tool do one job against a fresh target.
func (m machine) run(ctx context.Context, t tool, program string, s scenario, j job) (_ sample, err error) {
	scratch, err := os.MkdirTemp("", "soakd-bench-")
	if err != nil {
		return sample{}, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	w := &watched{}
	p := place{url: m.reference, key: m.referenceK, body: m.body, scratch: scratch}
	var target *served
	if !j.cashflow {
		if target, err = m.serve(ctx, scratch, s.targetFlags(j), w.first); err != nil {
			return sample{}, err
		}
		p.url = target.url
	}
	if s.kind == kindLatency {
		relax, awakeErr := m.keepAwake(ctx)
		if awakeErr != nil {
			return sample{}, awakeErr
		}
		defer relax()
	}
	begun := time.Now()
	result, err := m.send(ctx, t, program, p, j, w)
	wall := time.Since(begun)
	if target == nil {
		// The reference API is counted by soakd's own word.
		result.answered, result.arrived = result.claim.Requests-result.claim.Errors, result.claim.Requests
		result.divide(w.atFirst)
		result.pacing = pace(nil, j.rate, j.due())
		return result, err
	}
	counted, arrivals, stopErr := target.stop()
	if err := errors.Join(err, stopErr); err != nil {
		return sample{}, err
	}
	result.arrived, result.answered = counted.Arrived, counted.Answered
	result.divide(w.atFirst)
	result.busy = cpuTime(target.process).Seconds() / wall.Seconds()
	result.pacing = pace(arrivals, j.rate, j.due())
	result.truth = heldTimes(arrivals)
	if s.pattern.Period > 0 {
		result.truth = stallTimes(arrivals, s.pattern, j.rate, j.due())
	}
	return result, nil
}

// keepAwake keeps both CPUs from halting, by a loop that runs only when nobody
// else wants to (SCHED_IDLE), and returns what ends it. A halted virtual CPU takes
// tens of microseconds to wake up, once on either side of each request: that is
// the machine's, and no tool can report a latency without it.
func (m machine) keepAwake(ctx context.Context) (relax func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var loops []*exec.Cmd
	relax = func() {
		cancel()
		for _, loop := range loops {
			_ = loop.Wait() // ended by a signal, as was meant
		}
	}
	for _, cpu := range []int{m.targetCPU, m.toolCPU} {
		loop := pinned(ctx, cpu, "chrt", "--idle", "0", "sh", "-c", "while :; do :; done")
		if err := loop.Start(); err != nil {
			relax()
			return nil, fmt.Errorf("keep CPU %d awake: %w", cpu, err)
		}
		loops = append(loops, loop)
	}
	return relax, nil
}

// divide turns CPU time in microseconds into CPU time a request answered.
func (s *sample) divide(atFirst time.Duration) {
	n := float64(max(s.answered, 1))
	s.cpu, s.whole = (s.whole-micros(atFirst))/n, s.whole/n
}

func cpuTime(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// send starts the tool and waits for its end, watching it meanwhile. The CPU
// times of the sample it returns are not divided yet.
func (m machine) send(ctx context.Context, t tool, program string, p place, j job, w *watched) (result sample, err error) {
	what, err := t.command(program, p, j)
	if err != nil {
		return result, err
	}
	ctx, cancel := context.WithTimeout(ctx, j.duration+toolLimit)
	defer cancel()
	cmd := pinned(ctx, m.toolCPU, what.args...)
	cmd.Env, cmd.Dir = append(os.Environ(), what.env...), p.scratch
	addresses := make(chan string, 1)
	stdout := &output{line: func(line string) { addresses <- line }}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	w.mu.Lock()
	err = cmd.Start()
	if err == nil {
		w.pid = cmd.Process.Pid
	}
	w.mu.Unlock()
	if err != nil {
		return result, fmt.Errorf("start %s: %w", t.name, err)
	}
	watching, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	watchers.Go(func() { w.follow(watching) })
	watchers.Go(func() { m.scrape(watching, addresses) })
	err = cmd.Wait()
	stop()
	watchers.Wait()
	if err != nil {
		return result, fmt.Errorf("%s: %w: %s", t.name, err, lastLine(stderr.String()))
	}
	result.whole, result.resident = micros(cpuTime(cmd)), w.resident
	result.claim, err = t.parse(program, p, stdout.Bytes())
	if err != nil {
		return result, fmt.Errorf("%s: %w", t.name, err)
	}
	return result, nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// follow looks at the tool's memory four times a second.
func (w *watched) follow(ctx context.Context) {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// scrape reads the metrics of a tool whose first line is their address, as
// Prometheus would: a second after its start and then regularly.
func (m machine) scrape(ctx context.Context, addresses <-chan string) {
	var url string
	select {
	case <-ctx.Done():
		return
	case url = <-addresses:
	}
	if !strings.HasSuffix(url, "/metrics") {
		return
	}
	for timer := time.NewTimer(time.Second); ; timer.Reset(m.scrapeEvery) {
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			read(ctx, url)
		}
	}
}

// read reads a page to its end. A scrape that fails at the end of a run changes nothing.
func read(ctx context.Context, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// startReference starts the reference API and returns what ends it.
func (m *machine) startReference(ctx context.Context) (stop func() error, err error) {
	cmd := pinned(ctx, m.targetCPU, filepath.Join(m.bin, "reference"), "-refapi", filepath.Join(m.bin, "refapi"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the reference API: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reference API: %w", err)
	}
	stop = func() error {
		return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	}
	var ready struct{ URL, Key string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		return nil, errors.Join(fmt.Errorf("the reference API did not start: %w", err), stop())
	}
	m.reference, m.referenceK = ready.URL, ready.Key
	return stop, nil
}
