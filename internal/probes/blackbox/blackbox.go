// Package blackbox watches from outside what else matters to the API: HTTP
// endpoints, TCP ports, DNS names, certificates, and series of any Prometheus
// exporter. Each kind has a setting that lists what to probe by name; each entry
// is a probe of its own.
//
// A poll makes new connections, so that it measures the way, and leaves none
// open. It goes to what is configured and to nothing else: no proxies, and no
// redirects to another host. Where a name has addresses of both families, both
// are tried as RFC 8305 says: the preferred one (RFC 6724) 300 ms earlier.
package blackbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// Kinds returns the kinds with their defaults.
func Kinds() []probes.Kind {
	return []probes.Kind{
		{Name: endpointKind, Config: &EndpointConfig{}},
		{Name: tcpKind, Config: &TCPConfig{}},
		{Name: dnsKind, Config: &DNSConfig{}},
		{Name: certificateKind, Config: &CertificateConfig{}},
		{Name: exporterKind, Config: &ExporterConfig{}},
	}
}

// poll reads one thing once. It adds what it could read also when it fails.
type poll func(ctx context.Context, reading *probes.Reading) error

// parser makes of an entry what is needed to open its probe.
type parser func(entry) (spec, error)

// spec is one entry of a setting, checked.
type spec struct {
	name string
	// timeout bounds a poll beside the limit of all probes; 0: it does not.
	timeout time.Duration
	// hidden must not stand in an error.
	hidden []secret.String
	// open describes the metrics and returns the poll; label is the probe's name.
	open func(descs *probes.Descs, label string) poll
}

// parsers are the kinds whose entries stand alone.
func parsers() map[string]parser {
	return map[string]parser{
		endpointKind:    parseEndpoint,
		tcpKind:         parseTCP,
		dnsKind:         parseDNS,
		certificateKind: parseCertificate,
	}
}

// parseSpecs reads a setting. Errors start with the variable's name.
func parseSpecs(variable, text string, most int, parse parser) ([]spec, error) {
	entries, err := parseEntries(text, most)
	if err != nil {
		return nil, prefixed(variable, err)
	}
	var specs []spec
	var errs []error
	for i, e := range entries {
		one, err := parse(e)
		if err != nil {
			errs = append(errs, prefixed(fmt.Sprintf("%s: entry %d: %s", variable, i+1, e.name), err))
			continue
		}
		one.name = e.name
		specs = append(specs, one)
	}
	if len(entries) == 0 {
		errs = append(errs, fmt.Errorf("%s: holds no entry", variable))
	}
	return specs, errors.Join(errs...)
}

// prefixed puts prefix before each of the errors that err joins.
func prefixed(prefix string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s: %w", prefix, err)
	}
	var errs []error
	for _, one := range joined.Unwrap() {
		errs = append(errs, prefixed(prefix, one))
	}
	return errors.Join(errs...)
}

// resolve returns the text of a setting that may stand in a file.
func resolve(variable string, value secret.String, file string) (secret.String, error) {
	text, err := secret.Resolve(value, file)
	switch {
	case errors.Is(err, secret.ErrBoth):
		return text, fmt.Errorf("%s, %s_FILE: %w", variable, variable, err)
	case err != nil:
		return text, fmt.Errorf("%s_FILE: %w", variable, err)
	}
	return text, nil
}

// variableOf is the name of the variable that lists the probes of a kind.
func variableOf(kind string) string { return "SOAKD_" + strings.ToUpper(kind) + "_PROBES" }

// summary names what is probed.
func summary(specs []spec) string {
	var names []string
	for _, s := range specs {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// probe is the probe of one entry. Poll is not called concurrently.
type probe struct {
	name    string
	timeout time.Duration
	hidden  []secret.String
	descs   probes.Descs
	read    poll
}

// open makes the probes of a kind.
func open(kind string, specs []spec) ([]probes.Probe, error) {
	if len(specs) == 0 {
		return nil, fmt.Errorf("open %s probes: the configuration has not been validated", kind)
	}
	var opened []probes.Probe
	for _, s := range specs {
		p := &probe{name: kind + "/" + s.name, timeout: s.timeout, hidden: s.hidden}
		p.read = s.open(&p.descs, p.name)
		opened = append(opened, p)
	}
	return opened, nil
}

func (p *probe) Name() string             { return p.name }
func (p *probe) Describe() []*probes.Desc { return p.descs }

// Close does nothing: every poll closes what it has opened.
func (p *probe) Close() {}

// Poll reads the thing once.
func (p *probe) Poll(ctx context.Context) (probes.Reading, error) {
	if p.timeout > 0 {
		shorter, cancel := context.WithTimeout(ctx, p.timeout)
		defer cancel()
		ctx = shorter
	}
	var reading probes.Reading
	err := p.read(ctx, &reading)
	return reading, probes.Brief(err, p.hidden...)
}
