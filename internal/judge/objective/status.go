package objective

import (
	"fmt"
	"time"

	"soakd/internal/judge/stats"
	"soakd/internal/judge/window"
)

// Status is how an objective stands.
type Status struct {
	Objective Objective
	// Since is when counting began; zero while nothing was counted.
	Since time.Time
	// Events and Bad count the requests since then.
	Events, Bad int64
	// Ratio is the share of good requests over the period; BudgetRemaining is what
	// is left of its budget: 1 is untouched, below 0 is overdrawn.
	//
	//	1 - (bad / events) / (1 - target)
	Ratio, BudgetRemaining float64
	// Burns are the burn rates now, in the order of [Policy.Burns].
	Burns []BurnRate
	// Known tells whether there are requests enough to say whether it is Met over
	// the period; Ratio and BudgetRemaining mean nothing before there are any.
	Known, Met bool
	// Missing says what is not known, "" when nothing is.
	Missing string
}

// Status returns how each objective stands, in the order in which they were given.
func (t *Tracker) Status() []Status {
	all := make([]Status, 0, len(t.all))
	for _, s := range t.all {
		status := Status{Objective: s.objective, Since: s.since, Events: s.events, Bad: s.bad, Ratio: 1, BudgetRemaining: 1}
		period := s.hours.sum(s.hours.number(s.counted.Add(-1)), t.policy.period())
		if period.Events > 0 {
			share := float64(period.Bad) / float64(period.Events)
			status.Ratio, status.BudgetRemaining = 1-share, 1-share/s.objective.Budget()
		}
		for _, b := range t.burns {
			status.Burns = append(status.Burns, s.rate(b, false))
		}
		result := s.objective.result(period.Events, period.Bad)
		status.Known, status.Met = result != NotEnough, result == Met
		if !status.Known {
			status.Missing = s.objective.missing(period.Events)
		}
		all = append(all, status)
	}
	return all
}

// Result says whether an objective was met.
type Result string

// The results.
const (
	Met    Result = "met"
	Missed Result = "missed"
	// NotEnough: one bad request would decide, so that nothing is said.
	NotEnough Result = "not_enough"
)

// result judges a share. With fewer requests than one bad one may be among, it is
// missed only where it would be with all that are missing good as well.
func (o *Objective) result(events, bad int64) Result {
	enough := o.enough()
	switch {
	case float64(bad) > float64(max(events, enough))*o.Budget()*(1+1e-9):
		return Missed
	case events < enough:
		return NotEnough
	}
	return Met
}

func (o *Objective) missing(events int64) string {
	return fmt.Sprintf("%d requests, and a single bad one decides below %d", events, o.enough())
}

// span counts the requests of a stretch of time.
type span struct {
	Start       time.Time
	Events, Bad int64
}

func (s *series) addToSpan(at time.Time, events, bad int64) {
	if start := at.Truncate(window.Five); !start.Equal(s.five.Start) {
		s.worst = s.objective.worse(s.worst, s.five)
		s.five = span{Start: start}
	}
	s.five.Events += events
	s.five.Bad += bad
}

// worse returns the one of two spans with the larger share of bad requests; one
// with too few requests never is.
func (o *Objective) worse(a, b span) span {
	if b.Events < o.enough() {
		return a
	}
	if a.Events == 0 || float64(b.Bad)*float64(a.Events) > float64(a.Bad)*float64(b.Events) {
		return b
	}
	return a
}

// Part is the judgement of an objective over one stretch of time.
type Part struct {
	Result      Result
	From, To    time.Time
	Events, Bad int64
	// Ratio is the share of good requests; 1 when there were none.
	Ratio float64
	// Uncounted is the time of the run that did not count, because soakd was not fit
	// or held the load back for the target's sake.
	Uncounted time.Duration
	// Text says it in a sentence.
	Text string
}

// Judgement is what is to be said of an objective at the end of a run.
type Judgement struct {
	Objective Objective
	// Run is over all that was counted.
	Run Part
	// Worst is the worst whole 5 minutes (by the clock) with enough requests: what
	// the mean of a long run hides. It is missed only where chance alone does not
	// explain it, since the worst of many is always worse than most.
	Worst Part
}

// Judge returns the judgement of each objective over all that was counted.
func (t *Tracker) Judge() []Judgement {
	all := make([]Judgement, 0, len(t.all))
	for _, s := range t.all {
		j := Judgement{Objective: s.objective, Run: s.part(span{s.since, s.events, s.bad}, s.counted)}
		if j.Run.Uncounted = s.uncounted; s.uncounted >= time.Second { // less is no window but ticks that came late
			j.Run.Text += fmt.Sprintf("; %v of the time did not count", s.uncounted.Round(time.Second))
		}
		worst := s.objective.worse(s.worst, s.five)
		if worst.Events == 0 {
			j.Worst = Part{Result: NotEnough, Ratio: 1, Text: fmt.Sprintf("%s: no 5 minutes had the %d requests that it takes", s.objective.Name, s.objective.enough())}
		} else {
			j.Worst = s.part(worst, worst.Start.Add(window.Five))
			j.Worst.Text += fmt.Sprintf(" (the worst 5 minutes, from %s)", worst.Start.Format("15:04"))
			if j.Worst.Result == Missed && stats.ChernoffAtLeast(worst.Bad, worst.Events, s.objective.Budget()) > alpha {
				j.Worst.Result = Met
				j.Worst.Text += ", which chance may explain"
			}
		}
		all = append(all, j)
	}
	return all
}

func (s *series) part(of span, to time.Time) Part {
	p := Part{Result: s.objective.result(of.Events, of.Bad), From: of.Start, To: to, Events: of.Events, Bad: of.Bad, Ratio: 1}
	if of.Events > 0 {
		p.Ratio = 1 - float64(of.Bad)/float64(of.Events)
	}
	p.Text = fmt.Sprintf("%s: %.3g %% of %d requests %s, %s are allowed", s.objective.Name, 100*(1-p.Ratio), of.Events, s.objective.failing(), percent(s.objective.Budget()))
	if p.Result == NotEnough {
		p.Text = s.objective.Name + ": " + s.objective.missing(of.Events)
	}
	return p
}
