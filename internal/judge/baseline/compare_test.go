package baseline

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Nothing changed: of 200 comparisons of 20 minutes with eighty, at most two say
// "worse", though the machine is 5 % slower or faster for ten minutes at a time.
func TestNoFalseAlarms(t *testing.T) {
	if testing.Short() {
		t.Skip("too much for the race detector; make test runs it without")
	}
	t.Parallel()
	count := map[Result]int{}
	for seed := range uint64(200) {
		w := newWorld(seed).quieter(8)
		base := w.profile(80)
		w.later(5 * time.Hour)
		w.version = "v2"
		c := Compare(base, w.profile(20), Limits{})
		for _, r := range c.Rows {
			if r.Result == Worse || r.Result == Improved {
				t.Logf("seed %d: %s", seed, r.Text)
			}
		}
		count[c.Result]++
	}
	t.Log(count)
	if count[Worse] > 2 || count[Improved] > 2 {
		t.Errorf("%v, and nothing changed", count)
	}
}

// The same with a short baseline, of which nothing can be learnt about noise: then
// neither is anything the same.
func TestNoFalseAlarmsFromLittleData(t *testing.T) {
	t.Parallel()
	count := map[Result]int{}
	for seed := range uint64(200) {
		w := newWorld(1000 + seed).quieter(8)
		base := w.profile(10)
		w.later(5 * time.Hour)
		count[Compare(base, w.profile(10), Limits{}).Result]++
	}
	t.Log(count)
	if count[Worse] > 2 || count[Improved]+count[Same] > 2 {
		t.Errorf("%v of ten minutes each, and nothing changed", count)
	}
}

func TestSlowCaseIsFoundInTenMinutes(t *testing.T) {
	t.Parallel()
	found, covered := 0, 0
	for seed := range uint64(100) {
		w := newWorld(seed).quieter(4)
		w.cases[0].rate = 15
		base := w.profile(40)
		w.later(5 * time.Hour)
		w.version, w.slower = "v2", only("forecast", 1.2, 1)
		c := Compare(base, w.profile(10), Limits{})
		if r := c.find("forecast", "", MedianTime); r.Result == Worse {
			found++
			if r.Low <= 1.2 && r.High >= 1.2 {
				covered++
			}
		}
		for _, r := range c.Rows {
			if r.Result == Worse && r.Case != "forecast" {
				t.Errorf("seed %d: %s", seed, r.Text)
			}
		}
	}
	t.Logf("found in %d, with the truth in the interval in %d", found, covered)
	if found < 95 || covered < 85 {
		t.Errorf("found in %d of 100, with the truth in the interval in %d", found, covered)
	}
}

func TestFasterCaseIsImproved(t *testing.T) {
	w := newWorld(2)
	base := w.profile(120)
	w.version, w.slower = "v2", only("forecast", 0.7, 1)
	c := Compare(base, w.profile(120), Limits{})
	if r := c.find("forecast", "", MedianTime); c.Result != Improved || r.Result != Improved || r.Ratio > 0.75 {
		t.Errorf("%s: %s", c.Result, r.Text)
	}
}

// Same is earned: after ten minutes of a noisy machine nobody can say so, after two
// hours one can.
func TestSameIsEarned(t *testing.T) {
	t.Parallel()
	same := 0
	for seed := range uint64(10) {
		w := newWorld(seed).quieter(4)
		base := w.profile(180)
		w.later(5 * time.Hour)
		w.version = "v2"
		v := *w
		if early := Compare(base, v.profile(10), Limits{}); early.Result != NotEnoughData || len(early.Unknown) == 0 {
			t.Errorf("seed %d: %s after ten minutes", seed, early.Result)
		}
		c := Compare(base, w.profile(180), Limits{})
		if c.Result == Same {
			same++
		}
		for _, r := range c.Rows {
			if r.Result == Same && r.Signal == MedianTime && !(r.Low > 1/1.1 && r.High < 1.1) {
				t.Errorf("seed %d: not earned: %s", seed, r.Text)
			}
		}
	}
	if same < 7 {
		t.Errorf("the same in %d of 10 after three hours", same)
	}
}

// +30 % on everything for five of eight minutes is no regression.
func TestBurstIsNoRegression(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		base := newWorld(seed).quieter(8).profile(80)
		for first := range 4 {
			w := newWorld(seed + 100).quieter(8)
			b := NewBuilder(Config{WarmUp: -1})
			for i := range 8 {
				w.slower = nil
				if i >= first && i < first+5 {
					w.slower = everywhere(1.3)
				}
				b.Observe(w.minute())
			}
			if c := Compare(base, b.Profile(), Limits{}); c.Result == Worse {
				t.Errorf("seed %d, from minute %d: %v", seed, first, c.Rows)
			}
		}
	}
}

