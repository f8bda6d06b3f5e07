package api

import (
	"context"
	"errors"
	"fmt"

	"soakd/internal/probes"
	"soakd/internal/probes/exposition"
)

// restartsTotal counts restarts of a replica.
const restartsTotal = "soakd_api_restarts_total"

// probe reads the replicas of the target. Poll is not called concurrently, so
// that its state needs no lock.
type probe struct {
	members members
	token   *token
	metrics *metrics
	// failed tells that the last poll could not read all.
	failed bool
}

// metrics are the descriptions of the probe, each with the label replica first
// but for that of their number.
type metrics struct {
	descs        probes.Descs
	shared       map[string]*probes.Desc
	local        localMetrics
	up, replicas *probes.Desc
	known        *vocabulary
}

func newMetrics(own []alias, version []versionSeries) *metrics {
	m := &metrics{}
	m.shared = mapped(&m.descs)
	m.shared[restartsTotal] = m.descs.Counter(restartsTotal, "Restarts of the target seen since soakd started; of several workers, when the last old one is gone.")
	observed := m.descs.Gauge("soakd_api_observed_workers", "Different processes that answered in the last 12 polls, 36 where several have done so for long; above 1, the counters of the metrics page are absent.")
	m.local = newLocalMetrics(&m.descs)
	said := versions{desc: m.descs.Gauge(VersionInfo, "Version that the target's metrics page gives, always 1; absent where it gives none or several.", "version"), series: version}
	m.up = m.descs.Gauge("soakd_api_replica_up", "Whether all that should be read of the replica was read at the last poll.")
	for _, desc := range m.descs {
		desc.Labels = append([]string{"replica"}, desc.Labels...)
	}
	m.replicas = m.descs.Gauge("soakd_api_replicas", "Replicas of the target; state is known, read when all of it was read at the last poll, or left_out when it is one too many to be read.", "state")
	m.known = &vocabulary{
		groups:   grouped(m.shared, append(own[:len(own):len(own)], knownAliases()...)),
		restarts: m.shared[restartsTotal],
		observed: observed,
		versions: said,
	}
	m.known.names = exposition.NamesOf(append(selectors(m.known.groups), said.selectors()...))
	return m
}

func (p *probe) Name() string             { return Name }
func (p *probe) Describe() []*probes.Desc { return p.metrics.descs }
func (p *probe) Close()                   { p.members.close() }

// Poll reads every replica once.
func (p *probe) Poll(ctx context.Context) (probes.Reading, error) {
	p.token.refresh()
	replicas, leftOut, err := p.members.current(ctx, p.failed)
	var errs []error
	if err != nil {
		errs = append(errs, err)
	}
	outcomes := readAll(ctx, replicas)
	reading := p.reading(replicas, outcomes, leftOut)
	errs = append(errs, p.failures(replicas, outcomes)...)
	p.failed = len(errs) > 0
	return reading, brief(errors.Join(errs...))
}

// brief bounds the text of the errors of many replicas. A panic stays as it is:
// its stack is logged.
func brief(err error) error {
	if panicErr := (*probes.PanicError)(nil); errors.As(err, &panicErr) {
		return err
	}
	return probes.Brief(err)
}

// reading adds up what was read.
func (p *probe) reading(replicas []*replica, outcomes []outcome, leftOut int) probes.Reading {
	reading := probes.Reading{Overflow: leftOut}
	read := 0
	for i, o := range outcomes {
		name := replicas[i].name
		for _, v := range o.values {
			reading.Add(v.desc, v.amount, append([]string{name}, v.labels...)...)
		}
		up := 0.0
		if o.err == nil {
			up = 1
			read++
		}
		reading.Add(p.metrics.up, up, name)
		reading.Cost.Plus(o.cost)
	}
	if len(replicas) > 0 { // else it is not known how many there are
		reading.Add(p.metrics.replicas, float64(len(replicas)+leftOut), "known")
		reading.Add(p.metrics.replicas, float64(read), "read")
		reading.Add(p.metrics.replicas, float64(leftOut), "left_out")
	}
	return reading
}

// failures returns the errors of the replicas, those of several with their names.
func (p *probe) failures(replicas []*replica, outcomes []outcome) []error {
	var errs []error
	for i, o := range outcomes {
		if o.err == nil {
			continue
		}
		err := p.token.explain(o.err)
		if len(outcomes) > 1 {
			err = fmt.Errorf("replica %s: %w", replicas[i].name, err)
		}
		errs = append(errs, err)
	}
	if len(outcomes) > 1 && len(errs) > 0 {
		errs[0] = fmt.Errorf("%d of %d replicas were not read in full: %w", len(errs), len(outcomes), errs[0])
	}
	return errs
}
