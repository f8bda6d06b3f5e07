package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Window is what a stretch of time brought, in a form of the caller's.
type Window struct {
	// Run is the run's id; [Store.Append] takes that of the batch.
	Run string `json:"run"`
	// Level is its length, whole seconds; Start where it starts.
	Level time.Duration `json:"-"`
	Start time.Time     `json:"start"`
	// Version is that of the target, "" when it is not known.
	Version string `json:"version,omitempty"`
	Data    []byte `json:"data"`
}

// Finding is what the judgement found.
type Finding struct {
	// ID is unique in its run.
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Subject string `json:"subject,omitempty"`
	// Onset is when it began, Found when it was found, Ended zero while it lasts.
	Onset    time.Time       `json:"onset"`
	Found    time.Time       `json:"found"`
	Ended    time.Time       `json:"ended,omitzero"`
	Document json.RawMessage `json:"document,omitempty"`
}

// Event is what happened at a moment.
type Event struct {
	// ID is unique in its run.
	ID       string          `json:"id"`
	At       time.Time       `json:"at"`
	Kind     string          `json:"kind"`
	Text     string          `json:"text,omitempty"`
	Document json.RawMessage `json:"document,omitempty"`
}

// State is a value that is to outlive soakd.
type State struct {
	Key     string    `json:"key"`
	Updated time.Time `json:"updated"`
	Data    []byte    `json:"data"`
}

// Batch is what a run has to store at a time.
type Batch struct {
	// Run is the id of a run that has begun, At now. Both are required.
	Run string
	At  time.Time
	// Windows replace those of the same level and start, Findings and Events those
	// of the same id, States those of the same key of the run's series.
	Windows  []Window
	Findings []Finding
	Events   []Event
	States   []State
	// Versions are those of the target that were seen.
	Versions []Version
	// Verdict and Summary replace those of the run, unless they are empty.
	Verdict string
	Summary json.RawMessage
}

// check finds what must not be stored.
func (b *Batch) check() error {
	var errs []error
	if b.At.IsZero() {
		errs = append(errs, errors.New("a batch needs its time"))
	}
	for _, w := range b.Windows {
		errs = append(errs, w.check())
	}
	for _, f := range b.Findings {
		errs = append(errs, f.check())
	}
	for _, e := range b.Events {
		errs = append(errs, e.check())
	}
	for _, state := range b.States {
		errs = append(errs, state.check())
	}
	for _, v := range b.Versions {
		if v.Name == "" || v.Since.IsZero() {
			errs = append(errs, errors.New("a version of the target needs a name and since when"))
		}
	}
	return errors.Join(append(errs, checkJSON("summary", b.Summary))...)
}

func (w *Window) check() error {
	if w.Level < time.Second || w.Level%time.Second != 0 || w.Start.IsZero() || len(w.Data) == 0 {
		return fmt.Errorf("a window needs a length of whole seconds, a start and data: it has %v, %v and %d bytes", w.Level, w.Start, len(w.Data))
	}
	return nil
}

func (f *Finding) check() error {
	if f.ID == "" || f.Kind == "" || f.Onset.IsZero() || f.Found.IsZero() {
		return fmt.Errorf("finding %q needs an id, a kind, an onset and when it was found", f.ID)
	}
	return checkJSON("facts of finding "+f.ID, f.Document)
}

func (e *Event) check() error {
	if e.ID == "" || e.Kind == "" || e.At.IsZero() {
		return fmt.Errorf("event %q needs an id, a kind and a time", e.ID)
	}
	return checkJSON("facts of event "+e.ID, e.Document)
}

func (st *State) check() error {
	if st.Key == "" || st.Updated.IsZero() {
		return fmt.Errorf("state %q needs a key and a time", st.Key)
	}
	return nil
}

// Append stores a batch in one transaction: all of it, or nothing when it returns
// an error. The same batch may be appended again.
func (s *Store) Append(ctx context.Context, batch Batch) error {
	if err := batch.check(); err != nil {
		return fmt.Errorf("history: store a batch: %w", err)
	}
	// Packing takes longer than storing, so it is done before others have to wait.
	windows, states := s.packWindows(batch.Windows), s.packStates(batch.States)
	return s.transact(ctx, "store a batch", func(t *transaction) error {
		run, series, err := t.known(batch.Run)
		if err != nil {
			return err
		}
		return then(t.touch(run, batch.At, batch.Verdict, batch.Summary),
			func() error { return t.versions(run, batch.Versions) },
			func() error { return t.windows(run, series, windows, replace) },
			func() error { return t.findings(run, batch.Findings, replace) },
			func() error { return t.events(run, batch.Events, replace) },
			func() error { return t.states(series, states) })
	})
}

func (s *Store) packWindows(windows []Window) []Window {
	packed := make([]Window, len(windows))
	for i, w := range windows {
		w.Data = s.pack(w.Data)
		packed[i] = w
	}
	return packed
}

func (s *Store) packStates(states []State) []State {
	packed := make([]State, len(states))
	for i, state := range states {
		state.Data = s.pack(state.Data)
		packed[i] = state
	}
	return packed
}

// conflict says what becomes of what is stored already.
type conflict bool

const (
	keep    conflict = false
	replace conflict = true
)

// on returns the end of an INSERT.
func (c conflict) on(key, update string) string {
	if c == keep {
		return " ON CONFLICT (" + key + ") DO NOTHING"
	}
	return " ON CONFLICT (" + key + ") DO UPDATE SET " + update
}

// windows takes packed ones.
func (t *transaction) windows(run, series int64, windows []Window, c conflict) error {
	return each(t, "INSERT INTO windows (series, level, start, run, version, data) VALUES (?, ?, ?, ?, ?, ?)"+
		c.on("series, level, start, run", "version = excluded.version, data = excluded.data"),
		windows, func(w Window) []any {
			return []any{series, int64(w.Level / time.Second), nanos(w.Start), run, clean(w.Version), w.Data}
		})
}

func (t *transaction) findings(run int64, findings []Finding, c conflict) error {
	return each(t, "INSERT INTO findings (run, id, kind, subject, onset, found, ended, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"+
		c.on("run, id", "kind = excluded.kind, subject = excluded.subject, onset = excluded.onset, found = excluded.found, ended = excluded.ended, document = excluded.document"),
		findings, func(f Finding) []any {
			return []any{run, clean(f.ID), clean(f.Kind), clean(f.Subject), nanos(f.Onset), nanos(f.Found), nanos(f.Ended), text(f.Document)}
		})
}

func (t *transaction) events(run int64, events []Event, c conflict) error {
	return each(t, "INSERT INTO events (run, id, at, kind, text, document) VALUES (?, ?, ?, ?, ?, ?)"+
		c.on("run, id", "at = excluded.at, kind = excluded.kind, text = excluded.text, document = excluded.document"),
		events, func(e Event) []any {
			return []any{run, clean(e.ID), nanos(e.At), clean(e.Kind), clean(e.Text), text(e.Document)}
		})
}

// states takes packed ones. The newest stays.
func (t *transaction) states(series int64, states []State) error {
	return each(t, `INSERT INTO state (series, key, updated, data) VALUES (?, ?, ?, ?)
		ON CONFLICT (series, key) DO UPDATE SET updated = excluded.updated, data = excluded.data WHERE excluded.updated >= state.updated`,
		states, func(st State) []any { return []any{series, clean(st.Key), nanos(st.Updated), st.Data} })
}
