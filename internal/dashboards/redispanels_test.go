package dashboards

import "testing"

// Two soakds watch one Redis and one of them another of the same name: what they
// read of it is not added up, and a quotient is that of one server.
func TestRedisPanelsDoNotMixServers(t *testing.T) {
	series := func(name, instance, labels, values string) inputSeries {
		return inputSeries{Series: name + `{job="soakd",instance="` + instance + `",` + labels + `}`, Values: values}
	}
	const (
		node = `node="redis:6379"`
		get  = node + `,command="get"`
		user = node + `,mode="user"`
		sys  = node + `,mode="sys"`
	)
	command := `{command="get",` + node + `}`
	file := queryTestFile{EvaluationInterval: "1s", Tests: []queryTestGroup{{
		Name: "two servers of one name", Interval: "1s",
		InputSeries: []inputSeries{
			series("soakd_redis_command_calls_total", "busy:9470", get, "0+100x60"),
			series("soakd_redis_command_seconds_total", "busy:9470", get, "0+0.25x60"),
			series("soakd_redis_command_calls_total", "calm:9470", get, "0+2x60"),
			series("soakd_redis_command_seconds_total", "calm:9470", get, "0+0.125x60"),
			series("soakd_redis_main_thread_cpu_seconds_total", "busy:9470", user, "0+0.5x60"),
			series("soakd_redis_main_thread_cpu_seconds_total", "busy:9470", sys, "0+0.25x60"),
			series("soakd_redis_main_thread_cpu_seconds_total", "calm:9470", user, "0+0.125x60"),
			series("soakd_redis_main_thread_cpu_seconds_total", "calm:9470", sys, "0+0.625x60"),
			series("soakd_redis_memory_rss_bytes", "busy:9470", node, "75+0x60"),
			series("soakd_redis_memory_system_bytes", "busy:9470", node, "100+0x60"),
			series("soakd_redis_memory_rss_bytes", "calm:9470", node, "100+0x60"),
			series("soakd_redis_memory_system_bytes", "calm:9470", node, "1000+0x60"),
			series("soakd_redis_rdb_last_save_timestamp_seconds", "busy:9470", node, "20+0x60"),
			series("soakd_redis_rdb_last_save_timestamp_seconds", "calm:9470", node, "30+0x60"),
		},
		Queries: []queryTest{
			{panelQuery(t, redisUID, "Calls by command"), "50s", []sample{{command, 100}}},
			{panelQuery(t, redisUID, "Time by command"), "50s", []sample{{command, 0.25}}},
			{panelQuery(t, redisUID, "Mean time of a call"), "50s", []sample{{command, 0.0625}}},
			{panelQuery(t, redisUID, "Main thread"), "50s", []sample{{"{" + node + "}", 0.75}}},
			{panelQuery(t, redisUID, "Busiest main thread"), "50s", []sample{{"{}", 0.75}}},
			{panelQuery(t, redisUID, "Share of the machine's memory"), "50s", []sample{{"{" + node + "}", 0.75}}},
			{panelQuery(t, redisUID, "Since the last save"), "50s", []sample{{"{" + node + "}", 20}}},
		},
	}}}
	checkQueries(t, file)
}

// redisMayBeEmpty lists the queries that the demo's Redis cannot give data for.
func redisMayBeEmpty() []string {
	var all []string
	for row, panels := range map[string][]string{
		// It has no replicas and is none.
		"Replicas": {
			"Lag of replicas", "Bytes behind", "Replicas in step", "Replicas that count for writes",
			"Link to the master", "Master not heard", "Received and not applied",
		},
		// It saves nothing to disk.
		"Does it keep what it has?": {
			"Standstill at a fork", "Duration of saves", "Append-only writes", "Size of the append-only file", "Waiting for the disk",
			"Duration of the last rewrite",
		},
		// It has no latency monitor, and is too old for the others on Debian 12.
		"Does it answer?": {
			"Slow events", "Since the latest slow event", "Refused by access control", "Busy event loop", "Round of the event loop",
		},
		"Does it fit?": {"Scripts evicted"},
		"Clients":      {"Clients cut off for their buffers", "Subscribed and watching clients"},
		"Keys":         {"Hash fields expired"},
		// It is no part of a cluster and not watched by sentinels.
		"Sentinel and Cluster": {
			"Part of each node", "Cluster serves", "Slots of the cluster", "Slots of each node", "Slots on their way",
			"Nodes that nodes know", "Epoch of the cluster", "Messages of the cluster",
			"Sentinels", "Master as sentinels see it", "Fail-overs", "Present master", "Known to sentinels",
		},
	} {
		for _, panel := range panels {
			all = append(all, redisUID+" / "+row+" / "+panel)
		}
	}
	return all
}
