package latency_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// kindOfCase is a case of the simulated workload.
type kindOfCase struct {
	name, class string
	weight      float64 // requests a second at 50/s in all
	median      float64 // seconds
	sigma       float64 // of the logarithm
	heavy       float64 // share of requests that take 4 times as long: a natural tail
	database    bool
	invalid     bool
}

func workload() []kindOfCase {
	return []kindOfCase{
		{"forecast", "standard", 15, 0.020, 0.5, 0.005, false, false},
		{"list_scenarios", "standard", 8, 0.006, 0.4, 0.005, true, false},
		{"get_scenario", "standard", 5, 0.004, 0.4, 0.005, true, false},
		{"history", "standard", 4, 0.012, 0.6, 0.005, true, false},
		{"save_scenario", "standard", 4, 0.009, 0.5, 0.005, true, false},
		{"health", "health", 8, 0.001, 0.3, 0.005, false, false},
		{"monte_carlo", "monte_carlo", 3, 0.150, 0.3, 0.002, false, false},
		{"sensitivity", "sensitivity", 1.6, 0.090, 0.3, 0.002, false, false},
		{"complex_analysis", "complex", 1.0 / 60, 0.900, 0.3, 0, false, false},
		{"invalid_a", "invalid", 0.06, 0.002, 0.4, 0, false, true},
		{"invalid_b", "invalid", 0.06, 0.002, 0.4, 0, false, true},
	}
}

// world makes windows of a minute.
type world struct {
	cases []kindOfCase
	rate  func(minute int) float64 // of 50/s, as a share
	// slowed returns the factor on the times of a case at a time in minutes, and the
	// share of requests that take 10 times as long.
	slowed func(c *kindOfCase, t float64) (factor, tenfold float64)
	// quiet switches the noise that all traffic has in common off.
	quiet bool
	// failing is the share of requests that fail at once.
	failing func(minute int) float64
	// nightly makes database cases 10 % slower for 20 minutes a day; deployments come
	// about every 30 hours.
	nightly, deploys bool
	// unfit is the share of minutes in which soakd was not fit.
	unfit float64
	// version of the target, when it is not made up.
	version func(minute int) string

	random *rand.Rand
	minute int
	shared float64    // autoregressive noise
	own    []float64  // the same of each case, small
	bursts [6]float64 // of the 10-second parts of this minute
	burst  int        // parts of the present burst that are left
	next   int        // parts until the next burst
	build  int
	tables [][]float64
}

const tableSize = 1 << 12

func newWorld(seed uint64) *world {
	return &world{cases: workload(), random: rand.New(rand.NewPCG(seed, 77)), rate: func(int) float64 { return 1 }}
}

func (w *world) prepare() {
	w.own = make([]float64, len(w.cases))
	shuffle := rand.New(rand.NewPCG(5, 6))
	for _, c := range w.cases {
		table := make([]float64, tableSize)
		for i := range table {
			table[i] = c.median * math.Exp(c.sigma*shuffle.NormFloat64())
			if shuffle.Float64() < c.heavy {
				table[i] *= 4
			}
		}
		w.tables = append(w.tables, table)
	}
	w.next = w.gap()
}

// gap is until the next burst, 4 a day, in parts of 10 s.
func (w *world) gap() int { return 1 + int(w.random.ExpFloat64()*6*60*6) }

const startMinute = 29_000_000

// step makes the next window.
func (w *world) step() *window.Window {
	if w.tables == nil {
		w.prepare()
	}
	minute := w.minute
	w.minute++
	w.noise()
	rate := w.rate(minute)
	if w.deploys && minute > 0 && w.random.Float64() < 1.0/(30*60) {
		w.build++
	}
	win := &window.Window{
		Start: time.Unix((startMinute+int64(minute))*60, 0).UTC(), Length: time.Minute, Covered: time.Minute, Fit: time.Minute,
		Rate: 50 * rate, Phase: "steady", Version: "v1." + string(rune('a'+w.build%26)),
	}
	if w.version != nil {
		win.Version = w.version(minute)
	}
	if w.random.Float64() < w.unfit {
		win.Fit, win.Unfit = 10*time.Second, []string{"late"}
	}
	// Times rise with utilisation as in a queue: 20 % busy at 20/s, 40 % at 50/s.
	load := 0.6 / (1 - 0.4*rate)
	for i := range w.cases {
		if c := w.traffic(i, minute, rate, load); c.Times != nil {
			win.Cases = append(win.Cases, c)
		}
	}
	slices.SortFunc(win.Cases, func(a, b window.Case) int { return strings.Compare(a.Name, b.Name) })
	return win
}

func (w *world) noise() {
	const phi = 0.9048 // a time constant of 10 minutes
	w.shared = phi*w.shared + 0.05*math.Sqrt(1-phi*phi)*w.random.NormFloat64()
	for i := range w.own {
		w.own[i] = phi*w.own[i] + 0.01*math.Sqrt(1-phi*phi)*w.random.NormFloat64()
	}
	for i := range w.bursts {
		w.bursts[i] = 1
		switch {
		case w.burst > 0:
			w.burst--
			w.bursts[i] = 1.3
		case w.next > 0:
			w.next--
		default:
			w.burst, w.next = 6+w.random.IntN(25), w.gap()
		}
	}
}

func (w *world) traffic(i, minute int, rate, load float64) window.Case {
	c := &w.cases[i]
	out := window.Case{Name: c.name, Class: c.class, Invalid: c.invalid}
	n := w.poisson(c.weight * rate * 60)
	if n == 0 {
		return out
	}
	out.Times = new(histogram.Histogram)
	base := load * math.Exp(w.own[i])
	if !w.quiet {
		base *= math.Exp(w.shared)
	}
	if hour := minute % 1440; w.nightly && c.database && hour >= 180 && hour < 200 {
		base *= 1.1
	}
	var factors [6]float64
	var tens [6]float64
	for part := range factors {
		factors[part] = base
		if !w.quiet {
			factors[part] *= w.bursts[part]
		}
		if w.slowed != nil {
			var factor float64
			factor, tens[part] = w.slowed(c, float64(minute)+(float64(part)+0.5)/6)
			factors[part] *= factor
		}
	}
	failed := int64(0)
	share := 0.0
	if w.failing != nil {
		share = w.failing(minute)
	}
	table := w.tables[i]
	for range n {
		bits := w.random.Uint64()
		part := (bits & 0xffff) * 6 >> 16
		seconds := table[bits>>16&(tableSize-1)] * factors[part]
		if tens[part] > 0 && w.random.Float64() < tens[part] {
			seconds *= 10
		}
		if share > 0 && w.random.Float64() < share {
			failed++
			seconds = 0.0005
		}
		out.Times.Observe(time.Duration(seconds * 1e9))
	}
	out.Outcomes = window.Counts(map[string]int64{window.OK: int64(n) - failed, "server_error": failed})
	return out
}

func (w *world) poisson(mean float64) int {
	if mean > 50 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*w.random.NormFloat64())))
	}
	limit, product, n := math.Exp(-mean), w.random.Float64(), 0
	for product > limit {
		product *= w.random.Float64()
		n++
	}
	return n
}

// dayCurve goes from 20/s to 80/s and back in a day.
func dayCurve(minute int) float64 {
	return 1 - 0.6*math.Cos(2*math.Pi*float64(minute)/1440)
}
