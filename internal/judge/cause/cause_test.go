package cause

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

func begin() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }

const (
	replica = `replica="api:8000"`
	pool    = `pool="pgxpool",replica="api:8000"`
	server  = `server="main"`
	node    = `node="redis:6379"`
)

// state is what the target is like in one minute.
type state struct {
	rate                         float64
	waiting, waits, waitSeconds  float64 // waiting now; a second
	inUse                        float64
	blocked, oldestLock          float64
	hitRatio, lookups            float64 // lookups a request
	evicted                      float64 // a minute
	gc                           float64
	restarts, redisRestarts      float64
	version                      string
	workers                      float64
	answersNothing, noAPISignals bool
	unfit                        []string
}

// world makes windows of a minute.
type world struct {
	rng   *rand.Rand
	at    time.Time
	det   *Detector
	noise float64 // AR(1), standard deviation 1, time constant 10 minutes
	curve bool
	fault func(w *world, s *state)
	found map[string]finding.Symptom
	first map[string]time.Time
	order []string
}

func newWorld(seed uint64) *world {
	return &world{
		rng: rand.New(rand.NewPCG(seed, 7)), at: begin(), det: New(Config{}),
		found: map[string]finding.Symptom{}, first: map[string]time.Time{},
	}
}

func (w *world) usual() state {
	const keep = 0.904837 // exp(-1/10)
	w.noise = keep*w.noise + math.Sqrt(1-keep*keep)*w.rng.NormFloat64()
	rate := 50.0
	if w.curve {
		rate *= 1 + 0.6*math.Sin(2*math.Pi*w.at.Sub(begin()).Hours()/24)
	}
	slow := math.Exp(0.05 * w.noise)
	s := state{
		rate: rate, inUse: rate * 0.04 * slow, waits: rate * 0.0004, waitSeconds: rate * 0.00002 * (0.5 + w.rng.Float64()),
		hitRatio: 0.6 + 0.02*w.noise, lookups: 0.4, gc: rate * 0.00002 * (0.6 + 0.8*w.rng.Float64()), version: "v1", workers: 1,
	}
	if w.rng.Float64() < 0.02 { // now and then somebody waits for a moment
		s.waiting, s.blocked = 1./12, 1./12
	}
	if w.rng.Float64() < 0.01 { // a full collection
		s.gc += 0.005
	}
	return s
}

func (w *world) window() *window.Window {
	s := w.usual()
	if w.fault != nil {
		w.fault(w, &s)
	}
	win := &window.Window{
		Start: w.at, Length: window.Minute, Covered: window.Minute, Fit: window.Minute, Rate: s.rate,
		Version: s.version, Sent: int64(s.rate * 60), Unfit: s.unfit,
	}
	if s.unfit != nil {
		win.Fit = 0
	}
	outcome := window.OK
	if s.answersNothing {
		outcome = "timeout"
	}
	win.Cases = []window.Case{{Name: "forecast", Class: "standard", Outcomes: []window.Count{{Name: outcome, N: win.Sent}}}}
	if !s.noAPISignals {
		w.api(win, &s)
	}
	lookups := s.rate * 60 * s.lookups * (0.9 + 0.2*w.rng.Float64())
	count(win, "soakd_redis_keyspace_hits_total", node, lookups*s.hitRatio)
	count(win, "soakd_redis_keyspace_misses_total", node, lookups*(1-s.hitRatio))
	count(win, "soakd_redis_evicted_keys_total", node, s.evicted)
	count(win, "soakd_redis_restarts_total", node, s.redisRestarts)
	gauge(win, "soakd_postgres_blocked_backends", server, s.blocked)
	if s.oldestLock > 0 {
		gauge(win, "soakd_postgres_lock_wait_oldest_seconds", server, s.oldestLock)
	}
	slices.SortFunc(win.Signals, func(a, b window.Signal) int { return strings.Compare(a.Name+"\x00"+a.Labels, b.Name+"\x00"+b.Labels) })
	return win
}

