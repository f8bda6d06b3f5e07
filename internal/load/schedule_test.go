package load

import (
	"math/big"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"1": 1_000_000, "200": 200_000_000, "0.5": 500_000, ".25": 250_000,
		"33.333333": 33_333_333, "0.000001": 1, "1000000": MaxRate, "007": 7_000_000,
	} {
		got, err := ParseRate(text)
		if err != nil || got != want {
			t.Errorf("ParseRate(%q) = %d, %v, want %d", text, got, err, want)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q prints as %q, which reads back as %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "0", "0.0", ".", "1.", "-1", "+1", "NaN", "nan", "Inf", "1e3", "1,5", " 1", "1 ",
		"1000000.000001", "0.0000001", "99999999999999999999", "0x10", "1_000", "٣",
	} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("ParseRate(%q) = %d without an error", text, got)
		} else if !strings.Contains(err.Error(), "such as 50 or 0.5") {
			t.Errorf("ParseRate(%q): %v does not say what would be right", text, err)
		}
	}
}

func TestSteadyIsTheClosedForm(t *testing.T) {
	closedForm := func(n int64, rate Rate) *big.Int {
		due := new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000_000_000))
		return due.Div(due, new(big.Int).SetUint64(uint64(rate)))
	}
	property := func(n int64, rate Rate) bool {
		n &= 1<<40 - 1
		rate = rate%MaxRate + 1
		got, ok := Steady{rate: rate}.Due(n)
		want := closedForm(n, rate)
		return ok == want.IsInt64() && (!ok || want.Int64() == int64(got))
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
}

func TestSteadyDoesNotDrift(t *testing.T) {
	for _, test := range []struct {
		rate string
		n    int64
		want time.Duration
	}{
		{"200", 0, 0},
		{"200", 1, 5 * time.Millisecond},
		{"3", 1, 333_333_333},
		{"3", 2, 666_666_666},
		{"3", 3, time.Second},
		{"3", 3_000_000_000, 1_000_000_000 * time.Second},
		{"0.5", 7, 14 * time.Second},
		{"1000000", 1_000_000_000, 1000 * time.Second},
	} {
		rate, err := ParseRate(test.rate)
		if err != nil {
			t.Fatal(err)
		}
		schedule, err := NewSteady(rate)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := schedule.Due(test.n); !ok || got != test.want {
			t.Errorf("rate %s: arrival %d is due at %d, %v, want %d", test.rate, test.n, got, ok, test.want)
		}
	}
}

func TestSteadyEnds(t *testing.T) {
	if _, err := NewSteady(0); err == nil {
		t.Error("a rate of 0 was taken")
	}
	if _, err := NewSteady(MaxRate + 1); err == nil {
		t.Error("a rate above the highest was taken")
	}
	slow := Steady{rate: 1}
	if _, ok := slow.Due(-1); ok {
		t.Error("arrival -1 is due")
	}
	if due, ok := slow.Due(1 << 62); ok {
		t.Errorf("an arrival beyond the clock is due at %v", due)
	}
}
