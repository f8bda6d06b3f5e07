package report

import (
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// shortWindow is a window of 10 s with so many requests, and one failure in it.
func shortWindow(start time.Time, requests int64) *window.Window {
	times := new(histogram.Histogram)
	for range requests {
		times.Observe(20 * time.Millisecond)
	}
	return &window.Window{
		Start: start, Length: window.Short, Covered: window.Short, Fit: window.Short, Dropped: 1,
		Cases:   []window.Case{{Name: "forecast", Class: "standard", Times: times, Outcomes: window.Counts(map[string]int64{"ok": requests - 1, "timeout": 1})}},
		Signals: []window.Signal{{Name: "soakd_api_open_fds", N: 2, Min: 3, Max: 5, Sum: 8, Last: 5}, {Name: "soakd_redis_evicted_keys_total", Kind: window.Counter, N: 2, Increase: 7}},
	}
}

// Whatever the length of a run, nothing of it is lost and it fits the report.
func TestTimelineKeepsAllOfARun(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 7, 0, time.UTC)
	for _, windows := range []int{1, 18, MaxWindows, MaxWindows + 1, 8 * 7 * 24 * 360 / 20} {
		var line Timeline
		var requests int64
		var unfit int
		for i := range windows {
			w := shortWindow(start.Add(time.Duration(i)*window.Short), 5)
			if i%3 == 1 {
				w.Unfit, w.Fit = []string{"late"}, 0
				unfit++
			}
			line.Add(w)
			requests += 5
		}
		kept := line.Windows()
		if len(kept) > MaxWindows || (windows > MaxWindows && len(kept) < MaxWindows/2) {
			t.Errorf("%d windows became %d", windows, len(kept))
		}
		points := Points(kept)
		var sum, failed, dropped int64
		var evicted float64
		for i, p := range points {
			sum, failed, dropped = sum+p.Requests, failed+p.Failed, dropped+p.Dropped
			evicted += kept[i].Signal("soakd_redis_evicted_keys_total", "").Increase
			if fds := kept[i].Signal("soakd_api_open_fds", ""); fds.Min != 3 || fds.Max != 5 || fds.Mean() != 4 {
				t.Fatalf("%+v", fds)
			}
			if kept[i].Length != kept[0].Length || (i > 0 && kept[i].Start.Sub(kept[i-1].Start) != kept[0].Length) {
				t.Fatalf("window %d begins %v and has %v", i, kept[i].Start, kept[i].Length)
			}
			if p.P95 < 19*time.Millisecond || p.P95 > 21*time.Millisecond || p.Cases[0].Name != "forecast" {
				t.Fatalf("%+v", p)
			}
		}
		if n := int64(windows); sum != requests || failed != n || dropped != n || evicted != float64(7*windows) {
			t.Errorf("of %d windows: %d requests, %d failed, %d dropped, %v evicted", windows, sum, failed, dropped, evicted)
		}
		if !kept[0].Start.Equal(start) {
			t.Errorf("begins %v", kept[0].Start)
		}
	}
}

// What is left of a window after the last request is no fall of the rate to 0.
func TestTheRestOfARunIsNoWindow(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		rest window.Window
		want int
	}{
		{"nothing", window.Window{Covered: 30 * time.Millisecond}, 2},
		{"a request", window.Window{Covered: 30 * time.Millisecond, Sent: 1}, 3},
		{"cut requests", window.Window{Covered: 30 * time.Millisecond, Unfit: []string{"dropped"}}, 3},
		{"time without any", window.Window{Covered: 5 * time.Second}, 3},
	} {
		var line Timeline
		line.Add(shortWindow(start, 5))
		line.Add(shortWindow(start.Add(window.Short), 5))
		rest := test.rest
		rest.Start, rest.Length = start.Add(2*window.Short), window.Short
		line.Add(&rest)
		if got := len(line.Windows()); got != test.want {
			t.Errorf("%s: %d windows, want %d", test.name, got, test.want)
		}
	}
}

// A gap in the run is one in the report.
func TestTimelineKeepsGaps(t *testing.T) {
	var line Timeline
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for _, at := range []time.Duration{0, 10 * time.Second, time.Hour} {
		line.Add(shortWindow(start.Add(at), 5))
	}
	if kept := line.Windows(); len(kept) != 3 || !kept[2].Start.Equal(start.Add(time.Hour)) {
		t.Errorf("%d windows", len(kept))
	}
	if p := Points([]*window.Window{{Length: window.Short}}); p[0].P50 >= 0 || p[0].Max >= 0 {
		t.Errorf("of nothing there is %+v", p[0])
	}
}

// What was handed out does not change with what comes later.
func TestWindowsAreNotChanged(t *testing.T) {
	var line Timeline
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for i := range MaxWindows + 1 {
		line.Add(shortWindow(start.Add(time.Duration(i)*window.Short), 5))
	}
	before := line.Windows()
	last := before[len(before)-1]
	requests := last.Case("forecast").Requests()
	line.Add(shortWindow(start.Add((MaxWindows+1)*window.Short), 5))
	if got := last.Case("forecast").Requests(); got != requests || last.Case("forecast").Times.Count() != uint64(requests) {
		t.Errorf("%d requests became %d", requests, got)
	}
}
