package wire

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// resolver remembers the addresses of one name and hands them out in turn.
type resolver struct {
	host   string
	lookUp func(ctx context.Context, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	known []netip.Addr
	next  int
}

func newResolver(host string, lookUp func(context.Context, string) ([]netip.Addr, error)) *resolver {
	if lookUp == nil {
		lookUp = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return &resolver{host: host, lookUp: lookUp}
}

// addresses returns the addresses of the name, each time beginning with the next
// of them, so that connections spread over all.
func (r *resolver) addresses(ctx context.Context) ([]netip.Addr, error) {
	r.mu.Lock()
	known := r.known
	first := r.next
	r.next++
	r.mu.Unlock()
	if len(known) == 0 {
		var err error
		if known, err = r.refresh(ctx); err != nil {
			return nil, err
		}
	}
	turned := make([]netip.Addr, 0, len(known))
	for i := range known {
		turned = append(turned, known[(first+i)%len(known)])
	}
	return turned, nil
}

// refresh asks for the addresses of the name again.
func (r *resolver) refresh(ctx context.Context) ([]netip.Addr, error) {
	found, err := r.lookUp(ctx, r.host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no address", Name: r.host, IsNotFound: true}
	}
	if err != nil {
		return nil, fmt.Errorf("resolve the target's name: %w", err)
	}
	found = slices.Clone(found) // whoever looked it up may keep it
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = found
	return found, nil
}
