package redis

import "time"

// startSlack is by how much the start of a server, computed from its uptime, can
// be wrong: whole seconds on both ends, and a cached clock.
const startSlack = 2 * time.Second

// maxUptime is the longest uptime that is believed, in seconds: 100 years.
const maxUptime = 100 * 366 * 86400

// event is what happened to a server between two polls.
type event int

const (
	nothing event = iota
	// reset: the same process with statistics that began anew (CONFIG RESETSTAT).
	reset
	// restarted: a process that started after the last poll.
	restarted
	// replaced: another process that ran at the last poll already. Somebody moved
	// the address to it: a fail-over, or a balancer.
	replaced
)

// life is what one poll tells of the process behind the address.
type life struct {
	at time.Time
	// run is the id of the process; "" where the server has none (Dragonfly).
	run string
	// uptime is its age, hasUptime whether it was told.
	uptime    time.Duration
	hasUptime bool
	// counters are counts that only rise as long as nobody resets them.
	counters map[string]float64
}

// known reports whether anything was told by which a restart or a reset is seen.
func (l life) known() bool { return l.run != "" || l.hasUptime }

// since returns what happened from the poll before to this one.
func (l life) since(before life) event {
	if l.run != before.run {
		if l.hasUptime && l.at.Add(-l.uptime).Add(startSlack).Before(before.at) {
			return replaced
		}
		return restarted
	}
	if l.run == "" && l.hasUptime && before.hasUptime && l.at.Add(-l.uptime).After(before.at.Add(-before.uptime).Add(startSlack)) {
		return restarted
	}
	for name, count := range l.counters {
		if last, ok := before.counters[name]; ok && count < last {
			return reset
		}
	}
	return nothing
}

// risingCounters lists the counters by which a reset is seen. One is not enough:
// a busy server soon has more commands than before the reset. Each poll of soakd
// itself makes calls of INFO and bytes of output, so that some have always
// risen before.
func risingCounters() []string {
	return []string{
		"total_commands_processed", "total_connections_received", "total_net_input_bytes", "total_net_output_bytes",
		"keyspace_hits", "keyspace_misses", "expired_keys", "evicted_keys", "total_error_replies", "total_reads_processed",
	}
}

// lifeOf takes from INFO what tells of the process.
func lifeOf(fields info, at time.Time) life {
	l := life{at: at, run: fields["run_id"], counters: map[string]float64{}}
	if seconds, ok, err := fields.number("uptime_in_seconds"); ok && err == nil && seconds >= 0 && seconds < maxUptime {
		l.uptime, l.hasUptime = time.Duration(seconds)*time.Second, true
	}
	for _, name := range risingCounters() {
		if count, ok, err := fields.number(name); ok && err == nil {
			l.counters[name] = count
		}
	}
	if !fields.hasPrefix("cmdstat_") {
		return l
	}
	// A command that was not called since the reset is not there.
	l.counters["cmdstat_info"] = 0
	if stat, err := parseCommandStat(fields["cmdstat_info"]); err == nil {
		l.counters["cmdstat_info"] = stat.calls
	}
	return l
}

// lifetime follows the process behind one address from poll to poll.
type lifetime struct {
	last  life
	known bool
	// counts is how often each event was seen.
	counts [replaced + 1]int
}

// add takes in a poll and returns what happened since the last one.
func (l *lifetime) add(now life) event {
	seen := nothing
	if l.known {
		seen = now.since(l.last)
		l.counts[seen]++
	}
	l.last, l.known = now, true
	return seen
}
