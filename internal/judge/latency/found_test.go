package latency_test

import (
	"math"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/latency"
	"soakd/internal/judge/window"
)

// Every fault is found by its name and dated, and nothing else is found.
func TestFaultsAreFoundByTheirNames(t *testing.T) {
	seeds := uint64(5)
	if testing.Short() || slowly {
		seeds = 1
	}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var dating []int
			missed, others := 0, 0
			for seed := range seeds {
				s := tell(t, 500+seed, &f, 600, f.within+30, nil)
				if s.found < 0 || s.found > f.within {
					missed++
					t.Logf("seed %d: found after %d minutes", seed, s.found)
				} else {
					dating = append(dating, max(s.dating, -s.dating))
				}
				if len(s.others) > 0 {
					others++
					t.Logf("seed %d: also %v", seed, s.others)
				}
			}
			if missed > f.misses || others > 0 {
				t.Errorf("missed %d of %d, another name or more than one in %d", missed, seeds, others)
			}
			slices.Sort(dating)
			if len(dating) > 0 && f.kind != finding.LatencyDrift && dating[len(dating)/2] > 2 {
				t.Errorf("dated wrong by %v minutes", dating)
			}
		})
	}
}

// A change that comes at another rate of a day curve is seen as soon as the rate was
// seen before.
func TestStepOnADayCurve(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	t.Parallel()
	f := faults()[0]
	for seed := range uint64(3) {
		s := tell(t, seed, &f, 1440+480+int(200*seed), 60, func(w *world) { w.rate = dayCurve })
		if s.found < 0 || s.found > 15 || len(s.others) > 0 {
			t.Errorf("seed %d: %+v", seed, s)
		}
	}
}

// A deployment that makes a case slower: its first minutes are left out, what was
// before stays the reference.
func TestSlowerVersion(t *testing.T) {
	t.Parallel()
	f := faults()[0]
	s := tell(t, 1, &f, 300, 40, func(w *world) {
		w.version = func(minute int) string {
			if minute < 300 {
				return "v1"
			}
			return "v2"
		}
	})
	if s.found < 0 || s.found > 14 || len(s.others) > 0 || max(s.dating, -s.dating) > 4 {
		t.Errorf("%+v", s)
	}
}

// Windows that are missing are a gap, and nothing in between is made up.
func TestGap(t *testing.T) {
	t.Parallel()
	w := newWorld(8)
	w.slowed = func(c *kindOfCase, at float64) (float64, float64) {
		if at > 400 && c.name == "forecast" {
			return 1.3, 0
		}
		return 1, 0
	}
	d := detector(t)
	for w.minute < 500 {
		x := w.step()
		if w.minute > 350 && w.minute <= 450 {
			continue
		}
		found := d.Observe(x)
		if w.minute <= 450 && len(found) > 0 {
			t.Fatalf("minute %d: %s", w.minute, found[0].Text)
		}
		if len(found) > 0 {
			s := found[0]
			from, to := minutesOf(s.OnsetFrom), minutesOf(s.OnsetTo)
			if w.minute > 465 || from > 400 || to < 400 {
				t.Errorf("found in minute %d, to have begun from %v to %v", w.minute, from, to)
			}
			return
		}
	}
	t.Error("not found")
}

func minutesOf(at time.Time) int { return int(at.Unix()/60 - startMinute) }

// A symptom lasts as long as the change, is not taken for normal after a day, and
// ends once.
func TestLastsAndEnds(t *testing.T) {
	t.Parallel()
	for _, hits := range []func(*kindOfCase) bool{only("get_scenario"), all} {
		w := newWorld(9)
		w.cases = few()
		const began, ended = 400, 400 + 27*60
		w.slowed = func(c *kindOfCase, at float64) (float64, float64) {
			if at > began && at < ended && hits(c) {
				return 1.6, 0
			}
			return 1, 0
		}
		d := detector(t)
		over, first := 0, 0
		for w.minute < ended+200 {
			found := d.Observe(w.step())
			switch {
			case w.minute > began+20 && w.minute < ended && (len(found) != 1 || found[0].Over || found[0].Ratio() < 1.4 || found[0].Ratio() > 1.8):
				t.Fatalf("minute %d: %+v", w.minute, found)
			case len(found) == 1 && first == 0:
				first = w.minute
			}
			if len(found) == 1 && found[0].Over {
				over++
				if at := minutesOf(found[0].Ended); at < ended-1 || at > ended+3 || w.minute > ended+16 {
					t.Errorf("said in minute %d that it ended in %d; it was %d", w.minute, at, ended)
				}
			}
		}
		if over != 1 {
			t.Errorf("ended %d times", over)
		}
	}
}

