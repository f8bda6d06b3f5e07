package load

import (
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
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
		recorder.Lag(times[i] / 1000)
	}
	slices.Sort(times)
	_, all := recorder.Summary()
	lag := quantiles(recorder.Lags())
	window := recorder.NextWindow(time.Time{}, Counts{})
	for _, test := range []struct {
		q    float64
		of   func(Quantiles) time.Duration
		name string
	}{
		{0.5, func(q Quantiles) time.Duration { return q.P50 }, "p50"},
		{0.95, func(q Quantiles) time.Duration { return q.P95 }, "p95"},
		{0.99, func(q Quantiles) time.Duration { return q.P99 }, "p99"},
		{0.999, func(q Quantiles) time.Duration { return q.P999 }, "p99.9"},
		{1, func(q Quantiles) time.Duration { return q.Max }, "max"},
	} {
		want := float64(times[int(math.Ceil(test.q*float64(len(times))))-1])
		for name, got := range map[string]struct{ got, want float64 }{
			"from the due time": {float64(test.of(all.ResponseTime)), want}, "from the send": {float64(test.of(all.Duration)), want / 2},
			"of the window": {float64(test.of(window.ResponseTime)), want}, "of the window from the send": {float64(test.of(window.Duration)), want / 2},
			"of the lag": {float64(test.of(lag)), want / 1000}, "of the window's lag": {float64(test.of(window.Lag)), want / 1000},
		} {
			if math.Abs(got.got-got.want) > 0.01*got.want {
				t.Errorf("%s %s is %v, want %v within 1 %%", test.name, name, time.Duration(got.got), time.Duration(got.want))
			}
		}
	}
	if all.ResponseTime.Max != times[len(times)-1] {
		t.Errorf("the longest is %v, want exactly %v", all.ResponseTime.Max, times[len(times)-1])
	}
}

func TestRecorderCounts(t *testing.T) {
	workload := testWorkload()
	start := time.Unix(100, 0)
	recorder := NewRecorder(workload, start)
	at := start
	done := func(c int, outcome Outcome, status int, reason string) {
		at = at.Add(time.Second)
		recorder.Done(&Result{
			Case: workload.Cases[c], Outcome: outcome, Status: status, Reason: reason, Bytes: int64(status), Done: at,
			ResponseTime: time.Second, Duration: time.Millisecond,
		})
	}
	done(0, OK, 200, "")
	done(0, ServerError, 500, "first")
	done(0, ServerError, 502, "second")
	done(1, Connect, 0, "refused")
	cases, all := recorder.Summary()
	if len(cases) != len(workload.Cases) || cases[0].Finished != 3 || cases[0].OK != 1 || cases[0].Failed() != 2 || cases[0].Answered != 3 {
		t.Fatalf("cases: %+v", cases)
	}
	if cases[0].Name != workload.Cases[0].Name || cases[0].Class != workload.Cases[0].Class || all.Name != "" {
		t.Errorf("names: %+v, %+v", cases[0], all)
	}
	if f := cases[0].Failures; len(f) != 1 || f[0] != (OutcomeCount{Outcome: ServerError, Count: 2, Reason: "first", First: start.Add(2 * time.Second), Last: start.Add(3 * time.Second)}) {
		t.Errorf("failures of the first case: %+v", f)
	}
	if f := all.Failures; len(f) != 2 || f[0].Count != 2 || f[0].Reason != "" || f[1].Outcome != Connect || f[1].Count != 1 {
		t.Errorf("failures of all: %+v", f)
	}
	if cases[1].ResponseTime.Timed != 0 || cases[1].Answered != 0 || all.Finished != 4 || all.ResponseTime.Timed != 3 || all.Answered != 3 {
		t.Errorf("a refused connection must not be timed: %+v, %+v", cases[1], all)
	}
	if cases[0].Bytes != 200+500+502 || cases[1].Bytes != 0 || all.Bytes != cases[0].Bytes {
		t.Errorf("bytes: %d, %d, all %d", cases[0].Bytes, cases[1].Bytes, all.Bytes)
	}
	window := recorder.NextWindow(start.Add(10*time.Second), Counts{})
	if window.Bytes != all.Bytes {
		t.Errorf("%d bytes in the first window", window.Bytes)
	}
	if window.Length != 10*time.Second || window.Finished != 4 || window.Answered != 3 || window.ResponseTime.Timed != 3 || len(window.Failures) != 2 {
		t.Errorf("first window: %+v", window)
	}
	done(2, OK, 200, "")
	window = recorder.NextWindow(start.Add(15*time.Second), Counts{})
	if window.Length != 5*time.Second || window.Finished != 1 || window.OK != 1 || window.Bytes != 200 || len(window.Failures) != 0 {
		t.Errorf("second window: %+v", window)
	}
	if _, all := recorder.Summary(); all.Finished != 5 {
		t.Errorf("a window takes nothing from the whole: %+v", all)
	}
}

