package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Baseline is what a target was like once, to compare with.
type Baseline struct {
	// Name is unique for a target and a workload.
	Target   string `json:"target"`
	Workload string `json:"workload"`
	Name     string `json:"name"`
	// Run is the id of the run that it is of, and Version the target's version.
	Run     string    `json:"run"`
	Version string    `json:"version,omitempty"`
	Created time.Time `json:"created"`
	// Pinned tells that a person wants it kept. Others go when runs of their age do.
	Pinned  bool   `json:"pinned,omitempty"`
	Profile []byte `json:"profile"`
}

func (b *Baseline) check() error {
	if b.Name == "" || b.Target == "" || b.Created.IsZero() || len(b.Profile) == 0 {
		return fmt.Errorf("baseline %q needs a name, a target, a time and a profile", b.Name)
	}
	return nil
}

// SetBaseline stores a baseline in the place of one of the same name.
func (s *Store) SetBaseline(ctx context.Context, b Baseline) error {
	if err := b.check(); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	b.Profile = s.pack(b.Profile)
	return s.transact(ctx, "store the baseline", func(t *transaction) error { return t.baselines("", b) })
}

// baselines takes packed ones. newer says which of two of the same name stays.
func (t *transaction) baselines(newer string, baselines ...Baseline) error {
	return each(t, `INSERT INTO baselines (target, workload, name, run, version, created, pinned, profile) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (target, workload, name) DO UPDATE SET run = excluded.run, version = excluded.version, created = excluded.created,
		pinned = excluded.pinned, profile = excluded.profile`+newer,
		baselines, func(b Baseline) []any {
			pinned := int64(0)
			if b.Pinned {
				pinned = 1
			}
			return []any{clean(b.Target), clean(b.Workload), clean(b.Name), clean(b.Run), clean(b.Version), nanos(b.Created), pinned, b.Profile}
		})
}

// Baseline returns one baseline with its profile, and [ErrNotFound] when there is
// none.
func (s *Store) Baseline(ctx context.Context, target, workload, name string) (Baseline, error) {
	var found []Baseline
	err := s.baselines(ctx, s.read, func(b Baseline) { found = append(found, b) }, " WHERE target = ? AND workload = ? AND name = ?",
		clean(target), clean(workload), clean(name))
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Baseline{}, s.wrap(fmt.Sprintf("read baseline %q of %s", name, target), err)
	}
	return found[0], nil
}

// Baselines returns all baselines of a target, those of all targets for "", the
// newest first, without their profiles.
func (s *Store) Baselines(ctx context.Context, target string) ([]Baseline, error) {
	var found []Baseline
	err := s.baselines(ctx, s.read, func(b Baseline) {
		b.Profile = nil
		found = append(found, b)
	}, " WHERE ? = '' OR target = ?", clean(target), clean(target))
	return found, s.wrap("read baselines", err)
}

// RemoveBaseline removes one baseline; [ErrNotFound] when there is none.
func (s *Store) RemoveBaseline(ctx context.Context, target, workload, name string) error {
	return s.transact(ctx, fmt.Sprintf("remove baseline %q of %s", name, target), func(t *transaction) error {
		removed, err := t.exec("DELETE FROM baselines WHERE target = ? AND workload = ? AND name = ?", clean(target), clean(workload), clean(name))
		if err == nil && removed == 0 {
			return ErrNotFound
		}
		return err
	})
}

func (s *Store) baselines(ctx context.Context, from querier, one func(Baseline), rest string, args ...any) error {
	return s.rows(ctx, from, func(rows *sql.Rows) (bool, error) {
		var (
			b       Baseline
			created sql.NullInt64
			pinned  int64
			packed  []byte
		)
		err := rows.Scan(&b.Target, &b.Workload, &b.Name, &b.Run, &b.Version, &created, &pinned, &packed)
		if err != nil {
			return false, err
		}
		b.Created, b.Pinned = moment(created), pinned != 0
		if b.Profile, err = s.unpack(packed); err != nil {
			return false, errors.Join(fmt.Errorf("baseline %q", b.Name), err)
		}
		one(b)
		return true, nil
	}, "SELECT target, workload, name, run, version, created, pinned, profile FROM baselines"+rest+" ORDER BY created DESC, name, target, workload", args...)
}
