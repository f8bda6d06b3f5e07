//go:build unix

package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// ProcessCPU returns the CPU time that this process has used, in user mode and in
// the kernel, and whether it is known. The kernel counts it in getrusage(2).
func ProcessCPU() (time.Duration, bool) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0, false
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), true
}
