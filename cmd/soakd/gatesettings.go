package main

import (
	"fmt"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/report"
)

// gateSettings say what a run is held to and where its reports go.
type gateSettings struct {
	Thresholds      threshold.List `envconfig:"THRESHOLDS" desc:"Limits that a bounded run has to keep, separated by semicolons: rate>=50; error_rate<=0.01; p95<=300ms; p99{class=monte_carlo}<=5s. Each is held over the whole run and over its worst window."`
	ThresholdWindow time.Duration  `envconfig:"THRESHOLD_WINDOW" default:"30s" desc:"Length of the windows of which the worst has to keep the thresholds, whole tens of seconds from 10s to 1h."`
	WarmUp          warmUp         `envconfig:"WARM_UP" default:"auto" desc:"Time at the start of a bounded run that thresholds and the comparison leave out; auto: the ramp-up and a tenth of the duration, at most 1m, in whole tens of seconds."`
	AbortEarly      bool           `envconfig:"ABORT_EARLY" default:"false" desc:"Whether a bounded run ends as soon as a threshold can no longer be kept."`

	Out            string `envconfig:"OUT" desc:"Folder for the reports of a run, written at its end: report.html, report.json, report.md, junit.xml, Locust's CSV files and the metrics; empty: none."`
	CSV            string `envconfig:"CSV" desc:"Start of the names of Locust's four CSV files: results/staging makes results/staging_stats.csv and so on; empty: none but those in SOAKD_OUT."`
	CSVFullHistory bool   `envconfig:"CSV_FULL_HISTORY" default:"false" desc:"Whether the history among the CSV files has a row for each case too, and not only for all of them together."`
}

// warmUp is a time, or less than 0 for what fits the run. Its text is 10s or auto.
type warmUp time.Duration

// autoWarmUp stands for what fits the run.
const autoWarmUp warmUp = -1

// UnmarshalText reads a warm-up.
func (w *warmUp) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*w = autoWarmUp
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is neither auto nor a time of 0s or more such as 10s", text)
	}
	*w = warmUp(d)
	return nil
}

func (w warmUp) String() string {
	if w < 0 {
		return "auto"
	}
	return time.Duration(w).String()
}

// of returns the warm-up of a run. Windows of 10 s are left out whole: it is rounded
// up where it was set, and down where it was not.
func (w warmUp) of(duration, rampUp time.Duration) time.Duration {
	if w >= 0 {
		return (time.Duration(w) + window.Short - 1) / window.Short * window.Short
	}
	const share, most = 10, time.Minute
	return (rampUp + window.Short - 1).Truncate(window.Short) + min(duration/share, most).Truncate(window.Short)
}

// validate takes note of every mistake.
func (s *gateSettings) validate(m *mistakes, duration, rampUp time.Duration) {
	m.check(s.ThresholdWindow >= window.Short && s.ThresholdWindow <= time.Hour && s.ThresholdWindow%window.Short == 0,
		"THRESHOLD_WINDOW: %v must be whole tens of seconds from 10s to 1h", s.ThresholdWindow)
	bounded := duration > 0
	m.check(bounded || len(s.Thresholds) == 0, "THRESHOLDS: only a bounded run can be held to them: give SOAKD_DURATION (--duration 3m) too")
	m.check(bounded || !s.AbortEarly, "ABORT_EARLY: only a bounded run ends early: give SOAKD_DURATION (--duration 3m) too")
	m.check(!s.AbortEarly || len(s.Thresholds) > 0, "ABORT_EARLY: there is no threshold that could not be kept any more: give SOAKD_THRESHOLDS too")
	if w := s.WarmUp.of(duration, rampUp); bounded && (s.WarmUp >= 0 || len(s.Thresholds) > 0) {
		w = max(w, time.Duration(s.WarmUp)) // what is too long to be rounded up
		m.check(w < duration, "WARM_UP: %v leaves nothing of SOAKD_DURATION (%v) to judge: give less, or run longer", w, duration)
	}
}

// prepare makes the folders for reports and proves that they can be written, before
// anything is measured for nothing.
func (s *gateSettings) prepare(m *mistakes) {
	if s.Out != "" {
		if err := report.Prepare(s.Out); err != nil {
			m.check(false, "OUT: %w", err)
		}
	}
	if s.CSV != "" {
		if err := report.PrepareLocust(s.CSV); err != nil {
			m.check(false, "CSV: %w", err)
		}
	}
}
