package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/exporter"
	"soakd/internal/judge/objective"
	"soakd/internal/load"
	"soakd/internal/load/cashflow"
	"soakd/internal/probes"
	"soakd/internal/probes/api"
	"soakd/internal/probes/blackbox"
	"soakd/internal/probes/postgres"
	"soakd/internal/probes/redis"
	"soakd/internal/secret"
)

// config is everything that can be set, apart from what the probes bring.
type config struct {
	TargetURL  string `envconfig:"TARGET_URL" desc:"URL of the API: http or https, host and port, perhaps a base path. Required by run and check."`
	Workload   string `envconfig:"WORKLOAD" default:"cashflow" desc:"What is sent: cashflow, the built-in workload for the Credit Cashflow Engine."`
	APIVersion string `envconfig:"API_VERSION" default:"v1" desc:"Version in the path: /api/VERSION/..."`

	tagSettings

	TargetName    string `envconfig:"TARGET_NAME" desc:"Name of the target in metrics and dashboards, such as staging: 1 to 64 letters, digits, dots, colons, dashes or underscores; empty: its host and port. The shards of one target need the same."`
	TargetVersion string `envconfig:"TARGET_VERSION" desc:"Version of the target that runs, such as v1.4.2; empty: what it says itself in answers to health checks."`
	VersionHeader string `envconfig:"VERSION_HEADER" default:"X-App-Version" desc:"Header in which answers to health checks give the target's version; without it their field version counts."`

	loadSettings

	MaxResponseBytes int64         `envconfig:"MAX_RESPONSE_BYTES" default:"4194304" desc:"Largest answer that is read, in bytes, 1024 to 1073741824; a larger one is a failed check. All answers in flight together may hold 64 MiB, or four times this if that is more."`
	ShutdownGrace    time.Duration `envconfig:"SHUTDOWN_GRACE" default:"10s" desc:"How long requests in flight may go on once soakd is told to stop; then they are cut and counted."`
	LagLimit         time.Duration `envconfig:"LAG_LIMIT" default:"10ms" desc:"A window of 10 s is not fit to pass a judgement when soakd noticed 1 % of its arrivals later than this, above 0s."`
	CPULimit         float64       `envconfig:"CPU_LIMIT" default:"0.9" desc:"A window of 10 s is not fit to pass a judgement either when soakd used more than this share of the CPUs that it may use, above 0 and up to 1."`
	AllowedHosts     []string      `envconfig:"ALLOWED_HOSTS" desc:"Hosts that may be the target, separated by commas: name, name:port, *.name, an IP address or a network such as 10.0.0.0/8; empty allows any. Networks also bound the addresses that names resolve to. A guard against pointing a soak at production."`
	UserPrefix       string        `envconfig:"USER_PREFIX" default:"soakd" desc:"Start of the virtual users' ids where tokens are minted; a shard adds its number. Two soakds on one target need different ones: their checks remember what their users saved."`

	Objectives      string        `envconfig:"OBJECTIVES" desc:"What the target promises, separated by semicolons: name: availability>=99.5%; name: class=monte_carlo latency<=5s for 99%; empty: defaults for each class; none: nothing."`
	ObjectivePeriod time.Duration `envconfig:"OBJECTIVE_PERIOD" default:"0s" desc:"Time for which an error budget must last, 1h to 2160h; 0s: 30 days, or the duration of a bounded run."`

	Baseline string `envconfig:"BASELINE" desc:"What of the history the target is compared with: the name of a baseline, version=v1.4.2, or last-passed, the last bounded run that passed; empty: the version before, where there was one. A bounded run that is worse fails."`

	gateSettings

	historySettings

	grafanaSettings

	pushSettings

	connectionSettings

	AuthToken     secret.String `envconfig:"AUTH_TOKEN" desc:"Bearer token for every request (secret)."`
	AuthTokenFile string        `envconfig:"AUTH_TOKEN_FILE" desc:"File with the bearer token, read again when it changes."`
	JWTSecret     secret.String `envconfig:"JWT_SECRET" desc:"Key from which a token is minted for each virtual user (HS256) and renewed before it expires (secret)."`
	JWTSecretFile string        `envconfig:"JWT_SECRET_FILE" desc:"File with the key that tokens are signed with (SOAKD_JWT_SECRET)."`
	JWTAudience   string        `envconfig:"JWT_AUDIENCE" desc:"Audience (aud) of minted tokens; empty means none."`
	JWTTTL        time.Duration `envconfig:"JWT_TTL" default:"1h" desc:"Life of minted tokens, at least 10s."`

	ProbeInterval time.Duration `envconfig:"PROBE_INTERVAL" default:"5s" desc:"Time between two polls of a probe."`
	ProbeTimeout  time.Duration `envconfig:"PROBE_TIMEOUT" default:"3s" desc:"Time limit of one poll, at most the interval."`

	Listen          string `envconfig:"LISTEN" default:":9470" desc:"Where /metrics and the page are served, host:port; port 0 takes a free one."`
	WebConfigFile   string `envconfig:"WEB_CONFIG_FILE" desc:"exporter-toolkit web configuration: TLS and basic authentication."`
	EnableLifecycle bool   `envconfig:"ENABLE_LIFECYCLE" default:"false" desc:"Whether the load can be changed over HTTP (PUT /-/rate, POST /-/pause, POST /-/resume) and events posted (POST /api/v1/events). Protect them with SOAKD_WEB_CONFIG_FILE."`

	progressSettings

	kinds []probes.Kind
	// ownTarget means that the command brings the target itself.
	ownTarget bool
	// reports means that the command writes reports, so that the places for them have to
	// be there.
	reports bool
	// selfOnly means that only where soakd itself is served matters.
	selfOnly bool
}

