package results_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"soakd/internal/judge/window"
	"soakd/internal/results"
)

// seeds are the beginnings of all test data, and what else once went wrong.
func seeds(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*-*", "run*"))
	if err != nil || len(files) < 10 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:min(len(data), 3000)])
	}
	f.Add([]byte("metric_name,timestamp,metric_value\nhttp_req_duration,9223372036,1\n"))
	f.Add([]byte(`{"metrics":{"http_reqs":{"values":{"count":1e300}}}}`))
	f.Add([]byte("timeStamp,elapsed,label,success\n1795658287870,9223372036854775807,a,true\n"))
}

// Whatever a file holds, it is read or refused; what is read adds up.
func FuzzRead(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range append(results.Formats(), "") {
			if format == results.LocustCSV {
				continue
			}
			var windows []*window.Window
			r, err := results.Read("file", bytes.NewReader(data), results.Options{Format: format, Window: func(w *window.Window) { windows = append(windows, w) }})
			if err != nil {
				continue
			}
			if r.Sampled && len(windows) > 0 {
				checkSums(t, r, windows)
			}
			if r.Run.All.Requests < 0 || r.Run.All.Failed > r.Run.All.Requests || r.Run.Elapsed < 0 {
				t.Errorf("%+v", r.Run.All)
			}
		}
	})
}

// The same of Locust's files, each with the same content.
func FuzzLocust(f *testing.F) {
	seeds(f)
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		prefix := filepath.Join(folder, "run")
		stats := []byte("Type,Name,Request Count,Failure Count,Requests/s\nGET,/a,250,1,10\n,Aggregated,250,1,10\n")
		for _, file := range []string{"_stats.csv", "_stats_history.csv", "_failures.csv", "_exceptions.csv"} {
			for _, suffix := range []string{"_stats.csv", "_stats_history.csv", "_failures.csv", "_exceptions.csv"} {
				if err := os.Remove(prefix + suffix); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			for path, content := range map[string][]byte{prefix + "_stats.csv": stats, prefix + file: data} {
				if path == prefix+"_stats.csv" && file == "_stats.csv" {
					content = data
				}
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, err := results.Locust(prefix)
			if err != nil {
				continue
			}
			for _, w := range r.Windows {
				if f, _ := w.Of("", ""); f.Requests < 0 || f.Failed < 0 || f.Length < 0 {
					t.Errorf("%+v", f)
				}
			}
			if r.Run.All.Requests < 0 || r.Run.All.Failed > r.Run.All.Requests || r.Run.Elapsed < 0 {
				t.Errorf("%+v", r.Run.All)
			}
		}
	})
}
