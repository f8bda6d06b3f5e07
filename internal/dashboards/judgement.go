package dashboards

import (
	"strings"
)

func (s Settings) judgementDashboard() Dashboard {
	return Dashboard{
		UID: judgementUID, File: "judgement.json", Title: "soakd / Judgement",
		Description: "What soakd finds wrong with the target: findings, leaks with the time to their limit, cases that got slower, error budgets, outages and recoveries. /api/v1/findings has every finding with its figures, what happened near its start and what moved with it.",
		Variables: []Variable{
			{Name: "case", Title: "Case", Selector: sel(everyCase), Label: "case", All: ".*"},
			{Name: "slo", Title: "Objective", Selector: sel("soakd_slo_objective_ratio"), Label: "slo", All: ".*"},
		},
		Rows: []Row{
			{Title: "Is the target well?", Panels: verdictPanels()},
			{Title: "Leaks and trends", Panels: trendPanels()},
			{Title: "Regressions", Panels: regressionPanels()},
			{Title: "Objectives and error budgets", Panels: s.objectivePanels()},
			{Title: "Outages and recovery", Panels: recoveryPanels()},
		},
	}
}

func verdictPanel(width int) Panel {
	return Panel{
		Title: "Verdict", Kind: Stat, Unit: "none", Width: width, Limits: ZeroToOne, Texts: map[int]string{0: "not well", 1: "well"}, Thresholds: badBelow(1),
		Description: "1 while nothing that counts against the target is open. At 0, 'Findings that last' on the dashboard Judgement names the kind, and /api/v1/verdict says what was judged and what is not known yet. No value: nothing is known.",
		Targets:     []Target{{Query: lowest(sel("soakd_verdict")), Legend: "verdict"}},
	}
}

// verdictTiles are the judgement on the overview.
func verdictTiles() []Panel {
	tiles := []Panel{
		verdictPanel(8),
		{
			Title: "Open findings", Kind: Stat, Unit: "none", Width: 8, Thresholds: badAt(1),
			Description: "Findings of all kinds that last. With any: the dashboard Judgement has them by kind, /api/v1/findings the figures of each, and the runbook a section for each kind.",
			Targets:     []Target{{Query: sum(sel("soakd_findings")), Legend: "findings"}},
		},
		{
			Title: "Least error budget left", Kind: Stat, Unit: "percentunit", Width: 8, Limits: Free, Thresholds: badBelow(0), EmptyWhen: noObjectives,
			Description: "What is left of the error budget of the objective that has least. Below 0 it is overspent.",
			Targets:     []Target{{Query: lowest(sel("soakd_slo_error_budget_remaining_ratio")), Legend: "budget"}},
		},
	}
	for i := range tiles {
		tiles[i].Detail = judgementUID
	}
	return tiles
}

// noObjectives is when there is no error budget.
const noObjectives = "where SOAKD_OBJECTIVES is none, and before the first minute"

func verdictPanels() []Panel {
	return []Panel{
		verdictPanel(4),
		{
			Title: "Version", Unit: "none", Width: 10, Height: 6, Limits: ZeroToOne,
			Description: "The version that the target answers as. A change starts a comparison with the version before. Two at the same time for long: a deployment that got stuck half-way.",
			Targets:     []Target{{Query: worst(sel("soakd_target_info"), "version"), Legend: "{{version}}"}},
		},
		{
			Title: "Findings that last", Unit: "short", Width: 10, Height: 6, Thresholds: badAt(1),
			Description: "Findings by kind. Each raises SoakdFinding or an alert of its own kind, such as SoakdLeak, SoakdRegression or SoakdOutage. The runbook has a section for each kind.",
			Targets:     []Target{{Query: sum(sel("soakd_findings"), "kind"), Legend: "{{kind}}"}},
		},
		{
			Title: "Findings a day", Unit: "short", Width: 24, Height: 6,
			Description: "New findings of the last 24 hours by kind. One kind that comes again and again at the same hour: look what runs then.",
			Targets:     []Target{{Query: sum("increase("+sel("soakd_findings_total")+"[1d])", "kind"), Legend: "{{kind}}"}},
		},
	}
}

func trendPanels() []Panel {
	const empty = "while nothing has been watched for 45 minutes"
	return []Panel{
		{
			Title: "Suspected leaks", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "steady", 1: "leaks"}, EmptyWhen: empty,
			Description: "1 for a resource that grows without end as far as can be told; raises SoakdLeak. Look at the resource itself on its own dashboard over the same time: memory, descriptors, connections.",
			Targets:     []Target{{Query: worst(sel("soakd_leak_suspected"), "signal"), Legend: "{{signal}}"}},
		},
		{
			Title: "Time to the limit", Unit: "s", Width: 8, Log: true, Thresholds: []Threshold{{Value: 3600, Color: red, Below: true}, {Value: 86400, Color: orange, Below: true}},
			Description: "When a resource that leaks reaches its limit at its present slope. Red below an hour: restart the target now and keep a profile of it.",
			EmptyWhen:   "while nothing leaks",
			Targets:     []Target{{Query: lowest(sel("soakd_leak_seconds_to_limit"), "signal"), Legend: "{{signal}}"}},
		},
		{
			Title: "Slope an hour", Unit: "short", Width: 8, Limits: Free, EmptyWhen: empty,
			Description: "By how much the lower envelope of each resource rises an hour, in its own unit, without the effect of the load. Slopes come and go within the noise; what counts is 'Suspected leaks'.",
			Targets:     []Target{{Query: worst(sel("soakd_trend_slope_per_hour"), "signal"), Legend: "{{signal}}"}},
		},
	}
}

