package refapi

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// errBusy is returned when the queue of the calculation pool is full.
var errBusy = errors.New("the calculation pool's queue is full")

// errStopped is returned after the calculation pool was stopped.
var errStopped = errors.New("the calculation pool is stopped")

// panicked is what a calculation's panic becomes.
type panicked struct {
	cause any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.cause) }

// calculations is a pool of a fixed number of goroutines that do the
// calculations of all requests, with a bounded queue before them.
type calculations struct {
	tasks   chan *task // not buffered: what is sent is being done
	stopped chan struct{}
	workers sync.WaitGroup
	threads int
	queue   int64 // most callers that may wait

	queued   atomic.Int64
	busy     atomic.Int64
	rejected atomic.Int64
}

type task struct {
	ctx  context.Context
	run  func(context.Context) error
	err  error
	done chan struct{}
}

// startCalculations starts the workers; stop ends them.
func startCalculations(threads, queue int) *calculations {
	c := &calculations{
		tasks:   make(chan *task),
		stopped: make(chan struct{}),
		threads: threads,
		queue:   int64(queue),
	}
	for range threads {
		c.workers.Go(c.work)
	}
	return c
}

// stop lets running calculations end, refuses all others and joins the workers.
func (c *calculations) stop() {
	close(c.stopped)
	c.workers.Wait()
}

// do runs a calculation on a worker and waits for it. It fails at once with
// errBusy when the queue is full; a caller whose ctx ends leaves the queue.
func (c *calculations) do(ctx context.Context, run func(context.Context) error) error {
	t := &task{ctx: ctx, run: run, done: make(chan struct{})}
	select {
	case c.tasks <- t: // a worker was free
	default:
		if err := c.wait(ctx, t); err != nil {
			return err
		}
	}
	<-t.done // run looks at ctx itself; it may use the caller's memory until it returns
	return t.err
}

// wait hands the task to the next free worker.
func (c *calculations) wait(ctx context.Context, t *task) error {
	if c.queued.Add(1) > c.queue {
		c.queued.Add(-1)
		c.rejected.Add(1)
		return errBusy
	}
	defer c.queued.Add(-1)
	select {
	case c.tasks <- t:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a calculation thread: %w", ctx.Err())
	case <-c.stopped:
		return errStopped
	}
}

func (c *calculations) work() {
	for {
		select {
		case t := <-c.tasks:
			c.busy.Add(1)
			t.err = t.guarded()
			c.busy.Add(-1)
			close(t.done)
		case <-c.stopped:
			return
		}
	}
}

// guarded runs the task unless it was given up, and turns a panic into an error.
func (t *task) guarded() (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &panicked{cause, debug.Stack()}
		}
	}()
	if err := t.ctx.Err(); err != nil {
		return fmt.Errorf("start a calculation: %w", err)
	}
	return t.run(t.ctx)
}
