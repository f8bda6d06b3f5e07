package simulate

import (
	"math"
	"time"

	"soakd/internal/judge/window"
)

const (
	// Other work on the machine: how often on average, how long, how much.
	burstEvery                = 6 * time.Hour
	burstShortest, burstLong  = time.Minute, 5 * time.Minute
	burstFactor               = 1.3
	deployEarliest, deployTop = 24 * time.Hour, 48 * time.Hour
	// soakd's own restarts, the time it is away, and windows in which it is not fit.
	awayEvery, awayFor = 60 * time.Hour, 30 * time.Second
	unfitEvery         = 12 * time.Hour
	unfitFactor        = 1.5
	// The backup: when in the day (UTC), how long, how much.
	backupAt, backupFor = 3 * time.Hour, 20 * time.Minute
	backupFactor        = 1.1
	// strayShare is the share of requests that fail for no reason.
	strayShare = 1.0 / 50_000
	// gcShare of the requests meet a collection, and wait up to gcAdd seconds.
	gcShare, gcAdd = 0.004, 0.012
	// A checkpoint of Postgres makes some saves slow.
	checkpointEvery, checkpointFor = 5 * time.Minute, 20 * time.Second
	// afterStart is how much slower the target is just after its start, and
	// warmUp the time constant with which that goes away.
	afterStart, warmUp = 0.5, 45 * time.Second
)

// plan says when the noise does what.
type plan struct {
	burst, burstEnd      time.Duration
	deploy, leave, unfit time.Duration
	unfitWindows         int
}

// after draws an exponential distance.
func after(r random, mean time.Duration) time.Duration {
	return time.Duration(float64(mean) * r.ExpFloat64())
}

func newPlan(r random) plan {
	p := plan{deploy: time.Duration(r.between(float64(deployEarliest), float64(deployTop)))}
	p.leave, p.unfit = after(r, awayEvery), after(r, unfitEvery)
	p.nextBurst(r, 0)
	return p
}

func (p *plan) nextBurst(r random, from time.Duration) {
	p.burst = from + after(r, burstEvery)
	p.burstEnd = p.burst + time.Duration(r.between(float64(burstShortest), float64(burstLong)))
}

// away reports whether soakd is being restarted in the window.
func (p *plan) away(w *World) bool {
	switch {
	case w.age < p.leave:
		return false
	case w.age < p.leave+awayFor && !w.quiet():
		w.circuit = circuit{} // a new process begins with the whole load
		return true
	}
	p.leave = w.age + awayFor + after(w.noise, awayEvery)
	return false
}

func (w *World) quiet() bool {
	for _, s := range w.cfg.Quiet {
		if s.holds(w.age) {
			return true
		}
	}
	return false
}

func all(*flow) bool          { return true }
func needsDB(f *flow) bool    { return f.db }
func valid(f *flow) bool      { return !f.invalid }
func isInvalid(f *flow) bool  { return f.invalid }
func named(n string) cases    { return func(f *flow) bool { return f.name == n } }
func ofClass(n string) cases  { return func(f *flow) bool { return f.class == n && !f.invalid } }
func monteCarlo(f *flow) bool { return f.monteCarlo }
func showsSaved(f *flow) bool { return f.saved }
func saves(f *flow) bool      { return f.name == CaseSave }

// cases chooses some.
type cases func(*flow) bool

// apply lets the noise do its part in the window.
func (p *plan) apply(w *World, m *moment) {
	whole := share{1, 0, 1}
	everything := math.Exp(w.slow.next(w.noise)) / (1 - m.busy) * (1 - usual/capacity)
	if w.age >= p.burst && w.age < p.burstEnd {
		everything *= burstFactor
	} else if w.age >= p.burstEnd {
		p.nextBurst(w.noise, w.age)
	}
	if up := m.at.Sub(w.target.started); up < 10*warmUp {
		everything *= 1 + afterStart*math.Exp(-up.Seconds()/warmUp.Seconds())
		m.hitRatio *= 1 - 0.5*math.Exp(-up.Seconds()/(2*warmUp.Seconds()))
	}
	p.beUnfit(w, m, &everything)
	m.slower(w.flows, all, everything, whole)
	m.tails = append(m.tails, tail{all, gcShare, 1, gcAdd})
	p.databaseWork(w, m)
	m.fail(failure{cases: valid, outcome: "server_error", share: strayShare / 2, when: whole})
	m.fail(failure{cases: valid, outcome: "reset", share: strayShare / 2, takes: -1, when: whole})
	if w.age >= p.deploy && !w.quiet() {
		p.deploy = w.age + time.Duration(w.noise.between(float64(deployEarliest), float64(deployTop)))
		m.restart, m.deploy = true, true
		w.target.lastSeconds(m, 1, 0.05)
	}
}

// beUnfit lets soakd be late for a window or two.
func (p *plan) beUnfit(w *World, m *moment, everything *float64) {
	if w.age < p.unfit {
		return
	}
	if p.unfitWindows == 0 {
		p.unfitWindows = 1 + w.noise.IntN(2)
	}
	m.unfit = append(m.unfit, []string{"late", "cpu", "stalled"}[w.noise.IntN(3)])
	*everything *= unfitFactor
	if p.unfitWindows--; p.unfitWindows == 0 {
		p.unfit = w.age + after(w.noise, unfitEvery)
	}
}

// databaseWork is the backup of the night and the checkpoints.
func (p *plan) databaseWork(w *World, m *moment) {
	inDay := m.at.Sub(m.at.Truncate(24 * time.Hour))
	if inDay >= backupAt && inDay < backupAt+backupFor {
		m.slower(w.flows, needsDB, backupFactor, share{1, 0, 1})
		m.extra.others += 4
	}
	if w.age%checkpointEvery < checkpointFor {
		m.tails = append(m.tails, tail{saves, 0.05, 1, 0.03})
	}
}

// lastSeconds lets requests fail while the target starts anew: for some seconds no
// connection can be made, and a share of those under way is cut.
func (t *target) lastSeconds(m *moment, seconds, cut float64) {
	until := seconds / window.Short.Seconds()
	if until > 0 && cut >= 1 {
		m.fail(failure{cases: all, outcome: "connect", share: 1, takes: -1, when: share{until, 0, until}})
		return
	}
	m.fail(failure{cases: all, outcome: "reset", share: cut, takes: -1, when: share{until, 0, until}})
}
