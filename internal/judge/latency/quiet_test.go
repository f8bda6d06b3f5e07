package latency_test

import (
	"slices"
	"testing"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/latency"
	"soakd/internal/judge/window"
)

func detector(t testing.TB) *latency.Detector {
	t.Helper()
	d, err := latency.New(latency.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// few is a smaller workload, for long runs.
func few() []kindOfCase {
	return slices.DeleteFunc(workload(), func(c kindOfCase) bool {
		return !slices.Contains([]string{"list_scenarios", "get_scenario", "health", "monte_carlo", "sensitivity", "invalid_a"}, c.name)
	})
}

// run makes windows for so many minutes, and returns the symptoms that were new.
func run(t *testing.T, d *latency.Detector, w *world, minutes int) []finding.Symptom {
	t.Helper()
	var found []finding.Symptom
	for end := w.minute + minutes; w.minute < end; {
		for _, s := range d.Observe(w.step()) {
			if !s.Over && !slices.ContainsFunc(found, func(f finding.Symptom) bool { return f.Key() == s.Key() && f.Onset.Equal(s.Onset) }) {
				t.Logf("minute %d: %s", w.minute, s.Text)
				found = append(found, s)
			}
		}
	}
	return found
}

// Weeks of traffic with the noise of a machine that others use too: half of them at a
// constant rate, half with a day curve. bench/detect has many more of them.
func TestQuietForWeeks(t *testing.T) {
	minutes := 10 * 24 * 60
	if testing.Short() || slowly {
		minutes = 24 * 60
	}
	results := make(chan int, 4)
	t.Run("runs", func(t *testing.T) {
		for seed := range uint64(4) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				w := newWorld(100 + seed)
				w.cases, w.nightly, w.deploys, w.unfit = few(), true, true, 0.005
				if seed%2 == 1 {
					w.rate = dayCurve
				}
				results <- len(run(t, detector(t), w, minutes))
			})
		}
	})
	alarms := 0
	for range 4 {
		alarms += <-results
	}
	if alarms > 0 {
		t.Errorf("%d false alarms in 4 times %d days", alarms, minutes/24/60)
	}
}

// What is short, known, or no matter of latency is no symptom.
func TestQuiet(t *testing.T) {
	everything := func(factor func(c *kindOfCase, minute float64) float64) func(*world) {
		return func(w *world) {
			w.slowed = func(c *kindOfCase, at float64) (float64, float64) { return factor(c, at), 0 }
		}
	}
	within := func(at, from, to float64) bool { return at >= from && at < to }
	for name, change := range map[string]func(*world){
		"a burst of 5 minutes": everything(func(_ *kindOfCase, at float64) float64 {
			if within(at, 300.3, 305.3) {
				return 1.6
			}
			return 1
		}),
		"one case for 5 minutes": everything(func(c *kindOfCase, at float64) float64 {
			if within(at, 300.5, 305.5) && c.name == "forecast" {
				return 3
			}
			return 1
		}),
		"a nightly job of 20 minutes": everything(func(c *kindOfCase, at float64) float64 {
			if within(at, 300, 320) && c.database {
				return 1.1
			}
			return 1
		}),
		"faster, and as before again": everything(func(c *kindOfCase, at float64) float64 {
			if within(at, 300, 340) && c.name == "forecast" {
				return 0.6
			}
			return 1
		}),
		"a cold start": everything(func(_ *kindOfCase, at float64) float64 {
			if at < 20 {
				return 3 - at/10
			}
			return 1
		}),
		"a higher rate, seen for the first time": func(w *world) {
			w.rate = func(minute int) float64 {
				if minute < 300 || minute > 420 {
					return 1
				}
				return 1.6
			}
		},
		"errors that are fast": func(w *world) {
			w.failing = func(minute int) float64 {
				if minute >= 300 && minute < 380 {
					return 0.8
				}
				return 0
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(3)
			change(w)
			if found := run(t, detector(t), w, 460); len(found) > 0 {
				t.Errorf("%d symptoms", len(found))
			}
		})
	}
}

// Minutes in which soakd was not fit, or a restarted target warms up, do not count.
func TestLeftOut(t *testing.T) {
	for name, change := range map[string]func(minute int, w *window.Window){
		"not fit":              func(_ int, w *window.Window) { w.Fit, w.Unfit = 20*time.Second, []string{"late"} },
		"a rolling deployment": func(_ int, w *window.Window) { w.Version = window.Mixed },
		"restarts all the time": func(minute int, w *window.Window) {
			w.Signals = []window.Signal{{Name: "soakd_api_restarts_total", Kind: window.Counter, N: 6, Increase: 1 - float64(minute%2)}}
		},
		"new starts all the time": func(minute int, w *window.Window) {
			started := float64(1_000_000 + minute/3*180)
			w.Signals = []window.Signal{{Name: "soakd_api_start_time_seconds", N: 1, Min: started, Max: started, Sum: started, Last: started}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(4)
			w.slowed = func(_ *kindOfCase, at float64) (float64, float64) {
				if at >= 200 && at < 240 {
					return 4, 0.05
				}
				return 1, 0
			}
			d := detector(t)
			for w.minute < 280 {
				x := w.step()
				if minute := w.minute - 1; minute >= 198 && minute < 242 {
					change(minute, x)
				}
				if found := d.Observe(x); len(found) > 0 {
					t.Fatalf("minute %d: %s", w.minute, found[0].Text)
				}
			}
		})
	}
}
