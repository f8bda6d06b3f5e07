package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/threshold"
)

// csvOf is what a writer makes of a run, header and rows.
func csvOf(t *testing.T, write func(io.Writer, *Run) error, r *Run) (text string, rows [][]string) {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, r); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), rows
}

func historyOf(full bool) func(io.Writer, *Run) error {
	return func(w io.Writer, r *Run) error { return LocustHistory(w, full, r) }
}

// TestColumnsAreThoseOfLocust compares with what Locust 2.12.1's own StatsCSVFileWriter
// wrote (testdata/locust-columns.json, made by testdata/locust-columns.py).
func TestColumnsAreThoseOfLocust(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "locust-columns.json"))
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]string
	if err = json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(io.Writer, *Run) error{"stats": LocustStats, "stats_history": historyOf(false), "failures": LocustFailures, "exceptions": LocustExceptions} {
		text, _ := csvOf(t, write, sampleRun())
		header, _, _ := strings.Cut(text, "\n")
		want := recorded[name]
		if name == "failures" { // newer ones have two more
			want = strings.TrimSuffix(want, "\r") + ",First Seen,Last Seen\r"
		}
		if header != want || want == "" {
			t.Errorf("%s: got %q, want %q", name, header, want)
		}
	}
}

func TestLocustStats(t *testing.T) {
	text, rows := csvOf(t, LocustStats, sampleRun())
	if strings.Count(text, "\r\n") != len(rows) || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
		t.Errorf("rows do not end in CRLF: %q", text[:100])
	}
	var got []string
	for _, row := range rows[1:] {
		got = append(got, row[0]+" "+row[1])
	}
	if want := []string{"POST forecast", "GET history", "POST monte_carlo", "POST negative_income", " Aggregated"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	all := rows[len(rows)-1]
	if all[2] != "9000" || all[3] != count(sampleRun().All.Failed) || all[8] != "1000.0" {
		t.Errorf("%q", all)
	}
	if rate, err := strconv.ParseFloat(all[9], 64); err != nil || rate < 49 || rate > 50 {
		t.Errorf("%q a second", all[9])
	}
	last := -1
	for _, field := range all[11:] {
		at, err := strconv.Atoi(field)
		if err != nil || at < last {
			t.Errorf("percentiles %q", all[11:])
		}
		last = at
	}
	if longest, _ := strconv.ParseFloat(all[7], 64); float64(last)-longest > 0.5 || longest-float64(last) > 0.5 {
		t.Errorf("100%% is %d, the longest %g", last, longest)
	}
}

// TestLocustStatsByHand has figures that are computed by hand.
func TestLocustStatsByHand(t *testing.T) {
	r := &Run{Elapsed: 4 * time.Second, Cases: []Traffic{{
		Name: "a, \"b\"", Method: "GET", Requests: 10, Failed: 1, Bytes: 25,
		ResponseTime: threshold.Times{
			Count: 10, Mean: 1500 * time.Microsecond, Min: 400 * time.Microsecond, Max: 12*time.Millisecond + 345*time.Microsecond,
			Known: []threshold.Quantile{{Q: 0.5, At: 300 * time.Microsecond}, {Q: 0.95, At: 11*time.Millisecond + 600*time.Microsecond}},
		},
	}}}
	text, _ := csvOf(t, LocustStats, r)
	want := `GET,"a, ""b""",10,1,0.4,1.5,0.4,12.345,2.5,2.5,0.25,0,N/A,N/A,N/A,N/A,12,N/A,N/A,N/A,N/A,12` + "\r\n"
	if lines := strings.SplitAfter(text, "\n"); lines[1] != want {
		t.Errorf("got  %q\nwant %q", lines[1], want)
	}
}

