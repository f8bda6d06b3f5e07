//go:build !linux

package load

import "time"

// FineSleep sleeps for d. Only Linux has a finer way than the runtime's timers.
func FineSleep(d time.Duration) { time.Sleep(d) }
