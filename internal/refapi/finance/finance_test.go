package finance

import (
	"math"
	"testing"
	"time"
)

// near fails unless got is within tolerance of want.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.12g, want %.12g within %g", what, got, want, tolerance)
	}
}

func single(loan Loan, discountRate float64, horizon int) *Portfolio {
	return &Portfolio{Loans: []Loan{loan}, DiscountRate: discountRate, Horizon: horizon}
}

// mortgage is the textbook loan: 100 000 over 30 years at 6 %.
func mortgage() Loan { return Loan{Principal: 100_000, Rate: 0.06, Term: 360} }

// The figures of this test and of those below were computed apart from this
// package, in 40 digits, from the closed forms named beside them.
func TestLevelLoan(t *testing.T) {
	loan := mortgage()
	payments := loan.Payments(360)
	for i, paid := range payments {
		// The payment of an annuity, P r/(1-(1+r)^-n).
		near(t, "payment", paid.Total(), 599.550525152752, 1e-8)
		if t.Failed() {
			t.Fatalf("month %d", i+1)
		}
	}
	near(t, "first interest", payments[0].Interest, 500, 1e-9)
	// P (1+r)^k - A ((1+r)^k - 1)/r
	near(t, "balance after 120 months", payments[119].Balance, 83_685.7249637266, 1e-6)
	if last := payments[359].Balance; last != 0 {
		t.Errorf("last balance = %v", last)
	}
	forecast := single(loan, 0.06, 360).Forecast(false)
	near(t, "total interest", forecast.Summary.TotalInterest, 115_838.189054991, 1e-6)
	near(t, "total interest of the loan", forecast.Loans[0].Interest, 115_838.189054991, 1e-6)
	near(t, "total principal", forecast.Summary.TotalPrincipal, 100_000, 1e-8)
	near(t, "total cash flow", forecast.Summary.TotalCashFlow, 215_838.189054991, 1e-6)
}

func TestSummaryOfLevelLoan(t *testing.T) {
	s := single(mortgage(), 0.06, 360).Forecast(false).Summary
	near(t, "NPV at its own rate", s.NPV, 0, 1e-8)
	near(t, "IRR", *s.IRR, 0.06, 1e-12)
	// Annuity at its own yield i: (1+i)/i - n/((1+i)^n - 1) months.
	near(t, "Macaulay duration", s.Duration, 10.7769684908349, 1e-11)
	near(t, "modified duration", s.ModifiedDuration, 10.7233517321740, 1e-11)
	near(t, "convexity", s.Convexity, 179.539859451225, 1e-9)

	s = single(mortgage(), 0.045, 360).Forecast(false).Summary
	near(t, "NPV at 4.5 %", s.NPV, 18_327.9865285189, 1e-7) // A (1-(1+d)^-n)/d - P
	near(t, "IRR whatever the discount rate", *s.IRR, 0.06, 1e-12)
}

// Duration and convexity are checked against what they mean as well: the first
// and second derivative of the price by the yield.
func TestDurationAndConvexityAreDerivatives(t *testing.T) {
	const yield, h = 0.05, 1e-4
	price := func(rate float64) float64 {
		return single(mortgage(), rate, 360).Forecast(false).Summary.NPV + 100_000
	}
	s := single(mortgage(), yield, 360).Forecast(false).Summary
	p, up, down := price(yield), price(yield+h), price(yield-h)
	near(t, "-P'/P", s.ModifiedDuration, -(up-down)/(2*h)/p, 1e-5)
	near(t, "P''/P", s.Convexity, (up-2*p+down)/(h*h)/p, 1e-3)
}

func TestZeroRateLoan(t *testing.T) {
	loan := Loan{Principal: 1200, Term: 12}
	for _, paid := range loan.Payments(12) {
		near(t, "payment", paid.Total(), 100, 1e-12)
		near(t, "interest", paid.Interest, 0, 0)
	}
	s := single(loan, 0.06, 12).Forecast(false).Summary
	near(t, "NPV", s.NPV, -38.1067933183590, 1e-10) // 100 a(12 at 0.5 %) - 1200
	near(t, "IRR", *s.IRR, 0, 1e-12)
	near(t, "average life", s.AverageLife, 13.0/24, 1e-12) // equal principal: (n+1)/2 months
}

func TestTinyRateIsNearlyZeroRate(t *testing.T) {
	for _, rate := range []float64{1e-15, 1e-12, 1e-9, 1e-300} {
		loan := Loan{Principal: 1e6, Rate: rate, Term: 600}
		for k, paid := range loan.Payments(600) {
			near(t, "payment", paid.Total(), 1e6/600, rate*1e6+1e-6)
			near(t, "balance", paid.Balance, 1e6*float64(599-k)/600, 1e6*rate*600+1e-6)
			if t.Failed() {
				t.Fatalf("rate %g month %d", rate, k+1)
			}
		}
	}
}

