package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"soakd/internal/lockedbuffer"
	"soakd/internal/probes"
)

// fakeKind is a kind of probe that polls as a test says.
type fakeKind struct {
	poll   func(context.Context) (probes.Reading, error)
	closed int
}

func (*fakeKind) Enabled() bool                                    { return true }
func (*fakeKind) Validate() error                                  { return nil }
func (*fakeKind) Summary() string                                  { return "summary" }
func (f *fakeKind) Open(*slog.Logger) ([]probes.Probe, error)      { return []probes.Probe{f}, nil }
func (*fakeKind) Name() string                                     { return "fake" }
func (*fakeKind) Describe() []*probes.Desc                         { return nil }
func (f *fakeKind) Close()                                         { f.closed++ }
func (f *fakeKind) Poll(c context.Context) (probes.Reading, error) { return f.poll(c) }

// checkFake checks the probes of fakes, one after the other.
func checkFake(t *testing.T, fakes ...*fakeKind) (string, error) {
	t.Helper()
	var out lockedbuffer.Buffer
	c := &checker{cfg: &config{ProbeTimeout: time.Second}, stdout: &out}
	for _, fake := range fakes {
		c.cfg.kinds = append(c.cfg.kinds, probes.Kind{Name: "fake", Config: fake})
	}
	c.probe(t.Context(), false)
	return out.String(), c.verdict()
}

// A probe with a defect takes neither the other checks nor the verdict with it.
func TestCheckOutlivesItsProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		good := &fakeKind{poll: func(context.Context) (probes.Reading, error) {
			return probes.Reading{Samples: make([]probes.Sample, 3)}, nil
		}}
		panics := &fakeKind{poll: func(context.Context) (probes.Reading, error) { panic("odd\ninput") }}
		hangs := &fakeKind{poll: func(context.Context) (probes.Reading, error) {
			<-release
			return probes.Reading{}, nil
		}}
		start := time.Now()
		out, err := checkFake(t, panics, hangs, good)
		if took := time.Since(start); took < time.Second || took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		for _, want := range []string{
			"probe fake: summary: poll panicked: odd input\n", "probe fake: summary: poll did not return after its deadline\n", "probe fake: ok, summary, 3 values\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("does not hold %q:\n%s", want, out)
			}
		}
		if exitCode(err) != exitNotRun || err.Error() != "2 of the checks could not reach what they check" || panics.closed != 1 || good.closed != 1 {
			t.Errorf("%v, closed %d and %d", err, panics.closed, good.closed)
		}
		close(release)
		synctest.Wait()
		if hangs.closed != 1 {
			t.Errorf("the one that came back late was closed %d times", hangs.closed)
		}
	})
}

// What a probe says of itself when it reached nothing, as that a replica is not
// up, does not make what is away into something that was reached.
func TestCheckTellsAwayFromWrong(t *testing.T) {
	refused := probes.Because(probes.ReasonConnect, errors.New("connection refused"))
	away := &fakeKind{poll: func(context.Context) (probes.Reading, error) {
		return probes.Reading{Samples: make([]probes.Sample, 4)}, refused
	}}
	partly := &fakeKind{poll: func(context.Context) (probes.Reading, error) {
		return probes.Reading{Samples: make([]probes.Sample, 4), Cost: probes.Cost{Queries: 7}}, refused
	}}
	lacks := &fakeKind{poll: func(context.Context) (probes.Reading, error) {
		return probes.Reading{Samples: make([]probes.Sample, 5)}, probes.Because(probes.ReasonPermission, errors.New("no right"))
	}}
	for _, c := range []struct {
		fake *fakeKind
		line string
		code int
	}{
		{away, "connection refused", exitNotRun},
		{partly, "4 values, but not all: connection refused", exitFailed},
		{lacks, "5 values, but not all: no right", exitFailed},
	} {
		out, err := checkFake(t, c.fake)
		if out != fmt.Sprintf("probe fake: summary: %s\n", c.line) || exitCode(err) != c.code {
			t.Errorf("%s: exit code %d, %v", out, exitCode(err), err)
		}
	}
}
