package blackbox

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
)

// zone answers one question over udp or tcp; nil is no answer.
type zone func(question dnsmessage.Message, transport string) []byte

// nameServer serves a zone on one port of both transports until the test ends.
func nameServer(t testing.TB, answer zone) string {
	t.Helper()
	stream := serve(t, func(conn net.Conn) { answerStream(t, conn, answer) })
	packets, err := net.ListenPacket("udp", stream.address())
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			if packed := answer(unpack(t, buffer[:n]), "udp"); packed != nil {
				_, _ = packets.WriteTo(packed, from)
			}
		}
	})
	t.Cleanup(func() {
		_ = packets.Close()
		running.Wait()
	})
	return stream.address()
}

// answerStream answers one question over TCP.
func answerStream(t testing.TB, conn net.Conn, answer zone) {
	t.Helper()
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	question := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, question); err != nil {
		return
	}
	packed := answer(unpack(t, question), "tcp")
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
}

func unpack(t testing.TB, packed []byte) dnsmessage.Message {
	t.Helper()
	var message dnsmessage.Message
	if err := message.Unpack(packed); err != nil {
		t.Errorf("soakd asks what is no question: %v", err)
	}
	return message
}

// reply answers a question with records.
func reply(question dnsmessage.Message, code dnsmessage.RCode, records ...dnsmessage.Resource) dnsmessage.Message {
	question.Response, question.RCode, question.Answers, question.Additionals = true, code, records, nil
	return question
}

func packed(message dnsmessage.Message) []byte {
	data, err := message.Pack()
	if err != nil {
		panic(err)
	}
	return data
}

func record(ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	kinds := map[string]dnsmessage.Type{}
	for name, kind := range recordTypes() {
		kinds[name] = kind
	}
	name := strings.TrimSuffix(strings.TrimPrefix(body.GoString(), "dnsmessage."), "Resource")
	name, _, _ = strings.Cut(name, "Resource{")
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("x.example."), Type: kinds[name], Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
}

func address4(last byte) dnsmessage.ResourceBody {
	return &dnsmessage.AResource{A: [4]byte{10, 0, 0, last}}
}

func TestDNSLooksUp(t *testing.T) {
	name := dnsmessage.MustNewName
	answers := map[dnsmessage.Type][]dnsmessage.Resource{
		dnsmessage.TypeA:     {record(30, &dnsmessage.CNAMEResource{CNAME: name("y.example.")}), record(60, address4(1)), record(60, address4(2))},
		dnsmessage.TypeAAAA:  {record(5, &dnsmessage.AAAAResource{AAAA: [16]byte{0xfe, 0x80, 15: 1}})},
		dnsmessage.TypeSRV:   {record(7, &dnsmessage.SRVResource{Priority: 1, Weight: 2, Port: 5432, Target: name("db.example.")})},
		dnsmessage.TypeMX:    {record(7, &dnsmessage.MXResource{Pref: 10, MX: name("mail.example.")})},
		dnsmessage.TypeTXT:   {record(0, &dnsmessage.TXTResource{TXT: []string{"v=spf1 ", "-all"}})},
		dnsmessage.TypeNS:    {record(7, &dnsmessage.NSResource{NS: name("ns.example.")})},
		dnsmessage.TypePTR:   {record(7, &dnsmessage.PTRResource{PTR: name("host.example.")})},
		dnsmessage.TypeSOA:   {record(7, &dnsmessage.SOAResource{NS: name("ns.example."), MBox: name("me.example."), Serial: 1, Refresh: 2, Retry: 3, Expire: 4, MinTTL: 5})},
		dnsmessage.TypeCNAME: {record(7, &dnsmessage.CNAMEResource{CNAME: name("y.example.")})},
	}
	server := nameServer(t, func(question dnsmessage.Message, _ string) []byte {
		asked := question.Questions[0]
		if asked.Name.String() != "X.example." || asked.Class != dnsmessage.ClassINET || !question.RecursionDesired || len(question.Additionals) != 1 {
			t.Errorf("asked %v", question)
		}
		return packed(reply(question, dnsmessage.RCodeSuccess, answers[asked.Type]...))
	})
	for _, c := range []struct {
		options      string
		records, ttl float64
	}{
		{"answers=2 matches='^10\\.0\\.0\\.2$'", 2, 30},
		{"type=AAAA matches=^fe80::1$", 1, 5},
		{"type=SRV matches='^1 2 5432 db\\.example\\.$'", 1, 7},
		{"type=mx matches='^10 mail\\.example\\.$' absent=other", 1, 7},
		{"type=TXT matches='^v=spf1 -all$' transport=tcp", 1, 0},
		{"type=NS matches=^ns\\.example\\.$", 1, 7},
		{"type=PTR matches=^host", 1, 7},
		{"type=SOA matches='^ns\\.example\\. me\\.example\\. 1 2 3 4 5$'", 1, 7},
		{"type=CNAME matches=^y\\.", 1, 7},
	} {
		probe := opened(t, dnsKind, "a=X.example server="+server+" "+c.options)
		for polls := range 2 {
			values, err := probetest.Poll(t, probe, 5*time.Second)
			if err != nil {
				t.Errorf("%s: %v", c.options, err)
			}
			wants(t, values, map[string]float64{
				`soakd_dns_answers{probe="dns/a"}`: c.records, `soakd_dns_min_ttl_seconds{probe="dns/a"}`: c.ttl,
				`soakd_dns_response_code_info{probe="dns/a",code="noerror"}`: 1, `soakd_dns_lookup_seconds{probe="dns/a"}`: float64(polls + 1),
			})
		}
	}
}

