package load

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"soakd/internal/load/schedule"
)

// sendBelow lets users send as fast as a ceiling allows for some seconds, each
// waking up to late after its time, and returns the times of all sends.
func sendBelow(t *testing.T, rate schedule.Rate, users int, late, length time.Duration) []time.Duration {
	t.Helper()
	ceiling, err := NewCeiling(rate)
	if err != nil {
		t.Fatal(err)
	}
	var (
		start = time.Now()
		mu    sync.Mutex
		sends []time.Duration
		done  sync.WaitGroup
	)
	for user := range users {
		done.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(user)))
			for time.Since(start) < length {
				at := ceiling.Next(time.Since(start))
				time.Sleep(at - time.Since(start) + time.Duration(random.Int64N(int64(late)+1)))
				if now := time.Since(start); ceiling.Admit(now) {
					mu.Lock()
					sends = append(sends, now)
					mu.Unlock()
				}
			}
		})
	}
	done.Wait()
	slices.Sort(sends)
	return sends
}

// most returns the largest number of sends within any half-open second.
func most(sends []time.Duration) int {
	largest, first := 0, 0
	for i, at := range sends {
		for sends[first] <= at-time.Second {
			first++
		}
		largest = max(largest, i-first+1)
	}
	return largest
}

func TestCeilingHoldsInEverySecond(t *testing.T) {
	for _, c := range []struct {
		name  string
		rate  string
		users int
		late  time.Duration
		// most is the largest number in any second, total in 10 s.
		most, total int
	}{
		{"punctual", "100", 50, 0, 100, 1000},
		{"one user", "100", 1, 0, 100, 1000},
		{"no whole number", "2.5", 7, 0, 3, 25},
		{"no whole interval", "300", 50, 0, 300, 3000},
		// The tolerance: one more than the rate.
		{"within the tolerance", "100", 50, 2 * time.Millisecond, 101, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			rate, err := schedule.ParseRate(c.rate)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				sends := sendBelow(t, rate, c.users, c.late, 11*time.Second)
				if got := most(sends); got != c.most {
					t.Errorf("%d sends in one second, want %d", got, c.most)
				}
				total := slices.IndexFunc(sends, func(at time.Duration) bool { return at >= 10*time.Second })
				if total < c.total-1 || total > c.total+1 {
					t.Errorf("%d sends in 10 s, want %d", total, c.total)
				}
			})
		})
	}
}

// Users that wake far too late find times that others did not use, but never
// more of them than the rate allows.
func TestCeilingHoldsForLateUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sends := sendBelow(t, 100_000_000, 50, 500*time.Millisecond, 20*time.Second)
		// (1 s + 2 ms) / 10 ms + 1
		if got := most(sends); got > 101 {
			t.Errorf("%d sends in one second, want at most 101", got)
		}
		if len(sends) < 20*50 {
			t.Errorf("%d sends in 20 s: late users hardly get to send", len(sends))
		}
	})
}

// After a stall in which the times of all users passed they do not send at once.
func TestCeilingAfterAStall(t *testing.T) {
	ceiling, err := NewCeiling(10_000_000) // one in 100 ms
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ceiling.Next(0)
	}
	admitted := 0
	for range 20 {
		if ceiling.Admit(5 * time.Second) {
			admitted++
		}
	}
	if admitted != 1 {
		t.Errorf("%d of 20 users were let go at once after a stall, want 1", admitted)
	}
	if got, want := ceiling.Next(5*time.Second), 5*time.Second; got != want {
		t.Errorf("the next time is %v, want %v", got, want)
	}
	if ceiling.Admit(5*time.Second + 97*time.Millisecond) {
		t.Error("97 ms after a send another one was admitted, want 98 ms at least")
	}
	if !ceiling.Admit(5*time.Second + 98*time.Millisecond) {
		t.Error("98 ms after a send none was admitted: the tolerance is 2 ms")
	}
}

func TestCeilingInterval(t *testing.T) {
	for rate, want := range map[schedule.Rate]int64{
		1_000_000_000_000: 1_000,
		700_000_000_000:   1_429, // 1428.57, rounded up
		3_000_000:         333_333_334,
		1:                 1_000_000_000_000_000,
	} {
		ceiling, err := NewCeiling(rate)
		if err != nil {
			t.Fatal(err)
		}
		if ceiling.interval != want {
			t.Errorf("at %v/s the interval is %d ns, want %d", rate, ceiling.interval, want)
		}
	}
	if _, err := NewCeiling(0); err == nil {
		t.Error("a ceiling of 0 was taken")
	}
}

func BenchmarkCeiling(b *testing.B) {
	ceiling, err := NewCeiling(1_000_000_000_000)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	start := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ceiling.Admit(ceiling.Next(time.Since(start)))
		}
	})
}
