package dashboards

// recoveryDashboard is about outages and what comes after them.
func recoveryDashboard() Dashboard {
	return Dashboard{
		UID: recoveryUID, File: "recovery.json", Title: "soakd / Recovery",
		Description: "Outages of the API, Postgres, Redis and the other dependencies: when, how often, how long until the service was back to stay, and what the API did meanwhile. A good API fails fast while a dependency is away and is back within its objective soon after.",
		Range:       "now-24h", Refresh: "30s",
		Rows: []Row{
			{Title: "Outages and recovery", Panels: append([]Panel{outagesPanel(gridColumns), outageTable()}, recoveryPanels()...)},
			{Title: "What the API did meanwhile", Panels: meanwhilePanels()},
			{Title: "What came back, and how", Panels: []Panel{
				recoveringLoadPanel(), apiReplicaRestarts(), apiPoolPanel(8), apiCachePanel(8), probeStatePanel(16),
			}},
		},
	}
}

// recovered counts or adds up the recoveries of each target since soakd started.
func recovered(part string) string { return sum(sel("soakd_recovery_seconds_"+part), "target") }

func outageTable() Panel {
	return Panel{
		Title: "Every target since the start of soakd", Kind: Table, Unit: "short", Height: 7, EmptyWhen: "in its last columns while there was no outage",
		Description: "Each target: whether it is away now, how often it was, how long soakd took to be sure of it, and how long the service took to be back to stay; no times before the first outage. More outages than recoveries while it is there: the service is not yet within its objective again.",
		Columns: []Column{
			{Title: "Target", Label: "target"},
			{Title: "Now", Target: 0, Texts: map[int]string{0: "there", 1: "away"}, Thresholds: badAt(1), Sort: HighestFirst},
			{Title: "Outages", Target: 1, Thresholds: []Threshold{{Value: 1, Color: orange}}},
			{Title: "Recoveries", Target: 2},
			{Title: "Mean time to detect", Target: 3, Unit: "s"},
			{Title: "Mean time to recover", Target: 4, Unit: "s"},
		},
		Targets: []Target{
			{Query: worst(sel("soakd_outage_in_progress"), "target")},
			{Query: sum(sel("soakd_outages_total"), "target")},
			{Query: recovered("count")},
			{Query: share(sum(sel("soakd_detection_seconds_sum"), "target"), sum(sel("soakd_detection_seconds_count"), "target"))},
			{Query: share(recovered("sum"), recovered("count"))},
		},
	}
}

func recoveryPanels() []Panel {
	noticed := sum("increase("+sel("soakd_detection_seconds_bucket")+"[1d])", "target", "le")
	return []Panel{
		{
			Title: "Outages a day", Unit: "short", Width: 8,
			Description: "Outages of the last 24 hours by target. Several short ones of a dependency: its fail-over or its network; of the API: look for restarts.",
			Targets:     []Target{{Query: sum(sel(outagesOfADay), "target"), Legend: "{{target}}"}},
		},
		{
			Title: "Time to detect", Unit: "s", Width: 8, Log: true, EmptyWhen: "while there was no outage in the last day",
			Description: "From the first failure until soakd was sure of an outage: the slowest of the last day. Seconds are usual; the alert comes later by its own wait. Longer: raise the rate, or poll more often (SOAKD_PROBE_INTERVAL).",
			Targets:     []Target{{Query: "histogram_quantile(1, " + noticed + ")", Legend: "{{target}} slowest"}},
		},
		{
			Title: "Time to recover", Unit: "s", Width: 8, Log: true, EmptyWhen: "while nothing has recovered in the last day",
			Description: "From the start of an outage until the service was back within its objective to stay: the median and the slowest of the last day. Much longer than the outage itself: caches that are cold, pools that reconnect slowly.",
			Targets: []Target{
				{Query: worst(sel(recoveryMedian), "target"), Legend: "{{target}} median"},
				{Query: worst(sel(recoverySlowest), "target"), Legend: "{{target}} slowest"},
			},
		},
	}
}

func meanwhilePanels() []Panel {
	return []Panel{
		outcomesPanel(outcomesOfDays),
		{
			Title: "Failures", Unit: "percentunit", Limits: ZeroToOne, Detail: trafficUID,
			Description: "Share of valid requests that got no right answer, of the soakd and the two minutes that are worst in each step; 429 does not count. All of them while only Redis is away: the API cannot do without its cache; make a miss of it. Still some after the outage: pools keep dead connections; test them before use.",
			Targets:     []Target{{Query: worstOf(sel(failedNow)), Legend: "failures"}},
		},
		{
			Title: "Latency from the intended start", Unit: "s", Log: true, Detail: trafficUID,
			Description: "All cases of the soakd and the two minutes that are worst in each step. During an outage low: the API fails fast, as it should; at the time limit: it hangs until its own time-outs, which are too long. After it high: a storm of retries or a cold cache.",
			Targets: []Target{
				{Query: worstOf(sel(responseP50)), Legend: "p50"},
				{Query: withExemplars(worstOf(sel(responseP99)), sel(responseBuckets)), Legend: "p99", Exemplars: true},
			},
		},
		{
			Title: "Dependencies answer in", Unit: "s", Log: true,
			Description: "Time of soakd's own poll of each probe. It shows when a dependency was slow before it was away, and whether it is back at its old speed.",
			Targets:     []Target{{Query: worst(sel("soakd_probe_duration_seconds"), "probe"), Legend: "{{probe}}"}},
		},
	}
}

func recoveringLoadPanel() Panel {
	return Panel{
		Title: "Load that was sent", Unit: "reqps", Width: 8, Detail: selfUID,
		Description: "Arrivals sent beside the rate that the schedule aims at. Below it soakd has lowered the load for the target's sake (the circuit is open) or was asked to stay away; the recovery is then one under less than the full load.",
		Targets: []Target{
			{Query: sum(rate(sel("soakd_arrivals_sent_total"))), Legend: "sent"},
			{Query: sum(sel("soakd_load_target_rate")), Legend: "target rate", Dashed: true},
		},
	}
}
