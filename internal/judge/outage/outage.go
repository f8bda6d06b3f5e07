// Package outage finds when the API, Postgres, Redis or another dependency was
// away: from when to when, how soon it was noticed, when the service was back as it
// had been, and what the API did meanwhile.
package outage

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// API is the target that the load is for, and the name of the probe of its metrics.
const API = "api"

// Config says what counts as an outage and when one is over.
type Config struct {
	// FailedShare is the share of valid requests, above 0.5 and up to 1, from which
	// on the API counts as away.
	FailedShare float64
	// MinLength is how long they must fail; less is errors, or a restart. At least 1 s.
	MinLength time.Duration
	// MinFailed is how many must have failed, at least 1.
	MinFailed int64
	// Polls is how many polls in a row must find a dependency away, at least 1; one
	// is enough where the requests begin to fail as well.
	Polls int
	// ErrorShare and Slowdown say when the service is back: at most this share of
	// requests fails, or twice what it was before, and the 95 % quantile of the
	// response times is at most Slowdown times what it was.
	ErrorShare, Slowdown float64
	// Settled is for how long that must hold; at least 10 s.
	Settled time.Duration
	// GiveUp is how long after the end of an outage nobody waits for it any more; at
	// least Settled.
	GiveUp time.Duration
}

// DefaultConfig is 90 % of at least 5 requests for 2 s, two polls, and a recovery
// to 1 % of errors and twice the time, for 30 s, within half an hour.
func DefaultConfig() Config {
	return Config{
		FailedShare: 0.9, MinLength: 2 * time.Second, MinFailed: 5, Polls: 2,
		ErrorShare: 0.01, Slowdown: 2, Settled: 30 * time.Second, GiveUp: 30 * time.Minute,
	}
}

// Validate returns every mistake, joined.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("outages: "+format, args...))
		}
	}
	check(c.FailedShare > 0.5 && c.FailedShare <= 1, "the share of failed requests %v must be above 0.5 and up to 1", c.FailedShare)
	check(c.MinLength >= time.Second, "the least length %v must be at least 1s", c.MinLength)
	check(c.MinFailed >= 1, "%d failed requests are too few; at least 1 is needed", c.MinFailed)
	check(c.Polls >= 1, "%d polls are too few; at least 1 is needed", c.Polls)
	check(c.ErrorShare > 0 && c.ErrorShare < 1, "the share of errors after a recovery %v must be above 0 and below 1", c.ErrorShare)
	check(c.Slowdown >= 1, "the factor of the response time after a recovery %v must be at least 1", c.Slowdown)
	check(c.Settled >= window.Short, "the time of a recovery %v must be at least %v", c.Settled, window.Short)
	check(c.GiveUp >= c.Settled, "the wait for a recovery %v must be at least its time %v", c.GiveUp, c.Settled)
	return errors.Join(errs...)
}

// Mode is what the API did during an outage.
type Mode string

// The modes.
const (
	// FailFast: requests failed, and soon.
	FailFast Mode = "fail_fast"
	// Hangs: requests got no answer within their limit, or a failure late.
	Hangs Mode = "hang"
	// WrongAnswers: requests were answered, wrongly.
	WrongAnswers Mode = "wrong_answers"
	// Degraded: requests got slower and did not fail.
	Degraded Mode = "degraded"
	// Unaffected: nothing happened.
	Unaffected Mode = "unaffected"
)

