package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"
)

// WindowQuery chooses windows of one level: of a series, or of a run.
type WindowQuery struct {
	// Series or Run (its id) is required.
	Series Series
	Run    string
	Level  time.Duration
	// From is where they start at the earliest, To after the latest; zero is open.
	From, To time.Time
}

// Windows returns windows in order of their start, as they come from the database:
// they need no more memory than one of them. After an error there are no more.
func (s *Store) Windows(ctx context.Context, query WindowQuery) iter.Seq2[Window, error] {
	return func(yield func(Window, error) bool) {
		goesOn := true
		err := s.windows(ctx, s.read, query, func(w Window) bool {
			goesOn = yield(w, nil)
			return goesOn
		})
		if err != nil && goesOn {
			yield(Window{}, s.wrap("read windows", err))
		}
	}
}

func (s *Store) windows(ctx context.Context, from querier, query WindowQuery, one func(Window) bool) error {
	where := conditions{}
	where.add(query.Run != "", "r.id = ?", query.Run)
	where.add(query.Run == "", "w.series = (SELECT id FROM series WHERE target = ? AND instance = ?)", clean(query.Series.Target), clean(query.Series.Instance))
	where.add(true, "w.level = ?", int64(query.Level/time.Second))
	where.add(!query.From.IsZero(), "w.start >= ?", nanos(query.From))
	where.add(!query.To.IsZero(), "w.start < ?", nanos(query.To))
	return s.rows(ctx, from, func(rows *sql.Rows) (bool, error) {
		w := Window{Level: query.Level}
		var (
			start  sql.NullInt64
			packed sql.RawBytes
		)
		err := rows.Scan(&w.Run, &start, &w.Version, &packed)
		if err != nil {
			return false, err
		}
		w.Start = moment(start)
		if w.Data, err = s.unpack(packed); err != nil {
			return false, fmt.Errorf("window of %v: %w", w.Start, err)
		}
		return one(w), nil
	}, "SELECT r.id, w.start, w.version, w.data FROM windows w JOIN runs r ON r.number = w.run"+where.text()+" ORDER BY w.start, w.run", where.args...)
}

// Query chooses findings or events.
type Query struct {
	// Run is a run's id, Series all runs of a series; one is required.
	Run    string
	Series Series
	// From and To bound when findings were found and events happened; zero is open.
	From, To time.Time
	// Limit is how many of the newest at most, 0 for all.
	Limit int
}

// text returns what follows the columns. time is the column of the time.
func (q *Query) text(time string) (query string, args []any) {
	where := conditions{}
	where.add(q.Run != "", "r.id = ?", q.Run)
	where.add(q.Run == "", "r.series = (SELECT id FROM series WHERE target = ? AND instance = ?)", clean(q.Series.Target), clean(q.Series.Instance))
	where.add(!q.From.IsZero(), time+" >= ?", nanos(q.From))
	where.add(!q.To.IsZero(), time+" < ?", nanos(q.To))
	query = where.text() + " ORDER BY " + time + " DESC, x.id DESC"
	if q.Limit > 0 {
		query += fmt.Sprintf(" LIMIT %d", q.Limit)
	}
	return query, where.args
}

// Findings returns what was found, the newest first.
func (s *Store) Findings(ctx context.Context, query Query) ([]Finding, error) {
	var found []Finding
	err := s.findings(ctx, s.read, query, func(f Finding) { found = append(found, f) })
	return found, s.wrap("read findings", err)
}

func (s *Store) findings(ctx context.Context, from querier, query Query, one func(Finding)) error {
	rest, args := query.text("x.found")
	return s.rows(ctx, from, func(rows *sql.Rows) (bool, error) {
		var (
			f                   Finding
			onset, found, ended sql.NullInt64
			stored              sql.NullString
		)
		err := rows.Scan(&f.ID, &f.Kind, &f.Subject, &onset, &found, &ended, &stored)
		f.Onset, f.Found, f.Ended, f.Document = moment(onset), moment(found), moment(ended), document(stored)
		one(f)
		return true, err
	}, "SELECT x.id, x.kind, x.subject, x.onset, x.found, x.ended, x.document FROM findings x JOIN runs r ON r.number = x.run"+rest, args...)
}

// Events returns what happened, the newest first.
func (s *Store) Events(ctx context.Context, query Query) ([]Event, error) {
	var events []Event
	err := s.events(ctx, s.read, query, func(e Event) { events = append(events, e) })
	return events, s.wrap("read events", err)
}

func (s *Store) events(ctx context.Context, from querier, query Query, one func(Event)) error {
	rest, args := query.text("x.at")
	return s.rows(ctx, from, func(rows *sql.Rows) (bool, error) {
		var (
			e      Event
			at     sql.NullInt64
			stored sql.NullString
		)
		err := rows.Scan(&e.ID, &at, &e.Kind, &e.Text, &stored)
		e.At, e.Document = moment(at), document(stored)
		one(e)
		return true, err
	}, "SELECT x.id, x.at, x.kind, x.text, x.document FROM events x JOIN runs r ON r.number = x.run"+rest, args...)
}

// PutState stores values of a series; the newest of a key stays.
func (s *Store) PutState(ctx context.Context, series Series, states ...State) error {
	for _, state := range states {
		if err := state.check(); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	packed := s.packStates(states)
	return s.transact(ctx, "store state", func(t *transaction) error {
		number, err := t.series(series)
		if err != nil {
			return err
		}
		return t.states(number, packed)
	})
}

// State returns a value of a series, and [ErrNotFound] when there is none.
func (s *Store) State(ctx context.Context, series Series, key string) (State, error) {
	state := State{Key: key}
	var (
		updated sql.NullInt64
		packed  []byte
	)
	err := s.read.QueryRowContext(ctx, s.rebind("SELECT updated, data FROM state WHERE series = (SELECT id FROM series WHERE target = ? AND instance = ?) AND key = ?"),
		clean(series.Target), clean(series.Instance), clean(key)).Scan(&updated, &packed)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err == nil {
		state.Updated = moment(updated)
		state.Data, err = s.unpack(packed)
	}
	if err != nil {
		return State{}, s.wrap(fmt.Sprintf("read state %q", key), err)
	}
	return state, nil
}
