package outage

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// random draws a scenario of faults that come and go, with all that may be strange.
func random(seed uint64, seconds int) []*window.Window {
	r := rand.New(rand.NewPCG(seed, 1))
	outcomes := []string{"connect", "timeout", "server_error", "check_failed", "reset", "rate_limited"}
	reasons := []string{"connect", "timeout", "auth", "unavailable", "hung", "check"}
	how, until := second{}, 0
	traffic := make([]second, seconds)
	for s := range traffic {
		if s >= until {
			how, until = second{ok: r.IntN(50), failed: r.IntN(2) * r.IntN(50), outcome: outcomes[r.IntN(len(outcomes))], took: time.Duration(r.Int64N(1e10))}, s+1+r.IntN(60)
			if r.IntN(3) == 0 {
				how.ok = 0
			}
		}
		traffic[s] = how
	}
	polls := map[string]func(int) string{}
	for _, name := range []string{"api", "endpoint/health", "postgres", "postgres_canary", "redis"} {
		states := make([]string, seconds)
		state, until := "", 0
		for s := range states {
			if s >= until {
				state, until = "", s+1+r.IntN(90)
				if r.IntN(2) == 0 {
					state = reasons[r.IntN(len(reasons))]
				}
			}
			states[s] = state
		}
		polls[name] = func(s int) string { return states[s] }
	}
	c := scenario{
		seconds: seconds, traffic: func(s int) second { return traffic[s] }, polls: polls, coarse: r.IntN(4) == 0,
		missing: func(int) bool { return r.IntN(20) == 0 },
		unfit:   func(int) []string { return [][]string{nil, nil, nil, {"cpu"}, {"throttled"}, {"paused"}}[r.IntN(6)] },
		shape: func(w *window.Window) {
			if r.IntN(10) == 0 {
				w.Signals = []window.Signal{{Name: "soakd_api_start_time_seconds", N: 1, Max: float64(r.IntN(1000)), Last: 1}}
			}
		},
	}
	return c.windows()
}

// sane checks what must hold of the records whatever happens.
func sane(t *testing.T, d *Detector) {
	t.Helper()
	open := map[string]bool{}
	inProgress := d.InProgress()
	counts := map[string]int64{}
	last := int64(0)
	for _, r := range d.Outages() {
		counts[r.Target]++
		if r.ID <= last {
			t.Fatalf("number %d after %d", r.ID, last)
		}
		last = r.ID
		if !r.Closed {
			if open[r.Target] {
				t.Fatalf("two open outages of %s", r.Target)
			}
			open[r.Target] = true
		}
		switch {
		case r.Detected.Before(r.Start), r.Start.Before(r.StartFrom):
			t.Fatalf("detected before it began: %+v", r)
		case r.End.IsZero() && (r.Closed || !r.Recovered.IsZero() || !inProgress[r.Target]):
			t.Fatalf("recovered or closed without an end: %+v", r)
		case !r.End.IsZero() && (r.End.Before(r.Start) || (!r.Recovered.IsZero() && r.Recovered.Before(r.End))):
			t.Fatalf("the order of the times is wrong: %+v", r)
		case r.Failed < 0 || r.OK < 0 || r.Text == "" || r.TimeToDetect < 0 || r.TimeToRecover < 0:
			t.Fatalf("%+v", r)
		}
	}
	totals := d.Totals()
	for target, n := range counts {
		unsure := int64(0)
		if o := d.open[target]; o != nil && !o.confirmed {
			unsure = 1
		}
		if n > totals[target]+unsure || (last <= maxRecords && n != totals[target]+unsure) {
			t.Fatalf("%d outages of %s, and %d are counted", n, target, totals[target])
		}
	}
}

