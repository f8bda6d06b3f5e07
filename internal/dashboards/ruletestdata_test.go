package dashboards

import (
	"maps"
	"slices"
	"strings"
)

func ruleTests() []ruleTest {
	return slices.Concat(selfRuleTests(), trafficRuleTests(), findingRuleTests(), postgresRuleTests(), redisRuleTests(), dependencyRuleTests(), judgementRuleTests(), stateRuleTests())
}

// nothing is the test of an alert that stays quiet while its series are absent.
func nothing(alert string) ruleTest { return ruleTest{alert: alert, kind: absent, at: "30m"} }

func selfRuleTests() []ruleTest {
	return []ruleTest{
		{
			alert: "SoakdDown", kind: fires, at: "10m", pending: "5m",
			series: [][2]string{{"up", "1+0x3 0+0x20"}, {`soakd_build_info{version="1"}`, "1+0x3 stale"}},
			want: []wanted{{
				summary:     "soakd soakd:9470 cannot be scraped",
				description: "Prometheus has not been able to scrape soakd at soakd:9470 for 2 minutes. Nothing is known of the target meanwhile.",
			}},
		},
		{
			alert: "SoakdDown", kind: quiet, at: "10m",
			series: [][2]string{
				{"up", "1+0x20"},
				{`soakd_build_info{version="1"}`, "1+0x20"},
				{`up{job="other",instance="x:1"}`, "0+0x20"}, // down, but no soakd
			},
		},
		nothing("SoakdDown"),
		{
			alert: "SoakdDown", kind: reset, at: "6m", // restarted: one scrape failed
			series: [][2]string{{"up", "1+0x4 0 1+0x20"}, {`soakd_build_info{version="1"}`, "1+0x4 stale"}, {`soakd_build_info{version="2"}`, "_x5 1+0x20"}},
		},

		{
			alert: "SoakdAbsent", kind: fires, at: "15m", pending: "13m",
			series: [][2]string{{`soakd_build_info{version="1"}`, "1+0x3 stale"}},
			want:   []wanted{absentWanted()},
		},
		{alert: "SoakdAbsent", kind: quiet, at: "15m", series: [][2]string{{`soakd_build_info{version="1"}`, "1+0x20"}}},
		{alert: "SoakdAbsent", kind: absent, at: "15m", want: []wanted{absentWanted()}},
		{
			alert: "SoakdAbsent", kind: reset, at: "15m", // replaced by a new version, away for 3 minutes
			series: [][2]string{{`soakd_build_info{version="1"}`, "1+0x6 stale"}, {`soakd_build_info{version="2"}`, "_x10 1+0x20"}},
		},

		{
			alert: "SoakdNoTraffic", kind: fires, at: "15m", pending: "10m",
			series: [][2]string{
				{"soakd_arrivals_sent_total", "0+600x5 3000+0x30"},
				{"soakd_load_target_rate", "10+0x30"},
				{"soakd_load_factor_ratio", "1+0x30"},
				{"soakd_load_held_users", "1+0x30"}, // that one user is left alone explains nothing
				{"soakd_load_virtual_users", "20+0x30"},
			},
			want: []wanted{{
				summary:     "soakd soakd:9470 is up but sends nothing",
				description: "soakd sent 0% of the rate that it aims at over 5 minutes. The soak says nothing about the target until it sends again.",
			}},
		},
		closedFires(), closedStuck(), openCircuitFires(),
		{
			alert: "SoakdNoTraffic", kind: quiet, at: "15m",
			series: [][2]string{
				{"soakd_arrivals_sent_total", "0+12x30"}, // 0.2 a second of 10: slow, not silent
				{"soakd_load_target_rate", "10+0x30"},
				{"soakd_load_factor_ratio", "1+0x30"},
				// The load of this one has ended.
				{`soakd_arrivals_sent_total{job="soakd",instance="done:9470"}`, "3000+0x30"},
				{`soakd_load_target_rate{job="soakd",instance="done:9470"}`, "0+0x30"},
				{`soakd_load_factor_ratio{job="soakd",instance="done:9470"}`, "1+0x30"},
				// Somebody has paused this one: its schedule stands, at the rate that it had.
				{`soakd_arrivals_sent_total{job="soakd",instance="paused:9470"}`, "0+600x5 3000+0x30"},
				{`soakd_load_target_rate{job="soakd",instance="paused:9470"}`, "10+0x35"},
				{`soakd_load_factor_ratio{job="soakd",instance="paused:9470"}`, "1+0x5 0+0x30"},
				// The circuit of this one is open: a hundredth of the rate is left, and by chance
				// a little less of it.
				{`soakd_arrivals_sent_total{job="soakd",instance="open:9470"}`, "0+5x35"},
				{`soakd_load_target_rate{job="soakd",instance="open:9470"}`, "10+0x35"},
				{`soakd_load_factor_ratio{job="soakd",instance="open:9470"}`, "0.01+0x35"},
				// The target of this one has asked everybody to stay away.
				{`soakd_arrivals_sent_total{job="soakd",instance="held:9470"}`, "0+600x5 3000+0x30"},
				{`soakd_load_target_rate{job="soakd",instance="held:9470"}`, "10+0x30"},
				{`soakd_load_factor_ratio{job="soakd",instance="held:9470"}`, "1+0x30"},
				{`soakd_load_held_users{job="soakd",instance="held:9470"}`, "0+0x4 20+0x30"},
				{`soakd_load_virtual_users{job="soakd",instance="held:9470"}`, "20+0x40"},
			},
		},
		closedQuiet()[0], closedQuiet()[1], closedQuiet()[2], closedQuiet()[3],
		nothing("SoakdNoTraffic"),
		{
			alert: "SoakdNoTraffic", kind: reset, at: "15m",
			series: [][2]string{{"soakd_arrivals_sent_total", "0+600x12 0+600x20"}, {"soakd_load_target_rate", "10+0x40"}, {"soakd_load_factor_ratio", "1+0x40"}},
		},

		{
			alert: "SoakdLate", kind: fires, at: "20m", pending: "9m", // 16 of 1000 in 50..100 ms
			series: lagBuckets("0+984x40", "0+1000x40"),
			want: []wanted{{
				summary:     "soakd soakd:9470 falls behind its own schedule",
				description: "One arrival in a hundred was noticed 68.75ms late or more (limit 50 ms). soakd is starved, and its latencies from the intended start hold that delay.",
			}},
		},
		{alert: "SoakdLate", kind: quiet, at: "20m", series: lagBuckets("0+990x40", "0+1000x40")}, // p99 50 ms
		nothing("SoakdLate"),
		{
			alert: "SoakdLate", kind: reset, at: "25m",
			series: lagBuckets("0+995x15 0+995x20", "0+1000x15 0+1000x20"),
		},

		{
			alert: "SoakdDropping", kind: fires, at: "8m",
			series: [][2]string{
				{`soakd_arrivals_dropped_total{reason="late"}`, "0+0x5 5+0x20"},
				{`soakd_arrivals_dropped_total{reason="shutdown"}`, "0+7x30"},
			},
			want: []wanted{{
				summary:     "soakd soakd:9470 drops arrivals",
				description: "About 5 arrivals were dropped in 10 minutes. Quantiles of that time are lower bounds, and no judgement can pass on it.",
			}},
		},
		{
			alert: "SoakdDropping", kind: quiet, at: "20m",
			series: [][2]string{
				{`soakd_arrivals_dropped_total{reason="late"}`, "3+0x30"}, // long ago
				{`soakd_arrivals_dropped_total{reason="shutdown"}`, "0+7x30"},
				{`soakd_arrivals_dropped_total{reason="retry_after"}`, "0+7x30"}, // as the target asked
			},
		},
		nothing("SoakdDropping"),
		{alert: "SoakdDropping", kind: reset, at: "12m", series: [][2]string{{`soakd_arrivals_dropped_total{reason="late"}`, "7+0x10 0+0x20"}}},

		{
			alert: "SoakdUnfit", kind: fires, at: "40m", pending: "18m", // late in all windows from minute 10 on, starved of CPU in two of six
			series: windowSeries("0+6x10 60+0x40", "0+0x10 6+6x40", [2]string{"late", "0+0x10 6+6x40"}, [2]string{"cpu", "0+2x50"}),
			want: []wanted{{
				labels:      map[string]string{"reason": "late"},
				summary:     "soakd soakd:9470 is not fit to judge its target: late",
				description: "100% of the windows of 10 minutes were not fit to pass a judgement for the reason late (limit 50%). soakd's log says what would help.",
			}},
			calm: []string{"10m"},
		},
		{alert: "SoakdUnfit", kind: quiet, at: "40m", series: windowSeries("0+3x50", "0+3x50", [2]string{"dropped", "0+3x50"}, [2]string{"paused", "0+0x50"})}, // half
		nothing("SoakdUnfit"),
		{alert: "SoakdUnfit", kind: reset, at: "27m", series: windowSeries("200+6x20 0+6x30", "100+0x20 0+0x30", [2]string{"late", "100+0x20 0+0x30"})},

		{
			alert: "SoakdOutOfPortsOrFiles", kind: fires, at: "8m", calm: []string{"4m", "20m"},
			series: [][2]string{
				{`soakd_http_dial_system_errors_total{kind="ports"}`, "0+0x5 5+0x20"},
				{`soakd_http_dial_system_errors_total{kind="files"}`, "0+0x30"},
			},
			want: []wanted{{
				labels:      map[string]string{"kind": "ports"},
				summary:     "soakd's own machine is out of ports",
				description: "About 5 connections of soakd:9470 failed in 10 minutes because its own machine had no ports left. They say nothing against the target.",
			}},
		},
		{
			alert: "SoakdOutOfPortsOrFiles", kind: quiet, at: "20m",
			series: [][2]string{
				{`soakd_http_dial_system_errors_total{kind="files"}`, "3+0x30"}, // long ago
				{"soakd_http_dial_errors_total", "0+60x30"},                     // the target refuses
			},
		},
		nothing("SoakdOutOfPortsOrFiles"),
		{alert: "SoakdOutOfPortsOrFiles", kind: reset, at: "12m", series: [][2]string{{`soakd_http_dial_system_errors_total{kind="files"}`, "7+0x10 0+0x20"}}},

		{
			alert: "SoakdCircuitOpen", kind: fires, at: "12m", pending: "9m", calm: []string{"22m"},
			series: circuitSeries("1+0x5 0.01+0x15 1+0x20", "1+0x5 0+0x15 1+0x20"),
			want: []wanted{{
				summary:     "soakd soakd:9470 has lowered its load for an unwell target",
				description: "soakd has sent less than was set for 5 minutes, 1% now, because too many requests failed. The load comes back in steps once the target answers rightly.",
			}},
		},
		{
			alert: "SoakdCircuitOpen", kind: quiet, at: "20m", series: slices.Concat(
				circuitSeries("1+0x5 0+0x30", "1+0x40"), // paused, and the circuit is closed
				[][2]string{ // a rate so low that the trickle is all of it
					{`soakd_load_factor_ratio{job="soakd",instance="slow:9470"}`, "1+0x40"},
					{`soakd_circuit_state{job="soakd",instance="slow:9470",state="closed"}`, "0+0x40"},
				},
			),
		},
		nothing("SoakdCircuitOpen"),
		{alert: "SoakdCircuitOpen", kind: reset, at: "11m", series: circuitSeries("1+0x5 0.01+0x2 1+0x20", "1+0x5 0+0x2 1+0x20")}, // restarted

		{
			alert: "SoakdHeld", kind: fires, at: "30m", pending: "14m", calm: []string{"10m"},
			series: [][2]string{{"soakd_load_held_users", "0+0x5 4+0x40"}, {"soakd_load_virtual_users", "20+0x50"}},
			want: []wanted{{
				summary:     "The target keeps soakd soakd:9470 away",
				description: "20% of the users were left alone over 10 minutes because the target asked for it with 429 or Retry-After (limit 10%). The load is not the one that was set.",
			}},
		},
		{alert: "SoakdHeld", kind: quiet, at: "30m", series: [][2]string{{"soakd_load_held_users", "2+0x40"}, {"soakd_load_virtual_users", "20+0x40"}}}, // a tenth
		nothing("SoakdHeld"),
		{
			alert: "SoakdHeld", kind: reset, at: "12m", // restarted: it knows of nobody any more
			series: [][2]string{{"soakd_load_held_users", "0+0x7 3+0x1 stale 0+0x30"}, {"soakd_load_virtual_users", "20+0x8 stale 20+0x30"}},
		},

		{
			alert: "SoakdProbeBlind", kind: fires, at: "10m", pending: "7m",
			series: [][2]string{
				{`soakd_probe_success{probe="redis"}`, "1+0x5 0+0x10"},
				{`soakd_probe_polls_total{probe="redis"}`, "0+12x20"},
				{`soakd_probe_polls_total{probe="postgres"}`, "_x6 0+0x20"}, // never polled: no success at all
				{`soakd_probe_success{probe="api"}`, "1+0x20"},
				{`soakd_probe_polls_total{probe="api"}`, "0+12x20"},
				// SoakdDependencyDown tells of these.
				{`soakd_probe_success{probe="endpoint/fx"}`, "0+0x20"},
				{`soakd_probe_polls_total{probe="dns/fx"}`, "0+0x20"},
			},
			want: []wanted{probeWanted("redis"), probeWanted("postgres")},
		},
		{
			alert: "SoakdProbeBlind", kind: quiet, at: "10m",
			series: [][2]string{
				{`soakd_probe_success{probe="redis"}`, "1+0x4 0 1+0x20"}, // one poll failed
				{`soakd_probe_polls_total{probe="redis"}`, "0+12x20"},
			},
		},
		nothing("SoakdProbeBlind"),
		{
			alert: "SoakdProbeBlind", kind: reset, at: "8m", // restarted: not polled yet at the first scrape
			series: [][2]string{
				{`soakd_probe_success{probe="redis"}`, "1+0x5 stale _ 1+0x20"},
				{`soakd_probe_polls_total{probe="redis"}`, "0+12x5 0+12x20"},
			},
		},

		{
			alert: "SoakdProbeFlapping", kind: fires, at: "45m", pending: "14m",
			series: pollSeries("0+12x60", "0+3x60"),
			want: []wanted{{
				labels:      map[string]string{"probe": "redis"},
				summary:     "soakd's redis probe fails again and again",
				description: "25% of the polls of the redis probe of soakd:9470 failed in whole or in part over 15 minutes (limit 10%). Its graphs have gaps.",
			}},
		},
		{alert: "SoakdProbeFlapping", kind: quiet, at: "45m", series: pollSeries("0+12x60", "0+1x60")}, // 8.3 %
		nothing("SoakdProbeFlapping"),
		{alert: "SoakdProbeFlapping", kind: reset, at: "45m", series: pollSeries("0+12x30 0+12x30", "200+0x30 0+0x30")},
	}
}

