package dashboards

// selfDashboard is about soakd's own work.
func (s Settings) selfDashboard() Dashboard {
	return Dashboard{
		UID: selfUID, File: "self.json", Title: "soakd / soakd itself",
		Description: "Whether what soakd says can be trusted: is the schedule kept, were its windows fit to judge, is the load held back, do its probes see, what does it use, does it keep its history? While something is red here, look here before blaming the target.",
		Rows: []Row{
			{Title: "Now", Panels: append([]Panel{sentTile(), droppedTile(), inFlightTile()}, s.selfTiles()...)},
			{Title: "Is the schedule kept?", Panels: s.schedulePanels()},
			{Title: "Is soakd fit to judge?", Panels: s.fitnessPanels()},
			{Title: "Is the load held back?", Panels: mannersPanels()},
			{Title: "Do the probes see, and what do they cost?", Panels: watchPanels()},
			{Title: "What soakd uses", Panels: selfPanels()},
			{Title: "Scrapes, names and the end", Panels: scrapePanels()},
			{Title: "History, annotations and pushes", Panels: append(append(append(historyPanels(), findingsADayPanel(gridColumns)), annotationPanels()...), pushPanel())},
		},
	}
}

func (s Settings) selfTiles() []Panel {
	return []Panel{
		{
			Title: "Schedule lag, p99", Kind: Stat, Unit: "s", Thresholds: badAt(s.LagLimit.Seconds()),
			Description: "How late soakd noticed that arrivals were due. Above " + milliseconds(s.LagLimit) + " its own delay shows in the latencies: give it more CPU or more shards.",
			Targets:     []Target{{Query: quantile("0.99", sel("soakd_schedule_lag_seconds_bucket"))}},
		},
		{
			Title: "Share of its CPUs", Kind: Stat, Unit: "percentunit", Thresholds: badAt(s.CPULimit),
			Description: "CPU time of soakd in all that it may use, of the busiest instance. Above SOAKD_CPU_LIMIT its windows are not fit to judge by.",
			Targets:     []Target{{Query: worst(sel("soakd_window_cpu_ratio"))}},
		},
		{
			Title: "Last window", Kind: Stat, Unit: "none", Thresholds: badBelow(1), Texts: map[int]string{0: "not fit", 1: "fit"},
			Description: "Whether the latest window of every soakd was fit to judge the target by. Not fit: 'Unfit windows since the start of soakd' says why.",
			Targets:     []Target{{Query: lowest(sel("soakd_window_fit"))}},
		},
	}
}

func fitPanel(width int) Panel {
	return Panel{
		Title: "Fit to judge", Kind: StateTimeline, Unit: "none", Width: width, Height: 5, Limits: ZeroToOne, Texts: map[int]string{0: "not fit", 1: "fit"}, Thresholds: badBelow(1), Detail: selfUID,
		Description: "Whether each window of 10 s was fit to judge the target by. Where it was not, soakd was starved, dropped arrivals, ran out of something, or sent less than was set: soakd's log says why and what helps.",
		Targets:     []Target{{Query: lowest(sel("soakd_window_fit"), "instance"), Legend: "{{instance}}"}},
	}
}

func probeStatePanel(width int) Panel {
	return Panel{
		Title: "Probes", Kind: StateTimeline, Unit: "none", Width: width, Height: 6, Limits: ZeroToOne, Texts: map[int]string{0: "blind", 1: "sees"}, Thresholds: badBelow(1), Detail: selfUID,
		Description: "When each probe read all it should. While it is blind the graphs of that dependency have gaps or lack a part: soakd's log says once why. A probe with the kind before its name (endpoint/, tcp/, dns/, certificate/, exporter/) is so also when what it watches does not answer as it should: 'Why they fail' says which.",
		Targets:     []Target{{Query: lowest(sel("soakd_probe_success"), "probe", "instance"), Legend: "{{probe}} {{instance}}"}},
	}
}

