package dashboards

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/objective"
)

// Settings are what a configuration changes of dashboards and rules. The zero
// value has everything with its defaults: see [Default].
type Settings struct {
	// Native reads native histograms instead of classic buckets: a Prometheus that
	// takes the native ones in keeps these alone.
	Native bool
	// Without are the parts that this soakd does not have, whose dashboards, rows,
	// panels and rules are left out: they would be empty and never fire.
	Without []Part
	// DataSource is the UID of Grafana's data source that the dashboards choose at
	// first; "" for Grafana's default one.
	DataSource string
	// GrafanaURL and RunbookURL make addresses of the links in alerts: where Grafana
	// is, and the page that holds docs/runbook.md. "" leaves paths. Neither may hold
	// a password.
	GrafanaURL, RunbookURL string

	// Policy says over what period an error budget must last, from which the burn
	// alerts have their windows.
	Policy objective.Policy
	// The limits of alerts and panels; 0 means the default. On classic histograms
	// those of times have to be bounds of the buckets, where alone a quantile is exact.
	// LagLimit is for soakd's own delay, LatencyLimit for the p99 of usual classes,
	// CalculationLimit for that of calculations.
	LagLimit, LatencyLimit, CalculationLimit time.Duration
	// CPULimit is soakd's share of the CPUs that it may use, ErrorRatioLimit the
	// share of valid requests that fail; both above 0 and up to 1.
	CPULimit, ErrorRatioLimit float64
}

// Default returns the settings of the files in the repository: those of a soakd
// that has every probe, with the other settings as they are when nobody sets them.
func Default() Settings { return Settings{} }

// resolved puts the defaults in the place of what is not set.
func (s Settings) resolved() Settings {
	s.Policy.Period = cmp.Or(s.Policy.Period, objective.DefaultPeriod)
	s.LagLimit = cmp.Or(s.LagLimit, lagLimit)
	s.LatencyLimit = cmp.Or(s.LatencyLimit, latencyLimit)
	s.CalculationLimit = cmp.Or(s.CalculationLimit, calculationLimit)
	s.CPULimit = cmp.Or(s.CPULimit, cpuLimit)
	s.ErrorRatioLimit = cmp.Or(s.ErrorRatioLimit, errorRatioLimit)
	s.GrafanaURL = strings.TrimRight(s.GrafanaURL, "/")
	return s
}

// IsCalculation reports whether cases of the class calculate for long, so that
// [Settings].CalculationLimit holds for them.
func IsCalculation(class string) bool {
	return slices.Contains(strings.Split(calculations, "|"), class)
}
