package probes

import (
	"errors"
	"log/slog"
	"time"
)

// state is how well a probe reads its dependency.
type state int

const (
	stateUnknown state = iota // not polled yet
	stateUp                   // all was read
	statePartial              // something was read
	stateDown                 // nothing was read
)

// health logs the changes of a probe's state, not each failed poll.
type health struct {
	log   *slog.Logger
	state state
	// since is the start of the first poll that was not up.
	since time.Time
	// panicked tells that the last poll panicked.
	panicked bool
}

// update takes one result in.
func (h *health) update(result Result) {
	h.logPanic(result.Err)
	next := stateOf(result)
	if next == h.state {
		return
	}
	wasBad := h.state == stateDown || h.state == statePartial
	switch next {
	case stateUp:
		if wasBad {
			h.log.Info("probe reads again", "outage", result.Start.Sub(h.since).Round(time.Millisecond))
		}
	case statePartial:
		h.log.Warn("probe reads only in part", "reason", briefText(result.Err.Error(), nil))
	case stateDown:
		h.log.Warn("probe reads nothing", "reason", briefText(result.Err.Error(), nil))
	}
	if !wasBad {
		h.since = result.Start
	}
	h.state = next
}

// logPanic logs the stack of the first of several panics in a row.
func (h *health) logPanic(err error) {
	var panicErr *PanicError
	panicked := errors.As(err, &panicErr)
	if panicked && !h.panicked {
		h.log.Error("probe panicked: this is a defect", "panic", panicErr.Value, "stack", string(panicErr.Stack))
	}
	h.panicked = panicked
}

func stateOf(result Result) state {
	switch {
	case result.Err == nil:
		return stateUp
	case len(result.Reading.Samples) > 0:
		return statePartial
	default:
		return stateDown
	}
}