func (w *world) api(win *window.Window, s *state) {
	lookups := s.rate * 60 * s.lookups * (0.9 + 0.2*w.rng.Float64())
	count(win, "soakd_api_cache_hits_total", replica, lookups*s.hitRatio)
	count(win, "soakd_api_cache_misses_total", replica, lookups*(1-s.hitRatio))
	count(win, "soakd_api_gc_pause_seconds_total", replica, s.gc*60)
	count(win, "soakd_api_restarts_total", replica, s.restarts)
	count(win, "soakd_api_pool_waits_total", pool, s.waits*60)
	count(win, "soakd_api_pool_wait_seconds_total", pool, s.waitSeconds*60)
	for name, value := range map[string]float64{"waiting": s.waiting, "in_use": min(10, s.inUse), "max": 10, "idle": max(0, 10-s.inUse)} {
		gauge(win, "soakd_api_pool_connections", pool+`,state="`+name+`"`, value)
	}
	gauge(win, "soakd_api_observed_workers", replica, s.workers)
}

func count(w *window.Window, name, labels string, increase float64) {
	w.Signals = append(w.Signals, window.Signal{Name: name, Labels: labels, Kind: window.Counter, N: 12, Increase: increase})
}

// gauge is read twelve times; the values are spread around the mean.
func gauge(w *window.Window, name, labels string, mean float64) {
	w.Signals = append(w.Signals, window.Signal{Name: name, Labels: labels, N: 12, Sum: 12 * mean, Min: math.Floor(mean), Max: math.Ceil(mean), Last: mean})
}

func (w *world) run(t testing.TB, d time.Duration) {
	t.Helper()
	for end := w.at.Add(d); w.at.Before(end); w.at = w.at.Add(window.Minute) {
		w.take(t, w.det.Observe(w.window()))
	}
}

func (w *world) take(t testing.TB, list []finding.Symptom) {
	t.Helper()
	seen := map[string]bool{}
	for _, s := range list {
		key := s.Key()
		if seen[key] {
			t.Errorf("%s of %s twice", s.Kind, s.Subject)
		}
		seen[key] = true
		if _, known := w.first[key]; !known {
			w.first[key] = w.at.Add(window.Minute)
			w.order = append(w.order, key)
		}
		if s.Text == "" || s.Onset.IsZero() || s.Confidence < 0.99 || math.IsNaN(s.Before) || math.IsNaN(s.After) || (s.Over && s.Ended.Before(s.Onset)) {
			t.Errorf("incomplete: %+v", s)
		}
		w.found[key] = s
	}
	for key, s := range w.found {
		if !s.Over && !seen[key] {
			t.Errorf("%s of %s is not mentioned any more and was not over", s.Kind, s.Subject)
			s.Over = true
			w.found[key] = s
		}
	}
}

