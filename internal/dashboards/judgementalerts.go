package dashboards

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/objective"
)

const (
	// fewestBad is how many bad events of the long window have to speak for a burn:
	// with two requests an hour, one that is late would be a page. At six times the
	// budget ten are there by chance with a probability of 1e-5 (Poisson, 1.7 are due).
	fewestBad = 10
	// urgentLeakSeconds: 6 h, less than the time until somebody looks at a ticket.
	urgentLeakSeconds = 6 * 60 * 60
	// historyStalled is how long nothing is stored before somebody is told. soakd
	// tries once a minute and keeps two hours of windows meanwhile.
	historyStalled = "15m"
)

// judgementAlerts are about what soakd found out over minutes and hours.
func (s Settings) judgementAlerts() []Alert {
	all := burnAlerts(s.Policy)
	all = append(all, leakAlerts()...)
	all = append(all, foundAlerts()...)
	return append(all, historyAlerts()...)
}

// burnAlerts are those of a policy, with its factors and windows: see
// [objective.Policy.Burns].
func burnAlerts(policy objective.Policy) []Alert {
	burns := policy.Burns()
	all := make([]Alert, 0, len(burns))
	for i, b := range burns {
		all = append(all, burnAlert(burnName(i, len(burns)), b, policy))
	}
	return all
}

// burnName names the burns from the most urgent on. A policy of a short period has
// fewer: the slowest is Slowly in each.
func burnName(i, n int) string {
	switch {
	case i == n-1:
		return "SoakdErrorBudgetBurnsSlowly"
	case i == 0:
		return "SoakdErrorBudgetBurnsFast"
	}
	return "SoakdErrorBudgetBurnsSteadily"
}

func burnAlert(name string, b objective.Burn, policy objective.Policy) Alert {
	factor := strconv.FormatFloat(b.Factor, 'g', -1, 64)
	long, short := brief(b.Long), brief(b.Short)
	return Alert{
		Name: name, Severity: Severity(b.Severity), Dashboard: sloUID,
		Signal: burnRate(b.Long) + "\n*\n" + seenOf(b), Condition: above(b.Factor),
		Only: "and on (job, instance, slo)\n(\n  " + strings.ReplaceAll(burnRate(b.Short), "\n", "\n  ") + "\n) " + above(b.Factor) + "\n" +
			fmt.Sprintf("and on (job, instance, slo)\nincrease(soakd_slo_bad_events_total[%s]) >= %d", long, fewestBad),
		Summary: "The error budget of {{ $labels.slo }} burns more than " + factor + " times as fast as it lasts",
		Description: "Over " + long + " objective {{ $labels.slo }} of {{ $labels.instance }} used its error budget {{ printf \"%.3g\" $value }} times as fast as it lasts " +
			"(limit " + factor + "), and over the last " + short + " still. " +
			spent(b, policy) + " of the budget goes in " + long + " at the limit.",
	}
}

// spent is the share of the period's budget that a burn at its factor uses up
// within its long window.
func spent(b objective.Burn, policy objective.Policy) string {
	period := policy.Period
	if period == 0 {
		period = objective.DefaultPeriod
	}
	return strconv.FormatFloat(100*b.Share(period), 'g', 3, 64) + "%"
}

// burnRate is the share of bad events in a window, in multiples of the share that
// the objective allows; absent while there are no events.
func burnRate(window time.Duration) string {
	return fmt.Sprintf("increase(soakd_slo_bad_events_total[%[1]s])\n/\n(increase(soakd_slo_events_total[%[1]s]) > 0)\n/\n(1 - soakd_slo_objective_ratio)", brief(window))
}

// seenOf is how much of the long window was seen, 0 to 1. The rest counts as free of
// failures, as soakd's own judgement has it: the first minutes of a soak, with cold
// caches, do not stand for hours, let alone for days.
func seenOf(b objective.Burn) string {
	step := (b.Short/5 + time.Minute - 1).Truncate(time.Minute)
	return fmt.Sprintf("clamp_max(\n  count_over_time(soakd_slo_events_total[%s:%s]) / %d\n  or\n  0 * soakd_slo_events_total,\n  1\n)",
		brief(b.Long), brief(step), b.Long/step)
}

