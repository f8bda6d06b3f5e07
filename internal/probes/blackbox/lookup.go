package blackbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"soakd/internal/probes"
)

const (
	// resolvConf names the servers that the system asks.
	resolvConf = "/etc/resolv.conf"
	// maxServers is how many of them are asked, as resolv.conf(5) says.
	maxServers = 3
	// maxDatagram is the size of answer over UDP that is asked for: what fits a
	// packet on any way (https://www.dnsflagday.net/2020/).
	maxDatagram = 1232
	// maxMessage is the largest answer over TCP (RFC 1035, 4.2.2).
	maxMessage = 65535
	// maxRecords bounds the records that are looked at.
	maxRecords = 5000
)

// dnsAnswer is what one lookup brought.
type dnsAnswer struct {
	code dnsmessage.RCode
	// records counts all records of the answer, also those on the way to the
	// wanted ones (CNAME); ttl is the shortest of their times to live, in seconds.
	records int
	ttl     uint32
	// texts are the records of the wanted type as zones write them.
	texts []string
}

var (
	// errNotOurs is an answer to another question: over UDP anybody may send one.
	errNotOurs = probes.Because(probes.ReasonProtocol, errors.New("the answer is to another question"))
	// errTruncated is an answer that does not fit a datagram; over TCP it is a fault.
	errTruncated = probes.Because(probes.ReasonProtocol, errors.New("the answer is cut off"))
)

// servers returns host:port of the servers to ask, in their order.
func (p *dnsProbe) servers() ([]string, error) {
	if p.server != "" {
		return []string{p.server}, nil
	}
	return systemServers(resolvConf)
}

// systemServers reads the file of the system's servers, again each time: it
// changes with the network.
func systemServers(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, probes.Because(probes.ReasonDNS, fmt.Errorf("find the system's DNS servers: %w", err))
	}
	return parseResolvConf(string(data)), nil
}

// parseResolvConf returns the name servers of resolv.conf(5), the one of this
// machine when it names none or is not there.
func parseResolvConf(text string) []string {
	var servers []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" || len(servers) == maxServers {
			continue
		}
		if ip, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(ip, 53).String())
		}
	}
	if len(servers) == 0 {
		return []string{"127.0.0.1:53"}
	}
	return servers
}

// ask asks the servers one after the other, a single one twice: a datagram may
// get lost. Each has an equal share of the time that is left.
func ask(ctx context.Context, question dnsmessage.Question, servers []string, transport string, cost *probes.Cost) (dnsAnswer, error) {
	if len(servers) == 1 && transport == "udp" {
		servers = append(servers, servers[0])
	}
	var errs []error
	for i, server := range servers {
		answer, err := askWithin(ctx, question, server, transport, len(servers)-i, cost)
		if err == nil {
			return answer, nil
		}
		errs = append(errs, fmt.Errorf("ask %s: %w", server, err))
		if ctx.Err() != nil {
			break
		}
	}
	return dnsAnswer{}, errors.Join(errs...)
}

// askWithin asks one server for at most the parts-th part of the time left.
func askWithin(ctx context.Context, question dnsmessage.Question, server, transport string, parts int, cost *probes.Cost) (dnsAnswer, error) {
	ctx, cancel := probes.Share(ctx, parts)
	defer cancel()
	answer, err := exchangeDNS(ctx, question, server, transport, cost)
	if errors.Is(err, errTruncated) && transport == "udp" {
		return exchangeDNS(ctx, question, server, "tcp", cost)
	}
	return answer, err
}

// exchangeDNS sends one question over one connection and waits for its answer.
func exchangeDNS(ctx context.Context, question dnsmessage.Question, server, transport string, cost *probes.Cost) (dnsAnswer, error) {
	w := newWay(ctx, transport)
	defer w.close()
	conn, err := w.connect(server)
	if err != nil {
		return dnsAnswer{}, err
	}
	defer cost.Add(time.Now())
	id := uint16(rand.Uint32()) //nolint:gosec // with the random port of the socket as good as any resolver's
	message, err := pack(id, question)
	if err != nil {
		return dnsAnswer{}, err
	}
	if transport == "tcp" {
		return exchangeStream(conn, message, id, question)
	}
	return exchangeDatagram(conn, message, id, question)
}

