package load

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"soakd/internal/load/schedule"
)

// phasesOf runs an engine and notes its phase before, in the midst of each second,
// and after.
func phasesOf(t *testing.T, r run) []Phase {
	t.Helper()
	seen := []Phase{r.engine.Phase()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.engine.Run(t.Context())
	}()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		case <-time.After(500 * time.Millisecond):
		}
		if p := r.engine.Phase(); seen[len(seen)-1] != p {
			seen = append(seen, p)
		}
	}
	return seen
}

func TestPhasesOfALoad(t *testing.T) {
	const short = 200 * time.Millisecond
	target := func() *pipeTarget {
		return newPipeTarget(func(http.ResponseWriter, *http.Request) { time.Sleep(short) })
	}
	synctest.Test(t, func(t *testing.T) {
		target := target()
		defer target.stop()
		shape, err := schedule.ParseShape("spike:to=20,at=2s,hold=2s,rise=2s", schedule.Surroundings{Base: 10_000_000})
		if err != nil {
			t.Fatal(err)
		}
		r := newRun(t, target, "1", testCase("one", 1), func(cfg *EngineConfig) {
			cfg.Duration = 10 * time.Second
			if cfg.Arrivals, err = schedule.NewArrivals(shape, schedule.Options{Shards: 1}); err != nil {
				t.Fatal(err)
			}
		})
		want := []Phase{"", PhaseSteady, PhaseRising, PhaseSteady, PhaseFalling, PhaseSteady, PhaseEnded}
		if got := phasesOf(t, r); !slices.Equal(got, want) {
			t.Errorf("a spike: %q, want %q", got, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		target := target()
		defer target.stop()
		closed := ClosedConfig{Users: 3, SpawnRate: 1, Think: think(t, "1s")}
		r := closedRun(t, target, closed, mixOf(t, testCase("one", 1)), func(cfg *EngineConfig) { cfg.Duration = 5 * time.Second })
		want := []Phase{"", PhaseRising, PhaseSteady, PhaseEnded}
		if got := phasesOf(t, r); !slices.Equal(got, want) {
			t.Errorf("users: %q, want %q", got, want)
		}
	})
}
