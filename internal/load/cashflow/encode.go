package cashflow

import (
	"strconv"
)

// question is a forecast request: a portfolio and what is asked about it.
type question struct {
	portfolio
	// iterations is the number of Monte Carlo iterations; 0 is no Monte Carlo.
	iterations int
	// seed of the Monte Carlo run; 0 leaves it to the target.
	seed        int64
	detailed    bool
	sensitivity bool
}

// confidence is the confidence interval asked for.
const confidence = 95 * percent

// rateShifts and prepaymentShifts are the sensitivities asked for: -200..+200
// and -100..+100 basis points, the zero shift among them.
func rateShifts() [5]rate {
	return [5]rate{-200 * basisPoint, -100 * basisPoint, 0, 100 * basisPoint, 200 * basisPoint}
}

func prepaymentShifts() [5]rate {
	return [5]rate{-100 * basisPoint, -50 * basisPoint, 0, 50 * basisPoint, 100 * basisPoint}
}

// alteration spoils one field of a request: its first occurrence is written with
// raw as its value, or left out when raw is empty.
type alteration struct{ field, raw string }

// Generous upper bounds of what is written, in bytes: a buffer need not grow.
const (
	loanBytes     = 288
	questionBytes = 512
)

// size bounds the length of q as JSON.
func (q *question) size() int { return questionBytes + loanBytes*len(q.loans) }

// encoder appends JSON objects by hand: this runs for every request sent, and
// must cost little beside sending it.
type encoder struct {
	buf   []byte
	alter alteration
	// inner is set after the first field of an object.
	inner bool
}

// encodeQuestion writes q as JSON, spoiled by alter, into the empty buffer b.
func encodeQuestion(b []byte, q *question, alter alteration) []byte {
	e := encoder{buf: b, alter: alter}
	e.question(q)
	return e.buf
}

func (e *encoder) open()  { e.buf, e.inner = append(e.buf, '{'), false }
func (e *encoder) close() { e.buf, e.inner = append(e.buf, '}'), true }

// key writes the name of a field. It returns false when the value must not be
// written, because the field is spoiled.
func (e *encoder) key(name string) bool {
	spoiled := name == e.alter.field
	if spoiled && e.alter.raw == "" {
		e.alter = alteration{}
		return false
	}
	if e.inner {
		e.buf = append(e.buf, ',')
	}
	e.inner = true
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, `":`...)
	if spoiled {
		e.buf = append(e.buf, e.alter.raw...)
		e.alter = alteration{}
	}
	return !spoiled
}

func (e *encoder) question(q *question) {
	e.open()
	if e.key("loans") {
		e.loans(q.loans)
	}
	e.rate("discount_rate", q.discount)
	e.integer("forecast_months", int64(q.horizon))
	if q.iterations > 0 {
		e.literal("run_monte_carlo", "true")
		e.integer("monte_carlo_iterations", int64(q.iterations))
		e.rate("monte_carlo_confidence_interval", confidence)
		if q.seed != 0 {
			e.integer("seed", q.seed)
		}
	}
	if q.detailed {
		e.literal("detailed_analysis", "true")
	}
	if q.sensitivity && e.key("sensitivities") {
		e.open()
		e.shifts("interest_rate", rateShifts())
		e.shifts("prepayment", prepaymentShifts())
		e.close()
	}
	e.close()
}

func (e *encoder) loans(loans []loan) {
	e.buf = append(e.buf, '[')
	for i := range loans {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.loan(&loans[i])
	}
	e.buf = append(e.buf, ']')
	e.inner = true
}

func (e *encoder) loan(l *loan) {
	e.open()
	e.word("loan_type", l.kind)
	if e.key("principal") {
		e.buf = appendDecimal(e.buf, int64(l.principal), 2)
	}
	e.rate("interest_rate", l.rate)
	e.integer("term_months", int64(l.term))
	e.date("start_date", l.start)
	if l.prepayment > 0 {
		e.rate("prepayment_assumption", l.prepayment)
	}
	if !l.variable {
		e.word("rate_type", "fixed")
		e.close()
		return
	}
	e.word("rate_type", "variable")
	e.integer("rate_adjustment_period", int64(l.adjust))
	e.rate("rate_cap", l.cap)
	e.rate("rate_floor", l.floor)
	e.close()
}

func (e *encoder) rate(name string, r rate) {
	if e.key(name) {
		e.buf = appendDecimal(e.buf, int64(r), 6)
	}
}

func (e *encoder) integer(name string, n int64) {
	if e.key(name) {
		e.buf = strconv.AppendInt(e.buf, n, 10)
	}
}

func (e *encoder) literal(name, value string) {
	if e.key(name) {
		e.buf = append(e.buf, value...)
	}
}

func (e *encoder) text(name string, value []byte) {
	if e.key(name) {
		e.buf = appendText(e.buf, value)
	}
}

// word writes a text without anything to escape.
func (e *encoder) word(name, value string) {
	if e.key(name) {
		e.buf = append(e.buf, '"')
		e.buf = append(e.buf, value...)
		e.buf = append(e.buf, '"')
	}
}

func (e *encoder) date(name string, d day) {
	if e.key(name) {
		e.buf = append(e.buf, '"')
		e.buf = appendDate(e.buf, d)
		e.buf = append(e.buf, '"')
	}
}

func (e *encoder) shifts(name string, shifts [5]rate) {
	if !e.key(name) {
		return
	}
	e.buf = append(e.buf, '[')
	for i, shift := range shifts {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = appendDecimal(e.buf, int64(shift), 6)
	}
	e.buf = append(e.buf, ']')
}

// appendDate appends a day as 2006-01-02.
func appendDate(b []byte, d day) []byte {
	year, month, of := d.time().Date()
	return append(b,
		byte('0'+year/1000%10), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-',
		byte('0'+int(month)/10), byte('0'+int(month)%10), '-', byte('0'+of/10), byte('0'+of%10))
}

// appendDecimal appends n / 10^places without trailing zeros.
func appendDecimal(b []byte, n int64, places int) []byte {
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	power := int64(1)
	for range places {
		power *= 10
	}
	b = strconv.AppendInt(b, n/power, 10)
	rest := n % power
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for rest > 0 {
		power /= 10
		b = append(b, byte('0'+rest/power))
		rest %= power
	}
	return b
}

// appendText appends s as a JSON string (RFC 8259, 7). s must be valid UTF-8.
func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
