package redis

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/secret"
)

// The modes: how the servers are found.
const (
	modeSingle   = "single"
	modeSentinel = "sentinel"
	modeCluster  = "cluster"
)

const (
	// maxSeeds bounds the addresses in a URL: what is asked where the servers are.
	maxSeeds = 16
	// maxAddresses bounds [Config.AddressMap].
	maxAddresses = 128
	// tcp and unix are the networks.
	tcp  = "tcp"
	unix = "unix"
)

// login is a user and a password; both may be empty.
type login struct{ username, password string }

func (l login) empty() bool { return l == login{} }

// target is what is watched, as the configuration and its files say it.
type target struct {
	mode, network string
	// seeds are the addresses of the URL: the server, the sentinels, or some
	// servers of the cluster.
	seeds []string
	// master is the name by which sentinels know the master.
	master string
	// servers and sentinels are who soakd logs in as.
	servers, sentinels login
	// tls is nil without TLS. serverName is the name in certificates; empty: the
	// host of each.
	tls        *tls.Config
	serverName string
	// addresses are those by which soakd reaches the addresses that are announced.
	addresses map[string]string
	// secrets are those that the target was made of.
	secrets [2]secret.String
}

// hidden are the texts that must not show in errors.
func (t target) hidden() []secret.String {
	return append(t.secrets[:], secret.New(t.servers.password), secret.New(t.sentinels.password))
}

// summary says what it is.
func (t target) summary() string {
	if t.mode == "" {
		return ""
	}
	text := strings.Join(t.seeds, ", ")
	switch t.mode {
	case modeSentinel:
		text = "master " + t.master + " of the sentinels " + text
	case modeCluster:
		text = "cluster of " + text
	}
	if t.servers.username != "" {
		text += " as " + t.servers.username
	}
	return text
}

// options returns how to reach the server at address. name is the name in its
// certificate where it is known.
func (t target) options(address, name string, as login) goredis.Options {
	options := goredis.Options{Network: t.network, Addr: address, Username: as.username, Password: as.password}
	if reachable, ok := t.addresses[address]; ok {
		options.Addr = reachable
	}
	if t.tls != nil {
		host, _, _ := net.SplitHostPort(address)
		options.TLSConfig = t.tls.Clone()
		options.TLSConfig.ServerName = cmp.Or(t.serverName, name, host)
	}
	return options
}

// parseTarget reads a URL in the notation that go-redis has for the mode.
func parseTarget(mode, url string) (target, error) {
	var (
		t       target
		options *tls.Config
		err     error
	)
	switch mode {
	case modeSentinel:
		t, options, err = parseSentinels(url)
	case modeCluster:
		t, options, err = parseCluster(url)
	default:
		t, options, err = parseSingle(url)
	}
	if err != nil {
		return target{}, err
	}
	t.mode, t.network = mode, cmp.Or(t.network, tcp)
	if options != nil {
		t.tls = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: options.InsecureSkipVerify} //nolint:gosec // as the URL says
	}
	slices.Sort(t.seeds)
	if t.seeds = slices.Compact(t.seeds); len(t.seeds) > maxSeeds {
		return target{}, fmt.Errorf("has %d addresses; want at most %d", len(t.seeds), maxSeeds)
	}
	return t, nil
}

// The parsers' own messages could hold a part of the password: these say what
// would be right.

func parseSingle(url string) (target, *tls.Config, error) {
	options, err := goredis.ParseURL(url)
	if err != nil {
		return target{}, nil, errors.New("is not a Redis URL; want redis://user:password@host:port/0, rediss://... or unix://user:password@/path, with special characters in the password percent-encoded")
	}
	return target{network: options.Network, seeds: []string{options.Addr}, servers: login{options.Username, options.Password}}, options.TLSConfig, nil
}

func parseCluster(url string) (target, *tls.Config, error) {
	options, err := goredis.ParseClusterURL(url)
	if err != nil {
		return target{}, nil, errors.New("is not the URL of a Redis cluster; want redis://user:password@host:port?addr=host2:port2 or rediss://..., with special characters in the password percent-encoded")
	}
	return target{seeds: options.Addrs, servers: login{options.Username, options.Password}}, options.TLSConfig, nil
}

func parseSentinels(url string) (target, *tls.Config, error) {
	const want = "want redis://sentinel-user:sentinel-password@host:port?addr=host2:port2&master_name=mymaster&username=user&password=password or rediss://..., with special characters percent-encoded"
	options, err := goredis.ParseFailoverURL(url)
	switch {
	case err != nil:
		return target{}, nil, errors.New("is not the URL of Redis sentinels; " + want)
	case options.MasterName == "":
		return target{}, nil, errors.New("lacks master_name; " + want)
	}
	return target{
		seeds: options.SentinelAddrs, master: options.MasterName,
		servers: login{options.Username, options.Password}, sentinels: login{options.SentinelUsername, options.SentinelPassword},
	}, options.TLSConfig, nil
}

// useSentinelLogin takes in a login of the sentinels that is not in the URL: then
// the one before the host is that of the servers, unless its parameters have one.
func (t *target) useSentinelLogin(as login) {
	if as.empty() {
		return
	}
	if t.servers.empty() {
		t.servers = t.sentinels
	}
	t.sentinels = as
}

// parseAddresses reads pairs announced=reachable.
func parseAddresses(pairs []string) (map[string]string, error) {
	if len(pairs) > maxAddresses {
		return nil, fmt.Errorf("%d pairs; want at most %d", len(pairs), maxAddresses)
	}
	addresses := make(map[string]string, len(pairs))
	var errs []error
	for i, pair := range pairs {
		from, to, err := parsePair(pair)
		if err != nil {
			errs = append(errs, fmt.Errorf("pair %d: %.80q is not announced-host:port=reachable-host:port", i+1, pair))
			continue
		}
		if _, twice := addresses[from]; twice {
			errs = append(errs, fmt.Errorf("pair %d: %.80s is there twice", i+1, from))
		}
		addresses[from] = to
	}
	return addresses, errors.Join(errs...)
}

func parsePair(pair string) (from, to string, err error) {
	from, to, _ = strings.Cut(pair, "=")
	for _, address := range []string{from, to} {
		host, port, err := net.SplitHostPort(address)
		number, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || number == 0 || host == "" || strings.ContainsAny(host, " \t") {
			return "", "", errors.New("not host:port")
		}
	}
	return from, to, nil
}
