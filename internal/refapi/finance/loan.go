// Package finance computes loan cash flows: amortisation with prepayment,
// value, yield, duration, convexity, average life, Monte Carlo and
// sensitivities. It is pure: no clock, no input or output, no global state.
//
// Everywhere money is in the currency's unit, rates are fractions (0.06 is
// 6 %), annual rates are nominal with monthly compounding, and time counts in
// months from 1. Nothing is rounded.
package finance

import "math"

// MonthsPerYear turns an annual nominal rate into a monthly one and months into years.
const MonthsPerYear = 12

// Loan is one loan at its start. The zero Reset makes it a fixed rate loan.
type Loan struct {
	Principal float64 // the amount lent, above 0
	Rate      float64 // nominal annual rate, 0 or above
	Term      int     // life in months, 1 or above
	CPR       float64 // annual prepayment rate, 0..1 (conditional prepayment rate)
	Reset     Reset   // how the rate of a variable loan moves
}

// Reset says how the rate of a variable loan follows its index.
type Reset struct {
	Period int     // months between resets; 0 is a fixed rate
	Floor  float64 // the lowest rate from the first reset on, 0 or above
	Cap    float64 // the highest rate from the first reset on, at least Floor; +Inf is none
}

// Variable reports whether the loan's rate is reset during its life.
func (l *Loan) Variable() bool { return l.Reset.Period > 0 }

// Payment is what one month brings.
type Payment struct {
	Interest  float64 // on the balance before the payment
	Scheduled float64 // scheduled principal
	Prepaid   float64 // principal paid ahead of schedule
	Balance   float64 // what is still owed after the payment
}

// Principal is the principal paid, scheduled or not.
func (p Payment) Principal() float64 { return p.Scheduled + p.Prepaid }

// Total is all that is paid.
func (p Payment) Total() float64 { return p.Interest + p.Scheduled + p.Prepaid }

// Payments returns the first horizon payments of the loan, or all of them when
// horizon is beyond its term.
func (l *Loan) Payments(horizon int) []Payment {
	payments := make([]Payment, min(horizon, l.Term))
	w := l.walk(Shift{}, nil)
	for k := range payments {
		payments[k] = w.next()
	}
	return payments
}

// Shift moves the assumptions of every loan; the zero Shift is the base case.
type Shift struct {
	Rate float64 // added to the loans' rates, which never fall below 0
	CPR  float64 // added to the prepayment rates, which are held in 0..1
}

// survival is the share of a balance that is not prepaid in one month:
// 1 - SMM = (1 - CPR)^(1/12).
func survival(cpr float64) float64 {
	return math.Exp(math.Log1p(-clamp(cpr, 0, 1)) / MonthsPerYear)
}

func clamp(x, low, high float64) float64 { return math.Max(low, math.Min(high, x)) }

// walk goes through the life of a loan month by month without allocating.
type walk struct {
	loan       *Loan
	rate       float64   // annual rate with the shift, before floor and cap
	index      []float64 // index[m]: move of the index in the first m months; nil is none
	keep       float64   // share of the balance not prepaid in a month
	month      int       // the month last walked
	untilReset int       // months until the rate is set again
	balance    float64

	// monthly is the rate of one month, r. annuity is ((1+r)^n - 1)/r for the n
	// months left, the sum to which payments of 1 grow: balance/annuity is the
	// scheduled principal of a level payment. One month on it is
	// (annuity - 1)/(1+r), a step that damps rounding errors and needs no
	// special case for r = 0.
	monthly, annuity, shrink float64
}

func (l *Loan) walk(s Shift, index []float64) walk {
	w := walk{
		loan:    l,
		rate:    math.Max(0, l.Rate+s.Rate),
		index:   index,
		keep:    survival(l.CPR + s.CPR),
		balance: l.Principal,
	}
	w.set(w.rate)
	return w
}

// set levels the payment at an annual rate over the months left.
func (w *walk) set(rate float64) {
	left := float64(w.loan.Term - w.month)
	w.monthly = rate / MonthsPerYear
	w.shrink = 1 / (1 + w.monthly)
	w.annuity = left
	if w.monthly > 0 {
		w.annuity = math.Expm1(left*math.Log1p(w.monthly)) / w.monthly
	}
	w.untilReset = w.loan.Term
	if w.loan.Variable() {
		w.untilReset = w.loan.Reset.Period
	}
}

// reset sets the rate from the index, within floor and cap.
func (w *walk) reset() {
	rate := w.rate
	if w.index != nil {
		rate += w.index[w.month]
	}
	w.set(math.Max(0, clamp(rate, w.loan.Reset.Floor, w.loan.Reset.Cap)))
}

// next pays one month. The last month of the term pays what is left.
func (w *walk) next() Payment {
	if w.untilReset == 0 {
		w.reset()
	}
	w.untilReset--
	w.month++
	paid := Payment{Interest: w.balance * w.monthly, Scheduled: w.balance}
	if w.month < w.loan.Term {
		paid.Scheduled = w.balance / w.annuity
		w.annuity = (w.annuity - 1) * w.shrink
		left := w.balance - paid.Scheduled
		paid.Balance = left * w.keep
		paid.Prepaid = left - paid.Balance
	}
	w.balance = paid.Balance
	return paid
}