// only expects one symptom in all and returns it.
func (w *world) only(t testing.TB, kind finding.Kind) finding.Symptom {
	t.Helper()
	var got finding.Symptom
	for _, key := range w.order {
		if s := w.found[key]; s.Kind == kind && got.Kind == "" {
			got = s
		} else {
			t.Errorf("also found: %s of %s: %s", s.Kind, s.Subject, s.Text)
		}
	}
	if got.Kind == "" {
		t.Errorf("%s is not found", kind)
	}
	return got
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name    string
		fault   func(w *world, s *state)
		kind    finding.Kind
		subject finding.Subject
		within  time.Duration
	}{
		{
			"pool exhausted", func(_ *world, s *state) { s.inUse, s.waiting, s.waitSeconds, s.waits = 10, 6, 5, 30 },
			finding.PoolExhausted,
			finding.Subject{Target: "api", Signal: `soakd_api_pool_connections{` + pool + `,state="waiting"}`},
			3 * time.Minute,
		},
		{
			"pool with one connection left", func(_ *world, s *state) { s.inUse, s.waiting, s.waitSeconds, s.waits = 9.4, 0.1, 0.1, 8 },
			finding.PoolExhausted,
			finding.Subject{Target: "api", Signal: `soakd_api_pool_waits_total{` + pool + `}`},
			3 * time.Minute,
		},
		{
			"locks", func(w *world, s *state) { s.blocked, s.oldestLock = 0.3+w.rng.Float64(), 4 },
			finding.LockContention,
			finding.Subject{Target: "postgres", Signal: "soakd_postgres_blocked_backends{" + server + "}"},
			3 * time.Minute,
		},
		{
			"a short lock, again and again", func(w *world, s *state) {
				if w.at.Minute()%5 != 0 {
					s.blocked, s.oldestLock = 1./12, 2
				}
			},
			finding.LockContention,
			finding.Subject{Target: "postgres", Signal: "soakd_postgres_blocked_backends{" + server + "}"},
			4 * time.Minute,
		},
		{
			"the cache misses more", func(_ *world, s *state) { s.hitRatio *= 0.6 },
			finding.CacheIneffective,
			finding.Subject{Target: "api", Signal: "soakd_api_cache_hits_total{" + replica + "}"},
			12 * time.Minute,
		},
		{
			"the cache misses always", func(_ *world, s *state) { s.hitRatio = 0 },
			finding.CacheIneffective,
			finding.Subject{Target: "api", Signal: "soakd_api_cache_hits_total{" + replica + "}"},
			3 * time.Minute,
		},
		{
			"the cache is not asked", func(_ *world, s *state) { s.lookups = 0 },
			finding.CacheIneffective,
			finding.Subject{Target: "api", Signal: "soakd_api_cache_hits_total{" + replica + "}"},
			3 * time.Minute,
		},
		{
			"Redis alone tells", func(_ *world, s *state) { s.hitRatio, s.noAPISignals = 0.1, true },
			finding.CacheIneffective,
			finding.Subject{Target: "redis", Signal: "soakd_redis_keyspace_hits_total{" + node + "}"},
			3 * time.Minute,
		},
		{
			"evictions", func(w *world, s *state) { s.evicted = 100 + float64(w.rng.IntN(100)) },
			finding.Evictions,
			finding.Subject{Target: "redis", Signal: "soakd_redis_evicted_keys_total{" + node + "}"},
			2 * time.Minute,
		},
		{
			"pauses", func(w *world, s *state) { s.gc += 0.02 * (0.8 + 0.4*w.rng.Float64()) },
			finding.GCPauses,
			finding.Subject{Target: "api", Signal: "soakd_api_gc_pause_seconds_total{" + replica + "}"},
			3 * time.Minute,
		},
		{
			"restarts", func(w *world, s *state) {
				if w.at.Minute()%10 == 0 {
					s.restarts = 1
				}
			}, finding.Restarts, finding.Subject{Target: "api"}, 4 * time.Minute,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(5) {
				w := newWorld(seed)
				w.run(t, 4*time.Hour)
				since := w.at
				w.fault = test.fault
				w.run(t, time.Hour)
				s := w.only(t, test.kind)
				if s.Subject != test.subject {
					t.Errorf("it is about %+v, want %+v", s.Subject, test.subject)
				}
				took := w.first[s.Key()].Sub(since)
				if seed == 0 {
					t.Logf("found after %v, dated %v after its beginning: %s", took, s.Onset.Sub(since), s.Text)
				}
				if took > test.within || s.Onset.Sub(since).Abs() > time.Minute || s.Over {
					t.Errorf("seed %d: found after %v (want %v), dated %v after its beginning, over %v", seed, took, test.within, s.Onset.Sub(since), s.Over)
				}
				w.fault = nil
				until := w.at
				w.run(t, time.Hour)
				if s = w.only(t, test.kind); !s.Over || until.Sub(s.Ended).Abs() > 10*time.Minute {
					t.Errorf("seed %d: over %v, ended %v before the fault did", seed, s.Over, until.Sub(s.Ended))
				}
			}
		})
	}
}

