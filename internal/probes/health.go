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

// reasonInterval is how often at most a change of the reason alone is logged.
// Some reasons differ at each poll, as by the port of a connection.
const reasonInterval = time.Minute

// health logs the changes of a probe's state and of the reason why it is not
// up, not each failed poll.
type health struct {
	log   *slog.Logger
	state state
	// since is the start of the first poll that was not up.
	since time.Time
	// reason is the text that was logged last, at the poll of the time reasonAt.
	reason   string
	reasonAt time.Time
	// panicked tells that the last poll panicked.
	panicked bool
}

// update takes one result in.
func (h *health) update(result Result) {
	h.logPanic(result.Err)
	next, wasBad := stateOf(result), h.bad()
	changed := next != h.state
	h.state = next
	switch {
	case h.bad():
		if !wasBad {
			h.since = result.Start
		}
		h.logReason(result, changed)
	case wasBad:
		h.log.Info("probe reads again", "outage", result.Start.Sub(h.since).Round(time.Millisecond))
	}
}

func (h *health) bad() bool { return h.state == statePartial || h.state == stateDown }

// logReason logs why the probe is not up when that is news: at once when the
// state changed, else when the text differs from the last one logged.
func (h *health) logReason(result Result, changed bool) {
	text := briefText(result.Err.Error(), nil)
	news := text != h.reason && result.Start.Sub(h.reasonAt) >= reasonInterval
	if !changed && !news {
		return
	}
	message := "probe reads nothing"
	if h.state == statePartial {
		message = "probe reads only in part"
	}
	h.log.Warn(message, "reason", string(ReasonOf(result.Err)), "err", text)
	h.reason, h.reasonAt = text, result.Start
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
