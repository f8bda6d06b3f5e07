package probes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// maxStartDelay bounds the jittered start, so that a short run gets data.
	maxStartDelay = time.Second
	// grace is how long a poll or a close may go on after its context has ended
	// before it counts as hung.
	grace = 2 * time.Second
	// backoffJitter is the largest share taken off a back-off wait at random, so
	// that probes of one outage do not all knock at the same moment.
	backoffJitter = 0.2
)

// ErrHung is what a poll or a close that ignores its deadline fails with. Its
// goroutine cannot be stopped; the probe is not polled again before it has
// returned.
var ErrHung = errors.New("did not return after its deadline")

// PanicError is what a poll that panics fails with.
type PanicError struct {
	// Value is the text of the panic, on one line and bounded.
	Value string
	// Stack is the goroutine's stack at the panic.
	Stack []byte
}

func (e *PanicError) Error() string { return "poll panicked: " + e.Value }

// Poller polls probes, each in its own loop, and hands each result to one
// function. Make it with [New].
type Poller struct {
	probes   []Probe
	settings Settings
	sink     func(Result)
	log      *slog.Logger
	// random returns a number in [0,1).
	random func() float64
}

// New makes a poller of probes, whose names must differ. The poller owns the
// probes from here on: Run closes them. sink gets every result; it is called
// from several goroutines and must not block.
func New(probes []Probe, settings Settings, sink func(Result), log *slog.Logger) (*Poller, error) {
	if err := settings.Validate(); err != nil {
		return nil, fmt.Errorf("poll probes: %w", err)
	}
	names := make(map[string]bool, len(probes))
	for _, probe := range probes {
		if names[probe.Name()] {
			return nil, fmt.Errorf("poll probes: two are named %q", probe.Name())
		}
		names[probe.Name()] = true
	}
	return &Poller{probes: probes, settings: settings, sink: sink, log: log, random: rand.Float64}, nil
}

// Run polls until ctx ends, closes the probes and returns nil. It is called
// once. It returns at most 4 s after ctx has ended: a probe that neither comes
// back from its poll nor from its close in that time is left behind, and the
// error, which wraps [ErrHung], names it.
func (p *Poller) Run(ctx context.Context) error {
	errs := make([]error, len(p.probes))
	var loops sync.WaitGroup
	for i, probe := range p.probes {
		loops.Go(func() { errs[i] = p.newLoop(probe).run(ctx) })
	}
	loops.Wait()
	return errors.Join(errs...)
}

// loop polls one probe.
type loop struct {
	probe     Probe
	settings  Settings
	sink      func(Result)
	random    func() float64
	described map[*Desc]bool
	health    health
	// empty counts the polls in a row that read nothing.
	empty int
}

func (p *Poller) newLoop(probe Probe) *loop {
	described := make(map[*Desc]bool)
	for _, desc := range probe.Describe() {
		described[desc] = true
	}
	return &loop{
		probe: probe, settings: p.settings, sink: p.sink, random: p.random, described: described,
		health: health{log: p.log.With("probe", probe.Name())},
	}
}

// run polls until ctx ends and then closes the probe.
func (l *loop) run(ctx context.Context) error {
	wait := time.Duration(l.random() * float64(min(l.settings.Interval, maxStartDelay)))
	for sleep(ctx, wait) {
		start := time.Now()
		if err := l.step(ctx, start); err != nil {
			return err
		}
		wait = time.Until(start.Add(l.nextWait()))
	}
	return l.close()
}

// step makes one poll and delivers its result. It returns an error only when
// the poll is still running though ctx has ended.
func (l *loop) step(ctx context.Context, start time.Time) error {
	done := make(chan Result, 1)
	go func() { done <- l.poll(ctx, start) }()

	overdue := time.NewTimer(l.settings.Timeout + grace)
	defer overdue.Stop()
	select {
	case result := <-done:
		l.deliver(ctx, result)
		return nil
	case <-ctx.Done():
		return l.awaitLast(done)
	case <-overdue.C:
	}
	l.deliver(ctx, Result{Probe: l.probe.Name(), Start: start, Duration: time.Since(start), Err: fmt.Errorf("poll %w", ErrHung)})
	// No second poll beside a hung one: it may hold the probe's connections.
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return l.awaitLast(done)
	}
}

// awaitLast gives a poll whose context has ended the grace time. Its result
// tells of the shutdown, not of the dependency, and is dropped.
func (l *loop) awaitLast(done <-chan Result) error {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("probe %s: poll %w", l.probe.Name(), ErrHung)
	}
}

// poll calls the probe once and leaves out what no registry could take.
func (l *loop) poll(ctx context.Context, start time.Time) Result {
	reading, err := PollOnce(ctx, l.probe, start.Add(l.settings.Timeout))
	reading, wrong := reading.checked(l.described)
	return Result{Probe: l.probe.Name(), Start: start, Duration: time.Since(start), Reading: reading, Err: errors.Join(err, wrong)}
}

// deliver hands result on, unless ctx ended during the poll: then it tells of
// the shutdown.
func (l *loop) deliver(ctx context.Context, result Result) {
	if ctx.Err() != nil {
		return
	}
	if result.Err != nil && len(result.Reading.Samples) == 0 {
		l.empty++
	} else {
		l.empty = 0
	}
	l.health.update(result)
	l.sink(result)
}

// nextWait is from the start of the last poll to the start of the next. A probe
// that read at least a part keeps its interval: what it reads must not go stale
// because of what it cannot read.
func (l *loop) nextWait() time.Duration {
	if l.empty == 0 {
		return l.settings.Interval
	}
	wait := l.settings.backoff(l.empty)
	return max(l.settings.Interval, time.Duration(float64(wait)*(1-backoffJitter*l.random())))
}

// close closes the probe, for at most the grace time.
func (l *loop) close() error {
	if err := CloseOnce(l.probe); err != nil {
		return fmt.Errorf("probe %s: %w", l.probe.Name(), err)
	}
	return nil
}

// sleep waits for d and reports whether ctx is still alive then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