func TestLocustFailures(t *testing.T) {
	_, rows := csvOf(t, LocustFailures, sampleRun())
	if len(rows) != 1+2+2+2 { // monte_carlo's 20 requests a window fail in both ways too
		t.Fatalf("%q", rows)
	}
	first := rows[1]
	if first[0] != "POST" || first[1] != "forecast" || first[2] != "server_error: status 500, expected [200]" || first[3] != "90" || first[4] != "2026-11-26T10:01:01Z" || first[5] != "2026-11-26T10:01:59Z" {
		t.Errorf("%q", first)
	}
	_, rows = csvOf(t, LocustFailures, foreignRun())
	if len(rows) != 2 || rows[1][2] != "CatchResponseError('boom')" || rows[1][4] != "" {
		t.Errorf("foreign: %q", rows)
	}
}

func TestLocustHistory(t *testing.T) {
	r := sampleRun()
	_, rows := csvOf(t, historyOf(false), r)
	if len(rows) != 1+18 {
		t.Fatalf("%d rows", len(rows))
	}
	first, last := rows[1], rows[18]
	if first[0] != count(r.Start.Add(10*time.Second).Unix()) || first[1] != "20" || first[2] != "" || first[3] != "Aggregated" || first[4] != "50.000000" || first[5] != "0.000000" || first[17] != "500" {
		t.Errorf("%q", first)
	}
	_, totals := csvOf(t, LocustStats, r)
	all := totals[len(totals)-1]
	if !slices.Equal(last[6:17], all[11:]) || !slices.Equal(last[17:], all[2:9]) {
		t.Errorf("the last row is not the sum:\n%q\n%q", last, all)
	}
	_, rows = csvOf(t, historyOf(true), r)
	if len(rows) != 1+18*5 {
		t.Fatalf("full: %d rows", len(rows))
	}
	calm, ill := rows[5], rows[5+5*8]
	if calm[3] != "Aggregated" || ill[3] != "Aggregated" || calm[11] == ill[11] || rows[1][3] != "forecast" || rows[1][2] != "POST" {
		t.Errorf("full: the windows are not told apart:\n%q\n%q", calm, ill)
	}
	after := rows[5+5*13]
	if after[11] != calm[11] {
		t.Errorf("full: 95%% after it is %s, before %s", after[11], calm[11])
	}
}

func TestLocustHistoryOfForeignPoints(t *testing.T) {
	_, rows := csvOf(t, historyOf(true), foreignRun())
	if len(rows) != 7 || rows[1][6] != "30" || rows[1][11] != "120" || rows[1][13] != "N/A" || rows[6][17] != "960" || rows[1][1] != "10" {
		t.Errorf("%q", rows)
	}
	_, rows = csvOf(t, historyOf(false), foreignRun())
	if rows[1][6] != "N/A" {
		t.Errorf("percentiles until then are not known: %q", rows[1])
	}
}

// TestPythonReadsTheFiles: the csv module of Python, which those scripts use.
func TestPythonReadsTheFiles(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	dir := t.TempDir()
	if _, err = WriteLocust(filepath.Join(dir, "x"), hostileRun(), Options{FullHistory: true}); err != nil {
		t.Fatal(err)
	}
	script := `import csv, sys
for name in ("stats", "stats_history", "failures", "exceptions"):
    with open(sys.argv[1] + "_" + name + ".csv", newline="", encoding="utf-8") as f:
        rows = list(csv.reader(f, strict=True))
    assert all(len(row) == len(rows[0]) for row in rows), name
    print(name, len(rows))
`
	out, err := exec.CommandContext(t.Context(), python, "-c", script, filepath.Join(dir, "x")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "stats 6\nstats_history 91\nfailures 7\nexceptions 1\n"; string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestNumbersAsPythonWritesThem(t *testing.T) {
	for x, want := range map[float64]string{0: "0.0", 2.5: "2.5", 100: "100.0", 1.0 / 3: "0.3333333333333333", 123456789.25: "123456789.25"} {
		if got := floating(x); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := sixDigits(1.5); got != "1.500000" {
		t.Error(got)
	}
	if got := significant(0.0123456, 4); got != 0.01235 {
		t.Error(got)
	}
}
