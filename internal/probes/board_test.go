package probes

import (
	"math"
	"testing"
	"time"
)

func TestBoard(t *testing.T) {
	var descs Descs
	desc := descs.Gauge("soakd_v", "V.")
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	board := NewBoard([]string{"b", "a"}, testSettings.Staleness()) // 13 s
	result := func(name string, when float64, err error, values ...float64) Result {
		r := Result{Probe: name, Start: at(when), Duration: 500 * time.Millisecond, Err: err}
		for _, value := range values {
			r.Reading.Add(desc, value)
		}
		r.Reading.Overflow = len(values)
		return r
	}

	got := board.Snapshot(at(0))
	if len(got) != 2 || got[0].Probe != "b" || got[1].Probe != "a" || got[0].Known || got[0].Success || got[0].Samples != nil {
		t.Fatalf("before the first poll: %+v", got)
	}

	board.Put(result("b", 0, nil, 1, 2))
	b := board.Snapshot(at(1))[0]
	if !b.Known || !b.Success || b.Stale || len(b.Samples) != 2 || !b.LastSuccess.Equal(at(0.5)) || b.Duration != 500*time.Millisecond || b.Polls != 1 || b.Overflow != 2 {
		t.Errorf("after a good poll: %+v", b)
	}
	if fresh := board.Snapshot(at(13))[0]; fresh.Samples == nil || !fresh.Success {
		t.Errorf("at the limit of staleness: %+v", fresh)
	}
	if stale := board.Snapshot(at(13.1))[0]; stale.Samples != nil || stale.Success || !stale.Stale || !stale.LastSuccess.Equal(at(0.5)) {
		t.Errorf("past the limit of staleness: %+v", stale)
	}

	board.Put(result("b", 5, errAway, 3))
	b = board.Snapshot(at(6))[0]
	if b.Success || b.Err == nil || len(b.Samples) != 1 || b.Samples[0].Value != 3 || !b.LastSuccess.Equal(at(0.5)) || b.Overflow != 3 || b.Reasons[ReasonOther] != 1 {
		t.Errorf("after a poll that failed in part: %+v", b)
	}
	board.Put(result("b", 10, &PanicError{Value: "x"}))
	b = board.Snapshot(at(11))[0]
	if b.Samples != nil || b.Success || b.Polls != 3 || b.Reasons[ReasonOther] != 1 || b.Reasons[ReasonPanic] != 1 || !b.LastPoll.Equal(at(10.5)) {
		t.Errorf("after a panic: %+v", b)
	}
	if other := board.Snapshot(at(11))[1]; other.Known {
		t.Errorf("the other probe: %+v", other)
	}
}

func TestAddDropsNaN(t *testing.T) {
	var descs Descs
	desc := descs.Counter("soakd_v_total", "V.", "l")
	var r Reading
	r.Add(desc, math.NaN(), "x")
	r.Add(desc, 0, "y")
	if len(r.Samples) != 1 || r.Samples[0].Labels[0] != "y" || desc.Type != Counter || len(descs) != 1 {
		t.Errorf("%+v", r)
	}
}
