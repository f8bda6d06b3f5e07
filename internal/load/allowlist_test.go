package load

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		list, target string
		want         bool
	}{
		{"", "http://anything", true},

		{"api.staging", "http://api.staging:8000/base", true},
		{"api.staging", "https://api.staging", true},
		{"api.staging", "http://API.Staging.:8000", true},
		{"Api.STAGING.", "http://api.staging", true},
		{"api.staging", "http://api.production", false},
		{"api.staging", "http://www.api.staging", false},
		{"api.staging", "http://api.staging.evil.example", false},
		{"api.staging", "http://staging", false},
		{"other, api.staging ", "http://api.staging", true},

		{"api.staging:8000", "http://api.staging:8000", true},
		{"api.staging:8000", "http://api.staging:8001", false},
		{"api.staging:8000", "http://api.staging", false},
		{"api.staging:80", "http://api.staging", true},
		{"api.staging:443", "https://api.staging", true},
		{"api.staging:80", "https://api.staging", false},

		{"*.example.org", "http://api.example.org", true},
		{"*.example.org", "http://a.b.example.org:99", true},
		{"*.EXAMPLE.org", "http://api.Example.ORG.", true},
		{"*.example.org", "http://example.org", false},
		{"*.example.org", "http://.example.org", false},
		{"*.example.org", "http://notexample.org", false},
		{"*.example.org", "http://example.org.evil.example", false},
		{"*.example.org:8443", "https://api.example.org:8443", true},
		{"*.example.org:8443", "https://api.example.org", false},

		{"10.1.2.3", "http://10.1.2.3:8000", true},
		{"10.1.2.3:8000", "http://10.1.2.3:8000", true},
		{"10.1.2.3:8000", "http://10.1.2.3", false},
		{"10.1.2.3", "http://[::ffff:10.1.2.3]", true},
		{"10.1.2.3", "http://10.1.2.30", false},
		{"10.1.2.3", "http://10.1.515", false}, // some resolvers read this as 10.1.2.3
		{"10.1.2.3", "http://10.1.2.3.evil.example", false},

		{"fd00::1", "http://[fd00::1]:8000", true},
		{"fd00::1", "http://[FD00:0:0::0001]", true},
		{"[fd00::1]", "http://[fd00::1]", true},
		{"[fd00::1]:8000", "http://[fd00::1]:8000", true},
		{"[fd00::1]:8000", "http://[fd00::1]:8001", false},
		{"fd00::1", "http://[fd00::2]", false},
		{"fe80::1%25eth0", "http://[fe80::1%25eth0]", false}, // a list is no URL: the zone is %eth0
		{"fe80::1%eth0", "http://[fe80::1%25eth0]", true},
		{"fe80::1%eth0", "http://[fe80::1]", false},

		{"10.0.0.0/8", "http://10.255.0.1:8000", true},
		{"10.0.0.0/8", "http://11.0.0.1", false},
		{"10.0.0.0/8", "http://[::ffff:10.1.2.3]", true},
		{"fd00::/8", "http://[fd12::1]", true},
		{"fe80::/10", "http://[fe80::1%25eth0]", true},
		{"fd00::/8", "http://[2001:db8::1]", false},
		{"10.0.0.0/8", "http://api.staging", false}, // a name needs an entry with a name
		{"10.0.0.0/8,api.staging", "http://api.staging", true},

		{"*", "http://api.staging", false}, // not valid: matches nothing
		{"http://api.staging", "http://api.staging", false},
	} {
		u, err := url.Parse(c.target)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		if c.list != "" {
			list = strings.Split(c.list, ",")
		}
		if got := Allowed(list, u); got != c.want {
			t.Errorf("list %q, target %s: got %v, want %v", c.list, c.target, got, c.want)
		}
	}
}

