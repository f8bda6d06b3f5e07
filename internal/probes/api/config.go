// Package api reads the resource use of the target, replica by replica, from
// the target's own /metrics page, whatever its language, through one table of
// known names; where there is none, from the processes of this machine or from a
// control group.
package api

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/authorities"
	"soakd/internal/probes"
	"soakd/internal/secret"
)

// Name is the name of this kind and of its probe.
const Name = "api"

// localReplica is the label of a target that is read without a page.
const localReplica = "local"

// Config is the configuration of the API probe.
type Config struct {
	MetricsURL  string        `envconfig:"API_METRICS_URL" desc:"URL of the target's /metrics page (http or https), from which its resource use is read, or up to 32 of them, separated by commas or spaces, one for each replica; empty: not read."`
	Token       secret.String `envconfig:"API_METRICS_TOKEN" desc:"Bearer token for the target's /metrics page, when it needs one."`
	TokenFile   string        `envconfig:"API_METRICS_TOKEN_FILE" desc:"File that holds the bearer token for the target's /metrics page; it is read anew at each poll, so that the token can be rotated."`
	CAFile      string        `envconfig:"API_METRICS_CA_FILE" desc:"File with the authorities (PEM) that may have signed the certificate of the target's /metrics page, instead of the system's."`
	Aliases     Aliases       `envconfig:"API_METRICS_ALIASES" desc:"Own names on top of the built-in ones, as soakd_name=target_name{label=\"value\"}, separated by commas, at most 100; the left side is a soakd_api_* metric, for the pool soakd_api_pool_connections{pool=\"name\",state=\"in_use\"} with the states in_use, idle, max and waiting; the right side may be a difference, total-idle."`
	Version     string        `envconfig:"API_VERSION_SERIES" desc:"Series of the target's /metrics page whose label gives the target's version, as metric:label; empty: app_info, app_build_info or build_info with version, or target_info with service_version."`
	DNS         string        `envconfig:"API_METRICS_DNS" default:"off" desc:"How the replicas behind the host of the one URL are found: off reads the URL as it is, a reads each of the host's addresses (A and AAAA), srv takes the host for the name of SRV records and reads each of their targets."`
	DNSInterval time.Duration `envconfig:"API_METRICS_DNS_INTERVAL" default:"30s" desc:"How often the DNS is asked for the replicas, from 1s to 1h; also after each poll that could not read one."`
	PID         int           `envconfig:"API_PID" desc:"Number of the target's process on this machine (Linux), which is read with its children from /proc and fills in what the /metrics page lacks; 0: none."`
	PIDFile     string        `envconfig:"API_PID_FILE" desc:"File that holds the number of the target's process, in place of SOAKD_API_PID; it is read anew at each poll."`
	Process     string        `envconfig:"API_PROCESS" desc:"Name of the target's process as the kernel has it (ps -o comm), in place of SOAKD_API_PID; several of that name count together."`
	CGroup      string        `envconfig:"API_CGROUP" desc:"Folder of the target's control group (version 2) on this machine, such as /sys/fs/cgroup/system.slice/api.service, which fills in what /metrics page and process lack."`

	targets  []*url.URL
	token    secret.String
	versions []versionSeries
	// roots are those of CAFile; nil for the system's.
	roots *x509.CertPool
	// resolver is that of the tests; nil for the system's.
	resolver *net.Resolver
}

// Kind returns the kind with its defaults.
func Kind() probes.Kind {
	return probes.Kind{Name: Name, Config: &Config{DNS: dnsOff, DNSInterval: 30 * time.Second}}
}

// The values of DNS.
const (
	dnsOff       = "off"
	dnsAddresses = "a"
	dnsServices  = "srv"
)

// Enabled reports whether there is anything to read.
func (c *Config) Enabled() bool { return c.MetricsURL != "" || c.isLocal() }

// isLocal reports whether something of this machine is read.
func (c *Config) isLocal() bool { return c.process().isSet() || c.CGroup != "" }

func (c *Config) process() processTarget {
	return processTarget{pid: c.PID, file: c.PIDFile, name: c.Process}
}

// Validate returns every mistake, joined, and loads the token.
func (c *Config) Validate() error {
	errs := c.validateURLs()
	errs = append(errs, c.validateDNS()...)
	errs = append(errs, c.validateLocal()...)
	token, err := secret.Resolve(c.Token, c.TokenFile)
	switch {
	case errors.Is(err, secret.ErrBoth):
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_TOKEN, SOAKD_API_METRICS_TOKEN_FILE: %w", err))
	case err != nil:
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_TOKEN_FILE: %w", err))
	case !headerSafe(token.Value()) && c.TokenFile != "":
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_TOKEN_FILE: %w", errTokenCharacters))
	case !headerSafe(token.Value()):
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_TOKEN: %w", errTokenCharacters))
	}
	c.token = token
	if err := c.Aliases.validate(); err != nil {
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_ALIASES: %w", err))
	}
	if c.versions, err = parseVersionSeries(c.Version); err != nil {
		errs = append(errs, fmt.Errorf("SOAKD_API_VERSION_SERIES: %q %w", c.Version, err))
	}
	return errors.Join(append(errs, c.loadAuthorities())...)
}

