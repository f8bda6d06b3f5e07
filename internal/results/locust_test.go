package results_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"soakd/internal/results"
)

// printedRow is a row of the percentiles that Locust prints.
var printedRow = regexp.MustCompile(`(?m)^(\S*) +(\S.*?) {2,}(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$`)

// Locust prints at the end what its files say, a second later: the percentiles are the
// same, the counts nearly.
func TestFiguresOfLocust(t *testing.T) {
	for _, folder := range []string{"locust-2.12.1", "locust-2.12.1-full", "locust-2.12.1-slower"} {
		t.Run(folder, func(t *testing.T) {
			r, err := results.Locust(locustFolder(t, folder))
			if err != nil {
				t.Fatal(err)
			}
			printed, err := os.ReadFile(filepath.Join("testdata", folder, "printed.txt"))
			if err != nil {
				t.Fatal(err)
			}
			rows := printedRow.FindAllStringSubmatch(string(printed), -1)
			if len(rows) != 7 || len(r.Run.Cases) != 6 {
				t.Fatalf("%d rows are printed, %d cases read", len(rows), len(r.Run.Cases))
			}
			for _, row := range rows {
				c := &r.Run.All
				if row[2] != "Aggregated" {
					c = byName(t, r, row[2])
					if c.Method != row[1] {
						t.Errorf("%s is %s", row[2], c.Method)
					}
				}
				if want, _ := strconv.ParseInt(row[14], 10, 64); c.Requests > want || c.Requests < want-want/20-1 {
					t.Errorf("%s has %d requests, printed are %d", row[2], c.Requests, want)
				}
				for i, q := range []float64{0.5, 0.66, 0.75, 0.8, 0.9} {
					want, _ := strconv.ParseFloat(row[3+i], 64)
					if at := quantile(t, &c.ResponseTime, q).Seconds() * 1e3; at < 0.85*want-1 || at > 1.15*want+1 {
						t.Errorf("%s: the quantile %g is %g ms, printed is %g", row[2], q, at, want)
					}
				}
			}
			checkLocustRun(t, r, strings.Contains(folder, "-full") || strings.Contains(folder, "-slower"))
		})
	}
}

// checkLocustRun checks the windows of a recorded run.
func checkLocustRun(t *testing.T, r *results.Result, full bool) {
	t.Helper()
	all, missing := &r.Run.All, byName(t, r, "missing scenario")
	if missing.Failed != missing.Requests || all.Failed != missing.Failed || missing.Failures[0].Outcome != "rejected_valid" || missing.Failures[0].Count != missing.Failed {
		t.Errorf("failures: %+v", missing)
	}
	if rate := float64(all.Requests) / r.Run.Elapsed.Seconds(); rate < 17 || rate > 20.5 {
		t.Errorf("%g requests a second", rate)
	}
	if r.TimesOfWindows != full || r.Sampled || r.Run.Users != 5 || r.Run.Start.Year() != 2026 {
		t.Errorf("%+v", r)
	}
	var requests, failed, ofCase int64
	end := r.Run.Start
	for i, w := range r.Windows {
		f, _ := w.Of("", "")
		requests, failed = requests+f.Requests, failed+f.Failed
		if !f.Start.Equal(end) || f.Length > 12*time.Second || (i > 0 && i < len(r.Windows)-1 && f.Length < 9*time.Second) {
			t.Errorf("window %d is of %v, %v", i, f.Start, f.Length)
		}
		end = f.Start.Add(f.Length)
		if c, known := w.Of("missing scenario", ""); full != known && i > 0 {
			t.Errorf("window %d of a case: %+v", i, c)
		} else {
			ofCase += c.Requests
		}
		// The history ends before the run.
		if _, known := f.Times.Quantile(0.95); known != (full && i < len(r.Windows)-1) {
			t.Errorf("window %d: p95 %v is known: %v", i, f.Times.Known, known)
		}
	}
	// Locust writes its totals and its history at different times.
	if off := requests - all.Requests; off < 0 || off > 30 || failed < all.Failed || failed > all.Failed+3 {
		t.Errorf("the windows have %d requests, %d failed, all has %d, %d", requests, failed, all.Requests, all.Failed)
	}
	if full && ofCase < missing.Requests*9/10 {
		t.Errorf("the windows of a case have %d requests of %d", ofCase, missing.Requests)
	}
	if len(r.Run.Points) != len(r.Windows) {
		t.Errorf("%d points of %d windows", len(r.Run.Points), len(r.Windows))
	}
}

