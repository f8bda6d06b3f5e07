package redis

import (
	"errors"
	"fmt"
	"math"

	"soakd/internal/probes"
)

// Units of INFO: how many are one of the base unit. They divide, because 1/1000
// is no number of the computer's.
const (
	percent      = 1e2
	milliseconds = 1e3
	microseconds = 1e6
)

// field is a field of INFO that is a metric as it stands, but for its unit.
type field struct {
	desc *probes.Desc
	// labels are the label values after the node's.
	labels []string
	// names are the names of the field in INFO; the first that is there counts.
	names []string
	// per is how many of INFO's unit are one of the metric's; 0 stands for 1.
	per float64
	// least is the smallest value that is one. What is below says that there is
	// none: -1 for a save that has not been, 0 for a limit that is not set.
	least float64
	// yes and no are, of a field that is a word, those for 1 and 0.
	yes, no string
	// only is another field that must be 1, for the value to mean something.
	only string
}

// anyNumber is the least value of what can be negative.
const anyNumber = -math.MaxFloat64

// add adds the value where the server has it.
func (f field) add(reading *probes.Reading, node string, fields info) error {
	if f.only != "" && fields[f.only] != "1" {
		return nil
	}
	for _, name := range f.names {
		text, ok := fields[name]
		if !ok {
			continue
		}
		value, err := f.value(text)
		if err != nil {
			return fmt.Errorf("INFO: %s: %w", name, err)
		}
		if value >= f.least {
			reading.Add(f.desc, value/f.unit(), append([]string{node}, f.labels...)...)
		}
		return nil
	}
	return nil
}

func (f field) value(text string) (float64, error) {
	if f.yes == "" {
		return parseNumber(text)
	}
	switch text {
	case f.yes:
		return 1, nil
	case f.no:
		return 0, nil
	default:
		return 0, fmt.Errorf("%.40q is neither %s nor %s", text, f.yes, f.no)
	}
}

func (f field) unit() float64 {
	if f.per == 0 {
		return 1
	}
	return f.per
}

// addFields adds what is a metric as it stands.
func addFields(reading *probes.Reading, node string, fields info, all []field) error {
	var errs []error
	for _, f := range all {
		errs = append(errs, f.add(reading, node, fields))
	}
	return errors.Join(errs...)
}

// describer makes descriptions of metrics that all have the label node.
type describer struct{ descs *probes.Descs }

func (d describer) gauge(name, help string, labels ...string) *probes.Desc {
	return d.descs.Gauge("soakd_redis_"+name, help, append([]string{"node"}, labels...)...)
}

func (d describer) counter(name, help string, labels ...string) *probes.Desc {
	return d.descs.Counter("soakd_redis_"+name, help, append([]string{"node"}, labels...)...)
}

// describeFields describes all fields that are metrics as they stand. A field
// without a description is another series of the one before it.
func describeFields(d describer) []field {
	var all []field
	for _, describe := range []func(describer) []field{
		clientFields, trafficFields, lookupFields, evictionFields, expiryFields, memoryFields, memoryOfFields, luaFields, cpuFields,
		eventLoopFields, snapshotFields, appendOnlyFields, replicationFields, replicaFields, deniedFields,
	} {
		all = append(all, describe(d)...)
	}
	for i := range all {
		if all[i].desc == nil {
			all[i].desc = all[i-1].desc
		}
	}
	return all
}

