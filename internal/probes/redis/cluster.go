package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
)

const (
	// maxGuides is how many servers a poll asks at most where the others are.
	maxGuides = 3
	// maxClusterNodes bounds the answer of CLUSTER NODES. The specification names
	// 1000 as the size that a cluster can have.
	maxClusterNodes = 2000
	// allSlots is how many slots a cluster has.
	allSlots = 16384
)

// clusterMetrics describes what a server knows of its cluster.
type clusterMetrics struct {
	fields []field
	// slots, migrating and importing count slots of the server itself.
	owned, migrating, importing *probes.Desc
}

func describeCluster(d describer) clusterMetrics {
	slots := d.gauge("cluster_slots", "Slots of the cluster as this server sees them: assigned of 16384, and of these ok, pfail (of a server that this one cannot reach) and fail (of a server that most masters cannot reach).", "state")
	messages := d.counter("cluster_messages_total", "Messages of the cluster's servers to one another, sent and received by this one.", "direction")
	fields := []field{
		{desc: d.gauge("cluster_state_ok", "Whether the cluster serves requests, as this server sees it (1), or not (0)."), names: []string{"cluster_state"}, yes: "ok", no: "fail"},
		{desc: d.gauge("cluster_known_nodes", "Servers of the cluster that this one knows."), names: []string{"cluster_known_nodes"}},
		{desc: d.gauge("cluster_size", "Masters that have slots, as this server sees it."), names: []string{"cluster_size"}},
		{desc: d.gauge("cluster_current_epoch", "Epoch of the cluster, which rises with each fail-over, as this server knows it."), names: []string{"cluster_current_epoch"}},
	}
	for _, state := range []string{"assigned", "ok", "pfail", "fail"} {
		fields = append(fields, field{desc: slots, labels: []string{state}, names: []string{"cluster_slots_" + state}})
	}
	for _, direction := range []string{"sent", "received"} {
		fields = append(fields, field{desc: messages, labels: []string{direction}, names: []string{"cluster_stats_messages_" + direction}})
	}
	return clusterMetrics{
		fields:    fields,
		owned:     d.gauge("cluster_owned_slots", "Slots that this server holds as their master, by itself."),
		migrating: d.gauge("cluster_migrating_slots", "Slots that this server is giving to another one."),
		importing: d.gauge("cluster_importing_slots", "Slots that this server is getting from another one."),
	}
}

// clusterNode is one line of CLUSTER NODES.
type clusterNode struct {
	id, address, hostname, master string
	flags                         []string
	// ranges are its slots, ascending.
	ranges [][2]int
	// migrating and importing count the slots that are on their way; only the
	// server itself tells of its own.
	migrating, importing int
}

func (n clusterNode) is(flag string) bool { return slices.Contains(n.flags, flag) }

func (n clusterNode) owned() int {
	sum := 0
	for _, r := range n.ranges {
		sum += r[1] - r[0] + 1
	}
	return sum
}

// lowest is the lowest slot, or one after the last without slots.
func (n clusterNode) lowest() int {
	if len(n.ranges) == 0 {
		return allSlots
	}
	return n.ranges[0][0]
}

// parseClusterNodes parses the answer to CLUSTER NODES
// (https://redis.io/docs/latest/commands/cluster-nodes/):
//
//	id ip:port@bus[,hostname[,name=value]...] flags master ping pong epoch link slot...
//
// asked is the host that answered, for a server that does not know its own.
func parseClusterNodes(text, asked string) ([]clusterNode, error) {
	var nodes []clusterNode
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		node, err := parseClusterNode(line, asked)
		if err != nil {
			return nil, protocol(fmt.Errorf("CLUSTER NODES: line %d: %w", number, err))
		}
		if nodes = append(nodes, node); len(nodes) > maxClusterNodes {
			return nil, protocol(fmt.Errorf("CLUSTER NODES: more than %d servers", maxClusterNodes))
		}
	}
	if len(nodes) == 0 {
		return nil, protocol(errors.New("CLUSTER NODES: the answer is empty"))
	}
	return nodes, nil
}

