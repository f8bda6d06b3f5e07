package judge

import (
	"errors"
	"fmt"
	"time"

	"soakd/internal/judge/answers"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/cause"
	"soakd/internal/judge/correlate"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/latency"
	"soakd/internal/judge/leak"
	"soakd/internal/judge/objective"
	"soakd/internal/judge/outage"
	"soakd/internal/judge/window"
)

// Config says what is judged and by what. The zero value judges everything but
// objectives.
type Config struct {
	// Objectives are what the target promises, Policy over what period.
	Objectives []objective.Objective
	Policy     objective.Policy
	Leak       leak.Config
	Latency    latency.Config
	Answers    answers.Config
	Cause      cause.Config
	// Outage is [outage.DefaultConfig] when it is zero.
	Outage outage.Config
	// Versions says how versions of the target are compared, and with what.
	Versions baseline.TrackerConfig
}

// New returns a judge that has seen nothing, or an error that joins everything that
// is wrong with cfg.
func New(cfg Config) (*Judge, error) {
	j := &Judge{rings: map[time.Duration]*ring{}, answers: answers.New(cfg.Answers), cause: cause.New(cfg.Cause), moves: correlate.New(correlate.DefaultSeries), versions: baseline.NewTracker(cfg.Versions)}
	for _, level := range window.Levels() {
		j.rings[level] = &ring{size: ringSize(level)}
	}
	if cfg.Outage == (outage.Config{}) {
		cfg.Outage = outage.DefaultConfig()
	}
	var errs [4]error
	j.leak, errs[0] = leak.New(cfg.Leak)
	j.latency, errs[1] = latency.New(cfg.Latency)
	j.objectives, errs[2] = objective.New(cfg.Objectives, cfg.Policy)
	j.outage, errs[3] = outage.New(cfg.Outage)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("judgement: %w", err)
	}
	j.detectors = []*placed{
		{detector: j.answers, level: window.Short, replayed: true},
		{detector: j.outage, level: window.Short},
		{detector: j.cause, level: window.Minute, replayed: true},
		{detector: j.leak, level: window.Minute, replayed: true},
		{detector: j.latency, level: window.Minute, replayed: true},
		{detector: j.versions, level: window.Minute, replayed: true},
		{detector: j.objectives, level: window.Minute, replayed: true},
	}
	j.findings = findings{log: &j.log, opened: map[finding.Kind]int64{}, hints: j.hints}
	j.detection, j.recovery = newOutageTimes(), newOutageTimes()
	return j, nil
}
