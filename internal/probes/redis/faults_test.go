package redis

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
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

// watched is a probe that is polled as in a run, with its board.
type watched struct {
	t       *testing.T
	board   *probes.Board
	changed chan struct{}
}

// watch polls until the test ends.
func watch(t *testing.T, config *Config) *watched {
	t.Helper()
	w := &watched{t: t, changed: make(chan struct{}, 1)}
	w.board = probetest.Run(t, config, func() {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	})
	return w
}

// await waits for a status.
func (w *watched) await(what string, ok func(probes.Status) bool) probes.Status {
	w.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		status := w.board.Snapshot(time.Now())[0]
		if ok(status) {
			return status
		}
		select {
		case <-w.changed:
		case <-deadline.C:
			w.t.Fatalf("%s: not within 20 s; last: %+v", what, status)
		}
	}
}

func (w *watched) up(what string) probes.Status {
	w.t.Helper()
	return w.await(what, func(s probes.Status) bool { return s.Success && len(s.Samples) > 20 })
}

// fails waits for a poll that failed for the reason and has no values.
func (w *watched) fails(what string, reason probes.Reason) {
	w.t.Helper()
	before := w.board.Snapshot(time.Now())[0].Reasons[reason]
	status := w.await(what, func(s probes.Status) bool { return s.Reason == reason && s.Reasons[reason] > before+1 })
	if status.Success || status.Samples != nil {
		w.t.Errorf("%s: %+v", what, status)
	}
}

