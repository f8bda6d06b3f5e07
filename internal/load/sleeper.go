package load

import "time"

// Sleeper waits for moments. Until belongs to one goroutine; Wake may be called
// by any.
type Sleeper interface {
	// Until waits until a moment, or until Wake was called since the last call of
	// Until returned. It may return early.
	Until(moment time.Time)
	// Wake ends the wait.
	Wake()
	// Close gives back what the sleeper holds.
	Close()
}

// timerSleeper waits with the runtime's timers. These end an idle wait in whole
// milliseconds, because epoll_wait counts in them: up to 1 ms late.
type timerSleeper struct {
	timer *time.Timer
	wake  chan struct{}
}

// NewTimerSleeper returns a sleeper that works everywhere, up to 1 ms late.
func NewTimerSleeper() Sleeper {
	timer := time.NewTimer(0)
	<-timer.C
	return &timerSleeper{timer: timer, wake: make(chan struct{}, 1)}
}

func (s *timerSleeper) Until(moment time.Time) {
	left := time.Until(moment)
	if left <= 0 {
		return
	}
	s.timer.Reset(left)
	select {
	case <-s.timer.C:
	case <-s.wake:
		s.timer.Stop()
	}
}

func (s *timerSleeper) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *timerSleeper) Close() { s.timer.Stop() }
