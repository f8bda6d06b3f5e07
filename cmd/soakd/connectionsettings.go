package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"soakd/internal/authorities"
	"soakd/internal/load"
	"soakd/internal/load/wire"
	"soakd/internal/secret"
)

// connectionSettings say how the target is reached.
type connectionSettings struct {
	ConnectionsAhead      int           `envconfig:"CONNECTIONS_AHEAD" default:"0" model:"open" desc:"Connections that are kept idle, dialled before they are needed, up to SOAKD_MAX_IN_FLIGHT; 0 means one for each 1000 arrivals a second at the peak, 2 at least."`
	ConnectionGrowth      float64       `envconfig:"CONNECTION_GROWTH" default:"100" model:"open" desc:"By how many connections a second the pool may grow, above 0 and up to 100000. One in the place of another that ended is no growth."`
	ConnectionMaxRequests int           `envconfig:"CONNECTION_MAX_REQUESTS" default:"0" desc:"Requests after which a connection is closed and another made; 0: no limit."`
	ConnectionMaxAge      time.Duration `envconfig:"CONNECTION_MAX_AGE" default:"0s" desc:"Age at which a connection is closed and another made; 0s: no limit."`
	ConnectionIdleTimeout time.Duration `envconfig:"CONNECTION_IDLE_TIMEOUT" default:"90s" model:"open" desc:"Time after which an idle connection beyond SOAKD_CONNECTIONS_AHEAD is closed; 0s: never."`
	DNSInterval           time.Duration `envconfig:"DNS_INTERVAL" default:"30s" desc:"Time between two resolutions of the target's name, at least 1s, so that a target that moves is followed; 0s: it is resolved once."`
	HTTPVersion           string        `envconfig:"HTTP_VERSION" default:"auto" desc:"auto (TLS agrees on HTTP/2 or 1.1; without TLS 1.1), 1.1 or 2 (without TLS by prior knowledge)."`
	Compression           bool          `envconfig:"COMPRESSION" default:"true" desc:"Whether gzip is asked for. Answers that come packed are unpacked either way."`
	TargetSocket          string        `envconfig:"TARGET_SOCKET" desc:"Path of a unix socket to connect to instead of the host in SOAKD_TARGET_URL, which requests still name."`
	ProxyURL              secret.String `envconfig:"PROXY_URL" desc:"Proxy on the way to the target: http://host:port or socks5://host:port, perhaps with user:password@ (secret). HTTP_PROXY and the like are never used."`
	ProxyURLFile          string        `envconfig:"PROXY_URL_FILE" desc:"File with the URL of the proxy (SOAKD_PROXY_URL)."`

	TLSCAFile             string `envconfig:"TLS_CA_FILE" desc:"File with the authorities (PEM) that may have signed the target's certificate, instead of the system's."`
	TLSCertFile           string `envconfig:"TLS_CERT_FILE" desc:"File with soakd's client certificate (PEM), with its chain; read again when it changes."`
	TLSKeyFile            string `envconfig:"TLS_KEY_FILE" desc:"File with the key of that certificate (PEM)."`
	TLSServerName         string `envconfig:"TLS_SERVER_NAME" desc:"Name that the target's certificate must be for; empty: the host in SOAKD_TARGET_URL."`
	TLSInsecureSkipVerify bool   `envconfig:"TLS_INSECURE_SKIP_VERIFY" default:"false" desc:"Whether any certificate of the target will do. Only for tests: whoever is between reads the tokens."`
}

// validate takes note of every mistake and reads the proxy's URL. target is nil
// when it is not known.
func (s *connectionSettings) validate(m *mistakes, target *url.URL, maxInFlight int) {
	m.check(s.ConnectionsAhead >= 0 && s.ConnectionsAhead <= max(maxInFlight, 0), "CONNECTIONS_AHEAD: %d must be 0 (by the rate) up to SOAKD_MAX_IN_FLIGHT (%d)", s.ConnectionsAhead, maxInFlight)
	m.check(s.ConnectionGrowth > 0 && s.ConnectionGrowth <= 100_000, "CONNECTION_GROWTH: %v must be above 0 and up to 100000 connections a second", s.ConnectionGrowth)
	m.check(s.ConnectionMaxRequests >= 0, "CONNECTION_MAX_REQUESTS: %d must be 0 (no limit) or more", s.ConnectionMaxRequests)
	m.check(s.ConnectionMaxAge >= 0, "CONNECTION_MAX_AGE: %v must be 0s (no limit) or more", s.ConnectionMaxAge)
	m.check(s.ConnectionIdleTimeout >= 0, "CONNECTION_IDLE_TIMEOUT: %v must be 0s (never) or more", s.ConnectionIdleTimeout)
	m.check(s.DNSInterval == 0 || s.DNSInterval >= time.Second, "DNS_INTERVAL: %v must be at least 1s, or 0s (resolved once)", s.DNSInterval)
	version := wire.Version(s.HTTPVersion)
	m.check(version == wire.Auto || version == wire.HTTP1 || version == wire.HTTP2, "HTTP_VERSION: %q must be auto, 1.1 or 2", s.HTTPVersion)
	s.validateProxy(m, target)
	s.validateTLS(m)
}

