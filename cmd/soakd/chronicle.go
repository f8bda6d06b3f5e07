package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"soakd/internal/exporter"
	"soakd/internal/history"
	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/window"
	"soakd/internal/report"
)

// chronicle writes a run into the history, once a minute and at its end, and takes
// up at the start what an earlier run of the same soakd knew. What it cannot write
// it keeps for a while and tries again; traffic and judgement never wait for it.
type chronicle struct {
	store    *history.Store
	series   history.Series
	workload string
	run      string
	began    time.Time
	// bounded tells that the run ends by itself: then a gate compares it, see gateComparison.
	bounded bool
	log     *slog.Logger

	mu sync.Mutex
	// pending are windows that are not stored yet, oldest first.
	pending []*window.Window
	counts  exporter.History

	// What was stored last: the number of the last event, and each finding.
	lastEvent int64
	stored    map[string]storedFinding
	seed      maphash.Seed
	failing   bool
	pruned    time.Time
}

// storedFinding is what was stored last of a finding: a hash of it, and all of it
// while it lasts.
type storedFinding struct {
	hash  uint64
	lasts *judge.Finding
}

const (
	// writeEvery is the time between two batches.
	writeEvery = time.Minute
	// writeTimeout bounds a batch, and the last one at the end of a run.
	writeTimeout = 20 * time.Second
	lastTimeout  = 5 * time.Second
	// maxPending bounds the windows that wait for a history that is away: two hours
	// of minutes and what is made of them. Beyond, the oldest are dropped.
	maxPending = 150
	pruneEvery = time.Hour
	pruneLimit = 5 * time.Minute
	// replayed is how far back windows of a minute are taken up.
	replayed = 8 * 24 * time.Hour
	stateKey = "judgement"
)

// openChronicle opens the history for a run; nil when there is to be none. The
// default place that cannot be used is a warning, one that was asked for a mistake.
func openChronicle(ctx context.Context, cfg *config, workload string, start time.Time, log *slog.Logger) (*chronicle, error) {
	store, err := cfg.openHistory(ctx, false)
	if err != nil {
		if !cfg.HistoryURL.IsSet() && errors.Is(err, history.ErrUnusable) {
			log.Warn("nothing is kept of this run: set SOAKD_HISTORY_URL to a place that can be written, or to none", "err", err)
			return nil, nil //nolint:nilnil // documented
		}
		return nil, err
	}
	if store == nil {
		return nil, nil //nolint:nilnil // documented
	}
	c := &chronicle{
		store: store, log: log, workload: workload, began: start, bounded: cfg.Duration > 0, series: history.Series{Target: cfg.TargetURL, Instance: cfg.userPrefix()}, stored: map[string]storedFinding{}, seed: maphash.MakeSeed(), pruned: start,
	}
	c.run, err = store.BeginRun(ctx, history.Run{Series: c.series, Workload: workload, SoakdVersion: report.Version(), Settings: cfg.publicSettings(), Started: start})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin a run in the history: %w", err), store.Close())
	}
	// Not only after an hour, when it is pruned first. What fails now fails then.
	if size, err := store.Size(ctx); err == nil {
		c.counts.Bytes = size
	}
	return c, nil
}

// publicSettings are the settings that are not at their default, as JSON, without
// secrets.
func (c *config) publicSettings() json.RawMessage {
	set := map[string]any{}
	for _, s := range c.settings() {
		if s.Flag != "" && s.isSet() { // a secret has no flag
			set[s.Name] = fmt.Sprint(s.value.Interface())
		}
	}
	text, err := json.Marshal(set)
	if err != nil {
		return nil
	}
	return text
}

// maxStored is how many versions of earlier runs are looked at.
const maxStored = 5

