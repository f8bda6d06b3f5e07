package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// benchResults returns a workload of a number of cases and results as they come:
// times log-normal around 2 ms, one of a hundred failed.
func benchResults(cases int, start time.Time) (*Workload, []Result) {
	workload := &Workload{Name: "bench"}
	for i := range cases {
		workload.Cases = append(workload.Cases, testCase(fmt.Sprintf("case_%d", i), 1))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	results := make([]Result, 4096)
	for i := range results {
		d := time.Duration(2e6 * math.Exp(rng.NormFloat64()))
		results[i] = Result{
			Case: workload.Cases[rng.IntN(cases)], Outcome: OK, Status: 200, TraceID: TraceID{1},
			Done: start.Add(time.Duration(i) * 500 * time.Microsecond), ResponseTime: d + 100*time.Microsecond, Duration: d,
		}
		if i%100 == 0 {
			results[i].Outcome, results[i].Status, results[i].Reason = ServerError, 500, "status 500"
		}
	}
	return workload, results
}

func benchRecorder(cases int) (*Recorder, []Result) {
	start := time.Now()
	workload, results := benchResults(cases, start)
	return NewRecorder(workload, start), results
}

// BenchmarkRecorderDone tells what a result costs, from one goroutine and from one
// on each core.
func BenchmarkRecorderDone(b *testing.B) {
	for _, cases := range []int{1, 45} {
		b.Run(fmt.Sprintf("cases=%d/serial", cases), func(b *testing.B) {
			recorder, results := benchRecorder(cases)
			b.ReportAllocs()
			for i := range b.N {
				recorder.Done(&results[i%len(results)])
			}
		})
		b.Run(fmt.Sprintf("cases=%d/parallel", cases), func(b *testing.B) {
			recorder, results := benchRecorder(cases)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					recorder.Done(&results[i%len(results)])
				}
			})
		})
	}
}

// BenchmarkRecorderDoneCold tells what a result costs when other work has pushed
// the counts (and the code that counts) out of the caches, as in a paced run: the
// median in ns, of which reading the clock takes some 50. 4 MiB is more than the
// second-level cache of a core, and less than the third.
func BenchmarkRecorderDoneCold(b *testing.B) {
	recorder, results := benchRecorder(45)
	other := make([]byte, 4<<20)
	took := make([]time.Duration, 0, b.N)
	for i := range b.N {
		for j := 0; j < len(other); j += 64 {
			other[j]++
		}
		start := time.Now()
		recorder.Done(&results[i%len(results)])
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
}

// BenchmarkRecorderLag tells what noticing an arrival costs.
func BenchmarkRecorderLag(b *testing.B) {
	recorder, _ := benchRecorder(1)
	b.ReportAllocs()
	for i := range b.N {
		recorder.Lag(time.Duration(i % 200_000))
	}
}

// BenchmarkLedger tells what the account of one arrival costs: scheduled, sent and
// finished.
func BenchmarkLedger(b *testing.B) {
	l := newLedger()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.scheduled()
			l.sent()
			l.finished()
		}
	})
}

// BenchmarkRecorderRead tells what it costs to read 45 cases, as each scrape and
// each line of progress does, and how much memory they hold.
func BenchmarkRecorderRead(b *testing.B) {
	var before, after runtime.MemStats
	start := time.Now()
	workload, results := benchResults(45, start)
	runtime.GC()
	runtime.ReadMemStats(&before)
	recorder := NewRecorder(workload, start)
	for i := range results {
		recorder.Done(&results[i])
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	for b.Loop() {
		recorder.Snapshot()
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1024, "KiB-held")
	runtime.KeepAlive(results)
}
