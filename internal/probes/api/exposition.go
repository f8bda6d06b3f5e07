package api

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// maxBody bounds the exposition, in bytes.
const maxBody = 10 << 20

// errTooLarge is what reading a body over maxBody ends with.
var errTooLarge = fmt.Errorf("the answer is larger than %d MiB", maxBody>>20)

// exposition is what is wanted of a /metrics page, by family name.
type exposition map[string]*dto.MetricFamily

// parse reads the series of the wanted names from text format 0.0.4.
func parse(r io.Reader, wanted map[string]bool) (exposition, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(newLineFilter(&boundedReader{r: r, left: maxBody}, wanted))
	if err != nil {
		return nil, err
	}
	return families, nil
}

// boundedReader fails with errTooLarge after left bytes, so that a page that is
// cut off is never taken for a whole one.
type boundedReader struct {
	r    io.Reader
	left int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if n, err := b.r.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

var (
	errNotFinite = errors.New("is infinite")
	errDuplicate = errors.New("is there twice with the same labels")
)

// value returns the sum of the series that a matches. It has none when no
// series matches, when one is NaN, or when one is negative: -1 stands for
// "unknown" in JVM metrics, and nothing that soakd maps can be below 0.
func (e exposition) value(a alias) (value float64, ok bool, err error) {
	seen := map[string]bool{}
	for _, s := range e.series(a.target) {
		if !s.matches(a.match) {
			continue
		}
		id := s.id()
		switch {
		case seen[id]:
			return 0, false, fmt.Errorf("%s %w", a.target, errDuplicate)
		case math.IsInf(s.value, 0):
			return 0, false, fmt.Errorf("%s %w", a.target, errNotFinite)
		case math.IsNaN(s.value) || s.value < 0:
			return 0, false, nil
		}
		seen[id] = true
		value += s.value
		ok = true
	}
	if a.scale != 0 {
		value *= a.scale
	}
	if a.zeroIsNone && value == 0 {
		ok = false
	}
	return value, ok, nil
}

// series is one sample with its labels.
type series struct {
	labels []*dto.LabelPair
	value  float64
}

// series returns the samples named name as the text format names them.
func (e exposition) series(name string) []series {
	var found []series
	for _, metric := range e[name].GetMetric() {
		if value, ok := plain(metric); ok {
			found = append(found, series{metric.GetLabel(), value})
		}
	}
	if base, isSum := strings.CutSuffix(name, "_sum"); isSum {
		return append(found, e.aggregates(base, sumOf)...)
	}
	if base, isCount := strings.CutSuffix(name, "_count"); isCount {
		return append(found, e.aggregates(base, countOf)...)
	}
	return found
}

// aggregates returns one field of the summaries and histograms named name.
func (e exposition) aggregates(name string, field func(*dto.Metric) (float64, bool)) []series {
	var found []series
	for _, metric := range e[name].GetMetric() {
		if value, ok := field(metric); ok {
			found = append(found, series{metric.GetLabel(), value})
		}
	}
	return found
}

func plain(m *dto.Metric) (float64, bool) {
	switch {
	case m.Counter != nil:
		return m.GetCounter().GetValue(), true
	case m.Gauge != nil:
		return m.GetGauge().GetValue(), true
	case m.Untyped != nil:
		return m.GetUntyped().GetValue(), true
	default:
		return 0, false
	}
}

func sumOf(m *dto.Metric) (float64, bool) {
	switch {
	case m.Summary != nil && m.Summary.SampleSum != nil:
		return m.GetSummary().GetSampleSum(), true
	case m.Histogram != nil && m.Histogram.SampleSum != nil:
		return m.GetHistogram().GetSampleSum(), true
	default:
		return 0, false
	}
}

func countOf(m *dto.Metric) (float64, bool) {
	switch {
	case m.Summary != nil && m.Summary.SampleCount != nil:
		return float64(m.GetSummary().GetSampleCount()), true
	case m.Histogram != nil && m.Histogram.SampleCount != nil:
		return float64(m.GetHistogram().GetSampleCount()), true
	case m.Histogram != nil && m.Histogram.SampleCountFloat != nil:
		return m.GetHistogram().GetSampleCountFloat(), true
	default:
		return 0, false
	}
}

func (s series) matches(want map[string]string) bool {
	for name, value := range want {
		if s.label(name) != value {
			return false
		}
	}
	return true
}

func (s series) label(name string) string {
	for _, pair := range s.labels {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// id identifies the series among those of its name.
func (s series) id() string {
	parts := make([]string, 0, len(s.labels))
	for _, pair := range s.labels {
		parts = append(parts, pair.GetName()+"\xff"+pair.GetValue())
	}
	sort.Strings(parts)
	return strings.Join(parts, "\xfe")
}
