package redis

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// canaryCluster is a cluster of masters without replicas, with a user for the canary
// that has the least rights.
type canaryCluster struct {
	servers []*localservices.Redis
	clients []*goredis.Client
}

func (c *canaryCluster) url(i int) secret.String {
	return secret.New("redis://canary:pw@" + c.clients[i].Options().Addr)
}

// startCanaryCluster starts n servers that share the slots evenly.
func startCanaryCluster(t *testing.T, n int) *canaryCluster {
	t.Helper()
	c := &canaryCluster{}
	for i := range n {
		bus := freePort(t)
		server := startServer(t, map[string]string{"cluster-enabled": "yes", "cluster-port": bus, "cluster-node-timeout": "2000", "cluster-require-full-coverage": "no"})
		client := clientOf(t, server.URL())
		must(t, client.Do(t.Context(), "ACL", "SETUSER", "canary", "on", ">pw", "~soakd:canary:*", "+multi", "+exec", "+zadd", "+pexpire", "+del", "+info", "+cluster|slots").Err())
		c.servers, c.clients = append(c.servers, server), append(c.clients, client)
		must(t, client.ClusterAddSlotsRange(t.Context(), i*allSlots/n, (i+1)*allSlots/n-1).Err())
		if i > 0 {
			_, port, _ := net.SplitHostPort(client.Options().Addr)
			must(t, c.clients[0].Do(t.Context(), "CLUSTER", "MEET", "127.0.0.1", port, bus).Err())
		}
	}
	for i, client := range c.clients {
		waitFor(t, fmt.Sprintf("node %d to know the cluster", i), func() bool {
			masters, _ := mastersOf(t.Context(), client, client.Options().Addr, new(probes.Cost))
			return len(masters) == n && strings.Contains(client.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
		})
	}
	return c
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close() //nolint:errcheck // the port stays free for the moment it takes
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// moveSlot gives an empty slot from one master to another.
func (c *canaryCluster) moveSlot(t *testing.T, slot, to int) {
	t.Helper()
	id, err := c.clients[to].Do(t.Context(), "CLUSTER", "MYID").Text()
	must(t, err)
	// First the new owner, then the old one: as in the specification of the cluster.
	for _, i := range append([]int{to}, slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == to })...) {
		must(t, c.clients[i].Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", id).Err())
	}
}

func TestCanaryOfEachMaster(t *testing.T) {
	cluster := startCanaryCluster(t, 3)
	probe := openCanary(t, cluster.url(0))
	poll := func() (func(i int) canaryReader, error) {
		t.Helper()
		values, err := probetest.Poll(t, probe, 2*time.Second)
		return func(i int) canaryReader { return canaryReader{values, cluster.clients[i].Options().Addr} }, err
	}
	for range 3 {
		_, err := poll()
		must(t, err)
	}
	of, err := poll()
	must(t, err)
	for i, client := range cluster.clients {
		for _, operation := range operations() {
			if n := of(i).done(operation); n != 4 || of(i).failed(operation) != 0 {
				t.Errorf("master %d: %v times %s", i, n, operation)
			}
		}
		if n := keysOf(t, client); n != 0 {
			t.Errorf("master %d: %d keys are left", i, n)
		}
	}

	// The slot of the second master's key moves to the third.
	key := probe.places.nodes[cluster.clients[1].Options().Addr].key
	cluster.moveSlot(t, slotOf(key), 2)
	waitFor(t, "the first node to know of the move", func() bool {
		masters, _ := mastersOf(t.Context(), cluster.clients[0], cluster.clients[0].Options().Addr, new(probes.Cost))
		return slices.ContainsFunc(masters, func(m master) bool {
			return m.address == cluster.clients[2].Options().Addr && m.has(slotOf(key))
		})
	})
	of, err = poll()
	must(t, err)
	if moved := probe.places.nodes[cluster.clients[1].Options().Addr]; moved.key == key || of(1).done(operationDelete) != 5 || of(2).done(operationDelete) != 5 {
		t.Errorf("after the slot moved: key %s, was %s; %v", moved.key, key, of(1).Values)
	}

	// One hangs: the others go on, and it comes back.
	must(t, syscall.Kill(cluster.servers[2].PID(), syscall.SIGSTOP))
	defer func() { _ = syscall.Kill(cluster.servers[2].PID(), syscall.SIGCONT) }()
	values, err := probetest.Poll(t, probe, 300*time.Millisecond)
	hung := canaryReader{values, cluster.clients[2].Options().Addr}
	if probes.ReasonOf(err) != probes.ReasonTimeout || !strings.Contains(err.Error(), hung.node+": ") || hung.failed(operationWrite) != 1 {
		t.Errorf("one hangs: %q, %v, %v", probes.ReasonOf(err), err, values)
	}
	if alive := (canaryReader{values, cluster.clients[1].Options().Addr}); alive.done(operationDelete) != 6 {
		t.Errorf("the others: %v", values)
	}
	must(t, syscall.Kill(cluster.servers[2].PID(), syscall.SIGCONT))
	probetest.Eventually(t, probe, "all go on", func(_ probetest.Values, err error) bool { return err == nil })

	// The server of the URL hangs: it costs the others a part of their time.
	must(t, syscall.Kill(cluster.servers[0].PID(), syscall.SIGSTOP))
	defer func() { _ = syscall.Kill(cluster.servers[0].PID(), syscall.SIGCONT) }()
	for range 2 {
		values, err = probetest.Poll(t, probe, 2*time.Second)
		first, second := canaryReader{values, cluster.clients[0].Options().Addr}, canaryReader{values, cluster.clients[1].Options().Addr}
		if probes.ReasonOf(err) != probes.ReasonTimeout || first.failed(operationWrite) == 0 || second.failed(operationWrite) != 0 {
			t.Errorf("the server of the URL hangs: %q, %v, %v", probes.ReasonOf(err), err, values)
		}
	}
	must(t, syscall.Kill(cluster.servers[0].PID(), syscall.SIGCONT))
	probetest.Eventually(t, probe, "all go on", func(_ probetest.Values, err error) bool { return err == nil })

	// The server of the URL is gone: another one tells of the cluster.
	must(t, cluster.servers[0].Stop())
	values, err = probetest.Poll(t, probe, 2*time.Second)
	if err == nil || probes.ReasonOf(err) != probes.ReasonConnect && probes.ReasonOf(err) != probes.ReasonReset {
		t.Errorf("the server of the URL is gone: %q, %v", probes.ReasonOf(err), err)
	}
	if alive := (canaryReader{values, cluster.clients[1].Options().Addr}); alive.done(operationDelete) < 8 || len(probe.places.nodes) != 3 {
		t.Errorf("the others: %d places, %v", len(probe.places.nodes), values)
	}
}

// A role that may not ask about the cluster has the answers that a single server's
// would, and the error says what is missing.
func TestCanaryOfClusterWithoutRights(t *testing.T) {
	cluster := startCanaryCluster(t, 3)
	admin := cluster.clients[0]
	must(t, admin.Do(t.Context(), "ACL", "SETUSER", "blind", "on", ">pw", "~*", "+multi", "+exec", "+zadd", "+pexpire", "+del", "+ping").Err())
	var probe *canary
	for { // the key of the URL's place is in any slot: one that is elsewhere
		probe = openCanary(t, secret.New("redis://blind:pw@"+admin.Options().Addr))
		if slotOf(only(probe).key) >= allSlots/3 {
			break
		}
	}
	wantCanaryFailure(t, probe, probes.ReasonUnavailable, "the right to CLUSTER SLOTS is needed")
	must(t, admin.Do(t.Context(), "ACL", "SETUSER", "blind", "+cluster|slots").Err())
	for i := 1; i < 3; i++ {
		must(t, cluster.clients[i].Do(t.Context(), "ACL", "SETUSER", "blind", "on", ">pw", "~*", "+multi", "+exec", "+zadd", "+pexpire", "+del", "+ping").Err())
	}
	mustPollCanary(t, probe)
	if n := len(probe.places.nodes); n != 3 {
		t.Errorf("%d places", n)
	}
}

func TestSlotOf(t *testing.T) {
	for key, want := range map[string]int{
		"123456789": 0x31C3, "foo": 12182, "": 0,
		"a{foo}b": 12182, "{foo}{bar}": 12182, "x{": slotOf("x{"), "{}foo": slotOf("{}foo"),
	} {
		if got := slotOf(key); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
	if slotOf("{}foo") == slotOf("foo") || slotOf("foo{{bar}}zap") != slotOf("{bar") {
		t.Error("an empty tag is none, and a tag ends at the first }")
	}
	places := newCanaryPlaces(target{mode: modeCluster}, nil, "p:", "instance")
	defer places.close()
	for _, slot := range []int{0, 1, 8191, allSlots - 1} {
		if key := places.keyIn(slot); slotOf(key) != slot || !strings.HasPrefix(key, "p:{") || !strings.HasSuffix(key, "}:instance") {
			t.Errorf("slot %d: %s in %d", slot, key, slotOf(key))
		}
	}
}

func TestMastersIn(t *testing.T) {
	node := func(address string) []goredis.ClusterNode {
		return []goredis.ClusterNode{{Addr: address}, {Addr: "replica:1"}}
	}
	got := mastersIn([]goredis.ClusterSlot{
		{Start: 200, End: 299, Nodes: node("b:1")},
		{Start: 0, End: 99, Nodes: node("a:1")},
		{Start: 300, End: 300, Nodes: node("a:1")},
		{Start: 100, End: 199, Nodes: node(":7")},
		{Start: 400, End: 500},
		{Start: allSlots, End: allSlots, Nodes: node("c:1")},
	}, "asked:6379")
	var text []string
	for _, m := range got {
		text = append(text, m.address+" "+strconv.Itoa(len(m.ranges)))
	}
	if strings.Join(text, ", ") != "a:1 2, asked:7 1, b:1 1" || !got[0].has(300) || !got[0].has(50) || got[0].has(100) {
		t.Errorf("%v", text)
	}
}

// More masters than there are series for: those beyond are counted.
func TestCanaryPlacesAreBounded(t *testing.T) {
	places := newCanaryPlaces(target{mode: modeSingle, seeds: []string{"seed:1"}}, nil, "p:", "x")
	defer places.close()
	var masters []master
	for i := range 2 * maxCanaryNodes {
		masters = append(masters, master{address: fmt.Sprint("node:", i+1), ranges: []goredis.ClusterSlot{{Start: i, End: i}}})
	}
	places.place(masters)
	if len(places.nodes) != maxCanaryNodes || places.left != maxCanaryNodes || places.nodes["seed:1"] != nil {
		t.Errorf("%d places, %d left", len(places.nodes), places.left)
	}
	kept := places.nodes["node:1"]
	places.place(masters[:1])
	if len(places.nodes) != 1 || places.left != 0 || places.nodes["node:1"] != kept {
		t.Errorf("%d places, %d left; the place that stays is a new one", len(places.nodes), places.left)
	}
}

func TestCanaryNewPassword(t *testing.T) {
	server := startServer(t, nil)
	admin := clientOf(t, server.URL())
	file := filepath.Join(t.TempDir(), "url")
	put := func(password string) {
		t.Helper()
		must(t, os.WriteFile(file, []byte("redis://rotated:"+password+"@"+addressOf(t, server.URL())+"\n"), 0o600))
	}
	set := func(password string) {
		t.Helper()
		must(t, admin.Do(t.Context(), "ACL", "SETUSER", "rotated", "resetpass", "on", ">"+password, "~*", "+@all").Err())
		must(t, admin.Do(t.Context(), "CLIENT", "KILL", "USER", "rotated").Err())
	}
	set("first-s3cr3t")
	put("first-s3cr3t")
	config := CanaryKind().Config.(*CanaryConfig)
	config.URLFile = file
	probe := probetest.OpenOne(t, config).(*canary)
	mustPollCanary(t, probe)
	set("second-s3cr3t")
	probetest.Eventually(t, probe, "the old password is refused", func(_ probetest.Values, err error) bool {
		return probes.ReasonOf(err) == probes.ReasonAuth && !strings.Contains(err.Error(), "s3cr3t")
	})
	put("second-s3cr3t")
	mustPollCanary(t, probe)
	must(t, os.WriteFile(file, []byte("nonsense"), 0o600)) // being written: what was there before does
	must(t, admin.Do(context.WithoutCancel(t.Context()), "CLIENT", "KILL", "USER", "rotated").Err())
	probetest.Eventually(t, probe, "the last password is kept", func(_ probetest.Values, err error) bool { return err == nil })
}
