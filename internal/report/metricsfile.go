package report

import (
	"io"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"

	"soakd/internal/judge"
	"soakd/internal/judge/threshold"
)

// Metrics writes metrics.txt: the main figures of the run in OpenMetrics' text form,
// for GitLab's metrics report (https://docs.gitlab.com/ci/testing/metrics_reports/). It
// compares each series with that of the target branch as text; so names, labels and order
// are the same in every run, and figures have four digits. What is not known is left out.
func Metrics(w io.Writer, r *Run) error {
	families := slices.Concat(runFamilies(r), caseFamilies(r), thresholdFamilies(r))
	for _, family := range families {
		if len(family.Metric) == 0 {
			continue
		}
		if _, err := expfmt.MetricFamilyToOpenMetrics(w, family); err != nil {
			return err
		}
	}
	_, err := expfmt.FinalizeOpenMetrics(w)
	return err
}

// gauges begins a family of gauges.
func gauges(name, help string) *dto.MetricFamily {
	return &dto.MetricFamily{Name: proto.String(name), Help: proto.String(help), Type: dto.MetricType_GAUGE.Enum()}
}

// add adds a series with labels as name, value, name, value.
func add(f *dto.MetricFamily, x float64, labels ...string) {
	m := &dto.Metric{Gauge: &dto.Gauge{Value: proto.Float64(significant(x, 4))}}
	for i := 0; i+1 < len(labels); i += 2 {
		m.Label = append(m.Label, &dto.LabelPair{Name: proto.String(labels[i]), Value: proto.String(shorten(oneLine(labels[i+1]), 200))})
	}
	f.Metric = append(f.Metric, m)
}

func one(name, help string, x float64) *dto.MetricFamily {
	f := gauges(name, help)
	add(f, x)
	return f
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// runFamilies are the figures of all traffic.
func runFamilies(r *Run) []*dto.MetricFamily {
	list := []*dto.MetricFamily{
		one("soakd_run_passed", "1 when the run passed, 0 when it failed or could not be judged.", boolean(r.Conclusion.Result == judge.Pass)),
		one("soakd_run_requests", "Requests that came to an end.", float64(r.All.Requests)),
		one("soakd_run_requests_per_second", "Requests that came to an end, a second.", perSecond(r.All.Requests, r.Elapsed)),
		one("soakd_run_failed_requests", "Requests that were not answered rightly.", float64(r.All.Failed)),
		one("soakd_run_failed_ratio", "Share of requests that were not answered rightly, 0 to 1.", ratio(r.All.Failed, r.All.Requests)),
	}
	if r.Status != nil {
		list = append(list, one("soakd_run_dropped_arrivals", "Arrivals that were never sent.", float64(r.Status.Counts.TotalDropped())))
	}
	times := gauges("soakd_run_response_time_seconds", "Response time of all traffic from the intended start: its quantiles and the longest.")
	addTimes(times, &r.All.ResponseTime)
	findings := 0
	for i := range r.Findings {
		if r.Verdict == nil || r.Verdict.Concerns(&r.Findings[i]) {
			findings++
		}
	}
	return append(list, times, one("soakd_run_findings", "What the judgement found wrong.", float64(findings)))
}

// addTimes adds the quantiles that are known.
func addTimes(f *dto.MetricFamily, t *threshold.Times, labels ...string) {
	for _, q := range []struct {
		q    float64
		name string
	}{{0.5, "p50"}, {0.95, "p95"}, {0.99, "p99"}, {1, "max"}} {
		at, known := t.Quantile(q.q)
		if q.q == 1 && !known {
			at, known = t.Max, t.Count > 0 && t.Max >= 0
		}
		if known {
			add(f, at.Round(time.Microsecond).Seconds(), append(slices.Clone(labels), "figure", q.name)...)
		}
	}
}

// caseFamilies are the figures of each case.
func caseFamilies(r *Run) []*dto.MetricFamily {
	requests := gauges("soakd_run_case_requests", "Requests of a case that came to an end.")
	failed := gauges("soakd_run_case_failed_ratio", "Share of the requests of a case that were not answered rightly, 0 to 1.")
	times := gauges("soakd_run_case_response_time_seconds", "Response time of a case from the intended start: its quantiles and the longest.")
	unique := uniquely()
	for i := range r.Cases {
		t := &r.Cases[i]
		name := unique(shorten(oneLine(t.Name), 150))
		add(requests, float64(t.Requests), "case", name)
		add(failed, ratio(t.Failed, t.Requests), "case", name)
		addTimes(times, &t.ResponseTime, "case", name)
	}
	return []*dto.MetricFamily{requests, failed, times}
}

// thresholdFamilies say what each threshold came to.
func thresholdFamilies(r *Run) []*dto.MetricFamily {
	met := gauges("soakd_run_threshold_met", "1 when the threshold is met, 0 when it is missed or could not be judged.")
	figure := gauges("soakd_run_threshold_measured", "What was measured, in the unit of the threshold: seconds, a ratio, per second, or a count.")
	unique := uniquely()
	for i := range r.Thresholds {
		t := &r.Thresholds[i]
		name := unique(shorten(oneLine(t.Threshold), 120) + " over the " + string(t.Over))
		add(met, boolean(t.Result == threshold.Met), "threshold", name)
		if t.Measured != nil {
			add(figure, *t.Measured, "threshold", name)
		}
	}
	return []*dto.MetricFamily{met, figure}
}
