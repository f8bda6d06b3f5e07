package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// probe watches one server. Poll is not called concurrently, so that its state
// needs no lock.
type probe struct {
	client *goredis.Client
	hidden []secret.String

	descs   probes.Descs
	metrics metrics
	node    *node
}

func newProbe(options goredis.Options, url secret.String, window time.Duration) *probe {
	p := &probe{hidden: []secret.String{secret.New(options.Password), url}}
	p.metrics = describe(&p.descs)
	p.node = newNode(options.Addr, &p.metrics, window)
	p.client = newClient(options)
	return p
}

func (p *probe) Name() string             { return Name }
func (p *probe) Describe() []*probes.Desc { return p.descs }
func (p *probe) Close()                   { _ = p.client.Close() }

// Poll reads the server.
func (p *probe) Poll(ctx context.Context) (probes.Reading, error) {
	var reading probes.Reading
	err := p.node.read(ctx, p.client, &reading)
	return reading, probes.Brief(err, p.hidden...)
}
