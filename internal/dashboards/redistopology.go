package dashboards

const (
	noCluster   = "on a server that is no part of a cluster"
	noSentinels = "while the Redis is not watched through sentinels"
	noTopology  = "while the Redis is a single server"
)

func redisClusterPanels() []Panel {
	return []Panel{
		{
			Title: "Nodes read", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "not read", 1: "read"},
			Description: "Whether soakd could read each node, at least in part, of those that it is told of. At 0: the node is down, its announced address cannot be reached from here (SOAKD_REDIS_ADDRESS_MAP), or its password is another.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_node_up"), "node"), Legend: "{{node}}"}},
		},
		{
			Title: "Part of each node", Unit: "none", Width: 8, Texts: map[int]string{1: "is"},
			Description: "What sentinels or the cluster say that each node is: master or replica, and of which shard. A line that ends where another begins is a fail-over; a shard with a master alone has nobody to take over.",
			Targets:     []Target{{Query: worst(nodeSel("soakd_redis_node_info"), "node", "role", "shard"), Legend: "{{role}} of shard {{shard}} {{node}}"}},
			EmptyWhen:   noTopology,
		},
		{
			Title: "Cluster serves", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "no", 1: "yes"},
			Description: "Whether the cluster serves requests, as each node sees it. At 0 on all: slots have no master (CLUSTERDOWN): see 'Slots of the cluster'; on a few: these cannot reach most masters: the network, or the port of the cluster bus.",
			Targets:     []Target{{Query: lowest(nodeSel("soakd_redis_cluster_state_ok"), "node"), Legend: "{{node}}"}},
			EmptyWhen:   noCluster,
		},
		{
			Title: "Slots of the cluster", Unit: "short", Width: 8,
			Description: "Slots by state, as the node sees them that sees it worst. assigned below 16384: nobody serves the rest; pfail: a node cannot reach their master; fail: most masters cannot: a replica must take over, by itself or with CLUSTER FAILOVER.",
			Targets: []Target{
				{Query: lowest(nodeSel("soakd_redis_cluster_slots", `state=~"assigned|ok"`), "state"), Legend: "{{state}}"},
				{Query: worst(nodeSel("soakd_redis_cluster_slots", `state=~"pfail|fail"`), "state"), Legend: "{{state}}"},
			},
			EmptyWhen: noCluster,
		},
		{
			Title: "Slots of each node", Unit: "short", Width: 8,
			Description: "Slots that each node holds as their master. Shares that differ give nodes of equal size unequal load: redis-cli --cluster rebalance. A master with 0 does nothing.",
			Targets:     []Target{ofNode("soakd_redis_cluster_owned_slots", "")},
			EmptyWhen:   noCluster,
		},
		{
			Title: "Slots on their way", Unit: "short", Width: 8,
			Description: "Slots that each node is giving away, and getting. During a move clients get ASK and TRYAGAIN, which cost a round trip more. For long at one number: a move was broken off: redis-cli --cluster fix.",
			Targets:     []Target{ofNode("soakd_redis_cluster_migrating_slots", "giving"), ofNode("soakd_redis_cluster_importing_slots", "getting")},
			EmptyWhen:   noCluster,
		},
		{
			Title: "Nodes that nodes know", Unit: "short", Width: 8,
			Description: "Servers of the cluster, and masters with slots, that each node knows. Nodes that disagree for more than a minute: one was not forgotten (CLUSTER FORGET) everywhere, or the cluster bus is cut.",
			Targets:     []Target{ofNode("soakd_redis_cluster_known_nodes", "servers"), ofNode("soakd_redis_cluster_size", "masters")},
			EmptyWhen:   noCluster,
		},
		{
			Title: "Epoch of the cluster", Unit: "short", Width: 8,
			Description: "It rises with each fail-over and each change of slots. Steps that nobody ordered are fail-overs: nodes that are too busy to answer within cluster-node-timeout, or a bad network.",
			Targets:     []Target{ofNode("soakd_redis_cluster_current_epoch", "")},
			EmptyWhen:   noCluster,
		},
		{
			Title: "Messages of the cluster", Unit: "ops", Width: 8,
			Description: "Messages a second to and from the other nodes. Received that falls while sent does not: the node is being cut off; many more than usual: a fail-over, or many slots change.",
			Targets:     []Target{rateOfNode("soakd_redis_cluster_messages_total", "", "direction")},
			EmptyWhen:   noCluster,
		},
	}
}

// ofSentinel reads a gauge of a sentinel by its worst value, which is the lowest
// where it counts what should be there.
func ofSentinel(operation func(string, ...string) string, metric, legend string) Target {
	return Target{Query: operation(sel(metric), "sentinel"), Legend: legend + " {{sentinel}}"}
}

func redisSentinelPanels() []Panel {
	return []Panel{
		{
			Title: "Sentinels", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "no", 1: "yes"},
			Description: "Whether each sentinel told of the master, and whether it reaches enough others for a fail-over. quorum at 0: when the master dies now nobody takes over: mend the sentinels that are away.",
			Targets: []Target{
				ofSentinel(lowest, "soakd_redis_sentinel_up", "told"), ofSentinel(lowest, "soakd_redis_sentinel_quorum_reached", "quorum"),
			},
			EmptyWhen: noSentinels,
		},
		{
			Title: "Master as sentinels see it", Unit: "none", Width: 8, Texts: map[int]string{0: "no", 1: "yes"},
			Description: "What each sentinel holds the master for, and whether it is failing it over. sdown of one alone: that sentinel's network; odown: a quorum cannot reach it, and a fail-over follows; odown that stays: none can be done: see 'Known to sentinels'.",
			Targets: []Target{
				{Query: worst(sel("soakd_redis_sentinel_master_status"), "sentinel", "status"), Legend: "{{status}} {{sentinel}}"},
				ofSentinel(worst, "soakd_redis_sentinel_failover_in_progress", "fails over"),
			},
			EmptyWhen: noSentinels,
		},
		{
			Title: "Fail-overs", Unit: "short", Width: 8,
			Description: "Changes of the master's address since soakd started. Each costs the API its connections, and the writes that no replica had. Many: the master is too busy to answer within down-after-milliseconds, or the network is bad.",
			Targets:     []Target{{Query: worst(sel("soakd_redis_sentinel_failovers_total"), "instance"), Legend: "{{instance}}"}},
			EmptyWhen:   noSentinels,
		},
		{
			Title: "Present master", Unit: "none", Texts: map[int]string{1: "is the master"},
			Description: "The address of the master as the sentinels have it now. Where the API gets READONLY it writes to another: its client was given an address instead of the sentinels, or kept its connections over the fail-over.",
			Targets:     []Target{ofNode("soakd_redis_sentinel_master_info", "", "master")},
			EmptyWhen:   noSentinels,
		},
		{
			Title: "Known to sentinels", Unit: "short",
			Description: "Masters that each sentinel watches, and of this master its replicas, the other sentinels, and how many must agree that it is down (quorum). Sentinels that disagree: SENTINEL RESET on those that remember what is gone; no replica: nobody can take over.",
			Targets: []Target{
				ofSentinel(lowest, "soakd_redis_sentinel_masters", "masters"), ofSentinel(lowest, "soakd_redis_sentinel_known_replicas", "replicas"),
				ofSentinel(lowest, "soakd_redis_sentinel_other_sentinels", "other sentinels"),
				{Query: worst(sel("soakd_redis_sentinel_quorum"), "sentinel"), Legend: "quorum {{sentinel}}", Dashed: true},
			},
			EmptyWhen: noSentinels,
		},
	}
}
