package dashboards

import "slices"

func judgementRuleTests() []ruleTest {
	return slices.Concat(burnRuleTests(), leakRuleTests(), foundRuleTests(), historyRuleTests())
}

// objectiveSeries are the counts of an objective of 99 %.
func objectiveSeries(events, bad string) [][2]string {
	return [][2]string{
		{`soakd_slo_objective_ratio{slo="availability"}`, "0.99+0x500"},
		{`soakd_slo_events_total{slo="availability"}`, events},
		{`soakd_slo_bad_events_total{slo="availability"}`, bad},
	}
}

// burns is what the tests of a burn need.
type burns struct {
	alert string
	// factor, long, short and share are those of the texts.
	factor, long, short, share string
	// nearly is not enough for the alert at any time up to at, at the end of which
	// 270 bad ones of 600 a minute are, and have not been enough at early.
	nearly, early, at string
	// value is the figure then.
	value string
	// over are bad ones that were enough until those of the short window were not, at after.
	over, after string
}

func (b burns) tests() []ruleTest {
	const always, again = "0+600x100", "0+600x49 0+600x50" // soakd restarts at minute 50
	want := []wanted{{
		labels:  map[string]string{"slo": "availability"},
		summary: "The error budget of availability burns more than " + b.factor + " times as fast as it lasts",
		description: "Over " + b.long + " objective availability of soakd:9470 used its error budget " + b.value + " times as fast as it lasts (limit " + b.factor +
			"), and over the last " + b.short + " still. " + b.share + " of the budget goes in " + b.long + " at the limit.",
	}}
	return []ruleTest{
		{alert: b.alert, kind: fires, at: b.at, calm: []string{b.early}, series: objectiveSeries(always, "0+270x100"), want: want},
		{alert: b.alert, kind: fires, about: "over a restart of soakd", at: b.at, series: objectiveSeries(again, "0+270x49 0+270x50"), want: want},
		{alert: b.alert, kind: quiet, at: b.at, series: objectiveSeries(always, b.nearly)},
		{alert: b.alert, kind: quiet, about: "it is over", at: b.after, series: objectiveSeries(always, b.over)},
		{alert: b.alert, kind: quiet, about: "few requests", at: b.at, series: objectiveSeries("0+0.1x100", "0+0.1x100")}, // each is bad
		{alert: b.alert, kind: quiet, about: "no requests", at: b.at, series: objectiveSeries("600+0x100", "600+0x100")},
		nothing(b.alert),
		{
			alert: b.alert, kind: reset, at: b.at, calm: []string{"50m", "51m"}, // of a soak that was bad once, long ago
			series: objectiveSeries("900000+600x49 0+600x50", "500000+0x49 0+0x50"),
		},
	}
}

// The rates are 45 times the budget, of as many minutes of the long window as were
// seen: those of TestBurnsOverWholeWindows are over all of it.
func burnRuleTests() []ruleTest {
	const still = "+0x100"
	return slices.Concat(
		burns{ // 60 of 60 steps of 1 minute
			"SoakdErrorBudgetBurnsFast", "14.4", "1h", "5m", "2%",
			"0+86x100", "15m", "59m", "45", "0+540x20 10800" + still, "27m",
		}.tests(),
		burns{ // 10 of 60 steps of 6 minutes
			"SoakdErrorBudgetBurnsSteadily", "6", "6h", "30m", "5%",
			"0+210x100", "30m", "58m", "7.5", "0+540x40 21600" + still, "72m",
		}.tests(),
		burns{ // 2 of 60 steps of 72 minutes; over six hours nothing is
			"SoakdErrorBudgetBurnsSlowly", "1", "3d", "6h", "10%",
			"0+174x100", "60m", "80m", "1.5", "0+3x5 15" + still, "80m",
		}.tests(),
	)
}

const leaking = `soakd_api_resident_memory_bytes{replica="api:8080"}`

// ofLeak is a series of a metric of the resource that leaks.
func ofLeak(metric string) string {
	return metric + `{signal="soakd_api_resident_memory_bytes{replica=\"api:8080\"}"}`
}

