package report

import (
	"testing"
	"time"

	"soakd/internal/load"
)

// What a row of a report says beside its counts: method, bytes, and when failures came.
func TestTrafficOfTellsBytesMethodsAndTimes(t *testing.T) {
	start := time.Unix(1000, 0)
	get := &load.Case{Name: "get", Class: "standard", Method: "GET"}
	save := &load.Case{Name: "save", Class: "standard", Method: "POST"}
	recorder := load.NewRecorder(&load.Workload{Cases: []*load.Case{save, get, {Name: "never", Class: "other"}}}, start)
	done := func(c *load.Case, second int, outcome load.Outcome, size int64) {
		recorder.Done(&load.Result{Case: c, Outcome: outcome, Status: 200, Bytes: size, Done: start.Add(time.Duration(second) * time.Second), Duration: time.Second})
	}
	done(get, 1, load.OK, 100)
	done(get, 5, load.CheckFailed, 20)
	done(save, 2, load.CheckFailed, 3)
	done(get, 4, load.CheckFailed, 20)
	snapshot := recorder.Snapshot()
	all, classes, cases := TrafficOf(&snapshot, false)
	if len(cases) != 2 || len(classes) != 1 {
		t.Fatalf("%d cases, %d classes", len(cases), len(classes))
	}
	for i, test := range []struct {
		row         Traffic
		method      string
		bytes       int64
		first, last int64
	}{
		{cases[0], "GET", 140, 1004, 1005},
		{cases[1], "POST", 3, 1002, 1002},
		{classes[0], "", 143, 1002, 1005},
		{all, "", 143, 1002, 1005},
	} {
		f := test.row.Failures
		if test.row.Method != test.method || test.row.Bytes != test.bytes || len(f) != 1 || f[0].First.Unix() != test.first || f[0].Last.Unix() != test.last {
			t.Errorf("row %d: %+v", i, test.row)
		}
	}
}

func TestExamplesOf(t *testing.T) {
	at := time.Unix(1000, 0)
	got := ExamplesOf([]load.Example{{
		Case: &load.Case{Name: "get"}, Outcome: load.Timeout, Reason: "none came", Curl: "curl", At: at, TraceID: load.TraceID{15: 1},
	}})
	want := Example{Case: "get", Outcome: "timeout", Reason: "none came", Curl: "curl", At: at, TraceID: "00000000000000000000000000000001"}
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %+v", got)
	}
}
