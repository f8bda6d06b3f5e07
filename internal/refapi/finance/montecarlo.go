package finance

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Volatilities that the reference API simulates with.
const (
	// DefaultRateVolatility moves the index by 100 basis points a year (one
	// standard deviation, normal), about what short rates do.
	DefaultRateVolatility = 0.01
	// DefaultPrepaymentVolatility is the standard deviation of the logarithm of
	// the prepayment multiplier.
	DefaultPrepaymentVolatility = 0.2
)

// Simulation asks for a Monte Carlo analysis.
//
// Each iteration draws one path of the index to which every variable loan is
// reset, a random walk of monthly normal steps of RateVolatility/sqrt(12), and
// one multiplier of every prepayment rate, exp(s z - s^2/2) with s =
// PrepaymentVolatility and so of mean 1. The same seed draws the same, on every
// machine of one architecture and Go version.
type Simulation struct {
	Iterations           int     // 1 or above
	Confidence           float64 // between 0 and 1: the share of outcomes between Lower and Upper
	Seed                 int64
	RateVolatility       float64 // a year, absolute; 0 keeps the index where it is
	PrepaymentVolatility float64 // of the logarithm; 0 keeps the multiplier at 1
}

// Distribution describes the simulated net present values.
type Distribution struct {
	Mean         float64
	StdDev       float64 // of the sample (n-1); 0 for one iteration
	P5           float64
	Median       float64
	P95          float64
	Lower, Upper float64 // quantiles (1-confidence)/2 and (1+confidence)/2
}

// Simulate runs the iterations one after the other and looks at ctx between
// them. The error is that of ctx.
func (p *Portfolio) Simulate(ctx context.Context, s Simulation) (Distribution, error) {
	sim := newSimulator(p, s)
	values := make([]float64, s.Iterations)
	for i := range values {
		if err := ctx.Err(); err != nil {
			return Distribution{}, fmt.Errorf("simulate after %d of %d iterations: %w", i, s.Iterations, err)
		}
		values[i] = sim.draw()
	}
	return describe(values, s.Confidence), nil
}

// simulator holds all that does not change from one iteration to the next.
type simulator struct {
	random   *rand.Rand
	settings Simulation
	base     float64 // value that no draw changes, less the principal lent
	fixed    []fixedValue
	variable []*Loan
	factors  []float64 // factors[k]: discount factor of month k
	index    []float64 // index[m]: move of the index in the first m months
}

func newSimulator(p *Portfolio, s Simulation) *simulator {
	const stream = 0x736f616b64 // any constant: the second half of the generator's state
	sim := &simulator{
		random:   rand.New(rand.NewPCG(uint64(s.Seed), stream)), //nolint:gosec // the same seed must draw the same
		settings: s,
		base:     -p.Lent(),
		factors:  discountFactors(p.DiscountRate, p.Months()),
	}
	lastReset := 0
	for i := range p.Loans {
		loan := &p.Loans[i]
		switch {
		case loan.Variable():
			sim.variable = append(sim.variable, loan)
			lastReset = max(lastReset, min(len(sim.factors)-1, loan.Term)-1)
		case loan.CPR == 0:
			unchanging := newFixedValue(loan, sim.factors)
			sim.base += unchanging.at(1)
		default:
			sim.fixed = append(sim.fixed, newFixedValue(loan, sim.factors))
		}
	}
	sim.index = make([]float64, lastReset+1)
	return sim
}

// discountFactors returns (1+rate/12)^-k for k = 0..months.
func discountFactors(rate float64, months int) []float64 {
	factors := make([]float64, months+1)
	factors[0] = 1
	for k := 1; k <= months; k++ {
		factors[k] = factors[k-1] / (1 + rate/MonthsPerYear)
	}
	return factors
}

