package refapi

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sleepPrecisely sleeps in the kernel, which is late by some 60 µs.
func sleepPrecisely(d time.Duration) {
	request := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&request, nil) // a signal may end it early, by less than d
}

// dieWithParent has the kernel kill the process when its parent ends. The parent
// asked for that already, but of the thread that the process began with: exec
// keeps what the thread has that calls it. See prctl(2), PR_SET_PDEATHSIG.
func dieWithParent() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("ask to end with the parent: %w", err)
	}
	return nil
}
