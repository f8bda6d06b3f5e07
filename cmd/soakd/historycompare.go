package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"soakd/internal/history"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/window"
)

// baselineWord starts the name of a baseline where a run could be named too.
const baselineWord = "baseline="

// side is one of the two things that are compared.
type side struct {
	// name says what it is to a person.
	name             string
	target, workload string
	profile          *baseline.Profile
}

// comparedRuns is what `compare --json` prints.
type comparedRuns struct {
	Before string `json:"before"`
	After  string `json:"after"`
	baseline.Comparison
}

func (h *historian) compare(ctx context.Context, words []string) error {
	before, err := h.side(ctx, words[0])
	if err != nil {
		return err
	}
	after, err := h.side(ctx, words[1])
	if err != nil {
		return err
	}
	if before.workload != after.workload {
		return usageError{fmt.Errorf("%s is of the workload %s and %s of %s: only runs of one workload can be compared", before.name, before.workload, after.name, after.workload)}
	}
	compared := baseline.Compare(before.profile, after.profile, baseline.Limits{})
	if h.json {
		err = h.encode(comparedRuns{before.name, after.name, compared})
	} else {
		h.printComparison(before, after, &compared)
	}
	return errors.Join(err, h.conclusion(compared.Result))
}

// conclusion turns the result into the error whose exit code says it.
func (h *historian) conclusion(result baseline.Result) error {
	switch result {
	case baseline.Worse:
		return failedError{errors.New("it is worse")}
	case baseline.NotEnoughData:
		return errors.New("there is too little to tell")
	}
	return nil
}

// side returns the profile of a run, or the baseline of a name.
func (h *historian) side(ctx context.Context, word string) (side, error) {
	if name, found := strings.CutPrefix(word, baselineWord); found {
		stored, err := h.oneBaseline(ctx, name)
		if err != nil {
			return side{}, err
		}
		profile := new(baseline.Profile)
		if err := profile.UnmarshalBinary(stored.Profile); err != nil {
			return side{}, fmt.Errorf("baseline %q: %w", name, err)
		}
		return side{name: "baseline " + name, target: stored.Target, workload: stored.Workload, profile: profile}, nil
	}
	run, err := h.findRun(ctx, word)
	if err != nil {
		return side{}, err
	}
	profile, err := h.bestProfile(ctx, &run, wantedVersion(word, &run))
	return side{name: "run " + run.ID, target: run.Target, workload: run.Workload, profile: profile}, err
}

// wantedVersion is which of a run's versions of the target is meant: the one that
// was asked for, else the last. Of a run with one version it is "", so that minutes
// in which it was not known yet count too.
func wantedVersion(word string, run *history.Run) string {
	if len(run.Versions) < 2 {
		return ""
	}
	if version, found := strings.CutPrefix(word, "version="); found {
		return version
	}
	return run.Versions[len(run.Versions)-1].Name
}

// profile makes what the target was like in a run from its minutes, or from what is
// left of them: windows of 5 minutes.
func (h *historian) profile(ctx context.Context, run *history.Run, version string) (*baseline.Profile, error) {
	for _, level := range []time.Duration{window.Minute, window.Five} {
		builder, stored := baseline.NewBuilder(baseline.Config{Version: version}), 0
		for one, err := range h.store.Windows(ctx, history.WindowQuery{Run: run.ID, Level: level}) {
			if err != nil {
				return nil, err
			}
			w, err := window.Decode(one.Data)
			if err != nil {
				return nil, fmt.Errorf("run %s: the window of %v: %w", run.ID, one.Start, err)
			}
			builder.Observe(w)
			stored++
		}
		if stored > 0 {
			return builder.Profile(), nil
		}
	}
	return nil, fmt.Errorf("run %s: %w: no windows of 1 min or 5 min are left (SOAKD_HISTORY_RETENTION)", run.ID, history.ErrNotFound)
}

