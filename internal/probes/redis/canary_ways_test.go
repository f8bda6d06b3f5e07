package redis

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// canaryRules are the rights of a line "user NAME on #0000... RIGHTS" in
// deploy/redis-canary-acl.txt.
func canaryRules(t *testing.T, user string) []any {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/redis-canary-acl.txt")
	must(t, err)
	_, line, ok := strings.Cut(string(text), "user "+user+" on #"+strings.Repeat("0", 64)+" ")
	if !ok {
		t.Fatalf("deploy/redis-canary-acl.txt has no user %s", user)
	}
	line, _, _ = strings.Cut(line, "\n")
	var rules []any
	for _, rule := range strings.Fields(line) {
		rules = append(rules, rule)
	}
	return rules
}

// admit makes a user of the least rights on all servers of a group.
func (g *group) admit(t *testing.T, user, password string) {
	t.Helper()
	for _, client := range g.clients {
		command := append([]any{"ACL", "SETUSER", user, "reset", "on", ">" + password}, canaryRules(t, user)...)
		must(t, client.Do(t.Context(), command...).Err())
	}
}

// connections counts those of a user on all servers that answer.
func (g *group) connections(t *testing.T, user string) int {
	t.Helper()
	n := 0
	for _, client := range g.clients {
		n += strings.Count(client.ClientList(t.Context()).Val(), " user="+user+" ")
	}
	return n
}

// refusals are what the servers' ACL logs hold.
func (g *group) refusals(t *testing.T) []*goredis.ACLLogEntry {
	t.Helper()
	var all []*goredis.ACLLogEntry
	for _, client := range g.clients {
		all = append(all, refusals(t, client)...)
	}
	return all
}

// openCanaryMode opens a canary of a mode; change may be nil.
func openCanaryMode(t *testing.T, mode, url string, change func(*CanaryConfig)) *canary {
	t.Helper()
	config := CanaryKind().Config.(*CanaryConfig)
	config.Mode, config.URL = mode, secret.New(url)
	if change != nil {
		change(config)
	}
	return probetest.OpenOne(t, config).(*canary)
}

// startCanarySentinels starts a master, a replica and three sentinels that are ready
// to fail over, with the users that deploy/redis-canary-acl.txt has. The URL is that
// of the canary.
func startCanarySentinels(t *testing.T) (servers, watchers *group, url string) {
	t.Helper()
	servers, watchers = startSentinels(t)
	waitFor(t, "the sentinels to know one another", func() bool {
		return !slices.ContainsFunc(watchers.clients, func(client *goredis.Client) bool {
			master := fmt.Sprint(client.Do(t.Context(), "SENTINEL", "MASTER", "main").Val())
			return !strings.Contains(master, "num-slaves:1 ") || !strings.Contains(master, "num-other-sentinels:2 ")
		})
	})
	servers.admit(t, "soakd_canary", "of-servers-s3cr3t")
	watchers.admit(t, "soakd_canary_sentinel", "of-sentinels-s3cr3t")
	url = fmt.Sprintf("redis://soakd_canary_sentinel:of-sentinels-s3cr3t@%s?addr=%s&addr=%s&master_name=main&username=soakd_canary&password=of-servers-s3cr3t",
		watchers.address(0), watchers.address(1), watchers.address(2))
	return servers, watchers, url
}

