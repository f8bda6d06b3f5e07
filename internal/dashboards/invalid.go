package dashboards

// invalidDashboard is about requests that have to be refused.
func invalidDashboard() Dashboard {
	return Dashboard{
		UID: invalidUID, File: "invalid.json", Title: "soakd / Invalid input",
		Description: "Requests that are wrong on purpose: are they refused with 4xx, and with the right one? Accepted ones, 5xx and answers that show internals are defects of the API's validation, each of them worth a ticket.",
		Variables: []Variable{
			{Name: "case", Title: "Case", Selector: sel(everyCase, invalid), Label: "case", All: ".*"},
		},
		Range: "now-6h", Refresh: "30s",
		Rows: []Row{
			{Title: "Defects since the start of soakd", Panels: invalidTiles()},
			{Title: "What is right", Panels: []Panel{{
				Title: "How to read this", Kind: Text, Height: 4,
				Description: "What an answer to invalid input has to be, and what to do with one that is not.",
				Markdown: "An invalid request is **refused with the 4xx that fits** (400 or 422 for a wrong value, 401 or 403 for a wrong token, 404 for what is not there, 413 for too much), **names the field**, changes nothing, and shows no stack trace, SQL or path. " +
					"soakd's log has the trace id of the first answers that are not so; the name of the case says what was wrong with the request.",
			}}},
			{Title: "By case", Panels: append([]Panel{invalidTable()}, invalidPanels()...)},
			{Title: "How refusals behave", Panels: refusalPanels()},
		},
	}
}

// invalidCases selects the series of a metric for the chosen cases of invalid input.
func invalidCases(metric string, matchers ...string) string {
	return sel(metric, append([]string{invalid, `case=~"$case"`}, matchers...)...)
}

// ofInvalid counts the requests of the chosen invalid cases with an outcome, with a 0
// for the cases that had none.
func ofInvalid(outcome string, by ...string) string {
	return orZero(sum(invalidCases("soakd_http_requests_total", `outcome="`+outcome+`"`), by...), sum(invalidCases(everyCase), by...))
}

// leakedBy counts the answers that showed internals, which those to valid requests
// may do too.
func leakedBy(by ...string) string {
	return orZero(sum(sel("soakd_http_requests_total", `case=~"$case"`, `outcome="leaked_internals"`), by...), sum(sel(everyCase, `case=~"$case"`), by...))
}

// invalidFindings counts what is wrong with the handling of invalid input.
func invalidFindings() string {
	return orZero(
		sum(sel("soakd_http_requests_total", invalid, `outcome=~"accepted_invalid|server_error|leaked_internals"`)),
		sum(sel(everyCase, invalid)))
}

func invalidTiles() []Panel {
	all := sum(rate(invalidCases("soakd_http_requests_total")))
	return []Panel{
		{
			Title: "Accepted", Kind: Stat, Unit: "none", Width: 5, Thresholds: badAt(1),
			Description: "Invalid requests that were answered with 2xx since soakd started. The table says for which case: add the check to the API's model and clean up what was stored.",
			Targets:     []Target{{Query: ofInvalid("accepted_invalid")}},
		},
		{
			Title: "Answered with 5xx", Kind: Stat, Unit: "none", Width: 5, Thresholds: badAt(1),
			Description: "Invalid requests that broke the server since soakd started: an exception that nobody catches. The API's log has its stack trace.",
			Targets:     []Target{{Query: ofInvalid("server_error")}},
		},
		{
			Title: "Internals leaked", Kind: Stat, Unit: "none", Width: 5, Thresholds: badAt(1),
			Description: "Answers since soakd started that showed a stack trace, SQL or a path, to valid or invalid input. Answer errors with a fixed text and log the rest.",
			Targets:     []Target{{Query: leakedBy()}},
		},
		{
			Title: "Refused wrongly", Kind: Stat, Unit: "none", Width: 5, Thresholds: []Threshold{{Value: 1, Color: orange}},
			Description: "Invalid requests since soakd started that were refused with another status than the case expects, or without naming the field. Clients cannot tell what to mend.",
			Targets:     []Target{{Query: ofInvalid("check_failed")}},
		},
		{
			Title: "Refused rightly now", Kind: Stat, Unit: "percentunit", Limits: ZeroToOne, Thresholds: badBelow(1),
			Description: "Share of the invalid requests that were refused as they should be. Below 1 with 0 in the other tiles: they had no answer, see 'Invalid requests by outcome'.",
			Targets:     []Target{{Query: share(orZero(sum(rate(invalidCases("soakd_http_requests_total", `outcome="ok"`))), all), all)}},
		},
	}
}

