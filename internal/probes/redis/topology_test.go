package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// testPassword is that of every server of a group.
const testPassword = "s3cr3t-of-the-group"

// group are servers that belong together.
type group struct {
	servers []*localservices.Redis
	clients []*goredis.Client
}

// startGroup starts n servers at the same time. settings makes those of one.
func startGroup(t *testing.T, n int, start func(context.Context, localservices.Options) (*localservices.Redis, error), settings func() map[string]string) *group {
	t.Helper()
	g := &group{servers: make([]*localservices.Redis, n)}
	errs := make([]error, n)
	// Another server can have taken the port of the cluster's bus meanwhile.
	for try := 0; try < 3 && slices.Contains(g.servers, nil); try++ {
		var starting sync.WaitGroup
		for i := range n {
			if g.servers[i] != nil {
				continue
			}
			all := map[string]string{"requirepass": testPassword}
			maps.Copy(all, settings())
			starting.Go(func() {
				g.servers[i], errs[i] = startOne(t.Context(), start, localservices.Options{Mode: localservices.System, MaxMemory: "4mb", Settings: all})
			})
		}
		starting.Wait()
	}
	for _, server := range g.servers {
		if server != nil {
			t.Cleanup(func() {
				_ = syscall.Kill(server.PID(), syscall.SIGCONT)
				if err := server.Stop(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	must(t, errors.Join(errs...))
	for _, server := range g.servers {
		g.clients = append(g.clients, clientOf(t, server.URL()))
	}
	return g
}

// startOne starts a server that is the one at its address: all groups have the same
// password, so that one which lost its port to another can be taken for that one.
func startOne(ctx context.Context, start func(context.Context, localservices.Options) (*localservices.Redis, error), options localservices.Options) (*localservices.Redis, error) {
	server, err := start(ctx, options)
	if err != nil {
		return nil, err
	}
	address, err := goredis.ParseURL(server.URL().Value())
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	client := goredis.NewClient(address)
	defer client.Close() //nolint:errcheck // only asks who is there
	text, err := client.Info(ctx, "server").Result()
	if own := fmt.Sprintf("process_id:%d\r\n", server.PID()); err != nil || !strings.Contains(text, own) {
		return nil, errors.Join(fmt.Errorf("who is at %s, %w; want %s in %s", address.Addr, cmp.Or(err, errors.New("another")), own, text), server.Stop())
	}
	return server, nil
}

func (g *group) address(i int) string { return g.clients[i].Options().Addr }

// of gives the values of one server.
func (g *group) of(values probetest.Values, i int) reader { return reader{values, g.address(i)} }

func (g *group) signal(t *testing.T, i int, s syscall.Signal) {
	t.Helper()
	must(t, syscall.Kill(g.servers[i].PID(), s))
}

// shardOf returns what the probe says that a node is.
func shardOf(values probetest.Values, node string) (role, shard string) {
	for series := range values {
		rest, ok := strings.CutPrefix(series, fmt.Sprintf("soakd_redis_node_info{node=%q,role=\"", node))
		if ok {
			role, rest, _ = strings.Cut(rest, `",shard="`)
			return role, strings.TrimSuffix(rest, `"}`)
		}
	}
	return "", ""
}

// openMode opens a probe of a mode.
func openMode(t *testing.T, mode, url string) *probe {
	t.Helper()
	config := defaults()
	config.Mode, config.URL = mode, secret.New(url)
	return probetest.OpenOne(t, config).(*probe)
}

// startSentinels starts a master, a replica and three sentinels.
func startSentinels(t *testing.T) (servers, watchers *group) {
	t.Helper()
	ctx := t.Context()
	servers = startGroup(t, 2, localservices.StartRedis, func() map[string]string {
		return map[string]string{"masterauth": testPassword, "repl-diskless-sync-delay": "0"}
	})
	host, port, _ := net.SplitHostPort(servers.address(0))
	must(t, servers.clients[1].ReplicaOf(ctx, host, port).Err())
	waitFor(t, "the replica to be in step", func() bool {
		return strings.Contains(servers.clients[1].Info(ctx, "replication").Val(), "master_link_status:up")
	})
	watchers = startGroup(t, 3, localservices.StartSentinel, func() map[string]string { return nil })
	for _, sentinel := range watchers.clients {
		must(t, sentinel.Do(ctx, "SENTINEL", "MONITOR", "main", host, port, 2).Err())
		must(t, sentinel.Do(ctx, "SENTINEL", "SET", "main", "auth-pass", testPassword, "down-after-milliseconds", 500, "failover-timeout", 2000).Err())
	}
	return servers, watchers
}

func sentinelURL(watchers *group) string {
	return fmt.Sprintf("redis://:%s@%s?addr=%s&addr=%s&master_name=main&password=%s", testPassword, watchers.address(0), watchers.address(1), watchers.address(2), testPassword)
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel() // mostly waits for servers to agree
	servers, watchers := startSentinels(t)
	probe := openMode(t, modeSentinel, sentinelURL(watchers))
	probetest.CheckDescriptions(t, probe)
	settled := func(values probetest.Values, err error) bool {
		for i := range watchers.clients {
			at := watchers.address(i)
			if values[fmt.Sprintf("soakd_redis_sentinel_other_sentinels{sentinel=%q}", at)] != 2 || values[fmt.Sprintf("soakd_redis_sentinel_quorum_reached{sentinel=%q}", at)] != 1 ||
				values[fmt.Sprintf("soakd_redis_sentinel_known_replicas{sentinel=%q}", at)] != 1 {
				return false
			}
		}
		return err == nil
	}
	values := probetest.Eventually(t, probe, "the sentinels know one another", settled)
	for i := range watchers.clients {
		for series, want := range map[string]float64{
			"up{sentinel=%q}": 1, "masters{sentinel=%q}": 1, "quorum{sentinel=%q}": 2, "failover_in_progress{sentinel=%q}": 0,
			`master_status{sentinel=%q,status="ok"}`: 1, `master_status{sentinel=%q,status="sdown"}`: 0, `master_status{sentinel=%q,status="odown"}`: 0,
		} {
			name := "soakd_redis_sentinel_" + fmt.Sprintf(series, watchers.address(i))
			if got, ok := values[name]; !ok || got != want {
				t.Errorf("%s is %v (there: %t), want %v", name, got, ok, want)
			}
		}
	}
	current := func(values probetest.Values) string {
		for i := range servers.clients {
			if values[fmt.Sprintf("soakd_redis_sentinel_master_info{master=\"main\",node=%q}", servers.address(i))] == 1 {
				return servers.address(i)
			}
		}
		return ""
	}
	failovers := func(values probetest.Values) float64 { return values["soakd_redis_sentinel_failovers_total"] }
	role, shard := shardOf(values, servers.address(0))
	other, _ := shardOf(values, servers.address(1))
	if current(values) != servers.address(0) || failovers(values) != 0 || role != roleMaster || shard != "0" || other != roleReplica {
		t.Errorf("master %s, failovers %v, roles %s and %s", current(values), failovers(values), role, other)
	}
	for i := range servers.clients {
		if got := servers.of(values, i); got.get("node_up") != 1 || got.get("memory_used_bytes") <= 0 {
			t.Errorf("server %d: %v", i, values)
		}
	}

	servers.signal(t, 0, syscall.SIGKILL)
	values = probetest.Eventually(t, probe, "the killed master fails the probe in part", func(_ probetest.Values, err error) bool { return err != nil })
	if got := servers.of(values, 0); got.get("node_up") != 0 || got.has("memory_used_bytes") || servers.of(values, 1).get("node_up") != 1 {
		t.Errorf("the master is killed: %v", values)
	}
	values = probetest.Eventually(t, probe, "the new master", func(values probetest.Values, err error) bool {
		return err == nil && current(values) == servers.address(1)
	})
	role, _ = shardOf(values, servers.address(1))
	if failovers(values) != 1 || role != roleMaster || servers.of(values, 1).get("node_up") != 1 || servers.of(values, 0).get("node_up") != 0 {
		t.Errorf("after the fail-over: %v", values)
	}

	// Sentinels tell one another every two seconds. The last one must know before it is
	// the last, or it holds the killed server for the master for ever.
	_, newPort, _ := net.SplitHostPort(servers.address(1))
	waitFor(t, "all sentinels to know the new master", func() bool {
		return !slices.ContainsFunc(watchers.clients, func(client *goredis.Client) bool {
			at, _ := client.Do(t.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").StringSlice()
			return !slices.Contains(at, newPort)
		})
	})

	// A sentinel that is gone costs nothing but its own series; one is too few for a quorum.
	watchers.signal(t, 0, syscall.SIGKILL)
	watchers.signal(t, 1, syscall.SIGSTOP)
	last := watchers.address(2)
	values = probetest.Eventually(t, probe, "the last sentinel has no quorum", func(values probetest.Values, _ error) bool {
		reached, ok := values[fmt.Sprintf("soakd_redis_sentinel_quorum_reached{sentinel=%q}", last)]
		return ok && reached == 0
	})
	for i, want := range []float64{0, 0, 1} {
		if got := values[fmt.Sprintf("soakd_redis_sentinel_up{sentinel=%q}", watchers.address(i))]; got != want {
			t.Errorf("sentinel %d: up is %v, want %v", i, got, want)
		}
	}
	// It may have learnt of the fail-over just now, and not yet hold the killed server for down.
	values = probetest.Eventually(t, probe, "one sentinel of three is enough", func(_ probetest.Values, err error) bool { return err == nil })
	if servers.of(values, 1).get("node_up") != 1 {
		t.Errorf("two sentinels of three are gone: %v", values)
	}
	watchers.signal(t, 2, syscall.SIGKILL)
	values, err := probetest.Poll(t, probe, 2*time.Second)
	if role, _ := shardOf(values, servers.address(1)); err == nil || servers.of(values, 1).get("node_up") != 1 || role != "" || strings.Contains(err.Error(), testPassword) {
		t.Errorf("no sentinel is left: %v, %v", err, values)
	}
	for i := range watchers.clients {
		if up, ok := values[fmt.Sprintf("soakd_redis_sentinel_up{sentinel=%q}", watchers.address(i))]; !ok || up != 0 {
			t.Errorf("no sentinel is left, and sentinel %d: up is %v (there: %t), want 0", i, up, ok)
		}
	}
}

func TestSentinelReasons(t *testing.T) {
	t.Parallel() // mostly waits for servers to agree
	servers, watchers := startSentinels(t)
	for name, c := range map[string]struct {
		url  string
		want probes.Reason
	}{
		"another master":     {strings.Replace(sentinelURL(watchers), "=main", "=none", 1), probes.ReasonMissing},
		"sentinel's login":   {strings.Replace(sentinelURL(watchers), testPassword, "wrong", 1), probes.ReasonAuth},
		"servers' login":     {strings.Replace(sentinelURL(watchers), "&password="+testPassword, "&password=wrong", 1), probes.ReasonAuth},
		"a server":           {fmt.Sprintf("redis://:%s@%s?master_name=main", testPassword, servers.address(0)), probes.ReasonPermission},
		"nobody":             {"redis://127.0.0.1:1?master_name=main", probes.ReasonConnect},
		"right, for control": {sentinelURL(watchers), ""},
	} {
		if _, err := probetest.Poll(t, openMode(t, modeSentinel, c.url), 2*time.Second); probes.ReasonOf(err) != c.want {
			t.Errorf("%s: %q, %v; want %q", name, probes.ReasonOf(err), err, c.want)
		}
	}
	// One sentinel with another password is a fault; what the others tell is known.
	ctx := t.Context()
	must(t, watchers.clients[0].Do(ctx, "ACL", "SETUSER", "default", "resetpass", ">another").Err())
	values, err := probetest.Poll(t, openMode(t, modeSentinel, sentinelURL(watchers)), 2*time.Second)
	if role, _ := shardOf(values, servers.address(0)); role != roleMaster || probes.ReasonOf(err) != probes.ReasonAuth {
		t.Errorf("one sentinel has another password: role %q, %v", role, err)
	}
	leastRightsOfSentinels(t, servers, watchers)

	// The passwords from settings, with the servers' before the host.
	config := defaults()
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte("old\n"), 0o600))
	config.Mode, config.SentinelPasswordFile = modeSentinel, file
	config.URL = secret.New(fmt.Sprintf("redis://:%s@%s?master_name=main", testPassword, watchers.address(1)))
	probe := probetest.OpenOne(t, config)
	if _, err := probetest.Poll(t, probe, 2*time.Second); probes.ReasonOf(err) != probes.ReasonAuth {
		t.Errorf("the old password: %v", err)
	}
	must(t, os.WriteFile(file, []byte(testPassword+"\n"), 0o600))
	probetest.Eventually(t, probe, "the new password of the sentinel", func(_ probetest.Values, err error) bool { return err == nil })
}

// leastRightsOfSentinels reads with the rights that deploy/redis-acl.txt names.
func leastRightsOfSentinels(t *testing.T, servers, watchers *group) {
	t.Helper()
	ctx := t.Context()
	user := []any{"ACL", "SETUSER", "least", "on", ">pw", "-@all", "+info", "+sentinel|master", "+sentinel|replicas", "+sentinel|ckquorum"}
	must(t, watchers.clients[1].Do(ctx, user...).Err())
	url := fmt.Sprintf("redis://least:pw@%s?master_name=main&password=%s", watchers.address(1), testPassword)
	values := mustPollAll(t, openMode(t, modeSentinel, url))
	for _, name := range []string{"up", "masters", "quorum", "quorum_reached", "known_replicas"} {
		if _, ok := values[fmt.Sprintf("soakd_redis_sentinel_%s{sentinel=%q}", name, watchers.address(1))]; !ok {
			t.Errorf("with the least rights: no %s", name)
		}
	}
	for _, entry := range refusals(t, watchers.clients[1]) { // other polls of this test had wrong passwords
		if entry.Username == "least" {
			t.Errorf("denied: %+v", *entry)
		}
	}
}

// leastRightsOfACluster reads with the rights that deploy/redis-acl.txt names.
func leastRightsOfACluster(t *testing.T, g *group) {
	t.Helper()
	line := monitoring(t, "least")
	for _, client := range g.clients {
		command := []any{"ACL", "SETUSER"}
		for _, word := range append(slices.Clone(line), "+cluster|info", "+cluster|nodes") {
			command = append(command, word)
		}
		must(t, client.Do(t.Context(), command...).Err())
	}
	probe := openMode(t, modeCluster, fmt.Sprintf("redis://least:pw-of-least@%s", g.address(0)))
	mustPollAll(t, probe)
	values := mustPollAll(t, probe)
	for i, client := range g.clients {
		if got := g.of(values, i); got.get("cluster_state_ok") != 1 || !got.has("cluster_owned_slots") || !got.has("slowlog_entries_total") {
			t.Errorf("server %d: %v", i, values)
		}
		if all := denied(t, client); len(all) != 0 {
			t.Errorf("server %d denied: %v", i, all)
		}
	}
}

// startCluster starts three masters with a replica each: i has the slots of a third,
// i+3 copies i.
func startCluster(t *testing.T) *group {
	t.Helper()
	ctx := t.Context()
	g := startGroup(t, 6, localservices.StartRedis, func() map[string]string {
		return map[string]string{
			"cluster-enabled": "yes", "cluster-port": unusedPort(t), "cluster-node-timeout": "1000", "masterauth": testPassword,
			"repl-diskless-sync-delay": "0", "cluster-require-full-coverage": "no",
		}
	})
	step := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("make the cluster: %s: %v", what, err)
		}
	}
	for i, client := range g.clients[:3] {
		step("CLUSTER ADDSLOTSRANGE", client.ClusterAddSlotsRange(ctx, i*allSlots/3, (i+1)*allSlots/3-1).Err())
	}
	for i := 1; i < 6; i++ {
		_, port, _ := net.SplitHostPort(g.address(i))
		bus := g.clients[i].ConfigGet(ctx, "cluster-port").Val()["cluster-port"]
		step("CLUSTER MEET "+port+" "+bus, g.clients[0].Do(ctx, "CLUSTER", "MEET", "127.0.0.1", port, bus).Err())
	}
	g.await(t, "all to know one another", "cluster_known_nodes:6")
	for i := 3; i < 6; i++ {
		id := g.clients[i-3].ClusterMyID(ctx).Val()
		waitFor(t, "the replica to know its master", func() bool { return g.clients[i].ClusterReplicate(ctx, id).Err() == nil })
	}
	g.await(t, "the slots to be known", "cluster_state:ok")
	for i := 3; i < 6; i++ {
		waitFor(t, "the replica to be in step", func() bool {
			return strings.Contains(g.clients[i].Info(ctx, "replication").Val(), "master_link_status:up")
		})
	}
	waitFor(t, "all to know the roles", func() bool {
		return !slices.ContainsFunc(g.clients, func(client *goredis.Client) bool {
			return strings.Count(client.ClusterNodes(ctx).Val(), "slave") != 3
		})
	})
	return g
}

func (g *group) await(t *testing.T, what, text string) {
	t.Helper()
	waitFor(t, what, func() bool {
		return !slices.ContainsFunc(g.clients, func(client *goredis.Client) bool {
			return !strings.Contains(client.ClusterInfo(t.Context()).Val(), text)
		})
	})
}

func unusedPort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close() //nolint:errcheck // the port stays free for the moment it takes
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

func clusterURL(g *group) string {
	return fmt.Sprintf("redis://:%s@%s?addr=%s", testPassword, g.address(0), g.address(4))
}

func TestClusterIsReadNodeByNode(t *testing.T) {
	t.Parallel() // mostly waits for servers to agree
	g := startCluster(t)
	ctx := t.Context()
	probe := openMode(t, modeCluster, clusterURL(g))
	values, err := probetest.Poll(t, probe, 5*time.Second)
	must(t, err)
	for i := range 6 {
		got := g.of(values, i)
		role, shard := shardOf(values, g.address(i))
		wantRole, wantSlots := roleMaster, float64((i+1)*allSlots/3-i*allSlots/3)
		if i >= 3 {
			wantRole, wantSlots = roleReplica, 0
		}
		if role != wantRole || shard != fmt.Sprint(i%3) {
			t.Errorf("server %d: %s of shard %s", i, role, shard)
		}
		check(t, got, map[string]float64{
			"node_up": 1, "cluster_state_ok": 1, "cluster_known_nodes": 6, "cluster_size": 3, "cluster_owned_slots": wantSlots,
			"cluster_migrating_slots": 0, "cluster_importing_slots": 0,
			`cluster_slots{state="assigned"}`: allSlots, `cluster_slots{state="ok"}`: allSlots, `cluster_slots{state="pfail"}`: 0, `cluster_slots{state="fail"}`: 0,
		})
		if got.get("cluster_current_epoch") <= 0 || got.get(`cluster_messages_total{direction="sent"}`) <= 0 || got.get(`cluster_messages_total{direction="received"}`) <= 0 {
			t.Errorf("server %d: %v", i, values)
		}
		clients := g.clients[i].ClientList(ctx).Val()
		if n := strings.Count(clients, "cmd=cluster|nodes") + strings.Count(clients, "cmd=ping"); n > 1 {
			t.Errorf("server %d: %d connections of the probe:\n%s", i, n, clients)
		}
	}

	// Hit ratios are those of each server: slots 0 and 16383 are of the first and the third.
	must(t, g.clients[0].Set(ctx, keyOf(t, g, 0), "x", 0).Err())
	for range 3 {
		must(t, g.clients[0].Get(ctx, keyOf(t, g, 0)).Err())
	}
	_ = g.clients[2].Get(ctx, keyOf(t, g, 2)).Err()
	values, err = probetest.Poll(t, probe, 5*time.Second)
	must(t, err)
	for i, want := range []float64{1, absent, 0} {
		check(t, g.of(values, i), map[string]float64{"keyspace_hit_ratio": want})
	}
	moveSlot(t, g, probe)
	leastRightsOfACluster(t, g)
}

// keyOf returns a key of the first slots of a master.
func keyOf(t *testing.T, g *group, master int) string {
	t.Helper()
	for i := range 1000 {
		key := fmt.Sprintf("key%d", i)
		slot := g.clients[0].ClusterKeySlot(t.Context(), key).Val()
		if slot >= int64(master*allSlots/3) && slot < int64((master+1)*allSlots/3) {
			return key
		}
	}
	t.Fatal("no key of the master")
	return ""
}

// moveSlot moves a slot with its key from the first master to the second.
func moveSlot(t *testing.T, g *group, probe *probe) {
	t.Helper()
	ctx := t.Context()
	key := keyOf(t, g, 0)
	slot := g.clients[0].ClusterKeySlot(ctx, key).Val()
	from, to := g.clients[0].ClusterMyID(ctx).Val(), g.clients[1].ClusterMyID(ctx).Val()
	must(t, g.clients[1].Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", from).Err())
	must(t, g.clients[0].Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", to).Err())
	values, err := probetest.Poll(t, probe, 5*time.Second)
	must(t, err)
	check(t, g.of(values, 0), map[string]float64{"cluster_migrating_slots": 1, "cluster_importing_slots": 0})
	check(t, g.of(values, 1), map[string]float64{"cluster_migrating_slots": 0, "cluster_importing_slots": 1})

	host, port, _ := net.SplitHostPort(g.address(1))
	must(t, g.clients[0].Do(ctx, "MIGRATE", host, port, "", 0, 5000, "AUTH", testPassword, "KEYS", key).Err())
	for _, i := range []int{1, 0, 2} {
		must(t, g.clients[i].Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", to).Err())
	}
	values, err = probetest.Poll(t, probe, 5*time.Second)
	must(t, err)
	first, second := float64(allSlots/3), float64(2*allSlots/3-allSlots/3)
	check(t, g.of(values, 0), map[string]float64{"cluster_migrating_slots": 0, "cluster_owned_slots": first - 1, `keys{db="0"}`: absent})
	check(t, g.of(values, 1), map[string]float64{"cluster_importing_slots": 0, "cluster_owned_slots": second + 1, `keys{db="0"}`: 1})
}

func TestClusterFailover(t *testing.T) {
	t.Parallel() // mostly waits for servers to agree
	g := startCluster(t)
	probe := openMode(t, modeCluster, clusterURL(g))
	mustPollAll(t, probe)

	// By hand: the replica of the second master takes over.
	// It is refused while the replica connects anew to its master on the cluster's bus,
	// as on a machine that is busy.
	waitFor(t, "the fail-over by hand to be taken", func() bool {
		err := g.clients[4].ClusterFailover(t.Context()).Err()
		if err != nil {
			t.Logf("CLUSTER FAILOVER: %v", err)
		}
		return err == nil
	})
	values := probetest.Eventually(t, probe, "the fail-over by hand", func(values probetest.Values, err error) bool {
		now, _ := shardOf(values, g.address(4))
		before, _ := shardOf(values, g.address(1))
		return err == nil && now == roleMaster && before == roleReplica
	})
	if _, shard := shardOf(values, g.address(1)); shard != "1" || g.of(values, 4).get("cluster_owned_slots") == 0 {
		t.Errorf("after the fail-over by hand: %v", values)
	}

	// The first master, which soakd asks about the cluster, hangs: only its values are missing.
	g.signal(t, 0, syscall.SIGSTOP)
	values, err := probetest.Poll(t, probe, time.Second)
	if probes.ReasonOf(err) != probes.ReasonTimeout || g.of(values, 0).get("node_up") != 0 || g.of(values, 0).has("memory_used_bytes") {
		t.Errorf("a master hangs: %q, %v", probes.ReasonOf(err), err)
	}
	for i := 1; i < 6; i++ {
		check(t, g.of(values, i), map[string]float64{"node_up": 1, "cluster_known_nodes": 6})
	}
	g.signal(t, 0, syscall.SIGKILL)
	values = probetest.Eventually(t, probe, "the fail-over of the killed master", func(values probetest.Values, err error) bool {
		now, _ := shardOf(values, g.address(3))
		return err == nil && now == roleMaster
	})
	check(t, g.of(values, 0), map[string]float64{"node_up": 0, "memory_used_bytes": absent})
	check(t, g.of(values, 3), map[string]float64{"node_up": 1, "cluster_state_ok": 1, "cluster_size": 3})
	if _, shard := shardOf(values, g.address(3)); shard != "0" {
		t.Errorf("the new master is of shard %s", shard)
	}

	// A server that the cluster forgets is forgotten with its state.
	gone := g.clients[1].ClusterNodes(t.Context()).Val()
	nodes, err := parseClusterNodes(gone, "")
	must(t, err)
	for _, n := range nodes {
		if n.address == g.address(0) {
			for _, client := range g.clients[1:] {
				must(t, client.ClusterForget(t.Context(), n.id).Err())
			}
		}
	}
	values = mustPollAll(t, probe)
	if g.of(values, 0).has("node_up") || len(probe.nodes) != 5 || len(probe.links.byAddress) != 5 {
		t.Errorf("%d nodes, %d links: %v", len(probe.nodes), len(probe.links.byAddress), g.of(values, 0).get("node_up"))
	}
}

func mustPollAll(t *testing.T, probe probes.Probe) probetest.Values {
	t.Helper()
	values, err := probetest.Poll(t, probe, 5*time.Second)
	must(t, err)
	return values
}