func TestCanarySentinelFailover(t *testing.T) {
	t.Parallel() // mostly waits for servers to agree
	servers, watchers, url := startCanarySentinels(t)
	probe := openCanaryMode(t, modeSentinel, url, nil)
	at := func(values probetest.Values, i int) canaryReader { return canaryReader{values, servers.address(i)} }
	values, err := probetest.Poll(t, probe, 2*time.Second)
	if err != nil || at(values, 0).done(operationDelete) != 1 || at(values, 1).done(operationDelete) != -1 {
		t.Errorf("at the start: %v, %v", err, values)
	}

	// The master hangs and is killed: the canary fails until the sentinels have another.
	servers.signal(t, 0, syscall.SIGSTOP)
	values, err = probetest.Poll(t, probe, 300*time.Millisecond)
	if probes.ReasonOf(err) != probes.ReasonTimeout || at(values, 0).failed(operationWrite) != 1 || !strings.Contains(err.Error(), servers.address(0)+": ") {
		t.Errorf("the master hangs: %q, %v, %v", probes.ReasonOf(err), err, values)
	}
	servers.signal(t, 0, syscall.SIGKILL)
	values = probetest.Eventually(t, probe, "the new master", func(values probetest.Values, err error) bool {
		return err == nil && at(values, 1).done(operationDelete) > 0
	})
	if got := at(values, 1); got.done(operationWrite) != got.done(operationDelete) || at(values, 0).failed(operationWrite) != -1 {
		t.Errorf("after the fail-over: %v", values)
	}
	if n := servers.connections(t, "soakd_canary"); n != 1 || keysOf(t, servers.clients[1]) != 0 {
		t.Errorf("%d connections, %d keys at the new master", n, keysOf(t, servers.clients[1]))
	}
	canaryWithoutSentinels(t, probe, watchers, servers.address(1))
}

// canaryWithoutSentinels takes the sentinels away from a canary. One is enough;
// without any the canary goes on where the master was last, and fails.
func canaryWithoutSentinels(t *testing.T, probe *canary, watchers *group, master string) {
	t.Helper()
	for _, client := range watchers.clients {
		waitFor(t, "the sentinels to agree on the new master", func() bool {
			address, err := client.Do(t.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").StringSlice()
			return err == nil && net.JoinHostPort(address[0], address[1]) == master
		})
	}
	watchers.signal(t, 0, syscall.SIGKILL)
	watchers.signal(t, 1, syscall.SIGSTOP)
	values, err := probetest.Poll(t, probe, time.Second)
	if err != nil {
		t.Errorf("two sentinels of three are gone: %v", err)
	}
	done := canaryReader{values, master}.done(operationDelete)
	watchers.signal(t, 2, syscall.SIGKILL)
	values, err = probetest.Poll(t, probe, time.Second)
	if got := (canaryReader{values, master}); probes.ReasonOf(err) == "" || strings.Contains(err.Error(), "s3cr3t") || got.done(operationDelete) != done+1 || got.failed(operationWrite) != 0 {
		t.Errorf("no sentinel is left: %v, %v; want %v deletions", err, values, done+1)
	}
	watchers.signal(t, 1, syscall.SIGCONT)
	probetest.Eventually(t, probe, "a sentinel is back", func(_ probetest.Values, err error) bool { return err == nil })
}

func TestCanarySentinelReasonsAndWays(t *testing.T) {
	t.Parallel() // mostly waits for servers to agree
	servers, watchers, url := startCanarySentinels(t)
	for name, c := range map[string]struct {
		url  string
		want probes.Reason
	}{
		"another master":     {strings.Replace(url, "=main", "=none", 1), probes.ReasonMissing},
		"sentinel's login":   {strings.Replace(url, "of-sentinels", "wrong", 1), probes.ReasonAuth},
		"servers' login":     {strings.Replace(url, "of-servers", "wrong", 1), probes.ReasonAuth},
		"a server":           {fmt.Sprintf("redis://:%s@%s?master_name=main", testPassword, servers.address(1)), probes.ReasonPermission},
		"nobody":             {"redis://127.0.0.1:1?master_name=main", probes.ReasonConnect},
		"right, for control": {url, ""},
	} {
		values, err := probetest.Poll(t, openCanaryMode(t, modeSentinel, c.url, nil), 2*time.Second)
		if probes.ReasonOf(err) != c.want || err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %q, %v; want %q", name, probes.ReasonOf(err), err, c.want)
		}
		if known := name == "servers' login" || err == nil; known != (len(values) > 0) {
			t.Errorf("%s: %v", name, values)
		}
	}

	// The master is reached another way; its label is what the sentinels call it.
	proxy := probetest.NewProxy(t, servers.address(0))
	probe := openCanaryMode(t, modeSentinel, url, func(c *CanaryConfig) { c.AddressMap = []string{servers.address(0) + "=" + proxy.Address()} })
	values, err := probetest.Poll(t, probe, 2*time.Second)
	if got := (canaryReader{values, servers.address(0)}); err != nil || got.done(operationDelete) != 1 || proxy.Connections() != 1 {
		t.Errorf("through the map: %v, %v, %d connections of the proxy", err, values, proxy.Connections())
	}

	// The sentinels' password from a file: a wrong one is read again.
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte("old-s3cr3t\n"), 0o600))
	own := fmt.Sprintf("redis://soakd_canary:of-servers-s3cr3t@%s?master_name=main", watchers.address(0))
	probe = openCanaryMode(t, modeSentinel, own, func(c *CanaryConfig) {
		c.SentinelUsername, c.SentinelPasswordFile = "soakd_canary_sentinel", file
	})
	if _, err := probetest.Poll(t, probe, 2*time.Second); probes.ReasonOf(err) != probes.ReasonAuth || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("the old password: %v", err)
	}
	must(t, os.WriteFile(file, []byte("of-sentinels-s3cr3t\n"), 0o600))
	_, err = probetest.Poll(t, probe, 2*time.Second)
	must(t, err)
	canaryFollowsByHand(t, servers, watchers, url)
}