// draw returns the net present value of one iteration.
func (s *simulator) draw() float64 {
	sigma := s.settings.PrepaymentVolatility
	multiplier := math.Exp(sigma*s.random.NormFloat64() - sigma*sigma/2)
	step := s.settings.RateVolatility / math.Sqrt(MonthsPerYear)
	for m := 1; m < len(s.index); m++ {
		s.index[m] = s.index[m-1] + step*s.random.NormFloat64()
	}
	npv := s.base
	for i := range s.fixed {
		npv += s.fixed[i].at(survival(s.fixed[i].cpr * multiplier))
	}
	for _, loan := range s.variable {
		npv += s.value(loan, multiplier)
	}
	return npv
}

// value walks a variable loan along the drawn index.
func (s *simulator) value(loan *Loan, multiplier float64) float64 {
	w := loan.walk(Shift{}, s.index)
	w.keep = survival(loan.CPR * multiplier)
	value := 0.0
	for k := 1; k <= min(len(s.factors)-1, loan.Term); k++ {
		value += w.next().Total() * s.factors[k]
	}
	return value
}

// fixedValue is the present value of a fixed loan as a polynomial in q, the
// share of the balance not prepaid in a month.
//
// Prepayment scales the balance of the plain schedule, L_k, to L_k q^k (the
// payment is re-levelled over the rest of the term), and payment k is
// L_{k-1} q^{k-1} (1+r) - L_k q^k. With v the monthly discount factor and n
// the last month looked at, the value is
//
//	L_0 (1+r) v + ((1+r) v - 1) sum_{k=1}^{n-1} L_k v^k q^k - L_n v^n q^n
//
// so that an iteration costs one multiplication and one addition a month.
type fixedValue struct {
	cpr    float64
	powers []float64 // powers[k]: factor of q^k; filled with 0 to a multiple of lanes
}

// lanes is the number of independent sums in which a polynomial is evaluated,
// so that an addition need not wait for the one before.
const lanes = 4

func newFixedValue(loan *Loan, factors []float64) fixedValue {
	months := min(len(factors)-1, loan.Term)
	powers := make([]float64, (months/lanes+1)*lanes)
	growth := 1 + loan.Rate/MonthsPerYear
	plain := *loan
	plain.CPR = 0
	w := plain.walk(Shift{}, nil)
	powers[0] = loan.Principal * growth * factors[1]
	for k := 1; k <= months; k++ {
		balance := w.next().Balance
		if k < months {
			powers[k] = balance * (growth*factors[k+1] - factors[k])
		} else {
			powers[k] = -balance * factors[k]
		}
	}
	return fixedValue{cpr: loan.CPR, powers: powers}
}

// at evaluates the polynomial by Horner's rule in q^4, one sum a lane.
func (f *fixedValue) at(q float64) float64 {
	var a, b, c, d float64
	q2 := q * q
	q4 := q2 * q2
	for p := f.powers; len(p) >= lanes; p = p[:len(p)-lanes] {
		last := p[len(p)-lanes:]
		a = a*q4 + last[0]
		b = b*q4 + last[1]
		c = c*q4 + last[2]
		d = d*q4 + last[3]
	}
	return a + b*q + (c+d*q)*q2
}

// describe sorts values and describes them.
func describe(values []float64, confidence float64) Distribution {
	slices.Sort(values)
	n := float64(len(values))
	mean := 0.0
	for _, value := range values {
		mean += value
	}
	mean /= n
	squares := 0.0
	for _, value := range values {
		squares += (value - mean) * (value - mean)
	}
	d := Distribution{
		Mean:   mean,
		P5:     quantile(values, 0.05),
		Median: quantile(values, 0.5),
		P95:    quantile(values, 0.95),
		Lower:  quantile(values, (1-confidence)/2),
		Upper:  quantile(values, (1+confidence)/2),
	}
	if len(values) > 1 {
		d.StdDev = math.Sqrt(squares / (n - 1))
	}
	return d
}

// quantile interpolates linearly between the order statistics of sorted: type 7
// of Hyndman and Fan, Sample Quantiles in Statistical Packages (1996).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}
