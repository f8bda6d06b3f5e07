package auth

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"soakd/internal/load"
	"soakd/internal/secret"
)

// checkInterval is the least time between two looks at a token file.
const checkInterval = time.Second

// file sends the token that a file holds, and follows the file.
type file struct {
	path string
	now  func() time.Time
	log  *slog.Logger

	tokens atomic.Pointer[tokens]
	// checked is when the file was last looked at, in Unix nanoseconds.
	checked atomic.Int64

	// mu is held by the one caller that looks at the file; the others go on with
	// the current token.
	mu sync.Mutex
	// seen is the state of the file that the current token was read from.
	seen os.FileInfo
	// trouble is what was last logged as wrong with the file; "" is all well.
	trouble string
}

// tokens are the one that the file holds and, once it changed, the one before.
type tokens struct{ current, last *held }

// of returns the token of a user. A user who was drawn just before the file came
// to hold another subject's token is given the last token once more, so that the
// identity and the token of one request agree.
func (t *tokens) of(user load.User) *held {
	if t.last != nil && user.ID == t.last.subject && user.ID != t.current.subject {
		return t.last
	}
	return t.current
}

// openFile reads the token file for the first time.
func openFile(path string, now func() time.Time, log *slog.Logger) (*file, error) {
	f := &file{path: path, now: now, log: log}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("look at the token file: %w", err)
	}
	held, err := f.read()
	if err != nil {
		return nil, err
	}
	f.seen = info
	f.tokens.Store(&tokens{current: held})
	f.checked.Store(now().UnixNano())
	return f, nil
}

func (f *file) token(user load.User, credentials load.Credentials) (string, error) {
	f.refresh()
	return f.tokens.Load().of(user).as(credentials)
}

// subject is whom the file's token is for now, "" when that is not known.
func (f *file) subject() string {
	f.refresh()
	return f.tokens.Load().current.subject
}

func (f *file) describe() string {
	return fmt.Sprintf("token file %s (%s)", f.path, f.tokens.Load().current.kind())
}

// refresh looks at the file when the last look is a second ago or lies in the
// future (the clock was set back).
func (f *file) refresh() {
	now := f.now().UnixNano()
	since := time.Duration(now - f.checked.Load())
	if since >= 0 && since < checkInterval {
		return
	}
	if !f.mu.TryLock() {
		return
	}
	defer f.mu.Unlock()
	f.checked.Store(now)
	f.settle(f.look())
}

// look takes over the file's token when the file changed. The state is taken
// before the content: a change in between is then seen by the next look.
func (f *file) look() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("look at the token file: %w", err)
	}
	if same(info, f.seen) {
		return nil
	}
	next, err := f.read()
	if err != nil {
		return err
	}
	f.seen = info
	last := f.tokens.Load().current // only the holder of mu stores
	if next.value == last.value {
		return nil
	}
	f.tokens.Store(&tokens{current: next, last: last})
	f.log.Info("the token file changed: its new token is in use", "file", f.path)
	if next.subject != last.subject {
		f.log.Warn("the new token is for another subject: all virtual users are that one now", "file", f.path)
	}
	return nil
}

func (f *file) read() (*held, error) {
	text, err := secret.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("read the token file: %w", err)
	}
	held, err := hold(text.Value())
	if err != nil {
		return nil, fmt.Errorf("the token in %s %w", f.path, err)
	}
	held.warnIfExpired(f.now(), f.log)
	return held, nil
}

// settle logs what is wrong with the file once, and once that it is well again.
func (f *file) settle(err error) {
	trouble := ""
	if err != nil {
		trouble = err.Error()
	}
	if trouble == f.trouble {
		return
	}
	f.trouble = trouble
	if err != nil {
		f.log.Warn("the token file cannot be used: the last good token stays in use", "file", f.path, "error", err)
		return
	}
	f.log.Info("the token file can be used again", "file", f.path)
}

// same reports whether a and b describe the same file in the same state. A
// replaced file (a Kubernetes secret swaps a link) differs in its inode.
func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
