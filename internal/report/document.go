package report

import (
	"time"

	"soakd/internal/load"
	"soakd/internal/probes"
)

// StatusDocument is the run at one moment, as /api/v1/status gives it. Times are
// seconds. It holds no secrets.
type StatusDocument struct {
	Version  string `json:"soakd_version"`
	Target   string `json:"target"`
	Workload string `json:"workload"`
	// Model is "open" or "closed".
	Model string `json:"model"`
	// Rate is what is set, TargetRate what is aimed at now, in arrivals a second; both
	// 0 in the closed model.
	Rate       float64   `json:"rate"`
	TargetRate float64   `json:"target_rate"`
	Users      int       `json:"users"`
	Start      time.Time `json:"start"`
	Elapsed    float64   `json:"elapsed_seconds"`
	// Duration is how long the run was asked to send, 0 for ever.
	Duration float64          `json:"duration_seconds"`
	Arrivals ArrivalsDocument `json:"arrivals"`
	// Windows and FitWindows count windows of 10 s.
	Windows    int64           `json:"windows"`
	FitWindows int64           `json:"fit_windows"`
	Paused     bool            `json:"paused"`
	Circuit    string          `json:"circuit"`
	Cases      []CaseDocument  `json:"cases"`
	All        CaseDocument    `json:"all"`
	Probes     []ProbeDocument `json:"probes"`
}

// ArrivalsDocument is the account of arrivals: scheduled = sent + waiting + dropped.
type ArrivalsDocument struct {
	Scheduled int64            `json:"scheduled"`
	Sent      int64            `json:"sent"`
	Waiting   int64            `json:"waiting"`
	Dropped   map[string]int64 `json:"dropped"`
	InFlight  int64            `json:"in_flight"`
	Cut       int64            `json:"cut"`
}

// CaseDocument is what one case came to; Case is "" for all together.
type CaseDocument struct {
	Case     string           `json:"case,omitempty"`
	Class    string           `json:"class,omitempty"`
	Requests int64            `json:"requests"`
	Failed   int64            `json:"failed"`
	Failures map[string]int64 `json:"failures,omitempty"`
	// ResponseTime runs from the intended start, Duration from the send.
	ResponseTime QuantilesDocument `json:"response_time"`
	Duration     QuantilesDocument `json:"duration"`
}

// QuantilesDocument are times in seconds.
type QuantilesDocument struct {
	Timed int64   `json:"timed"`
	P50   float64 `json:"p50_seconds"`
	P95   float64 `json:"p95_seconds"`
	P99   float64 `json:"p99_seconds"`
	P999  float64 `json:"p999_seconds"`
	Max   float64 `json:"max_seconds"`
	// AtLeast tells that slow answers are missing: the true times are these or longer.
	AtLeast bool `json:"at_least,omitempty"`
}

// ProbeDocument is how one probe fares.
type ProbeDocument struct {
	Probe   string `json:"probe"`
	Success bool   `json:"success"`
	Stale   bool   `json:"stale,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Error is why the latest poll failed, in one line.
	Error       string    `json:"error,omitempty"`
	Polls       uint64    `json:"polls"`
	LastSuccess time.Time `json:"last_success,omitzero"`
}

// Document writes a status as JSON readers get it.
func Document(s Status) StatusDocument {
	d := StatusDocument{
		Version: Version(), Target: s.Target, Workload: s.Workload, Model: "open", Rate: s.Rate, TargetRate: s.TargetRate, Users: s.Users, Start: s.Start.UTC(),
		Elapsed: s.Elapsed.Seconds(), Duration: s.Duration.Seconds(), Windows: s.Fitness.Windows, FitWindows: s.Fitness.Windows - s.Fitness.Unfit,
		Paused: s.Throttle.Paused, Circuit: string(circuit(s.Throttle)), All: caseDocument(&s.All), Cases: []CaseDocument{}, Probes: []ProbeDocument{},
		Arrivals: ArrivalsDocument{
			Scheduled: s.Counts.Scheduled, Sent: s.Counts.Sent, Waiting: s.Counts.Waiting, InFlight: s.Counts.InFlight, Cut: s.Counts.Cut, Dropped: map[string]int64{},
		},
	}
	if s.Closed {
		d.Model, d.Rate = "closed", 0
	}
	for reason, n := range s.Counts.Dropped {
		d.Arrivals.Dropped[string(reason)] = n
	}
	for i := range s.Cases {
		d.Cases = append(d.Cases, caseDocument(&s.Cases[i]))
	}
	for i := range s.Probes {
		d.Probes = append(d.Probes, probeDocument(&s.Probes[i]))
	}
	return d
}

func caseDocument(c *load.CaseSummary) CaseDocument {
	d := CaseDocument{
		Case: c.Name, Class: string(c.Class), Requests: c.Finished, Failed: c.Failed(), Failures: map[string]int64{},
		ResponseTime: quantilesDocument(c.ResponseTime), Duration: quantilesDocument(c.Duration),
	}
	for _, f := range c.Failures {
		d.Failures[string(f.Outcome)] = f.Count
	}
	return d
}

func quantilesDocument(q load.Quantiles) QuantilesDocument {
	return QuantilesDocument{
		Timed: q.Timed, P50: q.P50.Seconds(), P95: q.P95.Seconds(), P99: q.P99.Seconds(), P999: q.P999.Seconds(), Max: q.Max.Seconds(), AtLeast: q.AtLeast,
	}
}

func probeDocument(p *probes.Status) ProbeDocument {
	d := ProbeDocument{Probe: p.Probe, Success: p.Success, Stale: p.Stale, Reason: string(p.Reason), Polls: p.Polls, LastSuccess: p.LastSuccess.UTC()}
	if p.Err != nil {
		d.Error = p.Err.Error()
	}
	return d
}
