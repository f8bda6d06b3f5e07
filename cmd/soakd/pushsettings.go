package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"soakd/internal/authorities"
	"soakd/internal/exporter"
	"soakd/internal/exporter/push"
	"soakd/internal/secret"
)

// pushSettings say where the metrics are pushed.
type pushSettings struct {
	PushgatewayURL       string        `envconfig:"PUSHGATEWAY_URL" desc:"URL of a Pushgateway that gets all metrics at the end of a run, for runs that are over before anybody scrapes them, such as http://pushgateway:9091; empty: none. They stay there until the next run for the same target replaces them or somebody deletes them."`
	PushgatewayUser      string        `envconfig:"PUSHGATEWAY_USER" desc:"User for basic authentication with the Pushgateway; empty: the token is a bearer token."`
	PushgatewayToken     secret.String `envconfig:"PUSHGATEWAY_TOKEN" desc:"Bearer token or password for it (secret)."`
	PushgatewayTokenFile string        `envconfig:"PUSHGATEWAY_TOKEN_FILE" desc:"File with the token or password for the Pushgateway (SOAKD_PUSHGATEWAY_TOKEN)."`

	RemoteWriteURL        string        `envconfig:"REMOTE_WRITE_URL" desc:"URL that gets all metrics at the end of a run by Prometheus remote write 1.0, with its path, such as http://prometheus:9090/api/v1/write; empty: none."`
	RemoteWriteUser       string        `envconfig:"REMOTE_WRITE_USER" desc:"User for basic authentication with remote write; empty: the token is a bearer token."`
	RemoteWriteToken      secret.String `envconfig:"REMOTE_WRITE_TOKEN" desc:"Bearer token or password for it (secret)."`
	RemoteWriteTokenFile  string        `envconfig:"REMOTE_WRITE_TOKEN_FILE" desc:"File with the token or password for remote write (SOAKD_REMOTE_WRITE_TOKEN)."`
	RemoteWriteHistograms string        `envconfig:"REMOTE_WRITE_HISTOGRAMS" default:"classic" desc:"Form of histograms in remote write: classic, native (the receiver must take them: Prometheus 3, or 2.40 with a feature flag) or both."`

	PushJob      string        `envconfig:"PUSH_JOB" default:"soakd" desc:"Label job of what is pushed: 1 to 64 letters, digits, dots, colons, dashes or underscores."`
	PushInstance string        `envconfig:"PUSH_INSTANCE" desc:"Label instance of what is pushed, of the same characters; empty: the target's name (SOAKD_TARGET_NAME, else host and port), and with several shards -NUMBER behind it."`
	PushLabels   []string      `envconfig:"PUSH_LABELS" desc:"Further labels of everything that is pushed: name=value, separated by commas, at most 10, values of 1 to 128 bytes, such as environment=staging. Prometheus keeps a set of series for each value: mind that before giving the number of a pipeline."`
	PushInterval time.Duration `envconfig:"PUSH_INTERVAL" default:"0s" desc:"Time between two pushes while the run goes on, at least 5s, so that rates can be read from them; 0s: only one at its end."`
	PushTimeout  time.Duration `envconfig:"PUSH_TIMEOUT" default:"10s" desc:"Time limit of one push to one destination, up to three attempts together: 1s to 2m."`
	PushCAFile   string        `envconfig:"PUSH_CA_FILE" desc:"File with the authorities (PEM) that may have signed the certificates of the Pushgateway and of the receiver of remote write, instead of the system's."`
}

// The bounds of what may be set.
const (
	maxPushLabels    = 10
	maxPushLabel     = 128 // bytes of a value
	minPushInterval  = 5 * time.Second
	minPushTimeout   = time.Second
	maxPushTimeout   = 2 * time.Minute
	pushLabelExample = "environment=staging"
)

// pushLabel matches names of labels that Prometheus takes from everybody: those that start
// with two underscores are its own.
var pushLabel = regexp.MustCompile(`^(?:[A-Za-z]|_[A-Za-z0-9])[A-Za-z0-9_]{0,62}$`)