func invalidTable() Panel {
	counted := func(query string) Target { return Target{Query: query, Legend: "{{case}}"} }
	return Panel{
		Title: "Cases since the start of soakd", Kind: Table, Unit: "short", Height: 10,
		Description: "What became of the requests of each case. Every column but the first two should be 0: write a ticket for each case that is not, with the trace id of soakd's log.",
		Columns: []Column{
			{Title: "Case", Label: "case"},
			{Title: "Refused rightly", Target: 0},
			{Title: "Accepted", Target: 1, Thresholds: badAt(1), Sort: HighestFirst},
			{Title: "5xx", Target: 2, Thresholds: badAt(1)},
			{Title: "Internals leaked", Target: 3, Thresholds: badAt(1)},
			{Title: "Refused wrongly", Target: 4, Thresholds: []Threshold{{Value: 1, Color: orange}}},
		},
		Targets: []Target{
			counted(ofInvalid("ok", "case")), counted(ofInvalid("accepted_invalid", "case")), counted(ofInvalid("server_error", "case")),
			counted(ofInvalid("leaked_internals", "case")), counted(ofInvalid("check_failed", "case")),
		},
	}
}

func invalidPanels() []Panel {
	line := func(query string) []Target { return []Target{{Query: query, Legend: "{{case}}", Interval: "2m"}} }
	// The last of these is recorded for the cases of invalid input alone.
	ofCases := func(recorded string) string { return sel(recorded, `case=~"$case"`) }
	return []Panel{
		{
			Title: "Accepted since the start of soakd", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Invalid requests that were answered with 2xx: the validation has a hole, and wrong data may have been stored. Each case should stay at 0.",
			Targets:     line(sum(ofCases(acceptedInvalid)+" and on (job, instance, case) "+ofCases(invalidBroke), "case")),
		},
		{
			Title: "Answered with 5xx since the start", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Invalid requests that broke the server instead of being refused: an exception that nobody catches. Each case should stay at 0.",
			Targets:     line(sum(ofCases(invalidBroke), "case")),
		},
		{
			Title: "Internals leaked since the start", Unit: "short", Width: 8, Thresholds: badAt(1),
			Description: "Error answers that show a stack trace, SQL or a path, to valid or invalid input: they help an attacker. Each case should stay at 0.",
			Targets:     line(sum(ofCases(internalsLeaked), "case")),
		},
	}
}

// invalidRequests is the rate of the requests of the chosen invalid cases.
func invalidRequests(by string) string {
	raw := sum(rate(invalidCases("soakd_http_requests_total", someCases)), by)
	return sum(overStep("avg", invalidCases(requestsByClass)), by) + " or " + raw
}

func refusalPanels() []Panel {
	return []Panel{
		{
			Title: "Invalid requests by outcome", Unit: "reqps", Stack: true,
			Description: "What became of invalid requests; ok means refused as it should be. check_failed: refused with another status than expected, or without naming the field. timeout, connect, reset: no answer, look at the overview.",
			Targets:     []Target{{Interval: "1m", Query: invalidRequests("outcome"), Legend: "{{outcome}}"}},
		},
		{
			Title: "Answers to invalid requests by status", Unit: "reqps", Stack: true,
			Description: "HTTP status of the answers to invalid requests. All should be 4xx; a share that moves from 422 to 400 or the other way is a change that clients see.",
			Targets:     []Target{{Interval: "1m", Query: invalidRequests("code"), Legend: "{{code}}"}},
		},
		{
			Title: "p99 of refusals, by case", Unit: "s", Log: true, Width: gridColumns,
			Description: "Time from the send to the refusal, at the soakd and in the two minutes that are worst in each step. It should be far below that of valid requests: one that is not is refused only after the calculation or the database was asked; validate before.",
			Targets:     []Target{{Query: worstOf(invalidCases(durationP99ByCase), "case"), Legend: "{{case}}", Interval: "1m"}},
		},
	}
}