func absentWanted() wanted {
	return wanted{
		global: true, summary: "No soakd is being scraped",
		description: "Prometheus has seen no soakd at all for 10 minutes: it does not run, or no scrape configuration finds it. Remove these rules where no soak is meant to run.",
	}
}

func probeWanted(probe string) wanted {
	return wanted{
		labels:      map[string]string{"probe": probe},
		summary:     "soakd's " + probe + " probe reads nothing or only a part",
		description: "No poll of the " + probe + " probe of soakd:9470 has read all it should for 2 minutes. What it could not read is absent, so that alerts on it stay quiet.",
	}
}

func lagBuckets(below50ms, all string) [][2]string {
	return [][2]string{
		{`soakd_schedule_lag_seconds_bucket{le="0.05"}`, below50ms},
		{`soakd_schedule_lag_seconds_bucket{le="0.1"}`, all},
		{`soakd_schedule_lag_seconds_bucket{le="+Inf"}`, all},
	}
}

// windowSeries are the windows by verdict, and unfit ones by reason.
func windowSeries(fit, unfit string, reasons ...[2]string) [][2]string {
	all := [][2]string{{`soakd_windows_total{verdict="fit"}`, fit}, {`soakd_windows_total{verdict="unfit"}`, unfit}}
	for _, r := range reasons {
		all = append(all, [2]string{`soakd_windows_unfit_total{reason="` + r[0] + `"}`, r[1]})
	}
	return all
}