func TestDNSJudgesTheAnswer(t *testing.T) {
	codes := map[string]dnsmessage.RCode{"servfail": 2, "nxdomain": 3, "refused": 5, "notimp": 4, "formerr": 1, "other": 9}
	server := nameServer(t, func(question dnsmessage.Message, _ string) []byte {
		first, _, _ := strings.Cut(question.Questions[0].Name.String(), ".")
		switch {
		case first == "empty":
			return packed(reply(question, 0))
		case codes[first] != 0:
			answer := reply(question, codes[first])
			if first == "formerr" {
				answer.Questions = nil
			}
			return packed(answer)
		}
		return packed(reply(question, 0, record(1, address4(1))))
	})
	for entry, want := range map[string]struct {
		reason probes.Reason
		text   string
		code   string
	}{
		"nxdomain.x":                 {probes.ReasonDNS, "the server answers nxdomain", "nxdomain"},
		"nxdomain.x rcode=nxdomain":  {"", "", "nxdomain"},
		"servfail.x":                 {probes.ReasonUnavailable, "the server answers servfail", "servfail"},
		"refused.x":                  {probes.ReasonPermission, "the server answers refused", "refused"},
		"notimp.x":                   {probes.ReasonProtocol, "the server answers notimp", "notimp"},
		"formerr.x":                  {probes.ReasonProtocol, "the server answers formerr", "formerr"},
		"other.x":                    {probes.ReasonProtocol, "the server answers other", "other"},
		"empty.x":                    {probes.ReasonDNS, "the answer has 0 records of the type, want 1 at least", "noerror"},
		"empty.x answers=0":          {"", "", "noerror"},
		"a.x answers=2":              {probes.ReasonDNS, "the answer has 1 records of the type, want 2 at least", "noerror"},
		"a.x matches=^11":            {probes.ReasonCheck, "no record matches option matches", "noerror"},
		"a.x absent=^10":             {probes.ReasonCheck, "a record matches option absent", "noerror"},
		"a.x rcode=nxdomain":         {probes.ReasonCheck, "the server answers noerror", "noerror"},
		"a.x rcode=noerror,nxdomain": {"", "", "noerror"},
	} {
		values, err := probetest.Poll(t, opened(t, dnsKind, "a="+entry+" server="+server), 5*time.Second)
		if want.reason != "" {
			wantReason(t, err, want.reason, want.text)
		} else if err != nil {
			t.Errorf("%s: %v", entry, err)
		}
		wants(t, values, map[string]float64{`soakd_dns_response_code_info{probe="dns/a",code="` + want.code + `"}`: 1})
		if _, ok := values[`soakd_dns_min_ttl_seconds{probe="dns/a"}`]; ok != strings.HasPrefix(entry, "a.x") {
			t.Errorf("%s: a time to live %v", entry, ok)
		}
	}
}

