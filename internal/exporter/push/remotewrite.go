package push

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/snappy"
	dto "github.com/prometheus/client_model/go"
)

// newRemoteWrite returns the receiver of remote write as a target.
func newRemoteWrite(cfg *Config) (*target, error) {
	at, err := ParseURL(cfg.RemoteWrite.URL)
	if err != nil {
		return nil, err
	}
	c := newClient(cfg.RemoteWrite, cfg.Roots)
	added := map[string]string{"job": cfg.Job, "instance": cfg.Instance}
	for name, value := range cfg.Labels {
		added[name] = value
	}
	write := func(ctx context.Context, request []byte) error {
		return c.call(ctx, http.MethodPost, at.String(), bytes.NewReader(snappy.Encode(nil, request)), http.Header{
			"Content-Type":                      {"application/x-protobuf"},
			"Content-Encoding":                  {"snappy"},
			"X-Prometheus-Remote-Write-Version": {"0.1.0"},
			"User-Agent":                        {"soakd"},
		})
	}
	return &target{
		name: RemoteWrite, host: at.Host, close: c.http.CloseIdleConnections,
		send: func(ctx context.Context, families []*dto.MetricFamily, now time.Time) error {
			for _, request := range writeRequests(families, added, cmp.Or(cfg.Histograms, Classic), now) {
				if err := write(ctx, request); err != nil {
					return err
				}
			}
			return nil
		},
		// A request without series writes nothing.
		check: func(ctx context.Context) error { return write(ctx, nil) },
	}, nil
}

// maxSeries bounds the series of one request: what Prometheus itself sends at once.
const maxSeries = 2000

// writeRequests makes requests of remote write 1.0 of what was gathered, all with the
// time now.
func writeRequests(families []*dto.MetricFamily, added map[string]string, form Histograms, now time.Time) [][]byte {
	w := &writer{added: added, form: form, at: now.UnixMilli()}
	for _, family := range families {
		w.family(family)
	}
	w.finish()
	return w.requests
}

// writer takes the series of families one by one and closes a request when it is full.
type writer struct {
	added    map[string]string
	form     Histograms
	at       int64 // milliseconds since 1970
	request  []byte
	series   int
	requests [][]byte
}

func (w *writer) finish() {
	if w.series > 0 {
		w.requests = append(w.requests, w.request)
	}
	w.request, w.series = nil, 0
}

// add takes one series.
func (w *writer) add(name string, labels []*dto.LabelPair, content []byte) {
	if w.series >= maxSeries {
		w.finish()
	}
	w.request = appendSeries(w.request, name, labels, content)
	w.series++
}

// value takes one series with a number.
func (w *writer) value(name string, labels []*dto.LabelPair, value float64) {
	w.add(name, labels, appendSample(nil, value, w.at))
}

func (w *writer) family(family *dto.MetricFamily) {
	name := family.GetName()
	w.request = appendMetadata(w.request, family)
	for _, metric := range family.GetMetric() {
		labels := withLabels(metric.GetLabel(), w.added)
		switch {
		case metric.GetCounter() != nil:
			w.value(name, labels, metric.GetCounter().GetValue())
		case metric.GetGauge() != nil:
			w.value(name, labels, metric.GetGauge().GetValue())
		case metric.GetUntyped() != nil:
			w.value(name, labels, metric.GetUntyped().GetValue())
		case metric.GetSummary() != nil:
			w.summary(name, labels, metric.GetSummary())
		case metric.GetHistogram() != nil:
			w.histogram(name, labels, metric.GetHistogram())
		}
	}
}

func (w *writer) summary(name string, labels []*dto.LabelPair, s *dto.Summary) {
	for _, q := range s.GetQuantile() {
		w.value(name, with(labels, "quantile", number(q.GetQuantile())), q.GetValue())
	}
	w.value(name+"_sum", labels, s.GetSampleSum())
	w.value(name+"_count", labels, float64(s.GetSampleCount()))
}

func (w *writer) histogram(name string, labels []*dto.LabelPair, h *dto.Histogram) {
	native := h.Schema != nil && w.form != Classic
	if native {
		w.add(name, labels, appendHistogram(nil, h, w.at))
	}
	if native && w.form == Native {
		return
	}
	for _, bucket := range h.GetBucket() {
		if !math.IsInf(bucket.GetUpperBound(), 1) {
			w.value(name+"_bucket", with(labels, "le", number(bucket.GetUpperBound())), float64(bucket.GetCumulativeCount()))
		}
	}
	w.value(name+"_bucket", with(labels, "le", "+Inf"), float64(h.GetSampleCount()))
	w.value(name+"_sum", labels, h.GetSampleSum())
	w.value(name+"_count", labels, float64(h.GetSampleCount()))
}

// with returns the labels and one more.
func with(labels []*dto.LabelPair, name, value string) []*dto.LabelPair {
	return append(slices.Clip(labels), &dto.LabelPair{Name: &name, Value: &value})
}

// number writes a bound as OpenMetrics and Prometheus 3 do, always with a point or an
// exponent: 1.0 rather than 1.
func number(f float64) string {
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if strings.ContainsAny(text, ".eIN") {
		return text
	}
	return text + ".0"
}
