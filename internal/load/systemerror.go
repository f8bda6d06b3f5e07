package load

import (
	"errors"
	"net"
	"strings"
	"syscall"
)

// SystemKind says what soakd's own machine ran out of. It is a label value.
type SystemKind string

// The kinds of system errors.
const (
	// SystemPorts: no local port is left for another connection to the target.
	SystemPorts SystemKind = "ports"
	// SystemFiles: no file descriptor is left, in the process or on the machine.
	SystemFiles SystemKind = "files"
	// SystemMemory: the kernel has no memory left for sockets.
	SystemMemory SystemKind = "memory"
)

// SystemKinds lists every kind.
func SystemKinds() []SystemKind { return []SystemKind{SystemPorts, SystemFiles, SystemMemory} }

// systemKind maps an error of the kernel to its kind; "" for any other.
func systemKind(errno syscall.Errno) SystemKind {
	switch errno {
	case syscall.EADDRNOTAVAIL:
		return SystemPorts
	case syscall.EMFILE, syscall.ENFILE:
		return SystemFiles
	case syscall.ENOBUFS, syscall.ENOMEM:
		return SystemMemory
	}
	return ""
}

// SystemError reports whether an error says that soakd's own machine ran out of
// something, which is no failure of the target, and of what.
func SystemError(err error) (SystemKind, bool) {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		kind := systemKind(errno)
		return kind, kind != ""
	}
	// A DNS error keeps only the text of what stood behind it.
	var dns *net.DNSError
	if errors.As(err, &dns) {
		for _, errno := range [...]syscall.Errno{syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
			if strings.HasSuffix(dns.Err, errno.Error()) {
				return systemKind(errno), true
			}
		}
	}
	return "", false
}
