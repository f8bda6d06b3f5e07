package schedule

import "time"

// Phase says which way a rate goes.
type Phase string

// The phases.
const (
	// Steadily: the rate stays as it is.
	Steadily Phase = "steady"
	// Rising: the rate grows.
	Rising Phase = "rising"
	// Falling: the rate shrinks.
	Falling Phase = "falling"
)

// PhaseAt returns which way the rate goes at a time since the start. The zero
// Shape stays where it is.
func (s Shape) PhaseAt(at time.Duration) Phase {
	if len(s.segments) == 0 {
		return Steadily
	}
	_, index, _ := s.moment(at)
	switch seg := &s.segments[index]; {
	case seg.from < seg.to:
		return Rising
	case seg.from > seg.to:
		return Falling
	}
	return Steadily
}

// PhaseAt returns which way the rate goes at a time since the start and by what is
// set now.
func (a *Arrivals) PhaseAt(at time.Duration) Phase {
	return a.shape.PhaseAt(max(at, a.since) - a.origin)
}
