package judge

import (
	"runtime"
	"testing"
	"time"

	"soakd/internal/judge/simulate"
)

// What is kept does not grow with time: a week fills every ring and horizon, and
// what comes after adds nothing to speak of.
func TestMemoryIsFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	world, err := simulate.New(simulate.Config{Seed: 5, Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Rate: 50})
	if err != nil {
		t.Fatal(err)
	}
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	const day = 8640
	var heap []float64
	for i := range 9 * day {
		j.Window(world.Next())
		if (i+1)%day == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			heap = append(heap, float64(m.HeapAlloc)/(1<<20))
		}
	}
	t.Logf("MiB at the end of each day: %.1f", heap)
	if grown := heap[8] - heap[6]; grown > 0.5 || heap[8] > 40 {
		t.Errorf("%.2f MiB more in two days, %.1f MiB in all", grown, heap[8])
	}
	runtime.KeepAlive(j)
}