// bestProfile is the profile of a run from its windows, and for a run that was too
// short for that, or of which no windows are left, one that it stored itself.
func (h *historian) bestProfile(ctx context.Context, run *history.Run, version string) (*baseline.Profile, error) {
	made, err := h.profile(ctx, run, version)
	if err != nil && !errors.Is(err, history.ErrNotFound) {
		return nil, err
	}
	if err == nil && made.Windows >= leastProfile {
		return made, nil
	}
	all, failure := h.store.Baselines(ctx, run.Target)
	if failure != nil {
		return nil, failure
	}
	for i := range all {
		one := &all[i]
		if one.Run != run.ID || one.Workload != run.Workload || (version != "" && one.Version != version) {
			continue
		}
		found, failure := h.store.Baseline(ctx, one.Target, one.Workload, one.Name)
		stored := new(baseline.Profile)
		if failure == nil && stored.UnmarshalBinary(found.Profile) == nil && (made == nil || stored.Covered() > made.Covered()) {
			return stored, nil
		}
	}
	return made, err
}

// describe says what a side is about.
func (s *side) describe() string {
	p := s.profile
	if p.Windows == 0 {
		return s.name + ": no window can be used: all were unfit, of other versions, or while the target warmed up"
	}
	return fmt.Sprintf("%s: version %s, %d windows of %v, %s to %s UTC", s.name, cmp.Or(p.Version, "not known"), p.Windows, p.Window, p.From.UTC().Format(stamp), p.To.UTC().Format(stamp))
}

func (h *historian) printComparison(before, after side, compared *baseline.Comparison) {
	h.printf("A  %s\nB  %s\n", before.describe(), after.describe())
	if before.target != after.target {
		h.printf("they are of different targets: %s and %s\n", before.target, after.target)
	}
	h.printf("\n%s\n\n", strings.ReplaceAll(string(compared.Result), "_", " "))
	rows := make([][]string, len(compared.Rows))
	for i := range compared.Rows {
		row := &compared.Rows[i]
		of := cmp.Or(row.Case, "class "+row.Class)
		rows[i] = []string{
			of, row.Signal, strings.ReplaceAll(string(row.Result), "_", " "), figureText(row, row.Before), figureText(row, row.After), ratioText(row), fmt.Sprint(row.Windows), fmt.Sprint(row.Requests),
		}
	}
	h.table("of|figure|result|A|B|B/A (95 %)|windows|requests", rows)
	if len(compared.Unknown) > 0 {
		h.printf("\nnot known:\n")
		for _, line := range compared.Unknown {
			h.printf("  %s\n", line)
		}
	}
}

// figureText writes a figure of a row in its unit.
func figureText(row *baseline.Row, value float64) string {
	switch {
	case row.Signal == baseline.ErrorRatio:
		return fmt.Sprintf("%.3g %%", 100*value)
	case value == 0:
		return "-"
	case value < 1:
		return fmt.Sprintf("%.3g ms", 1000*value)
	}
	return fmt.Sprintf("%.3g s", value)
}

// ratioText writes the ratio with its interval.
func ratioText(row *baseline.Row) string {
	if row.Ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g (%.3g to %.3g)", row.Ratio, row.Low, row.High)
}

func (h *historian) baselineSet(ctx context.Context, words []string) error {
	name := words[0]
	if !baselineName.MatchString(name) {
		return usageError{fmt.Errorf("%.80q must be 1 to 64 letters, digits, dots, dashes or underscores, such as release-1.4", name)}
	}
	if name == lastPassed {
		return usageError{fmt.Errorf("%s is the name that soakd itself keeps for the latest bounded run that passed: choose another", lastPassed)}
	}
	run, err := h.findRun(ctx, words[1])
	if err != nil {
		return err
	}
	profile, err := h.bestProfile(ctx, &run, wantedVersion(words[1], &run))
	if err != nil {
		return err
	}
	made := side{name: "run " + run.ID, profile: profile}
	if profile.Windows == 0 {
		return errors.New(made.describe())
	}
	data, err := profile.MarshalBinary()
	if err != nil {
		return err
	}
	err = h.store.SetBaseline(ctx, history.Baseline{
		Target: run.Target, Workload: run.Workload, Name: name, Run: run.ID, Version: profile.Version, Created: h.now(), Pinned: true, Profile: data,
	})
	if err == nil {
		h.printf("baseline %s of %s: %s\n", name, run.Target, made.describe())
	}
	return err
}

// checkProfile finds baselines that cannot be compared with.
func checkProfile(stored history.Baseline) error {
	return new(baseline.Profile).UnmarshalBinary(stored.Profile)
}
