package objective

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	text := " answers : availability>=99.5% ;fast: class=monte_carlo  latency <= 5s for 99%;\n refused: class = invalid availability >= 99.9 %\n;"
	got, err := Parse(text, []string{"standard", "monte_carlo"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Objective{
		{"answers", "all", Availability, 0.995, 0},
		{"fast", "monte_carlo", Latency, 0.99, 5 * time.Second},
		{"refused", "invalid", Availability, 0.999, 0},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if math.Abs(got[i].Target-want[i].Target) > 1e-12 {
			t.Errorf("the target of %s is %v", got[i].Name, got[i].Target)
		}
		got[i].Target = want[i].Target
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}

func TestParseDefaultsAndNone(t *testing.T) {
	if got, err := Parse(" none ", nil); err != nil || len(got) != 0 {
		t.Errorf("none: %v, %v", got, err)
	}
	classes := []string{"complex", "health", "invalid", "monte_carlo", "own", "sensitivity", "standard"}
	got, err := Parse(" ", classes)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range got {
		names = append(names, o.Name)
	}
	want := []string{"availability", "health_latency", "standard_latency", "monte_carlo_latency", "sensitivity_latency", "complex_latency", "invalid_refused"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	for _, period := range []time.Duration{time.Hour, 3 * time.Hour, 24 * time.Hour, DefaultPeriod, maxPeriod} {
		if _, err := New(got, Policy{Period: period}); err != nil {
			t.Errorf("the defaults cannot be tracked over %v: %v", period, err)
		}
	}
	if got := Defaults([]string{"own"}); len(got) != 1 {
		t.Errorf("of an unknown class: %+v", got)
	}
}

// What is written is read as the same, and the default text is what people copy.
func TestStringIsReadBack(t *testing.T) {
	for _, o := range append(Defaults([]string{"health", "standard", "complex", "invalid"}), Objective{"x", "all", Latency, 0.9995, 1500 * time.Millisecond}) {
		back, err := Parse(o.String(), nil)
		if err != nil {
			t.Fatalf("%s: %v", o.String(), err)
		}
		if math.Abs(back[0].Target-o.Target) > 1e-12 {
			t.Errorf("%s: the target came back as %v", o.String(), back[0].Target)
		}
		back[0].Target = o.Target
		if back[0] != o {
			t.Errorf("%s came back as %+v", o.String(), back[0])
		}
	}
	if got := Defaults([]string{"standard"})[1]; got.String() != "standard_latency: class=standard latency<=1s for 99%" {
		t.Error(got.String())
	}
}

func TestParseTellsEveryMistake(t *testing.T) {
	for _, c := range []struct {
		text  string
		wants []string
	}{
		{"availability>=99%", []string{`objective 1 ("availability>=99%")`, "write \"name: availability"}},
		{"a: availability>99%", []string{"write"}},
		{"a: availability>=99", []string{"write"}},
		{"a: latency<=5 for 99%", []string{`the threshold "5" must be a duration`}},
		{"a: latency<=2h for 99%", []string{"1ms to 1h"}},
		{"a: latency<=1us for 99%", []string{"1ms to 1h"}},
		{"a: availability>=100%", []string{"100% of the requests cannot be aimed at"}},
		{"a: availability>=0%", []string{"above 0%"}},
		{"a: availability>=NaN%", []string{"cannot be aimed at"}},
		{"a: availability>=many%", []string{`the share "many" must be a number`}},
		{"A b: availability>=99%", []string{"must be 1 to 40 of a-z"}},
		{": availability>=99%", []string{"must be 1 to 40 of a-z"}},
		{"a: class=absent availability>=99%", []string{`no class "absent"; it has health, standard`}},
		{";;", []string{"there are none", `or "none"`}},
		{"a: availability>=99%; a: availability>=98%", []string{`objective 2: the name "a" is taken`}},
		{"bad; a: latency<=x for y%; B: availability>=101%", []string{"objective 1", "objective 2", `"x"`, `"y"`, "objective 3", "a-z", "101%"}},
		{strings.Repeat("x;", 51), []string{"51 are too many"}},
	} {
		got, err := Parse(c.text, []string{"health", "standard"})
		if err == nil {
			t.Errorf("%q gave %+v", c.text, got)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: the error lacks %q:\n%v", c.text, want, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a: availability>=99.5%; b: class=standard latency<=1s for 99%")
	f.Add("none")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Parse(text, nil)
		if err != nil {
			return
		}
		for _, o := range all {
			if err := o.Validate(); err != nil {
				t.Errorf("%q gave what is not valid: %v", text, err)
			}
		}
	})
}

func TestObjectiveJSON(t *testing.T) {
	data, err := json.Marshal(Objective{"fast", "standard", Latency, 0.99, 250 * time.Millisecond})
	if want := `{"name":"fast","class":"standard","kind":"latency","target":0.99,"threshold_seconds":0.25}`; err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
}

// Table 5-8 of the Site Reliability Workbook, and what it scales to.
func TestBurns(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		period time.Duration
		want   []Burn
	}{
		{0, []Burn{{14.4, time.Hour, 5 * time.Minute, Page}, {6, 6 * time.Hour, 30 * time.Minute, Page}, {1, 3 * day, 6 * time.Hour, Ticket}}},
		{10 * day, []Burn{{14.4, 20 * time.Minute, 2 * time.Minute, Page}, {6, 2 * time.Hour, 10 * time.Minute, Page}, {1, day, 2 * time.Hour, Ticket}}},
		{3 * time.Hour, []Burn{{6, 5 * time.Minute, time.Minute, Page}, {1, 18 * time.Minute, 2 * time.Minute, Ticket}}},
		{time.Hour, []Burn{{6, 5 * time.Minute, time.Minute, Page}, {1, 6 * time.Minute, time.Minute, Ticket}}},
	} {
		got := Policy{Period: c.period}.Burns()
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %+v, want %+v", c.period, got, c.want)
		}
	}
	for i, want := range []float64{0.02, 0.05, 0.1} {
		for _, period := range []time.Duration{DefaultPeriod, maxPeriod} {
			if got := (Policy{Period: period}).Burns()[i].Share(period); math.Abs(got-want) > 1e-9 {
				t.Errorf("%v: %v of the budget, want %v", period, got, want)
			}
		}
	}
	for _, b := range (Policy{Period: time.Hour}).Burns() {
		if got := b.Share(time.Hour); got > 0.5 {
			t.Errorf("%v of the budget of an hour is gone before %v", got, b)
		}
	}
	for run, want := range map[time.Duration]time.Duration{0: DefaultPeriod, time.Minute: time.Hour, 9 * time.Hour: 9 * time.Hour, 1000 * time.Hour: DefaultPeriod} {
		if got := PolicyFor(run).Period; got != want {
			t.Errorf("a run of %v: %v, want %v", run, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	half := Objective{"half", "all", Availability, 0.5, 0}
	tooMany := make([]Objective, 51)
	for i := range tooMany {
		tooMany[i] = Objective{Name: "same", Class: "all", Kind: Availability, Target: 0.99}
	}
	for name, c := range map[string]struct {
		objectives []Objective
		policy     Policy
		wants      []string
	}{
		"a target that no failure can miss fast enough": {
			[]Objective{half},
			Policy{},
			[]string{`objective "half": 14.4 times the budget of 50% is 720% of all requests`, "a factor below 2 ", "a target above 93.06%", "6 times", "above 83.33%"},
		},
		"exactly the factor":  {[]Objective{{"x", "all", Availability, 1 - 1/14.4, 0}}, Policy{}, []string{"14.4 times"}},
		"a short period":      {nil, Policy{Period: time.Minute}, []string{"1h to 2160h"}},
		"a long period":       {nil, Policy{Period: 91 * 24 * time.Hour}, []string{"1h to 2160h"}},
		"a name twice":        {[]Objective{{"x", "all", Availability, 0.99, 0}, {"x", "all", Availability, 0.98, 0}}, Policy{}, []string{`"x": the name is taken`}},
		"what is not valid":   {[]Objective{{"x", "", "speed", 0.99, 0}}, Policy{}, []string{"the class is missing", `the kind "speed"`}},
		"an unused threshold": {[]Objective{{"x", "all", Availability, 0.99, time.Second}}, Policy{}, []string{"has no threshold"}},
		"too many":            {tooMany, Policy{}, []string{"51 are too many"}},
	} {
		_, err := New(c.objectives, c.policy)
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error lacks %q:\n%v", name, want, err)
			}
		}
	}
	// Where the policy of a short run has no alert at 14.4, its limit does not count.
	if _, err := New([]Objective{{"x", "all", Availability, 0.9, 0}}, PolicyFor(3*time.Hour)); err != nil {
		t.Error(err)
	}
}
