package baseline

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"soakd/internal/judge/window"
)

// taken is which of the minutes are taken in.
func taken(cfg Config, list []*window.Window) []int {
	b := NewBuilder(cfg)
	var in []int
	for i, w := range list {
		before := b.Windows()
		b.Observe(w)
		if b.Windows() > before {
			in = append(in, i)
		}
	}
	return in
}

// tiny is a world of one request a second.
func tiny() *world {
	w := newWorld(1)
	w.cases = []simulated{{"get", "standard", false, 1, 0.01, 0.3}}
	return w
}

func TestWhatAProfileLeavesOut(t *testing.T) {
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	for name, c := range map[string]struct {
		cfg    Config
		change func(i int, w *window.Window)
		want   []int
	}{
		"the start":               {Config{}, func(int, *window.Window) {}, all[3:]},
		"nothing":                 {Config{WarmUp: -1}, func(int, *window.Window) {}, all},
		"less at a shorter start": {Config{WarmUp: time.Minute}, func(int, *window.Window) {}, all[1:]},
		"unfit windows": {Config{WarmUp: -1}, func(i int, w *window.Window) {
			if i == 4 {
				w.Fit = 20 * time.Second
			}
		}, []int{0, 1, 2, 3, 5, 6, 7, 8, 9}},
		"windows seen in part": {Config{WarmUp: -1}, func(i int, w *window.Window) {
			if i == 4 {
				w.Covered = 20 * time.Second
			}
		}, []int{0, 1, 2, 3, 5, 6, 7, 8, 9}},
		"what follows a restart": {Config{WarmUp: 2 * time.Minute}, func(i int, w *window.Window) {
			if i == 4 {
				w.Signals = []window.Signal{{Name: restarts, Labels: `replica="main"`, Kind: window.Counter, Increase: 1}}
			}
		}, []int{2, 3, 7, 8, 9}},
		"what follows another version": {Config{WarmUp: 2 * time.Minute}, func(i int, w *window.Window) {
			if i >= 5 {
				w.Version = "v2"
			}
		}, []int{2, 3, 4, 7, 8, 9}},
		"a rolling deployment": {Config{WarmUp: time.Minute}, func(i int, w *window.Window) {
			switch {
			case i == 4 || i == 5:
				w.Version = window.Mixed
			case i > 5:
				w.Version = "v2"
			}
		}, []int{1, 2, 3, 7, 8, 9}},
		"what follows a gap": {Config{WarmUp: 2 * time.Minute}, func(i int, w *window.Window) {
			if i >= 5 {
				w.Start = w.Start.Add(time.Hour)
			}
		}, []int{2, 3, 4, 7, 8, 9}},
		"nothing at a short gap": {Config{WarmUp: 2 * time.Minute}, func(i int, w *window.Window) {
			if i >= 5 {
				w.Start = w.Start.Add(3 * time.Minute)
			}
		}, all[2:]},
		"other versions": {Config{Version: "v2", WarmUp: -1}, func(i int, w *window.Window) {
			if i >= 5 {
				w.Version = "v2"
			}
		}, all[5:]},
	} {
		w := tiny()
		list := minutes(w, 10)
		for i := range list {
			c.change(i, list[i])
		}
		if got := taken(c.cfg, list); !slices.Equal(got, c.want) {
			t.Errorf("leaving out %s: %v are taken in, want %v", name, got, c.want)
		}
	}
}

func TestProfileOfSeveralVersions(t *testing.T) {
	w := tiny()
	b := NewBuilder(Config{WarmUp: -1})
	for i := range 6 {
		w.version = []string{"v1", "v1", "", "v2", "v2", "v2"}[i]
		b.Observe(w.minute())
	}
	if p := b.Profile(); p.Version != window.Mixed || p.Windows != 6 || !p.To.Equal(p.From.Add(6*time.Minute)) {
		t.Errorf("version %q, %d windows, %v..%v", p.Version, p.Windows, p.From, p.To)
	}
}

// Times of a case of which much fails are those of failures.
func TestTimesOfFailuresAreLeftOut(t *testing.T) {
	w := tiny()
	b := NewBuilder(Config{WarmUp: -1})
	for i := range 10 {
		w.failing, w.slower = nil, nil
		if i >= 5 {
			w.failing, w.slower = everywhere(0.5), everywhere(0.01)
		}
		b.Observe(w.minute())
	}
	s := b.Profile().Case("get").Strata[0]
	if len(s.figures[median].list) != 5 || s.Times.Count() != 300 || len(s.failures.list) != 10 {
		t.Errorf("%d medians of 5, %d times of 300, %d counts of 10", len(s.figures[median].list), s.Times.Count(), len(s.failures.list))
	}
	if all, failed := s.requests(); all != 600 || failed < 100 {
		t.Errorf("%d of %d failed", failed, all)
	}
}

