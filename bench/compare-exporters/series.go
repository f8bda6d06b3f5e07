package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"soakd/internal/probes"
)

// series is one value with its name and labels.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

// selector picks series by name and by some of their labels; their sum is what
// is compared. An empty name picks none.
type selector struct {
	name   string
	labels map[string]string
}

// pick is a selector written as name, label, value, label, value.
func pick(name string, labels ...string) selector {
	s := selector{name: name, labels: map[string]string{}}
	for i := 0; i+1 < len(labels); i += 2 {
		s.labels[labels[i]] = labels[i+1]
	}
	return s
}

func (s selector) String() string {
	if len(s.labels) == 0 {
		return s.name
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.labels)) {
		parts = append(parts, fmt.Sprintf("%s=%q", name, s.labels[name]))
	}
	return s.name + "{" + strings.Join(parts, ",") + "}"
}

// sum adds up what s picks, and reports whether there is any.
func (s selector) sum(all []series) (total float64, ok bool) {
	for _, one := range all {
		if one.name == s.name && s.matches(one.labels) {
			total, ok = total+one.value, true
		}
	}
	return total, ok
}

func (s selector) matches(labels map[string]string) bool {
	for name, value := range s.labels {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// parseExposition reads the text of an exporter. Of histograms and summaries
// their sum and count are kept.
func parseExposition(text io.Reader) ([]series, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, err
	}
	var all []series
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			all = append(all, valuesOf(name, labels, metric)...)
		}
	}
	return all, nil
}

func valuesOf(name string, labels map[string]string, metric *dto.Metric) []series {
	switch {
	case metric.Gauge != nil:
		return []series{{name, labels, metric.GetGauge().GetValue()}}
	case metric.Counter != nil:
		return []series{{name, labels, metric.GetCounter().GetValue()}}
	case metric.Untyped != nil:
		return []series{{name, labels, metric.GetUntyped().GetValue()}}
	case metric.Summary != nil:
		return []series{
			{name + "_sum", labels, metric.GetSummary().GetSampleSum()},
			{name + "_count", labels, float64(metric.GetSummary().GetSampleCount())},
		}
	case metric.Histogram != nil:
		return []series{
			{name + "_sum", labels, metric.GetHistogram().GetSampleSum()},
			{name + "_count", labels, float64(metric.GetHistogram().GetSampleCount())},
		}
	}
	return nil
}

// ofReading returns the values of a probe; histograms have none here.
func ofReading(reading probes.Reading) []series {
	var all []series
	for _, sample := range reading.Samples {
		if sample.Times != nil {
			continue
		}
		labels := map[string]string{}
		for i, name := range sample.Desc.Labels {
			labels[name] = sample.Labels[i]
		}
		all = append(all, series{sample.Desc.Name, labels, sample.Value})
	}
	return all
}
