package correlate

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

const first = int64(29_540_160)

// feed gives a store minutes in which 60 quiet signals and those of the caller are read.
func feed(s *Store, seed uint64, minutes int64, rate func(m int64) float64, more func(m int64, noise float64) []window.Signal) {
	r := rand.New(rand.NewPCG(seed, 1))
	noise := make([]float64, 60)
	for m := range minutes {
		w := &window.Window{Start: timeOf(first + m), Length: window.Minute, Covered: window.Minute, Rate: rate(m)}
		for i := range noise {
			noise[i] = 0.8*noise[i] + r.NormFloat64()
			w.Signals = append(w.Signals, gauge(fmt.Sprintf("soakd_quiet_%02d", i), "", 100+3*noise[i]))
		}
		w.Signals = append(w.Signals, more(m, r.NormFloat64())...)
		w.Signals = append(w.Signals, gauge("soakd_redis_uptime_seconds", `node="main"`, float64(m*60)), gauge("soakd_other_age", "", float64(m*60)))
		slices.SortFunc(w.Signals, func(a, b window.Signal) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Labels, b.Labels))
		})
		s.Observe(w)
	}
}

func steady(int64) float64 { return 50 }

func gauge(name, labels string, v float64) window.Signal {
	return window.Signal{Name: name, Labels: labels, N: 6, Min: v, Max: v, Sum: 6 * v, Last: v}
}

func counter(name, labels string, perSecond float64) window.Signal {
	return window.Signal{Name: name, Labels: labels, Kind: window.Counter, N: 6, Increase: 60 * perSecond}
}

func TestSignalsThatMovedWithAStep(t *testing.T) {
	s := New(0)
	const onset = 200
	feed(s, 1, onset+10, steady, func(m int64, noise float64) []window.Signal {
		waits, cpu, late, fell := 0.0, 0.3, 10.0, 0.9
		if m >= onset-3 {
			waits = 12
		}
		if m >= onset {
			cpu, fell = 0.6, 0.4
		}
		return []window.Signal{
			counter("soakd_api_pool_waits_total", `pool="main",replica="a"`, waits+0.1*math.Abs(noise)),
			counter("soakd_api_pool_waits_total", `pool="main",replica="b"`, waits/2+0.1*math.Abs(noise)),
			counter("soakd_api_cpu_seconds_total", `replica="a"`, cpu*(1+0.05*noise)),
			gauge("soakd_redis_keyspace_hit_ratio", `node="main"`, fell+0.01*noise),
			gauge("soakd_late", "", late+0.1*noise),
			gauge("soakd_own", `x="1"`, fell), gauge("soakd_own", `x="2"`, fell),
		}
	})
	symptom := &finding.Symptom{Kind: finding.Latency, Subject: finding.Subject{Signal: `soakd_own{x="1"}`}, Onset: timeOf(first + onset)}
	got := s.Around(symptom, 5)
	var names []string
	for _, hint := range got {
		names = append(names, hint.Signal)
		if strings.Contains(hint.Text, "because") || hint.Score <= 0 || hint.Score > 1 {
			t.Errorf("hint %+v", hint)
		}
	}
	want := []string{`soakd_api_pool_waits_total{pool="main",replica="a"}`, `soakd_redis_keyspace_hit_ratio{node="main"}`, `soakd_api_cpu_seconds_total{replica="a"}`}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Fatalf("hints %q, want %q", names, want)
	}
	for _, hint := range got {
		if !strings.HasPrefix(hint.Signal, "soakd_api_pool") {
			continue
		}
		if hint.LagSeconds != -180 || !hint.Moved.Equal(timeOf(first+onset-3)) || hint.Unit != "per second" || math.Abs(hint.After-12) > 0.3 {
			t.Errorf("pool waits: %+v", hint)
		}
		if !strings.HasPrefix(hint.Text, `api pool waits (pool="main", replica="a") rose from 0.`) || !strings.HasSuffix(hint.Text, " a second, 3 min before") {
			t.Errorf("text %q", hint.Text)
		}
	}
	if again := s.Around(symptom, 5); !slices.Equal(got, again) {
		t.Errorf("another order: %+v", again)
	}
	if few := s.Around(symptom, 1); len(few) != 1 || few[0] != got[0] {
		t.Errorf("the best one is %+v, want %+v", few, got[0])
	}
}

