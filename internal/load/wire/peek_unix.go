//go:build unix

package wire

import "golang.org/x/sys/unix"

// peek looks into a socket without waiting.
func peek(fd uintptr) peeked {
	var one [1]byte
	n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN || err == unix.EWOULDBLOCK || err == unix.EINTR:
		return peekNothing
	case err == nil && n > 0:
		return peekBytes
	}
	return peekEnd
}
