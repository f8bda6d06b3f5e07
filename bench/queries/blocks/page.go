package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// day is the length of the rhythm of the load, in seconds.
const day = 86400.0

// maker makes series of a page for one instance.
type maker struct {
	plan
	instance string
	// kept are the cases that are written.
	kept map[string]bool
	// age is how long the soakd of the page has run, and now the time there, seconds.
	age, now float64
	made     []series
}

// readPage makes the series of all instances, sorted.
func (p plan) readPage() ([]series, error) {
	file, err := os.Open(p.page)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.page, err)
	}
	kept, err := p.chooseCases(families)
	if err != nil {
		return nil, err
	}
	status, err := file.Stat()
	if err != nil {
		return nil, err
	}
	start := families["process_start_time_seconds"]
	if start == nil {
		return nil, fmt.Errorf("%s has no process_start_time_seconds: it is no page of soakd", p.page)
	}
	now := float64(status.ModTime().Unix())
	var all []series
	for i := range p.instances {
		m := maker{plan: p, instance: fmt.Sprintf("soakd-%d:9100", i+1), kept: kept, now: now, age: max(now-start.Metric[0].Gauge.GetValue(), 1)}
		for _, name := range slices.Sorted(maps.Keys(families)) {
			for _, metric := range families[name].Metric {
				m.metric(name, families[name].GetType(), metric)
			}
		}
		m.gauge(labels.FromStrings("__name__", "up", "job", "soakd", "instance", m.instance), "up", 1)
		all = append(all, m.made...)
	}
	slices.SortFunc(all, func(a, b series) int { return labels.Compare(a.labels, b.labels) })
	return all, nil
}

// chooseCases takes the first of the valid cases and as many invalid ones as are
// wanted in all.
func (p plan) chooseCases(families map[string]*dto.MetricFamily) (map[string]bool, error) {
	var cases []string
	family := families["soakd_http_response_time_seconds"]
	if family == nil {
		return nil, fmt.Errorf("%s has no soakd_http_response_time_seconds", p.page)
	}
	for _, metric := range family.Metric {
		name := ""
		for _, l := range metric.Label {
			if l.GetName() == "case" {
				name = l.GetValue()
			}
		}
		if strings.HasPrefix(name, "invalid_") {
			cases = append(cases, name)
		} else {
			cases = slices.Insert(cases, 0, name)
		}
	}
	if len(cases) < p.cases {
		return nil, fmt.Errorf("%s has %d cases, want at least %d", p.page, len(cases), p.cases)
	}
	kept := map[string]bool{}
	for _, name := range cases[:p.cases] {
		kept[name] = true
	}
	return kept, nil
}

// metric makes the series of one metric.
func (m *maker) metric(name string, kind dto.MetricType, metric *dto.Metric) {
	b := labels.NewBuilder(labels.FromStrings("job", "soakd", "instance", m.instance))
	for _, l := range metric.Label {
		if l.GetName() == "case" && !m.kept[l.GetValue()] {
			return
		}
		b.Set(l.GetName(), l.GetValue())
	}
	named := func(name string, more ...string) labels.Labels {
		b := labels.NewBuilder(b.Labels())
		b.Set("__name__", name)
		for i := 0; i < len(more); i += 2 {
			b.Set(more[i], more[i+1])
		}
		return b.Labels()
	}
	key := m.instance + name + b.Labels().String()
	switch kind {
	case dto.MetricType_COUNTER:
		m.counter(named(name), key, metric.Counter.GetValue())
		m.troubles(name, named, key, metric.Counter.GetValue())
	case dto.MetricType_HISTOGRAM:
		m.histogram(name, named, key, metric.Histogram)
	case dto.MetricType_SUMMARY:
		for _, q := range metric.Summary.Quantile {
			m.gauge(named(name, "quantile", number(q.GetQuantile())), key, q.GetValue())
		}
		m.counter(named(name+"_sum"), key, metric.Summary.GetSampleSum())
		m.counter(named(name+"_count"), key, float64(metric.Summary.GetSampleCount()))
	case dto.MetricType_GAUGE:
		m.gauge(named(name), key, metric.Gauge.GetValue())
	default:
		m.gauge(named(name), key, metric.Untyped.GetValue())
	}
}

