package threshold

import "time"

// Result is what a threshold came to.
type Result string

// The results. Unknown is what can be called neither met nor missed by what was measured.
const (
	Met     Result = "pass"
	Missed  Result = "fail"
	Unknown Result = "unknown"
)

// Over says what a threshold is held against.
type Over string

// The stretches.
const (
	Run         Over = "run"
	WorstWindow Over = "worst window"
)

// Judged is what one threshold came to over one stretch.
type Judged struct {
	// Threshold is how it was written, in its canonical form: p95{class=standard}<=300ms.
	Threshold string `json:"threshold"`
	Over      Over   `json:"over"`
	Result    Result `json:"result"`
	// Limit and Measured are in Unit: "seconds", "ratio", "per second", "count".
	// Measured is nil where it is not known, and the least that it can be where it is
	// known to lie within bounds.
	Limit    float64  `json:"limit"`
	Measured *float64 `json:"measured,omitempty"`
	Unit     string   `json:"unit"`
	// From and To are the stretch that was looked at, of windows the worst.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Requests is how many the figure is about: for times, those that were timed.
	Requests int64 `json:"requests"`
	// Text is one sentence with the figures, or what is missing.
	Text string `json:"text"`
}
