package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// UnfitReason says why a window says nothing about the target: soakd itself was
// the limit, or did not send the load that was set. It is a label value.
type UnfitReason string

// The reasons why a window is not fit for judgement.
const (
	// UnfitStalled: the window lasted far longer than it was to; soakd or its
	// machine stood still.
	UnfitStalled UnfitReason = "stalled"
	// UnfitDropped: arrivals were dropped or requests cut, the slowest first:
	// quantiles are lower bounds.
	UnfitDropped UnfitReason = "dropped"
	// UnfitLate: soakd noticed its arrivals late.
	UnfitLate UnfitReason = "late"
	// UnfitCPU: soakd used nearly all of the CPU that it may.
	UnfitCPU UnfitReason = "cpu"
	// UnfitPorts, UnfitFiles, UnfitMemory: see [SystemKind].
	UnfitPorts  UnfitReason = "ports"
	UnfitFiles  UnfitReason = "files"
	UnfitMemory UnfitReason = "memory"
	// UnfitThrottled: less was sent than was set, for the target's sake: the
	// circuit was not closed, or the target asked to be left alone.
	UnfitThrottled UnfitReason = "throttled"
	// UnfitPaused: somebody had paused the load.
	UnfitPaused UnfitReason = "paused"
)

// UnfitReasons lists every reason, in the order in which they are given.
func UnfitReasons() []UnfitReason {
	return []UnfitReason{
		UnfitStalled, UnfitDropped, UnfitLate, UnfitCPU, UnfitPorts, UnfitFiles, UnfitMemory, UnfitThrottled, UnfitPaused,
	}
}

// WindowFacts is what soakd knows about its own work in one window. All counts
// are of this window alone.
type WindowFacts struct {
	// Expected is how long the window was to last; 0 when nobody said.
	Expected time.Duration
	// Length is how long it lasted by the monotonic clock, Wall by the wall
	// clock: on Linux the first stands still while the machine is suspended.
	Length, Wall time.Duration
	// Scheduled counts the arrivals that fell due.
	Scheduled int64
	// Dropped counts those that were never sent.
	Dropped map[DropReason]int64
	// Cut counts the requests that were given up at the end of the grace period.
	Cut int64
	// LagP99 is the lag of the schedule that 99 % of the arrivals did not exceed.
	LagP99 time.Duration
	// CPU is the CPU time that soakd used (see [ProcessCPU]), CPUs how many CPUs
	// it may use (see [AvailableCPUs]); 0 when it is not known.
	CPU  time.Duration
	CPUs float64
	// Failed counts the connections that failed for want of something of soakd's
	// own machine (see [SystemError]).
	Failed map[SystemKind]int64
	// Circuit is the worst state that the circuit had; "" is closed.
	Circuit CircuitState
	// Held counts the users that the target had asked to leave alone at the end
	// of the window, or for some time in it.
	Held int64
	// Paused means that somebody had paused the load for some of it.
	Paused bool
}

// CPUShare returns the share of soakd's CPUs that was busy with soakd; 0 when it
// is not known.
//
//	CPU time / (length * CPUs)
func (f WindowFacts) CPUShare() float64 {
	if f.Length <= 0 || f.CPUs <= 0 {
		return 0
	}
	return f.CPU.Seconds() / (f.Length.Seconds() * f.CPUs)
}

// lost counts the arrivals that were dropped, apart from those that the target
// asked not to get.
func (f WindowFacts) lost() int64 {
	lost := int64(0)
	for reason, n := range f.Dropped {
		if reason != DropRetryAfter {
			lost += n
		}
	}
	return lost
}

// excess is how much longer the window lasted than it was to.
func (f WindowFacts) excess() time.Duration {
	if f.Expected <= 0 {
		return 0
	}
	return max(f.Length, f.Wall) - f.Expected
}

// FitnessLimits says up to where soakd's own work counts as fit.
type FitnessLimits struct {
	// LagP99 is the largest lag at the 99 % quantile.
	LagP99 time.Duration
	// CPUShare is the largest share of soakd's CPUs, 0..1: beyond it requests
	// wait for a CPU, and their time counts as the target's.
	CPUShare float64
	// Excess is how much longer than it was to a window may last.
	Excess time.Duration
}

// DefaultFitnessLimits allows a lag of 10 ms, 90 % of the CPU and 2 s more.
func DefaultFitnessLimits() FitnessLimits {
	return FitnessLimits{LagP99: 10 * time.Millisecond, CPUShare: 0.9, Excess: 2 * time.Second}
}

