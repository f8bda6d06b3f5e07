package leak

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// run feeds minutes of a world and returns each symptom as it was first reported, and the minute.
func run(tb testing.TB, d *Detector, w *world, minutes int64) (first []finding.Symptom, at []int64) {
	tb.Helper()
	open := map[string]bool{}
	for end := w.minute + minutes; w.minute < end; {
		win := w.next()
		if win == nil {
			continue
		}
		for _, symptom := range d.Observe(win) {
			key := symptom.Key()
			if !symptom.Over && !open[key] {
				first, at = append(first, symptom), append(at, win.Start.Unix()/60+1)
			}
			open[key] = !symptom.Over
		}
	}
	return first, at
}

func detector(tb testing.TB) *Detector {
	tb.Helper()
	d, err := New(Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// Weeks with day curves, teeth, recycled workers, deployments, flushed caches, backups,
// rotated logs, gaps. BenchmarkCleanWeek counts over more of them.
func TestCleanWeeksRaiseNoAlarm(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	for seed := range uint64(3) {
		w := newWorld(seed, 2)
		found, at := run(t, detector(t), w, 7*24*60)
		for i, symptom := range found {
			t.Errorf("seed %d, day curve %t, minute %d: %s", seed, w.dayCurve, at[i], symptom.Text)
		}
	}
}

func BenchmarkCleanWeek(b *testing.B) {
	alarms, seed := 0, uint64(200)
	for b.Loop() {
		found, _ := run(b, detector(b), newWorld(seed, 3), 7*24*60)
		for _, symptom := range found {
			b.Logf("seed %d: %s", seed, symptom.Text)
		}
		alarms += len(found)
		seed++
	}
	b.ReportMetric(float64(alarms)/float64(b.N), "alarms/week")
}

// calm is a world at a steady rate whose memory wanders by 0.3 % of its level, with
// noise of 0.3 % and teeth of 10 %.
func calm(seed uint64) *world {
	w := newWorld(2*seed, 2)
	for _, rep := range w.replicas {
		rep.memory.slowSD, rep.toothLength, rep.workerLength = 0.003, 2+0.2*rep.toothLength, 0
		rep.files = &walk{slowSD: 1, slowTau: 60, fastSD: 1, fastTau: 5}
	}
	w.restart = math.MaxInt64
	return w
}

func TestLeaksAreFoundInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	for _, test := range []struct {
		name, series, signal string
		perHour              float64
		within, most         int64 // minutes: of four in five seeds, of all
	}{
		{"memory 1 % an hour", "memory", "soakd_api_resident_memory_bytes", 0.01 * memoryLimit, 180, 400},
		{"memory 1 % a minute", "memory", "soakd_api_resident_memory_bytes", 0.6 * memoryLimit, 45, 60},
		{"files 1 % an hour", "files", "soakd_api_open_fds", 0.01 * fileLimit, 200, 420},
		{"goroutines 20 an hour", "goroutines", "soakd_api_goroutines", 20, 180, 420},
		{"connections 20 an hour", "connections", "soakd_postgres_backends", 20, 60, 90},
		{"connections 1 an hour", "connections", "soakd_postgres_backends", 1, 360, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			late := 0
			for seed := range uint64(5) {
				w := calm(seed)
				start := w.minute + 1000
				w.leak = func(name string, replica int, _, minute int64) float64 {
					if name != test.series || replica != 0 || minute < start {
						return 0
					}
					v := test.perHour / 60 * float64(minute-start)
					if name != "memory" {
						v = math.Floor(v)
					}
					return v
				}
				found, at := run(t, detector(t), w, 1000+test.most)
				took := int64(math.MaxInt64)
				for i, symptom := range found {
					switch {
					case strings.HasPrefix(symptom.Subject.Signal, test.signal):
						took = min(took, at[i]-start)
						if math.Abs(symptom.SlopePerHour-test.perHour) > 0.35*test.perHour {
							t.Errorf("seed %d: slope %g an hour, want %g", seed, symptom.SlopePerHour, test.perHour)
						}
					case test.series != "memory":
						t.Errorf("seed %d: also found: %s", seed, symptom.Text)
					}
				}
				if took > test.most || took < 0 {
					t.Errorf("seed %d: found after %d minutes, want at most %d", seed, took, test.most)
				}
				if took > test.within {
					late++
				}
				t.Logf("seed %d: %d min", seed, took)
			}
			if late > 1 {
				t.Errorf("%d of 5 took more than %d minutes", late, test.within)
			}
		})
	}
}

