package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
)

// maxCanaryNodes bounds the label node: the masters of a cluster that get a canary,
// those with the lowest slots.
const maxCanaryNodes = 32

// canaryPlace is a server with a canary on it.
type canaryPlace struct {
	*canaryNode
	// certified is the name that its certificate may have instead of the host.
	certified string
}

// canaryPlaces finds the servers: the one of the URL or, where that is one of a
// cluster, each master; with sentinels the master that they know.
type canaryPlaces struct {
	target target
	logins *logins
	links  links
	// base is the start of every key, tail its end.
	base, tail string
	// cluster tells that the servers are those of a cluster, once known.
	known, cluster bool
	// guide is the address of who told of the cluster last.
	guide string
	// nodes are the places by their address.
	nodes map[string]*canaryPlace
	// left counts the masters without a canary.
	left int
}

// newCanaryPlaces has the place of the URL where that is the server, until a cluster
// is found.
func newCanaryPlaces(t target, logins *logins, base, tail string) *canaryPlaces {
	p := &canaryPlaces{
		target: t, logins: logins, links: links{target: t, byAddress: map[string]*link{}},
		base: base, tail: tail, nodes: map[string]*canaryPlace{},
	}
	switch t.mode {
	case modeSingle:
		p.settleOn(t.seeds[0])
	case modeCluster:
		p.known, p.cluster = true, true
	}
	return p
}

func (p *canaryPlaces) close() { p.links.close() }

// settleOn makes the server at that address the only place.
func (p *canaryPlaces) settleOn(address string) {
	if p.nodes[address] == nil {
		p.nodes = map[string]*canaryPlace{address: {canaryNode: newCanaryNode(address, p.base+p.tail)}}
	}
}

// linkTo returns the way to a place.
func (p *canaryPlaces) linkTo(place *canaryPlace) *link { return p.server(place.name, place.certified) }

// server returns the way to the server that is announced at address.
func (p *canaryPlaces) server(address, certified string) *link {
	link := p.links.to(address, certified, p.target.servers)
	link.options.CredentialsProviderContext = p.logins.ofServers
	return link
}

func (p *canaryPlaces) sentinel(address string) *link {
	link := p.links.to(address, "", p.target.sentinels)
	link.options.CredentialsProviderContext = p.logins.ofSentinels
	return link
}

// all returns the places by their addresses.
func (p *canaryPlaces) all() []*canaryPlace {
	places := make([]*canaryPlace, 0, len(p.nodes))
	for _, address := range slices.Sorted(maps.Keys(p.nodes)) {
		places = append(places, p.nodes[address])
	}
	return places
}

// find looks where the masters are now. Where nobody tells, the places stay.
func (p *canaryPlaces) find(ctx context.Context, cost *probes.Cost) error {
	if p.target.mode == modeSentinel {
		return p.findMaster(ctx, cost)
	}
	if !p.known {
		p.known, p.cluster = p.isCluster(ctx, cost)
	}
	if !p.cluster {
		return nil
	}
	err := p.findMasters(ctx, cost)
	if len(p.nodes) > 0 {
		return nil // a server that cannot say is found out about by the canary itself
	}
	return err
}

// findMaster asks the sentinels for the master, as clients of the servers do: no
// more than that, so that it needs one right.
func (p *canaryPlaces) findMaster(ctx context.Context, cost *probes.Cost) error {
	views := askSentinels(ctx, p.target.seeds, p.sentinel, func(ctx context.Context, client *goredis.Client, _ string) (v view) {
		start := time.Now()
		answer := client.Do(ctx, "SENTINEL", "MASTER", p.target.master)
		v.cost.Add(start)
		v.master, v.err = masterIn(answer, p.target.master)
		return v
	})
	best, errs := newest(p.target.seeds, views, cost)
	if best == nil {
		return errors.Join(errs...)
	}
	p.settleOn(addressIn(best.master))
	return wrongAnswers(errs)
}

// findMasters asks the cluster for its masters.
func (p *canaryPlaces) findMasters(ctx context.Context, cost *probes.Cost) error {
	var errs []error
	guides := p.guides()
	for i, guide := range guides {
		// One that hangs must leave time for the others and for the canaries.
		some, cancel := probes.Share(ctx, len(guides)-i+1)
		link := p.server(guide, p.certifiedOf(guide))
		masters, err := mastersOf(some, link.get(), guide, cost)
		cancel()
		link.settle(err)
		if len(masters) > 0 {
			p.guide = guide
			p.place(masters)
			return nil
		}
		errs = append(errs, whyNoMasters(guide, err))
	}
	return errors.Join(errs...)
}

// whyNoMasters explains that a server did not tell of masters.
func whyNoMasters(address string, err error) error {
	err = clusterReason(err)
	if err == nil {
		err = probes.Because(probes.ReasonUnavailable, errors.New("no server has slots"))
	}
	return probes.Because(probes.ReasonOf(err), fmt.Errorf("find the cluster at %s: CLUSTER SLOTS: %w", address, err))
}