// validate takes note of every mistake and reads the tokens. Nothing is sent.
func (s *pushSettings) validate(m *mistakes) {
	s.PushgatewayToken = pushDestination(m, "PUSHGATEWAY", s.PushgatewayURL, s.PushgatewayUser, s.PushgatewayToken, s.PushgatewayTokenFile)
	s.RemoteWriteToken = pushDestination(m, "REMOTE_WRITE", s.RemoteWriteURL, s.RemoteWriteUser, s.RemoteWriteToken, s.RemoteWriteTokenFile)
	s.PushgatewayTokenFile, s.RemoteWriteTokenFile = "", ""
	if u, err := push.ParseURL(s.RemoteWriteURL); err == nil {
		m.check(u.Path != "", "REMOTE_WRITE_URL: it has no path: give all of it, such as http://prometheus:9090/api/v1/write")
	}
	forms := []string{string(push.Classic), string(push.Native), string(push.Both)}
	m.check(slices.Contains(forms, s.RemoteWriteHistograms), "REMOTE_WRITE_HISTOGRAMS: %q must be classic, native or both", s.RemoteWriteHistograms)
	m.check(targetName.MatchString(s.PushJob), "PUSH_JOB: %q must be 1 to 64 letters, digits, dots, colons, dashes or underscores, such as soakd", s.PushJob)
	m.check(s.PushInstance == "" || targetName.MatchString(s.PushInstance), "PUSH_INSTANCE: %q must be 1 to 64 letters, digits, dots, colons, dashes or underscores, such as staging", s.PushInstance)
	m.check(s.PushInterval == 0 || s.PushInterval >= minPushInterval, "PUSH_INTERVAL: %v must be 0s (only at the end) or at least %v", s.PushInterval, minPushInterval)
	m.check(s.PushTimeout >= minPushTimeout && s.PushTimeout <= maxPushTimeout, "PUSH_TIMEOUT: %v must be %v to %v", s.PushTimeout, minPushTimeout, maxPushTimeout)
	s.validateLabels(m)
	if s.PushgatewayURL == "" && s.RemoteWriteURL == "" {
		m.check(s.PushInterval == 0 && len(s.PushLabels) == 0 && s.PushInstance == "" && s.PushCAFile == "",
			"PUSH_INTERVAL, SOAKD_PUSH_LABELS, SOAKD_PUSH_INSTANCE, SOAKD_PUSH_CA_FILE: they mean nothing without SOAKD_PUSHGATEWAY_URL or SOAKD_REMOTE_WRITE_URL")
		return
	}
	if _, err := s.pushRoots(); err != nil {
		m.check(false, "PUSH_CA_FILE: %w", err)
	}
}

// pushDestination checks where to push and returns the token, read from its file where
// there is one.
func pushDestination(m *mistakes, name, url, user string, token secret.String, file string) secret.String {
	token, err := secret.Resolve(token, file)
	if err != nil {
		m.check(false, name+"_TOKEN, SOAKD_"+name+"_TOKEN_FILE: %w", err)
		return token
	}
	m.check(!strings.ContainsFunc(token.Value(), func(r rune) bool { return r < ' ' || r == 0x7f }), name+"_TOKEN: it holds line ends or other characters that no header can have")
	if url == "" {
		m.check(!token.IsSet() && user == "", name+"_URL: not set, and there is a user or a token for it: give the URL, or unset them")
		return token
	}
	if _, err := push.ParseURL(url); err != nil {
		m.check(false, name+"_URL: %w", err)
	}
	m.check(user == "" || token.IsSet(), name+"_TOKEN: not set: SOAKD_"+name+"_USER needs a password")
	m.check(!strings.Contains(user, ":"), name+"_USER: it holds a colon, which ends a user's name in basic authentication")
	return token
}

