package objective

import (
	"errors"
	"fmt"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
	"soakd/internal/judge/window"
)

const (
	// alpha is the largest probability with which a service that just keeps its
	// objective may be said to burn its budget, in one window. Some ten objectives
	// with three windows, of which the shortest are new each hour, are 100 000
	// questions in 20 weeks: a tenth of a false alarm.
	alpha = 1e-6
	// hold is the part of the factor that keeps a burn going, so that one at the
	// edge does not come and go.
	hold = 0.9
	// quiet is how many minutes with requests end a burn.
	quiet = 5
	// finest is the longest window that is summed up by the minute; longer ones are
	// by the hour, the present one included as far as it has come.
	finest = 24 * time.Hour
)

// Tracker counts good and bad requests and tells which budgets burn. It keeps a
// fixed number of buckets for each objective and is not safe for concurrent use.
type Tracker struct {
	policy Policy
	burns  []Burn
	all    []*series
}

// series is one objective with its counts.
type series struct {
	objective Objective
	// since is when the first window began that was counted, counted when the last one ended.
	since, counted time.Time
	// events and bad count all of it; uncounted is the time of it that was seen and
	// did not count.
	events, bad    int64
	uncounted      time.Duration
	minutes, hours ring
	// five are the 5 minutes under way, worst the worst of those before.
	five, worst span
	burning     *burning
	// shared is the end of the minute that the run before has counted a part of.
	shared time.Time
}

// burning is a burn that holds.
type burning struct {
	Onset, OnsetFrom, OnsetTo time.Time
	// Last is when it held last, Quiet how many minutes with requests came since.
	Last  time.Time
	Quiet int
	// Rate is the fastest burn that held last.
	Rate BurnRate
}

// New returns a Tracker without counts. The error joins what is wrong with the
// policy and the objectives, and names those that can never alert.
func New(objectives []Objective, policy Policy) (*Tracker, error) {
	errs := []error{policy.Validate()}
	if len(objectives) > maxObjectives {
		errs = append(errs, fmt.Errorf("objectives: %d are too many; at most %d", len(objectives), maxObjectives))
	}
	t := &Tracker{policy: policy, burns: policy.Burns()}
	names := map[string]bool{}
	for _, o := range objectives {
		if names[o.Name] {
			errs = append(errs, fmt.Errorf("objective %.50q: the name is taken; each needs its own", o.Name))
		}
		names[o.Name] = true
		if err := o.Validate(); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, policy.fits(&o))
		t.all = append(t.all, t.newSeries(o))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tracker) newSeries(o Objective) *series {
	byMinute := minLong
	for _, b := range t.burns {
		for _, length := range []time.Duration{b.Long, b.Short} {
			if length <= finest {
				byMinute = max(byMinute, length)
			}
		}
	}
	return &series{objective: o, minutes: newRing(time.Minute, byMinute), hours: newRing(time.Hour, t.policy.period())}
}

// Observe counts the next window of the level [window.Minute] and returns the
// objectives whose budget burns. Only what soakd was fit to judge is in such windows:
// not what was sent while the circuit was open for a target that was away, so that
// a long outage costs less of the budget than it lasts. Windows of other levels, and windows that an
// objective has counted already, are passed over: what was stored may be replayed.
func (t *Tracker) Observe(w *window.Window) []finding.Symptom {
	if w.Length != window.Minute {
		return nil
	}
	var symptoms []finding.Symptom
	for _, s := range t.all {
		if w.Start.Before(s.counted) && !w.End().Equal(s.shared) {
			continue
		}
		s.shared = time.Time{}
		s.count(w)
		if symptom := s.judge(t.burns); symptom != nil {
			symptoms = append(symptoms, *symptom)
		}
	}
	return symptoms
}

func (s *series) count(w *window.Window) {
	if s.since.IsZero() {
		s.since = w.Start
	}
	s.counted = w.End()
	b := bucket{Seen: w.Fit}
	b.Events, b.Bad = s.objective.count(w)
	s.events += b.Events
	s.bad += b.Bad
	s.uncounted += max(0, w.Covered-w.Fit)
	b.At = s.minutes.number(w.Start)
	s.minutes.add(b)
	b.At = s.hours.number(w.Start)
	s.hours.add(b)
	s.addToSpan(w.Start, b.Events, b.Bad)
}

// over sums up a window of that length which ends now.
func (s *series) over(length time.Duration) bucket {
	r := s.ringFor(length)
	return r.sum(r.number(s.counted.Add(-1)), length)
}

func (s *series) ringFor(length time.Duration) *ring {
	if length > finest {
		return &s.hours
	}
	return &s.minutes
}

