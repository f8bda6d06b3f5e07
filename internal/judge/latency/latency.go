// Package latency finds requests that got slower in the course of a run: at once
// ([finding.Latency]), little by little ([finding.LatencyDrift]), or only the
// slowest of them ([finding.LatencyTail]); and says since when, and whether it is
// one case, one class or all traffic.
//
// # What is compared
//
// Each minute of each case becomes a point: the mean of the logarithms of the
// middle half of its response times (Tukey's midmean), which is as robust as the
// median, less noisy, and moves evenly where a median jumps between two modes. A
// case too rare for that gets a point for as many minutes as it takes. A point
// counts as its distance from the reference, the median of the case's earlier
// points at the same rate and in the same phase. A rate never seen before has no
// reference, and is not judged.
//
// What slows everything down for a while is no fault of the target: another
// program on the machine, a burst, a garbage collection. So a case is judged by
// what sets it apart from the cases of the other classes in the same minutes. Only
// what holds for all traffic alike is judged by itself, and then has to come as a
// jump that this noise does not make, or to last much longer.
//
// # How it is decided
//
// The noise of each series is fitted as an autoregressive process of first order,
// and shapes (a step, a slope that begins) are fitted by generalised least squares
// under that noise (Cochrane & Orcutt 1949, with the gaps between points taken into
// account). The likelihood of each moment of change gives the onset and the stretch
// in which it lies. A symptom needs significance after so many looks, a least
// effect, and persistence.
package latency

