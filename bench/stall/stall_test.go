package stall_test

import (
	"testing"
	"time"

	"soakd/bench/stall"
)

func TestEnd(t *testing.T) {
	p := stall.Pattern{Period: 10 * time.Second, From: 5 * time.Second, For: time.Second}
	for at, want := range map[time.Duration]time.Duration{
		0:                              0,
		5*time.Second - 1:              5*time.Second - 1,
		5 * time.Second:                6 * time.Second,
		6*time.Second - 1:              6 * time.Second,
		6 * time.Second:                6 * time.Second,
		15*time.Second + 1:             16 * time.Second,
		25*time.Second + time.Second/2: 26 * time.Second,
	} {
		if got := p.End(at); got != want {
			t.Errorf("End(%v) = %v, want %v", at, got, want)
		}
		if got := (stall.Pattern{}).End(at); got != at {
			t.Errorf("without a stall End(%v) = %v", at, got)
		}
	}
}

// A tenth of the arrivals waits, evenly spread over 0..1 s: 1 % wait more than
// 0.9 s and 0.1 % more than 0.99 s.
func TestTruth(t *testing.T) {
	p := stall.Pattern{Period: 10 * time.Second, From: 5 * time.Second, For: time.Second}
	for _, first := range []time.Duration{0, 300 * time.Millisecond, 2345678901} {
		times := p.Truth(first, 500, 5000)
		waited := 0
		for _, d := range times {
			if d > 0 {
				waited++
			}
		}
		if waited < 499 || waited > 501 {
			t.Errorf("first %v: %d of 5000 waited, want 500", first, waited)
		}
		for index, want := range map[int]time.Duration{4949: 900 * time.Millisecond, 4994: 990 * time.Millisecond} {
			if got := times[index]; got < want-3*time.Millisecond || got > want+3*time.Millisecond {
				t.Errorf("first %v: the %d. of 5000 is %v, want %v", first, index+1, got, want)
			}
		}
	}
}
