// Package probetest has what the tests of several kinds of probe need: a proxy
// that makes a dependency go away, come back or hang, and a way to look at the
// values of a reading.
package probetest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kelseyhightower/envconfig"

	"soakd/internal/probes"
)

// Proxy passes TCP connections on to a server. It starts up.
type Proxy struct {
	t       testing.TB
	address string

	mu       sync.Mutex
	target   string
	listener net.Listener
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

// NewProxy returns a proxy to target (host:port) on a free loopback port. It
// ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, address: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	p.Up(target)
	keepPort(t, p.listener.Addr())
	t.Cleanup(p.Down)
	return p
}

// Address returns the proxy's host:port, which never changes and is nobody else's
// while the proxy is down.
func (p *Proxy) Address() string { return p.address }

// Up lets new connections through to target.
func (p *Proxy) Up(target string) {
	p.t.Helper()
	listener, err := (&net.ListenConfig{Control: shared}).Listen(context.Background(), "tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target, p.listener, p.address = target, listener, listener.Addr().String()
	p.running.Go(func() { p.accept(listener) })
}

// Down cuts every connection and refuses new ones.
func (p *Proxy) Down() {
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// Connections returns how many client connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) / 2
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.join(listener, client, server)
	}
}

// join copies in both directions until one side ends.
func (p *Proxy) join(listener net.Listener, client, server net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != listener { // went down meanwhile
		_ = client.Close()
		_ = server.Close()
		return
	}
	p.conns[client], p.conns[server] = true, true
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		p.running.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			p.drop(client, server)
		})
	}
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

// Poll polls probe once with a deadline and returns its values.
func Poll(t testing.TB, probe probes.Probe, timeout time.Duration) (Values, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	reading, err := probe.Poll(ctx)
	return ValuesOf(t, probe, reading), err
}

// Values are the values of a reading by series: name, or name{label="value"}
// with the labels in the order of the description.
type Values map[string]float64

// ValuesOf returns the values of reading. A sample that does not fit its
// description, and a series that is there twice, fail the test.
func ValuesOf(t testing.TB, probe probes.Probe, reading probes.Reading) Values {
	t.Helper()
	described := map[*probes.Desc]bool{}
	for _, desc := range probe.Describe() {
		described[desc] = true
	}
	values := Values{}
	for _, sample := range reading.Samples {
		if !described[sample.Desc] || len(sample.Labels) != len(sample.Desc.Labels) {
			t.Errorf("sample %+v does not fit its description", sample)
			continue
		}
		series := seriesOf(sample)
		if _, twice := values[series]; twice {
			t.Errorf("%s is there twice", series)
		}
		values[series] = sample.Value
		if sample.Times != nil { // of a histogram its count
			values[series] = float64(sample.Times.Histogram.Count())
		}
	}
	return values
}

// Open opens the probes of a configuration that is valid and closes them with
// the test.
func Open(t testing.TB, config probes.Config) []probes.Probe {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	opened, err := config.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, probe := range opened {
		t.Cleanup(probe.Close)
	}
	return opened
}

// OpenOne is [Open] for a configuration that makes one probe.
func OpenOne(t testing.TB, config probes.Config) probes.Probe {
	t.Helper()
	opened := Open(t, config)
	if len(opened) != 1 {
		t.Fatalf("%d probes were opened, want one", len(opened))
	}
	return opened[0]
}

func seriesOf(sample probes.Sample) string {
	text := sample.Desc.Name
	for i, name := range sample.Desc.Labels {
		separator := ","
		if i == 0 {
			separator = "{"
		}
		text += separator + name + `="` + sample.Labels[i] + `"`
	}
	if len(sample.Desc.Labels) > 0 {
		text += "}"
	}
	return text
}

// Eventually polls until ok is satisfied or the time is over, when it fails the
// test with the last values.
func Eventually(t testing.TB, probe probes.Probe, what string, ok func(Values, error) bool) Values {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		values, err := Poll(t, probe, 5*time.Second)
		if ok(values, err) {
			return values
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within 20 s; last: %v, %v", what, values, err)
		}
	}
}

// CheckConfig fails the test when a field of the kind's configuration lacks its
// variable or its description, or when its default differs from the one in Kind.
func CheckConfig(t testing.TB, kind func() probes.Kind) {
	t.Helper()
	config := kind().Config
	fields := reflect.TypeOf(config).Elem()
	for i := range fields.NumField() {
		field := fields.Field(i)
		if !field.IsExported() {
			continue
		}
		variable, help := field.Tag.Get("envconfig"), field.Tag.Get("desc")
		if !strings.HasPrefix(variable, strings.ToUpper(kind().Name)+"_") || variable != strings.ToUpper(variable) {
			t.Errorf("%s: variable %q", field.Name, variable)
		}
		if len(help) < 20 || !strings.HasSuffix(help, ".") {
			t.Errorf("%s: description %q is no sentence", field.Name, help)
		}
	}
	if err := envconfig.Process("soakd_no_such_prefix", config); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%+v", config), fmt.Sprintf("%+v", kind().Config); got != want {
		t.Errorf("the defaults of the tags are %s, those of Kind %s", got, want)
	}
}

// CheckDescriptions fails the test when names, types and label names do not
// follow the conventions that the exporter relies on.
func CheckDescriptions(t testing.TB, probe probes.Probe) {
	t.Helper()
	seen := map[string]bool{}
	prefix := "soakd_" + probes.KindOf(probe.Name()) + "_"
	for _, desc := range probe.Describe() {
		isTotal := len(desc.Name) > 6 && desc.Name[len(desc.Name)-6:] == "_total"
		switch {
		case seen[desc.Name]:
			t.Errorf("%s is described twice", desc.Name)
		case len(desc.Name) <= len(prefix) || desc.Name[:len(prefix)] != prefix:
			t.Errorf("%s does not start with %s", desc.Name, prefix)
		case isTotal != (desc.Type == probes.Counter):
			t.Errorf("%s: counters, and only they, end in _total", desc.Name)
		case len(desc.Help) < 10 || desc.Help[len(desc.Help)-1] != '.':
			t.Errorf("%s: help %q is no sentence", desc.Name, desc.Help)
		}
		seen[desc.Name] = true
	}
}