func TestRecordsAreSane(t *testing.T) {
	outages := 0
	for seed := range uint64(25) {
		d, err := New(DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		over := map[string]bool{}
		for _, w := range random(seed, 2000) {
			for _, s := range d.Observe(w) {
				if s.Confidence != 1 || s.Subject.Target == "" || s.After < 0 || s.After > 1 || (s.Over && s.Ended.Before(s.Onset)) {
					t.Fatalf("%+v", s)
				}
				key := s.Key() + s.Onset.String()
				if s.Over && over[key] {
					t.Fatalf("%s is over twice", key)
				}
				over[key] = s.Over
			}
			sane(t, d)
		}
		outages += len(d.Outages())
	}
	if outages < 150 {
		t.Errorf("only %d outages were tried", outages)
	}
}

// Written and read between any two windows, a Detector says the same records as one
// that had a gap of no length there, and the counts go on.
func TestStateSurvives(t *testing.T) {
	for seed := range uint64(4) {
		windows := random(seed, 800)
		d, err := New(DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range windows {
			data, err := d.State()
			if err != nil {
				t.Fatal(err)
			}
			back, err := New(DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			if err := back.Restore(data); err != nil {
				t.Fatal(err)
			}
			again, err := back.State()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back.Outages(), d.Outages()) || !reflect.DeepEqual(back.InProgress(), d.InProgress()) || !reflect.DeepEqual(back.Totals(), d.Totals()) {
				t.Fatalf("seed %d: other records came back:\n%+v\n%+v", seed, back.Outages(), d.Outages())
			}
			// What was unseen is unseen since; the rest is written as it was read.
			if a, b := seen(t, data), seen(t, again); !bytes.Equal(a, b) {
				t.Fatalf("seed %d: written anew as\n%s\nbefore\n%s", seed, b, a)
			}
			if got := back.Observe(windows[0]); w.Start.After(windows[0].Start) && got != nil {
				t.Fatalf("a window from before gave %+v", got)
			}
			d.Observe(w)
		}
	}
}

// seen writes a state with every outage as seen.
func seen(t *testing.T, data []byte) []byte {
	t.Helper()
	var all state
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for i := range all.Open {
		all.Open[i].Unseen = false
	}
	out, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// An outage goes on over a restart of soakd, and is then told to have ended at the first success.
func TestAnOutageOutlivesSoakd(t *testing.T) {
	c := scenario{seconds: 600, traffic: failing(100, 250, second{failed: 50}), polls: healthy(nil), missing: func(s int) bool { return s >= 150 && s < 300 }}
	windows := c.windows()
	d, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	first := show(d, windows[:15])
	data, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	d, err = New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Restore(data); err != nil {
		t.Fatal(err)
	}
	second := show(d, windows[15:])
	if len(first) == 0 || len(second) == 0 || !first[0].symptom.Onset.Equal(second[0].symptom.Onset) {
		t.Fatalf("told %+v, then %+v", first, second)
	}
	compareRecords(t, d, []want{{
		target: API, kind: finding.Outage, start: 100, detected: 110, end: 300, recovered: 300, mode: FailFast, approximate: true, text: "for at most 3m20s",
	}})
}

func TestRestoreRefuses(t *testing.T) {
	d, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "[", `{"open":[{"record":{"target":"api"},"times":"AA=="}]}`} {
		if err := d.Restore([]byte(data)); err == nil {
			t.Errorf("%q was taken", data)
		}
	}
	if len(d.Outages()) != 0 {
		t.Error("something was taken over")
	}
}

func TestRecordsAreBounded(t *testing.T) {
	c := scenario{seconds: 15_000, polls: healthy(nil), traffic: func(s int) second {
		if s%100 < 5 {
			return second{failed: 50}
		}
		return steady(s)
	}}
	d, _ := c.run()
	records := d.Outages()
	if len(records) > maxRecords+1 || d.Totals()[API] < 140 || records[0].ID == 1 {
		t.Errorf("%d records of %d outages, the first is number %d", len(records), d.Totals()[API], records[0].ID)
	}
}

// Errors at random, however many, are no outage, at any rate.
func TestErrorsAreNoOutage(t *testing.T) {
	for _, rate := range []int{1, 5, 30} {
		for _, share := range []float64{0.005, 0.02, 0.2, 0.5} {
			r := rand.New(rand.NewPCG(uint64(rate), uint64(1000*share)))
			c := scenario{seconds: 2 * 3600, polls: healthy(nil), traffic: func(s int) second {
				var one second
				for range rate {
					if s > 600 && r.Float64() < share {
						one.failed++
					} else {
						one.ok++
					}
				}
				one.outcome = "server_error"
				return one
			}}
			d, symptoms := c.run()
			if len(symptoms) > 0 || len(d.Outages()) > 0 {
				t.Errorf("%v of %d a second: %s", share, rate, d.Outages()[0].Text)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	err := Config{}.Validate()
	for _, want := range []string{"share of failed requests 0", "least length 0s", "0 failed requests", "0 polls", "share of errors", "factor", "time of a recovery"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("taken")
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

// What order makes of the polls of a window: failures before the first success, after the last.
func TestOrder(t *testing.T) {
	for polls, want := range map[string][2]int{
		"S": {0, 0}, "F": {1, 0}, "SS": {0, 0}, "FF": {2, 0}, "FS": {1, 0}, "SF": {0, 1},
		"FFS": {2, 0}, "FSF": {1, 0}, "SFS": {0, 0}, "SFF": {0, 2}, "FSS": {1, 0}, "FFFFS": {4, 0}, "FFSSS": {2, 0},
	} {
		p := window.Probe{Polls: len(polls)}
		for i, c := range polls {
			begins := epoch.Add(time.Duration(i) * window.Short / time.Duration(len(polls)))
			if c == 'F' {
				p.Failed++
				if p.FirstFailure.IsZero() {
					p.FirstFailure = begins
				}
				continue
			}
			if p.FirstSuccess.IsZero() {
				p.FirstSuccess = begins
			}
			p.LastSuccess = begins
		}
		before, after, success := order(&p, window.Short)
		if before != want[0] || after != want[1] || !success.Equal(p.FirstSuccess) {
			t.Errorf("%s: %d before and %d after, want %v", polls, before, after, want)
		}
	}
}

func FuzzObserve(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, uint16(1))
	f.Add(bytes.Repeat([]byte{0, 255, 7, 3, 0, 9}, 40), uint16(9))
	f.Fuzz(func(t *testing.T, data []byte, seed uint16) {
		d, err := New(DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		start := epoch
		data = data[:min(len(data), 1200)]
		for len(data) >= 6 {
			w := &window.Window{Start: start, Length: window.Short, Sent: int64(data[0]), Rate: float64(data[0])}
			names := []string{"connect", "timeout", "ok", "server_error"}
			w.Cases = []window.Case{{Name: "a", Outcomes: window.Counts(map[string]int64{names[data[1]%4]: int64(data[2])})}}
			for range data[3] % 12 {
				w.Seconds = append(w.Seconds, window.Second{OK: r.Uint32N(1 + uint32(data[4])), Failed: r.Uint32N(1 + uint32(data[5]))})
			}
			// Probes whose figures need not fit together.
			moment := func() time.Time {
				return []time.Time{{}, start.Add(time.Duration(r.Int64N(int64(30 * time.Second))))}[r.IntN(2)]
			}
			for _, name := range []string{"api", "postgres", "postgres/b", "redis"} {
				w.Probes = append(w.Probes, window.Probe{
					Name: name, Polls: r.IntN(4), Failed: r.IntN(4), FirstFailure: moment(), FirstSuccess: moment(), LastSuccess: moment(),
					Reason: []string{"", "connect", "auth", "timeout"}[r.IntN(4)],
				})
			}
			d.Observe(w)
			sane(t, d)
			start = start.Add(window.Short * time.Duration(1+data[3]/200))
			data = data[6:]
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	c := scenario{seconds: 10_000, polls: healthy(nil), traffic: failing(5000, 6000, second{failed: 50})}
	windows := c.windows()
	for b.Loop() {
		d, err := New(DefaultConfig())
		if err != nil {
			b.Fatal(err)
		}
		show(d, windows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(windows)), "ns/window")
}
