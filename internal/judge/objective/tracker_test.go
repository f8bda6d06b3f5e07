package objective

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

var epoch = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func minute(i int) time.Time { return epoch.Add(time.Duration(i) * time.Minute) }

// traffic is one minute of the case "forecast" of the class "standard".
func traffic(i int, ok, failed int64) *window.Window {
	return &window.Window{
		Start: minute(i), Length: window.Minute, Covered: window.Minute, Fit: window.Minute,
		Cases: []window.Case{{Name: "forecast", Class: "standard", Outcomes: window.Counts(map[string]int64{"ok": ok, "server_error": failed})}},
	}
}

func availability(t *testing.T, target float64, policy Policy) *Tracker {
	t.Helper()
	tracker, err := New([]Objective{{"answers", "all", Availability, target, 0}}, policy)
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

func times(of map[time.Duration]int) *histogram.Histogram {
	h := new(histogram.Histogram)
	for d, n := range of {
		for range n {
			h.Observe(d)
		}
	}
	return h
}

func TestWhatIsBad(t *testing.T) {
	w := &window.Window{
		Start: epoch, Length: window.Minute, Covered: window.Minute, Fit: window.Minute,
		Cases: []window.Case{
			{
				Name: "forecast", Class: "standard",
				Outcomes: window.Counts(map[string]int64{"ok": 90, "server_error": 3, "rate_limited": 2, "connect": 1, "timeout": 4}),
				Times:    times(map[time.Duration]int{100 * time.Millisecond: 85, 1500 * time.Millisecond: 10, 10 * time.Second: 4}),
			},
			// The limit of this case is below the threshold of 5 s: its timeouts are late all the same.
			{
				Name: "health", Class: "health", Outcomes: window.Counts(map[string]int64{"ok": 10, "timeout": 2}),
				Times: times(map[time.Duration]int{time.Millisecond: 10, 2 * time.Second: 2}),
			},
			{
				Name: "invalid_amount", Class: "standard", Invalid: true,
				Outcomes: window.Counts(map[string]int64{"ok": 50, "accepted_invalid": 1, "server_error": 2, "timeout": 4, "rate_limited": 8}),
				Times:    times(map[time.Duration]int{time.Millisecond: 60}),
			},
			{Name: "unsent", Class: "standard", Outcomes: window.Counts(map[string]int64{"connect": 5})},
		},
	}
	for _, c := range []struct {
		objective   Objective
		events, bad int64
	}{
		{Objective{"a", "all", Availability, 0.99, 0}, 117, 17},
		{Objective{"b", "standard", Availability, 0.99, 0}, 105, 15},
		{Objective{"c", "invalid", Availability, 0.99, 0}, 53, 3},
		{Objective{"d", "standard", Latency, 0.99, time.Second}, 99, 14},
		{Objective{"e", "health", Latency, 0.99, 5 * time.Second}, 12, 2},
		{Objective{"f", "all", Latency, 0.99, time.Second}, 111, 16},
		{Objective{"g", "complex", Availability, 0.99, 0}, 0, 0},
	} {
		tracker, err := New([]Objective{c.objective}, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		tracker.Observe(w)
		if got := tracker.Status()[0]; got.Events != c.events || got.Bad != c.bad {
			t.Errorf("%s: %d of %d bad, want %d of %d", c.objective.String(), got.Bad, got.Events, c.bad, c.events)
		}
	}
}

// The reset times of the workbook's table for a total outage of a service that was
// perfect: at 99 % and 14.4 the alert comes when 14.4 % of an hour is gone.
func TestATotalOutageAlerts(t *testing.T) {
	tracker := availability(t, 0.99, Policy{})
	for i := range 120 {
		if got := tracker.Observe(traffic(i, 3000, 0)); got != nil {
			t.Fatalf("minute %d: %+v", i, got)
		}
	}
	first := 0
	for i := 120; first == 0; i++ {
		symptoms := tracker.Observe(traffic(i, 0, 3000))
		if len(symptoms) > 0 {
			first = i - 120 + 1
			s := symptoms[0]
			if !s.Onset.Equal(minute(120)) || s.Kind != finding.Objective || s.Subject != (finding.Subject{Objective: "answers", Class: "all"}) || s.Over {
				t.Errorf("%+v", s)
			}
			if math.Abs(s.Before-0.01) > 1e-9 || math.Abs(s.After-0.15) > 1e-9 || s.Requests != 180_000 || s.Windows != 60 || s.Confidence < 0.999999 {
				t.Errorf("figures %+v", s)
			}
		}
	}
	if first != 9 { // 8.64 minutes
		t.Errorf("noticed after %d minutes, want 9", first)
	}
	// It ends soon after the failures do: the short window forgets.
	for i := 129; ; i++ {
		symptoms := tracker.Observe(traffic(i, 3000, 0))
		if len(symptoms) != 1 {
			t.Fatalf("minute %d: %+v", i, symptoms)
		}
		if symptoms[0].Over {
			if got := i - 129; got > 40 {
				t.Errorf("over after %d minutes", got)
			}
			if ended := symptoms[0].Ended; !ended.After(minute(129)) || ended.After(minute(i)) {
				t.Errorf("ended at %v", ended)
			}
			break
		}
		if i > 250 {
			t.Fatal("it never ends")
		}
	}
	for i := 260; i < 300; i++ {
		if got := tracker.Observe(traffic(i, 3000, 0)); got != nil {
			t.Fatalf("minute %d: %+v", i, got)
		}
	}
}

// Which of the alerts comes for a constant share of failures, and after how long.
func TestConstantFailures(t *testing.T) {
	for _, c := range []struct {
		share    float64
		severity Severity
		minutes  int // 0: never
	}{
		{0.009, "", 0},
		{0.012, Ticket, 60 * 60}, // 1.2 times the budget needs 1/1.2 of the 3 days
		{0.07, Page, 6 * 60 * 6 / 7},
		{0.2, Page, 60 * 144 / 200},
	} {
		tracker := availability(t, 0.99, Policy{})
		found := 0
		for i := range 5000 {
			failed := int64(math.Round(3000 * c.share))
			if symptoms := tracker.Observe(traffic(i, 3000-failed, failed)); len(symptoms) > 0 {
				found = i + 1
				if got := tracker.all[0].burning.Rate.Burn.Severity; got != c.severity {
					t.Errorf("%v: %s, want %s", c.share, got, c.severity)
				}
				break
			}
		}
		// Long windows of days are summed up by the hour.
		if d := found - c.minutes; d < -1 || d > 61 || (c.minutes == 0) != (found == 0) {
			t.Errorf("%v: noticed after %d minutes, want %d", c.share, found, c.minutes)
		}
	}
}

// A service that fails by chance exactly as often as it may, at rates from very
// few to many requests, is left alone.
func TestAServiceThatKeepsItsObjectiveIsLeftAlone(t *testing.T) {
	for _, rate := range []int64{1, 20, 3000} {
		for _, target := range []float64{0.95, 0.99, 0.999} {
			random := rand.New(rand.NewPCG(uint64(rate), uint64(1000*target)))
			tracker := availability(t, target, Policy{})
			for i := range 4 * 24 * 60 {
				failed := int64(0)
				if rate > 100 { // normal, for speed
					mean := float64(rate) * (1 - target)
					failed = max(0, int64(math.Round(mean+math.Sqrt(mean)*random.NormFloat64())))
				} else {
					for range rate {
						if random.Float64() > target {
							failed++
						}
					}
				}
				if got := tracker.Observe(traffic(i, rate-failed, failed)); got != nil {
					t.Fatalf("%d a minute at %v, minute %d: %s", rate, target, i, got[0].Text)
				}
			}
		}
	}
}

func TestASingleFailureOfFewRequestsIsNoBurn(t *testing.T) {
	tracker := availability(t, 0.999, Policy{})
	for i := range 600 {
		failed := int64(0)
		if i == 3 || i == 300 {
			failed = 1
		}
		if got := tracker.Observe(traffic(i, 2, failed)); got != nil {
			t.Fatalf("minute %d: %s", i, got[0].Text)
		}
	}
	if got := tracker.Status()[0]; got.Bad != 2 || !got.Known || got.Met {
		t.Errorf("%+v", got)
	}
}

func TestStatus(t *testing.T) {
	tracker := availability(t, 0.99, Policy{})
	if got := tracker.Status()[0]; got.Known || got.BudgetRemaining != 1 || got.Missing != "0 requests, and a single bad one decides below 100" {
		t.Errorf("%+v", got)
	}
	tracker.Observe(traffic(0, 99, 0))
	if got := tracker.Status()[0]; got.Known || got.Events != 99 {
		t.Errorf("%+v", got)
	}
	tracker.Observe(traffic(1, 900, 1))
	got := tracker.Status()[0]
	if !got.Known || !got.Met || math.Abs(got.Ratio-0.999) > 1e-12 || math.Abs(got.BudgetRemaining-0.9) > 1e-9 || got.Missing != "" || !got.Since.Equal(epoch) {
		t.Errorf("%+v", got)
	}
	tracker.Observe(traffic(2, 0, 1000))
	got = tracker.Status()[0]
	if !got.Known || got.Met || got.BudgetRemaining > -49 || got.Events != 2000 || got.Bad != 1001 {
		t.Errorf("%+v", got)
	}
	if r := got.Burns[0]; r.Burn.Factor != 14.4 || math.Abs(r.Short-50.05) > 1e-9 || math.Abs(r.Long-50.05*3/60) > 1e-9 || r.Holds || r.Seen != 3*time.Minute {
		t.Errorf("%+v", r)
	}
	// After the period nothing of it is left, but in the totals.
	for i := range 3 {
		tracker.Observe(traffic(31*24*60+i, 1000, 0))
	}
	got = tracker.Status()[0]
	if !got.Met || got.Ratio != 1 || got.BudgetRemaining != 1 || got.Events != 5000 || got.Bad != 1001 {
		t.Errorf("a month later: %+v", got)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name       string
		minutes    [][2]int64 // good, bad
		run, worst Result
		worstAt    int
	}{
		{"nothing", nil, NotEnough, NotEnough, 0},
		{"too few", [][2]int64{{50, 1}}, NotEnough, NotEnough, 0},
		{"few, and more bad than any more could mend", [][2]int64{{50, 2}}, Missed, NotEnough, 0},
		{"good", [][2]int64{{3000, 3}, {3000, 3}}, Met, Met, 0},
		{"missed", [][2]int64{{3000, 300}}, Missed, Missed, 0},
		{
			"five bad minutes in a good hour",
			append(append(repeat(20, 3000, 0), repeat(5, 2900, 100)...), repeat(200, 3000, 0)...), Met, Missed, 20,
		},
		{"a worst window that chance explains", append(repeat(5, 197, 3), repeat(20, 200, 0)...), Met, Met, 0},
	} {
		tracker := availability(t, 0.99, Policy{})
		for i, m := range c.minutes {
			tracker.Observe(traffic(i, m[0], m[1]))
		}
		got := tracker.Judge()[0]
		if got.Run.Result != c.run || got.Worst.Result != c.worst {
			t.Errorf("%s: %s and %s, want %s and %s (%+v)", c.name, got.Run.Result, got.Worst.Result, c.run, c.worst, got)
		}
		if got.Worst.Events > 0 && !got.Worst.From.Equal(minute(c.worstAt)) {
			t.Errorf("%s: the worst began at %v, want %v", c.name, got.Worst.From, minute(c.worstAt))
		}
	}
}

func TestJudgeSaysWhat(t *testing.T) {
	tracker := availability(t, 0.99, Policy{})
	for i := range 60 {
		failed := int64(0)
		if i/5 == 4 {
			failed = 100
		}
		w := traffic(i, 3000-failed, failed)
		if i >= 50 {
			w.Fit = 30 * time.Second
		}
		tracker.Observe(w)
	}
	got := tracker.Judge()[0]
	if want := "answers: 0.278 % of 180000 requests failed, 1% are allowed; 5m0s of the time did not count"; got.Run.Text != want {
		t.Errorf("%q, want %q", got.Run.Text, want)
	}
	if want := "answers: 3.33 % of 15000 requests failed, 1% are allowed (the worst 5 minutes, from 00:20)"; got.Worst.Text != want {
		t.Errorf("%q, want %q", got.Worst.Text, want)
	}
	if !got.Run.From.Equal(epoch) || !got.Run.To.Equal(minute(60)) || !got.Worst.To.Equal(minute(25)) {
		t.Errorf("%+v", got)
	}
}

func repeat(n int, good, bad int64) [][2]int64 {
	all := make([][2]int64, n)
	for i := range all {
		all[i] = [2]int64{good, bad}
	}
	return all
}

// noisy is a random stretch with failures that come and go.
func noisy(n int) []*window.Window {
	random := rand.New(rand.NewPCG(7, 8))
	var all []*window.Window
	for i, at := 0, 0; i < n; i++ {
		at += 1 + random.IntN(2)*random.IntN(2)*random.IntN(90)
		failed := int64(0)
		if (i/60)%3 == 1 {
			failed = random.Int64N(1500)
		}
		w := traffic(at, 3000-failed, failed)
		w.Fit -= time.Duration(random.Int64N(int64(20 * time.Second)))
		all = append(all, w)
	}
	return all
}

// Cut anywhere, written, read and shown some of the past again, a Tracker goes on
// as if nothing had been.
func TestStateSurvives(t *testing.T) {
	windows := noisy(600)
	whole := availability(t, 0.99, Policy{})
	var want [][]finding.Symptom
	for _, w := range windows {
		want = append(want, whole.Observe(w))
	}
	for _, cut := range []int{0, 1, 70, 100, 130, 599} {
		first := availability(t, 0.99, Policy{})
		for _, w := range windows[:cut] {
			first.Observe(w)
		}
		data, err := first.State()
		if err != nil {
			t.Fatal(err)
		}
		second := availability(t, 0.99, Policy{})
		if err := second.Restore(data); err != nil {
			t.Fatal(err)
		}
		if cut > 0 && !second.Counted().Equal(windows[cut-1].End()) {
			t.Errorf("counted up to %v", second.Counted())
		}
		for _, w := range windows[max(0, cut-50):cut] {
			if got := second.Observe(w); got != nil {
				t.Fatalf("a window that was counted gave %+v", got)
			}
		}
		for i, w := range windows[cut:] {
			if got := second.Observe(w); !reflect.DeepEqual(got, want[cut+i]) {
				t.Fatalf("cut at %d, window %d: %+v, want %+v", cut, i, got, want[cut+i])
			}
		}
		if !reflect.DeepEqual(second.Status(), whole.Status()) || !reflect.DeepEqual(second.Judge(), whole.Judge()) {
			t.Errorf("cut at %d: another status", cut)
		}
	}
}

func TestRestoreTakesWhatIsAboutTheSame(t *testing.T) {
	before, err := New([]Objective{{"a", "all", Availability, 0.99, 0}, {"b", "all", Latency, 0.99, time.Second}}, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	before.Observe(traffic(0, 100, 50))
	data, err := before.State()
	if err != nil {
		t.Fatal(err)
	}
	after, err := New([]Objective{{"a", "all", Availability, 0.95, 0}, {"b", "all", Latency, 0.99, 2 * time.Second}}, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if err := after.Restore(data); err != nil {
		t.Fatal(err)
	}
	got := after.Status()
	if got[0].Bad != 50 || !got[1].Since.IsZero() || !after.Counted().IsZero() {
		t.Errorf("%+v", got)
	}
	if err := after.Restore([]byte("{")); err == nil || after.Status()[0].Bad != 50 {
		t.Errorf("%v", err)
	}
}

func TestStateIsSmall(t *testing.T) {
	tracker := availability(t, 0.99, Policy{})
	for i := range 31 * 24 {
		tracker.Observe(traffic(60*i, 180_000, 1))
	}
	for i := range 6 * 60 {
		tracker.Observe(traffic(31*24*60+i, 3000, 1))
	}
	data, err := tracker.State()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(data) || len(data) > 50<<10 {
		t.Errorf("%d bytes", len(data))
	}
}

func TestOtherLevelsArePassedOver(t *testing.T) {
	tracker := availability(t, 0.99, Policy{})
	w := traffic(0, 1, 1)
	w.Length = window.Hour
	tracker.Observe(w)
	if got := tracker.Status()[0]; got.Events != 0 {
		t.Errorf("%+v", got)
	}
}

// More failures never make the status better, whatever the rest is.
func TestMoreFailuresAreNeverBetter(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for range 50 {
		fewer, more := availability(t, 0.99, PolicyFor(3*time.Hour)), availability(t, 0.99, PolicyFor(3*time.Hour))
		for i := range 60 {
			failed := random.Int64N(50)
			fewer.Observe(traffic(i, 1000-failed, failed))
			failed += random.Int64N(50)
			more.Observe(traffic(i, 1000-failed, failed))
			a, b := fewer.Status()[0], more.Status()[0]
			if b.Ratio > a.Ratio || b.BudgetRemaining > a.BudgetRemaining || (b.Met && !a.Met) {
				t.Fatalf("%+v is better than %+v", b, a)
			}
			for j := range a.Burns {
				if b.Burns[j].Long < a.Burns[j].Long || (a.Burns[j].Holds && !b.Burns[j].Holds) {
					t.Fatalf("%+v burns less than %+v", b.Burns[j], a.Burns[j])
				}
			}
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	tracker, err := New(Defaults([]string{"health", "standard", "monte_carlo", "sensitivity", "complex", "invalid"}), Policy{})
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		tracker.Observe(traffic(i, 3000, 60))
		i++
	}
}

// A run counts for itself, the minute that it shares with the run before too; the
// budget is that of both.
func TestARunBegins(t *testing.T) {
	tracker := availability(t, 0.99, PolicyFor(0))
	for i := range 10 {
		tracker.Observe(traffic(i, 500, 500))
	}
	tracker.BeginRun()
	if s := tracker.Status()[0]; s.Events != 0 || s.Bad != 0 || s.BudgetRemaining >= 0 {
		t.Errorf("begun: %+v", s)
	}
	tracker.Observe(traffic(8, 1, 1000)) // replayed: it was counted
	tracker.Observe(traffic(9, 1000, 0))
	tracker.Observe(traffic(9, 1000, 0)) // counted now
	for i := range 10 {
		tracker.Observe(traffic(10+i, 1000, 0))
	}
	if s := tracker.Status()[0]; s.Events != 11_000 || s.Bad != 0 || s.Ratio > 0.8 {
		t.Errorf("%+v", s)
	}
	if j := tracker.Judge()[0]; j.Run.Result != Met || j.Run.Events != 11_000 || !j.Run.From.Equal(minute(9)) {
		t.Errorf("%+v", j)
	}
}
