package outage

import (
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

var epoch = time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)

func at(second int) time.Time { return epoch.Add(time.Duration(second) * time.Second) }

// second is what became of the requests that ended in one second.
type second struct {
	ok, failed int
	// outcome of the failed ones, "connect" when empty, and how long they took.
	outcome string
	took    time.Duration
	// okTook is how long the right ones took; 0 means 50 ms.
	okTook time.Duration
}

// scenario describes a run by the second.
type scenario struct {
	seconds int
	traffic func(s int) second
	// polls gives the reason why a poll of a probe that begins in second s fails, ""
	// when it does not. Polls begin every 5 s.
	polls map[string]func(s int) string
	// unfit gives reasons, missing leaves out a window, shape changes one at the end.
	unfit   func(s int) []string
	missing func(s int) bool
	shape   func(w *window.Window)
	coarse  bool // no seconds
}

const fiftyASecond = 50

func steady(int) second { return second{ok: fiftyASecond} }

// failing fails from..to in a way, and is steady else.
func failing(from, to int, how second) func(int) second {
	return func(s int) second {
		if s >= from && s < to {
			return how
		}
		return steady(s)
	}
}

func fails(from, to int, reason string) func(int) string {
	return func(s int) string {
		if s >= from && s < to {
			return reason
		}
		return ""
	}
}

// windows makes the windows of 10 s.
func (c *scenario) windows() []*window.Window {
	var all []*window.Window
	for from := 0; from < c.seconds; from += 10 {
		if c.missing != nil && c.missing(from) {
			continue
		}
		w := &window.Window{Start: at(from), Length: window.Short, Covered: window.Short, Fit: window.Short, Rate: fiftyASecond}
		if c.unfit != nil {
			w.Unfit = c.unfit(from)
		}
		c.addTraffic(w, from)
		for _, name := range []string{"api", "endpoint/health", "postgres", "postgres_canary", "redis"} {
			if fail := c.polls[name]; fail != nil {
				w.Probes = append(w.Probes, pollsOf(name, from, fail))
			}
		}
		if c.shape != nil {
			c.shape(w)
		}
		all = append(all, w)
	}
	return all
}

func (c *scenario) addTraffic(w *window.Window, from int) {
	names := []string{"forecast", "health", "history", "list_scenarios"}
	outcomes := make([]map[string]int64, len(names))
	times := make([]*histogram.Histogram, len(names))
	for i := range names {
		outcomes[i], times[i] = map[string]int64{}, new(histogram.Histogram)
	}
	n := 0
	for s := from; s < from+10; s++ {
		one := steady(s)
		if c.traffic != nil {
			one = c.traffic(s)
		}
		if one.outcome == "" {
			one.outcome = "connect"
		}
		if one.okTook == 0 {
			one.okTook = 50 * time.Millisecond
		}
		for i := range one.ok + one.failed {
			k := n % len(names)
			n++
			if i < one.ok {
				outcomes[k]["ok"]++
				times[k].Observe(one.okTook)
				continue
			}
			outcomes[k][one.outcome]++
			if one.outcome != "connect" && one.outcome != "reset" {
				times[k].Observe(one.took)
			}
		}
		w.Sent += int64(one.ok + one.failed)
		if !c.coarse {
			w.Seconds = append(w.Seconds, window.Second{OK: uint32(one.ok), Failed: uint32(one.failed)})
		}
	}
	for i, name := range names {
		if len(outcomes[i]) > 0 {
			w.Cases = append(w.Cases, window.Case{Name: name, Class: "standard", Outcomes: window.Counts(outcomes[i]), Times: times[i]})
		}
	}
}

func pollsOf(name string, from int, fail func(int) string) window.Probe {
	p := window.Probe{Name: name}
	for s := from + 1; s < from+10; s += 5 {
		p.Polls++
		if reason := fail(s); reason != "" {
			p.Failed++
			p.Reason = reason
			if p.FirstFailure.IsZero() {
				p.FirstFailure = at(s)
			}
			continue
		}
		if p.FirstSuccess.IsZero() {
			p.FirstSuccess = at(s)
		}
		p.LastSuccess = at(s)
	}
	return p
}

// told is a symptom and when it was told.
type told struct {
	at      time.Time
	symptom finding.Symptom
}

// run shows the windows to a new detector.
func (c *scenario) run() (*Detector, []told) {
	d, err := New(DefaultConfig())
	if err != nil {
		panic(err)
	}
	return d, show(d, c.windows())
}

func show(d *Detector, windows []*window.Window) []told {
	var all []told
	for _, w := range windows {
		for _, s := range d.Observe(w) {
			all = append(all, told{w.End(), s})
		}
	}
	return all
}
