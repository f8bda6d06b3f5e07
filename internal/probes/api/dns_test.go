package api

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer is a server of the DNS on the loopback whose answers change.
type dnsServer struct {
	conn net.PacketConn

	mu sync.Mutex
	// hosts are the IPv4 addresses of names, services host:port of names of SRV
	// records, both without the dot at the end.
	hosts    map[string][]string
	services map[string][]srvTarget
	// failing answers SERVFAIL, silent nothing.
	failing, silent bool
	asked           int
}

type srvTarget struct {
	host string
	port uint16
}

func startDNS(t *testing.T) *dnsServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dnsServer{conn: conn, hosts: map[string][]string{}, services: map[string][]srvTarget{}}
	var running sync.WaitGroup
	running.Go(s.serve)
	t.Cleanup(func() {
		_ = conn.Close()
		running.Wait()
	})
	return s
}

// set changes the answers.
func (s *dnsServer) set(change func(*dnsServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *dnsServer) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// resolver returns a resolver that asks nobody else.
func (s *dnsServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		if network != "udp" {
			return nil, errors.New("the test's server speaks UDP only")
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
		if err == nil {
			// A resolver that was given up reads on for its own 5 s otherwise.
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}}
}

func (s *dnsServer) serve() {
	buffer := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var query dnsmessage.Message
		if query.Unpack(buffer[:n]) != nil || len(query.Questions) != 1 {
			continue
		}
		if answer, ok := s.answer(&query); ok {
			_, _ = s.conn.WriteTo(answer, from)
		}
	}
}

func (s *dnsServer) answer(query *dnsmessage.Message) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	question := query.Questions[0]
	name := strings.TrimSuffix(question.Name.String(), ".")
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, Authoritative: true, RCode: dnsmessage.RCodeSuccess},
		Questions: query.Questions,
	}
	header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: dnsmessage.ClassINET}
	add := func(body dnsmessage.ResourceBody) {
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: body})
	}
	_, isHost := s.hosts[name]
	_, isService := s.services[name]
	switch {
	case s.silent:
		return nil, false
	case s.failing:
		reply.RCode = dnsmessage.RCodeServerFailure
	case !isHost && !isService:
		reply.RCode = dnsmessage.RCodeNameError
	case question.Type == dnsmessage.TypeA:
		for _, address := range s.hosts[name] {
			add(&dnsmessage.AResource{A: [4]byte(net.ParseIP(address).To4())})
		}
	case question.Type == dnsmessage.TypeSRV:
		for _, target := range s.services[name] {
			add(&dnsmessage.SRVResource{Target: dnsmessage.MustNewName(target.host + "."), Port: target.port})
		}
	}
	packed, err := reply.Pack()
	return packed, err == nil
}

func TestAddressesAreSorted(t *testing.T) {
	server := startDNS(t)
	server.set(func(s *dnsServer) {
		s.hosts["api.test"] = []string{"127.0.0.3", "127.0.0.1", "127.0.0.3"}
		s.services["_metrics._tcp.api.test"] = []srvTarget{{"b.test", 80}, {"a.test", 81}, {"a.test", 9}}
		s.services["none.test"] = []srvTarget{{"", 0}} // RFC 2782: there is no such service
	})
	for _, c := range []struct {
		host string
		srv  bool
		want []string
	}{
		{"api.test", false, []string{"127.0.0.1:8000", "127.0.0.3:8000"}},
		{"_metrics._tcp.api.test", true, []string{"a.test:81", "a.test:9", "b.test:80"}},
		{"none.test", true, nil},
		{"127.0.0.9", false, []string{"127.0.0.9:8000"}},
	} {
		d := discovery{host: c.host, port: "8000", srv: c.srv, resolver: server.resolver()}
		if got, err := d.addresses(t.Context(), testStart, false); !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v, %v; want %v", c.host, got, err, c.want)
		}
	}
}