// TestFaults lets each fault come and go behind one address, and nothing grow.
func TestFaults(t *testing.T) {
	t.Parallel() // mostly waits
	labelGoroutines(t)
	file := filepath.Join(t.TempDir(), "url")
	first, second := startServer(t, map[string]string{"requirepass": "first-s3cr3t"}), startServer(t, map[string]string{"requirepass": "second-s3cr3t"})
	proxy := probetest.NewProxy(t, addressOf(t, first.URL()))
	put := func(password string) {
		must(t, os.WriteFile(file, []byte("redis://:"+password+"@"+proxy.Address()), 0o600))
	}
	put("first-s3cr3t")
	config := defaults()
	config.URLFile = file
	w := watch(t, config)
	strangers := []struct {
		name, address string
		want          probes.Reason
	}{
		{"HTTP", fakeServer(t, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>"), probes.ReasonProtocol},
		{"random bytes", fakeServer(t, "\x8f\x02\xff\x00\r\n\x17\x03\x03"), probes.ReasonProtocol},
		{"endless bulk", fakeServer(t, "$999999999\r\n"+strings.Repeat("x", 8<<20)), probes.ReasonProtocol},
		{"no room", fakeServer(t, "-ERR max number of clients reached\r\n"), probes.ReasonUnavailable},
	}
	w.up("at the start")
	goroutines := goroutinesOf(t)

	must(t, syscall.Kill(first.PID(), syscall.SIGSTOP))
	defer func() { _ = syscall.Kill(first.PID(), syscall.SIGCONT) }()
	w.fails("the server hangs", probes.ReasonTimeout)
	must(t, syscall.Kill(first.PID(), syscall.SIGCONT))
	w.up("it goes on")

	for _, c := range strangers {
		proxy.Down()
		proxy.Up(c.address)
		w.fails(c.name, c.want)
	}

	proxy.Down()
	w.fails("nobody listens", probes.ReasonConnect)
	// Another server comes up there, with another password, which the file gets later.
	proxy.Up(addressOf(t, second.URL()))
	w.fails("the password is another one", probes.ReasonAuth)
	put("second-s3cr3t")
	w.up("the new password")

	status := w.up("at the end")
	if strings.Contains(fmt.Sprint(status), "s3cr3t") || status.Reasons[probes.ReasonPanic] != 0 {
		t.Errorf("%+v", status)
	}
	// A poll may be under way: it has one goroutine and those of one connection.
	waitFor(t, "nothing to have grown", func() bool { return goroutinesOf(t) <= goroutines+3 && proxy.Connections() == 1 })
}

func TestBlackHole(t *testing.T) {
	t.Parallel() // mostly waits
	labelGoroutines(t)
	server := startServer(t, map[string]string{"requirepass": "pw"})
	proxy := probetest.NewProxy(t, addressOf(t, server.URL()))
	config := defaults()
	// The address leads into the hole first and to the server after.
	hole := probetest.BlackHole(t)
	config.URL, config.AddressMap = secret.New("redis://:pw@10.0.0.1:6379"), []string{"10.0.0.1:6379=" + hole}
	probe := probetest.OpenOne(t, config).(*probe)
	before := goroutinesOf(t)
	for range 20 {
		start := time.Now()
		values, err := probetest.Poll(t, probe, 50*time.Millisecond)
		if took := time.Since(start); probes.ReasonOf(err) != probes.ReasonTimeout || len(values) != 0 || took > time.Second {
			t.Fatalf("%q after %v: %v, %v", probes.ReasonOf(err), took, err, values)
		}
	}
	waitFor(t, "the dials to end with their polls", func() bool { return goroutinesOf(t) <= before })
	moved := probe.target
	moved.addresses = map[string]string{"10.0.0.1:6379": proxy.Address()}
	probe.use(moved)
	values := mustPollAll(t, probe)
	if values[`soakd_redis_node_up{node="10.0.0.1:6379"}`] != 1 {
		t.Errorf("the label is the configured address: %v", values)
	}
}

// A cluster that cannot be reached leaves nothing either.
func TestAThousandFailuresOfAClusterLeaveNothing(t *testing.T) {
	t.Parallel() // mostly waits
	labelGoroutines(t)
	servers := startGroup(t, 1, localservices.StartRedis, func() map[string]string {
		return map[string]string{"cluster-enabled": "yes", "cluster-port": unusedPort(t)}
	})
	must(t, servers.clients[0].ClusterAddSlotsRange(t.Context(), 0, allSlots-1).Err())
	proxy := probetest.NewProxy(t, servers.address(0))
	proxy.Down()
	probe := openMode(t, modeCluster, fmt.Sprintf("redis://:%s@%s?addr=127.0.0.1:1&addr=127.0.0.1:2", testPassword, proxy.Address()))
	wrong := openMode(t, modeCluster, "redis://:wrong@"+servers.address(0))
	before := goroutinesOf(t)
	for range 500 {
		if _, err := probetest.Poll(t, probe, 5*time.Second); probes.ReasonOf(err) != probes.ReasonConnect {
			t.Fatal(err)
		}
		if _, err := probetest.Poll(t, wrong, 5*time.Second); probes.ReasonOf(err) != probes.ReasonAuth {
			t.Fatal(err)
		}
	}
	waitFor(t, "goroutines to end", func() bool { return goroutinesOf(t) <= before })
	clients := servers.clients[0].ClientList(t.Context()).Val()
	if strings.Count(clients, "\n") != 1 {
		t.Errorf("clients of the server:\n%s", clients)
	}
	proxy.Up(servers.address(0))
	mustPollAll(t, probe) // one seed of three answers
	mustPollAll(t, probe)
	if len(probe.links.byAddress) > 2 || len(probe.nodes) != 1 {
		t.Errorf("%d links, %d nodes", len(probe.links.byAddress), len(probe.nodes))
	}
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "soakd") //nolint:usetesting // the path of a socket must be short, and the folder open to others
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777)) //nolint:gosec // the server runs as another user
	path := filepath.Join(dir, "redis.sock")
	startServer(t, map[string]string{"requirepass": "pw", "unixsocket": path, "unixsocketperm": "777"})
	probe := open(t, secret.New("unix://:pw@"+path))
	got := mustPoll(t, probe)
	if got.node != path || got.get("memory_used_bytes") <= 0 || got.get("node_up") != 1 {
		t.Errorf("%s: %v", got.node, got.Values)
	}
	must(t, os.Remove(path))
	probe = open(t, secret.New("unix://:pw@"+path))
	if _, err := poll(t, probe); probes.ReasonOf(err) != probes.ReasonConnect {
		t.Errorf("no socket: %v", err)
	}
}

// certificates writes an authority, and a certificate of it for localhost that
// servers and clients can use.
func certificates(t *testing.T, dir string) (authority, certificate, key string) {
	t.Helper()
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o644)) //nolint:gosec // the server runs as another user
		return path
	}
	sign := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		if parent == nil {
			parent, signer = template, private
		}
		data, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
		must(t, err)
		made, err := x509.ParseCertificate(data)
		must(t, err)
		return made, private
	}
	ca, caKey := sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, leafKey := sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca, caKey)
	private, err := x509.MarshalPKCS8PrivateKey(leafKey)
	must(t, err)
	return write("ca.pem", "CERTIFICATE", ca.Raw), write("cert.pem", "CERTIFICATE", leaf.Raw), write("key.pem", "PRIVATE KEY", private)
}