func TestOldLocust(t *testing.T) {
	r, err := results.Locust(filepath.Join("testdata", "locust-0.13.5", "run"))
	if err != nil {
		t.Fatal(err)
	}
	all := &r.Run.All
	if all.Requests != 600 || all.Failed != 8 || len(r.Run.Cases) != 2 || r.Run.Elapsed != 20*time.Second {
		t.Errorf("%+v, %d cases, %v", all, len(r.Run.Cases), r.Run.Elapsed)
	}
	for q, want := range map[float64]time.Duration{0.5: 66, 0.95: 400, 0.99999: 2300, 1: 2300} {
		if at := quantile(t, &all.ResponseTime, q); at != want*time.Millisecond {
			t.Errorf("quantile %g is %v, want %d ms", q, at, want)
		}
	}
	c := byName(t, r, `forecast "monthly" of all`)
	if c.Failed != 8 || len(c.Failures) != 2 || c.Failures[0].Outcome != "server_error" || c.Failures[0].Count != 5 || c.Failures[1].Outcome != "timeout" {
		t.Errorf("%+v", c)
	}
	if strings.Contains(c.Failures[0].Reason, "secret") {
		t.Errorf("a secret is in %q", c.Failures[0].Reason)
	}
	if len(r.Windows) != 2 || !r.TimesOfWindows {
		t.Fatalf("%d windows", len(r.Windows))
	}
	f, _ := r.Windows[1].Of("", "")
	// From the totals: (600*95 - 300*85) / 300.
	if f.Requests != 300 || f.Failed != 6 || f.Times.Mean != 105*time.Millisecond || quantile(t, &f.Times, 0.95) != 410*time.Millisecond {
		t.Errorf("%+v", f)
	}
}

