package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/load"
	"soakd/internal/report"
)

// analyzeIn runs `soakd analyze` without a history and returns what it printed and its exit code.
func analyzeIn(t *testing.T, stdin string, args ...string) (printed string, code int, err error) {
	t.Helper()
	t.Setenv("SOAKD_HISTORY_URL", "none")
	t.Setenv("GITHUB_STEP_SUMMARY", "")
	var stdout bytes.Buffer
	err = analyzeCommand(t.Context(), args, strings.NewReader(stdin), &stdout)
	return stdout.String(), exitCode(err), err
}

// toolData is a file of the recorded results.
func toolData(name string) string {
	return filepath.Join("..", "..", "internal", "results", "testdata", name)
}

// unpackedPrefix copies a recorded run of Locust with its history unpacked.
func unpackedPrefix(t *testing.T, name string) string {
	t.Helper()
	folder := t.TempDir()
	files, err := filepath.Glob(toolData(filepath.Join(name, "run_*")))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of %s: %v", name, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, ".gz") {
			reader, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(reader); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(folder, strings.TrimSuffix(filepath.Base(path), ".gz")), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "run")
}

const k6Head = "metric_name,timestamp,metric_value,name,status,expected_response,error\n"

func TestAnalyzeExitCodes(t *testing.T) {
	locust := toolData("locust-2.12.1/run")
	k6 := toolData("k6-1.8.1/run.json.gz")
	for _, c := range []struct {
		name, stdin string
		args        []string
		code        int
		want        string
	}{
		{"met", "", []string{"--csv", locust, "--threshold-rps", "15", "--threshold-p95", "300", "--threshold-error-rate", "10%"}, 0, "passed"},
		{"missed", "", []string{"--csv", locust, "--threshold", "error_rate<=1%"}, 1, "failed: error_rate of all traffic was 3.76 %"},
		{"case met", "", []string{k6, "--threshold", "error_rate{case=forecast}<=1%"}, 0, "passed"},
		{"flags before the file", "", []string{"--threshold", "p95<=1s", k6}, 0, "passed"},
		{"nothing to judge by", "", []string{k6}, 3, "there was nothing to judge by"},
		{"asked for windows that are not known", "", []string{"--csv", locust, "--threshold", "p95{over=window}<=1s"}, 3, "is not known for windows"},
		{"no requests", k6Head, []string{"-", "--threshold", "p95<=1s"}, 3, "no request came to an end"},
		{"cut", k6Head + "http_req_duration,1795657785,1,a,200,true,\nhttp_req", []string{"-", "--threshold", "p95<=1s"}, 3, "the run was cut short"},
		{"cut and missed", k6Head + "http_req_duration,1795657785,1,a,200,true,\nhttp_req", []string{"-", "--threshold", "p95<=1us"}, 3, "until then: p95"},
		{"never answered", k6Head + "http_req_duration,1795657785,1,a,0,false,dial tcp: connection refused\n", []string{"-", "--threshold", "p95<=1s"}, 3, "never answered"},
		{"nothing right", k6Head + "http_req_duration,1795657785,1,a,500,false,\n", []string{"-", "--threshold", "p95<=1s"}, 1, "not one of 1 requests was answered rightly"},
		{"dropped", k6Head + "http_req_duration,1795657785,1,a,200,true,\ndropped_iterations,1795657785,1,,,,\n", []string{"-", "--threshold", "p95<=1s"}, 3, "1 ms or more"},
		{"dropped too many", k6Head + "http_req_duration,1795657785,1,a,200,true,\ndropped_iterations,1795657785,1,,,,\n", []string{"-", "--threshold", "dropped<=0"}, 1, "dropped"},
		{"no such file", "", []string{"nowhere.csv", "--threshold", "p95<=1s"}, 2, "no such file"},
		{"no results", "Lorem ipsum", []string{"-"}, 2, "it is not known what this is"},
		{"wrong line", k6Head + "http_req_duration,1795657785,x,a,200,true,\n", []string{"-"}, 2, "standard input:2: metric_value"},
		{"no such case", "", []string{k6, "--threshold", "p95{case=forcast}<=1s"}, 2, "there is no case forcast"},
		{"no such class", "", []string{k6, "--threshold", "p95{class=standard}<=1s"}, 2, "there is no class standard"},
		{"no such format", "", []string{k6, "--format", "gatling"}, 2, `--format: "gatling" must be one of`},
		{"wrong format", k6Head, []string{"-", "--format", "jmeter-csv"}, 2, "it is no CSV of JMeter's"},
		{"nothing", "", nil, 2, "analyze needs a FILE or --csv PREFIX"},
		{"both", "", []string{"a", "--csv", "b"}, 2, "analyze needs a FILE or --csv PREFIX"},
		{"two files", "", []string{"a", "b"}, 2, "only one file is analyzed"},
		{"no such flag", "", []string{"a", "--x"}, 2, "soakd analyze --help"},
		{"broken threshold", "", []string{k6, "--threshold", "p95<=300"}, 2, "--threshold"},
		{"history for another tool", "", []string{k6, "--baseline", "last-passed"}, 2, "compare it with an earlier file"},
		{"another load", k6Head + strings.Repeat("http_req_duration,1795657785,1,a,200,true,\n", 500) + "http_req_duration,1795657786,1,a,200,true,\n", []string{"-", "--against", k6}, 2, "the loads differ too much"},
		{"no file to compare with", "", []string{k6, "--against", "nowhere"}, 2, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			printed, code, err := analyzeIn(t, c.stdin, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %v\n%s", code, c.code, err, printed)
			}
			said := printed
			if err != nil {
				said += err.Error()
			}
			if !strings.Contains(said, c.want) {
				t.Errorf("%q is not said: %v\n%s", c.want, err, printed)
			}
		})
	}
}