// Validate returns the first mistake.
func (l FitnessLimits) Validate() error {
	switch {
	case l.LagP99 <= 0:
		return fmt.Errorf("fitness: the largest lag %v must be above 0s", l.LagP99)
	case !(l.CPUShare > 0 && l.CPUShare <= 1): // not a number is neither
		return fmt.Errorf("fitness: the largest share of the CPU %v must be above 0 and up to 1", l.CPUShare)
	case l.Excess <= 0:
		return fmt.Errorf("fitness: the excess of a window %v must be above 0s", l.Excess)
	}
	return nil
}

// JudgeWindow returns why a window is not fit for judgement, in the order of
// [UnfitReasons]; none when it is.
func JudgeWindow(f WindowFacts, l FitnessLimits) []UnfitReason {
	var reasons []UnfitReason
	for _, reason := range UnfitReasons() {
		if applies(reason, f, l) {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

func applies(reason UnfitReason, f WindowFacts, l FitnessLimits) bool {
	switch reason {
	case UnfitStalled:
		return f.excess() > l.Excess
	case UnfitDropped:
		return f.lost() > 0 || f.Cut > 0
	case UnfitLate:
		return f.LagP99 > l.LagP99
	case UnfitCPU:
		return f.CPUShare() > l.CPUShare
	case UnfitPorts:
		return f.Failed[SystemPorts] > 0
	case UnfitFiles:
		return f.Failed[SystemFiles] > 0
	case UnfitMemory:
		return f.Failed[SystemMemory] > 0
	case UnfitThrottled:
		return f.throttled()
	case UnfitPaused:
		return f.Paused
	}
	return false
}

func (f WindowFacts) throttled() bool {
	return f.Held > 0 || f.Dropped[DropRetryAfter] > 0 || (f.Circuit != "" && f.Circuit != CircuitClosed)
}

// explain says a reason with its figures and what would help.
func explain(reason UnfitReason, f WindowFacts, l FitnessLimits) string {
	switch reason {
	case UnfitStalled:
		return fmt.Sprintf("the window lasted %v instead of %v: soakd's machine stood still (suspended, or its process was stopped)",
			max(f.Length, f.Wall).Round(time.Millisecond), f.Expected)
	case UnfitDropped:
		return explainDropped(f)
	case UnfitLate:
		return fmt.Sprintf("1 %% of the arrivals were noticed more than %v late, %v are allowed: give soakd more CPU or a quieter machine",
			f.LagP99.Round(time.Microsecond), l.LagP99)
	case UnfitCPU:
		return fmt.Sprintf("soakd used %.0f %% of its %.4g CPUs, %.0f %% are allowed: give it more CPU, or lower SOAKD_RATE",
			100*f.CPUShare(), f.CPUs, 100*l.CPUShare)
	case UnfitPorts:
		return fmt.Sprintf("%d connections found no local port: widen net.ipv4.ip_local_port_range, or let connections live longer", f.Failed[SystemPorts])
	case UnfitFiles:
		return fmt.Sprintf("%d connections found no file descriptor: raise the limit (ulimit -n, LimitNOFILE=), or lower SOAKD_MAX_IN_FLIGHT", f.Failed[SystemFiles])
	case UnfitMemory:
		return fmt.Sprintf("%d connections found no memory in the kernel: give the machine more memory, or lower SOAKD_MAX_IN_FLIGHT", f.Failed[SystemMemory])
	case UnfitThrottled:
		return explainThrottled(f)
	case UnfitPaused:
		return "the load was paused"
	}
	return string(reason)
}

// helpAgainstDrops says what helps against each kind of drop.
func helpAgainstDrops(reason DropReason) string {
	switch reason {
	case DropQueueFull, DropLate:
		return "raise SOAKD_MAX_IN_FLIGHT, or lower SOAKD_RATE to what the target takes"
	case DropNotBuilt:
		return "the log says why their requests could not be built"
	}
	return ""
}

func explainDropped(f WindowFacts) string {
	var counts, help []string
	for _, reason := range slices.Sorted(maps.Keys(f.Dropped)) {
		n := f.Dropped[reason]
		if n == 0 || reason == DropRetryAfter {
			continue
		}
		counts = append(counts, fmt.Sprintf("%d %s", n, reason))
		if h := helpAgainstDrops(reason); h != "" && !slices.Contains(help, h) {
			help = append(help, h)
		}
	}
	var said []string
	if lost := f.lost(); lost > 0 {
		said = append(said, fmt.Sprintf("%d arrivals were dropped while %d fell due (%s)", lost, f.Scheduled, strings.Join(counts, ", ")))
	}
	if f.Cut > 0 {
		said = append(said, fmt.Sprintf("%d requests were cut at the end", f.Cut))
	}
	text := strings.Join(said, " and ")
	if len(help) > 0 {
		text += ": " + strings.Join(help, "; ")
	}
	return text
}

func explainThrottled(f WindowFacts) string {
	var said []string
	if f.Circuit != "" && f.Circuit != CircuitClosed {
		said = append(said, fmt.Sprintf("the circuit was %s for a target that is unwell", f.Circuit))
	}
	if f.Held > 0 || f.Dropped[DropRetryAfter] > 0 {
		said = append(said, fmt.Sprintf("the target asked to be left alone (%d users held, %d arrivals not sent)", f.Held, f.Dropped[DropRetryAfter]))
	}
	return strings.Join(said, " and ") + ": less was sent than was set"
}

// FitnessStatus is the state of a [Fitness] at one moment.
type FitnessStatus struct {
	// Windows counts the windows, Unfit those that were not fit.
	Windows, Unfit int64
	// ByReason counts the windows to which each reason applied; a window may
	// have several. Every reason is in it.
	ByReason map[UnfitReason]int64
	// Latest is why the latest window was not fit; none when it was, or when
	// there was no window yet.
	Latest []UnfitReason
	// Consecutive counts the windows in a row, up to the latest, that were fit,
	// or that were not, as the latest was.
	Consecutive int64
}

// Fit reports whether the latest window was fit; false when there was none yet.
func (s FitnessStatus) Fit() bool { return s.Windows > 0 && len(s.Latest) == 0 }

// fitAgainAfter is how many windows in a row must be fit before the log says so:
// where every other window is unfit it would have a line for each.
const fitAgainAfter = 3

// Fitness keeps the verdicts on soakd's own work. It may be used by several
// goroutines at the same time.
type Fitness struct {
	limits FitnessLimits

	mu     sync.Mutex
	status FitnessStatus
	// said are the reasons that were said since soakd became unfit; none while
	// it counts as fit for the log.
	said map[UnfitReason]bool
	// unfit counts the unfit windows since then.
	unfit int64
}

// NewFitness returns a Fitness without windows.
func NewFitness(limits FitnessLimits) (*Fitness, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	byReason := make(map[UnfitReason]int64, len(UnfitReasons()))
	for _, reason := range UnfitReasons() {
		byReason[reason] = 0
	}
	return &Fitness{limits: limits, status: FitnessStatus{ByReason: byReason}, said: map[UnfitReason]bool{}}, nil
}

// Window judges one window and returns the line that the log should have, "" for
// none: one when soakd becomes unfit, one for each reason that comes on top, one
// when it has been fit again for three windows.
func (f *Fitness) Window(facts WindowFacts) (line string) {
	reasons := JudgeWindow(facts, f.limits)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count(reasons)
	if len(reasons) == 0 {
		return f.sayFit()
	}
	return f.sayUnfit(reasons, facts)
}

func (f *Fitness) count(reasons []UnfitReason) {
	s := &f.status
	if s.Windows > 0 && (len(reasons) == 0) != (len(s.Latest) == 0) {
		s.Consecutive = 0
	}
	s.Windows++
	s.Consecutive++
	s.Latest = reasons
	for _, reason := range reasons {
		s.ByReason[reason]++
	}
	if len(reasons) > 0 {
		s.Unfit++
	}
}

func (f *Fitness) sayUnfit(reasons []UnfitReason, facts WindowFacts) string {
	f.unfit++
	var news []string
	for _, reason := range reasons {
		if !f.said[reason] {
			f.said[reason] = true
			news = append(news, explain(reason, facts, f.limits))
		}
	}
	if len(news) == 0 {
		return ""
	}
	return "this window is not fit for judgement: " + strings.Join(news, "; ")
}

func (f *Fitness) sayFit() string {
	if len(f.said) == 0 || f.status.Consecutive < fitAgainAfter {
		return ""
	}
	line := fmt.Sprintf("windows are fit for judgement again; %d were not", f.unfit)
	clear(f.said)
	f.unfit = 0
	return line
}

// Status returns the verdicts so far. The copy is the caller's.
func (f *Fitness) Status() FitnessStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.status
	status.ByReason = maps.Clone(status.ByReason)
	status.Latest = slices.Clone(status.Latest)
	return status
}