// BurnRate is how fast a budget burns in the windows of one alert: 1 uses it up in
// exactly the period.
type BurnRate struct {
	Burn Burn
	// Long and Short are the rates in the two windows. What was not seen of the long
	// one counts as free of failures, so that the first minutes of a run, or those
	// after a pause, do not stand for hours.
	Long, Short float64
	// Events and Bad are the requests of the long window, Seen how much of it was seen.
	Events, Bad int64
	Seen        time.Duration
	// P is an upper bound of the probability that a service that just keeps its
	// objective has so many failures in the long window by chance.
	P float64
	// Holds tells that the alert holds.
	Holds bool
}

// rate measures one burn. eased lowers the factor, and needs no significance.
func (s *series) rate(b Burn, eased bool) BurnRate {
	r := BurnRate{Burn: b, P: 1}
	budget := s.objective.Budget()
	if short := s.over(b.Short); short.Events > 0 {
		r.Short = float64(short.Bad) / float64(short.Events) / budget
	}
	long := s.over(b.Long)
	r.Events, r.Bad, r.Seen = long.Events, long.Bad, long.Seen
	if long.Events == 0 {
		return r
	}
	r.Long = float64(long.Bad) / float64(long.Events) / budget * min(1, long.Seen.Seconds()/b.Long.Seconds())
	r.P = stats.ChernoffAtLeast(long.Bad, long.Events, budget)
	if eased {
		r.Holds = r.Long >= hold*b.Factor && r.Short >= hold*b.Factor
		return r
	}
	r.Holds = r.Long >= b.Factor && r.Short >= b.Factor && r.P <= alpha
	return r
}

// judge returns the symptom of a burn that holds, or has just ended; nil when there is none.
func (s *series) judge(burns []Burn) *finding.Symptom {
	at := s.minutes.number(s.counted.Add(-1))
	latest := s.minutes.of(at)
	if s.burning == nil && latest.Bad == 0 {
		return nil // a burn begins with a failure
	}
	var holds *BurnRate
	for _, b := range burns {
		if r := s.rate(b, s.burning != nil); r.Holds {
			holds = &r
			break
		}
	}
	switch {
	case holds != nil && s.burning == nil:
		s.burning = s.begin(holds)
	case s.burning == nil:
		return nil
	case holds == nil && latest.Events > 0:
		s.burning.Quiet++
	}
	if holds != nil {
		s.burning.Last, s.burning.Quiet, s.burning.Rate = s.counted, 0, *holds
	}
	symptom := s.symptom()
	if s.burning.Quiet >= quiet {
		symptom.Over, symptom.Ended = true, s.burning.Last
		s.burning = nil
	}
	return symptom
}

// begin dates a burn: to the bucket of its long window since which most is bad
// beyond what half of the alert's factor, at least the budget, would allow. That is
// the change point of largest likelihood but for constants (Page, "Continuous
// inspection schemes", 1954).
func (s *series) begin(r *BurnRate) *burning {
	ring := s.ringFor(r.Burn.Long)
	last := ring.number(s.counted.Add(-1))
	allowed := s.objective.Budget() * max(1, r.Burn.Factor/2)
	onset, sum, most := last, 0.0, 0.0
	for at := last; at > last-int64(r.Burn.Long/ring.step); at-- {
		b := ring.of(at)
		if sum += float64(b.Bad) - allowed*float64(b.Events); sum > most {
			onset, most = at, sum
		}
	}
	from := ring.start(onset)
	to := from.Add(ring.step)
	if from.Before(s.since) {
		from = s.since
	}
	return &burning{Onset: from, OnsetFrom: from, OnsetTo: to}
}

func (s *series) symptom() *finding.Symptom {
	b, o := s.burning, &s.objective
	r := &b.Rate
	share := 0.0
	if r.Events > 0 {
		share = float64(r.Bad) / float64(r.Events)
	}
	return &finding.Symptom{
		Kind: finding.Objective, Subject: finding.Subject{Objective: o.Name, Class: o.Class},
		Onset: b.Onset, OnsetFrom: b.OnsetFrom, OnsetTo: b.OnsetTo,
		Before: o.Budget(), After: share, Unit: "ratio", What: o.what(), Against: "limit",
		Confidence: 1 - r.P, Windows: int(r.Seen / time.Minute), Requests: r.Events,
		Text: fmt.Sprintf("objective %s: %.3g %% of %d requests within %s %s, and %s are allowed: the error budget burns %.3g times too fast (%s at %v)",
			o.Name, 100*share, r.Events, brief(r.Burn.Long), o.failing(), percent(o.Budget()), r.Long, r.Burn.Severity, r.Burn.Factor),
	}
}

// what names the figure.
func (o *Objective) what() string {
	if o.Kind == Latency {
		return "share of requests slower than " + o.Threshold.String()
	}
	return "share of failed requests"
}

// failing says what bad requests did.
func (o *Objective) failing() string {
	switch {
	case o.Kind == Latency:
		return "took more than " + o.Threshold.String()
	case o.Class == Invalid:
		return "were not refused rightly"
	}
	return "failed"
}

// brief writes a whole number of minutes, as "3d", "6h" or "30m".
func brief(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