// loadAuthorities reads CAFile, which only pages with TLS have a use for.
func (c *Config) loadAuthorities() (err error) {
	if c.CAFile == "" {
		return nil
	}
	if !slices.ContainsFunc(c.targets, func(u *url.URL) bool { return u.Scheme == "https" }) {
		return errors.New("SOAKD_API_METRICS_CA_FILE: no URL of SOAKD_API_METRICS_URL starts with https://")
	}
	if c.roots, err = authorities.Read(c.CAFile); err != nil {
		return fmt.Errorf("SOAKD_API_METRICS_CA_FILE: %w", err)
	}
	return nil
}

// validateURLs parses the list of pages.
func (c *Config) validateURLs() []error {
	var errs []error
	entries := strings.FieldsFunc(c.MetricsURL, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
	if len(entries) > maxReplicas {
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_URL: has %d URLs; at most %d are read", len(entries), maxReplicas))
	}
	if c.MetricsURL != "" && len(entries) == 0 {
		errs = append(errs, errors.New("SOAKD_API_METRICS_URL: holds no URL; want http://host:port/metrics"))
	}
	c.targets = nil
	for i, entry := range entries {
		which := ""
		if len(entries) > 1 {
			which = fmt.Sprintf("URL %d of %d ", i+1, len(entries))
		}
		target, err := parseURL(entry)
		if err != nil {
			errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_URL: %s%w", which, err))
			continue
		}
		c.targets = append(c.targets, target)
	}
	if _, err := replicaNames(c.targets); err != nil {
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_URL: %w", err))
	}
	return errs
}

func (c *Config) validateDNS() []error {
	var errs []error
	switch c.DNS {
	case "", dnsOff:
		return nil
	case dnsAddresses, dnsServices:
	default:
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_DNS: is %.20q; want off, a or srv", c.DNS))
	}
	if len(c.targets) > 1 {
		errs = append(errs, errors.New("SOAKD_API_METRICS_DNS: works with one URL; SOAKD_API_METRICS_URL has several"))
	}
	if c.MetricsURL == "" {
		errs = append(errs, errors.New("SOAKD_API_METRICS_DNS: SOAKD_API_METRICS_URL is empty; give the URL with the name to ask for"))
	}
	if c.DNS == dnsServices && len(c.targets) == 1 && c.targets[0].Port() != "" {
		errs = append(errs, errors.New("SOAKD_API_METRICS_DNS: srv takes the port from the records; leave it out of SOAKD_API_METRICS_URL"))
	}
	if c.DNSInterval < time.Second || c.DNSInterval > time.Hour {
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_DNS_INTERVAL: is %v; want 1s to 1h", c.DNSInterval))
	}
	return errs
}

// validateLocal checks what is read of this machine.
func (c *Config) validateLocal() []error {
	var errs []error
	processes := 0
	for _, setting := range []struct {
		variable         string
		isSet, isProcess bool
	}{
		{"SOAKD_API_PID", c.PID != 0, true},
		{"SOAKD_API_PID_FILE", c.PIDFile != "", true},
		{"SOAKD_API_PROCESS", c.Process != "", true},
		{"SOAKD_API_CGROUP", c.CGroup != "", false},
	} {
		if !setting.isSet {
			continue
		}
		if setting.isProcess {
			processes++
		}
		if err := localSourcesMissing(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", setting.variable, err))
		}
		if len(c.targets) > 1 || c.resolves() {
			errs = append(errs, fmt.Errorf("%s: tells of one replica, and SOAKD_API_METRICS_URL of several", setting.variable))
		}
	}
	if processes > 1 {
		errs = append(errs, errors.New("SOAKD_API_PID, SOAKD_API_PID_FILE, SOAKD_API_PROCESS: give one of them"))
	}
	if c.PID < 0 {
		errs = append(errs, fmt.Errorf("SOAKD_API_PID: is %d; want the number of a process", c.PID))
	}
	if c.CGroup != "" && !filepath.IsAbs(c.CGroup) {
		errs = append(errs, fmt.Errorf("SOAKD_API_CGROUP: %.80q is not an absolute path; want a folder below /sys/fs/cgroup", c.CGroup))
	}
	return errs
}

func (c *Config) resolves() bool { return c.DNS != "" && c.DNS != dnsOff }

// parseURL never gives the URL in an error: it could hold a password.
func parseURL(text string) (*url.URL, error) {
	parsed, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL; want http://host:port/metrics")
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return nil, errors.New("must start with http:// or https://")
	case parsed.Hostname() == "":
		return nil, errors.New("has no host; want http://host:port/metrics")
	case parsed.User != nil:
		return nil, errors.New("must not hold a user or password; give a token in SOAKD_API_METRICS_TOKEN")
	case parsed.Fragment != "":
		return nil, errors.New("must not hold a fragment (#...)")
	case !validPort(parsed.Port()):
		return nil, errors.New("has a port that must be 1 to 65535")
	}
	return parsed, nil
}

