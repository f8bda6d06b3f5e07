//go:build unix && !linux

package localservices

import "syscall"

// setOrphanSignal does nothing: only Linux can tie a child to its parent. A
// child of a killed parent lives on here. Postgres ends by itself once the
// next start has removed its folder; Redis has to be stopped by hand.
func setOrphanSignal(*syscall.SysProcAttr, syscall.Signal) {}
