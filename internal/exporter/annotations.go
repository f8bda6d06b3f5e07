package exporter

import (
	"github.com/prometheus/client_golang/prometheus"

	"soakd/internal/grafana"
)

// The metrics of the annotations for Grafana.
//
//nolint:gochecknoglobals // never changed: the table of metrics
var (
	annotationsTotal   = own("soakd_annotations_total", "counter", "Annotations for Grafana, by result: written or brought up to date (sent), attempts that Grafana refused or did not answer (failed; tried again), never written because too many waited, Grafana will never take it or soakd ended (dropped). Absent where SOAKD_GRAFANA_URL is not set.", "result")
	annotationsPending = own("soakd_annotations_pending", "gauge", "Annotations that wait to be written to Grafana. Absent where SOAKD_GRAFANA_URL is not set.")
)

// WatchAnnotations adds the metrics of the annotations, read at each scrape. It must be
// called once at most.
func (m *Metrics) WatchAnnotations(read func() grafana.Figures) {
	m.registry.MustRegister(annotationCollector(read))
}

type annotationCollector func() grafana.Figures

// Describe implements [prometheus.Collector].
func (annotationCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range annotationDefinitions() {
		ch <- d.desc()
	}
}

// Collect implements [prometheus.Collector].
func (read annotationCollector) Collect(ch chan<- prometheus.Metric) {
	f, emit := read(), sender(ch)
	emit(annotationsTotal, float64(f.Sent), "sent")
	emit(annotationsTotal, float64(f.Failed), "failed")
	emit(annotationsTotal, float64(f.Dropped), "dropped")
	emit(annotationsPending, float64(f.Pending))
}

func annotationDefinitions() []Definition {
	return []Definition{annotationsTotal, annotationsPending}
}
