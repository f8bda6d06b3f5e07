package redis

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// oneNode is a probe of one server with nothing around its node.
type oneNode struct {
	descs   probes.Descs
	metrics metrics
	node    *node
	client  *goredis.Client
}

func (o *oneNode) Name() string             { return Name }
func (o *oneNode) Describe() []*probes.Desc { return o.descs }
func (o *oneNode) Close()                   {}

func (o *oneNode) Poll(ctx context.Context) (probes.Reading, error) {
	var reading probes.Reading
	err := o.node.read(ctx, o.client, &reading)
	return reading, err
}

// aNode makes a node without a server.
func aNode(config *Config) *oneNode {
	o := &oneNode{}
	o.metrics = describe(&o.descs)
	o.metrics.configure(config)
	o.node = newNode("h:1", &o.metrics, time.Minute)
	return o
}

func defaults() *Config { return Kind().Config.(*Config) }

// openNode makes a node of the server at url.
func openNode(t *testing.T, url secret.String, config *Config) *oneNode {
	t.Helper()
	o := aNode(config)
	options, err := goredis.ParseURL(url.Value())
	must(t, err)
	options.DB = 0
	o.client = newClient(*options)
	t.Cleanup(func() { _ = o.client.Close() })
	return o
}

// poll polls the node once.
func (o *oneNode) poll(t *testing.T) (reader, error) {
	t.Helper()
	values, err := probetest.Poll(t, o, 5*time.Second)
	return reader{values, o.node.name}, err
}

func (o *oneNode) mustPoll(t *testing.T) reader {
	t.Helper()
	got, err := o.poll(t)
	must(t, err)
	return got
}

// eventually polls until ok is satisfied.
func (o *oneNode) eventually(t *testing.T, what string, ok func(reader, error) bool) reader {
	t.Helper()
	values := probetest.Eventually(t, o, what, func(values probetest.Values, err error) bool {
		return ok(reader{values, o.node.name}, err)
	})
	return reader{values, o.node.name}
}

// reads tells that a poll read everything.
func reads(_ reader, err error) bool { return err == nil }

// readInfo gives what is read of an answer to INFO.
func (o *oneNode) readInfo(t *testing.T, fields info) (reader, probes.Reading, error) {
	t.Helper()
	var reading probes.Reading
	err := o.node.readInfo(&reading, fields)
	return reader{probetest.ValuesOf(t, o, reading), o.node.name}, reading, err
}

// absent is the wanted value of what must not be there.
const absent = -1e18

// check compares values.
func check(t *testing.T, got reader, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		switch {
		case value == absent && got.has(name):
			t.Errorf("%s is %v, want none", name, got.get(name))
		case value != absent && (!got.has(name) || got.get(name) != value):
			t.Errorf("%s is %v (there: %t), want %v", name, got.get(name), got.has(name), value)
		}
	}
}
