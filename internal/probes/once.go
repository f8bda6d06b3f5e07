package probes

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// PollOnce polls probe with that deadline; a panic is a [PanicError].
func PollOnce(ctx context.Context, probe Probe, deadline time.Time) (reading Reading, err error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			reading, err = Reading{}, &PanicError{Value: briefText(fmt.Sprint(value), nil), Stack: debug.Stack()}
		}
	}()
	return probe.Poll(ctx)
}

// CloseOnce closes probe. It waits for 2 s at most: a close that takes longer, and
// one that panics, is an error.
func CloseOnce(probe Probe) error {
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		probe.Close()
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case value := <-done:
		if value != nil {
			return errors.New("close panicked: " + briefText(fmt.Sprint(value), nil))
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("close %w", ErrHung)
	}
}

// Share returns ctx with an n-th of the time that is left, so that something that
// hangs leaves some for the rest of the poll.
func Share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n <= 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}
