package outage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/finding"
)

const (
	// briefly is how long an outage of the API lasts that may be a restart, and
	// for how long nothing is said of one, since it may turn out to be one.
	briefly = 15 * time.Second
	// together is how far apart two outages begin of which one is the other's cause.
	together = 15 * time.Second
)

// brief reports an outage that is over and was short.
func (o *outage) brief() bool { return !o.End.IsZero() && o.End.Sub(o.Start) < briefly }

// explain finds the outages that are the fault of another one: of what depends on
// a dependency that went away at the same time, and of a probe that knows the API.
func (d *Detector) explain() {
	targets := d.targets()
	// The API first: it may be the cause of others.
	slices.SortStableFunc(targets, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	for _, target := range targets {
		o := d.open[target]
		if isDependency(target) || o.CausedBy != "" {
			continue
		}
		for _, other := range targets {
			cause := d.open[other]
			if rank(other) < rank(target) && o.Start.Sub(cause.Start).Abs() <= together {
				o.CausedBy = other
				break
			}
		}
	}
}

// spoilt returns the dependency that is away now and without which most requests
// fail, and the share of them; "" and 0 when there is none. Where few requests are
// sent, all of them fail in a row soon, and the API is not away for that.
func (d *Detector) spoilt() (target string, share float64) {
	for _, name := range d.targets() {
		o := d.open[name]
		if n := o.Failed + o.OK; isDependency(name) && o.End.IsZero() && n > 0 {
			if s := float64(o.Failed) / float64(n); s >= most && s > share {
				target, share = name, s
			}
		}
	}
	return target, share
}

// rank puts causes before what they cause.
func rank(target string) int {
	switch {
	case isDependency(target):
		return 0
	case target == API:
		return 1
	}
	return 2
}

const (
	// doubt is how long it may be open whether an outage of the API is one.
	doubt = 2 * time.Minute
	// clean is the share of requests that may fail after a short outage: where more
	// do, they failed by chance one after the other.
	clean = 0.2
)

// confirm decides of outages of the API whether they are, and drops those that are not.
func (d *Detector) confirm() {
	o := d.open[API]
	if o == nil || o.confirmed {
		return
	}
	switch {
	case d.sure(o):
		o.confirmed = true
		d.totals[API]++
	case d.settled(o), d.next.Sub(o.Detected) > doubt:
		delete(d.open, API)
	}
}

// sure reports that nearly all requests failed in the time that an outage lasted,
// and that they do not go on to do so in part.
func (d *Detector) sure(o *outage) bool {
	failed := o.Failed + o.between.failed
	n := failed + o.OK + o.between.ok
	switch {
	case float64(failed) < o.least*float64(n):
		return false
	case o.End.IsZero():
		return d.next.Sub(o.Start) >= briefly
	case o.brief():
		return d.settled(o) && (o.Restart || float64(o.after.failed) <= clean*float64(o.after.failed+o.after.ok))
	}
	return true
}

// settled reports that nothing of an outage was seen for the time of a recovery.
func (d *Detector) settled(o *outage) bool {
	return !o.End.IsZero() && d.next.Sub(o.End) >= d.cfg.Settled
}

// explained reports that the symptom of another outage tells of this one too: not
// any more when the other one has long ended and this one has not.
func (d *Detector) explained(o *outage) bool {
	if o.CausedBy == "" {
		return false
	}
	cause := d.open[o.CausedBy]
	if cause == nil || cause.over {
		return !o.End.IsZero()
	}
	return true
}

// tell returns the symptoms of the outages that are present.
func (d *Detector) tell() []finding.Symptom {
	var symptoms []finding.Symptom
	for _, target := range d.targets() {
		o := d.open[target]
		if o.over {
			continue
		}
		settled := d.settled(o)
		if !d.explained(o) && d.ready(o, settled) {
			o.told = true
			symptoms = append(symptoms, o.symptom(settled, o.End))
		} else if o.told {
			o.told = false
			symptoms = append(symptoms, o.symptom(true, d.next))
		}
		o.over = settled
	}
	return symptoms
}

// ready reports that there is nothing to wait for before an outage is told.
func (d *Detector) ready(o *outage, settled bool) bool {
	switch {
	case !o.confirmed:
		return false
	case o.told, isDependency(o.Target):
		return true
	case o.brief():
		return settled && !o.Restart
	case o.End.IsZero():
		return d.next.Sub(o.Start) >= briefly
	}
	return true
}

func (o *outage) symptom(over bool, ended time.Time) finding.Symptom {
	n := o.Failed + o.OK
	s := finding.Symptom{
		Kind: o.Kind, Subject: finding.Subject{Target: o.Target},
		Onset: o.Start, OnsetFrom: o.StartFrom, OnsetTo: o.Start,
		Unit: "ratio", What: "share of failed requests", Confidence: 1, Requests: n, Text: o.text(),
		Windows: 1 + int(o.lasted(o.Detected)/(10*time.Second)),
	}
	if n > 0 {
		s.After = float64(o.Failed) / float64(n)
	}
	if o.usualRequests > 0 {
		s.Before, s.Against = o.usualShare, "earlier in this run"
	}
	if over {
		s.Over, s.Ended = true, ended
	}
	return s
}

// lasted returns how long the outage lasted, or has lasted up to now.
func (o *outage) lasted(now time.Time) time.Duration {
	if !o.End.IsZero() {
		now = o.End
	}
	return max(0, now.Sub(o.Start))
}

// text says the outage in a sentence.
func (o *outage) text() string {
	var b strings.Builder
	verb := "was away"
	switch {
	case o.Kind == finding.Hang && o.End.IsZero():
		verb = "gives no answers"
	case o.Kind == finding.Hang:
		verb = "gave no answers"
	case o.End.IsZero():
		verb = "is away"
	}
	const clock = "15:04:05"
	fmt.Fprintf(&b, "%s %s", o.Target, verb)
	if o.End.IsZero() {
		fmt.Fprintf(&b, " since %s", o.Start.Format(clock))
	} else {
		fmt.Fprintf(&b, " from %s for %s%s", o.Start.Format(clock), map[bool]string{true: "at most "}[o.EndApproximate], round(o.End.Sub(o.Start)))
	}
	if o.Reason != "" {
		fmt.Fprintf(&b, " (%s)", o.Reason)
	}
	if o.CausedBy != "" {
		fmt.Fprintf(&b, ", because of %s", o.CausedBy)
	}
	if o.Restart {
		b.WriteString(": it restarted")
	}
	b.WriteString(o.reaction())
	switch {
	case !o.Recovered.IsZero() && o.Recovered.After(o.End):
		fmt.Fprintf(&b, "; as before %s later", round(o.Recovered.Sub(o.End)))
	case !o.Recovered.IsZero():
		b.WriteString("; as before at once")
	case o.Closed:
		b.WriteString("; the service did not come back to what it was")
	}
	return b.String()
}

// reaction says what the API did meanwhile.
func (o *outage) reaction() string {
	who := "; the API "
	if o.Target == API {
		who = "; it "
	}
	share := 100 * float64(o.Failed) / float64(max(1, o.Failed+o.OK))
	counts := fmt.Sprintf(": %.3g %% of %d requests%s%s", share, o.Failed+o.OK, o.mostly(), o.howSoon())
	switch o.Mode {
	case FailFast:
		return who + "failed fast" + counts
	case Hangs:
		return who + "let requests hang" + counts
	case WrongAnswers:
		return who + "answered wrongly" + counts
	case Degraded:
		return fmt.Sprintf("%sgot slower: p95 %s, before %s", who, round(p95(&o.times)), round(o.usualP95))
	case Unaffected:
		return "; the API was not affected"
	}
	return "; there were no requests meanwhile"
}

// mostly names the outcome that came most.
func (o *outage) mostly() string {
	name, most := "", int64(0)
	for outcome, n := range o.Outcomes {
		if n > most || (n == most && outcome < name) {
			name, most = outcome, n
		}
	}
	if name == "" {
		return ""
	}
	return ", mostly " + name
}

// howSoon says when requests failed.
func (o *outage) howSoon() string {
	if o.FailureSeconds == 0 {
		return ""
	}
	return ", after " + round(time.Duration(o.FailureSeconds*float64(time.Second))).String()
}

// round leaves as much of a duration as a person wants to read.
func round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