import (
	"errors"
	"fmt"
	"math"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// Config says what counts as slower. Zero values stand for the defaults.
type Config struct {
	// LeastStep is the least rise of typical response times that is reported, as a
	// share of the earlier ones; default 0.10. One of less than 1.5 times that has
	// to last for 45 minutes.
	LeastStep float64
	// LeastDrift is the least rise of a drift in all, default 0.08, and LeastSlope
	// the least rise an hour, default 0.015.
	LeastDrift, LeastSlope float64
	// TailFactor is how many times as many requests must be slow as are expected,
	// default 3, and TailShare the least share of requests that came to be slow,
	// default 0.003.
	TailFactor, TailShare float64
	// WarmUp is what is left out after a start, a new version and a restart, in
	// minutes; default 3.
	WarmUp int
}

func (c Config) withDefaults() Config {
	for _, s := range []struct {
		value *float64
		usual float64
	}{{&c.LeastStep, 0.10}, {&c.LeastDrift, 0.08}, {&c.LeastSlope, 0.015}, {&c.TailFactor, 3}, {&c.TailShare, 0.003}} {
		if *s.value == 0 {
			*s.value = s.usual
		}
	}
	if c.WarmUp == 0 {
		c.WarmUp = 3
	}
	return c
}

func (c Config) validate() error {
	var all []error
	for _, s := range []struct {
		name      string
		value     float64
		low, high float64
	}{
		{"LeastStep", c.LeastStep, 0.01, 10},
		{"LeastDrift", c.LeastDrift, 0.01, 10},
		{"LeastSlope", c.LeastSlope, 0.001, 10},
		{"TailFactor", c.TailFactor, 1.5, 100},
		{"TailShare", c.TailShare, 0.0001, 0.5},
		{"WarmUp", float64(c.WarmUp), 0, 600},
	} {
		if math.IsNaN(s.value) || s.value < s.low || s.value > s.high {
			all = append(all, fmt.Errorf("latency: %s is %v, and must be from %v to %v", s.name, s.value, s.low, s.high))
		}
	}
	return errors.Join(all...)
}

// The signals of [Ratio], as label values.
const (
	SignalMedian = "median_response_time"
	SignalP99    = "p99_response_time"
)

// Detector looks for slower requests in windows of a minute. Make it with [New]; it
// is not safe for concurrent use. It keeps 24 hours of points of at most
// [MostCases] cases; further cases are not judged.
type Detector struct {
	cfg Config
	// now is the latest minute, counted from the Unix epoch; 0 before the first.
	now int64
	// judgedFrom is the first minute after the warm-up.
	judgedFrom int64
	version    string
	started    float64 // the target's start time, 0 when it is not known

	cases  []*traffic // in the order in which they came
	byName map[string]*traffic
	// all is what all valid traffic has in common.
	all series
	// ended is the minute in which its last change was over, 0 before.
	ended   int64
	classes []*class
	// added counts minutes since the references were made last, of known minutes.
	added, known int
	open         []*symptom
	scratch      scratch
}

// MostCases is how many cases are judged.
const MostCases = 100

// New makes a detector. It fails when a setting is out of range.
func New(cfg Config) (*Detector, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d := &Detector{cfg: cfg, byName: map[string]*traffic{}}
	d.all.reset()
	return d, nil
}

// Observe takes the next window of the level [window.Minute], and returns the
// symptoms that are present now, and once those that have ended. Windows that are
// out of order or of another level are left out.
func (d *Detector) Observe(w *window.Window) []finding.Symptom {
	minute := w.Start.Unix() / 60
	if w.Length != window.Minute || minute <= d.now {
		return d.report()
	}
	d.pass(minute)
	if d.usable(w) {
		d.take(w)
		d.judge()
	}
	return d.report()
}

// pass moves on to a minute and forgets what is older than the rings are long.
func (d *Detector) pass(minute int64) {
	first := d.now + 1
	if d.now == 0 {
		d.judgedFrom = minute + int64(d.cfg.WarmUp)
		first = minute
	}
	for m := max(first, minute-kept+1); m <= minute; m++ {
		d.all.clear(m)
		for _, c := range d.cases {
			c.clear(m)
		}
		for _, k := range d.classes {
			k.control.clear(m)
		}
	}
	d.now = minute
}

// usable reports whether the times of a window may be compared: soakd was fit, one
// version answered, and it was neither just started nor just restarted.
func (d *Detector) usable(w *window.Window) bool {
	if d.renewed(w) {
		d.judgedFrom = d.now + int64(d.cfg.WarmUp)
	}
	return d.now >= d.judgedFrom && w.IsFit() && w.Version != window.Mixed && w.Rate > 0
}

// renewed reports whether the target has another version or was started anew.
func (d *Detector) renewed(w *window.Window) bool {
	renewed := false
	if w.Version != "" && w.Version != d.version {
		renewed = d.version != ""
		d.version = w.Version
	}
	started, restarts := 0.0, 0.0
	for _, s := range w.Named("soakd_api_start_time_seconds") {
		started = max(started, s.Max)
	}
	for _, s := range w.Named("soakd_api_restarts_total") {
		restarts += s.Increase
	}
	// Start times are good to a few seconds only.
	if started > d.started+5 {
		renewed = renewed || d.started > 0
		d.started = started
	}
	return renewed || restarts > 0
}

// Ratio is how a figure of a case stands to its reference.
type Ratio struct {
	Case, Class string
	// Signal is [SignalMedian] or [SignalP99].
	Signal string
	// Ratio is the figure of the last minutes over that of the reference; 1 is
	// unchanged. It is only Known when there is a reference for the present rate.
	Ratio float64
	Known bool
	// Slower is set while a symptom of that figure holds for the case, its class or all traffic.
	Slower bool
}

// Ratios returns two for each case, in the order in which cases came.
func (d *Detector) Ratios() []Ratio {
	ratios := make([]Ratio, 0, 2*len(d.cases))
	for _, c := range d.cases {
		median := Ratio{Case: c.name, Class: c.class, Signal: SignalMedian}
		tail := Ratio{Case: c.name, Class: c.class, Signal: SignalP99}
		level, known := c.level(d.now)
		if known {
			median.Ratio, median.Known = math.Exp(level), true
			if rise, ok := c.tail.rise(); ok {
				tail.Ratio, tail.Known = math.Exp(level+rise), true
			}
		}
		for _, s := range d.open {
			if s.covers(c) {
				median.Slower = median.Slower || s.kind != finding.LatencyTail
				tail.Slower = tail.Slower || s.kind == finding.LatencyTail
			}
		}
		ratios = append(ratios, median, tail)
	}
	return ratios
}

// at is when a minute begins.
func at(minute int64) time.Time { return time.Unix(minute*60, 0).UTC() }
