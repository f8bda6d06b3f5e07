package load

import (
	"slices"
	"sync"
	"testing"
)

func TestLedgerCountsEachEvent(t *testing.T) {
	l := newLedger()
	a, b := testCase("a", 1), testCase("b", 1)
	for i, reason := range DropReasons() {
		for range i + 1 {
			l.scheduled()
			l.drop(reason)
		}
	}
	for range 7 {
		l.scheduled()
	}
	for range 6 {
		l.sent()
	}
	l.finished()
	l.finished()
	l.finished()
	l.cut()
	l.substitute(a, SubstituteNoState)
	l.substitute(a, SubstituteNoState)
	l.substitute(b, SubstituteLimit)
	got := l.snapshot()
	if got.Scheduled != 22 || got.Sent != 6 || got.Waiting != 1 || got.Finished != 3 || got.Cut != 1 || got.InFlight != 2 || got.TotalDropped() != 15 {
		t.Errorf("got %+v", got)
	}
	for i, reason := range DropReasons() {
		if got.Dropped[reason] != int64(i+1) {
			t.Errorf("%s: %d, want %d", reason, got.Dropped[reason], i+1)
		}
	}
	if len(got.Substituted) != 2 || !slices.Contains(got.Substituted, Substitution{a, SubstituteNoState, 2}) || !slices.Contains(got.Substituted, Substitution{b, SubstituteLimit, 1}) {
		t.Errorf("substituted %+v", got.Substituted)
	}
	if n := len(DropReasons()); n > maxDropReasons {
		t.Errorf("%d reasons for a drop and room for %d", n, maxDropReasons)
	}
	if n := len(SubstituteReasons()); n != len(substitutions{}) {
		t.Errorf("%d reasons for a substitution and room for %d", n, len(substitutions{}))
	}
}

func TestEveryReasonIsInTheAccountFromTheStart(t *testing.T) {
	counts := newLedger().snapshot()
	for _, reason := range DropReasons() {
		if n, known := counts.Dropped[reason]; !known || n != 0 {
			t.Errorf("%s: %d, %v", reason, n, known)
		}
	}
}

// A reason that is not listed must not be counted as something else.
func TestUnlistedDropReason(t *testing.T) {
	defer func() {
		if got := recover(); got != "load: DropReasons does not list made_up" {
			t.Errorf("got %v", got)
		}
	}()
	newLedger().drop("made_up")
}

// Arrivals go through their states on several goroutines, as in the engine, while
// others take the account all the time: every one of their accounts adds up, and
// no count ever falls.
func TestLedgerAddsUpAtEveryMoment(t *testing.T) {
	const pacers, workers, arrivals, room = 2, 4, 20_000, 16
	l := newLedger()
	queue := make(chan int, room)
	var pacing, working, reading sync.WaitGroup
	for range pacers {
		pacing.Go(func() {
			for n := range arrivals {
				l.scheduled()
				select {
				case queue <- n:
				default:
					l.drop(DropQueueFull)
				}
			}
		})
	}
	for range workers {
		working.Go(func() {
			for n := range queue {
				switch n % 8 {
				case 0:
					l.drop(DropLate)
				case 1:
					l.sent()
					l.cut()
				default:
					l.sent()
					l.finished()
				}
			}
		})
	}
	done := make(chan struct{})
	for range 2 {
		reading.Go(func() {
			var before Counts
			for {
				now := l.snapshot()
				checkAccount(t, now)
				if now.Waiting < 0 || now.InFlight < 0 {
					t.Errorf("negative: %+v", now)
				}
				if now.Scheduled < before.Scheduled || now.Sent < before.Sent || now.Finished < before.Finished || now.Cut < before.Cut || now.TotalDropped() < before.TotalDropped() {
					t.Errorf("a count fell: %+v after %+v", now, before)
				}
				before = now
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	pacing.Wait()
	close(queue)
	working.Wait()
	close(done)
	reading.Wait()
	end := l.snapshot()
	checkAccount(t, end)
	if end.Scheduled != pacers*arrivals || end.Waiting != 0 || end.InFlight != 0 {
		t.Errorf("in the end: %+v", end)
	}
}

func TestLedgerAllocatesNothing(t *testing.T) {
	l := newLedger()
	c := testCase("a", 1)
	if n := testing.AllocsPerRun(1000, func() {
		l.scheduled()
		l.substitute(c, SubstituteLimit)
		l.sent()
		l.finished()
		l.scheduled()
		l.sent()
		l.cut()
		l.scheduled()
		l.drop(DropRetryAfter)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