// references reads what the target can be compared with: the baseline that is named,
// else the latest versions of earlier runs. What is named for a bounded run is the
// business of its gate; here it only has to be there.
func (c *chronicle) references(ctx context.Context, j *judgement, workload, named string) error {
	if named != "" && c.bounded {
		_, _, err := c.gateReference(ctx, named)
		return err
	}
	if named != "" {
		found, err := c.store.Baseline(ctx, c.series.Target, workload, named)
		if errors.Is(err, history.ErrNotFound) {
			return usageError{fmt.Errorf("SOAKD_BASELINE: the history has no baseline %q of %s: `soakd history baseline list` shows those that there are", named, c.series.Target)}
		}
		profile := new(baseline.Profile)
		if err == nil {
			err = profile.UnmarshalBinary(found.Profile)
		}
		if err != nil {
			return fmt.Errorf("SOAKD_BASELINE: read %q: %w", named, err)
		}
		if profile.Window == window.Short {
			return usageError{fmt.Errorf("SOAKD_BASELINE: %q is of a run of some minutes, and a run without end needs one of hours: set one with `soakd history baseline set`, or give SOAKD_DURATION", named)}
		}
		j.judge.SetReference(profile)
		return nil
	}
	all, err := c.store.Baselines(ctx, c.series.Target)
	if err != nil {
		return fmt.Errorf("read the baselines of the history: %w", err)
	}
	for _, one := range all {
		if one.Workload != workload || !strings.HasPrefix(one.Name, versionBaseline) || len(j.stored) == maxStored {
			continue
		}
		found, err := c.store.Baseline(ctx, one.Target, one.Workload, one.Name)
		profile := new(baseline.Profile)
		if err == nil {
			err = profile.UnmarshalBinary(found.Profile)
		}
		if err != nil {
			c.log.Warn("a baseline of the history is left out", "name", one.Name, "err", err)
			continue
		}
		if profile.Window == window.Short {
			continue // of a run of some minutes: the judgement compares hours
		}
		j.stored = append(j.stored, profile)
	}
	return nil
}

// versionBaseline starts the name of a baseline that soakd itself keeps of each
// version of the target.
const versionBaseline = "version="

// keepProfile stores what the present version of the target is like.
func (c *chronicle) keepProfile(ctx context.Context, j *judgement, now time.Time) {
	profile := j.profile()
	if profile == nil {
		return
	}
	if c.bounded {
		c.keepVersion(ctx, profile, now)
		return
	}
	c.setBaseline(ctx, versionBaseline+profile.Version, profile, now)
}

// restore takes up what an earlier run knew. What cannot be read is left out: then
// the judgement begins anew.
func (c *chronicle) restore(ctx context.Context, j *judge.Judge, now time.Time) {
	state, err := c.store.State(ctx, c.series, stateKey)
	switch {
	case errors.Is(err, history.ErrNotFound):
		return
	case err == nil:
		err = j.Restore(state.Data)
	}
	if err != nil {
		c.log.Warn("the judgement begins anew: its state could not be taken up", "err", err)
		return
	}
	if events := j.Events(0); len(events) > 0 {
		c.lastEvent = events[len(events)-1].Seq
	}
	began, minutes := time.Now(), 0
	for stored, err := range c.store.Windows(ctx, history.WindowQuery{Series: c.series, Level: window.Minute, From: now.Add(-replayed)}) {
		var w *window.Window
		if err == nil {
			w, err = window.Decode(stored.Data)
		}
		if err != nil {
			c.log.Warn("stored windows could not be taken up", "err", err)
			break
		}
		j.Replay(w)
		minutes++
	}
	c.log.Info("took up the judgement of an earlier run", "minutes", minutes, "until", state.Updated.UTC().Format(time.RFC3339), "took", time.Since(began).Round(time.Millisecond))
}

// keep takes windows to be stored. It never waits.
func (c *chronicle) keep(windows []*window.Window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range windows {
		if w.Length > window.Short {
			c.pending = append(c.pending, w)
		}
	}
	if beyond := len(c.pending) - maxPending; beyond > 0 {
		c.pending = append(c.pending[:0], c.pending[beyond:]...)
		c.counts.Dropped += int64(beyond)
	}
}

// figures are the counts so far.
func (c *chronicle) figures() exporter.History {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.counts
	h.Pending = int64(len(c.pending))
	return h
}

// write stores until ctx ends.
func (c *chronicle) write(ctx context.Context, j *judgement) {
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			c.flush(ctx, j, now)
			if now.Sub(c.pruned) >= pruneEvery {
				c.keepProfile(ctx, j, now)
				c.prune(ctx, now)
			}
		}
	}
}

// flush stores what is new in one batch. After a failure it stays new.
func (c *chronicle) flush(ctx context.Context, j *judgement, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	droppedBefore := c.figures().Dropped
	batch, commit, err := c.batch(j, now)
	if err == nil {
		err = c.store.Append(ctx, batch)
	}
	c.note(err, droppedBefore+int64(len(batch.Windows)))
	if err == nil {
		commit()
	}
}

