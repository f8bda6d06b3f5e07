package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Series is what the windows of several runs continue: one soakd at one target.
type Series struct {
	// Target is the URL of the API without credentials, Instance the soakd: shards
	// and soakds on other machines differ.
	Target   string `json:"target"`
	Instance string `json:"instance"`
}

// Run is one run of soakd.
type Run struct {
	// ID is a UUID of version 7 (RFC 9562), so that ids sort by time.
	ID string `json:"id"`
	Series
	Workload     string `json:"workload"`
	SoakdVersion string `json:"soakd_version"`
	// Settings are the run's as JSON, without secrets; nil for none.
	Settings json.RawMessage `json:"settings,omitempty"`
	// Started and Ended are its own; Ended is zero while it goes on, and when it ended
	// in no good order. Seen is when it was last heard of.
	Started time.Time `json:"started"`
	Seen    time.Time `json:"seen"`
	Ended   time.Time `json:"ended,omitzero"`
	// Versions are the target's, in order of their first appearance.
	Versions []Version `json:"versions,omitempty"`
	// Verdict is the result of the run so far ("pass", "fail", "unknown"), "" before
	// there is one; Summary says more, as JSON.
	Verdict string          `json:"verdict,omitempty"`
	Summary json.RawMessage `json:"summary,omitempty"`
}

// Version is a version of the target.
type Version struct {
	Name string `json:"name"`
	// Since is when it was first seen in the run.
	Since time.Time `json:"since"`
}

// Passed is the verdict that [Store.FindRun] takes for "last-passed".
const Passed = "pass"

// BeginRun stores a run that begins, and returns its id: that of the run, or a new
// one when it has none. The other required fields are the target, the instance and
// when it started.
func (s *Store) BeginRun(ctx context.Context, run Run) (string, error) {
	if run.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return "", fmt.Errorf("make an id for the run: %w", err)
		}
		run.ID = id.String()
	}
	if run.Seen.IsZero() {
		run.Seen = run.Started
	}
	if err := run.check(); err != nil {
		return "", err
	}
	return run.ID, s.transact(ctx, "store a new run", func(t *transaction) error {
		_, err := t.insertRun(run)
		return err
	})
}

// check finds what must not be stored.
func (r *Run) check() error {
	var errs []error
	if parsed, err := uuid.Parse(r.ID); err != nil || parsed.String() != r.ID {
		errs = append(errs, fmt.Errorf("%q is no id of a run: it must be a UUID in lower case", r.ID))
	}
	if r.Target == "" || r.Instance == "" || r.Started.IsZero() || r.Seen.IsZero() {
		errs = append(errs, errors.New("a run needs a target, an instance and when it started"))
	}
	for _, v := range r.Versions {
		if v.Name == "" || v.Since.IsZero() {
			errs = append(errs, errors.New("a version of the target needs a name and since when"))
		}
	}
	return errors.Join(append(errs, checkJSON("settings", r.Settings), checkJSON("summary", r.Summary))...)
}

func checkJSON(what string, document json.RawMessage) error {
	if len(document) > 0 && !json.Valid(document) {
		return fmt.Errorf("the %s are no JSON", what)
	}
	return nil
}

// text is how a document is stored; nothing is NULL.
func text(document json.RawMessage) sql.NullString {
	return sql.NullString{String: clean(string(document)), Valid: len(document) > 0}
}

// series returns the number of a series, which is made when it is new.
func (t *transaction) series(series Series) (int64, error) {
	var id int64
	target, instance := clean(series.Target), clean(series.Instance)
	if _, err := t.exec("INSERT INTO series (target, instance) VALUES (?, ?) ON CONFLICT DO NOTHING", target, instance); err != nil {
		return 0, err
	}
	err := t.row("SELECT id FROM series WHERE target = ? AND instance = ?", target, instance).Scan(&id)
	return id, err
}

// insertRun returns the run's number.
func (t *transaction) insertRun(run Run) (int64, error) {
	series, err := t.series(run.Series)
	if err != nil {
		return 0, err
	}
	var number int64
	err = t.row(`INSERT INTO runs (id, series, workload, soakd_version, settings, started, seen, ended, verdict, summary)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number`,
		run.ID, series, clean(run.Workload), clean(run.SoakdVersion), text(run.Settings), nanos(run.Started), nanos(run.Seen), nanos(run.Ended),
		clean(run.Verdict), text(run.Summary)).Scan(&number)
	if err != nil {
		return 0, err
	}
	return number, t.versions(number, run.Versions)
}