// brief writes a number of whole minutes as Prometheus reads it, in one unit: 90m, 6h, 3d.
func brief(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// inWords writes a period: "30 days", "36h".
func inWords(period time.Duration) string {
	const day = 24 * time.Hour
	if period%day == 0 && period > day {
		return fmt.Sprintf("%d days", period/day)
	}
	return brief(period)
}

// ofSignal asks, in a text, for another metric of the alert's signal.
func ofSignal(metric string) string {
	return `printf "` + metric + `{job=%q,instance=%q,signal=%q}" $labels.job $labels.instance $labels.signal | query`
}

func leakAlerts() []Alert {
	return []Alert{
		{
			Name: "SoakdLeakUrgent", Severity: Page, Dashboard: trendsUID,
			// There while something leaks.
			Signal: "soakd_leak_seconds_to_limit", Condition: "< " + strconv.Itoa(urgentLeakSeconds),
			Summary: "{{ $labels.signal }} leaks and is about to reach its limit",
			Description: "{{ $labels.signal }}, as {{ $labels.instance }} sees it, reaches its limit in {{ $value | humanizeDuration }} at its present slope (limit 6h). " +
				"Keep a profile of it and restart the target before that.",
		},
		{
			Name: "SoakdLeak", Severity: Ticket, Dashboard: trendsUID,
			Signal: "soakd_leak_suspected", Condition: "== 1",
			Summary: "{{ $labels.signal }} grows without end",
			Description: "{{ $labels.signal }}, as {{ $labels.instance }} sees it, rises" +
				"{{ with " + ofSignal("soakd_trend_slope_per_hour") + " }} by {{ . | first | value | humanize }} an hour{{ end }} without the effect of the load" +
				"{{ with " + ofSignal("soakd_leak_seconds_to_limit") + " }} and reaches its limit in {{ . | first | value | humanizeDuration }}{{ end }}. " +
				"/api/v1/findings says since when and what happened then.",
		},
	}
}

// ownAlerts are the alerts of a kind of findings by itself. The other kinds, and
// those of latency while no case tells, raise SoakdFinding.
func ownAlerts() map[finding.Kind][]string {
	return map[finding.Kind][]string{
		finding.Outage: {"SoakdOutage", "SoakdDependencyDown"}, finding.Restarts: {"SoakdTargetRestarted"}, finding.Leak: {"SoakdLeak", "SoakdLeakUrgent"},
		finding.Evictions:       {"SoakdRedisEvictionsStarted"},
		finding.AcceptedInvalid: {"SoakdInvalidInputAccepted"}, finding.InvalidServerError: {"SoakdInvalidInputServerError"},
		finding.LeakedInternals: {"SoakdInternalsLeaked"}, finding.ForeignData: {"SoakdForeignDataShown"}, finding.DataLost: {"SoakdDataLost"},
		finding.LatencyTail: {regressionAlert}, finding.LatencyDrift: {regressionAlert}, finding.Latency: {regressionAlert},
		finding.Objective: {"SoakdErrorBudgetBurnsFast", "SoakdErrorBudgetBurnsSteadily", "SoakdErrorBudgetBurnsSlowly"},
	}
}

// kindsOf joins the kinds with such alerts of their own, as a regular expression.
func kindsOf(such func(alerts []string) bool) string {
	own := ownAlerts()
	var names []string
	for _, kind := range finding.Kinds() {
		if such(own[kind]) {
			names = append(names, string(kind))
		}
	}
	return strings.Join(names, "|")
}

const regressionAlert = "SoakdRegression"

func foundAlerts() []Alert {
	ofLatency := kindsOf(func(alerts []string) bool { return slices.Contains(alerts, regressionAlert) })
	own := kindsOf(func(alerts []string) bool { return len(alerts) > 0 })
	return []Alert{
		{
			Name: regressionAlert, Severity: Ticket, Dashboard: regressionsUID,
			// The ratio while it is a regression, else 0.
			Signal: "soakd_baseline_ratio\n*\nsoakd_regression", Condition: "> 0",
			Summary: "{{ $labels.case }} got worse: {{ $labels.signal }}",
			Description: "{{ $labels.signal }} of case {{ $labels.case }} is {{ printf \"%.3g\" $value }} times what it was at the same load, beyond doubt, as {{ $labels.instance }} measures it. " +
				"/api/v1/findings says since when and what changed then.",
		},
		{
			Name: "SoakdOutage", Severity: Page, For: "1m", Dashboard: recoveryUID,
			// SoakdDependencyDown tells of the others: whether the API needs them is not known.
			Signal: `soakd_outage_in_progress{target!~"` + genericProbes + `"}`, Condition: "== 1",
			Summary: "{{ $labels.target }} is away",
			Description: "{{ $labels.target }}, as {{ $labels.instance }} sees it, has been away for more than a minute. " +
				"/api/v1/findings says since when and what the API does meanwhile.",
		},
		{
			Name: "SoakdFinding", Severity: Ticket, Dashboard: overviewUID,
			// Slower requests raise SoakdRegression, but for a rate at which nothing is
			// known to compare with.
			Signal: `soakd_findings{kind!~"` + own + "\"}\nor\n(\n" + `  soakd_findings{kind=~"` + ofLatency + "\"}\n" +
				"  unless on (job, instance)\n  soakd_regression == 1\n)",
			Condition: "> 0",
			Summary:   "soakd {{ $labels.instance }} found {{ $labels.kind }}",
			Description: "Findings of kind {{ $labels.kind }} at the target of {{ $labels.instance }} that last: {{ printf \"%.0f\" $value }}. " +
				"/api/v1/findings has the figures and what moved with them; the runbook says what to do about each kind.",
		},
	}
}

func historyAlerts() []Alert {
	return []Alert{
		{
			Name: "SoakdHistoryFailing", Severity: Ticket, For: historyStalled, Dashboard: selfUID,
			Signal: `sum without (result) (increase(soakd_history_batches_total{result="failed"}[5m]))`, Condition: "> 0",
			Only:    "unless on (job, instance)\nincrease(soakd_history_batches_total{result=\"stored\"}[5m]) > 0",
			Summary: "soakd {{ $labels.instance }} cannot write its history",
			Description: "soakd {{ $labels.instance }} has stored nothing for 15 minutes; about {{ printf \"%.0f\" $value }} tries failed in the last 5. " +
				"It goes on judging and keeps two hours of windows, but a restart would lose them.",
		},
		{
			Name: "SoakdHistoryDropping", Severity: Ticket, Dashboard: selfUID,
			Signal: "increase(soakd_history_windows_dropped_total[15m])", Condition: "> 0",
			Summary: "soakd {{ $labels.instance }} loses windows of its history",
			Description: "About {{ printf \"%.0f\" $value }} windows were dropped in 15 minutes because the history could not be written for two hours. " +
				"They will be missing in comparisons and after a restart.",
		},
	}
}
