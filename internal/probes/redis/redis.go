package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"soakd/internal/probes"
)

const (
	// maxNodes bounds the label node, and how many servers are asked at the same
	// time: one that hangs must not make another wait.
	maxNodes = 64
	// spareShare and findShare are which part of what is left of the poll's time a
	// server that its peers hold for down may take, and one that is asked where the
	// others are.
	spareShare, findShare = 4, 4
)

// probe watches one server, or all that sentinels or a cluster tell of. Poll is
// not called concurrently, so that its state needs no lock.
type probe struct {
	// reload makes the target of what stands in files now.
	reload func() (target, error)
	target target
	window time.Duration

	descs    probes.Descs
	metrics  metrics
	topology topology
	finder   finder
	links    links
	// nodes are those of the latest poll, by their label.
	nodes map[string]*node
}

func newProbe(c *Config) *probe {
	p := &probe{reload: c.way().load, window: c.HitWindow, nodes: map[string]*node{}}
	p.metrics, p.topology = describe(&p.descs), describeTopology(&p.descs)
	p.metrics.configure(c)
	p.use(c.target)
	return p
}

func (p *probe) Name() string             { return Name }
func (p *probe) Describe() []*probes.Desc { return p.descs }
func (p *probe) Close()                   { p.links.close() }

// use makes t the target. What is known of nodes stays.
func (p *probe) use(t target) {
	p.links.close()
	p.target, p.links = t, links{target: t, byAddress: map[string]*link{}}
	old, _ := p.finder.(*sentinels)
	switch t.mode {
	case modeSentinel:
		p.finder = newSentinels(t, &p.topology.sentinels, old)
	case modeCluster:
		p.finder = newClusterFinder(t, &p.topology.cluster)
	default:
		p.finder = single(t.seeds[0])
	}
}

// Poll reads the servers.
func (p *probe) Poll(ctx context.Context) (probes.Reading, error) {
	reading, errs := p.poll(ctx)
	err := probes.Brief(errors.Join(errs...), p.target.hidden()...)
	if slices.ContainsFunc(errs, func(err error) bool { return probes.ReasonOf(err) == probes.ReasonAuth }) {
		p.renew()
	}
	return reading, err
}

// renew takes in a password that was changed in its file, for the next poll. A
// file that is wrong is one that is just being written: what was there before may
// do.
func (p *probe) renew() {
	if t, err := p.reload(); err == nil && t.mode != "" && t.secrets != p.target.secrets {
		p.use(t)
	}
}

func (p *probe) poll(ctx context.Context) (probes.Reading, []error) {
	var reading probes.Reading
	p.links.used = p.links.used[:0] // a poll that panicked left its own
	places, known, findErr := p.finder.find(ctx, &p.links, &reading)
	found := reading.Samples
	reading.Samples = nil
	sortPlaces(places)
	if left := len(places) - maxNodes; left > 0 {
		reading.Overflow += left
		places = places[:maxNodes]
	}
	p.settle(places)
	outcomes := p.read(ctx, places)
	errs := []error{findErr}
	for i, o := range outcomes {
		reading.Samples = append(reading.Samples, o.reading.Samples...)
		reading.Overflow += o.reading.Overflow
		reading.Cost.Plus(o.reading.Cost)
		errs = append(errs, places[i].explain(o.err, p.target.mode))
	}
	if known || len(reading.Samples) > 0 {
		reading.Samples = append(reading.Samples, found...)
	}
	p.addNodes(&reading, places, outcomes, known)
	p.links.settle()
	return reading, slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// settle makes the nodes of new places and forgets those of old ones.
func (p *probe) settle(places []place) {
	next := make(map[string]*node, len(places))
	for _, at := range places {
		if next[at.node] = p.nodes[at.node]; next[at.node] == nil {
			next[at.node] = newNode(at.node, &p.metrics, p.window)
		}
	}
	p.nodes = next
}

// outcome is what the reading of one node brought.
type outcome struct {
	reading probes.Reading
	err     error
	// panicked is the value of a panic, which must not end soakd.
	panicked any
}

// read reads all nodes at the same time.
func (p *probe) read(ctx context.Context, places []place) []outcome {
	outcomes := make([]outcome, len(places))
	var running sync.WaitGroup
	for i, at := range places {
		node, link := p.nodes[at.node], p.links.to(at.node, at.name, p.target.servers)
		running.Go(func() {
			defer func() { outcomes[i].panicked = recover() }()
			outcomes[i] = p.readOne(ctx, at, node, link)
		})
	}
	running.Wait()
	for _, o := range outcomes {
		if o.panicked != nil {
			panic(o.panicked) // the poller takes it for a failure of this poll
		}
	}
	return outcomes
}

func (p *probe) readOne(ctx context.Context, at place, node *node, link *link) (o outcome) {
	if at.spare {
		var cancel context.CancelFunc
		ctx, cancel = probes.Share(ctx, spareShare)
		defer cancel()
	}
	client := link.get()
	err := node.read(ctx, client, &o.reading)
	if len(o.reading.Samples) == 0 {
		link.settle(err)
		o.err = err
		return o
	}
	o.err = errors.Join(err, p.finder.readMore(ctx, client, at.node, &o.reading))
	return o
}

// addNodes says of each node whether it could be read and, when that is known now,
// what it is. A poll that read nothing at all has no values: it failed, and why is
// its reason.
func (p *probe) addNodes(reading *probes.Reading, places []place, outcomes []outcome, known bool) {
	if len(reading.Samples) == 0 {
		return
	}
	for i, at := range places {
		up := 0.0
		if len(outcomes[i].reading.Samples) > 0 {
			up = 1
		}
		reading.Add(p.topology.up, up, at.node)
		if known && at.role != "" {
			reading.Add(p.topology.info, 1, at.node, at.role, strconv.Itoa(at.shard))
		}
	}
}

// explain returns the error that one node's makes of the poll: none where its peers
// hold it for down and nobody needs it, which its own metric tells.
func (at place) explain(err error, mode string) error {
	switch {
	case err == nil, at.spare && !answered(err):
		return nil
	case mode == modeSingle:
		return err
	default:
		return probes.Because(probes.ReasonOf(err), fmt.Errorf("%s: %w", at.node, err))
	}
}

// answered reports whether an error is of a server that answers.
func answered(err error) bool {
	switch probes.ReasonOf(err) {
	case probes.ReasonConnect, probes.ReasonTimeout, probes.ReasonReset, probes.ReasonDNS, probes.ReasonUnavailable:
		return false
	default:
		return true
	}
}
