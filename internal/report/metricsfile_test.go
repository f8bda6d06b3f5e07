package report

import (
	"bytes"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func metricsOf(t *testing.T, r *Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Metrics(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMetricsAreStable(t *testing.T) {
	want := `# HELP soakd_run_passed 1 when the run passed, 0 when it failed or could not be judged.
# TYPE soakd_run_passed gauge
soakd_run_passed 0.0
# HELP soakd_run_requests Requests that came to an end.
# TYPE soakd_run_requests gauge
soakd_run_requests 9000.0
`
	text := metricsOf(t, sampleRun())
	if !strings.HasPrefix(text, want) {
		t.Errorf("got %s", text[:len(want)])
	}
	for _, line := range []string{
		"\nsoakd_run_requests_per_second 49.59\n", "\nsoakd_run_dropped_arrivals 25.0\n", "\nsoakd_run_findings 2.0\n",
		"\nsoakd_run_case_requests{case=\"forecast\"} 5400.0\n", "\nsoakd_run_case_failed_ratio{case=\"forecast\"} 0.03333\n",
		"\nsoakd_run_threshold_met{threshold=\"error_rate<=1% over the run\"} 0.0\n", "\nsoakd_run_threshold_measured{threshold=\"error_rate<=1% over the run\"} 0.035\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	if text != metricsOf(t, sampleRun()) {
		t.Error("the same run has other metrics")
	}
}

// TestMetricsAreOpenMetrics reads them with Prometheus' parser of its text form, which
// differs in the end mark alone here, and with promtool.
func TestMetricsAreOpenMetrics(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not installed: run scripts/test-deps.sh")
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z]+="([^"\\]|\\["\\n])*",?)+\})? [0-9.e+-]+|# EOF)$`)
	for name, r := range sampleRuns(t) {
		text := metricsOf(t, r)
		if !strings.HasSuffix(text, "\n# EOF\n") || strings.Count(text, "# EOF\n") != 1 {
			t.Errorf("%s: it does not end in # EOF", name)
		}
		for one := range strings.Lines(text) {
			if !line.MatchString(strings.TrimSuffix(one, "\n")) {
				t.Errorf("%s: %q", name, one)
			}
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		if err != nil || len(families) < 6 {
			t.Fatalf("%s: %d families, %v", name, len(families), err)
		}
		series := map[string]bool{}
		for family, f := range families {
			for _, m := range f.GetMetric() {
				id := family
				for _, label := range m.GetLabel() {
					id += "\xff" + label.GetName() + "\xff" + label.GetValue()
				}
				if series[id] {
					t.Errorf("%s: %q is there twice", name, id)
				}
				series[id] = true
			}
		}
		lint := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		lint.Stdin = io.Reader(strings.NewReader(text))
		if out, err := lint.CombinedOutput(); err != nil {
			t.Errorf("%s: promtool: %v: %s", name, err, out)
		}
	}
}

func TestWhatIsNotKnownIsNoMetric(t *testing.T) {
	text := metricsOf(t, emptyRun())
	if strings.Contains(text, "response_time") || !strings.Contains(text, "\nsoakd_run_requests 0.0\n") || strings.Contains(text, "NaN") {
		t.Error(text)
	}
	text = metricsOf(t, foreignRun())
	if !strings.Contains(text, `soakd_run_response_time_seconds{figure="p95"} 0.12`) || strings.Contains(text, "dropped") || !strings.Contains(text, `{figure="max"} 2.1`) {
		t.Error(text)
	}
}
