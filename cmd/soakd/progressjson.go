package main

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"slices"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/load"
	"soakd/internal/report"
)

// jsonProgress writes one JSON object a line and nothing else: see [startDocument],
// [progressDocument] and [endDocument].
type jsonProgress struct {
	w        io.Writer
	interval time.Duration
	// quiet leaves only the end.
	quiet bool
}

// startDocument is the first line. It holds no secrets.
type startDocument struct {
	// Time is when the line was written, in UTC; Kind is "start".
	Time         time.Time `json:"time"`
	Kind         string    `json:"kind"`
	SoakdVersion string    `json:"soakd_version"`
	Target       string    `json:"target"`
	Workload     string    `json:"workload"`
	// Model is "open" or "closed"; Rate is the arrivals a second that are set, 0 in the
	// closed model, Users how many virtual users there are.
	Model string  `json:"model"`
	Rate  float64 `json:"rate"`
	Users int     `json:"users"`
	// Duration is how long the run is to send, 0 for ever.
	Duration float64 `json:"duration_seconds"`
	// URL is where soakd is served; the others are in words.
	URL         string `json:"url"`
	Auth        string `json:"auth"`
	Load        string `json:"load"`
	Connections string `json:"connections"`
	Judged      string `json:"judged_by"`
	History     string `json:"history"`
	// Probes says what each kind of probe watches.
	Probes map[string]string `json:"probes"`
}

// progressDocument is what happened in the time since the last such line, and how it
// is now.
type progressDocument struct {
	// Time is when the line was written, in UTC; Kind is "progress".
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	// Elapsed is the time since the start, Window how long the stretch was that the
	// line is about.
	Elapsed float64 `json:"elapsed_seconds"`
	Window  float64 `json:"window_seconds"`
	// Phase is rising, steady, falling or ended.
	Phase string `json:"phase"`
	// Rate is the requests a second that came to an end, TargetRate the arrivals a
	// second that are aimed at now, 0 in the closed model.
	Rate       float64 `json:"rate"`
	TargetRate float64 `json:"target_rate"`
	// InFlight and Waiting are now, Dropped the arrivals that were not sent and Cut the
	// requests that were given up in the window.
	InFlight int64 `json:"in_flight"`
	Waiting  int64 `json:"waiting"`
	Dropped  int64 `json:"dropped"`
	Cut      int64 `json:"cut"`
	// Requests came to an end in the window, Failed of them with another outcome than
	// ok; Outcomes counts these.
	Requests int64            `json:"requests"`
	Failed   int64            `json:"failed"`
	Outcomes map[string]int64 `json:"outcomes"`
	// The quantiles run from the intended start; absent when nothing was timed. AtLeast
	// tells that they are lower bounds.
	P50     *float64 `json:"p50_seconds,omitempty"`
	P95     *float64 `json:"p95_seconds,omitempty"`
	P99     *float64 `json:"p99_seconds,omitempty"`
	AtLeast bool     `json:"at_least"`
	// HitRatio is Redis' of the last window, 0..1; absent when it is not known.
	HitRatio *float64 `json:"hit_ratio,omitempty"`
	// ProbesDown has the reason for each probe that is down.
	ProbesDown map[string]string `json:"probes_down"`
	Paused     bool              `json:"paused"`
	Circuit    string            `json:"circuit"`
	// Unfit are the reasons why the latest window of 10 s was not fit for judgement.
	Unfit []load.UnfitReason `json:"unfit"`
	// Verdict is what was judged so far: pass, fail or unknown; OpenFindings counts
	// those that last.
	Verdict      string `json:"verdict"`
	OpenFindings int    `json:"open_findings"`
	// Thresholds are what they come to so far.
	Thresholds []threshold.Judged `json:"thresholds,omitempty"`
}

// endDocument is the last line.
type endDocument struct {
	// Time is when the line was written, in UTC; Kind is "end".
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	// Result is pass, fail or unknown, Text says why, ExitCode is what follows from it;
	// 0 for a run without end, which somebody stopped.
	Result   string `json:"result"`
	ExitCode int    `json:"exit_code"`
	Text     string `json:"text"`
	// Thresholds are what they came to.
	Thresholds []threshold.Judged `json:"thresholds,omitempty"`
	// Verdict is that of the whole run, Findings how many findings there were.
	Verdict  string `json:"verdict"`
	Findings int    `json:"findings"`
	// Written are the files that were written.
	Written []string `json:"written,omitempty"`
	// Status is the run at its end, as /api/v1/status gives it, without the cases that
	// had no request.
	Status report.StatusDocument `json:"status"`
}