func clientFields(d describer) []field {
	return []field{
		{names: []string{"connected_clients"}, desc: d.gauge("connected_clients", "Client connections, soakd's own among them.")},
		{names: []string{"blocked_clients"}, desc: d.gauge("blocked_clients", "Clients that wait in a blocking command.")},
		{names: []string{"tracking_clients"}, desc: d.gauge("tracking_clients", "Clients that have their reads tracked, for caches of their own.")},
		{names: []string{"pubsub_clients"}, desc: d.gauge("pubsub_clients", "Clients that are subscribed to a channel or a pattern.")},
		{names: []string{"watching_clients"}, desc: d.gauge("watching_clients", "Clients that watch a key for a transaction.")},
		{names: []string{"maxclients", "max_clients"}, desc: d.gauge("max_clients", "Client connections that the server allows.")},
		{names: []string{"client_recent_max_input_buffer"}, desc: d.gauge("client_max_input_buffer_bytes", "Largest input buffer among the clients, of the last seconds.")},
		{names: []string{"client_recent_max_output_buffer"}, desc: d.gauge("client_max_output_buffer_bytes", "Largest output buffer among the clients, of the last seconds.")},
		{names: []string{"rejected_connections"}, desc: d.counter("rejected_connections_total", "Connections refused because there were too many.")},
		{names: []string{"client_query_buffer_limit_disconnections"}, labels: []string{"input"}, desc: d.counter("buffer_limit_disconnections_total", "Clients cut off because a buffer of theirs grew over its limit, by buffer.", "buffer")},
		{names: []string{"client_output_buffer_limit_disconnections"}, labels: []string{"output"}},
		{names: []string{"tracking_total_keys"}, desc: d.gauge("tracked_keys", "Keys that the server tracks for clients' caches.")},
		{names: []string{"pubsub_channels"}, labels: []string{"channel"}, desc: d.gauge("pubsub_subscriptions", "Channels (channel), patterns (pattern) and channels of a shard (shard_channel) that have a subscriber.", "kind")},
		{names: []string{"pubsub_patterns"}, labels: []string{"pattern"}},
		{names: []string{"pubsubshard_channels"}, labels: []string{"shard_channel"}},
	}
}

func trafficFields(d describer) []field {
	return []field{
		{names: []string{"uptime_in_seconds"}, desc: d.gauge("uptime_seconds", "Time since the server started.")},
		{names: []string{"total_connections_received"}, desc: d.counter("connections_received_total", "Connections accepted.")},
		{names: []string{"total_commands_processed"}, desc: d.counter("commands_processed_total", "Commands processed, soakd's own among them: at most 7 a poll, of a cluster 10.")},
		{names: []string{"total_net_input_bytes"}, desc: d.counter("net_input_bytes_total", "Bytes received from the network.")},
		{names: []string{"total_net_output_bytes"}, desc: d.counter("net_output_bytes_total", "Bytes sent to the network.")},
		{names: []string{"total_net_repl_input_bytes"}, desc: d.counter("net_replication_input_bytes_total", "Bytes received from the master.")},
		{names: []string{"total_net_repl_output_bytes"}, desc: d.counter("net_replication_output_bytes_total", "Bytes sent to replicas.")},
		{names: []string{"total_error_replies"}, desc: d.counter("error_replies_total", "Error replies of all kinds.")},
		{names: []string{"unexpected_error_replies"}, desc: d.counter("unexpected_error_replies_total", "Errors of the replication link and of reading the append-only file.")},
		{names: []string{"io_threads_active"}, desc: d.gauge("io_threads_active", "Whether threads for input and output run (1) or not (0).")},
	}
}

func lookupFields(d describer) []field {
	return []field{
		{names: []string{"keyspace_hits"}, desc: d.counter("keyspace_hits_total", "Lookups of a key that was there.")},
		{names: []string{"keyspace_misses"}, desc: d.counter("keyspace_misses_total", "Lookups of a key that was not there.")},
	}
}

func evictionFields(d describer) []field {
	return []field{
		{names: []string{"evicted_keys"}, desc: d.counter("evicted_keys_total", "Keys removed because memory ran out.")},
		{names: []string{"evicted_clients"}, desc: d.counter("evicted_clients_total", "Clients cut off because their buffers took more memory than maxmemory-clients.")},
		{names: []string{"evicted_scripts"}, desc: d.counter("evicted_scripts_total", "EVAL scripts removed because there were too many.")},
		{names: []string{"total_eviction_exceeded_time"}, per: milliseconds, desc: d.counter("memory_limit_exceeded_seconds_total", "Time during which more than maxmemory was used.")},
		{names: []string{"current_eviction_exceeded_time"}, per: milliseconds, desc: d.gauge("memory_limit_exceeded_seconds", "Time since which more than maxmemory is used; 0 when it is not.")},
	}
}