// canaryFollowsByHand fails over by hand: the old master lives on as a replica.
func canaryFollowsByHand(t *testing.T, servers, watchers *group, url string) {
	t.Helper()
	for _, client := range servers.clients { // those of other canaries
		must(t, client.Do(t.Context(), "CLIENT", "KILL", "USER", "soakd_canary").Err())
	}
	probe := openCanaryMode(t, modeSentinel, url, nil)
	mustPollAll(t, probe)
	must(t, watchers.clients[0].Do(t.Context(), "SENTINEL", "FAILOVER", "main").Err())
	values := probetest.Eventually(t, probe, "the fail-over by hand", func(values probetest.Values, err error) bool {
		return err == nil && canaryReader{values, servers.address(1)}.done(operationDelete) > 0
	})
	if old := (canaryReader{values, servers.address(0)}); old.done(operationDelete) != -1 || servers.connections(t, "soakd_canary") != 1 {
		t.Errorf("%d connections, %v", servers.connections(t, "soakd_canary"), values)
	}
}

func TestCanaryAThousandPollsOfSentinelsLeaveNothing(t *testing.T) {
	servers, watchers, url := startCanarySentinels(t)
	probe := openCanaryMode(t, modeSentinel, url, nil)
	at := func(values probetest.Values, i int) canaryReader { return canaryReader{values, servers.address(i)} }
	before := 0
	for i := range 1000 {
		reading, err := probe.Poll(t.Context())
		must(t, err)
		if reading.Cost.Queries != 7 {
			t.Fatalf("a poll cost %d queries, want one of each sentinel, INFO and three operations", reading.Cost.Queries)
		}
		if i == 0 {
			before = runtime.NumGoroutine()
		}
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 })
	values, err := probetest.Poll(t, probe, 2*time.Second)
	must(t, err)
	for _, operation := range operations() {
		if got := at(values, 0); got.done(operation) != 1001 || got.failed(operation) != 0 || at(values, 1).done(operation) != -1 {
			t.Errorf("%s: %v", operation, values)
		}
	}
	if n, m := servers.connections(t, "soakd_canary"), watchers.connections(t, "soakd_canary_sentinel"); n != 1 || m != 3 || keysOf(t, servers.clients[0]) != 0 {
		t.Errorf("%d connections to servers, %d to sentinels, %d keys; want 1, 3 and 0", n, m, keysOf(t, servers.clients[0]))
	}
	if refused := append(servers.refusals(t), watchers.refusals(t)...); len(refused) != 0 {
		t.Errorf("refused with the rights of deploy/redis-canary-acl.txt: %+v", refused)
	}
}

