package threshold

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"rate>=50":                            "rate>=50",
		"rps >= 50/s":                         "rate>=50",
		" error_rate <= 1% ":                  "error_rate<=0.01",
		"error_rate<=0.01":                    "error_rate<=0.01",
		"error_rate<=0":                       "error_rate<=0",
		"p95<=300ms":                          "p95<=300ms",
		"median<1s":                           "p50<1s",
		"p99.9<=2.5s":                         "p99.9<=2.5s",
		"p99{class=monte_carlo}<=5s":          "p99{class=monte_carlo}<=5s",
		"p95{case='forecast', over=window}<1": "",
		"p95{case='forecast',over=window}<1m": "p95{case=forecast,over=window}<1m0s",
		"avg{over=run}<=20ms":                 "mean{over=run}<=20ms",
		"failures<=3":                         "failures<=3",
		"dropped<=0":                          "dropped<=0",
		"max<=10s":                            "max<=10s",
		"rate>-0":                             "rate>0",
		`p95{case="/items/{id}, all"}<=1s`:    `p95{case="/items/{id}, all"}<=1s`,
		`p95{case='say "hi"; go'}<=1s`:        `p95{case='say "hi"; go'}<=1s`,
		`p95{class="standard"}<=24h`:          "p95{class=standard}<=24h0m0s",
		"requests>=100":                       "requests>=100",
	} {
		got, err := Parse(text)
		switch {
		case want == "":
			if err == nil {
				t.Errorf("%q is taken as %v", text, got)
			}
		case err != nil || got.String() != want:
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
		if again, err := Parse(got.String()); want != "" && (err != nil || again != got) {
			t.Errorf("%q does not parse to itself: %v, %v", got, again, err)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "is not a threshold",
		"p95":                          "is not a threshold",
		"p95<=":                        "is not a time",
		"<=300ms":                      "is not a threshold",
		"p95<=300":                     "300 has no unit: write 300ms or 300s",
		"p95<=fast":                    `"fast" is not a time such as 300ms`,
		"p95==1s":                      "write <=, <, >= or >",
		"p100<=1s":                     "p100 is not a figure",
		"p0<=1s":                       "above p0",
		"p95{type=x}<=1s":              "not by type",
		"p95{class}<=1s":               "class=NAME",
		"p95{class=a,case=b}<=1s":      "not both",
		"p95{class=a,class=b}<=1s":     "given twice",
		"p95{over=month}<=1s":          "run or window",
		"p95{class=}<=1s":              "no name of a class",
		"eror_rate<=1%":                "did you mean error_rate?",
		"error_rate<=2":                "write 2% for so many in a hundred",
		"error_rate<1":                 "write 1% for so many in a hundred",
		"error_rate<=101%":             "at most 100%",
		"p95>0s":                       "every run keeps this",
		"p95<=25h":                     "longer than 24h",
		"failures<=3/s":                "is not a number",
		"  p95{over=run} <= 300 ":      "column 18: 300 has no unit",
		"p95{case=/items/{id}}<=1s":    "in quotes",
		"p95{cas=a}<=1s":               "did you mean case?",
		"error_rate<=100%":             "every run keeps this",
		"error_rate<0":                 "no run can keep this",
		"p95<=0s":                      "no run can keep this",
		"p95<=-1s":                     "0 or more",
		"rate>=0":                      "every run keeps this",
		"rate>=NaN":                    "0 or more",
		"rate>=many":                   "is not a number",
		"dropped{class=health}<=0":     "leave the selector out",
		"failures{over=window}<=1":     "that bounds every window",
		"max{over=window,case=a}<=1s":  "that bounds every window",
		"p95<=300ms; p99<=1s":          "is not a time",
		"p95{class=a\x00}<=1s":         "no name of a class",
		strings.Repeat("p", 500) + "<": "is not a threshold",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50q: %v, %v; want %q", text, got, err, want)
		} else if len(err.Error()) > 400 {
			t.Errorf("%.50q: %d bytes of error", text, len(err.Error()))
		}
	}
}

func TestListTellsAllMistakes(t *testing.T) {
	var l List
	if err := l.UnmarshalText([]byte(`p95{case="a;b"}<=1s; rate>=5`)); err != nil || l.String() != `p95{case="a;b"}<=1s; rate>=5` {
		t.Errorf("%v, %v", l, err)
	}
	err := l.UnmarshalText([]byte("p95<=300; rate>=50 ;; eror<=1;rate>=50"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 || l.String() != "rate>=50" {
		t.Errorf("%v, %v", l, err)
	}
	l = nil
	for _, text := range []string{"p99{class=monte_karlo}<=5s", "p95{case=forecast}<=1s", "p95{case=forcast}<=1s", "rate>=1"} {
		if err := l.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	err = l.Check([]string{"monte_carlo", "health"}, []string{"forecast"})
	if err == nil || !strings.Contains(err.Error(), "there is no class monte_karlo (did you mean monte_carlo?); there are health, monte_carlo") ||
		!strings.Contains(err.Error(), "no case forcast") || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"p95{class=a,over=window}<=300ms", "error_rate<1%", "rate>=1e3", "p99.99{case=x}>1h", `p1{case="a;b{}"}<=1ns`, "p95<=277778h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(parsed.String())
		if err != nil || again.String() != parsed.String() {
			t.Errorf("%q: %q is read as %q, %v", text, parsed, again, err)
		}
	})
}
