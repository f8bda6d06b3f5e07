//go:build linux

package main

import (
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// server answers every HTTP/1.1 request with the same bytes, from one thread
// over epoll, so that it takes about half of what the cheapest client takes and
// is not what limits a run. It knows as much of HTTP as the tools send: a header,
// Content-Length, keep-alive. It is no server for anything else.
type server struct {
	epoll, listener, timer, wake int
	start                        time.Time
	// answerAt says when what arrived at a time since the start is answered;
	// nil means at once.
	answerAt func(arrived time.Duration) time.Duration
	// onFirst is called once, when the first request has arrived.
	onFirst func()
	conns   map[int]*conn
	late    queue
	record  record
}

// conn is one connection; buffer[:filled] has been read and not yet used.
type conn struct {
	fd     int
	buffer []byte
	filled int
	closed bool
}

// pending is an answer that is held back.
type pending struct {
	conn        *conn
	arrived, at time.Duration
}

// queue is a heap of pending answers, the next one first.
type queue []pending

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(pending)) } // only pending is pushed
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// maxRequest is the largest request that is read, in bytes.
const maxRequest = 16 << 10

// newServer listens on a free port of the loopback.
func newServer() (*server, error) {
	s := &server{start: time.Now(), conns: map[int]*conn{}, onFirst: func() {}}
	var errs [4]error
	s.epoll, errs[0] = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	s.listener, errs[1] = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	s.timer, errs[2] = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	s.wake, errs[3] = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("make the sockets of the target: %w", err)
	}
	if err := unix.Bind(s.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, fmt.Errorf("bind to 127.0.0.1: %w", err)
	}
	if err := unix.Listen(s.listener, 4096); err != nil {
		return nil, fmt.Errorf("listen on 127.0.0.1: %w", err)
	}
	for _, fd := range []int{s.listener, s.timer, s.wake} {
		if err := s.watch(fd); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// port returns where the server listens.
func (s *server) port() (int, error) {
	address, err := unix.Getsockname(s.listener)
	if err != nil {
		return 0, fmt.Errorf("find the port of the target: %w", err)
	}
	inet, ok := address.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("the target listens on %T, not on IPv4", address)
	}
	return inet.Port, nil
}

func (s *server) watch(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)} // a file descriptor is small
	if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("watch a socket of the target: %w", err)
	}
	return nil
}

// stop lets run return; it may be called from another goroutine.
func (s *server) stop() { _, _ = unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// run answers until stop is called.
func (s *server) run() error {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for requests: %w", err)
		}
		for i := range max(n, 0) {
			switch fd := int(events[i].Fd); fd {
			case s.wake:
				return nil
			case s.listener:
				err = s.accept()
			case s.timer:
				err = s.answerLate()
			default:
				s.read(s.conns[fd])
			}
			if err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	}
}

// accept takes every connection that waits.
func (s *server) accept() error {
	for {
		fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ECONNABORTED):
			continue
		case err != nil:
			return fmt.Errorf("accept a connection: %w", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return fmt.Errorf("set TCP_NODELAY: %w", err)
		}
		s.record.Connections++
		s.conns[fd] = &conn{fd: fd, buffer: make([]byte, maxRequest)}
		if err := s.watch(fd); err != nil {
			return err
		}
	}
}

func (s *server) close(c *conn) {
	if c.closed {
		return
	}
	c.closed = true
	delete(s.conns, c.fd)
	_ = unix.Close(c.fd) // nothing is to be done about it
}

// read takes what a connection has sent and answers each complete request.
func (s *server) read(c *conn) {
	if c == nil {
		return // closed by an earlier event of the same wait
	}
	n, err := unix.Read(c.fd, c.buffer[c.filled:])
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if err != nil || n <= 0 {
		s.close(c)
		return
	}
	c.filled += n
	for !c.closed {
		length := requestLength(c.buffer[:c.filled])
		if length == 0 {
			if c.filled == len(c.buffer) {
				s.record.Refused++
				s.close(c)
			}
			return
		}
		c.filled = copy(c.buffer, c.buffer[length:c.filled])
		s.arrived(c)
	}
}

// arrived notes a request and answers it, now or later.
func (s *server) arrived(c *conn) {
	at := time.Since(s.start)
	if s.record.Arrived == 0 {
		s.onFirst()
	}
	s.record.Arrived++
	if s.answerAt == nil {
		s.answer(c)
		s.record.keep(at, 0)
		return
	}
	due := s.answerAt(at)
	if due <= at {
		s.answer(c)
		s.record.keep(at, time.Since(s.start)-at)
		return
	}
	heap.Push(&s.late, pending{conn: c, arrived: at, at: due})
	if s.late[0].at == due {
		s.setTimer()
	}
}

// setTimer lets the timer run out when the next late answer is due.
func (s *server) setTimer() {
	if len(s.late) == 0 {
		return
	}
	left := max(s.late[0].at-time.Since(s.start), 1)
	_ = unix.TimerfdSettime(s.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}, nil) // the arguments are right
}

// answerLate answers what was held back until now.
func (s *server) answerLate() error {
	var expirations [8]byte
	if _, err := unix.Read(s.timer, expirations[:]); err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("read the timer: %w", err)
	}
	for len(s.late) > 0 && s.late[0].at <= time.Since(s.start) {
		next := heap.Pop(&s.late).(pending) // only pending is pushed
		s.answer(next.conn)
		s.record.keep(next.arrived, time.Since(s.start)-next.arrived)
	}
	s.setTimer()
	return nil
}

// answer writes the one answer. A client that does not read it loses its
// connection: no answer is larger than the empty buffer of a socket.
func (s *server) answer(c *conn) {
	if c.closed {
		s.record.Gone++
		return
	}
	if n, err := unix.Write(c.fd, answerBytes()); err != nil || n != len(answerText) {
		s.record.Gone++
		s.close(c)
		return
	}
	s.record.Answered++
}

// requestLength returns the length of the first request in data, 0 when it is
// not complete yet.
func requestLength(data []byte) int {
	header := bytes.Index(data, []byte("\r\n\r\n"))
	if header < 0 {
		return 0
	}
	length := header + 4 + contentLength(data[:header])
	if length > len(data) {
		return 0
	}
	return length
}

// contentLength reads the Content-Length of a header, 0 when there is none.
func contentLength(header []byte) int {
	for len(header) > 0 {
		line, rest, _ := bytes.Cut(header, []byte("\r\n"))
		header = rest
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(line[len(name):])))
			if err != nil || n < 0 {
				return 0
			}
			return n
		}
	}
	return 0
}
