package history

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// exportVersion is that of the form of an export.
const exportVersion = 1

// line is one line of an export: exactly one of its parts. A run comes before what
// belongs to it.
type line struct {
	// Header is the first line, End the last.
	Header   *exportHeader `json:"soakd_history,omitempty"`
	Run      *Run          `json:"run,omitempty"`
	Window   *windowLine   `json:"window,omitempty"`
	Finding  *findingLine  `json:"finding,omitempty"`
	Event    *eventLine    `json:"event,omitempty"`
	Baseline *Baseline     `json:"baseline,omitempty"`
	State    *stateLine    `json:"state,omitempty"`
	End      *exportEnd    `json:"end,omitempty"`
}

type exportHeader struct {
	Version  int       `json:"version"`
	Exported time.Time `json:"exported"`
}

// exportEnd shows that nothing is missing.
type exportEnd struct {
	// Lines is how many lines there were before it.
	Lines int `json:"lines"`
}

type windowLine struct {
	Window
	// Seconds is the length.
	Seconds int64 `json:"seconds"`
}

type findingLine struct {
	Run string `json:"run"`
	Finding
}

type eventLine struct {
	Run string `json:"run"`
	Event
}

type stateLine struct {
	Series
	State
}

// ExportOptions choose what is exported.
type ExportOptions struct {
	// Runs are ids; all runs, baselines and state when there are none.
	Runs []string
	// At is the time of the export.
	At time.Time
}

// Export writes runs with all that belongs to them as JSON, one object a line, from
// one moment of the history: what is stored meanwhile is not part of it.
func (s *Store) Export(ctx context.Context, w io.Writer, options ExportOptions) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{Isolation: s.snapshot(), ReadOnly: true})
	if err != nil {
		return s.wrap("export", err)
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	buffered := bufio.NewWriterSize(w, 1<<16)
	e := &exporter{store: s, ctx: ctx, tx: tx, to: json.NewEncoder(buffered)}
	e.write(line{Header: &exportHeader{Version: exportVersion, Exported: options.At.UTC()}})
	if err := e.all(options.Runs); err != nil {
		return s.wrap("export", err)
	}
	e.write(line{End: &exportEnd{Lines: e.lines}})
	return s.wrap("export", errors.Join(e.err, buffered.Flush()))
}

// exporter writes lines until the first mistake.
type exporter struct {
	store *Store
	ctx   context.Context // lives as long as the one call
	tx    *sql.Tx
	to    *json.Encoder
	lines int
	err   error
}

func (e *exporter) write(l line) bool {
	if e.err == nil {
		e.err = e.to.Encode(l)
		e.lines++
	}
	return e.err == nil
}

func (e *exporter) all(ids []string) error {
	runs, err := e.store.selectRuns(e.ctx, e.tx, selectRuns+" ORDER BY r.started, r.number")
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	for i := range runs {
		if len(ids) > 0 && !wanted[runs[i].ID] {
			continue
		}
		delete(wanted, runs[i].ID)
		if err := e.run(&runs[i]); err != nil {
			return err
		}
	}
	for id := range wanted {
		return fmt.Errorf("run %q: %w", id, ErrNotFound)
	}
	if len(ids) > 0 {
		return e.err
	}
	return e.rest()
}

// run writes a run with its windows, findings and events.
func (e *exporter) run(run *Run) error {
	e.write(line{Run: run})
	levels, err := e.levels(run.ID)
	if err != nil {
		return err
	}
	for _, seconds := range levels {
		err := e.store.windows(e.ctx, e.tx, WindowQuery{Run: run.ID, Level: time.Duration(seconds) * time.Second}, func(w Window) bool {
			return e.write(line{Window: &windowLine{Window: w, Seconds: seconds}})
		})
		if err := errors.Join(err, e.err); err != nil {
			return err
		}
	}
	err = e.store.findings(e.ctx, e.tx, Query{Run: run.ID}, func(f Finding) { e.write(line{Finding: &findingLine{run.ID, f}}) })
	if err == nil {
		err = e.store.events(e.ctx, e.tx, Query{Run: run.ID}, func(one Event) { e.write(line{Event: &eventLine{run.ID, one}}) })
	}
	return errors.Join(err, e.err)
}

func (e *exporter) levels(run string) ([]int64, error) {
	var levels []int64
	err := e.store.rows(e.ctx, e.tx, func(rows *sql.Rows) (bool, error) {
		var seconds int64
		err := rows.Scan(&seconds)
		levels = append(levels, seconds)
		return true, err
	}, "SELECT DISTINCT level FROM windows WHERE run = (SELECT number FROM runs WHERE id = ?) ORDER BY level", run)
	return levels, err
}

// rest writes what belongs to no run.
func (e *exporter) rest() error {
	err := e.store.baselines(e.ctx, e.tx, func(b Baseline) { e.write(line{Baseline: &b}) }, "")
	if err != nil {
		return err
	}
	return e.store.rows(e.ctx, e.tx, func(rows *sql.Rows) (bool, error) {
		var (
			state   stateLine
			updated sql.NullInt64
			packed  []byte
		)
		err := rows.Scan(&state.Target, &state.Instance, &state.Key, &updated, &packed)
		if err != nil {
			return false, err
		}
		state.Updated = moment(updated)
		if state.Data, err = e.store.unpack(packed); err != nil {
			return false, err
		}
		return e.write(line{State: &state}), e.err
	}, "SELECT s.target, s.instance, x.key, x.updated, x.data FROM state x JOIN series s ON s.id = x.series ORDER BY s.target, s.instance, x.key")
}
