//go:build !linux

package load

// NewSleeper returns the most exact sleeper that the system has.
func NewSleeper() (Sleeper, error) { return NewTimerSleeper(), nil }
