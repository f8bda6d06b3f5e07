//go:build unix && !linux && !darwin

package localservices

// removeSharedMemory does nothing: where it is not known how to, the segment
// of a killed Postgres stays until the machine restarts.
func removeSharedMemory(string) {}
