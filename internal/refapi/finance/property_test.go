package finance

import (
	"math"
	"math/rand/v2"
	"testing"
)

// anyPortfolio draws a portfolio from the whole range that the API accepts.
func anyPortfolio(random *rand.Rand) *Portfolio {
	p := &Portfolio{DiscountRate: random.Float64(), Horizon: 1 + random.IntN(600)}
	for range 1 + random.IntN(5) {
		loan := Loan{
			Principal: math.Pow(10, -2+14*random.Float64()),
			Rate:      random.Float64() * random.Float64(),
			Term:      1 + random.IntN(600),
		}
		switch random.IntN(4) {
		case 0:
			loan.CPR = random.Float64()
		case 1:
			loan.CPR = float64(random.IntN(2))
		default:
			loan.CPR = 0.03 * random.Float64()
		}
		if random.IntN(2) == 0 {
			floor := loan.Rate * random.Float64()
			loan.Reset = Reset{1 + random.IntN(24), floor, floor + random.Float64()*0.3}
		}
		p.Loans = append(p.Loans, loan)
	}
	return p
}

// properties calls check with many portfolios; a failure names its seed.
func properties(t *testing.T, check func(t *testing.T, p *Portfolio, random *rand.Rand)) {
	t.Helper()
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 1))
		p := anyPortfolio(random)
		check(t, p, random)
		if t.Failed() {
			t.Fatalf("seed %d: %+v", seed, *p)
		}
	}
}

func TestPrincipalIsConserved(t *testing.T) {
	properties(t, func(t *testing.T, p *Portfolio, _ *rand.Rand) {
		f := p.Forecast(true)
		for i, loan := range f.Loans {
			near(t, "principal paid and owed", loan.Principal+loan.FinalBalance, p.Loans[i].Principal, 0.01)
			if p.Horizon >= p.Loans[i].Term {
				near(t, "principal paid", loan.Principal, p.Loans[i].Principal, 0.01)
				near(t, "final balance", loan.FinalBalance, 0, 0)
			}
		}
	})
}

func TestBalanceNeverRises(t *testing.T) {
	properties(t, func(t *testing.T, p *Portfolio, _ *rand.Rand) {
		for i, loan := range p.Forecast(true).Loans {
			before := p.Loans[i].Principal
			for k, paid := range loan.Payments {
				if paid.Balance < 0 || paid.Balance > before {
					t.Errorf("month %d: balance %g after %g", k+1, paid.Balance, before)
				}
				if paid.Interest < 0 || paid.Scheduled < 0 || paid.Prepaid < 0 {
					t.Errorf("month %d: negative part in %+v", k+1, paid)
				}
				near(t, "balance", paid.Balance, before-paid.Principal(), 1e-15*p.Loans[i].Principal)
				before = paid.Balance
			}
		}
	})
}

func TestTotalsAreSums(t *testing.T) {
	properties(t, func(t *testing.T, p *Portfolio, _ *rand.Rand) {
		f := p.Forecast(true)
		var principal, interest, ofLoans float64
		flows := make([]float64, len(f.Payments))
		for k, paid := range f.Payments {
			principal += paid.Principal()
			interest += paid.Interest
			flows[k] = paid.Total()
		}
		for _, loan := range f.Loans {
			for _, paid := range loan.Payments {
				ofLoans += paid.Total()
			}
		}
		scale := 1e-12 * f.Summary.TotalCashFlow
		near(t, "principal", f.Summary.TotalPrincipal, principal, scale)
		near(t, "interest", f.Summary.TotalInterest, interest, scale)
		near(t, "cash flow", f.Summary.TotalCashFlow, ofLoans, scale)
		near(t, "NPV", f.Summary.NPV, PresentValue(p.DiscountRate/12, flows)-p.Lent(), scale)
		if f.Summary.IRR == nil {
			t.Fatal("no IRR though every month pays")
		}
		near(t, "value at the IRR", PresentValue(*f.Summary.IRR/12, flows)/p.Lent(), 1, 1e-9)
	})
}

func TestNPVFallsWithTheDiscountRate(t *testing.T) {
	properties(t, func(t *testing.T, p *Portfolio, random *rand.Rand) {
		before := p.NPV(Shift{})
		p.DiscountRate += 1e-4 + random.Float64()/2
		if after := p.NPV(Shift{}); !(after < before) {
			t.Errorf("NPV %g after %g", after, before)
		}
	})
}

func TestNPVRisesWithTheRateShift(t *testing.T) {
	properties(t, func(t *testing.T, p *Portfolio, _ *rand.Rand) {
		before := math.Inf(-1)
		tolerance := 1e-12 * p.Lent() // rates held at floor, cap or 0 give the same value
		for _, shift := range []float64{-1, -0.2, -0.02, -0.01, 0, 0.01, 0.02, 0.2, 1} {
			npv := p.NPV(Shift{Rate: shift})
			if npv < before-tolerance {
				t.Errorf("shift %g: NPV %g after %g", shift, npv, before)
			}
			before = npv
		}
	})
}

func TestZeroShiftIsTheForecast(t *testing.T) {
	properties(t, func(t *testing.T, p *Portfolio, _ *rand.Rand) {
		if shifted, base := p.NPV(Shift{}), p.Forecast(false).Summary.NPV; shifted != base {
			t.Errorf("NPV %v, forecast %v", shifted, base)
		}
	})
}

func TestShiftIsTheSameAsOtherLoans(t *testing.T) {
	properties(t, func(t *testing.T, p *Portfolio, random *rand.Rand) {
		s := Shift{Rate: random.Float64() - 0.5, CPR: random.Float64() - 0.5}
		other := *p
		other.Loans = make([]Loan, len(p.Loans))
		for i, loan := range p.Loans {
			loan.Rate = math.Max(0, loan.Rate+s.Rate)
			loan.CPR = math.Max(0, math.Min(1, loan.CPR+s.CPR))
			other.Loans[i] = loan
		}
		near(t, "NPV", p.NPV(s), other.Forecast(false).Summary.NPV, 1e-12*p.Lent())
	})
}

func TestExtremesStayFinite(t *testing.T) {
	for _, principal := range []float64{5e-324, 1e-300, 0.01, 1e12} {
		for _, rate := range []float64{0, 5e-324, 1e-18, 1} {
			for _, term := range []int{1, 2, 600} {
				for _, cpr := range []float64{0, 1e-18, 1} {
					p := single(Loan{Principal: principal, Rate: rate, Term: term, CPR: cpr}, 1, 600)
					s := p.Forecast(true).Summary
					for _, x := range []float64{s.NPV, s.Duration, s.ModifiedDuration, s.Convexity, s.AverageLife, s.TotalCashFlow} {
						if math.IsNaN(x) || math.IsInf(x, 0) {
							t.Errorf("principal %g rate %g term %d cpr %g: %+v", principal, rate, term, cpr, s)
						}
					}
					if s.IRR != nil && (math.IsNaN(*s.IRR) || math.IsInf(*s.IRR, 0)) {
						t.Errorf("principal %g rate %g term %d cpr %g: IRR %g", principal, rate, term, cpr, *s.IRR)
					}
				}
			}
		}
	}
}