func (t *transaction) versions(run int64, versions []Version) error {
	return each(t, `INSERT INTO run_versions (run, version, since) VALUES (?, ?, ?)
		ON CONFLICT (run, version) DO UPDATE SET since = CASE WHEN excluded.since < run_versions.since THEN excluded.since ELSE run_versions.since END`,
		versions, func(v Version) []any { return []any{run, clean(v.Name), nanos(v.Since)} })
}

// known returns the number of a run and of its series.
func (t *transaction) known(id string) (number, series int64, err error) {
	err = t.row("SELECT number, series FROM runs WHERE id = ?", id).Scan(&number, &series)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("run %q: %w", id, ErrNotFound)
	}
	return number, series, err
}

// EndRun stores that a run ended in good order, and its verdict. A verdict of ""
// and a summary of nil leave what was stored before.
func (s *Store) EndRun(ctx context.Context, id string, at time.Time, verdict string, summary json.RawMessage) error {
	if err := checkJSON("summary", summary); err != nil {
		return err
	}
	return s.transact(ctx, "store the end of the run", func(t *transaction) error {
		number, _, err := t.known(id)
		if err != nil {
			return err
		}
		if err := t.touch(number, at, verdict, summary); err != nil {
			return err
		}
		_, err = t.exec("UPDATE runs SET ended = ? WHERE number = ?", nanos(at), number)
		return err
	})
}

// touch stores what is new of a run.
func (t *transaction) touch(number int64, seen time.Time, verdict string, summary json.RawMessage) error {
	_, err := t.exec(`UPDATE runs SET seen = CASE WHEN seen < ? THEN ? ELSE seen END,
		verdict = CASE WHEN ? = '' THEN verdict ELSE ? END, summary = COALESCE(?, summary) WHERE number = ?`,
		nanos(seen), nanos(seen), clean(verdict), clean(verdict), text(summary), number)
	return err
}

// RunFilter chooses runs; what is empty chooses all.
type RunFilter struct {
	Target, Instance, Workload string
	// Version is one of the target.
	Version string
	Verdict string
	// From is when they started at the earliest; To is after the latest.
	From, To time.Time
	// Limit is how many at most, 0 for all.
	Limit int
}

const selectRuns = `SELECT r.number, r.id, s.target, s.instance, r.workload, r.soakd_version, r.settings, r.started, r.seen, r.ended, r.verdict, r.summary
	FROM runs r JOIN series s ON s.id = r.series`

// Runs returns runs, those that started last first.
func (s *Store) Runs(ctx context.Context, filter RunFilter) ([]Run, error) {
	where := filter.conditions()
	runs, err := s.selectRuns(ctx, s.read, selectRuns+where.text()+newest(filter.Limit), where.args...)
	return runs, s.wrap("read runs", err)
}

func (f *RunFilter) conditions() conditions {
	where := conditions{}
	where.add(f.Target != "", "s.target = ?", clean(f.Target))
	where.add(f.Instance != "", "s.instance = ?", clean(f.Instance))
	where.add(f.Workload != "", "r.workload = ?", clean(f.Workload))
	where.add(f.Version != "", "EXISTS (SELECT 1 FROM run_versions v WHERE v.run = r.number AND v.version = ?)", clean(f.Version))
	where.add(f.Verdict != "", "r.verdict = ?", clean(f.Verdict))
	where.add(!f.From.IsZero(), "r.started >= ?", nanos(f.From))
	where.add(!f.To.IsZero(), "r.started < ?", nanos(f.To))
	return where
}

// newest orders runs; limit 0 is no limit.
func newest(limit int) string {
	order := " ORDER BY r.started DESC, r.number DESC"
	if limit > 0 {
		order += fmt.Sprintf(" LIMIT %d", limit)
	}
	return order
}

// conditions gathers what a query asks for.
type conditions struct {
	parts []string
	args  []any
}

func (c *conditions) add(when bool, part string, args ...any) {
	if when {
		c.parts, c.args = append(c.parts, part), append(c.args, args...)
	}
}

func (c *conditions) text() string {
	if len(c.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.parts, " AND ")
}

