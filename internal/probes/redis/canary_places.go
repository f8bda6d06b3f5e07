package redis

import (
	"cmp"
	"context"
	"crypto/tls"
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

const (
	// maxCanaryNodes bounds the label node: the masters of a cluster that get a
	// canary, those with the lowest slots.
	maxCanaryNodes = 32
	// clusterSlots is how many slots a cluster has.
	clusterSlots = 16384
)

// canaryPlace is a server with a canary on it.
type canaryPlace struct {
	*canaryNode
	link *link
}

// canaryPlaces finds the servers: the one of the URL or, where that is one of a
// cluster, each master.
type canaryPlaces struct {
	options goredis.Options
	// base is the start of every key, tail its end.
	base, tail string
	seed       *link
	// cluster tells that the server is one of a cluster, once known.
	known, cluster bool
	// guide is who told of the cluster last.
	guide *link
	// nodes are the places by their address.
	nodes map[string]*canaryPlace
	// left counts the masters without a canary.
	left int
}

// newCanaryPlaces has the place of the URL, until a cluster is found.
func newCanaryPlaces(options goredis.Options, base, tail string) *canaryPlaces {
	p := &canaryPlaces{options: options, base: base, tail: tail, seed: &link{options: options}, nodes: map[string]*canaryPlace{}}
	p.nodes[options.Addr] = &canaryPlace{newCanaryNode(options.Addr, base+tail), p.seed}
	return p
}

func (p *canaryPlaces) close() {
	for _, place := range p.nodes {
		p.drop(place)
	}
	p.seed.close()
}

func (p *canaryPlaces) drop(place *canaryPlace) {
	if place.link != p.seed {
		place.link.close()
	}
}

// all returns the places by their addresses.
func (p *canaryPlaces) all() []*canaryPlace {
	places := make([]*canaryPlace, 0, len(p.nodes))
	for _, address := range slices.Sorted(maps.Keys(p.nodes)) {
		places = append(places, p.nodes[address])
	}
	return places
}

// update looks where the masters of a cluster are now. A server that cannot say is
// found out about by the canary itself.
func (p *canaryPlaces) update(ctx context.Context, cost *probes.Cost) {
	if !p.known {
		p.known, p.cluster = p.isCluster(ctx, cost)
	}
	if !p.cluster {
		return
	}
	guides := p.guides()
	for i, guide := range guides {
		// One that hangs must leave time for the others and for the canaries.
		some, cancel := share(ctx, len(guides)-i+1)
		masters, err := mastersOf(some, guide.get(), cost)
		cancel()
		guide.settle(err)
		if len(masters) > 0 {
			p.guide = guide
			p.place(masters)
			return
		}
	}
}

// guides are whom to ask about the cluster: who told of it last, the server of the
// URL, and the masters.
func (p *canaryPlaces) guides() []*link {
	links := []*link{p.seed}
	for _, place := range p.all() {
		if place.link != p.seed {
			links = append(links, place.link)
		}
	}
	if i := slices.Index(links, p.guide); i > 0 {
		links[0], links[i] = links[i], links[0]
	}
	return links
}

// isCluster asks whether the server is one of a cluster; known is false when it is
// away. One that does not let soakd ask is taken for a single server until it
// sends the canary elsewhere.
func (p *canaryPlaces) isCluster(ctx context.Context, cost *probes.Cost) (known, cluster bool) {
	start := time.Now()
	text, err := p.seed.get().Info(ctx, "cluster").Result()
	cost.Add(start)
	p.seed.settle(err)
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

// master is a master of a cluster and its slots.
type master struct {
	address string
	ranges  []goredis.ClusterSlot
}

// has reports whether the slot is one of the master's.
func (m master) has(slot int) bool {
	return slices.ContainsFunc(m.ranges, func(r goredis.ClusterSlot) bool { return r.Start <= slot && slot <= r.End })
}

// mastersOf asks a server for the masters that have slots.
func mastersOf(ctx context.Context, client *goredis.Client, cost *probes.Cost) ([]master, error) {
	start := time.Now()
	slots, err := client.ClusterSlots(ctx).Result() //nolint:staticcheck // Redis 6 has no CLUSTER SHARDS
	cost.Add(start)
	return mastersIn(slots, client.Options().Addr), err
}

// mastersIn returns the masters by their lowest slot. A server that does not know
// how it is reached leaves its host empty: it is the one that was asked.
func mastersIn(slots []goredis.ClusterSlot, asked string) []master {
	askedHost, _, _ := net.SplitHostPort(asked)
	slots = slices.Clone(slots)
	slices.SortFunc(slots, func(a, b goredis.ClusterSlot) int { return cmp.Compare(a.Start, b.Start) })
	var masters []master
	for _, r := range slots {
		if len(r.Nodes) == 0 || r.Start < 0 || r.Start >= clusterSlots {
			continue
		}
		address := r.Nodes[0].Addr // the master comes first
		if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
			address = net.JoinHostPort(askedHost, port)
		}
		i := slices.IndexFunc(masters, func(m master) bool { return m.address == address })
		if i < 0 {
			masters, i = append(masters, master{address: address}), len(masters)
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
			place = &canaryPlace{newCanaryNode(m.address, ""), &link{options: p.optionsOf(m.address)}}
		}
		// Its first key, the slot was moved, or the place of the URL turned out to be
		// one of a cluster.
		if !m.has(slotOf(place.key)) || place.key == "" {
			place.key = p.keyIn(m.ranges[0].Start)
		}
		next[m.address] = place
	}
	for address, place := range p.nodes {
		if next[address] == nil {
			p.drop(place)
		}
	}
	p.nodes = next
}

// optionsOf returns the options for another server of the cluster.
func (p *canaryPlaces) optionsOf(address string) goredis.Options {
	options := p.options
	options.Addr = address
	if options.TLSConfig != nil {
		host, _, _ := net.SplitHostPort(address)
		options.TLSConfig = options.TLSConfig.Clone()
		options.TLSConfig.ServerName = host
		options.TLSConfig.MinVersion = max(options.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	return options
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
	return int(crc) % clusterSlots
}

// moved takes in what came of a poll: a server that says that the key is elsewhere
// is one of a cluster.
func (p *canaryPlaces) moved(err error) error {
	if !goredis.HasErrorPrefix(err, "MOVED") {
		return err
	}
	p.known, p.cluster = true, true // the next poll asks where
	return probes.Because(probes.ReasonUnavailable, fmt.Errorf("%w: the server is one of a cluster or a slot was moved; the right to CLUSTER SLOTS is needed there", err))
}

// join joins the errors of places, each with the name of its place where there are
// several.
func (p *canaryPlaces) join(places []*canaryPlace, errs []error) error {
	if len(places) == 1 {
		return errs[0]
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = probes.Because(probes.ReasonOf(err), fmt.Errorf("%s: %w", places[i].name, err))
		}
	}
	return errors.Join(errs...)
}
