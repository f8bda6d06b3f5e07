package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"soakd/internal/judge/baseline"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/simulate"
	"soakd/internal/judge/window"
)

const (
	// A short run: how long it is, and what it leaves out at its start.
	shortRun, shortWarmUp = 3 * time.Minute, 10 * time.Second
	// settled is how old the target is when a run begins: warm.
	settled = 8 * time.Minute
	// longRun is what a run is compared with that lasted longer.
	longRun = 2 * time.Hour
	// otherMachine and otherCase are by how much two runs differ on two machines of one kind
	// though nothing changed: all times together, and each case for itself, as
	// standard deviations of the logarithm.
	otherMachine, otherCase = 0.03, 0.02
)

// change is what the second run of a pair has that the first has not.
type change struct {
	name, does string
	// factor is of the response times of a case; nil for none.
	factor func(name string) float64
	// fault is one of those of the simulation, "" for none.
	fault string
	// machines lets the two runs be on different machines.
	machines bool
	// expected tells whether a row is one that may be called worse.
	expected func(*baseline.Row) bool
}

func slower(name string, by float64) func(string) float64 {
	return func(one string) float64 {
		if name == "" || one == name {
			return by
		}
		return 1
	}
}

func anyTime(r *baseline.Row) bool { return r.Signal != baseline.ErrorRatio }

func anyFailure(r *baseline.Row) bool { return r.Signal == baseline.ErrorRatio }

func timeOf(name string) func(*baseline.Row) bool {
	return func(r *baseline.Row) bool { return anyTime(r) && r.Case == name }
}

func failuresOf(class string) func(*baseline.Row) bool {
	return func(r *baseline.Row) bool {
		return anyFailure(r) && (r.Class == class || r.Class == finding.AllTraffic)
	}
}

// changes are what is tried in short runs.
func changes() []change {
	return []change{
		{name: "none", does: "nothing changed, on the same machine"},
		{name: "none_elsewhere", does: "nothing changed, on another machine of the kind", machines: true},
		{name: "forecast_20", does: "forecasts take 20 % longer", factor: slower(simulate.CaseForecast, 1.2), expected: timeOf(simulate.CaseForecast)},
		{name: "forecast_30", does: "forecasts take 30 % longer", factor: slower(simulate.CaseForecast, 1.3), expected: timeOf(simulate.CaseForecast)},
		{name: "forecast_50", does: "forecasts take 50 % longer", factor: slower(simulate.CaseForecast, 1.5), expected: timeOf(simulate.CaseForecast)},
		{name: "all_20", does: "everything takes 20 % longer", factor: slower("", 1.2), expected: anyTime},
		{name: "all_30", does: "everything takes 30 % longer", factor: slower("", 1.3), expected: anyTime},
		{name: "all_50", does: "everything takes 50 % longer", factor: slower("", 1.5), expected: anyTime},
		{name: "rare_50", does: "complex analyses (1 % of the requests) take 50 % longer", factor: slower("complex_analysis", 1.5), expected: timeOf("complex_analysis")},
		{name: "rare_100", does: "complex analyses (1 % of the requests) take twice as long", factor: slower("complex_analysis", 2), expected: timeOf("complex_analysis")},
		{name: "errors_0.5", does: "0.5 % of the valid requests fail", fault: "errors_0.5", expected: anyFailure},
		{name: "errors_2", does: "2 % of the valid requests fail", fault: "errors_2", expected: anyFailure},
		{name: "errors_class", does: "2 % of the Monte Carlo forecasts (6 % of the requests) fail", fault: "errors_class", expected: failuresOf(simulate.ClassMonteCarlo)},
	}
}

// compared is what became of the pairs of one change.
type compared struct {
	change
	long    bool
	pairs   int
	results map[baseline.Result]int
	// named counts pairs in which something was worse that is, others those in which
	// something was called worse that is not.
	named, others int
	// texts are of what was wrongly called worse.
	texts []string
}

// profileOf makes the profile of one simulated run.
func profileOf(seed uint64, rate float64, c *change, length time.Duration) (*baseline.Profile, error) {
	cfg := simulate.Config{Seed: seed, Rate: rate, Start: monday(seed), Quiet: []simulate.Stretch{{To: settled + length}}, Factor: c.factors(seed)}
	if c.fault != "" {
		cfg.Episodes = []simulate.Episode{{Fault: c.fault}}
	}
	world, err := simulate.New(cfg)
	if err != nil {
		return nil, err
	}
	for world.Age() < settled {
		world.Next()
	}
	if length <= shortRun {
		builder := baseline.NewBuilder(baseline.Config{WarmUp: shortWarmUp})
		for world.Age() < settled+length {
			builder.Observe(world.Next())
		}
		return builder.Profile(), nil
	}
	builder := baseline.NewBuilder(baseline.Config{})
	var roller window.Roller
	for world.Age() < settled+length {
		for _, done := range roller.Add(world.Next()) {
			if done.Length == window.Minute {
				builder.Observe(done)
			}
		}
	}
	return builder.Profile(), nil
}