// one feeds a single series with a limit of 1000 MiB, and says what was found when.
type one struct {
	d      *Detector
	minute int64
	scale  float64
	rate   func(minute int64) float64
}

func newOne(tb testing.TB) *one {
	tb.Helper()
	return &one{d: detector(tb), minute: 29_540_160, scale: 1}
}

func (o *one) next(mib float64, restarted bool) []finding.Symptom {
	win := &window.Window{Start: at(o.minute), Length: window.Minute, Covered: window.Minute, Rate: 50}
	if o.rate != nil {
		win.Rate = o.rate(o.minute)
	}
	restarts := window.Signal{Name: "soakd_api_restarts_total", Labels: `replica="main"`, Kind: window.Counter, N: 6}
	if restarted {
		restarts.Increase = 1
	}
	win.Signals = []window.Signal{
		gauge("soakd_api_memory_limit_bytes", `replica="main"`, 1000*(1<<20)*o.scale),
		gauge("soakd_api_resident_memory_bytes", `replica="main"`, mib*(1<<20)*o.scale),
		restarts,
	}
	o.minute++
	return o.d.Observe(win)
}

// noisy is AR(1) noise of a standard deviation in MiB and a time constant of 10 minutes.
func noisy(seed uint64, sd float64) func() float64 {
	r, w := rand.New(rand.NewPCG(seed, 1)), &walk{fastSD: sd, fastTau: 10, slowTau: 1}
	return func() float64 { return w.next(r) }
}

func TestShapes(t *testing.T) {
	day := func(m int64) float64 { return 50 - 30*math.Cos(2*math.Pi*float64(m%1440)/1440) }
	for _, test := range []struct {
		name  string
		value func(m int64) float64 // MiB in the minute
		rate  func(m int64) float64
		leak  bool
	}{
		{name: "flat", value: func(int64) float64 { return 400 }},
		{name: "step", value: func(m int64) float64 { return 400 + 50*float64(min(1, m/2000)) }},
		{name: "two steps", value: func(m int64) float64 { return 400 + 30*float64(min(2, m/2000)) }},
		{name: "ramp that ends", value: func(m int64) float64 { return 400 + 40*math.Min(1, math.Max(0, float64(m-2000)/30)) }},
		{name: "warm-up of an hour", value: func(m int64) float64 { return 500 - 200*math.Exp(-float64(m)/60) }},
		{name: "warm-up of four hours", value: func(m int64) float64 { return 500 - 200*math.Exp(-float64(m)/240) }},
		{name: "tooth of 40 minutes", value: func(m int64) float64 { return 400 + 60*float64(m%40)/40 }},
		{name: "tooth of three hours", value: func(m int64) float64 { return 400 + 60*float64(m%180)/180 }},
		{name: "follows the rate", value: func(m int64) float64 { return 200 + 4*day(m) }, rate: day},
		{name: "day curve of others", value: func(m int64) float64 {
			if m < 1440 {
				return 400 // the first day is quiet
			}
			return 400 + 2*math.Sin(2*math.Pi*float64(m)/1440)
		}},
		{name: "leak", value: func(m int64) float64 { return 400 + 10*math.Max(0, float64(m-2000)/60) }, leak: true},
		{name: "leak from the start", value: func(m int64) float64 { return 400 + 10*float64(m)/60 }, leak: true},
		{name: "leak under a tooth of 40 minutes", value: func(m int64) float64 {
			return 400 + 60*float64(m%40)/40 + 10*math.Max(0, float64(m-2000)/60)
		}, leak: true},
		{name: "leak under a tooth of three hours", value: func(m int64) float64 {
			return 400 + 60*float64(m%180)/180 + 10*math.Max(0, float64(m-1500)/60)
		}, leak: true},
		{name: "leak beside the rate", value: func(m int64) float64 { return 200 + 4*day(m) + 5*math.Max(0, float64(m-3000)/60) }, rate: day, leak: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, noise := newOne(t), noisy(7, 1)
			first := o.minute
			if test.rate != nil {
				o.rate = func(minute int64) float64 { return test.rate(minute - first) }
			}
			var found []string
			for m := range int64(5000) {
				for _, symptom := range o.next(test.value(m)+noise(), false) {
					if !symptom.Over && len(found) < 3 {
						found = append(found, fmt.Sprintf("minute %d: %s", m, symptom.Text))
					}
				}
			}
			if test.leak != (len(found) > 0) {
				t.Errorf("leak %t, found %q", test.leak, found)
			}
		})
	}
}