// A rare case is put together until there are enough requests.
func TestRareCasesArePutTogether(t *testing.T) {
	w := tiny()
	w.cases[0].rate = 0.1 // six a minute: four minutes make 24
	b := NewBuilder(Config{WarmUp: -1})
	for range 41 {
		b.Observe(w.minute())
	}
	list := b.Profile().Case("get").Strata[0].figures[median].list
	if len(list) != 10 {
		t.Fatalf("%d values of 41 minutes, want 10", len(list))
	}
	for i, s := range list {
		if s.length != 4 || s.n != 24 || s.at-list[0].at != int32(4*i) {
			t.Errorf("%+v", s)
		}
		if math.Abs(s.log()-math.Log(0.01)) > 0.5 {
			t.Errorf("a median of %g s", math.Exp(s.log()))
		}
	}
	// Not over a change of the rate.
	b = NewBuilder(Config{WarmUp: -1})
	for i := range 12 {
		w.rate = 30 - 15*float64(i/2%2)
		b.Observe(w.minute())
	}
	for _, s := range b.Profile().Case("get").Strata {
		if len(s.figures[median].list) != 0 {
			t.Errorf("%s: %v", bandText(s.Band, s.Phase), s.figures[median].list)
		}
	}
}

func TestSamplesAreBoundedAndSpread(t *testing.T) {
	const limit = 100
	var s samples
	for at := range int32(20_000) {
		s.add(sample{at: 1_000_000 + at, length: 1}, limit)
		if len(s.list) > limit {
			t.Fatalf("%d samples", len(s.list))
		}
	}
	first, last := s.list[0].at-1_000_000, s.list[len(s.list)-1].at-1_000_000
	if len(s.list) < limit/2-runLength || first > 3000 || last < 17_000 {
		t.Errorf("%d samples from %d to %d", len(s.list), first, last)
	}
	neighbours := 0
	for i := range s.list[1:] {
		switch d := s.list[i+1].at - s.list[i].at; {
		case d == 1:
			neighbours++
		case d != s.stride*runLength-runLength+1:
			t.Errorf("%d minutes apart", d)
		}
	}
	if neighbours < len(s.list)*3/4 {
		t.Errorf("only %d of %d stand beside one another", neighbours, len(s.list))
	}
}

func TestBandsAreTenPercentWide(t *testing.T) {
	if BandOf(50) != BandOf(50.5) || BandOf(50) == BandOf(57) || BandOf(0) != noRate || BandOf(math.NaN()) != noRate || BandOf(-1) != noRate {
		t.Errorf("50 is in %d, 50.5 in %d, 57 in %d, 0 in %d", BandOf(50), BandOf(50.5), BandOf(57), BandOf(0))
	}
	if got := bandText(BandOf(50), "rising"); got != "47..51.9/s rising" {
		t.Error(got)
	}
	if BandOf(math.Inf(1)) > 1000 {
		t.Error("no bound")
	}
}

// A week with a day curve is not larger than a day of it makes it.
func TestMemoryIsBounded(t *testing.T) {
	w := manyCases()
	w.cases = w.cases[:8]
	list := minutes(w, 10)
	start := list[0].Start
	b := NewBuilder(Config{})
	week := func(day int) {
		for minute := range 1440 {
			one := *list[minute%len(list)]
			at := 2 * math.Pi * float64(minute) / 1440
			one.Start, one.Rate = start.Add(time.Duration(day*1440+minute)*time.Minute), 50+30*math.Sin(at)
			one.Phase = "rising"
			if math.Cos(at) < 0 {
				one.Phase = "falling"
			}
			b.Observe(&one)
		}
	}
	size := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / 1e6
	}
	empty := size()
	for day := range 4 {
		week(day)
	}
	four := size() - empty
	for day := range 3 {
		week(4 + day)
	}
	seven := size() - empty
	t.Logf("%.1f MB after four days, %.1f MB after a week, %d strata a case", four, seven, len(b.cases["case_00"].strata))
	if seven > 6 || seven > 1.25*four {
		t.Errorf("%.1f MB after four days, %.1f MB after a week", four, seven)
	}
	runtime.KeepAlive(b)
}
