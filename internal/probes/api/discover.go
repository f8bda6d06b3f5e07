package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/probes"
)

// keepAnswer is for how long replicas are read on after the last good answer of
// the DNS: long enough for a restart of a resolver, short enough that addresses
// which others have been given meanwhile are not read for hours.
const keepAnswer = 5 * time.Minute

// discovery finds the addresses of the replicas behind one name. It is not for
// concurrent use.
type discovery struct {
	// host is the name; for SRV records that of the records.
	host string
	// port is added to the addresses of a host; SRV records bring their own.
	port string
	// srv asks for SRV records (RFC 2782) in place of addresses.
	srv      bool
	resolver *net.Resolver
	interval time.Duration

	known    []string
	answered time.Time // when known was answered
	next     time.Time // when to ask again
}

// addresses returns the host:port of each replica, sorted, asking the DNS when
// it is time to or when again is set. With an error they are those of an answer
// that is at most keepAnswer old, or none.
func (d *discovery) addresses(ctx context.Context, now time.Time, again bool) ([]string, error) {
	if !again && now.Before(d.next) {
		return d.known, nil
	}
	found, err := d.ask(ctx)
	if err == nil && len(found) == 0 {
		err = errors.New("the answer holds no address")
	}
	if err == nil {
		d.known, d.answered, d.next = found, now, now.Add(d.interval)
		return d.known, nil
	}
	d.next = now // at every poll until there is an answer
	if now.Sub(d.answered) > keepAnswer {
		d.known = nil
	}
	return d.known, probes.Because(probes.ReasonDNS, fmt.Errorf("find the replicas of %s: %w", d.host, err))
}

func (d *discovery) ask(ctx context.Context) ([]string, error) {
	var found []string
	var err error
	if d.srv {
		found, err = d.askSRV(ctx)
	} else {
		found, err = d.askHost(ctx)
	}
	if len(found) > 0 {
		err = nil // of some of the records: what is wrong is left out
	}
	slices.Sort(found)
	return slices.Compact(found), err
}

func (d *discovery) askHost(ctx context.Context) ([]string, error) {
	addresses, err := d.resolver.LookupNetIP(ctx, "ip", d.host)
	found := make([]string, 0, len(addresses))
	for _, address := range addresses {
		found = append(found, net.JoinHostPort(address.Unmap().String(), d.port))
	}
	return found, err
}

// askSRV takes the target and port of each record. Priority and weight are for
// those who want one of the replicas.
func (d *discovery) askSRV(ctx context.Context) ([]string, error) {
	_, records, err := d.resolver.LookupSRV(ctx, "", "", d.host)
	found := make([]string, 0, len(records))
	for _, record := range records {
		if target := strings.TrimSuffix(record.Target, "."); target != "" { // "." says that there is no such service
			found = append(found, net.JoinHostPort(target, strconv.Itoa(int(record.Port))))
		}
	}
	return found, err
}

const (
	// maxReplicas bounds the label replica, and what is read at a poll.
	maxReplicas = 32
	// holdSeat is for how long the seat of a replica that is gone is kept for it:
	// it may only be unready for a while. It is also longer than the windows that
	// rates are taken over, so that the counters of two replicas do not meet in one.
	holdSeat = 10 * time.Minute
)

// seat is one value of the label replica of a name, by its place in the list.
type seat struct {
	// address is that of the replica that has the seat; "" when nobody has.
	address string
	// left is since when the address is not answered any more; zero while it is.
	left time.Time
}

// seated gives each of the addresses a seat and returns the seats and how many
// addresses got none. An address keeps its seat as long as it is there and for
// holdSeat after. A new one takes the first free seat, a new seat, or, when all are
// taken, that of the one which is gone for the longest.
func seated(seats []seat, addresses []string, now time.Time) (next []seat, leftOut int) {
	next = slices.Clone(seats)
	for i := range next {
		switch s := &next[i]; {
		case slices.Contains(addresses, s.address):
			s.left = time.Time{}
		case s.address != "" && s.left.IsZero():
			s.left = now
		case s.address != "" && now.Sub(s.left) > holdSeat:
			*s = seat{}
		}
	}
	for _, address := range addresses {
		if slices.ContainsFunc(next, func(s seat) bool { return s.address == address }) {
			continue
		}
		at := freeSeat(next)
		switch {
		case at < 0:
			leftOut++
		case at == len(next):
			next = append(next, seat{address: address})
		default:
			next[at] = seat{address: address}
		}
	}
	return next, leftOut
}

// freeSeat returns the place of the seat to give away, -1 when there is none.
func freeSeat(seats []seat) int {
	if at := slices.IndexFunc(seats, func(s seat) bool { return s.address == "" }); at >= 0 {
		return at
	}
	if len(seats) < maxReplicas {
		return len(seats)
	}
	oldest := -1
	for i, s := range seats {
		if !s.left.IsZero() && (oldest < 0 || s.left.Before(seats[oldest].left)) {
			oldest = i
		}
	}
	return oldest
}
