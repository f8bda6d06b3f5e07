package blackbox

import (
	"log/slog"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// The kinds. HTTP's is not called http, because soakd_http_ starts the metrics
// of the traffic, nor that of certificates tls, because SOAKD_TLS_ starts the
// settings of the traffic's connections.
const (
	endpointKind    = "endpoint"
	tcpKind         = "tcp"
	dnsKind         = "dns"
	certificateKind = "certificate"
	exporterKind    = "exporter"
)

// EndpointConfig lists HTTP endpoints.
type EndpointConfig struct {
	Probes     secret.String `envconfig:"ENDPOINT_PROBES" desc:"HTTP endpoints to probe, at most 50, separated by semicolons or ends of lines, each as name=[METHOD] URL [option=value ...] with the options status (200-299,401; otherwise 200-299), matches and absent (regular expressions that the body must and must not match), redirects (how many are followed, to the same host only; otherwise 0), header ('Name: value', repeatable), body, token_file (bearer token, read at each poll), ca, cert, key (PEM files), server_name, insecure (true), ip (any, 4 or 6) and timeout. Values with spaces or semicolons stand in quotes. Secret, because a URL may hold a password."`
	ProbesFile string        `envconfig:"ENDPOINT_PROBES_FILE" desc:"File with the HTTP endpoints to probe, one a line."`

	specs []spec
}

// Enabled reports whether there is anything to probe.
func (c *EndpointConfig) Enabled() bool { return c.Probes.IsSet() || c.ProbesFile != "" }

// Validate returns every mistake, joined.
func (c *EndpointConfig) Validate() (err error) {
	c.specs, err = validate(endpointKind, c.Probes, c.ProbesFile)
	return err
}

// Summary names the probes.
func (c *EndpointConfig) Summary() string { return summary(c.specs) }

// Open makes a probe of each entry. Validate must have been called.
func (c *EndpointConfig) Open(*slog.Logger) ([]probes.Probe, error) {
	return open(endpointKind, c.specs)
}

// TCPConfig lists TCP ports.
type TCPConfig struct {
	Probes     secret.String `envconfig:"TCP_PROBES" desc:"TCP ports to probe, at most 50, separated by semicolons or ends of lines, each as name=host:port [option=value ...] with the options send (a line to send) and expect (a regular expression that a line of the answer must match), both repeatable and carried out in their order, starttls (smtp, imap, pop3, ftp, postgres), tls (true), ca, cert, key (PEM files), server_name, insecure (true), ip (any, 4 or 6) and timeout. Secret, because what is sent may be a password."`
	ProbesFile string        `envconfig:"TCP_PROBES_FILE" desc:"File with the TCP ports to probe, one a line."`

	specs []spec
}

// Enabled reports whether there is anything to probe.
func (c *TCPConfig) Enabled() bool { return c.Probes.IsSet() || c.ProbesFile != "" }

// Validate returns every mistake, joined.
func (c *TCPConfig) Validate() (err error) {
	c.specs, err = validate(tcpKind, c.Probes, c.ProbesFile)
	return err
}

// Summary names the probes.
func (c *TCPConfig) Summary() string { return summary(c.specs) }

// Open makes a probe of each entry. Validate must have been called.
func (c *TCPConfig) Open(*slog.Logger) ([]probes.Probe, error) { return open(tcpKind, c.specs) }

// DNSConfig lists DNS names.
type DNSConfig struct {
	Probes string `envconfig:"DNS_PROBES" desc:"DNS names to look up, at most 50, separated by semicolons or ends of lines, each as name=full.domain.name [option=value ...] with the options type (A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT; otherwise A), server (host:port; otherwise those of /etc/resolv.conf, without its search list), transport (udp, with tcp for answers that do not fit; or tcp), rcode (noerror,nxdomain; otherwise noerror), answers (at least so many, otherwise 1), matches and absent (regular expressions that one answer must and none may match) and timeout."`

	specs []spec
}

// Enabled reports whether there is anything to probe.
func (c *DNSConfig) Enabled() bool { return c.Probes != "" }

// Validate returns every mistake, joined.
func (c *DNSConfig) Validate() (err error) {
	c.specs, err = validate(dnsKind, secret.New(c.Probes), "")
	return err
}

// Summary names the probes.
func (c *DNSConfig) Summary() string { return summary(c.specs) }

// Open makes a probe of each entry. Validate must have been called.
func (c *DNSConfig) Open(*slog.Logger) ([]probes.Probe, error) { return open(dnsKind, c.specs) }

// CertificateConfig lists TLS servers.
type CertificateConfig struct {
	Probes string `envconfig:"CERTIFICATE_PROBES" desc:"TLS servers whose certificates are watched, at most 50, separated by semicolons or ends of lines, each as name=host:port [option=value ...] with the options server_name, starttls (smtp, imap, pop3, ftp, postgres), ca, cert, key (PEM files), ip (any, 4 or 6) and timeout."`

	specs []spec
}

// Enabled reports whether there is anything to probe.
func (c *CertificateConfig) Enabled() bool { return c.Probes != "" }

// Validate returns every mistake, joined.
func (c *CertificateConfig) Validate() (err error) {
	c.specs, err = validate(certificateKind, secret.New(c.Probes), "")
	return err
}

// Summary names the probes.
func (c *CertificateConfig) Summary() string { return summary(c.specs) }

// Open makes a probe of each entry. Validate must have been called.
func (c *CertificateConfig) Open(*slog.Logger) ([]probes.Probe, error) {
	return open(certificateKind, c.specs)
}

// validate reads the setting of a kind, which may be off.
func validate(kind string, value secret.String, file string) ([]spec, error) {
	resolved, err := resolve(variableOf(kind), value, file)
	if err != nil || !resolved.IsSet() {
		return nil, err
	}
	return parseSpecs(variableOf(kind), resolved.Value(), maxEntries, parsers()[kind])
}