func TestCanaryAThousandFailuresLeaveNothing(t *testing.T) {
	servers, watchers, url := startCanarySentinels(t)
	servers.admit(t, "soakd_canary", "changed-s3cr3t")
	probe := openCanaryMode(t, modeSentinel, url, nil)
	nobody := openCanaryMode(t, modeSentinel, "redis://127.0.0.1:1?addr=127.0.0.1:2&master_name=main", nil)
	before := 0
	for i := range 500 {
		if _, err := probetest.Poll(t, probe, 2*time.Second); probes.ReasonOf(err) != probes.ReasonAuth {
			t.Fatal(err)
		}
		if _, err := probetest.Poll(t, nobody, 2*time.Second); probes.ReasonOf(err) != probes.ReasonConnect {
			t.Fatal(err)
		}
		if i == 0 {
			before = runtime.NumGoroutine()
		}
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 })
	if n, m := servers.connections(t, "soakd_canary"), watchers.connections(t, "soakd_canary_sentinel"); n != 0 || m != 3 {
		t.Errorf("%d connections to servers, %d to sentinels; want 0 and 3", n, m)
	}
}

func TestCanaryClusterFailover(t *testing.T) {
	t.Parallel() // mostly waits for servers to agree
	g := startCluster(t)
	g.admit(t, "soakd_canary", "pw")
	// The first server of the URL is not there.
	probe := openCanaryMode(t, modeCluster, fmt.Sprintf("redis://soakd_canary:pw@127.0.0.1:1?addr=%s&addr=%s", g.address(4), g.address(0)), nil)
	at := func(values probetest.Values, i int) canaryReader { return canaryReader{values, g.address(i)} }
	values := mustPollAll(t, probe)
	for i := range 3 {
		if got := at(values, i); got.done(operationDelete) != 1 || got.failed(operationWrite) != 0 || at(values, i+3).done(operationDelete) != -1 {
			t.Errorf("master %d: %v", i, values)
		}
	}

	// By hand: the replica of the second master takes over, and the canary moves.
	must(t, g.clients[4].ClusterFailover(t.Context()).Err())
	values = probetest.Eventually(t, probe, "the fail-over by hand", func(values probetest.Values, err error) bool {
		return err == nil && at(values, 4).done(operationDelete) > 0
	})
	if at(values, 1).done(operationDelete) != -1 || at(values, 0).failed(operationWrite) != 0 {
		t.Errorf("after the fail-over by hand: %v", values)
	}

	// The first master is killed: the others go on, and its replica gets the canary.
	before := at(values, 2).done(operationDelete)
	g.signal(t, 0, syscall.SIGKILL)
	values, err := probetest.Poll(t, probe, time.Second)
	if err == nil || !strings.Contains(err.Error(), g.address(0)+": ") || at(values, 0).failed(operationWrite) != 1 || at(values, 2).done(operationDelete) != before+1 {
		t.Errorf("a master is killed: %v, %v", err, values)
	}
	values = probetest.Eventually(t, probe, "the fail-over of the killed master", func(values probetest.Values, err error) bool {
		return err == nil && at(values, 3).done(operationDelete) > 0
	})
	if at(values, 0).done(operationDelete) != -1 || len(probe.places.nodes) != 3 || len(probe.places.links.byAddress) > 4 {
		t.Errorf("%d places, %d links: %v", len(probe.places.nodes), len(probe.places.links.byAddress), values)
	}
	for _, i := range []int{2, 3, 4} {
		if n := keysOf(t, g.clients[i]); n != 0 {
			t.Errorf("server %d: %d keys are left", i, n)
		}
	}
}

