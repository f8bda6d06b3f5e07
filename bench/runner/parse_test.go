package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLastJSON(t *testing.T) {
	got, err := lastJSON("", place{}, []byte("Running 2s test\nhttp://127.0.0.1:1/metrics\n{\"requests\":7,\"errors\":2,\"p99\":12.5,\"lag_p99\":3}\n"))
	if err != nil || got.Requests != 7 || got.Errors != 2 || got.P99 != 12.5 || got.LagP99 != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := lastJSON("", place{}, []byte("no such host\n")); err == nil {
		t.Error("text was taken for JSON")
	}
}

func TestParseBombardier(t *testing.T) {
	got, err := parseBombardier("", place{}, []byte(`{"spec":{},"result":{"req2xx":90,"req5xx":8,"others":2,"latency":{"mean":1,"percentiles":{"50":100,"99":2000}}}}`))
	want := claim{Requests: 100, Errors: 10, times: times{P50: 100, P99: 2000}}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// inFolder writes one file and returns the place of it.
func inFolder(t *testing.T, name, text string) place {
	t.Helper()
	p := place{scratch: t.TempDir()}
	if err := os.WriteFile(filepath.Join(p.scratch, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseFortio(t *testing.T) {
	p := inFolder(t, "fortio.json", `{"DurationHistogram":{"Count":100,"Percentiles":[{"Percentile":50,"Value":0.0001},{"Percentile":99.9,"Value":0.002}]},"RetCodes":{"200":97,"503":3}}`)
	got, err := parseFortio("", p, nil)
	want := claim{Requests: 100, Errors: 3, times: times{P50: 100, P999: 2000}}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestParseK6(t *testing.T) {
	p := inFolder(t, "k6.json", `{"http_reqs":{"values":{"count":50,"rate":5}},"dropped_iterations":{"values":{"count":4}},
		"http_req_failed":{"values":{"rate":0.02,"passes":1,"fails":49}},"http_req_duration":{"values":{"med":0.5,"p(95)":1,"p(99)":2,"p(99.9)":3,"max":4}}}`)
	got, err := parseK6("", p, nil)
	want := claim{Requests: 50, Errors: 1, Dropped: 4, times: times{P50: 500, P95: 1000, P99: 2000, P999: 3000}}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestVegetaCSV(t *testing.T) {
	got, err := vegetaCSV(strings.NewReader("1,200,3000,800,2048,,,\"\",0,POST,http://x\n2,0,1000,0,0,\"refused\",,\"\",1,POST,http://x\n3,200,2000,800,2048,,,\"\",2,POST,http://x\n"))
	want := claim{Requests: 3, Errors: 1, times: times{P50: 2, P95: 3, P99: 3, P999: 3}}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := vegetaCSV(strings.NewReader("1,200\n")); err == nil {
		t.Error("a row of two columns was taken")
	}
}
