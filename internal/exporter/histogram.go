package exporter

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"soakd/internal/histogram"
	"soakd/internal/load"
)

// nativeSchema is the schema of the native histograms that are exposed: each
// bucket is 9 % wider than the one before (2^(1/8)), eight of soakd's own. It
// keeps Prometheus' store at the size that is usual (client_golang's factor 1.1).
const nativeSchema = 3

// constHistogram is a histogram as it was at one moment, classic and native at once.
// client_golang has constant histograms of either kind but none of both.
type constHistogram struct {
	desc   *prometheus.Desc
	metric dto.Metric
}

// Desc implements [prometheus.Metric].
func (h *constHistogram) Desc() *prometheus.Desc { return h.desc }

// Write implements [prometheus.Metric].
func (h *constHistogram) Write(out *dto.Metric) error {
	out.Label, out.Histogram = h.metric.GetLabel(), h.metric.GetHistogram()
	return nil
}

func newHistogram(desc *prometheus.Desc, start time.Time, t *load.Times, labels ...string) prometheus.Metric {
	h := &constHistogram{desc: desc}
	h.metric.Label = prometheus.MakeLabelPairs(desc, labels)
	// Both forms list the same exemplars.
	examples := make([]*dto.Exemplar, len(t.Exemplars))
	for i := range t.Exemplars {
		examples[i] = example(&t.Exemplars[i])
	}
	out := &dto.Histogram{
		SampleCount: new(t.Histogram.Count()), SampleSum: new(float64(t.Histogram.Sum()) / float64(time.Second)),
		CreatedTimestamp: timestamppb.New(start), Bucket: classicBuckets(t, examples),
		Schema: new(int32(nativeSchema)), ZeroThreshold: new(float64(prometheus.DefNativeHistogramZeroThreshold)), ZeroCount: new(t.Histogram.Zeros()),
		Exemplars: examples,
	}
	out.PositiveSpan, out.PositiveDelta = nativeBuckets(&t.Histogram)
	h.metric.Histogram = out
	return h
}

// example gives a request with the trace id that its target knows it by.
func example(e *load.Exemplar) *dto.Exemplar {
	return &dto.Exemplar{
		Label: []*dto.LabelPair{{Name: new("trace_id"), Value: new(e.TraceID.String())}},
		Value: new(e.Value.Seconds()), Timestamp: timestamppb.New(e.At),
	}
}

// classicBuckets gives the cumulative buckets. The one without an upper bound is
// written by the text formats themselves and stands here only to carry an exemplar.
func classicBuckets(t *load.Times, examples []*dto.Exemplar) []*dto.Bucket {
	buckets := make([]*dto.Bucket, len(t.Bounds), len(t.Bounds)+1)
	for i, bound := range t.Bounds {
		buckets[i] = &dto.Bucket{UpperBound: new(bound.Seconds()), CumulativeCount: new(t.UpTo[i])}
	}
	for i, e := range t.Exemplars {
		if e.Bucket == len(buckets) {
			buckets = append(buckets, &dto.Bucket{UpperBound: new(math.Inf(1)), CumulativeCount: new(t.Histogram.Count())})
		}
		buckets[e.Bucket].Exemplar = examples[i]
	}
	return buckets
}

// spanGap is how many empty buckets are written rather than starting a new span.
const spanGap = 2

// nativeBuckets gives the buckets as the exposition wants them: spans of
// neighbours, each count as the difference from the one before
// (https://prometheus.io/docs/specs/native_histograms/#exposition-formats).
func nativeBuckets(h *histogram.Histogram) (spans []*dto.BucketSpan, deltas []int64) {
	next, last := 0, int64(0)
	add := func(count int64) {
		*spans[len(spans)-1].Length++
		deltas = append(deltas, count-last)
		last = count
	}
	for key, n := range h.Native(nativeSchema) {
		gap := key - next
		if len(spans) == 0 || gap > spanGap {
			spans = append(spans, &dto.BucketSpan{Offset: new(int32(gap)), Length: new(uint32)})
			gap = 0
		}
		for range gap {
			add(0)
		}
		add(int64(n))
		next = key + 1
	}
	return spans, deltas
}