func leakRuleTests() []ruleTest {
	suspected, left, slope := ofLeak("soakd_leak_suspected"), ofLeak("soakd_leak_seconds_to_limit"), ofLeak("soakd_trend_slope_per_hour")
	signal := map[string]string{"signal": leaking}
	leak := func(end string) wanted {
		return wanted{
			labels: signal, summary: leaking + " grows without end",
			description: leaking + ", as soakd:9470 sees it, rises" + end + ". /api/v1/findings says since when and what happened then.",
		}
	}
	return []ruleTest{
		{
			alert: "SoakdLeakUrgent", kind: fires, at: "20m", calm: []string{"10m"},
			series: [][2]string{{suspected, "1+0x30"}, {left, "22500-60x40"}},
			want: []wanted{{
				labels: signal, summary: leaking + " leaks and is about to reach its limit",
				description: leaking + ", as soakd:9470 sees it, reaches its limit in 5h 55m 0s at its present slope (limit 6h). Keep a profile of it and restart the target before that.",
			}},
		},
		{alert: "SoakdLeakUrgent", kind: quiet, at: "20m", series: [][2]string{{suspected, "1+0x30"}, {left, "21600+0x30"}}},
		nothing("SoakdLeakUrgent"),
		{
			alert: "SoakdLeakUrgent", kind: reset, at: "12m", // the target restarted: what is known begins anew
			series: [][2]string{{suspected, "1+0x8 stale _x30 0+0x30"}, {left, "9000-60x8 stale"}},
		},

		{
			alert: "SoakdLeak", kind: fires, at: "20m", calm: []string{"10m"},
			series: [][2]string{{suspected, "0+0x10 1+0x20"}, {slope, "2e6+0x30"}, {left, "_x11 90000+0x30"}},
			want:   []wanted{leak(" by 2M an hour without the effect of the load and reaches its limit in 1d 1h 0m 0s")},
		},
		{
			alert: "SoakdLeak", kind: fires, about: "without a limit", at: "20m",
			series: [][2]string{{suspected, "1+0x30"}, {slope, "12.5+0x30"}, {`soakd_leak_seconds_to_limit{signal="other"}`, "9+0x30"}},
			want:   []wanted{leak(" by 12.5 an hour without the effect of the load")},
		},
		{alert: "SoakdLeak", kind: quiet, at: "20m", series: [][2]string{{suspected, "0+0x30"}, {slope, "2e6+0x30"}}}, // rises within its noise
		nothing("SoakdLeak"),
		{alert: "SoakdLeak", kind: reset, at: "12m", series: [][2]string{{suspected, "1+0x8 stale _x30 0+0x30"}, {slope, "2e6+0x8 stale _x30 0+0x30"}}},
	}
}

func ofFigure(metric string) string { return metric + `{case="forecast",signal="p99_response_time"}` }

