package baseline

import (
	"math"
	"math/rand/v2"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// world makes windows of one minute: cases whose times are log-normal, with a
// factor on all of them that wanders as other load on a machine makes it.
type world struct {
	random *rand.Rand
	cases  []simulated
	// deviation and memory (in minutes) are of that factor's logarithm.
	deviation float64
	factor    float64
	at        time.Time
	rate      float64
	version   string
	phase     string
	// slower returns what the times of a case are multiplied by, failing its share of
	// failed requests, tail the share of requests that take ten times as long; nil for nothing.
	slower, failing, tail func(name string) float64
}

// simulated is a case: requests a second, the median in seconds, and the standard
// deviation of the logarithm of the time.
type simulated struct {
	name, class  string
	invalid      bool
	rate, median float64
	sigma        float64
}

func someCases() []simulated {
	return []simulated{
		{"forecast", "standard", false, 15, 0.020, 0.5},
		{"list", "standard", false, 6, 0.008, 0.4},
		{"get", "standard", false, 4, 0.005, 0.4},
		{"health", "health", false, 3, 0.001, 0.3},
		{"monte_carlo", "monte_carlo", false, 1.5, 0.300, 0.6},
		{"complex", "complex", false, 1.0 / 30, 1.5, 0.5},
		{"invalid_rate", "invalid", true, 0.05, 0.004, 0.4},
	}
}

func newWorld(seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 42)), cases: someCases(), deviation: 0.05, at: time.Unix(1_800_000_000, 0).UTC().Truncate(time.Hour), rate: 30, version: "v1"}
	w.factor = w.deviation * w.random.NormFloat64()
	return w
}

// quieter divides the traffic.
func (w *world) quieter(by float64) *world {
	for i := range w.cases {
		w.cases[i].rate /= by
	}
	return w
}

// later lets some time pass, in which the noise goes elsewhere.
func (w *world) later(by time.Duration) {
	w.at = w.at.Add(by)
	w.factor = w.deviation * w.random.NormFloat64()
}

// times are normal deviates, drawn once: drawing is most of the cost of a world.
var times = func() (z [1 << 14]float64) {
	random := rand.New(rand.NewPCG(1, 9))
	for i := range z {
		z[i] = random.NormFloat64()
	}
	return z
}()

// minute makes the next window.
func (w *world) minute() *window.Window { return w.next(time.Minute) }

// next makes the next window, of any length.
func (w *world) next(length time.Duration) *window.Window {
	dependence := math.Exp(-length.Minutes() / 10)
	w.factor = dependence*w.factor + math.Sqrt(1-dependence*dependence)*w.deviation*w.random.NormFloat64()
	win := &window.Window{Start: w.at, Length: length, Covered: length, Fit: length, Rate: w.rate, Phase: w.phase, Version: w.version}
	w.at = w.at.Add(length)
	for _, c := range w.cases {
		if one, some := w.requests(c, length); some {
			win.Cases = append(win.Cases, one)
		}
	}
	// Sorted by name, as windows are.
	return window.Merge(win.Start, win.Length, []*window.Window{win})
}

func of(f func(string) float64, name string, none float64) float64 {
	if f == nil {
		return none
	}
	return f(name)
}

func (w *world) requests(c simulated, length time.Duration) (window.Case, bool) {
	expected := c.rate * length.Seconds() * w.rate / 30
	n := int(expected)
	if w.random.Float64() < expected-float64(n) {
		n++
	}
	one := window.Case{Name: c.name, Class: c.class, Invalid: c.invalid, Times: new(histogram.Histogram)}
	scale := c.median * math.Exp(w.factor) * of(w.slower, c.name, 1)
	failing, tail := of(w.failing, c.name, 0), of(w.tail, c.name, 0)
	outcomes := map[string]int64{}
	for range n {
		seconds := scale * math.Exp(c.sigma*times[w.random.Uint32()%uint32(len(times))])
		if tail > 0 && w.random.Float64() < tail {
			seconds *= 10
		}
		one.Times.Observe(time.Duration(seconds * 1e9))
		if failing > 0 && w.random.Float64() < failing {
			outcomes["server_error"]++
		} else {
			outcomes[window.OK]++
		}
	}
	one.Outcomes = window.Counts(outcomes)
	return one, n > 0
}

// profile is that of the next minutes.
func (w *world) profile(minutes int) *Profile {
	b := NewBuilder(Config{WarmUp: -1})
	for range minutes {
		b.Observe(w.minute())
	}
	return b.Profile()
}

// run is the profile of the next three minutes, as a gate makes it.
func (w *world) run() *Profile {
	b := NewBuilder(Config{WarmUp: window.Short})
	for range 18 {
		b.Observe(w.next(window.Short))
	}
	return b.Profile()
}

// only is a value for one case, and another for all others.
func only(name string, value, other float64) func(string) float64 {
	return func(one string) float64 {
		if one == name {
			return value
		}
		return other
	}
}

func everywhere(value float64) func(string) float64 { return func(string) float64 { return value } }

// find returns the row of a case (or of a class with name "") and signal.
func (c *Comparison) find(name, class, signal string) *Row {
	for i := range c.Rows {
		if r := &c.Rows[i]; r.Case == name && r.Signal == signal && (class == "" || r.Class == class) {
			return r
		}
	}
	return nil
}

// newFives returns what takes minutes and gives a builder windows of five.
func newFives(b *Builder) func(*window.Window) {
	var parts []*window.Window
	return func(w *window.Window) {
		if parts = append(parts, w); len(parts) == 5 {
			b.Observe(window.Merge(parts[0].Start, window.Five, parts))
			parts = nil
		}
	}
}
