package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/load"
	"soakd/internal/report"
)

// gate holds a run to its thresholds and keeps what its reports are made of. It may
// be used from any goroutine.
type gate struct {
	mu         sync.Mutex
	thresholds *threshold.Gate
	timeline   report.Timeline
	// comparison is with the reference, label how that is called; without one
	// noBaseline says why, where one was asked for.
	comparison        *gateComparison
	label, noBaseline string
	// abort ends the run early, nil when it may not be; hopeless is why it was.
	abort    func()
	hopeless string
}

// newGate returns the gate of a run, which is compared with what is in the history.
func (c *config) newGate(ctx context.Context, workload *load.Workload, kept *chronicle) (*gate, error) {
	if err := c.Thresholds.Check(namesOf(workload)); err != nil {
		return nil, usageError{fmt.Errorf("%s_THRESHOLDS: %w", envPrefix, err)}
	}
	g := &gate{thresholds: threshold.NewGate(c.Thresholds, threshold.Config{
		Window: c.ThresholdWindow, WarmUp: c.warmUp(), Sending: c.Duration, Total: c.totalArrivals(),
	})}
	var reference *baseline.Profile
	if c.Baseline != "" && c.Duration > 0 {
		var err error
		if reference, g.label, err = kept.gateReference(ctx, c.Baseline); err != nil {
			return nil, err
		}
		if reference == nil {
			g.noBaseline = noRunPassed
		}
	}
	compared := gateComparisonConfig{Duration: c.Duration, WarmUp: c.warmUp()}
	if c.closed() {
		compared.Users = c.Users
	}
	g.comparison = newGateComparison(compared, reference)
	return g, nil
}

// namesOf are the names of the classes and cases of a workload.
func namesOf(workload *load.Workload) (classes, cases []string) {
	for _, one := range workload.Cases {
		classes, cases = append(classes, string(one.Class)), append(cases, one.Name)
	}
	return classes, cases
}

// warmUp is what thresholds and the comparison leave out at the start.
func (c *config) warmUp() time.Duration { return c.WarmUp.of(c.Duration, c.RampUp) }

// mostCounted bounds the arrivals that are counted beforehand.
const mostCounted = 5_000_000

// totalArrivals is how many arrivals the schedule will have, 0 when that is not known:
// for users, for a rate that may be changed, and for very many.
func (c *config) totalArrivals() int64 {
	if c.closed() || c.EnableLifecycle || c.Duration == 0 || c.shape.Peak().PerSecond()*c.Duration.Seconds() > mostCounted {
		return 0
	}
	arrivals, err := c.arrivals()
	if err != nil {
		return 0 // told when the engine is made
	}
	total := int64(0)
	for {
		if _, due, ok := arrivals.Peek(); !ok || due >= c.Duration {
			return total
		}
		arrivals.Advance()
		total++
	}
}

// endWith lets the run be ended early.
func (g *gate) endWith(halt func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.abort = halt
}

// window takes a window that is over, and ends the run when that has become useless.
func (g *gate) window(w *window.Window) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.thresholds.Add(w)
	g.timeline.Add(w)
	g.comparison.window(w)
	if g.abort == nil || g.hopeless != "" {
		return
	}
	if text, hopeless := g.thresholds.Hopeless(); hopeless {
		g.hopeless = text
		g.abort()
	}
}

// judged is what the thresholds come to now.
func (g *gate) judged() []threshold.Judged {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.thresholds.Judged()
}

// gaveUp says why the run ended early, "" when it did not.
func (g *gate) gaveUp() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hopeless
}