// The figures say what happened.
func TestFigures(t *testing.T) {
	t.Parallel()
	w := newWorld(10)
	w.slowed = func(c *kindOfCase, at float64) (float64, float64) {
		if at > 300 && c.name == "forecast" {
			return 1.5, 0
		}
		return 1, 0
	}
	d := detector(t)
	run(t, d, w, 360)
	found := d.Observe(w.step())
	if len(found) != 1 {
		t.Fatal(found)
	}
	s := found[0]
	near := func(a, b, share float64) bool { return math.Abs(a-b) <= share*b }
	if s.Kind != finding.Latency || !near(s.Ratio(), 1.5, 0.1) || !near(s.Before, 0.02, 0.2) || s.Unit != "seconds" || s.Confidence < 0.999 ||
		s.Windows < 55 || s.Windows > 62 || !near(float64(s.Requests), 60*900, 0.1) || s.Against == "" {
		t.Errorf("%+v", s)
	}
	for _, r := range d.Ratios() {
		want := 1.0
		if r.Case == "forecast" {
			want = 1.5
		}
		dense := !slices.Contains([]string{"complex_analysis", "invalid_a", "invalid_b"}, r.Case)
		if dense && (!r.Known || !near(r.Ratio, want, 0.25)) || r.Slower != (r.Case == "forecast" && r.Signal == latency.SignalMedian) {
			t.Errorf("%+v, want %v", r, want)
		}
	}
}

// The same windows give the same symptoms.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	tell := func() (all [][]finding.Symptom) {
		w, d := newWorld(11), detector(t)
		w.slowed = func(_ *kindOfCase, at float64) (float64, float64) {
			if at > 200 {
				return 1.3, 0.01
			}
			return 1, 0
		}
		for w.minute < 280 {
			all = append(all, d.Observe(w.step()))
		}
		return all
	}
	if !reflect.DeepEqual(tell(), tell()) {
		t.Error("the second time it was different")
	}
}

// Windows of another level, and old ones, change nothing.
func TestForeignWindows(t *testing.T) {
	w, d := newWorld(12), detector(t)
	for range 100 {
		x := w.step()
		d.Observe(x)
		hour := *x
		hour.Length = window.Hour
		d.Observe(&hour)
		d.Observe(x)
	}
	if r := d.Ratios(); !slices.ContainsFunc(r, func(r latency.Ratio) bool { return r.Case == "forecast" && r.Known }) {
		t.Error(r)
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, cfg := range []latency.Config{{LeastStep: -1}, {LeastDrift: 100}, {LeastSlope: math.NaN()}, {TailFactor: 1}, {TailShare: 0.9}, {WarmUp: -1}} {
		if _, err := latency.New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// many is a workload of 40 cases.
func many() []kindOfCase {
	var cases []kindOfCase
	for i := range 4 {
		for _, c := range workload()[:10] {
			c.name += string(rune('a' + i))
			c.weight /= 4
			cases = append(cases, c)
		}
	}
	return cases
}

// What is kept does not grow with time.
func TestMemoryIsBounded(t *testing.T) {
	w, d := newWorld(13), detector(t)
	w.cases = many()
	x := w.step()
	sizes := make([]uint64, 0, 2)
	before := heap()
	for day := range 3 {
		for range 1440 {
			next := *x
			next.Start = x.Start.Add(time.Minute)
			x = &next
			d.Observe(x)
		}
		if day > 0 {
			sizes = append(sizes, heap()-before)
		}
	}
	t.Logf("%d bytes for 40 cases", sizes[1])
	if sizes[1] > 4<<20 || sizes[1] > sizes[0]+100_000 {
		t.Errorf("%v bytes after two and three days", sizes)
	}
	runtime.KeepAlive(d)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkObserve is one minute of 40 cases at 50/s, over many days.
func BenchmarkObserve(b *testing.B) {
	w := newWorld(14)
	w.cases = many()
	windows := make([]*window.Window, 600)
	for i := range windows {
		windows[i] = w.step()
	}
	d := detector(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x := *windows[i%len(windows)]
		x.Start = windows[0].Start.Add(time.Duration(i) * time.Minute)
		d.Observe(&x)
	}
}