// What is found must not depend on the unit of memory.
func TestScaleDoesNotMatter(t *testing.T) {
	times := map[int64]bool{}
	for _, scale := range []float64{1, 16} {
		o, noise := newOne(t), noisy(3, 1)
		o.scale = scale
		first := int64(-1)
		for m := range int64(2400) {
			if len(o.next(400+noise()+10*math.Max(0, float64(m-2000)/60), false)) > 0 && first < 0 {
				first = m
			}
		}
		if first < 2000 {
			t.Fatalf("scale %g: found in minute %d, want after 2000", scale, first)
		}
		times[first] = true
	}
	if len(times) != 1 {
		t.Errorf("found in different minutes: %v", times)
	}
}

func TestStoryOfALeak(t *testing.T) {
	o, noise := newOne(t), noisy(1, 0.5)
	start := o.minute + 600
	var last finding.Symptom
	for m := range int64(900) {
		if found := o.next(400+noise()+10*math.Max(0, float64(m-600)/60), false); len(found) > 0 {
			last = found[0]
		}
	}
	if last.Kind != finding.Leak || last.Subject.Signal != `soakd_api_resident_memory_bytes{replica="main"}` || last.Subject.Target != "api" {
		t.Fatalf("found %+v", last)
	}
	if off := last.Onset.Sub(at(start)).Minutes(); math.Abs(off) > 20 || last.OnsetFrom.After(last.Onset) || last.OnsetTo.Before(last.Onset) {
		t.Errorf("onset %s (%s to %s), want about %s", last.Onset, last.OnsetFrom, last.OnsetTo, at(start))
	}
	if slope := last.SlopePerHour / (1 << 20); math.Abs(slope-10) > 0.7 {
		t.Errorf("slope %g MiB an hour, want 10", slope)
	}
	if hours := last.SecondsToLimit / 3600; math.Abs(hours-55) > 5 {
		t.Errorf("reaches the limit in %g h, want about 55", hours)
	}
	if last.Confidence < 0.99 || last.Confidence >= 1.0000001 {
		t.Errorf("confidence %g", last.Confidence)
	}
	for _, part := range []string{"resident memory of the API (replica main) rises by ", " MiB an hour (", "confidence ", " windows); at this rate it reaches its limit of 1000 MiB in 2 d "} {
		if !strings.Contains(last.Text, part) {
			t.Errorf("text %q does not say %q", last.Text, part)
		}
	}
	if trends := o.d.Trends(); len(trends) != 1 || trends[0].State != Leaking || trends[0].SecondsToLimit != last.SecondsToLimit {
		t.Errorf("trends %+v", trends)
	}
	// A restart ends it, once.
	found := o.next(400, true)
	if len(found) != 1 || !found[0].Over || !found[0].Ended.Equal(at(o.minute-1)) || !strings.HasSuffix(found[0].Text, "; the process was restarted") {
		t.Fatalf("after a restart: %+v", found)
	}
	if trends := o.d.Trends(); len(trends) != 1 || trends[0].State == Leaking {
		t.Errorf("after a restart, before five minutes are over: %+v", trends)
	}
	if found := o.next(400, false); len(found) != 0 {
		t.Errorf("reported again: %+v", found)
	}
}

func TestLeakThatStopsIsOver(t *testing.T) {
	o, noise := newOne(t), noisy(2, 0.5)
	ended := int64(-1)
	for m := range int64(1600) {
		value := 400 + noise() + 10*math.Min(math.Max(0, float64(m-600)/60), 5)
		for _, symptom := range o.next(value, false) {
			if symptom.Over {
				ended = symptom.Ended.Unix()/60 - 29_540_160
			}
		}
	}
	if ended < 800 || ended > 1100 {
		t.Errorf("ended in minute %d, want about 900", ended)
	}
}

