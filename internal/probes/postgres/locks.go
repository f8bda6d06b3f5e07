package postgres

import (
	"context"

	"soakd/internal/probes"
)

// maxWaiters is up to how many waiting sessions the pairs are counted:
// pg_blocking_pids() locks the lock table for each of them, and a storm of
// locks must not get worse by being watched.
const maxWaiters = 50

// locks reads pg_locks.
type locks struct {
	blocked, oldest, pairs *probes.Desc
}

func newLocks(d *probes.Descs) *locks {
	return &locks{
		blocked: d.Gauge("soakd_postgres_blocked_backends", "Sessions that wait for a lock."),
		oldest:  d.Gauge("soakd_postgres_lock_wait_oldest_seconds", "How long the oldest wait for a lock has lasted; absent when nobody waits and before Postgres 14."),
		pairs:   d.Gauge("soakd_postgres_blocking_pairs", "Pairs of a session that waits for a lock and one that blocks it; absent with more than 50 that wait."),
	}
}

func (l *locks) collector() collector { return collector{"locks", l.read} }

// waitstart is new in 14, and NULL for a moment after the wait has begun.
const (
	locksQuery = `
SELECT count(DISTINCT pid), extract(epoch FROM clock_timestamp() - min(waitstart))::float8
FROM pg_locks WHERE NOT granted`
	oldLocksQuery = `SELECT count(DISTINCT pid), NULL::float8 FROM pg_locks WHERE NOT granted`
	pairsQuery    = `
SELECT count(DISTINCT (waiter.pid, blocker))::float8
FROM (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted) AS waiter,
     unnest(pg_blocking_pids(waiter.pid)) AS blocker`
)

func (l *locks) read(ctx context.Context, s *session, reading *probes.Reading) error {
	query := locksQuery
	if s.version < 140000 {
		query = oldLocksQuery
	}
	var waiters int
	var oldest *float64
	if err := s.row(ctx, query, &waiters, &oldest); err != nil {
		return err
	}
	reading.Add(l.blocked, float64(waiters))
	addIf(reading, l.oldest, oldest)
	if waiters > maxWaiters {
		return nil
	}
	pairs := 0.0
	if waiters > 0 {
		if err := s.row(ctx, pairsQuery, &pairs); err != nil {
			return err
		}
	}
	reading.Add(l.pairs, pairs)
	return nil
}