func TestAnalyzeAgainstAnEarlierRun(t *testing.T) {
	before, after := unpackedPrefix(t, "locust-2.12.1-full"), unpackedPrefix(t, "locust-2.12.1-slower")
	printed, code, err := analyzeIn(t, "", "--csv", after, "--against", before)
	if code != exitFailed || !strings.Contains(printed, "forecast, Monte Carlo: worse against "+before) {
		t.Errorf("exit code %d, %v\n%s", code, err, printed)
	}
	if printed, code, err = analyzeIn(t, "", "--csv", before, "--against", before); code == exitFailed {
		t.Errorf("a run against itself: exit code %d, %v\n%s", code, err, printed)
	}
}

// A report that was written is analyzed again: it says what it said, and what was wrong stays.
func TestAnalyzeAReport(t *testing.T) {
	for _, c := range []struct {
		name  string
		stdin string
		args  []string
	}{
		{"k6", "", []string{toolData("k6-1.8.1/run.json.gz")}},
		{"locust", "", []string{"--csv", unpackedPrefix(t, "locust-2.12.1-full")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := t.TempDir()
			first, code, err := analyzeIn(t, c.stdin, append(c.args, "--threshold", "p95<=10s", "--threshold", "error_rate<=10%", "--out", out)...)
			if code != exitOK {
				t.Fatalf("exit code %d, %v", code, err)
			}
			for _, name := range []string{"report.json", "report.md", "junit.xml", "metrics.txt", "locust_stats.csv", "locust_stats_history.csv"} {
				if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v", name, err)
				}
			}
			again, code, err := analyzeIn(t, "", filepath.Join(out, "report.json"))
			if code != exitOK || table(again) != table(first) {
				t.Errorf("exit code %d, %v\n%s\n%s", code, err, first, again)
			}
			if _, code, _ := analyzeIn(t, "", filepath.Join(out, "report.json"), "--threshold", "p95<=1us"); code != exitFailed {
				t.Errorf("exit code %d for a threshold that is missed", code)
			}
		})
	}
}

// table is the part of a text from the first row on to the failures.
func table(text string) string {
	_, text, _ = strings.Cut(text, "case")
	for _, end := range []string{"\n\nnotes:", "\n\nreports are in", "\n\npassed"} {
		text, _, _ = strings.Cut(text, end)
	}
	return text
}

// That a run was cut short stays so in its report.
func TestAnalyzeKeepsWhatWasNotKnown(t *testing.T) {
	out := t.TempDir()
	if _, code, err := analyzeIn(t, k6Head+"http_req_duration,1795657785,1,a,200,true,\nhttp_req", "-", "--threshold", "p95<=1s", "--out", out); code != exitNotRun {
		t.Fatalf("exit code %d, %v", code, err)
	}
	for _, more := range [][]string{nil, {"--threshold", "p95<=2s"}} {
		printed, code, err := analyzeIn(t, "", append([]string{filepath.Join(out, "report.json")}, more...)...)
		if code != exitNotRun || !strings.Contains(printed, "the run was cut short") {
			t.Errorf("%v: exit code %d, %v\n%s", more, code, err, printed)
		}
	}
}