func TestOlderLocust(t *testing.T) {
	r, err := results.Locust(filepath.Join("testdata", "locust-0.11.1", "run"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Run.All.Requests != 400 || quantile(t, &r.Run.All.ResponseTime, 0.95) != 180*time.Millisecond {
		t.Errorf("%+v", r.Run.All)
	}
	if c := byName(t, r, "POST /item"); c.Requests != 100 || c.Failed != 2 || quantile(t, &c.ResponseTime, 0.99) != 500*time.Millisecond {
		t.Errorf("%+v", c)
	}
	said := strings.Join(r.Notes, "\n")
	for _, suffix := range []string{"_failures.csv", "_stats_history.csv"} {
		if !strings.Contains(said, suffix) {
			t.Errorf("the notes do not say that %s is missing: %s", suffix, said)
		}
	}
}

func TestNewLocust(t *testing.T) {
	r, err := results.Locust(filepath.Join("testdata", "locust-2026", "run"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Run.All.Requests != 100 || r.Run.All.Failed != 9 || len(r.Run.Cases) != 2 || byName(t, r, "Aggregated").Requests != 10 {
		t.Errorf("%+v", r.Run)
	}
	c := byName(t, r, "/a")
	if f := c.Failures[0]; f.Outcome != "check_failed" || f.First != time.Date(2026, 8, 20, 10, 0, 1, 0, time.UTC) || f.Last.Second() != 9 {
		t.Errorf("%+v", f)
	}
	// N/A: between what is known below and the greatest.
	if low, high := c.ResponseTime.Bounds(0.99); low != 60*time.Millisecond || high != 90*time.Millisecond {
		t.Errorf("p99 lies between %v and %v", low, high)
	}
}

// Whatever the order of the columns, and whichever are missing.
func TestColumnsOfLocust(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "x")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(prefix+"_stats.csv", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("95%,Failure Count,Name,Request Count\n30,1,a,10\n20,2,b,20\n")
	r, err := results.Locust(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if r.Run.All.Requests != 30 || r.Run.All.Failed != 3 || r.Run.All.ResponseTime.Known != nil || quantile(t, &byName(t, r, "a").ResponseTime, 0.95) != 30*time.Millisecond {
		t.Errorf("%+v", r.Run)
	}
	const head = "Type,Name,Request Count,Failure Count\n"
	for content, want := range map[string]string{
		"":                                   "x_stats.csv:1: it is empty",
		"a,b\n1,2\n":                         "x_stats.csv:1: it has no columns Name and Request Count",
		"Type,Name,Request Count\nGET,a,1\n": "x_stats.csv:1: it has no column Failure Count",
		head + "GET,a,-1,0\n":                `x_stats.csv:2: Request Count: "-1"`,
		"95%," + head + "fast,GET,a,1,0\n":   `x_stats.csv:2: 95%: "fast" is no number`,
		head + ",Aggregated,1,0\n,Aggregated,2,0\n": "2 rows Aggregated",
		head + "GET,a,9,9\n,Aggregated,9,0\n":       "its row Aggregated has 0 failures, and the others have 9",
		head + "GET,a\nGET,b,1,0\n":                 "x_stats.csv:2: 2 fields where the header has 4",
		head + "GET,a,1,0\nGET,b,1e99,0\n":          `x_stats.csv:3: Request Count: "1e99"`,
		head + "GET,a,9007199254740992,0\n":         "more than 35184372088832 are no run",
	} {
		write(content)
		if _, err := results.Locust(prefix); err == nil || !strings.Contains(err.Error(), want) || !isUnreadable(err) {
			t.Errorf("%q: %v, want %q", content, err, want)
		}
	}
	if _, err := results.Locust(prefix + "y"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "xy_stats.csv") {
		t.Errorf("no file: %v", err)
	}
}

// The row of the sum is the last that Locust writes: where it is missing others may be, too.
func TestLocustWithoutASum(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(prefix+"_stats.csv", []byte("Type,Name,Request Count,Failure Count\nGET,a,9,0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := results.Locust(prefix); err != nil || !strings.HasSuffix(r.Cut, "x_stats.csv ends before its row Aggregated: the run was cut short") {
		t.Errorf("%+v, %v", r, err)
	}
}

// A run that was killed leaves half a line; what stands before it counts.
func TestLocustThatWasCut(t *testing.T) {
	prefix := locustFolder(t, "locust-2.12.1-full")
	data, err := os.ReadFile(prefix + "_stats_history.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{len(data) - 20, len(data) / 2, len(data) / 3, 400} {
		if data[size-1] == '\n' {
			size -= 5
		}
		if err := os.WriteFile(prefix+"_stats_history.csv", data[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := results.Locust(prefix)
		if err != nil {
			t.Errorf("%d bytes: %v", size, err)
			continue
		}
		if !strings.Contains(r.Cut, "_stats_history.csv ends in the midst of a line") {
			t.Errorf("%d bytes: %q", size, r.Cut)
		}
	}
}

// Stretches do not overlap, and their percentiles are their own: those of the row at their end.
func TestHistoryOfLocust(t *testing.T) {
	const header = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,Total Request Count,Total Failure Count,Total Median Response Time,Total Average Response Time,Total Min Response Time,Total Max Response Time,Total Average Content Size\n"
	prefix := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(prefix+"_stats.csv", []byte("Type,Name,Request Count,Failure Count,Requests/s\nGET,/a,250,0,10\n,Aggregated,250,0,10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString(header)
	for second := range 26 { // 10 a second that take as many ms as seconds have gone
		for _, name := range []string{"GET,/a", ",Aggregated"} {
			fmt.Fprintf(&b, "%d,7,%s,10,0,%d,%d,%d,0,1,%d,1,1,1\n", 1795657785+second, name, second, 2*second, 10*second, 5)
		}
	}
	if err := os.WriteFile(prefix+"_stats_history.csv", b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := results.Locust(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Windows) != 3 || !r.TimesOfWindows || r.Run.Users != 7 {
		t.Fatalf("%d windows, %d users", len(r.Windows), r.Run.Users)
	}
	for i, want := range []struct {
		start, length time.Duration
		requests      int64
		p95           time.Duration
	}{{0, 5, 50, 10}, {5, 10, 100, 30}, {15, 10, 100, 50}} {
		for _, name := range []string{"", "/a"} {
			f, known := r.Windows[i].Of(name, "")
			if !known || f.Start.Sub(r.Run.Start) != want.start*time.Second || f.Length != want.length*time.Second || f.Requests != want.requests ||
				quantile(t, &f.Times, 0.95) != want.p95*time.Millisecond || f.Times.Mean != 5*time.Millisecond {
				t.Errorf("window %d: %+v, want %+v", i, f, want)
			}
		}
	}
	if _, known := r.Windows[0].Of("", "standard"); known {
		t.Error("Locust has no classes")
	}
}
