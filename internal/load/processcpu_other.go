//go:build !unix

package load

import "time"

// ProcessCPU returns the CPU time that this process has used; it is not known
// here.
func ProcessCPU() (time.Duration, bool) { return 0, false }
