package shard

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// However often the pool is emptied, no shard is added and no count is lost.
func TestSetNeitherGrowsNorLoses(t *testing.T) {
	const writers, each = 8, 20_000
	made := 0
	set := New(func(*atomic.Int64) { made++ })
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				one := set.Take()
				one.Value.Add(1)
				set.Give(one)
				if w == 0 && i%5000 == 0 {
					runtime.GC()
				}
			}
		})
	}
	group.Wait()
	var sum int64
	for _, one := range set.All() {
		sum += one.Load()
	}
	if sum != writers*each {
		t.Errorf("%d counted, want %d", sum, writers*each)
	}
	if cores := runtime.GOMAXPROCS(0); made != cores || len(set.All()) != cores {
		t.Errorf("%d prepared and %d shards, want %d", made, len(set.All()), cores)
	}
	if one := set.Take(); !slices.Contains(set.All(), one.Value) {
		t.Error("a shard that is not of the set")
	}
}

// Cores that take a shard while others have theirs get another one, also after
// the garbage collector took leases; a goroutine more than cores shares one.
func TestShardsAreHandedOutOnce(t *testing.T) {
	set := New[atomic.Int64](nil)
	for round := range 3 {
		var leases []*Lease[atomic.Int64]
		taken := map[*atomic.Int64]bool{}
		for range set.All() {
			one := set.lease()
			if !one.own || taken[one.Value] {
				t.Fatalf("round %d: a shard twice", round)
			}
			leases, taken[one.Value] = append(leases, one), true
		}
		first, second := set.lease(), set.lease()
		if first.own || second.own || (first.Value == second.Value && len(set.All()) > 1) {
			t.Fatal("with none free, shards are shared in turn")
		}
		runtime.KeepAlive(leases)
		for free := 0; free < len(set.All()); {
			runtime.GC()
			set.mu.Lock()
			free = len(set.free)
			set.mu.Unlock()
		}
	}
}

func TestShardsShareNoCacheLine(t *testing.T) {
	all := New[atomic.Int64](nil).All()
	for i, a := range all {
		for _, b := range all[i+1:] {
			low, high := uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(b))
			if max(low, high)-min(low, high) < padding {
				t.Errorf("shards %p and %p are less than %d bytes apart", a, b, padding)
			}
		}
	}
}

func TestTakingAllocatesNothing(t *testing.T) {
	set := New[atomic.Int64](nil)
	if n := testing.AllocsPerRun(1000, func() {
		one := set.Take()
		one.Value.Add(1)
		set.Give(one)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCounter(b *testing.B) {
	b.Run("sharded", func(b *testing.B) {
		set := New[atomic.Int64](nil)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one := set.Take()
				one.Value.Add(1)
				set.Give(one)
			}
		})
	})
	b.Run("one for all", func(b *testing.B) {
		var one atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one.Add(1)
			}
		})
	})
}
