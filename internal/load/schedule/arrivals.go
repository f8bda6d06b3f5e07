package schedule

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"time"

	"lukechampine.com/uint128"
)

const (
	// FullFactor is the factor of a rate that is as the shape says.
	FullFactor = 1_000_000
	// maxShards bounds how many gaps are drawn for one arrival.
	maxShards = 10_000
	maxTick   = time.Minute
	// gapStream tells the draws of the gaps from others with the same seed.
	gapStream = 0x67617073
)

// Options say which arrivals of a shape are walked along, and how they are spaced.
type Options struct {
	// Poisson draws the gaps of a Poisson process instead of even ones.
	Poisson bool
	// Seed decides the gaps. The shards of one schedule need the same.
	Seed uint64
	// Shard of Shards takes every arrival n with n mod Shards = Shard. Shards of 0 and 1
	// take all.
	Shard, Shards int
	// Tick rounds due times up to its multiples; 0 is off.
	Tick time.Duration
}

// Arrivals walks along a shape, arrival by arrival. It is for one goroutine.
//
// How many units have been let through until a time t is
//
//	P(t) = base + factor*(S(t-origin) - shapeBase)
//
// and arrival n is due when P has come to n arrivals, or to the sum of n+1 gaps with mean
// 1 of a Poisson process. A change of shape or factor at a time starts a new such line
// where the old one was, so that what has been let through of the next arrival is
// kept. Each change rounds by less than two units, 10^-15 of an arrival.
type Arrivals struct {
	options Options
	random  rand.PCG

	shape     Shape
	origin    time.Duration   // when the shape began
	factor    uint32          // millionths
	since     time.Duration   // when the last change was
	base      uint128.Uint128 // units let through at since
	shapeBase uint128.Uint128 // units of the shape at since

	n      int64
	target uint128.Uint128 // units at which arrival n is due
	ended  bool            // no int64 is left for n
	at     place
	due    time.Duration
	ok     bool
}

// NewArrivals starts at the first arrival of a shape.
func NewArrivals(shape Shape, options Options) (*Arrivals, error) {
	options.Shards = max(options.Shards, 1)
	switch {
	case len(shape.segments) == 0:
		return nil, errors.New("arrivals need a shape: make one with Steady, Ramp, Steps, Spike, Day, Replay or ParseShape")
	case options.Shards > maxShards || options.Shard < 0 || options.Shard >= options.Shards:
		return nil, fmt.Errorf("shard %d of %d: give a shard from 0 up to one less than the shards, of which %d are the most", options.Shard, options.Shards, maxShards)
	case options.Tick < 0 || options.Tick > maxTick:
		return nil, fmt.Errorf("a tick of %s is out of range: give 0s (off) up to %s, such as 5ms", options.Tick, maxTick)
	}
	a := &Arrivals{options: options, shape: shape, factor: FullFactor, n: int64(options.Shard)}
	a.random.Seed(options.Seed, gapStream)
	if options.Poisson {
		a.addGaps(options.Shard + 1)
	} else {
		a.target = uint128.From64(unitsPerArrival).Mul64(uint64(options.Shard))
	}
	a.find()
	return a, nil
}

// Peek returns the next arrival and when it is due; false when none is to come
// within the clock: the rate is 0 for ever, or the factor is until it is changed.
func (a *Arrivals) Peek() (n int64, due time.Duration, ok bool) { return a.n, a.due, a.ok }

// Advance goes on to the arrival after the one that Peek returns. It does nothing
// when there is none.
func (a *Arrivals) Advance() {
	if !a.ok {
		return
	}
	if a.n > math.MaxInt64-int64(a.options.Shards) {
		a.ended, a.ok = true, false
		return
	}
	a.n += int64(a.options.Shards)
	if a.options.Poisson {
		a.addGaps(a.options.Shards)
	} else {
		a.target = a.target.Add(uint128.From64(unitsPerArrival).Mul64(uint64(a.options.Shards)))
	}
	a.find()
}

