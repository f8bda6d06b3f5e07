package localservices

import (
	"bytes"
	"strings"
	"sync"
)

// ringSize is how much of a server's output is kept, in bytes. A server that
// logs for weeks must not grow the process or fill the disk.
const ringSize = 64 << 10

// ring keeps the last ringSize bytes written to it. It is safe for concurrent use.
type ring struct {
	mu   sync.Mutex
	kept []byte
}

// Write keeps the end of p; it never fails.
func (r *ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(p)
	if n > ringSize {
		p = p[n-ringSize:]
	}
	if over := len(r.kept) + len(p) - ringSize; over > 0 {
		r.kept = append(r.kept[:0], r.kept[over:]...)
	}
	r.kept = append(r.kept, p...)
	return n, nil
}

// contains reports whether text is in what is kept.
func (r *ring) contains(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.kept, []byte(text))
}

// lastLines returns at most the last n lines.
func (r *ring) lastLines(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := strings.Split(strings.TrimRight(string(r.kept), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
