// Package terminal shows a run in a terminal: a table that is redrawn in place, with
// the lines of the log above it.
package terminal

import (
	"strings"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/load"
	"soakd/internal/report"
)

// maxSamples bounds the spark lines: a minute of windows of 1 s.
const maxSamples = 60

// Sample is one window in the spark lines.
type Sample struct {
	// Rate is the requests a second that came to an end, Failed how many a second of
	// them with another outcome than ok.
	Rate, Failed float64
	// P95 runs from the intended start; below 0 when nothing was timed.
	P95 time.Duration
}

// Frame is a run at one moment, as the table shows it.
type Frame struct {
	Status report.Status
	// Window is the latest stretch that is over, of length 0 before the first.
	Window load.Window
	// Samples are the latest windows, oldest first.
	Samples []Sample
	// Thresholds are what they come to so far.
	Thresholds []threshold.Judged
}

// Next takes a window that is over. The frame before keeps its samples.
func (f *Frame) Next(w load.Window) {
	f.Window = w
	sample := Sample{P95: -1}
	if seconds := w.Length.Seconds(); seconds > 0 {
		sample.Rate, sample.Failed = float64(w.Finished)/seconds, float64(w.Failed())/seconds
	}
	if w.ResponseTime.Timed > 0 {
		sample.P95 = w.ResponseTime.P95
	}
	kept := f.Samples[max(0, len(f.Samples)+1-maxSamples):]
	f.Samples = append(append(make([]Sample, 0, len(kept)+1), kept...), sample)
}

// part is one part of the table.
type part struct {
	lines []line
	// least is how many of the lines are needed, rank which part gets room first, the
	// lowest.
	least, rank int
	// cut chooses so many lines where there is no room for all; nil takes the first.
	cut func(n int) []line
}

// Render draws the frame into a terminal of so many columns and rows. It uses at most
// a row less than there are, in which the cursor stays, and a column less, in which
// some terminals would begin a new line. Nothing of the texts in the frame but what
// can be printed gets out.
func (f *Frame) Render(columns, rows int, colours bool) string {
	width := columns - 1
	if width < 1 || rows < 2 {
		return ""
	}
	parts := f.parts(width)
	room := share(parts, rows-1)
	var b strings.Builder
	for i := range parts {
		for _, l := range parts[i].take(room[i]) {
			l.write(&b, width, colours)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (p *part) take(n int) []line {
	switch {
	case n >= len(p.lines):
		return p.lines
	case n > 0 && p.cut != nil:
		return p.cut(n)
	}
	return p.lines[:n]
}

// share gives rows to parts: to all what they need, then to all what they would have,
// each time by rank.
func share(parts []part, rows int) []int {
	given := make([]int, len(parts))
	ranks := 0
	for i := range parts {
		ranks = max(ranks, parts[i].rank)
	}
	for _, all := range []bool{false, true} {
		for rank := range ranks + 1 {
			for i := range parts {
				if parts[i].rank != rank {
					continue
				}
				want := min(parts[i].least, len(parts[i].lines))
				if all {
					want = len(parts[i].lines)
				}
				more := min(want-given[i], rows)
				given[i] += more
				rows -= more
			}
		}
	}
	return given
}
