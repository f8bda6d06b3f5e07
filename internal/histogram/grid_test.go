package histogram

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// power returns b^64 for a whole number b.
func power(b *big.Int) *big.Int { return new(big.Int).Exp(b, big.NewInt(perDouble), nil) }

// upper[i] = floor(2^(j/64) * 10^9 * 2^33) with j = 7+i is, raised to the power 64,
//
//	upper[i]^64 <= 2^j * (10^9 * 2^33)^64 < (upper[i]+1)^64
//
// which is checked in whole numbers.
func TestUpperBoundsAreTheirDefinition(t *testing.T) {
	second := power(new(big.Int).Lsh(big.NewInt(1e9), 33))
	for i, bound := range upper[:perDouble] {
		exact := new(big.Int).Lsh(second, uint(7+i))
		b := new(big.Int).SetUint64(bound)
		if power(b).Cmp(exact) > 0 || power(b.Add(b, big.NewInt(1))).Cmp(exact) <= 0 {
			t.Errorf("upper[%d] = %#x is not floor(2^(%d/64) * 10^9 * 2^33)", i, bound, 7+i)
		}
	}
	for c, got := range below {
		low := uint64(1)<<63 + uint64(c)<<56
		want := 0
		for want < perDouble && upper[want] < low {
			want++
		}
		if int(got) != want {
			t.Errorf("below[%d] is %d, want %d", c, got, want)
		}
		if next := want + 1; next < perDouble && upper[next] < low+1<<56 {
			t.Errorf("two bounds within cell %d", c)
		}
	}
}

// keyByDefinition is the least k with d <= 2^(k/64) s, that is with
// d^64 <= 2^k * (10^9)^64, found from a float and put right in whole numbers.
func keyByDefinition(d time.Duration) int {
	value := power(big.NewInt(int64(d)))
	within := func(k int) bool {
		bound, scaled := power(big.NewInt(1e9)), new(big.Int).Set(value)
		if k >= 0 {
			bound.Lsh(bound, uint(k))
		} else {
			scaled.Lsh(scaled, uint(-k))
		}
		return scaled.Cmp(bound) <= 0
	}
	k := int(math.Ceil(perDouble * math.Log2(float64(d)/1e9)))
	for within(k - 1) {
		k--
	}
	for !within(k) {
		k++
	}
	return k
}

// edges returns the whole nanoseconds on both sides of every bound of the grid.
func edges() []time.Duration {
	var all []time.Duration
	for length := 1; length <= 63; length++ {
		for _, bound := range upper[:perDouble] {
			at := int64(bound >> (64 - length))
			for d := at - 1; d <= at+1; d++ {
				if d > 0 {
					all = append(all, time.Duration(d))
				}
			}
		}
	}
	return append(all, math.MaxInt64, math.MaxInt64-1)
}

func logUniform(rng *rand.Rand, low, high time.Duration) time.Duration {
	return time.Duration(float64(low) * math.Pow(float64(high)/float64(low), rng.Float64()))
}

func TestBucketIsTheDefinition(t *testing.T) {
	times := edges()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		times = append(times, logUniform(rng, 1, math.MaxInt64-1))
	}
	for _, d := range times {
		if got, want := firstKey+bucketOf(d), keyByDefinition(d); got != want {
			t.Fatalf("%d ns is in bucket %d, want %d", d, got, want)
		}
	}
}

// nativeByPrometheus observes the times with client_golang's own histogram.
func nativeByPrometheus(t *testing.T, factor float64, schema int32, times []time.Duration) map[int]uint64 {
	t.Helper()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x", NativeHistogramBucketFactor: factor})
	for _, d := range times {
		h.Observe(d.Seconds())
	}
	var out dto.Metric
	if err := h.Write(&out); err != nil {
		t.Fatal(err)
	}
	if got := out.GetHistogram().GetSchema(); got != schema {
		t.Fatalf("factor %v gives schema %d, want %d", factor, got, schema)
	}
	counts, key, count, delta := map[int]uint64{}, 0, int64(0), 0
	for _, span := range out.GetHistogram().GetPositiveSpan() {
		key += int(span.GetOffset())
		for range span.GetLength() {
			count += out.GetHistogram().GetPositiveDelta()[delta]
			delta++
			if count > 0 {
				counts[key] = uint64(count)
			}
			key++
		}
	}
	return counts
}

// Every time up to an hour, bounds included, is where client_golang puts it, at
// every schema. (Beyond some hours a float of seconds is too coarse to tell a
// nanosecond from a bound.)
func TestBucketsArePrometheusOwn(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var times []time.Duration
	for _, d := range edges() {
		if d <= time.Hour {
			times = append(times, d)
		}
	}
	for range 200_000 {
		times = append(times, logUniform(rng, time.Microsecond, time.Hour))
	}
	var h Histogram
	for _, d := range times {
		h.Observe(d)
	}
	for schema, factor := range []float64{2, 1.5, 1.2, 1.1, 1.05, 1.0219, 1.0109} {
		want := nativeByPrometheus(t, factor, int32(schema), times)
		last := math.MinInt
		for key, n := range h.Native(schema) {
			if key <= last {
				t.Fatalf("schema %d: bucket %d after bucket %d", schema, key, last)
			}
			last = key
			if want[key] != n {
				t.Errorf("schema %d: %d in bucket %d, Prometheus has %d", schema, n, key, want[key])
			}
			delete(want, key)
		}
		if len(want) > 0 {
			t.Errorf("schema %d: missing %v", schema, want)
		}
	}
}

func TestNativeCanBeLeftEarly(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{time.Millisecond, time.Second, time.Minute} {
		h.Observe(d)
	}
	for key, n := range h.Native(3) {
		// The bucket of 1 ms is the smallest integer above 8 times log2 of 0.001.
		if key != -79 || n != 1 {
			t.Errorf("the first bucket is %d with %d", key, n)
		}
		break
	}
}
