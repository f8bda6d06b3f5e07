package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/threshold"
)

// SchemaID names the form of report.json. Whatever a reader could stumble over changes
// the number; fields that are added do not.
const SchemaID = "urn:soakd:report:v1"

// maxReport bounds a report that is read: 64 MiB are many times one of 240 windows.
const maxReport = 64 << 20

// runDocument is report.json; its fields are told in report.schema.json.
type runDocument struct {
	Schema        string               `json:"schema"`
	WrittenBy     string               `json:"written_by"`
	Tool          string               `json:"tool"`
	ToolVersion   string               `json:"tool_version,omitempty"`
	Target        string               `json:"target,omitempty"`
	Workload      string               `json:"workload,omitempty"`
	TargetVersion string               `json:"target_version,omitempty"`
	Model         string               `json:"model,omitempty"`
	Rate          float64              `json:"rate"`
	Users         int                  `json:"users"`
	Start         time.Time            `json:"start"`
	Elapsed       float64              `json:"elapsed_seconds"`
	Duration      float64              `json:"duration_seconds"`
	WarmUp        float64              `json:"warm_up_seconds"`
	Conclusion    Conclusion           `json:"conclusion"`
	Own           *ownDocument         `json:"soakd,omitempty"`
	All           trafficDocument      `json:"all"`
	Classes       []trafficDocument    `json:"classes"`
	Cases         []trafficDocument    `json:"cases"`
	Thresholds    []threshold.Judged   `json:"thresholds"`
	Verdict       *judge.Verdict       `json:"verdict,omitempty"`
	Findings      []judge.Finding      `json:"findings"`
	Baseline      string               `json:"baseline,omitempty"`
	Comparison    *baseline.Comparison `json:"comparison,omitempty"`
	Points        []pointDocument      `json:"points"`
	Examples      []exampleDocument    `json:"examples"`
	Windows       [][]byte             `json:"windows"`
	Notes         []string             `json:"notes,omitempty"`
}

// ownDocument is soakd's own account of a run.
type ownDocument struct {
	Arrivals ArrivalsDocument `json:"arrivals"`
	Fitness  fitnessDocument  `json:"fitness"`
	HeldBack heldDocument     `json:"held_back"`
	Probes   []ProbeDocument  `json:"probes"`
}

type fitnessDocument struct {
	Windows  int64            `json:"windows"`
	Unfit    int64            `json:"unfit_windows"`
	ByReason map[string]int64 `json:"by_reason"`
}

type heldDocument struct {
	Trips     int64 `json:"circuit_trips"`
	Relapses  int64 `json:"circuit_relapses"`
	User      int64 `json:"asked_for_one_user"`
	Everybody int64 `json:"asked_for_everybody"`
	Capped    int64 `json:"asked_for_too_long"`
}

type trafficDocument struct {
	Case         string            `json:"case,omitempty"`
	Class        string            `json:"class,omitempty"`
	Method       string            `json:"method,omitempty"`
	Invalid      bool              `json:"invalid,omitempty"`
	Requests     int64             `json:"requests"`
	Failed       int64             `json:"failed"`
	Failures     []failureDocument `json:"failures"`
	Bytes        *int64            `json:"bytes,omitempty"`
	ResponseTime timesDocument     `json:"response_time"`
	ServiceTime  timesDocument     `json:"service_time"`
}

type failureDocument struct {
	Outcome string    `json:"outcome"`
	Count   int64     `json:"count"`
	Reason  string    `json:"reason,omitempty"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
}

type timesDocument struct {
	Timed     int64              `json:"timed"`
	Mean      *float64           `json:"mean_seconds,omitempty"`
	Min       *float64           `json:"min_seconds,omitempty"`
	Max       *float64           `json:"max_seconds,omitempty"`
	Quantiles map[string]float64 `json:"quantiles_seconds"`
	AtLeast   bool               `json:"at_least,omitempty"`
	Histogram *histogramDocument `json:"histogram,omitempty"`
}

type histogramDocument struct {
	Schema int `json:"native_schema"`
	// Buckets are pairs of a bucket's number and what it counts.
	Zeros   int64      `json:"zeros"`
	Buckets [][2]int64 `json:"buckets"`
	Binary  []byte     `json:"binary"`
}

type pointDocument struct {
	Start    time.Time           `json:"start"`
	Length   float64             `json:"length_seconds"`
	Requests int64               `json:"requests"`
	Failed   int64               `json:"failed"`
	Dropped  int64               `json:"dropped"`
	Users    int                 `json:"users,omitempty"`
	P50      *float64            `json:"p50_seconds,omitempty"`
	P95      *float64            `json:"p95_seconds,omitempty"`
	P99      *float64            `json:"p99_seconds,omitempty"`
	Max      *float64            `json:"max_seconds,omitempty"`
	Outcomes map[string]int64    `json:"outcomes"`
	Unfit    []string            `json:"unfit,omitempty"`
	Cases    []pointCaseDocument `json:"cases"`
}

type pointCaseDocument struct {
	Case     string   `json:"case"`
	Requests int64    `json:"requests"`
	Failed   int64    `json:"failed"`
	P50      *float64 `json:"p50_seconds,omitempty"`
	P95      *float64 `json:"p95_seconds,omitempty"`
	P99      *float64 `json:"p99_seconds,omitempty"`
}

type exampleDocument struct {
	Case    string    `json:"case"`
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason,omitempty"`
	Curl    string    `json:"curl,omitempty"`
	At      time.Time `json:"at,omitzero"`
	TraceID string    `json:"trace_id,omitempty"`
}

