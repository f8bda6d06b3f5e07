package push

import (
	"cmp"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of remote write 1.0 with the numbers of their fields
// (https://prometheus.io/docs/specs/prw/remote_write_spec/ and
// https://github.com/prometheus/prometheus/blob/main/prompb/types.proto). Go's only
// package of these messages is Prometheus itself, with another protobuf library.
const (
	requestSeries, requestMetadata                = 1, 3
	seriesLabels, seriesSamples, seriesHistograms = 1, 2, 4
	labelName, labelValue                         = 1, 2
	sampleValue, sampleTime                       = 1, 2
	metadataType, metadataName, metadataHelp      = 1, 2, 4

	histogramCount, histogramSum, histogramSchema, histogramZeroThreshold, histogramZeroCount = 1, 3, 4, 5, 6
	histogramNegativeSpans, histogramNegativeDeltas                                           = 8, 9
	histogramPositiveSpans, histogramPositiveDeltas, histogramTime                            = 11, 12, 15
	spanOffset, spanLength                                                                    = 1, 2
)

// appendSeries appends a series to a request; its labels are sorted by name, as the
// specification asks. content is its sample or histogram.
func appendSeries(b []byte, name string, labels []*dto.LabelPair, content []byte) []byte {
	type label struct{ name, value string }
	sorted := []label{{"__name__", name}}
	for _, l := range labels {
		if l.GetValue() != "" { // an empty one is the same as none
			sorted = append(sorted, label{l.GetName(), l.GetValue()})
		}
	}
	slices.SortFunc(sorted, func(a, b label) int { return cmp.Compare(a.name, b.name) })
	var series []byte
	for _, l := range sorted {
		series = appendBytes(series, seriesLabels, appendText(appendText(nil, labelName, l.name), labelValue, l.value))
	}
	return appendBytes(b, requestSeries, append(series, content...))
}

// appendSample appends a number to a series; at is milliseconds since 1970.
func appendSample(b []byte, value float64, at int64) []byte {
	return appendBytes(b, seriesSamples, appendVarint(appendDouble(nil, sampleValue, value), sampleTime, uint64(at))) //nolint:gosec // as protobuf writes int64
}

// appendHistogram appends a native histogram with whole counts to a series.
func appendHistogram(b []byte, h *dto.Histogram, at int64) []byte {
	m := appendVarint(nil, histogramCount, h.GetSampleCount())
	m = appendDouble(m, histogramSum, h.GetSampleSum())
	m = appendVarint(m, histogramSchema, protowire.EncodeZigZag(int64(h.GetSchema())))
	m = appendDouble(m, histogramZeroThreshold, h.GetZeroThreshold())
	m = appendVarint(m, histogramZeroCount, h.GetZeroCount())
	m = appendBuckets(m, histogramNegativeSpans, histogramNegativeDeltas, h.GetNegativeSpan(), h.GetNegativeDelta())
	m = appendBuckets(m, histogramPositiveSpans, histogramPositiveDeltas, h.GetPositiveSpan(), h.GetPositiveDelta())
	m = appendVarint(m, histogramTime, uint64(at)) //nolint:gosec // as protobuf writes int64
	return appendBytes(b, seriesHistograms, m)
}

func appendBuckets(b []byte, spanField, deltaField protowire.Number, spans []*dto.BucketSpan, deltas []int64) []byte {
	for _, span := range spans {
		m := appendVarint(nil, spanOffset, protowire.EncodeZigZag(int64(span.GetOffset())))
		b = appendBytes(b, spanField, appendVarint(m, spanLength, uint64(span.GetLength())))
	}
	if len(deltas) == 0 {
		return b
	}
	var packed []byte
	for _, delta := range deltas {
		packed = protowire.AppendVarint(packed, protowire.EncodeZigZag(delta))
	}
	return appendBytes(b, deltaField, packed)
}

// appendMetadata appends the type and the help of a family to a request.
func appendMetadata(b []byte, family *dto.MetricFamily) []byte {
	kinds := map[dto.MetricType]uint64{dto.MetricType_COUNTER: 1, dto.MetricType_GAUGE: 2, dto.MetricType_HISTOGRAM: 3, dto.MetricType_GAUGE_HISTOGRAM: 4, dto.MetricType_SUMMARY: 5}
	m := appendVarint(nil, metadataType, kinds[family.GetType()])
	return appendBytes(b, requestMetadata, appendText(appendText(m, metadataName, family.GetName()), metadataHelp, family.GetHelp()))
}

func appendBytes(b []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
}

func appendText(b []byte, field protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), value)
}

func appendVarint(b []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), value)
}

func appendDouble(b []byte, field protowire.Number, value float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), math.Float64bits(value))
}
