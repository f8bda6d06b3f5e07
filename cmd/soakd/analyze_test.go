package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// analyzeIn runs `soakd analyze` without a history and returns what it printed and its exit code.
func analyzeIn(t *testing.T, stdin string, args ...string) (printed string, code int, err error) {
	t.Helper()
	t.Setenv("SOAKD_HISTORY_URL", "none")
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
