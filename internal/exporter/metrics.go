// Package exporter turns what soakd does and sees into Prometheus metrics and
// serves them. It is the only part of soakd that knows client_golang.
package exporter

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	dto "github.com/prometheus/client_model/go"

	"soakd/internal/load"
	"soakd/internal/probes"
)

// Metrics is soakd's own registry and everything in it. It takes results and
// lags as they come and reads the rest at each scrape.
type Metrics struct {
	registry *prometheus.Registry
	cases    map[*load.Case]*caseMetrics
	requests *prometheus.CounterVec
	checks   *prometheus.CounterVec
	lag      prometheus.Histogram
	// overflow counts values of traffic labels that were folded into "other".
	overflow atomic.Int64
}

// caseMetrics are the series of one case that need no look-up by label.
type caseMetrics struct {
	name, class            string
	checks                 []string
	responseTime, duration prometheus.ExemplarObserver
}

// NewMetrics returns the metrics of a run of the workload, with the Go runtime's,
// the process's and the build's beside them.
func NewMetrics(workload *load.Workload) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		cases:    make(map[*load.Case]*caseMetrics, len(workload.Cases)),
		requests: counterVec(requests),
		checks:   counterVec(checkFailures),
		lag:      prometheus.NewHistogram(histogramOpts(scheduleLag, lagBuckets())),
	}
	responseTimes := prometheus.NewHistogramVec(histogramOpts(responseTime, timeBuckets()), responseTime.Labels)
	durations := prometheus.NewHistogramVec(histogramOpts(requestDuration, timeBuckets()), requestDuration.Labels)
	for _, c := range workload.Cases {
		class := string(c.Class)
		m.cases[c] = &caseMetrics{
			name: c.Name, class: class, checks: append(load.BuiltinChecks(), c.Checks...),
			// Both are histograms, which observe with exemplars.
			responseTime: responseTimes.WithLabelValues(c.Name, class).(prometheus.ExemplarObserver),
			duration:     durations.WithLabelValues(c.Name, class).(prometheus.ExemplarObserver),
		}
	}
	m.registry.MustRegister(
		m.checks, m.lag, responseTimes, durations,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("soakd"),
	)
	return m
}

func counterVec(d Definition) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
}

// histogramOpts makes a histogram that is native (each bucket at most 10 % wider
// than the one before, at most 160 of them) and classic at once.
func histogramOpts(d Definition, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: d.Name, Help: d.Help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// timeBuckets spans the time limits of the cases, in seconds.
func timeBuckets() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}
}

// lagBuckets spans a healthy schedule (tens of microseconds) to a starved one.
func lagBuckets() []float64 {
	return []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}
}

// Done implements [load.Sink].
func (m *Metrics) Done(r *load.Result) {
	c := m.cases[r.Case]
	m.requests.WithLabelValues(c.name, c.class, string(r.Outcome), m.code(r.Status)).Inc()
	for _, check := range r.FailedChecks {
		m.checks.WithLabelValues(c.name, m.check(c, check)).Inc()
	}
	if !r.Timed() {
		return
	}
	exemplar := prometheus.Labels{"trace_id": r.TraceID.String()}
	c.responseTime.ObserveWithExemplar(r.ResponseTime.Seconds(), exemplar)
	c.duration.ObserveWithExemplar(r.Duration.Seconds(), exemplar)
}

// Lag implements [load.LagSink].
func (m *Metrics) Lag(lag time.Duration) { m.lag.Observe(lag.Seconds()) }

// code gives the label of a status: a status that HTTP does not know is "other",
// so that a broken target cannot make series.
func (m *Metrics) code(status int) string {
	switch {
	case status == 0:
		return "none"
	case http.StatusText(status) == "":
		m.overflow.Add(1)
		return "other"
	}
	return strconv.Itoa(status)
}

func (m *Metrics) check(c *caseMetrics, name string) string {
	if slices.Contains(c.checks, name) {
		return name
	}
	m.overflow.Add(1)
	return "other"
}

// Traffic is what the metrics read from the load engine and its client at each
// scrape.
type Traffic struct {
	Counts     func() load.Counts
	TargetRate func() float64
	Transfer   func() load.Transfer
	Users      int
}

// WatchTraffic adds the metrics of the load engine, and with them the requests by
// outcome. It must be called once.
func (m *Metrics) WatchTraffic(t Traffic) {
	m.registry.MustRegister(trafficCollector{t, m.requests, &m.overflow})
}

// trafficCollector reads the requests before the account of arrivals, so that in
// one scrape there are never more requests with an outcome than were sent.
type trafficCollector struct {
	Traffic
	requests *prometheus.CounterVec
	overflow *atomic.Int64
}

func (t trafficCollector) Describe(ch chan<- *prometheus.Desc) {
	t.requests.Describe(ch)
	for _, d := range []Definition{
		arrivalsScheduled, arrivalsSent, arrivalsWaiting, arrivalsDropped, arrivalsSubstituted, requestsCut, inFlight,
		targetRate, virtualUsers, connectionsOpened, connectionsReused, bytesSent, bytesReceived, labelOverflow,
	} {
		ch <- d.desc()
	}
}

func (t trafficCollector) Collect(ch chan<- prometheus.Metric) {
	freeze(ch, t.requests)
	counts, transfer := t.Counts(), t.Transfer()
	send := sender(ch)
	send(arrivalsScheduled, float64(counts.Scheduled))
	send(arrivalsSent, float64(counts.Sent))
	send(arrivalsWaiting, float64(counts.Waiting))
	for reason, n := range counts.Dropped {
		send(arrivalsDropped, float64(n), string(reason))
	}
	for _, s := range counts.Substituted {
		send(arrivalsSubstituted, float64(s.Count), s.Case.Name, string(s.Reason))
	}
	send(requestsCut, float64(counts.Cut))
	send(inFlight, float64(counts.InFlight))
	send(targetRate, t.TargetRate())
	send(virtualUsers, float64(t.Users))
	send(connectionsOpened, float64(transfer.ConnectionsOpened))
	send(connectionsReused, float64(transfer.ConnectionsReused))
	send(bytesSent, float64(transfer.BytesSent))
	send(bytesReceived, float64(transfer.BytesReceived))
	send(labelOverflow, float64(t.overflow.Load()), "traffic")
}

// frozen is a metric with the value that it had at one moment. A registry reads
// the values of live metrics some time after they were collected.
type frozen struct {
	prometheus.Metric
	value dto.Metric
}

// Write implements [prometheus.Metric].
func (f *frozen) Write(out *dto.Metric) error {
	out.Label, out.Counter = f.value.GetLabel(), f.value.GetCounter()
	return nil
}

// freeze sends the counters of a collector with the values that they have now.
func freeze(ch chan<- prometheus.Metric, counters prometheus.Collector) {
	live := make(chan prometheus.Metric)
	go func() {
		defer close(live)
		counters.Collect(live)
	}()
	for metric := range live {
		f := &frozen{Metric: metric}
		if err := metric.Write(&f.value); err != nil {
			ch <- prometheus.NewInvalidMetric(metric.Desc(), err)
			continue
		}
		ch <- f
	}
}

func sender(ch chan<- prometheus.Metric) func(Definition, float64, ...string) {
	return func(d Definition, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if d.Type == "counter" {
			kind = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(d.desc(), kind, value, labels...)
	}
}

// WatchProbes adds the metrics of the probes, read from the board at each
// scrape. It must be called once.
func (m *Metrics) WatchProbes(all []probes.Probe, board *probes.Board) {
	m.registry.MustRegister(newProbeCollector(all, board))
}
