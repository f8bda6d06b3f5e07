package load

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"
)

// healthy are the facts of a window in which soakd worked as it should.
func healthy() WindowFacts {
	return WindowFacts{
		Expected: 10 * time.Second, Length: 10 * time.Second, Wall: 10 * time.Second, Scheduled: 5000,
		Dropped: map[DropReason]int64{DropQueueFull: 0, DropLate: 0}, LagP99: 300 * time.Microsecond,
		CPU: 9 * time.Second, CPUs: 2, Failed: map[SystemKind]int64{SystemPorts: 0}, Circuit: CircuitClosed,
	}
}

func TestJudgeWindow(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*WindowFacts)
		want   []UnfitReason
		text   string
	}{
		{"healthy", func(*WindowFacts) {}, nil, ""},
		{"nothing known", func(f *WindowFacts) { *f = WindowFacts{} }, nil, ""},
		{
			"queue full", func(f *WindowFacts) { f.Dropped = map[DropReason]int64{DropQueueFull: 120, DropLate: 3} },
			[]UnfitReason{UnfitDropped},
			"123 arrivals were dropped while 5000 fell due (3 late, 120 queue_full): raise SOAKD_MAX_IN_FLIGHT, or lower SOAKD_RATE to what the target takes",
		},
		{
			"not built", func(f *WindowFacts) { f.Dropped = map[DropReason]int64{DropNotBuilt: 1} },
			[]UnfitReason{UnfitDropped},
			"1 arrivals were dropped while 5000 fell due (1 not_built): the log says why their requests could not be built",
		},
		{
			"shutdown", func(f *WindowFacts) { f.Dropped = map[DropReason]int64{DropShutdown: 2}; f.Cut = 4 },
			[]UnfitReason{UnfitDropped},
			"2 arrivals were dropped while 5000 fell due (2 shutdown) and 4 requests were cut at the end",
		},
		{"cut", func(f *WindowFacts) { f.Cut = 4 }, []UnfitReason{UnfitDropped}, "4 requests were cut at the end"},
		{"lag at the limit", func(f *WindowFacts) { f.LagP99 = 10 * time.Millisecond }, nil, ""},
		{
			"lag above it", func(f *WindowFacts) { f.LagP99 = 10*time.Millisecond + time.Microsecond },
			[]UnfitReason{UnfitLate},
			"1 % of the arrivals were noticed more than 10.001ms late, 10ms are allowed: give soakd more CPU or a quieter machine",
		},
		{"CPU at the limit", func(f *WindowFacts) { f.CPU = 18 * time.Second }, nil, ""},
		{
			"CPU above it", func(f *WindowFacts) { f.CPU, f.CPUs = 4800*time.Millisecond, 0.5 },
			[]UnfitReason{UnfitCPU},
			"soakd used 96 % of its 0.5 CPUs, 90 % are allowed: give it more CPU, or lower SOAKD_RATE",
		},
		{"CPU not known", func(f *WindowFacts) { f.CPU, f.CPUs = time.Hour, 0 }, nil, ""},
		{
			"no ports", func(f *WindowFacts) { f.Failed = map[SystemKind]int64{SystemPorts: 7} },
			[]UnfitReason{UnfitPorts},
			"7 connections found no local port: widen net.ipv4.ip_local_port_range, or let connections live longer",
		},
		{
			"no files", func(f *WindowFacts) { f.Failed = map[SystemKind]int64{SystemFiles: 7} },
			[]UnfitReason{UnfitFiles},
			"7 connections found no file descriptor: raise the limit (ulimit -n, LimitNOFILE=), or lower SOAKD_MAX_IN_FLIGHT",
		},
		{
			"no memory", func(f *WindowFacts) { f.Failed = map[SystemKind]int64{SystemMemory: 7} },
			[]UnfitReason{UnfitMemory},
			"7 connections found no memory in the kernel: give the machine more memory, or lower SOAKD_MAX_IN_FLIGHT",
		},
		{
			"open circuit", func(f *WindowFacts) { f.Circuit = CircuitOpen },
			[]UnfitReason{UnfitThrottled},
			"the circuit was open for a target that is unwell: less was sent than was set",
		},
		{
			"recovering, and held", func(f *WindowFacts) { f.Circuit, f.Held = CircuitRecovering, 3 },
			[]UnfitReason{UnfitThrottled},
			"the circuit was recovering for a target that is unwell and the target asked to be left alone (3 users held, 0 arrivals not sent): less was sent than was set",
		},
		{
			"not sent as the target asked", func(f *WindowFacts) { f.Dropped = map[DropReason]int64{DropRetryAfter: 9} },
			[]UnfitReason{UnfitThrottled},
			"the target asked to be left alone (0 users held, 9 arrivals not sent): less was sent than was set",
		},
		{"paused", func(f *WindowFacts) { f.Paused = true }, []UnfitReason{UnfitPaused}, "the load was paused"},
		{"a little longer", func(f *WindowFacts) { f.Length, f.Wall = 12*time.Second, 12*time.Second }, nil, ""},
		{"a clock set back", func(f *WindowFacts) { f.Wall = -time.Hour }, nil, ""},
		{
			"suspended", func(f *WindowFacts) { f.Wall = time.Hour },
			[]UnfitReason{UnfitStalled},
			"the window lasted 1h0m0s instead of 10s: soakd's machine stood still (suspended, or its process was stopped)",
		},
		{
			"stopped", func(f *WindowFacts) { f.Length = 12*time.Second + time.Millisecond },
			[]UnfitReason{UnfitStalled},
			"the window lasted 12.001s instead of 10s: soakd's machine stood still (suspended, or its process was stopped)",
		},
		{"no length set", func(f *WindowFacts) { f.Expected, f.Wall = 0, time.Hour }, nil, ""},
	} {
		f := healthy()
		c.change(&f)
		got := JudgeWindow(f, DefaultFitnessLimits())
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			continue
		}
		if len(got) == 1 {
			if text := explain(got[0], f, DefaultFitnessLimits()); text != c.text {
				t.Errorf("%s:\n got %s\nwant %s", c.name, text, c.text)
			}
		}
	}
}