// Reports that cannot be written are no pass.
func TestAnalyzeWithoutAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, code, err := analyzeIn(t, "", toolData("k6-1.8.1/run.json.gz"), "--threshold", "p95<=1s", "--out", filepath.Join(file, "out"))
	if code == exitOK || code == exitFailed {
		t.Errorf("exit code %d, %v", code, err)
	}
}

func TestAnalyzeHelp(t *testing.T) {
	printed, code, err := analyzeIn(t, "", "--help")
	if code != exitOK || err == nil || errors.Unwrap(err) != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	for _, word := range []string{"--csv PREFIX", "-against", "-threshold-p95", "-warm-up", "-format", "vegeta-gob"} {
		if !strings.Contains(printed, word) {
			t.Errorf("the help does not tell of %s", word)
		}
	}
}

// What a target says cannot move the cursor.
func TestAnalyzePrintsNoControlCharacters(t *testing.T) {
	printed, _, _ := analyzeIn(t, k6Head+"http_req_duration,1795657785,1,\"a\x1b[2J\",500,false,\"\x1b]0;x\x07\"\n", "-", "--threshold", "p95<=1s")
	if strings.ContainsAny(printed, "\x1b\x07") {
		t.Errorf("%q", printed)
	}
}

// soakdReport writes a report of a run of three minutes, as soakd makes it, with perhaps
// some changes before it is concluded, and returns its path.
func soakdReport(t *testing.T, start time.Time, median time.Duration, changes ...func(*report.Run, *report.Circumstances)) string {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(start.Unix()), 2))
	run := report.Run{Tool: report.Own, Target: "http://127.0.0.1:1", Workload: "cashflow", Model: "open", Rate: 50, Start: start, Elapsed: 3 * time.Minute, WarmUp: window.Short}
	all := new(histogram.Histogram)
	for i := range 18 {
		w := &window.Window{
			Start: start.Add(time.Duration(i) * window.Short), Length: window.Short, Covered: window.Short, Fit: window.Short, Rate: 50, Phase: "steady", Version: "v9",
			Scheduled: 500, Sent: 500,
		}
		for _, name := range []string{"get", "list", "save", "search"} {
			times := new(histogram.Histogram)
			for range 125 {
				times.Observe(time.Duration(float64(median) * (0.7 + 0.6*random.Float64())))
			}
			all.Merge(times)
			w.Cases = append(w.Cases, window.Case{Name: name, Class: "standard", Outcomes: []window.Count{{Name: window.OK, N: 125}}, Times: times})
		}
		run.Windows = append(run.Windows, w)
	}
	run.Points = report.Points(run.Windows)
	run.All = report.Traffic{Requests: 9000, Bytes: -1, ResponseTime: threshold.FromHistogram(all), ServiceTime: threshold.FromHistogram(all)}
	run.Classes = []report.Traffic{{Class: "standard", Requests: 9000, Bytes: -1, ResponseTime: threshold.FromHistogram(all), ServiceTime: threshold.FromHistogram(all)}}
	circumstances := report.Circumstances{Answered: true, OK: 9000}
	for _, change := range changes {
		change(&run, &circumstances)
	}
	run.Conclusion = report.Conclude(&run, &circumstances)
	path := filepath.Join(t.TempDir(), "report.json")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(report.JSON(file, &run), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// A report says the same when it is read again, and nothing better.
func TestAnalyzeAgreesWithTheRun(t *testing.T) {
	missed := []threshold.Judged{{Threshold: "p95<=1s", Over: threshold.Run, Result: threshold.Missed, Unit: "seconds", Text: "p95 was 9 s"}}
	failing := &judge.Verdict{Result: judge.Fail, Text: "failed: errors: many"}
	for name, c := range map[string]struct {
		change func(*report.Run, *report.Circumstances)
		code   int
	}{
		"passed":           {func(*report.Run, *report.Circumstances) {}, exitOK},
		"missed":           {func(r *report.Run, _ *report.Circumstances) { r.Thresholds = missed }, exitFailed},
		"nothing compared": {func(r *report.Run, c *report.Circumstances) { r.Baseline, c.Compared = "last-passed", true }, exitNotRun},
		"interrupted": {func(r *report.Run, c *report.Circumstances) {
			r.Thresholds, c.Ended = missed, "interrupted after 3m0s of 1h0m0s"
		}, exitNotRun},
		"gave up": {func(r *report.Run, c *report.Circumstances) {
			r.Thresholds, c.GaveUp = missed, "ended after 3m0s of 1h0m0s, since it could only fail"
		}, exitFailed},
		"gave up for nought": {func(_ *report.Run, c *report.Circumstances) {
			c.GaveUp = "ended after 3m0s of 1h0m0s, since it could only fail"
		}, exitNotRun},
		"half unfit": {func(r *report.Run, c *report.Circumstances) {
			r.Thresholds, c.Unfit = missed, "8 of 18 windows were fit"
		}, exitFailed},
		"never fit": {func(r *report.Run, c *report.Circumstances) {
			r.Verdict, c.Unfit, c.NoneFit, r.Status.Fitness.Unfit = failing, "0 of 18 windows were fit", true, 18
		}, exitNotRun},
		"unwritten": {func(_ *report.Run, c *report.Circumstances) {
			c.Failed = []error{errors.New("write report.md: no space left")}
		}, exitNotRun},
	} {
		path := soakdReport(t, historyAt, 20*time.Millisecond, func(r *report.Run, of *report.Circumstances) {
			r.Verdict = &judge.Verdict{Result: judge.Pass, Text: "passed"}
			r.Status = &report.Status{Fitness: load.FitnessStatus{Windows: 18}}
			c.change(r, of)
		})
		var of reported
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &of)
		}
		if err != nil || of.Conclusion.ExitCode != c.code {
			t.Errorf("%s: the report says %+v, %v", name, of.Conclusion, err)
		}
		printed, code, err := analyzeIn(t, "", path)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d: %v\n%s", name, code, c.code, err, printed)
		}
	}
}

