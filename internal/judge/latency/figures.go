package latency

import (
	"math"

	"soakd/internal/histogram"
)

// tailSteps is how many thresholds of slow requests are counted: 2^(1/4), 2^(2/4),
// ..., 2^6 = 64 times the typical response time.
const tailSteps = 24

// tailStep is the distance of two thresholds, as a natural logarithm.
const tailStep = math.Ln2 / 4

// figures are what is kept of a histogram. Times are natural logarithms of seconds.
type figures struct {
	n int64
	// typical is the mean over the middle half, median the median.
	typical, median float64
	// slow[j] counts requests slower than typical + (j+1) * tailStep.
	slow [tailSteps]uint32
}

// cell is a bucket of a histogram that is not empty.
type cell struct {
	middle float64 // logarithm of the middle, in seconds
	n      float64
}

// bucketWidth is the width of a bucket of a histogram as a natural logarithm.
const bucketWidth = math.Ln2 / (1 << histogram.Schema)

// measure reads the figures of a histogram; buckets is used for work.
func measure(h *histogram.Histogram, buckets *[]cell) figures {
	f := figures{n: int64(h.Count())}
	cells := (*buckets)[:0]
	// What is not above 0 is below all others: one nanosecond.
	if zeros := h.Zeros(); zeros > 0 {
		cells = append(cells, cell{math.Log(1e-9), float64(zeros)})
	}
	for key, n := range h.Native(histogram.Schema) {
		cells = append(cells, cell{(float64(key) - 0.5) * bucketWidth, float64(n)})
	}
	*buckets = cells
	total := float64(f.n)
	low, high, half := total/4, total*3/4, total/2
	seen, sum := 0.0, 0.0
	for _, c := range cells {
		next := seen + c.n
		sum += c.middle * max(0, min(next, high)-max(seen, low))
		if seen < half && next >= half {
			f.median = c.middle + ((half-seen)/c.n-0.5)*bucketWidth
		}
		seen = next
	}
	f.typical = sum / (high - low)
	f.countSlow(cells)
	return f
}

func (f *figures) countSlow(cells []cell) {
	for i := len(cells) - 1; i >= 0; i-- {
		above := int((cells[i].middle - f.typical) / tailStep)
		if above < 1 {
			break
		}
		f.slow[min(above, tailSteps)-1] += uint32(cells[i].n)
	}
	for j := tailSteps - 2; j >= 0; j-- {
		f.slow[j] += f.slow[j+1]
	}
}