// Of 60 quiet, autocorrelated signals next to none may be named, wherever one looks.
func TestQuietSignalsAreNotNamed(t *testing.T) {
	named := 0
	for seed := range uint64(20) {
		s := New(0)
		feed(s, seed, 400, steady, func(int64, float64) []window.Signal { return nil })
		for _, kind := range []finding.Kind{finding.Latency, finding.Leak} {
			for _, hint := range s.Around(&finding.Symptom{Kind: kind, Onset: timeOf(first + 250)}, 10) {
				named++
				t.Logf("seed %d, %s: %+v", seed, kind, hint)
			}
		}
	}
	if named > 1 {
		t.Errorf("%d quiet signals are named in 40 looks, want at most 1", named)
	}
}

func TestSignalsThatMovedWithALeak(t *testing.T) {
	s := New(0)
	const onset = 300
	feed(s, 2, onset+120, steady, func(m int64, noise float64) []window.Signal {
		rise := math.Max(0, float64(m-onset))
		return []window.Signal{
			gauge("soakd_api_resident_memory_bytes", "", 1e8+1e5*rise+1e5*noise),
			gauge("soakd_api_goroutines", "", 80+rise/2+noise),
			gauge("soakd_already_rising", "", 100+float64(m)/2+noise),
			gauge("soakd_step", "", 100+noise),
		}
	})
	symptom := &finding.Symptom{Kind: finding.Leak, Subject: finding.Subject{Signal: "soakd_api_resident_memory_bytes"}, Onset: timeOf(first + onset)}
	got := s.Around(symptom, 5)
	if len(got) != 1 || got[0].Signal != "soakd_api_goroutines" {
		t.Fatalf("hints %+v, want the goroutines alone", got)
	}
	if math.Abs(got[0].Before-80) > 3 || math.Abs(got[0].After-140) > 5 || math.Abs(got[0].LagSeconds) > 600 {
		t.Errorf("hint %+v", got[0])
	}
}

// A change of the load is a hint, as it is no signal of a probe; what follows a day
// curve that goes on is none.
func TestLoad(t *testing.T) {
	s := New(0)
	feed(s, 3, 260, func(m int64) float64 { return 50 + 30*float64(m/230) }, func(m int64, noise float64) []window.Signal {
		return []window.Signal{gauge("soakd_follows_the_day", "", 1000+2*float64(m)+noise)}
	})
	got := s.Around(&finding.Symptom{Kind: finding.Latency, Onset: timeOf(first + 230)}, 5)
	if len(got) != 1 || got[0].Signal != loadRate || got[0].Text != "load target rate rose from 50 to 80, at the same time" {
		t.Errorf("hints %+v, want the rate", got)
	}
}

func TestBounds(t *testing.T) {
	s := New(3)
	put := func(minute int64, names ...string) {
		w := &window.Window{Start: timeOf(minute), Length: window.Minute, Covered: window.Minute}
		for _, name := range names {
			w.Signals = append(w.Signals, gauge(name, "", 1))
		}
		s.Observe(w)
	}
	put(first, "a", "b", "c", "d")
	if len(s.order) != 3 {
		t.Errorf("%d series are kept, want 3", len(s.order))
	}
	put(first+10, "a")
	if v := s.series[key{"a", ""}].at(first + 5); !math.IsNaN(v) {
		t.Errorf("a gap is %g", v)
	}
	put(first+3*kept, "d")
	if len(s.order) != 1 || s.order[0].id != "d" {
		t.Errorf("series of days ago are kept: %d", len(s.order))
	}
	put(first, "late")
	if len(s.order) != 1 {
		t.Error("a window of the past is taken in")
	}
	if got := s.Around(&finding.Symptom{Kind: finding.Errors, Onset: timeOf(first)}, 3); len(got) != 0 {
		t.Errorf("hints of nothing: %+v", got)
	}
}

func BenchmarkAround(b *testing.B) {
	s := New(0)
	feed(s, 1, 1440, steady, func(int64, float64) []window.Signal { return nil })
	symptom := &finding.Symptom{Kind: finding.Latency, Onset: timeOf(first + 1200)}
	for b.Loop() {
		s.Around(symptom, 5)
	}
}
