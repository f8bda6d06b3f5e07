package main

import (
	"math"
	"slices"
	"time"

	"soakd/bench/stall"
)

// closeTogether is the distance under which two arrivals count as sent together: a tool
// that wakes up once for two of them saves half the wake-ups and paces worse.
const closeTogether = 100 * time.Microsecond

// arrival is what the target knows of one request: when it had arrived, since
// the target's start, and how long it was held before the answer was written.
type arrival struct{ at, held time.Duration }

// quantile returns the value at q (0..1) of sorted values by nearest rank, 0 when
// there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// times are quantiles at 50, 95, 99 and 99.9 %, in microseconds; 0 when not known.
type times struct {
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

func timesOf(sorted []time.Duration) times {
	at := func(q float64) float64 { return micros(quantile(sorted, q)) }
	return times{P50: at(0.5), P95: at(0.95), P99: at(0.99), P999: at(0.999)}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// pacing is what the target saw of a tool's pacing.
type pacing struct {
	// rate is arrivals a second between the first and the last.
	rate float64
	// together is the share, 0..1, of arrivals close after the one before.
	together float64
	// late is how far behind an even schedule arrivals were at 99 %, in
	// microseconds; the schedule is laid through the most punctual of them. It is
	// NaN when there were more or fewer arrivals than the schedule has.
	late float64
}

// pace computes the pacing from arrivals at a set rate; due is how many there
// should be.
func pace(arrivals []arrival, rate float64, due int) pacing {
	at := make([]time.Duration, len(arrivals))
	for i, a := range arrivals {
		at[i] = a.at
	}
	slices.Sort(at)
	p := pacing{math.NaN(), math.NaN(), math.NaN()}
	if len(at) < 2 {
		return p
	}
	p.rate = float64(len(at)-1) / (at[len(at)-1] - at[0]).Seconds()
	together := 0
	for i := 1; i < len(at); i++ {
		if at[i]-at[i-1] < closeTogether {
			together++
		}
	}
	p.together = float64(together) / float64(len(at)-1)
	if rate <= 0 || len(at) != due {
		return p
	}
	for i := range at {
		at[i] -= time.Duration(float64(i) / rate * float64(time.Second))
	}
	slices.Sort(at)
	p.late = micros(quantile(at, 0.99) - at[0])
	return p
}

// heldTimes are the quantiles of how long the target itself took.
func heldTimes(arrivals []arrival) times {
	held := make([]time.Duration, len(arrivals))
	for i, a := range arrivals {
		held[i] = a.held
	}
	slices.Sort(held)
	return timesOf(held)
}

// stallTimes are the true quantiles from the intended start at a stalling target
// for a tool whose first arrival was on time.
func stallTimes(arrivals []arrival, pattern stall.Pattern, rate float64, due int) times {
	if len(arrivals) == 0 {
		return times{}
	}
	first := slices.MinFunc(arrivals, func(a, b arrival) int { return int(a.at - b.at) }).at
	return timesOf(pattern.Truth(first, rate, due))
}

// spread is the median of some values and their extremes; NaN where there are none.
type spread struct{ median, low, high float64 }

// spreadOf leaves out NaN.
func spreadOf(values []float64) spread {
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	slices.Sort(values)
	half := len(values) / 2
	median := values[half]
	if len(values)%2 == 0 {
		median = (values[half-1] + values[half]) / 2
	}
	return spread{median, values[0], values[len(values)-1]}
}