// troubles are what a fortnight has and a minute of a demo that is well has not: a
// few outcomes a case besides the usual one, and checks that fail.
func (m *maker) troubles(name string, named func(string, ...string) labels.Labels, key string, value float64) {
	if name != "soakd_http_requests_total" {
		return
	}
	kinds := [][2]string{{"timeout", "none"}, {"server_error", "500"}, {"server_error", "503"}, {"check_failed", "200"}, {"rate_limited", "429"}}
	for _, kind := range kinds {
		m.counter(named(name, "outcome", kind[0], "code", kind[1]), key+kind[0], value/200)
	}
	failed := labels.NewBuilder(named("soakd_check_failures_total", "check", "status"))
	failed.Del("class", "outcome", "code")
	m.counter(failed.Labels(), key+"check", value/300)
}

// worked is the time at full load until a moment: it grows by 0.6 to 1.4 a second
// in the rhythm of a day, and each series has its own place in it.
func worked(seconds, phase float64) float64 {
	return seconds + 0.4*day/(2*math.Pi)*math.Sin(2*math.Pi*seconds/day+phase)
}

// phase is a number from 0 to 1 that belongs to the key.
func phase(key string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return float64(h.Sum64()>>11) / (1 << 53)
}

// counter grows as fast as it did on the page, from the beginning on.
func (m *maker) counter(l labels.Labels, key string, value float64) {
	rate, at, begin := value/m.age, phase(key), float64(m.begin.Unix())
	origin := worked(begin, at)
	fraction := value != math.Floor(value)
	m.made = append(m.made, series{labels: l, value: func(seconds float64) (float64, bool) {
		v := rate * (worked(seconds, at) - origin)
		if !fraction {
			v = math.Floor(v)
		}
		return v, true
	}})
}

// gauge wanders around its value on the page by a fifth. States, infos and settings
// stay; moments keep their distance.
func (m *maker) gauge(l labels.Labels, key string, value float64) {
	name, at := l.Get("__name__"), phase(key+l.String())
	switch {
	case strings.HasSuffix(name, "start_time_seconds"):
		begin := float64(m.begin.Unix())
		m.made = append(m.made, series{labels: l, value: func(float64) (float64, bool) { return begin, true }})
	case strings.HasSuffix(name, "_timestamp_seconds"):
		behind := m.now - value
		m.made = append(m.made, series{labels: l, value: func(seconds float64) (float64, bool) { return seconds - behind, true }})
	case value == 0 || value == 1:
		m.made = append(m.made, series{labels: l, value: func(float64) (float64, bool) { return value, true }})
	default:
		whole := value == math.Floor(value)
		m.made = append(m.made, series{labels: l, value: func(seconds float64) (float64, bool) {
			v := value * (1 + 0.1*math.Sin(seconds/day*6+at*6) + 0.1*math.Sin(seconds/97+at*6))
			if whole {
				v = math.Round(v)
			}
			return v, true
		}})
	}
}

// histogram makes the buckets so that all of a moment belong together.
func (m *maker) histogram(name string, named func(string, ...string) labels.Labels, key string, h *dto.Histogram) {
	if m.native && strings.HasPrefix(name, "soakd_") {
		m.made = append(m.made, series{labels: named(name), whole: m.nativeOf(key, h)})
		return
	}
	m.counter(named(name+"_sum"), key, h.GetSampleSum())
	m.counter(named(name+"_count"), key, float64(h.GetSampleCount()))
	for _, bucket := range h.Bucket {
		m.counter(named(name+"_bucket", "le", number(bucket.GetUpperBound())), key, float64(bucket.GetCumulativeCount()))
	}
	if n := len(h.Bucket); n == 0 || !math.IsInf(h.Bucket[n-1].GetUpperBound(), 1) {
		m.counter(named(name+"_bucket", "le", "+Inf"), key, float64(h.GetSampleCount()))
	}
}

// number writes a bound as Prometheus does since 3.0 and soakd does on its page.
func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