// Record is one outage.
type Record struct {
	// ID numbers the outages in the order in which they were noticed, from 1.
	ID int64 `json:"id"`
	// Target is "api", "postgres", "redis" or the name of another probe.
	Target string `json:"target"`
	// Kind is [finding.Outage], or [finding.Hang] where the API gave no answers.
	Kind finding.Kind `json:"kind"`
	// Start is when the first request failed or the first poll that failed began (in
	// a hang: the end of the second with the last right answer), Detected the end of
	// the window in which it was clear, End the first success after it, and Recovered
	// since when the service has been as before for [Config.Settled]. What is not known yet is zero.
	Start     time.Time `json:"start"`
	Detected  time.Time `json:"detected"`
	End       time.Time `json:"end,omitzero"`
	Recovered time.Time `json:"recovered,omitzero"`
	// StartFrom is when all was well last, as far as it is known: it began after that.
	StartFrom time.Time `json:"start_from"`
	// EndApproximate tells that soakd was away before the end: it may have been earlier.
	EndApproximate bool `json:"end_approximate,omitempty"`
	// TimeToDetect is from Start to Detected, TimeToRecover from Start to Recovered,
	// in seconds; TimeToRecover is 0 while there is none.
	TimeToDetect  float64 `json:"time_to_detect_seconds"`
	TimeToRecover float64 `json:"time_to_recover_seconds,omitempty"`
	// Mode is what the API did meanwhile; "" when no requests tell.
	Mode Mode `json:"mode,omitempty"`
	// Failed and OK count the valid requests that ended during the outage, and
	// Outcomes the failed ones of all windows of 10 s that it touches.
	Failed   int64            `json:"failed"`
	OK       int64            `json:"ok"`
	Outcomes map[string]int64 `json:"outcomes,omitempty"`
	// FailureSeconds is the median time until requests failed, of the cases that
	// nearly always did; 0 when it is not known.
	FailureSeconds float64 `json:"failure_seconds,omitempty"`
	// Reason is why the latest poll failed, "" when no poll did.
	Reason string `json:"reason,omitempty"`
	// CausedBy is the target whose outage explains this one, "" for none.
	CausedBy string `json:"caused_by,omitempty"`
	// Restart tells that the API was away for a moment only and had restarted.
	Restart bool `json:"restart,omitempty"`
	// Closed tells that nothing of it changes any more.
	Closed bool `json:"closed"`
	// Text says it in a sentence.
	Text string `json:"text"`
}

func (r *Record) clone() Record {
	copied := *r
	if copied.Outcomes = nil; len(r.Outcomes) > 0 {
		copied.Outcomes = maps.Clone(r.Outcomes)
	}
	return copied
}

const (
	// maxRecords is how many closed outages are kept.
	maxRecords = 100
	// maxTargets bounds the probes that are followed.
	maxTargets = 200
	// recentWindows is how far back an outage may have begun before it is clear.
	recentWindows = 12
)

// Detector finds outages in windows of the level [window.Short]. It is not safe
// for concurrent use.
type Detector struct {
	cfg Config
	// next is the end of the latest window, present what was told of it.
	next    time.Time
	present []finding.Symptom
	lastID  int64
	// totals counts the outages of each target that was seen.
	totals  map[string]int64
	open    map[string]*outage
	records []Record
	probes  map[string]*probe
	spell   *spell
	// lastOK is the end of the latest second with a right answer.
	lastOK time.Time
	calm   calm
	recent []*view
	// starts are the start times of the API's processes by series, restarted when a restart was seen.
	starts    map[string]float64
	restarted time.Time
}

// New returns a Detector that knows of no outages, or what is wrong with cfg.
func New(cfg Config) (*Detector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Detector{
		cfg: cfg, totals: map[string]int64{API: 0}, open: map[string]*outage{}, probes: map[string]*probe{}, starts: map[string]float64{},
	}, nil
}

// Observe takes the next window of the level [window.Short] and returns the outages
// that are present. It passes over other levels, and what is not after the windows before.
//
// An outage of the API or of a probe that no one depends on is told when it has
// lasted for 15 s, or is over and was no restart: until then something else may
// turn out to explain it.
func (d *Detector) Observe(w *window.Window) []finding.Symptom {
	if w.Length != window.Short || w.Start.Before(d.next) {
		return slices.Clone(d.present)
	}
	if !d.next.IsZero() && w.Start.After(d.next) {
		d.missed()
	}
	d.next = w.End()
	v := look(w)
	d.noteRestart(w)
	d.readTraffic(v)
	d.readPolls(v)
	d.explain()
	for _, target := range d.targets() {
		d.follow(d.open[target], v)
	}
	d.confirm()
	symptoms := d.tell()
	d.present = slices.DeleteFunc(slices.Clone(symptoms), func(s finding.Symptom) bool { return s.Over })
	d.closeFinished()
	d.remember(v)
	return symptoms
}

