package judge

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/leak"
	"soakd/internal/judge/outage"
)

// Readings are the figures of the judgement at one moment, for metrics.
type Readings struct {
	// Verdict is what is judged now, [Unknown] while nothing is known.
	Verdict Result
	// Version is the target's, "" while it is not known.
	Version string
	// Open counts the findings that last, Opened those so far, by kind; every kind is in.
	Open, Opened map[finding.Kind]int64
	// Events counts those so far, by kind; every kind is in.
	Events     map[EventKind]int64
	Trends     []Trend
	Ratios     []Ratio
	Objectives []Objective
	Outages    []Outage
	// Detection are the times from the start of an outage until it was clear, Recovery
	// those until the service was back within the objective, by target.
	Detection, Recovery map[string]Times
}

// Trend is how a resource moves.
type Trend struct {
	// Signal is the series: name{labels}.
	Signal string
	// SlopePerHour is in the signal's unit an hour.
	SlopePerHour float64
	Suspected    bool
	// SecondsToLimit is when the limit is reached at this slope; 0 where there is
	// none or it does not rise.
	SecondsToLimit float64
}

// Ratio compares a figure of a case with what it is held against.
type Ratio struct {
	// Signal is "median_response_time", "p95_response_time", "p99_response_time" or "error_ratio".
	Case, Signal string
	// Ratio is the figure now divided by the one before.
	Ratio float64
	// Regressed tells that it is worse beyond doubt.
	Regressed bool
}

// Objective is an objective and its error budget.
type Objective struct {
	Name string
	// Target is the share of good events that is promised, 0..1.
	Target float64
	// Events and Bad count since the start of soakd.
	Events, Bad int64
	// BudgetRemaining is what is left of the error budget, 1 untouched, below 0 overspent;
	// NaN while nothing is known.
	BudgetRemaining float64
	// Burns are the burn rates by the length of their window; those without enough data are left out.
	Burns []Burn
}

// Burn is how fast an error budget is spent: 1 spends it exactly in its period.
type Burn struct {
	Window time.Duration
	Rate   float64
}

// Outage is how a target fared.
type Outage struct {
	// Target is "api", "postgres", "redis" or a probe's name.
	Target     string
	InProgress bool
	// Total counts the outages since the start of soakd, the one in progress too.
	Total int64
}

// Times is a histogram of times with classic buckets beside it.
type Times struct {
	Histogram histogram.Histogram
	Bounds    []time.Duration
	UpTo      []uint64
}

// RecoveryBounds are the upper bounds of the classic buckets of times to detect and
// to recover.
func RecoveryBounds() []time.Duration {
	const s, m = time.Second, time.Minute
	return []time.Duration{1 * s, 2 * s, 5 * s, 10 * s, 30 * s, 1 * m, 2 * m, 5 * m, 10 * m, 30 * m, 60 * m, 180 * m}
}

func newTimes() *Times {
	bounds := RecoveryBounds()
	return &Times{Bounds: bounds, UpTo: make([]uint64, len(bounds))}
}

func (t *Times) observe(d time.Duration) {
	t.Histogram.Observe(d)
	for i, bound := range t.Bounds {
		if d <= bound {
			t.UpTo[i]++
		}
	}
}

// clone returns a copy that stays as it is.
func (t *Times) clone() Times {
	c := Times{Bounds: t.Bounds, UpTo: slices.Clone(t.UpTo)}
	c.Histogram.Merge(&t.Histogram)
	return c
}

// outageTimes counts a time of each outage, once.
type outageTimes struct {
	byTarget map[string]*Times
	// counted are the ids of the outages that are in it, of those that are still listed.
	counted map[int64]bool
}

func newOutageTimes() outageTimes {
	return outageTimes{byTarget: map[string]*Times{}, counted: map[int64]bool{}}
}

// note counts the outages whose time, in seconds, is known since the last call; of
// those without, such as one whose end nobody saw, none ever is.
func (t *outageTimes) note(all []outage.Record, known func(*outage.Record) bool, seconds func(*outage.Record) float64) {
	listed := map[int64]bool{}
	for i := range all {
		o := &all[i]
		if !known(o) {
			continue
		}
		listed[o.ID] = true
		if t.counted[o.ID] || seconds(o) <= 0 {
			continue
		}
		if t.byTarget[o.Target] == nil {
			t.byTarget[o.Target] = newTimes()
		}
		t.byTarget[o.Target].observe(time.Duration(seconds(o) * float64(time.Second)))
	}
	t.counted = listed
}

// of returns the times of a target, all 0 where there was no outage.
func (t *outageTimes) of(target string) Times {
	if times := t.byTarget[target]; times != nil {
		return times.clone()
	}
	return *newTimes()
}

// noteOutages counts the times of outages.
func (j *Judge) noteOutages() {
	all := j.outage.Outages()
	j.detection.note(all, func(*outage.Record) bool { return true }, func(o *outage.Record) float64 { return o.TimeToDetect })
	j.recovery.note(all, func(o *outage.Record) bool { return o.Closed }, func(o *outage.Record) float64 { return o.TimeToRecover })
}