// Results come in any order: first and last are by their own times, from many cores.
func TestFailuresAreSeenFirstAndLast(t *testing.T) {
	workload := testWorkload()
	start := time.Unix(1000, 0)
	recorder := NewRecorder(workload, start)
	order := rand.New(rand.NewPCG(3, 4)).Perm(4000)
	var group sync.WaitGroup
	for half := range 2 {
		group.Go(func() {
			for _, i := range order[half*2000 : half*2000+2000] {
				outcome := []Outcome{OK, ServerError, Timeout, Reset}[i%4]
				recorder.Done(&Result{Case: workload.Cases[i%2], Outcome: outcome, Status: 500, Done: start.Add(time.Duration(i) * time.Millisecond)})
			}
		})
	}
	group.Wait()
	cases, all := recorder.Summary()
	want := map[Outcome][2]int{ServerError: {1, 3997}, Timeout: {2, 3998}, Reset: {3, 3999}}
	check := func(failures []OutcomeCount) {
		for _, f := range failures {
			first, last := start.Add(time.Duration(want[f.Outcome][0])*time.Millisecond), start.Add(time.Duration(want[f.Outcome][1])*time.Millisecond)
			if !f.First.Equal(first) || !f.Last.Equal(last) {
				t.Errorf("%s seen %v to %v, want %v to %v", f.Outcome, f.First, f.Last, first, last)
			}
		}
	}
	check(cases[0].Failures)
	check(cases[1].Failures)
	check(all.Failures)
	if n := len(cases[0].Failures) + len(cases[1].Failures); n != 3 || len(all.Failures) != 3 {
		t.Errorf("%d kinds of failures of cases, %d of all", n, len(all.Failures))
	}
}

// Arrivals that were dropped are missing slow ones: the window in which it
// happened says so, and only that one.
func TestWindowWithDropsGivesLowerBounds(t *testing.T) {
	recorder := NewRecorder(testWorkload(), time.Unix(0, 0))
	for i, test := range []struct {
		counts       Counts
		dropped, cut int64
	}{
		{counts: Counts{Scheduled: 10, Sent: 10}},
		{counts: Counts{Scheduled: 30, Sent: 20, Dropped: map[DropReason]int64{DropLate: 7, DropQueueFull: 3}}, dropped: 10},
		{counts: Counts{Scheduled: 31, Sent: 21, Dropped: map[DropReason]int64{DropLate: 7, DropQueueFull: 3}}},
		{counts: Counts{Scheduled: 40, Sent: 29, Cut: 2, Dropped: map[DropReason]int64{DropLate: 8, DropQueueFull: 3}}, dropped: 1, cut: 2},
		{counts: Counts{Scheduled: 40, Sent: 29, Cut: 3, Dropped: map[DropReason]int64{DropLate: 8, DropQueueFull: 3}}, cut: 1},
	} {
		w := recorder.NextWindow(time.Unix(int64(i), 0), test.counts)
		bound := test.dropped+test.cut > 0
		if w.Dropped != test.dropped || w.Cut != test.cut || w.ResponseTime.AtLeast != bound || w.Duration.AtLeast != bound {
			t.Errorf("window %d: %d dropped, %d cut, lower bounds: %v; want %d, %d, %v", i, w.Dropped, w.Cut, w.ResponseTime.AtLeast, test.dropped, test.cut, bound)
		}
	}
}