func TestTLS(t *testing.T) {
	dir, err := os.MkdirTemp("", "soakd") //nolint:usetesting // the server runs as another user, who must get there
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755)) //nolint:gosec // the server runs as another user
	authority, certificate, key := certificates(t, dir)
	port := unusedPort(t)
	startServer(t, map[string]string{
		"requirepass": "pw", "tls-port": port, "tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": authority, "tls-auth-clients": "yes",
	})
	for name, c := range map[string]struct {
		host   string
		change func(*Config)
		want   probes.Reason
	}{
		"all is right":            {"localhost", func(*Config) {}, ""},
		"the name is set":         {"127.0.0.1", func(c *Config) { c.TLSServerName = "localhost" }, ""},
		"the name is wrong":       {"127.0.0.1", func(*Config) {}, probes.ReasonTLS},
		"no client certificate":   {"localhost", func(c *Config) { c.TLSCertFile, c.TLSKeyFile = "", "" }, probes.ReasonTLS},
		"an unknown authority":    {"localhost", func(c *Config) { c.TLSCAFile = "" }, probes.ReasonTLS},
		"a server without TLS":    {"none", func(*Config) {}, probes.ReasonTLS},
		"unverified on the URL's": {"127.0.0.1", func(c *Config) { c.URL = secret.New(c.URL.Value() + "?skip_verify=true") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config := defaults()
			config.URL = secret.New("rediss://:pw@" + net.JoinHostPort(c.host, port))
			if c.host == "none" {
				config.URL = secret.New("rediss://:pw@" + fakeServer(t, "-ERR Protocol error\r\n"))
			}
			config.TLSCAFile, config.TLSCertFile, config.TLSKeyFile = authority, certificate, key
			c.change(config)
			values, err := probetest.Poll(t, probetest.OpenOne(t, config), 2*time.Second)
			if name == "no client certificate" && probes.ReasonOf(err) == probes.ReasonReset {
				return // the server's word came after the end of the connection, as it may from TLS 1.3 on
			}
			if probes.ReasonOf(err) != c.want || (err == nil) != (len(values) > 20) {
				t.Errorf("%q, %v: %d values; want %q", probes.ReasonOf(err), err, len(values), c.want)
			}
		})
	}
}

func TestSettingsOfTheWayToRedis(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.pem")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	must(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"mode":              {func(c *Config) { c.Mode = "ring" }, `SOAKD_REDIS_MODE: "ring" is not single, sentinel or cluster`},
		"no master name":    {func(c *Config) { c.Mode = modeSentinel }, "SOAKD_REDIS_URL: lacks master_name; want redis://"},
		"sentinel settings": {func(c *Config) { c.SentinelUsername = "x" }, "need SOAKD_REDIS_MODE=sentinel"},
		"both passwords": {func(c *Config) {
			c.Mode, c.SentinelPassword, c.SentinelPasswordFile = modeSentinel, secret.New("a"), "b"
		}, "SOAKD_REDIS_SENTINEL_PASSWORD_FILE: give the value or the file"},
		"cluster URL":       {func(c *Config) { c.Mode, c.URL = modeCluster, secret.New("redis://:hunter2@h?addr=hunter2") }, "SOAKD_REDIS_URL: is not the URL of a Redis cluster"},
		"TLS without TLS":   {func(c *Config) { c.TLSServerName = "x" }, "SOAKD_REDIS_URL has no TLS; want rediss://"},
		"no CA":             {func(c *Config) { c.URL, c.TLSCAFile = secret.New("rediss://h"), missing }, "SOAKD_REDIS_TLS_CA_FILE: read the authorities: open " + missing},
		"empty CA":          {func(c *Config) { c.URL, c.TLSCAFile = secret.New("rediss://h"), empty }, empty + " holds no certificate"},
		"key without cert":  {func(c *Config) { c.URL, c.TLSKeyFile = secret.New("rediss://h"), missing }, "SOAKD_REDIS_TLS_CERT_FILE, SOAKD_REDIS_TLS_KEY_FILE: "},
		"address":           {func(c *Config) { c.AddressMap = []string{"a:1=b:2", "a:1"} }, `SOAKD_REDIS_ADDRESS_MAP: pair 2: "a:1" is not announced-host:port`},
		"address twice":     {func(c *Config) { c.AddressMap = []string{"a:1=b:2", "a:1=c:3"} }, "pair 2: a:1 is there twice"},
		"address and space": {func(c *Config) { c.AddressMap = []string{"a:1=b:2", " c:1=d:2"} }, `SOAKD_REDIS_ADDRESS_MAP: pair 2: " c:1=d:2" is not announced-host:port`},
		"address and port":  {func(c *Config) { c.AddressMap = []string{"a:1=b:redis"} }, `SOAKD_REDIS_ADDRESS_MAP: pair 1: "a:1=b:redis" is not announced-host:port`},
		"address and zero":  {func(c *Config) { c.AddressMap = []string{"a:0=b:70000"} }, `SOAKD_REDIS_ADDRESS_MAP: pair 1: "a:0=b:70000" is not announced-host:port`},
		"too many":          {func(c *Config) { c.AddressMap = make([]string, maxAddresses+1) }, "129 pairs; want at most 128"},
	} {
		config := defaults()
		config.URL = secret.New("redis://:hunter2@h:1")
		c.change(config)
		err := config.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	for mode, c := range map[string]struct{ url, summary string }{
		modeSingle:   {"redis://u:p@h:1", "h:1 as u"},
		modeCluster:  {"redis://u:p@h:1?addr=g:2&addr=h:1", "cluster of g:2, h:1 as u"},
		modeSentinel: {"redis://s:p@h:1?addr=g:2&master_name=m&username=u&password=x", "master m of the sentinels g:2, h:1 as u"},
	} {
		config := defaults()
		config.Mode, config.URL = mode, secret.New(c.url)
		if err := config.Validate(); err != nil || config.Summary() != c.summary {
			t.Errorf("%s: %v, %q", mode, err, config.Summary())
		}
	}
	config := defaults()
	config.Mode, config.SentinelPassword, config.URL = modeSentinel, secret.New("sp"), secret.New("redis://u:p@h:1?master_name=m")
	if err := config.Validate(); err != nil || config.target.servers != (login{"u", "p"}) || config.target.sentinels != (login{"", "sp"}) {
		t.Errorf("%v, %+v, %+v", err, config.target.servers, config.target.sentinels)
	}
}