// scaledProfile multiplies all times.
func scaledProfile(p *Profile, by float64) *Profile {
	data, _ := p.MarshalBinary()
	var q Profile
	if err := q.UnmarshalBinary(data); err != nil {
		panic(err)
	}
	for i := range q.Cases {
		for j := range q.Cases[i].Strata {
			for f := range numFigures {
				list := q.Cases[i].Strata[j].figures[f].list
				for k := range list {
					list[k].value += int32(math.Round(logUnit * math.Log(by)))
				}
			}
		}
	}
	return &q
}

// Ratios do not depend on the unit of time; a comparison the other way gives the inverse;
// a factor on one side multiplies the ratio; and the same input gives the same output.
func TestCompareIsFairAndDeterministic(t *testing.T) {
	w := newWorld(8)
	base := w.profile(60)
	w.slower = only("get", 1.3, 1)
	now := w.profile(60)
	plain := Compare(base, now, Limits{})
	if !reflect.DeepEqual(plain, Compare(base, now, Limits{})) {
		t.Error("the same input gives another output")
	}
	both := Compare(scaledProfile(base, 7), scaledProfile(now, 7), Limits{})
	back := Compare(now, base, Limits{})
	tenth := Compare(base, scaledProfile(now, 1.1), Limits{})
	for i, r := range plain.Rows {
		if r.Signal == ErrorRatio || r.Ratio == 0 {
			continue
		}
		if math.Abs(both.Rows[i].Ratio/r.Ratio-1) > 0.001 || both.Rows[i].Result != r.Result {
			t.Errorf("in another unit: %s\n%s", both.Rows[i].Text, r.Text)
		}
		if r.Relative == back.Rows[i].Relative && math.Abs(back.Rows[i].Ratio*r.Ratio-1) > 0.02 {
			t.Errorf("the other way: %s\n%s", back.Rows[i].Text, r.Text)
		}
		if !r.Relative && !tenth.Rows[i].Relative && math.Abs(tenth.Rows[i].Ratio/r.Ratio-1.1) > 0.001 {
			t.Errorf("a tenth slower: %s\n%s", tenth.Rows[i].Text, r.Text)
		}
	}
	if got, want := back.find("get", "", MedianTime).Result, Improved; plain.find("get", "", MedianTime).Result != Worse || got != want {
		t.Errorf("the other way it is %s", got)
	}
}

// Only what was there at the same rate and phase is compared.
func TestLikeWithLike(t *testing.T) {
	w := newWorld(4)
	base := w.profile(60)
	for _, c := range []struct {
		rate  float64
		phase string
		known bool
	}{{30, "", true}, {33, "", true}, {27.5, "", true}, {60, "", false}, {15, "", false}, {30, "rising", false}} {
		v := *w
		v.rate, v.phase, v.slower = c.rate, c.phase, everywhere(3)
		got := Compare(base, v.profile(20), Limits{})
		if worse := got.Result == Worse; worse != c.known {
			t.Errorf("at %g/s %s: %s", c.rate, c.phase, got.Result)
		}
		if !c.known && (len(got.Rows) != 0 || !strings.Contains(fmt.Sprint(got.Unknown), "no rate and phase in common")) {
			t.Errorf("at %g/s %s: %d rows, unknown %q", c.rate, c.phase, len(got.Rows), got.Unknown)
		}
	}
	// A day's two rates, of which the slower one has other times: the mix of minutes is no difference.
	day := func(fast, slow int) *Profile {
		b := NewBuilder(Config{WarmUp: -1})
		for i := range fast + slow {
			w.rate, w.slower = 30, nil
			if i >= fast {
				w.rate, w.slower = 60, everywhere(2)
			}
			b.Observe(w.minute())
		}
		return b.Profile()
	}
	if c := Compare(day(60, 20), day(15, 45), Limits{}); c.Result == Worse || !slices.Equal(c.Rows[0].Bands, []string{bandText(BandOf(30), ""), bandText(BandOf(60), "")}) {
		t.Errorf("%s over %v", c.Result, c.Rows[0].Bands)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after func(string) float64
		minutes       int
		want          Result
	}{
		{"none", nil, nil, 30, Same},
		{"half a percent", nil, only("forecast", 0.005, 0), 10, Worse},
		{"as many as before", only("forecast", 0.02, 0), only("forecast", 0.02, 0), 60, Same},
		{"fewer", only("forecast", 0.02, 0), only("forecast", 0.001, 0), 30, Improved},
		{"a tenth of a percent", nil, only("forecast", 0.001, 0), 60, Same},
		{"half as many again", only("forecast", 0.02, 0), only("forecast", 0.03, 0), 60, Same},
	} {
		w := newWorld(6)
		w.failing = c.before
		base := w.profile(60)
		w.failing = c.after
		got := Compare(base, w.profile(c.minutes), Limits{})
		if r := got.find("forecast", "", ErrorRatio); r.Result != c.want {
			t.Errorf("%s: %s", c.name, r.Text)
		}
	}
}

