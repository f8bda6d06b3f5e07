package dashboards

func (s Settings) trafficDashboard() Dashboard {
	return Dashboard{
		UID: trafficUID, File: "traffic.json", Title: "soakd / Traffic",
		Description: "Each case of the workload: latency from the due time and from the send, outcomes, wrong answers, what invalid input brought to light, and whether the schedule was kept.",
		Variables: []Variable{
			{Name: "class", Title: "Class", Selector: everyCase + `{job=~"$job",instance=~"$instance"}`, Label: "class", All: ".*"},
			{Name: "case", Title: "Case", Selector: everyCase + `{job=~"$job",instance=~"$instance",class=~"$class"}`, Label: "case", All: ".*"},
		},
		Rows: []Row{
			{Title: "Now", Panels: trafficTiles()},
			{Title: "Latency", Panels: latencyPanels()},
			{Title: "Outcomes", Panels: s.outcomePanels()},
			{Title: "Invalid input", Panels: invalidPanels()},
			{Title: "Is the schedule kept?", Panels: s.schedulePanels()},
			{Title: "Is soakd fit to judge?", Panels: s.fitnessPanels()},
			{Title: "Is the load held back?", Panels: mannersPanels()},
			{Title: "Connections and bytes", Panels: connectionPanels()},
			{Title: "soakd itself", Panels: append(append(selfPanels(), historyPanels()...), annotationPanels()...)},
		},
	}
}

// caseSel selects the series of a metric for the chosen cases.
func caseSel(metric string, matchers ...string) string {
	return sel(metric, append([]string{`class=~"$class"`, `case=~"$case"`}, matchers...)...)
}

func latencyPanels() []Panel {
	return []Panel{
		{
			Title: "p99 from the intended start, by case", Unit: "s", Log: true,
			Description: "What users of each case would have felt. One case alone rises: its query or calculation; all rise together: a shared queue (pool, threads, CPU).",
			Targets:     []Target{{Query: quantile("0.99", caseSel(responseBuckets), "case"), Legend: "{{case}}", Exemplars: true}},
		},
		{
			Title: "p99 from the send, by case", Unit: "s", Log: true,
			Description: "What the target took once a request was sent. Well below the time from the intended start: arrivals waited in soakd, see 'Is the schedule kept?'.",
			Targets:     []Target{{Query: quantile("0.99", caseSel(durationBuckets), "case"), Legend: "{{case}}", Exemplars: true}},
		},
		{
			Title: "Median from the intended start, by case", Unit: "s", Log: true,
			Description: "The usual answer. A median that rises is work that grew (a table without an index, a colder cache), a p99 that rises alone is contention.",
			Targets:     []Target{{Query: quantile("0.5", caseSel(responseBuckets), "case"), Legend: "{{case}}"}},
		},
		latencyHeatmap(caseSel(responseBuckets)),
		{
			Title: "Quantiles of the chosen cases", Unit: "s", Log: true, Width: 24,
			Description: "Both clocks over all chosen cases. The distance between the two is the time that arrivals waited for a place in flight.",
			Targets: []Target{
				{Query: quantile("0.5", caseSel(responseBuckets)), Legend: "p50 from the intended start"},
				{Query: quantile("0.95", caseSel(responseBuckets)), Legend: "p95 from the intended start"},
				{Query: quantile("0.99", caseSel(responseBuckets)), Legend: "p99 from the intended start", Exemplars: true},
				{Query: quantile("0.5", caseSel(durationBuckets)), Legend: "p50 from the send", Dashed: true},
				{Query: quantile("0.95", caseSel(durationBuckets)), Legend: "p95 from the send", Dashed: true},
				{Query: quantile("0.99", caseSel(durationBuckets)), Legend: "p99 from the send", Dashed: true, Exemplars: true},
			},
		},
	}
}

func (s Settings) outcomePanels() []Panel {
	all := sum(rate(caseSel("soakd_http_requests_total")), "case")
	return []Panel{
		{
			Title: "Requests by case", Unit: "reqps", Stack: true,
			Description: "Requests that came to an end. The proportions are the workload's weights; a case that thins out is dropped or substituted more than others.",
			Targets:     []Target{{Query: all, Legend: "{{case}}"}},
		},
		outcomesPanel(caseSel),
		{
			Title: "Failures by case", Unit: "percentunit", Thresholds: badAt(s.ErrorRatioLimit),
			Description: "Share of the valid requests of each case that did not get a right answer; 429 does not count. Above 1 % the alert SoakdTargetErrorRatioHigh is near.",
			Targets: []Target{{
				Query:  share(orZero(sum(rate(caseSel("soakd_http_requests_total", valid, failing)), "case"), sum(rate(caseSel(everyCase, valid)), "case")), sum(rate(caseSel("soakd_http_requests_total", valid)), "case")),
				Legend: "{{case}}",
			}},
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
			Targets:     []Target{{Query: sum(rate(caseSel("soakd_http_requests_total")), "code"), Legend: "{{code}}"}},
		},
	}
}