// note counts a batch, and logs when the history fails and when it is back. upTo
// windows that waited since the start of the batch, those dropped before it counted
// too, are stored: of them, some may have been dropped meanwhile.
func (c *chronicle) note(err error, upTo int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.counts.Stored++
		c.pending = c.pending[max(0, min(int(upTo-c.counts.Dropped), len(c.pending))):]
		if c.failing {
			c.log.Info("the history can be written again")
		}
	default:
		c.counts.Failed++
		if !c.failing {
			c.log.Warn("the history cannot be written; soakd goes on and keeps what is new for two hours", "err", err)
		}
	}
	c.failing = err != nil
}

// batch gathers what is new, and returns what to do once it is stored.
func (c *chronicle) batch(j *judgement, now time.Time) (history.Batch, func(), error) {
	b := history.Batch{Run: c.run, At: now}
	c.mu.Lock()
	windows := append([]*window.Window{}, c.pending...)
	c.mu.Unlock()
	for _, w := range windows {
		b.Windows = append(b.Windows, history.Window{Level: w.Length, Start: w.Start, Version: w.Version, Data: w.AppendBinary(nil)})
		if w.Length == window.Minute && w.Version != "" && w.Version != window.Mixed {
			since := w.Start
			if since.Before(c.began) {
				since = c.began
			}
			b.Versions = append(b.Versions, history.Version{Name: w.Version, Since: since})
		}
	}
	snapshot, err := j.snapshot(c.lastEvent)
	if err != nil {
		return b, nil, err
	}
	b.States = []history.State{{Key: stateKey, Updated: now, Data: snapshot.state}}
	b.Verdict = string(snapshot.verdict.Result)
	if b.Summary, err = json.Marshal(snapshot.verdict); err != nil {
		return b, nil, err
	}
	lastEvent := c.lastEvent
	for _, e := range snapshot.events {
		document, err := json.Marshal(e)
		if err != nil {
			return b, nil, err
		}
		b.Events = append(b.Events, history.Event{ID: strconv.FormatInt(e.Seq, 10), At: e.At, Kind: string(e.Kind), Text: e.Text, Document: document})
		lastEvent = e.Seq
	}
	stored, err := c.addFindings(&b, snapshot.findings)
	if err != nil {
		return b, nil, err
	}
	return b, func() { c.lastEvent, c.stored = lastEvent, stored }, nil
}

// addFindings adds the findings that are new or have changed to a batch, and returns
// what is stored with it. What was over before the run began belongs to an earlier
// one. One that lasted and is not there any more was found to be part of another, or
// to be meant: in the history it ends.
func (c *chronicle) addFindings(b *history.Batch, findings []judge.Finding) (map[string]storedFinding, error) {
	stored := map[string]storedFinding{}
	add := func(f *judge.Finding) error {
		document, err := json.Marshal(f)
		if err != nil {
			return err
		}
		now := storedFinding{hash: maphash.Bytes(c.seed, document)}
		if f.Open() {
			now.lasts = f
		}
		stored[f.ID] = now
		if c.stored[f.ID].hash != now.hash {
			b.Findings = append(b.Findings, history.Finding{ID: f.ID, Kind: string(f.Kind), Subject: f.Subject.String(), Onset: f.Onset, Found: f.Found, Ended: f.Ended, Document: document})
		}
		return nil
	}
	for i := range findings {
		if f := &findings[i]; f.Open() || !f.Ended.Before(c.began) {
			if err := add(f); err != nil {
				return nil, err
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.stored)) {
		before := c.stored[id].lasts
		if _, still := stored[id]; still || before == nil {
			continue
		}
		gone := *before
		gone.Ended = b.At.UTC()
		if err := add(&gone); err != nil {
			return nil, err
		}
		delete(stored, id)
	}
	return stored, nil
}

// prune removes what is too old.
func (c *chronicle) prune(ctx context.Context, now time.Time) {
	c.pruned = now
	ctx, cancel := context.WithTimeout(ctx, pruneLimit)
	defer cancel()
	_, err := c.store.Prune(ctx, now)
	var size int64
	if err == nil {
		size, err = c.store.Size(ctx)
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("the history could not be pruned", "err", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Bytes = size
}

// end stores the rest and how the run ended, and closes the history.
func (c *chronicle) end(ctx context.Context, j *judgement, now time.Time, result judge.Result) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
	defer cancel()
	c.flush(ctx, j, now)
	if !c.bounded { // of such a run the gate keeps more; see keepGate
		c.keepProfile(ctx, j, now)
	}
	verdict := j.Verdict(true)
	summary, err := json.Marshal(verdict)
	if err == nil {
		err = c.store.EndRun(ctx, c.run, now, string(result), summary)
	}
	if err = errors.Join(err, c.store.Close()); err != nil {
		c.log.Warn("the end of the run could not be stored", "err", err)
	}
}
