package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/load"
)

const (
	// windowLength is how much of its own work soakd judges at once: long enough
	// for a quantile at a modest rate, short enough to lose little when it is unfit.
	windowLength = 10 * time.Second
	// throttleEvery is how often soakd looks what holds the load back: the load may
	// be paused and resumed, or users held and let go, within one window.
	throttleEvery = 250 * time.Millisecond
)

// ownWork is what soakd knows of its own work at one moment. All counts are since
// the start.
type ownWork struct {
	at     time.Time
	counts load.Counts
	lags   *histogram.Histogram
	// cpu is the CPU time of the process.
	cpu      time.Duration
	failed   map[load.SystemKind]int64
	throttle load.Throttle
	// rate is the arrivals a second that are aimed at; 0 in closed mode.
	rate float64
}

// windowsConfig says what is judged and how.
type windowsConfig struct {
	limits load.FitnessLimits
	// cpus is how many CPUs soakd may use; 0 when that or its CPU time is not known.
	cpus float64
	// duration is how long the schedule lasts; 0 for ever. Windows that begin after
	// it only see the last requests end and are not judged.
	duration time.Duration
	// read takes stock now, throttle alone is cheap.
	read     func() ownWork
	throttle func() load.Throttle
	// ended is told of each window that is over, judged or not; nil tells nobody.
	ended func(closing)
	log   *slog.Logger
}

// windows judges soakd's own work, one window after the other: whether soakd was
// fit to judge the target by what it measured.
type windows struct {
	cfg     windowsConfig
	fitness *load.Fitness

	mu sync.Mutex
	// latest are the facts of the latest window that was judged.
	latest load.WindowFacts
}

func newWindows(cfg windowsConfig) (*windows, error) {
	fitness, err := load.NewFitness(cfg.limits)
	if err != nil {
		return nil, err
	}
	return &windows{cfg: cfg, fitness: fitness}, nil
}

// run judges windows until ctx ends.
func (w *windows) run(ctx context.Context) {
	ends, looks := time.NewTicker(windowLength), time.NewTicker(throttleEvery)
	defer ends.Stop()
	defer looks.Stop()
	start := w.cfg.read()
	began, held := start.at, start.throttle
	for last := false; !last; {
		select {
		case <-looks.C:
			held = heldBackMost(held, w.cfg.throttle())
			continue
		case <-ends.C:
		case <-ctx.Done():
			last = true
		}
		end := w.cfg.read()
		facts := windowFacts(start, end, held, w.cfg.cpus)
		counts := w.counts(start.at.Sub(began), end.at.Sub(start.at), last)
		if counts {
			w.judge(facts)
		}
		if w.cfg.ended != nil {
			w.cfg.ended(closingOf(start, end, load.JudgeWindow(facts, w.cfg.limits), counts))
		}
		start, held = end, end.throttle
	}
}

// closingOf is what the judgement is told of a window.
func closingOf(start, end ownWork, unfit []load.UnfitReason, counts bool) closing {
	c := closing{
		start: start.at, end: end.at, unfit: unfit, counts: counts, rate: end.rate,
		scheduled: end.counts.Scheduled - start.counts.Scheduled, sent: end.counts.Sent - start.counts.Sent,
		dropped: end.counts.TotalDropped() - start.counts.TotalDropped(),
	}
	if length := end.at.Sub(start.at).Seconds(); c.rate == 0 && length > 0 {
		c.rate = float64(c.sent) / length // closed mode, and the end of a run
	}
	return c
}

// counts tells what is a window: not what begins when the schedule is over, and of
// what is left at the end only half a window or more, unless there is nothing else.
// Less could neither speak for a run nor against it.
func (w *windows) counts(begins, length time.Duration, last bool) bool {
	if w.cfg.duration > 0 && begins >= w.cfg.duration {
		return false
	}
	return !last || length >= windowLength/2 || w.fitness.Status().Windows == 0
}

func (w *windows) judge(facts load.WindowFacts) {
	line := w.fitness.Window(facts)
	w.mu.Lock()
	w.latest = facts
	w.mu.Unlock()
	if line == "" {
		return
	}
	level := slog.LevelWarn
	if w.fitness.Status().Fit() {
		level = slog.LevelInfo
	}
	w.cfg.log.Log(context.Background(), level, line)
}

// cpuShare returns the share of soakd's CPUs that it used in the latest window, 0..1,
// and false when it is not known.
func (w *windows) cpuShare() (float64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest.CPUShare(), w.latest.CPUs > 0
}

