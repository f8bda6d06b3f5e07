package terminal

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"soakd/internal/judge"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/threshold"
	"soakd/internal/load"
	"soakd/internal/probes"
	"soakd/internal/report"
)

var update = flag.Bool("update", false, "write the pictures anew")

// hostile is a text that would take a terminal over, if it got there.
const hostile = "a\x1b[2J\x1b]0;title\x07b\x9bc\u202ed\r\n\te\u200bf\x7fg\xff\U0001f1e9\U0001f1eah日本é\u0301"

// frame is a run in which all is to be seen.
func frame() Frame {
	start := time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)
	f := Frame{Status: report.Status{
		Target: "http://staging.example:8000/日本", Workload: "cashflow", Rate: 50, TargetRate: 50, Phase: load.PhaseSteady,
		Start: start, Elapsed: 90 * time.Second, Duration: 3 * time.Minute,
		Counts: load.Counts{InFlight: 3, Waiting: 2, Dropped: map[load.DropReason]int64{load.DropLate: 4}},
		All: load.CaseSummary{Finished: 4500, OK: 4488, Failures: []load.OutcomeCount{
			{Outcome: "server_error", Count: 9}, {Outcome: "timeout", Count: 3},
		}},
		Verdict: judge.Verdict{Result: judge.Fail, Text: "failed: errors: 12 of 4500 requests"},
		Fitness: load.FitnessStatus{Windows: 9, Unfit: 1, Latest: []load.UnfitReason{load.UnfitLate}},
		Probes: []probes.Status{
			{Probe: "postgres", Known: true, Success: true, Samples: []probes.Sample{
				{Desc: &probes.Desc{Name: "soakd_postgres_connection_saturation_ratio"}, Value: 0.25},
			}},
			{Probe: "redis", Known: true, Reason: "timeout", Err: errors.New(hostile)},
			{Probe: "api"},
		},
		Findings: []judge.Finding{
			{Kind: finding.Errors, Onset: start, Ended: start.Add(time.Minute), Text: "what is over is not shown"},
			{Kind: finding.Outage, Onset: start, Text: "redis is away: " + hostile},
		},
		Throttle: load.Throttle{HeldUsers: 2, Factor: 1},
	}}
	for i := range 12 {
		f.Status.Cases = append(f.Status.Cases, load.CaseSummary{
			Name: fmt.Sprintf("case_%d", i), Finished: int64(100 * i), OK: int64(100*i - i%3), ResponseTime: load.Quantiles{Timed: 1, P95: time.Duration(i) * time.Millisecond},
		})
	}
	f.Status.Cases[11].Name = "evil " + hostile
	for i := range 30 {
		f.Next(load.Window{
			Length: 2 * time.Second, CaseSummary: load.CaseSummary{Finished: int64(90 + i), OK: int64(90 + i - i/29), ResponseTime: load.Quantiles{
				Timed: 90, P50: 10 * time.Millisecond, P95: time.Duration(20+i) * time.Millisecond, P99: 80 * time.Millisecond, Max: time.Second, AtLeast: true,
			}},
		})
	}
	f.Thresholds = []threshold.Judged{
		{Threshold: "rate>=50", Over: threshold.Run, Result: threshold.Met, Text: "49.9 per second"},
		{Threshold: "p95<=30ms", Over: threshold.WorstWindow, Result: threshold.Missed, Text: "49ms"},
		{Threshold: "error_rate<=0.01", Over: threshold.Run, Result: threshold.Unknown, Text: "too few requests"},
	}
	return f
}