func TestCanaryModesOfOtherServers(t *testing.T) {
	server := startServer(t, nil)
	none := openCanaryMode(t, modeCluster, "redis://127.0.0.1:1?addr=127.0.0.1:2", nil)
	if values, err := probetest.Poll(t, none, time.Second); probes.ReasonOf(err) != probes.ReasonConnect || len(values) != 0 || !strings.Contains(err.Error(), "127.0.0.1:2") {
		t.Errorf("no cluster: %q, %v, %v", probes.ReasonOf(err), err, values)
	}
	alone := openCanaryMode(t, modeCluster, server.URL().Value()[:strings.LastIndex(server.URL().Value(), "/")], nil)
	if values, err := probetest.Poll(t, alone, time.Second); probes.ReasonOf(err) != probes.ReasonMissing || len(values) != 0 || !strings.Contains(err.Error(), "CLUSTER SLOTS") {
		t.Errorf("a server without a cluster: %q, %v, %v", probes.ReasonOf(err), err, values)
	}
}

// Another server at the same address, as after a restart: what the canary knew of the
// old one is of no use.
func TestCanaryRestartAtTheSameAddress(t *testing.T) {
	first := startServer(t, map[string]string{"requirepass": testPassword})
	second := startServer(t, map[string]string{"requirepass": testPassword})
	proxy := probetest.NewProxy(t, addressOf(t, first.URL()))
	probe := openCanary(t, through(t, first.URL(), proxy))
	mustPollCanary(t, probe)
	must(t, first.Stop())
	proxy.Down()
	wantCanaryFailure(t, probe, probes.ReasonConnect, "refused")
	proxy.Up(addressOf(t, second.URL()))
	got := mustPollCanary(t, probe)
	if got.done(operationDelete) != 2 || got.failed(operationWrite) != 1 {
		t.Errorf("after the restart: %v", got.Values)
	}
	client := clientOf(t, second.URL())
	if n := strings.Count(client.ClientList(t.Context()).Val(), "\n"); n != 2 || keysOf(t, client) != 0 {
		t.Errorf("%d clients, %d keys; want the canary and the test, and none", n, keysOf(t, client))
	}
}

func TestCanaryTLS(t *testing.T) {
	dir, err := os.MkdirTemp("", "soakd") //nolint:usetesting // the server runs as another user, who must get there
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755)) //nolint:gosec // the server runs as another user
	authority, certificate, key := certificates(t, dir)
	port := unusedPort(t)
	server := startServer(t, map[string]string{
		"requirepass": "pw", "tls-port": port, "tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": authority, "tls-auth-clients": "yes",
	})
	for name, c := range map[string]struct {
		host   string
		change func(*CanaryConfig)
		want   probes.Reason
	}{
		"all is right":          {"localhost", func(*CanaryConfig) {}, ""},
		"the name is set":       {"127.0.0.1", func(c *CanaryConfig) { c.TLSServerName = "localhost" }, ""},
		"the name is wrong":     {"127.0.0.1", func(*CanaryConfig) {}, probes.ReasonTLS},
		"no client certificate": {"localhost", func(c *CanaryConfig) { c.TLSCertFile, c.TLSKeyFile = "", "" }, probes.ReasonTLS},
		"an unknown authority":  {"localhost", func(c *CanaryConfig) { c.TLSCAFile = "" }, probes.ReasonTLS},
	} {
		t.Run(name, func(t *testing.T) {
			address := net.JoinHostPort(c.host, port)
			probe := openCanaryMode(t, modeSingle, "rediss://:pw@"+address, func(config *CanaryConfig) {
				config.TLSCAFile, config.TLSCertFile, config.TLSKeyFile = authority, certificate, key
				c.change(config)
			})
			values, err := probetest.Poll(t, probe, 2*time.Second)
			if name == "no client certificate" && probes.ReasonOf(err) == probes.ReasonReset {
				return // the server's word came after the end of the connection, as it may from TLS 1.3 on
			}
			done := canaryReader{values, address}.done(operationDelete)
			if probes.ReasonOf(err) != c.want || (err == nil) != (done == 1) {
				t.Errorf("%q, %v: %v; want %q", probes.ReasonOf(err), err, values, c.want)
			}
		})
	}
	if n := keysOf(t, clientOf(t, server.URL())); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

