package results_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/results"
)

// What k6 says in its own summary, with all the digits it has.
type k6Says struct {
	State struct {
		Milliseconds float64 `json:"testRunDurationMs"`
	} `json:"state"`
	Metrics map[string]struct {
		Values map[string]float64 `json:"values"`
	} `json:"metrics"`
}

func decode(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func TestFiguresOfK6(t *testing.T) {
	var says k6Says
	decode(t, "k6-1.8.1/handle-summary.json", &says)
	duration, requests := says.Metrics["http_req_duration"].Values, int64(says.Metrics["http_reqs"].Values["count"])
	failed := int64(says.Metrics["http_req_failed"].Values["passes"])
	if requests < 600 || failed < 10 {
		t.Fatalf("the summary says %d requests, %d failed", requests, failed)
	}
	for _, name := range []string{"run.csv.gz", "run.json.gz", "handle-summary.json", "summary-export.json"} {
		t.Run(name, func(t *testing.T) {
			r, windows := read(t, "k6-1.8.1/"+name)
			all := &r.Run.All
			if r.Run.Tool != "k6" || all.Requests != requests || all.Failed != failed {
				t.Errorf("%s: %d requests, %d failed, want %d and %d", r.Run.Tool, all.Requests, all.Failed, requests, failed)
			}
			near(t, "median", quantile(t, &all.ResponseTime, 0.5), duration["med"], 0.012)
			near(t, "p95", quantile(t, &all.ResponseTime, 0.95), duration["p(95)"], 0.012)
			near(t, "max", all.ResponseTime.Max, duration["max"], 1e-6)
			near(t, "mean", all.ResponseTime.Mean, duration["avg"], 1e-6)
			if math.Abs(r.Run.Elapsed.Seconds()-says.State.Milliseconds/1e3) > 0.51 {
				t.Errorf("elapsed %v", r.Run.Elapsed)
			}
			if strings.HasPrefix(name, "run.") != r.Sampled || r.Sampled != (r.Whole == nil) {
				t.Errorf("sampled is %v", r.Sampled)
			}
			if r.Sampled {
				checkSums(t, r, windows)
				if c := byName(t, r, "missing scenario"); c.Failed != failed || c.Failures[0].Outcome != "rejected_valid" || c.Method != http.MethodGet {
					t.Errorf("missing scenario: %+v", c)
				}
				byName(t, r, "forecast, Monte Carlo")
				byName(t, r, "/health") // a URL without host and port
			}
		})
	}
}

func TestBothOutputsOfK6Agree(t *testing.T) {
	a, _ := read(t, "k6-1.8.1/run.csv.gz")
	b, _ := read(t, "k6-1.8.1/run.json.gz")
	if len(a.Run.Cases) != len(b.Run.Cases) {
		t.Fatalf("%d and %d cases", len(a.Run.Cases), len(b.Run.Cases))
	}
	for i := range a.Run.Cases {
		x, y := &a.Run.Cases[i], &b.Run.Cases[i]
		if x.Name != y.Name || x.Requests != y.Requests || x.Failed != y.Failed || x.ResponseTime.Max != y.ResponseTime.Max || x.ResponseTime.Mean != y.ResponseTime.Mean {
			t.Errorf("%+v and %+v", x, y)
		}
	}
}

func TestFiguresOfVegeta(t *testing.T) {
	var says struct {
		Latencies map[string]float64 `json:"latencies"`
		Requests  int64              `json:"requests"`
		Success   float64            `json:"success"`
		Duration  float64            `json:"duration"`
		Wait      float64            `json:"wait"`
		BytesIn   struct {
			Total int64 `json:"total"`
		} `json:"bytes_in"`
	}
	decode(t, "vegeta-12.13.0/report.json", &says)
	exact := vegetaLatencies(t)
	for _, name := range []string{"run.csv.gz", "run.json.gz", "run.gob.gz"} {
		t.Run(name, func(t *testing.T) {
			r, windows := read(t, "vegeta-12.13.0/"+name)
			checkSums(t, r, windows)
			all := &r.Run.All
			ok := 1 - float64(all.Failed)/float64(all.Requests)
			if r.Run.Tool != "vegeta" || all.Requests != says.Requests || math.Abs(ok-says.Success) > 1e-9 || all.Bytes != says.BytesIn.Total {
				t.Errorf("%d requests, %g ok, %d bytes, want %+v", all.Requests, ok, all.Bytes, says)
			}
			near(t, "mean", all.ResponseTime.Mean, says.Latencies["mean"]/1e6, 1e-6)
			near(t, "max", all.ResponseTime.Max, says.Latencies["max"]/1e6, 1e-6)
			near(t, "elapsed", r.Run.Elapsed, (says.Duration+says.Wait)/1e6, 1e-6)
			// vegeta estimates quantiles by a t-digest, which lies between two of the few
			// requests of the tail.
			for q, word := range map[float64]string{0.5: "50th", 0.9: "90th", 0.95: "95th"} {
				near(t, word, quantile(t, &all.ResponseTime, q), says.Latencies[word]/1e6, 0.02)
			}
			for _, q := range []float64{0.01, 0.5, 0.9, 0.95, 0.99, 0.999} {
				near(t, "the exact quantile", quantile(t, &all.ResponseTime, q), exact[int(math.Ceil(q*float64(len(exact))))-1]/1e6, 0.0056)
			}
			if c := byName(t, r, "GET /api/v1/cashflow/scenario/00000000-0000-7000-8000-000000000000"); c.Failures[0].Reason != "404 Not Found" {
				t.Errorf("%+v", c.Failures)
			}
			if !strings.HasPrefix(r.Run.Target, "http://127.0.0.1:") {
				t.Errorf("the target is %q", r.Run.Target)
			}
		})
	}
}

// vegetaLatencies are the latencies in the recorded CSV in ns, ascending.
func vegetaLatencies(t *testing.T) []float64 {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(unpacked(t, "testdata/vegeta-12.13.0/run.csv.gz"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []float64
	for _, row := range rows {
		ns, err := strconv.ParseFloat(row[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ns)
	}
	slices.Sort(all)
	return all
}

func TestFiguresOfJMeter(t *testing.T) {
	r, windows := read(t, "jmeter-2.13/run.jtl.gz")
	checkSums(t, r, windows)
	// summary = 646 in 35.2s = 18.3/s Avg: 6 Min: 0 Max: 176 Err: 214 (33.13%)
	all := &r.Run.All
	if r.Run.Tool != "jmeter" || all.Requests != 646 || all.Failed != 214 || all.ResponseTime.Max != 176*time.Millisecond || r.Run.Users != 4 {
		t.Errorf("%+v, %d users", all, r.Run.Users)
	}
	near(t, "mean", all.ResponseTime.Mean, 6.5, 0.1)
	if c := byName(t, r, `missing "scenario"`); c.Failed != 214 || c.Failures[0].Outcome != "rejected_valid" || c.Failures[0].Reason != "404 Not Found" {
		t.Errorf("%+v", c)
	}
	byName(t, r, "scenarios, the newest")
}

func TestWrongFiles(t *testing.T) {
	const k6 = "metric_name,timestamp,metric_value,name,status,expected_response\n"
	const jmeter = "timeStamp,elapsed,label,responseCode,responseMessage,success\n"
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "file: it is empty"},
		{"spaces", "\n\n  ", "file: it is empty"},
		{"something", "Lorem ipsum\n", "file: it is not known what this is: give --format"},
		{"another JSON", `{"a": 1}`, "file: it is not known what this is"},
		{"XML of JMeter", `<?xml version="1.0"?><testResults/>`, "only CSV is read"},
		{"JMeter without header", "1795658287870,85,health,200,OK,users 1-2,text,true,305,85\n", "must have a header line"},
		{"k6 value", k6 + "http_req_duration,1795657785,fast,a,200,true\n", `file:2: metric_value: "fast" is no number`},
		{"k6 time", k6 + "http_req_duration,1795657785,1,a,200,true\nhttp_req_duration,yesterday,1,a,200,true\n", `file:3: timestamp: "yesterday"`},
		{"k6 negative", k6 + "http_req_duration,1795657785,-1,a,200,true\n", "file:2: http_req_duration -1"},
		{"k6 century", k6 + "http_req_duration,17,1,a,200,true\n", "file:2: the time 1970"},
		{"k6 fields", k6 + "http_req_duration,1795657785\nhttp_req_duration,1795657785,1,a,200,true\n", "file:2: 2 fields where the header has 6 columns"},
		{"two days", k6 + "http_req_duration,1795657785,1,a,200,true\nhttp_req_duration,1795857785,1,a,200,true\n", "file:3: the time 2026"},
		{"days", k6 + "http_req_duration,1795657785,1e9,a,200,true\n", "file:2: a request took"},
		{"JMeter twice", jmeter + "1795658287870,85,a,200,OK,true\n" + jmeter, "file:3: a second header line"},
		{"JMeter success", jmeter + "1795658287870,85,a,200,OK,maybe\n", `file:2: success: "maybe" must be true or false`},
		{"JMeter transactions", jmeter + `1795658287870,85,a,200,"Number of samples in transaction : 3, number of failing samples : 0",true` + "\n", "holds only transactions"},
		{"vegeta JSON", `{"code":200,"latency":-5,"timestamp":"2026-11-26T01:49:10Z"}`, "file:1: a request took -5ns"},
		{"vegeta CSV", "1795657750189365555,200,34,1,2,,,a,0\n1795657750189365555,200,x34,1,2,,,a,0\n", `file:2: latency: "x34"`},
		{"no summary", `{"metrics": {}}`, "file: it has no metrics"},
		{"broken summary", `{"metrics": {"http_reqs": {"count"`, "file: it is no summary of k6's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := text(c.content, "")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
			if err != nil && !isUnreadable(err) {
				t.Errorf("%v is no error of what the file holds", err)
			}
		})
	}
}

func TestFilesThatAreCut(t *testing.T) {
	for format, content := range map[results.Format]string{
		results.K6CSV:      "metric_name,timestamp,metric_value,name,status,expected_response\nhttp_req_duration,1795657785,1,a,200,true\nhttp_req_duration,17956",
		results.K6JSON:     `{"metric":"http_req_duration","type":"Point","data":{"time":"2026-11-26T01:49:45Z","value":2,"tags":{"name":"a","expected_response":"true"}}}` + "\n" + `{"metric":"http_req_duration","ty`,
		results.VegetaCSV:  "1795657750189365555,200,34,1,2,,,a,0\n1795657750189365555,200,3",
		results.VegetaJSON: `{"code":200,"latency":5,"timestamp":"2026-11-26T01:49:10Z"}` + "\n" + `{"code":20`,
		results.JMeterCSV:  "timeStamp,elapsed,label,success\n1795658287870,85,a,true\n1795658287870,\"8",
	} {
		for _, given := range []results.Format{format, ""} {
			r, windows, err := text(content, given)
			if err != nil || r.Run.All.Requests != 1 || len(windows) != 1 || !strings.Contains(r.Cut, "cut short") {
				t.Errorf("%s: %+v, %v", format, r, err)
			}
		}
	}
}

// What k6 dropped was never sent, so that no time of the run can be better than it says.
func TestDroppedIterations(t *testing.T) {
	const lines = "metric_name,timestamp,metric_value,name,status,expected_response\nhttp_req_duration,1795657785,1,a,200,true\ndropped_iterations,1795657786,3,,,\n"
	r, windows, err := text(lines, "")
	if err != nil || len(windows) != 1 || windows[0].Dropped != 3 || windows[0].Scheduled != 4 || !r.Run.All.ResponseTime.AtLeast {
		t.Errorf("%+v, %v", windows, err)
	}
	r, _, err = text(`{"metrics":{"http_reqs":{"count":10,"rate":1},"http_req_failed":{"passes":0,"fails":10},"http_req_duration":{"med":1},"dropped_iterations":{"count":7}}}`, "")
	if err != nil {
		t.Fatal(err)
	}
	if f, known := r.Whole.Of("", ""); !known || f.Missing != 7 || !f.Times.AtLeast || f.Length != 10*time.Second {
		t.Errorf("%+v", f)
	}
}

func TestFailuresOfK6(t *testing.T) {
	const header = "metric_name,timestamp,metric_value,name,status,expected_response,error,error_code\n"
	for line, want := range map[string]string{
		"500,false,,1500": "server_error", "429,false,,1429": "rate_limited", "401,false,,1401": "unauthorized", "404,false,,1404": "rejected_valid",
		"0,false,request timeout,1050": "timeout", "0,false,dial: connection refused,1212": "connect", "0,false,lookup x: no such host,1101": "dns",
		"0,false,x509: unknown authority,1310": "tls", "0,false,,1220": "reset", "200,false,,": "check_failed",
		"404,true,,1404": "ok", "200,,,": "ok", "503,,,": "server_error", "0,,,": "check_failed",
	} {
		_, windows, err := text(header+"http_req_duration,1795657785,1,a,"+line+"\n", "")
		if err != nil || windows[0].Cases[0].Outcomes[0].Name != want {
			t.Errorf("%s: %+v, %v, want %s", line, windows, err, want)
		}
	}
}

func TestNothingSecretIsKept(t *testing.T) {
	const line = `{"code":0,"latency":5,"timestamp":"2026-11-26T01:49:10Z","method":"GET","url":"https://me:hidden1@host:1/a?key=hidden2","error":"Get \"https://me:hidden1@host:1/a?key=hidden2&x=hidden3\": EOF"}`
	r, _, err := text(line, "")
	if err != nil {
		t.Fatal(err)
	}
	said, err := json.Marshal(r.Run.Cases)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(said)+r.Run.Target, "hidden") || r.Run.Target != "https://host:1" || r.Run.Cases[0].Name != "GET /a" {
		t.Errorf("%s of %s", said, r.Run.Target)
	}
}