func foundRuleTests() []ruleTest {
	const away = `soakd_outage_in_progress{target="postgres"}`
	found := func(kind string) wanted {
		return wanted{
			labels: map[string]string{"kind": kind}, summary: "soakd soakd:9470 found " + kind,
			description: "Findings of kind " + kind + " at the target of soakd:9470 that last: 2. /api/v1/findings has the figures and what moved with them; the runbook says what to do about each kind.",
		}
	}
	open := func(kind string) string { return `soakd_findings{kind="` + kind + `"}` }
	return []ruleTest{
		{
			alert: "SoakdRegression", kind: fires, at: "20m", calm: []string{"10m"},
			series: [][2]string{{ofFigure("soakd_baseline_ratio"), "1+0x10 1.523+0x20"}, {ofFigure("soakd_regression"), "0+0x10 1+0x20"}},
			want: []wanted{{
				labels:      map[string]string{"case": "forecast", "signal": "p99_response_time"},
				summary:     "forecast got worse: p99_response_time",
				description: "p99_response_time of case forecast is 1.52 times what it was at the same load, beyond doubt, as soakd:9470 measures it. /api/v1/findings says since when and what changed then.",
			}},
		},
		{alert: "SoakdRegression", kind: quiet, at: "20m", series: [][2]string{{ofFigure("soakd_baseline_ratio"), "3+0x30"}, {ofFigure("soakd_regression"), "0+0x30"}}}, // noise
		nothing("SoakdRegression"),
		{
			alert: "SoakdRegression", kind: reset, at: "12m", // soakd restarted without a history
			series: [][2]string{{ofFigure("soakd_baseline_ratio"), "1.5+0x8 stale _x20 1+0x20"}, {ofFigure("soakd_regression"), "1+0x8 stale _x20 0+0x20"}},
		},

		{
			alert: "SoakdOutage", kind: fires, at: "8m", pending: "6m", calm: []string{"20m"},
			series: [][2]string{{away, "0+0x5 1+0x10 0+0x20"}, {`soakd_outage_in_progress{target="api"}`, "0+0x30"}, {`soakd_outage_in_progress{target="endpoint/fx"}`, "1+0x30"}},
			want: []wanted{{
				labels: map[string]string{"target": "postgres"}, summary: "postgres is away",
				description: "postgres, as soakd:9470 sees it, has been away for more than a minute. /api/v1/findings says since when and what the API does meanwhile.",
			}},
		},
		{alert: "SoakdOutage", kind: quiet, at: "8m", calm: []string{"6m"}, series: [][2]string{{away, "0+0x5 1 0+0x20"}}}, // for a moment
		nothing("SoakdOutage"),
		{alert: "SoakdOutage", kind: reset, at: "8m", series: [][2]string{{away, "0+0x4 1+0x1 stale _ 0+0x20"}}}, // soakd restarted meanwhile

		{
			alert: "SoakdFinding", kind: fires, at: "20m", calm: []string{"10m"},
			series: [][2]string{
				{open("pool_exhausted"), "0+0x10 2+0x20"},
				{open("latency"), "0+0x10 2+0x20"}, // at a rate at which no case tells
				{open("errors"), "0+0x30"},
				{open("leak"), "2+0x30"},
				{ofFigure("soakd_regression"), "0+0x30"},
			},
			want: []wanted{found("pool_exhausted"), found("latency")},
		},
		{
			alert: "SoakdFinding", kind: quiet, at: "20m", // each has an alert of its own
			series: [][2]string{
				{open("outage"), "1+0x30"},
				{open("objective"), "1+0x30"},
				{open("latency_drift"), "1+0x30"},
				{ofFigure("soakd_regression"), "1+0x30"},
				{open("gc_pauses"), "0+0x30"},
			},
		},
		nothing("SoakdFinding"),
		{alert: "SoakdFinding", kind: reset, at: "12m", series: [][2]string{{open("hang"), "1+0x8 0+0x20"}}},
	}
}

func historySeries(stored, failed string) [][2]string {
	return [][2]string{{`soakd_history_batches_total{result="stored"}`, stored}, {`soakd_history_batches_total{result="failed"}`, failed}}
}

func historyRuleTests() []ruleTest {
	const dropped = "soakd_history_windows_dropped_total"
	return []ruleTest{
		{
			alert: "SoakdHistoryFailing", kind: fires, at: "40m", pending: "28m", calm: []string{"52m"},
			series: historySeries("0+1x10 10+0x30 11+1x20", "0+0x10 1+1x29 30+0x30"),
			want: []wanted{{
				summary:     "soakd soakd:9470 cannot write its history",
				description: "soakd soakd:9470 has stored nothing for 15 minutes; about 5 tries failed in the last 5. It goes on judging and keeps two hours of windows, but a restart would lose them.",
			}},
		},
		{
			alert: "SoakdHistoryFailing", kind: quiet, at: "40m", // now and then one is tried again; nothing is tried
			series: append(historySeries("0+0.5x60", "0+0.5x60"),
				[2]string{`soakd_history_batches_total{job="soakd",instance="paused:9470",result="stored"}`, "5+0x60"},
				[2]string{`soakd_history_batches_total{job="soakd",instance="paused:9470",result="failed"}`, "5+0x60"}),
		},
		nothing("SoakdHistoryFailing"),
		{alert: "SoakdHistoryFailing", kind: reset, at: "40m", series: historySeries("50+1x20 0+1x30", "9+0x20 0+0x30")},

		{
			alert: "SoakdHistoryDropping", kind: fires, at: "15m", calm: []string{"9m", "50m"},
			series: [][2]string{{dropped, "0+0x10 2+0x40"}},
			want: []wanted{{
				summary:     "soakd soakd:9470 loses windows of its history",
				description: "About 2 windows were dropped in 15 minutes because the history could not be written for two hours. They will be missing in comparisons and after a restart.",
			}},
		},
		{alert: "SoakdHistoryDropping", kind: quiet, at: "40m", series: [][2]string{{dropped, "7+0x60"}, {"soakd_history_windows_pending", "0+1x60"}}},
		nothing("SoakdHistoryDropping"),
		{alert: "SoakdHistoryDropping", kind: reset, at: "40m", series: [][2]string{{dropped, "7+0x30 0+0x30"}}},
	}
}
