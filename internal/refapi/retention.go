package refapi

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// trimInterval is the time between two trims: at 300 forecasts a second the
	// tables swing by 9 000 rows around what is kept.
	trimInterval = 30 * time.Second
	// trimBatch is the most rows that one statement deletes, so that none holds
	// its locks for long; trimBatches bounds a pass.
	trimBatch, trimBatches = 2000, 50
)

// trims are the statements that delete up to $2 rows of users who have more
// than $1, oldest first. The users are found by a loose index scan: one probe
// of the index a user, however many rows they have.
// https://wiki.postgresql.org/wiki/Loose_indexscan
func trims() map[string]int {
	statement := func(table string) string {
		return `WITH RECURSIVE users AS (
			(SELECT user_id FROM ` + table + ` ORDER BY user_id LIMIT 1)
			UNION ALL
			SELECT (SELECT t.user_id FROM ` + table + ` t WHERE t.user_id > users.user_id ORDER BY t.user_id LIMIT 1)
			FROM users WHERE users.user_id IS NOT NULL
		), excess AS (
			SELECT old.id FROM users CROSS JOIN LATERAL (
				SELECT t.id FROM ` + table + ` t WHERE t.user_id = users.user_id
				ORDER BY t.created_at DESC, t.id DESC OFFSET $1) old
			LIMIT $2
		) DELETE FROM ` + table + ` WHERE id IN (SELECT id FROM excess)`
	}
	return map[string]int{
		statement("public.cashflow_scenarios"): keptScenarios,
		statement("public.cashflow_history"):   keptHistory,
	}
}

// trim deletes what users have beyond what is kept, and returns how many rows
// that were. Rows beyond the bound of a pass are left to the next one.
func (s *store) trim(ctx context.Context) (int64, error) {
	total := int64(0)
	for statement, kept := range trims() {
		for range trimBatches {
			deleted, err := s.trimBatch(ctx, statement, kept)
			total += deleted
			if err != nil {
				return total, wrap(err, "trim old rows")
			}
			if deleted < trimBatch {
				break
			}
		}
	}
	return total, nil
}

func (s *store) trimBatch(ctx context.Context, statement string, kept int) (deleted int64, err error) {
	err = s.with(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, statement, kept, trimBatch)
		deleted = tag.RowsAffected()
		return err
	})
	return deleted, err
}

// retain trims at every interval until ctx ends.
func (a *API) retain(ctx context.Context) {
	ticker := time.NewTicker(trimInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		deleted, err := a.store.trim(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.logger.Warn("old rows could not be deleted", "error", err)
		case deleted > 0:
			a.logger.Debug("old rows deleted", "rows", deleted)
		}
	}
}
