// Package report writes what a run came to for people: the banner, the progress
// line, the table at the end and the page. It only formats: what it is given it
// neither keeps nor changes.
package report

import (
	"time"

	"github.com/prometheus/common/version"

	"soakd/internal/judge"
	"soakd/internal/load"
	"soakd/internal/probes"
)

// Status is a run at one moment.
type Status struct {
	// Target is the URL of the API, without secrets.
	Target string
	// Workload is the workload's name, Rate the set arrivals a second.
	Workload string
	Rate     float64
	// Closed tells that users take the place of the rate; Users is how many there are.
	Closed bool
	Users  int
	// TargetRate is what is aimed at now; 0 in closed mode and when it is over.
	TargetRate float64
	// Phase is where the load is on its way, "" before the start.
	Phase load.Phase
	// Throttle is what holds the load back, Fitness says which windows of soakd's
	// own work were fit for judgement.
	Throttle load.Throttle
	Fitness  load.FitnessStatus
	// Start is when the run began, Elapsed how long ago; Duration is how long it
	// was asked to send, 0 for ever.
	Start             time.Time
	Elapsed, Duration time.Duration
	Counts            load.Counts
	// Cases has a row a case, All the sum.
	Cases  []load.CaseSummary
	All    load.CaseSummary
	Probes []probes.Status
	// Verdict is what was judged so far, Findings what was found.
	Verdict  judge.Verdict
	Findings []judge.Finding
}

// Version is soakd's version, or "dev" when it was built without one.
func Version() string {
	if version.Version == "" {
		return "dev"
	}
	return version.Version
}

// Sum adds the values of a metric whose labels, in their order, equal those
// given ("" stands for any), and returns false when no probe has one now.
func (s Status) Sum(name string, labels ...string) (sum float64, found bool) {
	for _, status := range s.Probes {
		for _, sample := range status.Samples {
			if sample.Desc.Name == name && startsWith(sample.Labels, labels) {
				sum += sample.Value
				found = true
			}
		}
	}
	return sum, found
}

// HitRatio returns Redis' hits in all lookups of the last window, 0..1, of the
// first node that has one, and false when none has.
func (s Status) HitRatio() (float64, bool) {
	for _, status := range s.Probes {
		for _, sample := range status.Samples {
			if sample.Desc.Name == "soakd_redis_keyspace_hit_ratio" {
				return sample.Value, true
			}
		}
	}
	return 0, false
}

func startsWith(labels, want []string) bool {
	if len(labels) < len(want) {
		return false
	}
	for i, label := range want {
		if label != "" && labels[i] != label {
			return false
		}
	}
	return true
}
