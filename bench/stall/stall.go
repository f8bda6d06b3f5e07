// Package stall is the pattern by which the benchmark's target stops answering,
// and what a client that sends on time must then see. The target follows the
// pattern and the runner computes the truth from it, so that both agree.
package stall

import (
	"slices"
	"time"
)

// Pattern is a target that stops answering regularly. In period k (0, 1, 2, ...)
// nothing is answered in
//
//	[k*Period + From, k*Period + From + For)
//
// and what arrived in it is answered at its end. The zero Pattern never stalls.
type Pattern struct {
	Period, From, For time.Duration
}

// End returns when a request that could be answered at a time since the target's
// start is answered.
func (p Pattern) End(at time.Duration) time.Duration {
	if p.Period <= 0 || p.For <= 0 {
		return at
	}
	begin := at - at%p.Period + p.From
	if at >= begin && at < begin+p.For {
		return begin + p.For
	}
	return at
}

// Truth returns, in rising order, the response times of count arrivals that are
// due evenly at a rate (a second) from first on, measured from their due times,
// at a target that answers at once unless it stalls. It is what a tool with any
// number of connections comes near to, as long as emptying its queue after a
// stall takes little against the stall.
func (p Pattern) Truth(first time.Duration, rate float64, count int) []time.Duration {
	times := make([]time.Duration, count)
	for n := range times {
		due := first + time.Duration(float64(n)/rate*float64(time.Second))
		times[n] = p.End(due) - due
	}
	slices.Sort(times)
	return times
}
