package main

import (
	"fmt"
	"math"
	"strings"
)

// goal is one of the figures that soakd is meant to reach.
type goal struct {
	what           string
	measured, most float64
}

// results finds a row by the names of its scenario and its label.
type results map[string][]row

func (r results) row(scenario, label string) row {
	for _, one := range r[scenario] {
		if one.label == label {
			return one
		}
	}
	return row{}
}

// ratio is the CPU time a request of one entry in that of another; NaN when one
// of them did not run.
func (r results) ratio(scenario, label, otherScenario, other string) float64 {
	return r.row(scenario, label).over(cpuOf).median / r.row(otherScenario, other).over(cpuOf).median
}

func (r results) median(scenario, label string, figure func(sample) float64) float64 {
	return r.row(scenario, label).over(figure).median
}

// goals compares the results with what soakd is meant to reach; each measured
// value must be at most its bound.
func (r results) goals() []goal {
	const tick = "soakd, ticks of 5 ms"
	list := []goal{
		{"full speed: CPU in wrk's", r.ratio("full", "soakd", "full", "wrk"), 1.3},
		{"full speed: CPU in bombardier's, at its highest", r.median("full", "soakd", cpuOf) / r.row("full", "bombardier").over(cpuOf).high, 1},
		{"full speed: CPU in fortio's, at its highest", r.median("full", "soakd", cpuOf) / r.row("full", "fortio").over(cpuOf).high, 1},
		{"full speed: CPU in vegeta's", r.ratio("full", "soakd", "full", "vegeta"), 1 / 3.3},
		{"full speed: CPU in k6's", r.ratio("full", "soakd", "full", "k6"), 1 / 6.5},
		{"full speed: CPU in Locust HttpUser's", r.ratio("full", "soakd", "full", "Locust HttpUser"), 1.0 / 40},
		{"full speed: resident MiB", r.median("full", "soakd", residentOf), 30},
		{"2 000/s: CPU in vegeta's", r.ratio("2000", "soakd", "2000", "vegeta"), 1},
		{"2 000/s: CPU in k6's", r.ratio("2000", "soakd", "2000", "k6"), 0.8},
		{"2 000/s: lag p99, us", r.median("2000", "soakd", func(s sample) float64 { return s.claim.LagP99 }), 300},
		{"2 000/s, ticks of 5 ms: CPU in vegeta's", r.ratio("2000", tick, "2000", "vegeta"), 0.5},
		{"10 000/s: dropped", r.median("10000", "soakd", droppedOf), 0},
		{"10 000/s: rate off, %", r.median("10000", "soakd", func(s sample) float64 { return math.Abs(off(s.pacing.rate, 10000)) }), 0.1},
		{"10 000/s: p99, us", r.median("10000", "soakd", func(s sample) float64 { return s.claim.P99 }), 5000},
		{"10 000/s: CPU in the bare loop's", r.ratio("10000", "soakd", "10000", "bare fasthttp"), 1.4},
		{"10 000/s: resident MiB", r.median("10000", "soakd", residentOf), 40},
		{"cashflow at 2 000/s: CPU in the bare loop's", r.ratio("cashflow", "soakd, cashflow", "cashflow", "bare fasthttp"), 1.5},
		{"cashflow at 2 000/s: resident MiB", r.median("cashflow", "soakd, cashflow", residentOf), 60},
	}
	return append(append(append(list, r.stallGoals()...), r.latencyGoals()...), r.sweepGoals()...)
}

func (r results) stallGoals() []goal {
	var list []goal
	for _, scenario := range []string{"stall600", "stall64"} {
		list = append(list,
			goal{scenario + ": p99 off, %", r.median(scenario, "soakd", func(s sample) float64 { return math.Abs(off(s.claim.P99, s.truth.P99)) }), 5},
			goal{scenario + ": p99.9 off, %", r.median(scenario, "soakd", func(s sample) float64 { return math.Abs(off(s.claim.P999, s.truth.P999)) }), 5},
		)
	}
	return list
}

// latencyGoals takes the worst of the three quantiles, in parts of what it may be
// off: 1 % of the truth and 50 us.
func (r results) latencyGoals() []goal {
	var list []goal
	for _, scenario := range []string{"latency1ms", "latency10ms", "latency100ms", "lognormal"} {
		worst := r.median(scenario, "soakd", func(s sample) float64 {
			got, truth := s.claim.fromSend(), s.truth
			part := func(got, truth float64) float64 { return math.Abs(got-truth) / (0.01*truth + 50) }
			return max(part(got.P50, truth.P50), part(got.P99, truth.P99), part(got.P999, truth.P999))
		})
		list = append(list, goal{scenario + ": worst quantile off, in parts of 1 % + 50 us", worst, 1})
	}
	return list
}

func (r results) sweepGoals() []goal {
	var list []goal
	for _, one := range r["sweep"] {
		rate := one.job.rate
		worst := one.over(func(s sample) float64 { return math.Abs(off(s.pacing.rate, rate)) }).median
		list = append(list, goal{fmt.Sprintf("rate off at %s, %%", strings.TrimPrefix(one.label, "soakd, ")), worst, 0.1})
	}
	return list
}

// goalTable prints the goals that were measured.
func goalTable(list []goal) string {
	var b strings.Builder
	b.WriteString("### Goals\n\n| | measured | at most | |\n|---|---|---|---|\n")
	for _, g := range list {
		verdict := "missed"
		switch {
		case math.IsNaN(g.measured):
			verdict = "not measured"
		case g.measured <= g.most:
			verdict = "reached"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.what, precise(g.measured), precise(g.most), verdict)
	}
	return b.String()
}

// precise prints small figures with three decimals: some bounds are 0.025.
func precise(f float64) string {
	if math.Abs(f) < 1 {
		return strings.Replace(fmt.Sprintf("%.3f", f), "NaN", "-", 1)
	}
	return number(f)
}