// finished is the run that is over, with its conclusion and what that was drawn from. failure
// is what failed beside the traffic.
func (d *daemon) finished(interrupted bool, failure error) (*report.Run, *report.Circumstances) {
	status := d.status()
	snapshot := d.recorder.Snapshot()
	verdict := d.judgement.Verdict(true)
	status.Verdict = verdict
	run := &report.Run{
		Tool: report.Own, ToolVersion: report.Version(), Target: status.Target, Workload: status.Workload, TargetVersion: verdict.Version,
		Model: d.cfg.Model, Rate: status.Rate, Users: status.Users, Start: d.start, Elapsed: status.Elapsed, Duration: d.cfg.Duration,
		Status: &status, Verdict: &verdict, Findings: status.Findings, Thresholds: d.gate.judged(), Windows: d.gate.windows(),
	}
	if d.cfg.Duration > 0 {
		run.WarmUp = d.cfg.warmUp()
	}
	if d.gate.noBaseline != "" {
		run.Notes = append(run.Notes, notCompared(d.gate.label))
	}
	run.All, run.Classes, run.Cases = report.TrafficOf(&snapshot, status.Counts.Incomplete())
	run.Points, run.Examples = report.Points(run.Windows), report.ExamplesOf(d.engine.Examples())
	run.Baseline, run.Comparison = d.gate.label, d.gate.comparison.comparison()
	circumstances := report.Circumstances{Compared: d.gate.label != "", NoBaseline: d.gate.noBaseline, Answered: status.All.Answered > 0, OK: status.All.OK}
	circumstances.Unfit, circumstances.NoneFit = d.windows.unfit()
	if interrupted && d.cfg.Duration > 0 {
		circumstances.Ended = report.Interrupted("interrupted", status.Elapsed, d.cfg.Duration)
	}
	if why := d.gate.gaveUp(); why != "" {
		circumstances.GaveUp = report.Interrupted("ended", status.Elapsed, d.cfg.Duration) + ", since it could only fail: " + why
		run.Notes = append(run.Notes, circumstances.GaveUp)
	}
	if failure != nil {
		circumstances.Failed = append(circumstances.Failed, failure)
	}
	run.Conclusion = report.Conclude(run, &circumstances)
	if d.gate.label != "" && run.Conclusion.Result == judge.Pass && d.gate.comparison.profile() == nil {
		run.Notes = append(run.Notes, notKept())
	}
	return run, &circumstances
}

func (g *gate) windows() []*window.Window {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.timeline.Windows()
}

// outcome is the error whose exit code says what a run came to, nil for a pass.
func outcome(c *report.Conclusion) error {
	switch c.Result {
	case judge.Pass:
		return nil
	case judge.Fail:
		return failedError{errors.New(c.Text)}
	default:
		return errors.New(c.Text)
	}
}

// keep stores what the run was like, for later ones to be compared with, and ends its
// entry in the history.
func (d *daemon) keep(ctx context.Context, run *report.Run) {
	chronicle := d.judgement.chronicle
	if d.cfg.Duration > 0 {
		chronicle.keepGate(ctx, d.gate.comparison.profile(), run.Conclusion.Result == judge.Pass, time.Now())
	}
	if chronicle != nil {
		chronicle.end(ctx, d.judgement, time.Now(), run.Conclusion.Result)
	}
}

// writeReports writes what was asked for. What cannot be written keeps nothing else
// from it, and the run from passing.
func (d *daemon) writeReports(run *report.Run, c *report.Circumstances) (written []string, err error) {
	options := report.Options{FullHistory: d.cfg.CSVFullHistory, Snapshot: d.metrics.Snapshot}
	files := func() (written []string, err error) {
		var errs [2]error
		var csv []string
		if d.cfg.Out != "" {
			written, errs[0] = report.Write(d.cfg.Out, run, options)
		}
		if d.cfg.CSV != "" {
			csv, errs[1] = report.WriteLocust(d.cfg.CSV, run, options)
		}
		return append(written, csv...), errors.Join(errs[:]...)
	}
	summary := func() error { return report.Summary(os.Getenv, run) }
	if d.cfg.Duration == 0 {
		summary = func() error { return nil }
	}
	return publish(run, files, summary, func(err error) {
		c.Failed = append(c.Failed, err)
		run.Conclusion = report.Conclude(run, c)
	})
}

// publish writes files and then the summary of the run. When some of it cannot be written doubt
// draws another conclusion, and what had said that the run passed is written again, or where that
// cannot be either removed.
func publish(run *report.Run, files func() ([]string, error), summary func() error, doubt func(error)) (written []string, err error) {
	written, err = files()
	again := func(failed error) {
		passed := run.Conclusion.Result == judge.Pass
		if doubt(failed); !passed {
			return
		}
		before := written
		written, _ = files() // err says why not all can be
		for _, path := range before {
			if !slices.Contains(written, path) {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}
	if err != nil {
		again(err)
	}
	if failed := summary(); failed != nil {
		err = errors.Join(err, failed)
		again(failed)
	}
	return written, err
}

// clearReports removes the reports of an earlier bounded run, which would else be taken for those of
// this one where it does not come to an end.
func (c *config) clearReports() error {
	if c.Duration == 0 {
		return nil
	}
	var errs [2]error
	if c.Out != "" {
		errs[0] = report.Clear(c.Out)
	}
	if c.CSV != "" {
		errs[1] = report.ClearLocust(c.CSV)
	}
	return errors.Join(errs[:]...)
}
