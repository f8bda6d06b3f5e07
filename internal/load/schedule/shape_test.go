package schedule

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"lukechampine.com/uint128"
)

func rateOf(t testing.TB, text string) Rate {
	t.Helper()
	rate, ok := parseMillionths(text)
	if !ok {
		t.Fatalf("%q is not a rate", text)
	}
	return rate
}

func must(t testing.TB) func(Shape, error) Shape {
	return func(s Shape, err error) Shape {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// parsed reads a shape with a base rate of 50 that starts at midnight.
func parsed(t testing.TB, text string) Shape {
	t.Helper()
	return must(t)(ParseShape(text, Surroundings{Base: 50 * microsPerArrival}))
}

// exact is the definition of a shape in rational numbers.
type exact struct {
	Shape
	before []*big.Int // units before each segment, and behind the last
}

func exactly(s Shape) exact {
	sum := new(big.Int)
	before := []*big.Int{sum}
	for _, seg := range s.segments {
		all := new(big.Int).Mul(big.NewInt(int64(seg.from+seg.to)), big.NewInt(int64(seg.length)))
		sum = new(big.Int).Add(sum, all)
		before = append(before, sum)
	}
	return exact{Shape: s, before: before}
}

// units is the integral of the rate over the first t ns.
func (e exact) units(t time.Duration) *big.Rat {
	sum := new(big.Int)
	if e.period > 0 && t >= e.segments[e.cycle].start {
		cycles := (t - e.segments[e.cycle].start) / e.period
		sum.Sub(e.before[len(e.segments)], e.before[e.cycle])
		sum.Mul(sum, big.NewInt(int64(cycles)))
		t -= cycles * e.period
	}
	index := 0
	for index+1 < len(e.segments) && e.segments[index+1].start <= t {
		index++
	}
	sum.Add(sum, e.before[index])
	return new(big.Rat).Add(new(big.Rat).SetInt(sum), exactSegment(e.segments[index], t-e.segments[index].start))
}

// exactSegment is 2*a*x + (b-a)*x*x/D.
func exactSegment(seg segment, x time.Duration) *big.Rat {
	a, b := big.NewInt(int64(seg.from)), big.NewInt(int64(seg.to))
	at := big.NewInt(int64(x))
	even := new(big.Int).Mul(a, at)
	even.Lsh(even, 1)
	bend := new(big.Int).Sub(b, a)
	bend.Mul(bend, at).Mul(bend, at)
	return new(big.Rat).Add(new(big.Rat).SetInt(even), new(big.Rat).SetFrac(bend, big.NewInt(int64(seg.length))))
}

func unitsOf(n int64) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Mul(big.NewInt(n), new(big.Int).SetUint64(unitsPerArrival)))
}

// checkDue wants the last whole nanosecond at which no more than n arrivals have
// been let through, which is the floor of the exact time.
func checkDue(t *testing.T, s exact, n int64) time.Duration {
	t.Helper()
	due, ok := s.Due(n)
	if !ok {
		t.Fatalf("%s: arrival %d is never due", s, n)
	}
	if s.units(due).Cmp(unitsOf(n)) > 0 || s.units(due+1).Cmp(unitsOf(n)) <= 0 {
		t.Fatalf("%s: arrival %d is not due at %d ns", s, n, due)
	}
	return due
}

func TestSteadyIsTheClosedForm(t *testing.T) {
	closedForm := func(n int64, rate Rate) *big.Int {
		due := new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000_000_000))
		return due.Div(due, new(big.Int).SetUint64(uint64(rate)))
	}
	property := func(n int64, rate Rate) bool {
		n &= 1<<50 - 1
		rate = rate%MaxRate + 1
		got, ok := must(t)(Steady(rate)).Due(n)
		want := closedForm(n, rate)
		return ok == want.IsInt64() && (!ok || want.Int64() == int64(got))
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
}

