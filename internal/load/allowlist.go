package load

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// An allow list names the hosts that may be the target, a guard against pointing
// a soak at production. Its entries are
//
//	name, name:port             that host; without a port on any port
//	*.name, *.name:port         hosts below that name, at any depth, not itself
//	10.1.2.3, 10.1.2.3:80       that address
//	fd00::1, [fd00::1]:80       that address
//	10.0.0.0/8, fd00::/8        addresses of that network
//
// The host in the URL of the target must match an entry: a name an entry with a
// name. When the list has networks they bound the addresses as well that names
// resolve to (see [AllowedAddress]): list both the name and its network, and no
// change of the DNS moves the load out of that network.

// allowEntry is one entry of the list. One of name, address and network is set.
type allowEntry struct {
	// name is in lower case without a dot at its end; below means that it is
	// the part behind "*.".
	name  string
	below bool
	// address is never an IPv4 address in IPv6 form.
	address netip.Addr
	network netip.Prefix
	// port is "" for any.
	port string
}

// ValidateAllowList returns every mistake of a list.
func ValidateAllowList(list []string) error {
	var errs []error
	for _, text := range list {
		if _, err := parseAllowEntry(text); err != nil {
			errs = append(errs, fmt.Errorf("allowed host %q: %w", text, err))
		}
	}
	return errors.Join(errs...)
}

// Allowed reports whether the host of a target is on a list; an empty list
// allows any. An entry that is not valid matches nothing.
func Allowed(list []string, u *url.URL) bool {
	if len(list) == 0 {
		return true
	}
	host, port := normalHost(u.Hostname()), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	address, isAddress := parseAddress(host)
	for _, text := range list {
		entry, err := parseAllowEntry(text)
		switch {
		case err != nil, entry.port != "" && entry.port != port:
		case isAddress && entry.hasAddress(address), !isAddress && entry.hasName(host):
			return true
		}
	}
	return false
}

// AllowedAddress reports whether a connection may be made to an address that the
// DNS gave for an allowed name. Without networks in the list the name decides,
// and it is true; otherwise one of the list's networks or addresses must hold it.
func AllowedAddress(list []string, ip netip.Addr) bool {
	ip = ip.Unmap()
	networks := false
	for _, text := range list {
		entry, err := parseAllowEntry(text)
		if err != nil {
			continue
		}
		networks = networks || entry.network.IsValid()
		if entry.hasAddress(ip) {
			return true
		}
	}
	return !networks
}

func (e allowEntry) hasName(host string) bool {
	if e.below {
		return len(host) > len(e.name)+1 && strings.HasSuffix(host, "."+e.name)
	}
	return e.name != "" && host == e.name
}

func (e allowEntry) hasAddress(ip netip.Addr) bool {
	if e.network.IsValid() {
		return e.network.Contains(ip.WithZone("")) // a network has no zone, and would not match one
	}
	return e.address.IsValid() && e.address == ip
}

// normalHost makes one spelling of a host: names do not differ in case, nor by
// the dot of the root at their end (RFC 4343; RFC 1034, 3.1).
func normalHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

func parseAddress(host string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(host)
	return address.Unmap(), err == nil
}

// parseAllowEntry reads one entry; blanks around it do not matter.
func parseAllowEntry(text string) (allowEntry, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return allowEntry{}, errors.New("it is empty: give a host, such as api.staging.example.org, *.staging.example.org:8443 or 10.0.0.0/8")
	case strings.Contains(text, "://"):
		return allowEntry{}, errors.New("it is a URL: give the host alone, or host:port")
	case strings.Contains(text, "/"):
		return parseAllowNetwork(text)
	}
	host, port, err := splitPort(text)
	if err != nil {
		return allowEntry{}, err
	}
	if address, ok := parseAddress(host); ok {
		return allowEntry{address: address, port: port}, nil
	}
	entry := allowEntry{name: normalHost(host), port: port}
	if parent, ok := strings.CutPrefix(entry.name, "*."); ok {
		entry.name, entry.below = parent, true
	}
	if !isHostName(entry.name) {
		return allowEntry{}, fmt.Errorf("%q is neither a host name, perhaps with *. before it, nor an IP address", host)
	}
	return entry, nil
}

// parseAllowNetwork reads an entry in CIDR form.
func parseAllowNetwork(text string) (allowEntry, error) {
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return allowEntry{}, errors.New("it has a slash and is no network: give one as 10.0.0.0/8 or fd00::/8, without a port, or a host without a path")
	case network.Addr().Is4In6():
		return allowEntry{}, errors.New("it is an IPv4 network in IPv6 form: give it as 10.0.0.0/8")
	case network != network.Masked():
		return allowEntry{}, fmt.Errorf("the address has bits beyond the network's length: it would be %v", network.Masked())
	}
	return allowEntry{network: network}, nil
}

// splitPort parts host:port, [v6]:port, [v6], host and a bare v6.
func splitPort(text string) (host, port string, err error) {
	if _, bare := parseAddress(text); bare || !strings.Contains(text, ":") {
		return text, "", nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		return inner[:len(inner)-1], "", nil
	}
	host, port, err = net.SplitHostPort(text)
	if err != nil {
		return "", "", errors.New("it is neither host nor host:port; an IPv6 address with a port is written [fd00::1]:80")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
		return "", "", fmt.Errorf("the port %q must be a number of 1 to 65535", port)
	}
	return host, port, nil
}

// isHostName reports whether a text may be the name of a host: labels of 1 to 63
// letters, digits, dashes and underscores, 253 bytes at most (RFC 1035, 2.3.4;
// underscores are no letters there, but are in use). The last label is not a
// number: what looks like an IPv4 address must be one.
func isHostName(name string) bool {
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return len(name) <= 253 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
