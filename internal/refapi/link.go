package refapi

import (
	"context"
	"errors"
	"net"
	"sync"
)

// dialer opens a connection.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// links are the API's connections to one dependency, which can be cut to see
// what the API does without it.
type links struct {
	mu   sync.Mutex
	down bool
	open map[*linked]struct{}
}

// linked is one connection.
type linked struct {
	net.Conn
	links *links
}

// errCut is what dialling ends with while the dependency is cut off.
var errCut = errors.New("connection refused: the dependency is cut off by a fault")

func newLinks() *links { return &links{open: map[*linked]struct{}{}} }

// dialed returns a dialer whose connections can be cut.
func (l *links) dialed(dial dialer) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if l.isDown() {
			return nil, errCut
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		one := &linked{conn, l}
		if !l.add(one) {
			return nil, errors.Join(errCut, conn.Close())
		}
		return one, nil
	}
}

func (l *links) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down
}

// add reports false when the dependency was cut off meanwhile.
func (l *links) add(one *linked) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down {
		l.open[one] = struct{}{}
	}
	return !l.down
}

// cut closes every connection and refuses others until mend.
func (l *links) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for one := range l.open {
		_ = one.Conn.Close() // it is meant to break
	}
	clear(l.open)
}

func (l *links) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// Close implements [net.Conn].
func (c *linked) Close() error {
	c.links.mu.Lock()
	delete(c.links.open, c)
	c.links.mu.Unlock()
	return c.Conn.Close()
}

// NetConn returns what is wrapped, through which go-redis sees whether an idle
// connection still lives.
func (c *linked) NetConn() net.Conn { return c.Conn }