// What looks alike and is something else, or is usual for this target.
func TestQuiet(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(w *world, s *state) // for 4 hours
		then   func(w *world, s *state) // for 2 more
	}{
		{
			"waits because the database answers no connects", nil,
			func(_ *world, s *state) { s.inUse, s.waiting, s.waitSeconds, s.waits = 0, 6, 6, 1 },
		},
		{"waits in one minute of five", nil, func(w *world, s *state) {
			if w.at.Minute()%5 == 0 {
				s.inUse, s.waiting = 10, 5
			}
		}},
		{
			"a pool that is always used up", func(w *world, s *state) { s.inUse, s.waiting = 10, 0.4*w.rng.Float64() },
			func(w *world, s *state) { s.inUse, s.waiting = 10, 0.1+0.5*w.rng.Float64() },
		},
		{"a lock in one minute of five", nil, func(w *world, s *state) {
			if w.at.Minute()%5 == 0 {
				s.blocked, s.oldestLock = 3, 20
			}
		}},
		{"a hit ratio a fifth lower", nil, func(_ *world, s *state) { s.hitRatio *= 0.8 }},
		{"hardly any lookups", nil, func(w *world, s *state) { s.rate, s.hitRatio = 0.3, 0.6*w.rng.Float64() }},
		{"a target that answers nothing looks nothing up", nil, func(_ *world, s *state) { s.answersNothing, s.lookups = true, 0 }},
		{"a cache that was off from the beginning", func(_ *world, s *state) { s.hitRatio = 0 }, func(_ *world, s *state) { s.hitRatio, s.lookups = 0, 0.3 }},
		{"a cold cache after a restart of Redis", nil, func(w *world, s *state) {
			since := w.at.Sub(begin()) - 4*time.Hour
			if since == 0 {
				s.redisRestarts = 1
			}
			s.hitRatio *= 1 - math.Exp(-since.Minutes()/5)
		}},
		{"a new deployment with a cold cache and a big heap", nil, func(w *world, s *state) {
			since := w.at.Sub(begin()) - 4*time.Hour
			if since == 0 {
				s.restarts = 1
			}
			if since >= time.Minute {
				s.version = "v2"
			}
			s.hitRatio *= 1 - math.Exp(-since.Minutes()/5)
			s.gc += 0.1 * math.Exp(-since.Minutes())
		}},
		{
			"evictions since the cache was full, after 40 minutes", func(w *world, s *state) {
				if w.at.Sub(begin()) > 40*time.Minute {
					s.evicted = 50
				}
			}, func(_ *world, s *state) { s.evicted = 60 },
		},
		{"a few evictions", nil, func(_ *world, s *state) { s.evicted = 5 }},
		{"a target that always pauses much", func(_ *world, s *state) { s.gc = 0.045 }, func(_ *world, s *state) { s.gc = 0.06 }},
		{"more load, as many more pauses", func(_ *world, s *state) { s.gc = 0.008 }, func(_ *world, s *state) { s.rate, s.gc = 200, 0.032 }},
		{"soakd's own machine is busy", nil, func(_ *world, s *state) { s.unfit, s.blocked, s.gc = []string{"cpu"}, 2, 0.2 }},
		{"nothing can be read", nil, func(_ *world, s *state) { s.noAPISignals = true }},
		{"workers are recycled one after the other", nil, func(w *world, s *state) {
			s.workers = 4
			if w.at.Minute() == 7 {
				s.restarts = 1
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(5) {
				w := newWorld(seed)
				w.fault = test.before
				w.run(t, 4*time.Hour)
				w.fault = test.then
				w.run(t, 2*time.Hour)
				for _, key := range w.order {
					s := w.found[key]
					t.Errorf("seed %d: %s of %s: %s", seed, s.Kind, s.Subject, s.Text)
				}
			}
		})
	}
}

// A throttled load is the target's doing: its signals count.
func TestThrottled(t *testing.T) {
	w := newWorld(1)
	w.run(t, 2*time.Hour)
	w.fault = func(_ *world, s *state) { s.unfit, s.rate, s.inUse, s.waiting = []string{"throttled"}, 2, 10, 3 }
	w.run(t, 10*time.Minute)
	w.only(t, finding.PoolExhausted)
}