func circuitSeries(factor, closed string) [][2]string {
	return [][2]string{{"soakd_load_factor_ratio", factor}, {`soakd_circuit_state{state="closed"}`, closed}}
}

func pollSeries(polls, failures string) [][2]string {
	return [][2]string{{`soakd_probe_polls_total{probe="redis"}`, polls}, {`soakd_probe_failures_total{probe="redis",reason="timeout"}`, failures}}
}

func requestSeries(class, outcome, values string) [2]string {
	return [2]string{`soakd_http_requests_total{case="forecast",class="` + class + `",outcome="` + outcome + `",code="none"}`, values}
}

func latencyBuckets(class, case1, le1, below1, le2, all string) [][2]string {
	bucket := `soakd_http_response_time_seconds_bucket{case="` + case1 + `",class="` + class + `",le="`
	return [][2]string{{bucket + le1 + `"}`, below1}, {bucket + le2 + `"}`, all}, {bucket + `+Inf"}`, all}}
}

func trafficRuleTests() []ruleTest {
	replica := map[string]string{"replica": "api:8080"}
	return []ruleTest{
		{
			alert: "SoakdTargetErrorRatioHigh", kind: fires, at: "15m", pending: "5m",
			series: [][2]string{
				requestSeries("standard", "ok", "0+588x30"),
				requestSeries("standard", "server_error", "0+9x30"),
				requestSeries("standard", "connect", "_x8 3+3x30"), // a kind of failure that is new
			},
			want: []wanted{{
				summary:     "The target fails valid requests",
				description: "2% of the valid requests of soakd:9470 got no right answer over 5 minutes (limit 1%); 429 does not count. 'Outcomes other than ok' says which kind.",
			}},
		},
		{
			alert: "SoakdTargetErrorRatioHigh", kind: quiet, at: "15m",
			series: [][2]string{
				requestSeries("standard", "ok", "0+991x30"),
				requestSeries("standard", "timeout", "0+9x30"),
				requestSeries("standard", "rate_limited", "0+200x30"), // the target protects itself
				requestSeries("invalid", "server_error", "0+500x30"),  // another finding
			},
		},
		nothing("SoakdTargetErrorRatioHigh"),
		{
			alert: "SoakdTargetErrorRatioHigh", kind: reset, at: "25m",
			series: [][2]string{requestSeries("standard", "ok", "0+995x15 0+995x20"), requestSeries("standard", "server_error", "500+0x15 0+0x20")},
		},

		{
			alert: "SoakdTargetLatencyHigh", kind: fires, at: "20m", pending: "10m", // 20 of 1000 in 1..2.5 s: p99 in the middle
			series: latencyBuckets("standard", "forecast", "1", "0+980x40", "2.5", "0+1000x40"),
			want: []wanted{{
				labels:      map[string]string{"class": "standard"},
				summary:     "Class standard is slow",
				description: "p99 of class standard from the intended start is 1.75s (limit 1s). Look which resource of the API, Postgres or Redis moved at the same moment.",
			}},
		},
		{
			alert: "SoakdTargetLatencyHigh", kind: quiet, at: "20m",
			series: append(latencyBuckets("standard", "forecast", "1", "0+991x40", "2.5", "0+1000x40"),
				latencyBuckets("complex", "complex_analysis", "1", "0+10x40", "10", "0+1000x40")...),
		},
		nothing("SoakdTargetLatencyHigh"),
		{
			alert: "SoakdTargetLatencyHigh", kind: reset, at: "25m", // a slow time before the restart is over
			series: latencyBuckets("standard", "forecast", "1", "0+980x10 0+1000x20", "2.5", "0+1000x10 0+1000x20"),
		},

		{
			alert: "SoakdTargetCalculationLatencyHigh", kind: fires, at: "20m", pending: "10m",
			series: latencyBuckets("monte_carlo", "forecast_monte_carlo", "10", "0+980x40", "30", "0+1000x40"),
			want: []wanted{{
				labels:      map[string]string{"class": "monte_carlo"},
				summary:     "Calculations of class monte_carlo are slow",
				description: "p99 of class monte_carlo from the intended start is 20s (limit 10s). Look at the API's calculation threads and CPU.",
			}},
		},
		{
			alert: "SoakdTargetCalculationLatencyHigh", kind: quiet, at: "20m",
			series: append(latencyBuckets("monte_carlo", "forecast_monte_carlo", "10", "0+991x40", "30", "0+1000x40"),
				latencyBuckets("standard", "forecast", "10", "0+10x40", "30", "0+1000x40")...),
		},
		nothing("SoakdTargetCalculationLatencyHigh"),
		{
			alert: "SoakdTargetCalculationLatencyHigh", kind: reset, at: "25m",
			series: latencyBuckets("complex", "complex_analysis", "10", "0+980x10 0+1000x20", "30", "0+1000x10 0+1000x20"),
		},

		{
			alert: "SoakdTargetRestarted", kind: fires, at: "12m",
			series: [][2]string{{`soakd_api_restarts_total{replica="api:8080"}`, "0+0x10 1+0x20"}},
			want: []wanted{{
				labels: replica, summary: "The target restarted", description: restarted,
			}},
			calm: []string{"26m"},
		},
		{
			alert: "SoakdTargetRestarted", kind: fires, about: gap, at: "32m", calm: []string{"29m", "47m"},
			series: [][2]string{{`soakd_api_restarts_total{replica="api:8080"}`, overAGap("0", "1+0x40")}},
			want:   []wanted{{labels: replica, summary: "The target restarted", description: restarted}},
		},
		{alert: "SoakdTargetRestarted", kind: quiet, about: gap, at: "32m", series: [][2]string{{`soakd_api_restarts_total{replica="api:8080"}`, overAGap("2", "2+0x40")}}},
		{alert: "SoakdTargetRestarted", kind: quiet, at: "30m", series: [][2]string{{`soakd_api_restarts_total{replica="api:8080"}`, "2+0x60"}}},
		nothing("SoakdTargetRestarted"),
		{alert: "SoakdTargetRestarted", kind: reset, at: "12m", series: [][2]string{{`soakd_api_restarts_total{replica="api:8080"}`, "2+0x10 0+0x20"}}},
		{
			alert: "SoakdTargetRestarted", kind: reset, about: gap, at: "32m", calm: []string{"31m", "40m"},
			series: [][2]string{{`soakd_api_restarts_total{replica="api:8080"}`, overAGap("2", "0+0x40")}},
		},
	}
}

