package histogram

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// distributions draw times within 10 us .. 10 min.
func distributions() map[string]func(*rand.Rand) time.Duration {
	const low, high = 10 * time.Microsecond, 10 * time.Minute
	clamp := func(d float64) time.Duration { return time.Duration(min(max(d, float64(low)), float64(high))) }
	return map[string]func(*rand.Rand) time.Duration{
		"log-normal":  func(r *rand.Rand) time.Duration { return clamp(20e6 * math.Exp(1.5*r.NormFloat64())) },
		"uniform":     func(r *rand.Rand) time.Duration { return low + time.Duration(r.Int64N(int64(high-low))) },
		"log-uniform": func(r *rand.Rand) time.Duration { return logUniform(r, low, high) },
		"bimodal": func(r *rand.Rand) time.Duration {
			if r.IntN(100) < 98 {
				return clamp(200e3 * (1 + 0.1*r.NormFloat64()))
			}
			return clamp(30e9 * (1 + 0.1*r.NormFloat64()))
		},
	}
}

func within(got, want time.Duration, part float64) bool {
	return math.Abs(float64(got-want)) <= part*float64(want)+0.5
}

func TestQuantilesAreWithinOnePercent(t *testing.T) {
	for name, draw := range distributions() {
		for _, size := range []int{1, 2, 10, 1000, 50_000} {
			rng := rand.New(rand.NewPCG(5, uint64(size)))
			times := make([]time.Duration, size)
			var h Histogram
			for i := range times {
				times[i] = draw(rng)
				h.Observe(times[i])
			}
			slices.Sort(times)
			for _, q := range []float64{0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999} {
				want := times[max(0, int(math.Ceil(q*float64(size)))-1)]
				// 2^(1/128) - 1: tighter than the 1 % that is asked for.
				if got := h.Quantile(q); !within(got, want, 0.00544) {
					t.Errorf("%s, %d values: quantile %v is %v, want %v within 0.55 %%", name, size, q, got, want)
				}
			}
			if h.Quantile(1) != times[size-1] || h.Max() != times[size-1] || h.Count() != uint64(size) {
				t.Errorf("%s: max %v of %d, want exactly %v of %d", name, h.Max(), h.Count(), times[size-1], size)
			}
		}
	}
}

func drawn(seed uint64, n int) (*Histogram, []time.Duration) {
	h, times := new(Histogram), make([]time.Duration, n)
	rng := rand.New(rand.NewPCG(seed, 9))
	for i := range times {
		times[i] = logUniform(rng, 1, 10*time.Minute) - 1 // 0 now and then
		h.Observe(times[i])
	}
	return h, times
}

// flat makes a histogram comparable: all that it holds, without its pointers.
type flat struct {
	counts          [blocks * perDouble]uint64
	zeros, sum, all uint64
	max             time.Duration
}

func flatten(h *Histogram) flat {
	f := flat{zeros: h.zeros, sum: h.sum, all: h.count, max: h.max}
	for i, block := range &h.blocks {
		if block != nil {
			copy(f.counts[i*perDouble:], block[:])
		}
	}
	return f
}

func merged(all ...*Histogram) *Histogram {
	sum := new(Histogram)
	for _, h := range all {
		sum.Merge(h)
	}
	return sum
}

func TestMergeIsExact(t *testing.T) {
	a, ta := drawn(1, 5000)
	b, tb := drawn(2, 300)
	c, tc := drawn(3, 20_000)
	together := new(Histogram)
	for _, d := range slices.Concat(ta, tb, tc) {
		together.Observe(d)
	}
	want := flatten(together)
	for name, got := range map[string]*Histogram{
		"a+b+c": merged(a, b, c), "c+b+a": merged(c, b, a), "a+(b+c)": merged(a, merged(b, c)), "(a+b)+c": merged(merged(a, b), c),
	} {
		if flatten(got) != want {
			t.Errorf("%s is not what observing all of them together gives", name)
		}
	}
	if flatten(merged(a, new(Histogram))) != flatten(a) {
		t.Error("merging nothing changes something")
	}
}

