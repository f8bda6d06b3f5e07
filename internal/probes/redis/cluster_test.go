package redis

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// recordedNodes has a line of each kind: Redis 6, 7.0 with a host name, 7.2 with a
// shard id, IPv6, one that does not know its address, and those that have left.
const recordedNodes = `aaa 10.0.0.1:6379@16379 myself,master - 0 1700000000000 3 connected 5461-10922 [93->-bbb] [94->-bbb] [77-<-ccc]
bbb 10.0.0.2:6379@16379,redis-2.example master - 0 1700000000000 2 connected 0-5460 16383
ccc 2001:db8::3:6379@16379,,shard-id=abc master,fail? - 0 1700000000000 4 connected 10923-16382
ddd 10.0.0.4:6379@16379,,tls-port=0,shard-id=abc slave bbb 0 1700000000000 2 connected
eee :0@0 slave,fail,noaddr aaa 1 1700000000000 3 disconnected
fff 10.0.0.6:6379@16379 master,fail - 1 1700000000000 1 disconnected
ggg 10.0.0.7:6379@16379 handshake - 0 0 0 connected
hhh 10.0.0.8:6379@16379 slave,fail zzz 0 0 0 connected
`

func TestParseClusterNodes(t *testing.T) {
	nodes, err := parseClusterNodes(recordedNodes, "asked")
	must(t, err)
	if n := nodes[0]; n.owned() != 5462 || n.migrating != 2 || n.importing != 1 || nodes[1].owned() != 5462 || nodes[1].hostname != "redis-2.example" {
		t.Errorf("%+v\n%+v", n, nodes[1])
	}
	places := placesIn(nodes)
	sortPlaces(places)
	var got []string
	for _, p := range places {
		got = append(got, fmt.Sprintf("%s %s %d %t", p.node, p.role, p.shard, p.spare))
	}
	want := []string{
		"10.0.0.2:6379 master 0 false", "10.0.0.1:6379 master 1 false", "[2001:db8::3]:6379 master 2 false",
		"10.0.0.4:6379 replica 0 false", "10.0.0.6:6379 master 3 true", "10.0.0.8:6379  0 true",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if alone, err := parseClusterNodes("aaa :7000@17000 myself,master - 0 0 0 connected 0-16383", "asked"); err != nil || alone[0].address != "asked:7000" {
		t.Errorf("%v, %v", alone, err)
	}
	for text, part := range map[string]string{
		"":                                       "the answer is empty",
		"aaa 10.0.0.1:1@2 x -":                   "line 1: \"aaa 10.0.0.1:1@2 x -\" has less than 8 fields",
		"a nowhere x - 0 0 0 c":                  "is not ip:port@bus",
		"\na h:1@2 master - 0 0 0 connected 5-3": `line 2: "5-3" is no slots`,
		"a h:1@2 master - 0 0 0 connected 0-16384":   `"0-16384" is no slots`,
		"a h:1@2 master - 0 0 0 connected [5-nobody": `"[5-nobody" is no slots`,
	} {
		if _, err := parseClusterNodes(text, ""); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v; want %q", text, err, part)
		}
	}
	if _, err := parseClusterNodes(strings.Repeat("a h:1@2 master - 0 0 0 connected\n", maxClusterNodes+1), ""); err == nil {
		t.Error("more servers than a cluster can have")
	}
}

func TestGuidesTakeTurns(t *testing.T) {
	c := &cluster{target: target{seeds: []string{"s1:1", "s2:1", "n1:1"}}}
	ask := func() string {
		var text []string
		for _, at := range c.guides() {
			text = append(text, at.node)
		}
		c.turn += len(text) // none answered
		return strings.Join(text, " ")
	}
	if got := ask(); got != "s1:1 s2:1 n1:1" {
		t.Errorf("at the start: %s", got)
	}
	c.turn, c.guide = 0, place{node: "n1:1"}
	c.last = []place{{node: "n1:1"}, {node: "n2:1", spare: true}, {node: "n3:1"}, {node: "n4:1"}}
	if got := ask(); got != "n1:1 n3:1 n4:1" {
		t.Errorf("after an answer: %s", got)
	}
	c.guide = place{}
	if got := ask(); got != "s1:1 s2:1 n1:1" {
		t.Errorf("when none of them answered: %s", got)
	}
}