func TestAllowedAddress(t *testing.T) {
	for _, c := range []struct {
		list, address string
		want          bool
	}{
		{"", "203.0.113.1", true},
		{"api.staging", "203.0.113.1", true},
		{"api.staging,10.1.2.3", "203.0.113.1", true}, // no network: the name decides
		{"api.staging,10.0.0.0/8", "10.9.8.7", true},
		{"api.staging,10.0.0.0/8", "203.0.113.1", false},
		{"api.staging,10.0.0.0/8", "::ffff:10.9.8.7", true},
		{"api.staging,10.0.0.0/8", "::ffff:203.0.113.1", false},
		{"api.staging,10.0.0.0/8", "fd00::1", false},
		{"api.staging,10.0.0.0/8,fd00::/8", "fd00::1", true},
		{"api.staging,10.0.0.0/8,203.0.113.1", "203.0.113.1", true},
		{"api.staging,10.0.0.0/8,203.0.113.1", "203.0.113.2", false},
	} {
		if got := AllowedAddress(strings.Split(c.list, ","), netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("list %q, address %s: got %v, want %v", c.list, c.address, got, c.want)
		}
	}
}

func TestValidateAllowList(t *testing.T) {
	good := []string{
		"localhost", "api", "api_1.staging", " api.staging:8000 ", "*.example.org", "*.svc", "*.example.org:1", "xn--bcher-kva.example.",
		"10.1.2.3", "10.1.2.3:65535", "::1", "[::1]", "[::1]:80", "fe80::1%eth0", "10.0.0.0/8", "0.0.0.0/0", "::/0", "10.1.2.3/32",
	}
	if err := ValidateAllowList(good); err != nil {
		t.Errorf("good entries: %v", err)
	}
	const (
		noName    = " is neither a host name, perhaps with *. before it, nor an IP address"
		noNetwork = "it has a slash and is no network: give one as 10.0.0.0/8 or fd00::/8, without a port, or a host without a path"
		noPort    = "it is neither host nor host:port; an IPv6 address with a port is written [fd00::1]:80"
	)
	for text, want := range map[string]string{
		"":                      "it is empty: give a host, such as api.staging.example.org, *.staging.example.org:8443 or 10.0.0.0/8",
		" ":                     "it is empty: give a host, such as api.staging.example.org, *.staging.example.org:8443 or 10.0.0.0/8",
		"http://api":            "it is a URL: give the host alone, or host:port",
		"api/v1":                noNetwork,
		"10.0.0.0/33":           noNetwork,
		"10.0.0.0/8:80":         noNetwork,
		"10.1.2.3/8":            "the address has bits beyond the network's length: it would be 10.0.0.0/8",
		"::ffff:10.0.0.0/104":   "it is an IPv4 network in IPv6 form: give it as 10.0.0.0/8",
		"api:":                  `the port "" must be a number of 1 to 65535`,
		"api:0":                 `the port "0" must be a number of 1 to 65535`,
		"api:080":               `the port "080" must be a number of 1 to 65535`,
		"api:65536":             `the port "65536" must be a number of 1 to 65535`,
		"api:http":              `the port "http" must be a number of 1 to 65535`,
		"fd00::1::2":            noPort,
		"*":                     `"*"` + noName,
		"*.":                    `"*."` + noName,
		"*.3":                   `"*.3"` + noName,
		"api.*.org":             `"api.*.org"` + noName,
		"api..org":              `"api..org"` + noName,
		".org":                  `".org"` + noName,
		"bücher.example":        `"bücher.example"` + noName,
		"10.1.515":              `"10.1.515"` + noName,
		"user@api":              `"user@api"` + noName,
		strings.Repeat("a", 64): `"` + strings.Repeat("a", 64) + `"` + noName,
	} {
		err := ValidateAllowList([]string{"api", text})
		if err == nil {
			t.Errorf("%q was taken", text)
			continue
		}
		if _, got, _ := strings.Cut(err.Error(), `": `); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
	if err := ValidateAllowList([]string{"*", "api", "a b"}); err == nil || strings.Count(err.Error(), "allowed host ") != 2 {
		t.Errorf("two mistakes give %v", err)
	}
}

func FuzzAllowed(f *testing.F) {
	for _, seed := range [][2]string{{"api", "http://api"}, {"*.a", "http://b.a:1"}, {"10.0.0.0/8", "http://10.0.0.1"}, {"[::1]:80", "http://[::1]"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, entry, target string) {
		u, err := url.Parse(target)
		if err != nil {
			return
		}
		if Allowed([]string{entry}, u) && ValidateAllowList([]string{entry}) != nil {
			t.Errorf("%q is not valid and allows %q", entry, target)
		}
	})
}
