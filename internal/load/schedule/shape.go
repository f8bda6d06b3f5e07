package schedule

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"sort"
	"time"

	"lukechampine.com/uint128"
)

const (
	// maxSpan bounds the time that the segments of a shape take.
	maxSpan = 100 * 365 * 24 * time.Hour
	// maxSegments bounds the memory of a shape: 48 bytes each.
	maxSegments = 200_000
)

// Shape is a rate over the time since the start: segments over which it changes
// evenly, played once, and then either the last rate for ever or a cycle of
// segments that repeats. It cannot be changed, and copies are cheap. The zero
// Shape has no arrivals.
type Shape struct {
	text     string
	segments []segment
	// cycle is the index of the first segment that repeats, when period is not 0.
	cycle    int
	period   time.Duration
	perCycle uint128.Uint128 // units
}

// stretch is a segment before it has its place in a shape.
type stretch struct {
	from, to Rate
	length   time.Duration
}

// newShape puts stretches one behind the other: once, and then those of the cycle
// again and again; without a cycle the last rate of once lasts for ever.
func newShape(text string, once, cycle []stretch) (Shape, error) {
	s := Shape{text: text}
	var end time.Duration
	var units uint128.Uint128
	place := func(stretches []stretch) error {
		for _, next := range stretches {
			if next.length < 0 || next.length > maxSpan-end {
				return fmt.Errorf("a shape of more than %d years or with a negative time", maxSpan/(365*24*time.Hour))
			}
			for _, part := range split(next) {
				seg := segment{start: end, length: part.length, before: units, from: part.from, to: part.to}
				s.segments = append(s.segments, seg)
				end += seg.length
				units = units.Add(seg.units())
			}
			if len(s.segments) > maxSegments {
				return fmt.Errorf("a shape of more than %d segments: give fewer points, or less time over which a rate changes", maxSegments)
			}
		}
		return nil
	}
	if err := errors.Join(checkRates(once...), checkRates(cycle...)); err != nil {
		return Shape{}, err
	}
	if err := place(once); err != nil {
		return Shape{}, err
	}
	if len(cycle) == 0 {
		last := once[len(once)-1].to
		if last == 0 && units.IsZero() {
			return Shape{}, errors.New("every rate is 0: give at least one above 0")
		}
		s.segments = append(s.segments, segment{start: end, length: math.MaxInt64 - end, before: units, from: last, to: last})
		return s, nil
	}
	start, before := end, units
	s.cycle = len(s.segments)
	if err := place(cycle); err != nil {
		return Shape{}, err
	}
	s.period, s.perCycle = end-start, units.Sub(before)
	if s.perCycle.IsZero() {
		return Shape{}, errors.New("every rate of the part that repeats is 0: give at least one above 0")
	}
	return s, nil
}

// checkRates wants no rate above the highest.
func checkRates(stretches ...stretch) error {
	for _, s := range stretches {
		if high := max(s.from, s.to); high > MaxRate {
			return fmt.Errorf("a rate of %s: give at most %s arrivals a second", high, MaxRate)
		}
	}
	return nil
}

// split cuts a stretch whose rate changes into parts of at most an hour, at the
// full hours. The rate at a cut is rounded to a millionth a second.
func split(whole stretch) []stretch {
	if whole.length == 0 {
		return nil
	}
	if whole.from == whole.to || whole.length <= maxSlope {
		return []stretch{whole}
	}
	parts := make([]stretch, 0, whole.length/maxSlope+1)
	from := whole.from
	for at := maxSlope; at < whole.length; at += maxSlope {
		to := between(whole.from, whole.to, uint64(at), uint64(whole.length))
		parts = append(parts, stretch{from: from, to: to, length: maxSlope})
		from = to
	}
	return append(parts, stretch{from: from, to: whole.to, length: whole.length - time.Duration(len(parts))*maxSlope})
}

// between returns the rate at x of length on the way from one rate to another,
// rounded to the nearest millionth.
func between(from, to Rate, x, length uint64) Rate {
	weighted := uint128.From64(uint64(from)).Mul64(length - x).Add(uint128.From64(uint64(to)).Mul64(x))
	return Rate(weighted.Add64(length / 2).Div64(length).Lo)
}

// String returns the shape as [ParseShape] reads it; the rise of WithRampUp, which
// has no such text, is named behind it.
func (s Shape) String() string { return s.text }

// Due returns when arrival n (0, 1, 2, ...) is due if they are spaced evenly,
// counted from the start: the floor in nanoseconds of the time at which n arrivals
// have been let through. An arrival that falls on the start of a pause is due at its end.
// It is false when there is no such arrival within the clock's 292 years.
func (s Shape) Due(n int64) (time.Duration, bool) {
	if n < 0 || len(s.segments) == 0 {
		return 0, false
	}
	return s.due(uint128.From64(uint64(n)).Mul64(unitsPerArrival), &place{})
}

// place is where in a shape the last due time was found.
type place struct {
	cycles  uint64          // whole cycles passed over
	skipped uint128.Uint128 // their units
	index   int             // segment
}

