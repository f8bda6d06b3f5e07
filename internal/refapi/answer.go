package refapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"soakd/internal/refapi/finance"
)

// answerFormat is part of the cache's keys; change it with the answer's shape
// or with any figure, so that old answers are not served.
const answerFormat = "v1"

// computed is the part of a forecast's answer that depends on the request
// alone, and the figures of it that the history keeps.
type computed struct {
	npv  float64
	irr  *float64
	rest []byte // JSON: the answer's members after id and cached, and its end
}

// compute answers a request. The error is that of ctx, or of figures that are
// no numbers, which would be a defect of this package.
func compute(ctx context.Context, r *forecastRequest) (computed, error) {
	portfolio := r.portfolio()
	forecast := portfolio.Forecast(r.Detailed)
	if math.IsNaN(forecast.Summary.NPV) || math.IsInf(forecast.Summary.TotalCashFlow, 0) {
		return computed{}, errors.New("the forecast is not a finite number")
	}
	w := writer{buffer: make([]byte, 0, sizeHint(r, len(forecast.Payments)))}
	w.periods("periods", forecast.Payments, r.earliest())
	w.loans(r, forecast.Loans)
	w.summary(forecast.Summary)
	if r.MonteCarlo != nil {
		if err := w.monteCarlo(ctx, portfolio, *r.MonteCarlo); err != nil {
			return computed{}, err
		}
	}
	if r.Sensitivities != nil {
		if err := w.sensitivity(ctx, portfolio, *r.Sensitivities); err != nil {
			return computed{}, err
		}
	}
	w.text("}")
	return computed{npv: money(forecast.Summary.NPV), irr: forecast.Summary.IRR, rest: w.buffer}, nil
}

// sizeHint guesses the bytes of an answer, so that it need not be copied as it grows.
func sizeHint(r *forecastRequest, periods int) int {
	const periodBytes, loanBytes, otherBytes = 160, 200, 8 << 10
	if r.Detailed {
		for _, loan := range r.Loans {
			periods += min(r.Months, loan.Term)
		}
	}
	return periods*periodBytes + len(r.Loans)*loanBytes + otherBytes
}

// millionth is the unit to which money is rounded: it keeps answers short and
// the sum of 600 periods right to a thousandth of a unit.
const millionth = 1e6

// money rounds to a millionth. Adding 0 turns -0 into 0.
func money(x float64) float64 { return math.Round(x*millionth)/millionth + 0 }

// appendMoney writes money(x). It counts in millionths as long as float64 does
// so exactly, which is several times as fast as to format a float64.
func appendMoney(b []byte, x float64) []byte {
	const exact = 1 << 53
	scaled := math.Round(x * millionth)
	if math.Abs(scaled) >= exact {
		return appendNumber(b, money(x))
	}
	n := int64(scaled)
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/millionth, 10)
	rest := n % millionth
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for unit := int64(millionth / 10); rest > 0; unit /= 10 {
		b = append(b, byte('0'+rest/unit))
		rest %= unit
	}
	return b
}

// appendNumber writes x as encoding/json does, in the shortest form that reads
// back the same. Figures that are no numbers cannot come here.
func appendNumber(b []byte, x float64) []byte {
	format := byte('f')
	if magnitude := math.Abs(x); magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, x, format, -1, 64)
}

func appendDate(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	return append(b,
		byte('0'+year/1000%10), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-',
		byte('0'+int(month)/10), byte('0'+int(month)%10), '-',
		byte('0'+day/10), byte('0'+day%10))
}

// writer writes the answer by hand: its many numbers are most of the work of a
// request, and encoding/json takes several times as long.
type writer struct{ buffer []byte }

func (w *writer) text(s string)   { w.buffer = append(w.buffer, s...) }
func (w *writer) integer(n int64) { w.buffer = strconv.AppendInt(w.buffer, n, 10) }

// figure writes prefix and a number.
func (w *writer) figure(prefix string, x float64) {
	w.buffer = appendNumber(append(w.buffer, prefix...), x)
}

// sum writes prefix and an amount of money.
func (w *writer) sum(prefix string, x float64) {
	w.buffer = appendMoney(append(w.buffer, prefix...), x)
}

// periods writes most of an answer. The buffer is kept in a local variable,
// since each store of it in w would cost a write barrier.
func (w *writer) periods(name string, payments []finance.Payment, start time.Time) {
	b := w.buffer
	b = append(b, `"`+name+`":[`...)
	for i, paid := range payments {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"period":`...)
		b = strconv.AppendInt(b, int64(i+1), 10)
		b = append(b, `,"date":"`...)
		b = appendDate(b, finance.DueDate(start, i+1))
		b = append(b, `","interest":`...)
		b = appendMoney(b, paid.Interest)
		b = append(b, `,"scheduled_principal":`...)
		b = appendMoney(b, paid.Scheduled)
		b = append(b, `,"prepayment":`...)
		b = appendMoney(b, paid.Prepaid)
		b = append(b, `,"total":`...)
		b = appendMoney(b, paid.Total())
		b = append(b, `,"balance":`...)
		b = appendMoney(b, paid.Balance)
		b = append(b, '}')
	}
	b = append(b, ']')
	w.buffer = b
}