// trends are those of the resources of which enough is known.
func (j *Judge) trends() []Trend {
	var list []Trend
	for _, t := range j.leak.Trends() {
		if t.Known {
			list = append(list, Trend{Signal: t.Signal, SlopePerHour: t.SlopePerHour, Suspected: t.State == leak.Leaking, SecondsToLimit: t.SecondsToLimit})
		}
	}
	return list
}

// ratios are those of the cases of which there is something to compare with: the
// other version or the baseline while that is compared, else earlier in the run.
func (j *Judge) ratios() []Ratio {
	type key struct{ name, signal string }
	known := map[key]Ratio{}
	if c, final := j.versions.Comparison(); c != nil && !final {
		for _, row := range c.Rows {
			if row.Case != "" && row.Ratio > 0 {
				known[key{row.Case, row.Signal}] = Ratio{Case: row.Case, Signal: row.Signal, Ratio: row.Ratio, Regressed: row.Result == baseline.Worse}
			}
		}
	}
	for _, r := range j.latency.Ratios() {
		if !r.Known {
			continue
		}
		k := key{r.Case, r.Signal}
		one, compared := known[k]
		if !compared {
			one = Ratio{Case: r.Case, Signal: r.Signal, Ratio: r.Ratio}
		}
		one.Regressed = one.Regressed || r.Slower
		known[k] = one
	}
	return slices.SortedFunc(maps.Values(known), func(a, b Ratio) int {
		return cmp.Or(cmp.Compare(a.Case, b.Case), cmp.Compare(a.Signal, b.Signal))
	})
}

func (j *Judge) objectiveReadings() []Objective {
	var list []Objective
	for _, s := range j.objectives.Status() {
		since := j.sinceStart(s.Objective.Name, counted{s.Events, s.Bad})
		o := Objective{Name: s.Objective.Name, Target: s.Objective.Target, Events: since.all, Bad: since.bad, BudgetRemaining: math.NaN()}
		if s.Events > 0 {
			o.BudgetRemaining = s.BudgetRemaining
		}
		for _, b := range s.Burns {
			if s.Events == 0 {
				continue
			}
			o.burn(b.Burn.Short, b.Short)
			o.burn(b.Burn.Long, b.Long)
		}
		list = append(list, o)
	}
	return list
}

// counted is what was counted of an objective or of the outages of a target.
type counted struct{ all, bad int64 }

// outageKey starts the key of a target's outages in [Judge.before]; no objective is
// called so.
const outageKey = "outages of "

// sinceStart leaves out what another soakd counted before a restart: a counter that
// went on from a state of a minute ago would seem to fall, and Prometheus would take
// all of it for new.
func (j *Judge) sinceStart(key string, now counted) counted {
	if j.restored {
		return counted{}
	}
	before := j.before[key]
	return counted{now.all - before.all, now.bad - before.bad}
}

// noteBefore takes note of what was counted before the first window of this soakd.
func (j *Judge) noteBefore() {
	j.before = map[string]counted{}
	for _, s := range j.objectives.Status() {
		j.before[s.Objective.Name] = counted{s.Events, s.Bad}
	}
	for target, total := range j.outage.Totals() {
		j.before[outageKey+target] = counted{all: total}
	}
}

// burn adds a burn rate; two alerts may look at the same window.
func (o *Objective) burn(length time.Duration, rate float64) {
	if !slices.ContainsFunc(o.Burns, func(b Burn) bool { return b.Window == length }) {
		o.Burns = append(o.Burns, Burn{length, rate})
	}
}

func (j *Judge) outageReadings() []Outage {
	away, totals := j.outage.InProgress(), j.outage.Totals()
	list := make([]Outage, 0, len(away))
	for _, target := range slices.Sorted(maps.Keys(away)) {
		list = append(list, Outage{Target: target, InProgress: away[target], Total: j.sinceStart(outageKey+target, counted{all: totals[target]}).all})
	}
	return list
}

// Readings returns the figures of now.
func (j *Judge) Readings() Readings {
	r := Readings{
		Verdict: j.Verdict(false).Result, Version: j.watched.version,
		Open: map[finding.Kind]int64{}, Opened: map[finding.Kind]int64{}, Events: map[EventKind]int64{},
		Detection: map[string]Times{}, Recovery: map[string]Times{},
		Trends: j.trends(), Ratios: j.ratios(), Objectives: j.objectiveReadings(), Outages: j.outageReadings(),
	}
	for _, o := range r.Outages {
		r.Detection[o.Target], r.Recovery[o.Target] = j.detection.of(o.Target), j.recovery.of(o.Target)
	}
	for _, kind := range finding.Kinds() {
		r.Open[kind], r.Opened[kind] = 0, j.findings.opened[kind]
	}
	for _, kind := range EventKinds() {
		r.Events[kind] = j.log.counts[kind]
	}
	for _, f := range j.findings.list {
		if f.Open() {
			r.Open[f.Kind]++
		}
	}
	return r
}
