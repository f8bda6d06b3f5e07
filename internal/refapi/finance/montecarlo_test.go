package finance

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func simulate(t *testing.T, p *Portfolio, s Simulation) Distribution {
	t.Helper()
	d, err := p.Simulate(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSimulationWithoutVolatilityIsTheForecast(t *testing.T) {
	properties(t, func(t *testing.T, p *Portfolio, _ *rand.Rand) {
		base := p.Forecast(false).Summary.NPV
		d := simulate(t, p, Simulation{Iterations: 3, Confidence: 0.9, Seed: 7})
		for _, got := range []float64{d.Mean, d.P5, d.Median, d.P95, d.Lower, d.Upper} {
			near(t, "NPV", got, base, 1e-11*p.Lent())
		}
		near(t, "standard deviation", d.StdDev, 0, 1e-11*p.Lent())
	})
}

// With one reset, before the last payment, the value is linear in the index:
// NPV = N(base, sd), sd = balance_1 x 0.01/sqrt(12)/12 / (1+d)^2.
func TestSimulatedRatesHaveTheClosedFormDistribution(t *testing.T) {
	const iterations, mean, sd = 40_000, 1867.21572781151, 119.681961722276
	loan := Loan{Principal: 1e6, Rate: 0.06, Term: 2, Reset: Reset{1, 0, math.Inf(1)}}
	d := simulate(t, single(loan, 0.045, 2), Simulation{
		Iterations: iterations, Confidence: 0.8, Seed: 1, RateVolatility: 0.01,
	})
	standardError := sd / math.Sqrt(iterations)
	near(t, "mean", d.Mean, mean, 4*standardError)
	near(t, "standard deviation", d.StdDev, sd, 4*standardError/math.Sqrt2)
	// The standard error of a quantile is sqrt(q(1-q)/n)/density: at 5 % 2.11
	// and at 50 % 1.25 and at 10 % 1.71 times sd/sqrt(n).
	near(t, "p5", d.P5, mean-1.64485362695*sd, 4*2.11*standardError)
	near(t, "p95", d.P95, mean+1.64485362695*sd, 4*2.11*standardError)
	near(t, "median", d.Median, mean, 4*1.25*standardError)
	near(t, "lower", d.Lower, mean-1.28155156554*sd, 4*1.71*standardError)
	near(t, "upper", d.Upper, mean+1.28155156554*sd, 4*1.71*standardError)
}

// The mean and deviation were integrated numerically over the lognormal
// multiplier, in 40 digits, for a loan of two months.
func TestSimulatedPrepaymentHasTheIntegratedDistribution(t *testing.T) {
	const iterations, mean, sd = 40_000, 1861.76746689078, 1.16116733038765
	loan := Loan{Principal: 1e6, Rate: 0.06, Term: 2, CPR: 0.1}
	d := simulate(t, single(loan, 0.045, 2), Simulation{
		Iterations: iterations, Confidence: 0.9, Seed: 2, PrepaymentVolatility: 0.2,
	})
	standardError := sd / math.Sqrt(iterations)
	near(t, "mean", d.Mean, mean, 4*standardError)
	near(t, "standard deviation", d.StdDev, sd, 0.03*sd) // skewed: the normal's error does not hold
	near(t, "lower is p5", d.Lower, d.P5, 1e-9)
	near(t, "upper is p95", d.Upper, d.P95, 1e-9)
}

func TestIndexIsHeldWithinTheLimits(t *testing.T) {
	loan := Loan{Principal: 1e6, Rate: 0.06, Term: 60, Reset: Reset{1, 0.06, 0.06}}
	d := simulate(t, single(loan, 0.045, 60), Simulation{
		Iterations: 50, Confidence: 0.9, Seed: 3, RateVolatility: 1,
	})
	near(t, "standard deviation", d.StdDev, 0, 1e-6)
}

func TestSimulationIsReproducible(t *testing.T) {
	p := anyPortfolio(rand.New(rand.NewPCG(3, 1)))
	s := Simulation{
		Iterations: 200, Confidence: 0.95, Seed: 42,
		RateVolatility: DefaultRateVolatility, PrepaymentVolatility: DefaultPrepaymentVolatility,
	}
	first := simulate(t, p, s)
	if again := simulate(t, p, s); again != first {
		t.Errorf("the same seed gave %+v and %+v", first, again)
	}
	s.Seed++
	if other := simulate(t, p, s); other == first {
		t.Errorf("another seed gave the same: %+v", other)
	}
}

// A golden value: another process, another day, the same figures.
func TestSimulationIsTheSameInEveryProcess(t *testing.T) {
	d := simulate(t, realistic(2, 360), Simulation{
		Iterations: 100, Confidence: 0.95, Seed: 42,
		RateVolatility: DefaultRateVolatility, PrepaymentVolatility: DefaultPrepaymentVolatility,
	})
	near(t, "mean", d.Mean, -11214.9551977, 1e-6)
	near(t, "standard deviation", d.StdDev, 530.519024456, 1e-6)
	near(t, "median", d.Median, -11179.0477938, 1e-6)
}

// The polynomial of a fixed loan must be the value that the schedule gives.
func TestFixedValueIsThatOfTheSchedule(t *testing.T) {
	properties(t, func(t *testing.T, p *Portfolio, random *rand.Rand) {
		loan := p.Loans[0]
		loan.Reset = Reset{}
		factors := discountFactors(p.DiscountRate, min(p.Horizon, loan.Term))
		fixed := newFixedValue(&loan, factors)
		for range 5 {
			loan.CPR = random.Float64()
			one := single(loan, p.DiscountRate, p.Horizon)
			near(t, "value", fixed.at(survival(loan.CPR)), one.NPV(Shift{})+loan.Principal, 1e-12*loan.Principal)
		}
	})
}

func TestSimulationStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := realistic(15, 360).Simulate(ctx, Simulation{Iterations: 10_000, Confidence: 0.5}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestDescribe(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	d := describe(values, 0.5)
	// By hand: at position q(n-1) of 1 2 3 4 5.
	want := Distribution{Mean: 3, StdDev: math.Sqrt(2.5), P5: 1.2, Median: 3, P95: 4.8, Lower: 2, Upper: 4}
	for name, pair := range map[string][2]float64{
		"mean": {d.Mean, want.Mean}, "deviation": {d.StdDev, want.StdDev}, "p5": {d.P5, want.P5},
		"median": {d.Median, want.Median}, "p95": {d.P95, want.P95}, "lower": {d.Lower, want.Lower}, "upper": {d.Upper, want.Upper},
	} {
		near(t, name, pair[0], pair[1], 1e-12)
	}
	if one := describe([]float64{7}, 0.95); one != (Distribution{7, 0, 7, 7, 7, 7, 7}) {
		t.Errorf("one value: %+v", one)
	}
}

// realistic is a portfolio such as soakd sends: mortgages, business loans of
// both kinds and credit lines.
func realistic(loans, horizon int) *Portfolio {
	p := &Portfolio{DiscountRate: 0.05, Horizon: horizon}
	kinds := []Loan{
		{Principal: 300_000, Rate: 0.045, Term: 360, CPR: 0.02},
		{Principal: 50_000, Rate: 0.09, Term: 36, CPR: 0.01, Reset: Reset{6, 0.07, 0.12}},
		{Principal: 250_000, Rate: 0.06, Term: 360, CPR: 0.03, Reset: Reset{12, 0.04, 0.09}},
		{Principal: 30_000, Rate: 0.07, Term: 60},
	}
	for i := range loans {
		p.Loans = append(p.Loans, kinds[i%len(kinds)])
	}
	return p
}

func BenchmarkForecast(b *testing.B) {
	p := realistic(5, 360)
	for b.Loop() {
		p.Forecast(false)
	}
}

func BenchmarkNPV(b *testing.B) {
	p := realistic(15, 360)
	for b.Loop() {
		p.NPV(Shift{Rate: 0.01})
	}
}

// 15 loans over 360 months: what the complex case asks for.
func BenchmarkSimulate100(b *testing.B)  { benchmarkSimulate(b, 100) }
func BenchmarkSimulate1000(b *testing.B) { benchmarkSimulate(b, 1000) }

func benchmarkSimulate(b *testing.B, iterations int) {
	p := realistic(15, 360)
	s := Simulation{
		Iterations: iterations, Confidence: 0.95, Seed: 1,
		RateVolatility: DefaultRateVolatility, PrepaymentVolatility: DefaultPrepaymentVolatility,
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Simulate(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
