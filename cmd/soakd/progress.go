package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/threshold"
	"soakd/internal/load"
	"soakd/internal/report"
	"soakd/internal/terminal"
)

// progress shows a run to whoever started it. Its methods are called one after the
// other.
type progress interface {
	// start says what runs.
	start(b beginning)
	// follow shows what happens until ctx ends.
	follow(ctx context.Context, r course)
	// finish says what the run came to, and which files were written.
	finish(run *report.Run, written []string)
}

// beginning is what a run is told to be.
type beginning struct {
	status  report.Status
	heading report.Heading
	watched []report.Watched
	// note is for people and may hold a secret that is good on this machine alone: it
	// goes to no log.
	note string
}

// course is a run that goes on.
type course struct {
	// status is the run now.
	status func() report.Status
	// window is what finished since it was called last, with the status now.
	window func(now time.Time) (report.Status, load.Window)
	// thresholds are what they come to so far; nil when there are none.
	thresholds func() []threshold.Judged
}

// progressSettings say how a run is shown.
type progressSettings struct {
	Progress         string        `envconfig:"PROGRESS" default:"auto" desc:"How a run is shown on standard output: table, one that is redrawn in place, for terminals; lines, one now and then; none, nothing before the end; auto: the table in a terminal, and lines elsewhere, in CI, and with SOAKD_HEADLESS."`
	ProgressInterval time.Duration `envconfig:"PROGRESS_INTERVAL" default:"5s" desc:"Time between two progress lines on standard output; the table has new figures at least every 2s. 0s means none."`
	Headless         bool          `envconfig:"HEADLESS" default:"false" desc:"As Locust's --headless: lines in place of the table. soakd needs no other."`
	Quiet            bool          `envconfig:"QUIET" default:"false" desc:"Whether standard output gets nothing but one line with the result, and the log errors alone."`
	LogLevel         string        `envconfig:"LOG_LEVEL" default:"info" desc:"debug, info, warn or error."`
	LogFormat        string        `envconfig:"LOG_FORMAT" default:"text" desc:"text or json; with json standard output is JSON too, one object a line."`
}

// The ways to show a run.
const (
	progressAuto  = "auto"
	progressTable = "table"
	progressLines = "lines"
	progressNone  = "none"
)

// validate takes note of every mistake.
func (s *progressSettings) validate(m *mistakes) {
	switch s.Progress {
	case progressAuto, progressTable, progressLines, progressNone:
	default:
		m.check(false, "PROGRESS: %q must be auto, table, lines or none", s.Progress)
	}
	m.check(s.ProgressInterval >= 0, "PROGRESS_INTERVAL: %v must be 0s (none) or more", s.ProgressInterval)
	if _, err := s.level(); err != nil {
		m.check(false, "LOG_LEVEL: %w", err)
	}
	m.check(s.LogFormat == "text" || s.LogFormat == "json", "LOG_FORMAT: %q must be text or json", s.LogFormat)
	m.check(s.Progress != progressTable || s.LogFormat != "json", "PROGRESS: a table is no JSON, which SOAKD_LOG_FORMAT asks for: give another of them")
	m.check(s.Progress != progressTable || !s.Headless, "PROGRESS: a table is not what SOAKD_HEADLESS asks for: give one of them")
}

// interval is the time between two lines, 0 for none.
func (s *progressSettings) interval() time.Duration {
	if s.Progress == progressNone || s.Quiet {
		return 0
	}
	return s.ProgressInterval
}

// newProgress returns what shows a run.
func (s *progressSettings) newProgress(stdout io.Writer) progress {
	switch {
	case s.LogFormat == "json":
		return &jsonProgress{w: stdout, interval: s.interval(), quiet: s.Quiet}
	case s.Quiet:
		return quietProgress{stdout}
	}
	return &lineProgress{w: stdout, interval: s.interval()}
}

// ciVariables are set by CI servers: GitHub's and GitLab's (and most others) CI,
// TeamCity's, Azure's and Jenkins' their own.
var ciVariables = []string{"CI", "GITHUB_ACTIONS", "GITLAB_CI", "TEAMCITY_VERSION", "TF_BUILD", "JENKINS_URL", "BUILDKITE"} //nolint:gochecknoglobals // never changed

// inCI tells whether a CI server runs soakd: one of its variables is set, and not to
// false.
func inCI(lookup func(string) (string, bool)) bool {
	for _, name := range ciVariables {
		value, _ := lookup(name)
		switch strings.ToLower(value) {
		case "", "false", "0", "no":
		default:
			return true
		}
	}
	return false
}

func (s *progressSettings) level() (slog.Level, error) {
	switch s.LogLevel {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q must be debug, info, warn or error", s.LogLevel)
}

// lineProgress writes a banner, lines and a table at the end.
type lineProgress struct {
	w        io.Writer
	interval time.Duration
}

func (p *lineProgress) start(b beginning) {
	p.print(b.note + report.Banner(b.status, b.heading, b.watched))
}

func (p *lineProgress) follow(ctx context.Context, r course) {
	each(ctx, p.interval, func(now time.Time) {
		p.print(report.ProgressLine(r.window(now)))
	})
}

func (p *lineProgress) finish(run *report.Run, written []string) {
	text := report.Table(*run.Status) + report.Judgement(*run.Verdict, run.Findings) + judgedText(run)
	if run.Duration > 0 { // why it did not pass is on standard error, as the last line
		text += "\nresult: " + resultWords(run.Conclusion.Result) + "\n"
	}
	if len(written) > 0 {
		text += "\nwritten: " + strings.Join(written, ", ") + "\n"
	}
	p.print(text)
}

// resultWords are the words with which a conclusion begins.
func resultWords(result judge.Result) string {
	switch result {
	case judge.Pass:
		return "passed"
	case judge.Fail:
		return "failed"
	}
	return "could not judge"
}

// print writes to standard output; that nobody reads it must not end the run.
func (p *lineProgress) print(text string) { _, _ = io.WriteString(p.w, text) }

// each calls do once an interval until ctx ends; never when the interval is 0.
func each(ctx context.Context, interval time.Duration, do func(now time.Time)) {
	if interval == 0 {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			do(now)
		}
	}
}

// quietProgress writes one line with the result.
type quietProgress struct{ w io.Writer }

func (quietProgress) start(beginning)                {}
func (quietProgress) follow(context.Context, course) {}

func (p quietProgress) finish(run *report.Run, _ []string) {
	_, _ = io.WriteString(p.w, terminal.Clean(onOneLine(result(run).text))+"\n")
}

// ended is what a run came to, for its command.
type ended struct {
	result   string
	exitCode int
	text     string
}

// result says what a run came to. One without end is stopped by somebody, which is no
// failure: what it came to is its verdict.
func result(run *report.Run) ended {
	if run.Duration == 0 && run.Verdict != nil {
		return ended{result: string(run.Verdict.Result), text: run.Verdict.Text}
	}
	c := run.Conclusion
	return ended{result: string(c.Result), exitCode: c.ExitCode, text: c.Text}
}

// onOneLine puts a text on one line.
func onOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
