//go:build linux && !race

package wire

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket reads and writes a connection without telling the scheduler of each
// system call. The calls do not block, the file being non-blocking, and waiting
// is left to the runtime's poller as ever. What is saved is the runtime's
// monitor: it is woken by the first announced system call after an idle moment,
// and then looks around every 20 us until all is idle again. With 2 000 arrivals a
// second, each after an idle moment, that is a quarter of all CPU time.
//
// It is not used under the race detector, which learns from announced calls that
// what one side wrote before sending happened before the other side read.
type socket struct {
	net.Conn
	raw syscall.RawConn
	// in and out are the transfers under way; there is one of each at a time.
	in, out transfer
	// read and write are bound once.
	read, write func(fd uintptr) bool
	// first is what the next read writes before it waits; see postpone.
	first []byte
	// unsent tells that nothing of it went out.
	unsent bool
}

// transfer is one read or write.
type transfer struct {
	p     []byte
	n     int
	errno syscall.Errno
}

// quiet returns conn, with quiet reads and writes where that can be had.
func quiet(conn net.Conn) net.Conn {
	var access syscall.Conn
	switch c := conn.(type) {
	case *net.TCPConn:
		access = c
	case *net.UnixConn:
		access = c
	default:
		return conn
	}
	raw, err := access.SyscallConn()
	if err != nil {
		return conn
	}
	s := &socket{Conn: conn, raw: raw}
	s.read = s.writeAndRead
	s.write = func(fd uintptr) bool { return s.out.do(unix.SYS_WRITE, fd) }
	return s
}

// do makes one call and reports whether it came to anything.
func (t *transfer) do(call, fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.p))), uintptr(len(t.p)))
		switch errno {
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
			continue
		}
		t.n, t.errno = int(n), errno
		return true
	}
}

// postpone lets the next Read write p first, and then wait for what comes without
// looking whether anything has: no answer is there before the request is out. It
// saves one system call a request. The wait is safe because the poller is told
// before p is written: whatever comes after is seen.
func (s *socket) postpone(p []byte) { s.first, s.unsent = p, false }

// writeAndRead is what Read does with the file.
func (s *socket) writeAndRead(fd uintptr) bool {
	if s.first == nil {
		return s.in.do(unix.SYS_READ, fd)
	}
	out := transfer{p: s.first}
	done := out.do(unix.SYS_WRITE, fd)
	if done && out.errno != 0 {
		s.in.errno, s.unsent, s.first = out.errno, true, nil
		return true
	}
	if s.first = s.first[out.n:]; len(s.first) > 0 {
		return true // the buffer is full: Read sees to the rest
	}
	s.first = nil
	return false
}

// Read implements [net.Conn].
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.in = transfer{p: p}
	if s.first != nil {
		return s.readAfterWrite()
	}
	return s.receive()
}

// readAfterWrite is Read with something to be written first.
func (s *socket) readAfterWrite() (int, error) {
	s.in.n = -1
	n, err := s.receive()
	if n >= 0 || err != nil {
		return n, err
	}
	rest := s.first
	s.first = nil
	if _, err := s.Write(rest); err != nil {
		return 0, err
	}
	s.in.n = 0
	return s.receive()
}

// receive waits for what comes, or for the end.
func (s *socket) receive() (int, error) {
	err := s.raw.Read(s.read)
	n, errno := s.in.n, s.in.errno
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, s.failed("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements [net.Conn].
func (s *socket) Write(p []byte) (written int, err error) {
	for written < len(p) {
		s.out = transfer{p: p[written:]}
		err := s.raw.Write(s.write)
		n, errno := s.out.n, s.out.errno
		s.out.p = nil
		if err != nil {
			return written, err
		}
		if errno != 0 {
			return written, s.failed("write", errno)
		}
		written += n
	}
	return written, nil
}

func (s *socket) failed(call string, errno syscall.Errno) error {
	return &net.OpError{
		Op: call, Net: s.LocalAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: os.NewSyscallError(call, errno),
	}
}

// SyscallConn gives access to the file.
func (s *socket) SyscallConn() (syscall.RawConn, error) { return s.raw, nil }