// factors are those of a run with the change, on a machine of its own where there are several.
func (c *change) factors(seed uint64) func(name string) float64 {
	changed := c.factor
	if changed == nil {
		changed = slower("", 1)
	}
	if !c.machines {
		return changed
	}
	r := rand.New(rand.NewPCG(seed, 11))
	machine, own := math.Exp(otherMachine*r.NormFloat64()), map[string]float64{}
	return func(name string) float64 {
		if own[name] == 0 {
			own[name] = math.Exp(otherCase * r.NormFloat64())
		}
		return changed(name) * machine * own[name]
	}
}

// note counts one comparison.
func (c *compared) note(result *baseline.Comparison) {
	c.pairs++
	c.results[result.Result]++
	named, other := false, false
	for i := range result.Rows {
		switch row := &result.Rows[i]; {
		case row.Result != baseline.Worse:
		case c.expected != nil && c.expected(row):
			named = true
		default:
			other = true
			c.texts = append(c.texts, row.Text)
		}
	}
	if named {
		c.named++
	}
	if other {
		c.others++
	}
}

// shortRuns compares pairs of short runs, and short runs with a long one.
func shortRuns(ctx context.Context, o *options) ([]compared, error) {
	var all []compared
	for _, c := range changes() {
		if o.fault == "" || slices.Contains(strings.Split(o.fault, ","), c.name) {
			all = append(all, compared{change: c, results: map[baseline.Result]int{}}, compared{change: c, long: true, results: map[baseline.Result]int{}})
		}
	}
	longs, err := longProfiles(ctx, o)
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.parallel)
	for i := range all {
		group.Go(func() error { return all[i].compare(ctx, o, longs) })
	}
	return all, group.Wait()
}

// compare compares the pairs of one change.
func (c *compared) compare(ctx context.Context, o *options, longs []*baseline.Profile) error {
	for n := range uint64(o.short) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		before := longs[n%uint64(len(longs))]
		var err error
		if !c.long {
			before, err = profileOf(2*(o.first+n), o.rate, &change{machines: c.machines}, shortRun)
		}
		if err != nil {
			return err
		}
		after, err := profileOf(2*(o.first+n)+1, o.rate, &c.change, shortRun)
		if err != nil {
			return err
		}
		result := baseline.Gate(before, after, baseline.Limits{})
		c.note(&result)
	}
	return nil
}

// mostLong is how many long runs there are to compare with.
const mostLong = 10

func longProfiles(ctx context.Context, o *options) ([]*baseline.Profile, error) {
	longs := make([]*baseline.Profile, min(mostLong, max(o.short, 1)))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.parallel)
	for i := range longs {
		group.Go(func() (err error) {
			if ctx.Err() == nil {
				longs[i], err = profileOf(1_000_000+o.first+uint64(i), o.rate, &change{}, longRun)
			}
			return err
		})
	}
	return longs, group.Wait()
}

// shortReport writes the table of short runs, and says which targets are missed: where
// nothing changed, one pair in a hundred may be called worse.
func shortReport(all []compared) (text string, missed []string) {
	var b strings.Builder
	b.WriteString("| change | pairs | worse | named | others worse | same or improved | not enough data |\n|---|---|---|---|---|---|---|\n")
	for _, long := range []bool{false, true} {
		for i := range all {
			c := &all[i]
			if c.long != long {
				continue
			}
			name := "`" + c.name + "`: " + c.does
			if long {
				name += ", against 2 h"
			}
			share := func(n int) string { return fmt.Sprintf("%.3g %%", 100*float64(n)/float64(max(1, c.pairs))) }
			fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s | %s |\n", name, c.pairs, share(c.results[baseline.Worse]), share(c.named), share(c.others),
				share(c.results[baseline.Same]+c.results[baseline.Improved]), share(c.results[baseline.NotEnoughData]))
			const mostFalse = 0.01
			if c.expected == nil && float64(c.others) > mostFalse*float64(c.pairs) {
				missed = append(missed, fmt.Sprintf("%s: called worse in %d of %d pairs", c.name, c.others, c.pairs))
			}
		}
	}
	return b.String(), missed
}