func TestNodesAreBoundedAndForgotten(t *testing.T) {
	var nodes []clusterNode
	for i := range maxNodes + 10 {
		nodes = append(nodes, clusterNode{
			id: fmt.Sprint("id", i), address: fmt.Sprintf("127.0.0.1:%d", i+1), flags: []string{"master"}, ranges: [][2]int{{i, i}},
		}, clusterNode{id: fmt.Sprint("r", i), address: fmt.Sprintf("127.0.0.2:%d", i+1), flags: []string{"slave"}, master: fmt.Sprint("id", i)})
	}
	config := defaults()
	config.URL = secret.New("redis://127.0.0.1:1")
	p := probetest.OpenOne(t, config).(*probe)
	p.finder = fixed(placesIn(nodes))
	reading, errs := p.poll(t.Context())
	if reading.Overflow != maxNodes+20 || len(p.nodes) != maxNodes || len(errs) != maxNodes {
		t.Errorf("overflow %d, %d nodes, %d errors", reading.Overflow, len(p.nodes), len(errs))
	}
	if p.nodes["127.0.0.1:64"] == nil || slices.ContainsFunc(errs, func(err error) bool { return strings.Contains(err.Error(), "127.0.0.2") }) {
		t.Error("masters with the lowest slots come first")
	}
	// Sentinels keep replicas that left for good among those that are down.
	gone := []place{{node: "127.0.0.9:1", role: roleReplica}}
	for i := range maxNodes {
		gone = append(gone, place{node: fmt.Sprintf("127.0.0.3:%d", i+1), role: roleReplica, spare: true})
	}
	p.finder = fixed(gone)
	if _, _ = p.poll(t.Context()); p.nodes["127.0.0.9:1"] == nil {
		t.Error("servers that are held for down push out one that is not")
	}
	p.finder = fixed(placesIn(nodes[:2]))
	if _, _ = p.poll(t.Context()); len(p.nodes) != 2 || len(p.links.byAddress) != 2 {
		t.Errorf("%d nodes, %d links; want 2", len(p.nodes), len(p.links.byAddress))
	}
}

// fixed finds always the same servers.
type fixed []place

func (f fixed) find(context.Context, *links, *probes.Reading) ([]place, bool, error) {
	return slices.Clone(f), true, nil
}

func (fixed) readMore(context.Context, *goredis.Client, string, *probes.Reading) error { return nil }

// A time limit of the client's own below SOAKD_PROBE_TIMEOUT would take its place.
func TestOnlyThePollLimitsTheWait(t *testing.T) {
	client := newClient(goredis.Options{Addr: "127.0.0.1:1"})
	defer client.Close() //nolint:errcheck // was never connected
	if o := client.Options(); o.ReadTimeout > 0 || o.WriteTimeout > 0 || !o.ContextTimeoutEnabled {
		t.Errorf("read %v, write %v, by context %t", o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled)
	}
}

// What was never sent cost the servers nothing.
func TestNobodyThereCostsNothing(t *testing.T) {
	for mode, url := range map[string]string{modeSingle: "redis://127.0.0.1:1", modeSentinel: "redis://127.0.0.1:1?master_name=m", modeCluster: "redis://127.0.0.1:1"} {
		reading, err := openMode(t, mode, url).Poll(t.Context())
		if err == nil || reading.Cost != (probes.Cost{}) || len(reading.Samples) != 0 {
			t.Errorf("%s: %+v, %d samples, %v", mode, reading.Cost, len(reading.Samples), err)
		}
	}
}
