package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
)

// pods are servers on addresses of the loopback, 127.0.0.1 and on, which all
// have the same port, as the pods of a service have. Each tells of as many open
// files as its address ends with. Linux has all addresses of 127.0.0.0/8.
type pods struct {
	t    *testing.T
	port string

	mu      sync.Mutex
	servers map[string]*http.Server
	hosts   map[string]bool // those of the requests
}

func startPods(t *testing.T, addresses ...string) *pods {
	t.Helper()
	p := &pods{t: t, port: "0", servers: map[string]*http.Server{}, hosts: map[string]bool{}}
	for _, address := range addresses {
		p.start(address)
	}
	t.Cleanup(func() {
		for address := range maps.Clone(p.servers) {
			p.stop(address)
		}
	})
	return p
}

func (p *pods) start(address string) {
	p.t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, p.port))
	if err != nil {
		p.t.Fatal(err)
	}
	_, p.port, _ = net.SplitHostPort(listener.Addr().String())
	last := address[strings.LastIndex(address, ".")+1:]
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.hosts[r.Host] = true
		p.mu.Unlock()
		page("process_open_fds "+last+"\n")(w, r)
	})}
	p.servers[address] = server
	go func() { _ = server.Serve(listener) }()
}

func (p *pods) stop(address string) {
	_ = p.servers[address].Close()
	delete(p.servers, address)
}

// openResolving opens the probe with the test's DNS, which it asks at each poll
// when interval is 0.
func openResolving(t *testing.T, server *dnsServer, url, mode string, interval time.Duration) *probe {
	t.Helper()
	config := Config{MetricsURL: url, DNS: mode, DNSInterval: time.Minute, resolver: server.resolver()}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	config.DNSInterval = interval
	opened, err := config.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened[0].Close)
	return opened[0].(*probe)
}

func TestReplicasOfANameComeAndGo(t *testing.T) {
	pods := startPods(t, "127.0.0.11", "127.0.0.12", "127.0.0.13")
	server := startDNS(t)
	server.set(func(s *dnsServer) { s.hosts["api.test"] = []string{"127.0.0.12", "127.0.0.11"} })
	probe := openResolving(t, server, "http://api.test:"+pods.port+"/metrics", "a", 0)
	check := func(what string, want map[string]float64) {
		t.Helper()
		values, err := probetest.Poll(t, probe, pollTime)
		if err != nil || !maps.Equal(openFiles(values), want) || states(values) != fmt.Sprintf("%d %d 0", len(want), len(want)) {
			t.Errorf("%s: %v, %v; want %v", what, values, err, want)
		}
	}
	check("two", map[string]float64{"api.test#0": 11, "api.test#1": 12})
	server.set(func(s *dnsServer) { s.hosts["api.test"] = []string{"127.0.0.13", "127.0.0.12"} })
	check("one moves", map[string]float64{"api.test#1": 12, "api.test#2": 13})
	server.set(func(s *dnsServer) { s.hosts["api.test"] = []string{"127.0.0.13", "127.0.0.12", "127.0.0.11"} })
	check("and comes back to its place", map[string]float64{"api.test#0": 11, "api.test#1": 12, "api.test#2": 13})
	if want := map[string]bool{"api.test:" + pods.port: true}; !maps.Equal(pods.hosts, want) {
		t.Errorf("the Host headers were %v, want %v", pods.hosts, want)
	}
}

// The DNS is asked again after a failure, whatever the interval.
func TestFailOverOfAName(t *testing.T) {
	pods := startPods(t, "127.0.0.21", "127.0.0.22")
	server := startDNS(t)
	server.set(func(s *dnsServer) { s.hosts["api.test"] = []string{"127.0.0.21"} })
	probe := openResolving(t, server, "http://api.test:"+pods.port+"/metrics", "a", time.Hour)
	if values, err := probetest.Poll(t, probe, pollTime); err != nil || openFiles(values)["api.test#0"] != 21 {
		t.Fatalf("%v, %v", values, err)
	}
	pods.stop("127.0.0.21")
	server.set(func(s *dnsServer) { s.hosts["api.test"] = []string{"127.0.0.22"} })
	if values, err := probetest.Poll(t, probe, pollTime); probes.ReasonOf(err) != probes.ReasonConnect || len(openFiles(values)) != 0 {
		t.Errorf("away: %v, %v", values, err)
	}
	values, err := probetest.Poll(t, probe, pollTime)
	if err != nil || !maps.Equal(openFiles(values), map[string]float64{"api.test#1": 22}) {
		t.Errorf("failed over: %v, %v", values, err)
	}
	asked := server.questions()
	if _, err := probetest.Poll(t, probe, pollTime); err != nil || server.questions() != asked {
		t.Errorf("asked again although all is well: %v", err)
	}
}

