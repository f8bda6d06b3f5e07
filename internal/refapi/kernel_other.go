//go:build !linux

package refapi

import "time"

// sleepPrecisely sleeps as precisely as the runtime can.
func sleepPrecisely(d time.Duration) { time.Sleep(d) }

// dieWithParent does nothing where the kernel cannot.
func dieWithParent() error { return nil }