func (s Settings) fitnessPanels() []Panel {
	return []Panel{
		fitPanel(gridColumns),
		{
			Title: "Unfit windows since the start of soakd", Unit: "short",
			Description: "Windows that cannot pass a judgement, by reason. late, cpu, stalled: give soakd more CPU; dropped: see 'Waiting, dropped, in flight'; ports, files, memory: soakd's machine; throttled, paused: see 'Is the load held back?'.",
			Targets: []Target{
				{Query: sum(sel("soakd_windows_unfit_total"), "reason"), Legend: "{{reason}}"},
				{Query: sum(sel("soakd_windows_total"), "verdict"), Legend: "all that were {{verdict}}", Dashed: true},
			},
		},
		{
			Title: "soakd's share of its CPUs", Unit: "percentunit", Limits: ZeroToOne, Thresholds: badAt(s.CPULimit),
			Description: "CPU time of soakd in all that it may use, quotas of its container included, over the latest window. Above SOAKD_CPU_LIMIT requests wait for a CPU and their time counts as the target's: more CPU, or more shards.",
			Targets:     []Target{{Query: worst(sel("soakd_window_cpu_ratio"), "instance"), Legend: "{{instance}}"}},
		},
	}
}

func (s Settings) schedulePanels() []Panel {
	return []Panel{
		arrivalsPanel(),
		unsentPanel(),
		s.lagPanel(),
		{
			Title: "Account of all arrivals", Unit: "short",
			Description: "scheduled = sent + waiting + dropped, since the start of soakd. The difference must stay 0 apart from the moment of a scrape; anything else is a defect of soakd.",
			Targets: []Target{
				{Query: sum(sel("soakd_arrivals_scheduled_total")), Legend: "scheduled"},
				{Query: sum(sel("soakd_arrivals_sent_total")), Legend: "sent"},
				{Query: sum(sel("soakd_arrivals_dropped_total")), Legend: "dropped"},
				{
					Query: sum(sel("soakd_arrivals_scheduled_total")) + " - " + sum(sel("soakd_arrivals_sent_total")) + " - " +
						sum(sel("soakd_arrivals_waiting")) + " - " + sum(sel("soakd_arrivals_dropped_total")),
					Legend: "difference",
				},
			},
		},
		{
			Title: "Substituted arrivals", Unit: "reqps",
			Description: "Arrivals made with another case than was drawn: the case is limited to so many a minute (limit), or the user has nothing saved yet (no_state). Many: raise SOAKD_USERS.",
			Targets: []Target{{
				Query:  orNone("case", sum(rate(sel("soakd_arrivals_substituted_total")), "case", "reason"), sum(rate(sel("soakd_arrivals_scheduled_total")))),
				Legend: "{{case}} {{reason}}",
			}},
		},
		{
			Title: "Virtual users", Unit: "short",
			Description: "Identities that soakd sends as. With too few, limited cases are substituted and the cache sees the same few portfolios.",
			Targets:     []Target{{Query: sum(sel("soakd_load_virtual_users"), "instance"), Legend: "{{instance}}"}},
		},
	}
}

func unsentPanel() Panel {
	return Panel{
		Title: "Waiting, dropped, in flight", Unit: "short",
		Description: "Arrivals that wait for a place in flight, arrivals a second that were dropped, requests in flight. Waiting that stays above 0 says that the target does not keep up: more WORKERS or instances, or a higher SOAKD_MAX_IN_FLIGHT if the target is well.",
		Targets: []Target{
			{Query: sum(sel("soakd_arrivals_waiting")), Legend: "waiting"},
			{Query: sum(rate(sel("soakd_arrivals_dropped_total")), "reason"), Legend: "dropped a second: {{reason}}"},
			{Query: sum(sel("soakd_http_in_flight_requests")), Legend: "in flight"},
		},
	}
}