func TestSteadyDoesNotDrift(t *testing.T) {
	for _, test := range []struct {
		rate string
		n    int64
		want time.Duration
	}{
		{"200", 0, 0},
		{"200", 1, 5 * time.Millisecond},
		{"3", 1, 333_333_333},
		{"3", 2, 666_666_666},
		{"3", 3, time.Second},
		{"3", 3_000_000_000, 1_000_000_000 * time.Second},
		{"0.5", 7, 14 * time.Second},
		{"1000000", 1_000_000_000, 1000 * time.Second},
	} {
		if got, ok := must(t)(Steady(rateOf(t, test.rate))).Due(test.n); !ok || got != test.want {
			t.Errorf("rate %s: arrival %d is due at %d, %v, want %d", test.rate, test.n, got, ok, test.want)
		}
	}
}

func TestSteadyEnds(t *testing.T) {
	if _, err := Steady(0); err == nil {
		t.Error("a rate of 0 was taken")
	}
	if _, err := Steady(MaxRate + 1); err == nil {
		t.Error("a rate above the highest was taken")
	}
	slow := must(t)(Steady(1))
	if _, ok := slow.Due(-1); ok {
		t.Error("arrival -1 is due")
	}
	if due, ok := slow.Due(1 << 62); ok {
		t.Errorf("an arrival beyond the clock is due at %v", due)
	}
	if _, ok := (Shape{}).Due(0); ok {
		t.Error("a shape of nothing has an arrival")
	}
}

// From 0 to 100 a second over 10 s: n arrivals after sqrt(n/5) s, 500 in all.
func TestRampIsTheClosedForm(t *testing.T) {
	ramp := parsed(t, "ramp:from=0,to=100,over=10s")
	for n := range int64(500) {
		// In ns that is the root of n times 10^18 / 5, rounded down.
		square := new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000_000_000_000/5))
		if got, ok := ramp.Due(n); !ok || int64(got) != square.Sqrt(square).Int64() {
			t.Fatalf("arrival %d is due at %d, %v, want %d", n, got, ok, square)
		}
	}
	for n, want := range map[int64]time.Duration{500: 10 * time.Second, 501: 10*time.Second + 10*time.Millisecond, 1_000_000_500: 10_000_010 * time.Second} {
		if got, ok := ramp.Due(n); !ok || got != want {
			t.Errorf("arrival %d is due at %v, %v, want %v", n, got, ok, want)
		}
	}
	down := parsed(t, "ramp:from=100,to=0,over=10s")
	for n := range int64(500) {
		// The same from the end: 10 s - sqrt((500-n)/5) s.
		square := new(big.Int).Mul(big.NewInt(500-n), big.NewInt(1_000_000_000_000_000_000/5))
		root := new(big.Int).Sqrt(square)
		if new(big.Int).Mul(root, root).Cmp(square) != 0 {
			root.Add(root, big.NewInt(1)) // the ceiling
		}
		if got, ok := down.Due(n); !ok || int64(got) != 10_000_000_000-root.Int64() {
			t.Fatalf("falling: arrival %d is due at %d, %v, want %d", n, got, ok, 10_000_000_000-root.Int64())
		}
	}
	if due, ok := down.Due(500); ok {
		t.Errorf("falling to 0 has no arrival 500, which is due at %v", due)
	}
}

// A segment is exact over the whole range of rates and lengths, also where the
// root has the least room.
func TestSegmentsAreExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	rate := func() Rate { return Rate(random.Uint64N(uint64(MaxRate)>>random.Uint64N(40) + 1)) }
	for range 20_000 {
		length := time.Duration(random.Int64N(int64(maxSlope)>>random.Uint64N(40)+1) + 1)
		seg := segment{length: length, from: rate(), to: rate()}
		all := seg.units()
		if all.IsZero() {
			continue
		}
		p := uint128.New(random.Uint64(), random.Uint64()).Mod(all)
		if random.Uint64N(8) == 0 {
			p = all.Sub64(1) // the flat end of a rate that falls to 0
		}
		x, ok := seg.due(p)
		exact := new(big.Rat).SetInt(p.Big())
		if !ok || exactSegment(seg, time.Duration(x)).Cmp(exact) > 0 || exactSegment(seg, time.Duration(x+1)).Cmp(exact) <= 0 {
			t.Fatalf("%+v: %s units are not through at %d, %v", seg, p, x, ok)
		}
		y := random.Uint64N(uint64(length) + 1)
		floor := exactSegment(seg, time.Duration(y))
		if want := new(big.Int).Quo(floor.Num(), floor.Denom()); seg.unitsAt(y).Big().Cmp(want) != 0 {
			t.Fatalf("%+v: %s units at %d, want %s", seg, seg.unitsAt(y), y, want)
		}
	}
}

