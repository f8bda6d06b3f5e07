package refapi

import (
	"crypto/sha512"
	"time"
)

// hash keeps a CPU busy in one call of assembly (MD5 and SHA-256 would not do: Go
// cuts those into calls of 64 KiB, so that they can be interrupted).
func hash(buffer []byte) { _ = sha512.Sum512(buffer) }

// hashedWithin returns how many bytes this machine hashes within d: about 600 MB/s
// on an AMD EPYC. The quickest of a few tries counts, since others want the CPU too.
func hashedWithin(d time.Duration) int {
	const probe, most, tries = 1 << 20, 1 << 30, 5
	buffer := make([]byte, probe)
	quickest := time.Hour
	for range tries {
		start := time.Now()
		hash(buffer)
		quickest = min(quickest, max(time.Since(start), time.Microsecond))
	}
	return int(min(max(probe*d.Nanoseconds()/quickest.Nanoseconds(), 1), most))
}
