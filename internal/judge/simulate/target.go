package simulate

import (
	"fmt"
	"math"
	"time"

	"soakd/internal/judge/window"
)

// The limits of the target: bytes, open files, connections of Postgres and of the
// API's own pool.
const (
	MemoryLimit    = 512 * mib
	MaxFiles       = 1024
	MaxConnections = 97
	PoolSize       = 10
)

const (
	mib            = 1 << 20
	maxMemoryRedis = 256 * mib
)

// target is the API with its database and its cache, as far as it is remembered
// from one window to the next.
type target struct {
	started  time.Time
	restarts int
	version  int
	changed  time.Time // when the version changed
	// rssNoise is short, rssDrift wanders for hours; both in bytes.
	rssNoise, rssDrift *wander
	// recycled is when the workers were renewed last, recycle after how long.
	recycled time.Time
	recycle  time.Duration
	// poolSize is how many connections the pool has open.
	poolSize float64
	// files come and go, such as those of logs.
	files *wander
	// totals of the database and the cache that grow.
	historyRows, scenarioRows, deadHistory, deadScenarios float64
	analyzed                                              time.Time
	transactions                                          float64
	keys                                                  float64
	pageCache                                             float64
	// inFlight, dbBusy are means of the window.
	inFlight, dbBusy float64
}

func newTarget(r random, start time.Time) target {
	return target{
		started: start.Add(-time.Minute), version: 1, changed: start,
		rssNoise: newWander(r, 0.006*MemoryLimit, float64(10*time.Minute/window.Short)),
		rssDrift: newWander(r, 0.005*MemoryLimit, float64(6*time.Hour/window.Short)),
		recycled: start, recycle: 3 * time.Hour, poolSize: 4,
		files:    newWander(r, 1.5, float64(2*time.Minute/window.Short)),
		analyzed: start, historyRows: 50_000, scenarioRows: 4000, transactions: 1e6,
	}
}

// step moves the target on by one window.
func (t *target) step(w *World, m *moment) {
	r := w.own
	if m.restart {
		t.restart(m)
	}
	if m.at.Sub(t.recycled) > t.recycle {
		t.recycled = m.at
		t.recycle = time.Duration(r.between(2.5, 3.5) * float64(time.Hour))
	}
	t.rssNoise.next(r)
	t.rssDrift.next(r)
	t.files.next(r)
	seconds := window.Short.Seconds()
	slowness := m.slow[1] // of the forecast, which is most of the traffic
	t.inFlight = m.rate * 0.02 * slowness
	t.dbBusy = m.rate * 0.006 * slowness
	if t.dbBusy+1+float64(r.poisson(1)) > t.poolSize {
		t.poolSize = min(PoolSize, t.poolSize+1)
	} else if t.poolSize > 4 && r.Float64() < 1.0/180 { // idle ones are closed after half an hour
		t.poolSize--
	}
	t.historyRows += 0.45 * m.rate * seconds
	t.scenarioRows += 0.06 * m.rate * seconds
	t.transactions += 1.8 * m.rate * seconds
	t.deadScenarios += 0.06 * m.rate * seconds
	t.deadHistory += 0.02 * m.rate * seconds
	if t.deadScenarios > 50+0.2*t.scenarioRows { // autovacuum_vacuum_scale_factor
		t.deadScenarios, t.analyzed = 0, m.at
	}
	if t.deadHistory > 50+0.2*t.historyRows {
		t.deadHistory = 0
	}
	// Keys live for an hour.
	misses := 0.4 * m.rate * m.lookups * (1 - m.hitRatio) * seconds
	t.keys += misses - t.keys*seconds/3600
	t.pageCache = min(t.pageCache+0.02*mib*m.rate/usual*seconds/60, 90*mib)
	if weekly := m.at.Unix() % (7 * 86400); weekly < int64(seconds) {
		t.pageCache = 0 // the logs are rotated
	}
}

// restart replaces the process of the API.
func (t *target) restart(m *moment) {
	t.started = m.at
	t.recycled = m.at
	t.restarts++
	t.poolSize = 4
	if m.deploy {
		t.version++
		t.changed = m.at
	}
}

// versionAt is what the windows say of the version.
func (t *target) versionAt(m *moment) string {
	if t.version > 1 && m.at.Equal(t.changed) {
		return window.Mixed
	}
	return fmt.Sprintf("1.%d.0", t.version)
}

// rss is the resident memory in bytes: what a start brings, what grows less and
// less in the first hours, what the rate needs, the slow tooth of the workers, noise.
func (t *target) rss(m *moment) float64 {
	up := m.at.Sub(t.started).Hours()
	tooth := m.at.Sub(t.recycled).Hours()
	grown := 28*(1-math.Exp(-up/0.4)) + 6*(1-math.Exp(-tooth/1.0)) + 0.4*m.rate
	return 120*mib + grown*mib + t.rssNoise.x + t.rssDrift.x + m.extra.rss
}

// live is the heap that is in use after a collection.
func (t *target) live(m *moment) float64 {
	return 40*mib + 0.2*mib*m.rate + 0.3*t.rssDrift.x + m.extra.live
}