func (s Settings) lagPanel() Panel {
	return Panel{
		Title: "Schedule lag", Unit: "s", Log: true, Thresholds: badAt(s.LagLimit.Seconds()),
		Description: "How late soakd noticed that arrivals were due. It is soakd's own delay: above " + milliseconds(s.LagLimit) + " give soakd more CPU, or more shards, before judging the target. A window whose p99 is above SOAKD_LAG_LIMIT is not fit to pass a judgement.",
		Targets: []Target{
			{Query: quantile("0.5", sel("soakd_schedule_lag_seconds_bucket")), Legend: "p50"},
			{Query: quantile("0.99", sel("soakd_schedule_lag_seconds_bucket")), Legend: "p99"},
		},
	}
}

func mannersPanels() []Panel {
	return []Panel{
		{
			Title: "Share of the load that is sent", Unit: "percentunit", Width: 8, Limits: ZeroToOne,
			Description: "What is left of the rate that was set, in closed mode of the users: below 1 while the circuit is not closed, 0 while somebody has paused the load.",
			Targets: []Target{
				{Query: lowest(sel("soakd_load_factor_ratio"), "instance"), Legend: "sent {{instance}}"},
				{Query: worst(sel("soakd_load_paused"), "instance"), Legend: "paused {{instance}}", Dashed: true},
			},
		},
		{
			Title: "State of the circuit", Unit: "none", Width: 8, Limits: ZeroToOne,
			Description: "closed: the whole load flows. open: too many requests failed (SOAKD_CIRCUIT_ERROR_RATIO for SOAKD_CIRCUIT_FOR), a trickle is left. recovering: the load comes back in steps.",
			Targets:     []Target{{Query: worst(sel("soakd_circuit_state"), "state"), Legend: "{{state}}"}},
		},
		{
			Title: "Trips of the circuit since the start", Unit: "short", Width: 8,
			Description: "How often the load was lowered, how often its return failed, and the step of the recovery now. Relapses at one step: the target bears no more than the step before.",
			Targets: []Target{
				{Query: sum(sel("soakd_circuit_trips_total"), "instance"), Legend: "trips {{instance}}"},
				{Query: sum(sel("soakd_circuit_relapses_total"), "instance"), Legend: "relapses {{instance}}"},
				{Query: worst(sel("soakd_circuit_step"), "instance"), Legend: "step {{instance}}", Dashed: true},
			},
		},
		{
			Title: "Users that the target keeps away", Unit: "percentunit", Limits: ZeroToOne, Thresholds: badAt(heldLimit),
			Description: "Share of the virtual users that are left alone because the target asked for it (429, Retry-After). Their arrivals are dropped as retry_after. Lasting: the rate is above what the target grants a user; more SOAKD_USERS or a lower SOAKD_RATE.",
			Targets:     []Target{{Query: worst(sel("soakd_load_held_users")+" / "+sel("soakd_load_virtual_users"), "instance"), Legend: "{{instance}}"}},
		},
		{
			Title: "Requests to be left alone", Unit: "ops",
			Description: "How often a second the target was obeyed, by whom it concerned: the user that was answered, or everybody. capped: it asked for longer than SOAKD_RETRY_AFTER_MAX.",
			Targets: []Target{
				{Query: sum(rate(sel("soakd_retry_after_holds_total")), "scope"), Legend: "{{scope}}"},
				{Query: sum(rate(sel("soakd_retry_after_capped_total"))), Legend: "capped", Dashed: true},
			},
		},
	}
}

func selfPanels() []Panel {
	return []Panel{
		{
			Title: "soakd's CPU", Unit: "none", Width: 8,
			Description: "Cores that soakd itself keeps busy. Near the cores that it may use, the schedule lags: give it more, or shard the load.",
			Targets:     []Target{{Query: sum(rate(sel("process_cpu_seconds_total")), "instance"), Legend: "{{instance}}"}},
		},
		selfMemoryPanel(),
		selfGoroutinesPanel(),
	}
}

