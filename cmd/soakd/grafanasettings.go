package main

import (
	"context"
	"crypto/x509"
	"net/url"
	"regexp"
	"strings"
	"time"

	"soakd/internal/authorities"
	"soakd/internal/grafana"
	"soakd/internal/secret"
)

// grafanaSettings say where annotations are written.
type grafanaSettings struct {
	GrafanaURL          string        `envconfig:"GRAFANA_URL" desc:"URL of the Grafana to which findings, versions of the target, changes of the load, drills and what is posted to /api/v1/events are written as annotations, such as https://grafana.example.org; empty: none. Nothing is sent to any other address."`
	GrafanaToken        secret.String `envconfig:"GRAFANA_TOKEN" desc:"Token of a service account of that Grafana, with the role Editor or annotations:create, annotations:write and annotations:read (secret)."`
	GrafanaTokenFile    string        `envconfig:"GRAFANA_TOKEN_FILE" desc:"File with the token for Grafana (SOAKD_GRAFANA_TOKEN)."`
	GrafanaTags         []string      `envconfig:"GRAFANA_TAGS" desc:"Tags of the annotations beside soakd, kind:KIND, target:NAME, instance:SOAKD_USER_PREFIX and finding:ID or event:ID, separated by commas; at most 5 of up to 50 bytes."`
	GrafanaDashboardUID string        `envconfig:"GRAFANA_DASHBOARD_UID" desc:"UID of the only dashboard that shows them; empty: every dashboard that asks for the tag soakd."`
	GrafanaCAFile       string        `envconfig:"GRAFANA_CA_FILE" desc:"File with the authorities (PEM) that may have signed Grafana's certificate, instead of the system's."`
	ExternalURL         string        `envconfig:"EXTERNAL_URL" desc:"URL under which people reach soakd's page, for the links in annotations; empty: the address where it listens."`
}

// The bounds of what may be set.
const (
	maxGrafanaTags = 5
	maxGrafanaTag  = 50
)

// dashboardUID matches what Grafana takes for the UID of a dashboard.
var dashboardUID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// validate takes note of every mistake and reads the token. Nothing is sent.
func (s *grafanaSettings) validate(m *mistakes) {
	token, err := secret.Resolve(s.GrafanaToken, s.GrafanaTokenFile)
	if err != nil {
		m.check(false, "GRAFANA_TOKEN, SOAKD_GRAFANA_TOKEN_FILE: %w", err)
	}
	s.GrafanaToken, s.GrafanaTokenFile = token, ""
	m.check(!strings.ContainsFunc(token.Value(), func(r rune) bool { return r <= ' ' || r > '~' }), "GRAFANA_TOKEN: it holds spaces or other characters that no token has")
	if s.ExternalURL != "" {
		u, err := url.Parse(s.ExternalURL)
		m.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil, "EXTERNAL_URL: it must be http://host:port or https://host, without user and password, such as https://soakd.example.org")
	}
	if s.GrafanaURL == "" {
		m.check(err != nil || !token.IsSet(), "GRAFANA_URL: not set, and there is a SOAKD_GRAFANA_TOKEN: give the URL of that Grafana, or unset the token")
		m.check(s.GrafanaDashboardUID == "" && s.GrafanaCAFile == "" && len(s.GrafanaTags) == 0, "GRAFANA_URL: not set: SOAKD_GRAFANA_DASHBOARD_UID, SOAKD_GRAFANA_CA_FILE and SOAKD_GRAFANA_TAGS mean nothing without it")
		return
	}
	if _, err := grafana.ParseURL(s.GrafanaURL); err != nil {
		m.check(false, "GRAFANA_URL: %w", err)
	}
	m.check(err != nil || token.IsSet(), "GRAFANA_TOKEN: not set: SOAKD_GRAFANA_URL needs the token of a service account")
	m.check(s.GrafanaDashboardUID == "" || dashboardUID.MatchString(s.GrafanaDashboardUID), "GRAFANA_DASHBOARD_UID: %q must be 1 to 40 letters, digits, dashes or underscores", s.GrafanaDashboardUID)
	m.check(len(s.GrafanaTags) <= maxGrafanaTags, "GRAFANA_TAGS: %d tags, and at most %d are taken", len(s.GrafanaTags), maxGrafanaTags)
	for _, tag := range s.GrafanaTags {
		m.check(len(grafana.Tags(tag)) == 1 && len(tag) <= maxGrafanaTag, "GRAFANA_TAGS: %.60q must be 1 to %d bytes", tag, maxGrafanaTag)
	}
	if _, err := s.roots(); err != nil {
		m.check(false, "GRAFANA_CA_FILE: %w", err)
	}
}

// roots are the authorities of the file, nil for the system's.
func (s *grafanaSettings) roots() (*x509.CertPool, error) {
	if s.GrafanaCAFile == "" {
		return nil, nil //nolint:nilnil // what tls.Config takes for the system's
	}
	return authorities.Read(s.GrafanaCAFile)
}

// grafanaClient returns the client of the Grafana that is set; nil when none is.
func (s *grafanaSettings) grafanaClient() (*grafana.Client, error) {
	if s.GrafanaURL == "" {
		return nil, nil //nolint:nilnil // documented
	}
	roots, err := s.roots()
	if err != nil {
		return nil, err
	}
	return grafana.NewClient(grafana.ClientConfig{URL: s.GrafanaURL, Token: s.GrafanaToken, DashboardUID: s.GrafanaDashboardUID, Roots: roots})
}

// grafanaCheckTimeout bounds the calls of `soakd check` together.
const grafanaCheckTimeout = 20 * time.Second

// grafana asks the Grafana that is set whether annotations can be written. Nothing is.
func (c *checker) grafana(ctx context.Context) {
	client, err := c.cfg.grafanaClient()
	if client == nil && err == nil {
		return
	}
	if err != nil {
		c.printf("Grafana: %v\n", err)
		c.wrong++
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, grafanaCheckTimeout)
	defer cancel()
	switch sure, err := client.Check(ctx); {
	case err == nil && sure:
		c.printf("Grafana: ok, %s, the token may write annotations\n", client.Host())
	case err == nil:
		c.printf("Grafana: ok, %s, the token is known; this Grafana does not tell whether it may write annotations\n", client.Host())
	case grafana.Reached(err):
		c.printf("Grafana: %s: %v\n", client.Host(), err)
		c.wrong++
	default:
		c.printf("Grafana: %s: %v\n", client.Host(), err)
		c.unreachable++
	}
}