// Every reason can apply, in one window, in the order of the list.
func TestJudgeWindowWithEveryReason(t *testing.T) {
	f := WindowFacts{
		Expected: time.Second, Length: time.Minute, Cut: 1, LagP99: time.Second, CPU: time.Hour, CPUs: 1,
		Failed:  map[SystemKind]int64{SystemPorts: 1, SystemFiles: 1, SystemMemory: 1},
		Circuit: CircuitOpen, Paused: true,
	}
	if got := JudgeWindow(f, DefaultFitnessLimits()); !slices.Equal(got, UnfitReasons()) {
		t.Errorf("got %v, want %v", got, UnfitReasons())
	}
}

func TestFitnessSaysItOnce(t *testing.T) {
	fitness, err := NewFitness(DefaultFitnessLimits())
	if err != nil {
		t.Fatal(err)
	}
	if fitness.Status().Fit() {
		t.Error("fit before the first window")
	}
	good, paused, late := healthy(), healthy(), healthy()
	paused.Paused = true
	late.LagP99 = time.Second
	late.Paused = true
	const (
		saysPaused = "this window is not fit for judgement: the load was paused"
		saysLate   = "this window is not fit for judgement: 1 % of the arrivals were noticed more than 1s late, 10ms are allowed: give soakd more CPU or a quieter machine"
	)
	for i, step := range []struct {
		facts       WindowFacts
		line        string
		consecutive int64
	}{
		{good, "", 1},
		{good, "", 2},
		{good, "", 3},
		{paused, saysPaused, 1},
		{paused, "", 2},
		{late, saysLate, 3},
		{good, "", 1},
		{good, "", 2},
		{paused, "", 1}, // it had not been said to be fit again
		{good, "", 1},
		{good, "", 2},
		{good, "windows are fit for judgement again; 4 were not", 3},
		{good, "", 4},
		{paused, saysPaused, 1},
		{good, "", 1},
		{good, "", 2},
		{good, "windows are fit for judgement again; 1 were not", 3},
		{late, saysLate + "; the load was paused", 1},
	} {
		if line := fitness.Window(step.facts); line != step.line {
			t.Errorf("window %d:\n got %q\nwant %q", i, line, step.line)
		}
		status := fitness.Status()
		if status.Consecutive != step.consecutive {
			t.Errorf("window %d: %d in a row, want %d", i, status.Consecutive, step.consecutive)
		}
		if want := !step.facts.Paused; status.Fit() != want {
			t.Errorf("window %d: fit is %v, want %v", i, status.Fit(), want)
		}
	}
	status := fitness.Status()
	want := map[UnfitReason]int64{
		UnfitStalled: 0, UnfitDropped: 0, UnfitLate: 2, UnfitCPU: 0, UnfitPorts: 0, UnfitFiles: 0, UnfitMemory: 0, UnfitThrottled: 0, UnfitPaused: 6,
	}
	if status.Windows != 18 || status.Unfit != 6 || !maps.Equal(status.ByReason, want) {
		t.Errorf("%d windows, %d unfit, by reason %v; want 18, 6, %v", status.Windows, status.Unfit, status.ByReason, want)
	}
	if !slices.Equal(status.Latest, []UnfitReason{UnfitLate, UnfitPaused}) {
		t.Errorf("the latest window was unfit for %v, want late and paused", status.Latest)
	}
}

func TestFitnessLimitsValidate(t *testing.T) {
	for _, c := range []struct {
		change func(*FitnessLimits)
		want   string
	}{
		{func(*FitnessLimits) {}, "<nil>"},
		{func(l *FitnessLimits) { l.LagP99 = 0 }, "fitness: the largest lag 0s must be above 0s"},
		{func(l *FitnessLimits) { l.CPUShare = 1.1 }, "fitness: the largest share of the CPU 1.1 must be above 0 and up to 1"},
		{func(l *FitnessLimits) { l.CPUShare = math.NaN() }, "fitness: the largest share of the CPU NaN must be above 0 and up to 1"},
		{func(l *FitnessLimits) { l.Excess = -time.Second }, "fitness: the excess of a window -1s must be above 0s"},
	} {
		limits := DefaultFitnessLimits()
		c.change(&limits)
		_, err := NewFitness(limits)
		if got := fmt.Sprint(err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