// JSON writes report.json: everything that is known of a run, in the form of [Schema].
// Times are seconds, moments are RFC 3339 in UTC. [ReadJSON] reads it back.
func JSON(w io.Writer, r *Run) error {
	d, err := documentOf(r)
	if err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(d)
}

func documentOf(r *Run) (*runDocument, error) {
	d := &runDocument{
		Schema: SchemaID, WrittenBy: "soakd " + Version(), Tool: r.Tool, ToolVersion: r.ToolVersion, Target: r.Target, Workload: r.Workload,
		TargetVersion: r.TargetVersion, Model: r.Model, Rate: r.Rate, Users: r.Users, Start: r.Start.UTC(), Elapsed: r.Elapsed.Seconds(),
		Duration: r.Duration.Seconds(), WarmUp: r.WarmUp.Seconds(), Conclusion: r.Conclusion, Own: ownOf(r.Status), Thresholds: finite(r.Thresholds),
		Verdict: r.Verdict, Findings: inUTC(r.Findings), Baseline: r.Baseline, Comparison: r.Comparison, Notes: r.Notes,
		Classes: []trafficDocument{}, Cases: []trafficDocument{}, Points: []pointDocument{}, Examples: []exampleDocument{}, Windows: [][]byte{},
	}
	d.Conclusion.Result = cmp.Or(d.Conclusion.Result, judge.Unknown)
	var err error
	if d.All, err = trafficDocumentOf(&r.All); err != nil {
		return nil, err
	}
	if d.Cases, err = trafficDocuments(r.Cases); err != nil {
		return nil, err
	}
	if d.Classes, err = trafficDocuments(r.Classes); err != nil {
		return nil, err
	}
	for i := range r.Points {
		d.Points = append(d.Points, pointDocumentOf(&r.Points[i]))
	}
	for _, e := range r.Examples {
		d.Examples = append(d.Examples, exampleDocument{e.Case, e.Outcome, e.Reason, e.Curl, e.At.UTC(), e.TraceID})
	}
	for _, one := range r.Windows {
		d.Windows = append(d.Windows, one.AppendBinary(nil))
	}
	return d, nil
}

// finite leaves out figures that JSON cannot hold, and has times in UTC.
func finite(list []threshold.Judged) []threshold.Judged {
	out := append([]threshold.Judged{}, list...)
	for i := range out {
		one := &out[i]
		one.From, one.To = one.From.UTC(), one.To.UTC()
		if m := one.Measured; m != nil && (math.IsNaN(*m) || math.IsInf(*m, 0)) {
			one.Measured = nil
		}
	}
	return out
}

// inUTC has all moments of findings in UTC.
func inUTC(list []judge.Finding) []judge.Finding {
	out := append([]judge.Finding{}, list...)
	for i := range out {
		f := &out[i]
		f.Onset, f.OnsetFrom, f.OnsetTo, f.Found, f.Ended = f.Onset.UTC(), f.OnsetFrom.UTC(), f.OnsetTo.UTC(), f.Found.UTC(), f.Ended.UTC()
		f.Symptoms, f.Nearby, f.Hints = append([]finding.Symptom{}, f.Symptoms...), slices.Clone(f.Nearby), slices.Clone(f.Hints)
		for j := range f.Symptoms {
			s := &f.Symptoms[j]
			s.Onset, s.OnsetFrom, s.OnsetTo, s.Ended = s.Onset.UTC(), s.OnsetFrom.UTC(), s.OnsetTo.UTC(), s.Ended.UTC()
		}
		for j := range f.Nearby {
			f.Nearby[j].At, f.Nearby[j].Until = f.Nearby[j].At.UTC(), f.Nearby[j].Until.UTC()
		}
		for j := range f.Hints {
			f.Hints[j].Moved = f.Hints[j].Moved.UTC()
		}
	}
	return out
}

func ownOf(s *Status) *ownDocument {
	if s == nil {
		return nil
	}
	whole := Document(*s)
	d := &ownDocument{
		Arrivals: whole.Arrivals, Probes: whole.Probes,
		Fitness: fitnessDocument{Windows: s.Fitness.Windows, Unfit: s.Fitness.Unfit, ByReason: map[string]int64{}},
		HeldBack: heldDocument{
			Trips: s.Throttle.Circuit.Trips, Relapses: s.Throttle.Circuit.Relapses,
			User: s.Throttle.Holds.User, Everybody: s.Throttle.Holds.Everybody, Capped: s.Throttle.Holds.Capped,
		},
	}
	for reason, n := range s.Fitness.ByReason {
		d.Fitness.ByReason[string(reason)] = n
	}
	return d
}

