package judge

import (
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// Config says what is judged and by what.
type Config struct{}

// New returns a judge that has seen nothing, or an error that joins everything that
// is wrong with cfg.
func New(_ Config) (*Judge, error) {
	j := &Judge{rings: map[time.Duration]*ring{}}
	for _, level := range window.Levels() {
		j.rings[level] = &ring{size: ringSize(level)}
	}
	j.findings = findings{log: &j.log, opened: map[finding.Kind]int64{}, hints: func(*finding.Symptom) []finding.Hint { return nil }}
	return j, nil
}

// furtherChecks are those of objectives and baseline.
func (j *Judge) furtherChecks(bool) []Check { return nil }
