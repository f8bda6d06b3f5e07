package dashboards

func (s Settings) trafficDashboard() Dashboard {
	return Dashboard{
		UID: trafficUID, File: "traffic.json", Title: "soakd / Traffic per case",
		Description: "Each case and class of the workload: how much, how fast from the due time and from the send, what became of it, which checks its answers failed, and the connections under it. Choose a class or cases on top; the table names the one that is worst.",
		Variables: []Variable{
			{Name: "class", Title: "Class", Selector: sel(everyCase), Label: "class", All: ".*"},
			{Name: "case", Title: "Case", Selector: sel(everyCase, `class=~"$class"`), Label: "case", All: ".*"},
		},
		Rows: []Row{
			{Title: "Now", Panels: []Panel{sentTile(), p99Tile(), s.failuresTile(), failedChecksTile(), droppedTile(), inFlightTile()}},
			{Title: "Each case", Panels: []Panel{s.caseTable()}},
			{Title: "Latency", Panels: latencyPanels()},
			{Title: "By class", Panels: s.classPanels()},
			{Title: "Outcomes", Panels: s.outcomePanels()},
			{Title: "Connections and bytes", Panels: connectionPanels()},
		},
	}
}

func sentTile() Panel {
	return Panel{
		Title: "Arrivals sent", Kind: Stat, Unit: "reqps", Detail: selfUID,
		Description: "Requests a second that soakd sends. Below the target rate: see 'Arrivals against the target rate'.",
		Targets:     []Target{{Query: sum(rate(sel("soakd_arrivals_sent_total")))}},
	}
}

func p99Tile() Panel {
	return Panel{
		Title: "p99 from the intended start", Kind: Stat, Unit: "s", Thresholds: warnAt(1, 5), Detail: trafficUID,
		Description: "99 of 100 requests were answered within this time of the moment they were due: what users would have felt, all cases together.",
		Targets:     []Target{{Query: quantile("0.99", sel(responseBuckets))}},
	}
}

func (s Settings) failuresTile() Panel {
	return Panel{
		Title: "Failures", Kind: Stat, Unit: "percentunit", Thresholds: warnAt(s.ErrorRatioLimit/10, s.ErrorRatioLimit), Detail: trafficUID,
		Description: "Share of valid requests that did not get a right answer; 429 does not count. Above " + percent(s.ErrorRatioLimit) + ": see 'Outcomes other than ok' for the kind.",
		Targets:     []Target{{Query: failureShare()}},
	}
}

func failedChecksTile() Panel {
	return Panel{
		Title: "Failed checks", Kind: Stat, Unit: "none", Thresholds: badAt(1), Detail: trafficUID,
		Description: "Checks since soakd started that found an answer to be wrong: its status, its size, or what it says. 'Failed checks since the start of soakd' says which.",
		Targets:     []Target{{Query: orZero(sum(sel("soakd_check_failures_total")), sum(sel(everyCase)))}},
	}
}

func droppedTile() Panel {
	return Panel{
		Title: "Arrivals dropped", Kind: Stat, Unit: "none", Thresholds: badAt(1), Detail: selfUID,
		Description: "Arrivals since soakd started that were never sent, but for those that the target asked not to be sent. With any, quantiles are lower bounds: the target was too slow for the places in flight, or soakd was starved.",
		Targets:     []Target{{Query: sum(sel("soakd_arrivals_dropped_total", `reason!~"shutdown|retry_after"`))}},
	}
}

func inFlightTile() Panel {
	return Panel{
		Title: "In flight", Kind: Stat, Unit: "short", Detail: selfUID,
		Description: "Requests that were sent and have no answer yet. By Little's law it is the rate times the mean latency: it climbs with either.",
		Targets:     []Target{{Query: sum(sel("soakd_http_in_flight_requests"))}},
	}
}

// byCase reads a quantile of each case from the buckets of a histogram of requests.
func byCase(q, buckets string) string { return quantile(q, buckets, "case") }

// failuresBy is the share of the valid requests of the chosen cases that went
// wrong, for each combination of the given labels.
func failuresBy(by ...string) string {
	all := sum(rate(caseSel("soakd_http_requests_total", valid)), by...)
	return share(orZero(sum(rate(caseSel("soakd_http_requests_total", valid, failing)), by...), sum(rate(caseSel(everyCase, valid)), by...)), all)
}

func (s Settings) caseTable() Panel {
	return Panel{
		Title: "Every case now", Kind: Table, Unit: "s", Height: 10,
		Description: "Each case: requests a second, median and p99 from the intended start, p99 from the send, and the share that failed (only of valid input). The slowest is on top: choose it above to see it alone. p99 from the start far above that from the send: it waits in soakd.",
		Columns: []Column{
			{Title: "Case", Label: "case"},
			{Title: "Requests", Target: 0, Unit: "reqps"},
			{Title: "Median", Target: 1},
			{Title: "p99 from the start", Target: 2, Thresholds: warnAt(s.LatencyLimit.Seconds(), s.CalculationLimit.Seconds()), Sort: HighestFirst},
			{Title: "p99 from the send", Target: 3},
			{Title: "Failures", Target: 4, Unit: "percentunit", Thresholds: badAt(s.ErrorRatioLimit)},
		},
		Targets: []Target{
			{Query: sum(rate(caseSel("soakd_http_requests_total")), "case")},
			{Query: byCase("0.5", caseSel(responseBuckets))},
			{Query: byCase("0.99", caseSel(responseBuckets))},
			{Query: byCase("0.99", caseSel(durationBuckets))},
			{Query: failuresBy("case")},
		},
	}
}

