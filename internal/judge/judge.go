// Package judge says what is wrong with the target, from windows of traffic and
// signals alone. It is pure: no clock, no I/O, no goroutines. The same windows give
// the same findings, whether they were measured, read back from the history or
// simulated. A caller serialises all calls.
package judge

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"soakd/internal/judge/answers"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/cause"
	"soakd/internal/judge/correlate"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/latency"
	"soakd/internal/judge/leak"
	"soakd/internal/judge/objective"
	"soakd/internal/judge/outage"
	"soakd/internal/judge/window"
)

// detector looks for some kinds of symptoms in the windows of one level. Observe
// takes the next window and returns the symptoms that are present now, and once
// more, as Over, each that has ended.
type detector interface {
	Observe(w *window.Window) []finding.Symptom
}

// placed is a detector with its level and what it saw last.
type placed struct {
	detector
	level time.Duration
	seen  []finding.Symptom
	// replayed tells that it learns from stored windows after a restart.
	replayed bool
}

// Judge takes windows in and says what it finds. Make it with [New].
type Judge struct {
	roller     window.Roller
	rings      map[time.Duration]*ring
	detectors  []*placed
	answers    *answers.Detector
	outage     *outage.Detector
	cause      *cause.Detector
	leak       *leak.Detector
	latency    *latency.Detector
	versions   *baseline.Tracker
	objectives *objective.Tracker
	moves      *correlate.Store
	findings   findings
	log        log
	// detection and recovery count the times of outages by target.
	detection, recovery outageTimes
	// restored tells that findings of before a restart are to be looked at again.
	restored bool
	// before is what was counted before a restart.
	before  map[string]counted
	watched watched
	// tally is what the verdict is made of.
	tally tally
	// latest is the end of the latest window.
	latest time.Time
}

// watched is what was last known of the target and the load.
type watched struct {
	version string
	rate    float64
	// compared tells that the end of the present comparison was noted.
	compared bool
}

// Window takes the next window of the level [window.Short] in. It returns the
// windows of all levels that are done now, this one among them, to be kept.
func (j *Judge) Window(w *window.Window) []*window.Window {
	if !j.latest.IsZero() && w.Start.Sub(j.latest) >= 2*window.Short {
		j.log.add(Event{At: w.Start, Kind: Gap, Text: fmt.Sprintf("nothing is known of %v before this", w.Start.Sub(j.latest).Round(time.Second))})
	}
	if j.restored {
		j.objectives.BeginRun()
		j.noteBefore()
	}
	j.latest = w.End()
	j.notice(w)
	done := append([]*window.Window{w}, j.roller.Add(w)...)
	for _, d := range done {
		j.take(d)
	}
	j.noteOutages()
	j.noteComparison()
	j.findings.update(j.latest, j.reconcile(w.Start, j.seen()))
	return done
}

// Finish ends the windows under way, so that what is left at the end of a run is
// judged too. It returns them; no windows come after it.
func (j *Judge) Finish() []*window.Window {
	done := j.roller.Flush()
	for _, d := range done {
		j.take(d)
	}
	j.findings.update(j.latest, j.seen())
	return done
}

// take hands a window to the detectors of its level.
func (j *Judge) take(w *window.Window) {
	j.rings[w.Length].put(w)
	j.tally.add(w)
	j.moves.Observe(w)
	for _, d := range j.detectors {
		if d.level == w.Length {
			d.see(w)
		}
	}
}

// hints are the signals that moved with a symptom.
func (j *Judge) hints(s *finding.Symptom) []finding.Hint { return j.moves.Around(s, maxHints) }

// see keeps what a detector sees now. What it saw before and does not mention any
// more is over.
func (d *placed) see(w *window.Window) {
	now := d.Observe(w)
	for i := range d.seen {
		last := &d.seen[i]
		if !last.Over && !slices.ContainsFunc(now, func(s finding.Symptom) bool { return s.Key() == last.Key() }) {
			ended := *last
			ended.Over, ended.Ended = true, w.Start
			now = append(now, ended)
		}
	}
	d.seen = now
}

// seen is what all detectors see now. What is over is told once. What two of them
// see, as a change in the run that is one against the baseline too, is one symptom,
// which lasts as long as either sees it.
func (j *Judge) seen() []finding.Symptom {
	var all []finding.Symptom
	at := map[string]int{}
	for _, d := range j.detectors {
		for _, s := range d.seen {
			if j.expected(&s) {
				j.findings.withdraw(j.latest, &s)
				continue
			}
			i, twice := at[s.Key()]
			switch {
			case !twice:
				at[s.Key()] = len(all)
				all = append(all, s)
			case all[i].Over && !s.Over:
				all[i] = s
			}
		}
		d.seen = slices.DeleteFunc(d.seen, func(s finding.Symptom) bool { return s.Over })
	}
	return all
}

// expected reports whether somebody meant what is seen: a restart that brings
// another version is a deployment. One after the other for longer than that is not,
// whatever it began with.
func (j *Judge) expected(s *finding.Symptom) bool {
	if s.Kind != finding.Restarts || j.latest.Sub(s.Onset) > settled {
		return false
	}
	return slices.ContainsFunc(j.log.around(s.Onset.Add(-deployment), s.Onset.Add(deployment)), func(e Event) bool {
		return e.Kind == VersionChanged || e.Kind == Annotation
	})
}

