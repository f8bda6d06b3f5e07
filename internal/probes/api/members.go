package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"soakd/internal/probes"
)

// members tells which replicas there are. It is not for concurrent use.
type members interface {
	// current returns the replicas that are to be read now and how many more there
	// are. An error says that they may not be all or not the right ones. again tells
	// that the last poll failed for some.
	current(ctx context.Context, again bool) (replicas []*replica, leftOut int, err error)
	close()
}

// fixed are the replicas that the configuration names.
type fixed []*replica

func (f fixed) current(context.Context, bool) ([]*replica, int, error) { return f, 0, nil }

func (f fixed) close() {
	for _, r := range f {
		r.close()
	}
}

// resolved are the replicas behind a name of the DNS.
type resolved struct {
	discovery discovery
	seats     []seat
	// replicas are those of the seats, by address.
	replicas map[string]*replica
	// open makes the replica of that label and address.
	open func(label, address string) *replica
	log  *slog.Logger
}

// dnsShare is the part of a poll's time that the DNS may take: the replicas that
// are known are read also when it hangs.
const dnsShare = 3

func (r *resolved) current(ctx context.Context, again bool) ([]*replica, int, error) {
	ctx, cancel := probes.Share(ctx, dnsShare)
	defer cancel()
	now := time.Now()
	addresses, err := r.discovery.addresses(ctx, now, again)
	var leftOut int
	before := r.seats
	r.seats, leftOut = seated(before, addresses, now)
	r.logLeft(before)
	return r.seat(), leftOut, err
}

// logLeft logs the replicas that the DNS does not tell of any more.
func (r *resolved) logLeft(before []seat) {
	for i, s := range r.seats {
		if !s.left.IsZero() && i < len(before) && before[i].left.IsZero() {
			r.log.Info("replica left", "replica", r.replicas[s.address].name, "address", s.address)
		}
	}
}

// seat makes the replicas of new seats, drops those that have lost theirs and
// returns those that are there now, in the order of their seats.
func (r *resolved) seat() []*replica {
	var present []*replica
	kept := map[string]*replica{}
	for i, s := range r.seats {
		if s.address == "" {
			continue
		}
		one, known := r.replicas[s.address]
		if !known {
			one = r.open(fmt.Sprintf("%s#%d", r.discovery.host, i), s.address)
			r.log.Info("replica found", "replica", one.name, "address", s.address)
		}
		kept[s.address] = one
		if s.left.IsZero() {
			present = append(present, one)
		}
	}
	for address, one := range r.replicas {
		if kept[address] != one {
			r.log.Debug("replica forgotten", "replica", one.name, "address", address)
			one.close()
		}
	}
	r.replicas = kept
	return present
}

func (r *resolved) close() {
	for _, one := range r.replicas {
		one.close()
	}
}

// hostPort returns host and port of u, the port by its scheme when it has none.
func hostPort(u *url.URL) (host, port string) {
	if port = u.Port(); port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Hostname(), port
}
