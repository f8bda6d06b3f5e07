package results_test

import (
	"strings"
	"testing"
	"time"

	"soakd/internal/judge/baseline"
	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/results"
)

func list(t *testing.T, text string) threshold.List {
	t.Helper()
	var l threshold.List
	if err := l.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return l
}

// said writes what thresholds came to: "run pass, worst window fail".
func said(judged []threshold.Judged) string {
	var parts []string
	for _, j := range judged {
		parts = append(parts, string(j.Over)+" "+string(j.Result))
	}
	return strings.Join(parts, ", ")
}

func TestThresholdsOnLocust(t *testing.T) {
	full, err := results.Locust(locustFolder(t, "locust-2.12.1-slower"))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := results.Locust(locustFolder(t, "locust-2.12.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of         *results.Result
		text, want string
	}{
		{full, "rate>=17", "run pass, worst window pass"},
		{full, "rate>=25", "run fail, worst window fail"},
		{full, "error_rate<=10%", "run pass, worst window pass"},
		{full, "error_rate<=1%", "run fail, worst window fail"},
		{full, "error_rate{case=forecast}<=1%", "run pass, worst window pass"},
		{full, "p95<=10s", "run pass, worst window pass"},
		{full, "p50{case=forecast}<=1ms", "run fail, worst window fail"},
		{full, "p95{case=missing}<=10s", "run unknown"},
		// The known percentiles lie above and below: 97 % is between 95 % and 98 %.
		{full, "p97<=1ms", "run fail, worst window fail"},
		{full, "max<=1ms", "run fail"},
		// Without a full history the windows of a run tell nothing of times, so that the run counts.
		{sums, "p95<=10s", "run pass"},
		{sums, "p95{over=window}<=10s", "worst window unknown"},
		{sums, "error_rate<=20%", "run pass"},
	} {
		if got := said(c.of.Judge(list(t, c.text), 0)); got != c.want {
			t.Errorf("%s: %s, want %s: %+v", c.text, got, c.want, c.of.Judge(list(t, c.text), 0))
		}
	}
}

// gateOf judges a file with samples as the command does.
func gateOf(t *testing.T, name, thresholds string) []threshold.Judged {
	t.Helper()
	g := threshold.NewGate(list(t, thresholds), threshold.Config{})
	_, windows := read(t, name)
	for _, w := range windows {
		g.Add(w)
	}
	return g.Judged()
}

func TestThresholdsOnSamples(t *testing.T) {
	for _, name := range []string{"k6-1.8.1/run.csv.gz", "k6-1.8.1/run.json.gz", "vegeta-12.13.0/run.gob.gz"} {
		// Both were told to send 20 a second.
		for text, want := range map[string]string{
			"rate>=20": "run pass", "rate>=21.5": "run fail", "error_rate<=10%": "run pass", "error_rate<=1%": "run fail", "p95<=1s": "run pass", "p95<=1ms": "run fail",
		} {
			if got := said(gateOf(t, name, text)); got != want && got != want+", "+strings.Replace(want, "run", "worst window", 1) {
				t.Errorf("%s, %s: %s", name, text, got)
			}
		}
	}
}

// profileOf makes the profile of Locust's files.
func profileOf(t *testing.T, folder string) (*results.Result, *baseline.Profile) {
	t.Helper()
	r, err := results.Locust(locustFolder(t, folder))
	if err != nil {
		t.Fatal(err)
	}
	return r, results.NewProfiler(0).Profile(r, folder)
}

func TestCompareLocust(t *testing.T) {
	a, before := profileOf(t, "locust-2.12.1-full")
	b, after := profileOf(t, "locust-2.12.1-slower")
	if err := results.Comparable(&a.Run, &b.Run); err != nil {
		t.Fatal(err)
	}
	c := results.Compare(a, b, before, after)
	worse := ""
	for i := range c.Rows {
		if r := &c.Rows[i]; r.Result == baseline.Worse {
			worse += r.Case + "|"
			if !strings.Contains(r.Text, "against locust-2.12.1-full") {
				t.Errorf("the text does not say against what: %s", r.Text)
			}
		}
	}
	if c.Result != baseline.Worse || !strings.Contains(worse, "forecast, Monte Carlo|") {
		t.Errorf("%s, worse are %q", c.Result, worse)
		for i := range c.Rows {
			t.Log(c.Rows[i].Text)
		}
	}
	if same := results.Compare(a, a, before, before); same.Result == baseline.Worse || same.Result == baseline.Improved {
		t.Errorf("a run against itself is %s", same.Result)
	}
}

// Without windows only failures can be compared, and nothing is the same.
func TestCompareTotals(t *testing.T) {
	summary := func(failed int) *results.Result {
		r, _, err := text(strings.ReplaceAll(`{"metrics":{"http_reqs":{"count":1000,"rate":10},"http_req_failed":{"passes":FAILED,"fails":1},"http_req_duration":{"med":1}}}`, "FAILED", string(rune('0'+failed/100))+"00"), results.K6Summary)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	few, many := summary(100), summary(300)
	if c := results.Compare(few, many, nil, nil); c.Result != baseline.Worse || c.Rows[0].Result != baseline.Worse || c.Rows[0].Ratio < 2.9 || c.Rows[0].Ratio > 3.1 {
		t.Errorf("%+v", c)
	}
	if c := results.Compare(many, few, nil, nil); c.Result != baseline.NotEnoughData || c.Rows[0].Result != baseline.Improved {
		t.Errorf("%+v", c)
	}
	if c := results.Compare(few, few, nil, nil); c.Result != baseline.NotEnoughData || c.Rows[0].Result != baseline.Same || len(c.Unknown) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestWhatCannotBeCompared(t *testing.T) {
	a, _ := read(t, "k6-1.8.1/run.json.gz")
	b, _ := read(t, "vegeta-12.13.0/run.csv.gz")
	if err := results.Comparable(&a.Run, &b.Run); err != nil {
		t.Errorf("both sent 20 a second: %v", err)
	}
	b.Run.Elapsed /= 2
	if err := results.Comparable(&a.Run, &b.Run); err == nil || !strings.Contains(err.Error(), "the loads differ too much") {
		t.Errorf("%v", err)
	}
	a.Run.Users, b.Run.Users = 5, 5
	if err := results.Comparable(&a.Run, &b.Run); err != nil {
		t.Errorf("five users that are slower send less: %v", err)
	}
}

// Windows of a file with samples give a profile too.
func TestCompareSamples(t *testing.T) {
	profiler := results.NewProfiler(0)
	r, windows := read(t, "k6-1.8.1/run.json.gz")
	for _, w := range windows {
		profiler.Window(w)
	}
	p := profiler.Profile(r, "k6")
	if p == nil || p.Windows < 3 || p.Window != window.Short || len(p.Cases) != 6 || p.To.Sub(p.From) > time.Minute {
		t.Errorf("%+v", p)
	}
}