const (
	restarted = "About 1 restarts of the target's replica api:8080 in 15 minutes, as soakd:9470 saw it, or since it was last seen before that."
	// gap is an outage that is longer than the window of an increase.
	gap = "over a gap of 20 minutes"
)

// overAGap gives the values of a counter that was before until minute 10, is
// away for 20 minutes and comes back in minute 31 with the values after.
func overAGap(before, after string) string { return before + "+0x10 stale _x19 " + after }

// singleAnswer is what the tests of an alert about single answers need.
type singleAnswer struct {
	alert string
	// found is the counter of the finding.
	found string
	// always is the case's series that is there from the start.
	always string
	labels map[string]string
	// summary and description are for one finding.
	summary, description string
}

// tests covers both ways in which a counter comes into being with the value 1: of
// an old soakd (the recording goes from 0 to 1) and of a young one, which found
// it before it was first scraped.
func (f singleAnswer) tests() []ruleTest {
	one := wanted{labels: f.labels, summary: f.summary, description: f.description}
	const young = "young:9470"
	another := wanted{labels: map[string]string{"instance": young}, summary: f.summary, description: strings.ReplaceAll(f.description, testInstance, young)}
	maps.Copy(another.labels, f.labels)
	at := func(series string) string {
		return strings.Replace(series, "{", `{job="`+testJob+`",instance="`+young+`",`, 1) // a trailing comma is allowed
	}
	return []ruleTest{
		{
			alert: f.alert, kind: fires, about: gap, at: "32m", want: []wanted{one}, calm: []string{"47m"}, // soakd could not be scraped
			series: [][2]string{
				{f.always, overAGap("10", "10+10x40")},
				{f.found, "_x31 1+0x40"},
				{"process_start_time_seconds", overAGap("0", "0+0x40")},
			},
		},
		{
			alert: f.alert, kind: fires, at: "28m", want: []wanted{one, another},
			series: [][2]string{
				{f.always, "0+10x40"},
				{f.found, "_x25 1+0x15"},
				{"process_start_time_seconds", "0+0x40"},
				{at(f.always), "_x22 10+10x20"},
				{at(f.found), "_x22 1+0x20"},
				{at("process_start_time_seconds{}"), "_x22 1200+0x20"},
			},
		},
		{
			alert: f.alert, kind: quiet, at: "35m", // what was found is long ago
			series: [][2]string{{f.always, "0+10x40"}, {f.found, "_x5 4+0x40"}, {"process_start_time_seconds", "0+0x40"}},
		},
		nothing(f.alert),
		{
			alert: f.alert, kind: reset, at: "28m", // restarted at 21 min; found at 3 min
			series: [][2]string{{f.always, "0+10x20 0+10x20"}, {f.found, "_x3 4+0x17 stale"}, {"process_start_time_seconds", "0+0x20 1260+0x20"}},
		},
		{
			alert: f.alert, kind: reset, about: gap, at: "32m", calm: []string{"31m", "46m"},
			series: [][2]string{
				{f.always, overAGap("10", "0+10x40")},
				{f.found, "_x3 4+0x7 stale"},
				{"process_start_time_seconds", overAGap("0", "1200+0x40")},
			},
		},
	}
}