func (s Settings) classPanels() []Panel {
	return []Panel{
		{
			Title: "p95 from the intended start, by class", Unit: "s", Log: true, Width: 8,
			Description: "Classes are what objectives are about. calculation classes rise with the API's CPU and threads, reads and saves with Postgres.",
			Targets:     []Target{{Query: quantileOfChosen("0.95", responseBucketsByClass, responseBuckets, "class"), Legend: "{{class}}"}},
		},
		{
			Title: "p99 from the intended start, by class", Unit: "s", Log: true, Width: 8,
			Description: "SoakdTargetLatencyHigh is raised from " + inWords(s.LatencyLimit) + " on, of the long calculations SoakdTargetCalculationLatencyHigh from " + inWords(s.CalculationLimit) + " on. One class alone: its own resource; all: a shared queue.",
			Targets:     []Target{{Query: withExemplars(quantileOfChosen("0.99", responseBucketsByClass, responseBuckets, "class"), caseSel(responseBuckets)), Legend: "{{class}}", Exemplars: true}},
		},
		{
			Title: "Failures by class", Unit: "percentunit", Width: 8, Thresholds: badAt(s.ErrorRatioLimit),
			Description: "Share of the valid requests of each class that did not get a right answer; 429 does not count. Then see 'Failures by case' for which case of it.",
			Targets:     []Target{{Query: failuresBy("class"), Legend: "{{class}}"}},
		},
	}
}

func caseSel(metric string, matchers ...string) string {
	return sel(metric, append([]string{`class=~"$class"`, `case=~"$case"`}, matchers...)...)
}

func latencyPanels() []Panel {
	const worstFirst = " Of the soakd and the two minutes that are worst in each step."
	fromStart := func(q string) string { return quantileOfChosen(q, responseBucketsByClass, responseBuckets) }
	fromSend := func(q string) string { return quantileOfChosen(q, durationBucketsByClass, durationBuckets) }
	return []Panel{
		{
			Title: "p99 from the intended start, by case", Unit: "s", Log: true,
			Description: "What users of each case would have felt. One case alone rises: its query or calculation; all rise together: a shared queue (pool, threads, CPU)." + worstFirst,
			Targets:     []Target{{Query: withExemplars(worstOf(caseSel(responseP99ByCase), "case"), caseSel(responseBuckets)), Legend: "{{case}}", Exemplars: true}},
		},
		{
			Title: "p99 from the send, by case", Unit: "s", Log: true,
			Description: "What the target took once a request was sent. Well below the time from the intended start: arrivals waited in soakd, see 'Is the schedule kept?'." + worstFirst,
			Targets:     []Target{{Query: withExemplars(worstOf(caseSel(durationP99ByCase), "case"), caseSel(durationBuckets)), Legend: "{{case}}", Exemplars: true}},
		},
		{
			Title: "Median from the intended start, by case", Unit: "s", Log: true,
			Description: "The usual answer. A median that rises is work that grew (a table without an index, a colder cache), a p99 that rises alone is contention." + worstFirst,
			Targets:     []Target{{Query: worstOf(caseSel(responseP50ByCase), "case"), Legend: "{{case}}"}},
		},
		latencyHeatmap(ofChosen(responseBucketsByClass, responseBuckets, []string{"le"}), caseSel(responseBuckets)),
		{
			Title: "Quantiles of the chosen cases", Unit: "s", Log: true, Width: 24,
			Description: "Both clocks over all chosen cases. The distance between the two is the time that arrivals waited for a place in flight.",
			Targets: []Target{
				{Query: fromStart("0.5"), Legend: "p50 from the intended start"},
				{Query: fromStart("0.95"), Legend: "p95 from the intended start"},
				{Query: withExemplars(fromStart("0.99"), caseSel(responseBuckets)), Legend: "p99 from the intended start", Exemplars: true},
				{Query: fromSend("0.5"), Legend: "p50 from the send", Dashed: true},
				{Query: fromSend("0.95"), Legend: "p95 from the send", Dashed: true},
				{Query: withExemplars(fromSend("0.99"), caseSel(durationBuckets)), Legend: "p99 from the send", Dashed: true, Exemplars: true},
			},
		},
	}
}

// quantileOfChosen reads a quantile of all chosen cases together.
func quantileOfChosen(q, recorded, buckets string, by ...string) string {
	return "histogram_quantile(" + q + ", " + ofChosen(recorded, buckets, append(by, "le")) + ")"
}