func (p *jsonProgress) start(b beginning) {
	if p.quiet {
		return
	}
	s, h := b.status, b.heading
	line := startDocument{
		Time: time.Now().UTC(), Kind: "start", SoakdVersion: report.Version(), Target: s.Target, Workload: s.Workload, Model: modelName(s.Closed),
		Rate: s.Rate, Users: s.Users, Duration: s.Duration.Seconds(), URL: h.URL, Auth: h.Auth, Load: h.Load, Connections: h.Connection,
		Judged: h.Judged, History: h.Kept, Probes: map[string]string{},
	}
	for _, one := range b.watched {
		line.Probes[one.Name] = one.What
	}
	p.write(line)
}

// modelName names the load model.
func modelName(closed bool) string {
	if closed {
		return modelClosed
	}
	return modelOpen
}

func (p *jsonProgress) follow(ctx context.Context, r course) {
	each(ctx, p.interval, func(now time.Time) {
		status, w := r.window(now)
		line := newProgressDocument(now, &status, &w)
		if r.thresholds != nil {
			line.Thresholds = r.thresholds()
		}
		p.write(line)
	})
}

// newProgressDocument says what happened in a window.
func newProgressDocument(now time.Time, s *report.Status, w *load.Window) progressDocument {
	line := progressDocument{
		Time: now.UTC(), Kind: "progress", Elapsed: s.Elapsed.Seconds(), Window: w.Length.Seconds(), Phase: string(s.Phase),
		TargetRate: s.TargetRate, InFlight: s.Counts.InFlight, Waiting: s.Counts.Waiting, Dropped: w.Dropped, Cut: w.Cut,
		Requests: w.Finished, Failed: w.Failed(), Outcomes: map[string]int64{}, AtLeast: w.ResponseTime.AtLeast,
		ProbesDown: map[string]string{}, Paused: s.Throttle.Paused, Circuit: cmp.Or(string(s.Throttle.Circuit.State), string(load.CircuitClosed)),
		Unfit: append([]load.UnfitReason{}, s.Fitness.Latest...), Verdict: string(s.Verdict.Result),
	}
	if w.Length > 0 {
		line.Rate = float64(w.Finished) / w.Length.Seconds()
	}
	for _, f := range w.Failures {
		line.Outcomes[string(f.Outcome)] = f.Count
	}
	if q := w.ResponseTime; q.Timed > 0 {
		line.P50, line.P95, line.P99 = seconds(q.P50), seconds(q.P95), seconds(q.P99)
	}
	if ratio, ok := s.HitRatio(); ok {
		line.HitRatio = &ratio
	}
	for _, probe := range s.Probes {
		if probe.Known && !probe.Success {
			line.ProbesDown[probe.Probe] = string(probe.Reason)
		}
	}
	for i := range s.Findings {
		if s.Findings[i].Open() {
			line.OpenFindings++
		}
	}
	return line
}

func seconds(d time.Duration) *float64 {
	value := d.Seconds()
	return &value
}

func (p *jsonProgress) finish(run *report.Run, written []string) {
	came := result(run)
	line := endDocument{
		Time: time.Now().UTC(), Kind: "end", Result: came.result, ExitCode: came.exitCode, Text: came.text,
		Thresholds: run.Thresholds, Findings: len(run.Findings), Written: written, Status: report.Document(*run.Status),
	}
	line.Status.Cases = slices.DeleteFunc(line.Status.Cases, func(c report.CaseDocument) bool { return c.Requests == 0 })
	if run.Verdict != nil {
		line.Verdict = string(run.Verdict.Result)
	}
	p.write(line)
}

// write writes one line; that nobody reads it must not end the run.
func (p *jsonProgress) write(line any) {
	_ = json.NewEncoder(p.w).Encode(line) // all of it can be encoded: no figure is infinite
}
