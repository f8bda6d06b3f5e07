package redis

import (
	"cmp"
	"context"
	"slices"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
)

// The roles of the label role.
const (
	roleMaster  = "master"
	roleReplica = "replica"
)

// topology describes what is known of the servers together.
type topology struct {
	up, info  *probes.Desc
	sentinels sentinelMetrics
	cluster   clusterMetrics
}

func describeTopology(descs *probes.Descs) topology {
	d := describer{descs}
	return topology{
		up:        d.gauge("node_up", "Whether the server could be read (1), at least in part, or not (0), of those that are configured or that sentinels or the cluster tell of; absent when nothing at all could be read: soakd_probe_success is 0 then. One that its peers hold for down, and that serves no slots and is not the master, does not make the probe fail."),
		info:      d.gauge("node_info", "1, with what sentinels or the cluster say of the server: master or replica, and of which shard, a number in the order of the shards' lowest slots from 0.", "role", "shard"),
		sentinels: describeSentinels(descs),
		cluster:   describeCluster(d),
	}
}

// place is a server that is to be read.
type place struct {
	// node is the label: host:port as it is announced.
	node string
	// name is the name that its certificate may have instead of the host.
	name string
	// role is empty where nobody tells it.
	role  string
	shard int
	// spare tells that its peers hold it for down and that nobody needs it.
	spare bool
}

// sortPlaces puts masters first, in the order of their shards, so that they are
// the last to be left out where there are too many, then replicas, then those of no
// known role, and those that are held for down last.
func sortPlaces(places []place) {
	rank := map[string]int{roleMaster: 0, roleReplica: 1, "": 2}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(number(a.spare), number(b.spare)), cmp.Compare(rank[a.role], rank[b.role]), cmp.Compare(a.shard, b.shard), cmp.Compare(a.node, b.node))
	})
}

// finder finds the servers.
type finder interface {
	// find returns the servers: known tells that they are those there are now, else
	// they are those there were. What it adds to reading counts only when they are
	// known or a server is read.
	find(ctx context.Context, links *links, reading *probes.Reading) (places []place, known bool, err error)
	// readMore adds of a server what makes it a part of the whole.
	readMore(ctx context.Context, client *goredis.Client, node string, reading *probes.Reading) error
}

// single is the one server of that address.
type single string

func (s single) find(context.Context, *links, *probes.Reading) ([]place, bool, error) {
	return []place{{node: string(s)}}, true, nil
}

func (single) readMore(context.Context, *goredis.Client, string, *probes.Reading) error { return nil }

// links are the ways to all servers: one each, whoever asks.
type links struct {
	target    target
	byAddress map[string]*link
	// used are those of this poll.
	used []string
}

// to returns the way to the server that is announced at address.
func (l *links) to(address, name string, as login) *link {
	l.used = append(l.used, address)
	found, ok := l.byAddress[address]
	if ok && (name == "" || name == found.name) {
		return found
	}
	if ok {
		found.close() // another name: the old one may be why it could not be reached
	}
	found = &link{name: name, options: l.target.options(address, name, as)}
	l.byAddress[address] = found
	return found
}

// settle closes the ways that were not used in this poll.
func (l *links) settle() {
	for address, one := range l.byAddress {
		if !slices.Contains(l.used, address) {
			one.close()
			delete(l.byAddress, address)
		}
	}
	l.used = l.used[:0]
}

func (l *links) close() {
	for _, one := range l.byAddress {
		one.close()
	}
	clear(l.byAddress)
}
