package judge

import (
	"strings"
	"testing"

	"soakd/internal/judge/baseline"
)

// A comparison that is still going on fails nothing: what is sure of it is a finding.
func TestAComparisonFailsWhenItIsOver(t *testing.T) {
	worse := &baseline.Comparison{BaseVersion: "v1", Version: "v2", Result: baseline.Worse, Rows: []baseline.Row{
		{Result: baseline.Worse, PAdjusted: 0.001, Windows: 12, Text: "forecast is slower"}, {Result: baseline.Worse, PAdjusted: 0.01, Text: "history is slower"}, {Result: baseline.Same},
	}}
	for final, want := range map[bool]Result{true: Fail, false: Unknown} {
		c := baselineCheck(worse, final)
		if c.Result != want || c.Confidence != 0.99 || c.Windows != 12 || !strings.HasPrefix(c.Text, "worse than v1: forecast is slower; history is slower") {
			t.Errorf("final %v: %+v", final, c)
		}
	}
	if c := baselineCheck(&baseline.Comparison{BaseVersion: "v1", Result: baseline.Same}, false); c.Result != Pass || c.Text != "the same as v1 (so far)" {
		t.Errorf("%+v", c)
	}
}