func findingCases() []singleAnswer {
	invalidCase := map[string]string{"case": "invalid_term"}
	always := `soakd_http_response_time_seconds_count{case="invalid_term",class="invalid"}`
	request := func(outcome, code string) string {
		return `soakd_http_requests_total{case="invalid_term",class="invalid",outcome="` + outcome + `",code="` + code + `"}`
	}
	check := func(name string) string {
		return `soakd_check_failures_total{case="get_scenario",check="` + name + `"}`
	}
	return []singleAnswer{
		{
			"SoakdInvalidInputAccepted", request("accepted_invalid", "200"), always, invalidCase,
			"The target accepts invalid input: invalid_term",
			"About 1 requests of case invalid_term were answered with 2xx in 15 minutes. They should have been refused.",
		},
		{
			"SoakdInvalidInputServerError", request("server_error", "500"), always, invalidCase,
			"Invalid input breaks the target: invalid_term",
			"About 1 requests of case invalid_term were answered with 5xx in 15 minutes. They should have been refused with 4xx.",
		},
		{
			"SoakdInternalsLeaked", request("leaked_internals", "500"), always, invalidCase,
			"The target shows its internals: invalid_term",
			"About 1 error answers of case invalid_term showed a stack trace, SQL or a path in 15 minutes. soakd's log has one of them.",
		},
		{
			"SoakdDataLost", check("scenario_found"), always, nil,
			"The target lost what was saved",
			"About 1 times in 15 minutes something saved through soakd:9470 was not there or not the same when read back. 'Failed checks' says which check.",
		},
		{
			"SoakdForeignDataShown", check("foreign_scenario"), always, nil,
			"The target shows one user's data to another",
			"About 1 answers to soakd:9470 in 15 minutes held a scenario of another user. Treat it as a breach until it is explained.",
		},
	}
}

func findingRuleTests() []ruleTest {
	var all []ruleTest
	for _, f := range findingCases() {
		all = append(all, f.tests()...)
	}
	return all
}

