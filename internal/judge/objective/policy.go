package objective

import (
	"errors"
	"fmt"
	"time"
)

// Severity says whom a burning budget concerns.
type Severity string

// The severities: somebody has to come at once, or within days.
const (
	Page   Severity = "page"
	Ticket Severity = "ticket"
)

// Burn is an alert on a burn rate: the budget is used Factor times as fast as would
// use it up in exactly the period, over the Long window, and still is over the Short one.
type Burn struct {
	Factor      float64
	Long, Short time.Duration
	Severity    Severity
}

// Share is the part of the period's budget that is gone when the burn is noticed
// in a service that was without failures before: Factor * Long / period.
func (b Burn) Share(period time.Duration) float64 {
	return b.Factor * float64(b.Long) / float64(period)
}

const (
	// DefaultPeriod is what the factors and windows of the workbook are made for.
	DefaultPeriod = 30 * 24 * time.Hour
	// minPeriod: below, even the shortest windows would need more than half of the
	// budget before they tell of a burn.
	minPeriod, maxPeriod = time.Hour, 90 * 24 * time.Hour
	// minLong and minShort: counts come by the minute.
	minLong, minShort = 5 * time.Minute, time.Minute
)

// Policy says over what period a budget must last.
type Policy struct {
	// Period is what the budget is for, 1 h to 90 d; 0 means [DefaultPeriod].
	Period time.Duration
}

// PolicyFor returns the policy of a run that lasts so long: its budget must last
// for the run. 0, for ever, and what is longer give [DefaultPeriod].
func PolicyFor(run time.Duration) Policy {
	if run <= 0 {
		return Policy{Period: DefaultPeriod}
	}
	return Policy{Period: min(max(run, minPeriod), DefaultPeriod)}
}

func (p Policy) period() time.Duration {
	if p.Period == 0 {
		return DefaultPeriod
	}
	return p.Period
}

// Validate returns what is wrong with the period.
func (p Policy) Validate() error {
	if period := p.period(); period < minPeriod || period > maxPeriod {
		return fmt.Errorf("objectives: the period %v must be 1h to 2160h (90 days)", period)
	}
	return nil
}

// Burns returns the alerts, the most urgent first. For a period of 30 days they are
// those of the Site Reliability Workbook (Google 2018, chapter 5, table 5-8:
// https://sre.google/workbook/alerting-on-slos/): they tell when 2 %, 5 % and 10 % of
// the budget are gone within one long window. For another period the windows are
// scaled in proportion and the factors kept, which keeps these shares. Windows are
// whole minutes, long ones of at least 5 minutes: in a soak of hours a larger
// share is gone before anything can be told ([Burn.Share]), and of two alerts whose
// windows have become the same the one with the higher factor says nothing more
// and is left out.
func (p Policy) Burns() []Burn {
	scaled := func(d, least time.Duration) time.Duration {
		exact := float64(d) * (float64(p.period()) / float64(DefaultPeriod))
		minutes := time.Duration((exact + float64(time.Minute) - 1) / float64(time.Minute))
		return max(minutes*time.Minute, least)
	}
	var burns []Burn
	for _, b := range []Burn{
		{14.4, time.Hour, 5 * time.Minute, Page},
		{6, 6 * time.Hour, 30 * time.Minute, Page},
		{1, 3 * 24 * time.Hour, 6 * time.Hour, Ticket},
	} {
		b.Long, b.Short = scaled(b.Long, minLong), scaled(b.Short, minShort)
		if last := len(burns) - 1; last >= 0 && burns[last].Long == b.Long && burns[last].Short == b.Short {
			burns = burns[:last]
		}
		burns = append(burns, b)
	}
	return burns
}

// fits reports a burn rate that the objective cannot reach: all requests that fail
// are 1 / (1 - target) times the budget, so factor * (1 - target) must be below 1.
func (p Policy) fits(o *Objective) error {
	var errs []error
	for _, b := range p.Burns() {
		if share := b.Factor * o.Budget(); share >= 1-1e-9 {
			errs = append(errs, fmt.Errorf("objective %q: %v times the budget of %s is %s of all requests, so that no failure is enough for the alert on %v/%v; "+
				"a factor below %.4g would be possible with this target, or a target above %.4g%% with this factor",
				o.Name, b.Factor, percent(o.Budget()), percent(share), b.Long, b.Short, 1/o.Budget(), 100*(1-1/b.Factor)))
		}
	}
	return errors.Join(errs...)
}
