package baseline

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"soakd/internal/judge/window"
)

// fewer is a tenth of n where the race detector makes more too much; make test runs
// all without.
func fewer(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// outcomes are what many comparisons came to.
type outcomes struct {
	count map[Result]int
	// found counts comparisons with a row that is worse and may be, wrong those with
	// one that may not.
	found, wrong int
}

// gates compares pairs of runs, the second of which is changed.
func gates(t *testing.T, pairs int, base func(*world) *Profile, change func(*world), may func(*Row) bool) outcomes {
	t.Helper()
	o := outcomes{count: map[Result]int{}}
	for seed := range uint64(pairs) {
		w := newWorld(seed)
		before := base(w)
		w.later(24 * time.Hour)
		w.version = "v2"
		change(w)
		c := Gate(before, w.run(), Limits{})
		o.count[c.Result]++
		found, wrong := 0, 0
		for i := range c.Rows {
			switch r := &c.Rows[i]; {
			case r.Result != Worse:
			case may(r):
				found = 1
			default:
				wrong = 1
				t.Logf("seed %d: %s", seed, r.Text)
			}
		}
		o.found, o.wrong = o.found+found, o.wrong+wrong
	}
	t.Log(o)
	return o
}

func never(*Row) bool                { return false }
func always(*Row) bool               { return true }
func threeMinutes(w *world) *Profile { return w.run() }

// Two runs of three minutes on a machine that is 5 % slower or faster by the day: at
// most one in a hundred is called worse, and almost all of them the same.
func TestGateOfTheSame(t *testing.T) {
	t.Parallel()
	pairs := fewer(200)
	o := gates(t, pairs, threeMinutes, func(*world) {}, never)
	if o.wrong > 2 || o.count[Same]+o.count[Improved] < pairs*95/100 {
		t.Errorf("of %d: %v", pairs, o)
	}
}

// The same, where the cases themselves differ by 2 % from run to run.
func TestGateOfTheSameElsewhere(t *testing.T) {
	t.Parallel()
	pairs := fewer(200)
	o := gates(t, pairs, threeMinutes, func(w *world) {
		for i := range w.cases {
			w.cases[i].median *= math.Exp(0.02 * w.random.NormFloat64())
		}
	}, never)
	if o.wrong > 2 || o.count[Same]+o.count[Improved] < pairs*95/100 {
		t.Errorf("of %d: %v", pairs, o)
	}
}

func TestGateFinds(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	t.Parallel()
	const pairs = 40
	of := func(name, signal string) func(*Row) bool {
		return func(r *Row) bool { return r.Case == name && (signal == "" || r.Signal == signal) }
	}
	for name, c := range map[string]struct {
		change func(*world)
		may    func(*Row) bool
		least  int
	}{
		"a busy case 20 % slower":   {func(w *world) { w.slower = only("forecast", 1.2, 1) }, of("forecast", ""), 30},
		"a busy case 30 % slower":   {func(w *world) { w.slower = only("forecast", 1.3, 1) }, of("forecast", ""), 39},
		"everything 50 % slower":    {func(w *world) { w.slower = everywhere(1.5) }, always, 36},
		"2 % failures":              {func(w *world) { w.failing = everywhere(0.02) }, func(r *Row) bool { return r.Signal == ErrorRatio }, 40},
		"a slow case twice as slow": {func(w *world) { w.slower = only("monte_carlo", 2, 1) }, of("monte_carlo", ""), 40},
	} {
		o := gates(t, pairs, threeMinutes, c.change, c.may)
		if o.found < c.least || o.wrong > 1 {
			t.Errorf("%s: of %d: %v", name, pairs, o)
		}
	}
}

// A rare case, three requests in ten seconds, that takes twice as long is found in most runs.
func TestGateFindsRare(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	t.Parallel()
	rare := func(w *world) *Profile {
		w.cases[5].rate = 0.45
		return w.run()
	}
	o := gates(t, 40, rare, func(w *world) { w.slower = only("complex", 2, 1) }, func(r *Row) bool { return r.Case == "complex" })
	if o.found < 28 || o.wrong > 1 {
		t.Errorf("%v", o)
	}
}

// Nothing is the same that could not be told: too few windows, or times that wander
// so much that they may have doubled.
func TestGateIsNotSure(t *testing.T) {
	w := newWorld(1)
	base := w.run()
	b := NewBuilder(Config{WarmUp: -1})
	for range 5 {
		b.Observe(w.next(window.Short))
	}
	c := Gate(base, b.Profile(), Limits{})
	if c.Result != NotEnoughData || len(c.Unknown) == 0 {
		t.Errorf("five windows: %s, %v", c.Result, c.Unknown)
	}
	if c := Gate(nil, base, Limits{}); c.Result != NotEnoughData {
		t.Errorf("nothing to compare with: %s", c.Result)
	}
	wild := newWorld(1)
	b = NewBuilder(Config{WarmUp: -1})
	for i := range 17 {
		wild.slower = everywhere([]float64{0.5, 2}[i%2])
		b.Observe(wild.next(window.Short))
	}
	if c := Gate(base, b.Profile(), Limits{}); c.Result == Same || c.Result == Improved {
		t.Errorf("wild: %s", c.Result)
	}
}

// Where there are only two cases neither has a rest to be compared with: each is as it is.
func TestGateOfFewCases(t *testing.T) {
	w := newWorld(4)
	w.cases = w.cases[:2]
	base := w.run()
	w.slower = everywhere(1.6)
	c := Gate(base, w.run(), Limits{})
	if r := c.find("forecast", "", MedianTime); c.Result != Worse || r.Result != Worse || r.Relative {
		t.Errorf("%s: %s", c.Result, r.Text)
	}
	if c.find("", "all", MedianTime) != nil {
		t.Error("a row of all traffic of two cases")
	}
	w = newWorld(4)
	w.cases = w.cases[:2]
	base = w.run()
	if c := Gate(base, w.run(), Limits{}); c.Result != Same {
		t.Errorf("%s: %v", c.Result, c.Unknown)
	}
}

// A short run may be compared with a profile of minutes: by median and p95 both say
// the same of the same traffic, the p99 is left out.
func TestGateWithMinutes(t *testing.T) {
	t.Parallel()
	sum := map[string]float64{}
	n := map[string]float64{}
	runs := fewer(30)
	for seed := range uint64(runs) {
		w := newWorld(seed)
		minutes, tens := NewBuilder(Config{WarmUp: -1}), NewBuilder(Config{WarmUp: -1})
		var roller window.Roller
		for range 180 {
			one := w.next(window.Short)
			tens.Observe(one)
			for _, done := range roller.Add(one) {
				if done.Length == window.Minute {
					minutes.Observe(done)
				}
			}
		}
		c := Gate(minutes.Profile(), tens.Profile(), Limits{})
		if c.Result != Same && c.Result != Improved {
			t.Errorf("seed %d: %s, %v", seed, c.Result, c.Unknown)
		}
		for _, r := range c.Rows {
			if r.Case == "" || r.Ratio == 0 || r.Signal == ErrorRatio {
				continue
			}
			sum[r.Case+" "+r.Signal] += math.Log(r.Ratio)
			n[r.Case+" "+r.Signal]++
		}
	}
	for key, total := range sum {
		bias := total / n[key]
		t.Logf("%s: %+.2f %%", key, 100*bias)
		// The p95 of few requests lies a little lower than that of many.
		most := 0.02
		if strings.HasSuffix(key, P95Time) {
			most = 0.05
		}
		if math.Abs(bias) > most || strings.HasSuffix(key, P99Time) {
			t.Errorf("%s: windows of 10 s show %+.1f %% more than those of a minute", key, 100*bias)
		}
	}
	if len(sum) < 8 {
		t.Errorf("only %d figures compared", len(sum))
	}
}

// Compare knows short runs by their windows.
func TestCompareOfShortRunsIsGate(t *testing.T) {
	w := newWorld(6)
	a, b := w.run(), w.run()
	if got, want := fmt.Sprint(Compare(a, b, Limits{})), fmt.Sprint(Gate(a, b, Limits{})); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// The order of the windows within a run, the unit of time and the order of two equal runs
// change nothing.
func TestGateScales(t *testing.T) {
	w := newWorld(8)
	before := w.run()
	w.slower = only("forecast", 1.3, 1)
	after := w.run()
	one := Gate(before, after, Limits{})
	turned := Gate(after, before, Limits{})
	a, b := one.find("forecast", "", MedianTime), turned.find("forecast", "", MedianTime)
	if math.Abs(math.Log(a.Ratio*b.Ratio)) > 0.005 || math.Abs(a.P-b.P) > 0.2*max(a.P, b.P) {
		t.Errorf("%s\n%s", a.Text, b.Text)
	}
	x, y := newWorld(9), newWorld(9)
	for i := range y.cases {
		y.cases[i].median *= 16
	}
	p, q := Gate(x.run(), x.run(), Limits{}), Gate(y.run(), y.run(), Limits{})
	for i := range p.Rows {
		if p.Rows[i].Result != q.Rows[i].Result || math.Abs(p.Rows[i].Ratio-q.Rows[i].Ratio) > 0.02 {
			t.Errorf("%s\n%s", p.Rows[i].Text, q.Rows[i].Text)
		}
	}
}

// In a closed model the rate is an answer: a target that is slower gets fewer requests.
func TestGateOfAClosedModel(t *testing.T) {
	build := func(w *world, rate float64, users int) *Profile {
		b := NewBuilder(Config{WarmUp: window.Short, Users: users})
		for i := range 18 {
			w.rate, w.phase = rate*(1+0.05*float64(i%3)), []string{"steady", "rising", "falling"}[i%3]
			b.Observe(w.next(window.Short))
		}
		return b.Profile()
	}
	w := newWorld(2)
	before := build(w, 40, 20)
	w.slower = everywhere(1.8)
	if c := Gate(before, build(w, 24, 20), Limits{}); c.Result != Worse {
		t.Errorf("%s: %v", c.Result, c.Unknown)
	}
	if c := Gate(before, build(w, 40, 40), Limits{}); c.Result != NotEnoughData || !strings.Contains(strings.Join(c.Unknown, "\n"), "no rate and phase in common") {
		t.Errorf("twice the users: %s: %v", c.Result, c.Unknown)
	}
}

// The share of the variance that is left in the mean of an Ornstein-Uhlenbeck
// process, against its sum over many moments.
func TestWandered(t *testing.T) {
	for _, minutes := range []float64{0, 3, 10, 120} {
		const n = 2000
		sum := 0.0
		for i := range n {
			d := minutes * float64(i) / n
			weight := 2 * float64(n-i)
			if i == 0 {
				weight = n
			}
			sum += weight * math.Exp(-d/memory)
		}
		if want := sum / n / n; math.Abs(wandered(minutes)-want) > 2e-3 {
			t.Errorf("%g min: %g, want %g", minutes, wandered(minutes), want)
		}
	}
}

// Welch's test of two samples without any wandering: as good as Student's where both
// scatter alike, and its intervals hold the truth.
func TestCompareRunsCovers(t *testing.T) {
	w := newWorld(11)
	normal := distuv.Normal{Mu: 0, Sigma: 1}
	c := comparer{limits: Limits{}.forRuns().withDefaults(), base: &Profile{Window: window.Short}, current: &Profile{Window: window.Short}, gate: true}
	inside, covered, called := 0, 0, 0
	const trials = 1000
	for range trials {
		draw := func() []point {
			// What both runs differ in, and what each value does.
			run := assumedDifference(alone)
			of := math.Hypot(run.wander, run.fixed) * w.random.NormFloat64()
			list := make([]point, 17)
			for i := range list {
				list[i] = point{int32(i), of + 0.08*normal.Quantile(w.random.Float64())}
			}
			return list
		}
		s := c.compareRuns(draw(), draw(), alone, 0.1)
		if s.p < 0.05 {
			called++
		}
		if s.low <= 0 && s.high >= 0 {
			covered++
		}
		if s.known {
			inside++
		}
	}
	t.Logf("covered %d, p < 0.05 in %d of %d", covered, called, trials)
	if inside != trials || covered < 935 || covered > 995 || called > 65 {
		t.Errorf("covered %d, called %d of %d", covered, called, trials)
	}
}
