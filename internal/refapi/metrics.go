package refapi

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// unmatched is the route of requests that no route answers.
const unmatched = "unmatched"

// metrics are those of the HTTP server; the rest is read from where it is kept
// when it is scraped.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(a *API) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total",
			Help: "Requests answered, by method, route and status code (499: the client left first), without those for metrics.",
		}, []string{"method", "route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Time from the end of the request's header to the end of the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight",
			Help: "Requests being answered now, without those for metrics.",
		}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.inFlight,
		collectors.NewGoCollector(),
		a.config.restarted.collector(),
		newReadings(a))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, EnableOpenMetrics: true})
}

// observe counts one answered request.
func (m *metrics) observe(method, route string, code int, took time.Duration) {
	method = knownMethod(method)
	m.requests.WithLabelValues(method, route, strconv.Itoa(code)).Inc()
	m.duration.WithLabelValues(method, route).Observe(took.Seconds())
}

// knownMethod bounds a label that the client chooses.
func knownMethod(method string) string {
	known := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
	}
	if slices.Contains(known, method) {
		return method
	}
	return "other"
}

// reading is a metric whose value is kept elsewhere.
type reading struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	value  func() float64
	labels func() []string // nil: none
}

// readings collects them at a scrape.
type readings []reading

// Describe implements [prometheus.Collector].
func (r readings) Describe(descs chan<- *prometheus.Desc) {
	for _, one := range r {
		descs <- one.desc
	}
}

// Collect implements [prometheus.Collector].
func (r readings) Collect(values chan<- prometheus.Metric) {
	for _, one := range r {
		values <- prometheus.MustNewConstMetric(one.desc, one.kind, one.value(), one.labelled()...)
	}
}

func (r reading) labelled() []string {
	if r.labels == nil {
		return nil
	}
	return r.labels()
}

func gauge(name, help string, value func() float64) reading {
	return reading{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, value, nil}
}

func counter(name, help string, value func() float64) reading {
	return reading{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, value, nil}
}

func newReadings(a *API) readings {
	all := readings{{
		prometheus.NewDesc("app_info", "The version of the API; always 1.", []string{"version"}, nil),
		prometheus.GaugeValue, func() float64 { return 1 },
		func() []string { return []string{a.Version()} },
	}}
	all = append(all, poolReadings(a.store)...)
	all = append(all, calculationReadings(a.calculations)...)
	if a.cache != nil {
		all = append(all, cacheReadings(a.cache)...)
	}
	return all
}

func poolReadings(s *store) readings {
	pool := s.pool
	return readings{
		gauge("pgxpool_max_conns", "Most connections to Postgres that the pool opens.",
			func() float64 { return float64(pool.Stat().MaxConns()) }),
		gauge("pgxpool_total_conns", "Connections to Postgres in the pool, with those being opened.",
			func() float64 { return float64(pool.Stat().TotalConns()) }),
		gauge("pgxpool_acquired_conns", "Connections to Postgres in use.",
			func() float64 { return float64(pool.Stat().AcquiredConns()) }),
		gauge("pgxpool_idle_conns", "Connections to Postgres that wait for use.",
			func() float64 { return float64(pool.Stat().IdleConns()) }),
		gauge("pgxpool_waiting_acquires", "Callers that wait for a connection to Postgres now.",
			func() float64 { return float64(s.waiting.Load()) }),
		counter("pgxpool_acquire_count_total", "Connections to Postgres handed out.",
			func() float64 { return float64(pool.Stat().AcquireCount()) }),
		counter("pgxpool_empty_acquire_total", "Connections to Postgres handed out after a wait, since none was idle.",
			func() float64 { return float64(pool.Stat().EmptyAcquireCount()) }),
		counter("pgxpool_acquire_duration_seconds_total", "Time spent on getting a connection to Postgres from the pool.",
			func() float64 { return pool.Stat().AcquireDuration().Seconds() }),
	}
}

func calculationReadings(c *calculations) readings {
	return readings{
		gauge("calculation_pool_threads", "Threads for calculations.",
			func() float64 { return float64(c.threads) }),
		gauge("calculation_pool_threads_busy", "Threads that calculate now.",
			func() float64 { return float64(c.busy.Load()) }),
		gauge("calculation_pool_queue_length", "Requests that wait for a thread.",
			func() float64 { return float64(c.queued.Load()) }),
		counter("calculation_pool_rejected_total", "Requests refused because the queue was full.",
			func() float64 { return float64(c.rejected.Load()) }),
	}
}

func cacheReadings(c *cache) readings {
	return readings{
		counter("cache_hits_total", "Answers found in the cache.",
			func() float64 { return float64(c.hits.Load()) }),
		counter("cache_misses_total", "Answers looked for in the cache and not found.",
			func() float64 { return float64(c.misses.Load()) }),
		counter("cache_errors_total", "Uses of the cache that failed.",
			func() float64 { return float64(c.failures.Load()) }),
	}
}
