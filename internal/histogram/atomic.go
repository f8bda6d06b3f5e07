package histogram

import (
	"sync/atomic"
	"time"
)

// Atomic is a [Histogram] that many goroutines may observe and read at the same
// time, without a lock. The zero value is empty and ready; it must not be copied.
// It allocates 512 bytes for each doubling of time that is observed, once.
type Atomic struct {
	blocks [blocks]atomic.Pointer[[perDouble]atomic.Uint64]
	zeros  atomic.Uint64
	sum    atomic.Uint64
	max    atomic.Int64
}

// Observe counts one duration; below 0 counts as 0.
//
// The order matters to [Atomic.AddTo], which reads in the opposite one: whoever
// finds a duration in its bucket also finds it in the maximum, and whoever finds
// it in the sum also finds it in its bucket.
func (a *Atomic) Observe(d time.Duration) {
	if d <= 0 {
		a.zeros.Add(1)
		return
	}
	for longest := a.max.Load(); int64(d) > longest && !a.max.CompareAndSwap(longest, int64(d)); {
		longest = a.max.Load()
	}
	bucket := bucketOf(d)
	block := a.blocks[bucket/perDouble].Load()
	if block == nil {
		block = a.newBlock(bucket / perDouble)
	}
	block[bucket%perDouble].Add(1)
	a.sum.Add(uint64(d))
}

// newBlock returns block i, which somebody else may just have made.
func (a *Atomic) newBlock(i int) *[perDouble]atomic.Uint64 {
	a.blocks[i].CompareAndSwap(nil, new([perDouble]atomic.Uint64))
	return a.blocks[i].Load()
}

// AddTo adds what was counted so far to h. What is observed meanwhile may be in
// or not; the count always equals the sum over the buckets.
func (a *Atomic) AddTo(h *Histogram) {
	h.sum += a.sum.Load()
	for i := range a.blocks {
		block := a.blocks[i].Load()
		if block == nil {
			continue
		}
		into := h.block(i)
		for j := range block {
			n := block[j].Load()
			into[j] += n
			h.count += n
		}
	}
	zeros := a.zeros.Load()
	h.zeros += zeros
	h.count += zeros
	h.max = max(h.max, time.Duration(a.max.Load()))
}
