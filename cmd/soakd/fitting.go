package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/url"
	"regexp"
	"time"

	"soakd/internal/dashboards"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/objective"
	"soakd/internal/load"
)

// fittingOptions are the flags of `soakd dashboards` and `soakd rules`.
type fittingOptions struct {
	out                                            string
	histograms, dataSource, grafanaURL, runbookURL string
	all, force                                     bool
}

// The values of --histograms.
const (
	classicHistograms = "classic"
	nativeHistograms  = "native"
)

// common adds the flags that both commands have.
func (o *fittingOptions) common(flags *flag.FlagSet) {
	flags.StringVar(&o.histograms, "histograms", classicHistograms, "which histograms Prometheus keeps of soakd: classic, or native, where it is told to scrape them (--enable-feature=native-histograms, or scrape_native_histograms) and keeps no classic ones beside them")
	flags.BoolVar(&o.all, "all", false, "write everything, also for probes that are not configured here: for a Prometheus and a Grafana that serve several soakds")
	flags.BoolVar(&o.force, "force", false, "overwrite files that soakd did not write, too")
}

// dataSourceUID matches what Grafana takes for the UID of a data source.
var dataSourceUID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// validate returns every mistake.
func (o *fittingOptions) validate() error {
	var errs []error
	if o.histograms != classicHistograms && o.histograms != nativeHistograms {
		errs = append(errs, fmt.Errorf("--histograms: %q must be classic or native", o.histograms))
	}
	if o.dataSource != "" && !dataSourceUID.MatchString(o.dataSource) {
		errs = append(errs, fmt.Errorf("--datasource: %q must be the UID of a data source: 1 to 40 letters, digits, dashes or underscores", o.dataSource))
	}
	return errors.Join(append(errs, publicURL("--dashboard-url", o.grafanaURL), publicURL("--runbook-url", o.runbookURL))...)
}

// publicURL refuses what cannot be a link in an alert. It never shows the URL, in
// which there may be a password.
func publicURL(flag, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s: give an address such as https://grafana.example.com, with neither user nor query nor fragment: everybody who gets an alert sees it", flag)
	}
	return nil
}

// readFitting reads the configuration for a command that writes what fits it. The
// target is not asked for: nothing depends on where it is.
func readFitting(name string, options *fittingOptions, own func(*flag.FlagSet), args []string, stdout io.Writer) (dashboards.Settings, error) {
	cfg, err := readConfig(command{
		name: name,
		flags: func(flags *flag.FlagSet) {
			options.common(flags)
			own(flags)
		},
		adjust: func(cfg *config) error {
			cfg.ownTarget = true
			return options.validate()
		},
	}, args, stdout)
	if err != nil {
		return dashboards.Settings{}, err
	}
	return cfg.fittingSettings(*options)
}

// fittingSettings are those of dashboards and rules that fit the configuration.
func (c *config) fittingSettings(options fittingOptions) (dashboards.Settings, error) {
	s := dashboards.Settings{
		Native: options.histograms == nativeHistograms, DataSource: options.dataSource,
		GrafanaURL: cmp.Or(options.grafanaURL, c.GrafanaURL), RunbookURL: options.runbookURL,
		Policy: c.policy(), CPULimit: c.CPULimit,
	}
	objectives, err := objective.Parse(c.Objectives, nil)
	if err != nil {
		return s, usageError{fmt.Errorf("%s_OBJECTIVES: %w", envPrefix, err)}
	}
	s.LagLimit = lateFactor * c.LagLimit
	s.ErrorRatioLimit, s.LatencyLimit, s.CalculationLimit = limitsOf(objectives)
	if !s.Native {
		s.LagLimit = bucketBound(load.LagBounds(), s.LagLimit)
		s.LatencyLimit, s.CalculationLimit = bucketBound(load.TimeBounds(), s.LatencyLimit), bucketBound(load.TimeBounds(), s.CalculationLimit)
	}
	if !options.all {
		s.Without = c.missingParts(len(objectives) > 0)
	}
	return s, nil
}

// lateFactor is by how much the delay of an alert exceeds that of a window that is
// unfit: soakd tells of single windows by themselves (SoakdUnfit).
const lateFactor = 5

// policy says over what period an error budget must last.
func (c *config) policy() objective.Policy {
	policy := objective.PolicyFor(c.Duration)
	policy.Period = cmp.Or(c.ObjectivePeriod, policy.Period)
	return policy
}

// limitsOf takes the limits of alerts from what the target promises, so that
// nobody is woken by what was promised: the share of failures that all traffic may
// have, and the longest time that 99 % of a class, or more, may take. 0 where
// nothing is promised.
func limitsOf(objectives []objective.Objective) (errorRatio float64, usual, calculation time.Duration) {
	const p99 = 0.99
	for _, o := range objectives {
		switch {
		case o.Kind == objective.Availability && o.Class == finding.AllTraffic:
			errorRatio = max(errorRatio, math.Round(o.Budget()*1e9)/1e9) // 0.01 and not 0.010000000000000009
		case o.Kind != objective.Latency || o.Target < p99:
		case dashboards.IsCalculation(o.Class):
			calculation = max(calculation, o.Threshold)
		default:
			usual = max(usual, o.Threshold)
		}
	}
	return errorRatio, usual, calculation
}

// bucketBound is the limit, or the next higher bound of the classic buckets: there
// alone a quantile is exact. The last bound is no limit, since no quantile is above
// it: a limit in the last bucket stays, where it is told by interpolation, and one
// that is higher becomes the last but one. 0 stays 0.
func bucketBound(bounds []time.Duration, limit time.Duration) time.Duration {
	last := len(bounds) - 1
	if limit == 0 {
		return 0
	}
	for _, bound := range bounds[:last] {
		if bound >= limit {
			return bound
		}
	}
	if limit < bounds[last] {
		return limit
	}
	return bounds[last-1]
}

// missingParts are those that this soakd does not have.
func (c *config) missingParts(hasObjectives bool) []dashboards.Part {
	var missing []dashboards.Part
	for _, kind := range c.kinds {
		if !kind.Config.Enabled() {
			missing = append(missing, dashboards.Part(kind.Name)) // a test holds the names together
		}
	}
	if !hasObjectives {
		missing = append(missing, dashboards.Objectives)
	}
	if c.GrafanaURL == "" {
		missing = append(missing, dashboards.Notes)
	}
	if c.PushgatewayURL == "" && c.RemoteWriteURL == "" {
		missing = append(missing, dashboards.Pushes)
	}
	if c.location.None() {
		missing = append(missing, dashboards.History)
	}
	return missing
}
