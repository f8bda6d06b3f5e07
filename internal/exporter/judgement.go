package exporter

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"soakd/internal/judge"
	"soakd/internal/judge/finding"
	"soakd/internal/load"
)

// The metrics of the judgement.
//
//nolint:gochecknoglobals // never changed: the table of metrics
var (
	verdict          = judged("soakd_verdict", "gauge", "1 while nothing that counts against the target is open, 0 while something is; absent while it is not known. /api/v1/verdict says what was judged.")
	targetInfo       = judged("soakd_target_info", "gauge", "The target's version, as it says itself or as it is set; always 1, absent while it is not known.", "version")
	openFindings     = judged("soakd_findings", "gauge", "Findings that last, by kind. /api/v1/findings has each with its figures.", "kind")
	openedFindings   = judged("soakd_findings_total", "counter", "Findings so far, by kind; one whose cause was found out later counts for each of its kinds.", "kind")
	events           = judged("soakd_events_total", "counter", "Events so far, by kind: the target's version changed (version), it restarted (restart), the load changed (load), somebody posted what happened (annotation) or a fault that is meant (drill), a comparison of versions ended (comparison), soakd was away (gap), a finding began, was named otherwise or ended (finding_opened, finding_renamed, finding_ended). /api/v1/events has each with its text.", "kind")
	trendSlope       = judged("soakd_trend_slope_per_hour", "gauge", "By how much the lower envelope of a resource rises an hour, in the signal's own unit, the effect of the load taken out; absent while too little is known.", "signal")
	leakSuspected    = judged("soakd_leak_suspected", "gauge", "1 while a resource grows without end as far as can be told, else 0; absent while too little is known.", "signal")
	leakSecondsLeft  = judged("soakd_leak_seconds_to_limit", "gauge", "Time until a resource that leaks reaches its limit at its present slope; absent where it does not leak or has no limit.", "signal")
	regression       = judged("soakd_regression", "gauge", "1 while a figure of a case is worse than it was, or than the baseline, beyond doubt, else 0; absent while there is nothing to compare with. signal is median_response_time, p95_response_time, p99_response_time or error_ratio.", "case", "signal")
	baselineRatio    = judged("soakd_baseline_ratio", "gauge", "A figure of a case divided by what it is compared with: earlier minutes of this run at the same rate, or the baseline; absent while there is nothing to compare with.", "case", "signal")
	sloObjective     = judged("soakd_slo_objective_ratio", "gauge", "Share of good events that the objective promises, 0 to 1.", "slo")
	sloEvents        = judged("soakd_slo_events_total", "counter", "Events that count for the objective, in windows that were fit to judge by.", "slo")
	sloBad           = judged("soakd_slo_bad_events_total", "counter", "Those of them that were bad.", "slo")
	sloBudget        = judged("soakd_slo_error_budget_remaining_ratio", "gauge", "What is left of the objective's error budget over its period: 1 untouched, 0 spent, below 0 overspent; absent while too little is known.", "slo")
	sloBurn          = judged("soakd_slo_burn_rate", "gauge", "How fast the error budget is spent over a window, in multiples of the rate that spends it exactly in its period; absent while the window has no events.", "slo", "window")
	outageInProgress = judged("soakd_outage_in_progress", "gauge", "1 while the API, Postgres, Redis or another dependency is away, else 0.", "target")
	outages          = judged("soakd_outages_total", "counter", "Outages seen since soakd started, the one in progress too.", "target")
	detectionSeconds = judged("soakd_detection_seconds", "histogram", "Time from the start of an outage until soakd was sure of it.", "target")
	recoverySeconds  = judged("soakd_recovery_seconds", "histogram", "Time from the start of an outage until the service was back within its objective to stay.", "target")
)

// The metrics of the history.
//
//nolint:gochecknoglobals // never changed: the table of metrics
var (
	historyBatches = own("soakd_history_batches_total", "counter", "Batches of windows, findings and events that soakd wrote into the history, by result: stored or failed; a failed one is tried again. Absent when no history is kept.", "result")
	historyDropped = own("soakd_history_windows_dropped_total", "counter", "Windows that were never stored, because the history could not be written for two hours. Absent when no history is kept.")
	historyPending = own("soakd_history_windows_pending", "gauge", "Windows that are not stored yet. Absent when no history is kept.")
	historySize    = own("soakd_history_size_bytes", "gauge", "Size of the history when it was last pruned. Absent before that and when no history is kept.")
)

// History are the figures of the history.
type History struct {
	// Stored and Failed count batches, Dropped and Pending windows.
	Stored, Failed, Dropped, Pending int64
	// Bytes is its size, 0 while it is not known.
	Bytes int64
}

