// Package shard spreads counters over the cores, so that a core mostly writes to
// memory that no other core writes to: a counter that all cores add to costs each
// of them the wait for the others' caches.
package shard

import (
	"runtime"
	"sync"
)

// padding keeps what two cores write to out of each other's cache lines: 64 bytes
// on most machines, fetched in pairs on Intel's, 128 on Apple's.
const padding = 128

// Set is a fixed number of shards, one for each core that Go may use. A shard is
// usually used by one core at a time but may be used by several: everything in it
// must be safe for concurrent use.
type Set[T any] struct {
	// leases has a store of its own for each core (strictly: for each P, the
	// runtime's place to run a goroutine) and gives back what that core put in last.
	// There is at most one lease on a shard, so two cores do not keep the same one.
	// The garbage collector takes the leases of cores that were idle for long.
	leases sync.Pool

	mu sync.Mutex
	// free are the shards that no lease is on; turn says which of shared is next
	// when there is none. Both are guarded by mu.
	free   []*T
	turn   int
	shared []*Lease[T]
	all    []*T
}

// Lease is the use of a shard.
type Lease[T any] struct {
	Value *T
	// own tells that no other lease is on the shard.
	own bool
}

type padded[T any] struct {
	_     [padding]byte
	value T
	_     [padding]byte
}

// New makes GOMAXPROCS shards, each of which is set up by prepare unless that is
// nil. The set must not be copied.
func New[T any](prepare func(*T)) *Set[T] {
	s := &Set[T]{}
	for range runtime.GOMAXPROCS(0) {
		one := &new(padded[T]).value
		if prepare != nil {
			prepare(one)
		}
		s.all, s.free, s.shared = append(s.all, one), append(s.free, one), append(s.shared, &Lease[T]{Value: one})
	}
	return s
}

// Take returns a shard that is likely this core's own. Give it back with
// [Set.Give], soon and without waiting for anything between.
func (s *Set[T]) Take() *Lease[T] {
	if lease, ok := s.leases.Get().(*Lease[T]); ok {
		return lease
	}
	return s.lease()
}

// Give ends the use of a shard.
func (s *Set[T]) Give(lease *Lease[T]) {
	if lease.own {
		s.leases.Put(lease)
	}
}

// lease returns a lease on a shard that has none, or else a shared shard: when a
// goroutine was interrupted while it had its core's own, or when the garbage
// collector is about to give back those of idle cores.
func (s *Set[T]) lease() *Lease[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.free) - 1
	if last < 0 {
		s.turn = (s.turn + 1) % len(s.shared)
		return s.shared[s.turn]
	}
	lease := &Lease[T]{Value: s.free[last], own: true}
	s.free = s.free[:last]
	runtime.AddCleanup(lease, s.expire, lease.Value)
	return lease
}

// expire is called when the garbage collector has taken the lease on a shard.
func (s *Set[T]) expire(one *T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, one)
}

// All returns every shard, in an order that never changes.
func (s *Set[T]) All() []*T { return s.all }
