package cause

import (
	"fmt"
	"strings"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// reading is a row's figure of one series in one minute.
type reading struct {
	// id is the series, as a finding names it.
	id    string
	value float64
}

// row is one way to see a cause. A minute is bad when the figure is at least floor,
// and at least factor times that quantile of its past; need bad minutes of the last
// of make the symptom.
type row struct {
	kind   finding.Kind
	order  int
	target string
	// what is the figure, for people, in unit.
	what, unit string
	read       func(w *window.Window) []reading
	// falls turns it round: bad is at most factor times the quantile, where that is at
	// least floor. fresh wants the quantile to be 0.
	falls, fresh     bool
	floor            float64
	factor, quantile float64
	need, of         int
	// minPast is how many minutes there must be to compare with.
	minPast int
	// loaded tells that the figure grows with the load.
	loaded bool
	// settle is how long after a start of the target or of a cache it is not looked at.
	settle time.Duration
	// fact tells that a bad minute is no matter of chance.
	fact bool
	text func(before, after float64, compared bool) string
}

// rows is the table.
func rows() []row {
	list := []row{
		{
			kind: finding.PoolExhausted, target: "api", what: "requests that wait for a connection of the pool", unit: "count",
			read: poolWaiters, loaded: true, floor: 0.5, factor: 3, quantile: 0.9, need: 3, of: 4, fact: true,
			text: rose("%.3g requests wait for a connection of the API's pool, all of which are in use", "%.3g"),
		},
		{
			kind: finding.PoolExhausted, target: "api", what: "waits for a connection of the pool", unit: "per second",
			read: poolWaits, loaded: true, floor: 0.5, factor: 5, quantile: 0.9, need: 3, of: 4, minPast: 10, fact: true,
			text: rose("%.3g requests a second wait for a connection of the API's pool, which is nearly all in use", "%.3g"),
		},
		{
			// A lock that is held for 2 s in every 10 keeps a waiter in one poll of five.
			kind: finding.LockContention, target: "postgres", what: "sessions that wait for a lock", unit: "count",
			read: lockWaiters, loaded: true, floor: 0.2, factor: 3, quantile: 0.9, need: 3, of: 5, fact: true,
			text: rose("%.3g sessions of the database wait for a lock on average", "%.3g"),
		},
		{
			kind: finding.CacheIneffective, target: "", what: "hit ratio of the cache", unit: "ratio",
			// When users begin to work on other things, as each midnight, a cache has to
			// learn for some minutes.
			read: hitRatios, falls: true, floor: 0.05, factor: 2. / 3, quantile: 0.5, need: 10, of: 12, minPast: enough, settle: cold,
			text: fell("the cache's hit ratio fell to %.3g", "%.3g"),
		},
		{
			kind: finding.CacheIneffective, target: "", what: "hit ratio of the cache", unit: "ratio",
			read: hitRatios, falls: true, floor: 0.05, factor: 1. / 3, quantile: 0.5, need: 3, of: 4, minPast: enough, settle: cold,
			text: fell("the cache's hit ratio fell to %.3g", "%.3g"),
		},
		{
			// A cache that is switched off is not asked any more.
			kind: finding.CacheIneffective, target: "", what: "lookups in the cache a request", unit: "ratio",
			read: lookups, falls: true, floor: 0.02, factor: 0.05, quantile: 0.5, need: 3, of: 4, minPast: enough, settle: cold,
			text: fell("the cache is not asked any more: %.3g lookups a request", "%.3g"),
		},
		{
			// A cache that fills for the first time evicts from then on, and that is usual.
			kind: finding.Evictions, target: "redis", what: "evicted keys", unit: "count",
			read: evictions, fresh: true, floor: 10, quantile: 0.98, need: 2, of: 3, minPast: 60, fact: true,
			text: rose("Redis throws out %.3g keys a minute", "%.3g"),
		},
		gc(0.01, 3, enough),
		gc(0.05, 1.5, 0),
		// Go's pauses are those of all threads alone, some 0.1 ms each.
		gc(0.002, 10, 60),
	}
	for i := range list {
		list[i].order = i
	}
	return list
}

// cold is for how long a cache may be cold after a start.
const cold = 15 * time.Minute

// gc is about the share of time for which the target paused for its garbage
// collector.
func gc(floor, factor float64, minPast int) row {
	return row{
		kind: finding.GCPauses, target: "api", what: "share of time in pauses for garbage collection", unit: "ratio",
		read: perSecond("soakd_api_gc_pause_seconds_total"), loaded: true, floor: floor, factor: factor, quantile: 0.9, need: 3, of: 4,
		minPast: minPast, settle: 5 * time.Minute,
		text: rose("the API pauses for garbage collection for %.3g of the time", "%.3g"),
	}
}

func rose(now, before string) func(before, after float64, compared bool) string {
	return func(b, a float64, compared bool) string {
		text := fmt.Sprintf(now, a)
		if compared {
			text += ", " + fmt.Sprintf(before, b) + " before that,"
		}
		return text
	}
}

func fell(now, before string) func(before, after float64, compared bool) string {
	return rose(now, "from "+before)
}

// perSecond reads what a counter gained, a second.
func perSecond(name string) func(w *window.Window) []reading {
	return func(w *window.Window) []reading {
		var list []reading
		for _, s := range w.Named(name) {
			if s.N > 0 {
				list = append(list, reading{s.ID(), s.Increase / w.Length.Seconds()})
			}
		}
		return list
	}
}

const (
	apiRestarts     = "soakd_api_restarts_total"
	poolConnections = "soakd_api_pool_connections"
	waitSeconds     = "soakd_api_pool_wait_seconds_total"
	waitCount       = "soakd_api_pool_waits_total"
)

// pools returns the states of each pool by its other labels, in the order of the
// series.
func pools(w *window.Window) (keys []string, states map[string]map[string]*window.Signal) {
	states = map[string]map[string]*window.Signal{}
	series := w.Named(poolConnections)
	for i := range series {
		state, key := without(series[i].Labels, "state")
		if states[key] == nil {
			states[key] = map[string]*window.Signal{}
			keys = append(keys, key)
		}
		states[key][state] = &series[i]
	}
	return keys, states
}

// inUse is the share of a pool that is in use, on average and at most; 1 when it is
// not known how many there are.
func inUse(states map[string]*window.Signal) (mean, most float64) {
	used, all := states["in_use"], states["max"]
	if used == nil || all == nil || used.N == 0 || all.N == 0 || all.Last <= 0 {
		return 1, 1
	}
	return used.Mean() / all.Last, used.Max / all.Last
}

// full and nearly are the shares of a pool in use from which on it is used up and
// nearly used up: those in use are read at another moment than those that wait.
const full, nearly = 0.99, 0.8

// poolWaiters reads how many requests wait for a connection of a pool that is used
// up: as the pool says, or by Little's law the time waited a second. Without the
// second condition a database that answers no connects would look alike.
func poolWaiters(w *window.Window) []reading {
	keys, states := pools(w)
	var list []reading
	for _, key := range keys {
		one := reading{}
		if s := w.Signal(waitSeconds, key); s != nil && s.N > 0 {
			one = reading{s.ID(), s.Increase / w.Length.Seconds()}
		}
		if s := states[key]["waiting"]; s != nil && s.N > 0 {
			one = reading{s.ID(), max(one.value, s.Mean())}
		}
		if one.id == "" {
			continue
		}
		if _, most := inUse(states[key]); most < full {
			one.value = 0
		}
		list = append(list, one)
	}
	return list
}

// poolWaits reads how many requests a second had to wait for a connection while the
// pool was nearly used up.
func poolWaits(w *window.Window) []reading {
	keys, states := pools(w)
	var list []reading
	for _, key := range keys {
		s := w.Signal(waitCount, key)
		if s == nil || s.N == 0 {
			continue
		}
		waits := s.Increase / w.Length.Seconds()
		if mean, _ := inUse(states[key]); mean < nearly {
			waits = 0
		}
		list = append(list, reading{s.ID(), waits})
	}
	return list
}

// lockWaiters reads how many sessions wait for a lock. A wait of a second counts as
// much as the floor however few polls met it.
func lockWaiters(w *window.Window) []reading {
	var list []reading
	for _, s := range w.Named("soakd_postgres_blocked_backends") {
		if s.N == 0 {
			continue
		}
		waiters := s.Mean()
		if oldest := w.Signal("soakd_postgres_lock_wait_oldest_seconds", s.Labels); oldest != nil && oldest.N > 0 && oldest.Max >= 1 {
			waiters = max(waiters, 0.2)
		}
		list = append(list, reading{s.ID(), waiters})
	}
	return list
}

func evictions(w *window.Window) []reading {
	list := perSecond("soakd_redis_evicted_keys_total")(w)
	for i := range list {
		list[i].value *= w.Length.Seconds() * float64(window.Minute) / float64(w.Length)
	}
	return list
}

// cacheCounters are the pairs of counters of lookups: the target's own ones say
// most, those of Redis are of all who use it.
func cacheCounters() [2][2]string {
	return [2][2]string{
		{"soakd_api_cache_hits_total", "soakd_api_cache_misses_total"},
		{"soakd_redis_keyspace_hits_total", "soakd_redis_keyspace_misses_total"},
	}
}

// lookedUp calls with the hits and misses of each series of lookups in the window.
func lookedUp(w *window.Window, with func(id string, hits, misses float64)) {
	for _, names := range cacheCounters() {
		for _, hits := range w.Named(names[0]) {
			misses := w.Signal(names[1], hits.Labels)
			if misses != nil && hits.N > 0 && misses.N > 0 {
				with(hits.ID(), hits.Increase, misses.Increase)
			}
		}
	}
}

// enoughLookups is how many lookups in a minute make a ratio: with 30 at a ratio of
// one half its standard error is 0.09, and several minutes must agree.
const enoughLookups = 30

func hitRatios(w *window.Window) (list []reading) {
	lookedUp(w, func(id string, hits, misses float64) {
		if hits+misses >= enoughLookups {
			list = append(list, reading{id, hits / (hits + misses)})
		}
	})
	return list
}

// lookups reads the lookups for each right answer, where there are enough of these:
// a target that answers nothing looks nothing up. The counts of a window are of its
// fit parts alone, the lookups of all of it.
func lookups(w *window.Window) (list []reading) {
	const enoughAnswers = 120
	answers := int64(0)
	for i := range w.Cases {
		if !w.Cases[i].Invalid {
			answers += window.Of(w.Cases[i].Outcomes, window.OK)
		}
	}
	if answers < enoughAnswers || w.Fit < w.Covered {
		return nil
	}
	lookedUp(w, func(id string, hits, misses float64) {
		list = append(list, reading{id, (hits + misses) / float64(answers)})
	})
	return list
}

// without takes one label out of labels as Prometheus writes them, and returns its
// value, "" when it is not there.
func without(labels, name string) (value, rest string) {
	var kept []string
	for labels != "" {
		pair := labels[:pairEnd(labels)]
		labels = strings.TrimPrefix(labels[len(pair):], ",")
		if key, quoted, _ := strings.Cut(pair, "="); key == name {
			value = strings.Trim(quoted, `"`)
			continue
		}
		kept = append(kept, pair)
	}
	return value, strings.Join(kept, ",")
}

// pairEnd is where the first label ends: a comma in a value is none.
func pairEnd(labels string) int {
	quoted := false
	for i := 0; i < len(labels); i++ {
		switch {
		case quoted && labels[i] == '\\':
			i++
		case labels[i] == '"':
			quoted = !quoted
		case labels[i] == ',' && !quoted:
			return i
		}
	}
	return len(labels)
}