// WatchHistory adds the metrics of the history, read at each scrape. It must be
// called once at most.
func (m *Metrics) WatchHistory(read func() History) {
	m.registry.MustRegister(historyCollector(read))
}

type historyCollector func() History

// Describe implements [prometheus.Collector].
func (historyCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range historyDefinitions() {
		ch <- d.desc()
	}
}

// Collect implements [prometheus.Collector].
func (read historyCollector) Collect(ch chan<- prometheus.Metric) {
	h, emit := read(), sender(ch)
	emit(historyBatches, float64(h.Stored), "stored")
	emit(historyBatches, float64(h.Failed), "failed")
	emit(historyDropped, float64(h.Dropped))
	emit(historyPending, float64(h.Pending))
	if h.Bytes > 0 {
		emit(historySize, float64(h.Bytes))
	}
}

func historyDefinitions() []Definition {
	return []Definition{historyBatches, historyDropped, historyPending, historySize}
}

func judged(name, kind, help string, labels ...string) Definition {
	return Definition{Name: name, Type: kind, Labels: labels, Help: help, Source: "judgement"}
}

func judgementDefinitions() []Definition {
	return []Definition{
		verdict, targetInfo, openFindings, openedFindings, events, trendSlope, leakSuspected, leakSecondsLeft, regression, baselineRatio,
		sloObjective, sloEvents, sloBad, sloBudget, sloBurn, outageInProgress, outages, detectionSeconds, recoverySeconds,
	}
}

// WatchJudgement adds the metrics of the judgement, read at each scrape. It must be
// called once.
func (m *Metrics) WatchJudgement(read func() judge.Readings) {
	m.registry.MustRegister(&judgementCollector{read: read, start: time.Now()})
}

type judgementCollector struct {
	read  func() judge.Readings
	start time.Time
}

// Describe implements [prometheus.Collector].
func (*judgementCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range judgementDefinitions() {
		ch <- d.desc()
	}
}

// Collect implements [prometheus.Collector].
func (c *judgementCollector) Collect(ch chan<- prometheus.Metric) {
	r, emit := c.read(), sender(ch)
	if r.Verdict != judge.Unknown {
		emit(verdict, oneIf(r.Verdict == judge.Pass))
	}
	if r.Version != "" {
		emit(targetInfo, 1, r.Version)
	}
	for _, kind := range finding.Kinds() {
		emit(openFindings, float64(r.Open[kind]), string(kind))
		emit(openedFindings, float64(r.Opened[kind]), string(kind))
	}
	for _, kind := range judge.EventKinds() {
		emit(events, float64(r.Events[kind]), string(kind))
	}
	for _, t := range r.Trends {
		emit(trendSlope, t.SlopePerHour, t.Signal)
		emit(leakSuspected, oneIf(t.Suspected), t.Signal)
		if t.Suspected && t.SecondsToLimit > 0 {
			emit(leakSecondsLeft, t.SecondsToLimit, t.Signal)
		}
	}
	for _, one := range r.Ratios {
		emit(baselineRatio, one.Ratio, one.Case, one.Signal)
		emit(regression, oneIf(one.Regressed), one.Case, one.Signal)
	}
	c.objectives(emit, r.Objectives)
	for _, o := range r.Outages {
		emit(outageInProgress, oneIf(o.InProgress), o.Target)
		emit(outages, float64(o.Total), o.Target)
		c.times(ch, detectionSeconds, r.Detection[o.Target], o.Target)
		c.times(ch, recoverySeconds, r.Recovery[o.Target], o.Target)
	}
}

func (c *judgementCollector) times(ch chan<- prometheus.Metric, d Definition, times judge.Times, labels ...string) {
	ch <- newHistogram(d.desc(), c.start, &load.Times{Histogram: times.Histogram, Bounds: times.Bounds, UpTo: times.UpTo}, labels...)
}

func (*judgementCollector) objectives(emit send, all []judge.Objective) {
	for i := range all {
		o := &all[i]
		emit(sloObjective, o.Target, o.Name)
		emit(sloEvents, float64(o.Events), o.Name)
		emit(sloBad, float64(o.Bad), o.Name)
		if !math.IsNaN(o.BudgetRemaining) {
			emit(sloBudget, o.BudgetRemaining, o.Name)
		}
		for _, b := range o.Burns {
			emit(sloBurn, b.Rate, o.Name, shortWindow(b.Window))
		}
	}
}

// shortWindow writes the length of a window as Prometheus does: 5m, 1h, 3d.
func shortWindow(d time.Duration) string {
	return model.Duration(d).String()
}
