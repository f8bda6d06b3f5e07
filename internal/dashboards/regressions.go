package dashboards

// regressionsDashboard is about cases that got worse.
func (s Settings) regressionsDashboard() Dashboard {
	return Dashboard{
		UID: regressionsUID, File: "regressions.json", Title: "soakd / Regressions and baselines",
		Description: "This version beside the last, and now beside earlier at the same rate or the stored baseline: each figure of each case as a ratio, 1 being the same. Read it from the table: which cases got worse, since which version, in the median (more work) or in the tail alone (contention)?",
		Variables: []Variable{
			{Name: "case", Title: "Case", Selector: sel(everyCase), Label: "case", All: ".*"},
			{Name: "version", Title: "Version", Selector: sel("soakd_target_info"), Label: "version", All: ".*"},
		},
		Range: "now-2d", Refresh: "1m",
		Rows: []Row{
			{Title: "What got worse?", Panels: append([]Panel{versionPanel(gridColumns, `version=~"$version"`)}, regressionTables()...)},
			{Title: "Against earlier or the baseline", Panels: ratioPanels()},
			{Title: "Each version of the target", Panels: s.versionPanels()},
		},
	}
}

// noComparison is when there is nothing to compare with.
const noComparison = "while there is nothing to compare with, as in the first 20 minutes"

// The figures that are compared.
const (
	ofMedian = `signal="median_response_time"`
	ofP95    = `signal="p95_response_time"`
	ofP99    = `signal="p99_response_time"`
	ofErrors = `signal="error_ratio"`
)

// compared selects the series of a metric of comparisons for the chosen cases.
func compared(metric string, matchers ...string) string {
	return sel(metric, append([]string{`case=~"$case"`}, matchers...)...)
}

// ratioSteps are orange from a fifth on, red from double on.
func ratioSteps() []Threshold { return warnAt(1.2, 2) }

func regressionTables() []Panel {
	ratio := func(signal string) Target {
		return Target{Query: worst(compared("soakd_baseline_ratio", signal), "case")}
	}
	return []Panel{
		{
			Title: "Cases against what they were", Kind: Table, Unit: "none", Height: 10, EmptyWhen: noComparison,
			Description: "Each case: whether it is worse beyond doubt, and its figures as multiples of what they were. A ratio alone proves nothing where requests are few; worse beyond doubt does. Median up: the work grew (query without an index, longer lists); tail alone: contention (locks, pool, threads, CPU).",
			Columns: []Column{
				{Title: "Case", Label: "case"},
				{Title: "Beyond doubt", Target: 0, Texts: map[int]string{0: "as before", 1: "worse"}, Thresholds: badAt(1), Sort: HighestFirst},
				{Title: "Median", Target: 1, Thresholds: ratioSteps()},
				{Title: "p95", Target: 2, Thresholds: ratioSteps()},
				{Title: "p99", Target: 3, Thresholds: ratioSteps()},
				{Title: "Errors", Target: 4, Thresholds: ratioSteps()},
			},
			Targets: []Target{
				{Query: worst(compared("soakd_regression"), "case")},
				ratio(ofMedian), ratio(ofP95), ratio(ofP99), ratio(ofErrors),
			},
		},
		{
			Title: "Regressions", Kind: StateTimeline, Unit: "none", Width: gridColumns, Height: 7, Limits: ZeroToOne, Thresholds: badAt(1),
			Texts: map[int]string{0: "as before", 1: "worse"}, EmptyWhen: noComparison,
			Description: "When a figure was worse beyond doubt; raises SoakdRegression; none while all are as before. The finding in /api/v1/findings dates it and names what changed then: a version, a restart, the load, or nothing that soakd sees.",
			Targets: []Target{{
				Query: orNone("case", worst(compared("soakd_regression"), "case", "signal")+" > 0", worst(compared("soakd_regression"))), Legend: "{{case}} {{signal}}",
			}},
		},
	}
}

func ratioPanels() []Panel {
	panel := func(title, about, signal string) Panel {
		return Panel{
			Title: title, Unit: "none", Limits: Free, Log: true, Thresholds: ratioSteps(), EmptyWhen: noComparison,
			Description: about + " 1 is the same, 1.2 a fifth more. The noise of rare cases is wide: 'Regressions' says what is beyond doubt.",
			Targets:     []Target{{Query: worst(compared("soakd_baseline_ratio", signal), "case"), Legend: "{{case}}"}},
		}
	}
	return []Panel{
		panel("Median against what it was", "Each case's median divided by what it was at the same rate. One that rises is work that grew.", ofMedian),
		panel("p95 against what it was", "Each case's p95 divided by what it was at the same rate. With the median: work; alone: every twentieth request waits for something.", ofP95),
		panel("p99 against what it was", "Each case's p99 divided by what it was at the same rate. Alone: contention, look at locks, pools and garbage collection.", ofP99),
		panel("Errors against what they were", "Each case's share of failures divided by what it was.", ofErrors),
	}
}

// underVersion gives a figure of each soakd under the versions that it sees. The
// version is on the left: of two at a time each gets the figure.
func underVersion(figure string) string {
	return worst(sel("soakd_target_info", `version=~"$version"`)+" * on (job, instance) group_left () ("+figure+")", "version")
}

func (s Settings) versionPanels() []Panel {
	line := func(figure string) []Target { return []Target{{Query: underVersion(figure), Legend: "{{version}}"}} }
	return []Panel{
		{
			Title: "Median under each version", Unit: "s", Log: true, Width: 8,
			Description: "Median from the intended start of all cases of the soakd that is worst, in the colour of the version. A step where the colour changes is the version's; one within a colour is not.",
			Targets:     line(overStep("max", sel(responseP50))),
		},
		{
			Title: "p99 under each version", Unit: "s", Log: true, Width: 8,
			Description: "p99 from the intended start of all cases, in the colour of the version. Just after a change caches are cold: compare from ten minutes later on.",
			Targets:     line(overStep("max", sel(responseP99))),
		},
		{
			Title: "Failures under each version", Unit: "percentunit", Width: 8, Thresholds: badAt(s.ErrorRatioLimit),
			Description: "Share of valid requests that got no right answer, in the colour of the version; 429 does not count. A peak at the change alone: the deployment drops connections; drain them.",
			Targets:     line(overStep("max", sel(failedNow))),
		},
	}
}
