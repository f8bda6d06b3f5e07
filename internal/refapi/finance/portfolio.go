package finance

import "math"

// Portfolio is a set of loans looked at together: payment k sums the payments
// k of the loans' own lives.
type Portfolio struct {
	Loans        []Loan
	DiscountRate float64 // nominal annual, 0 or above
	Horizon      int     // months looked ahead, 1 or above
}

// Months is the number of payments of the portfolio: the horizon, or the
// longest term when that ends earlier.
func (p *Portfolio) Months() int {
	longest := 0
	for i := range p.Loans {
		longest = max(longest, p.Loans[i].Term)
	}
	return min(p.Horizon, longest)
}

// Lent is the sum of the principals.
func (p *Portfolio) Lent() float64 {
	lent := 0.0
	for i := range p.Loans {
		lent += p.Loans[i].Principal
	}
	return lent
}

// Forecast is the deterministic answer for a portfolio.
type Forecast struct {
	Payments []Payment    // of the portfolio, one a month
	Loans    []LoanTotals // in the order of the portfolio's loans
	Summary  Summary
}

// LoanTotals is what one loan pays within the horizon.
type LoanTotals struct {
	Principal    float64
	Interest     float64
	FinalBalance float64
	Payments     []Payment // only when asked for
}

// Summary holds the figures of a whole portfolio within the horizon.
type Summary struct {
	NPV              float64  // present value of the payments less the principal lent
	IRR              *float64 // nominal annual rate at which NPV is 0; nil when there is none
	Duration         float64  // Macaulay, years, at the discount rate
	ModifiedDuration float64  // years
	Convexity        float64  // years squared
	AverageLife      float64  // years, weighted by principal
	TotalPrincipal   float64
	TotalInterest    float64
	TotalCashFlow    float64
}

// Forecast computes the payments and the summary. With detailed the payments
// of each loan are kept too.
func (p *Portfolio) Forecast(detailed bool) Forecast {
	f := Forecast{
		Payments: make([]Payment, p.Months()),
		Loans:    make([]LoanTotals, len(p.Loans)),
	}
	for i := range p.Loans {
		f.Loans[i] = p.Loans[i].addTo(f.Payments, detailed)
	}
	f.Summary = summarize(f.Payments, p.Lent(), p.DiscountRate)
	return f
}

// addTo adds the loan's payments to those of its portfolio.
func (l *Loan) addTo(sum []Payment, detailed bool) LoanTotals {
	months := min(len(sum), l.Term)
	var totals LoanTotals
	if detailed {
		totals.Payments = make([]Payment, months)
	}
	w := l.walk(Shift{}, nil)
	for k := range months {
		paid := w.next()
		if detailed {
			totals.Payments[k] = paid
		}
		totals.Principal += paid.Principal()
		totals.Interest += paid.Interest
		sum[k].Interest += paid.Interest
		sum[k].Scheduled += paid.Scheduled
		sum[k].Prepaid += paid.Prepaid
		sum[k].Balance += paid.Balance
	}
	totals.FinalBalance = w.balance
	return totals
}

// summarize computes the summary of payments bought for lent.
//
// With PV_k the present value of payment k, P their sum and d the discount
// rate: Macaulay duration = sum k/12 PV_k / P, modified = Macaulay/(1+d/12),
// convexity = sum k(k+1) PV_k / (144 P (1+d/12)^2), average life =
// sum k/12 principal_k / sum principal_k. Fabozzi, The Handbook of Fixed
// Income Securities, chapters on duration and on mortgage cash flows.
func summarize(payments []Payment, lent, discountRate float64) Summary {
	var s Summary
	var byTime, byTimeSquared, principalByTime float64
	price := priceOf(payments, discountRate)
	growth := 1 + discountRate/MonthsPerYear
	flows := make([]float64, len(payments))
	factor := 1.0
	for i, paid := range payments {
		k := float64(i + 1)
		flows[i] = paid.Total()
		factor /= growth
		value := flows[i] * factor
		byTime += k * value
		byTimeSquared += k * (k + 1) * value
		principalByTime += k * paid.Principal()
		s.TotalPrincipal += paid.Principal()
		s.TotalInterest += paid.Interest
	}
	s.TotalCashFlow = s.TotalPrincipal + s.TotalInterest
	s.NPV = price - lent
	if price > 0 {
		s.Duration = byTime / price / MonthsPerYear
		s.ModifiedDuration = s.Duration / growth
		s.Convexity = byTimeSquared / price / (MonthsPerYear * MonthsPerYear * growth * growth)
	}
	if s.TotalPrincipal > 0 {
		s.AverageLife = principalByTime / s.TotalPrincipal / MonthsPerYear
	}
	if monthly, ok := InternalRate(lent, flows); ok {
		annual := monthly * MonthsPerYear
		s.IRR = &annual
	}
	return s
}

