package redis

import "soakd/internal/probes"

// metrics are the descriptions of all metrics of a node. Each has the label
// node: the host:port.
type metrics struct {
	fields []field
	// Those that are not a plain field of INFO.
	hitRatio, restarts, resets, replaced, ping, slowlog, errors *probes.Desc

	server     server
	databases  databases
	commands   commands
	times      commandTimes
	replicas   replicas
	latency    latency
	thresholds thresholds
}

// configure takes from the configuration what is read.
func (m *metrics) configure(c *Config) {
	m.commands.watch(c.Commands)
	m.times.asked = c.Commands
	m.thresholds.wanted = c.ReadConfig
}

// describe makes the descriptions of all metrics, which are not complete before
// [metrics.configure].
func describe(descs *probes.Descs) metrics {
	d := describer{descs}
	return metrics{
		fields:   describeFields(d),
		hitRatio: d.gauge("keyspace_hit_ratio", "Share of the lookups of the last window (SOAKD_REDIS_HIT_WINDOW) that found their key, 0 to 1; absent when nothing was looked up, and for a poll after a restart or a reset of the statistics. soakd's reads of the server's state are no lookups."),
		restarts: d.counter("restarts_total", "Restarts of the server seen since soakd started."),
		resets:   d.counter("statistics_resets_total", "Resets of the server's statistics (CONFIG RESETSTAT) seen since soakd started. The server's counters fall to 0 and so do those here."),
		replaced: d.counter("server_changes_total", "Times that another server answered at this address which ran before already, as after a fail-over or behind a balancer. Its counters are its own: they may be higher or lower."),
		ping:     d.gauge("ping_seconds", "Round trip of a PING on an open connection."),
		slowlog:  d.counter("slowlog_entries_total", "Entries that the slow log got since soakd started; absent without the right to SLOWLOG GET."),
		errors:   d.counter("errors_total", "Error replies, by the error's first word; absent before Redis 6.2, and while there was none.", "kind"),

		server: describeServer(d), databases: describeDatabases(d), commands: describeCommands(d), times: describeCommandTimes(d), replicas: describeReplicas(d),
		latency: describeLatency(d), thresholds: describeThresholds(d),
	}
}