// newConfig returns an empty configuration with every kind of probe: the one
// place that lists them.
func newConfig() *config {
	kinds := []probes.Kind{postgres.Kind(), postgres.CanaryKind(), redis.Kind(), redis.CanaryKind(), api.Kind()}
	return &config{kinds: append(kinds, blackbox.Kinds()...)}
}

// override sets one setting by the name of its variable, for a command that
// brings the value itself.
func (c *config) override(name, value string) error {
	for _, s := range c.settings() {
		if s.Name == name {
			return s.set(value)
		}
	}
	return fmt.Errorf("there is no setting %s", name)
}

// settings lists everything that can be set.
func (c *config) settings() []setting {
	structs := []any{c}
	for _, kind := range c.kinds {
		structs = append(structs, kind.Config)
	}
	return settingsOf(structs...)
}

// usageError is a mistake of the person who called soakd: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// command is what one command adds to the common configuration.
type command struct {
	name string
	// flags adds the command's own flags; may be nil.
	flags func(*flag.FlagSet)
	// adjust runs before the configuration is checked; may be nil.
	adjust func(*config) error
}

// readConfig reads defaults, environment and flags, in this order, and checks
// the whole. All mistakes come in one error. It returns flag.ErrHelp when help
// was asked for and printed.
func readConfig(cmd command, args []string, stdout io.Writer) (*config, error) {
	cfg := newConfig()
	settings := cfg.settings()
	errs := []error{loadEnvironment(settings)}

	flags := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {} // printed below, to standard output
	if cmd.flags != nil {
		cmd.flags(flags)
	}
	addFlags(flags, settings, &errs)
	add := addAliases(flags, settings, &errs)
	err := flags.Parse(locustArguments(args))
	add()
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, "soakd %s: settings are flags or environment variables, --rate or SOAKD_RATE; flags win. Secrets have no flag:\n"+
			"SOAKD_AUTH_TOKEN, or SOAKD_AUTH_TOKEN_FILE with the name of a file. SETTINGS.md has them by what they are about.\n\n", cmd.name)
		printFlags(stdout, flags)
		return nil, err
	case err != nil:
		errs = append(errs, fmt.Errorf("%w; see `soakd %s --help`", err, cmd.name))
	case flags.NArg() > 0:
		errs = append(errs, fmt.Errorf("%q is not expected: settings are flags such as --rate 50", flags.Arg(0)))
	}
	if meantAsUsers(flags) && os.Getenv(envPrefix+"_MODEL") == "" {
		cfg.Model = modelClosed
	}
	cfg.reports = cmd.name == "run" || cmd.name == "demo"
	if cmd.adjust != nil {
		errs = append(errs, cmd.adjust(cfg))
	}
	if err := errors.Join(append(errs, cfg.validate())...); err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// mistakes gathers what is wrong with settings.
type mistakes []error

