package exporter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"soakd/internal/probes"
)

// Definition describes one metric as METRICS.md and the registry know it.
type Definition struct {
	Name string
	// Type is "counter", "gauge" or "histogram".
	Type   string
	Labels []string
	Help   string
	// Source is what the metric is about: "traffic", "soakd", or a probe's name.
	Source string
}

// The metrics that do not come from a probe, each named in one place.
//
//nolint:gochecknoglobals // never changed: the table of metrics
var (
	arrivalsScheduled   = traffic("soakd_arrivals_scheduled_total", "counter", "Arrivals that have fallen due. Always scheduled = sent + waiting + dropped.")
	arrivalsSent        = traffic("soakd_arrivals_sent_total", "counter", "Arrivals that were sent as a request.")
	arrivalsWaiting     = traffic("soakd_arrivals_waiting", "gauge", "Arrivals that have fallen due and wait for a free place in flight.")
	arrivalsDropped     = traffic("soakd_arrivals_dropped_total", "counter", "Arrivals that were never sent, by reason. Dropped arrivals are missing slow ones: quantiles of a time with drops are lower bounds.", "reason")
	arrivalsSubstituted = traffic("soakd_arrivals_substituted_total", "counter", "Arrivals of a case that were made with another case: no user may have the limited case again yet (limit), or the user has nothing saved to ask for (no_state).", "case", "reason")
	requests            = traffic("soakd_http_requests_total", "counter", "Requests that came to an end, by case, outcome and HTTP status (none when there was no answer).", "case", "class", "outcome", "code")
	requestsCut         = traffic("soakd_http_requests_cut_total", "counter", "Requests given up at the end of the grace period when soakd was stopped; they are in no other request metric but the sent arrivals.")
	responseTime        = traffic("soakd_http_response_time_seconds", "histogram", "Time from the moment the arrival was due to the end of the answer: what a user would have felt. Requests without an answer count when they timed out.", "case", "class")
	requestDuration     = traffic("soakd_http_request_duration_seconds", "histogram", "Time from the send to the end of the answer: what the target took. Requests without an answer count when they timed out.", "case", "class")
	checkFailures       = traffic("soakd_check_failures_total", "counter", "Checks that answers failed, by case and check: those of the case on answers with a right status, and status, response_size and http_protocol on any. One answer may fail several.", "case", "check")
	inFlight            = traffic("soakd_http_in_flight_requests", "gauge", "Requests that were sent and have not come to an end.")
	targetRate          = traffic("soakd_load_target_rate", "gauge", "Arrivals a second that the schedule aims at now: of this shard, where there are several.")
	loadPhase           = traffic("soakd_load_phase", "gauge", "1 for the phase of the schedule, 0 for the others: rising, steady, falling (the rate, or in closed mode the users), ended. A pause or the circuit changes nothing. Absent before the first arrival.", "phase")
	runInfo             = traffic("soakd_run_info", "gauge", "1, with what this soakd sends to whom: the target's name (SOAKD_TARGET_NAME, else its host and port), the load model, the shape that is set, the workload, and which shard of how many it is.", "target", "model", "shape", "workload", "shard")
	virtualUsers        = traffic("soakd_load_virtual_users", "gauge", "Virtual users, each with an identity and saved scenarios of its own.")
	scheduleLag         = traffic("soakd_schedule_lag_seconds", "histogram", "Time from the moment an arrival was due to the moment soakd had noticed. It grows when soakd itself is starved.")
	connectionsOpened   = traffic("soakd_http_connections_opened_total", "counter", "Connections made to the target.")
	connectionsReused   = traffic("soakd_http_connections_reused_total", "counter", "Requests that found a connection already open.")
	bytesSent           = traffic("soakd_http_sent_bytes_total", "counter", "Bytes written to the connections to the target, headers included.")
	bytesReceived       = traffic("soakd_http_received_bytes_total", "counter", "Bytes read from the connections to the target, headers included.")

	connectionsOpen  = traffic("soakd_http_connections_open", "gauge", "Connections to the target that are open.")
	dialErrors       = traffic("soakd_http_dial_errors_total", "counter", "Attempts to connect to the target that failed, for whatever reason.")
	systemErrors     = traffic("soakd_http_dial_system_errors_total", "counter", "Failed attempts to connect for which soakd's own machine had no room, by what it ran out of: local ports, file descriptors (files), or memory for sockets. Not the target's fault.", "kind")
	loadFactor       = traffic("soakd_load_factor_ratio", "gauge", "Share of the schedule's rate that is sent, in closed mode of the users that are active: below 1 while the circuit is not closed, 0 while the load is paused. Users that the target keeps away are not taken off.")
	loadPaused       = traffic("soakd_load_paused", "gauge", "1 while somebody has paused the load, else 0.")
	heldUsers        = traffic("soakd_load_held_users", "gauge", "Virtual users that the target has asked to leave alone for now (429, Retry-After).")
	retryAfterHolds  = traffic("soakd_retry_after_holds_total", "counter", "How often the target was obeyed when it asked to be left alone, by one user (429) or by everybody (503, and 429 where all users are one to the target).", "scope")
	retryAfterCapped = traffic("soakd_retry_after_capped_total", "counter", "Those of these times at which the target asked for longer than SOAKD_RETRY_AFTER_MAX and got only that.")
	circuitState     = traffic("soakd_circuit_state", "gauge", "1 for the state of the circuit, 0 for the others: closed (the whole load flows, also where there is no circuit), open (a trickle is left for a target that fails too many requests), recovering (the load comes back in steps).", "state")
	circuitStep      = traffic("soakd_circuit_step", "gauge", "Step of the circuit's recovery, from 1; 0 while it does not recover.")
	circuitTrips     = traffic("soakd_circuit_trips_total", "counter", "How often the circuit opened because too many requests failed.")
	circuitRelapses  = traffic("soakd_circuit_relapses_total", "counter", "How often a step of the recovery went wrong and the load fell to the trickle again.")

	windows      = own("soakd_windows_total", "counter", "Windows of 10 s in which soakd judged its own work, by verdict: fit or unfit to judge the target by.", "verdict")
	windowsUnfit = own("soakd_windows_unfit_total", "counter", "Windows that were not fit to judge the target by, by reason; a window may have several. stalled: soakd stood still; dropped: arrivals were dropped or requests cut; late, cpu: soakd was starved; ports, files, memory: its machine ran out of them; throttled: less was sent for the target's sake; paused: somebody paused the load.", "reason")
	windowFit    = own("soakd_window_fit", "gauge", "1 when the latest window was fit to judge the target by, else 0. Absent before the first window.")
	windowCPU    = own("soakd_window_cpu_ratio", "gauge", "Share of the CPUs that soakd may use that it used in the latest window. Absent before the first window and where it is not known.")

	probeSuccess     = own("soakd_probe_success", "gauge", "1 when the latest poll of the probe read all it should and is not stale, else 0. Absent before the first poll.", "probe")
	probeDuration    = own("soakd_probe_duration_seconds", "gauge", "How long the latest poll of the probe took.", "probe")
	probeLastSuccess = own("soakd_probe_last_success_timestamp_seconds", "gauge", "Unix time at which the probe last succeeded. Absent when it never did.", "probe")
	probePolls       = own("soakd_probe_polls_total", "counter", "Polls of the probe, whatever their end.", "probe")
	probeFailures    = own("soakd_probe_failures_total", "counter", "Polls of the probe that failed in whole or in part, by reason: dns, connect, tls, timeout, reset (the way there), auth, permission (its rights), unavailable (it says that it cannot serve), protocol (no answer of its kind), missing (what is configured is not there), check (not the wanted answer), hung, panic (soakd's own trouble), other.", "probe", "reason")
	probeFailing     = own("soakd_probe_failing", "gauge", "1 for the reason why the latest poll of the probe failed; absent when it did not. The reasons are those of soakd_probe_failures_total.", "probe", "reason")
	probeQueries     = own("soakd_probe_queries_total", "counter", "Queries, commands or requests that the probe sent to what it watches: what watching costs.", "probe")
	probeQueryTime   = own("soakd_probe_query_seconds_total", "counter", "Time that what the probe watches took to answer these.", "probe")
	labelOverflow    = own("soakd_label_overflow_total", "counter", "Label values that were folded into other because they are not configured or known, by the part of soakd that met them.", "source")
)