func parseClusterNode(line, asked string) (clusterNode, error) {
	parts := strings.Fields(line)
	if len(parts) < 8 {
		return clusterNode{}, fmt.Errorf("%.60q has less than 8 fields", line)
	}
	node := clusterNode{id: parts[0], flags: strings.Split(parts[2], ","), master: parts[3]}
	endpoint, rest, _ := strings.Cut(parts[1], ",")
	endpoint, _, _ = strings.Cut(endpoint, "@")
	node.hostname, _, _ = strings.Cut(rest, ",")
	if strings.Contains(node.hostname, "=") {
		node.hostname = ""
	}
	colon := strings.LastIndex(endpoint, ":") // an IPv6 address is not in brackets
	if colon < 0 {
		return clusterNode{}, fmt.Errorf("%.60q is not ip:port@bus", parts[1])
	}
	host, port := strings.Trim(endpoint[:colon], "[]"), endpoint[colon+1:]
	if value, err := strconv.ParseUint(port, 10, 16); err == nil && value > 0 {
		if host = cmp.Or(host, node.hostname); host == "" && node.is("myself") {
			host = asked
		}
		if host != "" {
			node.address = net.JoinHostPort(host, port)
		}
	}
	for _, text := range parts[8:] {
		if err := node.addSlots(text); err != nil {
			return clusterNode{}, err
		}
	}
	return node, nil
}

