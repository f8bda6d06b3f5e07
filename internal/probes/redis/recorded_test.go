package redis

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
)

// recorded gives what is read of an answer to INFO in testdata. Those of Redis
// and Valkey come from the servers of Debian; those of KeyDB and Dragonfly are
// written from the fields that their sources print.
func recorded(t *testing.T, name string) (reader, probes.Reading) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".txt")
	must(t, err)
	fields, err := parseInfo(string(text))
	must(t, err)
	got, reading, err := aNode(defaults()).readInfo(t, fields)
	must(t, err)
	return got, reading
}

// The calls that were made of each recorded master: 42 of GET, of which 34
// found their key, 2 calls of XADD, 42 keys with a short life, one save.
func TestRecordedMasters(t *testing.T) {
	common := map[string]float64{
		"keyspace_hits_total": 34, "keyspace_misses_total": 8, "expired_keys_total": 42, "evicted_keys_total": 0,
		`keys{db="0"}`: 34, `expiring_keys{db="0"}`: 0, `average_ttl_seconds{db="0"}`: absent, `keys{db="3"}`: 1,
		"memory_limit_bytes": 64 << 20, `maxmemory_policy{policy="allkeys-lru"}`: 1,
		`command_calls_total{command="get"}`: 42, `command_calls_total{command="xadd"}`: 2,
		"connected_clients": 3, "blocked_clients": 1, `pubsub_subscriptions{kind="channel"}`: 1,
		`role{role="master"}`: 1, "connected_replicas": 1, `replica_online{replica="0"}`: 1, "master_link_up": absent,
		"rdb_last_save_success": 1, "rdb_last_save_duration_seconds": 0, "rdb_current_save_duration_seconds": absent,
		"aof_enabled": 1, "aof_last_write_success": 1, "loading": 0, "rejected_connections_total": 0,
		"restarts_total": 0, "statistics_resets_total": 0, "server_changes_total": 0,
	}
	since7 := map[string]float64{
		`errors_total{kind="wrongtype"}`: 4, `errors_total{kind="noscript"}`: 1, `errors_total{kind="execabort"}`: 1, "evicted_clients_total": 0,
		"memory_limit_exceeded_seconds": 0, "max_clients": 10000, "async_loading": 0, "rdb_saves_total": 1,
		`command_failed_calls_total{command="get"}`: 2, `command_rejected_calls_total{command="get"}`: 0, "functions": 0,
		`memory_part_bytes{part="cluster_links"}`: 0, `pubsub_subscriptions{kind="shard_channel"}`: 0,
	}
	for name, want := range map[string]map[string]float64{
		"redis-6.0.16-master": {
			`server_info{server="redis",version="6.0.16",mode="standalone"}`: 1,
			"memory_used_bytes": 1993304, "last_fork_seconds": 478 / microseconds, "expired_stale_ratio": 1.99 / percent, "aof_size_bytes": 4605,
			`command_seconds_total{command="get"}`: 9 / microseconds, "replication_offset_bytes": 3624, `replica_lag_bytes{replica="0"}`: 0,
			`replica_lag_seconds{replica="0"}`: 1, `errors_total{kind="err"}`: absent, "error_replies_total": absent, "max_clients": absent,
			`command_failed_calls_total{command="get"}`: absent, "evicted_clients_total": absent, `main_thread_cpu_seconds_total{mode="user"}`: absent,
		},
		"redis-7.0.15-master": {
			`server_info{server="redis",version="7.0.15",mode="standalone"}`: 1, "event_loop_seconds_total": absent, "memory_used_bytes": 1583904,
			"last_fork_seconds": 477 / microseconds, `replica_lag_seconds{replica="0"}`: 1, `errors_total{kind="err"}`: 4, "pubsub_clients": absent,
		},
		"redis-8.0.2-master": {
			`server_info{server="redis",version="8.0.2",mode="standalone"}`: 1,
			"memory_used_bytes": 1431952, "last_fork_seconds": 494 / microseconds, "expired_stale_ratio": 4.52 / percent, "aof_size_bytes": 3891,
			`command_seconds_total{command="get"}`: 14 / microseconds, "replication_offset_bytes": 5496, `replica_lag_bytes{replica="0"}`: 0,
			"pubsub_clients": 1, "event_loop_seconds_total": 1485572 / microseconds, "event_loop_commands_seconds_total": 22871 / microseconds,
			`acl_denied_total{kind="command"}`: 0, `errors_total{kind="err"}`: 5, "evicted_scripts_total": 0, "expired_hash_fields_total": 0,
		},
		"valkey-8.1.1-master": {
			`server_info{server="valkey",version="8.1.1",mode="standalone"}`: 1, "pubsub_clients": 1, `acl_denied_total{kind="auth"}`: 0,
		},
		"valkey-9.1.2-master": {
			`server_info{server="valkey",version="9.1.2",mode="standalone"}`: 1,
			"memory_used_bytes": 1626016, "last_fork_seconds": 744 / microseconds, `command_seconds_total{command="get"}`: 61 / microseconds,
			"expired_hash_fields_total": 0, `replica_lag_seconds{replica="0"}`: 0, "replication_offset_bytes": 5636, `acl_denied_total{kind="database"}`: 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := recorded(t, name)
			check(t, got, common)
			check(t, got, want)
			if !strings.HasPrefix(name, "redis-6") {
				check(t, got, since7)
			}
		})
	}
}

