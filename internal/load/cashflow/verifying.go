package cashflow

import (
	"fmt"

	"soakd/internal/load"
)

// answer is the room in which an answer is read: it is used again and again, so
// that a check allocates nothing. Nothing in it outlives the check.
type answer struct {
	reader
	figures forecastAnswer
	entries []row
	// known is what is remembered of the user, own what soakd sent, made again.
	known   []made
	own     []byte
	content content
}

// Bounds of the room that is kept for the next answer: only answers that are
// wrong need more.
const (
	// keptElements is of the entries of a page.
	keptElements = 1024
	// keptPeriods is of those of a forecast and its loans, 600 months each at most.
	keptPeriods = 600 * (1 + maxLoans)
	// keptText is of the strings that had escapes, in bytes.
	keptText = 64 << 10
)

// answer returns room for an answer. Give it back with done.
func (w *workload) answer() *answer {
	if a, ok := w.answers.Get().(*answer); ok {
		return a
	}
	return &answer{reader: *newReader()}
}

// done gives the room back.
func (w *workload) done(a *answer) {
	if a.tidy() {
		w.answers.Put(a)
	}
}

// tidy lets go of the answer that was read, and reports whether the room is worth
// to be kept.
func (a *answer) tidy() bool {
	big := a.figures.big() || cap(a.entries) > keptElements || cap(a.unescaped) > keptText
	a.start(nil)
	a.figures.reset()
	clear(a.entries)
	a.content.forget()
	return !big
}

// take starts to read the answer of an exchange. It reports when there is
// nothing to read, and returns false.
func (a *answer) take(x *load.Exchange, fail func(string, error)) bool {
	if err := checkJSON(x.Response.Header, x.Response.Body); err != nil {
		fail(checkJSONForm, err)
		return false
	}
	a.start(x.Response.Body)
	return true
}

// finish ends the reading. It reports what is wrong and returns whether the
// other checks can go on.
func (a *answer) finish(fail func(string, error)) bool {
	broken, wrong := a.end()
	switch {
	case broken != nil:
		fail(checkJSONForm, fmt.Errorf("the body is not JSON: %w", broken))
	case wrong != nil:
		fail(checkShape, wrong)
	}
	return broken == nil && wrong == nil
}