// addSlots takes in a slot 1, slots 1-5, or one that is on its way: [1->-id] out,
// [1-<-id] in.
func (n *clusterNode) addSlots(text string) error {
	switch {
	case strings.HasPrefix(text, "[") && strings.Contains(text, "->-"):
		n.migrating++
		return nil
	case strings.HasPrefix(text, "[") && strings.Contains(text, "-<-"):
		n.importing++
		return nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, firstErr := strconv.Atoi(from)
	last, lastErr := strconv.Atoi(to)
	if firstErr != nil || lastErr != nil || first < 0 || last < first || last >= allSlots {
		return fmt.Errorf("%.40q is no slots", text)
	}
	n.ranges = append(n.ranges, [2]int{first, last})
	return nil
}

// placesIn returns the servers of a cluster. Shards are numbered by their lowest
// slot; masters without slots come last, by their id.
func placesIn(nodes []clusterNode) []place {
	var masters []clusterNode
	for _, n := range nodes {
		if n.is("master") {
			masters = append(masters, n)
		}
	}
	slices.SortFunc(masters, func(a, b clusterNode) int {
		return cmp.Or(cmp.Compare(a.lowest(), b.lowest()), cmp.Compare(a.id, b.id))
	})
	shards := make(map[string]int, len(masters))
	for i, m := range masters {
		shards[m.id] = i
	}
	var places []place
	seen := map[string]bool{}
	for _, n := range nodes {
		at, ok := n.place(shards)
		if ok && !seen[at.node] {
			seen[at.node] = true
			places = append(places, at)
		}
	}
	return places
}

// place returns where the server is; ok is false for one that is not a member yet,
// or of which nobody knows where it is.
func (n clusterNode) place(shards map[string]int) (at place, ok bool) {
	if n.address == "" || n.is("handshake") || n.is("noaddr") {
		return place{}, false
	}
	at = place{node: n.address, name: n.hostname, role: roleReplica, spare: n.is("fail") && len(n.ranges) == 0}
	of := n.master
	if n.is("master") {
		at.role, of = roleMaster, n.id
	}
	at.shard, ok = shards[of]
	if !ok {
		at.role = "" // a replica whose master is not known
	}
	return at, true
}

// cluster finds the servers of a cluster by asking some of them.
type cluster struct {
	target  target
	metrics *clusterMetrics
	// last are the servers of the latest answer.
	last []place
	// guide is the one that gave it.
	guide place
	// turn counts the guides that did not answer, so that another poll asks others.
	turn int
}

func newClusterFinder(t target, metrics *clusterMetrics) *cluster {
	return &cluster{target: t, metrics: metrics}
}

// find asks the server that answered last, else others.
func (c *cluster) find(ctx context.Context, links *links, reading *probes.Reading) ([]place, bool, error) {
	var errs []error
	for _, guide := range c.guides() {
		places, err := c.ask(ctx, guide, links, reading)
		if err == nil {
			c.remember(places, guide)
			return slices.Clone(places), true, nil
		}
		c.turn++
		errs = append(errs, probes.Because(probes.ReasonOf(err), fmt.Errorf("find the cluster at %s: %w", guide.node, err)))
	}
	c.guide = place{}
	return slices.Clone(c.last), false, errors.Join(errs...)
}

// remember takes in the servers that the guide told of, itself among them under the
// name that it has now.
func (c *cluster) remember(places []place, guide place) {
	c.last, c.guide = places, guide
	if i := slices.IndexFunc(places, func(at place) bool { return at.node == guide.node }); i >= 0 {
		c.guide = places[i]
	}
}

// guides are whom to ask: who answered last, then servers of the cluster that are
// not known to be down, then those of the URL. The turn moves on through the latter
// two, should all that were asked be away.
func (c *cluster) guides() []place {
	var others []place
	add := func(at place) {
		if at.node != c.guide.node && !slices.ContainsFunc(others, func(one place) bool { return one.node == at.node }) {
			others = append(others, at)
		}
	}
	for _, at := range c.last {
		if !at.spare {
			add(at)
		}
	}
	for _, address := range c.target.seeds {
		add(place{node: address})
	}
	guides := make([]place, 0, maxGuides)
	if c.guide.node != "" {
		guides = append(guides, c.guide)
	}
	for i := 0; i < len(others) && len(guides) < maxGuides; i++ {
		guides = append(guides, others[(c.turn+i)%len(others)])
	}
	return guides
}

// ask asks one server.
func (c *cluster) ask(ctx context.Context, guide place, links *links, reading *probes.Reading) ([]place, error) {
	ctx, cancel := probes.Share(ctx, findShare)
	defer cancel()
	link := links.to(guide.node, guide.name, c.target.servers)
	client := link.get()
	pipe := client.Pipeline()
	answer := pipe.ClusterNodes(ctx)
	err := execute(ctx, client, pipe, &reading.Cost)
	if err = cmp.Or(err, answer.Err()); err != nil {
		link.settle(err)
		return nil, fmt.Errorf("CLUSTER NODES: %w", clusterReason(err))
	}
	host, _, _ := net.SplitHostPort(guide.node)
	nodes, err := parseClusterNodes(answer.Val(), host)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(nodes, func(n clusterNode) bool { return n.owned() > 0 }) {
		return nil, probes.Because(probes.ReasonUnavailable, errors.New("CLUSTER NODES: no server has slots: the server is not, or no longer, a member of a cluster"))
	}
	return placesIn(nodes), nil
}

// clusterReason classifies an error of a CLUSTER command.
func clusterReason(err error) error {
	if reply, ok := replyOf(err); ok && strings.Contains(reply, "cluster support disabled") {
		return probes.Because(probes.ReasonMissing, err)
	}
	return because(err)
}

// readMore adds what a server knows of its cluster, and of its own slots.
func (c *cluster) readMore(ctx context.Context, client *goredis.Client, node string, reading *probes.Reading) error {
	pipe := client.Pipeline()
	state, nodes := pipe.ClusterInfo(ctx), pipe.ClusterNodes(ctx)
	if err := execute(ctx, client, pipe, &reading.Cost); err != nil {
		return fmt.Errorf("CLUSTER INFO: %w", because(err))
	}
	return errors.Join(c.addInfo(reading, node, state), c.addSlots(reading, node, nodes))
}

func (c *cluster) addInfo(reading *probes.Reading, node string, state *goredis.StringCmd) error {
	text, err := state.Result()
	if err != nil {
		return fmt.Errorf("CLUSTER INFO: %w", clusterReason(err))
	}
	fields, err := parseInfo(text)
	return protocol(errors.Join(err, addFields(reading, node, fields, c.metrics.fields)))
}

func (c *cluster) addSlots(reading *probes.Reading, node string, answer *goredis.StringCmd) error {
	text, err := answer.Result()
	if err != nil {
		return fmt.Errorf("CLUSTER NODES: %w", clusterReason(err))
	}
	nodes, err := parseClusterNodes(text, "")
	if err != nil {
		return err
	}
	itself := slices.IndexFunc(nodes, func(n clusterNode) bool { return n.is("myself") })
	if itself < 0 {
		return protocol(errors.New("CLUSTER NODES: the server itself is not in its answer"))
	}
	n := nodes[itself]
	reading.Add(c.metrics.owned, float64(n.owned()), node)
	reading.Add(c.metrics.migrating, float64(n.migrating), node)
	reading.Add(c.metrics.importing, float64(n.importing), node)
	return nil
}