func expiryFields(d describer) []field {
	return []field{
		{names: []string{"expired_keys"}, desc: d.counter("expired_keys_total", "Keys removed because their time was over.")},
		{names: []string{"expired_subkeys", "expired_fields"}, desc: d.counter("expired_hash_fields_total", "Fields of hashes removed because their time was over.")},
		{names: []string{"expired_stale_perc"}, per: percent, desc: d.gauge("expired_stale_ratio", "Estimated share of the keys with a time to live whose time is over and that still take memory, 0 to 1.")},
		{names: []string{"expired_time_cap_reached_count"}, desc: d.counter("expire_cycles_cut_short_total", "Searches for expired keys that ended because of their time limit.")},
		{names: []string{"expire_cycle_cpu_milliseconds"}, per: milliseconds, desc: d.counter("expire_cycle_seconds_total", "Time spent on searching for expired keys.")},
	}
}

func memoryFields(d describer) []field {
	return []field{
		{names: []string{"used_memory"}, desc: d.gauge("memory_used_bytes", "Memory that the server has allocated.")},
		{names: []string{"used_memory_rss"}, desc: d.gauge("memory_rss_bytes", "Resident memory of the server.")},
		{names: []string{"used_memory_peak"}, desc: d.gauge("memory_peak_bytes", "Most memory that the server had allocated since it started.")},
		{names: []string{"maxmemory"}, least: 1, desc: d.gauge("memory_limit_bytes", "The server's maxmemory; absent when there is no limit.")},
		{names: []string{"total_system_memory"}, least: 1, desc: d.gauge("memory_system_bytes", "Memory of the machine that the server runs on.")},
		{names: []string{"mem_fragmentation_bytes"}, least: anyNumber, desc: d.gauge("memory_fragmentation_bytes", "Resident memory beyond what is allocated; negative when memory is swapped out.")},
		{names: []string{"allocator_allocated"}, labels: []string{"allocated"}, desc: d.gauge("memory_allocator_bytes", "Memory of the allocator: given out (allocated), in pages that hold some of it (active), and resident.", "state")},
		{names: []string{"allocator_active"}, labels: []string{"active"}},
		{names: []string{"allocator_resident"}, labels: []string{"resident"}},
		{names: []string{"active_defrag_running"}, desc: d.gauge("active_defragmentation_effort_ratio", "Share of CPU time that the defragmentation may take now, 0 to 1; 0 when it does not run."), per: percent},
		{names: []string{"lazyfree_pending_objects"}, desc: d.gauge("lazyfree_pending_objects", "Objects that wait to be freed in the background.")},
		{names: []string{"lazyfreed_objects"}, desc: d.counter("lazyfreed_objects_total", "Objects freed in the background.")},
	}
}

// memoryOfFields are what the memory is used for. The parts overlap: overhead
// contains most others.
func memoryOfFields(d describer) []field {
	return []field{
		{names: []string{"used_memory_dataset"}, labels: []string{"dataset"}, desc: d.gauge("memory_part_bytes", "Memory by what it is used for. dataset and overhead are all of it; the others are parts of these.", "part")},
		{names: []string{"used_memory_overhead"}, labels: []string{"overhead"}},
		{names: []string{"used_memory_startup"}, labels: []string{"startup"}},
		{names: []string{"mem_clients_normal"}, labels: []string{"clients"}},
		{names: []string{"mem_clients_slaves"}, labels: []string{"replica_clients"}},
		{names: []string{"mem_replication_backlog"}, labels: []string{"replication_backlog"}},
		{names: []string{"mem_total_replication_buffers"}, labels: []string{"replication_buffers"}},
		{names: []string{"mem_aof_buffer"}, labels: []string{"aof_buffer"}},
		{names: []string{"mem_cluster_links"}, labels: []string{"cluster_links"}},
		{names: []string{"mem_not_counted_for_evict"}, labels: []string{"not_counted_for_eviction"}},
	}
}

func luaFields(d describer) []field {
	return []field{
		{names: []string{"used_memory_vm_total", "used_memory_lua"}, desc: d.gauge("memory_lua_bytes", "Memory of the Lua engines, which maxmemory does not limit.")},
		{names: []string{"used_memory_scripts"}, desc: d.gauge("memory_scripts_bytes", "Memory of cached scripts and of functions.")},
		{names: []string{"number_of_cached_scripts"}, desc: d.gauge("cached_scripts", "EVAL scripts that the server keeps.")},
		{names: []string{"number_of_functions"}, desc: d.gauge("functions", "Functions that are loaded.")},
	}
}

