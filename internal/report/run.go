package report

import (
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
)

// Run is what a run that is over came to: soakd's own, or one that another tool
// measured. All reports are written from it. It holds no secrets.
type Run struct {
	// Tool measured it ("soakd", "locust", "k6", "vegeta", "jmeter"), ToolVersion is
	// its version, "" where that is not known.
	Tool, ToolVersion string
	// Target is the URL without secrets, Workload what was sent, TargetVersion the
	// version that ran last; "" where they are not known.
	Target, Workload, TargetVersion string
	// Model is "open" or "closed", "" where it is not known; Rate the arrivals a second
	// that were set, 0 in the closed model; Users the virtual users.
	Model string
	Rate  float64
	Users int
	// Start is when it began, Elapsed how long it took, Duration how long it was asked to send, 0 when
	// nobody said. WarmUp is what thresholds leave out at the beginning.
	Start                     time.Time
	Elapsed, Duration, WarmUp time.Duration
	// Conclusion is what it came to.
	Conclusion Conclusion
	// Status is soakd's own account of the run at its end; nil for other tools.
	Status *Status
	// All is all traffic, Cases has a row a case that had requests, Classes a row a
	// class, both sorted by name.
	All            Traffic
	Cases, Classes []Traffic
	// Thresholds are those that were set, each over the run and over its worst window.
	Thresholds []threshold.Judged
	// Verdict and Findings are those of the judgement; nil and empty for other tools.
	Verdict  *judge.Verdict
	Findings []judge.Finding
	// Baseline is what the run is compared with ("last-passed", "version v1.2"), ""
	// for nothing; Comparison is how it compares, nil while there is nothing to say.
	Baseline   string
	Comparison *baseline.Comparison
	// Windows are the run in at most [MaxWindows] windows of equal length, oldest
	// first: 10 s, or twice that and so on for longer runs. Empty for results that only
	// have totals.
	Windows []*window.Window
	// Points are the same in figures, as they are drawn.
	Points []Point
	// Examples are failed requests that can be sent again.
	Examples []Example
	// Notes say what a reader has to know beside the figures: what is missing in the
	// files of another tool, why there was nothing to compare with. They change no result.
	Notes []string
}

// Conclusion is what a run came to.
type Conclusion struct {
	// Result is pass, fail or unknown, ExitCode what the command returns: 0, 1 or 3.
	Result   judge.Result `json:"result"`
	ExitCode int          `json:"exit_code"`
	// Against are the reasons that it failed, Unknown what could not be judged.
	Against []string `json:"against,omitempty"`
	Unknown []string `json:"unknown,omitempty"`
	// Text is all of it in one line.
	Text string `json:"text"`
}

// Traffic is what one case, one class or all traffic came to.
type Traffic struct {
	// Name is the case's, "" for a class and for all; Class is "" for all.
	Name, Class string
	// Method is the HTTP method, "" where it is not known or there are several.
	Method string
	// Invalid marks deliberately invalid input.
	Invalid          bool
	Requests, Failed int64
	// Failures are the outcomes other than ok, most frequent first.
	Failures []Failure
	// ResponseTime runs from the intended start, ServiceTime from the send; of tools
	// that know no intended start both are the same.
	ResponseTime, ServiceTime threshold.Times
	// Bytes is how much the bodies of the answers had together; below 0 where it is
	// not known.
	Bytes int64
}

// Failure is one kind of failure of a case.
type Failure struct {
	Outcome string
	Count   int64
	// Reason is the first one seen, "" where it is not known. First and Last are when
	// it was seen first and last, zero where that is not known.
	Reason      string
	First, Last time.Time
}

// Point is one window in figures. Times of which nothing is known are below 0.
type Point struct {
	Start                     time.Time
	Length                    time.Duration
	Requests, Failed, Dropped int64
	// Users is how many there were, 0 where it is not known.
	Users              int
	P50, P95, P99, Max time.Duration
	Outcomes           []window.Count
	Unfit              []string
	// Cases are those that had requests, sorted by name.
	Cases []PointCase
}

// PointCase is one case in a point.
type PointCase struct {
	Name             string
	Requests, Failed int64
	P50, P95, P99    time.Duration
}

// Example is a failed request that can be sent again.
type Example struct {
	Case, Outcome string
	// Reason is what was wrong, Curl the command that sends it again, with $TOKEN where
	// a secret was.
	Reason, Curl string
	At           time.Time
	TraceID      string
}

// MaxWindows bounds the windows of a run's report, whatever its length.
const MaxWindows = 240