func postgresRuleTests() []ruleTest {
	const saturation = `soakd_postgres_connection_saturation_ratio{server="main"}`
	const blocked, oldestWait = `soakd_postgres_blocked_backends{server="main"}`, `soakd_postgres_lock_wait_oldest_seconds{server="main"}`
	const deadlocks = `soakd_postgres_deadlocks_total{server="main",database="app"}`
	const recovery, receiver = `soakd_postgres_in_recovery{server="main"}`, `soakd_postgres_wal_receiver_up{server="main"}`
	const lag = `soakd_postgres_replication_lag_seconds{server="main"}`
	main := map[string]string{"server": "main"}
	deadlocksWanted := []wanted{{
		labels:      map[string]string{"server": "main", "database": "app"},
		summary:     "Postgres main broke deadlocks",
		description: "About 2 deadlocks in database app of Postgres main in 15 minutes, or since it was last seen before that, each of which failed a transaction. Two code paths take the same locks in another order.",
	}}
	blockedWanted := []wanted{{
		labels:      main,
		summary:     "Connections to Postgres main wait for locks at each look",
		description: "3 connections to Postgres main wait for a lock, and at each look for a minute there were some. Before Postgres 14 nobody can tell whether it is one long wait or many short ones.",
	}}
	return []ruleTest{
		{
			alert: "SoakdPostgresConnectionsHigh", kind: fires, at: "10m", pending: "7m", series: [][2]string{{saturation, "0.5+0x2 0.82+0x20"}},
			want: []wanted{{
				labels:      main,
				summary:     "Postgres main is running out of connections",
				description: "82% of the connections that Postgres main has for ordinary roles are taken (limit 80%). At 100% the API cannot connect.",
			}},
		},
		{alert: "SoakdPostgresConnectionsHigh", kind: quiet, at: "10m", series: [][2]string{{saturation, "0.8+0x6 0.9 0.79+0x20"}}},
		nothing("SoakdPostgresConnectionsHigh"),
		{alert: "SoakdPostgresConnectionsHigh", kind: reset, at: "8m", series: [][2]string{{saturation, "0.9+0x3 _x2 0.1+0x20"}}}, // Postgres restarted

		{
			alert: "SoakdPostgresConnectionsExhausted", kind: fires, at: "10m", pending: "6m", series: [][2]string{{saturation, "0.5+0x5 0.96+0x20"}},
			want: []wanted{{
				labels:      main,
				summary:     "Postgres main has hardly any connection left",
				description: "96% of the connections that Postgres main has for ordinary roles are taken (limit 95%). New connections of the API fail or are about to.",
			}},
		},
		{alert: "SoakdPostgresConnectionsExhausted", kind: quiet, at: "10m", series: [][2]string{{saturation, "0.95+0x20"}}},
		nothing("SoakdPostgresConnectionsExhausted"),
		{alert: "SoakdPostgresConnectionsExhausted", kind: reset, at: "6m", series: [][2]string{{saturation, "1+0x3 _x2 0.1+0x20"}}},

		{
			alert: "SoakdPostgresBlocked", kind: fires, at: "10m", calm: []string{"7m"}, // 60 s then, and 180 s at 9 m
			series: [][2]string{{blocked, "0+0x5 3+0x20"}, {oldestWait, "_x6 0+60x20"}},
			want: []wanted{{
				labels:      main,
				summary:     "A connection to Postgres main waits for a lock",
				description: "A connection to Postgres main has waited for a lock for 4m 0s (limit 1 minute). Requests of the API stand still behind it.",
			}},
		},
		{
			alert: "SoakdPostgresBlocked", kind: quiet, about: "short waits at each look", at: "20m", calm: []string{"10m"},
			series: [][2]string{{blocked, "3+0x30"}, {oldestWait, "0.004+0x30"}},
		},
		{alert: "SoakdPostgresBlocked", kind: quiet, at: "20m", series: [][2]string{{blocked, "3+0x30"}, {oldestWait, "60+0x30"}}},
		nothing("SoakdPostgresBlocked"),
		{
			alert: "SoakdPostgresBlocked", kind: reset, at: "10m", // Postgres restarted, and its sessions are gone
			series: [][2]string{{blocked, "3+0x5 stale _x2 0+0x20"}, {oldestWait, "30+60x5 stale"}},
		},

		{
			alert: "SoakdPostgresBlockedAtEachLook", kind: fires, at: "10m", pending: "6m", series: [][2]string{{blocked, "0+0x5 3+0x20"}},
			want: blockedWanted,
		},
		{
			alert: "SoakdPostgresBlockedAtEachLook", kind: fires, about: "beside a server whose waits have an age", at: "10m", pending: "6m",
			series: [][2]string{
				{blocked, "0+0x5 3+0x20"},
				{`soakd_postgres_blocked_backends{server="newer"}`, "3+0x20"},
				{`soakd_postgres_lock_wait_oldest_seconds{server="newer"}`, "0.004+0x20"},
			},
			want: blockedWanted,
		},
		{
			alert: "SoakdPostgresBlockedAtEachLook", kind: quiet, about: "waits have an age", at: "20m", calm: []string{"6m"},
			series: [][2]string{{blocked, "3+0x30"}, {oldestWait, "0.004+0x3 stale _x2 0.004+0x30"}}, // but at their first moment
		},
		{alert: "SoakdPostgresBlockedAtEachLook", kind: quiet, at: "10m", series: [][2]string{{blocked, "0+0x9 3 0+0x20"}}}, // for a moment
		{
			// Beside one that is older than 14 another server, whose waits have an age.
			alert: "SoakdPostgresBlockedAtEachLook", kind: quiet, about: "of the other server", at: "10m",
			series: [][2]string{
				{blocked, "0+0x20"},
				{`soakd_postgres_blocked_backends{server="replica"}`, "3+0x20"},
				{`soakd_postgres_lock_wait_oldest_seconds{server="replica"}`, "0.004+0x20"},
			},
		},
		nothing("SoakdPostgresBlockedAtEachLook"),
		{alert: "SoakdPostgresBlockedAtEachLook", kind: reset, at: "10m", series: [][2]string{{blocked, "3+0x5 stale _x2 0+0x20"}}},

		{
			alert: "SoakdPostgresIdleInTransaction", kind: fires, at: "10m",
			series: [][2]string{
				{`soakd_postgres_idle_in_transaction_oldest_seconds{server="main"}`, "_x5 30+30x20"},
				{`soakd_postgres_backends{server="main",application="cashflow-api",state="idle_in_transaction"}`, "0+0x4 1+0x20"},
			},
			want: []wanted{{
				labels:      main,
				summary:     "A transaction of Postgres main is held open by a connection that does nothing",
				description: "A connection to Postgres main has been idle in a transaction for 3m 0s (limit 1 minute). It keeps its locks, and dead rows cannot be removed.",
			}},
		},
		{
			alert: "SoakdPostgresIdleInTransaction", kind: quiet, at: "10m",
			series: [][2]string{
				{`soakd_postgres_idle_in_transaction_oldest_seconds{server="main"}`, "60+0x20"},
				{`soakd_postgres_backends{server="main",application="cashflow-api",state="idle_in_transaction"}`, "1+0x20"},
				// An instance where nothing is idle in a transaction.
				{`soakd_postgres_backends{job="soakd",instance="b:9470",server="main",application="cashflow-api",state="idle_in_transaction"}`, "0+0x20"},
			},
		},
		nothing("SoakdPostgresIdleInTransaction"),
		{
			alert: "SoakdPostgresIdleInTransaction", kind: reset, at: "10m", // the API restarted and its connections are gone
			series: [][2]string{
				{`soakd_postgres_idle_in_transaction_oldest_seconds{server="main"}`, "30+30x5 stale"},
				{`soakd_postgres_backends{server="main",application="cashflow-api",state="idle_in_transaction"}`, "1+0x5 0+0x20"},
			},
		},

		{
			alert: "SoakdPostgresDeadlocks", kind: fires, at: "8m", series: [][2]string{{deadlocks, "0+0x5 2+0x20"}},
			want: deadlocksWanted, calm: []string{"22m"},
		},
		{
			alert: "SoakdPostgresDeadlocks", kind: fires, about: gap, at: "32m", calm: []string{"29m", "47m"},
			series: [][2]string{{deadlocks, overAGap("3", "5+0x40")}}, want: deadlocksWanted,
		},
		{
			alert: "SoakdPostgresDeadlocks", kind: fires, about: "after a reset", at: "15m",
			series: [][2]string{{deadlocks, "7+0x10 0+0x2 2+0x20"}}, want: deadlocksWanted,
		},
		{alert: "SoakdPostgresDeadlocks", kind: quiet, at: "20m", series: [][2]string{{deadlocks, "7+0x40"}}},
		{alert: "SoakdPostgresDeadlocks", kind: quiet, about: gap, at: "32m", series: [][2]string{{deadlocks, overAGap("7", "7+0x40")}}},
		nothing("SoakdPostgresDeadlocks"),
		{alert: "SoakdPostgresDeadlocks", kind: reset, at: "12m", series: [][2]string{{deadlocks, "7+0x10 0+0x20"}}}, // pg_stat_reset
		{alert: "SoakdPostgresDeadlocks", kind: reset, about: gap, at: "32m", series: [][2]string{{deadlocks, overAGap("7", "2+0x40")}}, calm: []string{"31m", "46m"}},

		{
			alert: "SoakdPostgresReplicationLag", kind: fires, at: "15m", pending: "10m",
			series: [][2]string{{lag, "0+0x5 45+0x20"}},
			want: []wanted{{
				labels:      main,
				summary:     "Postgres main or one of its replicas is behind",
				description: "Postgres main, or the furthest of its replicas, is 45s behind its primary (limit 30s). What is read from it is that old.",
			}},
		},
		{
			alert: "SoakdPostgresReplicationLag", kind: quiet, at: "15m",
			series: [][2]string{
				{lag, "30+0x30"},
				{`soakd_postgres_replicas{job="soakd",instance="alone:9470",server="main"}`, "0+0x30"}, // a primary without replicas
			},
		},
		nothing("SoakdPostgresReplicationLag"),
		{alert: "SoakdPostgresReplicationLag", kind: reset, at: "15m", series: [][2]string{{lag, "45+0x4 _x2 0+0x30"}}},

		{
			alert: "SoakdPostgresReplicaCutOff", kind: fires, at: "10m", pending: "7m",
			series: [][2]string{{recovery, "1+0x20"}, {receiver, "1+0x5 0+0x20"}},
			want: []wanted{{
				labels:      main,
				summary:     "Postgres main is cut off from its primary",
				description: "The replica main that soakd:9470 watches has received nothing from its primary for 2 minutes. It goes on answering with what it had, and no lag tells.",
			}},
		},
		{
			alert: "SoakdPostgresReplicaCutOff", kind: quiet, at: "15m", calm: []string{"7m"},
			series: [][2]string{
				{recovery, "1+0x20"},
				{receiver, "1+0x5 0 0 1+0x20"}, // the primary restarted
				{`soakd_postgres_in_recovery{job="soakd",instance="primary:9470",server="main"}`, "0+0x20"},
				{`soakd_postgres_in_recovery{job="soakd",instance="unreadable:9470",server="main"}`, "1+0x20"}, // no right to see its receiver
			},
		},
		nothing("SoakdPostgresReplicaCutOff"),
		{
			alert: "SoakdPostgresReplicaCutOff", kind: reset, at: "15m", // the replica was restarted, then promoted
			series: [][2]string{{recovery, "1+0x5 stale _x2 1+0x2 0+0x20"}, {receiver, "0+0x5 stale _x2 0+0x1 stale"}},
		},
	}
}