// NPV is the net present value of the portfolio under a shift: with the zero
// Shift bit for bit that of [Portfolio.Forecast].
func (p *Portfolio) NPV(s Shift) float64 {
	sum := make([]Payment, p.Months())
	for i := range p.Loans {
		w := p.Loans[i].walk(s, nil)
		for k := range min(len(sum), p.Loans[i].Term) {
			paid := w.next()
			sum[k].Interest += paid.Interest
			sum[k].Scheduled += paid.Scheduled
			sum[k].Prepaid += paid.Prepaid
		}
	}
	return priceOf(sum, p.DiscountRate) - p.Lent()
}

// priceOf is the present value of payments at an annual rate.
func priceOf(payments []Payment, rate float64) float64 {
	price, factor := 0.0, 1.0
	for _, paid := range payments {
		factor /= 1 + rate/MonthsPerYear
		price += paid.Total() * factor
	}
	return price
}

// PresentValue is the sum of flows[k-1]/(1+rate)^k, with rate that of one period.
func PresentValue(rate float64, flows []float64) float64 {
	value := 0.0
	for i := len(flows) - 1; i >= 0; i-- {
		value = (value + flows[i]) / (1 + rate)
	}
	return value
}

// maxRateSteps bounds the search for a rate: each step at least halves the
// bracket, and 1100 halvings reach the smallest float64.
const maxRateSteps = 1100

// InternalRate is the rate of one period at which flows, one a period and none
// negative, are worth outlay. It reports false when there is none: an outlay
// that is not above 0, or no flow above 0.
//
// With v = 1/(1+rate) the value sum flows_k v^k rises from 0 without bound and
// is convex in v > 0, so there is exactly one root, and Newton's method held
// inside a shrinking bracket finds it.
func InternalRate(outlay float64, flows []float64) (float64, bool) {
	if !(outlay > 0) {
		return 0, false
	}
	low, high, v := 0.0, 1.0, 1.0
	if atPar, _ := valueAndSlope(1, flows); atPar < outlay { // a loss: the root is above 1
		if low, high = 1, highestDiscount(outlay, flows); math.IsInf(high, 0) {
			return 0, false
		}
	}
	for range maxRateSteps {
		value, slope := valueAndSlope(v, flows)
		if value > outlay {
			high = v
		} else {
			low = v
		}
		next := v - (value-outlay)/slope
		if !(next >= low && next <= high) { // also when not a number
			next = low + (high-low)/2
		}
		if math.Abs(next-v) <= 4e-16*v {
			return 1/next - 1, true
		}
		v = next
	}
	return 1/v - 1, true
}

// highestDiscount bounds the root of InternalRate from above: each flow alone
// is worth outlay at (outlay/flow_k)^(1/k), all together at no more. It is
// +Inf without a flow above 0.
func highestDiscount(outlay float64, flows []float64) float64 {
	high := math.Inf(1)
	for i, flow := range flows {
		if flow > 0 {
			high = math.Min(high, math.Pow(outlay/flow, 1/float64(i+1)))
		}
	}
	return high * (1 + 1e-9) // the root itself must lie inside when there is one flow only
}

// valueAndSlope returns sum flows_k v^k and its derivative by v (Horner).
func valueAndSlope(v float64, flows []float64) (value, slope float64) {
	for i := len(flows) - 1; i >= 0; i-- {
		slope = slope*v + value + flows[i]
		value = (value + flows[i]) * v
	}
	return value, slope
}
