package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"soakd/internal/history"
	"soakd/internal/judge"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/report"
	"soakd/internal/results"
)

// stdinName stands for standard input.
const stdinName = "-"

// analyzeCommand is `soakd analyze`.
func analyzeCommand(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	o, err := readAnalyzeOptions(args, stdout)
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := report.Prepare(o.out); err != nil {
			return err
		}
	}
	a := &analyst{analyzeOptions: o, stdin: stdin, stdout: stdout}
	if err := a.analyze(ctx); err != nil {
		return err
	}
	run := &a.result.Run
	files := func() ([]string, error) {
		if o.out == "" {
			return nil, nil
		}
		return report.Write(o.out, run, report.Options{FullHistory: true})
	}
	_, failed := publish(run, files, func() error { return report.Summary(os.Getenv, run) }, a.doubt)
	if err := a.print(); err != nil {
		failed = errors.Join(failed, err)
	}
	return errors.Join(failed, outcome(&run.Conclusion))
}

// analyst analyzes one result.
type analyst struct {
	*analyzeOptions

	stdin  io.Reader
	stdout io.Writer

	result *results.Result
	// foreign tells that another tool measured; recorded is what a report of soakd's own
	// concluded.
	foreign  bool
	recorded report.Conclusion
	// noBaseline says why there is nothing to compare with that should be no obstacle.
	noBaseline string
	// failed is what went wrong around the analysis.
	failed []error
}

// analyze reads, judges and compares.
func (a *analyst) analyze(ctx context.Context) error {
	gate := threshold.NewGate(a.Thresholds, threshold.Config{WarmUp: a.warmUp, Window: a.ThresholdWindow})
	profiler, timeline := results.NewProfiler(a.warmUp), new(report.Timeline)
	result, err := a.read(a.name(), a.prefix, a.format, func(w *window.Window) {
		gate.Add(w)
		timeline.Add(w)
		profiler.Window(w)
	})
	if err != nil {
		return err
	}
	a.result, a.foreign, a.recorded = result, result.Run.Tool != report.Own, result.Run.Conclusion
	run := &result.Run
	if run.Target == "" {
		run.Target = a.target
	}
	if result.Sampled && !result.FromReport {
		run.Windows = timeline.Windows()
		run.Points = report.Points(run.Windows)
	}
	if err := a.judge(gate); err != nil {
		return err
	}
	if err := a.compare(ctx, profiler); err != nil {
		return err
	}
	a.conclude()
	return nil
}

// name is what the result is called.
func (a *analyst) name() string {
	if a.prefix != "" {
		return a.prefix
	}
	return a.file
}

// read reads a result from a file, from standard input or from Locust's files.
func (a *analyst) read(name, prefix string, format results.Format, give func(*window.Window)) (r *results.Result, err error) {
	options := results.Options{Format: format, Window: give}
	switch {
	case prefix != "":
		r, err = results.Locust(prefix)
	case name == stdinName:
		r, err = results.Read("standard input", a.stdin, options)
	default:
		r, err = results.File(name, options)
	}
	if errors.Is(err, results.ErrUnreadable) || errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{err}
	}
	return r, err
}

// judge holds the result to the thresholds. A report of soakd's own keeps what it was
// held to when none are given.
func (a *analyst) judge(gate *threshold.Gate) error {
	run := &a.result.Run
	if len(a.Thresholds) == 0 {
		return nil
	}
	if run.All.Requests > 0 {
		if err := a.Thresholds.Check(names(run.Classes, func(t *report.Traffic) string { return t.Class }), names(run.Cases, func(t *report.Traffic) string { return t.Name })); err != nil {
			return usageError{err}
		}
	}
	// A report says itself what its run left out, and until when it sent.
	if a.result.FromReport && a.result.Sampled {
		a.warmUp = cmp.Or(a.warmUp, run.WarmUp)
		gate = threshold.NewGate(a.Thresholds, threshold.Config{WarmUp: a.warmUp, Window: a.ThresholdWindow, Sending: run.Duration})
		for _, w := range run.Windows {
			gate.Add(w)
		}
	}
	if run.WarmUp = a.warmUp; a.result.Sampled {
		run.Thresholds = gate.Judged()
		return nil
	}
	run.Thresholds = a.result.Judge(a.Thresholds, a.warmUp, a.ThresholdWindow)
	if a.warmUp > 0 {
		a.result.Notes = append(a.result.Notes, fmt.Sprintf("the files are totals, from which the first %v cannot be taken: over the whole run thresholds are judged with them", a.warmUp))
	}
	return nil
}

func names(list []report.Traffic, of func(*report.Traffic) string) []string {
	var all []string
	for i := range list {
		all = append(all, of(&list[i]))
	}
	return all
}

// compare compares with an earlier result, or with the history.
func (a *analyst) compare(ctx context.Context, profiler *results.Profiler) error {
	if a.against != "" || a.Baseline != "" { // what a report said of another comparison
		run := &a.result.Run
		run.Notes = slices.DeleteFunc(run.Notes, func(text string) bool { return text == notCompared(run.Baseline) })
	}
	switch {
	case a.against != "":
		return a.compareFile(profiler)
	case a.Baseline != "":
		return a.compareHistory(ctx)
	}
	return nil
}

