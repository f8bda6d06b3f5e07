package load

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// FineSleep sleeps for d to within some tens of microseconds. The runtime's own
// timers wait in epoll_wait, whose time limit is in whole milliseconds, so that
// an idle process wakes up to a millisecond late. It holds an OS thread while it
// sleeps and cannot be interrupted: keep d short.
func FineSleep(d time.Duration) {
	left := unix.NsecToTimespec(d.Nanoseconds())
	for unix.Nanosleep(&left, &left) == unix.EINTR {
		runtime.Gosched() // a signal came, such as the runtime's preemption: sleep what is left
	}
}