// A report of soakd's own is compared with what the history has.
func TestAnalyzeWithTheHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	first := openGateRun(t, path, historyAt)
	if err := first.store.Close(); err != nil {
		t.Fatal(err)
	}
	analyzed := func(report string, args ...string) (string, int, error) {
		t.Setenv("SOAKD_HISTORY_URL", path)
		t.Setenv("SOAKD_TARGET_URL", "")
		var stdout bytes.Buffer
		err := analyzeCommand(t.Context(), append([]string{report}, args...), strings.NewReader(""), &stdout)
		return stdout.String(), exitCode(err), err
	}
	same, slow := soakdReport(t, historyAt.Add(time.Hour), 20*time.Millisecond), soakdReport(t, historyAt.Add(2*time.Hour), 40*time.Millisecond)
	// Nothing has passed yet: what else is judged decides.
	if printed, code, err := analyzed(same, "--baseline", "last-passed", "--threshold", "p95{class=standard}<=1s"); code != exitOK {
		t.Fatalf("exit code %d, %v\n%s", code, err, printed)
	}
	second := openGateRun(t, path, historyAt)
	second.keepGate(t.Context(), compareRun(historyAt, 18, "v1", 20*time.Millisecond, nil).profile(), true, historyAt.Add(3*time.Minute))
	if err := second.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		report, baseline string
		code             int
		want             string
	}{
		{same, "last-passed", exitOK, "compared with last-passed: same"},
		{slow, "last-passed", exitFailed, "worse against v1"},
		{slow, "version=v1", exitFailed, "failed: worse than version v1"},
		{same, "nix", exitUsage, "last-passed"},
	} {
		printed, code, err := analyzed(c.report, "--baseline", c.baseline)
		if code != c.code || !strings.Contains(printed+fmt.Sprint(err), c.want) {
			t.Errorf("%s: exit code %d, %v\n%s", c.baseline, code, err, printed)
		}
	}
	// And two reports with one another.
	if printed, code, err := analyzed(slow, "--against", same); code != exitFailed || !strings.Contains(printed, "worse against "+same) {
		t.Errorf("exit code %d, %v\n%s", code, err, printed)
	}
	if printed, code, err := analyzed(same, "--against", same, "--threshold", "rate>=50"); code != exitOK {
		t.Errorf("exit code %d, %v\n%s", code, err, printed)
	}
}

// On GitHub the summary of the step has the report.
func TestAnalyzeWritesTheStepSummary(t *testing.T) {
	t.Setenv("SOAKD_HISTORY_URL", "none")
	summary := filepath.Join(t.TempDir(), "summary.md")
	t.Setenv("GITHUB_STEP_SUMMARY", summary)
	var stdout bytes.Buffer
	if err := analyzeCommand(t.Context(), []string{toolData("k6-1.8.1/run.json.gz"), "--threshold", "p95<=1s"}, strings.NewReader(""), &stdout); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(summary); err != nil || !strings.Contains(string(text), "701 requests") {
		t.Errorf("%s, %v", text, err)
	}
}