// compareFile compares with an earlier result.
func (a *analyst) compareFile(profiler *results.Profiler) error {
	earlier := results.NewProfiler(a.warmUp)
	prefix := ""
	if isLocustPrefix(a.against) {
		prefix = a.against
	}
	base, err := a.read(a.against, prefix, "", earlier.Window)
	if err != nil {
		return err
	}
	run := &a.result.Run
	run.Baseline = a.against
	if base.Run.All.Requests == 0 || run.All.Requests == 0 {
		run.Comparison = nil // the conclusion says that nothing could be compared
		return nil
	}
	if err := results.Comparable(&base.Run, run); err != nil {
		return usageError{fmt.Errorf("--against %s: %w", a.against, err)}
	}
	for _, note := range base.Notes {
		a.result.Notes = append(a.result.Notes, a.against+": "+note)
	}
	compared := results.Compare(base, a.result, earlier.Profile(base, a.against), profiler.Profile(a.result, a.name()))
	run.Comparison = &compared
	return nil
}

// isLocustPrefix tells a prefix of Locust's files from a file.
func isLocustPrefix(path string) bool {
	if _, err := os.Stat(path); err == nil {
		return false
	}
	for _, suffix := range []string{"_stats.csv", "_requests.csv"} {
		if _, err := os.Stat(path + suffix); err == nil {
			return true
		}
	}
	return false
}

// compareHistory compares a report of soakd's own with the history.
func (a *analyst) compareHistory(ctx context.Context) error {
	run := &a.result.Run
	if a.foreign {
		return usageError{fmt.Errorf("--baseline (SOAKD_BASELINE): the history has runs of soakd alone, and %s is of %s: compare it with an earlier file (--against)", a.name(), run.Tool)}
	}
	store, err := a.openHistory(ctx, true)
	if err != nil {
		return err
	}
	c := (*chronicle)(nil)
	if store != nil {
		c = &chronicle{store: store, series: history.Series{Target: run.Target}, workload: run.Workload}
	}
	reference, label, err := c.gateReference(ctx, a.Baseline)
	if store != nil {
		err = errors.Join(err, store.Close())
	}
	if err != nil {
		return err
	}
	run.Baseline, run.Comparison = label, nil
	if reference == nil {
		a.noBaseline = noRunPassed
		return nil
	}
	cfg := gateComparisonConfig{Duration: run.Elapsed, WarmUp: max(a.warmUp, run.WarmUp)}
	if run.Model == "closed" {
		cfg.Users = run.Users
	}
	comparison := newGateComparison(cfg, reference)
	for _, w := range run.Windows {
		comparison.window(w)
	}
	run.Comparison = comparison.comparison()
	return nil
}

// doubt draws the conclusion anew after something went wrong around it.
func (a *analyst) doubt(failed error) {
	a.failed = append(a.failed, failed)
	a.conclude()
}

// conclude draws the conclusion.
func (a *analyst) conclude() {
	run := &a.result.Run
	a.note(a.result.Notes...)
	if a.noBaseline != "" {
		a.note(notCompared(run.Baseline))
	}
	c := report.Circumstances{
		Ended: a.result.Cut, OK: run.All.Requests - run.All.Failed, Answered: answered(&run.All),
		Compared: a.against != "" || a.Baseline != "" || (a.result.FromReport && run.Comparison != nil), NoBaseline: a.noBaseline,
		Failed: a.failed,
	}
	if own := run.Status; own != nil {
		c.NoneFit = own.Fitness.Windows > 0 && own.Fitness.Unfit == own.Fitness.Windows
	}
	for _, text := range a.kept() {
		if cutShort(text) {
			c.Ended = text
		} else {
			c.Open = append(c.Open, text)
		}
	}
	run.Conclusion = report.Conclude(run, &c)
}

// note adds notes that the run has not yet.
func (a *analyst) note(texts ...string) {
	run := &a.result.Run
	for _, text := range texts {
		if !slices.Contains(run.Notes, text) {
			run.Notes = append(run.Notes, text)
		}
	}
}

// answered tells that the target answered at all: rightly, or in a way that only an answer can be wrong in.
func answered(all *report.Traffic) bool {
	if all.Requests > all.Failed {
		return true
	}
	return slices.ContainsFunc(all.Failures, func(f report.Failure) bool {
		return !slices.Contains([]string{"timeout", "connect", "reset", "tls", "dns"}, f.Outcome)
	})
}

// cutShort tells by the reason for which a run was not judged that it ended before its
// time. What ended early since it could only fail has failed all the same.
func cutShort(text string) bool {
	return strings.HasPrefix(text, "interrupted after ") || strings.HasSuffix(text, "the run was cut short")
}

// kept are the reasons for which a report was not judged, and which no other threshold
// takes away: that the run was interrupted, soakd was not fit, or, unless it is compared anew,
// that nothing could be compared.
func (a *analyst) kept() []string {
	if !a.result.FromReport {
		return nil
	}
	run := &a.result.Run
	known := map[string]bool{}
	for _, one := range a.recordedTexts() {
		known[one] = true
	}
	anew := a.against != "" || a.Baseline != ""
	var texts []string
	for _, text := range a.recorded.Unknown {
		if !known[text] && !strings.HasPrefix(text, "there was nothing to judge by") && !strings.HasPrefix(text, "there is too little to compare") &&
			(!anew || !strings.HasPrefix(text, "nothing could be compared")) && run.All.Requests > 0 {
			texts = append(texts, text)
		}
	}
	return texts
}

// recordedTexts are what thresholds and the verdict of a report said.
func (a *analyst) recordedTexts() []string {
	var texts []string
	if v := a.result.Run.Verdict; v != nil && v.Result == judge.Unknown {
		texts = append(texts, v.Text, strings.TrimPrefix(v.Text, "not known: "))
	}
	for _, one := range a.result.Recorded {
		texts = append(texts, one.Text)
	}
	return texts
}