func cpuFields(d describer) []field {
	return []field{
		{names: []string{"used_cpu_user"}, labels: []string{"user"}, desc: d.counter("cpu_seconds_total", "CPU time of the server in user and system mode, and of its children that saved to disk.", "mode")},
		{names: []string{"used_cpu_sys"}, labels: []string{"sys"}},
		{names: []string{"used_cpu_user_children"}, labels: []string{"user_children"}},
		{names: []string{"used_cpu_sys_children"}, labels: []string{"sys_children"}},
		{names: []string{"used_cpu_user_main_thread"}, labels: []string{"user"}, desc: d.counter("main_thread_cpu_seconds_total", "CPU time of the thread that runs the commands, contained in the CPU time of the server: its rate is at most 1.", "mode")},
		{names: []string{"used_cpu_sys_main_thread"}, labels: []string{"sys"}},
	}
}

func eventLoopFields(d describer) []field {
	return []field{
		{names: []string{"eventloop_cycles"}, desc: d.counter("event_loop_cycles_total", "Rounds of the event loop.")},
		{names: []string{"eventloop_duration_sum"}, per: microseconds, desc: d.counter("event_loop_seconds_total", "Time the event loop was not idle.")},
		{names: []string{"eventloop_duration_cmd_sum"}, per: microseconds, desc: d.counter("event_loop_commands_seconds_total", "Time the event loop ran commands.")},
	}
}

// snapshotFields are those of the RDB file and of the process that writes it.
func snapshotFields(d describer) []field {
	return []field{
		{names: []string{"loading"}, desc: d.gauge("loading", "Whether the server loads its data and answers no commands (1) or not (0).")},
		{names: []string{"async_loading"}, desc: d.gauge("async_loading", "Whether a replica loads new data while it serves the old (1) or not (0).")},
		{names: []string{"rdb_changes_since_last_save"}, desc: d.gauge("rdb_unsaved_changes", "Changes since the last save.")},
		{names: []string{"rdb_bgsave_in_progress"}, desc: d.gauge("rdb_save_in_progress", "Whether a save runs in the background (1) or not (0).")},
		{names: []string{"rdb_last_save_time"}, least: 1, desc: d.gauge("rdb_last_save_timestamp_seconds", "Time of the last save, or of the server's start when there was none.")},
		{names: []string{"rdb_last_bgsave_status"}, yes: "ok", no: "err", desc: d.gauge("rdb_last_save_success", "Whether the last save worked (1) or not (0); 1 also when there was none.")},
		{names: []string{"rdb_last_bgsave_time_sec"}, desc: d.gauge("rdb_last_save_duration_seconds", "How long the last save took; absent when there was none.")},
		{names: []string{"rdb_current_bgsave_time_sec"}, desc: d.gauge("rdb_current_save_duration_seconds", "How long the save has been running; absent when none runs.")},
		{names: []string{"rdb_saves"}, desc: d.counter("rdb_saves_total", "Saves in the background and in the foreground.")},
		{names: []string{"rdb_last_cow_size"}, desc: d.gauge("rdb_last_save_copied_bytes", "Memory copied because it changed during the last save.")},
		{names: []string{"latest_fork_usec"}, least: 1, per: microseconds, desc: d.gauge("last_fork_seconds", "How long the server stood still for its last fork; absent when there was none since the last reset of the statistics.")},
		{names: []string{"total_forks"}, desc: d.counter("forks_total", "Forks of the server.")},
	}
}

