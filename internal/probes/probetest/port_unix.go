//go:build unix

package probetest

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// shared lets several sockets of this user have the port, one of which listens.
func shared(_, _ string, raw syscall.RawConn) error {
	var err error
	if controlErr := raw.Control(func(fd uintptr) { err = share(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}

func share(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// keepPort keeps a port of the loopback interface for the test while nobody
// listens there: a socket that is bound and does not listen. Connections are
// refused all the same, and nobody else is given the port.
func keepPort(t testing.TB, address net.Addr) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(socket) })
	if err := share(socket); err != nil {
		t.Fatal(err)
	}
	port := address.(*net.TCPAddr).Port
	if err := unix.Bind(socket, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
}