func invalidPanels() []Panel {
	finding := func(outcome string, matchers ...string) []Target {
		selected := caseSel("soakd_http_requests_total", append(matchers, `outcome="`+outcome+`"`)...)
		return []Target{{
			Query:  orZero(sum(selected, "case"), sum(caseSel(everyCase, matchers...), "case")),
			Legend: "{{case}}",
		}}
	}
	return []Panel{
		{
			Title: "Accepted since the start of soakd", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Invalid requests that were answered with 2xx: the validation has a hole, and wrong data may have been stored. Each case should stay at 0.",
			Targets:     finding("accepted_invalid", invalid),
		},
		{
			Title: "Answered with 5xx since the start", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Invalid requests that broke the server instead of being refused: an exception that nobody catches. Each case should stay at 0.",
			Targets:     finding("server_error", invalid),
		},
		{
			Title: "Internals leaked since the start", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Error answers that show a stack trace, SQL or a path, to valid or invalid input: they help an attacker. Each case should stay at 0.",
			Targets:     finding("leaked_internals"),
		},
		{
			Title: "Invalid requests by outcome", Unit: "reqps", Stack: true, Width: 24, Height: 6,
			Description: "What became of invalid requests; ok means refused as it should be. check_failed: refused with another status than expected, or without naming the field.",
			Targets:     []Target{{Query: sum(rate(sel("soakd_http_requests_total", invalid)), "outcome"), Legend: "{{outcome}}"}},
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

func fitPanel(width int) Panel {
	height := 0
	if width > 8 {
		height = 5
	}
	return Panel{
		Title: "Fit to judge", Unit: "none", Width: width, Height: height, Limits: ZeroToOne, Texts: map[int]string{0: "not fit", 1: "fit"}, Detail: trafficUID,
		Description: "1 while the latest window of 10 s was fit to judge the target by. At 0 soakd was starved, dropped arrivals, ran out of something, or sent less than was set: soakd's log says why and what helps.",
		Targets:     []Target{{Query: lowest(sel("soakd_window_fit"), "instance"), Legend: "{{instance}}"}},
	}
}

func (s Settings) fitnessPanels() []Panel {
	return []Panel{
		fitPanel(8),
		{
			Title: "Unfit windows since the start of soakd", Unit: "short", Width: 8,
			Description: "Windows that cannot pass a judgement, by reason. late, cpu, stalled: give soakd more CPU; dropped: see 'Waiting, dropped, in flight'; ports, files, memory: soakd's machine; throttled, paused: see 'Is the load held back?'.",
			Targets: []Target{
				{Query: sum(sel("soakd_windows_unfit_total"), "reason"), Legend: "{{reason}}"},
				{Query: sum(sel("soakd_windows_total"), "verdict"), Legend: "all that were {{verdict}}", Dashed: true},
			},
		},
		{
			Title: "soakd's share of its CPUs", Unit: "percentunit", Width: 8, Limits: ZeroToOne, Thresholds: badAt(s.CPULimit),
			Description: "CPU time of soakd in all that it may use, quotas of its container included, over the latest window. Above SOAKD_CPU_LIMIT requests wait for a CPU and their time counts as the target's: more CPU, or more shards.",
			Targets:     []Target{{Query: worst(sel("soakd_window_cpu_ratio"), "instance"), Legend: "{{instance}}"}},
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

func selfPanels() []Panel {
	return []Panel{
		{
			Title: "soakd's CPU", Unit: "none", Width: 8,
			Description: "Cores that soakd itself keeps busy. Near the cores that it may use, the schedule lags: give it more, or shard the load.",
			Targets:     []Target{{Query: sum(rate(sel("process_cpu_seconds_total")), "instance"), Legend: "{{instance}}"}},
		},
		{
			Title: "soakd's memory", Unit: "bytes", Width: 8,
			Description: "Resident memory and live heap of soakd. It does not grow with the number of requests; growth over hours is a defect of soakd.",
			Targets: []Target{
				{Query: sum(sel("process_resident_memory_bytes"), "instance"), Legend: "resident {{instance}}"},
				{Query: sum(sel("go_memstats_heap_alloc_bytes"), "instance"), Legend: "heap {{instance}}"},
			},
		},
		{
			Title: "soakd's goroutines and files", Unit: "short", Width: 8,
			Description: "Goroutines and open files of soakd: about one goroutine a place in flight and two a connection. Growth without more in flight is a defect of soakd.",
			Targets: []Target{
				{Query: sum(sel("go_goroutines"), "instance"), Legend: "goroutines {{instance}}"},
				{Query: sum(sel("process_open_fds"), "instance"), Legend: "open files {{instance}}"},
			},
		},
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
			Title: "Age of the last good poll", Unit: "s", Width: 8,
			Description: "Time since each probe last read all it should. It saws between 0 and the poll interval; a straight climb is a blind probe.",
			Targets:     []Target{{Query: "time() - " + lowest(sel("soakd_probe_last_success_timestamp_seconds"), "probe", "instance"), Legend: "{{probe}} {{instance}}"}},
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

// noHistory is when soakd keeps nothing of what it sees.
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
		{
			Title: "Size of the history", Unit: "bytes", Width: 8, EmptyWhen: "in the first hour, and where no history is kept",
			Description: "Size when it was last pruned, once an hour. It finds a level below SOAKD_HISTORY_MAX_BYTES after the times of SOAKD_HISTORY_RETENTION. Several soakds may share one.",
			Targets:     []Target{{Query: worst(sel("soakd_history_size_bytes"), "instance"), Legend: "{{instance}}"}},
		},
	}
}