func redisRuleTests() []ruleTest {
	const (
		used     = `soakd_redis_memory_used_bytes{node="redis:6379"}`
		limit    = `soakd_redis_memory_limit_bytes{node="redis:6379"}`
		evicted  = `soakd_redis_evicted_keys_total{node="redis:6379"}`
		rejected = `soakd_redis_rejected_connections_total{node="redis:6379"}`
		changes  = `soakd_redis_server_changes_total{node="redis:6379"}`
	)
	node := map[string]string{"node": "redis:6379"}
	memoryWanted := []wanted{{
		labels: node, summary: "Redis redis:6379 is nearly full",
		description: "Redis redis:6379 uses 95% of its memory limit (limit 90%), and its policy is none that may evict any key. When nothing is left that it may evict, it refuses writes.",
	}}
	rejectedWanted := []wanted{{
		labels: node, summary: "Redis redis:6379 refuses clients",
		description: "Redis redis:6379 refused about 3 connections in 15 minutes, or since it was last seen before that, because maxclients was reached. Requests of the API run without its cache.",
	}}
	return []ruleTest{
		{
			alert: "SoakdRedisMemoryHigh", kind: fires, at: "15m", pending: "12m", series: [][2]string{{used, "50+0x2 95+0x20"}, {limit, "100+0x30"}},
			want: memoryWanted,
		},
		{
			alert: "SoakdRedisMemoryHigh", kind: fires, about: "policies that spare keys", at: "15m", pending: "12m",
			series: [][2]string{
				{used, "50+0x2 95+0x20"},
				{limit, "100+0x30"},
				{policy("redis:6379", "allkeys-lru"), "1+0x3 stale"}, // it was changed
				{policy("redis:6379", "volatile-lru"), "_x4 1+0x30"},
				{policy("other:6379", "allkeys-lru"), "1+0x30"}, // another node's
			},
			want: memoryWanted,
		},
		{
			alert: "SoakdRedisMemoryHigh", kind: quiet, about: "a full cache", at: "25m", calm: []string{"15m"},
			series: [][2]string{{used, "98+0x30"}, {limit, "100+0x30"}, {policy("redis:6379", "allkeys-lru"), "1+0x30"}},
		},
		{
			alert: "SoakdRedisMemoryHigh", kind: quiet, at: "15m",
			series: [][2]string{
				{used, "90+0x30"},
				{limit, "100+0x30"},
				{`soakd_redis_memory_used_bytes{node="unlimited:6379"}`, "1000000+0x30"}, // maxmemory 0: no limit metric
			},
		},
		nothing("SoakdRedisMemoryHigh"),
		{alert: "SoakdRedisMemoryHigh", kind: reset, at: "15m", series: [][2]string{{used, "95+0x8 1+0x20"}, {limit, "100+0x30"}}}, // restarted, empty

		{
			alert: "SoakdRedisHitRatioFell", kind: fires, at: "145m", pending: "76m", calm: []string{"60m"},
			series: lookups("0+90x65 5904+54x90", "0+10x65 696+46x90"), // 0.9 for 65 minutes, then 0.54 for longer
			want: []wanted{{
				labels: node, summary: "The hit ratio of Redis redis:6379 fell by a third",
				description: "Over 10 minutes the hit ratio of Redis redis:6379 was 60% of its median in the hours before (limit 66.7%). The API calculates again what it had.",
			}},
		},
		{
			alert: "SoakdRedisHitRatioFell", kind: quiet, about: "by less than a third", at: "110m", calm: []string{"100m", "130m"},
			series: lookups("0+90x90 8161+61x60", "0+10x90 939+39x60"), // 0.9, then 0.61
		},
		{
			alert: "SoakdRedisHitRatioFell", kind: quiet, about: "a cold cache", // 0 to 0.6 in 20 minutes
			at: "25m", calm: []string{"10m", "15m", "20m", "30m", "45m", "61m", "70m", "80m", "100m"},
			series: lookups("0+0x4 15+15x3 90+30x3 225+45x3 420+60x100", "0+100x4 485+85x3 810+70x3 1075+55x3 1280+40x100"),
		},
		{
			alert: "SoakdRedisHitRatioFell", kind: quiet, about: "a new soak", at: "58m", // 0.9 for 40 minutes, then 0.3
			series: lookups("0+90x40 3630+30x40", "0+10x40 470+70x40"),
		},
		{
			alert: "SoakdRedisHitRatioFell", kind: quiet, about: "a soak after a pause on a cold cache", at: "185m", calm: []string{"200m"},
			series: lookups("0+90x60 stale _x99 5420+20x60", "0+10x60 stale _x99 680+80x60"),
		},
		{
			alert: "SoakdRedisHitRatioFell", kind: quiet, about: "low with spikes", // 4 of 1000, 5 minutes of 300 of 1000, 4 of 1000
			at: "110m", calm: []string{"80m", "95m", "100m", "130m"},
			series: lookups("0+4x80 620+300x4 1824+4x60", "0+996x80 80380+700x4 84176+996x60"),
		},
		{
			alert: "SoakdRedisHitRatioFell", kind: quiet, about: "low", at: "110m", // 0.1, then 0.01
			series: lookups("0+10x90 901+1x60", "0+90x90 8199+99x60"),
		},
		{
			alert: "SoakdRedisHitRatioFell", kind: quiet, about: "nothing is looked up any more", at: "120m",
			series: lookups("0+90x90 8100+0x60", "0+10x90 900+0x60"),
		},
		nothing("SoakdRedisHitRatioFell"),
		{
			alert: "SoakdRedisHitRatioFell", kind: reset, at: "110m", calm: []string{"93m", "100m"}, // RESETSTAT, and as before
			series: lookups("0+90x90 0+90x60", "0+10x90 0+10x60"),
		},

		{
			alert: "SoakdRedisEvictionsStarted", kind: fires, at: "85m", series: [][2]string{{evicted, "0+0x83 1+1x20"}},
			want: []wanted{{
				labels: node, summary: "Redis redis:6379 began to evict keys",
				description: "Redis redis:6379 evicted about 2 keys in 10 minutes and none in the hour before. The working set has outgrown maxmemory.",
			}},
		},
		{
			alert: "SoakdRedisEvictionsStarted", kind: fires, about: "long after a fail-over", at: "85m",
			series: [][2]string{{evicted, "0+0x83 1+1x20"}, {changes, "0+0x10 1+0x100"}},
			want: []wanted{{
				labels: node, summary: "Redis redis:6379 began to evict keys",
				description: "Redis redis:6379 evicted about 2 keys in 10 minutes and none in the hour before. The working set has outgrown maxmemory.",
			}},
		},
		{
			alert: "SoakdRedisEvictionsStarted", kind: quiet, at: "85m",
			series: [][2]string{
				{evicted, "0+10x100"}, // as always
				{`soakd_redis_evicted_keys_total{node="new:6379"}`, "_x80 1000+10x20"}, // not known before
			},
		},
		{
			alert: "SoakdRedisEvictionsStarted", kind: quiet, about: "a cache that fills for the first time", // after 40 and after 60 minutes
			at: "45m", calm: []string{"41m", "50m", "55m", "62m", "66m", "69m"},
			series: [][2]string{{evicted, "0+0x40 10+10x60"}, {`soakd_redis_evicted_keys_total{node="later:6379"}`, "0+0x60 10+10x60"}},
		},
		{
			alert: "SoakdRedisEvictionsStarted", kind: quiet, about: "another server at the address", at: "85m", calm: []string{"84m", "92m", "100m"},
			series: [][2]string{{evicted, "0+0x83 1000+0x40"}, {changes, "0+0x83 1+0x40"}},
		},
		nothing("SoakdRedisEvictionsStarted"),
		{alert: "SoakdRedisEvictionsStarted", kind: reset, at: "75m", series: [][2]string{{evicted, "500+0x70 0+0x30"}}}, // restarted

		{
			alert: "SoakdRedisRejectedConnections", kind: fires, at: "12m", series: [][2]string{{rejected, "0+0x10 3+0x20"}},
			want: rejectedWanted, calm: []string{"27m"},
		},
		{
			alert: "SoakdRedisRejectedConnections", kind: fires, about: gap, at: "32m", calm: []string{"29m", "47m"},
			series: [][2]string{{rejected, overAGap("0", "3+0x40")}}, want: rejectedWanted,
		},
		{alert: "SoakdRedisRejectedConnections", kind: quiet, at: "20m", series: [][2]string{{rejected, "3+0x40"}}},
		{alert: "SoakdRedisRejectedConnections", kind: quiet, about: gap, at: "32m", series: [][2]string{{rejected, overAGap("3", "3+0x40")}}},
		{
			alert: "SoakdRedisRejectedConnections", kind: quiet, about: "another server at the address", at: "12m", calm: []string{"11m", "20m", "26m", "30m"},
			series: [][2]string{{rejected, "3+0x10 500+0x40"}, {changes, "0+0x10 1+0x40"}},
		},
		nothing("SoakdRedisRejectedConnections"),
		{alert: "SoakdRedisRejectedConnections", kind: reset, at: "12m", series: [][2]string{{rejected, "3+0x10 0+0x20"}}},
		{alert: "SoakdRedisRejectedConnections", kind: reset, about: gap, at: "32m", series: [][2]string{{rejected, overAGap("3", "0+0x40")}}, calm: []string{"31m", "46m"}},
	}
}

