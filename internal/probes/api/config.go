// Package api reads the resource use of the target from the target's own
// /metrics page, whatever its language, through one table of known names.
package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// Name is the name of this kind and of its probe.
const Name = "api"

// Config is the configuration of the API probe.
type Config struct {
	MetricsURL string        `envconfig:"API_METRICS_URL" desc:"URL of the target's /metrics page (http or https, Prometheus text format), from which its resource use is read; empty: not read."`
	Token      secret.String `envconfig:"API_METRICS_TOKEN" desc:"Bearer token for the target's /metrics page, when it needs one."`
	TokenFile  string        `envconfig:"API_METRICS_TOKEN_FILE" desc:"File that holds the bearer token for the target's /metrics page."`
	Aliases    Aliases       `envconfig:"API_METRICS_ALIASES" desc:"Own names on top of the built-in ones, as soakd_name=target_name{label=\"value\"}, separated by commas, at most 100; the left side is a soakd_api_* metric, for the pool soakd_api_pool_connections{pool=\"name\",state=\"in_use\"} with the states in_use, idle, max and waiting."`

	target *url.URL
	token  secret.String
}

// Kind returns the kind with its defaults.
func Kind() probes.Kind { return probes.Kind{Name: Name, Config: &Config{}} }

// Enabled reports whether there is a page to read.
func (c *Config) Enabled() bool { return c.MetricsURL != "" }

// Validate returns every mistake, joined, and loads the token.
func (c *Config) Validate() error {
	var errs []error
	if c.Enabled() {
		target, err := parseURL(c.MetricsURL)
		if err != nil {
			errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_URL: %w", err))
		}
		c.target = target
	}
	token, err := secret.Resolve(c.Token, c.TokenFile)
	switch {
	case errors.Is(err, secret.ErrBoth):
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_TOKEN, SOAKD_API_METRICS_TOKEN_FILE: %w", err))
	case err != nil:
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_TOKEN_FILE: %w", err))
	case !headerSafe(token.Value()):
		errs = append(errs, errors.New("SOAKD_API_METRICS_TOKEN: holds characters that a header cannot carry"))
	}
	c.token = token
	if err := c.Aliases.validate(); err != nil {
		errs = append(errs, fmt.Errorf("SOAKD_API_METRICS_ALIASES: %w", err))
	}
	return errors.Join(errs...)
}

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
	}
	return parsed, nil
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
	if c.target == nil {
		return ""
	}
	return c.target.Scheme + "://" + c.target.Host + c.target.EscapedPath()
}

// Open makes the one probe. Validate must have been called.
func (c *Config) Open(*slog.Logger) ([]probes.Probe, error) {
	if c.target == nil {
		return nil, errors.New("open api probe: the configuration has not been validated")
	}
	return []probes.Probe{newProbe(c.target, c.token, c.Aliases.list)}, nil
}
