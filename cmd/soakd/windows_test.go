package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"soakd/internal/histogram"
	"soakd/internal/load"
	"soakd/internal/lockedbuffer"
)

// work makes the account of a soakd that was told what it did.
func work(after time.Duration, change func(*ownWork)) ownWork {
	w := ownWork{
		at: time.Unix(0, 0).Add(after), lags: new(histogram.Histogram), throttle: load.Throttle{Factor: 1},
		counts: load.Counts{Dropped: map[load.DropReason]int64{}}, failed: map[load.SystemKind]int64{},
	}
	if change != nil {
		change(&w)
	}
	return w
}

// Facts are of the window alone: what was counted before it is not in them.
func TestWindowFacts(t *testing.T) {
	start := work(20*time.Second, func(w *ownWork) {
		w.counts = load.Counts{Scheduled: 100, Cut: 2, Dropped: map[load.DropReason]int64{load.DropLate: 5, load.DropQueueFull: 1}}
		w.failed = map[load.SystemKind]int64{load.SystemFiles: 3, load.SystemPorts: 2}
		w.cpu = 4 * time.Second
		for range 1000 {
			w.lags.Observe(time.Second)
		}
		w.throttle.Holds.User = 9
	})
	end := work(30*time.Second, func(w *ownWork) {
		w.counts = load.Counts{Scheduled: 600, Cut: 3, Dropped: map[load.DropReason]int64{load.DropLate: 12, load.DropQueueFull: 1}}
		w.failed = map[load.SystemKind]int64{load.SystemFiles: 7, load.SystemPorts: 2}
		w.cpu = 9 * time.Second
		w.lags.Merge(start.lags)
		for range 100 {
			w.lags.Observe(2 * time.Millisecond)
		}
		w.throttle.Holds.User = 9
	})
	got := windowFacts(start, end, load.Throttle{}, 2)
	if got.Expected != windowLength || got.Length != 10*time.Second || got.Wall != 10*time.Second || got.Scheduled != 500 || got.Cut != 1 {
		t.Errorf("times and counts: %+v", got)
	}
	if !maps.Equal(got.Dropped, map[load.DropReason]int64{load.DropLate: 7}) || !maps.Equal(got.Failed, map[load.SystemKind]int64{load.SystemFiles: 4}) {
		t.Errorf("dropped %v, want 7 late; failed %v, want 4 files", got.Dropped, got.Failed)
	}
	if got.LagP99 < 1980*time.Microsecond || got.LagP99 > 2020*time.Microsecond || got.CPUShare() != 0.25 {
		t.Errorf("lag %v, want 2 ms; CPU share %v, want 5 s of 20 s", got.LagP99, got.CPUShare())
	}
	if got.Paused || got.Held != 0 || got.Circuit != "" {
		t.Errorf("nothing held the load back: %+v", got)
	}
}

// What held the load back for a part of the window alone counts for all of it.
func TestWindowFactsRememberWhatHeldTheLoadBack(t *testing.T) {
	open := load.Throttle{Circuit: load.CircuitStatus{State: load.CircuitOpen}}
	for name, test := range map[string]struct {
		held    load.Throttle
		end     func(*ownWork)
		paused  bool
		users   int64
		circuit load.CircuitState
	}{
		"nothing":                    {load.Throttle{}, nil, false, 0, ""},
		"paused in between":          {load.Throttle{Paused: true}, nil, true, 0, ""},
		"paused at the end":          {load.Throttle{}, func(w *ownWork) { w.throttle.Paused = true }, true, 0, ""},
		"held in between":            {load.Throttle{HeldUsers: 3}, func(w *ownWork) { w.throttle.HeldUsers = 1 }, false, 3, ""},
		"held when nobody looked":    {load.Throttle{}, func(w *ownWork) { w.throttle.Holds.Everybody = 1 }, false, 1, ""},
		"circuit open in between":    {open, func(w *ownWork) { w.throttle.Circuit.State = load.CircuitRecovering }, false, 0, load.CircuitOpen},
		"circuit recovers":           {load.Throttle{}, func(w *ownWork) { w.throttle.Circuit.State = load.CircuitRecovering }, false, 0, load.CircuitRecovering},
		"tripped when nobody looked": {load.Throttle{}, func(w *ownWork) { w.throttle.Circuit.Trips = 1 }, false, 0, load.CircuitOpen},
	} {
		got := windowFacts(work(0, nil), work(windowLength, test.end), test.held, 1)
		if got.Paused != test.paused || got.Held != test.users || got.Circuit != test.circuit {
			t.Errorf("%s: paused %v, %d held, circuit %q", name, got.Paused, got.Held, got.Circuit)
		}
	}
}

