package dashboards

import "strings"

// What panels read in place of series that are many: the buckets and outcomes of
// every case. A panel over a day would otherwise go through millions of samples
// each time it is drawn; docs/performance.md has what that takes.
//
// Rates go over two minutes: that is enough for a Prometheus that scrapes once a
// minute, which is its default, and short enough that a minute in which one of a
// hundred requests is slow is still seen in p99.
const (
	responseBucketsByClass = "instance_class:soakd_http_response_time_seconds_bucket:rate2m"
	durationBucketsByClass = "instance_class:soakd_http_request_duration_seconds_bucket:rate2m"
	responseP50            = "instance:soakd_http_response_time_seconds:p50_rate2m"
	responseP95            = "instance:soakd_http_response_time_seconds:p95_rate2m"
	responseP99            = "instance:soakd_http_response_time_seconds:p99_rate2m"
	responseP50ByCase      = "instance_case:soakd_http_response_time_seconds:p50_rate2m"
	responseP99ByCase      = "instance_case:soakd_http_response_time_seconds:p99_rate2m"
	durationP99ByCase      = "instance_case:soakd_http_request_duration_seconds:p99_rate2m"
	requestsByCase         = "instance_case:soakd_http_requests:rate2m"
	// requestsByClass has outcome and code too, requestsByOutcome the outcome alone.
	requestsByClass   = "instance_class:soakd_http_requests:rate2m"
	requestsByOutcome = "instance_outcome:soakd_http_requests:rate2m"
	failedNow         = "instance:soakd_http_requests_failed:ratio_rate2m"
)

// What panels over days read: one value in two minutes, and what looks back over a day
// at each point.
const (
	// outcomesOfDays is requestsByOutcome at fewer moments, which leave out none.
	outcomesOfDays    = "instance_outcome:soakd_http_requests:rate2m_each2m"
	burnsOfMinutes    = "instance_slo_window:soakd_slo_burn_rate:max2m"
	sloEvents         = "instance_slo:soakd_slo_events:rate5m"
	sloBadEvents      = "instance_slo:soakd_slo_bad_events:rate5m"
	sloPromised       = "instance_slo:soakd_slo_objective_ratio:min"
	backends          = "instance_application:soakd_postgres_backends:sum"
	transactionAge    = "instance_server:soakd_postgres_oldest_transaction_seconds:max"
	recoveryMedian    = "instance_target:soakd_recovery_seconds:p50_increase1d"
	recoverySlowest   = "instance_target:soakd_recovery_seconds:p100_increase1d"
	outagesOfADay     = "instance_target:soakd_outages:increase1d"
	findingsOfADay    = "instance_kind:soakd_findings:increase1d"
	panelGroup        = "soakd.dashboards"
	panelGroupOfDays  = "soakd.dashboards.days"
	panelInterval     = "15s"
	panelIntervalDays = "2m"
)

// panelGroups are the groups of recordings that only panels read.
func panelGroups() []Group {
	return []Group{
		{Name: panelGroup, Interval: panelInterval, Recordings: panelRecordings()},
		{Name: panelGroupOfDays, Interval: panelIntervalDays, Recordings: panelRecordingsOfDays()},
	}
}

// perInstance adds the labels by which soakds are told apart.
func perInstance(labels ...string) []string { return append([]string{"job", "instance"}, labels...) }

func panelRecordings() []Recording {
	rate2m := func(metric string) string { return "rate(" + metric + "[2m])" }
	read := func(q, buckets string, by ...string) string {
		return "histogram_quantile(" + q + ", " + sum(buckets, append(perInstance(by...), "le")...) + ")"
	}
	total := sum(requestsByClass+"{"+valid+"}", perInstance()...)
	failed := sum(requestsByClass+"{"+valid+","+failing+"}", perInstance()...)
	return []Recording{
		{responseBucketsByClass, sum(rate2m(responseBuckets), perInstance("class", "le")...)},
		{durationBucketsByClass, sum(rate2m(durationBuckets), perInstance("class", "le")...)},
		{responseP50, read("0.5", responseBucketsByClass)},
		{responseP95, read("0.95", responseBucketsByClass)},
		{responseP99, read("0.99", responseBucketsByClass)},
		{responseP50ByCase, read("0.5", rate2m(responseBuckets), "class", "case")},
		{responseP99ByCase, read("0.99", rate2m(responseBuckets), "class", "case")},
		{durationP99ByCase, read("0.99", rate2m(durationBuckets), "class", "case")},
		{requestsByCase, sum(rate2m("soakd_http_requests_total"), perInstance("class", "case")...)},
		{requestsByClass, sum(rate2m("soakd_http_requests_total"), perInstance("class", "outcome", "code")...)},
		{requestsByOutcome, sum(requestsByClass, perInstance("outcome")...)},
		// Absent, and not NaN, while nothing is sent; 0 while nothing has failed.
		{failedNow, share(orZero(failed, total), total)},
	}
}

