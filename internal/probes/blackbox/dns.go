package blackbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"soakd/internal/probes"
)

// dnsProbe looks one name up.
type dnsProbe struct {
	question  dnsmessage.Question
	server    string // "": those of resolvConf
	transport string // "udp" or "tcp"
	codes     []string
	answers   int
	matches   *regexp.Regexp
	absent    *regexp.Regexp

	label                      string
	times                      *probes.Times
	lookup, code, records, ttl *probes.Desc
}

func parseDNS(e entry) (spec, error) {
	p := &dnsProbe{transport: "udp", codes: []string{"noerror"}, answers: 1}
	p.question = dnsmessage.Question{Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	var s spec
	known := options{
		"type": {take: p.takeType}, "server": {take: p.takeServer},
		"transport": {take: func(value string) error {
			p.transport = value
			if value != "udp" && value != "tcp" {
				return fmt.Errorf("%q is not udp or tcp", value)
			}
			return nil
		}},
		"rcode": {take: p.takeCodes}, "answers": number(&p.answers, 0, 1000),
		"matches": pattern(&p.matches), "absent": pattern(&p.absent), "timeout": limit(&s.timeout),
	}
	name := unquote(e.words[0])
	var err error
	if p.question.Name, err = dnsmessage.NewName(strings.TrimSuffix(name, ".") + "."); err != nil || !validName(name) {
		return s, fmt.Errorf("%q is not a domain name", name)
	}
	s.open = p.open
	return s, errors.Join(known.parse(e.words[1:]), p.check())
}

// check finds what options alone cannot see.
func (p *dnsProbe) check() error {
	if !slices.Contains(p.codes, "noerror") && (p.answers != 1 || p.matches != nil || p.absent != nil) {
		return errors.New("options answers, matches, absent: they are about answers with noerror, which option rcode leaves out")
	}
	return nil
}

// validName allows what stands in zones: labels of 1 to 63 printable bytes, 253
// bytes together (RFC 1035, 2.3.4).
func validName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > 63 {
			return false
		}
	}
	outside := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	return len(name) <= 253 && !strings.ContainsFunc(name, outside) && !strings.Contains(name, "://")
}

func recordTypes() map[string]dnsmessage.Type {
	return map[string]dnsmessage.Type{
		"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME, "MX": dnsmessage.TypeMX, "NS": dnsmessage.TypeNS,
		"PTR": dnsmessage.TypePTR, "SOA": dnsmessage.TypeSOA, "SRV": dnsmessage.TypeSRV, "TXT": dnsmessage.TypeTXT,
	}
}

func (p *dnsProbe) takeType(value string) error {
	found, ok := recordTypes()[strings.ToUpper(value)]
	if !ok {
		return fmt.Errorf("%q is none of %s", value, strings.Join(slices.Sorted(maps.Keys(recordTypes())), ", "))
	}
	p.question.Type = found
	return nil
}

// takeServer takes host:port, or a host with DNS' port.
func (p *dnsProbe) takeServer(value string) (err error) {
	if _, _, splitErr := net.SplitHostPort(value); splitErr != nil {
		value = net.JoinHostPort(strings.Trim(value, "[]"), "53")
	}
	p.server, err = address(value)
	return err
}

func (p *dnsProbe) takeCodes(value string) error {
	p.codes = strings.Split(strings.ToLower(value), ",")
	for _, code := range p.codes {
		if !slices.Contains(responseCodes(), code) {
			return fmt.Errorf("%q is none of %s", code, strings.Join(responseCodes(), ", "))
		}
	}
	return nil
}

// responseCodes are the names of RFC 1035, 4.1.1, at their numbers.
func responseCodes() []string {
	return []string{"noerror", "formerr", "servfail", "nxdomain", "notimp", "refused"}
}

// codeName names a response code: a label value.
func codeName(code dnsmessage.RCode) string {
	if names := responseCodes(); int(code) < len(names) {
		return names[code]
	}
	return "other"
}

func (p *dnsProbe) open(descs *probes.Descs, label string) poll {
	p.label = label
	p.times = probes.NewTimes()
	p.lookup = descs.Histogram("soakd_dns_lookup_seconds", "Time from the first question to the answer, repeated questions included, of all polls that got one, whatever it says.", "probe")
	p.code = descs.Gauge("soakd_dns_response_code_info", "Response code of the latest answer (noerror, formerr, servfail, nxdomain, notimp, refused, other), always 1.", "probe", "code")
	p.records = descs.Gauge("soakd_dns_answers", "Records of the wanted type in the latest answer.", "probe")
	p.ttl = descs.Gauge("soakd_dns_min_ttl_seconds", "Shortest time to live among the records of the latest answer; absent when it has none.", "probe")
	return p.poll
}

func (p *dnsProbe) poll(ctx context.Context, reading *probes.Reading) error {
	servers, err := p.servers()
	if err != nil {
		return err
	}
	start := time.Now()
	answer, err := ask(ctx, p.question, servers, p.transport, &reading.Cost)
	if err != nil {
		return err
	}
	p.times.Observe(time.Since(start))
	reading.AddTimes(p.lookup, p.times, p.label)
	reading.Add(p.code, 1, p.label, codeName(answer.code))
	reading.Add(p.records, float64(len(answer.texts)), p.label)
	if answer.records > 0 {
		reading.Add(p.ttl, float64(answer.ttl), p.label)
	}
	return p.judge(answer)
}

// judge returns nil for an answer that is wanted.
func (p *dnsProbe) judge(answer dnsAnswer) error {
	name := codeName(answer.code)
	if !slices.Contains(p.codes, name) {
		return probes.Because(codeReason(name), fmt.Errorf("the server answers %s", name))
	}
	if name != "noerror" {
		return nil
	}
	if len(answer.texts) < p.answers {
		return probes.Because(probes.ReasonDNS, fmt.Errorf("the answer has %d records of the type, want %d at least", len(answer.texts), p.answers))
	}
	if p.matches != nil && !slices.ContainsFunc(answer.texts, p.matches.MatchString) {
		return probes.Because(probes.ReasonCheck, errors.New("no record matches option matches"))
	}
	if p.absent != nil && slices.ContainsFunc(answer.texts, p.absent.MatchString) {
		return probes.Because(probes.ReasonCheck, errors.New("a record matches option absent"))
	}
	return nil
}

func codeReason(code string) probes.Reason {
	switch code {
	case "noerror":
		return probes.ReasonCheck
	case "nxdomain":
		return probes.ReasonDNS
	case "servfail":
		return probes.ReasonUnavailable
	case "refused":
		return probes.ReasonPermission
	}
	return probes.ReasonProtocol
}