// testWindows are windows of a soakd that does what do says of each moment.
func testWindows(t *testing.T, duration time.Duration, do func(since time.Duration, w *ownWork)) (*windows, *bytes.Buffer) {
	t.Helper()
	began, log := time.Now(), &bytes.Buffer{}
	read := func() ownWork {
		return work(0, func(w *ownWork) {
			w.at = time.Now()
			if do != nil {
				do(time.Since(began), w)
			}
		})
	}
	w, err := newWindows(windowsConfig{
		limits: load.DefaultFitnessLimits(), cpus: 2, duration: duration, read: read,
		throttle: func() load.Throttle { return read().throttle }, log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, log
}

func (w *windows) runFor(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	w.run(ctx)
}

func TestWhatIsAWindow(t *testing.T) {
	for name, test := range map[string]struct {
		duration, lasted time.Duration
		want             int64
	}{
		"shorter than one":              {3 * time.Second, 3 * time.Second, 1},
		"exactly one":                   {0, 9999 * time.Millisecond, 1},
		"a rest that says little":       {0, 24 * time.Second, 2},
		"a rest of half a window":       {0, 25 * time.Second, 3},
		"the last requests take long":   {10 * time.Second, 58 * time.Second, 1},
		"the schedule ends in a window": {12 * time.Second, 58 * time.Second, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, log := testWindows(t, test.duration, nil)
			w.runFor(test.lasted)
			text, _ := w.unfit()
			if s := w.fitness.Status(); s.Windows != test.want || s.Unfit != 0 || log.Len() > 0 || text != "" {
				t.Errorf("%s: %d windows, want %d; %d unfit, %q; log %s", name, s.Windows, test.want, s.Unfit, text, log)
			}
		})
	}
}

// soakd is late in the second and third of nine windows: two lines of the log, and
// a verdict can be given.
func TestUnfitWindowsAreSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := testWindows(t, 0, func(since time.Duration, w *ownWork) {
			for at := time.Duration(0); at < since; at += time.Second {
				lag := time.Millisecond
				if at >= 10*time.Second && at < 30*time.Second {
					lag = 20 * time.Millisecond
				}
				w.lags.Observe(lag)
			}
			w.cpu = since / 2
		})
		w.runFor(92 * time.Second)
		s := w.fitness.Status()
		if s.Windows != 9 || s.Unfit != 2 || s.ByReason[load.UnfitLate] != 2 || !s.Fit() {
			t.Errorf("status %+v", s)
		}
		if share, known := w.cpuShare(); share != 0.25 || !known {
			t.Errorf("CPU share %v, known %v", share, known)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[0], "not fit for judgement: 1 % of the arrivals were noticed more than") ||
			!strings.Contains(lines[1], "level=INFO") || !strings.Contains(lines[1], "fit for judgement again; 2 were not") {
			t.Errorf("log:\n%s", log)
		}
		if text, _ := w.unfit(); text != "" {
			t.Error(text)
		}
	})
}

func TestNoFitWindowIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := testWindows(t, 0, func(since time.Duration, w *ownWork) {
			w.cpu = 2 * since // both CPUs
			if since > 3*time.Second && since < 4*time.Second {
				w.throttle.Paused = true
			}
		})
		w.runFor(21 * time.Second)
		const want = "0 of 2 windows were fit to pass a judgement (cpu 2, paused 1); the log says what would help"
		if text, none := w.unfit(); text != want || !none {
			t.Errorf("got %q, want %q", text, want)
		}
	})
}