// check takes note of a mistake unless all is well. The text starts with the name
// of the setting, without the prefix.
func (m *mistakes) check(ok bool, format string, args ...any) {
	if !ok {
		*m = append(*m, fmt.Errorf(envPrefix+"_"+format, args...))
	}
}

// validate returns every mistake and reads what stands in files.
func (c *config) validate() error {
	var m mistakes
	m.check(validListen(c.Listen), "LISTEN: %q must be host:port, such as :9470 or 127.0.0.1:9470", c.Listen)
	if err := exporter.CheckWebConfig(c.WebConfigFile); err != nil {
		m.check(false, "WEB_CONFIG_FILE: %w", err)
	}
	if c.selfOnly {
		return errors.Join(m...)
	}
	c.validateTarget(&m)
	c.gateSettings.validate(&m, c.Duration, c.RampUp)
	if c.reports {
		c.prepare(&m)
	}
	c.historySettings.validate(&m)
	c.grafanaSettings.validate(&m)
	c.pushSettings.validate(&m)
	m.check(c.Baseline == "" || !c.location.None(), "BASELINE: there is no history to take %q from (SOAKD_HISTORY_URL is none)", c.Baseline)
	if _, err := objective.Parse(c.Objectives, nil); err != nil {
		m.check(false, "OBJECTIVES: %w", err)
	}
	if c.ObjectivePeriod != 0 {
		if err := (objective.Policy{Period: c.ObjectivePeriod}).Validate(); err != nil {
			m.check(false, "OBJECTIVE_PERIOD: %w", err)
		}
	}
	m.check(c.TargetName == "" || targetName.MatchString(c.TargetName), "TARGET_NAME: %q must be 1 to 64 letters, digits, dots, colons, dashes or underscores, such as staging", c.TargetName)
	m.check(c.Workload == "cashflow", "WORKLOAD: %q is not known; the workload is cashflow", c.Workload)
	m.check(cashflow.ValidAPIVersion(c.APIVersion), "API_VERSION: %q must be 1 to 32 letters, digits, dots, dashes or underscores, such as v1", c.APIVersion)
	c.loadSettings.validate(&m, time.Now())
	c.validateModel(&m)
	m.check(c.MaxResponseBytes >= 1024 && c.MaxResponseBytes <= 1<<30, "MAX_RESPONSE_BYTES: %d must be 1024 to 1073741824", c.MaxResponseBytes)
	m.check(c.ShutdownGrace >= 0, "SHUTDOWN_GRACE: %v must be 0s or more", c.ShutdownGrace)
	m.check(c.LagLimit > 0, "LAG_LIMIT: %v must be above 0s", c.LagLimit)
	m.check(c.CPULimit > 0 && c.CPULimit <= 1, "CPU_LIMIT: %v must be above 0 and up to 1", c.CPULimit)
	m.check(c.ProbeInterval >= probes.MinInterval, "PROBE_INTERVAL: %v must be at least %v", c.ProbeInterval, probes.MinInterval)
	m.check(c.ProbeTimeout > 0 && c.ProbeTimeout <= c.ProbeInterval, "PROBE_TIMEOUT: %v must be above 0s and at most SOAKD_PROBE_INTERVAL (%v)", c.ProbeTimeout, c.ProbeInterval)
	c.progressSettings.validate(&m)
	m = append(m, c.validateAuth())
	for _, kind := range c.kinds {
		m = append(m, kind.Config.Validate())
	}
	return errors.Join(m...)
}

