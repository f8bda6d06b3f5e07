package baseline

import "math"

// sample is a figure of one window, or of several in a row, in 16 bytes.
type sample struct {
	// at is the start since the Unix epoch and length the length, both in units: the
	// length of the windows of the profile.
	at, length int32
	// n is how many requests it is of.
	n int32
	// value is the logarithm of a time in seconds in units of 1/logUnit, or how many
	// requests failed.
	value int32
}

// logUnit: values are kept to 0.01 %, a hundredth of a bucket of the histograms.
const logUnit = 1e4

// log is the logarithm of a time in seconds.
func (s sample) log() float64 { return float64(s.value) / logUnit }

// logOf is a time in seconds as the value of a sample.
func logOf(seconds float64) int32 { return int32(math.Round(math.Log(seconds) * logUnit)) }

// count makes a count fit.
func count(n int64) int32 { return int32(min(n, math.MaxInt32)) }

// samples is a bounded sample of a series, spread over all of its time. When there
// are too many, every other run of [runLength] units is left out. Runs and not single
// units, so that what one window has to do with the next can still be seen; by
// the clock and not by count, so that the same windows of all cases are kept.
type samples struct {
	// list is in the order of time. What is in it is not changed any more, so that a
	// copy of the slice stays as it was.
	list []sample
	// stride: of so many runs one is kept. A power of two; 0 stands for 1.
	stride int32
}

// runLength is how many units are kept or left out together.
const runLength = 8

func (s *samples) add(one sample, limit int) {
	s.stride = max(s.stride, 1)
	if !s.keeps(one.at) {
		return
	}
	s.list = append(s.list, one)
	for len(s.list) > limit && s.stride < 1<<20 {
		s.stride *= 2
		kept := make([]sample, 0, limit+1)
		for _, old := range s.list {
			if s.keeps(old.at) {
				kept = append(kept, old)
			}
		}
		s.list = kept
	}
}

func (s *samples) keeps(at int32) bool { return at/runLength%s.stride == 0 }
