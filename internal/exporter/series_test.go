package exporter

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"soakd/internal/judge"
	"soakd/internal/judge/objective"
	"soakd/internal/judge/simulate"
	"soakd/internal/judge/window"
	"soakd/internal/load"
	"soakd/internal/load/cashflow"
)

// seriesOf lists the series that Prometheus makes of the metrics, of histograms
// those of their classic form. A version is left out: each deployment brings one
// and takes one away.
func seriesOf(t *testing.T, m *Metrics) []string {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, pair := range metric.GetLabel() {
				if name != targetInfo.Name {
					name += "," + pair.GetName() + "=" + pair.GetValue()
				}
			}
			all = append(all, name)
			if family.GetType() != dto.MetricType_HISTOGRAM {
				continue
			}
			all = append(all, name+" sum", name+" +Inf")
			for _, bucket := range metric.GetHistogram().GetBucket() {
				all = append(all, name+" "+time.Duration(bucket.GetUpperBound()*1e9).String())
			}
		}
	}
	return all
}

// soak is a soakd whose traffic and windows are simulated.
type soak struct {
	metrics  *Metrics
	recorder *load.Recorder
	workload *load.Workload
	judge    *judge.Judge
	world    *simulate.World
	random   *rand.Rand
}

// newSoak has every fault in its first five days, one after the other and four
// hours at most each, and again a week later.
func newSoak(t *testing.T) *soak {
	t.Helper()
	workload, err := cashflow.New(cashflow.Config{APIVersion: "v1", Users: 1, CanMint: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{workload: workload, random: rand.New(rand.NewPCG(1, 2))}
	cfg := simulate.Config{Seed: 11, Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Rate: 50, Day: true}
	var at time.Duration
	for _, fault := range simulate.Faults() {
		at += time.Hour
		for _, week := range []time.Duration{0, 7 * 24 * time.Hour} {
			cfg.Episodes = append(cfg.Episodes, simulate.Episode{Fault: fault.Name, At: at + week, For: min(fault.Lasts, 4*time.Hour)})
		}
		at += min(fault.Lasts, 4*time.Hour)
	}
	if at > 6*24*time.Hour {
		t.Fatalf("the faults take %v", at)
	}
	if s.world, err = simulate.New(cfg); err != nil {
		t.Fatal(err)
	}
	objectives, err := objective.Parse("", simulate.Classes())
	if err != nil {
		t.Fatal(err)
	}
	if s.judge, err = judge.New(judge.Config{Objectives: objectives, Policy: objective.PolicyFor(0)}); err != nil {
		t.Fatal(err)
	}
	s.recorder = load.NewRecorder(workload, cfg.Start)
	s.metrics = NewMetrics(s.recorder)
	s.metrics.WatchJudgement(s.judge.Readings)
	s.metrics.WatchHistory(func() History { return History{Bytes: 1} })
	return s
}

// statuses are what an API and the proxies before it answer.
func statuses() []int { return []int{0, 200, 201, 400, 401, 404, 422, 429, 500, 502, 503, 504, 799} }

// hour brings each case one result of each outcome with one of the statuses, and
// checks that nobody has heard of.
func (s *soak) hour() {
	for range window.Hour / window.Short {
		s.judge.Window(s.world.Next())
	}
	for _, one := range s.workload.Cases {
		for _, outcome := range load.Outcomes() {
			status := statuses()[s.random.IntN(len(statuses()))]
			took := time.Duration(s.random.ExpFloat64() * float64(50*time.Millisecond))
			result := load.Result{Case: one, Outcome: outcome, Status: status, ResponseTime: took, Duration: took}
			if outcome == load.CheckFailed {
				result.FailedChecks = []string{one.Checks[s.random.IntN(len(one.Checks))], http.StatusText(s.random.IntN(600)) + "!"}
			}
			s.recorder.Done(&result)
		}
	}
}

// What has been seen in one week of all faults is all that is there after the
// second: the number of series does not grow with time.
func TestSeriesDoNotGrowInTwoWeeks(t *testing.T) {
	if testing.Short() {
		t.Skip("two weeks are too much for the race detector; make test runs it without")
	}
	s := newSoak(t)
	known := map[string]bool{}
	most := 0
	start := len(seriesOf(t, s.metrics))
	for day := range 14 {
		var fresh []string
		for range 24 {
			s.hour()
			now := seriesOf(t, s.metrics)
			most = max(most, len(now))
			for _, series := range now {
				if !known[series] {
					fresh = append(fresh, series)
				}
				known[series] = true
			}
		}
		t.Logf("day %d: %d new series, %d in all", day+1, len(fresh), len(known))
		if day >= 7 && len(fresh) > 0 {
			slices.Sort(fresh)
			t.Errorf("day %d has %d series that the first week did not have, such as %q", day+1, len(fresh), fresh[:min(8, len(fresh))])
		}
	}
	t.Logf("%d series at the start, %d at most at once", start, most)
}
