// Package answers finds what is wrong with the answers of a target: wrong content,
// lost data, invalid input that is taken, requests that fail or are refused more
// than before. It counts outcomes and failed checks; how long answers take is not
// its matter.
//
// Two ways of judging stand side by side. An answer that no right target gives (a
// wrong figure, another user's record) is a fact: one occurrence is reported. A
// failed request may be chance: the share of them is compared with the run's own
// past by an exact test.
package answers

import (
	"cmp"
	"slices"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// Config says when answers are a symptom. The zero value of a field is its default.
type Config struct {
	// Quiet is how long a wrong answer stays a symptom after its last occurrence;
	// 15 minutes. Rate limiting ends after the same time.
	Quiet time.Duration
	// Settle is for how long at most the first occurrences of a wrong answer are
	// gathered to see how far it goes (one case, a class) before it is reported; 1
	// minute. Ten occurrences end the wait.
	Settle time.Duration
	// StaleWait is how long a stale read is watched before it is reported, because
	// it may turn out to be a loss; 2 minutes. A loss shows as stale reads for the
	// first 30 s.
	StaleWait time.Duration
	// AbsoluteShare is the share of failed requests that is too many where there is
	// nothing to compare with yet; 0.01.
	AbsoluteShare float64
	// Points and Factor are the least change of the share of failed requests that
	// counts: by so much (0.002 is 0.2 percentage points) or to so many times a share
	// that is not zero; 0.002 and 3.
	Points, Factor float64
	// MinFailed is the least number of failed requests; 5.
	MinFailed int64
	// Alpha is the probability of a false alarm in a week of clean traffic, for all
	// cases and looks together; 0.001.
	Alpha float64
}

func (c Config) withDefaults() Config {
	c.Quiet = cmp.Or(c.Quiet, 15*time.Minute)
	c.Settle = cmp.Or(c.Settle, time.Minute)
	c.StaleWait = cmp.Or(c.StaleWait, 2*time.Minute)
	c.AbsoluteShare = cmp.Or(c.AbsoluteShare, 0.01)
	c.Points = cmp.Or(c.Points, 0.002)
	c.Factor = cmp.Or(c.Factor, 3)
	c.MinFailed = cmp.Or(c.MinFailed, 5)
	c.Alpha = cmp.Or(c.Alpha, 0.001)
	return c
}

// Detector watches the answers. Make it with [New]; a caller serialises its calls.
type Detector struct {
	wrong           *wrong
	failed, limited *shares
}

// New returns a detector that has seen nothing.
func New(cfg Config) *Detector {
	cfg = cfg.withDefaults()
	return &Detector{wrong: newWrong(cfg), failed: newShares(failures(cfg)), limited: newShares(rateLimits(cfg))}
}

// Observe takes the next window of the level [window.Short] (stored windows of a
// minute do as well, with less resolution) and returns what is wrong now. Answers
// are judged whether soakd was fit or not: a wrong answer is wrong also when it
// came late. Only requests that got no answer do not count then.
func (d *Detector) Observe(w *window.Window) []finding.Symptom {
	symptoms := d.wrong.observe(w)
	symptoms = append(symptoms, d.failed.observe(w)...)
	symptoms = append(symptoms, d.limited.observe(w)...)
	slices.SortStableFunc(symptoms, func(a, b finding.Symptom) int { return finding.Compare(&a, &b) })
	return symptoms
}
