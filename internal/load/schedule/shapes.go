package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxChange bounds the time over which a rate changes, so that its hours make a
// bounded number of segments.
const maxChange = 366 * 24 * time.Hour

func checkChange(what string, over time.Duration) error {
	if over < 0 || over > maxChange {
		return fmt.Errorf("%s: %s is out of range: give 0s up to 8784h, such as 10m", what, over)
	}
	return nil
}

// shortDuration prints a duration as time.ParseDuration reads it, without its zero
// minutes and seconds.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Steady returns a constant rate: arrival n is due at
//
//	floor(n * 10^9 / rate) ns
//
// exactly, for every n.
func Steady(rate Rate) (Shape, error) {
	if rate == 0 || rate > MaxRate {
		return Shape{}, errors.New("a steady schedule needs a rate above 0 and up to a million a second")
	}
	return newShape("steady", []stretch{{rate, rate, 0}}, nil)
}

// Ramp returns a rate that changes evenly from one to another and stays there.
func Ramp(from, to Rate, over time.Duration) (Shape, error) {
	if over <= 0 || over > maxChange {
		return Shape{}, fmt.Errorf("over: %s is out of range: give more than 0s and up to 8784h, such as 10m", over)
	}
	text := fmt.Sprintf("ramp:from=%s,to=%s,over=%s", from, to, shortDuration(over))
	return newShape(text, []stretch{{from, to, over}}, nil)
}

// Step is a rate and how long it lasts.
type Step struct {
	Rate Rate
	// For must be above 0, and 0 in the last step, which has no end.
	For time.Duration
}

// Steps returns one rate after the other; the last one stays.
func Steps(steps []Step) (Shape, error) {
	if len(steps) == 0 {
		return Shape{}, errors.New("no steps: give at least one rate, such as 50@5m,100")
	}
	stretches := make([]stretch, len(steps))
	texts := make([]string, len(steps))
	for i, step := range steps {
		last := i == len(steps)-1
		switch {
		case last && step.For != 0:
			return Shape{}, fmt.Errorf("step %d: the last step has no end: give the rate alone, such as %s", i+1, step.Rate)
		case !last && step.For <= 0:
			return Shape{}, fmt.Errorf("step %d: only the last step may have no time: give one above 0, such as %s@5m", i+1, step.Rate)
		case last:
			texts[i] = step.Rate.String()
		default:
			texts[i] = step.Rate.String() + "@" + shortDuration(step.For)
		}
		stretches[i] = stretch{step.Rate, step.Rate, step.For}
	}
	return newShape("steps:"+strings.Join(texts, ","), stretches, nil)
}

// Spikes are short rises of a steady rate.
type Spikes struct {
	Base, Peak Rate
	// First is when the first spike begins.
	First time.Duration
	// Every is the time from the beginning of one spike to that of the next; 0 is a
	// single spike.
	Every time.Duration
	// Rise is how long the rate takes up to the peak, and down again; 0 is at once.
	Rise time.Duration
	// Hold is how long the rate stays at the peak.
	Hold time.Duration
}

// Spike returns a steady rate with spikes.
func Spike(c Spikes) (Shape, error) {
	if err := c.check(); err != nil {
		return Shape{}, err
	}
	text := fmt.Sprintf("spike:to=%s,at=%s", c.Peak, shortDuration(c.First))
	if c.Every > 0 {
		text += ",every=" + shortDuration(c.Every)
	}
	text += fmt.Sprintf(",hold=%s,rise=%s", shortDuration(c.Hold), shortDuration(c.Rise))
	once := []stretch{{c.Base, c.Base, c.First}}
	spike := []stretch{{c.Base, c.Peak, c.Rise}, {c.Peak, c.Peak, c.Hold}, {c.Peak, c.Base, c.Rise}}
	if c.Every == 0 {
		return newShape(text, append(once, spike...), nil)
	}
	return newShape(text, once, append(spike, stretch{c.Base, c.Base, c.Every - c.length()}))
}

func (c Spikes) length() time.Duration { return 2*c.Rise + c.Hold }

func (c Spikes) check() error {
	err := errors.Join(checkChange("at", c.First), checkChange("every", c.Every), checkChange("rise", c.Rise), checkChange("hold", c.Hold))
	switch {
	case err != nil:
		return err
	case c.length() == 0:
		return errors.New("a spike without a time: give hold or rise above 0, such as hold=1m,rise=10s")
	case c.Every > 0 && c.length() > c.Every:
		return fmt.Errorf("spikes of %s (rise, hold and fall) every %s run into each other: give every at least %s",
			shortDuration(c.length()), shortDuration(c.Every), shortDuration(c.length()))
	}
	return nil
}