// Without http_req_failed no request is known to have failed, and none not to have.
func TestSummaryWithoutFailures(t *testing.T) {
	const ofCase = `"http_reqs{name:a}":{"count":10},"http_req_duration{name:a}":{"med":1,"p(95)":2}`
	for _, c := range []struct {
		metrics, thresholds string
		want                threshold.Result
	}{
		{`"http_reqs":{"count":10}`, "error_rate<=1%; failures<=0", threshold.Unknown},
		{`"http_reqs":{"count":10}`, "p95<=1s", threshold.Met},
		{`"http_reqs":{"count":10},"http_req_failed":{"passes":0,"fails":10},` + ofCase, "error_rate<=1%; failures<=0; p95{case=a}<=1s", threshold.Met},
		{`"http_reqs":{"count":10},"http_req_failed":{"passes":0,"fails":10},` + ofCase, "error_rate{case=a}<=1%; failures{case=a}<=0", threshold.Unknown},
	} {
		r, _, err := text(`{"metrics":{"http_req_duration":{"med":1,"p(95)":2},`+c.metrics+`}}`, "")
		if err != nil {
			t.Fatal(err)
		}
		var list threshold.List
		if err := list.UnmarshalText([]byte(c.thresholds)); err != nil {
			t.Fatal(err)
		}
		for _, one := range r.Judge(list, 0, 0) {
			if one.Result != c.want || (c.want == threshold.Unknown && !strings.Contains(one.Text, "is not known: it is not told which of 10 requests failed")) {
				t.Errorf("%s: %+v", c.metrics, one)
			}
		}
	}
}