// unfit says of a run that most of its windows were not fit to judge the target by,
// and why; "" when at least half of them were. none tells that not one was.
func (w *windows) unfit() (text string, none bool) {
	s := w.fitness.Status()
	if fit := s.Windows - s.Unfit; s.Windows == 0 || (fit > 0 && 2*fit >= s.Windows) {
		return "", false
	}
	var reasons []string
	for _, reason := range load.UnfitReasons() {
		if n := s.ByReason[reason]; n > 0 {
			reasons = append(reasons, fmt.Sprintf("%s %d", reason, n))
		}
	}
	text = fmt.Sprintf("%d of %d windows were fit to pass a judgement (%s); the log says what would help", s.Windows-s.Unfit, s.Windows, strings.Join(reasons, ", "))
	return text, s.Unfit == s.Windows
}

// windowFacts are the facts of the window between two moments. held is what held
// the load back most in between.
func windowFacts(start, end ownWork, held load.Throttle, cpus float64) load.WindowFacts {
	lags := end.lags.Sub(start.lags)
	facts := load.WindowFacts{
		Expected: windowLength, Length: end.at.Sub(start.at), Wall: end.at.Round(0).Sub(start.at.Round(0)), // without the monotonic clock
		Scheduled: end.counts.Scheduled - start.counts.Scheduled, Cut: end.counts.Cut - start.counts.Cut,
		Dropped: since(end.counts.Dropped, start.counts.Dropped), LagP99: lags.Quantile(0.99),
		CPU: end.cpu - start.cpu, CPUs: cpus, Failed: since(end.failed, start.failed),
	}
	held = heldBackMost(held, end.throttle)
	facts.Paused, facts.Circuit, facts.Held = held.Paused, held.Circuit.State, int64(held.HeldUsers)
	if end.throttle.Circuit.Trips > start.throttle.Circuit.Trips || end.throttle.Circuit.Relapses > start.throttle.Circuit.Relapses {
		facts.Circuit = load.CircuitOpen
	}
	// A hold may be over before anybody looks. Each is of one user at least.
	if made := holds(end) - holds(start); made > 0 {
		facts.Held = max(facts.Held, 1)
	}
	return facts
}

func holds(w ownWork) int64 { return w.throttle.Holds.User + w.throttle.Holds.Everybody }

// since subtracts older counts; those that did not grow are left out.
func since[K comparable](counts, older map[K]int64) map[K]int64 {
	grown := maps.Clone(counts)
	for key := range grown {
		grown[key] -= older[key]
	}
	maps.DeleteFunc(grown, func(_ K, n int64) bool { return n <= 0 })
	return grown
}

// heldBackMost is the worse of each thing that holds the load back.
func heldBackMost(a, b load.Throttle) load.Throttle {
	worst := b
	worst.Paused = a.Paused || b.Paused
	worst.HeldUsers = max(a.HeldUsers, b.HeldUsers)
	if severity(a.Circuit.State) > severity(b.Circuit.State) {
		worst.Circuit.State = a.Circuit.State
	}
	return worst
}

// severity orders the states of a circuit by how little they let through.
func severity(state load.CircuitState) int {
	switch state {
	case load.CircuitOpen:
		return 2
	case load.CircuitRecovering:
		return 1
	}
	return 0
}

// judgeOwnWork returns the windows of a run.
func (d *daemon) judgeOwnWork() (*windows, error) {
	limits := load.DefaultFitnessLimits()
	limits.LagP99, limits.CPUShare = d.cfg.LagLimit, d.cfg.CPULimit
	cpus := 0.0
	if _, known := load.ProcessCPU(); known {
		cpus = load.AvailableCPUs(os.DirFS("/"))
	}
	return newWindows(windowsConfig{limits: limits, cpus: cpus, duration: d.cfg.Duration, read: d.ownWork, throttle: d.engine.Throttle, ended: d.judgement.windowEnded, log: d.log})
}

// ownWork takes stock of soakd's own work.
func (d *daemon) ownWork() ownWork {
	cpu, _ := load.ProcessCPU() // not known: there are no CPUs to divide it by
	return ownWork{
		at: time.Now(), counts: d.engine.Counts(), lags: d.recorder.Lags(), cpu: cpu,
		failed: d.traffic.client.Transfer().SystemErrors, throttle: d.engine.Throttle(), rate: d.engine.TargetRate(),
	}
}