// latencyHeatmap draws rates by le; the single requests are those of the buckets.
func latencyHeatmap(rates, buckets string) Panel {
	return Panel{
		Title: "All latencies from the intended start", Kind: Heatmap, Unit: "s",
		Description: "How many requests a second took how long. Two bands are two kinds of request, or hits and misses of the cache; a band that climbs is a queue that grows.",
		Targets:     []Target{{Query: withExemplars(rates, buckets), Legend: "{{le}}", Exemplars: true}},
	}
}

func (s Settings) outcomePanels() []Panel {
	return []Panel{
		{
			Title: "Requests by case", Unit: "reqps", Stack: true,
			Description: "Requests that came to an end. The proportions are the workload's weights; a case that thins out is dropped or substituted more than others.",
			Targets:     []Target{{Query: sum(overStep("avg", caseSel(requestsByCase)), "case"), Legend: "{{case}}"}},
		},
		outcomesPanelOf(
			ofChosen(requestsByClass, "soakd_http_requests_total", []string{"outcome"}, notOK),
			sum(sel(requestsByOutcome))),
		{
			Title: "Failures by case", Unit: "percentunit", Thresholds: badAt(s.ErrorRatioLimit),
			Description: "Share of the valid requests of each case that did not get a right answer; 429 does not count. Above " + percent(s.ErrorRatioLimit) + " the alert SoakdTargetErrorRatioHigh is near.",
			Targets:     []Target{{Query: failuresBy("case"), Legend: "{{case}}"}},
		},
		{
			Title: "Failed checks since the start of soakd", Unit: "short",
			Description: "What was wrong with answers, by case and check; status, response_size and http_protocol are about the answer as a whole, the others about its content; 'none' at 0 while there are none. scenario_found, read_back, in_list and forecast_in_history: data was lost; foreign_scenario, foreign_history: another user's data was shown.",
			Targets: []Target{{
				Query:  orNone("check", sum(sel("soakd_check_failures_total", `case=~"$case"`), "case", "check"), sum(caseSel(everyCase))),
				Legend: "{{case}} {{check}}",
			}},
		},
		{
			Title: "Answers by status", Unit: "reqps", Stack: true, Width: 24,
			Description: "HTTP status of every answer, 'none' where there was no answer. 4xx belong to invalid input; 5xx and none are the target's.",
			Targets:     []Target{{Query: ofChosen(requestsByClass, "soakd_http_requests_total", []string{"code"}), Legend: "{{code}}"}},
		},
	}
}

// outcomesPanel is that of all cases, from a recording by outcome.
func outcomesPanel(recorded string) Panel {
	return outcomesPanelOf(sum(overStep("avg", sel(recorded, notOK)), "outcome"), sum(sel(recorded)))
}

func outcomesPanelOf(failures, all string) Panel {
	return Panel{
		Title: "Outcomes other than ok", Unit: "reqps", Stack: true, Detail: trafficUID,
		Description: "Requests a second that did not end well, by what became of them; 'none' is drawn at 0 while there are none. timeout and connect: the API is overloaded or away; server_error: its log; rate_limited: its limits.",
		Targets: []Target{{
			Query: orNone("outcome", "("+failures+")", all),
			// The label is there in either case.
			Legend: "{{outcome}}",
		}},
	}
}

func connectionPanels() []Panel {
	return []Panel{
		{
			Title: "Connections", Unit: "ops",
			Description: "Connections made, and requests that found one open. Opened near the request rate: the target closes connections (keep-alive off or too short, or worker restarts).",
			Targets: []Target{
				{Query: sum(rate(sel("soakd_http_connections_opened_total"))), Legend: "opened"},
				{Query: sum(rate(sel("soakd_http_connections_reused_total"))), Legend: "reused"},
			},
		},
		{
			Title: "Open connections", Unit: "short",
			Description: "Connections to the target that are open, at most SOAKD_MAX_IN_FLIGHT. It climbs to what the load needs and stays; at its maximum arrivals wait: the target does not keep up.",
			Targets:     []Target{{Query: sum(sel("soakd_http_connections_open"), "instance"), Legend: "{{instance}}"}},
		},
		{
			Title: "Failed connections", Unit: "ops",
			Description: "Attempts to connect that failed, and those among them for which soakd's own machine had no room: ports (widen net.ipv4.ip_local_port_range), files (raise ulimit -n), memory. All others are the target's or the network's.",
			Targets: []Target{
				{Query: sum(rate(sel("soakd_http_dial_errors_total"))), Legend: "all"},
				{Query: sum(rate(sel("soakd_http_dial_system_errors_total")), "kind"), Legend: "soakd's machine is out of {{kind}}"},
			},
		},
		{
			Title: "Bytes", Unit: "Bps",
			Description: "Bytes on the connections, headers included. Received bytes that grow at the same rate of requests: answers grow (a list without a limit).",
			Targets: []Target{
				{Query: sum(rate(sel("soakd_http_sent_bytes_total"))), Legend: "sent"},
				{Query: sum(rate(sel("soakd_http_received_bytes_total"))), Legend: "received"},
			},
		},
	}
}
