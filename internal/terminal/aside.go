package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// maxHeld bounds the texts that wait to be shown above the table.
const maxHeld = 1000

// Aside takes the lines of the log, which must not tear the table: while there is one
// they wait until somebody shows them above it. Writing never waits for the terminal
// then. It may be used by several goroutines at the same time.
type Aside struct {
	direct io.Writer
	ready  chan struct{}

	mu   sync.Mutex
	held []string
	lost int
	on   bool
}

// NewAside returns an Aside that writes to direct while there is no table.
func NewAside(direct io.Writer) *Aside {
	return &Aside{direct: direct, ready: make(chan struct{}, 1)}
}

// Write implements [io.Writer].
func (a *Aside) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.on {
		return a.direct.Write(p)
	}
	if len(a.held) == maxHeld { // the terminal stands still
		a.held = a.held[1:]
		a.lost++
	}
	a.held = append(a.held, string(p))
	select {
	case a.ready <- struct{}{}:
	default:
	}
	return len(p), nil
}

// Hold keeps what is written from now on.
func (a *Aside) Hold() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.on = true
}

// Ready tells that something is held.
func (a *Aside) Ready() <-chan struct{} { return a.ready }

// Take returns what is held, "" for nothing.
func (a *Aside) Take() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.take()
}

func (a *Aside) take() string {
	text := strings.Join(a.held, "")
	if a.lost > 0 {
		text = fmt.Sprintf("%d lines of the log are missing here: the terminal stood still\n", a.lost) + text
	}
	a.held, a.lost = nil, 0
	return text
}

// Release writes what is held, and from now on at once.
func (a *Aside) Release() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.on = false
	_, err := io.WriteString(a.direct, a.take())
	return err
}