// deployment is how long one may take from the first process that stops to the
// first answer of the new version.
const deployment = 5 * time.Minute

// settled is after what time a deployment is forgotten: a restart stays a symptom
// for half an hour, so one that still lasts was not the last.
const settled = 40 * time.Minute

// rateChange is by how much the rate has to change to be an event: less is the
// slope of a day.
const rateChange = 0.25

// notice notes what changed about the target and the load.
func (j *Judge) notice(w *window.Window) {
	last := &j.watched
	if w.Version != "" && w.Version != window.Mixed && w.Version != last.version {
		if last.version != "" {
			j.log.add(Event{At: w.Start, Kind: VersionChanged, Version: w.Version, Text: fmt.Sprintf("the target answers as version %s, before as %s", w.Version, last.version)})
		}
		last.version = w.Version
	}
	for _, s := range w.Named("soakd_api_restarts_total") {
		if s.Increase > 0 {
			j.log.add(Event{At: w.Start, Kind: TargetRestarted, Text: "the target restarted (" + s.Labels + ")"})
		}
	}
	left := w.Fit == 0 && len(w.Unfit) == 0 // what is left after the end of a schedule
	if !left && last.rate > 0 && math.Abs(w.Rate-last.rate) > rateChange*last.rate {
		j.log.add(Event{At: w.Start, Kind: LoadChanged, Text: fmt.Sprintf("the load changed from %.4g to %.4g arrivals a second", last.rate, w.Rate)})
		last.rate = w.Rate
	}
	if last.rate == 0 {
		last.rate = w.Rate
	}
}

// noteComparison notes when a comparison of versions came to its end.
func (j *Judge) noteComparison() {
	c, final := j.versions.Comparison()
	switch {
	case c == nil || !final:
		j.watched.compared = false
	case !j.watched.compared:
		j.watched.compared = true
		j.log.add(Event{At: j.latest, Kind: Compared, Version: c.Version, Text: baselineCheck(c, final).Text})
	}
}

// Annotate notes what somebody said happened at the target, such as a deployment.
func (j *Judge) Annotate(at time.Time, text, version string) {
	j.log.add(Event{At: at, Kind: Annotation, Text: text, Version: version})
}

// AnnotateDrill notes a fault that somebody switches on on purpose, until when if that
// is known. It is no excuse: nothing is judged otherwise for it.
func (j *Judge) AnnotateDrill(at, until time.Time, text string) {
	j.log.add(Event{At: at, Until: until, Kind: Drill, Text: text})
}

// Findings returns all that was found, the oldest first: the open ones, and the
// latest of those that are over.
func (j *Judge) Findings() []Finding {
	list := make([]Finding, 0, len(j.findings.list))
	for _, f := range j.findings.list {
		one := *f
		one.Symptoms = slices.Clone(f.Symptoms)
		list = append(list, one)
	}
	return list
}

// Opened counts the findings so far by their kind; one that was renamed counts for
// each of its kinds.
func (j *Judge) Opened(kind finding.Kind) int64 { return j.findings.opened[kind] }

// Events returns the events with a number above after, the oldest first. Whoever has
// seen a later one than there is has seen those of another soakd, and gets all.
func (j *Judge) Events(after int64) []Event {
	if after > j.log.seq {
		after = 0
	}
	i, _ := slices.BinarySearchFunc(j.log.events, after+1, func(e Event, seq int64) int { return cmp.Compare(e.Seq, seq) })
	return slices.Clone(j.log.events[i:])
}

// Windows returns the latest n windows of a level in memory, the oldest first; they
// hold no signals. Each is unpacked as it comes: an hour of them at once would take
// much memory. The windows are those of now, and may be read at any time later,
// beside other calls.
func (j *Judge) Windows(level time.Duration, n int) iter.Seq[*window.Window] {
	r := j.rings[level]
	if r == nil {
		return func(func(*window.Window) bool) {}
	}
	return r.last(n)
}

// Comparison is the latest comparison with another version or the baseline, and
// whether it is final; nil while there is nothing to compare.
func (j *Judge) Comparison() (c *baseline.Comparison, final bool) { return j.versions.Comparison() }

// Outages are the latest outages of the API and of what it depends on: those that
// last and at most a hundred that are over, in the order in which they were noticed.
func (j *Judge) Outages() []outage.Record { return j.outage.Outages() }

// Profile is what the present version of the target is like so far.
func (j *Judge) Profile() *baseline.Profile { return j.versions.Profile() }

// SetReference sets what the target is compared with; nil is the version before.
func (j *Judge) SetReference(p *baseline.Profile) { j.versions.SetReference(p) }

// Reference is what the target is compared with, nil while there is nothing.
func (j *Judge) Reference() *baseline.Profile { return j.versions.Reference() }

// Version is the target's version, "" while it is not known.
func (j *Judge) Version() string { return j.watched.version }
