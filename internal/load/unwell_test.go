package load

import (
	"slices"
	"testing"
)

func TestUnwell(t *testing.T) {
	var unwell []Outcome
	for _, outcome := range Outcomes() {
		if outcome.Unwell() {
			unwell = append(unwell, outcome)
		}
	}
	if want := []Outcome{ServerError, Timeout, Connect, Reset, TLS, DNS}; !slices.Equal(unwell, want) {
		t.Errorf("unwell are %v, want %v", unwell, want)
	}
}
