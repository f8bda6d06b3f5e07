package schedule

import (
	"testing"
	"time"
)

func TestPhaseOfShapes(t *testing.T) {
	for text, want := range map[string]map[time.Duration]Phase{
		"steady":                            {0: Steadily, time.Hour: Steadily},
		"ramp:from=1,to=9,over=10m":         {0: Rising, 9 * time.Minute: Rising, 10 * time.Minute: Steadily, time.Hour: Steadily},
		"ramp:from=9,to=1,over=3h":          {0: Falling, 2 * time.Hour: Falling, 3 * time.Hour: Steadily},
		"steps:1@5m,9":                      {0: Steadily, 5 * time.Minute: Steadily, time.Hour: Steadily},
		"spike:to=90,at=1m,hold=2m,rise=1m": {0: Steadily, 90 * time.Second: Rising, 3 * time.Minute: Steadily, 4*time.Minute + 1: Falling, time.Hour: Steadily},
		// A cycle: 1 minute up, 1 down, 8 at the base.
		"spike:to=90,at=1m,every=10m,hold=0s,rise=1m": {21*time.Minute + 30*time.Second: Rising, 22*time.Minute + 30*time.Second: Falling, 25 * time.Minute: Steadily},
	} {
		shape, err := ParseShape(text, Surroundings{Base: 10_000_000})
		if err != nil {
			t.Fatal(err)
		}
		for at, phase := range want {
			if got := shape.PhaseAt(at); got != phase {
				t.Errorf("%s at %v: %s, want %s", text, at, got, phase)
			}
		}
	}
	if got := (Shape{}).PhaseAt(time.Hour); got != Steadily {
		t.Errorf("no shape: %s", got)
	}
}

// A shape that is set in the midst counts from then on.
func TestPhaseAfterAChange(t *testing.T) {
	steady, err := Steady(10_000_000)
	if err != nil {
		t.Fatal(err)
	}
	arrivals, err := NewArrivals(steady, Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	ramp, err := Ramp(10_000_000, 20_000_000, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := arrivals.SetShape(time.Hour, ramp); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]Phase{time.Hour + 30*time.Second: Rising, time.Hour + 2*time.Minute: Steadily} {
		if got := arrivals.PhaseAt(at); got != want {
			t.Errorf("at %v: %s, want %s", at, got, want)
		}
	}
}