// When a whole nanosecond is the exact time, it is the due time.
func TestWholeTimesAreNotMissed(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 20_000 {
		// A change by a multiple of the length makes S(x) a whole number for each x.
		length := 1 + random.Uint64N(1<<(1+random.Uint64N(38)))
		gain := Rate(length * (1 + random.Uint64N(uint64(MaxRate)/2/length)))
		low := Rate(random.Uint64N(uint64(MaxRate - gain)))
		x := random.Uint64N(length)
		for _, seg := range []segment{{from: low, to: low + gain}, {from: low + gain, to: low}} {
			seg.length = time.Duration(length)
			if got, ok := seg.due(seg.unitsAt(x)); !ok || got != x {
				t.Fatalf("%+v: what is through at %d is due at %d, %v", seg, x, got, ok)
			}
		}
	}
}

// Where the last due time was found helps to find the next one and does not change
// it, back and forth.
func TestThePlaceDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(17, 18))
	for _, text := range shapeTexts {
		s := must(t)(parsed(t, text).WithRampUp(time.Hour))
		var at place
		for range 5000 {
			units := uint128.From64(random.Uint64N(1_000_000 >> random.Uint64N(16))).Mul64(unitsPerArrival)
			got, gotOK := s.due(units, &at)
			if want, ok := s.due(units, &place{}); got != want || gotOK != ok {
				t.Fatalf("%s: %s units are due at %v, %v, want %v, %v", s, units, got, gotOK, want, ok)
			}
		}
	}
}

// The floating-point root is one step off at most, as its comment says.
func TestRootIsClose(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		length := uint64(maxSlope)
		a, gain := Rate(random.Uint64N(1<<(1+random.Uint64N(39)))), Rate(random.Uint64N(1<<(1+random.Uint64N(38)))+1)
		p := area(a, gain, length, random.Uint64N(length)).Div64(length)
		guess, exact := int64(root(a, gain, length, p)), int64(lastWithin(a, gain, length, p))
		if off := guess - exact; off < -1 || off > 1 {
			t.Fatalf("a=%d gain=%d p=%s: the root is %d steps off", a, gain, p, off)
		}
	}
}

var shapeTexts = []string{
	"steady",
	"ramp:from=10,to=200,over=10m",
	"ramp:from=200.5,to=0.000001,over=90s",
	"ramp:from=0,to=1000,over=50h30m",
	"steps:50@5m,0@1m,100@5m,0.333333",
	"steps:0@10s,7",
	"spike:to=500,every=1h,hold=1m,rise=10s",
	"spike:to=0,at=3s,hold=2s",
	"spike:to=99,every=7s,at=0s,hold=1ns,rise=3s",
	"day:min=10,max=100,period=24h,peak=14:00",
	"day:min=0,max=3,period=1m0.0000007s,peak=23:59:59",
}