// pack makes the message; it asks for recursion and tells the size of datagram
// that may come (RFC 6891).
func pack(id uint16, question dnsmessage.Question) ([]byte, error) {
	var edns dnsmessage.ResourceHeader
	if err := edns.SetEDNS0(maxDatagram, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	message := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{question},
		Additionals: []dnsmessage.Resource{{Header: edns, Body: &dnsmessage.OPTResource{}}},
	}
	return message.Pack()
}

func exchangeDatagram(conn net.Conn, message []byte, id uint16, question dnsmessage.Question) (dnsAnswer, error) {
	if _, err := conn.Write(message); err != nil {
		return dnsAnswer{}, err
	}
	buffer := make([]byte, maxMessage)
	for passed := 0; ; passed++ {
		n, err := conn.Read(buffer)
		switch {
		case err != nil && passed > 0:
			return dnsAnswer{}, fmt.Errorf("%w (%d of them); then: %w", errNotOurs, passed, err)
		case err != nil:
			return dnsAnswer{}, err
		}
		answer, err := parseAnswer(buffer[:n], id, question)
		if !errors.Is(err, errNotOurs) { // else until the time is over
			return answer, err
		}
	}
}

// exchangeStream puts the length before each message (RFC 1035, 4.2.2).
func exchangeStream(conn net.Conn, message []byte, id uint16, question dnsmessage.Question) (dnsAnswer, error) {
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...) //nolint:gosec // a question is shorter than 400 bytes
	if _, err := conn.Write(framed); err != nil {
		return dnsAnswer{}, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return dnsAnswer{}, err
	}
	buffer := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buffer); err != nil {
		return dnsAnswer{}, err
	}
	return parseAnswer(buffer, id, question)
}

// parseAnswer reads an answer to the question of that id.
func parseAnswer(message []byte, id uint16, question dnsmessage.Question) (dnsAnswer, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(message)
	if err != nil || header.ID != id || !header.Response {
		return dnsAnswer{}, errNotOurs
	}
	questions, err := parser.AllQuestions()
	if err != nil {
		return dnsAnswer{}, malformed(err)
	}
	// Servers that cannot read the question leave it out.
	if len(questions) > 1 || len(questions) == 0 && header.RCode == dnsmessage.RCodeSuccess || len(questions) == 1 && !same(questions[0], question) {
		return dnsAnswer{}, errNotOurs
	}
	if header.Truncated {
		return dnsAnswer{}, errTruncated
	}
	answer := dnsAnswer{code: header.RCode}
	for answer.records < maxRecords {
		resource, err := parser.Answer()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return answer, nil
		}
		if err != nil {
			return dnsAnswer{}, malformed(err)
		}
		answer.add(resource, question.Type)
	}
	return dnsAnswer{}, malformed(fmt.Errorf("more than %d records", maxRecords))
}

func malformed(err error) error {
	return probes.Because(probes.ReasonProtocol, fmt.Errorf("malformed answer: %w", err))
}

// same compares questions; names heed no case (RFC 4343).
func same(a, b dnsmessage.Question) bool {
	return a.Type == b.Type && a.Class == b.Class && strings.EqualFold(a.Name.String(), b.Name.String())
}

func (a *dnsAnswer) add(resource dnsmessage.Resource, wanted dnsmessage.Type) {
	if a.records == 0 || resource.Header.TTL < a.ttl {
		a.ttl = resource.Header.TTL
	}
	a.records++
	if resource.Header.Type == wanted {
		a.texts = append(a.texts, recordText(resource.Body))
	}
}

// recordText writes a record as zones do (RFC 1035, 5.1).
func recordText(body dnsmessage.ResourceBody) string {
	switch r := body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(r.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(r.AAAA).String()
	case *dnsmessage.CNAMEResource:
		return r.CNAME.String()
	case *dnsmessage.NSResource:
		return r.NS.String()
	case *dnsmessage.PTRResource:
		return r.PTR.String()
	case *dnsmessage.MXResource:
		return fmt.Sprintf("%d %s", r.Pref, r.MX)
	case *dnsmessage.SRVResource:
		return fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, r.Target)
	case *dnsmessage.TXTResource:
		return strings.Join(r.TXT, "")
	case *dnsmessage.SOAResource:
		return fmt.Sprintf("%s %s %d %d %d %d %d", r.NS, r.MBox, r.Serial, r.Refresh, r.Retry, r.Expire, r.MinTTL)
	}
	return ""
}
