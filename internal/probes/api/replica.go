package api

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"soakd/internal/probes"
)

// maxConcurrent is how many replicas are read at the same time.
const maxConcurrent = 8

// replica is one instance of the target. What it keeps is used by one goroutine
// at a time: one reads it at each poll, and the poll waits for that one.
type replica struct {
	// name is the value of the label.
	name string
	// sources are in order of preference.
	sources []source
	// counters keeps from which source each counter is taken.
	counters map[string]counted
}

func newReplica(name string, sources ...source) *replica {
	return &replica{name: name, sources: sources, counters: map[string]counted{}}
}

// outcome is what one poll brought of one replica.
type outcome struct {
	values []value
	cost   probes.Cost
	err    error
}

// read reads all sources, in the time that ctx leaves. A panic is an error: in
// a goroutine of its own it would end soakd.
func (r *replica) read(ctx context.Context) (result outcome) {
	defer func() {
		if p := recover(); p != nil {
			result = outcome{cost: result.cost, err: &probes.PanicError{Value: fmt.Sprintf("%.200v", p), Stack: debug.Stack()}}
		}
	}()
	sources := make([]found, len(r.sources))
	var errs []error
	for i, s := range r.sources {
		values, cost, err := s.read(ctx)
		result.cost.Plus(cost)
		if err != nil {
			errs = append(errs, probes.Because(probes.ReasonOf(err), err))
		}
		sources[i] = found{values: values, whole: err == nil}
	}
	result.values, result.err = combine(sources, r.counters), errors.Join(errs...)
	return result
}

func (r *replica) close() {
	for _, s := range r.sources {
		s.close()
	}
}

// readAll reads the replicas side by side, at most maxConcurrent at a time, and
// returns an outcome for each. One that hangs has no more than its share of the
// time, so that there is some left for all.
func readAll(ctx context.Context, replicas []*replica) []outcome {
	outcomes := make([]outcome, len(replicas))
	lanes := make(chan struct{}, maxConcurrent)
	allowed := share(ctx, len(replicas))
	var running sync.WaitGroup
	for i, r := range replicas {
		lanes <- struct{}{} // free at the latest when a replica's share of the time is over
		running.Go(func() {
			defer func() { <-lanes }()
			ctx, cancel := context.WithTimeout(ctx, allowed)
			defer cancel()
			outcomes[i] = r.read(ctx)
		})
	}
	running.Wait()
	return outcomes
}

// share is the time that each of count replicas may take: what ctx leaves, in as
// many parts as replicas follow one another in a lane, ceil(count / maxConcurrent).
func share(ctx context.Context, count int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Minute
	}
	rounds := max(1, (count+maxConcurrent-1)/maxConcurrent)
	return time.Until(deadline) / time.Duration(rounds)
}
