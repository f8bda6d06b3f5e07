package push

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientpush "github.com/prometheus/client_golang/prometheus/push"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// newGateway returns the Pushgateway as a target. The job and the instance are its
// grouping key, so that a push replaces (PUT) what the run before left there, and the
// gateway does not grow with the runs; other labels are those of the series.
func newGateway(cfg *Config) (*target, error) {
	at, err := ParseURL(cfg.Pushgateway.URL)
	if err != nil {
		return nil, err
	}
	// The gateway's own paths start there.
	base := strings.TrimSuffix(at.String(), "/")
	c := newClient(cfg.Pushgateway, cfg.Roots)
	return &target{
		name: Pushgateway, host: at.Host, close: c.http.CloseIdleConnections,
		send: func(ctx context.Context, families []*dto.MetricFamily, _ time.Time) error {
			return clientpush.New(base, cfg.Job).Grouping("instance", cfg.Instance).Client(c).
				Gatherer(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return forGateway(families, cfg.Labels), nil })).
				PushContext(ctx)
		},
		check: func(ctx context.Context) error {
			return c.call(ctx, http.MethodGet, base+"/-/ready", http.NoBody, nil)
		},
	}, nil
}

// forGateway leaves out what soakd tells of its own process (go_*, process_*,
// promhttp_*): a Pushgateway has metrics of these names itself, and refuses a whole push
// for one whose type is another. What is left gets the labels.
func forGateway(families []*dto.MetricFamily, labels map[string]string) []*dto.MetricFamily {
	var kept []*dto.MetricFamily
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "soakd_") {
			continue
		}
		own := &dto.MetricFamily{Name: family.Name, Help: family.Help, Type: family.Type, Unit: family.Unit}
		for _, metric := range family.GetMetric() {
			one := &dto.Metric{Gauge: metric.Gauge, Counter: metric.Counter, Summary: metric.Summary, Untyped: metric.Untyped}
			one.Label = withLabels(metric.GetLabel(), labels)
			if h := metric.GetHistogram(); h != nil {
				one.Histogram = proto.CloneOf(h)
			}
			own.Metric = append(own.Metric, one)
		}
		kept = append(kept, own)
	}
	return kept
}
