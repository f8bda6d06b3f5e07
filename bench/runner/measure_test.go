package main

import (
	"math"
	"testing"
	"time"

	"soakd/bench/stall"
)

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 0.991: 100, 1: 100} {
		if got := quantile(hundred, q); got != want {
			t.Errorf("quantile %v of 1..100 is %d, want %d", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
}

// at makes arrivals at times in microseconds.
func at(us ...int) []arrival {
	list := make([]arrival, len(us))
	for i, one := range us {
		list[i].at = time.Duration(one) * time.Microsecond
	}
	return list
}

func TestPace(t *testing.T) {
	for name, test := range map[string]struct {
		arrivals         []arrival
		rate, late, near float64
	}{
		"even":            {at(5000, 6000, 7000, 8000, 9000), 1000, 0, 0},
		"out of order":    {at(9000, 5000, 7000, 6000, 8000), 1000, 0, 0},
		"one late":        {at(5000, 6000, 7950, 8000, 9000), 1000, 950, 0.25},
		"in pairs":        {at(5000, 5001, 7000, 7001, 9000), 1000, 999, 0.5},
		"the first late":  {at(5700, 6000, 7000, 8000, 9000), 4e6 / 3300, math.NaN(), 0},
		"one is missing":  {at(5000, 6000, 7000, 9000), 750, math.NaN(), 0},
		"only one":        {at(5000), math.NaN(), math.NaN(), math.NaN()},
		"nothing arrived": {nil, math.NaN(), math.NaN(), math.NaN()},
	} {
		got := pace(test.arrivals, 1000, 5)
		same := func(a, b float64) bool { return math.Abs(a-b) < 1e-6 || (math.IsNaN(a) && math.IsNaN(b)) }
		if name == "the first late" {
			test.late = 700 // behind the schedule that the others lie on
		}
		if !same(got.rate, test.rate) || !same(got.late, test.late) || !same(got.together, test.near) {
			t.Errorf("%s: %+v, want rate %v, late %v, together %v", name, got, test.rate, test.late, test.near)
		}
	}
}

func TestStallTimes(t *testing.T) {
	pattern := stall.Pattern{Period: 10 * time.Second, From: 5 * time.Second, For: time.Second}
	got := stallTimes(at(600_000, 100_000), pattern, 500, 5000)
	want := times{P95: 500_000, P99: 900_000, P999: 990_000}
	if got.P50 != want.P50 || math.Abs(got.P95-want.P95) > 2500 || math.Abs(got.P99-want.P99) > 2500 || math.Abs(got.P999-want.P999) > 2500 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSpread(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{3, 1, 2}, spread{2, 1, 3}},
		{[]float64{4, 1, 2, 3}, spread{2.5, 1, 4}},
		{[]float64{nan, 7}, spread{7, 7, 7}},
	} {
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("%v: %v, want %v", test.values, got, test.want)
		}
	}
	if got := spreadOf([]float64{nan}); !math.IsNaN(got.median) {
		t.Errorf("the median of nothing is %v", got.median)
	}
}
