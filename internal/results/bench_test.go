package results_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"soakd/internal/results"
)

// stream is a file of k6's of so many requests, twenty a second with a name each of a hundred,
// made while it is read.
type stream struct {
	left, made int
	rest       string
	json       bool
}

func (s *stream) Read(p []byte) (int, error) {
	if s.rest == "" {
		if s.left == 0 {
			return 0, io.EOF
		}
		s.rest = s.more()
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *stream) more() string {
	var b strings.Builder
	if s.made == 0 && !s.json {
		b.WriteString("metric_name,timestamp,metric_value,check,error,error_code,expected_response,group,method,name,proto,scenario,service,status,subproto,tls_version,url,extra_tags,metadata\n")
	}
	for range min(s.left, 1000) {
		second, ms, name := 1795657785+s.made/20, float64(s.made%977)/7, s.made%100
		for _, metric := range []string{"http_reqs", "http_req_duration", "http_req_blocked", "http_req_waiting"} {
			if s.json {
				fmt.Fprintf(&b, `{"metric":"%s","type":"Point","data":{"time":"2026-11-26T01:49:45.272302523Z","value":%f,"tags":{"expected_response":"true","group":"","method":"GET","name":"case %d","status":"200","url":"http://127.0.0.1/x"}}}`+"\n", metric, ms, name)
			} else {
				fmt.Fprintf(&b, "%s,%d,%f,,,,true,,GET,case %d,HTTP/1.1,mix,,200,,,http://127.0.0.1/x,,\n", metric, second, ms, name)
			}
		}
		s.made++
		s.left--
	}
	return b.String()
}

// Memory does not grow with the file: 400 000 lines take no more than 40 000.
func TestMemoryIsBounded(t *testing.T) {
	taken := func(requests int) uint64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r, err := results.Read("file", &stream{left: requests}, results.Options{})
		if err != nil || r.Run.All.Requests != int64(requests) {
			t.Fatalf("%d requests, %v", r.Run.All.Requests, err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(r)
		return max(after.HeapAlloc, before.HeapAlloc) - before.HeapAlloc
	}
	few, many := taken(10_000), taken(100_000)
	if many > 2*few+1<<20 {
		t.Errorf("%d bytes for ten times as many requests, %d before", many, few)
	}
}

func BenchmarkRead(b *testing.B) {
	for _, json := range []bool{false, true} {
		b.Run(map[bool]string{false: "k6-csv", true: "k6-json"}[json], func(b *testing.B) {
			s := &stream{left: b.N, json: json}
			b.ReportAllocs()
			if _, err := results.Read("file", s, results.Options{}); err != nil {
				b.Fatal(err)
			}
		})
	}
}
