// Package pastrun gives a history a run that never was: windows of a simulated
// target, judged as a run judges its own, and stored as `soakd run` stores them.
// A real soakd that is started on this history takes its judgement up, so that
// what takes hours to know, such as a leak or a comparison, is known at once. It
// is for tests alone.
package pastrun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"soakd/internal/history"
	"soakd/internal/judge"
	"soakd/internal/judge/simulate"
	"soakd/internal/judge/window"
)

// Config says what is stored. Series and Workload must be those of the soakd that
// is to take it up, Until shortly before it starts.
type Config struct {
	// URL is the history, as in SOAKD_HISTORY_URL; a file is made when there is none.
	URL string
	// Series is the URL of the target and the prefix of the users (SOAKD_USER_PREFIX,
	// "soakd" by default).
	Series history.Series
	// Workload is its name; empty is cashflow.
	Workload string
	// World is what is simulated; its Start is chosen so that it ends at Until.
	World simulate.Config
	// Long is how long the run was, whole minutes from 1 minute on.
	Long time.Duration
	// Until is when it ended.
	Until time.Time
	// Judge is what is judged besides what always is, such as objectives.
	Judge judge.Config
	// Change changes a window before it is judged; may be nil.
	Change func(*window.Window)
}

// stateKey is where soakd keeps the state of its judgement.
const stateKey = "judgement"

// Store simulates the run and stores it. It returns what the judgement had found.
func Store(ctx context.Context, cfg Config) (_ []judge.Finding, err error) {
	if cfg.Long < time.Minute {
		return nil, fmt.Errorf("past run: %v is too short: it must last a minute or more", cfg.Long)
	}
	if cfg.Workload == "" {
		cfg.Workload = "cashflow"
	}
	location, err := history.Locate(cfg.URL, func(string) string { return "" })
	if err != nil {
		return nil, fmt.Errorf("past run: %w", err)
	}
	store, err := history.Open(ctx, history.Config{Location: location})
	if err != nil {
		return nil, fmt.Errorf("past run: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	batch, findings, err := run(cfg)
	if err != nil {
		return nil, fmt.Errorf("past run: %w", err)
	}
	started := cfg.Until.Add(-cfg.Long)
	batch.Run, err = store.BeginRun(ctx, history.Run{Series: cfg.Series, Workload: cfg.Workload, Started: started})
	if err != nil {
		return nil, fmt.Errorf("past run: %w", err)
	}
	if err := store.Append(ctx, batch); err != nil {
		return nil, fmt.Errorf("past run: %w", err)
	}
	if err := store.EndRun(ctx, batch.Run, cfg.Until, batch.Verdict, batch.Summary); err != nil {
		return nil, fmt.Errorf("past run: %w", err)
	}
	return findings, nil
}

// run simulates and judges, and returns what is to be stored.
func run(cfg Config) (history.Batch, []judge.Finding, error) {
	b := history.Batch{At: cfg.Until}
	j, err := judge.New(cfg.Judge)
	if err != nil {
		return b, nil, err
	}
	// Whole minutes, so that no window of a minute is cut off at the end.
	cfg.World.Start = cfg.Until.Add(-cfg.Long).Truncate(time.Minute)
	world, err := simulate.New(cfg.World)
	if err != nil {
		return b, nil, err
	}
	seen := map[string]bool{}
	for world.Age() < cfg.Long {
		w := world.Next()
		if cfg.Change != nil {
			cfg.Change(w)
		}
		for _, done := range j.Window(w) {
			if done.Length > window.Short {
				b.Windows = append(b.Windows, history.Window{Level: done.Length, Start: done.Start, Version: done.Version, Data: done.AppendBinary(nil)})
			}
		}
		if w.Version != "" && w.Version != window.Mixed && !seen[w.Version] {
			seen[w.Version] = true
			b.Versions = append(b.Versions, history.Version{Name: w.Version, Since: w.Start})
		}
	}
	verdict := j.Verdict(true)
	state, err := j.State()
	if err != nil {
		return b, nil, err
	}
	b.States = []history.State{{Key: stateKey, Updated: cfg.Until, Data: state}}
	b.Verdict = string(verdict.Result)
	if b.Summary, err = json.Marshal(verdict); err != nil {
		return b, nil, err
	}
	if err := addJudgement(&b, j); err != nil {
		return b, nil, err
	}
	return b, j.Findings(), nil
}

// addJudgement adds what was found and what happened.
func addJudgement(b *history.Batch, j *judge.Judge) error {
	for _, e := range j.Events(0) {
		document, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b.Events = append(b.Events, history.Event{ID: strconv.FormatInt(e.Seq, 10), At: e.At, Kind: string(e.Kind), Text: e.Text, Document: document})
	}
	for _, f := range j.Findings() {
		document, err := json.Marshal(f)
		if err != nil {
			return err
		}
		b.Findings = append(b.Findings, history.Finding{ID: f.ID, Kind: string(f.Kind), Subject: f.Subject.String(), Onset: f.Onset, Found: f.Found, Ended: f.Ended, Document: document})
	}
	return nil
}
