package blackbox

import (
	"fmt"
	"strings"
	"testing"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

func TestKinds(t *testing.T) {
	if len(Kinds()) != 5 {
		t.Errorf("%d kinds, want 5", len(Kinds()))
	}
	for i, kind := range Kinds() {
		probetest.CheckConfig(t, func() probes.Kind { return Kinds()[i] })
		fresh := Kinds()[i].Config
		if fresh.Enabled() || fresh.Validate() != nil || fresh.Summary() != "" {
			t.Errorf("%s: without settings it is enabled %v, valid %v, summed up as %q", kind.Name, fresh.Enabled(), fresh.Validate(), fresh.Summary())
		}
		if _, err := fresh.Open(nil); err == nil {
			t.Errorf("%s: opens without having been validated", kind.Name)
		}
	}
}

func TestEveryKindDescribesItsMetrics(t *testing.T) {
	for kind, entries := range map[string]string{
		endpointKind: "a=http://x/;b=POST https://u:p@[::1]:8443/y?z=1 status=200,301-308 matches=\"a;b\" redirects=3 header='X-A: b' header='X-C: d' body='{}' timeout=2s ip=6 insecure=true",
		tcpKind:      "a=x:1\nb=[::1]:25 starttls=smtp send='EHLO x' expect='^250 ' send=QUIT\r\n",
		dnsKind:      "a=x.example;b=_pg._tcp.x.example. type=srv server=10.0.0.1 transport=tcp rcode=noerror,nxdomain answers=2;",
		// Names may have spaces around them.
		certificateKind: "  a = x:443 ;\n\n b=y:5432 starttls=postgres server_name=z",
	} {
		config := configOf(kind, entries)
		all := probetest.Open(t, config)
		if len(all) != 2 || all[0].Name() != kind+"/a" || all[1].Name() != kind+"/b" || config.Summary() != "a, b" || !config.Enabled() {
			t.Errorf("%s: %d probes, summed up as %q", kind, len(all), config.Summary())
		}
		for _, probe := range all {
			probetest.CheckDescriptions(t, probe)
		}
	}
}

// tlsMistakes are those of the options that every kind with TLS has.
func tlsMistakes(t *testing.T, kind, address string) map[string]string {
	ca := newAuthority(t)
	cert, _ := writePair(t, ca.issue("x", inDays(1)))
	empty := writeFile(t, "empty.pem", "nothing")
	start := "SOAKD_" + strings.ToUpper(kind) + "_PROBES: entry 1: a: "
	return map[string]string{
		"a=" + address + " ca=/nowhere/ca.pem":             start + "option ca: read the authorities: open /nowhere/ca.pem: no such file or directory",
		"a=" + address + " ca=" + empty:                    start + "option ca: " + empty + " holds no certificate: give a file of PEM blocks that begin with -----BEGIN CERTIFICATE-----",
		"a=" + address + " cert=" + cert:                   start + "options cert, key: a certificate needs its key: give both or none",
		"a=" + address + " key=" + cert:                    start + "options cert, key: a certificate needs its key: give both or none",
		"a=" + address + " cert=" + cert + " key=/nowhere": start + "options cert, key: open /nowhere: no such file or directory",
		"a=" + address + " server_name=":                   start + "option server_name: is empty",
		"a=" + address + " ip=5":                           start + `option ip: "5" is not any, 4 or 6`,
		"a=" + address + " timeout=2":                      start + `option timeout: "2" is not a duration of at least 1ms, such as 500ms or 2s`,
		"a=" + address + " timeout=-2s":                    start + `option timeout: "-2s" is not a duration of at least 1ms, such as 500ms or 2s`,
		"a=" + address + " timeout=2s timeout=3s":          start + "option timeout is there twice",
		"a=" + address + "; a=" + address:                  "SOAKD_" + strings.ToUpper(kind) + "_PROBES: entry 2: a is there twice",
		"a=":                                               "SOAKD_" + strings.ToUpper(kind) + "_PROBES: entry 1: a: nothing stands behind the =",
		address:                                            "SOAKD_" + strings.ToUpper(kind) + "_PROBES: entry 1: want name=what, with a name of a-z, 0-9 and _ up to 40 characters",
		"A=" + address:                                     "SOAKD_" + strings.ToUpper(kind) + "_PROBES: entry 1: want name=what, with a name of a-z, 0-9 and _ up to 40 characters",
		strings.Repeat("a", 41) + "=" + address:            "SOAKD_" + strings.ToUpper(kind) + "_PROBES: entry 1: want name=what, with a name of a-z, 0-9 and _ up to 40 characters",
		"a=" + address + " server_name='x":                 "SOAKD_" + strings.ToUpper(kind) + "_PROBES: a quote is opened and not closed",
		";;\n;":                                            "SOAKD_" + strings.ToUpper(kind) + "_PROBES: holds no entry",
	}
}

func TestEveryBadEntryHasItsError(t *testing.T) {
	const (
		endpointOptions    = "; the options are absent, body, ca, cert, header, insecure, ip, key, matches, redirects, server_name, status, timeout, token_file"
		tcpOptions         = "; the options are ca, cert, expect, insecure, ip, key, send, server_name, starttls, timeout, tls"
		dnsOptions         = "; the options are absent, answers, matches, rcode, server, timeout, transport, type"
		certificateOptions = "; the options are ca, cert, ip, key, server_name, starttls, timeout"
	)
	e := "SOAKD_ENDPOINT_PROBES: entry 1: a: "
	c := "SOAKD_TCP_PROBES: entry 1: a: "
	d := "SOAKD_DNS_PROBES: entry 1: a: "
	x := "SOAKD_CERTIFICATE_PROBES: entry 1: a: "
	blank, odd := writeFile(t, "blank", "\n"), writeFile(t, "odd", "a\x00b")
	cases := map[string]map[string]string{
		endpointKind: {
			"a=GET":                                  e + "has no URL",
			"a=hunter2://x":                          e + "the URL must start with http:// or https://",
			"a=get http://x":                         e + "the URL must start with http:// or https://",
			"a=http://hunter2 b@x/":                  e + "a word that is not option=value" + endpointOptions,
			"a='http://hunter2 b@x/'":                e + "what stands behind the = is not a URL; want http://host:port/path",
			"a=http:///x":                            e + "the URL has no host; want http://host:port/path",
			"a=http://x/#hunter2":                    e + "the URL must not hold a fragment (#...)",
			"a=http://x:0/":                          e + "the port of the URL must be 1 to 65535",
			"a=http://x:65536/":                      e + "the port of the URL must be 1 to 65535",
			"a=http://x hunter2":                     e + "a word that is not option=value" + endpointOptions,
			"a=http://x stats=200":                   e + "option stats is not known" + endpointOptions,
			"a=http://x status=2xx":                  e + `option status: "2xx" is not a status or a range of 100 to 599, such as 200-299,401`,
			"a=http://x status=99":                   e + `option status: "99" is not a status or a range of 100 to 599, such as 200-299,401`,
			"a=http://x status=299-200":              e + `option status: "299-200" is not a status or a range of 100 to 599, such as 200-299,401`,
			"a=http://x status=200,":                 e + `option status: "" is not a status or a range of 100 to 599, such as 200-299,401`,
			"a=http://x matches=(hunter2":            e + "option matches: is not a regular expression (RE2, as in https://github.com/google/re2/wiki/Syntax)",
			"a=http://x absent=":                     e + "option absent: want a regular expression of 1 to 1000 bytes",
			"a=http://x redirects=11":                e + `option redirects: "11" is not a whole number from 0 to 10`,
			"a=http://x redirects=x":                 e + `option redirects: "x" is not a whole number from 0 to 10`,
			"a=http://x header=hunter2":              e + "option header: want 'Name: value'",
			"a=http://x header='A B: c'":             e + "option header: want 'Name: value'",
			"a=http://x insecure=yes":                e + `option insecure: "yes" is not true or false`,
			"a=http://x insecure=true":               e + "options ca, cert, key, insecure, server_name: they need an https URL",
			"a=http://x token_file=/nowhere":         e + "option token_file: read secret: open /nowhere: no such file or directory",
			"a=http://x token_file=" + blank:         e + "option token_file: read secret: " + blank + " is empty",
			"a=http://x token_file=" + odd:           e + "option token_file: " + odd + " holds characters that a header cannot carry",
			"a=http://u:hunter2@x token_file=" + odd: e + "option token_file: there is another authorization already",
			"a=http://x header='authorization: hunter2' token_file=" + odd: e + "option token_file: there is another authorization already",
			"a=http://x ip=5 redirects=x;b=1": e + `option ip: "5" is not any, 4 or 6` + "\n" + e + `option redirects: "x" is not a whole number from 0 to 10` +
				"\nSOAKD_ENDPOINT_PROBES: entry 2: b: the URL must start with http:// or https://",
		},
		tcpKind: {
			"a=x":                                   c + "want host:port, such as db.example:5432 or [::1]:5432",
			"a=:1":                                  c + "want host:port, such as db.example:5432 or [::1]:5432",
			"a=x:0":                                 c + "want host:port, such as db.example:5432 or [::1]:5432",
			"a=x:65536":                             c + "want host:port, such as db.example:5432 or [::1]:5432",
			"a=x:http":                              c + "want host:port, such as db.example:5432 or [::1]:5432",
			"a=::1:80":                              c + "want host:port, such as db.example:5432 or [::1]:5432",
			"a=x:1 y":                               c + "a word that is not option=value" + tcpOptions,
			"a=x:1 y=1":                             c + "option y is not known" + tcpOptions,
			"a=x:1 expect=[":                        c + "option expect: is not a regular expression (RE2, as in https://github.com/google/re2/wiki/Syntax)",
			"a=x:1 starttls=irc":                    c + `option starttls: "irc" is none of ftp, imap, pop3, postgres, smtp`,
			"a=x:1 starttls=smtp tls=true":          c + "options starttls, tls: give one of them",
			"a=x:1 server_name=y":                   c + "options ca, cert, key, insecure, server_name: they need tls=true or starttls",
			"a=x:1 tls=1":                           c + `option tls: "1" is not true or false`,
			"a=x:1" + strings.Repeat(" send=b", 21): c + "option send: more than 20 steps",
		},
		dnsKind: {
			"a=x..y":                              d + `"x..y" is not a domain name`,
			"a='x y'":                             d + `"x y" is not a domain name`,
			"a=http://x":                          d + `"http://x" is not a domain name`,
			"a=.":                                 d + `"." is not a domain name`,
			"a=" + strings.Repeat("x", 64):        d + `"` + strings.Repeat("x", 64) + `" is not a domain name`,
			"a=x type=ANY":                        d + `option type: "ANY" is none of A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT`,
			"a=x server=:53":                      d + "option server: want host:port, such as db.example:5432 or [::1]:5432",
			"a=x transport=quic":                  d + `option transport: "quic" is not udp or tcp`,
			"a=x rcode=nxdomian":                  d + `option rcode: "nxdomian" is none of noerror, formerr, servfail, nxdomain, notimp, refused`,
			"a=x answers=-1":                      d + `option answers: "-1" is not a whole number from 0 to 1000`,
			"a=x y=1":                             d + "option y is not known" + dnsOptions,
			"a=x rcode=nxdomain matches=y":        d + "options answers, matches, absent: they are about answers with noerror, which option rcode leaves out",
			"a=x rcode=nxdomain,refused absent=y": d + "options answers, matches, absent: they are about answers with noerror, which option rcode leaves out",
			"a=x answers=2 rcode=nxdomain":        d + "options answers, matches, absent: they are about answers with noerror, which option rcode leaves out",
			"a=x matches=*":                       d + "option matches: is not a regular expression (RE2, as in https://github.com/google/re2/wiki/Syntax)",
		},
		certificateKind: {
			"a=x":                 x + "want host:port, such as db.example:5432 or [::1]:5432",
			"a=x:1 starttls=x":    x + `option starttls: "x" is none of ftp, imap, pop3, postgres, smtp`,
			"a=x:1 insecure=true": x + "option insecure is not known" + certificateOptions,
		},
	}
	for kind, address := range map[string]string{endpointKind: "https://x", tcpKind: "x:1 tls=true", certificateKind: "x:1"} {
		for entries, want := range tlsMistakes(t, kind, address) {
			cases[kind][entries] = want
		}
	}
	for kind, mistakes := range cases {
		var many strings.Builder
		for i := range 51 {
			fmt.Fprintf(&many, "a%d=x:1;", i)
		}
		mistakes[many.String()] = "SOAKD_" + strings.ToUpper(kind) + "_PROBES: has 51 entries; at most 50 are taken"
		for entries, want := range mistakes {
			err := configOf(kind, entries).Validate()
			if err == nil || err.Error() != want {
				t.Errorf("%s %q\n got %v\nwant %s", kind, entries, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s %q: the error holds a secret: %v", kind, entries, err)
			}
		}
	}
}

func TestEntriesFromAFile(t *testing.T) {
	file := writeFile(t, "probes", "a=http://127.0.0.1:1/\nb=http://127.0.0.1:2/\n")
	config := &EndpointConfig{ProbesFile: file}
	if err := config.Validate(); err != nil || config.Summary() != "a, b" {
		t.Errorf("%v, summed up as %q", err, config.Summary())
	}
	for want, config := range map[string]probes.Config{
		"SOAKD_ENDPOINT_PROBES, SOAKD_ENDPOINT_PROBES_FILE: give the value or the file, not both": &EndpointConfig{Probes: secret.New("a=http://x"), ProbesFile: file},
		"SOAKD_EXPORTER_PROBES_FILE: read secret: open /nowhere: no such file or directory":       &ExporterConfig{ProbesFile: "/nowhere"},
		"SOAKD_TCP_PROBES_FILE: read secret: open /nowhere: no such file or directory":            &TCPConfig{ProbesFile: "/nowhere"},
	} {
		if err := config.Validate(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzEntries(f *testing.F) {
	for _, seed := range []string{
		"a=http://x/ status=200-299,401 matches='a;b' header='A: b';b=GET https://y", "a=x:1 send=a expect=b starttls=smtp", "a=x.y type=SRV rcode=nxdomain",
		"a='", "=", "a=b\x00c", `a="x y" b='"'`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, entries string) {
		if strings.Contains(entries, "_file") || strings.Contains(entries, "ca=") || strings.Contains(entries, "cert=") || strings.Contains(entries, "key=") {
			return // would read files
		}
		for _, kind := range []string{endpointKind, tcpKind, dnsKind, certificateKind} {
			config := configOf(kind, entries)
			err := config.Validate()
			if entries == "" {
				return
			}
			if (err == nil) != (config.Summary() != "") && err == nil {
				t.Errorf("%s %q: valid and without a probe", kind, entries)
			}
			if err != nil {
				continue
			}
			all, err := config.Open(nil)
			if err != nil || len(all) < 1 || len(all) > maxEntries {
				t.Errorf("%s %q: %d probes, %v", kind, entries, len(all), err)
			}
			for _, probe := range all {
				if !entryName.MatchString(strings.TrimPrefix(probe.Name(), kind+"/")) {
					t.Errorf("%s %q: named %q", kind, entries, probe.Name())
				}
			}
		}
	})
}