// validateLabels checks the further labels: none may be in the way of soakd's own.
func (s *pushSettings) validateLabels(m *mistakes) {
	taken := []string{"job", "instance", "le", "quantile"}
	for _, d := range exporter.Definitions(nil) {
		taken = append(taken, d.Labels...)
	}
	m.check(len(s.PushLabels) <= maxPushLabels, "PUSH_LABELS: %d labels, and at most %d are taken", len(s.PushLabels), maxPushLabels)
	seen := map[string]bool{}
	for _, text := range s.PushLabels {
		name, value, ok := strings.Cut(text, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		m.check(ok && pushLabel.MatchString(name), "PUSH_LABELS: %.80q must be name=value, such as %s", text, pushLabelExample)
		m.check(!slices.Contains(taken, name), "PUSH_LABELS: %.80q: soakd's own metrics have a label of this name: take another", name)
		m.check(value != "" && len(value) <= maxPushLabel && utf8.ValidString(value), "PUSH_LABELS: the value of %.80q must be text of 1 to %d bytes", name, maxPushLabel)
		m.check(!seen[name], "PUSH_LABELS: %.80q is given twice", name)
		seen[name] = true
	}
}

// pushRoots are the authorities of the file, nil for the system's.
func (s *pushSettings) pushRoots() (*x509.CertPool, error) {
	if s.PushCAFile == "" {
		return nil, nil //nolint:nilnil // what tls.Config takes for the system's
	}
	return authorities.Read(s.PushCAFile)
}

// pusher returns what pushes to the destinations that are set; nil when none is.
func (c *config) pusher(log *slog.Logger) (*push.Pusher, error) {
	if c.PushgatewayURL == "" && c.RemoteWriteURL == "" {
		return nil, nil //nolint:nilnil // documented
	}
	roots, err := c.pushRoots()
	if err != nil {
		return nil, err
	}
	labels := map[string]string{}
	for _, text := range c.PushLabels {
		name, value, _ := strings.Cut(text, "=")
		labels[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return push.New(push.Config{
		Pushgateway: push.Destination{URL: c.PushgatewayURL, User: c.PushgatewayUser, Token: c.PushgatewayToken},
		RemoteWrite: push.Destination{URL: c.RemoteWriteURL, User: c.RemoteWriteUser, Token: c.RemoteWriteToken},
		Job:         c.PushJob, Instance: c.pushInstance(), Labels: labels,
		Histograms: push.Histograms(c.RemoteWriteHistograms), Timeout: c.PushTimeout, Roots: roots, Log: log,
	})
}

// pushInstance tells the sources of pushed series apart: the targets, and the shards that
// send to one.
func (c *config) pushInstance() string {
	switch target := c.runInfo().Target; {
	case c.PushInstance != "":
		return c.PushInstance
	case c.Shard.of > 1:
		return target + "-" + strconv.Itoa(c.Shard.number)
	default:
		return target
	}
}

// watchPushes makes what pushes and adds its account to the metrics.
func (d *daemon) watchPushes() (err error) {
	if d.pusher, err = d.cfg.pusher(d.log); err != nil {
		return usageError{err}
	}
	if d.pusher != nil {
		d.metrics.WatchPushes(d.pusher.Figures)
	}
	return nil
}

// pushes pushes every interval until ctx ends, where that is asked for.
func (d *daemon) pushes(ctx context.Context) {
	if d.pusher != nil && d.cfg.PushInterval > 0 {
		d.metrics.PushEvery(ctx, d.pusher, d.cfg.PushInterval)
	}
}

// push sends the metrics of a run that is over, also when it was interrupted. That it
// fails says nothing about the target and changes neither result nor exit code; it is said
// as an error, whatever the level of the log.
func (d *daemon) push(ctx context.Context) {
	if d.pusher == nil {
		return
	}
	defer d.pusher.Close()
	if err := d.metrics.Push(context.WithoutCancel(ctx), d.pusher); err != nil {
		d.log.Error("the metrics of this run could not be pushed; its result stands", "err", err)
		return
	}
	d.log.Info("the metrics of this run are pushed", "job", d.cfg.PushJob, "instance", d.cfg.pushInstance())
}

// destinations asks where metrics are pushed whether a push would be taken. Nothing is
// written.
func (c *checker) destinations(ctx context.Context) {
	pusher, err := c.cfg.pusher(slog.New(slog.DiscardHandler))
	if pusher == nil && err == nil {
		return
	}
	if err != nil {
		c.printf("push: %v\n", err)
		c.wrong++
		return
	}
	defer pusher.Close()
	results := pusher.Check(ctx)
	for _, where := range slices.Sorted(maps.Keys(results)) {
		switch err := results[where]; {
		case err == nil:
			c.printf("push to %s: ok\n", where)
		case push.Reached(err):
			c.printf("push to %s: %v\n", where, err)
			c.wrong++
		default:
			c.printf("push to %s: %v\n", where, err)
			c.unreachable++
		}
	}
}