// One restart that nobody meant is found as soon as it is clear that no other
// version came of it; and further ones are the same symptom.
func TestRestarts(t *testing.T) {
	w := newWorld(1)
	w.run(t, time.Hour)
	since := w.at
	w.fault = func(w *world, s *state) {
		if after := w.at.Sub(since); after == 0 || after == 20*time.Minute {
			s.restarts = 1
		}
	}
	w.run(t, 2*time.Minute)
	if len(w.order) > 0 {
		t.Errorf("found before it is clear: %+v", w.found)
	}
	w.run(t, 2*time.Minute)
	if s := w.only(t, finding.Restarts); s.After != 1 || !s.Onset.Equal(since) {
		t.Errorf("%+v", s)
	}
	w.run(t, 20*time.Minute)
	if s := w.only(t, finding.Restarts); s.After != 2 || !strings.Contains(s.Text, "2 times") || !strings.Contains(s.Text, "every 20 min") {
		t.Errorf("%+v", s)
	}
	w.run(t, 20*time.Minute)
	if s := w.only(t, finding.Restarts); s.Over {
		t.Error("over 24 minutes after the last")
	}
	w.run(t, 10*time.Minute)
	if s := w.only(t, finding.Restarts); !s.Over || !s.Ended.Equal(since.Add(21*time.Minute)) {
		t.Errorf("34 minutes after the last: %+v", s)
	}
}

// A deployment is meant, whether the version is seen a little before or after.
func TestDeployment(t *testing.T) {
	for _, lag := range []time.Duration{-4 * time.Minute, 0, 2 * time.Minute} {
		for _, mixed := range []bool{false, true} {
			w := newWorld(1)
			w.run(t, time.Hour)
			since := w.at
			w.fault = func(w *world, s *state) {
				after := w.at.Sub(since)
				switch {
				case after == 4*time.Minute:
					s.restarts = 1
				case after >= 4*time.Minute+lag && mixed && after < 5*time.Minute+lag:
					s.version = window.Mixed
				}
				if after >= 4*time.Minute+lag && s.version != window.Mixed {
					s.version = "v2"
				}
			}
			w.run(t, time.Hour)
			if len(w.order) > 0 {
				t.Errorf("lag %v, mixed %v: %+v", lag, mixed, w.found)
			}
		}
	}
}

// Several series of one cause are one symptom, that of the first.
func TestOneSymptomOfSeveralSeries(t *testing.T) {
	w := newWorld(1)
	w.run(t, 2*time.Hour)
	since := w.at
	w.fault = func(w *world, s *state) {
		s.hitRatio = 0
		if w.at.Sub(since) > 30*time.Minute {
			s.noAPISignals = true
		}
	}
	w.run(t, 3*time.Hour)
	if s := w.only(t, finding.CacheIneffective); s.Over || s.Before < 0.5 || s.After != 0 {
		t.Errorf("%+v", s)
	}
}

// What can no longer be read is over after an hour, as of when it was seen last.
func TestLostSight(t *testing.T) {
	w := newWorld(1)
	w.run(t, 2*time.Hour)
	w.fault = func(_ *world, s *state) { s.gc = 0.1 }
	w.run(t, 10*time.Minute)
	last := w.at
	w.fault = func(_ *world, s *state) { s.noAPISignals = true }
	w.run(t, 58*time.Minute)
	if s := w.only(t, finding.GCPauses); s.Over {
		t.Error("over after 58 minutes")
	}
	w.run(t, 5*time.Minute)
	if s := w.only(t, finding.GCPauses); !s.Over || !s.Ended.Equal(last) {
		t.Errorf("%+v", s)
	}
}

// A gap is a gap: no minute of it counts for or against anything.
func TestGap(t *testing.T) {
	w := newWorld(1)
	w.run(t, 2*time.Hour)
	w.fault = func(_ *world, s *state) { s.blocked = 2 }
	w.run(t, 10*time.Minute)
	w.at = w.at.Add(30 * time.Minute)
	w.run(t, 10*time.Minute)
	if s := w.only(t, finding.LockContention); s.Over {
		t.Errorf("%+v", s)
	}
	w.fault = nil
	w.at = w.at.Add(5 * 24 * time.Hour)
	w.run(t, 15*time.Minute)
	if s := w.only(t, finding.LockContention); !s.Over {
		t.Errorf("%+v", s)
	}
}

