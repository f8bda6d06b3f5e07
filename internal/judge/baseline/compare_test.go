package baseline

import (
	"testing"
	"time"
)

// Nothing changed: of 200 comparisons of 12 minutes with two hours, at most two say
// "worse", and none of the same minutes with an hour more to look at says another thing.
func TestNoFalseAlarms(t *testing.T) {
	worse, improved := 0, 0
	for seed := range uint64(200) {
		w := newWorld(seed)
		base := w.profile(120)
		for range 30 { // some time passes
			w.random.NormFloat64()
		}
		w.factor = w.deviation * w.random.NormFloat64()
		w.at = w.at.Add(5 * time.Hour)
		w.version = "v2"
		c := Compare(base, w.profile(12), Limits{})
		for _, r := range c.Rows {
			if r.Result == Worse || r.Result == Improved {
				t.Logf("seed %d: %s", seed, r.Text)
			}
		}
		switch c.Result {
		case Worse:
			worse++
		case Improved:
			improved++
		}
	}
	t.Logf("%d of 200 worse, %d improved", worse, improved)
	if worse > 2 || improved > 2 {
		t.Errorf("%d of 200 worse, %d improved, and nothing changed", worse, improved)
	}
}

func TestSlowCaseIsFoundInTenMinutes(t *testing.T) {
	found, named := 0, 0
	for seed := range uint64(100) {
		w := newWorld(seed)
		base := w.profile(120)
		w.version, w.slower = "v2", only("forecast", 1.2, 1)
		c := Compare(base, w.profile(10), Limits{})
		if r := c.find("forecast", "", MedianTime); r.Result == Worse {
			found++
			if r.Low > 1.2 || r.High < 1.2 {
				t.Logf("seed %d: %s", seed, r.Text)
			} else {
				named++
			}
		}
		for _, r := range c.Rows {
			if r.Result == Worse && r.Case != "forecast" {
				t.Errorf("seed %d: %s", seed, r.Text)
			}
		}
	}
	t.Logf("found in %d, with the truth in the interval in %d", found, named)
	if found < 95 || named < 85 {
		t.Errorf("found in %d of 100, with the truth in the interval in %d", found, named)
	}
}