// bullet pays interest monthly and its principal at the end.
func bullet(principal, monthly float64, months int) []Payment {
	payments := make([]Payment, months)
	for k := range payments {
		payments[k] = Payment{Interest: principal * monthly, Balance: principal}
	}
	payments[months-1].Scheduled, payments[months-1].Balance = principal, 0
	return payments
}

func TestSummaryOfBullet(t *testing.T) {
	s := summarize(bullet(1000, 0.005, 120), 1000, 0.06)
	near(t, "NPV at par", s.NPV, 0, 1e-10)
	near(t, "IRR at par", *s.IRR, 0.06, 1e-12)
	// A par bond: (1+i)/i (1-(1+i)^-n) periods.
	near(t, "duration", s.Duration, (1.005/0.005)*(1-math.Pow(1.005, -120))/12, 1e-10)
	near(t, "average life", s.AverageLife, 10, 1e-12)

	s = summarize(bullet(1000, 0, 120), 600, 0.06) // zero coupon
	near(t, "NPV", s.NPV, 1000*math.Pow(1.005, -120)-600, 1e-9)
	near(t, "duration", s.Duration, 10, 1e-12)
	near(t, "convexity", s.Convexity, 120*121/(144*1.005*1.005), 1e-9)
	near(t, "IRR", *s.IRR, 12*(math.Pow(1000.0/600, 1.0/120)-1), 1e-12)
}

func TestPrepayment(t *testing.T) {
	near(t, "SMM of 6 % CPR", 1-survival(0.06), 0.00514301283182295, 1e-15)
	near(t, "SMM of 0", 1-survival(0), 0, 0)
	near(t, "SMM of 1", 1-survival(1), 1, 0)

	loan := mortgage()
	loan.CPR = 0.12
	payments := loan.Payments(360)
	// The balance is that of the plain schedule times (1-CPR)^(k/12).
	near(t, "balance after 60 months", payments[59].Balance, 49_107.7540926977, 1e-6)
	near(t, "last balance", payments[359].Balance, 0, 0)
	s := single(loan, 0.045, 360).Forecast(false).Summary
	near(t, "interest", s.TotalInterest, 40_029.7560320814, 1e-6)
	near(t, "average life", s.AverageLife, 6.67162600534690, 1e-11)
	near(t, "NPV", s.NPV, 7_830.90002756954, 1e-7)

	forecast := single(loan, 0.045, 60).Forecast(false)
	near(t, "NPV of a short horizon", forecast.Summary.NPV, -34_328.7369860906, 1e-6)
	near(t, "IRR of a short horizon", *forecast.Summary.IRR, -0.133228769803034, 1e-11)
	near(t, "final balance", forecast.Loans[0].FinalBalance, 49_107.7540926977, 1e-6)
	if len(forecast.Payments) != 60 {
		t.Errorf("%d payments, want 60", len(forecast.Payments))
	}
}

func TestWholePrepayment(t *testing.T) {
	loan := mortgage()
	loan.CPR = 1
	payments := loan.Payments(360)
	near(t, "first total", payments[0].Total(), 100_500, 1e-9)
	near(t, "second total", payments[1].Total(), 0, 0)
	s := single(loan, 0.06, 360).Forecast(false).Summary
	near(t, "average life", s.AverageLife, 1.0/12, 1e-12)
	near(t, "IRR", *s.IRR, 0.06, 1e-12)
}

// Worked by hand: 1200 over 3 months at 12 %, reset every month. The level
// payment of the first month is 1200 x 0.01/(1-1.01^-3) = 408.0265.
func TestVariableLoanAtItsLimits(t *testing.T) {
	for name, test := range map[string]struct {
		reset Reset
		want  [3]Payment
	}{
		"cap 9 %": {Reset{1, 0.06, 0.09}, [3]Payment{
			{12, 396.026533777763, 0, 803.973466222237},
			{6.02980099666678, 400.484914681064, 0, 403.488551541172},
			{3.02616413655879, 403.488551541172, 0, 0},
		}},
		"floor 15 %": {Reset{1, 0.15, math.Inf(1)}, [3]Payment{
			{12, 396.026533777763, 0, 803.973466222237},
			{10.0496683277780, 399.489921104217, 0, 404.483545118020},
			{5.05604431397525, 404.483545118020, 0, 0},
		}},
	} {
		loan := Loan{Principal: 1200, Rate: 0.12, Term: 3, Reset: test.reset}
		for k, got := range loan.Payments(3) {
			near(t, name+" interest", got.Interest, test.want[k].Interest, 1e-10)
			near(t, name+" principal", got.Scheduled, test.want[k].Scheduled, 1e-10)
			near(t, name+" balance", got.Balance, test.want[k].Balance, 1e-10)
		}
	}
}