func traffic(name, kind, help string, labels ...string) Definition {
	return Definition{Name: name, Type: kind, Labels: labels, Help: help, Source: "traffic"}
}

func own(name, kind, help string, labels ...string) Definition {
	return Definition{Name: name, Type: kind, Labels: labels, Help: help, Source: "soakd"}
}

func (d Definition) desc() *prometheus.Desc {
	return prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
}

// fromTraffic reports whether the metric is read from the load engine, its client
// and its recorder, or from what is judged of their work.
func (d Definition) fromTraffic() bool {
	return d.Source == "traffic" || slices.Contains([]string{labelOverflow.Name, windows.Name, windowsUnfit.Name, windowFit.Name, windowCPU.Name}, d.Name)
}

func ownDefinitions() []Definition {
	return []Definition{
		arrivalsScheduled, arrivalsSent, arrivalsWaiting, arrivalsDropped, arrivalsSubstituted,
		requests, requestsCut, responseTime, requestDuration, checkFailures, inFlight, targetRate, loadPhase, runInfo, virtualUsers, scheduleLag,
		connectionsOpened, connectionsReused, bytesSent, bytesReceived, connectionsOpen, dialErrors, systemErrors,
		loadFactor, loadPaused, heldUsers, retryAfterHolds, retryAfterCapped, circuitState, circuitStep, circuitTrips, circuitRelapses,
		windows, windowsUnfit, windowFit, windowCPU,
		probeSuccess, probeDuration, probeLastSuccess, probePolls, probeFailures, probeFailing, probeQueries, probeQueryTime, labelOverflow,
	}
}