func watchPanels() []Panel {
	return []Panel{
		probeStatePanel(gridColumns),
		{
			Title: "Poll duration", Unit: "s", Width: 8,
			Description: "How long the latest poll of each probe took. Near SOAKD_PROBE_TIMEOUT: the dependency is slow to answer, or soakd is starved.",
			Targets:     []Target{{Query: worst(sel("soakd_probe_duration_seconds"), "probe", "instance"), Legend: "{{probe}} {{instance}}"}},
		},
		{
			Title: "Failed polls", Unit: "percentunit", Width: 8, Limits: ZeroToOne,
			Description: "Share of polls that failed in whole or in part. Above 0 without an outage: raise SOAKD_PROBE_TIMEOUT, or grant what the log says is not permitted.",
			Targets: []Target{{
				Query:  share(sum(rate(sel("soakd_probe_failures_total")), "probe"), sum(rate(sel("soakd_probe_polls_total")), "probe")),
				Legend: "{{probe}}",
			}},
		},
		{
			Title: "Why probes fail", Unit: "short", Width: 8,
			Description: "The reason of each probe whose latest poll failed. dns, connect, tls, timeout, reset: the way there. auth, permission: its rights. unavailable, protocol, missing, check: what it answers. hung, panic: soakd itself.",
			EmptyWhen:   "while every probe reads all it should",
			Targets:     []Target{{Query: worst(sel("soakd_probe_failing"), "probe", "reason"), Legend: "{{probe}}: {{reason}}"}},
		},
		{
			Title: "Cost of watching: queries", Unit: "ops", Width: 8,
			Description: "Queries, commands and requests a second that each probe sends to what it watches. It follows SOAKD_PROBE_INTERVAL and the lists in soakd's settings; nothing else may raise it.",
			Targets:     []Target{{Query: sum(rate(sel("soakd_probe_queries_total")), "probe"), Legend: "{{probe}}"}},
		},
		{
			Title: "Cost of watching: time", Unit: "s", Width: 8,
			Description: "Time that what is watched spends on one query of each probe. Rising with the load: the dependency is slow for everybody. Rising alone: shorten the lists in soakd's settings.",
			Targets:     []Target{{Query: share(sum(rate(sel("soakd_probe_query_seconds_total")), "probe"), sum(rate(sel("soakd_probe_queries_total")), "probe")), Legend: "{{probe}}"}},
		},
		{
			Title: "Age of the last good poll", Unit: "s", Width: 8,
			Description: "Time since each probe last read all it should. It saws between 0 and the poll interval; a straight climb is a blind probe.",
			Targets:     []Target{{Query: "time() - " + lowest(sel("soakd_probe_last_success_timestamp_seconds"), "probe", "instance"), Legend: "{{probe}} {{instance}}"}},
		},
	}
}

func scrapePanels() []Panel {
	return []Panel{
		{
			Title: "Time of a scrape", Unit: "s", Width: 8, Thresholds: warnAt(1, 5),
			Description: "How long Prometheus took to read soakd's /metrics. Near scrape_timeout values go missing: fewer cases and names with labels, or a longer scrape_timeout; a climb over days is a defect of soakd.",
			Targets:     []Target{{Query: worst(sel("scrape_duration_seconds"), "instance"), Legend: "{{instance}}"}},
		},
		{
			Title: "Series of soakd", Unit: "short", Width: 8,
			Description: "Samples of one scrape, which is the number of series. It grows with cases, outcomes that happen and names that settings list, and stays the same through a soak; a climb without end is a defect of soakd.",
			Targets:     []Target{{Query: worst(sel("scrape_samples_scraped"), "instance"), Legend: "{{instance}}"}},
		},
		{
			Title: "Folded label values", Unit: "ops", Width: 8,
			Description: "Label values a second that were folded into 'other' because nobody configured them. Rising: name the application, table or statement in soakd's settings to see it by itself.",
			Targets:     []Target{{Query: sum(rate(sel("soakd_label_overflow_total")), "source"), Legend: "{{source}}"}},
		},
		{
			Title: "Requests cut at the end", Unit: "short", Width: 8,
			Description: "Requests that were given up when soakd was stopped. Many: raise SOAKD_SHUTDOWN_GRACE.",
			Targets:     []Target{{Query: sum(sel("soakd_http_requests_cut_total"), "instance"), Legend: "{{instance}}"}},
		},
		{
			Title: "soakd's version and uptime", Unit: "s", Width: 8,
			Description: "Time since soakd started, with its version. A fall that nobody ordered: soakd was killed (memory limit?) or crashed.",
			Targets: []Target{{
				Query:  "(time() - " + sel("process_start_time_seconds") + ") * on (job, instance) group_left (version) " + sel("soakd_build_info"),
				Legend: "{{version}} {{instance}}",
			}},
		},
	}
}

