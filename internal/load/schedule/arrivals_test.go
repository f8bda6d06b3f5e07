package schedule

import (
	"math"
	"math/big"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"lukechampine.com/uint128"
)

func arrivals(t testing.TB, text string, options Options) *Arrivals {
	t.Helper()
	a, err := NewArrivals(parsed(t, text), options)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func wantOK(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// take returns the next arrival and goes on.
func take(t *testing.T, a *Arrivals) (int64, time.Duration) {
	t.Helper()
	n, due, ok := a.Peek()
	if !ok {
		t.Fatal("there is no arrival")
	}
	a.Advance()
	return n, due
}

// drain takes all arrivals that are due before a time.
func drain(a *Arrivals, until time.Duration) (count int64) {
	for {
		_, due, ok := a.Peek()
		if !ok || due >= until {
			return count
		}
		a.Advance()
		count++
	}
}

func TestArrivalsAreThoseOfTheShape(t *testing.T) {
	for _, text := range shapeTexts {
		s := parsed(t, text)
		a := arrivals(t, text, Options{})
		for want := range int64(2000) {
			wantDue, wantOK := s.Due(want)
			n, due, ok := a.Peek()
			if n != want || due != wantDue || ok != wantOK {
				t.Fatalf("%s: arrival %d is due at %v, %v, want %d at %v, %v", text, n, due, ok, want, wantDue, wantOK)
			}
			a.Advance()
			if !ok {
				break
			}
		}
	}
}

func TestShardsTogetherAreTheSchedule(t *testing.T) {
	for _, options := range []Options{{}, {Poisson: true, Seed: 7}, {Poisson: true, Seed: 8, Tick: 5 * time.Millisecond}} {
		const text = "day:min=3,max=40"
		whole := arrivals(t, text, options)
		shards := make([]*Arrivals, 5)
		for i := range shards {
			options.Shard, options.Shards = i, len(shards)
			shards[i] = arrivals(t, text, options)
		}
		for range 5000 {
			n, due := take(t, whole)
			if gotN, gotDue := take(t, shards[n%5]); gotN != n || gotDue != due {
				t.Fatalf("%+v: arrival %d is due at %v, in shards arrival %d at %v", options, n, due, gotN, gotDue)
			}
		}
	}
}

// Shards that are changed at the same times stay one schedule.
func TestChangedShardsAreTheSchedule(t *testing.T) {
	const text, shards = "ramp:from=3,to=400,over=1m", 3
	for _, poisson := range []bool{false, true} {
		dues := func(shard, shards int) map[int64]time.Duration {
			a := arrivals(t, text, Options{Poisson: poisson, Seed: 5, Shard: shard, Shards: shards})
			all := map[int64]time.Duration{}
			random := rand.New(rand.NewPCG(15, 16))
			for at := time.Duration(0); at < time.Minute; at += time.Duration(random.Int64N(int64(time.Second))) {
				for n, due, ok := a.Peek(); ok && due < at; n, due, ok = a.Peek() {
					all[n] = due
					a.Advance()
				}
				wantOK(t, a.SetFactor(at, random.Uint32N(FullFactor)))
			}
			return all
		}
		whole := dues(0, 1)
		count := 0
		for shard := range shards {
			for n, due := range dues(shard, shards) {
				if count++; whole[n] != due || n%shards != int64(shard) {
					t.Errorf("shard %d: arrival %d is due at %v, in the whole at %v", shard, n, due, whole[n])
				}
			}
		}
		if count != len(whole) || count < 1000 {
			t.Errorf("the shards have %d arrivals, the whole %d", count, len(whole))
		}
	}
}

func TestTickRoundsUp(t *testing.T) {
	fine := arrivals(t, "ramp:from=7,to=333,over=1m", Options{})
	coarse := arrivals(t, "ramp:from=7,to=333,over=1m", Options{Tick: 5 * time.Millisecond})
	for range 10_000 {
		n, due := take(t, fine)
		gotN, got := take(t, coarse)
		if late := got - due; gotN != n || got%(5*time.Millisecond) != 0 || late < 0 || late >= 5*time.Millisecond {
			t.Fatalf("arrival %d is due at %v, by the tick arrival %d at %v", n, due, gotN, got)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	s := parsed(t, "steady")
	for want, options := range map[string]Options{
		"shard 5 of 5: give a shard from 0 up to one less than the shards, of which 10000 are the most":     {Shard: 5, Shards: 5},
		"shard -1 of 5: give a shard from 0 up to one less than the shards, of which 10000 are the most":    {Shard: -1, Shards: 5},
		"shard 0 of 10001: give a shard from 0 up to one less than the shards, of which 10000 are the most": {Shards: 10_001},
		"a tick of -1ns is out of range: give 0s (off) up to 1m0s, such as 5ms":                             {Tick: -1},
		"a tick of 1m1s is out of range: give 0s (off) up to 1m0s, such as 5ms":                             {Tick: 61 * time.Second},
	} {
		if _, err := NewArrivals(s, options); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", options, err, want)
		}
	}
	if _, err := NewArrivals(Shape{}, Options{}); err == nil {
		t.Error("a shape of nothing was taken")
	}
	a := arrivals(t, "steady", Options{})
	wantOK(t, a.SetFactor(time.Second, 5))
	if err := a.SetFactor(time.Second-1, 6); err == nil || err.Error() != "a change of the rate at 999.999999ms after one at 1s: give times that do not fall" {
		t.Errorf("a change in the past: %v", err)
	}
	if err := a.SetFactor(time.Second, FullFactor+1); err == nil || err.Error() != "a factor of 1000001 millionths: give 0 (paused) up to 1000000 (as the shape says)" {
		t.Errorf("a factor above 1: %v", err)
	}
	if err := a.SetShape(time.Second, Shape{}); err == nil {
		t.Error("a shape of nothing was taken")
	}
}

// At 10/s, 0.55 s in, half of arrival 6 has been let through. At 100/s the rest
// takes 5 ms.
func TestSetShapeKeepsTheFraction(t *testing.T) {
	a := arrivals(t, "steps:10", Options{})
	if count := drain(a, 550*time.Millisecond); count != 6 {
		t.Fatalf("%d arrivals in 550 ms", count)
	}
	wantOK(t, a.SetShape(550*time.Millisecond, parsed(t, "steps:100")))
	for i, want := range []time.Duration{555, 565, 575} {
		if n, due := take(t, a); n != int64(6+i) || due != want*time.Millisecond {
			t.Errorf("arrival %d is due at %v, want %d at %v ms", n, due, 6+i, want)
		}
	}
}

func TestSetFactorScalesAndPauses(t *testing.T) {
	a := arrivals(t, "steps:10", Options{})
	drain(a, 550*time.Millisecond)
	wantOK(t, a.SetFactor(550*time.Millisecond, 100_000))
	if n, due, ok := a.Peek(); n != 6 || due != 1050*time.Millisecond || !ok {
		t.Errorf("at a tenth arrival %d is due at %v, %v", n, due, ok)
	}
	if got := a.RateAt(time.Second); got != rateOf(t, "1") {
		t.Errorf("rate %s at a tenth of 10", got)
	}
	wantOK(t, a.SetFactor(800*time.Millisecond, 0))
	if _, due, ok := a.Peek(); ok {
		t.Errorf("an arrival is due at %v in a pause", due)
	}
	a.Advance()
	wantOK(t, a.SetFactor(time.Hour, FullFactor))
	// A quarter of an arrival is left: 25 ms.
	if n, due, ok := a.Peek(); n != 6 || due != time.Hour+25*time.Millisecond || !ok {
		t.Errorf("after the pause arrival %d is due at %v, %v", n, due, ok)
	}
	if a.Factor() != FullFactor || a.Shape().String() != "steps:10" {
		t.Errorf("factor %d of %s", a.Factor(), a.Shape())
	}
}

// A pause of three hours does not move the peak of the day.
func TestTheDayRunsOnInAPause(t *testing.T) {
	a := arrivals(t, "day:min=10,max=110,peak=06:00", Options{})
	wantOK(t, a.SetFactor(time.Hour, 0))
	wantOK(t, a.SetFactor(4*time.Hour, 500_000))
	if got := a.RateAt(6 * time.Hour); got != rateOf(t, "55") {
		t.Errorf("rate %s at the peak, want half of 110", got)
	}
	wantOK(t, a.SetShape(5*time.Hour, parsed(t, "ramp:from=0,to=10,over=10h")))
	if got := a.RateAt(10 * time.Hour); got != rateOf(t, "2.5") {
		t.Errorf("rate %s half way of the ramp, want half of 5", got)
	}
}

// An arrival that was not taken in time is due at the change, not before it.
func TestChangesDoNotLieInThePast(t *testing.T) {
	a := arrivals(t, "steps:10", Options{})
	drain(a, 150*time.Millisecond)
	wantOK(t, a.SetFactor(350*time.Millisecond, 500_000))
	for i, want := range []time.Duration{350, 350, 450, 650} {
		if n, due := take(t, a); n != int64(2+i) || due != want*time.Millisecond {
			t.Errorf("arrival %d is due at %v, want %d at %v ms", n, due, 2+i, want)
		}
	}
}

// Also where the units that are through at the change are no whole number.
func TestChangesDoNotLieANanosecondInThePast(t *testing.T) {
	for at := time.Second; at < time.Second+1000; at++ {
		a := arrivals(t, "ramp:from=1000,to=999,over=59m59.999999999s", Options{})
		drain(a, at/2)
		wantOK(t, a.SetFactor(at, 999_999))
		if n, due, ok := a.Peek(); !ok || due != at {
			t.Fatalf("arrival %d is due at %d, %v, want %d", n, due, ok, at)
		}
	}
}

// The last numbers end the walk; they do not overflow.
func TestArrivalsEnd(t *testing.T) {
	a := arrivals(t, "steps:1000000", Options{})
	wantOK(t, a.SetFactor(0, 1))
	a.n = math.MaxInt64 - 1
	a.target = uint128.From64(unitsPerArrival).Mul64(math.MaxInt64 - 1)
	if a.find(); a.ok {
		t.Errorf("an arrival beyond the clock is due at %v", a.due)
	}
	a = arrivals(t, "steps:1000000", Options{})
	a.n = math.MaxInt64
	a.Advance()
	if n, due, ok := a.Peek(); ok {
		t.Errorf("behind the last number arrival %d is due at %v", n, due)
	}
	wantOK(t, a.SetFactor(time.Second, 1))
	if _, due, ok := a.Peek(); ok {
		t.Errorf("a change brings an arrival at %v", due)
	}
}

// line is P in rational numbers: the reference for changes.
type line struct {
	shape         exact
	origin, since time.Duration
	factor        int64
	base          *big.Rat
}

func (l *line) units(at time.Duration) *big.Rat {
	part := new(big.Rat).Sub(l.shape.units(at-l.origin), l.shape.units(l.since-l.origin))
	part.Mul(part, big.NewRat(l.factor, FullFactor))
	return part.Add(part, l.base)
}

func (l *line) moveTo(at time.Duration) { l.base, l.since = l.units(at), at }

// However often shape and factor change, each arrival is due where the exact line
// has come to it, but for the rounding, and so there is no burst and no gap.
func TestChangesKeepTheIntegral(t *testing.T) {
	texts := []string{"steps:10@1s,0@500ms,77.7", "ramp:from=0,to=900,over=8s", "ramp:from=900,to=1,over=5s", "spike:to=500,every=3s,hold=1s,rise=100ms", "day:min=0.5,max=100,period=1m"}
	shapes := make([]exact, len(texts))
	for i, text := range texts {
		shapes[i] = exactly(parsed(t, text))
	}
	for _, poisson := range []bool{false, true} {
		random := rand.New(rand.NewPCG(9, 10))
		a, err := NewArrivals(shapes[0].Shape, Options{Poisson: poisson, Seed: 3})
		wantOK(t, err)
		want := &line{shape: shapes[0], factor: FullFactor, base: new(big.Rat)}
		checkChanges(t, a, want, shapes, random)
	}
}

func checkChanges(t *testing.T, a *Arrivals, want *line, shapes []exact, random *rand.Rand) {
	t.Helper()
	const changes = 10_000
	rounding := new(big.Rat)
	next := int64(0)
	var at, last time.Duration
	for range changes {
		at += time.Duration(random.Int64N(int64(200 * time.Millisecond)))
		for {
			n, due, ok := a.Peek()
			if !ok || due >= at {
				break
			}
			if n != next || due < last {
				t.Fatalf("arrival %d is due at %v, want %d and not before %v", n, due, next, last)
			}
			target := new(big.Rat).SetInt(a.target.Big())
			low, high := new(big.Rat).Sub(target, rounding), new(big.Rat).Add(target, rounding)
			if want.units(due).Cmp(high) > 0 || want.units(due+1).Cmp(low) < 0 {
				t.Fatalf("arrival %d is due at %v, where %s of %s units are through", n, due, want.units(due).FloatString(3), target.FloatString(0))
			}
			next, last = next+1, due
			a.Advance()
		}
		if !a.options.Poisson {
			through, _ := new(big.Rat).Quo(want.units(at), unitsOf(1)).Float64()
			if float64(next) < through-1e-9 || float64(next) > through+1 {
				t.Fatalf("%d arrivals before %v, where the integral is %f", next, at, through)
			}
		}
		want.moveTo(at)
		if random.Uint64N(3) == 0 {
			shape := shapes[random.IntN(len(shapes))]
			wantOK(t, a.SetShape(at, shape.Shape))
			want.shape, want.origin = shape, at
		} else {
			factor := []uint32{0, 1, 333_333, FullFactor, random.Uint32N(FullFactor)}[random.IntN(5)]
			wantOK(t, a.SetFactor(at, factor))
			want.factor = int64(factor)
		}
		// Two roundings a change of a unit each, and one to find a due time.
		rounding.Add(rounding, big.NewRat(2, 1))
		if _, due, ok := a.Peek(); ok && due < at {
			t.Fatalf("arrival %d is due at %v, before the change at %v", next, due, at)
		}
	}
	if next < 10_000 {
		t.Errorf("only %d arrivals: the test shows little", next)
	}
}

// The next arrival after a change comes between the time that the old rate gives
// and the one that the new rate gives from the change on.
func TestNextArrivalLiesBetweenOldAndNew(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for range 2000 {
		before, after := Rate(random.Uint64N(1e9)+1e6), Rate(random.Uint64N(1e9)+1e6)
		a, err := NewArrivals(must(t)(Steady(before)), Options{})
		wantOK(t, err)
		at := time.Duration(random.Int64N(int64(5 * time.Second)))
		drain(a, at)
		n, old, _ := a.Peek()
		wantOK(t, a.SetShape(at, must(t)(Steady(after))))
		_, got, _ := a.Peek()
		// What is left of the gap, stretched.
		scaled := at + time.Duration(float64(old-at)*float64(before)/float64(after))
		// The old due time is a floor, and what it lacks is stretched too.
		tolerance := 2 + time.Duration(before/after)
		if got < min(old, scaled)-2 || got > max(old, scaled)+tolerance {
			t.Fatalf("from %s to %s at %v: arrival %d is due at %v, not between %v and %v", before, after, at, n, got, old, scaled)
		}
	}
}

// Three weeks at 3/s with a pause of a second each hour: arrival n is n thirds of
// a second behind the pauses.
func TestArrivalsDoNotDriftOverWeeks(t *testing.T) {
	a := arrivals(t, "steps:3", Options{})
	const weeks = 3 * 7 * 24 * time.Hour
	var paused time.Duration
	for at := time.Hour; at < weeks; at += time.Hour {
		drain(a, at)
		wantOK(t, a.SetFactor(at, 0))
		wantOK(t, a.SetFactor(at+time.Second, FullFactor))
		paused += time.Second
		n, due, ok := a.Peek()
		// Two roundings of 0.5e-15 arrivals a pause are less than a nanosecond in all, but
		// may come on top of the floor.
		want := paused + time.Duration(n)*time.Second/3
		if !ok || due < want || due > want+1 {
			t.Fatalf("arrival %d is due at %d, %v, want %d", n, due, ok, want)
		}
	}
	if n, _, _ := a.Peek(); n < 5_400_000 {
		t.Errorf("only %d arrivals", n)
	}
}

func TestPoissonGapsAreExponential(t *testing.T) {
	const count = 200_000
	gaps := operationalGaps(t, 42, count)
	var sum, squares, products float64
	for i, gap := range gaps {
		sum += gap
		squares += (gap - 1) * (gap - 1)
		products += (gap - 1) * (gaps[max(i-1, 0)] - 1)
	}
	// Four standard deviations of the mean (1/sqrt(n)), of the variance (sqrt(8/n))
	// and of the correlation with the gap before (1/sqrt(n)).
	bound := 4 / math.Sqrt(count)
	if mean := sum / count; math.Abs(mean-1) > bound {
		t.Errorf("mean gap %f, want 1 within %f", mean, bound)
	}
	if variance := squares / count; math.Abs(variance-1) > bound*math.Sqrt(8) {
		t.Errorf("variance %f, want 1 within %f", variance, bound*math.Sqrt(8))
	}
	if correlation := products / count; math.Abs(correlation) > bound {
		t.Errorf("a gap is correlated with the one before: %f", correlation)
	}
}

// Kolmogorov and Smirnov: the distance between the distribution of n gaps and the
// exponential one is above 0.828/sqrt(n) for half of all seeds, and above 1.628/sqrt(n)
// for 1 %. Of 100 seeds that is 50 with a standard deviation of 5, and 1.
func TestPoissonGapsAreExponentialForManySeeds(t *testing.T) {
	const count = 10_000
	var far, veryFar int
	for seed := range uint64(100) {
		gaps := operationalGaps(t, seed, count)
		sort.Float64s(gaps)
		var distance float64
		for i, gap := range gaps {
			distance = max(distance, math.Abs(-math.Expm1(-gap)-(float64(i)+0.5)/count))
		}
		if distance > 0.828/math.Sqrt(count) {
			far++
		}
		if distance > 1.628/math.Sqrt(count) {
			veryFar++
		}
	}
	if far < 30 || far > 70 || veryFar > 5 {
		t.Errorf("%d of 100 seeds are beyond the median distance, %d beyond that of 1 %%", far, veryFar)
	}
}

// operationalGaps are the gaps in arrivals of the mean rate, before the shape
// turns them into time.
func operationalGaps(t *testing.T, seed uint64, count int) []float64 {
	a := arrivals(t, "steady", Options{Poisson: true, Seed: seed})
	gaps := make([]float64, count)
	var before uint128.Uint128
	for i := range gaps {
		gaps[i] = float64(a.target.Sub(before).Lo) / float64(unitsPerArrival)
		before = a.target
		a.Advance()
	}
	return gaps
}

// The golden times hold on every machine; they are those of a calculation with PCG-DXSM and
// logarithms of 60 digits.
func TestPoissonIsPortable(t *testing.T) {
	a := arrivals(t, "steady", Options{Poisson: true, Seed: 1})
	want := []time.Duration{51126293, 89532569, 108869808, 139058502, 182843548, 207767064}
	for i := range want {
		if _, due := take(t, a); due != want[i] {
			t.Errorf("arrival %d is due at %d, want %d", i, due, want[i])
		}
	}
	other := arrivals(t, "steady", Options{Poisson: true, Seed: 2})
	if _, due := take(t, other); due == want[0] {
		t.Error("another seed gives the same first arrival")
	}
}

func TestExponentialIsTheLogarithm(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14))
	words := []uint64{0, 1, 1 << 11, math.MaxUint64, math.MaxUint64 - 1<<11, 1 << 63, 1<<63 - 1}
	for range 100_000 {
		words = append(words, random.Uint64()>>random.Uint64N(50))
	}
	for _, word := range words {
		want := -math.Log(float64(word>>11+1) / (1 << 53))
		if got := exponential(word); math.Abs(got-want) > 1e-15*max(want, 1e-3) {
			t.Fatalf("%d gives %.17g, want %.17g", word, got, want)
		}
	}
	if most := exponentialUnits(0); most != uint64(math.Round(53*math.Ln2*float64(unitsPerArrival))) {
		t.Errorf("the longest gap is %d units", most)
	}
}

func BenchmarkAdvance(b *testing.B) {
	for name, options := range map[string]Options{"even": {}, "poisson": {Poisson: true}} {
		b.Run(name, func(b *testing.B) {
			a := arrivals(b, "day:min=10,max=100000", options)
			b.ReportAllocs()
			for b.Loop() {
				a.Advance()
			}
			if _, _, ok := a.Peek(); !ok {
				b.Fatal("no arrival")
			}
		})
	}
}