// appendOnlyFields are those of the append-only file.
func appendOnlyFields(d describer) []field {
	return []field{
		{names: []string{"aof_enabled"}, desc: d.gauge("aof_enabled", "Whether the append-only file is on (1) or off (0). Off, all other aof metrics are absent.")},
		{names: []string{"aof_rewrite_in_progress"}, only: "aof_enabled", desc: d.gauge("aof_rewrite_in_progress", "Whether the append-only file is being rewritten (1) or not (0).")},
		{names: []string{"aof_last_bgrewrite_status"}, only: "aof_enabled", yes: "ok", no: "err", desc: d.gauge("aof_last_rewrite_success", "Whether the last rewrite of the append-only file worked (1) or not (0).")},
		{names: []string{"aof_last_write_status"}, only: "aof_enabled", yes: "ok", no: "err", desc: d.gauge("aof_last_write_success", "Whether the last write to the append-only file worked (1) or not (0), when the server refuses writes.")},
		{names: []string{"aof_last_rewrite_time_sec"}, only: "aof_enabled", desc: d.gauge("aof_last_rewrite_duration_seconds", "How long the last rewrite of the append-only file took; absent when there was none.")},
		{names: []string{"aof_current_size"}, only: "aof_enabled", desc: d.gauge("aof_size_bytes", "Size of the append-only file.")},
		{names: []string{"aof_base_size"}, only: "aof_enabled", desc: d.gauge("aof_base_size_bytes", "Size of the append-only file after its last rewrite.")},
		{names: []string{"aof_buffer_length"}, only: "aof_enabled", desc: d.gauge("aof_buffer_bytes", "Bytes that wait to be written to the append-only file.")},
		{names: []string{"aof_pending_bio_fsync"}, only: "aof_enabled", desc: d.gauge("aof_pending_fsyncs", "Calls of fsync that wait.")},
		{names: []string{"aof_delayed_fsync"}, only: "aof_enabled", desc: d.counter("aof_delayed_fsyncs_total", "Writes to the append-only file that waited for an fsync.")},
	}
}

// replicationFields are those of a master, most of which replicas have too.
func replicationFields(d describer) []field {
	return []field{
		{names: []string{"connected_slaves"}, desc: d.gauge("connected_replicas", "Replicas connected to this server.")},
		{names: []string{"min_slaves_good_slaves"}, desc: d.gauge("good_replicas", "Replicas that count for min-replicas-to-write; absent when that is not set.")},
		{names: []string{"master_repl_offset"}, desc: d.gauge("replication_offset_bytes", "Position in the replication stream: of a master what it wrote, of a replica what it has.")},
		{names: []string{"repl_backlog_size"}, only: "repl_backlog_active", desc: d.gauge("replication_backlog_size_bytes", "Size of the replication backlog; a replica that was away for more bytes needs a full copy.")},
		{names: []string{"repl_backlog_histlen"}, only: "repl_backlog_active", desc: d.gauge("replication_backlog_used_bytes", "Bytes in the replication backlog.")},
		{names: []string{"sync_full"}, labels: []string{"full"}, desc: d.counter("replication_syncs_total", "Synchronizations asked for by replicas: with a full copy (full), with the backlog (partial), and refused because the backlog was too short (partial_refused), which then are full.", "kind")},
		{names: []string{"sync_partial_ok"}, labels: []string{"partial"}},
		{names: []string{"sync_partial_err"}, labels: []string{"partial_refused"}},
	}
}

// replicaFields are those of a replica alone; a master has none of them.
func replicaFields(d describer) []field {
	return []field{
		{names: []string{"master_link_status"}, yes: "up", no: "down", desc: d.gauge("master_link_up", "On a replica, whether its link to the master is up (1) or not (0).")},
		{names: []string{"master_last_io_seconds_ago"}, desc: d.gauge("master_last_io_seconds", "On a replica, time since the master was heard; absent while the link is down.")},
		{names: []string{"master_link_down_since_seconds"}, desc: d.gauge("master_link_down_seconds", "On a replica, time since when the link to the master is down; absent while it is up or never was.")},
		{names: []string{"master_sync_in_progress"}, desc: d.gauge("master_sync_in_progress", "On a replica, whether it takes a copy from its master (1) or not (0).")},
	}
}

func deniedFields(d describer) []field {
	return []field{
		{names: []string{"acl_access_denied_auth"}, labels: []string{"auth"}, desc: d.counter("acl_denied_total", "What the access control refused: logins (auth), commands, keys, channels, databases.", "kind")},
		{names: []string{"acl_access_denied_cmd"}, labels: []string{"command"}},
		{names: []string{"acl_access_denied_key"}, labels: []string{"key"}},
		{names: []string{"acl_access_denied_channel"}, labels: []string{"channel"}},
		{names: []string{"acl_access_denied_db"}, labels: []string{"database"}},
	}
}