func TestReplicasOfServiceRecords(t *testing.T) {
	first, second := startPods(t, "127.0.0.31"), startPods(t, "127.0.0.32")
	port := func(p *pods) uint16 {
		number, err := net.LookupPort("tcp", p.port)
		if err != nil {
			t.Fatal(err)
		}
		return uint16(number)
	}
	server := startDNS(t)
	server.set(func(s *dnsServer) {
		s.hosts["api-0.test"], s.hosts["api-1.test"] = []string{"127.0.0.31"}, []string{"127.0.0.32"}
		s.services["_metrics._tcp.test"] = []srvTarget{{"api-1.test", port(second)}, {"api-0.test", port(first)}}
	})
	probe := openResolving(t, server, "http://_metrics._tcp.test/metrics", "srv", 0)
	values, err := probetest.Poll(t, probe, pollTime)
	if err != nil || !maps.Equal(openFiles(values), map[string]float64{"_metrics._tcp.test#0": 31, "_metrics._tcp.test#1": 32}) {
		t.Errorf("%v, %v", values, err)
	}
	if want := map[string]bool{"api-0.test:" + first.port: true}; !maps.Equal(first.hosts, want) {
		t.Errorf("the Host headers were %v, want %v", first.hosts, want)
	}
	// One whose name has no address is away; the other is read.
	server.set(func(s *dnsServer) { delete(s.hosts, "api-0.test") })
	values, err = probetest.Poll(t, probe, pollTime)
	if probes.ReasonOf(err) != probes.ReasonDNS || !maps.Equal(openFiles(values), map[string]float64{"_metrics._tcp.test#1": 32}) || states(values) != "2 1 0" {
		t.Errorf("a name without an address: %v, %v", values, err)
	}
}

func TestTheKnownAreReadWithoutTheDNS(t *testing.T) {
	pods := startPods(t, "127.0.0.41")
	server := startDNS(t)
	probe := openResolving(t, server, "http://api.test:"+pods.port+"/metrics", "a", 0)
	check := func(what string, change func(*dnsServer), reason probes.Reason, want map[string]float64) {
		t.Helper()
		server.set(change)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		reading, err := probe.Poll(ctx)
		values := probetest.ValuesOf(t, probe, reading)
		if probes.ReasonOf(err) != reason || !maps.Equal(openFiles(values), want) || ctx.Err() != nil {
			t.Errorf("%s: %v, %s, %v; want %v, %v", what, values, probes.ReasonOf(err), err, want, reason)
		}
		if len(want) == 0 && len(values) != 0 {
			t.Errorf("%s: %v without a replica", what, values)
		}
	}
	known := map[string]float64{"api.test#0": 41}
	check("no such name yet", func(*dnsServer) {}, probes.ReasonDNS, map[string]float64{})
	check("there", func(s *dnsServer) { s.hosts["api.test"] = []string{"127.0.0.41"} }, "", known)
	check("the DNS hangs", func(s *dnsServer) { s.silent = true }, probes.ReasonDNS, known)
	check("the DNS fails", func(s *dnsServer) { s.silent, s.failing = false, true }, probes.ReasonDNS, known)
	check("no such name", func(s *dnsServer) { s.failing, s.hosts = false, map[string][]string{} }, probes.ReasonDNS, known)
	check("back", func(s *dnsServer) { s.hosts["api.test"] = []string{"127.0.0.41"} }, "", known)
}

func TestMoreReplicasThanLabels(t *testing.T) {
	const count = maxReplicas + 5
	var addresses []string
	for i := range count {
		addresses = append(addresses, fmt.Sprintf("127.0.0.%d", 100+i))
	}
	pods := startPods(t, addresses...)
	server := startDNS(t)
	server.set(func(s *dnsServer) { s.hosts["api.test"] = addresses })
	probe := openResolving(t, server, "http://api.test:"+pods.port+"/metrics", "a", 0)
	ctx, cancel := context.WithTimeout(t.Context(), pollTime)
	defer cancel()
	reading, err := probe.Poll(ctx)
	values := probetest.ValuesOf(t, probe, reading)
	if err != nil || len(openFiles(values)) != maxReplicas || states(values) != "37 32 5" || reading.Overflow != 5 || reading.Cost.Queries != maxReplicas {
		t.Errorf("%v, %v, overflow %d, cost %v", values, err, reading.Overflow, reading.Cost)
	}
}

// The certificate is that of the name, not of the address.
func TestTheNameIsThatOfTheCertificate(t *testing.T) {
	var asked []string
	target := httptest.NewUnstartedServer(filesOf(1))
	target.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	target.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		asked = append(asked, hello.ServerName)
		return nil, nil //nolint:nilnil // the server's own
	}}
	target.StartTLS()
	defer target.Close()
	server := startDNS(t)
	server.set(func(s *dnsServer) { s.hosts["example.com"] = []string{"127.0.0.1"} }) // the test certificate's
	_, port, _ := net.SplitHostPort(target.Listener.Addr().String())
	probe := openResolving(t, server, "https://example.com:"+port+"/metrics", "a", time.Hour)
	if _, err := probetest.Poll(t, probe, pollTime); probes.ReasonOf(err) != probes.ReasonTLS {
		t.Errorf("an unknown authority: %v", err)
	}
	known := x509.NewCertPool()
	known.AddCert(target.Certificate())
	for _, one := range probe.members.(*resolved).replicas {
		one.sources[0].(*pageSource).client.Transport.(*http.Transport).TLSClientConfig.RootCAs = known
	}
	values, err := probetest.Poll(t, probe, pollTime)
	if err != nil || openFiles(values)["example.com#0"] != 1 || !slices.Equal(asked, []string{"example.com", "example.com"}) {
		t.Errorf("%v, %v, asked for %q", values, err, asked)
	}
}