func TestDNSTakesTCPForWhatDoesNotFit(t *testing.T) {
	var streams atomic.Int32
	server := nameServer(t, func(question dnsmessage.Message, transport string) []byte {
		if transport == "udp" {
			answer := reply(question, 0)
			answer.Truncated = true
			return packed(answer)
		}
		streams.Add(1)
		records := make([]dnsmessage.Resource, 500)
		for i := range records {
			records[i] = record(9, address4(byte(i)))
		}
		return packed(reply(question, 0, records...))
	})
	values, err := probetest.Poll(t, opened(t, dnsKind, "a=x.example server="+server), 5*time.Second)
	if err != nil || streams.Load() != 1 {
		t.Errorf("%v, %d over TCP", err, streams.Load())
	}
	wants(t, values, map[string]float64{`soakd_dns_answers{probe="dns/a"}`: 500})
}

// Datagrams get lost, and others than the server may send them.
func TestDNSAsksAgainAndTakesOnlyItsAnswer(t *testing.T) {
	var asked atomic.Int32
	server := nameServer(t, func(question dnsmessage.Message, _ string) []byte {
		switch asked.Add(1) {
		case 1:
			return nil
		default:
			return packed(reply(question, 0, record(9, address4(1))))
		}
	})
	if _, err := probetest.Poll(t, opened(t, dnsKind, "a=x.example server="+server+" timeout=2s"), 5*time.Second); err != nil || asked.Load() != 2 {
		t.Errorf("%v after %d questions", err, asked.Load())
	}
	for what, change := range map[string]func(*dnsmessage.Message){
		"another id":       func(m *dnsmessage.Message) { m.ID++ },
		"another question": func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("z.example.") },
		"no question":      func(m *dnsmessage.Message) { m.Questions = nil },
		"a question back":  func(m *dnsmessage.Message) { m.Response = false },
	} {
		for _, transport := range []string{"udp", "tcp"} {
			t.Run(what+" over "+transport, func(t *testing.T) {
				t.Parallel() // over UDP soakd waits for the right one
				server := nameServer(t, func(question dnsmessage.Message, _ string) []byte {
					answer := reply(question, 0, record(9, address4(1)))
					change(&answer)
					return packed(answer)
				})
				values, err := probetest.Poll(t, opened(t, dnsKind, "a=x.example timeout=1s server="+server+" transport="+transport), 5*time.Second)
				if probes.ReasonOf(err) != probes.ReasonProtocol || len(values) != 0 {
					t.Errorf("%q, %v, %v", probes.ReasonOf(err), err, values)
				}
			})
		}
	}
}

func TestDNSFaults(t *testing.T) {
	silent := nameServer(t, func(dnsmessage.Message, string) []byte { return nil })
	garbage := nameServer(t, func(dnsmessage.Message, string) []byte { return []byte("garbage") })
	halved := nameServer(t, func(question dnsmessage.Message, _ string) []byte {
		whole := packed(reply(question, 0, record(9, address4(1))))
		return whole[:len(whole)-2]
	})
	cut := nameServer(t, func(question dnsmessage.Message, _ string) []byte {
		answer := reply(question, 0)
		answer.Truncated = true
		return packed(answer)
	})
	for _, c := range []struct {
		what, options string
		reason        probes.Reason
	}{
		{"nobody listens", "server=" + closedPort(t), probes.ReasonConnect},
		{"nobody listens, tcp", "transport=tcp server=" + closedPort(t), probes.ReasonConnect},
		{"no answer", "timeout=300ms server=" + silent, probes.ReasonTimeout},
		{"garbage", "timeout=1s server=" + garbage, probes.ReasonProtocol},
		{"garbage, tcp", "transport=tcp server=" + garbage, probes.ReasonProtocol},
		{"half an answer", "server=" + halved, probes.ReasonProtocol},
		{"cut off even over TCP", "server=" + cut, probes.ReasonProtocol},
		{"ends at once, tcp", "transport=tcp server=" + serve(t, func(net.Conn) {}).address(), probes.ReasonReset},
		{"half a length, tcp", "transport=tcp server=" + serve(t, func(conn net.Conn) {
			_, _ = io.CopyN(io.Discard, conn, 20)
			_, _ = conn.Write([]byte{1})
		}).address(), probes.ReasonReset},
	} {
		values, err := probetest.Poll(t, opened(t, dnsKind, "a=x.example "+c.options), 5*time.Second)
		if probes.ReasonOf(err) != c.reason || len(values) != 0 {
			t.Errorf("%s: %q, want %q: %v; values %v", c.what, probes.ReasonOf(err), c.reason, err, values)
		}
	}
}

