package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	// pruneRows is how many windows of a series go in one transaction: a batch that
	// comes meanwhile waits some milliseconds only.
	pruneRows = 500
	// pruneRuns is how many runs go at once when the history is too large.
	pruneRuns = 10
	// pruneShare is the part of a level's windows that goes at once then: 1/10.
	pruneShare = 10
)

// Pruned says what [Store.Prune] removed.
type Pruned struct {
	Windows, Runs, Findings, Events, Baselines int64
}

// Prune removes what is older than the retention, and state of series without runs. When more than the bound is left,
// it removes the oldest windows of the length that takes most, then the oldest runs
// that ended, until it is not. It gives the disk back what is free. It works in
// small steps, so that batches can be stored meanwhile.
func (s *Store) Prune(ctx context.Context, now time.Time) (Pruned, error) {
	var removed Pruned
	err := errors.Join(s.pruneOld(ctx, now, &removed), s.pruneLarge(ctx, now, &removed))
	if err == nil {
		err = s.compact(ctx, s)
	}
	return removed, s.wrap("remove what is too old", err)
}

func (s *Store) pruneOld(ctx context.Context, now time.Time, removed *Pruned) error {
	levels, err := s.levels(ctx)
	if err != nil {
		return err
	}
	for _, level := range levels {
		n, err := s.removeWindows(ctx, level.length, now.Add(-s.cfg.Retention.of(level.length)))
		removed.Windows += n
		if err != nil {
			return err
		}
	}
	before, others := nanos(now.Add(-s.cfg.Retention.Runs)), int64(0)
	for _, one := range []struct {
		count *int64
		query string
	}{
		{&removed.Events, "DELETE FROM events WHERE at < ?"},
		{&removed.Findings, "DELETE FROM findings WHERE COALESCE(ended, found) < ?"},
		{&removed.Baselines, "DELETE FROM baselines WHERE pinned = 0 AND created < ?"},
		{&removed.Runs, "DELETE FROM runs WHERE seen < ?"},
		{&others, "DELETE FROM state WHERE updated < ? AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.series = state.series)"},
	} {
		err := s.transact(ctx, "remove", func(t *transaction) error {
			n, err := t.exec(one.query, before)
			*one.count += n
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.transact(ctx, "remove series", func(t *transaction) error {
		_, err := t.exec(`DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.series = series.id)
			AND NOT EXISTS (SELECT 1 FROM state st WHERE st.series = series.id)`)
		return err
	})
}

// level is what the windows of one length take.
type level struct {
	length       time.Duration
	count, bytes int64
}

// levels returns those that there are, the one that takes most first.
func (s *Store) levels(ctx context.Context) ([]level, error) {
	var levels []level
	err := s.rows(ctx, s.read, func(rows *sql.Rows) (bool, error) {
		var (
			l       level
			seconds int64
		)
		err := rows.Scan(&seconds, &l.count, &l.bytes)
		l.length = time.Duration(seconds) * time.Second
		levels = append(levels, l)
		return true, err
	}, "SELECT level, COUNT(*), SUM(octet_length(data)) AS bytes FROM windows GROUP BY level ORDER BY bytes DESC, level")
	return levels, err
}

// removeWindows removes those that start before a moment.
func (s *Store) removeWindows(ctx context.Context, length time.Duration, before time.Time) (int64, error) {
	var series []int64
	err := s.rows(ctx, s.read, func(rows *sql.Rows) (bool, error) {
		var id int64
		err := rows.Scan(&id)
		series = append(series, id)
		return true, err
	}, "SELECT id FROM series ORDER BY id")
	removed := int64(0)
	for _, id := range series {
		for more := err == nil; more; {
			err = s.transact(ctx, "remove windows", func(t *transaction) error {
				// Where the next step ends: pruneRows further, or at the end.
				end := before.UnixNano()
				err := t.row(fmt.Sprintf("SELECT start FROM windows WHERE series = ? AND level = ? AND start < ? ORDER BY start LIMIT 1 OFFSET %d", pruneRows),
					id, int64(length/time.Second), end).Scan(&end)
				more = err == nil
				if err != nil && !errors.Is(err, sql.ErrNoRows) {
					return err
				}
				n, err := t.exec("DELETE FROM windows WHERE series = ? AND level = ? AND start < ?", id, int64(length/time.Second), end)
				removed += n
				more = more && n > 0
				return err
			})
			more = more && err == nil
		}
	}
	return removed, err
}

// pruneLarge removes until the history is within its bound.
func (s *Store) pruneLarge(ctx context.Context, now time.Time, removed *Pruned) error {
	for s.cfg.MaxBytes > 0 {
		used, _, err := s.size(ctx, s)
		if err != nil || used <= s.cfg.MaxBytes {
			return err
		}
		levels, err := s.levels(ctx)
		if err != nil {
			return err
		}
		windows, runs := int64(0), int64(0)
		if len(levels) > 0 {
			windows, err = s.removeOldest(ctx, levels[0])
		} else {
			runs, err = s.removeOldRuns(ctx, now)
		}
		removed.Windows, removed.Runs = removed.Windows+windows, removed.Runs+runs
		if err != nil || windows+runs == 0 {
			return err // what is left is of runs that go on
		}
	}
	return nil
}

// removeOldest removes the oldest part of a level's windows.
func (s *Store) removeOldest(ctx context.Context, l level) (int64, error) {
	var last int64
	err := s.read.QueryRowContext(ctx, s.rebind(fmt.Sprintf("SELECT start FROM windows WHERE level = ? ORDER BY start LIMIT 1 OFFSET %d", max(l.count/pruneShare, 1)-1)),
		int64(l.length/time.Second)).Scan(&last)
	if err != nil {
		return 0, err
	}
	return s.removeWindows(ctx, l.length, time.Unix(0, last+1))
}

// removeOldRuns removes the oldest runs that are over, with all that belongs to them.
func (s *Store) removeOldRuns(ctx context.Context, now time.Time) (int64, error) {
	removed := int64(0)
	err := s.transact(ctx, "remove runs", func(t *transaction) error {
		var err error
		removed, err = t.exec(fmt.Sprintf("DELETE FROM runs WHERE number IN (SELECT number FROM runs WHERE ended IS NOT NULL OR seen < ? ORDER BY seen LIMIT %d)", pruneRuns),
			nanos(now.Add(-minRetention)))
		return err
	})
	return removed, err
}
