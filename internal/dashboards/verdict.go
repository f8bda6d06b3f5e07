package dashboards

// What soakd holds of the target, on the overview and where a board needs it.

func verdictPanel() Panel {
	return Panel{
		Title: "Verdict", Kind: Stat, Unit: "none", Limits: ZeroToOne, Texts: map[int]string{0: "not well", 1: "well"}, Thresholds: badBelow(1),
		Description: "1 while nothing that counts against the target is open. At 0, 'Findings that last' names the kind, and /api/v1/verdict says what was judged and what is not known yet. No value: nothing is known.",
		Targets:     []Target{{Query: lowest(sel("soakd_verdict")), Legend: "verdict"}},
	}
}

func openFindingsTile() Panel {
	return Panel{
		Title: "Open findings", Kind: Stat, Unit: "none", Thresholds: badAt(1),
		Description: "Findings of all kinds that last. With any: 'Findings that last' has them by kind, /api/v1/findings the figures of each, and the runbook a section for each kind.",
		Targets:     []Target{{Query: sum(sel("soakd_findings")), Legend: "findings"}},
	}
}

func budgetTile() Panel {
	return Panel{
		Title: "Least error budget left", Kind: Stat, Unit: "percentunit", Limits: Free, Thresholds: badBelow(0), EmptyWhen: noObjectives, Detail: sloUID,
		Description: "What is left of the error budget of the objective that has least. Below 0 it is overspent.",
		Targets:     []Target{{Query: lowest(sel("soakd_slo_error_budget_remaining_ratio")), Legend: "budget"}},
	}
}

// findingsPanel has a bar for each kind that lasted at some time, and one of none.
func findingsPanel() Panel {
	lasting := sum(sel("soakd_findings"), "kind") + " > 0"
	return Panel{
		Title: "Findings that last", Kind: StateTimeline, Unit: "none", Width: gridColumns, Height: 7, Thresholds: badAt(1), Texts: map[int]string{0: "none"},
		Description: "How many findings of each kind lasted, and when; 'none' while there were none at all. What began first is nearest to the cause: compare its start with the versions, the load and the graphs below. The runbook has a section for each kind.",
		Targets:     []Target{{Query: orNone("kind", lasting, sum(sel("soakd_findings"))), Legend: "{{kind}}"}},
	}
}

func findingsADayPanel(width int) Panel {
	return Panel{
		Title: "Findings a day", Unit: "short", Width: width,
		Description: "New findings of the last 24 hours by kind. One kind that comes again and again at the same hour: look what runs then.",
		Targets:     []Target{{Query: sum(sel(findingsOfADay), "kind"), Legend: "{{kind}}"}},
	}
}

func versionPanel(width int, matchers ...string) Panel {
	return Panel{
		Title: "Version of the target", Kind: StateTimeline, Unit: "none", Width: width, Height: 4, Detail: regressionsUID,
		Texts: map[int]string{1: "in use"}, Thresholds: []Threshold{{Value: 1, Color: "blue"}},
		Description: "The version that the target answers as. A change starts a comparison with the version before. Two at the same time for long: a deployment that got stuck half-way.",
		Targets:     []Target{{Query: worst(sel("soakd_target_info", matchers...), "version"), Legend: "{{version}}"}},
	}
}

// phasePanel shows what the schedule does: the number of the phase, which is 0
// while somebody has paused the load.
func phasePanel(width int) Panel {
	phase := func(name string) string { return sel("soakd_load_phase", `phase="`+name+`"`) }
	number := "(" + phase("rising") + " + ignoring (phase) 2 * " + phase("steady") + " + ignoring (phase) 3 * " + phase("falling") +
		" + ignoring (phase) 4 * " + phase("ended") + ")"
	going := number + " * on (job, instance) (1 - " + sel("soakd_load_paused") + ")"
	return Panel{
		Title: "Phase of the load", Kind: StateTimeline, Unit: "none", Width: width, Height: 4, Detail: selfUID,
		Texts: map[int]string{0: "paused", 1: "rising", 2: "steady", 3: "falling", 4: "ended"},
		Thresholds: []Threshold{
			{Value: 0, Color: orange}, {Value: 1, Color: "blue"}, {Value: 2, Color: "green"}, {Value: 3, Color: "purple"}, {Value: 4, Color: "text"},
		},
		Description: "What the schedule does: the load rises, is steady, falls, has ended, or somebody has paused it. Compare a change of latency with it before looking for a cause in the target.",
		Targets: []Target{{
			Query:  worst(going+" * on (job, instance) group_left (target, shape) "+sel("soakd_run_info"), "target", "shape"),
			Legend: "{{target}} {{shape}}",
		}},
	}
}

func outagesPanel(width int) Panel {
	return Panel{
		Title: "Outages", Kind: StateTimeline, Unit: "none", Width: width, Height: 5, Limits: ZeroToOne, Texts: map[int]string{0: "there", 1: "away"}, Thresholds: badAt(1),
		Description: "When the API, Postgres, Redis or another dependency was away; raises SoakdOutage, or for another dependency SoakdDependencyDown. /api/v1/findings says since when and what the API did meanwhile.",
		Targets:     []Target{{Query: worst(sel("soakd_outage_in_progress"), "target"), Legend: "{{target}}"}},
	}
}