// guides are the addresses of whom to ask about the cluster: who told of it last,
// the servers of the URL, and the masters.
func (p *canaryPlaces) guides() []string {
	guides := slices.Clone(p.target.seeds)
	for _, place := range p.all() {
		if !slices.Contains(guides, place.name) {
			guides = append(guides, place.name)
		}
	}
	if i := slices.Index(guides, p.guide); i > 0 {
		guides[0], guides[i] = guides[i], guides[0]
	}
	return guides
}

// certifiedOf returns what is known of the certificate of the server at address.
func (p *canaryPlaces) certifiedOf(address string) string {
	if place := p.nodes[address]; place != nil {
		return place.certified
	}
	return ""
}

// isCluster asks whether the server is one of a cluster; known is false when it is
// away. One that does not let soakd ask is taken for a single server until it
// sends the canary elsewhere.
func (p *canaryPlaces) isCluster(ctx context.Context, cost *probes.Cost) (known, cluster bool) {
	start := time.Now()
	seed := p.server(p.target.seeds[0], "")
	text, err := seed.get().Info(ctx, "cluster").Result()
	cost.Add(start)
	seed.settle(err)
	if err != nil && refused(err) {
		for _, place := range p.nodes {
			place.infoAfter = start.Add(infoRetry) // asked once is enough
		}
		return true, false
	}
	if err != nil {
		return false, false
	}
	fields, err := parseInfo(text)
	return err == nil, fields["cluster_enabled"] == "1"
}

// master is a master of a cluster and its slots. certified is its name where it has
// another than its address.
type master struct {
	address, certified string
	ranges             []goredis.ClusterSlot
}

// has reports whether the slot is one of the master's.
func (m master) has(slot int) bool {
	return slices.ContainsFunc(m.ranges, func(r goredis.ClusterSlot) bool { return r.Start <= slot && slot <= r.End })
}

// mastersOf asks the server that is announced at address for the masters that have
// slots.
func mastersOf(ctx context.Context, client *goredis.Client, address string, cost *probes.Cost) ([]master, error) {
	start := time.Now()
	slots, err := client.ClusterSlots(ctx).Result() //nolint:staticcheck // Redis 6 has no CLUSTER SHARDS
	cost.Add(start)
	return mastersIn(slots, address), err
}

// mastersIn returns the masters by their lowest slot. A server that does not know
// how it is reached leaves its host empty: it is the one that was asked.
func mastersIn(slots []goredis.ClusterSlot, asked string) []master {
	askedHost, _, _ := net.SplitHostPort(asked)
	slots = slices.Clone(slots)
	slices.SortFunc(slots, func(a, b goredis.ClusterSlot) int { return cmp.Compare(a.Start, b.Start) })
	var masters []master
	for _, r := range slots {
		if len(r.Nodes) == 0 || r.Start < 0 || r.Start >= allSlots {
			continue
		}
		address := r.Nodes[0].Addr // the master comes first
		if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
			address = net.JoinHostPort(askedHost, port)
		}
		i := slices.IndexFunc(masters, func(m master) bool { return m.address == address })
		if i < 0 {
			masters, i = append(masters, master{address: address, certified: r.Nodes[0].NetworkingMetadata["hostname"]}), len(masters)
		}
		masters[i].ranges = append(masters[i].ranges, r)
	}
	return masters
}

// place puts a canary on each master and forgets those that are none any more.
// Their keys end by themselves.
func (p *canaryPlaces) place(masters []master) {
	p.left = max(0, len(masters)-maxCanaryNodes)
	next := map[string]*canaryPlace{}
	for _, m := range masters[:len(masters)-p.left] {
		place := p.nodes[m.address]
		if place == nil {
			place = &canaryPlace{canaryNode: newCanaryNode(m.address, "")}
		}
		place.certified = m.certified
		// Its first key, the slot was moved, or the place of the URL turned out to be
		// one of a cluster.
		if !m.has(slotOf(place.key)) || place.key == "" {
			place.key = p.keyIn(m.ranges[0].Start)
		}
		next[m.address] = place
	}
	p.nodes = next
}

// keyIn returns a key whose hash tag falls into the slot, as about one number in
// 16384 does: a search of a few milliseconds, once a master.
func (p *canaryPlaces) keyIn(slot int) string {
	for tag := 0; ; tag++ {
		text := strconv.Itoa(tag)
		if slotOf(text) == slot {
			return p.base + "{" + text + "}:" + p.tail
		}
	}
}

// slotOf returns the slot of a key: CRC-16/XMODEM of the key, or of what is between
// its first { and the next } unless that is empty, modulo 16384
// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
func slotOf(key string) int {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			key = tag
		}
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % allSlots
}

// explain takes in what came of the poll of a place, and returns its error with the
// name of the place where there are several or it was found. A server that says that
// the key is elsewhere is one of a cluster.
func (p *canaryPlaces) explain(place *canaryPlace, err error) error {
	if goredis.HasErrorPrefix(err, "MOVED") {
		p.known, p.cluster = true, true // the next poll asks where
		err = probes.Because(probes.ReasonUnavailable, fmt.Errorf("%w: the server is one of a cluster or a slot was moved; the right to CLUSTER SLOTS is needed there", err))
	}
	if err == nil || p.target.mode == modeSingle && len(p.nodes) == 1 {
		return err
	}
	return probes.Because(probes.ReasonOf(err), fmt.Errorf("%s: %w", place.name, err))
}
