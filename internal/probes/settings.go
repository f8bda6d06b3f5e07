package probes

import (
	"errors"
	"fmt"
	"time"
)

// MinInterval is the shortest allowed interval between polls: shorter ones
// would load the dependency instead of watching it.
const MinInterval = 100 * time.Millisecond

// Settings say how often probes are polled. They hold for all probes of a run.
type Settings struct {
	// Interval is from the start of a poll to the start of the next, at least
	// [MinInterval].
	Interval time.Duration
	// Timeout bounds one poll: above 0 and at most Interval.
	Timeout time.Duration
	// MaxBackoff is the longest wait between polls of a probe that reads
	// nothing; at least Interval. Recoveries are seen with this resolution.
	MaxBackoff time.Duration
}

// Validate returns every mistake, joined.
func (s Settings) Validate() error {
	var errs []error
	if s.Interval < MinInterval {
		errs = append(errs, fmt.Errorf("interval %v is below %v", s.Interval, MinInterval))
	}
	if s.Timeout <= 0 || s.Timeout > s.Interval {
		errs = append(errs, fmt.Errorf("timeout %v must be above 0 and at most the interval %v", s.Timeout, s.Interval))
	}
	if s.MaxBackoff < s.Interval {
		errs = append(errs, fmt.Errorf("longest back-off %v is below the interval %v", s.MaxBackoff, s.Interval))
	}
	return errors.Join(errs...)
}

// Staleness is the age from which a result no longer counts: two intervals and
// a timeout, so that one slow or lost poll does not make values blink.
func (s Settings) Staleness() time.Duration { return 2*s.Interval + s.Timeout }

// backoff is the wait after the n-th poll in a row that read nothing (n >= 1):
// min(Interval * 2^(n-1), MaxBackoff).
func (s Settings) backoff(n int) time.Duration {
	wait := s.Interval
	for ; n > 1 && wait < s.MaxBackoff; n-- {
		wait *= 2
	}
	return min(wait, s.MaxBackoff)
}
