package leak

import (
	"fmt"
	"math"
	"strings"
	"time"

	"soakd/internal/judge/finding"
)

// State is what is known of a series.
type State string

// The states.
const (
	WarmingUp     State = "warming up"
	Steady        State = "steady"
	WithinNoise   State = "rising within noise"
	Leaking       State = "leak"
	NotEnoughData State = "not enough data"
)

// Trend is how a series goes now, also when it is no leak.
type Trend struct {
	// Signal is the series, name{labels}, without the labels that are added up.
	Signal, Target, Unit string
	State                State
	// SlopePerHour is in Unit an hour, and Low..High its interval at 99 %; Known is
	// false when there is none yet.
	SlopePerHour, Low, High float64
	Known                   bool
	// Confidence is that of a leak, 0 otherwise.
	Confidence float64
	// SecondsToLimit is above 0 when a leak has a limit and has not reached it.
	SecondsToLimit float64
	// Level is the last value, Limit what it may grow to, 0 when there is none.
	Level, Limit float64
	// Watched is how long this process has been watched, Over the horizon of the slope.
	Watched, Over time.Duration
	// Missing says what is not known and why, "" when nothing is missing.
	Missing string
}

// Trends says of every series that was seen in the last ten minutes how it goes, in
// the order of their signals. It is worked out anew at most every five minutes of windows,
// and at once when a leak is found or ends.
func (d *Detector) Trends() []Trend {
	if now := d.end / coarse; now != d.trendsAt {
		d.trendsAt = now
		d.trends = nil
		for _, s := range d.order {
			if s.seen >= d.end-10 {
				d.trends = append(d.trends, d.trend(s))
			}
		}
	}
	return append([]Trend(nil), d.trends...)
}

func (d *Detector) trend(s *series) Trend {
	l := s.current()
	t := Trend{
		Signal: s.id, Target: s.spec.Target, Unit: s.spec.Unit, Level: s.last, State: NotEnoughData,
		Watched: time.Duration(d.end-l.from) * time.Minute,
	}
	if s.limited() {
		t.Limit = s.limit
	}
	if s.leak != nil {
		symptom := &s.leak.symptom
		t.State, t.Known, t.SlopePerHour, t.Low, t.High = Leaking, true, s.leak.slope.Slope, s.leak.slope.Low, s.leak.slope.High
		t.Confidence, t.SecondsToLimit, t.Over = symptom.Confidence, symptom.SecondsToLimit, at(d.end).Sub(symptom.Onset)
		return t
	}
	d.quietTrend(s, &t)
	if s.saved != nil {
		t.State, t.Confidence, t.Missing = Leaking, s.saved.symptom.Confidence, ""
	}
	return t
}

// quietTrend fits the longest horizon that the process has lived through.
func (d *Detector) quietTrend(s *series, t *Trend) {
	l := s.current()
	end := d.end / coarse * coarse
	for i := len(d.horizons) - 1; i >= 0; i-- {
		h := &d.horizons[i]
		if end-h.length < l.ready {
			continue
		}
		block := max(h.step, coarse)
		raw := d.points(s, end-h.length, end, block, nil)
		if len(raw) < 4 || float64(len(raw)) < coverage*float64(h.length/block) {
			continue
		}
		adjust := d.adjusterOf(s, i, raw)
		if adjust.unknown {
			t.Missing = fmt.Sprintf("in the last %s the rate of the load changed with time, so that its effect cannot be told from a leak", durationText(time.Duration(h.length)*time.Minute))
			continue
		}
		x, y := split(adjust.apply(raw))
		line, ok := fit(x, y)
		if !ok {
			continue
		}
		t.Known, t.SlopePerHour, t.Low, t.High, t.Over = true, line.Slope, line.Low, line.High, time.Duration(h.length)*time.Minute
		t.State, t.Missing = Steady, ""
		if line.Low > 0 {
			t.State = WithinNoise
		}
		break
	}
	if !l.steady && t.State != NotEnoughData {
		t.State = WarmingUp
	}
	if t.State == NotEnoughData && t.Missing == "" {
		t.State = WarmingUp
		t.Missing = fmt.Sprintf("it takes %d minutes after the start, or without gaps", warmLeast+d.horizons[0].length)
	}
}

// symptom describes the leak that is present.
func (d *Detector) symptom(s *series) finding.Symptom {
	l := s.leak
	symptom := finding.Symptom{
		Kind: finding.Leak, Subject: finding.Subject{Target: s.spec.Target, Signal: s.id}, What: "slope",
		Onset: at(l.onset), OnsetFrom: at(l.earliest), OnsetTo: at(l.latest),
		Before: l.before, After: s.last, Unit: s.spec.Unit, Against: "earlier in this run",
		Confidence: l.confidence, Windows: int(min(d.end-l.onset, math.MaxInt32)), SlopePerHour: l.slope.Slope,
	}
	if s.limited() && l.slope.Slope > 0 {
		symptom.SecondsToLimit = max(0, (s.limit-s.last)/l.slope.Slope*3600)
	}
	symptom.Text = s.leakText(&symptom, d.end)
	return symptom
}

func (s *series) leakText(symptom *finding.Symptom, end int64) string {
	l := s.leak
	var text strings.Builder
	fmt.Fprintf(&text, "%s rises by %s an hour (%s to %s, confidence %s, %s, %d windows)",
		s.subject(), s.figure(l.slope.Slope), s.figure(l.slope.Low), s.figure(l.slope.High), percentText(l.confidence),
		durationText(time.Duration(end-l.onset)*time.Minute), symptom.Windows)
	switch {
	case l.full:
		fmt.Fprintf(&text, "; it has reached its limit of %s", s.figure(s.limit))
	case s.limited():
		fmt.Fprintf(&text, "; at this rate it reaches its limit of %s in %s", s.figure(s.limit), durationText(time.Duration(symptom.SecondsToLimit)*time.Second))
	default:
		fmt.Fprintf(&text, "; it is at %s, and no limit is known", s.figure(s.last))
	}
	return text.String()
}

// percentText never says 100 %: nothing that is estimated is sure.
func percentText(confidence float64) string {
	if confidence >= 0.9999 {
		return "over 99.99 %"
	}
	return fmt.Sprintf("%.4g %%", math.Floor(confidence*1e4)/100)
}
