// Package shard spreads counters over the cores, so that a core mostly writes to
// memory that no other core writes to: a counter that all cores add to costs each
// of them the wait for the others' caches.
package shard

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// padding keeps what two cores write to out of each other's cache lines: 64 bytes
// on most machines, fetched in pairs on Intel's, 128 on Apple's.
const padding = 128

// Set is a fixed number of shards, one for each core that Go may use. A shard is
// usually used by one core at a time but may be used by several: everything in it
// must be safe for concurrent use.
type Set[T any] struct {
	shards []*T
	next   atomic.Uint32
	// free has a store of its own for each core (strictly: for each P, the
	// runtime's place to run a goroutine), which hands out what that core put in
	// last. The garbage collector may empty it; then shards are dealt out again.
	// It holds none but the shards of the set, so the set never grows.
	free sync.Pool
}

type padded[T any] struct {
	_     [padding]byte
	value T
	_     [padding]byte
}

// New makes GOMAXPROCS shards, each of which is set up by prepare unless that is
// nil. The set must not be copied.
func New[T any](prepare func(*T)) *Set[T] {
	s := &Set[T]{shards: make([]*T, runtime.GOMAXPROCS(0))}
	for i := range s.shards {
		s.shards[i] = &new(padded[T]).value
		if prepare != nil {
			prepare(s.shards[i])
		}
	}
	s.free.New = func() any { return s.shards[s.next.Add(1)%uint32(len(s.shards))] }
	return s
}

// Take returns a shard that is likely this core's own. Give it back with
// [Set.Give] on the same goroutine, soon and without waiting for anything between.
func (s *Set[T]) Take() *T { return s.free.Get().(*T) }

// Give ends the use of a shard.
func (s *Set[T]) Give(shard *T) { s.free.Put(shard) }

// All returns every shard, in an order that never changes.
func (s *Set[T]) All() []*T { return s.shards }