// addGaps draws gaps: also those of the arrivals of other shards, so that all
// shards walk along one schedule.
func (a *Arrivals) addGaps(count int) {
	for range count {
		a.target = a.target.Add64(exponentialUnits(a.random.Uint64()))
	}
}

// SetFactor scales the rate from a time on, in millionths: 0 pauses, [FullFactor]
// is as the shape says. The shape's own clock runs on.
//
// Take what is due until then first: an arrival that has not been taken is due at
// that time at the earliest, whenever it was due before. A factor that is set already
// changes nothing.
func (a *Arrivals) SetFactor(at time.Duration, millionths uint32) error {
	if millionths > FullFactor {
		return fmt.Errorf("a factor of %d millionths: give 0 (paused) up to %d (as the shape says)", millionths, FullFactor)
	}
	if err := a.checkTime(at); err != nil {
		return err
	}
	if millionths != a.factor {
		a.moveTo(at)
		a.factor = millionths
	}
	a.find()
	return nil
}

// SetShape goes on with another shape, which starts at a time; the factor stays.
// What SetFactor says about arrivals before that time holds here too.
func (a *Arrivals) SetShape(at time.Duration, shape Shape) error {
	if len(shape.segments) == 0 {
		return errors.New("arrivals need a shape: make one with Steady, Ramp, Steps, Spike, Day, Replay or ParseShape")
	}
	if err := a.checkTime(at); err != nil {
		return err
	}
	a.moveTo(at)
	a.shape, a.origin, a.shapeBase, a.at = shape, at, uint128.Zero, place{}
	a.find()
	return nil
}

func (a *Arrivals) checkTime(at time.Duration) error {
	if at < a.since {
		return fmt.Errorf("a change of the rate at %s after one at %s: give times that do not fall", at, a.since)
	}
	return nil
}

// moveTo starts a new line of P at a time.
func (a *Arrivals) moveTo(at time.Duration) {
	units := a.shape.units(at - a.origin)
	// Below 2^104 * 2^20.
	a.base = a.base.Add(units.Sub(a.shapeBase).Mul64(uint64(a.factor)).Div64(FullFactor))
	a.since, a.shapeBase = at, units
}

// find computes when arrival n is due.
func (a *Arrivals) find() {
	a.due, a.ok = a.solve()
}

func (a *Arrivals) solve() (time.Duration, bool) {
	if a.ended || a.factor == 0 {
		return 0, false
	}
	var ahead uint128.Uint128
	if a.target.Cmp(a.base) > 0 {
		ahead = a.target.Sub(a.base)
	}
	// The clock ends before 2^104 units at the highest rate, and up to 2^108 leave
	// room to multiply by the factor.
	if ahead.Hi >= 1<<44 {
		return 0, false
	}
	if a.factor != FullFactor {
		ahead = ahead.Mul64(FullFactor).Div64(uint64(a.factor))
	}
	x, ok := a.shape.due(a.shapeBase.Add(ahead), &a.at)
	if !ok || x > math.MaxInt64-a.origin {
		return 0, false
	}
	return roundUp(max(a.origin+x, a.since), a.options.Tick)
}

// roundUp returns the first multiple of tick that is not before a time.
func roundUp(at, tick time.Duration) (time.Duration, bool) {
	if tick == 0 || at%tick == 0 {
		return at, true
	}
	rounded := at - at%tick
	return rounded + tick, rounded <= math.MaxInt64-tick
}

// RateAt returns the rate that all shards together aim at, at a time since the start and by what
// is set now. Before the last change that is the rate at the change.
func (a *Arrivals) RateAt(at time.Duration) Rate {
	rate := a.shape.RateAt(max(at, a.since) - a.origin)
	high, low := bits.Mul64(uint64(rate), uint64(a.factor))
	scaled, _ := bits.Div64(high, low, FullFactor)
	return Rate(scaled)
}

// Shape returns the shape that is walked along now.
func (a *Arrivals) Shape() Shape { return a.shape }

// Shards returns how many walk along the schedule, this one among them.
func (a *Arrivals) Shards() int { return a.options.Shards }

// Factor returns the factor that is set, in millionths.
func (a *Arrivals) Factor() uint32 { return a.factor }
