package simulate

import (
	"fmt"
	"math"
	"time"

	"soakd/internal/judge/window"
)

// Config says what is simulated.
type Config struct {
	// Seed makes everything: the same seed, the same windows.
	Seed uint64
	// Start is when the first window begins; it is cut to a whole [window.Short].
	Start time.Time
	// Rate is the mean of the arrivals a second, above 0.
	Rate float64
	// Day lets the rate go up and down with the day, from 40 % to 160 % of Rate.
	Day bool
	// Quiet are stretches without deployments and without restarts of soakd: what
	// is looked for there must not have to start anew. Everything else goes on.
	Quiet []Stretch
	// Episodes are the faults.
	Episodes []Episode
	// Factor, if there is one, is by how much the response times of a case are
	// multiplied during the whole run: what makes one run differ from another.
	Factor func(name string) float64
}

// Stretch is a time from From to To after the start.
type Stretch struct{ From, To time.Duration }

func (s Stretch) holds(at time.Duration) bool { return at >= s.From && at < s.To }

// Episode is one fault that is switched on At after the start and off For later; 0
// is never.
type Episode struct {
	Fault   string
	At, For time.Duration
}

// World is a run that is simulated. It is not safe for concurrent use.
type World struct {
	cfg    Config
	flows  []flow
	grids  [][]float64
	faults []active
	series []series

	// These draw apart from each other, so that a fault changes as little as
	// possible of what would have been without it.
	noise, traffic, own, polls random
	age                        time.Duration // since the start, of the window under way
	now                        moment
	slow                       *wander // of all response times, in logarithms
	plan                       plan
	target                     target
	circuit                    circuit
	deferred                   deferred
}

// active is an episode with its fault.
type active struct {
	Episode
	*Fault
}

// New returns a world, or an error that names the fault that there is not.
func New(cfg Config) (*World, error) {
	if cfg.Rate <= 0 {
		return nil, fmt.Errorf("simulate: a rate of %v arrivals a second: it must be above 0", cfg.Rate)
	}
	cfg.Start = cfg.Start.Truncate(window.Short)
	w := &World{cfg: cfg, flows: flows(), noise: newRandom(cfg.Seed, 1), traffic: newRandom(cfg.Seed, 2), own: newRandom(cfg.Seed, 6), polls: newRandom(cfg.Seed, 7)}
	w.grids = quantiles(w.flows)
	known := Faults()
	for _, e := range cfg.Episodes {
		var fault *Fault
		for i := range known {
			if known[i].Name == e.Fault {
				fault = &known[i]
			}
		}
		if fault == nil {
			return nil, fmt.Errorf("simulate: there is no fault %.40q", e.Fault)
		}
		w.faults = append(w.faults, active{e, fault})
	}
	w.series = allSeries()
	w.slow = newWander(w.noise, slowSD, float64(slowTau/window.Short))
	w.plan = newPlan(w.noise)
	w.target = newTarget(w.own, cfg.Start)
	w.now.resize(len(w.flows))
	return w, nil
}

const (
	// slowSD and slowTau are of the factor that all response times share.
	slowSD  = 0.05
	slowTau = 10 * time.Minute
	// dayDepth is how far the rate of a day goes up and down, as a share.
	dayDepth = 0.6
	// capacity is the rate at which the target would be busy all the time.
	capacity = 200.0
	// usual is the rate at which the medians of the cases hold.
	usual = 50.0
)

// Next returns the next window. After one of soakd's own restarts it begins some
// windows later.
func (w *World) Next() *window.Window {
	for w.plan.away(w) {
		w.age += window.Short
	}
	m := &w.now
	m.reset()
	m.at = w.cfg.Start.Add(w.age)
	m.rate = w.rate()
	m.busy = m.rate / capacity
	w.plan.apply(w, m)
	if w.cfg.Factor != nil {
		for i := range w.flows {
			m.slow[i] *= w.cfg.Factor(w.flows[i].name)
		}
	}
	for i := range w.faults {
		w.faults[i].apply(w, m)
	}
	w.circuit.apply(m)
	w.target.step(w, m)
	out := &window.Window{
		Start: m.at, Length: window.Short, Covered: window.Short, Fit: window.Short, Rate: m.rate,
		Phase: "steady", Version: w.target.versionAt(m),
	}
	if len(m.unfit) > 0 {
		out.Unfit, out.Fit = m.unfit, 0
	}
	w.send(m, out)
	w.read(m, out)
	w.circuit.observe(m)
	w.age += window.Short
	return out
}

// Age is how long the simulation has run, at the beginning of the next window.
func (w *World) Age() time.Duration { return w.age }

// rate is that of the schedule now.
func (w *World) rate() float64 {
	if !w.cfg.Day {
		return w.cfg.Rate
	}
	day := w.cfg.Start.Add(w.age)
	hours := day.Sub(day.Truncate(24*time.Hour)).Hours() - 9 // the mean is passed at 09:00
	return w.cfg.Rate * (1 + dayDepth*math.Sin(2*math.Pi*hours/24))
}

