// Package window holds what a stretch of time brought: the traffic of each case
// with a mergeable histogram, the signals of the probes, and how fit soakd was.
// Windows are the only input of the judgement, so that what was measured, what was
// stored and what is simulated are judged alike.
package window

import (
	"cmp"
	"slices"
	"time"

	"soakd/internal/histogram"
)

// The lengths of the windows. Each is a whole number of the one before.
const (
	Short  = 10 * time.Second
	Minute = time.Minute //nolint:revive // the level is called by its length
	Five   = 5 * time.Minute
	Hour   = time.Hour //nolint:revive // as Minute
)

// Levels lists the lengths, shortest first.
func Levels() []time.Duration { return []time.Duration{Short, Minute, Five, Hour} }

// Mixed is the version of a target that answered with several versions in one
// window, as in a rolling deployment.
const Mixed = "mixed"

// Window is what one stretch of time brought. It is not changed once it was handed
// on. Counts are of this stretch alone.
type Window struct {
	// Start is a whole multiple of the level's length since the Unix epoch; Length
	// is the level's, also when soakd ran for part of it only (see Covered).
	Start  time.Time
	Length time.Duration
	// Covered is how much of it was seen at all, Fit for how much of it soakd was
	// fit to judge the target. Times and outcomes of Cases are from all of Covered at
	// the level [Short], and from the fit parts alone above it.
	Covered, Fit time.Duration
	// Unfit are the reasons why parts of it were not fit, sorted; see load.UnfitReasons.
	Unfit []string
	// Rate is the arrivals a second that were aimed at, the mean over the window; of
	// a closed model the requests a second that were made.
	Rate float64
	// Phase says what the rate does: "" or "steady", "rising", "falling".
	Phase string
	// Version is the target's; "" when it is not known, [Mixed] for several.
	Version string
	// Scheduled, Sent and Dropped count arrivals.
	Scheduled, Sent, Dropped int64
	// Cases has an entry for each case of the workload that had requests, sorted by name.
	Cases []Case
	// Signals are what the probes read, sorted by name and labels.
	Signals []Signal
	// Probes says how the polls went, sorted by name.
	Probes []Probe
	// Seconds has an entry for each second, of valid requests by when they ended;
	// only at the level [Short], and empty where it is not known.
	Seconds []Second
}

// End is when the window is over.
func (w *Window) End() time.Time { return w.Start.Add(w.Length) }

// IsFit reports whether the times of the window may be judged: soakd was fit for
// all of it at the level [Short], and for at least half of it above.
func (w *Window) IsFit() bool {
	if w.Length <= Short {
		return len(w.Unfit) == 0 && w.Fit > 0
	}
	return w.Fit >= w.Length/2
}

// Case is the traffic of one case.
type Case struct {
	Name, Class string
	// Invalid marks deliberately invalid input.
	Invalid bool
	// Outcomes counts the requests by outcome ("ok", "server_error", ...), and Checks
	// failed checks by name; both sorted by name, without zeros.
	Outcomes, Checks []Count
	// Times are the response times from the intended start, of requests that were
	// answered or timed out; nil when there were none.
	Times *histogram.Histogram
}

// Count is how often something came.
type Count struct {
	Name string
	N    int64
}

// Of returns the count of that name, 0 when there is none.
func Of(counts []Count, name string) int64 {
	if i, found := slices.BinarySearchFunc(counts, name, func(c Count, name string) int { return cmp.Compare(c.Name, name) }); found {
		return counts[i].N
	}
	return 0
}

// OK is the name of the outcome of a right answer.
const OK = "ok"

// Requests counts the requests that came to an end.
func (c *Case) Requests() int64 {
	sum := int64(0)
	for _, o := range c.Outcomes {
		sum += o.N
	}
	return sum
}

// Failed counts those with another outcome than OK.
func (c *Case) Failed() int64 { return c.Requests() - Of(c.Outcomes, OK) }

// SignalKind is how a signal behaves.
type SignalKind int

// A gauge goes up and down; a counter counts, and its signal is what it gained.
const (
	Gauge SignalKind = iota
	Counter
)

// Signal is what the probes read of one series.
type Signal struct {
	// Name is the metric's name ("soakd_api_open_fds"), Labels its labels as
	// Prometheus writes them (`replica="main"`), "" for none.
	Name, Labels string
	Kind         SignalKind
	// N is how many values were read; Min, Max, Sum and Last are of these values of a
	// gauge, and 0 for a counter.
	N                   int
	Min, Max, Sum, Last float64
	// Increase is what a counter gained in the window, resets taken into account; 0 for a gauge.
	Increase float64
}

// Mean is the mean of a gauge's values.
func (s *Signal) Mean() float64 {
	if s.N == 0 {
		return 0
	}
	return s.Sum / float64(s.N)
}

// ID identifies the series.
func (s *Signal) ID() string { return SignalID(s.Name, s.Labels) }

// SignalID is how a series is written: name{labels}.
func SignalID(name, labels string) string {
	if labels == "" {
		return name
	}
	return name + "{" + labels + "}"
}

// Signal returns the series of that name and labels, nil when it was not read.
func (w *Window) Signal(name, labels string) *Signal {
	i, found := slices.BinarySearchFunc(w.Signals, Signal{Name: name, Labels: labels}, compareSignals)
	if !found {
		return nil
	}
	return &w.Signals[i]
}

// Named returns all series of that metric.
func (w *Window) Named(name string) []Signal {
	first, _ := slices.BinarySearchFunc(w.Signals, Signal{Name: name}, compareSignals)
	last := first
	for last < len(w.Signals) && w.Signals[last].Name == name {
		last++
	}
	return w.Signals[first:last]
}

func compareSignals(a, b Signal) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Labels, b.Labels))
}

// Case returns the case of that name, nil when it had no requests.
func (w *Window) Case(name string) *Case {
	i, found := slices.BinarySearchFunc(w.Cases, name, func(c Case, name string) int { return cmp.Compare(c.Name, name) })
	if !found {
		return nil
	}
	return &w.Cases[i]
}

// Probe is how the polls of one probe went.
type Probe struct {
	// Name is the probe's: "postgres", "redis", "api", "endpoint/gateway".
	Name          string
	Polls, Failed int
	// FirstFailure is when the first failed poll began, LastSuccess when the last good one did,
	// and FirstSuccess the first good one; zero when there was none.
	FirstFailure, LastSuccess, FirstSuccess time.Time
	// Reason is why the last failed poll failed ("timeout", "connect", ...), "" when none did.
	Reason string
}

// Second counts valid requests that ended within one second.
type Second struct{ OK, Failed uint32 }
