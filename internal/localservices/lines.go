package localservices

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// maxLine is how much of one line is passed on, in bytes.
	maxLine = 16 << 10
	// linesPerSecond bounds how many lines are passed on: a program that fails
	// at every request must not drown the log of its parent.
	linesPerSecond = 20
)

// lineWriter passes what is written to it on, line by line and bounded: the
// rest of a line that is too long is dropped, and lines beyond the rate are
// counted instead. It is safe for concurrent use.
type lineWriter struct {
	pass func(line string)
	now  func() time.Time // time.Now, but in tests

	mu      sync.Mutex
	line    []byte // what has come of the current line
	second  time.Time
	passed  int // in the current second
	skipped int // since the last line that was passed on
}

func newLineWriter(pass func(line string)) *lineWriter {
	return &lineWriter{pass: pass, now: time.Now}
}

// Write takes any part of the text; it never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for {
		part, rest, complete := bytes.Cut(p, []byte{'\n'})
		w.line = append(w.line, part[:min(len(part), maxLine-len(w.line))]...)
		if !complete {
			return n, nil
		}
		w.flush()
		p = rest
	}
}

// end passes on what is left once nothing more will be written.
func (w *lineWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	w.tellSkipped()
}

// flush ends the current line.
func (w *lineWriter) flush() {
	line := strings.TrimSpace(string(w.line))
	w.line = w.line[:0]
	if line == "" {
		return
	}
	if now := w.now(); now.Sub(w.second) >= time.Second {
		w.second, w.passed = now, 0
		w.tellSkipped()
	}
	if w.passed == linesPerSecond {
		w.skipped++
		return
	}
	w.passed++
	w.pass(line)
}

func (w *lineWriter) tellSkipped() {
	if w.skipped > 0 {
		w.pass(fmt.Sprintf("(%d lines left out)", w.skipped))
		w.skipped = 0
	}
}