func (s *Store) selectRuns(ctx context.Context, from querier, query string, args ...any) ([]Run, error) {
	var (
		runs    []Run
		numbers []int64
	)
	err := s.rows(ctx, from, func(rows *sql.Rows) (bool, error) {
		run, number, err := scanRun(rows)
		runs, numbers = append(runs, run), append(numbers, number)
		return true, err
	}, query, args...)
	for i := range runs {
		if err != nil {
			break
		}
		err = s.rows(ctx, from, func(rows *sql.Rows) (bool, error) {
			var (
				version Version
				since   sql.NullInt64
			)
			err := rows.Scan(&version.Name, &since)
			version.Since = moment(since)
			runs[i].Versions = append(runs[i].Versions, version)
			return true, err
		}, "SELECT version, since FROM run_versions WHERE run = ? ORDER BY since, version", numbers[i])
	}
	return runs, err
}

func scanRun(rows *sql.Rows) (Run, int64, error) {
	var (
		run                  Run
		number               int64
		settings, summary    sql.NullString
		started, seen, ended sql.NullInt64
	)
	err := rows.Scan(&number, &run.ID, &run.Target, &run.Instance, &run.Workload, &run.SoakdVersion, &settings, &started, &seen, &ended, &run.Verdict, &summary)
	run.Settings, run.Summary = document(settings), document(summary)
	run.Started, run.Seen, run.Ended = moment(started), moment(seen), moment(ended)
	return run, number, err
}

// document is the JSON that was stored.
func document(stored sql.NullString) json.RawMessage {
	if !stored.Valid {
		return nil
	}
	return json.RawMessage(stored.String)
}

// Run returns the run of that id.
func (s *Store) Run(ctx context.Context, id string) (Run, error) {
	return s.oneRun(ctx, fmt.Sprintf("run %q", id), selectRuns+" WHERE r.id = ?", id)
}

func (s *Store) oneRun(ctx context.Context, what, query string, args ...any) (Run, error) {
	runs, err := s.selectRuns(ctx, s.read, query, args...)
	switch {
	case err != nil:
		return Run{}, s.wrap("read "+what, err)
	case len(runs) == 0:
		return Run{}, s.wrap("look for "+what, ErrNotFound)
	}
	return runs[0], nil
}

// minPrefix is how much of an id names a run at least, and maxCandidates how many
// are named when it is the start of several.
const (
	minPrefix     = 4
	maxCandidates = 5
)

// FindRun returns the run that a person means by an id or its start (4 characters
// or more), by "last" or "last-passed", or by "version=X" for the last one that saw
// this version of the target, among those of the filter.
func (s *Store) FindRun(ctx context.Context, what string, filter RunFilter) (Run, error) {
	version, found := strings.CutPrefix(what, "version=")
	switch {
	case found:
		filter.Version = version
		return s.lastRun(ctx, fmt.Sprintf("a run of the target's version %q", version), filter)
	case what == "last":
		return s.lastRun(ctx, "the last run", filter)
	case what == "last-passed":
		filter.Verdict = Passed
		return s.lastRun(ctx, "the last run that passed", filter)
	}
	prefix := strings.ToLower(what)
	if len(prefix) < minPrefix || strings.Trim(prefix, "0123456789abcdef-") != "" {
		return Run{}, fmt.Errorf("%w: %q names no run: it must be an id or its first %d characters or more, last, last-passed or version=VERSION", ErrNotFound, what, minPrefix)
	}
	where := filter.conditions()
	where.add(true, "r.id LIKE ?", prefix+"%")
	runs, err := s.selectRuns(ctx, s.read, selectRuns+where.text()+newest(maxCandidates), where.args...)
	switch {
	case err != nil:
		return Run{}, s.wrap("look for the run", err)
	case len(runs) == 0:
		return Run{}, s.wrap(fmt.Sprintf("look for run %q", what), ErrNotFound)
	case len(runs) > 1:
		var ids []string
		for _, run := range runs {
			ids = append(ids, run.ID)
		}
		return Run{}, fmt.Errorf("%w: %q is the start of several runs: %s: give more of the id", ErrNotFound, what, strings.Join(ids, ", "))
	}
	return runs[0], nil
}

func (s *Store) lastRun(ctx context.Context, what string, filter RunFilter) (Run, error) {
	where := filter.conditions()
	return s.oneRun(ctx, what, selectRuns+where.text()+newest(1), where.args...)
}
