package schedule

import (
	"strings"
	"testing"
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