func TestRecordedReplicas(t *testing.T) {
	for _, name := range []string{"redis-6.0.16-replica", "redis-7.0.15-replica", "redis-8.0.2-replica", "valkey-8.1.1-replica"} {
		t.Run(name, func(t *testing.T) {
			got, _ := recorded(t, name)
			check(t, got, map[string]float64{
				`role{role="replica"}`: 1, "master_link_up": 1, "master_sync_in_progress": 0, "connected_replicas": 0, "master_link_down_seconds": absent,
				`replica_online{replica="0"}`: absent, "aof_enabled": 0, "aof_last_write_success": absent, "aof_size_bytes": absent,
				"last_fork_seconds": absent, "rdb_last_save_duration_seconds": absent, "keyspace_hit_ratio": absent, `keys{db="0"}`: 34,
			})
			if seconds := got.get("master_last_io_seconds"); seconds < 0 || seconds > 10 {
				t.Errorf("the master was heard %v s ago", seconds)
			}
		})
	}
	got, _ := recorded(t, "redis-7.0.15-replica")
	check(t, got, map[string]float64{"replication_unapplied_bytes": 0, "replication_offset_bytes": 4689})
}

// Several masters repeat fields; the role and the parts of the keyspace are its
// own.
func TestRecordedKeyDB(t *testing.T) {
	got, _ := recorded(t, "keydb-6.3.4-active-replica")
	check(t, got, map[string]float64{
		`server_info{server="keydb",version="6.3.4",mode="standalone"}`: 1, `role{role="active_replica"}`: 1, "master_link_up": 1,
		"replication_unapplied_bytes": 54, `replica_lag_bytes{replica="0"}`: 46, `replica_lag_bytes{replica="1"}`: 0, `replica_lag_seconds{replica="0"}`: 1,
		`keys{db="0"}`: 526496, "memory_limit_bytes": absent, "memory_fragmentation_bytes": 16777216, "last_fork_seconds": 5591 / microseconds,
		`command_calls_total{command="other"}`: 52917, `command_calls_total{command="zrem"}`: 491, `command_rejected_calls_total{command="zrem"}`: 1,
		`command_seconds_total{command="zrem"}`: 5942 / microseconds, `errors_total{kind="oom"}`: 1, `cpu_seconds_total{mode="user"}`: 2.053961,
		"expired_stale_ratio": 0.25 / percent,
	})
}