// validateTarget checks where requests go and how connections are made.
func (c *config) validateTarget(m *mistakes) {
	for _, host := range c.AllowedHosts {
		if err := load.ValidateAllowList([]string{host}); err != nil {
			m.check(false, "ALLOWED_HOSTS: %w", err)
		}
	}
	var target *url.URL
	if c.TargetURL == "" {
		m.check(c.ownTarget, "TARGET_URL: not set; give the URL of the API, such as http://127.0.0.1:8000, or try `soakd demo`")
	} else if u, err := load.ParseTarget(c.TargetURL); err != nil {
		m.check(false, "TARGET_URL: %w", err)
	} else {
		target = u
		m.check(load.Allowed(c.AllowedHosts, u), "TARGET_URL: the host %s is not among SOAKD_ALLOWED_HOSTS (%s)", u.Host, strings.Join(c.AllowedHosts, ", "))
	}
	c.connectionSettings.validate(m, target, c.MaxInFlight)
	if target == nil {
		return
	}
	for _, s := range c.settings() {
		if strings.HasPrefix(s.Name, envPrefix+"_TLS_") && s.isSet() && target.Scheme != "https" {
			*m = append(*m, fmt.Errorf("%s: the target is %s, without TLS: give an https target, or unset this", s.Name, c.TargetURL))
		}
	}
	// The name is then resolved elsewhere, and nothing can look at its addresses.
	_, err := netip.ParseAddr(target.Hostname())
	networks := slices.ContainsFunc(c.AllowedHosts, func(host string) bool { return strings.Contains(host, "/") })
	m.check(err == nil || !networks || !c.ProxyURL.IsSet(),
		"ALLOWED_HOSTS: networks cannot be kept to while the proxy of SOAKD_PROXY_URL resolves %s: give its name alone, or an address as the target", target.Hostname())
}

// targetName matches what may name a target: it is a label value.
var targetName = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// runInfo names what is sent to whom.
func (c *config) runInfo() exporter.RunInfo {
	info := exporter.RunInfo{
		Target: c.TargetName, Model: c.Model, Shape: c.shapeKind(), Workload: c.Workload, Shard: fmt.Sprintf("%d/%d", c.Shard.number, c.Shard.of),
	}
	if c.closed() {
		info.Shape = "users"
	}
	if target, err := load.ParseTarget(c.TargetURL); err == nil && info.Target == "" {
		info.Target = target.Host // without what may be secret
	}
	return info
}

// validateModel refuses settings that the chosen model or shape would not heed.
func (c *config) validateModel(m *mistakes) {
	if c.Model != modelOpen && c.Model != modelClosed {
		return // said already
	}
	for _, s := range c.settings() {
		switch {
		case !s.isSet():
		case s.Model != "" && s.Model != c.Model:
			*m = append(*m, fmt.Errorf("%s: it belongs to the %s model, and SOAKD_MODEL is %s: unset it, or give another model", s.Name, s.Model, c.Model))
		case s.Name == envPrefix+"_RATE" && !c.usesRate():
			*m = append(*m, fmt.Errorf("%s: the shape %s has rates of its own: unset this, or give another SOAKD_SHAPE", s.Name, c.shapeKind()))
		}
	}
}

// userPrefix starts the ids of virtual users. Those of each shard are its own: a
// shard does not know what another has saved for them.
func (c *config) userPrefix() string {
	if c.Shard.of > 1 {
		return fmt.Sprintf("%s-%d", c.UserPrefix, c.Shard.number)
	}
	return c.UserPrefix
}

// validListen reports whether an address is host:port with a port of 0..65535.
func validListen(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// validateAuth checks how requests identify themselves. The token file is read
// by the token source, which follows its changes.
func (c *config) validateAuth() error {
	var errs []error
	key, err := secret.Resolve(c.JWTSecret, c.JWTSecretFile)
	if err != nil {
		errs = append(errs, fmt.Errorf("SOAKD_JWT_SECRET, SOAKD_JWT_SECRET_FILE: %w", err))
	}
	c.JWTSecret, c.JWTSecretFile = key, ""
	given := 0
	for _, set := range []bool{c.AuthToken.IsSet(), c.AuthTokenFile != "", key.IsSet()} {
		if set {
			given++
		}
	}
	if given > 1 {
		errs = append(errs, errors.New("SOAKD_AUTH_TOKEN, SOAKD_AUTH_TOKEN_FILE, SOAKD_JWT_SECRET: give one of them"))
	}
	if c.AuthTokenFile != "" {
		if _, err := secret.ReadFile(c.AuthTokenFile); err != nil {
			errs = append(errs, fmt.Errorf("SOAKD_AUTH_TOKEN_FILE: %w", err))
		}
	}
	if c.JWTTTL < 10*time.Second {
		errs = append(errs, fmt.Errorf("SOAKD_JWT_TTL: %v must be at least 10s", c.JWTTTL))
	}
	return errors.Join(errs...)
}

// logger returns the log that the configuration asks for.
func (c *config) logger(w io.Writer) *slog.Logger {
	level, _ := c.level() // validated
	if c.Quiet {
		level = max(level, slog.LevelError)
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