func TestAStoppedProcessAndBack(t *testing.T) {
	h := startHelper(t, "page", "target")
	probe := open(t, Config{MetricsURL: "http://" + h.line() + "/metrics"})
	signal := func(signal syscall.Signal) {
		t.Helper()
		if err := h.command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if values, err := probetest.Poll(t, probe, pollTime); err != nil || len(openFiles(values)) != 1 {
			t.Errorf("runs: %v, %v", values, err)
		}
		signal(syscall.SIGSTOP)
		awaitStopped(t, h.pid())
		if values, err := probetest.Poll(t, probe, 200*time.Millisecond); probes.ReasonOf(err) != probes.ReasonTimeout || len(openFiles(values)) != 0 {
			t.Errorf("stopped: %v, %v", values, err)
		}
		signal(syscall.SIGCONT)
	}
}

// awaitStopped waits until no thread of the process runs any more.
func awaitStopped(t *testing.T, pid int) {
	t.Helper()
	ticker, deadline := time.NewTicker(time.Millisecond), time.NewTimer(20*time.Second)
	defer ticker.Stop()
	defer deadline.Stop()
	for {
		tasks, err := procfs.AllThreads(pid)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(tasks, func(task procfs.Proc) bool {
			stat, err := task.Stat()
			return err == nil && stat.State != "T"
		}) {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatal("the process does not stop")
		}
	}
}

func TestABlackHole(t *testing.T) {
	address := probetest.BlackHole(t)
	other := hostOf(serve(t, filesOf(2)))
	probe := open(t, Config{MetricsURL: "http://" + address + "/metrics http://" + other + "/metrics"})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	reading, err := probe.Poll(ctx)
	values := probetest.ValuesOf(t, probe, reading)
	if probes.ReasonOf(err) != probes.ReasonTimeout || !maps.Equal(openFiles(values), map[string]float64{other: 2}) || reading.Cost.Queries != 1 {
		t.Errorf("%v, %v, cost %+v", values, err, reading.Cost)
	}
}

// What fails for hours leaves nothing behind.
func TestFailuresLeaveNothingBehind(t *testing.T) {
	h := startHelper(t, "page", "target")
	address := h.line()
	if err := h.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	refused := probetest.NewProxy(t, address)
	refused.Down()
	urls := []string{"http://" + address + "/metrics", "http://" + refused.Address() + "/metrics", raw(t, "garbage\r\n\r\n"), raw(t, ""), serve(t, filesOf(1))}
	probe := open(t, Config{MetricsURL: strings.Join(urls, ",")})
	poll := func() {
		t.Helper()
		if values, err := probetest.Poll(t, probe, 50*time.Millisecond); err == nil || len(byReplica(values, "replica_up")) != len(urls) {
			t.Errorf("%v, %v", values, err)
		}
	}
	poll()
	files, goroutines := ownFiles(t), runtime.NumGoroutine()
	for range 40 {
		poll()
	}
	if err := h.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// Connections that were given up are closed by goroutines of net/http.
	probetest.Eventually(t, probe, "files and goroutines are as before", func(probetest.Values, error) bool {
		return ownFiles(t) <= files+2 && runtime.NumGoroutine() <= goroutines+2
	})
}

func ownFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Every address is new: the state of those that are gone is freed.
func TestAddressesThatChangeLeaveNothingBehind(t *testing.T) {
	server := startDNS(t)
	probe := openResolving(t, server, "http://api.test:9/metrics", "a", 0)
	goroutines := runtime.NumGoroutine()
	for i := range 300 {
		server.set(func(s *dnsServer) {
			s.hosts["api.test"] = []string{fmt.Sprintf("127.1.%d.1", i%250), fmt.Sprintf("127.2.%d.%d", i%250, i%9)}
		})
		if _, err := probetest.Poll(t, probe, pollTime); err == nil {
			t.Fatal("read something of nobody")
		}
	}
	known := probe.members.(*resolved)
	if len(known.replicas) > maxReplicas || len(known.seats) > maxReplicas || runtime.NumGoroutine() > goroutines+5 {
		t.Errorf("%d replicas, %d seats, %d goroutines, %d before", len(known.replicas), len(known.seats), runtime.NumGoroutine(), goroutines)
	}
}