func TestVariableLoanWithinItsLimitsIsFixed(t *testing.T) {
	loan := mortgage()
	fixed := loan.Payments(360)
	loan.Reset = Reset{Period: 6, Floor: 0.05, Cap: 0.08}
	for k, got := range loan.Payments(360) {
		near(t, "payment", got.Total(), fixed[k].Total(), 1e-8)
		near(t, "balance", got.Balance, fixed[k].Balance, 1e-6)
	}
}

func TestResetComesAfterTheFirstPeriod(t *testing.T) {
	loan := Loan{Principal: 1200, Rate: 0.12, Term: 24, Reset: Reset{12, 0, 0.06}}
	payments := loan.Payments(24)
	near(t, "rate of month 12", payments[11].Interest/payments[10].Balance, 0.01, 1e-15)
	near(t, "rate of month 13", payments[12].Interest/payments[11].Balance, 0.005, 1e-15)
}

func TestPortfolioSumsLivesOfDifferentLength(t *testing.T) {
	p := &Portfolio{
		Loans:   []Loan{{Principal: 1200, Term: 12}, {Principal: 2400, Term: 24}},
		Horizon: 600,
	}
	f := p.Forecast(true)
	if len(f.Payments) != 24 || len(f.Loans[0].Payments) != 12 || len(f.Loans[1].Payments) != 24 {
		t.Fatalf("lengths %d, %d, %d", len(f.Payments), len(f.Loans[0].Payments), len(f.Loans[1].Payments))
	}
	near(t, "month 12", f.Payments[11].Total(), 200, 1e-9)
	near(t, "month 13", f.Payments[12].Total(), 100, 1e-9)
	near(t, "balance after month 6", f.Payments[5].Balance, 600+1800, 1e-9)
	near(t, "lent", p.Lent(), 3600, 0)
}

func TestInternalRate(t *testing.T) {
	for _, test := range []struct {
		name    string
		outlay  float64
		flows   []float64
		want    float64
		without bool
	}{
		{name: "Brealey and Myers style project", outlay: 1000, flows: []float64{500, 400, 300, 100}, want: 0.144888442785856},
		{name: "one year", outlay: 100, flows: []float64{110}, want: 0.1},
		{name: "two equal flows", outlay: 100, flows: []float64{60, 60}, want: (60+math.Sqrt(60*60+4*100*60))/200 - 1},
		{name: "late flow", outlay: 100, flows: []float64{0, 0, 133.1}, want: 0.1},
		{name: "loss", outlay: 100, flows: []float64{0, 25}, want: -0.5},
		{name: "almost all lost", outlay: 1e12, flows: []float64{1}, want: 1e-12 - 1},
		{name: "hundredfold", outlay: 1, flows: []float64{100}, want: 99},
		{name: "nothing paid", outlay: 1, flows: []float64{0, 0}, without: true},
		{name: "no flows", outlay: 1, without: true},
		{name: "nothing lent", outlay: 0, flows: []float64{1}, without: true},
	} {
		got, ok := InternalRate(test.outlay, test.flows)
		if ok == test.without {
			t.Errorf("%s: found %v", test.name, ok)
		}
		near(t, test.name, got, test.want, 1e-12*math.Max(1, math.Abs(test.want)))
	}
}

func TestPresentValue(t *testing.T) {
	// 100/1.1 + 100/1.21 + 100/1.331, as in any table of annuities: 248.685.
	near(t, "annuity", PresentValue(0.1, []float64{100, 100, 100}), 248.685199098422, 1e-11)
	near(t, "nothing", PresentValue(0.1, nil), 0, 0)
}

func TestDueDate(t *testing.T) {
	for _, test := range []struct {
		start  string
		months int
		want   string
	}{
		{"2026-11-15", 1, "2026-12-15"},
		{"2026-12-15", 1, "2027-01-15"},
		{"2026-01-31", 1, "2026-02-28"},
		{"2028-01-31", 1, "2028-02-29"},
		{"2026-01-31", 2, "2026-03-31"},
		{"2026-01-31", 3, "2026-04-30"},
		{"2028-02-29", 12, "2029-02-28"},
		{"2028-02-29", 48, "2032-02-29"},
		{"2026-08-31", 600, "2076-08-31"},
		{"2099-12-31", 2, "2100-02-28"}, // not a leap year
		{"2000-01-30", 1, "2000-02-29"},
		{"2026-05-05", 0, "2026-05-05"},
	} {
		start, err := time.Parse(time.DateOnly, test.start)
		if err != nil {
			t.Fatal(err)
		}
		if got := DueDate(start, test.months).Format(time.DateOnly); got != test.want {
			t.Errorf("%s and %d months = %s, want %s", test.start, test.months, got, test.want)
		}
	}
}
