package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// state is what a judge knows and could not learn again from stored windows.
type state struct {
	// Version is that of the format.
	Version    int             `json:"version"`
	Latest     time.Time       `json:"latest"`
	Objectives json.RawMessage `json:"objectives,omitempty"`
	Outage     json.RawMessage `json:"outage,omitempty"`
	Findings   []*Finding      `json:"findings,omitempty"`
	Events     []Event         `json:"events,omitempty"`
	Target     string          `json:"target_version,omitempty"`
	Rate       float64         `json:"rate,omitempty"`
}

const (
	stateVersion = 1
	// keptEvents and keptFindings bound what of the past goes into the state; all of
	// it is in the history anyway.
	keptEvents   = 100
	keptFindings = 20
)

// State returns what [Judge.Restore] needs, as JSON of at most some 100 KiB.
func (j *Judge) State() ([]byte, error) {
	s := state{Version: stateVersion, Latest: j.latest, Target: j.watched.version, Rate: j.watched.rate}
	var errs [2]error
	s.Objectives, errs[0] = j.objectives.State()
	s.Outage, errs[1] = j.outage.State()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("judgement: write the state: %w", err)
	}
	s.Events = j.log.events[max(0, len(j.log.events)-keptEvents):]
	over := 0
	for _, f := range slices.Backward(j.findings.list) {
		if !f.Open() {
			over++
		}
		if f.Open() || over <= keptFindings {
			s.Findings = append(s.Findings, f)
		}
	}
	slices.Reverse(s.Findings)
	return json.Marshal(s)
}

// Restore takes up what another judge knew, before anything else was given to this
// one. It fails when data is no such state, and then changes nothing that counts:
// the judge is as good as new. Call [Judge.Replay] with the stored windows next.
func (j *Judge) Restore(data []byte) error {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("judgement: read the state: %w", err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("judgement: the state is of format %d, and format %d is known", s.Version, stateVersion)
	}
	if slices.ContainsFunc(s.Findings, func(f *Finding) bool { return f == nil || len(f.Symptoms) == 0 }) {
		return errors.New("judgement: the state has a finding without symptoms")
	}
	if err := errors.Join(j.objectives.Restore(s.Objectives), j.outage.Restore(s.Outage)); err != nil {
		return fmt.Errorf("judgement: read the state: %w", err)
	}
	j.latest, j.watched.version, j.watched.rate = s.Latest, s.Target, s.Rate
	j.findings.list, j.log.events = s.Findings, s.Events
	if n := len(s.Events); n > 0 {
		j.log.seq = s.Events[n-1].Seq
	}
	for _, o := range j.outage.Outages() {
		j.detection.counted[o.ID] = true
		j.recovery.counted[o.ID] = j.recovery.counted[o.ID] || o.Closed
	}
	j.restored = true
	return nil
}

// Replay lets the detectors learn from a stored window of [window.Minute]. Windows
// come in order. Nothing is found while they are replayed: it was found then.
func (j *Judge) Replay(w *window.Window) {
	if w.Length != window.Minute {
		return
	}
	j.moves.Observe(w)
	for _, d := range j.detectors {
		if d.replayed {
			d.see(w)
		}
	}
	if j.latest.IsZero() { // else the state says it, to the second
		j.latest = w.End()
	}
	j.restored = true
}

// reconcile ends the symptoms that were there before a restart of soakd and are
// not seen any more.
func (j *Judge) reconcile(now time.Time, seen []finding.Symptom) []finding.Symptom {
	if !j.restored {
		return seen
	}
	j.restored = false
	for _, f := range j.findings.list {
		if !f.Open() {
			continue
		}
		for _, s := range f.Symptoms {
			if !s.Over && !slices.ContainsFunc(seen, func(now finding.Symptom) bool { return now.Key() == s.Key() }) {
				s.Over, s.Ended = true, now
				seen = append(seen, s)
			}
		}
	}
	return seen
}
