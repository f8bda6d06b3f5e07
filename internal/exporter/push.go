package exporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"soakd/internal/exporter/push"
)

// The metrics of the pushes.
//
//nolint:gochecknoglobals // never changed: the table of metrics
var (
	pushesTotal  = own("soakd_pushes_total", "counter", "Pushes of all metrics, by destination: pushgateway or remote_write. Absent where SOAKD_PUSHGATEWAY_URL or SOAKD_REMOTE_WRITE_URL is not set.", "destination")
	pushFailures = own("soakd_push_failures_total", "counter", "Those of them that failed after all attempts. Absent as soakd_pushes_total is.", "destination")
)

// Push sends what the registry holds now to the pusher's destinations; see [push.Pusher.Push].
func (m *Metrics) Push(ctx context.Context, p *push.Pusher) error { return p.Push(ctx, m.registry) }

// PushEvery pushes every interval until ctx ends; see [push.Pusher.Run].
func (m *Metrics) PushEvery(ctx context.Context, p *push.Pusher, every time.Duration) {
	p.Run(ctx, m.registry, every)
}

// WatchPushes adds the account of the pushes, read at each scrape and push. It must be
// called once at most.
func (m *Metrics) WatchPushes(read func() push.Figures) {
	m.registry.MustRegister(pushCollector(read))
}

type pushCollector func() push.Figures

// Describe implements [prometheus.Collector].
func (pushCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range pushDefinitions() {
		ch <- d.desc()
	}
}

// Collect implements [prometheus.Collector].
func (read pushCollector) Collect(ch chan<- prometheus.Metric) {
	emit := sender(ch)
	for destination, figure := range read() {
		emit(pushesTotal, float64(figure.Pushes), destination)
		emit(pushFailures, float64(figure.Failures), destination)
	}
}

func pushDefinitions() []Definition { return []Definition{pushesTotal, pushFailures} }

// Snapshot writes all metrics as they are now in OpenMetrics text 1.0.0, exemplars
// included, up to its "# EOF". Each sample has the time of the snapshot, so that
// `promtool tsdb create-blocks-from openmetrics` can make blocks of it. A metric that
// cannot be read is left out and said in the error; what could be read is written all the
// same.
func (m *Metrics) Snapshot(w io.Writer) error {
	families, problem := m.registry.Gather()
	if problem != nil {
		problem = fmt.Errorf("read the metrics: %w", problem)
	}
	at := time.Now().UnixMilli()
	format, err := expfmt.NewOpenMetricsFormat(expfmt.OpenMetricsVersion_1_0_0)
	if err != nil {
		return err
	}
	encoder := expfmt.NewEncoder(w, format)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			metric.TimestampMs = &at
		}
		if err := encoder.Encode(family); err != nil {
			return fmt.Errorf("write the metrics: %w", err)
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok { // writes the # EOF
		if err := closer.Close(); err != nil {
			return fmt.Errorf("write the metrics: %w", err)
		}
	}
	return errors.Join(problem)
}
