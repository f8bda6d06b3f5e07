package exporter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"soakd/internal/load"
	"soakd/internal/probes"
)

// probeCollector gives the samples of the latest polls and how the probes fare.
type probeCollector struct {
	board *probes.Board
	descs map[*probes.Desc]described
}

type described struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newProbeCollector(all []probes.Probe, board *probes.Board) *probeCollector {
	c := &probeCollector{board: board, descs: map[*probes.Desc]described{}}
	for _, probe := range all {
		for _, d := range probe.Describe() {
			kind := prometheus.GaugeValue
			if d.Type == probes.Counter {
				kind = prometheus.CounterValue
			}
			c.descs[d] = described{desc: fromProbe(probe.Name(), d).desc(), kind: kind}
		}
	}
	return c
}

func (c *probeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []Definition{probeSuccess, probeDuration, probeLastSuccess, probePolls, probeFailures, probeFailing, probeQueries, probeQueryTime} {
		ch <- d.desc()
	}
	for _, d := range c.descs {
		ch <- d.desc
	}
}

func (c *probeCollector) Collect(ch chan<- prometheus.Metric) {
	send := sender(ch)
	for _, status := range c.board.Snapshot(time.Now()) {
		send(probePolls, float64(status.Polls), status.Probe)
		for _, reason := range probes.Reasons() {
			send(probeFailures, float64(status.Reasons[reason]), status.Probe, string(reason))
		}
		send(probeQueries, float64(status.Cost.Queries), status.Probe)
		send(probeQueryTime, status.Cost.Time.Seconds(), status.Probe)
		send(labelOverflow, float64(status.Overflow), status.Probe)
		if !status.Known {
			continue
		}
		success := 0.0
		if status.Success {
			success = 1
		}
		send(probeSuccess, success, status.Probe)
		if status.Reason != "" {
			send(probeFailing, 1, status.Probe, string(status.Reason))
		}
		send(probeDuration, status.Duration.Seconds(), status.Probe)
		if !status.LastSuccess.IsZero() {
			send(probeLastSuccess, float64(status.LastSuccess.UnixNano())/1e9, status.Probe)
		}
		for _, sample := range status.Samples {
			c.sample(ch, sample)
		}
	}
}

// sample sends one value. A sample that does not fit its description is a defect
// of the probe: the registry then reports it and still serves the rest.
func (c *probeCollector) sample(ch chan<- prometheus.Metric, s probes.Sample) {
	d := c.descs[s.Desc]
	if t := s.Times; t != nil {
		ch <- newHistogram(d.desc, t.Start, &load.Times{Histogram: t.Histogram, Bounds: t.Bounds, UpTo: t.UpTo}, s.Labels...)
		return
	}
	metric, err := prometheus.NewConstMetric(d.desc, d.kind, s.Value, s.Labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(d.desc, err)
	}
	ch <- metric
}
