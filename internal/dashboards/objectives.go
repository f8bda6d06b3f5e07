package dashboards

import "strings"

// sloDashboard is about objectives and what is left of their error budgets.
func (s Settings) sloDashboard() Dashboard {
	return Dashboard{
		UID: sloUID, File: "slo.json", Title: "soakd / SLO and error budget",
		Description: "Each objective: what it promises, what is left of its error budget, how fast that is spent over which window, and what spends it. Budget left and a burn below 1: release. Budget gone: mend before anything else.",
		Variables: []Variable{
			{Name: "slo", Title: "Objective", Selector: sel("soakd_slo_objective_ratio"), Label: "slo", All: ".*"},
		},
		Range: "now-7d", Refresh: "1m",
		Rows: []Row{
			{Title: "Budgets now", Panels: s.budgetPanels()},
			{Title: "Objectives and error budgets", Panels: s.objectivePanels()},
			{Title: "What spends it?", Panels: spendingPanels()},
		},
	}
}

// sloSel selects the series of a metric of the chosen objectives.
func sloSel(metric string) string { return sel(metric, `slo=~"$slo"`) }

// noObjectives is when there is no error budget.
const noObjectives = "where SOAKD_OBJECTIVES is none, and before the first minute"

// burnsInWords says above which rates of burn over which windows somebody is told.
func (s Settings) burnsInWords() string {
	var all []string
	for i, a := range burnAlerts(s.Policy) {
		b := s.Policy.Burns()[i]
		all = append(all, strings.TrimPrefix(a.Condition, "> ")+" over "+brief(b.Long)+" and "+brief(b.Short)+" raises "+a.Name)
	}
	return strings.Join(all, ", ")
}

// fastestBurn is the factor from which on somebody is woken.
func (s Settings) fastestBurn() float64 { return s.Policy.Burns()[0].Factor }

// badShare is the share of bad events of each objective.
func badShare() string {
	return share(sum(rate(sloSel("soakd_slo_bad_events_total")), "slo"), sum(rate(sloSel("soakd_slo_events_total")), "slo"))
}

func (s Settings) budgetPanels() []Panel {
	remaining := lowest(sloSel("soakd_slo_error_budget_remaining_ratio"), "slo")
	return []Panel{
		{
			Title: "Budget left now", Kind: BarGauge, Unit: "percentunit", Width: 8, Height: 9, Limits: Free, Thresholds: badBelow(0), EmptyWhen: noObjectives,
			Description: "What is left of each objective's error budget over its period: 100 % untouched, 0 spent, below 0 overspent. Look at the shortest bar first.",
			Targets:     []Target{{Query: remaining, Legend: "{{slo}}"}},
		},
		{
			Title: "Every objective", Kind: Table, Unit: "percentunit", Width: 16, Height: 9, EmptyWhen: noObjectives,
			Description: "Each objective with its promise, what is left of its budget, its fastest burn over any window, and the share of bad events now. A burn above 1 for the whole period spends the budget; what raises an alert is under 'Burn rate'.",
			Columns: []Column{
				{Title: "Objective", Label: "slo"},
				{Title: "Promised", Target: 0},
				{Title: "Budget left", Target: 1, Thresholds: badBelow(0), Sort: LowestFirst},
				{Title: "Fastest burn", Target: 2, Unit: "none", Thresholds: warnAt(1, s.fastestBurn())},
				{Title: "Bad now", Target: 3},
				{Title: "Events a second", Target: 4, Unit: "ops"},
			},
			Targets: []Target{
				{Query: lowest(sloSel("soakd_slo_objective_ratio"), "slo")},
				{Query: remaining},
				{Query: worst(sloSel("soakd_slo_burn_rate"), "slo")},
				{Query: badShare()},
				{Query: sum(rate(sloSel("soakd_slo_events_total")), "slo")},
			},
		},
	}
}

func (s Settings) objectivePanels() []Panel {
	return []Panel{
		{
			Title: "Error budget left", Unit: "percentunit", Width: 8, Limits: Free, Thresholds: badBelow(0), EmptyWhen: noObjectives,
			Description: "What is left of each objective's error budget over its period. A step down is an incident, a slope a defect that is always there. Below 0: stop releasing and mend what costs most, which 'Share of bad events' shows.",
			// A budget moves slowly: two points an hour cost a third of six.
			Targets: []Target{{Query: lowest(sloSel("soakd_slo_error_budget_remaining_ratio"), "slo"), Legend: "{{slo}}", Interval: "30m"}},
		},
		{
			Title: "Burn rate", Unit: "none", Width: 8, Log: true, Thresholds: warnAt(1, s.fastestBurn()), EmptyWhen: noObjectives,
			Description: "How fast the budget is spent over each window, in multiples of the rate that spends it exactly in its period. With a period of " + inWords(s.Policy.Period) + " " + s.burnsInWords() + ".",
			Targets:     []Target{{Query: worstOf(sloSel(burnsOfMinutes), "slo", "window"), Legend: "{{slo}} {{window}}"}},
		},
		{
			Title: "Share of bad events", Unit: "percentunit", Width: 8, EmptyWhen: noObjectives,
			Description: "Share of the events that were bad; dashed the share that the objective allows. Above the dashed line for long, the budget is spent before its period is over.",
			Targets: []Target{
				{Query: share(sum(overStep("avg", sloSel(sloBadEvents)), "slo"), sum(overStep("avg", sloSel(sloEvents)), "slo")), Legend: "{{slo}}"},
				{Query: "1 - " + lowest(sloSel(sloPromised), "slo"), Legend: "{{slo}} allowed", Dashed: true},
			},
		},
	}
}

func spendingPanels() []Panel {
	return []Panel{
		{
			Title: "Bad events", Unit: "ops", EmptyWhen: noObjectives,
			Description: "Bad events a second of each objective: requests that failed, or that were slower than a latency objective allows. Only windows count in which soakd was fit to judge.",
			Targets:     []Target{{Query: sum(overStep("avg", sloSel(sloBadEvents)), "slo"), Legend: "{{slo}}"}},
		},
		outcomesPanel(outcomesOfDays),
	}
}