func (s *connectionSettings) validateProxy(m *mistakes, target *url.URL) {
	given, err := secret.Resolve(s.ProxyURL, s.ProxyURLFile)
	if err != nil {
		m.check(false, "PROXY_URL, SOAKD_PROXY_URL_FILE: %w", err)
	}
	s.ProxyURL, s.ProxyURLFile = given, ""
	if !given.IsSet() {
		return
	}
	m.check(s.TargetSocket == "", "TARGET_SOCKET: a unix socket cannot be reached through SOAKD_PROXY_URL: give one of them")
	proxy, err := load.ParseProxy(given.Value())
	if err != nil {
		m.check(false, "PROXY_URL: %w", err)
		return
	}
	plain := target != nil && target.Scheme == "http" && proxy.Scheme == "http"
	m.check(!plain || wire.Version(s.HTTPVersion) != wire.HTTP2, "HTTP_VERSION: an http proxy passes no HTTP/2 without TLS on: give auto or 1.1, or a socks5 proxy")
}

// validateTLS reads the files once, to find mistakes before anything is sent.
func (s *connectionSettings) validateTLS(m *mistakes) {
	if _, err := s.authorities(); err != nil {
		m.check(false, "TLS_CA_FILE: %w", err)
	}
	if (s.TLSCertFile == "") != (s.TLSKeyFile == "") {
		m.check(false, "TLS_CERT_FILE, SOAKD_TLS_KEY_FILE: a certificate needs its key: give both or none")
	} else if s.TLSCertFile != "" {
		if _, err := tls.LoadX509KeyPair(s.TLSCertFile, s.TLSKeyFile); err != nil {
			m.check(false, "TLS_CERT_FILE, SOAKD_TLS_KEY_FILE: %w", err)
		}
	}
}

// authorities returns those of the file, nil for the system's.
func (s *connectionSettings) authorities() (*x509.CertPool, error) {
	if s.TLSCAFile == "" {
		return nil, nil // what tls.Config takes for the system's
	}
	return authorities.Read(s.TLSCAFile)
}

// tls returns how TLS is spoken with the target.
func (s *connectionSettings) tls(log *slog.Logger) (*tls.Config, error) {
	roots, err := s.authorities()
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{RootCAs: roots, ServerName: s.TLSServerName, InsecureSkipVerify: s.TLSInsecureSkipVerify}
	if s.TLSInsecureSkipVerify {
		log.Warn("the target's certificate is not verified, as SOAKD_TLS_INSECURE_SKIP_VERIFY asks: whoever is between can read the tokens")
	}
	if s.TLSCertFile == "" {
		return cfg, nil
	}
	certificate, err := newClientCertificate(s.TLSCertFile, s.TLSKeyFile, log)
	if err != nil {
		return nil, err
	}
	cfg.GetClientCertificate = certificate.get
	// A resumed session would still be that of the certificate it began with.
	cfg.SessionTicketsDisabled = true
	return cfg, nil
}

// client fills in how connections are made.
func (s *connectionSettings) client(cfg load.ClientConfig, allowed []string, log *slog.Logger) (*load.Client, error) {
	var err error
	if cfg.TLS, err = s.tls(log); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	cfg.Socket, cfg.Proxy, cfg.HTTPVersion, cfg.Compression = s.TargetSocket, s.ProxyURL.Value(), wire.Version(s.HTTPVersion), s.Compression
	cfg.CAFile, cfg.CertFile, cfg.KeyFile = s.TLSCAFile, s.TLSCertFile, s.TLSKeyFile
	cfg.MaxRequestsPerConnection, cfg.MaxConnectionAge = s.ConnectionMaxRequests, s.ConnectionMaxAge
	if len(allowed) > 0 {
		cfg.Allow = func(ip netip.Addr) error {
			if load.AllowedAddress(allowed, ip) {
				return nil
			}
			return fmt.Errorf("the address %v is in none of the networks of SOAKD_ALLOWED_HOSTS (%s)", ip, strings.Join(allowed, ", "))
		}
	}
	return load.NewClient(cfg)
}

// describe says in words how the target is reached, without secrets.
func (s *connectionSettings) describe(target string) string {
	secure := strings.HasPrefix(target, "https:")
	version := "HTTP/" + s.HTTPVersion
	if s.HTTPVersion == string(wire.Auto) {
		version = "HTTP/1.1"
		if secure {
			version = "HTTP/2 or 1.1, as TLS agrees"
		}
	}
	parts := []string{version}
	say := func(when bool, format string, args ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	say(s.TargetSocket != "", "unix socket %s", s.TargetSocket)
	if proxy, err := load.ParseProxy(s.ProxyURL.Value()); s.ProxyURL.IsSet() && err == nil {
		say(true, "through the proxy %s", (&url.URL{Scheme: proxy.Scheme, Host: proxy.Host}).String())
	}
	say(s.TLSCertFile != "", "client certificate %s", s.TLSCertFile)
	say(secure && s.TLSInsecureSkipVerify, "certificate of the target not verified")
	return strings.Join(parts, ", ")
}