func TestCanaryWayInSettings(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.pem")
	for name, c := range map[string]struct {
		change func(*CanaryConfig)
		want   string
	}{
		"mode":              {func(c *CanaryConfig) { c.Mode = "ring" }, `SOAKD_REDIS_CANARY_MODE: "ring" is not single`},
		"no master name":    {func(c *CanaryConfig) { c.Mode = modeSentinel }, "SOAKD_REDIS_CANARY_URL: lacks master_name"},
		"sentinel settings": {func(c *CanaryConfig) { c.SentinelUsername = "x" }, "SOAKD_REDIS_CANARY_SENTINEL_USERNAME, SOAKD_REDIS_CANARY_SENTINEL_PASSWORD: need SOAKD_REDIS_CANARY_MODE=sentinel"},
		"both passwords": {func(c *CanaryConfig) {
			c.Mode, c.SentinelPassword, c.SentinelPasswordFile = modeSentinel, secret.New("a"), "b"
		}, "SOAKD_REDIS_CANARY_SENTINEL_PASSWORD, SOAKD_REDIS_CANARY_SENTINEL_PASSWORD_FILE: give the value or the file"},
		"TLS without TLS":  {func(c *CanaryConfig) { c.TLSServerName = "x" }, "SOAKD_REDIS_CANARY_TLS_...: SOAKD_REDIS_CANARY_URL has no TLS"},
		"no CA":            {func(c *CanaryConfig) { c.URL, c.TLSCAFile = secret.New("rediss://h"), missing }, "SOAKD_REDIS_CANARY_TLS_CA_FILE: read the authorities: open " + missing},
		"key without cert": {func(c *CanaryConfig) { c.URL, c.TLSKeyFile = secret.New("rediss://h"), missing }, "SOAKD_REDIS_CANARY_TLS_CERT_FILE, SOAKD_REDIS_CANARY_TLS_KEY_FILE: "},
		"address":          {func(c *CanaryConfig) { c.AddressMap = []string{"a:1"} }, `SOAKD_REDIS_CANARY_ADDRESS_MAP: pair 1: "a:1"`},
		"no file":          {func(c *CanaryConfig) { c.URL, c.URLFile = secret.String{}, missing }, "SOAKD_REDIS_CANARY_URL_FILE: "},
	} {
		config := CanaryKind().Config.(*CanaryConfig)
		config.URL = secret.New("redis://:hunter2@h:1")
		c.change(config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	for mode, c := range map[string]struct{ url, summary string }{
		modeCluster:  {"redis://u:p@h:1?addr=g:2&addr=h:1", "cluster of g:2, h:1 as u, keys soakd:canary:*"},
		modeSentinel: {"redis://s:p@h:1?addr=g:2&master_name=m&username=u&password=x", "master m of the sentinels g:2, h:1 as u, keys soakd:canary:*"},
	} {
		config := CanaryKind().Config.(*CanaryConfig)
		config.Mode, config.URL = mode, secret.New(c.url)
		if err := config.Validate(); err != nil || config.Summary() != c.summary {
			t.Errorf("%s: %v, %q", mode, err, config.Summary())
		}
	}
}

// A certificate may be for the host name that a server has beside its address.
func TestMastersHaveTheNameOfTheirCertificates(t *testing.T) {
	masters := mastersIn([]goredis.ClusterSlot{{Start: 0, End: 9, Nodes: []goredis.ClusterNode{{
		Addr: "10.0.0.1:6379", NetworkingMetadata: map[string]string{"hostname": "redis-1.example"},
	}}}}, "asked:6379")
	if len(masters) != 1 || masters[0].certified != "redis-1.example" {
		t.Errorf("%+v", masters)
	}
}