func TestRestartsThatHideALeak(t *testing.T) {
	for _, test := range []struct {
		name   string
		inLife func(m float64) float64
		want   bool
	}{
		{"grows in every life", func(m float64) float64 { return 400 + 40*m/60 }, true},
		{"warms up in every life", func(m float64) float64 { return 440 - 40*math.Exp(-m/15) }, false},
		{"stands still", func(float64) float64 { return 400 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, noise := newOne(t), noisy(5, 0.5)
			text := ""
			for m := range int64(10 * 75) {
				for _, symptom := range o.next(test.inLife(float64(m%75))+noise(), m%75 == 0) {
					text = symptom.Text
				}
			}
			if test.want != strings.Contains(text, "restarts hide a leak") {
				t.Errorf("found %q", text)
			}
		})
	}
}

func TestTrendsSayWhatIsMissing(t *testing.T) {
	o, noise := newOne(t), noisy(4, 0.5)
	for range 10 {
		o.next(400+noise(), false)
	}
	if trends := o.d.Trends(); trends[0].State != WarmingUp || trends[0].Known || trends[0].Missing == "" {
		t.Errorf("after 10 minutes: %+v", trends)
	}
	for range 600 {
		o.next(400+noise(), false)
	}
	trend := o.d.Trends()[0]
	if (trend.State != Steady && trend.State != WithinNoise) || !trend.Known || trend.Missing != "" || trend.Low > trend.SlopePerHour || trend.High < trend.SlopePerHour || trend.Limit != 1000*(1<<20) {
		t.Errorf("after 10 hours: %+v", trend)
	}
	// The rate rises with the time, and with it the memory: nobody can tell.
	o.rate = func(minute int64) float64 { return 50 + float64(minute-29_540_770)/10 }
	for m := range 200 {
		o.next(400+noise()+float64(m)/10, false)
	}
	if trend := o.d.Trends()[0]; trend.State == Leaking || trend.State == WithinNoise {
		t.Errorf("with a rising rate: %+v", trend)
	}
}

func TestConfigAndLabels(t *testing.T) {
	_, err := New(Config{Confidence: 2, MaxSeries: -1, Specs: []Spec{{Metric: "m", Target: "api", Share: 2, Unit: "miles"}}})
	for _, part := range []string{"confidence is 2", "-1 series", "share of the limit of m is 2", `unit of m is "miles"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not say %q", err, part)
		}
	}
	spec := Spec{Only: `state="in_use"`, Sum: []string{"pool"}}
	if rest, ok := spec.reduced(`pool="a,b",replica="x",state="in_use"`); !ok || rest != `replica="x",state="in_use"` {
		t.Errorf("reduced to %q, %t", rest, ok)
	}
	if _, ok := spec.reduced(`pool="a",state="idle"`); ok {
		t.Error("another state is watched")
	}
	if !belongs(`pool="main",replica="x",state="max"`, `state="max"`, `pool="main",replica="x",state="in_use"`) {
		t.Error("the limit of the pool is not found")
	}
	if belongs(`replica="y"`, "", `pool="main",replica="x"`) {
		t.Error("the limit of another replica is taken")
	}
}

// The series are capped, those that are gone make room, and gaps do no harm.
func TestBoundsAndGaps(t *testing.T) {
	d, err := New(Config{MaxSeries: 2})
	if err != nil {
		t.Fatal(err)
	}
	minute := int64(29_540_160)
	feed := func(minutes int64, names ...string) {
		for end := minute + minutes; minute < end; minute++ {
			win := &window.Window{Start: at(minute), Length: window.Minute, Covered: window.Minute}
			for _, name := range names {
				win.Signals = append(win.Signals, gauge("soakd_api_goroutines", `replica="`+name+`"`, 50))
			}
			d.Observe(win)
		}
	}
	feed(30, "a", "b", "c")
	if got := len(d.Trends()); got != 2 {
		t.Errorf("%d series are watched, want 2", got)
	}
	minute += 30 * 24 * 60
	feed(130, "c", "d")
	if trends := d.Trends(); len(trends) != 2 || trends[0].Signal != `soakd_api_goroutines{replica="c"}` {
		t.Errorf("after a month: %+v", trends)
	}
}

func BenchmarkObserve(b *testing.B) {
	d, w := detector(b), newWorld(1, 3)
	for b.Loop() {
		if win := w.next(); win != nil {
			d.Observe(win)
		}
	}
}
