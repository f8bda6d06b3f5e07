package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestRecorderQuantilesAreWithinOnePercent(t *testing.T) {
	workload := testWorkload()
	recorder := NewRecorder(workload, time.Time{})
	rng := rand.New(rand.NewPCG(1, 2))
	times := make([]time.Duration, 50_000)
	for i := range times {
		// Log-uniform over 10 us .. 10 min.
		times[i] = time.Duration(1e4 * math.Pow(6e7, rng.Float64()))
		recorder.Done(&Result{Case: workload.Cases[i%3], Outcome: OK, Status: 200, ResponseTime: times[i], Duration: times[i] / 2})
	}
	slices.Sort(times)
	_, all := recorder.Summary()
	for _, test := range []struct {
		q    float64
		got  time.Duration
		send time.Duration
	}{{0.5, all.ResponseTime.P50, all.Duration.P50}, {0.95, all.ResponseTime.P95, all.Duration.P95}, {0.99, all.ResponseTime.P99, all.Duration.P99}, {1, all.ResponseTime.Max, all.Duration.Max}} {
		want := float64(times[int(math.Ceil(test.q*float64(len(times))))-1])
		if math.Abs(float64(test.got)-want) > 0.01*want+1e3 {
			t.Errorf("quantile %v is %v, want %v within 1 %%", test.q, test.got, time.Duration(want))
		}
		if math.Abs(float64(test.send)-want/2) > 0.01*want/2+1e3 {
			t.Errorf("quantile %v from the send is %v, want %v within 1 %%", test.q, test.send, time.Duration(want/2))
		}
	}
}

func TestRecorderCounts(t *testing.T) {
	workload := testWorkload()
	start := time.Unix(100, 0)
	recorder := NewRecorder(workload, start)
	done := func(c int, outcome Outcome, status int, reason string) {
		recorder.Done(&Result{Case: workload.Cases[c], Outcome: outcome, Status: status, Reason: reason, ResponseTime: time.Second, Duration: time.Millisecond})
	}
	done(0, OK, 200, "")
	done(0, ServerError, 500, "first")
	done(0, ServerError, 500, "second")
	done(1, Connect, 0, "refused")
	cases, all := recorder.Summary()
	if len(cases) != len(workload.Cases) || cases[0].Finished != 3 || cases[0].OK != 1 || cases[0].Failed() != 2 {
		t.Fatalf("cases: %+v", cases)
	}
	if f := cases[0].Failures; len(f) != 1 || f[0] != (OutcomeCount{ServerError, 2, "first"}) {
		t.Errorf("failures of the first case: %+v", f)
	}
	if cases[1].ResponseTime.Timed != 0 || all.Finished != 4 || all.ResponseTime.Timed != 3 {
		t.Errorf("a refused connection must not be timed: %+v, %+v", cases[1], all)
	}
	window := recorder.NextWindow(start.Add(10*time.Second), Counts{})
	if window.Length != 10*time.Second || window.Finished != 4 || window.ResponseTime.Timed != 3 || len(window.Failures) != 2 {
		t.Errorf("first window: %+v", window)
	}
	done(2, OK, 200, "")
	window = recorder.NextWindow(start.Add(15*time.Second), Counts{})
	if window.Length != 5*time.Second || window.Finished != 1 || window.OK != 1 || len(window.Failures) != 0 {
		t.Errorf("second window: %+v", window)
	}
	if _, all := recorder.Summary(); all.Finished != 5 {
		t.Errorf("a window takes nothing from the whole: %+v", all)
	}
}