func panelRecordingsOfDays() []Recording {
	ofADay := func(metric string, by ...string) string {
		return sum("increase("+metric+"[1d])", perInstance(by...)...)
	}
	recoveries := ofADay("soakd_recovery_seconds_bucket", "target", "le")
	plain := func(metric string, matchers ...string) string {
		if len(matchers) == 0 {
			return metric
		}
		return metric + "{" + strings.Join(matchers, ",") + "}"
	}
	return []Recording{
		{burnsOfMinutes, worst("max_over_time(soakd_slo_burn_rate[2m])", perInstance("slo", "window")...)},
		{outcomesOfDays, sum(requestsByOutcome, perInstance("outcome")...)},
		{sloEvents, sum("rate(soakd_slo_events_total[5m])", perInstance("slo")...)},
		{sloBadEvents, sum("rate(soakd_slo_bad_events_total[5m])", perInstance("slo")...)},
		{sloPromised, lowest("soakd_slo_objective_ratio", perInstance("slo")...)},
		{backends, sum("soakd_postgres_backends", perInstance("server", "application")...)},
		{transactionAge, transactionAgeOf(plain, perInstance("server")...)},
		{recoveryMedian, "histogram_quantile(0.5, " + recoveries + ")"},
		{recoverySlowest, "histogram_quantile(1, " + recoveries + ")"},
		{outagesOfADay, ofADay("soakd_outages_total", "target")},
		{findingsOfADay, ofADay("soakd_findings_total", "kind")},
	}
}

// overStep reads a recording over each step of a graph, so that a graph of two
// weeks has what lies between its points: "max" finds the worst moment, "avg"
// keeps amounts right. [Target].Interval keeps steps as long as the time between
// two evaluations at least.
func overStep(operation, selector string) string {
	return operation + "_over_time(" + selector + "[$__rate_interval])"
}

// shortestStep is the time between two evaluations of the recordings in a query,
// in Grafana's notation; "" where it has none.
func shortestStep(query string) string {
	for _, r := range panelRecordingsOfDays() {
		if strings.Contains(query, r.Record) {
			return panelIntervalDays
		}
	}
	for _, r := range panelRecordings() {
		if strings.Contains(query, r.Record) {
			return panelInterval
		}
	}
	return ""
}

// worstOf is the worst moment of the worst soakd in each step, of the given
// recording.
func worstOf(selector string, by ...string) string { return worst(overStep("max", selector), by...) }

// someCases matches the chosen cases unless all are chosen. All are the text .*,
// and doubled it matches everything and so leaves nothing; two names in a row are
// the name of no case.
const someCases = `case!~"$case$case"`

// ofChosen reads a rate that is recorded without cases while all cases are chosen,
// and the counter itself for those that are. What is recorded has no label case,
// which .* matches and a name does not, so that one side of the two is always empty.
func ofChosen(recorded, metric string, by []string, matchers ...string) string {
	raw := sum(rate(caseSel(metric, append([]string{someCases}, matchers...)...)), by...)
	return sum(overStep("avg", caseSel(recorded, matchers...)), by...) + " or " + raw
}

// withExemplars lets Grafana find the single requests behind a query of
// recordings, which have none themselves: it asks Prometheus for the exemplars of
// every selector in a query, over the time of the graph whatever their offset is.
// Ten years ahead there are no samples to read, and so nothing is taken away; ten
// years back there are none either, but Prometheus would open every block between.
// https://prometheus.io/docs/prometheus/latest/querying/api/#querying-exemplars
func withExemplars(query, buckets string) string {
	return "(" + query + ") unless on () " + buckets + " offset -520w"
}
