package history

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxLine bounds a line of an export, in bytes: more than the largest profile.
const maxLine = 64 << 20

// ImportOptions say what is looked at.
type ImportOptions struct {
	// CheckWindow says what is wrong with a window's data, which this package cannot
	// read, and CheckBaseline the same of a profile; nil takes all.
	CheckWindow   func(Window) error
	CheckBaseline func(Baseline) error
}

// Imported says what [Store.Import] read. What was there already is counted too.
type Imported struct {
	Runs, Windows, Findings, Events, Baselines, States int
}

// Import reads what [Store.Export] wrote, in one transaction: all of it, or nothing
// when there is a mistake, whose line the error names. Of what is there already the
// newer stays, so that to import the same again changes nothing. Batches wait
// meanwhile.
func (s *Store) Import(ctx context.Context, r io.Reader, options ImportOptions) (Imported, error) {
	i := &importer{store: s, options: options, runs: map[string]importedRun{}}
	err := s.transact(ctx, "import", func(t *transaction) error {
		i.t = t
		return i.all(r)
	})
	if err != nil {
		return Imported{}, err
	}
	return i.count, nil
}

type importer struct {
	store   *Store
	t       *transaction
	options ImportOptions
	// runs are those that were read.
	runs  map[string]importedRun
	lines int
	ended bool
	count Imported
}

// importedRun is where what belongs to a run goes, and whether it is newer than
// what is there.
type importedRun struct {
	number, series int64
	newer          conflict
}

func (i *importer) all(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	for lines.Scan() {
		if err := i.line(lines.Bytes()); err != nil {
			return fmt.Errorf("line %d: %w", i.lines+1, err)
		}
		i.lines++
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d: longer than %d bytes: this is no export of soakd", i.lines+1, maxLine)
	case err != nil:
		return fmt.Errorf("after line %d: %w", i.lines, err)
	case !i.ended:
		return fmt.Errorf("after line %d: the end is missing: the file is not whole", i.lines)
	}
	return nil
}

func (i *importer) line(text []byte) error {
	var l line
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return fmt.Errorf("this is no line of an export: %w", err)
	}
	if decoder.More() {
		return errors.New("more than one object on a line")
	}
	parts := 0
	for _, given := range []bool{l.Header != nil, l.Run != nil, l.Window != nil, l.Finding != nil, l.Event != nil, l.Baseline != nil, l.State != nil, l.End != nil} {
		if given {
			parts++
		}
	}
	switch {
	case parts != 1:
		return fmt.Errorf("it holds %d things and must hold one", parts)
	case i.ended:
		return errors.New("there is more after the end")
	case (i.lines == 0) != (l.Header != nil):
		return errors.New(`an export starts with {"soakd_history":{"version":1,...}}, once`)
	}
	return i.part(&l)
}

func (i *importer) part(l *line) error {
	switch {
	case l.Header != nil:
		if l.Header.Version != exportVersion {
			return fmt.Errorf("the export is of version %d, and this soakd reads version %d", l.Header.Version, exportVersion)
		}
		return nil
	case l.Run != nil:
		return i.run(l.Run)
	case l.Window != nil:
		return i.window(l.Window)
	case l.Finding != nil:
		run, err := i.known(l.Finding.Run)
		i.count.Findings++
		return then(err, l.Finding.check, func() error { return i.t.findings(run.number, []Finding{l.Finding.Finding}, run.newer) })
	case l.Event != nil:
		run, err := i.known(l.Event.Run)
		i.count.Events++
		return then(err, l.Event.check, func() error { return i.t.events(run.number, []Event{l.Event.Event}, run.newer) })
	case l.Baseline != nil:
		return i.baseline(l.Baseline)
	case l.State != nil:
		return i.state(l.State)
	}
	i.ended = true
	if l.End.Lines != i.lines {
		return fmt.Errorf("there should be %d lines before it: the file is not whole", l.End.Lines)
	}
	return nil
}

func (i *importer) known(id string) (importedRun, error) {
	run, found := i.runs[id]
	if !found {
		return run, fmt.Errorf("run %q has not come before", id)
	}
	return run, nil
}

func (i *importer) run(run *Run) error {
	if err := run.check(); err != nil {
		return err
	}
	if _, found := i.runs[run.ID]; found {
		return fmt.Errorf("run %q comes twice", run.ID)
	}
	i.count.Runs++
	number, series, err := i.t.known(run.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		if number, err = i.t.insertRun(*run); err != nil {
			return err
		}
		_, series, err = i.t.known(run.ID)
		i.runs[run.ID] = importedRun{number, series, replace}
		return err
	case err != nil:
		return err
	}
	var seen, ended sql.NullInt64
	if err := i.t.row("SELECT seen, ended FROM runs WHERE number = ?", number).Scan(&seen, &ended); err != nil {
		return err
	}
	newer := conflict(run.Seen.After(moment(seen)) || (!ended.Valid && !run.Ended.IsZero()))
	i.runs[run.ID] = importedRun{number, series, newer}
	if newer == keep {
		return nil
	}
	return then(i.t.touch(number, run.Seen, run.Verdict, run.Summary), func() error { return i.t.versions(number, run.Versions) }, func() error {
		_, err := i.t.exec("UPDATE runs SET ended = ? WHERE number = ?", nanos(run.Ended), number)
		return err
	})
}

func (i *importer) window(w *windowLine) error {
	run, err := i.known(w.Run)
	w.Level = time.Duration(w.Seconds) * time.Second
	i.count.Windows++
	return then(err, w.check, func() error {
		if i.options.CheckWindow == nil {
			return nil
		}
		return i.options.CheckWindow(w.Window)
	}, func() error {
		return i.t.windows(run.number, run.series, i.store.packWindows([]Window{w.Window}), run.newer)
	})
}

func (i *importer) baseline(b *Baseline) error {
	i.count.Baselines++
	return then(b.check(), func() error {
		if i.options.CheckBaseline == nil {
			return nil
		}
		return i.options.CheckBaseline(*b)
	}, func() error {
		packed := *b
		packed.Profile = i.store.pack(b.Profile)
		return i.t.baselines(" WHERE excluded.created > baselines.created", packed)
	})
}

func (i *importer) state(state *stateLine) error {
	i.count.States++
	if state.Target == "" || state.Instance == "" {
		return errors.New("state needs a target and an instance")
	}
	return then(state.check(), func() error {
		series, err := i.t.series(state.Series)
		return then(err, func() error { return i.t.states(series, i.store.packStates([]State{state.State})) })
	})
}
