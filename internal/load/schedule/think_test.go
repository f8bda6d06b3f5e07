package schedule

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestParseThink(t *testing.T) {
	for text, mean := range map[string]time.Duration{
		"1s": time.Second, "0s": 0, "1s..5s": 3 * time.Second, "250ms..250ms": 250 * time.Millisecond,
		"exp:2s": 1999909200, // 2 s * (1 - exp(-10))
	} {
		think, err := ParseThink(text)
		if err != nil || think.Mean() != mean || think.String() != text {
			t.Errorf("%s: %v with mean %v, %v, want mean %v", text, think, think.Mean(), err, mean)
		}
	}
	for _, text := range []string{"", "1", "-1s", "5s..1s", "1s..", "..5s", "1s...5s", "exp:", "exp:-2s", "exp:1s..2s", "25h", "1s..25h", "1s-5s"} {
		want := `"` + text + `" is not a think time: give a time such as 1s, a range such as 1s..5s, or an exponential mean such as exp:2s, each up to 24h`
		if _, err := ParseThink(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestThinkDraws(t *testing.T) {
	const draws = 100_000
	for _, test := range []struct {
		text      string
		low, high time.Duration
		deviation float64 // of one draw, in seconds
	}{
		{"2s", 2 * time.Second, 2 * time.Second, 0},
		{"1s..5s", time.Second, 5 * time.Second, 4 / math.Sqrt(12)},
		{"exp:2s", 0, 20 * time.Second, 2},
	} {
		think, err := ParseThink(test.text)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 1))
		var sum float64
		var longest time.Duration
		for range draws {
			d := think.Draw(random)
			if d < test.low || d > test.high {
				t.Fatalf("%s: %v was drawn", test.text, d)
			}
			sum += d.Seconds()
			longest = max(longest, d)
		}
		if off := math.Abs(sum/draws - think.Mean().Seconds()); off > 4*test.deviation/math.Sqrt(draws)+1e-9 {
			t.Errorf("%s: the mean of the draws is %f s, want %v", test.text, sum/draws, think.Mean())
		}
		if longest < test.high-test.high/100 {
			t.Errorf("%s: the longest draw is %v, want about %v", test.text, longest, test.high)
		}
	}
	if d := (Think{}).Draw(rand.New(rand.NewPCG(1, 1))); d != 0 {
		t.Errorf("the zero think time is %v", d)
	}
}

// All of 1 ns .. 3 ns come, the ends too.
func TestThinkRangeIncludesItsEnds(t *testing.T) {
	think, err := ParseThink("1ns..3ns")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	seen := map[time.Duration]int{}
	for range 3000 {
		seen[think.Draw(random)]++
	}
	for d := time.Duration(1); d <= 3; d++ {
		if seen[d] < 850 || seen[d] > 1150 {
			t.Errorf("%v was drawn %d times of 3000", d, seen[d])
		}
	}
}