func TestSubUndoesMerge(t *testing.T) {
	a, _ := drawn(4, 5000)
	b, _ := drawn(5, 300)
	both := merged(a, b)
	since := both.Sub(a)
	got, want := flatten(&since), flatten(b)
	got.max, want.max = 0, 0
	if got != want {
		t.Error("(a+b) - a is not b")
	}
	if !within(since.Max(), b.Max(), 0.00544) {
		t.Errorf("the longest since then is %v, want %v within 0.55 %%", since.Max(), b.Max())
	}
	before := flatten(both)
	both.Observe(time.Hour)
	if since := both.Sub(a); since.Max() != time.Hour {
		t.Errorf("a new longest duration is exact: %v", since.Max())
	}
	if since := both.Sub(both); flatten(&since) != (flat{}) {
		t.Errorf("since itself: %d counted, longest %v", since.Count(), since.Max())
	}
	if before.all+1 != both.Count() {
		t.Error("Sub changed what it was taken from")
	}
}

func TestNothingAndZero(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Quantile(1) != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Error("an empty histogram is not empty")
	}
	h.Observe(0)
	h.Observe(-time.Second)
	h.Observe(time.Second)
	if h.Zeros() != 2 || h.Count() != 3 || h.Sum() != uint64(time.Second) || h.Quantile(0.5) != 0 || !within(h.Quantile(0.9), time.Second, 0.00544) {
		t.Errorf("two zeros and a second: %d zeros of %d, sum %d, p50 %v, p90 %v", h.Zeros(), h.Count(), h.Sum(), h.Quantile(0.5), h.Quantile(0.9))
	}
	h.Observe(math.MaxInt64)
	h.Observe(1)
	if got := h.Quantile(0.99); !within(got, math.MaxInt64, 0.00544) {
		t.Errorf("292 years are %v", got)
	}
	if got := h.Quantile(0.5); got != 1 {
		t.Errorf("1 ns is %v", got)
	}
}

// The concurrent form holds the same as the plain one, and a reader in the middle
// sees a whole that fits together.
func TestAtomicIsTheSame(t *testing.T) {
	const writers, each = 4, 20_000
	var shared Atomic
	var plain Histogram
	var group sync.WaitGroup
	for w := range writers {
		one, times := drawn(uint64(w), each)
		plain.Merge(one)
		group.Go(func() {
			for _, d := range times {
				shared.Observe(d)
			}
		})
	}
	ended := make(chan struct{})
	go func() { group.Wait(); close(ended) }()
	var last Histogram
	for reading := true; reading; {
		select {
		case <-ended:
			reading = false
		default:
		}
		var now Histogram
		shared.AddTo(&now)
		sum := now.Zeros()
		for _, n := range now.Native(Schema) {
			sum += n
		}
		if sum != now.Count() || now.Count() < last.Count() || now.Quantile(0.9999) > now.Max() {
			t.Fatalf("%d counted, %d in buckets, %d before; p99.99 %v, longest %v", now.Count(), sum, last.Count(), now.Quantile(0.9999), now.Max())
		}
		last = now
	}
	if flatten(&last) != flatten(&plain) {
		t.Error("the concurrent histogram does not hold what was observed")
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	var h Histogram
	var a Atomic
	observe := func() {
		for d := time.Duration(1000); d < time.Minute; d = d*3/2 + 7 {
			h.Observe(d)
			a.Observe(d)
		}
	}
	observe()
	if n := testing.AllocsPerRun(100, observe); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	_, times := drawn(1, 1024)
	b.Run("plain", func(b *testing.B) {
		var h Histogram
		b.ReportAllocs()
		for i := range b.N {
			h.Observe(times[i%1024])
		}
	})
	b.Run("atomic", func(b *testing.B) {
		var h Atomic
		b.ReportAllocs()
		for i := range b.N {
			h.Observe(times[i%1024])
		}
	})
}