// validPort reports whether text is a port or empty: that of the scheme.
func validPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && port > 0
}

// replicaNames returns the labels of the replicas at the URLs: host:port, with
// the path where several share it. The query is left out: it could hold a secret.
func replicaNames(targets []*url.URL) ([]string, error) {
	sharing := map[string]int{}
	for _, target := range targets {
		sharing[net.JoinHostPort(hostPort(target))]++
	}
	names, seen := make([]string, 0, len(targets)), map[string]int{}
	for i, target := range targets {
		name := net.JoinHostPort(hostPort(target))
		if sharing[name] > 1 {
			name += target.EscapedPath()
		}
		if first, twice := seen[name]; twice {
			return nil, fmt.Errorf("URLs %d and %d have the same host, port and path", first+1, i+1)
		}
		seen[name] = i
		names = append(names, name)
	}
	return names, nil
}

// headerSafe reports whether text is printable ASCII without spaces, as RFC
// 6750 section 2.1 wants of a bearer token, or empty.
func headerSafe(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Summary says what is read: host, port and path, without the query, which
// could hold a secret.
func (c *Config) Summary() string {
	var parts []string
	for _, target := range c.targets {
		parts = append(parts, target.Scheme+"://"+target.Host+target.EscapedPath())
	}
	if c.resolves() {
		parts = append(parts, "each replica of the DNS ("+c.DNS+")")
	}
	if c.process().isSet() {
		parts = append(parts, c.process().String())
	}
	if c.CGroup != "" {
		parts = append(parts, "control group "+c.CGroup)
	}
	return strings.Join(parts, ", ")
}

// Open makes the one probe. Validate must have been called.
func (c *Config) Open(log *slog.Logger) ([]probes.Probe, error) {
	if !c.isLocal() && len(c.targets) == 0 {
		return nil, errors.New("open api probe: the configuration has not been validated")
	}
	p := &probe{metrics: newMetrics(c.Aliases.list, c.versions), token: &token{file: c.TokenFile, value: c.token}}
	if c.resolves() {
		p.members = c.openResolved(p, log)
		return []probes.Probe{p}, nil
	}
	local, err := c.openLocal(p, log)
	if err != nil {
		return nil, fmt.Errorf("open api probe: %w", err)
	}
	names, err := replicaNames(c.targets)
	if err != nil {
		return nil, fmt.Errorf("open api probe: %w", err)
	}
	var replicas fixed
	for i, target := range c.targets {
		page := newPageSource(target, "", way{resolver: c.resolver, roots: c.roots}, p.token, p.metrics.known)
		replicas = append(replicas, newReplica(names[i], append([]source{page}, local...)...))
	}
	if len(replicas) == 0 {
		replicas = fixed{newReplica(localReplica, local...)}
	}
	p.members = replicas
	return []probes.Probe{p}, nil
}

// openLocal makes the sources of this machine, in order of preference.
func (c *Config) openLocal(p *probe, log *slog.Logger) ([]source, error) {
	var sources []source
	if c.process().isSet() {
		process, err := newProcessSource(c.process(), p.metrics.shared, p.metrics.local, log)
		if err != nil {
			return nil, err
		}
		sources = append(sources, process)
	}
	if c.CGroup != "" {
		sources = append(sources, newCgroupSource(c.CGroup, p.metrics.shared, p.metrics.local))
	}
	return sources, nil
}

// openResolved makes the members that the DNS tells of.
func (c *Config) openResolved(p *probe, log *slog.Logger) *resolved {
	target := c.targets[0]
	host, port := hostPort(target)
	resolver := c.resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	return &resolved{
		discovery: discovery{host: host, port: port, srv: c.DNS == dnsServices, resolver: resolver, interval: c.DNSInterval},
		log:       log,
		open: func(label, address string) *replica {
			page := *target
			if c.DNS == dnsServices { // the name of the records is not one of a host
				page.Host, address = address, ""
			}
			return newReplica(label, newPageSource(&page, address, way{resolver: resolver, roots: c.roots}, p.token, p.metrics.known))
		},
	}
}