// due returns when a number of units has been let through. It starts to look at
// the place where it found the last one.
func (s Shape) due(units uint128.Uint128, at *place) (time.Duration, bool) {
	units, ok := s.intoCycle(units, at)
	if !ok {
		return 0, false
	}
	at.index = s.holding(units, at.index)
	seg := &s.segments[at.index]
	x, ok := seg.due(units.Sub(seg.before))
	if !ok {
		return 0, false
	}
	return sumOf(at.cycles, s.period, seg.start, time.Duration(x))
}

// sumOf returns cycles*period + start + x, false when that is beyond the clock.
func sumOf(cycles uint64, period, start, x time.Duration) (time.Duration, bool) {
	high, low := bits.Mul64(cycles, uint64(period))
	sum := start + x // each is below 2^63; a sum beyond wraps to below 0
	if high != 0 || low > math.MaxInt64 || sum < 0 {
		return 0, false
	}
	sum += time.Duration(low)
	return sum, sum >= 0
}

// intoCycle takes whole cycles off, so that what is left lies in the segments.
func (s Shape) intoCycle(units uint128.Uint128, at *place) (uint128.Uint128, bool) {
	if s.period == 0 {
		return units, true
	}
	first := s.segments[s.cycle].before
	end := first.Add(s.perCycle)
	if units.Cmp(at.skipped) >= 0 {
		left := units.Sub(at.skipped)
		if left.Cmp(end) < 0 && (at.cycles == 0 || left.Cmp(first) >= 0) {
			return left, true
		}
	}
	*at = place{}
	if units.Cmp(end) < 0 {
		return units, true
	}
	cycles, _ := units.Sub(first).QuoRem(s.perCycle)
	if cycles.Hi != 0 {
		return uint128.Zero, false
	}
	at.cycles, at.skipped, at.index = cycles.Lo, s.perCycle.Mul(cycles), s.cycle
	return units.Sub(at.skipped), true
}

// holding returns the index of the last segment that starts at no more than a
// number of units. As a pause lets nothing through, it is never one, but for a
// pause that lasts for ever.
func (s Shape) holding(units uint128.Uint128, hint int) int {
	starts := func(i int) bool { return i < len(s.segments) && s.segments[i].before.Cmp(units) <= 0 }
	for range 2 {
		if starts(hint) && !starts(hint+1) {
			return hint
		}
		hint++
	}
	return sort.Search(len(s.segments), func(i int) bool { return !starts(i) }) - 1
}

// moment finds a time since the start: the whole cycles before it, its segment,
// and the time within that.
func (s Shape) moment(at time.Duration) (cycles uint64, index int, x uint64) {
	at = max(at, 0)
	if s.period > 0 && at >= s.segments[s.cycle].start {
		past := at - s.segments[s.cycle].start
		cycles = uint64(past / s.period)
		at -= time.Duration(cycles) * s.period
	}
	index = sort.Search(len(s.segments), func(i int) bool { return s.segments[i].start > at }) - 1
	return cycles, index, uint64(at - s.segments[index].start)
}

// units returns the whole units that have been let through until a time since the
// start.
func (s Shape) units(at time.Duration) uint128.Uint128 {
	if len(s.segments) == 0 {
		return uint128.Zero
	}
	cycles, index, x := s.moment(at)
	seg := &s.segments[index]
	return s.perCycle.Mul64(cycles).Add(seg.before).Add(seg.unitsAt(x))
}

// RateAt returns the rate at a time since the start.
func (s Shape) RateAt(at time.Duration) Rate {
	if len(s.segments) == 0 {
		return 0
	}
	_, index, x := s.moment(at)
	return s.segments[index].rateAt(x)
}

// Peak returns the highest rate of the shape.
func (s Shape) Peak() Rate {
	var peak Rate
	for i := range s.segments {
		peak = max(peak, s.segments[i].from, s.segments[i].to)
	}
	return peak
}

// Average returns the rate in the long run, rounded to a millionth: over one
// period, or the last rate of a shape that does not repeat.
func (s Shape) Average() Rate {
	switch {
	case len(s.segments) == 0:
		return 0
	case s.period == 0:
		return s.segments[len(s.segments)-1].to
	default:
		// Units are half millionths a second times nanoseconds.
		return Rate(s.perCycle.Add64(uint64(s.period)).Div64(2 * uint64(s.period)).Lo)
	}
}

// Period returns how long the part that repeats takes; 0 when nothing does.
func (s Shape) Period() time.Duration { return s.period }

// WithRampUp returns the shape behind a rise from 0 to its first rate. A shape that
// starts at 0 needs none and stays as it is.
func (s Shape) WithRampUp(over time.Duration) (Shape, error) {
	if err := checkChange("ramp-up", over); err != nil {
		return Shape{}, err
	}
	first := s.RateAt(0)
	if over == 0 || first == 0 {
		return s, nil
	}
	all := []stretch{{0, first, over}}
	for _, seg := range s.segments {
		all = append(all, stretch{seg.from, seg.to, seg.length})
	}
	text := s.text + " after a rise over " + shortDuration(over)
	if s.period > 0 {
		return newShape(text, all[:1+s.cycle], all[1+s.cycle:])
	}
	// The last segment is the one without an end, which newShape makes anew.
	last := s.segments[len(s.segments)-1].from
	all[len(all)-1] = stretch{last, last, 0}
	return newShape(text, all, nil)
}