// Each due time is the exact floor, in any order, and they do not fall.
func TestShapesAreExact(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, text := range shapeTexts {
		s := parsed(t, text)
		rising, err := s.WithRampUp(30 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []exact{exactly(s), exactly(rising)} {
			last := time.Duration(0)
			for n := range int64(300) {
				if due := checkDue(t, s, n); due < last {
					t.Fatalf("%s: arrival %d is due at %v, before %v", s, n, due, last)
				} else {
					last = due
				}
			}
			for range 200 {
				// At a rate of a millionth, 10^9 arrivals are beyond the clock.
				n := random.Int64N(2_000_000_000)
				if _, ok := s.Due(n); ok {
					checkDue(t, s, n)
				}
			}
		}
	}
}

// At each border of segments, in the first cycle and a thousand cycles on, as many
// arrivals are due as the integral says.
func TestBordersCountTheIntegral(t *testing.T) {
	for _, text := range shapeTexts {
		s := exactly(parsed(t, text))
		for _, cycles := range []time.Duration{0, 1, 1000} {
			for _, seg := range s.segments {
				if cycles > 0 && s.period == 0 {
					break
				}
				border := seg.start + cycles*s.period
				exact := s.units(border)
				if !exact.IsInt() || exact.Num().Cmp(s.Shape.units(border).Big()) != 0 {
					t.Fatalf("%s: %s units at %v, want %s", s, s.Shape.units(border), border, exact)
				}
				// Arrivals 0 .. ceil(S/unit)-1 are due before the border.
				count := new(big.Int).Add(exact.Num(), new(big.Int).SetUint64(unitsPerArrival-1))
				n := count.Quo(count, new(big.Int).SetUint64(unitsPerArrival)).Int64()
				if n > 0 {
					if due, ok := s.Due(n - 1); !ok || due >= border {
						t.Fatalf("%s: arrival %d is due at %v, %v, want before %v", s, n-1, due, ok, border)
					}
				}
				if due, ok := s.Due(n); ok && due < border {
					t.Fatalf("%s: arrival %d is due at %v, want not before %v", s, n, due, border)
				}
			}
		}
	}
}

func TestDayCountsItsAverage(t *testing.T) {
	for _, text := range []string{"day:min=10,max=100", "day:min=0,max=0.7,peak=03:30", "day:min=1,max=999999,peak=23:59:59"} {
		for _, start := range []time.Duration{0, 9*time.Hour + 41*time.Minute + 7} {
			s, err := ParseShape(text, Surroundings{TimeOfDay: start})
			if err != nil {
				t.Fatal(err)
			}
			const day = 24 * time.Hour
			want := float64(s.Average()) / microsPerArrival * day.Seconds()
			got := new(big.Rat).Quo(exactly(s).units(day), unitsOf(1))
			if count, _ := got.Float64(); count < want-1 || count > want+1 {
				t.Errorf("%s: %f arrivals a day, want %f", s, count, want)
			}
			// The mean of a sine is its middle.
			middle := (s.segments[0].from + s.RateAt(day/2)) / 2
			if off := int64(s.Average()) - int64(middle); off < -2 || off > 2 {
				t.Errorf("%s: average %s, want about %s", s, s.Average(), middle)
			}
		}
	}
}

func TestDayKeepsToTheClock(t *testing.T) {
	s, err := ParseShape("day:min=10,max=110,peak=14:00", Surroundings{TimeOfDay: 8 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]string{
		0:                               "60", // 08:00, a quarter before the peak
		2 * time.Hour:                   "85", // cos(60 degrees) = 1/2
		6 * time.Hour:                   "110",
		18 * time.Hour:                  "10",
		30 * time.Hour:                  "110",
		30*time.Hour + 365*24*time.Hour: "110",
	} {
		if got := s.RateAt(at); got != rateOf(t, want) {
			t.Errorf("rate %s after %v, want %s", got, at, want)
		}
	}
	if s := parsed(t, "day:min=0,max=1,period=1m,peak=23:59:30"); s.RateAt(30*time.Second) != rateOf(t, "1") || s.RateAt(0) != 0 {
		t.Errorf("of a period of a minute, %s is the peak and %s the lowest rate", s.RateAt(30*time.Second), s.RateAt(0))
	}
	if s.Peak() != rateOf(t, "110") || s.Average() != rateOf(t, "60") || s.Period() != 24*time.Hour {
		t.Errorf("peak %s, average %s, period %v", s.Peak(), s.Average(), s.Period())
	}
}

// The golden figures are the same on every machine.
func TestDayIsPortable(t *testing.T) {
	s := parsed(t, "day:min=0,max=1000000,peak=00:00")
	var got []Rate
	for i := 0; i < dayPoints; i += 160 {
		got = append(got, s.segments[i].from)
	}
	want := []Rate{1000000000000, 883022221559, 586824088833, 250000000000, 30153689607, 30153689607, 250000000000, 586824088833, 883022221559}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
}

func TestRateAt(t *testing.T) {
	for _, test := range []struct {
		shape string
		at    time.Duration
		want  string
	}{
		{"steady", 0, "50"},
		{"steady", 1 << 62, "50"},
		{"steady", -1, "50"},
		{"ramp:from=10,to=200,over=10s", 5 * time.Second, "105"},
		{"ramp:from=200,to=10,over=10s", time.Second, "181"},
		{"ramp:from=10,to=200,over=10s", time.Hour, "200"},
		{"ramp:from=0,to=100,over=10h", 90 * time.Minute, "15"},
		{"steps:50@5m,100@5m,200", 5*time.Minute - 1, "50"},
		{"steps:50@5m,100@5m,200", 5 * time.Minute, "100"},
		{"spike:to=500,every=1h,hold=1m,rise=10s", time.Hour - 1, "50"},
		{"spike:to=500,every=1h,hold=1m,rise=10s", time.Hour + 5*time.Second, "275"},
		{"spike:to=500,every=1h,hold=1m,rise=10s", 25*time.Hour + 10*time.Second, "500"},
		{"spike:to=500,every=1h,hold=1m,rise=10s", 25*time.Hour + 80*time.Second, "50"},
		{"spike:to=500,at=10s,hold=1m", 69 * time.Second, "500"},
		{"spike:to=500,at=10s,hold=1m", 70 * time.Second, "50"},
	} {
		if got := parsed(t, test.shape).RateAt(test.at); got != rateOf(t, test.want) {
			t.Errorf("%s: rate %s after %v, want %s", test.shape, got, test.at, test.want)
		}
	}
}

func TestPeakAndAverage(t *testing.T) {
	for text, want := range map[string][2]string{
		"steady":                                  {"50", "50"},
		"ramp:from=10,to=200,over=10m":            {"200", "200"},
		"ramp:from=200,to=10,over=10m":            {"200", "10"},
		"steps:50@5m,300@5m,200":                  {"300", "200"},
		"spike:to=500,every=100s,hold=9s,rise=1s": {"500", "95"}, // 450 * 10 / 100 more
	} {
		s := parsed(t, text)
		if s.Peak() != rateOf(t, want[0]) || s.Average() != rateOf(t, want[1]) {
			t.Errorf("%s: peak %s and average %s, want %s", text, s.Peak(), s.Average(), want)
		}
	}
}

// 1, 2 and 2 millionths are 5/3 on average, which is nearer to 2.
func TestAverageIsRounded(t *testing.T) {
	s := must(t)(Replay(strings.NewReader("0,0.000001\n1,0.000002\n2,0.000002\n"), Recording{Loop: true}))
	if s.Average() != 2 {
		t.Errorf("the average is %s", s.Average())
	}
}

func TestWithRampUp(t *testing.T) {
	s := must(t)(parsed(t, "spike:to=500,every=1h,hold=1m").WithRampUp(10 * time.Second))
	for at, want := range map[time.Duration]string{
		0: "0", 5 * time.Second: "25", 10 * time.Second: "50",
		time.Hour + 9*time.Second: "50", time.Hour + 10*time.Second: "500", 2*time.Hour + 69*time.Second: "500",
	} {
		if got := s.RateAt(at); got != rateOf(t, want) {
			t.Errorf("rate %s after %v, want %s", got, at, want)
		}
	}
	// 250 arrivals while it rises, and 50 a second behind that.
	if due, ok := s.Due(250); !ok || due != 10*time.Second {
		t.Errorf("arrival 250 is due at %v, %v", due, ok)
	}
	if due, ok := s.Due(251); !ok || due != 10*time.Second+20*time.Millisecond {
		t.Errorf("arrival 251 is due at %v, %v", due, ok)
	}
	if want := "spike:to=500,at=1h,every=1h,hold=1m,rise=0s after a rise over 10s"; s.String() != want {
		t.Errorf("it prints as %q, want %q", s, want)
	}
	if same := must(t)(parsed(t, "ramp:from=0,to=5,over=1m").WithRampUp(time.Minute)); same.String() != "ramp:from=0,to=5,over=1m" {
		t.Errorf("a shape that starts at 0 became %s", same)
	}
	if _, err := parsed(t, "steady").WithRampUp(-1); err == nil || !strings.Contains(err.Error(), "ramp-up: -1ns is out of range: give 0s up to 8784h") {
		t.Errorf("a negative rise: %v", err)
	}
}

func TestPausesHaveNoArrivals(t *testing.T) {
	s := parsed(t, "steps:10@1s,0@1m,10@1s,0")
	for n, want := range map[int64]time.Duration{9: 900 * time.Millisecond, 10: 61 * time.Second, 19: 61900 * time.Millisecond} {
		if got, ok := s.Due(n); !ok || got != want {
			t.Errorf("arrival %d is due at %v, %v, want %v", n, got, ok, want)
		}
	}
	if due, ok := s.Due(20); ok {
		t.Errorf("an arrival is due at %v, after the last", due)
	}
}

// A rate that changes over more than an hour is cut at the hours and rounded there
// to a millionth a second: a day of it is then off by less than 0.05 arrivals.
func TestLongRampIsCutAtTheHours(t *testing.T) {
	s := parsed(t, "ramp:from=1,to=2,over=24h")
	if len(s.segments) != 25 || s.segments[1].from != 1_041_667 || s.segments[1].start != time.Hour {
		t.Errorf("%d segments, the second %+v", len(s.segments), s.segments[1])
	}
	got, _ := new(big.Rat).Quo(exactly(s).units(24*time.Hour), unitsOf(1)).Float64()
	if want := 1.5 * 86400; got < want-0.05 || got > want+0.05 {
		t.Errorf("%f arrivals, want %f", got, want)
	}
}

func FuzzDue(f *testing.F) {
	f.Add(uint64(0), uint64(100_000_000), int64(time.Second), uint64(5), int64(time.Minute), int64(1234), true)
	f.Add(uint64(1), uint64(0), int64(1), uint64(0), int64(1), int64(1<<62), true)
	f.Add(uint64(MaxRate), uint64(0), int64(50*time.Hour), uint64(MaxRate), int64(3), int64(1<<40), false)
	f.Fuzz(func(t *testing.T, a, b uint64, first int64, c uint64, second, n int64, cycle bool) {
		limit := uint64(MaxRate) + 1
		rates := []Rate{Rate(a % limit), Rate(b % limit), Rate(c % limit)}
		stretches := []stretch{
			{rates[0], rates[1], time.Duration(first & (1<<48 - 1))},
			{rates[1], rates[2], time.Duration(second & (1<<48 - 1))},
		}
		once := stretches
		if cycle {
			once, stretches = stretches[:1], stretches[1:]
		} else {
			stretches = nil
		}
		s, err := newShape("fuzz", once, stretches)
		if err != nil {
			return
		}
		n &= 1<<63 - 1
		due, ok := s.Due(n)
		if !ok {
			return
		}
		checkDue(t, exactly(s), n)
		if n > 0 {
			if before, ok := s.Due(n - 1); !ok || before > due {
				t.Fatalf("arrival %d is due at %v, %v, after the next one at %v", n-1, before, ok, due)
			}
		}
	})
}

func BenchmarkDue(b *testing.B) {
	for name, text := range map[string]string{
		"steady": "steady", "ramp": "ramp:from=10,to=200000,over=1h", "day": "day:min=10,max=100000",
	} {
		b.Run(name, func(b *testing.B) {
			s := parsed(b, text)
			var at place
			units := uint128.Zero
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := s.due(units, &at); !ok {
					b.Fatal("no arrival")
				}
				units = units.Add64(unitsPerArrival)
			}
		})
	}
}