func trafficDocuments(rows []Traffic) ([]trafficDocument, error) {
	list := make([]trafficDocument, len(rows))
	for i := range rows {
		var err error
		if list[i], err = trafficDocumentOf(&rows[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func trafficDocumentOf(t *Traffic) (trafficDocument, error) {
	d := trafficDocument{
		Case: t.Name, Class: t.Class, Method: t.Method, Invalid: t.Invalid, Requests: t.Requests, Failed: t.Failed, Failures: []failureDocument{},
	}
	if t.Bytes >= 0 {
		d.Bytes = &t.Bytes
	}
	for _, f := range t.Failures {
		d.Failures = append(d.Failures, failureDocument{f.Outcome, f.Count, f.Reason, f.First.UTC(), f.Last.UTC()})
	}
	var err error
	if d.ResponseTime, err = timesDocumentOf(&t.ResponseTime); err != nil {
		return d, err
	}
	d.ServiceTime, err = timesDocumentOf(&t.ServiceTime)
	return d, err
}

// quantileName is how a quantile is called: p99.9 for 0.999.
func quantileName(q float64) string {
	return "p" + strconv.FormatFloat(math.Round(1e8*q)/1e6, 'f', -1, 64)
}

// quantileOf is what a name stands for.
func quantileOf(name string) (float64, error) {
	percent, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
	if err != nil || !strings.HasPrefix(name, "p") || !(percent >= 0 && percent <= 100) {
		return 0, fmt.Errorf("%q is no quantile: write it as p99.9", shorten(name, 40))
	}
	return percent / 100, nil
}

func timesDocumentOf(t *threshold.Times) (timesDocument, error) {
	d := timesDocument{Timed: t.Count, AtLeast: t.AtLeast, Quantiles: map[string]float64{}}
	if t.Count == 0 {
		return d, nil
	}
	d.Mean, d.Min, d.Max = seconds(t.Mean), seconds(t.Min), seconds(t.Max)
	if t.Histogram == nil {
		for _, known := range t.Known {
			d.Quantiles[quantileName(known.Q)] = known.At.Seconds()
		}
		return d, nil
	}
	for _, q := range reportedQuantiles() {
		d.Quantiles[quantileName(q)] = t.Histogram.Quantile(q).Seconds()
	}
	d.Histogram = &histogramDocument{Schema: histogram.Schema, Zeros: int64(t.Histogram.Zeros()), Buckets: [][2]int64{}}
	for key, n := range t.Histogram.Native(histogram.Schema) {
		d.Histogram.Buckets = append(d.Histogram.Buckets, [2]int64{int64(key), int64(n)})
	}
	var err error
	d.Histogram.Binary, err = t.Histogram.AppendBinary(nil)
	return d, err
}

// seconds is nil for what is not known.
func seconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

func pointDocumentOf(p *Point) pointDocument {
	d := pointDocument{
		Start: p.Start.UTC(), Length: p.Length.Seconds(), Requests: p.Requests, Failed: p.Failed, Dropped: p.Dropped, Users: p.Users,
		P50: seconds(p.P50), P95: seconds(p.P95), P99: seconds(p.P99), Max: seconds(p.Max), Outcomes: map[string]int64{}, Unfit: p.Unfit, Cases: []pointCaseDocument{},
	}
	for _, o := range p.Outcomes {
		d.Outcomes[o.Name] = o.N
	}
	for _, c := range p.Cases {
		d.Cases = append(d.Cases, pointCaseDocument{c.Name, c.Requests, c.Failed, seconds(c.P50), seconds(c.P95), seconds(c.P99)})
	}
	return d
}

// ReadJSON reads a report that [JSON] wrote, of at most 64 MiB. It fails, and says at
// what, when it is of another form, holds fields that it may not, or contradicts itself.
// Of the status it restores the arrivals, soakd's fitness, what held the load back, and
// how each probe fared.
func ReadJSON(r io.Reader) (*Run, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxReport+1))
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	if len(data) > maxReport {
		return nil, errors.New("the report is larger than 64 MiB: no report that soakd wrote is")
	}
	var form struct {
		Schema string `json:"schema"`
	}
	if err = json.Unmarshal(data, &form); err != nil {
		return nil, fmt.Errorf("the report is no JSON document of soakd: %w", err)
	}
	if form.Schema != SchemaID {
		return nil, fmt.Errorf("the report's schema is %q: this soakd reads %q", shorten(form.Schema, 80), SchemaID)
	}
	d := &runDocument{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err = decoder.Decode(d); err != nil {
		return nil, fmt.Errorf("the report is not in the form %s: %w", SchemaID, err)
	}
	run, err := d.run()
	if err != nil {
		return nil, fmt.Errorf("the report contradicts itself: %w", err)
	}
	return run, nil
}