func (w *writer) loans(r *forecastRequest, loans []finance.LoanTotals) {
	w.text(`,"loans":[`)
	for i, totals := range loans {
		asked := &r.Loans[i]
		if i > 0 {
			w.text(",")
		}
		w.text(`{"loan_type":"` + asked.Type) // one of five words
		w.sum(`","principal":`, asked.Principal)
		w.sum(`,"total_principal":`, totals.Principal)
		w.sum(`,"total_interest":`, totals.Interest)
		w.sum(`,"final_balance":`, totals.FinalBalance)
		w.text(`,"term_months":`)
		w.integer(int64(asked.Term))
		if r.Detailed {
			w.text(",")
			w.periods("periods", totals.Payments, asked.Start)
		}
		w.text("}")
	}
	w.text("]")
}

func (w *writer) summary(s finance.Summary) {
	w.sum(`,"summary":{"npv":`, s.NPV)
	if s.IRR == nil {
		w.text(`,"irr":null`)
	} else {
		w.figure(`,"irr":`, *s.IRR)
	}
	w.figure(`,"duration":`, s.Duration)
	w.figure(`,"modified_duration":`, s.ModifiedDuration)
	w.figure(`,"convexity":`, s.Convexity)
	w.figure(`,"weighted_average_life":`, s.AverageLife)
	w.sum(`,"total_principal":`, s.TotalPrincipal)
	w.sum(`,"total_interest":`, s.TotalInterest)
	w.sum(`,"total_cash_flow":`, s.TotalCashFlow)
	w.text("}")
}

func (w *writer) monteCarlo(ctx context.Context, p *finance.Portfolio, asked monteCarloRequest) error {
	seed := drawnSeed()
	if asked.Seed != nil {
		seed = *asked.Seed
	}
	d, err := p.Simulate(ctx, finance.Simulation{
		Iterations:           asked.Iterations,
		Confidence:           asked.Confidence,
		Seed:                 seed,
		RateVolatility:       finance.DefaultRateVolatility,
		PrepaymentVolatility: finance.DefaultPrepaymentVolatility,
	})
	if err != nil {
		return err
	}
	w.text(`,"monte_carlo":{"iterations":`)
	w.integer(int64(asked.Iterations))
	w.figure(`,"confidence_interval":`, asked.Confidence)
	w.text(`,"seed":`)
	w.integer(seed)
	w.sum(`,"mean":`, d.Mean)
	w.sum(`,"std_dev":`, d.StdDev)
	w.sum(`,"p5":`, d.P5)
	w.sum(`,"median":`, d.Median)
	w.sum(`,"p95":`, d.P95)
	w.sum(`,"ci_lower":`, d.Lower)
	w.sum(`,"ci_upper":`, d.Upper)
	w.text("}")
	return nil
}

// drawnSeed is for a request without one. It fits in the 53 bits that every
// reader of JSON keeps.
func drawnSeed() int64 { return rand.Int64N(1 << 53) } //nolint:gosec // not a secret

func (w *writer) sensitivity(ctx context.Context, p *finance.Portfolio, asked sensitivityRequest) error {
	w.sum(`,"sensitivity":{"base_npv":`, p.NPV(finance.Shift{}))
	err := w.shifts(ctx, `,"interest_rate":[`, asked.Rate, func(shift float64) float64 {
		return p.NPV(finance.Shift{Rate: shift})
	})
	if err != nil {
		return err
	}
	err = w.shifts(ctx, `,"prepayment":[`, asked.CPR, func(shift float64) float64 {
		return p.NPV(finance.Shift{CPR: shift})
	})
	w.text("}")
	return err
}

// shifts writes the net present value under each shift and looks at ctx between them.
func (w *writer) shifts(ctx context.Context, prefix string, shifts []float64, npv func(float64) float64) error {
	w.text(prefix)
	for i, shift := range shifts {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("sensitivity after %d of %d shifts: %w", i, len(shifts), err)
		}
		if i > 0 {
			w.text(",")
		}
		w.figure(`{"shift":`, shift)
		w.sum(`,"npv":`, npv(shift))
		w.text("}")
	}
	w.text("]")
	return nil
}

// encode writes the answer as it is kept in the cache: npv, a space, irr or
// "-", a line end, then the JSON.
func (c computed) encode() []byte {
	b := make([]byte, 0, len(c.rest)+64)
	b = strconv.AppendFloat(b, c.npv, 'g', -1, 64)
	b = append(b, ' ')
	if c.irr == nil {
		b = append(b, '-')
	} else {
		b = strconv.AppendFloat(b, *c.irr, 'g', -1, 64)
	}
	b = append(b, '\n')
	return append(b, c.rest...)
}

// decodeComputed reads what encode wrote.
func decodeComputed(b []byte) (computed, error) {
	head, rest, _ := bytes.Cut(b, []byte{'\n'})
	npvText, irrText, _ := bytes.Cut(head, []byte{' '})
	var c computed
	var err error
	if c.npv, err = strconv.ParseFloat(string(npvText), 64); err != nil {
		return computed{}, fmt.Errorf("read npv of a cached answer: %w", err)
	}
	if string(irrText) != "-" {
		irr, err := strconv.ParseFloat(string(irrText), 64)
		if err != nil {
			return computed{}, fmt.Errorf("read irr of a cached answer: %w", err)
		}
		c.irr = &irr
	}
	if len(rest) < 2 || rest[0] != '"' || rest[len(rest)-1] != '}' {
		return computed{}, errors.New("a cached answer is cut off")
	}
	c.rest = rest
	return c, nil
}
