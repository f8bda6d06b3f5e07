package probes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("connection refused")

// fakeProbe polls by a function and remembers when.
type fakeProbe struct {
	name  string
	descs Descs
	value *Desc
	poll  func(ctx context.Context, n int) (Reading, error)

	mu     sync.Mutex
	polls  []time.Time
	closed int
}

func newFake(name string, poll func(ctx context.Context, n int) (Reading, error)) *fakeProbe {
	f := &fakeProbe{name: name, poll: poll}
	f.value = f.descs.Gauge("soakd_fake_value", "A value.", "label")
	return f
}

func (f *fakeProbe) Name() string      { return f.name }
func (f *fakeProbe) Describe() []*Desc { return f.descs }

func (f *fakeProbe) Poll(ctx context.Context) (Reading, error) {
	f.mu.Lock()
	f.polls = append(f.polls, time.Now())
	n := len(f.polls)
	f.mu.Unlock()
	return f.poll(ctx, n)
}

func (f *fakeProbe) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
}

func (f *fakeProbe) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.polls...)
}

// reads gives a poll that reads value.
func (f *fakeProbe) reads(value float64) (Reading, error) {
	var r Reading
	r.Add(f.value, value, "a")
	return r, nil
}

// recorder collects results.
type recorder struct {
	mu      sync.Mutex
	results []Result
}

func (r *recorder) put(result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result)
}

func (r *recorder) of(name string) []Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Result
	for _, result := range r.results {
		if result.Probe == name {
			found = append(found, result)
		}
	}
	return found
}

var testSettings = Settings{Interval: 5 * time.Second, Timeout: 3 * time.Second, MaxBackoff: 30 * time.Second}

// running runs probes in a bubble of virtual time and returns a stop function
// that gives Run's error.
func running(t *testing.T, log *bytes.Buffer, random float64, probes ...Probe) (*recorder, func() error) {
	t.Helper()
	rec := &recorder{}
	logger := slog.New(slog.DiscardHandler)
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, nil))
	}
	poller, err := New(probes, testSettings, rec.put, logger)
	if err != nil {
		t.Fatal(err)
	}
	poller.random = func() float64 { return random }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- poller.Run(ctx) }()
	return rec, func() error {
		cancel()
		return <-done
	}
}

func offsets(start time.Time, times []time.Time) []time.Duration {
	var found []time.Duration
	for _, at := range times {
		found = append(found, at.Sub(start))
	}
	return found
}

func TestPollsAtTheIntervalWithoutDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var probe *fakeProbe
		probe = newFake("p", func(context.Context, int) (Reading, error) {
			time.Sleep(1200 * time.Millisecond) // the poll's own time must not add to the interval
			return probe.reads(1)
		})
		rec, stop := running(t, nil, 0.5, probe)
		time.Sleep(22 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		want := []time.Duration{500 * time.Millisecond, 5500 * time.Millisecond, 10500 * time.Millisecond, 15500 * time.Millisecond, 20500 * time.Millisecond}
		if got := offsets(start, probe.times()); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("polled at %v, want %v", got, want)
		}
		if probe.closed != 1 {
			t.Errorf("closed %d times", probe.closed)
		}
		results := rec.of("p")
		if len(results) != 5 {
			t.Fatalf("%d results", len(results))
		}
		first := results[0]
		if first.Duration != 1200*time.Millisecond || first.Err != nil || len(first.Reading.Samples) != 1 || !first.Start.Equal(start.Add(500*time.Millisecond)) {
			t.Errorf("first result %+v", first)
		}
	})
}

func TestStartIsJitteredWithinASecondAndTheInterval(t *testing.T) {
	for _, c := range []struct{ interval, want time.Duration }{{5 * time.Second, 900 * time.Millisecond}, {500 * time.Millisecond, 450 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var probe *fakeProbe
			probe = newFake("p", func(context.Context, int) (Reading, error) { return probe.reads(1) })
			poller, err := New([]Probe{probe}, Settings{c.interval, c.interval, c.interval}, func(Result) {}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			poller.random = func() float64 { return 0.9 }
			ctx, cancel := context.WithTimeout(t.Context(), c.interval)
			defer cancel()
			if err := poller.Run(ctx); err != nil {
				t.Error(err)
			}
			if got := offsets(start, probe.times()); len(got) != 1 || got[0] != c.want {
				t.Errorf("interval %v: polled at %v, want %v", c.interval, got, c.want)
			}
		})
	}
}

func TestBacksOffWhileDownAndResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var probe *fakeProbe
		probe = newFake("p", func(_ context.Context, n int) (Reading, error) {
			if n <= 6 {
				return Reading{}, errAway
			}
			return probe.reads(1)
		})
		_, stop := running(t, nil, 0, probe)
		time.Sleep(130 * time.Second)
		_ = stop()
		// Waits 5, 10, 20, 30, 30, 30 while down, then 5 again.
		want := "[0s 5s 15s 35s 1m5s 1m35s 2m5s]"
		if got := fmt.Sprint(offsets(start, probe.times())[:7]); got != want {
			t.Errorf("polled at %v, want %v", got, want)
		}
	})
}

func TestBackoffJitterNeverGoesBelowTheInterval(t *testing.T) {
	l := &loop{settings: testSettings, random: func() float64 { return 0.999 }, empty: 1}
	if got := l.nextWait(); got != testSettings.Interval {
		t.Errorf("first wait %v", got)
	}
	l.empty = 9
	if got := l.nextWait(); got >= testSettings.MaxBackoff || got < 24*time.Second {
		t.Errorf("late wait %v, want a little over 80 %% of %v", got, testSettings.MaxBackoff)
	}
}

func TestPartialReadingKeepsTheIntervalAndTheSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var probe *fakeProbe
		probe = newFake("p", func(context.Context, int) (Reading, error) {
			r, _ := probe.reads(7)
			return r, errors.New("statements: permission denied")
		})
		rec, stop := running(t, nil, 0, probe)
		time.Sleep(16 * time.Second)
		_ = stop()
		results := rec.of("p")
		if len(results) != 4 {
			t.Fatalf("%d polls in 16 s, want 4: a part that fails must not slow down the rest", len(results))
		}
		if last := results[3]; last.Err == nil || len(last.Reading.Samples) != 1 || last.Reading.Samples[0].Value != 7 {
			t.Errorf("last result %+v", last)
		}
	})
}

func TestTimeoutBoundsThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probe := newFake("p", func(ctx context.Context, _ int) (Reading, error) {
			<-ctx.Done()
			return Reading{}, ctx.Err()
		})
		rec, stop := running(t, nil, 0, probe)
		time.Sleep(4 * time.Second)
		_ = stop()
		results := rec.of("p")
		if len(results) != 1 || results[0].Duration != testSettings.Timeout || !errors.Is(results[0].Err, context.DeadlineExceeded) {
			t.Errorf("results %+v", results)
		}
	})
}

func TestPanicIsAFailedPollAndTouchesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		wild := newFake("wild", func(context.Context, int) (Reading, error) { panic("index\nout of range") })
		var calm *fakeProbe
		calm = newFake("calm", func(context.Context, int) (Reading, error) { return calm.reads(1) })
		rec, stop := running(t, &log, 0, wild, calm)
		time.Sleep(21 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		results := rec.of("wild")
		var panicErr *PanicError
		if len(results) != 3 || !errors.As(results[0].Err, &panicErr) || panicErr.Value != "index out of range" {
			t.Fatalf("results of the probe that panics: %+v", results)
		}
		if !bytes.Contains(panicErr.Stack, []byte("poller_test.go")) {
			t.Errorf("the stack does not lead to the panic:\n%s", panicErr.Stack)
		}
		if n := strings.Count(log.String(), "probe panicked"); n != 1 {
			t.Errorf("the panic was logged %d times, want once:\n%s", n, &log)
		}
		if got := rec.of("calm"); len(got) != 5 || got[4].Err != nil {
			t.Errorf("the other probe has %d results", len(got))
		}
	})
}

func TestHungProbeStopsNeitherTheOthersNorTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hung := newFake("hung", func(context.Context, int) (Reading, error) {
			<-release
			return Reading{}, nil
		})
		var calm *fakeProbe
		calm = newFake("calm", func(context.Context, int) (Reading, error) { return calm.reads(1) })
		rec, stop := running(t, nil, 0, hung, calm)
		time.Sleep(31 * time.Second)
		if n := len(hung.times()); n != 1 {
			t.Errorf("polled %d times while the first poll hung", n)
		}
		results := rec.of("hung")
		if len(results) != 1 || !errors.Is(results[0].Err, ErrHung) || results[0].Duration != testSettings.Timeout+grace {
			t.Errorf("results of the hung probe: %+v", results)
		}
		if n := len(rec.of("calm")); n != 7 {
			t.Errorf("the other probe was polled %d times, want 7", n)
		}
		before := time.Now()
		err := stop()
		if took := time.Since(before); took > 2*grace {
			t.Errorf("Run took %v to return", took)
		}
		if !errors.Is(err, ErrHung) || !strings.Contains(err.Error(), "probe hung:") || strings.Contains(err.Error(), "calm") {
			t.Errorf("Run: %v", err)
		}
		if hung.closed != 0 || calm.closed != 1 {
			t.Errorf("closed hung %d, calm %d: Poll must not run after Close", hung.closed, calm.closed)
		}
		close(release)
	})
}

func TestHungProbeIsPolledAgainOnceItCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var probe *fakeProbe
		probe = newFake("p", func(_ context.Context, n int) (Reading, error) {
			if n == 1 {
				time.Sleep(time.Minute)
			}
			return probe.reads(float64(n))
		})
		rec, stop := running(t, nil, 0, probe)
		time.Sleep(61 * time.Second)
		_ = stop()
		results := rec.of("p")
		if len(results) != 2 || !errors.Is(results[0].Err, ErrHung) || results[1].Err != nil || results[1].Reading.Samples[0].Value != 2 {
			t.Errorf("results %+v: the late reading of the hung poll must be dropped", results)
		}
	})
}

func TestShutdownDuringAPollGivesNoResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probe := newFake("p", func(ctx context.Context, _ int) (Reading, error) {
			<-ctx.Done()
			return Reading{}, ctx.Err()
		})
		rec, stop := running(t, nil, 0, probe)
		time.Sleep(time.Second)
		before := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if len(rec.of("p")) != 0 || time.Since(before) != 0 || probe.closed != 1 {
			t.Errorf("results %v after %v, closed %d", rec.of("p"), time.Since(before), probe.closed)
		}
	})
}

func TestCloseThatHangsIsLeftBehindAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		probe := &stuckClose{newFake("p", func(context.Context, int) (Reading, error) { return Reading{}, nil }), release}
		_, stop := running(t, nil, 0, probe)
		time.Sleep(time.Second)
		if err := stop(); !errors.Is(err, ErrHung) || !strings.Contains(err.Error(), "probe p: close did not return") {
			t.Errorf("Run: %v", err)
		}
		close(release)
	})
}

type stuckClose struct {
	*fakeProbe
	release chan struct{}
}

func (s *stuckClose) Close() { <-s.release }

func TestLogsChangesOfStateOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var probe *fakeProbe
		probe = newFake("p", func(_ context.Context, n int) (Reading, error) {
			switch {
			case n <= 2, n >= 8:
				return probe.reads(1)
			case n <= 5:
				return Reading{}, errAway
			default:
				r, _ := probe.reads(1)
				return r, errors.New("tables: permission\ndenied")
			}
		})
		_, stop := running(t, &log, 0, probe)
		time.Sleep(10 * time.Minute)
		_ = stop()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		want := []string{
			`level=WARN msg="probe reads nothing" probe=p reason=other err="connection refused"`,
			`level=WARN msg="probe reads only in part" probe=p reason=other err="tables: permission denied"`,
			// Down at 10 s, 15 s, 25 s; in part at 45 s and 50 s; whole at 55 s.
			`level=INFO msg="probe reads again" probe=p outage=45s`,
		}
		if len(lines) != len(want) {
			t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), &log)
		}
		for i, line := range lines {
			if !strings.HasSuffix(line, want[i]) {
				t.Errorf("line %d: %s\nwant: %s", i, line, want[i])
			}
		}
	})
}

func TestLogsAnotherReasonAtMostOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		start := time.Now()
		var probe *fakeProbe
		probe = newFake("p", func(_ context.Context, n int) (Reading, error) {
			r, _ := probe.reads(1)
			switch at := time.Since(start); {
			case at < 10*time.Second:
				return r, errors.New("tables: denied")
			case at < 3*time.Minute: // first seen 10 s after the last line
				return r, errors.New("tables: denied\nlocks: denied")
			case at < 4*time.Minute: // and back in the same minute
				return r, errors.New([]string{"locks: denied", "wal: denied"}[n%2])
			case at < 9*time.Minute: // another one at each poll
				return r, fmt.Errorf("read from port %d: reset", 30000+n)
			default:
				return r, nil
			}
		})
		_, stop := running(t, &log, 0, probe)
		time.Sleep(10 * time.Minute)
		_ = stop()
		var got []string
		for line := range strings.Lines(log.String()) {
			stamp, rest, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			at, err := time.Parse(time.RFC3339, stamp)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ = strings.Cut(rest, " probe=p ")
			got = append(got, fmt.Sprint(at.Sub(start), " ", strings.TrimSpace(rest)))
		}
		// Polls are 5 s apart; the n-th is at 5*(n-1) s.
		want := []string{
			`0s reason=other err="tables: denied"`,
			`1m0s reason=other err="tables: denied locks: denied"`,
			`3m0s reason=other err="wal: denied"`,
			`4m0s reason=other err="read from port 30049: reset"`,
			`5m0s reason=other err="read from port 30061: reset"`,
			`6m0s reason=other err="read from port 30073: reset"`,
			`7m0s reason=other err="read from port 30085: reset"`,
			`8m0s reason=other err="read from port 30097: reset"`,
			`9m0s outage=9m0s`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestAChangeOfStateIsLoggedWithinTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var probe *fakeProbe
		probe = newFake("p", func(_ context.Context, n int) (Reading, error) {
			switch {
			case n == 1:
				return Reading{}, errAway
			case n == 3: // the same reason as before, after a recovery
				return Reading{}, errAway
			}
			return probe.reads(1)
		})
		_, stop := running(t, &log, 0, probe)
		time.Sleep(30 * time.Second)
		_ = stop()
		if away, again := strings.Count(log.String(), "reads nothing"), strings.Count(log.String(), "reads again"); away != 2 || again != 2 {
			t.Errorf("log:\n%s", &log)
		}
	})
}

func TestDownFromTheStartIsLoggedOnceAndItsEndToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var probe *fakeProbe
		probe = newFake("p", func(_ context.Context, n int) (Reading, error) {
			if n <= 2 {
				return Reading{}, errAway
			}
			return probe.reads(1)
		})
		_, stop := running(t, &log, 0, probe)
		time.Sleep(time.Minute)
		_ = stop()
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "probe reads again\" probe=p outage=15s") {
			t.Errorf("log:\n%s", got)
		}
	})
}

func TestWrongSamplesAreDroppedAndNamed(t *testing.T) {
	var probe *fakeProbe
	var foreign Descs
	unknown := foreign.Gauge("soakd_unknown", "Not described.")
	probe = newFake("p", func(context.Context, int) (Reading, error) {
		var r Reading
		r.Add(probe.value, 1, "a")
		r.Add(probe.value, 2, "a")
		r.Add(probe.value, 3)
		r.Add(unknown, 4)
		r.Add(probe.value, 5, "b")
		return r, nil
	})
	poller, err := New([]Probe{probe}, testSettings, func(Result) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	result := poller.newLoop(probe).poll(t.Context(), time.Now())
	if result.Err == nil || !strings.Contains(result.Err.Error(), `metric soakd_fake_value was given twice with labels ["a"]`) {
		t.Errorf("error %v", result.Err)
	}
	if s := result.Reading.Samples; len(s) != 2 || s[0].Value != 1 || s[1].Value != 5 {
		t.Errorf("kept %+v", s)
	}
}

func TestALabelThatIsNotUTF8IsDroppedAndNamed(t *testing.T) {
	var descs Descs
	value := descs.Gauge("soakd_fake_value", "A value.", "label")
	var r Reading
	r.Add(value, 1, "caf\xe9") // Latin-1
	r.Add(value, 2, "café")
	r, err := r.checked(map[*Desc]bool{value: true})
	if err == nil || err.Error() != `metric soakd_fake_value has a label value that is not UTF-8: ["caf\xe9"]` {
		t.Errorf("error %v", err)
	}
	if len(r.Samples) != 1 || r.Samples[0].Value != 2 {
		t.Errorf("kept %+v", r.Samples)
	}
}

func TestNewRefuses(t *testing.T) {
	a, b := newFake("same", nil), newFake("same", nil)
	log := slog.New(slog.DiscardHandler)
	if _, err := New([]Probe{a, b}, testSettings, func(Result) {}, log); err == nil || !strings.Contains(err.Error(), `"same"`) {
		t.Errorf("two of one name: %v", err)
	}
	_, err := New(nil, Settings{Interval: time.Millisecond, Timeout: time.Second, MaxBackoff: 0}, func(Result) {}, log)
	if err == nil {
		t.Fatal("wrong settings were taken")
	}
	for _, part := range []string{"interval 1ms is below 100ms", "timeout 1s must be", "back-off 0s is below"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
	if err := testSettings.Validate(); err != nil {
		t.Error(err)
	}
}
