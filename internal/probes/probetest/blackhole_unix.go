//go:build unix

package probetest

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"
)

// BlackHole returns the address of a port at which no connection comes about: of
// a listener whose queue is full, so that Linux drops what asks for one. The
// test is skipped on a system that lets every connection wait.
func BlackHole(t testing.TB) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(socket, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: bound.(*syscall.SockaddrInet4).Port}).String()
	dialer := net.Dialer{Timeout: 200 * time.Millisecond}
	for range 20 {
		conn, err := dialer.DialContext(context.Background(), "tcp", address)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Skip("this system lets every connection wait")
	return ""
}
