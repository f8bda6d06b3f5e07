package simulate

import (
	"math"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// Fault is one thing that can be wrong with the target, with what it brings about.
type Fault struct {
	// Name is that of the fault in the reference API, with its strength where there
	// are several.
	Name string
	// Does says in a few words what it does.
	Does string
	// Lasts is for how long it is watched: a judgement should have found it by then.
	Lasts time.Duration
	// Within is the time within which it has to be found, 0 for Lasts.
	Within time.Duration
	// Away tells that the target or what it needs stops for a time, so that a fault
	// beside it could not be seen.
	Away bool
	// Area tells which faults do not get into each other's way: those of two areas.
	Area string
	// Kind and subject are the finding that it has to become.
	Kind    finding.Kind
	subject func(s finding.Subject) bool
	// act changes the window that begins since after the fault was switched on.
	act func(w *World, m *moment, since time.Duration, on share)
}

// Named reports whether a finding of that kind and subject is the right name of
// the fault.
func (f *Fault) Named(kind finding.Kind, s finding.Subject) bool {
	return kind == f.Kind && f.subject(s)
}

// Faults lists all faults.
func Faults() []Fault {
	return slices.Concat(leaks(), latencies(), failures(), answers(), dependencies())
}

func anything(finding.Subject) bool { return true }

func oneCase(name string) func(finding.Subject) bool {
	return func(s finding.Subject) bool { return s.Case == name }
}

func oneClass(name string) func(finding.Subject) bool {
	return func(s finding.Subject) bool { return s.Class == name && s.Case == "" }
}

// memory are the series of a leak of memory, whichever is seen first.
func memory(s finding.Subject) bool {
	for _, name := range []string{"resident_memory", "heap", "memory_used", "working_set"} {
		if strings.Contains(s.Signal, name) {
			return true
		}
	}
	return false
}

func signal(part string) func(finding.Subject) bool {
	return func(s finding.Subject) bool { return strings.Contains(s.Signal, part) }
}

// leaks grow without end.
func leaks() []Fault {
	leak := func(perHour float64) func(*World, *moment, time.Duration, share) {
		return func(_ *World, m *moment, since time.Duration, _ share) {
			lost := perHour * MemoryLimit * since.Hours()
			m.extra.rss += lost
			m.extra.live += 0.9 * lost
			m.extra.cpu += 0.02 * lost / MemoryLimit * m.rate / usual // there is more to mark
		}
	}
	return []Fault{
		{
			Name: "memory_leak_slow", Does: "memory, 1 % of the limit an hour", Lasts: 4 * time.Hour, Within: 3 * time.Hour, Area: "memory",
			Kind: finding.Leak, subject: memory, act: leak(0.01),
		},
		{
			Name: "memory_leak_fast", Does: "memory, 1 % of the limit a minute", Lasts: 50 * time.Minute, Area: "memory",
			Kind: finding.Leak, subject: memory, act: leak(0.6),
		},
		{
			Name: "goroutine_leak", Does: "goroutines, 1 in 2 s, of 8 KiB each", Lasts: 2 * time.Hour, Area: "memory",
			Kind: finding.Leak, subject: signal("goroutines"),
			act: func(_ *World, m *moment, since time.Duration, _ share) {
				n := since.Seconds() / 2
				m.extra.goroutines += n
				m.extra.rss += 8192 * n
			},
		},
		{
			Name: "file_leak", Does: "open files, 72 an hour of 1024", Lasts: 2 * time.Hour, Area: "files",
			Kind: finding.Leak, subject: signal("fds"),
			act: func(_ *World, m *moment, since time.Duration, _ share) { m.extra.fds += 72 * since.Hours() },
		},
		{
			Name: "connection_leak", Does: "connections of Postgres, 1 a minute until there are no more", Lasts: 2 * time.Hour, Area: "files",
			Kind: finding.Leak, subject: func(s finding.Subject) bool {
				return strings.Contains(s.Signal, "backends") || strings.Contains(s.Signal, "pool_connections")
			},
			act: func(w *World, m *moment, since time.Duration, on share) {
				m.extra.idle += math.Floor(since.Minutes())
				if w.target.poolSize+m.extra.idle > MaxConnections-6 {
					// The pool cannot grow any more: what comes in a rush is refused.
					m.fail(failure{cases: needsDB, outcome: "server_error", share: 0.02, when: on})
				}
			},
		},
	}
}

// latencies make requests slower.
func latencies() []Fault {
	slow := func(cases func(*flow) bool, factor float64) func(*World, *moment, time.Duration, share) {
		return func(w *World, m *moment, _ time.Duration, on share) { m.slower(w.flows, cases, factor, on) }
	}
	one := func(name string, factor float64, within time.Duration, does string) Fault {
		return Fault{
			Name: name, Does: does, Lasts: 40 * time.Minute, Within: within, Area: "forecast",
			Kind: finding.Latency, subject: oneCase(CaseForecast), act: slow(named(CaseForecast), factor),
		}
	}
	// A fifth more on everything at once is what the other load of the machine does
	// too, for minutes: 4 of its standard deviations. It takes longer to tell.
	whole := func(name string, factor float64, within time.Duration, does string) Fault {
		return Fault{
			Name: name, Does: does, Lasts: 40 * time.Minute, Within: within, Area: "everything",
			Kind: finding.Latency, subject: oneClass(finding.AllTraffic), act: slow(all, factor),
		}
	}
	return []Fault{
		one("slow_endpoint_20", 1.2, 10*time.Minute, "forecasts take 20 % longer"),
		one("slow_endpoint_50", 1.5, 10*time.Minute, "forecasts take 50 % longer"),
		one("slow_endpoint_x3", 3, 10*time.Minute, "forecasts take three times as long"),
		whole("slow_all_20", 1.2, 40*time.Minute, "everything takes 20 % longer"),
		whole("slow_all_50", 1.5, 10*time.Minute, "everything takes 50 % longer"),
		{
			Name: "latency_tail", Does: "1 % of all requests take ten times as long", Lasts: time.Hour, Area: "everything",
			Kind: finding.LatencyTail, subject: oneClass(finding.AllTraffic),
			act: func(_ *World, m *moment, _ time.Duration, on share) {
				m.tails = append(m.tails, tail{all, 0.01 * on.of, 10, 0})
			},
		},
		{
			Name: "latency_drift", Does: "everything gets 5 % slower each hour", Lasts: 6 * time.Hour, Area: "everything",
			Kind: finding.LatencyDrift, subject: oneClass(finding.AllTraffic),
			act: func(w *World, m *moment, since time.Duration, on share) {
				m.slower(w.flows, all, math.Pow(1.05, since.Hours()), on)
			},
		},
		{
			Name: "gc_pauses", Does: "the collector stops everything for 100 ms every 5 s", Lasts: 40 * time.Minute, Area: "everything",
			Kind: finding.GCPauses, subject: anything,
			act: func(_ *World, m *moment, _ time.Duration, on share) {
				m.extra.gcPause += 0.02 * on.of
				m.extra.gcRuns += 0.2 * on.of
				m.extra.live += 60 * mib
				m.extra.rss += 90 * mib
				m.extra.cpu += 0.1
				m.tails = append(m.tails, tail{all, 0.025 * on.of, 1, 0.1})
			},
		},
	}
}

// failures let valid requests fail.
func failures() []Fault {
	errs := func(name string, share0 float64, cases func(*flow) bool, subject func(finding.Subject) bool, does string) Fault {
		return Fault{
			Name: name, Does: does, Lasts: 40 * time.Minute, Area: "errors", Kind: finding.Errors, subject: subject,
			act: func(_ *World, m *moment, _ time.Duration, on share) {
				m.fail(failure{cases: cases, outcome: "server_error", share: share0, when: on})
			},
		}
	}
	allTraffic := oneClass(finding.AllTraffic)
	return []Fault{
		errs("errors_0.5", 0.005, valid, allTraffic, "0.5 % of the valid requests fail"),
		errs("errors_2", 0.02, valid, allTraffic, "2 % of the valid requests fail"),
		errs("errors_class", 0.02, ofClass(ClassMonteCarlo), func(s finding.Subject) bool {
			return s.Class == ClassMonteCarlo || s.Case == CaseMonteCarlo // it is the only case of its class
		}, "2 % of the Monte Carlo forecasts fail"),
		errs("errors_standard", 0.01, ofClass(ClassStandard), oneClass(ClassStandard), "1 % of the class standard fails"),
		{
			Name: "rate_limit", Does: "60 % get a 429 for 20 s, every 5 minutes", Lasts: 40 * time.Minute, Away: true, Area: "errors",
			Kind: finding.RateLimited, subject: anything,
			act: func(_ *World, m *moment, since time.Duration, on share) {
				if since%(5*time.Minute) < 20*time.Second {
					m.fail(failure{cases: all, outcome: "rate_limited", share: 0.6, takes: 0.002, when: on})
					m.unfit = append(m.unfit, "throttled") // soakd leaves those users alone
				}
			},
		},
		{
			Name: "hang", Does: "no request is answered for 3 minutes", Lasts: 3 * time.Minute, Away: true, Area: "away",
			Kind: finding.Hang, subject: func(s finding.Subject) bool { return s.Target == "api" || s.Class == finding.AllTraffic },
			act: func(_ *World, m *moment, _ time.Duration, on share) {
				m.fail(failure{cases: all, outcome: "timeout", share: 1, when: on})
				m.down[probeAPI] = "timeout"
				m.half[probeAPI] = on.of < 0.8
				m.extra.inFlight += 200
			},
		},
		{
			Name: "restart", Does: "the API restarts every 10 minutes", Lasts: time.Hour, Away: true, Area: "away",
			Kind: finding.Restarts, subject: func(s finding.Subject) bool { return s.Target == "api" || strings.Contains(s.Signal, "restarts") },
			act: func(w *World, m *moment, since time.Duration, on share) {
				if on.from == 0 && since%(10*time.Minute) < window.Short {
					m.restart = true
					w.target.lastSeconds(m, 2, 1)
					m.fail(failure{cases: all, outcome: "reset", share: 0.02, takes: -1, when: share{1, 0, 1}})
				}
			},
		},
	}
}

// answers are wrong.
func answers() []Fault {
	wrong := func(name, outcome, check string, share0 float64, cases func(*flow) bool, f Fault) Fault {
		f.Name, f.Lasts = name, 40*time.Minute
		f.act = func(_ *World, m *moment, _ time.Duration, on share) {
			m.fail(failure{cases: cases, outcome: outcome, check: check, share: share0, when: on})
		}
		return f
	}
	const failed = "check_failed"
	onInvalid := func(s finding.Subject) bool { return s.Class == ClassInvalid }
	return []Fault{
		wrong("accept_invalid", "accepted_invalid", "", 1, isInvalid, Fault{
			Does: "invalid input is accepted", Area: "invalid", Kind: finding.AcceptedInvalid, subject: onInvalid,
		}),
		wrong("accept_invalid_one", "accepted_invalid", "", 1, named("invalid_principal_negative"), Fault{
			Does: "one kind of invalid input is accepted", Area: "invalid", Kind: finding.AcceptedInvalid,
			subject: func(s finding.Subject) bool { return s.Case == "invalid_principal_negative" },
		}),
		wrong("invalid_500", "server_error", "", 1, isInvalid, Fault{
			Does: "invalid input gets a 500", Area: "invalid", Kind: finding.InvalidServerError, subject: onInvalid,
		}),
		wrong("leak_trace", "leaked_internals", "", 1, isInvalid, Fault{
			Does: "errors show a stack trace", Area: "invalid", Kind: finding.LeakedInternals, subject: onInvalid,
		}),
		wrong("wrong_monte_carlo", failed, "mc_order", 1, monteCarlo, Fault{
			Does: "quantiles of Monte Carlo runs are out of order", Area: "mc", Kind: finding.WrongAnswer, subject: anything,
		}),
		wrong("wrong_seed", failed, "mc_seed", 0.3, monteCarlo, Fault{
			Does: "the same seed gives other figures", Area: "mc", Kind: finding.WrongAnswer, subject: anything,
		}),
		{
			Name: "lost_scenario", Does: "5 % of the scenarios are not kept", Lasts: 40 * time.Minute, Area: "saved",
			Kind: finding.DataLost, subject: anything,
			act: func(_ *World, m *moment, _ time.Duration, on share) {
				m.fail(failure{cases: named("get_scenario"), outcome: failed, check: "scenario_found", share: 0.05, when: on})
				m.fail(failure{cases: named("list_scenarios"), outcome: failed, check: "in_list", share: 0.2, when: on})
			},
		},
		wrong("stale_read", failed, StaleCheck, 0.03, showsSaved, Fault{
			Does: "3 % of the reads are of an older state", Area: "saved", Kind: finding.StaleRead, subject: anything,
		}),
		wrong("foreign_scenario", failed, "foreign_scenario", 0.01, showsSaved, Fault{
			Does: "1 % of the reads show another user's scenario", Area: "saved", Kind: finding.ForeignData, subject: anything,
		}),
	}
}

// StaleCheck is the check of the workload that tells an older state from a loss.
const StaleCheck = "stale_read"

// dependencies are Postgres, Redis and the ways to them.
func dependencies() []Fault {
	return []Fault{
		{
			Name: "pool_exhaustion", Does: "9 of the 10 connections of the API's pool are held", Lasts: 40 * time.Minute, Area: "pool",
			Kind: finding.PoolExhausted, subject: anything,
			act: func(w *World, m *moment, _ time.Duration, on share) {
				m.extra.held += 9
				w.target.poolSize = PoolSize
				m.extra.poolWaiting += 6
				m.extra.poolWaits += 0.7 * m.rate
				m.extra.poolWaitSeconds += 0.7 * m.rate * 0.15
				m.extra.inFlight += 6
				m.tails = append(m.tails, tail{needsDB, 0.7 * on.of, 1, 0.3})
				m.fail(failure{cases: needsDB, outcome: "server_error", share: 0.01, takes: 2, when: on})
			},
		},
		{
			Name: "cache_off", Does: "nothing is looked up in the cache any more", Lasts: 40 * time.Minute, Area: "cache",
			Kind: finding.CacheIneffective, subject: anything,
			act: func(_ *World, m *moment, _ time.Duration, on share) {
				m.lookups *= 1 - on.of
				m.extra.cpu += 0.15
			},
		},
		{
			Name: "cache_misses", Does: "every lookup in the cache misses", Lasts: 40 * time.Minute, Area: "cache",
			Kind: finding.CacheIneffective, subject: anything,
			act: func(_ *World, m *moment, _ time.Duration, on share) {
				m.hitRatio *= 1 - on.of
				m.extra.cpu += 0.15
			},
		},
		{
			Name: "evictions", Does: "Redis is full of other keys and evicts", Lasts: 40 * time.Minute, Area: "cache",
			Kind: finding.Evictions, subject: anything,
			act: func(_ *World, m *moment, since time.Duration, on share) {
				filled := min(1, since.Minutes()/2)
				m.extra.redisBytes += filled * maxMemoryRedis
				if filled == 1 {
					m.extra.evictions += 25 * on.of
					m.hitRatio *= 0.8
				}
			},
		},
		{
			Name: "lock_contention", Does: "the table of scenarios is locked for 8 s, every 20 s", Lasts: 40 * time.Minute, Area: "pool",
			Kind: finding.LockContention, subject: anything,
			act: func(w *World, m *moment, _ time.Duration, on share) {
				waiting := m.rate * 0.06 * 4 // saves a second, for 4 s on average
				m.extra.blockedShare, m.extra.blocked, m.extra.oldestWait = 0.4*on.of, min(waiting, PoolSize), 8
				m.extra.held += min(0.4*waiting, 6)
				w.target.poolSize = PoolSize
				m.extra.inFlight += 0.4 * waiting
				m.extra.poolWaiting += 0.4 * max(0, waiting+w.target.dbBusy-PoolSize)
				m.extra.poolWaits += 0.02 * m.rate
				m.extra.poolWaitSeconds += 0.02 * m.rate
				m.tails = append(m.tails, tail{saves, 0.4 * on.of, 1, 8}, tail{needsDB, 0.02 * on.of, 1, 2})
			},
		},
		{
			Name: "postgres_down", Does: "Postgres is away for 3 minutes", Lasts: 3 * time.Minute, Away: true, Area: "away",
			Kind: finding.Outage, subject: func(s finding.Subject) bool { return s.Target == probePostgres },
			act: func(_ *World, m *moment, _ time.Duration, on share) {
				for _, probe := range []string{probePostgres, canaryPostgres} {
					m.down[probe], m.half[probe] = "connect", on.of < 0.8
				}
				m.fail(failure{cases: needsDB, outcome: "server_error", share: 1, takes: 0.02, when: on})
			},
		},
		{
			Name: "redis_down", Does: "Redis is away for 3 minutes", Lasts: 3 * time.Minute, Away: true, Area: "away",
			Kind: finding.Outage, subject: func(s finding.Subject) bool { return s.Target == probeRedis },
			act: func(_ *World, m *moment, _ time.Duration, on share) {
				for _, probe := range []string{probeRedis, canaryRedis} {
					m.down[probe], m.half[probe] = "connect", on.of < 0.8
				}
				m.hitRatio *= 1 - on.of
				m.extra.cpu += 0.15
				m.tails = append(m.tails, tail{func(f *flow) bool { return f.cached }, on.of, 1, 0.01})
			},
		},
	}
}
