package refapi

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleepPrecisely sleeps in the kernel, which is late by some 60 µs.
func sleepPrecisely(d time.Duration) {
	request := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&request, nil) // a signal may end it early, by less than d
}
