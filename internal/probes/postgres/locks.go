package postgres

import (
	"context"
	"maps"
	"slices"

	"soakd/internal/probes"
)

// maxWaiters is up to how many waiting sessions are asked who blocks them:
// pg_blocking_pids() locks the lock table for each of them, and a storm of
// locks must not get worse by being watched.
const maxWaiters = 50

// locks reads pg_locks.
type locks struct {
	applications applications

	blocked, oldest, waiting, held, pairs, blocking, roots, depth *probes.Desc
}

func newLocks(d *probes.Descs, named applications) *locks {
	const many = "; absent with more than 50 that wait"
	return &locks{
		applications: named,
		blocked:      d.Gauge("soakd_postgres_blocked_backends", "Sessions that wait for a lock."),
		oldest:       d.Gauge("soakd_postgres_lock_wait_oldest_seconds", "How long the oldest wait for a lock has lasted; absent when nobody waits and before Postgres 14."),
		waiting:      d.Gauge("soakd_postgres_waiting_locks", "Locks that are waited for, by the mode that is wanted.", "mode"),
		held:         d.Gauge("soakd_postgres_held_locks", "Locks that are held, by mode, in all databases of the server.", "mode"),
		pairs:        d.Gauge("soakd_postgres_blocking_pairs", "Pairs of a session that waits for a lock and one that blocks it"+many+"."),
		blocking:     d.Gauge("soakd_postgres_blocking", "These pairs by who waits and who blocks (values of application_name as in soakd_postgres_backends; prepared: a prepared transaction) and by the blocker's state: active, idle_in_transaction... Only those there are"+many+".", "blocked_application", "blocker_application", "blocker_state"),
		roots:        d.Gauge("soakd_postgres_root_blockers", "Sessions and prepared transactions that block others and wait for nobody themselves: where a chain begins"+many+"."),
		depth:        d.Gauge("soakd_postgres_blocking_chain_depth", "Sessions in the longest chain of those that wait for one another, without the one at its beginning; those that stand in one queue for a lock wait for all before them. 0 when nobody waits"+many+"."),
	}
}

func (*locks) name() string { return "locks" }

// waitstart is new in 14, and NULL for a moment after the wait has begun. The row
// without a mode is the sum.
func locksQuery(by *catalogue) string {
	oldest := "NULL::float8"
	if by.has("pg_locks", "waitstart") {
		oldest = "extract(epoch FROM clock_timestamp() - min(waitstart) FILTER (WHERE NOT granted))::float8"
	}
	return "SELECT coalesce(mode, ''), (count(DISTINCT pid) FILTER (WHERE NOT granted))::float8, (count(*) FILTER (WHERE NOT granted))::float8, " +
		"(count(*) FILTER (WHERE granted))::float8, " + oldest + " FROM pg_locks GROUP BY ROLLUP (mode)"
}

// A prepared transaction that blocks has the pid 0. The number of those that wait
// may have risen since it was asked for; then only so many of them are asked.
const blockersQuery = `
WITH waiter AS MATERIALIZED (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted LIMIT $1)
SELECT DISTINCT waiter.pid, blocker, coalesce(b.application_name, ''), coalesce(a.application_name, ''), coalesce(a.state, '')
FROM waiter
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiter.pid)) AS blocker
LEFT JOIN pg_stat_activity AS b ON b.pid = waiter.pid LEFT JOIN pg_stat_activity AS a ON a.pid = blocker`

// lockModes maps the modes of pg_locks to label values.
func lockModes() map[string]string {
	return map[string]string{
		"AccessShareLock": "access_share", "RowShareLock": "row_share", "RowExclusiveLock": "row_exclusive",
		"ShareUpdateExclusiveLock": "share_update_exclusive", "ShareLock": "share", "ShareRowExclusiveLock": "share_row_exclusive",
		"ExclusiveLock": "exclusive", "AccessExclusiveLock": "access_exclusive",
	}
}