// A window's own longest time is not that of the whole run.
func TestWindowHasItsOwnTimes(t *testing.T) {
	workload := testWorkload()
	recorder := NewRecorder(workload, time.Unix(0, 0))
	done := func(d time.Duration) {
		recorder.Done(&Result{Case: workload.Cases[0], Outcome: OK, Status: 200, ResponseTime: d, Duration: d})
	}
	done(time.Minute)
	recorder.NextWindow(time.Unix(1, 0), Counts{})
	for range 100 {
		done(10 * time.Millisecond)
	}
	w := recorder.NextWindow(time.Unix(2, 0), Counts{})
	for name, got := range map[string]time.Duration{"p50": w.ResponseTime.P50, "p99.9": w.ResponseTime.P999, "longest": w.ResponseTime.Max} {
		if math.Abs(float64(got-10*time.Millisecond)) > 1e5 {
			t.Errorf("%s of the window is %v, want 10 ms within 1 %%", name, got)
		}
	}
	if w := recorder.NextWindow(time.Unix(3, 0), Counts{}); w.ResponseTime != (Quantiles{}) || w.Finished != 0 {
		t.Errorf("an empty window: %+v", w)
	}
}

func TestSnapshotHasEveryOutcomeAndCode(t *testing.T) {
	workload := testWorkload()
	recorder := NewRecorder(workload, time.Unix(0, 0))
	want := map[RequestCount]int{}
	for i, outcome := range Outcomes() {
		for status := -1; status <= 1000; status++ {
			code := strconv.Itoa(status)
			switch {
			case status == 0:
				code = CodeNone
			case http.StatusText(status) == "":
				code = "other"
			}
			reason := ""
			if outcome != OK {
				reason = "status -1" // the first
			}
			want[RequestCount{Outcome: outcome, Code: code, Reason: reason}]++
			recorder.Done(&Result{
				Case: workload.Cases[1], Outcome: outcome, Status: status, Reason: "status " + strconv.Itoa(status),
				FailedChecks: slices.Repeat([]string{"status", "unheard_of"}, i%2),
			})
		}
	}
	snapshot := recorder.Snapshot()
	got, folded := map[RequestCount]int{}, uint64(0)
	for _, r := range snapshot.Cases[1].Requests {
		n := r.Count
		r.Count = 0
		got[r] = int(n)
		if r.Code == "other" {
			folded += n
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	checks := snapshot.Cases[1].FailedChecks
	if n := uint64(6 * 1002); !slices.Equal(checks, []CheckCount{{"status", n}, {"other", n}}) || snapshot.Folded() != folded+n {
		t.Errorf("checks %v, %d labels folded, want %d", checks, snapshot.Folded(), folded+n)
	}
	if len(snapshot.Cases[0].Requests) != 0 || snapshot.Cases[0].ResponseTime.Histogram.Count() != 0 {
		t.Errorf("a case that nothing came of: %+v", snapshot.Cases[0].Requests)
	}
}

// The classic buckets are exact, although their bounds are none of the grid's.
func TestClassicBucketsAreExact(t *testing.T) {
	workload := testWorkload()
	recorder := NewRecorder(workload, time.Unix(0, 0))
	bounds := TimeBounds()
	want := make([]uint64, len(bounds))
	for _, around := range append(slices.Clone(bounds), time.Hour) {
		for d := around - 2; d <= around+2; d++ {
			recorder.Done(&Result{Case: workload.Cases[0], Outcome: OK, Status: 200, ResponseTime: d, Duration: d})
			for i, bound := range bounds {
				if d <= bound {
					want[i]++
				}
			}
		}
	}
	times := recorder.Snapshot().Cases[0].Duration
	if !slices.Equal(times.UpTo, want) || !slices.Equal(times.Bounds, bounds) || times.Histogram.Count() != uint64(5*len(bounds)+5) {
		t.Errorf("up to %v: %v, want %v", times.Bounds, times.UpTo, want)
	}
}

func TestThereIsRoomForAllThatIsCounted(t *testing.T) {
	if n := len(Outcomes()); n > maxOutcomes {
		t.Errorf("%d outcomes and room for %d", n, maxOutcomes)
	}
	if n := len(newCodeTable().labels); n > maxCodes {
		t.Errorf("%d codes and room for %d", n, maxCodes)
	}
	for name, bounds := range map[string][]time.Duration{"times": TimeBounds(), "lag": LagBounds()} {
		if !slices.IsSorted(bounds) || len(slices.Compact(bounds)) != len(bounds) || len(bounds) > maxBounds {
			t.Errorf("the bounds of the %s must rise and be at most %d: %v", name, maxBounds, bounds)
		}
	}
}

func TestExemplarsAreReplacedAtMostOnceASecond(t *testing.T) {
	workload := testWorkload()
	start := time.Unix(1000, 0)
	recorder := NewRecorder(workload, start)
	done := func(after time.Duration, id byte, response, duration time.Duration) {
		recorder.Done(&Result{
			Case: workload.Cases[0], Outcome: OK, Status: 200, TraceID: TraceID{id}, Done: start.Add(after), ResponseTime: response, Duration: duration,
		})
	}
	const ms = time.Millisecond
	done(0, 1, 2*ms, 1*ms)
	done(999*ms, 2, 2*ms, 1*ms)        // too early
	done(999*ms, 3, time.Hour, 1*ms)   // another bucket
	done(1500*ms, 4, 1*ms+1, 500*1000) // 2.5 ms and 1 ms again
	done(2400*ms, 5, 2*ms, 1*ms)       // too early
	done(9000*ms, 0, 2*ms, 1*ms)       // no trace id
	got := recorder.Snapshot().Cases[0]
	if want := []Exemplar{
		{Bucket: 1, TraceID: TraceID{4}, Value: 1*ms + 1, At: start.Add(1500 * ms)},
		{Bucket: len(TimeBounds()), TraceID: TraceID{3}, Value: time.Hour, At: start.Add(999 * ms)},
	}; !slices.Equal(got.ResponseTime.Exemplars, want) {
		t.Errorf("response times: %+v, want %+v", got.ResponseTime.Exemplars, want)
	}
	if want := []Exemplar{{Bucket: 0, TraceID: TraceID{4}, Value: 500 * 1000, At: start.Add(1500 * ms)}}; !slices.Equal(got.Duration.Exemplars, want) {
		t.Errorf("durations: %+v, want %+v", got.Duration.Exemplars, want)
	}
}

// Nothing is lost between the cores, and a reader in the middle sees no more
// times than requests.
func TestRecorderFromManyGoroutines(t *testing.T) {
	const writers, each = 6, 5000
	workload := testWorkload()
	recorder := NewRecorder(workload, time.Now())
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				result := Result{
					Case: workload.Cases[i%3], Outcome: OK, Status: 200, TraceID: TraceID{byte(w), 1}, Done: time.Now(),
					ResponseTime: time.Duration(i+1) * time.Microsecond, Duration: time.Duration(i+1) * time.Microsecond,
				}
				if i%10 == 0 {
					result.Outcome, result.Reason, result.FailedChecks = CheckFailed, "wrong", []string{"status"}
				}
				recorder.Done(&result)
				recorder.Lag(time.Duration(i))
			}
		})
	}
	ended := make(chan struct{})
	go func() { group.Wait(); close(ended) }()
	var windows int64
	for reading := true; reading; {
		select {
		case <-ended:
			reading = false
		default:
		}
		windows += recorder.NextWindow(time.Now(), Counts{}).Finished
		if _, all := recorder.Summary(); all.ResponseTime.Timed > all.Finished {
			t.Fatalf("%d times of %d requests", all.ResponseTime.Timed, all.Finished)
		}
	}
	cases, all := recorder.Summary()
	if all.Finished != writers*each || all.OK != writers*each*9/10 || all.ResponseTime.Timed != writers*each || windows != writers*each {
		t.Errorf("%+v, want %d; %d in windows", all, writers*each, windows)
	}
	if f := cases[0].Failures; len(f) != 1 || f[0].Reason != "wrong" || f[0].Outcome != CheckFailed {
		t.Errorf("failures %+v", f)
	}
	if lags := recorder.Lags(); lags.Count() != writers*each || lags.Zeros() != writers {
		t.Errorf("%d lags, %d of them 0", lags.Count(), lags.Zeros())
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	workload := testWorkload()
	recorder := NewRecorder(workload, time.Now())
	at, n := time.Now(), 0
	ok := func() {
		n++
		at = at.Add(100 * time.Millisecond) // exemplars are replaced, too
		recorder.Done(&Result{
			Case: workload.Cases[n%3], Outcome: OK, Status: 200, TraceID: TraceID{1}, Done: at,
			ResponseTime: time.Millisecond << (n % 8), Duration: time.Millisecond << (n % 8),
		})
	}
	checks := []string{"status"}
	for name, record := range map[string]func(){
		"a success": ok,
		"a failure": func() {
			recorder.Done(&Result{Case: workload.Cases[0], Outcome: CheckFailed, Status: 200, FailedChecks: checks, Reason: "wrong", Done: at})
		},
		"a lag": func() { recorder.Lag(70 * time.Microsecond) },
	} {
		for range 100 * len(recorder.shards.All()) {
			record()
		}
		if allocs := testing.AllocsPerRun(1000, record); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}
