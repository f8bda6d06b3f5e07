package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"soakd/internal/history"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/window"
)

// lastPassed is the name of the baseline that soakd keeps of the latest bounded run
// that passed.
const lastPassed = "last-passed"

// noRunPassed says why there is nothing to compare a run with, which does not keep it
// from passing: else no pipeline could ever begin.
const noRunPassed = "no run of this target (its URL) and workload has passed yet that was long enough"

// notCompared is the note of a run for which there was no baseline.
func notCompared(baseline string) string { return "not compared with " + baseline + ": " + noRunPassed }

// notKept is the note of a run that passed, and with which none can be compared: else every
// run would pass as the first one.
func notKept() string {
	return fmt.Sprintf("later runs cannot be compared with this one: that needs %d windows of 10s after the warm-up in which soakd was fit, or of 1m in runs of %v or more", leastProfile, longGate)
}

// gateReference returns the profile that a bounded run is compared with, and how a
// report names it: for [lastPassed] that of the latest run that passed, for
// version=X that of a version of the target, and else a baseline that somebody
// named. A nil profile without an error means that no run has passed yet; see [noRunPassed].
// Whatever else is not there is a usage error that says what there is.
// It works on a nil chronicle, where there is no history.
func (c *chronicle) gateReference(ctx context.Context, name string) (profile *baseline.Profile, label string, err error) {
	if c == nil {
		return nil, "", usageError{fmt.Errorf("SOAKD_BASELINE: there is no history to take %q from: set SOAKD_HISTORY_URL to a place that can be written", name)}
	}
	label = name
	if version, found := strings.CutPrefix(name, versionBaseline); found {
		label = "version " + version
	}
	stored, err := c.store.Baseline(ctx, c.series.Target, c.workload, name)
	switch {
	case errors.Is(err, history.ErrNotFound) && name == lastPassed:
		return nil, label, nil
	case errors.Is(err, history.ErrNotFound):
		return nil, label, c.noBaseline(ctx, name)
	case err != nil:
		return nil, label, fmt.Errorf("SOAKD_BASELINE: %w", err)
	}
	profile = new(baseline.Profile)
	if err := profile.UnmarshalBinary(stored.Profile); err != nil {
		return nil, label, fmt.Errorf("SOAKD_BASELINE: read %q: %w", name, err)
	}
	return profile, label, nil
}

// mostNamed bounds how many baselines an error names.
const mostNamed = 10

// noBaseline is the error for a baseline that there is not.
func (c *chronicle) noBaseline(ctx context.Context, name string) error {
	all, err := c.store.Baselines(ctx, c.series.Target)
	if err != nil {
		return fmt.Errorf("SOAKD_BASELINE: %w", err)
	}
	var names []string
	for i := range all {
		if all[i].Workload == c.workload {
			names = append(names, all[i].Name)
		}
	}
	there := "there is none yet (soakd history baseline set NAME RUN makes one)"
	if len(names) > 0 {
		there = "there are " + strings.Join(names[:min(len(names), mostNamed)], ", ")
		if more := len(names) - mostNamed; more > 0 {
			there += fmt.Sprintf(" and %d more", more)
		}
	}
	return usageError{fmt.Errorf("SOAKD_BASELINE: the history has no baseline %q of %s with the workload %s: %s", name, c.series.Target, c.workload, there)}
}

// longGate is from which duration on a bounded run is compared by windows of a
// minute: a run of 30 min has enough of them.
const longGate = 30 * time.Minute

// gateComparison compares a bounded run with a baseline, from windows of 10 s as
// they end. It may be used from any goroutine.
type gateComparison struct {
	reference *baseline.Profile

	mu      sync.Mutex
	builder *baseline.Builder
	// roller makes minutes of a long run, nil for a short one.
	roller *window.Roller
}

// gateComparisonConfig says which run is compared.
type gateComparisonConfig struct {
	// Duration is how long it sends, WarmUp what is left out at its start, and again
	// after a restart of the target or a change of its version; both 0 or more.
	Duration, WarmUp time.Duration
	// Users are those of a closed model, 0 for an open one.
	Users int
}

// newGateComparison returns the comparison of a run that begins with a reference,
// nil for none: then only the run's own profile is made.
func newGateComparison(cfg gateComparisonConfig, reference *baseline.Profile) *gateComparison {
	warmUp := cfg.WarmUp
	if warmUp <= 0 {
		warmUp = -1 // 0 would stand for the default of the builder
	}
	g := &gateComparison{reference: reference, builder: baseline.NewBuilder(baseline.Config{WarmUp: warmUp, Users: cfg.Users})}
	if cfg.Duration >= longGate {
		g.roller = new(window.Roller)
	}
	return g
}

// window takes the next window of 10 s.
func (g *gateComparison) window(w *window.Window) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.roller == nil {
		g.builder.Observe(w)
		return
	}
	for _, done := range g.roller.Add(w) {
		if done.Length == window.Minute {
			g.builder.Observe(done)
		}
	}
}

// profile is what the run was like so far, nil where too few windows tell: a short
// run needs 8 of 10 s after its warm-up in which soakd was fit to judge, a long one of a minute.
func (g *gateComparison) profile() *baseline.Profile {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.builder.Windows() < leastProfile {
		return nil
	}
	return g.builder.Profile()
}

// comparison is how the run compares with the reference so far; nil when there is
// none, or too little of the run.
func (g *gateComparison) comparison() *baseline.Comparison {
	if g.reference == nil {
		return nil
	}
	profile := g.profile()
	if profile == nil {
		return nil
	}
	compared := baseline.Gate(g.reference, profile, baseline.Limits{})
	return &compared
}

// keepGate stores what a bounded run was like, nil for not known, once it is over: as the latest that
// passed when, and only when, it did; and as what its version of the target is like, where
// that takes the place of nothing that is better known.
// What cannot be stored is a warning.
func (c *chronicle) keepGate(ctx context.Context, profile *baseline.Profile, passed bool, now time.Time) {
	if c == nil || profile == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
	defer cancel()
	if passed && profile.Version != window.Mixed {
		c.setBaseline(ctx, lastPassed, profile, now)
	}
	if profile.Version != "" && profile.Version != window.Mixed {
		c.keepVersion(ctx, profile, now)
	}
}

// keepVersion stores what a version of the target is like, as a bounded run saw it. A profile that
// covers more than twice as much time stays, but for one of the same run.
func (c *chronicle) keepVersion(ctx context.Context, profile *baseline.Profile, now time.Time) {
	const longer = 2
	name := versionBaseline + profile.Version
	stored, err := c.store.Baseline(ctx, c.series.Target, c.workload, name)
	if err == nil && stored.Run != c.run {
		old := new(baseline.Profile)
		// What cannot be read is of no use to anybody.
		if old.UnmarshalBinary(stored.Profile) == nil && old.Covered() > longer*profile.Covered() {
			return
		}
	}
	if err != nil && !errors.Is(err, history.ErrNotFound) {
		c.log.Warn("what this version of the target is like could not be stored", "version", profile.Version, "err", err)
		return
	}
	c.setBaseline(ctx, name, profile, now)
}

// setBaseline stores a profile under a name.
func (c *chronicle) setBaseline(ctx context.Context, name string, profile *baseline.Profile, now time.Time) {
	data, err := profile.MarshalBinary()
	if err == nil {
		err = c.store.SetBaseline(ctx, history.Baseline{
			Target: c.series.Target, Workload: c.workload, Name: name, Run: c.run, Version: profile.Version, Created: now, Profile: data,
		})
	}
	if err != nil {
		c.log.Warn("what the target is like could not be stored", "baseline", name, "err", err)
	}
}