func (l *locks) read(ctx context.Context, s *session, reading *probes.Reading) error {
	var mode string
	var sessions, wanted, granted, waiters float64
	var age, oldest *float64
	waiting, held := map[string]float64{}, map[string]float64{}
	err := s.rows(ctx, locksQuery(s.catalogue), nil, []any{&mode, &sessions, &wanted, &granted, &age}, func() error {
		if mode == "" {
			waiters, oldest = sessions, age
			return nil
		}
		label, ok := lockModes()[mode]
		if !ok {
			label = other
		}
		waiting[label] += wanted
		held[label] += granted
		return nil
	})
	if err != nil {
		return err
	}
	reading.Add(l.blocked, waiters)
	addIf(reading, l.oldest, oldest)
	for _, label := range append(sortedValues(lockModes()), other) {
		reading.Add(l.waiting, waiting[label], label)
		reading.Add(l.held, held[label], label)
	}
	switch {
	case waiters > maxWaiters:
		return nil
	case waiters == 0:
		l.addChains(reading, nil)
		return nil
	}
	return l.readBlockers(ctx, s, reading)
}

// edge says that a session is blocked by another.
type edge struct {
	blocked, blocker                       int
	blockedName, blockerName, blockerState string
}

func (l *locks) readBlockers(ctx context.Context, s *session, reading *probes.Reading) error {
	var edges []edge
	var e edge
	err := s.rows(ctx, blockersQuery, []any{maxWaiters}, []any{&e.blocked, &e.blocker, &e.blockedName, &e.blockerName, &e.blockerState}, func() error {
		edges = append(edges, e)
		return nil
	})
	if err != nil {
		return err
	}
	l.addChains(reading, edges)
	return nil
}

// addChains tells who blocks whom.
func (l *locks) addChains(reading *probes.Reading, edges []edge) {
	counts := map[[3]string]float64{}
	for _, e := range edges {
		counts[[3]string{l.applications.label(e.blockedName), l.blocker(e), blockerState(e)}]++
	}
	for labels, n := range counts {
		reading.Add(l.blocking, n, labels[:]...)
	}
	roots, depth := chains(edges)
	reading.Add(l.pairs, float64(len(edges)))
	reading.Add(l.roots, float64(roots))
	reading.Add(l.depth, float64(depth))
}

// prepared is the label of a prepared transaction, which has no session.
const prepared = "prepared"

func (l *locks) blocker(e edge) string {
	if e.blocker == 0 {
		return prepared
	}
	return l.applications.label(e.blockerName)
}

func blockerState(e edge) string {
	if e.blocker == 0 {
		return prepared
	}
	return stateLabel(e.blockerState)
}

// chains returns how many block others without waiting themselves, and how many
// waiters the longest chain has. Sessions that wait in a circle, for the moment
// until the server finds the deadlock, count as a chain of all that are met
// before the first comes again.
func chains(edges []edge) (roots, depth int) {
	blockers := map[int][]int{}
	for _, e := range edges {
		blockers[e.blocked] = append(blockers[e.blocked], e.blocker)
	}
	found := map[int]bool{}
	for _, e := range edges {
		if len(blockers[e.blocker]) == 0 && !found[e.blocker] {
			found[e.blocker] = true
			roots++
		}
	}
	known := map[int]int{}
	// In order, so that a circle always gives the same depth.
	for _, blocked := range slices.Sorted(maps.Keys(blockers)) {
		depth = max(depth, depthOf(blocked, blockers, known, nil))
	}
	return roots, depth
}

// depthOf is how many waiters there are from one to the end of its longest
// chain; way are those that were met before it.
func depthOf(waiter int, blockers map[int][]int, known map[int]int, way []int) int {
	if len(blockers[waiter]) == 0 || slices.Contains(way, waiter) {
		return 0
	}
	if depth, ok := known[waiter]; ok {
		return depth
	}
	longest := 0
	way = append(slices.Clone(way), waiter)
	for _, blocker := range blockers[waiter] {
		longest = max(longest, depthOf(blocker, blockers, known, way))
	}
	known[waiter] = longest + 1
	return longest + 1
}
