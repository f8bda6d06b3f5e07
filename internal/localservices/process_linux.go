package localservices

import "syscall"

// setOrphanSignal lets the kernel end the child when the parent is killed.
// See prctl(2), PR_SET_PDEATHSIG.
func setOrphanSignal(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }
