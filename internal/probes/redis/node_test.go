package redis

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// lookup makes n lookups that find nothing.
func lookup(t *testing.T, client *goredis.Client, n int) {
	t.Helper()
	for range n {
		if err := client.Get(t.Context(), "missing").Err(); !errors.Is(err, goredis.Nil) {
			t.Fatal(err)
		}
	}
}

// stats are the counters of the server as another client sees them.
func stats(t *testing.T, client *goredis.Client) info {
	t.Helper()
	text, err := client.Info(t.Context(), "all").Result()
	must(t, err)
	fields, err := parseInfo(text)
	must(t, err)
	return fields
}

func (i info) mustNumber(t *testing.T, name string) float64 {
	t.Helper()
	value, ok, err := i.number(name)
	if !ok || err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}

func TestOwnReadsAreNoLookups(t *testing.T) {
	server := startServer(t, nil)
	client, probe := clientOf(t, server.URL()), openNode(t, server.URL(), defaults())
	lookup(t, client, 3)
	probe.mustPoll(t)
	before := stats(t, client)
	const polls = 100
	for range polls {
		reading, err := probe.Poll(t.Context())
		if err != nil || reading.Cost.Queries != 5 || reading.Cost.Time <= 0 || reading.Cost.Time > time.Second {
			t.Fatalf("cost %+v, %v", reading.Cost, err)
		}
	}
	after := stats(t, client)
	for name, want := range map[string]float64{
		"keyspace_hits": 0, "keyspace_misses": 0, "total_connections_received": 0, "total_error_replies": 0,
		// INFO, SLOWLOG GET, LATENCY LATEST, LATENCY HISTOGRAM and PING, and the INFO of before.
		"total_commands_processed": 5*polls + 1,
	} {
		if got := after.mustNumber(t, name) - before.mustNumber(t, name); got != want {
			t.Errorf("%d polls add %v to %s, want %v", polls, got, name, want)
		}
	}
	for name, want := range map[string]float64{"info": polls + 1, "ping": polls, "slowlog|get": polls, "latency|latest": polls, "latency|histogram": polls} {
		was, _ := parseCommandStat(before["cmdstat_"+name]) // not there before its first call
		is, err := parseCommandStat(after["cmdstat_"+name])
		if err != nil || is.calls-was.calls != want {
			t.Errorf("%d polls add %v calls of %s, want %v; %v", polls, is.calls-was.calls, name, want, err)
		}
	}
}

func TestResetOfStatisticsIsNoRestart(t *testing.T) {
	server := startServer(t, nil)
	client, probe := clientOf(t, server.URL()), openNode(t, server.URL(), defaults())
	lookup(t, client, 5)
	probe.mustPoll(t)
	lookup(t, client, 1)
	check(t, probe.mustPoll(t), map[string]float64{"keyspace_hit_ratio": 0, "statistics_resets_total": 0})
	must(t, client.ConfigResetStat(t.Context()).Err())
	// More lookups and commands than before the reset: no counter of these fell.
	must(t, client.Set(t.Context(), "there", "x", 0).Err())
	for range 100 {
		must(t, client.Get(t.Context(), "there").Err())
	}
	lookup(t, client, 10)
	check(t, probe.mustPoll(t), map[string]float64{
		"keyspace_hit_ratio": absent, "restarts_total": 0, "server_changes_total": 0, "statistics_resets_total": 1, "keyspace_misses_total": 10,
	})
	lookup(t, client, 1)
	check(t, probe.mustPoll(t), map[string]float64{"keyspace_hit_ratio": 0, "statistics_resets_total": 1, "restarts_total": 0})
}

// A process that started after the last poll is a restart; one that ran before
// already took the place of the other.
func TestRestartAndFailoverAreToldApart(t *testing.T) {
	t.Parallel() // mostly waits
	first, running := startServer(t, nil), startServer(t, nil)
	password := clientOf(t, first.URL()).Options().Password
	standby := clientOf(t, running.URL())
	must(t, standby.ConfigSet(t.Context(), "requirepass", password).Err())
	lookup(t, standby, 50)
	proxy := probetest.NewProxy(t, addressOf(t, first.URL()))
	probe := openNode(t, through(t, first.URL(), proxy), defaults())
	lookup(t, clientOf(t, first.URL()), 5)
	waitFor(t, "an uptime that is longer than its error", func() bool {
		return stats(t, standby).mustNumber(t, "uptime_in_seconds") >= startSlack.Seconds()+2
	})
	probe.mustPoll(t)

	move := func(address string, want map[string]float64) {
		t.Helper()
		proxy.Down()
		if _, err := probe.poll(t); probes.ReasonOf(err) != probes.ReasonConnect {
			t.Errorf("down: %v because of %q", err, probes.ReasonOf(err))
		}
		proxy.Up(address)
		check(t, probe.eventually(t, "the other server is read", reads), want)
	}
	move(addressOf(t, running.URL()), map[string]float64{
		"server_changes_total": 1, "restarts_total": 0, "statistics_resets_total": 0, "keyspace_hit_ratio": absent, "keyspace_misses_total": 50,
	})
	started := startServer(t, nil)
	must(t, clientOf(t, started.URL()).ConfigSet(t.Context(), "requirepass", password).Err())
	move(addressOf(t, started.URL()), map[string]float64{"server_changes_total": 1, "restarts_total": 1, "statistics_resets_total": 0, "keyspace_hit_ratio": absent})
}

func TestWhatHappenedBetweenTwoPolls(t *testing.T) {
	at := time.Unix(100_000, 0)
	state := func(after time.Duration, run string, uptime time.Duration, commands float64) life {
		return life{at: at.Add(after), run: run, uptime: uptime, hasUptime: uptime >= 0, counters: map[string]float64{"total_commands_processed": commands}}
	}
	for name, c := range map[string]struct {
		before, now life
		want        event
	}{
		"nothing":                          {state(0, "a", time.Hour, 10), state(5*time.Second, "a", time.Hour, 20), nothing},
		"reset":                            {state(0, "a", time.Hour, 10), state(5*time.Second, "a", time.Hour, 9), reset},
		"restart":                          {state(0, "a", time.Hour, 10), state(5*time.Second, "b", 3*time.Second, 90), restarted},
		"a restart just before the poll":   {state(0, "a", time.Hour, 10), state(5*time.Second, "b", 6*time.Second, 90), restarted},
		"another that ran":                 {state(0, "a", time.Hour, 10), state(5*time.Second, "b", 8*time.Second, 5), replaced},
		"another that ran, after a gap":    {state(0, "a", time.Hour, 10), state(time.Hour, "b", 2*time.Hour, 500), replaced},
		"another without an uptime":        {state(0, "a", time.Hour, 10), state(5*time.Second, "b", -1, 20), restarted},
		"no run id: goes on":               {state(0, "", time.Hour, 10), state(5*time.Second, "", time.Hour+5*time.Second, 20), nothing},
		"no run id: restart":               {state(0, "", time.Hour, 10), state(5*time.Second, "", 2*time.Second, 20), restarted},
		"no run id: restart after a gap":   {state(0, "", time.Second, 10), state(time.Hour, "", 10*time.Minute, 20), restarted},
		"no run id: reset":                 {state(0, "", time.Hour, 10), state(5*time.Second, "", time.Hour+5*time.Second, 2), reset},
		"no run id, no uptime: counters":   {state(0, "", -1, 10), state(5*time.Second, "", -1, 2), reset},
		"whole seconds of uptime":          {state(0, "", time.Hour, 10), state(1900*time.Millisecond, "", time.Hour, 20), nothing},
		"a counter that is there no more":  {state(0, "a", time.Hour, 10), life{at: at.Add(5 * time.Second), run: "a"}, nothing},
		"a counter that was not there":     {life{at: at, run: "a"}, state(5*time.Second, "a", time.Hour, 10), nothing},
		"the same server with a new run":   {state(0, "a", time.Second, 10), state(time.Second, "b", 0, 10), restarted},
		"a counter that stays as it was":   {state(0, "a", time.Hour, 10), state(5*time.Second, "a", time.Hour, 10), nothing},
		"restarted, and a clock that lags": {state(0, "a", time.Hour, 10), state(10*time.Second, "b", 11*time.Second, 1), restarted},
	} {
		if got := c.now.since(c.before); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// monitoring is the line of deploy/redis-acl.txt for a user of that name, with
// the hash of its password.
func monitoring(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/redis-acl.txt")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 2 && words[0] == "user" {
			words[1], words[3] = name, fmt.Sprintf("#%x", sha256.Sum256([]byte("pw-of-"+name)))
			return words[1:]
		}
	}
	t.Fatal("deploy/redis-acl.txt has no user")
	return nil
}

// openAs makes a node of the user of that name.
func openAs(t *testing.T, server secret.String, name string, config *Config) *oneNode {
	t.Helper()
	return openNode(t, secret.New(fmt.Sprintf("redis://%s:pw-of-%s@%s", name, name, addressOf(t, server))), config)
}

// refusals are what the server's access control refused, but for wrong passwords
// of the default user: those are of a probe of another test, whose server had this
// port before. The users whose rights are tested have names of their own.
func refusals(t *testing.T, admin *goredis.Client) []*goredis.ACLLogEntry {
	t.Helper()
	entries, err := admin.ACLLog(t.Context(), 10).Result()
	must(t, err)
	return slices.DeleteFunc(entries, func(e *goredis.ACLLogEntry) bool { return e.Username == "default" && e.Reason == "auth" })
}

// denied is refusals as text.
func denied(t *testing.T, admin *goredis.Client) []string {
	t.Helper()
	var all []string
	for _, entry := range refusals(t, admin) {
		all = append(all, fmt.Sprintf("%+v", *entry))
	}
	return all
}

func TestTheUserOfTheFileReadsEverything(t *testing.T) {
	server := startServer(t, map[string]string{"user": strings.Join(monitoring(t, "soakd"), " "), "latency-monitor-threshold": "1"})
	admin := clientOf(t, server.URL())
	makeSlow(t, admin)
	probe := openAs(t, server.URL(), "soakd", defaults())
	all := openNode(t, server.URL(), defaults())
	all.mustPoll(t)
	all.mustPoll(t)
	everything := all.mustPoll(t)
	probe.mustPoll(t)
	probe.mustPoll(t)
	before := stats(t, admin).mustNumber(t, "total_error_replies")
	for range 20 {
		got := probe.mustPoll(t)
		for series := range everything.Values {
			if _, ok := got.Values[series]; !ok {
				t.Errorf("the user of deploy/redis-acl.txt does not read %s", series)
			}
		}
	}
	if all := denied(t, admin); len(all) != 0 {
		t.Errorf("denied: %v", all)
	}
	if after := stats(t, admin).mustNumber(t, "total_error_replies"); after != before {
		t.Errorf("%v errors before, %v after", before, after)
	}
	user := clientOf(t, secret.New(fmt.Sprintf("redis://soakd:pw-of-soakd@%s", addressOf(t, server.URL()))))
	for _, command := range [][]any{{"GET", "x"}, {"SET", "x", "y"}, {"DBSIZE"}, {"CONFIG", "GET", "*"}, {"SLOWLOG", "RESET"}, {"LATENCY", "RESET"}, {"KEYS", "*"}, {"ACL", "LIST"}, {"CLIENT", "LIST"}, {"SUBSCRIBE", "x"}} {
		if err := user.Do(t.Context(), command...).Err(); err == nil || !refused(err) {
			t.Errorf("%v is allowed: %v", command, err)
		}
	}
}

// makeSlow makes an event of the latency monitor and an entry of the slow log.
func makeSlow(t *testing.T, admin *goredis.Client) {
	t.Helper()
	must(t, admin.ConfigSet(t.Context(), "slowlog-log-slower-than", "0").Err())
	must(t, admin.Eval(t.Context(), "local s = 0; for i = 1, 3000000 do s = s + i end; return s", nil).Err())
	must(t, admin.ConfigSet(t.Context(), "slowlog-log-slower-than", "5000").Err())
}

func TestEachOptionalRightIsOptional(t *testing.T) {
	server := startServer(t, map[string]string{"latency-monitor-threshold": "1"})
	admin := clientOf(t, server.URL())
	makeSlow(t, admin)
	metricOf := map[string]string{
		"+slowlog|get": "slowlog_entries_total", "+latency|latest": `latency_event_max_seconds{event="command"}`,
		"+latency|histogram": `command_latency_seconds{command="info",percentile="50"}`, "+config|get": "slowlog_threshold_seconds",
	}
	for missing, metric := range metricOf {
		name := "without-" + strings.NewReplacer("+", "", "|", "-").Replace(missing)
		rights := []any{"ACL", "SETUSER", name, "on", ">pw-of-" + name, "+ping", "+info"}
		for right := range metricOf {
			if right != missing {
				rights = append(rights, right)
			}
		}
		must(t, admin.Do(t.Context(), rights...).Err())
		config := defaults()
		config.ReadConfig = true
		probe := openAs(t, server.URL(), name, config)
		before := stats(t, admin).mustNumber(t, "total_error_replies")
		probe.mustPoll(t) // tells that it is Redis 7
		probe.mustPoll(t) // the calls until now are not of the window
		for range 5 {
			got := probe.mustPoll(t)
			for right, other := range metricOf {
				if got.has(other) != (right != missing) {
					t.Errorf("%s: %s is there: %t", name, other, got.has(other))
				}
			}
			if !got.has("memory_used_bytes") || !got.has("ping_seconds") {
				t.Errorf("%s: %v", name, got.Values)
			}
		}
		asked := 1.0
		if metric == "slowlog_threshold_seconds" {
			asked = 2 // for two settings
		}
		if n := stats(t, admin).mustNumber(t, "total_error_replies") - before; n != asked {
			t.Errorf("%s: 7 polls were refused %v times, want %v", name, n, asked)
		}
		// After a while it asks again: rights can be given.
		must(t, admin.Do(t.Context(), "ACL", "SETUSER", name, missing).Err())
		probe.node.now = func() time.Time { return time.Now().Add(refusedRetry) }
		probe.mustPoll(t)
		if got := probe.mustPoll(t); !got.has(metric) {
			t.Errorf("%s: with the right later: no %s", name, metric)
		}
	}
}

func TestThresholdsAreAbsentWhenOff(t *testing.T) {
	server := startServer(t, map[string]string{"slowlog-log-slower-than": "5000", "latency-monitor-threshold": "10"})
	admin := clientOf(t, server.URL())
	config := defaults()
	config.ReadConfig = true
	probe := openNode(t, server.URL(), config)
	check(t, probe.mustPoll(t), map[string]float64{"slowlog_threshold_seconds": 0.005, "latency_monitor_threshold_seconds": 0.01})
	must(t, admin.ConfigSet(t.Context(), "slowlog-log-slower-than", "0").Err())
	check(t, probe.mustPoll(t), map[string]float64{"slowlog_threshold_seconds": 0})
	must(t, admin.ConfigSet(t.Context(), "slowlog-log-slower-than", "-1").Err())
	must(t, admin.ConfigSet(t.Context(), "latency-monitor-threshold", "0").Err())
	check(t, probe.mustPoll(t), map[string]float64{"slowlog_threshold_seconds": absent, "latency_monitor_threshold_seconds": absent})
	check(t, openNode(t, server.URL(), defaults()).mustPoll(t), map[string]float64{"slowlog_threshold_seconds": absent})
}

func TestCommandsErrorsAndLatencyOfARealServer(t *testing.T) {
	server := startServer(t, map[string]string{"latency-monitor-threshold": "1"})
	admin := clientOf(t, server.URL())
	config := defaults()
	config.URL, config.Commands = server.URL(), []string{"get", "lpush", "eval", "config|set"}
	probe := probetest.OpenOne(t, config)
	must(t, admin.Ping(t.Context()).Err()) // the greeting of this client makes errors of its own
	var before reader
	for range 2 { // with the second it is known to be Redis 7, and asked for more
		values, err := probetest.Poll(t, probe, 5*time.Second)
		must(t, err)
		before = reader{values, addressOf(t, server.URL())}
	}
	lookup(t, admin, 7)
	must(t, admin.Set(t.Context(), "text", "x", time.Hour).Err())
	_ = admin.LPush(t.Context(), "text", "x").Err()       // WRONGTYPE: runs and fails
	_ = admin.Do(t.Context(), "GET").Err()                // ERR: rejected
	_ = admin.Do(t.Context(), "GET", "a", "b", "c").Err() // ERR: rejected
	makeSlow(t, admin)
	values := probetest.Eventually(t, probe, "the server's own rounds", func(values probetest.Values, err error) bool {
		got := reader{values, addressOf(t, server.URL())}
		return err == nil && got.has(`average_ttl_seconds{db="0"}`) && got.get("client_max_input_buffer_bytes") > 0 && got.get(`memory_part_bytes{part="clients"}`) > 0
	})
	got := reader{values, addressOf(t, server.URL())}
	check(t, got, map[string]float64{
		`command_calls_total{command="get"}`: 7, `command_rejected_calls_total{command="get"}`: 2, `command_failed_calls_total{command="get"}`: 0,
		`command_calls_total{command="lpush"}`: 1, `command_failed_calls_total{command="lpush"}`: 1, `command_calls_total{command="config|set"}`: 2,
		`errors_total{kind="wrongtype"}`: 1, `errors_total{kind="err"}`: max(0, before.get(`errors_total{kind="err"}`)) + 2,
		"error_replies_total": before.get("error_replies_total") + 3,
		`keys{db="0"}`:        1, `expiring_keys{db="0"}`: 1, "slowlog_entries_total": 2, `role{role="master"}`: 1, "aof_enabled": 0, "cached_scripts": 1,
	})
	for name, most := range map[string]float64{
		`command_seconds_total{command="eval"}`: 60, `latency_event_last_seconds{event="command"}`: 60, `latency_event_max_seconds{event="command"}`: 60,
		`command_latency_seconds{command="eval",percentile="99"}`: 60, `command_latency_seconds{command="get",percentile="50"}`: 1,
		`command_latency_seconds{command="config|set",percentile="99.9"}`: 1,
		`average_ttl_seconds{db="0"}`:                                     3600, `main_thread_cpu_seconds_total{mode="user"}`: 60, "memory_peak_bytes": 1 << 30, `memory_allocator_bytes{state="active"}`: 1 << 30,
		`memory_part_bytes{part="dataset"}`: 1 << 30, "memory_lua_bytes": 1 << 30, "client_max_input_buffer_bytes": 1 << 20, `memory_part_bytes{part="clients"}`: 1 << 20,
	} {
		if value := got.get(name); value <= 0 || value > most {
			t.Errorf("%s is %v, want above 0 and at most %v", name, value, most)
		}
	}
	// The script adds up three million numbers: a millisecond is not enough for it.
	if slowest := got.get(`command_latency_seconds{command="eval",percentile="50"}`); slowest < 0.001 {
		t.Errorf("half of the scripts took at most %v s", slowest)
	}
	if event := got.get(`latency_event_last_timestamp_seconds{event="command"}`); time.Since(time.Unix(int64(event), 0)).Abs() > time.Minute {
		t.Errorf("the event was at %v", event)
	}
}

// A busy script and a replica without its master answer that they cannot serve;
// wrong passwords and missing rights are the fault of who asks.
func TestReasonsOfARealServer(t *testing.T) {
	server := startServer(t, map[string]string{"lua-time-limit": "10", "replica-serve-stale-data": "no"})
	admin, address := clientOf(t, server.URL()), addressOf(t, server.URL())
	must(t, admin.Do(t.Context(), "ACL", "SETUSER", "pinger", "on", ">pw", "+ping").Err())
	must(t, admin.Do(t.Context(), "ACL", "SETUSER", "reader", "on", ">pw", "+info").Err())
	for url, want := range map[string]probes.Reason{
		"redis://" + address:                         probes.ReasonAuth,
		"redis://:wrong@" + address:                  probes.ReasonAuth,
		"redis://nobody:wrong@" + address:            probes.ReasonAuth,
		"redis://pinger:pw@" + address:               probes.ReasonPermission,
		"redis://reader:pw@" + address:               probes.ReasonPermission,
		"redis://127.0.0.1:1":                        probes.ReasonConnect,
		"redis://" + fakeServer(t, ":1\r\n"):         probes.ReasonProtocol,
		"redis://" + fakeServer(t, "HTTP/1.1 4\r\n"): probes.ReasonProtocol,
	} {
		if _, err := openNode(t, secret.New(url), defaults()).poll(t); probes.ReasonOf(err) != want {
			t.Errorf("%s: %v because of %q, want %q", strings.ReplaceAll(url, address, "..."), err, probes.ReasonOf(err), want)
		}
	}

	probe := openNode(t, server.URL(), defaults())
	probe.mustPoll(t)
	busy := make(chan error)
	go func() {
		options := *admin.Options()
		options.ReadTimeout = time.Minute
		client := goredis.NewClient(&options)
		defer client.Close() //nolint:errcheck // the server is stopped with the test
		busy <- client.Eval(context.Background(), "while true do end", nil).Err()
	}()
	probe.eventually(t, "the script keeps the server busy", func(_ reader, err error) bool {
		return err != nil && strings.Contains(err.Error(), "BUSY") && probes.ReasonOf(err) == probes.ReasonUnavailable
	})
	must(t, admin.ScriptKill(t.Context()).Err())
	if err := <-busy; err == nil {
		t.Error("the script ended by itself")
	}
	probe.eventually(t, "goes on", reads)

	must(t, admin.ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
	got, err := probe.poll(t)
	if probes.ReasonOf(err) != probes.ReasonUnavailable || !strings.Contains(err.Error(), "PING: MASTERDOWN") {
		t.Errorf("a replica without its master: %v because of %q", err, probes.ReasonOf(err))
	}
	check(t, got, map[string]float64{`role{role="replica"}`: 1, "master_link_up": 0, "master_last_io_seconds": absent, "ping_seconds": absent})
}

func TestReplyReasons(t *testing.T) {
	for reply, want := range map[string]probes.Reason{
		"NOAUTH Authentication required.":                                                  probes.ReasonAuth,
		"WRONGPASS invalid username-password pair or user is disabled.":                    probes.ReasonAuth,
		"ERR invalid password":                                                             probes.ReasonAuth,
		"ERR AUTH <password> called without any password configured for the default user.": probes.ReasonAuth,
		"ERR Client sent AUTH, but no password is set":                                     probes.ReasonAuth,
		"NOPERM this user has no permissions to run the 'info' command":                    probes.ReasonPermission,
		"DENIED Redis is running in protected mode":                                        probes.ReasonPermission,
		"ERR unknown command 'INFO', with args beginning with: ":                           probes.ReasonPermission,
		"ERR Unknown subcommand or wrong number of arguments for 'LATEST'":                 probes.ReasonPermission,
		"LOADING Redis is loading the dataset in memory":                                   probes.ReasonUnavailable,
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": probes.ReasonUnavailable,
		"CLUSTERDOWN The cluster is down":                                                  probes.ReasonUnavailable,
		"BUSY Redis is busy running a script.":                                             probes.ReasonUnavailable,
		"ERR max number of clients reached":                                                probes.ReasonUnavailable,
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to":  probes.ReasonUnavailable,
		"READONLY You can't write against a read only replica.":                            probes.ReasonUnavailable,
		"OOM command not allowed when used memory > 'maxmemory'.":                          probes.ReasonUnavailable,
		"ERR Protocol error: invalid bulk length":                                          probes.ReasonProtocol,
		"ERR syntax error": probes.ReasonOther,
		"WRONGTYPE Operation against a key holding the wrong kind of value": probes.ReasonOther,
		"": probes.ReasonOther,
	} {
		if got := replyReason(reply); got != want {
			t.Errorf("%s: %q, want %q", reply, got, want)
		}
	}
	for err, want := range map[error]probes.Reason{
		fmt.Errorf("x: %w", errLargeAnswer):           probes.ReasonProtocol,
		errors.New(`redis: can't parse "x"`):          probes.ReasonProtocol,
		fmt.Errorf("x: %w", goredis.ErrPoolTimeout):   probes.ReasonTimeout,
		fmt.Errorf("x: %w", context.DeadlineExceeded): probes.ReasonTimeout,
		errors.New("something"):                       probes.ReasonOther,
		fmt.Errorf("x: %w", goredis.Nil):              probes.ReasonOther,
	} {
		if got := probes.ReasonOf(because(err)); got != want || because(err).Error() != err.Error() {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if because(nil) != nil {
		t.Error("no error became one")
	}
}

func TestHowInfoIsAsked(t *testing.T) {
	var s sections
	if len(s.names()) != 1 || s.names()[0] != "all" {
		t.Errorf("first %v", s.names())
	}
	s.choose(info{"redis_version": "6.2.7"})
	if s.form != formAll {
		t.Error("Redis 6 takes one section")
	}
	s.choose(info{"redis_version": "7.0.15"})
	if s.form != formSections || len(s.names()) != 11 {
		t.Errorf("Redis 7: %v", s.names())
	}
	for i, want := range []form{formAll, formPlain} {
		if !s.refused(replyError("ERR syntax error")) || s.form != want {
			t.Errorf("refusal %d: %v", i, s.form)
		}
		s.choose(info{"redis_version": "7.4.0"}) // as Dragonfly says
		if s.form != want {
			t.Errorf("asked again for sections after refusal %d", i)
		}
	}
	for _, err := range []error{nil, replyError("ERR syntax error"), replyError("LOADING x"), replyError("NOPERM x"), context.DeadlineExceeded} {
		if s.refused(err) {
			t.Errorf("%v: there is no other way left", err)
		}
	}
	// When no way is left it is not for the way: a proxy's fault that passes must not
	// leave the server without the statistics of its commands.
	if s.form != formAll || !s.one {
		t.Errorf("after the last refusal: %v", s)
	}
	if s = (sections{}); s.refused(replyError("NOPERM x")) || s.refused(replyError("LOADING x")) || s.refused(context.Canceled) {
		t.Error("asks in another way for an error that it will not help")
	}
}

type replyError string

func (e replyError) Error() string { return string(e) }
func (replyError) RedisError()     {}

func TestCommandsAreValidated(t *testing.T) {
	many := make([]string, maxCommands+1)
	for i := range many {
		many[i] = fmt.Sprint("command", i)
	}
	for want, commands := range map[string][]string{
		`"GET" is not the name of a command in lower case`: {"get", "GET"},
		`"get" is there twice`:                             {"get", "set", "get"},
		`"other" is the name for all that are not listed`:  {"other"},
		`"" is not the name`:                               {""},
		`"a b" is not the name`:                            {"a b"},
		"51 commands; want at most 50":                     many,
	} {
		err := validateCommands(commands)
		if err == nil || !strings.HasPrefix(err.Error(), "SOAKD_REDIS_COMMANDS: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.3q: %v, want %s", commands, err, want)
		}
	}
	if err := errors.Join(validateCommands(nil), validateCommands([]string{"get", "config|get", "json.set"}), validateCommands(defaults().Commands)); err != nil {
		t.Error(err)
	}
}

// A replica that loads its copy answers INFO and nothing else, and heals by
// itself; both sides then tell of the replication.
func TestReplicaThatLoadsItsCopy(t *testing.T) {
	t.Parallel() // mostly waits
	master := startServer(t, map[string]string{"repl-diskless-sync-delay": "0"})
	copied := startServer(t, map[string]string{"key-load-delay": "5000", "loading-process-events-interval-bytes": "1024"}) // 5 ms a key
	source, admin := clientOf(t, master.URL()), clientOf(t, copied.URL())
	for i := range 4000 { // 20 s of loading, had it to be waited for
		must(t, source.Set(t.Context(), fmt.Sprint("key", i), strings.Repeat("x", 100), 0).Err())
	}
	must(t, admin.ConfigSet(t.Context(), "masterauth", source.Options().Password).Err())
	host, port, _ := strings.Cut(addressOf(t, master.URL()), ":")
	must(t, admin.ReplicaOf(t.Context(), host, port).Err())

	probe := openNode(t, copied.URL(), defaults())
	got := probe.eventually(t, "the copy is loaded", func(got reader, err error) bool {
		// It can begin between INFO and PING.
		return err != nil && strings.Contains(err.Error(), "LOADING") && got.get("loading") == 1
	})
	check(t, got, map[string]float64{"loading": 1, "ping_seconds": absent, `role{role="replica"}`: 1, "master_link_up": 0})
	if _, err := probe.poll(t); probes.ReasonOf(err) != probes.ReasonUnavailable {
		t.Errorf("loading: %v because of %q", err, probes.ReasonOf(err))
	}
	must(t, admin.ConfigSet(t.Context(), "key-load-delay", "0").Err())
	got = probe.eventually(t, "the copy is there", func(got reader, err error) bool { return err == nil && got.get("master_link_up") == 1 })
	check(t, got, map[string]float64{"loading": 0, `keys{db="0"}`: 4000, "restarts_total": 0, "statistics_resets_total": 0, "replication_unapplied_bytes": 0})

	must(t, source.Set(t.Context(), "one", "more", 0).Err())
	seen := openNode(t, master.URL(), defaults()).eventually(t, "the replica acknowledges", func(got reader, err error) bool {
		return err == nil && got.get("replication_offset_bytes") > 0 && got.get(`replica_lag_bytes{replica="0"}`) == 0
	})
	check(t, seen, map[string]float64{
		"connected_replicas": 1, `replica_online{replica="0"}`: 1, `role{role="master"}`: 1, "master_link_up": absent,
		`replication_syncs_total{kind="full"}`: 1,
	})
	// The master says PING from time to time, in 14 bytes.
	written, applied := seen.get("replication_offset_bytes"), probe.mustPoll(t).get("replication_offset_bytes")
	if behind := written - applied; written <= 0 || behind > 100 || behind < -100 {
		t.Errorf("the master wrote %v bytes, the replica has %v", written, applied)
	}
	if lag := seen.get(`replica_lag_seconds{replica="0"}`); lag < 0 || lag > 5 {
		t.Errorf("the replica lags %v s", lag)
	}
}

// A command and its subcommand may both be wanted: LATENCY HISTOGRAM answers a
// command with each of its subcommands.
func TestACommandAndItsSubcommand(t *testing.T) {
	server := startServer(t, nil)
	admin := clientOf(t, server.URL())
	config := defaults()
	config.Commands = []string{"config|get", "config", "get"}
	probe := openNode(t, server.URL(), config)
	probe.mustPoll(t)
	must(t, admin.ConfigGet(t.Context(), "port").Err())
	probe.mustPoll(t)
	must(t, admin.ConfigGet(t.Context(), "port").Err())
	got := probe.mustPoll(t)
	if seconds := got.get(`command_latency_seconds{command="config|get",percentile="50"}`); seconds <= 0 || seconds > 1 {
		t.Errorf("half of the calls took at most %v s", seconds)
	}
	check(t, got, map[string]float64{`command_calls_total{command="config|get"}`: 2, `command_calls_total{command="config"}`: absent})
}

// The round trip is that of an open connection, or there is none.
func TestPingOnANewConnectionIsNoRoundTrip(t *testing.T) {
	server := startServer(t, nil)
	probe := openNode(t, server.URL(), defaults())
	probe.mustPoll(t)
	admin := clientOf(t, server.URL())
	var reading probes.Reading
	must(t, probe.node.readPing(t.Context(), probe.client, &reading))
	if got := (reader{probetest.ValuesOf(t, probe, reading), probe.node.name}); !got.has("ping_seconds") {
		t.Error("an open connection has no round trip")
	}
	must(t, admin.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err())
	waitFor(t, "the connection to be known as dead", func() bool {
		reading = probes.Reading{}
		return probe.node.readPing(t.Context(), probe.client, &reading) == nil
	})
	if len(reading.Samples) != 0 {
		t.Errorf("with the time to connect: %v", reading.Samples)
	}
}
