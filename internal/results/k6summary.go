package results

import (
	"bufio"
	"cmp"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/load"
	"soakd/internal/report"
)

// maxSummary bounds a summary of k6's, in bytes.
const maxSummary = 64 << 20

// k6Metric are the figures of a metric in a summary.
type k6Metric map[string]float64

// UnmarshalJSON takes both forms: that of --summary-export has the figures in the metric itself,
// that of handleSummary and of newer files in "values".
func (m *k6Metric) UnmarshalJSON(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err //nolint:wrapcheck // the reader says where
	}
	if values, nested := all["values"]; nested {
		all = nil
		if err := json.Unmarshal(values, &all); err != nil {
			return err //nolint:wrapcheck // the reader says where
		}
	}
	*m = k6Metric{}
	for name, raw := range all {
		var value float64
		if json.Unmarshal(raw, &value) == nil {
			(*m)[name] = value
		}
	}
	return nil
}

// k6Totals is a summary. The newer form (--new-machine-readable-summary) lists its metrics in
// "results" and names some figures otherwise; see modern.
type k6Totals struct {
	Config struct {
		Seconds float64 `json:"duration"`
	} `json:"config"`
	Results struct {
		Metrics []struct {
			Name   string   `json:"name"`
			Values k6Metric `json:"values"`
		} `json:"metrics"`
	} `json:"results"`
	State struct {
		Milliseconds float64 `json:"testRunDurationMs"`
	} `json:"state"`
	Metrics map[string]k6Metric `json:"metrics"`

	// unjudged are the cases, "" for all traffic, of which it is not told how many requests failed:
	// k6 writes no http_req_failed before 0.31, nor where a script has set its response callback to
	// null, and of a case only where it has a threshold on it.
	unjudged map[string]bool
}

// readK6Summary reads what k6 run --summary-export=FILE writes, or handleSummary from its
// data: totals of all requests, with cases where the script has thresholds on a name
// (http_req_duration{name:forecast}).
func readK6Summary(file string, from *bufio.Reader) (*Result, error) {
	limited := &io.LimitedReader{R: from, N: maxSummary + 1}
	data, err := io.ReadAll(limited)
	switch {
	case err != nil:
		return nil, readError(file, err)
	case limited.N <= 0:
		return nil, wrong(file, 0, "it is longer than 64 MiB: no summary of k6's is")
	}
	var all k6Totals
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, wrong(file, 0, "it is no summary of k6's: %v", err)
	}
	all.modern()
	if len(all.Metrics) == 0 {
		return nil, wrong(file, 0, "it has no metrics: it is no summary of k6's")
	}
	r := &Result{}
	r.Run.Tool = "k6"
	if r.Run.All, err = all.traffic(file, ""); err != nil {
		return nil, err
	}
	_, judged := all.Metrics[k6Failed]
	all.unjudged = map[string]bool{"": !judged}
	if err := all.cases(file, &r.Run); err != nil {
		return nil, err
	}
	all.elapsed(&r.Run)
	if users := all.Metrics["vus_max"]; users["max"] > 0 && users["max"] < 1e9 {
		r.Run.Users = int(users["max"])
	}
	missing := int64(0)
	if dropped := all.Metrics[k6Dropped]["count"]; dropped > 0 && dropped < 1e12 {
		missing = int64(dropped)
		r.note("%d iterations were dropped by k6 and never sent: true times are these or longer", missing)
		markAtLeast(&r.Run)
	}
	if checks := all.Metrics[k6Checks]; checks["fails"] > 0 {
		r.note("%.0f of %.0f checks of the k6 script failed", checks["fails"], checks["fails"]+checks["passes"])
	}
	r.note("a summary does not tell when it ran and how it went in windows of time: k6 run --out json=FILE or csv=FILE does")
	if all.unjudged[""] {
		r.note("the summary has no %s: which requests failed is not known", k6Failed)
	}
	r.Whole = summary{totals{&r.Run}, missing, all.unjudged}
	return r, nil
}

// modern takes the figures of the newer form over: a quantile is "p95" there, and of a rate there are
// "matches" of a "total". Failed requests match, and so do checks that passed.
func (k *k6Totals) modern() {
	if len(k.Results.Metrics) == 0 {
		return
	}
	k.Metrics = map[string]k6Metric{}
	k.State.Milliseconds = 1e3 * k.Config.Seconds
	for _, one := range k.Results.Metrics {
		m := k6Metric{}
		for name, value := range one.Values {
			if percent, is := strings.CutPrefix(name, "p"); is && !strings.HasPrefix(percent, "(") {
				name = "p(" + percent + ")"
			}
			m[name] = value
		}
		if total, is := m["total"]; is {
			m["passes"], m["fails"] = m["matches"], total-m["matches"]
		}
		k.Metrics[one.Name] = m
	}
}

