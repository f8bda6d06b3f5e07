package load

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fileSleeper waits for a timerfd that is part of the runtime's own epoll set. It
// fires to the nanosecond where the runtime's timers are rounded up to whole
// milliseconds, and unlike a thread in nanosleep it costs no thread, no hand-over
// of the processor and no wake-up of the runtime's monitor: the thread that waits
// for the network is the one that wakes.
type fileSleeper struct {
	file  *os.File
	raw   syscall.RawConn
	woken atomic.Bool
	// wait is poll, bound once; moment and armed are its arguments.
	wait   func(fd uintptr) bool
	moment time.Time
	armed  bool
}

// NewSleeper returns the most exact sleeper that the system has.
func NewSleeper() (Sleeper, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a timer file: %w", err)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("wait for a timer file: %w", err)
	}
	s := &fileSleeper{file: file, raw: raw}
	s.wait = s.poll
	return s, nil
}

func (s *fileSleeper) Until(moment time.Time) {
	s.moment, s.armed = moment, false
	_ = s.raw.Read(s.wait) // fails once closed: nobody waits then
	s.woken.Store(false)
}

// poll arms the timer when it is called first and is called again when the
// file became readable. The file need not be read: the runtime's epoll is edge
// triggered, and each expiry is an edge.
func (s *fileSleeper) poll(fd uintptr) bool {
	if s.armed {
		return true
	}
	s.armed = true
	left := time.Until(s.moment)
	if left <= 0 || s.woken.Load() {
		return true
	}
	if set(fd, left) != 0 {
		return true
	}
	if s.woken.Load() { // Wake came before the timer was set, and was undone by it
		return true
	}
	return false
}

// set arms the timer, by a call that cannot block and that the scheduler need not
// know of; see wire's socket for what that saves.
func set(fd uintptr, left time.Duration) syscall.Errno {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(left.Nanoseconds(), 1))}
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	return errno
}

func (s *fileSleeper) Wake() {
	s.woken.Store(true)
	_ = s.raw.Control(func(fd uintptr) { _ = set(fd, 1) }) // closed: nobody waits
}

func (s *fileSleeper) Close() { _ = s.file.Close() }
