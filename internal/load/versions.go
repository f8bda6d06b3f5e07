package load

import (
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// maxVersions bounds how many versions of the target are told apart at a time.
	maxVersions = 8
	// maxVersionText bounds the text of a version, in bytes.
	maxVersionText = 64
)

// Versions gathers which versions of the target answered. It is safe for
// concurrent use, and costs no lock while the same version answers again and again.
type Versions struct {
	// last is the version that answered last, again tells that it has since the last Take.
	last  atomic.Pointer[string]
	again atomic.Bool

	mu   sync.Mutex
	seen []string
}

// Note takes note of the version that an answer gives; anything that is not 1 to
// 64 printable ASCII characters is no version.
func (v *Versions) Note(version []byte) {
	if last := v.last.Load(); last != nil && *last == string(version) { // compares without a copy
		if !v.again.Load() {
			v.again.Store(true)
		}
		return
	}
	if len(version) == 0 || len(version) > maxVersionText || slices.ContainsFunc(version, func(b byte) bool { return b <= ' ' || b > '~' }) {
		return
	}
	text := string(version)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keepLast()
	v.keep(text)
	v.last.Store(&text)
}

// keepLast keeps the version that answered last, if it has since the last Take.
func (v *Versions) keepLast() {
	if v.again.Swap(false) {
		v.keep(*v.last.Load())
	}
}

func (v *Versions) keep(version string) {
	if !slices.Contains(v.seen, version) && len(v.seen) < maxVersions {
		v.seen = append(v.seen, version)
	}
}

// Take returns the versions that answered since the last call, sorted; none of a
// nil Versions.
func (v *Versions) Take() []string {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keepLast()
	seen := v.seen
	v.seen = nil
	slices.Sort(seen)
	return seen
}