// summary is a whole run of which so many arrivals are missing.
type summary struct {
	totals

	missing int64
	// unjudged are those of whose requests it is not known which failed.
	unjudged map[string]bool
}

// Of implements [threshold.Stretch].
func (s summary) Of(name, class string) (threshold.Figures, bool) {
	f, found := s.totals.Of(name, class)
	f.Missing, f.FailedUnknown = s.missing, s.unjudged[name]
	return f, found
}

// elapsed is how long the run took: as it says, or as long as its rate makes it.
func (k *k6Totals) elapsed(run *report.Run) {
	requests := k.Metrics["http_reqs"]
	ms := k.State.Milliseconds
	if !(ms > 0) && requests["rate"] > 0 {
		ms = 1e3 * requests["count"] / requests["rate"]
	}
	if ms > 0 && ms < 1e13 {
		run.Elapsed = time.Duration(ms * float64(time.Millisecond))
	}
}

// traffic are the figures with that suffix: "" for all, "{name:forecast}" for a case.
func (k *k6Totals) traffic(file, suffix string) (report.Traffic, error) {
	t := report.Traffic{Bytes: -1}
	duration, timed := k.Metrics[k6Duration+suffix]
	failed, judged := k.Metrics[k6Failed+suffix]
	requests, counted := k.Metrics["http_reqs"+suffix]
	switch {
	case counted:
		t.Requests = whole(requests["count"])
	case judged:
		t.Requests = whole(failed["passes"] + failed["fails"])
	case timed:
		t.Requests = whole(duration["count"])
	}
	if t.Requests < 0 {
		return t, wrong(file, 0, "http_reqs%s: the count must be a whole number from 0 on", suffix)
	}
	// A request that failed is one of which "failed" is true: it passes as such.
	if t.Failed = whole(failed["passes"]); judged && (t.Failed < 0 || t.Failed > t.Requests) {
		return t, wrong(file, 0, "%s%s: %v of %d requests failed", k6Failed, suffix, failed["passes"], t.Requests)
	}
	if t.Failed > 0 {
		t.Failures = []report.Failure{{Outcome: string(load.CheckFailed), Count: t.Failed, Reason: "a summary does not say how they failed"}}
	}
	t.ResponseTime = duration.times(t.Requests)
	t.ServiceTime = t.ResponseTime
	return t, nil
}

// whole is a count, below 0 when it is none.
func whole(n float64) int64 {
	if !(n >= 0) || n > 1<<53 || n != math.Trunc(n) {
		return -1
	}
	return int64(n)
}

// times are the times of a trend, in milliseconds in the file.
func (m k6Metric) times(requests int64) threshold.Times {
	t := threshold.Times{Count: requests, Mean: m.time("avg"), Min: m.time("min"), Max: m.time("max")}
	if requests == 0 {
		return threshold.Times{Mean: unknown, Min: unknown, Max: unknown}
	}
	for name := range m {
		q, is := k6Quantile(name)
		if at := m.time(name); is && at >= 0 {
			t.Known = append(t.Known, threshold.Quantile{Q: q, At: at})
		}
	}
	slices.SortFunc(t.Known, func(a, b threshold.Quantile) int { return cmp.Compare(a.Q, b.Q) })
	for i := 1; i < len(t.Known); i++ {
		t.Known[i].At = max(t.Known[i].At, t.Known[i-1].At)
	}
	return t
}

func (m k6Metric) time(name string) time.Duration {
	ms, known := m[name]
	if !known {
		return unknown
	}
	return millis(ms)
}

// k6Quantile is the quantile of a figure named "med" or "p(95)".
func k6Quantile(name string) (q float64, is bool) {
	if name == "med" {
		return 0.5, true
	}
	text, found := strings.CutPrefix(name, "p(")
	text, closed := strings.CutSuffix(text, ")")
	percent, err := strconv.ParseFloat(text, 64)
	return percent / 100, found && closed && err == nil && percent > 0 && percent < 100 && percent != 50
}

// cases are those that the script has thresholds on.
func (k *k6Totals) cases(file string, run *report.Run) error {
	for metric := range k.Metrics {
		suffix, of := strings.CutPrefix(metric, k6Duration+"{name:")
		name, closed := strings.CutSuffix(suffix, "}")
		if !of || !closed || strings.Contains(name, ",") || len(run.Cases) >= maxCases {
			continue
		}
		suffix = "{name:" + suffix
		t, err := k.traffic(file, suffix)
		if err != nil {
			return err
		}
		_, counted := k.Metrics["http_reqs"+suffix]
		_, judged := k.Metrics[k6Failed+suffix]
		// Without its own count and failures a case would be judged by nothing.
		if t.Name = pathOf(name); !counted && !judged || t.Requests == 0 {
			continue
		}
		run.Cases = append(run.Cases, t)
		k.unjudged[t.Name] = !judged
	}
	slices.SortFunc(run.Cases, func(a, b report.Traffic) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}