// Weeks of a day curve, noise, deployments, lone minutes of trouble and nights of
// backups raise nothing.
func TestCleanWeeks(t *testing.T) {
	weeks := 8
	if testing.Short() {
		weeks = 2
	}
	for seed := range uint64(weeks) {
		w := newWorld(1000 + seed)
		w.curve = true
		deploy, version := 0, 1
		w.fault = func(w *world, s *state) {
			if deploy == 0 {
				deploy = 24*60 + w.rng.IntN(24*60)
				if w.at.Sub(begin()) > time.Hour {
					s.restarts = 1
					version++
				}
			}
			deploy--
			s.version = fmt.Sprint("v", version)
			if w.at.Hour() == 3 && w.at.Minute() < 20 { // backup
				s.blocked += 0.1
				s.inUse += 2
			}
			if w.rng.IntN(500) == 0 { // a minute of trouble
				s.waiting, s.inUse, s.blocked, s.gc = 3, 10, 1, s.gc+0.03
			}
			if w.at.Hour() == 0 && w.at.Minute() < 5 { // new portfolios at midnight
				s.hitRatio *= 0.6
			}
		}
		w.run(t, 7*24*time.Hour)
		for _, key := range w.order {
			s := w.found[key]
			t.Errorf("week %d: %s of %s: %s", seed, s.Kind, s.Subject, s.Text)
		}
	}
}

func TestWithout(t *testing.T) {
	for _, test := range []struct{ labels, name, value, rest string }{
		{`pool="p",replica="r",state="max"`, "state", "max", `pool="p",replica="r"`},
		{`state="max",replica="r"`, "state", "max", `replica="r"`},
		{`a="x,state=\"y\"",state="in_use",b="c"`, "state", "in_use", `a="x,state=\"y\"",b="c"`},
		{`replica="r"`, "state", "", `replica="r"`},
		{"", "state", "", ""},
	} {
		if value, rest := without(test.labels, test.name); value != test.value || rest != test.rest {
			t.Errorf("%s: %q and %q", test.labels, value, rest)
		}
	}
}

func FuzzWithout(f *testing.F) {
	f.Add(`a="b",state="c"`, "state")
	f.Add(`,,"\`, "")
	f.Fuzz(func(_ *testing.T, labels, name string) { without(labels, name) })
}

// Memory does not grow with time nor with the number of series.
func TestBounded(t *testing.T) {
	w := newWorld(1)
	for i := range 2000 {
		win := w.window()
		for n := range 200 {
			count(win, "soakd_api_gc_pause_seconds_total", fmt.Sprintf("replica=%q", fmt.Sprint(n*(1+i%3))), float64(i%7))
		}
		slices.SortFunc(win.Signals, func(a, b window.Signal) int { return strings.Compare(a.Name+"\x00"+a.Labels, b.Name+"\x00"+b.Labels) })
		w.det.Observe(win)
		w.at = w.at.Add(window.Minute)
	}
	for i, tracks := range w.det.tracks {
		if len(tracks) > maxSeries {
			t.Errorf("row %d: %d series", i, len(tracks))
		}
		for _, t1 := range tracks {
			if len(t1.values) > pastSize || len(t1.recent) > t1.row.of {
				t.Errorf("row %d: %d past and %d recent minutes", i, len(t1.values), len(t1.recent))
			}
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	w := newWorld(1)
	list := make([]*window.Window, 3000)
	for i := range list {
		list[i] = w.window()
		w.at = w.at.Add(window.Minute)
	}
	b.ReportAllocs()
	at := begin()
	for i := 0; b.Loop(); i++ {
		win := *list[i%len(list)]
		win.Start = at
		at = at.Add(window.Minute)
		w.det.Observe(&win)
	}
}
