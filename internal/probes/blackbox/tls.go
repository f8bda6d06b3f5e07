package blackbox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"soakd/internal/authorities"
	"soakd/internal/probes"
)

// tlsSettings say how a TLS server is checked and what it is shown.
type tlsSettings struct {
	roots      *x509.CertPool // nil: the system's
	serverName string         // "": the host of the address
	insecure   bool
	cert, key  string // files; "": no client certificate
}

// options are those of every kind that speaks TLS.
func (s *tlsSettings) options() options {
	return options{
		"ca": {take: func(file string) (err error) {
			s.roots, err = authorities.Read(file)
			return err
		}},
		"server_name": text(&s.serverName),
		"cert":        text(&s.cert),
		"key":         text(&s.key),
	}
}

// check finds what options alone cannot see.
func (s *tlsSettings) check() error {
	if (s.cert == "") != (s.key == "") {
		return errors.New("options cert, key: a certificate needs its key: give both or none")
	}
	if s.cert == "" {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(s.cert, s.key); err != nil {
		return fmt.Errorf("options cert, key: %w", err)
	}
	return nil
}

// used reports whether any option was given.
func (s *tlsSettings) used() bool { return *s != (tlsSettings{}) }

// config returns the configuration of a client of address. The check of the
// certificate is that of the standard library, made here so that seen gets the
// certificates also when it fails.
func (s *tlsSettings) config(address string, seen func(tls.ConnectionState)) *tls.Config {
	config := &tls.Config{
		ServerName:         s.nameFor(address),
		MinVersion:         tls.VersionTLS10, // what the server speaks is exported, not judged
		InsecureSkipVerify: true,             // VerifyConnection does it
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		seen(state)
		if s.insecure {
			return nil
		}
		_, err := s.verify(state, address)
		return err
	}
	if s.cert != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(s.cert, s.key) // again each time: they are renewed
			if err != nil {
				return nil, probes.Because(probes.ReasonTLS, fmt.Errorf("options cert, key: %w", err))
			}
			return &pair, nil
		}
	}
	return config
}

func (s *tlsSettings) nameFor(address string) string {
	if s.serverName != "" {
		return s.serverName
	}
	host, _, _ := net.SplitHostPort(address)
	return host
}

// verify returns the chains from the server's certificate to an authority.
func (s *tlsSettings) verify(state tls.ConnectionState, address string) ([][]*x509.Certificate, error) {
	if len(state.PeerCertificates) == 0 {
		return nil, errors.New("the server shows no certificate")
	}
	options := x509.VerifyOptions{Roots: s.roots, DNSName: s.nameFor(address), Intermediates: x509.NewCertPool()}
	for _, intermediate := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	chains, err := state.PeerCertificates[0].Verify(options)
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return chains, nil
}

// earliest returns when the first of certificates expires.
func earliest(certificates []*x509.Certificate) time.Time {
	var first time.Time
	for _, one := range certificates {
		if first.IsZero() || one.NotAfter.Before(first) {
			first = one.NotAfter
		}
	}
	return first
}

// longest returns when the last of the chains stops to hold: each ends with the
// first of its certificates to expire.
func longest(chains [][]*x509.Certificate) time.Time {
	var last time.Time
	for _, chain := range chains {
		if end := earliest(chain); end.After(last) {
			last = end
		}
	}
	return last
}

// tlsVersion names the version: a label value.
func tlsVersion(version uint16) string {
	switch version {
	case tls.VersionTLS10:
		return "1.0"
	case tls.VersionTLS11:
		return "1.1"
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return "other"
}
