// Package exporter turns what soakd does and sees into Prometheus metrics and
// serves them. It is the only part of soakd that knows client_golang.
package exporter

import (
	"cmp"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"

	"soakd/internal/load"
	"soakd/internal/probes"
)

// Metrics is soakd's own registry and everything in it. It counts nothing itself:
// each scrape reads what others have counted.
type Metrics struct {
	registry *prometheus.Registry
	traffic  *trafficCollector
}

// NewMetrics returns the metrics of the results and lags of a recorder, with the
// Go runtime's, the process's and the build's beside them.
func NewMetrics(recorder *load.Recorder) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), traffic: &trafficCollector{recorder: recorder}}
	m.registry.MustRegister(
		m.traffic,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("soakd"),
	)
	return m
}

// Traffic is what the metrics read from the load engine and its client at each
// scrape.
type Traffic struct {
	Counts     func() load.Counts
	TargetRate func() float64
	Transfer   func() load.Transfer
	Users      int
	// Phase is where the load is on its way; nil leaves its metric out.
	Phase func() load.Phase
	// Run says what is sent to whom.
	Run RunInfo
	// Throttle is what holds the load back; nil leaves its metrics out.
	Throttle func() load.Throttle
	// Fitness says which windows of soakd's own work were fit for judgement, and
	// CPUShare how much of its CPUs soakd used in the latest, when that is known;
	// nil leaves their metrics out.
	Fitness  func() load.FitnessStatus
	CPUShare func() (float64, bool)
}

// RunInfo names what one soakd sends to whom; each is a label value.
type RunInfo struct {
	Target, Model, Shape, Workload, Shard string
}

// WatchTraffic adds the metrics of the load engine and its client.
func (m *Metrics) WatchTraffic(t Traffic) { m.traffic.engine.Store(&t) }

// WatchProbes adds the metrics of the probes, read from the board at each
// scrape. It must be called once.
func (m *Metrics) WatchProbes(all []probes.Probe, board *probes.Board) {
	m.registry.MustRegister(newProbeCollector(all, board))
}

// trafficCollector reads the results before the account of arrivals, so that in
// one scrape there are never more requests with an outcome than were sent.
type trafficCollector struct {
	recorder *load.Recorder
	// engine is nil until there is one.
	engine atomic.Pointer[Traffic]
}

// Describe implements [prometheus.Collector].
func (*trafficCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range ownDefinitions() {
		if d.fromTraffic() {
			ch <- d.desc()
		}
	}
}

// Collect implements [prometheus.Collector].
func (t *trafficCollector) Collect(ch chan<- prometheus.Metric) {
	snapshot := t.recorder.Snapshot()
	collectResults(ch, &snapshot)
	if engine := t.engine.Load(); engine != nil {
		engine.collect(ch)
	}
}

func collectResults(ch chan<- prometheus.Metric, s *load.Snapshot) {
	requestDesc, checkDesc, responseDesc, durationDesc := requests.desc(), checkFailures.desc(), responseTime.desc(), requestDuration.desc()
	count := func(desc *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(desc, prometheus.CounterValue, float64(n), s.Start, labels...)
	}
	for i := range s.Cases {
		c := &s.Cases[i]
		name, class := c.Case.Name, string(c.Case.Class)
		for _, r := range c.Requests {
			count(requestDesc, r.Count, name, class, string(r.Outcome), r.Code)
		}
		for _, f := range c.FailedChecks {
			count(checkDesc, f.Count, name, f.Check)
		}
		ch <- newHistogram(responseDesc, s.Start, &c.ResponseTime, name, class)
		ch <- newHistogram(durationDesc, s.Start, &c.Duration, name, class)
	}
	ch <- newHistogram(scheduleLag.desc(), s.Start, &s.Lag)
	sender(ch)(labelOverflow, float64(s.Folded()), "traffic")
}

func (t *Traffic) collect(ch chan<- prometheus.Metric) {
	counts, transfer := t.Counts(), t.Transfer()
	send := sender(ch)
	send(arrivalsScheduled, float64(counts.Scheduled))
	send(arrivalsSent, float64(counts.Sent))
	send(arrivalsWaiting, float64(counts.Waiting))
	for _, reason := range load.DropReasons() {
		send(arrivalsDropped, float64(counts.Dropped[reason]), string(reason))
	}
	for _, s := range counts.Substituted {
		send(arrivalsSubstituted, float64(s.Count), s.Case.Name, string(s.Reason))
	}
	send(requestsCut, float64(counts.Cut))
	send(inFlight, float64(counts.InFlight))
	send(targetRate, t.TargetRate())
	send(virtualUsers, float64(t.Users))
	send(runInfo, 1, t.Run.Target, t.Run.Model, t.Run.Shape, t.Run.Workload, t.Run.Shard)
	t.collectPhase(send)
	send(connectionsOpened, float64(transfer.ConnectionsOpened))
	send(connectionsReused, float64(transfer.ConnectionsReused))
	send(bytesSent, float64(transfer.BytesSent))
	send(bytesReceived, float64(transfer.BytesReceived))
	send(connectionsOpen, float64(transfer.ConnectionsOpen))
	send(dialErrors, float64(transfer.DialErrors))
	for _, kind := range load.SystemKinds() {
		send(systemErrors, float64(transfer.SystemErrors[kind]), string(kind))
	}
	t.collectThrottle(send)
	t.collectFitness(send)
}

// send hands over one value of a metric.
type send func(d Definition, value float64, labels ...string)

func (t *Traffic) collectPhase(emit send) {
	if t.Phase == nil {
		return
	}
	present := t.Phase()
	if present == "" {
		return
	}
	for _, phase := range load.Phases() {
		emit(loadPhase, oneIf(phase == present), string(phase))
	}
}

func (t *Traffic) collectThrottle(emit send) {
	if t.Throttle == nil {
		return
	}
	throttle := t.Throttle()
	emit(loadFactor, throttle.Factor)
	emit(loadPaused, oneIf(throttle.Paused))
	emit(heldUsers, float64(throttle.HeldUsers))
	emit(retryAfterHolds, float64(throttle.Holds.User), "user")
	emit(retryAfterHolds, float64(throttle.Holds.Everybody), "everybody")
	emit(retryAfterCapped, float64(throttle.Holds.Capped))

	circuit := throttle.Circuit
	state := cmp.Or(circuit.State, load.CircuitClosed) // where there is none, the whole load flows
	for _, one := range load.CircuitStates() {
		emit(circuitState, oneIf(one == state), string(one))
	}
	step := 0
	if state == load.CircuitRecovering {
		step = circuit.Step + 1
	}
	emit(circuitStep, float64(step))
	emit(circuitTrips, float64(circuit.Trips))
	emit(circuitRelapses, float64(circuit.Relapses))
}

func (t *Traffic) collectFitness(emit send) {
	if t.Fitness == nil {
		return
	}
	fitness := t.Fitness()
	emit(windows, float64(fitness.Windows-fitness.Unfit), "fit")
	emit(windows, float64(fitness.Unfit), "unfit")
	for _, reason := range load.UnfitReasons() {
		emit(windowsUnfit, float64(fitness.ByReason[reason]), string(reason))
	}
	if fitness.Windows == 0 {
		return
	}
	emit(windowFit, oneIf(fitness.Fit()))
	if t.CPUShare == nil {
		return
	}
	if share, known := t.CPUShare(); known {
		emit(windowCPU, share)
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func sender(ch chan<- prometheus.Metric) send {
	return func(d Definition, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if d.Type == "counter" {
			kind = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(d.desc(), kind, value, labels...)
	}
}