// The newer form of k6's summary (--new-machine-readable-summary, 1.8.1), with the figures cut down.
func TestNewSummaryOfK6(t *testing.T) {
	r, _, err := text(`{"config":{"duration":35.5,"execution":"local"},"metadata":{"k6_version":"1.8.1"},"results":{"metrics":[
		{"contains":"default","name":"http_req_failed","type":"rate","values":{"matches":32,"rate":0.045,"total":701}},
		{"contains":"time","name":"http_req_duration","type":"trend","values":{"avg":2,"max":9,"med":1.5,"min":0.5,"p90":3,"p95":4}},
		{"contains":"time","name":"http_req_duration{name:a}","type":"trend","values":{"p95":5}},
		{"contains":"default","name":"http_req_failed{name:a}","type":"rate","values":{"matches":1,"total":10}},
		{"contains":"default","name":"http_reqs","type":"counter","values":{"count":701}}]},"version":"1.0.0"}`, "")
	if err != nil {
		t.Fatal(err)
	}
	all := &r.Run.All
	if all.Requests != 701 || all.Failed != 32 || r.Run.Elapsed != 35500*time.Millisecond || quantile(t, &all.ResponseTime, 0.95) != 4*time.Millisecond {
		t.Errorf("%+v, %v", all, r.Run.Elapsed)
	}
	if c := byName(t, r, "a"); c.Requests != 10 || c.Failed != 1 || quantile(t, &c.ResponseTime, 0.95) != 5*time.Millisecond {
		t.Errorf("%+v", c)
	}
}
