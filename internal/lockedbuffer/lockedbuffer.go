// Package lockedbuffer has a buffer that a process may write to while a test
// reads it.
package lockedbuffer

import (
	"bytes"
	"sync"
)

// Buffer keeps all that is written to it. The zero value is empty and ready; it
// is safe for concurrent use and must not be copied.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer]; it never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