func FuzzClusterNodes(f *testing.F) {
	f.Add(recordedNodes)
	f.Add("a :0@0 x - 0 0 0 c [1->-b] 5\n")
	f.Fuzz(func(t *testing.T, text string) {
		nodes, err := parseClusterNodes(text, "asked")
		if err != nil && (nodes != nil || len(err.Error()) > 300) {
			t.Errorf("%d nodes with an error of %d bytes", len(nodes), len(err.Error()))
		}
		for _, at := range placesIn(nodes) {
			if at.node == "" || at.shard < 0 || at.shard >= len(nodes) {
				t.Errorf("%+v", at)
			}
		}
		for _, n := range nodes {
			if n.owned() < 0 {
				t.Errorf("%+v", n)
			}
		}
	})
}

func TestSentinelViews(t *testing.T) {
	server := func(address, flags string) map[string]string {
		host, port, _ := strings.Cut(address, ":")
		return map[string]string{"ip": host, "port": port, "flags": flags}
	}
	got := placesOf(view{master: server("m:1", "master"), replicas: []map[string]string{
		server("r:2", "slave"), server("m:1", "slave"), server("d:3", "s_down,slave,disconnected"), {"flags": "slave"}, server("r:2", "slave"),
	}})
	want := []place{{node: "m:1", role: roleMaster}, {node: "d:3", role: roleReplica, spare: true}, {node: "r:2", role: roleReplica}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for flags, want := range map[string]string{"master": "ok", "s_down,master": "sdown", "s_down,o_down,master,failover_in_progress": "odown"} {
		if got := masterStatus(strings.Split(flags, ",")); got != want {
			t.Errorf("%s: %s, want %s", flags, got, want)
		}
	}
	if got := pairs([]any{"a", "1", 2, "x", "b"}); len(got) != 1 || got["a"] != "1" {
		t.Errorf("%v", got)
	}
	if got := pairs("no list"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// A sentinel that did not answer can be the one that knows of the fail-over: what
// the others still say is no fail-over back.
func TestAnOlderViewIsNoFailover(t *testing.T) {
	at := func(host, epoch string) view {
		return view{master: map[string]string{"ip": host, "port": "1", "config-epoch": epoch}}
	}
	s := newSentinels(target{seeds: []string{"s1:1", "s2:1"}}, nil, nil)
	for i, step := range []struct {
		view      view
		all       bool
		failovers int
	}{
		{at("old", "4"), true, 0},
		{at("new", "5"), true, 1},
		{at("old", "4"), false, 1}, // the one with epoch 5 did not answer
		{at("new", "5"), true, 1},
		{at("next", "6"), false, 2},
		{at("other", "0"), true, 3}, // SENTINEL REMOVE and MONITOR
		{at("next", "1"), false, 4},
	} {
		if s.take(step.view, step.all); s.failovers != step.failovers || s.last[0].node != addressIn(step.view.master) {
			t.Errorf("step %d: %d fail-overs, master %s; want %d and %s", i, s.failovers, s.last[0].node, step.failovers, addressIn(step.view.master))
		}
	}
	if s = newSentinels(target{}, nil, s); s.failovers != 4 {
		t.Errorf("after a change of password %d fail-overs", s.failovers)
	}
}

// The others of a cluster learn the name of a server some time after its address,
// and a guide from the URL has none.
func TestTheNameInACertificateIsLearnt(t *testing.T) {
	l := links{target: target{mode: modeCluster, network: tcp, tls: &tls.Config{MinVersion: tls.VersionTLS12}}, byAddress: map[string]*link{}}
	defer l.close()
	for i, step := range []struct {
		name, want string
		same       bool // the connections stay
	}{{"", "10.0.0.1", false}, {"", "10.0.0.1", true}, {"a.example", "a.example", false}, {"", "a.example", true}, {"a.example", "a.example", true}, {"b.example", "b.example", false}} {
		var before *goredis.Client
		if old := l.byAddress["10.0.0.1:6379"]; old != nil {
			before = old.client
		}
		client := l.to("10.0.0.1:6379", step.name, login{}).get()
		if got := client.Options().TLSConfig.ServerName; got != step.want || (client == before) != step.same {
			t.Errorf("step %d: the name is %q, want %q; the same client: %t", i, got, step.want, client == before)
		}
	}
	c := cluster{guide: place{node: "10.0.0.1:6379", name: "a.example"}}
	c.remember([]place{{node: "10.0.0.2:6379"}, {node: "10.0.0.1:6379", name: "b.example"}}, c.guide)
	if guide := c.guides()[0]; guide.name != "b.example" {
		t.Errorf("asks %+v, by its old name", guide)
	}
}