// healthy is a target that answers one case rightly, and nothing else: a run that
// was fit to judge it fails.
func healthy(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"healthy"}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The metrics of a real run are those of its engine, client and process.
func TestRunMeasuresItsOwnWork(t *testing.T) {
	for name, test := range map[string]struct {
		target string
		pause  bool
		want   map[string]float64
		err    string
	}{
		"answers": {healthy(t), false, map[string]float64{
			"soakd_load_paused": 0, "soakd_load_factor_ratio": 1, "soakd_http_dial_errors_total": 0, "soakd_windows_total": 1, "soakd_windows_unfit_total": 0, "soakd_window_fit": 1,
		}, "failed: "},
		"is paused": {healthy(t), true, map[string]float64{
			"soakd_load_paused": 1, "soakd_load_factor_ratio": 0, "soakd_windows_total": 1, "soakd_windows_unfit_total": 1, "soakd_window_fit": 0,
		}, "could not judge: 0 of 1 windows were fit to pass a judgement (paused 1)"},
		"refuses": {"http://127.0.0.1:1", false, map[string]float64{
			"soakd_http_connections_open": 0, "soakd_http_dial_system_errors_total": 0, "soakd_windows_total": 1,
		}, "never answered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SOAKD_TARGET_URL", test.target)
			cfg, err := readConfig(command{name: "run"}, []string{"--duration", "2s", "--rate", "100", "--listen", "127.0.0.1:0", "--users", "1"}, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			d, err := newDaemon(t.Context(), cfg, cfg.newProgress(io.Discard), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- d.run(t.Context()) }()
			if test.pause {
				wait(t, "a right answer", func() bool { _, all := d.recorder.Summary(); return all.OK > 0 }, textFunc(func() string { return "" }))
				if err := d.engine.Pause(); err != nil {
					t.Error(err)
				}
			}
			if err := <-ended; (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
				t.Errorf("ended with %v, want %q", err, test.err)
			}
			page := httptest.NewRecorder()
			d.metrics.Handler().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
			all := parse(t, page.Body)
			for metric, want := range test.want {
				if got, there := sum(all, metric, "")[""]; got != want || !there {
					t.Errorf("%s is %v (there: %v), want %v", metric, got, there, want)
				}
			}
			if refused := sum(all, "soakd_http_dial_errors_total", "")[""]; (refused > 0) != (name == "refuses") {
				t.Errorf("%v attempts to connect failed", refused)
			}
			if share, known := d.windows.cpuShare(); known && (share <= 0 || share > 1.1) {
				t.Errorf("soakd used %v of its CPUs", share)
			}
		})
	}
}

// A whole run, shorter than a window, in which soakd cannot keep what is asked of
// it: the target answers, and no judgement is passed.
func TestRunThatCannotJudge(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		want   int
		reason string
	}{
		"fit":   {[]string{"--lag-limit", "1m", "--cpu-limit", "1"}, exitFailed, "windows: all 1 fit to pass a judgement"},
		"unfit": {[]string{"--lag-limit", "1ns", "--cpu-limit", "1"}, exitNotRun, "windows: 1 of 1 not fit to pass a judgement (late 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { goleak.VerifyNone(t) }) // after the target has ended
			t.Setenv("SOAKD_TARGET_URL", healthy(t))
			var stdout, stderr lockedbuffer.Buffer
			args := slices.Concat([]string{"run", "--duration", "1s", "--rate", "100", "--listen", "127.0.0.1:0", "--users", "1", "--max-lateness", "1m"}, test.args)
			err := run(t.Context(), args, &stdout, &stderr)
			if exitCode(err) != test.want || !strings.Contains(stdout.String(), test.reason) {
				t.Errorf("got %v, exit code %d; want %d and %q\n%s", err, exitCode(err), test.want, test.reason, &stdout)
			}
			if test.want == exitNotRun && !strings.Contains(stderr.String(), "this window is not fit for judgement") {
				t.Errorf("the log does not say it:\n%s", &stderr)
			}
		})
	}
}