// One minute in which much fails, as with a restart, is one event.
func TestBurstOfErrorsIsOneEvent(t *testing.T) {
	w := newWorld(6)
	base := w.profile(60)
	b := NewBuilder(Config{WarmUp: -1})
	for i := range 30 {
		w.failing = nil
		if i == 12 {
			w.failing = everywhere(0.3)
		}
		b.Observe(w.minute())
	}
	if c := Compare(base, b.Profile(), Limits{}); c.Result == Worse {
		t.Errorf("%s", c.find("forecast", "", ErrorRatio).Text)
	}
}

func TestWhatIsNotKnownIsSaid(t *testing.T) {
	w := newWorld(4)
	base := w.profile(60)
	w.version = "v2"
	w.cases = append(w.cases[1:], simulated{"new", "standard", false, 1, 0.01, 0.3})
	c := Compare(base, w.profile(20), Limits{})
	text := strings.Join(c.Unknown, "\n")
	for _, want := range []string{
		"forecast: only v1 has it", "new: only v2 has it", "complex: not enough data, v1 has 6 of the 8 windows that it takes",
		"could be between",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said in\n%s", want, text)
		}
	}
	if c.Result != NotEnoughData || c.BaseVersion != "v1" || c.Version != "v2" {
		t.Errorf("%s, %s against %s", c.Result, c.Version, c.BaseVersion)
	}
	if short := Compare(base, w.profile(5), Limits{}); short.Result != NotEnoughData {
		t.Errorf("%s after five minutes", short.Result)
	}
	for _, pair := range [][2]*Profile{{nil, nil}, {base, nil}, {nil, base}, {{}, {}}} {
		if none := Compare(pair[0], pair[1], Limits{}); none.Result != NotEnoughData || len(none.Rows) != 0 {
			t.Errorf("%s of nothing", none.Result)
		}
	}
}

// A workload of one case has nothing to be set beside; it takes longer.
func TestOneCase(t *testing.T) {
	w := newWorld(9)
	w.cases = w.cases[:1]
	base := w.profile(180)
	w.later(5 * time.Hour)
	same := Compare(base, w.profile(180), Limits{})
	w.slower = everywhere(1.5)
	worse := Compare(base, w.profile(20), Limits{})
	if same.Result != Same || worse.Result != Worse {
		t.Errorf("%s and %s: %v %v", same.Result, worse.Result, same.Unknown, worse.Unknown)
	}
}

// Windows of five minutes, as are kept for longer, compare as well.
func TestWindowsOfFiveMinutes(t *testing.T) {
	w := newWorld(9)
	of := func(minutes int) *Profile {
		b := NewBuilder(Config{WarmUp: -1})
		b5 := newFives(b)
		for range minutes {
			b5(w.minute())
		}
		return b.Profile()
	}
	base := of(240)
	w.slower = only("get", 1.3, 1)
	c := Compare(base, of(60), Limits{})
	if r := c.find("get", "", MedianTime); r.Result != Worse || r.Windows != 12 {
		t.Error(r.Text)
	}
}

// What goes out is JSON: no infinite numbers, whatever came in.
func TestComparisonIsJSON(t *testing.T) {
	w := newWorld(10)
	base := w.profile(30)
	w.failing = everywhere(1)
	for _, pair := range [][2]*Profile{{base, w.profile(10)}, {w.profile(10), base}, {base, base}, {base, scaledProfile(base, 1e4)}} {
		for _, limits := range []Limits{{}, {Windows: 1, Requests: 1}} {
			c := Compare(pair[0], pair[1], limits)
			if _, err := json.Marshal(c); err != nil {
				t.Error(err)
			}
			for _, r := range c.Rows {
				if r.Text == "" || r.PAdjusted < r.P || r.Low > r.Ratio || r.High < r.Ratio {
					t.Errorf("%+v", r)
				}
			}
		}
	}
}