func regressionPanels() []Panel {
	const empty = "while there is nothing to compare with, as in the first 20 minutes"
	ofCase := func(metric string) Target {
		return Target{Query: worst(sel(metric, `case=~"$case"`), "case", "signal"), Legend: "{{case}} {{signal}}"}
	}
	return []Panel{
		{
			Title: "Against earlier or the baseline", Unit: "none", Limits: Free, Log: true, EmptyWhen: empty,
			Description: "Each figure of a case divided by what it was at the same rate earlier in this run, or in the baseline. 1 is the same, 1.2 a fifth slower. The noise of rare cases is wide.",
			Targets:     []Target{ofCase("soakd_baseline_ratio")},
		},
		{
			Title: "Regressions", Unit: "none", Limits: ZeroToOne, Texts: map[int]string{0: "as before", 1: "worse"}, EmptyWhen: empty,
			Description: "1 while a figure is worse beyond doubt; raises SoakdRegression. The finding in /api/v1/findings dates it and names what changed then.",
			Targets:     []Target{ofCase("soakd_regression")},
		},
	}
}

// sloSel selects the series of a metric of the chosen objectives.
func sloSel(metric string) string { return sel(metric, `slo=~"$slo"`) }

// burnsInWords says above which rates of burn over which windows somebody is told.
func (s Settings) burnsInWords() string {
	var all []string
	for i, a := range burnAlerts(s.Policy) {
		b := s.Policy.Burns()[i]
		all = append(all, strings.TrimPrefix(a.Condition, "> ")+" over "+brief(b.Long)+" and "+brief(b.Short)+" raises "+a.Name)
	}
	return strings.Join(all, ", ")
}

func (s Settings) objectivePanels() []Panel {
	return []Panel{
		{
			Title: "Error budget left", Unit: "percentunit", Width: 8, Limits: Free, Thresholds: badBelow(0), EmptyWhen: noObjectives,
			Description: "What is left of each objective's error budget over its period. Below 0 it is overspent: stop releasing and mend what costs most, which 'Share of bad events' shows.",
			Targets:     []Target{{Query: lowest(sloSel("soakd_slo_error_budget_remaining_ratio"), "slo"), Legend: "{{slo}}"}},
		},
		{
			Title: "Burn rate", Unit: "none", Width: 8, Log: true, EmptyWhen: noObjectives,
			Description: "How fast the budget is spent over each window, in multiples of the rate that spends it exactly in its period. With a period of " + inWords(s.Policy.Period) + " " + s.burnsInWords() + ".",
			Targets:     []Target{{Query: worst(sloSel("soakd_slo_burn_rate"), "slo", "window"), Legend: "{{slo}} {{window}}"}},
		},
		{
			Title: "Share of bad events", Unit: "percentunit", Width: 8, EmptyWhen: noObjectives,
			Description: "Share of the events that were bad; dashed the share that the objective allows. Above the dashed line for long, the budget is spent before its period is over.",
			Targets: []Target{
				{Query: share(sum(rate(sloSel("soakd_slo_bad_events_total")), "slo"), sum(rate(sloSel("soakd_slo_events_total")), "slo")), Legend: "{{slo}}"},
				{Query: "1 - " + lowest(sloSel("soakd_slo_objective_ratio"), "slo"), Legend: "{{slo}} allowed", Dashed: true},
			},
		},
	}
}

func recoveryPanels() []Panel {
	return []Panel{
		{
			Title: "Outages", Unit: "none", Width: 8, Limits: ZeroToOne, Texts: map[int]string{0: "there", 1: "away"},
			Description: "1 while the API, Postgres, Redis or another dependency is away; raises SoakdOutage, or for another dependency SoakdDependencyDown. /api/v1/findings says since when and what the API does meanwhile.",
			Targets:     []Target{{Query: worst(sel("soakd_outage_in_progress"), "target"), Legend: "{{target}}"}},
		},
		{
			Title: "Outages a day", Unit: "short", Width: 8,
			Description: "Outages of the last 24 hours by target. Several short ones of a dependency: its fail-over or its network; of the API: look for restarts.",
			Targets:     []Target{{Query: sum("increase("+sel("soakd_outages_total")+"[1d])", "target"), Legend: "{{target}}"}},
		},
		{
			Title: "Time to recover", Unit: "s", Width: 8, Log: true, EmptyWhen: "while nothing has recovered in the last day",
			Description: "From the start of an outage until the service was back within its objective to stay: the median and the slowest of the last day. Much longer than the outage itself: caches that are cold, pools that reconnect slowly.",
			Targets: []Target{
				{Query: "histogram_quantile(0.5, " + sum("increase("+sel("soakd_recovery_seconds_bucket")+"[1d])", "target", "le") + ")", Legend: "{{target}} median"},
				{Query: "histogram_quantile(1, " + sum("increase("+sel("soakd_recovery_seconds_bucket")+"[1d])", "target", "le") + ")", Legend: "{{target}} slowest"},
			},
		},
	}
}