func TestServersOfTheSystem(t *testing.T) {
	for text, want := range map[string][]string{
		"": {"127.0.0.1:53"},
		"# nameserver 9.9.9.9\nsearch x\nnameserver 10.0.0.1 # first\nnameserver fe80::1%eth0\nnameserver\nnameserver x\n": {"10.0.0.1:53", "[fe80::1%eth0]:53"},
		"nameserver 1.1.1.1\nnameserver 2.2.2.2\r\nnameserver 3.3.3.3\nnameserver 4.4.4.4":                                 {"1.1.1.1:53", "2.2.2.2:53", "3.3.3.3:53"},
	} {
		if got := parseResolvConf(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// resolv.conf(5): without the file the name server of this machine is asked.
func TestServersWithoutAFileOfThem(t *testing.T) {
	folder := t.TempDir()
	if got, err := systemServers(folder + "/none"); err != nil || !slices.Equal(got, []string{"127.0.0.1:53"}) {
		t.Errorf("without the file: %v, %v", got, err)
	}
	if got, err := systemServers(folder); probes.ReasonOf(err) != probes.ReasonDNS || got != nil {
		t.Errorf("not a file: %v, %q, %v", got, probes.ReasonOf(err), err)
	}
}

// The next server is asked when one is away, as the system's resolver does.
func TestDNSAsksTheNextServer(t *testing.T) {
	server := nameServer(t, func(question dnsmessage.Message, _ string) []byte {
		return packed(reply(question, 0, record(9, address4(1))))
	})
	question := dnsmessage.Question{Name: dnsmessage.MustNewName("x.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	var cost probes.Cost
	answer, err := ask(t.Context(), question, []string{closedPort(t), server}, "udp", &cost)
	if err != nil || len(answer.texts) != 1 || answer.texts[0] != "10.0.0.1" || cost.Queries != 2 {
		t.Errorf("%v, %v, %d questions", answer, err, cost.Queries)
	}
}

func FuzzAnswer(f *testing.F) {
	question := dnsmessage.Question{Name: dnsmessage.MustNewName("x.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	message := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{question}}
	f.Add(packed(reply(message, 0, record(9, address4(1)), record(5, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("y.")}))))
	f.Add(packed(reply(message, 3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		answer, err := parseAnswer(data, 7, question)
		if err == nil && (answer.records < len(answer.texts) || answer.records > maxRecords) {
			t.Errorf("%d records, %d of the type", answer.records, len(answer.texts))
		}
		if err != nil && probes.ReasonOf(err) != probes.ReasonProtocol {
			t.Errorf("%q: %v", probes.ReasonOf(err), err)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 10.0.0.1\nnameserver ::1\n")
	f.Fuzz(func(t *testing.T, text string) {
		servers := parseResolvConf(text)
		if len(servers) < 1 || len(servers) > maxServers {
			t.Errorf("%v", servers)
		}
		for _, server := range servers {
			if _, _, err := net.SplitHostPort(server); err != nil {
				t.Error(err)
			}
		}
	})
}