// policy is the series of a node's policy.
func policy(node, name string) string {
	return `soakd_redis_maxmemory_policy{node="` + node + `",policy="` + name + `"}`
}

// lookups are the counters behind the hit ratio.
func lookups(hits, misses string) [][2]string {
	return [][2]string{{`soakd_redis_keyspace_hits_total{node="redis:6379"}`, hits}, {`soakd_redis_keyspace_misses_total{node="redis:6379"}`, misses}}
}

func dependencyRuleTests() []ruleTest {
	const (
		fx      = `soakd_probe_success{probe="endpoint/fx"}`
		own     = `soakd_certificate_expiry_timestamp_seconds{probe="certificate/api",of="leaf"}`
		shown   = `soakd_certificate_expiry_timestamp_seconds{probe="certificate/api",of="shown"}`
		mail    = `soakd_tcp_certificate_expiry_timestamp_seconds{probe="tcp/mail"}`
		partner = `soakd_endpoint_certificate_expiry_timestamp_seconds{probe="endpoint/fx"}`
	)
	down := func(probe string) wanted {
		return wanted{
			labels: map[string]string{"probe": probe}, summary: probe + " does not answer as it should",
			description: "For 5 minutes the probe " + probe + " of soakd:9470 has got no answer, or not the one that is wanted. 'Why they fail' says which.",
		}
	}
	expires := func(probe, left string) wanted {
		return wanted{
			labels: map[string]string{"probe": probe}, summary: "A certificate that " + probe + " is shown expires soon",
			description: "A certificate that the probe " + probe + " of soakd:9470 is shown has " + left + " left (limit 14d); below 0 it has expired. From then on clients refuse to connect.",
		}
	}
	return []ruleTest{
		{
			alert: "SoakdDependencyDown", kind: fires, at: "12m", pending: "9m", calm: []string{"22m"},
			series: [][2]string{
				{fx, "1+0x5 0+0x12 1+0x10"},
				{`soakd_probe_success{probe="dns/fx"}`, "1+0x30"},
				{`soakd_probe_success{probe="postgres"}`, "0+0x30"},                     // SoakdProbeBlind tells of it
				{`soakd_probe_polls_total{probe="exporter/queue"}`, "_x6 0+0x11 stale"}, // never polled: no success at all
			},
			want: []wanted{down("endpoint/fx"), down("exporter/queue")},
		},
		{
			alert: "SoakdDependencyDown", kind: quiet, at: "12m", calm: []string{"20m"},
			series: [][2]string{{fx, "1+0x5 0+0x4 1+0x20"}, {`soakd_probe_success{probe="redis/cache"}`, "0+0x30"}},
		},
		nothing("SoakdDependencyDown"),
		{
			alert: "SoakdDependencyDown", kind: reset, at: "12m", // restarted: not polled yet at the first scrape
			series: [][2]string{{fx, "1+0x5 stale _ 1+0x20"}, {`soakd_probe_polls_total{probe="endpoint/fx"}`, "0+12x5 0+12x20"}},
		},

		{
			// 14 days are 1209600 s: the first is below them after 5 minutes.
			alert: "SoakdCertificateExpires", kind: fires, at: "10m", calm: []string{"5m"},
			series: [][2]string{
				{own, "9000000+0x30"},
				{shown, "1209900+0x30"}, // another that goes with it
				{mail, "_x6 300+0x30"},  // it has expired
				{partner, "9000000+0x30"},
			},
			want: []wanted{expires("certificate/api", "13d 23h 55m 0s"), expires("tcp/mail", "-5m 0s")},
		},
		{
			alert: "SoakdCertificateExpires", kind: quiet, at: "10m",
			series: [][2]string{{own, "1210200+0x30"}, {shown, "1210200+0x30"}, {mail, "1210200+0x30"}, {partner, "1210200+0x30"}}, // 14 days
		},
		nothing("SoakdCertificateExpires"),
		{
			alert: "SoakdCertificateExpires", kind: reset, at: "12m", // soakd restarted and the certificate was renewed
			series: [][2]string{{partner, "1209900+0x8 stale _ 9000000+0x20"}, {mail, "9000000+0x5 stale _ 9000000+0x20"}},
		},
	}
}
