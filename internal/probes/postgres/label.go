package postgres

import (
	"context"

	"soakd/internal/probes"
)

// labelled gives every metric of a probe the label server, as the first: the
// collectors know of one server only.
type labelled struct {
	probes.Probe
	name, server string
	descs        []*probes.Desc
	// outer gives the description with the label of one without.
	outer map[*probes.Desc]*probes.Desc
}

func withServer(inner probes.Probe, name, server string) *labelled {
	l := &labelled{Probe: inner, name: name, server: server, outer: map[*probes.Desc]*probes.Desc{}}
	for _, desc := range inner.Describe() {
		outer := *desc
		outer.Labels = append([]string{"server"}, desc.Labels...)
		l.outer[desc] = &outer
		l.descs = append(l.descs, &outer)
	}
	return l
}

func (l *labelled) Name() string             { return l.name }
func (l *labelled) Describe() []*probes.Desc { return l.descs }

// Poll polls the probe inside and labels what it read. A sample that was not
// described stays as it is: the poller tells of it.
func (l *labelled) Poll(ctx context.Context) (probes.Reading, error) {
	reading, err := l.Probe.Poll(ctx)
	for i, sample := range reading.Samples {
		if outer, ok := l.outer[sample.Desc]; ok {
			reading.Samples[i].Desc = outer
			reading.Samples[i].Labels = append([]string{l.server}, sample.Labels...)
		}
	}
	return reading, err
}
