package judge

import (
	"testing"
	"time"

	"soakd/internal/judge/simulate"
)

// An outage is counted once, with the time until it was clear and the time until
// the service was back; other targets have none.
func TestTimesOfOutages(t *testing.T) {
	const hour = 3600 / 10
	world, err := simulate.New(simulate.Config{
		Seed: 3, Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Rate: 50, Quiet: []simulate.Stretch{{To: 3 * time.Hour}},
		Episodes: []simulate.Episode{{Fault: "postgres_down", At: time.Hour, For: 3 * time.Minute}},
	})
	if err != nil {
		t.Fatal(err)
	}
	j, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * hour {
		j.Window(world.Next())
	}
	r := j.Readings()
	detection, recovery := r.Detection["postgres"], r.Recovery["postgres"]
	if n := detection.Histogram.Count(); n != 1 || detection.UpTo[0] == 1 || detection.UpTo[5] != 1 {
		t.Errorf("%d times to detect: %v of %v", n, detection.UpTo, detection.Bounds)
	}
	// It was away for 3 minutes.
	if n := recovery.Histogram.Count(); n != 1 || recovery.UpTo[6] != 0 || recovery.UpTo[8] != 1 {
		t.Errorf("%d times to recover: %v of %v", n, recovery.UpTo, recovery.Bounds)
	}
	redis := r.Detection["redis"]
	if redis.Histogram.Count() != 0 || len(redis.UpTo) != len(RecoveryBounds()) {
		t.Errorf("Redis was not away: %+v", redis)
	}
}