// apply lets the fault do what it does in this window, if it is on.
func (a *active) apply(w *World, m *moment) {
	since := w.age - a.At
	if since <= -window.Short || (a.For > 0 && since >= a.For) {
		return
	}
	on := share{1, 0, 1}
	if since < 0 { // it is switched on in the middle of the window
		on.from = -since.Seconds() / window.Short.Seconds()
	}
	if left := a.For - since; a.For > 0 && left < window.Short {
		on.to = left.Seconds() / window.Short.Seconds()
	}
	on.of = on.to - on.from
	a.Fault.act(w, m, max(0, since), on)
}

// share is the part of a window in which something holds: of the whole, and from
// where to where.
type share struct{ of, from, to float64 }

// moment is what holds in one window, before anything is drawn.
type moment struct {
	at   time.Time
	rate float64
	// busy is the utilisation of the target, 0..1.
	busy float64
	// sent is the share of the rate that the circuit lets through.
	sent  float64
	unfit []string
	// slow is the factor of the response times by case.
	slow []float64
	// tails and failures change some of the requests.
	tails    []tail
	failures []failure
	// hitRatio is the share of lookups that hit, lookups the share that is made at all.
	hitRatio, lookups float64
	// restart tells that the target's process is replaced, with another version
	// when deploy is set.
	restart, deploy bool
	// down are the probes that fail, with the reason; half fails one poll of two.
	down map[string]string
	half map[string]bool
	// extra is what is added to the gauges and rates of the target.
	extra extra
	// failed and ended count valid requests of the window.
	failed, ended int
}

// extra is added by noise and faults to what the probes read. Counts are of the
// moment, rates per second.
type extra struct {
	rss, live, goroutines, fds, threads, cpu float64
	gcPause, gcRuns, inFlight                float64
	// idle are sessions of the API that nobody uses, held those that are in use for
	// no request, others those of other applications.
	idle, held, others float64
	poolWaiting        float64
	poolWaits          float64
	poolWaitSeconds    float64
	// blocked are sessions that wait for a lock when the lock is held, which it is
	// for blockedShare of the time; oldestWait is how long it is held.
	blocked, blockedShare, oldestWait float64
	evictions, redisBytes             float64
}

// tail makes share of the requests of the cases slower, by a factor and by a time
// between 0 and add seconds.
type tail struct {
	cases  func(*flow) bool
	share  float64
	factor float64
	add    float64
}

// failure lets a share of the requests of the cases end another way.
type failure struct {
	cases   func(*flow) bool
	outcome string
	// check is the check that fails, with the outcome check_failed.
	check string
	share float64
	// takes is the response time in seconds; 0 is as long as a good answer, below
	// 0 has none.
	takes float64
	// when is the part of the window in which it happens.
	when share
}

func (m *moment) resize(cases int) {
	m.slow = make([]float64, cases)
	m.down, m.half = map[string]string{}, map[string]bool{}
}

func (m *moment) reset() {
	for i := range m.slow {
		m.slow[i] = 1
	}
	clear(m.down)
	clear(m.half)
	*m = moment{slow: m.slow, tails: m.tails[:0], failures: m.failures[:0], down: m.down, half: m.half, sent: 1, hitRatio: usualHits, lookups: 1}
}

// usualHits is the hit ratio of a cache that is warm.
const usualHits = 0.55

// slower multiplies the response times of the cases, in the part of the window.
func (m *moment) slower(flows []flow, cases func(*flow) bool, factor float64, on share) {
	factor = 1 + (factor-1)*on.of
	for i := range flows {
		if cases(&flows[i]) {
			m.slow[i] *= factor
		}
	}
}

// fail adds a failure.
func (m *moment) fail(f failure) { m.failures = append(m.failures, f) }

// circuit is soakd's own: it leaves a trickle for a target that fails half of the
// requests for 30 s, and brings the load back in steps of 10 s.
type circuit struct {
	bad  int
	open bool
	step int
}

// steps are the shares of the load of the circuit: the trickle and the steps back.
func (c *circuit) share() float64 { return [...]float64{0.01, 0.1, 0.25, 0.5, 1}[c.step] }

func (c *circuit) apply(m *moment) {
	if !c.open {
		return
	}
	m.sent *= c.share()
	m.unfit = append(m.unfit, "throttled")
	m.rate *= c.share()
}

func (c *circuit) observe(m *moment) {
	bad := m.ended > 0 && 2*m.failed >= m.ended
	switch {
	case !c.open && bad:
		c.bad++
		if c.bad >= 3 {
			c.open, c.step = true, 0
		}
	case !c.open:
		c.bad = 0
	case bad || m.ended == 0:
		c.step = 0
	case c.step == 4:
		*c = circuit{}
	default:
		c.step++
	}
}