// Dragonfly has no run id, -1 for what it does not count, no offsets of its
// replicas, words as names, modules twice, and CPU times without leading zeros.
func TestRecordedDragonfly(t *testing.T) {
	got, _ := recorded(t, "dragonfly-1.31.0-master")
	check(t, got, map[string]float64{
		`server_info{server="dragonfly",version="1.31.0",mode="standalone"}`: 1, `maxmemory_policy{policy="eviction"}`: 1,
		"max_clients": 64000, "rejected_connections_total": absent, "memory_limit_bytes": 419430400, "evicted_keys_total": 4, "restarts_total": 0,
		`replica_online{replica="0"}`: 1, `replica_lag_seconds{replica="0"}`: absent, `replica_lag_bytes{replica="0"}`: absent,
		`keys{db="0"}`: 2, `expiring_keys{db="0"}`: 1, `average_ttl_seconds{db="0"}`: absent, `command_calls_total{command="get"}`: 1000,
		`command_failed_calls_total{command="get"}`: absent, `cpu_seconds_total{mode="sys"}`: 12.000005, `cpu_seconds_total{mode="user"}`: 7.25,
		`main_thread_cpu_seconds_total{mode="sys"}`: 3.00004, `main_thread_cpu_seconds_total{mode="user"}`: 2.0001,
	})
}

// What is not in an enumeration is one series, and counted.
func TestLabelsAreBounded(t *testing.T) {
	fields := info{
		"role": "sovereign", "master_repl_offset": "1000", "redis_version": strings.Repeat("9", 30), "redis_mode": "odd",
		"cmdstat_get": "calls=1,usec=1000000,rejected_calls=1,failed_calls=0", "cmdstat_config|get": "calls=2,usec=0,rejected_calls=0,failed_calls=0",
		"cmdstat_config|set": "calls=4,usec=0,rejected_calls=0,failed_calls=0", "cmdstat_CLIENT|list": "calls=8,usec=0,rejected_calls=0,failed_calls=0",
		"cmdstat_client|id": "calls=16,usec=0,rejected_calls=0,failed_calls=3", "cmdstat_x": "calls=32,usec=0,rejected_calls=0,failed_calls=0",
	}
	for i := range 12 {
		fields[fmt.Sprint("slave", i)] = fmt.Sprintf("ip=10.0.0.%d,port=1,state=online,offset=%d,lag=%d", i, 900-i, i)
	}
	fields["slave3"] = "ip=10.0.0.3,port=1,state=wait_bgsave,offset=0,lag=0"
	got, reading, err := aNode(&Config{Commands: []string{"get", "config|get", "client"}}).readInfo(t, fields)
	must(t, err)
	check(t, got, map[string]float64{
		`role{role="other"}`: 1, `server_info{server="redis",version="other",mode="other"}`: 1,
		`replica_lag_bytes{replica="0"}`: 100, `replica_lag_bytes{replica="7"}`: 107, `replica_lag_bytes{replica="8"}`: absent,
		`replica_lag_bytes{replica="other"}`: 111, `replica_lag_seconds{replica="other"}`: 11, `replica_online{replica="3"}`: 0,
		`replica_lag_seconds{replica="3"}`: absent, `replica_online{replica="other"}`: 1,
		`command_calls_total{command="get"}`: 1, `command_seconds_total{command="get"}`: 1, `command_rejected_calls_total{command="get"}`: 1,
		`command_calls_total{command="config|get"}`: 2, `command_calls_total{command="client"}`: 24, `command_failed_calls_total{command="client"}`: 3,
		`command_calls_total{command="other"}`: 36,
	})
	// The role, the mode, 4 replicas, 2 commands.
	if reading.Overflow != 8 {
		t.Errorf("overflow %d, want 8", reading.Overflow)
	}
}

