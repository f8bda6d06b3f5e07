package latency_test

import (
	"os"
	"strconv"
	"testing"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/latency"
)

func detector(t testing.TB) *latency.Detector {
	t.Helper()
	d, err := latency.New(latency.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestExplore(t *testing.T) {
	weeks, _ := strconv.ParseFloat(os.Getenv("WEEKS"), 64)
	for seed := range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			w := newWorld(uint64(seed))
			w.nightly, w.deploys, w.unfit = true, true, 0.005
			if seed%2 == 1 {
				w.rate = dayCurve
			}
			d := detector(t)
			seen := map[string]bool{}
			for w.minute < int(weeks*10080) {
				for _, s := range d.Observe(w.step()) {
					if k := s.Key() + s.Onset.String(); !seen[k] {
						seen[k] = true
						t.Logf("seed %d minute %d: %s %v onset -%v %s", seed, w.minute, s.Kind, s.Subject, w.minute-int(s.Onset.Unix()/60-startMinute), s.Text)
					}
					if s.Over {
						t.Logf("    over at %d", w.minute)
					}
				}
			}
		})
	}
}

var _ = finding.Latency
