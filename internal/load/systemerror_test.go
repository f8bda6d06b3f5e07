package load

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestSystemError(t *testing.T) {
	dial := func(errno syscall.Errno) error {
		return fmt.Errorf("post: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)})
	}
	for _, c := range []struct {
		name string
		err  error
		want SystemKind
	}{
		{"no port", dial(syscall.EADDRNOTAVAIL), SystemPorts},
		{"no file of the process", dial(syscall.EMFILE), SystemFiles},
		{"no file of the machine", dial(syscall.ENFILE), SystemFiles},
		{"no buffer", dial(syscall.ENOBUFS), SystemMemory},
		{"no memory", dial(syscall.ENOMEM), SystemMemory},
		{"refused", dial(syscall.ECONNREFUSED), ""},
		{"reset", dial(syscall.ECONNRESET), ""},
		{"no name", &net.DNSError{Err: "no such host", Name: "api", IsNotFound: true}, ""},
		{"no file to ask the DNS", &net.DNSError{Err: "dial udp: socket: too many open files", Name: "api"}, SystemFiles},
		{"another error", errors.New("connect: too many open files"), ""},
		{"none", nil, ""},
	} {
		if got, ok := SystemError(c.err); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, ok, c.want)
		}
	}
}