func TestParseCommandStat(t *testing.T) {
	for text, want := range map[string]commandStat{
		"calls=26,usec=9,usec_per_call=0.35,rejected_calls=2,failed_calls=1": {calls: 26, seconds: 9 / microseconds, rejected: 2, failed: 1, complete: true},
		"calls=26,usec=2000000,usec_per_call=0.35":                           {calls: 26, seconds: 2},
	} {
		if got, err := parseCommandStat(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "calls=1", "calls=1,usec=-1", "calls=1,calls=1,usec=1", "calls=nan,usec=1", "calls=1,usec=1,rejected_calls=x,failed_calls=1", "usec=1"} {
		if got, err := parseCommandStat(text); err == nil {
			t.Errorf("%q was taken as %+v", text, got)
		}
	}
}

func TestParseLatency(t *testing.T) {
	event := func(parts ...any) any { return parts }
	got, err := parseLatency([]any{event("command", int64(1700000000), int64(21), int64(40)), event("fork", int64(1700000001), int64(1), int64(2), int64(3), int64(2))})
	if err != nil || len(got) != 2 || got[0] != (latencyEvent{"command", 1700000000, 21 / milliseconds, 40 / milliseconds}) || got[1].name != "fork" {
		t.Errorf("%v, %v", got, err)
	}
	for name, answer := range map[string]any{
		"no list": "OK", "no event": []any{"command"}, "short": []any{event("command", int64(1), int64(1))}, "text": []any{event("command", int64(1), "1", int64(1))},
		"below 0": []any{event("command", int64(1), int64(-1), int64(1))}, "no name": []any{event(int64(1), int64(1), int64(1), int64(1))}, "nil": nil,
		"twice": []any{event("a", int64(1), int64(1), int64(1)), event("a", int64(1), int64(1), int64(1))}, "many": make([]any, maxLatencyEvents+1),
	} {
		if got, err := parseLatency(answer); err == nil {
			t.Errorf("%s was taken as %v", name, got)
		}
	}
}

func TestLatencyEventsAreBounded(t *testing.T) {
	o := aNode(defaults())
	var reading probes.Reading
	o.metrics.latency.add(&reading, "h:1", []latencyEvent{{"fork", 9, 1, 2}, {"mine", 5, 3, 4}, {"yours", 6, 2, 8}})
	check(t, reader{probetest.ValuesOf(t, o, reading), "h:1"}, map[string]float64{
		`latency_event_last_seconds{event="fork"}`: 1, `latency_event_max_seconds{event="fork"}`: 2, `latency_event_last_timestamp_seconds{event="fork"}`: 9,
		`latency_event_last_seconds{event="other"}`: 3, `latency_event_max_seconds{event="other"}`: 8, `latency_event_last_timestamp_seconds{event="other"}`: 6,
		`latency_event_last_seconds{event="mine"}`: absent,
	})
	if reading.Overflow != 2 {
		t.Errorf("overflow %d", reading.Overflow)
	}
}

func TestMalformedFieldsAreNamedAndTheRestIsKept(t *testing.T) {
	fields, err := parseInfo("used_memory:12\nevicted_keys:many\nmaxmemory:x\ndb0:keys=1,expires=0\ndb1:keys=?\nerrorstat_ERR:count=1\nerrorstat_OOM:2\nerrorstat_MYAPP:count=3\nerrorstat_MYOTHER:count=4\nmaxmemory_policy:my-own\nmaster_link_status:down\n")
	must(t, err)
	got, reading, err := aNode(defaults()).readInfo(t, fields)
	for _, part := range []string{"evicted_keys", "maxmemory", "db1", "errorstat_OOM"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %s", err, part)
		}
	}
	for name, want := range map[string]float64{
		"memory_used_bytes": 12, `keys{db="0"}`: 1, `errors_total{kind="err"}`: 1, `errors_total{kind="other"}`: 7,
		`maxmemory_policy{policy="other"}`: 1, "master_link_up": 0,
	} {
		if got.get(name) != want {
			t.Errorf("%s is %v, want %v", name, got.get(name), want)
		}
	}
	if reading.Overflow != 3 || got.has("evicted_keys_total") || got.has(`keys{db="1"}`) {
		t.Errorf("overflow %d, %v", reading.Overflow, got.Values)
	}
}

func TestDatabasesAreBounded(t *testing.T) {
	fields := info{}
	for i := range 40 {
		fields[fmt.Sprint("db", i)] = "keys=1,expires=1"
	}
	got, reading, err := aNode(defaults()).readInfo(t, fields)
	must(t, err)
	if len(got.Values) != 2*(maxDatabases+1) || got.get(`keys{db="15"}`) != 1 || got.get(`keys{db="other"}`) != 24 || reading.Overflow != 24 {
		t.Errorf("overflow %d, %v", reading.Overflow, got.Values)
	}
}

// checkReading reads fields and lets ValuesOf look for duplicates.
func checkReading(t *testing.T, fields info) {
	_, _, _ = aNode(defaults()).readInfo(t, fields)
}