const noHistory = "where no history is kept (SOAKD_HISTORY_URL)"

func historyPanels() []Panel {
	return []Panel{
		{
			Title: "Batches for the history", Unit: "short", Width: 8, EmptyWhen: noHistory,
			Description: "Batches of windows, findings and events in the last 10 minutes, of which there is one a minute. Failed ones are tried again; for 15 minutes nothing but those raises SoakdHistoryFailing: its disk is full, its Postgres away, or its file not soakd's to write.",
			Targets:     []Target{{Query: sum("increase("+sel("soakd_history_batches_total")+"[10m])", "result", "instance"), Legend: "{{result}} {{instance}}"}},
		},
		{
			Title: "Windows that are not stored", Unit: "short", Width: 8, EmptyWhen: noHistory,
			Description: "Windows that wait for the next batch, and those that were given up since the start of soakd because the history was away for two hours. Waiting ones rise and fall between 0 and a few; a climb is a history that cannot be written.",
			Targets: []Target{
				{Query: sum(sel("soakd_history_windows_pending"), "instance"), Legend: "waiting {{instance}}"},
				{Query: sum(sel("soakd_history_windows_dropped_total"), "instance"), Legend: "given up {{instance}}", Dashed: true},
			},
		},
		historySizePanel(),
	}
}

func selfMemoryPanel() Panel {
	return Panel{
		Title: "soakd's memory", Unit: "bytes", Width: 8,
		Description: "Resident memory and live heap of soakd. It does not grow with the number of requests; growth over hours is a defect of soakd.",
		Targets: []Target{
			{Query: sum(sel("process_resident_memory_bytes"), "instance"), Legend: "resident {{instance}}"},
			{Query: sum(sel("go_memstats_heap_alloc_bytes"), "instance"), Legend: "heap {{instance}}"},
		},
	}
}

func selfGoroutinesPanel() Panel {
	return Panel{
		Title: "soakd's goroutines and files", Unit: "short", Width: 8,
		Description: "Goroutines and open files of soakd: about one goroutine a place in flight and two a connection. Growth without more in flight is a defect of soakd.",
		Targets: []Target{
			{Query: sum(sel("go_goroutines"), "instance"), Legend: "goroutines {{instance}}"},
			{Query: sum(sel("process_open_fds"), "instance"), Legend: "open files {{instance}}"},
		},
	}
}

func historySizePanel() Panel {
	return Panel{
		Title: "Size of the history", Unit: "bytes", Width: 8, EmptyWhen: "in the first hour, and where no history is kept",
		Description: "Size when it was last pruned, once an hour. It finds a level below SOAKD_HISTORY_MAX_BYTES after the times of SOAKD_HISTORY_RETENTION. Several soakds may share one.",
		Targets:     []Target{{Query: worst(sel("soakd_history_size_bytes"), "instance"), Legend: "{{instance}}"}},
	}
}