func TestPictures(t *testing.T) {
	f := frame()
	for _, size := range []struct{ columns, rows int }{{80, 24}, {40, 10}, {200, 60}} {
		name := fmt.Sprintf("%dx%d.txt", size.columns, size.rows)
		t.Run(name, func(t *testing.T) {
			path, got := filepath.Join("testdata", name), f.Render(size.columns, size.rows, false)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // no secret
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Whatever the size, the table fits and holds nothing but what can be printed.
func TestFitsEverySize(t *testing.T) {
	full, empty := frame(), Frame{}
	for columns := range 210 {
		for _, rows := range []int{0, 1, 2, 3, 5, 8, 10, 16, 24, 60} {
			for name, f := range map[string]*Frame{"full": &full, "empty": &empty} {
				text := f.Render(columns, rows, false)
				if n := strings.Count(text, "\n"); n > max(0, rows-1) {
					t.Fatalf("%s at %dx%d: %d lines", name, columns, rows, n)
				}
				for l := range strings.Lines(text) {
					l = strings.TrimSuffix(l, "\n")
					if w := ansi.StringWidthWc(l); w > max(0, columns-1) {
						t.Fatalf("%s at %dx%d: %d cells: %q", name, columns, rows, w, l)
					}
					if i := strings.IndexFunc(l, unicode.IsControl); i >= 0 {
						t.Fatalf("%s at %dx%d: a control character: %q", name, columns, rows, l)
					}
				}
			}
		}
	}
}

// Colours are the only difference that they make: all is said in words too.
func TestColoursSayNothingAlone(t *testing.T) {
	f := frame()
	coloured := f.Render(120, 50, true)
	if !strings.Contains(coloured, "\x1b[1;31m") || ansi.Strip(coloured) != f.Render(120, 50, false) {
		t.Errorf("with colours:\n%q\nwithout:\n%q", coloured, f.Render(120, 50, false))
	}
	for _, sequence := range strings.Split(coloured, "\x1b")[1:] {
		if end := strings.IndexFunc(sequence, func(r rune) bool { return r != '[' && r != ';' && (r < '0' || r > '9') }); sequence[end] != 'm' {
			t.Errorf("a sequence that is no colour: %q", sequence)
		}
	}
}

// In a terminal of the usual size what matters is there, also when much is wrong.
func TestEssentials(t *testing.T) {
	f := frame()
	text := f.Render(80, 24, false)
	for _, want := range []string{
		"http://staging.example:8000", "1m30s of 3m0s", "steady", "rate 59.5/s", "set 50.0/s", "in flight 3", "waiting 2", "dropped 4",
		"p50 ≥10ms", "p95 ≥49ms", "p99 ≥80ms", "errors 12", "server_error=9", "redis DOWN (timeout)", "postgres up", "Postgres connections 25%",
		"NOT FIT to judge (late)", "2 users held", "fail    p95<=30ms", "verdict so far: fail", "found outage", "█",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestSpark(t *testing.T) {
	for _, test := range []struct {
		values []float64
		width  int
		want   string
	}{
		{nil, 5, ""},
		{[]float64{0, 0}, 5, "▁▁"},
		{[]float64{0, 1, 1000}, 5, "▁▂█"}, // one failure among many is not none
		{[]float64{-1, 5}, 5, " █"},
		{[]float64{9, 1, 2}, 2, "▅█"},
	} {
		if got := spark(test.values, test.width); got != test.want {
			t.Errorf("spark(%v, %d) = %q, want %q", test.values, test.width, got, test.want)
		}
	}
}

// Frames that were shown keep their samples when the next one comes.
func TestSamplesAreBounded(t *testing.T) {
	var f Frame
	for i := range 200 {
		before := f
		f.Next(load.Window{Length: time.Second, CaseSummary: load.CaseSummary{Finished: int64(i)}})
		if n := len(before.Samples); n > 0 && before.Samples[n-1].Rate != float64(i-1) {
			t.Fatalf("window %d changed the frame before it", i)
		}
	}
	if len(f.Samples) != maxSamples || f.Samples[0].Rate != 140 || f.Samples[maxSamples-1].Rate != 199 {
		t.Errorf("%d samples from %v", len(f.Samples), f.Samples[0])
	}
}

func TestWorstCases(t *testing.T) {
	rows := []load.CaseSummary{{Name: "a", Finished: 5, OK: 5}, {Name: "b", Finished: 1}, {Name: "c", Finished: 9, OK: 9}, {Name: "d", Finished: 2, OK: 2}}
	var names []string
	for _, row := range worst(rows, 3) {
		names = append(names, row.Name)
	}
	if got := strings.Join(names, ""); got != "abc" {
		t.Errorf("the worst are %s, want the one that failed and the two most frequent, in their order", got)
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "日本": "日本", "é": "é", "a\nb\tc": "a b c", hostile: "ab?cd   efg?h日本é", "\x1b[31mred\x1b[0m": "red", "\x1b]8;;http://x\x1b\\link": "link",
	} {
		if got := Clean(text); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, text := range []string{"", hostile, "\x1b", "\x1bP", "\x9d", "\u2028", "e\u0301", "\xf0\x9f"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Clean(text)
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.M) }) {
			t.Errorf("Clean(%q) = %q", text, got)
		}
		if again := Clean(got); again != got {
			t.Errorf("%q was cleaned to %q and then to %q", text, got, again)
		}
	})
}