func TestTimesOfCommands(t *testing.T) {
	before := distribution{{1, 10}, {4, 20}}
	now := distribution{{1, 10}, {2, 12}, {4, 25}, {1056, 30}}
	// Of the 10 calls since: 2 took up to 2 us, 3 up to 4, 5 up to 1056.
	for q, want := range map[float64]float64{0.1: 2, 0.2: 2, 0.21: 4, 0.5: 4, 0.51: 1056, 0.99: 1056, 1: 1056} {
		if got, ok := now.quantile(before, q); !ok || got != want/microseconds {
			t.Errorf("quantile %v is %v s, want %v us", q, got, want)
		}
	}
	if got, ok := now.quantile(nil, 0.5); !ok || got != 4/microseconds {
		t.Errorf("half of all: %v, %t", got, ok)
	}
	for name, d := range map[string]distribution{"no calls since": now, "no calls at all": nil, "fewer calls": before} {
		if got, ok := d.quantile(now, 0.5); ok {
			t.Errorf("%s: %v", name, got)
		}
	}
	var w timesWindow
	w.length = time.Minute
	at := time.Unix(0, 0)
	w.add(at, map[string]distribution{"get": now})
	if first := w.add(at.Add(time.Second), map[string]distribution{"get": before}); first["get"][1] != before[1] {
		t.Errorf("counts that fell are compared with %v", first)
	}
}

func TestParseTimes(t *testing.T) {
	get := []any{"calls", int64(3), "histogram_usec", []any{int64(1), int64(2), int64(33), int64(3)}}
	got, err := parseTimes([]any{"get", get, "config|get", []any{"calls", int64(0), "histogram_usec", []any{}}})
	if err != nil || len(got) != 2 || len(got["get"]) != 2 || got["get"][1] != (bucket{33, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	counts := func(numbers ...any) []any {
		return []any{"get", []any{"calls", int64(3), "histogram_usec", numbers}}
	}
	for name, answer := range map[string]any{
		"no list": int64(1), "odd": []any{"get"}, "no name": []any{int64(1), get}, "twice": []any{"get", get, "get", get}, "no times": []any{"get", "x"},
		"another histogram": []any{"get", []any{"calls", int64(3), "histogram_sec", []any{}}}, "a bound without a count": counts(int64(1)),
		"bounds that fall": counts(int64(2), int64(1), int64(1), int64(2)), "counts that fall": counts(int64(1), int64(2), int64(2), int64(1)),
		"below 0": counts(int64(-1), int64(1)), "text": counts("1", int64(1)), "many bounds": counts(make([]any, 2*maxBuckets+2)...),
		"many commands": make([]any, 2*maxTimes+2), "nil": nil,
	} {
		if got, err := parseTimes(answer); err == nil {
			t.Errorf("%s was taken as %v", name, got)
		}
	}
}

// A sum that lacks a part would fall, and rise again by all of it.
func TestSumsAreWholeOrAbsent(t *testing.T) {
	fields := info{
		"cmdstat_config|get": "calls=2,usec=1", "cmdstat_config|set": "calls=?,usec=1", "cmdstat_x": "calls=1,usec=1", "cmdstat_y": "calls=1", "cmdstat_get": "calls=3,usec=1",
		"errorstat_MINE": "count=1", "errorstat_YOURS": "count=?", "errorstat_ERR": "count=4",
	}
	for i := range maxDatabases + 2 {
		fields[fmt.Sprint("db", i)] = "keys=1,expires=0"
	}
	fields[fmt.Sprint("db", maxDatabases)] = "keys=?"
	got, _, err := aNode(&Config{Commands: []string{"get", "config"}}).readInfo(t, fields)
	if err == nil {
		t.Error("the malformed fields are no error")
	}
	check(t, got, map[string]float64{
		`command_calls_total{command="get"}`: 3, `command_calls_total{command="config"}`: absent, `command_calls_total{command="other"}`: absent,
		`errors_total{kind="err"}`: 4, `errors_total{kind="other"}`: absent,
		`keys{db="15"}`: 1, `keys{db="other"}`: absent,
	})
}
