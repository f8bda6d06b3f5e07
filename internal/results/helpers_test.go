package results_test

import (
	"compress/gzip"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/report"
	"soakd/internal/results"
)

// read reads a file of the test data, with its windows.
func read(t *testing.T, name string) (*results.Result, []*window.Window) {
	t.Helper()
	var windows []*window.Window
	r, err := results.File(filepath.Join("testdata", name), results.Options{Window: func(w *window.Window) { windows = append(windows, w) }})
	if err != nil {
		t.Fatal(err)
	}
	return r, windows
}

// text reads results from a text.
func text(content string, format results.Format) (*results.Result, []*window.Window, error) {
	var windows []*window.Window
	r, err := results.Read("file", strings.NewReader(content), results.Options{Format: format, Window: func(w *window.Window) { windows = append(windows, w) }})
	return r, windows, err
}

// locustFolder copies a folder of the test data, with its history unpacked, and returns the prefix.
func locustFolder(t *testing.T, name string) string {
	t.Helper()
	folder := t.TempDir()
	files, err := filepath.Glob(filepath.Join("testdata", name, "run_*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of %s: %v", name, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(folder, strings.TrimSuffix(filepath.Base(path), ".gz"))
		if strings.HasSuffix(path, ".gz") {
			data = unpacked(t, path)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "run")
}

func unpacked(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // only read
	reader, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// near checks a time against one in milliseconds, within a share.
func near(t *testing.T, what string, got time.Duration, wantMillis, within float64) {
	t.Helper()
	if have := float64(got) / float64(time.Millisecond); math.Abs(have-wantMillis) > within*wantMillis {
		t.Errorf("%s is %v, want %g ms within %g", what, got, wantMillis, within)
	}
}

// quantile is a quantile that must be known.
func quantile(t *testing.T, times *threshold.Times, q float64) time.Duration {
	t.Helper()
	at, known := times.Quantile(q)
	if !known {
		t.Errorf("the quantile %g is not known", q)
	}
	return at
}

// byName returns the case of that name.
func byName(t *testing.T, r *results.Result, name string) *report.Traffic {
	t.Helper()
	for i := range r.Run.Cases {
		if r.Run.Cases[i].Name == name {
			return &r.Run.Cases[i]
		}
	}
	t.Fatalf("there is no case %q", name)
	return nil
}

// checkSums checks that all traffic is the sum of the cases and of the windows.
func checkSums(t *testing.T, r *results.Result, windows []*window.Window) {
	t.Helper()
	var requests, failed, timed int64
	for i := range r.Run.Cases {
		c := &r.Run.Cases[i]
		requests, failed, timed = requests+c.Requests, failed+c.Failed, timed+c.ResponseTime.Count
		kinds := int64(0)
		for _, f := range c.Failures {
			kinds += f.Count
		}
		if kinds != c.Failed {
			t.Errorf("%s: %d failures of %d have an outcome", c.Name, kinds, c.Failed)
		}
	}
	all := &r.Run.All
	if requests != all.Requests || failed != all.Failed || timed != all.ResponseTime.Count {
		t.Errorf("the cases have %d requests, %d failed, %d timed; all has %d, %d, %d", requests, failed, timed, all.Requests, all.Failed, all.ResponseTime.Count)
	}
	requests, failed = 0, 0
	covered := time.Duration(0)
	for i, w := range windows {
		covered += w.Covered
		for j := range w.Cases {
			requests, failed = requests+w.Cases[j].Requests(), failed+w.Cases[j].Failed()
		}
		if w.Start != w.Start.Truncate(window.Short) || (i > 0 && !windows[i-1].End().Equal(w.Start)) {
			t.Errorf("window %d starts at %v", i, w.Start)
		}
	}
	if requests != all.Requests || failed != all.Failed {
		t.Errorf("the windows have %d requests, %d failed; all has %d, %d", requests, failed, all.Requests, all.Failed)
	}
	if off := covered - r.Run.Elapsed; off < 0 || off > 2*time.Millisecond {
		t.Errorf("the windows cover %v of %v", covered, r.Run.Elapsed)
	}
}