// missed takes note that there was a time without windows: what failed in a row
// did not do so any more, and an outage may have ended.
func (d *Detector) missed() {
	d.spell, d.lastOK = nil, time.Time{}
	for _, p := range d.probes {
		p.run = 0
	}
	for _, o := range d.open {
		o.unseen = o.End.IsZero()
		o.wellSince, o.wellTimes = time.Time{}, nil
	}
}

// remember keeps the window for outages that turn out to have begun in it, and as
// an example of how things are when all is well.
func (d *Detector) remember(v *view) {
	if len(d.recent) == recentWindows {
		d.recent = slices.Delete(d.recent, 0, 1)
	}
	d.recent = append(d.recent, v)
	if len(d.open) == 0 && !v.trouble && v.ok+v.failed > 0 {
		d.calm.add(v)
	}
}

// begin opens an outage of a target that has none. All was well at from, which is
// zero when nobody knows.
func (d *Detector) begin(target string, kind finding.Kind, from, start time.Time, v *view) *outage {
	d.lastID++
	if start.After(v.end) {
		start = v.end
	}
	o := &outage{Record: Record{
		ID: d.lastID, Target: target, Kind: kind, Start: start, StartFrom: earlier(from, start), Detected: v.end, Outcomes: map[string]int64{},
		TimeToDetect: v.end.Sub(start).Seconds(),
	}}
	if target == API {
		o.CausedBy, _ = d.spoilt()
	} else { // two polls leave no doubt
		o.confirmed = true
		d.totals[target]++
	}
	o.compare(d.calm.until(start))
	d.open[target] = o
	for _, past := range d.recent {
		if past.end.After(start) {
			o.count(past)
		}
	}
	return o
}

// earlier returns from, or start where from is unknown or later.
func earlier(from, start time.Time) time.Time {
	if from.IsZero() || from.After(start) {
		return start
	}
	return from
}

// targets lists those with an open outage, sorted.
func (d *Detector) targets() []string { return slices.Sorted(maps.Keys(d.open)) }

// closeFinished moves the outages that are over to the records.
func (d *Detector) closeFinished() {
	for _, target := range d.targets() {
		if o := d.open[target]; o.finished(d.next, d.cfg) {
			d.close(o)
		}
	}
}

func (d *Detector) close(o *outage) {
	o.Closed = true
	o.Text = o.text()
	if len(d.records) == maxRecords {
		d.records = slices.Delete(d.records, 0, 1)
	}
	d.records = append(d.records, o.Record)
	delete(d.open, o.Target)
}

// Outages returns the latest 100 outages that are closed and all that are not, in
// the order in which they were noticed. Each is closed once: its TimeToRecover is
// final then, and 0 when the service did not come back to what it was. An open one of
// the API may disappear within 2 minutes when it turns out that only a part of the
// requests fails.
func (d *Detector) Outages() []Record {
	all := make([]Record, 0, len(d.records)+len(d.open))
	for i := range d.records {
		all = append(all, d.records[i].clone())
	}
	for _, target := range d.targets() {
		r := d.open[target].Record.clone()
		r.Text = d.open[target].text()
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Record) int { return int(a.ID - b.ID) })
	return all
}

// InProgress tells for each target that was seen so far whether it is away now.
func (d *Detector) InProgress() map[string]bool {
	all := make(map[string]bool, len(d.totals))
	for target := range d.totals {
		o := d.open[target]
		all[target] = o != nil && o.End.IsZero()
	}
	return all
}

// Totals counts the outages of each target that was seen so far, also those in
// progress, without those of the API of which it is not sure yet that they are one.
func (d *Detector) Totals() map[string]int64 { return maps.Clone(d.totals) }

// Unknown says of which probes it is not known whether what they watch is away,
// and why, in a sentence each; sorted.
func (d *Detector) Unknown() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(d.probes)) {
		if p := d.probes[name]; p.unclear != "" {
			all = append(all, name+": "+p.unclear)
		}
	}
	return all
}