// fromProbe turns a probe's description into a definition.
func fromProbe(probe string, d *probes.Desc) Definition {
	kind := map[probes.ValueType]string{probes.Gauge: "gauge", probes.Counter: "counter", probes.Histogram: "histogram"}[d.Type]
	return Definition{Name: d.Name, Type: kind, Labels: d.Labels, Help: d.Help, Source: probes.KindOf(probe)}
}

// Definitions lists every metric of soakd with the given probes, in the order of
// METRICS.md: traffic, the judgement, the probes, soakd itself; by name within each. The
// metrics of the Go runtime, of the process and of the build are not listed.
func Definitions(all []probes.Probe) []Definition {
	definitions := slices.Concat(ownDefinitions(), historyDefinitions(), annotationDefinitions(), pushDefinitions(), judgementDefinitions())
	known := map[string]bool{}
	for _, probe := range all {
		for _, d := range probe.Describe() {
			if !known[d.Name] { // probes of one kind describe the same
				definitions = append(definitions, fromProbe(probe.Name(), d))
			}
			known[d.Name] = true
		}
	}
	rank := func(d Definition) int {
		return slices.Index([]string{"traffic", "judgement", "soakd"}, d.Source)
	}
	slices.SortStableFunc(definitions, func(a, b Definition) int {
		return cmp.Or(cmp.Compare(section(rank(a)), section(rank(b))), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name))
	})
	return definitions
}

// section puts traffic first, then the judgement, the probes (rank -1) and soakd
// itself.
func section(rank int) int {
	switch rank {
	case 0, 1:
		return rank
	case 2:
		return 3
	}
	return 2
}

// Markdown writes METRICS.md for the definitions.
func Markdown(definitions []Definition) string {
	var b strings.Builder
	b.WriteString("# Metrics\n\nWritten from the registry by `make docs`; a test keeps it current. Times are seconds, sizes bytes. A value that could not\n" +
		"be read is absent: never 0 and never the last one. The usual `go_*`, `process_*`, `promhttp_*` and `soakd_build_info` come with these.\n" +
		"Histograms are classic and native at once.\n")
	source := ""
	for _, d := range definitions {
		if d.Source != source {
			source = d.Source
			fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", title(source))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, quoted(d.Labels), strings.ReplaceAll(d.Help, "|", `\|`))
	}
	return b.String()
}

func title(source string) string {
	titles := map[string]string{"traffic": "Traffic", "judgement": "Judgement", "soakd": "soakd itself", "postgres": "Postgres", "redis": "Redis", "api": "API resources"}
	return cmp.Or(titles[source], source)
}

func quoted(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	return "`" + strings.Join(labels, "`, `") + "`"
}
